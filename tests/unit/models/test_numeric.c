/* Tests of models/types/numeric*.c: what PostgreSQL 15 answers. */
#include "models/types/numeric.h"

#include <math.h>

#include <criterion/criterion.h>

#include "models/types/sql_error.h"

TestSuite(numeric, .timeout = 20);

static struct arena arena;

static struct numeric
number(const char *text)
{
    struct numeric value = {0};

    cr_assert_eq(numeric_from_text(&arena, slice_from_text(text), &value), ERR_OK, "%s", text);
    return value;
}

static void
expect_text(struct numeric value, const char *expected)
{
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    numeric_to_text(value, &text);
    buf_append_byte(&text, 0);
    cr_expect_str_eq((const char *)text.data, expected);
    buf_fini(&text);
}

static void
init(void)
{
    arena_init(&arena, MEM_SESSIONS);
}

static void
fini(void)
{
    arena_fini(&arena);
}

#define EXPECT(operation, expected)                                                                \
    do {                                                                                           \
        struct numeric result = {0};                                                               \
                                                                                                   \
        cr_expect_eq((operation), ERR_OK);                                                         \
        expect_text(result, (expected));                                                           \
    } while (0)

Test(numeric, text_keeps_the_digits_behind_the_point, .init = init, .fini = fini)
{
    expect_text(number(" 1.50 "), "1.50");
    expect_text(number("-0.00"), "0.00");
    expect_text(number("12e-4"), "0.0012");
    expect_text(number("1.5e3"), "1500");
    expect_text(number("123456789012345678901234567890.5"), "123456789012345678901234567890.5");
    expect_text(number("-inf"), "-Infinity");
    expect_text(number("NaN"), "NaN");
}

Test(numeric, what_is_no_number_is_refused_by_its_name, .init = init, .fini = fini)
{
    static const char *const bad[] = {"", " ", "1.2.3", "1e", "--1", "0x10", "1 2", "infinit"};
    struct sql_report report;
    struct numeric value;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err_t err = numeric_from_text(&arena, slice_from_text(bad[i]), &value);

        cr_assert_eq(err, ERR_SQL, "%s", bad[i]);
        sql_report_get(err, &report);
        cr_expect_str_eq(report.sqlstate, "22P02");
    }
    cr_assert_eq(numeric_from_text(&arena, SLICE("1e200000"), &value), ERR_SQL);
    sql_report_get(ERR_SQL, &report);
    cr_expect_str_eq(report.sqlstate, "22003");
}

Test(numeric, arithmetic_is_exact_and_has_the_scale_of_postgresql, .init = init, .fini = fini)
{
    EXPECT(numeric_add(&arena, number("0.1"), number("0.20"), &result), "0.30");
    EXPECT(numeric_add(&arena, number("9223372036854775807"), number("1"), &result),
           "9223372036854775808");
    EXPECT(numeric_subtract(&arena, number("9223372036854775808"), number("1"), &result),
           "9223372036854775807");
    EXPECT(numeric_multiply(&arena, number("1.10"), number("-2.5"), &result), "-2.750");
    EXPECT(numeric_divide(&arena, number("10"), number("4"), &result), "2.5000000000000000");
    EXPECT(numeric_divide(&arena, number("1"), number("3"), &result), "0.33333333333333333333");
    EXPECT(numeric_divide_integer(&arena, number("-7"), number("2"), &result), "-3");
    EXPECT(numeric_modulo(&arena, number("-7.5"), number("2"), &result), "-1.5");
    EXPECT(numeric_round(&arena, number("-2.5"), 0, &result), "-3");
    EXPECT(numeric_round(&arena, number("1250"), -2, &result), "1300");
    EXPECT(numeric_floor(&arena, number("-1.2"), &result), "-2");
    EXPECT(numeric_ceiling(&arena, number("1.2"), &result), "2");
}

Test(numeric, roots_and_powers_have_the_digits_of_postgresql, .init = init, .fini = fini)
{
    EXPECT(numeric_sqrt(&arena, number("0.956"), &result), "0.97775252492642534");
    EXPECT(numeric_sqrt(&arena, number("2"), &result), "1.414213562373095");
    EXPECT(numeric_ln(&arena, number("0.9"), &result), "-0.10536051565782630");
    EXPECT(numeric_exp(&arena, number("1.0"), &result), "2.7182818284590452");
    EXPECT(numeric_power(&arena, number("-22.0"), number("17.0"), &result),
           "-66249952919459433152512.0000000000000000");
    EXPECT(numeric_power(&arena, number("2"), number("0.5"), &result), "1.4142135623730950");
    EXPECT(numeric_log(&arena, number("0.9"), number("3057340706"), &result),
           "-207.29597979258164");
}

