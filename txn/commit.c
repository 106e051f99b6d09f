/* txn/commit.c - how a transaction commits: on one shard, or on several by one record.
 * docs/transactions.md has the protocol and why it holds.
 *
 *     part_commit        wait for room -> locks, prepared read sets, validation -> the step
 *     txn_commit_shards  prepare everywhere -> the record here, own writes applied -> outcomes
 *
 * Checks count only if nothing suspends between them and the step: after each wait they begin
 * again. */
#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/closed.h"
#include "txn/commits.h"
#include "txn/slots.h"
#include "txn/spill.h"

#include "engine/base/poison.h"

static err_t
conflict(void)
{
    return err_set(ERR_SERIALIZATION,
                   "could not serialize access: what this transaction has read was written by "
                   "another one; run it again");
}

static err_t
batch_error(const struct store_batch *batch)
{
    return batch->error == ERR_OK ? ERR_OK : err_set(batch->error, "%s", err_message(batch->error));
}

/* ---- Conflicts with prepared parts. ---- */

struct meeting_writes {
    struct reads *reads;
    bool is_met;
};

static bool
write_meets(void *arg, const struct record_op *op)
{
    struct meeting_writes *meeting = arg;

    switch (op->kind) {
    case RECORD_PUT:
    case RECORD_PUT_LARGE:
    case RECORD_DELETE:
        meeting->is_met = reads_has_key(meeting->reads, op->key);
        break;
    case RECORD_DELETE_RANGE:
        meeting->is_met = reads_has_range(meeting->reads, op->key, op->value);
        break;
    case RECORD_COUNTER_ADD:
    case RECORD_INGEST:
    case RECORD_SECTION:
        break;
    }
    return !meeting->is_met;
}

/* Does one write what the other has read? */
static bool
writes_meet_reads(struct overlay *writes, struct reads *reads)
{
    struct meeting_writes meeting = {.reads = reads};

    if (!overlay_is_empty(writes) && !reads_is_empty(reads)) {
        meeting.is_met = writes->spill != NULL && spill_meets_reads(writes->spill, reads);
        if (!meeting.is_met) {
            overlay_visit(writes, write_meets, &meeting);
        }
    }
    return meeting.is_met;
}

bool
part_has_reads(const struct part *part)
{
    return part->isolation == TXN_SERIALIZABLE && !part->read_only && part->must_validate &&
           !reads_is_empty(&part->reads);
}

/* The prepared part of another transaction that stands in the way; NULL: none. Beside what this one
 * writes and that one has read: what this one has read must not be decided later below this
 * commit. */
static struct part *
prepared_conflict(struct txns *txns, struct part *part)
{
    bool has_reads = part_has_reads(part);

    LIST_FOR_EACH(link, &txns->prepared) {
        struct part *other = LIST_ENTRY(link, struct part, prepared_link);

        if (other != part && (writes_meet_reads(&part->writes, &other->reads) ||
                              (has_reads && writes_meet_reads(&other->writes, &part->reads)))) {
            return other;
        }
    }
    return NULL;
}

/* ---- Validation. ---- */

struct check {
    uint64_t since; /* The read set holds up to here. */
    bool has_waited;
};

/* Without a suspension since the last look at prepared parts: ERR_OK and !has_waited say that the
 * read set holds now. After a wait it holds up to check->since, and the caller begins again: what
 * was prepared meanwhile lies above that. */
static YIELDS err_t
reads_validate(struct part *part, struct check *check)
{
    struct store *store = txns_self()->store;
    uint64_t now = store_clock(store);
    bool is_changed = false;
    bool is_answered = false;
    err_t err;

    if (!part_has_reads(part)) {
        return ERR_OK;
    }
    TRY(reads_changed(&part->reads, store_lsm(store), check->since, false, &is_changed,
                      &is_answered));
    if (!is_answered) {
        SOMETIMES("txn: a validation read tables");
        check->has_waited = true;
        TRY(reads_changed(&part->reads, store_lsm(store), check->since, true, &is_changed,
                          &is_answered));
        ASSERT(is_answered);
        check->since = MAX(check->since, now);
    }
    if (is_changed) {
        SOMETIMES("txn: a validation failed");
        err = conflict();
    }
out:
    return err;
}

