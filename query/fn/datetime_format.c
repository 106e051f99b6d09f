/* query/fn/datetime_format.c - reading templates, and to_char of moments and intervals.
 *
 * PostgreSQL 15, section 9.8, tables 9.27 and 9.28. */
#include "query/fn/datetime_format.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/types/sql_error.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

/* ---- Templates ---- */

#define NUMBER(name, key, convention)                                                              \
    {                                                                                              \
        name, key, LETTERS_UPPER, 0, convention, true                                              \
    }
#define WORD(name, key, letters)                                                                   \
    {                                                                                              \
        name, key, letters, 0, CONVENTION_NONE, false                                              \
    }
#define GREGORIAN(name, key, letters)                                                              \
    {                                                                                              \
        name, key, letters, 0, CONVENTION_GREGORIAN, false                                         \
    }
#define FRACTION(name, digits)                                                                     \
    {                                                                                              \
        name, KEY_FF, LETTERS_UPPER, digits, CONVENTION_NONE, true                                 \
    }

/* In capitals; longer ones before those they begin with. Small letters mean the same, but words
 * come out in small letters then. */
static const struct pattern patterns[] = {
    WORD("A.D.", KEY_AD_DOTS, 0),
    WORD("A.M.", KEY_AM_DOTS, 0),
    WORD("AD", KEY_AD, 0),
    WORD("AM", KEY_AM, 0),
    WORD("B.C.", KEY_AD_DOTS, 0),
    WORD("BC", KEY_AD, 0),
    NUMBER("CC", KEY_CC, CONVENTION_NONE),
    WORD("DAY", KEY_DAY, 0),
    NUMBER("DDD", KEY_DDD, CONVENTION_GREGORIAN),
    NUMBER("DD", KEY_DD, CONVENTION_GREGORIAN),
    WORD("DY", KEY_DY, 0),
    NUMBER("D", KEY_D, CONVENTION_GREGORIAN),
    FRACTION("FF1", 1),
    FRACTION("FF2", 2),
    FRACTION("FF3", 3),
    FRACTION("FF4", 4),
    FRACTION("FF5", 5),
    FRACTION("FF6", 6),
    WORD("FX", KEY_FX, 0),
    NUMBER("HH24", KEY_HH24, CONVENTION_NONE),
    NUMBER("HH12", KEY_HH12, CONVENTION_NONE),
    NUMBER("HH", KEY_HH12, CONVENTION_NONE),
    NUMBER("IDDD", KEY_IDDD, CONVENTION_ISO),
    NUMBER("ID", KEY_ID, CONVENTION_ISO),
    NUMBER("IW", KEY_IW, CONVENTION_ISO),
    NUMBER("IYYY", KEY_IYYY, CONVENTION_ISO),
    NUMBER("IYY", KEY_IYY, CONVENTION_ISO),
    NUMBER("IY", KEY_IY, CONVENTION_ISO),
    NUMBER("I", KEY_I, CONVENTION_ISO),
    NUMBER("J", KEY_J, CONVENTION_NONE),
    NUMBER("MI", KEY_MI, CONVENTION_NONE),
    NUMBER("MM", KEY_MM, CONVENTION_GREGORIAN),
    GREGORIAN("MONTH", KEY_MONTH, 0),
    GREGORIAN("MON", KEY_MON, 0),
    NUMBER("MS", KEY_MS, CONVENTION_NONE),
    WORD("OF", KEY_OF, 0),
    WORD("P.M.", KEY_AM_DOTS, 0),
    WORD("PM", KEY_AM, 0),
    NUMBER("Q", KEY_Q, CONVENTION_NONE),
    GREGORIAN("RM", KEY_RM, 0),
    NUMBER("SSSSS", KEY_SSSS, CONVENTION_NONE),
    NUMBER("SSSS", KEY_SSSS, CONVENTION_NONE),
    NUMBER("SS", KEY_SS, CONVENTION_NONE),
    WORD("TZH", KEY_TZH, 0),
    NUMBER("TZM", KEY_TZM, CONVENTION_NONE),
    WORD("TZ", KEY_TZ, 0),
    NUMBER("US", KEY_US, CONVENTION_NONE),
    NUMBER("WW", KEY_WW, CONVENTION_GREGORIAN),
    NUMBER("W", KEY_W, CONVENTION_GREGORIAN),
    NUMBER("Y,YYY", KEY_Y_YYY, CONVENTION_GREGORIAN),
    NUMBER("YYYY", KEY_YYYY, CONVENTION_GREGORIAN),
    NUMBER("YYY", KEY_YYY, CONVENTION_GREGORIAN),
    NUMBER("YY", KEY_YY, CONVENTION_GREGORIAN),
    NUMBER("Y", KEY_Y, CONVENTION_GREGORIAN),
    {"day", KEY_DAY, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"dy", KEY_DY, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"month", KEY_MONTH, LETTERS_LOWER, 0, CONVENTION_GREGORIAN, false},
    {"mon", KEY_MON, LETTERS_LOWER, 0, CONVENTION_GREGORIAN, false},
    {"rm", KEY_RM, LETTERS_LOWER, 0, CONVENTION_GREGORIAN, false},
    {"a.d.", KEY_AD_DOTS, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"a.m.", KEY_AM_DOTS, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"ad", KEY_AD, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"am", KEY_AM, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"b.c.", KEY_AD_DOTS, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"bc", KEY_AD, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"p.m.", KEY_AM_DOTS, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"pm", KEY_AM, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"tzh", KEY_TZH, LETTERS_UPPER, 0, CONVENTION_NONE, false},
    {"tzm", KEY_TZM, LETTERS_UPPER, 0, CONVENTION_NONE, true},
    {"tz", KEY_TZ, LETTERS_LOWER, 0, CONVENTION_NONE, false},
    {"Day", KEY_DAY, LETTERS_CAPITAL, 0, CONVENTION_NONE, false},
    {"Dy", KEY_DY, LETTERS_CAPITAL, 0, CONVENTION_NONE, false},
    {"Month", KEY_MONTH, LETTERS_CAPITAL, 0, CONVENTION_GREGORIAN, false},
    {"Mon", KEY_MON, LETTERS_CAPITAL, 0, CONVENTION_GREGORIAN, false},
};
enum { PATTERN_COUNT = sizeof(patterns) / sizeof(patterns[0]), YEAR_DIGITS = 4 };

