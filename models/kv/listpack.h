/* models/kv/listpack.h - reading Redis's listpacks, which RDB files and DUMP hold.
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