/* ---- Locks of an auto transaction, which are taken at its commit if at all. ---- */

static bool
op_lock_is_free(struct locks *locks, const struct part *part, const struct record_op *op)
{
    switch (op->kind) {
    case RECORD_PUT:
    case RECORD_PUT_LARGE:
    case RECORD_DELETE:
        return lock_key_is_free(locks, &part->locks, op->key, LOCK_UPDATE);
    case RECORD_DELETE_RANGE:
        return lock_range_is_free(locks, &part->locks, op->key, op->value, LOCK_UPDATE);
    case RECORD_COUNTER_ADD:
    case RECORD_INGEST:
    case RECORD_SECTION:
        break;
    }
    return true;
}

static YIELDS err_t
op_lock(struct part *part, const struct record_op *op, enum lock_wait wait)
{
    struct locks *locks = txns_self()->locks;
    uint64_t deadline = part_lock_deadline(part);

    switch (op->kind) {
    case RECORD_PUT:
    case RECORD_PUT_LARGE:
    case RECORD_DELETE:
        return lock_key(locks, &part->locks, op->key, LOCK_UPDATE, wait, deadline);
    case RECORD_DELETE_RANGE:
        return lock_range(locks, &part->locks, op->key, op->value, LOCK_UPDATE, wait, deadline);
    case RECORD_COUNTER_ADD:
    case RECORD_INGEST:
    case RECORD_SECTION:
        break;
    }
    return ERR_OK;
}

/* Nothing is written to the overlay while it commits, so the ops stay where they are. */
static YIELDS err_t
locks_take(struct part *part, enum lock_wait wait)
{
    struct overlay_mark at = {0};
    struct record_op op;
    err_t err = ERR_OK;

    while (overlay_next_after(&part->writes, &at, &op)) {
        TRY(op_lock(part, &op, wait));
    }
out:
    return err;
}

err_t
part_lock_wait(struct part *part)
{
    part_hold(part);
    return locks_take(part, LOCK_WAIT);
}

/* On one shard only locks that are in the way are taken: by waiting for them. */
static YIELDS err_t
locks_wait(struct part *part, struct check *check)
{
    struct locks *locks = txns_self()->locks;
    struct overlay_mark at = {0};
    struct record_op op;
    err_t err = ERR_OK;

    if (locks_are_none(locks)) {
        return ERR_OK;
    }
    while (overlay_next_after(&part->writes, &at, &op)) {
        if (!op_lock_is_free(locks, part, &op)) {
            SOMETIMES("txn: an auto transaction waited for a lock");
            part_hold(part);
            check->has_waited = true;
            TRY(op_lock(part, &op, LOCK_WAIT));
        }
    }
out:
    return err;
}

/* ---- One shard. ---- */

static void
commit_step(struct part *part, struct txn_done *done_out)
{
    struct store *store = txns_self()->store;
    struct store_batch *batch = &part->writes.batch;
    uint64_t ts = clock_next(&store->clock);

    store->writer = part->locks.client;
    done_out->lsn = store_commit_step(store, &batch->record, batch->ops, ts, batch->ingest);
    done_out->ts = ts;
    if (shard_count() > 1) {
        shard_acked_raise(ts);
    }
    if (part->large_written > 0) {
        part_large_release(part);
    }
}

/* One round: ERR_OK and !has_waited when the step may follow at once. */
static YIELDS err_t
commit_check(struct part *part, const struct store_room *room, struct check *check)
{
    struct txns *txns = txns_self();
    struct part *other;
    err_t err = ERR_OK;

    check->has_waited = false;
    if (!store_has_room(txns->store, room)) {
        part_hold(part);
        TRY(store_wait_room(txns->store, room));
    }
    TRY(locks_wait(part, check));
    if (check->has_waited) {
        goto out;
    }
    other = prepared_conflict(txns, part);
    if (other != NULL) {
        SOMETIMES("txn: a commit waited for the outcome of a prepared transaction");
        part_hold(part);
        check->has_waited = true;
        cond_wait_uncancelable(&other->locks.decided);
        goto out;
    }
    TRY(reads_validate(part, check));
    err = slots_check(txns->slots, part);
out:
    return err;
}

