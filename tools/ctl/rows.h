/* tools/ctl/rows.h - replies that are an array of maps of names and values, RESP2. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { ROWS_FIELDS_MAX = 64, ROWS_TEXT_BYTES_MAX = 80 };

struct rows_field {
    char name[ROWS_TEXT_BYTES_MAX], value[ROWS_TEXT_BYTES_MAX]; /* Longer texts are cut. */
    bool is_number;
};

struct rows_reader {
    const char *at, *end;
};

/* The reply is borrowed. False when it is no array. */
bool rows_begin(struct rows_reader *reader, const char *reply, size_t size, long long *count_out);
/* The next of them; false when it is no map of texts and numbers. */
bool rows_read(struct rows_reader *reader, struct rows_field fields[ROWS_FIELDS_MAX],
               unsigned *count_out);
/* "" when there is none of that name. */
const char *rows_find(const struct rows_field *fields, unsigned count, const char *name);
/* A JSON object in a line. */
void rows_json(const struct rows_field *fields, unsigned count);
