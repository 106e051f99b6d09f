/* tests/unit/lsm/tree_model.c - see tree_model.h. */
#include "tests/unit/lsm/tree_model.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "lsm/lsm_batch.h"

uint32_t
model_below(struct model *model, uint32_t bound)
{
    return (uint32_t)prng_below(&model->prng, bound);
}

/* Errors only where the disk is told to fail. */
static bool
went_well(struct model *model, err_t err)
{
    if (err == ERR_OK) {
        return true;
    }
    cr_assert(model->faults, "%s", err_message(err));
    cr_assert(err == ERR_IO || err == ERR_NO_SPACE || err == ERR_CORRUPT, "%s: %s", err_name(err),
              err_message(err));
    model->errors++;
    return false;
}

/* ---- Keys and values. ---- */

static int
compare_keys(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static void
keys_make(struct model *model)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        uint8_t *bytes = model->key_bytes[i];
        uint32_t number = i / KEYSPACES;
        size_t size = 5;

        bytes[0] = 1;
        put_le32(bytes + 1, 0);
        bytes[4] = (uint8_t)(i % KEYSPACES);
        put_be16(bytes + size, (uint16_t)(number / 4 * 257));
        size += 2;
        for (uint32_t k = 0; k < number % 4; k++) { /* Some keys extend others. */
            bytes[size++] = (uint8_t)(k == 1 ? 0xff : 0);
        }
        if (number % 7 == 0) {
            memset(bytes + size, 'x', 12);
            size += 12;
        }
        model->keys[i] = slice_of(bytes, size);
    }
    qsort(model->keys, KEYS, sizeof(model->keys[0]), compare_keys);
}

static struct slice
value_of(const struct write *write, uint8_t buffer[VALUE_BYTES_MAX])
{
    for (uint32_t i = 0; i < write->value_size; i++) {
        buffer[i] = (uint8_t)(write->lsn * 31 + write->key + i * 7);
    }
    return slice_of(buffer, write->value_size);
}

/* ---- The model's answer. ---- */

static const struct write *
model_get(const struct model *model, uint32_t key, uint64_t snapshot, uint64_t *decided_ts)
{
    const struct write *best = NULL;
    uint64_t range_ts = 0;

    for (uint32_t i = 0; i < model->write_count; i++) {
        const struct write *write = &model->writes[i];

        if (write->ts > snapshot) {
            continue;
        }
        if (write->is_range) {
            if (write->key <= key && key < write->end) {
                range_ts = MAX(range_ts, write->ts);
            }
        } else if (write->key == key && (best == NULL || write->ts >= best->ts)) {
            best = write;
        }
    }
    *decided_ts = MAX(range_ts, best == NULL ? 0 : best->ts);
    if (best == NULL || best->ts < range_ts || best->kind == LSM_DELETE ||
        (best->expire_us != 0 && best->expire_us <= snapshot >> 12)) {
        return NULL;
    }
    return best;
}

/* ---- Writing. ---- */

void
model_apply(struct model *model, const struct write *write, uint64_t lsn)
{
    uint8_t buffer[VALUE_BYTES_MAX];

    if (write->is_range) {
        struct lsm_range_delete range = {.start = model->keys[write->key],
                                         .end = model->keys[write->end],
                                         .ts = write->ts,
                                         .lsn = lsn};

        lsm_apply_range_delete(model->lsm, &range);
    } else {
        struct lsm_entry entry = {.key = model->keys[write->key],
                                  .value = value_of(write, buffer),
                                  .ts = write->ts,
                                  .expire_us = write->expire_us,
                                  .lsn = lsn,
                                  .slot = (uint16_t)write->key,
                                  .kind = write->kind};

        lsm_apply(model->lsm, &entry);
    }
}

void
model_rotate(struct model *model)
{
    uint8_t note[8];
    uint64_t lsn = model->write_count;

    put_le64(note, lsn * 3);
    lsm_rotate(model->lsm, lsn, slice_of(note, sizeof(note)));
    model->ts += TS_STEP; /* A commit lies in one memtable, so a key has no ts in two tables. */
    model->rotations++;
    model->ts += TS_STEP; /* A commit is whole in one memtable. */
}

