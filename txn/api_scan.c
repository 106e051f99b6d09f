/* txn/api_scan.c - scans of the C API.
 *
 * With threads a scan merges the shards' ordered streams. Each stream is fetched in chunks: a shard
 * opens an iterator at the held snapshot, copies entries out and closes it, so that no table is
 * kept alive by a scan that nobody continues. Chunks grow, so that short scans stay cheap. Inline
 * nothing is copied: api_cursor.h. In a transaction there is one stream, which its home shard has
 * merged. */
#include "engine/base/assert.h"
#include "lsm/lsm_batch.h"
#include "txn/api_cursor.h"
#include "txn/api_snapshot.h"
#include "txn/api_txn.h"

#include "engine/base/poison.h"

#define SCAN_MAGIC UINT64_C(0x6f72626974736361)

enum {
    CHUNK_BYTES_MIN = 4 << 10,
    CHUNK_BYTES_MAX = 256 << 10,
    CHUNK_GROWTH = 4,
    CHUNK_BATCH_ROWS = 64,
    CHUNK_ROWS_A_WORK_UNIT = 4,
};

/* ---- Scans. ---- */

/* One shard's stream: entries as
 *     key bytes (4) | value bytes (8) | key | value
 * of which the first `at` bytes have been given out. */
struct scan_part {
    struct buf chunk;
    size_t at;
    size_t chunk_bytes;
    struct slice given; /* The last key given out of the chunk. */
    struct buf last;    /* The same for chunks before; empty at the beginning. */
    bool is_ended;      /* The shard has nothing behind the chunk. */
};

struct orbit_scan {
    uint64_t magic;
    struct orbit *db;
    struct api_cursor *cursor; /* ORBIT_INLINE without a transaction; the rest is for others. */
    struct orbit_snapshot *snapshot;
    struct orbit_txn *txn; /* Borrowed; NULL: none. */
    orbit_keyspace keyspace;
    bool owns_snapshot;
    bool is_reverse;
    bool has_begun;   /* The first chunks are there. */
    struct buf lower; /* Stored form. */
    struct buf upper;
    uint32_t part_count; /* One a shard; of a transaction one. */
    struct scan_part *parts;
};

enum { ENTRY_HEADER_BYTES = 12 };

static void
entry_at(const struct scan_part *part, struct slice *key, struct slice *value)
{
    const uint8_t *at = part->chunk.data + part->at;

    *key = slice_of(at + ENTRY_HEADER_BYTES, get_le32(at));
    *value = slice_of(key->data + key->size, get_le64(at + 4));
}

static bool
part_has_entry(const struct scan_part *part)
{
    return part->at < part->chunk.size;
}

struct chunk_request {
    struct orbit_scan *scan;
    struct scan_part *part;
    uint32_t shard;
};

/* The chunk belongs to the scan, not to the shard that fills it. */
static err_t
chunk_append(struct scan_part *part, struct slice key, struct slice value)
{
    struct mem_account *account = api_outside_enter();
    bool has_room = buf_try_reserve(&part->chunk, ENTRY_HEADER_BYTES + key.size + value.size);

    api_outside_leave(account);
    if (!has_room) {
        return err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", value.size);
    }
    put_le32(part->chunk.data + part->chunk.size, (uint32_t)key.size);
    put_le64(part->chunk.data + part->chunk.size + 4, value.size);
    part->chunk.size += ENTRY_HEADER_BYTES;
    buf_append(&part->chunk, key.data, key.size);
    buf_append(&part->chunk, value.data, value.size);
    return ERR_OK;
}

static YIELDS err_t
chunk_begin(const struct chunk_request *request, struct arena *arena, struct lsm_iter *iter)
{
    struct slice last = buf_slice(&request->part->last);
    struct slice after = api_key_encode(arena, request->scan->keyspace, last);
    err_t err;

    if (last.size == 0) {
        return request->scan->is_reverse ? lsm_iter_last(iter) : lsm_iter_first(iter);
    }
    if (request->scan->is_reverse) {
        return lsm_iter_seek_before(iter, after);
    }
    TRY(lsm_iter_seek(iter, after));
    if (lsm_iter_is_valid(iter) && slice_equal(lsm_iter_entry(iter)->key, after)) {
        err = lsm_iter_next(iter);
    }
out:
    return err;
}

