/* lsm/table_span.h - reading any range of a file that can only be read in whole blocks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/io/io.h"
#include "engine/rt/fiber.h"

/* The blocks of IO_BLOCK_BYTES that cover a range. */
struct table_span {
    uint64_t offset;
    size_t bytes;
};
struct table_span table_span_of(uint64_t offset, uint64_t bytes);

/* Read [offset, offset + size), aligned, in pieces several of which are in flight. Errors as
 * io_read's. */
YIELDS err_t table_span_read(struct io_file *file, uint64_t offset, uint8_t *buffer, size_t size);
