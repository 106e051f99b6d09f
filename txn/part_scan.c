/* txn/part_scan.c - see part_scan.h.
 *
 * Two iterators move in the same direction. Going up, both stand at or behind the present key, and
 * an own write hides what the store has under its key; going down it is the mirror image. When own
 * writes that the scan sees were made since the last move, the iterator over them seeks anew. */
#include "txn/part_scan.h"

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "txn/own.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

enum {
    HIDDEN_STEPS_A_WORK_UNIT = 4, /* Own deletes that are stepped over. */
};

enum scan_at { AT_NOTHING, AT_STORE, AT_OWN };

/* What has been passed since the last seek, for the read set: [low, high). It grows at both ends;
 * the end that the scan moves is brought up to date when it turns and when it is closed. */
struct passed {
    struct buf low, high;
    bool is_high_open; /* No upper bound. */
    bool is_low_open;  /* Begun from there downwards: `low` is not known yet. */
    bool is_any;
};

struct part_scan {
    struct part *part;
    struct lsm_iter *store;
    struct own_iter own;
    uint64_t snapshot;
    struct buf lower, upper;
    bool has_upper;
    bool is_up; /* The last move's direction. */
    enum scan_at at;
    bool is_both;           /* At an own write whose key the store's iterator stands on too. */
    struct lsm_entry entry; /* AT_OWN: of own_bytes. */
    struct buf own_bytes;
    struct buf target; /* A copy of the key that is left or sought. */
    uint32_t own_ops;  /* The overlay when the iterators were last moved, */
    uint64_t own_cuts;
    struct overlay_limit own_limit; /* and what was seen of it. */
    bool remembers_reads;
    struct passed passed;
    uint32_t work;
};

/* ---- Open and close. ---- */

static void
buf_set(struct buf *buf, struct slice bytes)
{
    buf_clear(buf);
    buf_append(buf, bytes.data, bytes.size);
}

YIELDS err_t
part_scan_open(struct part *part, uint64_t snapshot, const struct overlay_mark *sees,
               struct slice lower, struct slice upper, struct part_scan **scan_out)
{
    struct part_scan *scan;
    err_t err;

    part_hold(part);
    part_wait_decided_range(part, lower, upper);
    scan = MEM_NEW(MEM_SESSIONS, struct part_scan);
    scan->part = part;
    scan->snapshot = snapshot;
    scan->has_upper = upper.size > 0;
    scan->remembers_reads = part->isolation == TXN_SERIALIZABLE && !part->read_only;
    buf_init(&scan->lower, MEM_SESSIONS);
    buf_init(&scan->upper, MEM_SESSIONS);
    buf_init(&scan->own_bytes, MEM_SESSIONS);
    buf_init(&scan->target, MEM_SESSIONS);
    buf_init(&scan->passed.low, MEM_SESSIONS);
    buf_init(&scan->passed.high, MEM_SESSIONS);
    buf_set(&scan->lower, lower);
    buf_set(&scan->upper, upper);
    own_iter_init(&scan->own, &part->writes, sees, 0);
    scan->own.memory.lower = buf_slice(&scan->lower);
    scan->own.memory.upper = buf_slice(&scan->upper);
    TRY(lsm_iter_open(store_lsm(txns_self()->store), lower, upper, snapshot, &scan->store));
    *scan_out = scan;
    scan = NULL;
out:
    part_scan_close(&scan);
    return err;
}

static void passed_keep(struct part_scan *scan);

void
part_scan_close(struct part_scan **pointer)
{
    struct part_scan *scan = *pointer;

    *pointer = NULL;
    if (scan == NULL) {
        return;
    }
    passed_keep(scan);
    own_iter_fini(&scan->own);
    lsm_iter_close(&scan->store);
    buf_fini(&scan->lower);
    buf_fini(&scan->upper);
    buf_fini(&scan->own_bytes);
    buf_fini(&scan->target);
    buf_fini(&scan->passed.low);
    buf_fini(&scan->passed.high);
    MEM_FREE(MEM_SESSIONS, scan);
}

