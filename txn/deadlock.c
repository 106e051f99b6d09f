/* txn/deadlock.c - see deadlock.h. */
#include "txn/deadlock.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/advisory.h"
#include "txn/lock_internal.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

/* ---- The graph. ---- */

void
deadlock_graph_init(struct deadlock_graph *graph)
{
    buf_init(&graph->edges, MEM_SESSIONS);
    buf_init(&graph->aliases, MEM_SESSIONS);
}

void
deadlock_graph_fini(struct deadlock_graph *graph)
{
    buf_fini(&graph->edges);
    buf_fini(&graph->aliases);
}

static struct lock_edge *
graph_edges(const struct deadlock_graph *graph)
{
    return (struct lock_edge *)graph->edges.data;
}

static uint32_t
graph_count(const struct deadlock_graph *graph)
{
    return (uint32_t)(graph->edges.size / sizeof(struct lock_edge));
}

static int
compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int
edge_compare(const void *a, const void *b)
{
    const struct lock_edge *edge_a = a;
    const struct lock_edge *edge_b = b;
    int order = compare_u64(edge_a->waiter, edge_b->waiter);

    order = order != 0 ? order : compare_u64(edge_a->holder, edge_b->holder);
    return order != 0 ? order : compare_u64(edge_a->wait, edge_b->wait);
}

static int
alias_compare(const void *a, const void *b)
{
    return compare_u64(((const struct deadlock_alias *)a)->session,
                       ((const struct deadlock_alias *)b)->session);
}

static uint64_t
alias_resolve(const struct deadlock_graph *graph, uint64_t id)
{
    struct deadlock_alias key = {.session = id};
    const struct deadlock_alias *found =
        graph->aliases.size == 0
            ? NULL
            : bsearch(&key, graph->aliases.data, graph->aliases.size / sizeof(key), sizeof(key),
                      alias_compare);

    return found != NULL ? found->txn : id;
}

void
deadlock_graph_sort(struct deadlock_graph *graph)
{
    struct lock_edge *edges = graph_edges(graph);
    uint32_t count = graph_count(graph);
    uint32_t kept = 0;

    if (count == 0) {
        return;
    }
    if (graph->aliases.size > 0) {
        qsort(graph->aliases.data, graph->aliases.size / sizeof(struct deadlock_alias),
              sizeof(struct deadlock_alias), alias_compare);
    }
    for (uint32_t i = 0; i < count; i++) {
        edges[i].waiter = alias_resolve(graph, edges[i].waiter);
        edges[i].holder = alias_resolve(graph, edges[i].holder);
    }
    qsort(edges, count, sizeof(edges[0]), edge_compare);
    for (uint32_t i = 0; i < count; i++) {
        /* A session may wait for a lock of its own transaction's: that is no circle of others. */
        if (edges[i].waiter != edges[i].holder &&
            (kept == 0 || edge_compare(&edges[i], &edges[kept - 1]) != 0)) {
            edges[kept++] = edges[i];
        }
    }
    graph->edges.size = kept * sizeof(edges[0]);
}

void
deadlock_graph_intersect(struct deadlock_graph *graph, const struct deadlock_graph *other)
{
    struct lock_edge *edges = graph_edges(graph);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < graph_count(graph); i++) {
        if (graph_count(other) > 0 && bsearch(&edges[i], other->edges.data, graph_count(other),
                                              sizeof(edges[0]), edge_compare) != NULL) {
            edges[kept++] = edges[i];
        }
    }
    graph->edges.size = kept * sizeof(edges[0]);
}

/* ---- Circles: a walk in depth. A node is a waiting transaction, named by its first edge. ---- */

enum { NODE_NEW, NODE_OPEN, NODE_DONE };

struct walk {
    const struct lock_edge *edges;
    uint32_t count;
    uint8_t *states;  /* By the node's first edge. */
    uint32_t *path;   /* The edges that lead from node to node. */
    uint32_t *firsts; /* The first edge of the node that path[i] leaves. */
    uint32_t depth;
};

/* The first edge of the transaction's; UINT32_MAX when it waits for nobody. */
static uint32_t
node_find(const struct walk *walk, uint64_t txn)
{
    uint32_t low = 0;
    uint32_t high = walk->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (walk->edges[middle].waiter < txn) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < walk->count && walk->edges[low].waiter == txn ? low : UINT32_MAX;
}

/* Numbers grow on each home shard; the shard decides between equal ones. */
static bool
is_younger(uint64_t a, uint64_t b)
{
    const uint64_t number = ((uint64_t)1 << TXN_ID_HOME_SHIFT) - 1;

    return (a & number) != (b & number) ? (a & number) > (b & number) : a > b;
}

