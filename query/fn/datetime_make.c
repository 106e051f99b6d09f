/* query/fn/datetime_make.c - the present moment, moments from parts, zones, series, pg_sleep.
 *
 * PostgreSQL 15, 9.9.4 and 9.9.5, tables 9.33 and 9.65. */
#include <math.h>
#include <stdio.h>

#include "engine/io/io.h"
#include "models/types/datetime_words.h"
#include "models/types/sql_error.h"
#include "query/fn/datetime.h"
#include "query/fn/fn.h"
#include "query/fn/set.h"
#include "query/session.h"

#include "engine/base/poison.h"

enum { SLEEP_SLICE_US = 20000 }; /* A cancel ends a sleep within this. */

/* ---- The present ---- */

static DATETIME_RUN(now)
{
    (void)args;
    out->i = call->settings->now_us;
    return ERR_OK;
}

static DATETIME_RUN(statement_now)
{
    (void)args;
    out->i = call->env->statement_us - US_1970_TO_2000;
    return ERR_OK;
}

static DATETIME_RUN(clock_now)
{
    (void)args;
    (void)call;
    out->i = (int64_t)io_wall_us() - US_1970_TO_2000;
    return ERR_OK;
}

static DATETIME_RUN(time_of_day)
{
    struct civil civil;
    int weekday;

    (void)args;
    timestamptz_civil((int64_t)io_wall_us() - US_1970_TO_2000, call->settings->zone, &civil);
    weekday = calendar_weekday(calendar_days(civil.year, civil.month, civil.day));
    out->bytes = slice_from_text(arena_printf(
        call->arena, "%.3s %.3s %02d %02d:%02d:%02d.%06d %d %s", datetime_weekdays[weekday],
        datetime_months[civil.month - 1], civil.day, civil.hour, civil.minute, civil.second,
        civil.us, civil.year, civil.abbreviation));
    return ERR_OK;
}

/* ---- From parts ---- */

static bool
day_is_good(int64_t *year, int64_t month, int64_t day)
{
    *year = *year < 0 ? *year + 1 : *year == 0 ? INT32_MAX : *year; /* There is no year 0. */
    return *year < INT32_MAX / 2 && *year > INT32_MIN / 2 && month >= 1 && month <= 12 &&
           day >= 1 && day <= calendar_month_days((int32_t)*year, (int32_t)month);
}

static DATETIME_RUN(make_date)
{
    int64_t year = args[0].i;

    (void)call;
    if (!day_is_good(&year, args[1].i, args[2].i)) {
        return sql_error("22008", "date field value out of range: %d-%02d-%02d", (int)args[0].i,
                         (int)args[1].i, (int)args[2].i);
    }
    out->i = civil_is_julian((int32_t)year, (int32_t)args[1].i)
                 ? calendar_days((int32_t)year, (int32_t)args[1].i, (int32_t)args[2].i)
                 : DATE_END;
    return date_is_valid(out->i) ? ERR_OK
                                 : sql_error("22008", "date out of range: %d-%02d-%02d",
                                             (int)args[0].i, (int)args[1].i, (int)args[2].i);
}

static bool
clock_from(int64_t hour, int64_t minute, double second, int64_t *out)
{
    if (hour < 0 || hour > 24 || minute < 0 || minute > 59 || isnan(second) || second < 0 ||
        second > 60) {
        return false;
    }
    *out = hour * US_HOUR + minute * US_MINUTE + (int64_t)rint(second * 1e6);
    return *out <= US_DAY;
}

static DATETIME_RUN(make_time)
{
    (void)call;
    return clock_from(args[0].i, args[1].i, args[2].f, &out->i)
               ? ERR_OK
               : sql_error("22008", "time field value out of range: %d:%02d:%02g", (int)args[0].i,
                           (int)args[1].i, args[2].f);
}

static err_t
local_from(const struct datum *args, int64_t *out)
{
    int64_t year = args[0].i, us;

    if (!day_is_good(&year, args[1].i, args[2].i)) {
        return sql_error("22008", "date field value out of range: %d-%02d-%02d", (int)args[0].i,
                         (int)args[1].i, (int)args[2].i);
    }
    if (!clock_from(args[3].i, args[4].i, args[5].f, &us)) {
        return sql_error("22008", "time field value out of range: %d:%02d:%02g", (int)args[3].i,
                         (int)args[4].i, args[5].f);
    }
    if (!civil_is_julian((int32_t)year, (int32_t)args[1].i) ||
        __builtin_mul_overflow(calendar_days((int32_t)year, (int32_t)args[1].i, (int32_t)args[2].i),
                               US_DAY, out) ||
        __builtin_add_overflow(*out, us, out) || !timestamp_is_valid(*out)) {
        return sql_error("22008", "timestamp out of range: %d-%02d-%02d %d:%02d:%02g",
                         (int)args[0].i, (int)args[1].i, (int)args[2].i, (int)args[3].i,
                         (int)args[4].i, args[5].f);
    }
    return ERR_OK;
}

