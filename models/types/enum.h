/* models/types/enum.h - enum types: labels in an order that their users choose.
 *
 * A value is the place of its label: a 64-bit integer that never changes while the label is there.
 * So values compare, hash and sort in keys as integers do, without a look at the type; a label that
 * comes between two others takes a place between theirs. Nothing suspends. */
#pragma once

#include "models/types/type.h"

enum {
    ENUM_LABEL_BYTES_MAX = 63,
    ENUM_LABELS_MAX = 65536, /* PostgreSQL has no limit but that of memory. */
    ENUM_VALUE_BYTES = 8,
    ENUM_SHOWN_BYTES = 4, /* pg_type.typlen: what clients are told. */
};

struct enum_label {
    oid_t oid;      /* pg_enum.oid */
    int64_t place;  /* The value. */
    float order;    /* pg_enum.enumsortorder, which only pg_enum shows. */
    uint64_t since; /* The version of the catalog that ADD VALUE makes; 0: with the type. */
    bool is_unsafe; /* Its transaction has not committed: 55P04 */
    struct slice name;
};

/* All lies in the arena it was made in. */
struct enum_type {
    struct type type; /* First: a type's functions find the labels behind it. */
    struct type array;
    oid_t schema, owner;
    struct slice name, array_name;
    uint32_t count;
    struct enum_label *labels; /* By place. */
    uint32_t *by_name;         /* Their numbers, by name. */
};

/* Fills in type, array, by_name and is_unsafe from the rest. version: of the catalog. */
void enum_type_init(struct enum_type *made, oid_t oid, oid_t array_oid, uint64_t version,
                    struct arena *arena);
/* NULL: it is none. */
const struct enum_type *enum_type_of(const struct type *type);
/* By name; NULL: there is none. */
const struct enum_label *enum_label_find(const struct enum_type *type, struct slice name);
/* By value; NULL: there is none. */
const struct enum_label *enum_label_at(const struct enum_type *type, int64_t place);
/* 55P04 when it must not be used yet. */
err_t enum_label_check(const struct enum_type *type, const struct enum_label *label);
/* Places for the labels of a new type. */
void enum_places_set(struct enum_label *labels, uint32_t count);
/* Room for one more in front of labels[at] (at count: behind all): its place and order; the other
 * orders may change, too. labels[at] is the new one, the others stand around it. 54000 when no
 * place is left between the two. */
err_t enum_place_between(struct enum_label *labels, uint32_t count, uint32_t at);
