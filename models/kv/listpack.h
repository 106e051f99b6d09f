/* models/kv/listpack.h - reading and writing Redis's listpacks, which RDB files and DUMP hold.
 *
 *     total bytes (4) | number of elements (2; 65535: unknown) | elements | 0xff
 *
 * Numbers are little-endian. An element is its encoding, its bytes, and its length for walking
 * backward (1-5 bytes). */
#pragma once

#include <stdbool.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"

struct listpack {
    struct slice left;
    bool is_broken;
};

/* ERR_CORRUPT. The bytes are borrowed. */
err_t listpack_open(struct slice bytes, struct listpack *pack_out);
/* The next element as text: borrowed, or (integers) in the arena. False at the end, or when what
 * is left is no listpack. */
bool listpack_next(struct listpack *pack, struct arena *arena, struct slice *item_out);
/* Was all of it read, and well-formed? ERR_CORRUPT. */
err_t listpack_end(const struct listpack *pack);

/* What an element takes: texts that are integers are stored as such. */
uint64_t listpack_integer_bytes(int64_t value);
uint64_t listpack_text_bytes(struct slice text);

/* Writing: begins at the end of out, and what is appended until the end belongs to it. */
enum {
    LISTPACK_BYTES_MIN = 7, /* Of an empty one. */
    LISTPACK_COUNT_MAX = 65535,
};
size_t listpack_begin(struct buf *out);
void listpack_append_integer(struct buf *out, int64_t value);
/* ERR_NO_MEMORY. */
err_t listpack_append_text(struct buf *out, struct slice text);
/* start: what listpack_begin has returned. ERR_LIMIT: longer than a listpack can be. */
err_t listpack_finish(struct buf *out, size_t start, uint64_t elements);
