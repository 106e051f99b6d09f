/* tests/sim/stores.h - the stores of all shards under load, with what they are compared with; for
 * the scenarios that let them crash, rot, and be flipped. */
#pragma once

#include "tests/sim/model.h"
#include "txn/store.h"

enum {
    STORES_LIFE_US_MAX = 60 * 1000 * 1000,
    STORES_DRAIN_US = 600 * 1000 * 1000,
};

struct store_shard {
    struct model *model;
    struct store *store;
    uint64_t commits; /* That succeeded, in this life. */
};

/* A checkpoint: which step each shard's part may stand at. */
struct store_checkpoint {
    enum { CHECKPOINT_NONE, CHECKPOINT_BEGUN, CHECKPOINT_MADE } state;
    char name[24]; /* Or the path of an export. */
    uint64_t from[SIM_SHARDS_MAX];
    uint64_t to[SIM_SHARDS_MAX];
};

struct stores {
    struct run *run;
    bool has_errors; /* EIO or ENOSPC are among the faults. */
    bool has_rot;    /* Something on the disk is wrong: an error is as good as the truth. */
    bool is_stopping;
    bool is_slow; /* The workers pause. */
    uint32_t running;
    uint32_t workers;
    uint64_t next_id;
    uint32_t value_bytes_max;
    uint32_t large_percent;
    struct store_options options; /* dir is set by each shard. */
    uint64_t rot_errors;          /* Errors that rot excused. */
    bool is_checkpointing;
    struct store_checkpoint export; /* The last one of this life. */
    struct store_checkpoint named;
    const struct store_checkpoint *opened; /* An export that is opened as a store; or NULL. */
    struct store_shard shards[SIM_SHARDS_MAX];
};

extern struct stores stores;

/* Draws models and options. */
void stores_begin(struct run *run);
/* What may change from life to life. */
void stores_draw_life(struct run *run);
void stores_spawn_workers(struct run *run);
/* For sim_world_run: stores.is_stopping was set, and they have. */
bool stores_nobody_works(void *arg);

/* From now on stores_open opens the export of this life. */
void stores_open_export(struct run *run);

/* In a fiber of each shard. Open, or compare with the model and settle what the crash took. */
err_t stores_open(void *arg);
err_t stores_verify(void *arg);
