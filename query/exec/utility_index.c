/* query/exec/utility_index.c - CREATE INDEX, REINDEX, and tables written anew. */
#include "query/exec/utility_internal.h"

#include "query/exec/row_maker.h"

#include "engine/base/poison.h"

/* ---- Entries for rows that are there ---- */

/* Two rows have the same key: said as of the index, not of the row. Other errors stay. */
static err_t
build_error(const struct relation *relation, const struct index *index, const struct row *row)
{
    struct sql_report report;
    struct buf key;
    err_t err;

    sql_report_get(ERR_SQL, &report);
    if (strcmp(report.sqlstate, "23505") != 0) {
        return ERR_SQL;
    }
    (void)sql_error("23505", "could not create unique index \"%.*s\"", SLICE_ARGS(index->name));
    buf_init(&key, MEM_SESSIONS);
    rtable_key_describe(relation, index, row, &key);
    err = sql_detail("%.*s is duplicated.", SLICE_ARGS(buf_slice(&key)));
    buf_fini(&key);
    return err;
}

err_t
utility_index_build(struct utility *utility, const struct relation *relation,
                    const struct index *index)
{
    struct rtable_writes *writes = rtable_writes_new();
    struct table_walk *walk = NULL;
    const struct row *row;
    struct slice key;
    err_t err;

    TRY(table_walk_open(utility->exec, relation, NULL, SLICE(""), SLICE(""), &walk));
    for (err = table_walk_next(walk, &row, &key); err == ERR_OK && row != NULL;
         err = table_walk_next(walk, &row, &key)) {
        err = rtable_index_row(utility->exec->txn, relation, index, key, row, writes);
        if (err == ERR_SQL) {
            err = build_error(relation, index, row);
            goto out;
        }
        TRY(err);
    }
    TRY(err);
    err = txn_flush(utility->exec->txn);
out:
    table_walk_close(&walk);
    rtable_writes_free(&writes);
    return err;
}

static err_t
row_rewrite(struct utility *utility, const struct row *old, const struct relation *from,
            const struct row_maker *maker, struct expr *const *exprs, struct arena *arena,
            struct rtable_writes *writes)
{
    const struct relation *to = maker->relation;
    struct batch batch = {.column_count = from->column_count, .rows = 1};
    struct row row = row_maker_row(to, arena);
    err_t err = ERR_OK;

    batch.columns = arena_alloc(arena, (from->column_count + 1U) * sizeof(*batch.columns));
    for (uint32_t i = 0; i < from->column_count; i++) {
        batch.columns[i] = (struct vector){.values = &old->values[i], .nulls = &old->nulls[i]};
    }
    for (uint32_t i = 0; i < to->column_count; i++) {
        if (exprs[i] != NULL) {
            struct vector result;

            TRY(eval(utility->exec, arena, exprs[i], &batch, NULL, 1, &result));
            row.nulls[i] = vector_is_null(&result, 0);
            row.values[i] = row.nulls[i] != 0 ? datum_int(0) : vector_value(&result, 0);
        } else if (i < from->column_count) {
            row.nulls[i] = old->nulls[i];
            row.values[i] = old->values[i];
        }
        if (to->columns[i].is_dropped) {
            row.nulls[i] = 1;
        }
    }
    TRY(row_maker_generate(maker, arena, &row));
    TRY(row_maker_finish(maker, arena, &row));
    for (uint32_t i = 0; i < to->column_count; i++) {
        if (row.nulls[i] != 0 && to->columns[i].is_not_null && !to->columns[i].is_dropped) {
            err = sql_error("23502", "column \"%.*s\" of relation \"%.*s\" contains null values",
                            SLICE_ARGS(to->columns[i].name), SLICE_ARGS(to->name));
            goto out;
        }
    }
    err = rtable_insert(utility->exec->txn, to, &row, writes);
out:
    return err;
}

err_t
utility_rewrite(struct utility *utility, const struct relation *from, struct relation *to,
                struct expr *const *exprs)
{
    struct rtable_writes *writes = rtable_writes_new();
    struct table_walk *walk = NULL;
    const struct row *row;
    struct row_maker maker;
    struct arena arena;
    struct slice key;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    to->storage = catalog_storage_take(utility->catalog);
    for (uint32_t i = 0; i < to->index_count; i++) {
        if (to->indexes[i].storage != 0) {
            to->indexes[i].storage = catalog_storage_take(utility->catalog);
        }
    }
    for (uint32_t i = 0; i < to->column_count; i++) { /* Rows have everything now. */
        to->columns[i].has_missing = false;
        to->columns[i].missing = slice_of(NULL, 0);
    }
    to->primary = NULL;
    for (uint32_t i = 0; i < to->index_count; i++) {
        to->primary = to->indexes[i].storage == 0 ? &to->indexes[i] : to->primary;
    }
    TRY(row_maker_open(utility->exec, to, &maker));
    TRY(table_walk_open(utility->exec, from, NULL, SLICE(""), SLICE(""), &walk));
    for (err = table_walk_next(walk, &row, &key); err == ERR_OK && row != NULL;
         err = table_walk_next(walk, &row, &key)) {
        arena_reset(&arena);
        TRY(row_rewrite(utility, row, from, &maker, exprs, &arena, writes));
    }
    TRY(err);
    rtable_truncate(utility->exec->txn, from);
    err = txn_flush(utility->exec->txn);
out:
    table_walk_close(&walk);
    rtable_writes_free(&writes);
    arena_fini(&arena);
    return err;
}

