/* net/pgwire/message.h - reading and writing messages. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "engine/base/slice.h"

/* ---- Reading. A reader that stays at its end once something was missing. ---- */

struct message_reader {
    const uint8_t *at, *end;
    bool is_bad;
};

static inline struct message_reader
message_reader_of(struct slice body)
{
    return (struct message_reader){body.data, body.data + body.size, false};
}
uint8_t message_byte(struct message_reader *reader);
uint16_t message_int16(struct message_reader *reader);
uint32_t message_int32(struct message_reader *reader);
/* NUL-terminated, borrowed; "" when there is none. */
const char *message_text(struct message_reader *reader);
struct slice message_bytes(struct message_reader *reader, size_t size);

/* ---- Writing: begin, append, end. ---- */

/* Returns the place that message_end needs. */
size_t message_begin(struct buf *out, char type);
void message_end(struct buf *out, size_t begun);
void message_put_int16(struct buf *out, uint16_t value);
void message_put_int32(struct buf *out, uint32_t value);
void message_put_text(struct buf *out, const char *text);
void message_put_slice_text(struct buf *out, struct slice text);
/* A message without a body. */
void message_empty(struct buf *out, char type);
