/* query/fn/datetime.c - operators over dates and times, and casts between them.
 *
 * PostgreSQL 15, tables 9.31 and 9.32. Infinite moments stay what they are where that has a
 * meaning, and are 22008 where it has not. */
#include "query/fn/datetime.h"

#include "models/types/sql_error.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

/* ---- Casts ---- */

DATETIME_RUN(fn_date_to_timestamp)
{
    (void)call;
    return timestamp_from_date(args[0].i, &out->i);
}

DATETIME_RUN(fn_date_to_timestamptz)
{
    return timestamptz_from_date(args[0].i, call->settings->zone, &out->i);
}

DATETIME_RUN(fn_time_to_interval)
{
    (void)call;
    out->interval = (struct interval){.us = args[0].i};
    return ERR_OK;
}

/* The zone's offset is that of today. */
DATETIME_RUN(fn_time_to_timetz)
{
    int64_t today = timestamptz_local(call->settings->now_us, call->settings->zone);
    int64_t local = today - us_of_day(today) + args[0].i, moment;

    if (!timestamptz_from_local(local, call->settings->zone, &moment)) {
        return timestamp_out_of_range();
    }
    out->timetz = (struct timetz){args[0].i, (int32_t)((local - moment) / US_SECOND)};
    return ERR_OK;
}

DATETIME_RUN(fn_timestamp_to_date)
{
    (void)call;
    out->i = date_of_timestamp(args[0].i);
    return ERR_OK;
}

DATETIME_RUN(fn_timestamp_to_time)
{
    call->is_null = !timestamp_is_finite(args[0].i);
    out->i = us_of_day(args[0].i);
    return ERR_OK;
}

DATETIME_RUN(fn_timestamp_to_timestamptz)
{
    return timestamptz_from_timestamp(args[0].i, call->settings->zone, &out->i);
}

DATETIME_RUN(fn_timestamptz_to_date)
{
    int64_t local = args[0].i;

    if (timestamp_is_finite(local)) {
        local = timestamptz_local(local, call->settings->zone);
    }
    out->i = date_of_timestamp(local);
    return ERR_OK;
}

DATETIME_RUN(fn_timestamptz_to_time)
{
    call->is_null = !timestamp_is_finite(args[0].i);
    if (!call->is_null) {
        out->i = us_of_day(timestamptz_local(args[0].i, call->settings->zone));
    }
    return ERR_OK;
}

DATETIME_RUN(fn_timestamptz_to_timestamp)
{
    return timestamp_from_timestamptz(args[0].i, call->settings->zone, &out->i);
}

DATETIME_RUN(fn_timestamptz_to_timetz)
{
    int64_t local;

    call->is_null = !timestamp_is_finite(args[0].i);
    if (!call->is_null) {
        local = timestamptz_local(args[0].i, call->settings->zone);
        out->timetz = (struct timetz){us_of_day(local), (int32_t)((local - args[0].i) / US_SECOND)};
    }
    return ERR_OK;
}

DATETIME_RUN(fn_interval_to_time)
{
    (void)call;
    out->i = us_of_day(args[0].interval.us);
    return ERR_OK;
}

DATETIME_RUN(fn_timetz_to_time)
{
    (void)call;
    out->i = args[0].timetz.us;
    return ERR_OK;
}

/* ---- Days ---- */

static err_t
date_shift(int64_t date, int64_t days, struct datum *out)
{
    if (date_is_finite(date)) {
        date += days;
        if (!date_is_valid(date)) {
            return date_out_of_range();
        }
    }
    out->i = date;
    return ERR_OK;
}

static DATETIME_RUN(date_plus_int)
{
    (void)call;
    return date_shift(args[0].i, args[1].i, out);
}

static DATETIME_RUN(int_plus_date)
{
    (void)call;
    return date_shift(args[1].i, args[0].i, out);
}

static DATETIME_RUN(date_minus_int)
{
    (void)call;
    return date_shift(args[0].i, -args[1].i, out);
}

static DATETIME_RUN(date_minus_date)
{
    (void)call;
    if (!date_is_finite(args[0].i) || !date_is_finite(args[1].i)) {
        return sql_error("22008", "cannot subtract infinite dates");
    }
    out->i = (int32_t)(args[0].i - args[1].i);
    return ERR_OK;
}

static err_t
date_add_interval(int64_t date, const struct interval *interval, struct datum *out)
{
    int64_t timestamp = 0;
    err_t err = timestamp_from_date(date, &timestamp);

    return err != ERR_OK ? err : timestamp_add(timestamp, interval, false, NULL, &out->i);
}

