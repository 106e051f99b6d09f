/* lsm/memtable.c - writing and point reads; memtable_iter.c walks it. */
#include "lsm/memtable.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/rt/fiber.h"

#include "engine/base/poison.h"

#define MEMTABLE_MAGIC UINT64_C(0x6d656d7461626c65)

enum {
    BUCKETS_MIN = 4,
    TAG_SHIFT = 48,
    CLASS_STEP_BYTES = 16, /* Up to CLASS_LINEAR_BYTES; above, four sizes to a power of two. */
    CLASS_LINEAR_BYTES = 128,
    PREFETCH_LINES = 3, /* A key and, right behind it, its first version. */
    CACHE_LINE_BYTES = 64,
};
/* Versions of a key from which on all of them are looked through at times. */
#define COLLECT_AT_MIN 8u
#define POINTER_MASK   (((uintptr_t)1 << TAG_SHIFT) - 1)

/* ---- Value space. ---- */

static uint32_t
class_of(uint32_t bytes)
{
    uint32_t power;
    uint32_t step;

    if (bytes <= CLASS_LINEAR_BYTES) {
        return (bytes + CLASS_STEP_BYTES - 1) / CLASS_STEP_BYTES;
    }
    power = 31 - (uint32_t)__builtin_clz(bytes - 1); /* 2^power < bytes <= 2^(power + 1) */
    step = (bytes - 1 - (1u << power)) >> (power - 2);
    return CLASS_LINEAR_BYTES / CLASS_STEP_BYTES + 1 + (power - 7) * 4 + step;
}

static uint32_t
class_bytes(uint32_t class)
{
    uint32_t above;

    if (class <= CLASS_LINEAR_BYTES / CLASS_STEP_BYTES) {
        return class * CLASS_STEP_BYTES;
    }
    above = class - CLASS_LINEAR_BYTES / CLASS_STEP_BYTES - 1;
    return (CLASS_LINEAR_BYTES << (above / 4)) / 4 * (4 + above % 4 + 1);
}

static size_t
version_bytes(uint32_t capacity)
{
    return offsetof(struct memtable_version, value) + capacity;
}

static struct memtable_version *
version_new(struct memtable *memtable, size_t value_size)
{
    uint32_t class = class_of((uint32_t)value_size);
    struct memtable_version *version;

    ASSERT(value_size <= LSM_VALUE_INLINE_BYTES_MAX);
    version = memtable->free[class];
    if (version != NULL) {
        memtable->free[class] = version->older;
        memtable->reused_bytes -= version_bytes(version->capacity);
    } else {
        uint32_t capacity = class_bytes(class);

        version = arena_alloc(&memtable->arena, version_bytes(capacity));
        version->capacity = capacity;
        memtable->record_bytes += version_bytes(capacity);
    }
    memtable->versions++;
    return version;
}

static void
version_free(struct memtable *memtable, struct memtable_version *version)
{
    uint32_t class = class_of(version->capacity);

    version->older = memtable->free[class];
    memtable->free[class] = version;
    memtable->reused_bytes += version_bytes(version->capacity);
    memtable->versions--;
}

static void
version_fill(struct memtable_version *version, const struct lsm_entry *entry)
{
    version->ts = entry->ts;
    version->expire_us = entry->expire_us;
    version->lsn = entry->lsn;
    version->value_size = (uint32_t)entry->value.size;
    version->slot = entry->slot;
    version->kind = entry->kind;
    if (entry->value.size > 0) {
        memcpy(version->value, entry->value.data, entry->value.size);
    }
}

/* ---- Life. ---- */

enum {
    ARENA_BYTES = 8 << 20, /* One step of freeing. Less would not reach huge pages. */
    CLEAR_STEP_BYTES = 256 << 10,
    STEP_UNITS = 500,
};

/* A power of two of them, not cleared: from 2 MiB on they fill huge pages. */
static struct memtable_bucket *
buckets_new(struct memtable_pool *pool, uint64_t count)
{
    size_t bytes = count * sizeof(struct memtable_bucket);

    if (pool != NULL && pool->buckets != NULL && pool->bucket_count == count) {
        struct memtable_bucket *buckets = pool->buckets;

        pool->buckets = NULL;
        return buckets;
    }
    return bytes >= MEM_HUGE_BYTES ? mem_alloc_huge(MEM_MEMTABLE, bytes, false)
                                   : mem_alloc(MEM_MEMTABLE, bytes);
}

