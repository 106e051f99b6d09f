/* query/exec/spill.h - rows that do not fit work_mem: streams of records in a temporary file.
 *
 * An operator that needs room has one file, cut into chunks of SPILL_CHUNK_BYTES, each with a
 * checksum. A tape is a stream of records: a list of chunks, of which the one that is written now
 * is in memory. Chunks of a tape that has ended are used again by others of the file.
 *
 *     chunk    checksum (8, of the rest) | bytes used (4) | zero (4) | a piece of the stream
 *     record   varint size | bytes; it may go on in the tape's next chunk
 *     row      a bit for each null | values: integers as zigzag varints, floats as 8 bytes, text
 *              and its like and numerics behind a varint size, intervals 16 bytes, timetz 12 */
#pragma once

#include "models/types/datum.h"
#include "query/plan/plan.h"

struct io_file;
struct kept_row;
struct rows;
struct spill_file;

enum {
    SPILL_CHUNK_BYTES = 16 << 10,
    SPILL_WORK_BYTES = 4 << 20, /* work_mem where no session says otherwise. */
};

/* A session's: what its statements may use. */
struct spill_budget {
    uint64_t work_bytes; /* Of memory, for each operator. */
    uint64_t file_bytes_max;
    uint64_t file_bytes; /* Of temporary files, now. */
};

/* 53400 beyond file_bytes_max; 53100, 58030. The budget outlives the file. */
YIELDS err_t spill_file_open(struct spill_budget *budget, struct spill_file **file_out);
/* The same of an empty file that is open: it is the spill file's from now on. */
struct spill_file *spill_file_of(struct spill_budget *budget, struct io_file *opened);
/* Accepts NULL; clears the pointer. All tapes of it are of no use then. Does not suspend. */
void spill_file_close(struct spill_file **file);
uint64_t spill_file_bytes(const struct spill_file *file); /* Its largest size. NULL: 0. */

struct tape {
    struct spill_file *file; /* Borrowed. */
    uint32_t *chunks;
    uint32_t count, capacity;
    uint8_t *buffer; /* Of the chunk after those; NULL: nothing is written. */
    uint32_t filled;
    uint64_t records;
};

void tape_init(struct tape *tape, struct spill_file *file);
/* Its chunks are free for others, unless the file is closed: then file_is_open is false. */
void tape_fini(struct tape *tape, bool file_is_open);
YIELDS err_t tape_add(struct tape *tape, struct slice record);
/* No more will be added: what is in memory goes to the file. */
YIELDS err_t tape_end(struct tape *tape);
/* Where the next record will begin. */
uint64_t tape_place(const struct tape *tape);

struct tape_reader {
    struct tape *tape;
    uint8_t *buffer;
    uint32_t chunk, at, filled;
    bool is_loaded, is_tail; /* Of what was not written yet: there may be more by now. */
    struct buf record;
};
void tape_reader_init(struct tape_reader *reader, struct tape *tape);
void tape_reader_fini(struct tape_reader *reader);
void tape_reader_seek(struct tape_reader *reader, uint64_t place);
/* Borrowed until the next call. *is_end_out: there are no more. ERR_CORRUPT. */
YIELDS err_t tape_read(struct tape_reader *reader, struct slice *record_out, bool *is_end_out);

/* ---- Rows ---- */

void spill_row_put(const struct plan_column *columns, uint32_t count, const struct kept_row *row,
                   struct buf *out);
void spill_batch_row_put(const struct plan_column *columns, uint32_t count,
                         const struct batch *batch, uint32_t row, struct buf *out);
/* Everything is copied into the arena. ERR_CORRUPT. */
err_t spill_row_get(const struct plan_column *columns, uint32_t count, struct slice record,
                    struct arena *arena, struct kept_row *row_out);
/* The same, into a row of a batch. */
err_t spill_batch_row_get(const struct plan_column *columns, uint32_t count, struct slice record,
                          struct arena *arena, struct batch *batch, uint32_t row);
