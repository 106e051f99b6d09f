/* tests/unit/lsm/test_lsm.c - the whole tree against a model that keeps every write in an array.
 *
 * The limits are tiny, so that a few thousand steps go through rotations, flushes, compactions
 * over several levels, and reopenings. What the log would replay is replayed by the test. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "engine/rt/shard.h"
#include "lsm/lsm.h"
#include "lsm/vlog.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm, .timeout = 120);

enum {
    KEYS = 240,
    KEYSPACES = 3,
    WRITES_MAX = 20000,
    SNAPSHOTS_MAX = 6,
    VALUE_BYTES_MAX = 300,
    TS_STEP = 1 << 12, /* One microsecond, so that expiry is exact. */
};

struct write {
    uint32_t key; /* Or the first of a range; */
    uint32_t end; /* and one behind its last. */
    bool is_range;
    uint8_t kind;
    uint64_t ts;
    uint64_t lsn;
    uint64_t expire_us;
    uint32_t value_size;
};

struct model {
    struct prng prng;
    struct lsm_options options;
    struct lsm *lsm;
    struct slice keys[KEYS]; /* In order. */
    uint8_t key_bytes[KEYS][24];
    struct write writes[WRITES_MAX];
    uint32_t write_count;
    uint64_t ts;
    uint64_t flushed_lsn;
    struct lsm_snapshot held[SNAPSHOTS_MAX];
    bool is_held[SNAPSHOTS_MAX];
    uint64_t rotations;
};

