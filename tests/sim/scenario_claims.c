/* tests/sim/scenario_claims.c - elements that clients wait for, on keys of several shards.
 *
 * Producers push elements, each of its own number, to lists and sorted sets; consumers wait for
 * them on one key or on several (BLPOP, BLMPOP, BLMOVE, BZPOPMIN and the like), some go while they
 * wait, and the server crashes. Each element is handed out once; none that was acknowledged is
 * lost, but for those that a claim without an answer may have taken at a crash; and when everybody
 * waits, there is nothing left to wait for. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "tests/sim/scenarios.h"
#include "tests/sim/waiting.h"
#include "txn/store.h"

enum {
    LISTS = 5,
    ZSETS = 3,
    CLIENTS_MAX = 10,
    ELEMENTS_MAX = 100 * 1000,
    UNCLAIMED_MAX = 40, /* Above it producers take elements, too. */
    LIFE_US_MAX = 60 * 1000 * 1000,
};

enum element {
    UNBORN,
    PUSHING, /* Whether it is there is not known yet. */
    PUSHED,  /* It is; a crash may take it away. */
    THERE,   /* And durable. */
    TAKEN,   /* Handed out; a crash may bring it back. */
    GONE,    /* For ever. */
};

struct client {
    bool is_claiming; /* A command that takes one is on its way. */
    bool is_moving;   /* And puts it elsewhere. */
    uint32_t lists;   /* Bits: what it waits for. */
    uint32_t zsets;
};

struct claims_test {
    struct run *run;
    struct store_options options;
    bool is_quiet;    /* Producers end, and consumers wait for good. */
    bool is_stopping; /* Consumers end, too. */
    uint32_t lists;   /* In use: few keys have many that wait. */
    uint32_t zsets;
    uint32_t born;
    int64_t unclaimed;
    uint32_t claims_cut_off; /* By the last crash. */
    struct client clients[CLIENTS_MAX];
    struct waiting waiting[CLIENTS_MAX];
    struct waiting_clients all;
    uint8_t elements[ELEMENTS_MAX];
};

static struct claims_test test;

static uint32_t
below(uint32_t bound)
{
    return (uint32_t)prng_below(shard_prng(), bound);
}

static bool
is_sync(void)
{
    return test.options.durability == WAL_SYNC;
}

/* ---- What answers tell ---- */

/* The next element of an answer, "e" and its number; false when there is no more. */
static bool
element_next(const char **at, uint32_t *element_out)
{
    const char *found = strstr(*at, "\r\ne");
    unsigned number = 0;

    if (found == NULL) {
        return false;
    }
    RUN_CHECK(test.run, sscanf(found, "\r\ne%u", &number) == 1 && number < ELEMENTS_MAX,
              "an answer has %.40s", found + 2);
    *element_out = number;
    *at = found + 3;
    return true;
}

static void
element_taken(uint32_t element, const char *words)
{
    uint8_t *state = &test.elements[element];

    RUN_CHECK(test.run, *state != UNBORN, "%s gave e%u, which nobody has pushed", words, element);
    RUN_CHECK(test.run, *state != TAKEN && *state != GONE, "%s gave e%u, which was given before",
              words, element);
    *state = is_sync() ? GONE : TAKEN;
    test.unclaimed--;
}

static void
claim_answered(const char *text, const char *words)
{
    uint32_t elements = 0;
    uint32_t element;

    RUN_CHECK(test.run, text[0] != '-', "%s answers %.100s", words, text);
    while (element_next(&text, &element)) {
        element_taken(element, words);
        elements++;
    }
    RUN_CHECK(test.run, elements <= 1, "%s gave %u elements", words, elements);
}

static void
move_answered(const char *text, const char *words)
{
    uint32_t element;

    RUN_CHECK(test.run, text[0] != '-', "%s answers %.100s", words, text);
    if (element_next(&text, &element)) {
        uint8_t state = test.elements[element];

        /* Others may have taken it from where it was moved to. */
        RUN_CHECK(test.run, state != UNBORN, "%s gave e%u, which nobody has pushed", words,
                  element);
    }
}

