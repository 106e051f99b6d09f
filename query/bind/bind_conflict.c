/* query/bind/bind_conflict.c - ON CONFLICT: which indexes it means, and what it does.
 *
 * Operator classes and collations that an inference names do not tell indexes apart: each type has
 * one order. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

/* What ON CONFLICT (...) WHERE ... names, over the table's old row. */
struct inference {
    struct expr **parts;
    uint32_t part_count;
    struct expr *predicate; /* NULL: none. */
};

static err_t
constraint_index(struct binder *binder, const InferClause *infer, const struct relation *relation,
                 struct statement *out)
{
    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        const struct constraint *constraint = &relation->constraints[i];
        const struct index *index = NULL;

        if (!slice_equal(constraint->name, slice_from_text(infer->conname))) {
            continue;
        }
        for (uint32_t j = 0; j < relation->index_count; j++) {
            index = constraint->index == relation->indexes[j].oid ? &relation->indexes[j] : index;
        }
        if (index == NULL || !index->is_unique || constraint->kind == CONSTRAINT_FOREIGN) {
            return bind_error(binder, -1, "42809",
                              "constraint in ON CONFLICT clause has no associated index");
        }
        if (index->is_deferrable) {
            return bind_error(binder, -1, "55000",
                              "ON CONFLICT does not support deferrable unique "
                              "constraints/exclusion constraints as arbiters");
        }
        out->conflict_indexes[out->conflict_index_count++] = index;
        return ERR_OK;
    }
    return bind_error(binder, -1, "42704", "constraint \"%s\" for table \"%.*s\" does not exist",
                      infer->conname, SLICE_ARGS(relation->name));
}

static err_t
inference_bind(struct binder *binder, struct scope *scope, const InferClause *infer,
               const struct changed *changed, struct source *table, struct inference *out)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    out->parts =
        bind_zeroed(binder, ((size_t)list_length(infer->indexElems) + 1) * sizeof(*out->parts));
    foreach(cell, infer->indexElems)
    {
        const IndexElem *element = lfirst(cell);
        uint32_t column;

        if (element->ordering != SORTBY_DEFAULT) {
            return bind_error(binder, infer->location, "42P10",
                              "ASC/DESC is not allowed in ON CONFLICT clause");
        }
        if (element->nulls_ordering != SORTBY_NULLS_DEFAULT) {
            return bind_error(binder, infer->location, "42P10",
                              "NULLS FIRST/LAST is not allowed in ON CONFLICT clause");
        }
        if (element->name == NULL) {
            TRY(bind_expr(binder, scope, element->expr, &out->parts[out->part_count++]));
            continue;
        }
        if (bind_changed_column(binder, changed, element->name, -1, &column) != ERR_OK) {
            return bind_error(binder, infer->location, "42703", "column \"%s\" does not exist",
                              element->name);
        }
        out->parts[out->part_count++] = expr_column(binder->arena, table, column);
    }
    if (infer->whereClause != NULL) {
        err =
            bind_condition(binder, scope, infer->whereClause, "argument of WHERE", &out->predicate);
    }
out:
    return err;
}

/* An expression or predicate of an index, over the table's old row. */
static err_t
virtual_bind(struct binder *binder, const struct relation *relation, struct source *table,
             uint16_t number, struct expr **expr_out)
{
    struct query none = {0};
    struct scope scope = {.query = &none};
    const struct virtual_column *column = &relation->virtuals[number - INDEX_EXPRESSION];
    struct parse parse = {0};
    const ResTarget *target;
    uint32_t position;
    err_t err;

    scope_add(binder, &scope, relation->name, table);
    TRY(parse_open(arena_printf(binder->arena, "SELECT %.*s", SLICE_ARGS(column->sql)), &parse,
                   &position));
    target = linitial(
        ((const SelectStmt *)((const RawStmt *)linitial(parse.statements))->stmt)->targetList);
    err = bind_expr(binder, &scope, target->val, expr_out);
out:
    parse_close(&parse);
    return err;
}

/* Does one of the conditions that `all` joins by AND say the same? */
static bool
is_implied(const struct expr *all, const struct expr *condition)
{
    if (condition->kind == EXPR_AND) {
        for (uint32_t i = 0; i < condition->arg_count; i++) {
            if (!is_implied(all, condition->args[i])) {
                return false;
            }
        }
        return true;
    }
    for (uint32_t i = 0; all->kind == EXPR_AND && i < all->arg_count; i++) {
        if (is_implied(all->args[i], condition)) {
            return true;
        }
    }
    return expr_equal(all, condition);
}

