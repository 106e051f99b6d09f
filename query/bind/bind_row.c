/* query/bind/bind_row.c - rows as values: ROW(...), whole rows of tables, fields, comparisons.
 *
 * A row that is written out is compared field by field; others are compared as records. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"
#include "models/types/tuple.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

static struct expr *
row_new(struct binder *binder, uint32_t count, int location)
{
    struct expr *row = expr_new(binder->arena, EXPR_ROW, type_by_oid(OID_RECORD), count, location);
    struct shape *shape = bind_zeroed(binder, sizeof(*shape));

    shape->count = count;
    shape->names = bind_zeroed(binder, (count + 1) * sizeof(*shape->names));
    shape->types = bind_zeroed(binder, (count + 1) * sizeof(*shape->types));
    shape->typmods = bind_zeroed(binder, (count + 1) * sizeof(*shape->typmods));
    row->shape = shape;
    return row;
}

/* The shape says what the fields are now. */
static void
shape_fill(struct expr *row)
{
    struct shape *shape = (struct shape *)(uintptr_t)row->shape;

    for (uint32_t i = 0; i < row->arg_count; i++) {
        shape->types[i] = row->args[i]->type;
        shape->typmods[i] = row->args[i]->typmod;
    }
}

struct expr *
bind_row_of(struct binder *binder, struct expr **fields, const struct slice *names, uint32_t count,
            int location)
{
    struct expr *row = row_new(binder, count, location);

    for (uint32_t i = 0; i < count; i++) {
        row->args[i] = fields[i];
        ((struct shape *)(uintptr_t)row->shape)->names[i] =
            names != NULL ? names[i] : slice_from_text(arena_printf(binder->arena, "f%u", i + 1));
    }
    shape_fill(row);
    return row;
}

err_t
bind_row_settle(struct binder *binder, struct expr *row)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < row->arg_count; i++) {
        err = bind_settle(binder, &row->args[i]);
    }
    shape_fill(row);
    return err;
}

err_t
bind_row(struct binder *binder, struct scope *scope, const RowExpr *node, struct expr **expr_out)
{
    struct target *targets;
    struct expr **fields;
    uint32_t count;
    err_t err;

    TRY(bind_row_list(binder, scope, node->args, &targets, &count));
    fields = bind_zeroed(binder, (count + 1) * sizeof(*fields));
    for (uint32_t i = 0; i < count; i++) {
        fields[i] = targets[i].expr;
    }
    if (count > TUPLE_FIELDS_MAX) {
        return bind_error(binder, node->location, "54011",
                          "ROW expressions can have at most %d entries", TUPLE_FIELDS_MAX);
    }
    *expr_out = bind_row_of(binder, fields, NULL, count, node->location);
out:
    return err;
}

/* ---- Fields ---- */

static err_t
field_at(struct binder *binder, struct expr *record, uint32_t field, struct expr **expr_out)
{
    struct expr *expr;

    if (record->kind == EXPR_ROW && !record->is_whole) {
        *expr_out = record->args[field];
        return bind_settle(binder, expr_out);
    }
    expr = expr_new(binder->arena, EXPR_FIELD, record->shape->types[field], 1, record->position);
    expr->typmod = record->shape->typmods[field];
    expr->args[0] = record;
    expr->param = field;
    *expr_out = expr;
    return ERR_OK;
}

err_t
bind_field(struct binder *binder, struct expr *record, const char *name, int location,
           struct expr **expr_out)
{
    if (record->type->oid != OID_RECORD) {
        return bind_error(binder, location, "42809",
                          "column notation .%s applied to type %s, which is not a composite type",
                          name, record->type->display);
    }
    for (uint32_t i = 0; record->shape != NULL && i < record->shape->count; i++) {
        if (slice_equal(record->shape->names[i], slice_from_text(name))) {
            return field_at(binder, record, i, expr_out);
        }
    }
    return bind_error(binder, location, "42703",
                      "could not identify column \"%s\" in record data type", name);
}

/* (record).*: all fields as targets. */
err_t
bind_fields(struct binder *binder, struct expr *record, struct target **targets_out,
            uint32_t *count_out)
{
    struct target *targets;
    err_t err = ERR_OK;

    if (record->type->oid != OID_RECORD || record->shape == NULL) {
        return bind_error(binder, record->position, "42809", "record type has not been registered");
    }
    targets = bind_zeroed(binder, (record->shape->count + 1) * sizeof(*targets));
    for (uint32_t i = 0; err == ERR_OK && i < record->shape->count; i++) {
        targets[i].name = record->shape->names[i];
        err = field_at(binder, record, i, &targets[i].expr);
    }
    *targets_out = targets;
    *count_out = record->shape->count;
    return err;
}

