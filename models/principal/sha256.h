/* models/principal/sha256.h - SHA-256 (FIPS 180-4), of passwords. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"

enum { SHA256_BYTES = 32 };

void sha256(struct slice bytes, uint8_t digest_out[SHA256_BYTES]);