static DATETIME_RUN(date_plus_interval)
{
    (void)call;
    return date_add_interval(args[0].i, &args[1].interval, out);
}

static DATETIME_RUN(interval_plus_date)
{
    (void)call;
    return date_add_interval(args[1].i, &args[0].interval, out);
}

static DATETIME_RUN(date_minus_interval)
{
    struct interval negative;
    err_t err = interval_negate(&args[1].interval, &negative);

    (void)call;
    return err != ERR_OK ? err : date_add_interval(args[0].i, &negative, out);
}

static err_t
date_add_time(int64_t date, int64_t us, struct datum *out)
{
    err_t err = timestamp_from_date(date, &out->i);

    if (err == ERR_OK && timestamp_is_finite(out->i)) {
        out->i += us;
        err = timestamp_is_valid(out->i) ? ERR_OK : timestamp_out_of_range();
    }
    return err;
}

static DATETIME_RUN(date_plus_time)
{
    (void)call;
    return date_add_time(args[0].i, args[1].i, out);
}

static DATETIME_RUN(time_plus_date)
{
    (void)call;
    return date_add_time(args[1].i, args[0].i, out);
}

static DATETIME_RUN(date_plus_timetz)
{
    (void)call;
    return date_add_time(args[0].i, args[1].timetz.us - args[1].timetz.offset * US_SECOND, out);
}

static DATETIME_RUN(timetz_plus_date)
{
    (void)call;
    return date_add_time(args[1].i, args[0].timetz.us - args[0].timetz.offset * US_SECOND, out);
}

/* ---- Moments ---- */

static err_t
moment_add(const struct call *call, int64_t timestamp, const struct interval *interval,
           struct datum *out)
{
    return timestamp_add(timestamp, interval, call->expr->type->oid == OID_TIMESTAMPTZ,
                         call->settings->zone, &out->i);
}

static DATETIME_RUN(moment_plus)
{
    return moment_add(call, args[0].i, &args[1].interval, out);
}

static DATETIME_RUN(plus_moment)
{
    return moment_add(call, args[1].i, &args[0].interval, out);
}

static DATETIME_RUN(moment_minus)
{
    struct interval negative;
    err_t err = interval_negate(&args[1].interval, &negative);

    return err != ERR_OK ? err : moment_add(call, args[0].i, &negative, out);
}

static DATETIME_RUN(moment_minus_moment)
{
    int64_t us;

    (void)call;
    if (!timestamp_is_finite(args[0].i) || !timestamp_is_finite(args[1].i)) {
        return sql_error("22008", "cannot subtract infinite timestamps");
    }
    if (__builtin_sub_overflow(args[0].i, args[1].i, &us)) {
        return interval_out_of_range();
    }
    out->interval = (struct interval){.us = us % US_DAY, .days = (int32_t)(us / US_DAY)};
    return ERR_OK;
}

/* ---- Times of day ---- */

static DATETIME_RUN(time_plus_interval)
{
    (void)call;
    out->i = us_of_day(args[0].i + args[1].interval.us % US_DAY);
    return ERR_OK;
}

static DATETIME_RUN(interval_plus_time)
{
    (void)call;
    out->i = us_of_day(args[1].i + args[0].interval.us % US_DAY);
    return ERR_OK;
}

static DATETIME_RUN(time_minus_interval)
{
    (void)call;
    out->i = us_of_day(args[0].i - args[1].interval.us % US_DAY);
    return ERR_OK;
}

static DATETIME_RUN(time_minus_time)
{
    (void)call;
    out->interval = (struct interval){.us = args[0].i - args[1].i};
    return ERR_OK;
}

static DATETIME_RUN(timetz_plus_interval)
{
    (void)call;
    out->timetz = (struct timetz){us_of_day(args[0].timetz.us + args[1].interval.us % US_DAY),
                                  args[0].timetz.offset};
    return ERR_OK;
}

static DATETIME_RUN(interval_plus_timetz)
{
    const struct datum swapped[2] = {args[1], args[0]};

    return timetz_plus_interval(call, swapped, out);
}

static DATETIME_RUN(timetz_minus_interval)
{
    (void)call;
    out->timetz = (struct timetz){us_of_day(args[0].timetz.us - args[1].interval.us % US_DAY),
                                  args[0].timetz.offset};
    return ERR_OK;
}

/* ---- Intervals ---- */

static DATETIME_RUN(interval_minus)
{
    (void)call;
    return interval_negate(&args[0].interval, &out->interval);
}

static DATETIME_RUN(interval_plus_interval)
{
    (void)call;
    return interval_add(&args[0].interval, &args[1].interval, &out->interval);
}

