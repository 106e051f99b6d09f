/* net/monitor.c - what took long on this shard: bounded rings, written by dispatch. */
#include "net/monitor.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "models/kv/reply.h"
#include "net/config.h"
#include "net/config_table.h"

#include "engine/base/poison.h"

/* ---- Slow log ---- */

struct slowlog *
slowlog_new(void)
{
    struct slowlog *slowlog = MEM_NEW(MEM_RUNTIME, struct slowlog);

    list_init(&slowlog->entries);
    return slowlog;
}

void
slowlog_trim(struct slowlog *slowlog, uint64_t max)
{
    while (slowlog->count > max) {
        struct list *oldest = slowlog->entries.previous;
        struct slowlog_entry *entry = LIST_ENTRY(oldest, struct slowlog_entry, link);

        list_remove(oldest);
        mem_free(MEM_RUNTIME, entry, sizeof(*entry) + entry->reply_bytes);
        slowlog->count--;
    }
}

void
slowlog_free(struct slowlog **slowlog)
{
    if (*slowlog == NULL) {
        return;
    }
    slowlog_trim(*slowlog, 0);
    MEM_FREE(MEM_RUNTIME, *slowlog);
}

/* A password, or the value of a parameter that holds one. */
static bool
argument_is_secret(const struct kv_request *request, uint32_t index)
{
    const char *name = command_full_name(request->command);

    if (strcmp(name, "auth") == 0) {
        return index > 0;
    }
    if (strcmp(name, "acl|setuser") == 0 || strcmp(name, "acl|deluser") == 0 ||
        strcmp(name, "acl|getuser") == 0) {
        return index > 1;
    }
    if (strcmp(name, "hello") == 0) {
        return (index > 2 && command_word_is(request->argv[index - 1], "AUTH")) ||
               (index > 3 && command_word_is(request->argv[index - 2], "AUTH"));
    }
    if (strcmp(name, "config|set") == 0 && index > 2 && index % 2 == 1) {
        int32_t parameter = config_find(request->argv[index - 1]);

        return parameter >= 0 && (config_parameters[parameter].flags & CONFIG_SENSITIVE) != 0;
    }
    return false;
}

static void
argument_put(struct reply *reply, const struct kv_request *request, uint32_t index)
{
    struct slice argument = request->argv[index];

    if (argument_is_secret(request, index)) {
        reply_bulk_text(reply, "(redacted)");
    } else if (argument.size > SLOWLOG_ARG_BYTES_MAX) {
        char text[SLOWLOG_ARG_BYTES_MAX + 48];
        int more = snprintf(text + SLOWLOG_ARG_BYTES_MAX, sizeof(text) - SLOWLOG_ARG_BYTES_MAX,
                            "... (%zu more bytes)", argument.size - SLOWLOG_ARG_BYTES_MAX);

        memcpy(text, argument.data, SLOWLOG_ARG_BYTES_MAX);
        reply_bulk(reply, slice_of(text, SLOWLOG_ARG_BYTES_MAX + (size_t)more));
    } else {
        reply_bulk(reply, argument);
    }
}

static void
arguments_put(struct reply *reply, const struct kv_request *request)
{
    uint32_t shown = request->argc;

    if (shown > SLOWLOG_ARGS_MAX) {
        shown = SLOWLOG_ARGS_MAX - 1;
    }
    reply_array(reply, MIN(request->argc, (uint32_t)SLOWLOG_ARGS_MAX));
    for (uint32_t i = 0; i < shown; i++) {
        argument_put(reply, request, i);
    }
    if (shown < request->argc) {
        char text[48];

        snprintf(text, sizeof(text), "... (%u more arguments)", request->argc - shown);
        reply_bulk_text(reply, text);
    }
}

void
slowlog_note(struct net *net, struct session *session, const struct kv_request *request,
             uint64_t usec)
{
    struct slowlog *slowlog = net->slowlog;
    uint64_t max = MIN(config_values(net->config)->slowlog_max_len, (uint64_t)SLOWLOG_ENTRIES_MAX);
    uint64_t wall_us = io_wall_us();
    struct slowlog_entry *entry;
    struct reply reply;
    uint64_t id;

    if (max == 0 || (request->command->flags & CMD_SKIP_SLOWLOG) != 0) {
        return;
    }
    id = slowlog->next_id++ * shard_count() + shard_id();
    reply_init(&reply, 2);
    reply_array(&reply, 6);
    reply_int(&reply, (int64_t)id);
    reply_int(&reply, (int64_t)(wall_us / 1000000));
    reply_int(&reply, (int64_t)usec);
    arguments_put(&reply, request);
    reply_bulk_text(&reply, session->peer);
    reply_bulk_text(&reply, session->name != NULL ? session->name : "");
    entry = mem_alloc(MEM_RUNTIME, sizeof(*entry) + reply.buf.size);
    entry->id = id;
    entry->wall_us = wall_us;
    entry->reply_bytes = reply.buf.size;
    memcpy(entry->reply, reply.buf.data, reply.buf.size);
    reply_fini(&reply);
    list_push_front(&slowlog->entries, &entry->link);
    slowlog->count++;
    slowlog_trim(slowlog, max);
}

