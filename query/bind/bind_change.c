/* query/bind/bind_change.c - INSERT, UPDATE, DELETE.
 *
 * Each has a query whose rows say what to change:
 *     INSERT   a target for each column of the table
 *     UPDATE   the old row's columns, then the new values of assignments, then the row's key
 *     DELETE   the old row's columns, then the row's key */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

/* ---- Values of columns ---- */

/* An assignment names the column when the types do not fit. */
static err_t
assign_coerce(struct binder *binder, const struct column *column, struct expr **expr)
{
    const struct function *function;

    if ((*expr)->type->oid != OID_UNKNOWN &&
        fn_cast((*expr)->type->oid, column->type->oid, COERCE_ASSIGNMENT, &function) == CAST_NONE) {
        (void)bind_error(binder, (*expr)->position, "42804",
                         "column \"%.*s\" is of type %s but expression is of type %s",
                         SLICE_ARGS(column->name), column->type->display, (*expr)->type->display);
        return sql_hint("You will need to rewrite or cast the expression.");
    }
    return bind_coerce(binder, expr, column->type, column->typmod, COERCE_ASSIGNMENT);
}

/* ---- Defaults and checks ---- */

/* The next value of the sequence that belongs to the column. */
static err_t
identity_expr(struct binder *binder, const struct bind_options *options,
              const struct relation *relation, uint32_t column, struct expr **expr_out)
{
    struct source *none = NULL;
    err_t err;

    for (uint32_t i = 0; i < binder->catalog->relation_count; i++) {
        const struct relation *sequence = binder->catalog->relations[i];

        if (sequence->kind == RELATION_SEQUENCE && sequence->sequence.is_identity &&
            sequence->sequence.owner == relation->oid && sequence->sequence.column == column) {
            char *sql = arena_printf(binder->arena, "nextval('%u'::regclass)", sequence->oid);

            err = bind_table_expr(options, NULL, slice_from_text(sql), &none, expr_out);
            return err != ERR_OK ? err
                                 : assign_coerce(binder, &relation->columns[column], expr_out);
        }
    }
    return sql_error("XX000", "no owned sequence found");
}

/* May a statement give the column a value? is_update: by SET. */
static err_t
given_check(struct binder *binder, const struct column *column, OverridingKind override,
            bool is_update, int location)
{
    bool is_always = column->identity == 'a' && (is_update || override != OVERRIDING_SYSTEM_VALUE);

    if (!column->is_generated && !is_always) {
        return ERR_OK;
    }
    (void)bind_error(binder, location, "428C9",
                     is_update ? "column \"%.*s\" can only be updated to DEFAULT"
                               : "cannot insert a non-DEFAULT value into column \"%.*s\"",
                     SLICE_ARGS(column->name));
    if (column->is_generated) {
        return sql_detail("Column \"%.*s\" is a generated column.", SLICE_ARGS(column->name));
    }
    (void)sql_detail("Column \"%.*s\" is an identity column defined as GENERATED ALWAYS.",
                     SLICE_ARGS(column->name));
    return is_update ? ERR_SQL : sql_hint("Use OVERRIDING SYSTEM VALUE to override.");
}

static err_t
default_expr(struct binder *binder, const struct relation *relation, uint32_t column,
             struct expr **expr_out)
{
    const struct bind_options options = {
        .catalog = binder->catalog,
        .arena = binder->arena,
        .settings = binder->settings,
        .search_path = binder->search_path,
    };
    const struct column *described = &relation->columns[column];
    struct source *none = NULL;
    err_t err;

    if (described->identity != 0) {
        return identity_expr(binder, &options, relation, column, expr_out);
    }
    if (described->default_sql.size == 0 || described->is_dropped || described->is_generated) {
        *expr_out = expr_const(binder->arena, described->type, datum_int(0), true);
        return ERR_OK;
    }
    err = bind_table_expr(&options, NULL, described->default_sql, &none, expr_out);
    return err != ERR_OK ? err : assign_coerce(binder, described, expr_out);
}

/* A view's own default comes before the table's. */
static err_t
changed_default(struct binder *binder, const struct changed *changed, uint32_t column,
                struct expr **expr_out)
{
    const struct relation *view = changed->view;
    err_t err;

