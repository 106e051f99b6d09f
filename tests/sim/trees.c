/* tests/sim/trees.c - opening, writing to and maintaining the trees of trees.h. */
#include "tests/sim/trees.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shard.h"

enum {
    LARGE_BYTES_MAX = 100 << 10,
    TS_STEP = 1 << 12, /* One microsecond. */
    LEAP_US_MAX = 200000,
    LATE_TRIES = 4,
    REFUSED_SLEEP_US = 20000,
    NOTE_BYTES = 8,
};

uint64_t
trees_draw(uint64_t bound)
{
    return prng_below(shard_prng(), bound);
}

bool
trees_chance(uint32_t percent)
{
    return trees_draw(100) < percent;
}

bool
trees_excuse(struct trees *trees, err_t err)
{
    bool is_excused =
        (trees->has_rot && (err == ERR_CORRUPT || err == ERR_FORMAT || err == ERR_IO)) ||
        (trees->has_errors && (err == ERR_IO || err == ERR_NO_SPACE));

    trees->errors += is_excused;
    return is_excused;
}

/* ---- Options. ---- */

static void
options_draw(struct run *run, struct lsm_options *lsm)
{
    memset(lsm, 0, sizeof(*lsm));
    lsm->memtable_bytes = run_between(run, 4 << 10, 100 << 10);
    lsm->memtables_max = (uint32_t)run_between(run, 2, 5);
    lsm->cache_bytes = run_chance(run, 30) ? 1 : run_between(run, 8 << 10, 512 << 10);
    if (run_chance(run, 25)) {
        lsm->cache_bytes = run_between(run, 1 << 20, 16 << 20);
    }
    lsm->table_bytes = run_between(run, 8 << 10, 128 << 10);
    lsm->level_base_bytes = UINT64_C(128) << run_below(run, 11);
    lsm->level0_tables = (uint32_t)run_between(run, 1, 5);
    lsm->block_bytes = run_chance(run, 50) ? (uint32_t)run_between(run, 64, 16 << 10) : 0;
    lsm->plain_levels = run_chance(run, 50) ? (uint32_t)run_below(run, 1 << LSM_LEVELS) : 0;
    lsm->guide_bytes = run_chance(run, 30) ? run_between(run, 1, 64 << 10) : 0;
    lsm->scan_skips_min = run_chance(run, 50) ? run_between(run, 1, 200) : 0;
}

static YIELDS void
wait_durable(void *arg, uint64_t lsn)
{
    struct trees *trees = arg;

    while (trees->history.durable < lsn) {
        uint64_t end = trees->history.appended;

        fiber_sleep_us(1 + trees_draw(trees->log_delay_us_max));
        trees->history.durable = MAX(trees->history.durable, end);
    }
}

void
trees_init(struct trees *trees, struct run *run, uint32_t max)
{
    memset(trees, 0, sizeof(*trees));
    trees->run = run;
    trees->count = (uint32_t)run_between(run, 1, max);
    history_init(&trees->history, run, (uint32_t)run_between(run, 4, HISTORY_KEYS_MAX));
    for (uint32_t i = 0; i < trees->count; i++) {
        struct tree *tree = &trees->trees[i];

        snprintf(tree->dir, sizeof(tree->dir), "tree-%u", i);
        options_draw(run, &tree->options);
        tree->options.dir = tree->dir;
        tree->options.wait_durable = wait_durable;
        tree->options.wait_durable_arg = trees;
    }
    trees->value_bytes_max = (uint32_t)run_between(run, 100, 6000);
    trees->large_permille = run_chance(run, 40) ? (uint32_t)run_below(run, 60) : 0;
    trees->delete_percent = (uint32_t)run_between(run, 5, 40);
    trees->log_delay_us_max = run_between(run, 100, 50000);
    trees->is_horizon_close = run_chance(run, 30);
    trees->expire_percent = run_chance(run, 25) ? (uint32_t)run_between(run, 60, 100) : 10;
    trees->is_queue = run_chance(run, 20);
}

