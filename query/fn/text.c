/* query/fn/text.c - functions and operators on text. Positions count characters from 1. */
#include <ctype.h>

#include "engine/base/assert.h"

#include "models/types/sql_error.h"
#include "models/types/type_io.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

enum { RESULT_BYTES_MAX = 1 << 30 };

static uint8_t *
room(struct call *call, uint64_t size, err_t *err_out)
{
    bool fits = size <= RESULT_BYTES_MAX && !mem_over(mem_account_current(), MEM_SESSIONS, size);
    uint8_t *bytes = fits ? arena_alloc(call->arena, size) : NULL;

    *err_out = ERR_OK;
    if (bytes == NULL) {
        *err_out = sql_error("54000", "requested length too large");
    }
    return bytes;
}

static err_t
text_concat(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice a = args[0].bytes, b = args[1].bytes;
    err_t err;
    uint8_t *bytes = room(call, a.size + b.size, &err);

    if (bytes != NULL) {
        memcpy(bytes, a.data, a.size);
        memcpy(bytes + a.size, b.data, b.size);
        out->bytes = slice_of(bytes, a.size + b.size);
    }
    return err;
}

static err_t
text_length(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = (int64_t)text_characters(args[0].bytes);
    return ERR_OK;
}

static err_t
bpchar_length(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = (int64_t)text_characters(bpchar_trim(args[0].bytes));
    return ERR_OK;
}

static err_t
bytes_length(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = (int64_t)args[0].bytes.size;
    return ERR_OK;
}

static err_t
bits_length(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = (int64_t)args[0].bytes.size * 8;
    return ERR_OK;
}

/* ASCII letters only: other letters need a collation, which databases here do not have (C). */
static err_t
text_map(struct call *call, struct slice text, int (*map)(int c), struct datum *out)
{
    err_t err;
    uint8_t *bytes = room(call, text.size, &err);

    if (bytes != NULL) {
        for (size_t i = 0; i < text.size; i++) {
            bytes[i] = text.data[i] < 0x80 ? (uint8_t)map(text.data[i]) : text.data[i];
        }
        out->bytes = slice_of(bytes, text.size);
    }
    return err;
}

static err_t
text_lower(struct call *call, const struct datum *args, struct datum *out)
{
    return text_map(call, args[0].bytes, tolower, out);
}

static err_t
text_upper(struct call *call, const struct datum *args, struct datum *out)
{
    return text_map(call, args[0].bytes, toupper, out);
}

static err_t
text_initcap(struct call *call, const struct datum *args, struct datum *out)
{
    bool is_inside = false;
    err_t err = text_map(call, args[0].bytes, tolower, out);

    for (size_t i = 0; err == ERR_OK && i < out->bytes.size; i++) {
        uint8_t *at = (uint8_t *)(uintptr_t)out->bytes.data + i;

        if (!is_inside && *at < 0x80) {
            *at = (uint8_t)toupper(*at);
        }
        is_inside = *at >= 0x80 || isalnum(*at);
    }
    return err;
}

/* Characters from `start` (which may lie before the first), `count` of them. */
static struct slice
substring(struct slice text, int64_t start, int64_t count)
{
    int64_t end;
    size_t from, to;

    if (__builtin_add_overflow(start, count, &end)) {
        end = INT64_MAX;
    }
    start = MAX(start, (int64_t)1);
    if (end <= start) {
        return slice_of(text.data, 0);
    }
    from = text_prefix_bytes(text, (uint64_t)(start - 1));
    to = text_prefix_bytes(slice_of(text.data + from, text.size - from), (uint64_t)(end - start));
    return slice_of(text.data + from, to);
}

static err_t
text_substring(struct call *call, const struct datum *args, struct datum *out)
{
    int64_t count = call->arg_count > 2 ? args[2].i : INT32_MAX;

    if (count < 0) {
        return sql_error("22011", "negative substring length not allowed");
    }
    out->bytes = substring(args[0].bytes, args[1].i, count);
    return ERR_OK;
}

/* Negative: all but the last (left) or the first (right) so many. */
static err_t
text_left(struct call *call, const struct datum *args, struct datum *out)
{
    int64_t count = args[1].i;

    (void)call;
    if (count < 0) {
        count = MAX((int64_t)text_characters(args[0].bytes) + count, (int64_t)0);
    }
    out->bytes = substring(args[0].bytes, 1, count);
    return ERR_OK;
}

static err_t
text_right(struct call *call, const struct datum *args, struct datum *out)
{
    int64_t characters = (int64_t)text_characters(args[0].bytes);
    int64_t skipped = args[1].i < 0 ? -args[1].i : MAX(characters - args[1].i, (int64_t)0);

    (void)call;
    out->bytes = substring(args[0].bytes, skipped + 1, characters);
    return ERR_OK;
}

