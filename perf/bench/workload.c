/* perf/bench/workload.c - db_bench's workloads and YCSB's. */
#include "perf/bench/workload.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"

enum {
    SEEK_ROWS = 100,
    READSEQ_ROWS = 1000, /* A call of readseq; its latencies are for so many. */
    BATCH_MAX = 1024,
    YCSB_SCAN_MAX = 100,
};

/* ---- Draws. ---- */

static uint64_t
draw_next(struct client *client, uint64_t i)
{
    return keyspace_number(client->run->space, i % client->run->space->keys);
}

static uint64_t
draw_any(struct client *client, uint64_t i)
{
    const struct keyspace *space = client->run->space;

    (void)i;
    return keyspace_number(space, prng_below(&client->prng, space->keys));
}

static uint64_t
draw_absent(struct client *client, uint64_t i)
{
    return keyspace_absent(client->run->space, client->run->absent_from + i);
}

/* ---- Single operations. ---- */

static bool
put_number(struct client *client, uint64_t number)
{
    const struct run *run = client->run;
    struct bench_slice value = {value_make(&client->values, number), client->values.bytes};
    uint8_t key[KEY_BYTES_MAX];

    keyspace_key(run->space, number, key);
    client->ops++;
    client->bytes_put += run->space->key_bytes + value.size;
    return run->engine->put(client->session, bench_slice_of(key, run->space->key_bytes), value);
}

static bool
op_put(struct client *client, uint64_t i)
{
    return put_number(client, client->run->workload->draw(client, i));
}

bool
workload_write_any(struct client *client)
{
    return put_number(client, draw_any(client, 0));
}

static bool
op_ingest(struct client *client, uint64_t i)
{
    const struct run *run = client->run;
    uint64_t number = draw_next(client, i);
    struct bench_slice value = {value_make(&client->values, number), client->values.bytes};
    uint8_t key[KEY_BYTES_MAX];

    if (run->engine->ingest_put == NULL) {
        return put_number(client, number);
    }
    keyspace_key(run->space, number, key);
    client->ops++;
    client->bytes_put += run->space->key_bytes + value.size;
    return run->engine->ingest_put(client->session, bench_slice_of(key, run->space->key_bytes),
                                   value);
}

static bool
op_remove(struct client *client, uint64_t i)
{
    const struct run *run = client->run;
    uint8_t key[KEY_BYTES_MAX];

    keyspace_key(run->space, run->workload->draw(client, i), key);
    client->ops++;
    client->bytes_put += run->space->key_bytes;
    return run->engine->remove(client->session, bench_slice_of(key, run->space->key_bytes));
}

bool
workload_check(struct client *client, uint64_t number, const struct bench_value *value,
               bool is_expected)
{
    const struct keyspace *space = client->run->space;
    uint8_t key[KEY_BYTES_MAX + 1] = {0};
    bool is_right = value->is_found ? is_expected && value->size == space->value_bytes &&
                                          value->mark == value_mark(number, value->size)
                                    : !is_expected || !space->is_whole;

    client->bytes_read += space->key_bytes + space->value_bytes;
    if (!is_right) {
        keyspace_key(space, number, key);
        fprintf(stderr, "%s: a wrong answer for key %s: %s\n", client->run->engine->name, key,
                !value->is_found ? "it is not there"
                : is_expected    ? "not its value"
                                 : "it was never written");
    }
    return is_right;
}

static bool
get_number(struct client *client, uint64_t number, bool is_expected)
{
    const struct run *run = client->run;
    struct bench_value value = {0};
    uint8_t key[KEY_BYTES_MAX];

    keyspace_key(run->space, number, key);
    client->ops++;
    return run->engine->get(client->session, bench_slice_of(key, run->space->key_bytes), &value) &&
           workload_check(client, number, &value, is_expected);
}

static bool
op_get(struct client *client, uint64_t i)
{
    return get_number(client, client->run->workload->draw(client, i), true);
}

static bool
op_get_absent(struct client *client, uint64_t i)
{
    return get_number(client, client->run->workload->draw(client, i), false);
}

static bool
multi_get(struct client *client, const struct bench_slice *keys, uint32_t count,
          struct bench_value *values)
{
    const struct bench_engine *engine = client->run->engine;
    bool is_fine = true;

    if (engine->multi_get != NULL) {
        return engine->multi_get(client->session, keys, count, values);
    }
    for (uint32_t i = 0; i < count && is_fine; i++) {
        is_fine = engine->get(client->session, keys[i], &values[i]);
    }
    return is_fine;
}

