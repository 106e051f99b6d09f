/* tools/ctl/stats.h - showing the section orbit of INFO. */
#pragma once

#include <stdbool.h>

/* Levels and waits as tables, and the rest line by line. */
void stats_print(const char *info);
/* What grew between two replies, per second, in one line. */
void stats_rates_print(const char *before, const char *now, double seconds, bool with_header);
