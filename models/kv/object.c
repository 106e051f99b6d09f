/* models/kv/object.c - reading and changing keys: what every command is made of.
 *
 * A key is one head entry, for a large string a payload entry, and with an expiry an entry of the
 * expiry index. They change together, in one batch, and so do the counters of keys. */
#include "engine/base/assert.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum {
    LOOKUP_CHUNK = 128,      /* Keys read at once by kv_lookup_many. */
    WORK_UNITS_PER_KEY = 10, /* Of fiber_work. */
    REPEATS_QUADRATIC_MAX = 8,
};

/* ---- Changes ---- */

void
kv_fail(struct kv_request *request, err_t err)
{
    ASSERT(err != ERR_OK);
    request->err = err;
    reply_err(request->reply, err);
}

struct slice
kv_stored_key(uint8_t small[KV_STORED_BYTES_SMALL], struct arena *arena, uint8_t kind,
              uint32_t keyspace, uint64_t id, struct slice name)
{
    uint8_t *at = small;

    if (KV_EXPIRY_PREFIX_BYTES + name.size > KV_STORED_BYTES_SMALL) {
        at = arena_alloc(arena, KV_EXPIRY_PREFIX_BYTES + name.size);
    }
    ASSERT(kind != KV_KIND_EXPIRY);
    return slice_of(at, kv_key_encode(at, kind, keyspace, id, name));
}

static struct slice
object_key(uint8_t small[KV_STORED_BYTES_SMALL], struct kv_request *request, uint8_t kind,
           const struct kv_object *object)
{
    return kv_stored_key(small, request->arena, kind, object->keyspace, object->id, object->name);
}

/* kind: KV_KIND_EXPIRY, KV_KIND_FIELD_EXPIRY. */
static struct slice
expiry_key(uint8_t small[KV_STORED_BYTES_SMALL], struct arena *arena, uint8_t kind,
           const struct kv_object *object, uint64_t expire_ms)
{
    uint8_t *at = small;
    size_t size;

    if (KV_EXPIRY_PREFIX_BYTES + object->name.size > KV_STORED_BYTES_SMALL) {
        at = arena_alloc(arena, KV_EXPIRY_PREFIX_BYTES + object->name.size);
    }
    size = kind == KV_KIND_EXPIRY
               ? kv_expiry_encode(at, object->keyspace, expire_ms, object->id, object->name)
               : kv_field_expiry_encode(at, object->keyspace, expire_ms, object->id, object->name);
    return slice_of(at, size);
}

/* The index and its counter, from the old expiry to the new one; 0: none. */
static void
expiry_change(struct kv_request *request, const struct kv_object *object, uint8_t kind,
              uint64_t old_ms, uint64_t new_ms)
{
    uint16_t slot = kv_id_slot(object->id);
    uint8_t small[KV_STORED_BYTES_SMALL];

    if (old_ms == new_ms) {
        return;
    }
    if (old_ms != 0) {
        txn_delete(request->txn, slot, expiry_key(small, request->arena, kind, object, old_ms));
    }
    if (new_ms != 0) {
        txn_put(request->txn, slot, expiry_key(small, request->arena, kind, object, new_ms),
                slice_of(NULL, 0), 0);
        request->expire_min_ms = MIN(request->expire_min_ms, new_ms);
    }
    if ((old_ms == 0) != (new_ms == 0)) {
        txn_counter_add(request->txn, slot,
                        kind == KV_KIND_EXPIRY ? kv_counter_expires(object->keyspace)
                                               : kv_counter_fields(object->keyspace),
                        old_ms == 0 ? 1 : -1);
    }
}

void
kv_field_expiry_delete(struct kv_request *request, const struct kv_object *object,
                       uint64_t expire_ms)
{
    uint8_t small[KV_STORED_BYTES_SMALL];

    txn_delete(request->txn, kv_id_slot(object->id),
               expiry_key(small, request->arena, KV_KIND_FIELD_EXPIRY, object, expire_ms));
}

/* When the first field expires; 0: none does. */
static uint64_t
fields_expire_ms(const struct kv_head *head)
{
    return (head->flags & KV_HEAD_FIELDS_EXPIRE) != 0 ? head->field_expire_ms : 0;
}

static uint64_t
stored_expire_ms(const struct kv_object *object)
{
    return object->is_stored ? kv_head_expire_ms(&object->head) : 0;
}

