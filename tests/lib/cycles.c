/* tests/lib/cycles.c - from a history to the order of each key's versions.
 *
 * 1. Index every written value by (key, value); values of unanswered transactions that somebody
 *    has seen make these committed.
 * 2. The versions of each key in their order: of a list, its longest read; of a register, by
 *    timestamps, or only what a transaction that read one and wrote another tells.
 *
 * Then cycles_graph.c. */
#include "tests/lib/cycles.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/cycles_internal.h"

const char *
cycles_anomaly_text(enum cycles_anomaly anomaly)
{
    static const char *const texts[] = {
#define CYCLES_ANOMALY_TEXT(name, text) text,
        CYCLES_ANOMALY_TABLE(CYCLES_ANOMALY_TEXT)
#undef CYCLES_ANOMALY_TEXT
    };

    return texts[anomaly];
}

void *
cycles_new_array(size_t count, size_t size)
{
    void *array = calloc(count + 1, size);

    if (array == NULL) {
        abort();
    }
    return array;
}

/* The first thing that is wrong stands. */
bool
cycles_found(struct checker *checker, enum cycles_anomaly anomaly, const char *format, ...)
{
    va_list args;

    if (checker->report->anomaly == CYCLES_NONE) {
        checker->report->anomaly = anomaly;
        va_start(args, format);
        vsnprintf(checker->report->text, CYCLES_TEXT_BYTES, format, args);
        va_end(args);
    }
    return false;
}

/* ---- Places. ---- */

static uint32_t
statements(const struct cycles_txn *txn)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < txn->op_count; i++) {
        number += i == 0 || txn->ops[i].statement != txn->ops[i - 1].statement;
    }
    return number;
}

static uint32_t
places_of(const struct cycles_txn *txn)
{
    switch (txn->level) {
    case CYCLES_READ_COMMITTED:
        return statements(txn) + 1;
    case CYCLES_REPEATABLE_READ:
        return 2;
    case CYCLES_SERIALIZABLE:
        break;
    }
    return 1;
}

static void
places_make(struct checker *checker)
{
    checker->first_place = cycles_new_array(checker->count + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < checker->count; i++) {
        checker->first_place[i] = checker->places;
        checker->places += places_of(&checker->txns[i]);
    }
    checker->first_place[checker->count] = checker->places;
    checker->txn_of = cycles_new_array(checker->places, sizeof(uint32_t));
    for (uint32_t i = 0; i < checker->count; i++) {
        for (uint32_t place = checker->first_place[i]; place < checker->first_place[i + 1];
             place++) {
            checker->txn_of[place] = i;
        }
    }
}

static uint32_t
read_place(const struct checker *checker, uint32_t txn, uint32_t op)
{
    uint32_t place = checker->first_place[txn];

    if (checker->txns[txn].level == CYCLES_READ_COMMITTED) {
        for (uint32_t i = 1; i <= op; i++) {
            place += checker->txns[txn].ops[i].statement != checker->txns[txn].ops[i - 1].statement;
        }
    }
    return place;
}

/* ---- 1. Writes and reads. ---- */

static int
write_compare(const void *a, const void *b)
{
    const struct write *left = a;
    const struct write *right = b;
    int by_key = cycles_compare(left->key, right->key);
    int by_value = cycles_compare(left->value, right->value);

    return by_key != 0 ? by_key : by_value != 0 ? by_value : cycles_compare(left->txn, right->txn);
}

static bool
is_last_write(const struct cycles_txn *txn, uint32_t op)
{
    for (uint32_t i = op + 1; i < txn->op_count; i++) {
        if (cycles_is_write(&txn->ops[i]) && txn->ops[i].key == txn->ops[op].key) {
            return false;
        }
    }
    return true;
}

static void
writes_gather(struct checker *checker)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < checker->count; i++) {
        total += checker->txns[i].op_count;
    }
    checker->writes = cycles_new_array(total, sizeof(struct write));
    for (uint32_t i = 0; i < checker->count; i++) {
        const struct cycles_txn *txn = &checker->txns[i];

        for (uint32_t k = 0; k < txn->op_count; k++) {
            const struct cycles_op *op = &txn->ops[k];

            checker->key_count = op->key >= checker->key_count ? op->key + 1 : checker->key_count;
            if (cycles_is_write(op)) {
                checker->writes[checker->write_count++] =
                    (struct write){.key = op->key,
                                   .txn = i,
                                   .op = k,
                                   .is_list = op->kind == CYCLES_APPEND,
                                   .is_final = is_last_write(txn, k),
                                   .value = op->value,
                                   .ts = txn->ts,
                                   .rank = none};
            }
        }
    }
    qsort(checker->writes, checker->write_count, sizeof(struct write), write_compare);
}

