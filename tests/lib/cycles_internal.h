/* tests/lib/cycles_internal.h - what cycles.c gathers and cycles_graph.c searches. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/lib/cycles.h"

enum edge_kind { EDGE_IN, EDGE_WW, EDGE_WR, EDGE_RW, EDGE_RW_PREDICATE, EDGE_RT };
#define MASK(kind) (1U << (kind))

enum {
    MASK_G0 = MASK(EDGE_IN) | MASK(EDGE_WW),
    MASK_G1 = MASK_G0 | MASK(EDGE_WR),
    MASK_ITEM = MASK_G1 | MASK(EDGE_RW),
    MASK_DATA = MASK_ITEM | MASK(EDGE_RW_PREDICATE),
    MASK_ALL = MASK_DATA | MASK(EDGE_RT),
    MASK_RW = MASK(EDGE_RW) | MASK(EDGE_RW_PREDICATE),
};

struct edge {
    uint32_t from, to; /* Places. */
    uint32_t key;
    enum edge_kind kind;
};

struct write {
    uint32_t key, txn, op;
    bool is_list;
    bool is_final; /* The transaction's last of the register, or its last append to the list. */
    uint64_t value, ts;
    uint32_t rank; /* Among the committed versions of the key; none: not in the order. */
};

/* Something that was read of another transaction, or of nobody. */
struct read {
    uint32_t key, txn, place;
    uint32_t write; /* Of the version; none: of nothing. */
    uint32_t op;
    uint32_t prefix; /* Of a list: the elements that others wrote. */
    bool is_predicate, is_list;
};

struct key_info {
    uint32_t longest;      /* Index of the read with the longest list; none. */
    uint32_t first, count; /* Its versions in `order`. */
    bool is_list, is_ordered, is_deleted;
};

struct checker {
    const struct cycles_txn *txns;
    uint32_t count;
    struct cycles_report *report;
    bool *is_committed;
    uint32_t *first_place; /* [count + 1] */
    uint32_t *txn_of;      /* [places] */
    uint32_t places;
    struct write *writes; /* By (key, value). */
    uint32_t write_count;
    struct read *reads; /* By key. */
    uint32_t read_count;
    struct key_info *keys;
    uint32_t key_count;
    uint32_t *order;    /* Writes, by key and rank. */
    struct edge *edges; /* By `from`. */
    uint32_t edge_count, edge_capacity;
    uint32_t *edge_first; /* [places + 1] */
    uint32_t *component;  /* [places]; of the last search. */
    uint32_t *component_size;
};

static const uint32_t none = UINT32_MAX;

/* Zeroed, and never NULL. */
void *cycles_new_array(size_t count, size_t size);

static inline int
cycles_compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static inline bool
cycles_is_write(const struct cycles_op *op)
{
    return op->kind == CYCLES_APPEND || op->kind == CYCLES_WRITE;
}

/* Where a transaction's writes stand. */
static inline uint32_t
cycles_write_place(const struct checker *checker, uint32_t txn)
{
    return checker->first_place[txn + 1] - 1;
}

/* The first thing that is wrong stands. Always false. */
bool cycles_found(struct checker *checker, enum cycles_anomaly anomaly, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Edges from versions and reads, and from time. False when an anomaly was found on the way. */
bool cycles_edges_make(struct checker *checker);
/* Sets the report when there is a cycle. */
void cycles_find(struct checker *checker);
