/* perf/bench/run.c - an engine through its workloads.
 *
 * Every workload that writes has a process of its own; workloads that only read and follow each
 * other share one, so that the store is opened and warmed once for them. The child writes its
 * results to memory shared with the parent. */
#include "perf/bench/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "perf/bench/clients.h"
#include "perf/bench/workload.h"

enum {
    GROUP_MAX = 32,
    WARM_ROWS = 16, /* Warming gets every so many rows' last key. */
    QUIET_CHECKS = 10,
    QUIET_CHECK_US = 20000,
    QUIET_CPU_PERCENT = 10,
    QUIET_WRITTEN_BYTES = 16 << 10, /* A log may go on telling how far it is durable. */
    IDLE_US_MIN = 20,
    IDLE_US_MAX = 1000,
    SETTLE_S_MAX = 600,
};
#define ZIPF_THETA 0.99

/* Workloads that one process does, and what it shares with its parent. */
struct group {
    const struct bench_options *options;
    const struct bench_engine *engine;
    const struct workload *workloads[GROUP_MAX];
    uint32_t count;
    const char *folder;
    char dir[4096];
    struct measure_limit limit;
    struct shared *shared;
};

struct shared {
    struct keyspace space;
    struct bench_result results[GROUP_MAX];
    struct meter_window windows[GROUP_MAX][METER_WINDOWS];
};

static volatile sig_atomic_t is_interrupted;

void
run_interrupt(void)
{
    is_interrupted = 1;
}

bool
run_is_interrupted(void)
{
    return is_interrupted != 0;
}

/* ---- In the child. ---- */

/* Lets background work advance until then; waits between calls that had nothing to do, longer each
 * time, so that the waiting itself stays cheap. */
static void
idle_until(const struct bench_engine *engine, void *db, uint64_t until_ns)
{
    useconds_t wait_us = IDLE_US_MIN;

    do {
        if (engine->idle == NULL) {
            usleep(QUIET_CHECK_US);
        } else if (engine->idle(db)) {
            wait_us = IDLE_US_MIN;
        } else {
            usleep(wait_us);
            wait_us = MIN(wait_us * 2, (useconds_t)IDLE_US_MAX);
        }
    } while (measure_now_ns(CLOCK_MONOTONIC) < until_ns);
}

/* Waits until the process has neither read, written nor computed for a while. That is seen from
 * outside, and so the same for all engines. Returns the seconds until then. */
static double
settle(const struct bench_engine *engine, void *db)
{
    struct measure_usage before, now;
    uint64_t start_ns = measure_now_ns(CLOCK_MONOTONIC);
    uint64_t busy_ns = start_ns;
    uint32_t quiet = 0;

    measure_usage_get(&before);
    while (quiet < QUIET_CHECKS && busy_ns - start_ns < SETTLE_S_MAX * UINT64_C(1000000000)) {
        idle_until(engine, db, before.wall_ns + QUIET_CHECK_US * UINT64_C(1000));
        measure_usage_get(&now);
        quiet++;
        if (now.read_bytes != before.read_bytes ||
            now.written_bytes - before.written_bytes > QUIET_WRITTEN_BYTES ||
            (now.cpu_ns - before.cpu_ns) * 100 >
                (now.wall_ns - before.wall_ns) * QUIET_CPU_PERCENT) {
            quiet = 0;
            busy_ns = now.wall_ns;
        }
        before = now;
    }
    return (double)(busy_ns - start_ns) / 1e9;
}

/* Reads everything once in order, and one key of each few rows by itself when all of it has room
 * in the cache: so every block is in the place that point reads look in. */
