/* query/exec/spool.h - rows that are kept to be read again, from any place and several times: in
 * memory up to work_mem, beyond it on a tape. */
#pragma once

#include "query/exec/exec.h"

/* Where rows begin on the tape. */
struct spool_page {
    uint64_t first, place;
};

struct spool {
    const struct plan_column *columns;
    uint32_t column_count;
    uint64_t count;
    struct rows rows; /* While all of them are in memory. */
    struct spill_file *file;
    struct tape tape;
    struct spool_page *pages;
    uint32_t page_count, page_capacity;
    struct buf record;
};

/* Of one who reads. It remembers its place, so that reading on costs nothing. */
struct spool_reader {
    struct tape_reader tape;
    bool is_open;
    uint64_t next; /* The row that the tape's reader comes to. */
};

void spool_init(struct spool *spool, const struct plan_column *columns, uint32_t column_count);
/* Its readers are closed before. */
void spool_fini(struct spool *spool);
uint64_t spool_memory_bytes(const struct spool *spool);
YIELDS err_t spool_add(struct spool *spool, struct spill_budget *budget, const struct batch *batch,
                       uint32_t row);
/* Rows [first, first + count) into a batch with room for them; everything is copied into the
 * arena. */
YIELDS err_t spool_fill(struct spool *spool, struct spool_reader *reader, uint64_t first,
                        uint32_t count, struct arena *arena, struct batch *batch);
void spool_reader_close(struct spool_reader *reader);
