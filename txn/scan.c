/* txn/scan.c - scans of a transaction: one shard, or all of them merged by key.
 *
 * The home shard is read where it lies (part_scan.h). Another one sends batches of rows: each
 * message opens a scan there, seeks to where the last batch ended, and closes it, so that nothing
 * of a scan stays on another shard. When one shard's rows are used up, the next batches of all
 * those that are half used are fetched with it, at the same time; batches grow as the scan goes on.
 *
 *     home shard   part_scan ----------------------\
 *     shard 1      [rows|rows]  <- fetch -  ...     > least key (going up), shard number
 *     shard 2      [rows|    ]  <- fetch -  ...    /
 */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "txn/part_scan.h"
#include "txn/slots.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

#define TXN_SCAN_MAGIC UINT64_C(0x6f72626974736361)

enum {
    BATCH_ROWS_FIRST = 16,
    BATCH_ROWS_MAX = 256,
    BATCH_BYTES_MAX = 64 << 10, /* A batch ends behind the row that exceeds it. */
    ROW_ALIGN = 8,
};

/* A row in a batch: then key and value. */
struct row {
    uint64_t ts;
    uint64_t expire_us;
    uint32_t key_size;
    uint32_t value_size;
    uint16_t slot;
    uint8_t kind;
};

/* Rows in the order of the scan's direction. */
struct batch {
    struct buf bytes; /* Made on the other shard, adopted here. */
    uint32_t count;   /* Rows not yet passed, */
    size_t at;        /* the first of which lies here. */
};

struct source {
    uint32_t shard;
    struct part_scan *local; /* The home shard's; NULL: another shard. */

    /* Another shard: */
    struct batch now, next; /* `next` follows `now`. */
    struct buf from;        /* Where the fetch after them begins: at or above (up), below (down). */
    bool is_from_open;      /* Down, without an upper bound. */
    bool is_at_end;         /* Nothing follows. */
    uint32_t rows_max;      /* Of the next batch. */
    struct overlay_mark sees;
    bool has_sees;
    struct lsm_entry entry; /* Of the first row of `now`. */
    /* The gathered writes when the last batch came: others may change what follows. */
    uint32_t gathered_ops;
    uint64_t gathered_cuts;
};

struct txn_scan {
    uint64_t magic;
    struct txn *txn;
    struct buf lower, upper;
    uint64_t snapshot;
    struct lsm_snapshot held; /* For the batches of other shards. */
    bool is_held;
    bool is_up;
    bool is_placed;         /* The sources stand, in the direction is_up. */
    struct source *current; /* NULL: on no entry. */
    struct buf target;
    uint32_t count;
    struct source sources[];
};

/* ---- What other shards do. ---- */

struct fetch {
    struct slice lower, upper;
    struct slice from;
    bool is_up, is_from_open;
    uint32_t rows_max;
    uint64_t snapshot;
    bool has_sees;
    struct overlay_mark sees; /* In, with has_sees; otherwise out: what the part sees now. */
    struct buf bytes;         /* Out, from here on. */
    uint32_t count;
    bool is_at_end;
    lsn_t noted;
};

static void
row_append(struct buf *bytes, const struct lsm_entry *entry)
{
    bool is_large =
        entry->kind == LSM_PUT_LARGE || entry->value.size > (size_t)LSM_VALUE_INLINE_BYTES_MAX;
    struct row row = {.ts = entry->ts,
                      .expire_us = entry->expire_us,
                      .key_size = (uint32_t)entry->key.size,
                      .value_size = is_large ? 0 : (uint32_t)entry->value.size,
                      .slot = entry->slot,
                      .kind = is_large ? LSM_PUT_LARGE : LSM_PUT};
    static const uint8_t zeros[ROW_ALIGN];

    buf_append(bytes, &row, sizeof(row));
    buf_append(bytes, entry->key.data, row.key_size);
    buf_append(bytes, entry->value.data, row.value_size);
    buf_append(bytes, zeros, (size_t)(align_up(bytes->size, ROW_ALIGN) - bytes->size));
}

