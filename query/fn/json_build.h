/* query/fn/json_build.h - SQL values as JSON text. */
#pragma once

#include "query/fn/json_item.h"

/* The value as to_json makes it. is_pretty: a line for each element of an array, each field of a
 * row. Errors: 54001. */
err_t json_emit(const struct type *type, const struct type_settings *settings, struct datum value,
                bool is_null, bool is_pretty, struct buf *out);
/* A value as the key of an object: quoted. 22023 for what is no scalar. */
err_t json_emit_key(const struct type *type, const struct type_settings *settings,
                    struct datum value, struct buf *out);
/* Text that was put together becomes the call's result: json, or jsonb. */
err_t json_give(struct call *call, const struct buf *text, struct datum *out);
