/* tools/ctl/stats.c - `orbitctl stats`: the section orbit of INFO as a table, or as rates. */
#include "tools/ctl/stats.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS_MAX = 16, NAME_WIDTH = 28 };

/* The value behind "name:", up to the line's end; NULL when there is none. */
static const char *
field_find(const char *text, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, name, size) == 0 && at[size] == ':') {
            return at + size + 1;
        }
    }
    return NULL;
}

/* "name=NUMBER" within one line; 0 when it is not there. */
static unsigned long long
part_find(const char *line, const char *name)
{
    size_t size = strlen(name);
    const char *end = line + strcspn(line, "\r\n");

    for (const char *at = line; at < end; at += strcspn(at, ",\r\n") + 1) {
        if (strncmp(at, name, size) == 0 && at[size] == '=') {
            return strtoull(at + size + 1, NULL, 10);
        }
    }
    return 0;
}

static unsigned long long
number_find(const char *text, const char *name)
{
    const char *value = field_find(text, name);

    return value == NULL ? 0 : strtoull(value, NULL, 10);
}

static void
levels_print(const char *text)
{
    printf("%-6s %8s %12s %14s %14s %12s %10s %10s\n", "level", "tables", "MiB", "written MiB",
           "compacted MiB", "disk reads", "p50 us", "p99 us");
    for (int level = 0; level < LEVELS_MAX; level++) {
        char name[32];
        const char *line, *reads;

        snprintf(name, sizeof(name), "lsm_level%d", level);
        line = field_find(text, name);
        snprintf(name, sizeof(name), "lsm_level%d_read", level);
        reads = field_find(text, name);
        if (line == NULL || reads == NULL) {
            continue;
        }
        printf("%-6d %8llu %12.1f %14.1f %14.1f %12llu %10llu %10llu\n", level,
               part_find(line, "tables"), (double)part_find(line, "bytes") / (1 << 20),
               (double)part_find(line, "written_bytes") / (1 << 20),
               (double)part_find(line, "compacted_read_bytes") / (1 << 20),
               part_find(reads, "count"), part_find(reads, "p50_us"), part_find(reads, "p99_us"));
    }
}

static void
waits_print(const char *text)
{
    static const char *const names[] = {"lsm_flush", "lsm_manifest_edit", "lsm_write_wait"};

    printf("\n%-*s %12s %10s %10s %10s %10s\n", NAME_WIDTH, "", "count", "p50 us", "p99 us",
           "p99.9 us", "max us");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *line = field_find(text, names[i]);

        if (line != NULL) {
            printf("%-*s %12llu %10llu %10llu %10llu %10llu\n", NAME_WIDTH, names[i],
                   part_find(line, "count"), part_find(line, "p50_us"), part_find(line, "p99_us"),
                   part_find(line, "p999_us"), part_find(line, "max_us"));
        }
    }
}

static bool
is_table_line(const char *line)
{
    return strncmp(line, "lsm_level", 9) == 0 || strncmp(line, "lsm_flush:", 10) == 0 ||
           strncmp(line, "lsm_manifest_edit:", 18) == 0 ||
           strncmp(line, "lsm_write_wait:", 15) == 0 || line[0] == '#' || line[0] == '\r' ||
           line[0] == '\n' || line[0] == '\0';
}

/* Every other line as it is. */
static void
rest_print(const char *text)
{
    printf("\n");
    for (const char *at = text; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
        size_t name = strcspn(at, ":\r\n");

        if (!is_table_line(at)) {
            printf("%-*.*s %.*s\n", NAME_WIDTH, (int)name, at, (int)strcspn(at + name + 1, "\r\n"),
                   at + name + 1);
        }
    }
}

void
stats_print(const char *info)
{
    levels_print(info);
    waits_print(info);
    rest_print(info);
}

void
stats_rates_print(const char *before, const char *now, double seconds, bool with_header)
{
    static const struct {
        const char *name, *title;
        double scale;
    } rates[] = {
        {"wal_records", "records/s", 1},
        {"wal_written_bytes", "log MiB/s", 1 << 20},
        {"lsm_flush_bytes", "flush MiB/s", 1 << 20},
        {"lsm_compaction_write_bytes", "compact MiB/s", 1 << 20},
        {"lsm_reads", "reads/s", 1},
        {"lsm_cache_hits", "hits/s", 1},
        {"lsm_cache_misses", "misses/s", 1},
        {"lsm_stall_us", "stopped %", 10000},
        {"lsm_slowdown_us", "slowed %", 10000},
    };

    for (size_t i = 0; with_header && i < sizeof(rates) / sizeof(rates[0]); i++) {
        printf("%14s", rates[i].title);
    }
    if (with_header) {
        printf("\n");
    }
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        double grown =
            (double)number_find(now, rates[i].name) - (double)number_find(before, rates[i].name);

        printf("%14.1f", grown / rates[i].scale / seconds);
    }
    printf("\n");
    fflush(stdout);
}
