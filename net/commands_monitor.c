/* net/commands_monitor.c - SLOWLOG, LATENCY and MEMORY: what is slow and what takes room, over all
 * shards. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/config.h"
#include "net/dispatch.h"
#include "net/monitor.h"
#include "net/news.h"
#include "net/observe.h"
#include "net/process.h"
#include "net/totals.h"

#include "engine/base/poison.h"

enum { SLOWLOG_GET_DEFAULT = 10 };

static YIELDS void
run_help(struct session *session, struct kv_request *request)
{
    (void)session;
    dispatch_help(request);
}

/* ---- SLOWLOG ---- */

/* An entry that a shard has handed over. */
struct slow_item {
    uint64_t wall_us, id;
    uint64_t offset; /* In the shard's bytes. */
    uint64_t size;
};

struct slow_call {
    uint64_t max;     /* Entries wanted. */
    struct buf items; /* Out: struct slow_item, newest first. */
    struct buf bytes; /* Out: their replies. */
};

static YIELDS void
slow_call_here(void *arg)
{
    struct slow_call *call = arg;
    struct slowlog *slowlog = net_self()->slowlog;
    uint64_t taken = 0;

    slowlog_trim(slowlog, config_values(net_self()->config)->slowlog_max_len);
    buf_init(&call->items, MEM_SESSIONS);
    buf_init(&call->bytes, MEM_SESSIONS);
    LIST_FOR_EACH(node, &slowlog->entries) {
        const struct slowlog_entry *entry = LIST_ENTRY(node, struct slowlog_entry, link);
        struct slow_item item = {entry->wall_us, entry->id, call->bytes.size, entry->reply_bytes};

        if (taken++ == call->max) {
            break;
        }
        buf_append(&call->items, &item, sizeof(item));
        buf_append(&call->bytes, entry->reply, entry->reply_bytes);
    }
    mem_disown(MEM_SESSIONS, call->items.data, call->items.capacity);
    mem_disown(MEM_SESSIONS, call->bytes.data, call->bytes.capacity);
}

/* The newest entry among those not yet taken from the shards' lists; NULL when all are. */
static const struct slow_item *
slow_newest(const struct slow_call *calls, uint32_t *taken, uint32_t *shard_out)
{
    const struct slow_item *newest = NULL;

    for (uint32_t i = 0; i < shard_count(); i++) {
        const struct slow_item *items = (const struct slow_item *)calls[i].items.data;
        uint64_t count = calls[i].items.size / sizeof(*items);

        if (taken[i] < count && (newest == NULL || items[taken[i]].wall_us > newest->wall_us)) {
            newest = &items[taken[i]];
            *shard_out = i;
        }
    }
    if (newest != NULL) {
        taken[*shard_out]++;
    }
    return newest;
}

/* The newest `max` entries of all shards; or with a NULL reply only how many there are. */
static YIELDS uint64_t
slow_gather(uint64_t max, struct reply *reply)
{
    struct slow_call calls[SHARDS_MAX];
    uint32_t taken[SHARDS_MAX] = {0};
    uint64_t count = 0;

    for (uint32_t i = 0; i < shard_count(); i++) {
        calls[i] = (struct slow_call){.max = max};
    }
    msg_call_all(MSG_FIBER, slow_call_here, calls, sizeof(calls[0]));
    for (uint32_t i = 0; i < shard_count(); i++) {
        mem_adopt(MEM_SESSIONS, calls[i].items.data, calls[i].items.capacity);
        mem_adopt(MEM_SESSIONS, calls[i].bytes.data, calls[i].bytes.capacity);
        count += calls[i].items.size / sizeof(struct slow_item);
    }
    count = MIN(count, max);
    if (reply != NULL) {
        reply_array(reply, count);
    }
    for (uint64_t n = 0; reply != NULL && n < count; n++) {
        uint32_t shard = 0;
        const struct slow_item *item = slow_newest(calls, taken, &shard);

        ASSERT(item != NULL);
        buf_append(&reply->buf, calls[shard].bytes.data + item->offset, item->size);
    }
    for (uint32_t i = 0; i < shard_count(); i++) {
        buf_fini(&calls[i].items);
        buf_fini(&calls[i].bytes);
    }
    return count;
}

