/* query/exec/rows.c - rows that are kept, and maps of byte strings. */
#include <xxhash.h>

#include "engine/base/assert.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

enum { ROWS_FIRST = 64, MAP_FIRST = 64 };

void
rows_init(struct rows *rows, const struct plan_column *columns, uint32_t column_count)
{
    *rows = (struct rows){.columns = columns, .column_count = column_count};
    arena_init(&rows->arena, MEM_SESSIONS);
}

void
rows_fini(struct rows *rows)
{
    mem_free(MEM_SESSIONS, rows->rows, rows->capacity * sizeof(*rows->rows));
    arena_fini(&rows->arena);
    *rows = (struct rows){0};
}

uint64_t
rows_bytes(const struct rows *rows)
{
    return rows->arena.bytes + (uint64_t)rows->capacity * sizeof(*rows->rows);
}

err_t
rows_add(struct rows *rows, const struct batch *batch, uint32_t row)
{
    struct kept_row *kept;

    if (rows->count == rows->capacity) {
        uint32_t capacity = MAX((uint32_t)ROWS_FIRST, rows->capacity * 2);

        rows->rows = mem_realloc(MEM_SESSIONS, rows->rows, rows->capacity * sizeof(*rows->rows),
                                 capacity * sizeof(*rows->rows));
        rows->capacity = capacity;
    }
    kept = &rows->rows[rows->count];
    kept->values = arena_alloc(&rows->arena, rows->column_count * sizeof(*kept->values));
    kept->nulls = arena_alloc(&rows->arena, rows->column_count + 1);
    for (uint32_t i = 0; i < rows->column_count; i++) {
        kept->nulls[i] = vector_is_null(&batch->columns[i], row);
        if (kept->nulls[i] == 0) {
            kept->values[i] = type_copy(rows->columns[i].type,
                                        vector_value(&batch->columns[i], row), &rows->arena);
        }
    }
    rows->count++;
    return ERR_OK;
}

void
rows_fill(const struct rows *rows, uint32_t first, uint32_t count, struct batch *batch)
{
    for (uint32_t i = 0; i < rows->column_count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            const struct kept_row *row = &rows->rows[first + j];

            batch->columns[i].values[j] = row->values[i];
            batch->columns[i].nulls[j] = row->nulls[i];
        }
    }
    batch->rows = count;
}

void
batch_make(struct batch *batch, struct arena *arena, uint32_t columns, uint32_t rows)
{
    batch->columns = arena_alloc(arena, (columns + 1) * sizeof(*batch->columns));
    batch->column_count = columns;
    batch->rows = rows;
    for (uint32_t i = 0; i < columns; i++) {
        batch->columns[i] = (struct vector){
            .values = arena_alloc(arena, (rows + 1) * sizeof(struct datum)),
            .nulls = arena_alloc(arena, rows + 1),
        };
    }
}

void
row_hash_put(const struct plan_column *columns, const struct vector *vectors, uint32_t count,
             uint32_t row, struct buf *out)
{
    for (uint32_t i = 0; i < count; i++) {
        bool is_null = vector_is_null(&vectors[i], row);

        buf_append_byte(out, is_null);
        if (!is_null) {
            type_hash_put(columns[i].type, vector_value(&vectors[i], row), out);
        }
    }
}

bool
keys_hash_put(struct expr *const *keys, uint32_t count, const struct vector *vectors, uint32_t row,
              struct buf *out)
{
    buf_clear(out);
    for (uint32_t i = 0; i < count; i++) {
        if (vector_is_null(&vectors[i], row)) {
            return false;
        }
        type_hash_put(keys[i]->type, vector_value(&vectors[i], row), out);
    }
    return true;
}

/* ---- Maps: open addressing, a power of two of places, at most half of them used ---- */

void
map_init(struct map *map)
{
    *map = (struct map){0};
    arena_init(&map->arena, MEM_SESSIONS);
}

void
map_fini(struct map *map)
{
    mem_free(MEM_SESSIONS, map->entries, map->capacity * sizeof(*map->entries));
    arena_fini(&map->arena);
    *map = (struct map){0};
}

uint64_t
map_bytes(const struct map *map)
{
    return map->arena.bytes + (uint64_t)map->capacity * sizeof(*map->entries);
}

static struct map_entry *
place_of(const struct map *map, struct slice key, uint64_t hash)
{
    uint64_t at = hash & (map->capacity - 1);

    while (map->entries[at].key.data != NULL &&
           (map->entries[at].hash != hash || !slice_equal(map->entries[at].key, key))) {
        at = (at + 1) & (map->capacity - 1);
    }
    return &map->entries[at];
}

static void
map_grow(struct map *map)
{
    struct map larger = {.capacity = MAX((uint32_t)MAP_FIRST, map->capacity * 2)};

    larger.entries = mem_zalloc(MEM_SESSIONS, larger.capacity * sizeof(*larger.entries));
    for (uint32_t i = 0; i < map->capacity; i++) {
        if (map->entries[i].key.data != NULL) {
            *place_of(&larger, map->entries[i].key, map->entries[i].hash) = map->entries[i];
        }
    }
    mem_free(MEM_SESSIONS, map->entries, map->capacity * sizeof(*map->entries));
    map->entries = larger.entries;
    map->capacity = larger.capacity;
}

struct map_entry *
map_put(struct map *map, struct slice key, bool *is_new_out)
{
    uint64_t hash = XXH3_64bits(key.data, key.size);
    struct map_entry *entry;

    if (map->count * 2 >= map->capacity) {
        map_grow(map);
    }
    entry = place_of(map, key, hash);
    *is_new_out = entry->key.data == NULL;
    if (*is_new_out) {
        uint8_t *copy = arena_alloc(&map->arena, key.size + 1);

        if (key.size > 0) {
            memcpy(copy, key.data, key.size);
        }
        *entry = (struct map_entry){.hash = hash, .key = slice_of(copy, key.size)};
        map->count++;
    }
    return entry;
}

struct map_entry *
map_find(struct map *map, struct slice key)
{
    struct map_entry *entry;

    if (map->count == 0) {
        return NULL;
    }
    entry = place_of(map, key, XXH3_64bits(key.data, key.size));
    return entry->key.data != NULL ? entry : NULL;
}
