/* lsm/table_span.c - reading ranges of files. */
#include "lsm/table_span.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { SPAN_PIECE_BYTES = 1 << 20, SPAN_PIECES_MAX = 8 };

struct table_span
table_span_of(uint64_t offset, uint64_t bytes)
{
    uint64_t start = offset & ~(uint64_t)(IO_BLOCK_BYTES - 1);

    return (struct table_span){
        .offset = start,
        .bytes = (size_t)(align_up(offset + bytes, IO_BLOCK_BYTES) - start),
    };
}

YIELDS err_t
table_span_read(struct io_file *file, uint64_t offset, uint8_t *buffer, size_t size)
{
    struct io_op ops[SPAN_PIECES_MAX];
    size_t done = 0;
    err_t err = ERR_OK;

    while (done < size) {
        struct io_batch batch;

        io_batch_init(&batch);
        for (uint32_t i = 0; i < SPAN_PIECES_MAX && done < size; i++) {
            size_t part = MIN(size - done, (size_t)SPAN_PIECE_BYTES);

            io_batch_read(&batch, &ops[i], file, offset + done, buffer + done, part);
            done += part;
        }
        TRY(io_batch_wait(&batch));
    }
out:
    return err;
}
