/* net/pgwire/protocol.c - what the messages mean. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"
#include "net/acl.h"
#include "net/pgwire/internal.h"

#include "engine/base/poison.h"

enum {
    CODE_PROTOCOL_3 = 196608,
    CODE_CANCEL = 80877102,
    CODE_SSL = 80877103,
    CODE_GSS = 80877104,
};

/* ---- Errors and notices ---- */

static void
field_put(struct buf *out, char field, const char *text)
{
    if (text[0] != '\0') {
        buf_append_byte(out, (uint8_t)field);
        message_put_text(out, text);
    }
}

static void
report_put(struct buf *out, char type, const char *severity, const struct sql_report *report,
           uint32_t position)
{
    size_t begun = message_begin(out, type);
    char number[16] = "";

    if (position > 0) {
        (void)snprintf(number, sizeof(number), "%u", position);
    }
    field_put(out, 'S', severity);
    field_put(out, 'V', severity);
    field_put(out, 'C', report->sqlstate);
    field_put(out, 'M', report->message);
    field_put(out, 'D', report->detail);
    field_put(out, 'H', report->hint);
    field_put(out, 'P', number);
    field_put(out, 'W', report->context);
    buf_append_byte(out, 0);
    message_end(out, begun);
}

void
pg_error(struct pg_conn *conn, err_t err, uint32_t position, const char *severity)
{
    struct sql_report report;

    sql_report_get(err, &report);
    report_put(&conn->output, 'E', severity, &report, position);
}

static void
notice_put(void *arg, const char *severity, const struct sql_report *report)
{
    struct pg_conn *conn = arg;

    report_put(&conn->output, 'N', severity, report, 0);
}

/* ---- Parameters ---- */

/* Those that differ from what the client knows: at first all; then, before it is asked for more,
 * what SET, RESET, set_config or a rollback has changed. */
static void
parameters_tell(struct pg_conn *conn)
{
    uint64_t version = sql_session_parameters_version(conn->session);

    for (uint32_t i = 0; version != conn->told_version && i < SESSION_REPORTED; i++) {
        const char *name = sql_session_reported(i);
        const char *value = sql_session_parameter(conn->session, name);
        size_t size = strlen(value) + 1, begun;

        if (conn->told[i] != NULL && strcmp(conn->told[i], value) == 0) {
            continue;
        }
        if (conn->told[i] != NULL) {
            mem_free(MEM_SESSIONS, conn->told[i], strlen(conn->told[i]) + 1);
        }
        conn->told[i] = mem_alloc(MEM_SESSIONS, size);
        memcpy(conn->told[i], value, size);
        begun = message_begin(&conn->output, 'S');
        message_put_text(&conn->output, name);
        message_put_text(&conn->output, value);
        message_end(&conn->output, begun);
    }
    conn->told_version = version;
}

static void
ready_put(struct pg_conn *conn)
{
    static const char states[] = {[SQL_IDLE] = 'I', [SQL_IN_TRANSACTION] = 'T', [SQL_FAILED] = 'E'};
    size_t begun;

    parameters_tell(conn);
    begun = message_begin(&conn->output, 'Z');
    buf_append_byte(&conn->output, (uint8_t)states[sql_session_state(conn->session)]);
    message_end(&conn->output, begun);
}

/* ---- Startup ---- */

static void
welcome(struct pg_conn *conn)
{
    size_t begun = message_begin(&conn->output, 'R');

    message_put_int32(&conn->output, 0);
    message_end(&conn->output, begun);
    parameters_tell(conn);
    begun = message_begin(&conn->output, 'K');
    message_put_int32(&conn->output, conn->pid);
    message_put_int32(&conn->output, conn->key);
    message_end(&conn->output, begun);
    ready_put(conn);
}

/* The next word of command-line options: spaces divide, a backslash takes the next character as it
 * is. false: there is none. */
