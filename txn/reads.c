/* txn/reads.c - what was read: an append while reading; sorted and joined when somebody asks.
 *
 *     entry: is a range (1 byte), size of lower (4), of upper (4), lower, upper
 *
 * Sorted, entries are disjoint and do not touch: keys that lie in a range and ranges that meet are
 * joined. At a bound neighbours are joined, four to one, also over what lies between them. */
#include "txn/reads.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/rt/fiber.h"

#include "engine/base/poison.h"

enum {
    ENTRY_HEADER_BYTES = 9,
    JOIN_COUNT = 4,
    READS_BUFFER_KEPT = 64 << 10, /* Of a set that is cleared for reuse. */
    SORT_UNITS = 1,               /* Of fiber_work, for each entry checked. */
};

struct entry {
    struct slice lower;
    struct slice upper; /* A range; empty: to the end. */
    bool is_range;
};

void
reads_init(struct reads *reads)
{
    *reads = (struct reads){0};
    buf_init(&reads->bytes, MEM_SESSIONS);
    buf_init(&reads->places, MEM_SESSIONS);
}

void
reads_clear(struct reads *reads)
{
    if (reads->bytes.capacity > READS_BUFFER_KEPT || reads->places.capacity > READS_BUFFER_KEPT) {
        reads_fini(reads);
        reads_init(reads);
        return;
    }
    buf_clear(&reads->bytes);
    buf_clear(&reads->places);
    reads->count = 0;
    reads->ranges = 0;
    reads->last = 0;
    reads->is_sorted = false;
    reads->is_everything = false;
}

void
reads_fini(struct reads *reads)
{
    buf_fini(&reads->bytes);
    buf_fini(&reads->places);
}

/* ---- Entries. ---- */

static struct entry
entry_at(const uint8_t *bytes, uint32_t place)
{
    uint32_t lower_size = get_le32(bytes + place + 1);
    const uint8_t *lower = bytes + place + ENTRY_HEADER_BYTES;

    return (struct entry){.is_range = bytes[place] != 0,
                          .lower = slice_of(lower, lower_size),
                          .upper = slice_of(lower + lower_size, get_le32(bytes + place + 5))};
}

static size_t
entry_bytes(const struct entry *entry)
{
    return ENTRY_HEADER_BYTES + entry->lower.size + entry->upper.size;
}

static void
entry_append(struct buf *bytes, const struct entry *entry)
{
    uint8_t *out = buf_reserve(bytes, entry_bytes(entry));

    out[0] = entry->is_range;
    put_le32(out + 1, (uint32_t)entry->lower.size);
    put_le32(out + 5, (uint32_t)entry->upper.size);
    if (entry->lower.size > 0) {
        memcpy(out + ENTRY_HEADER_BYTES, entry->lower.data, entry->lower.size);
    }
    if (entry->upper.size > 0) {
        memcpy(out + ENTRY_HEADER_BYTES + entry->lower.size, entry->upper.data, entry->upper.size);
    }
    bytes->size += entry_bytes(entry);
}

/* Does all of the entry lie before the key? */
static bool
entry_ends_before(const struct entry *entry, struct slice key)
{
    if (!entry->is_range) {
        return slice_compare(entry->lower, key) < 0;
    }
    return entry->upper.size > 0 && slice_compare(entry->upper, key) <= 0;
}

static struct entry
sorted_at(const struct reads *reads, uint32_t index)
{
    return entry_at(reads->bytes.data, get_le32(reads->places.data + 4 * (size_t)index));
}

/* ---- Sorting. ---- */

static int
place_compare(const void *a, const void *b, void *bytes)
{
    struct entry entry_a = entry_at(bytes, *(const uint32_t *)a);
    struct entry entry_b = entry_at(bytes, *(const uint32_t *)b);
    int order = slice_compare(entry_a.lower, entry_b.lower);

    /* The range before the key that it begins with. */
    return order != 0 ? order : (int)entry_b.is_range - (int)entry_a.is_range;
}

static void
places_find(struct reads *reads)
{
    uint32_t place = 0;

    buf_clear(&reads->places);
    while (place < reads->bytes.size) {
        struct entry entry = entry_at(reads->bytes.data, place);

        buf_append(&reads->places, &place, sizeof(place));
        place += (uint32_t)entry_bytes(&entry);
    }
    ASSERT(reads->places.size == reads->count * sizeof(place));
}

