/* txn/slots.h - which shard owns which slot, and how a set of slots changes hands.
 *
 * Every shard has a copy of the map in memory; asking it is an array lookup. What is durable are
 * records on shard 0, one for each slot that was ever moved, written by the commit that moves it:
 * who finds the record finds the data there, too. Protocol and reasons: docs/resharding.md.
 *
 * For the files of txn/; models see the functions of txn/txn.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/crc16.h"
#include "engine/base/err.h"
#include "engine/rt/fiber.h"
#include "txn/part.h"

struct txn;
struct txns;

enum {
    SLOT_SHARD_MASK = 0x0fff,
    SLOT_MOVED = 0x4000, /* An older snapshot may have to be read elsewhere. */
    SLOT_HELD = 0x8000,  /* On its way: nothing new is sent to its owner. */
};

/* The protocol in the commit record of a move: the change feed leaves it out. */
#define SLOTS_PROTOCOL "\x01move"

/* The last move of a slot. */
struct slot_past {
    uint64_t ts;    /* Its commit: older snapshots are read at `from`, */
    uint64_t since; /* down to this one, when `from` had got it; older ones nowhere. */
    uint16_t from;
};

struct slots {
    uint16_t owner[SLOT_COUNT]; /* Shard and flags. */
    struct slot_past *past;     /* [SLOT_COUNT]; NULL: nothing was ever moved. */
    uint64_t epoch;             /* The same on all shards, but for messages on their way. Odd: some
                                 * slots are held. */
    uint32_t pins;              /* Who relies on the map as it is. */
    bool is_wanted;             /* A move waits for the last pin: no new ones. */
    struct cond changed;
    uint32_t live;       /* The shards from here on were given up. */
    uint32_t wanted;     /* So many shards are to share the slots. */
    uint64_t retired_ts; /* When a shard was last given up, with its log. */
    void (*on_move)(uint16_t first, uint32_t count, bool is_mine);
};

/* Asks shard 0, whose store is open. ERR_FORMAT when a slot lies on a shard that does not run,
 * ERR_CORRUPT (records; a folder with data is missing), errors of reading. */
YIELDS err_t slots_open(struct txns *txns);
void slots_close(struct txns *txns);

/* Where a transaction reads what lies in the slot, at its snapshot. Waits while the slot is held;
 * the answer holds until the next suspension. ERR_SNAPSHOT_TOO_OLD. */
YIELDS err_t slots_route_slowly(struct txn *txn, uint16_t slot, uint32_t *shard_out);
/* The same at a snapshot that is held without a transaction. */
YIELDS err_t slots_route_at(uint16_t slot, uint64_t snapshot, uint32_t *shard_out);

static inline err_t
slots_route(struct slots *slots, struct txn *txn, uint16_t slot, uint32_t *shard_out)
{
    uint16_t owner;

    if (slot >= SLOT_COUNT) {
        *shard_out = slot - (uint32_t)SLOT_COUNT;
        return ERR_OK;
    }
    owner = slots->owner[slot];
    if (__builtin_expect((owner & (SLOT_HELD | SLOT_MOVED)) != 0, 0)) {
        return slots_route_slowly(txn, slot, shard_out);
    }
    *shard_out = owner;
    return ERR_OK;
}
/* Where it is locked: at its owner, whatever the snapshot. Waits while the slot is held. */
YIELDS uint32_t slots_owner_wait(struct txn *txn, uint16_t slot);
/* Is the slot no longer of that shard, or about to leave it? */
bool slots_has_left(const struct slots *slots, uint16_t slot, uint32_t shard);

/* Is every write of a part that is about to commit one of a slot that the shard owns and that is
 * not held? ERR_SERIALIZATION otherwise. Does not suspend. */
err_t slots_check_slowly(struct part *part);

static inline err_t
slots_check(const struct slots *slots, struct part *part)
{
    return __builtin_expect(part->epoch != slots->epoch || (slots->epoch & 1) != 0, 0)
               ? slots_check_slowly(part)
               : ERR_OK;
}

/* ---- The steps of a move, on every shard: txn/reshard.c. ---- */

/* No new pins; returns when none is left. ERR_TIMEOUT: somebody keeps one (and the shard pins
 * again). */
YIELDS err_t slots_want(struct slots *slots, uint64_t deadline_us);
/* From here on nothing new is sent to the slots' owner. */
void slots_hold(struct slots *slots, uint16_t first, uint32_t count, uint64_t epoch);
/* The end of a move; `past` NULL: nothing has changed. */
void slots_release(struct slots *slots, uint16_t first, uint32_t count, uint64_t epoch,
                   const struct slot_past *past, uint32_t to);

/* ---- Records: tag 0x00, "txn.slot", slot (2, big-endian). ---- */

enum { SLOT_KEY_BYTES = 11, SLOT_VALUE_BYTES = 12 };
struct slice slot_key(uint8_t out[SLOT_KEY_BYTES], uint16_t slot);
struct slice slot_value(uint8_t out[SLOT_VALUE_BYTES], uint32_t to, const struct slot_past *past);
/* Its timestamp is when a shard was given up: what its log had is in no feed any more. */
struct slice slots_retired_key(void);

/* The shard of a slot among `shards` when nothing was moved yet, and the first slot of one. */
static inline uint32_t
slots_even(uint32_t slot, uint32_t shards)
{
    return slot * shards / SLOT_COUNT;
}
static inline uint32_t
slots_even_first(uint32_t shard, uint32_t shards)
{
    return (shard * SLOT_COUNT + shards - 1) / shards;
}
