/* tests/sim/jobs.c - seeds in child processes.
 *
 * A child runs one seed, writes what it counted into shared memory and exits. One that dies, by
 * an assertion, a sanitizer or its alarm, is a failed seed; what it printed is shown. Every
 * JOBS_REPEAT_EVERYth seed runs twice, and both runs must have the same trace hash. */
#include "tests/sim/jobs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/assert.h"

enum { JOBS_REPEAT_EVERY = 40, JOBS_OUTPUT_BYTES_MAX = 64 << 10 };

struct job {
    pid_t pid; /* 0: free. */
    uint64_t seed;
    bool is_repeat;
    uint64_t first_hash;
    FILE *output;
    struct run_result *result; /* Shared with the child. */
};

struct jobs {
    const struct jobs_options *options;
    struct jobs_summary *summary;
    uint64_t next; /* Of the seeds, from 0. */
    uint32_t running;
    struct job slots[JOBS_MAX];
};

static _Noreturn void
die(const char *what)
{
    fprintf(stderr, "orbit-sim: %s: %s\n", what, strerror(errno));
    exit(2);
}

static _Noreturn void
job_child(const struct jobs *jobs, struct job *job)
{
    const struct jobs_options *options = jobs->options;

    if (!options->is_traced) {
        if (dup2(fileno(job->output), STDOUT_FILENO) < 0 ||
            dup2(fileno(job->output), STDERR_FILENO) < 0) {
            die("dup2");
        }
    }
    alarm(options->seconds_max);
    run_seed(job->seed, options->scenario, options->is_traced, job->result);
    fflush(stdout);
    _exit(0);
}

static void
job_start(struct jobs *jobs, struct job *job)
{
    memset(job->result, 0, sizeof(*job->result));
    job->output = tmpfile();
    if (job->output == NULL) {
        die("a temporary file");
    }
    fflush(stdout);
    fflush(stderr);
    job->pid = fork();
    if (job->pid < 0) {
        die("fork");
    }
    if (job->pid == 0) {
        job_child(jobs, job);
    }
    jobs->running++;
}

static void
job_print_output(struct job *job)
{
    static char text[JOBS_OUTPUT_BYTES_MAX];
    long size;
    size_t got;

    fseek(job->output, 0, SEEK_END);
    size = ftell(job->output);
    if (size > (long)sizeof(text)) {
        printf("(%ld bytes of output left out)\n", size - (long)sizeof(text));
        fseek(job->output, -(long)sizeof(text), SEEK_END);
    } else {
        rewind(job->output);
    }
    got = fread(text, 1, sizeof(text), job->output);
    fwrite(text, 1, got, stdout);
}

static void
jobs_fail(struct jobs *jobs, struct job *job, int status)
{
    const struct jobs_options *options = jobs->options;

    jobs->summary->failed++;
    printf("---- seed %llu failed", (unsigned long long)job->seed);
    if (WIFSIGNALED(status)) {
        if (WTERMSIG(status) == SIGALRM) {
            printf(": it ran for more than %u s", options->seconds_max);
        } else {
            printf(": killed by %s", strsignal(WTERMSIG(status)));
        }
    } else if (WEXITSTATUS(status) != 0) {
        printf(": exit status %d", WEXITSTATUS(status));
    }
    printf(" ----\n");
    job_print_output(job);
    printf("replay: %s --seed %llu --seeds 1\n", options->replay, (unsigned long long)job->seed);
    fflush(stdout);
}

static void
summary_add(struct jobs_summary *summary, const struct run_result *result)
{
    struct run_result *total = &summary->total;

    total->operations += result->operations;
    total->lives += result->lives;
    total->virtual_us += result->virtual_us;
    total->counters.kills += result->counters.kills;
    total->counters.power_cuts += result->counters.power_cuts;
    total->counters.messages += result->counters.messages;
    total->counters.turns += result->counters.turns;
    for (uint32_t i = 0; i < SIM_OP_COUNT; i++) {
        total->counters.ops[i] += result->counters.ops[i];
    }
    for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++) {
        total->counters.faults[i] += result->counters.faults[i];
    }
    for (uint32_t i = 0; i < RUN_POINTS_MAX; i++) {
        total->points[i] += result->points[i];
        summary->point_runs[i] += result->points[i] > 0;
    }
}

static bool
job_repeats(const struct jobs *jobs, const struct job *job)
{
    return !job->is_repeat && !jobs->options->is_traced && job->seed % JOBS_REPEAT_EVERY == 0;
}

/* A child has ended: count it, and start its repetition when it is due one. */
static void
job_end(struct jobs *jobs, struct job *job, int status)
{
    struct jobs_summary *summary = jobs->summary;
    struct run_result *result = job->result;
    bool is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && result->is_done;

    jobs->running--;
    job->pid = 0;
    if (job->is_repeat) {
        summary->repeated++;
        if (is_good && result->trace_hash != job->first_hash) {
            printf("seed %llu has trace %016llx and then %016llx\n", (unsigned long long)job->seed,
                   (unsigned long long)job->first_hash, (unsigned long long)result->trace_hash);
            is_good = false;
        }
    } else {
        summary->seeds++;
    }
    if (!is_good) {
        jobs_fail(jobs, job, status);
    } else if (!job->is_repeat) {
        summary_add(summary, result);
    }
    fclose(job->output);
    job->output = NULL;
    if (is_good && job_repeats(jobs, job)) {
        job->is_repeat = true;
        job->first_hash = result->trace_hash;
        job_start(jobs, job);
    }
}

static void
jobs_wait(struct jobs *jobs)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);

    if (pid < 0) {
        if (errno == EINTR) {
            return;
        }
        die("waitpid");
    }
    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        if (jobs->slots[i].pid == pid) {
            job_end(jobs, &jobs->slots[i], status);
            return;
        }
    }
}

static void
jobs_fill(struct jobs *jobs)
{
    const struct jobs_options *options = jobs->options;

    for (uint32_t i = 0; i < options->jobs; i++) {
        struct job *job = &jobs->slots[i];

        if (job->pid != 0 || jobs->next == options->seeds ||
            (options->stop_at_failure && jobs->summary->failed > 0)) {
            continue;
        }
        job->seed = options->first_seed + jobs->next++;
        job->is_repeat = false;
        job_start(jobs, job);
    }
}

void
jobs_run(const struct jobs_options *options, struct jobs_summary *summary)
{
    static struct jobs jobs;
    size_t bytes = JOBS_MAX * sizeof(struct run_result);
    struct run_result *results =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (results == MAP_FAILED) {
        die("mmap");
    }
    ASSERT(options->jobs >= 1);
    ASSERT(options->jobs <= JOBS_MAX);
    memset(summary, 0, sizeof(*summary));
    jobs = (struct jobs){.options = options, .summary = summary};
    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        jobs.slots[i].result = &results[i];
    }
    for (jobs_fill(&jobs); jobs.running > 0; jobs_fill(&jobs)) {
        jobs_wait(&jobs);
    }
    munmap(results, bytes);
}