static struct slice
key_decode(struct slice stored)
{
    return slice_of(stored.data + API_KEY_PREFIX_BYTES, stored.size - API_KEY_PREFIX_BYTES);
}

static YIELDS err_t
chunk_fill_backward(struct scan_part *part, struct arena *arena, struct lsm_iter *iter)
{
    err_t err = ERR_OK;

    while (lsm_iter_is_valid(iter) && part->chunk.size < part->chunk_bytes) {
        struct slice value;

        arena_reset(arena);
        TRY(lsm_iter_value(iter, arena, &value));
        TRY(chunk_append(part, key_decode(lsm_iter_entry(iter)->key), value));
        TRY(lsm_iter_previous(iter));
        fiber_work(1);
    }
    part->is_ended = !lsm_iter_is_valid(iter);
out:
    return err;
}

/* Rows of a batch that find no room come again with the next chunk. */
static YIELDS err_t
chunk_fill_forward(struct scan_part *part, struct arena *arena, struct lsm_iter *iter)
{
    const struct lsm_batch *batch;
    uint32_t given = 0;
    err_t err;

    do {
        TRY(lsm_iter_batch(iter, CHUNK_BATCH_ROWS, &batch));
        for (given = 0; given < batch->count && part->chunk.size < part->chunk_bytes; given++) {
            uint32_t row = lsm_batch_row(batch, given);
            struct slice value;

            arena_reset(arena);
            TRY(lsm_batch_value(iter, batch, row, arena, &value));
            TRY(chunk_append(part, key_decode(batch->keys[row]), value));
        }
        fiber_work(given / CHUNK_ROWS_A_WORK_UNIT);
    } while (lsm_iter_is_valid(iter) && part->chunk.size < part->chunk_bytes);
    part->is_ended = !lsm_iter_is_valid(iter) && given == batch->count;
out:
    return err;
}

static YIELDS err_t
chunk_fill(const struct chunk_request *request, struct arena *arena, struct lsm_iter *iter)
{
    struct scan_part *part = request->part;
    err_t err;

    TRY(chunk_begin(request, arena, iter));
    TRY(request->scan->is_reverse ? chunk_fill_backward(part, arena, iter)
                                  : chunk_fill_forward(part, arena, iter));
    api_wait(lsm_iter_lsn(iter));
out:
    return err;
}

static YIELDS err_t
chunk_run(void *arg)
{
    const struct chunk_request *request = arg;
    const struct orbit_scan *scan = request->scan;
    struct lsm_iter *iter = NULL;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(store_scan_open(store_self(), api_snapshot_part(scan->snapshot, request->shard),
                        buf_slice(&scan->lower), buf_slice(&scan->upper), &iter));
    err = chunk_fill(request, &arena, iter);
out:
    lsm_iter_close(&iter);
    arena_fini(&arena);
    return err;
}

/* ---- In a transaction. ---- */

static YIELDS err_t
txn_chunk_begin(const struct chunk_request *request, struct arena *arena, struct txn_scan *rows)
{
    struct slice last = buf_slice(&request->part->last);
    struct slice after = api_key_encode(arena, request->scan->keyspace, last);
    err_t err;

    if (last.size == 0) {
        return request->scan->is_reverse ? txn_scan_last(rows) : txn_scan_first(rows);
    }
    if (request->scan->is_reverse) {
        return txn_scan_seek_before(rows, after);
    }
    TRY(txn_scan_seek(rows, after));
    if (txn_scan_is_valid(rows) && slice_equal(txn_scan_entry(rows)->key, after)) {
        err = txn_scan_next(rows);
    }
out:
    return err;
}