bool
template_is_separator(uint8_t c)
{
    return c > 0x20 && c < 0x7f && !isalnum(c);
}

static bool
starts_with(struct slice text, const char *word)
{
    return slice_starts_with(text, slice_from_text(word));
}

/* Numbers are also written in small letters. */
static bool
starts_with_lower(struct slice text, const char *word)
{
    size_t size = strlen(word);

    for (size_t i = 0; i < size; i++) {
        if (i >= text.size || text.data[i] != tolower((unsigned char)word[i])) {
            return false;
        }
    }
    return true;
}

static const struct pattern *
pattern_find(struct slice text)
{
    const struct pattern *best = NULL;

    for (uint32_t i = 0; i < PATTERN_COUNT; i++) {
        const struct pattern *pattern = &patterns[i];
        bool may_be_lower = pattern->is_number || pattern->key == KEY_OF || pattern->key == KEY_FX;

        if ((starts_with(text, pattern->name) ||
             (may_be_lower && starts_with_lower(text, pattern->name))) &&
            (best == NULL || strlen(pattern->name) > strlen(best->name))) {
            best = pattern;
        }
    }
    return best;
}

static struct slice
slice_after(struct slice text, size_t bytes)
{
    return slice_of(text.data + bytes, text.size - bytes);
}

/* A character, whole also when it has several bytes. */
static struct slice
character_take(struct slice *text)
{
    size_t size = 1;
    struct slice taken;

    while (size < text->size && (text->data[size] & 0xc0) == 0x80) {
        size++;
    }
    taken = slice_of(text->data, size);
    *text = slice_after(*text, size);
    return taken;
}

