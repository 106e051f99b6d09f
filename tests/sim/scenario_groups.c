/* tests/sim/scenario_groups.c - streams that consumers of one group read, on several shards.
 *
 * Producers add entries, each with its own number; consumers read, perhaps waiting for some,
 * acknowledge, and claim from each other what has been idle. A first delivery happens once, a claim
 * only after the idle time that it asks for, an acknowledged entry is never seen again, and after
 * each start every entry that was delivered and not acknowledged is pending for whoever had it
 * last. What the last crash has cut off may have happened or not. All is durable when answered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "tests/sim/scenarios.h"
#include "tests/sim/waiting.h"

enum {
    STREAMS = 3,
    CLIENTS_MAX = 8,
    ENTRIES_MAX = 20 * 1000,
    PENDING_MAX = 30, /* Above it consumers acknowledge rather than read. */
    ID_BYTES = 44,
    LIFE_US_MAX = 60 * 1000 * 1000,
};

struct entry {
    uint8_t stream;
    bool is_added;          /* It was answered, or found. */
    bool is_lost;           /* A crash cut the command off, and it has not happened. */
    bool is_delivered;      /* By a first delivery. */
    uint32_t acks;          /* Begun since the last look, */
    bool is_acked;          /* and one was told that it was the first. */
    uint32_t owner;         /* Whom it was delivered to last, */
    uint64_t owned_idle_ms; /* What that one asked for. */
    uint64_t owned_ms;      /* and when: as the command saw the time. */
    char id[ID_BYTES];      /* Empty: not known. */
    uint32_t checked_by;    /* The last check that found it pending. */
};

enum doing { DOES_NOTHING, DOES_READ, DOES_CLAIM };

struct groups_test {
    struct run *run;
    struct store_options options;
    bool is_made, is_quiet, is_stopping;
    uint32_t streams;
    uint32_t born;
    uint32_t pending;
    uint32_t checks;
    enum doing doing[CLIENTS_MAX]; /* What is on its way, or was when the server crashed. */
    uint32_t reads_of[CLIENTS_MAX];
    struct waiting waiting[CLIENTS_MAX];
    struct waiting_clients all;
    struct entry entries[ENTRIES_MAX];
};

static struct groups_test test;

static uint32_t
below(uint32_t bound)
{
    return (uint32_t)prng_below(shard_prng(), bound);
}

/* ---- Answers: lines, of which those that are ids and entries count ---- */

struct lines {
    char *save, *line;
    char id[ID_BYTES]; /* The last one before the line. */
};

static bool
line_next(struct lines *lines, const char *text)
{
    unsigned long long ms, sequence;

    lines->line = strtok_r((char *)text, "\r\n", &lines->save);
    if (lines->line != NULL && strlen(lines->line) < ID_BYTES &&
        sscanf(lines->line, "%llu-%llu", &ms, &sequence) == 2) {
        snprintf(lines->id, sizeof(lines->id), "%s", lines->line);
    }
    return lines->line != NULL;
}

/* The next entry, with its id in lines; false when there is no more. The text is used up. */
static bool
entry_next(struct lines *lines, const char **text, struct entry **entry_out)
{
    unsigned number;

    while (line_next(lines, *text)) {
        *text = NULL;
        if (sscanf(lines->line, "e%u", &number) == 1) {
            RUN_CHECK(test.run, number < test.born, "entry %u was never added", number);
            *entry_out = &test.entries[number];
            return true;
        }
    }
    return false;
}

static uint32_t
number_of(const struct entry *entry)
{
    return (uint32_t)(entry - test.entries);
}

static void
entry_identify(struct entry *entry, const char *id)
{
    RUN_CHECK(test.run, entry->id[0] == '\0' || strcmp(entry->id, id) == 0,
              "entry %u has the ids %s and %s", number_of(entry), entry->id, id);
    snprintf(entry->id, sizeof(entry->id), "%s", id);
}

/* ---- What clients do ---- */

