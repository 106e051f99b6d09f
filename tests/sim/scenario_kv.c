/* tests/sim/scenario_kv.c - Redis commands on several shards through crashes.
 *
 * A client owns a few keys of one slot and sends one command after the other from a drawn shard;
 * every answer is compared with a small Redis (kv_model.h). The client keeps the states its keys
 * went through: what is found after a crash is one of them, as a whole, not older than what was
 * acknowledged, and on one shard the states of all clients belong to one prefix of the log. Beside
 * that clients read each other's keys, and all count and append on shared ones, so that commands
 * on one key meet. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/msg.h"
#include "models/kv/kv.h"
#include "tests/sim/kv_collections.h"
#include "tests/sim/kv_model.h"
#include "tests/sim/kv_words.h"
#include "tests/sim/scenarios.h"
#include "txn/store.h"

enum {
    CLIENTS_MAX = 12,
    STATES_MAX = 8192, /* Of one client in one life. */
    NAME_BYTES_MAX = 64,
    DATABASES = 4,
    SHARED_DB = 0,
    TOKEN_BYTES = 8,
    TOKENS_MAX = 4096,
    LIFE_US_MAX = 60 * 1000 * 1000,
    DRAIN_US = 600 * 1000 * 1000,
    /* The store's clock may be ahead of the wall clock by what restarts have added. */
    EXPIRED_FOR_SURE_US = 300 * 1000,
};

struct client {
    uint32_t number;
    uint32_t db;
    uint32_t shard;   /* Of its keys. */
    uint32_t session; /* Where it is connected. */
    uint8_t name_bytes[KV_MODEL_KEYS][NAME_BYTES_MAX];
    struct slice names[KV_MODEL_KEYS];
    struct kv_model_state *states; /* [STATES_MAX] */
    uint32_t count;
    uint32_t durable;     /* Index: a crash leaves this state or a later one. */
    uint32_t settled;     /* Index: commands up to it have been answered. */
    uint64_t matches_lsn; /* After a start, the position the found state had at least. */
};

/* A counter and a string on which all clients work, of each shard. */
struct shared {
    uint8_t name_bytes[2][NAME_BYTES_MAX];
    struct slice counter;
    struct slice tokens;
    int64_t base;                          /* The counter at the start of the life. */
    int64_t durable;                       /* Answers at or below were acknowledged durably. */
    int64_t started;                       /* Increments begun in this life. */
    uint64_t seen[(TOKENS_MAX + 63) / 64]; /* Answers of this life, base subtracted. */
    uint32_t next_token;
    uint8_t token_state[TOKENS_MAX]; /* 0: free, 1: begun, 2: durable. */
};

struct kv_test {
    struct run *run;
    bool has_errors;
    bool with_flush; /* FLUSHDB and FLUSHALL instead of the shared keys. */
    bool is_stopping;
    bool is_flushing;
    uint32_t running;
    uint32_t active; /* Clients within a command. */
    uint32_t client_count;
    uint32_t value_bytes_max;
    uint64_t next_value;
    struct store_options options;
    struct kv_config config;
    struct client clients[CLIENTS_MAX];
    struct shared shared[SIM_SHARDS_MAX];
    struct store *stores[SIM_SHARDS_MAX];
    struct txns *txns[SIM_SHARDS_MAX];
    struct kv *kvs[SIM_SHARDS_MAX];
};

static struct kv_test test;

static uint64_t
below(uint64_t bound)
{
    return prng_below(shard_prng(), bound);
}

/* ---- Calling. ---- */

struct call {
    const struct slice *argv;
    uint32_t argc;
    uint32_t db;
    bool waits; /* At `sync`: the answer is given when it is durable. */
    uint64_t now_ms;
    lsn_t lsn; /* Out. */
    struct kv_model_reply reply;
};

/* At the shard of the keys. */
static void
call_execute(void *arg)
{
    struct call *call = arg;
    struct arena arena;
    struct reply reply;
    struct kv_request request = {
        .command = command_resolve(call->argv, call->argc),
        .argv = call->argv,
        .argc = call->argc,
        .db = call->db,
        .reply = &reply,
        .arena = &arena,
        .now_ms = call->now_ms,
    };

    RUN_CHECK(test.run, request.command != NULL, "an unknown command: %.*s",
              (int)call->argv[0].size, (const char *)call->argv[0].data);
    arena_init(&arena, MEM_SESSIONS);
    reply_init(&reply, 2);
    kv_execute(&request);
    call->lsn = request.lsn;
    call->reply.size = 0;
    kv_model_reply_put(&call->reply, reply.buf.data, reply.buf.size);
    if (call->waits && request.lsn != 0) {
        store_wait_durable(store_self(), request.lsn);
    }
    reply_fini(&reply);
    arena_fini(&arena);
}

static void
call_run(struct call *call, uint32_t shard)
{
    call->now_ms = io_wall_us() / 1000;
    if (shard == shard_id()) {
        call_execute(call);
    } else {
        msg_call(shard, MSG_FIBER, call_execute, call);
    }
    test.run->operations++;
}

