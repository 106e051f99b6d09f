/* perf/txn/engines.c - the engines of this build, Orbit first. */
#include "perf/txn/txnbench.h"

const struct txn_engine *const txn_engines[] = {
    &txn_orbit,
    &txn_orbit_inline,
    &txn_orbit_session,
#ifdef HAVE_ROCKSDB
    &txn_rocksdb_optimistic,
    &txn_rocksdb_pessimistic,
#endif
#ifdef HAVE_WIREDTIGER
    &txn_wiredtiger,
#endif
    &txn_nothing,
    NULL,
};
