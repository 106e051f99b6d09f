/* lsm/version.c - see version.h. */
#include "lsm/version.h"

#include "engine/base/assert.h"
#include "lsm/vlog.h"

#include "engine/base/poison.h"

#define LSM_TABLE_MAGIC UINT64_C(0x6c736d7461626c65)
#define VERSION_MAGIC   UINT64_C(0x76657273696f6e31)

/* ---- Tables. ---- */

struct lsm_table *
lsm_table_new(struct table *table, struct vlog *vlog, const struct vlog_use *vlog_uses,
              uint32_t vlog_use_count)
{
    struct lsm_table *lsm_table = MEM_NEW(MEM_TABLES, struct lsm_table);
    size_t bytes = vlog_use_count * sizeof(vlog_uses[0]);

    lsm_table->magic = LSM_TABLE_MAGIC;
    lsm_table->refs = 1;
    lsm_table->table = table;
    lsm_table->meta = table_meta(table);
    lsm_table->vlog = vlog;
    lsm_table->vlog_use_count = vlog_use_count;
    lsm_table->vlog_uses = mem_alloc(MEM_TABLES, bytes);
    if (bytes > 0) {
        memcpy(lsm_table->vlog_uses, vlog_uses, bytes);
    }
    for (uint32_t i = 0; i < vlog_use_count && vlog != NULL; i++) {
        vlog_ref_table(vlog, &vlog_uses[i]);
    }
    return lsm_table;
}

void
lsm_table_pin(struct lsm_table *table)
{
    OBJ_CHECK(table, LSM_TABLE_MAGIC);
    table->refs++;
}

void
lsm_table_unpin(struct lsm_table *table)
{
    OBJ_CHECK(table, LSM_TABLE_MAGIC);
    ASSERT(table->refs > 0);
    if (--table->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < table->vlog_use_count && table->vlog != NULL; i++) {
        vlog_unref_table(table->vlog, &table->vlog_uses[i]);
    }
    if (table->is_obsolete) {
        table_mark_obsolete(table->table);
    }
    table_unpin(table->table);
    mem_free(MEM_TABLES, table->vlog_uses, table->vlog_use_count * sizeof(table->vlog_uses[0]));
    table->magic = 0;
    mem_free(MEM_TABLES, table, sizeof(*table));
}

bool
lsm_table_uses(const struct lsm_table *table, uint64_t vlog_file_number)
{
    for (uint32_t i = 0; i < table->vlog_use_count; i++) {
        if (table->vlog_uses[i].file_number == vlog_file_number) {
            return true;
        }
    }
    return false;
}

int
table_meta_compare_end(const struct table_meta *meta, struct slice key)
{
    int order = slice_compare(meta->largest, key);

    return order == 0 && meta->largest_is_exclusive ? -1 : order;
}

bool
table_meta_has(const struct table_meta *meta, struct slice key)
{
    return slice_compare(meta->smallest, key) <= 0 && table_meta_compare_end(meta, key) >= 0;
}

bool
table_meta_overlaps(const struct table_meta *meta, struct slice low, struct slice high,
                    bool high_is_exclusive)
{
    int order = slice_compare(meta->smallest, high);

    if (order > 0 || (order == 0 && high_is_exclusive)) {
        return false;
    }
    return table_meta_compare_end(meta, low) >= 0;
}

/* ---- Edits. ---- */

static void *
array_grow(void *array, uint32_t count, uint32_t *capacity, size_t item_bytes)
{
    uint32_t grown = MAX(8u, *capacity * 2);

    if (count < *capacity) {
        return array;
    }
    array = mem_realloc(MEM_TABLES, array, *capacity * item_bytes, grown * item_bytes);
    ASSERT(array != NULL);
    *capacity = grown;
    return array;
}

void
edit_init(struct edit *edit)
{
    memset(edit, 0, sizeof(*edit));
}

