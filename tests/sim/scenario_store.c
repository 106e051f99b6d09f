/* tests/sim/scenario_store.c - the whole storage of a shard: log, tables, value logs.
 *
 * Fibers of several shards commit batches, read, scan snapshots, flush and compact, and crash.
 * Checked against the model (model.h): a batch is there as a whole or not at all, a prefix of the
 * history survives, what was acknowledged or shown to a reader that waited is in it, timestamps
 * never come back, counters follow their batches. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "tests/sim/scenarios.h"
#include "tests/sim/stores.h"
#include "txn/checkpoint.h"
#include "txn/store.h"

enum {
    WORKERS_MAX = 8,
    BATCH_OPS_MAX = 6,
    HEAL_US_MAX = 10 * 1000 * 1000,
    RETRY_US = 6 * 1000 * 1000,
    SLOW_US_MAX = 200 * 1000,
    LARGE_BYTES_MAX = 200 << 10,
    WALL_STEP_US_MAX = 150 * 1000 * 1000, /* Further than the store's clock follows at once. */
};

struct stores stores;
static struct model models[SIM_SHARDS_MAX];

static struct store_shard *
here(void)
{
    return &stores.shards[shard_id()];
}

/* May this call have failed so, with the faults of this run? */
static bool
is_excused(err_t err)
{
    if (stores.has_rot && (err == ERR_CORRUPT || err == ERR_FORMAT || err == ERR_IO)) {
        stores.rot_errors++;
        return true;
    }
    return stores.has_errors && (err == ERR_IO || err == ERR_NO_SPACE);
}

#define CHECK_OK(err, what)                                                                        \
    RUN_CHECK(stores.run, (err) == ERR_OK || is_excused(err), "shard %u: %s: %s: %s", shard_id(),  \
              (what), err_name(err), err_message(err))

/* ---- Committing. ---- */

static uint32_t
draw_value_bytes(void)
{
    struct prng *prng = shard_prng();

    if (prng_below(prng, 1000) < stores.large_percent) {
        return LSM_VALUE_INLINE_BYTES_MAX + 1 + (uint32_t)prng_below(prng, LARGE_BYTES_MAX);
    }
    return MODEL_VALUE_HEAD_BYTES +
           (uint32_t)prng_below(prng, prng_below(prng, 8) == 0 ? stores.value_bytes_max : 100);
}

static void
op_draw_range(const struct model *model, struct model_op *op)
{
    op->kind = MODEL_DELETE_RANGE;
    op->key = 1 + (uint32_t)prng_below(shard_prng(), model->key_count - 1);
    op->key_end = op->key + 1 + (uint32_t)prng_below(shard_prng(), 6);
    op->key_end = MIN(op->key_end, model->key_count);
}

static void
op_draw(const struct model *model, struct model_op *op)
{
    uint64_t kind = prng_below(shard_prng(), 10);

    *op = (struct model_op){0};
    op->key = 1 + (uint32_t)prng_below(shard_prng(), model->key_count - 1);
    if (kind < 6) {
        op->kind = MODEL_PUT;
        op->id = stores.next_id++;
        op->bytes = draw_value_bytes();
        op->is_expired = prng_below(shard_prng(), 12) == 0;
    } else if (kind < 9) {
        op->kind = MODEL_DELETE;
    } else {
        op->kind = MODEL_COUNTER_ADD;
        op->counter = (uint32_t)prng_below(shard_prng(), MODEL_COUNTERS);
        op->delta = (int64_t)prng_below(shard_prng(), 100) - 50;
    }
}

/* Distinct keys; a range delete comes first, so that what order means is not asked. */
static uint32_t
batch_draw(const struct model *model, uint64_t id, struct model_op *ops)
{
    uint32_t wanted = 1 + (uint32_t)prng_below(shard_prng(), BATCH_OPS_MAX);
    uint32_t count = 0;

    ops[count++] =
        (struct model_op){.kind = MODEL_PUT, .key = 0, .id = id, .bytes = MODEL_VALUE_HEAD_BYTES};
    if (prng_below(shard_prng(), 20) == 0) {
        op_draw_range(model, &ops[count++]);
    }
    while (count < wanted + 1) {
        struct model_op op;
        bool is_new = true;

        op_draw(model, &op);
        for (uint32_t i = 0; i < count && op.kind != MODEL_COUNTER_ADD; i++) {
            is_new = is_new && (ops[i].kind == MODEL_COUNTER_ADD ||
                                ops[i].kind == MODEL_DELETE_RANGE || ops[i].key != op.key);
        }
        wanted -= !is_new;
        if (is_new) {
            ops[count++] = op;
        }
    }
    return count;
}