static void
head_put(struct kv_request *request, const struct kv_object *object, const struct kv_head *head,
         struct slice body)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct slice key = object_key(small, request, KV_KIND_HEAD, object);
    uint8_t value_small[512];
    uint8_t *value = value_small;
    size_t size;

    if (KV_HEAD_BYTES_MAX + body.size > sizeof(value_small)) {
        value = arena_alloc(request->arena, KV_HEAD_BYTES_MAX + body.size);
    }
    size = kv_head_encode(value, head);
    if (body.size > 0) {
        memcpy(value + size, body.data, body.size);
    }
    txn_put(request->txn, kv_id_slot(object->id), key, slice_of(value, size + body.size), 0);
}

/* What the object keeps outside its head goes, but for what the new head (NULL: none) keeps. */
static void
parts_remove(struct kv_request *request, const struct kv_object *object, const struct kv_head *head)
{
    uint8_t old = object->is_stored ? object->head.flags : 0;
    uint8_t small[KV_STORED_BYTES_SMALL];

    if ((old & KV_HEAD_PAYLOAD) != 0 && (head == NULL || (head->flags & KV_HEAD_PAYLOAD) == 0)) {
        txn_delete(request->txn, kv_id_slot(object->id),
                   object_key(small, request, KV_KIND_PAYLOAD, object));
    }
    if ((old & KV_HEAD_SPREAD) != 0 && (head == NULL || (head->flags & KV_HEAD_SPREAD) == 0 ||
                                        head->collection != object->head.collection)) {
        kv_elements_remove(request, object);
    }
}

/* What counts for maxmemory, from the old head to the new one (NULL: none). */
static void
bytes_change(struct kv_request *request, const struct kv_object *object, const struct kv_head *head)
{
    int64_t old = object->is_stored ? kv_counted_bytes(object->name.size, &object->head) : 0;
    int64_t new = head != NULL ? kv_counted_bytes(object->name.size, head) : 0;

    if (old != new) {
        txn_counter_add(request->txn, kv_id_slot(object->id), kv_counter_bytes(object->keyspace),
                        new - old);
    }
}

/* The head in place of what there was; the object is what was put. */
static void
object_put(struct kv_request *request, struct kv_object *object, const struct kv_head *head,
           struct slice body)
{
    struct kv_head now = *head;

    now.body = body;
    parts_remove(request, object, head);
    head_put(request, object, head, body);
    expiry_change(request, object, KV_KIND_EXPIRY, stored_expire_ms(object),
                  kv_head_expire_ms(head));
    expiry_change(request, object, KV_KIND_FIELD_EXPIRY,
                  object->is_stored ? fields_expire_ms(&object->head) : 0, fields_expire_ms(head));
    bytes_change(request, object, &now);
    if (!object->is_stored) {
        txn_counter_add(request->txn, kv_id_slot(object->id), kv_counter_keys(object->keyspace), 1);
        kv_notify_db(request, object->db, KV_EVENT_NEW, "new", object->name);
    }
    object->is_stored = true;
    object->head = now;
}

void
kv_put(struct kv_request *request, struct kv_object *object, const struct kv_head *head,
       struct slice bytes)
{
    struct kv_head stored = *head;
    uint8_t small[KV_STORED_BYTES_SMALL];

    ASSERT(head->type == KV_STRING);
    stored.flags &= (uint8_t) ~(KV_HEAD_PAYLOAD | KV_HEAD_SPREAD | KV_HEAD_FIELDS_EXPIRE);
    stored.length = bytes.size;
    if (bytes.size > KV_PAYLOAD_ABOVE_BYTES) {
        uint8_t *length = arena_alloc(request->arena, 8);

        stored.flags |= KV_HEAD_PAYLOAD;
        put_le64(length, bytes.size);
        txn_put(request->txn, kv_id_slot(object->id),
                object_key(small, request, KV_KIND_PAYLOAD, object), bytes, 0);
        bytes = slice_of(length, 8);
    }
    object_put(request, object, &stored, bytes);
}

void
kv_put_collection(struct kv_request *request, struct kv_object *object, const struct kv_head *head)
{
    struct kv_head stored = *head;

    ASSERT(head->type != KV_STRING);
    if (head->count == 0 && head->type != KV_STREAM) { /* A stream may be empty. */
        kv_remove(request, object);
        return;
    }
    stored.flags &= (uint8_t)~KV_HEAD_PAYLOAD;
    if (head->type != KV_HASH) {
        stored.flags &= (uint8_t)~KV_HEAD_FIELDS_EXPIRE;
    }
    object_put(request, object, &stored, stored.body);
}

void
kv_put_head(struct kv_request *request, struct kv_object *object, const struct kv_head *head)
{
    ASSERT(object->is_stored);
    ASSERT(((head->flags ^ object->head.flags) & (KV_HEAD_PAYLOAD | KV_HEAD_SPREAD)) == 0);
    object_put(request, object, head, object->head.body);
}

