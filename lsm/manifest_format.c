/* lsm/manifest_format.c - the bytes of the manifest: docs/format/manifest.md. */
#include "lsm/manifest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/io/io.h"

#include "engine/base/poison.h"

/* "OMAN" and "OCUR" as they lie on the disk. */
#define MANIFEST_MAGIC UINT32_C(0x4e414d4f)
#define CURRENT_MAGIC  UINT32_C(0x5255434f)

enum { CURRENT_FORMAT = 1 };

enum header_offset {
    AT_MAGIC = 0,
    AT_FORMAT = 4,
    AT_KIND = 6,
    AT_FILE_NUMBER = 8,
    AT_OFFSET = 16,
    AT_SEQUENCE = 24,
    AT_PREVIOUS = 32,
    AT_PAYLOAD_BYTES = 40,
    AT_RESERVED = 44,
    AT_CHECKSUM = 56, /* Reserved bytes before it are zero. */
};

enum record_tag {
    RECORD_NEXT_FILE = 1,
    RECORD_FLUSHED = 2,
    RECORD_ADD = 3,
    RECORD_REMOVE = 4,
    RECORD_CHECKPOINT_ADD = 5,
    RECORD_CHECKPOINT_DROP = 6,
    RECORD_HORIZON = 7,
};
enum add_flag {
    ADD_LARGEST_IS_EXCLUSIVE = 1,
    ADD_ONE_VERSION_PER_KEY = 2,
    ADD_STAMPED = 4,
    ADD_PENDING = 8, /* In a checkpoint only. */
    ADD_FLAGS_ALL = 15,
};

/* ---- State. ---- */

void
manifest_state_init(struct manifest_state *state)
{
    memset(state, 0, sizeof(*state));
    buf_init(&state->note, MEM_TABLES);
}

static void
manifest_table_fini(struct manifest_table *table)
{
    mem_free(MEM_TABLES, (void *)(uintptr_t)table->meta.smallest.data, table->meta.smallest.size);
    mem_free(MEM_TABLES, (void *)(uintptr_t)table->meta.largest.data, table->meta.largest.size);
    mem_free(MEM_TABLES, table->vlog_uses, table->vlog_use_count * sizeof(table->vlog_uses[0]));
}

struct manifest_checkpoint *
manifest_checkpoint_new(void)
{
    struct manifest_checkpoint *checkpoint = MEM_NEW(MEM_TABLES, struct manifest_checkpoint);

    buf_init(&checkpoint->note, MEM_TABLES);
    return checkpoint;
}

void
manifest_checkpoint_free(struct manifest_checkpoint **pointer)
{
    struct manifest_checkpoint *checkpoint = *pointer;

    *pointer = NULL;
    if (checkpoint == NULL) {
        return;
    }
    for (uint32_t i = 0; i < checkpoint->table_count; i++) {
        manifest_table_fini(&checkpoint->tables[i]);
    }
    mem_free(MEM_TABLES, checkpoint->tables,
             checkpoint->table_capacity * sizeof(checkpoint->tables[0]));
    mem_free(MEM_TABLES, checkpoint->vlog_files, checkpoint->vlog_file_count * sizeof(uint64_t));
    buf_fini(&checkpoint->note);
    mem_free(MEM_TABLES, checkpoint, sizeof(*checkpoint));
}

