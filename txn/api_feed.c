/* txn/api_feed.c - the change feed of the C API.
 *
 * The feed is an object of one shard (txn/feed.h), and each call a message to it. What it hands out
 * lies in the memory of that feed, which nobody touches between two calls. */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "txn/api_txn.h"
#include "txn/clock.h"
#include "txn/feed.h"
#include "txn/feed_rows.h"

#include "engine/base/poison.h"

#define FEED_MAGIC UINT64_C(0x6f72626974666564)

struct orbit_feed {
    uint64_t magic;
    struct orbit *db;
    uint32_t home;
    bool has_failed;
    struct feed *feed;
    struct feed_txn txn;
    struct buf texts; /* Principal, protocol and tag, each with a zero behind it. */
    /* Its changes: ranges, then the other writes, then the rows of its tables. */
    enum { FEED_AT_RANGES, FEED_AT_WRITES, FEED_AT_ROWS, FEED_AT_END } at;
    uint32_t next;     /* Of `ranges`, or of the transaction's writes. */
    struct buf ranges; /* Of uint32_t: which writes are range deletes. */
    struct feed_rows *rows;
    uint32_t rows_shard;          /* Whose rows were opened last. */
    const struct feed_write *row; /* Those that are left of a batch. */
    uint32_t row_count;
    struct buf large; /* A large value: the last of what a call gives. */
};

/* ---- Stored keys. ---- */

static struct slice
key_decode(struct slice stored)
{
    return slice_of(stored.data + API_KEY_PREFIX_BYTES, stored.size - API_KEY_PREFIX_BYTES);
}

static bool
is_of_api(struct slice stored)
{
    return stored.size >= API_KEY_PREFIX_BYTES && stored.data[0] == API_MODEL_TAG;
}

static orbit_keyspace
keyspace_of(struct slice stored)
{
    return get_be32(stored.data + 1);
}

/* ---- Changes. ---- */

struct changes_request {
    struct orbit_feed *feed;
    struct orbit_change *changes;
    size_t capacity;
    size_t count; /* Out. */
};

static bool
is_full(const struct changes_request *request)
{
    return request->count == request->capacity || request->feed->large.size > 0;
}

static bool
range_equals(const struct feed_write *a, const struct feed_write *b)
{
    return slice_equal(a->key, b->key) && slice_equal(a->value, b->value);
}

static uint32_t
range_count(const struct orbit_feed *feed)
{
    return (uint32_t)(feed->ranges.size / sizeof(uint32_t));
}

static uint32_t
range_index(const struct orbit_feed *feed, uint32_t number)
{
    return ((const uint32_t *)(const void *)feed->ranges.data)[number];
}

/* Each shard has its own of a range that spans all of them. */
static YIELDS bool
range_was_given(const struct orbit_feed *feed, uint32_t number)
{
    const struct feed_write *writes = feed->txn.writes;
    uint32_t index = range_index(feed, number);

    for (uint32_t i = 0; i < number; i++) {
        if (range_equals(&writes[range_index(feed, i)], &writes[index])) {
            return true;
        }
        fiber_work(1);
    }
    return false;
}

static void
range_give(struct changes_request *request, const struct feed_write *write)
{
    struct orbit_change change = {.kind = ORBIT_CHANGE_DELETE_RANGE};
    struct slice lower, upper;

    if (!is_of_api(write->key) || !is_of_api(write->value)) {
        return;
    }
    lower = key_decode(write->key);
    upper = key_decode(write->value);
    change.keyspace = keyspace_of(write->key);
    change.key = lower.size > 0 ? lower.data : NULL;
    change.key_size = lower.size;
    if (keyspace_of(write->value) == change.keyspace) { /* Otherwise it is the next one's begin. */
        change.value = upper.data;
        change.value_size = upper.size;
    }
    request->changes[request->count++] = change;
}

