/* perf/bench/plot.c - latency and throughput over time, drawn by gnuplot. Above: the longest
 * latency in each window of METER_WINDOW_MS, where stalls show; below: operations a second. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "engine/base/assert.h"
#include "perf/bench/report.h"

enum { PLOT_LINES_MAX = 24 };

static void
series_write(FILE *gnuplot, const struct bench_result *result, bool is_latency)
{
    for (uint32_t i = 0; i < result->windows_used; i++) {
        const struct meter_window *window = &result->windows[i];

        fprintf(gnuplot, "%.1f %.1f\n", (double)i * METER_WINDOW_MS / 1000,
                is_latency ? (double)MAX(window->max_us, 1u)
                           : (double)window->ops * 1000 / METER_WINDOW_MS);
    }
    fprintf(gnuplot, "e\n");
}

static void
pane_write(FILE *gnuplot, const struct bench_result *results, uint32_t count, bool is_latency)
{
    fprintf(gnuplot, "set ylabel '%s'\n%s logscale y\nplot ",
            is_latency ? "longest latency in 100 ms, us" : "operations/s",
            is_latency ? "set" : "unset");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(gnuplot, "%s'-' with lines title '%s %s'", i > 0 ? ", " : "", results[i].engine,
                results[i].workload);
    }
    fprintf(gnuplot, "\n");
    for (uint32_t i = 0; i < count; i++) {
        series_write(gnuplot, &results[i], is_latency);
    }
}

bool
report_plot(const char *path, const struct bench_result *results, uint32_t count)
{
    size_t size = strlen(path);
    bool is_png = size > 4 && strcmp(path + size - 4, ".png") == 0;
    FILE *gnuplot;

    if (strchr(path, '\'') != NULL || (!is_png && (size < 4 || strcmp(path + size - 4, ".svg")))) {
        fprintf(stderr, "orbit-bench: a plot's name ends in .svg or .png: %s\n", path);
        return false;
    }
    signal(SIGPIPE, SIG_IGN);
    gnuplot = popen("gnuplot", "we");
    if (gnuplot == NULL) {
        return false;
    }
    count = MIN(count, (uint32_t)PLOT_LINES_MAX);
    fprintf(gnuplot,
            "set terminal %s size 1200,900\nset output '%s'\nset multiplot layout 2,1\n"
            "set xlabel 'seconds'\nset key outside\nset grid\n",
            is_png ? "png" : "svg background 'white'", path);
    pane_write(gnuplot, results, count, true);
    pane_write(gnuplot, results, count, false);
    fprintf(gnuplot, "unset multiplot\n");
    if (pclose(gnuplot) != 0) {
        fprintf(stderr, "orbit-bench: no plot: gnuplot failed (package gnuplot-nox)\n");
        return false;
    }
    return true;
}
