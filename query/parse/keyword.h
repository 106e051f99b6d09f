/* query/parse/keyword.h - the words of the grammar. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"

struct keyword {
    const char *name;
    char category; /* As pg_get_keywords: U unreserved, C column name, T type or function, R. */
    bool is_bare_label;
};
uint32_t keyword_count(void);
const struct keyword *keyword_at(uint32_t index);
/* Not usable as any name without quotes? */
bool keyword_is_reserved(struct slice name);
