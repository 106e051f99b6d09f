/* txn/reshard.c - see reshard.h. */
#include "txn/reshard.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/folder.h"
#include "txn/slots.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

enum {
    RETIRE_WAIT_US = 10 * 1000,
    RETIRE_ROUNDS_MAX = 100,
    RETIRE_RETRY_US = 5000 * 1000,
    GROUP_SLOTS_FIRST = 16,
    WORK_UNITS_PER_ROW = 2,
};

struct reshard {
    struct reshard_options options;
    struct reshard_stats stats;
    uint16_t target[SLOT_COUNT];
    uint32_t group_slots; /* Of the next group, at most. */
    uint32_t next;        /* The slot from which on the next group is looked for. */
    bool is_closing;
    struct cond rest_cond;
    struct fiber_group fibers;
};

/* ---- Who is to own what: each keeps what it has up to its share, lowest slots first. ---- */

static void
target_make(struct reshard *reshard, const struct slots *slots)
{
    uint32_t wanted = reshard->options.shards;
    uint32_t share[SHARDS_MAX] = {0};
    uint32_t next = 0;

    for (uint32_t i = 0; i < wanted; i++) {
        share[i] = slots_even_first(i + 1, wanted) - slots_even_first(i, wanted);
    }
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint32_t owner = slots->owner[slot] & SLOT_SHARD_MASK;

        reshard->target[slot] = SHARDS_MAX;
        if (owner < wanted && share[owner] > 0) {
            reshard->target[slot] = (uint16_t)owner;
            share[owner]--;
        }
    }
    reshard->stats.slots_left = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        if (reshard->target[slot] == SHARDS_MAX) {
            while (share[next] == 0) {
                next++;
            }
            share[next]--;
            reshard->target[slot] = (uint16_t)next;
            reshard->stats.slots_left++;
        }
    }
}

/* ---- A group: steps on every shard. ---- */

struct move {
    struct slots_move group;
    slots_copy_fn copy;
    uint64_t epoch; /* Even, before. */
    uint64_t clock; /* No snapshot was given above it when all held the group. */
    struct slot_past past;
    bool is_done;
    uint64_t held_us;
    uint64_t blocked_by; /* Whose locks were in the way; 0: nobody's. */
    err_t err;
    char text[ERR_MESSAGE_BYTES_MAX];
};

struct step {
    const struct move *move;
    uint64_t clock; /* Out. */
    err_t err;      /* Out. */
    char text[ERR_MESSAGE_BYTES_MAX];
};

static void
step_end(struct step *step, err_t err)
{
    step->err = err;
    if (err != ERR_OK) {
        snprintf(step->text, sizeof(step->text), "%s", err_message(err));
    }
}

static YIELDS void
want_run(void *arg)
{
    step_end(arg, slots_want(txns_self()->slots, shard_now_us() + RESHARD_PIN_WAIT_US));
}

static void
hold_run(void *arg)
{
    struct step *step = arg;
    const struct slots_move *group = &step->move->group;
    struct txns *txns = txns_self();

    slots_hold(txns->slots, group->first, group->count, step->move->epoch + 1);
    step->clock = MAX(clock_read(&txns->store->clock), shard_acked());
}

static void
release_run(void *arg)
{
    struct step *step = arg;
    const struct move *move = step->move;

    slots_release(txns_self()->slots, move->group.first, move->group.count, move->epoch + 2,
                  move->is_done ? &move->past : NULL, move->group.to);
}

/* What was prepared here is decided when this returns: nothing comes below a snapshot of now. */
static YIELDS err_t
settle_here(uint32_t shard)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    struct txn_scan *scan = NULL;
    uint8_t last[] = {0xff, 0xff, 0xff, 0xff};
    err_t err;

    err = txn_scan_open(txn, txn_slot_of_shard(shard), SLICE("\x00"), slice_of(last, sizeof(last)),
                        &scan);
    txn_scan_close(&scan);
    txn_abort(&txn);
    return err;
}

static YIELDS void
settle_run(void *arg)
{
    step_end(arg, settle_here(shard_id()));
}

