/* query/bind/bind_from.c - FROM: tables, subqueries, joins; and what names of columns stand for. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

/* ---- Sources ---- */

struct source *
source_new(struct binder *binder, enum source_kind kind, uint32_t columns)
{
    struct source *source = bind_zeroed(binder, sizeof(*source));

    source->kind = kind;
    source->id = binder->source_count++;
    source->column_count = columns;
    source->columns = bind_zeroed(binder, (columns + 1) * sizeof(*source->columns));
    return source;
}

struct source *
source_of_relation(struct binder *binder, const struct relation *relation)
{
    struct source *source = source_new(binder, SOURCE_TABLE, relation->column_count);

    source->relation = relation;
    for (uint32_t i = 0; i < relation->column_count; i++) {
        source->columns[i].name = relation->columns[i].name;
        source->columns[i].type = relation->columns[i].type;
        source->columns[i].typmod = relation->columns[i].typmod;
    }
    return source;
}

struct source *
source_of_query(struct binder *binder, struct query *query)
{
    uint32_t count = 0;
    struct source *source;

    for (uint32_t i = 0; i < query->target_count; i++) {
        count += !query->targets[i].is_junk;
    }
    source = source_new(binder, SOURCE_QUERY, count);
    source->query = query;
    for (uint32_t i = 0; i < count; i++) {
        source->columns[i].name = query->targets[i].name;
        source->columns[i].type = query->targets[i].expr->type;
        source->columns[i].typmod = query->targets[i].expr->typmod;
        source->columns[i].shape = query->targets[i].expr->shape;
    }
    return source;
}

static struct expr *
expr_copy(struct arena *arena, const struct expr *from)
{
    struct expr *copy = expr_new(arena, from->kind, from->type, 0, from->position);

    *copy = *from;
    if (from->arg_count > 0) {
        copy->args = arena_alloc(arena, from->arg_count * sizeof(struct expr *));
        for (uint32_t i = 0; i < from->arg_count; i++) {
            copy->args[i] = expr_copy(arena, from->args[i]);
        }
    }
    return copy;
}

struct expr *
bind_expr_copy(struct binder *binder, const struct expr *from)
{
    return expr_copy(binder->arena, from);
}

struct expr *
bind_and(struct binder *binder, struct expr *a, struct expr *b)
{
    struct expr *both;

    if (a == NULL || b == NULL) {
        return a != NULL ? a : b;
    }
    both = expr_new(binder->arena, EXPR_AND, type_by_oid(OID_BOOL), 2, -1);
    both->args[0] = a;
    both->args[1] = b;
    return both;
}

struct expr *
expr_column(struct arena *arena, struct source *source, uint32_t column)
{
    struct expr *expr;

    if (source->exprs != NULL) {
        return expr_copy(arena, source->exprs[column]);
    }
    expr = expr_new(arena, EXPR_COLUMN, source->columns[column].type, 0, -1);
    expr->typmod = source->columns[column].typmod;
    expr->shape = source->columns[column].shape;
    expr->column.source = source->id;
    expr->column.column = column;
    source->columns[column].is_used = true;
    return expr;
}

void
scope_add(struct binder *binder, struct scope *scope, struct slice alias, struct source *source)
{
    if (scope->item_count == scope->item_capacity) {
        uint32_t capacity = Max(8, scope->item_capacity * 2);
        struct scope_item *grown = bind_zeroed(binder, capacity * sizeof(*grown));

        if (scope->item_count > 0) {
            memcpy(grown, scope->items, scope->item_count * sizeof(*grown));
        }
        scope->items = grown;
        scope->item_capacity = capacity;
    }
    scope->items[scope->item_count++] = (struct scope_item){.alias = alias, .source = source};
}

/* ---- Names of columns ---- */

static bool
is_dropped(const struct source *source, uint32_t column)
{
    return source->relation != NULL && column < source->relation->column_count &&
           source->relation->columns[column].is_dropped;
}

/* The place of the name in the source, UINT32_MAX for none. */
static uint32_t
column_find(const struct source *source, struct slice name)
{
    for (uint32_t i = 0; i < source->column_count; i++) {
        if (!is_dropped(source, i) && slice_equal(source->columns[i].name, name)) {
            return i;
        }
    }
    return UINT32_MAX;
}

