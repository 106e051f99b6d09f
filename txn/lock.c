/* txn/lock.c - asking for locks, waiting for them, and giving them on.
 *
 * A request is granted when no lock of another owner that it meets conflicts, and no request that
 * waits before it either. Whenever a lock goes or a waiting request leaves, those who wait for
 * what it covered are looked at again in their order; a granted lock is entered by whoever makes
 * room for it, so that nobody gets in between. */
#include "txn/lock.h"

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "txn/deadlock.h"
#include "txn/lock_internal.h"

#include "engine/base/poison.h"

enum { LOCK_MODES_ALL = (1 << LOCK_MODE_COUNT) - 1 };

/* Which modes conflict with which: a greater mode conflicts with whatever a smaller one does. */
static const uint8_t conflicts[LOCK_MODE_COUNT] = {
    [LOCK_KEY_SHARE] = 1 << LOCK_UPDATE,
    [LOCK_SHARE] = 1 << LOCK_NO_KEY_UPDATE | 1 << LOCK_UPDATE,
    [LOCK_NO_KEY_UPDATE] = 1 << LOCK_SHARE | 1 << LOCK_NO_KEY_UPDATE | 1 << LOCK_UPDATE,
    [LOCK_UPDATE] = LOCK_MODES_ALL,
};

struct locks *
locks_new(void)
{
    struct locks *locks = MEM_NEW(MEM_SESSIONS, struct locks);

    locks->magic = LOCKS_MAGIC;
    lock_table_init(locks);
    list_init(&locks->waiters);
    list_init(&locks->range_waiters);
    fiber_mutex_init(&locks->search_mutex);
    return locks;
}

void
locks_free(struct locks **locks_ref)
{
    struct locks *locks = *locks_ref;

    if (locks == NULL) {
        return;
    }
    OBJ_CHECK(locks, LOCKS_MAGIC);
    ASSERT(locks->held == 0);
    ASSERT(locks->waiting == 0);
    ASSERT(locks->prepared == 0);
    lock_table_fini(locks);
    locks->magic = 0;
    MEM_FREE(MEM_SESSIONS, locks);
    *locks_ref = NULL;
}

void
lock_owner_init(struct lock_owner *owner, uint64_t txn)
{
    *owner = (struct lock_owner){.txn = txn};
    list_init(&owner->held);
    cond_init(&owner->decided);
}

bool
locks_are_none(const struct locks *locks)
{
    return locks->held == 0;
}

/* ---- Who stands in the way. ---- */

typedef bool (*blocker_fn)(void *arg, const struct lock_owner *owner);

struct blockers {
    const struct lock_request *request;
    blocker_fn visit; /* False ends the walk. */
    void *arg;
};

static struct lock_span
request_span(const struct lock_request *request)
{
    return (struct lock_span){
        .start = request->start, .end = request->end, .is_point = request->kind != LOCK_KIND_RANGE};
}

/* Those on one target, nearest first. Where a waiting request was told of, what it waits for itself
 * need not be: whoever waits for it waits for that as well. So a long queue on one key gives about
 * one pair a request, instead of one for every two. */
static bool
target_blockers(struct lock_target *target, const struct blockers *blockers)
{
    const struct lock_request *request = blockers->request;
    uint8_t modes = conflicts[request->mode];

    for (struct list *node = target->waiters.previous; node != &target->waiters && modes != 0;
         node = node->previous) {
        const struct lock_request *other = LIST_ENTRY(node, struct lock_request, link);

        if (other->order < request->order && other->owner != request->owner &&
            (modes & 1 << other->mode) != 0) {
            if (!blockers->visit(blockers->arg, other->owner)) {
                return false;
            }
            modes &= (uint8_t)~conflicts[other->mode];
        }
    }
    LIST_FOR_EACH(node, &target->locks) {
        const struct lock *lock = LIST_ENTRY(node, struct lock, link);

        if (lock->owner != request->owner && (modes & 1 << lock->mode) != 0 &&
            !blockers->visit(blockers->arg, lock->owner)) {
            return false;
        }
    }
    return true;
}

