/* tools/ctl/txns.h - showing the reply of ORBIT.TXNS. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A table, or one JSON object a line. False when the reply is not what ORBIT.TXNS gives. */
bool txns_print(const char *reply, size_t size, bool is_json);
