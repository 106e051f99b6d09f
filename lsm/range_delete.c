/* lsm/range_delete.c - see range_delete.h. */
#include "lsm/range_delete.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { WALK_STEPS_MAX = 4 };

struct range_border {
    struct range_layer *newest; /* In force from this key to the next border. */
    struct tree_key key;
};

static struct range_border *
border_at(struct tree_position position)
{
    return CONTAINER_OF(tree_at(position), struct range_border, key);
}

static void *
map_alloc(struct range_map *map, size_t bytes)
{
    map->bytes += bytes;
    return arena_alloc(map->arena, bytes);
}

void
range_map_init(struct range_map *map, struct arena *arena)
{
    memset(map, 0, sizeof(*map));
    map->arena = arena;
    map->ts_oldest = UINT64_MAX;
    tree_init(&map->borders, arena);
}

static struct range_layer *
layer_new(struct range_map *map, uint64_t ts, uint64_t lsn)
{
    struct range_layer *layer = map->free_layers;

    if (layer != NULL) {
        map->free_layers = layer->older;
    } else {
        layer = map_alloc(map, sizeof(*layer));
    }
    layer->older = NULL;
    layer->ts = ts;
    layer->lsn = lsn;
    map->layers++;
    return layer;
}

static void
layer_free(struct range_map *map, struct range_layer *layer)
{
    layer->older = map->free_layers;
    map->free_layers = layer;
    map->layers--;
}

/* Private to its border, so that each stack is collected alone. */
static struct range_layer *
layers_copy(struct range_map *map, const struct range_layer *from)
{
    struct range_layer *newest = NULL;
    struct range_layer **link = &newest;

    for (; from != NULL; from = from->older) {
        *link = layer_new(map, from->ts, from->lsn);
        link = &(*link)->older;
    }
    return newest;
}

static void
layers_collect(struct range_map *map, struct range_layer *newest, const struct snapshots *snapshots)
{
    const struct lsm_snapshot *cursor = NULL;

    while (newest->older != NULL) {
        struct range_layer *older = newest->older;

        if (snapshots_need_next(snapshots, &cursor, older->ts, newest->ts)) {
            newest = older;
            continue;
        }
        newest->older = older->older;
        layer_free(map, older);
    }
}

static void
layers_add(struct range_map *map, struct range_border *border, const struct lsm_range_delete *range,
           const struct snapshots *snapshots)
{
    struct range_layer **link = &border->newest;
    struct range_layer *layer;

    while (*link != NULL && (*link)->ts > range->ts) {
        link = &(*link)->older;
    }
    if (*link != NULL && (*link)->ts == range->ts) {
        (*link)->lsn = MAX((*link)->lsn, range->lsn);
        return;
    }
    layer = layer_new(map, range->ts, range->lsn);
    layer->older = *link;
    *link = layer;
    if (snapshots != NULL) {
        layers_collect(map, border->newest, snapshots);
    }
}

/* The border in whose piece the key lies; none before the first. */
static struct tree_position
border_before(const struct range_map *map, struct slice key)
{
    return tree_seek_floor(&map->borders, key);
}

/* Make `key` a border which goes on with what is in force there. *before_out is the border that it
 * follows (itself when it was one already), NULL when there is none. */
static struct range_border *
border_ensure(struct range_map *map, struct slice key, struct range_border **before_out)
{
    struct tree_position at = border_before(map, key);
    struct range_border *border = NULL;

    if (tree_position_is_valid(at)) {
        border = border_at(at);
    }
    *before_out = border;
    if (border != NULL && slice_equal(tree_key_slice(&border->key), key)) {
        return border;
    }
    border = map_alloc(map, sizeof(*border) + key.size);
    border->newest = *before_out == NULL ? NULL : layers_copy(map, (*before_out)->newest);
    border->key.size = (uint32_t)key.size;
    if (key.size > 0) {
        memcpy(border->key.bytes, key.data, key.size);
    }
    tree_insert(&map->borders, &border->key);
    return border;
}

void
range_map_add(struct range_map *map, const struct lsm_range_delete *range,
              const struct snapshots *snapshots)
{
    struct range_border *start;
    struct range_border *end;
    struct range_border *before;
    struct tree_position at;

    if (slice_compare(range->start, range->end) >= 0) {
        return;
    }
    start = border_ensure(map, range->start, &before);
    end = border_ensure(map, range->end, &before);
    map->ts_oldest = MIN(map->ts_oldest, range->ts);
    map->ts_newest = MAX(map->ts_newest, range->ts);
    if (before == start) { /* Mostly there is no border between the two. */
        layers_add(map, start, range, snapshots);
        return;
    }
    for (at = tree_seek(&map->borders, range->start); border_at(at) != end; tree_next(&at)) {
        layers_add(map, border_at(at), range, snapshots);
    }
}

static const struct range_layer *
layer_visible(const struct range_layer *layer, uint64_t snapshot)
{
    while (layer != NULL && layer->ts > snapshot) {
        layer = layer->older;
    }
    return layer;
}

