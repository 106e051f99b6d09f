#!/bin/sh
# Redis and Orbit alternately on this machine with the same client; perf/redis.md says how to
# read the figures. Options: perf/redis.sh --help
exec /usr/bin/python3 "$(dirname "$0")/compare_redis.py" "$@"
