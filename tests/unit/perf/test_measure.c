/* Latencies and the traffic of a process, as perf/bench/measure.c tells them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/prng.h"
#include "perf/bench/measure.h"

#define MS UINT64_C(1000000)

static struct meter meter, other;

TestSuite(measure, .timeout = 30);

static int
number_compare(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

Test(measure, quantiles_are_exact_to_one_part_in_a_thousand)
{
    enum { COUNT = 20000 };
    static const double fractions[] = {0.5, 0.99, 0.999, 0.9999};
    static uint64_t all[COUNT];
    struct prng prng;

    prng_init(&prng, 7);
    meter_reset(&meter, 0);
    for (size_t i = 0; i < COUNT; i++) { /* Over nine powers of ten. */
        all[i] = prng_next(&prng) >> (34 + prng_below(&prng, 30));
        meter_record(&meter, all[i], all[i], 1);
    }
    qsort(all, COUNT, sizeof(all[0]), number_compare);
    for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++) {
        double exact_us = (double)all[(size_t)(fractions[i] * COUNT) - 1] / 1000;
        double told_us = meter_quantile_us(&meter, fractions[i]);

        cr_assert_geq(told_us, exact_us);
        cr_assert_leq(told_us, exact_us * (1 + 1.0 / 1024) + 0.001);
    }
    cr_assert_eq(meter.max_ns, all[COUNT - 1]);
    cr_assert_eq(meter.count, COUNT);
}

Test(measure, a_stall_shows_in_its_window_and_nowhere_else)
{
    meter_reset(&meter, 5 * MS);
    meter_record(&meter, 55 * MS, 50 * MS, 3);
    meter_record(&meter, 255 * MS, 1 * MS, 1);
    cr_assert_eq(meter.windows_used, 3);
    cr_assert_eq(meter.windows[0].max_us, 50000);
    cr_assert_eq(meter.windows[0].ops, 3);
    cr_assert_eq(meter.windows[1].ops, 0);
    cr_assert_eq(meter.windows[2].max_us, 1000);
}

Test(measure, what_is_merged_is_as_if_recorded_by_one)
{
    meter_reset(&meter, 0);
    meter_reset(&other, 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        meter_record(i % 2 == 0 ? &meter : &other, i * MS, i * 1000, 1);
    }
    meter_merge(&meter, &other);
    cr_assert_eq(meter.count, 1000);
    cr_assert_float_eq(meter_quantile_us(&meter, 0.5), 500, 1);
    cr_assert_eq(meter.max_ns, 1000000);
    cr_assert_eq(meter.windows[0].ops + meter.windows[1].ops, 199);
}

Test(measure, an_empty_meter_has_no_latency)
{
    meter_reset(&meter, 0);
    cr_assert_eq(meter_quantile_us(&meter, 0.99), 0);
}

Test(measure, what_is_beyond_the_last_window_or_bucket_is_kept_in_it)
{
    meter_reset(&meter, 0);
    meter_record(&meter, UINT64_C(1) << 60, UINT64_C(1) << 60, 1);
    cr_assert_eq(meter.windows_used, METER_WINDOWS);
    cr_assert_eq(meter.max_ns, UINT64_C(1) << 60);
    cr_assert_gt(meter_quantile_us(&meter, 0.5), 1e9);
}

Test(measure, a_folder_weighs_what_its_files_take_and_is_removed_whole)
{
    enum { BYTES = 1 << 20 };
    char base[] = "/tmp/orbit-measure-XXXXXX";
    char name[64];
    static char block[BYTES];
    int fd;

    cr_assert_not_null(mkdtemp(base));
    snprintf(name, sizeof(name), "%s/deep", base);
    cr_assert_eq(mkdir(name, 0700), 0);
    snprintf(name, sizeof(name), "%s/deep/file", base);
    fd = open(name, O_WRONLY | O_CREAT, 0600);
    memset(block, 'x', sizeof(block));
    cr_assert_eq(write(fd, block, BYTES), BYTES);
    cr_assert_eq(fsync(fd), 0);
    close(fd);
    cr_assert_geq(measure_folder_bytes(base), BYTES);
    cr_assert_lt(measure_folder_bytes(base), 2 * BYTES);
    measure_folder_remove(base);
    cr_assert_neq(access(base, F_OK), 0);
}

Test(measure, cpu_time_of_work_is_counted_and_the_peak_of_memory_is_reset)
{
    enum { BYTES = 64 << 20 };
    struct measure_usage before, after;
    uint64_t high;
    char *block = malloc(BYTES);

    measure_usage_get(&before);
    memset(block, 'x', BYTES);
    __asm__ volatile("" : : "r"(block) : "memory"); /* The writes are wanted. */
    measure_usage_get(&after);
    cr_assert_gt(after.cpu_ns, before.cpu_ns);
    high = measure_peak_bytes();
    cr_assert_geq(high, BYTES);
    cr_assert_lt(high, UINT64_C(64) << 30);
    free(block);
}