static void
character_put(struct template *template, struct slice character, bool is_quoted)
{
    struct template_node *node = &template->nodes[template->count++];
    uint8_t c = character.data[0];

    *node = (struct template_node){
        .kind = is_quoted                  ? NODE_CHARACTER
                : template_is_separator(c) ? NODE_SEPARATOR
                : isspace(c)               ? NODE_SPACE
                                           : NODE_CHARACTER,
        .text = character,
    };
}

static struct slice
prefixes_take(struct slice text, struct template_node *node)
{
    *node = (struct template_node){.kind = NODE_PATTERN};
    for (;;) {
        if (starts_with(text, "FM") || starts_with(text, "fm")) {
            node->is_filled = true;
        } else if (starts_with(text, "TM") || starts_with(text, "tm")) {
            node->is_translated = true;
        } else {
            return text;
        }
        text = slice_after(text, 2);
    }
}

static struct slice
quoted_take(struct template *template, struct slice text)
{
    text = slice_after(text, 1);
    while (text.size > 0 && text.data[0] != '"') {
        if (text.data[0] == '\\' && text.size > 1) {
            text = slice_after(text, 1);
        }
        character_put(template, character_take(&text), true);
    }
    return text.size > 0 ? slice_after(text, 1) : text;
}

void
template_read(struct slice format, struct arena *arena, struct template *out)
{
    *out = (struct template){.nodes = arena_alloc(arena, (format.size + 1) * sizeof(*out->nodes))};
    while (format.size > 0 && out->nodes != NULL) {
        struct template_node node;
        struct slice rest = prefixes_take(format, &node);

        node.pattern = pattern_find(rest);
        if (node.pattern != NULL) {
            rest = slice_after(rest, strlen(node.pattern->name));
            if (starts_with(rest, "TH") || starts_with(rest, "th")) {
                node.has_ordinal = true;
                node.is_ordinal_lower = rest.data[0] == 't';
                rest = slice_after(rest, 2);
            }
            out->nodes[out->count++] = node;
            format = rest;
        } else if (rest.size == 0 || rest.data != format.data) {
            format = rest; /* A prefix alone says nothing. */
        } else if (format.data[0] == '"') {
            format = quoted_take(out, format);
        } else {
            if (format.data[0] == '\\' && format.size > 1 && format.data[1] == '"') {
                format = slice_after(format, 1);
            }
            character_put(out, character_take(&format), false);
        }
    }
}

/* ---- to_char ---- */

struct showing {
    struct civil civil; /* Of an interval: its parts. */
    int64_t hour;
    int64_t days; /* Since 2000, of a moment; */
    int32_t year_day;
    bool is_interval, has_zone;
    struct buf *out;
};

static void
ordinal_put(const struct template_node *node, int64_t value, struct buf *out)
{
    static const char *const upper[] = {"TH", "ST", "ND", "RD"};
    static const char *const lower[] = {"th", "st", "nd", "rd"};
    int64_t last = llabs(value) % 10, tens = llabs(value) / 10 % 10;
    uint32_t which = tens != 1 && last >= 1 && last <= 3 ? (uint32_t)last : 0;

    if (node->has_ordinal) {
        buf_printf(out, "%s", (node->is_ordinal_lower ? lower : upper)[which]);
    }
}

static void
number_put(const struct showing *showing, const struct template_node *node, int64_t value,
           int width)
{
    buf_printf(showing->out, "%0*lld",
               node->is_filled ? 0
               : value >= 0    ? width
                               : width + 1,
               (long long)value);
    ordinal_put(node, value, showing->out);
}

static void
word_put(const struct showing *showing, const struct template_node *node, const char *word,
         size_t letters, size_t width)
{
    size_t size = MIN(strlen(word), letters);

    for (size_t i = 0; i < size; i++) {
        bool is_upper = node->pattern->letters == LETTERS_UPPER ||
                        (node->pattern->letters == LETTERS_CAPITAL && i == 0);

        buf_append_byte(showing->out, (uint8_t)(is_upper ? toupper((unsigned char)word[i])
                                                         : tolower((unsigned char)word[i])));
    }
    for (size_t i = size; i < width && !node->is_filled && !node->is_translated; i++) {
        buf_append_byte(showing->out, ' ');
    }
}