void
kv_remove_head(struct kv_request *request, struct kv_object *object)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    uint16_t slot = kv_id_slot(object->id);

    if (!object->is_stored) {
        return;
    }
    txn_delete(request->txn, slot, object_key(small, request, KV_KIND_HEAD, object));
    expiry_change(request, object, KV_KIND_EXPIRY, stored_expire_ms(object), 0);
    expiry_change(request, object, KV_KIND_FIELD_EXPIRY, fields_expire_ms(&object->head), 0);
    bytes_change(request, object, NULL);
    txn_counter_add(request->txn, slot, kv_counter_keys(object->keyspace), -1);
    object->is_stored = false;
}

void
kv_remove(struct kv_request *request, struct kv_object *object)
{
    parts_remove(request, object, NULL);
    kv_remove_head(request, object);
}

void
kv_write_string(struct kv_request *request, struct kv_object *object, struct slice bytes,
                uint64_t expire_ms)
{
    struct kv_head head = {.type = KV_STRING};

    kv_head_expire_set(&head, expire_ms);
    kv_put(request, object, &head, bytes);
}

/* ---- Lookups ---- */

static void
object_init(struct kv *kv, struct kv_request *request, uint32_t db, struct slice name,
            struct kv_object *object)
{
    ASSERT(db < KV_DATABASES_MAX);
    ASSERT(name.size <= KV_NAME_BYTES_MAX); /* kv_execute has refused longer ones. */
    *object = (struct kv_object){
        .name = name,
        .db = db,
        .keyspace = (request->keyspaces != NULL ? request->keyspaces : kv->keyspaces)[db],
    };
    if (name.size > 0 && name.data == request->first_name.data &&
        name.size == request->first_name.size) {
        object->id = request->first_id;
    } else {
        object->id = kv_key_id(name);
    }
}

/* The key is gone for the command. One that may write removes it in its own transaction; after
 * others it is removed by a commit of its own, if they belong to the present. */
static void
object_expire(struct kv_request *request, struct kv_object *object)
{
    struct kv_expired *expired;

    object->is_found = false;
    if ((request->command->flags & CMD_WRITE) != 0) {
        kv_remove(request, object);
        kv_notify_db(request, object->db, KV_EVENT_EXPIRED, "expired", object->name);
        request->expired_removed++;
        return;
    }
    if (request->is_past || request->expired_count == KV_EXPIRED_MAX) {
        return;
    }
    expired = arena_alloc(request->arena, sizeof(*expired));
    expired->keyspace = object->keyspace;
    expired->id = object->id;
    expired->name = object->name;
    expired->next = request->expired;
    request->expired = expired;
    request->expired_count++;
}

/* The value was read just now (is_fresh), or together with others: then an expired one is read
 * again, since the same key may have been removed a moment ago. */
static YIELDS bool
object_load(struct kv *kv, struct kv_request *request, const struct lsm_value *value,
            uint32_t flags, bool is_fresh, struct kv_object *object)
{
    request->lsn = MAX(request->lsn, value->lsn);
    if (value->is_found) {
        err_t err = kv_head_decode(value->value, &object->head);

        if (err != ERR_OK) {
            kv_fail(request, err);
            return false;
        }
        object->is_stored = true;
        object->is_found = true;
        object->ts = value->ts;
        if (__builtin_expect(kv_head_has_expired(&object->head, request->now_ms), 0)) {
            if (!is_fresh) {
                return kv_lookup_db(request, object->db, object->name, flags, object);
            }
            object_expire(request, object);
        }
    }
    if ((flags & KV_LOOKUP_COUNT) != 0) {
        if (object->is_found) {
            kv->stats.hits++;
        } else {
            kv->stats.misses++;
            kv_notify_db(request, object->db, KV_EVENT_KEY_MISS, "keymiss", object->name);
        }
    }
    if ((flags & KV_LOOKUP_TOUCH) != 0 && object->is_found && !request->no_touch) {
        kv_access_note(kv, object, request->now_ms);
    }
    return true;
}

bool
kv_lookup_db(struct kv_request *request, uint32_t db, struct slice name, uint32_t flags,
             struct kv_object *object_out)
{
    struct kv *kv = kv_self();
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct lsm_value value;
    struct slice key;
    err_t err;

    object_init(kv, request, db, name, object_out);
    key = kv_stored_key(small, request->arena, KV_KIND_HEAD, object_out->keyspace, object_out->id,
                        name);
    err = txn_get(request->txn, kv_id_slot(object_out->id), key, request->arena, &value);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return false;
    }
    return object_load(kv, request, &value, flags, true, object_out);
}