static bool
reply_is_error(const struct kv_model_reply *reply)
{
    return reply->size > 0 && reply->text[0] == '-';
}

/* A refusal for which the disk's errors are the reason. */
static bool
reply_is_excused(const struct kv_model_reply *reply)
{
    return test.has_errors && reply->size > 9 && memcmp(reply->text, "-MISCONF ", 9) == 0;
}

static bool
replies_equal(const struct kv_model_reply *found, const struct kv_model_reply *expected)
{
    if (expected->is_any_positive) {
        return found->size > 2 && found->text[0] == ':' && found->text[1] >= '1' &&
               found->text[1] <= '9';
    }
    return found->size == expected->size && memcmp(found->text, expected->text, found->size) == 0;
}

static int
shown(const struct kv_model_reply *reply)
{
    return (int)MIN(reply->size, (size_t)100);
}

/* ---- What a client knows. ---- */

static struct kv_model_state *
client_state(struct client *client)
{
    return &client->states[client->count - 1];
}

/* All states that the log holds up to lsn will survive. */
static void
client_told(struct client *client, lsn_t lsn)
{
    for (uint32_t i = client->count - 1; i > client->durable; i--) {
        if (client->states[i].lsn != 0 && client->states[i].lsn <= lsn) {
            client->durable = i;
        }
    }
}

/* The state at or before `index` that last changed one of these keys: what an answer about them
 * depends on. */
static uint32_t
state_behind(const struct client *client, uint32_t index, uint32_t touched)
{
    while (index > 0 && (client->states[index].changed & touched) == 0) {
        index--;
    }
    return index;
}

static void
client_check_reply(const struct client *client, const struct kv_words *words,
                   const struct call *call, const struct kv_model_reply *expected)
{
    RUN_CHECK(test.run, replies_equal(&call->reply, expected),
              "client %u: %.*s %.*s: answered %.*s instead of %.*s", client->number,
              (int)words->argv[0].size, (const char *)words->argv[0].data, (int)words->argv[1].size,
              (const char *)words->argv[1].data, shown(&call->reply), call->reply.text,
              shown(expected), expected->text);
}

/* A command was answered: what does the client now rely on? */
static void
client_settle(struct client *client, const struct call *call, bool has_written, uint32_t touched)
{
    uint32_t needed = state_behind(client, client->count - 1, touched);

    if (has_written) {
        RUN_CHECK(test.run, call->lsn != 0, "client %u: %.*s wrote, but without a log position",
                  client->number, (int)call->argv[0].size, (const char *)call->argv[0].data);
        client_state(client)->lsn = call->lsn;
    }
    client->settled = client->count - 1;
    if (call->waits) {
        RUN_CHECK(test.run,
                  call->lsn >= client->states[needed].lsn ||
                      store_durable(test.stores[client->shard]) >= client->states[needed].lsn,
                  "client %u: %.*s waited for position %llu, its answer depends on %llu",
                  client->number, (int)call->argv[0].size, (const char *)call->argv[0].data,
                  (unsigned long long)call->lsn, (unsigned long long)client->states[needed].lsn);
        client_told(client, call->lsn);
        client->durable = MAX(client->durable, needed);
    }
}

/* A key with a short life is not asked about before it is dead on every clock. */
static void
client_outlive(struct client *client, struct kv_words *words)
{
    if (words->has_short_ttl) {
        fiber_sleep_us(KV_WORDS_SHORT_TTL_MS * 1000 + EXPIRED_FOR_SURE_US);
        kv_model_expire(client_state(client), io_wall_us() / 1000);
        words->has_short_ttl = false;
    }
}

static void
client_command(struct client *client, struct kv_words *words, struct call *call,
               struct kv_model_reply *expected)
{
    struct kv_model_state *state;
    uint32_t touched = 0;
    bool has_written;

    if (client->count + 2 >= STATES_MAX) {
        return;
    }
    words->names = client->names;
    kv_words_draw(words);
    client->states[client->count] = *client_state(client);
    client->count++;
    state = client_state(client);
    state->lsn = 0;
    test.active++;
    kv_model_run(state, client->names, words->argv, words->argc, io_wall_us() / 1000, expected,
                 &touched);
    *call = (struct call){.argv = words->argv,
                          .argc = words->argc,
                          .db = client->db,
                          .waits = below(2) == 0,
                          .reply = call->reply};
    call_run(call, client->shard);
    test.active--;
    if (reply_is_excused(&call->reply)) {
        SOMETIMES("kv: a command was refused for an error of the disk");
        client->count--; /* Nothing was done. */
        fiber_sleep_us(20000);
        return;
    }
    client_check_reply(client, words, call, expected);
    has_written = state->changed != 0;
    client->count -= !has_written;
    client_settle(client, call, has_written, touched);
    client_outlive(client, words);
}

