/* lsm/check.c - see check.h.
 *
 *     CURRENT -> manifest -> tables of the tree and of named checkpoints, each against its entry
 *             -> levels disjoint -> large values behind their pointers
 *             -> files that nobody lists */
#include "lsm/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "lsm/manifest.h"
#include "lsm/table.h"
#include "lsm/vlog.h"

#include "engine/base/poison.h"

enum {
    CHECK_CACHE_BYTES = 8 << 20,
    CHECK_READ_AHEAD_BYTES = 1 << 20,
    CHECK_WORK_ENTRIES = 64,
};

struct check {
    const struct lsm_check_options *options;
    struct lsm_checked *checked;
    struct manifest_state state;
    struct block_cache *cache;
    struct vlog *vlog;
    struct arena arena; /* One large value at a time. */
};

/* ---- Names. ---- */

bool
lsm_name_parse(const char *name, const char *prefix, const char *suffix, uint64_t *number_out)
{
    enum { DIGITS = 16 };
    size_t before = strlen(prefix);
    uint64_t number = 0;

    if (strlen(name) != before + DIGITS + strlen(suffix) || strncmp(name, prefix, before) != 0 ||
        strcmp(name + before + DIGITS, suffix) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < DIGITS; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *at = strchr(digits, name[before + i]);

        if (at == NULL) {
            return false;
        }
        number = number << 4 | (uint64_t)(at - digits);
    }
    *number_out = number;
    return true;
}

/* ---- Findings. ---- */

static void
damage(struct check *check, err_t err)
{
    char message[ERR_MESSAGE_BYTES_MAX];

    snprintf(message, sizeof(message), "%s", err_message(err));
    check->checked->damages++;
    check->options->report(check->options->arg, CHECK_DAMAGE, message);
}

static void
progress(struct check *check, uint64_t files, uint64_t bytes)
{
    check->checked->bytes += bytes;
    if (check->options->progress != NULL) {
        check->options->progress(check->options->arg, files, bytes);
    }
}

/* ---- Large values. ---- */

static YIELDS void
value_check(struct check *check, const char *path, struct slice bytes)
{
    struct vlog_pointer pointer;
    struct slice value;
    err_t err = vlog_pointer_decode(bytes, &pointer);

    if (err == ERR_OK) {
        err = vlog_read(check->vlog, &pointer, &check->arena, &value);
        arena_reset(&check->arena);
    }
    if (err != ERR_OK) {
        damage(check, err_context(err, "table %s", path));
    } else {
        progress(check, 0, pointer.bytes);
    }
    check->checked->values++;
}

static YIELDS void
values_check(struct check *check, struct table *table, const char *path)
{
    static const struct table_iter_options options = {.read_ahead_bytes = CHECK_READ_AHEAD_BYTES,
                                                      .fill_cache = false};
    struct table_iter *iter = table_iter_new(table, &options);
    uint64_t entries = 0;
    err_t err = table_iter_seek_first(iter);

    while (err == ERR_OK && table_iter_is_valid(iter)) {
        if (table_iter_entry(iter)->kind == LSM_PUT_LARGE) {
            value_check(check, path, table_iter_entry(iter)->value);
        }
        if (++entries % CHECK_WORK_ENTRIES == 0) {
            fiber_work(CHECK_WORK_ENTRIES);
        }
        err = table_iter_next(iter);
    }
    if (err != ERR_OK) {
        damage(check, err);
    }
    table_iter_free(&iter);
}

/* ---- Tables. ---- */

/* What the table says of itself must be what the manifest says of it. */
static bool
meta_is(const struct table_meta *is, const struct table_meta *said)
{
    return is->file_bytes == said->file_bytes && is->entries == said->entries &&
           is->deletes == said->deletes && is->range_deletes == said->range_deletes &&
           is->ts_oldest == said->ts_oldest && is->ts_newest == said->ts_newest &&
           is->raw_bytes == said->raw_bytes &&
           is->largest_is_exclusive == said->largest_is_exclusive &&
           is->one_version_per_key == said->one_version_per_key &&
           table_expiry_equal(&is->expiry, &said->expiry) &&
           slice_equal(is->smallest, said->smallest) && slice_equal(is->largest, said->largest);
}

