/* tests/sim/txn_steps.h - what a transaction of scenario txn does on its home shard, step by step.
 *
 * A step reads or writes some keys and says so in the history. Its errors are the statement's. */
#pragma once

#include "engine/base/crc16.h"
#include "tests/sim/txn_clients.h"

enum {
    NAME_BYTES_MAX = 24,
    APPENDS_COUNTER = 3, /* Items of all lists. */
    LOAD_LOCK_WAIT_US = 20 * 1000,
};

/* A key of the store. */
struct name {
    uint8_t bytes[NAME_BYTES_MAX];
    struct slice key;
    uint16_t slot;
};

/* A transaction under way. */
struct work {
    struct txn *txn;
    uint64_t id; /* Driven from another shard, by txn_run; 0: this fiber has `txn`. */
    uint32_t home;
    uint32_t record; /* In the history. */
    enum txn_isolation isolation;
    bool is_auto, read_only, is_historical, may_time_out;
    bool may_be_left; /* By its client, while it waits for a lock. */
    struct txn_done done;
    struct txn_memory seen;       /* Of step_memory_read; .ts is 0 before. */
    struct txn_memory remembered; /* What it must find; .ts is 0: of no snapshot before. */
};

typedef YIELDS err_t (*step_fn)(struct work *work);

static inline uint64_t
txn_below(uint64_t bound)
{
    return prng_below(shard_prng(), bound);
}

static inline bool
txn_chance(uint32_t percent)
{
    return txn_below(100) < percent;
}

void step_list_name(struct name *name, uint32_t number);
void step_account_name(struct name *name, uint32_t number);
YIELDS err_t step_get(struct work *work, const struct name *name, struct arena *arena,
                      struct lsm_value *value_out);
void step_put_word(struct work *work, const struct name *name, uint64_t word);
void step_list_add_read(struct work *work, uint32_t number, struct slice values);

/* Steps. */
YIELDS err_t step_list_read(struct work *work);
YIELDS err_t step_list_append(struct work *work);
YIELDS err_t step_register_read(struct work *work);
YIELDS err_t step_register_write(struct work *work);
YIELDS err_t step_register_change(struct work *work);
YIELDS err_t step_registers_delete(struct work *work);
YIELDS err_t step_registers_scan_some(struct work *work);
YIELDS err_t step_bank_transfer(struct work *work);
YIELDS err_t step_bank_audit(struct work *work);
YIELDS err_t step_ledger_change(struct work *work);
YIELDS err_t step_ledger_audit(struct work *work);
/* A transaction of its own: work->txn is not looked at, work->done is set. */
YIELDS err_t step_registers_load(struct work *work);
/* All registers at a snapshot: as they are remembered of it, if they are. */
YIELDS err_t step_memory_read(struct work *work);

/* Of one group, or of all of them over all shards. */
YIELDS err_t step_registers_scan(struct work *work, bool is_all);
YIELDS err_t step_bank_read_all(struct work *work, int64_t *sum_out, uint32_t *found_out);
