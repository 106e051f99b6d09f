/* tests/lib/fiber_test.h - a Criterion test whose body runs in a fiber of a simulated shard.
 *
 *     FIBER_TEST(lsm_table, a_key_that_was_put_is_found)
 *     {
 *         ... functions that YIELD, io_open and so on ...
 *     }
 *
 * The world has plausible latencies, no faults and a fixed seed; sim_world_current() gives it, for
 * sim_disk_fail_next and friends. After the body has returned nothing may be left: no fiber, no
 * open file, no memory (the simulator asserts it).
 *
 * FIBER_TEST_ON(suite, name, shards) does the same with several shards; the body runs on shard 0.
 * For several lives of one disk (crash and recovery) use Test and engine/io/sim.h itself. */
#pragma once

#include <criterion/criterion.h>

#include "engine/io/sim.h"

enum { FIBER_TEST_SEED = 1 };

/* Run the body in a fiber (large stack) of shard 0 of a new world. */
void fiber_test_run(uint32_t shards, void (*body)(void));

/* In a build with AddressSanitizer: fail the test when memory was leaked. Called by fiber_test_run;
 * for tests that do without it. */
void fiber_test_check_leaks(void);

#define FIBER_TEST_ON(suite, name, shards)                                                         \
    static void suite##_##name##_body(void);                                                       \
    Test(suite, name)                                                                              \
    {                                                                                              \
        fiber_test_run((shards), suite##_##name##_body);                                           \
    }                                                                                              \
    static void suite##_##name##_body(void)
#define FIBER_TEST(suite, name) FIBER_TEST_ON(suite, name, 1)
