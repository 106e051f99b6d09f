/* query/catalog/numbers.h - lists of entries in lines, for numbers.c. */
#pragma once

#include <stdint.h>

struct number_lines {
    const char *const *lines; /* Entries with ; between. */
    uint32_t count;
};
extern const struct number_lines numbers_proc, numbers_operator;
