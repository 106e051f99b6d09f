/* query/sequences.h - what a session has drawn from sequences: currval, lastval, and values that
 * CACHE keeps for it. */
#pragma once

#include "models/relational/catalog.h"

struct session_sequences;

struct session_sequences *session_sequences_new(void);
void session_sequences_free(struct session_sequences **sequences);

/* Draws the next value. 2200H. */
YIELDS err_t session_sequence_next(struct session_sequences *sequences,
                                   const struct relation *sequence, int64_t *value_out);
/* false: none was drawn from it. oid 0: the last of all; *oid_out whose. */
bool session_sequence_current(const struct session_sequences *sequences, oid_t oid,
                              int64_t *value_out, oid_t *oid_out);
/* After setval: it is the current one, where it counts as drawn, and what was kept is dropped. */
void session_sequence_told(struct session_sequences *sequences, const struct relation *sequence,
                           int64_t value, bool is_called);
/* DISCARD SEQUENCES */
void session_sequences_clear(struct session_sequences *sequences);
