/* txn/part.h - a transaction's part on one shard: its writes there, its locks, what it read.
 *
 * For the files of txn/. The home shard's part lies in struct txn; others are made by the first
 * message of the transaction that comes, and found by its id. Functions run on the part's shard.
 *
 *     ACTIVE --part_prepare--> PREPARED --part_apply/part_end--> gone
 *        \________________part_end______________________________/ */
#pragma once

#include "engine/base/list.h"
#include "txn/internal.h"
#include "txn/lock.h"
#include "txn/overlay.h"
#include "txn/reads.h"
#include "txn/txn.h"

enum part_state { PART_ACTIVE, PART_PREPARED };

/* Where the transaction stands: goes to a part with every message, so that the part knows where its
 * statements and savepoints begin without having been told when they began. */
struct part_moment {
    uint64_t snapshot;
    uint64_t statement; /* Counts from 1; 0: before the first. */
    uint32_t savepoint; /* The last one made; numbers are never used again. 0: none. */
    bool sees_own_only_before;
    uint64_t lock_timeout_us; /* 0: none. */
    uint64_t deadline_us;     /* Of the statement, and so of the transaction. 0: none. */
    uint64_t client;          /* txn_origin.client */
};

/* In part.marks: what there was when the part was first touched after the savepoint. */
struct part_mark {
    uint32_t savepoint;
    uint32_t locks;
    struct overlay_mark writes;
};

struct part {
    uint64_t txn;              /* Id of the transaction: home shard << 48 | number. */
    struct list link;          /* In txns.parts' bucket (parts away from home), */
    struct list prepared_link; /* and in txns.prepared while prepared. */
    enum part_state state;
    enum txn_isolation isolation;
    bool is_auto;
    bool read_only;
    bool is_move;   /* It moves slots: txn/reshard.c. */
    uint64_t epoch; /* Of the home shard's slot map when the transaction began. */
    /* Some read was not of the moment of the snapshot: SERIALIZABLE must validate. An auto
     * transaction that never suspended since its snapshot needs none. */
    bool must_validate;
    bool is_held; /* `held` is: at home, for the life of the transaction. */
    struct lsm_snapshot held;
    uint64_t snapshot; /* READ COMMITTED: of the present statement. */
    struct part_moment moment;
    struct part_mark statement; /* Where the present statement began here. */
    struct buf marks;           /* Of struct part_mark, rising. */
    struct overlay_mark sees;   /* Own writes before it are seen. */
    struct overlay writes;
    struct overlay_mark locked; /* Interactive: writes before it have their locks. */
    uint32_t spilled_locks;     /* Auto: the lock mark up to which those of spilled writes are. */
    struct reads reads;
    struct lock_owner locks;
    lsn_t noted;            /* The newest position of this shard's log among what was read. */
    uint64_t proposal;      /* PREPARED */
    uint32_t large_written; /* So many of its large values are in the value log, and held there. */
};

/* What it holds: for txn_visit. */
struct part_cost {
    uint64_t writes, write_bytes; /* In memory and on disk. */
    uint64_t locks, reads;
};

/* ---- part.c ---- */

struct part_cost part_cost_of(const struct part *part);

void part_init(struct part *part, uint64_t txn, enum txn_isolation isolation, bool is_auto,
               bool read_only);
/* Releases locks, read set and overlay; wakes who waited for the outcome. */
void part_fini(struct part *part);

/* Takes over where the transaction stands. Cheap when it is where it was. */
void part_enter(struct part *part, const struct part_moment *moment);
/* Back to where the statement, or the savepoint, began here. */
void part_statement_undo(struct part *part, uint64_t statement);
void part_rollback_to(struct part *part, uint32_t savepoint);
/* An auto transaction is about to suspend, or to reach out to another shard: its snapshot is held
 * from now on (called at home), and what it has read must be validated. Harmless when repeated. */
void part_hold(struct part *part);
/* When a wait for a lock ends: microseconds of shard_now_us, or DEADLINE_NONE. */
uint64_t part_lock_deadline(const struct part *part);

/* Reads at part->snapshot: own writes, else the store once no prepared writer stands in between.
 * The first read from disk of an auto part holds its snapshot. */
YIELDS err_t part_get(struct part *part, struct slice key, struct arena *arena,
                      struct lsm_value *value_out);
YIELDS err_t part_multi_get(struct part *part, const struct slice *keys, uint32_t count,
                            struct arena *arena, struct lsm_value *results);
/* Interactive: locks the keys of writes made since the last call, and at REPEATABLE READ and above
 * checks that nobody has written them since the snapshot (ERR_SERIALIZATION). Then, if they take
 * more memory than a transaction may, and then for an auto one as well: to disk with them
 * (part_spill). */
YIELDS err_t part_lock_writes(struct part *part);
/* A prepared writer of the key or range at or below the snapshot: waits for its outcome. */
YIELDS void part_wait_decided(struct part *part, struct slice key);
YIELDS void part_wait_decided_range(struct part *part, struct slice lower, struct slice upper);
void part_note_lsn(struct part *part, lsn_t lsn);
/* Do the writes take more memory than a transaction may (txn/spill.h)? */
bool part_writes_are_much(const struct part *part);
enum { PART_FEW_BYTES = 32 << 10, PART_FEW_LARGE = 64 };
static inline bool
part_spill_is_due(const struct part *part)
{
    const struct store_batch *batch = &part->writes.batch;

    return (batch->record.size > PART_FEW_BYTES || batch->large_count > PART_FEW_LARGE ||
            part->writes.large_bytes > PART_FEW_BYTES) &&
           part_writes_are_much(part);
}
/* To disk with the writes, whatever they take. All must be locked. Errors: ERR_LIMIT, ERR_NO_SPACE,
 * ERR_IO. */
YIELDS err_t part_spill(struct part *part);

/* ---- commit.c: docs/transactions.md has the protocol. ---- */

/* Everything may still be refused: ERR_SERIALIZATION (validation, a prepared conflict), errors of
 * the store (room, disk). Large values are in the value log, what was read is durable here, memory
 * for applying is there, and the writes are marked undecided at *proposal_out. */
YIELDS err_t part_prepare(struct part *part, uint64_t *proposal_out);
/* The only part that wrote, and no other has a read set: checks, record and application in one
 * step on this shard. */
YIELDS err_t part_commit(struct part *part, struct txn_done *done_out);
/* The large values belong to the memtable, or to nobody. */
void part_large_release(struct part *part);