static bool
overlap_blockers(void *arg, struct lock_target *target)
{
    const struct blockers *blockers = arg;

    return target == blockers->request->target || target_blockers(target, blockers);
}

/* False when a visit ended it. */
static bool
blockers_visit(struct locks *locks, const struct blockers *blockers)
{
    const struct lock_request *request = blockers->request;
    struct lock_span span = request_span(request);

    if (request->target != NULL && !target_blockers(request->target, blockers)) {
        return false;
    }
    if (request->kind == LOCK_KIND_ADVISORY) {
        return true;
    }
    if ((request->kind == LOCK_KIND_RANGE || locks->ranges > 0) &&
        !lock_overlaps_visit(locks, &span, overlap_blockers, (void *)blockers)) {
        return false;
    }
    LIST_FOR_EACH(node, &locks->range_waiters) {
        const struct lock_request *other = LIST_ENTRY(node, struct lock_request, link);
        struct lock_span other_span = request_span(other);

        if (other->order < request->order && other->owner != request->owner &&
            (conflicts[request->mode] & 1 << other->mode) != 0 &&
            lock_span_meets(&span, &other_span) && !blockers->visit(blockers->arg, other->owner)) {
            return false;
        }
    }
    return true;
}

static bool
blocker_found(void *arg, const struct lock_owner *owner)
{
    (void)arg;
    (void)owner;
    return false;
}

static bool
request_is_blocked(struct locks *locks, const struct lock_request *request)
{
    struct blockers blockers = {.request = request, .visit = blocker_found};

    return !blockers_visit(locks, &blockers);
}

/* ---- What the owner has itself. ---- */

struct own {
    const struct lock_owner *owner;
    struct lock_span span;
    bool is_related; /* It has a lock that meets the span. */
    int mode;        /* The greatest one that covers the span whole; -1: none. */
};

static bool
span_covers(const struct lock_span *outer, const struct lock_span *inner)
{
    if (outer->is_point) {
        return inner->is_point && slice_equal(outer->start, inner->start);
    }
    if (slice_compare(outer->start, inner->start) > 0) {
        return false;
    }
    if (outer->end.size == 0) {
        return true;
    }
    if (inner->is_point) {
        return slice_compare(inner->start, outer->end) < 0;
    }
    return inner->end.size > 0 && slice_compare(inner->end, outer->end) <= 0;
}

static bool
own_visit(void *arg, struct lock_target *target)
{
    struct own *own = arg;
    struct lock_span span = lock_target_span(target);

    LIST_FOR_EACH(node, &target->locks) {
        const struct lock *lock = LIST_ENTRY(node, struct lock, link);

        if (lock->owner == own->owner) {
            own->is_related = true;
            if (lock->mode > own->mode && span_covers(&span, &own->span)) {
                own->mode = lock->mode;
            }
        }
    }
    return true;
}

static struct own
own_find(struct locks *locks, const struct lock_request *request)
{
    struct own own = {.owner = request->owner, .span = request_span(request), .mode = -1};

    if (request->owner == NULL || request->owner->count == 0) {
        return own;
    }
    if (request->target != NULL) {
        (void)own_visit(&own, request->target);
    }
    if (request->kind == LOCK_KIND_RANGE ||
        (request->kind == LOCK_KIND_KEY && request->owner->ranges > 0)) {
        (void)lock_overlaps_visit(locks, &own.span, own_visit, &own);
    }
    return own;
}

/* ---- Granting. ---- */

static void
request_enter(struct locks *locks, struct lock_request *request)
{
    struct lock_target *target = request->target;

    if (target == NULL) {
        target = lock_target_add_range(locks, request->start, request->end);
    }
    (void)lock_add(locks, target, request->owner, (enum lock_mode)request->mode);
}

