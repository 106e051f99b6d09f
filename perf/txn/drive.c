/* perf/txn/drive.c - closed loops of transactions, and the sums they must leave behind.
 *
 * Keys carry a {tag}: those of even numbers lie on one of two shards, those of odd on the other. */
#include "perf/txn/drive.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"

enum { LOAD_KEYS = 5000, BRANCHES = 16, TELLERS = 10, LOCAL_PERCENT = 85 };
enum { HELD_WRITES = 16, HELD_READS = 64 };
#define NS_A_MS UINT64_C(1000000)

struct drive_run {
    const struct drive_options *options;
    void *db;
    uint64_t start_ns, deadline_ns;
    atomic_bool is_stopped;
};

struct client {
    struct drive_run *run;
    void *session;
    uint32_t index;
    struct prng prng;
    struct meter *meter;
    uint64_t transactions, conflicts, history;
    bool is_failed;
    pthread_t thread;
};

struct txn_workload {
    const char *name;
    void (*make)(struct client *client, struct txn_work *work);
    bool is_held; /* Reads between writes, and a snapshot in the second half. */
    bool has_branches;
    uint32_t sum_a_transaction; /* Over all that is checked. */
};

/* ---- Keys. ---- */

static void
key_make(struct txn_access *access, char kind, uint64_t number, bool is_odd)
{
    memset(access, 0, sizeof(*access));
    snprintf(access->key, sizeof(access->key), "{%s}%c%010llu", is_odd ? "bob" : "alice", kind,
             (unsigned long long)number);
}

static void
access_add(struct txn_work *work, char kind, uint64_t number, bool is_odd)
{
    ASSERT(work->count < TXN_KEYS_MAX);
    key_make(&work->accesses[work->count++], kind, number, is_odd);
}

static uint64_t
draw(struct client *client, uint64_t below)
{
    return prng_below(&client->prng, below);
}

/* ---- Workloads. ---- */

static void
make_rmw(struct client *client, struct txn_work *work)
{
    uint64_t number = draw(client, client->run->options->keys);

    access_add(work, 'k', number, number % 2);
}

static void
make_pair(struct client *client, struct txn_work *work)
{
    uint64_t number = draw(client, client->run->options->keys / 2) * 2;
    uint64_t other = draw(client, client->run->options->keys / 2) * 2;

    access_add(work, 'k', number, false);
    access_add(work, 'k', other != number ? other : (number + 2) % client->run->options->keys,
               false);
}

static void
make_pair_shards(struct client *client, struct txn_work *work)
{
    uint64_t half = client->run->options->keys / 2;

    access_add(work, 'k', draw(client, half) * 2, false);
    access_add(work, 'k', draw(client, half) * 2 + 1, true);
}

static void
make_hot(struct client *client, struct txn_work *work)
{
    (void)client;
    access_add(work, 'k', 0, false);
}

/* As TPC-B: an account, mostly of the branch, a teller, the branch, and a line of history. */
static void
make_tpcb(struct client *client, struct txn_work *work)
{
    uint64_t branch = draw(client, BRANCHES);
    uint64_t teller = branch * TELLERS + draw(client, TELLERS);
    bool is_local = draw(client, 100) < LOCAL_PERCENT;
    uint64_t account_branch = is_local ? branch : draw(client, BRANCHES);
    uint64_t accounts = client->run->options->keys / BRANCHES;
    uint64_t account = account_branch + BRANCHES * draw(client, accounts);

    access_add(work, 'k', account, account_branch % 2);
    access_add(work, 't', teller, branch % 2);
    access_add(work, 'b', branch, branch % 2);
    access_add(work, 'h', client->index * UINT64_C(100000000) + client->history++, branch % 2);
    work->accesses[work->count - 1].is_insert = true;
}

static const struct txn_workload workloads[] = {
    {"rmw", make_rmw, false, false, 1},
    {"pair", make_pair, false, false, 2},
    {"pair-shards", make_pair_shards, false, false, 2},
    {"hot", make_hot, false, false, 1},
    {"tpcb", make_tpcb, false, true, 3},
    {"held", make_rmw, true, false, 1},
};

const struct txn_workload *
txn_workload_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(workloads); i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}

/* ---- Loading, and what must be there in the end. ---- */

