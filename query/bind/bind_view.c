/* query/bind/bind_view.c - views that stand for a table: INSERT, UPDATE and DELETE of them.
 *
 * Such a view selects from one table, or from another such view, and its rows are that table's. The
 * statement is bound to the table: the view's columns are expressions over the table's, its WHERE
 * goes to the statement's, and what WITH CHECK OPTION asks is asked of each new row. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

/* A walk from a view down to its table. */
struct view_walk {
    struct binder *binder;
    struct query *query;       /* Whose expressions the view's become. */
    struct source *table;      /* NULL: made when the table is met, and views are examined. */
    const char *verb;          /* For errors: "insert into". */
    struct expr *where;        /* All that the views ask. */
    struct view_check *checks; /* NULL: not wanted. */
    uint32_t check_count, check_capacity;
};

/* ---- May it be written to? ---- */

static const char *
view_obstacle(const SelectStmt *select, const struct query *query)
{
    bool has_table =
        list_length(select->fromClause) == 1 && IsA(linitial(select->fromClause), RangeVar);

    return select->distinctClause != NIL  ? "Views containing DISTINCT"
           : select->groupClause != NIL   ? "Views containing GROUP BY"
           : select->havingClause != NULL ? "Views containing HAVING"
           : select->op != SETOP_NONE     ? "Views containing UNION, INTERSECT, or EXCEPT"
           : select->withClause != NULL   ? "Views containing WITH"
           : select->limitCount != NULL || select->limitOffset != NULL
               ? "Views containing LIMIT or OFFSET"
           : query->aggregate_count > 0 ? "Views that return aggregate functions"
           : query->window_count > 0    ? "Views that return window functions"
           : query->has_sets            ? "Views that return set-returning functions"
           : !has_table                 ? "Views that do not select from a single table or view"
                                        : NULL;
}

static err_t
not_updatable(struct binder *binder, const struct relation *view, const char *verb,
              const char *obstacle)
{
    const char *doing = strcmp(verb, "update") == 0        ? "updating"
                        : strcmp(verb, "delete from") == 0 ? "deleting from"
                                                           : "inserting into";
    const char *event = strcmp(verb, "update") == 0        ? "UPDATE"
                        : strcmp(verb, "delete from") == 0 ? "DELETE"
                                                           : "INSERT";

    (void)bind_error(binder, -1, "55000", "cannot %s view \"%.*s\"", verb, SLICE_ARGS(view->name));
    (void)sql_detail("%s are not automatically updatable.", obstacle);
    return sql_hint("To enable %s the view, provide an INSTEAD OF %s trigger or an unconditional "
                    "ON %s DO INSTEAD rule.",
                    doing, event, event);
}

static err_t
view_examine(struct view_walk *walk, const struct relation *view, const SelectStmt *select)
{
    const char *obstacle;
    struct query *query;
    err_t err;

    TRY(bind_query(walk->binder, NULL, select, &query));
    obstacle = view_obstacle(select, query);
    if (obstacle != NULL) {
        err = not_updatable(walk->binder, view, walk->verb, obstacle);
    }
out:
    return err;
}

/* ---- The way down ---- */

static err_t view_open(struct view_walk *walk, const struct relation *view, bool is_checked,
                       struct source **source_out);

/* What the view selects from. */
static err_t
view_below(struct view_walk *walk, const struct relation *view, const RangeVar *range,
           bool is_checked, struct source **source_out)
{
    struct binder *binder = walk->binder;
    const struct relation *below;
    struct source *source;
    err_t err;

    TRY(bind_relation(binder, range, &below));
    if (below->kind == RELATION_VIEW) {
        TRY(view_open(walk, below, is_checked, &source));
    } else if (below->oid < OID_FIRST_USER || below->kind != RELATION_TABLE) {
        return not_updatable(binder, view, walk->verb,
                             "Views that do not select from a single table or view");
    } else {
        walk->table = walk->table != NULL ? walk->table : source_of_relation(binder, below);
        source = walk->table;
    }
    if (range->alias != NULL && range->alias->colnames != NIL) { /* The table keeps its names. */
        struct source *renamed = source_new(binder, SOURCE_QUERY, source->column_count);

        renamed->exprs = bind_zeroed(binder, (source->column_count + 1) * sizeof(struct expr *));
        renamed->relation = below;
        for (uint32_t i = 0; i < source->column_count; i++) {
            renamed->columns[i] = source->columns[i];
            renamed->exprs[i] = expr_column(binder->arena, source, i);
        }
        source = renamed;
        TRY(bind_alias_columns(binder, source, range->alias));
    }
    *source_out = source;
out:
    return err;
}