static void
batch_add(const struct model *model, struct store_batch *batch, const struct model_op *op,
          struct buf *values)
{
    uint16_t slot = (uint16_t)(op->key * 37 % 16384);
    struct slice end;

    switch (op->kind) {
    case MODEL_PUT:
        model_value_fill(model, op->key, op->id, op->bytes, values->data + values->size);
        store_batch_put(batch, slot, model_key_name(model, op->key),
                        slice_of(values->data + values->size, op->bytes), op->is_expired ? 1 : 0);
        values->size += op->bytes;
        break;
    case MODEL_DELETE:
        store_batch_delete(batch, slot, model_key_name(model, op->key));
        break;
    case MODEL_DELETE_RANGE:
        end = op->key_end < model->key_count ? model_key_name(model, op->key_end) : SLICE("l");
        store_batch_delete_range(batch, model_key_name(model, op->key), end);
        break;
    case MODEL_COUNTER_ADD:
        store_batch_counter_add(batch, op->counter, op->delta);
        break;
    }
}

static int
op_compare(const void *a, const void *b)
{
    const struct model_op *left = a;
    const struct model_op *right = b;

    return left->key < right->key ? -1 : left->key > right->key;
}

static bool
op_is_row(const struct model_op *op)
{
    return op->key > 0 && (op->kind == MODEL_PUT || op->kind == MODEL_DELETE);
}

static YIELDS err_t
ingest_add(const struct model *model, struct lsm_ingest *ingest, const struct model_op *op)
{
    struct lsm_entry entry = {.key = model_key_name(model, op->key),
                              .slot = (uint16_t)(op->key * 37 % 16384),
                              .kind = op->kind == MODEL_PUT ? LSM_PUT : LSM_DELETE,
                              .expire_us = op->is_expired ? 1 : 0};
    struct buf value;
    err_t err;

    buf_init(&value, MEM_SESSIONS);
    if (op->kind == MODEL_PUT) {
        buf_reserve(&value, op->bytes);
        model_value_fill(model, op->key, op->id, op->bytes, value.data);
        entry.value = slice_of(value.data, op->bytes);
    }
    err = lsm_ingest_add(ingest, &entry);
    buf_fini(&value);
    return err;
}

/* The puts and deletes of a batch as stamped tables; all but the first write, which says whose the
 * batch is. */
static YIELDS err_t
ingest_build(const struct store_shard *shard, const struct model_op *ops, uint32_t count,
             struct lsm_ingest *ingest)
{
    struct model_op sorted[MODEL_OPS_MAX];
    uint32_t rows = 0;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        if (op_is_row(&ops[i])) {
            sorted[rows++] = ops[i];
        }
    }
    qsort(sorted, rows, sizeof(sorted[0]), op_compare);
    for (uint32_t i = 0; i < rows; i++) {
        TRY(ingest_add(shard->model, ingest, &sorted[i]));
    }
    err = lsm_ingest_finish(ingest);
    SOMETIMES("store: a batch had ingested tables");
out:
    return err;
}

