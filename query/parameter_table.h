/* query/parameter_table.h - what kinds of parameters there are, and which.
 *
 * What each does stands in docs/protocol/postgres.md. */
#pragma once

#include <stdint.h>

enum parameter_kind {
    PARAMETER_TEXT,      /* Any text: only kept. */
    PARAMETER_FIXED,     /* It has one value, which may be set. */
    PARAMETER_READ_ONLY, /* Not even its own value may be set. */
    PARAMETER_BOOL,
    PARAMETER_INTEGER, /* min to max, in its unit. */
    PARAMETER_REAL,    /* Not negative. */
    PARAMETER_ENUM,    /* One of `values`. */
    PARAMETER_ISOLATION,
    PARAMETER_FLOAT_DIGITS,
    PARAMETER_BYTEA,
    PARAMETER_DATE_STYLE,
    PARAMETER_INTERVAL_STYLE,
    PARAMETER_TIME_ZONE,
};

struct parameter {
    const char *name, *initial;
    enum parameter_kind kind;
    const char *description;
    const char *unit;   /* "ms", "kB", "8kB"; NULL: none. */
    const char *values; /* Separated by ", ". */
    int64_t min, max;
};

enum { PARAMETER_COUNT = 97 };
extern const struct parameter parameter_table[PARAMETER_COUNT];
