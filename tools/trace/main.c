/* tools/trace/main.c - orbit-trace: what a running orbit-server waits for, by shard and level, from
 * its static probes, by BPF. Needs root. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/commit.h"
#include "probes.skel.h"
#include "tools/trace/trace.h"

static volatile sig_atomic_t is_stopped;

static const char usage[] =
    "Usage: orbit-trace --pid PID [--seconds N]\n\n"
    "Shows how long the server PID takes, by shard and level, as histograms, after N seconds\n"
    "(default 10) or at Ctrl-C: commits until they are durable, reads of tables, flushes,\n"
    "compactions, manifest edits, and writers that wait for room. Needs root.\n";

static void
on_signal(int number)
{
    (void)number;
    is_stopped = 1;
}

static const struct {
    const char *name; /* Of the probe. */
    const char *title;
    bool by_level;
} kinds[TRACE_KINDS] = {
    [TRACE_COMMIT] = {"wal_commit", "commits (log batches until durable)", false},
    [TRACE_FLUSH] = {"flush", "flushes", false},
    [TRACE_EDIT] = {"manifest_edit", "manifest edits", false},
    [TRACE_WAIT] = {"write_wait", "writers that waited for room", false},
    [TRACE_READ] = {"table_read", "reads of tables", true},
    [TRACE_COMPACTION] = {"compaction", "compactions", true},
};

static void
counts_print(unsigned shard, unsigned kind, unsigned level, const struct trace_counts *counts)
{
    static const char bar[] = "########################################";
    unsigned long long most = 1;

    for (int i = 0; i < TRACE_BUCKETS; i++) {
        most = counts->buckets[i] > most ? counts->buckets[i] : most;
    }
    printf("shard %u: %s", shard, kinds[kind].title);
    if (kinds[kind].by_level) {
        printf(", level %u", level);
    }
    printf(": %llu, %llu bytes, %llu us on average\n", counts->events, counts->bytes,
           counts->us / counts->events);
    for (int i = 0; i < TRACE_BUCKETS; i++) {
        if (counts->buckets[i] > 0) {
            printf("  below %8llu us %10llu %.*s\n", 1ULL << i, counts->buckets[i],
                   (int)(counts->buckets[i] * (sizeof(bar) - 1) / most), bar);
        }
    }
}

static unsigned
all_print(int map)
{
    unsigned seen = 0;

    for (unsigned shard = 0; shard < TRACE_SHARDS_MAX; shard++) {
        for (unsigned kind = 0; kind < TRACE_KINDS; kind++) {
            for (unsigned level = 0; level < TRACE_LEVELS; level++) {
                unsigned key = trace_index(shard, kind, level);
                struct trace_counts counts;

                if (bpf_map_lookup_elem(map, &key, &counts) == 0 && counts.events > 0) {
                    counts_print(shard, kind, level, &counts);
                    seen++;
                }
            }
        }
    }
    return seen;
}

/* False, with a message, when one of the probes is not there. */
static bool
probes_attach(struct probes_bpf *program, int pid, const char *path)
{
    const struct {
        struct bpf_program *program;
        struct bpf_link **link;
    } probes[TRACE_KINDS] = {
        [TRACE_COMMIT] = {program->progs.wal_commit, &program->links.wal_commit},
        [TRACE_FLUSH] = {program->progs.flush, &program->links.flush},
        [TRACE_EDIT] = {program->progs.manifest_edit, &program->links.manifest_edit},
        [TRACE_WAIT] = {program->progs.write_wait, &program->links.write_wait},
        [TRACE_READ] = {program->progs.table_read, &program->links.table_read},
        [TRACE_COMPACTION] = {program->progs.compaction, &program->links.compaction},
    };

    for (unsigned kind = 0; kind < TRACE_KINDS; kind++) {
        *probes[kind].link = bpf_program__attach_usdt(probes[kind].program, pid, path, "orbit",
                                                      kinds[kind].name, NULL);
        if (*probes[kind].link == NULL) {
            fprintf(stderr, "orbit-trace: no probe orbit:%s in process %d: %s\n", kinds[kind].name,
                    pid, strerror(errno));
            return false;
        }
    }
    return true;
}

static int
libbpf_print(enum libbpf_print_level level, const char *format, va_list arguments)
{
    return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

static int
trace(int pid, unsigned seconds)
{
    char path[64];
    struct probes_bpf *program;
    int status = 1;

    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "orbit-trace: there is no process %d, or it is not yours to trace\n", pid);
        return 1;
    }
    libbpf_set_print(libbpf_print);
    program = probes_bpf__open_and_load();
    if (program == NULL) {
        fprintf(stderr, "orbit-trace: the kernel does not take the program: %s (root is needed)\n",
                strerror(errno));
        return 1;
    }
    if (probes_attach(program, pid, path)) {
        for (unsigned second = 0; second < seconds && !is_stopped; second++) {
            sleep(1);
        }
        if (all_print(bpf_map__fd(program->maps.counts)) == 0) {
            printf("nothing happened in that time\n");
        }
        status = 0;
    }
    probes_bpf__destroy(program);
    return status;
}

int
main(int argc, char **argv)
{
    long pid = 0, seconds = 10;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("orbit-trace %s (%s)\n", PACKAGE_VERSION, orbit_commit());
            return 0;
        }
        if (i + 1 < argc && strcmp(argv[i], "--pid") == 0) {
            pid = strtol(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
            seconds = strtol(argv[++i], NULL, 10);
        } else {
            fputs(usage, stderr);
            return 64;
        }
    }
    if (pid <= 0 || pid > 4194304 || seconds <= 0 || seconds > 86400) {
        fputs(usage, stderr);
        return 64;
    }
    signal(SIGINT, on_signal);
    return trace((int)pid, (unsigned)seconds);
}
