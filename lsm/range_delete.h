/* lsm/range_delete.h - the range deletes of a memtable or of a compaction, ready for lookups.
 *
 *     key  -----a-----c--------f-----------k----->
 *               |  9  |  12, 9 |    12     |           borders and, from each to the next, the
 *                                                      range deletes in force, newest first
 *
 * Borders are never removed. The stacks are collected by the rule of snapshots.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "lsm/entry.h"
#include "lsm/memtable_tree.h"
#include "lsm/snapshots.h"

struct range_layer {
    struct range_layer *older;
    uint64_t ts;
    uint64_t lsn;
};

struct range_map {
    struct arena *arena; /* Borrowed; all memory is from here. */
    struct tree borders;
    struct range_layer *free_layers;
    uint64_t bytes; /* Taken from the arena, nodes of the tree excluded. */
    uint64_t layers;
    uint64_t ts_oldest, ts_newest; /* Of what was added; UINT64_MAX and 0 when empty. */
};

/* Where the answer for a key holds, and what it is. */
struct range_cover {
    struct slice low; /* The answer holds for keys in [low, high); borrowed. */
    struct slice high;
    bool high_is_open; /* There is no high. */
    uint64_t ts;       /* Of the newest range delete at or below the snapshot; 0: none. */
    uint64_t lsn;
};

void range_map_init(struct range_map *map, struct arena *arena);
static inline bool
range_map_is_empty(const struct range_map *map)
{
    return map->borders.count == 0;
}
/* An empty or inverted range adds nothing. The bytes are copied. */
void range_map_add(struct range_map *map, const struct lsm_range_delete *range,
                   const struct snapshots *snapshots);
/* Where the last answer was found, so that a scan need not search for the next. Begins as zeros. */
struct range_cursor {
    struct tree_position at;
    uint32_t generation;
};
/* The map must not be empty. */
void range_map_find(const struct range_map *map, struct range_cursor *cursor, struct slice key,
                    uint64_t snapshot, struct range_cover *cover_out);
/* Only the timestamp: 0 for none; the map may be empty. */
uint64_t range_map_ts(const struct range_map *map, struct slice key, uint64_t snapshot,
                      uint64_t *lsn_out);
/* The oldest range delete above ts that covers the key, UINT64_MAX for none: what hides a version
 * of that ts. */
uint64_t range_map_superseded_at(const struct range_map *map, struct slice key, uint64_t ts);

/* The pieces between borders that have layers, in order of keys. */
struct range_piece {
    struct slice start;
    struct slice end;
    const struct range_layer *newest;
    struct tree_position position;
};
bool range_map_first(const struct range_map *map, struct range_piece *piece);
bool range_map_next(struct range_piece *piece);
/* The first piece that ends behind `key`. */
bool range_map_seek(const struct range_map *map, struct slice key, struct range_piece *piece);

/* Is every key of [low, high] (high excluded when high_is_exclusive) covered by range deletes
 * above ts? *until_out is the newest of them that are the oldest above ts at their place: the
 * moment from which all is hidden. */
bool range_map_covers(const struct range_map *map, struct slice low, struct slice high,
                      bool high_is_exclusive, uint64_t ts, uint64_t *until_out);