static YIELDS void
run_slowlog_get(struct session *session, struct kv_request *request)
{
    uint64_t max = config_values(session->net->config)->slowlog_max_len;
    int64_t count = SLOWLOG_GET_DEFAULT;

    if (request->argc > 3) {
        reply_error(request->reply,
                    "ERR unknown subcommand or wrong number of arguments for '%.*s'. "
                    "Try SLOWLOG HELP.",
                    (int)MIN(request->argv[1].size, (size_t)128),
                    (const char *)request->argv[1].data);
        return;
    }
    if (request->argc == 3 && (!reply_parse_int(request->argv[2], &count) || count < -1)) {
        reply_error(request->reply, "ERR count should be greater than or equal to -1");
        return;
    }
    slow_gather(count < 0 ? max : MIN((uint64_t)count, max), request->reply);
}

static YIELDS void
run_slowlog_len(struct session *session, struct kv_request *request)
{
    uint64_t max = config_values(session->net->config)->slowlog_max_len;

    reply_int(request->reply, (int64_t)slow_gather(max, NULL));
}

static YIELDS void
slow_reset_here(void *arg)
{
    (void)arg;
    slowlog_trim(net_self()->slowlog, 0);
}

static YIELDS void
run_slowlog_reset(struct session *session, struct kv_request *request)
{
    uint8_t nothing[SHARDS_MAX];

    (void)session;
    msg_call_all(MSG_FIBER, slow_reset_here, nothing, 1);
    reply_ok(request->reply);
}

/* ---- LATENCY HISTOGRAM ---- */

/* Powers of two in nanoseconds that are shown: from about 1 us to about 18 minutes. */
enum { HISTOGRAM_POWER_MIN = 10, HISTOGRAM_POWER_MAX = 40 };

static void
histogram_put(struct reply *reply, const char *name, const struct hist *hist, uint64_t calls)
{
    uint64_t before = 0;
    uint64_t pairs = 0;

    for (int pass = 0; pass < 2; pass++, before = 0) {
        if (pass == 1) {
            reply_bulk_text(reply, name);
            reply_map(reply, 2);
            reply_bulk_text(reply, "calls");
            reply_int(reply, (int64_t)calls);
            reply_bulk_text(reply, "histogram_usec");
            reply_map(reply, pairs);
        }
        for (unsigned power = HISTOGRAM_POWER_MIN; power <= HISTOGRAM_POWER_MAX; power++) {
            uint64_t below =
                power == HISTOGRAM_POWER_MAX ? hist->count : totals_count_below(hist, power);

            if (below == before) {
                continue;
            }
            before = below;
            if (pass == 0) {
                pairs++;
            } else {
                reply_int(reply, (int64_t)((UINT64_C(1) << power) / 1000));
                reply_int(reply, (int64_t)below);
            }
        }
    }
}

/* Marks the commands that an argument names: a container means its subcommands. */
static void
histogram_pick(bool *picked, struct slice name)
{
    const struct command *command = command_find(name);

    if (command == NULL) {
        return;
    }
    picked[command_id(command)] = true;
    for (uint32_t i = 0; i < command->subcommand_count; i++) {
        picked[command_id(&command->subcommands[i])] = true;
    }
}

static YIELDS void
run_latency_histogram(struct session *session, struct kv_request *request)
{
    bool *picked = arena_alloc(request->arena, command_ids() * sizeof(*picked));
    struct totals *totals = totals_gather();
    struct hist *hist = MEM_NEW(MEM_SESSIONS, struct hist);
    uint64_t pairs = 0;

    (void)session;
    memset(picked, request->argc == 2, command_ids() * sizeof(*picked));
    for (uint32_t i = 2; i < request->argc; i++) {
        histogram_pick(picked, request->argv[i]);
    }
    for (uint32_t id = 0; id < totals->command_count; id++) {
        picked[id] = picked[id] && totals->commands[id].calls > 0;
        pairs += picked[id];
    }
    reply_map(request->reply, pairs);
    for (uint32_t id = 0; id < totals->command_count; id++) {
        if (picked[id]) {
            totals_latency(id, hist);
            histogram_put(request->reply, command_full_name(command_by_id(id)), hist, hist->count);
        }
    }
    MEM_FREE(MEM_SESSIONS, hist);
    totals_free(&totals);
}

/* ---- LATENCY: events ---- */

struct latency_call {
    struct latency *all;
    bool should_reset;
    struct slice name; /* Of what should be reset; empty: all. */
};

static YIELDS void
latency_visit(void *arg)
{
    const struct latency_call *call = arg;
    struct latency *latency = net_self()->latency;

    latency_merge(call->all, latency);
    if (call->should_reset) {
        latency_reset(latency, call->name);
    }
}

