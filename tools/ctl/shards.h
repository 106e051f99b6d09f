/* tools/ctl/shards.h - showing the reply of ORBIT.SHARDS. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A table, or one JSON object a line. False when the reply is not what ORBIT.SHARDS gives. */
bool shards_print(const char *reply, size_t size, bool is_json);
