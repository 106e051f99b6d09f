/* models/types/jsonb.h - JSON as bytes in which a key is found by binary search.
 *
 *     value   tag (1), payload; its length is known from outside
 *     tag     kind (bits 0-3: enum json_kind), width of the table's numbers (bits 4-5: 1, 2, 4)
 *     number  numeric as in rows; string: its bytes
 *     array   the values, one after the other | where each ends | how many there are
 *     object  keys and values, as they came | a triple for each key: where it begins, where its
 *             value begins and ends | how many there are; triples in the order of keys: shorter
 *             ones first, then by bytes
 *
 * Of equal keys the last counts. Tables are behind what they describe, so that a value is written
 * in one pass. Walks keep their own stack: depth (JSON_DEPTH_MAX) costs none of the fiber's.
 * Nothing suspends. Errors: ERR_CORRUPT, 54000 beyond JSONB_BYTES_MAX. */
#pragma once

#include "models/types/json_text.h"
#include "models/types/type.h"

enum { JSONB_BYTES_MAX = 0x0fffffff }; /* PostgreSQL's. */

/* A value inside of one; borrowed. */
struct json_value {
    uint8_t kind;         /* enum json_kind */
    struct slice whole;   /* With the tag. */
    struct slice payload; /* Of containers: without the table. */
    const uint8_t *table;
    uint8_t width;
    uint32_t count; /* Of elements, of pairs. */
};

/* The bytes were checked. */
struct json_value json_root(struct slice bytes);
struct json_value json_at(const struct json_value *container, uint32_t index);
struct slice json_key_at(const struct json_value *object, uint32_t index);
bool json_find(const struct json_value *object, struct slice key, struct json_value *out);
err_t json_number(const struct json_value *value, struct arena *arena, struct numeric *out);
static inline struct datum
json_datum(const struct json_value *value)
{
    return datum_bytes(value->whole);
}

/* ---- Walks ---- */

enum json_step { JSON_BEGIN, JSON_KEY, JSON_SCALAR, JSON_END, JSON_DONE };
struct json_walk {
    struct buf frames;
    struct json_value value; /* BEGIN, SCALAR; END: what ends. */
    struct slice key;        /* KEY */
    struct json_value root;
    bool is_started;
};
void json_walk_init(struct json_walk *walk, struct json_value root);
void json_walk_fini(struct json_walk *walk);
enum json_step json_walk_next(struct json_walk *walk);
/* After BEGIN: not into it; its END does not come. */
void json_walk_skip(struct json_walk *walk);

/* ---- Writing ---- */

struct json_writer {
    struct buf bytes, frames, entries;
    struct arena *arena;
    uint32_t depth;
};
void json_write_init(struct json_writer *writer, struct arena *arena);
void json_write_fini(struct json_writer *writer);
err_t json_write_begin(struct json_writer *writer, enum json_kind kind);
err_t json_write_end(struct json_writer *writer);
err_t json_write_key(struct json_writer *writer, struct slice key);
err_t json_write_simple(struct json_writer *writer, enum json_kind kind); /* null, false, true */
err_t json_write_string(struct json_writer *writer, struct slice text);
err_t json_write_number(struct json_writer *writer, struct numeric number);
err_t json_write_value(struct json_writer *writer, const struct json_value *value);
/* The whole value, in the arena. */
err_t json_write_finish(struct json_writer *writer, struct datum *out);

/* ---- All of it ---- */

err_t jsonb_from_text(struct slice text, struct arena *arena, struct datum *out);
/* Events of json_parse into the writer. */
struct json_events json_write_events(struct json_writer *writer);
/* indent: as jsonb_pretty. */
void json_value_print(struct json_value value, bool is_indented, struct buf *out);
/* Are stored bytes a value? */
err_t jsonb_check(const struct type *type, struct slice bytes);
int jsonb_compare(const struct type *type, struct datum a, struct datum b);
void jsonb_key_put(struct datum value, struct buf *out);
/* "object", "array", "string", "number", "boolean", "null" */
const char *json_kind_name(enum json_kind kind);
