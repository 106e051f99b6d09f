/* models/kv/multi.c - several commands as one transaction, what runs alone on all shards, and what
 * was watched. */
#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

/* ---- Gates of all shards ---- */

static YIELDS void
gate_enter(void *arg)
{
    (void)arg;
    kv_gate_enter_exclusive(kv_self());
}

static void
gate_leave(void *arg)
{
    const uint32_t *const *keyspaces = arg;
    struct kv *kv = kv_self();

    if (*keyspaces != NULL) {
        memcpy(kv->keyspaces, *keyspaces, sizeof(kv->keyspaces));
        kv_changes_note_mapping(kv);
    }
    kv_gate_leave_exclusive(kv);
}

void
kv_gates_enter_all(void)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_FIBER, gate_enter, NULL);
    }
}

void
kv_gates_leave_all(const uint32_t *keyspaces)
{
    const uint32_t *pointers[SHARDS_MAX];

    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        pointers[shard] = keyspaces;
    }
    msg_call_all(MSG_INLINE, gate_leave, pointers, sizeof(*pointers));
}

bool
kv_is_exclusive(const struct command *command)
{
    return command->layer == COMMAND_KEYSPACE && (command->flags & CMD_WRITE) != 0;
}

/* ---- Attempts ---- */

/* What one attempt needs; kept from one to the next. */
struct multi_run {
    struct kv *kv;
    struct kv_multi *multi;
    bool is_exec; /* The replies are an array. */
    bool is_exclusive;
    bool is_read_only;
    struct reply_mark mark;
    uint32_t keyspaces[KV_DATABASES_MAX]; /* With is_exclusive: as the transaction sees them. */
    struct txn *txn;
    struct txn_done done;
    struct arena arena;
};

static YIELDS void
durable_wait(void *arg)
{
    (void)arg;
    store_wait_durable(store_self(), store_appended(store_self()));
}

/* The gates are entered: leave them, with the mapping that a SWAPDB has made. It is used when it is
 * durable: a write into a swapped keyspace may be durable elsewhere only when the swap is. */
static YIELDS void
alone_leave(struct multi_run *run, bool is_committed)
{
    bool is_swapped =
        memcmp(run->keyspaces, run->kv->keyspaces, sizeof(run->keyspaces)) != 0 && is_committed;

    if (is_swapped && shard_count() > 1) {
        store_wait_durable(run->kv->store, run->done.lsn);
        msg_call(0, MSG_FIBER, durable_wait, NULL);
    }
    kv_gates_leave_all(is_swapped ? run->keyspaces : NULL);
}

/* Begins the transaction, with the locks that it needs, and enters the gates. ERR_OK: entered. */
static YIELDS err_t
run_begin(struct multi_run *run, bool is_locking)
{
    struct kv_multi *multi = run->multi;
    err_t err = ERR_OK;

    run->done = (struct txn_done){0};
    if (!run->is_exclusive) {
        kv_gate_enter_shared(run->kv);
        run->txn = txn_begin_auto(run->is_read_only, multi->origin);
        if (is_locking) {
            err = kv_keys_lock(run->txn, multi->requests, multi->count);
        }
        if (err != ERR_OK) {
            kv_gate_leave_shared(run->kv);
        }
        return err;
    }
    txn_slots_pin(); /* Counters are read and changed on every shard. */
    /* Locks before gates: who waits for a lock in a gate must not wait for us. */
    run->txn = txn_begin_auto(false, multi->origin);
    err = kv_keyspaces_lock_all(run->txn);
    if (err == ERR_OK) {
        kv_gates_enter_all();
        txn_refresh(run->txn);
        memcpy(run->keyspaces, run->kv->keyspaces, sizeof(run->keyspaces));
    } else {
        txn_slots_unpin();
    }
    return err;
}

static void
run_leave(struct multi_run *run, bool is_committed)
{
    if (run->is_exclusive) {
        alone_leave(run, is_committed);
        txn_slots_unpin();
    } else {
        kv_gate_leave_shared(run->kv);
    }
}

