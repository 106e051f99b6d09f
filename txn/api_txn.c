/* txn/api_txn.c - transactions of the C API: their life, and the way to their home shard. */
#include "txn/api_txn.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "txn/clock.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

#define HANDLE_MAGIC UINT64_C(0x6f726269747478)

enum { TEXTS_BYTES_MAX = 1000 };

/* Of the application's thread, in turn. */
static _Thread_local uint32_t next_home;

bool
api_is_quiet(void)
{
    const struct txns *txns = txns_self();

    return locks_are_none(txns->locks) && list_is_empty(&txns->prepared);
}

/* ---- Steps. ---- */

static err_t
handle_check(const struct orbit_txn *handle)
{
    if (handle == NULL || handle->magic != HANDLE_MAGIC) {
        return err_set(ERR_INVALID, "there is no such transaction");
    }
    if (handle->is_ended) {
        return err_set(ERR_INVALID, "the transaction has ended");
    }
    return ERR_OK;
}

struct txn_call {
    struct orbit_txn *handle;
    enum api_step step;
    api_txn_fn fn;
    void *arg;
    err_t err; /* Out. */
};

static YIELDS void
call_step(struct txn *txn, void *arg)
{
    struct txn_call *call = arg;
    err_t err;

    if (call->step == API_STATEMENT) {
        TRY(txn_statement(txn, false));
    }
    err = call->fn(txn, call->arg);
out:
    call->err = err;
}

static YIELDS err_t
handle_begin(struct orbit_txn *handle)
{
    struct txn_options options = handle->options;
    struct txn *txn;
    err_t err;

    if (handle->timeout_ms != 0) {
        handle->deadline_us = shard_now_us() + UINT64_C(1000) * handle->timeout_ms;
        options.deadline_us = handle->deadline_us;
    }
    if (options.as_of != 0) {
        uint64_t now = store_read_ts(store_self());

        /* To the end of that microsecond; of the present one, as far as it has come. */
        if (options.as_of >> CLOCK_COUNTER_BITS == now >> CLOCK_COUNTER_BITS) {
            options.as_of = now;
        }
    }
    options.ends_by_itself = true;
    TRY(txn_begin(&options, &txn));
    handle->id = txn_id(txn);
    handle->home = shard_id();
out:
    return err;
}

static err_t
found_ended(struct orbit_txn *handle)
{
    handle->is_ended = true;
    if (handle->is_late) {
        return err_set(ERR_TIMEOUT, "the transaction exceeded its time limit");
    }
    return handle->options.idle_timeout_us != 0
               ? err_set(ERR_IDLE_TIMEOUT,
                         "the transaction was left alone for more than %llu ms and rolled back",
                         (unsigned long long)handle->options.idle_timeout_us / 1000)
               : err_set(ERR_INVALID, "the transaction has ended");
}

static YIELDS err_t
call_run(void *arg)
{
    struct txn_call *call = arg;
    struct orbit_txn *handle = call->handle;
    err_t err;

    if (handle->id == 0) {
        TRY(handle_begin(handle));
    }
    err = txn_run(handle->id, call_step, call);
    handle->is_late = handle->deadline_us != 0 && shard_now_us() >= handle->deadline_us;
    if (err == ERR_NOT_FOUND) {
        return found_ended(handle);
    }
    TRY(err);
    err = call->err;
out:
    return err;
}

uint32_t
api_any_shard(const struct orbit *db)
{
    return next_home++ % db->wanted;
}

static uint32_t
home_choose(const struct orbit *db, struct slice key)
{
    return key.size > 0 ? api_shard_of(db, key) : api_any_shard(db);
}

err_t
api_txn_call(struct orbit_txn *handle, enum api_step step, struct slice key, api_txn_fn fn,
             void *arg)
{
    struct txn_call call = {.handle = handle, .step = step, .fn = fn, .arg = arg};
    err_t err;

    TRY(handle_check(handle));
    if (handle->running != NULL) {
        return fn(handle->running, arg);
    }
    err = api_call(handle->db, handle->id != 0 ? handle->home : home_choose(handle->db, key),
                   call_run, &call);
out:
    return err;
}

void
api_txn_bind(struct orbit_txn *handle, struct orbit *db, struct txn *running)
{
    *handle = (struct orbit_txn){.magic = HANDLE_MAGIC, .db = db, .running = running};
}

void
api_txn_unbind(struct orbit_txn *handle)
{
    handle->magic = 0;
}

/* ---- Beginning. ---- */

