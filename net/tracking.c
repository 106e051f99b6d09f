/* net/tracking.c - see the header. */
#include "net/tracking.h"

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/changed.h"
#include "net/config.h"
#include "net/net.h"
#include "net/news.h"
#include "net/pubsub.h"
#include "net/session.h"

#include "engine/base/poison.h"

enum { KEYS_SMALL = 16, IDS_FIRST = 2 };

/* Records between shards: what (1), two numbers (8 each), then bytes. */
enum tell {
    TELL_OWNER,  /* owner, writer; the key. */
    TELL_TARGET, /* who is told instead, owner; a RESP array of keys, or none for all. */
    TELL_BROKEN, /* owner, 0: there is no such session. */
    TELL_PREFIX, /* 0, writer; the key. */
    TELL_COUNT,  /* More or fewer sessions (two's complement), and those in BCAST mode. */
};
enum { TELL_HEAD_BYTES = 17 };

/* Who has read a key. */
struct tracked {
    struct names_node node;
    struct list age_link; /* tracking->by_age */
    uint64_t *ids;
    uint32_t id_count, id_capacity;
    uint32_t size;
    uint8_t name[];
};

struct tracking {
    struct net *net;
    struct kv_change_listener listener;
    struct names keys, owners;
    struct list by_age;   /* Oldest first. */
    struct list sessions; /* session_tracking of this shard. */
    uint64_t items;
    uint64_t clients[SHARDS_MAX], bcasts[SHARDS_MAX];
    uint64_t client_total, bcast_total;
    bool has_gathered; /* Some prefix has keys. */
    bool is_listening;
    bool is_emptied; /* A keyspace was, and nobody was told yet. */
};

static uint32_t
shard_of_session(uint64_t id)
{
    return (uint32_t)((id - 1) % shard_count());
}

static void
tell(struct tracking *tracking, uint32_t shard, enum tell what, uint64_t first, uint64_t second,
     struct slice bytes)
{
    uint8_t head[TELL_HEAD_BYTES];
    const struct slice parts[] = {slice_of(head, sizeof(head)), bytes};

    head[0] = (uint8_t)what;
    put_le64(head + 1, first);
    put_le64(head + 9, second);
    news_send(tracking->net->news, shard, NEWS_INVALIDATION, parts, ARRAY_COUNT(parts));
}

/* ---- Telling sessions ---- */

static struct session_tracking *
owner_find(const struct tracking *tracking, uint64_t id)
{
    for (struct names_node *node =
             names_first(&tracking->owners, names_hash(id, slice_of(NULL, 0)));
         node != NULL; node = names_next(node)) {
        struct session_tracking *owner = CONTAINER_OF(node, struct session_tracking, node);

        if (owner->session->id == id) {
            return owner;
        }
    }
    return NULL;
}

/* keys: a RESP array; empty: all of them. */
static void
push(struct session *session, struct slice keys)
{
    if (session->output.resp == 3) {
        session_push(session, SLICE(">2\r\n$10\r\ninvalidate\r\n"),
                     keys.size > 0 ? keys : SLICE("_\r\n"));
    } else if (pubsub_is_subscriber(session)) {
        session_push(session, SLICE("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"),
                     keys.size > 0 ? keys : SLICE("$-1\r\n"));
    }
}

static void
owner_broken(struct tracking *tracking, uint64_t id)
{
    struct session_tracking *owner = owner_find(tracking, id);
    struct buf text;

    if (owner == NULL) {
        return;
    }
    owner->is_broken = true;
    if (owner->session->output.resp == 3) {
        buf_init(&text, MEM_SESSIONS);
        buf_printf(&text, ">2\r\n$21\r\ntracking-redir-broken\r\n:%llu\r\n",
                   (unsigned long long)owner->redirect);
        session_push(owner->session, slice_of(NULL, 0), buf_slice(&text));
        buf_fini(&text);
    }
}

static void
target_tell(struct tracking *tracking, uint64_t target, uint64_t owner, struct slice keys)
{
    struct session *session = net_session_find(tracking->net, target);
    uint32_t shard = shard_of_session(owner);

    if (session != NULL) {
        push(session, keys);
    } else if (shard == shard_id()) {
        owner_broken(tracking, owner);
    } else {
        tell(tracking, shard, TELL_BROKEN, owner, 0, slice_of(NULL, 0));
    }
}