/* Has the index these parts, each at least once, and no others? */
static err_t
index_fits(struct binder *binder, const struct relation *relation, const struct index *index,
           struct source *table, const struct inference *inference, bool *fits_out)
{
    bool *is_met = bind_zeroed(binder, inference->part_count + 1U);
    struct expr *expr;
    err_t err = ERR_OK;

    *fits_out = index->is_unique && !index->is_deferrable;
    for (uint32_t i = 0; *fits_out && i < index->column_count; i++) {
        bool is_named = false;

        if (index->columns[i] < INDEX_EXPRESSION) {
            expr = expr_column(binder->arena, table, index->columns[i]);
        } else {
            TRY(virtual_bind(binder, relation, table, index->columns[i], &expr));
        }
        for (uint32_t j = 0; j < inference->part_count; j++) {
            if (expr_equal(inference->parts[j], expr)) {
                is_met[j] = is_named = true;
            }
        }
        *fits_out = is_named;
    }
    for (uint32_t j = 0; j < inference->part_count; j++) {
        *fits_out = *fits_out && is_met[j];
    }
    if (*fits_out && index->predicate != 0) {
        TRY(virtual_bind(binder, relation, table, index->predicate, &expr));
        *fits_out = inference->predicate != NULL && is_implied(inference->predicate, expr);
    }
out:
    return err;
}

static err_t
conflict_indexes(struct binder *binder, struct scope *scope, const InferClause *infer,
                 const struct changed *changed, struct statement *out)
{
    const struct relation *relation = changed->relation;
    struct inference inference = {0};
    err_t err;

    out->conflict_indexes =
        bind_zeroed(binder, (relation->index_count + 1U) * sizeof(*out->conflict_indexes));
    if (infer->conname != NULL) {
        return constraint_index(binder, infer, relation, out);
    }
    TRY(inference_bind(binder, scope, infer, changed, out->old_source, &inference));
    for (uint32_t i = 0; i < relation->index_count; i++) {
        bool fits;

        TRY(index_fits(binder, relation, &relation->indexes[i], out->old_source, &inference,
                       &fits));
        if (fits) {
            out->conflict_indexes[out->conflict_index_count++] = &relation->indexes[i];
        }
    }
    if (out->conflict_index_count == 0) {
        err = bind_error(binder, -1, "42P10",
                         "there is no unique or exclusion constraint matching the ON CONFLICT "
                         "specification");
    }
out:
    return err;
}

err_t
bind_conflict(struct binder *binder, struct scope *around, const InsertStmt *insert,
              const struct changed *changed, struct statement *out)
{
    const OnConflictClause *clause = insert->onConflictClause;
    const struct relation *named = changed->view != NULL ? changed->view : changed->relation;
    struct query none = {0}, both = {0};
    struct scope old = {.outer = around, .query = &none, .clause = "ON CONFLICT"};
    struct scope scope = {.outer = around, .query = &both, .clause = "ON CONFLICT"};
    struct source *source, *excluded;
    struct slice alias = insert->relation->alias != NULL
                             ? bind_text(binder, insert->relation->alias->aliasname)
                             : named->name;
    err_t err = ERR_OK;

    if (clause == NULL) {
        return ERR_OK;
    }
    out->conflict = clause->action == ONCONFLICT_NOTHING ? CONFLICT_NOTHING : CONFLICT_UPDATE;
    TRY(bind_changed_source(binder, changed, &none, out->old_source, &source));
    if (clause->infer != NULL) {
        scope_add(binder, &old, alias, source);
        TRY(conflict_indexes(binder, &old, clause->infer, changed, out));
    }
    if (out->conflict == CONFLICT_NOTHING) {
        return ERR_OK;
    }
    if (clause->infer == NULL) {
        (void)bind_error(binder, clause->location, "42601",
                         "ON CONFLICT DO UPDATE requires inference specification or constraint "
                         "name");
        return sql_hint("For example, ON CONFLICT (column_name).");
    }
    TRY(bind_changed_source(binder, changed, &none, out->row_source, &excluded));
    scope_add(binder, &scope, alias, source);
    scope_add(binder, &scope, SLICE("excluded"), excluded);
    TRY(bind_assignments(binder, &scope, clause->targetList, changed, out->old_source, out));
    if (clause->whereClause != NULL) {
        TRY(bind_condition(binder, &scope, clause->whereClause, "argument of WHERE",
                           &out->conflict_where));
    }
out:
    return err;
}
