/* models/kv/geohash.c - see the header. */
#include "models/kv/geohash.h"

#include <math.h>

#include "engine/base/poison.h"

enum { LATITUDE_STEPS_FAR = 66, LATITUDE_STEPS_POLE = 80, CHARACTER_BITS = 5 };

#define EARTH_RADIUS_M 6372797.560856
#define MERCATOR_MAX_M 20037726.37

static double
radians(double degrees)
{
    return degrees * (M_PI / 180.0);
}

static double
degrees(double radians)
{
    return radians / (M_PI / 180.0);
}

/* ---- Cells ---- */

/* The bits of a number at every second place. */
static uint64_t
spread_bits(uint32_t number)
{
    static const uint64_t masks[] = {
        UINT64_C(0x0000ffff0000ffff), UINT64_C(0x00ff00ff00ff00ff), UINT64_C(0x0f0f0f0f0f0f0f0f),
        UINT64_C(0x3333333333333333), UINT64_C(0x5555555555555555),
    };
    uint64_t bits = number;

    for (uint32_t i = 0, shift = 16; i < 5; i++, shift /= 2) {
        bits = (bits | bits << shift) & masks[i];
    }
    return bits;
}

static uint32_t
gather_bits(uint64_t bits)
{
    static const uint64_t masks[] = {
        UINT64_C(0x3333333333333333), UINT64_C(0x0f0f0f0f0f0f0f0f), UINT64_C(0x00ff00ff00ff00ff),
        UINT64_C(0x0000ffff0000ffff), UINT64_C(0x00000000ffffffff),
    };

    bits &= UINT64_C(0x5555555555555555);
    for (uint32_t i = 0, shift = 1; i < 5; i++, shift *= 2) {
        bits = (bits | bits >> shift) & masks[i];
    }
    return (uint32_t)bits;
}

bool
geo_is_valid(struct geo_point point)
{
    return point.longitude >= -GEO_LONGITUDE_MAX && point.longitude <= GEO_LONGITUDE_MAX &&
           point.latitude >= -GEO_LATITUDE_MAX && point.latitude <= GEO_LATITUDE_MAX;
}

static struct geo_cell
encode_within(struct geo_point point, double latitude_max, uint8_t steps)
{
    double latitude = (point.latitude + latitude_max) / (2 * latitude_max);
    double longitude = (point.longitude + GEO_LONGITUDE_MAX) / (2 * GEO_LONGITUDE_MAX);
    double parts = (double)(UINT64_C(1) << steps);

    return (struct geo_cell){
        .bits = spread_bits((uint32_t)(latitude * parts)) |
                spread_bits((uint32_t)(longitude * parts)) << 1,
        .steps = steps,
    };
}

struct geo_cell
geo_encode(struct geo_point point, uint8_t steps)
{
    return encode_within(point, GEO_LATITUDE_MAX, steps);
}

struct geo_box
geo_cell_box(struct geo_cell cell)
{
    double parts = (double)(UINT64_C(1) << cell.steps);
    double latitude = gather_bits(cell.bits);
    double longitude = gather_bits(cell.bits >> 1);

    return (struct geo_box){
        .west = -GEO_LONGITUDE_MAX + longitude / parts * (2 * GEO_LONGITUDE_MAX),
        .east = -GEO_LONGITUDE_MAX + (longitude + 1) / parts * (2 * GEO_LONGITUDE_MAX),
        .south = -GEO_LATITUDE_MAX + latitude / parts * (2 * GEO_LATITUDE_MAX),
        .north = -GEO_LATITUDE_MAX + (latitude + 1) / parts * (2 * GEO_LATITUDE_MAX),
    };
}

struct geo_point
geo_decode(uint64_t bits)
{
    struct geo_box box = geo_cell_box((struct geo_cell){bits, GEO_STEPS_MAX});
    double longitude = (box.west + box.east) / 2;
    double latitude = (box.south + box.north) / 2;

    return (struct geo_point){
        .longitude = fmax(fmin(longitude, GEO_LONGITUDE_MAX), -GEO_LONGITUDE_MAX),
        .latitude = fmax(fmin(latitude, GEO_LATITUDE_MAX), -GEO_LATITUDE_MAX),
    };
}

uint64_t
geo_cell_scores(struct geo_cell cell, uint64_t *end_out)
{
    uint32_t shift = 2 * (GEO_STEPS_MAX - cell.steps);

    *end_out = (cell.bits + 1) << shift;
    return cell.bits << shift;
}

void
geo_text(struct geo_point point, char text[GEO_TEXT_BYTES])
{
    static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    struct geo_cell cell = encode_within(point, 90, GEO_STEPS_MAX);

    /* 52 bits make ten characters. */
    for (uint32_t i = 0; i + 1 < GEO_TEXT_BYTES; i++) {
        text[i] = alphabet[cell.bits >> (2 * GEO_STEPS_MAX - CHARACTER_BITS * (i + 1)) & 0x1f];
    }
    text[GEO_TEXT_BYTES - 1] = alphabet[0];
}

/* ---- Distances ---- */

static double
latitude_distance(double a, double b)
{
    return EARTH_RADIUS_M * fabs(radians(b) - radians(a));
}