/* Index of the first table whose number is not below. */
static uint32_t
tables_find(const struct manifest_table *tables, uint32_t count, uint64_t file_number)
{
    uint32_t low = 0;
    uint32_t high = count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (tables[middle].meta.file_number < file_number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool
manifest_checkpoint_has(const struct manifest_checkpoint *checkpoint, uint64_t file_number)
{
    uint32_t at = tables_find(checkpoint->tables, checkpoint->table_count, file_number);

    return at < checkpoint->table_count && checkpoint->tables[at].meta.file_number == file_number;
}

void
manifest_checkpoint_add_table(struct manifest_checkpoint *checkpoint, struct manifest_table *table)
{
    if (checkpoint->table_count == checkpoint->table_capacity) {
        uint32_t capacity = MAX(16u, checkpoint->table_capacity * 2);

        checkpoint->tables =
            mem_realloc(MEM_TABLES, checkpoint->tables, checkpoint->table_capacity * sizeof(*table),
                        capacity * sizeof(*table));
        ASSERT(checkpoint->tables != NULL);
        checkpoint->table_capacity = capacity;
    }
    checkpoint->tables[checkpoint->table_count++] = *table;
    *table = (struct manifest_table){0};
}

void
manifest_state_fini(struct manifest_state *state)
{
    for (uint32_t i = 0; i < state->checkpoint_count; i++) {
        manifest_checkpoint_free(&state->checkpoints[i]);
    }
    for (uint32_t i = 0; i < state->table_count; i++) {
        manifest_table_fini(&state->tables[i]);
    }
    mem_free(MEM_TABLES, state->tables, state->table_capacity * sizeof(state->tables[0]));
    buf_fini(&state->note);
    memset(state, 0, sizeof(*state));
}

static uint32_t
state_find(const struct manifest_state *state, uint64_t file_number)
{
    return tables_find(state->tables, state->table_count, file_number);
}

/* Takes the table over. False when its number is there already. */
static bool
state_add(struct manifest_state *state, const struct manifest_table *table)
{
    uint32_t at = state_find(state, table->meta.file_number);

    if (at < state->table_count && state->tables[at].meta.file_number == table->meta.file_number) {
        return false;
    }
    if (state->table_count == state->table_capacity) {
        uint32_t capacity = MAX(16u, state->table_capacity * 2);

        state->tables =
            mem_realloc(MEM_TABLES, state->tables, state->table_capacity * sizeof(*table),
                        capacity * sizeof(*table));
        ASSERT(state->tables != NULL);
        state->table_capacity = capacity;
    }
    memmove(&state->tables[at + 1], &state->tables[at], (state->table_count - at) * sizeof(*table));
    state->tables[at] = *table;
    state->table_count++;
    return true;
}

static bool
state_remove(struct manifest_state *state, uint32_t level, uint64_t file_number)
{
    uint32_t at = state_find(state, file_number);

    if (at == state->table_count || state->tables[at].meta.file_number != file_number ||
        state->tables[at].level != level) {
        return false;
    }
    manifest_table_fini(&state->tables[at]);
    state->table_count--;
    memmove(&state->tables[at], &state->tables[at + 1],
            (state->table_count - at) * sizeof(state->tables[0]));
    return true;
}

/* ---- Writing records. ---- */

static void
encode_bytes(struct buf *out, struct slice bytes)
{
    buf_append_varint(out, bytes.size);
    buf_append(out, bytes.data, bytes.size);
}

static void
encode_table(struct buf *out, const struct manifest_table *table)
{
    const struct table_meta *meta = &table->meta;
    uint64_t flags = (meta->largest_is_exclusive ? ADD_LARGEST_IS_EXCLUSIVE : 0) |
                     (meta->one_version_per_key ? ADD_ONE_VERSION_PER_KEY : 0) |
                     (table->is_stamped ? ADD_STAMPED : 0) | (table->is_pending ? ADD_PENDING : 0);

    buf_append_varint(out, table->level);
    buf_append_varint(out, meta->file_number);
    buf_append_varint(out, meta->file_bytes);
    buf_append_varint(out, meta->entries);
    buf_append_varint(out, meta->deletes);
    buf_append_varint(out, meta->range_deletes);
    buf_append_varint(out, meta->ts_oldest);
    buf_append_varint(out, meta->ts_newest);
    buf_append_varint(out, meta->raw_bytes);
    buf_append_varint(out, meta->expiry.entries);
    buf_append_varint(out, meta->expiry.half_us);
    buf_append_varint(out, meta->expiry.all_us);
    buf_append_varint(out, flags);
    encode_bytes(out, meta->smallest);
    encode_bytes(out, meta->largest);
    buf_append_varint(out, table->vlog_use_count);
    for (uint32_t i = 0; i < table->vlog_use_count; i++) {
        buf_append_varint(out, table->vlog_uses[i].file_number);
        buf_append_varint(out, table->vlog_uses[i].bytes);
    }
}

static void
encode_add(struct buf *out, uint32_t level, const struct lsm_table *table)
{
    struct manifest_table listed = {
        .level = level,
        .is_stamped = table->is_stamped,
        .meta = *table->meta,
        .vlog_uses = table->vlog_uses,
        .vlog_use_count = table->vlog_use_count,
    };

    buf_append_varint(out, RECORD_ADD);
    encode_table(out, &listed);
}

static void
encode_common(struct buf *out, uint64_t next_file_number, bool has_flushed, uint64_t flushed_lsn,
              struct slice note)
{
    buf_append_varint(out, RECORD_NEXT_FILE);
    buf_append_varint(out, next_file_number);
    if (has_flushed) {
        buf_append_varint(out, RECORD_FLUSHED);
        buf_append_varint(out, flushed_lsn);
        encode_bytes(out, note);
    }
}

void
manifest_encode_settled(struct buf *out, const struct edit *edit)
{
    for (uint32_t i = 0; i < edit->settle_count; i++) {
        encode_add(out, edit->settles[i].level, edit->settles[i].table);
    }
}

void
manifest_encode_edit(struct buf *out, const struct edit *edit, uint64_t next_file_number)
{
    encode_common(out, next_file_number, edit->has_flushed, edit->flushed_lsn, edit->note);
    /* Removals first: a move between levels keeps the file number. */
    for (uint32_t i = 0; i < edit->remove_count; i++) {
        buf_append_varint(out, RECORD_REMOVE);
        buf_append_varint(out, edit->removes[i].level);
        buf_append_varint(out, edit->removes[i].file_number);
    }
    for (uint32_t i = 0; i < edit->add_count; i++) {
        encode_add(out, edit->adds[i].level, edit->adds[i].table);
    }
    manifest_encode_settled(out, edit);
}

void
manifest_encode_snapshot(struct buf *out, const struct version *version, uint64_t next_file_number,
                         uint64_t flushed_lsn, struct slice note)
{
    encode_common(out, next_file_number, true, flushed_lsn, note);
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        for (uint32_t i = 0; i < version->levels[level].count; i++) {
            if (!lsm_table_is_pending(version->levels[level].tables[i])) {
                encode_add(out, level, version->levels[level].tables[i]);
            }
        }
    }
}

void
manifest_encode_horizon(struct buf *out, uint64_t horizon)
{
    buf_append_varint(out, RECORD_HORIZON);
    buf_append_varint(out, horizon);
}

void
manifest_encode_checkpoint(struct buf *out, const struct manifest_checkpoint *checkpoint)
{
    buf_append_varint(out, RECORD_CHECKPOINT_ADD);
    encode_bytes(out, slice_of(checkpoint->name, strlen(checkpoint->name)));
    buf_append_varint(out, checkpoint->ts);
    buf_append_varint(out, checkpoint->flushed_lsn);
    buf_append_varint(out, checkpoint->log_end);
    buf_append_varint(out, checkpoint->next_file_number);
    encode_bytes(out, buf_slice(&checkpoint->note));
    buf_append_varint(out, checkpoint->vlog_file_count);
    for (uint32_t i = 0; i < checkpoint->vlog_file_count; i++) {
        buf_append_varint(out, checkpoint->vlog_files[i]);
    }
    buf_append_varint(out, checkpoint->table_count);
    for (uint32_t i = 0; i < checkpoint->table_count; i++) {
        encode_table(out, &checkpoint->tables[i]);
    }
}

void
manifest_encode_checkpoint_drop(struct buf *out, const char *name)
{
    buf_append_varint(out, RECORD_CHECKPOINT_DROP);
    encode_bytes(out, slice_of(name, strlen(name)));
}

void
manifest_encode_checkpoint_tree(struct buf *out, const struct manifest_checkpoint *checkpoint)
{
    encode_common(out, checkpoint->next_file_number + 1, true, checkpoint->flushed_lsn,
                  buf_slice(&checkpoint->note));
    manifest_encode_horizon(out, checkpoint->ts);
    for (uint32_t i = 0; i < checkpoint->table_count; i++) {
        if (!checkpoint->tables[i].is_pending) {
            buf_append_varint(out, RECORD_ADD);
            encode_table(out, &checkpoint->tables[i]);
        }
    }
}

/* ---- Reading records. ---- */

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool is_bad;
};