/* ---- What clients do ---- */

/* In seconds, for BLPOP and the like. */
static const char *
timeout_draw(void)
{
    static const char *const timeouts[] = {"0", "0", "0.001", "0.004", "0.02", "0.3"};

    return test.is_quiet ? "0" : timeouts[below(ARRAY_COUNT(timeouts))];
}

static void
claim_list(struct waiting *waiting, struct client *client, bool may_wait)
{
    static const char *const ends[] = {"LEFT", "RIGHT"};
    uint32_t a = below(test.lists);
    uint32_t b = below(test.lists);
    uint32_t draw = below(test.is_quiet ? 8 : 10);
    const char *text;

    client->lists = 1U << a | (draw < 6 ? 1U << b : 0);
    client->is_moving = draw >= 8;
    if (draw < 4) {
        text = waiting_call(waiting, may_wait, "%s l%u l%u %s", draw < 2 ? "BLPOP" : "BRPOP", a, b,
                            timeout_draw());
    } else if (draw < 6) {
        text = waiting_call(waiting, may_wait, "BLMPOP %s 2 l%u l%u %s", timeout_draw(), a, b,
                            ends[below(2)]);
    } else if (draw < 8) {
        text = waiting_call(waiting, may_wait, "BLPOP l%u %s", a, timeout_draw());
    } else {
        text = waiting_call(waiting, may_wait, "BLMOVE l%u l%u %s %s %s", a, b, ends[below(2)],
                            ends[below(2)], timeout_draw());
    }
    if (text != NULL && client->is_moving) {
        move_answered(text, "BLMOVE");
    } else if (text != NULL) {
        claim_answered(text, "a claim of a list");
    }
}

static void
claim_zset(struct waiting *waiting, struct client *client, bool may_wait)
{
    uint32_t a = below(test.zsets);
    uint32_t b = below(test.zsets);
    const char *text;

    client->zsets = 1U << a | 1U << b;
    if (below(3) > 0) {
        text = waiting_call(waiting, may_wait, "%s z%u z%u %s",
                            below(2) == 0 ? "BZPOPMIN" : "BZPOPMAX", a, b, timeout_draw());
    } else {
        text = waiting_call(waiting, may_wait, "BZMPOP %s 2 z%u z%u MIN", timeout_draw(), a, b);
    }
    if (text != NULL) {
        claim_answered(text, "a claim of a sorted set");
    }
}

static void
claim(struct waiting *waiting, struct client *client, bool may_wait)
{
    client->is_claiming = true;
    if (below(3) > 0) {
        claim_list(waiting, client, may_wait);
    } else {
        claim_zset(waiting, client, may_wait);
    }
    client->lists = 0;
    client->zsets = 0;
    client->is_moving = false;
    client->is_claiming = false;
}

static void
consumer_run(void *arg)
{
    struct waiting *waiting = arg;
    struct client *client = &test.clients[waiting->index];

    while (!test.is_stopping) {
        claim(waiting, client, true);
        if (!test.is_stopping) {
            waiting->is_leaving = false; /* Another client comes. */
        }
        if (!test.is_quiet && below(10) == 0) {
            fiber_sleep_us(below(3000));
        }
    }
    waiting_fini(waiting);
    test.all.running--;
}

static void
pushed(uint32_t element)
{
    if (test.elements[element] == PUSHING) { /* And nobody has it yet. */
        test.elements[element] = is_sync() ? THERE : PUSHED;
    }
}

/* One element, or two to one key: two that wait for it are served. */
static void
push(struct waiting *waiting)
{
    uint32_t count = 1 + (below(3) == 0);
    uint32_t first = test.born;
    uint32_t second = first + count - 1;
    const char *text;

    if (test.born + count > ELEMENTS_MAX) {
        return;
    }
    test.born += count;
    test.unclaimed += count;
    test.elements[first] = PUSHING;
    test.elements[second] = PUSHING;
    if (below(3) == 0) {
        text =
            waiting_call(waiting, false, count == 1 ? "ZADD z%u %u e%u" : "ZADD z%u %u e%u 5 e%u",
                         below(test.zsets), below(10), first, second);
    } else {
        text = waiting_call(waiting, false, count == 1 ? "%s l%u e%u" : "%s l%u e%u e%u",
                            below(2) == 0 ? "RPUSH" : "LPUSH", below(test.lists), first, second);
    }
    RUN_CHECK(test.run, text[0] == ':', "pushing answers %.80s", text);
    pushed(first);
    pushed(second);
}