/* The later of two ends; empty is the latest. */
static struct slice
later_upper(struct slice a, struct slice b)
{
    if (a.size == 0 || b.size == 0) {
        return slice_of(NULL, 0);
    }
    return slice_compare(a, b) >= 0 ? a : b;
}

/* Takes `next`, which does not begin before it, into the entry, if they meet. */
static bool
entry_join(struct entry *entry, const struct entry *next)
{
    if (!entry->is_range) { /* Sorted: an equal range would stand before. */
        return !next->is_range && slice_equal(entry->lower, next->lower);
    }
    if (entry->upper.size > 0) {
        int order = slice_compare(next->lower, entry->upper);

        if (order > 0 || (order == 0 && !next->is_range)) {
            return false;
        }
        if (next->is_range) {
            entry->upper = later_upper(entry->upper, next->upper);
        }
    }
    return true;
}

static void
sorted_append(struct reads *reads, struct buf *bytes, const struct entry *entry)
{
    uint32_t place = (uint32_t)bytes->size;

    put_le32(reads->places.data + 4 * (size_t)reads->count, place);
    entry_append(bytes, entry);
    reads->last = place;
    reads->count++;
    reads->ranges += entry->is_range;
}

/* The sorted entries take the place of the others. */
static void
reads_replace(struct reads *reads, struct buf *bytes)
{
    reads->places.size = reads->count * sizeof(uint32_t);
    buf_fini(&reads->bytes);
    reads->bytes = *bytes;
    reads->is_sorted = true;
}

static void
reads_sort(struct reads *reads)
{
    uint32_t count = reads->count;
    struct entry entry;
    struct buf sorted;

    if (reads->is_sorted || count == 0) {
        return;
    }
    places_find(reads);
    qsort_r(reads->places.data, count, sizeof(uint32_t), place_compare, reads->bytes.data);
    buf_init(&sorted, MEM_SESSIONS);
    buf_reserve(&sorted, reads->bytes.size);
    reads->count = 0;
    reads->ranges = 0;
    entry = sorted_at(reads, 0);
    for (uint32_t i = 1; i < count; i++) {
        struct entry next = sorted_at(reads, i);

        if (!entry_join(&entry, &next)) {
            sorted_append(reads, &sorted, &entry); /* Never writes places that are still to read. */
            entry = next;
        }
    }
    sorted_append(reads, &sorted, &entry);
    reads_replace(reads, &sorted);
}

/* ---- Bounds. ---- */

/* The entries from first on become one range. Its upper bound: that of a key is the next possible
 * key, for which `key` has the memory. */
static struct entry
entries_span(const struct reads *reads, uint32_t first, uint32_t count, struct buf *key)
{
    struct entry entry = sorted_at(reads, first);
    struct entry last = sorted_at(reads, first + count - 1);

    if (count == 1) {
        return entry;
    }
    if (!last.is_range) {
        buf_clear(key);
        buf_append(key, last.lower.data, last.lower.size);
        buf_append_byte(key, 0);
        last.upper = buf_slice(key);
    }
    return (struct entry){.is_range = true, .lower = entry.lower, .upper = last.upper};
}

static void
reads_coarsen(struct reads *reads)
{
    uint32_t count = reads->count;
    struct buf joined;
    struct buf key;

    buf_init(&joined, MEM_SESSIONS);
    buf_init(&key, MEM_SESSIONS);
    buf_reserve(&joined, reads->bytes.size);
    reads->count = 0;
    reads->ranges = 0;
    for (uint32_t i = 0; i < count; i += JOIN_COUNT) {
        struct entry entry = entries_span(reads, i, MIN(count - i, (uint32_t)JOIN_COUNT), &key);

        sorted_append(reads, &joined, &entry);
    }
    reads_replace(reads, &joined);
    buf_fini(&key);
}

/* Room for one more: afterwards at least half of each bound is free. */
static void
reads_bound(struct reads *reads)
{
    reads_sort(reads);
    while (reads->count > READS_KEYS_MAX / 2 || reads->bytes.size > READS_BYTES_MAX / 2) {
        if (reads->count <= 1) {
            reads_clear(reads);
            reads->is_everything = true;
            return;
        }
        reads_coarsen(reads);
    }
}

