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

/* ---- Batches ---- */

struct kv_batch *
kv_batch_take(struct kv *kv)
{
    struct kv_batch *batch;

    if (kv->batch_count > 0) {
        batch = kv->batches[--kv->batch_count];
    } else {
        batch = MEM_NEW(MEM_RUNTIME, struct kv_batch);
        store_batch_init(&batch->store);
    }
    batch->expire_min_ms = UINT64_MAX;
    batch->count_of_counts = 0;
    return batch;
}

void
kv_batch_give(struct kv *kv, struct kv_batch *batch)
{
    if (kv->batch_count < KV_BATCHES_KEPT && batch->store.record.capacity <= KV_BATCH_BYTES_KEPT) {
        store_batch_clear(&batch->store);
        kv->batches[kv->batch_count++] = batch;
        return;
    }
    store_batch_fini(&batch->store);
    MEM_FREE(MEM_RUNTIME, batch);
}

/* Where the batch counts the keys of a keyspace. */
static struct kv_batch_counts *
batch_counts(struct kv_batch *batch, uint32_t keyspace)
{
    for (uint32_t i = 0; i < batch->count_of_counts; i++) {
        if (batch->counts[i].keyspace == keyspace) {
            return &batch->counts[i];
        }
    }
    ASSERT(batch->count_of_counts < KV_BATCH_KEYSPACES);
    batch->counts[batch->count_of_counts] = (struct kv_batch_counts){.keyspace = keyspace};
    return &batch->counts[batch->count_of_counts++];
}

static void
batch_counts_write(struct kv_batch *batch)
{
    for (uint32_t i = 0; i < batch->count_of_counts; i++) {
        const struct kv_batch_counts *counts = &batch->counts[i];

        if (counts->keys != 0) {
            store_batch_counter_add(&batch->store, kv_counter_keys(counts->keyspace), counts->keys);
        }
        if (counts->expires != 0) {
            store_batch_counter_add(&batch->store, kv_counter_expires(counts->keyspace),
                                    counts->expires);
        }
    }
}

err_t
kv_batch_commit(struct kv *kv, struct kv_batch *batch, lsn_t *lsn_io)
{
    lsn_t lsn = 0;
    err_t err;

    batch_counts_write(batch);
    err = store_commit(kv->store, &batch->store, NULL, &lsn);
    if (err == ERR_OK) {
        /* Here and not in kv_put: until now a round of active expiry could have passed by. */
        kv->expire_from_ms = MIN(kv->expire_from_ms, batch->expire_min_ms);
        *lsn_io = MAX(*lsn_io, lsn);
    }
    kv_batch_give(kv, batch);
    return err;
}

bool
kv_commit(struct kv_request *request, struct kv_batch *batch)
{
    err_t err = kv_batch_commit(kv_self(), batch, &request->lsn);

    if (err != ERR_OK) {
        reply_err(request->reply, err);
        return false;
    }
    return true;
}

/* ---- Changes ---- */

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
expiry_key(uint8_t small[KV_STORED_BYTES_SMALL], struct arena *arena,
           const struct kv_object *object, uint64_t expire_ms)
{
    uint8_t *at = small;

    if (KV_EXPIRY_PREFIX_BYTES + object->name.size > KV_STORED_BYTES_SMALL) {
        at = arena_alloc(arena, KV_EXPIRY_PREFIX_BYTES + object->name.size);
    }
    return slice_of(at,
                    kv_expiry_encode(at, object->keyspace, expire_ms, object->id, object->name));
}

/* The index and its counter, from the old expiry to the new one; 0: none. */
static void
expiry_change(struct kv_batch *batch, const struct kv_object *object, uint64_t old_ms,
              uint64_t new_ms, struct arena *arena)
{
    uint16_t slot = kv_id_slot(object->id);
    uint8_t small[KV_STORED_BYTES_SMALL];

    if (old_ms == new_ms) {
        return;
    }
    if (old_ms != 0) {
        store_batch_delete(&batch->store, slot, expiry_key(small, arena, object, old_ms));
    }
    if (new_ms != 0) {
        store_batch_put(&batch->store, slot, expiry_key(small, arena, object, new_ms),
                        slice_of(NULL, 0), 0);
        batch->expire_min_ms = MIN(batch->expire_min_ms, new_ms);
    }
    if ((old_ms == 0) != (new_ms == 0)) {
        batch_counts(batch, object->keyspace)->expires += old_ms == 0 ? 1 : -1;
    }
}

static uint64_t
stored_expire_ms(const struct kv_object *object)
{
    return object->is_stored ? kv_head_expire_ms(&object->head) : 0;
}

static bool
has_payload(const struct kv_object *object)
{
    return object->is_stored && (object->head.flags & KV_HEAD_PAYLOAD) != 0;
}

