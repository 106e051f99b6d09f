/* models/kv/changed.c - see changed.h. */
#include "models/kv/changed.h"

#include "engine/base/assert.h"
#include "models/kv/internal.h"
#include "txn/record.h"

#include "engine/base/poison.h"

enum { KEYSPACE_PREFIX_BYTES = 5 }; /* Model tag and keyspace: what is before the kind. */

static void
change_tell(struct kv *kv, const struct kv_change *change)
{
    LIST_FOR_EACH(node, &kv->change_listeners) {
        struct kv_change_listener *listener = LIST_ENTRY(node, struct kv_change_listener, link);

        listener->fn(listener->arg, change);
    }
}

static void
head_tell(struct kv *kv, const struct record_op *op)
{
    struct kv_change change = {.kind = KV_CHANGE_KEY, .is_removed = op->kind == RECORD_DELETE};
    struct kv_key_parts parts;

    if (op->key.size <= KEYSPACE_PREFIX_BYTES || op->key.data[0] != KV_MODEL_TAG ||
        op->key.data[KEYSPACE_PREFIX_BYTES] != KV_KIND_HEAD ||
        kv_key_decode(op->key, &parts) != ERR_OK) {
        return;
    }
    change.keyspace = parts.keyspace;
    change.id = parts.id;
    change.name = parts.name;
    if (!change.is_removed) {
        ASSERT(op->value.size > 0);
        change.type = op->value.data[0];
    }
    change_tell(kv, &change);
}

/* Of one collection's elements, or of whole keyspaces. */
static void
range_tell(struct kv *kv, const struct record_op *op)
{
    struct kv_change change = {.kind = KV_CHANGE_KEYSPACE};

    if (op->key.size > KEYSPACE_PREFIX_BYTES &&
        op->key.data[KEYSPACE_PREFIX_BYTES] == KV_KIND_ELEMENT) {
        return;
    }
    if (op->key.size != KEYSPACE_PREFIX_BYTES || op->key.data[0] != KV_MODEL_TAG) {
        change.kind = KV_CHANGE_ANY;
    } else {
        change.keyspace = get_be32(op->key.data + 1);
    }
    change_tell(kv, &change);
}

static void
write_hear(void *arg, const struct record_op *op)
{
    struct kv *kv = arg;

    if (op == NULL) {
        change_tell(kv, &(struct kv_change){.kind = KV_CHANGE_DONE});
        return;
    }
    switch (op->kind) {
    case RECORD_PUT:
    case RECORD_DELETE:
        head_tell(kv, op);
        break;
    case RECORD_DELETE_RANGE:
        range_tell(kv, op);
        break;
    case RECORD_INGEST:
        change_tell(kv, &(struct kv_change){.kind = KV_CHANGE_ANY});
        break;
    case RECORD_PUT_LARGE: /* Heads are small. */
    case RECORD_COUNTER_ADD:
    case RECORD_SECTION:
        break;
    }
}

void
kv_change_listener_init(struct kv_change_listener *listener, kv_change_fn fn, void *arg)
{
    list_init(&listener->link);
    listener->fn = fn;
    listener->arg = arg;
}

void
kv_changes_listen(struct kv *kv, struct kv_change_listener *listener)
{
    if (list_is_empty(&listener->link)) {
        list_push_back(&kv->change_listeners, &listener->link);
        store_on_write(kv->store, write_hear, kv);
    }
}

void
kv_changes_leave(struct kv *kv, struct kv_change_listener *listener)
{
    list_remove(&listener->link);
    if (list_is_empty(&kv->change_listeners)) {
        store_on_write(kv->store, NULL, NULL);
    }
}

void
kv_changes_note_mapping(struct kv *kv)
{
    change_tell(kv, &(struct kv_change){.kind = KV_CHANGE_MAPPING});
    change_tell(kv, &(struct kv_change){.kind = KV_CHANGE_DONE});
}