/* ---- Reading other clients' keys. ---- */

static bool
value_matches(const struct kv_model_value *value, const struct kv_model_reply *reply)
{
    struct kv_model_reply expected = {0};
    char head[32];
    bool is_equal;

    if (!value->exists) {
        return reply->size == 5 && memcmp(reply->text, "$-1\r\n", 5) == 0;
    }
    snprintf(head, sizeof(head), "$%zu\r\n", value->bytes.size);
    kv_model_reply_put(&expected, head, strlen(head));
    kv_model_reply_put(&expected, value->bytes.data, value->bytes.size);
    kv_model_reply_put(&expected, "\r\n", 2);
    is_equal = replies_equal(reply, &expected);
    free(expected.text);
    return is_equal;
}

static void
read_foreign(struct kv_words *words, struct call *call)
{
    struct client *owner = &test.clients[below(test.client_count)];
    uint32_t key = (uint32_t)below(KV_MODEL_STRINGS);
    uint32_t from = owner->settled;
    uint32_t match = UINT32_MAX;

    words->argc = 0;
    kv_words_add_text(words, "GET");
    kv_words_add(words, owner->names[key]);
    *call = (struct call){.argv = words->argv,
                          .argc = words->argc,
                          .db = owner->db,
                          .waits = true,
                          .reply = call->reply};
    test.active++;
    call_run(call, owner->shard);
    test.active--;
    if (reply_is_excused(&call->reply)) {
        return;
    }
    for (uint32_t i = from; i < owner->count; i++) {
        const struct kv_model_value *value = &owner->states[i].keys[key];

        if (value->expire_ms != 0) {
            return; /* Whether it has expired depends on whose clock is asked. */
        }
        if (match == UINT32_MAX && value_matches(value, &call->reply)) {
            match = i;
        }
    }
    /* Fewer states than at the beginning: a refused command was taken back meanwhile. */
    RUN_CHECK(test.run, match != UINT32_MAX || owner->count <= from + 1 || test.has_errors,
              "client %u's key %u: another client got %.*s, which is none of its %u last states",
              owner->number, key, shown(&call->reply), call->reply.text, owner->count - from);
    if (match != UINT32_MAX) {
        match = state_behind(owner, match, 1u << key);
        SOMETIMES_IF(match > owner->durable, "kv: a client was shown another one's write in time");
        owner->durable = MAX(owner->durable, match); /* It was shown to one that waited. */
    }
}

/* ---- Shared keys. ---- */

static void
count_shared(struct shared *shared, uint32_t shard, struct kv_words *words, struct call *call)
{
    long long answer = 0;
    uint64_t bit;

    if (shared->started + 1 >= TOKENS_MAX) {
        return;
    }
    words->argc = 0;
    kv_words_add_text(words, "INCRBY");
    kv_words_add(words, shared->counter);
    kv_words_add_text(words, "1");
    shared->started++;
    call_run(call, shard);
    if (reply_is_excused(&call->reply)) {
        return;
    }
    kv_model_reply_put(&call->reply, "", 1);
    RUN_CHECK(test.run, sscanf(call->reply.text, ":%lld", &answer) == 1,
              "the shared counter answers %s", call->reply.text);
    RUN_CHECK(test.run, answer > shared->base && answer <= shared->base + shared->started,
              "the shared counter answers %lld; it began at %lld and was raised %lld times", answer,
              (long long)shared->base, (long long)shared->started);
    bit = (uint64_t)(answer - shared->base);
    RUN_CHECK(test.run, (shared->seen[bit / 64] >> (bit % 64) & 1) == 0,
              "the shared counter answers %lld twice: an increment was lost", answer);
    shared->seen[bit / 64] |= UINT64_C(1) << (bit % 64);
    if (call->waits) {
        shared->durable = MAX(shared->durable, answer);
    }
}

static void
append_shared(struct shared *shared, uint32_t shard, struct kv_words *words, struct call *call)
{
    uint32_t token = shared->next_token;
    char text[TOKEN_BYTES + 1];

    if (token + 1 >= TOKENS_MAX) {
        return;
    }
    shared->next_token++;
    snprintf(text, sizeof(text), "<%06u>", token);
    words->argc = 0;
    memcpy(words->value, text, TOKEN_BYTES);
    kv_words_add_text(words, "APPEND");
    kv_words_add(words, shared->tokens);
    kv_words_add(words, slice_of(words->value, TOKEN_BYTES));
    shared->token_state[token] = 1;
    call_run(call, shard);
    if (reply_is_excused(&call->reply)) {
        shared->token_state[token] = 0;
        return;
    }
    RUN_CHECK(test.run, call->reply.size > 1 && call->reply.text[0] == ':',
              "APPEND of a shared key answers %.*s", shown(&call->reply), call->reply.text);
    if (call->waits) {
        shared->token_state[token] = 2;
    }
}

