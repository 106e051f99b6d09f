/* tests/sim/txn_history.h - what the clients of scenario txn did, for the checker (lib/cycles.h).
 *
 * A record begins with a client's transaction and ends when the client has its answer; a crash ends
 * those that were left without. Records survive crashes: the history is of all lives. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "tests/lib/cycles.h"

struct txn_record {
    struct cycles_txn txn;
    struct cycles_op *ops; /* [capacity]; txn.op_count of them are in use. */
    uint32_t capacity;
    uint32_t statement; /* Of what is added next. */
    bool is_open;
};

struct txn_history {
    struct txn_record *records;
    uint32_t count, capacity;
    uint64_t instant; /* Of the last event. */
};

void txn_history_init(struct txn_history *history);

/* Index of a new record. */
uint32_t txn_history_begin(struct txn_history *history, enum cycles_level level,
                           bool is_historical);
void txn_history_statement(struct txn_history *history, uint32_t index);
/* Adds an operation; a list's values are copied from `values` (little-endian words). */
void txn_history_add(struct txn_history *history, uint32_t index, const struct cycles_op *op);
void txn_history_add_list(struct txn_history *history, uint32_t index, uint32_t key,
                          struct slice values);
/* A place to go back to: operations after it did not count. */
uint32_t txn_history_mark(const struct txn_history *history, uint32_t index);
void txn_history_back_to(struct txn_history *history, uint32_t index, uint32_t mark);
void txn_history_end(struct txn_history *history, uint32_t index, enum cycles_status status,
                     uint64_t ts);
/* All that are open were never answered. */
void txn_history_crash(struct txn_history *history);

/* Checks all records. */
enum cycles_anomaly txn_history_check(const struct txn_history *history,
                                      struct cycles_report *report_out);
