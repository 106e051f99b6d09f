/* query/fn/jsonb_change.h - assignments to parts of a jsonb. */
#pragma once

#include "query/fn/json_item.h"

/* The value with the part at the steps replaced; what is missing on the way is made. steps:
 * numbers (is_number) or text. A null value becomes JSON's. Errors: 22023. */
err_t jsonb_subscript_set(struct call *call, struct datum container, bool is_container_null,
                          const struct datum *steps, const uint8_t *is_number, uint32_t count,
                          struct datum value, bool is_value_null, struct datum *out);
