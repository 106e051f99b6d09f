/* txn/slots.c - see slots.h. */
#include "txn/slots.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/spill.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

_Static_assert(SHARDS_MAX <= SLOT_SHARD_MASK + 1, "a shard fits beside the flags");

/* ---- Records. ---- */

static const char slot_prefix[] = "\x00txn.slot";
static const char retired_key[] = "\x00txn.retired";
enum { SLOT_PREFIX_BYTES = sizeof(slot_prefix) - 1 };
_Static_assert((int)SLOT_KEY_BYTES == (int)SLOT_PREFIX_BYTES + 2, "prefix and slot");

struct slice
slot_key(uint8_t out[SLOT_KEY_BYTES], uint16_t slot)
{
    memcpy(out, slot_prefix, SLOT_PREFIX_BYTES);
    put_be16(out + SLOT_PREFIX_BYTES, slot);
    return slice_of(out, SLOT_KEY_BYTES);
}

/* owner (2) | the owner before (2) | since when that one had it (8), little-endian */
struct slice
slot_value(uint8_t out[SLOT_VALUE_BYTES], uint32_t to, const struct slot_past *past)
{
    put_le16(out, (uint16_t)to);
    put_le16(out + 2, past->from);
    put_le64(out + 4, past->since);
    return slice_of(out, SLOT_VALUE_BYTES);
}

struct slice
slots_retired_key(void)
{
    return slice_of(retired_key, sizeof(retired_key) - 1);
}

/* ---- Loading: at shard 0, into the asking shard's memory. ---- */

struct load {
    struct slots *slots;
    struct slot_past *past;
    bool is_moved; /* Out: there are records. */
    err_t err;
    char text[ERR_MESSAGE_BYTES_MAX];
};

static err_t
record_load(struct load *load, const struct lsm_entry *entry)
{
    uint16_t slot = SLOT_COUNT;
    uint16_t owner = SHARDS_MAX;

    if (entry->key.size == SLOT_KEY_BYTES && entry->value.size == SLOT_VALUE_BYTES) {
        slot = get_be16(entry->key.data + SLOT_PREFIX_BYTES);
        owner = get_le16(entry->value.data);
    }
    if (slot >= SLOT_COUNT || owner >= SHARDS_MAX ||
        get_le16(entry->value.data + 2) >= SHARDS_MAX) {
        return err_set(ERR_CORRUPT, "a record of the slot map is impossible");
    }
    load->slots->owner[slot] = owner | SLOT_MOVED;
    load->past[slot] = (struct slot_past){
        .ts = entry->ts,
        .from = get_le16(entry->value.data + 2),
        .since = get_le64(entry->value.data + 4),
    };
    load->is_moved = true;
    return ERR_OK;
}

static YIELDS err_t
records_load(struct load *load, struct store *store)
{
    uint8_t lower[SLOT_KEY_BYTES];
    uint8_t upper[SLOT_KEY_BYTES];
    struct store_snapshot snapshot;
    struct lsm_iter *iter = NULL;
    struct lsm_value retired;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_RUNTIME);
    store_snapshot_take(store, &snapshot);
    TRY(store_scan_open(store, &snapshot, slot_key(lower, 0), slot_key(upper, UINT16_MAX), &iter));
    TRY(lsm_iter_first(iter));
    while (lsm_iter_is_valid(iter)) {
        TRY(record_load(load, lsm_iter_entry(iter)));
        TRY(lsm_iter_next(iter));
    }
    TRY(store_get_at(store, &snapshot, slots_retired_key(), &arena, &retired));
    load->slots->retired_ts = retired.is_found ? retired.ts : 0;
out:
    lsm_iter_close(&iter);
    store_snapshot_drop(store, &snapshot);
    arena_fini(&arena);
    return err;
}

static YIELDS void
load_run(void *arg)
{
    struct load *load = arg;
    struct store *store = store_self();

    if (store == NULL) {
        load->err = err_set(ERR_CLOSED, "shard 0 does not serve");
    } else {
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
            load->slots->owner[slot] = (uint16_t)slots_even(slot, store->shards_first);
        }
        load->err = records_load(load, store);
    }
    if (load->err != ERR_OK) {
        snprintf(load->text, sizeof(load->text), "%s", err_message(load->err));
    }
}

/* Every slot lies on a shard that runs, and a shard with slots has not lost its folder. */
static err_t
map_check(const struct slots *slots, const struct store *store)
{
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint32_t owner = slots->owner[slot] & SLOT_SHARD_MASK;

        if (owner >= shard_count()) {
            return err_set(ERR_FORMAT,
                           "slot %u lies on shard %u, and there are only %u shards: start with as "
                           "many as before",
                           slot, owner, shard_count());
        }
        if (owner == shard_id() && store->is_new && store->others_have_data) {
            return err_set(ERR_CORRUPT, "the folder of shard %u is missing, which owns slot %u",
                           owner, slot);
        }
    }
    return ERR_OK;
}

