/* models/types/datetime.c - parts and arithmetic of moments and intervals. */
#include "models/types/datetime.h"

#include <math.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

const char *const datetime_months[12] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
const char *const datetime_weekdays[7] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday"};

err_t
timestamp_out_of_range(void)
{
    return sql_error("22008", "timestamp out of range");
}

err_t
interval_out_of_range(void)
{
    return sql_error("22008", "interval out of range");
}

err_t
date_out_of_range(void)
{
    return sql_error("22008", "date out of range");
}

bool
civil_is_julian(int32_t year, int32_t month)
{
    return (year > -4713 || (year == -4713 && month >= 11)) &&
           (year < 5874898 || (year == 5874898 && month < 6));
}

int64_t
floor_divide(int64_t a, int64_t b, int64_t *rest_out)
{
    int64_t quotient = a / b, rest = a % b;

    *rest_out = rest < 0 ? rest + b : rest;
    return quotient - (rest < 0);
}

/* ---- Parts ---- */

int64_t
time_from_civil(const struct civil *civil)
{
    return ((civil->hour * INT64_C(60) + civil->minute) * 60 + civil->second) * US_SECOND +
           civil->us;
}

void
time_civil(int64_t us, struct civil *out)
{
    out->hour = (int32_t)(us / US_HOUR);
    out->minute = (int32_t)(us / US_MINUTE % 60);
    out->second = (int32_t)(us / US_SECOND % 60);
    out->us = (int32_t)(us % US_SECOND);
}

bool
timestamp_from_civil(const struct civil *civil, int64_t *out)
{
    int64_t days, us;

    if (!civil_is_julian(civil->year, civil->month)) {
        return false;
    }
    days = calendar_days(civil->year, civil->month, civil->day);
    if (__builtin_mul_overflow(days, US_DAY, &us) ||
        __builtin_add_overflow(us, time_from_civil(civil), &us) || !timestamp_is_valid(us)) {
        return false;
    }
    *out = us;
    return true;
}

void
timestamp_civil(int64_t timestamp, struct civil *out)
{
    int64_t rest, days = floor_divide(timestamp, US_DAY, &rest);

    *out = (struct civil){.offset = 0};
    calendar_civil(days, &out->year, &out->month, &out->day);
    time_civil(rest, out);
}

static int64_t
moment_of(int64_t timestamp)
{
    int64_t rest;

    return floor_divide(timestamp, US_SECOND, &rest) + US_1970_TO_2000 / US_SECOND;
}

void
timestamptz_civil(int64_t timestamp, const struct zone *zone, struct civil *out)
{
    struct zone_kind kind;

    zone_at(zone, moment_of(timestamp), &kind);
    /* Near the end of the range the local time may be beyond it, never beyond 64 bits. */
    timestamp_civil(timestamp + kind.offset * US_SECOND, out);
    out->offset = kind.offset;
    out->is_dst = kind.is_dst;
    memcpy(out->abbreviation, kind.abbreviation, sizeof(out->abbreviation));
}

int64_t
timestamptz_local(int64_t timestamp, const struct zone *zone)
{
    struct zone_kind kind;

    zone_at(zone, moment_of(timestamp), &kind);
    return timestamp + kind.offset * US_SECOND;
}

bool
timestamptz_from_local(int64_t local, const struct zone *zone, int64_t *out)
{
    bool is_dst;
    int64_t us = local - zone_offset_of_local(zone, moment_of(local), &is_dst) * US_SECOND;

    if (!timestamp_is_valid(us)) {
        return false;
    }
    *out = us;
    return true;
}

/* ---- Between the types ---- */

err_t
timestamp_from_date(int64_t date, int64_t *out)
{
    if (!date_is_finite(date)) {
        *out = date < 0 ? INT64_MIN : INT64_MAX;
        return ERR_OK;
    }
    if (date >= TIMESTAMP_END / US_DAY) {
        return sql_error("22008", "date out of range for timestamp");
    }
    *out = date * US_DAY;
    return ERR_OK;
}

err_t
timestamptz_from_date(int64_t date, const struct zone *zone, int64_t *out)
{
    int64_t local = 0;
    err_t err = timestamp_from_date(date, &local);

    if (err != ERR_OK || !timestamp_is_finite(local)) {
        *out = local;
        return err;
    }
    return timestamptz_from_local(local, zone, out)
               ? ERR_OK
               : sql_error("22008", "date out of range for timestamp");
}

int64_t
timestamp_of_date_clamped(int64_t date, const struct zone *zone, bool has_zone)
{
    int64_t local;

    if (!date_is_finite(date)) {
        return date < 0 ? INT64_MIN : INT64_MAX;
    }
    if (date >= TIMESTAMP_END / US_DAY) {
        return TIMESTAMP_END; /* After every timestamp, before infinity. */
    }
    local = date * US_DAY;
    if (has_zone && !timestamptz_from_local(local, zone, &local)) {
        return local < 0 ? TIMESTAMP_MIN - 1 : TIMESTAMP_END;
    }
    return local;
}

