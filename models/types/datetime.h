/* models/types/datetime.h - dates, times, moments and intervals: ranges, parts and arithmetic.
 *
 *     date         days since 2000-01-01                 the least and the greatest int32: infinity
 *     time         microseconds of the day, 0..24 h
 *     timetz       struct timetz
 *     timestamp    microseconds since 2000-01-01, local  the least and the greatest int64: infinity
 *     timestamptz  the same, UTC
 *     interval     struct interval (datum.h): months, days and microseconds apart
 *
 * Ranges and roundings are PostgreSQL's. Errors are ERR_SQL: 22007, 22008, 22009, 22015, 22023. */
#pragma once

#include "models/types/calendar.h"
#include "models/types/type.h"
#include "models/types/zone.h"

#define US_SECOND       INT64_C(1000000)
#define US_MINUTE       (60 * US_SECOND)
#define US_HOUR         (60 * US_MINUTE)
#define US_DAY          (24 * US_HOUR)
#define TIMESTAMP_MIN   INT64_C(-211813488000000000) /* 4714-11-24 BC: Julian day 0. */
#define TIMESTAMP_END   INT64_C(9223371331200000000) /* 294277-01-01 */
#define US_1970_TO_2000 INT64_C(946684800000000)

enum {
    DATE_MIN = -CALENDAR_JULIAN_2000,
    DATE_END = 2147483494 - CALENDAR_JULIAN_2000,
    DATE_MINUS_INFINITY = INT32_MIN,
    DATE_INFINITY = INT32_MAX,
    ZONE_HOURS_MAX = 15, /* Of an offset that is written as a number. */
    DAYS_PER_MONTH = 30, /* Where a month must have a length. */
    MONTHS_PER_YEAR = 12,
    DATETIME_PRECISION_MAX = 6,
    DATETIME_TEXT_MAX = 128,
};

enum date_style { DATE_ISO, DATE_POSTGRES, DATE_SQL, DATE_GERMAN };
enum date_order { ORDER_MDY, ORDER_DMY, ORDER_YMD };
enum interval_style { INTERVAL_POSTGRES, INTERVAL_VERBOSE, INTERVAL_SQL, INTERVAL_ISO };

/* A moment in its parts. */
struct civil {
    int32_t year, month, day; /* Year 0 is 1 BC. */
    int32_t hour, minute, second, us;
    int32_t offset; /* East, in seconds: of timetz and timestamptz. */
    bool is_dst;
    char abbreviation[ZONE_ABBREVIATION_MAX + 1]; /* "": none. */
};

/* An interval in its parts; those of time have one sign. */
struct interval_parts {
    int64_t hour;
    int32_t year, month, day, minute, second, us;
};

static inline bool
date_is_finite(int64_t date)
{
    return date != DATE_INFINITY && date != DATE_MINUS_INFINITY;
}
static inline bool
timestamp_is_finite(int64_t timestamp)
{
    return timestamp != INT64_MAX && timestamp != INT64_MIN;
}
static inline bool
timestamp_is_valid(int64_t timestamp)
{
    return timestamp >= TIMESTAMP_MIN && timestamp < TIMESTAMP_END;
}
static inline bool
date_is_valid(int64_t date)
{
    return date >= DATE_MIN && date < DATE_END;
}
/* Could this be a day that has a Julian number? */
bool civil_is_julian(int32_t year, int32_t month);

/* Quotient and rest, the rest never negative. */
int64_t floor_divide(int64_t a, int64_t b, int64_t *rest_out);

int64_t time_from_civil(const struct civil *civil);
/* hour..us */
void time_civil(int64_t us, struct civil *out);
/* As local time. False: out of range. */
bool timestamp_from_civil(const struct civil *civil, int64_t *out);
void timestamp_civil(int64_t timestamp, struct civil *out);
/* In the zone: offset and abbreviation, too. */
void timestamptz_civil(int64_t timestamp, const struct zone *zone, struct civil *out);
/* False: out of range. */
bool timestamptz_from_local(int64_t local, const struct zone *zone, int64_t *out);
int64_t timestamptz_local(int64_t timestamp, const struct zone *zone);

err_t timestamp_out_of_range(void); /* 22008 */
err_t interval_out_of_range(void);
err_t date_out_of_range(void);