static uint64_t
read_number(struct reader *reader, uint64_t max)
{
    uint64_t value = 0;
    size_t used = reader->is_bad ? 0 : get_varint(reader->at, reader->end, &value);

    if (used == 0 || value > max) {
        reader->is_bad = true;
        return 0;
    }
    reader->at += used;
    return value;
}

static struct slice
read_bytes(struct reader *reader, uint64_t max)
{
    uint64_t size = read_number(reader, max);
    struct slice bytes = slice_of(reader->at, size);

    if (reader->is_bad || size > (uint64_t)(reader->end - reader->at)) {
        reader->is_bad = true;
        return slice_of(NULL, 0);
    }
    reader->at += size;
    return bytes;
}

static struct slice
copy_of(struct slice bytes)
{
    uint8_t *copy = mem_alloc(MEM_TABLES, bytes.size);

    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return slice_of(copy, bytes.size);
}

void
manifest_table_capture(struct manifest_table *table, uint32_t level, const struct lsm_table *from)
{
    size_t bytes = from->vlog_use_count * sizeof(from->vlog_uses[0]);

    *table = (struct manifest_table){
        .level = level,
        .is_stamped = from->is_stamped,
        .is_pending = lsm_table_is_pending(from),
        .meta = *from->meta,
        .vlog_use_count = from->vlog_use_count,
    };
    table->meta.smallest = copy_of(from->meta->smallest);
    table->meta.largest = copy_of(from->meta->largest);
    table->vlog_uses = mem_alloc(MEM_TABLES, bytes);
    if (bytes > 0) {
        memcpy(table->vlog_uses, from->vlog_uses, bytes);
    }
}

