/* lsm/memtable.h - the unflushed writes of a shard, versioned and ordered.
 *
 * Keys hang in an ordered index (memtable_index.h) for scans and in a hash index for point reads,
 * which cost one cache miss for the bucket and one for the key. Versions of a key are a list,
 * newest first. Keys stay where they are until the memtable is freed as a whole; the memory of a
 * version that no snapshot sees is used again, so that a hot key does not fill the memtable. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "lsm/entry.h"
#include "lsm/memtable_index.h"
#include "lsm/range_delete.h"
#include "lsm/snapshots.h"
#include "lsm/vlog.h"

enum {
    MEMTABLE_CLASSES = 45,             /* Sizes of value space. */
    MEMTABLE_BUCKET_KEYS = 7,          /* With the link, one cache line. */
    MEMTABLE_BUCKET_SHARE = 16,        /* The hash index takes 1/16 of the memtable's size. */
    MEMTABLE_RECENT_WRITES = 32 << 10, /* The last ones, kept when somebody asks for changes. */
};

/* A place is a pointer to the key, its upper 16 bits taken from the key's hash, so that a key
 * which is not there is known not to be after one cache miss. Filled from the front. */
struct memtable_bucket {
    uintptr_t places[MEMTABLE_BUCKET_KEYS];
    struct memtable_bucket *overflow;
};

struct memtable_version {
    struct memtable_version *older;
    uint64_t ts;
    uint64_t expire_us;
    uint64_t lsn;
    uint32_t value_size;
    uint32_t capacity;
    uint16_t slot;
    uint8_t kind;
    uint8_t value[];
};

struct memtable_key {
    struct memtable_version *newest;
    uint32_t versions;
    uint32_t collect_at; /* Look through all versions when there are so many. */
    struct tree_key key;
};

/* The memory of a memtable that is gone, for the next one. */
struct memtable_pool {
    struct arena_pool blocks;
    struct memtable_bucket *buckets; /* NULL: none. */
    uint64_t bucket_count;
};

struct memtable {
    uint64_t magic;
    uint32_t refs;
    struct memtable_pool *pool; /* Borrowed; NULL: none. */
    struct arena arena;         /* The one being filled. */
    struct arena *arenas;       /* Full ones, so that a large memtable can be freed in steps. */
    uint32_t arena_count, arena_capacity;
    struct key_index index;
    struct range_map ranges;
    struct memtable_bucket *buckets;
    uint64_t bucket_mask;
    uint64_t hash_seed;
    uint64_t generation;   /* Raised by each change: iterators look again. */
    uint64_t record_bytes; /* Keys and versions, taken from the arena. */
    uint64_t reused_bytes; /* Of them, waiting in free[]. */
    uint64_t versions;
    uint64_t ts_oldest;       /* Of all writes; UINT64_MAX when empty. */
    uint64_t ts_newest;       /* Of all writes, range deletes included. */
    uint64_t entry_ts_newest; /* Without range deletes. */
    uint64_t lsn_first;       /* Log position of the first write that has one; 0: none has. */
    uint64_t lsn_newest;
    uint32_t tables_range_deleted; /* Whole tables that range deletes hid when they came. */
    uint64_t keys_range_deleted;   /* About how many keys lay under range deletes when they came. */
    struct memtable_version *free[MEMTABLE_CLASSES];
    struct memtable_recent *recent; /* NULL: nobody has asked. */
    struct vlog *vlog;              /* Borrowed; may be NULL (tests). */
    uint64_t *vlog_files;
    uint32_t vlog_file_count;
    uint32_t vlog_file_capacity;
    /* Set when it is frozen. */
    uint64_t number; /* Rotations before. */
    uint64_t flush_lsn;
    struct buf note;
    struct memtable *newer;
    struct memtable *older;
};

void memtable_pool_init(struct memtable_pool *pool, uint64_t bytes_max);
/* A step (one huge page, or the hash index) towards at most so many bytes; false when it is there.
 * bytes_max bounds what is kept later. */
bool memtable_pool_shrink(struct memtable_pool *pool, uint64_t bytes_max);
uint64_t memtable_pool_bytes(const struct memtable_pool *pool);

/* Reference count 1. bytes_expected sizes the hash index; hash_seed must be unknown to clients.
 * The pool may be NULL; it must outlive the memtable. Clearing the index of a large memtable takes
 * a millisecond: memtable_prepare does the same in steps. */
struct memtable *memtable_new(uint64_t bytes_expected, uint64_t hash_seed, struct vlog *vlog,
                              struct memtable_pool *pool);
YIELDS struct memtable *memtable_prepare(uint64_t bytes_expected, uint64_t hash_seed,
                                         struct vlog *vlog, struct memtable_pool *pool);