/* A later range delete of the same shard hides it. */
static YIELDS bool
is_hidden(const struct orbit_feed *feed, uint32_t index)
{
    const struct feed_write *write = &feed->txn.writes[index];

    for (uint32_t i = range_count(feed); i > 0 && range_index(feed, i - 1) > index; i--) {
        const struct feed_write *range = &feed->txn.writes[range_index(feed, i - 1)];

        if (range->shard == write->shard && slice_compare(range->key, write->key) <= 0 &&
            slice_compare(write->key, range->value) < 0) {
            return true;
        }
        fiber_work(1);
    }
    return false;
}

static YIELDS err_t
write_give(struct changes_request *request, const struct feed_write *write)
{
    struct orbit_feed *feed = request->feed;
    struct slice key;
    struct orbit_change change = {
        .kind = write->kind == FEED_DELETE ? ORBIT_CHANGE_DELETE : ORBIT_CHANGE_PUT,
        .expire_ms = write->expire_us / 1000,
    };
    err_t err = ERR_OK;

    if (!is_of_api(write->key)) {
        return ERR_OK;
    }
    key = key_decode(write->key);
    change.keyspace = keyspace_of(write->key);
    change.key = key.data;
    change.key_size = key.size;
    if (write->kind == FEED_PUT) {
        change.value = write->value.data;
        change.value_size = write->value.size;
    } else if (write->kind == FEED_PUT_LARGE) {
        err = feed_value(write, &feed->large);
        change.value = err == ERR_OK ? feed->large.data : NULL;
        change.value_size = err == ERR_OK ? feed->large.size : 0;
        change.is_gone = err == ERR_SNAPSHOT_TOO_OLD;
        err = change.is_gone ? ERR_OK : err;
    }
    if (err == ERR_OK) {
        request->changes[request->count++] = change;
    }
    return err;
}

static YIELDS err_t
ranges_give(struct changes_request *request)
{
    struct orbit_feed *feed = request->feed;

    for (; feed->next < range_count(feed) && !is_full(request); feed->next++) {
        if (!range_was_given(feed, feed->next)) {
            range_give(request, &feed->txn.writes[range_index(feed, feed->next)]);
        }
    }
    return ERR_OK;
}

static YIELDS err_t
writes_give(struct changes_request *request)
{
    struct orbit_feed *feed = request->feed;
    err_t err = ERR_OK;

    for (; feed->next < feed->txn.count && !is_full(request); feed->next++) {
        const struct feed_write *write = &feed->txn.writes[feed->next];

        if (write->kind != FEED_DELETE_RANGE && write->kind != FEED_INGEST &&
            !is_hidden(feed, feed->next)) {
            TRY(write_give(request, write));
        }
    }
out:
    return err;
}

/* The rows of the next shard that has tables, unless all are done. Its tables stand together. */
static YIELDS err_t
rows_open_next(struct orbit_feed *feed)
{
    while (feed->next < feed->txn.count) {
        const struct feed_write *write = &feed->txn.writes[feed->next++];

        if (write->kind == FEED_INGEST && write->shard != feed->rows_shard) {
            feed->rows_shard = write->shard;
            return feed_rows_open(feed->feed, &feed->txn, write->shard, &feed->rows);
        }
    }
    return ERR_OK;
}

/* A batch is given out whole before the next is fetched, which takes its place. */
static YIELDS err_t
rows_give(struct changes_request *request)
{
    struct orbit_feed *feed = request->feed;
    err_t err = ERR_OK;

    while (!is_full(request) && (request->count == 0 || feed->row_count > 0)) {
        if (feed->row_count > 0) {
            TRY(write_give(request, feed->row));
            feed->row++;
            feed->row_count--;
            continue;
        }
        if (feed->rows == NULL) {
            TRY(rows_open_next(feed));
            if (feed->rows == NULL) {
                break;
            }
        }
        TRY(feed_rows_next(feed->rows, &feed->row, &feed->row_count));
        if (feed->row_count == 0) {
            feed_rows_close(&feed->rows);
        }
    }
out:
    return err;
}