void
edit_fini(struct edit *edit)
{
    for (uint32_t i = 0; i < edit->add_count; i++) {
        lsm_table_unpin(edit->adds[i].table);
    }
    mem_free(MEM_TABLES, edit->adds, edit->add_capacity * sizeof(edit->adds[0]));
    for (uint32_t i = 0; i < edit->settle_count; i++) {
        lsm_table_unpin(edit->settles[i].table);
    }
    mem_free(MEM_TABLES, edit->settles, edit->settle_capacity * sizeof(edit->settles[0]));
    mem_free(MEM_TABLES, edit->removes, edit->remove_capacity * sizeof(edit->removes[0]));
    memset(edit, 0, sizeof(*edit));
}

void
edit_add_table(struct edit *edit, uint32_t level, struct lsm_table *table)
{
    ASSERT(level < LSM_LEVELS);
    lsm_table_pin(table);
    edit->adds =
        array_grow(edit->adds, edit->add_count, &edit->add_capacity, sizeof(edit->adds[0]));
    edit->adds[edit->add_count++] = (struct edit_add){.level = level, .table = table};
}

void
edit_settle_table(struct edit *edit, uint32_t level, struct lsm_table *table)
{
    edit->settles = array_grow(edit->settles, edit->settle_count, &edit->settle_capacity,
                               sizeof(edit->settles[0]));
    lsm_table_pin(table);
    edit->settles[edit->settle_count].level = level;
    edit->settles[edit->settle_count++].table = table;
}

void
edit_remove_table(struct edit *edit, uint32_t level, uint64_t file_number)
{
    ASSERT(level < LSM_LEVELS);
    edit->removes = array_grow(edit->removes, edit->remove_count, &edit->remove_capacity,
                               sizeof(edit->removes[0]));
    edit->removes[edit->remove_count++] =
        (struct edit_remove){.level = level, .file_number = file_number};
}

/* ---- Versions. ---- */

struct version *
version_new(void)
{
    struct version *version = MEM_NEW(MEM_TABLES, struct version);

    version->magic = VERSION_MAGIC;
    version->refs = 1;
    return version;
}

void
version_pin(struct version *version)
{
    OBJ_CHECK(version, VERSION_MAGIC);
    version->refs++;
}

void
version_unpin(struct version **pointer)
{
    struct version *version = *pointer;

    *pointer = NULL;
    if (version == NULL) {
        return;
    }
    OBJ_CHECK(version, VERSION_MAGIC);
    ASSERT(version->refs > 0);
    if (--version->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        struct level *level = &version->levels[i];

        for (uint32_t k = 0; k < level->count; k++) {
            lsm_table_unpin(level->tables[k]);
        }
        mem_free(MEM_TABLES, level->tables, level->count * sizeof(level->tables[0]));
    }
    version->magic = 0;
    mem_free(MEM_TABLES, version, sizeof(*version));
}

/* Order within a level. */
static bool
table_goes_before(uint32_t level, const struct lsm_table *a, const struct lsm_table *b)
{
    if (level > 0) {
        return slice_compare(a->meta->smallest, b->meta->smallest) < 0;
    }
    return a->meta->ts_newest != b->meta->ts_newest ? a->meta->ts_newest > b->meta->ts_newest
                                                    : a->meta->file_number > b->meta->file_number;
}

/* Heap sort: the tables added at open come in any order and may be many. */
static void
tables_sift(uint32_t level, struct lsm_table **tables, uint32_t at, uint32_t count)
{
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        struct lsm_table *moved;

        if (child + 1 < count && table_goes_before(level, tables[child], tables[child + 1])) {
            child++;
        }
        if (!table_goes_before(level, tables[at], tables[child])) {
            return;
        }
        moved = tables[at];
        tables[at] = tables[child];
        tables[child] = moved;
        at = child;
    }
}

static void
tables_sort(uint32_t level, struct lsm_table **tables, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;) {
        tables_sift(level, tables, i, count);
    }
    for (uint32_t end = count; end-- > 1;) {
        struct lsm_table *moved = tables[0];

        tables[0] = tables[end];
        tables[end] = moved;
        tables_sift(level, tables, 0, end);
    }
}