static err_t
options_check(const struct orbit_txn_options *options)
{
    size_t bytes = (options->principal != NULL ? strlen(options->principal) : 0) +
                   (options->tag != NULL ? strlen(options->tag) : 0);

    if ((unsigned)options->isolation > ORBIT_ISOLATION_READ_COMMITTED) {
        return err_set(ERR_INVALID, "unknown isolation %d", (int)options->isolation);
    }
    if (options->as_of_us >= UINT64_C(1) << (64 - CLOCK_COUNTER_BITS)) {
        return err_set(ERR_INVALID, "the time to read at is out of range");
    }
    if (bytes > TEXTS_BYTES_MAX) {
        return err_set(ERR_LIMIT, "principal and tag have %zu bytes; at most %d are possible",
                       bytes, TEXTS_BYTES_MAX);
    }
    return ERR_OK;
}

static struct slice
text_keep(struct buf *texts, const char *text)
{
    size_t at = texts->size;

    if (text == NULL) {
        return slice_of(NULL, 0);
    }
    buf_append(texts, text, strlen(text));
    return slice_of(texts->data + at, texts->size - at);
}

static void
options_keep(struct orbit_txn *handle, const struct orbit_txn_options *options)
{
    static const enum txn_isolation isolations[] = {
        [ORBIT_ISOLATION_SERIALIZABLE] = TXN_SERIALIZABLE,
        [ORBIT_ISOLATION_REPEATABLE_READ] = TXN_REPEATABLE_READ,
        [ORBIT_ISOLATION_READ_COMMITTED] = TXN_READ_COMMITTED,
    };
    uint32_t lock_timeout_ms = options->lock_timeout_ms;

    if (lock_timeout_ms == 0 && handle->db->mode == ORBIT_INLINE) {
        lock_timeout_ms = API_INLINE_LOCK_TIMEOUT_MS;
    }
    (void)buf_reserve(&handle->texts, TEXTS_BYTES_MAX); /* So that it does not move below. */
    handle->timeout_ms = options->timeout_ms;
    handle->options = (struct txn_options){
        .isolation = isolations[options->isolation],
        .read_only = options->read_only || options->as_of_us != 0,
        .deferrable = options->deferrable,
        .lock_timeout_us = UINT64_C(1000) * lock_timeout_ms,
        .idle_timeout_us = UINT64_C(1000) * options->idle_timeout_ms,
        .principal = text_keep(&handle->texts, options->principal),
        .protocol = slice_from_text("c"),
        .tag = text_keep(&handle->texts, options->tag),
    };
    if (options->as_of_us != 0) {
        handle->options.as_of = ((options->as_of_us + 1) << CLOCK_COUNTER_BITS) - 1;
    }
}

static struct orbit_txn *
handle_new(struct orbit *db)
{
    struct orbit_txn *handle = MEM_NEW(MEM_SESSIONS, struct orbit_txn);

    handle->magic = HANDLE_MAGIC;
    handle->db = db;
    buf_init(&handle->texts, MEM_SESSIONS);
    return handle;
}

static void
handle_free(struct orbit_txn *handle)
{
    buf_fini(&handle->texts);
    handle->magic = 0;
    MEM_FREE(MEM_SESSIONS, handle);
}

static YIELDS err_t
nothing(struct txn *txn, void *arg)
{
    (void)txn;
    (void)arg;
    return ERR_OK; /* That it has begun was all. */
}

int
orbit_txn_begin(struct orbit *db, const struct orbit_txn_options *options,
                struct orbit_txn **txn_out)
{
    static const struct orbit_txn_options defaults;
    struct orbit_txn *handle = NULL;
    err_t err;

    options = options != NULL ? options : &defaults;
    TRY(api_caller_check(db));
    TRY(options_check(options));
    handle = handle_new(db);
    options_keep(handle, options);
    if (options->as_of_us != 0) {
        TRY(api_txn_call(handle, API_CONTINUATION, slice_of(NULL, 0), nothing, NULL));
    }
    *txn_out = handle;
    handle = NULL;
out:
    if (handle != NULL) {
        handle_free(handle);
    }
    return api_result(err);
}

/* ---- Ending. ---- */

struct ending {
    uint64_t id;
    struct txn_done done;
};

static YIELDS err_t
commit_run(void *arg)
{
    struct ending *ending = arg;
    err_t err;

    TRY(txn_commit_id(ending->id, &ending->done));
    api_wait(ending->done.lsn);
out:
    return err;
}

static YIELDS err_t
abort_run(void *arg)
{
    const struct ending *ending = arg;

    return txn_abort_id(ending->id);
}