static YIELDS err_t
commit_slowly(struct part *part, const struct store_room *room, struct txn_done *done_out)
{
    struct txns *txns = txns_self();
    struct check check = {.since = part->snapshot, .has_waited = true};
    err_t err = ERR_OK;

    if (part->writes.batch.large_count > 0) {
        part_hold(part);
        TRY(store_large_write(txns->store, &part->writes.batch, &part->large_written));
    }
    for (uint32_t round = 0; check.has_waited; round++) {
        if (round == COMMIT_ROUNDS_MAX) {
            return conflict();
        }
        TRY(commit_check(part, room, &check));
    }
    TRY(wal_reserve(store_wal(txns->store), room->log_bytes)); /* Has room: does not suspend. */
    commit_step(part, done_out);
out:
    return err;
}

/* What was spilled becomes tables that the record names. */
static YIELDS err_t
spill_end(struct part *part)
{
    err_t err;

    if (__builtin_expect(part->writes.spill == NULL, 1)) {
        return ERR_OK;
    }
    part_hold(part);
    TRY(spill_finish(&part->writes, store_lsm(txns_self()->store)));
    if (part->writes.batch.record.size > store_record_bytes_max(txns_self()->store)) {
        err = err_set(ERR_LIMIT, "the range deletes and tables of a transaction exceed %zu bytes",
                      store_record_bytes_max(txns_self()->store));
    }
out:
    return err;
}

err_t
part_commit(struct part *part, struct txn_done *done_out)
{
    struct txns *txns = txns_self();
    struct store_batch *batch = &part->writes.batch;
    struct store_room room;
    err_t err;

    if (part_spill_is_due(part)) {
        TRY(part_lock_writes(part)); /* They are no record, but tables. */
    }
    TRY(spill_end(part));
    room = store_room_of(batch);
    store_commit_prefetch(txns->store, batch);
    TRY(batch_error(batch));
    if (batch->ops == 0) {
        *done_out = (struct txn_done){.lsn = part->noted};
        return ERR_OK;
    }
    if (!part->is_auto || part->must_validate || batch->large_count > 0 ||
        !locks_are_none(txns->locks) || !list_is_empty(&txns->prepared) ||
        !store_has_room(txns->store, &room)) {
        return commit_slowly(part, &room, done_out);
    }
    TRY(slots_check(txns->slots, part));
    TRY(wal_reserve(store_wal(txns->store), room.log_bytes)); /* Has room: does not suspend. */
    commit_step(part, done_out);
out:
    return err;
}

/* ---- Prepare. ---- */

void
part_large_release(struct part *part)
{
    store_large_release(txns_self()->store, &part->writes.batch, part->large_written);
    part->large_written = 0;
}

void
part_unprepare(struct part *part)
{
    struct txns *txns = txns_self();

    if (part->state == PART_PREPARED) {
        list_remove(&part->prepared_link);
        closed_recount(txns);
        lock_owner_decide(txns->locks, &part->locks);
        part->state = PART_ACTIVE;
    }
    if (part->is_auto) { /* What is on disk stays locked: its keys are not at hand any more. */
        lock_release_to(txns->locks, &part->locks, part->spilled_locks);
    }
}

/* One round: ERR_OK and !has_waited when the part may be marked at once. */
static YIELDS err_t
prepare_check(struct part *part, struct check *check)
{
    struct txns *txns = txns_self();
    struct store_room room = {
        .log_bytes = 1, /* The home shard waits for room for the record. */
        .memtable_bytes = store_room_of(&part->writes.batch).memtable_bytes,
    };
    struct part *other;
    err_t err = ERR_OK;

    check->has_waited = false;
    if (!overlay_is_empty(&part->writes) && !store_has_room(txns->store, &room)) {
        TRY(store_wait_room(txns->store, &room));
    }
    other = prepared_conflict(txns, part);
    if (other != NULL && part->isolation == TXN_SERIALIZABLE) {
        SOMETIMES("txn: a prepare was refused because of another");
        err = conflict();
        goto out;
    }
    if (other != NULL) {
        check->has_waited = true;
        cond_wait_uncancelable(&other->locks.decided);
        goto out;
    }
    TRY(reads_validate(part, check));
    err = slots_check(txns->slots, part);
out:
    return err;
}