/* Returns the step, or 0 when the batch was refused. */
static uint64_t
commit_one(lsn_t *lsn_out)
{
    struct store_shard *shard = here();
    struct model_op ops[MODEL_OPS_MAX];
    struct store_batch batch;
    struct buf values;
    uint64_t id = stores.next_id++;
    uint32_t count = batch_draw(shard->model, id, ops);
    size_t bytes = 0;
    uint64_t ts = 0;
    uint64_t step = 0;
    struct lsm_ingest *ingest = NULL;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        bytes += ops[i].kind == MODEL_PUT ? ops[i].bytes : 0;
    }
    buf_init(&values, MEM_SESSIONS);
    buf_reserve(&values, bytes);
    store_batch_init(&batch);
    if (prng_below(shard_prng(), 25) == 0) {
        ingest = lsm_ingest_new(store_lsm(shard->store));
        err = ingest_build(shard, ops, count, ingest);
        store_batch_ingest(&batch, ingest);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ingest == NULL || !op_is_row(&ops[i])) {
            batch_add(shard->model, &batch, &ops[i], &values);
        }
    }
    if (err == ERR_OK) {
        err = store_commit(shard->store, &batch, &ts, lsn_out);
    }
    if (err == ERR_OK) { /* It took effect just now: nobody has run since. */
        step = model_commit(shard->model, id, ops, count, ts, *lsn_out);
        shard->commits++;
    }
    store_batch_fini(&batch);
    lsm_ingest_free(&ingest);
    buf_fini(&values);
    stores.run->operations++;
    CHECK_OK(err, "store_commit");
    return step;
}

static void
commit_and_wait(void)
{
    struct store_shard *shard = here();
    lsn_t lsn = 0;
    uint64_t step = commit_one(&lsn);

    if (step == 0) {
        SOMETIMES("store: a commit was refused");
        fiber_sleep_us(20000);
        return;
    }
    if (prng_below(shard_prng(), 2) == 0) {
        store_wait_durable(shard->store, lsn);
        shard->model->durable = MAX(shard->model->durable, step); /* Its client was told. */
    }
}

/* ---- Reading. ---- */

/* What a reader at `sync` was told must survive, as a commit must. */
static void
show(uint64_t step, lsn_t lsn)
{
    struct store_shard *shard = here();
    struct model *model = shard->model;

    if (lsn != 0 && prng_below(shard_prng(), 2) == 0) {
        return; /* The reader went away before its answer was due. */
    }
    if (lsn != 0) {
        store_wait_durable(shard->store, lsn);
        SOMETIMES("store: a reader waited for what it had read");
    }
    model->durable = MAX(model->durable, step);
}

static void
get_one(void)
{
    struct store_shard *shard = here();
    struct model *model = shard->model;
    uint32_t key = (uint32_t)prng_below(shard_prng(), model->key_count);
    uint64_t from = model->step_count;
    struct lsm_value value = {0};
    struct arena arena;
    uint64_t step;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    err = store_get(shard->store, model_key_name(model, key), &arena, &value);
    stores.run->operations++;
    CHECK_OK(err, "store_get");
    if (err == ERR_OK) {
        step = model_check_read(model, key, from, model->step_count, value.is_found, value.value,
                                "get");
        show(step, value.lsn);
    }
    arena_fini(&arena);
}

static void
get_many(void)
{
    enum { COUNT_MAX = 8 };
    struct store_shard *shard = here();
    struct model *model = shard->model;
    uint32_t count = 1 + (uint32_t)prng_below(shard_prng(), COUNT_MAX);
    uint64_t from = model->step_count;
    uint32_t keys[COUNT_MAX];
    struct slice names[COUNT_MAX];
    struct lsm_value values[COUNT_MAX];
    struct arena arena;
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        keys[i] = (uint32_t)prng_below(shard_prng(), model->key_count);
        names[i] = model_key_name(model, keys[i]);
    }
    arena_init(&arena, MEM_SESSIONS);
    err = store_multi_get(shard->store, names, count, &arena, values);
    stores.run->operations++;
    CHECK_OK(err, "store_multi_get");
    for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
        model_check_read(model, keys[i], from, model->step_count, values[i].is_found,
                         values[i].value, "multi-get");
    }
    arena_fini(&arena);
}

struct scan {
    struct lsm_iter *iter;
    const struct model *model;
    uint64_t step;
    uint32_t low;
    uint32_t high; /* Keys low..high - 1. */
    bool is_backward;
};

static bool
scan_expects(const struct scan *scan, uint32_t key)
{
    return model_is_live(model_at(scan->model, key, scan->step));
}