/* ---- What was passed. ---- */

static struct slice
current_key(const struct part_scan *scan)
{
    return scan->at == AT_OWN ? scan->entry.key : lsm_iter_entry(scan->store)->key;
}

static void
high_raise(struct passed *passed, struct slice key)
{
    if (!passed->is_high_open && slice_compare(key, buf_slice(&passed->high)) >= 0) {
        buf_set(&passed->high, key);
        buf_append_byte(&passed->high, 0); /* The key itself was passed. */
    }
}

/* Up to where the scan stands, or to the bound when it has gone beyond the last key (or failed,
 * and nobody knows how far it came). */
static void
passed_extend(struct part_scan *scan)
{
    struct passed *passed = &scan->passed;

    if (!passed->is_any) {
        return;
    }
    if (scan->at != AT_NOTHING) {
        struct slice key = current_key(scan);

        high_raise(passed, key);
        if (passed->is_low_open || slice_compare(key, buf_slice(&passed->low)) < 0) {
            buf_set(&passed->low, key);
            passed->is_low_open = false;
        }
    } else if (scan->is_up) {
        buf_set(&passed->high, buf_slice(&scan->upper));
        passed->is_high_open = !scan->has_upper;
    } else {
        buf_set(&passed->low, buf_slice(&scan->lower));
        passed->is_low_open = false;
    }
}

static void
passed_keep(struct part_scan *scan)
{
    struct passed *passed = &scan->passed;
    struct slice low;
    struct slice high;

    passed_extend(scan);
    low = buf_slice(&passed->low);
    high = passed->is_high_open ? slice_of(NULL, 0) : buf_slice(&passed->high);
    if (passed->is_any && (passed->is_high_open || slice_compare(low, high) < 0)) {
        reads_add_range(&scan->part->reads, low, high);
    }
    passed->is_any = false;
}

/* A seek leaves what was passed and begins at `from`. */
static void
passed_begin(struct part_scan *scan, struct slice from, bool is_high_open)
{
    if (scan->remembers_reads) {
        passed_keep(scan);
        buf_set(&scan->passed.low, from);
        buf_set(&scan->passed.high, from);
        scan->passed.is_high_open = is_high_open;
        scan->passed.is_low_open = is_high_open;
        scan->passed.is_any = true;
    }
}

/* ---- Settling on the next live key. ---- */

static bool
own_is_inside(const struct part_scan *scan)
{
    struct slice key = scan->own.key;

    return key.size > 0 &&
           (scan->is_up ? !scan->has_upper || slice_compare(key, buf_slice(&scan->upper)) < 0
                        : slice_compare(key, buf_slice(&scan->lower)) >= 0);
}

static bool
own_is_live(const struct part_scan *scan)
{
    const struct record_op *op = &scan->own.op;

    return op->kind != RECORD_DELETE &&
           (op->expire_us == 0 || op->expire_us > scan->snapshot >> CLOCK_COUNTER_BITS);
}

/* The record's bytes move with the next write, so a copy; but large values stay where they are. */
static void
own_take(struct part_scan *scan)
{
    const struct record_op *op = &scan->own.op;
    bool is_large = op->kind == RECORD_PUT_LARGE && !scan->own.is_pointer;
    size_t key_size = op->key.size;

    buf_set(&scan->own_bytes, op->key);
    if (!is_large) {
        buf_append(&scan->own_bytes, op->value.data, op->value.size);
    }
    scan->entry = (struct lsm_entry){
        .key = slice_of(scan->own_bytes.data, key_size),
        .value = is_large ? op->value : slice_of(scan->own_bytes.data + key_size, op->value.size),
        .expire_us = op->expire_us,
        .slot = op->slot,
        .kind = scan->own.is_pointer ? LSM_PUT_LARGE : LSM_PUT,
    };
    scan->at = AT_OWN;
}

