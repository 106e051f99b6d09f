/* models/kv/listpack.c - see the header. */
#include "models/kv/listpack.h"

#include "models/kv/payload.h"
#include "models/kv/reply.h"

#include "engine/base/poison.h"

enum { HEADER_BYTES = 6, END = 0xff };

err_t
listpack_open(struct slice bytes, struct listpack *pack_out)
{
    if (bytes.size < HEADER_BYTES + 1 || get_le32(bytes.data) != bytes.size ||
        bytes.data[bytes.size - 1] != END) {
        return payload_malformed();
    }
    *pack_out =
        (struct listpack){slice_of(bytes.data + HEADER_BYTES, bytes.size - HEADER_BYTES), false};
    return ERR_OK;
}

/* What an encoding says: how many bytes it and the value take. */
struct element {
    size_t header;
    uint64_t bytes;
    bool is_integer;
    int64_t integer;
};

static int64_t
signed_of(const uint8_t *at, uint32_t bytes)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return (int64_t)(value << (64 - 8 * bytes)) >> (64 - 8 * bytes);
}

static bool
integer_read(struct slice left, struct element *element)
{
    static const uint8_t widths[] = {2, 3, 4, 8};
    uint8_t first = left.data[0];
    uint32_t width;

    if (first < 0xf1 || first > 0xf4) {
        return false;
    }
    width = widths[first - 0xf1];
    if (left.size < 1 + width) {
        return false;
    }
    *element = (struct element){1, width, true, signed_of(left.data + 1, width)};
    return true;
}

static bool
element_read(struct slice left, struct element *element)
{
    uint8_t first = left.data[0];

    if (first < 0x80) { /* 0xxxxxxx: a number of 7 bits */
        *element = (struct element){1, 0, true, first};
    } else if (first < 0xc0) { /* 10xxxxxx: a string of up to 63 bytes */
        *element = (struct element){1, first & 0x3f, false, 0};
    } else if (first < 0xe0) { /* 110xxxxx yyyyyyyy: a signed number of 13 bits */
        int64_t value;

        if (left.size < 2) {
            return false;
        }
        value = (first & 0x1f) << 8 | left.data[1];
        *element = (struct element){2, 0, true, value >= 1 << 12 ? value - (1 << 13) : value};
    } else if (first < 0xf0) { /* 1110xxxx yyyyyyyy: a string of up to 4095 bytes */
        if (left.size < 2) {
            return false;
        }
        *element = (struct element){2, (uint64_t)(first & 0x0f) << 8 | left.data[1], false, 0};
    } else if (first == 0xf0) { /* and 4 bytes of length */
        if (left.size < 5) {
            return false;
        }
        *element = (struct element){5, get_le32(left.data + 1), false, 0};
    } else {
        return integer_read(left, element);
    }
    return true;
}

/* Bytes of the length for walking backward. */
static size_t
back_size(uint64_t bytes)
{
    return bytes < 1 << 7 ? 1 : bytes < 1 << 14 ? 2 : bytes < 1 << 21 ? 3 : bytes < 1 << 28 ? 4 : 5;
}

bool
listpack_next(struct listpack *pack, struct arena *arena, struct slice *item_out)
{
    struct element element;
    uint64_t size;

    if (pack->is_broken || pack->left.size <= 1) {
        return false;
    }
    if (!element_read(pack->left, &element)) {
        pack->is_broken = true;
        return false;
    }
    size = element.header + element.bytes;
    size += back_size(size);
    if (size >= pack->left.size) { /* The last byte is the end's. */
        pack->is_broken = true;
        return false;
    }
    if (element.is_integer) {
        char digits[24];

        *item_out = arena_copy(arena, slice_of(digits, reply_format_int(element.integer, digits)));
    } else {
        *item_out = slice_of(pack->left.data + element.header, (size_t)element.bytes);
    }
    pack->left = slice_of(pack->left.data + size, pack->left.size - (size_t)size);
    return true;
}

err_t
listpack_end(const struct listpack *pack)
{
    return !pack->is_broken && pack->left.size == 1 && pack->left.data[0] == END
               ? ERR_OK
               : payload_malformed();
}
