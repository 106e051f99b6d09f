/* net/names.c - see the header. */
#include "net/names.h"

#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/mem.h"

#include "engine/base/poison.h"

enum { NAMES_BUCKETS_MIN = 16 };

static struct names_node **
bucket_of(const struct names *names, uint64_t hash)
{
    return &names->buckets[hash & (names->bucket_count - 1)];
}

static void
resize(struct names *names, uint32_t bucket_count)
{
    struct names old = *names;

    names->buckets = mem_zalloc(MEM_SESSIONS, bucket_count * sizeof(*names->buckets));
    names->bucket_count = bucket_count;
    for (uint32_t i = 0; i < old.bucket_count; i++) {
        struct names_node *node = old.buckets[i];

        while (node != NULL) {
            struct names_node *next = node->next;
            struct names_node **bucket = bucket_of(names, node->hash);

            node->next = *bucket;
            *bucket = node;
            node = next;
        }
    }
    mem_free(MEM_SESSIONS, old.buckets, old.bucket_count * sizeof(*old.buckets));
}

void
names_fini(struct names *names)
{
    ASSERT(names->count == 0);
    mem_free(MEM_SESSIONS, names->buckets, names->bucket_count * sizeof(*names->buckets));
    *names = (struct names){0};
}

uint64_t
names_hash(uint64_t kind, struct slice name)
{
    return XXH3_64bits_withSeed(name.data, name.size, kind);
}

void
names_add(struct names *names, struct names_node *node, uint64_t hash)
{
    struct names_node **bucket;

    if (names->count >= names->bucket_count) {
        resize(names, MAX(names->bucket_count * 2, (uint32_t)NAMES_BUCKETS_MIN));
    }
    bucket = bucket_of(names, hash);
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    names->count++;
}

void
names_remove(struct names *names, struct names_node *node)
{
    struct names_node **at = bucket_of(names, node->hash);

    while (*at != node) {
        ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    names->count--;
    if (names->bucket_count > NAMES_BUCKETS_MIN && names->count < names->bucket_count / 8) {
        resize(names, names->bucket_count / 4);
    }
}

static struct names_node *
with_hash(struct names_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash) {
        node = node->next;
    }
    return node;
}

struct names_node *
names_first(const struct names *names, uint64_t hash)
{
    return names->count == 0 ? NULL : with_hash(*bucket_of(names, hash), hash);
}

struct names_node *
names_next(const struct names_node *node)
{
    return with_hash(node->next, node->hash);
}

struct names_node *
names_walk(const struct names *names, const struct names_node *after)
{
    uint32_t bucket = 0;

    if (after != NULL) {
        if (after->next != NULL) {
            return after->next;
        }
        bucket = (uint32_t)(after->hash & (names->bucket_count - 1)) + 1;
    }
    for (; bucket < names->bucket_count; bucket++) {
        if (names->buckets[bucket] != NULL) {
            return names->buckets[bucket];
        }
    }
    return NULL;
}
