/* models/relational/catalog_reader.h - stored objects of the catalog, read part by part.
 *
 * Bytes may be anything. A reader stays bad once something is wrong; it gives nothing then. */
#pragma once

#include <string.h>

#include "engine/base/mem.h"
#include "models/relational/catalog.h"

struct catalog_reader {
    const uint8_t *at, *end;
    struct arena *arena;           /* Of copies. */
    const struct catalog *catalog; /* Of types; NULL where none are named. */
    bool is_bad;
};

static inline uint64_t
take_varint(struct catalog_reader *reader)
{
    uint64_t value = 0;
    size_t used = reader->is_bad ? 0 : get_varint(reader->at, reader->end, &value);

    reader->is_bad = used == 0;
    reader->at += used;
    return reader->is_bad ? 0 : value;
}

static inline struct slice
take_bytes(struct catalog_reader *reader)
{
    uint64_t size = take_varint(reader);
    struct slice bytes;

    if (reader->is_bad || size > (uint64_t)(reader->end - reader->at)) {
        reader->is_bad = true;
        return slice_of(NULL, 0);
    }
    bytes = arena_copy(reader->arena, slice_of(reader->at, size));
    reader->at += size;
    return bytes;
}