static bool
option_word(const char **at, struct buf *word)
{
    const char *next = *at;

    while (isspace((unsigned char)*next)) {
        next++;
    }
    buf_clear(word);
    *at = next;
    if (*next == '\0') {
        return false;
    }
    for (; *next != '\0' && !isspace((unsigned char)*next); next++) {
        next += *next == '\\' && next[1] != '\0';
        buf_append_byte(word, (uint8_t)*next);
    }
    buf_append_byte(word, '\0');
    *at = next;
    return true;
}

/* name=value; dashes in the name stand for underscores. */
static err_t
option_set(struct pg_conn *conn, char *assignment)
{
    char *value = strchr(assignment, '=');

    if (value == NULL) {
        return sql_error("42601", "-c %s requires a value", assignment);
    }
    *value++ = '\0';
    for (char *at = assignment; *at != '\0'; at++) {
        *at = *at == '-' ? '_' : *at;
    }
    return sql_session_set(conn->session, assignment, value);
}

/* The startup parameter "options": -c name=value and --name=value, as PostgreSQL's own command line
 * has them. */
static err_t
options_set(struct pg_conn *conn, const char *options)
{
    struct buf word;
    err_t err = ERR_OK;

    buf_init(&word, MEM_SESSIONS);
    while (err == ERR_OK && option_word(&options, &word)) {
        char *text = (char *)word.data;

        if (strcmp(text, "-c") == 0) {
            err = option_word(&options, &word)
                      ? option_set(conn, (char *)word.data)
                      : sql_error("42601", "the option -c requires an argument");
        } else if (strncmp(text, "-c", 2) == 0 || strncmp(text, "--", 2) == 0) {
            err = option_set(conn, text + 2);
        } else {
            err = sql_error("0A000", "the command-line option \"%s\" is not supported", text);
        }
    }
    buf_fini(&word);
    return err;
}

static err_t
session_start(struct pg_conn *conn, struct message_reader *reader, const char *role)
{
    err_t err;

    conn->session = sql_session_new(slice_from_text(role), PG_CLIENT_BIT | conn->pid);
    sql_session_copy_folder_set(conn->session, conn->pgwire->options.copy_folder);
    sql_session_guard_set(conn->session, acl_sql_guard);
    while (!reader->is_bad && reader->at < reader->end && *reader->at != '\0') {
        const char *name = message_text(reader);
        const char *value = message_text(reader);

        if (strcmp(name, "database") == 0 && strcmp(value, "orbit") != 0) {
            err = sql_error("3D000", "database \"%s\" does not exist", value);
            goto out;
        }
        if (strcmp(name, "options") == 0) {
            TRY(options_set(conn, value));
        } else if (strcmp(name, "replication") == 0) {
            err = sql_error("0A000", "the startup parameter \"%s\" is not supported", name);
            goto out;
        } else if (strcmp(name, "user") != 0 && strcmp(name, "database") != 0 &&
                   strncmp(name, "_pq_.", 5) != 0) {
            TRY(sql_session_set(conn->session, name, value));
        }
    }
    sql_session_started(conn->session);
    err = reader->is_bad ? err_set(ERR_PROTOCOL, "invalid startup packet layout") : ERR_OK;
out:
    return err;
}

bool
pg_session_start(struct pg_conn *conn, struct slice startup, const char *role)
{
    struct message_reader reader = message_reader_of(startup);
    err_t err = session_start(conn, &reader, role);

    if (err != ERR_OK) {
        pg_error(conn, err, 0, "FATAL");
        return false;
    }
    welcome(conn);
    return true;
}

bool
pg_startup(struct pg_conn *conn, struct slice body)
{
    struct message_reader reader = message_reader_of(body);
    uint32_t code = message_int32(&reader);
    uint32_t pid, key;

    switch (code) {
    case CODE_SSL:
    case CODE_GSS:
        buf_append_byte(&conn->output, 'N');
        return true;
    case CODE_CANCEL:
        pid = message_int32(&reader);
        key = message_int32(&reader);
        pg_cancel(pid, key);
        return false;
    case CODE_PROTOCOL_3:
        break;
    default:
        pg_error(conn,
                 sql_error("0A000", "unsupported frontend protocol %u.%u: server supports 3.0",
                           code >> 16, code & 0xffff),
                 0, "FATAL");
        return false;
    }
    return pg_login_begin(conn, slice_of(reader.at, (size_t)(reader.end - reader.at)));
}