static YIELDS err_t
changes_run(void *arg)
{
    static YIELDS err_t (*const give[])(struct changes_request *) = {
        [FEED_AT_RANGES] = ranges_give,
        [FEED_AT_WRITES] = writes_give,
        [FEED_AT_ROWS] = rows_give,
    };
    struct changes_request *request = arg;
    struct orbit_feed *feed = request->feed;
    err_t err = ERR_OK;

    buf_clear(&feed->large);
    while (feed->at != FEED_AT_END && request->count == 0) {
        TRY(give[feed->at](request));
        if (request->count == 0) {
            feed->at++;
            feed->next = 0;
        }
    }
out:
    if (err != ERR_OK && request->count == 0) {
        feed->at = FEED_AT_END;
    }
    return request->count > 0 ? ERR_OK : err != ERR_OK ? err : ERR_NOT_FOUND;
}

static err_t
feed_check(const struct orbit_feed *feed)
{
    if (feed == NULL || feed->magic != FEED_MAGIC) {
        return err_set(ERR_INVALID, "there is no such feed");
    }
    return feed->has_failed
               ? err_set(ERR_INVALID, "the feed has failed: open another behind its last place")
               : ERR_OK;
}

int
orbit_feed_changes(struct orbit_feed *feed, struct orbit_change *changes, size_t capacity,
                   size_t *count_out)
{
    struct changes_request request = {.feed = feed, .changes = changes, .capacity = capacity};
    err_t err;

    TRY(feed_check(feed));
    if (capacity == 0) {
        err = err_set(ERR_INVALID, "there is no room for a change");
        goto out;
    }
    TRY(api_call(feed->db, feed->home, changes_run, &request));
    *count_out = request.count;
out:
    return api_result(err);
}

/* ---- Transactions. ---- */

struct next_request {
    struct orbit_feed *feed;
    uint32_t timeout_ms;
    struct orbit_feed_txn txn; /* Out. */
};

static void
text_append(struct buf *texts, struct slice text)
{
    buf_append(texts, text.data, text.size);
    buf_append_byte(texts, 0);
}

static void
txn_begin_changes(struct orbit_feed *feed)
{
    const struct feed_txn *txn = &feed->txn;

    buf_clear(&feed->ranges);
    for (uint32_t i = 0; i < txn->count; i++) {
        if (txn->writes[i].kind == FEED_DELETE_RANGE) {
            buf_append(&feed->ranges, &i, sizeof(i));
        }
    }
    feed->at = FEED_AT_RANGES;
    feed->next = 0;
    feed->rows_shard = UINT32_MAX;
    buf_clear(&feed->texts);
    text_append(&feed->texts, txn->principal);
    text_append(&feed->texts, txn->protocol);
    text_append(&feed->texts, txn->tag);
}

static void
txn_describe(const struct orbit_feed *feed, struct orbit_feed_txn *txn_out)
{
    const char *texts = (const char *)feed->texts.data;

    txn_out->place =
        (struct orbit_feed_place){.commit = feed->txn.place.ts, .shard = feed->txn.place.home};
    txn_out->commit_us = feed->txn.place.ts >> CLOCK_COUNTER_BITS;
    txn_out->principal = texts;
    txn_out->protocol = texts + feed->txn.principal.size + 1;
    txn_out->tag = txn_out->protocol + feed->txn.protocol.size + 1;
}

static YIELDS err_t
next_run(void *arg)
{
    struct next_request *request = arg;
    struct orbit_feed *feed = request->feed;
    bool is_there = false;
    err_t err;

    feed_rows_close(&feed->rows);
    feed->row_count = 0;
    feed->at = FEED_AT_END;
    err = feed_wait(feed->feed, shard_now_us() + UINT64_C(1000) * request->timeout_ms, &feed->txn,
                    &is_there);
    feed->has_failed = err != ERR_OK;
    TRY(err);
    if (!is_there) {
        err = err_set(ERR_TIMEOUT, "nothing was committed within %u ms", request->timeout_ms);
        goto out;
    }
    txn_begin_changes(feed);
    txn_describe(feed, &request->txn);
out:
    return err;
}

