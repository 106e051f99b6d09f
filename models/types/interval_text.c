/* models/types/interval_text.c - intervals from text and as text.
 *
 * Forms: PostgreSQL 15, 8.5.4 and 8.5.5: "1 day 2 hours", SQL's '1-2 3 4:05:06', ISO 8601's
 * P1Y2M3DT4H5M6S and P0001-02-03T04:05:06. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "models/types/datetime_words.h"

#include "engine/base/poison.h"

#define ISO_NUMBER_MAX 1.0e15

/* While it is read: years apart, as their fractions are months. */
struct reading {
    int64_t us;
    int32_t days, months, years;
};

#define TRY_PARSE(expression)                                                                      \
    do {                                                                                           \
        enum datetime_error error_ = (expression);                                                 \
        if (error_ != DATETIME_OK) {                                                               \
            return error_;                                                                         \
        }                                                                                          \
    } while (0)

/* ---- Sums ---- */

static bool
add_int32(int32_t *sum, int64_t value, int32_t scale)
{
    int32_t product;

    return value >= INT32_MIN && value <= INT32_MAX &&
           !__builtin_mul_overflow((int32_t)value, scale, &product) &&
           !__builtin_add_overflow(*sum, product, sum);
}

/* |fraction| < 1 */
static bool
add_fraction_us(struct reading *reading, double fraction, int64_t scale)
{
    int64_t us;

    fraction *= (double)scale;
    us = (int64_t)fraction;
    fraction -= (double)us;
    us += fraction > 0.5 ? 1 : fraction < -0.5 ? -1 : 0;
    return !__builtin_add_overflow(reading->us, us, &reading->us);
}

static bool
add_fraction_days(struct reading *reading, double fraction, int32_t scale)
{
    int32_t days;

    fraction *= scale;
    days = (int32_t)fraction;
    return !__builtin_add_overflow(reading->days, days, &reading->days) &&
           add_fraction_us(reading, fraction - days, US_DAY);
}

static bool
add_us(struct reading *reading, int64_t value, double fraction, int64_t scale)
{
    int64_t product;

    return !__builtin_mul_overflow(value, scale, &product) &&
           !__builtin_add_overflow(reading->us, product, &reading->us) &&
           add_fraction_us(reading, fraction, scale);
}

static bool
add_days(struct reading *reading, int64_t value, double fraction, int32_t scale)
{
    return add_int32(&reading->days, value, scale) &&
           (scale == 1 ? add_fraction_us(reading, fraction, US_DAY)
                       : add_fraction_days(reading, fraction, scale));
}

static bool
add_months(struct reading *reading, int64_t value, double fraction)
{
    return add_int32(&reading->months, value, 1) &&
           add_fraction_days(reading, fraction, DAYS_PER_MONTH);
}

static bool
add_years(struct reading *reading, int64_t value, double fraction, int32_t scale)
{
    int32_t months = (int32_t)rint(fraction * scale * MONTHS_PER_YEAR);

    return add_int32(&reading->years, value, scale) &&
           !__builtin_add_overflow(reading->months, months, &reading->months);
}

static bool
add_unit(struct reading *reading, enum field_kind unit, int64_t value, double fraction)
{
    switch (unit) {
    case FIELD_MICROSECOND:
        return add_us(reading, value, fraction, 1);
    case FIELD_MILLISECOND:
        return add_us(reading, value, fraction, 1000);
    case FIELD_SECOND:
        return add_us(reading, value, fraction, US_SECOND);
    case FIELD_MINUTE:
        return add_us(reading, value, fraction, US_MINUTE);
    case FIELD_HOUR:
        return add_us(reading, value, fraction, US_HOUR);
    case FIELD_DAY:
        return add_days(reading, value, fraction, 1);
    case FIELD_WEEK:
        return add_days(reading, value, fraction, 7);
    case FIELD_MONTH:
        return add_months(reading, value, fraction);
    case FIELD_YEAR:
        return add_years(reading, value, fraction, 1);
    case FIELD_DECADE:
        return add_years(reading, value, fraction, 10);
    case FIELD_CENTURY:
        return add_years(reading, value, fraction, 100);
    default:
        return add_years(reading, value, fraction, 1000);
    }
}

/* ---- Words and numbers: read from the end, as the unit stands behind its number ---- */