    for (uint32_t i = 0; view != NULL && i < view->column_count; i++) {
        if (changed->columns[i] == column && view->columns[i].default_sql.size > 0) {
            TRY(default_expr(binder, view, i, expr_out));
            return assign_coerce(binder, &changed->relation->columns[column], expr_out);
        }
    }
    err = default_expr(binder, changed->relation, column, expr_out);
out:
    return err;
}

static struct expr *
joined_column(struct binder *binder, struct source *joined, uint32_t column)
{
    struct expr *expr = expr_new(binder->arena, EXPR_COLUMN, joined->columns[column].type, 0, -1);

    expr->typmod = joined->columns[column].typmod;
    expr->shape = joined->columns[column].shape;
    expr->column.source = joined->id;
    expr->column.column = column;
    return expr;
}

/* An item of FROM, by columns of `joined` from *at on. */
static void
joined_item(struct binder *binder, struct scope *scope, const struct scope_item *item,
            struct source *joined, uint32_t *at)
{
    struct source *source = item->source;
    struct source *seen = source_new(binder, source->kind, source->column_count);
    uint32_t id = seen->id;

    *seen = *source;
    seen->id = id;
    seen->exprs = bind_zeroed(binder, (source->column_count + 1) * sizeof(struct expr *));
    for (uint32_t i = 0; i < source->column_count; i++) {
        joined->columns[*at] = source->columns[i];
        joined->exprs[*at] = expr_column(binder->arena, source, i);
        seen->exprs[i] = joined_column(binder, joined, (*at)++);
    }
    scope_add(binder, scope, item->alias, seen);
    scope->items[scope->item_count - 1].is_hidden = item->is_hidden;
}

/* What else the statement reads, as RETURNING sees it: columns of one source, whose `exprs` say
 * what each is where the statement's query runs. */
static void
joined_add(struct binder *binder, struct scope *scope, const struct scope *from,
           struct statement *out)
{
    struct source *joined;
    uint32_t count = from->merged_count, at = 0;

    for (uint32_t i = 1; i < from->item_count; i++) {
        count += from->items[i].source->column_count;
    }
    joined = source_new(binder, SOURCE_QUERY, count);
    joined->exprs = bind_zeroed(binder, (count + 1) * sizeof(*joined->exprs));
    out->joined_source = joined;
    for (uint32_t i = 1; i < from->item_count; i++) {
        joined_item(binder, scope, &from->items[i], joined, &at);
    }
    scope->merged = bind_zeroed(binder, (from->merged_count + 1U) * sizeof(*scope->merged));
    scope->merged_count = from->merged_count;
    for (uint32_t i = 0; i < from->merged_count; i++, at++) {
        const struct expr *expr = from->merged[i].expr;

        joined->columns[at].type = expr->type;
        joined->columns[at].typmod = expr->typmod;
        joined->exprs[at] = bind_expr_copy(binder, expr);
        scope->merged[i].name = from->merged[i].name;
        scope->merged[i].expr = joined_column(binder, joined, at);
    }
}

/* from: the scope of what UPDATE and DELETE join; NULL: none. */
static err_t
returning_bind(struct binder *binder, struct scope *around, const List *list,
               const struct changed *changed, const Alias *alias, struct source *table,
               const struct scope *from, struct statement *out)
{
    const struct relation *named = changed->view != NULL ? changed->view : changed->relation;
    struct query none = {0};
    struct scope scope = {.outer = around, .query = &none, .clause = "RETURNING"};
    struct source *source;
    err_t err;

    if (list == NIL) {
        return ERR_OK;
    }
    TRY(bind_changed_source(binder, changed, &none, table, &source));
    scope_add(binder, &scope, alias != NULL ? bind_text(binder, alias->aliasname) : named->name,
              source);
    if (from != NULL && from->item_count > 1) {
        joined_add(binder, &scope, from, out);
    }
    err = bind_targets(binder, &scope, list, &out->returning, &out->returning_count);
out:
    return err;
}

/* ---- INSERT ---- */

