/* models/kv/bits.c - SETBIT, GETBIT, BITCOUNT, BITPOS and BITOP: strings as rows of bits.
 *
 * Bit 0 is the highest of the first byte. Beyond its end a string has zeros. */
#include "engine/base/assert.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum {
    WORD_BYTES = sizeof(uint64_t),
    BLOCK_BYTES = 32 << 10, /* Handled before the command gives way, a multiple of a word. */
    BLOCK_UNITS = 32,
};

/* ---- Arguments ---- */

bool
kv_parse_bit_offset(struct kv_request *request, struct slice text, uint32_t width,
                    uint64_t *offset_out)
{
    bool counts_fields = width > 0 && text.size > 0 && text.data[0] == '#';
    int64_t offset;

    if (counts_fields) {
        text = slice_of(text.data + 1, text.size - 1);
    }
    if (!reply_parse_int(text, &offset) ||
        (counts_fields && __builtin_mul_overflow(offset, (int64_t)width, &offset)) || offset < 0 ||
        (uint64_t)offset / 8 >= kv_self()->config.string_bytes_max) {
        reply_error(request->reply, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *offset_out = (uint64_t)offset;
    return true;
}

static bool
unit_parse(struct kv_request *request, struct slice word, bool *is_bits_out)
{
    *is_bits_out = kv_word_is(word, "bit");
    if (!*is_bits_out && !kv_word_is(word, "byte")) {
        kv_reply_syntax_error(request);
        return false;
    }
    return true;
}

/* ---- Ranges ---- */

/* Positions as the client gave them: negative ones count from the end. */
struct range_words {
    int64_t start;
    int64_t end; /* -1 unless given. */
    bool is_bits;
};

/* The bits first..last of a string. */
struct bit_range {
    uint64_t first;
    uint64_t last;
    bool is_empty;
};

static struct bit_range
range_resolve(const struct range_words *words, uint64_t bytes)
{
    int64_t length = (int64_t)(words->is_bits ? bytes * 8 : bytes);
    /* Neither sum can overflow. */
    int64_t start = MAX(words->start < 0 ? words->start + length : words->start, INT64_C(0));
    int64_t end = MAX(words->end < 0 ? words->end + length : words->end, INT64_C(0));

    end = MIN(end, length - 1);
    if (start > end) {
        return (struct bit_range){.is_empty = true};
    }
    if (words->is_bits) {
        return (struct bit_range){.first = (uint64_t)start, .last = (uint64_t)end};
    }
    return (struct bit_range){.first = (uint64_t)start * 8, .last = (uint64_t)end * 8 + 7};
}

/* The bits of byte `at` that lie in the range. */
static uint8_t
range_mask(const struct bit_range *range, uint64_t at)
{
    uint32_t mask = 0xff;

    if (at == range->first / 8) {
        mask &= 0xffu >> (range->first % 8);
    }
    if (at == range->last / 8) {
        mask &= 0xffu << (7 - range->last % 8);
    }
    return (uint8_t)mask;
}

/* ---- SETBIT and GETBIT ---- */

void
kv_command_setbit(struct kv_request *request)
{
    struct kv_object object;
    struct slice old;
    uint64_t offset;
    uint64_t at;
    uint8_t mask;
    uint8_t *bytes;
    int64_t value;
    bool was_set;

    if (!kv_parse_bit_offset(request, request->argv[2], 0, &offset)) {
        return;
    }
    if (!reply_parse_int(request->argv[3], &value) || value < 0 || value > 1) {
        reply_error(request->reply, "ERR bit is not an integer or out of range");
        return;
    }
    if (!kv_lookup_string(request, request->argv[1], 0, &object, &old)) {
        return;
    }
    at = offset / 8;
    mask = (uint8_t)(0x80u >> (offset % 8));
    was_set = at < old.size && (old.data[at] & mask) != 0;
    if (at >= old.size || was_set != (value == 1)) {
        bytes = kv_string_copy(request, old, MAX((uint64_t)old.size, at + 1));
        if (bytes == NULL) {
            return;
        }
        bytes[at] = (uint8_t)(value == 1 ? bytes[at] | mask : bytes[at] & ~mask);
        kv_write_string(request, &object, slice_of(bytes, MAX((uint64_t)old.size, at + 1)),
                        object.is_found ? kv_head_expire_ms(&object.head) : 0);
        kv_notify(request, KV_EVENT_STRING, "setbit", object.name);
    }
    reply_int(request->reply, was_set);
}

void
kv_command_getbit(struct kv_request *request)
{
    struct kv_object object;
    struct slice bytes;
    uint64_t offset;
    bool is_set;

    if (!kv_parse_bit_offset(request, request->argv[2], 0, &offset) ||
        !kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &bytes)) {
        return;
    }
    is_set = offset / 8 < bytes.size && (bytes.data[offset / 8] & (0x80u >> (offset % 8))) != 0;
    reply_int(request->reply, is_set);
}

/* ---- BITCOUNT ---- */

static uint64_t
bytes_count(const uint8_t *bytes, size_t size)
{
    uint64_t count = 0;
    size_t i = 0;

    for (; i + WORD_BYTES <= size; i += WORD_BYTES) {
        count += (uint64_t)__builtin_popcountll(get_le64(bytes + i));
    }
    for (; i < size; i++) {
        count += (uint64_t)__builtin_popcount(bytes[i]);
    }
    return count;
}

static YIELDS uint64_t
range_count(struct kv_request *request, struct slice bytes, const struct bit_range *range)
{
    uint64_t at = range->first / 8;
    uint64_t end = range->last / 8;
    uint64_t count = (uint64_t)__builtin_popcount(bytes.data[at] & range_mask(range, at));

    if (at == end) {
        return count;
    }
    for (at++; at < end; at += BLOCK_BYTES) {
        count += bytes_count(bytes.data + at, MIN(end - at, (uint64_t)BLOCK_BYTES));
        kv_work(request, BLOCK_UNITS);
    }
    return count + (uint64_t)__builtin_popcount(bytes.data[end] & range_mask(range, end));
}

void
kv_command_bitcount(struct kv_request *request)
{
    struct range_words words = {.start = 0, .end = -1};
    struct kv_object object;
    struct bit_range range;
    struct slice bytes;
    uint32_t argc = request->argc;

    if (argc == 3 || argc > 5) {
        kv_reply_syntax_error(request);
        return;
    }
    if ((argc > 2 && (!kv_parse_int(request, request->argv[2], &words.start) ||
                      !kv_parse_int(request, request->argv[3], &words.end))) ||
        (argc > 4 && !unit_parse(request, request->argv[4], &words.is_bits)) ||
        !kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &bytes)) {
        return;
    }
    range = range_resolve(&words, bytes.size);
    /* Both before the string begins, and the wrong way round: not the first byte. */
    if (range.is_empty || (words.start < 0 && words.end < 0 && words.start > words.end)) {
        reply_int(request->reply, 0);
        return;
    }
    reply_int(request->reply, (int64_t)range_count(request, bytes, &range));
}

