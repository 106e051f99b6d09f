/* query/exec/utility_sequence.c - CREATE and ALTER SEQUENCE, and the sequences of columns. */
#include "query/exec/utility_internal.h"

#include <stdio.h>

#include "models/relational/sequence.h"

#include "engine/base/poison.h"

/* ---- Options ---- */

struct options {
    struct utility *utility;
    const DefElem *type, *start, *restart, *increment, *max, *min, *cache, *cycle, *owned_by;
};

static err_t
option_find(struct utility *utility, const DefElem *option, struct options *out)
{
    const struct {
        const char *name;
        const DefElem **place;
    } places[] = {{"as", &out->type},          {"start", &out->start},
                  {"restart", &out->restart},  {"increment", &out->increment},
                  {"maxvalue", &out->max},     {"minvalue", &out->min},
                  {"cache", &out->cache},      {"cycle", &out->cycle},
                  {"owned_by", &out->owned_by}};

    for (uint32_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strcmp(option->defname, places[i].name) == 0) {
            if (*places[i].place != NULL) {
                return utility_error(utility, option->location, "42601", "%s",
                                     "conflicting or redundant options");
            }
            *places[i].place = option;
            return ERR_OK;
        }
    }
    if (strcmp(option->defname, "sequence_name") == 0) {
        return ERR_OK;
    }
    return utility_error(utility, option->location, "0A000",
                         "the sequence option \"%s\" is not supported yet", option->defname);
}

static err_t
options_read(struct utility *utility, const List *list, struct options *out)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    *out = (struct options){.utility = utility};
    foreach(cell, list)
    {
        TRY(option_find(utility, lfirst(cell), out));
    }
out:
    return err;
}

static err_t
option_number(const DefElem *option, int64_t *out)
{
    switch (nodeTag(option->arg)) {
    case T_Integer:
        *out = intVal(option->arg);
        return ERR_OK;
    case T_Float:
        return int_from_text(slice_from_text(((const Float *)option->arg)->fval), "bigint",
                             INT64_MIN, INT64_MAX, out);
    default:
        return sql_error("42601", "%s requires a numeric value", option->defname);
    }
}

static err_t
type_bounds(oid_t type, bool is_identity, int64_t *min, int64_t *max)
{
    switch (type) {
    case OID_INT2:
        *min = INT16_MIN;
        *max = INT16_MAX;
        return ERR_OK;
    case OID_INT4:
        *min = INT32_MIN;
        *max = INT32_MAX;
        return ERR_OK;
    case OID_INT8:
        *min = INT64_MIN;
        *max = INT64_MAX;
        return ERR_OK;
    default:
        *min = *max = 0;
        return sql_error("22023", "%s type must be smallint, integer, or bigint",
                         is_identity ? "identity column" : "sequence");
    }
}

/* AS: bounds that were those of the old type become those of the new one. */
static err_t
type_apply(const struct options *options, struct sequence *sequence, bool is_new, bool *reset_min,
           bool *reset_max)
{
    const struct type *type;
    int64_t min = 0, max = 0;
    int32_t typmod;
    err_t err;

    if (options->type == NULL) {
        return ERR_OK;
    }
    TRY(bind_type_name(options->utility->catalog, options->utility->search_path, options->type->arg,
                       &type, &typmod));
    TRY(type_bounds(type->oid, sequence->is_identity, &min, &max));
    if (!is_new) {
        TRY(type_bounds(sequence->type, false, &min, &max));
        *reset_max = sequence->increment > 0 && sequence->max == max;
        *reset_min = sequence->increment < 0 && sequence->min == min;
    }
    sequence->type = type->oid;
out:
    return err;
}

static err_t
bounds_apply(const struct options *options, struct sequence *sequence, bool reset_min,
             bool reset_max)
{
    int64_t min = 0, max = 0;
    err_t err;

    TRY(type_bounds(sequence->type, sequence->is_identity, &min, &max));
    if (options->max != NULL && options->max->arg != NULL) {
        TRY(option_number(options->max, &sequence->max));
    } else if (options->max != NULL || reset_max) {
        sequence->max = sequence->increment > 0 ? max : -1;
    }
    if (sequence->max < min || sequence->max > max) {
        err = sql_error("22023", "MAXVALUE (%lld) is out of range for sequence data type %s",
                        (long long)sequence->max, type_by_oid(sequence->type)->display);
        goto out;
    }
    if (options->min != NULL && options->min->arg != NULL) {
        TRY(option_number(options->min, &sequence->min));
    } else if (options->min != NULL || reset_min) {
        sequence->min = sequence->increment < 0 ? min : 1;
    }
    if (sequence->min < min || sequence->min > max) {
        err = sql_error("22023", "MINVALUE (%lld) is out of range for sequence data type %s",
                        (long long)sequence->min, type_by_oid(sequence->type)->display);
        goto out;
    }
    if (sequence->min >= sequence->max) {
        err = sql_error("22023", "MINVALUE (%lld) must be less than MAXVALUE (%lld)",
                        (long long)sequence->min, (long long)sequence->max);
    }
out:
    return err;
}

