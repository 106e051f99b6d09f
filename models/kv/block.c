/* models/kv/block.c - see block.h.
 *
 *     bucket -> waited key -> waiters, in the order in which they began to wait
 *                               ^
 *     ticket -> registration ---+   one waiter a key of this shard
 *
 * A change of a key begins a round over its waiters. One that takes is woken alone: the round goes
 * on when it has run (kv_block_done) or is gone (kv_block_leave), and begins again when the key has
 * changed meanwhile. So one element wakes one waiter, and none is passed over while the key has
 * something. A round ends by itself: it passes each waiter once a change. */
#include "models/kv/block.h"

#include <math.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/changed.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum { BLOCK_BUCKETS = 4096 };

/* ---- What waits here ---- */

struct waited_key {
    struct list link;      /* In its bucket. */
    struct list change;    /* blocks->changed, or itself. */
    struct list waiters;   /* In the order of registration. */
    struct waiter *served; /* Woken, and not done yet: the round stands here. NULL: no round. */
    bool is_again;         /* It has changed since. */
    bool is_unknown;       /* How is not known: any waiter may be concerned. */
    bool is_removed;       /* As of the last change; and otherwise its type. */
    enum kv_type type;
    uint32_t on_removal; /* Waiters with it. */
    uint32_t db;
    uint64_t id;
    size_t name_bytes;
    uint8_t name[];
};

struct waiter {
    struct list link; /* key->waiters */
    struct waited_key *key;
    struct registration *registration;
};

/* What one command waits for here. */
struct registration {
    struct list link; /* In the bucket of its ticket. */
    uint32_t shard;   /* Of its session. */
    uint64_t ticket;
    bool on_removal, is_shared;
    enum kv_type type;
    bool is_woken; /* And has not answered yet. */
    bool is_again; /* A key of it changed since: woken again when it answers. */
    uint32_t count;
    struct waiter waiters[];
};

/* What goes to another shard, or to this one's session. */
enum note_kind { NOTE_WAKE, NOTE_DONE, NOTE_LEAVE };
struct note {
    struct msg msg;
    struct list link; /* blocks->notes */
    struct kv_blocks *blocks;
    enum note_kind kind;
    uint32_t from;  /* Who sends it. */
    uint32_t shard; /* NOTE_DONE, NOTE_LEAVE: of the session. */
    uint64_t ticket;
};

struct kv_blocks {
    struct kv *kv;
    struct kv_change_listener listener;
    struct list keys[BLOCK_BUCKETS];
    struct list tickets[BLOCK_BUCKETS];
    struct list changed; /* Keys that the commit which is being applied has changed. */
    uint64_t key_count, on_removal_count, waiter_count;
    kv_block_wake_fn on_wake;
    void *on_wake_arg;
    struct list notes;   /* To be sent. */
    uint32_t notes_sent; /* On their way. */
    struct cond notes_cond;
    struct fiber_group fibers;
    bool is_closing;
};

static struct list *
ticket_bucket(struct kv_blocks *blocks, uint32_t shard, uint64_t ticket)
{
    return &blocks->tickets[(ticket * SHARDS_MAX + shard) % BLOCK_BUCKETS];
}

static struct registration *
registration_find(struct kv_blocks *blocks, uint32_t shard, uint64_t ticket)
{
    LIST_FOR_EACH(node, ticket_bucket(blocks, shard, ticket)) {
        struct registration *registration = LIST_ENTRY(node, struct registration, link);

        if (registration->ticket == ticket && registration->shard == shard) {
            return registration;
        }
    }
    return NULL;
}

static bool
key_is(const struct waited_key *key, uint64_t id, struct slice name)
{
    return key->id == id && slice_equal(slice_of(key->name, key->name_bytes), name);
}

