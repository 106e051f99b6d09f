/* perf/bench/main.c - orbit-bench: the same operations on Orbit and its peers, one table of ratios.
 *
 * Each engine gets a folder of its own and a process of its own, so that memory and CPU time are
 * its alone. Keys are the hex of a mixed counter, the same for all engines; values are half
 * compressible. Within one engine the workloads run in the order given, on the same data. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/commit.h"
#include "engine/base/hist.h"
#include "engine/base/prng.h"
#include "perf/bench/bench.h"

enum { KEY_BYTES_MIN = 16, KEY_BYTES_MAX = 256, VALUE_BYTES_MAX = 32768, SCAN_ENTRIES = 100 };
enum { RESULTS_MAX = 128, LIST_MAX = 16 };

struct options {
    const char *engines, *workloads, *dir, *json;
    uint64_t keys, seed, cache_bytes, duration_ms;
    size_t key_bytes, value_bytes;
};

struct result {
    char engine[24], workload[24];
    double ops_per_s, cpu_us_per_op;
    uint64_t p50_us, p99_us, p999_us, max_us, disk_bytes, peak_rss_bytes;
};

struct run {
    const struct options *options;
    const struct bench_engine *engine;
    void *db;
    struct prng prng;
    uint8_t *value; /* value_bytes + VALUE_BYTES_MAX of material. */
    struct hist latency_ns;
    uint64_t ops;
};

static const char usage[] =
    "Usage: orbit-bench [options]\n\n"
    "  --engine LIST      orbit, rocksdb, rocksdb-tuned, or all (default all)\n"
    "  --workload LIST    fillseq fillrandom fillsync overwrite readrandom readmissing\n"
    "                     seekrandom readseq deleterandom (default: fillrandom,readrandom,\n"
    "                     readmissing,seekrandom,readseq,overwrite)\n"
    "  --keys N           keys of a fill (default 1000000)\n"
    "  --key-bytes N      16 to 256 (default 16)\n"
    "  --value-bytes N    up to 32768 (default 100)\n"
    "  --cache MIB        block cache (default 256)\n"
    "  --duration S       seconds of each read workload at most (default 5)\n"
    "  --seed N           default 1\n"
    "  --dir DIR          where the data go (default: a temporary folder here, removed after)\n"
    "  --json FILE        one line an engine and workload\n"
    "  --help, --version\n";

/* ---- Measuring ---- */

