/* txn/advisory.c - see advisory.h.
 *
 *     session's shard                       shard of the name
 *     advisory --names--> name              advisories --owners--> owner (struct lock_owner)
 *              --log----> what the transaction locked, in order
 *
 * The session counts; the other shard only ever sees the strongest mode that is needed. */
#include "txn/advisory.h"

#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/mem.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

#define ADVISORY_MAGIC UINT64_C(0x6f72626974616476)

enum {
    NAME_BYTES = 13,
    NAME_BUCKETS = 64,
    OWNER_BUCKETS = 256,
    MODES = 2,
};

/* In an id: a session and no transaction. */
#define SESSION_BIT ((uint64_t)1 << 63)

/* What a session has of one name. */
struct name {
    struct list link;
    struct advisory_key key;
    uint32_t session_counts[MODES];
    bool is_txn[MODES];
    enum lock_mode held; /* On the name's shard; LOCK_MODE_COUNT: nothing. */
};

struct logged {
    struct name *name;
    enum advisory_mode mode;
};

struct advisory {
    uint64_t magic;
    struct list link; /* In advisories.sessions. */
    uint64_t id;
    uint64_t txn; /* Of the present statement. */
    struct list names[NAME_BUCKETS];
    uint32_t count;
    struct buf log;    /* Of struct logged. */
    uint32_t waits_on; /* The shard; UINT32_MAX: none. */
};

/* A session's locks on one shard. */
struct owner {
    struct list link;
    struct lock_owner locks;
};

struct advisories {
    struct list sessions;
    struct list owners[OWNER_BUCKETS];
};

struct advisories *
advisories_new(void)
{
    struct advisories *advisories = MEM_NEW(MEM_SESSIONS, struct advisories);

    list_init(&advisories->sessions);
    for (uint32_t i = 0; i < OWNER_BUCKETS; i++) {
        list_init(&advisories->owners[i]);
    }
    return advisories;
}

void
advisories_free(struct advisories **advisories_ref)
{
    struct advisories *advisories = *advisories_ref;

    if (advisories == NULL) {
        return;
    }
    ASSERT(list_is_empty(&advisories->sessions));
    MEM_FREE(MEM_SESSIONS, advisories);
    *advisories_ref = NULL;
}

void
advisories_visit(const struct advisories *advisories,
                 void (*visit)(void *arg, uint64_t session, uint64_t txn), void *arg)
{
    LIST_FOR_EACH(node, &advisories->sessions) {
        const struct advisory *advisory = LIST_ENTRY(node, struct advisory, link);

        if (advisory->txn != 0) {
            visit(arg, advisory->id, advisory->txn);
        }
    }
}

/* ---- On the shard of the name. ---- */

