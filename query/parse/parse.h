/* query/parse/parse.h - SQL text to PostgreSQL's raw parse tree, by libpg_query.
 *
 * The tree lies in memory of libpg_query's own, which parse_close frees; nothing copies it. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"

enum { STATEMENT_BYTES_MAX = 16 << 20 };

struct List;

struct parse {
    const struct List *statements; /* Of RawStmt; NULL: the text holds none. */
    void *memory;
};

/* text is NUL-terminated. On a syntax error ERR_SQL, and *position_out (counts characters from 1;
 * 0: none) is where. Does not suspend; 1-2 us for a short statement. */
err_t parse_open(const char *text, struct parse *parse_out, uint32_t *position_out);
void parse_close(struct parse *parse); /* Harmless when nothing is open. */
