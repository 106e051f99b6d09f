/* query/session/portal.c - portals and cursors: a statement whose rows are taken in parts.
 *
 * A portal that is run to its end at once hands its rows through. Of others, and of cursors, all
 * rows are made when the first part is asked for (a cursor's: when it is declared) and kept, beyond
 * work_mem in a file: so what a cursor shows is what its statement's snapshot showed. */
#include "query/session/internal.h"

#include <limits.h>
#include <stdio.h>

#include "engine/io/io.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* ---- The session's portals ---- */

struct sql_portal *
sql_portal_find(const struct sql_session *session, const char *name)
{
    LIST_FOR_EACH(node, &session->portals) {
        struct sql_portal *portal = LIST_ENTRY(node, struct sql_portal, link);

        if (strcmp(portal->name, name) == 0) {
            return portal;
        }
    }
    return NULL;
}

void
sql_portal_close(struct sql_session *session, struct sql_portal *portal)
{
    if (portal == NULL) {
        return;
    }
    list_remove(&portal->link);
    session->portal_count--;
    session_prepared_release(portal->prepared);
    session_name_free(portal->name);
    spool_reader_close(&portal->reader);
    spool_fini(&portal->rows);
    arena_fini(&portal->arena);
    MEM_FREE(MEM_SESSIONS, portal);
}

err_t
sql_portal_open(struct sql_session *session, const char *name, struct sql_prepared *prepared,
                struct sql_portal **portal_out)
{
    struct sql_portal *portal;

    if (name[0] == '\0') {
        sql_portal_close(session, sql_portal_find(session, name));
    } else if (sql_portal_find(session, name) != NULL) {
        return sql_error("42P03", "cursor \"%s\" already exists", name);
    }
    if (session->portal_count >= SESSION_STATEMENTS_MAX) {
        return sql_error("54000", "a session may have at most %d portals", SESSION_STATEMENTS_MAX);
    }
    portal = MEM_NEW(MEM_SESSIONS, struct sql_portal);
    portal->name = session_name_copy(name);
    portal->prepared = prepared != NULL ? session_prepared_hold(prepared) : NULL;
    portal->savepoints = session->savepoint_count;
    portal->created_us = (int64_t)io_wall_us();
    arena_init(&portal->arena, MEM_SESSIONS);
    spool_init(&portal->rows, NULL, 0);
    if (prepared != NULL) {
        portal->columns = prepared->columns;
        portal->column_count = prepared->column_count;
    }
    list_push_back(&session->portals, &portal->link);
    session->portal_count++;
    *portal_out = portal;
    return ERR_OK;
}

struct arena *
sql_portal_arena(struct sql_portal *portal)
{
    return &portal->arena;
}

void
sql_portal_params_set(struct sql_portal *portal, const struct datum *params, const uint8_t *nulls,
                      uint32_t count)
{
    portal->params = params;
    portal->nulls = nulls;
    portal->param_count = count;
}

void
sql_portal_formats_set(struct sql_portal *portal, const uint16_t *formats, uint32_t count)
{
    portal->formats = formats;
    portal->format_count = count;
}

uint32_t
sql_portal_formats(const struct sql_portal *portal, const uint16_t **formats)
{
    *formats = portal->formats;
    return portal->format_count;
}

uint32_t
sql_portal_columns(const struct sql_portal *portal, const struct sql_column **columns)
{
    *columns = portal->columns;
    return portal->column_count;
}

bool
sql_portal_next(const struct sql_session *session, const void **place,
                struct sql_portal_view *view_out)
{
    const struct list *at = *place != NULL ? *place : &session->portals;

    for (at = at->next; at != &session->portals; at = at->next) {
        const struct sql_portal *portal =
            LIST_ENTRY((struct list *)(uintptr_t)at, struct sql_portal, link);

        if (portal->name[0] == '\0') {
            continue;
        }
        *place = at;
        *view_out = (struct sql_portal_view){
            .name = portal->name,
            .text = portal->is_cursor ? (const char *)portal->text.data : portal->prepared->text,
            .is_holdable = portal->is_holdable,
            .is_binary = portal->is_binary,
            .is_scrollable = portal->is_cursor && !portal->is_forward_only,
            .created_us = portal->created_us,
        };
        return true;
    }
    return false;
}

void
session_portals_end(struct sql_session *session, bool has_committed)
{
    LIST_FOR_EACH_SAFE(node, &session->portals) {
        struct sql_portal *portal = LIST_ENTRY(node, struct sql_portal, link);

        portal->savepoints = 0;
        if (portal->is_held || (has_committed && portal->is_holdable)) {
            portal->is_held = true;
        } else {
            sql_portal_close(session, portal);
        }
    }
}

