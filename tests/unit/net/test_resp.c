/* tests/unit/net/test_resp.c - the request parser, fed whole and in pieces. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "net/resp.h"

static const struct resp_limits limits = {.bulk_bytes_max = RESP_BULK_BYTES_MAX_DEFAULT,
                                          .is_authenticated = true};

/* Parse the first request of `input`, giving `step` bytes more at a time (0: all at once). The
 * words are written to text_out with '|' behind each. */
static enum resp_status
parse(struct slice input, size_t step, char *text_out, uint64_t *consumed_out,
      const char **error_out)
{
    struct resp_parser parser;
    enum resp_status status = RESP_INCOMPLETE;
    size_t size = step == 0 ? input.size : 0;
    static char error[128];

    resp_parser_init(&parser);
    text_out[0] = '\0';
    do {
        struct slice part;

        size = step == 0 ? input.size : MIN(size + step, input.size);
        part = slice_of(input.data, size);
        status = resp_parse(&parser, part, &limits, consumed_out, error_out);
        if (status == RESP_READY) {
            for (uint32_t i = 0; i < parser.arg_count; i++) {
                struct slice word = resp_arg(&parser, part, i);

                strncat(text_out, (const char *)word.data, word.size);
                strcat(text_out, "|");
            }
        }
    } while (status == RESP_INCOMPLETE && size < input.size);
    if (status == RESP_ERROR) {
        snprintf(error, sizeof(error), "%s", *error_out);
        *error_out = error;
    }
    resp_parser_fini(&parser);
    return status;
}

static void
expect_words(struct slice input, const char *words, uint64_t consumed)
{
    for (size_t step = 0; step <= 7; step++) {
        char text[256];
        uint64_t used = 0;
        const char *error = NULL;

        cr_assert_eq(parse(input, step, text, &used, &error), RESP_READY, "step %zu", step);
        cr_assert_str_eq(text, words);
        cr_assert_eq(used, consumed);
    }
}

static void
expect_error(struct slice input, const char *expected)
{
    for (size_t step = 0; step <= 3; step++) {
        char text[256];
        uint64_t used = 0;
        const char *error = NULL;

        cr_assert_eq(parse(input, step, text, &used, &error), RESP_ERROR, "step %zu", step);
        cr_assert_str_eq(error, expected);
    }
}

static void
expect_status(struct slice input, enum resp_status status)
{
    char text[256];
    uint64_t used = 0;
    const char *error = NULL;

    cr_assert_eq(parse(input, 0, text, &used, &error), status);
}

Test(resp, a_multibulk_request_is_read_whole_and_in_pieces)
{
    struct slice input = SLICE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\nal\r\n*1\r\n");

    expect_words(input, "SET|k|v\r\nal|", input.size - 4);
}

Test(resp, an_empty_argument_is_an_argument)
{
    expect_words(SLICE("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"), "ECHO||", 20);
}

Test(resp, an_inline_request_ends_at_the_line)
{
    expect_words(SLICE("PING  a\tb \r\n"), "PING|a|b|", 12);
    expect_words(SLICE("PING\n"), "PING|", 5);
}

Test(resp, quotes_and_escapes_of_inline_words_are_resolved)
{
    struct slice input = SLICE("SET \"a b\" 'c \\' d' \"\\x41\\n\\\"\"\r\n");

    expect_words(input, "SET|a b|c ' d|A\n\"|", input.size);
}

Test(resp, unbalanced_quotes_are_an_error)
{
    expect_error(SLICE("SET \"a\r\n"), "unbalanced quotes in request");
    expect_error(SLICE("SET \"a\"b\r\n"), "unbalanced quotes in request");
    expect_error(SLICE("SET 'a\r\n"), "unbalanced quotes in request");
}

Test(resp, empty_and_negative_requests_are_skipped)
{
    expect_status(SLICE("\r\n"), RESP_NOTHING);
    expect_status(SLICE("*0\r\n"), RESP_NOTHING);
    expect_status(SLICE("*-10\r\n"), RESP_NOTHING);
}

Test(resp, lengths_out_of_bounds_are_named)
{
    expect_error(SLICE("*3000000000\r\n"), "invalid multibulk length");
    expect_error(SLICE("*blabla\r\n"), "invalid multibulk length");
    expect_error(SLICE("*1\r\n$-10\r\n"), "invalid bulk length");
    expect_error(SLICE("*1\r\n$2000000000\r\n"), "invalid bulk length");
    expect_error(SLICE("*1\r\n$blabla\r\n"), "invalid bulk length");
    expect_error(SLICE("*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"), "expected '$', got 'f'");
}

Test(resp, a_line_without_end_is_refused_at_the_limit)
{
    size_t size = RESP_INLINE_BYTES_MAX + 2;
    uint8_t *bytes = malloc(size);
    char text[64];
    uint64_t used;
    const char *error = NULL;

    memset(bytes, 'a', size);
    cr_assert_eq(parse(slice_of(bytes, size), 0, text, &used, &error), RESP_ERROR);
    cr_assert_str_eq(error, "too big inline request");
    bytes[0] = '*';
    cr_assert_eq(parse(slice_of(bytes, size), 0, text, &used, &error), RESP_ERROR);
    cr_assert_str_eq(error, "too big mbulk count string");
    memcpy(bytes, "*1\r\n$", 5);
    cr_assert_eq(parse(slice_of(bytes, size), 0, text, &used, &error), RESP_INCOMPLETE);
    free(bytes);
}

Test(resp, who_has_not_authenticated_may_send_little)
{
    struct resp_limits few = {.bulk_bytes_max = RESP_BULK_BYTES_MAX_DEFAULT};
    struct resp_parser parser;
    uint64_t used;
    const char *error = NULL;

    resp_parser_init(&parser);
    cr_assert_eq(resp_parse(&parser, SLICE("*11\r\n"), &few, &used, &error), RESP_ERROR);
    cr_assert_str_eq(error, "unauthenticated multibulk length");
    resp_parser_fini(&parser);
    resp_parser_init(&parser);
    cr_assert_eq(resp_parse(&parser, SLICE("*1\r\n$16385\r\n"), &few, &used, &error), RESP_ERROR);
    cr_assert_str_eq(error, "unauthenticated bulk length");
    resp_parser_fini(&parser);
}

Test(resp, the_bytes_that_an_argument_lacks_are_known)
{
    struct resp_parser parser;
    struct slice input = SLICE("*1\r\n$100\r\nabc");
    uint64_t used;
    const char *error;

    resp_parser_init(&parser);
    cr_assert_eq(resp_parse(&parser, input, &limits, &used, &error), RESP_INCOMPLETE);
    cr_assert_eq(resp_missing_bytes(&parser, input.size), 99);
    resp_parser_fini(&parser);
}

Test(resp, requests_in_a_row_are_parsed_one_by_one)
{
    struct resp_parser parser;
    struct slice input = SLICE("*1\r\n$4\r\nPING\r\nGET k\r\n*1\r\n$4\r\nQUIT\r\n");
    const char *expected[] = {"PING", "GET", "QUIT"};
    const char *error;

    resp_parser_init(&parser);
    for (int i = 0; i < 3; i++) {
        uint64_t used = 0;
        struct slice word;

        cr_assert_eq(resp_parse(&parser, input, &limits, &used, &error), RESP_READY);
        word = resp_arg(&parser, input, 0);
        cr_assert(slice_equal(word, slice_from_text(expected[i])));
        input = slice_of(input.data + used, input.size - used);
    }
    cr_assert_eq(input.size, 0);
    resp_parser_fini(&parser);
}
