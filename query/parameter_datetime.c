/* query/parameter_datetime.c - the parameters that dates and times are read and shown by. */
#include "query/parameter_datetime.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "models/types/datetime.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum { WORD_MAX = 32, ZONE_OFFSET_HOURS_MAX = 167 };

static const char *const style_names[] = {
    [DATE_ISO] = "ISO", [DATE_POSTGRES] = "Postgres", [DATE_SQL] = "SQL", [DATE_GERMAN] = "German"};
static const char *const order_names[] = {
    [ORDER_MDY] = "MDY", [ORDER_DMY] = "DMY", [ORDER_YMD] = "YMD"};
static const char *const interval_names[] = {[INTERVAL_POSTGRES] = "postgres",
                                             [INTERVAL_VERBOSE] = "postgres_verbose",
                                             [INTERVAL_SQL] = "sql_standard",
                                             [INTERVAL_ISO] = "iso_8601"};

static err_t
invalid(const char *name, const char *value)
{
    return sql_error("22023", "invalid value for parameter \"%s\": \"%s\"", name, value);
}

/* ---- DateStyle ---- */

struct date_style_words {
    int style, order; /* -1: not said. */
    bool is_conflict;
};

static void
choose(int *chosen, int value, bool *is_conflict)
{
    *is_conflict = *is_conflict || (*chosen >= 0 && *chosen != value);
    *chosen = value;
}

static bool
date_style_word(const char *word, struct date_style_words *words)
{
    bool *conflict = &words->is_conflict;

    if (strcasecmp(word, "ISO") == 0) {
        choose(&words->style, DATE_ISO, conflict);
    } else if (strcasecmp(word, "SQL") == 0) {
        choose(&words->style, DATE_SQL, conflict);
    } else if (strncasecmp(word, "POSTGRES", 8) == 0) {
        choose(&words->style, DATE_POSTGRES, conflict);
    } else if (strcasecmp(word, "GERMAN") == 0) {
        choose(&words->style, DATE_GERMAN, conflict);
        words->order = words->order < 0 ? ORDER_DMY : words->order;
    } else if (strcasecmp(word, "YMD") == 0) {
        choose(&words->order, ORDER_YMD, conflict);
    } else if (strcasecmp(word, "DMY") == 0 || strncasecmp(word, "EURO", 4) == 0) {
        choose(&words->order, ORDER_DMY, conflict);
    } else if (strcasecmp(word, "MDY") == 0 || strcasecmp(word, "US") == 0 ||
               strncasecmp(word, "NONEURO", 7) == 0) {
        choose(&words->order, ORDER_MDY, conflict);
    } else if (strcasecmp(word, "DEFAULT") == 0) {
        words->style = words->style < 0 ? DATE_ISO : words->style;
        words->order = words->order < 0 ? ORDER_MDY : words->order;
    } else {
        return false;
    }
    return true;
}

/* Words with commas between them; quotes do not count. */
static const char *
word_next(const char *at, char word[WORD_MAX])
{
    size_t size = 0;

    while (*at != '\0' && (isspace((unsigned char)*at) || strchr(",\"", *at) != NULL)) {
        at++;
    }
    while (*at != '\0' && !isspace((unsigned char)*at) && strchr(",\"", *at) == NULL) {
        if (size + 1 < WORD_MAX) {
            word[size++] = *at;
        }
        at++;
    }
    word[size] = '\0';
    return at;
}

err_t
parameter_date_style(const char *value, const struct type_settings *now,
                     char shown[PARAMETER_TEXT_MAX])
{
    struct date_style_words words = {-1, -1, false};
    char word[WORD_MAX];

    for (const char *at = word_next(value, word); word[0] != '\0'; at = word_next(at, word)) {
        if (!date_style_word(word, &words)) {
            (void)invalid("DateStyle", value);
            return sql_detail("Unrecognized key word: \"%s\".", word);
        }
    }
    if (words.is_conflict) {
        (void)invalid("DateStyle", value);
        return sql_detail("Conflicting \"datestyle\" specifications.");
    }
    (void)snprintf(shown, PARAMETER_TEXT_MAX, "%s, %s",
                   style_names[words.style < 0 ? now->date_style : words.style],
                   order_names[words.order < 0 ? now->date_order : words.order]);
    return ERR_OK;
}

