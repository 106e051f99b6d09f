/* tests/sim/scenarios.c - the list from which a seed draws. */
#include "tests/sim/scenarios.h"

#include "engine/base/assert.h"

const struct scenario *const run_scenarios[] = {
    &scenario_disk,      &scenario_wal,        &scenario_wal_rot,      &scenario_store,
    &scenario_store_rot, &scenario_store_flip, &scenario_kv,           &scenario_lsm,
    &scenario_lsm_rot,   &scenario_commit,     &scenario_multi,        &scenario_txn,
    &scenario_reshard,   &scenario_feed,       &scenario_feed_reshard, &scenario_claims,
    &scenario_groups,
};

const uint32_t run_scenario_count = ARRAY_COUNT(run_scenarios);
