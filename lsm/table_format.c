/* lsm/table_format.c - footer and properties of a table. */
#include "lsm/table_format.h"

#include <xxhash.h>

#include "engine/base/assert.h"
#include "lsm/block_frame.h"

#include "engine/base/poison.h"

/* "ORBTABLE" in the file. */
#define TABLE_MAGIC UINT64_C(0x454c42415442524f)

enum {
    FOOTER_SECTIONS_OFFSET = 40,
    FOOTER_SECTION_BYTES = 16,
    FOOTER_CHECKSUM_OFFSET = TABLE_FOOTER_BYTES - 8,
    PROPERTIES_FIXED_BYTES = 112,
    PROPERTY_ONE_VERSION = 1,
    PROPERTY_LARGEST_EXCLUSIVE = 2,
    PROPERTY_FLAGS_ALL = 3,
};

/* ---- Footer. ---- */

static uint64_t
footer_checksum(const uint8_t *bytes, uint64_t file_number, uint64_t file_bytes)
{
    return XXH3_64bits_withSeed(bytes, FOOTER_CHECKSUM_OFFSET,
                                frame_seed(0, file_number, file_bytes - TABLE_FOOTER_BYTES));
}

void
footer_encode(const struct table_footer *footer, uint8_t out[TABLE_FOOTER_BYTES])
{
    memset(out, 0, TABLE_FOOTER_BYTES);
    put_le64(out, TABLE_MAGIC);
    put_le32(out + 8, TABLE_FORMAT_VERSION);
    put_le32(out + 12, TABLE_FOOTER_BYTES);
    put_le64(out + 16, footer->file_number);
    put_le64(out + 24, footer->salt);
    put_le64(out + 32, footer->file_bytes);
    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        uint8_t *at = out + FOOTER_SECTIONS_OFFSET + i * FOOTER_SECTION_BYTES;

        put_le64(at, footer->sections[i].offset);
        put_le32(at + 8, footer->sections[i].bytes);
    }
    put_le64(out + FOOTER_CHECKSUM_OFFSET,
             footer_checksum(out, footer->file_number, footer->file_bytes));
}

/* Sections follow one another; only the filter and the ranges may be missing. */
static err_t
footer_check_sections(const struct table_footer *footer)
{
    uint64_t position = footer->sections[SECTION_INDEX].offset;

    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        uint64_t offset = footer->sections[i].offset;
        uint32_t bytes = footer->sections[i].bytes;
        bool may_be_missing = i == SECTION_FILTER || i == SECTION_RANGES;

        if (offset != position || offset > footer->file_bytes - TABLE_FOOTER_BYTES ||
            bytes > footer->file_bytes - TABLE_FOOTER_BYTES - offset ||
            (bytes <= FRAME_HEADER_BYTES && !(bytes == 0 && may_be_missing))) {
            return err_set(ERR_CORRUPT, "footer: section %u at offset %llu has %u bytes", i,
                           (unsigned long long)offset, bytes);
        }
        position += bytes;
    }
    return ERR_OK;
}

err_t
footer_decode(const uint8_t in[TABLE_FOOTER_BYTES], uint64_t file_number, uint64_t file_bytes,
              struct table_footer *footer_out)
{
    struct table_footer footer;
    uint32_t version = get_le32(in + 8);
    err_t err;

    /* Magic, version and the checksum at the end stay where they are in all versions. */
    if (get_le64(in) != TABLE_MAGIC) {
        return err_set(ERR_CORRUPT, "footer: not a table");
    }
    if (get_le64(in + FOOTER_CHECKSUM_OFFSET) != footer_checksum(in, file_number, file_bytes)) {
        return err_set(ERR_CORRUPT, "footer: checksum does not match");
    }
    if (version != TABLE_FORMAT_VERSION) {
        return err_format("footer", version, TABLE_FORMAT_VERSION);
    }
    footer.file_number = get_le64(in + 16);
    footer.salt = get_le64(in + 24);
    footer.file_bytes = get_le64(in + 32);
    if (get_le32(in + 12) != TABLE_FOOTER_BYTES || footer.file_number != file_number ||
        footer.file_bytes != file_bytes) {
        return err_set(ERR_CORRUPT, "footer: of file number %llu with %llu bytes",
                       (unsigned long long)footer.file_number,
                       (unsigned long long)footer.file_bytes);
    }
    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        const uint8_t *at = in + FOOTER_SECTIONS_OFFSET + i * FOOTER_SECTION_BYTES;

