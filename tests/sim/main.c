/* tests/sim/main.c - orbit-sim: the storage layers against a simulated disk, by seeds.
 *
 * What it does and how to read a failure: tests/sim/README.md. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/commit.h"
#include "tests/sim/jobs.h"

enum {
    SEEDS_DEFAULT = 100,
    SECONDS_DEFAULT = 120,
    POINTS_FROM_SEEDS = 500, /* In so many runs every "sometimes" point must have been reached. */
};

struct arguments {
    struct jobs_options jobs;
    const char *scenario;
    char replay[512];
    bool is_listed;
};

static void
usage(FILE *out)
{
    fprintf(
        out,
        "Usage: orbit-sim [--seeds N] [--seed S] [--scenario NAME|all] [--canary NAME]\n"
        "                 [--trace] [--jobs N] [--seconds N] [--list] [--help]\n"
        "\n"
        "Runs the storage layers on a simulated disk, with virtual time, faults and crashes\n"
        "that are drawn from a seed. Equal seeds give equal runs.\n"
        "\n"
        "  --seeds N        that many runs (default %d), with the seeds S, S+1, ...\n"
        "  --seed S         the first seed (default 1)\n"
        "  --scenario NAME  one scenario instead of the one that each seed draws\n"
        "  --canary NAME    switch a planted bug on and stop at the first seed that finds it\n"
        "  --trace          print every event; one run at a time\n"
        "  --jobs N         runs at a time (default: the number of CPUs)\n"
        "  --seconds N      a run that takes longer has failed (default %d)\n"
        "  --list           list the scenarios, canaries and sometimes points\n"
        "\n"
        "The last line is \"N seeds, N failed\". Exit status: 0 when all passed, 1 when a seed\n"
        "failed or a point was never reached in %d runs or more, 2 for wrong arguments.\n",
        SEEDS_DEFAULT, SECONDS_DEFAULT, POINTS_FROM_SEEDS);
}

static _Noreturn void
refuse(const char *what, const char *value)
{
    fprintf(stderr, "orbit-sim: %s: %s\n", what, value);
    exit(2);
}

static uint64_t
parse_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < min || value > max) {
        refuse(option, text);
    }
    return value;
}

static void
list_all(void)
{
    size_t count;
    struct sometimes_point *const *points = sometimes_points(&count);

    printf("scenarios\n");
    for (uint32_t i = 0; i < run_scenario_count; i++) {
        printf("  %-12s %s\n", run_scenarios[i]->name, run_scenarios[i]->text);
    }
    printf("canaries\n");
    for (enum canary i = CANARY_NONE + 1; i < CANARY_COUNT; i++) {
        printf("  %-24s %s\n", canary_name(i), canary_text(i));
    }
    printf("sometimes\n");
    for (size_t i = 0; i < count; i++) {
        printf("  %-60s %s:%d\n", points[i]->text, points[i]->file, points[i]->line);
    }
}

static void
set_canary(struct arguments *arguments, const char *name)
{
    canary_active = canary_from_name(name);
    if (canary_active == CANARY_NONE) {
        refuse("there is no canary of this name (--list shows them)", name);
    }
    arguments->jobs.stop_at_failure = true;
}

static void
set_scenario(struct arguments *arguments, const char *name)
{
    arguments->scenario = name;
    arguments->jobs.scenario = NULL;
    if (strcmp(name, "all") != 0) {
        arguments->jobs.scenario = run_scenario_find(name);
        if (arguments->jobs.scenario == NULL) {
            refuse("there is no scenario of this name (--list shows them)", name);
        }
    }
}