static bool
op_multi_get(struct client *client, uint64_t i)
{
    const struct run *run = client->run;
    uint8_t bytes[BATCH_MAX][KEY_BYTES_MAX];
    struct bench_slice keys[BATCH_MAX];
    struct bench_value values[BATCH_MAX];
    uint64_t numbers[BATCH_MAX];
    uint32_t count = run->options->batch;
    bool is_fine;

    for (uint32_t j = 0; j < count; j++) {
        numbers[j] = draw_any(client, i);
        keyspace_key(run->space, numbers[j], bytes[j]);
        keys[j] = bench_slice_of(bytes[j], run->space->key_bytes);
        values[j].is_found = false;
    }
    client->ops += count;
    is_fine = multi_get(client, keys, count, values);
    for (uint32_t j = 0; j < count && is_fine; j++) {
        is_fine = workload_check(client, numbers[j], &values[j], true);
    }
    return is_fine;
}

/* ---- Scans. ---- */

static bool
scan_from(struct client *client, uint64_t number, uint64_t count)
{
    const struct run *run = client->run;
    struct bench_rows rows = {0};
    uint8_t key[KEY_BYTES_MAX];
    bool is_fine;

    keyspace_key(run->space, number, key);
    is_fine = run->engine->seek(client->session, bench_slice_of(key, run->space->key_bytes)) &&
              run->engine->next(client->session, count, &rows);
    run->engine->unseek(client->session);
    client->ops++;
    client->bytes_read += rows.bytes;
    if (is_fine && rows.count == 0 && run->space->is_whole) {
        fprintf(stderr, "%s: a scan from a key that is there is empty\n", run->engine->name);
        is_fine = false;
    }
    return is_fine;
}

static bool
op_seek(struct client *client, uint64_t i)
{
    return scan_from(client, draw_any(client, i), SEEK_ROWS);
}

/* One operation is a row; a call takes many. The cursor begins anew at the end. */
static bool
rows_read(struct client *client,
          bool (*next)(void *session, uint64_t count, struct bench_rows *rows))
{
    const struct bench_engine *engine = client->run->engine;
    struct bench_rows rows = {0};

    if (!client->has_cursor && !engine->seek(client->session, bench_slice_of("", 0))) {
        return false;
    }
    client->has_cursor = true;
    if (!next(client->session, READSEQ_ROWS, &rows)) {
        return false;
    }
    if (rows.count < READSEQ_ROWS) {
        engine->unseek(client->session);
        client->has_cursor = false;
    }
    client->ops += rows.count;
    client->bytes_read += rows.bytes;
    return true;
}

static bool
op_readseq(struct client *client, uint64_t i)
{
    (void)i;
    return rows_read(client, client->run->engine->next);
}

static bool
op_readseq_batch(struct client *client, uint64_t i)
{
    (void)i;
    return rows_read(client, client->run->engine->batch_next);
}

/* ---- Compaction: an operation is a key of the store. ---- */

static bool
op_compact(struct client *client, uint64_t i)
{
    const struct keyspace *space = client->run->space;

    (void)i;
    client->ops += space->keys + space->inserted;
    client->bytes_put += client->ops * (space->key_bytes + space->value_bytes);
    return client->run->engine->compact(client->run->db);
}

/* ---- YCSB. Requests go to keys by a scattered zipfian rank; in D to the latest. ---- */

static uint64_t
ycsb_key(struct client *client)
{
    const struct zipf *zipf = &client->run->zipf;

    return keyspace_number(client->run->space, zipf_scatter(zipf, zipf_draw(zipf, &client->prng)));
}

static bool
ycsb_insert(struct client *client)
{
    struct keyspace *space = client->run->space;
    uint64_t index = __atomic_fetch_add(&space->inserted, 1, __ATOMIC_RELAXED);

    return put_number(client, keyspace_number(space, space->keys + index));
}

static bool
ycsb_read_latest(struct client *client)
{
    const struct run *run = client->run;
    const struct keyspace *space = run->space;
    uint64_t newest = space->keys + __atomic_load_n(&space->inserted, __ATOMIC_RELAXED) - 1;
    uint64_t index = newest - MIN(zipf_draw(&run->zipf, &client->prng), newest);
    uint64_t number = keyspace_number(space, index);
    struct bench_value value = {0};
    uint8_t key[KEY_BYTES_MAX];

    keyspace_key(space, number, key);
    client->ops++;
    if (!run->engine->get(client->session, bench_slice_of(key, space->key_bytes), &value)) {
        return false;
    }
    /* Another client may have counted its key and not yet written it. */
    return (!value.is_found && client->step > 1 && index >= space->keys) ||
           workload_check(client, number, &value, true);
}