/* Numbers of the columns that values are given for. */
static err_t
insert_columns(struct binder *binder, const InsertStmt *insert, const struct changed *changed,
               uint32_t **columns_out, uint32_t *count_out)
{
    const struct relation *named = changed->view != NULL ? changed->view : changed->relation;
    size_t most = MAX((size_t)list_length(insert->cols), (size_t)named->column_count) + 1;
    uint32_t *columns = arena_alloc(binder->arena, most * sizeof(*columns));
    uint32_t count = 0;
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, insert->cols)
    {
        const ResTarget *target = lfirst(cell);
        uint32_t column;

        TRY(bind_changed_column(binder, changed, target->name, target->location, &column));
        for (uint32_t i = 0; i < count; i++) {
            if (columns[i] == column && target->indirection == NIL) {
                err = bind_error(binder, target->location, "42701",
                                 "column \"%s\" specified more than once", target->name);
                goto out;
            }
        }
        columns[count++] = column;
    }
    for (uint32_t i = 0; insert->cols == NIL && i < named->column_count; i++) {
        if (!named->columns[i].is_dropped) {
            columns[count++] = changed->view != NULL ? changed->columns[i] : i;
        }
    }
    *columns_out = columns;
    *count_out = count;
out:
    return err;
}

/* As many values as columns; columns that nobody names may be fewer. extra: the place of the first
 * value that is too many, if it is known. */
static err_t
values_count_check(struct binder *binder, const InsertStmt *insert, uint32_t given, uint32_t count,
                   int extra)
{
    if (given > count) {
        return bind_error(binder, extra, "42601",
                          "INSERT has more expressions than target columns");
    }
    return given < count && insert->cols != NIL
               ? bind_error(binder,
                            ((const ResTarget *)list_nth(insert->cols, (int)given))->location,
                            "42601", "INSERT has more target columns than expressions")
               : ERR_OK;
}

/* A query that takes the given expressions for columns, and defaults for the others. */
static err_t
row_complete(struct binder *binder, const struct changed *changed, struct expr **exprs)
{
    const struct relation *relation = changed->relation;
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < relation->column_count; i++) {
        if (exprs[i] == NULL) {
            err = changed_default(binder, changed, i, &exprs[i]);
        } else {
            err = assign_coerce(binder, &relation->columns[i], &exprs[i]);
        }
    }
    return err;
}

static void
insert_targets(struct binder *binder, const struct relation *relation, struct query *query)
{
    query->target_count = relation->column_count;
    query->targets = bind_zeroed(binder, (relation->column_count + 1U) * sizeof(*query->targets));
    for (uint32_t i = 0; i < relation->column_count; i++) {
        query->targets[i].name = relation->columns[i].name;
        query->targets[i].expr =
            expr_new(binder->arena, EXPR_COLUMN, relation->columns[i].type, 0, -1);
    }
}

/* A value for the column, or for a part of it: a[1]. */
static err_t
insert_value(struct binder *binder, struct scope *scope, const InsertStmt *insert,
             const struct changed *changed, uint32_t number, uint32_t column, struct expr *value,
             struct expr **exprs)
{
    const ResTarget *target = insert->cols != NIL ? list_nth(insert->cols, (int)number) : NULL;
    const struct relation *relation = changed->relation;
    const struct column *described;
    err_t err;

    if (column == UINT32_MAX) {
        return bind_view_column_error(binder, changed, number);
    }
    described = &relation->columns[column];
    if (insert->override == OVERRIDING_USER_VALUE && relation->columns[column].identity != 0) {
        return ERR_OK; /* The sequence's is taken. */
    }
    err = given_check(binder, &relation->columns[column], insert->override, false, -1);
    if (err != ERR_OK) {
        return err;
    }
    if (target == NULL || target->indirection == NIL) {
        exprs[column] = value;
        return ERR_OK;
    }
    if (exprs[column] == NULL) {
        exprs[column] = expr_const(binder->arena, described->type, datum_int(0), true);
    }
    return bind_subscript_target(binder, scope, described, exprs[column], target->indirection,
                                 value, target->location, &exprs[column]);
}

/* DEFAULT for a part of a column means nothing. */
static err_t
default_check(struct binder *binder, const ResTarget *target)
{
    if (target == NULL || target->indirection == NIL) {
        return ERR_OK;
    }
    return bind_error(binder, target->location, "0A000",
                      IsA(linitial(target->indirection), A_Indices)
                          ? "cannot set an array element to DEFAULT"
                          : "cannot set a subfield to DEFAULT");
}

static err_t
insert_values(struct binder *binder, struct scope *around, const InsertStmt *insert,
              const struct changed *changed, const uint32_t *columns, uint32_t count,
              struct query *query)
{
    const struct relation *relation = changed->relation;
    const SelectStmt *select = (const SelectStmt *)insert->selectStmt;
    struct scope scope = {.outer = around, .query = query, .clause = "VALUES"};
    const ListCell *cell;
    uint32_t at = 0;
    err_t err = ERR_OK;