static int64_t
shown_year(const struct showing *showing, int32_t year)
{
    return showing->is_interval || year > 0 ? year : 1 - (int64_t)year;
}

static int64_t
iso_year(const struct showing *showing)
{
    int32_t year, week;

    if (showing->is_interval) {
        return showing->civil.year;
    }
    calendar_iso_week(showing->days, &year, &week);
    return shown_year(showing, year);
}

static int64_t
iso_week(const struct showing *showing)
{
    int32_t year, week;

    calendar_iso_week(showing->days, &year, &week);
    return week;
}

static int64_t
iso_year_day(const struct showing *showing)
{
    int32_t year, week;

    calendar_iso_week(showing->days, &year, &week);
    return showing->days - calendar_iso_days(year, 1) + 1;
}

static void
century_put(const struct showing *showing, const struct template_node *node)
{
    int32_t year = showing->civil.year;
    int64_t century = showing->is_interval ? year / 100
                      : year > 0           ? (year - 1) / 100 + 1
                                           : year / 100 - 1;

    number_put(showing, node, century, century <= 99 && century >= -99 ? 2 : 0);
}

static void
roman_put(const struct showing *showing, const struct template_node *node)
{
    static const char *const roman[] = {"I",   "II",   "III", "IV", "V",  "VI",
                                        "VII", "VIII", "IX",  "X",  "XI", "XII"};
    int32_t month = showing->civil.month;

    if (month == 0 && showing->civil.year == 0) {
        return;
    }
    month = month == 0 ? (showing->civil.year >= 0 ? 12 : 1) : month < 0 ? 13 + month : month;
    word_put(showing, node, roman[month - 1], 4, 4);
}

static void
year_put(const struct showing *showing, const struct template_node *node)
{
    int64_t year = shown_year(showing, showing->civil.year);

    switch ((enum pattern_key)node->pattern->key) {
    case KEY_Y_YYY:
        buf_printf(showing->out, "%lld,%03lld", (long long)(year / 1000), (long long)(year % 1000));
        ordinal_put(node, year, showing->out);
        return;
    case KEY_IYYY:
        number_put(showing, node, iso_year(showing), YEAR_DIGITS);
        return;
    case KEY_IYY:
        number_put(showing, node, iso_year(showing) % 1000, 3);
        return;
    case KEY_IY:
        number_put(showing, node, iso_year(showing) % 100, 2);
        return;
    case KEY_I:
        number_put(showing, node, iso_year(showing) % 10, 1);
        return;
    case KEY_YYY:
        number_put(showing, node, year % 1000, 3);
        return;
    case KEY_YY:
        number_put(showing, node, year % 100, 2);
        return;
    case KEY_Y:
        number_put(showing, node, year % 10, 1);
        return;
    default:
        number_put(showing, node, year, YEAR_DIGITS);
        return;
    }
}

static void
offset_put(const struct showing *showing, const struct template_node *node)
{
    int32_t offset = showing->civil.offset, size = abs(offset);

    switch ((enum pattern_key)node->pattern->key) {
    case KEY_TZH:
        buf_printf(showing->out, "%c%02d", offset < 0 ? '-' : '+', size / 3600);
        return;
    case KEY_TZM:
        buf_printf(showing->out, "%02d", size / 60 % 60);
        return;
    default:
        break;
    }
    buf_printf(showing->out, "%c%0*d", offset < 0 ? '-' : '+', node->is_filled ? 0 : 2,
               size / 3600);
    if (size % 3600 != 0) {
        buf_printf(showing->out, ":%02d", size / 60 % 60);
    }
    if (size % 60 != 0) {
        buf_printf(showing->out, ":%02d", size % 60);
    }
}

