/* models/types/datetime_io.c - dates and times as text by the session's style, and in binary.
 *
 * Binary forms are PostgreSQL's: whole numbers of days or microseconds, big-endian. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "models/types/datetime.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"

#include "engine/base/poison.h"

/* ---- Text ---- */

static int32_t
shown_year(int32_t year)
{
    return year > 0 ? year : 1 - year;
}

/* The day alone, with the year. */
static void
day_put(const struct civil *civil, const struct type_settings *settings, struct buf *out)
{
    int year = shown_year(civil->year);
    bool is_dmy = settings->date_order == ORDER_DMY;
    int first = is_dmy ? civil->day : civil->month, second = is_dmy ? civil->month : civil->day;

    switch ((enum date_style)settings->date_style) {
    case DATE_ISO:
        buf_printf(out, "%04d-%02d-%02d", year, civil->month, civil->day);
        return;
    case DATE_SQL:
        buf_printf(out, "%02d/%02d/%04d", first, second, year);
        return;
    case DATE_GERMAN:
        buf_printf(out, "%02d.%02d.%04d", civil->day, civil->month, year);
        return;
    case DATE_POSTGRES:
        buf_printf(out, "%02d-%02d-%04d", first, second, year);
        return;
    }
}

static void
era_put(const struct civil *civil, struct buf *out)
{
    if (civil->year <= 0) {
        buf_append(out, " BC", 3);
    }
}

static void
infinity_put(bool is_negative, struct buf *out)
{
    buf_printf(out, "%sinfinity", is_negative ? "-" : "");
}

void
date_to_text(int64_t date, const struct type_settings *settings, struct buf *out)
{
    struct civil civil = {0};

    if (!date_is_finite(date)) {
        infinity_put(date < 0, out);
        return;
    }
    calendar_civil(date, &civil.year, &civil.month, &civil.day);
    day_put(&civil, settings, out);
    era_put(&civil, out);
}

static void
clock_put(const struct civil *civil, struct buf *out)
{
    int fraction = civil->us, digits = DATETIME_PRECISION_MAX;

    buf_printf(out, "%02d:%02d:%02d", civil->hour, civil->minute, civil->second);
    if (fraction == 0) {
        return;
    }
    for (; fraction % 10 == 0; digits--) {
        fraction /= 10;
    }
    buf_printf(out, ".%0*d", digits, fraction);
}

void
time_to_text(int64_t us, struct buf *out)
{
    struct civil civil;

    time_civil(us, &civil);
    clock_put(&civil, out);
}

void
zone_offset_to_text(int32_t offset, struct buf *out)
{
    int32_t seconds = abs(offset), minutes = seconds / 60 % 60, hours = seconds / 3600;

    buf_printf(out, "%c%02d", offset < 0 ? '-' : '+', hours);
    if (seconds % 60 != 0) {
        buf_printf(out, ":%02d:%02d", minutes, seconds % 60);
    } else if (minutes != 0) {
        buf_printf(out, ":%02d", minutes);
    }
}

/* Styles other than ISO name the zone when it has a name. */
static void
zone_put(const struct civil *civil, enum date_style style, struct buf *out)
{
    if (style != DATE_ISO && civil->abbreviation[0] != '\0') {
        buf_printf(out, " %s", civil->abbreviation);
        return;
    }
    if (style == DATE_POSTGRES) {
        buf_append_byte(out, ' ');
    }
    zone_offset_to_text(civil->offset, out);
}

void
timestamp_to_text(int64_t timestamp, bool has_zone, const struct type_settings *settings,
                  struct buf *out)
{
    enum date_style style = (enum date_style)settings->date_style;
    bool is_dmy = settings->date_order == ORDER_DMY;
    struct civil civil;
    int weekday;

    if (!timestamp_is_finite(timestamp)) {
        infinity_put(timestamp < 0, out);
        return;
    }
    if (has_zone) {
        timestamptz_civil(timestamp, settings->zone, &civil);
    } else {
        timestamp_civil(timestamp, &civil);
    }
    if (style == DATE_POSTGRES) {
        weekday = calendar_weekday(calendar_days(civil.year, civil.month, civil.day));
        buf_printf(out, "%.3s ", datetime_weekdays[weekday]);
        if (is_dmy) {
            buf_printf(out, "%02d %.3s ", civil.day, datetime_months[civil.month - 1]);
        } else {
            buf_printf(out, "%.3s %02d ", datetime_months[civil.month - 1], civil.day);
        }
        clock_put(&civil, out);
        buf_printf(out, " %04d", shown_year(civil.year));
    } else {
        day_put(&civil, settings, out);
        buf_append_byte(out, ' ');
        clock_put(&civil, out);
    }
    if (has_zone) {
        zone_put(&civil, style, out);
    }
    era_put(&civil, out);
}

/* ---- Input ---- */

