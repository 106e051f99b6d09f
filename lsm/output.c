/* lsm/output.c - see output.h. */
#include "lsm/output.h"

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/io/io.h"
#include "engine/rt/fiber.h"
#include "lsm/manifest.h"
#include "lsm/vlog.h"

#include "engine/base/poison.h"

/* ---- Values out of files of which little is used. ---- */

static void
moved_release(struct output *output)
{
    for (uint32_t i = 0; i < output->moved_count; i++) {
        vlog_release_hold(output->options.vlog, &output->moved[i]);
    }
    output->moved_count = 0;
}

static void
moved_push(struct output *output, const struct vlog_pointer *pointer)
{
    if (output->moved_count == output->moved_capacity) {
        uint32_t capacity = MAX(8u, output->moved_capacity * 2);

        output->moved =
            mem_realloc(MEM_BACKGROUND, output->moved, output->moved_capacity * sizeof(*pointer),
                        capacity * sizeof(*pointer));
        output->moved_capacity = capacity;
    }
    output->moved[output->moved_count++] = *pointer;
}

/* Puts another pointer in place of one into a victim. A value that is damaged stays where it is:
 * reading it will say so. */
static YIELDS err_t
value_move(struct output *output, struct vlog_pointer *pointer)
{
    struct vlog *vlog = output->options.vlog;
    struct vlog_pointer to;
    err_t err;

    if (vlog == NULL || !vlog_is_victim(vlog, pointer->file_number)) {
        return ERR_OK;
    }
    err = vlog_move(vlog, pointer, &to);
    if (err == ERR_CORRUPT) {
        LOG_E("a value cannot be moved: %s", err_message(err));
        vlog_mark_damaged(vlog, pointer->file_number);
        return ERR_OK;
    }
    TRY(err);
    moved_push(output, &to);
    output->moved_bytes += to.bytes;
    *pointer = to;
    SOMETIMES("lsm: a large value was moved to another value log");
out:
    return err;
}

/* ---- Life. ---- */

void
output_init(struct output *output, const struct output_options *options,
            const struct collect *collect, struct edit *edit)
{
    memset(output, 0, sizeof(*output));
    output->options = *options;
    output->collect = collect;
    output->edit = edit;
    output->start_is_open = options->lower.size == 0;
    buf_init(&output->start, MEM_BACKGROUND);
    buf_append(&output->start, options->lower.data, options->lower.size);
    buf_init(&output->last_key, MEM_BACKGROUND);
    if (range_map_is_empty(collect->ranges)) {
        return;
    }
    output->has_piece = output->start_is_open
                            ? range_map_first(collect->ranges, &output->piece)
                            : range_map_seek(collect->ranges, options->lower, &output->piece);
}

void
output_fini(struct output *output)
{
    ASSERT(output->writer == NULL);
    buf_fini(&output->start);
    buf_fini(&output->last_key);
    vlog_uses_fini(&output->vlog_uses);
    moved_release(output);
    mem_free(MEM_BACKGROUND, output->moved, output->moved_capacity * sizeof(output->moved[0]));
}

static YIELDS err_t
writer_need(struct output *output)
{
    char path[LSM_PATH_BYTES_MAX];
    struct table_writer_options options = {
        .path = path,
        .block_bytes = output->options.block_bytes,
        .filter_bits_per_key = TABLE_FILTER_BITS_PER_KEY,
        .compress = output->options.compress,
    };

    if (output->writer != NULL) {
        return ERR_OK;
    }
    output->file_number = output->options.file_number_new(output->options.arg);
    output->grandparent_bytes = 0;
    options.file_number = output->file_number;
    lsm_table_path(path, output->options.dir, output->file_number);
    output->vlog_uses.count = 0;
    output->ranges = 0;
    buf_clear(&output->last_key);
    return table_writer_open(&options, &output->writer);
}

static YIELDS err_t
range_write(struct output *output, struct slice start, struct slice end, uint64_t ts)
{
    struct lsm_range_delete range = {.start = start, .end = end, .ts = ts};
    err_t err;

    TRY(writer_need(output));
    TRY(table_writer_add_range_delete(output->writer, &range));
    output->ranges++;
out:
    return err;
}

/* The part of output->piece below `limit` (NULL: all of it). */
static YIELDS err_t
piece_write(struct output *output, const struct slice *limit)
{
    const struct range_piece *piece = &output->piece;
    struct slice start = piece->start;
    struct slice end = piece->end;
    uint64_t newer = UINT64_MAX;
    err_t err = ERR_OK;

    if (!output->start_is_open && slice_compare(start, buf_slice(&output->start)) < 0) {
        start = buf_slice(&output->start);
    }
    if (limit != NULL && slice_compare(*limit, end) < 0) {
        end = *limit;
    }
    if (slice_compare(start, end) >= 0) {
        return ERR_OK;
    }
    for (const struct range_layer *layer = piece->newest; layer != NULL; layer = layer->older) {
        if (collect_keeps_range(output->collect, piece, layer, newer)) {
            TRY(range_write(output, start, end, layer->ts));
        }
        newer = layer->ts;
    }
out:
    return err;
}

