/* query/redis_reply.h - walking a reply of RESP2. The model made it, so that it is well-formed. */
#pragma once

#include "models/kv/reply.h"

struct reply_reader {
    const uint8_t *at;
};

/* One element: its kind ('*': as many follow; '$', '+', '-', ':'), its number (of '*', '$' and ':';
 * below 0: null) and its bytes, borrowed. */
struct reply_item {
    uint8_t kind;
    int64_t number;
    struct slice bytes;
};

static inline struct reply_item
reply_item_take(struct reply_reader *reader)
{
    struct reply_item item = {.kind = *reader->at++, .number = -1};
    const uint8_t *start = reader->at;

    while (*reader->at != '\r') {
        reader->at++;
    }
    item.bytes = slice_of(start, (size_t)(reader->at - start));
    reader->at += 2;
    if (item.kind != '+' && item.kind != '-') {
        (void)reply_parse_int(item.bytes, &item.number);
    }
    if (item.kind == '$' && item.number >= 0) {
        item.bytes = slice_of(reader->at, (size_t)item.number);
        reader->at += item.number + 2;
    }
    return item;
}

static inline bool
reply_item_is_null(const struct reply_item *item)
{
    return (item->kind == '$' || item->kind == '*') && item->number < 0;
}
