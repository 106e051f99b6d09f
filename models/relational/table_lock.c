/* models/relational/table_lock.c - locks on tables as locks on names. */
#include "models/relational/table_lock.h"

#include "engine/base/assert.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum {
    LOCK_STORAGE = UINT32_MAX - 1, /* Where nothing is stored. */
    LOCK_NAME_BYTES = STORAGE_PREFIX_BYTES + 5,
    NAMES = 3,
    NOT = LOCK_MODE_COUNT,
};

/* Which of the three names a mode locks, and how: two modes conflict when one of the names does.
 * The first is what rows are read and written under, the second keeps those off each other that
 * leave rows alone, the third those that lock rows from EXCLUSIVE. */
static const uint8_t strengths[TABLE_ACCESS_EXCLUSIVE + 1][NAMES] = {
    [TABLE_ACCESS_SHARE] = {LOCK_KEY_SHARE, NOT, NOT},
    [TABLE_ROW_SHARE] = {LOCK_KEY_SHARE, NOT, LOCK_SHARE},
    [TABLE_ROW_EXCLUSIVE] = {LOCK_SHARE, NOT, LOCK_SHARE},
    [TABLE_SHARE_UPDATE_EXCLUSIVE] = {LOCK_KEY_SHARE, LOCK_NO_KEY_UPDATE, NOT},
    [TABLE_SHARE] = {LOCK_NO_KEY_UPDATE, LOCK_NO_KEY_UPDATE, NOT},
    [TABLE_SHARE_ROW_EXCLUSIVE] = {LOCK_NO_KEY_UPDATE, LOCK_NO_KEY_UPDATE, NOT},
    [TABLE_EXCLUSIVE] = {LOCK_NO_KEY_UPDATE, LOCK_NO_KEY_UPDATE, LOCK_NO_KEY_UPDATE},
    [TABLE_ACCESS_EXCLUSIVE] = {LOCK_UPDATE, NOT, NOT},
};

static err_t
lock_on(struct txn *txn, uint32_t shard, oid_t relation, enum table_lock_mode mode,
        enum lock_wait wait)
{
    uint8_t name[LOCK_NAME_BYTES];
    err_t err = ERR_OK;

    storage_prefix(name, LOCK_STORAGE);
    put_be32(name + STORAGE_PREFIX_BYTES + 1, relation);
    for (uint8_t i = 0; err == ERR_OK && i < NAMES; i++) {
        if (strengths[mode][i] != NOT) {
            name[STORAGE_PREFIX_BYTES] = i;
            err = txn_lock(txn, txn_slot_of_shard(shard), slice_of(name, sizeof(name)),
                           strengths[mode][i], wait);
        }
    }
    return err;
}

err_t
table_lock(struct txn *txn, oid_t relation, enum table_lock_mode mode, enum lock_wait wait)
{
    err_t err = ERR_OK;

    ASSERT(mode >= TABLE_ACCESS_SHARE);
    ASSERT(mode <= TABLE_ACCESS_EXCLUSIVE);
    if (mode <= TABLE_ROW_EXCLUSIVE) {
        return lock_on(txn, shard_id(), relation, mode, wait);
    }
    for (uint32_t shard = 0; err == ERR_OK && shard < txn_shards_live(); shard++) {
        err = lock_on(txn, shard, relation, mode, wait);
    }
    return err;
}

err_t
catalog_lock(struct txn *txn)
{
    return lock_on(txn, 0, 0, TABLE_ACCESS_EXCLUSIVE, LOCK_WAIT);
}