/* ---- Comparisons ---- */

static struct expr *
junction(struct binder *binder, enum expr_kind kind, struct expr *left, struct expr *right)
{
    struct expr *both = expr_new(binder->arena, kind, type_by_oid(OID_BOOL), 2, left->position);

    both->args[0] = left;
    both->args[1] = right;
    return both;
}

/* = and <>: all are equal, or one is not. */
static err_t
equality(struct binder *binder, const char *name, struct expr *left, struct expr *right,
         int location, struct expr **expr_out)
{
    enum expr_kind kind = strcmp(name, "=") == 0 ? EXPR_AND : EXPR_OR;
    err_t err = ERR_OK;

    *expr_out = NULL;
    for (uint32_t i = 0; err == ERR_OK && i < left->arg_count; i++) {
        struct expr *one;

        err = bind_operator(binder, name, left->args[i], right->args[i], location, &one);
        if (err == ERR_OK) {
            *expr_out = *expr_out == NULL ? one : junction(binder, kind, *expr_out, one);
        }
    }
    return err;
}

/* The first fields that differ decide: a < c OR (a = c AND b < d). */
static err_t
ordering(struct binder *binder, const char *name, struct expr *left, struct expr *right,
         int location, struct expr **expr_out)
{
    char strict[2] = {name[0], '\0'};
    struct expr *rest = NULL;
    err_t err = ERR_OK;

    for (uint32_t i = left->arg_count; i-- > 0;) {
        bool is_last = i + 1 == left->arg_count;
        struct expr *decides, *equal;

        TRY(bind_operator(binder, is_last ? name : strict, left->args[i], right->args[i], location,
                          &decides));
        if (is_last) {
            rest = decides;
            continue;
        }
        TRY(bind_operator(binder, "=", bind_expr_copy(binder, left->args[i]),
                          bind_expr_copy(binder, right->args[i]), location, &equal));
        rest = junction(binder, EXPR_OR, decides, junction(binder, EXPR_AND, equal, rest));
    }
    *expr_out = rest;
out:
    return err;
}

bool
bind_is_row_comparison(const char *name, const struct expr *left, const struct expr *right)
{
    static const char *const names[] = {"=", "<>", "!=", "<", "<=", ">", ">="};

    if (left == NULL || left->kind != EXPR_ROW || right->kind != EXPR_ROW || left->is_whole ||
        right->is_whole) {
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

err_t
bind_row_comparison(struct binder *binder, const char *name, struct expr *left, struct expr *right,
                    int location, struct expr **expr_out)
{
    if (left->arg_count != right->arg_count) {
        return bind_error(binder, location, "42601",
                          "unequal number of entries in row expressions");
    }
    if (left->arg_count == 0) {
        return bind_error(binder, location, "0A000", "cannot compare rows of zero length");
    }
    if (strcmp(name, "=") == 0) {
        return equality(binder, name, left, right, location, expr_out);
    }
    return strcmp(name, "<>") == 0 || strcmp(name, "!=") == 0
               ? equality(binder, "<>", left, right, location, expr_out)
               : ordering(binder, name, left, right, location, expr_out);
}

/* ROW(...) IS NULL: all its fields are; IS NOT NULL: none is. */
err_t
bind_row_null_test(struct binder *binder, struct expr *row, bool is_null, int location,
                   struct expr **expr_out)
{
    err_t err = bind_row_settle(binder, row);
    struct expr *all =
        expr_new(binder->arena, EXPR_AND, type_by_oid(OID_BOOL), row->arg_count, location);

    for (uint32_t i = 0; i < row->arg_count; i++) {
        all->args[i] = expr_new(binder->arena, is_null ? EXPR_IS_NULL : EXPR_IS_NOT_NULL,
                                type_by_oid(OID_BOOL), 1, location);
        all->args[i]->args[0] = row->args[i];
    }
    *expr_out = all;
    return err;
}

/* (a, b) IN ((1, 2), (3, 4)) */
err_t
bind_row_in(struct binder *binder, struct expr *left, struct expr **exprs, uint32_t count,
            bool is_not, int location, struct expr **expr_out)
{
    struct expr *all = expr_new(binder->arena, is_not ? EXPR_AND : EXPR_OR, type_by_oid(OID_BOOL),
                                count, location);
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = bind_operator(binder, is_not ? "<>" : "=", bind_expr_copy(binder, left), exprs[i],
                            location, &all->args[i]);
    }
    *expr_out = all;
    return err;
}