static YIELDS err_t
txn_chunk_fill(const struct chunk_request *request, struct arena *arena, struct txn_scan *rows)
{
    struct scan_part *part = request->part;
    bool is_reverse = request->scan->is_reverse;
    err_t err;

    TRY(txn_chunk_begin(request, arena, rows));
    while (txn_scan_is_valid(rows) && part->chunk.size < part->chunk_bytes) {
        struct slice value;

        arena_reset(arena);
        TRY(txn_scan_value(rows, arena, &value));
        TRY(chunk_append(part, key_decode(txn_scan_entry(rows)->key), value));
        TRY(is_reverse ? txn_scan_previous(rows) : txn_scan_next(rows));
        fiber_work(1);
    }
    part->is_ended = !txn_scan_is_valid(rows);
out:
    return err;
}

static YIELDS err_t
txn_chunk_step(struct txn *txn, void *arg)
{
    const struct chunk_request *request = arg;
    const struct orbit_scan *scan = request->scan;
    struct txn_scan *rows = NULL;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(txn_scan_open(txn, TXN_ALL_SHARDS, buf_slice(&scan->lower), buf_slice(&scan->upper),
                      &rows));
    err = txn_chunk_fill(request, &arena, rows);
out:
    txn_scan_close(&rows);
    arena_fini(&arena);
    return err;
}

/* The first chunk is a statement, the others belong to it. */
static err_t
txn_chunk_fetch(struct orbit_scan *scan, struct chunk_request *request)
{
    enum api_step step = scan->has_begun ? API_CONTINUATION : API_STATEMENT;

    return api_txn_call(scan->txn, step, slice_of(NULL, 0), txn_chunk_step, request);
}

/* Fetches the next chunk of a shard; the one before has been given out. */
static err_t
part_advance(struct orbit_scan *scan, uint32_t shard)
{
    struct scan_part *part = &scan->parts[shard];
    struct chunk_request request = {.scan = scan, .part = part, .shard = shard};
    err_t err;

    if (part->chunk.size > 0) {
        struct mem_account *account = api_outside_enter();

        buf_clear(&part->last);
        buf_append(&part->last, part->given.data, part->given.size);
        buf_clear(&part->chunk);
        api_outside_leave(account);
        part->at = 0;
    }
    TRY(scan->txn != NULL ? txn_chunk_fetch(scan, &request)
                          : api_call(scan->db, shard, chunk_run, &request));
    part->chunk_bytes = MIN(part->chunk_bytes * CHUNK_GROWTH, (size_t)CHUNK_BYTES_MAX);
out:
    if (err != ERR_OK) {
        buf_clear(&part->chunk); /* Of which nothing was given out: the next call tries again. */
    }
    return err;
}

static void
scan_free(struct orbit_scan *scan)
{
    api_cursor_close(&scan->cursor);
    for (uint32_t i = 0; i < scan->part_count && scan->parts != NULL; i++) {
        buf_fini(&scan->parts[i].chunk);
        buf_fini(&scan->parts[i].last);
    }
    if (scan->parts != NULL) {
        mem_free(MEM_SESSIONS, scan->parts, scan->part_count * sizeof(*scan->parts));
    }
    buf_fini(&scan->lower);
    buf_fini(&scan->upper);
    if (scan->owns_snapshot) {
        orbit_snapshot_free(&scan->snapshot);
    }
    scan->magic = 0;
    MEM_FREE(MEM_SESSIONS, scan);
}

static struct orbit_scan *
scan_new(struct orbit *db, const struct orbit_scan_options *options)
{
    struct orbit_scan *scan = MEM_NEW(MEM_SESSIONS, struct orbit_scan);

    scan->magic = SCAN_MAGIC;
    scan->db = db;
    scan->is_reverse = options->reverse;
    scan->keyspace = options->keyspace;
    scan->txn = options->txn;
    buf_init(&scan->lower, MEM_SESSIONS);
    buf_init(&scan->upper, MEM_SESSIONS);
    return scan;
}