static uint32_t
below(struct model *model, uint32_t bound)
{
    return (uint32_t)prng_below(&model->prng, bound);
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

static void
write_apply(struct model *model, const struct write *write)
{
    uint8_t buffer[VALUE_BYTES_MAX];

    if (write->is_range) {
        struct lsm_range_delete range = {.start = model->keys[write->key],
                                         .end = model->keys[write->end],
                                         .ts = write->ts,
                                         .lsn = write->lsn};

        lsm_apply_range_delete(model->lsm, &range);
    } else {
        struct lsm_entry entry = {.key = model->keys[write->key],
                                  .value = value_of(write, buffer),
                                  .ts = write->ts,
                                  .expire_us = write->expire_us,
                                  .lsn = write->lsn,
                                  .slot = (uint16_t)write->key,
                                  .kind = write->kind};

        lsm_apply(model->lsm, &entry);
    }
}

static void
rotate(struct model *model)
{
    uint8_t note[8];
    uint64_t lsn = model->write_count;

    put_le64(note, lsn * 3);
    lsm_rotate(model->lsm, lsn, slice_of(note, sizeof(note)));
    model->rotations++;
}

static void
write_new(struct model *model)
{
    struct write *write = &model->writes[model->write_count];
    uint32_t kind = below(model, 100);

    cr_assert_lt(model->write_count, WRITES_MAX);
    cr_assert_eq(lsm_wait_room(model->lsm, 1000), ERR_OK);
    memset(write, 0, sizeof(*write));
    /* Some writes share a timestamp: one commit. Then the last of a key wins. */
    model->ts += below(model, 4) == 0 ? 0 : (1 + below(model, 3)) * TS_STEP;
    write->ts = model->ts;
    write->lsn = ++model->write_count;
    write->key = below(model, KEYS);
    if (kind < 4) {
        write->is_range = true;
        write->end = write->key + below(model, kind == 0 ? KEYS : 12);
        write->end = MIN(write->end, KEYS - 1u);
        model->ts += TS_STEP; /* A range delete hides what has its own ts only by order. */
        write->ts = model->ts;
        model->ts += TS_STEP;
    } else if (kind < 25) {
        write->kind = LSM_DELETE;
    } else {
        write->kind = LSM_PUT;
        write->value_size = below(model, below(model, 4) == 0 ? VALUE_BYTES_MAX : 30);
        if (below(model, 10) == 0) {
            write->expire_us = (model->ts >> 12) + below(model, 2000);
        }
    }
    write_apply(model, write);
    if (lsm_wants_rotation(model->lsm)) {
        rotate(model);
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

static void
check_get(struct model *model, uint64_t snapshot)
{
    struct arena arena;
    struct lsm_value value;
    uint32_t key = below(model, KEYS);

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(lsm_get(model->lsm, model->keys[key], snapshot, &arena, &value), ERR_OK);
    check_value(model, key, snapshot, &value);
    arena_fini(&arena);
}

static void
check_multi_get(struct model *model, uint64_t snapshot)
{
    struct arena arena;
    struct slice keys[20];
    uint32_t numbers[20];
    struct lsm_value values[20];

    for (uint32_t i = 0; i < 20; i++) {
        numbers[i] = below(model, KEYS);
        keys[i] = model->keys[numbers[i]];
    }
    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(lsm_multi_get(model->lsm, keys, 20, snapshot, &arena, values), ERR_OK);
    for (uint32_t i = 0; i < 20; i++) {
        check_value(model, numbers[i], snapshot, &values[i]);
    }
    arena_fini(&arena);
}

static void
check_entry(struct model *model, const struct lsm_iter *iter, uint32_t key, uint64_t snapshot)
{
    uint8_t buffer[VALUE_BYTES_MAX];
    uint64_t ts;
    const struct lsm_entry *entry = lsm_iter_entry(iter);
    const struct write *expected = model_get(model, key, snapshot, &ts);

    cr_assert_not_null(expected);
    cr_assert(slice_equal(entry->key, model->keys[key]), "wrong key where %u is due", key);
    cr_assert_eq(entry->ts, expected->ts);
    cr_assert(slice_equal(entry->value, value_of(expected, buffer)));
    cr_assert_eq(entry->slot, key);
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

/* Walk to and fro, writing in between: the snapshot must not notice. */
static void
check_scan(struct model *model, uint64_t snapshot)
{
    uint32_t lower = below(model, 3) == 0 ? 0 : below(model, KEYS);
    uint32_t upper = below(model, 3) == 0 ? KEYS : lower + below(model, KEYS - lower);
    struct lsm_iter *iter = NULL;
    int direction = below(model, 2) == 0 ? 1 : -1;
    uint32_t at = lower + below(model, MAX(1u, upper - lower));
    uint32_t turns = 1 + below(model, 4);

    model->ts = MAX(model->ts, snapshot) + TS_STEP; /* What is written now is newer. */
    cr_assert_eq(lsm_iter_open(model->lsm, model->keys[lower],
                               upper == KEYS ? slice_of(NULL, 0) : model->keys[upper], snapshot,
                               &iter),
                 ERR_OK);
    if (direction > 0) {
        cr_assert_eq(below(model, 2) == 0 ? (at = lower, lsm_iter_first(iter))
                                          : lsm_iter_seek(iter, model->keys[at]),
                     ERR_OK);
        at = model_next(model, at, 1, lower, upper, snapshot);
    } else {
        bool from_end = below(model, 2) == 0;

        cr_assert_eq(from_end ? lsm_iter_last(iter) : lsm_iter_seek_before(iter, model->keys[at]),
                     ERR_OK);
        at = model_next(model, (int64_t)(from_end ? upper : at) - 1, -1, lower, upper, snapshot);
    }
    while (turns > 0) {
        cr_assert_eq(lsm_iter_is_valid(iter), at != KEYS, "at %u in [%u, %u)", at, lower, upper);
        if (at == KEYS) {
            break;
        }
        check_entry(model, iter, at, snapshot);
        if (below(model, 12) == 0) {
            write_new(model);
            check_entry(model, iter, at, snapshot);
        }
        if (below(model, 10) == 0) {
            direction = -direction;
            turns--;
        }
        cr_assert_eq(direction > 0 ? lsm_iter_next(iter) : lsm_iter_previous(iter), ERR_OK);
        at = model_next(model, (int64_t)at + direction, direction, lower, upper, snapshot);
    }
    lsm_iter_close(&iter);
    cr_assert_null(iter);
}

/* Any snapshot that may be read: one held, or one at or above the horizon. */
static uint64_t
any_snapshot(struct model *model)
{
    uint32_t which = below(model, SNAPSHOTS_MAX);

    if (below(model, 2) == 0 && model->is_held[which]) {
        return model->held[which].ts;
    }
    return model->ts + below(model, 2) * 1000 * TS_STEP;
}

static void
snapshot_toggle(struct model *model)
{
    uint32_t which = below(model, SNAPSHOTS_MAX);

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
model_open(struct model *model)
{
    struct lsm_recovered recovered;

    cr_assert_eq(lsm_open(&model->options, &recovered, &model->lsm), ERR_OK, "%s",
                 err_message(ERR_CORRUPT));
    cr_assert_leq(recovered.flushed_lsn, model->write_count);
    if (recovered.flushed_lsn > 0) {
        cr_assert_eq(recovered.note.size, 8);
        cr_assert_eq(get_le64(recovered.note.data), recovered.flushed_lsn * 3);
    }
    cr_assert_leq(recovered.ts_newest, model->ts);
    for (uint32_t i = 0; i < model->write_count; i++) {
        if (model->writes[i].lsn > recovered.flushed_lsn) {
            write_apply(model, &model->writes[i]);
        }
    }
}

static void
model_reopen(struct model *model)
{
    for (uint32_t i = 0; i < SNAPSHOTS_MAX; i++) {
        if (model->is_held[i]) {
            lsm_snapshot_drop(model->lsm, &model->held[i]);
            model->is_held[i] = false;
        }
    }
    lsm_close(&model->lsm);
    model_open(model);
}

static void
model_step(struct model *model)
{
    switch (below(model, 40)) {
    case 0:
        check_scan(model, any_snapshot(model));
        break;
    case 1:
        check_multi_get(model, any_snapshot(model));
        break;
    case 2:
        snapshot_toggle(model);
        break;
    case 3:
        lsm_horizon_set(model->lsm, model->ts);
        break;
    case 4:
        if (below(model, 4) == 0) {
            rotate(model);
            cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
        }
        break;
    case 5:
        if (below(model, 10) == 0) {
            uint32_t from = below(model, KEYS);

            cr_assert_eq(lsm_compact(model->lsm, model->keys[from], slice_of(NULL, 0)), ERR_OK);
        }
        break;
    case 6:
        if (below(model, 20) == 0) {
            model_reopen(model);
        }
        break;
    case 7:
        if (below(model, 20) == 0) {
            cr_assert_eq(lsm_verify(model->lsm), ERR_OK);
        }
        break;
    case 8:
    case 9:
    case 10:
    case 11:
        check_get(model, any_snapshot(model));
        break;
    default:
        write_new(model);
        break;
    }
}

static void
model_run(uint64_t seed, uint32_t steps, bool background)
{
    struct model *model = calloc(1, sizeof(*model));
    struct lsm_stats stats;
    char dir[32];
    struct slice everything = slice_of(NULL, 0);

    snprintf(dir, sizeof(dir), "tree-%llu", (unsigned long long)seed);
    prng_init(&model->prng, seed);
    model->ts = UINT64_C(1700000000000000) << 12;
    model->options = (struct lsm_options){
        .dir = dir,
        .memtable_bytes = 4 << 10,
        .cache_bytes = 64 << 10,
        .table_bytes = 8 << 10,
        .level_base_bytes = 32 << 10,
        .level0_tables = 2,
        .background_off = !background,
    };
    keys_make(model);
    model_open(model);
    for (uint32_t i = 0; i < steps; i++) {
        model_step(model);
    }
    lsm_stats_get(model->lsm, &stats);
    cr_assert_gt(model->rotations, 10);
    model_reopen(model);
    lsm_horizon_set(model->lsm, model->ts);
    rotate(model);
    cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
    cr_assert_eq(lsm_compact(model->lsm, everything, everything), ERR_OK);
    for (uint32_t i = 0; i < 20; i++) {
        check_scan(model, model->ts);
    }
    cr_assert_eq(lsm_verify(model->lsm), ERR_OK);
    model_reopen(model);
    lsm_close(&model->lsm);
    free(model);
}

static void
model_run_seeds(uint64_t first, uint64_t count, bool background)
{
    const char *more = getenv("ORBIT_TEST_SEEDS"); /* For a longer run by hand. */

    if (more != NULL) {
        count = strtoull(more, NULL, 10);
    }
    for (uint64_t seed = first; seed < first + count; seed++) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        model_run(seed, 3000, background);
    }
}

FIBER_TEST(lsm, random_operations_give_what_the_model_gives)
{
    model_run_seeds(1, 3, false);
}

FIBER_TEST(lsm, random_operations_with_background_work_give_what_the_model_gives)
{
    model_run_seeds(1000, 3, true);
}