struct ask {
    uint64_t session;
    uint8_t name[NAME_BYTES];
    enum lock_mode mode;
    enum lock_wait wait;
    uint64_t deadline_us;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static struct txns *
txns_here(void)
{
    struct txns *txns = shard_slot_get(SHARD_SLOT_TXN);

    ASSERT(txns != NULL);
    return txns;
}

static struct list *
owner_bucket(uint64_t session)
{
    return &txns_here()->advisories->owners[session % OWNER_BUCKETS];
}

static struct owner *
owner_find(uint64_t session)
{
    LIST_FOR_EACH(node, owner_bucket(session)) {
        struct owner *owner = LIST_ENTRY(node, struct owner, link);

        if (owner->locks.txn == session) {
            return owner;
        }
    }
    return NULL;
}

static struct owner *
owner_get(uint64_t session)
{
    struct owner *owner = owner_find(session);

    if (owner == NULL) {
        owner = MEM_NEW(MEM_SESSIONS, struct owner);
        lock_owner_init(&owner->locks, session);
        list_push_back(owner_bucket(session), &owner->link);
    }
    return owner;
}

static void
owner_release(struct owner *owner)
{
    if (owner->locks.count == 0) {
        list_remove(&owner->link);
        MEM_FREE(MEM_SESSIONS, owner);
    }
}

static YIELDS void
lock_run(void *arg)
{
    struct ask *ask = arg;
    struct owner *owner = owner_get(ask->session);

    ask->err = lock_advisory(txns_here()->locks, &owner->locks, slice_of(ask->name, NAME_BYTES),
                             ask->mode, ask->wait, ask->deadline_us);
    if (ask->err != ERR_OK) {
        snprintf(ask->message, sizeof(ask->message), "%s", err_message(ask->err));
    }
    owner_release(owner);
}

static void
lower_run(void *arg)
{
    struct ask *ask = arg;
    struct owner *owner = owner_find(ask->session);

    ASSERT(owner != NULL);
    lock_advisory_lower(txns_here()->locks, &owner->locks, slice_of(ask->name, NAME_BYTES),
                        ask->mode);
    owner_release(owner);
}

static void
cancel_run(void *arg)
{
    const uint64_t *session = arg;
    struct owner *owner = owner_find(*session);

    if (owner != NULL) {
        lock_cancel(txns_here()->locks, &owner->locks);
    }
}

/* ---- Names of a session. ---- */

static void
name_encode(struct advisory_key key, uint8_t *out)
{
    put_be32(out, key.database);
    out[4] = key.is_pair;
    put_be64(out + 5, key.value);
}

static uint64_t
key_hash(struct advisory_key key)
{
    uint8_t name[NAME_BYTES];

    name_encode(key, name);
    return XXH3_64bits(name, sizeof(name));
}

static uint32_t
key_shard(struct advisory_key key)
{
    return (uint32_t)(key_hash(key) >> 32) % shard_count();
}

static struct list *
name_bucket(struct advisory *advisory, struct advisory_key key)
{
    return &advisory->names[key_hash(key) % NAME_BUCKETS];
}

static struct name *
name_find(struct advisory *advisory, struct advisory_key key)
{
    LIST_FOR_EACH(node, name_bucket(advisory, key)) {
        struct name *name = LIST_ENTRY(node, struct name, link);

        if (name->key.value == key.value && name->key.database == key.database &&
            name->key.is_pair == key.is_pair) {
            return name;
        }
    }
    return NULL;
}

static struct name *
name_add(struct advisory *advisory, struct advisory_key key)
{
    struct name *name = MEM_NEW(MEM_SESSIONS, struct name);

    name->key = key;
    name->held = LOCK_MODE_COUNT;
    list_push_back(name_bucket(advisory, key), &name->link);
    advisory->count++;
    return name;
}

/* The mode that the session's locks of the name need; LOCK_MODE_COUNT: none. */
static enum lock_mode
name_needs(const struct name *name)
{
    if (name->session_counts[ADVISORY_EXCLUSIVE] > 0 || name->is_txn[ADVISORY_EXCLUSIVE]) {
        return LOCK_UPDATE;
    }
    if (name->session_counts[ADVISORY_SHARED] > 0 || name->is_txn[ADVISORY_SHARED]) {
        return LOCK_SHARE;
    }
    return LOCK_MODE_COUNT;
}

/* Something of it was given back: what is held is lowered to what is needed. */
static YIELDS void
name_settle(struct advisory *advisory, struct name *name)
{
    struct ask ask = {.session = advisory->id, .mode = name_needs(name)};

    if (ask.mode != name->held) {
        name_encode(name->key, ask.name);
        name->held = ask.mode;
        msg_call(key_shard(name->key), MSG_INLINE, lower_run, &ask);
    }
    if (ask.mode == LOCK_MODE_COUNT) {
        list_remove(&name->link);
        advisory->count--;
        MEM_FREE(MEM_SESSIONS, name);
    }
}

/* ---- The session. ---- */

struct advisory *
advisory_new(void)
{
    struct advisory *advisory = MEM_NEW(MEM_SESSIONS, struct advisory);
    struct txns *txns = txns_here();

    advisory->magic = ADVISORY_MAGIC;
    advisory->id = SESSION_BIT | (uint64_t)shard_id() << TXN_ID_HOME_SHIFT | txns->next_number++;
    advisory->waits_on = UINT32_MAX;
    for (uint32_t i = 0; i < NAME_BUCKETS; i++) {
        list_init(&advisory->names[i]);
    }
    buf_init(&advisory->log, MEM_SESSIONS);
    list_push_back(&txns->advisories->sessions, &advisory->link);
    return advisory;
}

void
advisory_free(struct advisory **advisory_ref)
{
    struct advisory *advisory = *advisory_ref;

    if (advisory == NULL) {
        return;
    }
    OBJ_CHECK(advisory, ADVISORY_MAGIC);
    ASSERT(advisory->waits_on == UINT32_MAX);
    advisory_txn_end(advisory);
    advisory_unlock_all(advisory);
    ASSERT(advisory->count == 0);
    list_remove(&advisory->link);
    buf_fini(&advisory->log);
    advisory->magic = 0;
    MEM_FREE(MEM_SESSIONS, advisory);
    *advisory_ref = NULL;
}

static YIELDS err_t
name_lock(struct advisory *advisory, struct name *name, enum lock_mode mode, enum lock_wait wait,
          uint64_t deadline_us)
{
    struct ask ask = {
        .session = advisory->id, .mode = mode, .wait = wait, .deadline_us = deadline_us};

    name_encode(name->key, ask.name);
    advisory->waits_on = key_shard(name->key);
    msg_call(advisory->waits_on, MSG_FIBER, lock_run, &ask);
    advisory->waits_on = UINT32_MAX;
    if (ask.err == ERR_BUSY) {
        return ERR_BUSY;
    }
    if (ask.err != ERR_OK) {
        return err_set(ask.err, "%s", ask.message);
    }
    name->held = mode;
    return ERR_OK;
}

static void
name_note(struct advisory *advisory, struct name *name, enum advisory_mode mode,
          enum advisory_level level)
{
    struct logged logged = {.name = name, .mode = mode};