/* Of two deliveries the later one has asked for the time between them. Answers may come in another
 * order. */
static void
idle_check(const struct entry *entry, uint32_t client, uint64_t now_ms, uint64_t idle_ms)
{
    bool is_later = now_ms >= entry->owned_ms;
    uint64_t between = is_later ? now_ms - entry->owned_ms : entry->owned_ms - now_ms;
    uint64_t asked = is_later ? idle_ms : entry->owned_idle_ms;

    RUN_CHECK(test.run, between >= asked,
              "entry %u was given to c%u and c%u, %llu ms between, and %llu were asked for",
              number_of(entry), entry->owner, client, (unsigned long long)between,
              (unsigned long long)asked);
    SOMETIMES_IF(entry->owner != client, "groups: an entry was claimed from another");
}

/* idle_ms: what a claim asked for; 0: it is a first delivery. */
static void
delivered(const struct waiting *waiting, struct entry *entry, uint64_t idle_ms)
{
    RUN_CHECK(test.run, !entry->is_lost, "entry %u comes after all", number_of(entry));
    if (idle_ms == 0) {
        RUN_CHECK(test.run, !entry->is_delivered, "entry %u was delivered to c%u and to c%u",
                  number_of(entry), entry->owner, waiting->index);
        entry->is_delivered = true;
        test.pending++;
    }
    if (entry->owned_ms != 0) {
        idle_check(entry, waiting->index, waiting->now_ms, idle_ms);
    }
    if (waiting->now_ms >= entry->owned_ms) {
        entry->owner = waiting->index;
        entry->owned_ms = waiting->now_ms;
        entry->owned_idle_ms = idle_ms;
    }
}

static void
deliveries_note(const struct waiting *waiting, const char *text, uint64_t idle_ms,
                const bool *was_acked)
{
    struct lines lines = {.save = NULL};
    struct entry *entry;

    RUN_CHECK(test.run, text[0] != '-', "a consumer is answered %.100s", text);
    while (entry_next(&lines, &text, &entry)) {
        RUN_CHECK(test.run, was_acked == NULL || !was_acked[number_of(entry)],
                  "entry %u was claimed after it was acknowledged", number_of(entry));
        entry_identify(entry, lines.id);
        delivered(waiting, entry, idle_ms);
    }
}

static void
group_read(struct waiting *waiting)
{
    static const uint32_t timeouts[] = {0, 0, 1, 5, 40};
    uint32_t timeout = test.is_quiet ? 0 : timeouts[below(ARRAY_COUNT(timeouts))];
    bool may_wait = test.is_quiet || below(4) > 0;
    uint32_t a = below(test.streams);
    uint32_t b = below(test.streams);
    const char *text;

    test.doing[waiting->index] = DOES_READ;
    test.reads_of[waiting->index] = 1U << a | 1U << b;
    if (a == b) {
        text = waiting_call(waiting, may_wait,
                            "XREADGROUP GROUP g c%u COUNT %u BLOCK %u STREAMS x%u >",
                            waiting->index, 1 + below(3), timeout, a);
    } else {
        text = waiting_call(waiting, may_wait,
                            "XREADGROUP GROUP g c%u COUNT %u BLOCK %u STREAMS x%u x%u > >",
                            waiting->index, 1 + below(3), timeout, a, b);
    }
    if (text != NULL) {
        deliveries_note(waiting, text, 0, NULL);
    }
    test.doing[waiting->index] = DOES_NOTHING;
}

/* One that was delivered and has not been acknowledged, as far as is known; NULL: none found. */
static struct entry *
pending_draw(void)
{
    uint32_t from = below(test.born + 1);

    for (uint32_t i = 0; i < test.born; i++) {
        struct entry *entry = &test.entries[(from + i) % test.born];

        if (entry->is_delivered && !entry->is_acked && entry->id[0] != '\0') {
            return entry;
        }
    }
    return NULL;
}

