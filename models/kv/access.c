/* models/kv/access.c - when keys were last read, for OBJECT IDLETIME and OBJECT FREQ.
 *
 * Writing to the store at each read would cost more than the read, so reads are remembered in a
 * table of fixed size, by the key's hash: a later key takes the place of an earlier one, and a
 * restart forgets. A key that is not in it was last accessed when it was written, or when RESTORE
 * said. As in Redis, these numbers are hints. */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"
#include "txn/clock.h"

#include "engine/base/poison.h"

enum {
    ACCESS_ENTRIES = 16384,
    /* Of Redis's approximate counter: where a new key starts, how rarely it grows, how fast it
     * falls (its defaults of lfu-log-factor and lfu-decay-time). */
    LFU_START = 5,
    LFU_MAX = 255,
    LFU_LOG_FACTOR = 10,
    LFU_DECAY_SECONDS = 60,
};

struct access {
    uint64_t id;       /* Of the key; the keyspace is mixed in. */
    uint32_t seconds;  /* Since 1970; 0: the entry is free. */
    uint8_t frequency; /* At that time. */
};

struct kv_access_table {
    struct access entries[ACCESS_ENTRIES];
};

struct kv_access_table *
kv_access_new(void)
{
    return MEM_NEW(MEM_RUNTIME, struct kv_access_table);
}

void
kv_access_free(struct kv_access_table **table)
{
    MEM_FREE(MEM_RUNTIME, *table);
}

static uint64_t
access_id(const struct kv_object *object)
{
    return object->id ^ (uint64_t)object->keyspace << 32;
}

static struct access *
access_slot(struct kv *kv, const struct kv_object *object)
{
    return &kv->access->entries[object->id % ACCESS_ENTRIES];
}

/* What is known: the table, or what the head says. */
static struct access
access_known(struct kv *kv, const struct kv_object *object, uint64_t now_ms)
{
    const struct access *entry = access_slot(kv, object);
    struct access known = {
        .id = access_id(object),
        /* A write of this very transaction has no time yet. */
        .seconds = (uint32_t)(object->ts == 0 ? now_ms / 1000
                                              : (object->ts >> CLOCK_COUNTER_BITS) / 1000000),
        .frequency = LFU_START,
    };

    if ((object->head.flags & KV_HEAD_ACCESS) != 0) {
        if (object->head.access_is_frequency) {
            known.frequency = (uint8_t)MIN(object->head.access, (uint32_t)LFU_MAX);
        } else {
            known.seconds = object->head.access;
        }
    }
    /* An access before the write was one of another value under this name. */
    if (entry->seconds != 0 && entry->id == known.id && entry->seconds >= known.seconds) {
        known = *entry;
    }
    return known;
}

static uint8_t
frequency_decayed(const struct access *access, uint64_t now_ms)
{
    uint64_t now = now_ms / 1000;
    uint64_t periods = now > access->seconds ? (now - access->seconds) / LFU_DECAY_SECONDS : 0;

    return (uint8_t)(periods > access->frequency ? 0 : access->frequency - periods);
}

void
kv_access_note(struct kv *kv, const struct kv_object *object, uint64_t now_ms)
{
    struct access *entry = access_slot(kv, object);

    if (kv->config.lfu) {
        struct access known = access_known(kv, object, now_ms);
        uint32_t count = frequency_decayed(&known, now_ms);
        uint32_t above = count > LFU_START ? count - LFU_START : 0;

        if (count < LFU_MAX && prng_below(shard_prng(), above * LFU_LOG_FACTOR + 1) == 0) {
            count++;
        }
        entry->frequency = (uint8_t)count;
    } else {
        entry->frequency = LFU_START;
    }
    entry->id = access_id(object);
    entry->seconds = (uint32_t)(now_ms / 1000);
}

void
kv_access_forget(struct kv *kv, const struct kv_object *object)
{
    struct access *entry = access_slot(kv, object);

    if (entry->id == access_id(object)) {
        entry->seconds = 0;
    }
}

uint32_t
kv_access_idle_seconds(struct kv *kv, const struct kv_object *object, uint64_t now_ms)
{
    struct access known = access_known(kv, object, now_ms);
    uint64_t now = now_ms / 1000;

    return now > known.seconds ? (uint32_t)(now - known.seconds) : 0;
}

uint8_t
kv_access_frequency(struct kv *kv, const struct kv_object *object, uint64_t now_ms)
{
    struct access known = access_known(kv, object, now_ms);

    return frequency_decayed(&known, now_ms);
}
