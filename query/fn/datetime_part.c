/* query/fn/datetime_part.c - parts of dates and times: extract, date_part, date_trunc, date_bin,
 * age and justify_*. PostgreSQL 15, 9.9.1 to 9.9.3. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "models/types/datetime_words.h"
#include "models/types/sql_error.h"
#include "query/fn/datetime.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

enum { UNIT_TEXT_MAX = 64 };

/* ---- Names of parts ---- */

/* In small letters, cut. */
static void
unit_text(struct slice name, char out[UNIT_TEXT_MAX])
{
    size_t size = MIN(name.size, (size_t)UNIT_TEXT_MAX - 1);

    for (size_t i = 0; i < size; i++) {
        out[i] = (char)tolower(name.data[i]);
    }
    out[size] = '\0';
}

static enum field_kind
unit_find(const char *name)
{
    int32_t value;
    enum field_kind kind = datetime_unit(name, &value);

    if (kind == FIELD_UNIT) {
        return (enum field_kind)value;
    }
    kind = datetime_word(name, &value);
    return kind == FIELD_UNIT                              ? (enum field_kind)value
           : kind == FIELD_RESERVED && value == WORD_EPOCH ? FIELD_EPOCH
                                                           : FIELD_UNKNOWN;
}

static err_t
unit_error(enum field_kind unit, const char *name, oid_t type)
{
    return unit == FIELD_UNKNOWN ? sql_error("22023", "unit \"%s\" not recognized for type %s",
                                             name, type_by_oid(type)->display)
                                 : sql_error("0A000", "unit \"%s\" not supported for type %s", name,
                                             type_by_oid(type)->display);
}

/* ---- extract: exact numbers ---- */

static struct numeric
scaled(int64_t value, uint16_t scale)
{
    return (struct numeric){.small = value, .scale = scale, .kind = NUMERIC_SMALL};
}

static int64_t
shown_year(int32_t year)
{
    return year > 0 ? year : year - 1;
}

static int64_t
years_part(enum field_kind unit, int32_t year)
{
    switch (unit) {
    case FIELD_DECADE:
        return year >= 0 ? year / 10 : -((8 - (year - 1)) / 10);
    case FIELD_CENTURY:
        return year > 0 ? (year + 99) / 100 : -((99 - (year - 1)) / 100);
    case FIELD_MILLENNIUM:
        return year > 0 ? (year + 999) / 1000 : -((999 - (year - 1)) / 1000);
    default:
        return shown_year(year);
    }
}

/* Parts of a day and of its date. False: it is none. */
static bool
day_part(enum field_kind unit, int32_t year, int32_t month, int32_t day, struct numeric *out)
{
    int64_t days = calendar_days(year, month, day);
    int32_t iso_year, week;

    switch (unit) {
    case FIELD_DAY:
        *out = scaled(day, 0);
        return true;
    case FIELD_MONTH:
        *out = scaled(month, 0);
        return true;
    case FIELD_QUARTER:
        *out = scaled((month - 1) / 3 + 1, 0);
        return true;
    case FIELD_WEEK:
    case FIELD_ISO_YEAR:
        calendar_iso_week(days, &iso_year, &week);
        *out = scaled(unit == FIELD_WEEK ? week : shown_year(iso_year), 0);
        return true;
    case FIELD_YEAR:
    case FIELD_DECADE:
    case FIELD_CENTURY:
    case FIELD_MILLENNIUM:
        *out = scaled(years_part(unit, year), 0);
        return true;
    case FIELD_WEEKDAY:
        *out = scaled(calendar_weekday(days), 0);
        return true;
    case FIELD_ISO_WEEKDAY:
        *out = scaled((calendar_weekday(days) + 6) % 7 + 1, 0);
        return true;
    case FIELD_YEAR_DAY:
        *out = scaled(days - calendar_days(year, 1, 1) + 1, 0);
        return true;
    default:
        return false;
    }
}