static YIELDS err_t
store_step(struct part_scan *scan)
{
    return scan->is_up ? lsm_iter_next(scan->store) : lsm_iter_previous(scan->store);
}

/* Does the own write come first, or is it of the same key? */
static bool
own_is_due(struct part_scan *scan)
{
    int order;

    if (!own_is_inside(scan)) {
        return false;
    }
    scan->is_both = false;
    if (lsm_iter_is_valid(scan->store)) {
        order = slice_compare(scan->own.key, lsm_iter_entry(scan->store)->key);
        scan->is_both = order == 0;
        return scan->is_up ? order <= 0 : order >= 0;
    }
    return true;
}

/* Over what own range deletes hide of the store: false when nothing does. */
static YIELDS err_t
hidden_skip(struct part_scan *scan, bool *skipped_out)
{
    struct slice key = lsm_iter_entry(scan->store)->key;
    struct slice bound;
    err_t err = ERR_OK;

    *skipped_out = overlay_hides_to(scan->own.memory.overlay, key, &scan->own.memory.before,
                                    scan->is_up, &bound);
    if (*skipped_out) {
        err = scan->is_up ? lsm_iter_seek(scan->store, bound)
                          : lsm_iter_seek_before(scan->store, bound);
    }
    return err;
}

static YIELDS err_t
settle(struct part_scan *scan)
{
    bool skipped;
    err_t err = ERR_OK;

    scan->at = AT_NOTHING;
    while (scan->at == AT_NOTHING) {
        if (own_is_due(scan)) {
            if (own_is_live(scan)) {
                own_take(scan);
                break;
            }
            if (scan->is_both) {
                TRY(store_step(scan));
            }
            TRY(own_iter_step(&scan->own));
            if (++scan->work % HIDDEN_STEPS_A_WORK_UNIT == 0) {
                fiber_work(1);
            }
            continue;
        }
        if (!lsm_iter_is_valid(scan->store)) {
            break;
        }
        TRY(hidden_skip(scan, &skipped));
        if (!skipped) {
            scan->at = AT_STORE;
        }
    }
out:
    part_note_lsn(scan->part, lsm_iter_lsn(scan->store));
    return err;
}

/* ---- Moving. ---- */

static void
own_seen(struct part_scan *scan)
{
    scan->own_limit = overlay_limit(&scan->part->writes, &scan->own.memory.before);
    scan->own_ops = scan->part->writes.batch.ops;
    scan->own_cuts = scan->part->writes.cuts;
}

bool
part_scan_is_stale(const struct part_scan *scan)
{
    const struct overlay *writes = &scan->part->writes;
    struct overlay_limit limit;

    if (scan->own_cuts != writes->cuts) {
        return true;
    }
    limit = overlay_limit(writes, &scan->own.memory.before);
    return scan->own_limit.ops != limit.ops || scan->own_limit.spills != limit.spills;
}

static struct slice
target_set(struct part_scan *scan, struct slice key)
{
    buf_set(&scan->target, key);
    return buf_slice(&scan->target);
}

YIELDS err_t
part_scan_seek(struct part_scan *scan, struct slice key)
{
    struct slice lower = buf_slice(&scan->lower);
    err_t err;

    key = target_set(scan, slice_compare(key, lower) < 0 ? lower : key);
    passed_begin(scan, key, false);
    scan->is_up = true;
    scan->at = AT_NOTHING;
    TRY(lsm_iter_seek(scan->store, key));
    own_seen(scan);
    TRY(own_iter_seek(&scan->own, key));
    TRY(settle(scan));
out:
    return err;
}

YIELDS err_t
part_scan_first(struct part_scan *scan)
{
    return part_scan_seek(scan, buf_slice(&scan->lower));
}

/* An empty key: from the end of everything. */
static YIELDS err_t
seek_down(struct part_scan *scan, struct slice key)
{
    err_t err;

    passed_begin(scan, key, key.size == 0);
    scan->is_up = false;
    scan->at = AT_NOTHING;
    TRY(key.size == 0 ? lsm_iter_last(scan->store) : lsm_iter_seek_before(scan->store, key));
    own_seen(scan);
    TRY(own_iter_seek_before(&scan->own, key));
    TRY(settle(scan));
out:
    return err;
}