void
model_write_key(struct model *model, uint32_t key, uint8_t kind, uint64_t expire_us)
{
    struct write *write = &model->writes[model->write_count];

    cr_assert_lt(model->write_count, WRITES_MAX);
    memset(write, 0, sizeof(*write));
    model->ts += TS_STEP;
    write->ts = model->ts;
    write->lsn = ++model->write_count;
    write->key = key;
    write->kind = kind;
    write->expire_us = expire_us;
    write->value_size = kind == LSM_PUT ? model_below(model, 60) : 0;
    model_apply(model, write, write->lsn);
}

void
model_write_range(struct model *model, uint32_t key, uint32_t end)
{
    struct write *write = &model->writes[model->write_count];

    cr_assert_lt(model->write_count, WRITES_MAX);
    memset(write, 0, sizeof(*write));
    model->ts += TS_STEP;
    write->ts = model->ts;
    write->lsn = ++model->write_count;
    write->is_range = true;
    write->key = key;
    write->end = end;
    model_apply(model, write, write->lsn);
    model->ts += TS_STEP;
}

void
model_write(struct model *model)
{
    struct write *write = &model->writes[model->write_count];
    uint32_t kind = model_below(model, 100);

    cr_assert_lt(model->write_count, WRITES_MAX);
    if (!went_well(model, lsm_wait_room(model->lsm, 1000))) {
        return;
    }
    memset(write, 0, sizeof(*write));
    /* Some writes share a timestamp: one commit. Then the last of a key wins. */
    model->ts += model_below(model, 4) == 0 ? 0 : (1 + model_below(model, 3)) * TS_STEP;
    write->ts = model->ts;
    write->lsn = ++model->write_count;
    write->key = model_below(model, KEYS);
    if (kind < 4) {
        write->is_range = true;
        write->end = write->key + model_below(model, kind == 0 ? KEYS : 12);
        write->end = MIN(write->end, KEYS - 1u);
        if (model_below(model, 12) == 0) { /* All but the last key. */
            write->key = 0;
            write->end = KEYS - 1;
        }
        model->ts += TS_STEP; /* A range delete hides what has its own ts only by order. */
        write->ts = model->ts;
        model->ts += TS_STEP;
    } else if (kind < 25) {
        write->kind = LSM_DELETE;
    } else {
        write->kind = LSM_PUT;
        write->value_size = model_below(model, model_below(model, 4) == 0 ? VALUE_BYTES_MAX : 30);
        if (model_below(model, 10) == 0) {
            write->expire_us = (model->ts >> 12) + model_below(model, 2000);
        }
    }
    model_apply(model, write, write->lsn);
    if (lsm_wants_rotation(model->lsm)) {
        model_rotate(model);
    }
}

/* ---- Reading. ---- */

static void
check_value(struct model *model, uint32_t key, uint64_t snapshot, const struct lsm_value *value)
{
    uint8_t buffer[VALUE_BYTES_MAX];
    uint64_t ts = 0;
    const struct write *expected = model_get(model, key, snapshot, &ts);

    if (expected == NULL) {
        cr_assert(!value->is_found, "key %u at %llu: ts %llu, expected none", key,
                  (unsigned long long)snapshot, (unsigned long long)value->ts);
        return;
    }
    cr_assert(value->is_found, "key %u at %llu: expected ts %llu, got ts %llu", key,
              (unsigned long long)snapshot, (unsigned long long)expected->ts,
              (unsigned long long)value->ts);
    cr_assert_eq(value->ts, expected->ts);
    cr_assert(slice_equal(value->value, value_of(expected, buffer)));
    cr_assert_eq(value->expire_us, expected->expire_us);
    cr_assert_eq(value->slot, key);
    cr_assert(value->lsn == 0 || value->lsn == expected->lsn);
}

void
model_check_get(struct model *model, uint64_t snapshot)
{
    struct arena arena;
    struct lsm_value value;
    uint32_t key = model_below(model, KEYS);

    arena_init(&arena, MEM_SESSIONS);
    if (went_well(model, lsm_get(model->lsm, model->keys[key], snapshot, &arena, &value))) {
        check_value(model, key, snapshot, &value);
    }
    arena_fini(&arena);
}

