/* models/kv/lzf.h - reading LZF, the compression of strings in Redis's payloads. */
#pragma once

#include <stdbool.h>

#include "engine/base/slice.h"

/* Decompress to exactly out_size bytes. False when the input is no LZF of that many. */
bool lzf_decompress(struct slice in, uint8_t *out, size_t out_size);