static DATETIME_RUN(make_timestamp)
{
    (void)call;
    return local_from(args, &out->i);
}

static err_t
moment_of_local(int64_t local, int64_t offset, struct datum *out)
{
    out->i = local - offset * US_SECOND;
    return timestamp_is_valid(out->i) ? ERR_OK : timestamp_out_of_range();
}

static int64_t
unix_seconds(int64_t us)
{
    int64_t rest;

    return floor_divide(us, US_SECOND, &rest) + US_1970_TO_2000 / US_SECOND;
}

static DATETIME_RUN(make_timestamptz)
{
    int64_t local = 0;
    err_t err = local_from(args, &local);

    return err != ERR_OK ? err : timestamptz_from_timestamp(local, call->settings->zone, &out->i);
}

/* A number is a displacement, as in a text; anything else a name. */
static YIELDS err_t
zone_argument(const struct call *call, struct slice text, struct zone_use *use)
{
    char copy[ZONE_NAME_MAX + 1];
    enum datetime_error error;

    *use = (struct zone_use){.is_fixed = true};
    if (text.size == 0 || text.size > ZONE_NAME_MAX ||
        (text.data[0] != '+' && text.data[0] != '-' &&
         (text.data[0] < '0' || text.data[0] > '9'))) {
        return zone_use_find(text, call->settings, call->arena, use);
    }
    if (text.data[0] != '+' && text.data[0] != '-') {
        (void)sql_error("22023", "invalid input syntax for type numeric time zone: \"%.*s\"",
                        (int)text.size, (const char *)text.data);
        return sql_hint("Numeric time zones must have \"-\" or \"+\" as first character.");
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    error = zone_offset_parse(copy, &use->offset);
    if (error == DATETIME_ZONE_OVERFLOW) {
        return sql_error("22023", "numeric time zone \"%s\" out of range", copy);
    }
    return error == DATETIME_OK ? ERR_OK : zone_use_find(text, call->settings, call->arena, use);
}

static YIELDS
DATETIME_RUN(make_timestamptz_in)
{
    struct zone_use use;
    int64_t local = 0;
    err_t err = local_from(args, &local);

    if (err == ERR_OK) {
        err = zone_argument(call, args[6].bytes, &use);
    }
    return err != ERR_OK
               ? err
               : moment_of_local(local, zone_use_of_local(&use, unix_seconds(local)), out);
}

/* Years, months, weeks, days, hours, minutes, seconds; those at the end may be missing. */
static DATETIME_RUN(make_interval)
{
    int64_t parts[6] = {0};
    double us = call->arg_count > 6 ? rint(args[6].f * 1e6) : 0;
    int64_t months, days, sum;

    for (uint32_t i = 0; i < 6 && i < call->arg_count; i++) {
        parts[i] = args[i].i;
    }
    months = parts[0] * MONTHS_PER_YEAR + parts[1];
    days = parts[2] * 7 + parts[3];
    sum = parts[4] * US_HOUR + parts[5] * US_MINUTE;
    if (months != (int32_t)months || days != (int32_t)days || isnan(us) || us < -0x1p63 ||
        us >= 0x1p63 || __builtin_add_overflow(sum, (int64_t)us, &sum)) {
        return interval_out_of_range();
    }
    out->interval = (struct interval){.us = sum, .days = (int32_t)days, .months = (int32_t)months};
    return ERR_OK;
}

static DATETIME_RUN(to_timestamp)
{
    double seconds = args[0].f;

    (void)call;
    if (isnan(seconds)) {
        return sql_error("22008", "timestamp cannot be NaN");
    }
    if (isinf(seconds)) {
        out->i = seconds < 0 ? INT64_MIN : INT64_MAX;
        return ERR_OK;
    }
    if (seconds < -210866803200.0 || seconds >= 9224318016000.0) {
        return sql_error("22008", "timestamp out of range: \"%g\"", seconds);
    }
    out->i = (int64_t)rint((seconds - 946684800.0) * 1e6);
    return timestamp_is_valid(out->i)
               ? ERR_OK
               : sql_error("22008", "timestamp out of range: \"%g\"", args[0].f);
}

/* ---- Zones: AT TIME ZONE ---- */

static err_t
zone_of_interval(const struct call *call, const struct interval *interval, struct zone_use *use)
{
    struct buf text;
    err_t err = ERR_OK;

    if (interval->months != 0 || interval->days != 0) {
        buf_init(&text, MEM_SESSIONS);
        interval_to_text(interval, call->settings, &text);
        err = sql_error("22023", "interval time zone \"%.*s\" must not include months or days",
                        (int)text.size, (const char *)text.data);
        buf_fini(&text);
    }
    *use = (struct zone_use){.is_fixed = true, .offset = (int32_t)(interval->us / US_SECOND)};
    return err;
}

static YIELDS err_t
zone_of(const struct call *call, const struct datum *args, struct zone_use *use)
{
    return call->expr->args[0]->type->oid == OID_INTERVAL
               ? zone_of_interval(call, &args[0].interval, use)
               : zone_use_find(args[0].bytes, call->settings, call->arena, use);
}

static YIELDS
DATETIME_RUN(timestamp_in_zone)
{
    struct zone_use use;
    err_t err;

    out->i = args[1].i;
    if (!timestamp_is_finite(args[1].i)) {
        return ERR_OK;
    }
    err = zone_of(call, args, &use);
    return err != ERR_OK
               ? err
               : moment_of_local(args[1].i, zone_use_of_local(&use, unix_seconds(args[1].i)), out);
}

static YIELDS
DATETIME_RUN(timestamptz_in_zone)
{
    struct zone_use use;
    err_t err;

    out->i = args[1].i;
    if (!timestamp_is_finite(args[1].i)) {
        return ERR_OK;
    }
    err = zone_of(call, args, &use);
    return err != ERR_OK
               ? err
               : moment_of_local(args[1].i, -zone_use_at(&use, unix_seconds(args[1].i)), out);
}

static YIELDS
DATETIME_RUN(timetz_in_zone)
{
    struct zone_use use;
    err_t err = zone_of(call, args, &use);
    int32_t offset;

    if (err != ERR_OK) {
        return err;
    }
    offset = zone_use_at(&use, unix_seconds(call->settings->now_us));
    out->timetz = (struct timetz){
        us_of_day(args[1].timetz.us + (offset - args[1].timetz.offset) * US_SECOND), offset};
    return ERR_OK;
}

/* ---- isfinite, OVERLAPS ---- */

static DATETIME_RUN(is_finite)
{
    oid_t type = call->expr->args[0]->type->oid;

    out->i = type == OID_INTERVAL ||
             (type == OID_DATE ? date_is_finite(args[0].i) : timestamp_is_finite(args[0].i));
    return ERR_OK;
}

struct period {
    struct datum from, to;
    bool has_from, has_to;
};

/* The ends in order; an unknown one comes last. False: both are unknown. */
static bool
period_order(const struct type *type, struct period *period)
{
    struct datum swapped = period->from;

    if (!period->has_from && !period->has_to) {
        return false;
    }
    if (!period->has_from) {
        period->from = period->to;
        period->has_from = true;
        period->has_to = false;
    } else if (period->has_to && type->compare(type, period->from, period->to) > 0) {
        period->from = period->to;
        period->to = swapped;
    }
    return true;
}

/* SQL's definition, with unknown ends: null where they decide. */
static void
overlap(struct call *call, const struct type *type, struct period a, struct period b,
        struct datum *out)
{
    int order;

    call->is_null = !period_order(type, &a) || !period_order(type, &b);
    if (call->is_null) {
        return;
    }
    order = type->compare(type, a.from, b.from);
    if (order == 0) {
        out->i = true;
        call->is_null = !a.has_to || !b.has_to;
        return;
    }
    if (order < 0) {
        struct period swapped = a;

        a = b;
        b = swapped;
    }
    if (!b.has_to) { /* a begins later: does b reach it? */
        call->is_null = true;
        return;
    }
    if (type->compare(type, a.from, b.to) < 0) {
        out->i = true;
        call->is_null = !a.has_to;
        return;
    }
    out->i = false;
}

static YIELDS err_t
period_read(const struct call *call, const struct type *type, const struct datum *args,
            uint32_t index, struct period *out)
{
    err_t err = ERR_OK;

    *out = (struct period){.from = args[index],
                           .to = args[index + 1],
                           .has_from = call->nulls[index] == 0,
                           .has_to = call->nulls[index + 1] == 0};
    if (call->expr->args[index + 1]->type->oid == OID_INTERVAL && type->oid != OID_INTERVAL) {
        out->has_to = out->has_to && out->has_from;
        if (out->has_to && type->oid == OID_TIME) {
            out->to.i = us_of_day(out->from.i + args[index + 1].interval.us % US_DAY);
        } else if (out->has_to) {
            err = timestamp_add(out->from.i, &args[index + 1].interval,
                                type->oid == OID_TIMESTAMPTZ, call->settings->zone, &out->to.i);
        }
    }
    return err;
}

static DATETIME_RUN(overlaps)
{
    const struct type *type = call->expr->args[0]->type;
    struct period a, b;
    err_t err = period_read(call, type, args, 0, &a);

    if (err == ERR_OK) {
        err = period_read(call, type, args, 2, &b);
    }
    if (err == ERR_OK) {
        overlap(call, type, a, b, out);
    }
    return err;
}

/* ---- pg_sleep ---- */

static YIELDS err_t
sleep_us(const struct call *call, double us)
{
    int64_t left = isnan(us) || us <= 0 ? 0 : us >= 0x1p62 ? INT64_MAX : (int64_t)us;
    err_t err = ERR_OK;

    while (err == ERR_OK && left > 0 && !sql_session_is_cancelled(call->env->session)) {
        int64_t slice = MIN(left, (int64_t)SLEEP_SLICE_US);

        err = fiber_sleep_us((uint64_t)slice);
        left -= slice;
    }
    if (err == ERR_OK && left > 0) {
        err = sql_error("57014", "canceling statement due to user request");
    }
    return err;
}

static YIELDS
DATETIME_RUN(pg_sleep)
{
    out->bytes = SLICE("");
    return sleep_us(call, args[0].f * 1e6);
}

static YIELDS
DATETIME_RUN(pg_sleep_for)
{
    out->bytes = SLICE("");
    return sleep_us(call, (double)interval_span(&args[0].interval));
}

static YIELDS
DATETIME_RUN(pg_sleep_until)
{
    out->bytes = SLICE("");
    return sleep_us(call, (double)args[0].i - (double)((int64_t)io_wall_us() - US_1970_TO_2000));
}

/* ---- generate_series over moments ---- */

struct moment_series {
    int64_t at, to;
    struct interval step;
    int direction;
    bool has_zone, is_ended;
};

static err_t
series_start(struct set_call *call)
{
    struct moment_series *series = call->state;
    __int128 span = interval_span(&call->args[2].interval);

    *series = (struct moment_series){
        .at = call->args[0].i,
        .to = call->args[1].i,
        .step = call->args[2].interval,
        .direction = (span > 0) - (span < 0),
        .has_zone = call->call.expr->args[0]->type->oid == OID_TIMESTAMPTZ,
    };
    return span != 0 ? ERR_OK : sql_error("22023", "step size cannot equal zero");
}

static err_t
series_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    struct moment_series *series = call->state;
    uint32_t count = 0;
    err_t err = ERR_OK;

    while (err == ERR_OK && count < BATCH_ROWS_MAX && !series->is_ended) {
        if (series->direction > 0 ? series->at > series->to : series->at < series->to) {
            series->is_ended = true;
            break;
        }
        columns[0].values[count++].i = series->at;
        err = timestamp_add(series->at, &series->step, series->has_zone, call->call.settings->zone,
                            &series->at);
    }
    *count_out = count;
    return err;
}

