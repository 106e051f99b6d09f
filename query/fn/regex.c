/* query/fn/regex.c - regular expressions: ~ and its like, by PCRE2.
 *
 * PostgreSQL's advanced expressions and PCRE2's agree in what most patterns use; where they differ
 * (word boundaries \m \M \y, the longest of alternatives): docs/protocol/postgres.md. Work is
 * bounded by MATCH_STEPS_MAX. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "models/types/sql_error.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

enum { MATCH_STEPS_MAX = 10 * 1000 * 1000, MATCH_HEAP_KIB_MAX = 20 << 10 };

/* What a pattern needs lies in the call's arena, and goes with it. */
static void *
arena_take(PCRE2_SIZE size, void *arena)
{
    return arena_alloc(arena, size);
}

static void
arena_leave(void *memory, void *arena)
{
    (void)memory;
    (void)arena;
}

static err_t
pattern_invalid(int code)
{
    PCRE2_UCHAR message[128];

    (void)pcre2_get_error_message(code, message, sizeof(message));
    return sql_error("2201B", "invalid regular expression: %s", (const char *)message);
}

static err_t
matches(struct call *call, struct slice text, struct slice pattern, bool ignores_case,
        bool *is_match_out)
{
    pcre2_general_context *memory =
        pcre2_general_context_create(arena_take, arena_leave, call->arena);
    uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_DOLLAR_ENDONLY | PCRE2_DOTALL |
                       (ignores_case ? PCRE2_CASELESS : 0);
    pcre2_compile_context *compiling = pcre2_compile_context_create(memory);
    pcre2_match_context *matching = pcre2_match_context_create(memory);
    PCRE2_SIZE at;
    pcre2_code *code;
    int result;

    code = pcre2_compile(pattern.data != NULL ? pattern.data : (PCRE2_SPTR) "", pattern.size,
                         options, &result, &at, compiling);
    if (code == NULL) {
        return pattern_invalid(result);
    }
    (void)pcre2_set_match_limit(matching, MATCH_STEPS_MAX);
    (void)pcre2_set_heap_limit(matching, MATCH_HEAP_KIB_MAX);
    result = pcre2_match(code, text.data != NULL ? text.data : (PCRE2_SPTR) "", text.size, 0,
                         PCRE2_NO_UTF_CHECK, pcre2_match_data_create(1, memory), matching);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH) {
        return sql_error("2201B", "regular expression failed: too much work for one match");
    }
    *is_match_out = result != PCRE2_ERROR_NOMATCH;
    return ERR_OK;
}

#define MATCH(name, ignores_case, wanted)                                                          \
    static err_t match_##name(struct call *call, const struct datum *args, struct datum *out)      \
    {                                                                                              \
        bool is_match = false;                                                                     \
        err_t err = matches(call, args[0].bytes, args[1].bytes, (ignores_case), &is_match);        \
                                                                                                   \
        out->i = is_match == (wanted);                                                             \
        return err;                                                                                \
    }
MATCH(same, false, true)
MATCH(not_same, false, false)
MATCH(any_case, true, true)
MATCH(not_any_case, true, false)

#define ROW(op, fname, left, code)                                                                 \
    {                                                                                              \
        (op),                                                                                      \
        {                                                                                          \
            .name = (fname), .result = OID_BOOL, .args = {(left), OID_TEXT}, .arg_count = 2,       \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    ROW("~", "textregexeq", OID_TEXT, match_same),
    ROW("~", "nameregexeq", OID_NAME, match_same),
    ROW("~", "bpcharregexeq", OID_BPCHAR, match_same),
    ROW("!~", "textregexne", OID_TEXT, match_not_same),
    ROW("!~", "nameregexne", OID_NAME, match_not_same),
    ROW("!~", "bpcharregexne", OID_BPCHAR, match_not_same),
    ROW("~*", "texticregexeq", OID_TEXT, match_any_case),
    ROW("~*", "nameicregexeq", OID_NAME, match_any_case),
    ROW("~*", "bpcharicregexeq", OID_BPCHAR, match_any_case),
    ROW("!~*", "texticregexne", OID_TEXT, match_not_any_case),
    ROW("!~*", "nameicregexne", OID_NAME, match_not_any_case),
    ROW("!~*", "bpcharicregexne", OID_BPCHAR, match_not_any_case),
};

const struct function_part fn_part_regex = {rows, sizeof(rows) / sizeof(rows[0])};
