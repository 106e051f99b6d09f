/* lsm/memtable_iter.c - walking a memtable that may change under the iterator.
 *
 * The key record under an iterator never goes away, so after a change only two things are looked
 * up again: the place of the key among the keys, and the place of the ts among its versions. */
#include "lsm/memtable.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

static void
iter_set(struct memtable_iter *iter, const struct memtable_version *version)
{
    iter->version = version;
    iter->generation = iter->memtable->generation;
    iter->entry = (struct lsm_entry){
        .key = tree_key_slice(&iter->key->key),
        .value = slice_of(version->value, version->value_size),
        .ts = version->ts,
        .expire_us = version->expire_us,
        .lsn = version->lsn,
        .slot = version->slot,
        .kind = version->kind,
    };
}

/* On the key at iter->place, at its newest or its oldest version. */
static void
iter_settle(struct memtable_iter *iter, bool at_oldest)
{
    const struct memtable_version *version;

    if (iter->place.key == NULL) {
        iter->key = NULL;
        return;
    }
    iter->key = CONTAINER_OF(iter->place.key, struct memtable_key, key);
    version = iter->key->newest;
    while (at_oldest && version->older != NULL) {
        version = version->older;
    }
    iter_set(iter, version);
}

void
memtable_iter_init(struct memtable_iter *iter, struct memtable *memtable)
{
    memset(iter, 0, sizeof(*iter));
    iter->memtable = memtable;
    key_index_iter_init(&iter->place, &memtable->index);
}

void
memtable_iter_fini(struct memtable_iter *iter)
{
    key_index_iter_fini(&iter->place);
    iter->key = NULL;
}

void
memtable_iter_seek_first(struct memtable_iter *iter)
{
    key_index_seek_first(&iter->place);
    iter_settle(iter, false);
}

void
memtable_iter_seek_last(struct memtable_iter *iter)
{
    key_index_seek_last(&iter->place);
    iter_settle(iter, true);
}

void
memtable_iter_seek(struct memtable_iter *iter, struct slice key, uint64_t ts)
{
    const struct memtable_version *version;

    key_index_seek(&iter->place, key);
    iter_settle(iter, false);
    if (iter->key == NULL || iter->entry.ts <= ts || !slice_equal(iter->entry.key, key)) {
        return;
    }
    version = iter->version;
    while (version != NULL && version->ts > ts) {
        version = version->older;
    }
    if (version != NULL) {
        iter_set(iter, version);
        return;
    }
    key_index_next(&iter->place);
    iter_settle(iter, false);
}

void
memtable_iter_seek_before(struct memtable_iter *iter, struct slice key)
{
    key_index_seek_before(&iter->place, key);
    iter_settle(iter, true);
}

void
memtable_iter_next(struct memtable_iter *iter)
{
    const struct memtable_version *version = iter->version->older;

    ASSERT(iter->key != NULL);
    if (iter->generation != iter->memtable->generation) {
        version = iter->key->newest;
        while (version != NULL && version->ts >= iter->entry.ts) {
            version = version->older;
        }
    }
    if (version != NULL) {
        iter_set(iter, version);
        return;
    }
    key_index_next(&iter->place);
    iter_settle(iter, false);
}

void
memtable_iter_previous(struct memtable_iter *iter)
{
    const struct memtable_version *newer = NULL;

    ASSERT(iter->key != NULL);
    for (const struct memtable_version *version = iter->key->newest;
         version != NULL && version->ts > iter->entry.ts; version = version->older) {
        newer = version;
    }
    if (newer != NULL) {
        iter_set(iter, newer);
        return;
    }
    key_index_previous(&iter->place);
    iter_settle(iter, true);
}

/* ---- Keys only. ---- */

void
memtable_walk_begin(struct memtable_walk *walk, struct memtable *memtable, struct slice lower,
                    struct slice upper)
{
    key_index_iter_init(&walk->place, &memtable->index);
    key_index_seek(&walk->place, lower);
    walk->upper = upper;
}

bool
memtable_walk_next(struct memtable_walk *walk, uint64_t *ts_out)
{
    struct tree_key *key = walk->place.key;

    if (key == NULL ||
        (walk->upper.size > 0 && slice_compare(tree_key_slice(key), walk->upper) >= 0)) {
        return false;
    }
    *ts_out = CONTAINER_OF(key, struct memtable_key, key)->newest->ts;
    key_index_next(&walk->place);
    return true;
}

void
memtable_walk_end(struct memtable_walk *walk)
{
    key_index_iter_fini(&walk->place);
}
