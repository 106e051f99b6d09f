/* models/relational/table_lock.h - PostgreSQL's locks on tables: 8 modes, to the transaction's end.
 *
 * They are names in the lock tables of the shards (txn/lock.h). The weak modes, which statements
 * that read and write rows take, are locked on the transaction's own shard alone; the others on
 * all, in their order, so that they meet everybody. */
#pragma once

#include "models/relational/catalog.h"

enum table_lock_mode {
    TABLE_ACCESS_SHARE = 1,
    TABLE_ROW_SHARE,
    TABLE_ROW_EXCLUSIVE,
    TABLE_SHARE_UPDATE_EXCLUSIVE,
    TABLE_SHARE, /* Conflicts with itself, too, which PostgreSQL's does not. */
    TABLE_SHARE_ROW_EXCLUSIVE,
    TABLE_EXCLUSIVE,
    TABLE_ACCESS_EXCLUSIVE,
};

/* Errors: those of txn_lock. */
YIELDS err_t table_lock(struct txn *txn, oid_t relation, enum table_lock_mode mode,
                        enum lock_wait wait);
/* Definitions come one after the other: whoever changes the catalog has this first. */
YIELDS err_t catalog_lock(struct txn *txn);