static YIELDS err_t
fetch_open(struct part *part, struct fetch *fetch, struct part_scan **scan_out)
{
    if (!fetch->has_sees) {
        fetch->sees = part->sees;
    }
    return part_scan_open(part, fetch->snapshot, &fetch->sees, fetch->lower, fetch->upper,
                          scan_out);
}

static YIELDS err_t
fetch_rows(struct part_scan *scan, struct fetch *fetch)
{
    const struct lsm_entry *entry;
    err_t err;

    if (fetch->is_up) {
        TRY(part_scan_seek(scan, fetch->from));
    } else if (fetch->is_from_open) {
        TRY(part_scan_last(scan));
    } else {
        TRY(part_scan_seek_before(scan, fetch->from));
    }
    while ((entry = part_scan_entry(scan)) != NULL) {
        row_append(&fetch->bytes, entry);
        fetch->count++;
        if (fetch->count == fetch->rows_max || fetch->bytes.size >= BATCH_BYTES_MAX) {
            break;
        }
        TRY(fetch->is_up ? part_scan_next(scan) : part_scan_previous(scan));
    }
    fetch->is_at_end = entry == NULL;
out:
    return err;
}

static YIELDS err_t
fetch_run(struct part *part, void *arg)
{
    struct part_scan *scan = NULL;
    struct fetch *fetch = arg;
    err_t err;

    buf_init(&fetch->bytes, MEM_SESSIONS);
    fetch->count = 0;
    fetch->is_at_end = false;
    TRY(fetch_open(part, fetch, &scan));
    err = fetch_rows(scan, fetch);
out:
    part_scan_close(&scan);
    fetch->noted = part->noted;
    mem_disown(MEM_SESSIONS, fetch->bytes.data, fetch->bytes.capacity);
    return err;
}

/* The value of fetch->lower, which is there. */
static YIELDS err_t
value_run(struct part *part, void *arg)
{
    struct part_scan *scan = NULL;
    struct fetch *fetch = arg;
    struct arena arena;
    struct slice value;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    buf_init(&fetch->bytes, MEM_SESSIONS);
    TRY(fetch_open(part, fetch, &scan));
    TRY(part_scan_first(scan));
    if (part_scan_entry(scan) == NULL) {
        err = err_set(ERR_NOT_FOUND, "the row was deleted by its own transaction meanwhile");
        goto out;
    }
    TRY(part_scan_value(scan, &arena, &value));
    if (!buf_try_reserve(&fetch->bytes, value.size)) {
        err = err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", value.size);
        goto out;
    }
    buf_append(&fetch->bytes, value.data, value.size);
out:
    part_scan_close(&scan);
    fetch->noted = part->noted;
    arena_fini(&arena);
    mem_disown(MEM_SESSIONS, fetch->bytes.data, fetch->bytes.capacity);
    return err;
}

/* ---- Batches. ---- */

static void
batch_drop(struct batch *batch)
{
    buf_fini(&batch->bytes);
    buf_init(&batch->bytes, MEM_SESSIONS);
    batch->count = 0;
    batch->at = 0;
}

static struct row
batch_row(const struct batch *batch, struct slice *key_out, struct slice *value_out)
{
    const uint8_t *at = batch->bytes.data + batch->at;
    struct row row;

    memcpy(&row, at, sizeof(row));
    *key_out = slice_of(at + sizeof(row), row.key_size);
    *value_out = slice_of(at + sizeof(row) + row.key_size, row.value_size);
    return row;
}

static void
batch_pass(struct batch *batch)
{
    struct slice key;
    struct slice value;
    struct row row = batch_row(batch, &key, &value);

    batch->at = align_up(batch->at + sizeof(row) + row.key_size + row.value_size, ROW_ALIGN);
    batch->count--;
}

/* ---- Sources. ---- */

static struct txn_remote *
remote_of(const struct txn_scan *scan, const struct source *source)
{
    return scan->txn->remotes == NULL ? NULL : &scan->txn->remotes[source->shard];
}