static void
owner_tell(struct tracking *tracking, const struct session_tracking *owner, struct slice keys)
{
    uint32_t shard = owner->redirect != 0 ? shard_of_session(owner->redirect) : 0;

    if (owner->redirect == 0) {
        if (owner->session->output.resp == 3) {
            push(owner->session, keys);
        }
    } else if (shard == shard_id()) {
        target_tell(tracking, owner->redirect, owner->session->id, keys);
    } else {
        tell(tracking, shard, TELL_TARGET, owner->redirect, owner->session->id, keys);
    }
}

static void
key_append(struct buf *buf, struct slice name)
{
    buf_printf(buf, "$%zu\r\n", name.size);
    buf_append(buf, name.data, name.size);
    buf_append(buf, "\r\n", 2);
}

static void
owner_tell_key(struct tracking *tracking, uint64_t id, uint64_t writer, struct slice name)
{
    const struct session_tracking *owner = owner_find(tracking, id);
    struct buf keys;

    if (owner == NULL || owner->is_bcast || (owner->is_noloop && writer == id)) {
        return;
    }
    buf_init(&keys, MEM_SESSIONS);
    buf_append(&keys, "*1\r\n", 4);
    key_append(&keys, name);
    owner_tell(tracking, owner, buf_slice(&keys));
    buf_fini(&keys);
}

/* ---- Prefixes: the sessions of this shard ---- */

static void
prefixes_note(struct tracking *tracking, uint64_t writer, struct slice name)
{
    LIST_FOR_EACH(node, &tracking->sessions) {
        struct session_tracking *owner = LIST_ENTRY(node, struct session_tracking, link);

        if (!owner->is_bcast || (owner->is_noloop && writer == owner->session->id)) {
            continue;
        }
        LIST_FOR_EACH(at, &owner->prefixes) {
            struct tracking_prefix *prefix = LIST_ENTRY(at, struct tracking_prefix, link);

            if (slice_starts_with(name, slice_of(prefix->bytes, prefix->size))) {
                key_append(&prefix->keys, name);
                prefix->key_count++;
                tracking->has_gathered = true;
            }
        }
    }
}

static void
prefix_tell(struct tracking *tracking, const struct session_tracking *owner,
            struct tracking_prefix *prefix)
{
    struct buf keys;

    if (prefix->key_count == 0) {
        return;
    }
    buf_init(&keys, MEM_SESSIONS);
    buf_printf(&keys, "*%u\r\n", prefix->key_count);
    buf_append(&keys, prefix->keys.data, prefix->keys.size);
    owner_tell(tracking, owner, buf_slice(&keys));
    buf_fini(&keys);
    buf_fini(&prefix->keys);
    prefix->key_count = 0;
}

static void
prefixes_tell(struct tracking *tracking)
{
    tracking->has_gathered = false;
    LIST_FOR_EACH(node, &tracking->sessions) {
        struct session_tracking *owner = LIST_ENTRY(node, struct session_tracking, link);

        LIST_FOR_EACH(at, &owner->prefixes) {
            prefix_tell(tracking, owner, LIST_ENTRY(at, struct tracking_prefix, link));
        }
    }
}

/* ---- The keys of this shard ---- */

static struct tracked *
tracked_find(const struct tracking *tracking, struct slice name)
{
    for (struct names_node *node = names_first(&tracking->keys, names_hash(0, name)); node != NULL;
         node = names_next(node)) {
        struct tracked *key = CONTAINER_OF(node, struct tracked, node);

        if (slice_equal(slice_of(key->name, key->size), name)) {
            return key;
        }
    }
    return NULL;
}

static void
tracked_drop(struct tracking *tracking, struct tracked *key)
{
    names_remove(&tracking->keys, &key->node);
    list_remove(&key->age_link);
    tracking->items -= key->id_count;
    mem_free(MEM_SESSIONS, key->ids, key->id_capacity * sizeof(*key->ids));
    mem_free(MEM_SESSIONS, key, sizeof(*key) + key->size);
}

/* Whoever has read it is told, and it is forgotten. */
static void
tracked_tell(struct tracking *tracking, struct tracked *key, uint64_t writer)
{
    struct slice name = slice_of(key->name, key->size);

    for (uint32_t i = 0; i < key->id_count; i++) {
        uint32_t shard = shard_of_session(key->ids[i]);

        if (shard == shard_id()) {
            owner_tell_key(tracking, key->ids[i], writer, name);
        } else {
            tell(tracking, shard, TELL_OWNER, key->ids[i], writer, name);
        }
    }
    tracked_drop(tracking, key);
}