err_t
timestamptz_from_timestamp(int64_t timestamp, const struct zone *zone, int64_t *out)
{
    if (!timestamp_is_finite(timestamp)) {
        *out = timestamp;
        return ERR_OK;
    }
    return timestamptz_from_local(timestamp, zone, out) ? ERR_OK : timestamp_out_of_range();
}

err_t
timestamp_from_timestamptz(int64_t timestamp, const struct zone *zone, int64_t *out)
{
    if (!timestamp_is_finite(timestamp)) {
        *out = timestamp;
        return ERR_OK;
    }
    *out = timestamptz_local(timestamp, zone);
    return timestamp_is_valid(*out) ? ERR_OK : timestamp_out_of_range();
}

int64_t
date_of_timestamp(int64_t timestamp)
{
    int64_t rest;

    if (!timestamp_is_finite(timestamp)) {
        return timestamp < 0 ? DATE_MINUS_INFINITY : DATE_INFINITY;
    }
    return floor_divide(timestamp, US_DAY, &rest);
}

/* ---- Arithmetic ---- */

/* The same day of another month, or that month's last. */
static void
months_add(struct civil *civil, int32_t months)
{
    int64_t rest;
    int64_t year = floor_divide((int64_t)civil->year * MONTHS_PER_YEAR + civil->month - 1 + months,
                                MONTHS_PER_YEAR, &rest);

    /* What does not fit is beyond every range, too. */
    civil->year = (int32_t)MAX(MIN(year, (int64_t)INT32_MAX / 2), (int64_t)INT32_MIN / 2);
    civil->month = (int32_t)rest + 1;
    civil->day = MIN(civil->day, calendar_month_days(civil->year, civil->month));
}

static bool
local_add(int64_t *local, const struct interval *interval)
{
    struct civil civil;
    __int128 sum;

    if (interval->months != 0) {
        timestamp_civil(*local, &civil);
        months_add(&civil, interval->months);
        if (!timestamp_from_civil(&civil, local)) {
            return false;
        }
    }
    if (interval->days != 0) {
        sum = (__int128)interval->days * US_DAY + *local;
        if (sum < TIMESTAMP_MIN || sum >= TIMESTAMP_END) {
            return false;
        }
        *local = (int64_t)sum;
    }
    return true;
}

err_t
timestamp_add(int64_t timestamp, const struct interval *interval, bool has_zone,
              const struct zone *zone, int64_t *out)
{
    if (!timestamp_is_finite(timestamp)) {
        *out = timestamp;
        return ERR_OK;
    }
    if (interval->months != 0 || interval->days != 0) {
        int64_t local = has_zone ? timestamptz_local(timestamp, zone) : timestamp;

        if (!local_add(&local, interval) ||
            (has_zone && !timestamptz_from_local(local, zone, &local))) {
            return timestamp_out_of_range();
        }
        timestamp = local;
    }
    if (__builtin_add_overflow(timestamp, interval->us, &timestamp) ||
        !timestamp_is_valid(timestamp)) {
        return timestamp_out_of_range();
    }
    *out = timestamp;
    return ERR_OK;
}

__int128
interval_span(const struct interval *interval)
{
    int64_t days = interval->months * INT64_C(30) + interval->days;

    return (__int128)days * US_DAY + interval->us;
}

void
interval_parts(const struct interval *interval, struct interval_parts *out)
{
    *out = (struct interval_parts){
        .year = interval->months / MONTHS_PER_YEAR,
        .month = interval->months % MONTHS_PER_YEAR,
        .day = interval->days,
        .hour = interval->us / US_HOUR,
        .minute = (int32_t)(interval->us / US_MINUTE % 60),
        .second = (int32_t)(interval->us / US_SECOND % 60),
        .us = (int32_t)(interval->us % US_SECOND),
    };
}

err_t
interval_negate(const struct interval *interval, struct interval *out)
{
    static const struct interval zero = {0};

    if (__builtin_sub_overflow(zero.months, interval->months, &out->months) ||
        __builtin_sub_overflow(zero.days, interval->days, &out->days) ||
        __builtin_sub_overflow(zero.us, interval->us, &out->us)) {
        return interval_out_of_range();
    }
    return ERR_OK;
}

err_t
interval_add(const struct interval *a, const struct interval *b, struct interval *out)
{
    if (__builtin_add_overflow(a->months, b->months, &out->months) ||
        __builtin_add_overflow(a->days, b->days, &out->days) ||
        __builtin_add_overflow(a->us, b->us, &out->us)) {
        return interval_out_of_range();
    }
    return ERR_OK;
}

static bool
fits_int32(double value)
{
    return !isnan(value) && value >= (double)INT32_MIN && value < -(double)INT32_MIN;
}

/* To whole microseconds of days, so that fractions that are none do not show. */
static double
clean(double days)
{
    return rint(days * 1e6) / 1e6;
}

