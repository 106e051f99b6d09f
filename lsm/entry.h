/* lsm/entry.h - one version of one key, as memtables, tables and iterators exchange it. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"

enum {
    LSM_KEY_BYTES_MAX = 64 << 10,
    LSM_VALUE_INLINE_BYTES_MAX = 64 << 10, /* Larger values are written to a value log. */
};

enum lsm_kind {
    LSM_DELETE = 0,
    LSM_PUT = 1,
    LSM_PUT_LARGE = 2, /* The value is a struct lsm_large, encoded (lsm/vlog.h). */
};

#define LSM_TS_MAX UINT64_MAX

/* Order of entries: by key (bytes), then by ts, newest first. */
struct lsm_entry {
    struct slice key;   /* model tag | keyspace | the model's own encoding */
    struct slice value; /* Empty for LSM_DELETE. */
    uint64_t ts;        /* Commit timestamp: microseconds since 1970 << 12 | counter. */
    uint64_t expire_us; /* 0: never. Expired when at or below the snapshot's ts >> 12. */
    uint64_t lsn;       /* Log position; 0 for entries from tables, which are durable. */
    uint16_t slot;
    uint8_t kind; /* enum lsm_kind */
};

/* All versions with ts below this one's of keys in [start, end) are deleted. */
struct lsm_range_delete {
    struct slice start;
    struct slice end;
    uint64_t ts;
    uint64_t lsn; /* As above. */
};
