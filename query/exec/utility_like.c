/* query/exec/utility_like.c - tables after the likeness of others: LIKE, CREATE TABLE AS. */
#include "query/exec/utility_internal.h"

#include "models/relational/rtable.h"

#include "engine/base/poison.h"

/* ---- LIKE ---- */

static err_t
like_columns(struct utility *utility, struct definition *definition, const TableLikeClause *like,
             const struct relation *from)
{
    err_t err = ERR_OK;

    for (uint16_t i = 0; i < from->column_count; i++) {
        struct column column = from->columns[i];
        uint16_t number = definition->relation.column_count;
        bool is_generated = column.is_generated;
        const struct relation *sequence;

        if (column.is_dropped) {
            continue;
        }
        if (relation_column(&definition->relation, column.name) != UINT16_MAX) {
            return sql_error("42701", "column \"%.*s\" specified more than once",
                             SLICE_ARGS(column.name));
        }
        if (!(like->options &
              (is_generated ? CREATE_TABLE_LIKE_GENERATED : CREATE_TABLE_LIKE_DEFAULTS))) {
            column.default_sql = slice_of(NULL, 0);
            column.is_generated = false;
        }
        column.has_missing = false;
        column.missing = slice_of(NULL, 0);
        column.identity = 0;
        definition->columns = utility_enlarge(utility, definition->columns, number,
                                              &definition->column_capacity, sizeof(column));
        definition->columns[number] = column;
        definition->relation.column_count++;
        definition->relation.columns = definition->columns;
        if (from->columns[i].identity != 0 && (like->options & CREATE_TABLE_LIKE_IDENTITY)) {
            TRY(utility_column_sequence(utility, &definition->relation, number, column.type->oid,
                                        NIL, true, &sequence));
            definition->columns[number].identity = from->columns[i].identity;
        }
    }
out:
    return err;
}

/* Number of a column of `from` in the definition. */
static uint16_t
like_column(const struct definition *definition, const struct relation *from, uint16_t column)
{
    return relation_column(&definition->relation, from->columns[column].name);
}

static void
like_checks(struct utility *utility, struct definition *definition, const struct relation *from)
{
    for (uint32_t i = 0; i < from->constraint_count; i++) {
        struct constraint check = from->constraints[i];

        if (check.kind == CONSTRAINT_CHECK) {
            check.oid = catalog_oid_take(utility->catalog);
            definition_constraint_put(utility, definition, &check);
        }
    }
}

static void
like_index(struct utility *utility, struct definition *definition, const struct relation *from,
           const struct index *old)
{
    struct index index = *old;
    struct constraint key = {0};

    for (uint32_t i = 0; i < index.column_count; i++) {
        if (index.columns[i] < INDEX_EXPRESSION) {
            index.columns[i] = like_column(definition, from, index.columns[i]);
        } else {
            struct virtual_column virtual = from->virtuals[index.columns[i] - INDEX_EXPRESSION];

            definition->virtuals =
                utility_enlarge(utility, definition->virtuals, definition->relation.virtual_count,
                                &definition->virtual_capacity, sizeof(virtual));
            definition->virtuals[definition->relation.virtual_count] = virtual;
            index.columns[i] = (uint16_t)(INDEX_EXPRESSION + definition->relation.virtual_count++);
        }
    }
    if (index.predicate != 0) {
        definition->virtuals =
            utility_enlarge(utility, definition->virtuals, definition->relation.virtual_count,
                            &definition->virtual_capacity, sizeof(*definition->virtuals));
        definition->virtuals[definition->relation.virtual_count] =
            from->virtuals[index.predicate - INDEX_EXPRESSION];
        index.predicate = (uint16_t)(INDEX_EXPRESSION + definition->relation.virtual_count++);
    }
    for (uint32_t i = 0; i < index.included_count; i++) {
        index.included[i] = like_column(definition, from, index.included[i]);
    }
    index.oid = catalog_oid_take(utility->catalog);
    index.storage =
        index.is_primary && !index.is_deferrable ? 0 : catalog_storage_take(utility->catalog);
    for (uint32_t i = 0; i < from->constraint_count; i++) {
        if (from->constraints[i].index == old->oid &&
            from->constraints[i].kind != CONSTRAINT_FOREIGN) {
            key = from->constraints[i];
        }
    }
    index.name = definition_index_name(utility, definition, &index,
                                       index.is_primary ? "pkey"
                                       : key.kind != 0  ? "key"
                                                        : "idx");
    for (uint32_t i = 0; i < definition->relation.virtual_count; i++) {
        if (definition->virtuals[i].index == old->oid) {
            definition->virtuals[i].index = index.oid;
        }
    }
    definition->indexes =
        utility_enlarge(utility, definition->indexes, definition->relation.index_count,
                        &definition->index_capacity, sizeof(index));
    definition->indexes[definition->relation.index_count++] = index;
    (void)definition_close(definition);
    if (key.kind != 0) {
        key.oid = catalog_oid_take(utility->catalog);
        key.name = index.name;
        key.index = index.oid;
        memcpy(key.columns, index.columns, sizeof(key.columns));
        definition_constraint_put(utility, definition, &key);
    }
}

