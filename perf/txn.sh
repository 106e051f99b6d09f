#!/bin/sh
# Transactions beside those of RocksDB and WiredTiger, in one run: one table. perf/README.md says
# how to read it. Options: perf/txn.sh --help
exec /usr/bin/python3 "$(dirname "$0")/compare_txn.py" "$@"
