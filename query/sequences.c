/* query/sequences.c - what a session has drawn from sequences. */
#include "query/sequences.h"

#include "models/relational/sequence.h"

#include "engine/base/poison.h"

struct drawn {
    oid_t oid;
    uint64_t state; /* Another one: it has been restarted. */
    bool has_value;
    int64_t value;
    uint32_t kept; /* Values behind it that are this session's. */
};

enum { DRAWN_FIRST = 8 };

struct session_sequences {
    struct drawn *drawn; /* As many as sequences that the session has used. */
    uint32_t count, capacity;
    oid_t last;
};

struct session_sequences *
session_sequences_new(void)
{
    return MEM_NEW(MEM_SESSIONS, struct session_sequences);
}

void
session_sequences_clear(struct session_sequences *sequences)
{
    sequences->count = 0;
    sequences->last = 0;
}

void
session_sequences_free(struct session_sequences **sequences)
{
    mem_free(MEM_SESSIONS, (*sequences)->drawn, (*sequences)->capacity * sizeof(struct drawn));
    MEM_FREE(MEM_SESSIONS, *sequences);
}

static struct drawn *
drawn_find(const struct session_sequences *sequences, oid_t oid)
{
    for (uint32_t i = 0; i < sequences->count; i++) {
        if (sequences->drawn[i].oid == oid) {
            return &sequences->drawn[i];
        }
    }
    return NULL;
}

static struct drawn *
drawn_of(struct session_sequences *sequences, const struct relation *sequence)
{
    struct drawn *drawn = drawn_find(sequences, sequence->oid);

    if (drawn == NULL) {
        if (sequences->count == sequences->capacity) {
            uint32_t capacity = MAX((uint32_t)DRAWN_FIRST, sequences->capacity * 2);

            sequences->drawn =
                mem_realloc(MEM_SESSIONS, sequences->drawn, sequences->capacity * sizeof(*drawn),
                            capacity * sizeof(*drawn));
            sequences->capacity = capacity;
        }
        drawn = &sequences->drawn[sequences->count++];
        *drawn = (struct drawn){.oid = sequence->oid};
    }
    if (drawn->state != sequence->sequence.state) {
        drawn->state = sequence->sequence.state;
        drawn->kept = 0;
    }
    return drawn;
}

err_t
session_sequence_next(struct session_sequences *sequences, const struct relation *sequence,
                      int64_t *value_out)
{
    struct drawn *drawn = drawn_of(sequences, sequence);
    uint32_t count = 1;
    int64_t first;
    err_t err = ERR_OK;

    if (drawn->kept > 0) {
        drawn->kept--;
        drawn->value += sequence->sequence.increment;
    } else {
        TRY(sequence_next(&sequence->sequence, sequence->name, &first, &count));
        drawn = drawn_of(sequences, sequence); /* Others of this session may have come between. */
        drawn->value = first;
        drawn->kept = count - 1;
    }
    drawn->has_value = true;
    sequences->last = sequence->oid;
    *value_out = drawn->value;
out:
    return err;
}

bool
session_sequence_current(const struct session_sequences *sequences, oid_t oid, int64_t *value_out,
                         oid_t *oid_out)
{
    const struct drawn *drawn = drawn_find(sequences, oid != 0 ? oid : sequences->last);

    if (drawn == NULL || !drawn->has_value) {
        return false;
    }
    *value_out = drawn->value;
    *oid_out = drawn->oid;
    return true;
}

void
session_sequence_told(struct session_sequences *sequences, const struct relation *sequence,
                      int64_t value, bool is_called)
{
    struct drawn *drawn = drawn_of(sequences, sequence);

    drawn->kept = 0;
    if (is_called) {
        drawn->value = value;
        drawn->has_value = true;
    }
}
