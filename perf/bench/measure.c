/* perf/bench/measure.c - what a workload costs, as the kernel counts it. */
#include "perf/bench/measure.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"

uint64_t
measure_now_ns(clockid_t clock)
{
    struct timespec at;

    clock_gettime(clock, &at);
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

/* The number behind `name` in a file of lines "name: number"; 0 when it is not there. */
static uint64_t
proc_number(const char *path, const char *name)
{
    FILE *file = fopen(path, "re");
    size_t size = strlen(name);
    unsigned long long number = 0;
    char line[256];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, size) == 0 && line[size] == ':') {
            sscanf(line + size + 1, "%llu", &number);
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return number;
}

void
measure_usage_get(struct measure_usage *usage)
{
    usage->wall_ns = measure_now_ns(CLOCK_MONOTONIC);
    usage->cpu_ns = measure_now_ns(CLOCK_PROCESS_CPUTIME_ID);
    usage->read_bytes = proc_number("/proc/self/io", "read_bytes");
    usage->written_bytes = proc_number("/proc/self/io", "write_bytes");
}

void
measure_peak_reset(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        ssize_t written = write(fd, "5", 1);

        (void)written;
        close(fd);
    }
}

uint64_t
measure_peak_bytes(void)
{
    return proc_number("/proc/self/status", "VmHWM") * 1024;
}

/* ---- Folders. ---- */

/* Calls fn for each file below path, then for path itself. */
static void
folder_walk(const char *path, void (*fn)(const char *name, const struct stat *status, void *arg),
            void *arg)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    struct stat status;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char name[4096];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int)sizeof(name) ||
            lstat(name, &status) != 0) {
            continue;
        }
        if (S_ISDIR(status.st_mode)) {
            folder_walk(name, fn, arg);
        } else {
            fn(name, &status, arg);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (lstat(path, &status) == 0) {
        fn(path, &status, arg);
    }
}

static void
bytes_add(const char *name, const struct stat *status, void *arg)
{
    uint64_t *bytes = arg;

    (void)name;
    *bytes += (uint64_t)status->st_blocks * 512;
}

uint64_t
measure_folder_bytes(const char *path)
{
    uint64_t bytes = 0;

    folder_walk(path, bytes_add, &bytes);
    return bytes;
}

static void
file_remove(const char *name, const struct stat *status, void *arg)
{
    (void)arg;
    if (S_ISDIR(status->st_mode)) {
        rmdir(name);
    } else {
        unlink(name);
    }
}

void
measure_folder_remove(const char *path)
{
    folder_walk(path, file_remove, NULL);
}

static void
file_evict(const char *name, const struct stat *status, void *arg)
{
    int fd = S_ISREG(status->st_mode) ? open(name, O_RDONLY | O_CLOEXEC) : -1;

    (void)arg;
    if (fd >= 0) {
        fdatasync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

void
measure_folder_evict(const char *path)
{
    folder_walk(path, file_evict, NULL);
}

/* ---- Latencies. The first power's buckets are one nanosecond wide. ---- */

static uint32_t
bucket_of(uint64_t ns)
{
    uint32_t bits = ns >> METER_SUB_BITS == 0 ? 0 : 63 - (uint32_t)__builtin_clzll(ns);
    uint32_t shift = bits == 0 ? 0 : bits - METER_SUB_BITS;
    uint32_t bucket = bits == 0 ? (uint32_t)ns
                                : ((shift + 1) << METER_SUB_BITS) +
                                      (uint32_t)((ns >> shift) - (1u << METER_SUB_BITS));

    return MIN(bucket, (uint32_t)METER_BUCKETS - 1);
}

/* The largest value of the bucket. */
static uint64_t
bucket_top_ns(uint32_t bucket)
{
    uint32_t power = bucket >> METER_SUB_BITS;
    uint64_t step = bucket & ((1u << METER_SUB_BITS) - 1);

    return power == 0 ? step : ((((uint64_t)1 << METER_SUB_BITS) + step + 1) << (power - 1)) - 1;
}

void
meter_reset(struct meter *meter, uint64_t start_ns)
{
    memset(meter, 0, sizeof(*meter));
    meter->start_ns = start_ns;
}

void
meter_record(struct meter *meter, uint64_t now_ns, uint64_t ns, uint64_t ops)
{
    uint64_t at = (now_ns - meter->start_ns) / (METER_WINDOW_MS * UINT64_C(1000000));
    uint32_t window = (uint32_t)MIN(at, (uint64_t)METER_WINDOWS - 1);
    uint32_t us = (uint32_t)MIN(ns / 1000, (uint64_t)UINT32_MAX);

    meter->count++;
    meter->max_ns = MAX(meter->max_ns, ns);
    meter->buckets[bucket_of(ns)]++;
    meter->windows[window].ops += (uint32_t)ops;
    meter->windows[window].max_us = MAX(meter->windows[window].max_us, us);
    meter->windows_used = MAX(meter->windows_used, window + 1);
}

void
meter_merge(struct meter *into, const struct meter *from)
{
    into->count += from->count;
    into->max_ns = MAX(into->max_ns, from->max_ns);
    into->windows_used = MAX(into->windows_used, from->windows_used);
    for (uint32_t i = 0; i < METER_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
    for (uint32_t i = 0; i < from->windows_used; i++) {
        into->windows[i].ops += from->windows[i].ops;
        into->windows[i].max_us = MAX(into->windows[i].max_us, from->windows[i].max_us);
    }
}

double
meter_quantile_us(const struct meter *meter, double fraction)
{
    uint64_t rank = (uint64_t)(fraction * (double)meter->count);
    uint64_t seen = 0;

    rank = MAX(rank, (uint64_t)1);
    for (uint32_t i = 0; i < METER_BUCKETS && meter->count > 0; i++) {
        seen += meter->buckets[i];
        if (seen >= rank) {
            return (double)MIN(bucket_top_ns(i), meter->max_ns) / 1000;
        }
    }
    return 0;
}