static void
request_leave_queue(struct locks *locks, struct lock_request *request)
{
    list_remove(&request->link);
    list_remove(&request->all_link);
    request->owner->waiting = NULL;
    ASSERT(locks->waiting > 0);
    locks->waiting--;
}

static void
request_grant(struct locks *locks, struct lock_request *request)
{
    request_leave_queue(locks, request);
    request_enter(locks, request);
    request->is_granted = true;
    cond_broadcast(&request->done);
}

/* Who waits on the target, in order. Behind one that stays or was granted in LOCK_UPDATE nobody can
 * be granted anything. */
static void
target_regrant(struct locks *locks, struct lock_target *target)
{
    LIST_FOR_EACH_SAFE(node, &target->waiters) {
        struct lock_request *request = LIST_ENTRY(node, struct lock_request, link);
        bool is_last = request->mode == LOCK_UPDATE;

        if (!request_is_blocked(locks, request)) {
            request_grant(locks, request);
        }
        if (is_last) {
            return;
        }
    }
}

static bool
regrant_visit(void *arg, struct lock_target *target)
{
    if (!list_is_empty(&target->waiters)) {
        target_regrant(arg, target);
    }
    return true;
}

/* Something that stood on the span has gone. `target` is looked at; NULL: all that meet it. */
static void
span_regrant(struct locks *locks, const struct lock_span *span, struct lock_target *target)
{
    if (locks->waiting == 0) {
        return;
    }
    if (target != NULL) {
        target_regrant(locks, target);
    } else {
        (void)lock_overlaps_visit(locks, span, regrant_visit, locks);
    }
    if (target != NULL && target->kind == LOCK_KIND_ADVISORY) {
        return;
    }
    LIST_FOR_EACH_SAFE(node, &locks->range_waiters) {
        struct lock_request *request = LIST_ENTRY(node, struct lock_request, link);
        struct lock_span waiting = request_span(request);

        if (lock_span_meets(span, &waiting) && !request_is_blocked(locks, request)) {
            request_grant(locks, request);
        }
    }
}

/* ---- Asking. ---- */

static void
queue_insert(struct list *queue, struct lock_request *request)
{
    struct list *node = queue->previous;

    while (node != queue && LIST_ENTRY(node, struct lock_request, link)->order > request->order) {
        node = node->previous;
    }
    list_push_front(node, &request->link);
}

/* The request leaves without a lock: who waited behind it may go on. */
static void
request_withdraw(struct locks *locks, struct lock_request *request)
{
    struct lock_span span = request_span(request);

    request_leave_queue(locks, request);
    span_regrant(locks, &span, request->target);
    if (request->target != NULL) {
        lock_target_release(locks, request->target);
    }
}

static bool
holder_visit(void *arg, const struct lock_owner *owner)
{
    uint64_t *in_the_way = arg;

    *in_the_way = owner->txn;
    return false; /* One is enough. */
}

static void
holder_tell(struct locks *locks, const struct lock_request *request)
{
    struct blockers blockers = {
        .request = request, .visit = holder_visit, .arg = request->owner->in_the_way};

    if (request->owner->in_the_way != NULL && request->ended == ERR_OK) {
        (void)blockers_visit(locks, &blockers);
    }
}

static err_t
request_failed(struct locks *locks, struct lock_request *request, err_t err)
{
    holder_tell(locks, request);
    if (request->ended == ERR_OK) {
        request_withdraw(locks, request);
    }
    if (request->ended == ERR_DEADLOCK) {
        return err_set(ERR_DEADLOCK, "deadlock detected: transactions waited for each other in a "
                                     "circle, and this one was the youngest");
    }
    if (err == ERR_CANCELED || request->ended == ERR_CANCELED) {
        return err_set_default(ERR_CANCELED);
    }
    locks->stats.timeouts++;
    return err_set(ERR_LOCK_TIMEOUT, "another transaction held the lock for longer than the wait "
                                     "was allowed to last");
}