static void
buckets_free(struct memtable_bucket *buckets, uint64_t count)
{
    size_t bytes = count * sizeof(struct memtable_bucket);

    if (bytes >= MEM_HUGE_BYTES) {
        mem_free_huge(MEM_MEMTABLE, buckets, bytes);
    } else {
        mem_free(MEM_MEMTABLE, buckets, bytes);
    }
}

static void
buckets_give(struct memtable_pool *pool, struct memtable_bucket *buckets, uint64_t count)
{
    if (pool != NULL && pool->buckets == NULL && pool->blocks.bytes_max > 0) {
        pool->buckets = buckets;
        pool->bucket_count = count;
    } else {
        buckets_free(buckets, count);
    }
}

void
memtable_pool_init(struct memtable_pool *pool, uint64_t bytes_max)
{
    memset(pool, 0, sizeof(*pool));
    arena_pool_init(&pool->blocks, MEM_MEMTABLE, bytes_max);
}

bool
memtable_pool_shrink(struct memtable_pool *pool, uint64_t bytes_max)
{
    pool->blocks.bytes_max = bytes_max;
    if (arena_pool_trim(&pool->blocks, bytes_max)) {
        return true;
    }
    if (pool->buckets != NULL && bytes_max == 0) {
        buckets_free(pool->buckets, pool->bucket_count);
        pool->buckets = NULL;
        return true;
    }
    return false;
}

uint64_t
memtable_pool_bytes(const struct memtable_pool *pool)
{
    uint64_t buckets = pool->buckets == NULL ? 0 : pool->bucket_count;

    return pool->blocks.bytes + buckets * sizeof(struct memtable_bucket);
}

static void
arena_begin(struct memtable *memtable, bool is_large)
{
    arena_init_pooled(&memtable->arena, MEM_MEMTABLE,
                      memtable->pool == NULL ? NULL : &memtable->pool->blocks, is_large);
}

/* The hash index is not cleared yet. */
static struct memtable *
memtable_make(uint64_t bytes_expected, uint64_t hash_seed, struct vlog *vlog,
              struct memtable_pool *pool)
{
    struct memtable *memtable = MEM_NEW(MEM_MEMTABLE, struct memtable);
    uint64_t buckets = BUCKETS_MIN;

    while (buckets * sizeof(memtable->buckets[0]) < bytes_expected / MEMTABLE_BUCKET_SHARE) {
        buckets *= 2;
    }
    ASSERT(class_bytes(MEMTABLE_CLASSES - 1) == LSM_VALUE_INLINE_BYTES_MAX);
    memtable->magic = MEMTABLE_MAGIC;
    memtable->refs = 1;
    memtable->pool = pool;
    memtable->buckets = buckets_new(pool, buckets);
    while (memtable->buckets == NULL) { /* Only a large one is refused: longer chains, then. */
        buckets /= 2;
        memtable->buckets = buckets_new(pool, buckets);
    }
    memtable->bucket_mask = buckets - 1;
    memtable->hash_seed = hash_seed;
    memtable->vlog = vlog;
    memtable->ts_oldest = UINT64_MAX;
    arena_begin(memtable, bytes_expected >= ARENA_BYTES);
    key_index_init(&memtable->index, &memtable->arena);
    range_map_init(&memtable->ranges, &memtable->arena);
    buf_init(&memtable->note, MEM_MEMTABLE);
    return memtable;
}

struct memtable *
memtable_new(uint64_t bytes_expected, uint64_t hash_seed, struct vlog *vlog,
             struct memtable_pool *pool)
{
    struct memtable *memtable = memtable_make(bytes_expected, hash_seed, vlog, pool);

    memset(memtable->buckets, 0, (memtable->bucket_mask + 1) * sizeof(memtable->buckets[0]));
    return memtable;
}

YIELDS struct memtable *
memtable_prepare(uint64_t bytes_expected, uint64_t hash_seed, struct vlog *vlog,
                 struct memtable_pool *pool)
{
    struct memtable *memtable = memtable_make(bytes_expected, hash_seed, vlog, pool);
    size_t bytes = (memtable->bucket_mask + 1) * sizeof(memtable->buckets[0]);