static bool
is_merged(const struct scope *scope, struct slice name)
{
    for (uint32_t i = 0; i < scope->merged_count; i++) {
        if (slice_equal(scope->merged[i].name, name)) {
            return true;
        }
    }
    return false;
}

static err_t
ambiguous(struct binder *binder, struct slice name, int location)
{
    return bind_error(binder, location, "42702", "column reference \"%.*s\" is ambiguous",
                      SLICE_ARGS(name));
}

/* tableoid: every row of a table has its number. */
static bool
is_table_number(const struct source *source, struct slice name)
{
    return (source->kind == SOURCE_TABLE || source->kind == SOURCE_SYSTEM) &&
           source->relation != NULL && slice_equal(name, SLICE("tableoid"));
}

/* In this scope alone. *expr_out NULL: it has no such column. table.size 0: of any. */
static err_t
column_in_scope(struct binder *binder, struct scope *scope, struct slice table, struct slice name,
                int location, struct expr **expr_out)
{
    *expr_out = NULL;
    for (uint32_t i = 0; table.size == 0 && i < scope->merged_count; i++) {
        if (slice_equal(scope->merged[i].name, name)) {
            *expr_out = bind_expr_copy(binder, scope->merged[i].expr);
            return ERR_OK;
        }
    }
    for (uint32_t i = 0; i < scope->item_count; i++) {
        const struct scope_item *item = &scope->items[i];
        uint32_t column;

        if (table.size > 0 ? !slice_equal(item->alias, table) : item->is_hidden) {
            continue;
        }
        column = column_find(item->source, name);
        if (column == UINT32_MAX) {
            if (is_table_number(item->source, name)) {
                *expr_out = expr_const(binder->arena, type_by_oid(OID_OID),
                                       datum_int(item->source->relation->oid), false);
            }
            continue;
        }
        if (item->is_refused) {
            (void)bind_error(binder, location, "42P10",
                             "invalid reference to FROM-clause entry for table \"%.*s\"",
                             SLICE_ARGS(item->alias));
            return sql_detail(
                "The combining JOIN type must be INNER or LEFT for a LATERAL reference.");
        }
        if (*expr_out != NULL) {
            return ambiguous(binder, name, location);
        }
        *expr_out = expr_column(binder->arena, item->source, column);
        (*expr_out)->position = location;
    }
    return ERR_OK;
}

/* A column from around a subquery: a value that is set before each run of it. */
static struct expr *
outer_reference(struct binder *binder, struct scope *scope, struct expr *expr)
{
    struct query *query = scope->query;
    struct outer_reference *grown;
    struct expr *reference;
    uint32_t found = 0;

    while (found < query->outer_count && !expr_equal(query->outers[found].expr, expr)) {
        found++;
    }
    if (found == query->outer_count) {
        grown = arena_alloc(binder->arena, (found + 1) * sizeof(*grown));
        if (found > 0) {
            memcpy(grown, query->outers, found * sizeof(*grown));
        }
        grown[found] = (struct outer_reference){.expr = expr, .param = binder->outer_count++};
        query->outers = grown;
        query->outer_count++;
    }
    scope->outer_references++;
    reference = expr_new(binder->arena, EXPR_OUTER, expr->type, 0, expr->position);
    reference->typmod = expr->typmod;
    reference->shape = expr->shape;
    reference->param = query->outers[found].param;
    return reference;
}

static err_t
column_resolve(struct binder *binder, struct scope *scope, struct slice table, struct slice name,
               int location, struct expr **expr_out)
{
    err_t err = column_in_scope(binder, scope, table, name, location, expr_out);

    if (err != ERR_OK || *expr_out != NULL || scope->outer == NULL) {
        scope->own_references += *expr_out != NULL;
        return err;
    }
    err = column_resolve(binder, scope->outer, table, name, location, expr_out);
    if (err == ERR_OK && *expr_out != NULL) {
        *expr_out = outer_reference(binder, scope, *expr_out);
    }
    return err;
}

