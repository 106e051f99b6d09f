/* models/relational/sequence.c - values of sequences at their home shards. */
#include "models/relational/sequence.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/relational/rtable.h"
#include "models/types/sql_error.h"
#include "txn/store.h"

#include "engine/base/poison.h"

enum {
    STATE_KEY_BYTES = STORAGE_PREFIX_BYTES + 9,
    STATE_KIND = 1, /* Behind the prefix; 0: the blocks of row ids. */
    STATE_BYTES = 9,
    ATTEMPTS_MAX = 64,
};

struct kept {
    uint64_t state;
    uint64_t epoch; /* Of the slots, when it was read: afterwards the home may be another. */
    struct sequence_value value;
};

struct sequences {
    struct kept *kept; /* Open addressing by state; 0: free. */
    uint32_t count;
    struct fiber_mutex mutex; /* One at a time writes: otherwise values would be passed over. */
};

enum { KEPT_PLACES = 2 * SEQUENCES_KEPT_MAX };

struct sequences *
sequences_new(void)
{
    struct sequences *sequences = MEM_NEW(MEM_RUNTIME, struct sequences);

    fiber_mutex_init(&sequences->mutex);
    return sequences;
}

void
sequences_free(struct sequences **sequences)
{
    if ((*sequences)->kept != NULL) {
        mem_free(MEM_RUNTIME, (*sequences)->kept, KEPT_PLACES * sizeof(struct kept));
    }
    MEM_FREE(MEM_RUNTIME, *sequences);
}

static struct slice
state_key(uint8_t out[STATE_KEY_BYTES], uint64_t state)
{
    storage_prefix(out, UINT32_MAX);
    out[STORAGE_PREFIX_BYTES] = STATE_KIND;
    put_be64(out + STORAGE_PREFIX_BYTES + 1, state);
    return slice_of(out, STATE_KEY_BYTES);
}

static uint16_t
state_slot(uint64_t state)
{
    uint8_t key[STATE_KEY_BYTES];

    (void)state_key(key, state);
    return rtable_slot(slice_of(key + STORAGE_PREFIX_BYTES, sizeof(key) - STORAGE_PREFIX_BYTES));
}

err_t
sequence_state_take(uint64_t *state_out)
{
    return rtable_id_take(state_out);
}

void
sequence_state_delete(struct txn *txn, uint64_t state)
{
    uint8_t key[STATE_KEY_BYTES];

    txn_delete(txn, state_slot(state), state_key(key, state));
}

/* ---- What is kept in memory ---- */

static struct kept *
kept_find(struct sequences *sequences, uint64_t state)
{
    uint32_t at = (uint32_t)(state * UINT64_C(0x9e3779b97f4a7c15) >> 32) % KEPT_PLACES;

    while (sequences->kept[at].state != 0 && sequences->kept[at].state != state) {
        at = (at + 1) % KEPT_PLACES;
    }
    return &sequences->kept[at];
}

/* Beyond the limit all are forgotten: what was written ahead of them is passed over. */
static void
kept_put(struct sequences *sequences, uint64_t state, const struct sequence_value *value)
{
    struct kept *kept;

    if (sequences->kept == NULL) {
        sequences->kept = mem_zalloc(MEM_RUNTIME, KEPT_PLACES * sizeof(struct kept));
    } else if (sequences->count == SEQUENCES_KEPT_MAX) {
        memset(sequences->kept, 0, KEPT_PLACES * sizeof(struct kept));
        sequences->count = 0;
    }
    kept = kept_find(sequences, state);
    sequences->count += kept->state == 0;
    *kept = (struct kept){.state = state, .epoch = txn_slots_epoch(), .value = *value};
}

static bool
kept_get(struct sequences *sequences, uint64_t state, struct sequence_value *value_out)
{
    const struct kept *kept;

    if (sequences->kept == NULL) {
        return false;
    }
    kept = kept_find(sequences, state);
    if (kept->state != state || kept->epoch != txn_slots_epoch()) {
        return false;
    }
    *value_out = kept->value;
    return true;
}

/* ---- Arithmetic ---- */

/* The value after `value`; false: there is none. */
static bool
step(const struct sequence *sequence, struct sequence_value *value)
{
    int64_t next;
    bool ends;

    if (!value->is_called) {
        value->is_called = true;
        return true;
    }
    ends = __builtin_add_overflow(value->last, sequence->increment, &next) ||
           (sequence->increment > 0 ? next > sequence->max : next < sequence->min);
    if (ends && !sequence->is_cycled) {
        return false;
    }
    if (ends) {
        next = sequence->increment > 0 ? sequence->min : sequence->max;
    }
    value->last = next;
    return true;
}

static err_t
is_at_its_end(const struct sequence *sequence, struct slice name)
{
    bool rises = sequence->increment > 0;

    return sql_error("2200H", "nextval: reached %s value of sequence \"%.*s\" (%lld)",
                     rises ? "maximum" : "minimum", (int)name.size, (const char *)name.data,
                     (long long)(rises ? sequence->max : sequence->min));
}

/* ---- At home ---- */

enum ask_kind { ASK_NEXT, ASK_GET, ASK_SET };

