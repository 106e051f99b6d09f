/* txn/lock_internal.h - the objects behind txn/lock.h, for the lock*.c files.
 *
 *     locks --buckets--> target --locks--> lock <--held-- owner
 *                          \-----waiters--> request <-waiting-/
 *
 * A *target* is what is locked: a key, an advisory name, or one owner's range. Keys and names are
 * found by a hash table. A tree in the order of keys (txn/lock_tree.c) holds the ranges, and the
 * keys as well from the first question about a range on until none was asked for long: most
 * workloads never ask, and then a lock costs a hash and two list operations. Keys that are there
 * already go into it a few at a time; as long as some are missing, questions also look through the
 * buckets they are in. */
#pragma once

#include "engine/base/mem.h"
#include "txn/lock.h"

enum lock_kind { LOCK_KIND_KEY, LOCK_KIND_ADVISORY, LOCK_KIND_RANGE };

enum {
    LOCK_BUCKETS_MIN = 64,    /* A power of two. */
    LOCK_BUCKETS_KEPT = 1024, /* More go when nothing is locked. */
    LOCK_TARGETS_KEPT = 256,  /* For reuse, */
    LOCK_TARGET_BYTES = 64,   /* with room for a key of so many bytes. */
    LOCK_SCAN_MAX = 64,       /* So few targets are looked through without a tree. */
    LOCK_TREE_STEP = 8,       /* Keys that go into a new tree with each lock, */
    LOCK_TREE_ASK_STEP = 128, /* and with each question. */
    LOCK_TREE_IDLE = 4096,    /* Insertions without a question after which the tree goes. */
    LOCK_JOIN_KEYS = 16,      /* So many neighbours become one range. */
};

/* One owner holds one target in one strength. */
struct lock {
    struct list link;       /* In target->locks. */
    struct list owner_link; /* In owner->held. */
    struct lock_target *target;
    struct lock_owner *owner;
    uint32_t sequence; /* Of the owner: later is larger. */
    uint8_t mode;
};

struct lock_target {
    struct lock_target *next; /* In its bucket, or among the kept ones. */
    /* In the tree. `reach` is the one of the subtree that ends last. */
    struct lock_target *left, *right, *reach;
    struct list locks;
    struct list waiters; /* Of struct lock_request, by order. */
    uint64_t hash;       /* Ranges: drawn. Its upper half is the priority in the tree. */
    uint64_t number;     /* Ranges: distinct. Keys: 0. */
    uint32_t start_bytes;
    uint32_t end_bytes; /* Ranges only; 0: to the end of all keys. */
    uint32_t capacity;  /* Of `bytes`. */
    uint32_t tree;      /* It is in the tree of this number. */
    uint8_t kind;       /* enum lock_kind */
    bool has_first;     /* `first` is one of its locks. */
    struct lock first;
    uint8_t bytes[]; /* start, end */
};

/* A waiting (or just asked) request, on the stack of its fiber. */
struct lock_request {
    struct list link;     /* In target->waiters, or locks->range_waiters, */
    struct list all_link; /* and in locks->waiters. */
    struct lock_owner *owner;
    struct lock_target *target; /* NULL: a range. */
    struct slice start, end;    /* Borrowed. A key: start only. */
    uint64_t order;             /* Who is smaller goes first. */
    uint64_t wait;
    uint64_t since_us;
    uint8_t kind;
    uint8_t mode;
    bool is_granted;
    err_t ended; /* The wait was ended: ERR_DEADLOCK, ERR_CANCELED. It is in no queue. */
    struct cond done;
};

struct locks {
    uint64_t magic;
    /* Linear hashing: buckets [0, bucket_count) are in use, those below bucket_count - bucket_half
     * are split already. */
    struct lock_target **buckets;
    uint32_t bucket_room;  /* Pointers allocated. */
    uint32_t bucket_count; /* In use, at least bucket_half, less than twice that. */
    uint32_t bucket_half;  /* A power of two. */
    uint32_t targets;      /* Keys and names, */
    uint32_t ranges;       /* and ranges. */
    uint32_t held;
    uint32_t waiting;
    uint32_t prepared; /* Owners. */
    uint64_t hash_seed;
    uint64_t number;     /* The last one given to a request or range. */
    struct list waiters; /* All, in the order of asking. */
    struct list range_waiters;
    struct lock_target *root; /* Of the tree. */
    uint32_t tree;            /* Its number; 0: there is none. */
    uint32_t tree_last;       /* The last number given. */
    uint32_t tree_cursor;     /* Keys in the buckets before it are in the tree. */
    uint32_t tree_idle;       /* Insertions since the last question. */
    struct lock_target *kept;
    uint32_t kept_count;
    /* The search for deadlocks: txn/deadlock.c. */
    bool is_searching;
    uint64_t searched;               /* `number` when this shard's last search began, */
    uint64_t searched_us;            /* and when that was. */
    struct fiber_mutex search_mutex; /* Shard 0: searches run one at a time, */
    bool is_search_closed;           /* and no more when it is closing. */
    struct lock_stats stats;
};

