/* txn/part.c - see part.h. */
#include "txn/part.h"

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "txn/closed.h"
#include "txn/own.h"
#include "txn/spill.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

/* ---- Life. ---- */

void
part_init(struct part *part, uint64_t txn, enum txn_isolation isolation, bool is_auto,
          bool read_only)
{
    part->txn = txn;
    part->state = PART_ACTIVE;
    part->isolation = isolation;
    part->is_auto = is_auto;
    part->read_only = read_only;
    part->is_move = false;
    part->must_validate = !is_auto;
    part->is_held = false;
    part->snapshot = 0;
    part->moment = (struct part_moment){0};
    part->statement = (struct part_mark){0};
    part->sees = OVERLAY_ALL;
    part->locked = (struct overlay_mark){0};
    part->spilled_locks = 0;
    part->noted = 0;
    part->proposal = 0;
    part->large_written = 0;
    part->writes.borrows_large = is_auto;
    list_init(&part->link);
    list_init(&part->prepared_link);
    lock_owner_init(&part->locks, txn);
}

void
part_fini(struct part *part)
{
    struct txns *txns = txns_self();

    list_remove(&part->prepared_link);
    list_remove(&part->link);
    if (part->state == PART_PREPARED) {
        closed_recount(txns);
        lock_owner_decide(txns->locks, &part->locks);
    }
    if (part->locks.count > 0) {
        lock_release_all(txns->locks, &part->locks);
    }
    if (part->is_held) {
        lsm_snapshot_drop(store_lsm(txns->store), &part->held);
        part->is_held = false;
    }
    if (part->large_written > 0) {
        part_large_release(part);
    }
    overlay_clear(&part->writes);
    reads_clear(&part->reads);
    buf_clear(&part->marks);
}

void
part_hold(struct part *part)
{
    struct txns *txns = txns_self();

    part->must_validate = true;
    if (!part->is_held) {
        /* Later commits lie above the snapshot. */
        clock_raise(&txns->store->clock, part->snapshot);
        /* Suspended before it was held? Then some shard may have collected what it needs. */
        ASSERT(part->txn >> TXN_ID_HOME_SHIFT != shard_id() || shard_count() == 1 ||
               part->snapshot >= horizon_oldest(&txns->store->horizon));
        lsm_snapshot_take(store_lsm(txns->store), part->snapshot, &part->held);
        part->is_held = true;
    }
}

void
part_note_lsn(struct part *part, lsn_t lsn)
{
    part->noted = MAX(part->noted, lsn);
}

uint64_t
part_lock_deadline(const struct part *part)
{
    uint64_t deadline = DEADLINE_NONE;

    if (part->moment.lock_timeout_us != 0) {
        deadline = shard_now_us() + part->moment.lock_timeout_us;
    }
    if (part->moment.deadline_us != 0) {
        deadline = MIN(deadline, part->moment.deadline_us);
    }
    return deadline;
}

/* ---- Statements and savepoints. ---- */

static struct part_mark
mark_here(const struct part *part, uint32_t savepoint)
{
    return (struct part_mark){
        .savepoint = savepoint,
        .locks = lock_mark(&part->locks),
        .writes = overlay_mark(&part->writes),
    };
}

static uint32_t
mark_count(const struct part *part)
{
    return (uint32_t)(part->marks.size / sizeof(struct part_mark));
}

static struct part_mark *
mark_at(struct part *part, uint32_t index)
{
    return (struct part_mark *)(void *)part->marks.data + index;
}

void
part_enter(struct part *part, const struct part_moment *moment)
{
    uint32_t count = mark_count(part);
    uint32_t known = count == 0 ? 0 : mark_at(part, count - 1)->savepoint;

    part->snapshot = moment->snapshot;
    if (moment->savepoint > known) {
        struct part_mark mark = mark_here(part, moment->savepoint);

        buf_append(&part->marks, &mark, sizeof(mark));
    }
    if (moment->statement != part->moment.statement) {
        part->statement = mark_here(part, 0);
    }
    part->sees = moment->sees_own_only_before ? part->statement.writes : OVERLAY_ALL;
    part->moment = *moment;
    part->locks.client = moment->client;
}

static void
part_cut(struct part *part, const struct part_mark *mark, bool keeps_locks)
{
    struct overlay_mark end;

    overlay_cut(&part->writes, &mark->writes);
    end = overlay_mark(&part->writes);
    if (part->locked.spills > end.spills ||
        (part->locked.spills == end.spills && part->locked.ops > end.ops)) {
        part->locked = end;
    }
    if (!keeps_locks) {
        lock_release_to(txns_self()->locks, &part->locks, mark->locks);
    }
}

void
part_statement_undo(struct part *part, uint64_t statement)
{
    if (part->moment.statement == statement) {
        part_cut(part, &part->statement, true);
    }
}