err_t
slots_open(struct txns *txns)
{
    struct slots *slots = MEM_NEW(MEM_RUNTIME, struct slots);
    struct load load = {.slots = slots};
    err_t err;

    txns->slots = slots;
    cond_init(&slots->changed);
    slots->wanted = shard_count();
    slots->live = shard_count();
    load.past = mem_zalloc(MEM_RUNTIME, SLOT_COUNT * sizeof(*load.past));
    msg_call(0, MSG_FIBER, load_run, &load);
    if (load.is_moved) {
        slots->past = load.past;
    } else {
        mem_free(MEM_RUNTIME, load.past, SLOT_COUNT * sizeof(*load.past));
    }
    if (load.err != ERR_OK) {
        return err_set(load.err, "%s", load.text);
    }
    err = map_check(slots, txns->store);
    return err;
}

void
slots_close(struct txns *txns)
{
    struct slots *slots = txns->slots;

    if (slots == NULL) {
        return;
    }
    mem_free(MEM_RUNTIME, slots->past, slots->past == NULL ? 0 : SLOT_COUNT * sizeof(*slots->past));
    MEM_FREE(MEM_RUNTIME, slots);
    txns->slots = NULL;
}

/* ---- Asking. ---- */

static YIELDS void
held_wait(struct slots *slots, uint16_t slot)
{
    while ((slots->owner[slot] & SLOT_HELD) != 0 && !CANARY(SLOTS_NOT_HELD)) {
        SOMETIMES("txn: a statement waited for a slot on its way");
        cond_wait_uncancelable(&slots->changed);
    }
}

uint32_t
slots_owner_wait(struct txn *txn, uint16_t slot)
{
    struct slots *slots = txns_self()->slots;

    if (slot >= SLOT_COUNT) {
        return slot - (uint32_t)SLOT_COUNT;
    }
    if ((slots->owner[slot] & SLOT_HELD) != 0) {
        part_hold(&txn->part);
        held_wait(slots, slot);
    }
    return slots->owner[slot] & SLOT_SHARD_MASK;
}

bool
slots_has_left(const struct slots *slots, uint16_t slot, uint32_t shard)
{
    return slot < SLOT_COUNT && ((slots->owner[slot] & SLOT_HELD) != 0 ||
                                 (slots->owner[slot] & SLOT_SHARD_MASK) != shard);
}

err_t
slots_route_slowly(struct txn *txn, uint16_t slot, uint32_t *shard_out)
{
    if ((txns_self()->slots->owner[slot] & SLOT_HELD) != 0) {
        part_hold(&txn->part);
    }
    return slots_route_at(slot, txn->part.snapshot, shard_out);
}

err_t
slots_route_at(uint16_t slot, uint64_t snapshot, uint32_t *shard_out)
{
    struct txns *txns = txns_self();
    struct slots *slots = txns->slots;
    const struct slot_past *past;

    held_wait(slots, slot);
    *shard_out = slots->owner[slot] & SLOT_SHARD_MASK;
    if ((slots->owner[slot] & SLOT_MOVED) == 0) {
        return ERR_OK;
    }
    past = &slots->past[slot];
    if (snapshot >= past->ts) {
        if (past->ts < horizon_oldest(&txns->store->horizon)) {
            slots->owner[slot] &= (uint16_t)~SLOT_MOVED; /* Nobody reads before it any more. */
        }
        return ERR_OK;
    }
    SOMETIMES("txn: a snapshot was read where the slot had been");
    *shard_out = past->from;
    if (snapshot < past->since || past->from >= shard_count()) {
        return err_set(ERR_SNAPSHOT_TOO_OLD,
                       "slot %u has changed shards since the time that is read", slot);
    }
    return ERR_OK;
}

struct owned {
    const struct slots *slots;
    bool has_keys, is_foreign;
};

static bool
op_check(void *arg, const struct record_op *op)
{
    struct owned *owned = arg;

    if (op->kind == RECORD_PUT || op->kind == RECORD_PUT_LARGE || op->kind == RECORD_DELETE) {
        owned->has_keys = true;
        owned->is_foreign = slots_has_left(owned->slots, op->slot, shard_id());
    }
    return !owned->is_foreign;
}

/* The rows on disk: their slots were noted as they were written. */
static void
spill_check(struct owned *owned, const struct spill *spill)
{
    owned->has_keys = owned->has_keys || spill->low.size > 0;
    for (uint32_t i = 0; i < SLOT_COUNT && !owned->is_foreign; i++) {
        owned->is_foreign = spill_has_slot(spill, (uint16_t)i) &&
                            slots_has_left(owned->slots, (uint16_t)i, shard_id());
    }
}