/* Calls for each key that the workload adds to. */
static bool
keys_visit(const struct drive_run *run, bool (*visit)(void *arg, const struct txn_access *access),
           void *arg)
{
    struct txn_access access;
    bool is_fine = true;

    for (uint64_t i = 0; i < run->options->keys && is_fine; i++) {
        key_make(&access, 'k', i, run->options->workload->has_branches ? i % BRANCHES % 2 : i % 2);
        is_fine = visit(arg, &access);
    }
    for (uint64_t i = 0; run->options->workload->has_branches && i < BRANCHES && is_fine; i++) {
        key_make(&access, 'b', i, i % 2);
        is_fine = visit(arg, &access);
    }
    for (uint64_t i = 0; run->options->workload->has_branches && i < BRANCHES * TELLERS && is_fine;
         i++) {
        key_make(&access, 't', i, i / TELLERS % 2);
        is_fine = visit(arg, &access);
    }
    return is_fine;
}

struct loading {
    const struct drive_run *run;
    void *session;
    struct txn_access keys[LOAD_KEYS];
    uint32_t count;
};

static bool
loading_flush(struct loading *loading)
{
    bool is_fine = loading->count == 0 || loading->run->options->engine->load(
                                              loading->session, loading->keys, loading->count);

    loading->count = 0;
    return is_fine;
}

static bool
loading_add(void *arg, const struct txn_access *access)
{
    struct loading *loading = arg;

    loading->keys[loading->count++] = *access;
    return loading->count < LOAD_KEYS || loading_flush(loading);
}

static bool
load(struct drive_run *run)
{
    const struct txn_engine *engine = run->options->engine;
    struct loading *loading = calloc(1, sizeof(*loading));
    bool is_fine;

    ASSERT(loading != NULL);
    loading->run = run;
    is_fine = engine->session_open(run->db, &loading->session);
    is_fine = is_fine && keys_visit(run, loading_add, loading) && loading_flush(loading);
    if (loading->session != NULL) {
        engine->session_close(loading->session);
    }
    free(loading);
    return is_fine;
}

struct summing {
    const struct txn_engine *engine;
    void *session;
    uint64_t sum;
};

static bool
summing_add(void *arg, const struct txn_access *access)
{
    struct summing *summing = arg;
    uint64_t number = 0;

    if (!summing->engine->get(summing->session, access->key, &number)) {
        return false;
    }
    summing->sum += number;
    return true;
}

/* Is every increment there, and once? */
static bool
sums_check(const struct drive_run *run, uint64_t transactions)
{
    struct summing summing = {.engine = run->options->engine};
    uint64_t wanted = transactions * run->options->workload->sum_a_transaction;
    bool is_fine;

    if (run->options->engine == &txn_nothing) {
        return true;
    }
    is_fine = summing.engine->session_open(run->db, &summing.session) &&
              keys_visit(run, summing_add, &summing);
    summing.engine->session_close(summing.session);
    if (is_fine && summing.sum != wanted) {
        fprintf(stderr, "%s: %llu transactions left a sum of %llu, not %llu\n",
                summing.engine->name, (unsigned long long)transactions,
                (unsigned long long)summing.sum, (unsigned long long)wanted);
        return false;
    }
    return is_fine;
}

/* ---- Loops. ---- */

static bool
is_over(struct drive_run *run, uint64_t now_ns)
{
    return now_ns >= run->deadline_ns ||
           atomic_load_explicit(&run->is_stopped, memory_order_relaxed);
}

static void
think(const struct drive_run *run)
{
    uint64_t us = run->options->think_us;
    struct timespec pause = {.tv_sec = (time_t)(us / 1000000),
                             .tv_nsec = (long)(us % 1000000 * 1000)};

    if (us > 0) {
        nanosleep(&pause, NULL);
    }
}

static bool
loop_plain(struct client *client)
{
    struct drive_run *run = client->run;
    uint64_t now_ns = measure_now_ns(CLOCK_MONOTONIC);

    while (!is_over(run, now_ns)) {
        struct txn_work work;
        uint64_t before_ns;

        think(run);
        work.count = 0;
        run->options->workload->make(client, &work);
        before_ns = measure_now_ns(CLOCK_MONOTONIC);
        if (!run->options->engine->run(client->session, &work, &client->conflicts)) {
            return false;
        }
        now_ns = measure_now_ns(CLOCK_MONOTONIC);
        client->transactions++;
        meter_record(client->meter, now_ns, now_ns - before_ns, 1);
    }
    return true;
}

