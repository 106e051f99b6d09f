/* models/kv/geohash.h - places on Earth as numbers of 52 bits, and distances between them.
 *
 * A longitude and a latitude are halved 26 times each; the bits interleave, the longitude's above
 * the latitude's: so the cells of the first 2n bits are squares on the map whose places have
 * neighbouring numbers. Latitudes go to 85.05112878 degrees, where a square map of the world ends.
 * Numbers, cells and formulas are Redis's, so that scores and replies are the same. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { GEO_STEPS_MAX = 26, GEO_TEXT_BYTES = 11 };

#define GEO_LONGITUDE_MAX 180.0
#define GEO_LATITUDE_MAX  85.05112878

struct geo_point {
    double longitude, latitude; /* Degrees. */
};

/* A cell: 2 * steps bits. */
struct geo_cell {
    uint64_t bits;
    uint8_t steps; /* 0: none */
};

struct geo_box {
    double west, south, east, north;
};

bool geo_is_valid(struct geo_point point);
/* The point is valid. */
struct geo_cell geo_encode(struct geo_point point, uint8_t steps);
struct geo_box geo_cell_box(struct geo_cell cell);
/* The middle of the smallest cell. */
struct geo_point geo_decode(uint64_t bits);
static inline uint64_t
geo_score(struct geo_point point)
{
    return geo_encode(point, GEO_STEPS_MAX).bits;
}
/* The numbers of a cell's places: [first, *end_out). */
uint64_t geo_cell_scores(struct geo_cell cell, uint64_t *end_out);
/* The standard geohash, of which the last character is always 0. */
void geo_text(struct geo_point point, char text[GEO_TEXT_BYTES]);
/* Along a great circle, in metres. */
double geo_distance(struct geo_point a, struct geo_point b);

/* What is searched for: all lengths in metres. */
struct geo_shape {
    struct geo_point center;
    bool is_box;
    double radius;
    double width, height;
};
/* In the shape? Then *distance_out is that from its centre. */
bool geo_shape_has(const struct geo_shape *shape, struct geo_point point, double *distance_out);

/* The cells that cover a shape: the one in the middle, and those around it that are needed. */
enum { GEO_CELLS_MAX = 9 };
void geo_shape_cells(const struct geo_shape *shape, struct geo_cell cells_out[GEO_CELLS_MAX]);
