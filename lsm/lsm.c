/* lsm/lsm.c - opening and closing the tree of a shard; statistics. */
#include <stdio.h>

#include "lsm/block.h"
#include "lsm/internal.h"
#include "lsm/vlog_internal.h"

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/io/io.h"

#include "engine/base/poison.h"

/* ---- Options. ---- */

static void
options_take(struct lsm *lsm, const struct lsm_options *options)
{
    struct lsm_options *to = &lsm->options;

    *to = *options;
    memcpy(lsm->dir, options->dir, strlen(options->dir) + 1);
    to->dir = lsm->dir;
    to->memtable_bytes = to->memtable_bytes > 0 ? to->memtable_bytes : MIB(64);
    to->memtables_max = to->memtables_max > 0 ? MAX(2u, to->memtables_max) : 4;
    to->cache_bytes = to->cache_bytes > 0 ? to->cache_bytes : MIB(32);
    to->table_bytes = to->table_bytes > 0 ? to->table_bytes : MIB(64);
    to->level0_tables = to->level0_tables > 0 ? to->level0_tables : 4;
    to->block_bytes = to->block_bytes > 0 ? to->block_bytes : TABLE_BLOCK_BYTES_DEFAULT;
    to->scan_skips_min = to->scan_skips_min > 0 ? to->scan_skips_min : 64 << 10;
    if (to->level_base_bytes == 0) {
        to->level_base_bytes = to->memtable_bytes * to->level0_tables / 2;
    }
}

/* ---- The folder's names. ---- */

enum { LSM_NAME_DIGITS = 16 };
enum name_kind { NAME_OTHER, NAME_TABLE, NAME_MANIFEST, NAME_VLOG };