static uint64_t
now_ns(clockid_t clock)
{
    struct timespec at;

    clock_gettime(clock, &at);
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static uint64_t
folder_bytes(const char *path)
{
    DIR *dir = opendir(path);
    uint64_t bytes = 0;
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char name[4096];
        struct stat status;

        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (lstat(name, &status) == 0) {
            bytes +=
                S_ISDIR(status.st_mode) ? folder_bytes(name) : (uint64_t)status.st_blocks * 512;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return bytes;
}

static void
folder_remove(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char name[4096];
        struct stat status;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (lstat(name, &status) == 0 && S_ISDIR(status.st_mode)) {
            folder_remove(name);
        } else {
            unlink(name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    rmdir(path);
}

/* ---- Operations ---- */

static uint64_t
mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void
key_make(const struct run *run, uint64_t number, char *out)
{
    char digits[17];

    snprintf(digits, sizeof(digits), "%016llx", (unsigned long long)number);
    memcpy(out, digits, 16);
    memset(out + 16, '.', run->options->key_bytes - 16);
}

static const uint8_t *
value_draw(struct run *run)
{
    return run->value + prng_below(&run->prng, VALUE_BYTES_MAX);
}

/* One operation of the workload on key number `i`; *done_out when there is no further one. */
typedef bool (*operation)(struct run *run, uint64_t i, bool *done_out);

static bool
op_put(struct run *run, uint64_t number)
{
    char key[KEY_BYTES_MAX];

    key_make(run, number, key);
    return run->engine->put(run->db, key, run->options->key_bytes, value_draw(run),
                            run->options->value_bytes);
}

static bool
op_fillseq(struct run *run, uint64_t i, bool *done_out)
{
    *done_out = i + 1 >= run->options->keys;
    return op_put(run, i);
}

static bool
op_fillrandom(struct run *run, uint64_t i, bool *done_out)
{
    *done_out = i + 1 >= run->options->keys;
    return op_put(run, mix(i));
}

static bool
op_overwrite(struct run *run, uint64_t i, bool *done_out)
{
    *done_out = i + 1 >= run->options->keys;
    return op_put(run, mix(prng_below(&run->prng, run->options->keys)));
}

static bool
op_deleterandom(struct run *run, uint64_t i, bool *done_out)
{
    char key[KEY_BYTES_MAX];

    *done_out = i + 1 >= run->options->keys;
    key_make(run, mix(prng_below(&run->prng, run->options->keys)), key);
    return run->engine->delete (run->db, key, run->options->key_bytes);
}

static bool
read_key(struct run *run, uint64_t number, bool is_expected)
{
    char key[KEY_BYTES_MAX];
    bool is_found = false;
    size_t size = 0;

    key_make(run, number, key);
    if (!run->engine->get(run->db, key, run->options->key_bytes, &is_found, &size)) {
        return false;
    }
    if (is_found != is_expected || (is_found && size != run->options->value_bytes)) {
        fprintf(stderr, "%s: a wrong answer for key %s\n", run->engine->name, key);
        return false;
    }
    return true;
}

static bool
op_readrandom(struct run *run, uint64_t i, bool *done_out)
{
    (void)i;
    *done_out = false;
    return read_key(run, mix(prng_below(&run->prng, run->options->keys)), true);
}

static bool
op_readmissing(struct run *run, uint64_t i, bool *done_out)
{
    *done_out = false;
    return read_key(run, mix(run->options->keys + i), false);
}

static bool
op_seekrandom(struct run *run, uint64_t i, bool *done_out)
{
    char key[KEY_BYTES_MAX];
    uint64_t seen;

    (void)i;
    *done_out = false;
    key_make(run, prng_next(&run->prng), key);
    return run->engine->scan(run->db, key, run->options->key_bytes, SCAN_ENTRIES, &seen);
}

/* One operation is one entry: the scan of all is counted by what it saw. */
static bool
op_readseq(struct run *run, uint64_t i, bool *done_out)
{
    uint64_t seen = 0;
    bool is_fine = run->engine->scan(run->db, "", 0, UINT64_MAX, &seen);

    (void)i;
    *done_out = true;
    run->ops += seen - (seen > 0);
    return is_fine;
}

static const struct workload {
    const char *name;
    operation run;
    bool is_bounded_by_time, is_sync;
} workloads[] = {
    {"fillseq", op_fillseq, false, false},           {"fillrandom", op_fillrandom, false, false},
    {"fillsync", op_fillrandom, true, true},         {"overwrite", op_overwrite, false, false},
    {"readrandom", op_readrandom, true, false},      {"readmissing", op_readmissing, true, false},
    {"seekrandom", op_seekrandom, true, false},      {"readseq", op_readseq, false, false},
    {"deleterandom", op_deleterandom, false, false},
};

static const struct bench_engine *const engines[] = {
    &bench_orbit,
    &bench_rocksdb,
    &bench_rocksdb_tuned,
};

/* ---- Running ---- */

static void
progress(const struct run *run, const char *workload, uint64_t i)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K%s %s: %llu", run->engine->name, workload, (unsigned long long)i);
    }
}

static bool
workload_run(struct run *run, const struct workload *workload)
{
    uint64_t start_ns = now_ns(CLOCK_MONOTONIC);
    uint64_t before_ns = start_ns;
    bool is_done = false;

    for (uint64_t i = 0; !is_done; i++) {
        uint64_t after_ns;

        if (!workload->run(run, i, &is_done)) {
            return false;
        }
        run->ops++;
        after_ns = now_ns(CLOCK_MONOTONIC);
        hist_record(&run->latency_ns, after_ns - before_ns);
        before_ns = after_ns;
        if (i % 65536 == 0) {
            progress(run, workload->name, i);
        }
        if (workload->is_bounded_by_time &&
            after_ns - start_ns > run->options->duration_ms * 1000000) {
            break;
        }
    }
    return true;
}

/* In the engine's own process: one workload, its result through the pipe. */
static bool
workload_measure(const struct options *options, const struct bench_engine *engine,
                 const struct workload *workload, const char *dir, struct result *result)
{
    struct bench_engine_options engine_options = {
        .dir = dir, .cache_bytes = options->cache_bytes, .sync = workload->is_sync};
    struct run *run = calloc(1, sizeof(*run));
    size_t material = options->value_bytes + VALUE_BYTES_MAX;
    uint64_t wall_ns, cpu_ns;
    struct rusage used;
    bool is_fine;

    ASSERT(run != NULL);
    run->options = options;
    run->engine = engine;
    run->value = malloc(material);
    ASSERT(run->value != NULL);
    prng_init(&run->prng, options->seed);
    for (size_t i = 0; i < material; i++) {
        run->value[i] = i % 2 == 0 ? (uint8_t)prng_next(&run->prng) : 'v';
    }
    if (!engine->open(&engine_options, &run->db)) {
        return false;
    }
    wall_ns = now_ns(CLOCK_MONOTONIC);
    cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    is_fine = workload_run(run, workload);
    wall_ns = now_ns(CLOCK_MONOTONIC) - wall_ns;
    cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
    engine->close(run->db);
    getrusage(RUSAGE_SELF, &used);
    snprintf(result->engine, sizeof(result->engine), "%s", engine->name);
    snprintf(result->workload, sizeof(result->workload), "%s", workload->name);
    result->ops_per_s = (double)run->ops * 1e9 / (double)wall_ns;
    result->cpu_us_per_op = (double)cpu_ns / 1e3 / (double)MAX(run->ops, (uint64_t)1);
    result->p50_us = hist_quantile(&run->latency_ns, 0.5) / 1000;
    result->p99_us = hist_quantile(&run->latency_ns, 0.99) / 1000;
    result->p999_us = hist_quantile(&run->latency_ns, 0.999) / 1000;
    result->max_us = run->latency_ns.max / 1000;
    result->disk_bytes = folder_bytes(dir);
    result->peak_rss_bytes = (uint64_t)used.ru_maxrss * 1024;
    free(run->value);
    free(run);
    return is_fine;
}

static bool
workload_fork(const struct options *options, const struct bench_engine *engine,
              const struct workload *workload, const char *dir, struct result *result)
{
    int ends[2];
    int status = 0;
    ssize_t got;
    pid_t child;

    if (pipe(ends) != 0) {
        return false;
    }
    child = fork();
    if (child == 0) {
        bool is_fine = workload_measure(options, engine, workload, dir, result);

        _exit(is_fine && write(ends[1], result, sizeof(*result)) == (ssize_t)sizeof(*result) ? 0
                                                                                             : 1);
    }
    close(ends[1]);
    got = child > 0 ? read(ends[0], result, sizeof(*result)) : -1;
    close(ends[0]);
    if (child > 0) {
        waitpid(child, &status, 0);
    }
    return got == (ssize_t)sizeof(*result) && status == 0;
}

/* ---- Reporting ---- */

static const struct result *
result_find(const struct result *results, size_t count, const char *engine, const char *workload)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(results[i].engine, engine) == 0 && strcmp(results[i].workload, workload) == 0) {
            return &results[i];
        }
    }
    return NULL;
}