static void
reads_append(struct reads *reads, const struct entry *entry)
{
    if (reads->count >= READS_KEYS_MAX ||
        reads->bytes.size + entry_bytes(entry) > READS_BYTES_MAX) {
        reads_bound(reads);
        if (reads->is_everything) {
            return;
        }
    }
    reads->last = (uint32_t)reads->bytes.size;
    entry_append(&reads->bytes, entry);
    reads->count++;
    reads->ranges += entry->is_range;
    reads->is_sorted = false;
}

void
reads_add_key(struct reads *reads, struct slice key)
{
    struct entry entry = {.lower = key};

    if (reads->is_everything) {
        return;
    }
    if (reads->count > 0) {
        struct entry last = entry_at(reads->bytes.data, reads->last);

        if (!last.is_range && slice_equal(last.lower, key)) {
            return;
        }
    }
    reads_append(reads, &entry);
}

void
reads_add_range(struct reads *reads, struct slice lower, struct slice upper)
{
    struct entry entry = {.lower = lower, .upper = upper, .is_range = true};

    if (reads->is_everything || (upper.size > 0 && slice_compare(lower, upper) >= 0) ||
        CANARY(RANGE_NOT_VALIDATED)) {
        return;
    }
    if (lower.size == 0 && upper.size == 0) {
        reads_clear(reads);
        reads->is_everything = true;
        return;
    }
    reads_append(reads, &entry);
}

/* ---- Questions. ---- */

/* The first entry that does not end before the key; reads->count: none. */
static uint32_t
sorted_find(const struct reads *reads, struct slice key)
{
    uint32_t low = 0;
    uint32_t high = reads->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct entry entry = sorted_at(reads, middle);

        if (entry_ends_before(&entry, key)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool
reads_has_key(struct reads *reads, struct slice key)
{
    struct entry entry;
    uint32_t index;

    if (reads->is_everything || reads->count == 0) {
        return reads->is_everything;
    }
    reads_sort(reads);
    index = sorted_find(reads, key);
    if (index == reads->count) {
        return false;
    }
    entry = sorted_at(reads, index);
    return slice_compare(entry.lower, key) <= 0;
}

bool
reads_has_range(struct reads *reads, struct slice start, struct slice end)
{
    struct entry entry;
    uint32_t index;

    if (end.size > 0 && slice_compare(start, end) >= 0) {
        return false;
    }
    if (reads->is_everything || reads->count == 0) {
        return reads->is_everything;
    }
    reads_sort(reads);
    index = sorted_find(reads, start);
    if (index == reads->count) {
        return false;
    }
    entry = sorted_at(reads, index);
    return end.size == 0 || slice_compare(entry.lower, end) < 0;
}

/* ---- Validation. ---- */

static YIELDS err_t
entry_changed(const struct entry *entry, struct lsm *lsm, uint64_t since, bool may_suspend,
              bool *is_changed_out, bool *is_answered_out)
{
    if (entry->is_range) {
        return lsm_range_changed(lsm, entry->lower, entry->upper, since, may_suspend,
                                 is_changed_out, is_answered_out);
    }
    return lsm_changed(lsm, entry->lower, since, may_suspend, is_changed_out, is_answered_out);
}

err_t
reads_changed(struct reads *reads, struct lsm *lsm, uint64_t since, bool may_suspend,
              bool *is_changed_out, bool *is_answered_out)
{
    const struct entry everything = {.is_range = true};
    bool is_changed = false;
    bool is_answered = true;
    err_t err = ERR_OK;

    if (reads->is_everything) {
        TRY(entry_changed(&everything, lsm, since, may_suspend, &is_changed, &is_answered));
    }
    reads_sort(reads);
    for (uint32_t i = 0; i < reads->count && !is_changed && is_answered; i++) {
        struct entry entry = sorted_at(reads, i);

        TRY(entry_changed(&entry, lsm, since, may_suspend, &is_changed, &is_answered));
        if (may_suspend) {
            fiber_work(SORT_UNITS);
        }
    }
    *is_changed_out = is_changed && is_answered;
    *is_answered_out = is_answered;
out:
    return err;
}