/* ---- Trim ---- */

/* Is the character that starts at `at` one of the set? */
static bool
is_in_set(struct slice character, struct slice set)
{
    for (size_t i = 0; i < set.size;) {
        size_t size = text_prefix_bytes(slice_of(set.data + i, set.size - i), 1);

        if (slice_equal(character, slice_of(set.data + i, size))) {
            return true;
        }
        i += size;
    }
    return false;
}

static struct slice
trim_left(struct slice text, struct slice set)
{
    while (text.size > 0) {
        size_t size = text_prefix_bytes(text, 1);

        if (!is_in_set(slice_of(text.data, size), set)) {
            break;
        }
        text = slice_of(text.data + size, text.size - size);
    }
    return text;
}

static struct slice
trim_right(struct slice text, struct slice set)
{
    while (text.size > 0) {
        size_t start = text.size - 1;

        while (start > 0 && (text.data[start] & 0xc0) == 0x80) {
            start--;
        }
        if (!is_in_set(slice_of(text.data + start, text.size - start), set)) {
            break;
        }
        text.size = start;
    }
    return text;
}

static struct slice
trim_set(const struct call *call, const struct datum *args)
{
    return call->arg_count > 1 ? args[1].bytes : SLICE(" ");
}

static err_t
text_ltrim(struct call *call, const struct datum *args, struct datum *out)
{
    out->bytes = trim_left(args[0].bytes, trim_set(call, args));
    return ERR_OK;
}

static err_t
text_rtrim(struct call *call, const struct datum *args, struct datum *out)
{
    out->bytes = trim_right(args[0].bytes, trim_set(call, args));
    return ERR_OK;
}

static err_t
text_btrim(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice set = trim_set(call, args);

    out->bytes = trim_right(trim_left(args[0].bytes, set), set);
    return ERR_OK;
}

/* ---- Search ---- */

static const uint8_t *
find(struct slice text, struct slice part)
{
    return part.size == 0 ? text.data : memmem(text.data, text.size, part.data, part.size);
}

static err_t
text_position(struct call *call, const struct datum *args, struct datum *out)
{
    const uint8_t *at = find(args[0].bytes, args[1].bytes);

    (void)call;
    out->i = at == NULL ? 0
                        : 1 + (int64_t)text_characters(
                                  slice_of(args[0].bytes.data, (size_t)(at - args[0].bytes.data)));
    return ERR_OK;
}

static err_t
text_starts_with(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = slice_starts_with(args[0].bytes, args[1].bytes);
    return ERR_OK;
}

static err_t
text_replace(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice text = args[0].bytes, from = args[1].bytes, to = args[2].bytes;
    struct buf result;

    if (from.size == 0) {
        out->bytes = text;
        return ERR_OK;
    }
    buf_init(&result, MEM_SESSIONS);
    for (const uint8_t *at; (at = find(text, from)) != NULL && result.size < RESULT_BYTES_MAX;) {
        size_t before = (size_t)(at - text.data);

        buf_append(&result, text.data, before);
        buf_append(&result, to.data, to.size);
        text = slice_of(at + from.size, text.size - before - from.size);
    }
    buf_append(&result, text.data, text.size);
    out->bytes = arena_copy(call->arena, buf_slice(&result));
    buf_fini(&result);
    return out->bytes.data == NULL ? err_set_default(ERR_NO_MEMORY) : ERR_OK;
}

static err_t
text_split_part(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice text = args[0].bytes, separator = args[1].bytes;
    int64_t wanted = args[2].i, parts = 1;
    const uint8_t *at;

    (void)call;
    if (wanted == 0) {
        return sql_error("22023", "field position must not be zero");
    }
    out->bytes = SLICE("");
    if (separator.size == 0) {
        out->bytes = wanted == 1 || wanted == -1 ? text : SLICE("");
        return ERR_OK;
    }
    if (wanted < 0) {
        struct slice rest = text;

        for (; (at = find(rest, separator)) != NULL; parts++) {
            rest = slice_of(at + separator.size,
                            (size_t)(rest.data + rest.size - at) - separator.size);
        }
        wanted = parts + wanted + 1;
    }
    for (int64_t part = 1; wanted >= 1; part++) {
        at = find(text, separator);
        if (part == wanted) {
            out->bytes = at == NULL ? text : slice_of(text.data, (size_t)(at - text.data));
            break;
        }
        if (at == NULL) {
            break;
        }
        text = slice_of(at + separator.size, (size_t)(text.data + text.size - at) - separator.size);
    }
    return ERR_OK;
}

