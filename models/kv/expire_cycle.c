/* models/kv/expire_cycle.c - active expiry: removes keys whose time has come, unasked.
 *
 * The expiry index of each keyspace is sorted by time, so a round looks at entries that are due
 * and at no others. Deleted entries stay in the tree as tombstones until compaction; to pass them
 * only once, a round begins at kv->expire_from_ms: before it no entry is left. Commands here lower
 * that mark in the step in which their entry becomes visible. Entries of commits over several
 * shards, and of interactive transactions, come without that: one round a minute is whole. */
#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum {
    DUE_KEYS_MAX = 64, /* Gathered at a time, before they are removed. */
    WORK_UNITS_PER_KEY = 20,
    HZ_MIN = 1,
    HZ_MAX = 500,
    FAILURE_PAUSE_US = 1000000,
    WHOLE_ROUND_MS = 60000,
};

struct due {
    uint64_t expire_ms;
    uint64_t id;
    struct slice name; /* In the arena of the round. */
};

/* The entries of one keyspace that are due, at most DUE_KEYS_MAX, in order of time. */
static YIELDS err_t
due_gather(struct kv *kv, uint8_t kind, uint32_t keyspace, uint64_t from_ms, uint64_t now_ms,
           struct arena *arena, struct due *dues, uint32_t *count_out)
{
    uint8_t lower[KV_EXPIRY_PREFIX_BYTES];
    uint8_t upper[KV_EXPIRY_PREFIX_BYTES];
    bool is_field = kind == KV_KIND_FIELD_EXPIRY;
    size_t size = is_field ? kv_field_expiry_encode(lower, keyspace, from_ms, 0, slice_of(NULL, 0))
                           : kv_expiry_encode(lower, keyspace, from_ms, 0, slice_of(NULL, 0));
    struct store_snapshot snapshot;
    struct lsm_iter *iter = NULL;
    struct kv_key_parts parts;
    err_t err;

    if (is_field) {
        kv_field_expiry_encode(upper, keyspace, now_ms, 0, slice_of(NULL, 0));
    } else {
        kv_expiry_encode(upper, keyspace, now_ms, 0, slice_of(NULL, 0));
    }
    *count_out = 0;
    store_snapshot_take(kv->store, &snapshot);
    TRY(store_scan_open(kv->store, &snapshot, slice_of(lower, size), slice_of(upper, size), &iter));
    TRY(lsm_iter_first(iter));
    while (lsm_iter_is_valid(iter) && *count_out < DUE_KEYS_MAX) {
        TRY(kv_key_decode(lsm_iter_entry(iter)->key, &parts));
        dues[(*count_out)++] = (struct due){
            .expire_ms = parts.expire_ms,
            .id = parts.id,
            .name = arena_copy(arena, parts.name),
        };
        TRY(lsm_iter_next(iter));
    }
    err = ERR_OK;
out:
    lsm_iter_close(&iter);
    store_snapshot_drop(kv->store, &snapshot);
    return err;
}

static YIELDS err_t
due_remove(struct kv *kv, uint8_t kind, uint32_t keyspace, const struct due *due, uint64_t now_ms)
{
    err_t err;

    kv_gate_enter_shared(kv);
    if (kind == KV_KIND_FIELD_EXPIRY) {
        err = kv_expire_fields(kv, keyspace, due->id, due->name, now_ms, due->expire_ms);
    } else {
        err = kv_expire_key(kv, keyspace, due->id, due->name, now_ms, due->expire_ms);
    }
    kv_gate_leave_shared(kv);
    return err;
}

/* Remove what is due in one keyspace: keys, or fields of hashes. *reached_ms_out: nothing before it
 * is left. */
static YIELDS err_t
keyspace_expire(struct kv *kv, uint8_t kind, uint32_t keyspace, uint64_t from_ms, uint64_t now_ms,
                uint64_t *reached_ms_out)
{
    struct due dues[DUE_KEYS_MAX];
    struct arena arena;
    uint32_t count;
    err_t err = ERR_OK;

    arena_init(&arena, MEM_BACKGROUND);
    *reached_ms_out = from_ms;
    do {
        arena_reset(&arena);
        TRY(due_gather(kv, kind, keyspace, from_ms, now_ms, &arena, dues, &count));
        for (uint32_t i = 0; i < count && !kv->is_closing && kv->config.active_expire; i++) {
            TRY(due_remove(kv, kind, keyspace, &dues[i], now_ms));
            from_ms = dues[i].expire_ms;
            fiber_work(WORK_UNITS_PER_KEY);
        }
        *reached_ms_out = count < DUE_KEYS_MAX ? now_ms : from_ms;
    } while (count == DUE_KEYS_MAX && !kv->is_closing && kv->config.active_expire);
    if (kv->is_closing || !kv->config.active_expire) {
        *reached_ms_out = from_ms; /* Left before the end. */
    }
out:
    arena_fini(&arena);
    return err;
}

/* One round over all keyspaces. */
static YIELDS err_t
expire_round(struct kv *kv)
{
    static const uint8_t kinds[] = {KV_KIND_EXPIRY, KV_KIND_FIELD_EXPIRY};
    uint64_t now_ms = io_wall_us() / 1000;
    uint64_t from_ms = kv->expire_from_ms;
    uint64_t reached_all_ms = now_ms;
    err_t err = ERR_OK;

    if (now_ms <= from_ms) { /* The wall clock went back. */
        return ERR_OK;
    }
    if (now_ms >= kv->expire_whole_ms) {
        kv->expire_whole_ms = now_ms + WHOLE_ROUND_MS;
        from_ms = 0;
    }
    /* From here on commits lower the mark again if they put something before it. */
    kv->expire_from_ms = now_ms;
    for (uint32_t keyspace = 0; keyspace < kv->config.databases; keyspace++) {
        for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++) {
            uint64_t reached_ms = from_ms;

            if (store_counter(kv->store, i == 0 ? kv_counter_expires(keyspace)
                                                : kv_counter_fields(keyspace)) == 0) {
                continue;
            }
            if (err == ERR_OK) {
                err = keyspace_expire(kv, kinds[i], keyspace, from_ms, now_ms, &reached_ms);
            }
            reached_all_ms = MIN(reached_all_ms, reached_ms);
        }
    }
    kv->expire_from_ms = MIN(kv->expire_from_ms, reached_all_ms);
    kv->stats.expire_cycles++;
    return err;
}

void
kv_expire_fiber(void *arg)
{
    struct kv *kv = arg;

    while (!kv->is_closing) {
        uint32_t hz = MIN(MAX(kv->config.hz, (uint32_t)HZ_MIN), (uint32_t)HZ_MAX);
        uint64_t pause_us = 1000000 / hz;

        if (kv->config.active_expire && shard_now_us() >= kv->expire_paused_until_us) {
            err_t err = expire_round(kv);

            if (err != ERR_OK) {
                LOG_W("kv: active expiry: %s", err_message(err));
                pause_us = FAILURE_PAUSE_US;
            }
        }
        if (kv->config.memory_bytes_max != 0) {
            (void)kv_memory_make_room(kv); /* The limit may have been lowered. */
        }
        if (!kv->is_closing) {
            (void)cond_wait_until(&kv->background_cond, shard_now_us() + pause_us);
        }
    }
}
