/* txn/txn.c - the transaction at its home shard: life, statements, savepoints, writes. Reads are
 * in txn_read.c, ids and sessions in txn_run.c. */
#include "txn/txn.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "txn/slots.h"
#include "txn/token.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

enum { SAVEPOINTS_FIRST = 16 };

/* ---- Objects. ---- */

struct txns *
txns_self(void)
{
    return shard_slot_get(SHARD_SLOT_TXN);
}

static struct txn *
txn_take(struct txns *txns)
{
    struct txn *txn;

    if (txns->kept_count > 0) {
        txn = txns->kept[--txns->kept_count];
    } else {
        txn = MEM_NEW(MEM_RUNTIME, struct txn);
        overlay_init(&txn->part.writes, true);
        reads_init(&txn->part.reads);
        buf_init(&txn->part.marks, MEM_RUNTIME);
        buf_init(&txn->origin_bytes, MEM_RUNTIME);
        list_init(&txn->link);
        list_init(&txn->id_link);
    }
    txn->magic = TXN_MAGIC;
    txn->error = ERR_OK;
    txn->moment = (struct part_moment){0};
    txn->savepoint_count = 0;
    txn->savepoint_last = 0;
    txn->remotes = NULL;
    txn->origin = NULL;
    txn->is_ended = false;
    txn->has_token = false;
    txn->is_error_untold = false;
    txn->users = 0;
    txn->sessions = 1;
    txn->hooks = NULL;
    return txn;
}

void
txn_destroy(struct txn *txn)
{
    overlay_fini(&txn->part.writes);
    reads_fini(&txn->part.reads);
    buf_fini(&txn->part.marks);
    buf_fini(&txn->origin_bytes);
    mem_free(MEM_RUNTIME, txn->savepoints, txn->savepoint_capacity * sizeof(*txn->savepoints));
    txn->magic = 0;
    MEM_FREE(MEM_RUNTIME, txn);
}

void
txn_give(struct txn *txn)
{
    struct txns *txns = txns_self();

    OBJ_CHECK(txn, TXN_MAGIC);
    if (txns->kept_count < TXNS_KEPT &&
        txn->part.writes.batch.record.capacity <= (size_t)TXN_BYTES_KEPT &&
        txn->part.reads.bytes.capacity <= (size_t)TXN_BYTES_KEPT) {
        txn->magic = 0;
        txns->kept[txns->kept_count++] = txn;
    } else {
        txn_destroy(txn);
    }
}

static void
remotes_free(struct txn *txn)
{
    if (txn->remotes == NULL) {
        return;
    }
    for (uint32_t i = 0; i < shard_count(); i++) {
        overlay_fini(&txn->remotes[i].pending);
    }
    mem_free(MEM_RUNTIME, txn->remotes, shard_count() * sizeof(*txn->remotes));
    txn->remotes = NULL;
}

void
txn_hook_add(struct txn *txn, struct txn_hook *hook)
{
    OBJ_CHECK(txn, TXN_MAGIC);
    ASSERT(!txn->part.is_auto);
    hook->next = txn->hooks;
    txn->hooks = hook;
}

struct txn_hook *
txn_hook_find(const struct txn *txn,
              void (*run)(struct txn_hook *hook, const struct txn_done *done))
{
    struct txn_hook *hook = txn->hooks;

    while (hook != NULL && hook->run != run) {
        hook = hook->next;
    }
    return hook;
}

static YIELDS void
hooks_run(struct txn *txn, const struct txn_done *done)
{
    while (txn->hooks != NULL) {
        struct txn_hook *hook = txn->hooks;

        txn->hooks = hook->next;
        hook->run(hook, done);
    }
}

/* The shards' entries, once another shard takes part. */
struct txn_remote *
txn_remote_of(struct txn *txn, uint32_t shard)
{
    if (txn->remotes == NULL) {
        txn->remotes = mem_zalloc(MEM_RUNTIME, shard_count() * sizeof(*txn->remotes));
        for (uint32_t i = 0; i < shard_count(); i++) {
            overlay_init(&txn->remotes[i].pending, txn->part.is_auto);
        }
    }
    return &txn->remotes[shard];
}