/* ---- Making text ---- */

static err_t
text_repeat(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice text = args[0].bytes;
    uint64_t count = args[1].i > 0 ? (uint64_t)args[1].i : 0;
    err_t err;
    uint8_t *bytes = room(call, text.size * count, &err);

    for (uint64_t i = 0; bytes != NULL && i < count && text.size > 0; i++) {
        memcpy(bytes + i * text.size, text.data, text.size);
    }
    out->bytes = slice_of(bytes, bytes != NULL ? text.size * count : 0);
    return err;
}

static err_t
text_reverse(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice text = args[0].bytes;
    err_t err;
    uint8_t *bytes = room(call, text.size, &err);

    for (size_t i = 0; bytes != NULL && i < text.size;) {
        size_t size = text_prefix_bytes(slice_of(text.data + i, text.size - i), 1);

        memcpy(bytes + text.size - i - size, text.data + i, size);
        i += size;
    }
    out->bytes = slice_of(bytes, text.size);
    return err;
}

static err_t
text_pad_to(struct call *call, const struct datum *args, bool is_left, struct datum *out)
{
    struct slice text = args[0].bytes;
    struct slice fill = call->arg_count > 2 ? args[2].bytes : SLICE(" ");
    int64_t wanted = MAX(args[1].i, (int64_t)0);
    int64_t missing = wanted - (int64_t)text_characters(text);
    struct buf result;

    if (missing <= 0 || fill.size == 0) {
        out->bytes = substring(text, 1, wanted);
        return ERR_OK;
    }
    if ((uint64_t)wanted * 4 > RESULT_BYTES_MAX) {
        return sql_error("54000", "requested length too large");
    }
    buf_init(&result, MEM_SESSIONS);
    buf_append(&result, text.data, is_left ? 0 : text.size);
    while (missing > 0) {
        size_t part = text_prefix_bytes(fill, (uint64_t)missing);

        buf_append(&result, fill.data, part);
        missing -= (int64_t)text_characters(slice_of(fill.data, part));
    }
    buf_append(&result, text.data, is_left ? text.size : 0);
    out->bytes = arena_copy(call->arena, buf_slice(&result));
    buf_fini(&result);
    return ERR_OK;
}

static err_t
text_lpad(struct call *call, const struct datum *args, struct datum *out)
{
    return text_pad_to(call, args, true, out);
}

static err_t
text_rpad(struct call *call, const struct datum *args, struct datum *out)
{
    return text_pad_to(call, args, false, out);
}

static err_t
text_ascii(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice text = args[0].bytes;
    size_t size = text_prefix_bytes(text, 1);
    uint32_t point = text.size == 0 ? 0 : size == 1 ? text.data[0] : text.data[0] & (0x7fU >> size);

    (void)call;
    for (size_t i = 1; i < size; i++) {
        point = point << 6 | (text.data[i] & 0x3f);
    }
    out->i = point;
    return ERR_OK;
}

static err_t
text_chr(struct call *call, const struct datum *args, struct datum *out)
{
    uint32_t point = (uint32_t)args[0].i;
    uint8_t *bytes = arena_alloc(call->arena, 4);
    size_t size;

    if (args[0].i == 0) {
        return sql_error("54000", "null character not permitted");
    }
    if (args[0].i < 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
        return sql_error("54000", "requested character not valid for encoding: %lld",
                         (long long)args[0].i);
    }
    size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        bytes[i] = (uint8_t)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    bytes[0] = (uint8_t)(size == 1 ? point : (0xf00U >> size & 0xff) | point);
    out->bytes = slice_of(bytes, size);
    return ERR_OK;
}

/* Of any type, as concat takes it: true is t. */
static void
argument_output(struct call *call, uint32_t arg, struct datum value, struct buf *out)
{
    const struct type *type = call_arg_type(call, arg);

    type->output(type, call->settings, value, out);
}

/* concat: nulls are left out. */
static err_t
text_concat_all(struct call *call, const struct datum *args, struct datum *out)
{
    struct buf result;

    buf_init(&result, MEM_SESSIONS);
    for (uint32_t i = 0; i < call->arg_count; i++) {
        if (call->nulls[i] == 0) {
            argument_output(call, i, args[i], &result);
        }
    }
    out->bytes = arena_copy(call->arena, buf_slice(&result));
    buf_fini(&result);
    return ERR_OK;
}

