/* net/process.c - see the header. */
#include "net/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef HAVE_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#include "engine/base/assert.h"
#include "engine/io/io.h"

#include "engine/base/poison.h"

enum { REPORT_BYTES_MAX = 64 << 10 };

uint64_t
process_resident_bytes(void)
{
    unsigned long long size = 0;
    unsigned long long resident = 0;
    char text[128];
    ssize_t got;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return 0;
    }
    got = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[MAX(got, (ssize_t)0)] = '\0';
    if (sscanf(text, "%llu %llu", &size, &resident) != 2) {
        return 0;
    }
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t
process_system_memory_bytes(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double
seconds(struct timeval duration)
{
    return (double)duration.tv_sec + (double)duration.tv_usec / 1e6;
}

void
process_cpu_get(struct process_cpu *cpu)
{
    struct rusage process = {0};
    struct rusage children = {0};
    struct rusage thread = {0};

    getrusage(RUSAGE_SELF, &process);
    getrusage(RUSAGE_CHILDREN, &children);
    getrusage(RUSAGE_THREAD, &thread);
    *cpu = (struct process_cpu){
        .user_s = seconds(process.ru_utime),
        .system_s = seconds(process.ru_stime),
        .children_user_s = seconds(children.ru_utime),
        .children_system_s = seconds(children.ru_stime),
        .thread_user_s = seconds(thread.ru_utime),
        .thread_system_s = seconds(thread.ru_stime),
    };
}

#ifdef HAVE_JEMALLOC

#define TEXT_OF(number)  TEXT_OF_(number)
#define TEXT_OF_(number) #number

const char *
process_allocator(void)
{
    return "jemalloc-" TEXT_OF(JEMALLOC_VERSION_MAJOR) "." TEXT_OF(
        JEMALLOC_VERSION_MINOR) "." TEXT_OF(JEMALLOC_VERSION_BUGFIX);
}

static uint64_t
allocator_number(const char *name)
{
    size_t value = 0;
    size_t size = sizeof(value);

    return mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

void
process_allocated_get(struct process_allocated *allocated)
{
    uint64_t epoch = 1;

    /* The statistics are those of the last epoch. */
    (void)mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
    allocated->allocated = allocator_number("stats.allocated");
    allocated->active = allocator_number("stats.active");
    allocated->resident = allocator_number("stats.resident");
}

static void
purge_all(void *arg)
{
    (void)arg;
    (void)mallctl("arena." TEXT_OF(MALLCTL_ARENAS_ALL) ".purge", NULL, NULL, NULL, 0);
}

static void
report_append(void *arg, const char *text)
{
    struct buf *out = arg;
    size_t room = REPORT_BYTES_MAX - MIN(out->size, (size_t)REPORT_BYTES_MAX);

    buf_append(out, text, MIN(strlen(text), room));
}

void
process_allocator_stats(struct buf *out)
{
    malloc_stats_print(report_append, out, "abl");
}

#else

const char *
process_allocator(void)
{
    return "libc";
}

void
process_allocated_get(struct process_allocated *allocated)
{
    *allocated = (struct process_allocated){0};
}

static void
purge_all(void *arg)
{
    (void)arg;
}

void
process_allocator_stats(struct buf *out)
{
    buf_printf(out, "Stats not supported for the current allocator");
}

#endif

void
process_allocator_purge(void)
{
    /* Walks all arenas: longer than a shard should stand still. A cancelled caller loses nothing.
     */
    (void)io_helper_run(purge_all, NULL);
}