static struct waited_key *
key_find(struct kv_blocks *blocks, uint32_t db, uint64_t id, struct slice name)
{
    LIST_FOR_EACH(node, &blocks->keys[id % BLOCK_BUCKETS]) {
        struct waited_key *key = LIST_ENTRY(node, struct waited_key, link);

        if (key->db == db && key_is(key, id, name)) {
            return key;
        }
    }
    return NULL;
}

/* ---- Notes ---- */

static void note_hear(void *arg);

static void
note_heard(struct msg *msg)
{
    struct note *note = CONTAINER_OF(msg, struct note, msg);
    struct kv_blocks *blocks = note->blocks;

    MEM_FREE(MEM_SESSIONS, note);
    blocks->notes_sent--;
    if (blocks->notes_sent == 0) {
        cond_signal(&blocks->notes_cond);
    }
}

/* Bounded by the waiters: one wake each, and what answers it. */
static void
note_post(struct kv_blocks *blocks, uint32_t to, enum note_kind kind, uint32_t shard,
          uint64_t ticket)
{
    struct note *note = MEM_NEW(MEM_SESSIONS, struct note);

    note->msg = (struct msg){
        .to = to, .kind = MSG_INLINE, .fn = note_hear, .arg = note, .done = note_heard};
    note->blocks = blocks;
    note->kind = kind;
    note->from = shard_id();
    note->shard = shard;
    note->ticket = ticket;
    list_push_back(&blocks->notes, &note->link);
    cond_signal(&blocks->notes_cond);
}

static YIELDS void
notes_send(void *arg)
{
    struct kv_blocks *blocks = arg;

    while (!blocks->is_closing || blocks->notes_sent > 0) {
        if (blocks->is_closing || list_is_empty(&blocks->notes)) {
            cond_wait_uncancelable(&blocks->notes_cond);
        } else {
            struct list *node = list_pop_front(&blocks->notes);

            blocks->notes_sent++;
            msg_send(&LIST_ENTRY(node, struct note, link)->msg);
        }
    }
}

/* ---- Rounds ---- */

static void
registration_wake(struct kv_blocks *blocks, struct registration *registration)
{
    if (registration->is_woken) {
        registration->is_again = true;
        return;
    }
    registration->is_woken = true;
    if (registration->shard != shard_id()) {
        note_post(blocks, registration->shard, NOTE_WAKE, registration->shard,
                  registration->ticket);
    } else if (blocks->on_wake != NULL) {
        blocks->on_wake(blocks->on_wake_arg, registration->ticket, shard_id());
    }
}

static bool
is_concerned(const struct waited_key *key, const struct registration *registration)
{
    return key->is_unknown || registration->on_removal ||
           (!key->is_removed && key->type == registration->type);
}

/* From this waiter on (or its place in the list): wakes those that share, and the first that
 * takes. */
static void
round_go_on(struct kv_blocks *blocks, struct waited_key *key, struct list *at)
{
    key->served = NULL;
    for (; at != &key->waiters; at = at->next) {
        struct waiter *waiter = LIST_ENTRY(at, struct waiter, link);
        struct registration *registration = waiter->registration;

        if (!is_concerned(key, registration)) {
            continue;
        }
        registration_wake(blocks, registration);
        if (!registration->is_shared) {
            key->served = waiter;
            return;
        }
    }
}

/* The waiter has run, or goes: `next` stands behind it. */
static void
round_served(struct kv_blocks *blocks, struct waited_key *key, struct list *next)
{
    if (key->is_again) {
        key->is_again = false;
        next = key->waiters.next;
    }
    round_go_on(blocks, key, next);
}

static void
key_changed(struct kv_blocks *blocks, struct waited_key *key, const struct kv_change *change)
{
    key->is_unknown = change->kind == KV_CHANGE_ANY || change->kind == KV_CHANGE_MAPPING;
    key->is_removed = change->is_removed || change->kind == KV_CHANGE_KEYSPACE;
    key->type = change->type;
    if (list_is_empty(&key->change)) {
        list_push_back(&blocks->changed, &key->change);
    }
}

