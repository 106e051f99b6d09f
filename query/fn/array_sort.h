/* query/fn/array_sort.h - helpers of functions over arrays. */
#pragma once

#include "query/expr.h"

/* By the element's order, in place; no value is null. */
void array_values_sort(const struct type *element, struct datum *values, uint32_t count);
/* In sorted values. */
bool array_values_find(const struct type *element, const struct datum *values, uint32_t count,
                       struct datum value);

/* string_to_array(text, delimiter [, text of null]). */
err_t fn_string_to_array(struct call *call, const struct datum *args, struct datum *out);
/* What string_to_array and string_to_table give: the pieces. */
err_t fn_string_split(struct call *call, const struct datum *args, struct datum **values_out,
                      uint8_t **nulls_out, uint32_t *count_out);
