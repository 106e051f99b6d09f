/* tests/sim/trees_read.c - reading the trees of trees.h, and comparing with their history. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shard.h"
#include "lsm/lsm_batch.h"
#include "tests/sim/trees.h"

enum { KEYS_AT_ONCE_MAX = 12, WALK_STEPS_MAX = 60 };

/* ---- Snapshots. ---- */

static bool
held_choose(const struct trees *trees, int32_t *which)
{
    int32_t first = (int32_t)trees_draw(TREES_HELD_MAX);

    for (int32_t i = 0; i < TREES_HELD_MAX; i++) {
        *which = (first + i) % TREES_HELD_MAX;
        if (trees->held_ts[*which] != 0) {
            return true;
        }
    }
    return false;
}

static int32_t
slot_take(struct trees *trees, uint64_t snapshot)
{
    for (int32_t i = 0; i < TREES_READERS_MAX; i++) {
        if (trees->reading_ts[i] == 0) {
            trees->reading_ts[i] = snapshot;
            return i;
        }
    }
    run_fail(trees->run, "more than %d readers at a time", TREES_READERS_MAX);
}

void
trees_read_begin(struct trees *trees, bool must_be_held, struct trees_reading *reading)
{
    uint64_t newest = trees->history.ts;

    memset(reading, 0, sizeof(*reading));
    reading->held = -1;
    if (trees_chance(40) && held_choose(trees, &reading->held)) {
        trees->held_users[reading->held]++;
        reading->snapshot = trees->held_ts[reading->held];
    } else {
        reading->held = -1;
        reading->is_own = must_be_held;
        reading->snapshot = newest;
        if (trees_chance(20)) {
            reading->snapshot -= trees_draw(newest - trees->horizon + 1);
        }
    }
    for (uint32_t i = 0; i < trees->count && reading->is_own; i++) {
        lsm_snapshot_take(trees->trees[i].lsm, reading->snapshot, &reading->own[i]);
    }
    reading->slot = slot_take(trees, reading->snapshot);
}

void
trees_read_end(struct trees *trees, struct trees_reading *reading)
{
    trees->reading_ts[reading->slot] = 0;
    if (reading->held >= 0) {
        ASSERT(trees->held_users[reading->held] > 0);
        trees->held_users[reading->held]--;
    }
    for (uint32_t i = 0; i < trees->count && reading->is_own; i++) {
        lsm_snapshot_drop(trees->trees[i].lsm, &reading->own[i]);
    }
}

/* ---- Answers. ---- */

static void
digest_add(uint64_t *digest, uint32_t key, uint64_t snapshot, uint64_t ts, struct slice value)
{
    uint64_t words[4] = {key, snapshot, ts, XXH3_64bits(value.data, value.size)};

    *digest += XXH3_64bits(words, sizeof(words));
}

static _Noreturn void
fail_value(const struct trees *trees, const struct tree *tree, const char *what, uint32_t key,
           uint64_t snapshot, bool is_found, uint64_t ts)
{
    const struct history_write *decides = history_decides(&trees->history, key, snapshot);
    const struct history_write *put = history_get(&trees->history, key, snapshot);

    run_fail(
        trees->run,
        "%s: %s of key %u at %llu: found %s of %llu; the history has %s%s of %llu (%u bytes, "
        "position %llu, expiry %llu); horizon %llu, flushed %llu, log %llu to %llu",
        tree->dir, what, key, (unsigned long long)snapshot, is_found ? "a value" : "nothing",
        (unsigned long long)ts, decides != NULL && decides->ingest != 0 ? "ingested: " : "",
        decides == NULL                         ? "nothing"
        : put != NULL                           ? "a value"
        : decides->kind == HISTORY_PUT          ? "an expired value"
        : decides->kind == HISTORY_RANGE_DELETE ? "a range delete"
                                                : "a delete",
        decides != NULL ? (unsigned long long)decides->ts : 0, decides != NULL ? decides->bytes : 0,
        decides != NULL ? (unsigned long long)decides->lsn : 0,
        decides != NULL ? (unsigned long long)decides->expire_us : 0,
        (unsigned long long)trees->horizon, (unsigned long long)tree->flushed_lsn,
        (unsigned long long)trees->history.durable, (unsigned long long)trees->history.appended);
}