static bool
clock_part(enum field_kind unit, int64_t us_of_minute, int64_t minute, int64_t hour,
           struct numeric *out)
{
    switch (unit) {
    case FIELD_MICROSECOND:
        *out = scaled(us_of_minute, 0);
        return true;
    case FIELD_MILLISECOND:
        *out = scaled(us_of_minute, 3);
        return true;
    case FIELD_SECOND:
        *out = scaled(us_of_minute, 6);
        return true;
    case FIELD_MINUTE:
        *out = scaled(minute, 0);
        return true;
    case FIELD_HOUR:
        *out = scaled(hour, 0);
        return true;
    default:
        return false;
    }
}

static bool
zone_part(enum field_kind unit, int32_t offset, struct numeric *out)
{
    switch (unit) {
    case FIELD_ZONE:
        *out = scaled(offset, 0);
        return true;
    case FIELD_DST_ZONE: /* timezone_hour */
        *out = scaled(offset / 3600, 0);
        return true;
    case FIELD_NAMED_ZONE: /* timezone_minute */
        *out = scaled(offset / 60 % 60, 0);
        return true;
    default:
        return false;
    }
}

static bool
civil_clock_part(enum field_kind unit, const struct civil *civil, struct numeric *out)
{
    return clock_part(unit, civil->second * US_SECOND + civil->us, civil->minute, civil->hour, out);
}

/* Of an infinite moment: what grows with it is infinite, what comes round is null. */
static bool
infinite_part(struct call *call, enum field_kind unit, bool is_negative, bool has_zone,
              bool has_clock, struct numeric *out)
{
    switch (unit) {
    case FIELD_YEAR:
    case FIELD_DECADE:
    case FIELD_CENTURY:
    case FIELD_MILLENNIUM:
    case FIELD_JULIAN:
    case FIELD_ISO_YEAR:
    case FIELD_EPOCH:
        out->kind = is_negative ? NUMERIC_NEGATIVE_INFINITY : NUMERIC_INFINITY;
        return true;
    case FIELD_MICROSECOND:
    case FIELD_MILLISECOND:
    case FIELD_SECOND:
    case FIELD_MINUTE:
    case FIELD_HOUR:
        call->is_null = true;
        return has_clock;
    case FIELD_DAY:
    case FIELD_MONTH:
    case FIELD_QUARTER:
    case FIELD_WEEK:
    case FIELD_WEEKDAY:
    case FIELD_ISO_WEEKDAY:
    case FIELD_YEAR_DAY:
        call->is_null = true;
        return true;
    case FIELD_ZONE:
    case FIELD_DST_ZONE:
    case FIELD_NAMED_ZONE:
        call->is_null = true;
        return has_zone;
    default:
        return false;
    }
}

static err_t
julian_part(struct call *call, int64_t days, int64_t us, struct numeric *out)
{
    struct numeric fraction;
    err_t err = numeric_divide(call->arena, scaled(us, 0), scaled(US_DAY, 0), &fraction);

    return err != ERR_OK
               ? err
               : numeric_add(call->arena, scaled(days + CALENDAR_JULIAN_2000, 0), fraction, out);
}

static err_t
moment_part(struct call *call, enum field_kind unit, int64_t timestamp, bool has_zone,
            bool *is_known_out, struct numeric *out)
{
    struct civil civil;
    err_t err = ERR_OK;

    if (!timestamp_is_finite(timestamp)) {
        *is_known_out = infinite_part(call, unit, timestamp < 0, has_zone, true, out);
        return ERR_OK;
    }
    if (has_zone) {
        timestamptz_civil(timestamp, call->settings->zone, &civil);
    } else {
        timestamp_civil(timestamp, &civil);
    }
    *is_known_out = true;
    if (unit == FIELD_EPOCH) {
        err = numeric_add(call->arena, scaled(timestamp, 6), scaled(US_1970_TO_2000, 6), out);
    } else if (unit == FIELD_JULIAN) {
        err = julian_part(call, calendar_days(civil.year, civil.month, civil.day),
                          time_from_civil(&civil), out);
    } else {
        *is_known_out = day_part(unit, civil.year, civil.month, civil.day, out) ||
                        civil_clock_part(unit, &civil, out) ||
                        (has_zone && zone_part(unit, civil.offset, out));
    }
    return err;
}