/* ---- CREATE INDEX ---- */

/* An expression that an index is about becomes one of relation->virtuals. */
static err_t
virtual_add(struct utility *utility, struct relation *relation, oid_t index, struct slice sql,
            bool is_predicate, uint16_t *part_out)
{
    struct bind_options options = utility_bind_options(utility, relation);
    struct source *source = NULL;
    struct expr *expr;
    err_t err;

    TRY(bind_table_expr(&options, relation, sql, &source, &expr));
    if (is_predicate && expr->type->oid != OID_BOOL) {
        return sql_error("42804", "argument of WHERE must be type boolean, not type %s",
                         expr->type->display);
    }
    if (expr_is_volatile(expr)) {
        return sql_error("42P17", "functions in index %s must be marked IMMUTABLE",
                         is_predicate ? "predicate" : "expression");
    }
    relation->virtuals[relation->virtual_count] = (struct virtual_column){
        .sql = arena_copy(utility->exec->arena, sql), .type = expr->type, .index = index};
    *part_out = (uint16_t)(INDEX_EXPRESSION + relation->virtual_count++);
out:
    return err;
}

static err_t
order_check(const struct type *type)
{
    if (type->compare != NULL) {
        return ERR_OK;
    }
    (void)sql_error("42704",
                    "data type %s has no default operator class for access method \"btree\"",
                    type->display);
    return sql_hint("You must specify an operator class for the index or define a default operator "
                    "class for the data type.");
}

static err_t
element_read(struct utility *utility, struct relation *relation, struct index *index,
             const IndexElem *element, struct slice text)
{
    uint16_t *part = &index->columns[index->column_count];
    err_t err;

    if (element->name != NULL) {
        *part = relation_column(relation, slice_from_text(element->name));
        if (*part == UINT16_MAX) {
            return sql_error("42703", "column \"%s\" does not exist", element->name);
        }
    } else {
        TRY(virtual_add(utility, relation, index->oid, text_element(text), false, part));
    }
    TRY(order_check(relation_place_type(relation, *part)));
    index->is_descending[index->column_count] = element->ordering == SORTBY_DESC;
    index->nulls_first[index->column_count] =
        element->nulls_ordering == SORTBY_NULLS_FIRST ||
        (element->nulls_ordering == SORTBY_NULLS_DEFAULT && element->ordering == SORTBY_DESC);
    index->column_count++;
out:
    return err;
}

static err_t
elements_read(struct utility *utility, const IndexStmt *node, struct relation *relation,
              struct index *index)
{
    struct slice text = text_parenthesized(utility_text_from(utility, node->relation->location));
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, node->indexParams)
    {
        struct slice element = text_list_next(&text);

        if (index->column_count == INDEX_COLUMNS_MAX) {
            return sql_error("54011", "cannot use more than %d columns in an index",
                             INDEX_COLUMNS_MAX);
        }
        TRY(element_read(utility, relation, index, lfirst(cell), element));
    }
    foreach(cell, node->indexIncludingParams)
    {
        const IndexElem *element = lfirst(cell);
        uint16_t column;

        if (element->name == NULL) {
            return sql_error("0A000", "expressions are not supported in included columns");
        }
        if (element->ordering != SORTBY_DEFAULT ||
            element->nulls_ordering != SORTBY_NULLS_DEFAULT) {
            return sql_error("0A000", "including column does not support %s options",
                             element->ordering != SORTBY_DEFAULT ? "ASC/DESC" : "NULLS FIRST/LAST");
        }
        column = relation_column(relation, slice_from_text(element->name));
        if (column == UINT16_MAX) {
            return sql_error("42703", "column \"%s\" does not exist", element->name);
        }
        if (index->included_count == INDEX_COLUMNS_MAX) {
            return sql_error("54011", "cannot use more than %d columns in an index",
                             INDEX_COLUMNS_MAX);
        }
        index->included[index->included_count++] = column;
    }
    if (node->whereClause != NULL) {
        struct slice where =
            text_word(utility_text_from(utility, node->relation->location), "where");

        err = virtual_add(utility, relation, index->oid, text_expression(where, SIZE_MAX), true,
                          &index->predicate);
    }
out:
    return err;
}