static bool
edit_removes(const struct edit *edit, uint32_t level, uint64_t file_number)
{
    for (uint32_t i = 0; i < edit->remove_count; i++) {
        if (edit->removes[i].level == level && edit->removes[i].file_number == file_number) {
            return true;
        }
    }
    return false;
}

static uint32_t
edit_count(const struct edit *edit, uint32_t level, bool of_removes)
{
    uint32_t count = 0;

    for (uint32_t i = 0; !of_removes && i < edit->add_count; i++) {
        count += edit->adds[i].level == level;
    }
    for (uint32_t i = 0; of_removes && i < edit->remove_count; i++) {
        count += edit->removes[i].level == level;
    }
    return count;
}

static err_t
level_check(uint32_t number, const struct level *level)
{
    for (uint32_t i = 1; i < level->count; i++) {
        const struct table_meta *before = level->tables[i - 1]->meta;
        const struct table_meta *meta = level->tables[i]->meta;

        if (before->file_number == meta->file_number) {
            return err_set(ERR_CORRUPT, "table %llu stands twice in level %u",
                           (unsigned long long)meta->file_number, number);
        }
        if (number > 0 && table_meta_compare_end(before, meta->smallest) >= 0) {
            return err_set(ERR_CORRUPT, "tables %llu and %llu of level %u overlap",
                           (unsigned long long)before->file_number,
                           (unsigned long long)meta->file_number, number);
        }
    }
    return ERR_OK;
}

static err_t
level_apply(struct version *version, const struct version *base, const struct edit *edit,
            uint32_t number)
{
    const struct level *old = &base->levels[number];
    struct level *level = &version->levels[number];
    uint32_t removes = edit_count(edit, number, true);
    uint32_t adds = edit_count(edit, number, false);
    uint32_t count = 0;

    if (removes > old->count) {
        return err_set(ERR_CORRUPT, "level %u has fewer tables than are removed", number);
    }
    level->tables = mem_alloc(MEM_TABLES, (old->count - removes + adds) * sizeof(level->tables[0]));
    for (uint32_t i = 0; i < old->count && count <= old->count - removes; i++) {
        if (removes > 0 && edit_removes(edit, number, old->tables[i]->meta->file_number)) {
            continue;
        }
        if (count < old->count - removes) {
            level->tables[count] = old->tables[i];
        }
        count++;
    }
    if (count != old->count - removes) {
        mem_free(MEM_TABLES, level->tables,
                 (old->count - removes + adds) * sizeof(level->tables[0]));
        level->tables = NULL;
        return err_set(ERR_CORRUPT, "a table to be removed is not in level %u", number);
    }
    for (uint32_t i = 0; i < edit->add_count; i++) {
        if (edit->adds[i].level == number) {
            level->tables[count++] = edit->adds[i].table;
        }
    }
    level->count = count;
    for (uint32_t i = 0; i < count; i++) {
        lsm_table_pin(level->tables[i]);
        level->bytes += level->tables[i]->meta->file_bytes;
        version->ts_newest = MAX(version->ts_newest, level->tables[i]->meta->ts_newest);
        version->range_deletes += level->tables[i]->meta->range_deletes;
    }
    if (adds > 0) {
        tables_sort(number, level->tables, count);
        return level_check(number, level);
    }
    return ERR_OK;
}

err_t
version_apply(const struct version *base, const struct edit *edit, struct version **version_out)
{
    struct version *version = version_new();
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        TRY(level_apply(version, base, edit, i));
    }
    *version_out = version;
    version = NULL;
out:
    version_unpin(&version);
    return err;
}

uint32_t
level_find(const struct level *level, struct slice key)
{
    uint32_t low = 0;
    uint32_t high = level->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (table_meta_compare_end(level->tables[middle]->meta, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct lsm_table *
level_table_for(const struct level *level, struct slice key)
{
    uint32_t index = level_find(level, key);

    if (index == level->count || slice_compare(level->tables[index]->meta->smallest, key) > 0) {
        return NULL;
    }
    return level->tables[index];
}