static void
work_shared(struct kv_words *words, struct call *call)
{
    uint32_t shard = (uint32_t)below(shard_count());

    *call = (struct call){.argv = words->argv,
                          .argc = 3,
                          .db = SHARED_DB,
                          .waits = below(2) == 0,
                          .reply = call->reply};
    if (below(2) == 0) {
        count_shared(&test.shared[shard], shard, words, call);
    } else {
        append_shared(&test.shared[shard], shard, words, call);
    }
}

/* ---- Emptying databases. ---- */

static void
clients_push_empty(uint32_t db, bool is_all)
{
    for (uint32_t i = 0; i < test.client_count; i++) {
        struct client *client = &test.clients[i];

        if (is_all || client->db == db) {
            client->states[client->count] =
                (struct kv_model_state){.changed = (1u << KV_MODEL_KEYS) - 1};
            client->count++;
        }
    }
}

/* Flushed; at `sync` the clients' keys are gone for good. */
static void
clients_settle_empty(uint32_t db, bool is_all, bool is_durable)
{
    for (uint32_t i = 0; i < test.client_count; i++) {
        struct client *client = &test.clients[i];

        if (is_all || client->db == db) {
            client->settled = client->count - 1;
            client->durable = is_durable ? client->settled : client->durable;
        }
    }
}

/* Alone: no other client is in a command. */
static void
flush_some(struct kv_words *words, struct call *call)
{
    uint32_t db = (uint32_t)below(DATABASES);
    bool is_all = below(3) == 0;

    if (test.is_flushing || test.has_errors) {
        return;
    }
    test.is_flushing = true;
    while (test.active > 0) {
        fiber_sleep_us(100);
    }
    clients_push_empty(db, is_all);
    words->argc = 0;
    kv_words_add_text(words, is_all ? "FLUSHALL" : "FLUSHDB");
    *call = (struct call){
        .argv = words->argv, .argc = 1, .db = db, .waits = true, .reply = call->reply};
    call_run(call, shard_id());
    RUN_CHECK(test.run, !reply_is_error(&call->reply), "a flush answers %.*s", shown(&call->reply),
              call->reply.text);
    clients_settle_empty(db, is_all, test.options.durability == WAL_SYNC);
    SOMETIMES("kv: databases were emptied");
    test.is_flushing = false;
}

/* ---- Clients. ---- */

static void
client_step(struct client *client, struct kv_words *words, struct call *call,
            struct kv_model_reply *expected)
{
    uint64_t draw = below(100);

    while (test.is_flushing) {
        fiber_sleep_us(200);
    }
    if (draw < 75) {
        client_command(client, words, call, expected);
    } else if (draw < 84) {
        read_foreign(words, call);
    } else if (draw < 92 && !test.with_flush) {
        work_shared(words, call);
    } else if (draw == 99 && test.with_flush) {
        flush_some(words, call);
    } else {
        fiber_sleep_us(below(1500));
    }
}

static void
client_run(void *arg)
{
    struct client *client = arg;
    struct kv_words words = {
        .value = malloc(KV_WORDS_VALUE_BYTES),
        .next_value = &test.next_value,
        .value_bytes_max = test.value_bytes_max,
    };
    struct kv_model_reply expected = {0};
    struct call call = {0};

    ASSERT(words.value != NULL);
    while (!test.is_stopping) {
        client_step(client, &words, &call, &expected);
    }
    free(words.value);
    free(expected.text);
    free(call.reply.text);
    test.running--;
}

static bool
nobody_works(void *arg)
{
    (void)arg;
    return test.running == 0;
}

static void
spawn_clients(struct run *run)
{
    test.is_stopping = false;
    test.is_flushing = false;
    test.active = 0;
    test.running = 0;
    for (uint32_t i = 0; i < test.client_count; i++) {
        struct client *client = &test.clients[i];

        sim_world_spawn(run->world, client->session, "client", client_run, client);
        test.running++;
    }
}

/* ---- After a start: what is there? ---- */

static err_t
open_store(void *arg)
{
    struct store_options options = test.options;
    char dir[32];

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    options.dir = dir;
    return store_open(&options, &test.stores[shard_id()]);
}

static err_t
open_txns(void *arg)
{
    (void)arg;
    return txns_open(&test.txns[shard_id()]);
}

static err_t
open_kv(void *arg)
{
    (void)arg;
    return kv_open(&test.config, &test.kvs[shard_id()]);
}

static void
call_words(struct kv_words *words, struct call *call, uint32_t db, uint32_t shard)
{
    struct kv_model_reply reply = call->reply;

    *call = (struct call){
        .argv = words->argv, .argc = words->argc, .db = db, .waits = true, .reply = reply};
    call_run(call, shard);
}

static bool
key_is_dead(const struct kv_model_value *value)
{
    return !value->exists || (value->expire_ms != 0 &&
                              value->expire_ms < KV_WORDS_LONG_TTL_MS / 2 + io_wall_us() / 1000);
}

