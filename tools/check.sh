#!/bin/sh
# Every check of Orbit, from a bare clone: install what the tests need, build, run all stages.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in
-h | --help) exec cat "$root/tools/check-usage.txt" ;;
esac
if ! "$root/tools/deps.sh" test; then
    echo "0 passed, 1 failed"
    exit 1
fi
exec /usr/bin/python3 "$root/tools/check.py" "$@"
