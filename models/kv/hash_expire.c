/* models/kv/hash_expire.c - fields of hashes that expire: the commands, and their removal. */
#include "engine/base/assert.h"
#include "models/kv/dict.h"

#include "engine/base/poison.h"

enum {
    DUE_FIELDS_MAX = 1024, /* Removed by one commit. */
    WORK_UNITS_PER_FIELD = 3,
    /* What the commands answer for a field. */
    NO_FIELD = -2,
    NO_TIME = -1,
    NOT_MET = 0, /* The condition. */
    IS_SET = 1,
    IS_DELETED = 2, /* The time has come already. */
};

enum condition { COND_NONE, COND_NX, COND_XX, COND_GT, COND_LT };

/* ---- What they share ---- */

/* "FIELDS number name..." at argv[at], to the end. False after an error reply. */
static bool
fields_parse(struct kv_request *request, uint32_t at, const char *count_error,
             struct dict_fields *fields_out)
{
    struct dict_fields fields = {0};
    int64_t count;
    err_t err;

    if (at + 1 >= request->argc || !kv_word_is(request->argv[at], "fields")) {
        reply_error(request->reply,
                    "ERR Mandatory argument FIELDS is missing or not at the right position");
        return false;
    }
    if (!reply_parse_int(request->argv[at + 1], &count) || count < 1) {
        reply_error(request->reply, "ERR %s", count_error);
        return false;
    }
    if (count != (int64_t)request->argc - at - 2) {
        reply_error(request->reply,
                    "ERR The `numfields` parameter must match the number of arguments");
        return false;
    }
    for (uint32_t i = at + 2; i < request->argc; i++) {
        TRY(dict_fields_add(request, &fields, request->argv[i], slice_of(NULL, 0), false));
    }
    *fields_out = fields;
    return true;
out:
    kv_fail(request, err);
    return false;
}

/* Which are there, with their times. False after an error reply. */
static YIELDS bool
fields_find(struct kv_request *request, const struct kv_object *object, struct dict_fields *fields,
            bool **is_in_out)
{
    bool *is_in = arena_alloc(request->arena, fields->count * sizeof(*is_in));
    err_t err;

    if (is_in == NULL) {
        TRY(err_set(ERR_NO_MEMORY, "no memory for %u fields", fields->count));
    }
    TRY(dict_find(request, object, fields->at, fields->count, is_in));
    *is_in_out = is_in;
    return true;
out:
    kv_fail(request, err);
    return false;
}

/* ---- Changing times ---- */

/* What a command does to the fields, gathered first: a field may be named twice. */
struct change {
    struct dict_fields put;    /* With their new times. */
    struct dict_fields remove; /* Their time has come already. */
    const char *event;
    int64_t *answers; /* One a field. */
};

static err_t
change_init(struct kv_request *request, struct change *change, uint32_t count, const char *event)
{
    *change = (struct change){
        .event = event,
        .answers = arena_alloc(request->arena, count * sizeof(*change->answers)),
    };
    return change->answers != NULL
               ? ERR_OK
               : err_set(ERR_NO_MEMORY, "no memory for the answers of %u fields", count);
}

static err_t
change_put(struct kv_request *request, struct change *change, const struct dict_field *field,
           uint64_t expire_ms)
{
    err_t err = dict_fields_add(request, &change->put, field->name, field->value, false);

    if (err == ERR_OK) {
        change->put.at[change->put.count - 1].expire_ms = expire_ms;
        change->put.at[change->put.count - 1].is_time_only = true;
    }
    return err;
}

/* Makes the change and replies the answers. */
static YIELDS err_t
change_make(struct kv_request *request, struct kv_object *object, struct change *change,
            uint32_t count)
{
    uint32_t number;
    err_t err = ERR_OK;

    if (change->put.count > 0) {
        dict_fields_unique(request, &change->put);
        TRY(dict_put(request, object, KV_HASH, change->put.at, change->put.count, &number));
        kv_notify(request, KV_EVENT_HASH, change->event, object->name);
    }
    if (change->remove.count > 0) {
        dict_fields_unique(request, &change->remove);
        TRY(dict_remove(request, object, change->remove.at, change->remove.count, &number));
        kv_notify(request, KV_EVENT_HASH, "hdel", object->name);
        kv_notify_if_gone(request, object);
    }
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        reply_int(request->reply, change->answers[i]);
    }
out:
    return err;
}

/* ---- HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT ---- */

static void
expire_error(struct kv_request *request)
{
    reply_error(request->reply, "ERR invalid expire time in '%s' command", request->command->name);
}