/* The same of a key that may hold a collection: TYPE and all of it. */
static bool
collection_matches(const struct kv_model_value *value, const struct kv_model_reply *reply)
{
    struct kv_model_reply expected = {0};
    bool is_equal;

    kv_collection_describe(value, &expected);
    is_equal = replies_equal(reply, &expected);
    free(expected.text);
    return is_equal;
}

/* Is this state what reading and PTTL find of all keys? */
static bool
state_matches(const struct kv_model_state *state, const struct kv_model_reply *found,
              const bool *has_ttl)
{
    for (uint32_t key = 0; key < KV_MODEL_KEYS; key++) {
        struct kv_model_value value = state->keys[key];

        if (key_is_dead(&value)) {
            value.exists = false;
        }
        if (!(key < KV_MODEL_STRINGS ? value_matches : collection_matches)(&value, &found[key]) ||
            has_ttl[key] != (value.exists && value.expire_ms != 0)) {
            return false;
        }
    }
    return true;
}

static void
client_print(const struct client *client)
{
    for (uint32_t i = client->durable; i < client->count; i++) {
        printf("  state %u%s, position %llu:", i, i == client->durable ? " (durable)" : "",
               (unsigned long long)client->states[i].lsn);
        for (uint32_t key = 0; key < KV_MODEL_KEYS; key++) {
            const struct kv_model_value *value = &client->states[i].keys[key];

            printf(" %s%zu bytes, expires %llu;", value->exists ? "" : "absent, ",
                   value->bytes.size, (unsigned long long)value->expire_ms);
        }
        printf("\n");
    }
}

/* Behind what TYPE has answered. */
static void
read_collection(struct client *client, uint32_t key, struct call *call,
                struct kv_model_reply *found)
{
    struct kv_words words;

    kv_collection_read(&words, client->names[key], found->text, found->size);
    if (words.argc > 0) {
        call_words(&words, call, client->db, shard_id());
        kv_model_reply_put(found, call->reply.text, call->reply.size);
    }
}

/* Find the client's keys, and cut its states to the one they are in. Equal states are told apart
 * by nothing: the last of them counts, and the first says how far the log must have survived. */
static void
client_find(struct client *client)
{
    struct kv_model_reply found[KV_MODEL_KEYS] = {{0}};
    bool has_ttl[KV_MODEL_KEYS];
    struct call call = {0};
    struct kv_words words;
    uint32_t match = UINT32_MAX;

    for (uint32_t key = 0; key < KV_MODEL_KEYS; key++) {
        words.argc = 0;
        kv_words_add_text(&words, key < KV_MODEL_STRINGS ? "GET" : "TYPE");
        kv_words_add(&words, client->names[key]);
        call_words(&words, &call, client->db, shard_id());
        kv_model_reply_put(&found[key], call.reply.text, call.reply.size);
        if (key >= KV_MODEL_STRINGS) {
            read_collection(client, key, &call, &found[key]);
        }
        words.argc = 0;
        kv_words_add_text(&words, "PTTL");
        kv_words_add(&words, client->names[key]);
        call_words(&words, &call, client->db, shard_id());
        has_ttl[key] = call.reply.size > 1 && call.reply.text[1] != '-';
    }
    client->matches_lsn = 0;
    for (uint32_t i = client->durable; i < client->count; i++) {
        if (state_matches(&client->states[i], found, has_ttl)) {
            client->matches_lsn = match == UINT32_MAX ? client->states[i].lsn : client->matches_lsn;
            match = i;
        }
    }
    if (match == UINT32_MAX) {
        client_print(client);
        run_fail(test.run,
                 "client %u on shard %u: its keys hold %.*s | %.*s | %.*s | %.*s | %.*s: none of "
                 "the %u states since the durable one",
                 client->number, client->shard, shown(&found[0]), found[0].text, shown(&found[1]),
                 found[1].text, shown(&found[2]), found[2].text, shown(&found[3]), found[3].text,
                 shown(&found[4]), found[4].text, client->count - client->durable);
    }
    SOMETIMES_IF(match + 1 < client->count, "kv: unacknowledged commands were lost");
    SOMETIMES_IF(match > client->durable, "kv: unacknowledged commands were kept");
    client->settled = match; /* For the check of prefixes; client_restart sets the rest. */
    for (uint32_t key = 0; key < KV_MODEL_KEYS; key++) {
        free(found[key].text);
    }
    free(call.reply.text);
}

static void
client_restart(struct client *client)
{
    client->states[0] = client->states[client->settled];
    for (uint32_t key = 0; key < KV_MODEL_KEYS; key++) {
        if (key_is_dead(&client->states[0].keys[key])) {
            client->states[0].keys[key] = (struct kv_model_value){0};
        }
    }
    client->states[0].lsn = 0;
    client->states[0].changed = 0;
    client->count = 1;
    client->durable = 0;
    client->settled = 0;
}

/* One log, one prefix: if a client's state at position P survived, no client of the shard lost
 * one at or below P. */
