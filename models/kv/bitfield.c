/* models/kv/bitfield.c - BITFIELD and BITFIELD_RO: integers of 1 to 64 bits anywhere in a string.
 *
 * All operations are read and checked first; they then apply to a copy of the string, long enough
 * for the farthest write, in their order. */
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum field_action { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };
enum { FIELD_UNITS = 1, UNSIGNED_BITS_MAX = 63, SIGNED_BITS_MAX = 64 };

struct field_type {
    bool is_signed;
    uint8_t bits;
};

struct field_operation {
    enum field_action action;
    enum field_overflow overflow;
    struct field_type type;
    uint64_t offset; /* In bits. */
    int64_t value;   /* Of SET and INCRBY. */
};

struct field_call {
    struct field_operation *operations;
    uint32_t count;
    uint64_t bytes_needed; /* By what is written; 0: nothing is. */
};

/* ---- Bits in bytes ---- */

/* Zeros where the string has ended. */
static uint64_t
field_read(struct slice bytes, uint64_t offset, uint32_t bits)
{
    uint8_t window[9] = {0};
    uint64_t at = offset / 8;
    uint32_t shift = (uint32_t)(offset % 8);
    uint64_t value;

    if (at < bytes.size) {
        memcpy(window, bytes.data + at, MIN(bytes.size - at, sizeof(window)));
    }
    value = get_be64(window) << shift;
    value |= shift > 0 ? (uint64_t)window[8] >> (8 - shift) : 0;
    return value >> (64 - bits);
}

/* All of the field lies within the bytes. */
static void
field_write(uint8_t *bytes, uint64_t offset, uint32_t bits, uint64_t value)
{
    while (bits > 0) {
        uint32_t from = (uint32_t)(offset % 8);
        uint32_t take = MIN(bits, 8 - from);
        uint32_t low = 8 - from - take; /* Bits of the byte behind the field. */
        uint32_t mask = ((1u << take) - 1) << low;
        uint32_t part = (uint32_t)(value >> (bits - take)) << low;

        bytes[offset / 8] = (uint8_t)((bytes[offset / 8] & ~mask) | (part & mask));
        offset += take;
        bits -= take;
    }
}

/* The lowest bits as a number of the type. */
static int64_t
field_number(struct field_type type, uint64_t raw)
{
    uint32_t unused = 64 - type.bits;

    return type.is_signed ? (int64_t)(raw << unused) >> unused : (int64_t)(raw << unused >> unused);
}

/* ---- Arithmetic ---- */

/* Is old + by beyond the type? Then *raw_out is what the overflow rule makes of it. */
static bool
field_add(const struct field_operation *operation, int64_t old, int64_t by, uint64_t *raw_out)
{
    struct field_type type = operation->type;
    int64_t max = (int64_t)((UINT64_C(1) << (type.is_signed ? type.bits - 1 : type.bits)) - 1);
    int64_t min = type.is_signed ? -max - 1 : 0;
    int64_t sum;
    bool is_wide = __builtin_add_overflow(old, by, &sum);
    bool is_above = is_wide ? by > 0 : sum > max;
    bool is_below = is_wide ? by < 0 : sum < min;

    *raw_out = (uint64_t)old + (uint64_t)by;
    if (operation->overflow == OVERFLOW_SAT && (is_above || is_below)) {
        *raw_out = (uint64_t)(is_above ? max : min);
    }
    return is_above || is_below;
}

/* What SET stores: as if it were added to nothing, but that an unsigned field takes a negative
 * number for a large one. */
static bool
field_set(const struct field_operation *operation, uint64_t *raw_out)
{
    if (operation->type.is_signed || operation->value >= 0) {
        return field_add(operation, 0, operation->value, raw_out);
    }
    *raw_out = operation->overflow == OVERFLOW_SAT ? UINT64_MAX : (uint64_t)operation->value;
    return true;
}

/* Replies; returns whether the bytes have changed. */
static bool
operation_apply(struct kv_request *request, const struct field_operation *operation, uint8_t *bytes,
                size_t size)
{
    struct field_type type = operation->type;
    struct slice whole = slice_of(bytes, size);
    int64_t old = field_number(type, field_read(whole, operation->offset, type.bits));
    bool is_set = operation->action == FIELD_SET;
    bool overflows;
    uint64_t raw;
    int64_t now;

    overflows =
        is_set ? field_set(operation, &raw) : field_add(operation, old, operation->value, &raw);
    if (overflows && operation->overflow == OVERFLOW_FAIL) {
        reply_null(request->reply);
        return false;
    }
    field_write(bytes, operation->offset, type.bits, raw);
    now = field_number(type, raw);
    reply_int(request->reply, is_set ? old : now);
    return now != old;
}

/* ---- Arguments ---- */

static bool
type_parse(struct kv_request *request, struct slice word, struct field_type *type_out)
{
    int64_t bits = 0;
    bool is_signed = word.size > 0 && word.data[0] == 'i';

    if (word.size < 2 || (!is_signed && word.data[0] != 'u') ||
        !reply_parse_int(slice_of(word.data + 1, word.size - 1), &bits) || bits < 1 ||
        bits > (is_signed ? SIGNED_BITS_MAX : UNSIGNED_BITS_MAX)) {
        reply_error(request->reply, "ERR Invalid bitfield type. Use something like i16 u8. Note "
                                    "that u64 is not supported but i64 is.");
        return false;
    }
    *type_out = (struct field_type){.is_signed = is_signed, .bits = (uint8_t)bits};
    return true;
}

