#!/bin/sh
# How long FLUSHALL and FLUSHDB take with many keys. Options: perf/flushall.sh --help
exec /usr/bin/python3 "$(dirname "$0")/measure_flush.py" "$@"