/* In its queue. A deadlock that it closes is searched for when it has waited for a while; later
 * again from time to time, because a lock on keys that become a range can begin to block others. */
static YIELDS err_t
request_wait(struct locks *locks, struct lock_request *request, uint64_t deadline_us)
{
    uint64_t search_us = request->since_us + DEADLOCK_AFTER_US;
    err_t err = ERR_OK;

    while (!request->is_granted && request->ended == ERR_OK) {
        err = cond_wait_until(&request->done, MIN(deadline_us, search_us));
        if (err == ERR_CANCELED || request->is_granted || request->ended != ERR_OK) {
            break;
        }
        if (shard_now_us() >= deadline_us) {
            break;
        }
        if (shard_now_us() >= search_us) {
            search_us = shard_now_us() + deadlock_search(locks, request->wait);
        }
    }
    locks->stats.wait_us += shard_now_us() - request->since_us;
    return request->is_granted ? ERR_OK : request_failed(locks, request, err);
}

static err_t
request_refuse(struct locks *locks, enum lock_wait wait)
{
    if (wait == LOCK_SKIP) {
        return ERR_BUSY;
    }
    locks->stats.timeouts++;
    return err_set(ERR_LOCK_TIMEOUT, "the lock is held by another transaction");
}

static err_t
check_limits(const struct locks *locks, const struct lock_owner *owner)
{
    if (locks->held + locks->waiting >= LOCKS_MAX) {
        return err_set(ERR_LIMIT, "more than %d locks on a shard (LOCKS_MAX)", LOCKS_MAX);
    }
    if (owner->sequence == UINT32_MAX) {
        return err_set(ERR_LIMIT, "more than %u locks of one transaction", UINT32_MAX);
    }
    return ERR_OK;
}

static YIELDS err_t
request_queue(struct locks *locks, struct lock_request *request, uint64_t deadline_us)
{
    ASSERT(request->owner->waiting == NULL);
    cond_init(&request->done);
    request->since_us = shard_now_us();
    request->wait =
        (uint64_t)shard_id() << LOCK_WAIT_SHARD_SHIFT | (locks->number & LOCK_WAIT_NUMBER);
    queue_insert(request->target != NULL ? &request->target->waiters : &locks->range_waiters,
                 request);
    list_push_back(&locks->waiters, &request->all_link);
    request->owner->waiting = request;
    locks->waiting++;
    locks->stats.waits++;
    return request_wait(locks, request, deadline_us);
}

/* The target (of a key) may be NULL: nobody has or wants the key itself. */
static YIELDS err_t
request_run(struct locks *locks, struct lock_request *request, uint64_t hash, enum lock_wait wait,
            uint64_t deadline_us)
{
    struct own own = own_find(locks, request);
    err_t err;

    if (own.mode >= request->mode) {
        return ERR_OK;
    }
    TRY(check_limits(locks, request->owner));
    request->order = ++locks->number;
    if (!own.is_related) {
        request->order |= LOCK_ORDER_LATER;
    }
    if (request_is_blocked(locks, request)) {
        if (wait != LOCK_WAIT) {
            return request_refuse(locks, wait);
        }
        if (request->kind != LOCK_KIND_RANGE && request->target == NULL) {
            request->target = lock_target_add(locks, request->kind, request->start, hash);
        }
        return request_queue(locks, request, deadline_us);
    }
    if (request->kind != LOCK_KIND_RANGE && request->target == NULL) {
        request->target = lock_target_add(locks, request->kind, request->start, hash);
    }
    request_enter(locks, request);
out:
    return err;
}

/* The owner has one more lock. Its keys are in a tree before they are too many, and then each one
 * more is joined with its neighbours. */