static bool
has_table(const struct scope *scope, struct slice table)
{
    for (; scope != NULL; scope = scope->outer) {
        for (uint32_t i = 0; i < scope->item_count; i++) {
            if (slice_equal(scope->items[i].alias, table)) {
                return true;
            }
        }
    }
    return false;
}

/* Is there such a table where this part of the query cannot look? */
static bool
is_hidden_table(const struct scope *scope, struct slice table)
{
    if (has_table(scope, table)) {
        return false;
    }
    for (; scope != NULL; scope = scope->outer) {
        for (uint32_t i = 0; scope->hidden != NULL && i < scope->hidden->item_count; i++) {
            if (slice_equal(scope->hidden->items[i].alias, table)) {
                return true;
            }
        }
    }
    return false;
}

/* One function that gives values: its row is the value. */
static bool
is_scalar_function(const struct source *source)
{
    const struct join *from =
        source->kind == SOURCE_QUERY && source->query != NULL ? source->query->from : NULL;
    const struct source *function = from != NULL && from->kind == FROM_SOURCE ? from->source : NULL;

    return function != NULL && function->kind == SOURCE_FUNCTION && function->function_count == 1 &&
           !function->has_ordinality && function->functions[0]->type->oid != OID_RECORD &&
           source->column_count == 1;
}

/* The table's row as one value. *expr_out NULL: there is no such table. */
static err_t
whole_row(struct binder *binder, struct scope *scope, struct slice table, int location,
          struct expr **expr_out)
{
    err_t err;

    *expr_out = NULL;
    for (uint32_t i = 0; i < scope->item_count; i++) {
        struct source *source = scope->items[i].source;
        struct expr **fields;
        struct slice *names;
        uint32_t count = 0;

        if (!slice_equal(scope->items[i].alias, table)) {
            continue;
        }
        scope->own_references++;
        if (is_scalar_function(source)) {
            *expr_out = expr_column(binder->arena, source, 0);
            return ERR_OK;
        }
        fields = bind_zeroed(binder, (source->column_count + 1) * sizeof(*fields));
        names = bind_zeroed(binder, (source->column_count + 1) * sizeof(*names));
        for (uint32_t j = 0; j < source->column_count; j++) {
            if (!is_dropped(source, j)) {
                names[count] = source->columns[j].name;
                fields[count++] = expr_column(binder->arena, source, j);
            }
        }
        *expr_out = bind_row_of(binder, fields, names, count, location);
        (*expr_out)->is_whole = true;
        return ERR_OK;
    }
    if (scope->outer == NULL) {
        return ERR_OK;
    }
    err = whole_row(binder, scope->outer, table, location, expr_out);
    if (err == ERR_OK && *expr_out != NULL) {
        *expr_out = outer_reference(binder, scope, *expr_out);
    }
    return err;
}

err_t
bind_column(struct binder *binder, struct scope *scope, const ColumnRef *reference,
            struct expr **expr_out)
{
    int parts = list_length(reference->fields);
    const Node *last = llast(reference->fields);
    struct slice name, table = SLICE("");
    err_t err;

    if (IsA(last, A_Star) && parts == 2) {
        table = slice_from_text(strVal(linitial(reference->fields)));
        err = whole_row(binder, scope, table, reference->location, expr_out);
        return err != ERR_OK || *expr_out != NULL
                   ? err
                   : bind_error(binder, reference->location, "42P01",
                                "missing FROM-clause entry for table \"%.*s\"", SLICE_ARGS(table));
    }
    if (!IsA(last, String) || parts > 3) {
        return bind_error(binder, reference->location, "0A000",
                          "row expansion via \"*\" is not supported here");
    }
    name = slice_from_text(strVal(last));
    if (parts > 1) {
        table = slice_from_text(strVal(list_nth(reference->fields, parts - 2)));
    }
    err = column_resolve(binder, scope, table, name, reference->location, expr_out);
    if (err == ERR_OK && *expr_out == NULL && parts == 1) {
        err = whole_row(binder, scope, name, reference->location, expr_out);
    }
    if (err != ERR_OK || *expr_out != NULL) {
        return err;
    }
    if (parts > 1 && is_hidden_table(scope, table)) {
        (void)bind_error(binder, reference->location, "42P01",
                         "invalid reference to FROM-clause entry for table \"%.*s\"",
                         SLICE_ARGS(table));
        return sql_hint("There is an entry for table \"%.*s\", but it cannot be referenced from "
                        "this part of the query.",
                        SLICE_ARGS(table));
    }
    if (parts > 1 && !has_table(scope, table)) {
        return bind_error(binder, reference->location, "42P01",
                          "missing FROM-clause entry for table \"%.*s\"", SLICE_ARGS(table));
    }
    return bind_error(binder, reference->location, "42703", "column %s%.*s%s%.*s%s does not exist",
                      parts > 1 ? "" : "\"", SLICE_ARGS(table), parts > 1 ? "." : "",
                      SLICE_ARGS(name), parts > 1 ? "" : "\"");
}

