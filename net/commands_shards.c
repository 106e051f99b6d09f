/* net/commands_shards.c - ORBIT.SHARDS: slots, sizes, load of each shard, for orbitctl shards. */
#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/dispatch.h"
#include "net/net.h"
#include "txn/reshard.h"

#include "engine/base/poison.h"

/* One shard, as it says itself. */
struct row {
    uint32_t slots, slots_wanted, clients;
    uint64_t keys, commands, commands_per_second;
    struct lsm_stats lsm;
    uint64_t log_bytes;
    bool is_retired;
};

struct shards {
    struct row *rows; /* [shard_count()] */
    struct reshard_stats move;
    uint64_t now_us;
};

static YIELDS void
row_fill(void *arg)
{
    struct row *row = arg;
    struct net *net = net_self();
    struct kv_stats stats;

    kv_stats_get(net->kv, &stats);
    for (uint32_t db = 0; db < kv_config(net->kv)->databases; db++) {
        row->keys += (uint64_t)MAX(stats.keys[db], INT64_C(0));
    }
    lsm_stats_get(store_lsm(net->store), &row->lsm);
    row->slots = reshard_slots_owned(&row->slots_wanted);
    row->clients = net->session_count;
    row->commands = net->counters.commands;
    row->commands_per_second = net->rates.commands;
    row->log_bytes = store_appended(net->store) - lsm_flushed_lsn(store_lsm(net->store));
    row->is_retired = store_is_retired(net->store);
}

static YIELDS void
move_fill(void *arg)
{
    struct shards *shards = arg;

    reshard_stats_get(&shards->move);
    shards->now_us = shard_now_us();
}

static void
field_int(struct reply *reply, const char *name, uint64_t value)
{
    reply_bulk_text(reply, name);
    reply_int(reply, (int64_t)value);
}

static void
field_text(struct reply *reply, const char *name, const char *value)
{
    reply_bulk_text(reply, name);
    reply_bulk_text(reply, value);
}

static const char *
state_of(const struct row *row)
{
    if (row->is_retired) {
        return "retired";
    }
    if (row->slots_wanted == 0) {
        return "leaving";
    }
    return row->slots == row->slots_wanted ? "serving" : "moving";
}

static void
move_put(struct reply *reply, const struct shards *shards)
{
    const struct reshard_stats *move = &shards->move;
    uint64_t ended_us = move->ended_us != 0 ? move->ended_us : shards->now_us;

    field_int(reply, "slots_left", move->slots_left);
    field_int(reply, "slots_moved", move->slots_moved);
    field_int(reply, "keys_moved", move->keys);
    field_int(reply, "bytes_moved", move->bytes);
    field_int(reply, "groups_moved", move->groups);
    field_int(reply, "retries", move->retries);
    field_int(reply, "blocked_by", move->blocked_by);
    field_int(reply, "move_us", ended_us - MIN(ended_us, move->began_us));
    field_int(reply, "hold_us_max", move->hold_us_max);
    field_text(reply, "last_retry", move->last_error);
}

static YIELDS void
run_shards(struct session *session, struct kv_request *request)
{
    size_t bytes = shard_count() * sizeof(struct row);
    struct shards shards = {.rows = mem_zalloc(MEM_SESSIONS, bytes)};

    (void)session;
    msg_call_all(MSG_FIBER, row_fill, shards.rows, sizeof(struct row));
    msg_call(0, MSG_FIBER, move_fill, &shards);
    reply_array(request->reply, shard_count());
    for (uint32_t i = 0; i < shard_count(); i++) {
        const struct row *row = &shards.rows[i];

        reply_map(request->reply, i == 0 ? 21 : 11);
        field_int(request->reply, "shard", i);
        field_text(request->reply, "state", state_of(row));
        field_int(request->reply, "slots", row->slots);
        field_int(request->reply, "slots_wanted", row->slots_wanted);
        field_int(request->reply, "keys", row->keys);
        field_int(request->reply, "disk_bytes", row->lsm.disk_bytes);
        field_int(request->reply, "memtable_bytes", row->lsm.memtable_bytes);
        field_int(request->reply, "log_bytes", row->log_bytes);
        field_int(request->reply, "commands", row->commands);
        field_int(request->reply, "commands_per_second", row->commands_per_second);
        field_int(request->reply, "clients", row->clients);
        if (i == 0) {
            move_put(request->reply, &shards);
        }
    }
    mem_free(MEM_SESSIONS, shards.rows, bytes);
}

const struct net_command net_commands_shards[] = {
    {"orbit.shards", run_shards},
    {NULL, NULL},
};
