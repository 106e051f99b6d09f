/* net/commands_feed.c - ORBIT.FEED: committed transactions in their order, from a place on.
 *
 *     ORBIT.FEED from [COUNT n] [BLOCK milliseconds] [PREFIX bytes]
 *
 * `from` is a time in microseconds since 1970 (everything of that microsecond and later), the id of
 * a transaction that was given before (everything behind it), or $ (everything from now on, with
 * BLOCK). Nothing is kept for the client between two calls. Keys and values are those of the store:
 * docs/format/kv.md. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/rt/shard.h"
#include "net/dispatch.h"
#include "txn/clock.h"
#include "txn/feed.h"
#include "txn/feed_rows.h"

#include "engine/base/poison.h"

enum {
    FEED_COUNT_DEFAULT = 100,
    FEED_COUNT_MAX = 100000,
    FEED_BLOCK_MS_MAX = 3600 * 1000,
    FEED_REPLY_BYTES = 16 << 20, /* A reply ends with the transaction that reaches this. */
    FEED_ROWS_BYTES_MAX =
        64 << 20,             /* Rows of a transaction that came in tables: announced above. */
    FEED_LOOK_US = 50 * 1000, /* A client that has gone is noticed so soon. */
    FEED_ID_BYTES_MAX = 48,
    FEED_WRITE_FIELDS = 4,
};

struct feed_request {
    struct feed_place from;
    struct slice prefix;
    bool has_prefix;
    uint64_t count;
    uint64_t deadline_us; /* 0: does not wait. */
};

/* ---- Arguments ---- */