/* Who reads what a crash may still take must be told which log position to wait for. */
static void
check_position(const struct trees *trees, const struct tree *tree, const char *what, uint32_t key,
               uint64_t snapshot, uint64_t lsn)
{
    const struct history_write *decides = history_decides(&trees->history, key, snapshot);

    RUN_CHECK(trees->run,
              decides == NULL || decides->lsn <= trees->history.durable || lsn >= decides->lsn,
              "%s: %s of key %u at %llu: position %llu, but the log is durable up to %llu and this "
              "is of %llu",
              tree->dir, what, key, (unsigned long long)snapshot, (unsigned long long)lsn,
              (unsigned long long)trees->history.durable, (unsigned long long)decides->lsn);
}

static void
check_value(const struct trees *trees, const struct tree *tree, const char *what, uint32_t key,
            uint64_t snapshot, const struct lsm_value *value)
{
    const struct history_write *put = history_get(&trees->history, key, snapshot);

    if (value->is_found != (put != NULL) ||
        (put != NULL && (value->ts != put->ts || !history_value_is(put, value->value)))) {
        fail_value(trees, tree, what, key, snapshot, value->is_found, value->ts);
    }
    check_position(trees, tree, what, key, snapshot, value->lsn);
    if (put != NULL) {
        RUN_CHECK(trees->run,
                  value->expire_us == put->expire_us && value->slot == history_slot(key) &&
                      (value->lsn == 0 || value->lsn == put->lsn),
                  "%s: %s of key %u: expiry %llu, slot %u, position %llu", tree->dir, what, key,
                  (unsigned long long)value->expire_us, value->slot,
                  (unsigned long long)value->lsn);
    }
}

/* ---- Point reads. ---- */

/* One of the keys, or a name near one of them that is none: then *key is key_count. */
static struct slice
name_choose(const struct history *history, uint32_t *key, uint8_t buffer[HISTORY_KEY_BYTES_MAX + 1])
{
    struct slice name;

    *key = (uint32_t)trees_draw(history->key_count);
    if (!trees_chance(10)) {
        return history_name(history, *key);
    }
    name = history_bound(history, *key + 1, true, buffer);
    *key = history_find(history, name);
    return name;
}

static YIELDS err_t
get_from(struct trees *trees, struct tree *tree, uint32_t key, struct slice name, uint64_t snapshot,
         uint64_t *digest)
{
    struct lsm_value value = {0};
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(lsm_get(tree->lsm, name, snapshot, &arena, &value));
    if (key == trees->history.key_count) {
        RUN_CHECK(trees->run, !value.is_found, "%s: a key that was never written", tree->dir);
    } else {
        check_value(trees, tree, "get", key, snapshot, &value);
    }
    if (value.is_found) {
        digest_add(digest, key, snapshot, value.ts, value.value);
    }
out:
    arena_fini(&arena);
    return err;
}

void
trees_get(struct trees *trees)
{
    uint8_t buffer[HISTORY_KEY_BYTES_MAX + 1];
    uint64_t digests[HISTORY_SUBJECTS_MAX] = {0};
    struct trees_reading reading;
    uint32_t key;
    struct slice name = name_choose(&trees->history, &key, buffer);
    err_t err = ERR_OK;

    /* Unless held it must be given to each tree before anybody moves the horizon. */
    trees_read_begin(trees, trees->count > 1 || trees_chance(30), &reading);
    for (uint32_t i = 0; i < trees->count && err == ERR_OK; i++) {
        err = get_from(trees, &trees->trees[i], key, name, reading.snapshot, &digests[i]);
    }
    for (uint32_t i = 0; i < trees->count && err == ERR_OK; i++) {
        trees->trees[i].digest += digests[i];
    }
    TREES_CHECK_OK(trees, err, "lsm_get");
    trees_read_end(trees, &reading);
}

static YIELDS err_t
multi_get_from(struct trees *trees, struct tree *tree, const uint32_t *keys,
               const struct slice *names, uint32_t count, uint64_t snapshot)
{
    struct lsm_value values[KEYS_AT_ONCE_MAX] = {0};
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(lsm_multi_get(tree->lsm, names, count, snapshot, &arena, values));
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i] < trees->history.key_count) {
            check_value(trees, tree, "multi-get", keys[i], snapshot, &values[i]);
        } else {
            RUN_CHECK(trees->run, !values[i].is_found, "%s: a key never written", tree->dir);
        }
    }
