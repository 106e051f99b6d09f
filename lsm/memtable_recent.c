/* lsm/memtable_recent.c - the last writes of a memtable, so that what changed in a large range
 * since a moment ago is known without walking the range.
 *
 * A ring of keys in the order of writing, each with the newest timestamp of the memtable after its
 * write. These rise, though timestamps themselves need not: so the walk back ends at the first one
 * at or below `since`, and what left the ring was at or below the last that left. */
#include "lsm/memtable.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

struct recent_write {
    uint64_t newest;
    struct memtable_key *key;
};

struct memtable_recent {
    uint64_t count; /* Of writes since it was begun. */
    uint64_t floor; /* Every write above it is in the ring. */
    struct recent_write writes[MEMTABLE_RECENT_WRITES];
};

void
memtable_recent_begin(struct memtable *memtable)
{
    struct memtable_recent *recent = memtable->recent;

    if (recent != NULL) {
        return;
    }
    recent = mem_alloc(MEM_MEMTABLE, sizeof(*recent)); /* Touched as it fills. */
    if (recent != NULL) {
        recent->count = 0;
        recent->floor = memtable->entry_ts_newest;
        memtable->recent = recent;
    }
}

void
memtable_recent_free(struct memtable *memtable)
{
    mem_free(MEM_MEMTABLE, memtable->recent,
             memtable->recent == NULL ? 0 : sizeof(*memtable->recent));
    memtable->recent = NULL;
}

void
memtable_recent_note(struct memtable *memtable, struct memtable_key *key)
{
    struct memtable_recent *recent = memtable->recent;
    struct recent_write *write = &recent->writes[recent->count % MEMTABLE_RECENT_WRITES];

    if (recent->count >= MEMTABLE_RECENT_WRITES) {
        ASSERT(write->newest >= recent->floor);
        recent->floor = write->newest;
    }
    *write = (struct recent_write){.newest = memtable->entry_ts_newest, .key = key};
    recent->count++;
}

bool
memtable_recent_changed(const struct memtable *memtable, struct slice lower, struct slice upper,
                        uint64_t since, bool *is_changed_out)
{
    const struct memtable_recent *recent = memtable->recent;
    uint64_t kept = recent == NULL ? 0 : MIN(recent->count, (uint64_t)MEMTABLE_RECENT_WRITES);

    if (recent == NULL || since < recent->floor) {
        return false;
    }
    *is_changed_out = false;
    for (uint64_t i = 1; i <= kept && !*is_changed_out; i++) {
        const struct recent_write *write =
            &recent->writes[(recent->count - i) % MEMTABLE_RECENT_WRITES];
        struct slice key;

        if (write->newest <= since) {
            break;
        }
        key = tree_key_slice(&write->key->key);
        *is_changed_out = write->key->newest->ts > since && slice_compare(key, lower) >= 0 &&
                          (upper.size == 0 || slice_compare(key, upper) < 0);
    }
    return true;
}