#define LOCKS_MAGIC UINT64_C(0x6f726269746c6b73)

/* In lock_request.order: behind those who strengthen what they have. */
#define LOCK_ORDER_LATER ((uint64_t)1 << 63)
#define LOCK_WAIT_NUMBER (((uint64_t)1 << LOCK_WAIT_SHARD_SHIFT) - 1)

/* The key `start` (is_point) or [start, end) with an empty end for "to the end". */
struct lock_span {
    struct slice start, end;
    bool is_point;
};

static inline struct slice
target_start(const struct lock_target *target)
{
    return slice_of(target->bytes, target->start_bytes);
}

static inline struct slice
target_end(const struct lock_target *target)
{
    return slice_of(target->bytes + target->start_bytes, target->end_bytes);
}

/* ---- lock_tree.c ---- */

/* A key or range was made (a key: if there is a tree), or goes. */
void lock_tree_insert(struct locks *locks, struct lock_target *target);
void lock_tree_remove(struct locks *locks, struct lock_target *target);
/* The end of a range in the tree has moved. */
void lock_tree_end_moved(struct locks *locks, const struct lock_target *target);
/* Somebody asks, or will, and the answer is worth a tree: begins one and goes on with it. */
void lock_tree_ask(struct locks *locks);
/* Are all keys in it? */
bool lock_tree_is_complete(const struct locks *locks);
/* Called with each new key: goes on with the tree, or lets it go when nobody has asked for long. */
void lock_tree_age(struct locks *locks);
void lock_tree_drop(struct locks *locks);
/* Calls visit for each key and range that meets the span, until it returns false: then false. The
 * visit neither makes nor removes targets. */
typedef bool (*lock_visit_fn)(void *arg, struct lock_target *target);
bool lock_overlaps_visit(struct locks *locks, const struct lock_span *span, lock_visit_fn visit,
                         void *arg);
/* The targets of the tree from `at` (itself included) in the order of keys, or before it in the
 * opposite order, until visit returns false. */
void lock_tree_visit_from(struct locks *locks, const struct lock_target *at, lock_visit_fn visit,
                          void *arg);
void lock_tree_visit_before(struct locks *locks, const struct lock_target *at, lock_visit_fn visit,
                            void *arg);
bool lock_span_meets(const struct lock_span *a, const struct lock_span *b);
struct lock_span lock_target_span(const struct lock_target *target);

/* ---- lock_table.c: targets and the locks on them. ---- */

uint64_t lock_hash(const struct locks *locks, enum lock_kind kind, struct slice key);
/* NULL: nobody holds or waits for it. */
struct lock_target *lock_target_find(const struct locks *locks, enum lock_kind kind,
                                     struct slice key, uint64_t hash);
struct lock_target *lock_target_add(struct locks *locks, enum lock_kind kind, struct slice key,
                                    uint64_t hash);
struct lock_target *lock_target_add_range(struct locks *locks, struct slice start,
                                          struct slice end);
/* Removes it if nobody holds it or waits for it. */
void lock_target_release(struct locks *locks, struct lock_target *target);
/* A new lock on the target, the owner's newest. */
struct lock *lock_add(struct locks *locks, struct lock_target *target, struct lock_owner *owner,
                      enum lock_mode mode);
void lock_remove(struct locks *locks, struct lock *lock);
void lock_table_init(struct locks *locks);
void lock_table_fini(struct locks *locks);

/* ---- lock_join.c ---- */

/* The owner has many locks, the newest one on `target`: turns it and its neighbours into a range.
 * The tree is complete. */
void lock_owner_join(struct locks *locks, struct lock_owner *owner, struct lock_target *target);
/* Does one of the owner's rising ranges have the key in LOCK_UPDATE, or has one that ends shortly
 * before it been drawn out over it? */
bool lock_owner_extend(struct locks *locks, const struct lock_owner *owner, struct slice key);
