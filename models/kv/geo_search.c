/* models/kv/geo_search.c - GEOSEARCH, GEOSEARCHSTORE, GEORADIUS, GEORADIUSBYMEMBER.
 *
 * The shape is covered with up to nine cells, each of which is one range of scores. What lies in
 * them is read in parts and looked at one by one. */
#include "engine/base/assert.h"
#include "models/kv/geo.h"

#include "engine/base/poison.h"

enum { MEMBERS_AT_ONCE = 512, WORK_UNITS_PER_MEMBER = 3 };

enum origin { ORIGIN_OPTIONS, ORIGIN_POINT, ORIGIN_MEMBER };
enum order { ORDER_NONE, ORDER_NEAREST, ORDER_FARTHEST };

struct searching {
    /* By the command: */
    enum origin origin;
    bool may_store; /* Has STORE and STOREDIST. */
    bool is_search_store;
    uint32_t source;  /* Argument: the key, */
    uint32_t options; /* and the first option. */
    /* By its words: */
    struct geo_shape shape; /* In `unit`, until they are all read. */
    double unit;
    bool has_member, has_point, has_radius, has_box;
    bool with_distance, with_hash, with_point;
    bool is_any, stores_distances;
    enum order order;
    int64_t count;
    uint32_t target; /* Argument: the key to store under; 0: none. */
};

/* What was found; .score is the distance and .order the index in `at`. */
struct found {
    struct zset_entries entries;
    double *scores;
    struct geo_point *points;
    uint32_t capacity;
};

/* ---- The words of a call ---- */

/* Where the search begins: a member's place. False after an error reply. */
static YIELDS bool
member_read(struct kv_request *request, const struct kv_object *object, struct slice member,
            struct searching *searching)
{
    double score;
    bool is_in;
    err_t err;

    if (!object->is_found) {
        return true; /* The reply will be empty. */
    }
    err = zset_find(request, object, &member, 1, &is_in, &score);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return false;
    }
    if (!is_in) {
        reply_error(request->reply, "ERR could not decode requested zset member");
        return false;
    }
    searching->shape.center = geo_point_of(score);
    return true;
}

/* A length from `word` on; false after an error reply. */
static bool
length_read(struct kv_request *request, struct slice word, const char *error, double *length_out)
{
    if (!zset_parse_score(word, length_out)) {
        reply_error(request->reply, "%s", error);
        return false;
    }
    return true;
}

static bool
radius_read(struct kv_request *request, uint32_t at, struct searching *searching)
{
    if (!length_read(request, request->argv[at], "ERR need numeric radius",
                     &searching->shape.radius)) {
        return false;
    }
    if (searching->shape.radius < 0) {
        reply_error(request->reply, "ERR radius cannot be negative");
        return false;
    }
    return geo_parse_unit(request, request->argv[at + 1], &searching->unit);
}

static bool
box_read(struct kv_request *request, uint32_t at, struct searching *searching)
{
    struct geo_shape *shape = &searching->shape;

    if (!length_read(request, request->argv[at], "ERR need numeric width", &shape->width) ||
        !length_read(request, request->argv[at + 1], "ERR need numeric height", &shape->height)) {
        return false;
    }
    if (shape->width < 0 || shape->height < 0) {
        reply_error(request->reply, "ERR height or width cannot be negative");
        return false;
    }
    shape->is_box = true;
    return geo_parse_unit(request, request->argv[at + 2], &searching->unit);
}

static bool
count_read(struct kv_request *request, struct slice word, struct searching *searching)
{
    if (!kv_parse_int(request, word, &searching->count)) {
        return false;
    }
    if (searching->count <= 0) {
        reply_error(request->reply, "ERR COUNT must be > 0");
        return false;
    }
    return true;
}

/* Options of one word. */
static bool
flag_read(struct searching *searching, struct slice word)
{
    struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"withdist", &searching->with_distance},
        {"withhash", &searching->with_hash},
        {"withcoord", &searching->with_point},
        {"any", &searching->is_any},
    };

    for (uint32_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (kv_word_is(word, flags[i].name)) {
            *flags[i].flag = true;
            return true;
        }
    }
    if (kv_word_is(word, "asc") || kv_word_is(word, "desc")) {
        searching->order = kv_word_is(word, "asc") ? ORDER_NEAREST : ORDER_FARTHEST;
        return true;
    }
    if (searching->is_search_store && kv_word_is(word, "storedist")) {
        searching->stores_distances = true;
        return true;
    }
    return false;
}

