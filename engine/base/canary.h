/* engine/base/canary.h - planted bugs, by which the simulator proves that it can find any.
 *
 * A point where a rule of the storage is kept asks CANARY(NAME) whether to break it:
 *     flags = CANARY(WAL_NO_SYNC) ? 0 : IO_DURABLE;
 * Nothing in production sets canary_active; orbit-sim --canary does, before the first shard
 * starts. The test is one predictable branch: keep it out of loops over bytes or entries. */
#pragma once

/*      name                    what is broken, and who asks */
#define CANARY_TABLE(X)                                                                            \
    X(WAL_NO_SYNC, "wal: a batch is written without IO_DURABLE and acknowledged")                  \
    X(WAL_CHECKSUM_IGNORED, "wal: replay accepts a batch whose checksum does not match")           \
    X(WAL_CHAIN_UNCHECKED, "wal: replay accepts a batch that does not chain to its predecessor")   \
    X(BLOCK_CHECKSUM_IGNORED, "lsm: a block of a table is used although its checksum is wrong")    \
    X(MANIFEST_NO_SYNC, "lsm: an edit of the manifest is written without IO_DURABLE")              \
    X(FLUSH_BEFORE_LOG, "lsm: a table is made durable before the log that its writes came from")   \
    X(SNAPSHOT_FORGOTTEN, "lsm: compaction drops versions that only a held snapshot needs")        \
    X(DELETE_DROPPED_EARLY, "lsm: a delete is dropped although an older version lies below")       \
    X(EXPIRED_DROPPED_EARLY, "lsm: an expired table is dropped although older versions lie below") \
    X(STORE_YIELD_MISPLACED, "txn: a fiber yields between reading a sequence and using it")        \
    X(REPLY_BEFORE_DURABLE, "txn: a batch at sync is acknowledged before its record is durable")   \
    X(ENTRY_CACHE_STALE, "lsm: a flush leaves what it replaces in the entry cache")                \
    X(CHECKPOINT_NO_SYNC, "txn: an export's name is reported before its folder was synced")        \
    X(INGEST_LOST, "lsm: a flush leaves the tables ingested before it out of the manifest")        \
    X(HORIZON_LOCAL, "txn: a shard collects versions by its own clock, not by all shards' words")  \
    X(OUTCOME_BEFORE_DURABLE, "txn: other shards apply a commit before its record is durable")     \
    X(RANGE_NOT_VALIDATED, "txn: a SERIALIZABLE transaction forgets the ranges that it has read")  \
    X(SNAPSHOT_BELOW_ACKED, "txn: a snapshot is taken by the own clock, not by what was answered") \
    X(CLOCK_BELOW_CEILING, "txn: a start begins at the newest commit, not at the ceiling")         \
    X(SLOTS_NOT_HELD, "txn: statements go on to the shard that a slot is being moved away from")   \
    X(SLOTS_UNCHECKED, "txn: a commit writes to a slot that has left its shard meanwhile")         \
    X(SPILL_DELETES_LOST, "txn: what a large transaction deletes is not in the tables it becomes") \
    X(FEED_END_EARLY,                                                                              \
      "txn: a feed takes a log as read to the end although some waits for the disk")               \
    X(BLOCK_TURN_LOST, "kv: when a waiter that was woken leaves, the next is not woken")           \
    X(GROUP_IDLE_IGNORED, "kv: XCLAIM takes what its consumer was given a moment ago")             \
    X(GROUP_PENDING_LOST, "kv: an entry delivered after a wait is not pending")                    \
    X(CLAIM_UNCOMMITTED, "kv: a command is answered although its commit met another's")

enum canary {
    CANARY_NONE,
#define CANARY_ENUM(name, text) CANARY_##name,
    CANARY_TABLE(CANARY_ENUM)
#undef CANARY_ENUM
        CANARY_COUNT,
};

/* Read-only once shards run. */
extern enum canary canary_active;

#define CANARY(name) __builtin_expect(canary_active == CANARY_##name, 0)

/* "WAL_NO_SYNC" and its text; the index is 1..CANARY_COUNT - 1. */
const char *canary_name(enum canary canary);
const char *canary_text(enum canary canary);
/* CANARY_NONE when no canary has that name (in any case of letters, "-" for "_" allowed). */
enum canary canary_from_name(const char *name);