err_t
slots_check_slowly(struct part *part)
{
    struct owned owned = {.slots = txns_self()->slots};

    if (part->is_move || overlay_is_empty(&part->writes) || CANARY(SLOTS_UNCHECKED)) {
        return ERR_OK;
    }
    overlay_visit(&part->writes, op_check, &owned);
    if (part->writes.spill != NULL) {
        spill_check(&owned, part->writes.spill);
    }
    /* Range deletes are judged by the keys beside them. */
    if (!owned.is_foreign && (owned.has_keys || part->writes.range_deletes == 0)) {
        return ERR_OK;
    }
    SOMETIMES("txn: a commit was refused because a slot was moved");
    return err_set(ERR_SERIALIZATION,
                   "could not commit: what this transaction writes is being moved to another "
                   "shard; run it again");
}

uint32_t
txn_shard_of_slot(uint16_t slot)
{
    if (slot >= SLOT_COUNT) {
        ASSERT(slot - (uint32_t)SLOT_COUNT < shard_count());
        return slot - (uint32_t)SLOT_COUNT;
    }
    return txns_self()->slots->owner[slot] & SLOT_SHARD_MASK;
}

static uint32_t
owner_at(const struct slots *slots, const struct txn *txn, uint32_t slot)
{
    uint16_t owner = slots->owner[slot];

    if ((owner & SLOT_MOVED) != 0 && txn != NULL && txn->part.snapshot < slots->past[slot].ts &&
        slots->past[slot].from < shard_count()) {
        return slots->past[slot].from;
    }
    return owner & SLOT_SHARD_MASK;
}

uint32_t
txn_slots_run(const struct txn *txn, uint16_t slot, uint32_t *end_out)
{
    const struct slots *slots = txns_self()->slots;
    uint32_t owner = owner_at(slots, txn, slot);
    uint32_t end = slot + 1U;

    while (end < SLOT_COUNT && owner_at(slots, txn, end) == owner) {
        end++;
    }
    *end_out = end;
    return owner;
}

uint32_t
txn_shards_wanted(void)
{
    return txns_self()->slots->wanted;
}

uint32_t
txn_shards_live(void)
{
    return txns_self()->slots->live;
}

uint64_t
txn_slots_epoch(void)
{
    return txns_self()->slots->epoch;
}

/* ---- Pins. ---- */

void
txn_slots_pin(void)
{
    struct slots *slots = txns_self()->slots;

    while (slots->is_wanted || (slots->epoch & 1) != 0) {
        SOMETIMES("txn: a command over all slots waited for a move");
        cond_wait_uncancelable(&slots->changed);
    }
    slots->pins++;
}

void
txn_slots_unpin(void)
{
    struct slots *slots = txns_self()->slots;

    ASSERT(slots->pins > 0);
    if (--slots->pins == 0) {
        cond_broadcast(&slots->changed);
    }
}

/* ---- The steps of a move. ---- */

err_t
slots_want(struct slots *slots, uint64_t deadline_us)
{
    ASSERT(!slots->is_wanted);
    slots->is_wanted = true;
    while (slots->pins > 0) {
        if (cond_wait_until(&slots->changed, deadline_us) == ERR_TIMEOUT && slots->pins > 0) {
            return err_set(ERR_TIMEOUT, "a command over all slots has not ended");
        }
    }
    return ERR_OK;
}

void
slots_hold(struct slots *slots, uint16_t first, uint32_t count, uint64_t epoch)
{
    ASSERT(slots->is_wanted);
    ASSERT((epoch & 1) != 0);
    for (uint32_t slot = first; slot < first + count; slot++) {
        slots->owner[slot] |= SLOT_HELD;
    }
    slots->epoch = epoch;
}

void
slots_release(struct slots *slots, uint16_t first, uint32_t count, uint64_t epoch,
              const struct slot_past *past, uint32_t to)
{
    if (past != NULL && slots->past == NULL) {
        slots->past = mem_zalloc(MEM_RUNTIME, SLOT_COUNT * sizeof(*slots->past));
    }
    for (uint32_t slot = first; slot < first + count; slot++) {
        slots->owner[slot] &= (uint16_t)~SLOT_HELD;
        if (past != NULL) {
            uint64_t since = slots->past[slot].ts;

            slots->past[slot] = *past;
            slots->past[slot].since = since;
            slots->owner[slot] = (uint16_t)(to | SLOT_MOVED);
        }
    }
    slots->epoch = epoch;
    slots->is_wanted = false;
    if (past != NULL && slots->on_move != NULL) {
        slots->on_move(first, count, to == shard_id());
    }
    cond_broadcast(&slots->changed);
}