static void
claim(struct waiting *waiting)
{
    struct entry *entry = pending_draw();
    uint32_t idle_ms = 1 + below(30);
    bool *was_acked;
    const char *text;

    if (entry == NULL) {
        return;
    }
    was_acked = calloc(ENTRIES_MAX, sizeof(*was_acked));
    ASSERT(was_acked != NULL);
    for (uint32_t i = 0; i < test.born; i++) {
        was_acked[i] = test.entries[i].is_acked;
    }
    test.doing[waiting->index] = DOES_CLAIM;
    if (below(2) == 0) {
        text = waiting_call(waiting, false, "XCLAIM x%u g c%u %u %s", entry->stream, waiting->index,
                            idle_ms, entry->id);
    } else {
        text = waiting_call(waiting, false, "XAUTOCLAIM x%u g c%u %u 0 COUNT %u", entry->stream,
                            waiting->index, idle_ms, 1 + below(5));
    }
    deliveries_note(waiting, text, idle_ms, was_acked);
    test.doing[waiting->index] = DOES_NOTHING;
    free(was_acked);
}

static void
acknowledge(struct waiting *waiting)
{
    struct entry *entry = pending_draw();
    const char *text;

    if (entry == NULL) {
        return;
    }
    entry->acks++;
    text = waiting_call(waiting, false, "XACK x%u g %s", entry->stream, entry->id);
    if (strcmp(text, ":1\r\n") == 0) {
        RUN_CHECK(test.run, !entry->is_acked, "entry %u was acknowledged twice", number_of(entry));
        entry->is_acked = true;
        test.pending--;
    } else {
        RUN_CHECK(test.run, entry->acks > 1,
                  "entry %u is pending for c%u, and acknowledging answers %s", number_of(entry),
                  entry->owner, text);
    }
}

static void
consumer_run(void *arg)
{
    struct waiting *waiting = arg;

    while (!test.is_stopping) {
        uint32_t draw = below(100);

        if (test.is_quiet) {
            group_read(waiting);
        } else if (draw < 15) {
            claim(waiting);
        } else if (test.pending > PENDING_MAX || draw < 45) {
            acknowledge(waiting);
        } else if (draw < 85) {
            group_read(waiting);
        } else {
            fiber_sleep_us(below(8000));
        }
        if (!test.is_stopping) {
            waiting->is_leaving = false; /* Another client comes. */
        }
    }
    waiting_fini(waiting);
    test.all.running--;
}

static void
add(struct waiting *waiting)
{
    struct lines lines = {.save = NULL};
    struct entry *entry;
    const char *text;

    if (test.born == ENTRIES_MAX) {
        return;
    }
    entry = &test.entries[test.born++];
    *entry = (struct entry){.stream = (uint8_t)below(test.streams)};
    text = waiting_call(waiting, false, "XADD x%u * f e%u", entry->stream, number_of(entry));
    RUN_CHECK(test.run, text[0] == '$' && line_next(&lines, text) && line_next(&lines, NULL),
              "XADD answers %.80s", text);
    entry_identify(entry, lines.id);
    entry->is_added = true;
}

static void
producer_run(void *arg)
{
    struct waiting *waiting = arg;

    while (!test.is_quiet) {
        uint32_t draw = below(100);
        struct waiting *other = &test.waiting[below(test.all.count)];

        if (draw < 60) {
            add(waiting);
        } else if (draw < 70 && other->is_parked && other->shard == shard_id()) {
            SOMETIMES("groups: a consumer left while it waited");
            waiting_leave(other);
        } else {
            fiber_sleep_us(below(4000));
        }
    }
    waiting_fini(waiting);
    test.all.running--;
}

/* ---- What is there ---- */

