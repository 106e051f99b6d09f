/* txn/lock_tree.c - locked keys and ranges in the order of keys, to find what meets a range.
 *
 * A treap (Seidel and Aragon, 1996) by start, whose nodes know which one below them ends last, so
 * that subtrees which end too early are passed over. Priorities come from the seeded hash, so that
 * its depth is logarithmic whatever keys clients choose. */
#include "engine/base/assert.h"
#include "txn/lock_internal.h"

#include "engine/base/poison.h"

/* ---- Order. ---- */

struct lock_span
lock_target_span(const struct lock_target *target)
{
    return (struct lock_span){.start = target_start(target),
                              .end = target_end(target),
                              .is_point = target->kind != LOCK_KIND_RANGE};
}

/* Does all of it lie before the key? */
static bool
span_ends_before(const struct lock_span *span, struct slice key)
{
    if (span->is_point) {
        return slice_compare(span->start, key) < 0;
    }
    return span->end.size > 0 && slice_compare(span->end, key) <= 0;
}

static bool
span_begins_after(const struct lock_span *span, const struct lock_span *other)
{
    return span_ends_before(other, span->start);
}

bool
lock_span_meets(const struct lock_span *a, const struct lock_span *b)
{
    return !span_begins_after(a, b) && !span_begins_after(b, a);
}

static bool
target_is_before(const struct lock_target *a, const struct lock_target *b)
{
    int order = slice_compare(target_start(a), target_start(b));

    return order != 0 ? order < 0 : a->number < b->number;
}

/* Does a end later than b? A key ends behind a range whose (exclusive) end it is. */
static bool
target_ends_after(const struct lock_target *a, const struct lock_target *b)
{
    struct lock_span of_a = lock_target_span(a);
    struct lock_span of_b = lock_target_span(b);
    int order;

    if (!of_a.is_point && of_a.end.size == 0) {
        return true;
    }
    if (!of_b.is_point && of_b.end.size == 0) {
        return false;
    }
    order =
        slice_compare(of_a.is_point ? of_a.start : of_a.end, of_b.is_point ? of_b.start : of_b.end);
    return order != 0 ? order > 0 : of_a.is_point && !of_b.is_point;
}

/* ---- The treap. ---- */

static uint32_t
priority(const struct lock_target *target)
{
    return (uint32_t)(target->hash >> 32);
}

static void
reach_update(struct lock_target *node)
{
    node->reach = node;
    if (node->left != NULL && target_ends_after(node->left->reach, node->reach)) {
        node->reach = node->left->reach;
    }
    if (node->right != NULL && target_ends_after(node->right->reach, node->reach)) {
        node->reach = node->right->reach;
    }
}

/* What lies before `at`, and the rest. */
static void
treap_split(struct lock_target *root, const struct lock_target *at, struct lock_target **left_out,
            struct lock_target **right_out)
{
    if (root == NULL) {
        *left_out = NULL;
        *right_out = NULL;
    } else if (target_is_before(root, at)) {
        treap_split(root->right, at, &root->right, right_out);
        reach_update(root);
        *left_out = root;
    } else {
        treap_split(root->left, at, left_out, &root->left);
        reach_update(root);
        *right_out = root;
    }
}

/* All of left lies before all of right. */
static struct lock_target *
treap_merge(struct lock_target *left, struct lock_target *right)
{
    if (left == NULL || right == NULL) {
        return left != NULL ? left : right;
    }
    if (priority(left) >= priority(right)) {
        left->right = treap_merge(left->right, right);
        reach_update(left);
        return left;
    }
    right->left = treap_merge(left, right->left);
    reach_update(right);
    return right;
}

static struct lock_target *
treap_insert(struct lock_target *root, struct lock_target *node)
{
    if (root == NULL || priority(node) > priority(root)) {
        treap_split(root, node, &node->left, &node->right);
        reach_update(node);
        return node;
    }
    if (target_is_before(node, root)) {
        root->left = treap_insert(root->left, node);
    } else {
        root->right = treap_insert(root->right, node);
    }
    reach_update(root);
    return root;
}

static struct lock_target *
treap_remove(struct lock_target *root, struct lock_target *node)
{
    ASSERT(root != NULL);
    if (root == node) {
        return treap_merge(node->left, node->right);
    }
    if (target_is_before(node, root)) {
        root->left = treap_remove(root->left, node);
    } else {
        root->right = treap_remove(root->right, node);
    }
    reach_update(root);
    return root;
}

static void
treap_reach_anew(struct lock_target *root, const struct lock_target *target)
{
    ASSERT(root != NULL);
    if (root != target) {
        treap_reach_anew(target_is_before(target, root) ? root->left : root->right, target);
    }
    reach_update(root);
}

/* ---- Having one only while somebody asks. ---- */

bool
lock_tree_is_complete(const struct locks *locks)
{
    return locks->tree != 0 && locks->tree_cursor >= locks->bucket_count;
}

