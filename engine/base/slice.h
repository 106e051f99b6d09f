/* engine/base/slice.h - a borrowed run of bytes. Never owns; never ends in a NUL by itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data;
    size_t size;
};

#define SLICE(literal) ((struct slice){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline struct slice
slice_of(const void *data, size_t size)
{
    return (struct slice){(const uint8_t *)data, size};
}

static inline struct slice
slice_from_text(const char *text)
{
    return slice_of(text, strlen(text));
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Byte order, a prefix before what extends it: <0, 0 or >0. */
static inline int
slice_compare(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static inline bool
slice_starts_with(struct slice whole, struct slice prefix)
{
    return whole.size >= prefix.size &&
           (prefix.size == 0 || memcmp(whole.data, prefix.data, prefix.size) == 0);
}

/* Fixed-width integers in stored formats are little-endian unless they are part of a key;
 * those in keys are big-endian so that memcmp orders them. */
static inline void
put_le16(uint8_t *out, uint16_t value)
{
    memcpy(out, &value, sizeof(value));
}

static inline void
put_le32(uint8_t *out, uint32_t value)
{
    memcpy(out, &value, sizeof(value));
}

static inline void
put_le64(uint8_t *out, uint64_t value)
{
    memcpy(out, &value, sizeof(value));
}

static inline uint16_t
get_le16(const uint8_t *in)
{
    uint16_t value;

    memcpy(&value, in, sizeof(value));
    return value;
}

static inline uint32_t
get_le32(const uint8_t *in)
{
    uint32_t value;

    memcpy(&value, in, sizeof(value));
    return value;
}

static inline uint64_t
get_le64(const uint8_t *in)
{
    uint64_t value;

    memcpy(&value, in, sizeof(value));
    return value;
}

static inline void
put_be16(uint8_t *out, uint16_t value)
{
    put_le16(out, __builtin_bswap16(value));
}

static inline void
put_be32(uint8_t *out, uint32_t value)
{
    put_le32(out, __builtin_bswap32(value));
}

static inline void
put_be64(uint8_t *out, uint64_t value)
{
    put_le64(out, __builtin_bswap64(value));
}

static inline uint16_t
get_be16(const uint8_t *in)
{
    return __builtin_bswap16(get_le16(in));
}

static inline uint32_t
get_be32(const uint8_t *in)
{
    return __builtin_bswap32(get_le32(in));
}

static inline uint64_t
get_be64(const uint8_t *in)
{
    return __builtin_bswap64(get_le64(in));
}

/* LEB128 varints. put returns the bytes written (at most 10); get returns the bytes read, or 0
 * when the input ends early or the number does not fit 64 bits. */
enum { VARINT_BYTES_MAX = 10 };

static inline size_t
put_varint(uint8_t *out, uint64_t value)
{
    size_t used = 0;

    while (value >= 0x80) {
        out[used++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[used++] = (uint8_t)value;
    return used;
}

static inline size_t
get_varint(const uint8_t *in, const uint8_t *end, uint64_t *value_out)
{
    uint64_t value = 0;
    size_t used = 0;

    for (unsigned shift = 0; shift < 64 && in + used < end; shift += 7) {
        uint8_t byte = in[used++];

        if (shift == 63 && byte > 1) {
            return 0;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value_out = value;
            return used;
        }
    }
    return 0;
}