/* Where and how far GEOSEARCH looks: *used_out words at argv[at], 0 if they are none of that. */
static YIELDS bool
shape_option_read(struct kv_request *request, const struct kv_object *object, uint32_t at,
                  struct searching *searching, uint32_t *used_out)
{
    struct slice word = request->argv[at];
    uint32_t left = request->argc - at - 1;

    *used_out = 0;
    if (searching->origin != ORIGIN_OPTIONS) {
        return true;
    }
    if (left >= 1 && !searching->has_point && kv_word_is(word, "frommember")) {
        *used_out = 2;
        searching->has_member = true;
        return member_read(request, object, request->argv[at + 1], searching);
    }
    if (left >= 2 && !searching->has_member && kv_word_is(word, "fromlonlat")) {
        *used_out = 3;
        searching->has_point = true;
        return geo_parse_point(request, &request->argv[at + 1], &searching->shape.center);
    }
    if (left >= 2 && !searching->has_box && kv_word_is(word, "byradius")) {
        *used_out = 3;
        searching->has_radius = true;
        return radius_read(request, at + 1, searching);
    }
    if (left >= 3 && !searching->has_radius && kv_word_is(word, "bybox")) {
        *used_out = 4;
        searching->has_box = true;
        return box_read(request, at + 1, searching);
    }
    return true;
}

/* False after an error reply. */
static YIELDS bool
options_read(struct kv_request *request, const struct kv_object *object,
             struct searching *searching)
{
    for (uint32_t at = searching->options; at < request->argc;) {
        struct slice word = request->argv[at];
        bool has_more = at + 1 < request->argc;
        uint32_t used;

        if (flag_read(searching, word)) {
            at++;
            continue;
        }
        if (!shape_option_read(request, object, at, searching, &used)) {
            return false;
        }
        if (used == 0 && has_more && kv_word_is(word, "count")) {
            if (!count_read(request, request->argv[at + 1], searching)) {
                return false;
            }
            used = 2;
        } else if (used == 0 && has_more && searching->may_store &&
                   (kv_word_is(word, "store") || kv_word_is(word, "storedist"))) {
            searching->target = at + 1;
            searching->stores_distances = kv_word_is(word, "storedist");
            used = 2;
        }
        if (used == 0) {
            kv_reply_syntax_error(request);
            return false;
        }
        at += used;
    }
    return true;
}