static uint32_t
write_find(const struct checker *checker, uint32_t key, uint64_t value)
{
    uint32_t low = 0;
    uint32_t high = checker->write_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct write *write = &checker->writes[middle];

        if (write->key < key || (write->key == key && write->value < value)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < checker->write_count && checker->writes[low].key == key &&
                   checker->writes[low].value == value
               ? low
               : none;
}

/* Values that an operation shows. */
static uint32_t
shown_count(const struct cycles_op *op)
{
    return op->kind == CYCLES_LIST   ? op->count
           : op->kind == CYCLES_READ ? op->value != CYCLES_NOTHING
                                     : 0;
}

static uint64_t
shown_value(const struct cycles_op *op, uint32_t index)
{
    return op->kind == CYCLES_LIST ? op->values[index] : op->value;
}

/* What a committed transaction has read is committed. */
static void
mark_seen(struct checker *checker, uint32_t txn, uint32_t *queue, uint32_t *queue_count)
{
    for (uint32_t k = 0; k < checker->txns[txn].op_count; k++) {
        const struct cycles_op *op = &checker->txns[txn].ops[k];

        for (uint32_t n = 0; n < shown_count(op); n++) {
            uint32_t write = write_find(checker, op->key, shown_value(op, n));
            uint32_t writer = write != none ? checker->writes[write].txn : none;

            if (writer != none && !checker->is_committed[writer] &&
                checker->txns[writer].status == CYCLES_UNKNOWN) {
                checker->is_committed[writer] = true;
                queue[(*queue_count)++] = writer;
            }
        }
    }
}

static void
committed_find(struct checker *checker)
{
    uint32_t *queue = cycles_new_array(checker->count, sizeof(uint32_t));
    uint32_t queue_count = 0;

    checker->is_committed = cycles_new_array(checker->count, sizeof(bool));
    for (uint32_t i = 0; i < checker->count; i++) {
        checker->is_committed[i] = checker->txns[i].status == CYCLES_OK;
        if (checker->is_committed[i]) {
            queue[queue_count++] = i;
        }
    }
    for (uint32_t next = 0; next < queue_count; next++) {
        mark_seen(checker, queue[next], queue, &queue_count);
    }
    free(queue);
}

/* The own writes of `key` before the operation; *last_out is the newest of them. */
static uint32_t
own_writes(const struct cycles_txn *txn, uint32_t op, uint32_t key, uint32_t *last_out)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < op; i++) {
        if (cycles_is_write(&txn->ops[i]) && txn->ops[i].key == key) {
            number++;
            *last_out = i;
        }
    }
    return number;
}

static bool
list_ends_with_own(const struct cycles_txn *txn, uint32_t op, uint32_t own)
{
    const struct cycles_op *list = &txn->ops[op];
    uint32_t at = list->count - own;

    for (uint32_t i = 0; i < op; i++) {
        if (cycles_is_write(&txn->ops[i]) && txn->ops[i].key == list->key &&
            list->values[at++] != txn->ops[i].value) {
            return false;
        }
    }
    return true;
}

/* A value that was read of somebody: who wrote it, and may it be seen? */
static bool
read_check(struct checker *checker, uint32_t reader, const struct cycles_op *op, uint64_t value,
           bool is_last, uint32_t *write_out)
{
    uint32_t index = write_find(checker, op->key, value);
    const struct write *write = &checker->writes[index == none ? 0 : index];

    if (index == none) {
        return cycles_found(checker, CYCLES_GARBAGE, "T%u read %llu of key %u, which nobody wrote",
                            reader, (unsigned long long)value, op->key);
    }
    if (checker->txns[write->txn].status == CYCLES_ABORTED) {
        return cycles_found(checker, CYCLES_G1A,
                            "T%u read %llu of key %u, written by T%u, which aborted", reader,
                            (unsigned long long)value, op->key, write->txn);
    }
    if (is_last && !write->is_final && write->txn != reader) {
        return cycles_found(checker, CYCLES_G1B,
                            "T%u read %llu of key %u, which T%u wrote and replaced or continued",
                            reader, (unsigned long long)value, op->key, write->txn);
    }
    if (op->kind == CYCLES_READ && op->ts != 0 && write->txn != reader) {
        if (write->ts != 0 && write->ts != op->ts) {
            return cycles_found(checker, CYCLES_TIMESTAMP,
                                "T%u read %llu of key %u at timestamp %llu, T%u wrote it at %llu",
                                reader, (unsigned long long)value, op->key,
                                (unsigned long long)op->ts, write->txn,
                                (unsigned long long)write->ts);
        }
        checker->writes[index].ts = op->ts;
    }
    *write_out = index;
    return true;
}