/* Digits up to `end` or the end of the text; false without any. */
static bool
number_take(struct slice *text, char end, uint64_t max, uint64_t *number_out)
{
    uint64_t number = 0;
    size_t at = 0;

    while (at < text->size && text->data[at] != (uint8_t)end) {
        uint8_t digit = (uint8_t)(text->data[at] - '0');

        if (digit > 9 || number > (max - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
        at++;
    }
    *number_out = number;
    *text = slice_of(text->data + at, text->size - at);
    return at > 0;
}

static bool
separator_take(struct slice *text)
{
    if (text->size == 0 || text->data[0] != '-') {
        return false;
    }
    *text = slice_of(text->data + 1, text->size - 1);
    return true;
}

/* microseconds | microseconds-counter-shard | $ */
static bool
place_parse(struct slice text, struct feed_place *place_out)
{
    uint64_t time_us, counter, home;

    if (slice_equal(text, SLICE("$"))) {
        *place_out = feed_place_now();
        return true;
    }
    if (!number_take(&text, '-', UINT64_MAX >> CLOCK_COUNTER_BITS, &time_us)) {
        return false;
    }
    *place_out = feed_place_before(time_us);
    if (text.size == 0) {
        return true;
    }
    if (!separator_take(&text) ||
        !number_take(&text, '-', (1 << CLOCK_COUNTER_BITS) - 1, &counter) ||
        !separator_take(&text) || !number_take(&text, '-', UINT32_MAX, &home) || text.size > 0) {
        return false;
    }
    *place_out = (struct feed_place){time_us << CLOCK_COUNTER_BITS | counter, (uint32_t)home};
    return true;
}

static bool
option_parse(struct kv_request *request, uint32_t at, struct feed_request *feed)
{
    struct slice name = request->argv[at];
    struct slice text = request->argv[at + 1];
    uint64_t block_ms;

    if (command_word_is(name, "PREFIX") && !feed->has_prefix) {
        feed->prefix = text;
        feed->has_prefix = true;
        return true;
    }
    if (command_word_is(name, "COUNT")) {
        return number_take(&text, '\0', FEED_COUNT_MAX, &feed->count) && text.size == 0 &&
               feed->count > 0;
    }
    if (command_word_is(name, "BLOCK")) {
        if (!number_take(&text, '\0', FEED_BLOCK_MS_MAX, &block_ms) || text.size > 0) {
            return false;
        }
        feed->deadline_us = shard_now_us() + block_ms * 1000;
        return true;
    }
    return false;
}

static bool
request_parse(struct kv_request *request, struct feed_request *feed)
{
    *feed = (struct feed_request){.count = FEED_COUNT_DEFAULT};
    if (!place_parse(request->argv[1], &feed->from)) {
        reply_error(request->reply, "ERR from is microseconds since 1970, the id of a transaction "
                                    "(microseconds-counter-shard), or $");
        return false;
    }
    for (uint32_t at = 2; at < request->argc; at += 2) {
        if (at + 1 == request->argc || !option_parse(request, at, feed)) {
            reply_error(request->reply,
                        "ERR syntax: ORBIT.FEED from [COUNT 1..%d] [BLOCK 0..%d] [PREFIX bytes]",
                        FEED_COUNT_MAX, FEED_BLOCK_MS_MAX);
            return false;
        }
    }
    return true;
}

/* ---- The reply ---- */

/* A large value that is gone is null: later transactions say what became of it. */
static YIELDS err_t
reply_large(struct reply *reply, const struct feed_write *write)
{
    struct buf value;
    err_t err;

    buf_init(&value, MEM_SESSIONS);
    err = feed_value(write, &value);
    if (err == ERR_SNAPSHOT_TOO_OLD) {
        reply_null(reply);
        err = ERR_OK;
    } else if (err == ERR_OK) {
        reply_bulk(reply, buf_slice(&value));
    }
    buf_fini(&value);
    return err;
}

static YIELDS err_t
reply_write(struct reply *reply, const struct feed_write *write)
{
    err_t err = ERR_OK;

    switch (write->kind) {
    case FEED_PUT:
    case FEED_PUT_LARGE:
        reply_array(reply, FEED_WRITE_FIELDS);
        reply_bulk_text(reply, "put");
        reply_bulk(reply, write->key);
        if (write->kind == FEED_PUT) {
            reply_bulk(reply, write->value);
        } else {
            TRY(reply_large(reply, write));
        }
        reply_int(reply, (int64_t)write->expire_us);
        break;
    case FEED_DELETE:
        reply_array(reply, 2);
        reply_bulk_text(reply, "delete");
        reply_bulk(reply, write->key);
        break;
    case FEED_DELETE_RANGE:
        reply_array(reply, FEED_WRITE_FIELDS);
        reply_bulk_text(reply, "delete-range");
        reply_bulk(reply, write->key);
        reply_bulk(reply, write->value);
        reply_int(reply, write->shard);
        break;
    case FEED_INGEST:
        reply_array(reply, 2);
        reply_bulk_text(reply, "ingest");
        reply_int(reply, write->shard);
        break;
    }
out:
    return err;
}

/* ---- Rows that came in tables. ---- */

static YIELDS err_t
rows_append(const struct feed *feed, const struct feed_txn *txn, uint32_t shard,
            struct reply *writes, uint64_t *count)
{
    const struct feed_write *batch;
    struct feed_rows *rows = NULL;
    uint32_t batch_count;
    err_t err;

    TRY(feed_rows_open(feed, txn, shard, &rows));
    do {
        TRY(feed_rows_next(rows, &batch, &batch_count));
        for (uint32_t i = 0; i < batch_count; i++) {
            TRY(reply_write(writes, &batch[i]));
        }
        *count += batch_count;
    } while (batch_count > 0 && writes->buf.size < FEED_ROWS_BYTES_MAX);
    if (batch_count > 0) {
        err =
            err_set(ERR_LIMIT, "a transaction's rows take more than %d bytes", FEED_ROWS_BYTES_MAX);
    }
out:
    feed_rows_close(&rows);
    return err;
}

/* All rows of a shard's tables, or one entry that says that there are some: they are too many for
 * a reply, or no longer all kept. */
static YIELDS err_t
rows_or_announce(const struct feed *feed, const struct feed_txn *txn,
                 const struct feed_write *write, struct reply *writes, uint64_t *count)
{
    size_t before = writes->buf.size;
    uint64_t count_before = *count;
    err_t err = rows_append(feed, txn, write->shard, writes, count);

    if (err == ERR_LIMIT || err == ERR_SNAPSHOT_TOO_OLD) {
        writes->buf.size = before;
        *count = count_before + 1;
        err = reply_write(writes, write);
    }
    return err;
}

static YIELDS err_t
writes_append(const struct feed *feed, const struct feed_txn *txn, struct reply *writes,
              uint64_t *count)
{
    uint32_t shard = UINT32_MAX; /* Whose tables were read last: they stand together. */
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < txn->count; i++) {
        const struct feed_write *write = &txn->writes[i];

        if (write->kind != FEED_INGEST) {
            TRY(reply_write(writes, write));
            ++*count;
        } else if (write->shard != shard) {
            shard = write->shard;
            TRY(rows_or_announce(feed, txn, write, writes, count));
        }
    }
out:
    return err;
}

static YIELDS err_t
reply_txn(struct reply *reply, const struct feed *feed, const struct feed_txn *txn)
{
    struct reply writes;
    uint64_t count = 0;
    err_t err;

    reply_init(&writes, reply->resp);
    TRY(writes_append(feed, txn, &writes, &count));
    reply_array(reply, 5);
    reply_bulk_printf(reply, "%" PRIu64 "-%" PRIu64 "-%" PRIu32,
                      txn->place.ts >> CLOCK_COUNTER_BITS,
                      txn->place.ts & ((1 << CLOCK_COUNTER_BITS) - 1), txn->place.home);
    reply_bulk(reply, txn->principal);
    reply_bulk(reply, txn->protocol);
    reply_bulk(reply, txn->tag);
    reply_array(reply, count);
    buf_append(&reply->buf, writes.buf.data, writes.buf.size);
out:
    reply_fini(&writes);
    return err;
}

/* ---- Reading ---- */

static bool
may_wait(const struct session *session, const struct feed_request *request)
{
    return shard_now_us() < request->deadline_us && !session->is_closing && !session->is_closed &&
           !session->is_half_closed && !session->net->is_draining;
}

/* The first one is waited for, the others are those that are there. */
static YIELDS err_t
feed_reply(struct session *session, const struct feed_request *request, struct feed *feed,
           struct reply *rows, uint64_t *count_out)
{
    bool is_there = true;
    err_t err = ERR_OK;

    *count_out = 0;
    while (is_there && *count_out < request->count && rows->buf.size < FEED_REPLY_BYTES) {
        struct feed_txn txn;

        TRY(feed_next(feed, &txn, &is_there));
        while (!is_there && *count_out == 0 && may_wait(session, request)) {
            uint64_t look_us = shard_now_us() + FEED_LOOK_US;

            TRY(feed_wait(feed, MIN(look_us, request->deadline_us), &txn, &is_there));
        }
        if (is_there) {
            TRY(reply_txn(rows, feed, &txn));
            ++*count_out;
        }
    }
out:
    return err;
}

static YIELDS void
run_feed(struct session *session, struct kv_request *request)
{
    struct feed_request wanted;
    struct feed *feed = NULL;
    struct reply rows;
    uint64_t count;
    err_t err;

    if (!request_parse(request, &wanted)) {
        return;
    }
    reply_init(&rows, session->output.resp);
    TRY(feed_open(wanted.from, &wanted.prefix, wanted.has_prefix, &feed));
    TRY(feed_reply(session, &wanted, feed, &rows, &count));
    reply_array(request->reply, count);
    buf_append(&request->reply->buf, rows.buf.data, rows.buf.size);
out:
    if (err != ERR_OK) {
        reply_err(request->reply, err);
    }
    reply_fini(&rows);
    feed_close(&feed);
}

const struct net_command net_commands_feed[] = {
    {"orbit.feed", run_feed},
    {NULL, NULL},
};