/* By the haversine formula. */
double
geo_distance(struct geo_point a, struct geo_point b)
{
    double v = sin((radians(b.longitude) - radians(a.longitude)) / 2);
    double u;

    if (v == 0.0) { /* More precise than what follows. */
        return latitude_distance(a.latitude, b.latitude);
    }
    u = sin((radians(b.latitude) - radians(a.latitude)) / 2);
    return 2.0 * EARTH_RADIUS_M *
           asin(sqrt(u * u + cos(radians(a.latitude)) * cos(radians(b.latitude)) * v * v));
}

/* ---- Shapes ---- */

bool
geo_shape_has(const struct geo_shape *shape, struct geo_point point, double *distance_out)
{
    double distance;

    if (shape->is_box) {
        struct geo_point beside = {shape->center.longitude, point.latitude};

        if (latitude_distance(point.latitude, shape->center.latitude) > shape->height / 2 ||
            geo_distance(point, beside) > shape->width / 2) {
            return false;
        }
    }
    distance = geo_distance(shape->center, point);
    if (!shape->is_box && distance > shape->radius) {
        return false;
    }
    *distance_out = distance;
    return true;
}

/* The smallest box around the shape, measured on the side that is nearer to a pole. */
static struct geo_box
shape_box(const struct geo_shape *shape)
{
    double height = shape->is_box ? shape->height / 2 : shape->radius;
    double width = shape->is_box ? shape->width / 2 : shape->radius;
    double latitude = shape->center.latitude;
    double up = degrees(height / EARTH_RADIUS_M);
    double edge = latitude < 0 ? latitude - up : latitude + up;
    double aside = degrees(width / EARTH_RADIUS_M / cos(radians(edge)));

    return (struct geo_box){
        .west = shape->center.longitude - aside,
        .east = shape->center.longitude + aside,
        .south = latitude - up,
        .north = latitude + up,
    };
}

/* Of cells so large that nine cover the shape, in most cases. */
static uint8_t
steps_for(double radius_m, double latitude)
{
    int steps = 1;

    if (radius_m == 0) {
        return GEO_STEPS_MAX;
    }
    for (; radius_m < MERCATOR_MAX_M; radius_m *= 2) {
        steps++;
    }
    steps -= 2;
    steps -= fabs(latitude) > LATITUDE_STEPS_FAR; /* Cells are narrower there. */
    steps -= fabs(latitude) > LATITUDE_STEPS_POLE;
    return (uint8_t)(steps < 1 ? 1 : steps > GEO_STEPS_MAX ? GEO_STEPS_MAX : steps);
}

/* The cell so many cells to the east and to the north; round the world in both. A place on the last
 * meridian or parallel is in a cell beyond the last one, which a move along it does not leave. */
static struct geo_cell
cell_beside(struct geo_cell cell, int east, int north)
{
    uint32_t mask = (uint32_t)(UINT64_C(1) << cell.steps) - 1;
    uint32_t longitude = gather_bits(cell.bits >> 1) + (uint32_t)east;
    uint32_t latitude = gather_bits(cell.bits) + (uint32_t)north;

    longitude &= east != 0 ? mask : UINT32_MAX;
    latitude &= north != 0 ? mask : UINT32_MAX;
    return (struct geo_cell){
        .bits = spread_bits(latitude) | spread_bits(longitude) << 1,
        .steps = cell.steps,
    };
}

/* In the order in which Redis visits them: the middle, N, S, E, W, NE, NW, SE, SW. */
static const struct {
    int8_t east, north;
} directions[GEO_CELLS_MAX] = {
    {0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1},
};

/* Does the ring of cells around this one reach as far as the shape? */
static bool
is_covered(struct geo_cell cell, const struct geo_box *needed)
{
    return geo_cell_box(cell_beside(cell, 0, 1)).north >= needed->north &&
           geo_cell_box(cell_beside(cell, 0, -1)).south <= needed->south &&
           geo_cell_box(cell_beside(cell, 1, 0)).east >= needed->east &&
           geo_cell_box(cell_beside(cell, -1, 0)).west <= needed->west;
}

void
geo_shape_cells(const struct geo_shape *shape, struct geo_cell cells_out[GEO_CELLS_MAX])
{
    double radius_m =
        shape->is_box
            ? sqrt(shape->width / 2 * (shape->width / 2) + shape->height / 2 * (shape->height / 2))
            : shape->radius;
    struct geo_cell middle = geo_encode(shape->center, steps_for(radius_m, shape->center.latitude));
    struct geo_box needed = shape_box(shape);
    struct geo_box box;

    if (middle.steps > 1 && !is_covered(middle, &needed)) {
        middle = geo_encode(shape->center, middle.steps - 1);
    }
    box = geo_cell_box(middle);
    for (uint32_t i = 0; i < GEO_CELLS_MAX; i++) {
        int east = directions[i].east;
        int north = directions[i].north;
        /* The middle reaches beyond the shape on that side. */
        bool is_useless =
            (north < 0 && box.south < needed.south) || (north > 0 && box.north > needed.north) ||
            (east < 0 && box.west < needed.west) || (east > 0 && box.east > needed.east);

        cells_out[i] = is_useless && middle.steps >= 2 ? (struct geo_cell){0}
                                                       : cell_beside(middle, east, north);
    }
}
