/* txn/remote.c - the messages between a transaction's home shard and its parts elsewhere.
 *
 * A call carries where the transaction stands, the writes gathered since the last one, and a
 * function to run at the part. All its memory is the home fiber's, which waits for the answer. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/commits.h"

#include "engine/base/poison.h"

/* ---- Parts of other shards' transactions. ---- */

static struct list *
part_bucket(struct txns *txns, uint64_t id)
{
    return &txns->parts[(id ^ id >> TXN_ID_HOME_SHIFT) % TXNS_BUCKETS];
}

struct part *
txn_part_find(struct txns *txns, uint64_t id)
{
    LIST_FOR_EACH(link, part_bucket(txns, id)) {
        struct part *part = LIST_ENTRY(link, struct part, link);

        if (part->txn == id) {
            return part;
        }
    }
    return NULL;
}

static struct remote_part *
remote_part_of(struct part *part)
{
    return CONTAINER_OF(part, struct remote_part, part);
}

static struct remote_part *
remote_part_take(struct commit_shard *commits)
{
    struct remote_part *remote;

    if (commits->kept_count > 0) {
        return commits->kept[--commits->kept_count];
    }
    remote = MEM_NEW(MEM_RUNTIME, struct remote_part);
    overlay_init(&remote->part.writes, true);
    reads_init(&remote->part.reads);
    buf_init(&remote->part.marks, MEM_RUNTIME);
    return remote;
}

static void
remote_part_destroy(struct remote_part *remote)
{
    overlay_fini(&remote->part.writes);
    reads_fini(&remote->part.reads);
    buf_fini(&remote->part.marks);
    MEM_FREE(MEM_RUNTIME, remote);
}

void
remote_part_done(struct part *part)
{
    lock_release_all(txns_self()->locks, &part->locks);
    remote_part_of(part)->is_done = true;
}

void
remote_part_end(struct commit_shard *commits, struct part *part)
{
    struct remote_part *remote = remote_part_of(part);

    ASSERT(remote->users == 0);
    part_fini(part);
    commits->part_count--;
    if (commits->kept_count < COMMIT_PARTS_KEPT &&
        part->writes.batch.record.capacity <= TXN_BYTES_KEPT &&
        part->reads.bytes.capacity <= TXN_BYTES_KEPT) {
        commits->kept[commits->kept_count++] = remote;
    } else {
        remote_part_destroy(remote);
    }
    cond_broadcast(&commits->parts_cond);
}

static void
idle_parts_end(struct commit_shard *commits)
{
    for (uint32_t i = 0; i < TXNS_BUCKETS; i++) {
        struct list *bucket = &commits->txns->parts[i];
        struct list *next;

        for (struct list *link = bucket->next; link != bucket; link = next) {
            struct part *part = LIST_ENTRY(link, struct part, link);

            next = link->next;
            if (part->state == PART_ACTIVE && remote_part_of(part)->users == 0) {
                remote_part_end(commits, part);
            }
        }
    }
}

void
remote_parts_close(struct commit_shard *commits)
{
    idle_parts_end(commits);
    while (commits->part_count > 0) { /* Their homes decide them before they close. */
        cond_wait_uncancelable(&commits->parts_cond);
        idle_parts_end(commits);
    }
    while (commits->kept_count > 0) {
        remote_part_destroy(commits->kept[--commits->kept_count]);
    }
}

/* ---- A call, at the part. ---- */

struct remote_wait {
    struct fiber *fiber;
    uint32_t in_flight;
};