/* Of all shards together; latency_free. */
static YIELDS struct latency *
latency_gather(void)
{
    struct latency_call call = {.all = latency_new()};

    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_FIBER, latency_visit, &call);
    }
    return call.all;
}

static YIELDS void
run_latency_history(struct session *session, struct kv_request *request)
{
    struct latency *all = latency_gather();
    const struct latency_event *event = latency_find(all, request->argv[2]);
    uint32_t count = event != NULL ? event->count : 0;

    (void)session;
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct latency_sample *sample = latency_sample_at(event, i);

        reply_array(request->reply, 2);
        reply_int(request->reply, (int64_t)sample->wall_s);
        reply_int(request->reply, (int64_t)sample->ms);
    }
    latency_free(&all);
}

static YIELDS void
run_latency_latest(struct session *session, struct kv_request *request)
{
    struct latency *all = latency_gather();

    (void)session;
    reply_array(request->reply, all->event_count);
    for (uint32_t i = 0; i < all->event_count; i++) {
        const struct latency_event *event = &all->events[i];
        const struct latency_sample *last = latency_sample_at(event, event->count - 1);

        reply_array(request->reply, 4);
        reply_bulk_text(request->reply, event->name);
        reply_int(request->reply, (int64_t)last->wall_s);
        reply_int(request->reply, (int64_t)last->ms);
        reply_int(request->reply, (int64_t)event->max_ms);
    }
    latency_free(&all);
}

static YIELDS void
run_latency_reset(struct session *session, struct kv_request *request)
{
    uint64_t count = 0;

    (void)session;
    for (uint32_t i = request->argc == 2 ? 1 : 2; i < request->argc; i++) {
        struct latency_call call = {.all = latency_new(), .should_reset = true};

        call.name = request->argc == 2 ? slice_of(NULL, 0) : request->argv[i];
        for (uint32_t shard = 0; shard < shard_count(); shard++) {
            msg_call(shard, MSG_FIBER, latency_visit, &call);
        }
        if (request->argc == 2) {
            count += call.all->event_count;
        } else if (call.name.size > 0) {
            count += latency_find(call.all, call.name) != NULL;
        }
        latency_free(&call.all);
    }
    reply_int(request->reply, (int64_t)count);
}

/* ---- LATENCY GRAPH: one column a sample, the newest on the right ---- */

enum { GRAPH_ROWS = 4, GRAPH_COLUMNS = 80, GRAPH_LEVELS = GRAPH_ROWS * 3 };

/* Filled from the bottom in thirds of a row. */
static char
graph_cell(uint32_t level, uint32_t row_from_below)
{
    static const char partial[] = {' ', '_', 'o', '#'};
    uint32_t below = row_from_below * 3;

    return partial[level <= below ? 0 : MIN(level - below, 3u)];
}

static void
age_put(struct buf *out, uint64_t age_s)
{
    if (age_s < 100) {
        buf_printf(out, "%llus", (unsigned long long)age_s);
    } else if (age_s < 6000) {
        buf_printf(out, "%llum", (unsigned long long)(age_s / 60));
    } else if (age_s < 360000) {
        buf_printf(out, "%lluh", (unsigned long long)(age_s / 3600));
    } else {
        buf_printf(out, "%llud", (unsigned long long)(age_s / 86400));
    }
}

static void
graph_put(const struct latency_event *event, struct buf *out)
{
    uint32_t columns = MIN(event->count, (uint32_t)GRAPH_COLUMNS);
    uint32_t first = event->count - columns;
    uint64_t high = 0;
    uint64_t low = UINT64_MAX;

    for (uint32_t i = 0; i < columns; i++) {
        high = MAX(high, latency_sample_at(event, first + i)->ms);
        low = MIN(low, latency_sample_at(event, first + i)->ms);
    }
    buf_printf(out, "%s - high %llu ms, low %llu ms (all time high %llu ms)\n", event->name,
               (unsigned long long)high, (unsigned long long)low,
               (unsigned long long)event->max_ms);
    for (uint32_t i = 0; i < GRAPH_COLUMNS; i++) {
        buf_append_byte(out, '-');
    }
    buf_append_byte(out, '\n');
    for (uint32_t row = GRAPH_ROWS; row > 0; row--) {
        for (uint32_t i = 0; i < columns; i++) {
            uint64_t ms = latency_sample_at(event, first + i)->ms;
            uint64_t level =
                high > low ? 1 + (ms - low) * (GRAPH_LEVELS - 1) / (high - low) : GRAPH_LEVELS / 2;

            buf_append_byte(out, (uint8_t)graph_cell((uint32_t)level, row - 1));
        }
        buf_append_byte(out, '\n');
    }
    buf_append(out, "oldest sample ", 14);
    age_put(out, io_wall_us() / 1000000 - latency_sample_at(event, first)->wall_s);
    buf_append(out, " ago, newest ", 13);
    age_put(out, io_wall_us() / 1000000 - latency_sample_at(event, event->count - 1)->wall_s);
    buf_append(out, " ago\n", 5);
}

