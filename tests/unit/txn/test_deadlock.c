#include "tests/unit/txn/lock_fixture.h"

TestSuite(deadlock, .timeout = 60);

/* ---- The graph alone. ---- */

static struct deadlock_graph graph;

static void
edge(uint64_t waiter, uint64_t holder, uint64_t wait)
{
    struct lock_edge added = {.waiter = waiter, .holder = holder, .wait = wait};

    buf_append(&graph.edges, &added, sizeof(added));
}

static uint64_t
only_victim(void)
{
    uint64_t waits[8];
    uint32_t count;

    deadlock_graph_sort(&graph);
    count = deadlock_graph_victims(&graph, waits, 8);
    cr_assert(count <= 1);
    return count == 0 ? 0 : waits[0];
}

#define GRAPH_TEST(name)                                                                           \
    static void deadlock_##name##_case(void);                                                      \
    FIBER_TEST(deadlock, name)                                                                     \
    {                                                                                              \
        deadlock_graph_init(&graph);                                                               \
        deadlock_##name##_case();                                                                  \
        deadlock_graph_fini(&graph);                                                               \
    }                                                                                              \
    static void deadlock_##name##_case(void)

GRAPH_TEST(a_chain_has_no_victim)
{
    cr_assert_eq(only_victim(), 0);
    edge(1, 2, 10);
    edge(2, 3, 11);
    edge(4, 2, 12);
    edge(4, 3, 12);
    cr_assert_eq(only_victim(), 0);
}

GRAPH_TEST(the_youngest_of_a_circle_is_the_victim)
{
    edge(1, 5, 10);
    edge(5, 3, 11);
    edge(3, 1, 12);
    edge(9, 1, 13); /* Younger, and only waits for the circle. */
    edge(1, 7, 10); /* Waits for nobody. */
    cr_assert_eq(only_victim(), 11);
}

GRAPH_TEST(the_number_decides_who_is_younger_and_then_the_shard)
{
    const uint64_t shard = UINT64_C(1) << TXN_ID_HOME_SHIFT;

    edge(3 * shard + 5, 6, 10);
    edge(6, 3 * shard + 5, 11);
    cr_assert_eq(only_victim(), 11);
    buf_clear(&graph.edges);
    edge(3 * shard + 5, 2 * shard + 5, 10);
    edge(2 * shard + 5, 3 * shard + 5, 11);
    cr_assert_eq(only_victim(), 10);
}

GRAPH_TEST(a_session_in_a_statement_is_its_transaction)
{
    struct deadlock_alias alias = {.session = 100, .txn = 1};

    edge(1, 2, 10);
    edge(2, 100, 11);
    cr_assert_eq(only_victim(), 0);
    buf_append(&graph.aliases, &alias, sizeof(alias));
    cr_assert_eq(only_victim(), 11);
}

GRAPH_TEST(what_lies_in_one_picture_only_is_no_wait)
{
    struct deadlock_graph other;

    edge(1, 2, 10);
    edge(2, 1, 11);
    deadlock_graph_sort(&graph);
    deadlock_graph_init(&other);
    buf_append(&other.edges, graph.edges.data, graph.edges.size);
    ((struct lock_edge *)other.edges.data)[1].wait = 12; /* Another wait than before. */
    deadlock_graph_intersect(&graph, &other);
    cr_assert_eq(graph.edges.size, sizeof(struct lock_edge));
    cr_assert_eq(only_victim(), 0);
    deadlock_graph_fini(&other);
}

/* ---- Against reachability by a matrix. ---- */

enum { NODES = 10, ROUNDS = 3000 };

struct matrix {
    bool waits[NODES][NODES];
    bool reaches[NODES][NODES];
};

static void
matrix_close(struct matrix *matrix)
{
    memcpy(matrix->reaches, matrix->waits, sizeof(matrix->waits));
    for (uint32_t via = 0; via < NODES; via++) {
        for (uint32_t from = 0; from < NODES; from++) {
            for (uint32_t to = 0; to < NODES; to++) {
                matrix->reaches[from][to] |= matrix->reaches[from][via] && matrix->reaches[via][to];
            }
        }
    }
}

