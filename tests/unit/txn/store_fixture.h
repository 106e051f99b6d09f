/* tests/unit/txn/store_fixture.h - lives of one store on one simulated disk, as wal_fixture.h. */
#pragma once

#include <criterion/criterion.h>

#include "engine/io/sim.h"
#include "txn/store.h"

extern struct sim_world *world;
extern struct store_options options; /* Of the next life_begin. */
extern struct store *store;

void world_begin(void);
void world_begin_seeded(uint64_t seed);
void world_end(void);

err_t life_try(void);
void life_begin(void);
void life_run(void (*fn)(void));
void life_idle(uint64_t us);
void life_crash(enum sim_crash kind);
void life_close(void);

/* In a body. Keys and values are texts; slot 1. */
lsn_t put(const char *key, const char *value);
void put_durably(const char *key, const char *value);
void delete_key(const char *key);
/* The value, in static memory; NULL when the key is not there. */
const char *get(const char *key);
const char *get_at(const struct store_snapshot *snapshot, const char *key);