static YIELDS void
table_check(struct check *check, const struct manifest_table *said)
{
    char path[LSM_PATH_BYTES_MAX];
    struct table *table = NULL;
    err_t err;

    lsm_table_path(path, check->options->dir, said->meta.file_number);
    err = table_open(path, said->meta.file_number, check->cache, &table);
    if (err == ERR_NOT_FOUND) {
        err = err_set(ERR_CORRUPT, "%s: the manifest lists this table, but it is missing", path);
    }
    TRY(err);
    TRY(table_verify(table)); /* Against itself, before it gets its stamp. */
    if (said->is_stamped) {
        table_stamp(table, said->meta.ts_newest);
    }
    if (!meta_is(table_meta(table), &said->meta)) {
        err = err_set(ERR_CORRUPT, "%s: its properties are not those in the manifest", path);
        goto out;
    }
    if (said->vlog_use_count > 0) {
        values_check(check, table, path);
    }
    check->checked->entries += said->meta.entries;
out:
    if (err != ERR_OK) {
        damage(check, err);
    }
    if (table != NULL) {
        table_unpin(table);
    }
    check->checked->tables++;
    progress(check, 1, said->meta.file_bytes);
}

static int
order_by_level(const void *a, const void *b)
{
    const struct manifest_table *left = *(const struct manifest_table *const *)a;
    const struct manifest_table *right = *(const struct manifest_table *const *)b;

    if (left->level != right->level) {
        return left->level < right->level ? -1 : 1;
    }
    return slice_compare(left->meta.smallest, right->meta.smallest);
}

/* From level 1 on the tables of a level are disjoint. */
static void
levels_check(struct check *check, const struct manifest_table *tables, uint32_t count,
             const char *of)
{
    size_t bytes = count * sizeof(struct manifest_table *);
    const struct manifest_table **sorted = mem_alloc(MEM_BACKGROUND, bytes);

    for (uint32_t i = 0; i < count; i++) {
        sorted[i] = &tables[i];
    }
    if (count > 0) {
        qsort(sorted, count, sizeof(sorted[0]), order_by_level);
    }
    for (uint32_t i = 1; i < count; i++) {
        const struct table_meta *before = &sorted[i - 1]->meta;
        const struct table_meta *meta = &sorted[i]->meta;

        if (sorted[i]->level > 0 && sorted[i]->level == sorted[i - 1]->level &&
            !sorted[i]->is_pending && !sorted[i - 1]->is_pending &&
            table_meta_compare_end(before, meta->smallest) >= 0) {
            damage(check, err_set(ERR_CORRUPT, "%s: %s: tables %llu and %llu of level %u overlap",
                                  check->options->dir, of, (unsigned long long)before->file_number,
                                  (unsigned long long)meta->file_number, sorted[i]->level));
        }
    }
    mem_free(MEM_BACKGROUND, sorted, bytes);
}

static bool
state_has(const struct manifest_state *state, uint64_t file_number)
{
    for (uint32_t i = 0; i < state->table_count; i++) {
        if (state->tables[i].meta.file_number == file_number) {
            return true;
        }
    }
    return false;
}

/* A table that an earlier checkpoint has was checked with it. */
static bool
seen_before(const struct check *check, uint32_t checkpoint, uint64_t file_number)
{
    for (uint32_t i = 0; i < checkpoint; i++) {
        if (manifest_checkpoint_has(check->state.checkpoints[i], file_number)) {
            return true;
        }
    }
    return state_has(&check->state, file_number);
}

static YIELDS void
tables_check(struct check *check)
{
    const struct manifest_state *state = &check->state;

    levels_check(check, state->tables, state->table_count, "the tree");
    for (uint32_t i = 0; i < state->table_count; i++) {
        check->checked->ts_newest = MAX(check->checked->ts_newest, state->tables[i].meta.ts_newest);
        table_check(check, &state->tables[i]);
    }
    for (uint32_t i = 0; i < state->checkpoint_count; i++) {
        const struct manifest_checkpoint *checkpoint = state->checkpoints[i];

        levels_check(check, checkpoint->tables, checkpoint->table_count, checkpoint->name);
        for (uint32_t k = 0; k < checkpoint->table_count; k++) {
            if (!seen_before(check, i, checkpoint->tables[k].meta.file_number)) {
                table_check(check, &checkpoint->tables[k]);
            }
        }
        check->checked->checkpoints++;
    }
}