static void
snapshots_forget(struct trees *trees)
{
    memset(trees->held_ts, 0, sizeof(trees->held_ts));
    memset(trees->held_users, 0, sizeof(trees->held_users));
    memset(trees->reading_ts, 0, sizeof(trees->reading_ts));
    trees_checkpoints_crash(trees);
}

void
trees_forget(struct trees *trees)
{
    history_clear(&trees->history);
    trees->horizon = 0;
    for (uint32_t i = 0; i < trees->count; i++) {
        trees->trees[i].flushed_lsn = 0;
        trees->trees[i].digest = 0;
        memset(trees->trees[i].checkpoints, 0, sizeof(trees->trees[i].checkpoints));
    }
    trees->ingest_count = 0;
    snapshots_forget(trees);
}

void
trees_crash(struct trees *trees)
{
    struct history *history = &trees->history;
    uint64_t kept = history->appended;

    if (run_chance(trees->run, 70)) {
        kept = run_between(trees->run, history->durable, history->appended);
    }
    SOMETIMES_IF(kept < history->appended, "lsm: a crash took the log's tail");
    history_cut(history, kept);
    snapshots_forget(trees);
}

/* ---- Writing. ---- */

struct batch {
    struct history_write writes[TREES_BATCH_WRITES_MAX];
    uint32_t count;
    uint32_t appended[HISTORY_SUBJECTS_MAX]; /* Writes whose large value is in the value log. */
    uint64_t bytes;
};

static bool
is_large(const struct history_write *write)
{
    return write->kind == HISTORY_PUT && write->bytes > LSM_VALUE_INLINE_BYTES_MAX;
}

static void
put_draw(struct trees *trees, struct history_write *write)
{
    write->kind = HISTORY_PUT;
    if (trees_draw(1000) < trees->large_permille) {
        write->bytes = LSM_VALUE_INLINE_BYTES_MAX + 1 + (uint32_t)trees_draw(LARGE_BYTES_MAX);
    } else {
        write->bytes = (uint32_t)trees_draw(trees_chance(15) ? trees->value_bytes_max : 80);
    }
    if (trees_chance(trees->expire_percent)) { /* Past or soon, as the batch's time will show. */
        write->expire_us = (trees->history.ts >> 12) + trees_draw(trees_chance(50) ? 200 : 500000);
    }
}

void
trees_write_draw(struct trees *trees, struct history_write *write, bool may_be_range)
{
    struct history *history = &trees->history;
    uint32_t keys = history->key_count;

    memset(write, 0, sizeof(*write));
    write->id = history->next_id++;
    write->key = (uint32_t)trees_draw(trees_chance(30) ? MIN(keys, 4u) : keys);
    if (may_be_range && trees_chance(3)) {
        write->kind = HISTORY_RANGE_DELETE;
        write->end = write->key + 1 + (uint32_t)trees_draw(trees_chance(20) ? keys : 8);
        write->end = MIN(write->end, keys);
        write->start_is_successor = trees_chance(20);
        write->end_is_successor = trees_chance(20);
    } else if (trees_chance(trees->delete_percent)) {
        write->kind = HISTORY_DELETE;
    } else {
        put_draw(trees, write);
    }
}

/* What is put at one end is deleted at the other, round and round. */
static void
queue_write_draw(struct trees *trees, struct history_write *write)
{
    struct history *history = &trees->history;
    bool is_put = trees->queue_head == trees->queue_tail || trees_chance(50);

    memset(write, 0, sizeof(*write));
    write->id = history->next_id++;
    write->key = (is_put ? trees->queue_tail++ : trees->queue_head++) % history->key_count;
    write->kind = HISTORY_DELETE;
    if (is_put) {
        put_draw(trees, write);
    }
}