static void
check_prefix(uint32_t shard)
{
    uint64_t survived = 0;

    for (uint32_t i = 0; i < test.client_count; i++) {
        const struct client *client = &test.clients[i];

        if (client->shard == shard) {
            survived = MAX(survived, client->matches_lsn);
        }
    }
    for (uint32_t i = 0; i < test.client_count; i++) {
        const struct client *client = &test.clients[i];

        for (uint32_t lost = client->settled + 1; client->shard == shard && lost < client->count;
             lost++) {
            RUN_CHECK(test.run,
                      client->states[lost].lsn == 0 || client->states[lost].lsn > survived,
                      "shard %u: client %u lost a state at position %llu, position %llu survived",
                      shard, client->number, (unsigned long long)client->states[lost].lsn,
                      (unsigned long long)survived);
        }
    }
}

static void
check_shared_counter(struct shared *shared)
{
    struct call call = {0};
    struct kv_words words = {.argc = 0};
    long long found = 0;

    kv_words_add_text(&words, "GET");
    kv_words_add(&words, shared->counter);
    call_words(&words, &call, SHARED_DB, shard_id());
    kv_model_reply_put(&call.reply, "", 1);
    if (strcmp(call.reply.text, "$-1\r\n") != 0) {
        RUN_CHECK(test.run, sscanf(call.reply.text, "$%*d\r\n%lld", &found) == 1,
                  "the shared counter is %s", call.reply.text);
    }
    RUN_CHECK(test.run, found >= shared->durable && found <= shared->base + shared->started,
              "shard %u: the shared counter is %lld; %lld was acknowledged, it began at %lld and "
              "was raised %lld times",
              shard_id(), found, (long long)shared->durable, (long long)shared->base,
              (long long)shared->started);
    shared->base = found;
    shared->durable = found;
    shared->started = 0;
    memset(shared->seen, 0, sizeof(shared->seen));
    free(call.reply.text);
}

/* Every acknowledged token once, no token twice, none that was never sent. */
static void
check_shared_tokens(struct shared *shared)
{
    static uint8_t counts[TOKENS_MAX];
    struct call call = {0};
    struct kv_words words = {.argc = 0};
    size_t size = 0;
    const char *at;

    kv_words_add_text(&words, "GET");
    kv_words_add(&words, shared->tokens);
    call_words(&words, &call, SHARED_DB, shard_id());
    kv_model_reply_put(&call.reply, "", 1);
    memset(counts, 0, sizeof(counts));
    at = strchr(call.reply.text, '\n') + 1;
    if (strcmp(call.reply.text, "$-1\r\n") != 0) {
        RUN_CHECK(test.run, sscanf(call.reply.text, "$%zu", &size) == 1, "the shared string");
    }
    for (size_t i = 0; i + TOKEN_BYTES <= size; i += TOKEN_BYTES) {
        unsigned token = TOKENS_MAX;

        RUN_CHECK(test.run, sscanf(at + i, "<%06u>", &token) == 1 && token < TOKENS_MAX,
                  "shard %u: the shared string holds %.8s", shard_id(), at + i);
        counts[token]++;
    }
    for (uint32_t token = 0; token < shared->next_token; token++) {
        RUN_CHECK(test.run, counts[token] <= 1, "shard %u: token %u was appended twice", shard_id(),
                  token);
        RUN_CHECK(test.run, shared->token_state[token] < 2 || counts[token] == 1,
                  "shard %u: token %u was acknowledged and is gone", shard_id(), token);
        RUN_CHECK(test.run, shared->token_state[token] > 0 || counts[token] == 0,
                  "shard %u: token %u is there although it was refused or lost", shard_id(), token);
        shared->token_state[token] = counts[token] == 1 ? 2 : 0;
    }
    RUN_CHECK(test.run, size % TOKEN_BYTES == 0, "shard %u: half a token", shard_id());
    free(call.reply.text);
}

static err_t
check_shard(void *arg)
{
    (void)arg;
    /* What was about to expire has expired, whatever clock is asked. */
    fiber_sleep_us(KV_WORDS_SHORT_TTL_MS * 1000 + EXPIRED_FOR_SURE_US);
    for (uint32_t i = 0; i < test.client_count; i++) {
        if (test.clients[i].shard == shard_id()) {
            client_find(&test.clients[i]);
        }
    }
    check_prefix(shard_id());
    for (uint32_t i = 0; i < test.client_count; i++) {
        if (test.clients[i].shard == shard_id()) {
            client_restart(&test.clients[i]);
        }
    }
    check_shared_counter(&test.shared[shard_id()]);
    check_shared_tokens(&test.shared[shard_id()]);
    return ERR_OK;
}

/* ---- SCAN and DBSIZE, while nobody writes. ---- */

