/* models/kv/payload.c - see the header. */
#include "models/kv/payload.h"

#include "engine/base/assert.h"
#include "models/kv/crc64.h"
#include "models/kv/lzf.h"
#include "models/kv/reply.h"

#include "engine/base/poison.h"

enum {
    TYPE_STRING = 0,
    /* The first byte of a length: two bits of form, six of value. */
    LENGTH_6BIT = 0,
    LENGTH_14BIT = 1,
    LENGTH_SPECIAL = 3,
    LENGTH_32BIT = 0x80,
    LENGTH_64BIT = 0x81,
    SPECIAL_INT8 = 0,
    SPECIAL_INT16 = 1,
    SPECIAL_INT32 = 2,
    SPECIAL_LZF = 3,
    INTEGER_TEXT_MAX = 11, /* Longer texts are no 32-bit integers. */
    CHECKSUM_STEP_BYTES = 32 << 10,
    CHECKSUM_STEP_UNITS = 500,
};

/* ---- Footer ---- */

static YIELDS uint64_t
checksum(struct slice bytes)
{
    uint64_t crc = 0;

    while (bytes.size > CHECKSUM_STEP_BYTES) {
        crc = crc64(crc, slice_of(bytes.data, CHECKSUM_STEP_BYTES));
        bytes = slice_of(bytes.data + CHECKSUM_STEP_BYTES, bytes.size - CHECKSUM_STEP_BYTES);
        fiber_work(CHECKSUM_STEP_UNITS);
    }
    return crc64(crc, bytes);
}

err_t
payload_check(struct slice payload)
{
    const uint8_t *footer;

    if (payload.size < PAYLOAD_FOOTER_BYTES) {
        return err_set(ERR_INVALID, "DUMP payload version or checksum are wrong");
    }
    footer = payload.data + payload.size - PAYLOAD_FOOTER_BYTES;
    if (get_le16(footer) > PAYLOAD_VERSION_MAX ||
        checksum(slice_of(payload.data, payload.size - 8)) != get_le64(footer + 2)) {
        return err_set(ERR_INVALID, "DUMP payload version or checksum are wrong");
    }
    return ERR_OK;
}

/* ---- Reading ---- */

static bool
read_bytes(struct payload_reader *reader, size_t size, struct slice *bytes_out)
{
    if (reader->left.size < size) {
        return false;
    }
    *bytes_out = slice_of(reader->left.data, size);
    reader->left = slice_of(reader->left.data + size, reader->left.size - size);
    return true;
}

/* A length, or (*is_special_out) the number of a special form. */
static bool
read_length(struct payload_reader *reader, uint64_t *length_out, bool *is_special_out)
{
    struct slice bytes;
    uint8_t first;

    if (!read_bytes(reader, 1, &bytes)) {
        return false;
    }
    first = bytes.data[0];
    *is_special_out = first >> 6 == LENGTH_SPECIAL;
    if (first >> 6 == LENGTH_6BIT || *is_special_out) {
        *length_out = first & 0x3f;
        return true;
    }
    if (first >> 6 == LENGTH_14BIT) {
        if (!read_bytes(reader, 1, &bytes)) {
            return false;
        }
        *length_out = (uint64_t)(first & 0x3f) << 8 | bytes.data[0];
        return true;
    }
    if (first == LENGTH_32BIT && read_bytes(reader, 4, &bytes)) {
        *length_out = get_be32(bytes.data);
        return true;
    }
    if (first == LENGTH_64BIT && read_bytes(reader, 8, &bytes)) {
        *length_out = get_be64(bytes.data);
        return true;
    }
    return false;
}

err_t
payload_malformed(void)
{
    return err_set(ERR_CORRUPT, "Bad data format");
}