static err_t
text_concat_ws(struct call *call, const struct datum *args, struct datum *out)
{
    bool is_first = true;
    struct buf result;

    if (call->nulls[0] != 0) {
        call->is_null = true;
        return ERR_OK;
    }
    buf_init(&result, MEM_SESSIONS);
    for (uint32_t i = 1; i < call->arg_count; i++) {
        if (call->nulls[i] != 0) {
            continue;
        }
        buf_append(&result, args[0].bytes.data, is_first ? 0 : args[0].bytes.size);
        argument_output(call, i, args[i], &result);
        is_first = false;
    }
    out->bytes = arena_copy(call->arena, buf_slice(&result));
    buf_fini(&result);
    return ERR_OK;
}

/* ---- LIKE: % any characters, _ one, \ takes the next as it is ---- */

enum { LIKE_NO, LIKE_YES, LIKE_BAD };

static bool
like_byte_equal(uint8_t a, uint8_t b, bool ignores_case)
{
    return a == b || (ignores_case && a < 0x80 && b < 0x80 && tolower(a) == tolower(b));
}

/* Goes back to the last % only: what lies before it has matched as early as possible, and so no
 * earlier % needs another try. */
static int
like(struct slice text, struct slice pattern, bool ignores_case)
{
    size_t t = 0, p = 0, retry_t = 0, retry_p = SIZE_MAX;

    for (;;) {
        if (p < pattern.size && pattern.data[p] == '%') {
            retry_p = ++p;
            retry_t = t;
            continue;
        }
        if (t == text.size) {
            if (p < pattern.size && pattern.data[p] == '\\' && p + 1 == pattern.size) {
                return LIKE_BAD;
            }
            return p == pattern.size ? LIKE_YES : LIKE_NO;
        }
        if (p < pattern.size) {
            size_t literal = p + (pattern.data[p] == '\\');

            if (literal == pattern.size) {
                return LIKE_BAD;
            }
            if (pattern.data[p] == '_') {
                t += text_prefix_bytes(slice_of(text.data + t, text.size - t), 1);
                p++;
                continue;
            }
            if (like_byte_equal(text.data[t], pattern.data[literal], ignores_case)) {
                t++;
                p = literal + 1;
                continue;
            }
        }
        if (retry_p == SIZE_MAX) {
            return LIKE_NO;
        }
        retry_t += text_prefix_bytes(slice_of(text.data + retry_t, text.size - retry_t), 1);
        t = retry_t;
        p = retry_p;
    }
}

static err_t
like_run(const struct datum *args, bool ignores_case, bool is_negated, struct datum *out)
{
    int result = like(args[0].bytes, args[1].bytes, ignores_case);

    if (result == LIKE_BAD) {
        return sql_error("22025", "LIKE pattern must not end with escape character");
    }
    out->i = (result == LIKE_YES) != is_negated;
    return ERR_OK;
}

#define LIKE_FUNCTION(name, ignores_case, is_negated)                                              \
    static err_t text_##name(struct call *call, const struct datum *args, struct datum *out)       \
    {                                                                                              \
        (void)call;                                                                                \
        return like_run(args, (ignores_case), (is_negated), out);                                  \
    }
LIKE_FUNCTION(like, false, false)
LIKE_FUNCTION(not_like, false, true)
LIKE_FUNCTION(ilike, true, false)
LIKE_FUNCTION(not_ilike, true, true)

/* like_escape: the pattern with another escape character, as one with \. */
static err_t
text_like_escape(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice pattern = args[0].bytes, escape = args[1].bytes;
    struct buf result;

    if (text_characters(escape) > 1) {
        (void)sql_error("22025", "invalid escape string");
        return sql_hint("Escape string must be empty or one character.");
    }
    buf_init(&result, MEM_SESSIONS);
    for (size_t i = 0; i < pattern.size; i++) {
        bool is_escape = escape.size > 0 && pattern.size - i >= escape.size &&
                         memcmp(pattern.data + i, escape.data, escape.size) == 0;

        if (is_escape) {
            buf_append_byte(&result, '\\');
            i += escape.size;
            if (i < pattern.size) {
                buf_append_byte(&result, pattern.data[i]);
            }
        } else {
            buf_append(&result, "\\", pattern.data[i] == '\\' ? 1 : 0);
            buf_append_byte(&result, pattern.data[i]);
        }
    }
    out->bytes = arena_copy(call->arena, buf_slice(&result));
    buf_fini(&result);
    return ERR_OK;
}

#define FN(op, fname, res, nargs, code, ...)                                                       \
    {                                                                                              \
        (op),                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (nargs),         \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }
#define TEXT_1(fname, res, code)     FN(NULL, fname, res, 1, code, OID_TEXT)
#define TEXT_2(op, fname, res, code) FN(op, fname, res, 2, code, OID_TEXT, OID_TEXT)

