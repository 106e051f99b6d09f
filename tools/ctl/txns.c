/* tools/ctl/txns.c - the open transactions: an array of maps of names and values, RESP2. */
#include "tools/ctl/txns.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/rows.h"

static double
seconds_of(const struct rows_field *fields, unsigned count, const char *name)
{
    return (double)strtoull(rows_find(fields, count, name), NULL, 10) / 1e6;
}

/* As SHARD-NUMBER. */
static void
row_print(const struct rows_field *fields, unsigned count)
{
    unsigned long long id = strtoull(rows_find(fields, count, "id"), NULL, 10);
    bool holds = strcmp(rows_find(fields, count, "holds_horizon"), "1") == 0;
    bool is_read_only = strcmp(rows_find(fields, count, "read_only"), "1") == 0;
    char name[ROWS_TEXT_BYTES_MAX];

    snprintf(name, sizeof(name), "%llu-%llu", id >> 48, id & ((UINT64_C(1) << 48) - 1));
    printf("%-18s %-16s %9.3f %9.3f %-15s%-3s %10.3f%s %8s %9s %11s %8s %-10s %s\n", name,
           rows_find(fields, count, "state"), seconds_of(fields, count, "age_us"),
           seconds_of(fields, count, "idle_us"), rows_find(fields, count, "isolation"),
           is_read_only ? " ro" : "", seconds_of(fields, count, "snapshot_age_us"),
           holds ? "*" : " ", rows_find(fields, count, "statements"),
           rows_find(fields, count, "writes"), rows_find(fields, count, "write_bytes"),
           rows_find(fields, count, "locks"), rows_find(fields, count, "protocol"),
           rows_find(fields, count, "principal"));
}

bool
txns_print(const char *reply, size_t size, bool is_json)
{
    struct rows_reader reader;
    struct rows_field fields[ROWS_FIELDS_MAX];
    unsigned fields_count;
    long long rows;

    if (!rows_begin(&reader, reply, size, &rows)) {
        return false;
    }
    if (!is_json) {
        printf("%-18s %-16s %9s %9s %-18s %10s  %8s %9s %11s %8s %-10s %s\n", "transaction",
               "state", "age s", "idle s", "isolation", "snapshot s", "statmts", "writes", "bytes",
               "locks", "protocol", "principal");
    }
    for (long long i = 0; i < rows; i++) {
        if (!rows_read(&reader, fields, &fields_count)) {
            return false;
        }
        if (is_json) {
            rows_json(fields, fields_count);
        } else {
            row_print(fields, fields_count);
        }
    }
    if (!is_json && rows > 0) {
        printf("* the oldest snapshot: versions since then are kept for it\n");
    }
    return true;
}
