/* perf/bench/keyspace.h - which keys a store holds, how they and their values look, and how they
 * are drawn.
 *
 * A store is filled in one of three orders, and its keys are numbers written as 16 hex digits:
 *   DENSE   0, 1, 2, ...                       fillseq
 *   RANDOM  mix(0), mix(1), ...                fillrandom: spread evenly, in no order
 *   SPREAD  ascending, one in each of n steps  ingest: spread evenly, in order
 * Values begin with the key's number, so that an answer for another key is noticed, and half of
 * the rest can be compressed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/prng.h"

enum {
    KEY_BYTES_MIN = 16,
    KEY_BYTES_MAX = 256,
    VALUE_BYTES_MAX = 32768,
};

enum keyspace_order { KEYSPACE_RANDOM, KEYSPACE_DENSE, KEYSPACE_SPREAD };

/* What is in a folder; kept in a file beside the data, so that it can be used again. */
struct keyspace {
    uint64_t keys;     /* Filled, or to be filled. */
    uint64_t inserted; /* Behind them, by ycsb-d and ycsb-e. Atomic while client threads run. */
    uint64_t key_bytes, value_bytes;
    enum keyspace_order order;
    bool is_whole; /* All of them are there: a read that finds none is an error. */
};

/* The number of key `index`: below keys for filled ones, from there on inserted ones. */
uint64_t keyspace_number(const struct keyspace *space, uint64_t index);
/* A number that no key has, different for each index, and not outside the range of all keys. */
uint64_t keyspace_absent(const struct keyspace *space, uint64_t index);
/* out: space->key_bytes bytes. */
void keyspace_key(const struct keyspace *space, uint64_t number, uint8_t *out);

/* Save to and load from FOLDER/ENGINE.keyspace; load is false when there is none. */
bool keyspace_save(const struct keyspace *space, const char *base, const char *engine);
bool keyspace_load(struct keyspace *space, const char *base, const char *engine);

/* ---- Values. One maker a thread. ---- */

struct value_maker {
    struct prng prng;
    size_t bytes;
    uint8_t *material;
    uint8_t *value;
};
void value_maker_init(struct value_maker *maker, uint64_t seed, size_t bytes);
void value_maker_fini(struct value_maker *maker);
/* Valid until the next call. */
const uint8_t *value_make(struct value_maker *maker, uint64_t number);
/* What struct bench_value's mark is for the key's number. */
uint64_t value_mark(uint64_t number, size_t bytes);

/* ---- Zipfian ranks: rank 0 is drawn most often (Gray and others, "Quickly generating
 * billion-record synthetic databases", 1994; YCSB draws the same way). ---- */

struct zipf {
    uint64_t count;
    double theta, alpha, zeta, eta;
};
/* count > 0; takes about 30 ns for each of count. */
void zipf_init(struct zipf *zipf, uint64_t count, double theta);
/* Below count. */
uint64_t zipf_draw(const struct zipf *zipf, struct prng *prng);
/* A rank scattered over 0..count-1, so that popular keys are not neighbours. */
uint64_t zipf_scatter(const struct zipf *zipf, uint64_t rank);
