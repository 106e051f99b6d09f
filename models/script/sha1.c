/* models/script/sha1.c - SHA-1 after FIPS 180-4, section 6.1. */
#include "models/script/sha1.h"

#include "engine/base/poison.h"

enum { BLOCK_BYTES = 64, ROUNDS = 80, LENGTH_BYTES = 8 };

static inline uint32_t
rotate_left(uint32_t value, uint32_t bits)
{
    return value << bits | value >> (32 - bits);
}

static inline uint32_t
word_get(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void
word_put(uint8_t *at, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static void
block_add(uint32_t state[5], const uint8_t block[BLOCK_BYTES])
{
    static const uint32_t constants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t words[ROUNDS];
    uint32_t a = state[0];
    uint32_t b = state[1];
    uint32_t c = state[2];
    uint32_t d = state[3];
    uint32_t e = state[4];

    for (uint32_t i = 0; i < ROUNDS; i++) {
        words[i] =
            i < 16 ? word_get(block + 4 * i)
                   : rotate_left(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    }
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t mix = i < 20              ? (b & c) | (~b & d)
                       : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d)
                                           : b ^ c ^ d;
        uint32_t next = rotate_left(a, 5) + mix + e + constants[i / 20] + words[i];

        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void
sha1(struct slice bytes, uint8_t out[SHA1_BYTES])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t tail[2 * BLOCK_BYTES] = {0};
    size_t rest = bytes.size % BLOCK_BYTES;
    size_t tail_bytes = rest + 1 + LENGTH_BYTES <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;

    for (size_t at = 0; at + BLOCK_BYTES <= bytes.size; at += BLOCK_BYTES) {
        block_add(state, bytes.data + at);
    }
    if (rest > 0) {
        memcpy(tail, bytes.data + bytes.size - rest, rest);
    }
    tail[rest] = 0x80;
    word_put(tail + tail_bytes - 8, (uint32_t)((uint64_t)bytes.size >> 29));
    word_put(tail + tail_bytes - 4, (uint32_t)((uint64_t)bytes.size << 3));
    for (size_t at = 0; at < tail_bytes; at += BLOCK_BYTES) {
        block_add(state, tail + at);
    }
    for (uint32_t i = 0; i < 5; i++) {
        word_put(out + 4 * i, state[i]);
    }
}

void
sha1_hex(struct slice bytes, char out[SHA1_HEX_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[SHA1_BYTES];

    sha1(bytes, hash);
    for (uint32_t i = 0; i < SHA1_BYTES; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[SHA1_HEX_BYTES] = '\0';
}
