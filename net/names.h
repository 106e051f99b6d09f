/* net/names.h - a hash table of nodes that lie in the caller's objects: channels, subscriptions,
 * tracked keys. The caller compares names; several nodes may have one hash. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"

struct names_node {
    struct names_node *next; /* In its bucket. */
    uint64_t hash;
};

struct names {
    struct names_node **buckets;
    uint32_t bucket_count; /* A power of two; 0 before the first node. */
    uint32_t count;
};

/* Zeroed is initialised. All nodes must be gone. */
void names_fini(struct names *names);
/* Of a name, by what it names. */
uint64_t names_hash(uint64_t kind, struct slice name);
void names_add(struct names *names, struct names_node *node, uint64_t hash);
void names_remove(struct names *names, struct names_node *node);
/* The nodes with this hash, one after the other; NULL at the end. */
struct names_node *names_first(const struct names *names, uint64_t hash);
struct names_node *names_next(const struct names_node *node);
/* All nodes, by their places; the table must not change meanwhile. NULL at the end. */
struct names_node *names_walk(const struct names *names, const struct names_node *after);