/* Each transaction waits once: its number is its wait. */
static void
matrix_draw(struct matrix *matrix)
{
    uint32_t edges = 1 + (uint32_t)prng_below(shard_prng(), 2 * NODES);

    memset(matrix, 0, sizeof(*matrix));
    buf_clear(&graph.edges);
    for (uint32_t i = 0; i < edges; i++) {
        uint32_t from = (uint32_t)prng_below(shard_prng(), NODES);
        uint32_t to = (uint32_t)prng_below(shard_prng(), NODES);

        if (from != to) {
            matrix->waits[from][to] = true;
            edge(from + 1, to + 1, from + 1);
        }
    }
}

GRAPH_TEST(victims_break_every_circle_and_each_was_in_one)
{
    static struct matrix matrix;
    uint32_t circles = 0;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t waits[NODES];
        uint32_t count;

        matrix_draw(&matrix);
        deadlock_graph_sort(&graph);
        count = deadlock_graph_victims(&graph, waits, NODES);
        for (uint32_t i = 0; i < count; i++) {
            matrix_close(&matrix);
            cr_assert(matrix.reaches[waits[i] - 1][waits[i] - 1], "victim %u of no circle", i);
            memset(matrix.waits[waits[i] - 1], 0, sizeof(matrix.waits[0]));
        }
        matrix_close(&matrix);
        for (uint32_t node = 0; node < NODES; node++) {
            cr_assert_not(matrix.reaches[node][node], "round %u left a circle", round);
        }
        circles += count;
    }
    cr_assert(circles > ROUNDS / 4);
}

/* ---- Over shards. ---- */

enum { SHARDS = 3, TXNS = 8 };

/* A transaction with an owner on each shard. Its shard's fiber touches it only. */
static struct lock_owner owners[TXNS][SHARDS];
static struct fiber_group group;

struct step {
    uint32_t txn, shard;
    const char *key;
    enum lock_mode mode;
    uint64_t deadline_us; /* Relative; 0: none. */
    err_t err;
    uint64_t waited_us;
    bool has_ended;
};

static void
step_here(void *arg)
{
    struct step *step = arg;
    struct lock_owner *owner = &owners[step->txn][shard_id()];
    uint64_t begun_us = shard_now_us();
    uint64_t deadline_us = step->deadline_us == 0 ? DEADLINE_NONE : begun_us + step->deadline_us;

    step->err = lock_key(locks_here(), owner, slice_from_text(step->key), step->mode, LOCK_WAIT,
                         deadline_us);
    step->waited_us = shard_now_us() - begun_us;
}

static void
step_run(void *arg)
{
    struct step *step = arg;

    msg_call(step->shard, MSG_FIBER, step_here, step);
    step->has_ended = true;
}

static void
step_start(struct step *step)
{
    cr_assert(
        fiber_group_spawn(&group, "step", FIBER_FOREGROUND, FIBER_STACK_SMALL, step_run, step));
    fiber_sleep_us(1000);
}

static void
release_here(void *arg)
{
    uint32_t txn = *(const uint32_t *)arg;

    lock_release_all(locks_here(), &owners[txn][shard_id()]);
}

static void
release(uint32_t txn)
{
    uint32_t txns[SHARDS] = {txn, txn, txn};

    msg_call_all(MSG_FIBER, release_here, txns, sizeof(txns[0]));
}

#define DEADLOCK_TEST(name)                                                                        \
    static void deadlock_##name##_case(void);                                                      \
    FIBER_TEST_ON(deadlock, name, SHARDS)                                                          \
    {                                                                                              \
        locks_begin();                                                                             \
        fiber_group_init(&group);                                                                  \
        for (uint32_t txn = 0; txn < TXNS; txn++) {                                                \
            for (uint32_t shard = 0; shard < SHARDS; shard++) {                                    \
                lock_owner_init(&owners[txn][shard], txn + 1);                                     \
            }                                                                                      \
        }                                                                                          \
        deadlock_##name##_case();                                                                  \
        fiber_group_wait(&group);                                                                  \
        for (uint32_t txn = 0; txn < TXNS; txn++) {                                                \
            release(txn);                                                                          \
        }                                                                                          \
        locks_end();                                                                               \
    }                                                                                              \
    static void deadlock_##name##_case(void)

