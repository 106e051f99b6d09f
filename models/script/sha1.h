/* models/script/sha1.h - SHA-1 (FIPS 180-4), by which scripts are named. Not for security. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"

enum { SHA1_BYTES = 20, SHA1_HEX_BYTES = 40 };

void sha1(struct slice bytes, uint8_t out[SHA1_BYTES]);
/* In lower case, with a NUL behind. */
void sha1_hex(struct slice bytes, char out[SHA1_HEX_BYTES + 1]);
