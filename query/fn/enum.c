/* query/fn/enum.c - functions on enums: PostgreSQL 15, section 9.10. */
#include "models/types/enum.h"

#include "models/types/array.h"
#include "models/types/sql_error.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

static err_t
end_of(struct call *call, bool is_last, struct datum *out)
{
    const struct enum_type *type = enum_type_of(call_arg_type(call, 0));
    const struct enum_label *label;

    if (type->count == 0) {
        return sql_error("55000", "enum %s contains no values", type->type.display);
    }
    label = &type->labels[is_last ? type->count - 1 : 0];
    out->i = label->place;
    return enum_label_check(type, label);
}

static err_t
first_run(struct call *call, const struct datum *args, struct datum *out)
{
    (void)args;
    return end_of(call, false, out);
}

static err_t
last_run(struct call *call, const struct datum *args, struct datum *out)
{
    (void)args;
    return end_of(call, true, out);
}

/* lower, upper NULL: from the first, to the last. */
static err_t
range_of(struct call *call, const struct datum *lower, const struct datum *upper, struct datum *out)
{
    const struct enum_type *type = enum_type_of(call_arg_type(call, 0));
    struct datum *values = arena_alloc(call->arena, (type->count + 1U) * sizeof(*values));
    uint32_t count = 0;
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < type->count; i++) {
        const struct enum_label *label = &type->labels[i];

        if ((lower == NULL || label->place >= lower->i) &&
            (upper == NULL || label->place <= upper->i)) {
            err = enum_label_check(type, label);
            values[count++] = datum_int(label->place);
        }
    }
    return err == ERR_OK ? array_list_put(&type->type, values, NULL, count, call->arena, out) : err;
}

static err_t
range_run(struct call *call, const struct datum *args, struct datum *out)
{
    (void)args;
    return range_of(call, NULL, NULL, out);
}

static err_t
range_bounds_run(struct call *call, const struct datum *args, struct datum *out)
{
    return range_of(call, call->nulls[0] ? NULL : &args[0], call->nulls[1] ? NULL : &args[1], out);
}

static err_t
cmp_run(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = (args[0].i > args[1].i) - (args[0].i < args[1].i);
    return ERR_OK;
}

static err_t
smaller_run(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = MIN(args[0].i, args[1].i);
    return ERR_OK;
}

static err_t
larger_run(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = MAX(args[0].i, args[1].i);
    return ERR_OK;
}

#define ONE(called, type, code)                                                                    \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (called), .result = (type), .args = {OID_ANYENUM}, .arg_count = 1,             \
            .run = (code)                                                                          \
        }                                                                                          \
    }
#define TWO(called, type, strict, code)                                                            \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (called), .result = (type), .args = {OID_ANYENUM, OID_ANYENUM},                \
            .arg_count = 2, .is_strict = (strict), .run = (code)                                   \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    ONE("enum_first", OID_ANYENUM, first_run),
    ONE("enum_last", OID_ANYENUM, last_run),
    ONE("enum_range", OID_ANYARRAY, range_run),
    TWO("enum_range", OID_ANYARRAY, false, range_bounds_run),
    TWO("enum_cmp", OID_INT4, true, cmp_run),
    TWO("enum_smaller", OID_ANYENUM, true, smaller_run),
    TWO("enum_larger", OID_ANYENUM, true, larger_run),
};

const struct function_part fn_part_enum = {rows, sizeof(rows) / sizeof(rows[0])};
