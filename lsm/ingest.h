/* lsm/ingest.h - stamped tables: sorted writes of any size, committed by one small log record.
 *
 *     build     rows in order -> finished, synced tables that nobody sees; their rows have ts 0
 *     commit    the log record names the tables; from that step on they are part of the version,
 *               and every row has the commit's timestamp (the stamp)
 *     settle    the flush of the memtable that was active then writes them into the manifest
 *
 * Until they are settled the log is what makes them last: recovery reads the record, opens the
 * tables again and applies them as the commit did. A manifest never lists a table that is not
 * settled, because the log may still lose its record (durability below sync).
 * Timestamps decide, never the place: so a table goes to the deepest level where it fits. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "lsm/entry.h"

struct lsm;
struct lsm_ingest;
struct edit;
struct lsm_table;

enum { LSM_INGEST_TABLES_MAX = 1 << 16 };

/* ---- Building. ---- */

struct lsm_ingest *lsm_ingest_new(struct lsm *lsm);
/* Keys must rise strictly; ts and lsn of the entry are not looked at; LSM_DELETE is allowed, values
 * above LSM_VALUE_INLINE_BYTES_MAX go to the value log, and an LSM_PUT_LARGE points to a value
 * whose file somebody else refers to until the finish. ERR_INVALID for a key out of order,
 * ERR_LIMIT, ERR_NO_SPACE, ERR_IO. After an error only lsm_ingest_free may follow. */
YIELDS err_t lsm_ingest_add(struct lsm_ingest *ingest, const struct lsm_entry *entry);
/* Files and folder synced. No more rows. */
YIELDS err_t lsm_ingest_finish(struct lsm_ingest *ingest);
/* Removes the tables, unless they were applied. Accepts NULL; clears the pointer. */
YIELDS void lsm_ingest_free(struct lsm_ingest **ingest);

uint32_t lsm_ingest_table_count(const struct lsm_ingest *ingest);
/* For lsm/runs.c. */
struct lsm_table *lsm_ingest_table(const struct lsm_ingest *ingest, uint32_t index);
uint64_t lsm_ingest_rows(const struct lsm_ingest *ingest);
/* What a log record keeps of table `index`, and lsm_ingest_reopen reads. */
void lsm_ingest_describe(const struct lsm_ingest *ingest, uint32_t index, struct buf *out);

/* ---- Committing. ---- */

/* The tables become visible at `ts`. Never suspends and never fails. `lsn`: of the log record,
 * 0 when another log has it, durably. */
void lsm_ingest_apply(struct lsm *lsm, struct lsm_ingest *ingest, uint64_t ts, uint64_t lsn);

/* Recovery: the ingest of a log record, ready to be applied. Add each description in order.
 * ERR_CORRUPT when a table is missing or not the one that was described. */
YIELDS err_t lsm_ingest_reopen(struct lsm_ingest *ingest, struct slice description);
/* Its files stay, applied or not: a recovery that failed removes nothing. */
void lsm_ingest_keep(struct lsm_ingest *ingest);
/* Is it one? Checks the bytes only. */
err_t lsm_ingest_check(struct slice description);
/* The number of the table's file, and of its rows. ERR_CORRUPT. */
err_t lsm_ingest_described(struct slice description, uint64_t *file_number_out, uint64_t *rows_out);

/* ---- Settling: for flush.c, lsm_commit.c and lsm.c. ---- */

/* Something was applied since the last rotation: settling it should not wait. */
bool lsm_ingest_wants_rotation(const struct lsm *lsm);
/* The flush of memtable number `memtable` puts what waits for it into its edit; when the edit is
 * durable, compaction may have the tables. */
void lsm_ingest_settle_begin(const struct lsm *lsm, uint64_t memtable, struct edit *edit);
void lsm_ingest_settle_end(struct lsm *lsm, const struct edit *edit);
void lsm_ingest_fini(struct lsm *lsm);
