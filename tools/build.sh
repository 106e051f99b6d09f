#!/bin/sh
# Build Orbit in build/NAME. A second run rebuilds what changed and takes seconds.
set -eu

usage() {
    cat <<EOF
Usage: tools/build.sh release|asan|tsan|coverage|fuzz [MAKE-TARGET...]

Configures build/NAME when needed and runs make there. "fuzz" builds the fuzz targets with
clang; the others build all programs, or the targets given. The configure script finds what
is missing on the machine; tools/deps.sh installs it.
EOF
}

root=$(cd "$(dirname "$0")/.." && pwd)
name=${1:-}
case $name in
release) options= ;;
asan) options=--enable-sanitize ;;
tsan) options=--enable-tsan ;;
coverage) options=--enable-coverage ;;
fuzz) options=--enable-fuzz ;;
-h | --help) usage; exit 0 ;;
*) usage >&2; exit 2 ;;
esac
shift
[ "$name" != fuzz ] || [ $# -gt 0 ] || set -- fuzz

dir=$root/build/$name
mkdir -p "$dir"

# Two builds at a time may share the generated files at the top, so one makes them at a time.
exec 9>"$root/build/.autoreconf.lock"
flock 9
if [ ! -f "$root/configure" ] || [ ! -f "$root/Makefile.in" ]; then
    command -v autoreconf >/dev/null || {
        echo "tools/build.sh: autoconf and automake are missing: tools/deps.sh build" >&2
        exit 1
    }
    (cd "$root" && autoreconf -i)
fi
if [ ! -f "$dir/Makefile" ]; then
    echo "configuring build/$name"
    (cd "$dir" && "$root/configure" --quiet $options)
fi
# Let make renew configure, Makefile.in and Makefile under the same lock.
make -s -C "$dir" Makefile
flock -u 9

exec make -s -j"$(nproc)" -C "$dir" "$@"
