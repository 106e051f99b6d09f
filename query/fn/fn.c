/* query/fn/fn.c - finding operators, functions and aggregates by the types of their arguments. */
#include "query/fn/fn.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/rt/fiber.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum { STACK_BYTES_MIN = 96 << 10 }; /* What one level, and what it calls in libraries, may take. */

err_t
sql_stack_check(void)
{
    if (__builtin_expect(fiber_stack_left() >= STACK_BYTES_MIN, 1)) {
        return ERR_OK;
    }
    (void)sql_error("54001", "stack depth limit exceeded");
    return sql_hint("The statement is nested too deeply.");
}

/* One a line. */
/* clang-format off */
static const struct function_part *const parts[] = {
    &fn_part_array,
    &fn_part_sequence,
    &fn_part_math,
    &fn_part_compare,
    &fn_part_enum,
    &fn_part_text,
    &fn_part_series,
    &fn_part_redis,
    &fn_part_array_set,
    &fn_part_datetime,
    &fn_part_datetime_make,
    &fn_part_datetime_part,
    &fn_part_datetime_format,
    &fn_part_datetime_scan,
    &fn_part_json,
    &fn_part_json_build,
    &fn_part_json_rows,
    &fn_part_jsonb_change,
    &fn_part_catalog,
    &fn_part_definition,
    &fn_part_regex,
    &fn_part_setting,
};
/* clang-format on */
enum { PART_COUNT = sizeof(parts) / sizeof(parts[0]), CANDIDATES_MAX = 128 };

static const struct function_part *
part_at(uint32_t index)
{
    return parts[index];
}

const struct function_part *
fn_part(uint32_t index)
{
    return index < PART_COUNT ? parts[index] : NULL;
}

const char *
fn_operator_name(const struct function *function)
{
    for (uint32_t i = 0; i < PART_COUNT; i++) {
        const struct operator_row *rows = part_at(i)->rows;

        if ((const void *)function >= (const void *)rows &&
            (const void *)function < (const void *)(rows + part_at(i)->count)) {
            uintptr_t offset = (uintptr_t)function - (uintptr_t)rows;

            return rows[offset / sizeof(*rows)].name;
        }
    }
    return NULL;
}

/* ---- Candidates: those of the name and the number of arguments ---- */

struct candidates {
    const struct function *functions[CANDIDATES_MAX];
    uint32_t count;
};

static bool
takes(const struct function *function, uint32_t arg_count)
{
    return function->is_variadic ? arg_count >= function->arg_count
                                 : arg_count == function->arg_count;
}

static void
candidates_gather(struct candidates *candidates, const char *name, bool is_operator,
                  uint32_t arg_count)
{
    candidates->count = 0;
    for (uint32_t part = 0; part < PART_COUNT; part++) {
        for (uint32_t i = 0; i < part_at(part)->count; i++) {
            const struct operator_row *row = &part_at(part)->rows[i];
            const char *candidate = is_operator ? row->name : row->function.name;

            if (candidate != NULL && strcmp(candidate, name) == 0 &&
                takes(&row->function, arg_count)) {
                ASSERT(candidates->count < CANDIDATES_MAX);
                candidates->functions[candidates->count++] = &row->function;
            }
        }
    }
}

/* ---- Choice ---- */

static bool
is_coercible(oid_t from, oid_t to)
{
    const struct type *type = type_like(from);
    const struct function *function;

    switch (to) {
    case OID_ANY:
    case OID_ANYELEMENT:
    case OID_ANYCOMPATIBLE:
        return true;
    case OID_ANYARRAY:
    case OID_ANYCOMPATIBLEARRAY:
        return from == OID_UNKNOWN || (type != NULL && type->element_type != NULL);
    case OID_ANYNONARRAY:
    case OID_ANYCOMPATIBLENONARRAY:
        return type == NULL || type->element_type == NULL;
    case OID_ANYENUM:
        return from == OID_UNKNOWN || type == NULL || type->category == 'E';
    default:
        return from == OID_UNKNOWN || fn_cast(from, to, COERCE_IMPLICIT, &function) != CAST_NONE;
    }
}

