#!/bin/sh
# Install the Debian packages that Orbit needs: only those that are missing, and without a call
# of apt when none is.
set -eu

usage() {
    cat <<EOF
Usage: tools/deps.sh build|test [--list]

build   what configure and make need, and what the demo needs
test    the same, and what the tests need (the outside clients' own list is
        tests/compat/packages.txt)
--list  print the names of the packages and install nothing
EOF
}

root=$(cd "$(dirname "$0")/.." && pwd)

build_packages="gcc libc6-dev make autoconf automake git python3 redis-tools
    liburing-dev libjemalloc-dev liblz4-dev libxxhash-dev libinih-dev libsystemd-dev
    liblua5.1-0-dev libgmp-dev libmpfr-dev libpg-query-dev libpcre2-dev postgresql-server-dev-15
    librocksdb-dev libleveldb-dev liblmdb-dev libwiredtiger-dev libsqlite3-dev gnuplot-nox
    systemtap-sdt-dev"
test_packages="libcriterion-dev pkg-config clang clang-format-14 libclang-rt-14-dev llvm-14
    redis-server tcl libhiredis-dev gdb mandoc libbpf-dev bpftool fio"

case ${1:-} in
build) packages=$build_packages ;;
test)
    packages="$build_packages $test_packages"
    if [ -f "$root/tests/compat/packages.txt" ]; then
        packages="$packages $(sed 's/#.*//' "$root/tests/compat/packages.txt")"
    fi
    ;;
-h | --help) usage; exit 0 ;;
*) usage >&2; exit 2 ;;
esac

# A machine may have node and npm from elsewhere; Debian's would then only stand in the way.
without_present_node() {
    for package in $packages; do
        case $package in
        nodejs) command -v node >/dev/null || echo nodejs ;;
        npm) command -v npm >/dev/null || echo npm ;;
        *) echo "$package" ;;
        esac
    done | sort -u
}
packages=$(without_present_node)

if [ "${2:-}" = --list ]; then
    echo "$packages"
    exit 0
fi

command -v dpkg-query >/dev/null || {
    echo "tools/deps.sh: this is not a Debian machine; install what is the equal of:" $packages >&2
    exit 1
}

installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null |
    sed -n 's/^ii *//p' | sort -u)
missing=$(echo "$packages" | while read -r package; do
    echo "$installed" | grep -qxF "$package" || echo "$package"
done)
[ -n "$missing" ] || exit 0

echo "installing:" $missing
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "tools/deps.sh: to install packages, run as root: apt-get install" $missing >&2
    exit 1
fi

# Try the lists that are there first: refreshing them is only needed when they are absent or old.
install_missing() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends $missing </dev/null
}
if [ -z "$(apt-cache dumpavail 2>/dev/null | head -n 1)" ] || ! install_missing; then
    $as_root apt-get update -q </dev/null
    install_missing || {
        echo "tools/deps.sh: apt-get could not install:" $missing >&2
        exit 1
    }
fi
