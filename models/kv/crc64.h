/* models/kv/crc64.h - CRC-64 with the Jones polynomial, as the payloads of DUMP carry it. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"

/* Polynomial 0xad93d23594c935a9, reflected. Start with 0, go on with the result: "123456789"
 * gives 0xe9c6d914c4b8d9ca. */
uint64_t crc64(uint64_t crc, struct slice bytes);