void memtable_pin(struct memtable *memtable);
/* Accepts NULL; clears the pointer. */
void memtable_unpin(struct memtable **memtable);
/* The same; if it is the last reference, in steps. Nobody may pin it meanwhile. */
YIELDS void memtable_unpin_slowly(struct memtable **memtable);

/* What it takes from the budget. */
static inline uint64_t
memtable_bytes(const struct memtable *memtable)
{
    return memtable->record_bytes + memtable->index.bytes + memtable->ranges.bytes +
           memtable->ranges.borders.node_bytes +
           (memtable->bucket_mask + 1) * sizeof(memtable->buckets[0]);
}
static inline bool
memtable_is_empty(const struct memtable *memtable)
{
    return memtable->index.count == 0 && range_map_is_empty(&memtable->ranges);
}

/* A version of the same key and ts is replaced: applying is idempotent. One that is older than
 * others of its key goes to its place among them, or nowhere if nobody can see it there. */
void memtable_put(struct memtable *memtable, const struct lsm_entry *entry,
                  const struct snapshots *snapshots);
void memtable_range_delete(struct memtable *memtable, const struct lsm_range_delete *range,
                           const struct snapshots *snapshots);

/* What the other calls take: the same for all memtables of one seed, so one serves the active
 * memtable and the frozen ones. */
uint64_t memtable_hash(const struct memtable *memtable, struct slice key);
/* Have the bucket on its way from memory. Ask for several keys before the first is used. */
static inline void
memtable_prefetch(const struct memtable *memtable, uint64_t hash)
{
    __builtin_prefetch(&memtable->buckets[hash & memtable->bucket_mask]);
}
/* When the bucket has come: the key that is probably meant, and its newest version. */
void memtable_prefetch_key(const struct memtable *memtable, uint64_t hash);

/* The newest version with ts <= snapshot, or NULL. Range deletes are not applied. Borrowed until
 * the next change of the memtable. */
const struct memtable_version *memtable_get(const struct memtable *memtable, struct slice key,
                                            uint64_t snapshot);
const struct memtable_version *memtable_get_hashed(const struct memtable *memtable,
                                                   struct slice key, uint64_t hash,
                                                   uint64_t snapshot);

/* All versions, in the order of lsm/entry.h. The memtable may change between calls: an iterator
 * stays on its key and ts. The entry is a copy whose key is good as long as the memtable; its
 * value is good until a change that drops the version. The memtable is not pinned. */
struct memtable_iter {
    struct memtable *memtable;
    struct index_iter place;
    uint64_t generation;
    struct memtable_key *key; /* NULL: not on an entry. */
    const struct memtable_version *version;
    struct lsm_entry entry;
};
void memtable_iter_init(struct memtable_iter *iter, struct memtable *memtable);
/* Before the memtable goes. */
void memtable_iter_fini(struct memtable_iter *iter);
static inline bool
memtable_iter_is_valid(const struct memtable_iter *iter)
{
    return iter->key != NULL;
}
void memtable_iter_seek_first(struct memtable_iter *iter);
void memtable_iter_seek_last(struct memtable_iter *iter);
void memtable_iter_seek(struct memtable_iter *iter, struct slice key, uint64_t ts);
void memtable_iter_seek_before(struct memtable_iter *iter, struct slice key);
void memtable_iter_next(struct memtable_iter *iter);
void memtable_iter_previous(struct memtable_iter *iter);

/* The keys in [lower, upper) in order, and when each was last written; upper.size == 0: no upper
 * bound. The bounds are borrowed. The memtable may change between calls: keys that come meanwhile
 * may or may not be met. It is not pinned. */
struct memtable_walk {
    struct index_iter place;
    struct slice upper;
};
void memtable_walk_begin(struct memtable_walk *walk, struct memtable *memtable, struct slice lower,
                         struct slice upper);
/* False at the end. */
bool memtable_walk_next(struct memtable_walk *walk, uint64_t *ts_out);
/* Before the memtable goes. */
void memtable_walk_end(struct memtable_walk *walk);

/* ---- memtable_recent.c: the last writes, for ranges too large to be walked. ---- */

/* From now on they are noted, which costs each write some nanoseconds. */
void memtable_recent_begin(struct memtable *memtable);
/* Was a key in [lower, upper) (upper.size == 0: no upper bound) written above `since`? False: not
 * known, too much was written since then. */
bool memtable_recent_changed(const struct memtable *memtable, struct slice lower,
                             struct slice upper, uint64_t since, bool *is_changed_out);
/* For memtable.c. */
void memtable_recent_note(struct memtable *memtable, struct memtable_key *key);
void memtable_recent_free(struct memtable *memtable);