static void
owner_bound(struct locks *locks, struct lock_owner *owner)
{
    if (owner->count <= LOCK_OWNER_KEYS_MAX / 2) {
        return;
    }
    lock_tree_ask(locks);
    if (owner->count > LOCK_OWNER_KEYS_MAX && lock_tree_is_complete(locks)) {
        const struct lock *newest = LIST_ENTRY(owner->held.next, struct lock, owner_link);

        lock_owner_join(locks, owner, newest->target);
    }
}

static YIELDS err_t
lock_point(struct locks *locks, struct lock_request *request, enum lock_wait wait,
           uint64_t deadline_us)
{
    struct lock_owner *owner = request->owner;
    uint64_t hash = lock_hash(locks, request->kind, request->start);
    err_t err;

    OBJ_CHECK(locks, LOCKS_MAGIC);
    ASSERT(request->mode < LOCK_MODE_COUNT);
    if (owner->ranges > 0 && request->kind == LOCK_KIND_KEY &&
        lock_owner_extend(locks, owner, request->start)) {
        return ERR_OK;
    }
    request->target = lock_target_find(locks, request->kind, request->start, hash);
    if (request->target == NULL && locks->ranges == 0 && list_is_empty(&locks->range_waiters)) {
        TRY(check_limits(locks, owner));
        request->target = lock_target_add(locks, request->kind, request->start, hash);
        request_enter(locks, request);
    } else {
        TRY(request_run(locks, request, hash, wait, deadline_us));
    }
    owner_bound(locks, owner);
out:
    return err;
}

err_t
lock_key(struct locks *locks, struct lock_owner *owner, struct slice key, enum lock_mode mode,
         enum lock_wait wait, uint64_t deadline_us)
{
    struct lock_request request = {
        .owner = owner, .start = key, .kind = LOCK_KIND_KEY, .mode = (uint8_t)mode};

    return lock_point(locks, &request, wait, deadline_us);
}

err_t
lock_advisory(struct locks *locks, struct lock_owner *owner, struct slice name, enum lock_mode mode,
              enum lock_wait wait, uint64_t deadline_us)
{
    struct lock_request request = {
        .owner = owner, .start = name, .kind = LOCK_KIND_ADVISORY, .mode = (uint8_t)mode};

    return lock_point(locks, &request, wait, deadline_us);
}

static bool
range_is_empty(struct slice start, struct slice end)
{
    return end.size > 0 && slice_compare(start, end) >= 0;
}

err_t
lock_range(struct locks *locks, struct lock_owner *owner, struct slice start, struct slice end,
           enum lock_mode mode, enum lock_wait wait, uint64_t deadline_us)
{
    struct lock_request request = {
        .owner = owner, .start = start, .end = end, .kind = LOCK_KIND_RANGE, .mode = (uint8_t)mode};
    err_t err;

    OBJ_CHECK(locks, LOCKS_MAGIC);
    ASSERT(mode < LOCK_MODE_COUNT);
    if (range_is_empty(start, end)) {
        return ERR_OK;
    }
    lock_tree_ask(locks);
    TRY(request_run(locks, &request, 0, wait, deadline_us));
    owner_bound(locks, owner);
out:
    return err;
}

/* ---- Questions. ---- */

static bool
request_is_free(struct locks *locks, struct lock_request *request)
{
    struct own own = own_find(locks, request);

    request->order = own.is_related ? LOCK_ORDER_LATER - 1 : UINT64_MAX;
    return own.mode >= (int)request->mode || !request_is_blocked(locks, request);
}

bool
lock_key_is_free(struct locks *locks, const struct lock_owner *owner, struct slice key,
                 enum lock_mode mode)
{
    struct lock_request request = {.owner = (struct lock_owner *)owner,
                                   .start = key,
                                   .kind = LOCK_KIND_KEY,
                                   .mode = (uint8_t)mode};