/* One after the other; the error that ends the transaction. */
static YIELDS err_t
requests_run(struct multi_run *run)
{
    struct kv_multi *multi = run->multi;

    if (run->is_exec) {
        reply_array(multi->reply, multi->count);
    }
    for (uint32_t i = 0; i < multi->count; i++) {
        struct kv_request *request = &multi->requests[i];

        request->txn = run->txn;
        request->reply = multi->reply;
        request->keyspaces = run->is_exclusive ? run->keyspaces : NULL;
        request->err = ERR_OK;
        request->events = (struct kv_events){0};
        multi->run(multi->arg, request);
        request->txn = NULL;
        if (request->err != ERR_OK) {
            return request->err;
        }
    }
    return ERR_OK;
}

/* *is_void_out: a watched key has changed, so that nothing is run. */
static YIELDS err_t watches_check(struct multi_run *run, bool *is_void_out);

static YIELDS err_t
attempt_run(struct multi_run *run, bool is_locking)
{
    struct kv_multi *multi = run->multi;
    bool is_void = false;
    err_t err;

    for (uint32_t i = 0; i < multi->count; i++) {
        struct kv_request *request = &multi->requests[i];

        request->arena = multi->arena;
        request->expired = NULL; /* Of an attempt before, whose memory is gone. */
        request->expired_removed = 0;
        request->events = (struct kv_events){0};
    }
    err = run_begin(run, is_locking);
    if (err != ERR_OK) {
        txn_abort(&run->txn);
        return err;
    }
    TRY(watches_check(run, &is_void));
    if (!is_void) {
        TRY(requests_run(run));
        TRY(txn_commit(&run->txn, &run->done));
        multi->lsn = MAX(multi->lsn, run->done.lsn);
    }
    err = ERR_OK;
out:
    txn_abort(&run->txn);
    run_leave(run, err == ERR_OK && !is_void);
    if (is_void) {
        reply_null_array(multi->reply);
    }
    return err;
}

static YIELDS void
run_all(struct multi_run *run)
{
    struct kv_multi *multi = run->multi;
    struct arena *arena = multi->arena;
    err_t err = attempt_run(run, false);

    arena_init(&run->arena, MEM_SESSIONS);
    multi->arena = &run->arena;
    for (uint32_t i = 0; i < KV_ATTEMPTS_MAX && kv_may_repeat(err); i++) {
        SOMETIMES("kv: a transaction ran again, since another commit came between");
        reply_cut(multi->reply, run->mark);
        kv_back_off(i);
        arena_reset(&run->arena);
        for (uint32_t at = 0; at < multi->count; at++) {
            run->is_exclusive |= multi->requests[at].wants_alone;
        }
        err = attempt_run(run, !run->is_exclusive);
    }
    if (err != ERR_OK) {
        reply_cut(multi->reply, run->mark);
        reply_err(multi->reply, err);
    }
    for (uint32_t i = 0; err == ERR_OK && i < multi->count; i++) {
        if (multi->requests[i].command->layer != COMMAND_SESSION) {
            multi->requests[i].lsn = MAX(multi->requests[i].lsn, multi->lsn);
            kv_gate_enter_shared(run->kv);
            kv_committed(run->kv, &multi->requests[i]);
            kv_gate_leave_shared(run->kv);
        } else {
            multi->requests[i].lsn = multi->lsn;
            kv_events_publish(run->kv, &multi->requests[i]);
        }
    }
    arena_fini(&run->arena);
    multi->arena = arena;
}

static YIELDS void
multi_execute(struct kv_multi *multi, bool is_exec)
{
    struct multi_run *run = MEM_NEW(MEM_SESSIONS, struct multi_run);

    run->kv = kv_self();
    run->multi = multi;
    run->is_exec = is_exec;
    run->mark = reply_mark(multi->reply);
    run->is_read_only = true;
    for (uint32_t i = 0; i < multi->count; i++) {
        const struct command *command = multi->requests[i].command;

        run->is_exclusive |= kv_is_exclusive(command) || multi->requests[i].wants_alone;
        run->is_read_only &= !kv_may_write(command);
    }
    run_all(run);
    MEM_FREE(MEM_SESSIONS, run);
}

void
kv_execute_multi(struct kv_multi *multi)
{
    multi->lsn = 0;
    multi_execute(multi, true);
}

static YIELDS void
alone_run(void *arg, struct kv_request *request)
{
    (void)arg;
    kv_execute(request);
}

void
kv_execute_alone(struct kv_request *request)
{
    struct kv_multi multi = {
        .requests = request,
        .count = 1,
        .reply = request->reply,
        .arena = request->arena,
        .origin = request->origin,
        .now_ms = request->now_ms,
        .run = alone_run,
    };

    multi_execute(&multi, false);
    request->lsn = MAX(request->lsn, multi.lsn);
    request->arena = multi.arena;
}

