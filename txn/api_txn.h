/* txn/api_txn.h - the transactions of the C API, as its files see them.
 *
 * A handle of orbit_txn_begin names a transaction by its id and sends each step to its home shard,
 * the shard of the first key it touches. A handle that a function of orbit_txn_run is given is on
 * that shard already, and steps are plain calls. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "include/orbit.h"
#include "txn/api.h"
#include "txn/txn.h"

struct orbit_txn {
    uint64_t magic;
    struct orbit *db;
    struct txn *running;  /* Of orbit_txn_run; NULL: a handle of its own, with what follows. */
    uint64_t id;          /* 0: not begun yet. */
    uint32_t home;        /* Once it has begun. */
    uint32_t timeout_ms;  /* 0: none. */
    uint64_t deadline_us; /* Of its home shard, once begun; 0: none. */
    bool is_late;         /* When last asked for, its deadline had passed. */
    bool is_joined;       /* By its token. */
    bool is_ended;        /* By this handle, or found so. */
    struct buf texts;     /* What the slices of `options` lie in. */
    struct txn_options options;
};

/* What a call does with the transaction, on its home shard. */
typedef YIELDS err_t (*api_txn_fn)(struct txn *txn, void *arg);

/* Is each step a statement (a new snapshot at READ COMMITTED; refused after an error), or the
 * continuation of one, or an undoing? */
enum api_step { API_STATEMENT, API_CONTINUATION };

/* Runs fn(txn, arg) there; begins the transaction, near `key` (no bytes: anywhere), if this is its
 * first step. Errors: ERR_INVALID (no transaction, or it has ended; another thread's inline
 * database), ERR_IDLE_TIMEOUT, those of txn_begin and txn_statement, and what fn returned. */
err_t api_txn_call(struct orbit_txn *handle, enum api_step step, struct slice key, api_txn_fn fn,
                   void *arg);
/* In turn: for what is about no key. */
uint32_t api_any_shard(const struct orbit *db);
/* A handle on the shard, for as long as a function runs. */
void api_txn_bind(struct orbit_txn *handle, struct orbit *db, struct txn *running);
void api_txn_unbind(struct orbit_txn *handle);

/* ---- api_ops.c ---- */

void api_txn_write(struct txn *txn, orbit_keyspace keyspace, const struct api_write *write);

/* ---- Many keys in one call: api_many.c, api_txn_ops.c. ---- */

struct api_many {
    orbit_keyspace keyspace;
    const void *const *keys;
    const size_t *sizes;
    size_t count;
    struct orbit_result *results; /* Until they are the caller's. */
};
/* ERR_INVALID, ERR_LIMIT (keys and their number), ERR_NO_MEMORY. */
err_t api_many_begin(struct api_many *many);
/* The results move to the caller, or are freed. */
void api_many_end(struct api_many *many, bool is_ok, struct orbit_result *results);
/* ERR_NO_MEMORY. */
err_t api_many_keep(struct orbit_result *result, const struct lsm_value *value);
/* An api_txn_fn: all at the snapshot of the transaction. */
YIELDS err_t api_many_step(struct txn *txn, void *many);

/* ---- api_run.c ---- */

/* Run fn(txn, arg) on this shard as an auto transaction and commit it; again after a conflict, up
 * to ORBIT_RUN_TRIES_MAX times. Does not wait for durability. done_out is set on success. */
YIELDS err_t api_auto(bool read_only, const struct txn_origin *origin, uint64_t deadline_us,
                      api_txn_fn fn, void *arg, struct txn_done *done_out);

/* One call of orbit_txn_run: options are copied, but not what they point to. */
struct api_run {
    struct orbit *db;
    struct orbit_run_options options;
    orbit_txn_fn fn;
    void *arg;
    int code; /* Out: what the function returned that is no enum orbit_error. */
    struct txn_done done;
};
/* ERR_INVALID, ERR_LIMIT. */
err_t api_run_init(struct api_run *run, struct orbit *db, const struct orbit_run_options *options,
                   orbit_txn_fn fn, void *arg);
/* On the shard. */
YIELDS err_t api_run_main(struct api_run *run);
/* The last step, as api_result. */
int api_run_result(const struct api_run *run, err_t err);
