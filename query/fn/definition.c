/* query/fn/definition.c - pg_get_constraintdef and its like: definitions as SQL. */
#include <stdlib.h>
#include <string.h>

#include "models/types/sql_error.h"
#include "query/deparse/deparse.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

static err_t
null_result(struct call *call)
{
    call->is_null = true;
    return ERR_OK;
}

static void
deparse_init(struct deparse *deparse, struct call *call, bool is_pretty, struct buf *out)
{
    *deparse = (struct deparse){
        .env = call->env,
        .settings = call->settings,
        .arena = call->arena,
        .is_pretty = is_pretty,
        .out = out,
    };
    buf_init(out, MEM_SESSIONS);
}

static err_t
deparse_end(struct call *call, struct buf *text, err_t err, struct datum *out)
{
    if (err == ERR_OK) {
        out->bytes = arena_copy(call->arena, buf_slice(text));
    }
    buf_fini(text);
    return err;
}

/* ---- pg_get_expr: what a column of type pg_node_tree holds ---- */

static err_t
get_expr(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice tree = args[0].bytes;
    struct class_ref class;
    struct deparse deparse;
    struct buf text;
    uint32_t column;
    size_t used = 0;
    err_t err;

    while (used < tree.size && tree.data[used] >= '0' && tree.data[used] <= '9') {
        used++;
    }
    if (used == 0 || used == tree.size || tree.data[used] != ' ') {
        return sql_error("22P02", "invalid expression: \"%.*s\"", SLICE_ARGS(tree));
    }
    if (!class_find(call->env->catalog, (oid_t)args[1].i, &class) || class.relation == NULL) {
        return null_result(call);
    }
    column = (uint32_t)strtoul((const char *)tree.data, NULL, 10);
    deparse_init(&deparse, call, call->arg_count > 2 && args[2].i != 0, &text);
    err =
        deparse_sql(&deparse, class.relation, slice_of(tree.data + used + 1, tree.size - used - 1),
                    column > 0 ? (uint16_t)(column - 1) : UINT16_MAX);
    return deparse_end(call, &text, err, out);
}

/* ---- Constraints, indexes ---- */

static const struct constraint *
constraint_find(const struct catalog *catalog, oid_t oid, const struct relation **relation_out)
{
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        for (uint32_t j = 0; j < relation->constraint_count; j++) {
            if (relation->constraints[j].oid == oid) {
                *relation_out = relation;
                return &relation->constraints[j];
            }
        }
    }
    return NULL;
}

static err_t
get_constraintdef(struct call *call, const struct datum *args, struct datum *out)
{
    const struct relation *relation;
    const struct constraint *constraint =
        constraint_find(call->env->catalog, (oid_t)args[0].i, &relation);
    struct deparse deparse;
    struct buf text;

    if (constraint == NULL) {
        return null_result(call);
    }
    deparse_init(&deparse, call, call->arg_count > 1 && args[1].i != 0, &text);
    return deparse_end(call, &text, deparse_constraint(&deparse, relation, constraint), out);
}

static err_t
get_indexdef(struct call *call, const struct datum *args, struct datum *out)
{
    bool has_part = call->arg_count > 1;
    struct class_ref class;
    struct deparse deparse;
    struct buf text;
    err_t err;

    if (!class_find(call->env->catalog, (oid_t)args[0].i, &class) || class.index == NULL ||
        (has_part && args[1].i < 0)) {
        return null_result(call);
    }
    deparse_init(&deparse, call, has_part && args[2].i != 0, &text);
    err = deparse_index(&deparse, class.relation, class.index, has_part ? (uint32_t)args[1].i : 0);
    return deparse_end(call, &text, err, out);
}

/* ---- Views ---- */

