/* Tests of models/types/array*.c: what PostgreSQL 15 answers, and bytes that are no array. */
#include "models/types/array.h"

#include <criterion/criterion.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "models/types/array_part.h"
#include "models/types/sql_error.h"

TestSuite(array, .timeout = 20);

enum { INT4_ARRAY = 1007, TEXT_ARRAY = 1009, NUMERIC_ARRAY = 1231 };

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

static err_t
read_text(oid_t type, const char *text, struct datum *out)
{
    const struct type_io io = {.arena = &arena, .settings = &type_settings_default};

    return type_by_oid(type)->input(type_by_oid(type), &io, slice_from_text(text), -1, out);
}

static struct datum
array(oid_t type, const char *text)
{
    struct datum value = {0};

    cr_assert_eq(read_text(type, text, &value), ERR_OK, "%s: %s", text, err_message(ERR_SQL));
    return value;
}

static void
expect_text(oid_t type, struct datum value, const char *expected)
{
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    type_by_oid(type)->output(type_by_oid(type), &type_settings_default, value, &text);
    buf_append_byte(&text, 0);
    cr_expect_str_eq((const char *)text.data, expected);
    buf_fini(&text);
}

static void
expect_refused(const char *text, const char *detail)
{
    struct sql_report report;
    struct datum value;

    cr_assert_eq(read_text(TEXT_ARRAY, text, &value), ERR_SQL, "%s", text);
    sql_report_get(ERR_SQL, &report);
    cr_expect_str_eq(report.sqlstate, "22P02");
    cr_expect_str_eq(report.detail, detail, "%s: %s", text, report.detail);
}

Test(array, text_comes_out_as_it_went_in, .init = init, .fini = fini)
{
    static const char *const texts[] = {"{}", "{1,2,NULL}", "{{1,2},{3,4}}", "[0:1]={5,6}",
                                        "[2:2][-1:0]={{7,8}}"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        expect_text(INT4_ARRAY, array(INT4_ARRAY, texts[i]), texts[i]);
    }
    expect_text(TEXT_ARRAY,
                array(TEXT_ARRAY, " { a b , \"x\\\"y\" , \\{ , \"NULL\", null, \"\" } "),
                "{\"a b\",\"x\\\"y\",\"{\",\"NULL\",NULL,\"\"}");
}

Test(array, malformed_text_names_what_is_wrong, .init = init, .fini = fini)
{
    expect_refused("1", "Array value must start with \"{\" or dimension information.");
    expect_refused("{1", "Unexpected end of input.");
    expect_refused("{1,}", "Unexpected \"}\" character.");
    expect_refused("{1}}", "Junk after closing right brace.");
    expect_refused("{{1},{2,3}}",
                   "Multidimensional arrays must have sub-arrays with matching dimensions.");
    expect_refused("{a\"b\"}", "Unexpected array element.");
    expect_refused("[1:2]={1}", "Specified array dimensions do not match array contents.");
}

Test(array, order_goes_by_elements_then_count_then_shape, .init = init, .fini = fini)
{
    static const char *const ordered[] = {"{}",    "{1}",     "[0:0]={2}", "{2}",
                                          "{2,1}", "{{2,1}}", "{3}",       "{NULL}"};
    const struct type *type = type_by_oid(INT4_ARRAY);

    for (size_t i = 0; i < sizeof(ordered) / sizeof(ordered[0]); i++) {
        for (size_t j = 0; j < sizeof(ordered) / sizeof(ordered[0]); j++) {
            struct datum a = array(INT4_ARRAY, ordered[i]), b = array(INT4_ARRAY, ordered[j]);
            int order = type->compare(type, a, b), by_key;
            struct buf x, y;

            buf_init(&x, MEM_SESSIONS);
            buf_init(&y, MEM_SESSIONS);
            type_key_put(type, a, &x);
            type_key_put(type, b, &y);
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

Test(array, equal_arrays_of_other_scales_hash_alike, .init = init, .fini = fini)
{
    const struct type *type = type_by_oid(NUMERIC_ARRAY);
    struct buf x, y;

    buf_init(&x, MEM_SESSIONS);
    buf_init(&y, MEM_SESSIONS);
    type_hash_put(type, array(NUMERIC_ARRAY, "{1.0,2}"), &x);
    type_hash_put(type, array(NUMERIC_ARRAY, "{1.00,2.0}"), &y);
    cr_expect(slice_equal(buf_slice(&x), buf_slice(&y)));
    buf_fini(&x);
    buf_fini(&y);
}

Test(array, a_stored_array_has_the_documented_bytes, .init = init, .fini = fini)
{
    static const uint8_t expected[] = {0x09, 0x03, 0x02, 0x01, 0x61, 0x00};
    struct datum value = array(TEXT_ARRAY, "{a,NULL,\"\"}");

    cr_expect(slice_equal(value.bytes, slice_of(expected, sizeof(expected))));
}

Test(array, changed_bytes_are_refused_or_read_whole, .init = init, .fini = fini)
{
    const struct type *type = type_by_oid(TEXT_ARRAY);
    struct datum value = array(TEXT_ARRAY, "[3:4][1:2]={{a,NULL},{ccc,dddd}}");
    uint32_t refused = 0;

    for (size_t i = 0; i < value.bytes.size; i++) {
        for (uint32_t change = 1; change < 256; change++) {
            uint8_t bytes[64];
            struct datum read;

            memcpy(bytes, value.bytes.data, value.bytes.size);
            bytes[i] ^= (uint8_t)change;
            if (type_row_get(type, slice_of(bytes, value.bytes.size), &arena, &read) != ERR_OK) {
                refused++;
            } else {
                struct buf text;

                buf_init(&text, MEM_SESSIONS);
                type->output(type, &type_settings_default, read, &text);
                (void)type->compare(type, read, value);
                buf_fini(&text);
            }
        }
    }
    cr_expect_gt(refused, 100);
    cr_expect_eq(
        type_row_get(type, slice_of(value.bytes.data, value.bytes.size - 1), &arena, &value),
        ERR_CORRUPT);
}

Test(array, an_element_beyond_the_end_extends_a_list_with_nulls, .init = init, .fini = fini)
{
    const struct type *type = type_by_oid(INT4_ARRAY);
    const struct array_bounds bounds = {.count = 1, .upper = {5}};
    struct datum out;

    cr_assert_eq(array_element_set(type, array(INT4_ARRAY, "{1,2}").bytes, &bounds, datum_int(9),
                                   false, &arena, &out),
                 ERR_OK);
    expect_text(INT4_ARRAY, out, "{1,2,NULL,NULL,9}");
}