static void
somebody_leaves(void)
{
    struct waiting *waiting = &test.waiting[below(test.all.count)];

    if (waiting->is_parked && waiting->shard == shard_id()) {
        SOMETIMES("claims: a client left while it waited");
        waiting_leave(waiting);
    }
}

static void
producer_run(void *arg)
{
    struct waiting *waiting = arg;
    struct client *client = &test.clients[waiting->index];

    while (!test.is_quiet) {
        uint32_t draw = below(100);

        if (test.unclaimed > UNCLAIMED_MAX || draw < 20) {
            claim(waiting, client, false); /* Whoever is woken for it finds nothing. */
        } else if (draw < 80) {
            push(waiting);
        } else if (draw < 88) {
            somebody_leaves();
        } else {
            fiber_sleep_us(below(4000));
        }
    }
    waiting_fini(waiting);
    test.all.running--;
}

/* ---- What is there ---- */

static uint32_t
elements_look(struct waiting *waiting, const char *format, uint32_t key, uint8_t *found)
{
    const char *text = waiting_call(waiting, false, format, key);
    uint32_t count = 0;
    uint32_t element;

    RUN_CHECK(test.run, text[0] == '*', "looking answers %.80s", text);
    while (element_next(&text, &element)) {
        RUN_CHECK(test.run, found[element] == 0, "e%u is there twice", element);
        found[element] = 1;
        count++;
    }
    return count;
}

/* After a start, or when nobody works: everything is durable now. */
static err_t
check_all(void *arg)
{
    struct waiting waiting;
    uint8_t *found = calloc(ELEMENTS_MAX, 1);
    uint32_t missing = 0;

    (void)arg;
    ASSERT(found != NULL);
    waiting_init(&waiting, test.run, 0, shard_id());
    test.unclaimed = 0;
    for (uint32_t i = 0; i < LISTS; i++) {
        test.unclaimed += elements_look(&waiting, "LRANGE l%u 0 -1", i, found);
    }
    for (uint32_t i = 0; i < ZSETS; i++) {
        test.unclaimed += elements_look(&waiting, "ZRANGE z%u 0 -1", i, found);
    }
    waiting_fini(&waiting);
    for (uint32_t i = 0; i < test.born; i++) {
        uint8_t state = test.elements[i];

        RUN_CHECK(test.run, found[i] == 0 || state != GONE, "e%u is back, which was given", i);
        if (state == THERE && found[i] == 0) {
            missing++;
            RUN_CHECK(test.run, missing <= test.claims_cut_off,
                      "e%u is lost, with %u more; %u claims were cut off", i, missing - 1,
                      test.claims_cut_off);
        }
        test.elements[i] = found[i] != 0 ? THERE : GONE;
    }
    test.claims_cut_off = 0;
    free(found);
    return ERR_OK;
}

/* Everybody waits, and for long: keys that somebody waits for are empty. */
static err_t
check_nobody_forgotten(void *arg)
{
    struct waiting waiting;

    (void)arg;
    waiting_init(&waiting, test.run, 0, shard_id());
    for (uint32_t key = 0; key < LISTS + ZSETS; key++) {
        bool is_list = key < LISTS;
        uint32_t number = is_list ? key : key - LISTS;
        const char *text =
            waiting_call(&waiting, false, is_list ? "LLEN l%u" : "ZCARD z%u", number);

        for (uint32_t i = 0; i < test.all.count; i++) {
            uint32_t keys = is_list ? test.clients[i].lists : test.clients[i].zsets;

            RUN_CHECK(test.run,
                      !test.waiting[i].is_parked || test.waiting[i].is_woken ||
                          (keys >> number & 1) == 0 || strcmp(text, ":0\r\n") == 0,
                      "client %u waits for %c%u, which has %.10s elements", i, is_list ? 'l' : 'z',
                      number, text + 1);
        }
    }
    waiting_fini(&waiting);
    return ERR_OK;
}