/* All that one commit has changed is known. */
static void
rounds_begin(struct kv_blocks *blocks)
{
    struct list *node;

    while ((node = list_pop_front(&blocks->changed)) != NULL) {
        struct waited_key *key = LIST_ENTRY(node, struct waited_key, change);

        if (key->served != NULL) {
            key->is_again = true;
        } else {
            round_go_on(blocks, key, key->waiters.next);
        }
    }
}

static void
change_hear(void *arg, const struct kv_change *change)
{
    struct kv_blocks *blocks = arg;
    const uint32_t *keyspaces = blocks->kv->keyspaces;

    if (change->kind == KV_CHANGE_DONE) {
        rounds_begin(blocks);
        return;
    }
    if (change->kind == KV_CHANGE_KEY) {
        LIST_FOR_EACH(node, &blocks->keys[change->id % BLOCK_BUCKETS]) {
            struct waited_key *key = LIST_ENTRY(node, struct waited_key, link);

            if (keyspaces[key->db] == change->keyspace && key_is(key, change->id, change->name)) {
                key_changed(blocks, key, change);
            }
        }
        return;
    }
    for (uint32_t i = 0; i < BLOCK_BUCKETS; i++) {
        LIST_FOR_EACH(node, &blocks->keys[i]) {
            struct waited_key *key = LIST_ENTRY(node, struct waited_key, link);

            if (change->kind != KV_CHANGE_KEYSPACE || keyspaces[key->db] == change->keyspace) {
                key_changed(blocks, key, change);
            }
        }
    }
}

static void
registration_done(struct kv_blocks *blocks, struct registration *registration)
{
    if (!registration->is_woken) {
        return;
    }
    registration->is_woken = false;
    if (registration->is_again) {
        registration->is_again = false;
        registration_wake(blocks, registration);
        return;
    }
    for (uint32_t i = 0; i < registration->count; i++) {
        struct waiter *waiter = &registration->waiters[i];

        if (waiter->key->served == waiter) {
            round_served(blocks, waiter->key, waiter->link.next);
        }
    }
}

/* ---- Coming and going ---- */

static size_t
registration_bytes(uint32_t count)
{
    return sizeof(struct registration) + count * sizeof(struct waiter);
}

static struct waited_key *
key_provide(struct kv_blocks *blocks, uint32_t db, struct slice name)
{
    uint64_t id = kv_key_id(name);
    struct waited_key *key = key_find(blocks, db, id, name);

    if (key == NULL) {
        key = mem_zalloc(MEM_SESSIONS, sizeof(*key) + name.size);
        list_init(&key->waiters);
        list_init(&key->change);
        key->db = db;
        key->id = id;
        key->name_bytes = name.size;
        memcpy(key->name, name.data, name.size);
        list_push_back(&blocks->keys[id % BLOCK_BUCKETS], &key->link);
        blocks->key_count++;
    }
    return key;
}

static void
waiter_remove(struct kv_blocks *blocks, struct waiter *waiter)
{
    struct waited_key *key = waiter->key;
    struct list *next = waiter->link.next;

    list_remove(&waiter->link);
    if (waiter->registration->on_removal) {
        key->on_removal--;
        blocks->on_removal_count -= key->on_removal == 0;
    }
    if (key->served == waiter) {
        round_served(blocks, key, CANARY(BLOCK_TURN_LOST) ? &key->waiters : next);
    }
    if (list_is_empty(&key->waiters)) {
        list_remove(&key->link);
        list_remove(&key->change);
        mem_free(MEM_SESSIONS, key, sizeof(*key) + key->name_bytes);
        blocks->key_count--;
    }
}

