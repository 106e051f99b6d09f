# txn: snapshots and commits.
txn_sources +=
