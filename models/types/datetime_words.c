/* models/types/datetime_words.c - words, numbers and fields of dates and times. */
#include "models/types/datetime_words.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

struct word {
    const char *name;
    uint8_t kind;
    int16_t value;
};

/* Sorted; the names are cut to DATETIME_WORD_MAX. */
static const struct word words[] = {
    {"+infinity", FIELD_RESERVED, WORD_LATE},
    {"-infinity", FIELD_RESERVED, WORD_EARLY},
    {"ad", FIELD_ERA, ERA_AD},
    {"allballs", FIELD_RESERVED, WORD_ALLBALLS},
    {"am", FIELD_AMPM, HALF_AM},
    {"apr", FIELD_MONTH, 4},
    {"april", FIELD_MONTH, 4},
    {"at", FIELD_IGNORE, 0},
    {"aug", FIELD_MONTH, 8},
    {"august", FIELD_MONTH, 8},
    {"bc", FIELD_ERA, ERA_BC},
    {"d", FIELD_UNIT, FIELD_DAY},
    {"dec", FIELD_MONTH, 12},
    {"december", FIELD_MONTH, 12},
    {"dow", FIELD_UNIT, FIELD_WEEKDAY},
    {"doy", FIELD_UNIT, FIELD_YEAR_DAY},
    {"dst", FIELD_DST_MODIFIER, 3600},
    {"epoch", FIELD_RESERVED, WORD_EPOCH},
    {"feb", FIELD_MONTH, 2},
    {"february", FIELD_MONTH, 2},
    {"fri", FIELD_WEEKDAY, 5},
    {"friday", FIELD_WEEKDAY, 5},
    {"h", FIELD_UNIT, FIELD_HOUR},
    {"infinity", FIELD_RESERVED, WORD_LATE},
    {"isodow", FIELD_UNIT, FIELD_ISO_WEEKDAY},
    {"isoyear", FIELD_UNIT, FIELD_ISO_YEAR},
    {"j", FIELD_UNIT, FIELD_JULIAN},
    {"jan", FIELD_MONTH, 1},
    {"january", FIELD_MONTH, 1},
    {"jd", FIELD_UNIT, FIELD_JULIAN},
    {"jul", FIELD_MONTH, 7},
    {"julian", FIELD_UNIT, FIELD_JULIAN},
    {"july", FIELD_MONTH, 7},
    {"jun", FIELD_MONTH, 6},
    {"june", FIELD_MONTH, 6},
    {"m", FIELD_UNIT, FIELD_MONTH},
    {"mar", FIELD_MONTH, 3},
    {"march", FIELD_MONTH, 3},
    {"may", FIELD_MONTH, 5},
    {"mm", FIELD_UNIT, FIELD_MINUTE},
    {"mon", FIELD_WEEKDAY, 1},
    {"monday", FIELD_WEEKDAY, 1},
    {"nov", FIELD_MONTH, 11},
    {"november", FIELD_MONTH, 11},
    {"now", FIELD_RESERVED, WORD_NOW},
    {"oct", FIELD_MONTH, 10},
    {"october", FIELD_MONTH, 10},
    {"on", FIELD_IGNORE, 0},
    {"pm", FIELD_AMPM, HALF_PM},
    {"s", FIELD_UNIT, FIELD_SECOND},
    {"sat", FIELD_WEEKDAY, 6},
    {"saturday", FIELD_WEEKDAY, 6},
    {"sep", FIELD_MONTH, 9},
    {"sept", FIELD_MONTH, 9},
    {"september", FIELD_MONTH, 9},
    {"sun", FIELD_WEEKDAY, 0},
    {"sunday", FIELD_WEEKDAY, 0},
    {"t", FIELD_ISO_TIME, FIELD_ISO_TIME},
    {"thu", FIELD_WEEKDAY, 4},
    {"thur", FIELD_WEEKDAY, 4},
    {"thurs", FIELD_WEEKDAY, 4},
    {"thursday", FIELD_WEEKDAY, 4},
    {"today", FIELD_RESERVED, WORD_TODAY},
    {"tomorrow", FIELD_RESERVED, WORD_TOMORROW},
    {"tue", FIELD_WEEKDAY, 2},
    {"tues", FIELD_WEEKDAY, 2},
    {"tuesday", FIELD_WEEKDAY, 2},
    {"wed", FIELD_WEEKDAY, 3},
    {"wednesday", FIELD_WEEKDAY, 3},
    {"weds", FIELD_WEEKDAY, 3},
    {"y", FIELD_UNIT, FIELD_YEAR},
    {"yesterday", FIELD_RESERVED, WORD_YESTERDAY},
};