/* False: malformed, and nothing is kept. */
static bool
decode_table(struct reader *reader, struct manifest_table *table)
{
    struct table_meta *meta = &table->meta;
    uint64_t flags;
    uint64_t vlog_uses;
    const uint8_t *vlog_at;

    *table = (struct manifest_table){0};
    table->level = (uint32_t)read_number(reader, LSM_LEVELS - 1);
    meta->file_number = read_number(reader, UINT64_MAX);
    meta->file_bytes = read_number(reader, UINT64_MAX);
    meta->entries = read_number(reader, UINT64_MAX);
    meta->deletes = read_number(reader, meta->entries);
    meta->range_deletes = read_number(reader, UINT32_MAX);
    meta->ts_oldest = read_number(reader, UINT64_MAX);
    meta->ts_newest = read_number(reader, UINT64_MAX);
    meta->raw_bytes = read_number(reader, UINT64_MAX);
    meta->expiry.entries = read_number(reader, meta->entries);
    meta->expiry.half_us = read_number(reader, UINT64_MAX);
    meta->expiry.all_us = read_number(reader, UINT64_MAX);
    flags = read_number(reader, ADD_FLAGS_ALL);
    meta->largest_is_exclusive = (flags & ADD_LARGEST_IS_EXCLUSIVE) != 0;
    meta->one_version_per_key = (flags & ADD_ONE_VERSION_PER_KEY) != 0;
    table->is_stamped = (flags & ADD_STAMPED) != 0;
    table->is_pending = (flags & ADD_PENDING) != 0;
    meta->smallest = read_bytes(reader, LSM_KEY_BYTES_MAX);
    meta->largest = read_bytes(reader, LSM_KEY_BYTES_MAX);
    vlog_uses = read_number(reader, MANIFEST_VLOG_FILES_MAX);
    vlog_at = reader->at;
    for (uint64_t i = 0; i < 2 * vlog_uses && !reader->is_bad; i++) {
        read_number(reader, UINT64_MAX);
    }
    if (reader->is_bad || meta->file_number == 0 || meta->ts_oldest > meta->ts_newest ||
        (table->is_stamped && meta->ts_oldest != meta->ts_newest) ||
        !table_expiry_is_sound(&meta->expiry, meta->entries, meta->deletes) ||
        slice_compare(meta->smallest, meta->largest) > 0) {
        return false;
    }
    meta->smallest = copy_of(meta->smallest);
    meta->largest = copy_of(meta->largest);
    table->vlog_use_count = (uint32_t)vlog_uses;
    table->vlog_uses = mem_alloc(MEM_TABLES, vlog_uses * sizeof(table->vlog_uses[0]));
    for (uint64_t i = 0; i < vlog_uses; i++) {
        vlog_at += get_varint(vlog_at, reader->end, &table->vlog_uses[i].file_number);
        vlog_at += get_varint(vlog_at, reader->end, &table->vlog_uses[i].bytes);
    }
    return true;
}

