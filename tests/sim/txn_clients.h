/* tests/sim/txn_clients.h - what the clients of scenario txn do, and what must always hold.
 *
 *     lists       appended to and read whole: their order is seen by everybody
 *     registers   read and overwritten, in groups that ranges are read and deleted of
 *     bank        transfers between accounts: every snapshot has the same sum
 *     ledger      entries in two ranges; who takes out has read both: no snapshot is below zero
 *
 * Lists and registers go into a history (txn_history.h). */
#pragma once

#include "tests/sim/run.h"
#include "tests/sim/txn_history.h"
#include "txn/txn.h"

enum {
    TXN_CLIENTS_MAX = 10,
    TXN_LISTS = 5, /* In use at a time; a long one is replaced. */
    TXN_LIST_ITEMS_MAX = 40,
    TXN_LISTS_MAX = 2000, /* Ever. */
    TXN_GROUPS = 3,
    TXN_GROUP_KEYS = 5, /* Registers of a group: neighbours in one slot. */
    TXN_ACCOUNTS = 6,
    TXN_ACCOUNT_START = 100,
    TXN_LEDGERS = 2,
    TXN_REGISTERS = TXN_GROUPS * TXN_GROUP_KEYS,
    TXN_TIMES_MAX = 16, /* Of commits, to read at. */
    TXN_MEMORIES_MAX = 8,
};

/* A register as it was found. */
struct txn_found {
    uint64_t value, ts;
};

/* All registers at a snapshot that was answered: whoever reads there again finds the same, for as
 * long as it is kept. */
struct txn_memory {
    uint64_t ts;
    struct txn_found found[TXN_REGISTERS];
};

struct txn_test {
    struct run *run;
    struct txn_history history;
    struct store_options options; /* dir is set by each shard. */
    bool has_errors;              /* EIO or ENOSPC are among the faults. */
    bool is_sync;                 /* An answer says that a commit is durable. */
    bool is_stopping;
    bool is_slow; /* Clients think for longer. */
    uint32_t running;
    uint32_t lists[TXN_LISTS]; /* Numbers of those in use. */
    uint32_t next_list;
    uint64_t next_value;
    uint64_t times[TXN_TIMES_MAX];
    uint32_t time_count;
    struct txn_memory memories[TXN_MEMORIES_MAX];
    uint32_t memory_count;
    struct store *stores[SIM_SHARDS_MAX];
    struct txns *txns[SIM_SHARDS_MAX];
};

extern struct txn_test txn_test;

void txn_clients_begin(struct run *run);
/* In a fiber of any shard: transactions until txn_test.is_stopping. */
YIELDS void txn_client(void *arg);
/* In a fiber, when no client runs: what all keys hold now goes into the history, and every
 * invariant is looked at. Makes the accounts in the first life. */
YIELDS void txn_verify(void *arg);
