/* models/kv/slots.h - what keys have to do when slots change shards. docs/resharding.md. */
#pragma once

#include "txn/reshard.h"

/* For struct reshard_options: everything under the keys of the slots, and what counts them. */
YIELDS err_t kv_slots_copy(struct slots_move *move);
void kv_slots_on_move(uint16_t first, uint32_t count, bool is_mine);