/* The path from the node to its end is a circle: the youngest of it. */
static uint32_t
circle_victim(const struct walk *walk, uint32_t node)
{
    uint32_t at = walk->depth - 1;
    uint32_t victim = at;

    while (walk->firsts[at] != node) {
        ASSERT(at > 0);
        at--;
        if (is_younger(walk->edges[walk->path[at]].waiter,
                       walk->edges[walk->path[victim]].waiter)) {
            victim = at;
        }
    }
    return victim;
}

static void
walk_enter(struct walk *walk, uint32_t node)
{
    walk->states[node] = NODE_OPEN;
    walk->firsts[walk->depth] = node;
    walk->path[walk->depth] = node;
    walk->depth++;
}

/* The end of the path has no more edges, or is a victim. */
static void
walk_leave(struct walk *walk)
{
    walk->depth--;
    walk->states[walk->firsts[walk->depth]] = NODE_DONE;
    if (walk->depth > 0) {
        walk->path[walk->depth - 1]++;
    }
}

/* A victim waits no more. Nodes above it on the path are walked again later from where they are
 * reached: what they lead to is not known yet. */
static uint64_t
walk_break(struct walk *walk, uint32_t victim)
{
    uint64_t wait = walk->edges[walk->path[victim]].wait;

    while (walk->depth > victim + 1) {
        walk->depth--;
        walk->states[walk->firsts[walk->depth]] = NODE_NEW;
    }
    walk_leave(walk);
    return wait;
}

/* One step from the end of the path. True: a circle was closed, and *wait_out is to be broken. */
static bool
walk_step(struct walk *walk, uint64_t *wait_out)
{
    uint32_t top = walk->depth - 1;
    uint32_t edge = walk->path[top];
    uint32_t next;

    if (edge >= walk->count || walk->edges[edge].waiter != walk->edges[walk->firsts[top]].waiter) {
        walk_leave(walk);
        return false;
    }
    next = node_find(walk, walk->edges[edge].holder);
    if (next != UINT32_MAX && walk->states[next] == NODE_OPEN) {
        *wait_out = walk_break(walk, circle_victim(walk, next));
        return true;
    }
    if (next != UINT32_MAX && walk->states[next] == NODE_NEW) {
        walk_enter(walk, next);
    } else {
        walk->path[top]++;
    }
    return false;
}

uint32_t
deadlock_graph_victims(const struct deadlock_graph *graph, uint64_t *waits, uint32_t max)
{
    struct walk walk = {.edges = graph_edges(graph), .count = graph_count(graph)};
    uint32_t found = 0;
    uint64_t wait;

    if (walk.count == 0) {
        return 0;
    }
    walk.states = mem_zalloc(MEM_SESSIONS, walk.count);
    walk.path = mem_alloc(MEM_SESSIONS, walk.count * sizeof(uint32_t));
    walk.firsts = mem_alloc(MEM_SESSIONS, walk.count * sizeof(uint32_t));
    for (uint32_t i = 0; i < walk.count && found < max; i++) {
        if ((i == 0 || walk.edges[i].waiter != walk.edges[i - 1].waiter) &&
            walk.states[i] == NODE_NEW) {
            walk_enter(&walk, i);
            while (walk.depth > 0 && found < max) {
                if (walk_step(&walk, &wait)) {
                    waits[found++] = wait;
                }
            }
        }
    }
    mem_free(MEM_SESSIONS, walk.states, walk.count);
    mem_free(MEM_SESSIONS, walk.path, walk.count * sizeof(uint32_t));
    mem_free(MEM_SESSIONS, walk.firsts, walk.count * sizeof(uint32_t));
    return found;
}

/* ---- Gathering. ---- */

static void
gather_edge(void *arg, const struct lock_edge *edge)
{
    struct deadlock_graph *graph = arg;

    if (graph_count(graph) < DEADLOCK_EDGES_MAX) {
        buf_append(&graph->edges, edge, sizeof(*edge));
    }
}

static void
gather_alias(void *arg, uint64_t session, uint64_t txn)
{
    struct deadlock_graph *graph = arg;
    struct deadlock_alias alias = {.session = session, .txn = txn};

    buf_append(&graph->aliases, &alias, sizeof(alias));
}

