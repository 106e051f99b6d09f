/* perf/bench/clients.c - closed loops: each client begins an operation when its last one ended.
 *
 * An operation's latency is the time since the previous one of the same client ended, so that
 * nothing is left out. Client 0 runs on the thread that opened the database. */
#include "perf/bench/clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/assert.h"

enum { ASYNC_DEPTH_MAX = 256, BAR_WIDTH = 30 };
#define PROGRESS_EVERY_NS UINT64_C(200000000)

uint32_t
clients_count(const struct bench_options *options, const struct bench_engine *engine,
              const struct workload *workload)
{
    uint32_t clients =
        (workload->flags & WORKLOAD_SINGLE) != 0 || engine->is_async ? 1 : options->threads;

    return clients + ((workload->flags & WORKLOAD_WRITER) != 0);
}

/* ---- Progress. ---- */

static uint64_t
ops_limit(const struct run *run)
{
    return (run->workload->flags & WORKLOAD_FILL) != 0    ? run->space->keys
           : (run->workload->flags & WORKLOAD_COUNT) != 0 ? run->options->ops
           : (run->workload->flags & WORKLOAD_ONCE) != 0  ? 1
                                                          : UINT64_MAX;
}

static void
progress(struct client *client, uint64_t now_ns, uint64_t i)
{
    static const char full[] = "##############################";
    const struct run *run = client->run;
    uint64_t elapsed_ns = now_ns - run->start_ns;
    double done = run->deadline_ns != 0
                      ? (double)elapsed_ns / (double)(run->deadline_ns - run->start_ns)
                      : (double)i / (double)ops_limit(run);
    int width = (int)(MIN(done, 1.0) * BAR_WIDTH);

    client->progress_ns = now_ns;
    if (client->index == 0 && isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K%-13s %-16s [%.*s%*s] %3.0f %%  %.0f /s%s", run->engine->name,
                run->workload->name, width, full, BAR_WIDTH - width, "", 100 * MIN(done, 1.0),
                (double)client->ops * 1e9 / (double)(elapsed_ns + 1),
                run->is_warming ? "  (warming)" : "");
    }
}

/* ---- Loops. ---- */

static bool
batch_step(struct client *client, bool is_last)
{
    const struct bench_engine *engine = client->run->engine;
    uint32_t size = (client->run->workload->flags & WORKLOAD_FILL) != 0 ? engine->fill_batch : 0;
    bool is_fine = true;

    if (size == 0) {
        return true;
    }
    if (client->puts_open > 0 && (is_last || client->puts_open == size)) {
        is_fine = engine->commit(client->session);
        client->puts_open = 0;
    }
    if (is_fine && !is_last) {
        is_fine = client->puts_open > 0 || engine->begin(client->session);
        client->puts_open++;
    }
    return is_fine;
}

static bool
is_over(const struct run *run, uint64_t now_ns)
{
    return (run->deadline_ns != 0 && now_ns >= run->deadline_ns) ||
           atomic_load_explicit(&run->is_stopped, memory_order_relaxed);
}

static bool
loop_plain(struct client *client)
{
    struct run *run = client->run;
    uint64_t before_ns = measure_now_ns(CLOCK_MONOTONIC);
    uint64_t limit = ops_limit(run);

    for (uint64_t i = client->index; i < limit; i += client->step) {
        uint64_t ops = client->ops;
        uint64_t now_ns;

        if (i != client->index && is_over(run, before_ns)) { /* Each client does one at least. */
            break;
        }
        if (!batch_step(client, false) || !run->workload->op(client, i)) {
            return false;
        }
        now_ns = measure_now_ns(CLOCK_MONOTONIC);
        meter_record(client->meter, now_ns, now_ns - before_ns, client->ops - ops);
        before_ns = now_ns;
        if (now_ns - client->progress_ns > PROGRESS_EVERY_NS) {
            progress(client, now_ns, i);
        }
    }
    return batch_step(client, true);
}

struct flight {
    uint64_t number, start_ns;
};

static bool
flight_start(struct client *client, struct flight *flights, uint32_t tag, uint64_t i)
{
    struct run *run = client->run;
    uint64_t number = run->workload->draw(client, i);
    uint8_t key_bytes[KEY_BYTES_MAX];
    struct bench_slice key = {key_bytes, run->space->key_bytes};

    keyspace_key(run->space, number, key_bytes);
    flights[tag] = (struct flight){number, measure_now_ns(CLOCK_MONOTONIC)};
    if ((run->workload->flags & WORKLOAD_READ) != 0) {
        return run->engine->start_get(client->session, tag, key);
    }
    client->bytes_put += key.size + client->values.bytes;
    return run->engine->start_put(
        client->session, tag, key,
        bench_slice_of(value_make(&client->values, number), client->values.bytes));
}

/* Takes one that has ended; its latency runs from its start. */
static bool
flight_land(struct client *client, struct flight *flights, uint32_t *tag_out, uint64_t *now_out)
{
    struct run *run = client->run;
    struct bench_value value = {0};

    if (!run->engine->wait(client->session, tag_out, &value)) {
        return false;
    }
    *now_out = measure_now_ns(CLOCK_MONOTONIC);
    client->ops++;
    meter_record(client->meter, *now_out, *now_out - flights[*tag_out].start_ns, 1);
    return (run->workload->flags & WORKLOAD_READ) == 0 ||
           workload_check(client, flights[*tag_out].number, &value,
                          strcmp(run->workload->name, "readmissing") != 0);
}