void
part_rollback_to(struct part *part, uint32_t savepoint)
{
    uint32_t count = mark_count(part);
    uint32_t at = 0;

    while (at < count && mark_at(part, at)->savepoint < savepoint) {
        at++;
    }
    if (at == count) {
        return; /* Nothing was done here since. */
    }
    part_cut(part, mark_at(part, at), false);
    /* Savepoints after this one are gone; the mark is this one's from now on. */
    mark_at(part, at)->savepoint = savepoint;
    part->marks.size = (at + 1) * sizeof(struct part_mark);
    part->statement = mark_here(part, 0);
    if (part->moment.sees_own_only_before) {
        part->sees = part->statement.writes;
    }
}

/* ---- Reading. ---- */

static bool
part_remembers_reads(const struct part *part)
{
    return part->isolation == TXN_SERIALIZABLE && !part->read_only;
}

void
part_wait_decided(struct part *part, struct slice key)
{
    struct locks *locks = txns_self()->locks;
    struct lock_owner *writer;

    while ((writer = lock_prepared_writer(locks, key, part->snapshot)) != NULL &&
           writer != &part->locks) {
        SOMETIMES("txn: a read waited for the outcome of a prepared write");
        part_hold(part);
        cond_wait_uncancelable(&writer->decided);
    }
}

void
part_wait_decided_range(struct part *part, struct slice lower, struct slice upper)
{
    struct locks *locks = txns_self()->locks;
    struct lock_owner *writer;

    while ((writer = lock_prepared_writer_range(locks, lower, upper, part->snapshot)) != NULL &&
           writer != &part->locks) {
        SOMETIMES("txn: a scan waited for the outcome of a prepared write");
        part_hold(part);
        cond_wait_uncancelable(&writer->decided);
    }
}

/* Do the transaction's own writes answer? */
static YIELDS err_t
own_answer(struct part *part, struct slice key, struct arena *arena, struct lsm_value *value_out,
           bool *is_answered_out)
{
    enum overlay_answer answer;
    struct record_op op;
    err_t err;

    *is_answered_out = false;
    if (overlay_is_empty(&part->writes)) {
        return ERR_OK;
    }
    TRY(own_get(&part->writes, store_lsm(txns_self()->store), key, &part->sees, arena, &answer,
                &op));
    if (answer == OVERLAY_NONE) {
        return ERR_OK;
    }
    *is_answered_out = true;
    *value_out = (struct lsm_value){0};
    if (answer == OVERLAY_PUT &&
        (op.expire_us == 0 || op.expire_us > part->snapshot >> CLOCK_COUNTER_BITS)) {
        value_out->is_found = true;
        value_out->value = op.value;
        value_out->expire_us = op.expire_us;
        value_out->slot = op.slot;
    }
out:
    return err;
}

err_t
part_get(struct part *part, struct slice key, struct arena *arena, struct lsm_value *value_out)
{
    struct txns *txns = txns_self();
    bool is_answered = false;
    err_t err;

    TRY(own_answer(part, key, arena, value_out, &is_answered));
    if (is_answered) {
        return ERR_OK;
    }
    if (part_remembers_reads(part)) {
        reads_add_key(&part->reads, key);
    }
    part_wait_decided(part, key);
    if (!part->must_validate) {
        TRY(lsm_try_get(store_lsm(txns->store), key, part->snapshot, arena, value_out,
                        &is_answered));
    }
    if (!is_answered) {
        part_hold(part);
        TRY(lsm_get(store_lsm(txns->store), key, part->snapshot, arena, value_out));
    }
    part_note_lsn(part, value_out->lsn);
out:
    return err;
}

/* Of keys that own writes do not answer: all reads in flight together. */
static YIELDS err_t
others_get(struct part *part, const struct slice *keys, const uint32_t *places, uint32_t count,
           struct arena *arena, struct lsm_value *results)
{
    struct slice *asked = arena_alloc(arena, count * sizeof(*asked));
    struct lsm_value *values = arena_alloc(arena, count * sizeof(*values));
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        asked[i] = keys[places[i]];
        if (part_remembers_reads(part)) {
            reads_add_key(&part->reads, asked[i]);
        }
        part_wait_decided(part, asked[i]);
    }
    part_hold(part);
    TRY(lsm_multi_get(store_lsm(txns_self()->store), asked, count, part->snapshot, arena, values));
    for (uint32_t i = 0; i < count; i++) {
        results[places[i]] = values[i];
        part_note_lsn(part, values[i].lsn);
    }
out:
    return err;
}

err_t
part_multi_get(struct part *part, const struct slice *keys, uint32_t count, struct arena *arena,
               struct lsm_value *results)
{
    uint32_t *places = arena_alloc(arena, count * sizeof(*places));
    uint32_t others = 0;
    bool is_answered;
    err_t err = ERR_OK;

    if (places == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for reading %u keys", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        TRY(own_answer(part, keys[i], arena, &results[i], &is_answered));
        if (!is_answered) {
            places[others++] = i;
        }
    }
    if (others > 0) {
        err = others_get(part, keys, places, others, arena, results);
    }
out:
    return err;
}