void
session_portals_return(struct sql_session *session, uint32_t savepoints)
{
    LIST_FOR_EACH_SAFE(node, &session->portals) {
        struct sql_portal *portal = LIST_ENTRY(node, struct sql_portal, link);

        if (!portal->is_held && portal->savepoints > savepoints) {
            sql_portal_close(session, portal);
        }
    }
}

void
session_portals_release(struct sql_session *session, uint32_t savepoints)
{
    LIST_FOR_EACH(node, &session->portals) {
        struct sql_portal *portal = LIST_ENTRY(node, struct sql_portal, link);

        portal->savepoints = MIN(portal->savepoints, savepoints);
    }
}

void
session_portals_drop_all(struct sql_session *session)
{
    LIST_FOR_EACH_SAFE(node, &session->portals) {
        sql_portal_close(session, LIST_ENTRY(node, struct sql_portal, link));
    }
}

/* ---- Making all rows ---- */

/* Rows stay with the portal; what else a statement tells goes where it would have gone. */
struct keep {
    struct sql_portal *portal;
    struct spill_budget *budget;
    const struct sql_sink *outer;
};

static err_t
keep_describe(void *arg, const struct sql_column *columns, uint32_t count)
{
    struct sql_portal *portal = ((struct keep *)arg)->portal;

    portal->columns = arena_alloc(&portal->arena, (count + 1) * sizeof(*portal->columns));
    portal->row_columns = arena_alloc(&portal->arena, (count + 1) * sizeof(*portal->row_columns));
    portal->column_count = count;
    for (uint32_t i = 0; i < count; i++) {
        portal->columns[i] = columns[i];
        portal->columns[i].name = arena_copy(&portal->arena, columns[i].name);
        portal->columns[i].is_binary = portal->is_binary;
        portal->row_columns[i] = (struct plan_column){.type = columns[i].type};
    }
    spool_fini(&portal->rows);
    spool_init(&portal->rows, portal->row_columns, count);
    return ERR_OK;
}

static err_t
keep_rows(void *arg, const struct batch *batch)
{
    const struct keep *keep = arg;
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < batch->rows; i++) {
        err = spool_add(&keep->portal->rows, keep->budget, batch, i);
    }
    return err;
}

static err_t
keep_complete(void *arg, const char *tag)
{
    struct sql_portal *portal = ((struct keep *)arg)->portal;

    (void)snprintf(portal->tag, sizeof(portal->tag), "%s", tag);
    return ERR_OK;
}

static void
keep_notice(void *arg, const char *severity, const struct sql_report *report)
{
    const struct sql_sink *outer = ((struct keep *)arg)->outer;

    outer->notice(outer->arg, severity, report);
}

static struct sql_sink
keep_sink(struct keep *keep)
{
    return (struct sql_sink){
        .describe = keep_describe,
        .rows = keep_rows,
        .complete = keep_complete,
        .notice = keep_notice,
        .arg = keep,
    };
}

static err_t
all_kept(struct sql_session *session, struct sql_portal *portal, const struct sql_sink *outer)
{
    struct keep keep = {.portal = portal, .budget = sql_session_budget(session), .outer = outer};
    const struct sql_sink sink = keep_sink(&keep);

    portal->has_run = true;
    return session_prepared_run(session, portal->prepared, portal->params, portal->nulls,
                                portal->param_count, &sink, false);
}

/* ---- Handing rows out ---- */

/* Rows [first, first + count), or backward from it. */
static err_t
rows_send(struct sql_portal *portal, uint64_t first, uint64_t count, bool is_backward,
          const struct sql_sink *sink)
{
    struct arena arena;
    struct batch batch;
    err_t err = ERR_OK;

    arena_init(&arena, MEM_SESSIONS);
    for (uint64_t sent = 0; err == ERR_OK && sent < count;) {
        uint32_t part = is_backward ? 1 : (uint32_t)MIN(count - sent, (uint64_t)BATCH_ROWS_MAX);
        uint64_t from = is_backward ? first - sent : first + sent;

        arena_reset(&arena);
        batch_make(&batch, &arena, portal->column_count, part);
        err = spool_fill(&portal->rows, &portal->reader, from, part, &arena, &batch);
        if (err == ERR_OK) {
            err = sink->rows(sink->arg, &batch);
        }
        sent += part;
    }
    arena_fini(&arena);
    return err;
}

/* Moves over up to `count` rows (UINT64_MAX: all), and sends them unless sink is NULL. */
static err_t
forward(struct sql_portal *portal, uint64_t count, const struct sql_sink *sink, uint64_t *rows_out)
{
    uint64_t total = portal->rows.count;
    uint64_t left = portal->at > total ? 0 : total - portal->at;
    uint64_t taken = MIN(count, left);
    uint64_t first = portal->at;

    portal->at = count > left ? total + 1 : portal->at + taken;
    *rows_out = taken;
    return sink != NULL ? rows_send(portal, first, taken, false, sink) : ERR_OK;
}

