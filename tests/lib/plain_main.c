/* tests/lib/plain_main.c - runs Criterion tests without Criterion's runner, each in a forked child.
 *
 * ThreadSanitizer's memory layout leaves no room for the arena that the runner maps, so a program
 * of a build with --enable-tsan links this file, which takes the place of the runner's main and of
 * the functions that a test calls; the tests themselves are compiled unchanged.
 *
 *     test_engine_plain [SUITE...]      last line: N passed, N failed
 *
 * A data race fails its test: ThreadSanitizer makes the child's exit status non-zero. */
#include <criterion/criterion.h>
#include <criterion/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLAIN_SECONDS_DEFAULT = 120, PLAIN_FAILED_STATUS = 99 };

extern struct criterion_test *const __start_cr_tst[];
extern struct criterion_test *const __stop_cr_tst[];
extern struct criterion_suite *const __start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *const __stop_cr_sts[] __attribute__((weak));

static const struct criterion_test *plain_test; /* The one that this process runs. */

static const struct criterion_test_extra_data *
plain_suite_of(const struct criterion_test *test)
{
    static const struct criterion_test_extra_data none;

    for (struct criterion_suite *const *suite = __start_cr_sts; suite < __stop_cr_sts; suite++) {
        if (*suite != NULL && strcmp((*suite)->name, test->category) == 0) {
            return (*suite)->data;
        }
    }
    return &none;
}

/* ---- What a test calls, instead of the runner's functions. ---- */

void
criterion_internal_test_setup(void)
{
    const struct criterion_test_extra_data *suite = plain_suite_of(plain_test);

    if (suite->init != NULL) {
        suite->init();
    }
    if (plain_test->data->init != NULL) {
        plain_test->data->init();
    }
}

void
criterion_internal_test_main(void (*fn)(void))
{
    fn();
}

void
criterion_internal_test_teardown(void)
{
    const struct criterion_test_extra_data *suite = plain_suite_of(plain_test);

    if (plain_test->data->fini != NULL) {
        plain_test->data->fini();
    }
    if (suite->fini != NULL) {
        suite->fini();
    }
}

void
criterion_send_assert(struct criterion_assert_stats *stats)
{
    fprintf(stderr, "%s:%u: failed: %s\n", stats->file, stats->line, stats->message);
}

void
cri_asserts_passed_incr(void)
{
}

void
criterion_abort_test(void)
{
    _exit(PLAIN_FAILED_STATUS);
}

/* ---- The runner. ---- */

static bool
plain_is_wanted(const struct criterion_test *test, int argc, char **argv)
{
    bool is_wanted = argc == 1;

    for (int i = 1; i < argc; i++) {
        is_wanted = is_wanted || strcmp(argv[i], test->category) == 0;
    }
    return is_wanted && !test->data->disabled;
}

static bool
plain_run(const struct criterion_test *test)
{
    int signal_number = test->data->signal;
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        alarm(PLAIN_SECONDS_DEFAULT);
        plain_test = test;
        test->test();
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fork");
        return false;
    }
    if (signal_number != 0) {
        return WIFSIGNALED(status) && WTERMSIG(status) == signal_number;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == test->data->exit_code;
}

int
main(int argc, char **argv)
{
    unsigned passed = 0;
    unsigned failed = 0;

    for (struct criterion_test *const *at = __start_cr_tst; at < __stop_cr_tst; at++) {
        const struct criterion_test *test = *at;

        if (test == NULL || !plain_is_wanted(test, argc, argv)) {
            continue;
        }
        if (plain_run(test)) {
            passed++;
        } else {
            failed++;
            printf("FAILED %s/%s\n", test->category, test->name);
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