/* From here on nobody reads past its writes or writes into its reads. */
static void
prepare_mark(struct part *part, uint64_t *proposal_out)
{
    struct txns *txns = txns_self();
    struct store *store = txns->store;
    uint64_t proposal = UINT64_MAX; /* Nobody waits for writes that are not there. */

    if (!overlay_is_empty(&part->writes)) {
        proposal = clock_next(&store->clock);
        store->clock.last = proposal;
        store->open_proposal = MIN(store->open_proposal, proposal);
        store_clock_push(store, proposal);
        *proposal_out = proposal;
    }
    part->proposal = proposal;
    part->state = PART_PREPARED;
    lock_owner_prepare(txns->locks, &part->locks, proposal);
    list_push_back(&txns->prepared, &part->prepared_link);
}

/* The record of all shards must hold the part's share. Never waits for a lock: other parts may be
 * prepared. */
static YIELDS err_t
prepare_spill(struct part *part)
{
    size_t record_max = store_record_bytes_max(txns_self()->store);
    size_t share =
        (record_max - STORE_ORIGIN_BYTES_MAX) / shard_count() - RECORD_SECTION_HEAD_BYTES_MAX;
    err_t err;

    if (part->writes.batch.record.size > share || part_spill_is_due(part)) {
        if (part->is_auto) {
            TRY(locks_take(part, LOCK_SKIP));
        }
        TRY(part_spill(part));
    }
    err = spill_end(part);
out:
    return err;
}

err_t
part_prepare(struct part *part, uint64_t *proposal_out)
{
    struct txns *txns = txns_self();
    struct check check = {.since = part->snapshot, .has_waited = true};
    err_t err;

    ASSERT(part->state == PART_ACTIVE);
    *proposal_out = 0;
    TRY(batch_error(&part->writes.batch));
    part_hold(part);
    TRY(prepare_spill(part));
    if (part->writes.batch.large_count > 0) {
        TRY(store_large_write(txns->store, &part->writes.batch, &part->large_written));
    }
    /* The record may stand in another log: it must not outlive what this part has seen. */
    if (part->noted > wal_durable(store_wal(txns->store)) && txn_id_home(part->txn) != shard_id()) {
        SOMETIMES("txn: a prepare waited for what it had read");
        wal_wait_durable(store_wal(txns->store), part->noted);
    }
    if (part->is_auto && !overlay_is_empty(&part->writes)) {
        TRY(locks_take(part, LOCK_SKIP));
    }
    for (uint32_t round = 0; check.has_waited; round++) {
        if (round == COMMIT_ROUNDS_MAX) {
            return conflict();
        }
        TRY(prepare_check(part, &check));
    }
    if (!overlay_is_empty(&part->writes) || part_has_reads(part)) {
        prepare_mark(part, proposal_out);
    }
out:
    return err;
}

/* ---- Several shards. ---- */

struct prepare_call {
    uint64_t proposal; /* Out: 0 without writes. */
    struct slice ops;  /* Out: the part's, which stays as it is until the outcome. */
    uint32_t op_count;
    bool has_ingest;
};

struct commit {
    struct txn *txn;
    bool *is_wanted; /* [shard_count()]: who is to prepare. */
    struct prepare_call *calls;
    struct buf record;
    uint32_t ops;
};

static YIELDS err_t
prepare_run(struct part *part, void *arg)
{
    struct prepare_call *call = arg;
    const struct store_batch *batch = &part->writes.batch;
    err_t err;

    TRY(part_prepare(part, &call->proposal));
    if (batch->ops > 0) {
        call->ops = record_ops(buf_slice(&batch->record));
        call->op_count = batch->ops;
        call->has_ingest = batch->ingest != NULL;
    }
out:
    return err;
}

static YIELDS err_t
unprepare_run(struct part *part, void *arg)
{
    (void)arg;
    part_unprepare(part);
    return ERR_OK;
}

static YIELDS err_t
lock_wait_run(struct part *part, void *arg)
{
    (void)arg;
    return part_lock_wait(part);
}

static bool
remote_has_writes(const struct txn_remote *remote)
{
    return remote->has_writes || !overlay_is_empty(&remote->pending) ||
           remote->pending.batch.error != ERR_OK;
}