static err_t
backward(struct sql_portal *portal, uint64_t count, const struct sql_sink *sink, uint64_t *rows_out)
{
    uint64_t left = portal->at > 0 ? portal->at - 1 : 0;
    uint64_t taken = MIN(count, left);
    uint64_t first = portal->at; /* Row numbers count from 1 here: the one before it is first. */

    portal->at = count > left ? 0 : portal->at - taken;
    *rows_out = taken;
    return sink != NULL && taken > 0 ? rows_send(portal, first - 2, taken, true, sink) : ERR_OK;
}

static void
tag_set(const struct sql_portal *portal, uint64_t rows, char out[TAG_BYTES_MAX])
{
    const char *number = strrchr(portal->tag, ' ');
    bool counts = number != NULL && number[1] >= '0' && number[1] <= '9';

    if (strncmp(portal->tag, "SELECT", 6) == 0 && counts) {
        (void)snprintf(out, TAG_BYTES_MAX, "SELECT %llu", (unsigned long long)rows);
    } else {
        (void)snprintf(out, TAG_BYTES_MAX, "%s", portal->tag);
    }
}

static err_t
part_send(struct sql_portal *portal, uint32_t most, const struct sql_sink *sink,
          bool *is_suspended_out)
{
    char tag[TAG_BYTES_MAX];
    uint64_t rows = 0;
    err_t err;

    TRY(forward(portal, most > 0 ? most : UINT64_MAX, sink, &rows));
    *is_suspended_out = most > 0 && rows == most;
    if (!*is_suspended_out) {
        tag_set(portal, rows, tag);
        err = sink->complete(sink->arg, tag);
    }
out:
    return err;
}

/* ---- The protocol's portals ---- */

err_t
sql_portal_run(struct sql_session *session, struct sql_portal *portal, uint32_t most,
               const struct sql_sink *sink, bool *is_suspended_out)
{
    bool passes = !portal->has_run && (most == 0 || portal->column_count == 0);
    err_t err = ERR_OK;

    *is_suspended_out = false;
    if (portal->prepared != NULL && portal->prepared->is_empty) {
        sink->empty(sink->arg);
        return ERR_OK;
    }
    session_run_begin(session);
    if (passes) {
        portal->has_run = true;
        (void)snprintf(portal->tag, sizeof(portal->tag), "%s",
                       portal->column_count > 0 ? "SELECT 0" : "");
        err = session_prepared_run(session, portal->prepared, portal->params, portal->nulls,
                                   portal->param_count, sink, false);
    } else if (!portal->has_run) {
        err = all_kept(session, portal, sink);
    }
    if (err == ERR_OK && !passes && portal->tag[0] == '\0') {
        err = sql_error("55000", "portal \"%s\" cannot be run", portal->name);
    } else if (err == ERR_OK && !passes) {
        err = part_send(portal, most, sink, is_suspended_out);
    }
    err = session_run_end(session, err);
    if (err != ERR_OK) {
        session_fail(session);
    }
    return err;
}

/* ---- DECLARE ---- */

static err_t
cursor_check(struct sql_session *session, const DeclareCursorStmt *node)
{
    const SelectStmt *select = (const SelectStmt *)node->query;
    bool is_holdable = (node->options & CURSOR_OPT_HOLD) != 0;

    if (node->portalname[0] == '\0') {
        return sql_error("34000", "invalid cursor name: must not be empty");
    }
    if (!is_holdable && !session->is_block) {
        return sql_error("25P01", "DECLARE CURSOR can only be used in transaction blocks");
    }
    if (sql_portal_find(session, node->portalname) != NULL) {
        return sql_error("42P03", "cursor \"%s\" already exists", node->portalname);
    }
    if (!IsA(select, SelectStmt)) {
        return sql_error("0A000", "DECLARE CURSOR must not contain data-modifying statements in "
                                  "WITH");
    }
    if (select->lockingClause != NIL && is_holdable) {
        (void)sql_error("0A000", "DECLARE CURSOR WITH HOLD ... FOR UPDATE is not supported");
        return sql_detail("Holdable cursors must be READ ONLY.");
    }
    return ERR_OK;
}

