/* txn/lock_table.c - what is locked, by hash, and who holds it. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "txn/lock_internal.h"

#include "engine/base/poison.h"

/* ---- Buckets. ---- */

void
lock_table_init(struct locks *locks)
{
    locks->bucket_half = LOCK_BUCKETS_MIN;
    locks->bucket_count = LOCK_BUCKETS_MIN;
    locks->bucket_room = LOCK_BUCKETS_MIN;
    locks->buckets = mem_zalloc(MEM_SESSIONS, locks->bucket_room * sizeof(struct lock_target *));
    locks->hash_seed = prng_next(shard_prng());
}

static uint32_t
bucket_of(const struct locks *locks, uint64_t hash)
{
    uint32_t bucket = (uint32_t)hash & (locks->bucket_half * 2 - 1);

    return bucket < locks->bucket_count ? bucket : bucket - locks->bucket_half;
}

/* One more bucket: takes its share of the one it is split from. So the table grows without a
 * moment at which all of it moves. */
static void
bucket_split(struct locks *locks)
{
    uint32_t bucket = locks->bucket_count;
    struct lock_target **place;

    if (bucket == locks->bucket_room) {
        locks->buckets = mem_realloc(MEM_SESSIONS, locks->buckets,
                                     locks->bucket_room * sizeof(struct lock_target *),
                                     2 * locks->bucket_room * sizeof(struct lock_target *));
        locks->bucket_room *= 2;
    }
    locks->buckets[bucket] = NULL;
    locks->bucket_count++;
    place = &locks->buckets[bucket - locks->bucket_half];
    while (*place != NULL) {
        struct lock_target *target = *place;

        if (bucket_of(locks, target->hash) == bucket) {
            *place = target->next;
            target->next = locks->buckets[bucket];
            locks->buckets[bucket] = target;
        } else {
            place = &target->next;
        }
    }
    if (locks->bucket_count == 2 * locks->bucket_half) {
        locks->bucket_half *= 2;
    }
}

/* Nothing is locked any more after much was. */
static void
buckets_shrink(struct locks *locks)
{
    locks->buckets =
        mem_realloc(MEM_SESSIONS, locks->buckets, locks->bucket_room * sizeof(struct lock_target *),
                    LOCK_BUCKETS_MIN * sizeof(struct lock_target *));
    locks->bucket_half = LOCK_BUCKETS_MIN;
    locks->bucket_count = LOCK_BUCKETS_MIN;
    locks->bucket_room = LOCK_BUCKETS_MIN;
}

uint64_t
lock_hash(const struct locks *locks, enum lock_kind kind, struct slice key)
{
    return XXH3_64bits_withSeed(key.data, key.size, locks->hash_seed + (uint64_t)kind);
}

struct lock_target *
lock_target_find(const struct locks *locks, enum lock_kind kind, struct slice key, uint64_t hash)
{
    struct lock_target *target = locks->buckets[bucket_of(locks, hash)];

    while (target != NULL && (target->hash != hash || target->kind != (uint8_t)kind ||
                              !slice_equal(target_start(target), key))) {
        target = target->next;
    }
    return target;
}

/* ---- Targets. ---- */

static struct lock_target *
target_alloc(struct locks *locks, size_t bytes)
{
    struct lock_target *target = locks->kept;
    size_t capacity = MAX(bytes, (size_t)LOCK_TARGET_BYTES);

    if (bytes <= LOCK_TARGET_BYTES && target != NULL) {
        locks->kept = target->next;
        locks->kept_count--;
    } else {
        target = mem_alloc(MEM_SESSIONS, sizeof(*target) + capacity);
        target->capacity = (uint32_t)capacity;
    }
    list_init(&target->locks);
    list_init(&target->waiters);
    target->number = 0;
    target->tree = 0;
    target->end_bytes = 0;
    target->has_first = false;
    return target;
}

static void
target_free(struct locks *locks, struct lock_target *target)
{
    if (target->capacity == LOCK_TARGET_BYTES && locks->kept_count < LOCK_TARGETS_KEPT) {
        target->next = locks->kept;
        locks->kept = target;
        locks->kept_count++;
        return;
    }
    mem_free(MEM_SESSIONS, target, sizeof(*target) + target->capacity);
}