/* Fractions of months become days and those of days time: never the other way round. */
err_t
interval_from_double(double months, double days, double us, struct interval *out)
{
    double month_days, seconds, total;

    if (!fits_int32(months) || !fits_int32(days)) {
        return interval_out_of_range();
    }
    out->months = (int32_t)months;
    out->days = (int32_t)days;
    month_days = clean((months - out->months) * DAYS_PER_MONTH);
    seconds = clean((days - out->days + month_days - (int)month_days) * 86400.0);
    if (fabs(seconds) >= 86400.0) {
        if (__builtin_add_overflow(out->days, (int)(seconds / 86400.0), &out->days)) {
            return interval_out_of_range();
        }
        seconds -= (int)(seconds / 86400.0) * 86400.0;
    }
    if (__builtin_add_overflow(out->days, (int)month_days, &out->days)) {
        return interval_out_of_range();
    }
    total = rint(us + seconds * 1e6);
    if (isnan(total) || total < -0x1p63 || total >= 0x1p63) {
        return interval_out_of_range();
    }
    out->us = (int64_t)total;
    return ERR_OK;
}

err_t
interval_multiply(const struct interval *a, double factor, struct interval *out)
{
    return interval_from_double(a->months * factor, a->days * factor, (double)a->us * factor, out);
}

err_t
interval_divide(const struct interval *a, double divisor, struct interval *out)
{
    if (divisor == 0) {
        return sql_error("22012", "division by zero");
    }
    return interval_from_double(a->months / divisor, a->days / divisor, (double)a->us / divisor,
                                out);
}

/* ---- Modifiers ---- */

int32_t
interval_typmod(int32_t range, int32_t precision)
{
    return (range & INTERVAL_FULL_RANGE) << 16 | (precision & INTERVAL_FULL_PRECISION);
}

/* Halves away from zero. */
int64_t
us_round(int64_t us, int32_t precision)
{
    static const int64_t scales[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    int64_t scale = scales[precision], half = scale / 2;

    return us >= 0 ? (us + half) / scale * scale : -((-us + half) / scale * scale);
}

err_t
timestamp_fit(int64_t timestamp, int32_t typmod, int64_t *out)
{
    *out = timestamp;
    if (typmod < 0 || typmod >= DATETIME_PRECISION_MAX || !timestamp_is_finite(timestamp)) {
        return ERR_OK;
    }
    *out = us_round(timestamp, typmod);
    return ERR_OK;
}

/* The least unit that the fields keep of time; 0: none. */
static int64_t
range_unit(int32_t range)
{
    return (range & INTERVAL_SECOND) != 0   ? 1
           : (range & INTERVAL_MINUTE) != 0 ? US_MINUTE
           : (range & INTERVAL_HOUR) != 0   ? US_HOUR
                                            : 0;
}

err_t
interval_fit(struct interval interval, int32_t typmod, struct interval *out)
{
    int32_t range = typmod >> 16 & INTERVAL_FULL_RANGE;
    int32_t precision = typmod & INTERVAL_FULL_PRECISION;
    int64_t unit;

    *out = interval;
    if (typmod < 0) {
        return ERR_OK;
    }
    if (range != INTERVAL_FULL_RANGE) {
        unit = range_unit(range);
        if (unit == 0 && (range & INTERVAL_DAY) == 0) {
            out->days = 0;
        }
        if (range == INTERVAL_YEAR) {
            out->months -= out->months % MONTHS_PER_YEAR;
        }
        out->us = unit == 0 ? 0 : out->us / unit * unit;
    }
    if (precision < DATETIME_PRECISION_MAX) {
        if (out->us > INT64_MAX - US_SECOND || out->us < -INT64_MAX + US_SECOND) {
            return interval_out_of_range();
        }
        out->us = us_round(out->us, precision);
    }
    return ERR_OK;
}

void
interval_typmod_text(int32_t typmod, struct buf *out)
{
    static const struct {
        int32_t field;
        const char *name;
    } fields[] = {{INTERVAL_YEAR, "year"},     {INTERVAL_MONTH, "month"},
                  {INTERVAL_DAY, "day"},       {INTERVAL_HOUR, "hour"},
                  {INTERVAL_MINUTE, "minute"}, {INTERVAL_SECOND, "second"}};
    int32_t range = typmod >> 16 & INTERVAL_FULL_RANGE;
    int32_t precision = typmod & INTERVAL_FULL_PRECISION;
    const char *first = NULL, *last = NULL;

    for (uint32_t i = 0; range != INTERVAL_FULL_RANGE && i < sizeof(fields) / sizeof(*fields);
         i++) {
        if ((range & fields[i].field) != 0) {
            first = first == NULL ? fields[i].name : first;
            last = fields[i].name;
        }
    }
    if (first != NULL) {
        buf_printf(out, first == last ? " %s" : " %s to %s", first, last);
    }
    if (precision != INTERVAL_FULL_PRECISION) {
        buf_printf(out, "(%d)", precision);
    }
}