/* ---- Rows ---- */

static uint16_t
format_of(const struct pg_conn *conn, const struct sql_column *columns, uint32_t column)
{
    return columns[column].is_binary ? 1
           : conn->format_count == 0 ? 0
           : conn->format_count == 1 ? conn->formats[0]
                                     : conn->formats[MIN(column, conn->format_count - 1)];
}

static void
description_put(struct pg_conn *conn, const struct sql_column *columns, uint32_t count)
{
    size_t begun = message_begin(&conn->output, 'T');

    message_put_int16(&conn->output, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        message_put_slice_text(&conn->output, columns[i].name);
        message_put_int32(&conn->output, 0);
        message_put_int16(&conn->output, 0);
        message_put_int32(&conn->output, columns[i].type->oid);
        message_put_int16(&conn->output, (uint16_t)type_shown_length(columns[i].type));
        message_put_int32(&conn->output, (uint32_t)columns[i].typmod);
        message_put_int16(&conn->output, format_of(conn, columns, i));
    }
    message_end(&conn->output, begun);
}

static err_t
sink_describe(void *arg, const struct sql_column *columns, uint32_t count)
{
    struct pg_conn *conn = arg;

    conn->columns = columns;
    conn->column_count = count;
    if (conn->sends_description) {
        description_put(conn, columns, count);
    }
    return ERR_OK;
}

static void
row_put(const struct pg_conn *conn, const struct batch *batch, uint32_t row, struct buf *out)
{
    const struct type_settings *settings = sql_session_settings(conn->session);
    size_t begun = message_begin(out, 'D');

    message_put_int16(out, (uint16_t)conn->column_count);
    for (uint32_t i = 0; i < conn->column_count; i++) {
        const struct vector *column = &batch->columns[i];
        const struct type *type = conn->columns[i].type;
        size_t start;

        if (vector_is_null(column, row)) {
            message_put_int32(out, UINT32_MAX);
            continue;
        }
        message_put_int32(out, 0);
        start = out->size;
        if (format_of(conn, conn->columns, i) == 1) {
            type->send(type, vector_value(column, row), out);
        } else {
            type->output(type, settings, vector_value(column, row), out);
        }
        put_be32(out->data + start - 4, (uint32_t)(out->size - start));
    }
    message_end(out, begun);
}

static err_t
sink_rows(void *arg, const struct batch *batch)
{
    struct pg_conn *conn = arg;

    for (uint32_t i = 0; i < batch->rows; i++) {
        row_put(conn, batch, i, &conn->output);
        if (conn->output.size > PG_OUTPUT_BYTES_FLUSH && !pg_flush(conn)) {
            return err_set(ERR_CLOSED, "the client has gone");
        }
    }
    return ERR_OK;
}

static err_t
sink_complete(void *arg, const char *tag)
{
    struct pg_conn *conn = arg;
    size_t begun = message_begin(&conn->output, 'C');

    message_put_text(&conn->output, tag);
    message_end(&conn->output, begun);
    return ERR_OK;
}

static void
sink_empty(void *arg)
{
    struct pg_conn *conn = arg;

    message_empty(&conn->output, 'I');
}

static struct sql_sink
sink_of(struct pg_conn *conn)
{
    return (struct sql_sink){
        .describe = sink_describe,
        .rows = sink_rows,
        .complete = sink_complete,
        .empty = sink_empty,
        .notice = notice_put,
        .copy_out_begin = pg_copy_out_begin,
        .copy_out = pg_copy_out,
        .copy_out_end = pg_copy_out_end,
        .copy_in_begin = pg_copy_in_begin,
        .copy_in = pg_copy_in,
        .arg = conn,
    };
}

/* ---- Simple query ---- */

