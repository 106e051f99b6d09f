/* models/types/datetime_parse.c - dates and times from text.
 *
 * A text is cut into fields (datetime_words.h), which are read one by one: what a number means
 * depends on its form, on what has been seen, and on the order of dates that the session prefers.
 * The forms are those of PostgreSQL 15, chapter 8.5 and appendix B.1. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "models/types/datetime_words.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum { SHOWN_MAX = 200, ISO_TIME_DIGITS = 6, JULIAN_YEAR_LOW = 70 };

struct parser {
    const struct type_settings *settings;
    struct datetime_fields fields;
    struct arena arena; /* Of zones that the text spells out. */
    struct civil *civil;
    uint32_t seen;    /* Bits of field kinds. */
    uint32_t now;     /* Those of the field that is read. */
    int32_t expected; /* What the last letter said of the next number; 0: nothing. */
    int32_t year_day, half, offset;
    bool is_time; /* Only a time is wanted, */
    bool has_text_month, is_julian, is_short_year, is_bc;
    enum datetime_special special;
    const struct zone *zone;  /* To be asked when the date is known, */
    const char *abbreviation; /* for what it means by this; NULL: by itself. */
    bool has_zone;
};

/* ---- Errors ---- */

err_t
datetime_error(enum datetime_error error, struct slice text, const char *type_name)
{
    int size = (int)MIN(text.size, (size_t)SHOWN_MAX);
    const char *shown = (const char *)text.data;

    switch (error) {
    case DATETIME_FIELD_OVERFLOW:
        return sql_error("22008", "date/time field value out of range: \"%.*s\"", size, shown);
    case DATETIME_MONTH_DAY_OVERFLOW:
        (void)sql_error("22008", "date/time field value out of range: \"%.*s\"", size, shown);
        return sql_hint("Perhaps you need a different \"datestyle\" setting.");
    case DATETIME_INTERVAL_OVERFLOW:
        return sql_error("22015", "interval field value out of range: \"%.*s\"", size, shown);
    case DATETIME_ZONE_OVERFLOW:
        return sql_error("22009", "time zone displacement out of range: \"%.*s\"", size, shown);
    case DATETIME_REPORTED:
        return ERR_SQL;
    case DATETIME_OK:
    case DATETIME_BAD_FORMAT:
        break;
    }
    return sql_error("22007", "invalid input syntax for type %s: \"%.*s\"", type_name, size, shown);
}

#define TRY_PARSE(expression)                                                                      \
    do {                                                                                           \
        enum datetime_error error_ = (expression);                                                 \
        if (error_ != DATETIME_OK) {                                                               \
            return error_;                                                                         \
        }                                                                                          \
    } while (0)

/* ---- Parts ---- */

enum datetime_error
zone_offset_parse(const char *text, int32_t *offset_out)
{
    int32_t hours, minutes = 0, seconds = 0;
    const char *end;

    if (*text != '+' && *text != '-') {
        return DATETIME_BAD_FORMAT;
    }
    if (!datetime_int(text + 1, &end, &hours)) {
        return DATETIME_ZONE_OVERFLOW;
    }
    if (*end == ':') {
        if (!datetime_int(end + 1, &end, &minutes) ||
            (*end == ':' && !datetime_int(end + 1, &end, &seconds))) {
            return DATETIME_ZONE_OVERFLOW;
        }
    } else if (*end == '\0' && strlen(text) > 3) {
        minutes = hours % 100;
        hours = hours / 100;
    }
    if (hours < 0 || hours > ZONE_HOURS_MAX || minutes < 0 || minutes > 59 || seconds < 0 ||
        seconds > 59) {
        return DATETIME_ZONE_OVERFLOW;
    }
    *offset_out = (hours * 60 + minutes) * 60 + seconds;
    *offset_out = *text == '-' ? -*offset_out : *offset_out;
    return *end != '\0' ? DATETIME_BAD_FORMAT : DATETIME_OK;
}