    insert_targets(binder, relation, query);
    query->values_count = (uint32_t)list_length(select->valuesLists);
    scope.may_set = query->values_count == 1;
    query->values = bind_zeroed(binder, query->values_count * sizeof(*query->values));
    foreach(cell, select->valuesLists)
    {
        const List *nodes = lfirst(cell);
        struct expr **exprs = bind_zeroed(binder, (relation->column_count + 1U) * sizeof(*exprs));

        TRY(values_count_check(binder, insert, (uint32_t)list_length(nodes), count,
                               (uint32_t)list_length(nodes) > count
                                   ? bind_location(list_nth(nodes, (int)count))
                                   : -1));
        if (list_length(nodes) != list_length(linitial(select->valuesLists))) {
            return bind_error(binder, -1, "42601", "VALUES lists must all be the same length");
        }
        for (int i = 0; i < list_length(nodes); i++) {
            if (!IsA(list_nth(nodes, i), SetToDefault)) {
                struct expr *value;

                TRY(bind_expr(binder, &scope, list_nth(nodes, i), &value));
                TRY(insert_value(binder, &scope, insert, changed, (uint32_t)i, columns[i], value,
                                 exprs));
            } else if (insert->cols != NIL) {
                TRY(default_check(binder, list_nth(insert->cols, i)));
            }
        }
        TRY(row_complete(binder, changed, exprs));
        query->values[at++].exprs = exprs;
    }
    if (query->has_sets) { /* One row that becomes several, as SELECT makes them. */
        for (uint32_t i = 0; i < relation->column_count; i++) {
            query->targets[i].expr = query->values[0].exprs[i];
        }
        query->values_count = 0;
    }
out:
    return err;
}

static err_t
insert_select(struct binder *binder, struct scope *around, const InsertStmt *insert,
              const struct changed *changed, const uint32_t *columns, uint32_t count,
              struct query *query)
{
    const struct relation *relation = changed->relation;
    const SelectStmt *select = (const SelectStmt *)insert->selectStmt;
    struct scope scope = {.outer = around, .query = query, .clause = "INSERT"};
    struct source *source = source_new(binder, SOURCE_QUERY, 0);
    struct join *from = bind_zeroed(binder, sizeof(*from));
    struct expr **exprs = bind_zeroed(binder, (relation->column_count + 1U) * sizeof(*exprs));
    uint32_t given = 0;
    err_t err;

    TRY(bind_query(binder, around, select, &source->query));
    while (given < source->query->target_count && !source->query->targets[given].is_junk) {
        given++;
    }
    TRY(values_count_check(
        binder, insert, given, count,
        given > count && list_length(select->targetList) == (int)given
            ? bind_location(((const ResTarget *)list_nth(select->targetList, (int)count))->val)
            : -1));
    source->column_count = given;
    source->columns = bind_zeroed(binder, (given + 1) * sizeof(*source->columns));
    for (uint32_t i = 0; i < given; i++) {
        source->columns[i].type = source->query->targets[i].expr->type;
        source->columns[i].typmod = source->query->targets[i].expr->typmod;
        TRY(insert_value(binder, &scope, insert, changed, i, columns[i],
                         expr_column(binder->arena, source, i), exprs));
    }
    from->kind = FROM_SOURCE;
    from->source = source;
    query->from = from;
    TRY(row_complete(binder, changed, exprs));
    insert_targets(binder, relation, query);
    for (uint32_t i = 0; i < relation->column_count; i++) {
        query->targets[i].expr = exprs[i];
    }
out:
    return err;
}

static err_t
insert_defaults(struct binder *binder, const struct changed *changed, struct query *query)
{
    const struct relation *relation = changed->relation;
    struct expr **exprs = bind_zeroed(binder, (relation->column_count + 1U) * sizeof(*exprs));
    err_t err = row_complete(binder, changed, exprs);

    insert_targets(binder, relation, query);
    for (uint32_t i = 0; i < relation->column_count; i++) {
        query->targets[i].expr = exprs[i];
    }
    return err;
}

/* ---- Assignments ---- */

