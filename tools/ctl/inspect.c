/* tools/ctl/inspect.c - orbitctl inspect: what is in a data folder or in one of its files, as text.
 *
 * Reads only. A damaged file is shown up to where it is damaged, and then the error. The lines of
 * a record are: what it is, then name=value pairs; keys are quoted, with \xNN for what is not
 * printable. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/err.h"
#include "engine/io/io.h"
#include "engine/io/runtime.h"
#include "engine/rt/shard.h"
#include "lsm/check.h"
#include "lsm/manifest.h"
#include "lsm/table.h"
#include "lsm/vlog_internal.h"
#include "tools/ctl/ctl.h"
#include "txn/record.h"
#include "txn/shape.h"
#include "wal/format.h"

enum {
    INSPECT_CACHE_BYTES = 8 << 20,
    INSPECT_KEY_BYTES_SHOWN = 200,
    INSPECT_KEY_BYTES_MAX = 64 << 10,
    INSPECT_FILE_BYTES_MAX = 1 << 30,
};

typedef unsigned long long ull;

/* What runs in the fiber. */
struct inspect {
    const struct inspect_options *options;
    const char *name; /* Of the file, in its folder. */
    struct slice from;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

/* ---- Text. ---- */

static void
key_print(const char *label, struct slice key)
{
    printf(" %s=\"", label);
    for (size_t i = 0; i < MIN(key.size, (size_t)INSPECT_KEY_BYTES_SHOWN); i++) {
        uint8_t byte = key.data[i];

        if (byte == '"' || byte == '\\') {
            printf("\\%c", byte);
        } else if (byte >= ' ' && byte < 0x7f) {
            putchar(byte);
        } else {
            printf("\\x%02x", byte);
        }
    }
    printf("\"%s", key.size > INSPECT_KEY_BYTES_SHOWN ? "..." : "");
}

static int
hex_digit(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

/* The other way round; false when an escape is none. */
static bool
key_parse(const char *text, uint8_t *out, size_t *size_out)
{
    size_t size = 0;

    for (; *text != '\0' && size < INSPECT_KEY_BYTES_MAX; text++) {
        if (*text != '\\') {
            out[size++] = (uint8_t)*text;
        } else if (text[1] == '\\' || text[1] == '"') {
            out[size++] = (uint8_t) * ++text;
        } else if (text[1] == 'x' && hex_digit(text[2]) >= 0 && hex_digit(text[3]) >= 0) {
            out[size++] = (uint8_t)(hex_digit(text[2]) * 16 + hex_digit(text[3]));
            text += 3;
        } else {
            return false;
        }
    }
    *size_out = size;
    return *text == '\0';
}

static void
table_line_print(const struct manifest_table *table)
{
    const struct table_meta *meta = &table->meta;

    printf("  table %016llx level=%u bytes=%llu entries=%llu deletes=%llu range_deletes=%llu "
           "expiring=%llu ts=%llu..%llu%s%s",
           (ull)meta->file_number, table->level, (ull)meta->file_bytes, (ull)meta->entries,
           (ull)meta->deletes, (ull)meta->range_deletes, (ull)meta->expiry.entries,
           (ull)meta->ts_oldest, (ull)meta->ts_newest, table->is_stamped ? " stamped" : "",
           table->is_pending ? " pending" : "");
    key_print("smallest", meta->smallest);
    key_print(meta->largest_is_exclusive ? "end" : "largest", meta->largest);
    for (uint32_t i = 0; i < table->vlog_use_count; i++) {
        printf(" values=%016llx:%llu", (ull)table->vlog_uses[i].file_number,
               (ull)table->vlog_uses[i].bytes);
    }
    printf("\n");
}

/* ---- A whole file in memory: logs and manifests. ---- */

static YIELDS err_t
file_load(const char *name, uint8_t **bytes_out, uint64_t *size_out)
{
    struct io_file *file = NULL;
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    err_t err;

    TRY(io_open(name, IO_READ_ONLY, &file));
    size = io_file_size(file);
    if (size == 0 || size > INSPECT_FILE_BYTES_MAX || size % IO_BLOCK_BYTES != 0) {
        err = err_set(ERR_CORRUPT, "%s: a file of %llu bytes cannot be whole", name, (ull)size);
        goto out;
    }
    bytes = mem_alloc_aligned(MEM_BACKGROUND, size);
    if (bytes == NULL) {
        err = err_set(ERR_NO_MEMORY, "%s: no memory for %llu bytes", name, (ull)size);
        goto out;
    }
    for (uint64_t at = 0; at < size; at += 1 << 20) {
        TRY(io_read(file, at, bytes + at, MIN(size - at, (uint64_t)(1 << 20))));
    }
    *bytes_out = bytes;
    *size_out = size;
    bytes = NULL;
out:
    mem_free_aligned(MEM_BACKGROUND, bytes, size);
    io_close(&file);
    return err;
}

/* ---- A manifest. ---- */

static void
state_print(const struct manifest_state *state, uint64_t limit)
{
    printf("batches=%u bytes=%llu next_file=%llu flushed=%llu note_bytes=%zu tables=%u "
           "checkpoints=%u%s\n",
           state->batches, (ull)state->bytes_valid, (ull)state->next_file_number,
           (ull)state->flushed_lsn, state->note.size, state->table_count, state->checkpoint_count,
           state->tail_was_cut ? " (an edit at the end was not acknowledged)" : "");
    for (uint32_t i = 0; i < state->table_count && i < limit; i++) {
        table_line_print(&state->tables[i]);
    }
    for (uint32_t i = 0; i < state->checkpoint_count; i++) {
        const struct manifest_checkpoint *checkpoint = state->checkpoints[i];

        printf("checkpoint %s ts=%llu flushed=%llu log_end=%llu tables=%u value_logs=%u\n",
               checkpoint->name, (ull)checkpoint->ts, (ull)checkpoint->flushed_lsn,
               (ull)checkpoint->log_end, checkpoint->table_count, checkpoint->vlog_file_count);
        for (uint32_t k = 0; k < checkpoint->table_count && k < limit; k++) {
            table_line_print(&checkpoint->tables[k]);
        }
    }
}

static YIELDS err_t
manifest_inspect(struct inspect *inspect)
{
    struct manifest_state state;
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    uint64_t number;
    err_t err;

    manifest_state_init(&state);
    if (!lsm_name_parse(inspect->name, "MANIFEST-", "", &number)) {
        err =
            err_set(ERR_INVALID, "%s: a manifest is called MANIFEST- and 16 digits", inspect->name);
        goto out;
    }
    TRY(file_load(inspect->name, &bytes, &size));
    err = manifest_replay(slice_of(bytes, size), number, inspect->name, &state);
    state_print(&state, inspect->options->limit);
out:
    mem_free_aligned(MEM_BACKGROUND, bytes, size);
    manifest_state_fini(&state);
    return err;
}

/* ---- A table. ---- */

static void
entry_print(const struct lsm_entry *entry)
{
    static const char *const kinds[] = {
        [LSM_PUT] = "put", [LSM_DELETE] = "delete", [LSM_PUT_LARGE] = "put_large"};
    struct vlog_pointer pointer;

    printf("%s ts=%llu slot=%u", kinds[entry->kind], (ull)entry->ts, entry->slot);
    if (entry->expire_us != 0) {
        printf(" expire_us=%llu", (ull)entry->expire_us);
    }
    key_print("key", entry->key);
    if (entry->kind == LSM_PUT) {
        printf(" value_bytes=%zu", entry->value.size);
        key_print("value", entry->value);
    } else if (entry->kind == LSM_PUT_LARGE &&
               vlog_pointer_decode(entry->value, &pointer) == ERR_OK) {
        printf(" value_log=%016llx offset=%llu bytes=%llu", (ull)pointer.file_number,
               (ull)pointer.offset, (ull)pointer.bytes);
    }
    printf("\n");
}

static YIELDS err_t
table_records_print(struct inspect *inspect, struct table *table)
{
    static const struct table_iter_options options = {.fill_cache = false};
    struct table_iter *iter = table_iter_new(table, &options);
    err_t err;

    err = inspect->from.size > 0 ? table_iter_seek(iter, inspect->from, UINT64_MAX)
                                 : table_iter_seek_first(iter);
    for (uint64_t i = 0; err == ERR_OK && table_iter_is_valid(iter); i++) {
        if (i == inspect->options->limit) {
            printf("...\n");
            break;
        }
        entry_print(table_iter_entry(iter));
        err = table_iter_next(iter);
    }
    table_iter_free(&iter);
    return err;
}

static YIELDS err_t
table_inspect(struct inspect *inspect)
{
    struct block_cache *cache = block_cache_new(INSPECT_CACHE_BYTES);
    struct table *table = NULL;
    struct manifest_table line = {0};
    uint64_t number;
    err_t err;

    if (!lsm_name_parse(inspect->name, "", ".table", &number)) {
        err = err_set(ERR_INVALID, "%s: a table is called by 16 digits and .table", inspect->name);
        goto out;
    }
    TRY(table_open(inspect->name, number, cache, &table));
    line.meta = *table_meta(table);
    table_line_print(&line);
    for (uint32_t i = 0; i < table_range_delete_count(table) && i < inspect->options->limit; i++) {
        struct lsm_range_delete range = table_range_delete_at(table, i);

        printf("delete_range ts=%llu", (ull)range.ts);
        key_print("start", range.start);
        key_print("end", range.end);
        printf("\n");
    }
    err = table_records_print(inspect, table);
out:
    if (table != NULL) {
        table_unpin(table);
    }
    block_cache_drain(cache);
    block_cache_free(&cache);
    return err;
}

/* ---- A value log. ---- */

static YIELDS err_t
vlog_inspect(struct inspect *inspect)
{
    uint8_t *block = mem_alloc_aligned(MEM_BACKGROUND, IO_BLOCK_BYTES);
    struct io_file *file = NULL;
    uint64_t shown = 0;
    uint64_t number, at;
    err_t err;

    if (!vlog_name_parse(inspect->name, &number)) {
        err =
            err_set(ERR_INVALID, "%s: a value log is called by 16 digits and .vlog", inspect->name);
        goto out;
    }
    TRY(io_open(inspect->name, IO_READ_ONLY, &file));
    TRY(io_read(file, 0, block, IO_BLOCK_BYTES));
    TRY(vlog_file_header_check(block, number));
    for (at = VLOG_FIRST_VALUE_OFFSET; at + IO_BLOCK_BYTES <= io_file_size(file);) {
        struct vlog_pointer pointer = {.file_number = number, .offset = at};

        TRY(io_read(file, at, block, IO_BLOCK_BYTES));
        pointer.bytes = get_le64(block + 24);
        pointer.checksum = get_le64(block + 32);
        if (pointer.bytes > VLOG_VALUE_BYTES_MAX ||
            vlog_value_header_check(block, &pointer) != ERR_OK) {
            at += IO_BLOCK_BYTES; /* A gap that a failed write left, or damage. */
            continue;
        }
        if (shown++ == inspect->options->limit) {
            printf("...\n");
            break;
        }
        printf("value offset=%llu bytes=%llu checksum=%016llx%s\n", (ull)at, (ull)pointer.bytes,
               (ull)pointer.checksum,
               at + vlog_value_span(pointer.bytes) > io_file_size(file) ? " (goes beyond the end)"
                                                                        : "");
        at += vlog_value_span(pointer.bytes);
    }
out:
    io_close(&file);
    mem_free_aligned(MEM_BACKGROUND, block, IO_BLOCK_BYTES);
    return err;
}

/* ---- A segment of the log. ---- */

static void op_print(const struct record_op *op);

/* The writes on another shard, behind a line of their own. */
static void
section_print(const struct record_op *section)
{
    struct record_reader reader;
    struct record_op op;

    printf(" shard=%u writes=%lld\n", section->counter, (long long)section->number);
    record_section_open(section->value, (uint32_t)section->number, true, &reader);
    while (record_next(&reader, &op) == ERR_OK) {
        op_print(&op);
    }
}

static void
op_print(const struct record_op *op)
{
    static const char *const kinds[] = {
        [RECORD_PUT] = "put",
        [RECORD_PUT_LARGE] = "put_large",
        [RECORD_DELETE] = "delete",
        [RECORD_DELETE_RANGE] = "delete_range",
        [RECORD_COUNTER_ADD] = "counter_add",
        [RECORD_INGEST] = "ingest",
        [RECORD_SECTION] = "section",
    };

    printf("    %s", kinds[op->kind]);
    if (op->kind == RECORD_COUNTER_ADD) {
        printf(" counter=%u number=%lld\n", op->counter, (long long)op->number);
        return;
    }
    if (op->kind == RECORD_SECTION) {
        section_print(op);
        return;
    }
    if (op->kind != RECORD_INGEST) {
        key_print(op->kind == RECORD_DELETE_RANGE ? "start" : "key", op->key);
    }
    if (op->kind == RECORD_DELETE_RANGE) {
        key_print("end", op->value);
    } else if (op->kind == RECORD_PUT) {
        printf(" value_bytes=%zu", op->value.size);
        key_print("value", op->value);
    }
    printf("\n");
}

static void
record_print(uint64_t lsn, struct slice record)
{
    struct record_header header;
    struct record_reader reader;
    struct record_op op;
    err_t err = record_open(record, &header, &reader);

    if (err != ERR_OK) {
        printf("  record position=%llu bytes=%zu: %s\n", (ull)lsn, record.size, err_message(err));
        return;
    }
    printf("  commit position=%llu ts=%llu writes=%u bytes=%zu\n", (ull)lsn, (ull)header.ts,
           header.ops, record.size);
    while ((err = record_next(&reader, &op)) == ERR_OK) {
        op_print(&op);
    }
    if (err != ERR_NOT_FOUND) {
        printf("    %s\n", err_message(err));
    }
}

/* Prints the batch at `at`; its bytes, or 0 when there is none. */
static uint64_t
batch_print(struct slice bytes, uint64_t start, uint64_t at, uint64_t *shown, uint64_t limit)
{
    struct wal_header header;
    struct slice payload, record;
    uint64_t log_id, disk_bytes;
    size_t offset = 0;

    if (!wal_header_log_id(bytes.data + at, &log_id) ||
        !wal_header_decode(bytes.data + at, log_id, start + at, &header)) {
        return 0;
    }
    disk_bytes = wal_batch_disk_bytes(header.payload_bytes);
    if (disk_bytes > bytes.size - at ||
        wal_batch_verify(slice_of(bytes.data + at, disk_bytes), &header) != ERR_OK) {
        printf("batch position=%llu: not whole: %s\n", (ull)(start + at), err_message(ERR_CORRUPT));
        return 0;
    }
    printf("batch position=%llu log=%016llx records=%u bytes=%u durable=%llu ceiling=%llu "
           "closed=%llu%s%s\n",
           (ull)header.position, (ull)log_id, header.records, header.payload_bytes,
           (ull)header.durable, (ull)header.ceiling, (ull)header.closed,
           (header.flags & WAL_BATCH_LIFE_START) != 0 ? " life_start" : "",
           (header.flags & WAL_BATCH_CLEAN) != 0 ? " clean" : "");
    payload = slice_of(bytes.data + at + WAL_HEADER_BYTES, header.payload_bytes);
    while (*shown < limit && wal_record_next(payload, &offset, &record)) {
        record_print(header.position + WAL_HEADER_BYTES + offset, record);
        (*shown)++;
    }
    return disk_bytes;
}

static YIELDS err_t
log_inspect(struct inspect *inspect)
{
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    uint64_t shown = 0;
    uint64_t start;
    err_t err;

    if (!lsm_name_parse(inspect->name, "", ".log", &start)) {
        err = err_set(ERR_INVALID, "%s: a log segment is called by 16 digits and .log",
                      inspect->name);
        goto out;
    }
    TRY(file_load(inspect->name, &bytes, &size));
    for (uint64_t at = 0; at + IO_BLOCK_BYTES <= size;) {
        uint64_t used =
            batch_print(slice_of(bytes, size), start, at, &shown, inspect->options->limit);

        if (shown == inspect->options->limit) {
            printf("...\n");
            break;
        }
        at += used > 0 ? used : IO_BLOCK_BYTES;
    }
out:
    mem_free_aligned(MEM_BACKGROUND, bytes, size);
    return err;
}

/* ---- A data folder. ---- */

static void
levels_print(const struct manifest_state *state)
{
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        struct table_meta sum = {.ts_oldest = UINT64_MAX};
        uint32_t count = 0;

        for (uint32_t i = 0; i < state->table_count; i++) {
            const struct table_meta *meta = &state->tables[i].meta;

            if (state->tables[i].level != level) {
                continue;
            }
            if (count == 0 || slice_compare(meta->smallest, sum.smallest) < 0) {
                sum.smallest = meta->smallest;
            }
            if (count == 0 || slice_compare(meta->largest, sum.largest) > 0) {
                sum.largest = meta->largest;
            }
            sum.file_bytes += meta->file_bytes;
            sum.entries += meta->entries;
            sum.deletes += meta->deletes;
            sum.range_deletes += meta->range_deletes;
            sum.ts_oldest = MIN(sum.ts_oldest, meta->ts_oldest);
            sum.ts_newest = MAX(sum.ts_newest, meta->ts_newest);
            count++;
        }
        if (count > 0) {
            printf("  level %u: tables=%u bytes=%llu entries=%llu deletes=%llu range_deletes=%llu "
                   "ts=%llu..%llu",
                   level, count, (ull)sum.file_bytes, (ull)sum.entries, (ull)sum.deletes,
                   (ull)sum.range_deletes, (ull)sum.ts_oldest, (ull)sum.ts_newest);
            key_print("smallest", sum.smallest);
            key_print("largest", sum.largest);
            printf("\n");
        }
    }
}

static void
name_print(const char *name, void *arg)
{
    printf(" %s", name);
    (void)arg;
}

static YIELDS err_t
shard_inspect(uint32_t id)
{
    struct manifest_state state;
    struct shape shape;
    char path[64];
    uint64_t manifest = 0;
    bool exists = false;
    err_t err;

    manifest_state_init(&state);
    snprintf(path, sizeof(path), "shard-%u", id);
    TRY(shape_load(path, &shape));
    printf("shard %u of %u: log=%016llx\n", shape.shard, shape.shards, (ull)shape.log_id);
    snprintf(path, sizeof(path), "shard-%u/lsm", id);
    TRY(manifest_load(path, true, &state, &manifest, &exists));
    printf("  manifest %016llx: next_file=%llu flushed=%llu tables=%u\n", (ull)manifest,
           (ull)state.next_file_number, (ull)state.flushed_lsn, state.table_count);
    levels_print(&state);
    for (uint32_t i = 0; i < state.checkpoint_count; i++) {
        printf("  checkpoint %s: ts=%llu flushed=%llu log_end=%llu tables=%u\n",
               state.checkpoints[i]->name, (ull)state.checkpoints[i]->ts,
               (ull)state.checkpoints[i]->flushed_lsn, (ull)state.checkpoints[i]->log_end,
               state.checkpoints[i]->table_count);
    }
    printf("  log:");
    snprintf(path, sizeof(path), "shard-%u/wal", id);
    TRY(io_list(path, name_print, NULL));
    printf("\n");
out:
    manifest_state_fini(&state);
    return err;
}

static YIELDS err_t
folder_inspect(struct inspect *inspect)
{
    uint32_t count = ctl_shards(inspect->options->path);
    err_t err = ERR_OK;

    if (count == 0) {
        err =
            err_set(ERR_INVALID, "%s is no data folder: it has no shard-0", inspect->options->path);
    }
    for (uint32_t i = 0; i < count; i++) {
        err_t shard_err = shard_inspect(i);

        if (shard_err != ERR_OK) {
            printf("  shard %u: %s\n", i, err_message(shard_err));
            err = shard_err;
        }
    }
    return err;
}

/* ---- The command. ---- */

static YIELDS void
inspect_run(void *arg)
{
    static const struct {
        const char *what;
        err_t (*fn)(struct inspect *inspect);
    } kinds[] = {
        {"table", table_inspect},
        {"log", log_inspect},
        {"manifest", manifest_inspect},
        {"vlog", vlog_inspect},
    };
    struct inspect *inspect = arg;
    const char *what = inspect->options->what;

    inspect->err = ERR_OK;
    if (what == NULL) {
        inspect->err = folder_inspect(inspect);
    }
    for (size_t i = 0; what != NULL && i < ARRAY_COUNT(kinds); i++) {
        if (strcmp(what, kinds[i].what) == 0) {
            inspect->err = kinds[i].fn(inspect);
        }
    }
    if (inspect->err != ERR_OK) {
        snprintf(inspect->message, sizeof(inspect->message), "%s", err_message(inspect->err));
    }
}

static int
inspect_in(const char *dir, struct inspect *inspect)
{
    struct runtime_options options = {.shards = 1, .data_dir = dir};
    struct runtime *runtime = NULL;
    err_t err = runtime_start(&options, &runtime);

    if (err != ERR_OK) {
        fprintf(stderr, "orbitctl: %s\n", err_message(err));
        return CTL_FAILED;
    }
    runtime_call(runtime, 0, MSG_FIBER, inspect_run, inspect);
    runtime_stop(&runtime);
    fflush(stdout);
    if (inspect->err == ERR_OK) {
        return CTL_OK;
    }
    fprintf(stderr, "orbitctl: %s\n", inspect->message);
    return inspect->err == ERR_CORRUPT || inspect->err == ERR_FORMAT ? CTL_DAMAGE : CTL_FAILED;
}

int
ctl_inspect(const struct inspect_options *options)
{
    static uint8_t from[INSPECT_KEY_BYTES_MAX];
    struct inspect inspect = {.options = options};
    char dir[PATH_MAX];
    const char *slash = strrchr(options->path, '/');
    size_t from_size = 0;

    if (options->from != NULL && !key_parse(options->from, from, &from_size)) {
        fprintf(stderr, "orbitctl: --from takes a key as it is printed, with \\xNN and \\\\\n");
        return CTL_USAGE;
    }
    inspect.from = slice_of(from, from_size);
    if (options->what == NULL) {
        return inspect_in(options->path, &inspect);
    }
    inspect.name = slash == NULL ? options->path : slash + 1;
    if (slash == NULL) {
        snprintf(dir, sizeof(dir), ".");
    } else if (snprintf(dir, sizeof(dir), "%.*s", (int)MAX(slash - options->path, 1),
                        options->path) >= (int)sizeof(dir)) {
        fprintf(stderr, "orbitctl: the path is too long\n");
        return CTL_FAILED;
    }
    if (strlen(inspect.name) >= IO_PATH_BYTES_MAX) {
        fprintf(stderr, "orbitctl: the path is too long\n");
        return CTL_FAILED;
    }
    return inspect_in(dir, &inspect);
}
