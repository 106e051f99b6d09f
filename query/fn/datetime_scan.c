/* query/fn/datetime_scan.c - to_date and to_timestamp: a text by a template (datetime_format.h).
 *
 * PostgreSQL 15, section 9.8 and its usage notes: without FX spaces and separators are matched
 * loosely, and characters of the template stand for any character. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "models/types/sql_error.h"
#include "query/fn/datetime_format.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

/* What has been read; 0: nothing. */
struct scanned {
    enum convention convention;
    int32_t hour, pm, minute, second, day_second, weekday, day, year_day, month, ms, year, bc, week,
        month_week, century, julian, us, zone_sign, zone_hour, zone_minute;
    int32_t year_digits;
    bool is_half_day;
};

struct scanner {
    const char *at, *start;
    const struct template *template;
    uint32_t index;
    struct scanned *out;
    bool is_fixed; /* FX */
    int32_t skipped;
};

static const char *
node_name(const struct template_node *node)
{
    return node->pattern->name;
}

/* ---- Values ---- */

static err_t
value_put(const struct template_node *node, int32_t value, int32_t *out)
{
    if (*out != 0 && *out != value) {
        (void)sql_error("22007", "conflicting values for \"%s\" field in formatting string",
                        node_name(node));
        return sql_detail("This value contradicts a previous setting for the same field type.");
    }
    *out = value;
    return ERR_OK;
}

/* May the number go on as far as its digits do? */
static bool
is_open_ended(const struct scanner *scanner)
{
    const struct template_node *node = &scanner->template->nodes[scanner->index], *next = node + 1;

    if (node->is_filled || node->has_ordinal || scanner->index + 1 == scanner->template->count) {
        return true;
    }
    if (next->kind == NODE_PATTERN) {
        return !next->pattern->is_number;
    }
    return next->text.size != 1 || !isdigit(next->text.data[0]);
}

static err_t
fixed_number(struct scanner *scanner, const struct template_node *node, int width, long *out)
{
    static const char hint[] =
        "If your source string is not fixed-width, try using the \"FM\" modifier.";
    char copy[16];
    int size = (int)strnlen(scanner->at, (size_t)width);
    char *end;

    memcpy(copy, scanner->at, (size_t)size);
    copy[size] = '\0';
    if (size < width) {
        (void)sql_error("22007", "source string too short for \"%s\" formatting field",
                        node_name(node));
        (void)sql_detail("Field requires %d characters, but only %d remain.", width, size);
        return sql_hint("%s", hint);
    }
    *out = strtol(copy, &end, 10);
    if (end > copy && end - copy < width) {
        (void)sql_error("22007", "invalid value \"%s\" for \"%s\"", copy, node_name(node));
        (void)sql_detail("Field requires %d characters, but only %d could be parsed.", width,
                         (int)(end - copy));
        return sql_hint("%s", hint);
    }
    scanner->at += end - copy;
    return ERR_OK;
}

/* out NULL: read over. *used_out: characters. */
static err_t
number_read(struct scanner *scanner, int width, int32_t *out, int32_t *used_out)
{
    const struct template_node *node = &scanner->template->nodes[scanner->index];
    const char *first;
    char shown[16];
    char *end;
    long value = 0;
    err_t err;

    while (isspace((unsigned char)*scanner->at)) {
        scanner->at++;
    }
    first = scanner->at;
    errno = 0;
    if (is_open_ended(scanner)) {
        value = strtol(scanner->at, &end, 10);
        scanner->at = end;
    } else {
        TRY(fixed_number(scanner, node, width, &value));
    }
    if (scanner->at == first) {
        (void)snprintf(shown, sizeof(shown), "%.*s", width, first);
        (void)sql_error("22007", "invalid value \"%s\" for \"%s\"", shown, node_name(node));
        return sql_detail("Value must be an integer.");
    }
    if (errno == ERANGE || value < INT32_MIN || value > INT32_MAX) {
        (void)sql_error("22008", "value for \"%s\" in source string is out of range",
                        node_name(node));
        return sql_detail("Value must be in the range %d to %d.", INT32_MIN, INT32_MAX);
    }
    if (used_out != NULL) {
        *used_out = (int32_t)(scanner->at - first);
    }
    err = out != NULL ? value_put(node, (int32_t)value, out) : ERR_OK;
    if (err == ERR_OK && node->has_ordinal) {
        scanner->at += strnlen(scanner->at, 2);
    }
out:
    return err;
}

