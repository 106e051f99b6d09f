/* txn/txn.h - transactions over all shards: what models, sessions and the C API see of the store.
 *
 * A transaction is an object of its home shard, where it was begun; its functions are called there,
 * by one fiber at a time. It reads at one snapshot over all shards (READ COMMITTED: one a
 * statement) and sees its own writes. Reads and writes name the slot of what they touch; the
 * shard that owns the slot has the transaction's *part* (txn/part.h): its writes there, its locks,
 * what it read. Another shard costs a message. Protocol and reasons: docs/transactions.md.
 *
 * Kinds:
 *   auto         one command or statement: SERIALIZABLE, no locks before the commit; a conflict is
 *                ERR_SERIALIZATION and the caller runs it again (txn_begin_auto).
 *   interactive  begun and ended by a client: writes lock their keys (txn_begin).
 *
 * Errors beside those of the store, all with a text:
 *   ERR_SERIALIZATION     the transaction must be run again (40001)
 *   ERR_DEADLOCK          chosen as the victim (40P01)
 *   ERR_LOCK_TIMEOUT      NOWAIT, or lock_timeout (55P03)
 *   ERR_SNAPSHOT_TOO_OLD  (72000)
 *   ERR_READ_ONLY         a write in a read-only transaction (25006)
 *   ERR_TXN_ABORTED       an earlier statement failed: only rollback is possible (25P02)
 *   ERR_TIMEOUT           the deadline of the transaction
 *   ERR_IDLE_TIMEOUT      idle in transaction for too long: it was rolled back (25P03)
 *   ERR_LIMIT             names the limit
 * After an error of a read, write or lock the transaction may go on only if the caller rolls back
 * to a savepoint; txn_commit refuses (ERR_TXN_ABORTED). ERR_INVALID arguments change nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/crc16.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "lsm/lsm.h"
#include "txn/lock.h"
#include "txn/store.h"

struct txn;
struct part;

enum txn_isolation { TXN_READ_COMMITTED, TXN_REPEATABLE_READ, TXN_SERIALIZABLE };

enum {
    TXN_SAVEPOINTS_MAX = 65536, /* ERR_LIMIT above. */
    TXN_TOKEN_BYTES = 32,       /* Hexadecimal digits. */
    TXN_KEYS_AT_ONCE = 1 << 20, /* Of one txn_multi_get. */
    TXNS_MAX = 65536,           /* Interactive ones of a shard: ERR_LIMIT. */
};

struct txn_options {
    enum txn_isolation isolation;
    bool read_only;
    /* With SERIALIZABLE and read_only: waits at the begin for a snapshot that needs no check. Here
     * every snapshot is one, so that it costs nothing. */
    bool deferrable;
    uint64_t as_of;           /* A timestamp to read at; 0: now. Implies read_only. From the future:
                                 ERR_INVALID; below what is kept: ERR_SNAPSHOT_TOO_OLD. */
    uint64_t deadline_us;     /* Of shard_now_us: statements and commit fail after it. 0: none. */
    uint64_t lock_timeout_us; /* Of each wait for a lock. 0: none. */
    uint64_t statement_timeout_us; /* Of each txn_run. 0: none. */
    uint64_t idle_timeout_us;      /* Between statements: rolled back after it. 0: none. */
    /* Only txn_run drives it, so that the deadline, too, may roll it back between two, and the idle
     * timeout before the first. Otherwise a deadline is found by the next call. */
    bool ends_by_itself;
    struct slice principal; /* Into the commit record; copied. */
    struct slice protocol;
    struct slice tag;
};

/* An interactive transaction. Errors: ERR_LIMIT, ERR_INVALID, ERR_SNAPSHOT_TOO_OLD. */
YIELDS err_t txn_begin(const struct txn_options *options, struct txn **txn_out);
/* One command: costs about as much as a function call, and never fails or suspends. read_only: it
 * writes nothing (asserted). The origin is borrowed for its life; NULL: empty. */
struct txn_origin {
    struct slice principal, protocol, tag;
    uint64_t client; /* Whose waits for locks txn_waits_cancel ends; 0: nobody's. */
};
struct txn *txn_begin_auto(bool read_only, const struct txn_origin *origin);

