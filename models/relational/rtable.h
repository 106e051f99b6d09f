/* models/relational/rtable.h - rows of a table and their index entries, as keys of the store.
 *
 * A row lies under its primary key, or under a hidden id, at the slot of that. Bytes:
 * docs/format/relational.md. Functions work in a transaction and see what its snapshot shows. */
#pragma once

#include "models/relational/catalog.h"
#include "txn/fragment.h"

/* A row as it is passed about: one value a column of the relation, dropped ones null; where it is
 * written, the values of relation.virtuals behind them (relation_width). */
struct row {
    struct datum *values;
    uint8_t *nulls;
};

/* The part of the row's key behind the storage's prefix: sorted as the primary key is. */
void rtable_key_put(const struct relation *relation, const struct row *row, struct buf *out);

/* ---- Writing ---- */

/* Keys that this statement has written: it does not see them in its snapshot. */
struct rtable_writes;
struct rtable_writes *rtable_writes_new(void);
void rtable_writes_free(struct rtable_writes **writes);

/* Looks at the unique keys of rows that are about to be inserted, all at once, and keeps which of
 * them nobody has taken at the statement's snapshot: one message a shard instead of one a row. Not
 * needed, and harmless when it is wrong about what follows. */
YIELDS err_t rtable_look(struct txn *txn, const struct relation *relation, const struct row *rows,
                         uint32_t count, struct rtable_writes *writes);
/* Adds the row and its index entries. row_key_out (may be NULL): where it lies. Errors: 23505 with
 * the constraint's name and its key in the detail; as of the transaction. The statement's end
 * calls txn_flush. */
YIELDS err_t rtable_insert(struct txn *txn, const struct relation *relation, const struct row *row,
                           struct rtable_writes *writes);
/* Is there a row with the same value of a unique index? index NULL: of any. *found_out: the key of
 * that row, in the arena, empty when there is none; *index_out which index. */
YIELDS err_t rtable_conflict_find(struct txn *txn, const struct relation *relation,
                                  const struct index *index, const struct row *row,
                                  struct rtable_writes *writes, struct arena *arena,
                                  struct slice *found_out, const struct index **index_out);
/* row_key: of the old row, as a scan gave it. */
YIELDS err_t rtable_update(struct txn *txn, const struct relation *relation, struct slice row_key,
                           const struct row *old, const struct row *new,
                           struct rtable_writes *writes);
void rtable_delete(struct txn *txn, const struct relation *relation, struct slice row_key,
                   const struct row *old, struct rtable_writes *writes);
/* "Key (a, b)=(1, 2)", for details of errors. */
void rtable_key_describe(const struct relation *relation, const struct index *index,
                         const struct row *row, struct buf *out);
/* The values of the index's parts, as its entries begin. True: a null is among them. */
bool rtable_index_key_put(const struct relation *relation, const struct index *index,
                          const struct row *row, struct buf *out);
/* All entries of a storage number. */
void rtable_storage_delete(struct txn *txn, uint32_t storage);
/* Everything: rows and index entries, by range deletes. */
void rtable_truncate(struct txn *txn, const struct relation *relation);
/* The entries of one index for a row: CREATE INDEX. 23505. */
YIELDS err_t rtable_index_row(struct txn *txn, const struct relation *relation,
                              const struct index *index, struct slice row_key,
                              const struct row *row, struct rtable_writes *writes);

/* ---- Reading ---- */

/* What a scan reads: the whole table, or the rows whose key (of the primary key or an index)
 * lies in [lower, upper) of encoded keys. */
struct rtable_scan_options {
    const struct relation *relation;
    const struct index *index; /* NULL: in the order of the rows' keys. */
    struct slice lower, upper; /* Without the storage's prefix; empty: from the start, to the
                                       end. Copied. */
    uint32_t slot;             /* TXN_ALL_SHARDS, or where all of it lies. */
    const uint16_t *columns;   /* To decode, ascending; others are null. Borrowed. */
    uint32_t column_count;
    bool is_backward;
    bool
        is_point; /* `lower` is a whole key of the unique index: at most one row, got by its key. */
};
struct rtable_scan;
YIELDS err_t rtable_scan_open(struct txn *txn, const struct rtable_scan_options *options,
                              struct rtable_scan **scan_out);
void rtable_scan_close(struct rtable_scan **scan);
/* Up to `rows` rows; *count_out 0 at the end. columns has a vector for each column of options, with
 * room for `rows` values and nulls. keys (may be NULL): the rows' keys. What values refer to lies
 * in the arena. */
YIELDS err_t rtable_scan_next(struct rtable_scan *scan, struct arena *arena, uint32_t rows,
                              struct vector *columns, struct slice *keys, uint32_t *count_out);
/* All rows of the table, read where they lie: txn/fragment.h, whose calls these are. */
YIELDS err_t rtable_fragments_open(struct txn *txn, const struct relation *relation,
                                   txn_fragment_fn fn, const void *arg,
                                   struct txn_fragments **fragments_out);
/* Of a piece, as rtable_scan_next. */
YIELDS err_t rtable_piece_next(struct txn_piece *piece, const struct relation *relation,
                               const uint16_t *wanted, uint32_t wanted_count, struct arena *arena,
                               uint32_t rows, struct vector *columns, uint32_t *count_out);
/* One row by its key. *is_found_out false: there is none. */
YIELDS err_t rtable_get(struct txn *txn, const struct relation *relation, struct slice row_key,
                        struct arena *arena, struct row *row_out, bool *is_found_out);

/* The key bytes of one value in an index or primary key, with its null flag and direction. */
void rtable_key_value_put(const struct type *type, struct datum value, bool is_null,
                          bool is_descending, struct buf *out);
/* Slot of a row's or a unique entry's key. */
uint16_t rtable_slot(struct slice key);

/* Draws the hidden id of a row: table_id.c. */
YIELDS err_t rtable_id_take(uint64_t *id_out);
