/* txn/bulk.h - rows of any number, in the order of their keys, that become visible by one commit.
 *
 *     rows  --by the owner of their slot-->  a table builder on each shard (lsm/ingest.h)
 *     commit: each shard's part is given its tables as writes that are on disk already (spill.h),
 *             and commits as a transaction over shards does: the home shard's record names all
 *             tables
 *
 * A bulk load belongs to the shard on which it was made, and to one fiber at a time. It is not
 * isolated from what is written meanwhile: its rows replace what their keys have at its commit. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"
#include "txn/txn.h"

enum { BULK_GROUP_BYTES = 256 << 10 }; /* So much is gathered before it is sent to the shards. */

struct txn_bulk;

struct txn_bulk *txn_bulk_new(void);
/* Bytes are copied. ERR_INVALID: the key is not above the one before. Now and then sends what was
 * gathered; errors of earlier rows come then, too: ERR_LIMIT, ERR_NO_SPACE, ERR_IO. After an error
 * only txn_bulk_free may follow. */
YIELDS err_t txn_bulk_add(struct txn_bulk *bulk, uint16_t slot, struct slice key,
                          struct slice value, uint64_t expire_us);
/* Once. Of the options isolation and reading are not looked at. Waits for locks on what lies
 * between the smallest and the largest key of each shard. Errors as above, and ERR_SERIALIZATION
 * (rows lie in slots that have changed shards since they were added: load them again),
 * ERR_LOCK_TIMEOUT, ERR_DEADLOCK. After an error nothing was done. */
YIELDS err_t txn_bulk_commit(struct txn_bulk *bulk, const struct txn_options *options,
                             struct txn_done *done_out);
/* Without a commit the rows are gone. Accepts NULL; clears the pointer. */
YIELDS void txn_bulk_free(struct txn_bulk **bulk);
