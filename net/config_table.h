/* net/config_table.h - one row of the parameter table. */
#pragma once

#include <stdint.h>

#include "net/config.h"

enum config_type {
    CONFIG_BOOL,
    CONFIG_NUMBER,
    CONFIG_OCTAL,
    CONFIG_MEMORY,         /* Bytes, with a unit if one likes. */
    CONFIG_MEMORY_PERCENT, /* Bytes, or N% as -N. */
    CONFIG_ENUM,
    CONFIG_STRING,
    CONFIG_SAVE,         /* Pairs of numbers. */
    CONFIG_OUTPUT_LIMIT, /* class hard soft seconds ... */
    CONFIG_PERCENTILES,  /* Numbers from 0 to 100. */
    CONFIG_EVENTS,       /* Letters of notify-keyspace-events. */
};

enum config_flag {
    CONFIG_IMMUTABLE = 1 << 0, /* Never while the server runs. */
    CONFIG_HIDDEN = 1 << 1,    /* Given only when asked for by name. */
    CONFIG_SENSITIVE = 1 << 2, /* Not logged. */
    CONFIG_MULTI = 1 << 3,     /* Several words. */
    CONFIG_PROTECTED = 1 << 4, /* Never while the server runs, unless unchanged. */
};

struct config_parameter {
    const char *name, *alias; /* alias: an older name; NULL if none. */
    uint8_t type;             /* enum config_type */
    uint8_t flags;
    uint8_t effect; /* enum config_effect */
    int64_t min, max;
    const char *const *values; /* CONFIG_ENUM; ends with NULL. */
    const char *start;         /* At the start; some are set from the options then. */
    const char *reason;        /* What it does, or why it does nothing. */
};

extern const struct config_parameter config_parameters[]; /* Sorted by name. */
extern const uint32_t config_parameter_count;