static YIELDS err_t
all_call(struct move *move, enum msg_kind kind, msg_fn fn)
{
    uint32_t count = shard_count();
    struct step *steps = mem_zalloc(MEM_BACKGROUND, count * sizeof(*steps));
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        steps[i].move = move;
    }
    msg_call_all(kind, fn, steps, sizeof(*steps));
    for (uint32_t i = 0; i < count; i++) {
        move->clock = MAX(move->clock, steps[i].clock);
        if (steps[i].err != ERR_OK && err == ERR_OK) {
            err = err_set(steps[i].err, "%s", steps[i].text);
        }
    }
    mem_free(MEM_BACKGROUND, steps, count * sizeof(*steps));
    return err;
}

/* ---- A group: the transaction, on the old owner. ---- */

YIELDS err_t
slots_move_put(struct slots_move *move, uint16_t slot, struct slice key, struct slice value,
               uint64_t expire_us)
{
    struct overlay *pending = &txn_remote_of(move->txn, move->to)->pending;
    err_t err = ERR_OK;

    ASSERT(slot >= move->first);
    ASSERT(slot < move->first + move->count);
    overlay_put(pending, slot, key, value, expire_us);
    move->entries++;
    move->bytes += key.size + value.size;
    move->unsent += key.size + value.size;
    if (move->unsent > RESHARD_FLUSH_BYTES) {
        move->unsent = 0;
        err = txn_flush(move->txn);
    }
    return err;
}

void
slots_move_delete(struct slots_move *move, uint16_t slot, struct slice key)
{
    overlay_delete(&move->txn->part.writes, slot, key);
}

void
slots_move_delete_range(struct slots_move *move, struct slice start, struct slice end)
{
    overlay_delete_range(&move->txn->part.writes, start, end);
}

/* Sending what was gathered may move the row. */
static YIELDS err_t
row_move(struct slots_move *move, struct txn_scan *scan, struct arena *arena)
{
    const struct lsm_entry *entry = txn_scan_entry(scan);
    uint16_t slot = entry->slot;
    uint64_t expire_us = entry->expire_us;
    struct slice key, value;
    err_t err;

    move->scanned += entry->key.size + entry->value.size;
    if (slot < move->first || slot >= move->first + move->count) {
        return ERR_OK;
    }
    key = arena_copy(arena, entry->key);
    TRY(txn_scan_value(scan, arena, &value));
    move->keys++;
    slots_move_delete(move, slot, key);
    err = slots_move_put(move, slot, key, value, expire_us);
out:
    return err;
}

/* Not read by the move itself, which writes of other slots in the range would refuse then. What is
 * held does not change: its writes are refused, and those before have been decided. */
err_t
slots_move_range(struct slots_move *move, struct slice lower, struct slice upper)
{
    struct txn *reading = txn_begin_auto(true, NULL);
    struct txn_scan *scan = NULL;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_BACKGROUND);
    TRY(txn_scan_open(reading, txn_slot_of_shard(move->from), lower, upper, &scan));
    for (err = txn_scan_first(scan); err == ERR_OK && txn_scan_is_valid(scan);
         err = txn_scan_next(scan)) {
        TRY(row_move(move, scan, &arena));
        arena_reset(&arena);
        fiber_work(WORK_UNITS_PER_ROW);
    }
out:
    txn_scan_close(&scan);
    txn_abort(&reading);
    arena_fini(&arena);
    return err;
}

void
slots_move_counter(struct slots_move *move, uint32_t counter, int64_t number)
{
    if (number != 0) {
        overlay_counter_add(&move->txn->part.writes, counter, -number);
        overlay_counter_add(&txn_remote_of(move->txn, move->to)->pending, counter, number);
    }
}

static void
records_put(struct move *move, struct txn *txn)
{
    const struct slots *slots = txns_self()->slots;

    for (uint32_t i = 0; i < move->group.count; i++) {
        uint16_t slot = (uint16_t)(move->group.first + i);
        struct slot_past past = {.from = (uint16_t)move->group.from};
        uint8_t key[SLOT_KEY_BYTES];
        uint8_t value[SLOT_VALUE_BYTES];

        past.since = slots->past == NULL ? 0 : slots->past[slot].ts;
        txn_put(txn, txn_slot_of_shard(0), slot_key(key, slot),
                slot_value(value, move->group.to, &past), 0);
    }
}