static err_t
word_read(struct scanner *scanner, const char *const *words, uint32_t count, size_t letters,
          int32_t *index_out)
{
    const struct template_node *node = &scanner->template->nodes[scanner->index];

    for (uint32_t i = 0; i < count; i++) {
        size_t size = MIN(strlen(words[i]), letters);

        if (strncasecmp(scanner->at, words[i], size) == 0) {
            scanner->at += size;
            *index_out = (int32_t)i;
            return ERR_OK;
        }
    }
    (void)sql_error("22007", "invalid value \"%.*s\" for \"%s\"",
                    (int)strcspn(scanner->at, " \t\n\r\f"), scanner->at, node_name(node));
    return sql_detail("The given value did not match any of the allowed values for this field.");
}

/* ---- Fields ---- */

static err_t
fraction_read(struct scanner *scanner, int digits, int32_t *out)
{
    int32_t used = digits, value = *out;
    err_t err = number_read(scanner, digits, &value, &used);

    for (; err == ERR_OK && used < (digits == 3 && out == &scanner->out->ms ? 3 : 6); used++) {
        value *= 10;
    }
    *out = value;
    return err;
}

static err_t
year_read(struct scanner *scanner, int32_t digits)
{
    struct scanned *out = scanner->out;
    int32_t value = 0, used = 0;
    err_t err = number_read(scanner, digits, &value, &used);

    if (err != ERR_OK) {
        return err;
    }
    if (digits < 4 && used < 4) { /* The year next to 2020. */
        value += value < 70     ? 2000
                 : value < 100  ? 1900
                 : value < 520  ? 2000
                 : value < 1000 ? 1000
                                : 0;
    }
    out->year_digits = digits;
    return value_put(&scanner->template->nodes[scanner->index], value, &out->year);
}

static err_t
thousands_read(struct scanner *scanner)
{
    int thousands, rest, used = 0;

    if (sscanf(scanner->at, "%d,%03d%n", &thousands, &rest, &used) < 2) {
        return sql_error("22007", "invalid input string for \"Y,YYY\"");
    }
    scanner->at += used;
    scanner->out->year_digits = 4;
    if (__builtin_mul_overflow(thousands, 1000, &thousands) ||
        __builtin_add_overflow(thousands, rest, &rest)) {
        return sql_error("22008", "value for \"Y,YYY\" in source string is out of range");
    }
    return value_put(&scanner->template->nodes[scanner->index], rest, &scanner->out->year);
}

static err_t
zone_hour_read(struct scanner *scanner)
{
    struct scanned *out = scanner->out;

    /* The sign may have been taken for a separator. */
    if (*scanner->at == '+' || *scanner->at == '-' || *scanner->at == ' ') {
        out->zone_sign = *scanner->at++ == '-' ? -1 : 1;
    } else {
        out->zone_sign =
            scanner->skipped > 0 && scanner->at > scanner->start && scanner->at[-1] == '-' ? -1 : 1;
    }
    return number_read(scanner, 2, &out->zone_hour, NULL);
}

static err_t
word_field(struct scanner *scanner, const struct template_node *node)
{
    static const char *const halves[] = {"am", "pm"}, *const half_dots[] = {"a.m.", "p.m."};
    static const char *const eras[] = {"ad", "bc"}, *const era_dots[] = {"a.d.", "b.c."};
    static const char *const roman[] = {"xii", "xi", "x",  "ix",  "viii", "vii",
                                        "vi",  "v",  "iv", "iii", "ii",   "i"};
    struct scanned *out = scanner->out;
    int32_t index = 0;
    err_t err;

    switch ((enum pattern_key)node->pattern->key) {
    case KEY_AM:
    case KEY_AM_DOTS:
        TRY(word_read(scanner, node->pattern->key == KEY_AM ? halves : half_dots, 2, 4, &index));
        out->is_half_day = true;
        return value_put(node, index, &out->pm);
    case KEY_AD:
    case KEY_AD_DOTS:
        TRY(word_read(scanner, node->pattern->key == KEY_AD ? eras : era_dots, 2, 4, &index));
        return value_put(node, index, &out->bc);
    case KEY_MONTH:
    case KEY_MON:
        TRY(word_read(scanner, datetime_months, 12, node->pattern->key == KEY_MON ? 3 : 9, &index));
        return value_put(node, index + 1, &out->month);
    case KEY_RM:
        TRY(word_read(scanner, roman, 12, 4, &index));
        return value_put(node, 12 - index, &out->month);
    default: /* KEY_DAY, KEY_DY */
        TRY(word_read(scanner, datetime_weekdays, 7, node->pattern->key == KEY_DY ? 3 : 9, &index));
        return value_put(node, index + 1, &out->weekday);
    }
out:
    return err;
}