static void
clock_put(const struct showing *showing, const struct template_node *node)
{
    static const int32_t scales[] = {100000, 10000, 1000, 100, 10, 1};
    const struct civil *civil = &showing->civil;
    int64_t hour = showing->hour;

    switch ((enum pattern_key)node->pattern->key) {
    case KEY_AM:
    case KEY_AM_DOTS:
        word_put(showing, node,
                 node->pattern->key == KEY_AM ? (hour % 24 >= 12 ? "pm" : "am")
                                              : (hour % 24 >= 12 ? "p.m." : "a.m."),
                 4, 0);
        return;
    case KEY_HH12:
        number_put(showing, node, hour % 12 == 0 ? 12 : hour % 12, 2);
        return;
    case KEY_HH24:
        number_put(showing, node, hour, 2);
        return;
    case KEY_MI:
        number_put(showing, node, civil->minute, 2);
        return;
    case KEY_SS:
        number_put(showing, node, civil->second, 2);
        return;
    case KEY_MS:
        buf_printf(showing->out, "%03d", civil->us / 1000);
        ordinal_put(node, civil->us / 1000, showing->out);
        return;
    case KEY_US:
        buf_printf(showing->out, "%06d", civil->us);
        ordinal_put(node, civil->us, showing->out);
        return;
    case KEY_FF:
        buf_printf(showing->out, "%0*d", node->pattern->digits,
                   civil->us / scales[node->pattern->digits - 1]);
        ordinal_put(node, civil->us / scales[node->pattern->digits - 1], showing->out);
        return;
    default:
        hour = hour * 3600 + civil->minute * 60 + civil->second;
        buf_printf(showing->out, "%lld", (long long)hour);
        ordinal_put(node, hour, showing->out);
        return;
    }
}

static void
day_put(const struct showing *showing, const struct template_node *node)
{
    const struct civil *civil = &showing->civil;
    int32_t weekday = showing->is_interval ? 0 : calendar_weekday(showing->days);

    switch ((enum pattern_key)node->pattern->key) {
    case KEY_AD:
        word_put(showing, node, civil->year <= 0 ? "bc" : "ad", 2, 0);
        return;
    case KEY_AD_DOTS:
        word_put(showing, node, civil->year <= 0 ? "b.c." : "a.d.", 4, 0);
        return;
    case KEY_MONTH:
    case KEY_MON:
        if (civil->month != 0) {
            bool is_long = node->pattern->key == KEY_MONTH;

            word_put(showing, node, datetime_months[civil->month - 1], is_long ? 9 : 3,
                     is_long ? 9 : 0);
        }
        return;
    case KEY_MM:
        number_put(showing, node, civil->month, 2);
        return;
    case KEY_DAY:
        word_put(showing, node, datetime_weekdays[weekday], 9, 9);
        return;
    case KEY_DY:
        word_put(showing, node, datetime_weekdays[weekday], 3, 0);
        return;
    case KEY_DDD:
        number_put(showing, node, showing->year_day, 3);
        return;
    case KEY_IDDD:
        number_put(showing, node, iso_year_day(showing), 3);
        return;
    case KEY_DD:
        number_put(showing, node, civil->day, 2);
        return;
    case KEY_D:
        number_put(showing, node, weekday + 1, 0);
        return;
    case KEY_ID:
        number_put(showing, node, (weekday + 6) % 7 + 1, 0);
        return;
    case KEY_WW:
        number_put(showing, node, (showing->year_day - 1) / 7 + 1, 2);
        return;
    case KEY_IW:
        number_put(showing, node, iso_week(showing), 2);
        return;
    case KEY_W:
        number_put(showing, node, (civil->day - 1) / 7 + 1, 0);
        return;
    case KEY_Q:
        if (civil->month != 0) {
            number_put(showing, node, (civil->month - 1) / 3 + 1, 0);
        }
        return;
    case KEY_J:
        number_put(showing, node, showing->days + CALENDAR_JULIAN_2000, 0);
        return;
    case KEY_CC:
        century_put(showing, node);
        return;
    case KEY_RM:
        roman_put(showing, node);
        return;
    case KEY_TZ:
        if (showing->has_zone) {
            word_put(showing, node, civil->abbreviation, ZONE_ABBREVIATION_MAX, 0);
        }
        return;
    case KEY_TZH:
    case KEY_TZM:
    case KEY_OF:
        offset_put(showing, node);
        return;
    default:
        year_put(showing, node);
        return;
    }
}

