#!/bin/sh
# PostgreSQL's own regression suite, scored statement by statement. Options: pg_regress.sh --help
exec /usr/bin/python3 "$(dirname "$0")/pgregress/run.py" "$@"
