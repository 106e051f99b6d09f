/* query/session/set.c - SET, RESET and SHOW. */
#include "query/session/internal.h"

#include <strings.h>

#include "models/types/sql_error.h"
#include "query/parameter.h"

#include "engine/base/poison.h"

/* ---- SET, SHOW ---- */

static err_t
set_value(const VariableSetStmt *node, struct arena *arena, char **value_out)
{
    const ListCell *cell;
    char *value = NULL;

    foreach(cell, node->args)
    {
        const A_Const *argument = lfirst(cell);
        char *part;

        if (IsA(argument, TypeCast) &&
            IsA(((const TypeCast *)(const Node *)argument)->arg, A_Const)) {
            /* SET TIME ZONE INTERVAL '...' */
            const TypeCast *cast = (const TypeCast *)(const Node *)argument;

            value =
                arena_printf(arena, "INTERVAL '%s'", ((const A_Const *)cast->arg)->val.sval.sval);
            continue;
        }
        if (!IsA(argument, A_Const)) {
            return sql_error("0A000", "this form of SET is not supported yet");
        }
        switch (nodeTag(&argument->val.node)) {
        case T_Integer:
            part = arena_printf(arena, "%d", argument->val.ival.ival);
            break;
        case T_Float:
            part = arena_printf(arena, "%s", argument->val.fval.fval);
            break;
        case T_Boolean:
            part = arena_printf(arena, "%s", argument->val.boolval.boolval ? "on" : "off");
            break;
        default:
            part = arena_printf(arena, "%s", argument->val.sval.sval);
            break;
        }
        value = value == NULL ? part : arena_printf(arena, "%s, %s", value, part);
    }
    *value_out = value;
    return ERR_OK;
}

static err_t
set_multi(struct sql_session *session, const VariableSetStmt *node, const struct sql_sink *sink)
{
    if (strcmp(node->name, "TRANSACTION") == 0) {
        if (!session->is_block) {
            session_warn(sink, "25P01", "SET TRANSACTION can only be used in transaction blocks");
        }
        return session_transaction_options(session, node->args);
    }
    if (strcmp(node->name, "SESSION CHARACTERISTICS") == 0) {
        const ListCell *cell;
        err_t err = ERR_OK;

        foreach(cell, node->args)
        {
            const DefElem *option = lfirst(cell);
            const A_Const *value = (const A_Const *)option->arg;
            char *name = arena_printf(&session->arena, "default_%s", option->defname);

            if (err == ERR_OK) {
                err = parameters_set(session->parameters, name,
                                     IsA(&value->val.node, String) ? value->val.sval.sval
                                     : value->val.ival.ival != 0   ? "on"
                                                                   : "off");
            }
        }
        return err;
    }
    return sql_error("0A000", "SET %s is not supported", node->name);
}

err_t
session_set_run(struct sql_session *session, const VariableSetStmt *node,
                const struct sql_sink *sink)
{
    char *value = NULL;
    err_t err;

    switch (node->kind) {
    case VAR_SET_VALUE:
        if (node->is_local && !session->is_block) {
            session_warn(sink, "25P01", "SET LOCAL can only be used in transaction blocks");
        }
        TRY(set_value(node, &session->arena, &value));
        err = node->is_local ? parameters_set_local(session->parameters, node->name, value)
                             : parameters_set(session->parameters, node->name, value);
        break;
    case VAR_SET_DEFAULT:
    case VAR_RESET:
        err = parameters_reset(session->parameters, node->name);
        break;
    case VAR_RESET_ALL:
        err = parameters_reset_all(session->parameters);
        break;
    case VAR_SET_MULTI:
        err = set_multi(session, node, sink);
        break;
    default:
        err = sql_error("0A000", "this form of SET is not supported yet");
        break;
    }
out:
    return err;
}

/* ---- SHOW ---- */

static bool
is_all(const VariableShowStmt *node)
{
    return strcasecmp(node->name, "all") == 0;
}

uint32_t
session_show_columns(const VariableShowStmt *node, struct sql_column columns[SESSION_SHOW_COLUMNS])
{
    static const char *const names[SESSION_SHOW_COLUMNS] = {"name", "setting", "description"};
    const char *canonical = parameters_name(node->name);

    for (uint32_t i = 0; i < SESSION_SHOW_COLUMNS; i++) {
        columns[i] = (struct sql_column){
            .name = slice_from_text(is_all(node)        ? names[i]
                                    : canonical != NULL ? canonical
                                                        : node->name),
            .type = type_by_oid(OID_TEXT),
            .typmod = -1,
        };
    }
    return is_all(node) ? SESSION_SHOW_COLUMNS : 1;
}

static err_t
show_all(struct sql_session *session, const struct sql_sink *sink)
{
    struct batch batch;
    const char *name;
    err_t err = ERR_OK;

    arena_reset(&session->arena);
    batch_make(&batch, &session->arena, SESSION_SHOW_COLUMNS, 1);
    for (uint32_t i = 0; i < SESSION_SHOW_COLUMNS; i++) {
        batch.columns[i].nulls[0] = 0;
    }
    for (uint32_t i = 0; err == ERR_OK && (name = parameter_name(i)) != NULL; i++) {
        const char *value = parameters_get(session->parameters, name);

        batch.columns[0].values[0] = datum_bytes(slice_from_text(name));
        batch.columns[1].values[0] = datum_bytes(slice_from_text(value));
        batch.columns[2].values[0] = datum_bytes(slice_from_text(parameter_description(i)));
        err = sink->rows(sink->arg, &batch);
    }
    return err;
}

err_t
session_show_run(struct sql_session *session, const VariableShowStmt *node,
                 const struct sql_sink *sink)
{
    const char *value = is_all(node) ? "" : parameters_get(session->parameters, node->name);
    struct sql_column columns[SESSION_SHOW_COLUMNS];
    struct datum datum;
    struct vector vector = {.values = &datum};
    struct batch batch = {.columns = &vector, .column_count = 1, .rows = 1};
    err_t err;

    if (value == NULL) {
        return sql_error("42704", "unrecognized configuration parameter \"%s\"", node->name);
    }
    TRY(sink->describe(sink->arg, columns, session_show_columns(node, columns)));
    if (is_all(node)) {
        return show_all(session, sink);
    }
    datum = datum_bytes(slice_from_text(value));
    err = sink->rows(sink->arg, &batch);
out:
    return err;
}

/* ---- DISCARD ---- */

err_t
session_discard_run(struct sql_session *session, const DiscardStmt *node, const char **tag_out)
{
    switch (node->target) {
    case DISCARD_PLANS: /* Nothing of a plan is kept between runs. */
        *tag_out = "DISCARD PLANS";
        return ERR_OK;
    case DISCARD_SEQUENCES:
        *tag_out = "DISCARD SEQUENCES";
        return sql_error("0A000", "DISCARD SEQUENCES is not supported yet");
    case DISCARD_TEMP:
        *tag_out = "DISCARD TEMP";
        return sql_error("0A000", "DISCARD TEMP is not supported yet");
    default:
        break;
    }
    *tag_out = "DISCARD ALL";
    if (session->is_block) {
        return sql_error("25001", "DISCARD ALL cannot run inside a transaction block");
    }
    session_portals_drop_all(session);
    session_prepared_drop_all(session);
    return parameters_reset_all(session->parameters);
}