/* ---- Writing. ---- */

/* May another transaction have written it since the snapshot? Not once it is locked. */
static YIELDS err_t
first_writer_check(struct part *part, const struct record_op *op)
{
    struct lsm *lsm = store_lsm(txns_self()->store);
    bool is_changed = false;
    bool is_answered = false;
    err_t err;

    /* An auto one validates what it has read, and nothing else. At READ COMMITTED a statement of
     * SQL runs again on a newer snapshot (txn_statement); other statements read what they lock. */
    if (part->is_auto ||
        (part->isolation == TXN_READ_COMMITTED && !part->moment.sees_own_only_before)) {
        return ERR_OK;
    }
    if (op->kind == RECORD_DELETE_RANGE) {
        TRY(lsm_range_changed(lsm, op->key, op->value, part->snapshot, true, &is_changed,
                              &is_answered));
    } else {
        TRY(lsm_changed(lsm, op->key, part->snapshot, true, &is_changed, &is_answered));
    }
    ASSERT(is_answered);
    if (is_changed) {
        err = err_set(ERR_SERIALIZATION,
                      "could not serialize access: a key was written by another transaction since "
                      "this one began; run it again");
    }
out:
    return err;
}

static YIELDS err_t
write_lock(struct part *part, const struct record_op *op)
{
    struct locks *locks = txns_self()->locks;
    uint64_t deadline = part_lock_deadline(part);
    err_t err = ERR_OK;

    switch (op->kind) {
    case RECORD_PUT:
    case RECORD_PUT_LARGE:
    case RECORD_DELETE:
        TRY(lock_key(locks, &part->locks, op->key, LOCK_UPDATE, LOCK_WAIT, deadline));
        TRY(first_writer_check(part, op));
        break;
    case RECORD_DELETE_RANGE:
        TRY(lock_range(locks, &part->locks, op->key, op->value, LOCK_UPDATE, LOCK_WAIT, deadline));
        TRY(first_writer_check(part, op));
        break;
    case RECORD_COUNTER_ADD:
    case RECORD_INGEST:
    case RECORD_SECTION:
        break;
    }
out:
    return err;
}

err_t
part_lock_writes(struct part *part)
{
    struct record_op op;
    struct buf op_bytes;
    err_t err = part->writes.batch.error;

    if (err != ERR_OK) {
        return err_set(err, "%s", err_message(err));
    }
    if (part->is_auto) {
        if (!part_spill_is_due(part)) {
            return ERR_OK;
        }
        part_hold(part);
    }
    buf_init(&op_bytes, MEM_SESSIONS);
    while (overlay_next_after(&part->writes, &part->locked, &op)) {
        if (op.kind == RECORD_COUNTER_ADD) {
            continue; /* It names no key. */
        }
        /* Waiting may move the overlay's bytes. */
        buf_clear(&op_bytes);
        buf_append(&op_bytes, op.key.data, op.key.size);
        buf_append(&op_bytes, op.value.data, op.kind == RECORD_DELETE_RANGE ? op.value.size : 0);
        op.value = slice_of(op_bytes.data + op.key.size, op_bytes.size - op.key.size);
        op.key = slice_of(op_bytes.data, op.key.size);
        TRY(write_lock(part, &op));
    }
    err = part_spill_is_due(part) ? part_spill(part) : ERR_OK;
out:
    buf_fini(&op_bytes);
    return err;
}

YIELDS err_t
part_spill(struct part *part)
{
    uint32_t count = mark_count(part);
    struct overlay_mark *marks = mem_alloc(MEM_RUNTIME, (count + 2) * sizeof(*marks));
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        marks[i] = mark_at(part, i)->writes;
    }
    marks[count] = part->statement.writes;
    marks[count + 1] = part->sees;
    err = spill_write(&part->writes, store_lsm(txns_self()->store), marks, count + 2);
    part->locked = overlay_mark(&part->writes); /* All of it was locked. */
    part->spilled_locks = lock_mark(&part->locks);
    mem_free(MEM_RUNTIME, marks, (count + 2) * sizeof(*marks));
    return err;
}

struct part_cost
part_cost_of(const struct part *part)
{
    const struct spill *spill = part->writes.spill;
    struct part_cost cost = {
        .writes = part->writes.batch.ops,
        .write_bytes = overlay_bytes(&part->writes),
        .locks = part->locks.count,
        .reads = part->reads.count,
    };

    if (spill != NULL) {
        cost.writes += spill->rows;
        cost.write_bytes += lsm_runs_bytes(spill->runs);
    }
    return cost;
}

bool
part_writes_are_much(const struct part *part)
{
    const struct store *store = txns_self()->store;

    return part->writes.batch.record.size > store_record_bytes_max(store) / 2 ||
           part->writes.batch.large_count > STORE_LARGE_MAX / 2 ||
           overlay_bytes(&part->writes) > spill_memory_max(store);
}
