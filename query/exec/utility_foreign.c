/* query/exec/utility_foreign.c - foreign keys as they are defined. */
#include "query/exec/utility_internal.h"

#include "query/exec/foreign.h"
#include "query/exec/row_maker.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

static err_t
columns_read(const struct relation *relation, const List *names, uint16_t *columns,
             uint16_t *count_out)
{
    const ListCell *cell;

    *count_out = 0;
    foreach(cell, names)
    {
        uint16_t column = relation_column(relation, slice_from_text(strVal(lfirst(cell))));

        if (column == UINT16_MAX) {
            return sql_error("42703",
                             "column \"%s\" referenced in foreign key constraint does not exist",
                             strVal(lfirst(cell)));
        }
        if (*count_out == INDEX_COLUMNS_MAX) {
            return sql_error("54011", "cannot have more than %d keys in a foreign key",
                             INDEX_COLUMNS_MAX);
        }
        columns[(*count_out)++] = column;
    }
    return ERR_OK;
}

/* Is the index unique on just these columns? */
static bool
index_fits(const struct index *index, const uint16_t *columns, uint16_t count)
{
    if (!index->is_unique || index->predicate != 0 || index->column_count != count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool is_there = false;

        for (uint32_t j = 0; j < count; j++) {
            is_there = is_there || index->columns[j] == columns[i];
        }
        if (!is_there) {
            return false;
        }
    }
    return true;
}

static err_t
referenced_key(const struct relation *other, const Constraint *node, struct constraint *foreign,
               uint16_t other_count)
{
    bool has_deferrable = false;

    if (node->pk_attrs == NIL) {
        for (uint32_t i = 0; i < other->index_count; i++) {
            const struct index *index = &other->indexes[i];

            if (index->is_primary) {
                has_deferrable = index->is_deferrable;
                foreign->index = index->oid;
                memcpy(foreign->other_columns, index->columns, sizeof(foreign->other_columns));
                other_count = index->column_count;
            }
        }
        if (foreign->index == 0) {
            return sql_error("42704", "there is no primary key for referenced table \"%.*s\"",
                             SLICE_ARGS(other->name));
        }
    }
    if (other_count != foreign->column_count) {
        return sql_error("42830", "number of referencing and referenced columns for foreign key "
                                  "disagree");
    }
    for (uint32_t i = 0; foreign->index == 0 && i < other->index_count; i++) {
        const struct index *index = &other->indexes[i];

        if (index_fits(index, foreign->other_columns, other_count)) {
            has_deferrable = index->is_deferrable;
            foreign->index = has_deferrable ? 0 : index->oid;
        }
    }
    if (has_deferrable) {
        return sql_error("55000",
                         "cannot use a deferrable unique constraint for referenced table \"%.*s\"",
                         SLICE_ARGS(other->name));
    }
    return foreign->index != 0
               ? ERR_OK
               : sql_error("42830",
                           "there is no unique constraint matching given keys for referenced table "
                           "\"%.*s\"",
                           SLICE_ARGS(other->name));
}

static err_t
types_check(const struct relation *relation, const struct relation *other,
            const struct constraint *foreign)
{
    for (uint32_t i = 0; i < foreign->column_count; i++) {
        const struct column *from = &relation->columns[foreign->columns[i]];
        const struct column *to = &other->columns[foreign->other_columns[i]];
        bool is_ambiguous = false;

        if (from->type->oid != to->type->oid &&
            fn_operator("=", to->type->oid, from->type->oid, &is_ambiguous) == NULL) {
            (void)sql_error("42804", "foreign key constraint \"%.*s\" cannot be implemented",
                            SLICE_ARGS(foreign->name));
            return sql_detail("Key columns \"%.*s\" and \"%.*s\" are of incompatible types: %s "
                              "and %s.",
                              SLICE_ARGS(from->name), SLICE_ARGS(to->name), from->type->display,
                              to->type->display);
        }
    }
    return ERR_OK;
}

static err_t
actions_read(const struct relation *relation, const Constraint *node, struct constraint *foreign)
{
    const ListCell *cell;

    foreign->on_update = node->fk_upd_action != 0 ? node->fk_upd_action : FOREIGN_NO_ACTION;
    foreign->on_delete = node->fk_del_action != 0 ? node->fk_del_action : FOREIGN_NO_ACTION;
    foreign->is_match_full = node->fk_matchtype == 'f';
    for (uint32_t i = 0; i < foreign->column_count; i++) {
        bool is_generated = relation->columns[foreign->columns[i]].is_generated;
        char update = foreign->on_update, delete = foreign->on_delete;

        if (is_generated && update != FOREIGN_NO_ACTION && update != FOREIGN_RESTRICT) {
            return sql_error("42601",
                             "invalid %s action for foreign key constraint containing "
                             "generated column",
                             "ON UPDATE");
        }
        if (is_generated && (delete == FOREIGN_SET_NULL || delete == FOREIGN_SET_DEFAULT)) {
            return sql_error("42601",
                             "invalid %s action for foreign key constraint containing "
                             "generated column",
                             "ON DELETE");
        }
    }
    foreach(cell, node->fk_del_set_cols)
    {
        uint16_t column = relation_column(relation, slice_from_text(strVal(lfirst(cell))));
        bool is_part = false;

        if (column == UINT16_MAX) {
            return sql_error("42703",
                             "column \"%s\" referenced in foreign key constraint does not exist",
                             strVal(lfirst(cell)));
        }
        for (uint32_t i = 0; i < foreign->column_count; i++) {
            is_part = is_part || foreign->columns[i] == column;
        }
        if (!is_part) {
            return sql_error("42P10",
                             "column \"%s\" referenced in ON DELETE SET action must be "
                             "part of foreign key",
                             strVal(lfirst(cell)));
        }
        if (foreign->set_count < INDEX_COLUMNS_MAX) {
            foreign->set_columns[foreign->set_count++] = column;
        }
    }
    return ERR_OK;
}

