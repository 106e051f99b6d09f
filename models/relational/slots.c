/* models/relational/slots.c - entries lie by table and key, so that those of a group of slots are
 * found by the slot that each carries. */
#include "models/relational/slots.h"

#include "engine/base/assert.h"
#include "models/relational/catalog.h"
#include "txn/txn.h"

#include "engine/base/poison.h"

enum {
    WORK_UNITS_PER_ENTRY = 2,
    RAW_TAG = 2, /* Keys of the C API: they have no model that could know them. */
};

static YIELDS err_t
entry_copy(struct slots_move *move, struct txn_scan *scan, struct arena *arena)
{
    uint16_t slot = txn_scan_entry(scan)->slot;
    struct slice key, value;
    err_t err;

    if (slot < move->first || slot >= move->first + move->count) {
        return ERR_OK;
    }
    key = arena_copy(arena, txn_scan_entry(scan)->key);
    TRY(txn_scan_value(scan, arena, &value));
    slots_move_delete(move, slot, key);
    err = slots_move_put(move, slot, key, value, 0);
out:
    return err;
}

err_t
relational_slots_copy(struct slots_move *move)
{
    const uint8_t lower[] = {RAW_TAG}, upper[] = {RELATIONAL_TAG + 1};
    struct txn_scan *scan = NULL;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_BACKGROUND);
    TRY(txn_scan_open(move->txn, txn_slot_of_shard(move->from), slice_of(lower, sizeof(lower)),
                      slice_of(upper, sizeof(upper)), &scan));
    for (err = txn_scan_first(scan); err == ERR_OK && txn_scan_is_valid(scan);
         err = txn_scan_next(scan)) {
        TRY(entry_copy(move, scan, &arena));
        arena_reset(&arena);
        fiber_work(WORK_UNITS_PER_ENTRY);
    }
out:
    txn_scan_close(&scan);
    arena_fini(&arena);
    return err;
}