static uint32_t
live_keys(uint32_t db)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < test.client_count; i++) {
        for (uint32_t key = 0; key < KV_MODEL_KEYS && test.clients[i].db == db; key++) {
            count += test.clients[i].states[0].keys[key].exists;
        }
    }
    for (uint32_t i = 0; i < test.run->shards && db == SHARED_DB; i++) {
        bool has_token = false;

        for (uint32_t token = 0; token < test.shared[i].next_token; token++) {
            has_token = has_token || test.shared[i].token_state[token] == 2;
        }
        count += has_token;
        count += test.shared[i].base != 0;
    }
    return count;
}

/* The names of a SCAN's answer that are ours, and the next cursor. */
static uint32_t
scan_count(const struct kv_model_reply *reply, char *cursor_out, size_t cursor_size)
{
    const char *at = reply->text;
    const char *end = reply->text + reply->size;
    uint32_t count = 0;
    unsigned long size = 0;

    RUN_CHECK(test.run, sscanf(at, "*2\r\n$%lu", &size) == 1 && size < cursor_size,
              "SCAN answers %.*s", shown(reply), at);
    at = strchr(strchr(at, '\n') + 1, '\n') + 1;
    memcpy(cursor_out, at, size);
    cursor_out[size] = '\0';
    RUN_CHECK(test.run, sscanf(at + size + 2, "*%u", &count) == 1 && at < end, "SCAN's keys");
    return count;
}

static err_t
check_scan(void *arg)
{
    uint32_t db = *(const uint32_t *)arg;
    struct call call = {0};
    struct kv_words words = {.argc = 0};
    char cursor[32] = "0";
    uint32_t found = 0;
    uint32_t expected = live_keys(db);
    long long size = 0;

    for (uint32_t rounds = 0; rounds < 1000; rounds++) {
        words.argc = 0;
        kv_words_add_text(&words, "SCAN");
        kv_words_add_text(&words, cursor);
        kv_words_add_text(&words, "COUNT");
        kv_words_add_number(&words, 0, 1 + (int64_t)below(20));
        call_words(&words, &call, db, shard_id());
        kv_model_reply_put(&call.reply, "", 1);
        found += scan_count(&call.reply, cursor, sizeof(cursor));
        if (strcmp(cursor, "0") == 0) {
            break;
        }
    }
    RUN_CHECK(test.run, strcmp(cursor, "0") == 0, "SCAN does not end");
    RUN_CHECK(test.run, found == expected, "SCAN of database %u gives %u keys, there are %u", db,
              found, expected);
    words.argc = 0;
    kv_words_add_text(&words, "DBSIZE");
    call_words(&words, &call, db, shard_id());
    kv_model_reply_put(&call.reply, "", 1);
    RUN_CHECK(test.run, sscanf(call.reply.text, ":%lld", &size) == 1, "DBSIZE answers %s",
              call.reply.text);
    /* Keys that have expired are counted until they are removed. */
    RUN_CHECK(test.run, size >= expected && (size == expected || test.config.active_expire),
              "DBSIZE of database %u is %lld, there are %u keys", db, size, expected);
    free(call.reply.text);
    return ERR_OK;
}

/* ---- Lives. ---- */

static void
start(struct run *run)
{
    uint32_t db = (uint32_t)run_below(run, DATABASES);
    err_t err;

    run_start(run, open_store, NULL);
    err = sim_world_call_all(run->world, open_txns, NULL);
    RUN_CHECK(run, err == ERR_OK, "txns_open: %s", err_message(err));
    err = sim_world_call_all(run->world, open_kv, NULL);
    RUN_CHECK(run, err == ERR_OK, "kv_open: %s", err_message(err));
    err = sim_world_call_all(run->world, check_shard, NULL);
    RUN_CHECK(run, err == ERR_OK, "after the start: %s", err_message(err));
    err = sim_world_call(run->world, (uint32_t)run_below(run, run->shards), check_scan, &db);
    RUN_CHECK(run, err == ERR_OK, "SCAN: %s", err_message(err));
}

static err_t
close_kv(void *arg)
{
    (void)arg;
    kv_close(&test.kvs[shard_id()]);
    return ERR_OK;
}

static err_t
close_txns(void *arg)
{
    (void)arg;
    txns_close(&test.txns[shard_id()]);
    return ERR_OK;
}

static err_t
close_store(void *arg)
{
    (void)arg;
    store_close(&test.stores[shard_id()]);
    return ERR_OK;
}

static void
calm(struct run *run)
{
    sim_world_calm(run->world);
    sim_world_options(run->world)->disk_bytes = 0;
}