static void
tree_begin(struct locks *locks)
{
    ASSERT(locks->root == NULL);
    ASSERT(locks->ranges == 0);
    locks->tree_last++;
    locks->tree = locks->tree_last != 0 ? locks->tree_last : ++locks->tree_last;
    locks->tree_cursor = 0;
    locks->tree_idle = 0;
}

void
lock_tree_insert(struct locks *locks, struct lock_target *target)
{
    if (locks->tree == 0) {
        tree_begin(locks);
    }
    target->tree = locks->tree;
    target->left = NULL;
    target->right = NULL;
    locks->root = treap_insert(locks->root, target);
}

void
lock_tree_end_moved(struct locks *locks, const struct lock_target *target)
{
    treap_reach_anew(locks->root, target);
}

void
lock_tree_remove(struct locks *locks, struct lock_target *target)
{
    if (locks->tree != 0 && target->tree == locks->tree) {
        locks->root = treap_remove(locks->root, target);
        target->tree = 0;
    }
}

/* Some more of the keys that were there before the tree. Buckets are split into new ones at the
 * end, so that none is passed over. */
static void
tree_step(struct locks *locks, uint32_t steps)
{
    for (; steps > 0 && locks->tree_cursor < locks->bucket_count; steps--) {
        struct lock_target *target = locks->buckets[locks->tree_cursor++];

        for (; target != NULL; target = target->next) {
            if (target->kind == LOCK_KIND_KEY && target->tree != locks->tree) {
                lock_tree_insert(locks, target);
            }
        }
    }
}

void
lock_tree_ask(struct locks *locks)
{
    if (locks->tree == 0) {
        if (locks->targets <= LOCK_SCAN_MAX) {
            return;
        }
        tree_begin(locks);
    }
    locks->tree_idle = 0;
    tree_step(locks, LOCK_TREE_ASK_STEP);
}

void
lock_tree_drop(struct locks *locks)
{
    ASSERT(locks->ranges == 0);
    locks->root = NULL;
    locks->tree = 0;
}

void
lock_tree_age(struct locks *locks)
{
    tree_step(locks, LOCK_TREE_STEP);
    locks->tree_idle++;
    if (locks->ranges == 0 && locks->tree_idle > LOCK_TREE_IDLE &&
        locks->tree_idle > locks->targets) {
        lock_tree_drop(locks);
    }
}

/* ---- Questions. ---- */

struct overlaps {
    const struct lock_span *span;
    lock_visit_fn visit;
    void *arg;
};

static bool
overlaps_visit(struct lock_target *node, const struct overlaps *overlaps)
{
    while (node != NULL) {
        struct lock_span reach = lock_target_span(node->reach);
        struct lock_span own = lock_target_span(node);

        if (span_ends_before(&reach, overlaps->span->start)) {
            return true;
        }
        if (!overlaps_visit(node->left, overlaps)) {
            return false;
        }
        if (span_begins_after(&own, overlaps->span)) {
            return true;
        }
        if (!span_ends_before(&own, overlaps->span->start) &&
            !overlaps->visit(overlaps->arg, node)) {
            return false;
        }
        node = node->right;
    }
    return true;
}

/* Keys that are not in the tree. */
static bool
overlaps_scan(const struct locks *locks, const struct overlaps *overlaps)
{
    uint32_t first = locks->tree == 0 ? 0 : locks->tree_cursor;

    for (uint32_t i = first; i < locks->bucket_count; i++) {
        for (struct lock_target *target = locks->buckets[i]; target != NULL;
             target = target->next) {
            struct lock_span own = lock_target_span(target);

            if (target->kind == LOCK_KIND_KEY &&
                (locks->tree == 0 || target->tree != locks->tree) &&
                lock_span_meets(&own, overlaps->span) && !overlaps->visit(overlaps->arg, target)) {
                return false;
            }
        }
    }
    return true;
}

bool
lock_overlaps_visit(struct locks *locks, const struct lock_span *span, lock_visit_fn visit,
                    void *arg)
{
    struct overlaps overlaps = {.span = span, .visit = visit, .arg = arg};

    return overlaps_visit(locks->root, &overlaps) && overlaps_scan(locks, &overlaps);
}

static bool
visit_from(struct lock_target *node, const struct lock_target *at, lock_visit_fn visit, void *arg)
{
    while (node != NULL) {
        if (!target_is_before(node, at) &&
            (!visit_from(node->left, at, visit, arg) || !visit(arg, node))) {
            return false;
        }
        node = node->right;
    }
    return true;
}

static bool
visit_before(struct lock_target *node, const struct lock_target *at, lock_visit_fn visit, void *arg)
{
    while (node != NULL) {
        if (target_is_before(node, at) &&
            (!visit_before(node->right, at, visit, arg) || !visit(arg, node))) {
            return false;
        }
        node = node->left;
    }
    return true;
}

void
lock_tree_visit_from(struct locks *locks, const struct lock_target *at, lock_visit_fn visit,
                     void *arg)
{
    (void)visit_from(locks->root, at, visit, arg);
}

void
lock_tree_visit_before(struct locks *locks, const struct lock_target *at, lock_visit_fn visit,
                       void *arg)
{
    (void)visit_before(locks->root, at, visit, arg);
}
