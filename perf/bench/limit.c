/* perf/bench/limit.c - a memory limit through a control group of version 1 or 2.
 *
 * The group is made below the one this process is in, so that limits above it go on counting. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "perf/bench/measure.h"

#define LIMIT_ROOT "/sys/fs/cgroup"

static bool
file_write(const char *folder, const char *name, const char *text)
{
    char path[4200];
    size_t size = strlen(text);
    bool is_written = false;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        is_written = write(fd, text, size) == (ssize_t)size;
        close(fd);
    }
    return is_written;
}

/* The folder of this process's group: of the memory controller of version 1, or of version 2. */
static bool
own_group(char *path, size_t size, bool *is_v2_out)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[2048];
    bool is_found = false;

    while (file != NULL && !is_found && fgets(line, sizeof(line), file) != NULL) {
        char *controllers = strchr(line, ':');
        char *own = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        const char *mount;

        if (own == NULL) {
            continue;
        }
        *own++ = '\0';
        controllers++;
        own[strcspn(own, "\n")] = '\0';
        *is_v2_out = controllers[0] == '\0';
        mount = *is_v2_out ? "" : "/memory";
        is_found = (strcmp(controllers, "memory") == 0 || *is_v2_out) &&
                   snprintf(path, size, LIMIT_ROOT "%s%s", mount, own) < (int)size;
        if (is_found && *is_v2_out) { /* Beside version 1 it may exist without the controller. */
            char control[4200];

            snprintf(control, sizeof(control), "%s/memory.max", path);
            is_found =
                access(control, W_OK) == 0 || access(LIMIT_ROOT "/cgroup.controllers", F_OK) == 0;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

bool
measure_limit_make(struct measure_limit *limit, uint64_t bytes, char *reason, size_t reason_size)
{
    char own[3072];
    char number[32];
    bool is_v2 = false;

    limit->path[0] = '\0';
    snprintf(number, sizeof(number), "%llu", (unsigned long long)bytes);
    if (!own_group(own, sizeof(own), &is_v2)) {
        snprintf(reason, reason_size, "no control group of the memory controller is mounted");
        return false;
    }
    if (is_v2) { /* Refused in a group that holds processes itself; the parent may have it on. */
        (void)file_write(own, "cgroup.subtree_control", "+memory");
    }
    snprintf(limit->path, sizeof(limit->path), "%s/orbit-bench-%d", own, (int)getpid());
    if (mkdir(limit->path, 0755) != 0 && errno != EEXIST) {
        snprintf(reason, reason_size, "cannot make %s: %s", limit->path, strerror(errno));
        limit->path[0] = '\0';
        return false;
    }
    if (!file_write(limit->path, is_v2 ? "memory.max" : "memory.limit_in_bytes", number)) {
        snprintf(reason, reason_size, "the control group %s takes no memory limit", limit->path);
        measure_limit_remove(limit);
        return false;
    }
    (void)file_write(limit->path, is_v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes",
                     is_v2 ? "0" : number);
    return true;
}

bool
measure_limit_enter(const struct measure_limit *limit)
{
    return file_write(limit->path, "cgroup.procs", "0");
}

void
measure_limit_remove(struct measure_limit *limit)
{
    /* The last process may still be on its way out. */
    for (int i = 0; i < 200 && limit->path[0] != '\0' && rmdir(limit->path) != 0 && errno == EBUSY;
         i++) {
        usleep(10000);
    }
    limit->path[0] = '\0';
}
