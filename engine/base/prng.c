/* engine/base/prng.c - xoshiro256** by Blackman and Vigna ("Scrambled linear pseudorandom number
 * generators", 2018), seeded by splitmix64; bounded numbers by Lemire's multiplication ("Fast
 * random integer generation in an interval", 2019). */
#include "engine/base/prng.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

static uint64_t
prng_rotate(uint64_t value, unsigned bits)
{
    return (value << bits) | (value >> (64 - bits));
}

void
prng_init(struct prng *prng, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t mixed;

        seed += UINT64_C(0x9e3779b97f4a7c15);
        mixed = seed;
        mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
        prng->state[i] = mixed ^ (mixed >> 31);
    }
}

uint64_t
prng_next(struct prng *prng)
{
    uint64_t *state = prng->state;
    uint64_t result = prng_rotate(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;

    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = prng_rotate(state[3], 45);
    return result;
}

uint64_t
prng_below(struct prng *prng, uint64_t bound)
{
    unsigned __int128 product;

    ASSERT(bound > 0);
    product = (unsigned __int128)prng_next(prng) * bound;
    if ((uint64_t)product < bound) {
        /* The low halves below 2^64 mod bound are those that would come once too often. */
        uint64_t threshold = -bound % bound;

        while ((uint64_t)product < threshold) {
            product = (unsigned __int128)prng_next(prng) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}