/* ---- Latency ---- */

struct latency *
latency_new(void)
{
    return MEM_NEW(MEM_RUNTIME, struct latency);
}

void
latency_free(struct latency **latency)
{
    if (*latency != NULL) {
        MEM_FREE(MEM_RUNTIME, *latency);
    }
}

const struct latency_event *
latency_find(const struct latency *latency, struct slice name)
{
    for (uint32_t i = 0; i < latency->event_count; i++) {
        if (command_word_is(name, latency->events[i].name)) {
            return &latency->events[i];
        }
    }
    return NULL;
}

/* NULL when there are too many kinds. */
static struct latency_event *
event_provide(struct latency *latency, const char *name)
{
    struct latency_event *event =
        (struct latency_event *)latency_find(latency, slice_from_text(name));

    if (event == NULL && latency->event_count < LATENCY_EVENTS_MAX) {
        event = &latency->events[latency->event_count++];
        memset(event, 0, sizeof(*event));
        snprintf(event->name, sizeof(event->name), "%s", name);
    }
    return event;
}

const struct latency_sample *
latency_sample_at(const struct latency_event *event, uint32_t index)
{
    ASSERT(index < event->count);
    return &event->samples[(event->first + index) % LATENCY_SAMPLES_MAX];
}

static void
sample_push(struct latency_event *event, struct latency_sample sample)
{
    if (event->count == LATENCY_SAMPLES_MAX) {
        event->first = (event->first + 1) % LATENCY_SAMPLES_MAX;
        event->count--;
    }
    event->samples[(event->first + event->count++) % LATENCY_SAMPLES_MAX] = sample;
}

void
latency_note(struct net *net, const char *name, uint64_t ms)
{
    struct latency_event *event = event_provide(net->latency, name);
    uint64_t now_s = io_wall_us() / 1000000;
    uint32_t last;

    if (event == NULL) {
        return;
    }
    event->seen++;
    event->max_ms = MAX(event->max_ms, ms);
    last = (event->first + event->count + LATENCY_SAMPLES_MAX - 1) % LATENCY_SAMPLES_MAX;
    if (event->count > 0 && event->samples[last].wall_s == now_s) {
        event->samples[last].ms = MAX(event->samples[last].ms, ms);
    } else {
        sample_push(event, (struct latency_sample){now_s, ms});
    }
}

/* Two runs of samples by time become one. */
static void
event_merge(struct latency_event *into, const struct latency_event *from)
{
    struct latency_event old = *into;
    uint32_t a = 0;
    uint32_t b = 0;

    into->max_ms = MAX(into->max_ms, from->max_ms);
    into->seen += from->seen;
    into->first = 0;
    into->count = 0;
    while (a < old.count || b < from->count) {
        const struct latency_sample *left = a < old.count ? latency_sample_at(&old, a) : NULL;
        const struct latency_sample *right = b < from->count ? latency_sample_at(from, b) : NULL;
        struct latency_sample sample;

        if (right == NULL || (left != NULL && left->wall_s <= right->wall_s)) {
            sample = *left;
            a++;
            if (right != NULL && right->wall_s == sample.wall_s) {
                sample.ms = MAX(sample.ms, right->ms);
                b++;
            }
        } else {
            sample = *right;
            b++;
        }
        sample_push(into, sample);
    }
}

void
latency_merge(struct latency *into, const struct latency *from)
{
    for (uint32_t i = 0; i < from->event_count; i++) {
        struct latency_event *event = event_provide(into, from->events[i].name);

        if (event != NULL) {
            event_merge(event, &from->events[i]);
        }
    }
}

void
latency_reset(struct latency *latency, struct slice name)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < latency->event_count; i++) {
        if (name.size > 0 && !command_word_is(name, latency->events[i].name)) {
            latency->events[kept++] = latency->events[i];
        }
    }
    latency->event_count = kept;
}
