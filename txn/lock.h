/* txn/lock.h - the locks of a shard: on keys, on ranges of keys, and advisory ones.
 *
 * Strengths and conflicts are PostgreSQL's row locks. A request that conflicts waits in the order
 * of requests, but for a strengthening of a lock that is held, which goes first. Locks belong to
 * an owner (a transaction's part on this shard, or a session's advisory locks) and go with it, or
 * back to a mark. Deadlocks are found over all shards (txn/deadlock.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/list.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

enum lock_mode {
    LOCK_KEY_SHARE,     /* FOR KEY SHARE: conflicts with LOCK_UPDATE */
    LOCK_SHARE,         /* FOR SHARE: and with LOCK_NO_KEY_UPDATE */
    LOCK_NO_KEY_UPDATE, /* FOR NO KEY UPDATE: and with LOCK_SHARE and itself */
    LOCK_UPDATE,        /* FOR UPDATE, and every write: conflicts with all */
    LOCK_MODE_COUNT,
};

enum lock_wait {
    LOCK_WAIT,
    LOCK_NOWAIT, /* ERR_LOCK_TIMEOUT at once. */
    LOCK_SKIP,   /* ERR_BUSY at once, without a text: SKIP LOCKED. */
};

enum {
    LOCKS_MAX = 1 << 22, /* Of a shard: ERR_LIMIT. */
    LOCK_OWNER_KEYS_MAX =
        1 << 16,               /* More key locks of one owner that lie together become a range. */
    LOCK_OWNER_RISING = 4,     /* Ranges of an owner that grow with its keys. */
    DEADLOCK_AFTER_US = 20000, /* A wait that lasts longer looks for a deadlock. */
};

struct locks; /* Of a shard. */
struct lock;
struct lock_target;

/* Who holds locks. The memory is the owner's; zeroed by lock_owner_init. */
struct lock_owner {
    uint64_t txn;      /* Id: which owners are one to the deadlock detector. */
    struct list held;  /* Newest first. */
    uint32_t count;    /* Of `held`, */
    uint32_t ranges;   /* and how many of them are of ranges. */
    uint32_t sequence; /* Of the newest one: lock_mark. */
    /* Ranges at whose ends it locked keys of late (lock_join.c); NULL: none. */
    struct lock_target *rising[LOCK_OWNER_RISING];
    uint32_t rising_next;         /* To be replaced. */
    struct lock_request *waiting; /* NULL: none. */
    uint64_t client;              /* On whose behalf it waits: lock_cancel_client. 0: nobody's. */
    bool is_victim;               /* A deadlock was broken by ending its wait. */
    uint64_t *in_the_way;         /* Told who held the lock that a wait was too short for. NULL:
                                     nobody asks. */
    /* Prepared: its writes may be committed at `proposal` or later, and are not decided yet. */
    bool is_prepared;
    uint64_t proposal;
    struct cond decided; /* Broadcast with the outcome. */
};

struct locks *locks_new(void);
void locks_free(struct locks **locks); /* Accepts NULL; nothing may be held. */

void lock_owner_init(struct lock_owner *owner, uint64_t txn);
/* Is any lock held at all? The quick way past everything below. */
bool locks_are_none(const struct locks *locks);

/* Errors: ERR_LOCK_TIMEOUT (NOWAIT, or the deadline: microseconds of shard_now_us, DEADLINE_NONE),
 * ERR_BUSY (SKIP), ERR_DEADLOCK, ERR_CANCELED, ERR_LIMIT. What is held already in this strength or
 * a greater one costs a lookup. */
YIELDS err_t lock_key(struct locks *locks, struct lock_owner *owner, struct slice key,
                      enum lock_mode mode, enum lock_wait wait, uint64_t deadline_us);
/* Every key in [start, end), also those that are not there; an empty end: to the end. */
YIELDS err_t lock_range(struct locks *locks, struct lock_owner *owner, struct slice start,
                        struct slice end, enum lock_mode mode, enum lock_wait wait,
                        uint64_t deadline_us);

/* A name that is no key, and that no range covers: advisory locks (txn/advisory.h). */
YIELDS err_t lock_advisory(struct locks *locks, struct lock_owner *owner, struct slice name,
                           enum lock_mode mode, enum lock_wait wait, uint64_t deadline_us);
/* The owner's lock on the name becomes this weaker one; LOCK_MODE_COUNT: is released. */
void lock_advisory_lower(struct locks *locks, struct lock_owner *owner, struct slice name,
                         enum lock_mode mode);

/* Would it be granted at once to `owner` (NULL: to nobody in particular)? */
bool lock_key_is_free(struct locks *locks, const struct lock_owner *owner, struct slice key,
                      enum lock_mode mode);
bool lock_range_is_free(struct locks *locks, const struct lock_owner *owner, struct slice start,
                        struct slice end, enum lock_mode mode);

/* The prepared owner that may write the key (or a key of the range) at or below `snapshot`, NULL:
 * none. A reader waits for its outcome: cond_wait on owner->decided, then asks again. */
struct lock_owner *lock_prepared_writer(struct locks *locks, struct slice key, uint64_t snapshot);
struct lock_owner *lock_prepared_writer_range(struct locks *locks, struct slice start,
                                              struct slice end, uint64_t snapshot);
/* From now on the writes behind its LOCK_UPDATE locks are undecided, */
void lock_owner_prepare(struct locks *locks, struct lock_owner *owner, uint64_t proposal);
/* until they are decided: wakes who waits. Locks stay held. */
void lock_owner_decide(struct locks *locks, struct lock_owner *owner);

/* A place to go back to: locks taken since are released, strengthenings too. */
uint32_t lock_mark(const struct lock_owner *owner);
void lock_release_to(struct locks *locks, struct lock_owner *owner, uint32_t mark);
void lock_release_all(struct locks *locks, struct lock_owner *owner);

/* Who waits for whom, as the deadlock detector gathers it: calls visit for each pair of a waiting
 * and a holding (or earlier waiting) transaction. `wait` numbers the wait: the same number later
 * is the same wait. */
struct lock_edge {
    uint64_t waiter, holder, wait;
};
enum { LOCK_WAIT_SHARD_SHIFT = 48 }; /* Above it in `wait`: the shard. */
void lock_edges(struct locks *locks, void (*visit)(void *arg, const struct lock_edge *edge),
                void *arg);
/* Ends the wait with ERR_DEADLOCK, if it still lasts. */
void lock_break(struct locks *locks, uint64_t wait);
/* Ends what the owner waits for, if it does, with ERR_CANCELED. */
void lock_cancel(struct locks *locks, struct lock_owner *owner);
/* The same for all owners of the client, which is not 0. */
void lock_cancel_client(struct locks *locks, uint64_t client);

struct lock_stats {
    uint64_t held, waiting, waits, wait_us, deadlocks, timeouts;
};
void lock_stats_get(const struct locks *locks, struct lock_stats *stats_out);
