/* txn/record.h - a commit's log record: encoding and check, without I/O. docs/format/store.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"

enum {
    RECORD_COMMIT = 1,       /* Type. */
    RECORD_FIXED_BYTES = 16, /* Up to the origin. */
    RECORD_ORIGIN_EMPTY = 3, /* Three empty strings. */
    RECORD_SECTION_HEAD_BYTES_MAX = 1 + 3 * VARINT_BYTES_MAX,
};

enum record_kind {
    RECORD_PUT = 1,
    RECORD_PUT_LARGE = 2,
    RECORD_DELETE = 3,
    RECORD_DELETE_RANGE = 4,
    RECORD_COUNTER_ADD = 5,
    RECORD_INGEST = 6,  /* A stamped table: lsm/ingest.h. */
    RECORD_SECTION = 7, /* The writes on another shard, all of them. */
};

struct record_header {
    uint64_t ts;
    uint32_t ops;
    bool has_ingest; /* Some op is a RECORD_INGEST, here or in a section. */
    struct slice principal;
    struct slice protocol;
    struct slice tag;
};

struct record_op {
    enum record_kind kind;
    uint16_t slot;
    uint32_t counter;   /* RECORD_COUNTER_ADD: its id. RECORD_SECTION: the shard. */
    int64_t number;     /* RECORD_COUNTER_ADD. RECORD_SECTION: how many ops. */
    uint64_t expire_us; /* 0: never. */
    struct slice key;   /* RECORD_DELETE_RANGE: start. */
    struct slice value; /* RECORD_DELETE_RANGE: end. RECORD_PUT_LARGE: the pointer.
                           RECORD_INGEST: the table's description. RECORD_SECTION: its ops. */
};

/* Walks the ops of a record. Nothing is copied. */
struct record_reader {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t ops_left;
    bool may_ingest;
    bool is_section; /* There are no sections in sections. */
};

/* ---- Encoding. ---- */

void record_begin(struct buf *record, struct slice principal, struct slice protocol,
                  struct slice tag);
void record_append_put(struct buf *record, uint16_t slot, struct slice key, struct slice value,
                       uint64_t expire_us);
/* Leaves room for the pointer and returns its offset. */
uint32_t record_append_put_large(struct buf *record, uint16_t slot, struct slice key,
                                 uint64_t expire_us);
void record_append_delete(struct buf *record, uint16_t slot, struct slice key);
void record_append_delete_range(struct buf *record, struct slice start, struct slice end);
void record_append_counter(struct buf *record, uint32_t counter, int64_t delta);
void record_append_ingest(struct buf *record, struct slice description);
/* `ops` writes, encoded as in a record; the section counts as one write of its record. */
void record_append_section(struct buf *record, uint32_t shard, uint32_t ops, struct slice bytes,
                           bool has_ingest);
/* What is known only in the commit step. */
void record_finish(uint8_t *record, uint64_t ts, uint32_t ops);

/* ---- Decoding. ---- */

/* ERR_CORRUPT, ERR_FORMAT (unknown type). */
err_t record_open(struct slice record, struct record_header *header_out,
                  struct record_reader *reader_out);
/* ERR_NOT_FOUND after the last op, ERR_CORRUPT when the bytes are no op. */
err_t record_next(struct record_reader *reader, struct record_op *op_out);
/* The ops of a section: of an op that record_next gave, or as a message carried them. */
void record_section_open(struct slice bytes, uint32_t ops, bool may_ingest,
                         struct record_reader *reader_out);
/* The bytes behind the header of a record that is being built: its ops. */
struct slice record_ops(struct slice record);
/* The whole record. After ERR_OK record_next gives every op and then ERR_NOT_FOUND, and so for the
 * ops of each section. */
err_t record_check(struct slice record);