struct lock_target *
lock_target_add(struct locks *locks, enum lock_kind kind, struct slice key, uint64_t hash)
{
    struct lock_target *target = target_alloc(locks, key.size);
    struct lock_target **bucket;

    target->hash = hash;
    target->kind = (uint8_t)kind;
    target->start_bytes = (uint32_t)key.size;
    if (key.size > 0) {
        memcpy(target->bytes, key.data, key.size);
    }
    if (locks->targets >= locks->bucket_count) {
        bucket_split(locks);
    }
    bucket = &locks->buckets[bucket_of(locks, hash)];
    target->next = *bucket;
    *bucket = target;
    locks->targets++;
    if (locks->tree != 0 && kind == LOCK_KIND_KEY) {
        lock_tree_insert(locks, target);
        lock_tree_age(locks);
    }
    return target;
}

struct lock_target *
lock_target_add_range(struct locks *locks, struct slice start, struct slice end)
{
    struct lock_target *target = target_alloc(locks, start.size + end.size);

    target->hash = prng_next(shard_prng());
    target->number = ++locks->number;
    target->kind = LOCK_KIND_RANGE;
    target->start_bytes = (uint32_t)start.size;
    target->end_bytes = (uint32_t)end.size;
    if (start.size > 0) {
        memcpy(target->bytes, start.data, start.size);
    }
    if (end.size > 0) {
        memcpy(target->bytes + start.size, end.data, end.size);
    }
    lock_tree_insert(locks, target);
    locks->ranges++;
    return target;
}

static void
target_unhash(struct locks *locks, struct lock_target *target)
{
    struct lock_target **place = &locks->buckets[bucket_of(locks, target->hash)];

    while (*place != target) {
        ASSERT(*place != NULL);
        place = &(*place)->next;
    }
    *place = target->next;
    locks->targets--;
}

void
lock_target_release(struct locks *locks, struct lock_target *target)
{
    if (!list_is_empty(&target->locks) || !list_is_empty(&target->waiters)) {
        return;
    }
    lock_tree_remove(locks, target);
    if (target->kind == LOCK_KIND_RANGE) {
        locks->ranges--;
    } else {
        target_unhash(locks, target);
    }
    target_free(locks, target);
    if (locks->targets == 0 && locks->ranges == 0) {
        lock_tree_drop(locks);
        if (locks->bucket_room > LOCK_BUCKETS_KEPT) {
            buckets_shrink(locks);
        }
    }
}

void
lock_table_fini(struct locks *locks)
{
    ASSERT(locks->targets == 0);
    ASSERT(locks->ranges == 0);
    while (locks->kept != NULL) {
        struct lock_target *target = locks->kept;

        locks->kept = target->next;
        mem_free(MEM_SESSIONS, target, sizeof(*target) + target->capacity);
    }
    mem_free(MEM_SESSIONS, locks->buckets, locks->bucket_room * sizeof(struct lock_target *));
}

/* ---- Locks. ---- */

struct lock *
lock_add(struct locks *locks, struct lock_target *target, struct lock_owner *owner,
         enum lock_mode mode)
{
    struct lock *lock = &target->first;

    if (target->has_first) {
        lock = mem_alloc(MEM_SESSIONS, sizeof(*lock));
    }
    target->has_first = true;
    lock->target = target;
    lock->owner = owner;
    lock->mode = (uint8_t)mode;
    lock->sequence = ++owner->sequence;
    list_push_back(&target->locks, &lock->link);
    list_push_front(&owner->held, &lock->owner_link);
    owner->count++;
    if (target->kind == LOCK_KIND_RANGE) {
        owner->ranges++;
    }
    locks->held++;
    return lock;
}

void
lock_remove(struct locks *locks, struct lock *lock)
{
    struct lock_target *target = lock->target;
    struct lock_owner *owner = lock->owner;

    list_remove(&lock->link);
    list_remove(&lock->owner_link);
    ASSERT(owner->count > 0);
    owner->count--;
    if (target->kind == LOCK_KIND_RANGE) {
        owner->ranges--;
        for (uint32_t i = 0; i < LOCK_OWNER_RISING; i++) {
            owner->rising[i] = owner->rising[i] == target ? NULL : owner->rising[i];
        }
    }
    ASSERT(locks->held > 0);
    locks->held--;
    if (lock == &target->first) {
        target->has_first = false;
    } else {
        mem_free(MEM_SESSIONS, lock, sizeof(*lock));
    }
}