/* 16 hexadecimal digits and the suffix, as lsm_table_path writes them. */
static bool
parse_number(const char *digits, const char *suffix, uint64_t *number_out)
{
    uint64_t number = 0;

    if (strlen(digits) != LSM_NAME_DIGITS + strlen(suffix) ||
        strcmp(digits + LSM_NAME_DIGITS, suffix) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < LSM_NAME_DIGITS; i++) {
        char digit = digits[i];

        if (digit >= '0' && digit <= '9') {
            number = number << 4 | (uint64_t)(digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            number = number << 4 | (uint64_t)(digit - 'a' + 10);
        } else {
            return false;
        }
    }
    *number_out = number;
    return true;
}

static enum name_kind
name_parse(const char *name, uint64_t *number_out)
{
    static const char manifest[] = "MANIFEST-";

    *number_out = 0;
    if (parse_number(name, ".table", number_out)) {
        return NAME_TABLE;
    }
    if (vlog_name_parse(name, number_out)) {
        return NAME_VLOG;
    }
    if (strncmp(name, manifest, sizeof(manifest) - 1) == 0 &&
        parse_number(name + sizeof(manifest) - 1, "", number_out)) {
        return NAME_MANIFEST;
    }
    return NAME_OTHER;
}

struct listed {
    uint64_t *tables;
    uint32_t table_count, table_capacity;
    uint64_t *manifests;
    uint32_t manifest_count, manifest_capacity;
    uint64_t largest; /* Of all numbers in names. */
    bool has_vlogs;
};

static void
numbers_add(uint64_t **numbers, uint32_t *count, uint32_t *capacity, uint64_t number)
{
    if (*count == *capacity) {
        uint32_t grown = MAX(16u, *capacity * 2);

        *numbers = mem_realloc(MEM_TABLES, *numbers, *capacity * sizeof(uint64_t),
                               grown * sizeof(uint64_t));
        *capacity = grown;
    }
    (*numbers)[(*count)++] = number;
}

static void
listed_visit(const char *name, void *arg)
{
    struct listed *listed = arg;
    uint64_t number;

    switch (name_parse(name, &number)) {
    case NAME_TABLE:
        numbers_add(&listed->tables, &listed->table_count, &listed->table_capacity, number);
        break;
    case NAME_MANIFEST:
        numbers_add(&listed->manifests, &listed->manifest_count, &listed->manifest_capacity,
                    number);
        break;
    case NAME_VLOG:
        listed->has_vlogs = true;
        break;
    case NAME_OTHER:
        break;
    }
    listed->largest = MAX(listed->largest, number);
}

static void
listed_fini(struct listed *listed)
{
    mem_free(MEM_TABLES, listed->tables, listed->table_capacity * sizeof(uint64_t));
    mem_free(MEM_TABLES, listed->manifests, listed->manifest_capacity * sizeof(uint64_t));
}

/* ---- Opening. ---- */

/* What the table says of itself must be what the manifest says of it. */
static err_t
meta_check(const char *path, const struct table_meta *is, const struct table_meta *said)
{
    if (is->file_number != said->file_number || is->file_bytes != said->file_bytes ||
        is->entries != said->entries || is->deletes != said->deletes ||
        is->range_deletes != said->range_deletes || is->ts_oldest != said->ts_oldest ||
        is->ts_newest != said->ts_newest || is->raw_bytes != said->raw_bytes ||
        is->largest_is_exclusive != said->largest_is_exclusive ||
        is->one_version_per_key != said->one_version_per_key ||
        !table_expiry_equal(&is->expiry, &said->expiry) ||
        !slice_equal(is->smallest, said->smallest) || !slice_equal(is->largest, said->largest)) {
        return err_set(ERR_CORRUPT, "%s: its properties are not those in the manifest", path);
    }
    return ERR_OK;
}

struct table_opening {
    struct lsm *lsm;
    const struct manifest_state *state;
    struct lsm_table **tables; /* As state->tables; NULL where not opened. */
    uint32_t next;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static YIELDS err_t
table_open_one(struct table_opening *opening, uint32_t index)
{
    const struct manifest_table *said = &opening->state->tables[index];
    struct lsm *lsm = opening->lsm;
    char path[LSM_PATH_BYTES_MAX];
    struct table *table = NULL;
    err_t err;

    lsm_table_path(path, lsm->dir, said->meta.file_number);
    err = table_open(path, said->meta.file_number, lsm->cache, &table);
    if (err == ERR_NOT_FOUND) {
        err = err_set(ERR_CORRUPT, "%s: the manifest lists this table, but it is missing", path);
    }
    TRY(err);
    if (said->is_stamped) {
        if (table_meta(table)->ts_newest != 0 || said->meta.range_deletes > 0) {
            err = err_set(ERR_CORRUPT,
                          "%s: the manifest gives one timestamp to a table which has "
                          "its own",
                          path);
            goto out;
        }
        table_stamp(table, said->meta.ts_newest);
    }
    TRY(meta_check(path, table_meta(table), &said->meta));
    opening->tables[index] = lsm_table_new(table, lsm->vlog, said->vlog_uses, said->vlog_use_count);
    opening->tables[index]->is_stamped = said->is_stamped;
    table_place(table, &lsm->metrics, said->level);
    table = NULL;
out:
    if (table != NULL) {
        table_unpin(table);
    }
    return err;
}

static void
table_open_worker(void *arg)
{
    struct table_opening *opening = arg;

    while (opening->next < opening->state->table_count && opening->err == ERR_OK) {
        err_t err = table_open_one(opening, opening->next++);

        if (err != ERR_OK && opening->err == ERR_OK) {
            opening->err = err;
            snprintf(opening->message, sizeof(opening->message), "%s", err_message(err));
        }
    }
}

/* All tables of the manifest, a few at a time. */
static YIELDS err_t
tables_open(struct lsm *lsm, const struct manifest_state *state, struct lsm_table **tables)
{
    enum { OPENING_FIBERS = 16 };
    struct table_opening opening = {.lsm = lsm, .state = state, .tables = tables};
    struct fiber_group group;

    fiber_group_init(&group);
    for (uint32_t i = 1; i < OPENING_FIBERS && i < state->table_count; i++) {
        if (!fiber_group_spawn(&group, "lsm open", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                               table_open_worker, &opening)) {
            break;
        }
    }
    table_open_worker(&opening);
    fiber_group_wait(&group);
    return opening.err == ERR_OK ? ERR_OK : err_set(opening.err, "%s", opening.message);
}

static YIELDS err_t
version_open(struct lsm *lsm, const struct manifest_state *state)
{
    size_t bytes = state->table_count * sizeof(struct lsm_table *);
    struct lsm_table **tables = mem_zalloc(MEM_TABLES, bytes);
    struct version *empty = version_new();
    struct edit edit;
    err_t err;

    edit_init(&edit);
    TRY(tables_open(lsm, state, tables));
    for (uint32_t i = 0; i < state->table_count; i++) {
        edit_add_table(&edit, state->tables[i].level, tables[i]);
    }
    err = version_apply(empty, &edit, &lsm->version);
    if (err != ERR_OK) {
        err = err_context(err, "%s", lsm->dir);
    }
out:
    edit_fini(&edit);
    version_unpin(&empty);
    for (uint32_t i = 0; i < state->table_count; i++) {
        if (tables[i] != NULL) {
            lsm_table_unpin(tables[i]);
        }
    }
    mem_free(MEM_TABLES, tables, bytes);
    return err;
}

static YIELDS void
stray_remove(const char *path)
{
    err_t err = io_unlink(path);

    SOMETIMES_IF(err == ERR_OK, "lsm: a stray file was removed at open");
    if (err != ERR_OK && err != ERR_NOT_FOUND) { /* An earlier close may still be removing. */
        LOG_W("%s: a left-over file cannot be removed", path);
    }
}

static bool
state_has_table(const struct manifest_state *state, uint64_t file_number)
{
    uint32_t low = 0;
    uint32_t high = state->table_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (state->tables[middle].meta.file_number < file_number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < state->table_count && state->tables[low].meta.file_number == file_number;
}

/* What a crash left: manifests that never became current, and tables that no edit added or that
 * edits removed. Only after the present state was made durable; the tables wait until the log was
 * read, because it may name some of them (lsm/ingest.h). */
static YIELDS void
strays_remove(struct lsm *lsm, const struct listed *listed, const struct manifest_state *state,
              uint64_t loaded)
{
    char path[LSM_PATH_BYTES_MAX];

    for (uint32_t i = 0; i < listed->table_count; i++) {
        if (!state_has_table(state, listed->tables[i]) &&
            !lsm_checkpoint_has_table(lsm, listed->tables[i])) {
            numbers_add(&lsm->strays, &lsm->stray_count, &lsm->stray_capacity, listed->tables[i]);
        }
    }
    for (uint32_t i = 0; i < listed->manifest_count; i++) {
        if (listed->manifests[i] != loaded) { /* manifest_begin has removed that one. */
            lsm_manifest_path(path, lsm->dir, listed->manifests[i]);
            stray_remove(path);
        }
    }
}

static bool
version_has_table(const struct version *version, uint64_t file_number)
{
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        for (uint32_t k = 0; k < version->levels[i].count; k++) {
            if (version->levels[i].tables[k]->meta->file_number == file_number) {
                return true;
            }
        }
    }
    return false;
}

YIELDS err_t
lsm_files_collect(struct lsm *lsm)
{
    char path[LSM_PATH_BYTES_MAX];

    OBJ_CHECK(lsm, LSM_MAGIC);
    for (uint32_t i = 0; i < lsm->stray_count; i++) {
        if (!version_has_table(lsm->version, lsm->strays[i])) {
            lsm_table_path(path, lsm->dir, lsm->strays[i]);
            stray_remove(path);
        }
    }
    lsm->stray_count = 0;
    return vlog_collect(lsm->vlog);
}

/* A new manifest makes durable what was found before anything is built on it. */
static YIELDS err_t
manifest_renew(struct lsm *lsm)
{
    struct buf payload;
    uint64_t file_number = lsm_file_number_new(lsm);
    err_t err;

    buf_init(&payload, MEM_TABLES);
    manifest_encode_snapshot(&payload, lsm->version, lsm->next_file_number, lsm->flushed_lsn,
                             buf_slice(&lsm->note));
    manifest_encode_horizon(&payload, lsm_horizon_ever(lsm));
    lsm_checkpoints_encode(lsm, &payload);
    err = manifest_begin(lsm->manifest, file_number, buf_slice(&payload));
    buf_fini(&payload);
    return err;
}

/* The folder, durably: a crash may have left it in the cache only, so the parent is synced even
 * when it is there. */
static YIELDS err_t
dir_make(const char *dir)
{
    char parent[LSM_DIR_BYTES_MAX + 1];
    const char *slash = strrchr(dir, '/');
    err_t err = io_mkdir(dir);

    TRY(err == ERR_EXISTS ? ERR_OK : err);
    snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 0 : (int)(slash - dir), dir);
    err = io_sync_dir(parent);
out:
    return err;
}

static YIELDS err_t
state_load(struct lsm *lsm)
{
    struct manifest_state state;
    struct listed listed = {0};
    uint64_t loaded = 0;
    bool exists = false;
    err_t err;

    manifest_state_init(&state);
    TRY(dir_make(lsm->dir));
    TRY(io_list(lsm->dir, listed_visit, &listed));
    TRY(manifest_load(lsm->dir, listed.table_count > 0 || listed.has_vlogs, &state, &loaded,
                      &exists));
    lsm->next_file_number = MAX(MAX(state.next_file_number, listed.largest + 1), 1u);
    lsm->flushed_lsn = state.flushed_lsn;
    lsm->horizon_before = state.horizon;
    buf_append(&lsm->note, state.note.data, state.note.size);
    TRY(vlog_open(lsm->dir, lsm_file_number_new, lsm, &lsm->vlog));
    lsm_checkpoints_load(lsm, &state);
    TRY(version_open(lsm, &state));
    lsm->manifest = manifest_new(lsm->dir, exists ? loaded : 0);
    TRY(manifest_renew(lsm));
    strays_remove(lsm, &listed, &state, exists ? loaded : 0);
out:
    listed_fini(&listed);
    manifest_state_fini(&state);
    return err;
}

static err_t
background_start(struct lsm *lsm)
{
    if (lsm->options.background_off) {
        return ERR_OK;
    }
    if (!fiber_group_spawn(&lsm->background, "lsm flush", FIBER_BACKGROUND, FIBER_STACK_SMALL,
                           flush_fiber, lsm) ||
        !fiber_group_spawn(&lsm->background, "lsm scrub", FIBER_BACKGROUND, FIBER_STACK_SMALL,
                           scrub_fiber, lsm)) {
        return err_set(ERR_LIMIT, "%s: no fiber for background work", lsm->dir);
    }
    for (uint32_t i = 0; i < COMPACT_FIBERS; i++) {
        if (!fiber_group_spawn(&lsm->background, "lsm compact", FIBER_BACKGROUND, FIBER_STACK_SMALL,
                               compact_fiber, lsm)) {
            return err_set(ERR_LIMIT, "%s: no fiber for background work", lsm->dir);
        }
    }
    return ERR_OK;
}

static struct lsm *
lsm_new(const struct lsm_options *options)
{
    struct lsm *lsm = MEM_NEW(MEM_TABLES, struct lsm);

    lsm->magic = LSM_MAGIC;
    options_take(lsm, options);
    snapshots_init(&lsm->snapshots);
    memtable_pool_init(&lsm->pool, lsm->options.memtable_bytes);
    buf_init(&lsm->note, MEM_TABLES);
    fiber_mutex_init(&lsm->manifest_mutex);
    fiber_mutex_init(&lsm->hold_mutex);
    fiber_mutex_init(&lsm->flush_mutex);
    list_init(&lsm->running);
    cond_init(&lsm->flush_cond);
    cond_init(&lsm->compact_cond);
    cond_init(&lsm->scrub_cond);
    cond_init(&lsm->room_cond);
    fiber_group_init(&lsm->background);
    io_random(&lsm->hash_seed, sizeof(lsm->hash_seed));
    lsm->cache = block_cache_new(lsm->options.cache_bytes);
    block_cache_guides_limit(lsm->cache, lsm->options.guide_bytes);
    lsm->entries = entry_cache_new(lsm->options.cache_bytes);
    return lsm;
}

YIELDS err_t
lsm_open(const struct lsm_options *options, struct lsm_recovered *recovered_out,
         struct lsm **lsm_out)
{
    struct lsm *lsm;
    err_t err;

    if (strlen(options->dir) > LSM_DIR_BYTES_MAX) {
        return err_set(ERR_LIMIT, "%s: a folder's name may have %u bytes", options->dir,
                       LSM_DIR_BYTES_MAX);
    }
    if (options->block_bytes > BLOCK_TARGET_BYTES_MAX) {
        return err_set(ERR_INVALID, "%s: a block may have %u bytes, not %u", options->dir,
                       BLOCK_TARGET_BYTES_MAX, options->block_bytes);
    }
    lsm = lsm_new(options);
    TRY(state_load(lsm));
    lsm->active = memtable_new(lsm->options.memtable_bytes, lsm->hash_seed, lsm->vlog, &lsm->pool);
    lsm_pace(lsm);
    TRY(background_start(lsm));
    *recovered_out = (struct lsm_recovered){
        .flushed_lsn = lsm->flushed_lsn,
        .horizon = lsm->horizon_before,
        .ts_newest = lsm->version->ts_newest,
        .note = buf_slice(&lsm->note),
    };
    *lsm_out = lsm;
    lsm = NULL;
out:
    lsm_close(&lsm);
    return err;
}

YIELDS void
lsm_close(struct lsm **pointer)
{
    struct lsm *lsm = *pointer;

    *pointer = NULL;
    if (lsm == NULL) {
        return;
    }
    OBJ_CHECK(lsm, LSM_MAGIC);
    ASSERT(lsm->iterators == 0);
    lsm->is_closing = true;
    lsm_iter_spare_drop(lsm);
    cond_broadcast(&lsm->flush_cond);
    cond_broadcast(&lsm->compact_cond);
    cond_broadcast(&lsm->scrub_cond);
    cond_broadcast(&lsm->room_cond);
    fiber_group_wait(&lsm->background);
    if (lsm->vlog != NULL) {
        vlog_keep_files(lsm->vlog); /* The references that go now stay in log and manifest. */
    }
    while (memtable_pool_shrink(&lsm->pool, 0)) {}
    while (lsm->frozen_oldest != NULL) {
        struct memtable *memtable = lsm->frozen_oldest;

        lsm->frozen_oldest = memtable->newer;
        memtable_unpin(&memtable);
    }
    memtable_unpin(&lsm->active);
    memtable_unpin(&lsm->spare);
    lsm_ingest_fini(lsm);
    mem_free(MEM_TABLES, lsm->strays, lsm->stray_capacity * sizeof(lsm->strays[0]));
    version_unpin(&lsm->version);
    manifest_close(&lsm->manifest);
    lsm_checkpoints_fini(lsm);
    if (lsm->vlog != NULL) {
        vlog_close(&lsm->vlog);
    }
    block_cache_drain(lsm->cache); /* Removals of tables and reads ahead that still run. */
    block_cache_free(&lsm->cache);
    entry_cache_free(&lsm->entries);
    buf_fini(&lsm->note);
    lsm->magic = 0;
    mem_free(MEM_TABLES, lsm, sizeof(*lsm));
}

struct vlog *
lsm_vlog(struct lsm *lsm)
{
    return lsm->vlog;
}

/* ---- Checking and counting. ---- */

static YIELDS err_t
version_verify(const struct version *version)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        const struct level *level = &version->levels[i];

        for (uint32_t k = 0; k < level->count; k++) {
            if (i > 0 && k > 0 &&
                table_meta_compare_end(level->tables[k - 1]->meta,
                                       level->tables[k]->meta->smallest) >= 0) {
                err = err_set(ERR_CORRUPT, "tables %llu and %llu of level %u overlap",
                              (unsigned long long)level->tables[k - 1]->meta->file_number,
                              (unsigned long long)level->tables[k]->meta->file_number, i);
                goto out;
            }
            TRY(table_verify(level->tables[k]->table));
        }
    }
