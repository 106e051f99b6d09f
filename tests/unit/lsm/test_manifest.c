/* tests/unit/lsm/test_manifest.c - the manifest's bytes: whole, torn, and damaged. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "lsm/manifest.h"
#include "lsm/vlog_internal.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_manifest, .timeout = 60);

enum { FILE_NUMBER = 7, IMAGE_BYTES_MAX = 1 << 20 };

/* Tables that exist only as metadata. */
static struct table_meta metas[4];
static struct lsm_table tables[4];
static struct vlog_use vlog_uses[] = {{3, 4096}, {1000000, 1 << 20}};

static void
tables_make(void)
{
    for (uint32_t i = 0; i < 4; i++) {
        metas[i] = (struct table_meta){
            .file_number = 10 + i,
            .file_bytes = 4096 * (i + 1),
            .entries = 100 + i,
            .deletes = i,
            .range_deletes = i,
            .ts_oldest = 1000,
            .ts_newest = UINT64_MAX - i,
            .raw_bytes = 123456789,
            .smallest = slice_of(i == 0 ? "" : "aaa", i == 0 ? 0 : 3),
            .largest = SLICE("zz"),
            .largest_is_exclusive = i % 2 == 1,
            .one_version_per_key = i % 2 == 0,
        };
        tables[i] = (struct lsm_table){
            .meta = &metas[i],
            .vlog_uses = vlog_uses,
            .vlog_use_count = i == 2 ? 2 : 0,
        };
    }
}

struct image {
    uint8_t *bytes;
    struct manifest_chain chain;
    uint64_t batches[16]; /* Where each begins. */
    uint32_t count;
};

static void
image_add(struct image *image, enum manifest_kind kind, const struct buf *payload)
{
    uint8_t *at = image->bytes + image->chain.offset;
    size_t size = payload == NULL ? 0 : payload->size;

    image->batches[image->count++] = image->chain.offset;
    if (size > 0) {
        memcpy(at + MANIFEST_HEADER_BYTES, payload->data, size);
    }
    manifest_batch_seal(at, size, kind, &image->chain);
}

/* A snapshot of nothing, and three edits: add two tables; add one and remove one; flush. */
static void
image_make(struct image *image)
{
    struct version *version = version_new();
    struct buf payload;
    struct edit_add adds[2] = {{0, &tables[0]}, {1, &tables[1]}};
    struct edit_add more[1] = {{1, &tables[2]}};
    struct edit_remove removes[1] = {{1, 11}};
    struct edit edit = {.adds = adds, .add_count = 2};

    tables_make();
    *image = (struct image){.chain = {.file_number = FILE_NUMBER}};
    image->bytes = calloc(1, IMAGE_BYTES_MAX);
    buf_init(&payload, MEM_TABLES);
    manifest_encode_snapshot(&payload, version, 8, 5, SLICE("first note"));
    image_add(image, MANIFEST_SNAPSHOT, &payload);
    image_add(image, MANIFEST_SEAL, NULL);
    buf_clear(&payload);
    manifest_encode_edit(&payload, &edit, 12);
    image_add(image, MANIFEST_EDIT, &payload);
    image_add(image, MANIFEST_SEAL, NULL);
    edit = (struct edit){.adds = more, .add_count = 1, .removes = removes, .remove_count = 1};
    buf_clear(&payload);
    manifest_encode_edit(&payload, &edit, 13);
    image_add(image, MANIFEST_EDIT, &payload);
    image_add(image, MANIFEST_SEAL, NULL);
    edit = (struct edit){.has_flushed = true, .flushed_lsn = 77, .note = SLICE("second note")};
    buf_clear(&payload);
    manifest_encode_edit(&payload, &edit, 14);
    image_add(image, MANIFEST_EDIT, &payload);
    buf_fini(&payload);
    version_unpin(&version);
}

static err_t
replay(const struct image *image, uint64_t size, struct manifest_state *state)
{
    manifest_state_init(state);
    return manifest_replay(slice_of(image->bytes, size), FILE_NUMBER, "lsm/MANIFEST", state);
}

static void
check_final(const struct manifest_state *state)
{
    cr_assert_eq(state->table_count, 2);
    cr_assert_eq(state->next_file_number, 14);
    cr_assert_eq(state->flushed_lsn, 77);
    cr_assert(slice_equal(buf_slice(&state->note), SLICE("second note")));
    cr_assert_eq(state->tables[0].meta.file_number, 10);
    cr_assert_eq(state->tables[0].level, 0);
    cr_assert_eq(state->tables[1].meta.file_number, 12);
    cr_assert_eq(state->tables[1].meta.ts_newest, UINT64_MAX - 2);
    cr_assert_eq(state->tables[1].meta.raw_bytes, 123456789);
    cr_assert(slice_equal(state->tables[1].meta.smallest, SLICE("aaa")));
    cr_assert(slice_equal(state->tables[1].meta.largest, SLICE("zz")));
    cr_assert(state->tables[1].meta.one_version_per_key);
    cr_assert_eq(state->tables[1].vlog_use_count, 2);
    cr_assert_eq(state->tables[1].vlog_uses[1].file_number, 1000000);
    cr_assert_eq(state->tables[1].vlog_uses[1].bytes, 1 << 20);
}