struct remote_call {
    struct msg msg;
    struct remote_wait *wait;
    uint64_t txn;
    enum txn_isolation isolation;
    bool is_auto, read_only, is_move;
    uint64_t epoch;
    struct txn_origin origin;
    struct part_moment moment;
    struct overlay *pending; /* Writes to be put in first; NULL: none. */
    part_fn fn;
    void *arg;
    lsn_t noted; /* In and out, as in struct txn_remote: it outlives the part. */
    /* Out. */
    bool has_reads, has_writes, is_ended;
    struct part_cost cost;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static struct part *
part_begin(struct txns *txns, const struct remote_call *call)
{
    struct commit_shard *commits = txns->commits;
    struct part *part = &remote_part_take(commits)->part;

    remote_part_of(part)->is_done = false;
    part_init(part, call->txn, call->isolation, call->is_auto, call->read_only);
    part->is_move = call->is_move;
    part->epoch = call->epoch;
    if (!call->read_only) {
        overlay_origin(&part->writes, call->origin.principal, call->origin.protocol,
                       call->origin.tag);
    }
    list_push_back(part_bucket(txns, call->txn), &part->link);
    commits->part_count++;
    return part;
}

/* The gathered writes, once more, now beside those that are here already. */
static err_t
pending_put(struct part *part, const struct overlay *pending)
{
    const struct store_batch *batch = &pending->batch;
    struct record_header header;
    struct record_reader reader;
    struct record_op op;
    uint32_t large = 0;
    err_t err;

    TRY(batch->error);
    TRY(record_open(buf_slice(&batch->record), &header, &reader));
    reader.ops_left = batch->ops; /* Not in the header before the commit. */
    while ((err = record_next(&reader, &op)) == ERR_OK) {
        switch (op.kind) {
        case RECORD_PUT:
            overlay_put(&part->writes, op.slot, op.key, op.value, op.expire_us);
            break;
        case RECORD_PUT_LARGE:
            overlay_put(&part->writes, op.slot, op.key, batch->large[large++].value, op.expire_us);
            break;
        case RECORD_DELETE:
            overlay_delete(&part->writes, op.slot, op.key);
            break;
        case RECORD_DELETE_RANGE:
            overlay_delete_range(&part->writes, op.key, op.value);
            break;
        case RECORD_COUNTER_ADD:
            overlay_counter_add(&part->writes, op.counter, op.number);
            break;
        case RECORD_INGEST:
        case RECORD_SECTION:
            return err_set(ERR_UNSUPPORTED, "an ingest is committed on its own shard only");
        }
    }
    err = err == ERR_NOT_FOUND ? part->writes.batch.error : err;
out:
    return err == ERR_OK ? ERR_OK : err_set(err, "%s", err_message(err));
}

/* The snapshot is held at home for all shards; here, too, so that what was read can be checked. */
static void
part_follow(struct part *part, const struct remote_call *call)
{
    struct txns *txns = txns_self();

    if (part->is_held && part->held.ts != call->moment.snapshot) {
        lsm_snapshot_drop(store_lsm(txns->store), &part->held);
        part->is_held = false;
    }
    part_enter(part, &call->moment);
    part_hold(part);
    part->held.is_guest = true; /* The home shard keeps the horizon from passing it. */
}

/* Does the part hold nothing that a later call or the end of the transaction would need? One that
 * has only read at READ COMMITTED or for reading alone: its end then costs no message. */
static bool
part_is_idle(struct part *part)
{
    return part->state == PART_ACTIVE && remote_part_of(part)->users == 0 && !part->is_move &&
           overlay_is_empty(&part->writes) && part->writes.batch.error == ERR_OK &&
           !part_has_reads(part) && part->locks.count == 0 && part->locks.waiting == NULL;
}

static YIELDS err_t
call_run(struct txns *txns, struct remote_call *call)
{
    struct part *part = txn_part_find(txns, call->txn);
    err_t err = ERR_OK;

    if (part == NULL) {
        if (txns->is_closing) {
            return err_set(ERR_SHUTDOWN, "shard %u is shutting down", shard_id());
        }
        part = part_begin(txns, call);
    }
    remote_part_of(part)->users++;
    part->noted = MAX(part->noted, call->noted);
    part_follow(part, call);
    if (call->pending != NULL) {
        TRY(pending_put(part, call->pending));
        TRY(part_lock_writes(part));
    }
    err = call->fn(part, call->arg);
out:
    call->noted = part->noted;
    call->has_writes = !overlay_is_empty(&part->writes);
    call->has_reads = part_has_reads(part);
    call->cost = part_cost_of(part);
    remote_part_of(part)->users--;
    call->is_ended = err == ERR_OK && (remote_part_of(part)->is_done || part_is_idle(part));
    if (call->is_ended) {
        remote_part_end(txns->commits, part);
    }
    cond_broadcast(&txns->commits->parts_cond);
    return err;
}

static YIELDS void
call_hear(void *arg)
{
    struct remote_call *call = arg;
    struct txns *txns = txns_self();

    call->err = txns == NULL
                    ? err_set(ERR_SHUTDOWN, "shard %u takes part in no transactions", shard_id())
                    : call_run(txns, call);
    if (call->err != ERR_OK) {
        snprintf(call->message, sizeof(call->message), "%s", err_message(call->err));
    }
}

/* ---- A call, at home. ---- */

static void
call_answered(struct msg *msg)
{
    struct remote_wait *wait = CONTAINER_OF(msg, struct remote_call, msg)->wait;

    wait->in_flight--;
    if (wait->in_flight == 0) {
        fiber_wake(wait->fiber);
    }
}

static struct txn_origin
origin_of(const struct txn *txn)
{
    static const struct txn_origin none;

    if (txn->part.is_auto) {
        return txn->origin != NULL ? *txn->origin : none;
    }
    return (struct txn_origin){
        .principal = txn->options.principal,
        .protocol = txn->options.protocol,
        .tag = txn->options.tag,
    };
}

void
txn_record_begin(const struct txn *txn, struct buf *record)
{
    struct txn_origin origin = origin_of(txn);

    record_begin(record, origin.principal, origin.protocol, origin.tag);
}

static void
call_init(struct remote_call *call, struct txn *txn, part_fn fn, void *arg)
{
    *call = (struct remote_call){
        .txn = txn->part.txn,
        .isolation = txn->part.isolation,
        .is_auto = txn->part.is_auto,
        .read_only = txn->part.read_only,
        .is_move = txn->part.is_move,
        .epoch = txn->part.epoch,
        .origin = origin_of(txn),
        .moment = txn->moment,
        .fn = fn,
        .arg = arg,
    };
}

static YIELDS void
call_send(struct remote_call *call, struct txn *txn, uint32_t shard, struct remote_wait *wait)
{
    struct txn_remote *remote = txn_remote_of(txn, shard);

    if (!overlay_is_empty(&remote->pending) || remote->pending.batch.error != ERR_OK) {
        call->pending = &remote->pending;
    }
    remote->is_begun = true;
    call->noted = remote->noted;
    call->wait = wait;
    call->msg = (struct msg){
        .to = shard,
        .kind = MSG_FIBER,
        .fn = call_hear,
        .arg = call,
        .done = call_answered,
    };
    wait->in_flight++;
    msg_send(&call->msg);
}

static err_t
call_accept(const struct remote_call *call, struct txn *txn)
{
    struct txn_remote *remote = &txn->remotes[call->msg.to];

    if (call->pending != NULL) {
        overlay_clear(&remote->pending);
    }
    remote->noted = MAX(remote->noted, call->noted);
    remote->has_writes = call->has_writes;
    remote->has_reads = call->has_reads;
    remote->cost = call->cost;
    remote->is_begun = !call->is_ended;
    if (call->err != ERR_OK) {
        return call->message[0] == '\0' ? call->err : err_set(call->err, "%s", call->message);
    }
    return ERR_OK;
}

static YIELDS void
answers_wait(struct remote_wait *wait)
{
    while (wait->in_flight > 0) {
        fiber_suspend();
    }
}

err_t
txn_call(struct txn *txn, uint32_t shard, part_fn fn, void *arg)
{
    struct remote_wait wait = {.fiber = fiber_self()};
    struct remote_call call;

    OBJ_CHECK(txn, TXN_MAGIC);
    if (shard == shard_id()) {
        return fn(&txn->part, arg);
    }
    ASSERT(shard < shard_count());
    part_hold(&txn->part);
    call_init(&call, txn, fn, arg);
    call_send(&call, txn, shard, &wait);
    answers_wait(&wait);
    return call_accept(&call, txn);
}

err_t
txn_call_many(struct txn *txn, const bool *is_wanted, part_fn fn, void *args, size_t arg_size)
{
    uint32_t count = shard_count();
    struct remote_wait wait = {.fiber = fiber_self()};
    struct remote_call *calls = mem_alloc(MEM_SESSIONS, count * sizeof(*calls));
    char message[ERR_MESSAGE_BYTES_MAX] = "";
    err_t err = ERR_OK;

    OBJ_CHECK(txn, TXN_MAGIC);
    part_hold(&txn->part);
    for (uint32_t i = 0; i < count; i++) {
        if (is_wanted[i] && i != shard_id()) {
            call_init(&calls[i], txn, fn, (uint8_t *)args + i * arg_size);
            call_send(&calls[i], txn, i, &wait);
        }
    }
    if (is_wanted[shard_id()]) {
        err = fn(&txn->part, (uint8_t *)args + shard_id() * arg_size);
        snprintf(message, sizeof(message), "%s", err == ERR_OK ? "" : err_message(err));
    }
    answers_wait(&wait);
    for (uint32_t i = 0; i < count; i++) {
        if (is_wanted[i] && i != shard_id()) {
            err_t answer = call_accept(&calls[i], txn);

            /* ERR_BUSY, try again, gives way to an error that stays. */
            if (answer != ERR_OK && (err == ERR_OK || err == ERR_BUSY)) {
                err = answer;
                snprintf(message, sizeof(message), "%s", err_message(answer));
            }
        }
    }
    mem_free(MEM_SESSIONS, calls, count * sizeof(*calls));
    return err == ERR_OK ? ERR_OK : err_set(err, "%s", message);
}

/* ---- The end without a commit. ---- */

static YIELDS void
abort_hear(void *arg)
{
    const uint64_t *id = arg;
    struct txns *txns = txns_self();
    struct part *part = txns == NULL ? NULL : txn_part_find(txns, *id);

    while (part != NULL && remote_part_of(part)->users > 0) {
        cond_wait_uncancelable(&txns->commits->parts_cond);
        txns = txns_self();
        part = txns == NULL ? NULL : txn_part_find(txns, *id);
    }
    if (part != NULL) {
        remote_part_end(txns->commits, part);
    }
}

void
txn_remotes_abort(struct txn *txn)
{
    uint32_t count = shard_count();
    struct remote_wait wait = {.fiber = fiber_self()};
    struct remote_call *calls = NULL;

    for (uint32_t i = 0; i < count; i++) {
        overlay_clear(&txn->remotes[i].pending);
        if (!txn->remotes[i].is_begun) {
            continue;
        }
        if (calls == NULL) {
            calls = mem_alloc(MEM_SESSIONS, count * sizeof(*calls));
        }
        calls[i].wait = &wait;
        calls[i].msg = (struct msg){
            .to = i,
            .kind = MSG_FIBER,
            .fn = abort_hear,
            .arg = &txn->part.txn,
            .done = call_answered,
        };
        txn->remotes[i].is_begun = false;
        wait.in_flight++;
        msg_send(&calls[i].msg);
    }
    answers_wait(&wait);
    mem_free(MEM_SESSIONS, calls, calls == NULL ? 0 : count * sizeof(*calls));
}