/* ---- Targets: * and t.* ---- */

struct target_list {
    struct target *targets;
    uint32_t count, capacity;
};

static err_t
target_add(struct binder *binder, struct target_list *list, struct expr *expr, struct slice name)
{
    if (list->count == list->capacity) {
        uint32_t capacity = Max(8, list->capacity * 2);
        struct target *grown = bind_zeroed(binder, capacity * sizeof(*grown));

        if (list->count > 0) {
            memcpy(grown, list->targets, list->count * sizeof(*grown));
        }
        list->targets = grown;
        list->capacity = capacity;
    }
    if (list->count == TARGETS_MAX) {
        return bind_error(binder, -1, "54011", "target lists can have at most %d entries",
                          TARGETS_MAX);
    }
    list->targets[list->count++] = (struct target){.expr = expr, .name = name};
    return ERR_OK;
}

static err_t
source_expand(struct binder *binder, const struct scope *scope, struct source *source,
              bool skips_merged, struct target_list *list)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < source->column_count; i++) {
        if (is_dropped(source, i) || (skips_merged && is_merged(scope, source->columns[i].name))) {
            continue;
        }
        err = target_add(binder, list, expr_column(binder->arena, source, i),
                         source->columns[i].name);
    }
    return err;
}

static err_t
star_expand(struct binder *binder, struct scope *scope, const ColumnRef *reference,
            struct target_list *list)
{
    int parts = list_length(reference->fields);
    bool is_found = false;
    struct slice table;
    err_t err = ERR_OK;

    if (parts == 1) {
        if (scope->item_count == 0) {
            return bind_error(binder, reference->location, "42601",
                              "SELECT * with no tables specified is not valid");
        }
        for (uint32_t i = 0; err == ERR_OK && i < scope->merged_count; i++) {
            err = target_add(binder, list, bind_expr_copy(binder, scope->merged[i].expr),
                             scope->merged[i].name);
        }
        for (uint32_t i = 0; err == ERR_OK && i < scope->item_count; i++) {
            if (!scope->items[i].is_hidden) {
                err = source_expand(binder, scope, scope->items[i].source, true, list);
            }
        }
        return err;
    }
    table = slice_from_text(strVal(list_nth(reference->fields, parts - 2)));
    for (uint32_t i = 0; err == ERR_OK && i < scope->item_count; i++) {
        if (slice_equal(scope->items[i].alias, table)) {
            is_found = true;
            err = source_expand(binder, scope, scope->items[i].source, false, list);
        }
    }
    return is_found ? err
                    : bind_error(binder, reference->location, "42P01",
                                 "missing FROM-clause entry for table \"%.*s\"", SLICE_ARGS(table));
}

static err_t
fields_expand(struct binder *binder, struct scope *scope, const A_Indirection *node,
              struct target_list *list)
{
    A_Indirection inner = *node;
    struct target *targets;
    struct expr *record;
    List path = {.type = T_List};
    uint32_t count;
    err_t err;

    path = *node->indirection;
    path.length--; /* Without the star. */
    inner.indirection = &path;
    TRY(bind_expr(binder, scope, path.length > 0 ? (const Node *)&inner : node->arg, &record));
    TRY(bind_fields(binder, record, &targets, &count));
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = target_add(binder, list, targets[i].expr, targets[i].name);
    }
out:
    return err;
}

