#!/usr/bin/python3
"""Kill the server under pipelined load, start it again, and look for what it promised to keep.

usage: crash.py [--kills N] [--seed S] [--shards 1,2,4] [--durability D] [--jobs N] [--keep] [-v]

The kills are spread over worlds: a world is one server with a shard count, a data folder that
lives through all its kills, and a few connections that write to keys of their own (model.py).
Each round: load, SIGKILL at a random instant, restart (sometimes killed once more while it
recovers), and a look at every key:

  - a group of keys is in the state after its last acknowledged command, or after one of those
    that were sent later, in order: nothing acknowledged is lost, nothing is seen in part, and
    no value is there that was not sent;
  - with one shard, the groups of a connection agree on *one* point in its sequence of commands;
  - counters that several connections raise lie between what was acknowledged and what was sent;
  - SCAN returns the keys that are there, each of them, and no other.

Under load every reply is compared with the model, too. SIGKILL leaves the page cache alone: this
proves replay; power cuts are the simulator's part. A round is a case. The instants of the kills
are drawn from the seed; what the server was doing then is not repeatable, the sequence of
commands is.
"""

import argparse
import collections
import math
import os
import random
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import model  # noqa: E402  (the paths are set above)
import server  # noqa: E402

CONNECTIONS = 4
GROUPS = 40  # For each connection.
SHARED_COUNTERS = 4
PIPELINE_DEPTHS = [1, 1, 4, 16, 64]
PIPELINE_BYTES_MAX = 256 * 1024
LOAD_MS_MIN = 5
LOAD_MS_MAX = 1500  # Short loads are as frequent as long ones: drawn on a logarithmic scale.
RECOVERY_KILL_SHARE = 0.12  # Share of the kills that hit a server which is starting.
RECOVERY_KILL_MS_MAX = 60
CLOCK_SLACK_MS = 60  # The server reads its clock once a turn of its loop.
KILLS_A_WORLD_MAX = 25
WORLD_TIMEOUT_S = 600
PROBLEMS_SHOWN = 3
MEMORY_SMALL = "128M"  # Some worlds run with little memory, so that they flush and compact.


class Mismatch(Exception):
    """The server broke a promise; the message says which."""


def now_ms():
    return int(time.time() * 1000)


class Client:
    """One connection's load: its writer, and the commands that have no answer yet."""

    def __init__(self, index, seed):
        self.writer = model.Writer("c%d" % index, GROUPS, random.Random(seed))
        self.rng = random.Random(seed + 1)
        self.acked = list(self.writer.states)  # State of each group as acknowledged.
        self.inflight = collections.deque()  # Op, or the index of a shared counter.
        self.shared_sent = [0] * SHARED_COUNTERS
        self.shared_acked = [0] * SHARED_COUNTERS
        self.settled = self.acked  # What the last look found.
        self.error = None
        self.replies = 0
        self.thread = None

    def start(self, port, go):
        self.error = None
        self.thread = threading.Thread(target=self._run, args=(port, go), daemon=True)
        self.thread.start()

    def _run(self, port, go):
        try:
            with server.Connection(port) as connection:
                go.wait()
                while True:
                    self._pipeline(connection)
        except server.ConnectionLost:
            pass  # The kill; what is still in flight is unknown.
        except Exception as error:  # Shown by the main thread.
            self.error = error

    def _pipeline(self, connection):
        data = []
        size = 0
        for _ in range(self.rng.choice(PIPELINE_DEPTHS)):
            if self.rng.random() < 0.04:
                counter = self.rng.randrange(SHARED_COUNTERS)
                self.shared_sent[counter] += 1
                self.inflight.append(counter)
                encoded = server.encode(["INCR", "shared:%d" % counter])
            else:
                op = self.writer.draw(now_ms())
                self.inflight.append(op)
                encoded = server.encode(op.args)
            data.append(encoded)
            size += len(encoded)
            if size > PIPELINE_BYTES_MAX:
                break
        connection.send_raw(b"".join(data))
        for _ in data:
            self._acknowledge(connection.read())

    def _acknowledge(self, reply):
        sent = self.inflight[0]
        if isinstance(sent, int):
            if not isinstance(reply, int):
                raise Mismatch("INCR of a shared counter was answered by %r" % (reply,))
            self.shared_acked[sent] += 1
        else:
            if isinstance(reply, server.ReplyError):
                reply = str(reply)
            if reply != sent.reply:
                raise Mismatch("%r was answered by %.200r instead of %.200r"
                               % (sent.args[:2], reply, sent.reply))
            self.acked[sent.group] = sent.state
        self.inflight.popleft()
        self.replies += 1

    def settle(self, found):
        """The state found after recovery is where the next round begins."""
        self.writer.states = list(found)
        self.acked = list(found)
        self.inflight.clear()
        self.shared_sent = [0] * SHARED_COUNTERS
        self.shared_acked = [0] * SHARED_COUNTERS