static err_t
scan_check_entry(const struct scan *scan, uint32_t key)
{
    const struct lsm_entry *entry = lsm_iter_entry(scan->iter);
    const struct model_version *version = model_at(scan->model, key, scan->step);
    struct slice value;
    struct arena arena;
    err_t err;

    RUN_CHECK(stores.run, slice_equal(entry->key, model_key_name(scan->model, key)),
              "shard %u: a scan at step %llu stands at a key of %zu bytes instead of key %u",
              shard_id(), (unsigned long long)scan->step, entry->key.size, key);
    RUN_CHECK(stores.run, key == 0 || entry->slot == key * 37 % 16384, "shard %u: key %u, slot %u",
              shard_id(), key, entry->slot);
    arena_init(&arena, MEM_SESSIONS);
    err = lsm_iter_value(scan->iter, &arena, &value);
    if (err == ERR_OK) {
        model_check_value(scan->model, key, version, value, "scan");
    }
    arena_fini(&arena);
    return err;
}

/* Every key of the range that is live at the step, in order, and no other. */
static err_t
scan_run(const struct scan *scan)
{
    err_t err = scan->is_backward ? lsm_iter_last(scan->iter) : lsm_iter_first(scan->iter);

    TRY(err);
    for (uint32_t i = scan->low; i < scan->high; i++) {
        uint32_t key = scan->is_backward ? scan->high - 1 - (i - scan->low) : i;

        if (!scan_expects(scan, key)) {
            continue;
        }
        RUN_CHECK(stores.run, lsm_iter_is_valid(scan->iter),
                  "shard %u: a scan %s at step %llu ended before key %u", shard_id(),
                  scan->is_backward ? "backward" : "forward", (unsigned long long)scan->step, key);
        TRY(scan_check_entry(scan, key));
        TRY(scan->is_backward ? lsm_iter_previous(scan->iter) : lsm_iter_next(scan->iter));
    }
    RUN_CHECK(stores.run, !lsm_iter_is_valid(scan->iter),
              "shard %u: a scan at step %llu shows more keys than there are", shard_id(),
              (unsigned long long)scan->step);
out:
    return err;
}

static err_t
scan_range(const struct store_snapshot *snapshot, uint64_t step, uint32_t low, uint32_t high)
{
    struct store_shard *shard = here();
    struct model *model = shard->model;
    bool is_all = high == model->key_count;
    struct scan scan = {.model = model,
                        .step = step,
                        .low = low,
                        .high = high,
                        .is_backward = prng_below(shard_prng(), 3) == 0};
    err_t err;

    TRY(store_scan_open(shard->store, snapshot, model_key_name(model, low),
                        is_all ? (struct slice){0} : model_key_name(model, high), &scan.iter));
    err = scan_run(&scan);
    lsm_iter_close(&scan.iter);
out:
    return err;
}

/* At a snapshot, perhaps held for a while, time stands still. */
static void
scan_some(void)
{
    struct store_shard *shard = here();
    struct model *model = shard->model;
    struct store_snapshot snapshot;
    uint64_t step;
    uint32_t low = (uint32_t)prng_below(shard_prng(), model->key_count);
    uint32_t high = low + 1 + (uint32_t)prng_below(shard_prng(), model->key_count - low);
    err_t err = ERR_OK;

    store_snapshot_take(shard->store, &snapshot);
    step = model->step_count;
    for (uint64_t rounds = 1 + prng_below(shard_prng(), 3); rounds > 0 && err == ERR_OK; rounds--) {
        if (prng_below(shard_prng(), 2) == 0) {
            fiber_sleep_us(prng_below(shard_prng(), 20000));
        }
        err = scan_range(&snapshot, step, low, high);
        stores.run->operations++;
    }
    store_snapshot_drop(shard->store, &snapshot);
    CHECK_OK(err, "a scan");
}

/* ---- Opening: what is there? ---- */

static err_t
check_counters(struct store_shard *shard, uint64_t step)
{
    for (uint32_t i = 0; i < MODEL_COUNTERS; i++) {
        int64_t found = store_counter(shard->store, i);

        RUN_CHECK(stores.run, found == shard->model->steps[step].counters[i],
                  "shard %u: counter %u is %lld, at step %llu it was %lld", shard_id(), i,
                  (long long)found, (unsigned long long)step,
                  (long long)shard->model->steps[step].counters[i]);
    }
    return ERR_OK;
}