static char
category_of(oid_t oid)
{
    const struct type *type = type_like(oid);

    return type != NULL ? type->category : 'U';
}

static bool
is_preferred(oid_t oid)
{
    const struct type *type = type_like(oid);

    return type != NULL && type->is_preferred;
}

/* Keeps the candidates with the highest score. */
static void
keep_best(struct candidates *candidates, const oid_t *args, uint32_t count,
          uint32_t (*score)(const struct function *, const oid_t *, uint32_t))
{
    uint32_t best = 0, kept = 0;

    for (uint32_t i = 0; i < candidates->count; i++) {
        best = MAX(best, score(candidates->functions[i], args, count));
    }
    for (uint32_t i = 0; i < candidates->count; i++) {
        if (score(candidates->functions[i], args, count) == best) {
            candidates->functions[kept++] = candidates->functions[i];
        }
    }
    candidates->count = kept;
}

static uint32_t
score_exact(const struct function *function, const oid_t *args, uint32_t count)
{
    uint32_t score = 0;

    for (uint32_t i = 0; i < count; i++) {
        score += args[i] == fn_parameter(function, i) && args[i] != OID_UNKNOWN;
    }
    return score;
}

/* Exact, or of the preferred type where a conversion is needed. */
static uint32_t
score_preferred(const struct function *function, const oid_t *args, uint32_t count)
{
    uint32_t score = 0;

    for (uint32_t i = 0; i < count; i++) {
        oid_t to = fn_parameter(function, i);

        score += args[i] != OID_UNKNOWN &&
                 (args[i] == to || (is_preferred(to) && category_of(args[i]) == category_of(to)));
    }
    return score;
}

/* Types that users made are alike, but not the same: anyelement and its family takes one of them,
 * and its arrays. */
static bool
users_agree(const struct function *function, const oid_t *args, uint32_t count)
{
    oid_t known = 0;

    for (uint32_t i = 0; i < count; i++) {
        oid_t to = fn_parameter(function, i), enum_oid = args[i] - args[i] % 2;

        if (args[i] < OID_FIRST_USER || (to != OID_ANYELEMENT && to != OID_ANYARRAY &&
                                         to != OID_ANYNONARRAY && to != OID_ANYENUM)) {
            continue;
        }
        if (known != 0 && known != enum_oid) {
            return false;
        }
        known = enum_oid;
    }
    return true;
}

/* Do the arguments agree in what polymorphic parameters stand for? */
static bool
agrees(const struct function *function, const oid_t *args, uint32_t count)
{
    const struct type *types[CANDIDATES_MAX], *declared[CANDIDATES_MAX];
    bool is_polymorphic = false;

    for (uint32_t i = 0; i < count; i++) {
        is_polymorphic = is_polymorphic || fn_is_polymorphic(fn_parameter(function, i));
    }
    for (uint32_t i = 0; is_polymorphic && i < count; i++) {
        types[i] = type_like(args[i]);
        declared[i] = type_like(fn_parameter(function, i));
        is_polymorphic = types[i] != NULL && declared[i] != NULL;
    }
    return !is_polymorphic || (users_agree(function, args, count) &&
                               fn_resolve(types, count, declared, 0, NULL) != ERR_NOT_FOUND);
}

static void
keep_coercible(struct candidates *candidates, const oid_t *args, uint32_t count)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < candidates->count; i++) {
        bool fits = true;

        for (uint32_t j = 0; fits && j < count; j++) {
            fits = is_coercible(args[j], fn_parameter(candidates->functions[i], j));
        }
        if (fits && agrees(candidates->functions[i], args, count)) {
            candidates->functions[kept++] = candidates->functions[i];
        }
    }
    candidates->count = kept;
}