static void
stop(struct run *run)
{
    test.is_stopping = true;
    run_until(run, nobody_works, NULL, DRAIN_US, "the clients to end");
    RUN_CHECK(run, sim_world_call_all(run->world, close_kv, NULL) == ERR_OK, "closing");
    RUN_CHECK(run, sim_world_call_all(run->world, close_txns, NULL) == ERR_OK, "closing");
    RUN_CHECK(run, sim_world_call_all(run->world, close_store, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
    for (uint32_t i = 0; i < test.client_count; i++) {
        test.clients[i].durable = test.clients[i].count - 1;
    }
}

static void
draw_faults(struct run *run)
{
    struct sim_options *options = sim_world_options(run->world);

    run_draw_harmless_faults(run);
    options->wall_step_ppm = 0; /* Expiry is compared by the wall clock. */
    test.has_errors = run_chance(run, 25);
    if (test.has_errors) {
        options->eio_read_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 2000) : 0;
        options->eio_write_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 1000) : 0;
        options->no_space_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 100000) : 0;
        if (run_chance(run, 40)) {
            options->disk_bytes = sim_disk_used(run->world) + run_below(run, 1 << 20);
        }
    }
}

static void
live(struct run *run)
{
    test.options.durability =
        run_chance(run, 70) ? WAL_SYNC : (enum wal_durability)run_below(run, 3);
    test.options.interval_us = run_between(run, 1000, 100000);
    start(run);
    draw_faults(run);
    spawn_clients(run);
    if (!run_for_operations(run, run_between(run, 20, 500), LIFE_US_MAX)) {
        RUN_CHECK(run, test.has_errors, "fatal without an error of the disk: %s",
                  sim_world_fatal_message(run->world));
    }
    if (run_chance(run, 85) || sim_world_fatal_message(run->world) != NULL) {
        run_crash(run);
    } else {
        calm(run);
        stop(run);
    }
    calm(run);
    test.has_errors = false;
}

static void
client_init(struct run *run, struct client *client, uint32_t number)
{
    static const char *const suffixes[KV_MODEL_KEYS] = {"a", "b\xff\r\n", "a2", "c", "dd"};

    client->number = number;
    client->db = (uint32_t)run_below(run, DATABASES);
    client->session = (uint32_t)run_below(run, run->shards);
    client->states = calloc(STATES_MAX, sizeof(*client->states));
    ASSERT(client->states != NULL);
    client->count = 1;
    for (uint32_t key = 0; key < KV_MODEL_KEYS; key++) {
        int size = snprintf((char *)client->name_bytes[key], NAME_BYTES_MAX, "{c%u}%s", number,
                            suffixes[key]);

        client->names[key] = slice_of(client->name_bytes[key], (size_t)size);
    }
    client->shard = (uint32_t)slot_of_key(client->names[0]) * run->shards / KV_SLOTS;
}

/* Names whose slots the shard owns. */
static void
shared_init(struct run *run, struct shared *shared, uint32_t shard)
{
    for (uint32_t i = 0; i < 100000; i++) {
        int size = snprintf((char *)shared->name_bytes[0], NAME_BYTES_MAX, "{s%u}counter", i);

        shared->counter = slice_of(shared->name_bytes[0], (size_t)size);
        if ((uint32_t)slot_of_key(shared->counter) * run->shards / KV_SLOTS == shard) {
            size = snprintf((char *)shared->name_bytes[1], NAME_BYTES_MAX, "{s%u}tokens", i);
            shared->tokens = slice_of(shared->name_bytes[1], (size_t)size);
            return;
        }
    }
    UNREACHABLE();
}

static void
draw_options(struct run *run)
{
    struct lsm_options *lsm = &test.options.lsm;

    test.with_flush = run_chance(run, 40);
    test.client_count = (uint32_t)run_between(run, 2, CLIENTS_MAX);
    test.value_bytes_max = (uint32_t)run_between(run, 50, 5000);
    test.config = (struct kv_config){.databases = DATABASES,
                                     .string_bytes_max = 1 << 20,
                                     .active_expire = run_chance(run, 70),
                                     .hz = (uint32_t)run_between(run, 5, 100)};
    test.options.wal_segment_bytes = UINT64_C(256 << 10) << run_below(run, 3);
    test.options.memory_bytes = 4 << 20;
    lsm->memtable_bytes = run_between(run, 8 << 10, 200 << 10);
    lsm->memtables_max = (uint32_t)run_between(run, 2, 4);
    lsm->cache_bytes = run_between(run, 32 << 10, 512 << 10);
    lsm->table_bytes = run_between(run, 16 << 10, 128 << 10);
    lsm->level_base_bytes = run_between(run, 32 << 10, 256 << 10);
    lsm->level0_tables = (uint32_t)run_between(run, 2, 4);
}

static void
kv_main(struct run *run)
{
    command_table_init();
    memset(&test, 0, sizeof(test));
    test.run = run;
    draw_options(run);
    for (uint32_t i = 0; i < test.client_count; i++) {
        client_init(run, &test.clients[i], i);
    }
    for (uint32_t i = 0; i < run->shards; i++) {
        shared_init(run, &test.shared[i], i);
    }
    for (uint32_t life = 0; life < 5 || !run_is_enough(run); life++) {
        live(run);
    }
    start(run);
    spawn_clients(run);
    stop(run);
}

const struct scenario scenario_kv = {
    .name = "kv",
    .text = "Redis commands on several shards: the right answers, and what was answered survives",
    .weight = 6,
    .main = kv_main,
};