Test(numeric, infinities_and_nan_follow_their_rules, .init = init, .fini = fini)
{
    struct numeric quotient;

    EXPECT(numeric_add(&arena, number("inf"), number("-inf"), &result), "NaN");
    EXPECT(numeric_divide(&arena, number("1"), number("inf"), &result), "0");
    EXPECT(numeric_multiply(&arena, number("inf"), number("-2"), &result), "-Infinity");
    cr_expect_eq(numeric_divide(&arena, number("inf"), number("0"), &quotient), ERR_SQL);
    cr_expect_eq(numeric_compare(number("NaN"), number("NaN")), 0);
    cr_expect_gt(numeric_compare(number("NaN"), number("inf")), 0);
}

static const char *const ordered[] = {
    "-inf", "-1e40",  "-123456789.5",
    "-100", "-99.99", "-1",
    "-0.5", "-0.05",  "-1e-20",
    "0",    "1e-20",  "0.0049",
    "0.05", "0.5",    "1",
    "1.01", "9",      "10",
    "99",   "100",    "12345678901234567890.1",
    "1e40", "inf",    "NaN",
};
enum { ORDERED = sizeof(ordered) / sizeof(ordered[0]) };

Test(numeric, keys_are_ordered_as_the_numbers_are, .init = init, .fini = fini)
{
    for (uint32_t i = 0; i + 1 < ORDERED; i++) {
        struct buf one, other;

        buf_init(&one, MEM_SESSIONS);
        buf_init(&other, MEM_SESSIONS);
        numeric_key_put(number(ordered[i]), &one);
        numeric_key_put(number(ordered[i + 1]), &other);
        cr_expect_lt(slice_compare(buf_slice(&one), buf_slice(&other)), 0, "%s < %s", ordered[i],
                     ordered[i + 1]);
        cr_expect_lt(numeric_compare(number(ordered[i]), number(ordered[i + 1])), 0);
        buf_fini(&one);
        buf_fini(&other);
    }
    cr_expect_eq(numeric_hash(number("1.50")), numeric_hash(number("1.5")));
}

Test(numeric, stored_and_sent_numbers_come_back, .init = init, .fini = fini)
{
    for (uint32_t i = 0; i < ORDERED; i++) {
        struct numeric value = number(ordered[i]), back;
        struct buf bytes;

        buf_init(&bytes, MEM_SESSIONS);
        numeric_put(value, &bytes);
        cr_assert_eq(numeric_get(buf_slice(&bytes), &arena, &back), ERR_OK);
        cr_expect_eq(numeric_compare(value, back), 0);
        cr_expect_eq(value.scale, back.scale);
        for (size_t size = 0; size < bytes.size; size++) { /* No part of it is one, or reads on. */
            (void)numeric_get(slice_of(bytes.data, size), &arena, &back);
        }
        buf_clear(&bytes);
        numeric_send(value, &bytes);
        cr_assert_eq(numeric_receive(&arena, buf_slice(&bytes), &back), ERR_OK);
        cr_expect_eq(numeric_compare(value, back), 0, "%s", ordered[i]);
        buf_fini(&bytes);
    }
}

Test(numeric, a_sum_is_exact_beyond_every_machine_word, .init = init, .fini = fini)
{
    struct numeric_sum sum;
    struct numeric total;

    numeric_sum_init(&sum);
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_eq(numeric_sum_add(&sum, &arena, number("9223372036854775807.99")), ERR_OK);
        cr_assert_eq(numeric_sum_add(&sum, &arena, number("0.001")), ERR_OK);
    }
    cr_assert_eq(numeric_sum_add(&sum, &arena, number("1e38")), ERR_OK);
    cr_assert_eq(numeric_sum_get(&sum, &arena, &total), ERR_OK);
    expect_text(total, "100000000000000009223372036854775807991.000");
}

Test(numeric, a_column_of_numeric_refuses_what_it_cannot_hold, .init = init, .fini = fini)
{
    struct sql_report report;
    struct numeric refused;

    EXPECT(numeric_fit(&arena, number("12.345"), 4, 1, &result), "12.3");
    cr_assert_eq(numeric_fit(&arena, number("999.96"), 4, 1, &refused), ERR_SQL);
    sql_report_get(ERR_SQL, &report);
    cr_expect_str_eq(report.message, "numeric field overflow");
    cr_expect_str_eq(report.detail, "A field with precision 4, scale 1 must round to an absolute "
                                    "value less than 10^3.");
}