static DATETIME_RUN(interval_minus_interval)
{
    const struct interval *a = &args[0].interval, *b = &args[1].interval;

    (void)call;
    if (__builtin_sub_overflow(a->months, b->months, &out->interval.months) ||
        __builtin_sub_overflow(a->days, b->days, &out->interval.days) ||
        __builtin_sub_overflow(a->us, b->us, &out->interval.us)) {
        return interval_out_of_range();
    }
    return ERR_OK;
}

static DATETIME_RUN(interval_times)
{
    (void)call;
    return interval_multiply(&args[0].interval, args[1].f, &out->interval);
}

static DATETIME_RUN(times_interval)
{
    (void)call;
    return interval_multiply(&args[1].interval, args[0].f, &out->interval);
}

static DATETIME_RUN(interval_over)
{
    (void)call;
    return interval_divide(&args[0].interval, args[1].f, &out->interval);
}

/* ---- Comparisons between the types: a day is its midnight, a local time one of the zone ---- */

static int64_t
as_moment(const struct call *call, uint32_t index, struct datum value, bool has_zone)
{
    const struct zone *zone = call->settings->zone;
    int64_t moment;

    switch (call->expr->args[index]->type->oid) {
    case OID_DATE:
        return timestamp_of_date_clamped(value.i, zone, has_zone);
    case OID_TIMESTAMP:
        if (!has_zone || !timestamp_is_finite(value.i)) {
            return value.i;
        }
        return timestamptz_from_local(value.i, zone, &moment) ? moment
               : value.i < 0                                  ? TIMESTAMP_MIN - 1
                                                              : TIMESTAMP_END;
    default:
        return value.i;
    }
}

static int
order_of(const struct call *call, const struct datum *args)
{
    bool has_zone = call->expr->args[0]->type->oid == OID_TIMESTAMPTZ ||
                    call->expr->args[1]->type->oid == OID_TIMESTAMPTZ;
    int64_t a = as_moment(call, 0, args[0], has_zone), b = as_moment(call, 1, args[1], has_zone);

    return (a > b) - (a < b);
}