/* Its parts have ended: the object goes, or waits for those that still hold it. */
static void
txn_end(struct txn **txn_ref)
{
    struct txn *txn = *txn_ref;
    struct txns *txns = txns_self();

    *txn_ref = NULL;
    if (!txn->part.is_auto) {
        timer_stop(&txn->idle_timer);
        list_remove(&txn->link);
        list_remove(&txn->id_link);
        txns->interactive_count--;
        txn->is_ended = true;
        token_forget(txns->tokens, txn);
    }
    part_fini(&txn->part);
    remotes_free(txn);
    if (txn->users == 0) {
        txn_give(txn);
    }
}

/* ---- Beginning. ---- */

static uint64_t
snapshot_now(struct txns *txns)
{
    uint64_t clock = clock_read(&txns->store->clock);

    return shard_count() == 1 || CANARY(SNAPSHOT_BELOW_ACKED) ? clock : MAX(clock, shard_acked());
}

struct txn *
txn_begin_auto(bool read_only, const struct txn_origin *origin)
{
    struct txns *txns = txns_self();
    struct txn *txn = txn_take(txns);

    txn->origin = origin;
    part_init(&txn->part, (uint64_t)shard_id() << TXN_ID_HOME_SHIFT | ++txns->next_number,
              TXN_SERIALIZABLE, true, read_only);
    txn->moment.lock_timeout_us = txns->auto_lock_timeout_us;
    txn->part.moment.lock_timeout_us = txns->auto_lock_timeout_us;
    if (origin != NULL) {
        txn_client_set(txn, origin->client);
    }
    txn->part.epoch = txns->slots->epoch;
    txn->part.snapshot = snapshot_now(txns);
    txn->moment.snapshot = txn->part.snapshot;
    if (shard_count() > 1) {
        clock_raise(&txns->store->clock, txn->part.snapshot);
    }
    if (origin != NULL && !read_only) {
        overlay_origin(&txn->part.writes, origin->principal, origin->protocol, origin->tag);
    }
    return txn;
}

/* A snapshot for an interactive transaction, held from here on. */
static void
snapshot_take(struct txn *txn)
{
    struct txns *txns = txns_self();
    struct part *part = &txn->part;

    if (part->is_held) {
        lsm_snapshot_drop(store_lsm(txns->store), &part->held);
        part->is_held = false;
    }
    part->snapshot = txn->options.as_of != 0 ? txn->options.as_of : snapshot_now(txns);
    txn->moment.snapshot = part->snapshot;
    part_hold(part);
}

static err_t
options_check(struct txns *txns, const struct txn_options *options)
{
    if (txns->interactive_count >= TXNS_MAX) {
        return err_set(ERR_LIMIT, "%d transactions are open on this shard: end some", TXNS_MAX);
    }
    if (options->principal.size + options->protocol.size + options->tag.size >
        STORE_ORIGIN_BYTES_MAX) {
        return err_set(ERR_LIMIT, "the origin of a transaction exceeds %d bytes",
                       STORE_ORIGIN_BYTES_MAX);
    }
    if (options->as_of > snapshot_now(txns)) {
        return err_set(ERR_INVALID, "the timestamp to read at lies in the future");
    }
    if (options->as_of != 0 && options->as_of < horizon_oldest(&txns->store->horizon)) {
        return err_set(ERR_SNAPSHOT_TOO_OLD,
                       "the versions of that time are no longer kept: retention sets for how long");
    }
    return ERR_OK;
}

static struct slice
origin_keep(struct buf *bytes, struct slice text)
{
    uint8_t *at = buf_reserve(bytes, text.size);

    if (text.size > 0) {
        memcpy(at, text.data, text.size);
        bytes->size += text.size;
    }
    return slice_of(at, text.size);
}

static void
options_keep(struct txn *txn, const struct txn_options *options)
{
    struct buf *bytes = &txn->origin_bytes;

    txn->options = *options;
    buf_clear(bytes);
    buf_reserve(bytes, STORE_ORIGIN_BYTES_MAX); /* So that it does not move below. */
    txn->options.principal = origin_keep(bytes, options->principal);
    txn->options.protocol = origin_keep(bytes, options->protocol);
    txn->options.tag = origin_keep(bytes, options->tag);
    txn->moment.lock_timeout_us = options->lock_timeout_us;
    txn->moment.deadline_us = options->deadline_us;
}