/* The right side of SET (a, b) = ..., bound once for all that it sets. */
struct multiple {
    const Node *node; /* NULL: none yet. */
    struct query *query;
    struct target *fields;
};

static err_t
multiple_open(struct binder *binder, struct scope *scope, const MultiAssignRef *reference,
              struct multiple *multiple)
{
    uint32_t count;
    err_t err;

    multiple->node = reference->source;
    multiple->fields = NULL;
    multiple->query = NULL;
    if (IsA(reference->source, SubLink) &&
        ((const SubLink *)reference->source)->subLinkType == EXPR_SUBLINK) {
        return bind_multiple_query(binder, scope, (const SubLink *)reference->source,
                                   (uint32_t)reference->ncolumns, &multiple->query);
    }
    if (!IsA(reference->source, RowExpr)) {
        return bind_error(binder, bind_location(reference->source), "0A000",
                          "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() "
                          "expression");
    }
    TRY(bind_row_list(binder, scope, ((const RowExpr *)reference->source)->args, &multiple->fields,
                      &count));
    if (count != (uint32_t)reference->ncolumns) {
        err = bind_error(binder, bind_location(reference->source), "42601",
                         "number of columns does not match number of values");
    }
out:
    return err;
}

/* A field of ROW(...) that is one expression stands for itself. NULL: it does not. */
static const Node *
multiple_node(const MultiAssignRef *reference)
{
    const RowExpr *row = (const RowExpr *)reference->source;
    const ListCell *cell;

    if (!IsA(row, RowExpr) || list_length(row->args) != reference->ncolumns) {
        return NULL;
    }
    foreach(cell, row->args)
    {
        const ColumnRef *field = lfirst(cell);
        const A_Indirection *part = lfirst(cell);

        if ((IsA(field, ColumnRef) && IsA(llast(field->fields), A_Star)) ||
            (IsA(part, A_Indirection) && IsA(llast(part->indirection), A_Star))) {
            return NULL;
        }
    }
    return list_nth(row->args, reference->colno - 1);
}

/* What SET gives. *value_out NULL: DEFAULT. */
static err_t
value_bind(struct binder *binder, struct scope *scope, const Node *node, struct multiple *multiple,
           struct expr **value_out)
{
    const MultiAssignRef *reference = (const MultiAssignRef *)node;
    uint32_t field;
    err_t err = ERR_OK;

    *value_out = NULL;
    if (IsA(node, MultiAssignRef)) {
        const Node *single = multiple_node(reference);

        if (single != NULL) {
            node = single;
        }
    }
    if (IsA(node, SetToDefault)) {
        return ERR_OK;
    }
    if (!IsA(node, MultiAssignRef)) {
        return bind_expr(binder, scope, node, value_out);
    }
    if (multiple->node != reference->source) {
        TRY(multiple_open(binder, scope, reference, multiple));
    }
    field = (uint32_t)reference->colno - 1;
    *value_out = multiple->query != NULL ? bind_multiple_column(binder, multiple->query, field,
                                                                bind_location(reference->source))
                                         : multiple->fields[field].expr;
out:
    return err;
}

/* SET a[1] = value: of the row as it was, or of what an assignment before has made of it. */
static err_t
part_assign(struct binder *binder, struct scope *scope, const ResTarget *target,
            const struct relation *relation, struct source *row, struct expr *value,
            struct statement *out)
{
    struct assignment *assignment = &out->assignments[out->assignment_count];

    assignment->expr = NULL;
    for (uint32_t i = 0; i < out->assignment_count; i++) {
        if (out->assignments[i].column == assignment->column) {
            assignment = &out->assignments[i];
        }
    }
    if (assignment->expr == NULL) {
        assignment->expr = expr_column(binder->arena, row, assignment->column);
        out->assignment_count++;
    }
    return bind_subscript_target(binder, scope, &relation->columns[assignment->column],
                                 assignment->expr, target->indirection, value, target->location,
                                 &assignment->expr);
}

static err_t
whole_assign(struct binder *binder, const ResTarget *target, const struct changed *changed,
             struct expr *value, struct statement *out)
{
    struct assignment *assignment = &out->assignments[out->assignment_count];
    const struct column *column = &changed->relation->columns[assignment->column];
    err_t err;