Test(lsm_manifest, what_was_written_is_read)
{
    struct image image;
    struct manifest_state state;

    image_make(&image);
    cr_assert_eq(replay(&image, image.chain.offset, &state), ERR_OK);
    cr_assert(!state.tail_was_cut);
    check_final(&state);
    manifest_state_fini(&state);
    free(image.bytes);
}

/* The last edit has no seal: it was not acknowledged, so losing it, and only it, is right. */
Test(lsm_manifest, a_torn_last_edit_is_cut_and_an_acknowledged_one_is_not)
{
    struct image image;
    struct manifest_state state;

    image_make(&image);
    for (uint32_t i = 0; i < image.count; i++) {
        uint64_t at = image.batches[i];
        err_t err;

        image.bytes[at + 100] ^= 1;
        err = replay(&image, image.chain.offset, &state);
        if (i == image.count - 1) {
            cr_assert_eq(err, ERR_OK);
            cr_assert(state.tail_was_cut);
            cr_assert_eq(state.bytes_valid, at);
            cr_assert_eq(state.flushed_lsn, 5);
        } else {
            cr_assert_eq(err, ERR_CORRUPT);
            cr_assert_not_null(strstr(err_message(err), "lsm/MANIFEST"));
        }
        manifest_state_fini(&state);
        image.bytes[at + 100] ^= 1;
    }
    free(image.bytes);
}

Test(lsm_manifest, a_cut_file_gives_a_prefix_of_the_edits)
{
    struct image image;
    struct manifest_state state;

    image_make(&image);
    for (uint64_t size = 0; size < image.chain.offset; size += IO_BLOCK_BYTES) {
        err_t err = replay(&image, size, &state);

        if (size == 0) {
            cr_assert_eq(err, ERR_CORRUPT);
        } else {
            cr_assert_eq(err, ERR_OK);
            cr_assert_eq(state.flushed_lsn, 5);
        }
        manifest_state_fini(&state);
    }
    free(image.bytes);
}

/* Every byte: the answer is the right one, an earlier one where only the unacknowledged edit is
 * hit, or an error. */
Test(lsm_manifest, no_damaged_byte_gives_a_wrong_answer)
{
    struct image image;
    struct manifest_state state;
    uint64_t last;

    image_make(&image);
    last = image.batches[image.count - 1];
    for (uint64_t at = 0; at < image.chain.offset; at++) {
        err_t err;

        image.bytes[at] ^= (uint8_t)(1u << at % 8);
        err = replay(&image, image.chain.offset, &state);
        if (at >= last) {
            cr_assert_eq(err, ERR_OK, "byte %llu", (unsigned long long)at);
            cr_assert_eq(state.flushed_lsn, 5);
        } else {
            cr_assert(err == ERR_CORRUPT, "byte %llu", (unsigned long long)at);
        }
        manifest_state_fini(&state);
        image.bytes[at] ^= (uint8_t)(1u << at % 8);
    }
    free(image.bytes);
}

Test(lsm_manifest, a_batch_of_another_file_or_place_is_none)
{
    struct image image;
    struct manifest_state state;
    uint64_t from;
    uint64_t to;

    image_make(&image);
    manifest_state_init(&state);
    cr_assert_eq(
        manifest_replay(slice_of(image.bytes, image.chain.offset), FILE_NUMBER + 1, "x", &state),
        ERR_CORRUPT);
    manifest_state_fini(&state);
    from = image.batches[1];
    to = image.batches[3]; /* A seal where another seal stands. */
    memcpy(image.bytes + to, image.bytes + from, IO_BLOCK_BYTES);
    cr_assert_eq(replay(&image, image.chain.offset, &state), ERR_CORRUPT);
    manifest_state_fini(&state);
    free(image.bytes);
}

Test(lsm_manifest, current_names_a_manifest_or_is_refused)
{
    uint8_t block[IO_BLOCK_BYTES];
    uint64_t number = 0;

    manifest_current_encode(block, 12345);
    cr_assert_eq(manifest_current_decode(slice_of(block, sizeof(block)), "CURRENT", &number),
                 ERR_OK);
    cr_assert_eq(number, 12345);
    for (uint32_t i = 0; i < sizeof(block); i++) {
        block[i] ^= 0x10;
        cr_assert_eq(manifest_current_decode(slice_of(block, sizeof(block)), "CURRENT", &number),
                     ERR_CORRUPT);
        block[i] ^= 0x10;
    }
    cr_assert_eq(manifest_current_decode(slice_of(block, 100), "CURRENT", &number), ERR_CORRUPT);
}