static void
batch_draw(struct trees *trees, struct batch *batch)
{
    memset(batch->appended, 0, sizeof(batch->appended));
    batch->count = trees_chance(50) ? 1 : 1 + (uint32_t)trees_draw(TREES_BATCH_WRITES_MAX);
    batch->bytes = TREES_BATCH_LOG_BYTES;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (trees->is_queue && trees_chance(90)) {
            queue_write_draw(trees, &batch->writes[i]);
        } else {
            trees_write_draw(trees, &batch->writes[i], true);
        }
        batch->bytes += is_large(&batch->writes[i]) ? VLOG_POINTER_BYTES : batch->writes[i].bytes;
    }
}

/* Values above the inline size go to every tree's value log first. */
static YIELDS err_t
large_append(struct trees *trees, struct batch *batch, uint32_t which)
{
    struct vlog *vlog = lsm_vlog(trees->trees[which].lsm);
    uint32_t *done = &batch->appended[which];
    struct vlog_pointer pointer;
    struct arena arena;
    uint8_t *value;
    err_t err = ERR_OK;

    for (; *done < batch->count; ++*done) {
        struct history_write *write = &batch->writes[*done];

        if (!is_large(write)) {
            continue;
        }
        arena_init(&arena, MEM_SESSIONS);
        value = arena_alloc(&arena, write->bytes);
        history_value_fill(write, value);
        err = vlog_append(vlog, slice_of(value, write->bytes), &pointer);
        arena_fini(&arena);
        TRY(err);
        vlog_pointer_encode(&pointer, write->pointers[which]);
    }
out:
    return err;
}

static void
large_release(struct trees *trees, const struct batch *batch, uint32_t which)
{
    for (uint32_t i = 0; i < batch->appended[which]; i++) {
        const struct history_write *write = &batch->writes[i];
        struct vlog_pointer pointer;

        if (is_large(write)) {
            err_t err =
                vlog_pointer_decode(slice_of(write->pointers[which], VLOG_POINTER_BYTES), &pointer);

            ASSERT(err == ERR_OK);
            vlog_release_hold(lsm_vlog(trees->trees[which].lsm), &pointer);
        }
    }
}

/* While it is replayed: what is durable need not have a position, as if another log had it. */
static uint64_t
position(const struct trees *trees, const struct history_write *write)
{
    return write->lsn <= trees->history.durable && trees_chance(50) ? 0 : write->lsn;
}

static void
apply_range_delete(const struct trees *trees, struct tree *tree, const struct history_write *write)
{
    uint8_t start[HISTORY_KEY_BYTES_MAX + 1];
    uint8_t end[HISTORY_KEY_BYTES_MAX + 1];
    struct lsm_range_delete range = {
        .start = history_bound(&trees->history, write->key, write->start_is_successor, start),
        .end = history_bound(&trees->history, write->end, write->end_is_successor, end),
        .ts = write->ts,
        .lsn = position(trees, write),
    };

    lsm_apply_range_delete(tree->lsm, &range);
}

void
trees_apply(struct trees *trees, struct tree *tree, uint32_t which,
            const struct history_write *write)
{
    struct lsm_entry entry = {
        .key = history_name(&trees->history, write->key),
        .ts = write->ts,
        .lsn = position(trees, write),
        .slot = history_slot(write->key),
        .kind = LSM_DELETE,
    };
    struct buf value;

    if (write->kind == HISTORY_RANGE_DELETE) {
        apply_range_delete(trees, tree, write);
        return;
    }
    buf_init(&value, MEM_SESSIONS);
    if (is_large(write)) {
        entry.kind = LSM_PUT_LARGE;
        entry.value = slice_of(write->pointers[which], VLOG_POINTER_BYTES);
    } else if (write->kind == HISTORY_PUT) {
        buf_reserve(&value, write->bytes + 1);
        history_value_fill(write, value.data);
        entry.kind = LSM_PUT;
        entry.value = slice_of(value.data, write->bytes);
    }
    entry.expire_us = write->expire_us;
    lsm_apply(tree->lsm, &entry);
    buf_fini(&value);
}

