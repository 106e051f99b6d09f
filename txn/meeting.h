/* txn/meeting.h - where the shards wait for each other while their stores are opened.
 *
 * Every shard attends the same rounds, also one that has failed: a round ends when all have said
 * how they fare, and one error is everybody's. For recovery.c. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/rt/fiber.h"

enum {
    MEETING_ROUNDS = 3,
    MEETING_WAIT_US = 10 * 1000 * 1000, /* For a shard that has not begun to open its store. */
};

struct meeting; /* Opaque. One a shard, registered as SHARD_SLOT_MEETING. */
struct store;

/* What a shard tells the others in a round. */
struct meeting_word {
    uint64_t log_id;
    uint64_t clock;
    uint64_t horizon;
    bool has_data; /* There was a commit at some time. */
};

struct meeting *meeting_new(struct store *store);
void meeting_free(struct meeting **meeting); /* Accepts NULL; clears the pointer. */

/* The next round: says `err` with its message and `word`, and returns when all have said theirs.
 * The first error by number of shard, with its text; ERR_TIMEOUT when one does not come. */
YIELDS err_t meeting_attend(struct meeting *meeting, err_t err, const struct meeting_word *word);
/* What a shard said in the last round. */
const struct meeting_word *meeting_word_of(const struct meeting *meeting, uint32_t shard);

/* The store that is being opened on the current shard; NULL: none. */
struct store *meeting_store(void);