DEADLOCK_TEST(a_circle_over_three_shards_costs_its_youngest_its_wait)
{
    struct step have[3] = {{.txn = 0, .shard = 0, .key = "a", .mode = LOCK_UPDATE},
                           {.txn = 1, .shard = 1, .key = "b", .mode = LOCK_UPDATE},
                           {.txn = 2, .shard = 2, .key = "c", .mode = LOCK_UPDATE}};
    struct step want[3] = {{.txn = 0, .shard = 1, .key = "b", .mode = LOCK_SHARE},
                           {.txn = 2, .shard = 0, .key = "a", .mode = LOCK_UPDATE},
                           {.txn = 1, .shard = 2, .key = "c", .mode = LOCK_KEY_SHARE}};

    for (uint32_t i = 0; i < 3; i++) {
        step_run(&have[i]);
        cr_assert_eq(have[i].err, ERR_OK);
    }
    for (uint32_t i = 0; i < 3; i++) {
        step_start(&want[i]);
    }
    fiber_sleep_us(60000);
    cr_assert(want[1].has_ended);
    cr_assert_eq(want[1].err, ERR_DEADLOCK);
    cr_assert(want[1].waited_us < 50000, "found after %lu us", want[1].waited_us);
    cr_assert(owners[2][0].is_victim);
    cr_assert_not(want[0].has_ended);
    cr_assert_not(want[2].has_ended);
    release(2);
    fiber_sleep_us(5000);
    cr_assert_eq(want[2].err, ERR_OK);
    release(1);
    fiber_group_wait(&group);
    cr_assert_eq(want[0].err, ERR_OK);
}

