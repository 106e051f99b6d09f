#!/usr/bin/python3
"""How fast do slots move when a server is started with another number of shards, and what do its
clients notice meanwhile?

Loads keys with one number of shards, starts with the other, and prints how long the move took, its
rate, and latencies of clients that read and write one key at a time: while slots move, and after it
with nothing else going on. Exit status 0 when every key is there afterwards.
"""

import argparse
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "lib"))
import server  # noqa: E402  (the path is set above)

CHUNK = 5000
KEYS_MAX = 20_000_000
POLL_S = 0.02
SAMPLES_MAX = 5_000_000  # Of one client.


def key_of(number):
    return b"key:%08d" % number


def fill(connection, count, value):
    begin = time.monotonic()
    head = b"$%d\r\n%s\r\n" % (len(value), value)
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        connection.send_raw(b"".join(
            b"*3\r\n$3\r\nSET\r\n$12\r\n%s\r\n%s" % (key_of(number), head) for number in numbers))
        for _ in numbers:
            if connection.read() != b"OK":
                raise AssertionError("a SET failed")
    print("%d keys with values of %d bytes were loaded in %.1f s"
          % (count, len(value), time.monotonic() - begin), flush=True)


def stats_of(connection):
    """Of shard 0, which knows how the move goes: field by field."""
    row = connection.call("ORBIT.SHARDS")[0]
    return {bytes(row[i]).decode(): row[i + 1] for i in range(0, len(row), 2)}


class Client(threading.Thread):
    """One command after the other, half of them writes, until it is told to stop."""

    def __init__(self, instance, keys, value, seed):
        super().__init__(daemon=True)
        self.connection = instance.connect()
        self.keys = keys
        self.value = value
        self.random = random.Random(seed)
        self.samples = []
        self.error = None
        self.is_over = False

    def run(self):
        try:
            while not self.is_over and len(self.samples) < SAMPLES_MAX:
                key = key_of(self.random.randrange(self.keys))
                is_write = self.random.random() < 0.5
                begin = time.perf_counter()
                if is_write:
                    self.connection.call("SET", key, self.value)
                elif self.connection.call("GET", key) is None:
                    raise AssertionError("%r is missing" % key)
                self.samples.append(time.perf_counter() - begin)
        except (server.ReplyError, server.ConnectionLost, AssertionError) as error:
            self.error = error

    def end(self):
        self.is_over = True
        self.join()
        self.connection.close()
        if self.error is not None:
            raise AssertionError("a client failed: %s" % self.error)
        return self.samples


def percentile(samples, share):
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))] * 1e6


def latencies_print(name, samples):
    print("%-8s %8d commands, us: median %6.0f, p99 %6.0f, p99.9 %6.0f, most %8.0f"
          % (name, len(samples), percentile(samples, 0.5), percentile(samples, 0.99),
             percentile(samples, 0.999), max(samples) * 1e6), flush=True)


def clients_run(instance, options, value, until):
    clients = [Client(instance, options.keys, value, seed) for seed in range(options.clients)]
    for client in clients:
        client.start()
    result = until()
    return [sample for client in clients for sample in client.end()], result


def wait_moved(instance, limit_s):
    """What shard 0 tells of the move when it is over."""
    with instance.connect() as connection:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            stats = stats_of(connection)
            if stats["slots_left"] == 0:
                return stats
            time.sleep(POLL_S)
    raise AssertionError("%d slots have not moved in %d s" % (stats["slots_left"], limit_s))


def measure(instance, options):
    value = b"x" * options.value_bytes
    with instance.connect() as connection:
        fill(connection, options.keys, value)
    instance.shards = options.to
    instance.restart()
    moving, stats = clients_run(instance, options, value,
                                lambda: wait_moved(instance, options.limit_s))
    idle, _ = clients_run(instance, options, value, lambda: time.sleep(options.idle_s))
    seconds = stats["move_us"] / 1e6
    print("%d to %d shards: %d slots, %d keys, %.1f MB in %.2f s: %.1f MB/s, %d keys/s; "
          "a group was held for %.1f ms at most; %d were tried again"
          % (options.shards, options.to, stats["slots_moved"], stats["keys_moved"],
             stats["bytes_moved"] / 1e6, seconds, stats["bytes_moved"] / 1e6 / seconds,
             stats["keys_moved"] / seconds, stats["hold_us_max"] / 1000, stats["retries"]))
    latencies_print("moving", moving)
    latencies_print("idle", idle)
    print("p99 while moving is %.2f times that of idle"
          % (percentile(moving, 0.99) / percentile(idle, 0.99)))
    with instance.connect() as connection:
        size = connection.call("DBSIZE")
    if size != options.keys:
        raise AssertionError("there are %d keys instead of %d" % (size, options.keys))


def main():
    parser = argparse.ArgumentParser(prog="perf/reshard.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--shards", type=int, default=1, help="at first")
    parser.add_argument("--to", type=int, default=2, help="shards after the restart")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--idle-s", type=float, default=5.0, help="for how long idle is measured")
    parser.add_argument("--limit-s", type=float, default=300.0, help="for the move")
    parser.add_argument("--durability", default="interval:1000")
    parser.add_argument("--memory", help="--memory of the server (default: its own)")
    parser.add_argument("--dir", help="folder for the data (default: the system's temporary one)")
    options = parser.parse_args()
    if not 1 <= options.keys <= KEYS_MAX or options.clients < 1:
        parser.error("between 1 and %d keys, and a client at least" % KEYS_MAX)
    server.end_on_sigterm()
    with server.Server(shards=options.shards, durability=options.durability, memory=options.memory,
                       log_level="warning", parent=options.dir) as instance:
        measure(instance, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
