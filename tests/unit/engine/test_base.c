#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/hist.h"
#include "engine/base/list.h"
#include "engine/base/log.h"
#include "engine/base/prng.h"
#include "engine/base/slice.h"

TestSuite(hist, .timeout = 10);

Test(hist, a_quantile_is_at_most_a_sixteenth_too_high_and_never_too_low)
{
    static struct hist hist;
    struct prng prng;

    prng_init(&prng, 5);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t value = prng_next(&prng) >> prng_below(&prng, 64);
        uint64_t seen;

        memset(&hist, 0, sizeof(hist));
        hist_record(&hist, value);
        hist_record(&hist, UINT64_MAX); /* Otherwise max would make the answer exact. */
        seen = hist_quantile(&hist, 0.5);
        cr_assert(seen >= value);
        cr_assert(seen - value <= value >> HIST_SUB_BITS);
    }
}

Test(hist, quantiles_of_a_ramp_are_right_and_merge_adds)
{
    static struct hist a;
    static struct hist b;
    static struct hist empty;

    cr_assert_eq(hist_quantile(&empty, 0.5), 0);
    for (uint64_t value = 1; value <= 1000; value++) {
        hist_record(value % 2 == 0 ? &a : &b, value);
    }
    hist_merge(&a, &b);
    cr_assert_eq(a.count, 1000);
    cr_assert_eq(a.sum, 500500);
    cr_assert_eq(hist_quantile(&a, 1.0), 1000);
    cr_assert(hist_quantile(&a, 0.5) >= 500);
    cr_assert(hist_quantile(&a, 0.5) <= 531);
    cr_assert_eq(hist_quantile(&a, 0), 1);
}

TestSuite(prng, .timeout = 10);

/* The first outputs of xoshiro256** whose state is splitmix64's first four from seed 0, computed
 * from the papers' definitions apart from this code. */
Test(prng, gives_the_published_sequence)
{
    struct prng prng;

    prng_init(&prng, 0);
    cr_assert_eq(prng.state[0], UINT64_C(0xe220a8397b1dcdaf));
    cr_assert_eq(prng_next(&prng), UINT64_C(0x99ec5f36cb75f2b4));
    cr_assert_eq(prng_next(&prng), UINT64_C(0xbf6e1f784956452a));
    cr_assert_eq(prng_next(&prng), UINT64_C(0x1a5f849d4933e6e0));
}

Test(prng, bounded_numbers_are_bounded_and_even)
{
    struct prng prng;
    uint32_t counts[7] = {0};

    prng_init(&prng, 1);
    for (unsigned i = 0; i < 70000; i++) {
        counts[prng_below(&prng, 7)]++;
    }
    for (unsigned i = 0; i < 7; i++) {
        cr_assert(counts[i] > 9500 && counts[i] < 10500, "%u", counts[i]);
    }
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert(prng_below(&prng, UINT64_MAX - i) < UINT64_MAX - i);
        cr_assert_eq(prng_below(&prng, 1), 0);
    }
}

TestSuite(slice, .timeout = 10);

Test(slice, varints_round_trip_and_refuse_what_does_not_fit)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    uint64_t value;

    for (unsigned bit = 0; bit < 64; bit++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t wanted = (UINT64_C(1) << bit) + (uint64_t)delta;
            size_t size = put_varint(bytes, wanted);

            cr_assert_eq(get_varint(bytes, bytes + size, &value), size);
            cr_assert_eq(value, wanted);
            cr_assert_eq(get_varint(bytes, bytes + size - 1, &value), 0, "ends early");
        }
    }
    memset(bytes, 0xff, sizeof(bytes));
    cr_assert_eq(get_varint(bytes, bytes + sizeof(bytes), &value), 0);
    bytes[9] = 2;
    cr_assert_eq(get_varint(bytes, bytes + sizeof(bytes), &value), 0);
}

Test(slice, order_is_by_bytes_and_a_prefix_comes_first)
{
    cr_assert(slice_compare(SLICE("ab"), SLICE("abc")) < 0);
    cr_assert(slice_compare(SLICE("\xff"), SLICE("a")) > 0);
    cr_assert_eq(slice_compare(SLICE(""), slice_of(NULL, 0)), 0);
    cr_assert(slice_starts_with(SLICE("abc"), SLICE("ab")));
    cr_assert_not(slice_starts_with(SLICE("a"), SLICE("ab")));
}

TestSuite(list, .timeout = 10);

Test(list, keeps_order_and_removing_twice_is_harmless)
{
    struct list head;
    struct list nodes[3];
    unsigned count = 0;

    list_init(&head);
    list_push_back(&head, &nodes[1]);
    list_push_back(&head, &nodes[2]);
    list_push_front(&head, &nodes[0]);
    LIST_FOR_EACH(node, &head) {
        cr_assert_eq(node, &nodes[count++]);
    }
    cr_assert_eq(count, 3);
    list_remove(&nodes[1]);
    list_remove(&nodes[1]);
    cr_assert_eq(list_pop_front(&head), &nodes[0]);
    cr_assert_eq(list_pop_front(&head), &nodes[2]);
    cr_assert_null(list_pop_front(&head));
}

TestSuite(assertion, .timeout = 10);

Test(assertion, a_failed_one_aborts, .signal = SIGABRT)
{
    ASSERT(1 + 1 == 3);
}

Test(assertion, fatal_leaves_with_status_70, .exit_code = 70)
{
    fatal("the log of shard %d failed", 3);
}

Test(assertion, min_and_max_nest_and_evaluate_once)
{
    int calls = 0;

    cr_assert_eq(MAX(MIN(++calls, 5), MAX(-1, -2)), 1);
    cr_assert_eq(calls, 1);
}

TestSuite(log, .timeout = 10);

/* What log_write puts on standard error. */
static size_t
log_capture(char *out, size_t capacity, enum log_level level, const char *text)
{
    int ends[2];
    int saved = dup(STDERR_FILENO);
    ssize_t got;

    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_write(level, "%s", text);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    got = read(ends[0], out, capacity - 1);
    close(ends[0]);
    cr_assert(got >= 0);
    out[got] = '\0';
    return (size_t)got;
}

Test(log, an_event_is_one_line_whatever_the_text)
{
    char line[4096];
    char text[5000];
    size_t size = log_capture(line, sizeof(line), LOG_WARNING, "key \n\x1b[31m forged");

    cr_assert_eq(strchr(line, '\n'), line + size - 1);
    cr_assert_not_null(strstr(line, "WARN  key   [31m forged"));
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    size = log_capture(line, sizeof(line), LOG_WARNING, text);
    cr_assert_eq(strchr(line, '\n'), line + size - 1);
}

Test(log, levels_below_the_set_one_are_dropped)
{
    char line[100];
    enum log_level level = LOG_INFO;

    cr_assert(log_level_parse("error", &level));
    cr_assert_not(log_level_parse("loud", &level));
    cr_assert_eq(level, LOG_ERROR);
    log_level_set(level);
    cr_assert_eq(log_capture(line, sizeof(line), LOG_WARNING, "x"), 0);
    cr_assert(log_capture(line, sizeof(line), LOG_ERROR, "x") > 0);
}
