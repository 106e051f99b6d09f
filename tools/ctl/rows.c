/* tools/ctl/rows.c - see rows.h. */
#include "tools/ctl/rows.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number behind a type's letter, to the end of its line. */
static bool
number_read(struct rows_reader *reader, char type, long long *number_out)
{
    const char *line = reader->at;
    const char *end = memchr(line, '\r', (size_t)(reader->end - line));

    if (end == NULL || end + 2 > reader->end || line[0] != type) {
        return false;
    }
    *number_out = strtoll(line + 1, NULL, 10);
    reader->at = end + 2;
    return true;
}

bool
rows_begin(struct rows_reader *reader, const char *reply, size_t size, long long *count_out)
{
    *reader = (struct rows_reader){reply, reply + size};
    return number_read(reader, '*', count_out);
}

/* A text or a number, as text; longer ones are cut. */
static bool
value_read(struct rows_reader *reader, char out[ROWS_TEXT_BYTES_MAX], bool *is_number)
{
    long long number;

    *is_number = number_read(reader, ':', &number);
    if (*is_number) {
        snprintf(out, ROWS_TEXT_BYTES_MAX, "%lld", number);
        return true;
    }
    if (!number_read(reader, '$', &number) || number < 0 || number + 2 > reader->end - reader->at) {
        return false;
    }
    snprintf(out, ROWS_TEXT_BYTES_MAX, "%.*s",
             (int)(number < ROWS_TEXT_BYTES_MAX ? number : ROWS_TEXT_BYTES_MAX), reader->at);
    reader->at += number + 2;
    return true;
}

bool
rows_read(struct rows_reader *reader, struct rows_field fields[ROWS_FIELDS_MAX],
          unsigned *count_out)
{
    long long count;
    bool is_number;

    if (!number_read(reader, '*', &count) || count < 0 || count > 2 * ROWS_FIELDS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < count / 2; i++) {
        if (!value_read(reader, fields[i].name, &is_number) ||
            !value_read(reader, fields[i].value, &fields[i].is_number)) {
            return false;
        }
    }
    *count_out = (unsigned)count / 2;
    return true;
}

const char *
rows_find(const struct rows_field *fields, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return fields[i].value;
        }
    }
    return "";
}

static void
text_print(const char *text)
{
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            printf("\\%c", *at);
        } else if (*at < ' ' || *at >= 0x7f) {
            printf("\\u%04x", *at);
        } else {
            putchar(*at);
        }
    }
    putchar('"');
}

void
rows_json(const struct rows_field *fields, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        printf(i == 0 ? "{" : ", ");
        text_print(fields[i].name);
        printf(": ");
        if (fields[i].is_number) {
            printf("%s", fields[i].value);
        } else {
            text_print(fields[i].value);
        }
    }
    printf("}\n");
}