static err_t
check_all(struct store_shard *shard)
{
    struct model *model = shard->model;
    struct store_snapshot snapshot;
    struct lsm_value value = {0};
    struct arena arena;
    uint64_t step;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    store_snapshot_take(shard->store, &snapshot);
    TRY(store_get(shard->store, model_key_name(model, 0), &arena, &value));
    step = model_step_of(model, value.is_found ? value.value : (struct slice){0});
    RUN_CHECK(stores.run, stores.opened == NULL || step <= stores.opened->to[shard_id()],
              "shard %u of %s stands at step %llu, it was made at step %llu", shard_id(),
              stores.opened->name, (unsigned long long)step,
              (unsigned long long)stores.opened->to[shard_id()]);
    model_settle(model, step);
    TRY(check_counters(shard, step));
    TRY(scan_range(&snapshot, step, 0, model->key_count));
    for (uint32_t key = 0; key < model->key_count; key++) {
        arena_reset(&arena);
        TRY(store_get(shard->store, model_key_name(model, key), &arena, &value));
        model_check_read(model, key, step, step, value.is_found, value.value, "get after start");
    }
    if (prng_below(shard_prng(), 2) == 0) {
        TRY(lsm_verify(store_lsm(shard->store)));
    }
out:
    store_snapshot_drop(shard->store, &snapshot);
    arena_fini(&arena);
    return err;
}

static void
on_durable(void *arg, lsn_t durable)
{
    model_durable(arg, durable);
}

err_t
stores_open(void *arg)
{
    struct store_shard *shard = here();
    struct store_options options = stores.options;
    char dir[48];
    err_t err;

    (void)arg;
    shard->store = NULL;
    snprintf(dir, sizeof(dir), "%s%sshard-%u", stores.opened != NULL ? stores.opened->name : "",
             stores.opened != NULL ? "/" : "", shard_id());
    options.dir = dir;
    TRY(store_open(&options, &shard->store));
    TRY(check_all(shard));
    /* Not before: positions of this life say nothing about steps that the last one lost. */
    store_on_durable(shard->store, on_durable, shard->model);
out:
    return err;
}

err_t
stores_verify(void *arg)
{
    (void)arg;
    return lsm_verify(store_lsm(here()->store));
}

static err_t
open_unchecked(void *arg)
{
    struct store_options options = stores.options;
    char dir[16];

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    options.dir = dir;
    return store_open(&options, &here()->store);
}

static err_t
close_store(void *arg)
{
    struct store_shard *shard = here();

    (void)arg;
    store_close(&shard->store);
    shard->model->durable = shard->model->step_count;
    return ERR_OK;
}

/* ---- Working. ---- */

static void
maintain(void)
{
    struct lsm *lsm = store_lsm(here()->store);
    const struct model *model = here()->model;
    uint32_t low = (uint32_t)prng_below(shard_prng(), model->key_count);
    err_t err;

    switch (prng_below(shard_prng(), 4)) {
    case 0:
        err = lsm_compact(lsm, model_key_name(model, low), (struct slice){0});
        CHECK_OK(err, "lsm_compact");
        break;
    case 1:
        err = lsm_verify(lsm);
        CHECK_OK(err, "lsm_verify");
        break;
    default:
        err = lsm_flush(lsm);
        CHECK_OK(err, "lsm_flush");
        break;
    }
}

/* ---- Checkpoints of all shards. ---- */

static void
checkpoint_begin(struct run *run, struct store_checkpoint *checkpoint, const char *prefix)
{
    *checkpoint = (struct store_checkpoint){.state = CHECKPOINT_BEGUN};
    snprintf(checkpoint->name, sizeof(checkpoint->name), "%s-%llu", prefix,
             (unsigned long long)stores.next_id++);
    for (uint32_t i = 0; i < run->shards; i++) {
        checkpoint->from[i] = stores.shards[i].model->step_count;
        checkpoint->to[i] = UINT64_MAX;
    }
}

static void
checkpoint_made(struct run *run, struct store_checkpoint *checkpoint)
{
    for (uint32_t i = 0; i < run->shards; i++) {
        checkpoint->to[i] = stores.shards[i].model->step_count;
    }
    checkpoint->state = CHECKPOINT_MADE;
}