    for (uint32_t i = 0; i < out->assignment_count; i++) {
        if (out->assignments[i].column == assignment->column) {
            return bind_error(binder, -1, "42601", "multiple assignments to same column \"%s\"",
                              target->name);
        }
    }
    if (value == NULL) {
        TRY(changed_default(binder, changed, assignment->column, &assignment->expr));
    } else {
        TRY(given_check(binder, column, OVERRIDING_NOT_SET, true, -1));
        assignment->expr = value;
        TRY(assign_coerce(binder, column, &assignment->expr));
    }
    out->assignment_count++;
out:
    return err;
}

err_t
bind_assignments(struct binder *binder, struct scope *scope, const List *list,
                 const struct changed *changed, struct source *row, struct statement *out)
{
    struct changed set = *changed;
    struct multiple multiple = {0};
    const ListCell *cell;
    err_t err = ERR_OK;

    set.verb = "update";
    out->assignments =
        bind_zeroed(binder, ((size_t)list_length(list) + 1) * sizeof(*out->assignments));
    foreach(cell, list)
    {
        const ResTarget *target = lfirst(cell);
        struct assignment *assignment = &out->assignments[out->assignment_count];
        struct expr *value;

        TRY(bind_changed_column(binder, &set, target->name, target->location, &assignment->column));
        TRY(value_bind(binder, scope, target->val, &multiple, &value));
        if (target->indirection == NIL) {
            TRY(whole_assign(binder, target, &set, value, out));
        } else if (value == NULL) {
            TRY(default_check(binder, target));
        } else {
            TRY(part_assign(binder, scope, target, set.relation, row, value, out));
        }
    }
out:
    return err;
}

/* ---- INSERT, whole ---- */

static err_t
bind_insert(struct binder *binder, struct scope *around, const InsertStmt *insert,
            struct statement *out)
{
    const SelectStmt *select = (const SelectStmt *)insert->selectStmt;
    struct changed changed;
    uint32_t *columns = NULL, count = 0;
    err_t err;

    TRY(bind_changed(binder, insert->relation, "insert into", &changed));
    TRY(insert_columns(binder, insert, &changed, &columns, &count));
    out->relation = changed.relation;
    out->query = bind_zeroed(binder, sizeof(*out->query));
    out->row_source = source_of_relation(binder, changed.relation);
    out->old_source = source_of_relation(binder, changed.relation);
    if (select == NULL) {
        TRY(insert_defaults(binder, &changed, out->query));
    } else if (select->valuesLists != NIL && select->sortClause == NIL &&
               select->limitCount == NULL && select->withClause == NULL) {
        TRY(insert_values(binder, around, insert, &changed, columns, count, out->query));
    } else {
        TRY(insert_select(binder, around, insert, &changed, columns, count, out->query));
    }
    TRY(bind_conflict(binder, around, insert, &changed, out));
    TRY(bind_view_checks(binder, &changed, out));
    err = returning_bind(binder, around, insert->returningList, &changed, insert->relation->alias,
                         out->row_source, NULL, out);
out:
    return err;
}

/* ---- UPDATE and DELETE ---- */

/* The table that changes, as the first of FROM. */
static err_t
changed_source(struct binder *binder, struct scope *scope, const RangeVar *name,
               const struct changed *changed, struct source **source_out)
{
    const struct relation *relation = changed->relation;
    const struct relation *named = changed->view != NULL ? changed->view : relation;
    struct source *source = source_of_relation(binder, relation), *seen;
    struct join *from = bind_zeroed(binder, sizeof(*from));
    err_t err;

    if (relation->schema == OID_SCHEMA_REDIS) {
        source->kind = SOURCE_SYSTEM;
        source->system = system_by_oid(relation->oid);
    }
    source->needs_row_keys = true;
    source->columns[relation->column_count].type = type_by_oid(OID_BYTEA);
    source->columns[relation->column_count].typmod = -1;
    TRY(bind_changed_source(binder, changed, scope->query, source, &seen));
    scope_add(binder, scope,
              name->alias != NULL ? bind_text(binder, name->alias->aliasname) : named->name, seen);
    from->kind = FROM_SOURCE;
    from->source = source;
    scope->query->from = from;
    *source_out = source;
out:
    return err;
}

