/* lsm/expiry.h - when the entries of a table expire, as far as compaction wants to know.
 *
 * A tally keeps the bytes that expire in 64 slots of equal width. The width begins at a microsecond
 * and doubles as often as the slots would not reach from the earliest expiry to the latest, so what
 * is read from a tally is late by a thirtieth of that span at most, and never early. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lsm/entry.h"

enum { EXPIRY_SLOTS = 64 };

/* What a table says of it; all zeros when nothing in it expires. Microseconds since 1970. */
struct table_expiry {
    uint64_t entries; /* That have an expiry. */
    uint64_t half_us; /* From then on at least half of the bytes have expired; 0: never. */
    uint64_t all_us;  /* From then on there are only deletes and what has expired; 0: never. */
};

struct expiry_tally {
    uint64_t bytes;   /* Keys and values of all entries. */
    uint64_t entries; /* That have an expiry. */
    uint64_t staying; /* Values without one. */
    uint64_t newest_us;
    uint64_t first; /* Slots in use: number i holds [i << shift, (i + 1) << shift) and lies at */
    uint64_t last;  /* i modulo EXPIRY_SLOTS. */
    uint32_t shift;
    uint64_t slots[EXPIRY_SLOTS];
};

/* Begins as zeros. In any order. */
void expiry_tally_add(struct expiry_tally *tally, const struct lsm_entry *entry);
struct table_expiry expiry_tally_result(const struct expiry_tally *tally);
/* Can a table with so many entries and deletes say this? */
bool table_expiry_is_sound(const struct table_expiry *expiry, uint64_t entries, uint64_t deletes);
bool table_expiry_equal(const struct table_expiry *a, const struct table_expiry *b);