static err_t
out_of_range(const char *type_name, struct slice text)
{
    return sql_error("22008", "%s out of range: \"%.*s\"", type_name,
                     (int)MIN(text.size, (size_t)200), (const char *)text.data);
}

err_t
date_input(const struct type *type, const struct type_io *context, struct slice text,
           int32_t typmod, struct datum *out)
{
    enum datetime_special special;
    struct civil civil;
    enum datetime_error error = datetime_parse(text, context->settings, &civil, &special);

    (void)typmod;
    if (error != DATETIME_OK) {
        return datetime_error(error, text, type->display);
    }
    if (special != DATETIME_FINITE) {
        out->i = special == DATETIME_EPOCH  ? CALENDAR_DAYS_1970
                 : special == DATETIME_LATE ? DATE_INFINITY
                                            : DATE_MINUS_INFINITY;
        return ERR_OK;
    }
    out->i = civil_is_julian(civil.year, civil.month)
                 ? calendar_days(civil.year, civil.month, civil.day)
                 : DATE_END;
    return date_is_valid(out->i) ? ERR_OK : out_of_range("date", text);
}

/* Modifiers of time and of timestamps are their precision. */
static int64_t
fit(int64_t us, int32_t typmod)
{
    return typmod >= 0 && typmod < DATETIME_PRECISION_MAX ? us_round(us, typmod) : us;
}

err_t
clock_input(const struct type *type, const struct type_io *context, struct slice text,
            int32_t typmod, struct datum *out)
{
    struct civil civil;
    enum datetime_error error = time_parse(text, context->settings, &civil);

    if (error != DATETIME_OK) {
        return datetime_error(error, text, type->name);
    }
    out->i = fit(time_from_civil(&civil), typmod);
    return ERR_OK;
}

err_t
clocktz_input(const struct type *type, const struct type_io *context, struct slice text,
              int32_t typmod, struct datum *out)
{
    struct civil civil;
    enum datetime_error error = time_parse(text, context->settings, &civil);

    if (error != DATETIME_OK) {
        return datetime_error(error, text, type->display);
    }
    out->timetz = (struct timetz){fit(time_from_civil(&civil), typmod), civil.offset};
    return ERR_OK;
}

static int64_t
special_timestamp(enum datetime_special special)
{
    return special == DATETIME_EPOCH  ? -US_1970_TO_2000
           : special == DATETIME_LATE ? INT64_MAX
                                      : INT64_MIN;
}

err_t
timestamp_input(const struct type *type, const struct type_io *context, struct slice text,
                int32_t typmod, struct datum *out)
{
    enum datetime_special special;
    struct civil civil;
    enum datetime_error error = datetime_parse(text, context->settings, &civil, &special);

    if (error != DATETIME_OK) {
        return datetime_error(error, text, type->name);
    }
    if (special != DATETIME_FINITE) {
        out->i = special_timestamp(special);
        return ERR_OK;
    }
    if (!timestamp_from_civil(&civil, &out->i)) {
        return out_of_range("timestamp", text);
    }
    return timestamp_fit(out->i, typmod, &out->i);
}

err_t
timestamptz_input(const struct type *type, const struct type_io *context, struct slice text,
                  int32_t typmod, struct datum *out)
{
    enum datetime_special special;
    struct civil civil;
    enum datetime_error error = datetime_parse(text, context->settings, &civil, &special);
    int64_t days, us;

    if (error != DATETIME_OK) {
        return datetime_error(error, text, type->display);
    }
    if (special != DATETIME_FINITE) {
        out->i = special_timestamp(special);
        return ERR_OK;
    }
    if (!civil_is_julian(civil.year, civil.month)) {
        return out_of_range("timestamp", text);
    }
    /* The local time may be beyond the range where the moment is not. */
    days = calendar_days(civil.year, civil.month, civil.day);
    if (__builtin_mul_overflow(days, US_DAY, &us) ||
        __builtin_add_overflow(us, time_from_civil(&civil), &us) ||
        __builtin_sub_overflow(us, civil.offset * US_SECOND, &us) || !timestamp_is_valid(us)) {
        return out_of_range("timestamp", text);
    }
    return timestamp_fit(us, typmod, &out->i);
}

err_t
interval_input(const struct type *type, const struct type_io *context, struct slice text,
               int32_t typmod, struct datum *out)
{
    int32_t range = typmod >= 0 ? typmod >> 16 & INTERVAL_FULL_RANGE : INTERVAL_FULL_RANGE;
    enum datetime_error error = interval_parse(text, context->settings, range, &out->interval);

    if (error != DATETIME_OK) {
        return datetime_error(error, text, type->name);
    }
    return interval_fit(out->interval, typmod, &out->interval);
}

/* ---- Output ---- */

void
date_output(const struct type *type, const struct type_settings *settings, struct datum value,
            struct buf *out)
{
    (void)type;
    date_to_text(value.i, settings, out);
}

void
clock_output(const struct type *type, const struct type_settings *settings, struct datum value,
             struct buf *out)
{
    (void)type;
    (void)settings;
    time_to_text(value.i, out);
}