static void
registration_remove(struct kv_blocks *blocks, struct registration *registration)
{
    list_remove(&registration->link);
    for (uint32_t i = 0; i < registration->count; i++) {
        waiter_remove(blocks, &registration->waiters[i]);
    }
    blocks->waiter_count -= registration->count;
    mem_free(MEM_SESSIONS, registration, registration_bytes(registration->count));
    if (blocks->waiter_count == 0) {
        kv_changes_leave(blocks->kv, &blocks->listener);
    }
}

struct register_call {
    const struct kv_request *request;
    const struct kv_block *block;
    const uint32_t *owners; /* [wait.count]: as the session's shard sees it. */
    err_t err;              /* Out. */
};

/* At a shard of keys. A key that is named twice has two waiters, which does no harm. */
static void
register_here(void *arg)
{
    struct register_call *call = arg;
    const struct kv_block_wait *wait = &call->block->wait;
    const struct slice *names = call->request->argv + wait->first;
    struct kv_blocks *blocks = kv_self()->blocks;
    struct registration *registration;
    uint32_t count = 0;

    for (uint32_t i = 0; i < wait->count; i++) {
        count += call->owners[i] == shard_id();
    }
    if (blocks->waiter_count + count > KV_BLOCK_WAITERS_MAX) {
        call->err = ERR_LIMIT;
        return;
    }
    registration = mem_zalloc(MEM_SESSIONS, registration_bytes(count));
    registration->shard = call->block->shard;
    registration->ticket = call->block->ticket;
    registration->type = wait->type;
    registration->on_removal = wait->on_removal;
    registration->is_shared = wait->is_shared;
    for (uint32_t i = 0; i < wait->count; i++) {
        if (call->owners[i] == shard_id()) {
            struct waiter *waiter = &registration->waiters[registration->count++];

            waiter->registration = registration;
            waiter->key = key_provide(blocks, call->request->db, names[i]);
            list_push_back(&waiter->key->waiters, &waiter->link);
            if (wait->on_removal) {
                blocks->on_removal_count += waiter->key->on_removal == 0;
                waiter->key->on_removal++;
            }
        }
    }
    list_push_back(ticket_bucket(blocks, registration->shard, registration->ticket),
                   &registration->link);
    blocks->waiter_count += count;
    kv_changes_listen(blocks->kv, &blocks->listener);
}

static void
note_hear(void *arg)
{
    const struct note *note = arg;
    struct kv *kv = shard_slot_get(SHARD_SLOT_KV);
    struct registration *registration;

    if (kv == NULL) {
        return; /* The server ends, and its sessions with it. */
    }
    if (note->kind == NOTE_WAKE) {
        if (kv->blocks->on_wake != NULL) {
            kv->blocks->on_wake(kv->blocks->on_wake_arg, note->ticket, note->from);
        }
        return;
    }
    registration = registration_find(kv->blocks, note->shard, note->ticket);
    if (registration != NULL && note->kind == NOTE_DONE) {
        registration_done(kv->blocks, registration);
    } else if (registration != NULL) {
        registration_remove(kv->blocks, registration);
    }
}

/* ---- For whoever runs commands ---- */

void
kv_block_on_wake(struct kv *kv, kv_block_wake_fn fn, void *arg)
{
    kv->blocks->on_wake = fn;
    kv->blocks->on_wake_arg = arg;
}

err_t
kv_block_register(struct kv_request *request, struct kv_block *block, bool *is_there)
{
    struct register_call call = {.request = request, .block = block};
    uint32_t *owners = mem_alloc(MEM_SESSIONS, block->wait.count * sizeof(*owners));

    call.owners = owners;
    for (uint32_t i = 0; i < block->wait.count; i++) {
        struct slice name = request->argv[block->wait.first + i];

        owners[i] = kv_shard_of_slot(kv_id_slot(kv_key_id(name)));
        is_there[owners[i]] = true;
    }
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (!is_there[shard]) {
            continue;
        }
        if (call.err == ERR_OK) {
            msg_call(shard, MSG_INLINE, register_here, &call);
        }
        is_there[shard] = call.err == ERR_OK;
    }
    mem_free(MEM_SESSIONS, owners, block->wait.count * sizeof(*owners));
    if (call.err == ERR_OK) {
        return ERR_OK;
    }
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (is_there[shard]) {
            kv_block_leave(kv_self(), shard, block->ticket);
            is_there[shard] = false;
        }
    }
    return err_set(ERR_LIMIT, "blocked commands wait for at most %d keys of a shard",
                   KV_BLOCK_WAITERS_MAX);
}

