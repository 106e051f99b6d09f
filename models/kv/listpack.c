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

/* ---- Writing ---- */

/* Bytes of the encoding and the value. */
static size_t
integer_size(int64_t value)
{
    return value >= 0 && value < 128                ? 1
           : value >= -4096 && value < 4096         ? 2
           : value == (int16_t)value                ? 3
           : value >= -(1 << 23) && value < 1 << 23 ? 4
           : value == (int32_t)value                ? 5
                                                    : 9;
}

static uint64_t
string_size(uint64_t bytes)
{
    return (bytes < 64 ? 1 : bytes < 4096 ? 2 : 5) + bytes;
}

uint64_t
listpack_integer_bytes(int64_t value)
{
    size_t size = integer_size(value);

    return size + back_size(size);
}

uint64_t
listpack_text_bytes(struct slice text)
{
    int64_t number;
    uint64_t size = reply_parse_int(text, &number) ? integer_size(number) : string_size(text.size);

    return size + back_size(size);
}

/* The length for walking backward: seven bits a byte, the highest first, and in all bytes but the
 * first the bit that says that another lies before it. */
static void
back_append(struct buf *out, uint64_t bytes)
{
    size_t count = back_size(bytes);

    for (size_t i = 0; i < count; i++) {
        uint8_t part = (uint8_t)(bytes >> (7 * (count - 1 - i)) & 0x7f);

        buf_append_byte(out, i == 0 ? part : (uint8_t)(part | 0x80));
    }
}

size_t
listpack_begin(struct buf *out)
{
    size_t start = out->size;

    memset(buf_reserve(out, HEADER_BYTES), 0, HEADER_BYTES);
    out->size += HEADER_BYTES;
    return start;
}

void
listpack_append_integer(struct buf *out, int64_t value)
{
    size_t size = integer_size(value);

    if (size == 1) {
        buf_append_byte(out, (uint8_t)value);
    } else if (size == 2) {
        buf_append_byte(out, (uint8_t)(0xc0 | ((uint64_t)value >> 8 & 0x1f)));
        buf_append_byte(out, (uint8_t)value);
    } else {
        uint8_t bytes[8];

        put_le64(bytes, (uint64_t)value);
        buf_append_byte(out, (uint8_t)(size == 9 ? 0xf4 : 0xf1 + size - 3));
        buf_append(out, bytes, size - 1);
    }
    back_append(out, size);
}

err_t
listpack_append_text(struct buf *out, struct slice text)
{
    uint8_t length[4];
    int64_t number;

    if (reply_parse_int(text, &number)) {
        listpack_append_integer(out, number);
        return ERR_OK;
    }
    if (!buf_try_reserve(out, text.size + HEADER_BYTES + 5)) {
        return err_set_default(ERR_NO_MEMORY);
    }
    if (text.size < 64) {
        buf_append_byte(out, (uint8_t)(0x80 | text.size));
    } else if (text.size < 4096) {
        buf_append_byte(out, (uint8_t)(0xe0 | text.size >> 8));
        buf_append_byte(out, (uint8_t)text.size);
    } else {
        put_le32(length, (uint32_t)text.size);
        buf_append_byte(out, 0xf0);
        buf_append(out, length, sizeof(length));
    }
    buf_append(out, text.data, text.size);
    back_append(out, string_size(text.size));
    return ERR_OK;
}

err_t
listpack_finish(struct buf *out, size_t start, uint64_t elements)
{
    size_t size;

    buf_append_byte(out, END);
    size = out->size - start;
    if (size > UINT32_MAX) {
        return err_set(ERR_LIMIT, "a listpack of %zu bytes is longer than one can be", size);
    }
    put_le32(out->data + start, (uint32_t)size);
    put_le16(out->data + start + 4,
             (uint16_t)(elements < LISTPACK_COUNT_MAX ? elements : LISTPACK_COUNT_MAX));
    return ERR_OK;
}
