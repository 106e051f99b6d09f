/* tests/sim/kv_model.h - a small Redis: what a client's few keys must be, and what each command
 * must answer. Values are never freed: a run is short and its process ends. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/slice.h"

enum {
    KV_MODEL_STRINGS = 3, /* The first keys; the others hold collections. */
    KV_MODEL_KEYS = 5,
    KV_MODEL_ARGS_MAX = 12,
    KV_MODEL_REPLY_BYTES_MAX = 1 << 20
};

enum kv_model_type {
    KV_MODEL_STRING,
    KV_MODEL_HASH,
    KV_MODEL_LIST,
    KV_MODEL_SET,
    KV_MODEL_ZSET,
    KV_MODEL_STREAM,
};

struct kv_model_value {
    bool exists;
    uint8_t type; /* enum kv_model_type */
    struct slice bytes;
    const struct kv_model_items *items; /* Of a collection: kv_collections.c. */
    uint64_t expire_ms;                 /* 0: never. */
};

/* The keys of one client, which lie in one slot: a command changes them as a whole. */
struct kv_model_state {
    struct kv_model_value keys[KV_MODEL_KEYS];
    uint64_t lsn;     /* Of the command that led here; 0 while it is not known. */
    uint32_t changed; /* Keys that it changed, one bit each. */
};

struct kv_model_reply {
    char *text; /* RESP2; grows. */
    size_t size;
    size_t capacity;
    bool is_any_positive; /* The answer depends on the clock: an integer above 0. */
};

/* Run the command on the state. names: the client's keys. Sets `changed`, and the bits of all keys
 * that were looked at in *touched_out. Fails an assertion for commands that it does not know. */
void kv_model_run(struct kv_model_state *state, const struct slice names[KV_MODEL_KEYS],
                  const struct slice *argv, uint32_t argc, uint64_t now_ms,
                  struct kv_model_reply *reply, uint32_t *touched_out);

/* Drop what has expired at now_ms. */
void kv_model_expire(struct kv_model_state *state, uint64_t now_ms);

void kv_model_reply_put(struct kv_model_reply *reply, const void *bytes, size_t size);
