/* net/commands_txns.c - ORBIT.TXNS: the open transactions of all shards, for orbitctl txns. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/dispatch.h"
#include "txn/clock.h"
#include "txn/txn.h"

#include "engine/base/poison.h"

enum {
    TXNS_SHOWN_MAX = 1024, /* Of each shard: the oldest ones. */
    TEXT_BYTES_MAX = 64,   /* Of a name: the rest is cut. */
};

/* One transaction, copied out of its shard. */
struct row {
    struct txn_info info; /* Its slices lie in the texts. */
    uint64_t age_us, idle_us;
    char principal[TEXT_BYTES_MAX];
    char protocol[TEXT_BYTES_MAX];
};

/* The asking fiber visits one shard after the other; each fills in the caller's memory. */
struct rows {
    struct row *rows;
    uint32_t count;
    uint32_t end; /* Of this shard's share. */
};

static struct slice
text_copy(char out[TEXT_BYTES_MAX], struct slice text)
{
    size_t size = MIN(text.size, (size_t)TEXT_BYTES_MAX);

    if (size > 0) {
        memcpy(out, text.data, size);
    }
    return slice_of(out, size);
}

static void
row_add(void *arg, const struct txn_info *info)
{
    struct rows *rows = arg;
    uint64_t now_us = shard_now_us();
    struct row *row;

    if (rows->count == rows->end) {
        return;
    }
    row = &rows->rows[rows->count++];
    row->info = *info;
    row->info.principal = text_copy(row->principal, info->principal);
    row->info.protocol = text_copy(row->protocol, info->protocol);
    row->age_us = now_us - MIN(now_us, info->begun_us);
    row->idle_us = strcmp(info->state, "idle") == 0 ? now_us - MIN(now_us, info->active_us) : 0;
}

static YIELDS void
rows_add_here(void *arg)
{
    struct rows *rows = arg;

    rows->end = rows->count + TXNS_SHOWN_MAX;
    txn_visit(row_add, rows);
}

static int
row_compare(const void *a, const void *b)
{
    const struct row *left = a;
    const struct row *right = b;

    if (left->age_us != right->age_us) {
        return left->age_us > right->age_us ? -1 : 1;
    }
    return left->info.id < right->info.id ? -1 : left->info.id > right->info.id;
}

static void
field_int(struct reply *reply, const char *name, uint64_t value)
{
    reply_bulk_text(reply, name);
    reply_int(reply, (int64_t)value);
}

static void
field_text(struct reply *reply, const char *name, struct slice value)
{
    reply_bulk_text(reply, name);
    reply_bulk(reply, value);
}

static void
row_put(struct reply *reply, const struct row *row, uint64_t oldest)
{
    static const char *const isolations[] = {
        [TXN_READ_COMMITTED] = "read committed",
        [TXN_REPEATABLE_READ] = "repeatable read",
        [TXN_SERIALIZABLE] = "serializable",
    };
    const struct txn_info *info = &row->info;
    uint64_t snapshot_us = info->snapshot >> CLOCK_COUNTER_BITS;
    uint64_t wall_us = io_wall_us();

    reply_map(reply, 16);
    field_int(reply, "id", info->id);
    field_text(reply, "state", slice_from_text(info->state));
    field_int(reply, "age_us", row->age_us);
    field_int(reply, "idle_us", row->idle_us);
    field_text(reply, "isolation", slice_from_text(isolations[info->isolation]));
    field_int(reply, "read_only", info->read_only);
    field_int(reply, "snapshot_us", snapshot_us);
    field_int(reply, "snapshot_age_us", wall_us - MIN(wall_us, snapshot_us));
    field_int(reply, "holds_horizon", info->snapshot == oldest);
    field_int(reply, "statements", info->statements);
    field_int(reply, "writes", info->writes);
    field_int(reply, "write_bytes", info->write_bytes);
    field_int(reply, "reads", info->reads);
    field_int(reply, "locks", info->locks);
    field_text(reply, "principal", info->principal);
    field_text(reply, "protocol", info->protocol);
}

static YIELDS void
run_txns(struct session *session, struct kv_request *request)
{
    size_t bytes = (size_t)shard_count() * TXNS_SHOWN_MAX * sizeof(struct row);
    struct rows rows = {.rows = mem_alloc(MEM_SESSIONS, bytes)};
    uint64_t oldest = UINT64_MAX;

    (void)session;
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_FIBER, rows_add_here, &rows);
    }
    qsort(rows.rows, rows.count, sizeof(rows.rows[0]), row_compare);
    for (uint32_t i = 0; i < rows.count; i++) {
        oldest = MIN(oldest, rows.rows[i].info.snapshot);
    }
    reply_array(request->reply, rows.count);
    for (uint32_t i = 0; i < rows.count; i++) {
        row_put(request->reply, &rows.rows[i], oldest);
    }
    mem_free(MEM_SESSIONS, rows.rows, bytes);
}

const struct net_command net_commands_txns[] = {
    {"orbit.txns", run_txns},
    {NULL, NULL},
};