err_t
txn_begin(const struct txn_options *options, struct txn **txn_out)
{
    struct txns *txns = txns_self();
    struct txn *txn;
    err_t err;

    store_clock_cover(txns->store);
    TRY(options_check(txns, options));
    txn = txn_take(txns);
    part_init(&txn->part, (uint64_t)shard_id() << TXN_ID_HOME_SHIFT | ++txns->next_number,
              options->isolation, false, options->read_only || options->as_of != 0);
    txn->part.epoch = txns->slots->epoch;
    options_keep(txn, options);
    overlay_origin(&txn->part.writes, txn->options.principal, txn->options.protocol,
                   txn->options.tag);
    snapshot_take(txn);
    txn->begun_us = shard_now_us();
    txn->state = "idle";
    fiber_mutex_init(&txn->busy);
    timer_init(&txn->idle_timer, txn_idle_fired);
    txn->active_us = txn->begun_us;
    if (options->ends_by_itself) {
        txn_idle_begin(txn);
    }
    list_push_back(&txns->interactive, &txn->link);
    list_push_back(&txns->by_id[txn->part.txn % TXNS_BUCKETS], &txn->id_link);
    txns->interactive_count++;
    txns->counters.begun++;
    *txn_out = txn;
out:
    return err;
}

/* ---- Time limits, and clients that go away. ---- */

void
txns_auto_lock_timeout_set(uint64_t timeout_us)
{
    txns_self()->auto_lock_timeout_us = timeout_us;
}

void
txn_client_set(struct txn *txn, uint64_t client)
{
    txn->moment.client = client;
    txn->part.locks.client = client;
}

void
txn_waits_cancel(uint64_t client)
{
    struct txns *txns = txns_self();

    if (txns != NULL) {
        lock_cancel_client(txns->locks, client);
    }
}

void
txn_busy_begin(struct txn *txn)
{
    timer_stop(&txn->idle_timer);
    if (txn->options.statement_timeout_us != 0) {
        uint64_t end = shard_now_us() + txn->options.statement_timeout_us;

        txn->moment.deadline_us =
            txn->options.deadline_us == 0 ? end : MIN(end, txn->options.deadline_us);
    }
}

void
txn_idle_begin(struct txn *txn)
{
    const struct txn_options *options = &txn->options;
    uint64_t end =
        options->ends_by_itself && options->deadline_us != 0 ? options->deadline_us : DEADLINE_NONE;

    txn->moment.deadline_us = txn->options.deadline_us;
    txn->active_us = shard_now_us();
    if (options->idle_timeout_us != 0) {
        end = MIN(end, txn->active_us + options->idle_timeout_us);
    }
    if (end != DEADLINE_NONE) {
        timer_start(&txn->idle_timer, end);
    }
}

/* ---- Errors. ---- */

err_t
txn_fail(struct txn *txn, err_t err)
{
    if (err != ERR_OK && err != ERR_BUSY && txn->error == ERR_OK) {
        txn->error = err;
        txn->is_error_untold = false;
        snprintf(txn->error_text, sizeof(txn->error_text), "%s", err_message(err));
    }
    return err;
}

err_t
txn_check(struct txn *txn)
{
    OBJ_CHECK(txn, TXN_MAGIC);
    if (__builtin_expect(txn->error != ERR_OK, 0)) {
        bool is_first = txn->is_error_untold;

        txn->is_error_untold = false;
        return txn->part.is_auto || is_first
                   ? err_set(txn->error, "%s", txn->error_text)
                   : err_set(ERR_TXN_ABORTED,
                             "the transaction has failed, only rollback is possible: %s",
                             txn->error_text);
    }
    if (txn->moment.deadline_us != 0 && shard_now_us() >= txn->moment.deadline_us) {
        return txn_fail(txn,
                        err_set(ERR_TIMEOUT, "the %s exceeded its time limit",
                                txn->moment.deadline_us == txn->options.deadline_us ? "transaction"
                                                                                    : "statement"));
    }
    return ERR_OK;
}

/* ---- Ending. ---- */

static YIELDS err_t remotes_flush(struct txn *txn);