    if (level == ADVISORY_SESSION) {
        name->session_counts[mode]++;
    } else if (!name->is_txn[mode]) {
        name->is_txn[mode] = true;
        buf_append(&advisory->log, &logged, sizeof(logged));
    }
}

err_t
advisory_lock(struct advisory *advisory, struct advisory_key key, enum advisory_mode mode,
              enum advisory_level level, enum lock_wait wait, uint64_t deadline_us)
{
    enum lock_mode needed = mode == ADVISORY_EXCLUSIVE ? LOCK_UPDATE : LOCK_SHARE;
    struct name *name;
    err_t err = ERR_OK;

    OBJ_CHECK(advisory, ADVISORY_MAGIC);
    ASSERT(advisory->waits_on == UINT32_MAX);
    name = name_find(advisory, key);
    if (name == NULL) {
        if (advisory->count >= ADVISORY_LOCKS_MAX) {
            return err_set(ERR_LIMIT,
                           "more than %d advisory locks of a session (ADVISORY_LOCKS_MAX)",
                           ADVISORY_LOCKS_MAX);
        }
        name = name_add(advisory, key);
    }
    if (name->session_counts[mode] == UINT32_MAX) {
        return err_set(ERR_LIMIT, "an advisory lock was taken %u times", UINT32_MAX);
    }
    if (name->held == LOCK_MODE_COUNT || name->held < needed) {
        err = name_lock(advisory, name, needed, wait, deadline_us);
    }
    if (err == ERR_OK) {
        name_note(advisory, name, mode, level);
    } else {
        name_settle(advisory, name); /* A name that has nothing goes. */
    }
    return err;
}

bool
advisory_unlock(struct advisory *advisory, struct advisory_key key, enum advisory_mode mode)
{
    struct name *name;

    OBJ_CHECK(advisory, ADVISORY_MAGIC);
    name = name_find(advisory, key);
    if (name == NULL || name->session_counts[mode] == 0) {
        return false;
    }
    name->session_counts[mode]--;
    name_settle(advisory, name);
    return true;
}

void
advisory_unlock_all(struct advisory *advisory)
{
    OBJ_CHECK(advisory, ADVISORY_MAGIC);
    for (uint32_t i = 0; i < NAME_BUCKETS; i++) {
        LIST_FOR_EACH_SAFE(node, &advisory->names[i]) {
            struct name *name = LIST_ENTRY(node, struct name, link);

            memset(name->session_counts, 0, sizeof(name->session_counts));
            name_settle(advisory, name);
        }
    }
}

/* ---- The transaction's. ---- */

uint32_t
advisory_mark(const struct advisory *advisory)
{
    return (uint32_t)(advisory->log.size / sizeof(struct logged));
}

void
advisory_release_to(struct advisory *advisory, uint32_t mark)
{
    OBJ_CHECK(advisory, ADVISORY_MAGIC);
    ASSERT(mark <= advisory_mark(advisory));
    while (advisory_mark(advisory) > mark) {
        struct logged logged;

        advisory->log.size -= sizeof(logged);
        memcpy(&logged, advisory->log.data + advisory->log.size, sizeof(logged));
        logged.name->is_txn[logged.mode] = false;
        name_settle(advisory, logged.name);
    }
}

void
advisory_txn_end(struct advisory *advisory)
{
    advisory_release_to(advisory, 0);
}

void
advisory_statement(struct advisory *advisory, uint64_t txn)
{
    OBJ_CHECK(advisory, ADVISORY_MAGIC);
    advisory->txn = txn;
}

void
advisory_cancel(struct advisory *advisory)
{
    uint64_t session;

    OBJ_CHECK(advisory, ADVISORY_MAGIC);
    session = advisory->id;
    if (advisory->waits_on != UINT32_MAX) {
        msg_call(advisory->waits_on, MSG_INLINE, cancel_run, &session);
    }
}

void
advisory_visit(const struct advisory *advisory,
               void (*visit)(void *arg, const struct advisory_info *info), void *arg)
{
    for (uint32_t i = 0; i < NAME_BUCKETS; i++) {
        LIST_FOR_EACH(node, &advisory->names[i]) {
            const struct name *name = LIST_ENTRY(node, struct name, link);

            for (int mode = 0; mode < MODES; mode++) {
                struct advisory_info info = {.key = name->key,
                                             .mode = (enum advisory_mode)mode,
                                             .session_count = name->session_counts[mode],
                                             .is_txn = name->is_txn[mode]};

                if (info.session_count > 0 || info.is_txn) {
                    visit(arg, &info);
                }
            }
        }
    }
}