static void
head_put(struct kv_batch *batch, const struct kv_object *object, const struct kv_head *head,
         struct slice body, struct arena *arena)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct slice key =
        kv_stored_key(small, arena, KV_KIND_HEAD, object->keyspace, object->id, object->name);
    uint8_t value_small[512];
    uint8_t *value = value_small;
    size_t size;

    if (KV_HEAD_BYTES_MAX + body.size > sizeof(value_small)) {
        value = arena_alloc(arena, KV_HEAD_BYTES_MAX + body.size);
    }
    size = kv_head_encode(value, head);
    if (body.size > 0) {
        memcpy(value + size, body.data, body.size);
    }
    store_batch_put(&batch->store, kv_id_slot(object->id), key, slice_of(value, size + body.size),
                    0);
}

void
kv_put(struct kv_batch *batch, const struct kv_object *object, const struct kv_head *head,
       struct slice bytes, struct arena *arena)
{
    struct kv_head stored = *head;
    struct slice body = bytes;
    uint8_t length[8];
    uint8_t small[KV_STORED_BYTES_SMALL];
    uint16_t slot = kv_id_slot(object->id);

    stored.flags &= (uint8_t)~KV_HEAD_PAYLOAD;
    if (bytes.size > KV_PAYLOAD_ABOVE_BYTES) {
        stored.flags |= KV_HEAD_PAYLOAD;
        put_le64(length, bytes.size);
        body = slice_of(length, sizeof(length));
        store_batch_put(&batch->store, slot,
                        kv_stored_key(small, arena, KV_KIND_PAYLOAD, object->keyspace, object->id,
                                      object->name),
                        bytes, 0);
    } else if (has_payload(object)) {
        store_batch_delete(&batch->store, slot,
                           kv_stored_key(small, arena, KV_KIND_PAYLOAD, object->keyspace,
                                         object->id, object->name));
    }
    head_put(batch, object, &stored, body, arena);
    expiry_change(batch, object, stored_expire_ms(object), kv_head_expire_ms(&stored), arena);
    if (!object->is_stored) {
        batch_counts(batch, object->keyspace)->keys++;
    }
}

void
kv_put_head(struct kv_batch *batch, const struct kv_object *object, const struct kv_head *head,
            struct arena *arena)
{
    ASSERT(object->is_stored);
    ASSERT((head->flags & KV_HEAD_PAYLOAD) == (object->head.flags & KV_HEAD_PAYLOAD));
    head_put(batch, object, head, object->head.body, arena);
    expiry_change(batch, object, kv_head_expire_ms(&object->head), kv_head_expire_ms(head), arena);
}

void
kv_remove(struct kv_batch *batch, const struct kv_object *object, struct arena *arena)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    uint16_t slot = kv_id_slot(object->id);

    if (!object->is_stored) {
        return;
    }
    store_batch_delete(
        &batch->store, slot,
        kv_stored_key(small, arena, KV_KIND_HEAD, object->keyspace, object->id, object->name));
    if (has_payload(object)) {
        store_batch_delete(&batch->store, slot,
                           kv_stored_key(small, arena, KV_KIND_PAYLOAD, object->keyspace,
                                         object->id, object->name));
    }
    expiry_change(batch, object, stored_expire_ms(object), 0, arena);
    batch_counts(batch, object->keyspace)->keys--;
}

bool
kv_write_string(struct kv_request *request, const struct kv_object *object, struct slice bytes,
                uint64_t expire_ms)
{
    struct kv_batch *batch = kv_batch_take(kv_self());
    struct kv_head head = {.type = KV_STRING};

    kv_head_expire_set(&head, expire_ms);
    kv_put(batch, object, &head, bytes, request->arena);
    return kv_commit(request, batch);
}

bool
kv_delete(struct kv_request *request, const struct kv_object *object)
{
    struct kv_batch *batch = kv_batch_take(kv_self());

    kv_remove(batch, object, request->arena);
    return kv_commit(request, batch);
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
        .keyspace = kv->keyspaces[db],
    };
    if (name.size > 0 && name.data == request->first_name.data &&
        name.size == request->first_name.size) {
        object->id = request->first_id;
    } else {
        object->id = kv_key_id(name);
    }
}

/* The key is gone for the command, whether its removal succeeds or not: without success (no
 * space) it stays stored, and is removed by the next that meets it. */
