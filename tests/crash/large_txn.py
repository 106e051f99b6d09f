#!/usr/bin/python3
"""A transaction many times larger than the server's memory: resident memory stays bounded while it
is written, committed and read; it is there whole or not at all after a SIGKILL while it is written,
while it commits and behind its commit; then all of it is there.

usage: large_txn.py [--mib N] [--seed N]

The bound on resident memory is half as much again as --memory, and 32 MiB."""

import argparse
import os
import random
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.lib.server import Connection, ConnectionLost, Server, Tally  # noqa: E402

MEMORY_MIB = 64
RESIDENT_MIB_MAX = MEMORY_MIB * 3 // 2 + 32
VALUE_BYTES = 10_000
PIPELINE = 100
REPLY_SECONDS = 300


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


class World:
    def __init__(self, mib, seed):
        self.keys = (mib << 20) // VALUE_BYTES
        self.random = random.Random(seed)
        self.commit_seconds = 1.0
        self.server = Server(shards=2, memory=f"{MEMORY_MIB}M")

    def connect(self):
        return Connection(self.server.port, timeout_s=REPLY_SECONDS)

    def resident_mib(self):
        with open(f"/proc/{self.server.pid}/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) // 1024
        raise AssertionError("no VmHWM")

    def write(self, connection, mark, until=None):
        """The keys up to `until` in one transaction, which stays open."""
        expect(connection.call("ORBIT.BEGIN") == b"OK", "ORBIT.BEGIN")
        value = mark + b"v" * (VALUE_BYTES - len(mark))
        end = self.keys if until is None else until
        for first in range(0, end, PIPELINE):
            replies = connection.pipeline([("SET", f"key:{i}", value)
                                           for i in range(first, min(first + PIPELINE, end))])
            expect(all(reply == b"OK" for reply in replies), f"SET: {replies[-1]}")

    def marks(self, connection):
        """How often each mark stands at the begin of a value: of all keys."""
        found = {}
        for first in range(0, self.keys, 1000):
            replies = connection.pipeline([("GETRANGE", f"key:{i}", 0, 4)
                                           for i in range(first, min(first + 1000, self.keys))])
            for reply in replies:
                found[reply] = found.get(reply, 0) + 1
        return found

    def killed(self):
        self.server.kill()
        self.server.start()


def large_transaction_is_whole_and_bounded(world):
    with world.connect() as connection:
        world.write(connection, b"first")
        with world.connect() as other:
            expect(other.call("DBSIZE") == 0, "others see it before its commit")
        begin = time.monotonic()
        expect(connection.call("ORBIT.COMMIT"), "ORBIT.COMMIT")
        world.commit_seconds = time.monotonic() - begin
        found = world.marks(connection)
    expect(found == {b"first": world.keys}, f"after the commit: {found}")
    resident = world.resident_mib()
    print(f"# {world.keys} keys of {VALUE_BYTES} bytes, --memory {MEMORY_MIB}M: "
          f"{resident} MiB resident at most, commit in {world.commit_seconds:.1f} s")
    expect(resident <= RESIDENT_MIB_MAX, f"{resident} MiB resident, {RESIDENT_MIB_MAX} allowed")
    world.killed()
    with world.connect() as connection:
        found = world.marks(connection)
    expect(found == {b"first": world.keys}, f"after a kill behind the commit: {found}")


def killed_while_it_is_written_it_leaves_nothing(world):
    with world.connect() as connection:
        world.write(connection, b"secnd", world.random.randrange(world.keys // 2, world.keys))
        world.killed()
    with world.connect() as connection:
        found = world.marks(connection)
        expect(found == {b"first": world.keys}, f"after a kill before the commit: {found}")


def killed_while_it_commits_it_is_whole_or_not_there(world):
    with world.connect() as connection:
        world.write(connection, b"third")
        connection.send("ORBIT.COMMIT")
        time.sleep(world.random.random() * world.commit_seconds)  # Anywhere in its commit.
        world.server.kill()
        try:
            is_answered = connection.read() is not None
        except ConnectionLost:
            is_answered = False
    world.server.start()
    with world.connect() as connection:
        found = world.marks(connection)
    print(f"# killed in its commit: {found}, {'answered' if is_answered else 'not answered'}")
    expect(found == {b"third": world.keys} or
           (not is_answered and found == {b"first": world.keys}), f"half of it: {found}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"# {arguments.mib} MiB, seed {arguments.seed}")
    tally = Tally()
    world = World(arguments.mib, arguments.seed)
    with world.server:
        for case in (large_transaction_is_whole_and_bounded,
                     killed_while_it_is_written_it_leaves_nothing,
                     killed_while_it_commits_it_is_whole_or_not_there):
            tally.run(case.__name__, lambda case=case: case(world))
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
