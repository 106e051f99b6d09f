/* tests/lib/fiber_test.c - see fiber_test.h. */
#include "tests/lib/fiber_test.h"

#include <errno.h>
#include <string.h>

#include "engine/base/sanitize.h"

#ifdef ORBIT_ASAN
#include <sanitizer/lsan_interface.h>
#endif

void
fiber_test_check_leaks(void)
{
#ifdef ORBIT_ASAN
    /* At its exit the leak checker only prints: Criterion does not look at a worker's status. */
    cr_assert_eq(__lsan_do_recoverable_leak_check(), 0, "memory was leaked");
#endif
}

static err_t
fiber_test_body(void *arg)
{
    void (*const *body)(void) = arg;

    (*body)();
    return ERR_OK;
}

void
fiber_test_run(uint32_t shards, void (*body)(void))
{
    struct sim_options options;
    struct sim_world *world;
    err_t err;

    sim_options_init(&options);
    world = sim_world_new(FIBER_TEST_SEED, &options);
    sim_world_boot(world, shards);
    err = sim_world_call(world, 0, fiber_test_body, &body);
    cr_assert_eq(err, ERR_OK, "the body did not end: %s", err_message(err));
    sim_world_stop(world);
    sim_world_free(&world);
    fiber_test_check_leaks();
}

/* Criterion's own process, which runs no test, leaks now and then; a test runs in a worker, whose
 * leaks count. Read by the leak checker of a build with AddressSanitizer. */
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
    return strcmp(program_invocation_short_name, "boxfort-worker") != 0;
}
