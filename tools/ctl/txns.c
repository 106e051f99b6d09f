/* tools/ctl/txns.c - the open transactions: an array of maps of names and values, RESP2. */
#include "tools/ctl/txns.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 64, TEXT_BYTES_MAX = 80 };

struct field {
    char name[TEXT_BYTES_MAX], value[TEXT_BYTES_MAX];
    bool is_number;
};

struct reader {
    const char *at, *end;
};

/* The number behind a type's letter, to the end of its line. */
static bool
number_read(struct reader *reader, char type, long long *number_out)
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

/* A text or a number, as text; longer ones are cut. */
static bool
value_read(struct reader *reader, char out[TEXT_BYTES_MAX], bool *is_number)
{
    long long number;

    *is_number = number_read(reader, ':', &number);
    if (*is_number) {
        snprintf(out, TEXT_BYTES_MAX, "%lld", number);
        return true;
    }
    if (!number_read(reader, '$', &number) || number < 0 || number + 2 > reader->end - reader->at) {
        return false;
    }
    snprintf(out, TEXT_BYTES_MAX, "%.*s", (int)(number < TEXT_BYTES_MAX ? number : TEXT_BYTES_MAX),
             reader->at);
    reader->at += number + 2;
    return true;
}

static bool
row_read(struct reader *reader, struct field fields[FIELDS_MAX], unsigned *count_out)
{
    long long count;
    bool is_number;

    if (!number_read(reader, '*', &count) || count < 0 || count > 2 * FIELDS_MAX) {
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

static const char *
field_find(const struct field *fields, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return fields[i].value;
        }
    }
    return "";
}

static double
seconds_of(const struct field *fields, unsigned count, const char *name)
{
    return (double)strtoull(field_find(fields, count, name), NULL, 10) / 1e6;
}

/* As SHARD-NUMBER. */
static void
row_print(const struct field *fields, unsigned count)
{
    unsigned long long id = strtoull(field_find(fields, count, "id"), NULL, 10);
    bool holds = strcmp(field_find(fields, count, "holds_horizon"), "1") == 0;
    bool is_read_only = strcmp(field_find(fields, count, "read_only"), "1") == 0;
    char name[TEXT_BYTES_MAX];

    snprintf(name, sizeof(name), "%llu-%llu", id >> 48, id & ((UINT64_C(1) << 48) - 1));
    printf("%-18s %-16s %9.3f %9.3f %-15s%-3s %10.3f%s %8s %9s %11s %8s %-10s %s\n", name,
           field_find(fields, count, "state"), seconds_of(fields, count, "age_us"),
           seconds_of(fields, count, "idle_us"), field_find(fields, count, "isolation"),
           is_read_only ? " ro" : "", seconds_of(fields, count, "snapshot_age_us"),
           holds ? "*" : " ", field_find(fields, count, "statements"),
           field_find(fields, count, "writes"), field_find(fields, count, "write_bytes"),
           field_find(fields, count, "locks"), field_find(fields, count, "protocol"),
           field_find(fields, count, "principal"));
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

static void
row_json(const struct field *fields, unsigned count)
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

bool
txns_print(const char *reply, size_t size, bool is_json)
{
    struct reader reader = {reply, reply + size};
    struct field fields[FIELDS_MAX];
    unsigned fields_count;
    long long rows;

    if (!number_read(&reader, '*', &rows)) {
        return false;
    }
    if (!is_json) {
        printf("%-18s %-16s %9s %9s %-18s %10s  %8s %9s %11s %8s %-10s %s\n", "transaction",
               "state", "age s", "idle s", "isolation", "snapshot s", "statmts", "writes", "bytes",
               "locks", "protocol", "principal");
    }
    for (long long i = 0; i < rows; i++) {
        if (!row_read(&reader, fields, &fields_count)) {
            return false;
        }
        if (is_json) {
            row_json(fields, fields_count);
        } else {
            row_print(fields, fields_count);
        }
    }
    if (!is_json && rows > 0) {
        printf("* the oldest snapshot: versions since then are kept for it\n");
    }
    return true;
}