static bool
when_parse(struct kv_request *request, enum kv_time_unit unit, bool is_absolute, uint64_t *when_out)
{
    uint64_t base_ms = is_absolute ? 0 : request->now_ms;
    uint64_t most = unit == KV_SECONDS ? DICT_TIME_MAX / 1000 : DICT_TIME_MAX;
    int64_t value;

    if (!kv_parse_int(request, request->argv[2], &value)) {
        return false;
    }
    if (value < 0) {
        reply_error(request->reply, "ERR invalid expire time, must be >= 0");
        return false;
    }
    if ((uint64_t)value > most) {
        expire_error(request);
        return false;
    }
    value *= unit == KV_SECONDS ? 1000 : 1;
    if ((uint64_t)value > DICT_TIME_MAX - base_ms) {
        expire_error(request);
        return false;
    }
    *when_out = (uint64_t)value + base_ms;
    return true;
}

/* The word at argv[3], if it is one; *at_out: where FIELDS stands. */
static enum condition
condition_parse(const struct kv_request *request, uint32_t *at_out)
{
    static const char *const words[] = {
        [COND_NX] = "nx", [COND_XX] = "xx", [COND_GT] = "gt", [COND_LT] = "lt"};

    *at_out = 4;
    for (uint32_t i = COND_NX; i <= COND_LT; i++) {
        if (kv_word_is(request->argv[3], words[i])) {
            return (enum condition)i;
        }
    }
    *at_out = 3;
    return COND_NONE;
}

/* A field without a time is one that lives for ever. */
static bool
condition_is_met(enum condition condition, uint64_t old_ms, uint64_t new_ms)
{
    switch (condition) {
    case COND_NONE:
        return true;
    case COND_NX:
        return old_ms == 0;
    case COND_XX:
        return old_ms != 0;
    case COND_GT:
        return old_ms != 0 && new_ms > old_ms;
    case COND_LT:
        return old_ms == 0 || new_ms < old_ms;
    }
    UNREACHABLE();
}

static YIELDS void
expire_fields(struct kv_request *request, struct kv_object *object, struct dict_fields *fields,
              enum condition condition, uint64_t when_ms)
{
    struct change change;
    bool *is_in;
    err_t err;

    if (!fields_find(request, object, fields, &is_in)) {
        return;
    }
    TRY(change_init(request, &change, fields->count, "hexpire"));
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct dict_field *field = &fields->at[i];

        if (!is_in[i]) {
            change.answers[i] = NO_FIELD;
        } else if (!condition_is_met(condition, field->expire_ms, when_ms)) {
            change.answers[i] = NOT_MET;
        } else if (when_ms <= request->now_ms) {
            change.answers[i] = IS_DELETED;
            TRY(dict_fields_add(request, &change.remove, field->name, field->value, false));
        } else {
            change.answers[i] = IS_SET;
            TRY(change_put(request, &change, field, when_ms));
        }
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    TRY(change_make(request, object, &change, fields->count));
    return;
out:
    kv_fail(request, err);
}

static YIELDS void
expire_command(struct kv_request *request, enum kv_time_unit unit, bool is_absolute)
{
    struct dict_fields fields;
    struct kv_object object;
    enum condition condition;
    uint64_t when_ms;
    uint32_t at;

    if (!dict_lookup(request, request->argv[1], KV_HASH, 0, &object) ||
        !when_parse(request, unit, is_absolute, &when_ms)) {
        return;
    }
    condition = condition_parse(request, &at);
    if (fields_parse(request, at, "Parameter `numFields` should be greater than 0", &fields)) {
        expire_fields(request, &object, &fields, condition, when_ms);
    }
}

void
kv_command_hexpire(struct kv_request *request)
{
    expire_command(request, KV_SECONDS, false);
}

void
kv_command_hpexpire(struct kv_request *request)
{
    expire_command(request, KV_MILLISECONDS, false);
}

void
kv_command_hexpireat(struct kv_request *request)
{
    expire_command(request, KV_SECONDS, true);
}

void
kv_command_hpexpireat(struct kv_request *request)
{
    expire_command(request, KV_MILLISECONDS, true);
}

/* ---- HPERSIST ---- */

