/* txn/api_shards.c - a folder that is opened with another number of shards than last time: what the
 * C API has there moves in the background (docs/resharding.md). */
#include "txn/api_shards.h"

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "txn/reshard.h"
#include "txn/slots.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

/* ---- Where a key lies. ---- */

uint32_t
api_shard_of(const struct orbit *db, struct slice key)
{
    return db->shards == 1 ? 0 : db->homes[slot_of_key(key)];
}

bool
api_key_is_here(struct slice key)
{
    return shard_count() == 1 || !slots_has_left(txns_self()->slots, slot_of_key(key), shard_id());
}

/* ---- Before the start. ---- */

static YIELDS err_t
plan_run(void *arg)
{
    struct orbit *db = arg;

    return reshard_plan(db->wanted, &db->shards);
}

err_t
api_shards_plan(struct orbit *db, const char *dir)
{
    struct runtime_options options = {.shards = 1, .data_dir = dir};
    err_t err;

    db->shards = 1;
    if (db->mode == ORBIT_INLINE) {
        return ERR_OK; /* The one shard does it. */
    }
    TRY(runtime_start(&options, &db->runtime));
    err = api_call(db, 0, plan_run, db);
    runtime_stop(&db->runtime);
out:
    return err;
}

err_t
api_shards_plan_inline(struct orbit *db)
{
    err_t err;

    TRY(plan_run(db));
    if (db->shards > 1) {
        err = err_set(ERR_FORMAT,
                      "the folder has %u shards, and inline there is one: open it with "
                      "ORBIT_THREADS and one shard first, until orbit_shards_get says that all "
                      "has moved",
                      db->shards);
    }
out:
    return err;
}

/* ---- The mover. ---- */

static YIELDS err_t
copy(struct slots_move *move)
{
    const uint8_t lower[] = {API_MODEL_TAG}, upper[] = {API_MODEL_TAG + 1};

    return slots_move_range(move, slice_of(lower, sizeof(lower)), slice_of(upper, sizeof(upper)));
}

struct due {
    const struct orbit *db;
    bool is_due;
};

static YIELDS err_t
due_run(void *arg)
{
    struct due *due = arg;

    due->is_due = reshard_is_due(due->db->wanted);
    return ERR_OK;
}

/* Is anything there between the bounds? An empty upper bound: to the end. */
static YIELDS err_t
none_check(const struct orbit *db, struct store_snapshot *snapshot, struct slice lower,
           struct slice upper)
{
    struct lsm_iter *iter = NULL;
    err_t err;

    TRY(store_scan_open(store_self(), snapshot, lower, upper, &iter));
    TRY(lsm_iter_first(iter));
    if (lsm_iter_is_valid(iter)) {
        err =
            err_set(ERR_UNSUPPORTED,
                    "the folder has %u shards, and data of orbit-server, which alone can move it: "
                    "start orbit-server with --shards %u on it first",
                    shard_count(), db->wanted);
    }
out:
    lsm_iter_close(&iter);
    return err;
}

/* What belongs to shards themselves does not move: tag 0. */
static YIELDS err_t
foreign_run(void *arg)
{
    const struct orbit *db = *(struct orbit *const *)arg;
    const uint8_t before[] = {1}, own[] = {API_MODEL_TAG}, behind[] = {API_MODEL_TAG + 1};
    struct store_snapshot snapshot;
    err_t err;

    store_snapshot_take(store_self(), &snapshot);
    TRY(none_check(db, &snapshot, slice_of(before, sizeof(before)), slice_of(own, sizeof(own))));
    err = none_check(db, &snapshot, slice_of(behind, sizeof(behind)), slice_of(NULL, 0));
out:
    store_snapshot_drop(store_self(), &snapshot);
    return err;
}

/* Calls go to where a key is to be in the end: until then it costs a message more. */
static YIELDS err_t
mover_open(void *arg)
{
    struct orbit *db = arg;
    struct reshard_options options = {.shards = db->wanted, .copy = copy};
    err_t err;

    TRY(reshard_open(&options));
    reshard_targets_get(db->homes);
out:
    return err;
}

static YIELDS err_t
mover_close(void *arg)
{
    (void)arg;
    reshard_close();
    return ERR_OK;
}

err_t
api_shards_open(struct orbit *db)
{
    struct due due = {.db = db};
    err_t err;

    TRY(api_call(db, 0, due_run, &due));
    if (due.is_due) {
        struct orbit *each[SHARDS_MAX];

        for (uint32_t i = 0; i < db->shards; i++) {
            each[i] = db;
        }
        TRY(api_call_all(db, foreign_run, each, sizeof(each[0])));
    }
    db->homes = mem_zalloc(MEM_SESSIONS, SLOT_COUNT * sizeof(db->homes[0]));
    err = api_call(db, 0, mover_open, db);
out:
    return err;
}

void
api_shards_close(struct orbit *db)
{
    if (db->homes != NULL) {
        (void)api_call(db, 0, mover_close, NULL);
        mem_free(MEM_SESSIONS, db->homes, SLOT_COUNT * sizeof(db->homes[0]));
        db->homes = NULL;
    }
}

/* ---- Asking. ---- */

static YIELDS err_t
stats_run(void *arg)
{
    struct reshard_stats *stats = arg;

    reshard_stats_get(stats);
    return ERR_OK;
}

int
orbit_shards_get(struct orbit *db, struct orbit_shards *shards_out)
{
    struct reshard_stats stats;
    err_t err;

    TRY(api_call(db, 0, stats_run, &stats));
    *shards_out = (struct orbit_shards){
        .wanted = db->wanted,
        .running = db->shards,
        .is_moving = stats.is_moving,
        .slots_left = stats.slots_left,
        .keys_moved = stats.keys,
    };
out:
    return api_result(err);
}
