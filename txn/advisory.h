/* txn/advisory.h - advisory locks, as PostgreSQL has them: names that mean something to clients.
 *
 * A session has them, for itself until it unlocks them as often as it locked them or ends, or for
 * its transaction, until that ends or goes back to a savepoint. Its own never stand in its own
 * way. The object lives on the session's shard, and its functions are called there by one fiber at
 * a time (but for advisory_cancel); each name is locked on the shard of its hash, in the table of
 * txn/lock.h, so that deadlocks with rows and with other sessions are found. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/rt/fiber.h"
#include "txn/lock.h"

enum { ADVISORY_LOCKS_MAX = 1 << 16 }; /* Names of one session: ERR_LIMIT. */

struct advisory; /* Of a session. */

/* One 64-bit number, or two of 32: different names, in each database its own. */
struct advisory_key {
    uint32_t database;
    bool is_pair;
    uint64_t value; /* A pair: the first number above the second. */
};

static inline struct advisory_key
advisory_key(uint32_t database, int64_t number)
{
    return (struct advisory_key){.database = database, .value = (uint64_t)number};
}

static inline struct advisory_key
advisory_key_pair(uint32_t database, int32_t first, int32_t second)
{
    return (struct advisory_key){.database = database,
                                 .is_pair = true,
                                 .value = (uint64_t)(uint32_t)first << 32 | (uint32_t)second};
}

enum advisory_mode { ADVISORY_SHARED, ADVISORY_EXCLUSIVE };
enum advisory_level { ADVISORY_SESSION, ADVISORY_TXN };

struct advisory *advisory_new(void);
/* Everything is unlocked. Accepts NULL; clears the pointer. */
YIELDS void advisory_free(struct advisory **advisory);

/* Errors: ERR_LOCK_TIMEOUT (LOCK_NOWAIT, which the try functions use, or the deadline), ERR_BUSY
 * (LOCK_SKIP), ERR_DEADLOCK, ERR_CANCELED (advisory_cancel), ERR_LIMIT. */
YIELDS err_t advisory_lock(struct advisory *advisory, struct advisory_key key,
                           enum advisory_mode mode, enum advisory_level level, enum lock_wait wait,
                           uint64_t deadline_us);
/* Takes one lock of the session's back; false: it has none in this mode (those of the transaction
 * do not count). */
YIELDS bool advisory_unlock(struct advisory *advisory, struct advisory_key key,
                            enum advisory_mode mode);
/* All of the session's; those of the transaction stay. */
YIELDS void advisory_unlock_all(struct advisory *advisory);

/* The transaction ends: its locks go. */
YIELDS void advisory_txn_end(struct advisory *advisory);
/* A savepoint, and going back to it: what the transaction has locked since goes. */
uint32_t advisory_mark(const struct advisory *advisory);
YIELDS void advisory_release_to(struct advisory *advisory, uint32_t mark);

/* The session runs a statement of this transaction (0: of none any more): whoever waits for one of
 * both waits for the other. Set around every statement once there is an object. */
void advisory_statement(struct advisory *advisory, uint64_t txn);
/* From another fiber of the session's shard: a lock that is being waited for gives ERR_CANCELED. */
YIELDS void advisory_cancel(struct advisory *advisory);

/* What the session has, for lists: calls visit for each name and mode. */
struct advisory_info {
    struct advisory_key key;
    enum advisory_mode mode;
    uint32_t session_count; /* How often for the session. */
    bool is_txn;            /* Also, or only, for the transaction. */
};
void advisory_visit(const struct advisory *advisory,
                    void (*visit)(void *arg, const struct advisory_info *info), void *arg);

/* ---- For txn/: the part of a shard. ---- */

struct advisories;
struct advisories *advisories_new(void);
/* Accepts NULL; clears the pointer. No session may be left. */
void advisories_free(struct advisories **advisories);
/* Sessions of this shard that run a statement. */
void advisories_visit(const struct advisories *advisories,
                      void (*visit)(void *arg, uint64_t session, uint64_t txn), void *arg);