/* ---- Lives ---- */

static void
start(struct run *run)
{
    err_t err;

    waiting_start(run, &test.options, &test.all);
    err = sim_world_call(run->world, (uint32_t)run_below(run, run->shards), check_all, NULL);
    RUN_CHECK(run, err == ERR_OK, "after the start: %s", err_message(err));
}

static void
spawn_some(struct run *run, uint32_t from, uint32_t to)
{
    test.is_quiet = false;
    test.all.running += to - from;
    for (uint32_t i = from; i < to; i++) {
        bool is_producer = i < test.all.producers;
        uint32_t shard = (uint32_t)run_below(run, run->shards);

        waiting_init(&test.waiting[i], run, i, shard);
        test.waiting[i].is_sync = is_sync();
        sim_world_spawn(run->world, shard, "client", is_producer ? producer_run : consumer_run,
                        &test.waiting[i]);
    }
}

static void
spawn_clients(struct run *run)
{
    test.is_stopping = false;
    test.all.running = 0;
    memset(test.clients, 0, sizeof(test.clients));
    spawn_some(run, 0, test.all.count);
}

static void
be_quiet(struct run *run)
{
    err_t err;

    test.is_quiet = true;
    waiting_all_wait(run, &test.all);
    err = sim_world_call(run->world, 0, check_nobody_forgotten, NULL);
    RUN_CHECK(run, err == ERR_OK, "looking who waits: %s", err_message(err));
}

static void
stop(struct run *run)
{
    err_t err;

    be_quiet(run);
    test.is_stopping = true;
    waiting_all_leave(run, &test.all);
    err = sim_world_call(run->world, 0, check_all, NULL);
    RUN_CHECK(run, err == ERR_OK, "at the end: %s", err_message(err));
    waiting_stop(run);
}

static void
crash(struct run *run)
{
    run_crash(run);
    for (uint32_t i = 0; i < test.all.count; i++) {
        test.claims_cut_off += test.clients[i].is_claiming && !test.clients[i].is_moving;
    }
}

static void
live(struct run *run)
{
    test.options.durability =
        run_chance(run, 75) ? WAL_SYNC : (enum wal_durability)run_below(run, 3);
    test.options.interval_us = run_between(run, 1000, 100000);
    start(run);
    run_draw_harmless_faults(run);
    spawn_clients(run);
    for (uint64_t rests = run_below(run, 4);; rests--) {
        RUN_CHECK(run, run_for_operations(run, run_between(run, 20, 250), LIFE_US_MAX), "fatal: %s",
                  sim_world_fatal_message(run->world));
        if (rests == 0) {
            break;
        }
        be_quiet(run); /* With the faults of this life. */
        spawn_some(run, 0, test.all.producers);
    }
    if (run_chance(run, 70)) {
        crash(run);
        sim_world_calm(run->world);
    } else {
        sim_world_calm(run->world);
        stop(run);
    }
}

static void
claims_main(struct run *run)
{
    command_table_init();
    memset(&test, 0, sizeof(test));
    test.run = run;
    test.all = (struct waiting_clients){.at = test.waiting};
    test.all.count = (uint32_t)run_between(run, 3, CLIENTS_MAX);
    test.all.producers = (uint32_t)run_between(run, 1, test.all.count - 2);
    test.lists = (uint32_t)run_between(run, 1, LISTS);
    test.zsets = (uint32_t)run_between(run, 1, ZSETS);
    waiting_options_draw(run, &test.options);
    for (uint32_t life = 0; life < 5 || !run_is_enough(run); life++) {
        live(run);
    }
    start(run);
    spawn_clients(run);
    stop(run);
}

const struct scenario scenario_claims = {
    .name = "claims",
    .text = "elements that clients wait for on keys of several shards: each is given to one",
    .weight = 3,
    .main = claims_main,
};