    for (size_t at = 0; at < bytes; at += CLEAR_STEP_BYTES) {
        memset((uint8_t *)memtable->buckets + at, 0, MIN(bytes - at, (size_t)CLEAR_STEP_BYTES));
        fiber_work(STEP_UNITS);
    }
    return memtable;
}

/* Between two writes, when nothing points into the arena's future: begin a new one. */
static void
arena_renew(struct memtable *memtable)
{
    if (memtable->arena_count == memtable->arena_capacity) {
        uint32_t capacity = MAX(8u, memtable->arena_capacity * 2);

        memtable->arenas = mem_realloc(MEM_MEMTABLE, memtable->arenas,
                                       memtable->arena_capacity * sizeof(memtable->arenas[0]),
                                       capacity * sizeof(memtable->arenas[0]));
        memtable->arena_capacity = capacity;
    }
    memtable->arenas[memtable->arena_count++] = memtable->arena;
    arena_begin(memtable, true);
}

void
memtable_pin(struct memtable *memtable)
{
    OBJ_CHECK(memtable, MEMTABLE_MAGIC);
    memtable->refs++;
}

void
memtable_unpin(struct memtable **pointer)
{
    struct memtable *memtable = *pointer;

    *pointer = NULL;
    if (memtable == NULL) {
        return;
    }
    OBJ_CHECK(memtable, MEMTABLE_MAGIC);
    ASSERT(memtable->refs > 0);
    if (--memtable->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < memtable->vlog_file_count && memtable->vlog != NULL; i++) {
        vlog_unref(memtable->vlog, memtable->vlog_files[i]);
    }
    mem_free(MEM_MEMTABLE, memtable->vlog_files,
             memtable->vlog_file_capacity * sizeof(memtable->vlog_files[0]));
    buckets_give(memtable->pool, memtable->buckets, memtable->bucket_mask + 1);
    buf_fini(&memtable->note);
    key_index_fini(&memtable->index);
    memtable_recent_free(memtable);
    arena_fini(&memtable->arena);
    while (memtable->arena_count > 0) {
        arena_fini(&memtable->arenas[--memtable->arena_count]);
    }
    mem_free(MEM_MEMTABLE, memtable->arenas,
             memtable->arena_capacity * sizeof(memtable->arenas[0]));
    memtable->magic = 0;
    mem_free(MEM_MEMTABLE, memtable, sizeof(*memtable));
}

YIELDS void
memtable_unpin_slowly(struct memtable **pointer)
{
    struct memtable *memtable = *pointer;

    if (memtable->refs == 1) {
        key_index_fini(&memtable->index);
    }
    while (memtable->refs == 1 && memtable->arena_count > 0) {
        arena_fini(&memtable->arenas[--memtable->arena_count]);
        fiber_work(STEP_UNITS);
    }
    memtable_unpin(pointer);
}

/* ---- The hash index. ---- */

uint64_t
memtable_hash(const struct memtable *memtable, struct slice key)
{
    return XXH3_64bits_withSeed(key.data, key.size, memtable->hash_seed);
}

static uintptr_t
place_tag(uint64_t hash)
{
    return (uintptr_t)(hash >> TAG_SHIFT) << TAG_SHIFT;
}

static struct memtable_key *
key_find(const struct memtable *memtable, struct slice key, uint64_t hash)
{
    const struct memtable_bucket *bucket = &memtable->buckets[hash & memtable->bucket_mask];
    uintptr_t tag = place_tag(hash);

    for (; bucket != NULL; bucket = bucket->overflow) {
        for (uint32_t i = 0; i < MEMTABLE_BUCKET_KEYS && bucket->places[i] != 0; i++) {
            struct memtable_key *found = (struct memtable_key *)(bucket->places[i] & POINTER_MASK);

            if ((bucket->places[i] & ~POINTER_MASK) == tag &&
                slice_equal(tree_key_slice(&found->key), key)) {
                return found;
            }
        }
    }
    return NULL;
}

void
memtable_prefetch_key(const struct memtable *memtable, uint64_t hash)
{
    const struct memtable_bucket *bucket = &memtable->buckets[hash & memtable->bucket_mask];
    uintptr_t tag = place_tag(hash);

    for (uint32_t i = 0; i < MEMTABLE_BUCKET_KEYS; i++) {
        if (bucket->places[i] != 0 && (bucket->places[i] & ~POINTER_MASK) == tag) {
            const uint8_t *key = (const uint8_t *)(bucket->places[i] & POINTER_MASK);

            for (uint32_t line = 0; line < PREFETCH_LINES; line++) {
                __builtin_prefetch(key + line * CACHE_LINE_BYTES);
            }
            return;
        }
    }
}

