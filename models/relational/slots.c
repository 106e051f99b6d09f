/* models/relational/slots.c - entries lie by table and key, so that those of a group of slots are
 * found by the slot that each carries. */
#include "models/relational/slots.h"

#include "models/relational/catalog.h"

#include "engine/base/poison.h"

enum { RAW_TAG = 2 }; /* Keys of the C API: they have no model that could know them. */

err_t
relational_slots_copy(struct slots_move *move)
{
    const uint8_t lower[] = {RAW_TAG}, upper[] = {RELATIONAL_TAG + 1};

    return slots_move_range(move, slice_of(lower, sizeof(lower)), slice_of(upper, sizeof(upper)));
}
