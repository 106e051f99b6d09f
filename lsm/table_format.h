/* lsm/table_format.h - footer and properties of a table, as bytes and as structs.
 *
 *     data frames | index | filter | ranges | properties | zeros | footer (128 bytes)
 *
 * The file's size is a multiple of 4 KiB. Bytes: docs/format/table.md. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "lsm/table.h"

enum {
    TABLE_FORMAT_VERSION = 3,
    TABLE_FOOTER_BYTES = 128,
};

/* Sections in the order of the file. A missing one has no bytes. */
enum table_section {
    SECTION_INDEX,
    SECTION_FILTER,
    SECTION_RANGES,
    SECTION_PROPERTIES,
    SECTION_COUNT,
};

struct table_footer {
    uint64_t file_number;
    uint64_t
        salt; /* Drawn for each table: a file that reuses a number does not pass as this one. */
    uint64_t file_bytes;
    struct {
        uint64_t offset;
        uint32_t bytes;
    } sections[SECTION_COUNT];
};

void footer_encode(const struct table_footer *footer, uint8_t out[TABLE_FOOTER_BYTES]);
/* Checks everything that can be checked without the rest of the file: magic, checksum, version,
 * file number, file size, order of the sections. ERR_CORRUPT, ERR_FORMAT. */
err_t footer_decode(const uint8_t in[TABLE_FOOTER_BYTES], uint64_t file_number, uint64_t file_bytes,
                    struct table_footer *footer_out);

struct table_properties {
    struct table_meta meta;
    uint64_t data_bytes; /* Where the last data frame ends. */
    uint32_t block_count;
    uint32_t block_bytes; /* The target. */
};

/* Appends. */
void properties_encode(const struct table_properties *properties, struct buf *out);
/* The keys point into raw. */
err_t properties_decode(struct slice raw, struct table_properties *properties_out);