static bool
list_gather(struct checker *checker, uint32_t reader, uint32_t op_index, struct read *read)
{
    const struct cycles_txn *txn = &checker->txns[reader];
    const struct cycles_op *op = &txn->ops[op_index];
    uint32_t last = 0;
    uint32_t own = own_writes(txn, op_index, op->key, &last);

    if (own > op->count || !list_ends_with_own(txn, op_index, own)) {
        return cycles_found(checker, CYCLES_INTERNAL,
                            "T%u read key %u without its own appends at the end", reader, op->key);
    }
    read->prefix = op->count - own;
    read->is_list = true;
    for (uint32_t i = 0; i < read->prefix; i++) {
        if (!read_check(checker, reader, op, op->values[i], i + 1 == read->prefix, &read->write)) {
            return false;
        }
    }
    return true;
}

static bool
register_gather(struct checker *checker, uint32_t reader, uint32_t op_index, struct read *read,
                bool *is_own_out)
{
    const struct cycles_txn *txn = &checker->txns[reader];
    const struct cycles_op *op = &txn->ops[op_index];
    uint32_t last = 0;

    *is_own_out = own_writes(txn, op_index, op->key, &last) > 0;
    if (*is_own_out) {
        return txn->ops[last].value == op->value ||
               cycles_found(checker, CYCLES_INTERNAL,
                            "T%u read %llu of key %u, to which it wrote %llu", reader,
                            (unsigned long long)op->value, op->key,
                            (unsigned long long)txn->ops[last].value);
    }
    return op->value == CYCLES_NOTHING ||
           read_check(checker, reader, op, op->value, true, &read->write);
}

static int
read_compare(const void *a, const void *b)
{
    const struct read *left = a;
    const struct read *right = b;
    int by_key = cycles_compare(left->key, right->key);
    int by_txn = cycles_compare(left->txn, right->txn);

    return by_key != 0 ? by_key : by_txn != 0 ? by_txn : cycles_compare(left->op, right->op);
}

static bool
reads_gather_of(struct checker *checker, uint32_t txn)
{
    for (uint32_t k = 0; k < checker->txns[txn].op_count; k++) {
        const struct cycles_op *op = &checker->txns[txn].ops[k];
        struct read read = {.key = op->key,
                            .txn = txn,
                            .place = read_place(checker, txn, k),
                            .write = none,
                            .op = k,
                            .is_predicate = op->is_predicate};
        bool is_own = false;
        bool is_good = true;

        if (cycles_is_write(op)) {
            continue;
        }
        if (op->kind == CYCLES_LIST) {
            is_good = list_gather(checker, txn, k, &read);
        } else {
            is_good = register_gather(checker, txn, k, &read, &is_own);
        }
        if (!is_good) {
            return false;
        }
        if (!is_own) {
            checker->reads[checker->read_count++] = read;
        }
    }
    return true;
}

static bool
reads_gather(struct checker *checker)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < checker->count; i++) {
        total += checker->txns[i].op_count;
    }
    checker->reads = cycles_new_array(total, sizeof(struct read));
    for (uint32_t i = 0; i < checker->count; i++) {
        if (checker->is_committed[i] && !reads_gather_of(checker, i)) {
            return false;
        }
    }
    qsort(checker->reads, checker->read_count, sizeof(struct read), read_compare);
    return true;
}

/* ---- 2. The order of versions. ---- */

static const struct cycles_op *
op_of(const struct checker *checker, const struct read *read)
{
    return &checker->txns[read->txn].ops[read->op];
}

static bool
list_has_no_repeats(struct checker *checker, const struct read *read)
{
    const struct cycles_op *op = op_of(checker, read);

    for (uint32_t i = 0; i < read->prefix; i++) {
        struct write *write = &checker->writes[write_find(checker, op->key, op->values[i])];

        if (write->rank != none) {
            return cycles_found(checker, CYCLES_DUPLICATE, "T%u read %llu twice in key %u",
                                read->txn, (unsigned long long)op->values[i], op->key);
        }
        write->rank = i;
    }
    return true;
}