#define COMPARISON(name, condition)                                                                \
    static DATETIME_RUN(mixed_##name)                                                              \
    {                                                                                              \
        int order = order_of(call, args);                                                          \
                                                                                                   \
        out->i = (condition);                                                                      \
        return ERR_OK;                                                                             \
    }
COMPARISON(equal, order == 0)
COMPARISON(not_equal, order != 0)
COMPARISON(less, order < 0)
COMPARISON(less_equal, order <= 0)
COMPARISON(greater, order > 0)
COMPARISON(greater_equal, order >= 0)

#define OP(op, fname, res, code, left, right)                                                      \
    {                                                                                              \
        (op),                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {(left), (right)}, .arg_count = 2,           \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }
/* Not marked as comparisons of an order: the two sides have other numbers for one moment. */
#define SIX(prefix, left, right)                                                                   \
    OP("=", prefix "eq" SUFFIX(left, right), OID_BOOL, mixed_equal, left, right),                  \
        OP("<>", prefix "ne" SUFFIX(left, right), OID_BOOL, mixed_not_equal, left, right),         \
        OP("<", prefix "lt" SUFFIX(left, right), OID_BOOL, mixed_less, left, right),               \
        OP("<=", prefix "le" SUFFIX(left, right), OID_BOOL, mixed_less_equal, left, right),        \
        OP(">", prefix "gt" SUFFIX(left, right), OID_BOOL, mixed_greater, left, right),            \
        OP(">=", prefix "ge" SUFFIX(left, right), OID_BOOL, mixed_greater_equal, left, right)
#define SUFFIX(left, right)    SUFFIX_##right
#define SUFFIX_OID_DATE        "_date"
#define SUFFIX_OID_TIMESTAMP   "_timestamp"
#define SUFFIX_OID_TIMESTAMPTZ "_timestamptz"

static const struct operator_row rows[] = {
    OP("+", "date_pli", OID_DATE, date_plus_int, OID_DATE, OID_INT4),
    OP("+", "integer_pl_date", OID_DATE, int_plus_date, OID_INT4, OID_DATE),
    OP("-", "date_mii", OID_DATE, date_minus_int, OID_DATE, OID_INT4),
    OP("-", "date_mi", OID_INT4, date_minus_date, OID_DATE, OID_DATE),
    OP("+", "date_pl_interval", OID_TIMESTAMP, date_plus_interval, OID_DATE, OID_INTERVAL),
    OP("+", "interval_pl_date", OID_TIMESTAMP, interval_plus_date, OID_INTERVAL, OID_DATE),
    OP("-", "date_mi_interval", OID_TIMESTAMP, date_minus_interval, OID_DATE, OID_INTERVAL),
    OP("+", "datetime_pl", OID_TIMESTAMP, date_plus_time, OID_DATE, OID_TIME),
    OP("+", "timedate_pl", OID_TIMESTAMP, time_plus_date, OID_TIME, OID_DATE),
    OP("+", "datetimetz_pl", OID_TIMESTAMPTZ, date_plus_timetz, OID_DATE, OID_TIMETZ),
    OP("+", "timetzdate_pl", OID_TIMESTAMPTZ, timetz_plus_date, OID_TIMETZ, OID_DATE),
    OP("+", "timestamp_pl_interval", OID_TIMESTAMP, moment_plus, OID_TIMESTAMP, OID_INTERVAL),
    OP("+", "interval_pl_timestamp", OID_TIMESTAMP, plus_moment, OID_INTERVAL, OID_TIMESTAMP),
    OP("-", "timestamp_mi_interval", OID_TIMESTAMP, moment_minus, OID_TIMESTAMP, OID_INTERVAL),
    OP("-", "timestamp_mi", OID_INTERVAL, moment_minus_moment, OID_TIMESTAMP, OID_TIMESTAMP),
    OP("+", "timestamptz_pl_interval", OID_TIMESTAMPTZ, moment_plus, OID_TIMESTAMPTZ, OID_INTERVAL),
    OP("+", "interval_pl_timestamptz", OID_TIMESTAMPTZ, plus_moment, OID_INTERVAL, OID_TIMESTAMPTZ),
    OP("-", "timestamptz_mi_interval", OID_TIMESTAMPTZ, moment_minus, OID_TIMESTAMPTZ,
       OID_INTERVAL),
    OP("-", "timestamptz_mi", OID_INTERVAL, moment_minus_moment, OID_TIMESTAMPTZ, OID_TIMESTAMPTZ),
    OP("+", "time_pl_interval", OID_TIME, time_plus_interval, OID_TIME, OID_INTERVAL),
    OP("+", "interval_pl_time", OID_TIME, interval_plus_time, OID_INTERVAL, OID_TIME),
    OP("-", "time_mi_interval", OID_TIME, time_minus_interval, OID_TIME, OID_INTERVAL),
    OP("-", "time_mi_time", OID_INTERVAL, time_minus_time, OID_TIME, OID_TIME),
    OP("+", "timetz_pl_interval", OID_TIMETZ, timetz_plus_interval, OID_TIMETZ, OID_INTERVAL),
    OP("+", "interval_pl_timetz", OID_TIMETZ, interval_plus_timetz, OID_INTERVAL, OID_TIMETZ),
    OP("-", "timetz_mi_interval", OID_TIMETZ, timetz_minus_interval, OID_TIMETZ, OID_INTERVAL),
    OP("+", "interval_pl", OID_INTERVAL, interval_plus_interval, OID_INTERVAL, OID_INTERVAL),
    OP("-", "interval_mi", OID_INTERVAL, interval_minus_interval, OID_INTERVAL, OID_INTERVAL),
    OP("*", "interval_mul", OID_INTERVAL, interval_times, OID_INTERVAL, OID_FLOAT8),
    OP("*", "mul_d_interval", OID_INTERVAL, times_interval, OID_FLOAT8, OID_INTERVAL),
    OP("/", "interval_div", OID_INTERVAL, interval_over, OID_INTERVAL, OID_FLOAT8),
    {"-",
     {.name = "interval_um",
      .result = OID_INTERVAL,
      .args = {OID_INTERVAL},
      .arg_count = 1,
      .is_strict = true,
      .run = interval_minus}},
    OP(NULL, "timestamp", OID_TIMESTAMP, date_plus_time, OID_DATE, OID_TIME),
    OP(NULL, "timestamptz", OID_TIMESTAMPTZ, date_plus_timetz, OID_DATE, OID_TIMETZ),
    SIX("date_", OID_DATE, OID_TIMESTAMP),
    SIX("date_", OID_DATE, OID_TIMESTAMPTZ),
    SIX("timestamp_", OID_TIMESTAMP, OID_DATE),
    SIX("timestamp_", OID_TIMESTAMP, OID_TIMESTAMPTZ),
    SIX("timestamptz_", OID_TIMESTAMPTZ, OID_DATE),
    SIX("timestamptz_", OID_TIMESTAMPTZ, OID_TIMESTAMP),
};

const struct function_part fn_part_datetime = {rows, sizeof(rows) / sizeof(rows[0])};
