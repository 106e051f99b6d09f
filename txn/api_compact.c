/* txn/api_compact.c - compaction of everything, asked for through the C API. */
#include "engine/base/assert.h"
#include "lsm/lsm.h"
#include "txn/api.h"
#include "txn/internal.h"

#include "engine/base/poison.h"

static YIELDS err_t
compact_run(void *arg)
{
    struct store *store = store_self();
    struct lsm *lsm = store_lsm(store);
    err_t err;

    (void)arg;
    /* What was overwritten just now is kept until then. */
    TRY(horizon_catch_up(&store->horizon));
    while (!lsm_can_rotate(lsm)) { /* Writers may take the room that a flush made. */
        TRY(lsm_flush(lsm));
    }
    /* Nothing suspends between append and apply: all that was appended is in the memtable. */
    store_rotate(store, store_appended(store));
    TRY(lsm_compact(lsm, (struct slice){0}, (struct slice){0}));
out:
    return err;
}

int
orbit_compact(struct orbit *db)
{
    uint8_t none[ORBIT_SHARDS_MAX] = {0};

    OBJ_CHECK(db, API_MAGIC);
    return api_result(api_call_all(db, compact_run, none, sizeof(none[0])));
}
