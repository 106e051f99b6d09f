#!/usr/bin/python3
"""Blocked consumers move jobs from list to list while the server is killed.

usage: jobs.py [--kills N] [--seed N] [--canary]

Producers RPUSH numbered jobs to a few queues; more consumers than jobs wait in BLMOVE for them and
move them to lists in other slots, so that with several shards a move is a commit over two. The
server is killed at a random instant and started again, over 1, 2 and 4 shards. Then every job whose
push was acknowledged must be in exactly one list, every job whose move was acknowledged in the list
it was moved to, and no job anywhere twice. --canary loses, doubles and moves back a job in what was
read, and each must be noticed.
"""

import argparse
import collections
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import server  # noqa: E402  (the path is set above)

QUEUES = 3
PRODUCERS = 2
CONSUMERS = 8
SHARDS = (1, 2, 4)
LOAD_S_MAX = 0.6
JOIN_S = 20


def queue_name(i):
    return b"queue%d" % i


def done_name(i):
    return b"done%d" % i


class Round:
    """What the clients of one life of the server know."""

    def __init__(self, port, first_job):
        self.port = port
        self.next_job = first_job
        self.lock = threading.Lock()
        self.pushed = set()  # Acknowledged.
        self.moved = {}  # Acknowledged: job -> list.
        self.errors = []

    def job(self):
        with self.lock:
            self.next_job += 1
            return b"%d" % self.next_job

    def produce(self, seed):
        rng = random.Random(seed)
        try:
            with server.Connection(self.port) as connection:
                while True:
                    job = self.job()
                    connection.call("RPUSH", queue_name(rng.randrange(QUEUES)), job)
                    self.pushed.add(job)
        except server.ConnectionLost:
            pass
        except server.ReplyError as error:
            self.errors.append(str(error))

    def consume(self, i):
        source, target = queue_name(i % QUEUES), done_name(i % QUEUES)
        try:
            with server.Connection(self.port) as connection:
                while True:
                    job = connection.call("BLMOVE", source, target, "LEFT", "RIGHT", "0")
                    self.moved[job] = target
        except server.ConnectionLost:
            pass
        except server.ReplyError as error:
            self.errors.append(str(error))


def lists_read(port):
    with server.Connection(port) as connection:
        return {name: connection.call("LRANGE", name, 0, -1)
                for i in range(QUEUES) for name in (queue_name(i), done_name(i))}


def check(lists, pushed, moved):
    """What is wrong with the lists; empty: nothing."""
    places = collections.defaultdict(list)
    for name, jobs in lists.items():
        for job in jobs:
            places[job].append(name)
    faults = ["job %s is in %s" % (job.decode(), names)
              for job, names in places.items() if len(names) > 1]
    faults += ["job %s is lost" % job.decode() for job in pushed if job not in places]
    faults += ["job %s was moved to %s and is in %s" % (job.decode(), name, places.get(job))
               for job, name in moved.items() if name not in places.get(job, [])]
    return faults


def kill_once(instance, rng, pushed, moved, first_job):
    life = Round(instance.port, first_job)
    threads = [threading.Thread(target=life.consume, args=(i,), daemon=True)
               for i in range(CONSUMERS)]
    threads += [threading.Thread(target=life.produce, args=(rng.random(),), daemon=True)
                for _ in range(PRODUCERS)]
    for thread in threads:
        thread.start()
    time.sleep(rng.uniform(0.05, LOAD_S_MAX))
    instance.kill()
    for thread in threads:
        thread.join(JOIN_S)
    instance.start()
    pushed |= life.pushed
    moved.update(life.moved)
    return life.next_job, life.errors


def run(shards, kills, seed):
    """(faults, jobs moved)"""
    rng = random.Random(seed)
    pushed, moved = set(), {}
    job = 0
    with server.Server(shards=shards) as instance:
        for _ in range(kills):
            job, errors = kill_once(instance, rng, pushed, moved, job)
            faults = errors or check(lists_read(instance.port), pushed, moved)
            if faults:
                return faults, len(moved)
    if not moved:
        return ["no job was moved: the load missed its target"], 0
    return [], len(moved)


def canary():
    lists = {b"queue0": [b"1"], b"done0": [b"2", b"3"]}
    pushed, moved = {b"1", b"2", b"3"}, {b"2": b"done0"}
    lost = {b"queue0": [], b"done0": [b"2", b"3"]}
    doubled = {b"queue0": [b"1", b"3"], b"done0": [b"2", b"3"]}
    back = {b"queue0": [b"1", b"2"], b"done0": [b"3"]}
    return (not check(lists, pushed, moved)
            and all(check(bad, pushed, moved) for bad in (lost, doubled, back)))


def main():
    parser = argparse.ArgumentParser(description="Blocked consumers under SIGKILL.")
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--canary", action="store_true")
    options = parser.parse_args()
    server.end_on_sigterm()
    passed = failed = 0
    for number, shards in enumerate(SHARDS):
        kills = max(1, options.kills // len(SHARDS))
        faults, moved = run(shards, kills, options.seed * 1000 + number)
        print("%d shards, %d kills: %d jobs moved, %s"
              % (shards, kills, moved, "; ".join(faults[:5]) or "none lost, none doubled"),
              flush=True)
        passed, failed = (passed, failed + 1) if faults else (passed + 1, failed)
    if options.canary:
        passed, failed = (passed + 1, failed) if canary() else (passed, failed + 1)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
