/* perf/txn/main.c - orbit-txn-bench: one workload of transactions on one engine. perf/txn.sh calls
 * it for every row of its table. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/assert.h"
#include "perf/txn/drive.h"

static const char usage[] =
    "Usage: orbit-txn-bench --engine NAME --workload NAME [options]\n\n"
    "  --engine NAME     orbit, orbit-inline, orbit-session, rocksdb-optimistic,\n"
    "                    rocksdb-pessimistic, wiredtiger (as far as they were there when this was\n"
    "                    built), nothing\n"
    "  --workload NAME   rmw          read one of the keys, add one, write it back\n"
    "                    hot          the same with one key for all\n"
    "                    pair         two keys of one shard\n"
    "                    pair-shards  two keys of two shards\n"
    "                    tpcb         account, teller, branch, a line of history\n"
    "                    held         rmw with reads in between, then the same while a\n"
    "                                 snapshot is held\n"
    "  --clients N       transactions under way (default 1): threads, orbit-inline: one thread\n"
    "  --shards N        of orbit and orbit-session (default 1)\n"
    "  --keys N          default 100000\n"
    "  --sync yes|no     a commit is on stable storage when it returns (default yes)\n"
    "  --cache MIB       default 256\n"
    "  --duration MS     default 3000\n"
    "  --hold MS         of held: how long each half lasts (default 60000)\n"
    "  --think US        each client waits before each transaction (default 0)\n"
    "  --seed N          default 1\n"
    "  --dir DIR         for the data: must not be there, and stays\n"
    "                    (default: orbit-txn-bench-data)\n"
    "  --help\n\n"
    "Prints one line of JSON. Every increment is looked for in the end; a wrong sum is status 1.\n";

enum { CACHE_MIB = 256, STATUS_FAILED = 1, STATUS_USAGE = 64 };

static bool
number_take(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || number < min ||
        number > max) {
        fprintf(stderr, "orbit-txn-bench: a number from %llu to %llu is wanted, not \"%s\"\n",
                (unsigned long long)min, (unsigned long long)max, text);
        return false;
    }
    *out = number;
    return true;
}

static const struct txn_engine *
engine_find(const char *name)
{
    for (size_t i = 0; txn_engines[i] != NULL; i++) {
        if (strcmp(txn_engines[i]->name, name) == 0) {
            return txn_engines[i];
        }
    }
    fprintf(stderr, "orbit-txn-bench: this build has no engine %s\n", name);
    return NULL;
}

static bool
number_option_set(struct drive_options *options, const char *flag, const char *text)
{
    static const struct {
        const char *flag;
        uint64_t min, max;
    } numbers[] = {
        {"--clients", 1, TXN_DEPTH_MAX}, {"--shards", 1, 64},         {"--keys", 32, 100000000},
        {"--cache", 16, 1 << 20},        {"--duration", 10, 3600000}, {"--hold", 10, 7200000},
        {"--think", 0, 10000000},        {"--seed", 0, UINT32_MAX},
    };
    uint64_t values[ARRAY_COUNT(numbers)] = {0};
    size_t i = 0;

    while (i < ARRAY_COUNT(numbers) && strcmp(numbers[i].flag, flag) != 0) {
        i++;
    }
    if (i == ARRAY_COUNT(numbers)) {
        fprintf(stderr, "orbit-txn-bench: unknown option %s; see --help\n", flag);
        return false;
    }
    if (!number_take(text, numbers[i].min, numbers[i].max, &values[i])) {
        return false;
    }
    switch (i) {
    case 0:
        options->open.clients = (uint32_t)values[i];
        break;
    case 1:
        options->open.shards = (uint32_t)values[i];
        break;
    case 2:
        options->keys = values[i];
        break;
    case 3:
        options->open.cache_bytes = values[i] << 20;
        break;
    case 4:
        options->duration_ms = values[i];
        break;
    case 5:
        options->hold_ms = values[i];
        break;
    case 6:
        options->think_us = values[i];
        break;
    default:
        options->seed = values[i];
        break;
    }
    return true;
}

static bool
option_set(struct drive_options *options, const char *flag, const char *text, const char **name)
{
    if (strcmp(flag, "--engine") == 0) {
        options->engine = engine_find(text);
        return options->engine != NULL;
    }
    if (strcmp(flag, "--workload") == 0) {
        *name = text;
        options->workload = txn_workload_find(text);
        if (options->workload == NULL) {
            fprintf(stderr, "orbit-txn-bench: there is no workload %s\n", text);
        }
        return options->workload != NULL;
    }
    if (strcmp(flag, "--dir") == 0) {
        options->open.dir = text;
        return true;
    }
    if (strcmp(flag, "--sync") == 0) {
        options->open.is_sync = strcmp(text, "yes") == 0;
        if (!options->open.is_sync && strcmp(text, "no") != 0) {
            fprintf(stderr, "orbit-txn-bench: --sync takes yes or no, not \"%s\"\n", text);
            return false;
        }
        return true;
    }
    return number_option_set(options, flag, text);
}

static bool
options_parse(struct drive_options *options, int argc, char **argv, const char **workload_out)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) {
            fprintf(stderr, "orbit-txn-bench: a value is missing behind %s\n", argv[i]);
            return false;
        }
        if (!option_set(options, argv[i], argv[i + 1], workload_out)) {
            return false;
        }
    }
    if (options->engine == NULL || options->workload == NULL) {
        fprintf(stderr, "orbit-txn-bench: --engine and --workload are needed; see --help\n");
        return false;
    }
    return true;
}

static void
figures_print(const struct drive_options *options, const char *workload,
              const struct drive_figures *figures)
{
    printf("{\"engine\": \"%s\", \"workload\": \"%s\", \"clients\": %u, \"shards\": %u, "
           "\"keys\": %llu, \"sync\": %s, \"think_us\": %llu, \"transactions\": %llu, "
           "\"conflicts\": %llu, \"seconds\": %.3f, \"per_s\": %.1f, \"cpu_us\": %.3f, "
           "\"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f, \"read_us_free\": %.3f, "
           "\"read_us_held\": %.3f}\n",
           options->engine->name, workload, options->open.clients, options->open.shards,
           (unsigned long long)options->keys, options->open.is_sync ? "true" : "false",
           (unsigned long long)options->think_us, (unsigned long long)figures->transactions,
           (unsigned long long)figures->conflicts, figures->seconds,
           (double)figures->transactions / MAX(figures->seconds, 1e-9), figures->cpu_us,
           figures->p50_us, figures->p99_us, figures->max_us, figures->read_us_free,
           figures->read_us_held);
}

int
main(int argc, char **argv)
{
    struct drive_options options = {
        .open = {.dir = "orbit-txn-bench-data",
                 .cache_bytes = (uint64_t)CACHE_MIB << 20,
                 .shards = 1,
                 .clients = 1,
                 .is_sync = true},
        .keys = 100000,
        .duration_ms = 3000,
        .hold_ms = 60000,
        .seed = 1,
    };
    struct drive_figures figures;
    const char *workload = "";

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (!options_parse(&options, argc, argv, &workload)) {
        return STATUS_USAGE;
    }
    if (mkdir(options.open.dir, 0750) != 0) {
        fprintf(stderr, "orbit-txn-bench: cannot make %s: %s\n", options.open.dir, strerror(errno));
        return STATUS_FAILED;
    }
    if (!drive(&options, &figures)) {
        return STATUS_FAILED;
    }
    figures_print(&options, workload, &figures);
    return 0;
}