int
orbit_feed_next(struct orbit_feed *feed, uint32_t timeout_ms, struct orbit_feed_txn *txn_out)
{
    struct next_request request = {.feed = feed, .timeout_ms = timeout_ms};
    err_t err;

    TRY(feed_check(feed));
    TRY(api_call(feed->db, feed->home, next_run, &request));
    *txn_out = request.txn;
out:
    return api_result(err);
}

/* ---- Life. ---- */

struct open_request {
    struct orbit_feed *feed;
    struct orbit_feed_options options;
};

static YIELDS err_t
open_run(void *arg)
{
    struct open_request *request = arg;
    const struct orbit_feed_options *options = &request->options;
    struct orbit_feed *feed = request->feed;
    struct feed_place after = feed_place_before(options->from_us);
    uint8_t prefix[API_KEY_PREFIX_BYTES] = {API_MODEL_TAG};
    struct slice wanted = slice_of(prefix, options->keyspace != NULL ? sizeof(prefix) : 1);

    if (options->behind != NULL) {
        after = (struct feed_place){.ts = options->behind->commit, .home = options->behind->shard};
    } else if (options->from_us == ORBIT_FEED_NOW) {
        after = feed_place_now();
    }
    if (options->keyspace != NULL) {
        put_be32(prefix + 1, *options->keyspace);
    }
    feed->home = shard_id();
    feed->at = FEED_AT_END;
    buf_init(&feed->texts, MEM_SESSIONS);
    buf_init(&feed->ranges, MEM_SESSIONS);
    buf_init(&feed->large, MEM_SESSIONS);
    return feed_open(after, &wanted, 1, &feed->feed);
}

static YIELDS err_t
free_run(void *arg)
{
    struct orbit_feed *feed = arg;

    feed_rows_close(&feed->rows);
    feed_close(&feed->feed);
    buf_fini(&feed->texts);
    buf_fini(&feed->ranges);
    buf_fini(&feed->large);
    return ERR_OK;
}

int
orbit_feed_open(struct orbit *db, const struct orbit_feed_options *options,
                struct orbit_feed **feed_out)
{
    struct open_request request = {0};
    struct orbit_feed *feed = NULL;
    err_t err;

    if (options != NULL) {
        request.options = *options;
    }
    TRY(api_caller_check(db));
    if (request.options.from_us != ORBIT_FEED_NOW &&
        request.options.from_us >= UINT64_C(1) << (64 - CLOCK_COUNTER_BITS)) {
        err = err_set(ERR_INVALID, "the time to read from is out of range");
        goto out;
    }
    TRY(request.options.keyspace != NULL ? api_keyspace_check(*request.options.keyspace) : ERR_OK);
    feed = MEM_NEW(MEM_SESSIONS, struct orbit_feed);
    feed->magic = FEED_MAGIC;
    feed->db = db;
    request.feed = feed;
    TRY(api_call(db, api_any_shard(db), open_run, &request));
    *feed_out = feed;
    feed = NULL;
out:
    if (feed != NULL) {
        feed->magic = 0;
        MEM_FREE(MEM_SESSIONS, feed);
    }
    return api_result(err);
}

void
orbit_feed_free(struct orbit_feed **feed_ref)
{
    struct orbit_feed *feed = *feed_ref;
    err_t err;

    if (feed == NULL) {
        return;
    }
    OBJ_CHECK(feed, FEED_MAGIC);
    err = api_call(feed->db, feed->home, free_run, feed);
    ASSERT(err == ERR_OK); /* Otherwise another thread has called an inline database. */
    feed->magic = 0;
    MEM_FREE(MEM_SESSIONS, feed);
    *feed_ref = NULL;
}