static void
simple_query(struct pg_conn *conn, struct slice body)
{
    struct message_reader reader = message_reader_of(body);
    const char *text = message_text(&reader);
    struct sql_sink sink = sink_of(conn);
    uint32_t position = 0;
    err_t err;

    conn->format_count = 0;
    conn->sends_description = true;
    if (reader.is_bad) {
        err = err_set(ERR_PROTOCOL, "invalid message format");
    } else {
        err = sql_execute(conn->session, text, &sink, &position);
    }
    if (err != ERR_OK) {
        pg_error(conn, err, position, "ERROR");
    }
    ready_put(conn);
}

/* ---- Extended query: statements and portals ---- */

void
pg_session_end(struct pg_conn *conn)
{
    sql_session_free(&conn->session);
}

static err_t
malformed(void)
{
    return err_set(ERR_PROTOCOL, "invalid message format");
}

static err_t
parse_types(struct message_reader *reader, oid_t **types_out, uint16_t *count_out)
{
    uint16_t count = message_int16(reader);
    oid_t *types = mem_alloc(MEM_SESSIONS, (count + 1U) * sizeof(*types));

    for (uint32_t i = 0; i < count; i++) {
        types[i] = message_int32(reader);
        if (types[i] == OID_UNKNOWN) {
            types[i] = 0;
        }
        if (!reader->is_bad && types[i] != 0 && type_like(types[i]) == NULL) {
            mem_free(MEM_SESSIONS, types, (count + 1U) * sizeof(*types));
            return sql_error("42704", "type with OID %u does not exist", types[i]);
        }
    }
    *types_out = types;
    *count_out = count;
    return ERR_OK;
}

static err_t
parse_run(struct pg_conn *conn, struct slice body, uint32_t *position_out)
{
    struct message_reader reader = message_reader_of(body);
    const char *name = message_text(&reader);
    const char *text = message_text(&reader);
    oid_t *types = NULL;
    uint16_t count = 0;
    err_t err;

    TRY(parse_types(&reader, &types, &count));
    if (reader.is_bad) {
        err = malformed();
        goto out;
    }
    TRY(sql_prepare(conn->session, name, text, types, count, position_out));
    message_empty(&conn->output, '1');
out:
    if (types != NULL) {
        mem_free(MEM_SESSIONS, types, (count + 1U) * sizeof(*types));
    }
    return err;
}

/* ---- Bind ---- */

/* What a Bind message gives a portal. */
struct binding {
    struct sql_portal *portal;
    const struct sql_prepared *prepared;
    const char *statement_name;
    struct arena *arena;
    struct datum *params;
    uint8_t *nulls;
};

static err_t
param_read(const struct pg_conn *conn, struct binding *binding, uint32_t at,
           const struct type *type, uint16_t format, struct slice bytes)
{
    const struct type_io io = {
        .arena = binding->arena,
        .settings = sql_session_settings(conn->session),
    };
    struct slice kept = arena_copy(binding->arena, bytes);
    err_t err;

    if (format > 1) {
        return sql_error("22023", "unsupported format code: %u", format);
    }
    if (format == 1) {
        return type->receive(type, &io, kept, &binding->params[at]);
    }
    TRY(text_check(kept));
    err = type->input(type, &io, kept, -1, &binding->params[at]);
out:
    return err;
}

static err_t
params_read(const struct pg_conn *conn, struct message_reader *reader, struct binding *binding)
{
    const struct type *const *types = NULL;
    uint32_t wanted = sql_prepared_params(binding->prepared, &types);
    uint16_t format_count = message_int16(reader);
    struct slice formats = message_bytes(reader, 2 * (size_t)format_count);
    uint16_t count = message_int16(reader);
    err_t err = ERR_OK;

    if (reader->is_bad) {
        return malformed();
    }
    if (format_count > 1 && format_count != count) {
        return sql_error("08P01", "bind message has %u parameter formats but %u parameters",
                         format_count, count);
    }
    if (count != wanted) {
        return sql_error("08P01",
                         "bind message supplies %u parameters, but prepared statement \"%s\" "
                         "requires %u",
                         count, binding->statement_name, wanted);
    }
    binding->params = arena_alloc(binding->arena, (count + 1U) * sizeof(*binding->params));
    binding->nulls = arena_alloc(binding->arena, count + 1U);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = message_int32(reader);
        uint16_t format =
            format_count == 0 ? 0 : get_be16(formats.data + 2 * (format_count == 1 ? 0 : i));

        binding->nulls[i] = size == UINT32_MAX;
        if (size != UINT32_MAX) {
            struct slice bytes = message_bytes(reader, size);

            TRY(reader->is_bad ? malformed()
                               : param_read(conn, binding, i, types[i], format, bytes));
        }
    }
    sql_portal_params_set(binding->portal, binding->params, binding->nulls, count);
