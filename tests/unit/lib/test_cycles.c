/* Histories by hand: each anomaly is found, by its name, at the levels that exclude it, and not at
 * those that allow it. */
#include "tests/lib/cycles.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define APPEND(k, v)                                                                               \
    {                                                                                              \
        .kind = CYCLES_APPEND, .key = (k), .value = (v)                                            \
    }
#define LIST(k, ...)                                                                               \
    {                                                                                              \
        .kind = CYCLES_LIST, .key = (k), .values = (const uint64_t[]){0, ##__VA_ARGS__} + 1,       \
        .count = COUNT(((const uint64_t[]){0, ##__VA_ARGS__})) - 1                                 \
    }
#define WRITE(k, v)                                                                                \
    {                                                                                              \
        .kind = CYCLES_WRITE, .key = (k), .value = (v)                                             \
    }
#define READ(k, v)                                                                                 \
    {                                                                                              \
        .kind = CYCLES_READ, .key = (k), .value = (v)                                              \
    }
#define READ_TS(k, v, t)                                                                           \
    {                                                                                              \
        .kind = CYCLES_READ, .key = (k), .value = (v), .ts = (t)                                   \
    }
#define PREDICATE(k, v)                                                                            \
    {                                                                                              \
        .kind = CYCLES_READ, .is_predicate = true, .key = (k), .value = (v)                        \
    }
#define OPS(...)                                                                                   \
    .ops = (const struct cycles_op[]){__VA_ARGS__},                                                \
    .op_count = COUNT(((const struct cycles_op[]){__VA_ARGS__}))

enum { TXNS_MAX = 32 };

/* Each operation is a statement of its own. */
static void
number_statements(struct cycles_txn *txn)
{
    struct cycles_op *ops = malloc((txn->op_count + 1) * sizeof(*ops)); /* Until the case ends. */

    if (txn->op_count > 0) {
        memcpy(ops, txn->ops, txn->op_count * sizeof(*ops));
    }
    for (uint32_t i = 0; i < txn->op_count; i++) {
        ops[i].statement = i;
    }
    txn->ops = ops;
}

static enum cycles_anomaly
check_at(enum cycles_level level, const struct cycles_txn *given, uint32_t count,
         struct cycles_report *report)
{
    struct cycles_txn txns[TXNS_MAX];
    enum cycles_anomaly anomaly;

    memcpy(txns, given, count * sizeof(txns[0]));
    for (uint32_t i = 0; i < count; i++) {
        txns[i].level = level;
        if (txns[i].end == 0) { /* All at the same time. */
            txns[i].begin = 1 + i;
            txns[i].end = 1000 + i;
        }
        number_statements(&txns[i]);
    }
    anomaly = cycles_check(txns, count, report);
    for (uint32_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)txns[i].ops);
    }
    return anomaly;
}

/* What is found at READ COMMITTED, REPEATABLE READ and SERIALIZABLE. */
static void
expect_levels(const struct cycles_txn *txns, uint32_t count, enum cycles_anomaly committed,
              enum cycles_anomaly repeatable, enum cycles_anomaly serializable)
{
    const enum cycles_anomaly expected[] = {committed, repeatable, serializable};

    for (enum cycles_level level = CYCLES_READ_COMMITTED; level <= CYCLES_SERIALIZABLE; level++) {
        struct cycles_report report;
        enum cycles_anomaly anomaly = check_at(level, txns, count, &report);

        cr_expect_eq(anomaly, expected[level], "level %d: %s instead of %s: %s", (int)level,
                     cycles_anomaly_text(anomaly), cycles_anomaly_text(expected[level]),
                     report.text);
        cr_expect_eq(anomaly == CYCLES_NONE, report.text[0] == '\0');
    }
}

#define EXPECT(txns, committed, repeatable, serializable)                                          \
    expect_levels((txns), COUNT(txns), CYCLES_##committed, CYCLES_##repeatable,                    \
                  CYCLES_##serializable)
#define EXPECT_ALL(txns, anomaly) EXPECT(txns, anomaly, anomaly, anomaly)

/* ---- Good histories. ---- */

Test(cycles, nothing_is_found_in_no_history)
{
    struct cycles_report report;

    cr_assert_eq(cycles_check(NULL, 0, &report), CYCLES_NONE);
}

Test(cycles, nothing_is_found_where_transactions_follow_each_other)
{
    const struct cycles_txn txns[] = {
        {.begin = 1, .end = 2, .ts = 10, OPS(APPEND(0, 1), WRITE(1, 100))},
        {.begin = 3, .end = 4, .ts = 20, OPS(LIST(0, 1), APPEND(0, 2), WRITE(1, 200))},
        {.begin = 5, .end = 6, OPS(LIST(0, 1, 2), READ_TS(1, 200, 20))},
        {.begin = 7, .end = 8, .ts = 30, OPS(READ(1, 200), WRITE(1, 300), READ(1, 300))},
    };

    EXPECT_ALL(txns, NONE);
}

Test(cycles, a_transaction_sees_its_own_appends)
{
    const struct cycles_txn txns[] = {
        {OPS(APPEND(0, 1))},
        {OPS(LIST(0, 1), APPEND(0, 2), LIST(0, 1, 2), APPEND(0, 3), LIST(0, 1, 2, 3))},
        {OPS(LIST(0, 1, 2, 3))},
    };

    EXPECT_ALL(txns, NONE);
}

Test(cycles, an_unanswered_transaction_may_be_there_or_not)
{
    const struct cycles_txn txns[] = {
        {.status = CYCLES_UNKNOWN, .begin = 1, .end = UINT64_MAX, OPS(APPEND(0, 1))},
        {.status = CYCLES_UNKNOWN, .begin = 2, .end = UINT64_MAX, OPS(APPEND(0, 2))},
        {.begin = 3, .end = 4, OPS(LIST(0, 2))},
    };

    EXPECT_ALL(txns, NONE);
}

/* ---- What no level allows. ---- */

Test(cycles, a_value_that_nobody_wrote_is_found)
{
    const struct cycles_txn list[] = {{OPS(APPEND(0, 1))}, {OPS(LIST(0, 1, 7))}};
    const struct cycles_txn value[] = {{OPS(WRITE(0, 1))}, {OPS(READ(0, 7))}};

    EXPECT_ALL(list, GARBAGE);
    EXPECT_ALL(value, GARBAGE);
}

Test(cycles, a_value_twice_in_a_list_is_found)
{
    const struct cycles_txn txns[] = {{OPS(APPEND(0, 1))}, {OPS(LIST(0, 1, 1))}};

    EXPECT_ALL(txns, DUPLICATE);
}

Test(cycles, own_writes_that_are_not_seen_are_found)
{
    const struct cycles_txn list[] = {{OPS(APPEND(0, 1), LIST(0))}};
    const struct cycles_txn value[] = {{OPS(WRITE(0, 1), READ(0, CYCLES_NOTHING))}};

    EXPECT_ALL(list, INTERNAL);
    EXPECT_ALL(value, INTERNAL);
}

Test(cycles, a_version_that_changes_its_timestamp_is_found)
{
    const struct cycles_txn txns[] = {{.ts = 10, OPS(WRITE(0, 1))}, {OPS(READ_TS(0, 1, 11))}};

    EXPECT_ALL(txns, TIMESTAMP);
}

Test(cycles, lists_in_different_orders_are_found)
{
    const struct cycles_txn txns[] = {
        {OPS(APPEND(0, 1))}, {OPS(APPEND(0, 2))}, {OPS(LIST(0, 1, 2))}, {OPS(LIST(0, 2, 1))}};

    EXPECT_ALL(txns, ORDER);
}

Test(cycles, G1a_an_aborted_read_is_found)
{
    const struct cycles_txn list[] = {{.status = CYCLES_ABORTED, OPS(APPEND(0, 1))},
                                      {OPS(LIST(0, 1))}};
    const struct cycles_txn value[] = {{.status = CYCLES_ABORTED, OPS(WRITE(0, 1))},
                                       {OPS(READ(0, 1))}};

    EXPECT_ALL(list, G1A);
    EXPECT_ALL(value, G1A);
}

Test(cycles, G1b_an_intermediate_read_is_found)
{
    const struct cycles_txn list[] = {{OPS(APPEND(0, 1), APPEND(0, 2))}, {OPS(LIST(0, 1))}};
    const struct cycles_txn value[] = {{OPS(WRITE(0, 1), WRITE(0, 2))}, {OPS(READ(0, 1))}};

    EXPECT_ALL(list, G1B);
    EXPECT_ALL(value, G1B);
}

Test(cycles, G0_a_dirty_write_is_found)
{
    const struct cycles_txn txns[] = {
        {OPS(APPEND(0, 1), APPEND(1, 1))},
        {OPS(APPEND(0, 2), APPEND(1, 2))},
        {OPS(LIST(0, 1, 2), LIST(1, 2, 1))},
    };

    EXPECT_ALL(txns, G0);
}

Test(cycles, G1c_circular_information_flow_is_found)
{
    const struct cycles_txn txns[] = {
        {OPS(APPEND(0, 1), LIST(1, 2))},
        {OPS(APPEND(1, 2), LIST(0, 1))},
    };

    EXPECT_ALL(txns, G1C);
}

/* ---- What some levels allow. ---- */

Test(cycles, a_lost_update_is_found_from_repeatable_read_on)
{
    const struct cycles_txn with_ts[] = {
        {.ts = 10, OPS(READ(0, CYCLES_NOTHING), WRITE(0, 1))},
        {.ts = 20, OPS(READ(0, CYCLES_NOTHING), WRITE(0, 2))},
    };
    const struct cycles_txn without[] = {
        {OPS(WRITE(0, 9))},
        {OPS(READ(0, 9), WRITE(0, 1))},
        {OPS(READ(0, 9), WRITE(0, 2))},
    };

    EXPECT(with_ts, NONE, LOST_UPDATE, LOST_UPDATE);
    EXPECT(without, NONE, LOST_UPDATE, LOST_UPDATE);
}

Test(cycles, a_blind_write_over_a_newer_version_is_found_at_repeatable_read)
{
    /* The second began to read before the first wrote, and was not refused. */
    const struct cycles_txn txns[] = {
        {.ts = 10, OPS(WRITE(0, 1), WRITE(1, 1))},
        {.ts = 20, OPS(READ(1, CYCLES_NOTHING), WRITE(0, 2))},
    };

    EXPECT(txns, NONE, G_SINGLE, G_SINGLE);
}

Test(cycles, read_skew_is_found_from_repeatable_read_on)
{
    const struct cycles_txn lists[] = {
        {OPS(APPEND(0, 1), APPEND(1, 1))},
        {OPS(LIST(0), LIST(1, 1))},
        {OPS(LIST(0, 1))},
    };
    const struct cycles_txn registers[] = {
        {.ts = 10, OPS(WRITE(0, 1), WRITE(1, 2))},
        {.ts = 20, OPS(WRITE(0, 3), WRITE(1, 4))},
        {OPS(READ(0, 1), READ(1, 4))},
    };

    EXPECT(lists, NONE, G_SINGLE, G_SINGLE);
    EXPECT(registers, NONE, G_SINGLE, G_SINGLE);
}

Test(cycles, a_statement_that_reads_two_states_is_found_at_read_committed)
{
    struct cycles_report report;
    const struct cycles_op statement[] = {
        {.kind = CYCLES_LIST, .key = 0, .statement = 0, .values = NULL, .count = 0},
        {.kind = CYCLES_LIST, .key = 1, .statement = 0, .values = (uint64_t[]){1}, .count = 1},
    };
    const struct cycles_txn txns[] = {
        {.level = CYCLES_READ_COMMITTED, .begin = 1, .end = 10, OPS(APPEND(0, 1), APPEND(1, 1))},
        {.level = CYCLES_READ_COMMITTED, .begin = 2, .end = 11, .ops = statement, .op_count = 2},
        {.level = CYCLES_READ_COMMITTED, .begin = 3, .end = 12, OPS(LIST(0, 1))},
    };

    cr_assert_eq(cycles_check(txns, COUNT(txns), &report), CYCLES_G_SINGLE, "%s", report.text);
}

Test(cycles, statements_that_go_back_in_time_are_found_at_read_committed)
{
    const struct cycles_txn txns[] = {
        {OPS(APPEND(0, 1), APPEND(1, 1))},
        {OPS(LIST(1, 1), LIST(0))},
        {OPS(LIST(0, 1))},
    };

    EXPECT_ALL(txns, G_SINGLE);
}

Test(cycles, write_skew_is_found_at_serializable)
{
    const struct cycles_txn lists[] = {
        {OPS(LIST(0), APPEND(1, 1))},
        {OPS(LIST(1), APPEND(0, 2))},
        {OPS(LIST(0, 2), LIST(1, 1))},
    };
    const struct cycles_txn registers[] = {
        {.ts = 10, OPS(READ(0, CYCLES_NOTHING), WRITE(1, 1))},
        {.ts = 20, OPS(READ(1, CYCLES_NOTHING), WRITE(0, 2))},
    };

    EXPECT(lists, NONE, NONE, G2_ITEM);
    EXPECT(registers, NONE, NONE, G2_ITEM);
}

Test(cycles, write_skew_by_a_predicate_is_found_at_serializable)
{
    const struct cycles_txn txns[] = {
        {.ts = 10, OPS(PREDICATE(0, CYCLES_NOTHING), PREDICATE(1, CYCLES_NOTHING), WRITE(0, 1))},
        {.ts = 20, OPS(PREDICATE(0, CYCLES_NOTHING), PREDICATE(1, CYCLES_NOTHING), WRITE(1, 2))},
    };

    EXPECT(txns, NONE, NONE, G2);
}

Test(cycles, the_read_only_anomaly_is_found_at_serializable)
{
    const struct cycles_txn txns[] = {
        {.ts = 30, OPS(READ(0, CYCLES_NOTHING), READ(1, CYCLES_NOTHING), WRITE(0, 1))},
        {.ts = 20, OPS(READ(1, CYCLES_NOTHING), WRITE(1, 2))},
        {OPS(READ(0, CYCLES_NOTHING), READ(1, 2))},
    };

    EXPECT(txns, NONE, NONE, G2_ITEM);
}

Test(cycles, two_rw_edges_that_are_not_neighbours_are_found_at_repeatable_read)
{
    /* Two readers see two writers in different orders. */
    const struct cycles_txn txns[] = {
        {.ts = 10, OPS(WRITE(0, 1))},
        {.ts = 20, OPS(WRITE(1, 2))},
        {OPS(READ(0, 1), READ(1, CYCLES_NOTHING))},
        {OPS(READ(0, CYCLES_NOTHING), READ(1, 2))},
    };

    EXPECT(txns, NONE, G2_ITEM, G2_ITEM);
}

Test(cycles, a_delete_is_a_version_like_others)
{
    const struct cycles_txn skew[] = {
        {.ts = 10, OPS(WRITE(0, 1), WRITE(1, 2))},
        {.ts = 20, OPS(WRITE(0, CYCLES_NOTHING), WRITE(1, 3))},
        {OPS(READ(0, 1), READ(1, 3))},
    };
    const struct cycles_txn nothing_of_any_kind[] = {
        {.ts = 10, OPS(WRITE(0, 1), WRITE(1, 2))},
        {.ts = 20, OPS(WRITE(0, CYCLES_NOTHING))},
        {OPS(READ(0, CYCLES_NOTHING), READ(1, 2))},
    };

    EXPECT(skew, NONE, G_SINGLE, G_SINGLE);
    EXPECT_ALL(nothing_of_any_kind, NONE);
}

Test(cycles, an_unanswered_write_takes_its_timestamp_from_who_read_it)
{
    const struct cycles_txn txns[] = {
        {.status = CYCLES_UNKNOWN, OPS(WRITE(0, 1), WRITE(1, 2))},
        {.ts = 20, OPS(WRITE(1, 3))},
        {OPS(READ(1, CYCLES_NOTHING), READ_TS(0, 1, 10))},
    };

    EXPECT(txns, NONE, G_SINGLE, G_SINGLE);
}

/* ---- Real time. ---- */

Test(cycles, an_answered_append_that_a_later_reader_misses_is_found)
{
    const struct cycles_txn unread[] = {
        {.begin = 1, .end = 2, OPS(APPEND(0, 1))},
        {.begin = 3, .end = 4, OPS(LIST(0))},
    };
    const struct cycles_txn read_later[] = {
        {.begin = 1, .end = 2, OPS(APPEND(0, 1))},
        {.begin = 3, .end = 4, OPS(LIST(0))},
        {.begin = 5, .end = 6, OPS(LIST(0, 1))},
    };

    EXPECT_ALL(unread, REAL_TIME);
    EXPECT_ALL(read_later, REAL_TIME);
}

Test(cycles, a_reader_who_goes_back_in_time_is_found)
{
    const struct cycles_txn txns[] = {
        {.begin = 1, .end = 100, .ts = 10, OPS(WRITE(0, 1))},
        {.begin = 3, .end = 4, OPS(READ(0, 1))},
        {.begin = 5, .end = 6, OPS(READ(0, CYCLES_NOTHING))},
    };

    EXPECT_ALL(txns, REAL_TIME);
}

Test(cycles, time_passes_on_through_transactions_that_share_nothing)
{
    const struct cycles_txn txns[] = {
        {.begin = 1, .end = 2, .ts = 10, OPS(WRITE(0, 1))},
        {.begin = 3, .end = 4, .ts = 11, OPS(WRITE(1, 1))},
        {.begin = 5, .end = 6, .ts = 12, OPS(WRITE(2, 1))},
        {.begin = 7, .end = 8, OPS(READ(0, CYCLES_NOTHING))},
    };

    EXPECT_ALL(txns, REAL_TIME);
}

Test(cycles, a_transaction_at_an_old_snapshot_may_read_what_was)
{
    const struct cycles_txn txns[] = {
        {.begin = 1, .end = 2, .ts = 10, OPS(WRITE(0, 1))},
        {.begin = 3, .end = 4, .is_historical = true, OPS(READ(0, CYCLES_NOTHING))},
    };

    EXPECT_ALL(txns, NONE);
}

Test(cycles, an_unanswered_transaction_that_was_seen_is_there_for_good)
{
    const struct cycles_txn txns[] = {
        {.status = CYCLES_UNKNOWN, .begin = 1, .end = UINT64_MAX, OPS(APPEND(0, 1))},
        {.begin = 2, .end = 3, OPS(LIST(0, 1))},
        {.begin = 4, .end = 5, OPS(LIST(0))},
    };

    EXPECT_ALL(txns, REAL_TIME);
}

/* ---- Levels that meet. ---- */

Test(cycles, a_serializable_reader_is_protected_from_writers_of_lower_levels)
{
    struct cycles_report report;
    const struct cycles_txn txns[] = {
        {.level = CYCLES_SERIALIZABLE,
         .begin = 1,
         .end = 10,
         .ts = 20,
         OPS(READ(0, CYCLES_NOTHING), WRITE(1, 1))},
        {.level = CYCLES_READ_COMMITTED, .begin = 2, .end = 11, .ts = 10, OPS(WRITE(0, 2))},
        {.level = CYCLES_SERIALIZABLE,
         .begin = 3,
         .end = 12,
         OPS(READ(0, 2), READ(1, CYCLES_NOTHING))},
    };

    cr_assert_eq(cycles_check(txns, COUNT(txns), &report), CYCLES_G2_ITEM, "%s", report.text);
}

Test(cycles, a_lower_level_may_have_what_it_allows_beside_serializable_transactions)
{
    struct cycles_report report;
    const struct cycles_txn txns[] = {
        {.level = CYCLES_SERIALIZABLE,
         .begin = 1,
         .end = 10,
         .ts = 10,
         OPS(READ(0, CYCLES_NOTHING), WRITE(1, 1))},
        {.level = CYCLES_REPEATABLE_READ,
         .begin = 2,
         .end = 11,
         .ts = 20,
         OPS(READ(1, CYCLES_NOTHING), WRITE(0, 2))},
    };

    cr_assert_eq(cycles_check(txns, COUNT(txns), &report), CYCLES_NONE, "%s", report.text);
}

/* ---- Size. ---- */

enum { LONG_TXNS = 20000, LONG_KEYS = 200 };

static struct cycles_op *
long_history(struct cycles_txn *txns)
{
    struct cycles_op *ops = calloc((size_t)LONG_TXNS * 2, sizeof(*ops));
    uint64_t last[LONG_KEYS] = {0};

    for (uint32_t i = 0; i < LONG_TXNS; i++) {
        uint32_t key = i * 7919 % LONG_KEYS;

        ops[2 * i] = (struct cycles_op)READ(key, last[key]);
        ops[2 * i + 1] = (struct cycles_op)WRITE(key, i + 1);
        last[key] = i + 1;
        txns[i] = (struct cycles_txn){.level = CYCLES_SERIALIZABLE,
                                      .begin = 10 * (uint64_t)i,
                                      .end = 10 * (uint64_t)i + 85,
                                      .ts = i + 1,
                                      .ops = &ops[2 * i],
                                      .op_count = 2};
    }
    return ops;
}

Test(cycles, a_long_history_is_checked_and_its_one_fault_found, .timeout = 20)
{
    struct cycles_txn *txns = calloc(LONG_TXNS, sizeof(*txns));
    struct cycles_op *ops = long_history(txns);
    struct cycles_report report;

    cr_assert_eq(cycles_check(txns, LONG_TXNS, &report), CYCLES_NONE, "%s", report.text);
    cr_assert_lt(report.edges, 20U * LONG_TXNS);
    ops[2 * 15000].value = ops[2 * 14600].value; /* It reads what was two versions ago. */
    cr_assert_neq(cycles_check(txns, LONG_TXNS, &report), CYCLES_NONE);
    free(ops);
    free(txns);
}