static err_t
within(const struct sequence *sequence, int64_t value, const char *what)
{
    if (value < sequence->min) {
        return sql_error("22023", "%s value (%lld) cannot be less than MINVALUE (%lld)", what,
                         (long long)value, (long long)sequence->min);
    }
    if (value > sequence->max) {
        return sql_error("22023", "%s value (%lld) cannot be greater than MAXVALUE (%lld)", what,
                         (long long)value, (long long)sequence->max);
    }
    return ERR_OK;
}

static err_t
numbers_apply(const struct options *options, struct sequence *sequence, bool is_new)
{
    bool reset_min = is_new, reset_max = is_new;
    err_t err;

    TRY(type_apply(options, sequence, is_new, &reset_min, &reset_max));
    if (options->increment != NULL) {
        TRY(option_number(options->increment, &sequence->increment));
        if (sequence->increment == 0) {
            err = sql_error("22023", "INCREMENT must not be zero");
            goto out;
        }
    }
    if (options->cycle != NULL) {
        sequence->is_cycled = boolVal(options->cycle->arg);
    }
    TRY(bounds_apply(options, sequence, reset_min, reset_max));
    if (options->start != NULL) {
        TRY(option_number(options->start, &sequence->start));
    } else if (is_new) {
        sequence->start = sequence->increment > 0 ? sequence->min : sequence->max;
    }
    TRY(within(sequence, sequence->start, "START"));
    if (options->cache != NULL) {
        TRY(option_number(options->cache, &sequence->cache));
        if (sequence->cache <= 0) {
            err = sql_error("22023", "CACHE (%lld) must be greater than zero",
                            (long long)sequence->cache);
        }
    }
out:
    return err;
}

static err_t
owner_apply(struct utility *utility, const DefElem *owned_by, struct relation *relation)
{
    const List *names = (const List *)owned_by->arg;
    const struct relation *table;
    RangeVar name = {.location = -1};
    uint16_t column;
    int count = list_length(names);
    err_t err;

    if (count == 1) {
        if (strcmp(strVal(linitial(names)), "none") != 0) {
            (void)sql_error("42601", "invalid OWNED BY option");
            return sql_hint("Specify OWNED BY table.column or OWNED BY NONE.");
        }
        relation->sequence.owner = 0;
        return ERR_OK;
    }
    name.relname = strVal(list_nth(names, count - 2));
    name.schemaname = count > 2 ? strVal(list_nth(names, count - 3)) : NULL;
    TRY(utility_relation(utility, &name, false, &table));
    if (table->kind != RELATION_TABLE && table->kind != RELATION_VIEW) {
        (void)sql_error("42809", "sequence cannot be owned by relation \"%.*s\"",
                        SLICE_ARGS(table->name));
        return sql_detail("This operation is not supported for %s.",
                          table->kind == RELATION_SEQUENCE ? "sequences" : "indexes");
    }
    if (table->schema != relation->schema) {
        return sql_error("55000", "sequence must be in same schema as table it is linked to");
    }
    column = relation_column(table, slice_from_text(strVal(llast(names))));
    if (column == UINT16_MAX) {
        return sql_error("42703", "column \"%s\" of relation \"%.*s\" does not exist",
                         strVal(llast(names)), SLICE_ARGS(table->name));
    }
    relation->sequence.owner = table->oid;
    relation->sequence.column = column;
out:
    return err;
}

/* ---- CREATE SEQUENCE ---- */

static err_t
sequence_make(struct utility *utility, const List *list, struct relation *relation)
{
    struct options options;
    err_t err;

    TRY(options_read(utility, list, &options));
    TRY(numbers_apply(&options, &relation->sequence, true));
    if (options.restart != NULL) {
        return sql_error("42601", "sequence option \"restart\" not supported here");
    }
    if (options.owned_by != NULL) {
        TRY(owner_apply(utility, options.owned_by, relation));
    }
    relation->oid = catalog_oid_take(utility->catalog);
    TRY(sequence_state_take(&relation->sequence.state));
    utility_put(utility, relation);
out:
    return err;
}

static const struct sequence sequence_default = {.increment = 1, .cache = 1, .type = OID_INT8};

err_t
utility_create_sequence(struct utility *utility, const CreateSeqStmt *node)
{
    struct relation relation = {.kind = RELATION_SEQUENCE,
                                .persistence = RELATION_PERMANENT,
                                .owner = OID_ROLE_OWNER,
                                .sequence = sequence_default};
    const struct schema *schema;
    err_t err;

    utility->tag = "CREATE SEQUENCE";
    TRY(utility_schema(utility, node->sequence, &schema));
    relation.schema = schema->oid;
    relation.name = utility_name_of(utility, node->sequence->relname);
    relation.persistence = schema->name.size > 8 && memcmp(schema->name.data, "pg_temp_", 8) == 0
                               ? RELATION_TEMPORARY
                               : RELATION_PERMANENT;
    if (utility_is_taken(utility, schema->oid, relation.name)) {
        err = utility_already_exists(utility, node->if_not_exists, relation.name);
        goto out;
    }
    err = sequence_make(utility, node->options, &relation);
out:
    return err;
}

