/* tools/trace/main.c - orbit-trace: commit latency of a running orbit-server by shard, from its
 * static probes, by BPF. Needs root. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commit.skel.h"
#include "engine/base/commit.h"
#include "tools/trace/trace.h"

static volatile sig_atomic_t is_stopped;

static const char usage[] =
    "Usage: orbit-trace --pid PID [--seconds N]\n\n"
    "Shows how long commits of the server PID take until they are durable, by shard, as a\n"
    "histogram, after N seconds (default 10) or at Ctrl-C. Needs root.\n";

static void
on_signal(int number)
{
    (void)number;
    is_stopped = 1;
}

static void
shard_print(unsigned shard, const struct trace_shard *counts)
{
    unsigned long long most = 1;

    for (int i = 0; i < TRACE_BUCKETS; i++) {
        most = counts->buckets[i] > most ? counts->buckets[i] : most;
    }
    printf("shard %u: %llu commits, %llu bytes written\n", shard, counts->commits, counts->bytes);
    for (int i = 0; i < TRACE_BUCKETS; i++) {
        static const char bar[] = "########################################";

        if (counts->buckets[i] > 0) {
            printf("  below %8llu us %10llu %.*s\n", 1ULL << i, counts->buckets[i],
                   (int)(counts->buckets[i] * (sizeof(bar) - 1) / most), bar);
        }
    }
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
    struct commit_bpf *program;
    unsigned seen = 0;

    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "orbit-trace: there is no process %d, or it is not yours to trace\n", pid);
        return 1;
    }
    libbpf_set_print(libbpf_print);
    program = commit_bpf__open_and_load();
    if (program == NULL) {
        fprintf(stderr, "orbit-trace: the kernel does not take the program: %s (root is needed)\n",
                strerror(errno));
        return 1;
    }
    program->links.wal_commit =
        bpf_program__attach_usdt(program->progs.wal_commit, pid, path, "orbit", "wal_commit", NULL);
    if (program->links.wal_commit == NULL) {
        fprintf(stderr, "orbit-trace: no probe orbit:wal_commit in process %d: %s\n", pid,
                strerror(errno));
        commit_bpf__destroy(program);
        return 1;
    }
    for (unsigned second = 0; second < seconds && !is_stopped; second++) {
        sleep(1);
    }
    for (unsigned shard = 0; shard < TRACE_SHARDS_MAX; shard++) {
        struct trace_shard counts;

        if (bpf_map__lookup_elem(program->maps.shards, &shard, sizeof(shard), &counts,
                                 sizeof(counts), 0) == 0 &&
            counts.commits > 0) {
            shard_print(shard, &counts);
            seen++;
        }
    }
    if (seen == 0) {
        printf("no commits in that time\n");
    }
    commit_bpf__destroy(program);
    return 0;
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
