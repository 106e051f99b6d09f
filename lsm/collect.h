/* lsm/collect.h - which versions a flush or compaction writes on.
 *
 * Rules (snapshots.h says what "needed" is; floor: no snapshot below it exists or will):
 *   - A version goes when nobody needs it between its ts and that of what supersedes it: the next
 *     newer version in the same stream, or a range delete of the stream's inputs.
 *   - A value whose expiry is at or below the floor becomes a delete.
 *   - A delete, or a range delete, at or below the floor goes when nothing older that it hides can
 *     be anywhere else: in no table outside of the inputs, whatever its level, and in no memtable.
 */
#pragma once

#include <stdbool.h>

#include "lsm/range_delete.h"
#include "lsm/snapshots.h"
#include "lsm/version.h"

struct collect {
    struct snapshot_set set;
    const struct range_map *ranges; /* Of the inputs; borrowed; may be empty. */
    struct version *version;        /* Pinned. */
    const void *job;                /* Tables that are busy with it are the inputs. */
    uint64_t drop_floor;            /* Deletes above it stay. */
    struct buf key;                 /* Of the last entry. */
    uint64_t key_ts;
    bool has_key;
    uint64_t dropped;
};

/* memtables_oldest: the oldest ts in any memtable outside of the inputs. */
void collect_init(struct collect *collect, const struct snapshots *snapshots,
                  const struct range_map *ranges, struct version *version, const void *job,
                  uint64_t memtables_oldest);
void collect_fini(struct collect *collect);
/* Entries in order. False: it goes. It may be changed into a delete. */
bool collect_keeps(struct collect *collect, struct lsm_entry *entry);
/* The same for one layer of a piece; `newer` is the ts of the layer above it, UINT64_MAX at the
 * top. */
bool collect_keeps_range(const struct collect *collect, const struct range_piece *piece,
                         const struct range_layer *layer, uint64_t newer);
/* Can all of a table go, given that range deletes of `ranges` cover it? */
bool collect_covers_table(const struct collect *collect, const struct table_meta *meta);