        footer.sections[i].offset = get_le64(at);
        footer.sections[i].bytes = get_le32(at + 8);
    }
    TRY(footer_check_sections(&footer));
    *footer_out = footer;
out:
    return err;
}

/* ---- Properties. ---- */

void
properties_encode(const struct table_properties *properties, struct buf *out)
{
    const struct table_meta *meta = &properties->meta;
    uint32_t flags = (meta->one_version_per_key ? PROPERTY_ONE_VERSION : 0) |
                     (meta->largest_is_exclusive ? PROPERTY_LARGEST_EXCLUSIVE : 0);
    uint8_t *at = buf_reserve(out, PROPERTIES_FIXED_BYTES);

    memset(at, 0, PROPERTIES_FIXED_BYTES);
    put_le64(at, meta->file_number);
    put_le64(at + 8, meta->entries);
    put_le64(at + 16, meta->deletes);
    put_le64(at + 24, meta->range_deletes);
    put_le64(at + 32, meta->ts_oldest);
    put_le64(at + 40, meta->ts_newest);
    put_le64(at + 48, meta->raw_bytes);
    put_le64(at + 56, properties->data_bytes);
    put_le32(at + 64, properties->block_count);
    put_le32(at + 68, properties->block_bytes);
    put_le32(at + 72, flags);
    put_le32(at + 76, (uint32_t)meta->smallest.size);
    put_le32(at + 80, (uint32_t)meta->largest.size);
    put_le64(at + 88, meta->expiry.entries);
    put_le64(at + 96, meta->expiry.half_us);
    put_le64(at + 104, meta->expiry.all_us);
    out->size += PROPERTIES_FIXED_BYTES;
    buf_append(out, meta->smallest.data, meta->smallest.size);
    buf_append(out, meta->largest.data, meta->largest.size);
}

static err_t
properties_check(const struct table_properties *properties)
{
    const struct table_meta *meta = &properties->meta;

    if (meta->deletes > meta->entries || meta->ts_oldest > meta->ts_newest ||
        slice_compare(meta->smallest, meta->largest) > 0 ||
        (properties->block_count == 0) != (meta->entries == 0) ||
        properties->block_count > meta->entries ||
        !table_expiry_is_sound(&meta->expiry, meta->entries, meta->deletes)) {
        return err_set(ERR_CORRUPT, "properties contradict each other");
    }
    return ERR_OK;
}

err_t
properties_decode(struct slice raw, struct table_properties *properties_out)
{
    struct table_properties properties = {0};
    struct table_meta *meta = &properties.meta;
    uint32_t flags, smallest_bytes, largest_bytes;
    const uint8_t *at = raw.data;
    err_t err;

    if (raw.size < PROPERTIES_FIXED_BYTES) {
        return err_set(ERR_CORRUPT, "properties of %zu bytes", raw.size);
    }
    meta->file_number = get_le64(at);
    meta->entries = get_le64(at + 8);
    meta->deletes = get_le64(at + 16);
    meta->range_deletes = get_le64(at + 24);
    meta->ts_oldest = get_le64(at + 32);
    meta->ts_newest = get_le64(at + 40);
    meta->raw_bytes = get_le64(at + 48);
    properties.data_bytes = get_le64(at + 56);
    properties.block_count = get_le32(at + 64);
    properties.block_bytes = get_le32(at + 68);
    flags = get_le32(at + 72);
    smallest_bytes = get_le32(at + 76);
    largest_bytes = get_le32(at + 80);
    meta->expiry.entries = get_le64(at + 88);
    meta->expiry.half_us = get_le64(at + 96);
    meta->expiry.all_us = get_le64(at + 104);
    if ((flags & ~(uint32_t)PROPERTY_FLAGS_ALL) != 0 || get_le32(at + 84) != 0 ||
        smallest_bytes > LSM_KEY_BYTES_MAX || largest_bytes > LSM_KEY_BYTES_MAX ||
        raw.size != PROPERTIES_FIXED_BYTES + (size_t)smallest_bytes + largest_bytes) {
        return err_set(ERR_CORRUPT, "properties are malformed");
    }
    meta->one_version_per_key = (flags & PROPERTY_ONE_VERSION) != 0;
    meta->largest_is_exclusive = (flags & PROPERTY_LARGEST_EXCLUSIVE) != 0;
    meta->smallest = slice_of(at + PROPERTIES_FIXED_BYTES, smallest_bytes);
    meta->largest = slice_of(meta->smallest.data + smallest_bytes, largest_bytes);
    TRY(properties_check(&properties));
    *properties_out = properties;
out:
    return err;
}