out:
    return err;
}

/* What the manifest on the disk says now must be the version in memory. */
static YIELDS err_t
manifest_verify(struct lsm *lsm)
{
    struct manifest_state state;
    uint64_t file_number = 0;
    uint32_t count = 0;
    bool exists = false;
    err_t err;

    manifest_state_init(&state);
    TRY(manifest_load(lsm->dir, true, &state, &file_number, &exists));
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        const struct level *level = &lsm->version->levels[i];

        for (uint32_t k = 0; k < level->count; k++) {
            if (lsm_table_is_pending(level->tables[k])) {
                continue; /* The log has it so far. */
            }
            count++;
            if (!state_has_table(&state, level->tables[k]->meta->file_number)) {
                err = err_set(ERR_CORRUPT, "%s: table %llu is not in the manifest", lsm->dir,
                              (unsigned long long)level->tables[k]->meta->file_number);
                goto out;
            }
        }
    }
    if (count != state.table_count || file_number != manifest_file_number(lsm->manifest) ||
        state.tail_was_cut) {
        err = err_set(ERR_CORRUPT, "%s: the manifest on the disk lists other tables", lsm->dir);
    }
out:
    manifest_state_fini(&state);
    return err;
}

YIELDS err_t
lsm_verify(struct lsm *lsm)
{
    struct version *version;
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    version = lsm->version;
    version_pin(version);
    fiber_mutex_lock(&lsm->manifest_mutex);
    err = manifest_verify(lsm);
    fiber_mutex_unlock(&lsm->manifest_mutex);
    if (err == ERR_OK) {
        err = version_verify(version);
    }
    version_unpin(&version);
    return err;
}

