/* lsm/expiry.c - see expiry.h. */
#include "lsm/expiry.h"

#include "engine/base/assert.h"
#include "engine/base/slice.h"

#include "engine/base/poison.h"

/* Slots become twice as wide. */
static void
tally_widen(struct expiry_tally *tally)
{
    uint64_t wider[EXPIRY_SLOTS] = {0};

    for (uint64_t i = 0; i <= tally->last - tally->first; i++) {
        uint64_t slot = tally->first + i;

        wider[(slot >> 1) % EXPIRY_SLOTS] += tally->slots[slot % EXPIRY_SLOTS];
    }
    memcpy(tally->slots, wider, sizeof(wider));
    tally->first >>= 1;
    tally->last >>= 1;
    tally->shift++;
}

void
expiry_tally_add(struct expiry_tally *tally, const struct lsm_entry *entry)
{
    uint64_t bytes = entry->key.size + entry->value.size;
    uint64_t first = entry->expire_us >> tally->shift;
    uint64_t last = first;

    tally->bytes += bytes;
    if (entry->kind == LSM_DELETE) {
        return;
    }
    if (entry->expire_us == 0) {
        tally->staying++;
        return;
    }
    if (tally->entries > 0) {
        first = MIN(first, tally->first);
        last = MAX(last, tally->last);
        while (last - first >= EXPIRY_SLOTS) {
            tally_widen(tally);
            first >>= 1;
            last >>= 1;
        }
    }
    tally->first = first;
    tally->last = last;
    tally->entries++;
    tally->newest_us = MAX(tally->newest_us, entry->expire_us);
    tally->slots[(entry->expire_us >> tally->shift) % EXPIRY_SLOTS] += bytes;
}

struct table_expiry
expiry_tally_result(const struct expiry_tally *tally)
{
    struct table_expiry result = {.entries = tally->entries};
    uint64_t expired = 0;

    if (tally->entries == 0) {
        return result;
    }
    if (tally->staying == 0) {
        result.all_us = tally->newest_us;
    }
    for (uint64_t i = 0; i <= tally->last - tally->first; i++) {
        uint64_t slot = tally->first + i;

        expired += tally->slots[slot % EXPIRY_SLOTS];
        if (expired >= tally->bytes - expired) {
            result.half_us = MIN(tally->newest_us, ((slot + 1) << tally->shift) - 1);
            break;
        }
    }
    return result;
}

bool
table_expiry_is_sound(const struct table_expiry *expiry, uint64_t entries, uint64_t deletes)
{
    if (expiry->entries == 0) {
        return expiry->half_us == 0 && expiry->all_us == 0;
    }
    return expiry->entries <= entries - deletes &&
           (expiry->all_us == 0 ||
            (expiry->entries == entries - deletes && expiry->half_us <= expiry->all_us));
}

bool
table_expiry_equal(const struct table_expiry *a, const struct table_expiry *b)
{
    return a->entries == b->entries && a->half_us == b->half_us && a->all_us == b->all_us;
}