void
kv_command_hpersist(struct kv_request *request)
{
    struct dict_fields fields;
    struct kv_object object;
    struct change change;
    bool *is_in;
    err_t err;

    if (!dict_lookup(request, request->argv[1], KV_HASH, 0, &object) ||
        !fields_parse(request, 2, "Number of fields must be a positive integer", &fields) ||
        !fields_find(request, &object, &fields, &is_in)) {
        return;
    }
    TRY(change_init(request, &change, fields.count, "hpersist"));
    for (uint32_t i = 0; i < fields.count; i++) {
        change.answers[i] = !is_in[i] ? NO_FIELD : fields.at[i].expire_ms == 0 ? NO_TIME : IS_SET;
        if (change.answers[i] == IS_SET) {
            TRY(change_put(request, &change, &fields.at[i], 0));
        }
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    TRY(change_make(request, &object, &change, fields.count));
    return;
out:
    kv_fail(request, err);
}

/* ---- HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME ---- */

static YIELDS void
time_command(struct kv_request *request, enum kv_time_unit unit, bool is_absolute)
{
    uint64_t base_ms = is_absolute ? 0 : request->now_ms;
    struct dict_fields fields;
    struct kv_object object;
    bool *is_in;

    if (!dict_lookup(request, request->argv[1], KV_HASH, KV_LOOKUP_READ, &object) ||
        !fields_parse(request, 2, "Number of fields must be a positive integer", &fields) ||
        !fields_find(request, &object, &fields, &is_in)) {
        return;
    }
    reply_array(request->reply, fields.count);
    for (uint32_t i = 0; i < fields.count; i++) {
        uint64_t expire_ms = fields.at[i].expire_ms;

        if (!is_in[i] || expire_ms == 0) {
            reply_int(request->reply, is_in[i] ? NO_TIME : NO_FIELD);
        } else if (unit == KV_SECONDS) { /* A second that has begun counts. */
            reply_int(request->reply, (int64_t)((expire_ms - base_ms + 999) / 1000));
        } else {
            reply_int(request->reply, (int64_t)(expire_ms - base_ms));
        }
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
}

void
kv_command_httl(struct kv_request *request)
{
    time_command(request, KV_SECONDS, false);
}

void
kv_command_hpttl(struct kv_request *request)
{
    time_command(request, KV_MILLISECONDS, false);
}

void
kv_command_hexpiretime(struct kv_request *request)
{
    time_command(request, KV_SECONDS, true);
}

void
kv_command_hpexpiretime(struct kv_request *request)
{
    time_command(request, KV_MILLISECONDS, true);
}

/* ---- Removal from outside of commands ---- */

/* In the request's transaction; *removed_out: how many fields. */
static YIELDS err_t
due_try(struct kv_request *request, struct kv_object *object, uint64_t index_ms,
        uint32_t *removed_out)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct lsm_value value;
    err_t err;

    *removed_out = 0;
    TRY(txn_get(request->txn, kv_id_slot(object->id),
                kv_stored_key(small, request->arena, KV_KIND_HEAD, object->keyspace, object->id,
                              object->name),
                request->arena, &value));
    if (value.is_found) {
        TRY(kv_head_decode(value.value, &object->head));
    }
    if (value.is_found && dict_has_times(object) && object->head.field_expire_ms == index_ms) {
        TRY(dict_check(object));
        object->is_stored = true;
        object->is_found = true;
        TRY(dict_remove_due(request, object, DUE_FIELDS_MAX, removed_out));
    } else {
        /* As of a key's entry: one that should have gone may not stay. */
        kv_field_expiry_delete(request, object, index_ms);
    }
    err = ERR_OK;
out:
    return err;
}

/* One commit, tried again when others come between. *next_out: the earliest time of the fields that
 * are left; 0: none. */
static YIELDS err_t
due_commit(struct kv *kv, struct kv_request *request, struct kv_object *object, uint64_t index_ms,
           uint64_t *next_out)
{
    err_t err = ERR_OK;

    for (uint32_t attempt = 0; attempt < KV_ATTEMPTS_MAX; attempt++) {
        struct txn_done done = {0};
        uint32_t removed;

        object->is_stored = false;
        request->txn = txn_begin_auto(false, NULL);
        err = due_try(request, object, index_ms, &removed);
        if (err == ERR_OK) {
            err = txn_commit(&request->txn, &done);
        } else {
            txn_abort(&request->txn);
        }
        if (err == ERR_OK && removed > 0) {
            kv_event_publish(kv, object->keyspace, KV_EVENT_HASH, "hexpired", object->name,
                             done.lsn);
            if (!object->is_stored) {
                kv_event_publish(kv, object->keyspace, KV_EVENT_GENERIC, "del", object->name,
                                 done.lsn);
            }
        }
        if (!kv_may_repeat(err)) {
            *next_out = removed > 0 && object->is_stored && dict_has_times(object)
                            ? object->head.field_expire_ms
                            : 0;
            break;
        }
        kv_back_off(attempt);
    }
    return err;
}

err_t
kv_expire_fields(struct kv *kv, uint32_t keyspace, uint64_t id, struct slice name, uint64_t now_ms,
                 uint64_t index_ms)
{
    struct kv_request request = {.now_ms = now_ms, .expire_min_ms = UINT64_MAX};
    struct kv_latch latch;
    struct arena arena;
    uint32_t held;
    err_t err = ERR_OK;

    arena_init(&arena, MEM_SESSIONS);
    request.arena = &arena;
    kv_latch_lock(kv, &latch, &id, 1, &held);
    while (err == ERR_OK && index_ms != 0 && index_ms < now_ms && !kv->is_closing) {
        struct kv_object object = {.name = name, .keyspace = keyspace, .id = id};

        err = due_commit(kv, &request, &object, index_ms, &index_ms);
        arena_reset(&arena);
    }
    kv_latch_unlock(kv, &latch, held);
    kv->expire_from_ms = MIN(kv->expire_from_ms, request.expire_min_ms);
    arena_fini(&arena);
    return err;
}
