/* models/relational/sequence.h - the values of sequences: never rolled back, in order over all
 * sessions.
 *
 * A sequence's value has a home, the shard of its state's slot. There it lies in memory, and in the
 * store SEQUENCE_LOGGED values ahead of what was given out: a crash leaves a gap, never a value
 * twice. What a sequence is (its increment and bounds) comes from the catalog with each call; a
 * state that is not in the store stands at the start. A new start is a new state
 * (sequence_state_take), so that RESTART is undone with its transaction. */
#pragma once

#include "models/relational/catalog.h"

enum { SEQUENCE_LOGGED = 32, SEQUENCES_KEPT_MAX = 4096 };

struct sequence_value {
    int64_t last;
    bool is_called;  /* False: `last` itself comes next. */
    uint32_t logged; /* Values that come without a write. */
};

/* A number for struct sequence.state. */
YIELDS err_t sequence_state_take(uint64_t *state_out);
/* Takes `cache` values: *first_out, and *count_out - 1 more, each an increment further. name: for
 * errors. 2200H at the end of one that does not cycle. */
YIELDS err_t sequence_next(const struct sequence *sequence, struct slice name, int64_t *first_out,
                           uint32_t *count_out);
YIELDS err_t sequence_get(const struct sequence *sequence, struct sequence_value *value_out);
/* setval: at once, for everybody. */
YIELDS err_t sequence_set(const struct sequence *sequence, int64_t last, bool is_called);
/* Its entry goes with the transaction. */
void sequence_state_delete(struct txn *txn, uint64_t state);

/* ---- For relational.c ---- */

struct sequences; /* Those whose home this shard is. */
struct sequences *sequences_new(void);
void sequences_free(struct sequences **sequences);
struct sequences *relational_sequences(void);