static bool
date_part(struct call *call, enum field_kind unit, int64_t date, struct numeric *out)
{
    int32_t year, month, day;

    if (!date_is_finite(date)) {
        return infinite_part(call, unit, date < 0, false, false, out);
    }
    if (unit == FIELD_EPOCH) {
        *out = scaled((date - CALENDAR_DAYS_1970) * INT64_C(86400), 0);
        return true;
    }
    if (unit == FIELD_JULIAN) {
        *out = scaled(date + CALENDAR_JULIAN_2000, 0);
        return true;
    }
    calendar_civil(date, &year, &month, &day);
    return day_part(unit, year, month, day, out);
}

static bool
time_part(enum field_kind unit, int64_t us, struct numeric *out)
{
    struct civil civil;

    time_civil(us, &civil);
    if (unit == FIELD_EPOCH) {
        *out = scaled(us, 6);
        return true;
    }
    return civil_clock_part(unit, &civil, out);
}

static bool
timetz_part(enum field_kind unit, struct timetz value, struct numeric *out)
{
    if (unit == FIELD_EPOCH) {
        *out = scaled(value.us - value.offset * US_SECOND, 6);
        return true;
    }
    return zone_part(unit, value.offset, out) || time_part(unit, value.us, out);
}

/* A year has 365.25 days here, a month 30. */
static err_t
interval_epoch(struct call *call, const struct interval *interval, struct numeric *out)
{
    int64_t quarters = 1461 * (int64_t)(interval->months / MONTHS_PER_YEAR) +
                       120 * (int64_t)(interval->months % MONTHS_PER_YEAR) +
                       4 * (int64_t)interval->days;
    int64_t seconds = quarters * (86400 / 4), us;

    if (!__builtin_mul_overflow(seconds, US_SECOND, &us) &&
        !__builtin_add_overflow(us, interval->us, &us)) {
        *out = scaled(us, 6);
        return ERR_OK;
    }
    return numeric_add(call->arena, scaled(seconds, 0), scaled(interval->us, 6), out);
}

static err_t
interval_part(struct call *call, enum field_kind unit, const struct interval *interval,
              bool *is_known_out, struct numeric *out)
{
    struct interval_parts parts;

    interval_parts(interval, &parts);
    *is_known_out = true;
    switch (unit) {
    case FIELD_EPOCH:
        return interval_epoch(call, interval, out);
    case FIELD_DAY:
        *out = scaled(parts.day, 0);
        return ERR_OK;
    case FIELD_MONTH:
        *out = scaled(parts.month, 0);
        return ERR_OK;
    case FIELD_QUARTER:
        *out = scaled(parts.month / 3 + 1, 0);
        return ERR_OK;
    case FIELD_YEAR:
        *out = scaled(parts.year, 0);
        return ERR_OK;
    case FIELD_DECADE:
        *out = scaled(parts.year / 10, 0);
        return ERR_OK;
    case FIELD_CENTURY:
        *out = scaled(parts.year / 100, 0);
        return ERR_OK;
    case FIELD_MILLENNIUM:
        *out = scaled(parts.year / 1000, 0);
        return ERR_OK;
    default:
        *is_known_out =
            clock_part(unit, parts.second * US_SECOND + parts.us, parts.minute, parts.hour, out);
        return ERR_OK;
    }
}

static err_t
extract_of(struct call *call, oid_t type, const struct datum *args, struct numeric *out)
{
    char name[UNIT_TEXT_MAX];
    bool is_known = false;
    enum field_kind unit;
    err_t err = ERR_OK;

    unit_text(args[0].bytes, name);
    unit = unit_find(name);
    *out = numeric_from_int(0);
    switch (type) {
    case OID_DATE:
        is_known = date_part(call, unit, args[1].i, out);
        break;
    case OID_TIME:
        is_known = time_part(unit, args[1].i, out);
        break;
    case OID_TIMETZ:
        is_known = timetz_part(unit, args[1].timetz, out);
        break;
    case OID_INTERVAL:
        err = interval_part(call, unit, &args[1].interval, &is_known, out);
        break;
    default:
        err = moment_part(call, unit, args[1].i, type == OID_TIMESTAMPTZ, &is_known, out);
        break;
    }
    return err != ERR_OK || is_known ? err : unit_error(unit, name, type);
}