static bool
overflow_parse(struct kv_request *request, struct slice word, enum field_overflow *overflow_out)
{
    if (kv_word_is(word, "wrap")) {
        *overflow_out = OVERFLOW_WRAP;
    } else if (kv_word_is(word, "sat")) {
        *overflow_out = OVERFLOW_SAT;
    } else if (kv_word_is(word, "fail")) {
        *overflow_out = OVERFLOW_FAIL;
    } else {
        reply_error(request->reply, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/* The operation at argv[at], with as many arguments behind it as it needs. */
static bool
action_parse(struct kv_request *request, uint32_t at, enum field_action *action_out)
{
    uint32_t left = request->argc - at - 1;
    struct slice word = request->argv[at];

    if (kv_word_is(word, "get") && left >= 2) {
        *action_out = FIELD_GET;
    } else if (kv_word_is(word, "set") && left >= 3) {
        *action_out = FIELD_SET;
    } else if (kv_word_is(word, "incrby") && left >= 3) {
        *action_out = FIELD_INCRBY;
    } else {
        kv_reply_syntax_error(request);
        return false;
    }
    return true;
}

static bool
operation_parse(struct kv_request *request, uint32_t at, struct field_call *call,
                struct field_operation *operation)
{
    if (!action_parse(request, at, &operation->action) ||
        !type_parse(request, request->argv[at + 1], &operation->type) ||
        !kv_parse_bit_offset(request, request->argv[at + 2], operation->type.bits,
                             &operation->offset)) {
        return false;
    }
    if (operation->action != FIELD_GET) {
        uint64_t end = (operation->offset + operation->type.bits + 7) / 8;

        call->bytes_needed = MAX(call->bytes_needed, end);
        return kv_parse_int(request, request->argv[at + 3], &operation->value);
    }
    return true;
}

/* False after an error reply. */
static YIELDS bool
call_parse(struct kv_request *request, struct field_call *call)
{
    enum field_overflow overflow = OVERFLOW_WRAP;

    *call = (struct field_call){
        .operations =
            arena_alloc(request->arena, (1 + request->argc / 3) * sizeof(*call->operations)),
    };
    if (call->operations == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %u words", request->argc);
        return false;
    }
    for (uint32_t at = 2; at < request->argc;) {
        struct field_operation *operation = &call->operations[call->count];

        kv_work(request, FIELD_UNITS);
        if (kv_word_is(request->argv[at], "overflow") && at + 1 < request->argc) {
            if (!overflow_parse(request, request->argv[at + 1], &overflow)) {
                return false;
            }
            at += 2;
            continue;
        }
        *operation = (struct field_operation){.overflow = overflow};
        if (!operation_parse(request, at, call, operation)) {
            return false;
        }
        at += operation->action == FIELD_GET ? 3 : 4;
        call->count++;
    }
    return true;
}

/* ---- The commands ---- */

static YIELDS void
field_gets(struct kv_request *request, const struct field_call *call)
{
    struct kv_object object;
    struct slice bytes;

    if (!kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &bytes)) {
        return;
    }
    reply_array(request->reply, call->count);
    for (uint32_t i = 0; i < call->count; i++) {
        const struct field_operation *operation = &call->operations[i];

        reply_int(request->reply, field_number(operation->type, field_read(bytes, operation->offset,
                                                                           operation->type.bits)));
        kv_work(request, FIELD_UNITS);
    }
}

static YIELDS void
field_changes(struct kv_request *request, const struct field_call *call)
{
    struct kv_object object;
    struct slice old;
    uint8_t *bytes;
    size_t size;
    bool has_changed;

    if (!kv_length_fits(request, call->bytes_needed, 0) ||
        !kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &old)) {
        return;
    }
    size = MAX(old.size, (size_t)call->bytes_needed);
    bytes = kv_string_copy(request, old, size);
    if (bytes == NULL) {
        return;
    }
    /* The string grows even if every operation fails, as in Redis. */
    has_changed = size > old.size;
    reply_array(request->reply, call->count);
    for (uint32_t i = 0; i < call->count; i++) {
        const struct field_operation *operation = &call->operations[i];

        if (operation->action == FIELD_GET) {
            reply_int(
                request->reply,
                field_number(operation->type, field_read(slice_of(bytes, size), operation->offset,
                                                         operation->type.bits)));
        } else {
            has_changed |= operation_apply(request, operation, bytes, size);
        }
        kv_work(request, FIELD_UNITS);
    }
    if (has_changed) {
        kv_write_string(request, &object, slice_of(bytes, size),
                        object.is_found ? kv_head_expire_ms(&object.head) : 0);
        kv_notify(request, KV_EVENT_STRING, "setbit", object.name);
    }
}

void
kv_command_bitfield(struct kv_request *request)
{
    struct field_call call;

    if (!call_parse(request, &call)) {
        return;
    }
    if (call.bytes_needed == 0) {
        field_gets(request, &call);
    } else {
        field_changes(request, &call);
    }
}

void
kv_command_bitfield_ro(struct kv_request *request)
{
    struct field_call call;

    if (!call_parse(request, &call)) {
        return;
    }
    if (call.bytes_needed > 0) {
        reply_error(request->reply, "ERR BITFIELD_RO only supports the GET subcommand");
        return;
    }
    field_gets(request, &call);
}