static void
answer_post(struct kv *kv, uint32_t shard, enum note_kind kind, uint64_t ticket)
{
    if (shard == shard_id()) {
        struct registration *registration = registration_find(kv->blocks, shard, ticket);

        if (registration != NULL && kind == NOTE_DONE) {
            registration_done(kv->blocks, registration);
        } else if (registration != NULL) {
            registration_remove(kv->blocks, registration);
        }
    } else {
        note_post(kv->blocks, shard, kind, shard_id(), ticket);
    }
}

void
kv_block_done(struct kv *kv, uint32_t shard, uint64_t ticket)
{
    answer_post(kv, shard, NOTE_DONE, ticket);
}

void
kv_block_leave(struct kv *kv, uint32_t shard, uint64_t ticket)
{
    answer_post(kv, shard, NOTE_LEAVE, ticket);
}

void
kv_blocks_moved(struct kv *kv, uint16_t first, uint32_t count)
{
    struct kv_blocks *blocks = kv->blocks;

    for (uint32_t i = 0; i < BLOCK_BUCKETS && blocks->waiter_count > 0; i++) {
        LIST_FOR_EACH(node, &blocks->keys[i]) {
            struct waited_key *key = LIST_ENTRY(node, struct waited_key, link);
            uint16_t slot = kv_id_slot(key->id);

            if (slot < first || slot >= first + count) {
                continue;
            }
            LIST_FOR_EACH(link, &key->waiters) {
                registration_wake(blocks, LIST_ENTRY(link, struct waiter, link)->registration);
            }
        }
    }
}

void
kv_block_disown(struct kv_block *block)
{
    if (block != NULL) {
        mem_disown(MEM_SESSIONS, block->state.data, block->state.capacity);
    }
}

void
kv_block_adopt(struct kv_block *block)
{
    if (block != NULL) {
        mem_adopt(MEM_SESSIONS, block->state.data, block->state.capacity);
    }
}

/* ---- For commands ---- */

void
kv_block_reply_nothing(struct kv_request *request, enum kv_block_reply reply)
{
    if (reply == KV_BLOCK_NULL) {
        reply_null(request->reply);
    } else {
        reply_null_array(request->reply);
    }
}

void
kv_block_ask(struct kv_request *request, const struct kv_block_wait *wait)
{
    struct kv_block *block = request->block;

    ASSERT(wait->count > 0);
    if (block == NULL) {
        kv_block_reply_nothing(request, wait->reply);
        return;
    }
    if (wait->count > KV_BLOCK_KEYS_MAX) {
        reply_error(request->reply, "ERR a command waits for at most %d keys", KV_BLOCK_KEYS_MAX);
        return;
    }
    if (block->ticket == 0) {
        block->wait = *wait;
    }
    block->is_asked = true;
}

bool
kv_block_is_taken(const struct kv_request *request, struct slice name)
{
    const struct kv_block *block = request->block;
    const struct registration *served;
    const struct waited_key *key;

    if (block == NULL || kv_self()->blocks->waiter_count == 0) {
        return false;
    }
    key = key_find(kv_self()->blocks, request->db, kv_key_id(name), name);
    if (key == NULL || key->served == NULL) {
        return false;
    }
    served = key->served->registration;
    return served->shard != block->shard || served->ticket != block->ticket;
}

bool
kv_block_is_repeat(const struct kv_request *request)
{
    return request->block != NULL && request->block->ticket != 0;
}

