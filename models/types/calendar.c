/* models/types/calendar.c - days and dates, by eras of 400 years (146,097 days). */
#include "models/types/calendar.h"

#include "engine/base/poison.h"

enum {
    ERA_YEARS = 400,
    ERA_DAYS = 146097,
    DAYS_TO_2000 = 730425, /* From 0000-03-01, where the count of eras begins. */
};

/* A year begins in March, so that the day that is not always there is its last. */
int64_t
calendar_days(int32_t year, int32_t month, int32_t day)
{
    int64_t shifted = (int64_t)year - (month <= 2);
    int64_t era = (shifted >= 0 ? shifted : shifted - (ERA_YEARS - 1)) / ERA_YEARS;
    int64_t of_era = shifted - era * ERA_YEARS;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;

    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year + day - 1 -
           DAYS_TO_2000;
}

void
calendar_civil(int64_t days, int32_t *year_out, int32_t *month_out, int32_t *day_out)
{
    int64_t shifted = days + DAYS_TO_2000;
    int64_t era = (shifted >= 0 ? shifted : shifted - (ERA_DAYS - 1)) / ERA_DAYS;
    int64_t of_era = shifted - era * ERA_DAYS;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;

    *day_out = (int32_t)(of_year - (153 * month + 2) / 5 + 1);
    *month_out = (int32_t)(month < 10 ? month + 3 : month - 9);
    *year_out = (int32_t)(year + era * ERA_YEARS + (*month_out <= 2));
}

int32_t
calendar_month_days(int32_t year, int32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] +
           (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % ERA_YEARS == 0));
}

int32_t
calendar_weekday(int64_t days)
{
    return (int32_t)(((days + 6) % 7 + 7) % 7); /* 2000-01-01 was a Saturday. */
}

int64_t
calendar_iso_days(int32_t year, int32_t week)
{
    int64_t fourth = calendar_days(year, 1, 4); /* It is always in the first week. */

    return fourth - (calendar_weekday(fourth) + 6) % 7 + (week - 1) * INT64_C(7);
}

void
calendar_iso_week(int64_t days, int32_t *year_out, int32_t *week_out)
{
    int64_t thursday = days - (calendar_weekday(days) + 6) % 7 + 3;
    int32_t month, day;

    calendar_civil(thursday, year_out, &month, &day); /* A week is of the year of its Thursday. */
    *week_out = (int32_t)((thursday - calendar_days(*year_out, 1, 1)) / 7) + 1;
}