static DATETIME_RUN(extract)
{
    return extract_of(call, call->expr->args[1]->type->oid, args, &out->n);
}

static DATETIME_RUN(part)
{
    struct numeric exact;
    err_t err = extract_of(call, call->expr->args[1]->type->oid, args, &exact);

    out->f = err == ERR_OK ? numeric_to_double(exact) : 0;
    return err;
}

/* As of the moment at which the day begins. */
static DATETIME_RUN(part_of_date)
{
    struct datum moments[2] = {args[0]};
    struct numeric exact;
    err_t err = timestamp_from_date(args[1].i, &moments[1].i);

    if (err == ERR_OK) {
        err = extract_of(call, OID_TIMESTAMP, moments, &exact);
    }
    out->f = err == ERR_OK ? numeric_to_double(exact) : 0;
    return err;
}

/* ---- date_trunc ---- */

static int32_t
trunc_year(enum field_kind unit, int32_t year)
{
    switch (unit) {
    case FIELD_MILLENNIUM: /* 2001 begins one. */
        return year > 0 ? (year + 999) / 1000 * 1000 - 999
                        : -((999 - (year - 1)) / 1000) * 1000 + 1;
    case FIELD_CENTURY:
        return year > 0 ? (year + 99) / 100 * 100 - 99 : -((99 - (year - 1)) / 100) * 100 + 1;
    case FIELD_DECADE:
        return year > 0 ? year / 10 * 10 : -((8 - (year - 1)) / 10) * 10;
    default:
        return year;
    }
}

static void
trunc_clock(enum field_kind unit, struct civil *civil)
{
    switch (unit) {
    case FIELD_MICROSECOND:
        return;
    case FIELD_MILLISECOND:
        civil->us -= civil->us % 1000;
        return;
    case FIELD_HOUR:
        civil->minute = 0;
        civil->second = civil->us = 0;
        return;
    case FIELD_MINUTE:
        civil->second = civil->us = 0;
        return;
    case FIELD_SECOND:
        civil->us = 0;
        return;
    default:
        civil->hour = civil->minute = civil->second = civil->us = 0;
        return;
    }
}

static void
trunc_week(struct civil *civil)
{
    int64_t days = calendar_days(civil->year, civil->month, civil->day);

    days -= (calendar_weekday(days) + 6) % 7;
    calendar_civil(days, &civil->year, &civil->month, &civil->day);
}

/* False: there is no such unit. */
static bool
trunc_civil(enum field_kind unit, struct civil *civil)
{
    trunc_clock(unit, civil);
    switch (unit) {
    case FIELD_MICROSECOND:
    case FIELD_MILLISECOND:
    case FIELD_SECOND:
    case FIELD_MINUTE:
    case FIELD_HOUR:
    case FIELD_DAY:
        return true;
    case FIELD_WEEK:
        trunc_week(civil);
        return true;
    case FIELD_MILLENNIUM:
    case FIELD_CENTURY:
    case FIELD_DECADE:
    case FIELD_YEAR:
        civil->year = trunc_year(unit, civil->year);
        civil->month = civil->day = 1;
        return true;
    case FIELD_QUARTER:
        civil->month = (civil->month - 1) / 3 * 3 + 1;
        civil->day = 1;
        return true;
    case FIELD_MONTH:
        civil->day = 1;
        return true;
    default:
        return false;
    }
}

static err_t
trunc_moment(struct slice text, int64_t timestamp, const struct zone_use *zone, oid_t type,
             struct datum *out)
{
    char name[UNIT_TEXT_MAX];
    struct civil civil;
    enum field_kind unit;
    int64_t offset = 0, local;

