/* txn/overlay_index.h - finding the writes of an overlay by key. For overlay.c.
 *
 * Built at the first search and brought up to date by each later one, so that writing costs
 * nothing for it. It knows the writes ("ops") of the overlay's record by number and offset:
 *
 *     keys      a tree of every key written; each holds the number of its newest op,
 *     ops       and each op the number of the one before it of the same key;
 *     borders   a tree of the bounds of range deletes; each holds the number of the *first* range
 *               delete that covers what lies between it and the next border. A later one changes
 *               nothing there: whoever sees it sees the first one too.
 *
 * Taking back the newest ops therefore only follows links: a key's newest op is again the one
 * before, and each range delete knows the borders that it was the first to cover. Keys and borders
 * stay in their trees without any op; when they are the larger part, the index is built anew. */
#pragma once

#include "lsm/memtable_tree.h"
#include "txn/overlay.h"

/* Written at some time. */
struct overlay_key {
    uint32_t newest; /* Op number + 1; 0: all were taken back. */
    struct tree_key key;
};

/* Accept NULL. */
void overlay_index_free(struct overlay_index **index);
/* Forgets everything, and keeps at most OVERLAY_KEPT_BYTES for the next time. */
void overlay_index_reset(struct overlay_index **index);

/* Made if need be, and up to date. */
struct overlay_index *overlay_index_get(struct overlay *overlay);
/* The overlay is about to lose its ops from number `ops` on; their bytes are still there. */
void overlay_index_cut(struct overlay *overlay, uint32_t ops);
size_t overlay_index_bytes(const struct overlay_index *index); /* Accepts NULL. */

struct tree *overlay_index_keys(struct overlay_index *index);
struct overlay_key *overlay_key_at(struct tree_position position);
/* The newest op of the key below number `before`: false when there is none. Its place in the
 * record. */
bool overlay_index_op(const struct overlay_index *index, const struct overlay_key *key,
                      uint32_t before, uint32_t *offset_out);
/* The same among numbers [from, before). */
bool overlay_index_op_since(const struct overlay_index *index, const struct overlay_key *key,
                            uint32_t from, uint32_t before, uint32_t *offset_out);
/* Does a range delete with a number in [from, before) cover the key? Of overlays with a spill. */
bool overlay_index_hides_since(const struct overlay_index *index, struct slice key, uint32_t from,
                               uint32_t before);
/* Is the key hidden by a range delete with a number below `before`? Then *bound_out is where the
 * hidden stretch ends (is_up: its end, not hidden any more; otherwise its start, hidden). Stays
 * until the next cut. */
bool overlay_index_hides(const struct overlay_index *index, struct slice key, uint32_t before,
                         bool is_up, struct slice *bound_out);
int64_t overlay_index_sum(const struct overlay_index *index, uint32_t counter);
