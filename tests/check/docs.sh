#!/bin/sh
# The generated documents are those of the server that was built, and the configuration example
# starts it.
set -u
passed=0
failed=0

case_is() { # NAME STATUS
    if [ "$2" = 0 ]; then
        echo "ok $1"
        passed=$((passed + 1))
    else
        echo "FAILED $1"
        failed=$((failed + 1))
    fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make -s -C "$ORBIT_BUILD" orbit-docs &&
    "$ORBIT_BUILD/orbit-docs" tests/compat/tcl/skip.txt >"$work/resp.md"
case_is "the program that writes docs/protocol/resp.md works" $?
diff -u docs/protocol/resp.md "$work/resp.md" | head -40
cmp -s docs/protocol/resp.md "$work/resp.md"
case_is "docs/protocol/resp.md is what it writes (orbit-docs tests/compat/tcl/skip.txt > it)" $?

# Each key of the example is commented out with its default, so a line of it must be accepted.
sed -n 's/^# \([a-z-]* = .*\)$/\1/p' dist/orbit.conf >"$work/orbit.conf"
[ -s "$work/orbit.conf" ]
case_is "the example configuration has keys" $?
# The password's file is the one value that names something of the reader's machine.
grep -v '^password-file = ' "$work/orbit.conf" >"$work/start.conf"
"$ORBIT_BUILD/orbit-server" --config "$work/start.conf" --data-dir "$work/data" --redis-port 0 \
    >"$work/log" 2>&1 &
server=$!
tries=0
until grep -qs ' ready: ' "$work/log" || [ $tries = 200 ]; do
    sleep 0.1 # The next look at its log.
    tries=$((tries + 1))
done
kill "$server"
wait "$server" && grep -q ' ready: ' "$work/log"
status=$?
[ $status = 0 ] || cat "$work/log"
case_is "orbit-server starts with the example configuration" $status
"$ORBIT_BUILD/orbit-server" --help >"$work/help" 2>&1
for key in $(sed 's/ = .*//' "$work/orbit.conf"); do
    grep -q -- "--$key" "$work/help"
    case_is "orbit-server has the key $key of the example configuration" $?
    grep -q -- "^\.It $key " man/orbit.conf.5
    case_is "orbit.conf(5) has the key $key" $?
done
# And the other way: each option is in the manual.
for option in $(grep -o -- '--[a-z][a-z-]*' "$work/help" | sort -u); do
    grep -q "Fl Fl ${option#--}" man/orbit-server.1
    case_is "orbit-server(1) has the option $option" $?
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