static bool
deadline_after(struct kv_request *request, int64_t timeout_ms, uint64_t *deadline_out)
{
    if (timeout_ms < 0) {
        reply_error(request->reply, "ERR timeout is negative");
        return false;
    }
    if (timeout_ms > INT64_MAX - (int64_t)request->now_ms) {
        reply_error(request->reply, "ERR timeout is out of range");
        return false;
    }
    *deadline_out = DEADLINE_NONE;
    if (timeout_ms > 0 && (uint64_t)timeout_ms < (DEADLINE_NONE - shard_now_us()) / 1000) {
        *deadline_out = shard_now_us() + (uint64_t)timeout_ms * 1000;
    }
    return true;
}

bool
kv_block_parse_seconds(struct kv_request *request, struct slice text, uint64_t *deadline_out)
{
    long double seconds;

    if (!kv_parse_long_double(text, &seconds)) {
        reply_error(request->reply, "ERR timeout is not a float or out of range");
        return false;
    }
    seconds = ceill(seconds * 1000);
    if (seconds > (long double)INT64_MAX) {
        reply_error(request->reply, "ERR timeout is out of range");
        return false;
    }
    return deadline_after(request, seconds < 0 ? -1 : (int64_t)seconds, deadline_out);
}

bool
kv_block_parse_milliseconds(struct kv_request *request, struct slice text, uint64_t *deadline_out)
{
    int64_t timeout_ms;

    if (!reply_parse_int(text, &timeout_ms)) {
        reply_error(request->reply, "ERR timeout is not an integer or out of range");
        return false;
    }
    return deadline_after(request, timeout_ms, deadline_out);
}

/* ---- Life ---- */

err_t
kv_blocks_new(struct kv *kv, struct kv_blocks **blocks_out)
{
    struct kv_blocks *blocks = MEM_NEW(MEM_RUNTIME, struct kv_blocks);

    blocks->kv = kv;
    kv_change_listener_init(&blocks->listener, change_hear, blocks);
    for (uint32_t i = 0; i < BLOCK_BUCKETS; i++) {
        list_init(&blocks->keys[i]);
        list_init(&blocks->tickets[i]);
    }
    list_init(&blocks->changed);
    list_init(&blocks->notes);
    cond_init(&blocks->notes_cond);
    fiber_group_init(&blocks->fibers);
    if (!fiber_group_spawn(&blocks->fibers, "kv-block", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                           notes_send, blocks)) {
        MEM_FREE(MEM_RUNTIME, blocks);
        return err_set(ERR_LIMIT, "no fiber for blocked commands");
    }
    *blocks_out = blocks;
    return ERR_OK;
}

void
kv_blocks_free(struct kv_blocks **blocks_ref)
{
    struct kv_blocks *blocks = *blocks_ref;

    if (blocks == NULL) {
        return;
    }
    blocks->on_wake = NULL;
    blocks->is_closing = true;
    cond_broadcast(&blocks->notes_cond);
    fiber_group_wait(&blocks->fibers);
    for (uint32_t i = 0; i < BLOCK_BUCKETS; i++) {
        LIST_FOR_EACH_SAFE(node, &blocks->tickets[i]) {
            registration_remove(blocks, LIST_ENTRY(node, struct registration, link));
        }
    }
    kv_changes_leave(blocks->kv, &blocks->listener);
    while (!list_is_empty(&blocks->notes)) {
        struct note *note = LIST_ENTRY(list_pop_front(&blocks->notes), struct note, link);

        MEM_FREE(MEM_SESSIONS, note);
    }
    MEM_FREE(MEM_RUNTIME, *blocks_ref);
}

uint64_t
kv_blocks_keys(const struct kv *kv, uint64_t *on_removal_out)
{
    *on_removal_out = kv->blocks->on_removal_count;
    return kv->blocks->key_count;
}