static void
bucket_add(struct memtable *memtable, struct memtable_key *key, uint64_t hash)
{
    struct memtable_bucket *bucket = &memtable->buckets[hash & memtable->bucket_mask];
    uint32_t i = 0;

    while (bucket->places[MEMTABLE_BUCKET_KEYS - 1] != 0) {
        if (bucket->overflow == NULL) {
            bucket->overflow = arena_alloc(&memtable->arena, sizeof(*bucket));
            memset(bucket->overflow, 0, sizeof(*bucket));
            memtable->record_bytes += sizeof(*bucket);
        }
        bucket = bucket->overflow;
    }
    while (bucket->places[i] != 0) {
        i++;
    }
    bucket->places[i] = (uintptr_t)key | place_tag(hash);
}

static struct memtable_key *
key_add(struct memtable *memtable, struct slice key, uint64_t hash)
{
    size_t bytes = sizeof(struct memtable_key) + key.size;
    struct memtable_key *added = arena_alloc(&memtable->arena, bytes);

    memtable->record_bytes += bytes;
    added->newest = NULL;
    added->versions = 0;
    added->collect_at = COLLECT_AT_MIN;
    added->key.size = (uint32_t)key.size;
    if (key.size > 0) {
        memcpy(added->key.bytes, key.data, key.size);
    }
    bucket_add(memtable, added, hash);
    return added;
}

/* ---- Writing. ---- */

static void
vlog_file_note(struct memtable *memtable, struct slice pointer_bytes)
{
    struct vlog_pointer pointer;

    /* Bytes that are no pointer refer to no file; who reads the value gets the error. */
    if (memtable->vlog == NULL || vlog_pointer_decode(pointer_bytes, &pointer) != ERR_OK) {
        return;
    }
    for (uint32_t i = memtable->vlog_file_count; i-- > 0;) {
        if (memtable->vlog_files[i] == pointer.file_number) {
            return;
        }
    }
    if (memtable->vlog_file_count == memtable->vlog_file_capacity) {
        uint32_t capacity = MAX(4u, memtable->vlog_file_capacity * 2);

        memtable->vlog_files = mem_realloc(MEM_MEMTABLE, memtable->vlog_files,
                                           memtable->vlog_file_capacity * sizeof(uint64_t),
                                           capacity * sizeof(uint64_t));
        memtable->vlog_file_capacity = capacity;
    }
    memtable->vlog_files[memtable->vlog_file_count++] = pointer.file_number;
    vlog_ref(memtable->vlog, pointer.file_number);
}

static void
unlink_older(struct memtable *memtable, struct memtable_key *key, struct memtable_version *newer)
{
    struct memtable_version *older = newer->older;

    newer->older = older->older;
    key->versions--;
    version_free(memtable, older);
}

static void
key_collect(struct memtable *memtable, struct memtable_key *key, const struct snapshots *snapshots)
{
    const struct lsm_snapshot *cursor = NULL;
    struct memtable_version *version = key->newest;

    while (version->older != NULL) {
        if (snapshots_need_next(snapshots, &cursor, version->older->ts, version->ts)) {
            version = version->older;
        } else {
            unlink_older(memtable, key, version);
        }
    }
    key->collect_at = MAX(COLLECT_AT_MIN, key->versions * 2);
}

/* A version newer than all others of its key: the usual case. */
static void
put_newest(struct memtable *memtable, struct memtable_key *key, const struct lsm_entry *entry,
           const struct snapshots *snapshots)
{
    struct memtable_version *before = key->newest;
    struct memtable_version *version;

    if (before != NULL && !snapshots_need(snapshots, before->ts, entry->ts) &&
        before->capacity >= entry->value.size) {
        version_fill(before, entry);
        if (before->older != NULL && !snapshots_need(snapshots, before->older->ts, entry->ts)) {
            unlink_older(memtable, key, before); /* What dropped snapshots left, one a write. */
        }
        return;
    }
    version = version_new(memtable, entry->value.size);
    version_fill(version, entry);
    version->older = before;
    key->newest = version;
    key->versions++;
    if (before == NULL) {
        return;
    }
    if (!snapshots_need(snapshots, before->ts, version->ts)) {
        unlink_older(memtable, key, version);
    } else if (before->older != NULL && !snapshots_need(snapshots, before->older->ts, before->ts)) {
        unlink_older(memtable, key, before);
    }
    if (key->versions >= key->collect_at) {
        key_collect(memtable, key, snapshots);
    }
}

