/* lsm/vlog_format.c - the bytes of value logs: docs/format/vlog.md. */
#include <stdio.h>
#define XXH_STATIC_LINKING_ONLY /* For a checksum state that needs no allocation. */
#include <xxhash.h>

#include "engine/base/assert.h"
#include "lsm/vlog_internal.h"

#include "engine/base/poison.h"

/* "ORBITVLG" and "ORBITVAL" in the file. */
#define VLOG_FILE_MAGIC  UINT64_C(0x474c56544942524f)
#define VLOG_VALUE_MAGIC UINT64_C(0x4c4156544942524f)

enum { VLOG_HEADER_CHECKSUM_OFFSET = VLOG_HEADER_BYTES - 8, VLOG_NAME_DIGITS = 16 };

uint64_t
vlog_seed(uint64_t file_number, uint64_t offset)
{
    return (file_number * UINT64_C(0x9e3779b97f4a7c15)) ^ (offset * UINT64_C(0xc2b2ae3d27d4eb4f));
}

void
vlog_hash_begin(XXH3_state_t *hash, uint64_t seed)
{
    XXH3_INITSTATE(hash);
    XXH3_64bits_reset_withSeed(hash, seed);
}

uint64_t
vlog_value_span(uint64_t value_bytes)
{
    return align_up(VLOG_HEADER_BYTES + value_bytes, IO_BLOCK_BYTES);
}

/* ---- Pointers. ---- */

void
vlog_pointer_encode(const struct vlog_pointer *pointer, uint8_t out[VLOG_POINTER_BYTES])
{
    put_le64(out, pointer->file_number);
    put_le64(out + 8, pointer->offset);
    put_le64(out + 16, pointer->bytes);
    put_le64(out + 24, pointer->checksum);
}

err_t
vlog_pointer_decode(struct slice bytes, struct vlog_pointer *pointer_out)
{
    struct vlog_pointer pointer;

    if (bytes.size != VLOG_POINTER_BYTES) {
        return err_set(ERR_CORRUPT, "pointer to a large value has %zu bytes", bytes.size);
    }
    pointer.file_number = get_le64(bytes.data);
    pointer.offset = get_le64(bytes.data + 8);
    pointer.bytes = get_le64(bytes.data + 16);
    pointer.checksum = get_le64(bytes.data + 24);
    if (pointer.bytes > VLOG_VALUE_BYTES_MAX || pointer.offset % IO_BLOCK_BYTES != 0 ||
        pointer.offset < VLOG_FIRST_VALUE_OFFSET || pointer.offset > INT64_MAX / 2) {
        return err_set(ERR_CORRUPT, "pointer to a value of %llu bytes at offset %llu",
                       (unsigned long long)pointer.bytes, (unsigned long long)pointer.offset);
    }
    *pointer_out = pointer;
    return ERR_OK;
}

/* ---- Headers. ---- */

static uint64_t
header_checksum(const uint8_t *header, uint64_t file_number, uint64_t offset)
{
    return XXH3_64bits_withSeed(header, VLOG_HEADER_CHECKSUM_OFFSET,
                                vlog_seed(file_number, offset));
}

void
vlog_file_header_encode(uint64_t file_number, uint8_t out[VLOG_HEADER_BYTES])
{
    memset(out, 0, VLOG_HEADER_BYTES);
    put_le64(out, VLOG_FILE_MAGIC);
    put_le32(out + 8, VLOG_FORMAT_VERSION);
    put_le64(out + 16, file_number);
    put_le64(out + VLOG_HEADER_CHECKSUM_OFFSET, header_checksum(out, file_number, 0));
}

err_t
vlog_file_header_check(const uint8_t in[VLOG_HEADER_BYTES], uint64_t file_number)
{
    /* Magic, version and checksum stay where they are in all versions. */
    if (get_le64(in) != VLOG_FILE_MAGIC) {
        return err_set(ERR_CORRUPT, "not a value log");
    }
    if (get_le64(in + VLOG_HEADER_CHECKSUM_OFFSET) != header_checksum(in, file_number, 0)) {
        return err_set(ERR_CORRUPT, "checksum of the file header does not match");
    }
    if (get_le32(in + 8) != VLOG_FORMAT_VERSION) {
        return err_format("file header", get_le32(in + 8), VLOG_FORMAT_VERSION);
    }
    if (get_le64(in + 16) != file_number) {
        return err_set(ERR_CORRUPT, "file header of value log %llu",
                       (unsigned long long)get_le64(in + 16));
    }
    return ERR_OK;
}

void
vlog_value_header_encode(const struct vlog_pointer *pointer, uint8_t out[VLOG_HEADER_BYTES])
{
    memset(out, 0, VLOG_HEADER_BYTES);
    put_le64(out, VLOG_VALUE_MAGIC);
    put_le64(out + 8, pointer->file_number);
    put_le64(out + 16, pointer->offset);
    put_le64(out + 24, pointer->bytes);
    put_le64(out + 32, pointer->checksum);
    put_le64(out + VLOG_HEADER_CHECKSUM_OFFSET,
             header_checksum(out, pointer->file_number, pointer->offset));
}

err_t
vlog_value_header_check(const uint8_t in[VLOG_HEADER_BYTES], const struct vlog_pointer *pointer)
{
    uint8_t expected[VLOG_HEADER_BYTES];

    vlog_value_header_encode(pointer, expected);
    if (memcmp(in, expected, sizeof(expected)) != 0) {
        return err_set(ERR_CORRUPT, "the header is not that of the value which is pointed to");
    }
    return ERR_OK;
}

/* ---- Names. ---- */

void
vlog_name(uint64_t file_number, char out[VLOG_NAME_BYTES])
{
    snprintf(out, VLOG_NAME_BYTES, "%016llx.vlog", (unsigned long long)file_number);
}

bool
vlog_name_parse(const char *name, uint64_t *file_number_out)
{
    uint64_t number = 0;

    if (strlen(name) != VLOG_NAME_BYTES - 1 || strcmp(name + VLOG_NAME_DIGITS, ".vlog") != 0) {
        return false;
    }
    for (uint32_t i = 0; i < VLOG_NAME_DIGITS; i++) {
        char digit = name[i];

        if (digit >= '0' && digit <= '9') {
            number = number << 4 | (uint64_t)(digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            number = number << 4 | (uint64_t)(digit - 'a' + 10);
        } else {
            return false;
        }
    }
    *file_number_out = number;
    return true;
}