static YIELDS void
export_now(struct run *run)
{
    err_t err;

    checkpoint_begin(run, &stores.export, "export");
    err = checkpoint_export(stores.export.name);
    CHECK_OK(err, "checkpoint_export");
    if (err == ERR_OK) {
        checkpoint_made(run, &stores.export);
    } else {
        stores.export.state = CHECKPOINT_NONE; /* Nothing is left, or the next start removes it. */
    }
}

static YIELDS void
name_now(struct run *run)
{
    err_t err;

    checkpoint_begin(run, &stores.named, "name");
    err = checkpoint_create(stores.named.name);
    CHECK_OK(err, "checkpoint_create");
    if (err == ERR_OK) {
        checkpoint_made(run, &stores.named);
    }
}

static YIELDS void
name_use(struct run *run)
{
    err_t err;

    if (prng_below(shard_prng(), 2) == 0) {
        stores.named.state = CHECKPOINT_BEGUN;
        err = checkpoint_drop(stores.named.name);
        CHECK_OK(err, "checkpoint_drop");
        stores.named.state = err == ERR_OK ? CHECKPOINT_NONE : CHECKPOINT_BEGUN;
        return;
    }
    checkpoint_begin(run, &stores.export, "named");
    memcpy(stores.export.from, stores.named.from, sizeof(stores.export.from));
    memcpy(stores.export.to, stores.named.to, sizeof(stores.export.to));
    err = checkpoint_export_named(stores.named.name, stores.export.name);
    CHECK_OK(err, "checkpoint_export_named");
    stores.export.state = err == ERR_OK ? CHECKPOINT_MADE : CHECKPOINT_NONE;
}

static YIELDS void
checkpoint_something(struct run *run)
{
    if (stores.is_checkpointing) {
        return;
    }
    stores.is_checkpointing = true;
    if (prng_below(shard_prng(), 2) == 0) {
        export_now(run);
    } else if (stores.named.state == CHECKPOINT_MADE) {
        name_use(run);
    } else if (stores.named.state == CHECKPOINT_NONE) {
        name_now(run);
    }
    stores.is_checkpointing = false;
}

/* After a start: a name that was given is there, and what nobody was sure of is now known. */
static err_t
names_check(void *arg)
{
    struct checkpoint_info infos[4];
    uint32_t count = 0;
    bool is_there;
    err_t err = checkpoint_list(infos, ARRAY_COUNT(infos), &count);

    (void)arg;
    RUN_CHECK(stores.run, err == ERR_OK, "checkpoint_list: %s", err_message(err));
    is_there = count == 1 && strcmp(infos[0].name, stores.named.name) == 0;
    RUN_CHECK(stores.run, count == (is_there ? 1 : 0), "%u checkpoints, of which %s is none", count,
              stores.named.name);
    RUN_CHECK(stores.run, is_there || stores.named.state != CHECKPOINT_MADE,
              "checkpoint %s is gone", stores.named.name);
    RUN_CHECK(stores.run, !is_there || stores.named.state != CHECKPOINT_NONE,
              "checkpoint %s is still there", stores.named.name);
    if (stores.named.state == CHECKPOINT_BEGUN) {
        SOMETIMES_IF(!is_there, "store: a name that nobody was sure of is not there");
        stores.named.state = is_there ? CHECKPOINT_MADE : CHECKPOINT_NONE;
    }
    return ERR_OK;
}

static void
act_at_peer(void *arg)
{
    (void)arg;
    if (prng_below(shard_prng(), 3) == 0) {
        get_one();
    } else {
        commit_and_wait();
    }
}

static void
work_once(void)
{
    uint64_t draw = prng_below(shard_prng(), 100);

    if (draw < 50) {
        commit_and_wait();
    } else if (draw < 72) {
        get_one();
    } else if (draw < 78) {
        get_many();
    } else if (draw < 83) {
        scan_some();
    } else if (draw < 86) {
        maintain();
    } else if (draw < 92) {
        msg_call((shard_id() + 1) % shard_count(), MSG_FIBER, act_at_peer, NULL);
    } else if (draw < 93) {
        store_set_durability(here()->store, (enum wal_durability)prng_below(shard_prng(), 3),
                             1000 + prng_below(shard_prng(), 100000));
    } else if (draw < 94) {
        checkpoint_something(stores.run);
    } else {
        fiber_sleep_us(prng_below(shard_prng(), draw < 96 ? 100000 : 1000));
    }
}

