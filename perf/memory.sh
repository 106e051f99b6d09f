#!/bin/sh
# Resident memory while the data is twice the memory budget. Options: perf/memory.sh --help
exec /usr/bin/python3 "$(dirname "$0")/measure_memory.py" "$@"
