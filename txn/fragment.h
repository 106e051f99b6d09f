/* txn/fragment.h - work that is done where the rows of a transaction lie.
 *
 * A range of keys is read on all shards at the same time. Each shard's rows go, a piece at a time,
 * to a function there, and only what it makes of them comes to the session's shard. Between two
 * pieces nothing of it is left on another shard. Rows are seen as by a scan (txn/txn.h), but in no
 * order between shards. */
#pragma once

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"

struct txn;
struct txn_fragments;
struct txn_piece;

enum { /* A piece, before the session is heard again; it ends with the row that is too many. */
       TXN_PIECE_ROWS_MAX = 16384,
       TXN_PIECE_BYTES_MAX = 4 << 20,
};

/* On the shard of the rows: reads the piece to its end, and appends its answer. `arg` is that of
 * the session's shard: it may only be read there. */
typedef YIELDS err_t (*txn_fragment_fn)(const void *arg, struct txn_piece *piece, struct buf *out);
/* The next row's value, in the arena. */
YIELDS err_t txn_piece_next(struct txn_piece *piece, struct arena *arena, struct slice *value_out,
                            bool *is_end_out);

/* [lower, upper); the bounds are copied. It is closed before the transaction ends. */
YIELDS err_t txn_fragments_open(struct txn *txn, struct slice lower, struct slice upper,
                                txn_fragment_fn fn, const void *arg,
                                struct txn_fragments **fragments_out);
/* Accepts NULL; clears the pointer. */
void txn_fragments_close(struct txn_fragments **fragments);
/* A piece of each shard that has rows left; take is called for the answers, shard by shard.
 * *is_end_out: there were none. */
YIELDS err_t txn_fragments_next(struct txn_fragments *fragments,
                                YIELDS err_t (*take)(void *arg, struct slice answer),
                                void *take_arg, bool *is_end_out);