static err_t
view_where(struct view_walk *walk, const struct relation *view, struct scope *scope,
           const Node *where, bool is_checked)
{
    struct binder *binder = walk->binder;
    struct expr *condition;
    err_t err;

    TRY(bind_condition(binder, scope, where, "argument of WHERE", &condition));
    walk->where = bind_and(binder, walk->where, condition);
    if (walk->checks == NULL || !is_checked) {
        return ERR_OK;
    }
    if (walk->check_count == walk->check_capacity) {
        uint32_t capacity = walk->check_capacity * 2;
        struct view_check *grown = bind_zeroed(binder, capacity * sizeof(*grown));

        memcpy(grown, walk->checks, walk->check_count * sizeof(*grown));
        walk->checks = grown;
        walk->check_capacity = capacity;
    }
    walk->checks[walk->check_count++] = (struct view_check){.view = view->name, .expr = condition};
out:
    return err;
}

/* The view's columns, as expressions over those of what it selects from. */
static err_t
view_columns(struct view_walk *walk, const struct relation *view, struct scope *scope,
             const SelectStmt *select, struct source **source_out)
{
    struct binder *binder = walk->binder;
    struct target *targets;
    struct source *source;
    uint32_t count;
    err_t err;

    TRY(bind_targets(binder, scope, select->targetList, &targets, &count));
    count = MIN(count, (uint32_t)view->column_count);
    source = source_new(binder, SOURCE_QUERY, count);
    source->relation = view;
    source->exprs = bind_zeroed(binder, (count + 1) * sizeof(*source->exprs));
    for (uint32_t i = 0; i < count; i++) {
        TRY(bind_settle(binder, &targets[i].expr));
        source->exprs[i] = targets[i].expr;
        source->columns[i].name = view->columns[i].name;
        source->columns[i].type = targets[i].expr->type;
        source->columns[i].typmod = targets[i].expr->typmod;
        source->columns[i].shape = targets[i].expr->shape;
    }
    *source_out = source;
out:
    return err;
}

static err_t
view_parsed(struct view_walk *walk, const struct relation *view, const SelectStmt *select,
            bool is_checked, struct source **source_out)
{
    struct binder *binder = walk->binder;
    struct scope scope = {.query = walk->query, .clause = "SELECT"};
    const RangeVar *range;
    struct source *below = NULL;
    err_t err;

    if (walk->table == NULL) {
        TRY(view_examine(walk, view, select));
    }
    range = linitial(select->fromClause);
    TRY(view_below(walk, view, range, is_checked || view->view_check == 'c', &below));
    scope_add(binder, &scope,
              bind_text(binder, range->alias != NULL ? range->alias->aliasname : range->relname),
              below);
    TRY(view_columns(walk, view, &scope, select, source_out));
    if (select->whereClause != NULL) {
        scope.clause = "WHERE";
        err = view_where(walk, view, &scope, select->whereClause,
                         is_checked || view->view_check != 0);
    }
out:
    return err;
}

static err_t
view_open(struct view_walk *walk, const struct relation *view, bool is_checked,
          struct source **source_out)
{
    struct binder *binder = walk->binder;
    const char *search_path = binder->search_path;
    struct parse parse = {0};
    uint32_t position;
    err_t err;

    TRY(bind_depth_check(binder));
    binder->depth++;
    if (view->path.size > 0) {
        binder->search_path = arena_printf(binder->arena, "%.*s", SLICE_ARGS(view->path));
    }
    err = parse_open(arena_printf(binder->arena, "%.*s", SLICE_ARGS(view->view_sql)), &parse,
                     &position);
    if (err == ERR_OK) {
        err = view_parsed(walk, view,
                          (const SelectStmt *)((const RawStmt *)linitial(parse.statements))->stmt,
                          is_checked, source_out);
    }
    binder->search_path = search_path;
    binder->depth--;
out:
    parse_close(&parse);
    return err;
}