static bool
warm_all(const struct run *run)
{
    const struct bench_engine *engine = run->engine;
    uint64_t bytes = run->space->keys * (run->space->key_bytes + run->space->value_bytes);
    bool has_room = bytes <= run->options->cache_bytes;
    void *session;
    bool is_fine, is_end = false;

    if (engine->seek == NULL) {
        return true;
    }
    if (!engine->session_open(run->db, &session)) {
        return false;
    }
    is_fine = engine->seek(session, bench_slice_of("", 0));
    while (is_fine && !is_end) {
        struct bench_rows rows = {0};
        struct bench_value value = {0};

        is_fine = engine->next(session, has_room ? WARM_ROWS : 1000, &rows);
        is_end = rows.count < (has_room ? WARM_ROWS : 1000);
        if (is_fine && has_room && rows.last_size > 0) {
            is_fine = engine->get(session, bench_slice_of(rows.last, rows.last_size), &value);
        }
    }
    engine->unseek(session);
    engine->session_close(session);
    return is_fine;
}

static void
result_fill(struct bench_result *result, const struct run *run, const struct meter *meter,
            const struct clients_total *total, const struct measure_usage *start,
            const struct measure_usage *end)
{
    double ops = (double)MAX(total->ops, (uint64_t)1);

    snprintf(result->engine, sizeof(result->engine), "%s", run->engine->name);
    snprintf(result->workload, sizeof(result->workload), "%s", run->workload->name);
    result->ops = total->ops;
    result->seconds = (double)(end->wall_ns - start->wall_ns) / 1e9;
    result->ops_per_s = (double)total->ops / result->seconds;
    result->cpu_us_per_op =
        (double)(end->cpu_ns - start->cpu_ns) / 1e3 / (ops + (double)total->background_ops);
    result->p50_us = meter_quantile_us(meter, 0.5);
    result->p99_us = meter_quantile_us(meter, 0.99);
    result->p999_us = meter_quantile_us(meter, 0.999);
    result->p9999_us = meter_quantile_us(meter, 0.9999);
    result->max_us = (double)meter->max_ns / 1000;
    result->read_amp = total->bytes_read == 0 ? 0
                                              : (double)(end->read_bytes - start->read_bytes) /
                                                    (double)total->bytes_read;
    result->windows_used = meter->windows_used;
    memcpy(result->windows, meter->windows, meter->windows_used * sizeof(meter->windows[0]));
}

/* Background work that the writes left belongs to what they cost. */
static bool
result_settle(struct bench_result *result, const struct run *run, const struct clients_total *total,
              const struct measure_usage *start)
{
    struct measure_usage end;
    bool is_fine = run->engine->flush == NULL || run->engine->flush(run->db);

    result->settle_s = settle(run->engine, run->db);
    measure_usage_get(&end);
    result->cpu_us_per_op = (double)(end.cpu_ns - start->cpu_ns) / 1e3 /
                            (double)MAX(total->ops + total->background_ops, (uint64_t)1);
    return is_fine;
}

static bool
workload_measure(struct run *run, struct bench_result *result)
{
    static struct meter meter;
    struct measure_usage start, end;
    struct clients_total total;
    uint32_t flags = run->workload->flags;
    bool is_bounded = (flags & (WORKLOAD_FILL | WORKLOAD_COUNT | WORKLOAD_ONCE)) == 0;
    uint64_t duration_ms = is_bounded ? run->options->duration_ms : 0;
    bool is_fine = true;

    if (strncmp(run->workload->name, "ycsb-", 5) == 0 && run->zipf.count == 0) {
        zipf_init(&run->zipf, run->space->keys, ZIPF_THETA);
    }
    if (run->options->is_warm && (flags & (WORKLOAD_READ | WORKLOAD_MIXED)) != 0) {
        run->is_warming = true;
        is_fine = clients_run(run, duration_ms / 2, &meter, &total);
        run->is_warming = false;
    }
    measure_peak_reset();
    measure_usage_get(&start);
    is_fine = is_fine && clients_run(run, duration_ms, &meter, &total);
    if (!is_fine) {
        return false;
    }
    measure_usage_get(&end);
    result_fill(result, run, &meter, &total, &start, &end);
    if ((flags & WORKLOAD_WRITE) != 0) {
        is_fine = result_settle(result, run, &total, &start);
    }
    result->peak_rss_bytes = measure_peak_bytes();
    if ((flags & WORKLOAD_WRITE) != 0) { /* Closing may write what no log keeps. */
        run->engine->close(run->db);
        run->db = NULL;
        measure_usage_get(&end);
        result->write_amp = (double)(end.written_bytes - start.written_bytes) /
                            (double)MAX(total.bytes_put, (uint64_t)1);
    }
    return is_fine;
}

