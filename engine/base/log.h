/* engine/base/log.h - one line an event, to standard error; journald's priority prefix when
 * standard error is the journal. Never blocks a shard for long: a line is one write(2). */
#pragma once

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_OFF };

void log_level_set(enum log_level level);
enum log_level log_level_get(void);
/* "debug", "info", "warning", "error"; false for anything else. */
bool log_level_parse(const char *text, enum log_level *level_out);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define LOG_D(...) (log_enabled(LOG_DEBUG) ? log_write(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define LOG_I(...) log_write(LOG_INFO, __VA_ARGS__)
#define LOG_W(...) log_write(LOG_WARNING, __VA_ARGS__)
#define LOG_E(...) log_write(LOG_ERROR, __VA_ARGS__)