err_t
definition_like(struct utility *utility, struct definition *definition, const TableLikeClause *like)
{
    const struct relation *from;
    err_t err;

    TRY(utility_relation(utility, like->relation, false, &from));
    if (from->kind != RELATION_TABLE && from->kind != RELATION_VIEW) {
        utility->position = like->relation->location;
        (void)sql_error("42809", "relation \"%s\" is invalid in LIKE clause",
                        like->relation->relname);
        return sql_detail("This operation is not supported for sequences.");
    }
    TRY(like_columns(utility, definition, like, from));
    if (like->options & CREATE_TABLE_LIKE_CONSTRAINTS) {
        like_checks(utility, definition, from);
    }
out:
    return err;
}

err_t
definition_like_rest(struct utility *utility, struct definition *definition,
                     const TableLikeClause *like)
{
    const struct relation *from;
    err_t err;

    TRY(utility_relation(utility, like->relation, false, &from));
    for (uint32_t i = 0; (like->options & CREATE_TABLE_LIKE_INDEXES) && i < from->index_count;
         i++) {
        like_index(utility, definition, from, &from->indexes[i]);
    }
    for (uint16_t i = 0; (like->options & CREATE_TABLE_LIKE_COMMENTS) && i < from->column_count;
         i++) {
        const struct object *comment =
            catalog_object(utility->catalog, CATALOG_COMMENT, from->oid, i + 1U);

        if (comment != NULL) {
            TRY(catalog_object_put(utility->catalog, utility->exec->txn, CATALOG_COMMENT,
                                   definition->relation.oid, like_column(definition, from, i) + 1U,
                                   comment->body));
        }
    }
out:
    return err;
}

/* ---- CREATE TABLE AS ---- */

static err_t
columns_of_query(struct utility *utility, const struct query *query, const List *names,
                 struct definition *definition)
{
    int given = 0;

    for (uint32_t i = 0; i < query->target_count; i++) {
        const struct target *target = &query->targets[i];
        struct column column = {.type = target->expr->type, .typmod = target->expr->typmod};
        uint32_t count = definition->relation.column_count;

        if (target->is_junk) {
            continue;
        }
        if (column.type->oid == OID_UNKNOWN) {
            column.type = type_by_oid(OID_TEXT);
        }
        column.name = given < list_length(names)
                          ? utility_name_of(utility, strVal(list_nth(names, given)))
                          : target->name;
        given++;
        if (relation_column(&definition->relation, column.name) != UINT16_MAX) {
            return sql_error("42701", "column \"%.*s\" specified more than once",
                             SLICE_ARGS(column.name));
        }
        if (count == RELATION_COLUMNS_MAX) {
            return sql_error("54011", "tables can have at most 1600 columns");
        }
        definition->columns = utility_enlarge(utility, definition->columns, count,
                                              &definition->column_capacity, sizeof(column));
        definition->columns[count] = column;
        definition->relation.columns = definition->columns;
        definition->relation.column_count++;
    }
    return given < list_length(names) ? sql_error("42601", "too many column names were specified")
                                      : ERR_OK;
}