static bool
group_open(const struct group *group, struct run *run, double *open_s_out)
{
    const struct bench_options *options = group->options;
    const struct workload *first = group->workloads[0];
    struct keyspace *space = &group->shared->space;
    struct bench_engine_options engine_options = {
        .dir = group->dir,
        .cache_bytes = options->cache_bytes,
        .data_bytes = 2 * (space->keys + space->inserted) * (space->key_bytes + space->value_bytes),
        .threads = clients_count(options, group->engine, first),
        .shards = options->shards,
        .index_bytes = options->index_bytes,
        .block_bytes = options->block_bytes,
        .no_compression = !options->is_compressed,
        .depth = options->threads,
        .is_sync = (first->flags & WORKLOAD_SYNC) != 0,
        .is_direct = options->is_direct,
    };
    uint64_t start_ns = measure_now_ns(CLOCK_MONOTONIC);

    *run = (struct run){.options = options, .engine = group->engine, .space = space};
    if (!group->engine->open(&engine_options, &run->db)) {
        return false;
    }
    *open_s_out = (double)(measure_now_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
    run->workload = first;
    return (first->flags & (WORKLOAD_READ | WORKLOAD_MIXED)) == 0 || !options->is_warm ||
           warm_all(run);
}

static bool
group_measure(struct group *group)
{
    struct run run;
    double open_s;
    bool is_fine;

    if (group->limit.path[0] != '\0' && !measure_limit_enter(&group->limit)) {
        fprintf(stderr, "orbit-bench: cannot enter the control group %s\n", group->limit.path);
        return false;
    }
    is_fine = group_open(group, &run, &open_s);
    for (uint32_t i = 0; i < group->count && is_fine; i++) {
        struct bench_result *result = &group->shared->results[i];

        run.workload = group->workloads[i];
        is_fine = workload_measure(&run, result);
        result->open_s = open_s;
        result->is_limited = group->limit.path[0] != '\0';
        result->disk_bytes = measure_folder_bytes(group->dir);
        result->is_done = is_fine;
    }
    if (is_fine && run.db != NULL) {
        run.engine->close(run.db);
    }
    return is_fine;
}

/* ---- In the parent. ---- */

static bool
group_fork(struct group *group)
{
    int status = -1;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        bool is_fine;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGTERM, SIG_DFL);
        is_fine = group_measure(group);
        fflush(stdout);
        _exit(is_fine ? 0 : 1);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
        if (run_is_interrupted()) {
            kill(child, SIGKILL);
        }
    }
    if (child > 0 && WIFSIGNALED(status) && !run_is_interrupted()) {
        fprintf(stderr, "orbit-bench: %s was ended by signal %d\n", group->engine->name,
                WTERMSIG(status));
    }
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What the store will hold when the group has begun. */
static bool
group_prepare(struct group *group, const char *base)
{
    const struct bench_options *options = group->options;
    const struct workload *first = group->workloads[0];
    struct keyspace *space = &group->shared->space;
    bool is_there = keyspace_load(space, base, group->folder);

    if ((first->flags & WORKLOAD_FILL) != 0) {
        measure_folder_remove(group->dir);
        is_there = false;
    }
    if (!is_there) {
        *space = (struct keyspace){.keys = options->keys,
                                   .key_bytes = options->key_bytes,
                                   .value_bytes = options->value_bytes,
                                   .order = first->order};
    }
    if (space->keys != options->keys || space->key_bytes != options->key_bytes ||
        space->value_bytes != options->value_bytes) {
        fprintf(stderr,
                "orbit-bench: %s holds %llu keys of %llu + %llu bytes: give the same --keys, "
                "--key-bytes and --value-bytes, or fill it anew\n",
                group->dir, (unsigned long long)space->keys, (unsigned long long)space->key_bytes,
                (unsigned long long)space->value_bytes);
        return false;
    }
    if (!is_there && (first->flags & (WORKLOAD_READ | WORKLOAD_MIXED)) != 0) {
        fprintf(stderr, "orbit-bench: %s has to be filled before %s\n", group->engine->name,
                first->name);
        return false;
    }
    space->is_whole = space->is_whole && (first->flags & WORKLOAD_HOLES) == 0;
    return keyspace_save(space, base, group->folder);
}