static void
listen_if_wanted(struct tracking *tracking)
{
    if (!tracking->is_listening) {
        tracking->is_listening = true;
        kv_changes_listen(tracking->net->kv, &tracking->listener);
    }
}

static void
remember(struct tracking *tracking, uint64_t id, struct slice name)
{
    struct tracked *key = tracked_find(tracking, name);

    if (key == NULL) {
        key = mem_zalloc(MEM_SESSIONS, sizeof(*key) + name.size);
        key->size = (uint32_t)name.size;
        memcpy(key->name, name.data, name.size);
        names_add(&tracking->keys, &key->node, names_hash(0, name));
        list_push_back(&tracking->by_age, &key->age_link);
        listen_if_wanted(tracking);
    }
    for (uint32_t i = 0; i < key->id_count; i++) {
        if (key->ids[i] == id) {
            return;
        }
    }
    if (key->id_count == key->id_capacity) {
        uint32_t capacity = MAX(key->id_capacity * 2, (uint32_t)IDS_FIRST);

        key->ids = mem_realloc(MEM_SESSIONS, key->ids, key->id_capacity * sizeof(*key->ids),
                               capacity * sizeof(*key->ids));
        key->id_capacity = capacity;
    }
    key->ids[key->id_count++] = id;
    tracking->items++;
}

/* The oldest keys go when there are more than the shard's share: who reads them is told. */
static void
trim(struct tracking *tracking)
{
    uint64_t max = config_values(tracking->net->config)->tracking_keys_max;
    uint64_t share = max == 0 ? UINT64_MAX : (max + shard_count() - 1) / shard_count();

    while (tracking->keys.count > share || tracking->items > TRACKING_ITEMS_MAX) {
        tracked_tell(tracking, LIST_ENTRY(tracking->by_age.next, struct tracked, age_link), 0);
    }
}

static void
change_hear(void *arg, const struct kv_change *change)
{
    struct tracking *tracking = arg;
    uint64_t writer = store_writer(tracking->net->store);
    struct tracked *key;

    if (change->kind == KV_CHANGE_DONE) {
        return;
    }
    if (change->kind != KV_CHANGE_KEY) {
        tracking->is_emptied = true;
        return;
    }
    key = tracked_find(tracking, change->name);
    if (key != NULL) {
        tracked_tell(tracking, key, writer);
    }
    if (tracking->bcast_total == 0) {
        return;
    }
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (tracking->bcasts[shard] > 0 && shard != shard_id()) {
            tell(tracking, shard, TELL_PREFIX, 0, writer, change->name);
        }
    }
    prefixes_note(tracking, writer, change->name);
}

/* ---- Commands ---- */

/* Is it told of what this command reads? Scripts may read the keys that they are given. */
static bool
is_remembering(const struct session_tracking *own, const struct command *command)
{
    bool is_reading = (command->flags & CMD_READONLY) != 0 ||
                      ((command->categories & CAT_SCRIPTING) != 0 && command->key_spec_count > 0);

    return is_reading && !own->is_bcast && (!own->is_optin || own->caching == CACHING_YES) &&
           (!own->is_optout || own->caching != CACHING_NO);
}

struct remember_call {
    uint64_t id;
    const struct slice *names;
    uint32_t count;
};

static void
remember_here(void *arg)
{
    const struct remember_call *call = arg;
    struct tracking *tracking = net_self()->tracking;

    for (uint32_t i = 0; i < call->count; i++) {
        remember(tracking, call->id, call->names[i]);
    }
    trim(tracking);
}

/* The names of the request's keys, in its arena. */
static const struct slice *
names_of(const struct kv_request *request, uint32_t *count_out)
{
    struct command_key few[KEYS_SMALL];
    struct command_key *keys = few;
    struct slice *names;
    int32_t count =
        command_keys(request->command, request->argv, request->argc, few, ARRAY_COUNT(few));

    *count_out = 0;
    if (count <= 0) {
        return NULL;
    }
    if (count > KEYS_SMALL) {
        keys = arena_alloc(request->arena, (uint32_t)count * sizeof(*keys));
        if (keys == NULL) {
            return NULL;
        }
        command_keys(request->command, request->argv, request->argc, keys, (uint32_t)count);
    }
    names = arena_alloc(request->arena, (uint32_t)count * sizeof(*names));
    for (int32_t i = 0; names != NULL && i < count; i++) {
        names[i] = request->argv[keys[i].index];
    }
    *count_out = names != NULL ? (uint32_t)count : 0;
    return names;
}

