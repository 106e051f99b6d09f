/* tests/sim/scenarios.h - all scenarios; scenarios.c lists them. */
#pragma once

#include <stdio.h>

#include "tests/sim/run.h"

extern const struct scenario scenario_disk;
extern const struct scenario scenario_wal;
extern const struct scenario scenario_wal_rot;
extern const struct scenario scenario_store;
extern const struct scenario scenario_store_rot;
extern const struct scenario scenario_store_flip;
extern const struct scenario scenario_claims;
extern const struct scenario scenario_commit;
extern const struct scenario scenario_feed;
extern const struct scenario scenario_feed_reshard;
extern const struct scenario scenario_groups;
extern const struct scenario scenario_kv;
extern const struct scenario scenario_lsm;
extern const struct scenario scenario_lsm_rot;
extern const struct scenario scenario_multi;
extern const struct scenario scenario_reshard;
extern const struct scenario scenario_txn;
