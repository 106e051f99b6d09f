/* tests/sim/txn_history.c - see txn_history.h. */
#include "tests/sim/txn_history.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

enum { RECORDS_FIRST = 1024, OPS_FIRST = 8 };

void
txn_history_init(struct txn_history *history)
{
    *history = (struct txn_history){0};
}

uint32_t
txn_history_begin(struct txn_history *history, enum cycles_level level, bool is_historical)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity == 0 ? RECORDS_FIRST : history->capacity * 2;
        history->records = realloc(history->records, history->capacity * sizeof(*history->records));
        ASSERT(history->records != NULL);
    }
    history->records[history->count] = (struct txn_record){
        .txn = {.level = level, .is_historical = is_historical, .begin = ++history->instant},
        .is_open = true,
    };
    return history->count++;
}

static struct txn_record *
record_of(struct txn_history *history, uint32_t index)
{
    ASSERT(index < history->count);
    ASSERT(history->records[index].is_open);
    return &history->records[index];
}

void
txn_history_statement(struct txn_history *history, uint32_t index)
{
    record_of(history, index)->statement++;
}

void
txn_history_add(struct txn_history *history, uint32_t index, const struct cycles_op *op)
{
    struct txn_record *record = record_of(history, index);

    if (record->txn.op_count == record->capacity) {
        record->capacity = record->capacity == 0 ? OPS_FIRST : record->capacity * 2;
        record->ops = realloc(record->ops, record->capacity * sizeof(*record->ops));
        ASSERT(record->ops != NULL);
    }
    record->ops[record->txn.op_count] = *op;
    record->ops[record->txn.op_count++].statement = record->statement;
}

void
txn_history_add_list(struct txn_history *history, uint32_t index, uint32_t key, struct slice values)
{
    uint64_t *copy = malloc(values.size + sizeof(*copy));

    ASSERT(copy != NULL);
    if (values.size > 0) {
        memcpy(copy, values.data, values.size);
    }
    txn_history_add(history, index,
                    &(struct cycles_op){.kind = CYCLES_LIST,
                                        .key = key,
                                        .values = copy,
                                        .count = (uint32_t)(values.size / sizeof(*copy))});
}

uint32_t
txn_history_mark(const struct txn_history *history, uint32_t index)
{
    return history->records[index].txn.op_count;
}

void
txn_history_back_to(struct txn_history *history, uint32_t index, uint32_t mark)
{
    struct txn_record *record = record_of(history, index);

    while (record->txn.op_count > mark) {
        free((void *)(uintptr_t)record->ops[--record->txn.op_count].values);
    }
}

void
txn_history_end(struct txn_history *history, uint32_t index, enum cycles_status status, uint64_t ts)
{
    struct txn_record *record = record_of(history, index);

    record->txn.status = status;
    record->txn.ts = ts;
    record->txn.end = ++history->instant;
    record->is_open = false;
}

void
txn_history_crash(struct txn_history *history)
{
    for (uint32_t i = 0; i < history->count; i++) {
        if (history->records[i].is_open) {
            txn_history_end(history, i, CYCLES_UNKNOWN, 0);
        }
    }
}

enum cycles_anomaly
txn_history_check(const struct txn_history *history, struct cycles_report *report_out)
{
    struct cycles_txn *txns = malloc((history->count + 1) * sizeof(*txns));
    enum cycles_anomaly anomaly;

    ASSERT(txns != NULL);
    for (uint32_t i = 0; i < history->count; i++) {
        ASSERT(!history->records[i].is_open);
        txns[i] = history->records[i].txn;
        txns[i].ops = history->records[i].ops;
    }
    anomaly = cycles_check(txns, history->count, report_out);
    free(txns);
    return anomaly;
}