/* t.*, *, (record).*: false: it is one expression. */
static err_t
expands(struct binder *binder, struct scope *scope, const Node *node, struct target_list *list,
        bool *is_done_out)
{
    const A_Indirection *indirection = (const A_Indirection *)node;

    *is_done_out = true;
    if (IsA(node, ColumnRef) && IsA(llast(((const ColumnRef *)node)->fields), A_Star)) {
        return star_expand(binder, scope, (const ColumnRef *)node, list);
    }
    if (IsA(node, A_Indirection) && IsA(llast(indirection->indirection), A_Star)) {
        return fields_expand(binder, scope, indirection, list);
    }
    *is_done_out = false;
    return ERR_OK;
}

err_t
bind_row_list(struct binder *binder, struct scope *scope, const List *nodes,
              struct target **targets_out, uint32_t *count_out)
{
    struct target_list list = {0};
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, nodes)
    {
        struct expr *expr;
        bool is_done;

        TRY(expands(binder, scope, lfirst(cell), &list, &is_done));
        if (!is_done) {
            TRY(bind_expr(binder, scope, lfirst(cell), &expr));
            TRY(target_add(binder, &list, expr, SLICE("")));
        }
    }
    *targets_out = list.targets;
    *count_out = list.count;
out:
    return err;
}

err_t
bind_targets(struct binder *binder, struct scope *scope, const List *nodes,
             struct target **targets_out, uint32_t *count_out)
{
    struct target_list list = {0};
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, nodes)
    {
        const ResTarget *target = lfirst(cell);
        struct expr *expr;
        bool is_done;

        TRY(expands(binder, scope, target->val, &list, &is_done));
        if (is_done) {
            continue;
        }
        TRY(bind_expr(binder, scope, target->val, &expr));
        TRY(target_add(binder, &list, expr,
                       arena_copy(binder->arena, target->name != NULL
                                                     ? slice_from_text(target->name)
                                                     : bind_output_name(target->val))));
    }
    *targets_out = list.targets;
    *count_out = list.count;
out:
    return err;
}

/* ---- Tables ---- */

static void
relation_note(struct binder *binder, oid_t oid)
{
    oid_t *larger;

    if (binder->relation_count == binder->relation_capacity) {
        binder->relation_capacity = MAX(8U, binder->relation_capacity * 2);
        larger = arena_alloc(binder->arena, binder->relation_capacity * sizeof(*larger));
        if (binder->relation_count > 0) {
            memcpy(larger, binder->relations, binder->relation_count * sizeof(*larger));
        }
        binder->relations = larger;
    }
    binder->relations[binder->relation_count++] = oid;
}

err_t
bind_relation(struct binder *binder, const RangeVar *name, const struct relation **relation_out)
{
    const struct system_relation *system =
        system_find(name->schemaname, slice_from_text(name->relname));

    if (system != NULL) {
        *relation_out = system_relation_make(system, binder->arena);
        return ERR_OK;
    }
    *relation_out = search_relation(binder->catalog, binder->search_path, name->schemaname,
                                    slice_from_text(name->relname));
    if (*relation_out == NULL) {
        return bind_error(binder, name->location, "42P01", "relation \"%s%s%s\" does not exist",
                          name->schemaname != NULL ? name->schemaname : "",
                          name->schemaname != NULL ? "." : "", name->relname);
    }
    relation_note(binder, (*relation_out)->oid);
    return ERR_OK;
}

err_t
bind_alias_columns(struct binder *binder, struct source *source, const Alias *alias)
{
    int count = alias != NULL ? list_length(alias->colnames) : 0;

    if ((uint32_t)count > source->column_count) {
        return bind_error(binder, -1, "42P10",
                          "table \"%s\" has %u columns available but %d columns specified",
                          alias->aliasname, source->column_count, count);
    }
    for (int i = 0; i < count; i++) {
        source->columns[i].name = bind_text(binder, strVal(list_nth(alias->colnames, i)));
    }
    return ERR_OK;
}

static struct with_query *
with_find(const struct scope *scope, struct slice name)
{
    for (; scope != NULL; scope = scope->outer) {
        for (struct with_query *with = scope->with; with != NULL; with = with->next) {
            if (slice_equal(with->name, name)) {
                return with;
            }
        }
    }
    return NULL;
}

