/* query/exec/row_maker.c - generated columns and what indexes ask of rows. */
#include "query/exec/row_maker.h"

#include "models/types/sql_error.h"
#include "query/bind/bind.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

enum { VALUE_BYTES_SHOWN = 64, ROW_BYTES_SHOWN = 300 };

err_t
row_expr_plan(struct arena *arena, struct expr *expr, const struct source *source,
              struct expr **expr_out)
{
    static const struct statement alone = {.source_count = 1};

    return plan_expr(arena, &alone, expr, &source, source != NULL, expr_out);
}

static err_t
expression_bind(const struct row_maker *maker, const struct bind_options *options, struct slice sql,
                const struct column *column, struct expr **expr_out)
{
    struct source *source = NULL;
    struct expr *expr;
    err_t err;

    TRY(bind_table_expr(options, maker->relation, sql, &source, &expr));
    if (column != NULL) {
        TRY(bind_coerce_column(options->arena, &expr, column, options->settings));
    }
    err = row_expr_plan(options->arena, expr, source, expr_out);
out:
    return err;
}

static err_t
checks_bind(struct exec *exec, struct row_maker *maker, const struct bind_options *options)
{
    const struct relation *relation = maker->relation;
    err_t err = ERR_OK;

    maker->checks =
        arena_alloc(exec->arena, (relation->constraint_count + 1U) * sizeof(*maker->checks));
    maker->check_exprs =
        arena_alloc(exec->arena, (relation->constraint_count + 1U) * sizeof(struct expr *));
    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        if (relation->constraints[i].kind == CONSTRAINT_CHECK) {
            maker->checks[maker->check_count] = &relation->constraints[i];
            TRY(expression_bind(maker, options, relation->constraints[i].sql, NULL,
                                &maker->check_exprs[maker->check_count]));
            maker->check_count++;
        }
    }
out:
    return err;
}

err_t
row_maker_open(struct exec *exec, const struct relation *relation, struct row_maker *maker)
{
    const struct bind_options options = {
        .catalog = exec->env->catalog,
        .arena = exec->arena,
        .settings = exec->settings,
        .search_path = relation->path.size > 0
                           ? arena_printf(exec->arena, "%.*s", (int)relation->path.size,
                                          (const char *)relation->path.data)
                           : exec->env->search_path,
    };
    err_t err = ERR_OK;

    *maker = (struct row_maker){.exec = exec, .relation = relation};
    maker->generated =
        arena_alloc(exec->arena, (relation->column_count + 1U) * sizeof(struct expr *));
    maker->virtuals =
        arena_alloc(exec->arena, (relation->virtual_count + 1U) * sizeof(struct expr *));
    for (uint32_t i = 0; i < relation->column_count; i++) {
        const struct column *column = &relation->columns[i];

        maker->generated[i] = NULL;
        if (column->is_generated && !column->is_dropped) {
            maker->has_generated = true;
            TRY(expression_bind(maker, &options, column->default_sql, column,
                                &maker->generated[i]));
        }
    }
    TRY(checks_bind(exec, maker, &options));
    for (uint32_t i = 0; i < relation->virtual_count; i++) {
        maker->virtuals[i] = NULL;
        if (relation->virtuals[i].index != 0) { /* Its index is still there. */
            TRY(expression_bind(maker, &options, relation->virtuals[i].sql, NULL,
                                &maker->virtuals[i]));
        }
    }
out:
    return err;
}

struct row
row_maker_row(const struct relation *relation, struct arena *arena)
{
    uint32_t width = relation_width(relation) + 1;
    struct row row = {
        .values = arena_alloc(arena, width * sizeof(*row.values)),
        .nulls = arena_alloc(arena, width),
    };

    memset(row.values, 0, width * sizeof(*row.values));
    memset(row.nulls, 1, width);
    return row;
}

static err_t
value_eval(const struct row_maker *maker, struct arena *arena, const struct expr *expr,
           const struct row *row, struct vector *result_out)
{
    uint32_t columns = maker->relation->column_count;
    struct batch batch = {.column_count = columns, .rows = 1};

    batch.columns = arena_alloc(arena, (columns + 1U) * sizeof(*batch.columns));
    for (uint32_t i = 0; i < columns; i++) {
        batch.columns[i] = (struct vector){.values = &row->values[i], .nulls = &row->nulls[i]};
    }
    return eval(maker->exec, arena, expr, &batch, NULL, 1, result_out);
}

static err_t
value_make(const struct row_maker *maker, struct arena *arena, const struct expr *expr,
           const struct row *row, uint32_t place)
{
    struct vector result;
    err_t err;

    TRY(value_eval(maker, arena, expr, row, &result));
    row->nulls[place] = vector_is_null(&result, 0);
    row->values[place] = row->nulls[place] != 0 ? datum_int(0) : vector_value(&result, 0);
out:
    return err;
}

err_t
row_maker_generate(const struct row_maker *maker, struct arena *arena, struct row *row)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; maker->has_generated && i < maker->relation->column_count; i++) {
        if (maker->generated[i] != NULL) {
            TRY(value_make(maker, arena, maker->generated[i], row, i));
        }
    }
out:
    return err;
}

err_t
row_maker_finish(const struct row_maker *maker, struct arena *arena, struct row *row)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < maker->relation->virtual_count; i++) {
        uint32_t place = maker->relation->column_count + i;

        row->nulls[place] = 1;
        if (maker->virtuals[i] != NULL) {
            TRY(value_make(maker, arena, maker->virtuals[i], row, place));
        }
    }
