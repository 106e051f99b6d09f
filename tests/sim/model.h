/* tests/sim/model.h - what a shard's keys must be: every version since the beginning, by step.
 *
 * A step is one commit. The state after step N is a function of N, so what is found after a crash
 * is compared with the state of one step, and a read that waited with the states between its
 * begin and its end. Key 0 is written by every step with the step's id: it tells which step a
 * recovered store stands at. A sorted array and nothing clever. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "tests/sim/run.h"

enum {
    MODEL_KEYS_MAX = 96,
    MODEL_KEY_BYTES_MAX = 3000,
    MODEL_COUNTERS = 4,
    MODEL_OPS_MAX = 16,
    MODEL_VALUE_HEAD_BYTES = 24,
};

enum model_op_kind { MODEL_PUT, MODEL_DELETE, MODEL_DELETE_RANGE, MODEL_COUNTER_ADD };

struct model_op {
    enum model_op_kind kind;
    uint32_t key;     /* Index; the first of a range. */
    uint32_t key_end; /* DELETE_RANGE: the first behind it. */
    uint64_t id;      /* PUT: in the value. */
    uint32_t bytes;   /* PUT: of the value, at least MODEL_VALUE_HEAD_BYTES. */
    bool is_expired;  /* PUT: it was given an expiry long ago. */
    uint32_t counter;
    int64_t delta;
};

struct model_version {
    uint64_t step;
    uint64_t id; /* 0: deleted. */
    uint32_t bytes;
    bool is_expired;
};

struct model_key {
    uint8_t name[MODEL_KEY_BYTES_MAX];
    uint32_t name_bytes;
    struct model_version *versions; /* Oldest first. */
    uint32_t count;
    uint32_t capacity;
};

struct model_step {
    uint64_t id;
    uint64_t ts;
    uint64_t lsn;
    int64_t counters[MODEL_COUNTERS];
};

struct model {
    struct run *run;
    uint32_t shard;
    uint32_t key_count;
    struct model_key keys[MODEL_KEYS_MAX]; /* Sorted by name. */
    struct model_step *steps;              /* By number, from 1; [0] is the empty beginning. */
    uint64_t step_count;
    uint64_t step_capacity;
    uint64_t durable; /* Steps at or below were reported durable. */
    uint64_t ts_max;  /* Ever given, also by steps that were lost. */
};

/* Draws the keys' names. The model's memory stays until the process ends. */
void model_init(struct model *model, struct run *run, uint32_t shard, uint32_t keys);
struct slice model_key_name(const struct model *model, uint32_t key);

/* A value's bytes, which say whose they are. */
void model_value_fill(const struct model *model, uint32_t key, uint64_t id, uint32_t bytes,
                      uint8_t *out);

/* The step that a commit was, which took effect just now. Returns its number. */
uint64_t model_commit(struct model *model, uint64_t id, const struct model_op *ops, uint32_t count,
                      uint64_t ts, uint64_t lsn);
/* The log is durable up to lsn. */
void model_durable(struct model *model, uint64_t lsn);

/* The version that is seen at a step; NULL when there is none. */
const struct model_version *model_at(const struct model *model, uint32_t key, uint64_t step);
/* A put that has not expired; accepts NULL. */
bool model_is_live(const struct model_version *version);

/* Fails the run unless these are the bytes of that version. */
void model_check_value(const struct model *model, uint32_t key, const struct model_version *version,
                       struct slice value, const char *what);
/* A read that began at step `from` and ended at `to`: what it found must have been the key's state
 * at a time between. Returns the earliest step that may have written what it saw; 0 for none. */
uint64_t model_check_read(const struct model *model, uint32_t key, uint64_t from, uint64_t to,
                          bool is_found, struct slice value, const char *what);

/* Which step is it that key 0's value names? value.size == 0: the beginning. Fails the run when it
 * is none of the history. */
uint64_t model_step_of(const struct model *model, struct slice value);
/* What was found after a start: the state of step `found`, which must not lie before what was
 * durable. Later steps are forgotten. */
void model_settle(struct model *model, uint64_t found);
/* The same without the demand: for a store that is rebuilt from nothing. */
void model_forget(struct model *model);