    unit_text(text, name);
    unit = unit_find(name);
    out->i = timestamp;
    if (!timestamp_is_finite(timestamp)) {
        return ERR_OK;
    }
    if (zone != NULL) {
        int64_t rest;

        offset = zone_use_at(zone, floor_divide(timestamp, US_SECOND, &rest) +
                                       US_1970_TO_2000 / US_SECOND);
    }
    timestamp_civil(timestamp + offset * US_SECOND, &civil);
    if (!trunc_civil(unit, &civil)) {
        return unit_error(unit, name, type);
    }
    if (!civil_is_julian(civil.year, civil.month)) {
        return timestamp_out_of_range();
    }
    local = calendar_days(civil.year, civil.month, civil.day) * US_DAY + time_from_civil(&civil);
    if (zone != NULL && unit != FIELD_MICROSECOND && unit != FIELD_MILLISECOND &&
        unit != FIELD_SECOND && unit != FIELD_MINUTE && unit != FIELD_HOUR) {
        int64_t rest;

        offset = zone_use_of_local(zone, floor_divide(local, US_SECOND, &rest) +
                                             US_1970_TO_2000 / US_SECOND);
    }
    out->i = local - offset * US_SECOND;
    return timestamp_is_valid(out->i) ? ERR_OK : timestamp_out_of_range();
}

static DATETIME_RUN(trunc_timestamp)
{
    (void)call;
    return trunc_moment(args[0].bytes, args[1].i, NULL, OID_TIMESTAMP, out);
}

static DATETIME_RUN(trunc_timestamptz)
{
    const struct zone_use zone = {.zone = call->settings->zone};

    return trunc_moment(args[0].bytes, args[1].i, &zone, OID_TIMESTAMPTZ, out);
}

static DATETIME_RUN(trunc_in_zone)
{
    struct zone_use zone;
    err_t err;

    if (!timestamp_is_finite(args[1].i)) {
        out->i = args[1].i;
        return ERR_OK;
    }
    err = zone_use_find(args[2].bytes, call->settings, call->arena, &zone);
    return err != ERR_OK ? err
                         : trunc_moment(args[0].bytes, args[1].i, &zone, OID_TIMESTAMPTZ, out);
}

static DATETIME_RUN(trunc_interval)
{
    char name[UNIT_TEXT_MAX];
    struct interval kept = args[1].interval;
    enum field_kind unit;
    int32_t months = 0;
    int64_t us = 0;

    (void)call;
    unit_text(args[0].bytes, name);
    unit = unit_find(name);
    switch (unit) {
    case FIELD_MILLENNIUM:
        months = 12000;
        break;
    case FIELD_CENTURY:
        months = 1200;
        break;
    case FIELD_DECADE:
        months = 120;
        break;
    case FIELD_YEAR:
        months = MONTHS_PER_YEAR;
        break;
    case FIELD_QUARTER:
        months = 3;
        break;
    case FIELD_MONTH:
        months = 1;
        break;
    case FIELD_DAY:
        us = INT64_MAX;
        break;
    case FIELD_HOUR:
        us = US_HOUR;
        break;
    case FIELD_MINUTE:
        us = US_MINUTE;
        break;
    case FIELD_SECOND:
        us = US_SECOND;
        break;
    case FIELD_MILLISECOND:
        us = 1000;
        break;
    case FIELD_MICROSECOND:
        us = 1;
        break;
    default:
        (void)unit_error(unit, name, OID_INTERVAL);
        return unit == FIELD_WEEK ? sql_detail("Months usually have fractional weeks.") : ERR_SQL;
    }
    if (months > 0) {
        kept.months -= kept.months % months;
        kept.days = 0;
        kept.us = 0;
    } else {
        kept.us = us == INT64_MAX ? 0 : kept.us - kept.us % us;
    }
    out->interval = kept;
    return ERR_OK;
}

/* ---- date_bin ---- */

static DATETIME_RUN(bin)
{
    const struct interval *stride = &args[0].interval;
    int64_t timestamp = args[1].i, origin = args[2].i, width, distance, rest;

    (void)call;
    out->i = timestamp;
    if (!timestamp_is_finite(timestamp)) {
        return ERR_OK;
    }
    if (!timestamp_is_finite(origin)) {
        return sql_error("22008", "origin out of range");
    }
    if (stride->months != 0) {
        return sql_error("0A000", "timestamps cannot be binned into intervals containing months "
                                  "or years");
    }
    if (__builtin_mul_overflow((int64_t)stride->days, US_DAY, &width) ||
        __builtin_add_overflow(width, stride->us, &width)) {
        return interval_out_of_range();
    }
    if (width <= 0) {
        return sql_error("22008", "stride must be greater than zero");
    }
    if (__builtin_sub_overflow(timestamp, origin, &distance)) {
        return interval_out_of_range();
    }
    (void)floor_divide(distance, width, &rest);
    out->i = timestamp - rest;
    return timestamp_is_valid(out->i) ? ERR_OK : timestamp_out_of_range();
}