bool
txn_has_writes(const struct txn *txn)
{
    if (!overlay_is_empty(&txn->part.writes)) {
        return true;
    }
    for (uint32_t i = 0; txn->remotes != NULL && i < shard_count(); i++) {
        if (txn->remotes[i].has_writes || !overlay_is_empty(&txn->remotes[i].pending)) {
            return true;
        }
    }
    return false;
}

/* Do other shards have a say in the commit? */
static bool
commit_is_local(const struct txn *txn)
{
    for (uint32_t i = 0; txn->remotes != NULL && i < shard_count(); i++) {
        const struct txn_remote *remote = &txn->remotes[i];

        if (remote->has_writes || remote->has_reads || remote->noted != 0 ||
            !overlay_is_empty(&remote->pending)) {
            return false;
        }
    }
    return true;
}

err_t
txn_commit(struct txn **txn_ref, struct txn_done *done_out)
{
    struct txn *txn = *txn_ref;
    struct txns *txns = txns_self();
    struct txn_done done = {0};
    err_t err;

    if (!txn->part.is_auto) { /* A statement's limit is not the commit's. */
        txn->moment.deadline_us = txn->options.deadline_us;
    }
    TRY(txn_check(txn));
    txn->state = "committing";
    if (!txn_has_writes(txn)) {
        done.lsn = txn->part.noted;
        err = txn->remotes == NULL ? ERR_OK : txn_noted_wait(txn);
    } else if (commit_is_local(txn)) {
        TRY(part_lock_writes(&txn->part));
        err = part_commit(&txn->part, &done);
    } else {
        if (!txn->part.is_auto) { /* An auto one's writes travel with the prepare. */
            TRY(txn_flush(txn));
        }
        err = txn_commit_shards(txn, &done);
    }
    TRY(err);
    if (done_out != NULL) {
        *done_out = done;
    }
out:
    if (err == ERR_OK) {
        txns->counters.committed += !txn->part.is_auto;
    } else {
        txns->counters.serialization_failures += err == ERR_SERIALIZATION;
        txns->counters.aborted += !txn->part.is_auto;
    }
    if (txn->remotes != NULL) {
        txn_remotes_abort(txn); /* Those that the commit has not ended. */
    }
    if (__builtin_expect(txn->hooks != NULL, 0)) {
        hooks_run(txn, err == ERR_OK ? &done : NULL);
    }
    txn_end(txn_ref);
    return err;
}

void
txn_abort(struct txn **txn_ref)
{
    struct txn *txn = *txn_ref;

    if (txn == NULL) {
        return;
    }
    OBJ_CHECK(txn, TXN_MAGIC);
    if (txn->remotes != NULL) {
        txn_remotes_abort(txn);
    }
    txns_self()->counters.aborted += !txn->part.is_auto;
    hooks_run(txn, NULL);
    txn_end(txn_ref);
}

void
txn_hold(struct txn *txn)
{
    OBJ_CHECK(txn, TXN_MAGIC);
    part_hold(&txn->part);
}

/* Does what was gathered for some other shard take more memory than it may? */
static bool
pending_is_much(const struct txn *txn)
{
    for (uint32_t i = 0; txn->remotes != NULL && i < shard_count(); i++) {
        const struct store_batch *batch = &txn->remotes[i].pending.batch;

        if (batch->record.size > (size_t)STORE_BATCH_BYTES_MAX / 2 ||
            batch->large_count > STORE_LARGE_MAX / 2) {
            return true;
        }
    }
    return false;
}

void
txn_relieve(struct txn *txn)
{
    err_t err = ERR_OK;

    OBJ_CHECK(txn, TXN_MAGIC);
    if (!txn->part.is_auto || txn->part.read_only || txn->error != ERR_OK) {
        return;
    }
    if (part_spill_is_due(&txn->part)) {
        TRY(part_lock_writes(&txn->part));
    }
    if (pending_is_much(txn)) {
        TRY(remotes_flush(txn));
    }
out:
    if (err != ERR_OK) {
        txn_fail(txn, err);
        txn->is_error_untold = true;
    }
}

void
txn_refresh(struct txn *txn)
{
    struct txns *txns = txns_self();
    struct part *part = &txn->part;

    OBJ_CHECK(txn, TXN_MAGIC);
    ASSERT(part->is_auto);
    ASSERT(reads_is_empty(&part->reads));
    if (part->is_held) {
        lsm_snapshot_drop(store_lsm(txns->store), &part->held);
        part->is_held = false;
    }
    part->must_validate = false;
    part->snapshot = snapshot_now(txns);
    txn->moment.snapshot = part->snapshot;
    if (shard_count() > 1) {
        clock_raise(&txns->store->clock, part->snapshot);
    }
    part_enter(part, &txn->moment);
}