bool
kv_lookup(struct kv_request *request, struct slice name, uint32_t flags,
          struct kv_object *object_out)
{
    return kv_lookup_db(request, request->db, name, flags, object_out);
}

static YIELDS bool
lookup_chunk(struct kv_request *request, struct kv_object *objects, uint32_t count, uint32_t flags)
{
    struct kv *kv = kv_self();
    struct txn_key keys[LOOKUP_CHUNK];
    struct lsm_value *values = arena_alloc(request->arena, count * sizeof(*values));
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = arena_alloc(request->arena, KV_KEY_PREFIX_BYTES + objects[i].name.size);

        keys[i].slot = kv_id_slot(objects[i].id);
        keys[i].key = slice_of(at, kv_key_encode(at, KV_KIND_HEAD, objects[i].keyspace,
                                                 objects[i].id, objects[i].name));
    }
    err = txn_multi_get(request->txn, keys, count, request->arena, values);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!object_load(kv, request, &values[i], flags, false, &objects[i])) {
            return false;
        }
    }
    return true;
}

struct kv_object *
kv_lookup_many(struct kv_request *request, uint32_t first, uint32_t step, uint32_t count,
               uint32_t flags)
{
    struct kv *kv = kv_self();
    struct kv_object *objects = arena_alloc(request->arena, count * sizeof(*objects));

    if (objects != NULL && count == 1) {
        /* The quick way; longer ones hold their snapshot. */
        return kv_lookup(request, request->argv[first], flags, objects) ? objects : NULL;
    }
    if (objects == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %u keys", count);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        object_init(kv, request, request->db, request->argv[first + i * step], &objects[i]);
    }
    for (uint32_t done = 0; done < count; done += LOOKUP_CHUNK) {
        uint32_t chunk = MIN(count - done, (uint32_t)LOOKUP_CHUNK);

        if (!lookup_chunk(request, objects + done, chunk, flags)) {
            return NULL;
        }
        kv_work(request, chunk * WORK_UNITS_PER_KEY);
    }
    return objects;
}

/* ---- Repeated keys ---- */

static bool
is_same_key(const struct kv_object *a, const struct kv_object *b)
{
    return a->id == b->id && slice_equal(a->name, b->name);
}

/* Indices in the order of (id, index). */
static YIELDS void
order_sort(struct kv_request *request, uint32_t *order, const struct kv_object *objects,
           uint32_t count)
{
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            uint32_t index = order[i];
            uint64_t id = objects[index].id;
            uint32_t at = i;

            while (at >= gap && (objects[order[at - gap]].id > id ||
                                 (objects[order[at - gap]].id == id && order[at - gap] > index))) {
                order[at] = order[at - gap];
                at -= gap;
            }
            order[at] = index;
        }
        kv_work(request, count / 8);
    }
}

/* Within order[first..end), whose objects have one id. */
static void
group_mark(bool *is_repeat, const struct kv_object *objects, const uint32_t *order, uint32_t first,
           uint32_t end, bool is_last_kept)
{
    for (uint32_t i = first; i < end; i++) {
        for (uint32_t j = i + 1; j < end; j++) {
            if (is_same_key(&objects[order[i]], &objects[order[j]])) {
                is_repeat[is_last_kept ? order[i] : order[j]] = true;
                if (is_last_kept) {
                    break;
                }
            }
        }
    }
}

bool *
kv_find_repeats(struct kv_request *request, const struct kv_object *objects, uint32_t count,
                bool is_last_kept)
{
    bool *is_repeat = arena_alloc(request->arena, count * sizeof(*is_repeat));
    uint32_t *order = arena_alloc(request->arena, count * sizeof(*order));

    if (is_repeat == NULL || order == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %u keys", count);
        return NULL;
    }
    memset(is_repeat, 0, count * sizeof(*is_repeat));
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    if (count <= REPEATS_QUADRATIC_MAX) {
        group_mark(is_repeat, objects, order, 0, count, is_last_kept);
        return is_repeat;
    }
    order_sort(request, order, objects, count);
    for (uint32_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && objects[order[end]].id == objects[order[first]].id;) {
            end++;
        }
        group_mark(is_repeat, objects, order, first, end, is_last_kept);
    }
    return is_repeat;
}

/* ---- Strings ---- */

bool
kv_is_type(struct kv_request *request, const struct kv_object *object, enum kv_type type)
{
    if (object->is_found && object->head.type != type) {
        reply_error(request->reply,
                    "WRONGTYPE Operation against a key holding the wrong kind of value");
        return false;
    }
    return true;
}