static void
rotate(struct tree *tree, uint64_t lsn)
{
    uint8_t note[NOTE_BYTES];

    put_le64(note, lsn);
    lsm_rotate(tree->lsm, lsn, slice_of(note, sizeof(note)));
}

void
trees_rotate_if_due(struct tree *tree, uint64_t lsn)
{
    if (lsm_wants_rotation(tree->lsm)) {
        rotate(tree, lsn);
    } else if (trees_draw(400) == 0 && lsm_can_rotate(tree->lsm)) {
        rotate(tree, lsn);
    }
}

YIELDS err_t
trees_wait_room(struct trees *trees, uint64_t bytes)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < trees->count; i++) {
        if (!lsm_has_room(trees->trees[i].lsm, bytes)) {
            TRY(lsm_wait_room(trees->trees[i].lsm, bytes));
            i = UINT32_MAX; /* The others may have filled up meanwhile. */
        }
    }
out:
    return err;
}

/* A timestamp of the past that is free, above the horizon and above what anybody reads; 0 when
 * none was found. Slot moves and bulk loads write so. */
static uint64_t
ts_late(const struct trees *trees)
{
    uint64_t floor = MAX(trees->horizon, trees_checkpoint_ts(trees));

    for (uint32_t i = 0; i < TREES_HELD_MAX; i++) {
        floor = MAX(floor, trees->held_ts[i]);
    }
    for (uint32_t i = 0; i < TREES_READERS_MAX; i++) {
        floor = MAX(floor, trees->reading_ts[i]);
    }
    for (uint32_t i = 0; i < LATE_TRIES && floor < trees->history.ts - 1; i++) {
        uint64_t span = MIN(trees->history.ts - floor - 1, (uint64_t)64 * TS_STEP);
        uint64_t ts = trees->history.ts - 1 - trees_draw(span);

        if (!history_has_ts(&trees->history, ts)) {
            return ts;
        }
    }
    return 0;
}

static uint64_t
ts_draw(const struct trees *trees)
{
    switch (trees_draw(8)) {
    case 0:
        return trees->history.ts + 1;
    case 1:
        return trees->history.ts + TS_STEP * (1 + trees_draw(LEAP_US_MAX));
    default:
        return trees->history.ts + TS_STEP * (1 + trees_draw(300));
    }
}

uint64_t
trees_ts_draw(struct trees *trees)
{
    uint64_t ts = trees_chance(5) ? ts_late(trees) : 0;

    if (ts != 0) {
        SOMETIMES("lsm: a write came late");
        return ts;
    }
    ts = ts_draw(trees);
    if (trees->is_horizon_close) {
        trees->horizon = ts;
    }
    return ts;
}

/* The point where it takes effect, in all trees. */
static void
batch_apply(struct trees *trees, struct batch *batch)
{
    uint64_t lsn = trees->history.appended + batch->bytes;
    uint64_t ts = trees_ts_draw(trees);

    for (uint32_t i = 0; i < batch->count; i++) {
        batch->writes[i].ts = ts;
        batch->writes[i].lsn = lsn;
        history_append(&trees->history, &batch->writes[i]);
    }
    for (uint32_t which = 0; which < trees->count; which++) {
        lsm_horizon_set(trees->trees[which].lsm, trees->horizon);
        for (uint32_t i = 0; i < batch->count; i++) {
            trees_apply(trees, &trees->trees[which], which, &batch->writes[i]);
        }
        trees_rotate_if_due(&trees->trees[which], lsn);
    }
    trees->commits++;
}

