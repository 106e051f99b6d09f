#!/bin/sh
# The store beside its peers, every row that has a target: one table. perf/README.md says how to
# read it. Options: perf/engine.sh --help
exec /usr/bin/python3 "$(dirname "$0")/compare_engines.py" "$@"
