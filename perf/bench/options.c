/* perf/bench/options.c - the command line, as a table. */
#include "perf/bench/options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "perf/bench/keyspace.h"

const char bench_usage[] =
    "Usage: orbit-bench [options]\n\n"
    "  --engine LIST       orbit, orbit-async, rocksdb, rocksdb-tuned, leveldb, leveldb-tuned,\n"
    "                      lmdb, wiredtiger, sqlite, as far as they were there when this was\n"
    "                      built; all (default): each of them but orbit-async\n"
    "  --workload LIST     fillseq fillrandom fillsync ingest overwrite readrandom readmissing\n"
    "                      multireadrandom seekrandom readseq readseq-batch readwhilewriting\n"
    "                      deleterandom compact ycsb-a ... ycsb-f (default: fillrandom,\n"
    "                      readrandom,readmissing,seekrandom,readseq,overwrite)\n"
    "  --keys N            keys of a fill (default 1000000)\n"
    "  --ops N             operations of overwrite and deleterandom (default: as many as keys)\n"
    "  --key-bytes N       16 to 256 (default 16)\n"
    "  --value-bytes N     1 to 32768 (default 100)\n"
    "  --threads N         client threads (default 1); with orbit-async: operations outstanding\n"
    "                      at a time from one thread\n"
    "  --shards N          of Orbit when it has several client threads (default 1)\n"
    "  --batch N           keys in a call of multireadrandom (default 32)\n"
    "  --write-rate N      writes a second beside readwhilewriting (default 10000)\n"
    "  --cache MIB         block cache (default 256); memtables come on top\n"
    "  --memory-limit MIB  run each engine in a control group with this much memory, page cache\n"
    "                      included\n"
    "  --block-bytes N     Orbit: blocks of tables before compression (default 3840)\n"
    "  --compression yes|no  Orbit (default yes)\n"
    "  --index-budget MIB  Orbit: memory for indexes and filters (default: half of the cache)\n"
    "  --direct            no page cache, for the engines that have a choice\n"
    "  --duration S        seconds of each workload that is not a fill (default 5)\n"
    "  --warm yes|no       read all before reads are measured, and S/2 seconds of each workload\n"
    "                      (default yes)\n"
    "  --seed N            default 1\n"
    "  --dir DIR           where the data go and stay (default: a temporary folder here)\n"
    "  --keep              keep the temporary folder\n"
    "  --use-existing      go on with what an earlier run left in --dir\n"
    "  --json FILE         one line for each engine and workload\n"
    "  --plot FILE         .svg or .png: latency and throughput over time (needs gnuplot)\n"
    "  --help, --version\n";

#define SECONDS_MIN 0.01

enum kind { KIND_TEXT, KIND_NUMBER, KIND_NUMBER32, KIND_MIB, KIND_SECONDS, KIND_FLAG, KIND_YES };

static const struct rule {
    const char *flag;
    enum kind kind;
    size_t offset;
    uint64_t min, max;
} rules[] = {
#define FIELD(name) offsetof(struct bench_options, name)
    {"--engine", KIND_TEXT, FIELD(engines), 0, 0},
    {"--workload", KIND_TEXT, FIELD(workloads), 0, 0},
    {"--dir", KIND_TEXT, FIELD(dir), 0, 0},
    {"--json", KIND_TEXT, FIELD(json), 0, 0},
    {"--plot", KIND_TEXT, FIELD(plot), 0, 0},
    {"--keys", KIND_NUMBER, FIELD(keys), 1, 1000000000},
    {"--ops", KIND_NUMBER, FIELD(ops), 1, 1000000000},
    {"--seed", KIND_NUMBER, FIELD(seed), 0, UINT64_MAX},
    {"--write-rate", KIND_NUMBER, FIELD(write_rate), 1, 100000000},
    {"--cache", KIND_MIB, FIELD(cache_bytes), 8, 1 << 20},
    {"--memory-limit", KIND_MIB, FIELD(limit_bytes), 32, 1 << 20},
    {"--duration", KIND_SECONDS, FIELD(duration_ms), 1, 3600},
    {"--key-bytes", KIND_NUMBER32, FIELD(key_bytes), KEY_BYTES_MIN, KEY_BYTES_MAX},
    {"--value-bytes", KIND_NUMBER32, FIELD(value_bytes), 1, VALUE_BYTES_MAX},
    {"--threads", KIND_NUMBER32, FIELD(threads), 1, 256},
    {"--shards", KIND_NUMBER32, FIELD(shards), 1, 256},
    {"--batch", KIND_NUMBER32, FIELD(batch), 1, 1024},
    {"--block-bytes", KIND_NUMBER32, FIELD(block_bytes), 256, 256 << 10},
    {"--index-budget", KIND_MIB, FIELD(index_bytes), 1, 1 << 20},
    {"--compression", KIND_YES, FIELD(is_compressed), 0, 0},
    {"--warm", KIND_YES, FIELD(is_warm), 0, 0},
    {"--direct", KIND_FLAG, FIELD(is_direct), 0, 0},
    {"--keep", KIND_FLAG, FIELD(keeps), 0, 0},
    {"--use-existing", KIND_FLAG, FIELD(uses_existing), 0, 0},
    {"--help", KIND_FLAG, FIELD(is_help), 0, 0},
    {"--version", KIND_FLAG, FIELD(is_version), 0, 0},
};

