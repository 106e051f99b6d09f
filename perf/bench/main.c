/* perf/bench/main.c - orbit-bench: the same operations on Orbit and its peers, one table of ratios.
 *
 * Each engine gets a folder of its own and processes of its own, so that memory and CPU time are
 * its alone. What each file does: perf/bench/README.md. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/commit.h"
#include "perf/bench/bench.h"
#include "perf/bench/report.h"
#include "perf/bench/run.h"
#include "perf/bench/workload.h"

enum { EXIT_USAGE = 64 };

static bool
lists_check(const struct bench_options *options)
{
    const char *engines = options->engines;
    const char *workloads = options->workloads;
    char word[64];

    while (bench_list_next(&engines, word, sizeof(word))) {
        if (strcmp(word, "all") != 0 && bench_engine_find(word) == NULL) {
            fprintf(stderr, "orbit-bench: this build has no engine \"%s\"; see --help\n", word);
            return false;
        }
    }
    while (bench_list_next(&workloads, word, sizeof(word))) {
        const struct workload *workload = workload_find(word);

        if (workload == NULL) {
            fprintf(stderr, "orbit-bench: there is no workload \"%s\"; see --help\n", word);
            return false;
        }
        if (options->uses_existing && (workload->flags & WORKLOAD_FILL) != 0) {
            fprintf(stderr, "orbit-bench: %s would replace what --use-existing asks to keep\n",
                    word);
            return false;
        }
    }
    return true;
}

static bool
is_chosen(const struct bench_options *options, const struct bench_engine *engine)
{
    const char *at = options->engines;
    char word[64];

    while (bench_list_next(&at, word, sizeof(word))) {
        if (strcmp(word, engine->name) == 0 || (strcmp(word, "all") == 0 && !engine->is_async)) {
            return true;
        }
    }
    return false;
}

static bool
engines_run(const struct bench_options *options, const char *base, struct bench_result *results,
            uint32_t *count)
{
    bool is_fine = true;

    for (uint32_t i = 0; bench_engines[i] != NULL; i++) {
        if (!run_is_interrupted() && is_chosen(options, bench_engines[i]) &&
            !run_engine(options, bench_engines[i], base, results, count)) {
            is_fine = false; /* The others may still be compared. */
        }
    }
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K");
    }
    return is_fine;
}

static void
on_signal(int number)
{
    (void)number;
    run_interrupt();
}

int
main(int argc, char **argv)
{
    static struct bench_result results[RUN_RESULTS_MAX];
    struct sigaction interrupt = {.sa_handler = on_signal}; /* Ends waitpid. */
    struct bench_options options;
    char temporary[] = "./orbit-bench-XXXXXX";
    const char *base;
    uint32_t count = 0;
    bool is_fine;

    if (!bench_options_parse(&options, argc, argv)) {
        return EXIT_USAGE;
    }
    if (options.is_help || options.is_version) {
        if (options.is_help) {
            fputs(bench_usage, stdout);
        } else {
            printf("orbit-bench %s (%s)\n", PACKAGE_VERSION, orbit_commit());
        }
        return 0;
    }
    if (!lists_check(&options)) {
        return EXIT_USAGE;
    }
    base = options.dir != NULL ? options.dir : mkdtemp(temporary);
    if (base == NULL || (mkdir(base, 0750) != 0 && errno != EEXIST)) {
        fprintf(stderr, "orbit-bench: cannot make a folder for the data: %s\n", strerror(errno));
        return 1;
    }
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGTERM, &interrupt, NULL);
    is_fine = engines_run(&options, base, results, &count);
    report_table(&options, results, count);
    is_fine = (options.json == NULL || report_json(&options, results, count)) && is_fine;
    is_fine = (options.plot == NULL || report_plot(options.plot, results, count)) && is_fine;
    if (!options.keeps) {
        measure_folder_remove(base);
    } else if (options.dir == NULL) {
        printf("The data are in %s\n", base);
    }
    return is_fine ? 0 : 1;
}