static err_t
weekday_read(struct scanner *scanner, bool is_iso)
{
    struct scanned *out = scanner->out;
    err_t err = number_read(scanner, 1, &out->weekday, NULL);

    if (err == ERR_OK && is_iso) { /* As the others count: Sunday is 1. */
        out->weekday = out->weekday >= 7 ? 1 : out->weekday + 1;
    }
    return err;
}

static err_t
field_read(struct scanner *scanner, const struct template_node *node)
{
    struct scanned *out = scanner->out;
    int width = (int)strlen(node_name(node));

    switch ((enum pattern_key)node->pattern->key) {
    case KEY_FX:
        scanner->is_fixed = true;
        return ERR_OK;
    case KEY_HH12:
        out->is_half_day = true;
        return number_read(scanner, 2, &out->hour, NULL);
    case KEY_HH24:
        return number_read(scanner, 2, &out->hour, NULL);
    case KEY_MI:
        return number_read(scanner, width, &out->minute, NULL);
    case KEY_SS:
        return number_read(scanner, width, &out->second, NULL);
    case KEY_MS:
        return fraction_read(scanner, 3, &out->ms);
    case KEY_US:
        return fraction_read(scanner, 6, &out->us);
    case KEY_FF:
        return fraction_read(scanner, node->pattern->digits, &out->us);
    case KEY_SSSS:
        return number_read(scanner, width, &out->day_second, NULL);
    case KEY_TZ:
    case KEY_OF:
        return sql_error("0A000", "formatting field \"%s\" is only supported in to_char",
                         node_name(node));
    case KEY_TZH:
        return zone_hour_read(scanner);
    case KEY_TZM:
        out->zone_sign = out->zone_sign == 0 ? 1 : out->zone_sign;
        return number_read(scanner, 2, &out->zone_minute, NULL);
    case KEY_MM:
        return number_read(scanner, width, &out->month, NULL);
    case KEY_DDD:
        return number_read(scanner, width, &out->year_day, NULL);
    case KEY_IDDD:
        return number_read(scanner, 3, &out->year_day, NULL);
    case KEY_DD:
        return number_read(scanner, width, &out->day, NULL);
    case KEY_D:
    case KEY_ID:
        return weekday_read(scanner, node->pattern->key == KEY_ID);
    case KEY_WW:
    case KEY_IW:
        return number_read(scanner, width, &out->week, NULL);
    case KEY_Q: /* A quarter says no date. */
        return number_read(scanner, width, NULL, NULL);
    case KEY_CC:
        return number_read(scanner, width, &out->century, NULL);
    case KEY_Y_YYY:
        return thousands_read(scanner);
    case KEY_YYYY:
    case KEY_IYYY:
        return year_read(scanner, 4);
    case KEY_YYY:
    case KEY_IYY:
        return year_read(scanner, 3);
    case KEY_YY:
    case KEY_IY:
        return year_read(scanner, 2);
    case KEY_Y:
    case KEY_I:
        return year_read(scanner, 1);
    case KEY_W:
        return number_read(scanner, width, &out->month_week, NULL);
    case KEY_J:
        return number_read(scanner, width, &out->julian, NULL);
    default:
        return word_field(scanner, node);
    }
}

/* ---- The text ---- */

static void
spaces_skip(struct scanner *scanner)
{
    while (isspace((unsigned char)*scanner->at)) {
        scanner->at++;
        scanner->skipped++;
    }
}

static void
character_skip(struct scanner *scanner)
{
    scanner->at++;
    while ((*scanner->at & 0xc0) == 0x80) {
        scanner->at++;
    }
}

static void
filler_match(struct scanner *scanner, const struct template_node *node)
{
    if (scanner->is_fixed) {
        character_skip(scanner);
    } else if (node->kind == NODE_CHARACTER) {
        if (scanner->skipped > 0) {
            scanner->skipped--;
        } else {
            character_skip(scanner);
        }
    } else {
        scanner->skipped--;
        if (isspace((unsigned char)*scanner->at) || template_is_separator((uint8_t)*scanner->at)) {
            scanner->at++;
            scanner->skipped++;
        }
    }
}

