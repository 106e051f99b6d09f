#!/bin/sh
# From a clone to a running server: install what is missing, build, start, run the demo, stay up.
set -eu

usage() {
    cat <<EOF
Usage: tools/quickstart.sh [--demo-only] [--redis-port N] [--data-dir DIR]

Installs the packages the build needs, builds all programs in build/release, starts
orbit-server on DIR (default ./orbit-data) at 127.0.0.1, runs the demo on this machine's own
Debian package index and stays up until Ctrl-C.

--demo-only     stop the server after the demo and exit with 0 if it passed
--redis-port N  default 6379; when it is taken another free port is chosen and named
--data-dir DIR  default ./orbit-data
EOF
}

root=$(cd "$(dirname "$0")/.." && pwd)
demo_only=
port=6379
data_dir=./orbit-data
while [ $# -gt 0 ]; do
    case $1 in
    --demo-only) demo_only=--demo-only ;;
    --redis-port | --data-dir)
        [ $# -gt 1 ] || { usage >&2; exit 2; }
        if [ "$1" = --redis-port ]; then port=$2; else data_dir=$2; fi
        shift
        ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done

echo "== packages"
"$root/tools/deps.sh" build
echo "== build/release"
"$root/tools/build.sh" release
echo "== server and demo"
# ORBIT_SERVER names another program with the same flags, for a test of this script.
exec /usr/bin/python3 "$root/tools/demo.py" \
    --server "${ORBIT_SERVER:-$root/build/release/orbit-server}" \
    --data-dir "$data_dir" --redis-port "$port" \
    --log "$root/build/quickstart-server.log" $demo_only