static void
entries_look(struct waiting *waiting, uint32_t stream)
{
    const char *text = waiting_call(waiting, false, "XRANGE x%u - +", stream);
    struct lines lines = {.save = NULL};
    struct entry *entry;

    RUN_CHECK(test.run, text[0] == '*', "XRANGE answers %.80s", text);
    while (entry_next(&lines, &text, &entry)) {
        RUN_CHECK(test.run, entry->stream == stream && !entry->is_lost, "entry %u is in stream %u",
                  number_of(entry), stream);
        entry_identify(entry, lines.id);
        entry->is_added = true;
        entry->checked_by = test.checks;
    }
    for (uint32_t i = 0; i < test.born; i++) {
        entry = &test.entries[i];
        if (entry->stream == stream && entry->checked_by != test.checks) {
            RUN_CHECK(test.run, !entry->is_added, "entry %u is lost", i);
            entry->is_lost = true;
        }
    }
}

static struct entry *
entry_of_id(uint32_t stream, const char *id)
{
    for (uint32_t i = 0; i < test.born; i++) {
        if (test.entries[i].stream == stream && strcmp(test.entries[i].id, id) == 0) {
            return &test.entries[i];
        }
    }
    run_fail(test.run, "stream %u has %s pending, which is no entry", stream, id);
}

/* It is pending for `owner` since then. */
static void
pending_look(struct entry *entry, uint32_t owner, uint64_t since_ms)
{
    enum doing doing = test.doing[owner];

    RUN_CHECK(test.run, !entry->is_acked, "entry %u is pending, and was acknowledged",
              number_of(entry));
    if (!entry->is_delivered) {
        RUN_CHECK(test.run, doing == DOES_READ || doing == DOES_CLAIM,
                  "entry %u is pending for c%u, who has not read it", number_of(entry), owner);
    } else if (entry->owner != owner || entry->owned_ms != since_ms) {
        RUN_CHECK(test.run, doing == DOES_CLAIM,
                  "entry %u is pending for c%u since %llu, and was given to c%u at %llu",
                  number_of(entry), owner, (unsigned long long)since_ms, entry->owner,
                  (unsigned long long)entry->owned_ms);
    }
    entry->is_delivered = true;
    entry->acks = 0;
    entry->owner = owner;
    entry->owned_ms = since_ms;
    entry->owned_idle_ms = 0;
    entry->checked_by = test.checks;
    test.pending++;
}

/* Lines of XPENDING: an id, its consumer, how long it has been idle, how often delivered. */
static void
pendings_look(struct waiting *waiting, uint32_t stream)
{
    const char *text = waiting_call(waiting, false, "XPENDING x%u g - + 100000", stream);
    uint64_t now_ms = waiting->now_ms;
    struct lines lines = {.save = NULL};
    unsigned owner;

    RUN_CHECK(test.run, text[0] == '*', "XPENDING answers %.80s", text);
    while (line_next(&lines, text)) {
        unsigned long long idle_ms;

        text = NULL;
        if (sscanf(lines.line, "c%u", &owner) == 1) {
            RUN_CHECK(test.run,
                      owner < CLIENTS_MAX && line_next(&lines, NULL) &&
                          sscanf(lines.line, ":%llu", &idle_ms) == 1,
                      "XPENDING has %s", lines.line == NULL ? "no more" : lines.line);
            pending_look(entry_of_id(stream, lines.id), owner, now_ms - idle_ms);
        }
    }
}

/* Delivered ones that are not pending were acknowledged. */
static void
missing_look(void)
{
    for (uint32_t i = 0; i < test.born; i++) {
        struct entry *entry = &test.entries[i];

        if (entry->is_delivered && !entry->is_acked && entry->checked_by != test.checks) {
            RUN_CHECK(test.run, entry->acks > 0,
                      "entry %u was delivered to c%u, and is not pending", i, entry->owner);
            entry->is_acked = true;
        }
    }
}

