/* txn/feed_rows.h - the rows of a transaction that came in tables, for readers of the change feed.
 *
 * The log only names the tables. Their rows are read on the shard that has them, in batches, so
 * that a transaction of any size takes a bounded amount of memory here. Belongs to the shard of its
 * feed, and is closed before the feed moves on. */
#pragma once

#include "txn/feed.h"

enum { FEED_ROWS_BYTES = 256 << 10 }; /* Of a batch; one row may be larger. */

struct feed_rows;

/* Those of all FEED_INGEST writes of the transaction at this shard. Errors: ERR_SNAPSHOT_TOO_OLD
 * (they are no longer all kept), ERR_CLOSED, ERR_CORRUPT, ERR_IO. */
YIELDS err_t feed_rows_open(const struct feed *feed, const struct feed_txn *txn, uint32_t shard,
                            struct feed_rows **rows_out);
/* Accepts NULL; clears the pointer. */
YIELDS void feed_rows_close(struct feed_rows **rows);
/* The next rows that the feed wants, of kinds FEED_PUT, FEED_PUT_LARGE and FEED_DELETE, valid until
 * the next call; *count_out 0: there are no more. */
YIELDS err_t feed_rows_next(struct feed_rows *rows, const struct feed_write **writes_out,
                            uint32_t *count_out);