static const struct set_function series_set = {
    .state_bytes = sizeof(struct moment_series),
    .start = series_start,
    .next = series_next,
};

/* ---- pg_timezone_names, pg_timezone_abbrevs ---- */

static const struct set_column name_columns[] = {
    {"name", OID_TEXT}, {"abbrev", OID_TEXT}, {"utc_offset", OID_INTERVAL}, {"is_dst", OID_BOOL}};
static const struct set_column abbreviation_columns[] = {
    {"abbrev", OID_TEXT}, {"utc_offset", OID_INTERVAL}, {"is_dst", OID_BOOL}};

static struct datum
offset_interval(int32_t offset)
{
    return (struct datum){.interval = {.us = offset * US_SECOND}};
}

static YIELDS err_t
names_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    const struct type_settings *settings = call->call.settings;
    uint32_t *at = call->state, count = 0;
    uint32_t all = settings->zones != NULL ? zones_count(settings->zones) : 0;

    for (; *at < all && count < BATCH_ROWS_MAX; ++*at) {
        struct slice name = slice_from_text(zones_name(settings->zones, *at));
        const struct zone *zone = zone_find(settings->zones, name, call->arena);
        struct zone_kind kind;

        if (zone == NULL) {
            continue;
        }
        zone_at(zone, unix_seconds(settings->now_us), &kind);
        columns[0].values[count] = datum_bytes(name);
        columns[1].values[count] =
            datum_bytes(arena_copy(call->arena, slice_from_text(kind.abbreviation)));
        columns[2].values[count] = offset_interval(kind.offset);
        columns[3].values[count++] = datum_int(kind.is_dst);
    }
    *count_out = count;
    return ERR_OK;
}