static void
work(void *arg)
{
    (void)arg;
    while (!stores.is_stopping) {
        work_once();
        if (stores.is_slow) {
            fiber_sleep_us(prng_below(shard_prng(), SLOW_US_MAX));
        }
    }
    stores.running--;
}

bool
stores_nobody_works(void *arg)
{
    (void)arg;
    return stores.running == 0;
}

void
stores_spawn_workers(struct run *run)
{
    stores.is_stopping = false;
    stores.is_slow = false;
    stores.is_checkpointing = false;
    stores.running = 0;
    for (uint32_t shard = 0; shard < run->shards; shard++) {
        for (uint32_t i = 0; i < stores.workers; i++) {
            sim_world_spawn(run->world, shard, "worker", work, NULL);
            stores.running++;
        }
    }
}

static void
stop_workers(struct run *run)
{
    stores.is_stopping = true;
    run_until(run, stores_nobody_works, NULL, STORES_DRAIN_US, "the workers to end");
}

/* ---- Lives. ---- */

static void
draw_options(struct run *run)
{
    struct lsm_options *lsm = &stores.options.lsm;

    stores.workers = (uint32_t)run_between(run, 1, WORKERS_MAX);
    stores.value_bytes_max = (uint32_t)run_between(run, 200, 20000);
    stores.large_percent = run_chance(run, 40) ? (uint32_t)run_below(run, 30) : 0;
    stores.options.wal_segment_bytes = UINT64_C(256 << 10) << run_below(run, 3);
    stores.options.memory_bytes = 4 << 20;
    lsm->memtable_bytes = run_between(run, 8 << 10, 200 << 10);
    lsm->memtables_max = (uint32_t)run_between(run, 2, 4);
    lsm->cache_bytes = run_between(run, 32 << 10, 512 << 10);
    lsm->table_bytes = run_between(run, 16 << 10, 128 << 10);
    lsm->level_base_bytes = run_between(run, 32 << 10, 256 << 10);
    lsm->level0_tables = (uint32_t)run_between(run, 2, 4);
}

void
stores_draw_life(struct run *run)
{
    stores.options.durability =
        run_chance(run, 60) ? WAL_SYNC : (enum wal_durability)run_below(run, 3);
    stores.options.interval_us = run_between(run, 1000, 200000);
    stores.options.wal_in_flight_max = run_chance(run, 50) ? (uint32_t)run_between(run, 1, 6) : 0;
    stores.options.wal_group_bytes = run_chance(run, 50) ? (uint32_t)run_between(run, 1, 65536) : 0;
}

static void
open_fiber(void *arg)
{
    (void)arg;
    (void)stores_open(NULL);
}

static void
crash_in_recovery(struct run *run)
{
    sim_world_boot(run->world, run->shards);
    for (uint32_t i = 0; i < run->shards; i++) {
        sim_world_spawn(run->world, i, "open", open_fiber, NULL);
    }
    run_for(run, run_between(run, 1, 20000));
    SOMETIMES("store: a crash in recovery");
    run_crash(run);
}