out:
    return err;
}

/* ---- Constraints of a row ---- */

static void
row_describe(const struct row_maker *maker, const struct row *row, struct buf *out)
{
    for (uint32_t i = 0; i < maker->relation->column_count; i++) {
        const struct column *column = &maker->relation->columns[i];

        if (column->is_dropped) {
            continue;
        }
        buf_append(out, ", ", out->size > 0 ? 2 : 0);
        if (row->nulls[i] != 0) {
            buf_append(out, "null", 4);
        } else {
            size_t start = out->size;

            column->type->output(column->type, maker->exec->settings, row->values[i], out);
            if (out->size - start > VALUE_BYTES_SHOWN) {
                out->size = start + VALUE_BYTES_SHOWN;
                buf_append(out, "...", 3);
            }
        }
    }
}

err_t
row_maker_failing(const struct row_maker *maker, const struct row *row)
{
    struct buf text;
    err_t err;

    buf_init(&text, MEM_SESSIONS);
    row_describe(maker, row, &text);
    err = sql_detail("Failing row contains (%.*s).", (int)MIN(text.size, (size_t)ROW_BYTES_SHOWN),
                     (const char *)text.data);
    buf_fini(&text);
    return err;
}

err_t
row_maker_check(const struct row_maker *maker, struct arena *arena, const struct row *row)
{
    const struct relation *relation = maker->relation;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < relation->column_count; i++) {
        const struct column *column = &relation->columns[i];

        if (column->is_not_null && !column->is_dropped && row->nulls[i] != 0) {
            (void)sql_error("23502",
                            "null value in column \"%.*s\" of relation \"%.*s\" violates not-null "
                            "constraint",
                            SLICE_ARGS(column->name), SLICE_ARGS(relation->name));
            return row_maker_failing(maker, row);
        }
    }
    for (uint32_t i = 0; i < maker->check_count; i++) {
        struct vector result;

        TRY(value_eval(maker, arena, maker->check_exprs[i], row, &result));
        if (!vector_is_null(&result, 0) && vector_value(&result, 0).i == 0) {
            (void)sql_error("23514",
                            "new row for relation \"%.*s\" violates check constraint \"%.*s\"",
                            SLICE_ARGS(relation->name), SLICE_ARGS(maker->checks[i]->name));
            return row_maker_failing(maker, row);
        }
    }
out:
    return err;
}

/* ---- Walks ---- */

struct table_walk {
    struct exec *exec;
    const struct relation *relation;
    struct row_maker maker;
    struct rtable_scan *scan;
    struct arena arena; /* Of the batch. */
    struct arena row_arena;
    uint16_t columns[RELATION_COLUMNS_MAX];
    struct slice *keys;
    struct batch batch;
    uint32_t at, count;
    struct row row;
};

enum { WALK_ROWS = 256 };

err_t
table_walk_open(struct exec *exec, const struct relation *relation, const struct index *index,
                struct slice lower, struct slice upper, struct table_walk **walk_out)
{
    struct table_walk *walk = MEM_NEW(MEM_SESSIONS, struct table_walk);
    struct rtable_scan_options options = {
        .relation = relation,
        .index = index,
        .lower = lower,
        .upper = upper,
        .slot = TXN_ALL_SHARDS,
        .columns = walk->columns,
        .column_count = relation->column_count,
    };
    err_t err;

    walk->exec = exec;
    walk->relation = relation;
    arena_init(&walk->arena, MEM_SESSIONS);
    arena_init(&walk->row_arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < relation->column_count; i++) {
        walk->columns[i] = (uint16_t)i;
    }
    TRY(row_maker_open(exec, relation, &walk->maker));
    TRY(rtable_scan_open(exec->txn, &options, &walk->scan));
    *walk_out = walk;
    walk = NULL;
out:
    table_walk_close(&walk);
    return err;
}

void
table_walk_close(struct table_walk **walk)
{
    if (*walk == NULL) {
        return;
    }
    rtable_scan_close(&(*walk)->scan);
    arena_fini(&(*walk)->arena);
    arena_fini(&(*walk)->row_arena);
    MEM_FREE(MEM_SESSIONS, *walk);
}

err_t
table_walk_next(struct table_walk *walk, const struct row **row_out, struct slice *key_out)
{
    err_t err = ERR_OK;

    *row_out = NULL;
    arena_reset(&walk->row_arena);
    if (walk->at == walk->count) {
        arena_reset(&walk->arena);
        walk->at = 0;
        batch_make(&walk->batch, &walk->arena, walk->relation->column_count, WALK_ROWS);
        walk->keys = arena_alloc(&walk->arena, WALK_ROWS * sizeof(*walk->keys));
        TRY(rtable_scan_next(walk->scan, &walk->arena, WALK_ROWS, walk->batch.columns, walk->keys,
                             &walk->count));
        TRY(exec_work(walk->exec, walk->count));
        if (walk->count == 0) {
            return ERR_OK;
        }
    }
    walk->row = row_maker_row(walk->relation, &walk->row_arena);
    for (uint32_t i = 0; i < walk->relation->column_count; i++) {
        walk->row.values[i] = walk->batch.columns[i].values[walk->at];
        walk->row.nulls[i] = walk->batch.columns[i].nulls[walk->at];
    }
    TRY(row_maker_finish(&walk->maker, &walk->row_arena, &walk->row));
    *key_out = walk->keys[walk->at++];
    *row_out = &walk->row;
out:
    return err;
}