static err_t
view_source(struct binder *binder, const struct relation *view, struct source **source_out)
{
    struct slice sql = arena_copy(binder->arena, view->view_sql);
    char *text = arena_printf(binder->arena, "%.*s", SLICE_ARGS(sql));
    const char *search_path = binder->search_path;
    bool may_change = binder->may_change;
    struct parse parse = {0};
    struct query *query;
    uint32_t position;
    err_t err;

    TRY(parse_open(text, &parse, &position));
    binder->may_change = false;
    if (view->path.size > 0) {
        binder->search_path = arena_printf(binder->arena, "%.*s", SLICE_ARGS(view->path));
    }
    TRY(bind_query(binder, NULL,
                   (const SelectStmt *)((const RawStmt *)linitial(parse.statements))->stmt,
                   &query));
    *source_out = source_of_query(binder, query);
    for (uint32_t i = 0; i < view->column_count && i < (*source_out)->column_count; i++) {
        (*source_out)->columns[i].name = view->columns[i].name;
    }
out:
    binder->search_path = search_path;
    binder->may_change = may_change;
    parse_close(&parse);
    return err;
}

static struct join *
leaf(struct binder *binder, struct source *source)
{
    struct join *join = bind_zeroed(binder, sizeof(*join));

    join->kind = FROM_SOURCE;
    join->source = source;
    return join;
}

static err_t
alias_check(struct binder *binder, const struct scope *scope, struct slice alias)
{
    for (uint32_t i = 0; i < scope->item_count; i++) {
        if (slice_equal(scope->items[i].alias, alias)) {
            return bind_error(binder, -1, "42712", "table name \"%.*s\" specified more than once",
                              SLICE_ARGS(alias));
        }
    }
    return ERR_OK;
}

static err_t
range_var(struct binder *binder, struct scope *scope, const RangeVar *node, struct join **join_out)
{
    struct with_query *with =
        node->schemaname == NULL ? with_find(scope, slice_from_text(node->relname)) : NULL;
    const char *alias = node->alias != NULL ? node->alias->aliasname : node->relname;
    const struct relation *relation;
    struct source *source;
    err_t err;

    if (with != NULL) {
        TRY(bind_with_source(binder, with, node->location, &source));
    } else {
        TRY(bind_relation(binder, node, &relation));
        if (relation->kind == RELATION_VIEW && relation->view_sql.size > 0) {
            TRY(view_source(binder, relation, &source));
        } else if (relation->oid < OID_FIRST_USER) {
            source = source_of_relation(binder, relation);
            source->kind = SOURCE_SYSTEM;
            source->system = system_by_oid(relation->oid);
        } else if (relation->kind == RELATION_TABLE) {
            source = source_of_relation(binder, relation);
        } else {
            err = bind_error(binder, node->location, "42809", "\"%s\" is not a table or view",
                             node->relname);
            goto out;
        }
    }
    TRY(bind_alias_columns(binder, source, node->alias));
    TRY(alias_check(binder, scope, slice_from_text(alias)));
    scope_add(binder, scope, bind_text(binder, alias), source);
    *join_out = leaf(binder, source);
out:
    return err;
}

/* An item of FROM with the alias, or with none. */
static err_t
source_named(struct binder *binder, struct scope *scope, const Alias *alias, struct source *source)
{
    err_t err = ERR_OK;

    if (alias == NULL) {
        scope_add(binder, scope, SLICE(""), source);
        return ERR_OK;
    }
    TRY(alias_check(binder, scope, slice_from_text(alias->aliasname)));
    scope_add(binder, scope, bind_text(binder, alias->aliasname), source);
out:
    return err;
}

static err_t
range_subselect(struct binder *binder, struct scope *scope, const RangeSubselect *node,
                struct join **join_out)
{
    /* Unless LATERAL it sees what lies around this query, but not its neighbours. */
    struct scope around = {
        .outer = scope->outer,
        .query = scope->query,
        .with = scope->with,
        .hidden = scope,
    };
    struct source *source;
    struct query *query;
    err_t err;

    TRY(bind_query(binder, node->lateral ? scope : &around, (const SelectStmt *)node->subquery,
                   &query));
    source = source_of_query(binder, query);
    TRY(bind_alias_columns(binder, source, node->alias));
    TRY(source_named(binder, scope, node->alias, source));
    *join_out = leaf(binder, source);
out:
    return err;
}