void
tracking_note_reads(struct session *session, struct kv_request *request)
{
    struct remember_call call = {.id = session->id};
    const struct slice *names;
    struct slice *here;
    uint32_t count;

    if (!is_remembering(session->tracking, request->command)) {
        return;
    }
    session->tracking->is_clear = false;
    names = names_of(request, &count);
    here = count > 0 ? arena_alloc(request->arena, count * sizeof(*here)) : NULL;
    for (uint32_t shard = 0; here != NULL && shard < shard_count(); shard++) {
        call.names = here;
        call.count = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (kv_shard_of_slot(kv_id_slot(kv_key_id(names[i]))) == shard) {
                here[call.count++] = names[i];
            }
        }
        if (call.count > 0) {
            msg_call(shard, MSG_INLINE, remember_here, &call);
        }
    }
}

void
tracking_note_past(struct session *session, const struct kv_request *request)
{
    const struct slice *names;
    struct buf keys;
    uint32_t count;

    if (!is_remembering(session->tracking, request->command)) {
        return;
    }
    names = names_of(request, &count);
    if (count == 0) {
        return;
    }
    buf_init(&keys, MEM_SESSIONS);
    buf_printf(&keys, "*%u\r\n", count);
    for (uint32_t i = 0; i < count; i++) {
        key_append(&keys, names[i]);
    }
    owner_tell(session->net->tracking, session->tracking, buf_slice(&keys));
    buf_fini(&keys);
}

static void
keys_drop(struct tracking *tracking)
{
    while (!list_is_empty(&tracking->by_age)) {
        tracked_drop(tracking, LIST_ENTRY(tracking->by_age.next, struct tracked, age_link));
    }
}

static void
emptied_here(void *arg)
{
    struct tracking *tracking = net_self()->tracking;

    (void)arg;
    tracking->is_emptied = false;
    keys_drop(tracking);
    LIST_FOR_EACH(node, &tracking->sessions) {
        struct session_tracking *owner = LIST_ENTRY(node, struct session_tracking, link);

        if (!owner->is_clear) {
            owner->is_clear = !owner->is_bcast;
            owner_tell(tracking, owner, slice_of(NULL, 0));
        }
    }
}

static YIELDS void
emptied_tell(void)
{
    uint8_t none[SHARDS_MAX];

    msg_call_all(MSG_INLINE, emptied_here, none, sizeof(none[0]));
}

void
tracking_tell_emptied(struct tracking *tracking)
{
    /* What FLUSHALL did to this shard may be told here after its session has told everybody; then
     * there is nobody left to hear of it. */
    bool is_of_interest = tracking->keys.count > 0 || tracking->bcast_total > 0;

    if (tracking->is_emptied && is_of_interest) {
        emptied_tell();
    }
    tracking->is_emptied = false;
}

void
tracking_after(struct net *net, const struct kv_request *request)
{
    if (request->txn != NULL) {
        return;
    }
    if (kv_is_exclusive(request->command) && request->err == ERR_OK) {
        emptied_tell();
    } else {
        tracking_tell_emptied(net->tracking);
    }
    news_settle(net->news);
}

void
tracking_flush(struct tracking *tracking)
{
    if (__builtin_expect(tracking->client_total == 0, 1)) {
        if (tracking->is_listening) {
            tracking->is_listening = false;
            kv_changes_leave(tracking->net->kv, &tracking->listener);
        }
        keys_drop(tracking);
        tracking->is_emptied = false;
        return;
    }
    if (tracking->has_gathered) {
        prefixes_tell(tracking);
    }
    trim(tracking);
}

/* ---- Sessions ---- */

static void
count_add(struct tracking *tracking, uint32_t shard, uint64_t clients, uint64_t bcasts)
{
    tracking->clients[shard] += clients;
    tracking->client_total += clients;
    tracking->bcasts[shard] += bcasts;
    tracking->bcast_total += bcasts;
    if (tracking->bcast_total > 0) {
        listen_if_wanted(tracking);
    }
}

static void
count_change(struct tracking *tracking, uint64_t clients, uint64_t bcasts)
{
    count_add(tracking, shard_id(), clients, bcasts);
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (shard != shard_id()) {
            tell(tracking, shard, TELL_COUNT, clients, bcasts, slice_of(NULL, 0));
        }
    }
}

