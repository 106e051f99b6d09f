/* models/kv/reply.h - building RESP replies, in version 2 or 3 (the RESP specification of
 * redis.io). Aggregates are announced with their length first, then follow their elements. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"

struct reply {
    struct buf buf;
    uint64_t gone;   /* Bytes that have left the front of buf, since reply_init. */
    uint8_t resp;    /* 2 or 3 */
    uint32_t errors; /* Error replies written so far. */
};

/* A place in the stream of replies, to cut back to: good also when bytes before it have left. */
struct reply_mark {
    uint64_t offset;
    uint32_t errors;
};

void reply_init(struct reply *reply, uint8_t resp);
void reply_fini(struct reply *reply);

static inline struct reply_mark
reply_mark(const struct reply *reply)
{
    return (struct reply_mark){reply->gone + reply->buf.size, reply->errors};
}
/* What was written since is gone; harmless when the client is, and its replies with it. */
void reply_cut(struct reply *reply, struct reply_mark mark);

void reply_simple(struct reply *reply, const char *text); /* +text */
void reply_ok(struct reply *reply);
/* The text begins with the code: reply_error(r, "ERR no such key"). Line ends become spaces. */
void reply_error(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* From an err_t and its diagnostic, with the prefix of the error table. */
void reply_err(struct reply *reply, err_t err);
void reply_int(struct reply *reply, int64_t value);
void reply_bulk(struct reply *reply, struct slice bytes);
void reply_bulk_text(struct reply *reply, const char *text);
void reply_bulk_printf(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void reply_bulk_int(struct reply *reply, int64_t value);
void reply_null(struct reply *reply);       /* $-1 or _ */
void reply_null_array(struct reply *reply); /* *-1 or _ */
void reply_array(struct reply *reply, uint64_t count);
void reply_map(struct reply *reply, uint64_t pairs);       /* *2n or %n */
void reply_set(struct reply *reply, uint64_t count);       /* *n or ~n */
void reply_push(struct reply *reply, uint64_t count);      /* *n or >n */
void reply_attribute(struct reply *reply, uint64_t pairs); /* |n; RESP3 only */
void reply_bool(struct reply *reply, bool value);          /* :1 or #t */
/* The header of what was written since the mark, once its length is known. */
void reply_array_at(struct reply *reply, struct reply_mark mark, uint64_t count);
void reply_map_at(struct reply *reply, struct reply_mark mark, uint64_t pairs);
/* Bytes of a reply, before what was written since the mark. */
void reply_insert(struct reply *reply, struct reply_mark mark, struct slice bytes);
void reply_double(struct reply *reply, double value); /* bulk or , */
void reply_verbatim(struct reply *reply, const char extension[4], struct slice text);
void reply_big_number(struct reply *reply, const char *digits);

/* The shortest decimal text that reads back as the same double, as Redis prints it; long doubles
 * as INCRBYFLOAT prints them (17 digits, no trailing zeros, no exponent). Returns the length. */
enum { REPLY_NUMBER_BYTES_MAX = 5 * 1024 };
size_t reply_format_double(double value, char out[REPLY_NUMBER_BYTES_MAX]);
size_t reply_format_long_double(long double value, char out[REPLY_NUMBER_BYTES_MAX]);
size_t reply_format_int(int64_t value, char out[24]);
/* Strict, as Redis reads integers: no spaces, no plus sign, no leading zeros. */
bool reply_parse_int(struct slice text, int64_t *value_out);
