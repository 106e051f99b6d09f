/* models/types/tuple.h - rows as values: type record.
 *
 *     record  varint fields | each: varint type, varint size and bytes of its name, and then
 *             0 for null, or 1, varint size and bytes of the value as in rows (type_row_put)
 *
 * Behind the number of a type that users made stands the address of its struct: records are never
 * stored, and the catalog that the type belongs to outlives the statement. So a record says itself
 * what is in it, and no catalog is asked for its text form. */
#pragma once

#include "models/types/type.h"

enum { TUPLE_FIELDS_MAX = 1664 };

struct tuple_writer {
    struct buf bytes, value;
};
void tuple_begin(struct tuple_writer *writer, uint32_t fields);
void tuple_add(struct tuple_writer *writer, const struct type *type, struct slice name,
               bool is_null, struct datum value);
/* Frees the writer; the record lies in the arena. */
struct slice tuple_end(struct tuple_writer *writer, struct arena *arena);

struct tuple_field {
    const struct type *type;
    struct slice name;
    bool is_null;
    struct datum value;
};
struct tuple_reader {
    const uint8_t *at, *end;
    uint32_t fields; /* That are left. */
};
/* ERR_CORRUPT when the bytes are none. Names and values are borrowed from the record. */
err_t tuple_open(struct slice record, struct tuple_reader *reader_out);
err_t tuple_next(struct tuple_reader *reader, struct arena *arena, struct tuple_field *out);

/* For the table of types. */
err_t tuple_input(const struct type *type, const struct type_io *io, struct slice text,
                  int32_t typmod, struct datum *out);
void tuple_output(const struct type *type, const struct type_settings *settings, struct datum value,
                  struct buf *out);
err_t tuple_receive(const struct type *type, const struct type_io *io, struct slice bytes,
                    struct datum *out);
void tuple_send(const struct type *type, struct datum value, struct buf *out);
int tuple_compare(const struct type *type, struct datum a, struct datum b);
/* Equal records have equal bytes. */
void tuple_hash_put(struct datum value, struct buf *out);