void
clocktz_output(const struct type *type, const struct type_settings *settings, struct datum value,
               struct buf *out)
{
    (void)type;
    (void)settings;
    time_to_text(value.timetz.us, out);
    zone_offset_to_text(value.timetz.offset, out);
}

void
timestamp_output(const struct type *type, const struct type_settings *settings, struct datum value,
                 struct buf *out)
{
    (void)type;
    timestamp_to_text(value.i, false, settings, out);
}

void
timestamptz_output(const struct type *type, const struct type_settings *settings,
                   struct datum value, struct buf *out)
{
    (void)type;
    timestamp_to_text(value.i, true, settings, out);
}

void
interval_output(const struct type *type, const struct type_settings *settings, struct datum value,
                struct buf *out)
{
    (void)type;
    interval_to_text(&value.interval, settings, out);
}

/* ---- Binary ---- */

static err_t
wrong_size(void)
{
    return sql_error("22P03", "incorrect binary data format");
}

static void
be_append(struct buf *out, uint64_t value, size_t bytes)
{
    for (size_t i = bytes; i > 0; i--) {
        buf_append_byte(out, (uint8_t)(value >> (8 * (i - 1))));
    }
}

err_t
date_receive(const struct type *type, const struct type_io *context, struct slice bytes,
             struct datum *out)
{
    (void)type;
    (void)context;
    if (bytes.size != 4) {
        return wrong_size();
    }
    out->i = (int32_t)get_be32(bytes.data);
    return !date_is_finite(out->i) || date_is_valid(out->i) ? ERR_OK : date_out_of_range();
}

void
date_send(const struct type *type, struct datum value, struct buf *out)
{
    (void)type;
    be_append(out, (uint64_t)value.i, 4);
}

static err_t
clock_check(int64_t us)
{
    return us < 0 || us > US_DAY ? sql_error("22008", "time out of range") : ERR_OK;
}

err_t
clock_receive(const struct type *type, const struct type_io *context, struct slice bytes,
              struct datum *out)
{
    (void)type;
    (void)context;
    if (bytes.size != 8) {
        return wrong_size();
    }
    out->i = (int64_t)get_be64(bytes.data);
    return clock_check(out->i);
}

void
clock_send(const struct type *type, struct datum value, struct buf *out)
{
    (void)type;
    be_append(out, (uint64_t)value.i, 8);
}

err_t
clocktz_receive(const struct type *type, const struct type_io *context, struct slice bytes,
                struct datum *out)
{
    int64_t west;

    (void)type;
    (void)context;
    if (bytes.size != 12) {
        return wrong_size();
    }
    west = (int32_t)get_be32(bytes.data + 8);
    out->timetz = (struct timetz){(int64_t)get_be64(bytes.data), (int32_t)-west};
    if (llabs(west) >= (ZONE_HOURS_MAX + 1) * 3600) {
        return sql_error("22009", "time zone displacement out of range");
    }
    return clock_check(out->timetz.us);
}

void
clocktz_send(const struct type *type, struct datum value, struct buf *out)
{
    (void)type;
    be_append(out, (uint64_t)value.timetz.us, 8);
    be_append(out, (uint64_t)-value.timetz.offset, 4);
}

err_t
timestamp_receive(const struct type *type, const struct type_io *context, struct slice bytes,
                  struct datum *out)
{
    (void)type;
    (void)context;
    if (bytes.size != 8) {
        return wrong_size();
    }
    out->i = (int64_t)get_be64(bytes.data);
    return !timestamp_is_finite(out->i) || timestamp_is_valid(out->i) ? ERR_OK
                                                                      : timestamp_out_of_range();
}

void
timestamp_send(const struct type *type, struct datum value, struct buf *out)
{
    (void)type;
    be_append(out, (uint64_t)value.i, 8);
}

err_t
timestamptz_receive(const struct type *type, const struct type_io *context, struct slice bytes,
                    struct datum *out)
{
    return timestamp_receive(type, context, bytes, out);
}

void
timestamptz_send(const struct type *type, struct datum value, struct buf *out)
{
    timestamp_send(type, value, out);
}

err_t
interval_receive(const struct type *type, const struct type_io *context, struct slice bytes,
                 struct datum *out)
{
    (void)type;
    (void)context;
    if (bytes.size != 16) {
        return wrong_size();
    }
    out->interval = (struct interval){.us = (int64_t)get_be64(bytes.data),
                                      .days = (int32_t)get_be32(bytes.data + 8),
                                      .months = (int32_t)get_be32(bytes.data + 12)};
    return ERR_OK;
}

void
interval_send(const struct type *type, struct datum value, struct buf *out)
{
    (void)type;
    be_append(out, (uint64_t)value.interval.us, 8);
    be_append(out, (uint64_t)value.interval.days, 4);
    be_append(out, (uint64_t)value.interval.months, 4);
}
