/* txn/deadlock.h - finds transactions that wait for each other in a circle, over all shards.
 *
 * Who has waited for DEADLOCK_AFTER_US asks for a search. Searches run on shard 0, one at a time
 * and at most one a shard at a time; one search serves everybody who waited before it began. It
 * gathers who waits for whom from all shards twice. What is in both has lasted from the end of the
 * first gathering to the beginning of the second, all of it at one moment: so a circle of such
 * waits is a deadlock and not a picture put together from different times. In each circle the
 * youngest transaction is the victim: its wait ends with ERR_DEADLOCK.
 *
 * A wait for the outcome of a prepared transaction is in no picture: it ends by itself. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "txn/lock.h"

enum {
    DEADLOCK_EDGES_MAX = 1 << 16, /* Of a shard; more are left out of a search. */
    DEADLOCK_VICTIMS_MAX = 256,   /* Of one round of a search, */
    DEADLOCK_ROUNDS_MAX = 64,     /* and its rounds. */
    DEADLOCK_AGAIN_US = 1000000,  /* Who still waits asks again after so long. */
    DEADLOCK_BUSY_US = 5000,      /* And so soon when a search was under way. */
};

/* By the fiber of a wait (of this shard). Returns when to ask again, in microseconds from now. */
YIELDS uint64_t deadlock_search(struct locks *locks, uint64_t wait);

/* No search begins on this shard any more; returns when none runs. Before the locks are freed. */
YIELDS void deadlock_close(struct locks *locks);

/* ---- For tests: the graph. ---- */

/* A session that is in a statement of a transaction waits and holds as that transaction. */
struct deadlock_alias {
    uint64_t session, txn;
};

struct deadlock_graph {
    struct buf edges;   /* Of struct lock_edge. */
    struct buf aliases; /* Of struct deadlock_alias. */
};

void deadlock_graph_init(struct deadlock_graph *graph);
void deadlock_graph_fini(struct deadlock_graph *graph);
/* Aliases are put in, edges sorted and without repeats. */
void deadlock_graph_sort(struct deadlock_graph *graph);
/* Leaves what is in both (sorted). */
void deadlock_graph_intersect(struct deadlock_graph *graph, const struct deadlock_graph *other);
/* One wait in each circle of the sorted graph, that of its youngest transaction; at most `max`.
 * Returns how many. */
uint32_t deadlock_graph_victims(const struct deadlock_graph *graph, uint64_t *waits, uint32_t max);