static bool
remote_takes_part(const struct txn_remote *remote)
{
    return remote_has_writes(remote) || remote->has_reads || remote->noted != 0;
}

static void
commit_init(struct commit *commit, struct txn *txn)
{
    uint32_t count = shard_count();

    *commit = (struct commit){.txn = txn};
    commit->is_wanted = mem_zalloc(MEM_SESSIONS, count * sizeof(*commit->is_wanted));
    commit->calls = mem_zalloc(MEM_SESSIONS, count * sizeof(*commit->calls));
    for (uint32_t i = 0; i < count; i++) {
        commit->is_wanted[i] = i == shard_id() || remote_takes_part(&txn->remotes[i]);
    }
    buf_init(&commit->record, MEM_SESSIONS);
}

static void
commit_fini(struct commit *commit)
{
    uint32_t count = shard_count();

    mem_free(MEM_SESSIONS, commit->is_wanted, count * sizeof(*commit->is_wanted));
    mem_free(MEM_SESSIONS, commit->calls, count * sizeof(*commit->calls));
    buf_fini(&commit->record);
}

/* Locks of others are in the way of an auto transaction: whoever has prepared gives way, and then
 * the locks are waited for, shard after shard. */
static YIELDS err_t
commit_lock(struct commit *commit)
{
    err_t err;

    SOMETIMES("txn: a commit over shards waited for locks");
    TRY(txn_call_many(commit->txn, commit->is_wanted, unprepare_run, NULL, 0));
    for (uint32_t i = 0; i < shard_count(); i++) {
        if (commit->is_wanted[i]) {
            TRY(txn_call(commit->txn, i, lock_wait_run, NULL));
        }
    }
out:
    return err;
}

static YIELDS err_t
commit_prepare(struct commit *commit)
{
    err_t err = ERR_BUSY;

    for (uint32_t round = 0; err == ERR_BUSY; round++) {
        if (round == COMMIT_ROUNDS_MAX) {
            return conflict();
        }
        if (round > 0) {
            TRY(commit_lock(commit));
        }
        err = txn_call_many(commit->txn, commit->is_wanted, prepare_run, commit->calls,
                            sizeof(*commit->calls));
    }
out:
    return err;
}

/* The writes of this shard as its part has them, and those of the others in sections. */
static err_t
record_build(struct commit *commit)
{
    struct txn *txn = commit->txn;
    const struct store_batch *own = &txn->part.writes.batch;
    struct buf *record = &commit->record;
    size_t most = store_record_bytes_max(txns_self()->store);
    size_t bytes = own->record.size;

    for (uint32_t i = 0; i < shard_count(); i++) {
        bytes += i == shard_id() ? 0 : commit->calls[i].ops.size;
    }
    if (bytes > most) {
        return err_set(ERR_LIMIT,
                       "a transaction over several shards writes %zu bytes: one log record has at "
                       "most %zu",
                       bytes, most);
    }
    buf_reserve(record, bytes + shard_count() * (size_t)RECORD_SECTION_HEAD_BYTES_MAX);
    if (own->record.size > 0) {
        buf_append(record, own->record.data, own->record.size);
    } else {
        txn_record_begin(txn, record);
    }
    commit->ops = own->ops;
    for (uint32_t i = 0; i < shard_count(); i++) {
        const struct prepare_call *call = &commit->calls[i];

        if (i != shard_id() && call->op_count > 0) {
            record_append_section(record, i, call->op_count, call->ops, call->has_ingest);
            commit->ops++;
        }
    }
    return ERR_OK;
}

/* All have agreed. Room for the record is the last thing that may be refused; then the transaction
 * is decided in one step. */