static bool
is_clock_key(enum pattern_key key)
{
    return key == KEY_AM || key == KEY_AM_DOTS || key == KEY_HH12 || key == KEY_HH24 ||
           key == KEY_MI || key == KEY_SS || key == KEY_MS || key == KEY_US || key == KEY_FF ||
           key == KEY_SSSS;
}

/* What says something of the calendar only. */
static bool
needs_calendar(enum pattern_key key)
{
    switch (key) {
    case KEY_AD:
    case KEY_AD_DOTS:
    case KEY_MONTH:
    case KEY_MON:
    case KEY_DAY:
    case KEY_DY:
    case KEY_IDDD:
    case KEY_D:
    case KEY_ID:
    case KEY_IW:
    case KEY_IYYY:
    case KEY_IYY:
    case KEY_IY:
    case KEY_I:
    case KEY_TZ:
    case KEY_TZH:
    case KEY_TZM:
    case KEY_OF:
        return true;
    default:
        return false;
    }
}

static err_t
template_show(struct call *call, struct slice format, struct showing *showing, struct datum *out)
{
    struct template template;
    struct buf text;
    err_t err = ERR_OK;

    template_read(format, call->arena, &template);
    if (template.nodes == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    buf_init(&text, MEM_SESSIONS);
    showing->out = &text;
    for (uint32_t i = 0; err == ERR_OK && i < template.count; i++) {
        const struct template_node *node = &template.nodes[i];
        enum pattern_key key =
            node->kind == NODE_PATTERN ? (enum pattern_key)node->pattern->key : KEY_FX;

        if (node->kind != NODE_PATTERN) {
            buf_append(&text, node->text.data, node->text.size);
        } else if (showing->is_interval && needs_calendar(key)) {
            (void)sql_error("22007", "invalid format specification for an interval value");
            err = sql_hint("Intervals are not tied to specific calendar dates.");
        } else if (is_clock_key(key)) {
            clock_put(showing, node);
        } else if (key != KEY_FX) {
            day_put(showing, node);
        }
    }
    out->bytes = arena_copy(call->arena, buf_slice(&text));
    buf_fini(&text);
    return err;
}

static DATETIME_RUN(moment_to_char)
{
    struct showing showing = {.has_zone = call->expr->args[0]->type->oid == OID_TIMESTAMPTZ};
    struct civil *civil = &showing.civil;

    call->is_null = args[1].bytes.size == 0 || !timestamp_is_finite(args[0].i);
    if (call->is_null) {
        return ERR_OK;
    }
    if (showing.has_zone) {
        timestamptz_civil(args[0].i, call->settings->zone, civil);
    } else {
        timestamp_civil(args[0].i, civil);
    }
    showing.hour = civil->hour;
    showing.days = calendar_days(civil->year, civil->month, civil->day);
    showing.year_day = (int32_t)(showing.days - calendar_days(civil->year, 1, 1)) + 1;
    return template_show(call, args[1].bytes, &showing, out);
}

static DATETIME_RUN(interval_to_char)
{
    struct showing showing = {.is_interval = true};
    struct interval_parts parts;

    call->is_null = args[1].bytes.size == 0;
    if (call->is_null) {
        return ERR_OK;
    }
    interval_parts(&args[0].interval, &parts);
    showing.civil = (struct civil){.year = parts.year,
                                   .month = parts.month,
                                   .day = parts.day,
                                   .minute = parts.minute,
                                   .second = parts.second,
                                   .us = parts.us};
    showing.hour = parts.hour;
    showing.year_day = (int32_t)(args[0].interval.months * INT64_C(30) + parts.day);
    showing.days = showing.year_day;
    return template_show(call, args[1].bytes, &showing, out);
}

#define FN(fname, type, code)                                                                      \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = OID_TEXT, .args = {(type), OID_TEXT}, .arg_count = 2,       \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    FN("to_char", OID_TIMESTAMP, moment_to_char),
    FN("to_char", OID_TIMESTAMPTZ, moment_to_char),
    FN("to_char", OID_INTERVAL, interval_to_char),
};

const struct function_part fn_part_datetime_format = {rows, sizeof(rows) / sizeof(rows[0])};