static void
table_print(const struct result *results, size_t count)
{
    printf("%-13s %-14s %12s %10s %8s %8s %9s %9s %9s %9s\n", "workload", "engine", "ops/s",
           "cpu us/op", "p50 us", "p99 us", "max us", "disk MB", "rss MB", "orbit x");
    for (size_t i = 0; i < count; i++) {
        const struct result *result = &results[i];
        const struct result *orbit = result_find(results, count, "orbit", result->workload);

        printf("%-13s %-14s %12.0f %10.2f %8llu %8llu %9llu %9.0f %9.0f %9.2f\n", result->workload,
               result->engine, result->ops_per_s, result->cpu_us_per_op,
               (unsigned long long)result->p50_us, (unsigned long long)result->p99_us,
               (unsigned long long)result->max_us, (double)result->disk_bytes / 1e6,
               (double)result->peak_rss_bytes / 1e6,
               orbit != NULL ? orbit->ops_per_s / result->ops_per_s : 0.0);
    }
    printf("\norbit x: Orbit's throughput over this engine's. Peers from the distribution may be "
           "built with assertions: perf/README.md.\n");
}

static void
json_write(const char *path, const struct result *results, size_t count)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        fprintf(stderr, "orbit-bench: cannot write %s: %s\n", path, strerror(errno));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct result *result = &results[i];

        fprintf(file,
                "{\"engine\": \"%s\", \"workload\": \"%s\", \"ops_per_s\": %.1f, "
                "\"cpu_us_per_op\": %.3f, \"p50_us\": %llu, \"p99_us\": %llu, \"p999_us\": %llu, "
                "\"max_us\": %llu, \"disk_bytes\": %llu, \"peak_rss_bytes\": %llu}\n",
                result->engine, result->workload, result->ops_per_s, result->cpu_us_per_op,
                (unsigned long long)result->p50_us, (unsigned long long)result->p99_us,
                (unsigned long long)result->p999_us, (unsigned long long)result->max_us,
                (unsigned long long)result->disk_bytes, (unsigned long long)result->peak_rss_bytes);
    }
    fclose(file);
}

/* ---- Options ---- */