out:
    arena_fini(&arena);
    return err;
}

void
trees_multi_get(struct trees *trees)
{
    struct tree *tree = &trees->trees[trees_draw(trees->count)];
    uint32_t count = 1 + (uint32_t)trees_draw(KEYS_AT_ONCE_MAX);
    uint8_t buffer[HISTORY_KEY_BYTES_MAX + 1]; /* For the last one that needs it. */
    uint32_t keys[KEYS_AT_ONCE_MAX];
    struct slice names[KEYS_AT_ONCE_MAX];
    struct trees_reading reading;

    for (uint32_t i = 0; i < count; i++) {
        keys[i] = (uint32_t)trees_draw(trees->history.key_count);
        names[i] = history_name(&trees->history, keys[i]);
    }
    names[count - 1] = name_choose(&trees->history, &keys[count - 1], buffer);
    trees_read_begin(trees, trees_chance(30), &reading);
    TREES_CHECK_OK(trees, multi_get_from(trees, tree, keys, names, count, reading.snapshot),
                   "lsm_multi_get");
    trees_read_end(trees, &reading);
}

/* ---- Scans. ---- */

struct walk {
    struct trees *trees;
    struct tree *tree;
    struct lsm_iter *iter;
    uint64_t snapshot;
    uint32_t low;
    uint32_t high;   /* Keys low..high - 1. */
    int64_t at;      /* Where it must stand; -1: at none. */
    bool is_forward; /* The last move was. */
    uint64_t digest;
};

static YIELDS err_t
walk_open(struct walk *walk)
{
    const struct history *history = &walk->trees->history;
    uint8_t low[HISTORY_KEY_BYTES_MAX + 1];
    uint8_t high[HISTORY_KEY_BYTES_MAX + 1];
    struct slice lower = history_bound(history, walk->low, trees_chance(20), low);
    struct slice upper = {0};

    if (walk->low == 0 && trees_chance(50)) {
        lower = (struct slice){0};
    }
    if (walk->high < history->key_count || trees_chance(50)) {
        upper = history_bound(history, walk->high, trees_chance(20), high);
    }
    return lsm_iter_open(walk->tree->lsm, lower, upper, walk->snapshot, &walk->iter);
}

/* It stands at a key, but not at the one where it must. */
static _Noreturn void
fail_place(const struct walk *walk, const char *what, struct slice name, uint64_t ts)
{
    const struct history *history = &walk->trees->history;
    uint32_t key = history_find(history, name);

    printf("%s: %s of [%u, %u) stands at key %u instead of %lld\n", walk->tree->dir, what,
           walk->low, walk->high, key, (long long)walk->at);
    if (key < history->key_count && (walk->at < 0 || key < walk->at)) { /* One too many. */
        fail_value(walk->trees, walk->tree, what, key, walk->snapshot, true, ts);
    }
    fail_value(walk->trees, walk->tree, what, (uint32_t)walk->at, walk->snapshot, false, 0);
}

static YIELDS err_t
walk_check(struct walk *walk)
{
    struct trees *trees = walk->trees;
    const struct lsm_entry *entry;
    const struct history_write *put;
    uint32_t key = (uint32_t)walk->at;
    struct slice value = {0};
    struct arena arena;
    err_t err;

    if (!lsm_iter_is_valid(walk->iter)) {
        if (walk->at >= 0) {
            fail_value(trees, walk->tree, "scan", key, walk->snapshot, false, 0);
        }
        return ERR_OK;
    }
    entry = lsm_iter_entry(walk->iter);
    if (walk->at < 0 || !slice_equal(entry->key, history_name(&trees->history, key))) {
        fail_place(walk, "a scan", entry->key, entry->ts);
    }
    put = history_get(&trees->history, key, walk->snapshot);
    RUN_CHECK(trees->run,
              entry->ts == put->ts && entry->slot == history_slot(key) &&
                  entry->expire_us == put->expire_us,
              "%s: a scan at %llu shows key %u of %llu, slot %u, not of %llu", walk->tree->dir,
              (unsigned long long)walk->snapshot, key, (unsigned long long)entry->ts, entry->slot,
              (unsigned long long)put->ts);
    check_position(trees, walk->tree, "scan", key, walk->snapshot, lsm_iter_lsn(walk->iter));
    arena_init(&arena, MEM_SESSIONS);
    err = lsm_iter_value(walk->iter, &arena, &value);
    if (err == ERR_OK) {
        put = history_get(&trees->history, key, walk->snapshot);
        RUN_CHECK(trees->run, history_value_is(put, value), "%s: a scan shows another value of %u",
                  walk->tree->dir, key);
        digest_add(&walk->digest, key, walk->snapshot, put->ts, value);
    }
    arena_fini(&arena);
    return err;
}

