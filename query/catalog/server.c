/* query/catalog/server.c - databases, roles, settings. */
#include <string.h>

#include "models/types/datetime.h"
#include "query/catalog/fill.h"
#include "query/catalog/proc.h"
#include "query/parameter.h"
#include "query/session.h"

#include "engine/base/poison.h"

enum { ENCODING_UTF8 = 6 };

/* ---- Roles: one that may do everything, until there are others ---- */

struct slice
role_name(oid_t oid)
{
    return oid == OID_OWNER ? SLICE("orbit") : slice_of(NULL, 0);
}

oid_t
role_find(struct slice name)
{
    return slice_equal(name, SLICE("orbit")) ? OID_OWNER : 0;
}

err_t
fill_authid(struct system_rows *rows)
{
    row_int(rows, OID_OWNER);
    row_text(rows, role_name(OID_OWNER));
    for (uint32_t i = 0; i < 7; i++) { /* It may do all of it. */
        row_int(rows, true);
    }
    row_int(rows, -1);
    row_null(rows, 2);
    return row_end(rows);
}

err_t
fill_database(struct system_rows *rows)
{
    row_int(rows, OID_DATABASE);
    row_text(rows, rows->env->database);
    row_int(rows, OID_OWNER);
    row_int(rows, ENCODING_UTF8);
    row_int(rows, 'c');
    row_int(rows, false);
    row_int(rows, true);
    row_int(rows, -1);
    row_int(rows, 0);
    row_int(rows, 0);
    row_int(rows, OID_TABLESPACE_DEFAULT);
    row_name(rows, "C");
    row_name(rows, "C");
    row_null(rows, 3);
    return row_end(rows);
}

err_t
fill_tablespace(struct system_rows *rows)
{
    row_int(rows, OID_TABLESPACE_DEFAULT);
    row_name(rows, "pg_default");
    row_int(rows, OID_OWNER);
    row_null(rows, 2);
    return row_end(rows);
}

/* ---- pg_settings ---- */

err_t
fill_settings(struct system_rows *rows)
{
    const char *name;
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && (name = parameter_name(i)) != NULL; i++) {
        const char *value = sql_session_parameter(rows->env->session, name);

        row_name(rows, name);
        row_name(rows, value);
        row_null(rows, 1);
        row_name(rows, "Client Connection Defaults / Statement Behavior");
        row_name(rows, "");
        row_null(rows, 1);
        row_name(rows, "user");
        row_name(rows, "string");
        row_name(rows, "default");
        row_null(rows, 3);
        row_name(rows, parameter_initial(i));
        row_name(rows, parameter_initial(i));
        row_null(rows, 2);
        row_int(rows, false);
        err = row_end(rows);
    }
    return err;
}

/* ---- What the session has prepared and declared ---- */

err_t
fill_cursors(struct system_rows *rows)
{
    struct sql_portal_view view;
    const void *place = NULL;
    err_t err = ERR_OK;

    while (err == ERR_OK && sql_portal_next(rows->env->session, &place, &view)) {
        row_name(rows, view.name);
        row_name(rows, view.text);
        row_int(rows, view.is_holdable);
        row_int(rows, view.is_binary);
        row_int(rows, view.is_scrollable);
        row_int(rows, view.created_us - US_1970_TO_2000);
        err = row_end(rows);
    }
    return err;
}

err_t
fill_prepared_statements(struct system_rows *rows)
{
    struct sql_prepared_view view;
    const void *place = NULL;
    err_t err = ERR_OK;

    while (sql_prepared_next(rows->env->session, &place, &view)) {
        oid_t *types = arena_alloc(rows->arena, (view.param_count + 1) * sizeof(*types));

        for (uint32_t i = 0; i < view.param_count; i++) {
            types[i] = view.param_types[i]->oid;
        }
        row_name(rows, view.name);
        row_name(rows, view.text);
        row_int(rows, view.prepared_us - US_1970_TO_2000);
        TRY(row_array(rows, OID_REGTYPE, types, view.param_count, 1));
        row_int(rows, view.is_from_sql);
        /* Each run makes its plan; one without parameters counts as PostgreSQL's generic one. */
        row_int(rows, view.param_count == 0 ? (int64_t)view.runs : 0);
        row_int(rows, view.param_count == 0 ? 0 : (int64_t)view.runs);
        TRY(row_end(rows));
    }
out:
    return err;
}
