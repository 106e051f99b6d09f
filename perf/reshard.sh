#!/bin/sh
# How fast slots move to another number of shards, and what clients notice. Options: --help
exec /usr/bin/python3 "$(dirname "$0")/measure_reshard.py" "$@"
