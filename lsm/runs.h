/* lsm/runs.h - sorted runs of writes that nobody sees yet, for transactions larger than memory.
 *
 * A run is tables written by lsm/ingest.h with at most one row a key; a later run's row of a key
 * counts, and deletes are rows. Rows carry the number of their run (1, 2, ...) as timestamp. The
 * tables are in no version: they go with the runs, or at the next start after a crash. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "lsm/entry.h"

struct lsm;
struct lsm_runs;
struct lsm_runs_iter;

enum { LSM_RUNS_MAX = 512 }; /* Of one transaction: ERR_LIMIT. */

struct lsm_runs *lsm_runs_new(struct lsm *lsm);
/* Removes the files. Accepts NULL; clears the pointer. */
YIELDS void lsm_runs_free(struct lsm_runs **runs);

/* Rows in the order of their keys, as lsm_ingest_add takes them; then the end, which makes them a
 * run if there were any. After an error the rows are gone. Errors: ERR_LIMIT, ERR_NO_SPACE,
 * ERR_IO. */
YIELDS err_t lsm_runs_add(struct lsm_runs *runs, const struct lsm_entry *entry);
YIELDS err_t lsm_runs_end(struct lsm_runs *runs);
uint32_t lsm_runs_count(const struct lsm_runs *runs);
/* Only the first `count` stay. Iterators that are open keep what they read. */
YIELDS void lsm_runs_cut(struct lsm_runs *runs, uint32_t count);
uint64_t lsm_runs_bytes(const struct lsm_runs *runs); /* Of their files. */

/* The newest row of the key in the first `limit` runs; its value, or pointer, is in the arena. */
YIELDS err_t lsm_runs_get(const struct lsm_runs *runs, struct slice key, uint32_t limit,
                          struct arena *arena, struct lsm_entry *entry_out, bool *found_out);
/* The whole value of a row: of the value log, or a copy. */
YIELDS err_t lsm_runs_value(struct lsm *lsm, const struct lsm_entry *entry, struct arena *arena,
                            struct slice *value_out);

/* The newest row of each key in the first `limit` runs, deletes too. It moves on in the direction
 * of its last seek only. `ahead_bytes` is read ahead of it in each run; 0: as it finds best. */
struct lsm_runs_iter *lsm_runs_iter_new(const struct lsm_runs *runs, uint32_t limit,
                                        uint32_t ahead_bytes);
void lsm_runs_iter_free(struct lsm_runs_iter **iter);                          /* Accepts NULL. */
YIELDS err_t lsm_runs_iter_seek(struct lsm_runs_iter *iter, struct slice key); /* First >= key. */
/* Last < key; an empty key: the last of all. */
YIELDS err_t lsm_runs_iter_seek_before(struct lsm_runs_iter *iter, struct slice key);
YIELDS err_t lsm_runs_iter_step(struct lsm_runs_iter *iter);
/* NULL: at the end. Valid until the next move. */
const struct lsm_entry *lsm_runs_iter_entry(const struct lsm_runs_iter *iter);