err_t
session_declare_run(struct session_run *run, const DeclareCursorStmt *node, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    const struct sql_sink *outer = run->sink;
    RawStmt query = *raw;
    struct sql_portal *portal = NULL;
    struct keep keep = {.budget = sql_session_budget(session), .outer = outer};
    const struct sql_sink sink = keep_sink(&keep);
    err_t err;

    TRY(cursor_check(session, node));
    TRY(sql_portal_open(session, node->portalname, NULL, &portal));
    keep.portal = portal;
    portal->is_cursor = true;
    portal->has_run = true;
    portal->is_binary = (node->options & CURSOR_OPT_BINARY) != 0;
    portal->is_holdable = (node->options & CURSOR_OPT_HOLD) != 0;
    portal->is_forward_only = (node->options & CURSOR_OPT_NO_SCROLL) != 0;
    portal->text = slice_from_text(session_raw_text(run, raw, &portal->arena));
    query.stmt = node->query;
    run->sink = &sink;
    err = session_query_run(run, &query);
    run->sink = outer;
    (void)snprintf(run->tag, sizeof(run->tag), "DECLARE CURSOR");
    (void)snprintf(portal->tag, sizeof(portal->tag), "SELECT 0");
out:
    if (err != ERR_OK) {
        sql_portal_close(session, portal);
    }
    return err;
}

/* ---- FETCH, MOVE, CLOSE ---- */

static err_t
back_check(const struct sql_portal *portal)
{
    if (!portal->is_forward_only) {
        return ERR_OK;
    }
    (void)sql_error("55000", "cursor can only scan forward");
    return sql_hint("Declare it with SCROLL option to enable backward scan.");
}

/* FORWARD 0 and RELATIVE 0: the row where it stands, again. */
static err_t
again(struct sql_portal *portal, const struct sql_sink *sink, uint64_t *rows_out)
{
    bool is_on_row = portal->at > 0 && portal->at <= portal->rows.count;

    *rows_out = is_on_row;
    return is_on_row && sink != NULL ? rows_send(portal, portal->at - 1, 1, false, sink) : ERR_OK;
}

static err_t
go_to(struct sql_portal *portal, int64_t place, const struct sql_sink *sink, uint64_t *rows_out)
{
    uint64_t total = portal->rows.count, behind = (uint64_t)-place;
    uint64_t wanted = place >= 0 ? (uint64_t)place : behind <= total ? total + 1 - behind : 0;

    if (wanted < portal->at || place < 0) {
        err_t err = back_check(portal);

        if (err != ERR_OK) {
            return err;
        }
    }
    portal->at = MIN(wanted, total + 1);
    return again(portal, sink, rows_out);
}

static err_t
fetch(struct sql_portal *portal, const FetchStmt *node, const struct sql_sink *sink,
      uint64_t *rows_out)
{
    int64_t count = node->howMany;
    bool is_all = count == FETCH_ALL;
    err_t err;

    switch (node->direction) {
    case FETCH_ABSOLUTE:
        return go_to(portal, count, sink, rows_out);
    case FETCH_RELATIVE:
        if (count != 0) {
            uint64_t place = portal->at;

            TRY(count < 0 ? back_check(portal) : ERR_OK);
            portal->at = count > 0 ? MIN(place + (uint64_t)count, portal->rows.count + 1ULL)
                         : (uint64_t)-count >= place ? 0
                                                     : place - (uint64_t)-count;
        }
        return again(portal, sink, rows_out);
    default:
        break;
    }
    if (count == 0) {
        return again(portal, sink, rows_out);
    }
    if ((node->direction == FETCH_BACKWARD) != (count < 0)) {
        TRY(back_check(portal));
        return backward(portal, is_all ? UINT64_MAX : (uint64_t)(count < 0 ? -count : count), sink,
                        rows_out);
    }
    return forward(portal, is_all ? UINT64_MAX : (uint64_t)(count < 0 ? -count : count), sink,
                   rows_out);
out:
    return err;
}

err_t
session_fetch_run(struct session_run *run, const FetchStmt *node)
{
    struct sql_session *session = run->session;
    struct sql_portal *portal = sql_portal_find(session, node->portalname);
    const struct sql_sink *sink = run->sink;
    uint64_t rows = 0;
    err_t err = ERR_OK;

    if (portal == NULL) {
        return sql_error("34000", "cursor \"%s\" does not exist", node->portalname);
    }
    if (!portal->has_run) {
        TRY(all_kept(session, portal, sink));
    }
    if (!node->ismove) {
        TRY(sink->describe(sink->arg, portal->columns, portal->column_count));
    }
    TRY(fetch(portal, node, node->ismove ? NULL : sink, &rows));
    (void)snprintf(run->tag, sizeof(run->tag), "%s %llu", node->ismove ? "MOVE" : "FETCH",
                   (unsigned long long)rows);
out:
    return err;
}

err_t
session_close_run(struct sql_session *session, const ClosePortalStmt *node, const char **tag_out)
{
    struct sql_portal *portal;

    *tag_out = node->portalname == NULL ? "CLOSE CURSOR ALL" : "CLOSE CURSOR";
    if (node->portalname == NULL) {
        session_portals_drop_all(session);
        return ERR_OK;
    }
    portal = sql_portal_find(session, node->portalname);
    if (portal == NULL) {
        return sql_error("34000", "cursor \"%s\" does not exist", node->portalname);
    }
    sql_portal_close(session, portal);
    return ERR_OK;
}