/* ---- BITPOS ---- */

/* The first byte of [at, end) that is not `skip`, or end. */
static YIELDS uint64_t
bytes_skip(struct kv_request *request, const uint8_t *bytes, uint64_t at, uint64_t end,
           uint8_t skip)
{
    uint64_t skip_word = UINT64_C(0x0101010101010101) * skip;
    uint64_t block_end;

    while (at + WORD_BYTES <= end) {
        for (block_end = MIN(end, at + BLOCK_BYTES);
             at + WORD_BYTES <= block_end && get_le64(bytes + at) == skip_word; at += WORD_BYTES) {}
        if (at + WORD_BYTES <= block_end) {
            break; /* It is in this word. */
        }
        kv_work(request, BLOCK_UNITS);
    }
    while (at < end && bytes[at] == skip) {
        at++;
    }
    return at;
}

/* The first bit of the range with this value; false when there is none. */
static YIELDS bool
range_find(struct kv_request *request, struct slice bytes, const struct bit_range *range,
           bool is_set, uint64_t *position_out)
{
    uint8_t other = is_set ? 0 : 0xff; /* A byte without such a bit. */
    uint64_t at = range->first / 8;
    uint64_t end = range->last / 8;
    uint8_t found = (bytes.data[at] ^ other) & range_mask(range, at);

    if (found == 0 && at < end) {
        at = bytes_skip(request, bytes.data, at + 1, end, other);
        found = (bytes.data[at] ^ other) & range_mask(range, at);
    }
    if (found == 0) {
        return false;
    }
    *position_out = at * 8 + (uint64_t)__builtin_clz(found) - 24;
    return true;
}

static YIELDS bool
bitpos_words_parse(struct kv_request *request, struct range_words *words_out)
{
    uint32_t argc = request->argc;

    *words_out = (struct range_words){.start = 0, .end = -1};
    if (argc > 6) {
        kv_reply_syntax_error(request);
        return false;
    }
    return (argc < 4 || kv_parse_int(request, request->argv[3], &words_out->start)) &&
           (argc < 6 || unit_parse(request, request->argv[5], &words_out->is_bits)) &&
           (argc < 5 || kv_parse_int(request, request->argv[4], &words_out->end));
}

