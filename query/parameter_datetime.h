/* query/parameter_datetime.h - DateStyle, IntervalStyle and TimeZone: what their values mean. */
#pragma once

#include "engine/rt/fiber.h"
#include "models/types/type.h"

enum { PARAMETER_TEXT_MAX = 256 };

/* Each checks a value and says how it is shown; 22023. */
err_t parameter_date_style(const char *value, const struct type_settings *now,
                           char shown[PARAMETER_TEXT_MAX]);
err_t parameter_interval_style(const char *value, char shown[PARAMETER_TEXT_MAX]);
YIELDS err_t parameter_time_zone(const char *value, struct zones *zones,
                                 char shown[PARAMETER_TEXT_MAX]);

/* A shown value in effect. Zones that the text spells out lie in the arena, which is reset. */
void parameter_date_style_use(const char *shown, struct type_settings *settings);
void parameter_interval_style_use(const char *shown, struct type_settings *settings);
YIELDS void parameter_time_zone_use(const char *shown, struct arena *arena,
                                    struct type_settings *settings);
