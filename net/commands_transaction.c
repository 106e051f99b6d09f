/* net/commands_transaction.c - MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * Commands are queued as words, and EXEC runs them as one transaction (kv_execute_multi). What was
 * watched is read again in that transaction. */
#include "engine/base/assert.h"
#include "net/acl.h"
#include "net/dispatch.h"
#include "net/tracking.h"
#include "net/transaction.h"

#include "engine/base/poison.h"

enum { LENGTH_BYTES = 8 };

/* ---- The queue ---- */

static bool
is_run_at_once(const struct command *command)
{
    static const char *const names[] = {"exec", "discard", "multi", "watch", "quit", "reset"};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(command_full_name(command), names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void
entry_add(struct session_multi *multi, const struct command *command, const struct slice *argv,
          uint32_t argc)
{
    const struct multi_entry entry = {command, argc, multi->bytes.size};

    for (uint32_t i = 0; i < argc; i++) {
        uint8_t length[LENGTH_BYTES];

        put_le64(length, argv[i].size);
        buf_append(&multi->bytes, length, sizeof(length));
        buf_append(&multi->bytes, argv[i].data, argv[i].size);
    }
    buf_append(&multi->entries, &entry, sizeof(entry));
    multi->needs_room |= (command->flags & CMD_DENYOOM) != 0;
    multi->count++;
}

bool
multi_queue(struct session *session, const struct command *command, const struct slice *argv,
            uint32_t argc)
{
    struct session_multi *multi = session->multi;
    size_t bytes = multi->bytes.size;

    if (is_run_at_once(command)) {
        return false;
    }
    for (uint32_t i = 0; i < argc; i++) {
        bytes += LENGTH_BYTES + argv[i].size;
    }
    if (bytes > SESSION_MULTI_BYTES_MAX || multi->count == SESSION_MULTI_COMMANDS_MAX) {
        reply_error(&session->output, "ERR a transaction queues at most %d commands of %d bytes",
                    SESSION_MULTI_COMMANDS_MAX, SESSION_MULTI_BYTES_MAX);
        multi->is_failed = true;
        return true;
    }
    entry_add(multi, command, argv, argc);
    reply_simple(&session->output, "QUEUED");
    return true;
}

uint32_t
multi_flags(const struct session_multi *multi)
{
    const struct multi_entry *entries = (const struct multi_entry *)(void *)multi->entries.data;
    uint32_t flags = 0;

    for (uint32_t i = 0; i < multi->count; i++) {
        flags |= entries[i].command->flags;
    }
    return flags;
}

void
multi_note_error(struct session *session)
{
    if (session->multi != NULL) {
        session->multi->is_failed = true;
    }
}

static void
multi_free(struct session_multi **multi)
{
    if (*multi != NULL) {
        buf_fini(&(*multi)->entries);
        buf_fini(&(*multi)->bytes);
        MEM_FREE(MEM_SESSIONS, *multi);
    }
}

void
multi_discard(struct session *session)
{
    multi_free(&session->multi);
    kv_unwatch(&session->watches);
}

void
multi_exec_refused(struct session *session, struct reply_mark mark)
{
    struct reply *reply = &session->output;
    char text[256];
    const char *reason = text;
    size_t size;

    ASSERT(mark.offset >= reply->gone);
    size = MIN(reply->buf.size - (size_t)(mark.offset - reply->gone), sizeof(text) - 1);
    memcpy(text, reply->buf.data + (mark.offset - reply->gone), size);
    text[size] = '\0';
    text[strcspn(text, "\r")] = '\0';
    reply_cut(reply, mark);
    if (strncmp(reason, "-ERR ", 5) == 0) {
        reason += 5;
    } else if (reason[0] == '-') {
        reason++;
    }
    reply_error(reply, "EXECABORT Transaction discarded because of: %s", reason);
    multi_discard(session);
}

/* ---- EXEC ---- */

struct exec {
    struct session *session;
    struct kv_request *requests;
    uint32_t db; /* Where the session stood: SELECT may be among the commands. */
};

/* The rules may have changed since it was queued. */
static YIELDS bool
may_run(struct session *session, struct kv_request *request)
{
    struct acl_denial denial;
    char text[ACL_TEXT_BYTES_MAX];

    if (acl_session_may(session, request->command, request->argv, request->argc, &denial)) {
        return true;
    }
    acl_denial_text(&denial, session->user, false, text);
    reply_error(request->reply,
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and "
                "the EXEC call. This command is no longer allowed for the following reason: %s",
                text);
    acl_log_denial(session, &denial, ACL_MULTI);
    return false;
}

static YIELDS void
exec_run(void *arg, struct kv_request *request)
{
    struct exec *exec = arg;

    if (request == exec->requests) {
        exec->session->db = exec->db;
    }
    request->db = exec->session->db;
    request->no_touch = exec->session->no_touch;
    if (may_run(exec->session, request)) {
        dispatch_execute(exec->session, request);
    }
}

/* The queued words as requests, in the arena; NULL after an error reply. */
static struct kv_request *
requests_build(struct session *session, struct kv_request *exec)
{
    const struct session_multi *multi = session->multi;
    const struct multi_entry *entries = (const struct multi_entry *)(void *)multi->entries.data;
    struct kv_request *requests = arena_alloc(exec->arena, multi->count * sizeof(*requests));

    for (uint32_t i = 0; requests != NULL && i < multi->count; i++) {
        const uint8_t *at = multi->bytes.data + entries[i].words;
        struct slice *argv = arena_alloc(exec->arena, entries[i].argc * sizeof(*argv));

        if (argv == NULL) {
            requests = NULL;
            break;
        }
        for (uint32_t word = 0; word < entries[i].argc; word++) {
            argv[word] = slice_of(at + LENGTH_BYTES, get_le64(at));
            at += LENGTH_BYTES + argv[word].size;
        }
        requests[i] = (struct kv_request){
            .command = entries[i].command,
            .argv = argv,
            .argc = entries[i].argc,
            .db = session->db,
            .host = exec->host,
            .now_ms = exec->now_ms,
        };
    }
    if (requests == NULL) {
        reply_error(exec->reply, "OOM no memory for a transaction of %u commands", multi->count);
    }
    return requests;
}

static YIELDS void
queue_run(struct session *session, struct kv_request *request)
{
    struct exec exec = {.session = session, .db = session->db};
    struct kv_multi multi = {
        .count = session->multi->count,
        .watches = session->watches,
        .reply = request->reply,
        .arena = request->arena,
        .origin = request->origin,
        .now_ms = request->now_ms,
        .run = exec_run,
        .arg = &exec,
    };

    exec.requests = requests_build(session, request);
    if (exec.requests == NULL) {
        return;
    }
    multi.requests = exec.requests;
    for (uint32_t i = 0; session->tracking != NULL && i < multi.count; i++) {
        /* Before the snapshot that all of them read. */
        multi.requests[i].arena = request->arena;
        tracking_note_reads(session, &multi.requests[i]);
    }
    kv_execute_multi(&multi);
    request->lsn = MAX(request->lsn, multi.lsn);
}

static YIELDS void
run_exec(struct session *session, struct kv_request *request)
{
    struct session_multi *multi = session->multi;

    if (multi == NULL) {
        reply_error(request->reply, "ERR EXEC without MULTI");
        return;
    }
    if (multi->is_failed) {
        reply_error(request->reply, "EXECABORT Transaction discarded because of previous errors.");
    } else {
        queue_run(session, request);
    }
    multi_discard(session);
}

static YIELDS void
run_multi(struct session *session, struct kv_request *request)
{
    if (session->multi != NULL) {
        reply_error(request->reply, "ERR MULTI calls can not be nested");
    } else if (session->txn != 0) {
        reply_error(request->reply, "ERR MULTI is not possible in a transaction of ORBIT.BEGIN");
    } else {
        session->multi = MEM_NEW(MEM_SESSIONS, struct session_multi);
        buf_init(&session->multi->entries, MEM_SESSIONS);
        buf_init(&session->multi->bytes, MEM_SESSIONS);
        reply_ok(request->reply);
    }
}

static YIELDS void
run_discard(struct session *session, struct kv_request *request)
{
    if (session->multi == NULL) {
        reply_error(request->reply, "ERR DISCARD without MULTI");
        return;
    }
    multi_discard(session);
    reply_ok(request->reply);
}

static YIELDS void
run_watch(struct session *session, struct kv_request *request)
{
    if (session->multi != NULL) {
        reply_error(request->reply, "ERR WATCH inside MULTI is not allowed");
    } else if (session->txn != 0) {
        reply_error(request->reply, "ERR WATCH is not possible in a transaction of ORBIT.BEGIN");
    } else {
        kv_watch(request, &session->watches);
    }
}

static YIELDS void
run_unwatch(struct session *session, struct kv_request *request)
{
    if (request->txn == NULL) { /* In EXEC the keys have been looked at. */
        kv_unwatch(&session->watches);
    }
    reply_ok(request->reply);
}

const struct net_command net_commands_transaction[] = {
    {"discard", run_discard}, {"exec", run_exec},   {"multi", run_multi},
    {"unwatch", run_unwatch}, {"watch", run_watch}, {NULL, NULL},
};
