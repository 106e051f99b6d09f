/* query/deparse/definition.c - constraints and indexes as SQL. */
#include <string.h>

#include "models/types/sql_error.h"
#include "query/bind/bind.h"
#include "query/deparse/deparse.h"

#include "engine/base/poison.h"

err_t
deparse_sql(struct deparse *d, const struct relation *relation, struct slice sql, uint16_t column)
{
    const struct bind_options options = {
        .catalog = d->env->catalog,
        .arena = d->arena,
        .settings = d->settings,
        .search_path = relation != NULL && relation->path.size > 0
                           ? arena_printf(d->arena, "%.*s", (int)relation->path.size,
                                          (const char *)relation->path.data)
                           : d->env->search_path,
    };
    struct source *source;
    struct expr *expr;
    err_t err;

    TRY(bind_table_expr(&options, relation, sql, &source, &expr));
    if (relation != NULL && column < relation->column_count) {
        TRY(bind_coerce_column(d->arena, &expr, &relation->columns[column], d->settings));
    }
    d->relation = relation;
    err = deparse_expr(d, expr, false, NULL);
out:
    return err;
}

/* (a, b) */
static void
columns_put(struct deparse *d, const struct relation *relation, const uint16_t *columns,
            uint32_t count)
{
    buf_append_byte(d->out, '(');
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(d->out, "%s", i > 0 ? ", " : "");
        put_identifier(d->out, relation->columns[columns[i]].name);
    }
    buf_append_byte(d->out, ')');
}

/* ---- Constraints ---- */

static const char *
action_text(char action)
{
    switch (action) {
    case FOREIGN_RESTRICT:
        return "RESTRICT";
    case FOREIGN_CASCADE:
        return "CASCADE";
    case FOREIGN_SET_NULL:
        return "SET NULL";
    case FOREIGN_SET_DEFAULT:
        return "SET DEFAULT";
    default:
        return NULL;
    }
}

static err_t
foreign_put(struct deparse *d, const struct relation *relation, const struct constraint *constraint)
{
    const char *on_update = action_text(constraint->on_update);
    const char *on_delete = action_text(constraint->on_delete);
    struct class_ref other;

    if (!class_find(d->env->catalog, constraint->other, &other) || other.relation == NULL) {
        return sql_error("XX000", "the table that a foreign key references is missing");
    }
    buf_printf(d->out, "FOREIGN KEY ");
    columns_put(d, relation, constraint->columns, constraint->column_count);
    buf_printf(d->out, " REFERENCES ");
    put_class(d->env->catalog, d->env->search_path, &other, false, d->out);
    columns_put(d, other.relation, constraint->other_columns, constraint->column_count);
    buf_printf(d->out, "%s", constraint->is_match_full ? " MATCH FULL" : "");
    if (on_update != NULL) {
        buf_printf(d->out, " ON UPDATE %s", on_update);
    }
    if (on_delete != NULL) {
        buf_printf(d->out, " ON DELETE %s", on_delete);
    }
    if (constraint->set_count > 0) {
        buf_append_byte(d->out, ' ');
        columns_put(d, relation, constraint->set_columns, constraint->set_count);
    }
    return ERR_OK;
}

static void
key_put(struct deparse *d, const struct relation *relation, const struct constraint *constraint)
{
    const struct index *index = relation_index_by_oid(relation, constraint->index);

    buf_printf(d->out, constraint->kind == CONSTRAINT_PRIMARY ? "PRIMARY KEY " : "UNIQUE ");
    if (index != NULL && index->nulls_equal) {
        buf_printf(d->out, "NULLS NOT DISTINCT ");
    }
    columns_put(d, relation, constraint->columns, constraint->column_count);
    if (index != NULL && index->included_count > 0) {
        buf_printf(d->out, " INCLUDE ");
        columns_put(d, relation, index->included, index->included_count);
    }
}