static bool
op_ycsb_update(struct client *client, uint32_t percent_read)
{
    return prng_below(&client->prng, 100) < percent_read
               ? get_number(client, ycsb_key(client), true)
               : put_number(client, ycsb_key(client));
}

static bool
op_ycsb_a(struct client *client, uint64_t i)
{
    (void)i;
    return op_ycsb_update(client, 50);
}

static bool
op_ycsb_b(struct client *client, uint64_t i)
{
    (void)i;
    return op_ycsb_update(client, 95);
}

static bool
op_ycsb_c(struct client *client, uint64_t i)
{
    (void)i;
    return get_number(client, ycsb_key(client), true);
}

static bool
op_ycsb_d(struct client *client, uint64_t i)
{
    (void)i;
    return prng_below(&client->prng, 100) < 95 ? ycsb_read_latest(client) : ycsb_insert(client);
}

static bool
op_ycsb_e(struct client *client, uint64_t i)
{
    (void)i;
    return prng_below(&client->prng, 100) < 95
               ? scan_from(client, ycsb_key(client), 1 + prng_below(&client->prng, YCSB_SCAN_MAX))
               : ycsb_insert(client);
}

/* Half reads, half a read and a write of the same key, which count as one operation. */
static bool
op_ycsb_f(struct client *client, uint64_t i)
{
    uint64_t number = ycsb_key(client);
    bool is_fine = get_number(client, number, true);

    (void)i;
    if (is_fine && prng_below(&client->prng, 2) == 0) {
        is_fine = put_number(client, number);
        client->ops--;
    }
    return is_fine;
}

/* ---- The table. ---- */

#define MIXED (WORKLOAD_MIXED | WORKLOAD_WRITE)

static const struct workload workloads[] = {
    {"fillseq", op_put, draw_next, KEYSPACE_DENSE, WORKLOAD_FILL | WORKLOAD_WRITE},
    {"fillrandom", op_put, draw_next, KEYSPACE_RANDOM,
     WORKLOAD_FILL | WORKLOAD_WRITE | WORKLOAD_ASYNC},
    {"ingest", op_ingest, draw_next, KEYSPACE_SPREAD,
     WORKLOAD_FILL | WORKLOAD_WRITE | WORKLOAD_SINGLE},
    {"fillsync", op_put, draw_next, 0, WORKLOAD_WRITE | WORKLOAD_SYNC | WORKLOAD_ASYNC},
    {"overwrite", op_put, draw_any, 0, WORKLOAD_COUNT | WORKLOAD_WRITE | WORKLOAD_ASYNC},
    {"deleterandom", op_remove, draw_any, 0, WORKLOAD_COUNT | WORKLOAD_WRITE | WORKLOAD_HOLES},
    {"readrandom", op_get, draw_any, 0, WORKLOAD_READ | WORKLOAD_ASYNC},
    {"readmissing", op_get_absent, draw_absent, 0, WORKLOAD_READ | WORKLOAD_ASYNC},
    {"multireadrandom", op_multi_get, NULL, 0, WORKLOAD_READ},
    {"seekrandom", op_seek, NULL, 0, WORKLOAD_READ},
    {"readseq", op_readseq, NULL, 0, WORKLOAD_READ},
    {"readseq-batch", op_readseq_batch, NULL, 0, WORKLOAD_READ},
    {"readwhilewriting", op_get, draw_any, 0, MIXED | WORKLOAD_WRITER},
    {"compact", op_compact, NULL, 0, WORKLOAD_WRITE | WORKLOAD_SINGLE | WORKLOAD_ONCE},
    {"ycsb-a", op_ycsb_a, NULL, 0, MIXED},
    {"ycsb-b", op_ycsb_b, NULL, 0, MIXED},
    {"ycsb-c", op_ycsb_c, NULL, 0, WORKLOAD_READ},
    {"ycsb-d", op_ycsb_d, NULL, 0, MIXED},
    {"ycsb-e", op_ycsb_e, NULL, 0, MIXED},
    {"ycsb-f", op_ycsb_f, NULL, 0, MIXED},
};

const struct workload *
workload_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(workloads); i++) {
        if (strcmp(name, workloads[i].name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}

bool
workload_fits(const struct workload *workload, const struct bench_engine *engine)
{
    if (engine->is_async) {
        return (workload->flags & WORKLOAD_ASYNC) != 0;
    }
    return (workload->op != op_compact || engine->compact != NULL) &&
           (workload->op != op_readseq_batch || engine->batch_next != NULL);
}