DEADLOCK_TEST(two_who_strengthen_the_same_lock_are_a_circle)
{
    struct step have[2] = {{.txn = 3, .shard = 1, .key = "a", .mode = LOCK_SHARE},
                           {.txn = 4, .shard = 1, .key = "a", .mode = LOCK_SHARE}};
    struct step want[2] = {{.txn = 3, .shard = 1, .key = "a", .mode = LOCK_UPDATE},
                           {.txn = 4, .shard = 1, .key = "a", .mode = LOCK_UPDATE}};

    for (uint32_t i = 0; i < 2; i++) {
        step_run(&have[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        step_start(&want[i]);
    }
    fiber_sleep_us(60000);
    cr_assert_eq(want[1].err, ERR_DEADLOCK);
    release(4);
    fiber_group_wait(&group);
    cr_assert_eq(want[0].err, ERR_OK);
}

DEADLOCK_TEST(a_long_queue_and_a_long_wait_have_no_victim)
{
    struct step have = {.txn = 0, .shard = 1, .key = "a", .mode = LOCK_UPDATE};
    struct step want[TXNS];

    step_run(&have);
    for (uint32_t i = 1; i < TXNS; i++) {
        want[i] = (struct step){
            .txn = i, .shard = 1, .key = "a", .mode = i % 2 == 0 ? LOCK_SHARE : LOCK_UPDATE};
        step_start(&want[i]);
    }
    fiber_sleep_us(5 * 1000 * 1000);
    for (uint32_t i = 0; i < TXNS; i++) {
        release(i);
        fiber_sleep_us(2000);
        release(i);
    }
    fiber_group_wait(&group);
    for (uint32_t i = 1; i < TXNS; i++) {
        cr_assert_eq(want[i].err, ERR_OK);
    }
}

/* On shard 1: lets go of what the other waits for, and then waits for the other, on shard 2. */
struct turn {
    struct step second;
    uint64_t after_us;
};

static void
turn_here(void *arg)
{
    struct turn *turn = arg;

    fiber_sleep_us(turn->after_us);
    lock_release_all(locks_here(), &owners[turn->second.txn][shard_id()]);
    msg_call(turn->second.shard, MSG_FIBER, step_here, &turn->second);
}

static void
turn_run(void *arg)
{
    msg_call(1, MSG_FIBER, turn_here, arg);
}

/* First one waits for the other, then the other for the one. Messages are slow, so that a picture
 * may show the first wait on one shard and the second, which came later, on another. */
DEADLOCK_TEST(waits_of_different_times_are_no_circle)
{
    struct sim_options *sim = sim_world_options(sim_world_current());

    for (uint32_t round = 0; round < 100; round++) {
        struct step have[2] = {{.txn = 0, .shard = 2, .key = "y", .mode = LOCK_UPDATE},
                               {.txn = 1, .shard = 1, .key = "x", .mode = LOCK_UPDATE}};
        struct step first = {.txn = 0, .shard = 1, .key = "x", .mode = LOCK_UPDATE};
        struct turn turn = {.second = {.txn = 1, .shard = 2, .key = "y", .mode = LOCK_UPDATE},
                            .after_us = 15000 + prng_below(shard_prng(), 15000)};

        sim->message_delay_ppm = 0;
        step_run(&have[0]);
        step_run(&have[1]);
        step_start(&first);
        sim->message_delay_ppm = 300000;
        sim->message_delay = (struct sim_range){.min_us = 5000, .max_us = 20000};
        cr_assert(fiber_group_spawn(&group, "turn", FIBER_FOREGROUND, FIBER_STACK_SMALL, turn_run,
                                    &turn));
        fiber_sleep_us(60000 + prng_below(shard_prng(), 20000));
        release(0);
        fiber_group_wait(&group);
        cr_assert_eq(first.err, ERR_OK);
        cr_assert_eq(turn.second.err, ERR_OK, "a victim of no circle in round %u", round);
        release(0);
        release(1);
    }
}

/* ---- Many transactions in every order: each gets an answer soon, and there is no circle without a
 * victim. With locks asked for in one order there is never one. ---- */

struct life {
    uint32_t txn;
    bool is_ordered;
    uint32_t deadlocks;
    uint64_t longest_us;
};

static void
life_run(void *arg)
{
    struct life *life = arg;
    static const char *const keys[] = {"a", "b"};

    for (uint32_t round = 0; round < 60; round++) {
        uint32_t at = 0;

        for (uint32_t i = 0; i < 3; i++) {
            struct step step = {.txn = life->txn, .mode = LOCK_UPDATE};

            at = life->is_ordered ? at + 1 + (uint32_t)prng_below(shard_prng(), 2)
                                  : (uint32_t)prng_below(shard_prng(), 6);
            if (at >= 6) {
                break;
            }
            step.shard = at / 2;
            step.key = keys[at % 2];
            step_run(&step);
            life->longest_us = MAX(life->longest_us, step.waited_us);
            if (step.err != ERR_OK) {
                cr_assert_eq(step.err, ERR_DEADLOCK);
                life->deadlocks++;
                break;
            }
            fiber_sleep_us(prng_below(shard_prng(), 3000));
        }
        release(life->txn);
    }
}

static void
lives_run(bool is_ordered, struct life *lives)
{
    for (uint32_t i = 0; i < TXNS; i++) {
        lives[i] = (struct life){.txn = i, .is_ordered = is_ordered};
        cr_assert(fiber_group_spawn(&group, "life", FIBER_FOREGROUND, FIBER_STACK_SMALL, life_run,
                                    &lives[i]));
    }
    fiber_group_wait(&group);
}

DEADLOCK_TEST(transactions_in_one_order_are_never_victims)
{
    struct life lives[TXNS];

    lives_run(true, lives);
    for (uint32_t i = 0; i < TXNS; i++) {
        cr_assert_eq(lives[i].deadlocks, 0);
    }
}

DEADLOCK_TEST(transactions_in_any_order_all_get_on)
{
    struct life lives[TXNS];
    uint32_t deadlocks = 0;

    lives_run(false, lives);
    for (uint32_t i = 0; i < TXNS; i++) {
        deadlocks += lives[i].deadlocks;
        cr_assert(lives[i].longest_us < 500000, "waited for %lu us", lives[i].longest_us);
    }
    cr_assert(deadlocks > 0);
}