/* What a transaction waited for or must be waited for by whoever answers a client. */
struct txn_done {
    uint64_t ts; /* Of the commit; 0 when nothing was written. */
    /* A position of this shard's log that an answer at `sync` waits for (0: none). For other
     * shards' logs txn_commit has waited itself: for what a commit has read there always, for a
     * record that stands there, and what a transaction without writes has read, at `sync`. */
    lsn_t lsn;
};

/* Ends the transaction, whatever is returned, and clears the pointer. After an error nothing was
 * done. Takes effect in one step: when it returns ERR_OK everybody sees all of it. done_out may be
 * NULL. At WAL_SYNC an answer then waits for done_out->lsn; txn_commit itself suspends only for
 * room, for locks, and for other shards. */
YIELDS err_t txn_commit(struct txn **txn, struct txn_done *done_out);
/* The caller is about to suspend by means other than these functions (long computing that gives
 * way) while the transaction is open: an auto one holds its snapshot from now on, and what it has
 * read is validated. Cheap, and harmless when repeated. */
void txn_hold(struct txn *txn);
/* A long command of an auto transaction, between two writes: what it has written may go to disk
 * (txn/spill.h), with locks on it from then on. An error is kept and given by the next call. */
YIELDS void txn_relieve(struct txn *txn);
/* An auto transaction that has read nothing yet, and has waited for locks: takes its snapshot anew,
 * so that it sees what those did that it waited for. */
void txn_refresh(struct txn *txn);
/* Ends it without a trace. Accepts a pointer to NULL. Suspends only when other shards take part. */
YIELDS void txn_abort(struct txn **txn);

/* ---- Reading. Results as in lsm.h; an own write has ts 0. ---- */

YIELDS err_t txn_get(struct txn *txn, uint16_t slot, struct slice key, struct arena *arena,
                     struct lsm_value *value_out);
struct txn_key {
    uint16_t slot;
    struct slice key;
};
/* All shards and all reads at the same time. */
YIELDS err_t txn_multi_get(struct txn *txn, const struct txn_key *keys, uint32_t count,
                           struct arena *arena, struct lsm_value *results);
/* A counter as the transaction sees it: of one shard (that of the slot), or the sum over all. Not
 * part of the read set: who depends on it reads what it counts. What is committed after it becomes
 * durable only when all commits in the value are. */
YIELDS err_t txn_counter(struct txn *txn, uint16_t slot, uint32_t counter, int64_t *value_out);
YIELDS err_t txn_counter_sum(struct txn *txn, uint32_t counter, int64_t *sum_out);

/* Ordered scans of [lower, upper) that merge own writes; upper.size == 0: to the end. The bounds
 * are copied. A scan belongs to one transaction and must be closed before it ends; own writes made
 * after the open are seen or not as statements have it (txn_statement). Reads of a SERIALIZABLE
 * transaction are remembered as the ranges that were passed. */
struct txn_scan;
enum { TXN_ALL_SHARDS = UINT32_MAX };
/* On the shard of `slot`, or merged over all shards (TXN_ALL_SHARDS). */
YIELDS err_t txn_scan_open(struct txn *txn, uint32_t slot, struct slice lower, struct slice upper,
                           struct txn_scan **scan_out);
void txn_scan_close(struct txn_scan **scan);
YIELDS err_t txn_scan_first(struct txn_scan *scan);
YIELDS err_t txn_scan_last(struct txn_scan *scan);
YIELDS err_t txn_scan_seek(struct txn_scan *scan, struct slice key);        /* First >= key. */
YIELDS err_t txn_scan_seek_before(struct txn_scan *scan, struct slice key); /* Last < key. */
YIELDS err_t txn_scan_next(struct txn_scan *scan);
YIELDS err_t txn_scan_previous(struct txn_scan *scan);
bool txn_scan_is_valid(const struct txn_scan *scan);
/* Valid until the scan moves or closes. A large value is fetched by txn_scan_value. */
const struct lsm_entry *txn_scan_entry(const struct txn_scan *scan);
YIELDS err_t txn_scan_value(struct txn_scan *scan, struct arena *arena, struct slice *value_out);

