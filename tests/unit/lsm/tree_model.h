/* tests/unit/lsm/tree_model.h - a tree beside a model that keeps every write in an array.
 *
 * The model outlives the tree: what the log would replay after a reopening or a crash is replayed
 * from it. Every check asserts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/prng.h"
#include "lsm/internal.h"

enum {
    KEYS = 240,
    KEYSPACES = 3,
    WRITES_MAX = 20000,
    SNAPSHOTS_MAX = 6,
    VALUE_BYTES_MAX = 300,
    TS_STEP = 1 << 12, /* One microsecond, so that expiry is exact. */
};

struct write {
    uint32_t key; /* Or the first of a range; */
    uint32_t end; /* and one behind its last. */
    bool is_range;
    uint8_t kind;
    uint64_t ts;
    uint64_t lsn;
    uint64_t expire_us;
    uint32_t value_size;
};

struct model {
    struct prng prng;
    struct lsm_options options;
    struct lsm *lsm;
    struct slice keys[KEYS]; /* In order. */
    uint8_t key_bytes[KEYS][24];
    struct write writes[WRITES_MAX];
    uint32_t write_count;
    uint64_t ts;
    struct lsm_snapshot held[SNAPSHOTS_MAX];
    bool is_held[SNAPSHOTS_MAX];
    uint64_t rotations;
    uint64_t flushed_lsn; /* As lsm_on_flushed said last. */
    bool faults;          /* Errors of the disk are expected. */
    uint64_t errors;
};

/* From malloc: it belongs to no shard. `dir` is borrowed. */
struct model *model_new(uint64_t seed, const char *dir, bool background);
void model_free(struct model *model);
uint32_t model_below(struct model *model, uint32_t bound);

/* The functions below YIELD. An error is asserted away unless model->faults. */
err_t model_open(struct model *model);
void model_close(struct model *model);
void model_rotate(struct model *model);
void model_write(struct model *model);
/* A write of the model's to the tree; lsn 0: as one that another log holds. */
void model_apply(struct model *model, const struct write *write, uint64_t lsn);
/* These two do not wait for room, nor rotate. The key [key, end) by number. */
void model_write_key(struct model *model, uint32_t key, uint8_t kind, uint64_t expire_us);
void model_write_range(struct model *model, uint32_t key, uint32_t end);
void model_check_get(struct model *model, uint64_t snapshot);
void model_check_multi_get(struct model *model, uint64_t snapshot);
void model_check_scan(struct model *model, uint64_t snapshot);
/* Every key, and forwards and backwards over all, at the newest moment. */
void model_check_all(struct model *model);
/* One random operation of any kind. */
void model_step(struct model *model);