static err_t
read_integer(struct payload_reader *reader, uint64_t form, struct slice *string_out)
{
    char digits[24];
    struct slice bytes;
    int64_t value;

    if (!read_bytes(reader, (size_t)1 << form, &bytes)) {
        return payload_malformed();
    }
    if (form == SPECIAL_INT8) {
        value = (int8_t)bytes.data[0];
    } else if (form == SPECIAL_INT16) {
        value = (int16_t)get_le16(bytes.data);
    } else {
        value = (int32_t)get_le32(bytes.data);
    }
    *string_out = arena_copy(reader->arena, slice_of(digits, reply_format_int(value, digits)));
    return ERR_OK;
}

static err_t
too_long(uint64_t size)
{
    return err_set(ERR_LIMIT,
                   "string exceeds maximum allowed size (proto-max-bulk-len): %llu bytes",
                   (unsigned long long)size);
}

static err_t
read_compressed(struct payload_reader *reader, struct slice *string_out)
{
    uint64_t compressed_size;
    uint64_t size;
    struct slice compressed;
    bool is_special;
    bool is_sized = read_length(reader, &compressed_size, &is_special) && !is_special &&
                    read_length(reader, &size, &is_special) && !is_special;
    uint8_t *bytes;

    if (!is_sized || compressed_size == 0 || !read_bytes(reader, compressed_size, &compressed)) {
        return payload_malformed();
    }
    if (size > reader->bytes_max) {
        return too_long(size);
    }
    bytes = arena_alloc(reader->arena, size);
    if (bytes == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    if (!lzf_decompress(compressed, bytes, size)) {
        return payload_malformed();
    }
    *string_out = slice_of(bytes, size);
    return ERR_OK;
}

err_t
payload_read_text(struct payload_reader *reader, struct slice *string_out)
{
    uint64_t length;
    bool is_special;

    if (!read_length(reader, &length, &is_special)) {
        return payload_malformed();
    }
    if (is_special) {
        if (length <= SPECIAL_INT32) {
            return read_integer(reader, length, string_out);
        }
        return length == SPECIAL_LZF ? read_compressed(reader, string_out) : payload_malformed();
    }
    if (length > reader->left.size) {
        return payload_malformed();
    }
    if (length > reader->bytes_max) {
        return too_long(length);
    }
    return read_bytes(reader, (size_t)length, string_out) ? ERR_OK : payload_malformed();
}

err_t
payload_read_length(struct payload_reader *reader, uint64_t *length_out)
{
    bool is_special;

    if (!read_length(reader, length_out, &is_special) || is_special) {
        return payload_malformed();
    }
    return ERR_OK;
}

err_t
payload_read_bytes(struct payload_reader *reader, size_t size, struct slice *bytes_out)
{
    return read_bytes(reader, size, bytes_out) ? ERR_OK : payload_malformed();
}

err_t
payload_open(struct slice payload, uint64_t bytes_max, struct arena *arena,
             struct payload_reader *reader_out, uint8_t *type_out)
{
    struct payload_reader reader = {
        .left = slice_of(payload.data, payload.size - PAYLOAD_FOOTER_BYTES),
        .bytes_max = bytes_max,
        .arena = arena,
    };
    struct slice type;

    ASSERT(payload.size >= PAYLOAD_FOOTER_BYTES);
    if (!read_bytes(&reader, 1, &type)) {
        return payload_malformed();
    }
    *type_out = type.data[0];
    *reader_out = reader;
    return ERR_OK;
}

err_t
payload_end(const struct payload_reader *reader)
{
    return reader->left.size == 0 ? ERR_OK : payload_malformed();
}

const char *
payload_type_name(uint8_t type)
{
    static const char *const names[] = {
        "string",       "list",   "set",  "sorted set", "hash", "sorted set", "module value",
        "module value", NULL,     "hash", "list",       "set",  "sorted set", "hash",
        "list",         "stream", "hash", "sorted set", "list", "stream",     "set",
        "stream",       "hash",   "hash", "hash",       "hash",
    };

    return type < ARRAY_COUNT(names) ? names[type] : NULL;
}

err_t
payload_read_string(struct slice payload, uint64_t bytes_max, struct arena *arena,
                    struct slice *string_out)
{
    struct payload_reader reader;
    struct slice string;
    uint8_t type = 0;
    err_t err;

    TRY(payload_open(payload, bytes_max, arena, &reader, &type));
    if (type != TYPE_STRING) {
        const char *name = payload_type_name(type);

        return name == NULL
                   ? payload_malformed()
                   : err_set(ERR_UNSUPPORTED, "the payload holds a %s and no string", name);
    }
    TRY(payload_read_text(&reader, &string));
    TRY(payload_end(&reader));
    *string_out = string;
out:
    return err;
}

/* ---- Writing ---- */

static size_t
length_write(uint8_t out[9], uint64_t length)
{
    if (length < 1 << 6) {
        out[0] = (uint8_t)length;
        return 1;
    }
    if (length < 1 << 14) {
        put_be16(out, (uint16_t)(LENGTH_14BIT << 14 | length));
        return 2;
    }
    if (length <= UINT32_MAX) {
        out[0] = LENGTH_32BIT;
        put_be32(out + 1, (uint32_t)length);
        return 5;
    }
    out[0] = LENGTH_64BIT;
    put_be64(out + 1, length);
    return 9;
}

/* The special form of an integer; 0 when the text is none of 32 bits. */
static size_t
integer_write(uint8_t out[5], struct slice text)
{
    int64_t value;

    if (text.size > INTEGER_TEXT_MAX || !reply_parse_int(text, &value)) {
        return 0;
    }
    if (value >= INT8_MIN && value <= INT8_MAX) {
        out[0] = LENGTH_SPECIAL << 6 | SPECIAL_INT8;
        out[1] = (uint8_t)value;
        return 2;
    }
    if (value >= INT16_MIN && value <= INT16_MAX) {
        out[0] = LENGTH_SPECIAL << 6 | SPECIAL_INT16;
        put_le16(out + 1, (uint16_t)value);
        return 3;
    }
    if (value >= INT32_MIN && value <= INT32_MAX) {
        out[0] = LENGTH_SPECIAL << 6 | SPECIAL_INT32;
        put_le32(out + 1, (uint32_t)value);
        return 5;
    }
    return 0;
}

void
payload_seal(uint8_t *payload, size_t size, uint16_t version)
{
    put_le16(payload + size, version);
    put_le64(payload + size + 2, checksum(slice_of(payload, size + 2)));
}

void
payload_append_length(struct buf *out, uint64_t length)
{
    out->size += length_write(buf_reserve(out, 9), length);
}

err_t
payload_append_text(struct buf *out, struct slice string)
{
    size_t integer;

    if (!buf_try_reserve(out, string.size + PAYLOAD_OVERHEAD_MAX)) {
        return err_set_default(ERR_NO_MEMORY);
    }
    integer = integer_write(out->data + out->size, string);
    out->size += integer;
    if (integer == 0) {
        payload_append_length(out, string.size);
        buf_append(out, string.data, string.size);
    }
    return ERR_OK;
}

void
payload_finish(struct buf *out, size_t start)
{
    buf_reserve(out, PAYLOAD_FOOTER_BYTES);
    payload_seal(out->data + start, out->size - start,
                 out->data[start] >= PAYLOAD_TYPE_TIMES ? PAYLOAD_VERSION_TIMES : PAYLOAD_VERSION);
    out->size += PAYLOAD_FOOTER_BYTES;
}

err_t
payload_write_string(struct buf *out, struct slice string)
{
    size_t start = out->size;
    err_t err;

    buf_append_byte(out, TYPE_STRING);
    err = payload_append_text(out, string);
    if (err == ERR_OK) {
        payload_finish(out, start);
    } else {
        out->size = start;
    }
    return err;
}
