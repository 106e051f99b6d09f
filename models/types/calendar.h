/* models/types/calendar.h - the proleptic Gregorian calendar: days and their names.
 *
 * A day is a number, counted from 2000-01-01. Year 0 is 1 BC, -1 is 2 BC. */
#pragma once

#include <stdint.h>

enum { CALENDAR_DAYS_1970 = -10957, CALENDAR_JULIAN_2000 = 2451545 };

/* Months 1..12; the day may be any number: it counts from the month's first. */
int64_t calendar_days(int32_t year, int32_t month, int32_t day);
void calendar_civil(int64_t days, int32_t *year_out, int32_t *month_out, int32_t *day_out);
int32_t calendar_month_days(int32_t year, int32_t month);
/* 0: Sunday. */
int32_t calendar_weekday(int64_t days);
/* ISO 8601's week and the year it belongs to. */
void calendar_iso_week(int64_t days, int32_t *year_out, int32_t *week_out);
/* The Monday of the ISO week. */
int64_t calendar_iso_days(int32_t year, int32_t week);