static void
end_life(struct run *run)
{
    if (run_chance(run, 85) || sim_world_fatal_message(run->world) != NULL) {
        run_crash(run);
        return;
    }
    run_calm(run);
    if (run_chance(run, 40)) { /* Memtables cannot be flushed any more: the log has all. */
        sim_disk_fail_next(run->world, SIM_OP_WRITE, ".table", 0, UINT32_MAX, -EIO);
        stores.has_errors = true;
        run_for_operations(run, run_between(run, 1, 60), STORES_LIFE_US_MAX);
    }
    stop_workers(run);
    RUN_CHECK(run, sim_world_call_all(run->world, close_store, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
    sim_disk_fail_clear(run->world);
    SOMETIMES("store: closed in order");
}

static bool
all_commit(void *arg)
{
    const struct run *run = arg;

    for (uint32_t i = 0; i < run->shards; i++) {
        if (stores.shards[i].commits == 0) {
            return false;
        }
    }
    return true;
}

static void
await_commits(struct run *run)
{
    for (uint32_t i = 0; i < run->shards; i++) {
        stores.shards[i].commits = 0;
    }
    run_until(run, all_commit, run, HEAL_US_MAX, "commits after the disk has healed");
}

/* The disk is well again: everything must go on, without a restart. */
static void
heal(struct run *run)
{
    run_calm(run);
    await_commits(run);
    stores.is_slow = true; /* What had failed is tried again. */
    run_for(run, RETRY_US);
    stores.is_slow = false;
    stores.has_errors = false;
    await_commits(run);
    run_for_operations(run, run_between(run, 10, 200), STORES_LIFE_US_MAX);
    SOMETIMES("store: went on after errors of the disk");
}

void
stores_open_export(struct run *run)
{
    stores.opened = &stores.export;
    for (uint32_t i = 0; i < run->shards; i++) {
        stores.shards[i].model->durable = stores.export.from[i];
    }
}

/* An export of the life that has ended, in a process of its own: it is there as a whole if it was
 * reported; else it is whole or gone after the next start of the store. */
static void
export_child(struct run *run, void *arg)
{
    bool was_made = stores.export.state == CHECKPOINT_MADE;
    char path[48];

    (void)arg;
    if (!was_made) {
        run_start(run, open_unchecked, NULL);
        sim_world_crash(run->world, SIM_CRASH_KILL);
    }
    snprintf(path, sizeof(path), "%s/shard-0/STORE", stores.export.name);
    if (!sim_disk_exists(run->world, path)) {
        RUN_CHECK(run, !was_made, "%s is gone", stores.export.name);
        SOMETIMES("store: an export that was not reported is gone");
        return;
    }
    stores_open_export(run);
    run_start(run, stores_open, NULL);
    RUN_CHECK(run, sim_world_call_all(run->world, stores_verify, NULL) == ERR_OK,
              "%s cannot be verified", stores.export.name);
    SOMETIMES_IF(was_made, "store: an export was opened and compared");
}

static void
export_check(struct run *run)
{
    int status;

    if (stores.export.state != CHECKPOINT_NONE) {
        status = run_in_child(run, export_child, NULL);
        RUN_CHECK(run, status == 0, "%s: wait status %d", stores.export.name, status);
    }
    stores.export.state = CHECKPOINT_NONE;
}

static void
live(struct run *run)
{
    stores_draw_life(run);
    run_start(run, stores_open, NULL);
    RUN_CHECK(run, sim_world_call(run->world, 0, names_check, NULL) == ERR_OK, "names");
    run_draw_harmless_faults(run);
    if (run_chance(run, 30)) {
        sim_world_options(run->world)->wall_step_us_max = WALL_STEP_US_MAX;
        sim_world_options(run->world)->wall_step_ppm = 2000;
    }
    stores.has_errors = run_draw_errors(run);
    stores_spawn_workers(run);
    if (!run_for_operations(run, run_between(run, 10, 400), STORES_LIFE_US_MAX)) {
        RUN_CHECK(run, stores.has_errors, "fatal without an error of the disk: %s",
                  sim_world_fatal_message(run->world));
        SOMETIMES("store: an error of the disk ended the process");
    } else if (stores.has_errors && run_chance(run, 40)) {
        heal(run);
    }
    end_life(run);
    run_calm(run);
    stores.has_errors = false;
    export_check(run);
}

void
stores_begin(struct run *run)
{
    memset(&stores, 0, sizeof(stores));
    stores.run = run;
    stores.next_id = 1;
    for (uint32_t i = 0; i < run->shards; i++) {
        model_init(&models[i], run, i, (uint32_t)run_between(run, 4, MODEL_KEYS_MAX));
        stores.shards[i].model = &models[i];
    }
    draw_options(run);
}

static void
store_main(struct run *run)
{
    stores_begin(run);
    while (run_chance(run, 50)) { /* The very first start may be cut short, too. */
        crash_in_recovery(run);
    }
    for (uint32_t life = 0; life < 5 || !run_is_enough(run); life++) {
        live(run);
        if (run_chance(run, 25)) {
            crash_in_recovery(run);
        }
    }
    run_start(run, stores_open, NULL);
    RUN_CHECK(run, sim_world_call_all(run->world, close_store, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

const struct scenario scenario_store = {
    .name = "store",
    .text = "log and tables: whole batches, what was shown survives, in every crash",
    .weight = 6,
    .main = store_main,
};