static YIELDS void
object_expire(struct kv *kv, struct kv_request *request, struct kv_object *object)
{
    struct kv_batch *batch = kv_batch_take(kv);

    kv_remove(batch, object, request->arena);
    if (kv_batch_commit(kv, batch, &request->lsn) == ERR_OK) {
        kv->stats.expired++;
        object->is_stored = false;
    }
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
            reply_err(request->reply, err);
            return false;
        }
        object->is_stored = true;
        object->is_found = true;
        object->write_us = value->ts >> 12;
        if (__builtin_expect(kv_head_has_expired(&object->head, request->now_ms), 0)) {
            if (!is_fresh) {
                return kv_lookup_db(request, object->db, object->name, flags, object);
            }
            object->is_found = false;
            object_expire(kv, request, object);
        }
    }
    if ((flags & KV_LOOKUP_COUNT) != 0) {
        if (object->is_found) {
            kv->stats.hits++;
        } else {
            kv->stats.misses++;
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
    err = store_get(kv->store, key, request->arena, &value);
    if (err != ERR_OK) {
        reply_err(request->reply, err);
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
    struct slice keys[LOOKUP_CHUNK];
    struct lsm_value *values = arena_alloc(request->arena, count * sizeof(*values));
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = arena_alloc(request->arena, KV_KEY_PREFIX_BYTES + objects[i].name.size);

        keys[i] = slice_of(at, kv_key_encode(at, KV_KIND_HEAD, objects[i].keyspace, objects[i].id,
                                             objects[i].name));
    }
    err = store_multi_get(kv->store, keys, count, request->arena, values);
    if (err != ERR_OK) {
        reply_err(request->reply, err);
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
        fiber_work(chunk * WORK_UNITS_PER_KEY);
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
order_sort(uint32_t *order, const struct kv_object *objects, uint32_t count)
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
        fiber_work(count / 8);
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
    order_sort(order, objects, count);
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
kv_is_string(struct kv_request *request, const struct kv_object *object)
{
    if (object->is_found && object->head.type != KV_STRING) {
        reply_error(request->reply,
                    "WRONGTYPE Operation against a key holding the wrong kind of value");
        return false;
    }
    return true;
}

static YIELDS err_t
payload_get(struct kv *kv, struct kv_request *request, const struct kv_object *object,
            struct slice *bytes_out)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct slice key = kv_stored_key(small, request->arena, KV_KIND_PAYLOAD, object->keyspace,
                                     object->id, object->name);
    struct lsm_value value;
    err_t err;

    /* The value in the arena, and a copy in the reply. */
    if (mem_over(mem_account_current(), MEM_SESSIONS, 2 * object->head.length)) {
        return err_set(ERR_NO_MEMORY,
                       "a string of %llu bytes does not fit the memory budget now; raise --memory",
                       (unsigned long long)object->head.length);
    }
    err = store_get(kv->store, key, request->arena, &value);
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

bool
kv_string_bytes(struct kv_request *request, const struct kv_object *object, struct slice *bytes_out)
{
    err_t err;

    if (!object->is_found) {
        *bytes_out = slice_of(NULL, 0);
        return true;
    }
    if ((object->head.flags & KV_HEAD_PAYLOAD) == 0) {
        *bytes_out = object->head.body;
        return true;
    }
    err = payload_get(kv_self(), request, object, bytes_out);
    if (err != ERR_OK) {
        reply_err(request->reply, err);
        return false;
    }
    return true;
}

bool
kv_lookup_string(struct kv_request *request, struct slice name, uint32_t flags,
                 struct kv_object *object_out, struct slice *bytes_out)
{
    return kv_lookup(request, name, flags, object_out) && kv_is_string(request, object_out) &&
           kv_string_bytes(request, object_out, bytes_out);
}

/* ---- Expiry from outside of commands ---- */

err_t
kv_expire_key(struct kv *kv, uint32_t keyspace, uint64_t id, struct slice name, uint64_t now_ms,
              uint64_t index_ms)
{
    struct kv_object object = {.name = name, .keyspace = keyspace, .id = id};
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct lsm_value value;
    struct kv_latch latch;
    struct kv_batch *batch;
    struct arena arena;
    uint32_t held;
    lsn_t lsn = 0;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    kv_latch_lock(kv, &latch, &id, 1, &held);
    TRY(store_get(kv->store, kv_stored_key(small, &arena, KV_KIND_HEAD, keyspace, id, name), &arena,
                  &value));
    if (value.is_found) {
        TRY(kv_head_decode(value.value, &object.head));
    }
    if (value.is_found && kv_head_has_expired(&object.head, now_ms)) {
        object.is_stored = true;
        batch = kv_batch_take(kv);
        kv_remove(batch, &object, &arena);
        TRY(kv_batch_commit(kv, batch, &lsn));
        kv->stats.expired++;
    } else if (index_ms != 0 && (!value.is_found || kv_head_expire_ms(&object.head) != index_ms)) {
        /* The key has changed since the entry was read, and the entry went with that; should it
         * be there all the same, it may not stay: a round would meet it for ever. */
        batch = kv_batch_take(kv);
        store_batch_delete(&batch->store, kv_id_slot(id),
                           expiry_key(small, &arena, &object, index_ms));
        TRY(kv_batch_commit(kv, batch, &lsn));
    }
    err = ERR_OK;
out:
    kv_latch_unlock(kv, &latch, held);
    arena_fini(&arena);
    return err;
}
