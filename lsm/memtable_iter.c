/* lsm/memtable_iter.c - walking a memtable that may change under the iterator.
 *
 * The key record under an iterator never goes away, so after a change only two things are looked
 * up again: the place of the key among the keys, and the place of the ts among its versions. */
#include "lsm/memtable.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

static struct memtable_key *
key_at(struct tree_position position)
{
    return CONTAINER_OF(tree_at(position), struct memtable_key, key);
}

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

/* On the key at iter->position, at its newest or its oldest version. */
static void
iter_settle(struct memtable_iter *iter, bool at_oldest)
{
    const struct memtable_version *version;

    iter->tree_generation = iter->memtable->tree.generation;
    if (!tree_position_is_valid(iter->position)) {
        iter->key = NULL;
        return;
    }
    iter->key = key_at(iter->position);
    version = iter->key->newest;
    while (at_oldest && version->older != NULL) {
        version = version->older;
    }
    iter_set(iter, version);
}

static void
position_refresh(struct memtable_iter *iter)
{
    if (iter->tree_generation != iter->memtable->tree.generation) {
        iter->position = tree_seek(&iter->memtable->tree, tree_key_slice(&iter->key->key));
        iter->tree_generation = iter->memtable->tree.generation;
        ASSERT(key_at(iter->position) == iter->key);
    }
}

void
memtable_iter_init(struct memtable_iter *iter, struct memtable *memtable)
{
    memset(iter, 0, sizeof(*iter));
    iter->memtable = memtable;
}

void
memtable_iter_seek_first(struct memtable_iter *iter)
{
    iter->position = tree_first(&iter->memtable->tree);
    iter_settle(iter, false);
}

void
memtable_iter_seek_last(struct memtable_iter *iter)
{
    iter->position = tree_last(&iter->memtable->tree);
    iter_settle(iter, true);
}

void
memtable_iter_seek(struct memtable_iter *iter, struct slice key, uint64_t ts)
{
    const struct memtable_version *version;

    iter->position = tree_seek(&iter->memtable->tree, key);
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
    tree_next(&iter->position);
    iter_settle(iter, false);
}

void
memtable_iter_seek_before(struct memtable_iter *iter, struct slice key)
{
    iter->position = tree_seek_before(&iter->memtable->tree, key);
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
    position_refresh(iter);
    tree_next(&iter->position);
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
    position_refresh(iter);
    tree_previous(&iter->position);
    iter_settle(iter, true);
}
