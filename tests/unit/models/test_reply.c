/* Tests of models/kv/reply.c: the bytes that clients read. */
#include "models/kv/reply.h"

#include <float.h>
#include <math.h>

#include <criterion/criterion.h>

TestSuite(reply, .timeout = 10);

static void
expect(struct reply *reply, const char *bytes)
{
    cr_expect(slice_equal(buf_slice(&reply->buf), slice_from_text(bytes)), "got \"%.*s\"",
              (int)reply->buf.size, (const char *)reply->buf.data);
    buf_clear(&reply->buf);
}

static void
write_one_of_each(struct reply *reply)
{
    reply_null(reply);
    reply_null_array(reply);
    reply_map(reply, 2);
    reply_set(reply, 2);
    reply_push(reply, 2);
    reply_bool(reply, true);
    reply_bool(reply, false);
    reply_double(reply, 1.5);
    reply_verbatim(reply, "txt", SLICE("ab"));
    reply_big_number(reply, "123");
}

Test(reply, version_2_and_3_differ_where_the_protocol_says)
{
    struct reply reply;

    reply_init(&reply, 2);
    write_one_of_each(&reply);
    expect(&reply, "$-1\r\n*-1\r\n*4\r\n*2\r\n*2\r\n:1\r\n:0\r\n$3\r\n1.5\r\n$2\r\nab\r\n"
                   "$3\r\n123\r\n");
    reply.resp = 3;
    write_one_of_each(&reply);
    reply_attribute(&reply, 1);
    expect(&reply,
           "_\r\n_\r\n%2\r\n~2\r\n>2\r\n#t\r\n#f\r\n,1.5\r\n=6\r\ntxt:ab\r\n(123\r\n|1\r\n");
    reply_fini(&reply);
}

Test(reply, an_error_stays_on_one_line_and_is_counted)
{
    struct reply reply;

    reply_init(&reply, 2);
    reply_error(&reply, "ERR a\r\nb %d", 7);
    expect(&reply, "-ERR a  b 7\r\n");
    err_set(ERR_NO_SPACE, "disk full");
    reply_err(&reply, ERR_NO_SPACE);
    expect(&reply, "-MISCONF disk full\r\n");
    cr_expect_eq(reply.errors, 2);
    reply_fini(&reply);
}

Test(reply, an_error_that_quotes_a_long_name_is_whole_up_to_64_kib)
{
    static char name[100000];
    struct reply reply;

    reply_init(&reply, 2);
    memset(name, 'v', sizeof(name));
    reply_error(&reply, "ERR '%.*s' b", 2000, name);
    cr_expect_eq(reply.buf.size, 2000 + strlen("-ERR '' b\r\n"));
    cr_expect(slice_equal(slice_of(reply.buf.data + reply.buf.size - 5, 5), SLICE("' b\r\n")));
    buf_clear(&reply.buf);
    reply_error(&reply, "ERR '%.*s' b", (int)sizeof(name), name);
    cr_expect_eq(reply.buf.size, strlen("-") + 64 * 1024 - 1 + strlen("\r\n"));
    cr_expect_eq(reply.errors, 2);
    reply_fini(&reply);
}

Test(reply, a_bulk_may_hold_any_bytes_or_none)
{
    struct reply reply;

    reply_init(&reply, 2);
    reply_bulk(&reply, slice_of(NULL, 0));
    reply_bulk(&reply, SLICE("\r\n"));
    reply_bulk_int(&reply, INT64_MIN);
    reply_bulk_printf(&reply, "%s-%d", "x", 5);
    expect(&reply, "$0\r\n\r\n$2\r\n\r\n\r\n$20\r\n-9223372036854775808\r\n$3\r\nx-5\r\n");
    reply_fini(&reply);
}

Test(reply, integers_are_read_as_strictly_as_redis_reads_them)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "-0",
                                      "1.0",
                                      "0x1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999",
                                      "a",
                                      "-01"};
    int64_t value;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_not(reply_parse_int(slice_from_text(bad[i]), &value), "\"%s\" was taken", bad[i]);
    }
    cr_assert(reply_parse_int(SLICE("-9223372036854775808"), &value));
    cr_expect_eq(value, INT64_MIN);
    cr_assert(reply_parse_int(SLICE("9223372036854775807"), &value));
    cr_expect_eq(value, INT64_MAX);
    cr_assert(reply_parse_int(SLICE("0"), &value));
    cr_expect_eq(value, 0);
}

static void
expect_double(double value, const char *text)
{
    char out[REPLY_NUMBER_BYTES_MAX];
    size_t size = reply_format_double(value, out);

    cr_expect(slice_equal(slice_of(out, size), slice_from_text(text)), "%.17g gave \"%.*s\"", value,
              (int)size, out);
}

Test(reply, doubles_are_as_short_as_they_can_be)
{
    expect_double(0, "0");
    expect_double(-0.0, "-0");
    expect_double(1, "1");
    expect_double(-100000, "-100000");
    expect_double(0.1, "0.1");
    expect_double(3.14159, "3.14159");
    expect_double(0.1 + 0.2, "0.30000000000000004");
    expect_double(1e21, "1e+21");
    expect_double(1.5e-9, "1.5e-9");
    expect_double(-0.001, "-0.001");
    expect_double(INFINITY, "inf");
    expect_double(-INFINITY, "-inf");
    expect_double(NAN, "nan");
    expect_double(DBL_MAX, "1.7976931348623157e+308");
    expect_double(5e-324, "5e-324");
}

static void
expect_long_double(long double value, const char *text)
{
    char out[REPLY_NUMBER_BYTES_MAX];
    size_t size = reply_format_long_double(value, out);

    cr_expect(slice_equal(slice_of(out, size), slice_from_text(text)), "got \"%.*s\"", (int)size,
              out);
}

Test(reply, long_doubles_have_no_exponent_and_no_trailing_zeros)
{
    char out[REPLY_NUMBER_BYTES_MAX];

    expect_long_double(0, "0");
    expect_long_double(-0.0L, "0");
    expect_long_double(10.50L, "10.5");
    expect_long_double(-1.0L, "-1");
    expect_long_double(1e17L, "100000000000000000");
    expect_long_double(3.0L + 1.1L, "4.1");
    cr_expect_eq(reply_format_long_double(LDBL_MAX, out), 4933, "the largest one has to fit");
}
