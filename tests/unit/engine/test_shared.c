/* tests/unit/engine/test_shared.c - the words that all shards see. */
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "tests/lib/fiber_test.h"

enum { SHARDS = 3 };

FIBER_TEST(shared, a_shard_alone_has_words_of_its_own)
{
    cr_assert_eq(shard_acked(), 0);
    shard_acked_raise(7);
    shard_acked_raise(5);
    cr_assert_eq(shard_acked(), 7);
    shard_word_set(SHARD_WORD_HORIZON, 9);
    cr_assert_eq(shard_word_get(SHARD_WORD_HORIZON, 0), 9);
    cr_assert_eq(shard_word_min(SHARD_WORD_HORIZON), 9);
    cr_assert_eq(shard_word_min(SHARD_WORD_CLOSED), 0);
}

static void
words_set(void *arg)
{
    (void)arg;
    shard_acked_raise(100 + shard_id());
    shard_word_set(SHARD_WORD_HORIZON, 50 - shard_id());
    shard_word_set(SHARD_WORD_CLOCK, 1000);
}

FIBER_TEST_ON(shared, every_shard_sees_the_words_of_all, SHARDS)
{
    msg_call(1, MSG_INLINE, words_set, NULL);
    cr_assert_eq(shard_acked(), 101);
    cr_assert_eq(shard_word_min(SHARD_WORD_HORIZON), 0, "as long as one has not set its own");
    msg_call_all(MSG_INLINE, words_set, NULL, 0);
    cr_assert_eq(shard_acked(), 102);
    for (uint32_t i = 0; i < SHARDS; i++) {
        cr_assert_eq(shard_word_get(SHARD_WORD_HORIZON, i), 50 - i);
        cr_assert_eq(shard_word_get(SHARD_WORD_CLOSED, i), 0);
    }
    cr_assert_eq(shard_word_min(SHARD_WORD_HORIZON), 50 - (SHARDS - 1));
    cr_assert_eq(shard_word_min(SHARD_WORD_CLOCK), 1000);
}

static void
words_are_new(void *arg)
{
    cr_assert_eq(shard_acked(), 0);
    cr_assert_eq(shard_word_get(SHARD_WORD_HORIZON, 2), 0);
    words_set(arg);
}

Test(shared, the_words_of_a_simulated_process_end_with_it)
{
    struct sim_options options;
    struct sim_world *world;

    sim_options_init(&options);
    world = sim_world_new(1, &options);
    for (uint32_t life = 0; life < 2; life++) {
        sim_world_boot(world, SHARDS);
        sim_world_spawn(world, 2, "words", words_are_new, NULL);
        cr_assert_eq(sim_world_run(world, NULL, NULL, 1000), SIM_STOP_IDLE);
        if (life == 0) {
            sim_world_crash(world, SIM_CRASH_KILL);
        } else {
            sim_world_stop(world);
        }
    }
    sim_world_free(&world);
}