class World:
    """One server through many kills."""

    def __init__(self, shards, seed, durability):
        self.rng = random.Random(seed)
        self.shards = shards
        memory = MEMORY_SMALL if self.rng.random() < 0.5 else None
        self.server = server.Server(shards=shards, durability=durability, memory=memory)
        self.clients = [Client(i, seed * 1000 + i * 2) for i in range(CONNECTIONS)]
        self.shared = [0] * SHARED_COUNTERS
        self.read_ms = (0, 0)

    def load_and_kill(self):
        go = threading.Event()
        for client in self.clients:
            client.start(self.server.port, go)
        go.set()
        load_ms = math.exp(self.rng.uniform(math.log(LOAD_MS_MIN), math.log(LOAD_MS_MAX)))
        time.sleep(load_ms / 1000)
        died = not self.server.alive()
        log = self.server.log_tail() if died else ""
        self.server.kill()
        for client in self.clients:
            client.thread.join()
        if died:
            raise Mismatch("the server ended by itself under load\n" + log)
        for client in self.clients:
            if client.error is not None:
                raise Mismatch("under load: %s: %s"
                               % (type(client.error).__name__, client.error))

    def kill_while_starting(self):
        """Start, and kill before it can be expected to serve."""
        log = open(self.server.log_path, "ab")
        with log:
            process = subprocess.Popen(self.server.arguments(), stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, cwd=self.server.folder)
        time.sleep(self.rng.uniform(0, RECOVERY_KILL_MS_MAX) / 1000)
        process.kill()
        process.wait()

    def verify(self):
        """Reads everything, settles the model on what is there, then raises the differences."""
        problems = []
        with self.server.connect() as connection:
            for client in self.clients:
                found = self._read_groups(connection, client)
                problems += self._compare(client, found)
                client.settled = found
            problems += self._compare_shared(connection)
            problems += self._compare_scan(connection)
        for client in self.clients:
            client.settle(client.settled)
        if problems:
            hidden = len(problems) - PROBLEMS_SHOWN
            more = "\n... and %d more" % hidden if hidden > 0 else ""
            raise Mismatch("\n".join(problems[:PROBLEMS_SHOWN]) + more)

    def _read_groups(self, connection, client):
        prefix = client.writer.prefix
        commands = []
        for group in range(GROUPS):
            keys = [model.key(prefix, group, m) for m in range(model.MEMBERS)]
            commands.append(["MGET"] + keys)
            commands += [["PEXPIRETIME", name] for name in keys]
        before = now_ms()
        replies = connection.pipeline(commands)
        self.read_ms = (before, now_ms())
        for reply in replies:
            if isinstance(reply, server.ReplyError):
                raise Mismatch("reading after recovery: %s" % reply)
        step = 1 + model.MEMBERS
        found = []
        for i in range(0, len(replies), step):
            values, expiries = replies[i], replies[i + 1 : i + step]
            # -2: it expired between the two reads.
            found.append(tuple(None if value is None or expiry == -2 else (value, max(expiry, 0))
                               for value, expiry in zip(values, expiries)))
        return found

    def _matches(self, expected, found):
        before, after = self.read_ms
        return model.state_matches(expected, found, before, after, CLOCK_SLACK_MS)

    def _compare(self, client, found):
        problems = []
        pending = [op for op in client.inflight if not isinstance(op, int)]
        for group in range(GROUPS):
            states = [client.acked[group]] + [op.state for op in pending if op.group == group]
            if not any(self._matches(state, found[group]) for state in states):
                problems.append(
                    "{%s:%d} is in no state that it was ever to have (%d unacknowledged commands)\n"
                    "  acknowledged: %s\n  last sent:    %s\n  found:        %s"
                    % (client.writer.prefix, group, len(states) - 1, model.describe(states[0]),
                       model.describe(states[-1]), model.describe(found[group])))
        if not problems and self.shards == 1 and not self._has_one_cut(client, pending, found):
            problems.append("%s: its groups do not agree on one point in the sequence of its %d "
                            "unacknowledged commands" % (client.writer.prefix, len(pending)))
        return problems

    def _has_one_cut(self, client, pending, found):
        """Is there a prefix of the commands in flight after which all groups are as found?"""
        state = list(client.acked)
        wrong = {g for g in range(GROUPS) if not self._matches(state[g], found[g])}
        if not wrong:
            return True
        for op in pending:
            if self._matches(op.state, found[op.group]):
                wrong.discard(op.group)
            else:
                wrong.add(op.group)
            if not wrong:
                return True
        return False

    def _compare_shared(self, connection):
        problems = []
        values = connection.pipeline([["GET", "shared:%d" % i] for i in range(SHARED_COUNTERS)])
        for i, value in enumerate(values):
            number = int(value or 0)
            low = self.shared[i] + sum(client.shared_acked[i] for client in self.clients)
            high = self.shared[i] + sum(client.shared_sent[i] for client in self.clients)
            if not low <= number <= high:
                problems.append("shared:%d is %d, not within %d acknowledged and %d sent"
                                % (i, number, low, high))
            self.shared[i] = number
        return problems

    def _compare_scan(self, connection):
        expected = {b"shared:%d" % i for i in range(SHARED_COUNTERS) if self.shared[i] > 0}
        fleeting = set()
        for client in self.clients:
            for group, state in enumerate(client.settled):
                for member, entry in enumerate(state):
                    name = model.key(client.writer.prefix, group, member).encode()
                    if member == model.BRIEF:
                        fleeting.add(name)
                    elif entry is not None:
                        expected.add(name)
        seen = set()
        cursor = b"0"
        for _ in range(len(expected) + 1000):
            cursor, names = connection.call("SCAN", cursor, "COUNT", 300)
            seen.update(names)
            if cursor == b"0":
                break
        else:
            return ["SCAN does not come to an end"]
        problems = []
        for name in sorted(expected - seen)[:3]:
            problems.append("SCAN does not return %s" % name.decode())
        for name in sorted(seen - expected - fleeting)[:3]:
            problems.append("SCAN returns %s, which is not there" % name.decode())
        return problems