/* ---- Writing. Bytes are copied (auto: values above LSM_VALUE_INLINE_BYTES_MAX are borrowed until
 * the end). Errors are kept and given by txn_flush and txn_commit; on another shard writes are
 * gathered and travel with the next read, lock, flush or the commit. ---- */

void txn_put(struct txn *txn, uint16_t slot, struct slice key, struct slice value,
             uint64_t expire_us);
void txn_delete(struct txn *txn, uint16_t slot, struct slice key);
/* Of what lies on the shard of `slot`: everything in [start, end) that this transaction sees now,
 * and nothing that it writes later. */
void txn_delete_range(struct txn *txn, uint16_t slot, struct slice start, struct slice end);
/* On every shard. */
void txn_delete_range_all(struct txn *txn, struct slice start, struct slice end);
void txn_counter_add(struct txn *txn, uint16_t slot, uint32_t counter, int64_t delta);
/* Every gathered write is at its shard, and (interactive) its key is locked and not written by
 * anybody since the snapshot (REPEATABLE READ and above: otherwise ERR_SERIALIZATION). The end of a
 * statement calls it, so that its errors are the statement's. */
YIELDS err_t txn_flush(struct txn *txn);
/* Did it write anything? */
bool txn_has_writes(const struct txn *txn);

/* What is to be done at the end of an interactive transaction, on its home shard: done is NULL when
 * it was rolled back. The function frees the object that the hook lies in. */
struct txn_hook {
    struct txn_hook *next;
    YIELDS void (*run)(struct txn_hook *hook, const struct txn_done *done);
};
void txn_hook_add(struct txn *txn, struct txn_hook *hook);
/* The one with this function; NULL: none. */
struct txn_hook *txn_hook_find(const struct txn *txn,
                               void (*run)(struct txn_hook *hook, const struct txn_done *done));

/* ---- Statements and savepoints. ---- */

/* A new statement begins: at READ COMMITTED it takes a new snapshot. With sees_own_only_before,
 * reads see own writes of earlier statements only (SQL); otherwise all (Redis). Then, also at READ
 * COMMITTED, a write of what others have written since the statement's snapshot is
 * ERR_SERIALIZATION: txn_statement_undo, and run it again under the locks it has. ERR_TXN_ABORTED,
 * ERR_TIMEOUT. */
YIELDS err_t txn_statement(struct txn *txn, bool sees_own_only_before);
/* For a part of the present statement: do its reads see own writes of earlier statements only? The
 * answer is what was so before; the caller sets it back. Neither snapshot nor statement change. */
bool txn_statement_sees(struct txn *txn, bool own_only_before);
/* Takes back the writes of the present statement, and forgets its error. Locks stay. */
YIELDS err_t txn_statement_undo(struct txn *txn);
/* A number to roll back to, any number of times; later ones end with it. Locks taken since are
 * released. */
YIELDS err_t txn_savepoint(struct txn *txn, uint32_t *savepoint_out);
YIELDS err_t txn_rollback_to(struct txn *txn, uint32_t savepoint);

/* ---- Locks (txn/lock.h has strengths and waiting). Kept to the end of the transaction. ---- */

YIELDS err_t txn_lock(struct txn *txn, uint16_t slot, struct slice key, enum lock_mode mode,
                      enum lock_wait wait);
/* The same, and: has another transaction written the key since the snapshot? */
YIELDS err_t txn_lock_row(struct txn *txn, uint16_t slot, struct slice key, enum lock_mode mode,
                          enum lock_wait wait, bool *is_changed_out);

/* What the transaction waits for is waited for by this client from now on: who drives it. */
void txn_client_set(struct txn *txn, uint64_t client);
/* A client has gone: what waits on this shard for locks on its behalf ends with ERR_CANCELED. A
 * wait that begins later does not: the caller repeats it while the client's command runs. */
void txn_waits_cancel(uint64_t client);

/* ---- What it is. ---- */

uint64_t txn_snapshot(const struct txn *txn);
uint64_t txn_id(const struct txn *txn);
enum txn_isolation txn_isolation_of(const struct txn *txn);
bool txn_is_read_only(const struct txn *txn);
bool txn_is_auto(const struct txn *txn);