/* The entry of the source, NULL at its end. Another shard's rows must be there. */
static const struct lsm_entry *
source_entry(struct source *source)
{
    struct row row;

    if (source->local != NULL) {
        return part_scan_entry(source->local);
    }
    if (source->now.count == 0) {
        ASSERT(source->is_at_end);
        return NULL;
    }
    row = batch_row(&source->now, &source->entry.key, &source->entry.value);
    source->entry.ts = row.ts;
    source->entry.expire_us = row.expire_us;
    source->entry.slot = row.slot;
    source->entry.kind = row.kind;
    return &source->entry;
}

static void
source_restart(struct source *source)
{
    batch_drop(&source->now);
    batch_drop(&source->next);
    source->is_at_end = false;
    source->rows_max = BATCH_ROWS_FIRST;
}

static void
from_set(struct source *source, struct slice key)
{
    source->is_from_open = false;
    buf_clear(&source->from);
    buf_append(&source->from, key.data, key.size);
}

/* Own writes made since the source was read may lie in what it has in hand. */
static bool
source_is_stale(const struct txn_scan *scan, const struct source *source)
{
    const struct txn_remote *remote = remote_of(scan, source);

    if (source->local != NULL) {
        return part_scan_is_stale(source->local);
    }
    return remote != NULL && source->sees.ops == UINT32_MAX &&
           (remote->pending.batch.ops != source->gathered_ops ||
            remote->pending.cuts != source->gathered_cuts);
}

static void
source_fetch_prepare(struct txn_scan *scan, struct source *source, struct fetch *fetch)
{
    *fetch = (struct fetch){
        .lower = buf_slice(&scan->lower),
        .upper = buf_slice(&scan->upper),
        .from = buf_slice(&source->from),
        .is_up = scan->is_up,
        .is_from_open = source->is_from_open,
        .rows_max = source->rows_max,
        .snapshot = scan->snapshot,
        .has_sees = source->has_sees,
        .sees = source->sees,
    };
}

/* Takes over what came. */
static void
source_fetch_accept(struct txn_scan *scan, struct source *source, struct fetch *fetch)
{
    struct batch *batch = source->now.count == 0 ? &source->now : &source->next;
    struct txn_remote *remote = remote_of(scan, source);
    struct batch last;
    struct slice key;
    struct slice value;

    source->sees = fetch->sees;
    source->has_sees = true;
    source->is_at_end = fetch->is_at_end;
    source->rows_max = MIN((uint32_t)BATCH_ROWS_MAX, source->rows_max * 2);
    source->gathered_ops = remote->pending.batch.ops;
    source->gathered_cuts = remote->pending.cuts;
    remote->noted = MAX(remote->noted, fetch->noted);
    buf_fini(&batch->bytes);
    *batch = (struct batch){.bytes = fetch->bytes, .count = fetch->count};
    fetch->bytes = (struct buf){.tag = MEM_SESSIONS};
    if (batch->count > 0) {
        last = *batch;
        while (last.count > 1) {
            batch_pass(&last);
        }
        (void)batch_row(&last, &key, &value);
        from_set(source, key);
        if (scan->is_up) { /* Behind it. */
            buf_append_byte(&source->from, 0);
        }
    }
}

static bool
source_must_fetch(const struct source *source)
{
    return source->local == NULL && source->now.count == 0 && !source->is_at_end;
}

static bool
source_may_fetch(const struct source *source)
{
    return source->local == NULL && source->next.count == 0 && !source->is_at_end &&
           source->now.at >= source->now.bytes.size / 2;
}

static void
source_take_next(struct source *source)
{
    if (source->local == NULL && source->now.count == 0 && source->next.count > 0) {
        struct batch empty = source->now;

        source->now = source->next;
        source->next = empty;
        batch_drop(&source->next);
    }
}

