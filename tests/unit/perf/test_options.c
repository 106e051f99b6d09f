/* The command line of orbit-bench. */
#include <criterion/criterion.h>
#include <string.h>

#include "perf/bench/options.h"

TestSuite(options, .timeout = 30);

static bool
parse(struct bench_options *options, const char *first, const char *second)
{
    char program[] = "orbit-bench";
    char *argv[] = {program, (char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};

    return bench_options_parse(options, second != NULL ? 3 : 2, argv);
}

Test(options, units_are_applied)
{
    struct bench_options options;

    cr_assert(parse(&options, "--cache", "64"));
    cr_assert_eq(options.cache_bytes, 64 << 20);
    cr_assert(parse(&options, "--duration", "0.25"));
    cr_assert_eq(options.duration_ms, 250);
    cr_assert(parse(&options, "--keys", "123"));
    cr_assert_eq(options.keys, 123);
    cr_assert_eq(options.ops, 123, "overwrite is as long as a fill");
    cr_assert(parse(&options, "--warm", "no"));
    cr_assert_not(options.is_warm);
}

Test(options, what_is_not_a_number_in_range_is_refused)
{
    static const char *const wrong[][2] = {
        {"--keys", "0"},       {"--keys", "-1"},         {"--keys", "1x"},
        {"--keys", ""},        {"--cache", "7"},         {"--duration", "nan"},
        {"--duration", "1e9"}, {"--threads", "257"},     {"--value-bytes", "0"},
        {"--warm", "maybe"},   {"--use-existing", NULL}, {"--keys", NULL}};
    struct bench_options options;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_not(parse(&options, wrong[i][0], wrong[i][1]), "%s", wrong[i][0]);
    }
}

Test(options, a_list_gives_its_words_in_order)
{
    const char *at = "a,bc,,d";
    char word[8];
    char all[16] = "";

    while (bench_list_next(&at, word, sizeof(word))) {
        strcat(all, word);
        strcat(all, "|");
    }
    cr_assert_str_eq(all, "a|bc||d|");
}
