/* txn/api_snapshot.h - snapshots of the C API, as scans see them. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "include/orbit.h"
#include "txn/store.h"

/* As orbit_snapshot_new. */
err_t api_snapshot_new(struct orbit *db, struct orbit_snapshot **snapshot_out);
/* What one shard holds of it. */
const struct store_snapshot *api_snapshot_part(const struct orbit_snapshot *snapshot,
                                               uint32_t shard);
