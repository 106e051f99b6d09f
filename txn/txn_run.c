/* txn/txn_run.c - transactions by id: sessions anywhere drive them on their home shard. Also the
 * shard's table of transactions. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/advisory.h"
#include "txn/deadlock.h"
#include "txn/slots.h"
#include "txn/token.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

/* ---- Statements of one transaction, one at a time. ---- */

static struct txn *
txn_find(struct txns *txns, uint64_t id)
{
    LIST_FOR_EACH(node, &txns->by_id[id % TXNS_BUCKETS]) {
        struct txn *txn = LIST_ENTRY(node, struct txn, id_link);

        if (txn->part.txn == id) {
            return txn;
        }
    }
    return NULL;
}

static err_t
gone(void)
{
    return err_set(ERR_NOT_FOUND, "the transaction has ended");
}

/* Let it go: the last one who holds an ended transaction frees it. */
static void
txn_release(struct txn *txn)
{
    txn->users--;
    if (txn->users == 0 && txn->is_ended) {
        txn_give(txn);
    }
}

static YIELDS err_t
statement_run(uint64_t id, txn_fn fn, void *arg)
{
    struct txns *txns = txns_self();
    struct txn *txn = txn_find(txns, id);
    err_t err = ERR_OK;

    if (txn == NULL) {
        return gone();
    }
    txn->users++;
    fiber_mutex_lock(&txn->busy);
    if (txn->is_ended) {
        err = gone();
    } else {
        txn_busy_begin(txn);
        txn->state = "active";
        fn(txn, arg);
    }
    fiber_mutex_unlock(&txn->busy);
    if (!txn->is_ended) {
        txn->state = "idle";
        txn_idle_begin(txn);
    }
    txn_release(txn);
    return err;
}

struct run {
    uint64_t id;
    txn_fn fn;
    void *arg;
    err_t err; /* Out. */
};

static YIELDS void
run_run(void *arg)
{
    struct run *run = arg;

    run->err = statement_run(run->id, run->fn, run->arg);
}

err_t
txn_run(uint64_t id, txn_fn fn, void *arg)
{
    struct run run = {.id = id, .fn = fn, .arg = arg};

    if (txn_id_home(id) >= shard_count()) {
        return gone();
    }
    if (txn_id_home(id) == shard_id()) {
        return statement_run(id, fn, arg);
    }
    msg_call(txn_id_home(id), MSG_FIBER, run_run, &run);
    return run.err == ERR_OK ? ERR_OK : gone();
}