/* ---- age: years, months and days by the calendar ---- */

static void
age_of(struct civil a, struct civil b, bool is_negative, struct interval *out)
{
    struct civil d = {.year = a.year - b.year,
                      .month = a.month - b.month,
                      .day = a.day - b.day,
                      .hour = a.hour - b.hour,
                      .minute = a.minute - b.minute,
                      .second = a.second - b.second,
                      .us = a.us - b.us};
    int64_t us = is_negative ? -time_from_civil(&d) : time_from_civil(&d);
    int32_t days = is_negative ? -d.day : d.day;
    int32_t months = d.year * MONTHS_PER_YEAR + d.month;
    const struct civil *earlier = is_negative ? &a : &b;

    months = is_negative ? -months : months;
    if (us < 0) {
        us += US_DAY;
        days--;
    }
    while (days < 0) { /* Days of the month in which the earlier moment lies. */
        days += calendar_month_days(earlier->year, earlier->month);
        months--;
    }
    *out = (struct interval){.us = us, .days = days, .months = months};
    if (is_negative) {
        *out = (struct interval){.us = -us, .days = -days, .months = -months};
    }
}

static err_t
age_between(const struct call *call, int64_t a, int64_t b, bool has_zone, struct datum *out)
{
    struct civil first, second;

    if (!timestamp_is_finite(a) || !timestamp_is_finite(b)) {
        return timestamp_out_of_range();
    }
    if (has_zone) {
        timestamptz_civil(a, call->settings->zone, &first);
        timestamptz_civil(b, call->settings->zone, &second);
    } else {
        timestamp_civil(a, &first);
        timestamp_civil(b, &second);
    }
    age_of(first, second, a < b, &out->interval);
    return ERR_OK;
}

static DATETIME_RUN(age)
{
    return age_between(call, args[0].i, args[1].i,
                       call->expr->args[0]->type->oid == OID_TIMESTAMPTZ, out);
}

/* From today's midnight. */
static DATETIME_RUN(age_today)
{
    bool has_zone = call->expr->args[0]->type->oid == OID_TIMESTAMPTZ;
    int64_t today = timestamptz_local(call->settings->now_us, call->settings->zone);

    today -= us_of_day(today);
    if (has_zone && !timestamptz_from_local(today, call->settings->zone, &today)) {
        return timestamp_out_of_range();
    }
    return age_between(call, today, args[0].i, has_zone, out);
}

/* ---- justify_*: 24 hours are a day, 30 days a month ---- */

static void
signs_agree(int32_t *days, int64_t *us)
{
    if (*days > 0 && *us < 0) {
        *us += US_DAY;
        --*days;
    } else if (*days < 0 && *us > 0) {
        *us -= US_DAY;
        ++*days;
    }
}

static DATETIME_RUN(justify_hours)
{
    struct interval kept = args[0].interval;

    (void)call;
    if (__builtin_add_overflow(kept.days, (int32_t)(kept.us / US_DAY), &kept.days)) {
        return interval_out_of_range();
    }
    kept.us %= US_DAY;
    signs_agree(&kept.days, &kept.us);
    out->interval = kept;
    return ERR_OK;
}

static DATETIME_RUN(justify_days)
{
    struct interval kept = args[0].interval;

    (void)call;
    if (__builtin_add_overflow(kept.months, kept.days / DAYS_PER_MONTH, &kept.months)) {
        return interval_out_of_range();
    }
    kept.days %= DAYS_PER_MONTH;
    if (kept.months > 0 && kept.days < 0) {
        kept.days += DAYS_PER_MONTH;
        kept.months--;
    } else if (kept.months < 0 && kept.days > 0) {
        kept.days -= DAYS_PER_MONTH;
        kept.months++;
    }
    out->interval = kept;
    return ERR_OK;
}