out:
    return err;
}

static err_t
formats_read(struct message_reader *reader, struct binding *binding)
{
    uint16_t count = message_int16(reader);
    uint16_t *formats = arena_alloc(binding->arena, (count + 1U) * sizeof(*formats));
    const struct sql_column *columns;
    uint32_t column_count = sql_prepared_columns(binding->prepared, &columns);

    for (uint32_t i = 0; i < count; i++) {
        formats[i] = message_int16(reader);
        if (formats[i] > 1) {
            return sql_error("22023", "unsupported format code: %u", formats[i]);
        }
    }
    if (reader->is_bad) {
        return malformed();
    }
    if (count > 1 && count != column_count) {
        return sql_error("08P01", "bind message has %u result formats but query has %u columns",
                         count, column_count);
    }
    sql_portal_formats_set(binding->portal, formats, count);
    return ERR_OK;
}

static err_t
bind_run(struct pg_conn *conn, struct slice body)
{
    struct message_reader reader = message_reader_of(body);
    const char *name = message_text(&reader);
    struct binding binding = {.statement_name = message_text(&reader)};
    struct sql_prepared *prepared = sql_prepared_find(conn->session, binding.statement_name);
    err_t err;

    if (reader.is_bad) {
        return malformed();
    }
    if (prepared == NULL) {
        return binding.statement_name[0] == '\0'
                   ? sql_error("26000", "unnamed prepared statement does not exist")
                   : sql_error("26000", "prepared statement \"%s\" does not exist",
                               binding.statement_name);
    }
    TRY(sql_portal_open(conn->session, name, prepared, &binding.portal));
    binding.prepared = prepared;
    binding.arena = sql_portal_arena(binding.portal);
    TRY(params_read(conn, &reader, &binding));
    TRY(formats_read(&reader, &binding));
    message_empty(&conn->output, '2');
    binding.portal = NULL;
out:
    sql_portal_close(conn->session, binding.portal);
    return err;
}

/* ---- Describe, Execute, Close ---- */

static void
columns_describe(struct pg_conn *conn, const struct sql_column *columns, uint32_t count)
{
    if (count == 0) {
        message_empty(&conn->output, 'n');
    } else {
        description_put(conn, columns, count);
    }
}

static void
params_describe(struct pg_conn *conn, const struct sql_prepared *prepared)
{
    const struct type *const *types = NULL;
    uint32_t count = sql_prepared_params(prepared, &types);
    size_t begun = message_begin(&conn->output, 't');

    message_put_int16(&conn->output, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        message_put_int32(&conn->output, types[i]->oid);
    }
    message_end(&conn->output, begun);
}

static err_t
statement_describe(struct pg_conn *conn, const char *name)
{
    const struct sql_prepared *prepared = sql_prepared_find(conn->session, name);
    const struct sql_column *columns = NULL;
    uint32_t count;

    if (prepared == NULL) {
        return sql_error("26000", "prepared statement \"%s\" does not exist", name);
    }
    count = sql_prepared_columns(prepared, &columns);
    conn->format_count = 0;
    params_describe(conn, prepared);
    columns_describe(conn, columns, count);
    return ERR_OK;
}

static err_t
portal_missing(const char *name)
{
    return sql_error("34000", "portal \"%s\" does not exist", name);
}