void
parameter_date_style_use(const char *shown, struct type_settings *settings)
{
    struct date_style_words words = {-1, -1, false};
    char word[WORD_MAX];

    for (const char *at = word_next(shown, word); word[0] != '\0'; at = word_next(at, word)) {
        (void)date_style_word(word, &words);
    }
    settings->date_style = (uint8_t)words.style;
    settings->date_order = (uint8_t)words.order;
}

/* ---- IntervalStyle ---- */

err_t
parameter_interval_style(const char *value, char shown[PARAMETER_TEXT_MAX])
{
    for (uint32_t i = 0; i < sizeof(interval_names) / sizeof(*interval_names); i++) {
        if (strcasecmp(value, interval_names[i]) == 0) {
            (void)snprintf(shown, PARAMETER_TEXT_MAX, "%s", interval_names[i]);
            return ERR_OK;
        }
    }
    (void)invalid("IntervalStyle", value);
    return sql_hint("Available values: postgres, postgres_verbose, sql_standard, iso_8601.");
}

void
parameter_interval_style_use(const char *shown, struct type_settings *settings)
{
    for (uint32_t i = 0; i < sizeof(interval_names) / sizeof(*interval_names); i++) {
        if (strcmp(shown, interval_names[i]) == 0) {
            settings->interval_style = (uint8_t)i;
        }
    }
}

/* ---- TimeZone ---- */

/* INTERVAL '-08:00' */
static err_t
zone_of_interval(const char *value, struct arena *arena, const struct zone **zone_out)
{
    const char *open = strchr(value, '\''), *close = open != NULL ? strchr(open + 1, '\'') : NULL;
    struct interval interval;

    *zone_out = NULL;
    if (close == NULL || close[1] != '\0' ||
        interval_parse(slice_of(open + 1, (size_t)(close - open - 1)), &type_settings_default,
                       INTERVAL_FULL_RANGE, &interval) != DATETIME_OK) {
        return invalid("TimeZone", value);
    }
    if (interval.months != 0) {
        (void)invalid("TimeZone", value);
        return sql_detail("Cannot specify months in time zone interval.");
    }
    if (interval.days != 0) {
        (void)invalid("TimeZone", value);
        return sql_detail("Cannot specify days in time zone interval.");
    }
    if (llabs(interval.us) <= ZONE_OFFSET_HOURS_MAX * US_HOUR) {
        *zone_out = zone_of_offset((int32_t)(interval.us / US_SECOND), arena);
    }
    return ERR_OK;
}

err_t
parameter_time_zone(const char *value, struct zones *zones, char shown[PARAMETER_TEXT_MAX])
{
    const struct zone *zone = NULL;
    struct arena arena;
    double hours;
    char *end;
    err_t err = ERR_OK;

    arena_init(&arena, MEM_SESSIONS);
    hours = strtod(value, &end);
    if (strncasecmp(value, "interval", 8) == 0) {
        err = zone_of_interval(value, &arena, &zone);
    } else if (end != value && *end == '\0') {
        zone = fabs(hours) <= ZONE_OFFSET_HOURS_MAX
                   ? zone_of_offset((int32_t)(hours * 3600), &arena)
                   : NULL;
    } else {
        zone = zone_find(zones, slice_from_text(value), &arena);
    }
    if (err == ERR_OK && zone == NULL) {
        err = invalid("TimeZone", value);
    }
    if (err == ERR_OK) {
        (void)snprintf(shown, PARAMETER_TEXT_MAX, "%s", zone_name(zone));
    }
    arena_fini(&arena);
    return err;
}

void
parameter_time_zone_use(const char *shown, struct arena *arena, struct type_settings *settings)
{
    arena_reset(arena);
    /* UTC needs no file. */
    settings->zone = strcmp(shown, "UTC") == 0
                         ? NULL
                         : zone_find(settings->zones, slice_from_text(shown), arena);
}
