/* engine/base/assert.c - the end of the process, with what is needed to find out why. */
#include "engine/base/assert.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/poison.h"

enum { ASSERT_FRAMES_MAX = 64, FATAL_EXIT_STATUS = 70, FATAL_LINE_BYTES = 1024 };

void (*fatal_hook)(const char *message);

static void
assert_print(const char *text, int length, size_t capacity)
{
    size_t size = MIN((size_t)length, capacity - 1);
    ssize_t written = write(STDERR_FILENO, text, size);

    (void)written; /* The process ends; there is nobody left to tell. */
}

void
assert_failed(const char *file, int line, const char *expression)
{
    char text[FATAL_LINE_BYTES];
    void *frames[ASSERT_FRAMES_MAX];
    int length;

    length = snprintf(text, sizeof(text), "orbit: assertion failed: %s (%s:%d)\n", expression, file,
                      line);
    assert_print(text, length, sizeof(text));
    backtrace_symbols_fd(frames, backtrace(frames, ASSERT_FRAMES_MAX), STDERR_FILENO);
    abort();
}

void
fatal(const char *format, ...)
{
    char message[FATAL_LINE_BYTES - 64];
    char text[FATAL_LINE_BYTES];
    va_list args;
    int length;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (fatal_hook != NULL) {
        fatal_hook(message);
    }
    length = snprintf(text, sizeof(text), "orbit: fatal: %s\n", message);
    assert_print(text, length, sizeof(text));
    _exit(FATAL_EXIT_STATUS);
}