/* table_column1_column2_fkey */
static struct slice
name_choose(struct utility *utility, const struct relation *relation,
            const struct constraint *foreign)
{
    struct slice columns, name;
    struct buf joined;

    buf_init(&joined, MEM_SESSIONS);
    for (uint32_t i = 0; i < foreign->column_count && joined.size < NAME_BYTES_MAX; i++) {
        struct slice column = relation->columns[foreign->columns[i]].name;

        buf_append(&joined, "_", i > 0 ? 1 : 0);
        buf_append(&joined, column.data, column.size);
    }
    columns = arena_copy(utility->exec->arena, buf_slice(&joined));
    buf_fini(&joined);
    for (uint32_t i = 0;; i++) {
        name = utility_name_join(utility, relation->name, columns,
                                 i == 0 ? "fkey" : arena_printf(utility->exec->arena, "fkey%u", i));
        if (relation_constraint(relation, name) == NULL) {
            return name;
        }
    }
}

static err_t
foreign_read(struct utility *utility, struct definition *definition, const Constraint *node,
             uint16_t column)
{
    const struct relation *relation = definition_close(definition), *other;
    struct constraint foreign = {
        .kind = CONSTRAINT_FOREIGN,
        .is_deferrable = node->deferrable,
        .is_deferred = node->initdeferred,
        .is_not_valid = node->skip_validation && !definition->is_new,
    };
    uint16_t other_count = 0;
    err_t err;

    TRY(utility_relation(utility, node->pktable, false, &other));
    if (other->kind != RELATION_TABLE) {
        return sql_error("42809", "referenced relation \"%.*s\" is not a table",
                         SLICE_ARGS(other->name));
    }
    if (other->persistence != relation->persistence) {
        return sql_error("42P16", relation->persistence == RELATION_PERMANENT
                                      ? "constraints on permanent tables may reference only "
                                        "permanent tables"
                                      : "constraints on temporary tables may reference only "
                                        "temporary tables");
    }
    if (node->fk_matchtype == 'p') {
        return sql_error("0A000", "MATCH PARTIAL not yet implemented");
    }
    foreign.columns[0] = column;
    foreign.column_count = 1;
    if (column == UINT16_MAX) {
        TRY(columns_read(relation, node->fk_attrs, foreign.columns, &foreign.column_count));
    }
    other = other->oid == relation->oid ? relation : other;
    TRY(columns_read(other, node->pk_attrs, foreign.other_columns, &other_count));
    TRY(referenced_key(other, node, &foreign, other_count));
    foreign.name = node->conname != NULL ? utility_name_of(utility, node->conname)
                                         : name_choose(utility, relation, &foreign);
    if (relation_constraint(relation, foreign.name) != NULL) {
        return sql_error("42710", "constraint \"%.*s\" for relation \"%.*s\" already exists",
                         SLICE_ARGS(foreign.name), SLICE_ARGS(relation->name));
    }
    TRY(types_check(relation, other, &foreign));
    TRY(actions_read(relation, node, &foreign));
    foreign.oid = catalog_oid_take(utility->catalog);
    foreign.other = other->oid;
    definition_constraint_put(utility, definition, &foreign);
    if (other->oid != relation->oid) {
        err = utility_lock(utility, other);
    }
out:
    return err;
}

err_t
definition_foreigns(struct utility *utility, struct definition *definition)
{
    err_t err = ERR_OK;

    for (int i = 0; i < list_length(definition->foreigns); i++) {
        TRY(foreign_read(utility, definition, list_nth(definition->foreigns, i),
                         definition->foreign_columns[i]));
    }
out:
    return err;
}

err_t
utility_foreign_validate(struct utility *utility, const struct relation *relation,
                         const struct constraint *constraint)
{
    struct foreign_events *events = foreign_events_new();
    struct table_walk *walk = NULL;
    const struct row *row;
    struct slice key;
    err_t err;

    TRY(table_walk_open(utility->exec, relation, NULL, SLICE(""), SLICE(""), &walk));
    for (err = table_walk_next(walk, &row, &key); err == ERR_OK && row != NULL;
         err = table_walk_next(walk, &row, &key)) {
        TRY(foreign_note_child(events, relation, constraint, row));
    }
    TRY(err);
    err = foreign_run(utility->exec, events);
out:
    table_walk_close(&walk);
    foreign_events_free(&events);
    return err;
}