/* Finish the writer; the table goes into the edit. */
static YIELDS err_t
table_finish(struct output *output)
{
    const struct output_options *options = &output->options;
    char path[LSM_PATH_BYTES_MAX];
    struct table_meta meta;
    struct table *table = NULL;
    struct lsm_table *lsm_table;
    err_t err;

    TRY(table_writer_finish(&output->writer, &meta));
    output->bytes_written += meta.file_bytes;
    table_meta_fini(&meta);
    lsm_table_path(path, options->dir, output->file_number);
    err = table_open(path, output->file_number, options->cache, &table);
    if (err != ERR_OK) {
        (void)io_unlink(path); /* The next start removes what stays. */
        goto out;
    }
    (void)table_warm(table); /* What fails now is read, or refused, when it is needed. */
    lsm_table =
        lsm_table_new(table, options->vlog, output->vlog_uses.uses, output->vlog_uses.count);
    lsm_table->collected_floor = output->collect->drop_floor;
    moved_release(output);
    lsm_table->collected_floor = output->collect->drop_floor;
    edit_add_table(output->edit, options->level, lsm_table);
    lsm_table_unpin(lsm_table); /* The edit holds it. */
out:
    return err;
}

static YIELDS err_t
table_cut(struct output *output, const struct slice *limit)
{
    err_t err = ERR_OK;

    while (output->has_piece && (limit == NULL || slice_compare(output->piece.start, *limit) < 0)) {
        TRY(piece_write(output, limit));
        fiber_work(1);
        if (limit != NULL && slice_compare(output->piece.end, *limit) > 0) {
            break; /* The rest of it is the next table's. */
        }
        output->has_piece = range_map_next(&output->piece);
        /* Many range deletes over few entries must not become one huge table. */
        if (output->ranges >= OUTPUT_RANGES_MAX && output->has_piece &&
            slice_compare(output->piece.start, buf_slice(&output->last_key)) > 0) {
            TRY(table_finish(output));
            buf_clear(&output->start);
            buf_append(&output->start, output->piece.start.data, output->piece.start.size);
            output->start_is_open = false;
        }
    }
    if (output->writer != NULL) {
        TRY(table_finish(output));
    }
    if (limit != NULL) {
        buf_clear(&output->start);
        buf_append(&output->start, limit->data, limit->size);
        output->start_is_open = false;
    }
out:
    return err;
}

/* Would the present table overlap too much of the level below? */
static bool
overlaps_much(struct output *output, struct slice key)
{
    const struct level *level = output->options.grandparents;

    while (output->grandparent < level->count &&
           table_meta_compare_end(level->tables[output->grandparent]->meta, key) < 0) {
        output->grandparent_bytes += level->tables[output->grandparent++]->meta->file_bytes;
    }
    return output->grandparent_bytes > output->options.grandparent_bytes_max;
}

static bool
wants_cut(struct output *output, struct slice key)
{
    uint64_t target = output->options.table_bytes;
    struct slice last = buf_slice(&output->last_key);
    uint64_t bytes;

    if (output->writer == NULL || slice_equal(last, key)) {
        return false;
    }
    if (output->vlog_uses.count >= OUTPUT_VLOG_FILES_MAX) {
        return true;
    }
    if (target == 0) {
        return false;
    }
    bytes = table_writer_bytes(output->writer);
    if (bytes >= target) {
        return true;
    }
    if (output->options.grandparents != NULL && bytes >= target / OUTPUT_OVERLAP_SHARE &&
        overlaps_much(output, key)) {
        return true;
    }
    return bytes >= target / OUTPUT_KEYSPACE_SHARE &&
           (last.size < LSM_KEYSPACE_BYTES || key.size < LSM_KEYSPACE_BYTES ||
            memcmp(last.data, key.data, LSM_KEYSPACE_BYTES) != 0);
}

YIELDS err_t
output_add(struct output *output, const struct lsm_entry *entry)
{
    uint8_t pointer_bytes[VLOG_POINTER_BYTES];
    struct vlog_pointer pointer;
    struct lsm_entry large;
    err_t err;

    if (wants_cut(output, entry->key)) {
        TRY(table_cut(output, &entry->key));
    }
    TRY(writer_need(output));
    if (entry->kind == LSM_PUT_LARGE) {
        TRY(vlog_pointer_decode(entry->value, &pointer));
        TRY(value_move(output, &pointer));
        vlog_pointer_encode(&pointer, pointer_bytes);
        large = *entry;
        large.value = slice_of(pointer_bytes, sizeof(pointer_bytes));
        entry = &large;
        vlog_uses_add(&output->vlog_uses, &pointer);
    }
    TRY(table_writer_add(output->writer, entry));
    buf_clear(&output->last_key);
    buf_append(&output->last_key, entry->key.data, entry->key.size);
out:
    return err;
}

YIELDS err_t
output_finish(struct output *output)
{
    err_t err;

    TRY(table_cut(output, output->options.upper.size > 0 ? &output->options.upper : NULL));
    if (output->edit->add_count > 0) {
        TRY(io_sync_dir(output->options.dir));
    }
out:
    return err;
}

YIELDS void
output_abandon(struct output *output)
{
    if (output->writer != NULL) {
        table_writer_abandon(&output->writer);
    }
    for (uint32_t i = 0; i < output->edit->add_count; i++) {
        output->edit->adds[i].table->is_obsolete = true;
    }
}