static err_t
view_result(struct call *call, oid_t oid, struct datum *out)
{
    struct class_ref class;
    struct slice sql;

    if (!class_find(call->env->catalog, oid, &class)) {
        return null_result(call);
    }
    if (class.system != NULL) {
        sql = class.system->view_sql != NULL ? slice_from_text(class.system->view_sql)
                                             : slice_of(NULL, 0);
    } else {
        sql = class.relation->view_sql;
    }
    if (sql.size == 0) {
        return null_result(call);
    }
    out->bytes = slice_from_text(arena_printf(call->arena, " %.*s;", SLICE_ARGS(sql)));
    return ERR_OK;
}

static err_t
get_viewdef(struct call *call, const struct datum *args, struct datum *out)
{
    return view_result(call, (oid_t)args[0].i, out);
}

static err_t
get_viewdef_name(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type_names *names = call->settings->names;
    oid_t oid;
    err_t err = names->find(names, OID_REGCLASS, args[0].bytes, call->arena, &oid);

    return err == ERR_OK ? view_result(call, oid, out) : err;
}

/* ---- pg_get_serial_sequence ---- */

static err_t
get_serial_sequence(struct call *call, const struct datum *args, struct datum *out)
{
    const struct catalog *catalog = call->env->catalog;
    const struct type_names *names = call->settings->names;
    struct class_ref table, sequence = {0};
    struct buf text;
    uint16_t column;
    oid_t oid;
    err_t err;

    TRY(names->find(names, OID_REGCLASS, args[0].bytes, call->arena, &oid));
    if (!class_find(catalog, oid, &table) || table.relation == NULL) {
        return null_result(call);
    }
    column = relation_column(table.relation, args[1].bytes);
    if (column == UINT16_MAX) {
        return sql_error("42703", "column \"%.*s\" of relation \"%.*s\" does not exist",
                         SLICE_ARGS(args[1].bytes), SLICE_ARGS(table.relation->name));
    }
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        if (relation->kind == RELATION_SEQUENCE && relation->sequence.owner == oid &&
            relation->sequence.column == column) {
            sequence.relation = relation;
        }
    }
    if (sequence.relation == NULL) {
        return null_result(call);
    }
    buf_init(&text, MEM_SESSIONS);
    put_class(catalog, call->env->search_path, &sequence, true, &text);
    err = deparse_end(call, &text, ERR_OK, out);
out:
    return err;
}

/* ---- The table ---- */

#define FN(fname, res, nargs, code, ...)                                                           \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (nargs),         \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    FN("pg_get_expr", OID_TEXT, 2, get_expr, OID_PG_NODE_TREE, OID_OID),
    FN("pg_get_expr", OID_TEXT, 3, get_expr, OID_PG_NODE_TREE, OID_OID, OID_BOOL),
    FN("pg_get_constraintdef", OID_TEXT, 1, get_constraintdef, OID_OID),
    FN("pg_get_constraintdef", OID_TEXT, 2, get_constraintdef, OID_OID, OID_BOOL),
    FN("pg_get_indexdef", OID_TEXT, 1, get_indexdef, OID_OID),
    FN("pg_get_indexdef", OID_TEXT, 3, get_indexdef, OID_OID, OID_INT4, OID_BOOL),
    FN("pg_get_viewdef", OID_TEXT, 1, get_viewdef, OID_OID),
    FN("pg_get_viewdef", OID_TEXT, 2, get_viewdef, OID_OID, OID_BOOL),
    FN("pg_get_viewdef", OID_TEXT, 2, get_viewdef, OID_OID, OID_INT4),
    FN("pg_get_viewdef", OID_TEXT, 1, get_viewdef_name, OID_TEXT),
    FN("pg_get_viewdef", OID_TEXT, 2, get_viewdef_name, OID_TEXT, OID_BOOL),
    FN("pg_get_serial_sequence", OID_TEXT, 2, get_serial_sequence, OID_TEXT, OID_TEXT),
};

const struct function_part fn_part_definition = {rows, sizeof(rows) / sizeof(rows[0])};