static YIELDS err_t
group_commit(struct move *move)
{
    struct txn_options options = {
        .isolation = TXN_SERIALIZABLE,
        .lock_timeout_us = RESHARD_LOCK_WAIT_US,
        .protocol = SLICE(SLOTS_PROTOCOL),
    };
    struct txn_done done = {0};
    struct txn *txn = NULL;
    err_t err;

    TRY(txn_begin(&options, &txn));
    txn->part.is_move = true;
    txn->part.locks.in_the_way = &move->blocked_by;
    move->group.txn = txn;
    move->group.keys = 0;
    move->group.entries = 0;
    move->group.bytes = 0;
    move->group.scanned = 0;
    move->group.unsent = 0;
    TRY(txn_statement(txn, false));
    TRY(move->copy(&move->group));
    records_put(move, txn);
    TRY(txn_commit(&txn, &done));
    move->past = (struct slot_past){.ts = done.ts, .from = (uint16_t)move->group.from};
    move->is_done = true;
out:
    txn_abort(&txn);
    return err;
}

/* The group is held everywhere. */
static YIELDS err_t
group_move(struct move *move)
{
    struct step settled = {.move = move};
    err_t err;

    clock_raise(&txns_self()->store->clock, move->clock);
    TRY(settle_here(shard_id()));
    TRY(group_commit(move));
    /* Whoever is sent there from now on finds the writes applied, or waits for them. */
    msg_call(move->group.to, MSG_FIBER, settle_run, &settled);
out:
    return err;
}

/* On the old owner. */
static YIELDS void
move_run(void *arg)
{
    struct move *move = arg;
    uint64_t held_at;
    err_t err = all_call(move, MSG_FIBER, want_run);

    if (err == ERR_OK) {
        held_at = shard_now_us();
        (void)all_call(move, MSG_INLINE, hold_run);
        err = group_move(move);
        (void)all_call(move, MSG_INLINE, release_run);
        move->held_us = shard_now_us() - held_at;
    } else {
        uint32_t count = move->group.count;

        move->group.count = 0; /* Nothing was held. */
        (void)all_call(move, MSG_INLINE, release_run);
        move->group.count = count;
    }
    move->err = err;
    if (err != ERR_OK) {
        snprintf(move->text, sizeof(move->text), "%s", err_message(err));
    }
}

/* ---- Giving up a shard that owns nothing. ---- */

static YIELDS void
flush_run(void *arg)
{
    struct step *step = arg;
    struct store *store = txns_self()->store;
    err_t err;

    TRY(lsm_flush(store_lsm(store)));
    if (lsm_can_rotate(store_lsm(store))) {
        store_rotate(store, store->applied);
        TRY(lsm_flush(store_lsm(store)));
    }
    err = ERR_OK;
out:
    step_end(step, err);
}

static YIELDS err_t
mark_write(const struct store *store)
{
    struct io_file *file = NULL;
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    snprintf(path, sizeof(path), "%s/RETIRED", store->dir);
    TRY(io_open(path, IO_CREATE, &file));
    TRY(io_sync(file));
    err = io_sync_dir(store->dir);
out:
    io_close(&file);
    return err;
}

/* May the shard go: does no other shard need its log, and no checkpoint its tables? ERR_BUSY. */
static err_t
retire_check(struct store *store)
{
    struct lsm_checkpoint_info checkpoint;

    if (lsm_checkpoint_get(store_lsm(store), 0, &checkpoint)) {
        return err_set(ERR_BUSY, "shard %u is part of checkpoint %s", shard_id(), checkpoint.name);
    }
    if (retain_kept_from(store) != UINT64_MAX || store->is_held) {
        return err_set(ERR_BUSY, "the log of shard %u is still needed", shard_id());
    }
    return ERR_OK;
}

static YIELDS void
ready_run(void *arg)
{
    step_end(arg, retire_check(txns_self()->store));
}