/* Do the options go together? */
static bool
options_check(struct kv_request *request, const struct searching *searching)
{
    struct slice name = request->argv[0];

    if (searching->target != 0 &&
        (searching->with_distance || searching->with_hash || searching->with_point)) {
        reply_error(request->reply,
                    "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                    searching->is_search_store ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
        return false;
    }
    if (searching->origin == ORIGIN_OPTIONS && !searching->has_member && !searching->has_point) {
        reply_error(request->reply,
                    "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s",
                    (int)name.size, (const char *)name.data);
        return false;
    }
    if (searching->origin == ORIGIN_OPTIONS && !searching->has_radius && !searching->has_box) {
        reply_error(request->reply,
                    "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s",
                    (int)name.size, (const char *)name.data);
        return false;
    }
    if (searching->is_any && searching->count == 0) {
        reply_error(request->reply, "ERR the ANY argument requires COUNT argument");
        return false;
    }
    return true;
}

static YIELDS bool
words_read(struct kv_request *request, const struct kv_object *object, struct searching *searching)
{
    switch (searching->origin) {
    case ORIGIN_OPTIONS:
        break;
    case ORIGIN_POINT:
        if (!geo_parse_point(request, &request->argv[2], &searching->shape.center) ||
            !radius_read(request, 4, searching)) {
            return false;
        }
        break;
    case ORIGIN_MEMBER:
        if (object->is_found && (!member_read(request, object, request->argv[2], searching) ||
                                 !radius_read(request, 3, searching))) {
            return false;
        }
        break;
    }
    if (!options_read(request, object, searching) || !options_check(request, searching)) {
        return false;
    }
    searching->shape.radius *= searching->unit;
    searching->shape.width *= searching->unit;
    searching->shape.height *= searching->unit;
    if (searching->count != 0 && searching->order == ORDER_NONE && !searching->is_any) {
        searching->order = ORDER_NEAREST;
    }
    return true;
}

/* ---- Searching ---- */

static err_t
found_add(struct kv_request *request, struct found *found, const struct zset_entry *entry,
          struct geo_point point, double distance)
{
    uint32_t at = found->entries.count;
    err_t err;

    TRY(zset_entries_add(request, &found->entries, distance, entry->member, false));
    if (found->capacity < found->entries.capacity) {
        uint32_t capacity = found->entries.capacity;
        double *scores = arena_alloc(request->arena, capacity * sizeof(*scores));
        struct geo_point *points = arena_alloc(request->arena, capacity * sizeof(*points));

        if (scores == NULL || points == NULL) {
            return err_set(ERR_NO_MEMORY, "no memory for more than %u members", at);
        }
        if (at > 0) {
            memcpy(scores, found->scores, at * sizeof(*scores));
            memcpy(points, found->points, at * sizeof(*points));
        }
        found->scores = scores;
        found->points = points;
        found->capacity = capacity;
    }
    found->scores[at] = entry->score;
    found->points[at] = point;
out:
    return err;
}

/* Some members of a range of scores, with those of the shape in *found; the range begins behind
 * them then. *is_done: there are no more, or enough were found. */
static YIELDS err_t
part_search(struct kv_request *request, const struct kv_object *object,
            const struct searching *searching, struct zset_range *range, struct found *found,
            bool *is_done)
{
    uint64_t limit = searching->is_any ? (uint64_t)searching->count : UINT64_MAX;
    struct zset_entries part;
    struct slice last;
    uint8_t *lower;
    err_t err;

    TRY(zset_collect(request, object, range, &part));
    *is_done = part.count < range->limit;
    for (uint32_t i = 0; i < part.count && !(*is_done && found->entries.count >= limit); i++) {
        struct geo_point point = geo_point_of(part.at[i].score);
        double distance;

        if (geo_shape_has(&searching->shape, point, &distance)) {
            TRY(found_add(request, found, &part.at[i], point, distance));
            *is_done |= found->entries.count >= limit;
        }
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
    if (!*is_done) {
        last =
            zset_sort_key(request, part.at[part.count - 1].score, part.at[part.count - 1].member);
        lower = arena_alloc(request->arena, last.size + 1);
        memcpy(lower, last.data, last.size);
        lower[last.size] = 0;
        range->lower = slice_of(lower, last.size + 1);
    }
out:
    return err;
}

static YIELDS err_t
cell_search(struct kv_request *request, const struct kv_object *object,
            const struct searching *searching, struct geo_cell cell, struct found *found)
{
    struct zset_range range = {.limit = MEMBERS_AT_ONCE};
    bool is_done = false;
    uint64_t first;
    uint64_t end;
    err_t err = ERR_OK;

    first = geo_cell_scores(cell, &end);
    range.lower = zset_sort_key(request, (double)first, slice_of(NULL, 0));
    range.upper = zset_sort_key(request, (double)end, slice_of(NULL, 0));
    while (!is_done) {
        TRY(part_search(request, object, searching, &range, found, &is_done));
    }
out:
    return err;
}

static YIELDS err_t
search(struct kv_request *request, const struct kv_object *object,
       const struct searching *searching, struct found *found)
{
    uint64_t limit = searching->is_any ? (uint64_t)searching->count : UINT64_MAX;
    struct geo_cell cells[GEO_CELLS_MAX];
    struct geo_cell last = {0};
    err_t err = ERR_OK;

    if (!object->is_found) {
        return ERR_OK;
    }
    geo_shape_cells(&searching->shape, cells);
    for (uint32_t i = 0; i < GEO_CELLS_MAX && found->entries.count < limit; i++) {
        /* Large cells are their own neighbours: on one side, round the world, on the other. */
        if (cells[i].steps == 0 || (cells[i].steps == last.steps && cells[i].bits == last.bits)) {
            continue;
        }
        TRY(cell_search(request, object, searching, cells[i], found));
        last = cells[i];
    }
out:
    return err;
}

static bool
is_nearer(const struct zset_entry *a, const struct zset_entry *b)
{
    return a->score != b->score ? a->score < b->score : a->order < b->order;
}

static bool
is_farther(const struct zset_entry *a, const struct zset_entry *b)
{
    return a->score != b->score ? a->score > b->score : a->order < b->order;
}

/* ---- Replies ---- */

static YIELDS void
found_reply(struct kv_request *request, const struct searching *searching,
            const struct found *found)
{
    uint32_t details = searching->with_distance + searching->with_hash + searching->with_point;

    reply_array(request->reply, found->entries.count);
    for (uint32_t i = 0; i < found->entries.count; i++) {
        const struct zset_entry *entry = &found->entries.at[i];

        if (details > 0) {
            reply_array(request->reply, 1 + details);
        }
        reply_bulk(request->reply, entry->member);
        if (searching->with_distance) {
            geo_reply_distance(request, entry->score / searching->unit);
        }
        if (searching->with_hash) {
            reply_int(request->reply, (int64_t)found->scores[entry->order]);
        }
        if (searching->with_point) {
            geo_reply_point(request, found->points[entry->order]);
        }
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
}

static YIELDS void
found_store(struct kv_request *request, const struct searching *searching, struct found *found)
{
    struct kv_object object;
    err_t err;

    if (!kv_lookup(request, request->argv[searching->target], 0, &object)) {
        return;
    }
    for (uint32_t i = 0; i < found->entries.count; i++) {
        struct zset_entry *entry = &found->entries.at[i];

        entry->score = searching->stores_distances ? entry->score / searching->unit
                                                   : found->scores[entry->order];
    }
    zset_entries_sort(request, &found->entries, zset_score_before);
    err =
        zset_store_reply(request, &object, &found->entries,
                         searching->origin == ORIGIN_OPTIONS ? "geosearchstore" : "georadiusstore");
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
}

static YIELDS void
search_command(struct kv_request *request, struct searching searching)
{
    struct found found = {.capacity = 0};
    struct kv_object object;
    err_t err;

    searching.unit = 1;
    if (!zset_lookup(request, request->argv[searching.source], KV_LOOKUP_READ, &object) ||
        !words_read(request, &object, &searching)) {
        return;
    }
    err = search(request, &object, &searching, &found);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (searching.order != ORDER_NONE) {
        zset_entries_sort(request, &found.entries,
                          searching.order == ORDER_NEAREST ? is_nearer : is_farther);
    }
    if (searching.count != 0) {
        found.entries.count =
            (uint32_t)MIN((uint64_t)found.entries.count, (uint64_t)searching.count);
    }
    if (searching.target == 0) {
        found_reply(request, &searching, &found);
    } else {
        found_store(request, &searching, &found);
    }
}

void
kv_command_geosearch(struct kv_request *request)
{
    search_command(request, (struct searching){.source = 1, .options = 2});
}

void
kv_command_geosearchstore(struct kv_request *request)
{
    search_command(request, (struct searching){
                                .source = 2, .options = 3, .target = 1, .is_search_store = true});
}

void
kv_command_georadius(struct kv_request *request)
{
    search_command(
        request,
        (struct searching){.origin = ORIGIN_POINT, .source = 1, .options = 6, .may_store = true});
}

void
kv_command_georadius_ro(struct kv_request *request)
{
    search_command(request, (struct searching){.origin = ORIGIN_POINT, .source = 1, .options = 6});
}

void
kv_command_georadiusbymember(struct kv_request *request)
{
    search_command(
        request,
        (struct searching){.origin = ORIGIN_MEMBER, .source = 1, .options = 5, .may_store = true});
}

void
kv_command_georadiusbymember_ro(struct kv_request *request)
{
    search_command(request, (struct searching){.origin = ORIGIN_MEMBER, .source = 1, .options = 5});
}