YIELDS err_t
part_scan_last(struct part_scan *scan)
{
    return seek_down(scan, buf_slice(&scan->upper));
}

YIELDS err_t
part_scan_seek_before(struct part_scan *scan, struct slice key)
{
    struct slice upper = buf_slice(&scan->upper);

    if (key.size == 0) { /* Nothing lies before it. */
        passed_begin(scan, key, false);
        scan->at = AT_NOTHING;
        scan->is_up = false;
        return ERR_OK;
    }
    return seek_down(
        scan, target_set(scan, scan->has_upper && slice_compare(key, upper) > 0 ? upper : key));
}

/* The iterators go the same way as before, and no own writes were made that are seen. */
static YIELDS err_t
step_on(struct part_scan *scan)
{
    err_t err;

    if (scan->own_ops != scan->part->writes.batch.ops) {
        own_iter_refresh(&scan->own);
        own_seen(scan);
    }
    if (scan->at == AT_STORE || scan->is_both) {
        TRY(store_step(scan));
    }
    if (scan->at == AT_OWN) {
        TRY(own_iter_step(&scan->own));
    }
    TRY(settle(scan));
out:
    return err;
}

/* From the present key on in either direction, whatever happened since. */
static YIELDS err_t
step_anew(struct part_scan *scan, bool is_up)
{
    bool turns = scan->is_up != is_up;
    struct slice target = target_set(scan, current_key(scan));
    err_t err = ERR_OK;

    if (turns) {
        passed_extend(scan);
    }
    if (is_up) { /* The first key behind this one. */
        buf_append_byte(&scan->target, 0);
        target = buf_slice(&scan->target);
    }
    scan->is_up = is_up;
    if (turns) {
        TRY(is_up ? lsm_iter_seek(scan->store, target) : lsm_iter_seek_before(scan->store, target));
    } else if (scan->at == AT_STORE || scan->is_both) {
        TRY(store_step(scan));
    }
    own_seen(scan);
    TRY(is_up ? own_iter_seek(&scan->own, target) : own_iter_seek_before(&scan->own, target));
    TRY(settle(scan));
out:
    return err;
}

static YIELDS err_t
step(struct part_scan *scan, bool is_up)
{
    err_t err;

    ASSERT(scan->at != AT_NOTHING);
    err =
        scan->is_up == is_up && !part_scan_is_stale(scan) ? step_on(scan) : step_anew(scan, is_up);
    if (err != ERR_OK) {
        scan->at = AT_NOTHING;
    }
    return err;
}

YIELDS err_t
part_scan_next(struct part_scan *scan)
{
    return step(scan, true);
}

YIELDS err_t
part_scan_previous(struct part_scan *scan)
{
    return step(scan, false);
}

/* ---- Looking. ---- */

const struct lsm_entry *
part_scan_entry(const struct part_scan *scan)
{
    switch (scan->at) {
    case AT_STORE:
        return lsm_iter_entry(scan->store);
    case AT_OWN:
        return &scan->entry;
    case AT_NOTHING:
        break;
    }
    return NULL;
}

YIELDS err_t
part_scan_value(struct part_scan *scan, struct arena *arena, struct slice *value_out)
{
    ASSERT(scan->at != AT_NOTHING);
    if (scan->at == AT_STORE) {
        return lsm_iter_value(scan->store, arena, value_out);
    }
    if (scan->entry.kind == LSM_PUT_LARGE) {
        return lsm_runs_value(store_lsm(txns_self()->store), &scan->entry, arena, value_out);
    }
    *value_out = arena_copy(arena, scan->entry.value);
    if (value_out->data == NULL && scan->entry.value.size > 0) {
        return err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", scan->entry.value.size);
    }
    return ERR_OK;
}