static YIELDS void
run_latency_graph(struct session *session, struct kv_request *request)
{
    struct latency *all = latency_gather();
    const struct latency_event *event = latency_find(all, request->argv[2]);

    (void)session;
    if (event == NULL) {
        reply_error(request->reply, "ERR No samples available for event '%.*s'",
                    (int)MIN(request->argv[2].size, (size_t)128),
                    (const char *)request->argv[2].data);
    } else {
        struct buf text;

        buf_init(&text, MEM_SESSIONS);
        graph_put(event, &text);
        reply_verbatim(request->reply, "txt", buf_slice(&text));
        buf_fini(&text);
    }
    latency_free(&all);
}

/* ---- LATENCY DOCTOR ---- */

static void
doctor_event(const struct latency_event *event, struct buf *out)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < event->count; i++) {
        sum += latency_sample_at(event, i)->ms;
    }
    buf_printf(
        out, "- %s: %llu noted, %u seconds with one kept; on average %llu ms, at worst %llu ms.\n",
        event->name, (unsigned long long)event->seen, event->count,
        (unsigned long long)(sum / event->count), (unsigned long long)event->max_ms);
}

static YIELDS void
run_latency_doctor(struct session *session, struct kv_request *request)
{
    uint64_t threshold = config_values(session->net->config)->latency_threshold_ms;
    struct latency *all = latency_gather();
    struct totals *totals = totals_gather();
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    if (threshold == 0) {
        buf_printf(&text, "Nothing is watched: latency-monitor-threshold is 0. CONFIG SET it to "
                          "the milliseconds from which a command is too slow for you.\n");
    } else if (all->event_count == 0) {
        buf_printf(&text, "No command has taken %llu ms or longer.\n",
                   (unsigned long long)threshold);
    }
    for (uint32_t i = 0; i < all->event_count; i++) {
        doctor_event(&all->events[i], &text);
    }
    buf_printf(&text,
               "The log makes a batch durable in %llu us (median), %llu us (99 of 100), at worst "
               "%llu us.\n",
               (unsigned long long)totals->wal.commit_us_p50,
               (unsigned long long)totals->wal.commit_us_p99,
               (unsigned long long)totals->wal.commit_us_max);
    if (totals->lsm.stalls > 0) {
        buf_printf(&text,
                   "Writers have waited %llu times for flushes, %llu ms in all: the disk takes "
                   "less than is written, or --memory is small for the load.\n",
                   (unsigned long long)totals->lsm.stalls,
                   (unsigned long long)(totals->lsm.stall_us / 1000));
    }
    if (all->event_count > 0) {
        buf_printf(&text, "SLOWLOG GET shows which commands were slow.\n");
    }
    reply_verbatim(request->reply, "txt", buf_slice(&text));
    buf_fini(&text);
    totals_free(&totals);
    latency_free(&all);
}

/* ---- MEMORY ---- */

static const char *const memory_names[MEM_TAG_COUNT] = {
    [MEM_RUNTIME] = "runtime", [MEM_MEMTABLE] = "memtables", [MEM_CACHE] = "cache",
    [MEM_TABLES] = "tables",   [MEM_SESSIONS] = "sessions",  [MEM_BACKGROUND] = "background",
};

static void
stat_put(struct reply *reply, const char *name, uint64_t value)
{
    reply_bulk_text(reply, name);
    reply_int(reply, (int64_t)value);
}

