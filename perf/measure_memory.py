#!/usr/bin/python3
"""Does the server keep to its memory budget when it holds twice as much data?

Writes random values (they do not compress), then reads and overwrites keys at random, while the
resident memory of the server is sampled. The peak must stay within the budget + 10 %. Every value
that is read is compared with what was written. Exit status 0 when the peak stays within.
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

ALLOWED_SHARE = 1.10
VALUE_BYTES = 1000
PIPELINE = 200
SAMPLE_S = 0.02
NOISE_BYTES = 1 << 20
PROGRESS_STEPS = 10


class Sampler:
    """The highest resident memory seen, by phase."""

    def __init__(self, instance):
        self.instance = instance
        self.peaks = {}
        self.phase = "start"
        self.is_stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.is_stopping:
            try:
                rss = self.instance.rss_bytes()
            except (OSError, AttributeError):
                return  # The server is gone; whoever talks to it reports that.
            self.peaks[self.phase] = max(self.peaks.get(self.phase, 0), rss)
            time.sleep(SAMPLE_S)

    def stop(self):
        self.is_stopping = True
        self.thread.join()


def parse_size(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    if text[-1:].upper() in units:
        return int(text[:-1]) * units[text[-1].upper()]
    return int(text)


class Values:
    """The value of a key can be told from its number and version; all of them are noise."""

    def __init__(self):
        self.noise = random.Random(7).randbytes(NOISE_BYTES)

    def value(self, number, version):
        start = (number * 7919 + version * 104729) % (NOISE_BYTES - VALUE_BYTES)
        return b"%d:%d:" % (number, version) + self.noise[start : start + VALUE_BYTES]


def load(connection, values, count):
    for start in range(0, count, PIPELINE):
        numbers = range(start, min(start + PIPELINE, count))
        replies = connection.pipeline([["SET", "key:%d" % n, values.value(n, 0)] for n in numbers])
        if any(reply != b"OK" for reply in replies):
            raise AssertionError("SET was answered by %r" % [r for r in replies if r != b"OK"][0])
        if start // PIPELINE % (count // PIPELINE // PROGRESS_STEPS + 1) == 0:
            print("  %3d %% written" % (100 * start // count), flush=True)


def churn(connection, values, count, operations, rng):
    """Random reads, each checked, and as many overwrites."""
    versions = {}
    for _ in range(0, operations, 2 * PIPELINE):
        reads = [rng.randrange(count) for _ in range(PIPELINE)]
        replies = connection.pipeline([["GET", "key:%d" % n] for n in reads])
        for number, reply in zip(reads, replies):
            if reply != values.value(number, versions.get(number, 0)):
                raise AssertionError("key:%d holds %.60r" % (number, reply))
        writes = [rng.randrange(count) for _ in range(PIPELINE)]
        commands = []
        for number in writes:
            versions[number] = versions.get(number, 0) + 1
            commands.append(["SET", "key:%d" % number, values.value(number, versions[number])])
        connection.pipeline(commands)


def scan_all(connection):
    cursor, count = b"0", 0
    while True:
        cursor, keys = connection.call("SCAN", cursor, "COUNT", 1000)
        count += len(keys)
        if cursor == b"0":
            return count


def main():
    parser = argparse.ArgumentParser(prog="perf/memory.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", default="256M", help="the budget (default %(default)s)")
    parser.add_argument("--data", help="how much data (default: twice the budget)")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--durability", default="interval:1000")
    parser.add_argument("--dir", help="folder for the data (default: the system's temporary one)")
    options = parser.parse_args()
    server.end_on_sigterm()

    budget = parse_size(options.memory)
    data = parse_size(options.data) if options.data else 2 * budget
    count = data // VALUE_BYTES
    values = Values()
    print("budget %d MiB, %d keys of %d bytes (%d MiB), %d shards"
          % (budget >> 20, count, VALUE_BYTES, data >> 20, options.shards), flush=True)
    with server.Server(memory=options.memory, shards=options.shards, durability=options.durability,
                       log_level="warning", parent=options.dir) as instance:
        sampler = Sampler(instance)
        with instance.connect() as connection:
            sampler.phase = "writing"
            load(connection, values, count)
            sampler.phase = "reading and overwriting"
            churn(connection, values, count, count // 2, random.Random(11))
            sampler.phase = "scanning"
            scanned = scan_all(connection)
        sampler.stop()
    if scanned != count:
        print("SCAN returned %d keys instead of %d" % (scanned, count))
        return 1
    limit = int(budget * ALLOWED_SHARE)
    for phase, peak in sampler.peaks.items():
        print("  %-24s peak %4d MiB resident, %3d %% of the budget"
              % (phase, peak >> 20, 100 * peak // budget))
    peak = max(sampler.peaks.values())
    print("peak %d MiB, allowed %d MiB: %s"
          % (peak >> 20, limit >> 20, "kept" if peak <= limit else "EXCEEDED"))
    return 0 if peak <= limit else 1


if __name__ == "__main__":
    sys.exit(main())
