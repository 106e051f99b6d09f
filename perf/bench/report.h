/* perf/bench/report.h - results as a table, as JSON lines and as a drawing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "perf/bench/run.h"

void report_table(const struct bench_options *options, const struct bench_result *results,
                  uint32_t count);
/* False after saying why. */
bool report_json(const struct bench_options *options, const struct bench_result *results,
                 uint32_t count);
/* By gnuplot, as the name ends: .svg or .png. */
bool report_plot(const char *path, const struct bench_result *results, uint32_t count);
