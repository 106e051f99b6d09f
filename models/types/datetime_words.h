/* models/types/datetime_words.h - the words of dates and times, and the cutting of a text into
 * fields: shared by the parsers of this folder.
 *
 * Words count by their first DATETIME_WORD_MAX characters. */
#pragma once

#include "models/types/datetime.h"

enum { DATETIME_WORD_MAX = 10, DATETIME_FIELDS_MAX = 25, DATETIME_FIELD_TEXT_MAX = 256 };

/* What a word or a number stands for; also bits of what has been seen (1 << kind). */
enum field_kind {
    FIELD_RESERVED, /* now, today, epoch, ...: enum reserved_word */
    FIELD_MONTH,
    FIELD_YEAR,
    FIELD_DAY,
    FIELD_JULIAN,
    FIELD_ZONE,
    FIELD_DST_ZONE,
    FIELD_NAMED_ZONE,
    FIELD_IGNORE,
    FIELD_AMPM,
    FIELD_HOUR,
    FIELD_MINUTE,
    FIELD_SECOND,
    FIELD_MILLISECOND,
    FIELD_MICROSECOND,
    FIELD_YEAR_DAY,
    FIELD_WEEKDAY,
    FIELD_UNIT, /* A letter that says what the next number is: enum field_kind */
    FIELD_ERA,
    FIELD_AGO,
    FIELD_ISO_TIME,
    FIELD_WEEK,
    FIELD_DECADE,
    FIELD_CENTURY,
    FIELD_MILLENNIUM,
    FIELD_DST_MODIFIER,
    FIELD_QUARTER,
    FIELD_EPOCH,
    FIELD_ISO_YEAR,
    FIELD_ISO_WEEKDAY,
    FIELD_UNKNOWN,
};
#define BIT(kind)   (1u << (kind))
#define SECOND_BITS (BIT(FIELD_SECOND) | BIT(FIELD_MILLISECOND) | BIT(FIELD_MICROSECOND))
#define TIME_BITS   (BIT(FIELD_HOUR) | BIT(FIELD_MINUTE) | SECOND_BITS)
#define DATE_BITS   (BIT(FIELD_YEAR) | BIT(FIELD_MONTH) | BIT(FIELD_DAY))

enum reserved_word {
    WORD_NOW,
    WORD_YESTERDAY,
    WORD_TODAY,
    WORD_TOMORROW,
    WORD_ALLBALLS,
    WORD_EPOCH,
    WORD_LATE,
    WORD_EARLY,
};

enum { ERA_AD, ERA_BC, HALF_AM = 0, HALF_PM = 1, HALF_NONE = 2 };

/* Of dates and times; *value_out as the kind says. */
enum field_kind datetime_word(const char *word, int32_t *value_out);
/* Of intervals, and of extract: "century", "us". */
enum field_kind datetime_unit(const char *word, int32_t *value_out);

enum token_kind { TOKEN_NUMBER, TOKEN_WORD, TOKEN_DATE, TOKEN_TIME, TOKEN_ZONE, TOKEN_SPECIAL };

struct datetime_fields {
    uint32_t count;
    enum token_kind kinds[DATETIME_FIELDS_MAX];
    char *texts[DATETIME_FIELDS_MAX]; /* Small letters, ended by a zero; may be changed. */
    char text[DATETIME_FIELD_TEXT_MAX];
};
enum datetime_error datetime_split(struct slice text, struct datetime_fields *fields);

/* An integer at the start of the text. False: it is too large. */
bool datetime_int(const char *text, const char **end_out, int32_t *out);
bool datetime_int64(const char *text, const char **end_out, int64_t *out);
/* ".25", to the end of the text; "." alone is 0. */
bool datetime_fraction(const char *text, double *out);
bool datetime_second_fraction(const char *text, int32_t *us_out);