/* The windows move out of the shared memory, which the next group uses. */
static void
result_take(struct bench_result *into, const struct bench_result *from)
{
    size_t bytes = from->windows_used * sizeof(from->windows[0]);

    *into = *from;
    into->windows = malloc(MAX(bytes, (size_t)1));
    ASSERT(into->windows != NULL);
    memcpy(into->windows, from->windows, bytes);
}

static bool
group_run(struct group *group, const char *base, struct bench_result *results, uint32_t *count)
{
    struct keyspace *space = &group->shared->space;
    bool is_fine;

    memset(group->shared->results, 0, sizeof(group->shared->results));
    for (uint32_t i = 0; i < group->count; i++) {
        group->shared->results[i].windows = group->shared->windows[i];
    }
    if (!group_prepare(group, base)) {
        return false;
    }
    if (group->limit.path[0] != '\0') {
        measure_folder_evict(group->dir); /* Pages are charged to who brought them in. */
    }
    is_fine = group_fork(group);
    if (is_fine) {
        space->is_whole = space->is_whole || (group->workloads[0]->flags & WORKLOAD_FILL) != 0;
        is_fine = keyspace_save(space, base, group->folder);
    }
    for (uint32_t i = 0; i < group->count && *count < RUN_RESULTS_MAX; i++) {
        if (group->shared->results[i].is_done) {
            result_take(&results[(*count)++], &group->shared->results[i]);
        } else {
            fprintf(stderr, "orbit-bench: %s %s at %s\n", group->engine->name,
                    run_is_interrupted() ? "was interrupted" : "failed", group->workloads[i]->name);
            break;
        }
    }
    return is_fine;
}

/* The next workloads of the list that share a process. */
static bool
group_next(struct group *group, const char **list)
{
    char word[32];
    const char *at = *list;

    group->count = 0;
    while (group->count < GROUP_MAX && bench_list_next(&at, word, sizeof(word))) {
        const struct workload *workload = workload_find(word);
        bool is_read = (workload->flags & WORKLOAD_READ) != 0;

        if (group->count > 0 && !is_read) {
            break;
        }
        *list = at;
        if (!workload_fits(workload, group->engine)) {
            continue;
        }
        group->workloads[group->count++] = workload;
        if (!is_read) {
            break;
        }
    }
    return group->count > 0;
}

static void
limit_make(struct measure_limit *limit, const struct bench_options *options)
{
    char reason[4400];

    limit->path[0] = '\0';
    if (options->limit_bytes != 0 &&
        !measure_limit_make(limit, options->limit_bytes, reason, sizeof(reason))) {
        fprintf(stderr, "orbit-bench: WITHOUT the memory limit: %s\n", reason);
    }
}

bool
run_engine(const struct bench_options *options, const struct bench_engine *engine, const char *base,
           struct bench_result *results, uint32_t *count)
{
    struct group group = {
        .options = options,
        .engine = engine,
        .folder = engine->folder != NULL ? engine->folder : engine->name,
    };
    const char *list = options->workloads;
    bool is_fine = true;

    if (snprintf(group.dir, sizeof(group.dir), "%s/%s", base, group.folder) >=
        (int)sizeof(group.dir)) {
        return false;
    }
    group.shared = mmap(NULL, sizeof(*group.shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(group.shared != MAP_FAILED);
    while (is_fine && !run_is_interrupted() && group_next(&group, &list)) {
        limit_make(&group.limit, options);
        is_fine = group_run(&group, base, results, count);
        measure_limit_remove(&group.limit);
    }
    munmap(group.shared, sizeof(*group.shared));
    return is_fine;
}
