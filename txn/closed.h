/* txn/closed.h - the closed timestamp of a shard: no commit in which the shard takes part comes at
 * or below it any more. It lies below every proposal that is prepared here and below everything
 * that will be proposed, and only grows. Every batch header carries it, and so does the shard's
 * word SHARD_WORD_CLOSED, which is set when somebody asks (closed_advance).
 *
 * With commits it follows the clock. On a shard where nothing happens it stands still until a
 * reader asks: an idle process sleeps. */
#pragma once

#include <stdint.h>

#include "txn/internal.h"

struct txns;

static inline uint64_t
closed_now(const struct store *of)
{
    return MIN(of->clock.last, of->open_proposal - 1);
}

/* A part is no longer prepared. */
void closed_recount(struct txns *txns);

/* Waits until nothing that was prepared at or below `ts` is undecided here: what has been decided
 * is applied then. */
YIELDS void closed_wait_decided(struct txns *txns, uint64_t ts);

/* Takes the clock to the present, and to what other shards have committed: the closed timestamp
 * follows, but for open proposals. Costs an empty batch of the log when the ceiling is too low,
 * about twice a second on an idle shard that is asked all the time. ERR_NO_SPACE, ERR_IO. */
YIELDS err_t closed_advance(struct store *of);