/* The old row, then new values, then what RETURNING reads beside it, then the row's key. */
static void
changed_targets(struct binder *binder, struct source *source, struct statement *out)
{
    uint32_t columns = source->column_count, at = 0;
    uint32_t joined = out->joined_source != NULL ? out->joined_source->column_count : 0;
    struct query *query = out->query;

    query->target_count = columns + out->assignment_count + joined + 1;
    query->targets = bind_zeroed(binder, (query->target_count + 1) * sizeof(*query->targets));
    for (uint32_t i = 0; i < columns; i++) {
        query->targets[at++].expr = expr_column(binder->arena, source, i);
    }
    for (uint32_t i = 0; i < out->assignment_count; i++) {
        query->targets[at++].expr = out->assignments[i].expr;
    }
    for (uint32_t i = 0; i < joined; i++) {
        query->targets[at++].expr = out->joined_source->exprs[i];
    }
    query->targets[at].expr = expr_column(binder->arena, source, columns);
}

static err_t
change_where(struct binder *binder, struct scope *scope, const List *from, const Node *where)
{
    struct expr *condition = NULL;
    err_t err;

    TRY(bind_from(binder, scope, from));
    if (where != NULL) {
        scope->clause = "WHERE";
        TRY(bind_condition(binder, scope, where, "argument of WHERE", &condition));
        scope->query->where = bind_and(binder, scope->query->where, condition);
    }
out:
    return err;
}

static err_t
bind_update(struct binder *binder, struct scope *around, const UpdateStmt *update,
            struct statement *out)
{
    struct query *query = bind_zeroed(binder, sizeof(*query));
    struct scope scope = {.outer = around, .query = query, .clause = "UPDATE"};
    struct changed changed;
    struct source *source;
    err_t err;

    TRY(bind_changed(binder, update->relation, "update", &changed));
    out->relation = changed.relation;
    out->query = query;
    TRY(changed_source(binder, &scope, update->relation, &changed, &source));
    out->row_source = source_of_relation(binder, changed.relation);
    TRY(change_where(binder, &scope, update->fromClause, update->whereClause));
    TRY(bind_assignments(binder, &scope, update->targetList, &changed, source, out));
    TRY(bind_view_checks(binder, &changed, out));
    TRY(returning_bind(binder, around, update->returningList, &changed, update->relation->alias,
                       out->row_source, &scope, out));
    changed_targets(binder, source, out);
out:
    return err;
}

static err_t
bind_delete(struct binder *binder, struct scope *around, const DeleteStmt *delete_,
            struct statement *out)
{
    struct query *query = bind_zeroed(binder, sizeof(*query));
    struct scope scope = {.outer = around, .query = query, .clause = "DELETE"};
    struct changed changed;
    struct source *source;
    err_t err;

    TRY(bind_changed(binder, delete_->relation, "delete from", &changed));
    out->relation = changed.relation;
    out->query = query;
    TRY(changed_source(binder, &scope, delete_->relation, &changed, &source));
    out->old_source = source_of_relation(binder, changed.relation);
    TRY(change_where(binder, &scope, delete_->usingClause, delete_->whereClause));
    TRY(returning_bind(binder, around, delete_->returningList, &changed, delete_->relation->alias,
                       out->old_source, &scope, out));
    changed_targets(binder, source, out);
out:
    return err;
}

/* ---- COPY FROM ---- */

/* What is read: the given columns, and the number of the row. */
static struct source *
copy_source(struct binder *binder, const struct relation *relation, const uint32_t *columns,
            uint32_t count)
{
    struct source *source = source_new(binder, SOURCE_COPY, count + 1);

    for (uint32_t i = 0; i < count; i++) {
        source->columns[i].type = relation->columns[columns[i]].type;
        source->columns[i].typmod = relation->columns[columns[i]].typmod;
    }
    source->columns[count].type = type_by_oid(OID_INT8);
    source->columns[count].typmod = -1;
    return source;
}

static struct join *
from_one(struct binder *binder, struct source *source)
{
    struct join *from = bind_zeroed(binder, sizeof(*from));

    from->kind = FROM_SOURCE;
    from->source = source;
    return from;
}

/* A target for each column of the table, and the number behind them. */
static void
copy_targets(struct binder *binder, const struct relation *relation, struct expr **exprs,
             struct query *query)
{
    insert_targets(binder, relation, query);
    query->targets = bind_zeroed(binder, (relation->column_count + 2U) * sizeof(*query->targets));
    query->target_count = relation->column_count + 1U;
    for (uint32_t i = 0; i <= relation->column_count; i++) {
        query->targets[i].expr = exprs[i];
        if (i < relation->column_count) {
            query->targets[i].name = relation->columns[i].name;
        }
    }
}

