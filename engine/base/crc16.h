/* engine/base/crc16.h - CRC-16/XMODEM and the slot of a key, by the rule of Redis Cluster. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"

enum { SLOT_COUNT = 16384 };

extern const uint16_t crc16_table[256];

/* Polynomial 0x1021, starts at 0, nothing reflected: "123456789" gives 0x31c3. */
static inline uint16_t
crc16(struct slice bytes)
{
    uint16_t crc = 0;

    for (size_t i = 0; i < bytes.size; i++) {
        crc = (uint16_t)((crc << 8) ^ crc16_table[(crc >> 8) ^ bytes.data[i]]);
    }
    return crc;
}

/* The slot of a key, 0..SLOT_COUNT - 1. Only what stands between the first '{' and the first '}'
 * behind it counts, if both are there with something in between: keys of one {tag} share a slot. */
uint16_t slot_of_key(struct slice key);