/* ---- WATCH ---- */

/* The key as the request's transaction sees it now. */
static YIELDS err_t
watch_look(struct kv_request *request, uint32_t keyspace, struct slice name, bool *is_found_out,
           uint64_t *ts_out)
{
    uint64_t id = kv_key_id(name);
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct lsm_value value;
    struct kv_head head;
    err_t err;

    TRY(txn_get(request->txn, kv_id_slot(id),
                kv_stored_key(small, request->arena, KV_KIND_HEAD, keyspace, id, name),
                request->arena, &value));
    *is_found_out = false;
    *ts_out = 0;
    if (value.is_found) {
        TRY(kv_head_decode(value.value, &head));
        *is_found_out = !kv_head_has_expired(&head, request->now_ms);
        *ts_out = value.ts;
    }
    request->lsn = MAX(request->lsn, value.lsn);
out:
    return err;
}

static YIELDS err_t
watches_check(struct multi_run *run, bool *is_void_out)
{
    struct kv_multi *multi = run->multi;
    struct kv_request request = {.txn = run->txn, .arena = multi->arena, .now_ms = multi->now_ms};
    err_t err = ERR_OK;

    for (const struct kv_watch *watch = multi->watches; watch != NULL && !*is_void_out;
         watch = watch->next) {
        uint32_t keyspace = run->kv->keyspaces[watch->db];
        bool is_found;
        uint64_t ts;

        TRY(watch_look(&request, keyspace, slice_of(watch->name, watch->name_bytes), &is_found,
                       &ts));
        /* A key that was not there and is not there is the same, whatever was in between; one that
         * expired has changed. */
        *is_void_out = is_found != watch->is_found ||
                       (is_found && (ts != watch->ts || keyspace != watch->keyspace));
    }
out:
    return err;
}

static bool
is_watched(const struct kv_watch *watches, uint32_t db, struct slice name)
{
    for (; watches != NULL; watches = watches->next) {
        if (watches->db == db && slice_equal(slice_of(watches->name, watches->name_bytes), name)) {
            return true;
        }
    }
    return false;
}

static YIELDS err_t
watch_add(struct kv_request *request, struct slice name, struct kv_watch **watches)
{
    uint32_t keyspace = kv_self()->keyspaces[request->db];
    struct kv_watch *watch;
    bool is_found;
    uint64_t ts;
    err_t err;

    if (is_watched(*watches, request->db, name)) {
        return ERR_OK;
    }
    TRY(watch_look(request, keyspace, name, &is_found, &ts));
    watch = mem_alloc(MEM_SESSIONS, sizeof(*watch) + name.size);
    *watch = (struct kv_watch){
        .next = *watches,
        .db = request->db,
        .keyspace = keyspace,
        .is_found = is_found,
        .ts = ts,
        .name_bytes = name.size,
    };
    memcpy(watch->name, name.data, name.size);
    *watches = watch;
out:
    return err;
}

void
kv_watch(struct kv_request *request, struct kv_watch **watches)
{
    struct txn_done done;
    err_t err = ERR_OK;

    for (uint32_t i = 1; i < request->argc; i++) {
        if (request->argv[i].size > KV_NAME_BYTES_MAX) {
            reply_error(request->reply, "ERR the key of %zu bytes is longer than the limit of %d",
                        request->argv[i].size, KV_NAME_BYTES_MAX);
            return;
        }
    }
    kv_gate_enter_shared(kv_self());
    request->txn = txn_begin_auto(true, NULL);
    for (uint32_t i = 1; i < request->argc; i++) {
        TRY(watch_add(request, request->argv[i], watches));
    }
    TRY(txn_commit(&request->txn, &done));
    request->lsn = MAX(request->lsn, done.lsn);
    reply_ok(request->reply);
out:
    txn_abort(&request->txn);
    kv_gate_leave_shared(kv_self());
    if (err != ERR_OK) {
        reply_err(request->reply, err);
    }
}

void
kv_unwatch(struct kv_watch **watches)
{
    while (*watches != NULL) {
        struct kv_watch *watch = *watches;

        *watches = watch->next;
        mem_free(MEM_SESSIONS, watch, sizeof(*watch) + watch->name_bytes);
    }
}