static YIELDS void
commit(struct trees *trees)
{
    struct batch batch;
    err_t err = ERR_OK;

    batch_draw(trees, &batch);
    for (uint32_t i = 0; i < trees->count && err == ERR_OK; i++) {
        err = large_append(trees, &batch, i);
    }
    if (err == ERR_OK) {
        err = trees_wait_room(trees, batch.bytes);
    }
    if (err == ERR_OK) {
        batch_apply(trees, &batch);
    }
    for (uint32_t i = 0; i < trees->count; i++) {
        large_release(trees, &batch, i);
    }
    TREES_CHECK_OK(trees, err, "a write");
    if (err != ERR_OK) {
        SOMETIMES("lsm: a write was refused");
        fiber_sleep_us(REFUSED_SLEEP_US);
    }
}

/* ---- Opening and closing. ---- */

static void
on_flushed(void *arg, uint64_t flushed_lsn)
{
    struct tree *tree = arg;
    struct trees *trees = tree->options.wait_durable_arg;

    RUN_CHECK(trees->run, flushed_lsn >= tree->flushed_lsn, "%s: flushed up to %llu after %llu",
              tree->dir, (unsigned long long)flushed_lsn, (unsigned long long)tree->flushed_lsn);
    RUN_CHECK(trees->run, flushed_lsn <= trees->history.durable,
              "%s: flushed up to %llu, the log is durable up to %llu", tree->dir,
              (unsigned long long)flushed_lsn, (unsigned long long)trees->history.durable);
    tree->flushed_lsn = flushed_lsn;
}

/* What was said to be flushed is, and tables hold nothing that the log could lose. */
static void
recovered_check(struct trees *trees, struct tree *tree, const struct lsm_recovered *recovered)
{
    const struct history *history = &trees->history;
    uint64_t flushed = recovered->flushed_lsn;
    uint64_t note = recovered->note.size == NOTE_BYTES ? get_le64(recovered->note.data) : 0;

    /* The manifest's very last write may be lost by a disk that lies: then the log tells, of which
     * this one releases nothing. */
    RUN_CHECK(trees->run,
              (flushed >= tree->flushed_lsn || trees->has_rot) && flushed <= history->durable,
              "%s: opened with %llu flushed; before it was %llu, the log ends at %llu", tree->dir,
              (unsigned long long)flushed, (unsigned long long)tree->flushed_lsn,
              (unsigned long long)history->durable);
    RUN_CHECK(trees->run, note == flushed, "%s: the note of %llu at %llu", tree->dir,
              (unsigned long long)note, (unsigned long long)flushed);
    RUN_CHECK(trees->run, recovered->ts_newest <= history_ts_newest(history, flushed),
              "%s: tables have timestamp %llu, newer than all that was flushed", tree->dir,
              (unsigned long long)recovered->ts_newest);
    tree->flushed_lsn = flushed;
}

YIELDS err_t
trees_replay(struct trees *trees, uint32_t which, struct tree *tree, uint64_t flushed_lsn,
             uint64_t log_end)
{
    const struct history *history = &trees->history;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < history->write_count; i++) {
        const struct history_write *write = &history->writes[i];

        if (write->lsn <= flushed_lsn || write->lsn > log_end) {
            continue;
        }
        if (i == 0 || history->writes[i - 1].lsn < write->lsn) { /* A batch begins. */
            TRY(lsm_wait_room(tree->lsm, write->bytes));
        }
        if (write->ingest != 0 && (i == 0 || history->writes[i - 1].ingest != write->ingest)) {
            TRY(trees_ingest_replay(trees, tree, which, write));
        }
        if (write->ingest == 0) {
            trees_apply(trees, tree, which, write);
        }
        if (i + 1 == history->write_count || history->writes[i + 1].lsn > write->lsn) {
            trees_rotate_if_due(tree, write->lsn);
        }
    }
    err = lsm_files_collect(tree->lsm);
out:
    return err;
}