def run_round(world, kills_left):
    """One load and kill, perhaps kills during recovery, and a look; returns the kills made."""
    kills = 1
    world.load_and_kill()
    while kills < kills_left and world.rng.random() < RECOVERY_KILL_SHARE:
        world.kill_while_starting()
        kills += 1
    world.server.start()
    world.verify()
    return kills


def settle_after_failure(world):
    """Take what is there as the new beginning, so that one failure is reported once."""
    if not world.server.alive():
        world.server.start()
    try:
        world.verify()
    except Mismatch:
        pass  # Reported already.


def keep_data(world, shards, seed):
    kept = os.path.join(server.build_folder(), "crash-%d-%d" % (shards, seed))
    shutil.rmtree(kept, ignore_errors=True)
    world.server.kill()
    shutil.copytree(world.server.folder, kept)
    print("     kept as %s" % kept)


def run_world(shards, options):
    """The rounds of one world; returns (passed, failed)."""
    seed, kills = options.seed, options.kills
    world = World(shards, seed, options.durability)
    label = "%d shard%s, seed %d" % (shards, "" if shards == 1 else "s", seed)
    passed = failed = 0
    begin = time.monotonic()
    try:
        world.server.start()
        while passed + failed < kills:
            number = passed + failed + 1
            try:
                passed += run_round(world, kills - passed - failed)
                if options.verbose:
                    print("ok   %s: kill %d" % (label, number), flush=True)
            except Mismatch as error:
                failed += 1
                print("FAIL %s: kill %d\n     %s"
                      % (label, number, str(error).replace("\n", "\n     ")), flush=True)
                settle_after_failure(world)
    except (server.ServerError, server.ConnectionLost) as error:
        failed = kills - passed  # What cannot be run any more has failed, too.
        print("FAIL %s: %s" % (label, str(error).replace("\n", "\n     ")), flush=True)
    if failed and options.keep:
        keep_data(world, shards, seed)
    world.server.close()
    print("%s: %d kills, %d commands answered, %.1f s"
          % (label, passed + failed, sum(client.replies for client in world.clients),
             time.monotonic() - begin), flush=True)
    return passed, failed


