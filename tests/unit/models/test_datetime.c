/* Tests of models/types/datetime*.c, interval_text.c, calendar.c and zone.c: what PostgreSQL 15
 * answers. */
#include "models/types/datetime.h"

#include <criterion/criterion.h>

#include "models/types/sql_error.h"

TestSuite(datetime, .timeout = 20);

static struct arena arena;
static struct type_settings settings;

static void
init(void)
{
    arena_init(&arena, MEM_SESSIONS);
    settings = type_settings_default;
    settings.zones = zones_new();
}

static void
fini(void)
{
    zones_free(&settings.zones);
    arena_fini(&arena);
}

static err_t
read_as(oid_t type, const char *text, struct datum *out)
{
    const struct type_io io = {.arena = &arena, .settings = &settings};

    return type_by_oid(type)->input(type_by_oid(type), &io, slice_from_text(text), -1, out);
}

static struct datum
value_of(oid_t type, const char *text)
{
    struct datum value = {0};

    cr_assert_eq(read_as(type, text, &value), ERR_OK, "%s", text);
    return value;
}

static void
expect_shown(oid_t type, struct datum value, const char *expected)
{
    struct buf out;

    buf_init(&out, MEM_SESSIONS);
    type_by_oid(type)->output(type_by_oid(type), &settings, value, &out);
    buf_append_byte(&out, 0);
    cr_expect_str_eq((const char *)out.data, expected);
    buf_fini(&out);
}

static void
expect(oid_t type, const char *text, const char *expected)
{
    expect_shown(type, value_of(type, text), expected);
}

static void
expect_error(oid_t type, const char *text, const char *sqlstate)
{
    struct sql_report report;
    struct datum value;
    err_t err = read_as(type, text, &value);

    cr_assert_neq(err, ERR_OK, "%s", text);
    sql_report_get(err, &report);
    cr_expect_str_eq(report.sqlstate, sqlstate, "%s: %s", text, report.message);
}

Test(datetime, days_and_dates_are_two_names_of_one_thing, .init = init, .fini = fini)
{
    cr_expect_eq(calendar_days(2000, 1, 1), 0);
    cr_expect_eq(calendar_days(1970, 1, 1), CALENDAR_DAYS_1970);
    cr_expect_eq(calendar_days(-4713, 11, 24), -CALENDAR_JULIAN_2000);
    for (int64_t days = -3000000; days < 3000000; days += 997) {
        int32_t year, month, day;

        calendar_civil(days, &year, &month, &day);
        cr_assert_eq(calendar_days(year, month, day), days);
        cr_assert_leq(day, calendar_month_days(year, month));
    }
}

Test(datetime, a_date_is_read_in_every_form_of_the_documentation, .init = init, .fini = fini)
{
    static const char *const forms[] = {"1999-01-08",  "January 8, 1999", "1/8/1999", "1999-Jan-08",
                                        "Jan-08-1999", "08-Jan-1999",     "19990108", "990108",
                                        "1999.008",    "J2451187",        "08-Jan-99"};

    for (uint32_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        expect(OID_DATE, forms[i], "1999-01-08");
    }
    settings.date_order = ORDER_DMY;
    expect(OID_DATE, "1/8/1999", "1999-08-01");
    settings.date_order = ORDER_YMD;
    expect(OID_DATE, "99-1-8", "1999-01-08");
    expect(OID_DATE, "4714-11-24 BC", "4714-11-24 BC");
    expect(OID_DATE, "-infinity", "-infinity");
}

Test(datetime, what_is_no_date_or_time_is_refused_with_its_code, .init = init, .fini = fini)
{
    expect_error(OID_DATE, "yesterday's", "22007");
    expect_error(OID_DATE, "1999-02-29", "22008");
    expect_error(OID_DATE, "13/13/1999", "22008");
    expect_error(OID_DATE, "5874898-01-01", "22008");
    expect_error(OID_TIME, "25:00", "22008");
    expect_error(OID_TIMETZ, "1:00 +16", "22009");
    expect_error(OID_TIMESTAMP, "294277-01-01", "22008");
    expect_error(OID_TIMESTAMPTZ, "2000-01-01 Nowhere/At_All", "22023");
    expect_error(OID_INTERVAL, "1 fortnight", "22007");
    expect_error(OID_INTERVAL, "2147483648 days", "22015");
}

Test(datetime, styles_show_a_moment_each_in_its_way, .init = init, .fini = fini)
{
    struct datum moment = value_of(OID_TIMESTAMPTZ, "2001-02-03 04:05:06.7+00");

    expect_shown(OID_TIMESTAMPTZ, moment, "2001-02-03 04:05:06.7+00");
    settings.date_style = DATE_POSTGRES;
    expect_shown(OID_TIMESTAMPTZ, moment, "Sat Feb 03 04:05:06.7 2001 UTC");
    settings.date_style = DATE_SQL;
    expect_shown(OID_TIMESTAMPTZ, moment, "02/03/2001 04:05:06.7 UTC");
    settings.date_style = DATE_GERMAN;
    expect_shown(OID_TIMESTAMPTZ, moment, "03.02.2001 04:05:06.7 UTC");
}