static YIELDS void
run_memory_stats(struct session *session, struct kv_request *request)
{
    struct totals *totals = totals_gather();
    struct reply *reply = request->reply;
    uint64_t data = totals->memory[MEM_MEMTABLE] + totals->memory[MEM_CACHE];
    uint64_t resident = process_resident_bytes();
    uint64_t keys = 0;

    for (uint32_t db = 0; db < KV_DATABASES_MAX; db++) {
        keys += (uint64_t)totals->kv.keys[db];
    }
    reply_map(reply, 11 + MEM_TAG_COUNT);
    stat_put(reply, "peak.allocated", totals->memory_peak);
    stat_put(reply, "total.allocated", totals->memory_total);
    stat_put(reply, "budget", session->net->options->memory_bytes);
    stat_put(reply, "clients.normal", totals->memory[MEM_SESSIONS]);
    stat_put(reply, "overhead.total", totals->memory_total - data);
    stat_put(reply, "keys.count", keys);
    stat_put(reply, "dataset.bytes", data);
    reply_bulk_text(reply, "dataset.percentage");
    reply_double(
        reply, totals->memory_total > 0 ? 100.0 * (double)data / (double)totals->memory_total : 0);
    reply_bulk_text(reply, "peak.percentage");
    reply_double(reply, totals->memory_peak > 0
                            ? 100.0 * (double)totals->memory_total / (double)totals->memory_peak
                            : 0);
    stat_put(reply, "process.resident", resident);
    reply_bulk_text(reply, "fragmentation");
    reply_double(reply,
                 totals->memory_total > 0 ? (double)resident / (double)totals->memory_total : 0);
    for (uint32_t tag = 0; tag < MEM_TAG_COUNT; tag++) {
        char name[32];

        snprintf(name, sizeof(name), "orbit.%s", memory_names[tag]);
        stat_put(reply, name, totals->memory[tag]);
    }
    totals_free(&totals);
}

static YIELDS void
run_memory_doctor(struct session *session, struct kv_request *request)
{
    struct totals *totals = totals_gather();
    uint64_t budget = session->net->options->memory_bytes;
    uint64_t resident = process_resident_bytes();
    uint64_t asked = totals->lsm.cache_hits + totals->lsm.cache_misses;
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    buf_printf(&text, "%llu of %llu MiB of the budget are in use; the process holds %llu MiB.\n",
               (unsigned long long)(totals->memory_total >> 20), (unsigned long long)(budget >> 20),
               (unsigned long long)(resident >> 20));
    if (totals->memory_total > budget) {
        buf_printf(&text, "The budget is exceeded: large requests or replies are on their way.\n");
    }
    if (asked > 0) {
        buf_printf(&text, "The block cache answers %llu of 100 block reads.\n",
                   (unsigned long long)(100 * totals->lsm.cache_hits / asked));
    }
    if (totals->memory[MEM_SESSIONS] > budget / 4) {
        buf_printf(&text, "Clients hold more than a quarter of the budget: CLIENT LIST tells "
                          "whose buffers are large.\n");
    }
    reply_verbatim(request->reply, "txt", buf_slice(&text));
    buf_fini(&text);
    totals_free(&totals);
}

static YIELDS void
run_memory_malloc_stats(struct session *session, struct kv_request *request)
{
    struct buf text;

    (void)session;
    buf_init(&text, MEM_SESSIONS);
    process_allocator_stats(&text);
    reply_verbatim(request->reply, "txt", buf_slice(&text));
    buf_fini(&text);
}

static YIELDS void
run_memory_purge(struct session *session, struct kv_request *request)
{
    (void)session;
    process_allocator_purge();
    reply_ok(request->reply);
}

static YIELDS void
run_monitor(struct session *session, struct kv_request *request)
{
    if (request->txn != NULL) {
        reply_error(request->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    observe_begin(session);
    reply_ok(request->reply);
    news_settle(session->net->news);
}

const struct net_command net_commands_monitor[] = {
    {"monitor", run_monitor},
    {"slowlog|get", run_slowlog_get},
    {"slowlog|len", run_slowlog_len},
    {"slowlog|reset", run_slowlog_reset},
    {"slowlog|help", run_help},
    {"latency|histogram", run_latency_histogram},
    {"latency|history", run_latency_history},
    {"latency|latest", run_latency_latest},
    {"latency|reset", run_latency_reset},
    {"latency|graph", run_latency_graph},
    {"latency|doctor", run_latency_doctor},
    {"latency|help", run_help},
    {"memory|stats", run_memory_stats},
    {"memory|doctor", run_memory_doctor},
    {"memory|malloc-stats", run_memory_malloc_stats},
    {"memory|purge", run_memory_purge},
    {"memory|help", run_help},
    {NULL, NULL},
};
