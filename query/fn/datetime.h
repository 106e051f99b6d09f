/* query/fn/datetime.h - casts of dates and times, for the table of casts. */
#pragma once

#include "models/types/datetime.h"
#include "query/expr.h"

#define DATETIME_RUN(name)                                                                         \
    err_t name(struct call *call, const struct datum *args, struct datum *out)

DATETIME_RUN(fn_date_to_timestamp);
DATETIME_RUN(fn_date_to_timestamptz);
DATETIME_RUN(fn_time_to_interval);
DATETIME_RUN(fn_time_to_timetz);
DATETIME_RUN(fn_timestamp_to_date);
DATETIME_RUN(fn_timestamp_to_time);
DATETIME_RUN(fn_timestamp_to_timestamptz);
DATETIME_RUN(fn_timestamptz_to_date);
DATETIME_RUN(fn_timestamptz_to_time);
DATETIME_RUN(fn_timestamptz_to_timestamp);
DATETIME_RUN(fn_timestamptz_to_timetz);
DATETIME_RUN(fn_interval_to_time);
DATETIME_RUN(fn_timetz_to_time);

/* The rest of a day, never negative. */
static inline int64_t
us_of_day(int64_t us)
{
    int64_t rest = us % US_DAY;

    return rest < 0 ? rest + US_DAY : rest;
}