/* WHERE sees whole rows: a query around the one that makes them. */
static err_t
copy_where(struct binder *binder, const Node *where, const struct relation *relation,
           struct query **query)
{
    struct query *outer = bind_zeroed(binder, sizeof(*outer));
    struct scope scope = {.query = outer, .clause = "COPY FROM WHERE conditions"};
    struct source *source = source_new(binder, SOURCE_QUERY, relation->column_count + 1U);
    struct expr **exprs = bind_zeroed(binder, (relation->column_count + 2U) * sizeof(*exprs));
    err_t err;

    source->query = *query;
    for (uint32_t i = 0; i <= relation->column_count; i++) {
        const struct target *target = &(*query)->targets[i];

        source->columns[i].type = target->expr->type;
        source->columns[i].typmod = target->expr->typmod;
        if (i < relation->column_count && !relation->columns[i].is_dropped) {
            source->columns[i].name = relation->columns[i].name;
        }
        exprs[i] = expr_column(binder->arena, source, i);
    }
    outer->from = from_one(binder, source);
    scope_add(binder, &scope, relation->name, source);
    TRY(bind_condition(binder, &scope, where, "argument of WHERE", &outer->where));
    copy_targets(binder, relation, exprs, outer);
    *query = outer;
out:
    return err;
}

err_t
bind_copy_from(struct binder *binder, const CopyStmt *copy, struct statement *out)
{
    struct query *query = bind_zeroed(binder, sizeof(*query));
    const struct relation *relation;
    struct source *source;
    struct expr **exprs;
    struct changed changed = {0};
    uint32_t *columns = NULL, count = 0;
    err_t err;

    TRY(bind_relation(binder, copy->relation, &relation));
    changed.relation = relation;
    TRY(bind_copy_columns(binder, copy, relation, &columns, &count));
    source = copy_source(binder, relation, columns, count);
    exprs = bind_zeroed(binder, (relation->column_count + 2U) * sizeof(*exprs));
    for (uint32_t i = 0; i < count; i++) {
        exprs[columns[i]] = expr_column(binder->arena, source, i);
    }
    TRY(row_complete(binder, &changed, exprs));
    exprs[relation->column_count] = expr_column(binder->arena, source, count);
    query->from = from_one(binder, source);
    copy_targets(binder, relation, exprs, query);
    if (copy->whereClause != NULL) {
        TRY(copy_where(binder, copy->whereClause, relation, &query));
    }
    out->kind = STATEMENT_INSERT;
    out->relation = relation;
    out->query = query;
    out->row_source = source_of_relation(binder, relation);
    out->old_source = source_of_relation(binder, relation);
    out->has_row_numbers = true;
    out->copy_columns = columns;
    out->copy_column_count = count;
out:
    return err;
}

/* ---- All ---- */

static const WithClause *
with_of(const Node *node)
{
    switch (nodeTag(node)) {
    case T_InsertStmt:
        return ((const InsertStmt *)node)->withClause;
    case T_UpdateStmt:
        return ((const UpdateStmt *)node)->withClause;
    default:
        return ((const DeleteStmt *)node)->withClause;
    }
}

err_t
bind_change(struct binder *binder, const Node *node, struct scope *around, struct statement *out)
{
    struct scope *scope = bind_zeroed(binder, sizeof(*scope));
    err_t err;

    scope->outer = around;
    scope->query = bind_zeroed(binder, sizeof(*scope->query));
    TRY(bind_with(binder, scope, with_of(node)));
    switch (nodeTag(node)) {
    case T_InsertStmt:
        out->kind = STATEMENT_INSERT;
        err = bind_insert(binder, scope, (const InsertStmt *)node, out);
        break;
    case T_UpdateStmt:
        out->kind = STATEMENT_UPDATE;
        err = bind_update(binder, scope, (const UpdateStmt *)node, out);
        break;
    case T_DeleteStmt:
        out->kind = STATEMENT_DELETE;
        err = bind_delete(binder, scope, (const DeleteStmt *)node, out);
        break;
    default:
        err = bind_error(binder, -1, "0A000", "MERGE is not supported in WITH");
        break;
    }
    out->source_count = binder->source_count;
out:
    return err;
}
