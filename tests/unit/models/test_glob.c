/* Tests of models/kv/glob.c. */
#include "models/kv/glob.h"

#include <string.h>

#include <criterion/criterion.h>

TestSuite(glob, .timeout = 10);

static bool
matches(const char *pattern, const char *text)
{
    return kv_glob_match(slice_from_text(pattern), slice_from_text(text), false);
}

Test(glob, stars_and_question_marks_match_runs_and_single_bytes)
{
    cr_expect(matches("*", ""));
    cr_expect(matches("", ""));
    cr_expect_not(matches("", "a"));
    cr_expect(matches("a*c", "abbbc"));
    cr_expect(matches("a**c", "ac"));
    cr_expect_not(matches("a*c", "abbbd"));
    cr_expect(matches("h?llo", "hello"));
    cr_expect_not(matches("h?llo", "hllo"));
    cr_expect(matches("*abc*abd", "abcabcabd"));
    cr_expect(matches("a*", "a"));
    cr_expect_not(matches("a*b", "a"));
}

Test(glob, classes_know_ranges_negation_and_escapes)
{
    cr_expect(matches("h[ae]llo", "hello"));
    cr_expect_not(matches("h[ae]llo", "hillo"));
    cr_expect(matches("h[a-e]llo", "hcllo"));
    cr_expect(matches("h[e-a]llo", "hcllo"), "a range may be given backwards");
    cr_expect(matches("h[^e]llo", "hallo"));
    cr_expect_not(matches("h[^e]llo", "hello"));
    cr_expect(matches("[\\]]", "]"));
    cr_expect_not(matches("[]", "a"));
    cr_expect(matches("[^]", "a"));
    cr_expect(matches("[abc", "b"), "a class without end reaches to the end of the pattern");
    cr_expect_not(matches("[abc", "d"));
}

Test(glob, a_backslash_takes_the_next_byte_as_it_is)
{
    cr_expect(matches("a\\*b", "a*b"));
    cr_expect_not(matches("a\\*b", "axb"));
    cr_expect(matches("a\\\\", "a\\"));
    cr_expect(matches("a\\", "a\\"), "at the end it stands for itself");
}

Test(glob, case_counts_unless_told_otherwise)
{
    cr_expect_not(matches("ABC", "abc"));
    cr_expect(kv_glob_match(SLICE("A[B-C]c"), SLICE("abC"), true));
}

/* A matcher that tries every split needs longer than the universe exists. */
Test(glob, a_pattern_of_many_stars_takes_bounded_time)
{
    char pattern[2001];
    char text[4001];

    for (size_t i = 0; i < 1000; i++) {
        memcpy(pattern + 2 * i, "a*", 2);
    }
    pattern[2000] = 'b';
    memset(text, 'a', sizeof(text));
    cr_expect_not(
        kv_glob_match(slice_of(pattern, sizeof(pattern)), slice_of(text, sizeof(text)), false));
    text[4000] = 'b';
    cr_expect(
        kv_glob_match(slice_of(pattern, sizeof(pattern)), slice_of(text, sizeof(text)), false));
}
