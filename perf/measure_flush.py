#!/usr/bin/python3
"""How long do FLUSHDB and FLUSHALL take, seen by the client, with ten million keys?

For each of the two: fill, flush, see that GET, DBSIZE and SCAN find nothing at once, kill the
server with SIGKILL, start it again, and see that it still finds nothing. Exit status 0 when both
answer within the limit.
"""

import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "lib"))
import server  # noqa: E402  (the path is set above)

CHUNK = 5000
WINDOW_CHUNKS = 4  # How many chunks are sent before their answers are read.
PROGRESS_STEPS = 10


def fill(connection, count):
    """SET key:0 .. key:count-1, pipelined; counts the bytes of the answers instead of parsing."""
    begin = time.monotonic()
    owed = 0
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        names = [b"key:%d" % n for n in numbers]
        connection.send_raw(b"".join(
            [b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$5\r\nvalue\r\n" % (len(name), name)
             for name in names]))
        owed += len(names)
        if owed > WINDOW_CHUNKS * CHUNK:
            take(connection, owed - WINDOW_CHUNKS * CHUNK)
            owed = WINDOW_CHUNKS * CHUNK
        if start // CHUNK % (count // CHUNK // PROGRESS_STEPS + 1) == 0:
            print("  %3d %% filled" % (100 * start // count), flush=True)
    take(connection, owed)
    print("  %d keys in %.1f s" % (count, time.monotonic() - begin), flush=True)


def take(connection, replies):
    for _ in range(replies):
        reply = connection.read()
        if reply != b"OK":
            raise AssertionError("SET was answered by %r" % reply)


def expect_empty(connection, count, when):
    found = connection.pipeline(
        [["GET", "key:0"], ["GET", "key:%d" % (count - 1)], ["DBSIZE"], ["SCAN", "0"]])
    if found != [None, None, 0, [b"0", []]]:
        raise AssertionError("%s: GET, GET, DBSIZE, SCAN gave %r" % (when, found))


def measure(instance, command, count):
    """Milliseconds from sending the command to its answer."""
    with instance.connect() as connection:
        fill(connection, count)
        size = connection.call("DBSIZE")
        if size != count:
            raise AssertionError("DBSIZE is %d instead of %d" % (size, count))
        begin = time.perf_counter()
        reply = connection.call(command)
        elapsed_ms = (time.perf_counter() - begin) * 1000
        if reply != b"OK":
            raise AssertionError("%s was answered by %r" % (command, reply))
        expect_empty(connection, count, "at once")
        connection.call("SET", "after", "flush")
    instance.kill()
    instance.start()
    with instance.connect() as connection:
        if connection.call("DEL", "after") != 1:
            raise AssertionError("what was written after the flush is gone")
        expect_empty(connection, count, "after a kill and restart")
    return elapsed_ms


def main():
    parser = argparse.ArgumentParser(prog="perf/flushall.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--limit-ms", type=float, default=5.0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--durability", default="sync")
    parser.add_argument("--memory", help="--memory of the server (default: its own)")
    parser.add_argument("--dir", help="folder for the data (default: the system's temporary one)")
    options = parser.parse_args()
    server.end_on_sigterm()

    rows = []
    with server.Server(shards=options.shards, durability=options.durability, memory=options.memory,
                       log_level="warning", parent=options.dir) as instance:
        for command in ("FLUSHDB", "FLUSHALL"):
            print(command, flush=True)
            rows.append((command, measure(instance, command, options.keys)))
    for command, elapsed_ms in rows:
        print("%-8s with %d keys: %.2f ms, limit %.2f ms: %s"
              % (command, options.keys, elapsed_ms, options.limit_ms,
                 "met" if elapsed_ms <= options.limit_ms else "MISSED"))
    return 0 if all(elapsed_ms <= options.limit_ms for _, elapsed_ms in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