static YIELDS err_t
abbreviations_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    const struct type_settings *settings = call->call.settings;
    uint32_t *at = call->state, count = 0;

    for (; *at < zone_abbreviation_count() && count < BATCH_ROWS_MAX; ++*at) {
        const struct zone_abbreviation *row = zone_abbreviation_get(*at);
        struct slice name = slice_from_text(row->name);
        int32_t offset = row->offset;
        bool is_dst = row->is_dst;
        char *shown = arena_printf(call->arena, "%s", row->name);

        if (row->zone != NULL) {
            const struct zone *zone =
                zone_find(settings->zones, slice_from_text(row->zone), call->arena);

            if (zone == NULL || !zone_abbreviation_at(zone, name, unix_seconds(settings->now_us),
                                                      &offset, &is_dst)) {
                continue;
            }
        }
        for (char *c = shown; *c != '\0'; c++) {
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
        }
        columns[0].values[count] = datum_bytes(slice_from_text(shown));
        columns[1].values[count] = offset_interval(offset);
        columns[2].values[count++] = datum_int(is_dst);
    }
    *count_out = count;
    return ERR_OK;
}

static const struct set_function names_set = {.column_count = 4,
                                              .columns = name_columns,
                                              .state_bytes = sizeof(uint32_t),
                                              .next = names_next};
