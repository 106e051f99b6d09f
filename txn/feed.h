/* txn/feed.h - the change feed: whole committed transactions of all shards, in one order.
 *
 * A transaction is one record in the log of its home shard. A feed reads all logs side by side
 * (wal/cursor.h) and gives transactions in the order of (timestamp, home shard), up to the smallest
 * closed timestamp of all shards (closed.h): nothing that is durable is left out, nothing that is
 * not durable is given, and what was given stays in its place for ever. It reads logs, never
 * tables, and so goes back as far as all logs do: below that ERR_SNAPSHOT_TOO_OLD.
 *
 * A feed belongs to the shard that opened it, and to one fiber at a time. It is closed before any
 * store is. While it is open the logs keep what it has not read, up to WAL_CURSOR_BEHIND_MAX. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

struct feed;

enum {
    FEED_CHUNK_BYTES = 1 << 20, /* Of a log read at a time; one batch may be larger. */
    FEED_PREFIXES_MAX = 64,     /* ERR_LIMIT above. */
    FEED_POLL_US_MIN = 1000,    /* feed_wait looks so often, */
    FEED_POLL_US_MAX = 32000,   /* and less and less until so often. */
};

/* Between two transactions: everything up to and including (ts, home) lies before. */
struct feed_place {
    uint64_t ts;
    uint32_t home;
};

/* Before all transactions of that microsecond. */
struct feed_place feed_place_before(uint64_t time_us);
/* Behind every transaction that was answered before the call. */
struct feed_place feed_place_now(void);

enum feed_kind {
    FEED_PUT,
    FEED_PUT_LARGE,    /* The value comes by feed_value. */
    FEED_DELETE,       /* Of one key. */
    FEED_DELETE_RANGE, /* Of all keys of the shard in [key, value) that are older. */
    /* Rows came in a table (an ingest, or a transaction too large for memory), one write for each.
     * The rows are read by feed_rows.h. It is given whatever the prefixes are. */
    FEED_INGEST,
};

struct feed_write {
    enum feed_kind kind;
    uint32_t shard; /* Whose writes it belongs to when it was committed. */
    uint16_t slot;
    struct slice key;
    struct slice value; /* FEED_PUT_LARGE: what feed_value takes. FEED_INGEST: what the log says of
                           the table. */
    uint64_t expire_us; /* 0: never. */
};

struct feed_txn {
    struct feed_place place; /* Its own: a feed that is opened behind it begins with the next. */
    struct slice principal, protocol, tag;
    const struct feed_write *writes; /* In the order in which they were made, shard by shard. */
    uint32_t count;
};

/* Only writes whose key begins with a prefix are given (or ranges that meet one), and only
 * transactions that have some; count 0: everything. The prefixes are copied. Errors:
 * ERR_SNAPSHOT_TOO_OLD (some log does not go back so far; the text says how far all do),
 * ERR_INVALID (in the future), ERR_LIMIT, ERR_CORRUPT, ERR_IO. */
YIELDS err_t feed_open(struct feed_place after, const struct slice *prefixes, uint32_t count,
                       struct feed **feed_out);
/* Accepts NULL; clears the pointer. */
YIELDS void feed_close(struct feed **feed);

/* The next transaction, valid until the next call; *is_there_out false: none is ready. After an
 * error the feed is only to be closed; feed_where says where it was. */
YIELDS err_t feed_next(struct feed *feed, struct feed_txn *txn_out, bool *is_there_out);
/* The same, but waits for one until the deadline. ERR_CANCELED. */
YIELDS err_t feed_wait(struct feed *feed, uint64_t deadline_us, struct feed_txn *txn_out,
                       bool *is_there_out);
/* Does a filter of the feed let the write pass? */
bool feed_wants(const struct feed *feed, const struct feed_write *write);
/* Behind everything that was given or filtered out. */
struct feed_place feed_where(const struct feed *feed);
/* The bytes of a large value, as long as some version of a key in the store has it; otherwise
 * ERR_SNAPSHOT_TOO_OLD. */
YIELDS err_t feed_value(const struct feed_write *write, struct buf *value_out);