/* All clients' transactions under way from one thread. */
static bool
loop_async(struct client *client)
{
    struct drive_run *run = client->run;
    const struct txn_engine *engine = run->options->engine;
    uint64_t starts[TXN_DEPTH_MAX];
    uint32_t depth = run->options->open.clients;
    uint64_t now_ns = measure_now_ns(CLOCK_MONOTONIC);
    uint32_t under_way = 0;
    uint32_t tag = 0;

    for (;;) {
        struct txn_work work;

        if (under_way == depth || (under_way > 0 && is_over(run, now_ns))) {
            if (!engine->wait(client->session, &tag, &client->conflicts)) {
                return false;
            }
            now_ns = measure_now_ns(CLOCK_MONOTONIC);
            client->transactions++;
            under_way--;
            meter_record(client->meter, now_ns, now_ns - starts[tag], 1);
        } else {
            tag = under_way;
        }
        if (is_over(run, now_ns)) {
            if (under_way == 0) {
                return true;
            }
            continue;
        }
        work.count = 0;
        run->options->workload->make(client, &work);
        starts[tag] = measure_now_ns(CLOCK_MONOTONIC);
        if (!engine->start(client->session, tag, &work)) {
            return false;
        }
        under_way++;
    }
}

static void *
client_main(void *arg)
{
    struct client *client = arg;
    const struct txn_engine *engine = client->run->options->engine;

    client->is_failed = !engine->session_open(client->run->db, &client->session) ||
                        !(engine->is_async ? loop_async(client) : loop_plain(client));
    if (client->session != NULL) {
        engine->session_close(client->session);
    }
    if (client->is_failed) {
        atomic_store(&client->run->is_stopped, true);
    }
    return NULL;
}

static void
client_init(struct client *client, struct drive_run *run, uint32_t index)
{
    *client = (struct client){.run = run, .index = index};
    prng_init(&client->prng, run->options->seed * 1000003 + index);
    client->meter = malloc(sizeof(*client->meter));
    ASSERT(client->meter != NULL);
    meter_reset(client->meter, measure_now_ns(CLOCK_MONOTONIC));
}

/* ---- A snapshot held under load. ---- */

struct reads {
    uint64_t count, cpu_ns;
};

static bool
held_writes(struct client *client, uint32_t count)
{
    struct drive_run *run = client->run;

    for (uint32_t i = 0; i < count; i++) {
        struct txn_work work = {.count = 0};
        uint64_t before_ns = measure_now_ns(CLOCK_MONOTONIC);
        uint64_t now_ns;

        run->options->workload->make(client, &work);
        if (!run->options->engine->run(client->session, &work, &client->conflicts)) {
            return false;
        }
        now_ns = measure_now_ns(CLOCK_MONOTONIC);
        client->transactions++;
        meter_record(client->meter, now_ns, now_ns - before_ns, 1);
    }
    return true;
}

static bool
held_reads(struct client *client, uint32_t count, struct reads *reads)
{
    const struct drive_options *options = client->run->options;
    uint64_t before_ns = measure_now_ns(CLOCK_PROCESS_CPUTIME_ID);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = draw(client, options->keys);
        struct txn_access access;
        uint64_t value;

        key_make(&access, 'k', number, number % 2);
        if (!options->engine->get(client->session, access.key, &value)) {
            return false;
        }
    }
    reads->count += count;
    reads->cpu_ns += measure_now_ns(CLOCK_PROCESS_CPUTIME_ID) - before_ns;
    return true;
}

/* Writes as fast as it goes; in the end of the time rounds of reads in between, which are
 * measured. */