static const char *
decode_add(struct reader *reader, struct manifest_state *state)
{
    struct manifest_table table;

    if (!decode_table(reader, &table)) {
        return "a table's record is malformed";
    }
    if (table.is_pending) {
        manifest_table_fini(&table);
        return "a table of the tree cannot be pending";
    }
    if (!state_add(state, &table)) {
        manifest_table_fini(&table);
        return "a table is added twice";
    }
    return NULL;
}

/* ---- Named checkpoints. ---- */

static uint32_t
state_find_checkpoint(const struct manifest_state *state, const char *name)
{
    uint32_t at = 0;

    while (at < state->checkpoint_count && strcmp(state->checkpoints[at]->name, name) != 0) {
        at++;
    }
    return at;
}

/* False when it is no name. */
static bool
decode_name(struct reader *reader, char name[LSM_CHECKPOINT_NAME_BYTES_MAX + 1])
{
    struct slice bytes = read_bytes(reader, LSM_CHECKPOINT_NAME_BYTES_MAX);

    if (reader->is_bad) {
        return false;
    }
    if (bytes.size > 0) {
        memcpy(name, bytes.data, bytes.size);
    }
    name[bytes.size] = '\0';
    return strlen(name) == bytes.size && lsm_checkpoint_name_check(name) == ERR_OK;
}

static bool
decode_checkpoint(struct reader *reader, struct manifest_checkpoint *checkpoint)
{
    struct slice note;
    uint64_t count;

    if (!decode_name(reader, checkpoint->name)) {
        return false;
    }
    checkpoint->ts = read_number(reader, UINT64_MAX);
    checkpoint->flushed_lsn = read_number(reader, UINT64_MAX);
    checkpoint->log_end = read_number(reader, UINT64_MAX);
    checkpoint->next_file_number = read_number(reader, UINT64_MAX - 1);
    note = read_bytes(reader, MANIFEST_NOTE_BYTES_MAX);
    buf_append(&checkpoint->note, note.data, note.size);
    count = read_number(reader, MANIFEST_VLOG_FILES_MAX);
    checkpoint->vlog_files = mem_zalloc(MEM_TABLES, count * sizeof(uint64_t));
    checkpoint->vlog_file_count = (uint32_t)count;
    for (uint64_t i = 0; i < count; i++) {
        checkpoint->vlog_files[i] = read_number(reader, UINT64_MAX);
    }
    count = read_number(reader, UINT32_MAX);
    for (uint64_t i = 0; i < count && !reader->is_bad; i++) {
        struct manifest_table table;

        if (!decode_table(reader, &table)) {
            return false;
        }
        if (i > 0 && checkpoint->tables[i - 1].meta.file_number >= table.meta.file_number) {
            manifest_table_fini(&table);
            return false;
        }
        manifest_checkpoint_add_table(checkpoint, &table);
    }
    return !reader->is_bad && checkpoint->flushed_lsn <= checkpoint->log_end;
}