static YIELDS err_t
tree_open(struct trees *trees, uint32_t which)
{
    struct tree *tree = &trees->trees[which];
    struct lsm_recovered recovered = {0};
    uint64_t flushed = tree->flushed_lsn;
    err_t err;

    tree->lsm = NULL;
    TRY(lsm_open(&tree->options, &recovered, &tree->lsm));
    recovered_check(trees, tree, &recovered);
    flushed = tree->flushed_lsn;
    lsm_on_flushed(tree->lsm, on_flushed, tree);
    trees_checkpoints_check(trees, tree);
    TRY(trees_replay(trees, which, tree, flushed, trees->history.appended));
    TRY(trees_copy_remove(tree));
    SOMETIMES_IF(flushed < tree->flushed_lsn, "lsm: a memtable was flushed during replay");
    lsm_horizon_set(tree->lsm, trees->horizon);
    if (trees_chance(40)) {
        TRY(lsm_verify(tree->lsm));
    }
out:
    return err;
}

err_t
trees_open(struct trees *trees)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < trees->count; i++) {
        TRY(tree_open(trees, i));
    }
    TRY(trees_check_all(trees));
out:
    return err;
}

void
trees_close(struct trees *trees)
{
    for (uint32_t i = 0; i < TREES_HELD_MAX; i++) {
        for (uint32_t k = 0; k < trees->count && trees->held_ts[i] != 0; k++) {
            lsm_snapshot_drop(trees->trees[k].lsm, &trees->trees[k].held[i]);
        }
    }
    for (uint32_t i = 0; i < trees->count; i++) {
        lsm_close(&trees->trees[i].lsm);
    }
    trees->history.durable = trees->history.appended;
    snapshots_forget(trees);
}

err_t
trees_check_all(struct trees *trees)
{
    uint64_t newest = trees->history.ts;
    uint64_t older = newest - trees_draw(newest - trees->horizon + 1);
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < trees->count; i++) {
        TRY(trees_check_tree(trees, &trees->trees[i], newest));
        TRY(trees_check_tree(trees, &trees->trees[i], older));
    }
out:
    return err;
}

/* ---- Working. ---- */

static YIELDS void
maintain(struct trees *trees)
{
    struct tree *tree = &trees->trees[trees_draw(trees->count)];
    const struct history *history = &trees->history;
    uint8_t buffer[HISTORY_KEY_BYTES_MAX + 1];
    uint32_t low = (uint32_t)trees_draw(history->key_count);
    uint32_t high = low + 1 + (uint32_t)trees_draw(history->key_count - low);

    switch (trees_draw(7)) {
    case 0:
        TREES_CHECK_OK(trees,
                       lsm_compact(tree->lsm, history_name(history, low),
                                   trees_chance(50) ? (struct slice){0}
                                                    : history_bound(history, high, true, buffer)),
                       "lsm_compact");
        break;
    case 1:
        TREES_CHECK_OK(trees, lsm_verify(tree->lsm), "lsm_verify");
        break;
    case 2:
        lsm_budget_set(tree->lsm, 4 << 10 << trees_draw(6), 1 << trees_draw(20));
        break;
    case 3:
        if (lsm_can_rotate(tree->lsm)) {
            rotate(tree, history->appended);
        }
        break;
    case 4:
        lsm_scrub_set(tree->lsm, trees_chance(30) ? 0 : (uint64_t)(64 << 10) << trees_draw(8));
        break;
    default:
        TREES_CHECK_OK(trees, lsm_flush(tree->lsm), "lsm_flush");
        break;
    }
}

static void
horizon_move(struct trees *trees)
{
    uint64_t newest = trees->history.ts;

    trees->horizon += trees_draw(newest - trees->horizon + 1);
    trees->horizon = trees_chance(40) ? newest : trees->horizon;
    for (uint32_t i = 0; i < trees->count; i++) {
        lsm_horizon_set(trees->trees[i].lsm, trees->horizon);
    }
}

