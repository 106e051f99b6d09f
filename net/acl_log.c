/* net/acl_log.c - what was refused, and to whom: one log, on shard 0. */
#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/acl_catalog.h"
#include "net/config.h"

#include "engine/base/poison.h"

static void
entry_free(struct acl *acl, struct acl_log_entry *entry)
{
    list_remove(&entry->link);
    session_text_set(&entry->user, SLICE(""));
    session_text_set(&entry->object, SLICE(""));
    session_text_set(&entry->client, SLICE(""));
    MEM_FREE(MEM_SESSIONS, entry);
    acl->log_count--;
}

static void
log_trim(struct acl *acl, uint64_t max)
{
    while (acl->log_count > max) {
        entry_free(acl, LIST_ENTRY(acl->log.previous, struct acl_log_entry, link));
    }
}

void
acl_log_clear(struct acl *acl)
{
    log_trim(acl, 0);
}

/* ---- Noting ---- */

struct note {
    const char *reason, *context;
    struct slice user, object;
    struct buf client;
};

static struct slice
text_of(const char *text)
{
    return slice_from_text(text != NULL ? text : "");
}

static struct acl_log_entry *
entry_like(struct acl *acl, const struct note *note, uint64_t now_ms)
{
    LIST_FOR_EACH(node, &acl->log) {
        struct acl_log_entry *entry = LIST_ENTRY(node, struct acl_log_entry, link);

        if (strcmp(entry->reason, note->reason) == 0 &&
            strcmp(entry->context, note->context) == 0 &&
            now_ms - MIN(now_ms, entry->updated_ms) <= ACL_LOG_MERGE_MS &&
            slice_equal(text_of(entry->user), note->user) &&
            slice_equal(text_of(entry->object), note->object)) {
            return entry;
        }
    }
    return NULL;
}

/* At shard 0. */
static void
note_here(void *arg)
{
    struct note *note = arg;
    struct net *net = net_self();
    struct acl *acl = net->acl;
    uint64_t max = MIN(config_values(net->config)->acllog_max_len, (uint64_t)ACL_LOG_ENTRIES_MAX);
    uint64_t now_ms = io_wall_us() / 1000;
    struct acl_log_entry *entry = entry_like(acl, note, now_ms);

    if (entry == NULL) {
        entry = MEM_NEW(MEM_SESSIONS, struct acl_log_entry);
        list_init(&entry->link);
        entry->id = acl->next_log_id++;
        entry->created_ms = now_ms;
        entry->reason = note->reason;
        entry->context = note->context;
        session_text_set(&entry->user, note->user);
        session_text_set(&entry->object, note->object);
        acl->log_count++;
    }
    entry->count++;
    entry->updated_ms = now_ms;
    session_text_set(&entry->client, buf_slice(&note->client));
    list_remove(&entry->link);
    list_push_front(&acl->log, &entry->link);
    log_trim(acl, max);
}

/* A text in the log ends at its first NUL. */
static struct slice
cut(struct slice text)
{
    const uint8_t *end = memchr(text.data, '\0', text.size);

    return slice_of(text.data, MIN(end != NULL ? (size_t)(end - text.data) : text.size,
                                   (size_t)ACL_TEXT_BYTES_MAX));
}

static YIELDS void
note_send(struct session *session, struct note *note)
{
    buf_init(&note->client, MEM_SESSIONS);
    session_describe(session, &note->client);
    if (note->client.size > 0 && note->client.data[note->client.size - 1] == '\n') {
        note->client.size--;
    }
    note->user = cut(note->user);
    note->object = cut(note->object);
    msg_call(0, MSG_FIBER, note_here, note);
    buf_fini(&note->client);
}

void
acl_log_denial(struct session *session, const struct acl_denial *denial, enum acl_context context)
{
    static const char *const contexts[] = {"toplevel", "multi", "lua"};
    static const char *const reasons[] = {
        [ACL_DENIED_COMMAND] = "command",
        [ACL_DENIED_KEY] = "key",
        [ACL_DENIED_CHANNEL] = "channel",
        [ACL_DENIED_OPTION] = "key",
    };
    struct note note = {
        .reason = reasons[denial->result],
        .context = contexts[context],
        .user = session->origin.principal,
        .object = denial->object,
    };
    struct net_counters *counters = &net_self()->counters;

    counters->acl_commands += denial->result == ACL_DENIED_COMMAND;
    counters->acl_keys += denial->result == ACL_DENIED_KEY || denial->result == ACL_DENIED_OPTION;
    counters->acl_channels += denial->result == ACL_DENIED_CHANNEL;
    note_send(session, &note);
}

void
acl_log_login(struct session *session, struct slice user_name, struct slice word)
{
    struct note note = {
        .reason = "auth",
        .context = session->multi != NULL ? "multi" : "toplevel",
        .user = user_name,
        .object = word,
    };

    note_send(session, &note);
}

/* ---- ACL LOG ---- */

struct log_read {
    uint64_t count;
    uint8_t resp;
    struct reply reply; /* Out. */
};

static void
entry_reply(struct reply *reply, const struct acl_log_entry *entry, uint64_t now_ms)
{
    reply_map(reply, 10);
    reply_bulk_text(reply, "count");
    reply_int(reply, (int64_t)entry->count);
    reply_bulk_text(reply, "reason");
    reply_bulk_text(reply, entry->reason);
    reply_bulk_text(reply, "context");
    reply_bulk_text(reply, entry->context);
    reply_bulk_text(reply, "object");
    reply_bulk(reply, text_of(entry->object));
    reply_bulk_text(reply, "username");
    reply_bulk(reply, text_of(entry->user));
    reply_bulk_text(reply, "age-seconds");
    reply_double(reply, (double)(now_ms - MIN(now_ms, entry->updated_ms)) / 1000.0);
    reply_bulk_text(reply, "client-info");
    reply_bulk(reply, text_of(entry->client));
    reply_bulk_text(reply, "entry-id");
    reply_int(reply, (int64_t)entry->id);
    reply_bulk_text(reply, "timestamp-created");
    reply_int(reply, (int64_t)entry->created_ms);
    reply_bulk_text(reply, "timestamp-last-updated");
    reply_int(reply, (int64_t)entry->updated_ms);
}

static void
read_here(void *arg)
{
    struct log_read *read = arg;
    struct acl *acl = net_self()->acl;
    uint64_t left = MIN(read->count, (uint64_t)acl->log_count);
    uint64_t now_ms = io_wall_us() / 1000;

    reply_init(&read->reply, read->resp);
    reply_array(&read->reply, left);
    LIST_FOR_EACH(node, &acl->log) {
        if (left-- == 0) {
            break;
        }
        entry_reply(&read->reply, LIST_ENTRY(node, struct acl_log_entry, link), now_ms);
    }
    mem_disown(MEM_SESSIONS, read->reply.buf.data, read->reply.buf.capacity);
}

void
acl_log_reply(struct kv_request *request, uint64_t count)
{
    struct log_read read = {.count = count, .resp = request->reply->resp};

    msg_call(0, MSG_FIBER, read_here, &read);
    mem_adopt(MEM_SESSIONS, read.reply.buf.data, read.reply.buf.capacity);
    buf_append(&request->reply->buf, read.reply.buf.data, read.reply.buf.size);
    reply_fini(&read.reply);
}

static void
reset_here(void *arg)
{
    (void)arg;
    acl_log_clear(net_self()->acl);
}

void
acl_log_reset(void)
{
    msg_call(0, MSG_FIBER, reset_here, NULL);
}