/* Step 4.e of the rules: what the candidates say of the places of unknown literals. Strings win. */
static void
keep_by_unknowns(struct candidates *candidates, const oid_t *args, uint32_t count)
{
    for (uint32_t j = 0; j < count; j++) {
        char category = 0;
        uint32_t kept = 0;
        bool has_preferred = false, is_one = true;

        if (args[j] != OID_UNKNOWN) {
            continue;
        }
        for (uint32_t i = 0; i < candidates->count; i++) {
            char here = category_of(fn_parameter(candidates->functions[i], j));

            is_one = is_one && (category == 0 || category == here);
            category = category == 'S' || here == 'S' ? 'S' : category == 0 ? here : category;
        }
        if (!is_one && category != 'S') {
            return;
        }
        for (uint32_t i = 0; i < candidates->count; i++) {
            oid_t to = fn_parameter(candidates->functions[i], j);

            has_preferred = has_preferred || (category_of(to) == category && is_preferred(to));
        }
        for (uint32_t i = 0; i < candidates->count; i++) {
            oid_t to = fn_parameter(candidates->functions[i], j);

            if (category_of(to) == category && (!has_preferred || is_preferred(to))) {
                candidates->functions[kept++] = candidates->functions[i];
            }
        }
        candidates->count = kept > 0 ? kept : candidates->count;
    }
}

/* The last step: unknown literals are taken for the one type that the others have. */
static const struct function *
by_one_type(const struct candidates *candidates, const oid_t *args, uint32_t count)
{
    oid_t known = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (args[i] != OID_UNKNOWN && known != 0 && args[i] != known) {
            return NULL;
        }
        known = args[i] != OID_UNKNOWN ? args[i] : known;
    }
    for (uint32_t i = 0; known != 0 && i < candidates->count; i++) {
        bool is_all = true;

        for (uint32_t j = 0; j < count; j++) {
            is_all = is_all && fn_parameter(candidates->functions[i], j) == known;
        }
        if (is_all) {
            return candidates->functions[i];
        }
    }
    return NULL;
}

/* The same with conversions: the one candidate that takes all as the type of those known. */
static const struct function *
by_one_type_converted(struct candidates *candidates, const oid_t *args, uint32_t count)
{
    oid_t same[CANDIDATES_MAX], known = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (args[i] != OID_UNKNOWN && known != 0 && args[i] != known) {
            return NULL;
        }
        known = args[i] != OID_UNKNOWN ? args[i] : known;
    }
    for (uint32_t i = 0; i < count; i++) {
        same[i] = known;
    }
    if (known == 0) {
        return NULL;
    }
    keep_coercible(candidates, same, count);
    return candidates->count == 1 ? candidates->functions[0] : NULL;
}

static const struct function *
choose(struct candidates *candidates, const oid_t *args, uint32_t count, bool *is_ambiguous_out)
{
    const struct function *found;

    *is_ambiguous_out = false;
    for (uint32_t i = 0; i < candidates->count; i++) {
        if (score_exact(candidates->functions[i], args, count) == count) {
            return candidates->functions[i];
        }
    }
    found = by_one_type(candidates, args, count);
    if (found != NULL) {
        return found;
    }
    keep_coercible(candidates, args, count);
    if (candidates->count > 1) {
        keep_best(candidates, args, count, score_exact);
    }
    if (candidates->count > 1) {
        keep_best(candidates, args, count, score_preferred);
    }
    if (candidates->count > 1) {
        keep_by_unknowns(candidates, args, count);
    }
    if (candidates->count > 1) {
        found = by_one_type_converted(candidates, args, count);
        *is_ambiguous_out = found == NULL;
        return found;
    }
    return candidates->count == 1 ? candidates->functions[0] : NULL;
}

const struct function *
fn_operator(const char *name, oid_t left, oid_t right, bool *is_ambiguous_out)
{
    oid_t args[2] = {left != 0 ? left : right, right};
    uint32_t count = left != 0 ? 2 : 1;
    struct candidates candidates;

    candidates_gather(&candidates, strcmp(name, "!=") == 0 ? "<>" : name, true, count);
    return choose(&candidates, args, count, is_ambiguous_out);
}