static err_t
range_function(struct binder *binder, struct scope *scope, const RangeFunction *node,
               struct join **join_out)
{
    struct source *source;
    err_t err;

    TRY(bind_range_function(binder, scope, node, &source));
    TRY(bind_alias_columns(binder, source, node->alias));
    if (node->alias == NULL) { /* Its name is the function's. */
        TRY(alias_check(binder, scope, source->alias));
        scope_add(binder, scope, source->alias, source);
    } else {
        TRY(source_named(binder, scope, node->alias, source));
    }
    *join_out = leaf(binder, source);
out:
    return err;
}

/* ---- Joins ---- */

static err_t from_item(struct binder *binder, struct scope *scope, const Node *node,
                       struct join **join_out);

static void
and_with(struct binder *binder, struct expr **all, struct expr *one)
{
    struct expr *both;

    if (*all == NULL) {
        *all = one;
        return;
    }
    both = expr_new(binder->arena, EXPR_AND, type_by_oid(OID_BOOL), 2, -1);
    both->args[0] = *all;
    both->args[1] = one;
    *all = both;
}

/* Finds the name among the items [first, end) of the scope. */
static err_t
using_side(struct binder *binder, struct scope *scope, uint32_t first, uint32_t end,
           struct slice name, const char *side, struct expr **expr_out)
{
    struct scope part = {
        .query = scope->query,
        .items = scope->items + first,
        .item_count = end - first,
    };
    err_t err;

    if (first == 0 && is_merged(scope, name)) {
        part.merged = scope->merged;
        part.merged_count = scope->merged_count;
    }
    err = column_in_scope(binder, &part, SLICE(""), name, -1, expr_out);
    if (err == ERR_OK && *expr_out == NULL) {
        err = bind_error(binder, -1, "42703",
                         "column \"%.*s\" specified in USING clause does not exist in %s table",
                         SLICE_ARGS(name), side);
    }
    return err;
}

static err_t
merge(struct binder *binder, struct scope *scope, struct slice name, enum from_kind kind,
      struct expr *left, struct expr *right)
{
    struct expr *sides[2] = {left, right};
    struct expr *merged = kind == FROM_RIGHT ? right : left;
    struct merged_column *grown;
    const struct type *type;
    err_t err = bind_common(binder, "JOIN/USING", sides, 2, &type);

    if (err != ERR_OK) {
        return err;
    }
    if (kind == FROM_FULL) {
        merged = expr_new(binder->arena, EXPR_COALESCE, type, 2, -1);
        merged->args[0] = sides[0];
        merged->args[1] = sides[1];
    } else {
        merged = kind == FROM_RIGHT ? sides[1] : sides[0];
    }
    for (uint32_t i = 0; i < scope->merged_count; i++) {
        if (slice_equal(scope->merged[i].name, name)) {
            scope->merged[i].expr = merged;
            return ERR_OK;
        }
    }
    grown = bind_zeroed(binder, (scope->merged_count + 1) * sizeof(*grown));
    if (scope->merged_count > 0) {
        memcpy(grown, scope->merged, scope->merged_count * sizeof(*grown));
    }
    grown[scope->merged_count++] = (struct merged_column){.name = name, .expr = merged};
    scope->merged = grown;
    return ERR_OK;
}

static err_t
using_one(struct binder *binder, struct scope *scope, uint32_t middle, struct slice name,
          struct join *join)
{
    struct expr *left, *right, *equal;
    err_t err;

    TRY(using_side(binder, scope, 0, middle, name, "left", &left));
    TRY(using_side(binder, scope, middle, scope->item_count, name, "right", &right));
    TRY(bind_operator(binder, "=", bind_expr_copy(binder, left), bind_expr_copy(binder, right), -1,
                      &equal));
    and_with(binder, &join->on, equal);
    err = merge(binder, scope, name, join->kind, left, right);
out:
    return err;
}

