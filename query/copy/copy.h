/* query/copy/copy.h - COPY: rows of tables to and from text, CSV and PostgreSQL's binary format.
 *
 * Rows are read in batches: what the client has sent is cut into rows, each batch of them is one
 * insert of its own within the transaction (copy_in.c). Formats: PostgreSQL 15, COPY. */
#pragma once

#include "query/exec/exec.h"
#include "query/parse/nodes.h"
#include "query/session.h"

enum {
    COPY_LINE_BYTES_MAX = 64 << 20, /* 54000 above. */
    COPY_FILE_CHUNK_BYTES = 256 << 10,
};

enum copy_format { COPY_TEXT, COPY_CSV, COPY_BINARY };
enum copy_header { COPY_NO_HEADER, COPY_HEADER, COPY_HEADER_MATCH };

struct copy_options {
    enum copy_format format;
    enum copy_header header;
    char delimiter, quote, escape;
    struct slice null;
    bool force_quote_all;
    const List *force_quote, *force_not_null, *force_null; /* Names; NIL: none. */
};

/* From the statement's list. Errors: ERR_SQL, and *position_out a byte offset or -1. */
err_t copy_options_read(const CopyStmt *node, struct copy_options *options_out,
                        int32_t *position_out);

/* One column that is copied. */
struct copy_column {
    struct slice name;
    const struct type *type;
    int32_t typmod;
    bool quotes;         /* FORCE_QUOTE */
    bool is_never_null;  /* FORCE_NOT_NULL */
    bool is_null_quoted; /* FORCE_NULL: a quoted text may be the null text too. */
};

/* Marks the columns that FORCE_QUOTE and its like name. 42P10: they are not copied. */
err_t copy_columns_force(const struct copy_options *options, struct copy_column *columns,
                         uint32_t count);

/* What a run needs beside the bound statement. */
struct copy {
    struct exec *exec;
    const struct statement *statement;
    const struct plan *plan;
    const CopyStmt *node;
    const struct sql_sink *sink;
    const char *folder; /* Where server-side files may lie; NULL: they are refused. */
    int32_t position;   /* Out, on errors: byte offset, -1 none. */
    uint64_t rows;      /* Out. */
};

/* COPY ... TO. */
YIELDS err_t copy_out_run(struct copy *copy);
/* COPY ... FROM. It cannot be run again once it has begun to read. */
YIELDS err_t copy_in_run(struct copy *copy);

/* ---- Reading: copy_read.c cuts bytes into rows. ---- */

struct copy_reader;

/* Where bytes come from: appends some, none at the end. */
struct copy_bytes {
    YIELDS err_t (*more)(void *arg, struct buf *out);
    void *arg;
};

/* Options and columns are borrowed. table: for messages. */
struct copy_reader *copy_reader_new(const struct copy_options *options,
                                    const struct copy_column *columns, uint32_t count,
                                    struct slice table, const struct type_settings *settings,
                                    const struct copy_bytes *bytes);
void copy_reader_free(struct copy_reader **reader);
/* The next rows: vectors of the columns, then their numbers from 0. *batch_out NULL at the end.
 * Values are good until the next call. Errors have the line as their context. */
YIELDS err_t copy_reader_next(struct copy_reader *reader, const struct batch **batch_out);
/* Adds the place of row `number` of the last batch to an error. */
err_t copy_reader_context(const struct copy_reader *reader, uint32_t number, err_t err);

/* ---- What the formats share: copy_fields.c ---- */

/* Fields of one line. */
struct copy_field {
    struct slice text;
    bool is_null;
};

/* Cuts a line (without its end) into fields; their bytes are in the line or in the arena. At most
 * `most` are stored; *count_out counts all of them. 22P04: an unterminated quote. */
err_t copy_text_split(const struct copy_options *options, struct slice line, struct arena *arena,
                      struct copy_field *fields, uint32_t most, uint32_t *count_out);
err_t copy_csv_split(const struct copy_options *options, const struct copy_column *columns,
                     struct slice line, struct arena *arena, struct copy_field *fields,
                     uint32_t most, uint32_t *count_out);
void copy_text_put(const struct copy_options *options, struct slice value, struct buf *out);
/* alone: it is the only column of its row. */
void copy_csv_put(const struct copy_options *options, struct slice value, bool quotes, bool alone,
                  struct buf *out);

extern const uint8_t copy_signature[11];