const struct lsm_metrics *
lsm_metrics_of(const struct lsm *lsm)
{
    OBJ_CHECK(lsm, LSM_MAGIC);
    return &lsm->metrics;
}

void
lsm_stats_get(const struct lsm *lsm, struct lsm_stats *stats_out)
{
    struct block_cache_stats cache;
    struct entry_cache_stats entries;
    struct lsm_stats *stats = stats_out;

    OBJ_CHECK(lsm, LSM_MAGIC);
    *stats = lsm->stats;
    stats->memtable_bytes = memtable_bytes(lsm->active);
    stats->memtables = lsm->frozen_count + 1;
    stats->entries_estimate = lsm->active->versions;
    for (const struct memtable *at = lsm->frozen_oldest; at != NULL; at = at->newer) {
        stats->memtable_bytes += memtable_bytes(at);
        stats->entries_estimate += at->versions;
    }
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        const struct level *level = &lsm->version->levels[i];

        stats->level_tables[i] = level->count;
        stats->level_bytes[i] = level->bytes;
        stats->disk_bytes += level->bytes;
        for (uint32_t k = 0; k < level->count; k++) {
            stats->entries_estimate += level->tables[k]->meta->entries;
        }
    }
    block_cache_stats_get(lsm->cache, &cache);
    stats->cache_hits = cache.hits;
    stats->cache_misses = cache.misses;
    stats->cache_bytes = cache.bytes;
    entry_cache_stats_get(lsm->entries, &entries);
    stats->entry_cache_hits = entries.hits;
    stats->entry_cache_misses = entries.misses;
    stats->entry_cache_bytes = entries.bytes;
    stats->compaction_debt_bytes = compact_debt(lsm);
}