/* What only the owner of a handle may do: not a function that is given one. */
static err_t
ending_check(const struct orbit_txn *handle)
{
    err_t err;

    TRY(handle_check(handle));
    if (handle->running != NULL) {
        return err_set(ERR_INVALID, "a function of orbit_txn_run ends its transaction by what it "
                                    "returns");
    }
out:
    return err;
}

static err_t
handle_end(struct orbit_txn *handle, api_fn fn, struct ending *ending)
{
    err_t err;

    TRY(ending_check(handle));
    if (handle->id != 0) {
        ending->id = handle->id;
        err = api_call(handle->db, handle->home, fn, ending);
        if (err == ERR_NOT_FOUND) {
            err = found_ended(handle);
        }
    }
    handle->is_ended = true;
out:
    return err;
}

int
orbit_txn_commit(struct orbit_txn *txn, uint64_t *commit_us_out)
{
    struct ending ending = {0};
    err_t err;

    TRY(handle_end(txn, commit_run, &ending));
    if (commit_us_out != NULL) {
        *commit_us_out = ending.done.ts >> CLOCK_COUNTER_BITS;
    }
out:
    return api_result(err);
}

int
orbit_txn_abort(struct orbit_txn *txn)
{
    struct ending ending = {0};

    return api_result(handle_end(txn, abort_run, &ending));
}

void
orbit_txn_free(struct orbit_txn **txn_ref)
{
    struct orbit_txn *txn = *txn_ref;
    struct ending ending = {0};

    if (txn == NULL) {
        return;
    }
    OBJ_CHECK(txn, HANDLE_MAGIC);
    ASSERT(txn->running == NULL);
    if (!txn->is_ended && !txn->is_joined) {
        (void)handle_end(txn, abort_run, &ending);
    }
    handle_free(txn);
    *txn_ref = NULL;
}

/* ---- Savepoints. ---- */

static YIELDS err_t
savepoint_step(struct txn *txn, void *arg)
{
    return txn_savepoint(txn, arg);
}

int
orbit_txn_savepoint(struct orbit_txn *txn, uint32_t *savepoint_out)
{
    uint32_t savepoint = 0;
    err_t err;

    TRY(api_txn_call(txn, API_CONTINUATION, slice_of(NULL, 0), savepoint_step, &savepoint));
    *savepoint_out = savepoint;
out:
    return api_result(err);
}

static YIELDS err_t
rollback_step(struct txn *txn, void *arg)
{
    const uint32_t *savepoint = arg;

    return txn_rollback_to(txn, *savepoint);
}

int
orbit_txn_rollback_to(struct orbit_txn *txn, uint32_t savepoint)
{
    return api_result(
        api_txn_call(txn, API_CONTINUATION, slice_of(NULL, 0), rollback_step, &savepoint));
}

/* ---- Hand-over. ---- */

struct token_call {
    uint64_t id;
    const char *token;
    struct slice principal;
    char text[TXN_TOKEN_BYTES + 1]; /* Out. */
};

static YIELDS err_t
token_run(void *arg)
{
    struct token_call *call = arg;

    return txn_token(call->id, call->text);
}

int
orbit_txn_token(struct orbit_txn *txn, char token_out[ORBIT_TOKEN_BYTES + 1])
{
    struct token_call call = {0};
    err_t err;

    TRY(ending_check(txn));
    if (txn->id == 0) {
        TRY(api_txn_call(txn, API_CONTINUATION, slice_of(NULL, 0), nothing, NULL));
    }
    call.id = txn->id;
    err = api_call(txn->db, txn->home, token_run, &call);
    if (err == ERR_NOT_FOUND) {
        err = found_ended(txn);
    }
    TRY(err);
    memcpy(token_out, call.text, sizeof(call.text));
out:
    return api_result(err);
}

static YIELDS err_t
join_run(void *arg)
{
    struct token_call *call = arg;

    return txn_join(slice_from_text(call->token), call->principal, &call->id);
}

int
orbit_txn_join(struct orbit *db, const char *token, const char *principal,
               struct orbit_txn **txn_out)
{
    struct token_call call = {.token = token, .principal = {NULL, 0}};
    struct orbit_txn *handle;
    err_t err;

    if (token == NULL) {
        return api_result(err_set(ERR_INVALID, "no token was given"));
    }
    call.principal = principal != NULL ? slice_from_text(principal) : call.principal;
    TRY(api_call(db, 0, join_run, &call));
    handle = handle_new(db);
    handle->id = call.id;
    handle->home = txn_id_home(call.id);
    handle->is_joined = true;
    *txn_out = handle;
out:
    return api_result(err);
}