static err_t
bounds_set(struct orbit_scan *scan, const struct orbit_scan_options *options)
{
    err_t err;

    TRY(api_bound_append(&scan->lower, options->keyspace, options->lower, options->lower_size,
                         false));
    TRY(api_bound_append(&scan->upper, options->keyspace, options->upper, options->upper_size,
                         true));
out:
    return err;
}

static void
parts_make(struct orbit_scan *scan, uint32_t count)
{
    scan->part_count = count;
    scan->parts = mem_zalloc(MEM_SESSIONS, count * sizeof(*scan->parts));
    for (uint32_t i = 0; i < count; i++) {
        buf_init(&scan->parts[i].chunk, MEM_SESSIONS);
        buf_init(&scan->parts[i].last, MEM_SESSIONS);
        scan->parts[i].chunk_bytes = CHUNK_BYTES_MIN;
    }
}

static err_t
cursor_open(struct orbit_scan *scan, const struct orbit_snapshot *snapshot)
{
    const struct api_cursor_options options = {
        .lower = buf_slice(&scan->lower),
        .upper = buf_slice(&scan->upper),
        .is_reverse = scan->is_reverse,
        .snapshot = snapshot == NULL ? NULL : api_snapshot_part(snapshot, 0),
    };

    return api_cursor_open(scan->db, &options, &scan->cursor);
}

/* Where its rows come from. */
static err_t
source_open(struct orbit_scan *scan, const struct orbit_scan_options *options)
{
    err_t err = ERR_OK;

    if (scan->txn != NULL) {
        parts_make(scan, 1);
        if (options->snapshot != NULL) {
            err = err_set(ERR_INVALID, "a scan in a transaction has that one's snapshot");
        }
    } else if (scan->db->mode == ORBIT_INLINE) {
        err = cursor_open(scan, options->snapshot);
    } else {
        parts_make(scan, scan->db->shards);
        scan->snapshot = options->snapshot;
        if (scan->snapshot == NULL) {
            TRY(api_snapshot_new(scan->db, &scan->snapshot));
            scan->owns_snapshot = true;
        }
    }
out:
    return err;
}

int
orbit_scan_new(struct orbit *db, const struct orbit_scan_options *options,
               struct orbit_scan **scan_out)
{
    struct mem_account *account = api_outside_enter();
    struct orbit_scan *scan = scan_new(db, options);
    err_t err;

    TRY(options->txn != NULL ? ERR_OK : api_caller_check(db));
    TRY(bounds_set(scan, options));
    TRY(source_open(scan, options));
    *scan_out = scan;
    scan = NULL;
out:
    if (scan != NULL) {
        scan_free(scan);
    }
    api_outside_leave(account);
    return api_result(err);
}

void
orbit_scan_free(struct orbit_scan **scan_ref)
{
    struct mem_account *account;

    if (*scan_ref == NULL) {
        return;
    }
    OBJ_CHECK(*scan_ref, SCAN_MAGIC);
    account = api_outside_enter();
    scan_free(*scan_ref);
    api_outside_leave(account);
    *scan_ref = NULL;
}

/* The shard whose next entry comes first. */
static bool
scan_pick(const struct orbit_scan *scan, uint32_t *shard_out)
{
    struct slice best = {0};
    bool any = false;

    for (uint32_t i = 0; i < scan->part_count; i++) {
        struct slice key;
        struct slice value;
        int order;

        if (!part_has_entry(&scan->parts[i])) {
            continue;
        }
        entry_at(&scan->parts[i], &key, &value);
        order = any ? slice_compare(key, best) : 0;
        if (!any || (scan->is_reverse ? order > 0 : order < 0)) {
            best = key;
            *shard_out = i;
            any = true;
        }
    }
    return any;
}