/* On each shard; the memory goes to the asking one. */
static void
gather_run(void *arg)
{
    struct deadlock_graph *graph = arg;
    struct txns *txns = shard_slot_get(SHARD_SLOT_TXN);

    deadlock_graph_init(graph);
    if (txns != NULL) {
        lock_edges(txns->locks, gather_edge, graph);
        advisories_visit(txns->advisories, gather_alias, graph);
    }
    mem_disown(MEM_SESSIONS, graph->edges.data, graph->edges.capacity);
    mem_disown(MEM_SESSIONS, graph->aliases.data, graph->aliases.capacity);
}

static YIELDS void
gather(struct deadlock_graph *whole)
{
    size_t bytes = shard_count() * sizeof(struct deadlock_graph);
    struct deadlock_graph *parts = mem_zalloc(MEM_SESSIONS, bytes);

    msg_call_all(MSG_INLINE, gather_run, parts, sizeof(parts[0]));
    for (uint32_t i = 0; i < shard_count(); i++) {
        struct deadlock_graph *part = &parts[i];

        mem_adopt(MEM_SESSIONS, part->edges.data, part->edges.capacity);
        mem_adopt(MEM_SESSIONS, part->aliases.data, part->aliases.capacity);
        buf_append(&whole->edges, part->edges.data, part->edges.size);
        buf_append(&whole->aliases, part->aliases.data, part->aliases.size);
        deadlock_graph_fini(part);
    }
    mem_free(MEM_SESSIONS, parts, bytes);
    deadlock_graph_sort(whole);
}

/* ---- The search. ---- */

static void
break_run(void *arg)
{
    struct txns *txns = shard_slot_get(SHARD_SLOT_TXN);

    if (txns != NULL) {
        lock_break(txns->locks, *(const uint64_t *)arg);
    }
}

static YIELDS void
victims_break(uint64_t *waits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        msg_call((uint32_t)(waits[i] >> LOCK_WAIT_SHARD_SHIFT), MSG_INLINE, break_run, &waits[i]);
    }
}

/* Returns whether there seemed to be a circle. */
static YIELDS bool
search_twice(uint64_t *victims)
{
    struct deadlock_graph first;
    struct deadlock_graph second;
    uint32_t count;
    bool is_suspicious;

    deadlock_graph_init(&first);
    deadlock_graph_init(&second);
    gather(&first);
    is_suspicious = deadlock_graph_victims(&first, victims, 1) > 0;
    if (is_suspicious) {
        gather(&second);
        deadlock_graph_intersect(&second, &first);
        count = deadlock_graph_victims(&second, victims, DEADLOCK_VICTIMS_MAX);
        victims_break(victims, count);
    }
    deadlock_graph_fini(&first);
    deadlock_graph_fini(&second);
    return is_suspicious;
}

/* Who waited behind a victim, or behind somebody who went between the pictures, waits for whom that
 * one waited for, which was not in them as an edge of its own: so they are taken again until there
 * is no circle. */
static YIELDS void
search_all(uint64_t *victims)
{
    for (uint32_t round = 0; round < DEADLOCK_ROUNDS_MAX; round++) {
        if (!search_twice(victims)) {
            return;
        }
    }
}

/* On shard 0. */
static YIELDS void
search_run(void *arg)
{
    const size_t bytes = DEADLOCK_VICTIMS_MAX * sizeof(uint64_t);
    struct txns *txns = shard_slot_get(SHARD_SLOT_TXN);
    uint64_t *victims;

    (void)arg;
    if (txns == NULL || txns->locks->is_search_closed) {
        return;
    }
    victims = mem_alloc(MEM_SESSIONS, bytes);
    fiber_mutex_lock(&txns->locks->search_mutex);
    search_all(victims);
    fiber_mutex_unlock(&txns->locks->search_mutex);
    mem_free(MEM_SESSIONS, victims, bytes);
}

uint64_t
deadlock_search(struct locks *locks, uint64_t wait)
{
    uint64_t now_us = shard_now_us();

    if (locks->is_searching) {
        return DEADLOCK_BUSY_US;
    }
    if (locks->searched >= (wait & LOCK_WAIT_NUMBER) &&
        now_us < locks->searched_us + DEADLOCK_AGAIN_US) {
        return locks->searched_us + DEADLOCK_AGAIN_US - now_us;
    }
    locks->is_searching = true;
    locks->searched = locks->number;
    locks->searched_us = now_us;
    msg_call(0, MSG_FIBER, search_run, NULL);
    locks->is_searching = false;
    return DEADLOCK_AGAIN_US;
}

void
deadlock_close(struct locks *locks)
{
    locks->is_search_closed = true;
    fiber_mutex_lock(&locks->search_mutex);
    fiber_mutex_unlock(&locks->search_mutex);
}