    if (locks->held == 0) {
        return true;
    }
    request.target =
        lock_target_find(locks, LOCK_KIND_KEY, key, lock_hash(locks, LOCK_KIND_KEY, key));
    return request_is_free(locks, &request);
}

bool
lock_range_is_free(struct locks *locks, const struct lock_owner *owner, struct slice start,
                   struct slice end, enum lock_mode mode)
{
    struct lock_request request = {.owner = (struct lock_owner *)owner,
                                   .start = start,
                                   .end = end,
                                   .kind = LOCK_KIND_RANGE,
                                   .mode = (uint8_t)mode};

    if (locks->held == 0 || range_is_empty(start, end)) {
        return true;
    }
    lock_tree_ask(locks);
    return request_is_free(locks, &request);
}

/* ---- Undecided writes. ---- */

struct prepared {
    uint64_t snapshot;
    struct lock_owner *writer;
};

static bool
prepared_visit(void *arg, struct lock_target *target)
{
    struct prepared *prepared = arg;

    LIST_FOR_EACH(node, &target->locks) {
        const struct lock *lock = LIST_ENTRY(node, struct lock, link);

        if (lock->mode == LOCK_UPDATE && lock->owner->is_prepared &&
            lock->owner->proposal <= prepared->snapshot) {
            prepared->writer = lock->owner;
            return false;
        }
    }
    return true;
}

struct lock_owner *
lock_prepared_writer(struct locks *locks, struct slice key, uint64_t snapshot)
{
    struct prepared prepared = {.snapshot = snapshot};
    struct lock_span span = {.start = key, .is_point = true};
    struct lock_target *target;

    if (locks->prepared == 0) {
        return NULL;
    }
    if (locks->ranges > 0) {
        (void)lock_overlaps_visit(locks, &span, prepared_visit, &prepared);
        return prepared.writer;
    }
    target = lock_target_find(locks, LOCK_KIND_KEY, key, lock_hash(locks, LOCK_KIND_KEY, key));
    if (target != NULL) {
        (void)prepared_visit(&prepared, target);
    }
    return prepared.writer;
}

struct lock_owner *
lock_prepared_writer_range(struct locks *locks, struct slice start, struct slice end,
                           uint64_t snapshot)
{
    struct prepared prepared = {.snapshot = snapshot};
    struct lock_span span = {.start = start, .end = end};

    if (locks->prepared > 0 && !range_is_empty(start, end)) {
        lock_tree_ask(locks);
        (void)lock_overlaps_visit(locks, &span, prepared_visit, &prepared);
    }
    return prepared.writer;
}

void
lock_owner_prepare(struct locks *locks, struct lock_owner *owner, uint64_t proposal)
{
    ASSERT(!owner->is_prepared);
    owner->is_prepared = true;
    owner->proposal = proposal;
    locks->prepared++;
}

void
lock_owner_decide(struct locks *locks, struct lock_owner *owner)
{
    ASSERT(owner->is_prepared);
    ASSERT(locks->prepared > 0);
    owner->is_prepared = false;
    locks->prepared--;
    cond_broadcast(&owner->decided);
}

/* ---- Releasing. ---- */

static void
lock_drop(struct locks *locks, struct lock *lock)
{
    struct lock_target *target = lock->target;

    lock_remove(locks, lock);
    if (locks->waiting > 0) {
        struct lock_span span = lock_target_span(target);

        span_regrant(locks, &span, target->kind == LOCK_KIND_RANGE ? NULL : target);
    }
    lock_target_release(locks, target);
}

uint32_t
lock_mark(const struct lock_owner *owner)
{
    return owner->sequence;
}

void
lock_release_to(struct locks *locks, struct lock_owner *owner, uint32_t mark)
{
    ASSERT(owner->waiting == NULL);
    ASSERT(mark <= owner->sequence);
    while (!list_is_empty(&owner->held)) {
        struct lock *lock = LIST_ENTRY(owner->held.next, struct lock, owner_link);

        if (lock->sequence <= mark) {
            break;
        }
        lock_drop(locks, lock);
    }
    owner->sequence = mark;
}

