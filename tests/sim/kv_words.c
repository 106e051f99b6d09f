/* tests/sim/kv_words.c - drawing commands: few keys, many meanings. */
#include "tests/sim/kv_words.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "tests/sim/kv_collections.h"

static uint64_t
below(uint64_t bound)
{
    return prng_below(shard_prng(), bound);
}

static struct slice
own_key(const struct kv_words *words)
{
    return words->names[below(KV_MODEL_STRINGS)];
}

struct slice
kv_words_value(struct kv_words *words, uint8_t *out, size_t capacity)
{
    uint64_t id = (*words->next_value)++;
    size_t size = 8 + below(below(10) == 0 ? words->value_bytes_max : 40);

    if (below(4) == 0) {
        return slice_of(out,
                        (size_t)snprintf((char *)out, capacity, "%llu", (unsigned long long)id));
    }
    if (below(120) == 0) {
        size = 50000 + below(60000);
    }
    size = MIN(size, capacity);
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(id >> (8 * (i % 3))) ^ (uint8_t)(i / 7);
    }
    return slice_of(out, size);
}

void
kv_words_add(struct kv_words *words, struct slice word)
{
    ASSERT(words->argc < KV_MODEL_ARGS_MAX);
    words->argv[words->argc++] = word;
}

void
kv_words_add_text(struct kv_words *words, const char *text)
{
    kv_words_add(words, slice_from_text(text));
}

void
kv_words_add_number(struct kv_words *words, uint32_t which, int64_t number)
{
    snprintf(words->numbers[which], KV_WORDS_NUMBER_BYTES, "%lld", (long long)number);
    kv_words_add_text(words, words->numbers[which]);
}

static int64_t
ttl_draw(struct kv_words *words)
{
    if (below(3) == 0) {
        words->has_short_ttl = true;
        return 1 + (int64_t)below(KV_WORDS_SHORT_TTL_MS);
    }
    return KV_WORDS_LONG_TTL_MS + (int64_t)below(1000);
}

static void
words_set(struct kv_words *words)
{
    kv_words_add_text(words, "SET");
    kv_words_add(words, own_key(words));
    kv_words_add(words, kv_words_value(words, words->value, KV_WORDS_VALUE_BYTES));
    switch (below(8)) {
    case 0:
        kv_words_add_text(words, "NX");
        break;
    case 1:
        kv_words_add_text(words, "XX");
        kv_words_add_text(words, "KEEPTTL");
        break;
    case 2:
        kv_words_add_text(words, "GET");
        break;
    case 3:
        kv_words_add_text(words, "PX");
        kv_words_add_number(words, 0, ttl_draw(words));
        break;
    default:
        break;
    }
}

static void
words_write(struct kv_words *words)
{
    static const char *const deletes[] = {"DEL", "UNLINK"};

    switch (below(9)) {
    case 0:
        kv_words_add_text(words, "APPEND");
        kv_words_add(words, own_key(words));
        kv_words_add(words, kv_words_value(words, words->value, 200));
        break;
    case 1:
        kv_words_add_text(words, "INCRBY");
        kv_words_add(words, own_key(words));
        kv_words_add_number(words, 0, (int64_t)below(100) - 50);
        break;
    case 2:
        kv_words_add_text(words, "SETRANGE");
        kv_words_add(words, own_key(words));
        kv_words_add_number(words, 0, (int64_t)below(300));
        kv_words_add(words, kv_words_value(words, words->value, 100));
        break;
    case 3:
        kv_words_add_text(words, "PEXPIRE");
        kv_words_add(words, own_key(words));
        kv_words_add_number(words, 0, below(10) == 0 ? -1 : ttl_draw(words));
        break;
    case 4:
        kv_words_add_text(words, "PERSIST");
        kv_words_add(words, own_key(words));
        break;
    case 5:
        kv_words_add_text(words, "GETDEL");
        kv_words_add(words, own_key(words));
        break;
    case 6:
        kv_words_add_text(words, "SETNX");
        kv_words_add(words, own_key(words));
        kv_words_add(words, kv_words_value(words, words->value, 200));
        break;
    default:
        kv_words_add_text(words, deletes[below(2)]);
        kv_words_add(words, own_key(words));
        kv_words_add(words, own_key(words));
        break;
    }
}

static void
words_several(struct kv_words *words)
{
    uint32_t first = (uint32_t)below(KV_MODEL_STRINGS);
    uint32_t second = (first + 1) % KV_MODEL_STRINGS;

    switch (below(5)) {
    case 0:
        kv_words_add_text(words, "RENAME");
        break;
    case 1:
        kv_words_add_text(words, "RENAMENX");
        break;
    case 2:
    case 3:
        kv_words_add_text(words, below(2) == 0 ? "MSET" : "MSETNX");
        kv_words_add(words, words->names[first]);
        kv_words_add(words, kv_words_value(words, words->value, 100));
        kv_words_add(words, words->names[second]);
        kv_words_add(words, kv_words_value(words, words->value + 100, 100));
        return;
    default:
        kv_words_add_text(words, "COPY");
        kv_words_add(words, words->names[first]);
        kv_words_add(words, words->names[second]);
        if (below(2) == 0) {
            kv_words_add_text(words, "REPLACE");
        }
        return;
    }
    kv_words_add(words, words->names[first]);
    kv_words_add(words, words->names[second]);
}

static void
words_read(struct kv_words *words)
{
    static const char *const one_key[] = {"GET", "STRLEN", "EXISTS", "PTTL", "TYPE", "TOUCH"};

    switch (below(4)) {
    case 0:
        kv_words_add_text(words, "MGET");
        kv_words_add(words, words->names[0]);
        kv_words_add(words, words->names[1]);
        kv_words_add(words, words->names[2]);
        break;
    case 1:
        kv_words_add_text(words, "GETRANGE");
        kv_words_add(words, own_key(words));
        kv_words_add_number(words, 0, (int64_t)below(50));
        kv_words_add_number(words, 1, (int64_t)below(100));
        break;
    default:
        kv_words_add_text(words, one_key[below(ARRAY_COUNT(one_key))]);
        kv_words_add(words, own_key(words));
        break;
    }
}

void
kv_words_draw(struct kv_words *words)
{
    uint64_t draw = below(100);

    words->argc = 0;
    if (below(5) < 2) {
        kv_collection_draw(words);
    } else if (draw < 35) {
        words_set(words);
    } else if (draw < 60) {
        words_write(words);
    } else if (draw < 72) {
        words_several(words);
    } else {
        words_read(words);
    }
}
