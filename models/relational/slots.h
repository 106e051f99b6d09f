/* models/relational/slots.h - rows whose slots change shards. docs/resharding.md. */
#pragma once

#include "txn/reshard.h"

/* For struct reshard_options: every entry of SQL and of the C API in the slots. It reads all that
 * the shard has, for each group of slots. */
YIELDS err_t relational_slots_copy(struct slots_move *move);