void
lock_release_all(struct locks *locks, struct lock_owner *owner)
{
    lock_release_to(locks, owner, 0);
    ASSERT(owner->count == 0);
}

void
lock_advisory_lower(struct locks *locks, struct lock_owner *owner, struct slice name,
                    enum lock_mode mode)
{
    uint64_t hash = lock_hash(locks, LOCK_KIND_ADVISORY, name);
    struct lock_target *target = lock_target_find(locks, LOCK_KIND_ADVISORY, name, hash);
    bool has_mode = mode == LOCK_MODE_COUNT;

    ASSERT(target != NULL);
    LIST_FOR_EACH_SAFE(node, &target->locks) {
        struct lock *lock = LIST_ENTRY(node, struct lock, link);

        if (lock->owner == owner && !has_mode) {
            ASSERT(lock->mode >= mode);
            lock->mode = (uint8_t)mode;
            has_mode = true;
        } else if (lock->owner == owner) {
            lock_remove(locks, lock);
        }
    }
    ASSERT(has_mode);
    if (locks->waiting > 0) {
        target_regrant(locks, target);
    }
    lock_target_release(locks, target);
}

/* ---- For the search for deadlocks. ---- */

struct edges {
    const struct lock_request *request;
    void (*visit)(void *arg, const struct lock_edge *edge);
    void *arg;
};

static bool
edge_visit(void *arg, const struct lock_owner *owner)
{
    const struct edges *edges = arg;
    struct lock_edge edge = {
        .waiter = edges->request->owner->txn, .holder = owner->txn, .wait = edges->request->wait};

    edges->visit(edges->arg, &edge);
    return true;
}

void
lock_edges(struct locks *locks, void (*visit)(void *arg, const struct lock_edge *edge), void *arg)
{
    LIST_FOR_EACH(node, &locks->waiters) {
        struct edges edges = {
            .request = LIST_ENTRY(node, struct lock_request, all_link), .visit = visit, .arg = arg};
        struct blockers blockers = {.request = edges.request, .visit = edge_visit, .arg = &edges};

        (void)blockers_visit(locks, &blockers);
    }
}

static void
request_end(struct locks *locks, struct lock_request *request, err_t err)
{
    request->ended = err;
    request_withdraw(locks, request);
    cond_broadcast(&request->done);
}

void
lock_break(struct locks *locks, uint64_t wait)
{
    LIST_FOR_EACH(node, &locks->waiters) {
        struct lock_request *request = LIST_ENTRY(node, struct lock_request, all_link);

        if (request->wait == wait) {
            request->owner->is_victim = true;
            request_end(locks, request, ERR_DEADLOCK);
            locks->stats.deadlocks++;
            SOMETIMES("txn: a deadlock was broken");
            return;
        }
    }
}

void
lock_cancel(struct locks *locks, struct lock_owner *owner)
{
    if (owner->waiting != NULL) {
        request_end(locks, owner->waiting, ERR_CANCELED);
    }
}

void
lock_cancel_client(struct locks *locks, uint64_t client)
{
    struct list *node = locks->waiters.next;

    ASSERT(client != 0);
    while (node != &locks->waiters) {
        struct lock_request *request = LIST_ENTRY(node, struct lock_request, all_link);

        node = node->next;
        if (request->owner->client == client) {
            request_end(locks, request, ERR_CANCELED);
            SOMETIMES("txn: a wait for a lock ended because its client had gone");
            /* Others behind it may have been granted theirs, and have left the list. */
            node = locks->waiters.next;
        }
    }
}

void
lock_stats_get(const struct locks *locks, struct lock_stats *stats_out)
{
    *stats_out = locks->stats;
    stats_out->held = locks->held;
    stats_out->waiting = locks->waiting;
}