static DATETIME_RUN(justify_interval)
{
    struct interval kept = args[0].interval;
    int64_t days = kept.days + kept.us / US_DAY, months = kept.months + days / DAYS_PER_MONTH;

    (void)call;
    kept.us %= US_DAY;
    kept.days = (int32_t)(days % DAYS_PER_MONTH);
    if (months > INT32_MAX || months < INT32_MIN) {
        return interval_out_of_range();
    }
    kept.months = (int32_t)months;
    if (months > 0 && (kept.days < 0 || (kept.days == 0 && kept.us < 0))) {
        kept.days += DAYS_PER_MONTH;
        kept.months--;
    } else if (months < 0 && (kept.days > 0 || (kept.days == 0 && kept.us > 0))) {
        kept.days -= DAYS_PER_MONTH;
        kept.months++;
    }
    signs_agree(&kept.days, &kept.us);
    out->interval = kept;
    return ERR_OK;
}

/* ---- The table ---- */

#define FN(fname, res, code, count, ...)                                                           \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (count),         \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    FN("extract", OID_NUMERIC, extract, 2, OID_TEXT, OID_DATE),
    FN("extract", OID_NUMERIC, extract, 2, OID_TEXT, OID_TIME),
    FN("extract", OID_NUMERIC, extract, 2, OID_TEXT, OID_TIMETZ),
    FN("extract", OID_NUMERIC, extract, 2, OID_TEXT, OID_TIMESTAMP),
    FN("extract", OID_NUMERIC, extract, 2, OID_TEXT, OID_TIMESTAMPTZ),
    FN("extract", OID_NUMERIC, extract, 2, OID_TEXT, OID_INTERVAL),
    FN("date_part", OID_FLOAT8, part_of_date, 2, OID_TEXT, OID_DATE),
    FN("date_part", OID_FLOAT8, part, 2, OID_TEXT, OID_TIME),
    FN("date_part", OID_FLOAT8, part, 2, OID_TEXT, OID_TIMETZ),
    FN("date_part", OID_FLOAT8, part, 2, OID_TEXT, OID_TIMESTAMP),
    FN("date_part", OID_FLOAT8, part, 2, OID_TEXT, OID_TIMESTAMPTZ),
    FN("date_part", OID_FLOAT8, part, 2, OID_TEXT, OID_INTERVAL),
    FN("date_trunc", OID_TIMESTAMP, trunc_timestamp, 2, OID_TEXT, OID_TIMESTAMP),
    FN("date_trunc", OID_TIMESTAMPTZ, trunc_timestamptz, 2, OID_TEXT, OID_TIMESTAMPTZ),
    FN("date_trunc", OID_TIMESTAMPTZ, trunc_in_zone, 3, OID_TEXT, OID_TIMESTAMPTZ, OID_TEXT),
    FN("date_trunc", OID_INTERVAL, trunc_interval, 2, OID_TEXT, OID_INTERVAL),
    FN("date_bin", OID_TIMESTAMP, bin, 3, OID_INTERVAL, OID_TIMESTAMP, OID_TIMESTAMP),
    FN("date_bin", OID_TIMESTAMPTZ, bin, 3, OID_INTERVAL, OID_TIMESTAMPTZ, OID_TIMESTAMPTZ),
    FN("age", OID_INTERVAL, age, 2, OID_TIMESTAMP, OID_TIMESTAMP),
    FN("age", OID_INTERVAL, age, 2, OID_TIMESTAMPTZ, OID_TIMESTAMPTZ),
    FN("age", OID_INTERVAL, age_today, 1, OID_TIMESTAMP),
    FN("age", OID_INTERVAL, age_today, 1, OID_TIMESTAMPTZ),
    FN("justify_hours", OID_INTERVAL, justify_hours, 1, OID_INTERVAL),
    FN("justify_days", OID_INTERVAL, justify_days, 1, OID_INTERVAL),
    FN("justify_interval", OID_INTERVAL, justify_interval, 1, OID_INTERVAL),
};

const struct function_part fn_part_datetime_part = {rows, sizeof(rows) / sizeof(rows[0])};