/* Longest reads, and whether all others are their prefixes. */
static bool
lists_order(struct checker *checker)
{
    for (uint32_t i = 0; i < checker->read_count; i++) {
        struct key_info *info = &checker->keys[checker->reads[i].key];

        if (checker->reads[i].is_list &&
            (info->longest == none ||
             checker->reads[i].prefix > checker->reads[info->longest].prefix)) {
            info->longest = i;
        }
    }
    for (uint32_t i = 0; i < checker->read_count; i++) {
        const struct read *read = &checker->reads[i];
        const struct read *longest = &checker->reads[checker->keys[read->key].longest];

        if (read->prefix > 0 &&
            memcmp(op_of(checker, read)->values, op_of(checker, longest)->values,
                   read->prefix * sizeof(uint64_t)) != 0) {
            return cycles_found(checker, CYCLES_ORDER,
                                "T%u and T%u read key %u in different orders", read->txn,
                                longest->txn, read->key);
        }
    }
    for (uint32_t key = 0; key < checker->key_count; key++) {
        if (checker->keys[key].longest != none &&
            !list_has_no_repeats(checker, &checker->reads[checker->keys[key].longest])) {
            return false;
        }
    }
    return true;
}

/* A register's version of which neither writer nor reader tells the timestamp was read by nobody:
 * it is left out. */
static bool
is_version(const struct checker *checker, const struct write *write)
{
    bool is_timeless = write->ts == 0 && checker->txns[write->txn].status == CYCLES_UNKNOWN;

    return checker->is_committed[write->txn] &&
           (write->is_list ? write->rank != none : write->is_final && !is_timeless);
}

/* What was read of an unanswered transaction tells the timestamp of all that it wrote. */
static void
timestamps_spread(struct checker *checker)
{
    uint64_t *known = cycles_new_array(checker->count, sizeof(uint64_t));

    for (uint32_t i = 0; i < checker->write_count; i++) {
        const struct write *write = &checker->writes[i];

        known[write->txn] = write->ts != 0 ? write->ts : known[write->txn];
    }
    for (uint32_t i = 0; i < checker->write_count; i++) {
        checker->writes[i].ts = known[checker->writes[i].txn];
    }
    free(known);
}

/* For the comparison, which has no other way to them. */
static const struct write *ordered_writes;

static int
order_compare(const void *a, const void *b)
{
    const struct write *left = &ordered_writes[*(const uint32_t *)a];
    const struct write *right = &ordered_writes[*(const uint32_t *)b];
    int by_key = cycles_compare(left->key, right->key);
    int by_rank = cycles_compare(left->rank, right->rank);
    int by_ts = cycles_compare(left->ts, right->ts);

    return by_key != 0    ? by_key
           : by_rank != 0 ? by_rank
           : by_ts != 0   ? by_ts
                          : cycles_compare(left->txn, right->txn);
}

static bool
versions_order(struct checker *checker)
{
    uint32_t total = 0;

    if (!lists_order(checker)) {
        return false;
    }
    timestamps_spread(checker);
    checker->order = cycles_new_array(checker->write_count, sizeof(uint32_t));
    for (uint32_t i = 0; i < checker->write_count; i++) {
        struct key_info *info = &checker->keys[checker->writes[i].key];

        info->is_list = checker->writes[i].is_list;
        info->is_deleted = info->is_deleted || checker->writes[i].value == CYCLES_NOTHING;
        if (is_version(checker, &checker->writes[i])) {
            checker->order[total++] = i;
            info->count++;
            info->is_ordered = info->is_ordered && (info->is_list || checker->writes[i].ts != 0);
        }
    }
    ordered_writes = checker->writes;
    qsort(checker->order, total, sizeof(uint32_t), order_compare);
    for (uint32_t i = total; i > 0; i--) {
        checker->keys[checker->writes[checker->order[i - 1]].key].first = i - 1;
    }
    for (uint32_t i = 0; i < total; i++) {
        struct write *write = &checker->writes[checker->order[i]];

        write->rank = i - checker->keys[write->key].first;
    }
    return true;
}

static void
checker_free(struct checker *checker)
{
    free(checker->is_committed);
    free(checker->first_place);
    free(checker->txn_of);
    free(checker->writes);
    free(checker->reads);
    free(checker->keys);
    free(checker->order);
    free(checker->edges);
    free(checker->edge_first);
    free(checker->component);
    free(checker->component_size);
}

enum cycles_anomaly
cycles_check(const struct cycles_txn *txns, uint32_t count, struct cycles_report *report_out)
{
    struct checker checker = {.txns = txns, .count = count, .report = report_out};

    *report_out = (struct cycles_report){0};
    places_make(&checker);
    writes_gather(&checker);
    checker.keys = cycles_new_array(checker.key_count, sizeof(struct key_info));
    for (uint32_t i = 0; i < checker.key_count; i++) {
        checker.keys[i] = (struct key_info){.longest = none, .is_ordered = true};
    }
    committed_find(&checker);
    if (reads_gather(&checker) && versions_order(&checker) && cycles_edges_make(&checker)) {
        cycles_find(&checker);
    }
    checker_free(&checker);
    return report_out->anomaly;
}
