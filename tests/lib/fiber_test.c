/* tests/lib/fiber_test.c - see fiber_test.h. */
#include "tests/lib/fiber_test.h"

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
}