struct ask {
    enum ask_kind kind;
    const struct sequence *sequence;
    struct slice name;
    struct sequence_value value; /* In: ASK_SET; out: ASK_GET */
    int64_t first;
    uint32_t count;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static err_t
state_read(struct txn *txn, const struct sequence *sequence, struct sequence_value *value_out)
{
    uint8_t key[STATE_KEY_BYTES];
    struct lsm_value stored;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_RUNTIME);
    TRY(txn_get(txn, state_slot(sequence->state), state_key(key, sequence->state), &arena,
                &stored));
    *value_out = (struct sequence_value){.last = sequence->start};
    if (stored.is_found && stored.value.size != STATE_BYTES) {
        err = err_set(ERR_CORRUPT, "the value of a sequence has %zu bytes", stored.value.size);
    } else if (stored.is_found) {
        value_out->last = (int64_t)get_le64(stored.value.data);
        value_out->is_called = stored.value.data[8] != 0;
    }
out:
    arena_fini(&arena);
    return err;
}

static void
state_write(struct txn *txn, const struct sequence *sequence, const struct sequence_value *value)
{
    uint8_t key[STATE_KEY_BYTES], bytes[STATE_BYTES];

    put_le64(bytes, (uint64_t)value->last);
    bytes[8] = value->is_called;
    txn_put(txn, state_slot(sequence->state), state_key(key, sequence->state),
            slice_of(bytes, sizeof(bytes)), 0);
}

/* Writes `logged`, what the store is to have, after a look at what it has (value NULL: not). */
static err_t
state_change(struct ask *ask, struct sequence_value *value)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct sequence_value logged = ask->value;
    struct sequence_value known;
    struct txn_done done = {0};
    err_t err;

    if (ask->kind == ASK_NEXT) {
        TRY(state_read(txn, ask->sequence, &known));
        if (kept_get(relational_sequences(), ask->sequence->state, &logged)) {
            known = logged;
        }
        if (!step(ask->sequence, &known)) {
            err = is_at_its_end(ask->sequence, ask->name);
            goto out;
        }
        ask->first = known.last;
        for (ask->count = 1; ask->count < ask->sequence->cache; ask->count++) {
            int64_t before = known.last;

            if (!step(ask->sequence, &known) || known.last - before != ask->sequence->increment) {
                known.last = before;
                break;
            }
        }
        *value = logged = known;
        for (value->logged = 0; value->logged < SEQUENCE_LOGGED; value->logged++) {
            if (!step(ask->sequence, &logged)) {
                break;
            }
        }
    }
    state_write(txn, ask->sequence, &logged);
    TRY(txn_commit(&txn, &done));
    store_wait_durable(store_self(), done.lsn);
out:
    txn_abort(&txn);
    return err;
}

static err_t
next_at_home(struct ask *ask)
{
    struct sequences *sequences = relational_sequences();
    struct sequence_value value;
    err_t err = ERR_SERIALIZATION;

    if (ask->sequence->cache == 1 && kept_get(sequences, ask->sequence->state, &value) &&
        value.logged > 0 && step(ask->sequence, &value)) {
        value.logged--;
        ask->first = value.last;
        ask->count = 1;
        kept_put(sequences, ask->sequence->state, &value);
        return ERR_OK;
    }
    for (uint32_t i = 0; i < ATTEMPTS_MAX && err == ERR_SERIALIZATION; i++) {
        err = state_change(ask, &value);
    }
    if (err == ERR_OK) {
        kept_put(sequences, ask->sequence->state, &value);
    }
    return err;
}

static err_t
ask_answer(struct ask *ask)
{
    struct sequences *sequences = relational_sequences();
    struct txn *txn;
    err_t err = ERR_SERIALIZATION;

    if (ask->kind == ASK_NEXT) {
        return next_at_home(ask);
    }
    if (ask->kind == ASK_SET) {
        for (uint32_t i = 0; i < ATTEMPTS_MAX && err == ERR_SERIALIZATION; i++) {
            err = state_change(ask, NULL);
        }
        if (err == ERR_OK) {
            kept_put(sequences, ask->sequence->state, &ask->value);
        }
        return err;
    }
    if (kept_get(sequences, ask->sequence->state, &ask->value)) {
        return ERR_OK;
    }
    txn = txn_begin_auto(true, NULL);
    err = state_read(txn, ask->sequence, &ask->value);
    txn_abort(&txn);
    return err;
}

static void
ask_run(void *arg)
{
    struct ask *ask = arg;
    struct sequences *sequences = relational_sequences();

    fiber_mutex_lock(&sequences->mutex);
    ask->err = ask_answer(ask);
    fiber_mutex_unlock(&sequences->mutex);
    if (ask->err != ERR_OK) {
        (void)snprintf(ask->message, sizeof(ask->message), "%s", err_message(ask->err));
    }
}

static err_t
ask_home(struct ask *ask)
{
    uint32_t home = txn_shard_of_slot(state_slot(ask->sequence->state));

    msg_call(home, MSG_FIBER, ask_run, ask);
    return ask->err == ERR_OK || home == shard_id() ? ask->err
                                                    : err_set(ask->err, "%s", ask->message);
}

err_t
sequence_next(const struct sequence *sequence, struct slice name, int64_t *first_out,
              uint32_t *count_out)
{
    struct ask ask = {.kind = ASK_NEXT, .sequence = sequence, .name = name};
    err_t err = ask_home(&ask);

    if (err == ERR_OK) {
        *first_out = ask.first;
        *count_out = ask.count;
    }
    return err;
}

err_t
sequence_get(const struct sequence *sequence, struct sequence_value *value_out)
{
    struct ask ask = {.kind = ASK_GET, .sequence = sequence};
    err_t err = ask_home(&ask);

    if (err == ERR_OK) {
        *value_out = ask.value;
    }
    return err;
}

err_t
sequence_set(const struct sequence *sequence, int64_t last, bool is_called)
{
    struct ask ask = {
        .kind = ASK_SET,
        .sequence = sequence,
        .value = {.last = last, .is_called = is_called},
    };

    return ask_home(&ask);
}
