/* Tests of models/types/json_text.c and jsonb*.c: what PostgreSQL 15 answers, and broken bytes. */
#include "models/types/jsonb.h"

#include <stdio.h>

#include <criterion/criterion.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

TestSuite(jsonb, .timeout = 20);

static struct arena arena;

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

static struct datum
json(const char *text)
{
    struct datum value = {0};

    cr_assert_eq(jsonb_from_text(slice_from_text(text), &arena, &value), ERR_OK, "%s", text);
    return value;
}

static void
expect_text(struct datum value, const char *expected)
{
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    json_value_print(json_root(value.bytes), false, &text);
    buf_append_byte(&text, 0);
    cr_expect_str_eq((const char *)text.data, expected);
    buf_fini(&text);
}

static void
expect_refused(const char *text, const char *detail, const char *context)
{
    struct sql_report report;
    struct datum value;

    cr_assert_eq(jsonb_from_text(slice_from_text(text), &arena, &value), ERR_SQL, "%s", text);
    sql_report_get(ERR_SQL, &report);
    cr_expect_str_eq(report.detail, detail, "%s: %s", text, report.detail);
    cr_expect_str_eq(report.context, context, "%s: %s", text, report.context);
}

Test(jsonb, keys_are_sorted_and_the_last_of_equal_ones_stays, .init = init, .fini = fini)
{
    expect_text(json(" {\"bb\":1, \"a\" : [1.50,true,null,\"x\\n\"], \"c\":{}, \"a\":2e2}"),
                "{\"a\": 200, \"c\": {}, \"bb\": 1}");
    expect_text(json("\"\\u00e9\\ud83d\\ude04\""), "\"é😄\"");
}

Test(jsonb, malformed_text_names_the_token_and_its_line, .init = init, .fini = fini)
{
    expect_refused("[1,", "The input string ended unexpectedly.", "JSON data, line 1: [1,");
    expect_refused("{\"a\" 1}", "Expected \":\", but found \"1\".",
                   "JSON data, line 1: {\"a\" 1...");
    expect_refused("[1,\n2 3]", "Expected \",\" or \"]\", but found \"3\".",
                   "JSON data, line 2: 2 3...");
    expect_refused("nul", "Token \"nul\" is invalid.", "JSON data, line 1: nul");
    expect_refused("\"\\x\"", "Escape sequence \"\\x\" is invalid.", "JSON data, line 1: \"\\x...");
}

Test(jsonb, a_key_is_found_among_many, .init = init, .fini = fini)
{
    struct json_value root, found;
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    buf_append_byte(&text, '{');
    for (int i = 0; i < 3000; i++) {
        buf_printf(&text, "%s\"k%d\":%d", i > 0 ? "," : "", i * 7 % 3000, i * 7 % 3000);
    }
    buf_append(&text, "}", 2);
    root = json_root(json((const char *)text.data).bytes);
    cr_assert_eq(root.count, 3000);
    for (int i = 0; i < 3000; i++) {
        char key[16];
        struct numeric number;
        int64_t value = -1;

        (void)snprintf(key, sizeof(key), "k%d", i);
        cr_assert(json_find(&root, slice_from_text(key), &found));
        cr_assert_eq(json_number(&found, &arena, &number), ERR_OK);
        cr_expect(numeric_to_int(number, &value) && value == i);
    }
    cr_expect_not(json_find(&root, SLICE("k3000"), &found));
    buf_fini(&text);
}

Test(jsonb, order_is_that_of_keys_in_indexes, .init = init, .fini = fini)
{
    static const char *const ordered[] = {
        "[]",    "null", "\"a\"",     "\"b\"",     "-1",        "10",
        "false", "true", "[null]",    "[true]",    "[[]]",      "[{}]",
        "[1,2]", "{}",   "{\"a\":1}", "{\"a\":2}", "{\"b\":0}", "{\"a\":1,\"b\":1}"};
    const struct type *type = type_by_oid(OID_JSONB);

    for (size_t i = 0; i < sizeof(ordered) / sizeof(ordered[0]); i++) {
        for (size_t j = 0; j < sizeof(ordered) / sizeof(ordered[0]); j++) {
            int order = type->compare(type, json(ordered[i]), json(ordered[j])), by_key;
            struct buf x, y;

            buf_init(&x, MEM_SESSIONS);
            buf_init(&y, MEM_SESSIONS);
            type_key_put(type, json(ordered[i]), &x);
            type_key_put(type, json(ordered[j]), &y);
            by_key = slice_compare(buf_slice(&x), buf_slice(&y));
            cr_expect_eq((order > 0) - (order < 0), (i > j) - (i < j), "%s %s", ordered[i],
                         ordered[j]);
            cr_expect_eq((by_key > 0) - (by_key < 0), (i > j) - (i < j), "%s %s", ordered[i],
                         ordered[j]);
            buf_fini(&x);
            buf_fini(&y);
        }
    }
}

Test(jsonb, a_stored_object_has_the_documented_bytes, .init = init, .fini = fini)
{
    static const uint8_t expected[] = {0x06, 'a', 0x03, 0x00, 0x02, 0x00, 0x01, 0x04, 0x01};

    cr_expect(slice_equal(json("{\"a\":1}").bytes, slice_of(expected, sizeof(expected))));
}

Test(jsonb, changed_bytes_are_refused_or_read_whole, .init = init, .fini = fini)
{
    const struct type *type = type_by_oid(OID_JSONB);
    struct datum value = json("{\"a\":[1,2.5,\"xyz\",null],\"bc\":{\"d\":true,\"e\":[]}}");
    uint32_t refused = 0;

    for (size_t i = 0; i < value.bytes.size; i++) {
        for (uint32_t change = 1; change < 256; change++) {
            uint8_t bytes[128];
            struct datum read;

            cr_assert_leq(value.bytes.size, sizeof(bytes));
            memcpy(bytes, value.bytes.data, value.bytes.size);
            bytes[i] ^= (uint8_t)change;
            if (type_row_get(type, slice_of(bytes, value.bytes.size), &arena, &read) != ERR_OK) {
                refused++;
            } else {
                struct buf text;

                buf_init(&text, MEM_SESSIONS);
                json_value_print(json_root(read.bytes), true, &text);
                (void)type->compare(type, read, value);
                type_key_put(type, read, &text);
                buf_fini(&text);
            }
        }
    }
    cr_expect_gt(refused, 1000);
}

Test(jsonb, depth_is_counted, .init = init, .fini = fini)
{
    struct datum value;
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        buf_append_byte(&text, '[');
    }
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        buf_append_byte(&text, ']');
    }
    cr_expect_eq(jsonb_from_text(buf_slice(&text), &arena, &value), ERR_OK);
    cr_expect_eq(jsonb_check(NULL, value.bytes), ERR_OK);
    cr_expect_eq(jsonb_compare(NULL, value, value), 0);
    text.data[JSON_DEPTH_MAX] = '[';
    cr_expect_eq(jsonb_from_text(buf_slice(&text), &arena, &value), ERR_SQL);
    buf_fini(&text);
}