static const struct word units[] = {
    {"@", FIELD_IGNORE, 0},
    {"ago", FIELD_AGO, 0},
    {"c", FIELD_UNIT, FIELD_CENTURY},
    {"cent", FIELD_UNIT, FIELD_CENTURY},
    {"centuries", FIELD_UNIT, FIELD_CENTURY},
    {"century", FIELD_UNIT, FIELD_CENTURY},
    {"d", FIELD_UNIT, FIELD_DAY},
    {"day", FIELD_UNIT, FIELD_DAY},
    {"days", FIELD_UNIT, FIELD_DAY},
    {"dec", FIELD_UNIT, FIELD_DECADE},
    {"decade", FIELD_UNIT, FIELD_DECADE},
    {"decades", FIELD_UNIT, FIELD_DECADE},
    {"decs", FIELD_UNIT, FIELD_DECADE},
    {"h", FIELD_UNIT, FIELD_HOUR},
    {"hour", FIELD_UNIT, FIELD_HOUR},
    {"hours", FIELD_UNIT, FIELD_HOUR},
    {"hr", FIELD_UNIT, FIELD_HOUR},
    {"hrs", FIELD_UNIT, FIELD_HOUR},
    {"m", FIELD_UNIT, FIELD_MINUTE},
    {"microsecon", FIELD_UNIT, FIELD_MICROSECOND},
    {"mil", FIELD_UNIT, FIELD_MILLENNIUM},
    {"millennia", FIELD_UNIT, FIELD_MILLENNIUM},
    {"millennium", FIELD_UNIT, FIELD_MILLENNIUM},
    {"millisecon", FIELD_UNIT, FIELD_MILLISECOND},
    {"mils", FIELD_UNIT, FIELD_MILLENNIUM},
    {"min", FIELD_UNIT, FIELD_MINUTE},
    {"mins", FIELD_UNIT, FIELD_MINUTE},
    {"minute", FIELD_UNIT, FIELD_MINUTE},
    {"minutes", FIELD_UNIT, FIELD_MINUTE},
    {"mon", FIELD_UNIT, FIELD_MONTH},
    {"mons", FIELD_UNIT, FIELD_MONTH},
    {"month", FIELD_UNIT, FIELD_MONTH},
    {"months", FIELD_UNIT, FIELD_MONTH},
    {"ms", FIELD_UNIT, FIELD_MILLISECOND},
    {"msec", FIELD_UNIT, FIELD_MILLISECOND},
    {"mseconds", FIELD_UNIT, FIELD_MILLISECOND},
    {"msecs", FIELD_UNIT, FIELD_MILLISECOND},
    {"qtr", FIELD_UNIT, FIELD_QUARTER},
    {"quarter", FIELD_UNIT, FIELD_QUARTER},
    {"s", FIELD_UNIT, FIELD_SECOND},
    {"sec", FIELD_UNIT, FIELD_SECOND},
    {"second", FIELD_UNIT, FIELD_SECOND},
    {"seconds", FIELD_UNIT, FIELD_SECOND},
    {"secs", FIELD_UNIT, FIELD_SECOND},
    {"timezone", FIELD_UNIT, FIELD_ZONE},
    {"timezone_h", FIELD_UNIT, FIELD_DST_ZONE},   /* Hours, */
    {"timezone_m", FIELD_UNIT, FIELD_NAMED_ZONE}, /* and minutes of the offset. */
    {"us", FIELD_UNIT, FIELD_MICROSECOND},
    {"usec", FIELD_UNIT, FIELD_MICROSECOND},
    {"usecond", FIELD_UNIT, FIELD_MICROSECOND},
    {"useconds", FIELD_UNIT, FIELD_MICROSECOND},
    {"usecs", FIELD_UNIT, FIELD_MICROSECOND},
    {"w", FIELD_UNIT, FIELD_WEEK},
    {"week", FIELD_UNIT, FIELD_WEEK},
    {"weeks", FIELD_UNIT, FIELD_WEEK},
    {"y", FIELD_UNIT, FIELD_YEAR},
    {"year", FIELD_UNIT, FIELD_YEAR},
    {"years", FIELD_UNIT, FIELD_YEAR},
    {"yr", FIELD_UNIT, FIELD_YEAR},
    {"yrs", FIELD_UNIT, FIELD_YEAR},
};

