/* query/fn/polymorphic.c - what anyelement, anycompatible and their families stand for in a call.
 *
 * Rules: PostgreSQL 15, sections 38.2.5 (the families) and 10.5 (common types). */
#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

enum { COMPATIBLE_MAX = 128 };

bool
fn_is_polymorphic(oid_t type)
{
    switch (type) {
    case OID_ANYELEMENT:
    case OID_ANYARRAY:
    case OID_ANYNONARRAY:
    case OID_ANYENUM:
    case OID_ANYCOMPATIBLE:
    case OID_ANYCOMPATIBLEARRAY:
    case OID_ANYCOMPATIBLENONARRAY:
        return true;
    default:
        return false;
    }
}

oid_t
fn_parameter(const struct function *function, uint32_t index)
{
    return function->args[MIN(index, (uint32_t)function->arg_count - 1)];
}

struct families {
    const struct type *element, *array; /* anyelement's family: all of one type. */
    const struct type *common, *common_array;
    uint32_t count;
    oid_t types[COMPATIBLE_MAX]; /* anycompatible's: of elements, where it is an array. */
    bool is_simple, is_compatible;
};

/* anyelement, anynonarray, anyenum, anyarray. */
static bool
simple_take(struct families *families, oid_t declared, const struct type *arg)
{
    families->is_simple = true;
    if (arg->oid == OID_UNKNOWN) {
        return true;
    }
    if (declared == OID_ANYARRAY) {
        if (arg->element_type == NULL || (families->array != NULL && families->array != arg)) {
            return false;
        }
        families->array = arg;
        return true;
    }
    if ((declared == OID_ANYNONARRAY && arg->element_type != NULL) ||
        (declared == OID_ANYENUM && arg->category != 'E') ||
        (families->element != NULL && families->element != arg)) {
        return false;
    }
    families->element = arg;
    return true;
}

static bool
compatible_take(struct families *families, oid_t declared, const struct type *arg)
{
    const struct type *element = arg;

    families->is_compatible = true;
    if (arg->oid == OID_UNKNOWN) {
        return true;
    }
    if (declared == OID_ANYCOMPATIBLEARRAY) {
        element = arg->element_type;
    } else if (declared == OID_ANYCOMPATIBLENONARRAY && arg->element_type != NULL) {
        return false;
    }
    if (element == NULL || families->count == COMPATIBLE_MAX) {
        return false;
    }
    families->types[families->count++] = element->oid;
    families->common = element;
    return true;
}

/* The one type that all have, by pointer: types of users are not in the table of numbers. */
static bool
common_find(struct families *families)
{
    oid_t before, at, common;
    bool is_one = true;

    for (uint32_t i = 1; i < families->count; i++) {
        is_one = is_one && families->types[i] == families->types[0];
    }
    if (families->count == 0 || !is_one) {
        common = fn_common_type(families->types, families->count, &before, &at);
        families->common = common == 0 ? NULL : type_by_oid(common);
    }
    families->common_array = families->common != NULL ? families->common->array_type : NULL;
    return families->common != NULL;
}

static err_t
array_missing(const struct type *element)
{
    return sql_error("42704", "could not find array type for data type %s", element->display);
}

static err_t
meaning_of(const struct families *families, oid_t declared, const struct type **out)
{
    switch (declared) {
    case OID_ANYELEMENT:
    case OID_ANYNONARRAY:
    case OID_ANYENUM:
        *out = families->element;
        break;
    case OID_ANYARRAY:
        *out = families->array != NULL ? families->array : families->element->array_type;
        return *out != NULL ? ERR_OK : array_missing(families->element);
    case OID_ANYCOMPATIBLE:
    case OID_ANYCOMPATIBLENONARRAY:
        *out = families->common;
        break;
    case OID_ANYCOMPATIBLEARRAY:
        *out = families->common_array;
        return *out != NULL ? ERR_OK : array_missing(families->common);
    default:
        break;
    }
    return ERR_OK;
}

static bool
families_gather(struct families *families, const struct type *const *args, uint32_t count,
                const struct type *const *declared)
{
    for (uint32_t i = 0; i < count; i++) {
        bool fits = true;

        switch (declared[i]->oid) {
        case OID_ANYELEMENT:
        case OID_ANYNONARRAY:
        case OID_ANYENUM:
        case OID_ANYARRAY:
            fits = simple_take(families, declared[i]->oid, args[i]);
            break;
        case OID_ANYCOMPATIBLE:
        case OID_ANYCOMPATIBLENONARRAY:
        case OID_ANYCOMPATIBLEARRAY:
            fits = compatible_take(families, declared[i]->oid, args[i]);
            break;
        default:
            break;
        }
        if (!fits) {
            return false;
        }
    }
    return true;
}

err_t
fn_resolve(const struct type *const *args, uint32_t count, const struct type **declared,
           oid_t result, const struct type **result_out)
{
    struct families families = {0};
    err_t err = ERR_OK;

    if (!families_gather(&families, args, count, declared)) {
        return ERR_NOT_FOUND;
    }
    if (families.array != NULL) {
        if (families.element != NULL && families.element != families.array->element_type) {
            return ERR_NOT_FOUND;
        }
        families.element = families.array->element_type;
    }
    if (families.is_simple && families.element == NULL) {
        return sql_error("42804",
                         "could not determine polymorphic type because input has type unknown");
    }
    if (families.is_compatible && !common_find(&families)) {
        return ERR_NOT_FOUND;
    }
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = meaning_of(&families, declared[i]->oid, &declared[i]);
    }
    if (err == ERR_OK && result != 0) {
        *result_out = type_by_oid(result);
        err = meaning_of(&families, result, result_out);
    }
    return err;
}