/* ---- Writing. ---- */

/* Where writes to the shard are gathered; NULL when none may be made. */
static struct overlay *
writes_of(struct txn *txn, uint32_t shard)
{
    OBJ_CHECK(txn, TXN_MAGIC);
    if (__builtin_expect(txn->part.read_only, 0)) {
        ASSERT(!txn->part.is_auto);
        if (txn->error == ERR_OK) {
            txn_fail(txn, err_set(ERR_READ_ONLY, "cannot write in a read-only transaction"));
            txn->is_error_untold = true;
        }
        return NULL;
    }
    if (shard == shard_id()) {
        return &txn->part.writes;
    }
    return &txn_remote_of(txn, shard)->pending;
}

void
txn_put(struct txn *txn, uint16_t slot, struct slice key, struct slice value, uint64_t expire_us)
{
    struct overlay *writes = writes_of(txn, txn_shard_of_slot(slot));

    if (writes != NULL) {
        overlay_put(writes, slot, key, value, expire_us);
    }
}

void
txn_delete(struct txn *txn, uint16_t slot, struct slice key)
{
    struct overlay *writes = writes_of(txn, txn_shard_of_slot(slot));

    if (writes != NULL) {
        overlay_delete(writes, slot, key);
    }
}

static void
range_delete_at(struct txn *txn, uint32_t shard, struct slice start, struct slice end)
{
    struct overlay *writes = writes_of(txn, shard);

    if (writes != NULL) {
        overlay_delete_range(writes, start, end);
    }
}

void
txn_delete_range(struct txn *txn, uint16_t slot, struct slice start, struct slice end)
{
    range_delete_at(txn, txn_shard_of_slot(slot), start, end);
}

void
txn_delete_range_all(struct txn *txn, struct slice start, struct slice end)
{
    for (uint32_t shard = 0; shard < txn_shards_live(); shard++) {
        range_delete_at(txn, shard, start, end);
    }
}

void
txn_counter_add(struct txn *txn, uint16_t slot, uint32_t counter, int64_t delta)
{
    struct overlay *writes = writes_of(txn, txn_shard_of_slot(slot));

    if (writes != NULL) {
        overlay_counter_add(writes, counter, delta);
    }
}

static YIELDS err_t
nothing_more(struct part *part, void *arg)
{
    (void)part;
    (void)arg;
    return ERR_OK; /* Putting the gathered writes in was all. */
}

static YIELDS err_t
remotes_flush(struct txn *txn)
{
    uint32_t count = shard_count();
    bool *is_wanted = mem_zalloc(MEM_RUNTIME, count * sizeof(*is_wanted));
    bool any = false;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        is_wanted[i] = !overlay_is_empty(&txn->remotes[i].pending) ||
                       txn->remotes[i].pending.batch.error != ERR_OK;
        any = any || is_wanted[i];
    }
    if (any) {
        part_hold(&txn->part);
        err = txn_call_many(txn, is_wanted, nothing_more, NULL, 0);
    }
    mem_free(MEM_RUNTIME, is_wanted, count * sizeof(*is_wanted));
    return err;
}

err_t
txn_flush(struct txn *txn)
{
    err_t err;

    TRY(txn_check(txn));
    TRY(part_lock_writes(&txn->part));
    if (txn->remotes != NULL) {
        err = remotes_flush(txn);
    }
out:
    return txn_fail(txn, err);
}

/* ---- Statements and savepoints. ---- */

err_t
txn_statement(struct txn *txn, bool sees_own_only_before)
{
    err_t err;

    TRY(txn_check(txn));
    if (txn->remotes != NULL) {
        TRY(remotes_flush(txn)); /* What was gathered belongs to the statement before. */
    }
    if (part_spill_is_due(&txn->part)) {
        TRY(part_lock_writes(&txn->part));
    }
    txn->moment.statement++;
    txn->moment.sees_own_only_before = sees_own_only_before;
    if (txn->part.isolation == TXN_READ_COMMITTED && txn->options.as_of == 0 &&
        txn->moment.statement > 1) {
        store_clock_cover(txns_self()->store);
        snapshot_take(txn);
    }
    part_enter(&txn->part, &txn->moment);
out:
    return txn_fail(txn, err);
}

