/* models/kv/words.c - reading the arguments of a call, with Redis's error texts. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

bool
kv_word_is(struct slice word, const char *lower_case)
{
    for (size_t i = 0; i < word.size; i++) {
        uint8_t byte = word.data[i];

        byte |= byte >= 'A' && byte <= 'Z' ? 0x20 : 0;
        if (byte != (uint8_t)lower_case[i] || byte == 0) {
            return false;
        }
    }
    return lower_case[word.size] == '\0';
}

bool
kv_parse_int(struct kv_request *request, struct slice text, int64_t *value_out)
{
    if (!reply_parse_int(text, value_out)) {
        reply_error(request->reply, "ERR value is not an integer or out of range");
        return false;
    }
    return true;
}

bool
kv_parse_random_count(struct kv_request *request, const char *with, int64_t *count_out)
{
    bool is_with = request->argc == 4;

    *count_out = 1;
    if (request->argc >= 3 && !kv_parse_int(request, request->argv[2], count_out)) {
        return false;
    }
    if (*count_out == INT64_MIN) {
        reply_error(request->reply, "ERR value is out of range, value must between -%lld and %lld",
                    (long long)INT64_MAX, (long long)INT64_MAX);
        return false;
    }
    if (request->argc > 4 || (is_with && (with == NULL || !kv_word_is(request->argv[3], with)))) {
        kv_reply_syntax_error(request);
        return false;
    }
    if (is_with && (*count_out < -(INT64_MAX / 2) || *count_out > INT64_MAX / 2)) {
        reply_error(request->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

bool
kv_parse_db(struct kv_request *request, struct slice text, uint32_t *db_out)
{
    int64_t value;

    if (!kv_parse_int(request, text, &value)) {
        return false;
    }
    if (value < INT_MIN || value > INT_MAX) {
        reply_error(request->reply, "ERR value is out of range, value must between %d and %d",
                    INT_MIN, INT_MAX);
        return false;
    }
    if (value < 0 || value >= (int64_t)kv_self()->config.databases) {
        reply_error(request->reply, "ERR DB index is out of range");
        return false;
    }
    *db_out = (uint32_t)value;
    return true;
}

bool
kv_parse_expire(struct kv_request *request, struct slice text, enum kv_time_unit unit,
                bool is_absolute, uint64_t *expire_ms_out)
{
    int64_t value;

    if (!kv_parse_int(request, text, &value)) {
        return false;
    }
    if (value <= 0 ||
        (unit == KV_SECONDS && __builtin_mul_overflow(value, INT64_C(1000), &value)) ||
        (!is_absolute && __builtin_add_overflow(value, (int64_t)request->now_ms, &value))) {
        kv_reply_expire_error(request);
        return false;
    }
    *expire_ms_out = (uint64_t)value;
    return true;
}

void
kv_reply_syntax_error(struct kv_request *request)
{
    reply_error(request->reply, "ERR syntax error");
}

void
kv_reply_expire_error(struct kv_request *request)
{
    reply_error(request->reply, "ERR invalid expire time in '%s' command",
                command_full_name(request->command));
}

bool
kv_length_fits(struct kv_request *request, uint64_t old, uint64_t more)
{
    uint64_t length;

    if (__builtin_add_overflow(old, more, &length) || length > kv_self()->config.string_bytes_max) {
        reply_error(request->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
        return false;
    }
    return true;
}

bool
kv_parse_long_double(struct slice text, long double *value_out)
{
    char copy[REPLY_NUMBER_BYTES_MAX];
    long double value;
    char *end;
    bool is_valid;

    if (text.size == 0 || text.size >= sizeof(copy) || text.data[0] <= ' ') {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    errno = 0;
    value = strtold(copy, &end);
    is_valid = end == copy + text.size && !isnan(value) &&
               !(errno == ERANGE && (isinf(value) || value == 0));
    errno = 0;
    *value_out = is_valid ? value : *value_out;
    return is_valid;
}