static err_t
rows_fill_table(struct utility *utility, const struct statement *statement,
                const struct relation *relation, uint64_t *rows_out)
{
    struct rtable_writes *writes = rtable_writes_new();
    struct operator* operator= NULL;
    const struct batch *batch;
    struct exec exec;
    struct plan *plan;
    struct row row = {
        .values =
            arena_alloc(utility->exec->arena, (relation->column_count + 1U) * sizeof(*row.values)),
        .nulls = arena_alloc(utility->exec->arena, relation->column_count + 1U),
    };
    err_t err;

    exec_init(&exec, utility->exec->env, utility->exec->arena, utility->exec->settings, statement);
    exec.is_cancelled = utility->exec->is_cancelled;
    exec.params = utility->exec->params;
    exec.param_nulls = utility->exec->param_nulls;
    exec.param_count = utility->exec->param_count;
    TRY(plan_statement((struct statement *)(uintptr_t)statement, utility->exec->arena, &plan));
    TRY(operator_open(&exec, plan, &operator));
    for (err = operator_next(operator, & batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator, & batch)) {
        for (uint32_t i = 0; i < batch->rows; i++) {
            for (uint32_t j = 0; j < relation->column_count; j++) {
                row.nulls[j] = vector_is_null(&batch->columns[j], i);
                row.values[j] =
                    row.nulls[j] != 0 ? datum_int(0) : vector_value(&batch->columns[j], i);
            }
            TRY(rtable_insert(exec.txn, relation, &row, writes));
        }
        *rows_out += batch->rows;
    }
    TRY(err);
    err = txn_flush(exec.txn);
out:
    operator_close(&operator);
    exec_fini(&exec);
    rtable_writes_free(&writes);
    return err;
}

static err_t
create_as(struct utility *utility, const Node *query, const IntoClause *into, bool if_not_exists)
{
    struct bind_options options = utility_bind_options(utility, NULL);
    struct definition definition;
    struct statement statement;
    uint64_t rows = 0;
    bool is_there;
    err_t err;

    utility->tag = "CREATE TABLE AS";
    TRY(definition_begin(utility, into->rel, into->onCommit, if_not_exists, &definition,
                         &is_there));
    if (is_there) {
        goto out;
    }
    if (!IsA(query, SelectStmt)) {
        err = sql_error("0A000", "CREATE TABLE AS %s is not supported yet", utility_name(query));
        goto out;
    }
    TRY(bind_statement(&options, query, &statement, &utility->position));
    TRY(columns_of_query(utility, statement.query, into->colNames, &definition));
    utility_put(utility, definition_close(&definition));
    if (!into->skipData) {
        TRY(rows_fill_table(utility, &statement, definition_close(&definition), &rows));
        utility->tag = arena_printf(utility->exec->arena, "SELECT %llu", (unsigned long long)rows);
    }
out:
    return err;
}

err_t
utility_create_table_as(struct utility *utility, const CreateTableAsStmt *node)
{
    if (node->objtype == OBJECT_MATVIEW) {
        return sql_error("0A000", "materialized views are not supported yet");
    }
    return create_as(utility, node->query, node->into, node->if_not_exists);
}

err_t
utility_select_into(struct utility *utility, const SelectStmt *node)
{
    SelectStmt *query = arena_alloc(utility->exec->arena, sizeof(*query));

    *query = *node;
    query->intoClause = NULL;
    return create_as(utility, (const Node *)query, node->intoClause, false);
}
