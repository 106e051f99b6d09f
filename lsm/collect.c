/* lsm/collect.c - see collect.h. */
#include "lsm/collect.h"

#include "engine/base/assert.h"
#include "engine/base/canary.h"

#include "engine/base/poison.h"

enum { TS_MICROSECOND_SHIFT = 12 };

void
collect_init(struct collect *collect, const struct snapshots *snapshots,
             const struct range_map *ranges, struct version *version, const void *job,
             uint64_t memtables_oldest)
{
    uint64_t floor;

    memset(collect, 0, sizeof(*collect));
    snapshot_set_init(&collect->set, snapshots);
    buf_init(&collect->key, MEM_BACKGROUND);
    collect->ranges = ranges;
    collect->version = version;
    version_pin(version);
    collect->job = job;
    floor = snapshot_set_floor(&collect->set);
    collect->drop_floor = MIN(floor, memtables_oldest);
}

void
collect_fini(struct collect *collect)
{
    snapshot_set_fini(&collect->set);
    buf_fini(&collect->key);
    version_unpin(&collect->version);
}

/* Can a version of the key older than ts be in this table? */
static bool
table_may_have_older(const struct collect *collect, const struct lsm_table *table, struct slice key,
                     uint64_t key_hash, uint64_t ts)
{
    return table->busy_with != collect->job && table->meta->ts_oldest < ts &&
           table_meta_has(table->meta, key) && table_may_contain(table->table, key_hash);
}

static bool
key_may_be_older(const struct collect *collect, struct slice key, uint64_t ts)
{
    const struct level *level0 = &collect->version->levels[0];
    uint64_t hash = table_key_hash(key);

    for (uint32_t i = 0; i < level0->count; i++) {
        if (table_may_have_older(collect, level0->tables[i], key, hash, ts)) {
            return true;
        }
    }
    for (uint32_t i = 1; i < LSM_LEVELS; i++) {
        const struct lsm_table *table = level_table_for(&collect->version->levels[i], key);

        if (table != NULL && table_may_have_older(collect, table, key, hash, ts)) {
            return true;
        }
    }
    return false;
}

static bool
range_may_be_older(const struct collect *collect, struct slice start, struct slice end, uint64_t ts)
{
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        const struct level *level = &collect->version->levels[i];

        for (uint32_t k = i == 0 ? 0 : level_find(level, start); k < level->count; k++) {
            const struct lsm_table *table = level->tables[k];

            if (i > 0 && slice_compare(table->meta->smallest, end) >= 0) {
                break;
            }
            if (table->busy_with != collect->job && table->meta->ts_oldest < ts &&
                table_meta_overlaps(table->meta, start, end, true)) {
                return true;
            }
        }
    }
    return false;
}

static bool
is_expired(const struct collect *collect, const struct lsm_entry *entry)
{
    return entry->kind != LSM_DELETE && entry->expire_us != 0 &&
           entry->expire_us <= snapshot_set_floor(&collect->set) >> TS_MICROSECOND_SHIFT;
}

bool
collect_keeps(struct collect *collect, struct lsm_entry *entry)
{
    uint64_t until = range_map_superseded_at(collect->ranges, entry->key, entry->ts);

    if (collect->has_key && slice_equal(buf_slice(&collect->key), entry->key)) {
        if (entry->ts == collect->key_ts) {
            collect->dropped++; /* The same write from two inputs. */
            return false;
        }
        until = MIN(until, collect->key_ts);
    } else {
        buf_clear(&collect->key);
        buf_append(&collect->key, entry->key.data, entry->key.size);
        collect->has_key = true;
    }
    collect->key_ts = entry->ts;
    if (!snapshot_set_needs(&collect->set, entry->ts, until)) {
        collect->dropped++;
        return false;
    }
    if (is_expired(collect, entry)) {
        entry->kind = LSM_DELETE;
        entry->value = slice_of(NULL, 0);
        entry->expire_us = 0;
    }
    if (entry->kind == LSM_DELETE && entry->ts <= collect->drop_floor &&
        (CANARY(DELETE_DROPPED_EARLY) || !key_may_be_older(collect, entry->key, entry->ts))) {
        collect->dropped++;
        return false;
    }
    return true;
}

bool
collect_keeps_range(const struct collect *collect, const struct range_piece *piece,
                    const struct range_layer *layer, uint64_t newer)
{
    if (!snapshot_set_needs(&collect->set, layer->ts, newer)) {
        return false;
    }
    return layer->ts > collect->drop_floor ||
           range_may_be_older(collect, piece->start, piece->end, layer->ts);
}

bool
collect_covers_table(const struct collect *collect, const struct table_meta *meta)
{
    uint64_t until = 0;

    return range_map_covers(collect->ranges, meta->smallest, meta->largest,
                            meta->largest_is_exclusive, meta->ts_newest, &until) &&
           !snapshot_set_needs(&collect->set, meta->ts_oldest, until);
}
