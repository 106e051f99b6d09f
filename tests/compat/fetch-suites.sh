#!/bin/bash
# Fetch the sources of the suites that others wrote, once, into a cache folder.
#
# usage: fetch-suites.sh NAME      NAME: redis, postgresql-15
#
# The machine's package lists stay untouched: Debian's lines are copied into a temporary folder
# with source packages turned on. Prints the folder with the unpacked source on the last line.
# Exit status: 0 found or fetched, 75 could not be fetched (the caller reports it as skipped).
set -euo pipefail

cd "$(dirname "$0")/../.."
suites=${ORBIT_SUITES:-$PWD/build/suites}
name=${1:?usage: fetch-suites.sh NAME}

case $name in
redis) marker=tests/test_helper.tcl ;;
postgresql-15) marker=src/test/regress/parallel_schedule ;;
*)
    echo "fetch-suites.sh: unknown suite '$name'" >&2
    exit 2
    ;;
esac

mkdir -p "$suites"
exec 9> "$suites/.lock"
flock -w 300 9

if [ -f "$suites/$name/$marker" ]; then
    echo "$suites/$name"
    exit 0
fi

work=$(mktemp -d "$suites/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Only the lines that name a Debian archive: other archives need not carry sources.
mkdir -p "$work/parts" "$work/lists/partial"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] || continue
    { grep -E '^deb .*debian' "$file" || true; } | { grep -E 'debian(-security)?/? ' || true; } |
        sed 's/^deb /deb-src /' > "$work/parts/$(basename "$file" .list)-src.list"
done
for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    grep -qE '^URIs:.*debian(-security)?/?[[:space:]]*$' "$file" || continue
    sed -E 's/^Types:.*/Types: deb-src/' "$file" > "$work/parts/$(basename "$file")"
done

options=(
    -o Dir::Etc::sourcelist=/dev/null
    -o "Dir::Etc::sourceparts=$work/parts"
    -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
    -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30
    -o APT::Sandbox::User=root
)

# The newest version is not always there yet: then the one before it.
fetch() {
    local version
    apt-get "${options[@]}" -q update || return 1
    for version in $(apt-cache "${options[@]}" showsrc "$name" | sed -n 's/^Version: //p' |
        sort -ruV); do
        (cd "$work" && apt-get "${options[@]}" -q source --download-only "$name=$version") &&
            return 0
    done
    return 1
}

if ! fetch > "$work/log" 2>&1; then
    echo "fetch-suites.sh: the source of $name could not be fetched:" >&2
    tail -n 5 "$work/log" >&2
    exit 75
fi

dsc=$(ls "$work"/*.dsc | head -n 1)
dpkg-source --no-check -x "$dsc" "$work/$name" >> "$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    exit 75
}
rm -rf "${suites:?}/$name"
mv "$work/$name" "$suites/$name"
echo "$suites/$name"