const struct function *
fn_find(const char *name, const oid_t *args, uint32_t arg_count, bool *is_ambiguous_out)
{
    struct candidates candidates;

    candidates_gather(&candidates, name, false, arg_count);
    return choose(&candidates, args, arg_count, is_ambiguous_out);
}

bool
fn_is_known(const char *name)
{
    for (uint32_t part = 0; part < PART_COUNT; part++) {
        for (uint32_t i = 0; i < part_at(part)->count; i++) {
            if (strcmp(part_at(part)->rows[i].function.name, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

const struct function *
fn_equality(oid_t type)
{
    bool is_ambiguous;

    return fn_operator("=", type, type, &is_ambiguous);
}

/* ---- Aggregates ---- */

static const struct aggregate_part *const aggregate_parts[] = {
    &fn_aggregates_array,
    &fn_aggregates_json,
    &fn_aggregates_math,
    &fn_aggregates_pair,
};
enum { AGGREGATE_PART_COUNT = sizeof(aggregate_parts) / sizeof(aggregate_parts[0]) };

const struct aggregate_part *
fn_aggregate_part(uint32_t index)
{
    return index < AGGREGATE_PART_COUNT ? aggregate_parts[index] : NULL;
}

bool
fn_is_aggregate(const char *name)
{
    for (uint32_t part = 0; part < AGGREGATE_PART_COUNT; part++) {
        for (uint32_t i = 0; i < aggregate_parts[part]->count; i++) {
            if (strcmp(aggregate_parts[part]->rows[i].name, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static uint32_t
aggregate_args(const struct aggregate_function *function)
{
    return (uint32_t)(function->arg != 0) + (function->arg2 != 0);
}

/* The better of `best` and those of one part; *is_exact_out: no other can be. */
static const struct aggregate_function *
aggregate_in(const struct aggregate_part *part, const char *name, const oid_t *args,
             uint32_t arg_count, const struct aggregate_function *best, bool *is_exact_out)
{
    for (uint32_t i = 0; i < part->count; i++) {
        const struct aggregate_function *candidate = &part->rows[i];
        bool is_better;

        if (strcmp(candidate->name, name) != 0 || aggregate_args(candidate) != arg_count) {
            continue;
        }
        if (arg_count == 0 || candidate->arg == args[0] || candidate->arg == OID_ANY) {
            *is_exact_out = true;
            return candidate;
        }
        if (!is_coercible(args[0], candidate->arg)) {
            continue;
        }
        is_better = best == NULL || (!is_preferred(best->arg) && is_preferred(candidate->arg));
        best = is_better ? candidate : best;
    }
    return best;
}

const struct aggregate_function *
fn_aggregate(const char *name, const oid_t *args, uint32_t arg_count)
{
    const struct aggregate_function *best = NULL;
    bool is_exact = false;

    for (uint32_t part = 0; !is_exact && part < AGGREGATE_PART_COUNT; part++) {
        best = aggregate_in(aggregate_parts[part], name, args, arg_count, best, &is_exact);
    }
    return best;
}

/* ---- Common type of UNION, CASE and their like ---- */

oid_t
fn_common_type(const oid_t *types, uint32_t count, oid_t *before_out, oid_t *at_out)
{
    const struct function *function;
    oid_t common = OID_UNKNOWN;

    for (uint32_t i = 0; i < count; i++) {
        if (types[i] == OID_UNKNOWN || types[i] == common) {
            continue;
        }
        if (common == OID_UNKNOWN) {
            common = types[i];
        } else if (category_of(types[i]) != category_of(common)) {
            *before_out = common;
            *at_out = types[i];
            return 0;
        } else if (!is_preferred(common) &&
                   fn_cast(common, types[i], COERCE_IMPLICIT, &function) != CAST_NONE &&
                   fn_cast(types[i], common, COERCE_IMPLICIT, &function) == CAST_NONE) {
            common = types[i];
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_coercible(types[i], common)) {
            *before_out = common;
            *at_out = types[i];
            return 0;
        }
    }
    return common == OID_UNKNOWN ? OID_TEXT : common;
}