void
model_check_multi_get(struct model *model, uint64_t snapshot)
{
    struct arena arena;
    struct slice keys[20];
    uint32_t numbers[20];
    struct lsm_value values[20];
    err_t err;

    for (uint32_t i = 0; i < 20; i++) {
        numbers[i] = model_below(model, KEYS);
        keys[i] = model->keys[numbers[i]];
    }
    arena_init(&arena, MEM_SESSIONS);
    err = lsm_multi_get(model->lsm, keys, 20, snapshot, &arena, values);
    for (uint32_t i = 0; went_well(model, err) && i < 20; i++) {
        check_value(model, numbers[i], snapshot, &values[i]);
    }
    arena_fini(&arena);
}

static void
check_entry(struct model *model, const struct lsm_entry *entry, uint32_t key, uint64_t snapshot)
{
    uint8_t buffer[VALUE_BYTES_MAX];
    uint64_t ts;
    const struct write *expected = model_get(model, key, snapshot, &ts);

    cr_assert_not_null(expected);
    cr_assert(slice_equal(entry->key, model->keys[key]), "wrong key where %u is due", key);
    cr_assert_eq(entry->ts, expected->ts);
    cr_assert(slice_equal(entry->value, value_of(expected, buffer)));
    cr_assert_eq(entry->slot, key);
    cr_assert_eq(entry->expire_us, expected->expire_us);
}

/* The next live key from `key` on in the direction; KEYS: none within [lower, upper). */
static uint32_t
model_next(const struct model *model, int64_t key, int direction, uint32_t lower, uint32_t upper,
           uint64_t snapshot)
{
    uint64_t ts;

    for (; key >= lower && key < upper; key += direction) {
        if (model_get(model, (uint32_t)key, snapshot, &ts) != NULL) {
            return (uint32_t)key;
        }
    }
    return KEYS;
}

/* Begin somewhere in [lower, upper); *at is what the model says. */
static err_t
scan_begin(struct model *model, struct lsm_iter *iter, uint64_t snapshot, int direction,
           uint32_t lower, uint32_t upper, uint32_t *at)
{
    uint32_t key = lower + model_below(model, MAX(1u, upper - lower));
    bool from_end = model_below(model, 2) == 0;

    if (direction > 0) {
        *at = model_next(model, from_end ? lower : key, 1, lower, upper, snapshot);
        return from_end ? lsm_iter_first(iter) : lsm_iter_seek(iter, model->keys[key]);
    }
    *at = model_next(model, (int64_t)(from_end ? upper : key) - 1, -1, lower, upper, snapshot);
    return from_end ? lsm_iter_last(iter) : lsm_iter_seek_before(iter, model->keys[key]);
}

static void
check_batch(struct model *model, const struct lsm_batch *batch, uint32_t *at, uint32_t lower,
            uint32_t upper, uint64_t snapshot)
{
    uint32_t key = *at;

    cr_assert_eq(batch->form, LSM_BATCH_ROWS);
    cr_assert(!batch->has_large);
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t row = lsm_batch_row(batch, i);
        struct lsm_entry entry = {.key = batch->keys[row],
                                  .value = batch->values[row],
                                  .ts = batch->ts[row],
                                  .expire_us = batch->expire_us[row],
                                  .slot = batch->slots[row],
                                  .kind = batch->kinds[row]};

        cr_assert_neq(key, KEYS, "a row behind the last one");
        check_entry(model, &entry, key, snapshot);
        key = model_next(model, (int64_t)key + 1, 1, lower, upper, snapshot);
    }
    *at = key;
}

/* The next rows by a batch; they stay while others write. */
static err_t
scan_batch(struct model *model, struct lsm_iter *iter, uint64_t snapshot, uint32_t lower,
           uint32_t upper, uint32_t *at)
{
    uint32_t rows_max = 1 + model_below(model, model_below(model, 2) == 0 ? 5 : LSM_BATCH_ROWS_MAX);
    const struct lsm_batch *batch = NULL;
    uint32_t again = *at;
    err_t err = lsm_iter_batch(iter, rows_max, &batch);

    if (err != ERR_OK) {
        return err;
    }
    cr_assert(batch->count > 0 && batch->count <= rows_max);
    check_batch(model, batch, at, lower, upper, snapshot);
    if (model_below(model, 3) == 0) {
        for (uint32_t i = model_below(model, 5); i > 0; i--) {
            model_write(model);
        }
        check_batch(model, batch, &again, lower, upper, snapshot);
    }
    return ERR_OK;
}

