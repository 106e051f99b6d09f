/* lsm/table_index.h - which block of a table may hold a key.
 *
 * Block i holds the entries from its separator up to the next one's. A separator is the shortest
 * beginning of the block's first key that is above the last key of the block before; where the
 * versions of one key straddle two blocks it is the whole key with the greatest timestamp below
 * that of the last version before. The first block's separator is the empty key. So the newest
 * version of a key at or below a timestamp can be in one block only.
 *
 * In memory the separators lie decoded, without their common prefix, beside an array of their
 * heads (lsm/block_key.h). Bytes on disk: docs/format/table.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

enum {
    INDEX_HEADER_BYTES = 16,
    INDEX_BYTES_MAX = 128 << 20, /* Encoded: below FRAME_RAW_BYTES_MAX. */
    INDEX_KEYS_BYTES_MAX = 256 << 20,
};

/* ---- Making. ---- */

struct index_builder {
    struct buf bytes;
    struct buf first; /* Separators of the second and of the latest block: they give the prefix. */
    struct buf last;
    uint32_t block_count;
    bool has_ts;
    uint64_t keys_bytes; /* Of all separators, whole. */
    uint64_t data_end;   /* Where the latest frame ends. */
};

void index_builder_init(struct index_builder *builder, enum mem_tag tag);
void index_builder_fini(struct index_builder *builder);
/* The next block, which begins with key and follows (last_key, last_ts); the keys are borrowed.
 * The latter two are ignored for the first block. ERR_LIMIT when the index would be too large. */
err_t index_builder_add(struct index_builder *builder, struct slice last_key, uint64_t last_ts,
                        struct slice key, uint64_t offset, uint32_t frame_bytes);
/* Borrowed until the builder goes. */
struct slice index_builder_finish(struct index_builder *builder);

/* ---- Reading. ---- */

struct table_index {
    uint32_t block_count;
    uint32_t prefix_bytes;
    uint32_t keys_bytes;
    uint64_t data_end;
    uint64_t *heads;   /* Of separator i; entry 0 is not used by searches. */
    uint64_t *offsets; /* Of frame i in the file. */
    uint32_t *sizes;   /* Of frame i. */
    uint32_t
        *key_ends; /* Separator i is keys[key_ends[i - 1]..key_ends[i]), the prefix left off. */
    uint64_t *ts;  /* NULL when no separator has one. */
    uint8_t *prefix;
    uint8_t *keys;
};

/* Frames must end at or before data_end. ERR_CORRUPT, ERR_NO_MEMORY. The index is to be finished
 * (index_fini) in any case. */
YIELDS err_t index_decode(struct slice raw, uint64_t data_end, struct table_index *index_out);
void index_fini(struct table_index *index);
/* Of memory, and about what each block adds to the size of the encoded form. */
uint64_t index_bytes(const struct table_index *index);
enum { INDEX_BLOCK_BYTES = 24 };
/* The block that holds the newest version of key at or below ts, if the table has one; the first
 * entry at or after (key, ts) is in it or begins the next one. block_count > 0. */
uint32_t index_find(const struct table_index *index, struct slice key, uint64_t ts);
/* The order of separator i > 0 against (key, ts). */
int index_compare(const struct table_index *index, uint32_t i, struct slice key, uint64_t ts);