err_t
deparse_constraint(struct deparse *d, const struct relation *relation,
                   const struct constraint *constraint)
{
    err_t err = ERR_OK;

    switch (constraint->kind) {
    case CONSTRAINT_CHECK:
        buf_printf(d->out, "CHECK (");
        TRY(deparse_sql(d, relation, constraint->sql, UINT16_MAX));
        buf_printf(d->out, constraint->is_no_inherit ? ") NO INHERIT" : ")");
        break;
    case CONSTRAINT_FOREIGN:
        TRY(foreign_put(d, relation, constraint));
        break;
    default:
        key_put(d, relation, constraint);
        break;
    }
    buf_printf(d->out, "%s%s%s", constraint->is_deferrable ? " DEFERRABLE" : "",
               constraint->is_deferred ? " INITIALLY DEFERRED" : "",
               constraint->is_not_valid ? " NOT VALID" : "");
out:
    return err;
}

/* ---- Indexes ---- */

/* name(...) and nothing else needs no parentheses. */
static bool
is_call(const struct buf *text, size_t from)
{
    struct slice call = slice_of(text->data + from, text->size - from);
    size_t at = 0;
    int depth = 0;

    while (at < call.size && (call.data[at] == '_' || call.data[at] == '.' ||
                              (call.data[at] >= 'a' && call.data[at] <= 'z') ||
                              (call.data[at] >= '0' && call.data[at] <= '9') ||
                              (call.data[at] >= 'A' && call.data[at] <= 'Z'))) {
        at++;
    }
    if (at == 0 || at == call.size || call.data[at] != '(') {
        return false;
    }
    for (; at < call.size; at++) {
        depth += call.data[at] == '(' ? 1 : call.data[at] == ')' ? -1 : 0;
        if (depth == 0) {
            return at + 1 == call.size;
        }
    }
    return false;
}

static err_t
part_put(struct deparse *d, const struct relation *relation, uint16_t part)
{
    struct buf *out = d->out, text;
    err_t err;

    if (part < INDEX_EXPRESSION) {
        put_identifier(out, relation->columns[part].name);
        return ERR_OK;
    }
    buf_init(&text, MEM_SESSIONS);
    d->out = &text;
    err = deparse_sql(d, relation, relation->virtuals[part - INDEX_EXPRESSION].sql, UINT16_MAX);
    d->out = out;
    if (err == ERR_OK) {
        buf_printf(out, is_call(&text, 0) ? "%.*s" : "(%.*s)", (int)text.size,
                   (const char *)text.data);
    }
    buf_fini(&text);
    return err;
}

static err_t
keys_put(struct deparse *d, const struct relation *relation, const struct index *index)
{
    err_t err = ERR_OK;

    buf_append_byte(d->out, '(');
    for (uint32_t i = 0; i < index->column_count; i++) {
        buf_printf(d->out, "%s", i > 0 ? ", " : "");
        TRY(part_put(d, relation, index->columns[i]));
        if (index->is_descending[i]) {
            buf_printf(d->out, index->nulls_first[i] ? " DESC" : " DESC NULLS LAST");
        } else if (index->nulls_first[i]) {
            buf_printf(d->out, " NULLS FIRST");
        }
    }
    buf_append_byte(d->out, ')');
out:
    return err;
}

err_t
deparse_index(struct deparse *d, const struct relation *relation, const struct index *index,
              uint32_t part)
{
    struct class_ref table = {.relation = relation};
    err_t err;

    if (part > 0) {
        uint32_t total = index->column_count + (uint32_t)index->included_count;

        return part > total ? ERR_OK
               : part > index->column_count
                   ? part_put(d, relation, index->included[part - index->column_count - 1])
                   : part_put(d, relation, index->columns[part - 1]);
    }
    buf_printf(d->out, "CREATE %sINDEX ", index->is_unique ? "UNIQUE " : "");
    put_identifier(d->out, index->name);
    buf_printf(d->out, " ON ");
    put_class(d->env->catalog, d->env->search_path, &table, !d->is_pretty, d->out);
    buf_printf(d->out, " USING btree ");
    TRY(keys_put(d, relation, index));
    if (index->included_count > 0) {
        buf_printf(d->out, " INCLUDE ");
        columns_put(d, relation, index->included, index->included_count);
    }
    buf_printf(d->out, "%s", index->nulls_equal ? " NULLS NOT DISTINCT" : "");
    if (index->predicate != 0) {
        buf_printf(d->out, " WHERE ");
        err = deparse_sql(d, relation, relation->virtuals[index->predicate - INDEX_EXPRESSION].sql,
                          UINT16_MAX);
    }
out:
    return err;
}