bool
manifest_decode_checkpoint(struct slice record, struct manifest_checkpoint *checkpoint)
{
    struct reader reader = {.at = record.data, .end = record.data + record.size};

    return read_number(&reader, UINT64_MAX) == RECORD_CHECKPOINT_ADD &&
           decode_checkpoint(&reader, checkpoint) && reader.at == reader.end;
}

static const char *
decode_checkpoint_add(struct reader *reader, struct manifest_state *state)
{
    struct manifest_checkpoint *checkpoint = manifest_checkpoint_new();

    if (state->checkpoint_count == LSM_CHECKPOINTS_MAX || !decode_checkpoint(reader, checkpoint)) {
        manifest_checkpoint_free(&checkpoint);
        return "a checkpoint's record is malformed";
    }
    if (state_find_checkpoint(state, checkpoint->name) < state->checkpoint_count) {
        manifest_checkpoint_free(&checkpoint);
        return "a checkpoint is added twice";
    }
    state->checkpoints[state->checkpoint_count++] = checkpoint;
    return NULL;
}

static const char *
decode_checkpoint_drop(struct reader *reader, struct manifest_state *state)
{
    char name[LSM_CHECKPOINT_NAME_BYTES_MAX + 1];
    uint32_t at;

    if (!decode_name(reader, name)) {
        return "a checkpoint's name is malformed";
    }
    at = state_find_checkpoint(state, name);
    if (at == state->checkpoint_count) {
        return "a checkpoint is dropped which is not there";
    }
    manifest_checkpoint_free(&state->checkpoints[at]);
    state->checkpoint_count--;
    memmove(&state->checkpoints[at], &state->checkpoints[at + 1],
            (state->checkpoint_count - at) * sizeof(state->checkpoints[0]));
    return NULL;
}

/* NULL, or what is wrong. */
static const char *
decode_record(struct reader *reader, struct manifest_state *state)
{
    switch (read_number(reader, UINT64_MAX)) {
    case RECORD_NEXT_FILE:
        state->next_file_number = read_number(reader, UINT64_MAX);
        return reader->is_bad ? "a file number is malformed" : NULL;
    case RECORD_FLUSHED: {
        uint64_t lsn = read_number(reader, UINT64_MAX);
        struct slice note = read_bytes(reader, MANIFEST_NOTE_BYTES_MAX);

        if (reader->is_bad || lsn < state->flushed_lsn) {
            return "the flushed position is malformed";
        }
        state->flushed_lsn = lsn;
        buf_clear(&state->note);
        buf_append(&state->note, note.data, note.size);
        return NULL;
    }
    case RECORD_ADD:
        return decode_add(reader, state);
    case RECORD_REMOVE: {
        uint32_t level = (uint32_t)read_number(reader, LSM_LEVELS - 1);
        uint64_t file_number = read_number(reader, UINT64_MAX);

        if (reader->is_bad || !state_remove(state, level, file_number)) {
            return "a table is removed which is not there";
        }
        return NULL;
    }
    case RECORD_CHECKPOINT_ADD:
        return decode_checkpoint_add(reader, state);
    case RECORD_CHECKPOINT_DROP:
        return decode_checkpoint_drop(reader, state);
    case RECORD_HORIZON:
        state->horizon = read_number(reader, UINT64_MAX);
        return reader->is_bad ? "the horizon is malformed" : NULL;
    default:
        return "a record of unknown kind";
    }
}

