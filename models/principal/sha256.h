/* models/principal/sha256.h - SHA-256 (FIPS 180-4), of passwords. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"

enum { SHA256_BYTES = 32, SHA256_BLOCK_BYTES = 64 };

void sha256(struct slice bytes, uint8_t digest_out[SHA256_BYTES]);

/* By parts, for who hashes many texts that begin alike: a copied state is a place to go on from. */
struct sha256_state {
    uint32_t words[8];
};
struct sha256_state sha256_begin(void);
void sha256_block(struct sha256_state *state, const uint8_t block[SHA256_BLOCK_BYTES]);
/* The rest, of any size; `before` bytes (whole blocks) went into the state already. */
void sha256_end(const struct sha256_state *state, uint64_t before, struct slice rest,
                uint8_t digest_out[SHA256_BYTES]);