/* As border_before, from the last one found on: the next key of a scan is mostly in the same piece
 * or the next. */
static struct tree_position
border_walk(const struct range_map *map, struct range_cursor *cursor, struct slice key)
{
    struct tree_position at = cursor->at;

    if (!tree_position_is_valid(at) || cursor->generation != map->borders.generation ||
        slice_compare(tree_key_slice(tree_at(at)), key) > 0) {
        return border_before(map, key);
    }
    for (uint32_t step = 0; step < WALK_STEPS_MAX; step++) {
        struct tree_position next = at;

        tree_prefetch_next(at);
        tree_next(&next);
        if (!tree_position_is_valid(next) ||
            slice_compare(tree_key_slice(tree_at(next)), key) > 0) {
            return at;
        }
        at = next;
    }
    return border_before(map, key);
}

void
range_map_find(const struct range_map *map, struct range_cursor *cursor, struct slice key,
               uint64_t snapshot, struct range_cover *cover_out)
{
    struct tree_position at = border_walk(map, cursor, key);
    const struct range_layer *layer = NULL;

    cursor->at = at;
    cursor->generation = map->borders.generation;
    memset(cover_out, 0, sizeof(*cover_out));
    if (tree_position_is_valid(at)) {
        cover_out->low = tree_key_slice(tree_at(at));
        layer = layer_visible(border_at(at)->newest, snapshot);
        tree_next(&at);
    } else {
        at = tree_first(&map->borders);
    }
    if (tree_position_is_valid(at)) {
        cover_out->high = tree_key_slice(tree_at(at));
    } else {
        cover_out->high_is_open = true;
    }
    if (layer != NULL) {
        cover_out->ts = layer->ts;
        cover_out->lsn = layer->lsn;
    }
}

uint64_t
range_map_ts(const struct range_map *map, struct slice key, uint64_t snapshot, uint64_t *lsn_out)
{
    struct tree_position at;
    const struct range_layer *layer;

    if (range_map_is_empty(map)) {
        return 0;
    }
    at = border_before(map, key);
    if (!tree_position_is_valid(at)) {
        return 0;
    }
    layer = layer_visible(border_at(at)->newest, snapshot);
    if (layer == NULL) {
        return 0;
    }
    *lsn_out = layer->lsn;
    return layer->ts;
}

static uint64_t
layers_superseded_at(const struct range_layer *layer, uint64_t ts)
{
    uint64_t until = UINT64_MAX;

    for (; layer != NULL && layer->ts > ts; layer = layer->older) {
        until = layer->ts;
    }
    return until;
}

uint64_t
range_map_superseded_at(const struct range_map *map, struct slice key, uint64_t ts)
{
    struct tree_position at;

    if (range_map_is_empty(map) || map->ts_newest <= ts) {
        return UINT64_MAX;
    }
    at = border_before(map, key);
    return tree_position_is_valid(at) ? layers_superseded_at(border_at(at)->newest, ts)
                                      : UINT64_MAX;
}

/* From the border at piece->position on, the first that has layers. */
static bool
piece_settle(struct range_piece *piece)
{
    while (tree_position_is_valid(piece->position)) {
        struct range_border *border = border_at(piece->position);
        struct tree_position next = piece->position;

        tree_next(&next);
        if (border->newest != NULL) {
            ASSERT(tree_position_is_valid(next)); /* The last border has no layers. */
            piece->start = tree_key_slice(&border->key);
            piece->end = tree_key_slice(tree_at(next));
            piece->newest = border->newest;
            return true;
        }
        piece->position = next;
    }
    return false;
}

bool
range_map_first(const struct range_map *map, struct range_piece *piece)
{
    piece->position = tree_first(&map->borders);
    return piece_settle(piece);
}

bool
range_map_next(struct range_piece *piece)
{
    tree_next(&piece->position);
    return piece_settle(piece);
}

bool
range_map_seek(const struct range_map *map, struct slice key, struct range_piece *piece)
{
    piece->position = border_before(map, key);
    if (!tree_position_is_valid(piece->position)) {
        piece->position = tree_first(&map->borders);
    }
    return piece_settle(piece);
}

bool
range_map_covers(const struct range_map *map, struct slice low, struct slice high,
                 bool high_is_exclusive, uint64_t ts, uint64_t *until_out)
{
    struct slice reached = low;
    struct range_piece piece;
    bool more = !range_map_is_empty(map) && range_map_seek(map, low, &piece);
    uint64_t until = 0;

    for (; more; more = range_map_next(&piece)) {
        uint64_t here = layers_superseded_at(piece.newest, ts);
        int order;

        if (slice_compare(piece.start, reached) > 0 || here == UINT64_MAX) {
            return false;
        }
        until = MAX(until, here);
        reached = piece.end;
        order = slice_compare(reached, high);
        if (order > 0 || (order == 0 && high_is_exclusive)) {
            *until_out = until;
            return true;
        }
    }
    return false;
}