static err_t
natural(struct binder *binder, struct scope *scope, uint32_t middle, struct join *join)
{
    err_t err = ERR_OK;

    for (uint32_t i = middle; i < scope->item_count; i++) {
        const struct source *source = scope->items[i].source;

        for (uint32_t j = 0; err == ERR_OK && j < source->column_count; j++) {
            struct scope left = {.items = scope->items, .item_count = middle};
            struct expr *found;

            TRY(column_in_scope(binder, &left, SLICE(""), source->columns[j].name, -1, &found));
            if (found != NULL) {
                TRY(using_one(binder, scope, middle, source->columns[j].name, join));
            }
        }
    }
out:
    return err;
}

static err_t
join_condition(struct binder *binder, struct scope *scope, const JoinExpr *node, uint32_t first,
               uint32_t middle, struct join *join)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    if (node->isNatural) {
        return natural(binder, scope, middle, join);
    }
    foreach(cell, node->usingClause)
    {
        TRY(using_one(binder, scope, middle, bind_text(binder, strVal(lfirst(cell))), join));
    }
    if (node->quals != NULL) {
        /* ON sees the two sides of the join only. */
        struct scope sides = *scope;

        sides.items = scope->items + first;
        sides.item_count = scope->item_count - first;
        sides.may_aggregate = false;
        sides.clause = "JOIN conditions";
        TRY(bind_condition(binder, &sides, node->quals, "argument of JOIN/ON", &join->on));
    }
out:
    return err;
}

static err_t
join_expr(struct binder *binder, struct scope *scope, const JoinExpr *node, struct join **join_out)
{
    struct join *join = bind_zeroed(binder, sizeof(*join));
    uint32_t first = scope->item_count, middle;
    const char *no_self = binder->no_self;
    err_t err;

    switch (node->jointype) {
    case JOIN_INNER:
        join->kind = FROM_INNER;
        break;
    case JOIN_LEFT:
        join->kind = FROM_LEFT;
        break;
    case JOIN_RIGHT:
        join->kind = FROM_RIGHT;
        break;
    case JOIN_FULL:
        join->kind = FROM_FULL;
        break;
    default:
        return bind_error(binder, -1, "0A000", "this kind of join is not supported yet");
    }
    binder->no_self =
        join->kind == FROM_RIGHT || join->kind == FROM_FULL ? "an outer join" : no_self;
    TRY(from_item(binder, scope, node->larg, &join->left));
    middle = scope->item_count;
    binder->no_self =
        join->kind == FROM_LEFT || join->kind == FROM_FULL ? "an outer join" : no_self;
    for (uint32_t i = first; i < middle; i++) {
        scope->items[i].is_refused = join->kind == FROM_RIGHT || join->kind == FROM_FULL;
    }
    TRY(from_item(binder, scope, node->rarg, &join->right));
    binder->no_self = no_self;
    for (uint32_t i = first; i < middle; i++) {
        scope->items[i].is_refused = false;
    }
    TRY(join_condition(binder, scope, node, first, middle, join));
    *join_out = join;
out:
    return err;
}

static err_t
from_item(struct binder *binder, struct scope *scope, const Node *node, struct join **join_out)
{
    err_t err = bind_depth_check(binder);

    if (err != ERR_OK) {
        return err;
    }
    binder->depth++;
    switch (nodeTag(node)) {
    case T_RangeVar:
        err = range_var(binder, scope, (const RangeVar *)node, join_out);
        break;
    case T_RangeSubselect:
        err = range_subselect(binder, scope, (const RangeSubselect *)node, join_out);
        break;
    case T_RangeFunction:
        err = range_function(binder, scope, (const RangeFunction *)node, join_out);
        break;
    case T_JoinExpr:
        err = join_expr(binder, scope, (const JoinExpr *)node, join_out);
        break;
    default:
        err = bind_error(binder, -1, "0A000", "this kind of FROM item is not supported yet");
        break;
    }
    binder->depth--;
    return err;
}

err_t
bind_from(struct binder *binder, struct scope *scope, const List *items)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, items)
    {
        struct join *item, *both;

        TRY(from_item(binder, scope, lfirst(cell), &item));
        if (scope->query->from == NULL) {
            scope->query->from = item;
            continue;
        }
        both = bind_zeroed(binder, sizeof(*both));
        both->kind = FROM_INNER;
        both->left = scope->query->from;
        both->right = item;
        scope->query->from = both;
    }
out:
    return err;
}
