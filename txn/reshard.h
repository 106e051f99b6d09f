/* txn/reshard.h - moves slots between shards while they are in use. Protocol: docs/resharding.md.
 *
 * The data folder has as many shards as it had, or as many as are wanted, whichever is more; each
 * runs. One fiber on shard 0 moves slots, a group after the other, until every wanted shard has its
 * share and the others have none; those are then given up: the next start does without them.
 *
 * A group is moved by one transaction of its old owner: what the models have in these slots is
 * written at the new owner and deleted at the old one, and the map's records are written, by one
 * commit. So after a crash all of it is here or all of it is there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

enum {
    RESHARD_GROUP_SLOTS_MAX = 1024,
    RESHARD_GROUP_BYTES = 128 << 10, /* What a group should have, as long as it has many slots. */
    RESHARD_SCAN_SHARE = 8, /* Or of what a scan for it passes, the larger: a group costs as much
                               as the scan, whatever it has. */
    RESHARD_FLUSH_BYTES = 256 << 10, /* Sent to the new owner at once. */
    RESHARD_PIN_WAIT_US = 2000 * 1000,
    RESHARD_LOCK_WAIT_US = 200 * 1000, /* For locks in the group; then others come first. */
    RESHARD_REST_US_MIN = 500,         /* Between groups; otherwise as long as the last one took, */
    RESHARD_REST_US_MAX = 20 * 1000,   /* up to this. */
    RESHARD_RETRY_US = 100 * 1000,     /* After a group that could not be moved. */
};

/* Before the stores are opened, in the data folder: removes what shards have left that were given
 * up. *shards_out: how many shards there are to run, at least `wanted`. */
YIELDS err_t reshard_plan(uint32_t wanted, uint32_t *shards_out);

/* ---- What a model does. ---- */

struct slots_move {
    uint16_t first;
    uint32_t count;
    uint32_t from, to;
    struct txn *txn; /* For scans of the own shard: txn_slot_of_shard(from). */
    uint64_t keys;   /* Counted by the model, */
    uint64_t entries, bytes;
    uint64_t scanned; /* Bytes that slots_move_range has passed. */
    uint64_t unsent;
};

/* On the old owner, while nobody else reads or writes the slots: everything that the models have
 * there is put at the new owner and deleted here, with what counts it. Called again after an error.
 */
typedef YIELDS err_t (*slots_copy_fn)(struct slots_move *move);
YIELDS err_t slots_move_put(struct slots_move *move, uint16_t slot, struct slice key,
                            struct slice value, uint64_t expire_us);
/* At the old owner. */
void slots_move_delete(struct slots_move *move, uint16_t slot, struct slice key);
void slots_move_delete_range(struct slots_move *move, struct slice start, struct slice end);
/* All of that in [lower, upper), where entries do not lie by slot: costs a scan over it. */
YIELDS err_t slots_move_range(struct slots_move *move, struct slice lower, struct slice upper);
/* Less here by so much, and more there. */
void slots_move_counter(struct slots_move *move, uint32_t counter, int64_t number);

/* ---- The mover: on shard 0. ---- */

struct reshard_options {
    uint32_t shards; /* Wanted; at most shard_count(). */
    slots_copy_fn copy;
    /* Called on every shard, in the step in which a group of slots has changed hands there;
     * is_mine: this is the new owner. May be NULL. */
    void (*on_move)(uint16_t first, uint32_t count, bool is_mine);
};

/* When all shards have opened their transactions and models. ERR_LIMIT: no fiber. */
YIELDS err_t reshard_open(const struct reshard_options *options);
/* Before sessions and models end; a group under way is finished. Harmless without an open. */
YIELDS void reshard_close(void);

/* Must slots move for so many shards to have their share? On shard 0. */
bool reshard_is_due(uint32_t shards);
/* Whose each slot is to be in the end. On shard 0, after the open. */
void reshard_targets_get(uint16_t out[]);

struct reshard_stats {
    bool is_moving;
    uint32_t wanted;
    uint32_t slots_left; /* To be moved. */
    uint64_t slots_moved, groups, keys, entries, bytes;
    uint64_t retries;
    uint64_t blocked_by; /* The transaction whose locks the last group met; 0: it was moved, or met
                            something else. */
    uint64_t began_us, ended_us;            /* Of shard_now_us on shard 0; ended 0: not yet. */
    uint64_t hold_us, hold_us_max;          /* For how long groups were held. */
    uint32_t retired;                       /* Shards that were given up: gone at the next start. */
    char last_error[ERR_MESSAGE_BYTES_MAX]; /* Of the last retry. */
};
/* On shard 0; zeroes when there is no mover. */
void reshard_stats_get(struct reshard_stats *out);
/* Of the current shard: how many slots it owns, and how many are to be its own in the end (NULL:
 * not asked). */
uint32_t reshard_slots_owned(uint32_t *wanted_out);