static void
parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 'n'},    {"seed", required_argument, NULL, 's'},
        {"scenario", required_argument, NULL, 'c'}, {"canary", required_argument, NULL, 'y'},
        {"trace", no_argument, NULL, 't'},          {"jobs", required_argument, NULL, 'j'},
        {"seconds", required_argument, NULL, 'w'},  {"list", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    struct jobs_options *jobs = &arguments->jobs;
    int option;

    while ((option = getopt_long(argc, argv, "j:h", options, NULL)) != -1) {
        switch (option) {
        case 'n':
            jobs->seeds = parse_number("--seeds", optarg, 1, UINT32_MAX);
            break;
        case 's':
            jobs->first_seed = parse_number("--seed", optarg, 0, UINT64_MAX - UINT32_MAX);
            break;
        case 'c':
            set_scenario(arguments, optarg);
            break;
        case 'y':
            set_canary(arguments, optarg);
            break;
        case 't':
            jobs->is_traced = true;
            break;
        case 'j':
            jobs->jobs = (uint32_t)parse_number("--jobs", optarg, 1, JOBS_MAX);
            break;
        case 'w':
            jobs->seconds_max = (uint32_t)parse_number("--seconds", optarg, 1, 86400);
            break;
        case 'l':
            arguments->is_listed = true;
            break;
        case 'h':
            usage(stdout);
            exit(0);
        default:
            usage(stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        refuse("unexpected argument", argv[optind]);
    }
}

static void
print_head(const struct arguments *arguments)
{
    const struct jobs_options *jobs = &arguments->jobs;

    printf("orbit-sim: seeds %llu to %llu, scenario %s, canary %s, %u at a time, at most %u s a "
           "run, commit %s\n",
           (unsigned long long)jobs->first_seed,
           (unsigned long long)(jobs->first_seed + jobs->seeds - 1), arguments->scenario,
           canary_active == CANARY_NONE ? "none" : canary_name(canary_active), jobs->jobs,
           jobs->seconds_max, orbit_commit());
    fflush(stdout);
}

static void
print_counts(const struct jobs_summary *summary)
{
    const struct sim_counters *counters = &summary->total.counters;

    printf("operations  %llu in %llu lives, %.0f s of virtual time, %llu turns, %llu messages\n",
           (unsigned long long)summary->total.operations, (unsigned long long)summary->total.lives,
           (double)summary->total.virtual_us / 1e6, (unsigned long long)counters->turns,
           (unsigned long long)counters->messages);
    printf("crashes     %llu kills, %llu power cuts\n", (unsigned long long)counters->kills,
           (unsigned long long)counters->power_cuts);
    printf("repeated    %llu seeds ran twice with the same trace\n",
           (unsigned long long)summary->repeated);
    printf("disk       ");
    for (enum sim_op i = 0; i < SIM_OP_COUNT; i++) {
        printf(" %s %llu%s", sim_op_name(i), (unsigned long long)counters->ops[i],
               i + 1 < SIM_OP_COUNT ? "," : "\n");
    }
    printf("faults\n");
    for (enum sim_fault i = 0; i < SIM_FAULT_COUNT; i++) {
        printf("  %10llu  %s\n", (unsigned long long)counters->faults[i], sim_fault_name(i));
    }
}

/* The first point with this text, under which all of them are counted. */
static size_t
point_canonical(struct sometimes_point *const *points, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(points[i]->text, points[index]->text) == 0) {
            return i;
        }
    }
    return index;
}

/* Returns how many were never reached. */
static uint32_t
print_points(struct jobs_summary *summary)
{
    size_t count;
    struct sometimes_point *const *points = sometimes_points(&count);
    uint32_t missed = 0;

    for (size_t i = 0; i < count; i++) {
        size_t first = point_canonical(points, i);

        if (first != i) {
            summary->total.points[first] += summary->total.points[i];
            summary->point_runs[first] = MAX(summary->point_runs[first], summary->point_runs[i]);
        }
    }
    printf("sometimes (hits, runs that reached it at least)\n");
    for (size_t i = 0; i < count; i++) {
        if (point_canonical(points, i) == i) {
            printf("  %10llu %6llu  %s\n", (unsigned long long)summary->total.points[i],
                   (unsigned long long)summary->point_runs[i], points[i]->text);
            missed += summary->total.points[i] == 0;
        }
    }
    return missed;
}

static uint32_t
count_missed_faults(const struct jobs_summary *summary)
{
    uint32_t missed = 0;

    for (enum sim_fault i = 0; i < SIM_FAULT_COUNT; i++) {
        missed += summary->total.counters.faults[i] == 0;
    }
    return missed;
}

static int
report(const struct arguments *arguments, struct jobs_summary *summary, double seconds)
{
    uint32_t missed;
    bool is_complete = arguments->jobs.scenario == NULL && canary_active == CANARY_NONE &&
                       summary->seeds >= POINTS_FROM_SEEDS && summary->failed == 0;
    bool is_good = summary->failed == 0;

    print_counts(summary);
    missed = print_points(summary) + count_missed_faults(summary);
    if (is_complete && missed > 0) {
        printf("%u sometimes points or kinds of faults were never reached in %llu runs: they "
               "prove nothing\n",
               missed, (unsigned long long)summary->seeds);
        is_good = false;
    }
    if (!arguments->jobs.is_traced) { /* A trace is compared with another one, line by line. */
        printf("took        %.1f s\n", seconds);
    }
    printf("%llu seeds, %llu failed\n", (unsigned long long)summary->seeds,
           (unsigned long long)summary->failed);
    return is_good ? 0 : 1;
}

static double
seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
    static struct jobs_summary summary;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    double start = seconds_now();
    size_t points;
    struct arguments arguments = {
        .jobs =
            {
                .first_seed = 1,
                .seeds = SEEDS_DEFAULT,
                .jobs = (uint32_t)MIN(MAX(cpus, 1L), (long)JOBS_MAX),
                .seconds_max = SECONDS_DEFAULT,
            },
        .scenario = "all",
    };

    parse_arguments(argc, argv, &arguments);
    if (arguments.is_listed) {
        list_all();
        return 0;
    }
    sometimes_points(&points);
    ASSERT(points <= RUN_POINTS_MAX);
    arguments.jobs.jobs = arguments.jobs.is_traced ? 1 : arguments.jobs.jobs;
    snprintf(arguments.replay, sizeof(arguments.replay), "%s --scenario %s%s%s", argv[0],
             arguments.scenario, canary_active == CANARY_NONE ? "" : " --canary ",
             canary_active == CANARY_NONE ? "" : canary_name(canary_active));
    arguments.jobs.replay = arguments.replay;
    print_head(&arguments);
    jobs_run(&arguments.jobs, &summary);
    return report(&arguments, &summary, seconds_now() - start);
}