/* One snapshot, of all trees, is taken or dropped. */
static void
snapshot_toggle(struct trees *trees)
{
    uint32_t which = (uint32_t)trees_draw(TREES_HELD_MAX);
    bool is_taken = trees->held_ts[which] == 0;

    if (trees->held_users[which] > 0) {
        return;
    }
    if (is_taken) { /* What is written from now on is newer, or late and known to be. */
        trees->held_ts[which] = MAX(trees->horizon, trees->history.ts - trees_draw(20) * TS_STEP);
        trees->held_ts[which] = trees_chance(60) ? trees->history.ts : trees->held_ts[which];
    }
    for (uint32_t i = 0; i < trees->count; i++) {
        struct lsm_snapshot *held = &trees->trees[i].held[which];

        if (is_taken) {
            lsm_snapshot_take(trees->trees[i].lsm, trees->held_ts[which], held);
        } else {
            lsm_snapshot_drop(trees->trees[i].lsm, held);
        }
    }
    trees->held_ts[which] = is_taken ? trees->held_ts[which] : 0;
}

static bool
snapshot_is_in_use(const struct trees *trees, uint64_t snapshot)
{
    for (uint32_t i = 0; i < TREES_HELD_MAX; i++) {
        if (trees->held_ts[i] == snapshot) {
            return true;
        }
    }
    for (uint32_t i = 0; i < TREES_READERS_MAX; i++) {
        if (trees->reading_ts[i] == snapshot) {
            return true;
        }
    }
    return false;
}

/* What the horizon has passed is refused, unless a snapshot is held just there. */
static YIELDS void
read_too_old(struct trees *trees)
{
    struct tree *tree = &trees->trees[trees_draw(trees->count)];
    uint64_t snapshot = lsm_horizon(tree->lsm) - 1;
    struct lsm_value value = {0};
    struct arena arena;
    err_t err;

    if (snapshot == UINT64_MAX || snapshot_is_in_use(trees, snapshot)) {
        return; /* The horizon has not been moved yet, or it may be held. */
    }
    arena_init(&arena, MEM_SESSIONS);
    err = lsm_get(tree->lsm, history_name(&trees->history, 0), snapshot, &arena, &value);
    RUN_CHECK(trees->run, err == ERR_SNAPSHOT_TOO_OLD, "a read below the horizon gave %s",
              err_name(err));
    arena_fini(&arena);
}

static uint32_t
level_count(const struct lsm_stats *stats)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        count += stats->level_tables[i] > 0;
    }
    return count;
}

/* What the tree has done in this life. */
static void
stats_note(const struct tree *tree)
{
    struct lsm_stats stats;

    lsm_stats_get(tree->lsm, &stats);
    SOMETIMES_IF(stats.entry_cache_hits > 0, "lsm: an entry was found in the entry cache");
    SOMETIMES_IF(stats.trivial_moves > 0, "lsm: a table moved to another level as it was");
    SOMETIMES_IF(level_count(&stats) > 3, "lsm: there are many levels");
    SOMETIMES_IF(stats.scrub_rounds > 0, "lsm: a round of scrub ended");
    SOMETIMES_IF(stats.tables_shunned > 0, "lsm: a tree has a table that is shunned");
}

void
trees_work_once(struct trees *trees)
{
    uint64_t draw = trees_draw(100);

    trees->run->operations++;
    if (draw < 48) {
        commit(trees);
    } else if (draw < 62) {
        trees_get(trees);
    } else if (draw < 66) {
        trees_changes(trees);
    } else if (draw < 74) {
        trees_multi_get(trees);
    } else if (draw < 86) {
        trees_scan(trees);
    } else if (draw < 89) {
        maintain(trees);
    } else if (draw < 92) {
        horizon_move(trees);
    } else if (draw < 95) {
        snapshot_toggle(trees);
    } else if (draw < 96) {
        trees_checkpoint(trees);
    } else if (draw < 97) {
        trees_ingest(trees);
    } else if (draw < 98) {
        read_too_old(trees);
        stats_note(&trees->trees[trees_draw(trees->count)]);
    } else {
        fiber_sleep_us(trees_draw(draw < 99 ? 50000 : 500));
    }
}
