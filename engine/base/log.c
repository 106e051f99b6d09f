/* engine/base/log.c - one line an event.
 *
 * The time stamp is for the reader of the log and decides nothing, so it is read here and not
 * through the io seam; for that reason this file is built without poison.h. */
#include "engine/base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/assert.h"

enum { LOG_LINE_BYTES_MAX = 2048, LOG_PREFIX_BYTES_MAX = 64 };

struct log_level_row {
    const char *name;
    const char *label;
    char priority; /* syslog's, as the journal reads it in "<6>". */
};

static const struct log_level_row log_levels[] = {
    [LOG_DEBUG] = {"debug", "DEBUG", '7'},
    [LOG_INFO] = {"info", "INFO", '6'},
    [LOG_WARNING] = {"warning", "WARN", '4'},
    [LOG_ERROR] = {"error", "ERROR", '3'},
};

enum log_target { LOG_TARGET_UNKNOWN, LOG_TARGET_STREAM, LOG_TARGET_JOURNAL };

/* Process-wide and set by the operator; read with relaxed atomics by all shards. */
static int log_level_now = LOG_INFO;
static int log_target_now = LOG_TARGET_UNKNOWN;

void
log_level_set(enum log_level level)
{
    __atomic_store_n(&log_level_now, (int)level, __ATOMIC_RELAXED);
}

enum log_level
log_level_get(void)
{
    return (enum log_level)__atomic_load_n(&log_level_now, __ATOMIC_RELAXED);
}

bool
log_level_parse(const char *text, enum log_level *level_out)
{
    for (size_t i = 0; i < ARRAY_COUNT(log_levels); i++) {
        if (strcmp(text, log_levels[i].name) == 0) {
            *level_out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool
log_enabled(enum log_level level)
{
    return level >= log_level_get();
}

/* systemd names device and inode of the stream that it connected to the journal; standard error
 * may have been redirected since. */
static enum log_target
log_target_find(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device;
    unsigned long long inode;
    struct stat status;

    if (stream == NULL || sscanf(stream, "%llu:%llu", &device, &inode) != 2 ||
        fstat(STDERR_FILENO, &status) != 0) {
        return LOG_TARGET_STREAM;
    }
    return status.st_dev == device && status.st_ino == inode ? LOG_TARGET_JOURNAL
                                                             : LOG_TARGET_STREAM;
}

static enum log_target
log_target(void)
{
    int target = __atomic_load_n(&log_target_now, __ATOMIC_RELAXED);

    if (target == LOG_TARGET_UNKNOWN) {
        target = (int)log_target_find();
        __atomic_store_n(&log_target_now, target, __ATOMIC_RELAXED);
    }
    return (enum log_target)target;
}

static size_t
log_prefix(char *line, enum log_level level)
{
    const struct log_level_row *row = &log_levels[level];
    struct timespec now;
    struct tm parts;
    size_t size;

    if (log_target() == LOG_TARGET_JOURNAL) {
        return (size_t)snprintf(line, LOG_PREFIX_BYTES_MAX, "<%c>", row->priority);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size = strftime(line, LOG_PREFIX_BYTES_MAX, "%Y-%m-%dT%H:%M:%S", &parts);
    size += (size_t)snprintf(line + size, LOG_PREFIX_BYTES_MAX - size, ".%06ldZ %-5s ",
                             now.tv_nsec / 1000, row->label);
    return size;
}

void
log_write(enum log_level level, const char *format, ...)
{
    char line[LOG_LINE_BYTES_MAX];
    size_t start;
    size_t end;
    ssize_t written;
    va_list args;
    int length;

    ASSERT(level < LOG_OFF);
    if (!log_enabled(level)) {
        return;
    }
    start = log_prefix(line, level);
    va_start(args, format);
    length = vsnprintf(line + start, sizeof(line) - start, format, args);
    va_end(args);
    end = MIN(start + (size_t)MAX(length, 0), sizeof(line) - 1);
    /* Text from clients must not forge a line or steer a terminal. */
    for (size_t i = start; i < end; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = ' ';
        }
    }
    line[end] = '\n';
    written = write(STDERR_FILENO, line, end + 1);
    (void)written; /* A log that nobody reads must not stop the server. */
}
