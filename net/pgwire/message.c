/* net/pgwire/message.c - fields of messages. Integers are big-endian. */
#include "net/pgwire/message.h"

#include "engine/base/poison.h"

uint8_t
message_byte(struct message_reader *reader)
{
    struct slice bytes = message_bytes(reader, 1);

    return bytes.size > 0 ? bytes.data[0] : 0;
}

uint16_t
message_int16(struct message_reader *reader)
{
    struct slice bytes = message_bytes(reader, 2);

    return bytes.size > 0 ? get_be16(bytes.data) : 0;
}

uint32_t
message_int32(struct message_reader *reader)
{
    struct slice bytes = message_bytes(reader, 4);

    return bytes.size > 0 ? get_be32(bytes.data) : 0;
}

const char *
message_text(struct message_reader *reader)
{
    const uint8_t *end =
        reader->is_bad ? NULL : memchr(reader->at, '\0', (size_t)(reader->end - reader->at));
    const char *text = (const char *)reader->at;

    if (end == NULL) {
        reader->is_bad = true;
        return "";
    }
    reader->at = end + 1;
    return text;
}

struct slice
message_bytes(struct message_reader *reader, size_t size)
{
    struct slice bytes;

    if (reader->is_bad || (size_t)(reader->end - reader->at) < size) {
        reader->is_bad = true;
        return slice_of(NULL, 0);
    }
    bytes = slice_of(reader->at, size);
    reader->at += size;
    return bytes;
}

size_t
message_begin(struct buf *out, char type)
{
    buf_append_byte(out, (uint8_t)type);
    message_put_int32(out, 0);
    return out->size - 4;
}

void
message_end(struct buf *out, size_t begun)
{
    put_be32(out->data + begun, (uint32_t)(out->size - begun));
}

void
message_put_int16(struct buf *out, uint16_t value)
{
    put_be16(buf_reserve(out, 2), value);
    out->size += 2;
}

void
message_put_int32(struct buf *out, uint32_t value)
{
    put_be32(buf_reserve(out, 4), value);
    out->size += 4;
}

void
message_put_text(struct buf *out, const char *text)
{
    buf_append(out, text, strlen(text) + 1);
}

void
message_put_slice_text(struct buf *out, struct slice text)
{
    buf_append(out, text.data, text.size);
    buf_append_byte(out, 0);
}

void
message_empty(struct buf *out, char type)
{
    message_end(out, message_begin(out, type));
}