static err_t
convention_check(struct scanned *out, const struct pattern *pattern)
{
    if (pattern->convention == CONVENTION_NONE) {
        return ERR_OK;
    }
    if (out->convention != CONVENTION_NONE && out->convention != pattern->convention) {
        (void)sql_error("22007", "invalid combination of date conventions");
        return sql_hint("Do not mix Gregorian and ISO week date conventions in a formatting "
                        "template.");
    }
    out->convention = (enum convention)pattern->convention;
    return ERR_OK;
}

static err_t
text_scan(struct scanner *scanner)
{
    err_t err = ERR_OK;

    for (; err == ERR_OK && scanner->index < scanner->template->count && *scanner->at != '\0';
         scanner->index++) {
        const struct template_node *node = &scanner->template->nodes[scanner->index];
        bool is_field = node->kind == NODE_PATTERN;

        if (!scanner->is_fixed && !(is_field && node->pattern->key == KEY_FX) &&
            (is_field || scanner->index == 0)) {
            spaces_skip(scanner);
        }
        if (!is_field) {
            filler_match(scanner, node);
            continue;
        }
        TRY(convention_check(scanner->out, node->pattern));
        err = field_read(scanner, node);
        if (!scanner->is_fixed) {
            scanner->skipped = 0;
            spaces_skip(scanner);
        }
    }
out:
    return err;
}

/* ---- What it says ---- */

static err_t
clock_settle(const struct scanned *in, struct civil *out)
{
    out->hour = in->hour != 0 ? in->hour : in->day_second / 3600;
    out->minute = in->minute != 0 ? in->minute : in->day_second % 3600 / 60;
    out->second = in->second != 0 ? in->second : in->day_second % 60;
    out->us = in->ms * 1000 + in->us;
    if (!in->is_half_day) {
        return ERR_OK;
    }
    if (out->hour < 1 || out->hour > 12) {
        (void)sql_error("22007", "hour \"%d\" is invalid for the 12-hour clock", out->hour);
        return sql_hint("Use the 24-hour clock, or give an hour between 1 and 12.");
    }
    out->hour = in->pm != 0 && out->hour < 12    ? out->hour + 12
                : in->pm == 0 && out->hour == 12 ? 0
                                                 : out->hour;
    return ERR_OK;
}

/* The 21st century is 2001 to 2100, the 6th before Christ 600 to 501 BC. */
static bool
year_settle(const struct scanned *in, int32_t *year_out)
{
    int64_t century = in->bc != 0 ? -(int64_t)in->century : in->century, year = 0;

    if (in->year != 0 && in->century != 0 && in->year_digits <= 2) {
        year = in->year % 100;
        year = year == 0      ? century * 100 + (century < 0)
               : century >= 0 ? year + (century - 1) * 100
                              : (century + 1) * 100 - year + 1;
    } else if (in->year != 0) {
        year = in->bc != 0 ? -(int64_t)in->year : in->year;
        year += year < 0;
    } else if (in->century != 0) {
        year = century >= 0 ? (century - 1) * 100 + 1 : century * 100 + 1;
    } else {
        return false;
    }
    *year_out = (int32_t)MAX(MIN(year, (int64_t)INT32_MAX / 2), (int64_t)INT32_MIN / 2);
    return true;
}

static void
days_put(int64_t days, struct civil *out, bool has[3])
{
    calendar_civil(days, &out->year, &out->month, &out->day);
    has[0] = has[1] = has[2] = true;
}

static err_t
date_settle(struct scanned *in, struct civil *out, bool has[3])
{
    bool is_iso = in->convention == CONVENTION_ISO;

    *out = (struct civil){.month = 1, .day = 1};
    has[0] = year_settle(in, &out->year);
    if (in->julian != 0) {
        days_put((int64_t)in->julian - CALENDAR_JULIAN_2000, out, has);
    }
    if (in->week != 0 && is_iso) {
        int64_t weekday = in->weekday > 1 ? in->weekday - 2 : in->weekday == 1 ? 6 : 0;

        days_put(calendar_iso_days(out->year, in->week) + weekday, out, has);
    } else if (in->week != 0) {
        in->year_day = (int32_t)MIN((in->week - INT64_C(1)) * 7 + 1, (int64_t)INT32_MAX);
    }
    if (in->month_week != 0) {
        in->day = (int32_t)MIN((in->month_week - INT64_C(1)) * 7 + 1, (int64_t)INT32_MAX);
    }
    if (in->day != 0) {
        out->day = in->day;
        has[2] = true;
    }
    if (in->month != 0) {
        out->month = in->month;
        has[1] = true;
    }
    if (in->year_day != 0 && (out->month <= 1 || out->day <= 1)) {
        if (out->year == 0 && in->bc == 0) {
            return sql_error("22007", "cannot calculate day of year without year information");
        }
        if (!is_iso && in->year_day > calendar_month_days(out->year, 2) + 337) {
            out->month = MONTHS_PER_YEAR + 1; /* The check refuses it. */
            has[1] = true;
            return ERR_OK;
        }
        days_put((is_iso ? calendar_iso_days(out->year, 1) : calendar_days(out->year, 1, 1)) +
                     in->year_day - 1,
                 out, has);
    }
    return ERR_OK;
}

