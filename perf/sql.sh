#!/bin/sh
# SQL beside PostgreSQL 15, in one run with the same client: one table. Options: perf/sql.sh --help
exec /usr/bin/python3 "$(dirname "$0")/compare_sql.py" "$@"
