/* models/kv/stream_id.c - ids of stream entries: milliseconds and a sequence number. */
#include "models/kv/stream.h"

#include "engine/base/poison.h"

enum {
    ID_TEXT_MAX = 127, /* Longer texts are no ids. */
    ID_DIGITS_MAX = 2 * 20 + 2,
};

bool
stream_id_increment(struct stream_id *id)
{
    if (id->seq == UINT64_MAX && id->ms == UINT64_MAX) {
        return false;
    }
    id->ms += id->seq == UINT64_MAX;
    id->seq++;
    return true;
}

bool
stream_id_decrement(struct stream_id *id)
{
    if (id->seq == 0 && id->ms == 0) {
        return false;
    }
    id->ms -= id->seq == 0;
    id->seq--;
    return true;
}

void
stream_id_encode(uint8_t out[STREAM_ID_BYTES], struct stream_id id)
{
    put_be64(out, id.ms);
    put_be64(out + 8, id.seq);
}

struct stream_id
stream_id_decode(const uint8_t in[STREAM_ID_BYTES])
{
    return (struct stream_id){get_be64(in), get_be64(in + 8)};
}

static size_t
format_unsigned(uint64_t value, char *out)
{
    size_t size = 1;

    for (uint64_t above = value; above >= 10; above /= 10) {
        size++;
    }
    for (size_t at = size; at > 0; value /= 10) {
        out[--at] = (char)('0' + value % 10);
    }
    return size;
}

void
stream_reply_id(struct reply *reply, struct stream_id id)
{
    char text[ID_DIGITS_MAX];
    size_t size = format_unsigned(id.ms, text);

    text[size++] = '-';
    size += format_unsigned(id.seq, text + size);
    reply_bulk(reply, slice_of(text, size));
}

/* Leading zeros are fine, and so is a plus sign; a minus sign is not. */
static bool
parse_unsigned(struct slice text, uint64_t *value_out)
{
    size_t at = text.size > 0 && text.data[0] == '+' ? 1 : 0;
    uint64_t value = 0;

    if (at == text.size) {
        return false;
    }
    for (; at < text.size; at++) {
        uint8_t digit = (uint8_t)(text.data[at] - '0');

        if (digit > 9 || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *value_out = value;
    return true;
}

/* ms, ms-seq, or (has_seq_out) ms-*. */
static bool
parse_parts(struct slice text, uint64_t missing_seq, struct stream_id *id_out, bool *has_seq_out)
{
    const uint8_t *dash =
        text.size == 0 || text.size > ID_TEXT_MAX ? NULL : memchr(text.data, '-', text.size);
    size_t ms_size = dash == NULL ? text.size : (size_t)(dash - text.data);
    struct stream_id id = {.seq = missing_seq};
    struct slice seq;

    if (text.size > ID_TEXT_MAX || !parse_unsigned(slice_of(text.data, ms_size), &id.ms)) {
        return false;
    }
    if (dash != NULL) {
        seq = slice_of(dash + 1, text.size - ms_size - 1);
        if (has_seq_out != NULL && slice_equal(seq, SLICE("*"))) {
            *has_seq_out = false;
            id.seq = 0;
        } else if (!parse_unsigned(seq, &id.seq)) {
            return false;
        }
    }
    *id_out = id;
    return true;
}

static bool
invalid(struct kv_request *request)
{
    reply_error(request->reply, "ERR Invalid stream ID specified as stream command argument");
    return false;
}

bool
stream_id_parse_quiet(struct slice text, uint64_t missing_seq, struct stream_id *id_out)
{
    return parse_parts(text, missing_seq, id_out, NULL);
}

bool
stream_id_parse(struct kv_request *request, struct slice text, uint64_t missing_seq,
                struct stream_id *id_out)
{
    return parse_parts(text, missing_seq, id_out, NULL) || invalid(request);
}

bool
stream_id_parse_new(struct kv_request *request, struct slice text, struct stream_id *id_out,
                    bool *has_seq_out)
{
    *has_seq_out = true;
    return parse_parts(text, 0, id_out, has_seq_out) || invalid(request);
}

bool
stream_id_parse_any(struct kv_request *request, struct slice text, uint64_t missing_seq,
                    struct stream_id *id_out)
{
    if (slice_equal(text, SLICE("-"))) {
        *id_out = (struct stream_id){0};
        return true;
    }
    if (slice_equal(text, SLICE("+"))) {
        *id_out = STREAM_ID_MAX;
        return true;
    }
    return stream_id_parse(request, text, missing_seq, id_out);
}

static bool
is_excluding(struct slice text)
{
    return text.size > 1 && text.data[0] == '(';
}

bool
stream_id_parse_start(struct kv_request *request, struct slice text, struct stream_id *id_out)
{
    if (!is_excluding(text)) {
        return stream_id_parse_any(request, text, 0, id_out);
    }
    if (!stream_id_parse(request, slice_of(text.data + 1, text.size - 1), 0, id_out)) {
        return false;
    }
    if (!stream_id_increment(id_out)) {
        reply_error(request->reply, "ERR invalid start ID for the interval");
        return false;
    }
    return true;
}

bool
stream_id_parse_end(struct kv_request *request, struct slice text, struct stream_id *id_out)
{
    if (!is_excluding(text)) {
        return stream_id_parse_any(request, text, UINT64_MAX, id_out);
    }
    if (!stream_id_parse(request, slice_of(text.data + 1, text.size - 1), UINT64_MAX, id_out)) {
        return false;
    }
    if (!stream_id_decrement(id_out)) {
        reply_error(request->reply, "ERR invalid end ID for the interval");
        return false;
    }
    return true;
}

struct stream_id *
stream_ids_parse(struct kv_request *request, uint32_t first, uint32_t count)
{
    struct stream_id *ids = arena_alloc(request->arena, (size_t)count * sizeof(*ids));

    if (ids == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %u ids", count);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!stream_id_parse(request, request->argv[first + i], 0, &ids[i])) {
            return NULL;
        }
    }
    return ids;
}