/* hh:mm[:ss[.us]] */
static enum datetime_error
clock_read(struct parser *parser, const char *text)
{
    struct civil *civil = parser->civil;
    const char *end;

    parser->now = TIME_BITS;
    if (!datetime_int(text, &end, &civil->hour)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    if (*end != ':') {
        return DATETIME_BAD_FORMAT;
    }
    if (!datetime_int(end + 1, &end, &civil->minute)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    civil->second = 0;
    civil->us = 0;
    if (*end == '.') { /* mm:ss.us */
        if (!datetime_second_fraction(end, &civil->us)) {
            return DATETIME_BAD_FORMAT;
        }
        civil->second = civil->minute;
        civil->minute = civil->hour;
        civil->hour = 0;
    } else if (*end == ':') {
        if (!datetime_int(end + 1, &end, &civil->second)) {
            return DATETIME_FIELD_OVERFLOW;
        }
        if (*end != '\0' && (*end != '.' || !datetime_second_fraction(end, &civil->us))) {
            return DATETIME_BAD_FORMAT;
        }
    } else if (*end != '\0') {
        return DATETIME_BAD_FORMAT;
    }
    return civil->hour < 0 || civil->minute < 0 || civil->minute > 59 || civil->second < 0 ||
                   civil->second > 60 || civil->us < 0 || civil->us > US_SECOND
               ? DATETIME_FIELD_OVERFLOW
               : DATETIME_OK;
}

static int32_t
digits_value(const char *digits, size_t count)
{
    int64_t value = 0;

    for (size_t i = 0; i < count && value < INT32_MAX; i++) {
        value = value * 10 + (digits[i] - '0');
    }
    return (int32_t)MIN(value, (int64_t)INT32_MAX);
}

/* Digits without marks: yyyymmdd, yymmdd, hhmmss[.us], hhmm. */
static enum datetime_error
run_read(struct parser *parser, const char *text, uint32_t seen)
{
    struct civil *civil = parser->civil;
    const char *point = strchr(text, '.');
    size_t size = point != NULL ? (size_t)(point - text) : strlen(text);
    double fraction;

    if (point != NULL) {
        if (!datetime_fraction(point, &fraction)) {
            return DATETIME_BAD_FORMAT;
        }
        civil->us = (int32_t)rint(fraction * 1000000);
    } else if ((seen & DATE_BITS) != DATE_BITS && size >= 6) {
        parser->now = DATE_BITS;
        civil->day = digits_value(text + size - 2, 2);
        civil->month = digits_value(text + size - 4, 2);
        civil->year = digits_value(text, size - 4);
        parser->is_short_year = parser->is_short_year || size == 6;
        return DATETIME_OK;
    }
    if ((seen & TIME_BITS) == TIME_BITS || (size != ISO_TIME_DIGITS && size != 4)) {
        return DATETIME_BAD_FORMAT;
    }
    parser->now = TIME_BITS;
    civil->hour = digits_value(text, 2);
    civil->minute = digits_value(text + 2, 2);
    civil->second = size == 4 ? 0 : digits_value(text + 4, 2);
    return DATETIME_OK;
}

static void
put_year(struct parser *parser, int32_t value)
{
    parser->civil->year = value;
    parser->now = BIT(FIELD_YEAR);
}

static void
put_month(struct parser *parser, int32_t value)
{
    parser->civil->month = value;
    parser->now = BIT(FIELD_MONTH);
}

static void
put_day(struct parser *parser, int32_t value)
{
    parser->civil->day = value;
    parser->now = BIT(FIELD_DAY);
}

/* The first number of a date, with a month's name before it or not. */
static void
first_number(struct parser *parser, int32_t value, size_t size)
{
    enum date_order order = parser->settings->date_order;

    if (size >= 3 || order == ORDER_YMD) {
        put_year(parser, value);
    } else if (order == ORDER_DMY || parser->has_text_month) {
        put_day(parser, value);
    } else {
        put_month(parser, value);
    }
}

/* One number of a date, by what is there already. */
static enum datetime_error
number_read(struct parser *parser, const char *text, uint32_t seen)
{
    struct civil *civil = parser->civil;
    size_t size = strlen(text);
    const char *end;
    int32_t value;

    parser->now = 0;
    if (!datetime_int(text, &end, &value)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    if (end == text) {
        return DATETIME_BAD_FORMAT;
    }
    if (*end == '.') {
        if (end - text > 2) { /* 20011225.5, 040506.789 */
            return run_read(parser, text, seen | DATE_BITS);
        }
        if (!datetime_second_fraction(end, &civil->us)) {
            return DATETIME_BAD_FORMAT;
        }
    } else if (*end != '\0') {
        return DATETIME_BAD_FORMAT;
    }
    if (size == 3 && (seen & DATE_BITS) == BIT(FIELD_YEAR) && value >= 1 && value <= 366) {
        parser->now = BIT(FIELD_YEAR_DAY) | BIT(FIELD_MONTH) | BIT(FIELD_DAY);
        parser->year_day = value;
        return DATETIME_OK;
    }
    switch (seen & DATE_BITS) {
    case 0:
        first_number(parser, value, size);
        break;
    case BIT(FIELD_YEAR):
    case BIT(FIELD_DAY):
        put_month(parser, value);
        break;
    case BIT(FIELD_MONTH):
        if (parser->has_text_month) {
            first_number(parser, value, size);
        } else {
            put_day(parser, value);
        }
        break;
    case BIT(FIELD_YEAR) | BIT(FIELD_MONTH):
        put_day(parser, value);
        if (parser->has_text_month && size >= 3 && parser->is_short_year) {
            civil->day = civil->year; /* The first number was the day after all: 08-Jan-1999. */
            civil->year = value;
            parser->is_short_year = false;
        }
        break;
    case BIT(FIELD_MONTH) | BIT(FIELD_DAY):
        put_year(parser, value);
        break;
    case DATE_BITS:
        return run_read(parser, text, seen);
    default:
        return DATETIME_BAD_FORMAT;
    }
    if (parser->now == BIT(FIELD_YEAR)) {
        parser->is_short_year = size <= 2;
    }
    return DATETIME_OK;
}

/* The next run of digits or letters, ended by a zero; NULL: none. */
static char *
part_next(char **at)
{
    char *start;

    while (**at != '\0' && !isalnum((unsigned char)**at)) {
        ++*at;
    }
    start = *at;
    if (*start == '\0') {
        return NULL;
    }
    if (isdigit((unsigned char)*start)) {
        while (isdigit((unsigned char)**at)) {
            ++*at;
        }
    } else {
        while (isalpha((unsigned char)**at)) {
            ++*at;
        }
    }
    if (**at != '\0') {
        *(*at)++ = '\0';
    }
    return start;
}

/* Numbers and a month's name with marks between them. The name is read first, as it decides. */
static enum datetime_error
date_read(struct parser *parser, char *text)
{
    char *parts[DATETIME_FIELDS_MAX];
    uint32_t count = 0, seen = parser->seen, all = 0;
    char *at = text;

    while (*at != '\0' && count < DATETIME_FIELDS_MAX) {
        parts[count] = part_next(&at);
        if (parts[count++] == NULL) {
            return DATETIME_BAD_FORMAT;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        enum field_kind kind;
        int32_t value;

        if (!isalpha((unsigned char)*parts[i])) {
            continue;
        }
        kind = datetime_word(parts[i], &value);
        parts[i] = kind == FIELD_IGNORE ? parts[i] : NULL;
        if (kind == FIELD_IGNORE) {
            continue;
        }
        if (kind != FIELD_MONTH || (seen & BIT(FIELD_MONTH)) != 0) {
            return DATETIME_BAD_FORMAT;
        }
        parser->civil->month = value;
        parser->has_text_month = true;
        seen |= BIT(FIELD_MONTH);
        all |= BIT(FIELD_MONTH);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i] == NULL) {
            continue;
        }
        TRY_PARSE(number_read(parser, parts[i], seen));
        if ((seen & parser->now) != 0) {
            return DATETIME_BAD_FORMAT;
        }
        seen |= parser->now;
        all |= parser->now;
    }
    parser->now = all;
    return (seen & ~(BIT(FIELD_YEAR_DAY) | BIT(FIELD_ZONE))) == DATE_BITS ? DATETIME_OK
                                                                          : DATETIME_BAD_FORMAT;
}

static void
day_put(struct parser *parser, int64_t days)
{
    calendar_civil(days, &parser->civil->year, &parser->civil->month, &parser->civil->day);
}

/* ---- Zones ---- */

static YIELDS enum datetime_error
zone_read_name(struct parser *parser, const char *name, bool is_reported)
{
    parser->zone = zone_find(parser->settings->zones, slice_from_text(name), &parser->arena);
    parser->abbreviation = NULL;
    parser->has_zone = true;
    parser->now = BIT(FIELD_ZONE);
    if (parser->zone == NULL) {
        if (is_reported) {
            (void)sql_error("22023", "time zone \"%s\" not recognized", name);
            return DATETIME_REPORTED;
        }
        return DATETIME_BAD_FORMAT;
    }
    return DATETIME_OK;
}

/* hhmmss-zz: the time may also be missing. */
static enum datetime_error
zone_at_end(struct parser *parser, char *text, uint32_t seen)
{
    char *sign = strchr(text, '-');

    if (sign == NULL) {
        return DATETIME_BAD_FORMAT;
    }
    TRY_PARSE(zone_offset_parse(sign, &parser->offset));
    *sign = '\0';
    TRY_PARSE(run_read(parser, text, seen));
    parser->now |= BIT(FIELD_ZONE);
    return DATETIME_OK;
}

/* ---- Fields ---- */

static enum datetime_error
date_field(struct parser *parser, uint32_t index)
{
    char *text = parser->fields.texts[index];
    const char *end;
    int32_t value;

    if (parser->expected == FIELD_JULIAN && !parser->is_time) {
        if (!datetime_int(text, &end, &value) || value < 0) {
            return DATETIME_FIELD_OVERFLOW;
        }
        day_put(parser, (int64_t)value - CALENDAR_JULIAN_2000);
        parser->is_julian = true;
        TRY_PARSE(zone_offset_parse(end, &parser->offset));
        parser->now = DATE_BITS | TIME_BITS | BIT(FIELD_ZONE);
        parser->expected = 0;
        return DATETIME_OK;
    }
    if (parser->is_time) {
        uint32_t count = parser->fields.count;

        if (index == 0 && count >= 2 &&
            (parser->fields.kinds[count - 1] == TOKEN_DATE ||
             parser->fields.kinds[1] == TOKEN_TIME)) {
            return date_read(parser, text);
        }
        if (!isdigit((unsigned char)*text)) {
            return zone_read_name(parser, text, true);
        }
        return (parser->seen & TIME_BITS) == TIME_BITS
                   ? DATETIME_BAD_FORMAT
                   : zone_at_end(parser, text, parser->seen | DATE_BITS);
    }
    if (parser->expected == 0 && (parser->seen & (BIT(FIELD_MONTH) | BIT(FIELD_DAY))) !=
                                     (BIT(FIELD_MONTH) | BIT(FIELD_DAY))) {
        return date_read(parser, text);
    }
    if (!isdigit((unsigned char)*text) && parser->expected == 0) {
        return zone_read_name(parser, text, true);
    }
    if ((parser->expected != 0 && parser->expected != FIELD_ISO_TIME) ||
        (parser->seen & TIME_BITS) == TIME_BITS) {
        return DATETIME_BAD_FORMAT;
    }
    parser->expected = 0;
    return zone_at_end(parser, text, parser->seen);
}

static bool
clock_overflows(const struct civil *civil)
{
    int64_t us;

    if (civil->hour < 0 || civil->hour > 24 || civil->minute < 0 || civil->minute > 59 ||
        civil->second < 0 || civil->second > 60 || civil->us < 0 || civil->us > US_SECOND) {
        return true;
    }
    us = time_from_civil(civil);
    return us > US_DAY;
}

static enum datetime_error
time_field(struct parser *parser, const char *text)
{
    if (parser->expected != 0 && parser->expected != FIELD_ISO_TIME) {
        return DATETIME_BAD_FORMAT;
    }
    parser->expected = 0;
    TRY_PARSE(clock_read(parser, text));
    return !parser->is_time && clock_overflows(parser->civil) ? DATETIME_FIELD_OVERFLOW
                                                              : DATETIME_OK;
}

static enum datetime_error
julian_number(struct parser *parser, int32_t value, const char *rest)
{
    double fraction;

    if (value < 0) {
        return DATETIME_FIELD_OVERFLOW;
    }
    day_put(parser, (int64_t)value - CALENDAR_JULIAN_2000);
    parser->is_julian = true;
    parser->now = DATE_BITS;
    if (*rest == '.') {
        if (!datetime_fraction(rest, &fraction)) {
            return DATETIME_BAD_FORMAT;
        }
        time_civil((int64_t)(fraction * (double)US_DAY), parser->civil);
        parser->now |= TIME_BITS;
    }
    return DATETIME_OK;
}

/* A number that the letter before it has named: Y2001 M12 D27. */
static enum datetime_error
named_number(struct parser *parser, const char *text)
{
    struct civil *civil = parser->civil;
    int32_t expected = parser->expected, value;
    const char *end;

    parser->expected = 0;
    if (!datetime_int(text, &end, &value)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    if (*end != '\0' && (*end != '.' || (expected != FIELD_JULIAN && expected != FIELD_ISO_TIME &&
                                         expected != FIELD_SECOND))) {
        return DATETIME_BAD_FORMAT;
    }
    switch (expected) {
    case FIELD_YEAR:
        put_year(parser, value);
        break;
    case FIELD_MONTH: /* After a month and hours they are minutes. */
        if ((parser->seen & BIT(FIELD_MONTH)) != 0 && (parser->seen & BIT(FIELD_HOUR)) != 0) {
            civil->minute = value;
            parser->now = BIT(FIELD_MINUTE);
        } else {
            put_month(parser, value);
        }
        break;
    case FIELD_DAY:
        put_day(parser, value);
        break;
    case FIELD_HOUR:
        civil->hour = value;
        parser->now = BIT(FIELD_HOUR);
        break;
    case FIELD_MINUTE:
        civil->minute = value;
        parser->now = BIT(FIELD_MINUTE);
        break;
    case FIELD_SECOND:
        civil->second = value;
        parser->now = BIT(FIELD_SECOND);
        if (*end == '.') {
            parser->now = SECOND_BITS;
            return datetime_second_fraction(end, &civil->us) ? DATETIME_OK : DATETIME_BAD_FORMAT;
        }
        break;
    case FIELD_JULIAN:
        return julian_number(parser, value, end);
    case FIELD_ISO_TIME:
        TRY_PARSE(run_read(parser, text, parser->seen | DATE_BITS));
        return parser->now == TIME_BITS ? DATETIME_OK : DATETIME_BAD_FORMAT;
    default:
        return DATETIME_BAD_FORMAT;
    }
    return DATETIME_OK;
}

static enum datetime_error
number_field_of_time(struct parser *parser, uint32_t index)
{
    char *text = parser->fields.texts[index];
    const char *point = strchr(text, '.');
    uint32_t seen = parser->seen | DATE_BITS, count = parser->fields.count;

    if (point != NULL && index == 0 && count >= 2 &&
        parser->fields.kinds[count - 1] == TOKEN_DATE) {
        return date_read(parser, text);
    }
    if (point != NULL) {
        return point - text > 2 ? run_read(parser, text, seen) : DATETIME_BAD_FORMAT;
    }
    return strlen(text) > 4 ? run_read(parser, text, seen) : number_read(parser, text, seen);
}

static enum datetime_error
number_field(struct parser *parser, uint32_t index)
{
    char *text = parser->fields.texts[index];
    const char *point = strchr(text, '.');
    uint32_t seen = parser->seen;

    if (parser->expected != 0) {
        return named_number(parser, text);
    }
    if (parser->is_time) {
        return number_field_of_time(parser, index);
    }
    if (point != NULL && (seen & DATE_BITS) == 0) {
        return date_read(parser, text);
    }
    if (point != NULL && point - text > 2) {
        return run_read(parser, text, seen);
    }
    if (strlen(text) >= 6 && ((seen & DATE_BITS) == 0 || (seen & TIME_BITS) == 0)) {
        return run_read(parser, text, seen);
    }
    return number_read(parser, text, seen);
}

static void
now_put(struct parser *parser, int32_t day_shift, bool has_clock)
{
    struct civil now;

    timestamptz_civil(parser->settings->now_us, parser->settings->zone, &now);
    if (has_clock) {
        if (parser->is_time) {
            now.year = parser->civil->year;
            now.month = parser->civil->month;
            now.day = parser->civil->day;
        }
        *parser->civil = now;
        parser->offset = now.offset;
    } else {
        day_put(parser, calendar_days(now.year, now.month, now.day) + day_shift);
    }
}

static enum datetime_error
reserved_word(struct parser *parser, enum reserved_word word)
{
    switch (word) {
    case WORD_NOW:
        now_put(parser, 0, true);
        parser->now = TIME_BITS | (parser->is_time ? 0 : DATE_BITS | BIT(FIELD_ZONE));
        return DATETIME_OK;
    case WORD_ALLBALLS:
        time_civil(0, parser->civil);
        parser->offset = 0;
        parser->now = TIME_BITS | BIT(FIELD_ZONE);
        return DATETIME_OK;
    case WORD_YESTERDAY:
    case WORD_TODAY:
    case WORD_TOMORROW:
        now_put(parser, word == WORD_YESTERDAY ? -1 : word == WORD_TOMORROW, false);
        parser->now = DATE_BITS;
        break;
    case WORD_EPOCH:
    case WORD_LATE:
    case WORD_EARLY:
        parser->special = word == WORD_EPOCH  ? DATETIME_EPOCH
                          : word == WORD_LATE ? DATETIME_LATE
                                              : DATETIME_EARLY;
        parser->now = DATE_BITS | TIME_BITS | BIT(FIELD_ZONE);
        break;
    }
    return parser->is_time ? DATETIME_BAD_FORMAT : DATETIME_OK;
}

/* "t" before a time, which needs a date before it. */
static enum datetime_error
iso_time_letter(struct parser *parser, uint32_t index)
{
    const struct datetime_fields *fields = &parser->fields;

    parser->now = 0;
    if ((!parser->is_time && (parser->seen & DATE_BITS) != DATE_BITS) ||
        index + 1 >= fields->count ||
        (fields->kinds[index + 1] != TOKEN_NUMBER && fields->kinds[index + 1] != TOKEN_TIME &&
         fields->kinds[index + 1] != TOKEN_DATE) ||
        parser->expected != 0) {
        return DATETIME_BAD_FORMAT;
    }
    parser->expected = FIELD_ISO_TIME;
    return DATETIME_OK;
}

static YIELDS enum datetime_error
abbreviation_field(struct parser *parser, const struct zone_abbreviation *found, const char *text)
{
    parser->now = BIT(FIELD_ZONE);
    if (found->zone != NULL) {
        parser->zone =
            zone_find(parser->settings->zones, slice_from_text(found->zone), &parser->arena);
        if (parser->zone == NULL) {
            return DATETIME_BAD_FORMAT;
        }
        parser->abbreviation = text;
        parser->has_zone = true;
        return DATETIME_OK;
    }
    parser->offset = found->offset;
    return DATETIME_OK;
}

static YIELDS enum datetime_error
word_field(struct parser *parser, uint32_t index, bool *is_ignored_out)
{
    const char *text = parser->fields.texts[index];
    const struct zone_abbreviation *abbreviation = zone_abbreviation_find(slice_from_text(text));
    enum field_kind kind;
    int32_t value;

    *is_ignored_out = false;
    if (abbreviation != NULL) {
        return abbreviation_field(parser, abbreviation, text);
    }
    kind = datetime_word(text, &value);
    parser->now = BIT(kind);
    switch (kind) {
    case FIELD_IGNORE:
        *is_ignored_out = true;
        return DATETIME_OK;
    case FIELD_RESERVED:
        return reserved_word(parser, (enum reserved_word)value);
    case FIELD_MONTH:
        if (parser->is_time) {
            return DATETIME_BAD_FORMAT;
        }
        /* A number before it that was taken for the month is the day. */
        if ((parser->seen & BIT(FIELD_MONTH)) != 0 && !parser->has_text_month &&
            (parser->seen & BIT(FIELD_DAY)) == 0 && parser->civil->month >= 1 &&
            parser->civil->month <= 31) {
            put_day(parser, parser->civil->month);
        }
        parser->has_text_month = true;
        parser->civil->month = value;
        return DATETIME_OK;
    case FIELD_DST_MODIFIER: /* MET DST */
        parser->now |= BIT(FIELD_DST_ZONE);
        parser->offset += value;
        return DATETIME_OK;
    case FIELD_AMPM:
        parser->half = value;
        return DATETIME_OK;
    case FIELD_ERA:
        parser->is_bc = value == ERA_BC;
        return DATETIME_OK;
    case FIELD_WEEKDAY:
        return parser->is_time ? DATETIME_BAD_FORMAT : DATETIME_OK;
    case FIELD_UNIT:
        parser->now = 0;
        if (parser->expected != 0) {
            return DATETIME_BAD_FORMAT;
        }
        parser->expected = value;
        return DATETIME_OK;
    case FIELD_ISO_TIME:
        return iso_time_letter(parser, index);
    default:
        return zone_read_name(parser, text, false);
    }
}

static YIELDS enum datetime_error
field_read(struct parser *parser, uint32_t index, bool *is_ignored_out)
{
    *is_ignored_out = false;
    switch (parser->fields.kinds[index]) {
    case TOKEN_DATE:
        return date_field(parser, index);
    case TOKEN_TIME:
        return time_field(parser, parser->fields.texts[index]);
    case TOKEN_ZONE:
        parser->now = BIT(FIELD_ZONE);
        return zone_offset_parse(parser->fields.texts[index], &parser->offset);
    case TOKEN_NUMBER:
        return number_field(parser, index);
    case TOKEN_WORD:
    case TOKEN_SPECIAL:
        break;
    }
    return word_field(parser, index, is_ignored_out);
}

static YIELDS enum datetime_error
fields_read(struct parser *parser)
{
    for (uint32_t i = 0; i < parser->fields.count; i++) {
        bool is_ignored;

        parser->now = 0;
        TRY_PARSE(field_read(parser, i, &is_ignored));
        if (is_ignored) {
            continue;
        }
        if ((parser->now & parser->seen) != 0) {
            return DATETIME_BAD_FORMAT;
        }
        parser->seen |= parser->now;
    }
    /* A time may end in a letter that announces a number, as in PostgreSQL. */
    return parser->expected != 0 && !parser->is_time ? DATETIME_BAD_FORMAT : DATETIME_OK;
}

/* ---- The whole ---- */

static enum datetime_error
year_check(struct parser *parser)
{
    struct civil *civil = parser->civil;

    if (parser->is_julian) {
        return DATETIME_OK;
    }
    if (parser->is_bc) {
        if (civil->year <= 0) {
            return DATETIME_FIELD_OVERFLOW;
        }
        civil->year = 1 - civil->year;
    } else if (parser->is_short_year) {
        if (civil->year < 0) {
            return DATETIME_FIELD_OVERFLOW;
        }
        civil->year += civil->year < JULIAN_YEAR_LOW ? 2000 : civil->year < 100 ? 1900 : 0;
    } else if (civil->year <= 0) {
        return DATETIME_FIELD_OVERFLOW;
    }
    return DATETIME_OK;
}

static enum datetime_error
date_check(struct parser *parser)
{
    struct civil *civil = parser->civil;

    if ((parser->seen & BIT(FIELD_YEAR)) != 0) {
        TRY_PARSE(year_check(parser));
    }
    if ((parser->seen & BIT(FIELD_YEAR_DAY)) != 0) {
        day_put(parser, calendar_days(civil->year, 1, 1) + parser->year_day - 1);
    }
    if (((parser->seen & BIT(FIELD_MONTH)) != 0 && (civil->month < 1 || civil->month > 12)) ||
        ((parser->seen & BIT(FIELD_DAY)) != 0 && (civil->day < 1 || civil->day > 31))) {
        return DATETIME_MONTH_DAY_OVERFLOW;
    }
    if ((parser->seen & DATE_BITS) == DATE_BITS &&
        civil->day > calendar_month_days(civil->year, civil->month)) {
        return DATETIME_FIELD_OVERFLOW;
    }
    return DATETIME_OK;
}

static enum datetime_error
half_apply(struct parser *parser)
{
    struct civil *civil = parser->civil;

    if (parser->half != HALF_NONE && civil->hour > 12) {
        return DATETIME_FIELD_OVERFLOW;
    }
    if (parser->half == HALF_AM && civil->hour == 12) {
        civil->hour = 0;
    } else if (parser->half == HALF_PM && civil->hour != 12) {
        civil->hour += 12;
    }
    return DATETIME_OK;
}

/* What is not checked (the range) is the caller's. */
static int64_t
local_moment(const struct civil *civil)
{
    return (calendar_days(civil->year, civil->month, civil->day) - CALENDAR_DAYS_1970) *
               INT64_C(86400) +
           civil->hour * INT64_C(3600) + civil->minute * 60 + civil->second;
}

static int32_t
dynamic_offset(const struct zone *zone, struct slice abbreviation, int64_t local)
{
    bool is_dst;
    int32_t offset = zone_offset_of_local(zone, local, &is_dst), meant;

    return zone_abbreviation_at(zone, abbreviation, local - offset, &meant, &is_dst) ? meant
                                                                                     : offset;
}

/* The offset, from the zone of the text or that of the session. */
static enum datetime_error
offset_settle(struct parser *parser)
{
    struct civil *civil = parser->civil;
    bool is_dst;

    if (parser->has_zone || (parser->seen & BIT(FIELD_ZONE)) == 0) {
        if ((parser->seen & BIT(FIELD_DST_MODIFIER)) != 0) {
            return DATETIME_BAD_FORMAT;
        }
        if (parser->has_zone && parser->abbreviation != NULL) {
            civil->offset = dynamic_offset(parser->zone, slice_from_text(parser->abbreviation),
                                           local_moment(civil));
        } else {
            civil->offset =
                zone_offset_of_local(parser->has_zone ? parser->zone : parser->settings->zone,
                                     local_moment(civil), &is_dst);
        }
    } else {
        civil->offset = parser->offset;
    }
    return DATETIME_OK;
}

static enum datetime_error
date_settle(struct parser *parser)
{
    TRY_PARSE(date_check(parser));
    TRY_PARSE(half_apply(parser));
    if ((parser->seen & DATE_BITS) != DATE_BITS) {
        return DATETIME_BAD_FORMAT;
    }
    return civil_is_julian(parser->civil->year, parser->civil->month) ? offset_settle(parser)
                                                                      : DATETIME_OK;
}

static void
parser_init(struct parser *parser, const struct type_settings *settings, struct civil *out)
{
    *out = (struct civil){.offset = 0};
    parser->settings = settings;
    parser->civil = out;
    parser->seen = parser->now = 0;
    parser->expected = 0;
    parser->year_day = parser->offset = 0;
    parser->half = HALF_NONE;
    parser->is_time = parser->has_text_month = parser->is_julian = false;
    parser->is_short_year = parser->is_bc = false;
    parser->special = DATETIME_FINITE;
    parser->zone = NULL;
    parser->abbreviation = NULL;
    parser->has_zone = false;
    arena_init(&parser->arena, MEM_SESSIONS);
}

enum datetime_error
datetime_parse(struct slice text, const struct type_settings *settings, struct civil *out,
               enum datetime_special *special_out)
{
    struct parser parser;
    enum datetime_error error;

    parser_init(&parser, settings, out);
    error = datetime_split(text, &parser.fields);
    error = error != DATETIME_OK ? error : fields_read(&parser);
    *special_out = parser.special;
    if (error == DATETIME_OK && parser.special == DATETIME_FINITE) {
        error = date_settle(&parser);
    }
    arena_fini(&parser.arena);
    return error;
}

/* A zone whose offset depends on the date needs one: today's when none is there. */
static enum datetime_error
time_offset_settle(struct parser *parser)
{
    struct civil *civil = parser->civil, now;

    if (parser->has_zone && parser->abbreviation == NULL) {
        if ((parser->seen & BIT(FIELD_DST_MODIFIER)) != 0) {
            return DATETIME_BAD_FORMAT;
        }
        if (zone_is_fixed(parser->zone, &civil->offset)) {
            return DATETIME_OK;
        }
    } else if (parser->has_zone || (parser->seen & BIT(FIELD_ZONE)) == 0) {
        if ((parser->seen & DATE_BITS) == 0) {
            timestamptz_civil(parser->settings->now_us, parser->settings->zone, &now);
            civil->year = now.year;
            civil->month = now.month;
            civil->day = now.day;
            return offset_settle(parser);
        }
    } else {
        return offset_settle(parser);
    }
    return (parser->seen & DATE_BITS) == DATE_BITS ? offset_settle(parser) : DATETIME_BAD_FORMAT;
}

enum datetime_error
time_parse(struct slice text, const struct type_settings *settings, struct civil *out)
{
    struct parser parser;
    enum datetime_error error;

    parser_init(&parser, settings, out);
    parser.is_time = true;
    error = datetime_split(text, &parser.fields);
    error = error != DATETIME_OK ? error : fields_read(&parser);
    error = error != DATETIME_OK ? error : date_check(&parser);
    error = error != DATETIME_OK ? error : half_apply(&parser);
    if (error == DATETIME_OK) {
        error = clock_overflows(out)                     ? DATETIME_FIELD_OVERFLOW
                : (parser.seen & TIME_BITS) != TIME_BITS ? DATETIME_BAD_FORMAT
                                                         : time_offset_settle(&parser);
    }
    arena_fini(&parser.arena);
    return error;
}

/* ---- Zones by name ---- */

err_t
zone_use_find(struct slice text, const struct type_settings *settings, struct arena *arena,
              struct zone_use *out)
{
    const struct zone_abbreviation *abbreviation = zone_abbreviation_find(text);
    char copy[ZONE_NAME_MAX + 1];

    *out = (struct zone_use){.is_fixed = false};
    if (abbreviation != NULL && abbreviation->zone == NULL) {
        out->is_fixed = true;
        out->offset = abbreviation->offset;
        return ERR_OK;
    }
    if (abbreviation != NULL) {
        out->zone = zone_find(settings->zones, slice_from_text(abbreviation->zone), arena);
        out->dynamic = text;
    } else {
        out->zone = zone_find(settings->zones, text, arena);
    }
    if (out->zone != NULL) {
        return ERR_OK;
    }
    (void)snprintf(copy, sizeof(copy), "%.*s", (int)MIN(text.size, (size_t)ZONE_NAME_MAX),
                   (const char *)text.data);
    return sql_error("22023", "time zone \"%s\" not recognized", copy);
}

int32_t
zone_use_of_local(const struct zone_use *use, int64_t local)
{
    bool is_dst;

    if (use->is_fixed) {
        return use->offset;
    }
    return use->dynamic.size > 0 ? dynamic_offset(use->zone, use->dynamic, local)
                                 : zone_offset_of_local(use->zone, local, &is_dst);
}

int32_t
zone_use_at(const struct zone_use *use, int64_t moment)
{
    struct zone_kind kind;
    int32_t offset;
    bool is_dst;

    if (use->is_fixed) {
        return use->offset;
    }
    if (use->dynamic.size > 0 &&
        zone_abbreviation_at(use->zone, use->dynamic, moment, &offset, &is_dst)) {
        return offset;
    }
    zone_at(use->zone, moment, &kind);
    return kind.offset;
}