def plan(kills, shard_counts, seed):
    """[(shards, seed, kills)]: the kills shared out evenly over worlds of a bounded length."""
    worlds = []
    for i, shards in enumerate(shard_counts):
        mine = kills // len(shard_counts) + (1 if i < kills % len(shard_counts) else 0)
        count = -(-mine // KILLS_A_WORLD_MAX)
        for j in range(count):
            worlds.append((shards, seed + len(worlds), mine // count + (1 if j < mine % count
                                                                        else 0)))
    return worlds


class Runner:
    """Runs worlds as processes of their own, a few at a time: Python threads share one core."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.passed = 0
        self.failed = 0

    def run(self, worlds):
        queue = list(worlds)

        def work():
            while True:
                with self.lock:
                    if not queue:
                        return
                    world = queue.pop(0)
                self._one(*world)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(self.options.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one(self, shards, seed, kills):
        command = [sys.executable, os.path.abspath(__file__), "--world", str(shards),
                   "--seed", str(seed), "--kills", str(kills),
                   "--durability", self.options.durability]
        command += ["--keep"] if self.options.keep else []
        command += ["-v"] if self.options.verbose else []
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=WORLD_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.terminate()  # It closes its server on the way out.
            output, _ = process.communicate()
            output += b"\nstopped after %d s" % WORLD_TIMEOUT_S
        lines = output.decode("utf-8", "replace").splitlines()
        words = lines[-1].split() if lines else []
        with self.lock:
            if len(words) == 4 and words[1] == "passed," and words[3] == "failed":
                self.passed += int(words[0])
                self.failed += int(words[2])
                lines = lines[:-1]
            else:
                self.failed += kills
            print("\n".join(lines), flush=True)
            if process.returncode != 0:
                print("     again: tests/crash/crash.py --world %d --seed %d --kills %d"
                      % (shards, seed, kills), flush=True)


def canary():
    """A store that keeps nothing (redis-server without persistence) must be found out."""
    name = "canary: a server that forgets what it acknowledged is found"
    if shutil.which("redis-server") is None:
        print("skipped: %s: redis-server is not installed" % name)
        return None
    command = [sys.executable, os.path.abspath(__file__), "--world", "1", "--seed", "1",
               "--kills", "2", "--durability", "none"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                            env=dict(os.environ, ORBIT_PEER="redis"), timeout=WORLD_TIMEOUT_S)
    found = result.returncode == 1 and b"is in no state that it was ever to have" in result.stdout
    print("%s %s" % ("ok  " if found else "FAIL", name), flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description="SIGKILL under load, restart, verify.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", default="1,2,4", help="shard counts, separated by commas")
    parser.add_argument("--durability", default="sync")
    parser.add_argument("--jobs", type=int, default=2, help="servers at a time")
    parser.add_argument("--world", type=int, metavar="SHARDS",
                        help="run one world, in this process")
    parser.add_argument("--canary", action="store_true",
                        help="also show that a server which loses data is found out")
    parser.add_argument("--keep", action="store_true", help="keep the data folder of a failure")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    server.end_on_sigterm()

    if options.world is not None:
        passed, failed = run_world(options.world, options)
    else:
        shard_counts = [int(count) for count in options.shards.split(",")]
        print("crash: seed %d, %d kills, shards %s"
              % (options.seed, options.kills, options.shards), flush=True)
        runner = Runner(options)
        runner.run(plan(options.kills, shard_counts, options.seed))
        passed, failed = runner.passed, runner.failed
    skipped = ""
    if options.canary:
        found = canary()
        passed += found is True
        failed += found is False
        skipped = ", 1 skipped" if found is None else ""
    print("%d passed, %d failed%s" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