Test(datetime, an_interval_is_read_and_shown_in_four_styles, .init = init, .fini = fini)
{
    static const char *const shown[] = {[INTERVAL_POSTGRES] = "1 year 2 mons -3 days +04:05:06.7",
                                        [INTERVAL_VERBOSE] =
                                            "@ 1 year 2 mons -3 days 4 hours 5 mins 6.7 secs",
                                        [INTERVAL_SQL] = "+1-2 -3 +4:05:06.7",
                                        [INTERVAL_ISO] = "P1Y2M-3DT4H5M6.7S"};
    struct datum value = value_of(OID_INTERVAL, "1-2 -3 +4:05:06.7");

    for (uint8_t style = INTERVAL_POSTGRES; style <= INTERVAL_ISO; style++) {
        settings.interval_style = style;
        expect_shown(OID_INTERVAL, value, shown[style]);
        expect(OID_INTERVAL, shown[style], shown[style]);
    }
    settings.interval_style = INTERVAL_POSTGRES;
    expect(OID_INTERVAL, "1.5 months ago", "-1 mons -15 days");
    expect(OID_INTERVAL, "P0001-02-03T04:05:06", "1 year 2 mons 3 days 04:05:06");
}

Test(datetime, a_zone_knows_its_gaps_and_its_hours_that_come_twice, .init = init, .fini = fini)
{
    settings.zone = zone_find(settings.zones, SLICE("europe/BERLIN"), &arena);
    cr_assert_not_null(settings.zone);
    cr_expect_str_eq(zone_name(settings.zone), "Europe/Berlin");
    expect(OID_TIMESTAMPTZ, "2021-07-01 12:00 UTC", "2021-07-01 14:00:00+02");
    expect(OID_TIMESTAMPTZ, "2021-03-28 02:30", "2021-03-28 03:30:00+02");
    expect(OID_TIMESTAMPTZ, "2021-10-31 02:30", "2021-10-31 02:30:00+01");
    expect(OID_TIMESTAMPTZ, "2090-07-01 12:00", "2090-07-01 12:00:00+02");
    expect(OID_TIMESTAMPTZ, "1890-01-01 00:00", "1890-01-01 00:00:00+00:53:28");
    cr_expect_null(zone_find(settings.zones, SLICE("../Europe/Berlin"), &arena));
}

Test(datetime, a_posix_string_is_a_zone, .init = init, .fini = fini)
{
    settings.zone = zone_posix(SLICE("CET-1CEST,M3.5.0,M10.5.0/3"), &arena);
    cr_assert_not_null(settings.zone);
    expect(OID_TIMESTAMPTZ, "2021-07-01 12:00 UTC", "2021-07-01 14:00:00+02");
    expect(OID_TIMESTAMPTZ, "2021-10-31 02:30", "2021-10-31 02:30:00+01");
    cr_expect_null(zone_posix(SLICE("CET-1CEST,M13.5.0,M10.5.0"), &arena));
    cr_expect_null(zone_posix(SLICE("CET"), &arena));
}

Test(datetime, a_month_added_keeps_to_the_month, .init = init, .fini = fini)
{
    const struct interval month = {.months = 1};
    struct datum value = value_of(OID_TIMESTAMP, "2020-01-31 12:00");

    cr_assert_eq(timestamp_add(value.i, &month, false, NULL, &value.i), ERR_OK);
    expect_shown(OID_TIMESTAMP, value, "2020-02-29 12:00:00");
}

Test(datetime, keys_are_ordered_as_values_are, .init = init, .fini = fini)
{
    static const struct {
        oid_t type;
        const char *texts[4];
    } rows[] = {
        {OID_DATE, {"-infinity", "0044-03-15 BC", "2000-01-01", "infinity"}},
        {OID_TIMETZ, {"00:00+14", "12:00+02", "12:00-05", "24:00-12"}},
        {OID_INTERVAL, {"-1 year", "-1 microsecond", "29 days 23:59", "1 mon"}},
        {OID_TIMESTAMP, {"-infinity", "1999-12-31", "2000-01-01", "infinity"}},
    };

    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct type *type = type_by_oid(rows[i].type);
        struct buf keys[2];

        buf_init(&keys[0], MEM_SESSIONS);
        buf_init(&keys[1], MEM_SESSIONS);
        for (uint32_t j = 1; j < 4; j++) {
            struct datum a = value_of(rows[i].type, rows[i].texts[j - 1]);
            struct datum b = value_of(rows[i].type, rows[i].texts[j]);

            buf_clear(&keys[0]);
            buf_clear(&keys[1]);
            type_key_put(type, a, &keys[0]);
            type_key_put(type, b, &keys[1]);
            cr_expect_lt(type->compare(type, a, b), 0, "%s", rows[i].texts[j]);
            cr_expect_lt(slice_compare(buf_slice(&keys[0]), buf_slice(&keys[1])), 0);
        }
        buf_fini(&keys[0]);
        buf_fini(&keys[1]);
    }
}

Test(datetime, stored_and_sent_bytes_are_checked, .init = init, .fini = fini)
{
    const struct type_io io = {.arena = &arena, .settings = &settings};
    struct datum value;

    cr_expect_eq(type_row_get(type_by_oid(OID_TIME),
                              slice_of("\xff\xff\xff\xff\xff\xff\xff\xff", 8), &arena, &value),
                 ERR_CORRUPT);
    cr_expect_eq(type_row_get(type_by_oid(OID_DATE), SLICE("\0\0\0"), &arena, &value), ERR_CORRUPT);
    cr_expect_eq(type_by_oid(OID_TIMESTAMP)
                     ->receive(type_by_oid(OID_TIMESTAMP), &io,
                               slice_of("\x7f\xff\xff\xff\xff\xff\xff\xf0", 8), &value),
                 ERR_SQL);
}