bool
kv_is_string(struct kv_request *request, const struct kv_object *object)
{
    return kv_is_type(request, object, KV_STRING);
}

static YIELDS err_t
payload_get(struct kv_request *request, const struct kv_object *object, struct slice *bytes_out)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct slice key = object_key(small, request, KV_KIND_PAYLOAD, object);
    struct lsm_value value;
    err_t err;

    /* The value in the arena, and a copy in the reply. */
    if (kv_memory_lacks(request, 2 * object->head.length)) {
        return err_set(ERR_NO_MEMORY,
                       "a string of %llu bytes does not fit the memory budget now; raise --memory",
                       (unsigned long long)object->head.length);
    }
    err = txn_get(request->txn, kv_id_slot(object->id), key, request->arena, &value);
    if (err != ERR_OK) {
        return err;
    }
    request->lsn = MAX(request->lsn, value.lsn);
    if (!value.is_found || value.value.size != object->head.length) {
        return err_set(ERR_CORRUPT, "the payload of a string of %llu bytes is %s",
                       (unsigned long long)object->head.length,
                       value.is_found ? "of another length" : "missing");
    }
    *bytes_out = value.value;
    return ERR_OK;
}

err_t
kv_string_get(struct kv_request *request, const struct kv_object *object, struct slice *bytes_out)
{
    if (!object->is_found) {
        *bytes_out = slice_of(NULL, 0);
        return ERR_OK;
    }
    if ((object->head.flags & KV_HEAD_PAYLOAD) == 0) {
        *bytes_out = object->head.body;
        return ERR_OK;
    }
    return payload_get(request, object, bytes_out);
}

bool
kv_string_bytes(struct kv_request *request, const struct kv_object *object, struct slice *bytes_out)
{
    err_t err = kv_string_get(request, object, bytes_out);

    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

bool
kv_lookup_string(struct kv_request *request, struct slice name, uint32_t flags,
                 struct kv_object *object_out, struct slice *bytes_out)
{
    return kv_lookup(request, name, flags, object_out) && kv_is_string(request, object_out) &&
           kv_string_bytes(request, object_out, bytes_out);
}

/* ---- Expiry from outside of commands ---- */

/* In the request's transaction. */
static YIELDS err_t
expire_key_try(struct kv_request *request, struct kv_object *object, uint64_t index_ms,
               bool *is_removed_out)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct lsm_value value;
    err_t err;

    *is_removed_out = false;
    if (index_ms == 0) { /* In passing: a reader does not wait for writers. */
        TRY(txn_lock(request->txn, kv_id_slot(object->id),
                     object_key(small, request, KV_KIND_HEAD, object), LOCK_UPDATE, LOCK_NOWAIT));
        txn_refresh(request->txn);
    }
    TRY(txn_get(request->txn, kv_id_slot(object->id),
                object_key(small, request, KV_KIND_HEAD, object), request->arena, &value));
    if (value.is_found) {
        TRY(kv_head_decode(value.value, &object->head));
    }
    if (value.is_found && kv_head_has_expired(&object->head, request->now_ms)) {
        object->is_stored = true;
        kv_remove(request, object);
        *is_removed_out = true;
    } else if (index_ms != 0 && (!value.is_found || kv_head_expire_ms(&object->head) != index_ms)) {
        /* The key has changed since the entry was read, and the entry went with that; should it
         * be there all the same, it may not stay: a round would meet it for ever. */
        txn_delete(request->txn, kv_id_slot(object->id),
                   expiry_key(small, request->arena, KV_KIND_EXPIRY, object, index_ms));
    }
    err = ERR_OK;
out:
    return err;
}

err_t
kv_expire_key(struct kv *kv, uint32_t keyspace, uint64_t id, struct slice name, uint64_t now_ms,
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
    for (uint32_t attempt = 0; attempt < KV_ATTEMPTS_MAX; attempt++) {
        struct kv_object object = {.name = name, .keyspace = keyspace, .id = id};
        struct txn_done done;
        bool is_removed;

        request.txn = txn_begin_auto(false, NULL);
        err = expire_key_try(&request, &object, index_ms, &is_removed);
        if (err == ERR_OK) {
            err = txn_commit(&request.txn, &done);
        } else {
            txn_abort(&request.txn);
        }
        if (!kv_may_repeat(err)) {
            if (err == ERR_OK && is_removed) {
                kv->stats.expired++;
                kv_event_publish(kv, keyspace, KV_EVENT_EXPIRED, "expired", name, done.lsn);
            }
            break;
        }
        kv_back_off(attempt);
    }
    kv_latch_unlock(kv, &latch, held);
    arena_fini(&arena);
    return err;
}