/* ---- Hand-over: sessions attach to a transaction by its token, on any protocol. ---- */

/* Run fn(txn, arg) at the home shard of an interactive transaction, when no other statement of it
 * runs: a session elsewhere drives it so. ERR_NOT_FOUND: it has ended. */
typedef YIELDS void (*txn_fn)(struct txn *txn, void *arg);
YIELDS err_t txn_run(uint64_t id, txn_fn fn, void *arg);
/* The token: made at the first asking; unguessable; ends with the transaction. ERR_INVALID: auto.*/
YIELDS err_t txn_token(uint64_t id, char token_out[TXN_TOKEN_BYTES + 1]);
/* Who has the token and is the same principal drives it from now on, beside the others.
 * ERR_NOT_FOUND (unknown, ended or expired), ERR_DENIED (another principal's). */
YIELDS err_t txn_join(struct slice token, struct slice principal, uint64_t *id_out);
/* A session that drives it goes: who began it, or has joined. With the last one it is rolled back.
 * Harmless when it has ended. */
YIELDS void txn_detach(uint64_t id);
/* End it from any shard. ERR_NOT_FOUND: it has ended. */
YIELDS err_t txn_commit_id(uint64_t id, struct txn_done *done_out);
YIELDS err_t txn_abort_id(uint64_t id);

/* What `orbitctl txns` shows of one: on its home shard, with what its parts elsewhere held when
 * they last answered. */
struct txn_info {
    uint64_t id, snapshot, begun_us, statements, writes, write_bytes, locks, reads;
    uint64_t active_us; /* When its last statement ended: it is idle since, if its state says so. */
    const char *state;  /* "idle", "active", "waits for a lock", "committing" */
    enum txn_isolation isolation;
    bool read_only;
    struct slice principal, protocol;
};
void txn_visit(void (*visit)(void *arg, const struct txn_info *info), void *arg);

/* Of this shard, since it was opened. */
struct txn_stats {
    uint64_t open;                      /* Interactive ones, now. */
    uint64_t begun, committed, aborted; /* Interactive. */
    uint64_t serialization_failures;    /* Of all kinds. */
    uint64_t oldest_snapshot;           /* Of those that are open; UINT64_MAX: none. */
    struct lock_stats locks;
};
void txn_stats_get(struct txn_stats *stats_out);

/* ---- The shard's side: registered as SHARD_SLOT_TXN; opened after, closed before the store. ----
 */
struct txns;
YIELDS err_t txns_open(struct txns **txns_out);
/* Transactions that are open are rolled back. Accepts NULL; clears the pointer. */
YIELDS void txns_close(struct txns **txns);

/* Each wait for a lock of this shard's auto transactions ends after it. 0 (the start): none. */
void txns_auto_lock_timeout_set(uint64_t timeout_us);

/* ---- Which shard owns which slot: docs/resharding.md. ---- */

/* At this moment: it may change at every suspension. Reads and writes find their way themselves,
 * wherever they are called; this is for who wants to run close to the data. */
uint32_t txn_shard_of_slot(uint16_t slot);
/* The slot of what belongs to a shard itself, and never moves. */
static inline uint16_t
txn_slot_of_shard(uint32_t shard)
{
    return (uint16_t)(SLOT_COUNT + shard);
}
/* While somebody has a pin no slot changes hands: for what visits all shards one after the other.
 * Waits for a move that is under way (a moment). Who has one takes no second. */
YIELDS void txn_slots_pin(void);
void txn_slots_unpin(void);
/* So many shards are to share the slots; those above empty themselves and take no connections. */
uint32_t txn_shards_wanted(void);
/* Shards from this one on were given up: nothing can be committed there. */
uint32_t txn_shards_live(void);
/* Another number once slots have changed hands, or are about to. */
uint64_t txn_slots_epoch(void);
/* Who has the slot, as the transaction sees it (NULL: now), and up to where those that follow are
 * with the same shard. For who has a pin. */
uint32_t txn_slots_run(const struct txn *txn, uint16_t slot, uint32_t *end_out);
