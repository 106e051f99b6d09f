/* tools/ctl/shards.c - the shards: slots, sizes, load, and how far a move of slots has come. */
#include "tools/ctl/shards.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/ctl/rows.h"

static double
number_of(const struct rows_field *fields, unsigned count, const char *name)
{
    return (double)strtoull(rows_find(fields, count, name), NULL, 10);
}

static void
row_print(const struct rows_field *fields, unsigned count)
{
    printf("%5s %-8s %6s %6s %12s %10.1f %10.1f %9s %8s\n", rows_find(fields, count, "shard"),
           rows_find(fields, count, "state"), rows_find(fields, count, "slots"),
           rows_find(fields, count, "slots_wanted"), rows_find(fields, count, "keys"),
           number_of(fields, count, "disk_bytes") / 1048576,
           number_of(fields, count, "memtable_bytes") / 1048576,
           rows_find(fields, count, "commands_per_second"), rows_find(fields, count, "clients"));
}

/* Of shard 0's row. */
static void
move_print(const struct rows_field *fields, unsigned count)
{
    double left = number_of(fields, count, "slots_left");
    double moved = number_of(fields, count, "slots_moved");
    unsigned long long by = strtoull(rows_find(fields, count, "blocked_by"), NULL, 10);

    if (left + moved > 0) {
        printf("moved %.0f of %.0f slots: %s keys, %.1f MiB in %.1f s; held at most %.1f ms\n",
               moved, left + moved, rows_find(fields, count, "keys_moved"),
               number_of(fields, count, "bytes_moved") / 1048576,
               number_of(fields, count, "move_us") / 1e6,
               number_of(fields, count, "hold_us_max") / 1e3);
    }
    if (rows_find(fields, count, "last_retry")[0] != '\0') {
        printf("%s groups were tried again: %s\n", rows_find(fields, count, "retries"),
               rows_find(fields, count, "last_retry"));
    }
    if (by != 0) { /* As orbitctl txns writes it. */
        printf("%.0f slots wait for what transaction %llu-%llu has locked\n", left, by >> 48,
               by & ((UINT64_C(1) << 48) - 1));
    }
}

bool
shards_print(const char *reply, size_t size, bool is_json)
{
    struct rows_reader reader;
    struct rows_field fields[ROWS_FIELDS_MAX];
    struct rows_field first[ROWS_FIELDS_MAX];
    unsigned first_count = 0;
    unsigned count;
    long long rows;

    if (!rows_begin(&reader, reply, size, &rows)) {
        return false;
    }
    if (!is_json) {
        printf("%5s %-8s %6s %6s %12s %10s %10s %9s %8s\n", "shard", "state", "slots", "share",
               "keys", "disk MiB", "memory MiB", "commands", "clients");
    }
    for (long long i = 0; i < rows; i++) {
        if (!rows_read(&reader, i == 0 ? first : fields, &count)) {
            return false;
        }
        first_count = i == 0 ? count : first_count;
        if (is_json) {
            rows_json(i == 0 ? first : fields, count);
        } else {
            row_print(i == 0 ? first : fields, count);
        }
    }
    if (!is_json && rows > 0) {
        move_print(first, first_count);
    }
    return true;
}