static err_t
describe_run(struct pg_conn *conn, struct slice body)
{
    struct message_reader reader = message_reader_of(body);
    uint8_t kind = message_byte(&reader);
    const char *name = message_text(&reader);
    const struct sql_column *columns = NULL;
    const struct sql_portal *portal;
    uint32_t count;

    if (reader.is_bad) {
        return malformed();
    }
    if (kind == 'S') {
        return statement_describe(conn, name);
    }
    if (kind != 'P') {
        return sql_error("08P01", "invalid DESCRIBE message subtype %d", kind);
    }
    portal = sql_portal_find(conn->session, name);
    if (portal == NULL) {
        return portal_missing(name);
    }
    conn->format_count = sql_portal_formats(portal, &conn->formats);
    count = sql_portal_columns(portal, &columns);
    columns_describe(conn, columns, count);
    return ERR_OK;
}

static err_t
execute_run(struct pg_conn *conn, struct slice body)
{
    struct message_reader reader = message_reader_of(body);
    const char *name = message_text(&reader);
    int32_t most = (int32_t)message_int32(&reader);
    struct sql_portal *portal = sql_portal_find(conn->session, name);
    struct sql_sink sink = sink_of(conn);
    bool is_suspended = false;
    err_t err;

    if (reader.is_bad) {
        return malformed();
    }
    if (portal == NULL) {
        return portal_missing(name);
    }
    conn->format_count = sql_portal_formats(portal, &conn->formats);
    conn->column_count = sql_portal_columns(portal, &conn->columns);
    conn->sends_description = false;
    err =
        sql_portal_run(conn->session, portal, most > 0 ? (uint32_t)most : 0, &sink, &is_suspended);
    if (is_suspended) {
        message_empty(&conn->output, 's');
    }
    return err;
}

static err_t
close_run(struct pg_conn *conn, struct slice body)
{
    struct message_reader reader = message_reader_of(body);
    uint8_t kind = message_byte(&reader);
    const char *name = message_text(&reader);

    if (reader.is_bad) {
        return malformed();
    }
    if (kind == 'S') {
        sql_prepared_drop(conn->session, name);
    } else if (kind == 'P') {
        sql_portal_close(conn->session, sql_portal_find(conn->session, name));
    } else {
        return sql_error("08P01", "invalid CLOSE message subtype %d", kind);
    }
    message_empty(&conn->output, '3');
    return ERR_OK;
}

static void
sync_run(struct pg_conn *conn)
{
    err_t err = sql_sync(conn->session);

    conn->skips_to_sync = false;
    if (err != ERR_OK) {
        pg_error(conn, err, 0, "ERROR");
    }
    ready_put(conn);
}

static void
extended(struct pg_conn *conn, char type, struct slice body)
{
    uint32_t position = 0;
    err_t err;

    if (conn->skips_to_sync) {
        return;
    }
    switch (type) {
    case 'P':
        err = parse_run(conn, body, &position);
        break;
    case 'B':
        err = bind_run(conn, body);
        break;
    case 'D':
        err = describe_run(conn, body);
        break;
    case 'E':
        err = execute_run(conn, body);
        break;
    case 'C':
        err = close_run(conn, body);
        break;
    default:
        err = sql_error("0A000", "function calls by the protocol are not supported");
        break;
    }
    if (err != ERR_OK) {
        conn->skips_to_sync = true;
        pg_error(conn, err, position, "ERROR");
    }
}

void
pg_message(struct pg_conn *conn, char type, struct slice body)
{
    if (conn->login != NULL) {
        pg_login_message(conn, type, body);
        return;
    }
    switch (type) {
    case 'Q':
        conn->skips_to_sync = false;
        simple_query(conn, body);
        return;
    case 'P':
    case 'B':
    case 'D':
    case 'E':
    case 'C':
        extended(conn, type, body);
        return;
    case 'F':
        extended(conn, type, body);
        ready_put(conn);
        return;
    case 'S':
        sync_run(conn);
        return;
    case 'H':
        pg_send_start(conn);
        return;
    case 'X':
        conn->is_ended = true;
        return;
    case 'c':
    case 'd':
    case 'f':
        return; /* The rest of a COPY that has failed. */
    default:
        pg_error(conn, err_set(ERR_PROTOCOL, "invalid frontend message type %d", type), 0, "FATAL");
        pg_farewell(conn);
        return;
    }
}