static err_t
method_check(const IndexStmt *node)
{
    static const char *const others[] = {"hash", "gist", "spgist", "gin", "brin"};

    if (node->accessMethod == NULL || strcmp(node->accessMethod, "btree") == 0) {
        return ERR_OK;
    }
    for (uint32_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(node->accessMethod, others[i]) == 0) {
            return sql_error("0A000", "access method \"%s\" is not supported yet",
                             node->accessMethod);
        }
    }
    return sql_error("42704", "access method \"%s\" does not exist", node->accessMethod);
}

/* The name is taken from the columns, those of INCLUDE too. */
static struct slice
name_choose(struct utility *utility, const IndexStmt *node, const struct relation *relation,
            const struct index *index)
{
    struct definition definition = {
        .relation = *relation, .columns = relation->columns, .index_params = node->indexParams};
    struct index named = *index;

    for (uint32_t i = 0; i < index->included_count && named.column_count < INDEX_COLUMNS_MAX; i++) {
        named.columns[named.column_count++] = index->included[i];
    }
    return definition_index_name(utility, &definition, &named, "idx");
}

err_t
utility_create_index(struct utility *utility, const IndexStmt *node)
{
    const struct relation *relation;
    struct relation *changed;
    struct index *index;
    err_t err;

    utility->tag = "CREATE INDEX";
    TRY(method_check(node));
    if (node->concurrent && utility->is_block) {
        return sql_error("25001",
                         "CREATE INDEX CONCURRENTLY cannot run inside a transaction block");
    }
    TRY(utility_relation(utility, node->relation, false, &relation));
    if (relation->kind != RELATION_TABLE) {
        (void)sql_error("42809", "cannot create index on relation \"%s\"", node->relation->relname);
        return sql_detail("This operation is not supported for %s.",
                          relation->kind == RELATION_VIEW ? "views" : "sequences");
    }
    TRY(utility_lock(utility, relation));
    changed = utility_change(utility, relation, INDEX_COLUMNS_MAX + 1);
    index = &changed->indexes[changed->index_count];
    *index = (struct index){
        .is_unique = node->unique,
        .nulls_equal = node->nulls_not_distinct,
        .oid = catalog_oid_take(utility->catalog),
    };
    if (node->idxname != NULL) {
        index->name = utility_name_of(utility, node->idxname);
        if (utility_is_taken(utility, relation->schema, index->name)) {
            err = utility_already_exists(utility, node->if_not_exists, index->name);
            goto out;
        }
    }
    TRY(elements_read(utility, node, changed, index));
    if (node->idxname == NULL) {
        index->name = name_choose(utility, node, changed, index);
    }
    index->storage = catalog_storage_take(utility->catalog);
    TRY(utility_index_build(utility, changed, index));
    changed->index_count++;
    utility_put(utility, changed);
out:
    return err;
}

/* ---- REINDEX ---- */

static err_t
index_renew(struct utility *utility, struct relation *relation, struct index *index)
{
    if (index->storage == 0) { /* It is the rows themselves. */
        return ERR_OK;
    }
    rtable_storage_delete(utility->exec->txn, index->storage);
    index->storage = catalog_storage_take(utility->catalog);
    return utility_index_build(utility, relation, index);
}

err_t
utility_reindex(struct utility *utility, const ReindexStmt *node)
{
    const struct relation *relation;
    const struct index *index = NULL;
    struct relation *changed;
    err_t err = ERR_OK;

    utility->tag = "REINDEX";
    if (node->kind != REINDEX_OBJECT_INDEX && node->kind != REINDEX_OBJECT_TABLE) {
        return sql_error("0A000", "REINDEX of a schema or database is not supported yet");
    }
    if (node->kind == REINDEX_OBJECT_INDEX) {
        relation = search_index(utility->catalog, utility->search_path, node->relation->schemaname,
                                slice_from_text(node->relation->relname), &index);
        if (relation == NULL) {
            TRY(utility_relation(utility, node->relation, false, &relation));
            return sql_error("42809", "\"%s\" is not an index", node->relation->relname);
        }
    } else {
        TRY(utility_relation(utility, node->relation, false, &relation));
        if (relation->kind != RELATION_TABLE) {
            return sql_error("42809", "\"%s\" is not a table or materialized view",
                             node->relation->relname);
        }
        if (relation->index_count == 0) {
            utility_notice(utility, "00000", NULL, "table \"%.*s\" has no indexes to reindex",
                           SLICE_ARGS(relation->name));
        }
    }
    TRY(utility_lock(utility, relation));
    changed = utility_change(utility, relation, 0);
    for (uint32_t i = 0; i < changed->index_count; i++) {
        if (index == NULL || changed->indexes[i].oid == index->oid) {
            TRY(index_renew(utility, changed, &changed->indexes[i]));
        }
    }
    utility_put(utility, changed);
out:
    return err;
}
