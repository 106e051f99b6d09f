/* lsm/table_verify.c - checking a whole table against itself. */
#include "engine/base/assert.h"
#include "lsm/block_key.h"
#include "lsm/table_internal.h"

#include "engine/base/poison.h"

enum { VERIFY_READ_AHEAD_BYTES = 1 << 20, VERIFY_ENTRIES_A_UNIT = 1, VERIFY_WORK_ENTRIES = 64 };

/* What a walk over all entries counts, to be compared with the properties. */
struct table_audit {
    struct table_meta meta;
    struct expiry_tally expiry;
    struct buf last_key;
    uint64_t last_ts;
    struct buf first_key;
};

static void
audit_count(struct table_audit *audit, const struct lsm_entry *entry, bool is_new_key)
{
    struct table_meta *meta = &audit->meta;

    meta->one_version_per_key = meta->one_version_per_key && is_new_key;
    meta->entries++;
    meta->deletes += entry->kind == LSM_DELETE ? 1 : 0;
    meta->ts_oldest = MIN(meta->ts_oldest, entry->ts);
    meta->ts_newest = MAX(meta->ts_newest, entry->ts);
    meta->raw_bytes += entry->key.size + entry->value.size;
    expiry_tally_add(&audit->expiry, entry);
    buf_clear(&audit->last_key);
    buf_append(&audit->last_key, entry->key.data, entry->key.size);
    audit->last_ts = entry->ts;
}

/* Order, filter, and that the index leads here. */
static err_t
audit_entry(struct table_audit *audit, const struct table *table, const struct lsm_entry *entry)
{
    bool is_first = audit->meta.entries == 0;
    bool is_new_key = is_first || !slice_equal(buf_slice(&audit->last_key), entry->key);

    if (!is_first &&
        version_compare(buf_slice(&audit->last_key), audit->last_ts, entry->key, entry->ts) >= 0) {
        return err_set(ERR_CORRUPT, "table %s: entry %llu is out of order", table->path,
                       (unsigned long long)audit->meta.entries);
    }
    if (is_new_key && !filter_may_contain(&table->filter, table_key_hash(entry->key))) {
        return err_set(ERR_CORRUPT, "table %s: the filter denies entry %llu", table->path,
                       (unsigned long long)audit->meta.entries);
    }
    if (is_first) {
        buf_append(&audit->first_key, entry->key.data, entry->key.size);
    }
    audit_count(audit, entry, is_new_key);
    return ERR_OK;
}

static void
audit_ranges(struct table_audit *audit, const struct table *table)
{
    struct table_meta *meta = &audit->meta;
    struct slice end = {0};

    meta->smallest = buf_slice(&audit->first_key);
    meta->largest = buf_slice(&audit->last_key);
    for (uint32_t i = 0; i < table->ranges.count; i++) {
        const struct lsm_range_delete *range = &table->ranges.ranges[i];

        meta->range_deletes++;
        meta->ts_oldest = MIN(meta->ts_oldest, range->ts);
        meta->ts_newest = MAX(meta->ts_newest, range->ts);
        end = slice_compare(range->end, end) > 0 ? range->end : end;
        if (i == 0 && (meta->entries == 0 || slice_compare(range->start, meta->smallest) < 0)) {
            meta->smallest = range->start;
        }
    }
    if (meta->range_deletes > 0 && (meta->entries == 0 || slice_compare(end, meta->largest) > 0)) {
        meta->largest = end;
        meta->largest_is_exclusive = true;
    }
    if (meta->entries == 0 && meta->range_deletes == 0) {
        meta->ts_oldest = 0;
    }
}

static err_t
audit_compare(const struct table_audit *audit, const struct table *table)
{
    const struct table_meta *seen = &audit->meta;
    const struct table_meta *told = &table->meta;
    const struct table_expiry expiry = expiry_tally_result(&audit->expiry);

    if (seen->entries != told->entries || seen->deletes != told->deletes ||
        seen->range_deletes != told->range_deletes || seen->ts_oldest != told->ts_oldest ||
        seen->ts_newest != told->ts_newest || !slice_equal(seen->smallest, told->smallest) ||
        !slice_equal(seen->largest, told->largest) ||
        seen->largest_is_exclusive != told->largest_is_exclusive ||
        seen->one_version_per_key != told->one_version_per_key ||
        !table_expiry_equal(&expiry, &told->expiry)) {
        return err_set(ERR_CORRUPT,
                       "table %s: the properties (%llu entries) are not those of its contents "
                       "(%llu entries)",
                       table->path, (unsigned long long)told->entries,
                       (unsigned long long)seen->entries);
    }
    return ERR_OK;
}

/* Every entry lies in the block that the index names for it. */
static err_t
verify_place(const struct table *table, const struct table_iter *iter,
             const struct lsm_entry *entry)
{
    uint32_t index = index_find(&table->index, entry->key, entry->ts);

    if (index != table_iter_block(iter)) {
        return err_set(ERR_CORRUPT, "table %s: the index leads to block %u for a key of block %u",
                       table->path, index, table_iter_block(iter));
    }
    return ERR_OK;
}

YIELDS err_t
table_verify(struct table *table)
{
    static const struct table_iter_options options = {.read_ahead_bytes = VERIFY_READ_AHEAD_BYTES,
                                                      .fill_cache = false};
    struct table_audit audit = {.meta = {.ts_oldest = UINT64_MAX, .one_version_per_key = true}};
    struct table_iter *iter = NULL;
    bool has_filter = false;
    err_t err;

    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    buf_init(&audit.last_key, MEM_BACKGROUND);
    buf_init(&audit.first_key, MEM_BACKGROUND);
    TRY(guide_acquire(table, GUIDE_FILTER));
    has_filter = true;
    iter = table_iter_new(table, &options); /* Pins the index. */
    TRY(table_iter_seek_first(iter));
    while (table_iter_is_valid(iter)) {
        const struct lsm_entry *entry = table_iter_entry(iter);

        TRY(audit_entry(&audit, table, entry));
        TRY(verify_place(table, iter, entry));
        if (audit.meta.entries % VERIFY_WORK_ENTRIES == 0) {
            fiber_work(VERIFY_WORK_ENTRIES * VERIFY_ENTRIES_A_UNIT);
        }
        TRY(table_iter_next(iter));
    }
    audit_ranges(&audit, table);
    TRY(audit_compare(&audit, table));
out:
    table_iter_free(&iter);
    if (has_filter) {
        guide_release(table, GUIDE_FILTER);
    }
    buf_fini(&audit.last_key);
    buf_fini(&audit.first_key);
    return err;
}