/* Goal: an operator with files of another version reads what to do. */
static void
version_is_refused(err_t err, const char *path, const char *found, const char *advice)
{
    const char *message = err_message(ERR_FORMAT);

    cr_assert_eq(err, ERR_FORMAT, "%s", err_message(err));
    cr_assert(strstr(message, path) != NULL, "%s", message);
    cr_assert(strstr(message, found) != NULL, "%s", message);
    cr_assert(strstr(message, advice) != NULL, "%s", message);
}

Test(lsm_manifest, a_manifest_of_another_version_is_refused_with_advice)
{
    uint8_t batch[IO_BLOCK_BYTES] = {0};
    struct manifest_chain chain = {.file_number = 9};
    struct manifest_state state;
    uint64_t offset = 0;
    uint64_t seed = XXH3_64bits_withSeed(&offset, sizeof(offset), 9);

    manifest_batch_seal(batch, 0, MANIFEST_SNAPSHOT, &chain);
    for (uint16_t version = 1; version <= MANIFEST_FORMAT + 1; version++) {
        char says[32];
        uint64_t head;

        snprintf(says, sizeof(says), "format version %u,", version);
        put_le16(batch + 4, version);
        head = XXH3_64bits_withSeed(batch, 56, seed);
        put_le64(batch + 56, XXH3_64bits_withSeed(batch + 64, sizeof(batch) - 64, head));
        manifest_state_init(&state);
        if (version == MANIFEST_FORMAT) {
            cr_assert_eq(manifest_replay(slice_of(batch, sizeof(batch)), 9, "M", &state), ERR_OK);
        } else {
            version_is_refused(manifest_replay(slice_of(batch, sizeof(batch)), 9, "M", &state),
                               "M: ", says,
                               version < MANIFEST_FORMAT ? "older program" : "newer program");
        }
        manifest_state_fini(&state);
    }
}

Test(lsm_manifest, a_current_of_another_version_is_refused_with_advice)
{
    uint8_t block[IO_BLOCK_BYTES];
    uint64_t number = 0;

    manifest_current_encode(block, 5);
    put_le16(block + 4, 7);
    put_le64(block + 16, XXH3_64bits_withSeed(block, 16, 0x5255434f));
    version_is_refused(manifest_current_decode(slice_of(block, sizeof(block)), "CURRENT", &number),
                       "CURRENT", "format version 7,", "newer program");
}

Test(lsm_manifest, a_value_log_of_another_version_is_refused_with_advice)
{
    uint8_t header[VLOG_HEADER_BYTES];

    vlog_file_header_encode(3, header);
    put_le32(header + 8, 8);
    put_le64(header + 56, XXH3_64bits_withSeed(header, 56, vlog_seed(3, 0)));
    version_is_refused(vlog_file_header_check(header, 3), "file header", "format version 8,",
                       "newer program");
}

FIBER_TEST(lsm_manifest, a_folder_with_tables_but_without_current_is_corrupt)
{
    struct manifest_state state;
    uint64_t number = 0;
    bool exists = true;

    manifest_state_init(&state);
    cr_assert_eq(io_mkdir("lsm"), ERR_OK);
    cr_assert_eq(manifest_load("lsm", true, &state, &number, &exists), ERR_CORRUPT);
    cr_assert_eq(manifest_load("lsm", false, &state, &number, &exists), ERR_OK);
    cr_assert(!exists);
    manifest_state_fini(&state);
}

FIBER_TEST(lsm_manifest, after_a_failed_append_a_new_file_must_begin)
{
    struct manifest *manifest = manifest_new("lsm", 0);
    struct manifest_state state;
    struct buf snapshot;
    uint64_t number = 0;
    bool exists = false;

    cr_assert_eq(io_mkdir("lsm"), ERR_OK);
    buf_init(&snapshot, MEM_TABLES);
    buf_append(&snapshot, "\1\5", 2); /* Next file number 5. */
    cr_assert(manifest_wants_begin(manifest));
    cr_assert_eq(manifest_begin(manifest, 1, buf_slice(&snapshot)), ERR_OK);
    cr_assert(!manifest_wants_begin(manifest));
    cr_assert_eq(manifest_append(manifest, SLICE("\1\6")), ERR_OK);
    sim_disk_fail_next(sim_world_current(), SIM_OP_WRITE, "MANIFEST", 1, 1, -5);
    cr_assert_eq(manifest_append(manifest, SLICE("\1\7")), ERR_IO, "the seal failed");
    cr_assert(manifest_wants_begin(manifest));
    cr_assert_eq(manifest_begin(manifest, 2, SLICE("\1\10")), ERR_OK);
    cr_assert(!sim_disk_exists(sim_world_current(), "lsm/MANIFEST-0000000000000001"));
    manifest_state_init(&state);
    cr_assert_eq(manifest_load("lsm", true, &state, &number, &exists), ERR_OK);
    cr_assert(exists);
    cr_assert_eq(number, 2);
    cr_assert_eq(state.next_file_number, 8);
    manifest_state_fini(&state);
    buf_fini(&snapshot);
    manifest_close(&manifest);
}