/* date -> timestamp; infinities stay. 22008. */
err_t timestamp_from_date(int64_t date, int64_t *out);
err_t timestamptz_from_date(int64_t date, const struct zone *zone, int64_t *out);
/* timestamp <-> timestamptz; infinities stay. 22008. */
err_t timestamptz_from_timestamp(int64_t timestamp, const struct zone *zone, int64_t *out);
err_t timestamp_from_timestamptz(int64_t timestamp, const struct zone *zone, int64_t *out);
int64_t date_of_timestamp(int64_t timestamp);
/* The same order without errors, for comparing: what is out of range is beyond all others. */
int64_t timestamp_of_date_clamped(int64_t date, const struct zone *zone, bool has_zone);

/* has_zone: months and days are added to the local time of the zone. 22008. */
err_t timestamp_add(int64_t timestamp, const struct interval *interval, bool has_zone,
                    const struct zone *zone, int64_t *out);
/* By 30 days a month and 24 hours a day: what orders intervals. */
__int128 interval_span(const struct interval *interval);
void interval_parts(const struct interval *interval, struct interval_parts *out);
err_t interval_from_double(double months, double days, double us, struct interval *out);
err_t interval_negate(const struct interval *interval, struct interval *out);
err_t interval_add(const struct interval *a, const struct interval *b, struct interval *out);
err_t interval_multiply(const struct interval *a, double factor, struct interval *out);
err_t interval_divide(const struct interval *a, double divisor, struct interval *out);

/* ---- Modifiers ---- */

/* Fields of an interval, as bits of its modifier; PostgreSQL's numbers. */
enum {
    INTERVAL_MONTH = 1 << 1,
    INTERVAL_YEAR = 1 << 2,
    INTERVAL_DAY = 1 << 3,
    INTERVAL_HOUR = 1 << 10,
    INTERVAL_MINUTE = 1 << 11,
    INTERVAL_SECOND = 1 << 12,
    INTERVAL_FULL_RANGE = 0x7fff,
    INTERVAL_FULL_PRECISION = 0xffff,
};
int32_t interval_typmod(int32_t range, int32_t precision);
int64_t us_round(int64_t us, int32_t precision);
err_t timestamp_fit(int64_t timestamp, int32_t typmod, int64_t *out);
err_t interval_fit(struct interval interval, int32_t typmod, struct interval *out);
/* " day to second(3)" and the like, with a space before it. */
void interval_typmod_text(int32_t typmod, struct buf *out);

/* ---- Text ---- */

/* What a text of a date or a time says. */
enum datetime_special { DATETIME_FINITE, DATETIME_EPOCH, DATETIME_LATE, DATETIME_EARLY };
enum datetime_error {
    DATETIME_OK,
    DATETIME_BAD_FORMAT,
    DATETIME_FIELD_OVERFLOW,
    DATETIME_MONTH_DAY_OVERFLOW, /* Perhaps in another order. */
    DATETIME_INTERVAL_OVERFLOW,
    DATETIME_ZONE_OVERFLOW,
    DATETIME_REPORTED, /* The error is set. */
};
err_t datetime_error(enum datetime_error error, struct slice text, const char *type_name);
/* A date with or without time: date, timestamp, timestamptz. */
YIELDS enum datetime_error datetime_parse(struct slice text, const struct type_settings *settings,
                                          struct civil *out, enum datetime_special *special_out);
YIELDS enum datetime_error time_parse(struct slice text, const struct type_settings *settings,
                                      struct civil *out);
enum datetime_error interval_parse(struct slice text, const struct type_settings *settings,
                                   int32_t range, struct interval *out);
/* +hh[:mm[:ss]] at the start of the text, to its end. */
enum datetime_error zone_offset_parse(const char *text, int32_t *offset_out);
/* A zone by name, by abbreviation or as an offset, for AT TIME ZONE and its like: what it means
 * at a local time or at a moment. 22023. */
struct zone_use {
    const struct zone *zone;
    bool is_fixed;
    int32_t offset;       /* Fixed. */
    struct slice dynamic; /* An abbreviation that the zone explains; "": none. */
};
YIELDS err_t zone_use_find(struct slice text, const struct type_settings *settings,
                           struct arena *arena, struct zone_use *out);
int32_t zone_use_of_local(const struct zone_use *use, int64_t local);
int32_t zone_use_at(const struct zone_use *use, int64_t moment);

void date_to_text(int64_t date, const struct type_settings *settings, struct buf *out);
void time_to_text(int64_t us, struct buf *out);
void timestamp_to_text(int64_t timestamp, bool has_zone, const struct type_settings *settings,
                       struct buf *out);
void zone_offset_to_text(int32_t offset, struct buf *out);
void interval_to_text(const struct interval *interval, const struct type_settings *settings,
                      struct buf *out);
extern const char *const datetime_months[12];  /* "January" */
extern const char *const datetime_weekdays[7]; /* "Sunday" */
