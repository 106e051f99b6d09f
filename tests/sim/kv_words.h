/* tests/sim/kv_words.h - the words of a Redis command that a client draws. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/kv_model.h"

enum {
    KV_WORDS_VALUE_BYTES = 120000,
    KV_WORDS_NUMBER_BYTES = 24,
    KV_WORDS_IDS = 8,
    KV_WORDS_SHORT_TTL_MS = 50, /* At most. */
    KV_WORDS_LONG_TTL_MS = 100 * 3600 * 1000,
};

/* Memory of a command that is being made; a crash forgets it. */
struct kv_words {
    struct slice argv[KV_MODEL_ARGS_MAX];
    uint32_t argc;
    char numbers[2][KV_WORDS_NUMBER_BYTES];
    uint8_t *value;             /* [KV_WORDS_VALUE_BYTES] */
    const struct slice *names;  /* [KV_MODEL_KEYS], the client's keys. */
    uint64_t *next_value;       /* Counted up, so that no value comes twice. */
    uint64_t ids[KV_WORDS_IDS]; /* Of entries of streams, the last ones. */
    uint32_t next_id;
    uint32_t value_bytes_max;
    bool has_short_ttl; /* Set when a key was given a short life. */
};

void kv_words_add(struct kv_words *words, struct slice word);
void kv_words_add_text(struct kv_words *words, const char *text);
/* which: 0 or 1, for the number's place in memory. */
void kv_words_add_number(struct kv_words *words, uint32_t which, int64_t number);
/* Bytes that are nobody else's, in `out`; sometimes a number. */
struct slice kv_words_value(struct kv_words *words, uint8_t *out, size_t capacity);
/* A command on the client's keys, from the shard's randomness. */
void kv_words_draw(struct kv_words *words);