static const char *
decode_payload(struct slice payload, struct manifest_state *state)
{
    struct reader reader = {.at = payload.data, .end = payload.data + payload.size};

    while (reader.at < reader.end) {
        const char *wrong = decode_record(&reader, state);

        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}

/* ---- Batches. ---- */

uint64_t
manifest_batch_bytes(uint64_t payload_bytes)
{
    return align_up(MANIFEST_HEADER_BYTES + payload_bytes, IO_BLOCK_BYTES);
}

/* Over the whole batch, padding included, without the checksum itself; the seed ties it to its
 * place, so that a batch that was written elsewhere, or once stood here, is none. */
static uint64_t
batch_checksum(const uint8_t *batch, uint64_t bytes, uint64_t file_number, uint64_t offset)
{
    uint64_t seed = XXH3_64bits_withSeed(&offset, sizeof(offset), file_number);
    uint64_t head = XXH3_64bits_withSeed(batch, AT_CHECKSUM, seed);

    return XXH3_64bits_withSeed(batch + MANIFEST_HEADER_BYTES, bytes - MANIFEST_HEADER_BYTES, head);
}

void
manifest_batch_seal(uint8_t *batch, uint64_t payload_bytes, enum manifest_kind kind,
                    struct manifest_chain *chain)
{
    uint64_t bytes = manifest_batch_bytes(payload_bytes);
    uint64_t checksum;

    ASSERT(payload_bytes <= MANIFEST_PAYLOAD_BYTES_MAX);
    memset(batch, 0, MANIFEST_HEADER_BYTES);
    memset(batch + MANIFEST_HEADER_BYTES + payload_bytes, 0,
           bytes - MANIFEST_HEADER_BYTES - payload_bytes);
    put_le32(batch + AT_MAGIC, MANIFEST_MAGIC);
    put_le16(batch + AT_FORMAT, MANIFEST_FORMAT);
    put_le16(batch + AT_KIND, (uint16_t)kind);
    put_le64(batch + AT_FILE_NUMBER, chain->file_number);
    put_le64(batch + AT_OFFSET, chain->offset);
    put_le64(batch + AT_SEQUENCE, chain->sequence);
    put_le64(batch + AT_PREVIOUS, chain->previous_checksum);
    put_le32(batch + AT_PAYLOAD_BYTES, (uint32_t)payload_bytes);
    checksum = batch_checksum(batch, bytes, chain->file_number, chain->offset);
    put_le64(batch + AT_CHECKSUM, checksum);
    chain->offset += bytes;
    chain->sequence++;
    chain->previous_checksum = checksum;
}

/* Is there a whole batch at this place, whatever it chains to? Its length, or 0. */
static uint64_t
batch_probe(struct slice bytes, uint64_t offset, uint64_t file_number)
{
    const uint8_t *batch = bytes.data + offset;
    uint64_t payload_bytes;
    uint64_t batch_bytes;

    if (bytes.size - offset < IO_BLOCK_BYTES || get_le32(batch + AT_MAGIC) != MANIFEST_MAGIC ||
        get_le64(batch + AT_FILE_NUMBER) != file_number || get_le64(batch + AT_OFFSET) != offset) {
        return 0;
    }
    payload_bytes = get_le32(batch + AT_PAYLOAD_BYTES);
    batch_bytes = manifest_batch_bytes(payload_bytes);
    if (payload_bytes > MANIFEST_PAYLOAD_BYTES_MAX || batch_bytes > bytes.size - offset ||
        get_le64(batch + AT_CHECKSUM) != batch_checksum(batch, batch_bytes, file_number, offset)) {
        return 0;
    }
    return batch_bytes;
}

static err_t
corrupt(const char *path, uint64_t offset, const char *what)
{
    return err_set(ERR_CORRUPT, "%s: at offset %llu: %s", path, (unsigned long long)offset, what);
}

/* The batch at `offset` is whole: take in what it says. */
static err_t
batch_take(const uint8_t *batch, const char *path, struct manifest_chain *chain,
           struct manifest_state *state)
{
    struct slice payload =
        slice_of(batch + MANIFEST_HEADER_BYTES, get_le32(batch + AT_PAYLOAD_BYTES));
    uint32_t kind = get_le16(batch + AT_KIND);
    const char *wrong;

    if (get_le16(batch + AT_FORMAT) != MANIFEST_FORMAT) {
        return err_format(path, get_le16(batch + AT_FORMAT), MANIFEST_FORMAT);
    }
    if (get_le64(batch + AT_SEQUENCE) != chain->sequence ||
        get_le64(batch + AT_PREVIOUS) != chain->previous_checksum) {
        return corrupt(path, chain->offset, "the batch does not follow the one before it");
    }
    if ((kind == MANIFEST_SNAPSHOT) != (chain->sequence == 0) || kind < MANIFEST_SNAPSHOT ||
        kind > MANIFEST_SEAL || (kind == MANIFEST_SEAL && payload.size > 0)) {
        return corrupt(path, chain->offset, "a batch of the wrong kind");
    }
    wrong = decode_payload(payload, state);
    if (wrong != NULL) {
        return corrupt(path, chain->offset, wrong);
    }
    chain->offset += manifest_batch_bytes(payload.size);
    chain->sequence++;
    chain->previous_checksum = get_le64(batch + AT_CHECKSUM);
    return ERR_OK;
}

/* Nothing whole stands at chain->offset: a torn tail, if nothing whole stands behind it. */
static err_t
tail_check(struct slice bytes, const char *path, const struct manifest_chain *chain)
{
    if (chain->sequence == 0) {
        return corrupt(path, 0, "the file does not begin with a whole snapshot");
    }
    for (uint64_t at = chain->offset + IO_BLOCK_BYTES; at < bytes.size; at += IO_BLOCK_BYTES) {
        if (batch_probe(bytes, at, chain->file_number) > 0) {
            return corrupt(path, chain->offset,
                           "a batch is damaged which was durable when a later one was written");
        }
    }
    SOMETIMES("manifest: a torn tail was cut");
    return ERR_OK;
}

err_t
manifest_replay(struct slice bytes, uint64_t file_number, const char *path,
                struct manifest_state *state)
{
    struct manifest_chain chain = {.file_number = file_number};
    err_t err = ERR_OK;

    while (chain.offset < bytes.size) {
        if (batch_probe(bytes, chain.offset, file_number) == 0) {
            TRY(tail_check(bytes, path, &chain));
            state->tail_was_cut = true;
            break;
        }
        TRY(batch_take(bytes.data + chain.offset, path, &chain, state));
    }
    if (chain.sequence == 0) {
        err = corrupt(path, 0, "the file is empty");
    }
    state->batches = (uint32_t)chain.sequence;
    state->bytes_valid = chain.offset;
out:
    return err;
}

/* ---- CURRENT: magic, format, zero, file number, checksum; zeros to the end. ---- */

void
manifest_current_encode(uint8_t *block, uint64_t file_number)
{
    memset(block, 0, IO_BLOCK_BYTES);
    put_le32(block, CURRENT_MAGIC);
    put_le16(block + 4, CURRENT_FORMAT);
    put_le64(block + 8, file_number);
    put_le64(block + 16, XXH3_64bits_withSeed(block, 16, CURRENT_MAGIC));
}

err_t
manifest_current_decode(struct slice bytes, const char *path, uint64_t *file_number_out)
{
    if (bytes.size != IO_BLOCK_BYTES || get_le32(bytes.data) != CURRENT_MAGIC ||
        get_le64(bytes.data + 16) != XXH3_64bits_withSeed(bytes.data, 16, CURRENT_MAGIC)) {
        return corrupt(path, 0, "the file does not name a manifest");
    }
    for (uint32_t i = 24; i < IO_BLOCK_BYTES; i++) {
        if (bytes.data[i] != 0) {
            return corrupt(path, i, "a byte that must be zero is not");
        }
    }
    if (get_le16(bytes.data + 4) != CURRENT_FORMAT) {
        return err_format(path, get_le16(bytes.data + 4), CURRENT_FORMAT);
    }
    *file_number_out = get_le64(bytes.data + 8);
    return ERR_OK;
}
