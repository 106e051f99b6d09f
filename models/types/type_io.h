/* models/types/type_io.h - text and binary forms of the built-in types, for the table of types. */
#pragma once

#include "models/types/type.h"

#define TYPE_IO(io)                                                                                \
    err_t io##_input(const struct type *type, const struct type_io *context, struct slice text,    \
                     int32_t typmod, struct datum *out);                                           \
    void io##_output(const struct type *type, const struct type_settings *settings,                \
                     struct datum value, struct buf *out);                                         \
    err_t io##_receive(const struct type *type, const struct type_io *context, struct slice bytes, \
                       struct datum *out);                                                         \
    void io##_send(const struct type *type, struct datum value, struct buf *out)

TYPE_IO(array);
TYPE_IO(bool);
TYPE_IO(bpchar);
TYPE_IO(bytea);
TYPE_IO(char);
TYPE_IO(clock);   /* time */
TYPE_IO(clocktz); /* timetz */
TYPE_IO(date);
TYPE_IO(decimal);
TYPE_IO(float);
TYPE_IO(int);
TYPE_IO(interval);
TYPE_IO(json);
TYPE_IO(jsonb);
TYPE_IO(name);
TYPE_IO(pseudo);
TYPE_IO(reg);
TYPE_IO(text);
TYPE_IO(timestamp);
TYPE_IO(timestamptz);
TYPE_IO(uuid);
TYPE_IO(varchar);
TYPE_IO(vector);
TYPE_IO(xid);

/* char(length), varchar(length), in characters. Longer text is cut by an explicit cast; otherwise
 * only spaces may go: 22001. */
err_t text_fit(const struct type *type, struct slice text, int32_t length, bool is_explicit,
               struct arena *arena, struct slice *out);
/* Whole UTF-8 without a zero byte? 22021 otherwise. */
err_t text_check(struct slice text);
/* Bytes of the first `characters` characters, at most all. */
size_t text_prefix_bytes(struct slice text, uint64_t characters);
uint64_t text_characters(struct slice text);