bool
txn_statement_sees(struct txn *txn, bool own_only_before)
{
    bool was = txn->moment.sees_own_only_before;

    OBJ_CHECK(txn, TXN_MAGIC);
    txn->moment.sees_own_only_before = own_only_before;
    part_enter(&txn->part, &txn->moment);
    return was;
}

/* For the parts elsewhere: what was gathered for them and not sent goes with the undoing. */
struct undo {
    uint64_t statement; /* Or: */
    uint32_t savepoint;
};

static YIELDS err_t
undo_run(struct part *part, void *arg)
{
    const struct undo *undo = arg;

    if (undo->savepoint != 0) {
        part_rollback_to(part, undo->savepoint);
    } else {
        part_statement_undo(part, undo->statement);
    }
    return ERR_OK;
}

static YIELDS err_t
undo_everywhere(struct txn *txn, struct undo *undo)
{
    err_t err = ERR_OK;

    undo_run(&txn->part, undo);
    for (uint32_t i = 0; txn->remotes != NULL && i < shard_count(); i++) {
        overlay_clear(&txn->remotes[i].pending);
        if (txn->remotes[i].is_begun) {
            TRY(txn_call(txn, i, undo_run, undo));
        }
    }
out:
    return err;
}

err_t
txn_statement_undo(struct txn *txn)
{
    struct undo undo = {.statement = txn->moment.statement};
    err_t err;

    OBJ_CHECK(txn, TXN_MAGIC);
    TRY(undo_everywhere(txn, &undo));
    txn->error = ERR_OK;
out:
    return txn_fail(txn, err);
}

err_t
txn_savepoint(struct txn *txn, uint32_t *savepoint_out)
{
    err_t err;

    TRY(txn_check(txn));
    if (txn->savepoint_count == TXN_SAVEPOINTS_MAX) {
        err = err_set(ERR_LIMIT, "a transaction has more than %d savepoints", TXN_SAVEPOINTS_MAX);
        goto out;
    }
    /* What was gathered belongs before the savepoint. */
    TRY(txn_flush(txn));
    if (txn->savepoint_count == txn->savepoint_capacity) {
        uint32_t capacity = MAX((uint32_t)SAVEPOINTS_FIRST, txn->savepoint_capacity * 2);

        txn->savepoints = mem_realloc(MEM_RUNTIME, txn->savepoints,
                                      txn->savepoint_capacity * sizeof(*txn->savepoints),
                                      capacity * sizeof(*txn->savepoints));
        txn->savepoint_capacity = capacity;
    }
    txn->savepoints[txn->savepoint_count++] = ++txn->savepoint_last;
    txn->moment.savepoint = txn->savepoint_last;
    part_enter(&txn->part, &txn->moment);
    *savepoint_out = txn->savepoint_last;
out:
    return err;
}

err_t
txn_rollback_to(struct txn *txn, uint32_t savepoint)
{
    struct undo undo = {.savepoint = savepoint};
    uint32_t at = 0;
    err_t err;

    OBJ_CHECK(txn, TXN_MAGIC);
    while (at < txn->savepoint_count && txn->savepoints[at] != savepoint) {
        at++;
    }
    if (at == txn->savepoint_count) {
        return err_set(ERR_INVALID, "no such savepoint");
    }
    txn->savepoint_count = at + 1;
    txn->moment.savepoint = savepoint;
    TRY(undo_everywhere(txn, &undo));
    txn->error = ERR_OK;
out:
    return txn_fail(txn, err);
}

/* ---- What it is. ---- */

uint64_t
txn_snapshot(const struct txn *txn)
{
    return txn->part.snapshot;
}

uint64_t
txn_id(const struct txn *txn)
{
    return txn->part.txn;
}

enum txn_isolation
txn_isolation_of(const struct txn *txn)
{
    return txn->part.isolation;
}

bool
txn_is_read_only(const struct txn *txn)
{
    return txn->part.read_only;
}

bool
txn_is_auto(const struct txn *txn)
{
    return txn->part.is_auto;
}