static YIELDS void
retire_run(void *arg)
{
    struct store *store = txns_self()->store;
    err_t err;

    TRY(retire_check(store));
    store->is_retired = true;
    store->is_held = true;
    err = mark_write(store);
out:
    step_end(arg, err);
}

/* Feeds cannot go back behind this moment: the shard's log goes. */
static YIELDS err_t
retired_note(struct store *store)
{
    struct store_batch batch;
    lsn_t lsn = 0;
    err_t err;

    store_batch_init(&batch);
    store_batch_origin(&batch, SLICE(""), SLICE(SLOTS_PROTOCOL), SLICE(""));
    store_batch_put(&batch, txn_slot_of_shard(0), slots_retired_key(), SLICE("1"), 0);
    TRY(store_commit(store, &batch, NULL, &lsn));
    store_wait_durable(store, lsn);
out:
    store_batch_fini(&batch);
    return err;
}

static YIELDS err_t
shard_step(uint32_t shard, msg_fn fn)
{
    struct step step = {0};

    msg_call(shard, MSG_FIBER, fn, &step);
    return step.err == ERR_OK ? ERR_OK : err_set(step.err, "%s", step.text);
}

static void
live_set(void *arg)
{
    const uint32_t *live = arg;

    txns_self()->slots->live = *live;
}

static YIELDS void
all_live_set(uint32_t live)
{
    uint32_t lives[SHARDS_MAX];

    for (uint32_t i = 0; i < shard_count(); i++) {
        lives[i] = live;
    }
    msg_call_all(MSG_INLINE, live_set, lives, sizeof(lives[0]));
}

static YIELDS err_t
shard_retire(struct reshard *reshard, uint32_t shard)
{
    struct move none = {0};
    err_t err;

    TRY(all_call(&none, MSG_FIBER, flush_run));
    err = ERR_BUSY;
    for (uint32_t i = 0; i < RETIRE_ROUNDS_MAX && err == ERR_BUSY && !reshard->is_closing; i++) {
        err = shard_step(shard, ready_run); /* The others tell it of their flushes meanwhile. */
        if (err == ERR_BUSY) {
            (void)cond_wait_until(&reshard->rest_cond, shard_now_us() + RETIRE_WAIT_US);
        }
    }
    TRY(err);
    all_live_set(shard);
    TRY(retired_note(txns_self()->store));
    TRY(shard_step(shard, retire_run));
    LOG_I("shard %u has nothing any more: the next start does without it", shard);
    reshard->stats.retired++;
out:
    return err;
}

/* ---- The mover's fiber. ---- */

/* The next slots that go from one shard to one other, from where the last group was, so that one
 * that could not be moved comes again when all others were tried; false: none. */
static bool
group_find(struct reshard *reshard, const struct slots *slots, struct slots_move *group)
{
    uint32_t first = reshard->next;
    uint32_t end, passed = 0;

    while (passed < SLOT_COUNT &&
           (slots->owner[first] & SLOT_SHARD_MASK) == reshard->target[first]) {
        first = (first + 1) % SLOT_COUNT;
        passed++;
    }
    if (passed == SLOT_COUNT) {
        return false;
    }
    group->first = (uint16_t)first;
    group->from = slots->owner[first] & SLOT_SHARD_MASK;
    group->to = reshard->target[first];
    end = first + 1;
    while (end < SLOT_COUNT && end - first < reshard->group_slots &&
           (slots->owner[end] & SLOT_SHARD_MASK) == group->from &&
           reshard->target[end] == group->to) {
        end++;
    }
    group->count = end - first;
    reshard->next = end % SLOT_COUNT;
    return true;
}

static void
group_count(struct reshard *reshard, const struct move *move)
{
    struct reshard_stats *stats = &reshard->stats;
    uint64_t wanted = MAX((uint64_t)RESHARD_GROUP_BYTES, move->group.scanned / RESHARD_SCAN_SHARE);

    stats->slots_left -= move->group.count;
    stats->slots_moved += move->group.count;
    stats->groups++;
    stats->keys += move->group.keys;
    stats->entries += move->group.entries;
    stats->bytes += move->group.bytes;
    if (move->group.bytes > 2 * wanted) {
        reshard->group_slots = MAX(reshard->group_slots / 2, 1U);
    } else if (move->group.bytes < wanted / 2) {
        reshard->group_slots = MIN(reshard->group_slots * 2, (uint32_t)RESHARD_GROUP_SLOTS_MAX);
    }
}