void
tracking_begin(struct session *session, const struct session_tracking *wanted)
{
    struct tracking *tracking = session->net->tracking;
    struct session_tracking *own = session->tracking;

    if (own == NULL) {
        own = MEM_NEW(MEM_SESSIONS, struct session_tracking);
        own->session = session;
        list_init(&own->prefixes);
        list_push_back(&tracking->sessions, &own->link);
        names_add(&tracking->owners, &own->node, names_hash(session->id, slice_of(NULL, 0)));
        session->tracking = own;
        count_change(tracking, 1, wanted->is_bcast);
    }
    ASSERT(list_is_empty(&own->prefixes) || wanted->is_bcast);
    own->redirect = wanted->redirect;
    own->is_bcast = wanted->is_bcast;
    own->is_optin = wanted->is_optin;
    own->is_optout = wanted->is_optout;
    own->is_noloop = wanted->is_noloop;
    own->is_broken = false;
}

void
tracking_prefix_add(struct session *session, struct slice prefix)
{
    struct tracking_prefix *added = mem_zalloc(MEM_SESSIONS, sizeof(*added) + prefix.size);

    buf_init(&added->keys, MEM_SESSIONS);
    added->size = prefix.size;
    if (prefix.size > 0) {
        memcpy(added->bytes, prefix.data, prefix.size);
    }
    list_push_back(&session->tracking->prefixes, &added->link);
    session->tracking->prefix_count++;
}

void
tracking_end(struct session *session)
{
    struct tracking *tracking = session->net->tracking;
    struct session_tracking *own = session->tracking;

    if (own == NULL) {
        return;
    }
    LIST_FOR_EACH_SAFE(node, &own->prefixes) {
        struct tracking_prefix *prefix = LIST_ENTRY(node, struct tracking_prefix, link);

        list_remove(&prefix->link);
        buf_fini(&prefix->keys);
        mem_free(MEM_SESSIONS, prefix, sizeof(*prefix) + prefix->size);
    }
    list_remove(&own->link);
    names_remove(&tracking->owners, &own->node);
    count_change(tracking, UINT64_MAX, own->is_bcast ? UINT64_MAX : 0);
    MEM_FREE(MEM_SESSIONS, session->tracking);
}

void
tracking_take(struct net *net, uint32_t from, struct slice body)
{
    struct tracking *tracking = net->tracking;
    uint64_t first = get_le64(body.data + 1);
    uint64_t second = get_le64(body.data + 9);
    struct slice bytes = slice_of(body.data + TELL_HEAD_BYTES, body.size - TELL_HEAD_BYTES);

    switch ((enum tell)body.data[0]) {
    case TELL_OWNER:
        owner_tell_key(tracking, first, second, bytes);
        break;
    case TELL_TARGET:
        target_tell(tracking, first, second, bytes);
        break;
    case TELL_BROKEN:
        owner_broken(tracking, first);
        break;
    case TELL_PREFIX:
        prefixes_note(tracking, second, bytes);
        break;
    case TELL_COUNT:
        count_add(tracking, from, first, second);
        break;
    }
}

uint64_t
tracking_clients(const struct tracking *tracking)
{
    return tracking->client_total;
}

void
tracking_stats_add(const struct tracking *tracking, struct tracking_stats *stats)
{
    stats->keys += tracking->keys.count;
    stats->items += tracking->items;
    LIST_FOR_EACH(node, &tracking->sessions) {
        stats->prefixes += LIST_ENTRY(node, struct session_tracking, link)->prefix_count;
    }
}

/* ---- Life ---- */

struct tracking *
tracking_new(struct net *net)
{
    struct tracking *tracking = MEM_NEW(MEM_RUNTIME, struct tracking);

    tracking->net = net;
    list_init(&tracking->by_age);
    list_init(&tracking->sessions);
    kv_change_listener_init(&tracking->listener, change_hear, tracking);
    return tracking;
}

void
tracking_free(struct tracking **tracking_in)
{
    struct tracking *tracking = *tracking_in;

    if (tracking == NULL) {
        return;
    }
    ASSERT(list_is_empty(&tracking->sessions));
    kv_changes_leave(tracking->net->kv, &tracking->listener);
    keys_drop(tracking);
    names_fini(&tracking->keys);
    names_fini(&tracking->owners);
    MEM_FREE(MEM_RUNTIME, *tracking_in);
}
