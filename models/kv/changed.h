/* models/kv/changed.h - what the commits on a shard have changed, told as they take effect.
 *
 * Every change of a key writes its head (README.md), so the heads among a commit's writes are the
 * keys that changed; they are told on the shard of the key, in the step that applies the commit,
 * wherever the commit was made. While nobody listens a commit pays for one branch a write. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/list.h"
#include "engine/base/slice.h"
#include "models/kv/key.h"

struct kv;

enum kv_change_kind {
    KV_CHANGE_KEY,      /* One key: written or removed. */
    KV_CHANGE_KEYSPACE, /* All keys of a keyspace are gone: FLUSHDB, FLUSHALL. */
    KV_CHANGE_ANY,      /* Keys that are not named: a large commit that came as tables. */
    KV_CHANGE_MAPPING,  /* Databases have other keyspaces now (SWAPDB). */
    KV_CHANGE_DONE,     /* One commit is applied: what was told since the last one belongs to it. */
};

struct kv_change {
    enum kv_change_kind kind;
    uint32_t keyspace; /* KV_CHANGE_KEY, KV_CHANGE_KEYSPACE */
    uint64_t id;       /* KV_CHANGE_KEY: these. */
    struct slice name; /* Borrowed for the call. */
    bool is_removed;
    enum kv_type type; /* When it is not removed. */
};

/* Must neither suspend nor use the store. A commit may write a key several times; the last one
 * counts, and until KV_CHANGE_DONE nothing is decided. May not add or remove listeners. */
typedef void (*kv_change_fn)(void *arg, const struct kv_change *change);

/* In the memory of whoever listens. */
struct kv_change_listener {
    struct list link;
    kv_change_fn fn;
    void *arg;
};

void kv_change_listener_init(struct kv_change_listener *listener, kv_change_fn fn, void *arg);
/* Listen from now on, and no longer; both are harmless when repeated. Listen only while there is
 * interest: with a listener every head that is written is looked at. */
void kv_changes_listen(struct kv *kv, struct kv_change_listener *listener);
void kv_changes_leave(struct kv *kv, struct kv_change_listener *listener);

/* For multi.c: the shard has a new mapping of databases. */
void kv_changes_note_mapping(struct kv *kv);
