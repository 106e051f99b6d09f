/* models/kv/glob.h - glob patterns as Redis matches them: * ? [a-z] [^...] and backslash. */
#pragma once

#include <stdbool.h>

#include "engine/base/slice.h"

/* The work is bounded by pattern.size * text.size steps, whatever the pattern. */
bool kv_glob_match(struct slice pattern, struct slice text, bool ignore_case);