static YIELDS err_t
batch_row_check(struct walk *walk, const struct lsm_batch *batch, uint32_t index)
{
    struct trees *trees = walk->trees;
    uint32_t row = lsm_batch_row(batch, index);
    uint32_t key = (uint32_t)walk->at;
    const struct history_write *put;
    struct slice value = {0};
    struct arena arena;
    err_t err;

    if (walk->at < 0 || !slice_equal(batch->keys[row], history_name(&trees->history, key))) {
        fail_place(walk, "a batch", batch->keys[row], batch->ts[row]);
    }
    arena_init(&arena, MEM_SESSIONS);
    err = lsm_batch_value(walk->iter, batch, row, &arena, &value);
    if (err == ERR_OK) {
        put = history_get(&trees->history, key, walk->snapshot);
        RUN_CHECK(trees->run,
                  batch->ts[row] == put->ts && batch->slots[row] == history_slot(key) &&
                      batch->expire_us[row] == put->expire_us && history_value_is(put, value),
                  "%s: a batch at %llu shows key %u of %llu, slot %u, not of %llu", walk->tree->dir,
                  (unsigned long long)walk->snapshot, key, (unsigned long long)batch->ts[row],
                  batch->slots[row], (unsigned long long)put->ts);
        digest_add(&walk->digest, key, walk->snapshot, put->ts, value);
    }
    arena_fini(&arena);
    return err;
}

/* A batch from where it stands, which moves it behind. */
static YIELDS err_t
walk_batch(struct walk *walk)
{
    const struct history *history = &walk->trees->history;
    uint32_t rows_max = 1 + (uint32_t)trees_draw(trees_chance(50) ? 8 : LSM_BATCH_ROWS_MAX);
    const struct lsm_batch *batch;
    err_t err;

    TRY(lsm_iter_batch(walk->iter, rows_max, &batch));
    RUN_CHECK(walk->trees->run,
              batch->form == LSM_BATCH_ROWS && batch->count <= rows_max &&
                  (batch->count > 0) == (walk->at >= 0),
              "%s: a batch of %u rows, of %u at most", walk->tree->dir, batch->count, rows_max);
    SOMETIMES_IF(batch->selection != NULL, "lsm: a batch had rows that are not live");
    for (uint32_t i = 0; i < batch->count; i++) {
        TRY(batch_row_check(walk, batch, i));
        walk->at = history_next(history, walk->at + 1, 1, walk->low, walk->high, walk->snapshot);
    }
out:
    return err;
}

/* One of the seven ways to move; a step only when it stands somewhere. */
static YIELDS err_t
walk_move(struct walk *walk, int32_t direction)
{
    const struct history *history = &walk->trees->history;
    uint32_t key = (uint32_t)trees_draw(history->key_count);
    int64_t from = walk->at + direction;
    err_t err;

    switch (walk->at < 0 ? trees_draw(4) : trees_draw(40)) {
    case 4:
        if (walk->is_forward) {
            return walk_batch(walk);
        }
        err = lsm_iter_next(walk->iter);
        from = walk->at + 1;
        direction = 1;
        break;
    case 0:
        err = lsm_iter_seek(walk->iter, history_name(history, key));
        from = MAX(key, walk->low);
        direction = 1;
        break;
    case 1:
        err = lsm_iter_seek_before(walk->iter, history_name(history, key));
        from = (int64_t)MIN(key, walk->high) - 1;
        direction = -1;
        break;
    case 2:
        err = lsm_iter_first(walk->iter);
        from = walk->low;
        direction = 1;
        break;
    case 3:
        err = lsm_iter_last(walk->iter);
        from = (int64_t)walk->high - 1;
        direction = -1;
        break;
    default:
        err = direction > 0 ? lsm_iter_next(walk->iter) : lsm_iter_previous(walk->iter);
        break;
    }
    walk->at = history_next(history, from, direction, walk->low, walk->high, walk->snapshot);
    walk->is_forward = direction > 0;
    return err;
}

