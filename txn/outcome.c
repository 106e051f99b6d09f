/* txn/outcome.c - telling the parts of a transaction over shards that it is committed.
 *
 * One fiber a shard takes the outcomes in the order of the log, waits for each record and sends it
 * on. Messages between two shards keep their order, so every shard applies the sections of one log
 * in the order of that log, and one position says what it has of it. */
#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/commits.h"

#include "engine/base/poison.h"

struct outcome;

struct outcome_message {
    struct msg msg;
    struct outcome *outcome;
};

struct outcome {
    struct list link; /* In commits->outcomes until it is sent. */
    struct commit_shard *commits;
    uint64_t txn, ts;
    uint64_t log_id;
    lsn_t lsn;
    uint32_t count;   /* Of messages. */
    uint32_t pending; /* Not answered yet. */
    struct outcome_message messages[];
};

static size_t
outcome_bytes(uint32_t count)
{
    return sizeof(struct outcome) + count * sizeof(struct outcome_message);
}

/* ---- At the part. ---- */

/* On the loop's stack, so in the order of the messages. The home shard keeps the outcome until the
 * answer is back. */
static void
outcome_hear(void *arg)
{
    const struct outcome *outcome = ((const struct outcome_message *)arg)->outcome;
    struct txns *txns = txns_self();
    struct part *part = txns == NULL ? NULL : txn_part_find(txns, outcome->txn);
    struct store_batch *batch;

    if (part == NULL) {
        return; /* It had nothing to wait for, and the shard is ending. */
    }
    clock_raise(&txns->store->clock, outcome->ts);
    horizon_note_commit(&txns->store->horizon, outcome->ts);
    batch = &part->writes.batch;
    if (batch->ops > 0) {
        struct store_section section = {
            .log_id = outcome->log_id,
            .lsn = outcome->lsn,
            .ts = outcome->ts,
            .bytes = record_ops(buf_slice(&batch->record)),
            .ops = batch->ops,
            .has_ingest = batch->ingest != NULL,
        };

        ASSERT(part->state == PART_PREPARED);
        ASSERT(outcome->ts >= part->proposal);
        txns->store->writer = part->locks.client;
        store_apply_section(txns->store, &section, batch->ingest);
    }
    remote_part_end(txns->commits, part);
}

/* ---- At home. ---- */

static void
outcome_heard(struct msg *msg)
{
    struct outcome *outcome = CONTAINER_OF(msg, struct outcome_message, msg)->outcome;
    struct commit_shard *commits = outcome->commits;

    outcome->pending--;
    if (outcome->pending == 0) {
        mem_free(MEM_SESSIONS, outcome, outcome_bytes(outcome->count));
        commits->outcome_count--;
        cond_broadcast(&commits->room_cond);
    }
}

void
outcomes_wait_room(struct commit_shard *commits)
{
    while (commits->outcome_count >= COMMITS_OUTCOMES_MAX) {
        cond_wait_uncancelable(&commits->room_cond);
    }
}

void
outcome_queue(struct commit_shard *commits, struct txn *txn, uint64_t ts, lsn_t lsn)
{
    struct outcome *outcome;
    uint32_t count = 0;

    for (uint32_t i = 0; i < shard_count(); i++) {
        count += txn->remotes[i].is_begun;
    }
    outcome = mem_zalloc(MEM_SESSIONS, outcome_bytes(count));
    outcome->commits = commits;
    outcome->txn = txn->part.txn;
    outcome->ts = ts;
    outcome->lsn = lsn;
    outcome->log_id = commits->txns->store->log_id;
    for (uint32_t i = 0; i < shard_count(); i++) {
        struct outcome_message *message = &outcome->messages[outcome->count];

        if (txn->remotes[i].is_begun) {
            message->outcome = outcome;
            message->msg = (struct msg){
                .to = i,
                .kind = MSG_INLINE,
                .fn = outcome_hear,
                .arg = message,
                .done = outcome_heard,
            };
            outcome->count++;
            txn->remotes[i].is_begun = false; /* This is its end. */
        }
    }
    outcome->pending = outcome->count;
    list_push_back(&commits->outcomes, &outcome->link);
    commits->outcome_count++;
    cond_signal(&commits->outcome_cond);
}

static YIELDS void
outcome_send(struct outcome *outcome)
{
    uint32_t count = outcome->count;

    /* It is freed with the answer to the last message. */
    for (uint32_t i = 0; i < count; i++) {
        msg_send(&outcome->messages[i].msg);
    }
}

static YIELDS void
outcome_main(void *arg)
{
    struct commit_shard *commits = arg;
    struct wal *wal = store_wal(commits->txns->store);

    for (;;) {
        struct outcome *outcome;

        while (list_is_empty(&commits->outcomes) && !commits->is_closing) {
            cond_wait_uncancelable(&commits->outcome_cond);
        }
        if (list_is_empty(&commits->outcomes)) {
            break;
        }
        outcome = LIST_ENTRY(commits->outcomes.next, struct outcome, link);
        if (!CANARY(OUTCOME_BEFORE_DURABLE)) {
            wal_wait_durable(wal, outcome->lsn);
        }
        list_remove(&outcome->link);
        outcome_send(outcome);
    }
}

err_t
outcomes_open(struct commit_shard *commits)
{
    if (!fiber_group_spawn(&commits->fibers, "txn-outcomes", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                           outcome_main, commits)) {
        return err_set(ERR_LIMIT, "no fiber for the outcomes of transactions");
    }
    return ERR_OK;
}

void
outcomes_close(struct commit_shard *commits)
{
    while (commits->outcome_count > 0) {
        cond_wait_uncancelable(&commits->room_cond);
    }
    commits->is_closing = true;
    cond_signal(&commits->outcome_cond);
    fiber_group_wait(&commits->fibers);
}