/* The first chunks of all shards, fetched at the same time. */
static err_t
parts_begin(struct orbit_scan *scan)
{
    size_t bytes = scan->part_count * sizeof(struct chunk_request);
    struct mem_account *account = api_outside_enter();
    struct chunk_request *requests = mem_alloc(MEM_SESSIONS, bytes);
    err_t err;

    api_outside_leave(account);

    for (uint32_t i = 0; i < scan->part_count; i++) {
        requests[i] = (struct chunk_request){.scan = scan, .part = &scan->parts[i], .shard = i};
    }
    err = scan->txn != NULL ? txn_chunk_fetch(scan, &requests[0])
                            : api_call_all(scan->db, chunk_run, requests, sizeof(requests[0]));
    scan->has_begun = err == ERR_OK;
    for (uint32_t i = 0; i < scan->part_count; i++) {
        struct scan_part *part = &scan->parts[i];

        if (scan->has_begun) {
            part->chunk_bytes *= CHUNK_GROWTH;
        } else {
            buf_clear(&part->chunk); /* The next call tries all again. */
            part->is_ended = false;
        }
    }
    account = api_outside_enter();
    mem_free(MEM_SESSIONS, requests, bytes);
    api_outside_leave(account);
    return err;
}

/* Afterwards every shard that has more has its next entry at hand. */
static err_t
scan_load(struct orbit_scan *scan)
{
    err_t err = ERR_OK;

    if (!scan->has_begun) {
        return parts_begin(scan);
    }
    for (uint32_t i = 0; i < scan->part_count; i++) {
        struct scan_part *part = &scan->parts[i];

        if (!part_has_entry(part) && !part->is_ended) {
            TRY(part_advance(scan, i));
        }
    }
out:
    return err;
}

static void
row_take(struct scan_part *part, struct orbit_row *row)
{
    struct slice key;
    struct slice value;

    entry_at(part, &key, &value);
    part->given = key;
    part->at += ENTRY_HEADER_BYTES + key.size + value.size;
    *row = (struct orbit_row){key.data, key.size, value.data, value.size};
}

/* Until a shard has to be asked for more, which would take back what rows point to. */
static size_t
rows_take(struct orbit_scan *scan, struct orbit_row *rows, size_t capacity)
{
    size_t count = 0;
    uint32_t shard = 0;

    while (count < capacity && scan_pick(scan, &shard)) {
        struct scan_part *part = &scan->parts[shard];

        row_take(part, &rows[count++]);
        if (!part_has_entry(part) && !part->is_ended) {
            break;
        }
    }
    return count;
}

static err_t
scan_rows(struct orbit_scan *scan, struct orbit_row *rows, size_t capacity, size_t *count_out)
{
    size_t count = 0;
    err_t err;

    OBJ_CHECK(scan, SCAN_MAGIC);
    if (scan->cursor != NULL) {
        err = api_cursor_rows(scan->cursor, rows, capacity, &count);
    } else {
        TRY(scan_load(scan));
        count = rows_take(scan, rows, capacity);
        err = count > 0 ? ERR_OK : ERR_NOT_FOUND;
    }
    if (err == ERR_NOT_FOUND) {
        err = err_set(ERR_NOT_FOUND, "the scan has ended");
    }
    TRY(err);
    *count_out = count;
out:
    return err;
}

int
orbit_scan_next(struct orbit_scan *scan, const void **key_out, size_t *key_size_out,
                const void **value_out, size_t *value_size_out)
{
    struct orbit_row row;
    size_t count;
    err_t err = ERR_OK;

    OBJ_CHECK(scan, SCAN_MAGIC);
    if (scan->cursor == NULL || !api_cursor_row(scan->cursor, &row)) {
        TRY(scan_rows(scan, &row, 1, &count));
    }
    *key_out = row.key;
    *key_size_out = row.key_size;
    *value_out = row.value;
    *value_size_out = row.value_size;
out:
    return api_result(err);
}

int
orbit_scan_batch(struct orbit_scan *scan, struct orbit_row *rows, size_t capacity,
                 size_t *count_out)
{
    if (capacity == 0) {
        return api_result(err_set(ERR_INVALID, "a batch of no rows was asked for"));
    }
    return api_result(scan_rows(scan, rows, capacity, count_out));
}