/* To and fro, while others write. */
static YIELDS err_t
walk_wander(struct walk *walk)
{
    uint32_t steps = (uint32_t)trees_draw(WALK_STEPS_MAX);
    int32_t direction = 1;
    err_t err;

    walk->at = -1;
    TRY(walk_open(walk));
    for (; steps > 0; steps--) {
        if (trees_chance(10)) {
            SOMETIMES_IF(walk->at >= 0, "lsm: a scan turned round");
            direction = -direction;
        }
        TRY(walk_move(walk, direction));
        TRY(walk_check(walk));
        if (trees_chance(5)) {
            fiber_sleep_us(trees_draw(5000));
        }
    }
out:
    lsm_iter_close(&walk->iter);
    return err;
}

/* All of the range, in batches. */
static YIELDS err_t
walk_in_batches(struct walk *walk)
{
    err_t err;

    TRY(walk_open(walk));
    TRY(lsm_iter_first(walk->iter));
    walk->at =
        history_next(&walk->trees->history, walk->low, 1, walk->low, walk->high, walk->snapshot);
    while (walk->at >= 0) {
        TRY(walk_batch(walk));
        if (trees_chance(10)) {
            fiber_sleep_us(trees_draw(3000));
        }
    }
    TRY(walk_check(walk));
out:
    lsm_iter_close(&walk->iter);
    return err;
}

/* All of the range in one direction. */
static YIELDS err_t
walk_through(struct walk *walk, int32_t direction)
{
    const struct history *history = &walk->trees->history;
    int64_t from = direction > 0 ? (int64_t)walk->low : (int64_t)walk->high - 1;
    err_t err;

    TRY(walk_open(walk));
    TRY(direction > 0 ? lsm_iter_first(walk->iter) : lsm_iter_last(walk->iter));
    for (;;) {
        walk->at = history_next(history, from, direction, walk->low, walk->high, walk->snapshot);
        TRY(walk_check(walk));
        if (walk->at < 0) {
            break;
        }
        from = walk->at + direction;
        TRY(direction > 0 ? lsm_iter_next(walk->iter) : lsm_iter_previous(walk->iter));
    }
out:
    lsm_iter_close(&walk->iter);
    return err;
}

void
trees_scan(struct trees *trees)
{
    uint32_t keys = trees->history.key_count;
    struct walk walk = {.trees = trees, .low = trees_chance(30) ? 0 : (uint32_t)trees_draw(keys)};
    uint64_t digests[HISTORY_SUBJECTS_MAX] = {0};
    struct trees_reading reading;
    int32_t direction = trees_chance(60) ? 1 : -1;
    err_t err = ERR_OK;

    walk.high = trees_chance(30) ? keys : walk.low + (uint32_t)trees_draw(keys - walk.low + 1);
    trees_read_begin(trees, true, &reading);
    walk.snapshot = reading.snapshot;
    if (trees_chance(50)) {
        walk.tree = &trees->trees[trees_draw(trees->count)];
        err = walk_wander(&walk);
    } else {
        for (uint32_t i = 0; i < trees->count && err == ERR_OK; i++) {
            walk.tree = &trees->trees[i];
            walk.digest = 0;
            err = trees_chance(50) ? walk_in_batches(&walk) : walk_through(&walk, direction);
            digests[i] = walk.digest;
        }
        for (uint32_t i = 0; i < trees->count && err == ERR_OK; i++) {
            trees->trees[i].digest += digests[i];
        }
    }
    TREES_CHECK_OK(trees, err, "a scan");
    trees_read_end(trees, &reading);
}

/* ---- Everything. ---- */

err_t
trees_check_tree(struct trees *trees, struct tree *tree, uint64_t snapshot)
{
    const struct history *history = &trees->history;
    struct walk walk = {
        .trees = trees, .tree = tree, .snapshot = snapshot, .low = 0, .high = history->key_count};
    err_t err;

    TRY(walk_through(&walk, 1));
    TRY(walk_through(&walk, -1));
    TRY(walk_in_batches(&walk));
    for (uint32_t key = 0; key < history->key_count; key++) {
        TRY(get_from(trees, tree, key, history_name(history, key), snapshot, &walk.digest));
    }
out:
    return err;
}
