/* perf/bench/keyspace.c - keys, values and how they are drawn. */
#include "perf/bench/keyspace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

enum { MATERIAL_BYTES = 64 << 10 };
#define ABSENT_FROM ((uint64_t)1 << 40) /* Above any number of keys. */

/* A bijection of 64-bit numbers: the finisher of splitmix64. */
static uint64_t
mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* ---- Keys. ---- */

static uint64_t
spread_number(const struct keyspace *space, uint64_t index)
{
    uint64_t step = UINT64_MAX / space->keys;

    /* Even within each step, so that odd numbers are known to be absent. */
    return (index * step + mix(index) % step) & ~(uint64_t)1;
}

uint64_t
keyspace_number(const struct keyspace *space, uint64_t index)
{
    switch (space->order) {
    case KEYSPACE_DENSE:
        return index << 1;
    case KEYSPACE_SPREAD:
        return index < space->keys ? spread_number(space, index) : mix(index) & ~(uint64_t)1;
    case KEYSPACE_RANDOM:
        break;
    }
    return mix(index);
}

uint64_t
keyspace_absent(const struct keyspace *space, uint64_t index)
{
    if (space->order == KEYSPACE_RANDOM) {
        return mix(ABSENT_FROM + index);
    }
    return keyspace_number(space, mix(index) % space->keys) | 1;
}

void
keyspace_key(const struct keyspace *space, uint64_t number, uint8_t *out)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < KEY_BYTES_MIN; i++) {
        out[i] = (uint8_t)digits[(number >> (60 - 4 * i)) & 15];
    }
    if (space->key_bytes > KEY_BYTES_MIN) {
        memset(out + KEY_BYTES_MIN, '.', space->key_bytes - KEY_BYTES_MIN);
    }
}

/* ---- The file beside the data. ---- */

static bool
file_name(char *out, size_t size, const char *base, const char *engine)
{
    return snprintf(out, size, "%s/%s.keyspace", base, engine) < (int)size;
}

bool
keyspace_save(const struct keyspace *space, const char *base, const char *engine)
{
    char name[4096];
    FILE *file = file_name(name, sizeof(name), base, engine) ? fopen(name, "we") : NULL;
    bool is_fine;

    if (file == NULL) {
        return false;
    }
    is_fine =
        fprintf(file, "keys %llu inserted %llu key-bytes %llu value-bytes %llu order %d whole %d\n",
                (unsigned long long)space->keys, (unsigned long long)space->inserted,
                (unsigned long long)space->key_bytes, (unsigned long long)space->value_bytes,
                (int)space->order, (int)space->is_whole) > 0;
    return fclose(file) == 0 && is_fine;
}

bool
keyspace_load(struct keyspace *space, const char *base, const char *engine)
{
    char name[4096];
    FILE *file = file_name(name, sizeof(name), base, engine) ? fopen(name, "re") : NULL;
    unsigned long long keys, inserted, key_bytes, value_bytes;
    int order, whole, read;

    if (file == NULL) {
        return false;
    }
    read = fscanf(file, "keys %llu inserted %llu key-bytes %llu value-bytes %llu order %d whole %d",
                  &keys, &inserted, &key_bytes, &value_bytes, &order, &whole);
    fclose(file);
    if (read != 6 || keys == 0 || keys >= ABSENT_FROM || order < KEYSPACE_RANDOM ||
        order > KEYSPACE_SPREAD) {
        return false;
    }
    *space = (struct keyspace){.keys = keys,
                               .inserted = inserted,
                               .key_bytes = key_bytes,
                               .value_bytes = value_bytes,
                               .order = (enum keyspace_order)order,
                               .is_whole = whole != 0};
    return true;
}

/* ---- Values. ---- */

void
value_maker_init(struct value_maker *maker, uint64_t seed, size_t bytes)
{
    prng_init(&maker->prng, seed);
    maker->bytes = bytes;
    maker->material = malloc(MATERIAL_BYTES + bytes);
    maker->value = malloc(bytes + 8);
    ASSERT(maker->material != NULL);
    ASSERT(maker->value != NULL);
    for (size_t i = 0; i < MATERIAL_BYTES + bytes; i++) {
        maker->material[i] = (uint8_t)prng_next(&maker->prng);
    }
}

void
value_maker_fini(struct value_maker *maker)
{
    free(maker->material);
    free(maker->value);
}

/* number | half of the rest random | the same once more */
const uint8_t *
value_make(struct value_maker *maker, uint64_t number)
{
    size_t head = MIN(maker->bytes, sizeof(number));
    size_t half = (maker->bytes - head + 1) / 2;
    const uint8_t *from = maker->material + prng_below(&maker->prng, MATERIAL_BYTES);

    memcpy(maker->value, &number, sizeof(number));
    memcpy(maker->value + head, from, half);
    memcpy(maker->value + head + half, from, maker->bytes - head - half);
    return maker->value;
}

uint64_t
value_mark(uint64_t number, size_t bytes)
{
    return bytes >= 8 ? number : number & (((uint64_t)1 << (8 * bytes)) - 1);
}

/* ---- Zipfian ranks. ---- */

void
zipf_init(struct zipf *zipf, uint64_t count, double theta)
{
    double zeta2 = 1 + pow(0.5, theta);

    zipf->count = count;
    zipf->theta = theta;
    zipf->alpha = 1 / (1 - theta);
    zipf->zeta = 0;
    for (uint64_t i = 1; i <= count; i++) {
        zipf->zeta += pow((double)i, -theta);
    }
    zipf->eta = (1 - pow(2.0 / (double)count, 1 - theta)) / (1 - zeta2 / zipf->zeta);
}

uint64_t
zipf_draw(const struct zipf *zipf, struct prng *prng)
{
    double u = (double)(prng_next(prng) >> 11) * 0x1p-53;
    double uz = u * zipf->zeta;
    uint64_t rank;

    if (uz < 1) {
        return 0;
    }
    if (uz < 1 + pow(0.5, zipf->theta)) {
        return MIN((uint64_t)1, zipf->count - 1);
    }
    rank = (uint64_t)((double)zipf->count * pow(zipf->eta * u - zipf->eta + 1, zipf->alpha));
    return MIN(rank, zipf->count - 1);
}

uint64_t
zipf_scatter(const struct zipf *zipf, uint64_t rank)
{
    return mix(rank) % zipf->count;
}