/* ---- For the statements ---- */

/* Which column of the table each of the view's is. */
static void
columns_map(struct binder *binder, const struct source *source, const struct source *table,
            struct changed *changed)
{
    changed->columns = bind_zeroed(binder, (changed->view->column_count + 1U) * sizeof(uint32_t));
    for (uint32_t i = 0; i < changed->view->column_count; i++) {
        const struct expr *expr = i < source->column_count ? source->exprs[i] : NULL;

        changed->columns[i] =
            expr != NULL && expr->kind == EXPR_COLUMN && expr->column.source == table->id
                ? expr->column.column
                : UINT32_MAX;
    }
}

err_t
bind_changed(struct binder *binder, const RangeVar *name, const char *verb, struct changed *changed)
{
    struct query none = {0};
    struct view_walk walk = {.binder = binder, .query = &none, .verb = verb};
    const struct relation *relation;
    struct source *source;
    err_t err;

    *changed = (struct changed){.verb = verb};
    TRY(bind_relation(binder, name, &relation));
    if (relation->oid < OID_FIRST_USER && relation->schema != OID_SCHEMA_REDIS) {
        return bind_error(binder, -1, "42501", "permission denied for table %s", name->relname);
    }
    changed->relation = relation;
    if (relation->kind == RELATION_VIEW) {
        TRY(view_open(&walk, relation, false, &source));
        changed->view = relation;
        changed->relation = walk.table->relation;
        columns_map(binder, source, walk.table, changed);
    } else if (relation->kind != RELATION_TABLE) {
        err = bind_error(binder, name->location, "42809", "\"%s\" is not a table", name->relname);
    }
out:
    return err;
}

err_t
bind_changed_source(struct binder *binder, const struct changed *changed, struct query *query,
                    struct source *table, struct source **source_out)
{
    struct view_walk walk = {.binder = binder, .query = query, .table = table};
    err_t err = ERR_OK;

    *source_out = table;
    if (changed->view != NULL) {
        TRY(view_open(&walk, changed->view, false, source_out));
        query->where = bind_and(binder, query->where, walk.where);
    }
out:
    return err;
}

err_t
bind_view_checks(struct binder *binder, const struct changed *changed, struct statement *out)
{
    struct query none = {0};
    struct view_walk walk = {
        .binder = binder,
        .query = &none,
        .table = out->row_source,
        .check_capacity = 4,
    };
    struct source *source;
    err_t err = ERR_OK;

    if (changed->view == NULL) {
        return ERR_OK;
    }
    walk.checks = bind_zeroed(binder, walk.check_capacity * sizeof(*walk.checks));
    TRY(view_open(&walk, changed->view, false, &source));
    out->view_checks = walk.checks;
    out->view_check_count = walk.check_count;
out:
    return err;
}

err_t
bind_changed_column(struct binder *binder, const struct changed *changed, const char *name,
                    int location, uint32_t *column_out)
{
    const struct relation *named = changed->view != NULL ? changed->view : changed->relation;

    for (uint32_t i = 0; i < named->column_count; i++) {
        if (!named->columns[i].is_dropped &&
            slice_equal(named->columns[i].name, slice_from_text(name))) {
            *column_out = changed->view != NULL ? changed->columns[i] : i;
            return *column_out == UINT32_MAX ? bind_view_column_error(binder, changed, i) : ERR_OK;
        }
    }
    return bind_error(binder, location, "42703",
                      "column \"%s\" of relation \"%.*s\" does not exist", name,
                      SLICE_ARGS(named->name));
}

err_t
bind_view_column_error(struct binder *binder, const struct changed *changed, uint32_t column)
{
    (void)bind_error(binder, -1, "0A000", "cannot %s column \"%.*s\" of view \"%.*s\"",
                     changed->verb, SLICE_ARGS(changed->view->columns[column].name),
                     SLICE_ARGS(changed->view->name));
    return sql_detail("View columns that are not columns of their base relation are not "
                      "updatable.");
}