void
kv_command_bitpos(struct kv_request *request)
{
    struct range_words words;
    struct kv_object object;
    struct bit_range range;
    struct slice bytes;
    uint64_t position;
    int64_t bit;

    if (!kv_parse_int(request, request->argv[2], &bit)) {
        return;
    }
    if (bit != 0 && bit != 1) {
        reply_error(request->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!bitpos_words_parse(request, &words) ||
        !kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &bytes)) {
        return;
    }
    if (!object.is_found) { /* As if it were zeros without end. */
        reply_int(request->reply, bit == 1 ? -1 : 0);
        return;
    }
    range = range_resolve(&words, bytes.size);
    if (range.is_empty) {
        reply_int(request->reply, -1);
    } else if (range_find(request, bytes, &range, bit == 1, &position)) {
        reply_int(request->reply, (int64_t)position);
    } else if (bit == 0 && request->argc < 5) { /* No end was given: zeros follow the string. */
        reply_int(request->reply, (int64_t)(bytes.size * 8));
    } else {
        reply_int(request->reply, -1);
    }
}

/* ---- BITOP ---- */

enum bit_operation { BITS_AND, BITS_OR, BITS_XOR, BITS_NOT };

static bool
operation_parse(struct kv_request *request, enum bit_operation *operation_out)
{
    static const char *const names[] = {
        [BITS_AND] = "and", [BITS_OR] = "or", [BITS_XOR] = "xor", [BITS_NOT] = "not"};

    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (!kv_word_is(request->argv[1], names[i])) {
            continue;
        }
        if (i == BITS_NOT && request->argc != 4) {
            reply_error(request->reply, "ERR BITOP NOT must be called with a single source key.");
            return false;
        }
        *operation_out = (enum bit_operation)i;
        return true;
    }
    kv_reply_syntax_error(request);
    return false;
}

static uint64_t
word_combine(enum bit_operation operation, uint64_t a, uint64_t b)
{
    switch (operation) {
    case BITS_AND:
        return a & b;
    case BITS_OR:
        return a | b;
    case BITS_XOR:
        return a ^ b;
    case BITS_NOT:
        return ~b;
    }
    UNREACHABLE();
}

static void
block_combine(enum bit_operation operation, uint8_t *bytes, const uint8_t *others, size_t size)
{
    size_t i = 0;

    for (; i + WORD_BYTES <= size; i += WORD_BYTES) {
        put_le64(bytes + i, word_combine(operation, get_le64(bytes + i), get_le64(others + i)));
    }
    for (; i < size; i++) {
        bytes[i] = (uint8_t)word_combine(operation, bytes[i], others[i]);
    }
}

/* The operand is as long as the result, or shorter: then it goes on with zeros. */
static YIELDS void
operand_combine(struct kv_request *request, enum bit_operation operation, uint8_t *result,
                size_t size, struct slice operand)
{
    for (size_t done = 0; done < operand.size; done += BLOCK_BYTES) {
        block_combine(operation, result + done, operand.data + done,
                      MIN(operand.size - done, (size_t)BLOCK_BYTES));
        kv_work(request, BLOCK_UNITS);
    }
    if (operation == BITS_AND && size > operand.size) {
        memset(result + operand.size, 0, size - operand.size);
    }
}

/* The strings at argv[3] and on; NULL after an error reply. */
static YIELDS struct slice *
operands_read(struct kv_request *request, uint32_t count, size_t *size_max_out)
{
    struct kv_object *objects = kv_lookup_many(request, 3, 1, count, KV_LOOKUP_READ);
    struct slice *operands = arena_alloc(request->arena, count * sizeof(*operands));

    if (objects == NULL) {
        return NULL;
    }
    if (operands == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %u keys", count);
        return NULL;
    }
    *size_max_out = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!kv_is_string(request, &objects[i]) ||
            !kv_string_bytes(request, &objects[i], &operands[i])) {
            return NULL;
        }
        *size_max_out = MAX(*size_max_out, operands[i].size);
    }
    return operands;
}

void
kv_command_bitop(struct kv_request *request)
{
    uint32_t count = request->argc - 3;
    enum bit_operation operation;
    struct kv_object target;
    struct slice *operands;
    uint8_t *result;
    size_t size;

    if (!operation_parse(request, &operation)) {
        return;
    }
    operands = operands_read(request, count, &size);
    if (operands == NULL || !kv_lookup(request, request->argv[2], 0, &target)) {
        return;
    }
    if (size == 0) {
        kv_remove(request, &target);
        if (target.is_found) {
            kv_notify(request, KV_EVENT_GENERIC, "del", target.name);
        }
        reply_int(request->reply, 0);
        return;
    }
    result = kv_string_copy(request, operands[0], size);
    if (result == NULL) {
        return;
    }
    for (uint32_t i = operation == BITS_NOT ? 0 : 1; i < count; i++) {
        operand_combine(request, operation, result, size, operands[i]);
        kv_work(request, 1);
    }
    kv_write_string(request, &target, slice_of(result, size), 0);
    kv_notify(request, KV_EVENT_STRING, "set", target.name);
    reply_int(request->reply, (int64_t)size);
}