static YIELDS void
reshard_rest(struct reshard *reshard, uint64_t rest_us)
{
    if (!reshard->is_closing) {
        (void)cond_wait_until(&reshard->rest_cond, shard_now_us() + rest_us);
    }
}

static YIELDS void
groups_move(struct reshard *reshard)
{
    const struct slots *slots = txns_self()->slots;
    struct move *move = MEM_NEW(MEM_BACKGROUND, struct move);

    while (!reshard->is_closing && group_find(reshard, slots, &move->group)) {
        uint64_t held_us;

        move->copy = reshard->options.copy;
        move->epoch = slots->epoch;
        move->clock = 0;
        move->is_done = false;
        move->held_us = 0;
        move->blocked_by = 0;
        msg_call(move->group.from, MSG_FIBER, move_run, move);
        held_us = move->held_us;
        reshard->stats.hold_us += held_us;
        reshard->stats.hold_us_max = MAX(reshard->stats.hold_us_max, held_us);
        if (move->is_done) {
            group_count(reshard, move);
            reshard_rest(reshard, MIN(MAX(held_us, (uint64_t)RESHARD_REST_US_MIN),
                                      (uint64_t)RESHARD_REST_US_MAX));
        } else {
            SOMETIMES("txn: a group of slots could not be moved at once");
            reshard->stats.retries++;
            snprintf(reshard->stats.last_error, ERR_MESSAGE_BYTES_MAX, "%s", move->text);
            /* Fewer at once: then those stay that are locked, and their neighbours go. */
            reshard->group_slots = MAX(reshard->group_slots / 2, 1U);
            reshard_rest(reshard, RESHARD_RETRY_US);
        }
        reshard->stats.blocked_by = move->blocked_by;
    }
    MEM_FREE(MEM_BACKGROUND, move);
}

static YIELDS void
reshard_main(void *arg)
{
    struct reshard *reshard = arg;
    uint32_t shards = shard_count();

    if (reshard->stats.slots_left > 0) {
        LOG_I("moving %u slots, so that %u shard(s) share them evenly", reshard->stats.slots_left,
              reshard->options.shards);
        groups_move(reshard);
    }
    if (reshard->stats.slots_left == 0) {
        reshard->stats.ended_us = shard_now_us();
        if (reshard->stats.slots_moved > 0) {
            LOG_I("%llu slots with %llu keys were moved",
                  (unsigned long long)reshard->stats.slots_moved,
                  (unsigned long long)reshard->stats.keys);
        }
    }
    while (!reshard->is_closing && reshard->stats.slots_left == 0 &&
           shards > reshard->options.shards) {
        err_t err = shard_retire(reshard, shards - 1);

        if (err == ERR_OK) {
            shards--;
        } else {
            snprintf(reshard->stats.last_error, ERR_MESSAGE_BYTES_MAX, "%s", err_message(err));
            reshard_rest(reshard, RETIRE_RETRY_US);
        }
    }
    reshard->stats.is_moving = false;
}

/* ---- Life. ---- */

static void
options_set(void *arg)
{
    struct reshard *const *reshard = arg;

    txns_self()->slots->on_move = (*reshard)->options.on_move;
    txns_self()->slots->wanted = (*reshard)->options.shards;
}