static const struct set_function abbreviations_set = {.column_count = 3,
                                                      .columns = abbreviation_columns,
                                                      .state_bytes = sizeof(uint32_t),
                                                      .next = abbreviations_next};

/* ---- The table ---- */

#define FN(fname, res, code, count, ...)                                                           \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (count),         \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }
#define VOLATILE(fname, res, code, count, ...)                                                     \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (count),         \
            .is_strict = true, .is_volatile = true, .run = (code)                                  \
        }                                                                                          \
    }
#define OVERLAPS(type, a, b)                                                                       \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = "overlaps", .result = OID_BOOL, .args = {(type), (a), (type), (b)},            \
            .arg_count = 4, .run = overlaps                                                        \
        }                                                                                          \
    }
#define SET(fname, res, function, count, ...)                                                      \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (count),         \
            .is_strict = true, .set = &(function)                                                  \
        }                                                                                          \
    }
#define INTS4 OID_INT4, OID_INT4, OID_INT4, OID_INT4

static const struct operator_row rows[] = {
    FN("now", OID_TIMESTAMPTZ, now, 0, 0),
    FN("transaction_timestamp", OID_TIMESTAMPTZ, now, 0, 0),
    FN("statement_timestamp", OID_TIMESTAMPTZ, statement_now, 0, 0),
    VOLATILE("clock_timestamp", OID_TIMESTAMPTZ, clock_now, 0, 0),
    VOLATILE("timeofday", OID_TEXT, time_of_day, 0, 0),
    FN("make_date", OID_DATE, make_date, 3, OID_INT4, OID_INT4, OID_INT4),
    FN("make_time", OID_TIME, make_time, 3, OID_INT4, OID_INT4, OID_FLOAT8),
    FN("make_timestamp", OID_TIMESTAMP, make_timestamp, 6, INTS4, OID_INT4, OID_FLOAT8),
    FN("make_timestamptz", OID_TIMESTAMPTZ, make_timestamptz, 6, INTS4, OID_INT4, OID_FLOAT8),
    FN("make_timestamptz", OID_TIMESTAMPTZ, make_timestamptz_in, 7, INTS4, OID_INT4, OID_FLOAT8,
       OID_TEXT),
    FN("make_interval", OID_INTERVAL, make_interval, 0, 0),
    FN("make_interval", OID_INTERVAL, make_interval, 1, OID_INT4),
    FN("make_interval", OID_INTERVAL, make_interval, 2, OID_INT4, OID_INT4),
    FN("make_interval", OID_INTERVAL, make_interval, 3, OID_INT4, OID_INT4, OID_INT4),
    FN("make_interval", OID_INTERVAL, make_interval, 4, INTS4),
    FN("make_interval", OID_INTERVAL, make_interval, 5, INTS4, OID_INT4),
    FN("make_interval", OID_INTERVAL, make_interval, 6, INTS4, OID_INT4, OID_INT4),
    FN("make_interval", OID_INTERVAL, make_interval, 7, INTS4, OID_INT4, OID_INT4, OID_FLOAT8),
    FN("to_timestamp", OID_TIMESTAMPTZ, to_timestamp, 1, OID_FLOAT8),
    FN("timezone", OID_TIMESTAMPTZ, timestamp_in_zone, 2, OID_TEXT, OID_TIMESTAMP),
    FN("timezone", OID_TIMESTAMP, timestamptz_in_zone, 2, OID_TEXT, OID_TIMESTAMPTZ),
    FN("timezone", OID_TIMETZ, timetz_in_zone, 2, OID_TEXT, OID_TIMETZ),
    FN("timezone", OID_TIMESTAMPTZ, timestamp_in_zone, 2, OID_INTERVAL, OID_TIMESTAMP),
    FN("timezone", OID_TIMESTAMP, timestamptz_in_zone, 2, OID_INTERVAL, OID_TIMESTAMPTZ),
    FN("timezone", OID_TIMETZ, timetz_in_zone, 2, OID_INTERVAL, OID_TIMETZ),
    FN("isfinite", OID_BOOL, is_finite, 1, OID_DATE),
    FN("isfinite", OID_BOOL, is_finite, 1, OID_TIMESTAMP),
    FN("isfinite", OID_BOOL, is_finite, 1, OID_TIMESTAMPTZ),
    FN("isfinite", OID_BOOL, is_finite, 1, OID_INTERVAL),
    OVERLAPS(OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, OID_TIMESTAMPTZ),
    OVERLAPS(OID_TIMESTAMPTZ, OID_INTERVAL, OID_INTERVAL),
    OVERLAPS(OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, OID_INTERVAL),
    OVERLAPS(OID_TIMESTAMPTZ, OID_INTERVAL, OID_TIMESTAMPTZ),
    OVERLAPS(OID_TIMESTAMP, OID_TIMESTAMP, OID_TIMESTAMP),
    OVERLAPS(OID_TIMESTAMP, OID_INTERVAL, OID_INTERVAL),
    OVERLAPS(OID_TIMESTAMP, OID_TIMESTAMP, OID_INTERVAL),
    OVERLAPS(OID_TIMESTAMP, OID_INTERVAL, OID_TIMESTAMP),
    OVERLAPS(OID_TIME, OID_TIME, OID_TIME),
    OVERLAPS(OID_TIME, OID_INTERVAL, OID_INTERVAL),
    OVERLAPS(OID_TIME, OID_TIME, OID_INTERVAL),
    OVERLAPS(OID_TIME, OID_INTERVAL, OID_TIME),
    OVERLAPS(OID_TIMETZ, OID_TIMETZ, OID_TIMETZ),
    VOLATILE("pg_sleep", OID_VOID, pg_sleep, 1, OID_FLOAT8),
    VOLATILE("pg_sleep_for", OID_VOID, pg_sleep_for, 1, OID_INTERVAL),
    VOLATILE("pg_sleep_until", OID_VOID, pg_sleep_until, 1, OID_TIMESTAMPTZ),
    SET("generate_series", OID_TIMESTAMP, series_set, 3, OID_TIMESTAMP, OID_TIMESTAMP,
        OID_INTERVAL),
    SET("generate_series", OID_TIMESTAMPTZ, series_set, 3, OID_TIMESTAMPTZ, OID_TIMESTAMPTZ,
        OID_INTERVAL),
    SET("pg_timezone_names", OID_RECORD, names_set, 0, 0),
    SET("pg_timezone_abbrevs", OID_RECORD, abbreviations_set, 0, 0),
};

const struct function_part fn_part_datetime_make = {rows, sizeof(rows) / sizeof(rows[0])};