static bool
loop_async(struct client *client)
{
    struct run *run = client->run;
    struct flight flights[ASYNC_DEPTH_MAX];
    uint64_t limit = ops_limit(run);
    uint64_t now_ns = measure_now_ns(CLOCK_MONOTONIC);
    uint64_t i = 0;
    uint32_t outstanding = 0;

    while (outstanding < run->options->threads && i < limit) {
        if (!flight_start(client, flights, outstanding, i)) {
            return false;
        }
        outstanding++;
        i++;
    }
    while (outstanding > 0) {
        uint32_t tag = 0;

        if (!flight_land(client, flights, &tag, &now_ns)) {
            return false;
        }
        if (i >= limit || is_over(run, now_ns)) {
            outstanding--;
        } else if (!flight_start(client, flights, tag, i++)) {
            return false;
        }
        if (now_ns - client->progress_ns > PROGRESS_EVERY_NS) {
            progress(client, now_ns, i);
        }
    }
    return true;
}

/* Writes at the rate of --write-rate until the readers' time is over. */
static bool
loop_writer(struct client *client)
{
    struct run *run = client->run;
    uint64_t gap_ns = UINT64_C(1000000000) / run->options->write_rate;
    uint64_t next_ns = measure_now_ns(CLOCK_MONOTONIC);
    bool is_fine = true;

    while (is_fine && !is_over(run, measure_now_ns(CLOCK_MONOTONIC))) {
        uint64_t now_ns = measure_now_ns(CLOCK_MONOTONIC);

        if (now_ns < next_ns) {
            usleep((useconds_t)((next_ns - now_ns) / 1000 + 1));
            continue;
        }
        next_ns += gap_ns;
        is_fine = workload_write_any(client);
    }
    return is_fine;
}

/* ---- A client's life. ---- */

/* The one that stands behind the clients of the workload. */
static bool
is_writer(const struct client *client)
{
    return client->index == client->step;
}

static bool
client_work(struct client *client)
{
    const struct run *run = client->run;
    const struct bench_engine *engine = run->engine;
    bool is_ingest = strcmp(run->workload->name, "ingest") == 0 && engine->ingest_begin != NULL;

    if (is_writer(client)) {
        return loop_writer(client);
    }
    if (engine->is_async) {
        return loop_async(client);
    }
    if (!is_ingest) {
        return loop_plain(client);
    }
    return engine->ingest_begin(client->session) && loop_plain(client) &&
           engine->ingest_end(client->session);
}

static void *
client_main(void *arg)
{
    struct client *client = arg;
    struct run *run = client->run;

    if (run->engine->session_open(run->db, &client->session)) {
        client->is_failed = !client_work(client);
        run->engine->session_close(client->session);
    } else {
        client->is_failed = true;
    }
    if (client->is_failed) {
        atomic_store(&run->is_stopped, true);
    }
    return NULL;
}

static void
client_init(struct client *client, struct run *run, uint32_t index, uint32_t step)
{
    uint64_t seed = run->options->seed * 1000003 + index * 2 + run->is_warming;

    *client = (struct client){.run = run, .index = index, .step = step};
    prng_init(&client->prng, seed);
    value_maker_init(&client->values, seed, run->space->value_bytes);
    client->meter = malloc(sizeof(*client->meter));
    ASSERT(client->meter != NULL);
    meter_reset(client->meter, run->start_ns);
}

static void
client_take(struct client *client, struct meter *meter, struct clients_total *total)
{
    meter_merge(meter, client->meter);
    total->ops += is_writer(client) ? 0 : client->ops;
    total->background_ops += is_writer(client) ? client->ops : 0;
    total->bytes_put += client->bytes_put;
    total->bytes_read += client->bytes_read;
    free(client->meter);
    value_maker_fini(&client->values);
}

bool
clients_run(struct run *run, uint64_t duration_ms, struct meter *meter,
            struct clients_total *total_out)
{
    uint32_t count = clients_count(run->options, run->engine, run->workload);
    uint32_t step = count - ((run->workload->flags & WORKLOAD_WRITER) != 0);
    struct client *clients = calloc(count, sizeof(*clients));
    bool is_fine = true;

    ASSERT(clients != NULL);
    atomic_store(&run->is_stopped, false);
    run->start_ns = measure_now_ns(CLOCK_MONOTONIC);
    run->deadline_ns = duration_ms == 0 ? 0 : run->start_ns + duration_ms * 1000000;
    for (uint32_t i = 0; i < count; i++) {
        client_init(&clients[i], run, i, step);
    }
    run->start_ns = measure_now_ns(CLOCK_MONOTONIC);
    meter_reset(meter, run->start_ns);
    for (uint32_t i = 1; i < count; i++) {
        int error = pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);

        ASSERT(error == 0);
    }
    client_main(&clients[0]);
    *total_out = (struct clients_total){0};
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) {
            pthread_join(clients[i].thread, NULL);
        }
        is_fine = is_fine && !clients[i].is_failed;
        client_take(&clients[i], meter, total_out);
    }
    free(clients);
    return is_fine;
}
