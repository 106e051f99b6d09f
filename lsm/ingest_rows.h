/* lsm/ingest_rows.h - the rows that an ingest brought, for who reads of it in the log later.
 *
 * While its tables are in the tree they are read as they are. Those that compaction has merged with
 * others are looked for row by row, by their timestamp: as the log says how many rows each table
 * had, either all of them are found or it is known that versions have been collected meanwhile.
 * Tables are pinned while they are read; rows come table by table, in order within each. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "lsm/entry.h"

struct lsm;
struct lsm_ingest_rows;

/* Of all tables that one commit at `ts` has brought here: what lsm_ingest_describe gave, in its
 * order, and borrowed for the call. Errors: ERR_SNAPSHOT_TOO_OLD (not all rows are kept),
 * ERR_CORRUPT, ERR_IO. */
YIELDS err_t lsm_ingest_rows_open(struct lsm *lsm, uint64_t ts, const struct slice *descriptions,
                                  uint32_t count, struct lsm_ingest_rows **rows_out);
/* Accepts NULL; clears the pointer. */
void lsm_ingest_rows_close(struct lsm_ingest_rows **rows);
/* The next row, deletes too, valid until the next call; NULL behind the last one. */
YIELDS err_t lsm_ingest_rows_next(struct lsm_ingest_rows *rows, const struct lsm_entry **row_out);