static bool
is_good(const struct civil *civil, const bool has[3])
{
    if ((has[1] && (civil->month < 1 || civil->month > 12)) ||
        (has[2] && (civil->day < 1 || civil->day > 31)) ||
        (has[0] && has[1] && has[2] &&
         civil->day > calendar_month_days(civil->year, civil->month))) {
        return false;
    }
    return civil->hour >= 0 && civil->hour < 24 && civil->minute >= 0 && civil->minute < 60 &&
           civil->second >= 0 && civil->second < 60 && civil->us >= 0 && civil->us < US_SECOND;
}

static err_t
scan(struct call *call, const struct datum *args, struct scanned *in, struct civil *out)
{
    const char *text = arena_printf(call->arena, "%.*s", (int)args[0].bytes.size,
                                    (const char *)args[0].bytes.data);
    struct template template;
    struct scanner scanner = {.at = text, .start = text, .template = &template, .out = in};
    bool has[3] = {false, false, false};
    struct civil clock = {0};
    err_t err;

    *in = (struct scanned){.convention = CONVENTION_NONE};
    template_read(args[1].bytes, call->arena, &template);
    if (template.nodes == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    TRY(text_scan(&scanner));
    TRY(clock_settle(in, &clock));
    TRY(date_settle(in, out, has));
    out->hour = clock.hour;
    out->minute = clock.minute;
    out->second = clock.second;
    out->us = clock.us;
    if (!is_good(out, has)) {
        err = datetime_error(DATETIME_FIELD_OVERFLOW, args[0].bytes, "timestamp");
    } else if (in->zone_sign != 0 && (in->zone_hour < 0 || in->zone_hour > ZONE_HOURS_MAX ||
                                      in->zone_minute < 0 || in->zone_minute > 59)) {
        err = datetime_error(DATETIME_ZONE_OVERFLOW, args[0].bytes, "timestamp");
    }
out:
    return err;
}

static DATETIME_RUN(to_date)
{
    struct scanned scanned;
    struct civil civil;
    err_t err = scan(call, args, &scanned, &civil);

    if (err != ERR_OK) {
        return err;
    }
    out->i = civil_is_julian(civil.year, civil.month)
                 ? calendar_days(civil.year, civil.month, civil.day)
                 : DATE_END;
    return date_is_valid(out->i)
               ? ERR_OK
               : sql_error("22008", "date out of range: \"%.*s\"", (int)args[0].bytes.size,
                           (const char *)args[0].bytes.data);
}

static DATETIME_RUN(to_timestamp)
{
    struct scanned scanned;
    struct civil civil;
    int64_t local;
    err_t err = scan(call, args, &scanned, &civil);

    if (err != ERR_OK) {
        return err;
    }
    if (!timestamp_from_civil(&civil, &local)) {
        return timestamp_out_of_range();
    }
    if (scanned.zone_sign == 0) {
        return timestamptz_from_timestamp(local, call->settings->zone, &out->i);
    }
    out->i =
        local - scanned.zone_sign * (scanned.zone_hour * US_HOUR + scanned.zone_minute * US_MINUTE);
    return timestamp_is_valid(out->i) ? ERR_OK : timestamp_out_of_range();
}

#define FN(fname, type, code)                                                                      \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (type), .args = {OID_TEXT, OID_TEXT}, .arg_count = 2,       \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    FN("to_date", OID_DATE, to_date),
    FN("to_timestamp", OID_TIMESTAMPTZ, to_timestamp),
};

const struct function_part fn_part_datetime_scan = {rows, sizeof(rows) / sizeof(rows[0])};
