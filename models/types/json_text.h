/* models/types/json_text.h - JSON as text: RFC 8259, with PostgreSQL 15's messages.
 *
 * The parser keeps its own stack: depth costs no stack of the fiber. Errors: 22P02 with the place
 * as context, 22P05 for \u0000, 54001 beyond JSON_DEPTH_MAX. Nothing suspends. */
#pragma once

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"

enum { JSON_DEPTH_MAX = 10000 };

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* Who is told what is found. Each may be NULL. Offsets are of the text. */
struct json_events {
    void *arg;
    err_t (*begin)(void *arg, enum json_kind kind, size_t offset);
    err_t (*key)(void *arg, struct slice name);
    /* text: of a string without quotes and escapes, otherwise as it stands. */
    err_t (*scalar)(void *arg, enum json_kind kind, struct slice text, size_t from, size_t to);
    err_t (*end)(void *arg, size_t offset); /* Behind the brace. */
};

/* arena NULL: escapes are checked only, and strings handed out as they stand. */
err_t json_parse(struct slice text, struct arena *arena, const struct json_events *events);
/* "..." with what must be escaped. */
void json_string_put(struct slice text, struct buf *out);
/* 54001 */
err_t json_too_deep(void);
