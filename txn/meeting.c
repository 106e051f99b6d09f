/* txn/meeting.c - see meeting.h. */
#include "txn/meeting.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/mem.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum { MEETING_LOOK_US = 200 }; /* Between looks for a shard's meeting. */

/* What one shard has said in one round. */
struct meeting_said {
    bool is_said;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
    struct meeting_word word;
};

struct meeting {
    struct store *store;
    uint32_t round; /* That is attended, or will be next. */
    uint32_t heard[MEETING_ROUNDS];
    struct meeting_said *said[MEETING_ROUNDS]; /* [shard_count()] each. */
    struct cond heard_cond;
};

struct meeting_call {
    uint32_t round, from;
    struct meeting_said said;
    bool is_absent; /* Out: nobody was there. */
};

static struct meeting *
meeting_here(void)
{
    return shard_slot_get(SHARD_SLOT_MEETING);
}

struct meeting *
meeting_new(struct store *store)
{
    struct meeting *meeting = MEM_NEW(MEM_RUNTIME, struct meeting);

    ASSERT(meeting_here() == NULL);
    meeting->store = store;
    cond_init(&meeting->heard_cond);
    for (uint32_t i = 0; i < MEETING_ROUNDS; i++) {
        meeting->said[i] = mem_zalloc(MEM_RUNTIME, shard_count() * sizeof(struct meeting_said));
    }
    shard_slot_set(SHARD_SLOT_MEETING, meeting);
    return meeting;
}

void
meeting_free(struct meeting **meeting_ref)
{
    struct meeting *meeting = *meeting_ref;

    if (meeting == NULL) {
        return;
    }
    shard_slot_set(SHARD_SLOT_MEETING, NULL);
    for (uint32_t i = 0; i < MEETING_ROUNDS; i++) {
        mem_free(MEM_RUNTIME, meeting->said[i], shard_count() * sizeof(struct meeting_said));
    }
    MEM_FREE(MEM_RUNTIME, meeting);
    *meeting_ref = NULL;
}

/* On the shard that is told. It may not have come yet. */
static YIELDS void
hear(void *arg)
{
    struct meeting_call *call = arg;
    uint64_t deadline_us = shard_now_us() + MEETING_WAIT_US;
    struct meeting *meeting;

    while ((meeting = meeting_here()) == NULL && shard_now_us() < deadline_us) {
        if (fiber_sleep_us(MEETING_LOOK_US) != ERR_OK) {
            break;
        }
    }
    call->is_absent = meeting == NULL;
    if (meeting != NULL) {
        ASSERT(!meeting->said[call->round][call->from].is_said);
        meeting->said[call->round][call->from] = call->said;
        meeting->heard[call->round]++;
        cond_broadcast(&meeting->heard_cond);
    }
}

static err_t
outcome(const struct meeting *meeting, uint32_t round)
{
    for (uint32_t i = 0; i < shard_count(); i++) {
        const struct meeting_said *said = &meeting->said[round][i];

        if (said->err != ERR_OK) {
            return err_set(said->err, "%s", said->message);
        }
    }
    return ERR_OK;
}

err_t
meeting_attend(struct meeting *meeting, err_t err, const struct meeting_word *word)
{
    uint32_t count = shard_count();
    uint32_t round = meeting->round;
    struct meeting_call *calls = mem_zalloc(MEM_RUNTIME, count * sizeof(*calls));
    err_t result = ERR_OK;

    ASSERT(round < MEETING_ROUNDS);
    for (uint32_t i = 0; i < count; i++) {
        calls[i] = (struct meeting_call){.round = round, .from = shard_id()};
        calls[i].said = (struct meeting_said){.is_said = true, .err = err, .word = *word};
        if (err != ERR_OK) {
            snprintf(calls[i].said.message, ERR_MESSAGE_BYTES_MAX, "%s", err_message(err));
        }
    }
    msg_call_all(MSG_FIBER, hear, calls, sizeof(*calls));
    for (uint32_t i = 0; i < count && result == ERR_OK; i++) {
        if (calls[i].is_absent) {
            result =
                err != ERR_OK ? err : err_set(ERR_TIMEOUT, "shard %u does not open its store", i);
        }
    }
    mem_free(MEM_RUNTIME, calls, count * sizeof(*calls));
    while (result == ERR_OK && meeting->heard[round] < count) {
        cond_wait_uncancelable(&meeting->heard_cond);
    }
    meeting->round++;
    if (result == ERR_OK) {
        result = outcome(meeting, round);
    }
    return result;
}

const struct meeting_word *
meeting_word_of(const struct meeting *meeting, uint32_t shard)
{
    ASSERT(meeting->round > 0);
    return &meeting->said[meeting->round - 1][shard].word;
}

struct store *
meeting_store(void)
{
    struct meeting *meeting = meeting_here();

    return meeting == NULL ? NULL : meeting->store;
}