err_t
utility_column_sequence(struct utility *utility, const struct relation *table, uint16_t column,
                        oid_t type, const List *options, bool is_identity,
                        const struct relation **sequence_out)
{
    struct relation relation = {
        .kind = RELATION_SEQUENCE,
        .schema = table->schema,
        .owner = table->owner,
        .persistence = table->persistence,
        .sequence = sequence_default,
    };
    const ListCell *cell;
    err_t err;

    relation.sequence.type = type;
    relation.sequence.owner = table->oid;
    relation.sequence.column = column;
    relation.sequence.is_identity = is_identity;
    relation.name = utility_name_choose(utility, table->schema, table->name,
                                        table->columns[column].name, "seq", table);
    foreach(cell, options)
    {
        const DefElem *option = lfirst(cell);

        if (strcmp(option->defname, "sequence_name") == 0) {
            relation.name = utility_name_of(utility, strVal(llast((const List *)option->arg)));
        }
        if (strcmp(option->defname, "owned_by") == 0) {
            return utility_error(utility, option->location, "42601", "%s",
                                 "conflicting or redundant options");
        }
    }
    TRY(sequence_make(utility, options, &relation));
    *sequence_out = catalog_relation_by_oid(utility->catalog, relation.oid);
out:
    return err;
}

const struct relation *
utility_identity_sequence(const struct catalog *catalog, const struct relation *table,
                          uint16_t column)
{
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        if (relation->kind == RELATION_SEQUENCE && relation->sequence.is_identity &&
            relation->sequence.owner == table->oid && relation->sequence.column == column) {
            return relation;
        }
    }
    return NULL;
}

/* ---- ALTER SEQUENCE ---- */

/* The sequence goes on from `last`, under a state of its own, so that a rollback undoes it. */
static err_t
state_renew(struct utility *utility, struct sequence *sequence, const struct sequence_value *value)
{
    uint64_t old = sequence->state;
    err_t err;

    TRY(sequence_state_take(&sequence->state));
    TRY(sequence_set(sequence, value->last, value->is_called));
    sequence_state_delete(utility->exec->txn, old);
out:
    return err;
}

err_t
utility_sequence_retype(struct utility *utility, const struct relation *sequence, oid_t type)
{
    struct relation changed = *sequence;
    int64_t min = 0, max = 0, old_min = 0, old_max = 0;
    err_t err;

    TRY(type_bounds(type, true, &min, &max));
    TRY(type_bounds(changed.sequence.type, true, &old_min, &old_max));
    if (changed.sequence.max == old_max || changed.sequence.max > max) {
        changed.sequence.max = max;
    }
    if (changed.sequence.min == old_min || changed.sequence.min < min) {
        changed.sequence.min = min;
    }
    changed.sequence.type = type;
    utility_put(utility, &changed);
out:
    return err;
}

err_t
utility_sequence_restart(struct utility *utility, const struct relation *sequence)
{
    struct relation changed = *sequence;
    struct sequence_value value = {.last = sequence->sequence.start};
    err_t err = state_renew(utility, &changed.sequence, &value);

    if (err == ERR_OK) {
        utility_put(utility, &changed);
    }
    return err;
}

err_t
utility_sequence_change(struct utility *utility, const struct relation *sequence, const List *list)
{
    struct relation changed = *sequence;
    struct sequence_value value;
    struct options options;
    err_t err;

    TRY(options_read(utility, list, &options));
    TRY(sequence_get(&sequence->sequence, &value));
    TRY(numbers_apply(&options, &changed.sequence, false));
    if (options.owned_by != NULL) {
        if (sequence->sequence.is_identity) {
            const struct relation *table =
                catalog_relation_by_oid(utility->catalog, sequence->sequence.owner);

            (void)sql_error("0A000", "cannot change ownership of identity sequence");
            return sql_detail("Sequence \"%.*s\" is linked to table \"%.*s\".",
                              SLICE_ARGS(sequence->name), SLICE_ARGS(table->name));
        }
        TRY(owner_apply(utility, options.owned_by, &changed));
    }
    if (options.restart != NULL) {
        value = (struct sequence_value){.last = changed.sequence.start};
        if (options.restart->arg != NULL) {
            TRY(option_number(options.restart, &value.last));
        }
    }
    TRY(within(&changed.sequence, value.last, "RESTART"));
    TRY(state_renew(utility, &changed.sequence, &value));
    utility_put(utility, &changed);
out:
    return err;
}

err_t
utility_alter_sequence(struct utility *utility, const AlterSeqStmt *node)
{
    const struct relation *sequence;
    err_t err;

    utility->tag = "ALTER SEQUENCE";
    TRY(utility_relation(utility, node->sequence, node->missing_ok, &sequence));
    if (sequence == NULL) {
        goto out;
    }
    if (sequence->kind != RELATION_SEQUENCE) {
        err = sql_error("42809", "\"%s\" is not a sequence", node->sequence->relname);
        goto out;
    }
    err = utility_sequence_change(utility, sequence, node->options);
out:
    return err;
}