/* Walk to and fro, row by row and by batches, writing in between: the snapshot must not notice. */
static void
scan_walk(struct model *model, struct lsm_iter *iter, uint64_t snapshot, uint32_t lower,
          uint32_t upper)
{
    int direction = model_below(model, 2) == 0 ? 1 : -1;
    uint32_t turns = 1 + model_below(model, 4);
    bool has_turned;
    uint32_t at;
    err_t err = scan_begin(model, iter, snapshot, direction, lower, upper, &at);

    while (went_well(model, err) && turns > 0) {
        cr_assert_eq(lsm_iter_is_valid(iter), at != KEYS, "at %u in [%u, %u)", at, lower, upper);
        if (at == KEYS) {
            break;
        }
        check_entry(model, lsm_iter_entry(iter), at, snapshot);
        if (model_below(model, 12) == 0) {
            model_write(model);
            check_entry(model, lsm_iter_entry(iter), at, snapshot);
        }
        has_turned = model_below(model, 10) == 0;
        if (has_turned) {
            direction = -direction;
            turns--;
        }
        if (direction > 0 && !has_turned && model_below(model, 3) == 0) {
            err = scan_batch(model, iter, snapshot, lower, upper, &at);
            continue;
        }
        err = direction > 0 ? lsm_iter_next(iter) : lsm_iter_previous(iter);
        at = model_next(model, (int64_t)at + direction, direction, lower, upper, snapshot);
    }
}

void
model_check_scan(struct model *model, uint64_t snapshot)
{
    uint32_t lower = model_below(model, 3) == 0 ? 0 : model_below(model, KEYS);
    uint32_t upper = model_below(model, 3) == 0 ? KEYS : lower + model_below(model, KEYS - lower);
    struct slice end = upper == KEYS ? slice_of(NULL, 0) : model->keys[upper];
    struct lsm_iter *iter = NULL;

    model->ts = MAX(model->ts, snapshot) + TS_STEP; /* What is written now is newer. */
    cr_assert_eq(lsm_iter_open(model->lsm, model->keys[lower], end, snapshot, &iter), ERR_OK);
    scan_walk(model, iter, snapshot, lower, upper);
    lsm_iter_close(&iter);
    cr_assert_null(iter);
}

void
model_check_all(struct model *model)
{
    struct lsm_iter *iter = NULL;
    uint32_t at = model_next(model, 0, 1, 0, KEYS, model->ts);
    err_t err;

    cr_assert_eq(lsm_iter_open(model->lsm, slice_of(NULL, 0), slice_of(NULL, 0), model->ts, &iter),
                 ERR_OK);
    for (err = lsm_iter_first(iter); went_well(model, err) && at != KEYS;
         err = lsm_iter_next(iter)) {
        cr_assert(lsm_iter_is_valid(iter), "key %u is missing", at);
        check_entry(model, lsm_iter_entry(iter), at, model->ts);
        at = model_next(model, (int64_t)at + 1, 1, 0, KEYS, model->ts);
    }
    cr_assert(err != ERR_OK || !lsm_iter_is_valid(iter), "a key too many");
    lsm_iter_close(&iter);
    for (uint32_t i = 0; i < 40; i++) {
        model_check_get(model, model->ts);
    }
    for (uint32_t i = 0; i < 8; i++) {
        model_check_scan(model, model->ts);
    }
}

/* Any snapshot that may be read: one held, or one at or above the horizon. */
static uint64_t
any_snapshot(struct model *model)
{
    uint32_t which = model_below(model, SNAPSHOTS_MAX);

    if (model_below(model, 2) == 0 && model->is_held[which]) {
        return model->held[which].ts;
    }
    return model->ts + model_below(model, 2) * 1000 * TS_STEP;
}