/* The same write once more: replay. */
static void
put_again(struct memtable *memtable, struct memtable_version **link, const struct lsm_entry *entry)
{
    struct memtable_version *version = *link;

    if (version->capacity < entry->value.size) {
        *link = version_new(memtable, entry->value.size);
        (*link)->older = version->older;
        version_free(memtable, version);
    }
    version_fill(*link, entry);
}

/* Below versions that are there: replay of several logs, or a commit which comes from another
 * shard's log. It goes to its place, if anybody may see it there. */
static void
put_between(struct memtable *memtable, struct memtable_key *key, const struct lsm_entry *entry,
            const struct snapshots *snapshots)
{
    struct memtable_version **link = &key->newest;
    uint64_t until = 0; /* When it was superseded. */
    struct memtable_version *version;

    for (; *link != NULL && (*link)->ts > entry->ts; link = &(*link)->older) {
        until = (*link)->ts;
    }
    if (*link != NULL && (*link)->ts == entry->ts) {
        put_again(memtable, link, entry);
        return;
    }
    ASSERT(until > entry->ts);
    if (!snapshots_need(snapshots, entry->ts, until)) {
        return;
    }
    version = version_new(memtable, entry->value.size);
    version_fill(version, entry);
    version->older = *link;
    *link = version;
    key->versions++;
    if (version->older != NULL && !snapshots_need(snapshots, version->older->ts, version->ts)) {
        unlink_older(memtable, key, version);
    }
    if (key->versions >= key->collect_at) {
        key_collect(memtable, key, snapshots);
    }
}

static void
note_write(struct memtable *memtable, uint64_t ts, uint64_t lsn)
{
    memtable->generation++;
    memtable->ts_oldest = MIN(memtable->ts_oldest, ts);
    memtable->ts_newest = MAX(memtable->ts_newest, ts);
    memtable->lsn_newest = MAX(memtable->lsn_newest, lsn);
    if (memtable->lsn_first == 0) {
        memtable->lsn_first = lsn;
    }
    if (memtable->arena.bytes >= ARENA_BYTES) {
        arena_renew(memtable);
    }
}

void
memtable_put(struct memtable *memtable, const struct lsm_entry *entry,
             const struct snapshots *snapshots)
{
    uint64_t hash = memtable_hash(memtable, entry->key);
    struct memtable_key *key = key_find(memtable, entry->key, hash);

    note_write(memtable, entry->ts, entry->lsn);
    memtable->entry_ts_newest = MAX(memtable->entry_ts_newest, entry->ts);
    if (entry->kind == LSM_PUT_LARGE) {
        vlog_file_note(memtable, entry->value);
    }
    if (key == NULL) {
        key = key_add(memtable, entry->key, hash);
        put_newest(memtable, key, entry, snapshots);
        key_index_insert(&memtable->index, &key->key);
    } else if (entry->ts > key->newest->ts) {
        put_newest(memtable, key, entry, snapshots);
    } else {
        put_between(memtable, key, entry, snapshots);
    }
    if (memtable->recent != NULL) {
        memtable_recent_note(memtable, key);
    }
}

void
memtable_range_delete(struct memtable *memtable, const struct lsm_range_delete *range,
                      const struct snapshots *snapshots)
{
    note_write(memtable, range->ts, range->lsn);
    memtable->keys_range_deleted += key_index_estimate(&memtable->index, range->start, range->end);
    range_map_add(&memtable->ranges, range, snapshots);
}

const struct memtable_version *
memtable_get(const struct memtable *memtable, struct slice key, uint64_t snapshot)
{
    return memtable_get_hashed(memtable, key, memtable_hash(memtable, key), snapshot);
}

const struct memtable_version *
memtable_get_hashed(const struct memtable *memtable, struct slice key, uint64_t hash,
                    uint64_t snapshot)
{
    const struct memtable_key *found = key_find(memtable, key, hash);
    const struct memtable_version *version = found == NULL ? NULL : found->newest;

    while (version != NULL && version->ts > snapshot) {
        version = version->older;
    }
    return version;
}