/* All that need rows and all that soon will, at the same time. Afterwards source_entry answers. */
static YIELDS err_t
sources_fetch(struct txn_scan *scan)
{
    uint32_t shards = shard_count();
    struct fetch *fetches = mem_zalloc(MEM_SESSIONS, shards * sizeof(fetches[0]));
    bool *is_wanted = mem_zalloc(MEM_SESSIONS, shards * sizeof(is_wanted[0]));
    err_t err;

    for (uint32_t i = 0; i < scan->count; i++) {
        struct source *source = &scan->sources[i];

        if (source_must_fetch(source) || source_may_fetch(source)) {
            is_wanted[source->shard] = true;
            source_fetch_prepare(scan, source, &fetches[source->shard]);
        }
    }
    err = txn_call_many(scan->txn, is_wanted, fetch_run, fetches, sizeof(fetches[0]));
    for (uint32_t i = 0; i < scan->count; i++) {
        struct source *source = &scan->sources[i];
        struct fetch *fetch = &fetches[source->shard];

        if (is_wanted[source->shard]) {
            mem_adopt(MEM_SESSIONS, fetch->bytes.data, fetch->bytes.capacity);
            if (err == ERR_OK) {
                source_fetch_accept(scan, source, fetch);
            }
            buf_fini(&fetch->bytes);
        }
    }
    mem_free(MEM_SESSIONS, fetches, shards * sizeof(fetches[0]));
    mem_free(MEM_SESSIONS, is_wanted, shards * sizeof(is_wanted[0]));
    return err;
}

static YIELDS err_t
source_seek(struct txn_scan *scan, struct source *source, struct slice key)
{
    if (source->local != NULL) {
        return scan->is_up ? part_scan_seek(source->local, key)
                           : part_scan_seek_before(source->local, key);
    }
    source_restart(source);
    from_set(source, key);
    return ERR_OK;
}

/* ---- Open and close. ---- */

/* The snapshot is kept on all shards as long as it is held on this one. */
static void
snapshot_hold(struct txn_scan *scan)
{
    lsm_snapshot_take(store_lsm(txns_self()->store), scan->snapshot, &scan->held);
    scan->is_held = true;
}

static struct txn_scan *
scan_new(struct txn *txn, uint32_t shard)
{
    bool is_all = shard == (uint32_t)TXN_ALL_SHARDS;
    uint32_t count = is_all ? shard_count() : 1;
    struct txn_scan *scan =
        mem_zalloc(MEM_SESSIONS, sizeof(*scan) + count * sizeof(scan->sources[0]));

    scan->magic = TXN_SCAN_MAGIC;
    scan->txn = txn;
    scan->count = count;
    scan->snapshot = txn->part.snapshot;
    buf_init(&scan->lower, MEM_SESSIONS);
    buf_init(&scan->upper, MEM_SESSIONS);
    buf_init(&scan->target, MEM_SESSIONS);
    for (uint32_t i = 0; i < count; i++) {
        struct source *source = &scan->sources[i];

        source->shard = is_all ? i : shard;
        buf_init(&source->now.bytes, MEM_SESSIONS);
        buf_init(&source->next.bytes, MEM_SESSIONS);
        buf_init(&source->from, MEM_SESSIONS);
    }
    return scan;
}

err_t
txn_scan_open(struct txn *txn, uint32_t slot, struct slice lower, struct slice upper,
              struct txn_scan **scan_out)
{
    struct txn_scan *scan = NULL;
    uint32_t shard = TXN_ALL_SHARDS;
    err_t err;

    TRY(txn_check(txn));
    part_hold(&txn->part);
    if (slot != (uint32_t)TXN_ALL_SHARDS) {
        TRY(slots_route(txns_self()->slots, txn, (uint16_t)slot, &shard));
    }
    scan = scan_new(txn, shard);
    buf_append(&scan->lower, lower.data, lower.size);
    buf_append(&scan->upper, upper.data, upper.size);
    for (uint32_t i = 0; i < scan->count; i++) {
        struct source *source = &scan->sources[i];

        if (source->shard == shard_id()) {
            TRY(part_scan_open(&txn->part, scan->snapshot, &txn->part.sees, lower, upper,
                               &source->local));
        } else if (!scan->is_held) {
            snapshot_hold(scan);
        }
    }
    *scan_out = scan;
    scan = NULL;
out:
    txn_scan_close(&scan);
    return txn_fail(txn, err);
}

