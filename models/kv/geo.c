/* models/kv/geo.c - places as members of sorted sets: GEOADD, GEOPOS, GEODIST, GEOHASH. */
#include "models/kv/geo.h"

#include <stdio.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { DISTANCE_TEXT_BYTES = 128 };

/* ---- Words ---- */

bool
geo_parse_point(struct kv_request *request, const struct slice *words, struct geo_point *point_out)
{
    struct geo_point point;

    if (!zset_read_score(request, words[0], &point.longitude) ||
        !zset_read_score(request, words[1], &point.latitude)) {
        return false;
    }
    if (!geo_is_valid(point)) {
        reply_error(request->reply, "ERR invalid longitude,latitude pair %f,%f", point.longitude,
                    point.latitude);
        return false;
    }
    *point_out = point;
    return true;
}

bool
geo_parse_unit(struct kv_request *request, struct slice word, double *metres_out)
{
    static const struct {
        const char *name;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};

    for (uint32_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (kv_word_is(word, units[i].name)) {
            *metres_out = units[i].metres;
            return true;
        }
    }
    reply_error(request->reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

struct geo_point
geo_point_of(double score)
{
    /* What is no place's score gives a place nevertheless, as in Redis. */
    double low = -0x1p63;
    double high = 0x1p63;

    return geo_decode(score >= high ? UINT64_MAX : (uint64_t)(int64_t)(score < low ? low : score));
}

void
geo_reply_distance(struct kv_request *request, double distance)
{
    char text[DISTANCE_TEXT_BYTES];
    int size = snprintf(text, sizeof(text), "%.4f", distance);

    reply_bulk(request->reply, slice_of(text, MIN((size_t)size, sizeof(text) - 1)));
}

static void
coordinate_reply(struct kv_request *request, double coordinate)
{
    char text[REPLY_NUMBER_BYTES_MAX];
    size_t size = reply_format_long_double(coordinate, text);

    if (request->reply->resp == 2) {
        reply_bulk(request->reply, slice_of(text, size));
    } else {
        buf_append_byte(&request->reply->buf, ',');
        buf_append(&request->reply->buf, text, size);
        buf_append(&request->reply->buf, "\r\n", 2);
    }
}

void
geo_reply_point(struct kv_request *request, struct geo_point point)
{
    reply_array(request->reply, 2);
    coordinate_reply(request, point.longitude);
    coordinate_reply(request, point.latitude);
}

/* ---- GEOADD ---- */

/* Longitude, latitude and name of each; false after an error reply. */
static bool
places_parse(struct kv_request *request, struct zset_adding *adding)
{
    adding->scores = arena_alloc(request->arena, (adding->count + 1) * sizeof(*adding->scores));
    adding->members = arena_alloc(request->arena, (adding->count + 1) * sizeof(*adding->members));
    if (adding->scores == NULL || adding->members == NULL) {
        kv_fail(request, err_set(ERR_NO_MEMORY, "no memory for %u members", adding->count));
        return false;
    }
    for (uint32_t i = 0; i < adding->count; i++) {
        const struct slice *words = &request->argv[request->argc - 3 * (adding->count - i)];
        struct geo_point point;

        if (!geo_parse_point(request, words, &point)) {
            return false;
        }
        adding->scores[i] = (double)geo_score(point);
        adding->members[i] = words[2];
    }
    return true;
}

void
kv_command_geoadd(struct kv_request *request)
{
    struct zset_adding adding = {.nx = false};
    uint32_t at = 2;

    for (; at < request->argc; at++) {
        if (kv_word_is(request->argv[at], "nx")) {
            adding.nx = true;
        } else if (kv_word_is(request->argv[at], "xx")) {
            adding.xx = true;
        } else if (kv_word_is(request->argv[at], "ch")) {
            adding.ch = true;
        } else {
            break;
        }
    }
    if (at == request->argc || (request->argc - at) % 3 != 0 || (adding.nx && adding.xx)) {
        kv_reply_syntax_error(request);
        return;
    }
    adding.count = (request->argc - at) / 3;
    if (places_parse(request, &adding)) {
        zset_add(request, &adding);
    }
}

/* ---- Reading ---- */

/* The scores of the members argv[2], ...; false after an error reply. */
static YIELDS bool
scores_find(struct kv_request *request, uint32_t count, bool **is_in_out, double **scores_out)
{
    struct kv_object object;
    double *scores = arena_alloc(request->arena, (count + 1) * sizeof(*scores));
    bool *is_in = arena_alloc(request->arena, (count + 1) * sizeof(*is_in));
    err_t err;

    if (!zset_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return false;
    }
    if (scores == NULL || is_in == NULL) {
        TRY(err_set(ERR_NO_MEMORY, "no memory for %u members", count));
    }
    TRY(zset_find(request, &object, &request->argv[2], count, is_in, scores));
    *is_in_out = is_in;
    *scores_out = scores;
    return true;
out:
    kv_fail(request, err);
    return false;
}

void
kv_command_geopos(struct kv_request *request)
{
    uint32_t count = request->argc - 2;
    double *scores;
    bool *is_in;

    if (!scores_find(request, count, &is_in, &scores)) {
        return;
    }
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        if (is_in[i]) {
            geo_reply_point(request, geo_point_of(scores[i]));
        } else {
            reply_null_array(request->reply);
        }
    }
}

void
kv_command_geohash(struct kv_request *request)
{
    uint32_t count = request->argc - 2;
    double *scores;
    bool *is_in;

    if (!scores_find(request, count, &is_in, &scores)) {
        return;
    }
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        char text[GEO_TEXT_BYTES];

        if (is_in[i]) {
            geo_text(geo_point_of(scores[i]), text);
            reply_bulk(request->reply, slice_of(text, sizeof(text)));
        } else {
            reply_null(request->reply);
        }
    }
}

void
kv_command_geodist(struct kv_request *request)
{
    double metres = 1;
    double *scores;
    bool *is_in;

    if (request->argc > 5) {
        kv_reply_syntax_error(request);
        return;
    }
    if ((request->argc == 5 && !geo_parse_unit(request, request->argv[4], &metres)) ||
        !scores_find(request, 2, &is_in, &scores)) {
        return;
    }
    if (is_in[0] && is_in[1]) {
        geo_reply_distance(request,
                           geo_distance(geo_point_of(scores[0]), geo_point_of(scores[1])) / metres);
    } else {
        reply_null(request->reply);
    }
}
