/* tests/fuzz/fuzz_manifest.c - the reader of manifest files.
 *
 * Random bytes hardly pass a checksum, so most inputs are cut into payloads (two bytes of length
 * before each) which get a right header; an input that begins with an odd byte is read as a file
 * as it is. What is read must hold together: no number twice, bounds in order. */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "lsm/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_NUMBER = 9, IMAGE_BYTES_MAX = 1 << 20 };

static void
state_check(const struct manifest_state *state)
{
    for (uint32_t i = 0; i < state->table_count; i++) {
        const struct manifest_table *table = &state->tables[i];

        ASSERT(table->level < LSM_LEVELS);
        ASSERT(table->meta.file_number > 0);
        ASSERT(i == 0 || table[-1].meta.file_number < table->meta.file_number);
        ASSERT(slice_compare(table->meta.smallest, table->meta.largest) <= 0);
    }
    ASSERT(state->note.size <= MANIFEST_NOTE_BYTES_MAX);
    ASSERT(state->checkpoint_count <= LSM_CHECKPOINTS_MAX);
    for (uint32_t i = 0; i < state->checkpoint_count; i++) {
        const struct manifest_checkpoint *checkpoint = state->checkpoints[i];

        ASSERT(lsm_checkpoint_name_check(checkpoint->name) == ERR_OK);
        ASSERT(checkpoint->flushed_lsn <= checkpoint->log_end);
        for (uint32_t k = 1; k < checkpoint->table_count; k++) {
            ASSERT(checkpoint->tables[k - 1].meta.file_number <
                   checkpoint->tables[k].meta.file_number);
        }
    }
}

static void
image_read(const uint8_t *bytes, size_t size)
{
    struct manifest_state state;

    manifest_state_init(&state);
    (void)manifest_replay(slice_of(bytes, size), FILE_NUMBER, "MANIFEST", &state);
    state_check(&state);
    manifest_state_fini(&state);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest_chain chain = {.file_number = FILE_NUMBER};
    uint8_t *image;

    if (size == 0 || (data[0] & 1) != 0) {
        image_read(data + (size > 0), size - (size > 0));
        return 0;
    }
    image = malloc(IMAGE_BYTES_MAX);
    for (size_t at = 1; at + 2 <= size;) {
        size_t payload = MIN((size_t)get_le16(data + at), size - at - 2);
        enum manifest_kind kind = chain.sequence == 0 ? MANIFEST_SNAPSHOT
                                  : payload == 0      ? MANIFEST_SEAL
                                                      : MANIFEST_EDIT;

        if (chain.offset + manifest_batch_bytes(payload) > IMAGE_BYTES_MAX) {
            break;
        }
        memcpy(image + chain.offset + MANIFEST_HEADER_BYTES, data + at + 2, payload);
        manifest_batch_seal(image + chain.offset, payload, kind, &chain);
        at += 2 + payload;
    }
    image_read(image, chain.offset);
    free(image);
    return 0;
}
