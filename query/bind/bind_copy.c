/* query/bind/bind_copy.c - COPY: the query whose rows it gives, or the INSERT of what it reads. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

static err_t
column_add(const struct relation *relation, const char *name, uint32_t *columns, uint32_t *count)
{
    uint32_t column = 0;

    while (column < relation->column_count &&
           (relation->columns[column].is_dropped ||
            !slice_equal(relation->columns[column].name, slice_from_text(name)))) {
        column++;
    }
    if (column == relation->column_count) {
        return sql_error("42703", "column \"%s\" of relation \"%.*s\" does not exist", name,
                         SLICE_ARGS(relation->name));
    }
    if (relation->columns[column].is_generated) {
        (void)sql_error("42P10", "column \"%s\" is a generated column", name);
        return sql_detail("Generated columns cannot be used in COPY.");
    }
    for (uint32_t i = 0; i < *count; i++) {
        if (columns[i] == column) {
            return sql_error("42701", "column \"%s\" specified more than once", name);
        }
    }
    columns[(*count)++] = column;
    return ERR_OK;
}

err_t
bind_copy_columns(struct binder *binder, const CopyStmt *copy, const struct relation *relation,
                  uint32_t **columns_out, uint32_t *count_out)
{
    uint32_t *columns = bind_zeroed(binder, (relation->column_count + 1U) * sizeof(*columns));
    uint32_t count = 0;
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, copy->attlist)
    {
        TRY(column_add(relation, strVal(lfirst(cell)), columns, &count));
    }
    for (uint32_t i = 0; copy->attlist == NIL && i < relation->column_count; i++) {
        if (!relation->columns[i].is_dropped && !relation->columns[i].is_generated) {
            columns[count++] = i;
        }
    }
    *columns_out = columns;
    *count_out = count;
out:
    return err;
}

/* Tables alone can be copied. */
static err_t
kind_check(const struct relation *relation, bool is_from)
{
    const char *kind = relation->kind == RELATION_VIEW       ? "view"
                       : relation->kind == RELATION_SEQUENCE ? "sequence"
                                                             : "index";

    if (relation->kind == RELATION_TABLE) {
        return ERR_OK;
    }
    (void)sql_error("42809", "cannot copy %s %s \"%.*s\"", is_from ? "to" : "from", kind,
                    SLICE_ARGS(relation->name));
    if (relation->kind != RELATION_VIEW) {
        return ERR_SQL;
    }
    return is_from ? sql_hint("To enable copying to a view, provide an INSTEAD OF INSERT trigger.")
                   : sql_hint("Try the COPY (SELECT ...) TO variant.");
}

/* SELECT columns FROM table */
static err_t
table_bind(struct binder *binder, const CopyStmt *copy, const struct relation *relation,
           struct statement *out)
{
    struct query *query = bind_zeroed(binder, sizeof(*query));
    struct join *from = bind_zeroed(binder, sizeof(*from));
    struct source *source = source_of_relation(binder, relation);
    uint32_t *columns, count;
    err_t err;

    TRY(bind_copy_columns(binder, copy, relation, &columns, &count));
    query->targets = bind_zeroed(binder, (count + 1) * sizeof(*query->targets));
    query->target_count = count;
    for (uint32_t i = 0; i < count; i++) {
        query->targets[i].name = relation->columns[columns[i]].name;
        query->targets[i].expr = expr_column(binder->arena, source, columns[i]);
    }
    from->kind = FROM_SOURCE;
    from->source = source;
    query->from = from;
    out->kind = STATEMENT_SELECT;
    out->query = query;
out:
    return err;
}

static err_t
query_bind(struct binder *binder, const Node *node, struct statement *out)
{
    err_t err;

    switch (nodeTag(node)) {
    case T_SelectStmt:
        if (((const SelectStmt *)node)->intoClause != NULL) {
            return sql_error("0A000", "COPY (SELECT INTO) is not supported");
        }
        out->kind = STATEMENT_SELECT;
        return bind_query(binder, NULL, (const SelectStmt *)node, &out->query);
    case T_InsertStmt:
    case T_UpdateStmt:
    case T_DeleteStmt:
        err = bind_change(binder, node, NULL, out);
        break;
    default:
        return sql_error("0A000", "COPY of this statement is not supported");
    }
    if (err == ERR_OK && out->returning_count == 0) {
        binder->position = -1;
        err = sql_error("0A000", "COPY query must have a RETURNING clause");
    }
    return err;
}

err_t
bind_copy(struct binder *binder, const CopyStmt *copy, struct statement *out)
{
    const struct relation *relation;
    err_t err;

    out->is_copy = true;
    if (copy->relation == NULL) {
        return query_bind(binder, copy->query, out);
    }
    err = bind_relation(binder, copy->relation, &relation);
    if (err != ERR_OK) {
        binder->position = -1; /* PostgreSQL gives no place here. */
        goto out;
    }
    TRY(kind_check(relation, copy->is_from));
    err =
        copy->is_from ? bind_copy_from(binder, copy, out) : table_bind(binder, copy, relation, out);
out:
    return err;
}
