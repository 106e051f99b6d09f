/* lsm/ingest_rows.c - see ingest_rows.h. */
#include "lsm/ingest_rows.h"

#include <inttypes.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "lsm/ingest.h"
#include "lsm/internal.h"

#include "engine/base/poison.h"

enum { AHEAD_BYTES = 256 << 10 };

struct lsm_ingest_rows {
    uint64_t ts;
    struct lsm_table **tables; /* Pinned; those of the ingest first. */
    uint32_t count, capacity;
    uint32_t whole; /* So many are the ingest's own; of the others some rows are. */
    uint32_t at;    /* The table that is read. */
    struct table_iter *iter;
    bool has_begun; /* With that table. */
};

/* What the log says: numbers rise, as files are numbered in their order. */
struct wanted {
    uint64_t *numbers;
    uint32_t count;
    uint64_t rows; /* In all tables, less those that were found. */
};

static err_t
wanted_read(const struct slice *descriptions, uint32_t count, struct wanted *wanted)
{
    uint64_t before = 0;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t rows;

        TRY(lsm_ingest_described(descriptions[i], &wanted->numbers[i], &rows));
        if (wanted->numbers[i] <= before) {
            err = err_set(ERR_CORRUPT, "the tables of an ingest are not in order");
            goto out;
        }
        before = wanted->numbers[i];
        wanted->rows += rows;
    }
    wanted->count = count;
out:
    return err;
}

static bool
wanted_has(const struct wanted *wanted, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = wanted->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (wanted->numbers[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < wanted->count && wanted->numbers[low] == number;
}

static void
table_take(struct lsm_ingest_rows *rows, struct lsm_table *table)
{
    if (rows->count == rows->capacity) {
        uint32_t capacity = MAX(8u, rows->capacity * 2);

        rows->tables =
            mem_realloc(MEM_BACKGROUND, rows->tables, rows->capacity * sizeof(rows->tables[0]),
                        capacity * sizeof(rows->tables[0]));
        rows->capacity = capacity;
    }
    lsm_table_pin(table);
    rows->tables[rows->count++] = table;
}

/* The tables of the tree that may have rows of that timestamp: those of the ingest, or others. */
static void
tables_find(struct lsm_ingest_rows *rows, const struct lsm *lsm, struct wanted *wanted,
            bool are_own)
{
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        const struct level *level = &lsm->version->levels[i];

        for (uint32_t k = 0; k < level->count; k++) {
            const struct table_meta *meta = level->tables[k]->meta;

            if (meta->ts_oldest <= rows->ts && meta->ts_newest >= rows->ts &&
                wanted_has(wanted, meta->file_number) == are_own) {
                table_take(rows, level->tables[k]);
                wanted->rows -= are_own ? MIN(meta->entries, wanted->rows) : 0;
            }
        }
    }
}

/* ---- Reading. ---- */

static YIELDS err_t
table_step(struct lsm_ingest_rows *rows)
{
    static const struct table_iter_options options = {.read_ahead_bytes = AHEAD_BYTES};

    if (rows->iter == NULL) {
        rows->iter = table_iter_new(rows->tables[rows->at]->table, &options);
        rows->has_begun = false;
    }
    if (!rows->has_begun) {
        rows->has_begun = true;
        return table_iter_seek_first(rows->iter);
    }
    return table_iter_next(rows->iter);
}

YIELDS err_t
lsm_ingest_rows_next(struct lsm_ingest_rows *rows, const struct lsm_entry **row_out)
{
    err_t err = ERR_OK;

    *row_out = NULL;
    while (rows->at < rows->count && *row_out == NULL) {
        TRY(table_step(rows));
        if (!table_iter_is_valid(rows->iter)) {
            table_iter_free(&rows->iter);
            rows->at++;
        } else if (table_iter_entry(rows->iter)->ts == rows->ts) {
            *row_out = table_iter_entry(rows->iter);
        }
        fiber_work(1);
    }
out:
    return err;
}

/* Are all the rows that were merged into other tables still there? */
static YIELDS err_t
others_check(struct lsm_ingest_rows *rows, uint64_t missing)
{
    const struct lsm_entry *row;
    uint64_t found = 0;
    err_t err;

    rows->at = rows->whole;
    do {
        TRY(lsm_ingest_rows_next(rows, &row));
        found += row != NULL;
    } while (row != NULL);
    rows->at = 0;
    SOMETIMES_IF(found == missing, "lsm: merged rows of an ingest were found by their timestamp");
    if (found != missing) {
        err = err_set(ERR_SNAPSHOT_TOO_OLD,
                      "%" PRIu64 " rows of an ingest or of a large transaction are no longer kept",
                      missing > found ? missing - found : found - missing);
    }
out:
    return err;
}

YIELDS err_t
lsm_ingest_rows_open(struct lsm *lsm, uint64_t ts, const struct slice *descriptions, uint32_t count,
                     struct lsm_ingest_rows **rows_out)
{
    struct lsm_ingest_rows *rows = MEM_NEW(MEM_BACKGROUND, struct lsm_ingest_rows);
    struct wanted wanted = {0};
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    ASSERT(count <= LSM_INGEST_TABLES_MAX);
    rows->ts = ts;
    wanted.numbers = mem_alloc(MEM_BACKGROUND, count * sizeof(wanted.numbers[0]));
    TRY(wanted_read(descriptions, count, &wanted));
    tables_find(rows, lsm, &wanted, true);
    rows->whole = rows->count;
    if (wanted.rows > 0) {
        tables_find(rows, lsm, &wanted, false);
        TRY(others_check(rows, wanted.rows));
    }
    *rows_out = rows;
    rows = NULL;
out:
    mem_free(MEM_BACKGROUND, wanted.numbers, count * sizeof(wanted.numbers[0]));
    lsm_ingest_rows_close(&rows);
    return err;
}

void
lsm_ingest_rows_close(struct lsm_ingest_rows **pointer)
{
    struct lsm_ingest_rows *rows = *pointer;

    *pointer = NULL;
    if (rows == NULL) {
        return;
    }
    if (rows->iter != NULL) {
        table_iter_free(&rows->iter);
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        lsm_table_unpin(rows->tables[i]);
    }
    mem_free(MEM_BACKGROUND, rows->tables, rows->capacity * sizeof(rows->tables[0]));
    MEM_FREE(MEM_BACKGROUND, rows);
}