void
txn_scan_close(struct txn_scan **pointer)
{
    struct txn_scan *scan = *pointer;

    *pointer = NULL;
    if (scan == NULL) {
        return;
    }
    OBJ_CHECK(scan, TXN_SCAN_MAGIC);
    for (uint32_t i = 0; i < scan->count; i++) {
        struct source *source = &scan->sources[i];

        part_scan_close(&source->local);
        buf_fini(&source->now.bytes);
        buf_fini(&source->next.bytes);
        buf_fini(&source->from);
    }
    if (scan->is_held) {
        lsm_snapshot_drop(store_lsm(txns_self()->store), &scan->held);
    }
    buf_fini(&scan->lower);
    buf_fini(&scan->upper);
    buf_fini(&scan->target);
    scan->magic = 0;
    mem_free(MEM_SESSIONS, scan, sizeof(*scan) + scan->count * sizeof(scan->sources[0]));
}

/* ---- Moving. ---- */

/* The source that comes first in the direction; of equal keys, the lower shard is below. */
static void
current_choose(struct txn_scan *scan)
{
    const struct lsm_entry *best = NULL;

    scan->current = NULL;
    for (uint32_t i = 0; i < scan->count; i++) {
        struct source *source = &scan->sources[i];
        const struct lsm_entry *entry = source_entry(source);
        int order;

        if (entry == NULL) {
            continue;
        }
        order = best == NULL ? -1 : slice_compare(entry->key, best->key);
        if (best == NULL || (scan->is_up ? order < 0 : order >= 0)) {
            best = entry;
            scan->current = source;
        }
    }
}

static YIELDS err_t
scan_settle(struct txn_scan *scan)
{
    bool must_fetch = false;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < scan->count; i++) {
        source_take_next(&scan->sources[i]);
        must_fetch = must_fetch || source_must_fetch(&scan->sources[i]);
    }
    if (must_fetch) {
        TRY(sources_fetch(scan));
    }
    current_choose(scan);
out:
    return err;
}

static err_t
move_begin(struct txn_scan *scan)
{
    OBJ_CHECK(scan, TXN_SCAN_MAGIC);
    return txn_check(scan->txn);
}

static err_t
move_end(struct txn_scan *scan, err_t err)
{
    if (err != ERR_OK) {
        scan->current = NULL;
    }
    return txn_fail(scan->txn, err);
}

/* An empty key, going down, is the end of everything. */
static YIELDS err_t
scan_seek(struct txn_scan *scan, struct slice key, bool is_up, bool is_open)
{
    err_t err;

    TRY(move_begin(scan));
    buf_clear(&scan->target); /* The key may be that of the present row. */
    buf_append(&scan->target, key.data, key.size);
    scan->is_up = is_up;
    scan->current = NULL;
    for (uint32_t i = 0; i < scan->count; i++) {
        struct source *source = &scan->sources[i];

        if (is_open && source->local != NULL) {
            TRY(part_scan_last(source->local));
        } else {
            TRY(source_seek(scan, source, buf_slice(&scan->target)));
            source->is_from_open = is_open;
        }
    }
    TRY(scan_settle(scan));
out:
    return move_end(scan, err);
}

err_t
txn_scan_seek(struct txn_scan *scan, struct slice key)
{
    return scan_seek(scan, key, true, false);
}

err_t
txn_scan_seek_before(struct txn_scan *scan, struct slice key)
{
    return scan_seek(scan, key, false, false);
}

err_t
txn_scan_first(struct txn_scan *scan)
{
    return scan_seek(scan, buf_slice(&scan->lower), true, false);
}

err_t
txn_scan_last(struct txn_scan *scan)
{
    return scan_seek(scan, buf_slice(&scan->upper), false, scan->upper.size == 0);
}

