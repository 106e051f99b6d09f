/* models/kv/notify.c - keyspace events. */
#include "models/kv/notify.h"

#include "engine/base/assert.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

/* ---- Recording ---- */

void
kv_event_add(struct kv_request *request, const struct kv_event *event)
{
    struct kv_event *added = arena_alloc(request->arena, sizeof(*added));

    *added = *event;
    added->next = NULL;
    if (request->events.first == NULL) {
        request->events.first = added;
    } else {
        request->events.last->next = added;
    }
    request->events.last = added;
}

void
kv_notify_record(struct kv_request *request, uint32_t db, uint32_t event_class, const char *event,
                 struct slice name)
{
    kv_event_add(request, &(struct kv_event){
                              .db = db, .event_class = event_class, .event = event, .name = name});
}

void
kv_events_take(struct kv_request *to, const struct kv_request *from)
{
    for (const struct kv_event *at = from->events.first; at != NULL; at = at->next) {
        struct kv_event copy = *at;

        copy.name = arena_copy(to->arena, at->name);
        copy.payload = arena_copy(to->arena, at->payload);
        kv_event_add(to, &copy);
    }
}

/* ---- Keeping them until a commit ---- */

struct txn_events {
    struct txn_hook hook;
    struct arena arena;
    struct kv_events events;
    size_t bytes;
};

/* The end of the transaction. */
static YIELDS void
txn_events_end(struct txn_hook *hook, const struct txn_done *done)
{
    struct txn_events *kept = CONTAINER_OF(hook, struct txn_events, hook);

    if (done != NULL) {
        struct kv_request committed = {.lsn = done->lsn, .events = kept->events};

        kv_events_publish(kv_self(), &committed);
    }
    arena_fini(&kept->arena);
    MEM_FREE(MEM_SESSIONS, kept);
}

static struct txn_events *
txn_events_find(const struct txn *txn)
{
    struct txn_hook *hook = txn_hook_find(txn, txn_events_end);

    return hook == NULL ? NULL : CONTAINER_OF(hook, struct txn_events, hook);
}

err_t
kv_events_keep(struct txn *txn, const struct kv_request *request)
{
    struct txn_events *kept = txn_events_find(txn);
    struct kv_request taken;

    if (request->events.first == NULL) {
        return ERR_OK;
    }
    if (kept == NULL) {
        kept = MEM_NEW(MEM_SESSIONS, struct txn_events);
        kept->hook.run = txn_events_end;
        arena_init(&kept->arena, MEM_SESSIONS);
        txn_hook_add(txn, &kept->hook);
    }
    for (const struct kv_event *at = request->events.first; at != NULL; at = at->next) {
        kept->bytes += sizeof(*at) + at->name.size + at->payload.size;
    }
    if (kept->bytes > KV_TXN_EVENT_BYTES_MAX) {
        return err_set(ERR_LIMIT, "a transaction publishes at most %d bytes",
                       KV_TXN_EVENT_BYTES_MAX);
    }
    taken = (struct kv_request){.arena = &kept->arena, .events = kept->events};
    kv_events_take(&taken, request);
    kept->events = taken.events;
    return ERR_OK;
}

struct kv_event *
kv_events_kept(struct txn *txn)
{
    struct txn_events *kept = txn_events_find(txn);

    return kept == NULL ? NULL : kept->events.last;
}

void
kv_events_cut(struct txn *txn, struct kv_event *last)
{
    struct txn_events *kept = txn_events_find(txn);

    if (kept == NULL) {
        return;
    }
    if (last == NULL) {
        kept->events = (struct kv_events){0};
    } else {
        last->next = NULL;
        kept->events.last = last;
    }
}

/* ---- Publishing ---- */

void
kv_events_publish(struct kv *kv, struct kv_request *request)
{
    if (request->events.first != NULL && kv->config.publish != NULL) {
        kv->config.publish(request->events.first, request->lsn);
    }
    request->events = (struct kv_events){0};
}

void
kv_event_publish(struct kv *kv, uint32_t keyspace, uint32_t event_class, const char *event,
                 struct slice name, lsn_t lsn)
{
    struct kv_event one = {.event_class = event_class, .event = event, .name = name};

    if ((kv->config.event_classes & event_class) == 0 || kv->config.publish == NULL) {
        return;
    }
    for (uint32_t db = 0; db < kv->config.databases; db++) {
        if (kv->keyspaces[db] == keyspace) {
            one.db = db;
            kv->config.publish(&one, lsn);
            return;
        }
    }
}

/* ---- The parameter ---- */

static const struct {
    char letter;
    uint32_t event_class;
} letters[] = {
    {'g', KV_EVENT_GENERIC},  {'$', KV_EVENT_STRING},   {'l', KV_EVENT_LIST},
    {'s', KV_EVENT_SET},      {'h', KV_EVENT_HASH},     {'z', KV_EVENT_ZSET},
    {'x', KV_EVENT_EXPIRED},  {'e', KV_EVENT_EVICTED},  {'t', KV_EVENT_STREAM},
    {'d', KV_EVENT_MODULE},   {'n', KV_EVENT_NEW},      {'K', KV_EVENT_KEYSPACE},
    {'E', KV_EVENT_KEYEVENT}, {'m', KV_EVENT_KEY_MISS},
};

static uint32_t
class_of(uint8_t letter)
{
    for (size_t i = 0; i < ARRAY_COUNT(letters); i++) {
        if (letters[i].letter == (char)letter) {
            return letters[i].event_class;
        }
    }
    return letter == 'A' ? KV_EVENT_ALL : 0;
}

bool
kv_event_flags_parse(struct slice text, uint32_t *classes_out)
{
    uint32_t classes = 0;

    for (size_t i = 0; i < text.size; i++) {
        uint32_t one = class_of(text.data[i]);

        if (one == 0) {
            return false;
        }
        classes |= one;
    }
    *classes_out = classes;
    return true;
}

void
kv_event_flags_text(uint32_t classes, char out[KV_EVENT_FLAGS_TEXT_BYTES])
{
    bool is_all = (classes & KV_EVENT_ALL) == KV_EVENT_ALL;
    size_t size = 0;

    if (is_all) {
        out[size++] = 'A';
    }
    for (size_t i = 0; i < ARRAY_COUNT(letters); i++) {
        if ((classes & letters[i].event_class) != 0 &&
            !(is_all && (letters[i].event_class & KV_EVENT_ALL) != 0)) {
            out[size++] = letters[i].letter;
        }
    }
    out[size] = '\0';
}