static enum field_kind
word_find(const struct word *table, uint32_t count, const char *word, int32_t *value_out)
{
    uint32_t low = 0, high = count;

    *value_out = 0;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = strncmp(word, table[middle].name, DATETIME_WORD_MAX);

        if (order == 0) {
            *value_out = table[middle].value;
            return table[middle].kind;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return FIELD_UNKNOWN;
}

enum field_kind
datetime_word(const char *word, int32_t *value_out)
{
    return word_find(words, sizeof(words) / sizeof(words[0]), word, value_out);
}

enum field_kind
datetime_unit(const char *word, int32_t *value_out)
{
    return word_find(units, sizeof(units) / sizeof(units[0]), word, value_out);
}

/* ---- Numbers ---- */

bool
datetime_int64(const char *text, const char **end_out, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    *end_out = end;
    return errno != ERANGE;
}

bool
datetime_int(const char *text, const char **end_out, int32_t *out)
{
    int64_t value;
    bool fits = datetime_int64(text, end_out, &value);

    *out = (int32_t)value;
    return fits && value >= INT32_MIN && value <= INT32_MAX;
}

bool
datetime_fraction(const char *text, double *out)
{
    char *end;

    ASSERT(text[0] == '.');
    *out = 0;
    if (text[1] == '\0') {
        return true;
    }
    if (!isdigit((unsigned char)text[1])) {
        return false;
    }
    errno = 0;
    *out = strtod(text, &end);
    return *end == '\0' && errno == 0;
}

bool
datetime_second_fraction(const char *text, int32_t *us_out)
{
    double fraction;

    if (!datetime_fraction(text, &fraction)) {
        return false;
    }
    *us_out = (int32_t)rint(fraction * 1000000);
    return true;
}

/* ---- Fields ---- */

struct splitter {
    const uint8_t *at, *end;
    struct datetime_fields *fields;
    size_t used;
    bool is_full;
};

static int
peek(const struct splitter *splitter)
{
    return splitter->at < splitter->end ? *splitter->at : 0;
}

static void
keep(struct splitter *splitter)
{
    if (splitter->used + 1 >= DATETIME_FIELD_TEXT_MAX) {
        splitter->is_full = true;
        splitter->at = splitter->end;
        return;
    }
    splitter->fields->text[splitter->used++] = (char)tolower(*splitter->at++);
}

static void
keep_digits(struct splitter *splitter)
{
    while (isdigit(peek(splitter))) {
        keep(splitter);
    }
}

static bool
is_one_of(int c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static void
keep_digits_and(struct splitter *splitter, const char *set)
{
    while (isdigit(peek(splitter)) || is_one_of(peek(splitter), set)) {
        keep(splitter);
    }
}

/* A number with a mark of dates behind it: 1999-01-08, 8.1.1999, 08-Jan-99. */
static enum token_kind
split_date(struct splitter *splitter)
{
    char mark[2] = {(char)peek(splitter), '\0'};
    enum token_kind kind = TOKEN_DATE;

    keep(splitter);
    if (!isdigit(peek(splitter))) {
        while (isalnum(peek(splitter)) || is_one_of(peek(splitter), mark)) {
            keep(splitter);
        }
        return TOKEN_DATE;
    }
    kind = mark[0] == '.' ? TOKEN_NUMBER : TOKEN_DATE;
    keep_digits(splitter);
    if (peek(splitter) == mark[0]) { /* The same mark twice: three parts. */
        keep_digits_and(splitter, mark);
        kind = TOKEN_DATE;
    }
    return kind;
}

static enum token_kind
split_number(struct splitter *splitter)
{
    keep_digits(splitter);
    if (peek(splitter) == ':') {
        keep(splitter);
        keep_digits_and(splitter, ":.");
        return TOKEN_TIME;
    }
    return is_one_of(peek(splitter), "-/.") ? split_date(splitter) : TOKEN_NUMBER;
}

/* Words may go on as a date (jan-08-1999) or as the name of a zone (america/new_york). */
static enum token_kind
split_word(struct splitter *splitter, size_t start)
{
    int32_t value;
    bool goes_on;

    while (isalpha(peek(splitter))) {
        keep(splitter);
    }
    goes_on = is_one_of(peek(splitter), "-/.");
    if (!goes_on && (peek(splitter) == '+' || isdigit(peek(splitter)))) {
        splitter->fields->text[splitter->used] = '\0';
        goes_on = datetime_word(splitter->fields->text + start, &value) == FIELD_UNKNOWN;
    }
    if (!goes_on) {
        return TOKEN_WORD;
    }
    while (isalnum(peek(splitter)) || is_one_of(peek(splitter), "+-/_.:")) {
        keep(splitter);
    }
    return TOKEN_DATE;
}

static bool
split_signed(struct splitter *splitter, enum token_kind *kind_out)
{
    keep(splitter);
    while (isspace(peek(splitter))) {
        splitter->at++;
    }
    if (isdigit(peek(splitter))) {
        keep_digits_and(splitter, ":.-");
        *kind_out = TOKEN_ZONE;
        return true;
    }
    if (isalpha(peek(splitter))) {
        while (isalpha(peek(splitter))) {
            keep(splitter);
        }
        *kind_out = TOKEN_SPECIAL;
        return true;
    }
    return false;
}

enum datetime_error
datetime_split(struct slice text, struct datetime_fields *fields)
{
    struct splitter splitter = {text.data, text.data + text.size, fields, 0, false};

    fields->count = 0;
    while (splitter.at < splitter.end) {
        size_t start = splitter.used;
        enum token_kind kind = TOKEN_NUMBER;
        int c = peek(&splitter);

        if (isspace(c)) {
            splitter.at++;
            continue;
        }
        if (fields->count == DATETIME_FIELDS_MAX) {
            return DATETIME_BAD_FORMAT;
        }
        if (isdigit(c)) {
            kind = split_number(&splitter);
        } else if (c == '.') {
            keep(&splitter);
            keep_digits(&splitter);
        } else if (isalpha(c)) {
            kind = split_word(&splitter, start);
        } else if (c == '+' || c == '-') {
            if (!split_signed(&splitter, &kind)) {
                return DATETIME_BAD_FORMAT;
            }
        } else if (ispunct(c)) {
            splitter.at++;
            continue;
        } else {
            return DATETIME_BAD_FORMAT;
        }
        if (splitter.is_full) {
            return DATETIME_BAD_FORMAT;
        }
        fields->text[splitter.used++] = '\0';
        fields->texts[fields->count] = fields->text + start;
        fields->kinds[fields->count++] = kind;
    }
    return DATETIME_OK;
}