static void
snapshot_toggle(struct model *model)
{
    uint32_t which = model_below(model, SNAPSHOTS_MAX);

    if (model->is_held[which]) {
        lsm_snapshot_drop(model->lsm, &model->held[which]);
    } else {
        lsm_snapshot_take(model->lsm, model->ts, &model->held[which]);
        model->ts += TS_STEP; /* What comes now is newer than the snapshot. */
    }
    model->is_held[which] = !model->is_held[which];
}

/* ---- Opening. ---- */

static void
flushed(void *arg, uint64_t flushed_lsn)
{
    struct model *model = arg;

    cr_assert_gt(flushed_lsn + 1, model->flushed_lsn);
    model->flushed_lsn = flushed_lsn;
}

err_t
model_open(struct model *model)
{
    struct lsm_recovered recovered;
    err_t err = lsm_open(&model->options, &recovered, &model->lsm);

    memset(model->is_held, 0, sizeof(model->is_held));
    if (!went_well(model, err)) {
        return err;
    }
    cr_assert_leq(recovered.flushed_lsn, model->write_count);
    /* What was said to be flushed is not in the log any more. */
    cr_assert_geq(recovered.flushed_lsn, model->flushed_lsn);
    model->flushed_lsn = recovered.flushed_lsn;
    if (recovered.flushed_lsn > 0) {
        cr_assert_eq(recovered.note.size, 8);
        cr_assert_eq(get_le64(recovered.note.data), recovered.flushed_lsn * 3);
    }
    cr_assert_leq(recovered.ts_newest, model->ts);
    lsm_on_flushed(model->lsm, flushed, model);
    for (uint32_t i = 0; i < model->write_count; i++) {
        if (model->writes[i].lsn > recovered.flushed_lsn) {
            model_apply(model, &model->writes[i], model->writes[i].lsn);
        }
    }
    return ERR_OK;
}

void
model_close(struct model *model)
{
    for (uint32_t i = 0; i < SNAPSHOTS_MAX; i++) {
        if (model->is_held[i]) {
            lsm_snapshot_drop(model->lsm, &model->held[i]);
            model->is_held[i] = false;
        }
    }
    lsm_close(&model->lsm);
}

void
model_step(struct model *model)
{
    switch (model_below(model, 40)) {
    case 0:
        model_check_scan(model, any_snapshot(model));
        break;
    case 1:
        model_check_multi_get(model, any_snapshot(model));
        break;
    case 2:
        snapshot_toggle(model);
        break;
    case 3:
        lsm_horizon_set(model->lsm, model->ts);
        break;
    case 4:
        if (model_below(model, 4) == 0) {
            model_rotate(model);
            went_well(model, lsm_flush(model->lsm));
        }
        break;
    case 5:
        if (model_below(model, 10) == 0) {
            uint32_t from = model_below(model, KEYS);

            went_well(model, lsm_compact(model->lsm, model->keys[from], slice_of(NULL, 0)));
        }
        break;
    case 6:
        if (model_below(model, 20) == 0 && !model->faults) {
            model_close(model);
            model_open(model);
        }
        break;
    case 7:
        if (model_below(model, 20) == 0) {
            went_well(model, lsm_verify(model->lsm));
        }
        break;
    case 8: {
        bool did = false;

        went_well(model, compact_step(model->lsm, &did));
        break;
    }
    case 9:
    case 10:
    case 11:
        model_check_get(model, any_snapshot(model));
        break;
    default:
        model_write(model);
        break;
    }
}

/* ---- Life. ---- */

struct model *
model_new(uint64_t seed, const char *dir, bool background)
{
    struct model *model = calloc(1, sizeof(*model));

    prng_init(&model->prng, seed);
    model->ts = UINT64_C(1700000000000000) << 12;
    model->options = (struct lsm_options){
        .dir = dir,
        .memtable_bytes = 4 << 10,
        .cache_bytes = 64 << 10,
        .table_bytes = 4 << 10,
        .level_base_bytes = 12 << 10,
        .level0_tables = 2,
        .background_off = !background,
    };
    keys_make(model);
    return model;
}

void
model_free(struct model *model)
{
    free(model);
}