static const struct operator_row rows[] = {
    TEXT_2("||", "textcat", OID_TEXT, text_concat),
    FN("||", "byteacat", OID_BYTEA, 2, text_concat, OID_BYTEA, OID_BYTEA),
    TEXT_1("length", OID_INT4, text_length),
    FN(NULL, "length", OID_INT4, 1, bpchar_length, OID_BPCHAR),
    FN(NULL, "length", OID_INT4, 1, bytes_length, OID_BYTEA),
    TEXT_1("char_length", OID_INT4, text_length),
    FN(NULL, "char_length", OID_INT4, 1, bpchar_length, OID_BPCHAR),
    TEXT_1("character_length", OID_INT4, text_length),
    TEXT_1("octet_length", OID_INT4, bytes_length),
    FN(NULL, "octet_length", OID_INT4, 1, bytes_length, OID_BYTEA),
    TEXT_1("bit_length", OID_INT4, bits_length),
    TEXT_1("lower", OID_TEXT, text_lower),
    TEXT_1("upper", OID_TEXT, text_upper),
    TEXT_1("initcap", OID_TEXT, text_initcap),
    FN(NULL, "substring", OID_TEXT, 2, text_substring, OID_TEXT, OID_INT4),
    FN(NULL, "substring", OID_TEXT, 3, text_substring, OID_TEXT, OID_INT4, OID_INT4),
    FN(NULL, "substr", OID_TEXT, 2, text_substring, OID_TEXT, OID_INT4),
    FN(NULL, "substr", OID_TEXT, 3, text_substring, OID_TEXT, OID_INT4, OID_INT4),
    FN(NULL, "left", OID_TEXT, 2, text_left, OID_TEXT, OID_INT4),
    FN(NULL, "right", OID_TEXT, 2, text_right, OID_TEXT, OID_INT4),
    TEXT_1("ltrim", OID_TEXT, text_ltrim),
    TEXT_2(NULL, "ltrim", OID_TEXT, text_ltrim),
    TEXT_1("rtrim", OID_TEXT, text_rtrim),
    TEXT_2(NULL, "rtrim", OID_TEXT, text_rtrim),
    TEXT_1("btrim", OID_TEXT, text_btrim),
    TEXT_2(NULL, "btrim", OID_TEXT, text_btrim),
    TEXT_2(NULL, "position", OID_INT4, text_position),
    TEXT_2(NULL, "strpos", OID_INT4, text_position),
    TEXT_2("^@", "starts_with", OID_BOOL, text_starts_with),
    FN(NULL, "replace", OID_TEXT, 3, text_replace, OID_TEXT, OID_TEXT, OID_TEXT),
    FN(NULL, "split_part", OID_TEXT, 3, text_split_part, OID_TEXT, OID_TEXT, OID_INT4),
    FN(NULL, "repeat", OID_TEXT, 2, text_repeat, OID_TEXT, OID_INT4),
    TEXT_1("reverse", OID_TEXT, text_reverse),
    FN(NULL, "lpad", OID_TEXT, 2, text_lpad, OID_TEXT, OID_INT4),
    FN(NULL, "lpad", OID_TEXT, 3, text_lpad, OID_TEXT, OID_INT4, OID_TEXT),
    FN(NULL, "rpad", OID_TEXT, 2, text_rpad, OID_TEXT, OID_INT4),
    FN(NULL, "rpad", OID_TEXT, 3, text_rpad, OID_TEXT, OID_INT4, OID_TEXT),
    TEXT_1("ascii", OID_INT4, text_ascii),
    FN(NULL, "chr", OID_TEXT, 1, text_chr, OID_INT4),
    TEXT_2("~~", "textlike", OID_BOOL, text_like),
    TEXT_2("!~~", "textnlike", OID_BOOL, text_not_like),
    TEXT_2("~~*", "texticlike", OID_BOOL, text_ilike),
    TEXT_2("!~~*", "texticnlike", OID_BOOL, text_not_ilike),
    TEXT_2(NULL, "like_escape", OID_TEXT, text_like_escape),
    {NULL,
     {.name = "concat",
      .result = OID_TEXT,
      .args = {OID_ANY},
      .arg_count = 1,
      .is_variadic = true,
      .run = text_concat_all}},
    {NULL,
     {.name = "concat_ws",
      .result = OID_TEXT,
      .args = {OID_TEXT, OID_ANY},
      .arg_count = 2,
      .is_variadic = true,
      .run = text_concat_ws}},
};

const struct function_part fn_part_text = {rows, sizeof(rows) / sizeof(rows[0])};