/* ---- Files that nobody lists. ---- */

struct strays {
    struct check *check;
    uint64_t manifest;
};

static void
stray_visit(const char *name, void *arg)
{
    struct strays *strays = arg;
    struct check *check = strays->check;
    char message[ERR_MESSAGE_BYTES_MAX];
    uint64_t number;

    if (vlog_name_parse(name, &number)) {
        check->checked->vlogs++;
        return;
    }
    if (lsm_name_parse(name, "", ".table", &number)) {
        if (seen_before(check, check->state.checkpoint_count, number)) {
            return;
        }
    } else if (lsm_name_parse(name, "MANIFEST-", "", &number)) {
        if (number == strays->manifest) {
            return;
        }
    } else if (strcmp(name, "CURRENT") == 0) {
        return;
    }
    snprintf(message, sizeof(message),
             "%s/%s: listed nowhere: the next start removes it, unless the log names it",
             check->options->dir, name);
    check->options->report(check->options->arg, CHECK_NOTE, message);
}

/* ---- The whole. ---- */

static uint64_t
no_number(void *arg)
{
    (void)arg;
    UNREACHABLE(); /* Nothing is appended. */
}

static void
listing_visit(const char *name, void *arg)
{
    bool *has_data = arg;
    uint64_t number;

    *has_data =
        *has_data || lsm_name_parse(name, "", ".table", &number) || vlog_name_parse(name, &number);
}

/* An unreadable manifest is damage; a folder without one and without data is a new one. */
static YIELDS err_t
state_read(struct check *check, uint64_t *manifest_out)
{
    bool has_data = false;
    bool exists = false;
    err_t err;

    TRY(io_list(check->options->dir, listing_visit, &has_data));
    err = manifest_load(check->options->dir, has_data, &check->state, manifest_out, &exists);
    if (err == ERR_NO_MEMORY) {
        goto out;
    }
    if (err != ERR_OK) {
        damage(check, err);
        err = ERR_OK;
        goto out;
    }
    check->checked->has_manifest = exists;
    check->checked->flushed_lsn = check->state.flushed_lsn;
out:
    return err;
}

YIELDS err_t
lsm_check(const struct lsm_check_options *options, struct lsm_checked *checked_out)
{
    struct lsm_checked checked = {0};
    struct check check = {.options = options, .checked = &checked};
    struct strays strays = {.check = &check};
    err_t err;

    manifest_state_init(&check.state);
    arena_init(&check.arena, MEM_BACKGROUND);
    check.cache = block_cache_new(CHECK_CACHE_BYTES);
    TRY(state_read(&check, &strays.manifest));
    progress(&check, 1, check.state.bytes_valid);
    if (checked.has_manifest) {
        TRY(vlog_open(options->dir, no_number, NULL, &check.vlog));
        vlog_keep_files(check.vlog);
        tables_check(&check);
        TRY(io_list(options->dir, stray_visit, &strays));
    }
    *checked_out = checked;
out:
    vlog_close(&check.vlog);
    block_cache_drain(check.cache);
    block_cache_free(&check.cache);
    arena_fini(&check.arena);
    manifest_state_fini(&check.state);
    return err;
}

YIELDS err_t
lsm_check_size(const char *dir, uint64_t *files_out, uint64_t *bytes_out)
{
    struct manifest_state state;
    bool has_data = false;
    uint64_t manifest = 0;
    uint64_t bytes = 0;
    bool exists = false;
    err_t err;

    manifest_state_init(&state);
    TRY(io_list(dir, listing_visit, &has_data));
    TRY(manifest_load(dir, has_data, &state, &manifest, &exists));
    for (uint32_t i = 0; i < state.table_count; i++) {
        bytes += state.tables[i].meta.file_bytes;
        for (uint32_t k = 0; k < state.tables[i].vlog_use_count; k++) {
            bytes += state.tables[i].vlog_uses[k].bytes;
        }
    }
    *files_out = state.table_count + 1;
    *bytes_out = bytes;
out:
    manifest_state_fini(&state);
    return err;
}