struct ending {
    struct txn_done done;
    uint32_t session_shard;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static YIELDS void
commit_run(struct txn *txn, void *arg)
{
    struct ending *ending = arg;
    struct store *store = txns_self()->store;

    ending->err = txn_commit(&txn, &ending->done);
    if (ending->err != ERR_OK) {
        snprintf(ending->message, sizeof(ending->message), "%s", err_message(ending->err));
    } else if (ending->session_shard != shard_id()) {
        /* The position is of this shard's log: nobody there can wait for it. */
        if (store_durability(store) == WAL_SYNC) {
            store_wait_durable(store, ending->done.lsn);
        }
        ending->done.lsn = 0;
    }
}

err_t
txn_commit_id(uint64_t id, struct txn_done *done_out)
{
    struct ending ending = {.session_shard = shard_id()};
    err_t err;

    TRY(txn_run(id, commit_run, &ending));
    if (ending.err != ERR_OK) {
        return err_set(ending.err, "%s", ending.message);
    }
    if (done_out != NULL) {
        *done_out = ending.done;
    }
out:
    return err;
}

static YIELDS void
abort_run(struct txn *txn, void *arg)
{
    (void)arg;
    txn_abort(&txn);
}

err_t
txn_abort_id(uint64_t id)
{
    return txn_run(id, abort_run, NULL);
}

/* ---- Sessions that drive it. ---- */

static void
detach_step(void *arg)
{
    uint64_t *id = arg;
    struct txns *txns = txns_self();
    struct txn *txn = txns == NULL ? NULL : txn_find(txns, *id);

    if (txn == NULL || --txn->sessions > 0) {
        *id = 0;
    }
}

void
txn_detach(uint64_t id)
{
    uint64_t last = id;

    if (txn_id_home(id) < shard_count()) {
        msg_call(txn_id_home(id), MSG_INLINE, detach_step, &last);
    }
    if (last != 0) {
        (void)txn_abort_id(id); /* It may end by itself meanwhile. */
    }
}

/* ---- Idle for too long. ---- */

/* A statement may have begun, and ended, since the timer fired. */
static bool
is_overdue(const struct txn *txn)
{
    uint64_t now_us = shard_now_us();

    return (txn->options.idle_timeout_us != 0 &&
            now_us >= txn->active_us + txn->options.idle_timeout_us) ||
           (txn->options.ends_by_itself && txn->options.deadline_us != 0 &&
            now_us >= txn->options.deadline_us);
}

static YIELDS void
overdue_run(struct txn *txn, void *arg)
{
    (void)arg;
    if (is_overdue(txn)) {
        LOG_I("txn: rolls back a transaction that was idle or open for too long");
        txn_abort(&txn);
    }
}

static YIELDS void
idle_abort(void *arg)
{
    uint64_t *id = arg;

    (void)statement_run(*id, overdue_run, NULL); /* It may have ended meanwhile. */
    mem_free(MEM_RUNTIME, id, sizeof(*id));
}

void
txn_idle_fired(struct timer *timer)
{
    struct txn *txn = CONTAINER_OF(timer, struct txn, idle_timer);
    struct txns *txns = txns_self();
    uint64_t *id = mem_alloc(MEM_RUNTIME, sizeof(*id));

    *id = txn->part.txn;
    if (!fiber_group_spawn(&txns->background, "txn-idle", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                           idle_abort, id)) {
        mem_free(MEM_RUNTIME, id, sizeof(*id));
        timer_start(&txn->idle_timer, shard_now_us() + TXN_IDLE_AGAIN_US);
    }
}

/* ---- The shard's transactions. ---- */

err_t
txns_open(struct txns **txns_out)
{
    struct txns *txns = MEM_NEW(MEM_RUNTIME, struct txns);
    err_t err;

    ASSERT(txns_self() == NULL);
    txns->magic = TXNS_MAGIC;
    txns->store = store_self();
    ASSERT(txns->store != NULL);
    txns->locks = locks_new();
    txns->advisories = advisories_new();
    txns->tokens = token_table_new();
    list_init(&txns->interactive);
    list_init(&txns->prepared);
    for (uint32_t i = 0; i < TXNS_BUCKETS; i++) {
        list_init(&txns->by_id[i]);
        list_init(&txns->parts[i]);
    }
    fiber_group_init(&txns->background);
    /* Numbers begin where the clock stands, so that ids of an earlier life are not met again. */
    txns->next_number =
        (store_read_ts(txns->store) >> CLOCK_COUNTER_BITS) & ((UINT64_C(1) << 47) - 1);
    shard_slot_set(SHARD_SLOT_TXN, txns);
    TRY(commits_open(txns));
    TRY(slots_open(txns));
    *txns_out = txns;
out:
    if (err != ERR_OK) {
        txns_close(&txns);
    }
    return err;
}

static YIELDS void
interactive_abort_all(struct txns *txns)
{
    while (!list_is_empty(&txns->interactive)) {
        struct txn *txn = LIST_ENTRY(txns->interactive.next, struct txn, link);

        (void)statement_run(txn->part.txn, abort_run, NULL);
    }
}

void
txns_close(struct txns **txns_ref)
{
    struct txns *txns = *txns_ref;

    if (txns == NULL) {
        return;
    }
    OBJ_CHECK(txns, TXNS_MAGIC);
    txns->is_closing = true;
    interactive_abort_all(txns);
    fiber_group_wait(&txns->background);
    commits_close(txns);
    slots_close(txns);
    deadlock_close(txns->locks);
    shard_slot_set(SHARD_SLOT_TXN, NULL);
    while (txns->kept_count > 0) {
        txn_destroy(txns->kept[--txns->kept_count]);
    }
    token_table_free(&txns->tokens);
    advisories_free(&txns->advisories);
    locks_free(&txns->locks);
    txns->magic = 0;
    MEM_FREE(MEM_RUNTIME, txns);
    *txns_ref = NULL;
}

/* Of all parts, as they were when they last answered. */
static struct part_cost
cost_of(const struct txn *txn)
{
    struct part_cost cost = part_cost_of(&txn->part);

    for (uint32_t i = 0; txn->remotes != NULL && i < shard_count(); i++) {
        const struct txn_remote *remote = &txn->remotes[i];

        cost.writes += remote->cost.writes + remote->pending.batch.ops;
        cost.write_bytes += remote->cost.write_bytes + overlay_bytes(&remote->pending);
        cost.locks += remote->cost.locks;
        cost.reads += remote->cost.reads;
    }
    return cost;
}

void
txn_visit(void (*visit)(void *arg, const struct txn_info *info), void *arg)
{
    struct txns *txns = txns_self();

    LIST_FOR_EACH(node, &txns->interactive) {
        const struct txn *txn = LIST_ENTRY(node, struct txn, link);
        const struct part *part = &txn->part;
        struct part_cost cost = cost_of(txn);
        struct txn_info info = {
            .id = part->txn,
            .snapshot = part->snapshot,
            .begun_us = txn->begun_us,
            .active_us = txn->active_us,
            .statements = txn->moment.statement,
            .writes = cost.writes,
            .write_bytes = cost.write_bytes,
            .locks = cost.locks,
            .reads = cost.reads,
            .state = txn->state,
            .isolation = part->isolation,
            .read_only = part->read_only,
            .principal = txn->options.principal,
            .protocol = txn->options.protocol,
        };

        visit(arg, &info);
    }
}

void
txn_stats_get(struct txn_stats *stats)
{
    struct txns *txns = txns_self();

    *stats = (struct txn_stats){
        .open = txns->interactive_count,
        .begun = txns->counters.begun,
        .committed = txns->counters.committed,
        .aborted = txns->counters.aborted,
        .serialization_failures = txns->counters.serialization_failures,
        .oldest_snapshot = UINT64_MAX,
    };
    lock_stats_get(txns->locks, &stats->locks);
    LIST_FOR_EACH(node, &txns->interactive) {
        const struct txn *txn = LIST_ENTRY(node, struct txn, link);

        stats->oldest_snapshot = MIN(stats->oldest_snapshot, txn->part.snapshot);
    }
}