/* To the neighbour of the present row in the source, if the rows in hand do not lead there:
 * the scan turns, or its own writes have changed what follows. Rows of other shards with the same
 * key come in the order of the shards. */
static YIELDS err_t
source_replace(struct txn_scan *scan, struct source *source)
{
    struct slice key = buf_slice(&scan->target); /* The present key and a zero: the one behind. */
    bool is_behind_current = source > scan->current;

    if (scan->is_up ? is_behind_current : !(source < scan->current)) {
        key.size--;
    }
    return source_seek(scan, source, key);
}

static void
source_step_begin(struct source *source)
{
    if (source->local == NULL) {
        batch_pass(&source->now);
    }
}

static YIELDS err_t
scan_step(struct txn_scan *scan, bool is_up)
{
    bool turns = scan->is_up != is_up;
    struct source *current = scan->current;
    struct slice key;
    err_t err;

    ASSERT(current != NULL);
    TRY(move_begin(scan));
    key = source_entry(current)->key;
    buf_clear(&scan->target);
    buf_append(&scan->target, key.data, key.size);
    buf_append_byte(&scan->target, 0);
    scan->is_up = is_up;
    for (uint32_t i = 0; i < scan->count; i++) {
        struct source *source = &scan->sources[i];
        bool is_stale = source_is_stale(scan, source);

        if (source == current && source->local != NULL) {
            TRY(is_up ? part_scan_next(source->local) : part_scan_previous(source->local));
        } else if (turns || is_stale) {
            TRY(source_replace(scan, source));
        } else if (source == current) {
            source_step_begin(source);
        }
    }
    TRY(scan_settle(scan));
out:
    return move_end(scan, err);
}

err_t
txn_scan_next(struct txn_scan *scan)
{
    return scan_step(scan, true);
}

err_t
txn_scan_previous(struct txn_scan *scan)
{
    return scan_step(scan, false);
}

/* ---- Looking. ---- */

bool
txn_scan_is_valid(const struct txn_scan *scan)
{
    return scan->current != NULL;
}

const struct lsm_entry *
txn_scan_entry(const struct txn_scan *scan)
{
    ASSERT(scan->current != NULL);
    return source_entry(scan->current);
}

static err_t
value_copy(struct arena *arena, struct slice value, struct slice *value_out)
{
    *value_out = arena_copy(arena, value);
    return value_out->data != NULL
               ? ERR_OK
               : err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", value.size);
}

/* A large value of another shard. */
static YIELDS err_t
value_fetch(struct txn_scan *scan, struct source *source, struct slice key, struct arena *arena,
            struct slice *value_out)
{
    struct fetch fetch;
    err_t err;

    source_fetch_prepare(scan, source, &fetch);
    buf_clear(&scan->target);
    buf_append(&scan->target, key.data, key.size);
    buf_append_byte(&scan->target, 0);
    fetch.lower = slice_of(scan->target.data, key.size);
    fetch.upper = buf_slice(&scan->target);
    fetch.bytes = (struct buf){.tag = MEM_SESSIONS};
    TRY(txn_call(scan->txn, source->shard, value_run, &fetch));
out:
    mem_adopt(MEM_SESSIONS, fetch.bytes.data, fetch.bytes.capacity);
    if (err == ERR_OK) {
        err = value_copy(arena, buf_slice(&fetch.bytes), value_out);
    }
    buf_fini(&fetch.bytes);
    return err;
}

err_t
txn_scan_value(struct txn_scan *scan, struct arena *arena, struct slice *value_out)
{
    struct source *source = scan->current;
    const struct lsm_entry *entry;
    err_t err;

    ASSERT(source != NULL);
    TRY(move_begin(scan));
    entry = source_entry(source);
    if (source->local != NULL) {
        err = part_scan_value(source->local, arena, value_out);
    } else if (entry->kind == LSM_PUT_LARGE) {
        err = value_fetch(scan, source, entry->key, arena, value_out);
    } else {
        err = value_copy(arena, entry->value, value_out);
    }
out:
    return txn_fail(scan->txn, err);
}