static YIELDS err_t
commit_decide(struct commit *commit, struct txn_done *done_out)
{
    struct txn *txn = commit->txn;
    struct txns *txns = txns_self();
    struct store *store = txns->store;
    struct store_room room = store_room_of(&txn->part.writes.batch);
    uint64_t ts;
    err_t err;

    TRY(record_build(commit));
    room.log_bytes = commit->record.size;
    TRY(store_wait_room(store, &room));
    for (uint32_t i = 0; i < shard_count(); i++) {
        clock_raise(&store->clock, commit->calls[i].proposal);
    }
    ts = clock_next(&store->clock);
    done_out->ts = ts;
    store->writer = txn->part.locks.client;
    done_out->lsn =
        store_commit_step(store, &commit->record, commit->ops, ts, txn->part.writes.batch.ingest);
    shard_acked_raise(ts);
    outcome_queue(txns->commits, txn, ts, done_out->lsn);
    if (txn->part.large_written > 0) {
        part_large_release(&txn->part);
    }
out:
    return err;
}

/* ---- One shard that is not the home. ---- */

struct there {
    struct txn_done done;
};

static YIELDS err_t
commit_there_run(struct part *part, void *arg)
{
    struct there *there = arg;
    struct txns *txns = txns_self();
    err_t err;

    TRY(part_commit(part, &there->done));
    remote_part_done(part);
    if (store_durability(txns->store) == WAL_SYNC) {
        store_wait_durable(txns->store, there->done.lsn);
    }
out:
    return err;
}

static YIELDS err_t
noted_wait_run(struct part *part, void *arg)
{
    (void)arg;
    wal_wait_durable(store_wal(txns_self()->store), part->noted);
    return ERR_OK;
}

/* The one shard that has writes, when no other has anything to check; shard_count(): there is
 * none. */
static uint32_t
only_writer(const struct txn *txn)
{
    uint32_t count = shard_count();
    uint32_t writer = count;

    if (!overlay_is_empty(&txn->part.writes) || part_has_reads(&txn->part)) {
        writer = shard_id();
    }
    for (uint32_t i = 0; i < count; i++) {
        bool has_reads = txn->remotes[i].has_reads && !txn->part.read_only;

        if (i != shard_id() && (remote_has_writes(&txn->remotes[i]) || has_reads)) {
            if (writer != count) {
                return count;
            }
            writer = i;
        }
    }
    return writer;
}

static YIELDS err_t
commit_there(struct txn *txn, uint32_t writer, struct txn_done *done_out)
{
    struct there there = {0};
    lsn_t noted = txn->part.noted;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < shard_count(); i++) {
        if (i != writer && txn->remotes[i].noted != 0) {
            TRY(txn_call(txn, i, noted_wait_run, NULL));
        }
    }
    if (writer == shard_id()) {
        return part_commit(&txn->part, done_out);
    }
    /* The record stands in another log: it must not outlive what was read here. */
    wal_wait_durable(store_wal(txns_self()->store), noted);
    SOMETIMES("txn: a transaction was committed by another shard than its home");
    TRY(txn_call(txn, writer, commit_there_run, &there));
    done_out->ts = there.done.ts;
    done_out->lsn = 0;
out:
    return err;
}

err_t
txn_commit_shards(struct txn *txn, struct txn_done *done_out)
{
    struct commit commit;
    uint32_t writer;
    err_t err;

    ASSERT(txn->remotes != NULL);
    part_hold(&txn->part); /* The messages take time: what was read here must be checked. */
    writer = only_writer(txn);
    if (writer < shard_count()) {
        return commit_there(txn, writer, done_out);
    }
    outcomes_wait_room(txns_self()->commits);
    commit_init(&commit, txn);
    TRY(commit_prepare(&commit));
    err = commit_decide(&commit, done_out);
out:
    commit_fini(&commit);
    return err;
}

/* ---- The shard's commits. ---- */

err_t
commits_open(struct txns *txns)
{
    struct commit_shard *commits = MEM_NEW(MEM_RUNTIME, struct commit_shard);

    commits->txns = txns;
    list_init(&commits->outcomes);
    cond_init(&commits->outcome_cond);
    cond_init(&commits->room_cond);
    cond_init(&commits->parts_cond);
    fiber_group_init(&commits->fibers);
    txns->commits = commits;
    return shard_count() == 1 ? ERR_OK : outcomes_open(commits);
}

void
commits_close(struct txns *txns)
{
    struct commit_shard *commits = txns->commits;

    if (commits == NULL) {
        return;
    }
    remote_parts_close(commits);
    outcomes_close(commits);
    txns->commits = NULL;
    MEM_FREE(MEM_RUNTIME, commits);
}