static bool
number_parse(const struct rule *rule, const char *text, uint64_t *out)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);

    if (*end != '\0' || end == text || text[0] == '-' || number < rule->min || number > rule->max) {
        fprintf(stderr, "orbit-bench: %s takes a number from %llu to %llu, not \"%s\"\n",
                rule->flag, (unsigned long long)rule->min, (unsigned long long)rule->max, text);
        return false;
    }
    *out = number;
    return true;
}

/* Seconds with a fraction, as milliseconds. */
static bool
seconds_parse(const struct rule *rule, const char *text, uint64_t *out)
{
    char *end;
    double seconds = strtod(text, &end);

    if (*end != '\0' || end == text || !(seconds >= SECONDS_MIN) || seconds > (double)rule->max) {
        fprintf(stderr, "orbit-bench: %s takes seconds from %.2f to %llu, not \"%s\"\n", rule->flag,
                SECONDS_MIN, (unsigned long long)rule->max, text);
        return false;
    }
    *out = (uint64_t)(seconds * 1000 + 0.5);
    return true;
}

static bool
option_set(struct bench_options *options, const struct rule *rule, const char *text)
{
    void *field = (char *)options + rule->offset;
    uint64_t number = 0;

    switch (rule->kind) {
    case KIND_TEXT:
        *(const char **)field = text;
        return true;
    case KIND_FLAG:
        *(bool *)field = true;
        return true;
    case KIND_YES:
        *(bool *)field = strcmp(text, "yes") == 0;
        if (!*(bool *)field && strcmp(text, "no") != 0) {
            fprintf(stderr, "orbit-bench: %s takes yes or no, not \"%s\"\n", rule->flag, text);
            return false;
        }
        return true;
    case KIND_NUMBER:
    case KIND_NUMBER32:
    case KIND_MIB:
    case KIND_SECONDS:
        break;
    }
    if (rule->kind == KIND_SECONDS) {
        return seconds_parse(rule, text, field);
    }
    if (!number_parse(rule, text, &number)) {
        return false;
    }
    if (rule->kind == KIND_NUMBER32) {
        *(uint32_t *)field = (uint32_t)number;
    } else {
        *(uint64_t *)field = rule->kind == KIND_MIB ? number << 20 : number;
    }
    return true;
}

static const struct rule *
rule_find(const char *flag)
{
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
        if (strcmp(flag, rules[i].flag) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

bool
bench_options_parse(struct bench_options *options, int argc, char **argv)
{
    *options = (struct bench_options){
        .engines = "all",
        .workloads = "fillrandom,readrandom,readmissing,seekrandom,readseq,overwrite",
        .keys = 1000000,
        .seed = 1,
        .write_rate = 10000,
        .cache_bytes = UINT64_C(256) << 20,
        .duration_ms = 5000,
        .key_bytes = 16,
        .value_bytes = 100,
        .threads = 1,
        .batch = 32,
        .shards = 1,
        .is_warm = true,
        .is_compressed = true,
    };
    for (int i = 1; i < argc; i++) {
        const struct rule *rule = rule_find(argv[i]);
        bool takes_value = rule != NULL && rule->kind != KIND_FLAG;

        if (rule == NULL || (takes_value && i + 1 == argc)) {
            fprintf(stderr, "orbit-bench: %s %s; see --help\n",
                    rule == NULL ? "unknown option" : "a value is missing behind", argv[i]);
            return false;
        }
        if (!option_set(options, rule, takes_value ? argv[++i] : NULL)) {
            return false;
        }
    }
    if (options->uses_existing && options->dir == NULL) {
        fprintf(stderr, "orbit-bench: --use-existing needs --dir\n");
        return false;
    }
    options->ops = options->ops != 0 ? options->ops : options->keys;
    options->keeps = options->keeps || options->dir != NULL;
    return true;
}

bool
bench_list_next(const char **at, char *word, unsigned word_size)
{
    size_t size = strcspn(*at, ",");

    if (**at == '\0') {
        return false;
    }
    snprintf(word, word_size, "%.*s", (int)size, *at);
    *at += size + ((*at)[size] == ',');
    return true;
}
