/* engine/base/prng.h - xoshiro256** (Blackman and Vigna, 2018): fast, seeded, not for secrets. */
#pragma once

#include <stdint.h>

struct prng {
    uint64_t state[4];
};

/* Fills the state from the seed with splitmix64. */
void prng_init(struct prng *prng, uint64_t seed);
uint64_t prng_next(struct prng *prng);
/* 0..bound-1, without modulo bias; bound > 0. */
uint64_t prng_below(struct prng *prng, uint64_t bound);