err_t
reshard_open(const struct reshard_options *options)
{
    struct txns *txns = txns_self();
    struct reshard *reshard;
    struct reshard *pointers[SHARDS_MAX];

    ASSERT(shard_id() == 0);
    ASSERT(txns->reshard == NULL);
    ASSERT(options->shards >= 1);
    ASSERT(options->shards <= shard_count());
    reshard = MEM_NEW(MEM_RUNTIME, struct reshard);
    reshard->options = *options;
    reshard->group_slots = GROUP_SLOTS_FIRST;
    cond_init(&reshard->rest_cond);
    fiber_group_init(&reshard->fibers);
    txns->reshard = reshard;
    for (uint32_t i = 0; i < shard_count(); i++) {
        pointers[i] = reshard;
    }
    msg_call_all(MSG_INLINE, options_set, pointers, sizeof(pointers[0]));
    target_make(reshard, txns->slots);
    reshard->stats.wanted = options->shards;
    reshard->stats.began_us = shard_now_us();
    reshard->stats.is_moving = reshard->stats.slots_left > 0 || options->shards < shard_count();
    if (reshard->stats.is_moving &&
        !fiber_group_spawn(&reshard->fibers, "reshard", FIBER_BACKGROUND, FIBER_STACK_SMALL,
                           reshard_main, reshard)) {
        return err_set(ERR_LIMIT, "no fiber for moving slots");
    }
    return ERR_OK;
}

bool
reshard_is_due(uint32_t shards)
{
    struct reshard *reshard = MEM_NEW(MEM_RUNTIME, struct reshard);
    bool is_due;

    reshard->options.shards = shards;
    target_make(reshard, txns_self()->slots);
    is_due = reshard->stats.slots_left > 0;
    MEM_FREE(MEM_RUNTIME, reshard);
    return is_due;
}

void
reshard_targets_get(uint16_t out[])
{
    memcpy(out, txns_self()->reshard->target, SLOT_COUNT * sizeof(out[0]));
}

void
reshard_close(void)
{
    struct txns *txns = txns_self();
    struct reshard *reshard = txns == NULL ? NULL : txns->reshard;

    if (reshard == NULL) {
        return;
    }
    reshard->is_closing = true;
    cond_broadcast(&reshard->rest_cond);
    fiber_group_wait(&reshard->fibers);
    txns->reshard = NULL;
    MEM_FREE(MEM_RUNTIME, reshard);
}

void
reshard_stats_get(struct reshard_stats *out)
{
    const struct reshard *reshard = txns_self()->reshard;

    *out = reshard == NULL ? (struct reshard_stats){0} : reshard->stats;
}

uint32_t
reshard_slots_owned(uint32_t *wanted_out)
{
    const struct slots *slots = txns_self()->slots;
    uint32_t wanted = slots->wanted;
    uint32_t count = 0;

    if (wanted_out != NULL) {
        *wanted_out = shard_id() >= wanted ? 0
                                           : slots_even_first(shard_id() + 1, wanted) -
                                                 slots_even_first(shard_id(), wanted);
    }

    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        count += (slots->owner[slot] & SLOT_SHARD_MASK) == shard_id();
    }
    return count;
}

/* ---- Before the start. ---- */

static YIELDS err_t
file_is_there(const char *format, uint32_t shard, bool *is_there_out)
{
    struct io_file *file = NULL;
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    snprintf(path, sizeof(path), format, shard);
    err = io_open(path, IO_READ_ONLY, &file);
    io_close(&file);
    *is_there_out = err == ERR_OK;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Out of the way by one rename, and then removed. */
static YIELDS err_t
folder_give_up(uint32_t shard)
{
    bool is_retired = false;
    char from[IO_PATH_BYTES_MAX];
    char to[IO_PATH_BYTES_MAX];
    err_t err;

    snprintf(from, sizeof(from), "shard-%u", shard);
    snprintf(to, sizeof(to), "shard-%u.gone", shard);
    TRY(folder_remove(to));
    TRY(file_is_there("shard-%u/RETIRED", shard, &is_retired));
    if (is_retired) {
        SOMETIMES("txn: the folder of a shard that was given up was removed");
        TRY(io_rename(from, to));
        TRY(io_sync_dir("."));
        err = folder_remove(to);
    }
out:
    return err;
}

err_t
reshard_plan(uint32_t wanted, uint32_t *shards_out)
{
    uint32_t shards = wanted;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        bool is_store = false;
        bool is_begun = false;

        TRY(folder_give_up(i));
        TRY(file_is_there("shard-%u/STORE", i, &is_store));
        TRY(file_is_there("shard-%u/STORE.tmp", i, &is_begun));
        if (is_store || is_begun) {
            shards = MAX(shards, i + 1);
        }
    }
    *shards_out = shards;
out:
    return err;
}