static err_t
check_all(void *arg)
{
    struct waiting waiting;

    (void)arg;
    waiting_init(&waiting, test.run, 0, shard_id());
    waiting.is_sync = true;
    test.pending = 0;
    test.checks++;
    for (uint32_t i = 0; i < test.streams; i++) {
        if (!test.is_made) {
            const char *text = waiting_call(&waiting, false, "XGROUP CREATE x%u g 0 MKSTREAM", i);

            RUN_CHECK(test.run, strcmp(text, "+OK\r\n") == 0, "XGROUP answers %s", text);
        }
        entries_look(&waiting, i);
    }
    test.checks++;
    for (uint32_t i = 0; i < test.streams; i++) {
        pendings_look(&waiting, i);
    }
    missing_look();
    waiting_fini(&waiting);
    test.is_made = true;
    return ERR_OK;
}

/* Everybody waits, and for long: everything has been delivered of what somebody waits for. */
static void
check_nobody_forgotten(void)
{
    uint32_t awaited = 0;

    for (uint32_t i = 0; i < test.all.count; i++) {
        awaited |= test.waiting[i].is_parked && !test.waiting[i].is_woken ? test.reads_of[i] : 0;
    }
    for (uint32_t i = 0; i < test.born; i++) {
        const struct entry *entry = &test.entries[i];

        RUN_CHECK(test.run,
                  entry->is_lost || entry->is_delivered || (awaited >> entry->stream & 1) == 0,
                  "entry %u is not delivered, and somebody waits for stream %u", i, entry->stream);
    }
}

/* ---- Lives ---- */

static void
start(struct run *run)
{
    err_t err;

    waiting_start(run, &test.options, &test.all);
    err = sim_world_call(run->world, (uint32_t)run_below(run, run->shards), check_all, NULL);
    RUN_CHECK(run, err == ERR_OK, "after the start: %s", err_message(err));
    memset(test.doing, 0, sizeof(test.doing));
}

static void
spawn_clients(struct run *run)
{
    test.is_stopping = false;
    test.is_quiet = false;
    test.all.running = test.all.count;
    for (uint32_t i = 0; i < test.all.count; i++) {
        uint32_t shard = (uint32_t)run_below(run, run->shards);

        waiting_init(&test.waiting[i], run, i, shard);
        test.waiting[i].is_sync = true;
        sim_world_spawn(run->world, shard, "client",
                        i < test.all.producers ? producer_run : consumer_run, &test.waiting[i]);
    }
}

static void
stop(struct run *run)
{
    err_t err;

    test.is_quiet = true;
    waiting_all_wait(run, &test.all);
    check_nobody_forgotten();
    test.is_stopping = true;
    waiting_all_leave(run, &test.all);
    err = sim_world_call(run->world, 0, check_all, NULL);
    RUN_CHECK(run, err == ERR_OK, "at the end: %s", err_message(err));
    waiting_stop(run);
}

static void
live(struct run *run)
{
    start(run);
    run_draw_harmless_faults(run);
    spawn_clients(run);
    RUN_CHECK(run, run_for_operations(run, run_between(run, 20, 400), LIFE_US_MAX), "fatal: %s",
              sim_world_fatal_message(run->world));
    if (run_chance(run, 70)) {
        run_crash(run);
        sim_world_calm(run->world);
    } else {
        sim_world_calm(run->world);
        stop(run);
    }
}

static void
groups_main(struct run *run)
{
    command_table_init();
    memset(&test, 0, sizeof(test));
    test.run = run;
    test.all = (struct waiting_clients){.at = test.waiting};
    test.all.count = (uint32_t)run_between(run, 3, CLIENTS_MAX);
    test.all.producers = (uint32_t)run_between(run, 1, test.all.count - 2);
    test.streams = (uint32_t)run_between(run, 1, STREAMS);
    test.options.durability = WAL_SYNC;
    waiting_options_draw(run, &test.options);
    for (uint32_t life = 0; life < 5 || !run_is_enough(run); life++) {
        live(run);
    }
    start(run);
    spawn_clients(run);
    stop(run);
}

const struct scenario scenario_groups = {
    .name = "groups",
    .text = "streams read by consumers of a group: each entry is with one, and pending is right",
    .weight = 3,
    .main = groups_main,
};
