/* txn/lock_join.c - one owner's neighbouring locks become ranges, so that a transaction of any size
 * has a bounded number of them.
 *
 * Neighbours are targets of one strength, held by nobody else, waited for by nobody, with no other
 * key or range beginning between them: then the range that spans them conflicts with nothing that
 * is held now. It covers more keys than were asked for, which makes others wait, never go wrong. It
 * is done a group at a time, around the newest lock, so that nobody waits for a great clearance.
 *
 * Whoever locks so many keys mostly does so in their order: rows are loaded by rising keys. The
 * range that a join made at the newest key is remembered, and the next key that lies close behind
 * it, with nothing locked in between, only moves its end. */
#include "engine/base/assert.h"
#include "txn/lock_internal.h"

#include "engine/base/poison.h"

/* The strongest mode in which the owner alone has the target; -1: it may not be joined. */
static int
sole_mode(const struct lock_target *target, const struct lock_owner *owner)
{
    int mode = -1;

    if (!list_is_empty(&target->waiters)) {
        return -1;
    }
    LIST_FOR_EACH(node, &target->locks) {
        const struct lock *lock = LIST_ENTRY(node, struct lock, link);

        if (lock->owner != owner) {
            return -1;
        }
        mode = MAX(mode, (int)lock->mode);
    }
    return mode;
}

/* The end of what the targets cover, into `end`; empty: open. */
static void
group_end(struct lock_target *const *group, uint32_t count, struct buf *end)
{
    buf_clear(end);
    for (uint32_t i = 0; i < count; i++) {
        struct lock_span span = lock_target_span(group[i]);
        struct slice last = span.is_point ? span.start : span.end;

        if (!span.is_point && span.end.size == 0) {
            buf_clear(end);
            return;
        }
        if (slice_compare(last, buf_slice(end)) >= 0) {
            buf_clear(end);
            buf_append(end, last.data, last.size);
            if (span.is_point) {
                buf_append_byte(end, 0); /* The next possible key. */
            }
        }
    }
}

/* The owner's oldest lock on any of them. */
static struct lock *
group_oldest(struct lock_target *const *group, uint32_t count)
{
    struct lock *oldest = NULL;

    for (uint32_t i = 0; i < count; i++) {
        LIST_FOR_EACH(node, &group[i]->locks) {
            struct lock *lock = LIST_ENTRY(node, struct lock, link);

            if (oldest == NULL || lock->sequence < oldest->sequence) {
                oldest = lock;
            }
        }
    }
    return oldest;
}

/* The range takes the place of the oldest lock, so that it is released with that one and no
 * sooner. */
static struct lock *
group_join(struct locks *locks, struct lock_owner *owner, struct lock_target *const *group,
           uint32_t count, enum lock_mode mode, struct buf *end)
{
    struct lock *oldest = group_oldest(group, count);
    uint32_t newest = owner->sequence;
    struct lock *lock;

    group_end(group, count, end);
    lock = lock_add(locks, lock_target_add_range(locks, target_start(group[0]), buf_slice(end)),
                    owner, mode);
    owner->sequence = newest;
    lock->sequence = oldest->sequence;
    list_remove(&lock->owner_link);
    list_push_front(&oldest->owner_link, &lock->owner_link);
    for (uint32_t i = 0; i < count; i++) {
        LIST_FOR_EACH_SAFE(node, &group[i]->locks) {
            lock_remove(locks, LIST_ENTRY(node, struct lock, link));
        }
        lock_target_release(locks, group[i]);
    }
    return lock;
}

/* ---- The group around a target. ---- */

struct group {
    const struct lock_owner *owner;
    int mode;
    uint32_t count, count_max;
    struct lock_target *targets[LOCK_JOIN_KEYS];
};

static bool
group_take(void *arg, struct lock_target *target)
{
    struct group *group = arg;

    if (group->count == group->count_max || sole_mode(target, group->owner) != group->mode) {
        return false;
    }
    group->targets[group->count++] = target;
    return true;
}

static void
group_reverse(struct group *group)
{
    for (uint32_t i = 0; i < group->count / 2; i++) {
        struct lock_target *target = group->targets[i];

        group->targets[i] = group->targets[group->count - 1 - i];
        group->targets[group->count - 1 - i] = target;
    }
}

void
lock_owner_join(struct locks *locks, struct lock_owner *owner, struct lock_target *target)
{
    struct group group = {
        .owner = owner, .mode = sole_mode(target, owner), .count_max = LOCK_JOIN_KEYS / 2};
    struct lock *lock;
    struct buf end;
    bool is_last;

    ASSERT(lock_tree_is_complete(locks));
    if (group.mode < 0 || target->kind == LOCK_KIND_ADVISORY) {
        return;
    }
    lock_tree_visit_before(locks, target, group_take, &group);
    group_reverse(&group);
    group.count_max = LOCK_JOIN_KEYS;
    lock_tree_visit_from(locks, target, group_take, &group);
    if (group.count < 2) {
        return;
    }
    buf_init(&end, MEM_SESSIONS);
    is_last = group.targets[group.count - 1] == target;
    lock = group_join(locks, owner, group.targets, group.count, (enum lock_mode)group.mode, &end);
    if (is_last && group.mode == LOCK_UPDATE) {
        owner->rising[owner->rising_next++ % LOCK_OWNER_RISING] = lock->target;
    }
    buf_fini(&end);
}

/* ---- A range that grows. ---- */

static bool
first_visit(void *arg, struct lock_target *target)
{
    *(const struct lock_target **)arg = target;
    return false;
}

/* Does nothing that reaches beyond the range begin at or before the key? */
static bool
gap_is_free(struct locks *locks, const struct lock_target *range, struct slice key)
{
    struct lock_span behind = {.start = target_end(range)}; /* To the end of all keys. */
    const struct lock_target *first = NULL;

    (void)lock_overlaps_visit(locks, &behind, first_visit, &first);
    return first == NULL || slice_compare(target_start(first), key) > 0;
}

/* Half of the key is that of the range's end: a table's rows do not draw it over other tables. */
static bool
is_close(struct slice end, struct slice key)
{
    return end.size >= key.size / 2 && memcmp(end.data, key.data, key.size / 2) == 0;
}

static bool
range_extend(struct locks *locks, struct lock_target *range, struct slice key)
{
    if (!is_close(target_end(range), key) || range->capacity < range->start_bytes + key.size + 1 ||
        !lock_tree_is_complete(locks) || !list_is_empty(&locks->range_waiters) ||
        !gap_is_free(locks, range, key)) {
        return false;
    }
    memcpy(range->bytes + range->start_bytes, key.data, key.size);
    range->bytes[range->start_bytes + key.size] = 0; /* The next possible key. */
    range->end_bytes = (uint32_t)key.size + 1;
    lock_tree_end_moved(locks, range);
    return true;
}

bool
lock_owner_extend(struct locks *locks, const struct lock_owner *owner, struct slice key)
{
    for (uint32_t i = 0; i < LOCK_OWNER_RISING; i++) {
        struct lock_target *range = owner->rising[i];

        if (range != NULL && slice_compare(key, target_start(range)) >= 0 &&
            (range->end_bytes == 0 || slice_compare(key, target_end(range)) < 0 ||
             range_extend(locks, range, key))) {
            return true;
        }
    }
    return false;
}