static bool
held_half(struct client *client, double *read_us_out)
{
    const struct drive_options *options = client->run->options;
    uint64_t end_ns = measure_now_ns(CLOCK_MONOTONIC) + options->hold_ms * NS_A_MS;
    uint64_t reads_ns = end_ns - MIN(options->duration_ms, options->hold_ms) * NS_A_MS;
    struct reads reads = {0};
    uint64_t now_ns = 0;
    bool is_fine = true;

    while (is_fine && now_ns < end_ns) {
        is_fine = held_writes(client, HELD_WRITES);
        if (is_fine && now_ns >= reads_ns) {
            is_fine = held_reads(client, HELD_READS, &reads);
        }
        now_ns = measure_now_ns(CLOCK_MONOTONIC);
    }
    *read_us_out = (double)reads.cpu_ns / 1e3 / (double)MAX(reads.count, UINT64_C(1));
    return is_fine;
}

/* The same load for the same time, first without a snapshot and then with one. */
static bool
held_run(struct client *client, struct drive_figures *figures)
{
    const struct drive_options *options = client->run->options;
    void *snapshot = NULL;
    bool is_fine;

    if (options->engine->hold == NULL) {
        fprintf(stderr, "%s: no snapshots here\n", options->engine->name);
        return false;
    }
    is_fine = options->engine->session_open(client->run->db, &client->session) &&
              held_half(client, &figures->read_us_free) &&
              options->engine->hold(client->run->db, &snapshot);
    if (is_fine) {
        is_fine = held_half(client, &figures->read_us_held);
        options->engine->let_go(snapshot);
    }
    options->engine->session_close(client->session);
    return is_fine;
}

/* ---- A run. ---- */

static bool
clients_run(struct drive_run *run, struct client *clients, uint32_t count,
            struct drive_figures *figures)
{
    bool is_fine = true;

    if (run->options->workload->is_held) {
        return held_run(&clients[0], figures);
    }
    for (uint32_t i = 1; i < count; i++) {
        int error = pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);

        ASSERT(error == 0);
    }
    client_main(&clients[0]); /* On the thread that opened the database. */
    for (uint32_t i = 1; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
    }
    for (uint32_t i = 0; i < count; i++) {
        is_fine = is_fine && !clients[i].is_failed;
    }
    return is_fine;
}

static void
figures_take(struct client *clients, uint32_t count, const struct measure_usage *before,
             struct drive_figures *figures)
{
    struct meter *meter = clients[0].meter;
    struct measure_usage after;

    measure_usage_get(&after);
    for (uint32_t i = 0; i < count; i++) {
        figures->transactions += clients[i].transactions;
        figures->conflicts += clients[i].conflicts;
        if (i > 0) {
            meter_merge(meter, clients[i].meter);
        }
    }
    figures->seconds = (double)(after.wall_ns - before->wall_ns) / 1e9;
    figures->cpu_us = (double)(after.cpu_ns - before->cpu_ns) / 1e3 /
                      (double)MAX(figures->transactions, UINT64_C(1));
    figures->p50_us = meter_quantile_us(meter, 0.5);
    figures->p99_us = meter_quantile_us(meter, 0.99);
    figures->max_us = (double)meter->max_ns / 1e3;
}

static bool
measured_run(struct drive_run *run, struct drive_figures *figures)
{
    const struct drive_options *options = run->options;
    uint32_t count =
        options->engine->is_async || options->workload->is_held ? 1 : options->open.clients;
    struct client *clients = calloc(count, sizeof(*clients));
    struct measure_usage before;
    bool is_fine;

    ASSERT(clients != NULL);
    for (uint32_t i = 0; i < count; i++) {
        client_init(&clients[i], run, i);
    }
    measure_usage_get(&before);
    run->start_ns = measure_now_ns(CLOCK_MONOTONIC);
    run->deadline_ns =
        options->workload->is_held ? UINT64_MAX : run->start_ns + options->duration_ms * NS_A_MS;
    is_fine = clients_run(run, clients, count, figures);
    figures_take(clients, count, &before, figures);
    for (uint32_t i = 0; i < count; i++) {
        free(clients[i].meter);
    }
    free(clients);
    return is_fine;
}

bool
drive(const struct drive_options *options, struct drive_figures *figures_out)
{
    struct drive_run run = {.options = options};
    struct drive_figures figures = {0};
    bool is_fine;

    if (!options->engine->open(&options->open, &run.db)) {
        return false;
    }
    is_fine = load(&run) && measured_run(&run, &figures) && sums_check(&run, figures.transactions);
    options->engine->close(run.db);
    *figures_out = figures;
    return is_fine;
}
