/* txn/lock_join.c - one owner's neighbouring locks become ranges, so that a transaction of any size
 * has a bounded number of them.
 *
 * Neighbours are targets of one strength, held by nobody else, waited for by nobody, with no other
 * key or range beginning between them: then the range that spans them conflicts with nothing that
 * is held now. It covers more keys than were asked for, which makes others wait, never go wrong. */
#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "txn/lock_internal.h"

#include "engine/base/poison.h"

struct targets {
    struct lock_target **all; /* In the order of keys. */
    uint32_t count;
};

static void
targets_gather(struct targets *targets, struct lock_target *node)
{
    while (node != NULL) {
        targets_gather(targets, node->left);
        targets->all[targets->count++] = node;
        node = node->right;
    }
}

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
static void
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
}

/* The group that begins at `first`: how many targets. 0: that one may not be joined. */
static uint32_t
group_count(const struct targets *targets, uint32_t first, const struct lock_owner *owner,
            int *mode_out)
{
    uint32_t count = 0;
    int mode = sole_mode(targets->all[first], owner);

    *mode_out = mode;
    if (mode < 0) {
        return 0;
    }
    while (count < LOCK_JOIN_KEYS && first + count < targets->count &&
           sole_mode(targets->all[first + count], owner) == mode) {
        count++;
    }
    return count;
}

void
lock_owner_join(struct locks *locks, struct lock_owner *owner)
{
    struct targets targets = {0};
    size_t bytes;
    struct buf end;

    lock_tree_build(locks);
    bytes = ((size_t)locks->targets + locks->ranges) * sizeof(struct lock_target *);
    targets.all = mem_alloc(MEM_SESSIONS, bytes);
    if (targets.all == NULL) {
        return;
    }
    buf_init(&end, MEM_SESSIONS);
    targets_gather(&targets, locks->root);
    for (uint32_t first = 0, count; first < targets.count; first += MAX(count, 1u)) {
        int mode;

        count = group_count(&targets, first, owner, &mode);
        if (count > 1) {
            group_join(locks, owner, targets.all + first, count, (enum lock_mode)mode, &end);
        }
    }
    buf_fini(&end);
    mem_free(MEM_SESSIONS, targets.all, bytes);
    /* Where others' keys lie between, little was won: not again before there are as many more. */
    owner->join_at = MAX((uint32_t)LOCK_OWNER_KEYS_MAX, 2 * owner->count);
    SOMETIMES("txn: neighbouring locks became ranges");
}
