/* query/fn/json_item.h - values inside of json (text) and jsonb (bytes), seen alike.
 *
 * A json is read into a tree that lies in the call's arena; parts of it are the text as it
 * stands. Of equal keys in an object the last is found. Nothing suspends. */
#pragma once

#include "models/types/jsonb.h"
#include "query/fn/fn.h"

struct json_tree;

struct json_item {
    const struct json_tree *tree; /* NULL: jsonb, which is `value`. */
    struct json_value value;
};

/* is_text: the type is json. 22P05 for \u0000, and errors of JSON that is none. */
err_t json_item_open(struct arena *arena, bool is_text, struct slice bytes, struct json_item *out);
enum json_kind json_item_kind(const struct json_item *item);
bool json_item_is_container(const struct json_item *item);
uint32_t json_item_count(const struct json_item *item);
struct json_item json_item_at(const struct json_item *item, uint32_t index);
struct slice json_item_key(const struct json_item *item, uint32_t index);
bool json_item_find(const struct json_item *item, struct slice key, struct json_item *out);
/* A value of the type that it was opened from. */
struct datum json_item_datum(const struct json_item *item);
/* Of a string its characters, of others their JSON. False: it is null. */
bool json_item_text(const struct json_item *item, struct arena *arena, struct slice *out);
/* An index as the functions count: from 0, or from the end when negative. */
bool json_item_index(const struct json_item *item, int64_t index, struct json_item *out);
/* Along keys and indexes written as text. *found_out false: there is nothing. */
err_t json_item_path(const struct json_item *item, const struct datum *steps, const uint8_t *nulls,
                     uint32_t count, struct json_item *out, bool *found_out);
/* A whole number as text. */
bool json_index_from_text(struct slice text, int64_t *out);
/* The type of argument 0 is json. */
bool json_call_is_text(const struct call *call);