struct backward {
    const struct datetime_fields *fields;
    struct reading *reading;
    int32_t range;
    int32_t unit; /* Of the next number; FIELD_IGNORE: by the range. */
    uint32_t now;
    bool is_negative; /* SQL's sign, for all. */
    bool is_ago;
};

static enum datetime_error
clock_read(struct backward *backward, const char *text, bool is_negative)
{
    struct reading *reading = backward->reading;
    int64_t hours, us;
    int32_t minutes, seconds = 0, fraction = 0;
    const char *end;

    if (!datetime_int64(text, &end, &hours)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    if (*end != ':') {
        return DATETIME_BAD_FORMAT;
    }
    if (!datetime_int(end + 1, &end, &minutes)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    if (*end == '.' || (*end == '\0' && backward->range == (INTERVAL_MINUTE | INTERVAL_SECOND))) {
        if (*end == '.' && !datetime_second_fraction(end, &fraction)) {
            return DATETIME_BAD_FORMAT;
        }
        seconds = minutes;
        if (hours > INT32_MAX || hours < INT32_MIN) {
            return DATETIME_FIELD_OVERFLOW;
        }
        minutes = (int32_t)hours;
        hours = 0;
    } else if (*end == ':') {
        if (!datetime_int(end + 1, &end, &seconds)) {
            return DATETIME_FIELD_OVERFLOW;
        }
        if (*end != '\0' && (*end != '.' || !datetime_second_fraction(end, &fraction))) {
            return DATETIME_BAD_FORMAT;
        }
    } else if (*end != '\0') {
        return DATETIME_BAD_FORMAT;
    }
    if (hours < 0 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 60 || fraction < 0 ||
        fraction > US_SECOND || __builtin_mul_overflow(hours, US_HOUR, &us) ||
        __builtin_add_overflow(us, minutes * US_MINUTE + seconds * US_SECOND + fraction, &us)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    reading->us = is_negative || backward->is_negative ? -us : us;
    backward->now = TIME_BITS;
    backward->unit = FIELD_DAY;
    return DATETIME_OK;
}

/* The unit of a number that has none. */
static int32_t
range_unit(int32_t range)
{
    if (range == INTERVAL_FULL_RANGE || (range & INTERVAL_SECOND) != 0) {
        return FIELD_SECOND;
    }
    return (range & INTERVAL_MINUTE) != 0  ? FIELD_MINUTE
           : (range & INTERVAL_HOUR) != 0  ? FIELD_HOUR
           : (range & INTERVAL_DAY) != 0   ? FIELD_DAY
           : (range & INTERVAL_MONTH) != 0 ? FIELD_MONTH
                                           : FIELD_YEAR;
}

static bool
is_interval_unit(int32_t unit)
{
    switch (unit) {
    case FIELD_MICROSECOND:
    case FIELD_MILLISECOND:
    case FIELD_SECOND:
    case FIELD_MINUTE:
    case FIELD_HOUR:
    case FIELD_DAY:
    case FIELD_WEEK:
    case FIELD_MONTH:
    case FIELD_YEAR:
    case FIELD_DECADE:
    case FIELD_CENTURY:
    case FIELD_MILLENNIUM:
        return true;
    default:
        return false;
    }
}

/* "1-2": years and months. */
static enum datetime_error
year_month(const char *text, const char *rest, int64_t *months)
{
    int32_t part;
    const char *end;

    if (!datetime_int(rest + 1, &end, &part) || part < 0 || part >= MONTHS_PER_YEAR) {
        return DATETIME_FIELD_OVERFLOW;
    }
    if (*end != '\0') {
        return DATETIME_BAD_FORMAT;
    }
    part = *text == '-' ? -part : part;
    return __builtin_mul_overflow(*months, (int64_t)MONTHS_PER_YEAR, months) ||
                   __builtin_add_overflow(*months, (int64_t)part, months)
               ? DATETIME_FIELD_OVERFLOW
               : DATETIME_OK;
}

static enum datetime_error
number_read(struct backward *backward, const char *text)
{
    double fraction = 0;
    const char *end;
    int64_t value;
    int32_t unit;

    if (backward->unit == FIELD_IGNORE) {
        backward->unit = range_unit(backward->range);
    }
    if (!datetime_int64(text, &end, &value)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    if (*end == '-') {
        TRY_PARSE(year_month(text, end, &value));
        backward->unit = FIELD_MONTH;
    } else if (*end == '.') {
        if (!datetime_fraction(end, &fraction)) {
            return DATETIME_BAD_FORMAT;
        }
        fraction = *text == '-' ? -fraction : fraction;
    } else if (*end != '\0') {
        return DATETIME_BAD_FORMAT;
    }
    if (backward->is_negative) {
        value = value > 0 ? -value : value;
        fraction = fraction > 0 ? -fraction : fraction;
    }
    unit = backward->unit;
    if (!is_interval_unit(unit)) {
        return DATETIME_BAD_FORMAT;
    }
    if (!add_unit(backward->reading, (enum field_kind)unit, value, fraction)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    backward->now = unit == FIELD_SECOND && fraction != 0 ? SECOND_BITS : BIT(unit);
    backward->unit = unit == FIELD_HOUR ? FIELD_DAY : unit;
    return DATETIME_OK;
}

static enum datetime_error
word_read(struct backward *backward, const char *word)
{
    int32_t value;

    switch (datetime_unit(word, &value)) {
    case FIELD_IGNORE:
        return DATETIME_OK;
    case FIELD_UNIT:
        backward->unit = value;
        return DATETIME_OK;
    case FIELD_AGO:
        backward->is_ago = true;
        backward->unit = FIELD_RESERVED;
        return DATETIME_OK;
    default:
        return DATETIME_BAD_FORMAT;
    }
}

static enum datetime_error
field_read(struct backward *backward, uint32_t index)
{
    const char *text = backward->fields->texts[index];

    backward->now = 0;
    switch (backward->fields->kinds[index]) {
    case TOKEN_TIME:
        return clock_read(backward, text, false);
    case TOKEN_ZONE: /* A sign and digits: a time, or a number. */
        if (strchr(text + 1, ':') != NULL &&
            clock_read(backward, text + 1, *text == '-') == DATETIME_OK) {
            return DATETIME_OK;
        }
        return number_read(backward, text);
    case TOKEN_DATE:
    case TOKEN_NUMBER:
        return number_read(backward, text);
    case TOKEN_WORD:
    case TOKEN_SPECIAL:
        break;
    }
    return word_read(backward, text);
}

static enum datetime_error
ago_apply(struct reading *reading)
{
    if (reading->us == INT64_MIN || reading->days == INT32_MIN || reading->months == INT32_MIN ||
        reading->years == INT32_MIN) {
        return DATETIME_FIELD_OVERFLOW;
    }
    reading->us = -reading->us;
    reading->days = -reading->days;
    reading->months = -reading->months;
    reading->years = -reading->years;
    return DATETIME_OK;
}

static enum datetime_error
words_read(struct datetime_fields *fields, const struct type_settings *settings, int32_t range,
           struct reading *reading)
{
    struct backward backward = {
        .fields = fields, .reading = reading, .range = range, .unit = FIELD_IGNORE};
    uint32_t seen = 0;

    if (settings->interval_style == INTERVAL_SQL && fields->count > 0 &&
        fields->texts[0][0] == '-') {
        backward.is_negative = true;
        for (uint32_t i = 1; i < fields->count; i++) {
            if (fields->texts[i][0] == '-' || fields->texts[i][0] == '+') {
                backward.is_negative = false;
            }
        }
    }
    for (uint32_t i = fields->count; i > 0; i--) {
        TRY_PARSE(field_read(&backward, i - 1));
        if ((backward.now & seen) != 0) {
            return DATETIME_BAD_FORMAT;
        }
        seen |= backward.now;
    }
    if (seen == 0) {
        return DATETIME_BAD_FORMAT;
    }
    return backward.is_ago ? ago_apply(reading) : DATETIME_OK;
}

/* ---- ISO 8601 ---- */

struct iso {
    const char *at;
    struct reading *reading;
    bool is_clock, has_field;
    int64_t value;
    double fraction;
};

static enum datetime_error
iso_number(struct iso *iso)
{
    char *end;
    double number;

    if (!isdigit((unsigned char)*iso->at) && *iso->at != '-' && *iso->at != '.') {
        return DATETIME_BAD_FORMAT;
    }
    errno = 0;
    number = strtod(iso->at, &end);
    if (end == iso->at || errno != 0) {
        return DATETIME_BAD_FORMAT;
    }
    if (isnan(number) || number < -ISO_NUMBER_MAX || number > ISO_NUMBER_MAX) {
        return DATETIME_FIELD_OVERFLOW;
    }
    iso->value = (int64_t)trunc(number);
    iso->fraction = number - (double)iso->value;
    iso->at = end;
    return DATETIME_OK;
}

/* Digits of the number, without its sign. */
static size_t
iso_digits(const char *number)
{
    return strspn(*number == '-' ? number + 1 : number, "0123456789");
}

/* yyyymmdd */
static bool
iso_whole_date(struct iso *iso)
{
    return add_years(iso->reading, iso->value / 10000, 0, 1) &&
           add_months(iso->reading, iso->value / 100 % 100, 0) &&
           add_days(iso->reading, iso->value % 100, iso->fraction, 1);
}

/* hhmmss */
static bool
iso_whole_clock(struct iso *iso)
{
    return add_us(iso->reading, iso->value / 10000, 0, US_HOUR) &&
           add_us(iso->reading, iso->value / 100 % 100, 0, US_MINUTE) &&
           add_us(iso->reading, iso->value % 100, 0, US_SECOND) &&
           add_fraction_us(iso->reading, iso->fraction, 1);
}

/* Units of a form with marks between its parts: -mm-dd after the years, :mm:ss after the hours. */
static enum datetime_error
iso_marked(struct iso *iso, char unit, bool *is_done_out)
{
    static const enum field_kind days[] = {FIELD_YEAR, FIELD_MONTH, FIELD_DAY};
    static const enum field_kind clock[] = {FIELD_HOUR, FIELD_MINUTE, FIELD_SECOND};
    const enum field_kind *kinds = iso->is_clock ? clock : days;
    char mark = iso->is_clock ? ':' : '-';

    if (iso->has_field) {
        return DATETIME_BAD_FORMAT;
    }
    for (uint32_t i = 0;; i++) {
        if (!add_unit(iso->reading, kinds[i], iso->value, iso->fraction)) {
            return DATETIME_FIELD_OVERFLOW;
        }
        *is_done_out = unit == '\0';
        if (unit == '\0') {
            return DATETIME_OK;
        }
        if (unit == 'T' && !iso->is_clock) {
            iso->is_clock = true;
            iso->has_field = false;
            return DATETIME_OK;
        }
        if (unit != mark || i == 2) {
            return DATETIME_BAD_FORMAT;
        }
        TRY_PARSE(iso_number(iso));
        unit = *iso->at;
        iso->at += unit != '\0';
    }
}

static enum datetime_error
iso_unit(struct iso *iso, const char *number, char unit, bool *is_done_out)
{
    static const char letters[] = "YMWDHMS";
    static const enum field_kind kinds[] = {FIELD_YEAR, FIELD_MONTH,  FIELD_WEEK,  FIELD_DAY,
                                            FIELD_HOUR, FIELD_MINUTE, FIELD_SECOND};
    uint32_t first = iso->is_clock ? 4 : 0, end = iso->is_clock ? 7 : 4;

    *is_done_out = false;
    for (uint32_t i = first; i < end; i++) {
        if (unit == letters[i]) {
            iso->has_field = true;
            return add_unit(iso->reading, kinds[i], iso->value, iso->fraction)
                       ? DATETIME_OK
                       : DATETIME_FIELD_OVERFLOW;
        }
    }
    if (unit != '\0' && unit != (iso->is_clock ? ':' : '-') && (iso->is_clock || unit != 'T')) {
        return DATETIME_BAD_FORMAT;
    }
    if (!iso->is_clock && unit != '-' && iso_digits(number) == 8 && !iso->has_field) {
        *is_done_out = unit == '\0';
        iso->is_clock = true;
        return iso_whole_date(iso) ? DATETIME_OK : DATETIME_FIELD_OVERFLOW;
    }
    if (iso->is_clock && unit == '\0' && iso_digits(number) == 6 && !iso->has_field) {
        *is_done_out = true;
        return iso_whole_clock(iso) ? DATETIME_OK : DATETIME_FIELD_OVERFLOW;
    }
    return iso_marked(iso, unit, is_done_out);
}

static enum datetime_error
iso_read(const char *text, struct reading *reading)
{
    struct iso iso = {.at = text + 1, .reading = reading};

    if (strlen(text) < 2 || text[0] != 'P') {
        return DATETIME_BAD_FORMAT;
    }
    while (*iso.at != '\0') {
        const char *number = iso.at;
        bool is_done;
        char unit;

        if (*iso.at == 'T') {
            iso.is_clock = true;
            iso.has_field = false;
            iso.at++;
            continue;
        }
        TRY_PARSE(iso_number(&iso));
        unit = *iso.at;
        iso.at += unit != '\0';
        TRY_PARSE(iso_unit(&iso, number, unit, &is_done));
        if (is_done) {
            return DATETIME_OK;
        }
    }
    return DATETIME_OK;
}

/* ---- The whole ---- */

enum datetime_error
interval_parse(struct slice text, const struct type_settings *settings, int32_t range,
               struct interval *out)
{
    struct datetime_fields fields;
    struct reading reading = {0};
    char copy[DATETIME_FIELD_TEXT_MAX];
    enum datetime_error error = datetime_split(text, &fields);
    int64_t months;

    if (error == DATETIME_OK) {
        error = words_read(&fields, settings, range, &reading);
    }
    if (error == DATETIME_BAD_FORMAT && text.size < sizeof(copy) &&
        memchr(text.data, 0, text.size) == NULL) {
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
        reading = (struct reading){0};
        error = iso_read(copy, &reading);
    }
    if (error != DATETIME_OK) {
        return error == DATETIME_FIELD_OVERFLOW ? DATETIME_INTERVAL_OVERFLOW : error;
    }
    months = (int64_t)reading.years * MONTHS_PER_YEAR + reading.months;
    if (months < INT32_MIN || months > INT32_MAX) {
        (void)interval_out_of_range();
        return DATETIME_REPORTED;
    }
    *out = (struct interval){.months = (int32_t)months, .days = reading.days, .us = reading.us};
    return DATETIME_OK;
}

/* ---- As text ---- */

static void
seconds_put(int32_t second, int32_t us, bool is_filled, struct buf *out)
{
    uint32_t fraction = (uint32_t)abs(us), digits = 6;

    buf_printf(out, is_filled ? "%02d" : "%d", abs(second));
    if (fraction == 0) {
        return;
    }
    for (; fraction % 10 == 0; digits--) {
        fraction /= 10;
    }
    buf_printf(out, ".%0*u", (int)digits, fraction);
}

static bool
clock_is_negative(const struct interval_parts *parts)
{
    return parts->hour < 0 || parts->minute < 0 || parts->second < 0 || parts->us < 0;
}

static bool
clock_is_zero(const struct interval_parts *parts)
{
    return parts->hour == 0 && parts->minute == 0 && parts->second == 0 && parts->us == 0;
}

static void
clock_put(const struct interval_parts *parts, const char *format, struct buf *out)
{
    buf_printf(out, format, (long long)llabs(parts->hour), abs(parts->minute));
    seconds_put(parts->second, parts->us, true, out);
}

struct writing {
    struct buf *out;
    bool is_zero, is_before; /* Nothing yet; what came last (verbose: first) was negative. */
};

static void
postgres_part(struct writing *writing, int32_t value, const char *unit)
{
    if (value == 0) {
        return;
    }
    buf_printf(writing->out, "%s%s%d %s%s", writing->is_zero ? "" : " ",
               writing->is_before && value > 0 ? "+" : "", value, unit, value != 1 ? "s" : "");
    writing->is_before = value < 0;
    writing->is_zero = false;
}

static void
postgres_put(const struct interval_parts *parts, struct buf *out)
{
    struct writing writing = {out, true, false};

    postgres_part(&writing, parts->year, "year");
    postgres_part(&writing, parts->month, "mon");
    postgres_part(&writing, parts->day, "day");
    if (writing.is_zero || !clock_is_zero(parts)) {
        buf_printf(out, "%s%s", writing.is_zero ? "" : " ",
                   clock_is_negative(parts) ? "-"
                   : writing.is_before      ? "+"
                                            : "");
        clock_put(parts, "%02lld:%02d:", out);
    }
}

static void
verbose_part(struct writing *writing, int64_t value, const char *unit)
{
    if (value == 0) {
        return;
    }
    if (writing->is_zero) {
        writing->is_before = value < 0;
        value = llabs(value);
    } else if (writing->is_before) {
        value = -value;
    }
    buf_printf(writing->out, " %lld %s%s", (long long)value, unit, value == 1 ? "" : "s");
    writing->is_zero = false;
}

static void
verbose_put(const struct interval_parts *parts, struct buf *out)
{
    struct writing writing = {out, true, false};

    buf_append_byte(out, '@');
    verbose_part(&writing, parts->year, "year");
    verbose_part(&writing, parts->month, "mon");
    verbose_part(&writing, parts->day, "day");
    verbose_part(&writing, parts->hour, "hour");
    verbose_part(&writing, parts->minute, "min");
    if (parts->second != 0 || parts->us != 0) {
        buf_append_byte(out, ' ');
        if (parts->second < 0 || (parts->second == 0 && parts->us < 0)) {
            if (writing.is_zero) {
                writing.is_before = true;
            } else if (!writing.is_before) {
                buf_append_byte(out, '-');
            }
        } else if (writing.is_before) {
            buf_append_byte(out, '-');
        }
        seconds_put(parts->second, parts->us, false, out);
        buf_printf(out, " sec%s", abs(parts->second) != 1 || parts->us != 0 ? "s" : "");
        writing.is_zero = false;
    }
    if (writing.is_zero) {
        buf_append(out, " 0", 2);
    }
    if (writing.is_before) {
        buf_append(out, " ago", 4);
    }
}

static void
iso_part(int64_t value, char unit, struct buf *out)
{
    if (value != 0) {
        buf_printf(out, "%lld%c", (long long)value, unit);
    }
}

static void
iso_put(const struct interval_parts *parts, struct buf *out)
{
    if (parts->year == 0 && parts->month == 0 && parts->day == 0 && clock_is_zero(parts)) {
        buf_append(out, "PT0S", 4);
        return;
    }
    buf_append_byte(out, 'P');
    iso_part(parts->year, 'Y', out);
    iso_part(parts->month, 'M', out);
    iso_part(parts->day, 'D', out);
    if (clock_is_zero(parts)) {
        return;
    }
    buf_append_byte(out, 'T');
    iso_part(parts->hour, 'H', out);
    iso_part(parts->minute, 'M', out);
    if (parts->second != 0 || parts->us != 0) {
        if (parts->second < 0 || parts->us < 0) {
            buf_append_byte(out, '-');
        }
        seconds_put(parts->second, parts->us, false, out);
        buf_append_byte(out, 'S');
    }
}

/* The standard has either years and months or days and time, and one sign; what is none of these
 * has all parts, each with its sign. */
static void
sql_put(const struct interval_parts *parts, struct buf *out)
{
    bool is_negative =
        parts->year < 0 || parts->month < 0 || parts->day < 0 || clock_is_negative(parts);
    bool is_positive = parts->year > 0 || parts->month > 0 || parts->day > 0 || parts->hour > 0 ||
                       parts->minute > 0 || parts->second > 0 || parts->us > 0;
    bool has_months = parts->year != 0 || parts->month != 0;
    bool has_time = parts->day != 0 || !clock_is_zero(parts);

    if (!is_negative && !is_positive) {
        buf_append_byte(out, '0');
        return;
    }
    if ((is_negative && is_positive) || (has_months && has_time)) {
        buf_printf(out, "%c%d-%d %c%lld %c", parts->year < 0 || parts->month < 0 ? '-' : '+',
                   abs(parts->year), abs(parts->month), parts->day < 0 ? '-' : '+',
                   llabs((long long)parts->day), clock_is_negative(parts) ? '-' : '+');
        clock_put(parts, "%lld:%02d:", out);
        return;
    }
    if (is_negative) {
        buf_append_byte(out, '-');
    }
    if (has_months) {
        buf_printf(out, "%d-%d", abs(parts->year), abs(parts->month));
        return;
    }
    if (parts->day != 0) {
        buf_printf(out, "%lld ", (long long)llabs((long long)parts->day));
    }
    clock_put(parts, "%lld:%02d:", out);
}

void
interval_to_text(const struct interval *interval, const struct type_settings *settings,
                 struct buf *out)
{
    struct interval_parts parts;

    interval_parts(interval, &parts);
    switch ((enum interval_style)settings->interval_style) {
    case INTERVAL_POSTGRES:
        postgres_put(&parts, out);
        return;
    case INTERVAL_VERBOSE:
        verbose_put(&parts, out);
        return;
    case INTERVAL_SQL:
        sql_put(&parts, out);
        return;
    case INTERVAL_ISO:
        iso_put(&parts, out);
        return;
    }
}