static bool
list_has(const char *list, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, size) == 0 && (at[size] == ',' || at[size] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Every word of the list must be one of the names. */
static bool
list_check(const char *list, bool (*is_known)(const char *name), const char *what)
{
    char copy[256];
    char *rest = NULL;

    snprintf(copy, sizeof(copy), "%s", list);
    for (char *word = strtok_r(copy, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (!is_known(word)) {
            fprintf(stderr, "orbit-bench: there is no %s \"%s\" in this build; see --help\n", what,
                    word);
            return false;
        }
    }
    return true;
}

static bool
engine_is_known(const char *name)
{
    bool is_known = strcmp(name, "all") == 0;

    for (size_t i = 0; i < ARRAY_COUNT(engines); i++) {
        is_known = is_known || strcmp(name, engines[i]->name) == 0;
    }
    return is_known;
}

static const struct workload *
workload_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(workloads); i++) {
        if (strcmp(name, workloads[i].name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}

static bool
workload_is_known(const char *name)
{
    return workload_find(name) != NULL;
}

static bool
number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);

    if (*end != '\0' || end == text || number < min || number > max) {
        fprintf(stderr, "orbit-bench: %s is not a number from %llu to %llu\n", text,
                (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *out = number;
    return true;
}

static bool
option_set(struct options *options, const char *flag, const char *value)
{
    uint64_t number = 0;
    bool is_fine = true;

    if (strcmp(flag, "--engine") == 0) {
        options->engines = value;
    } else if (strcmp(flag, "--workload") == 0) {
        options->workloads = value;
    } else if (strcmp(flag, "--dir") == 0) {
        options->dir = value;
    } else if (strcmp(flag, "--json") == 0) {
        options->json = value;
    } else if (strcmp(flag, "--keys") == 0) {
        is_fine = number_parse(value, 1, 1000000000, &options->keys);
    } else if (strcmp(flag, "--seed") == 0) {
        is_fine = number_parse(value, 0, UINT64_MAX, &options->seed);
    } else if (strcmp(flag, "--cache") == 0) {
        is_fine = number_parse(value, 8, 1 << 20, &number);
        options->cache_bytes = number << 20;
    } else if (strcmp(flag, "--duration") == 0) {
        is_fine = number_parse(value, 1, 3600, &number);
        options->duration_ms = number * 1000;
    } else if (strcmp(flag, "--key-bytes") == 0) {
        is_fine = number_parse(value, KEY_BYTES_MIN, KEY_BYTES_MAX, &number);
        options->key_bytes = number;
    } else if (strcmp(flag, "--value-bytes") == 0) {
        is_fine = number_parse(value, 1, VALUE_BYTES_MAX, &number);
        options->value_bytes = number;
    } else {
        fprintf(stderr, "orbit-bench: unknown option %s\n%s", flag, usage);
        is_fine = false;
    }
    return is_fine;
}

static bool
engine_run(const struct options *options, const struct bench_engine *engine, const char *base,
           struct result *results, size_t *count)
{
    char copy[256];
    char dir[4096];
    char *rest = NULL;

    snprintf(copy, sizeof(copy), "%s", options->workloads);
    snprintf(dir, sizeof(dir), "%s/%s", base, engine->name);
    for (char *word = strtok_r(copy, ",", &rest); word != NULL && *count < RESULTS_MAX;
         word = strtok_r(NULL, ",", &rest)) {
        const struct workload *workload = workload_find(word);

        if (!workload_fork(options, engine, workload, dir, &results[*count])) {
            fprintf(stderr, "orbit-bench: %s failed at %s\n", engine->name, word);
            return false;
        }
        (*count)++;
    }
    return true;
}

int
main(int argc, char **argv)
{
    struct options options = {
        .engines = "all",
        .workloads = "fillrandom,readrandom,readmissing,seekrandom,readseq,overwrite",
        .keys = 1000000,
        .seed = 1,
        .cache_bytes = UINT64_C(256) << 20,
        .duration_ms = 5000,
        .key_bytes = 16,
        .value_bytes = 100,
    };
    static struct result results[RESULTS_MAX];
    char temporary[] = "./orbit-bench-XXXXXX";
    const char *base;
    size_t count = 0;
    bool is_fine = true;

    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("orbit-bench %s (%s)\n", PACKAGE_VERSION, orbit_commit());
            return 0;
        }
        if (i + 1 == argc || !option_set(&options, argv[i], argv[i + 1])) {
            return 64;
        }
    }
    if (!list_check(options.engines, engine_is_known, "engine") ||
        !list_check(options.workloads, workload_is_known, "workload")) {
        return 64;
    }
    base = options.dir != NULL ? options.dir : mkdtemp(temporary);
    if (base == NULL || (mkdir(base, 0750) != 0 && errno != EEXIST)) {
        fprintf(stderr, "orbit-bench: cannot make a folder for the data: %s\n", strerror(errno));
        return 1;
    }
    for (size_t i = 0; i < ARRAY_COUNT(engines) && is_fine; i++) {
        if (list_has(options.engines, "all") || list_has(options.engines, engines[i]->name)) {
            is_fine = engine_run(&options, engines[i], base, results, &count);
        }
    }
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K");
    }
    table_print(results, count);
    if (options.json != NULL) {
        json_write(options.json, results, count);
    }
    if (options.dir == NULL) {
        folder_remove(base);
    }
    return is_fine ? 0 : 1;
}
