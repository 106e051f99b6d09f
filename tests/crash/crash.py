#!/usr/bin/python3
"""Kill the server under pipelined load, start it again, and look for what it promised to keep.

usage: crash.py [--kills N] [--relaxed-kills N] [--seed S] [--shards 1,2,4] [--jobs N] [--keep]

The kills are spread over worlds: a world is one server with a shard count, a data folder that
lives through all its kills, and a few connections that write to keys of their own (model.py).
Each round: load, SIGKILL at a random instant, restart (sometimes killed once more while it
recovers), and a look at every key:

  - a group of keys is in the state after its last acknowledged command, or after one of those
    that were sent later, in order: nothing acknowledged is lost, nothing is seen in part, and
    no value is there that was not sent;
  - with one shard, the groups of a connection agree on *one* point in its sequence of commands;
  - counters that several connections raise lie between what was acknowledged and what was sent;
  - what EXEC and scripts write on several shards, to a key of each type, is there as a whole: all
    the keys count the same, and not less than was acknowledged; entries that a group of consumers
    was given are pending for who was given them, until they were acknowledged;
  - SCAN returns the keys that are there, each of them, and no other.

In a world of 0 shards each start has another number of shards, so that slots move between shards
under load, and a kill hits moves at any step.

Now and then the server is stopped by SIGTERM instead, under the same load: it must exit with 0,
and nothing acknowledged may be missing, whatever the durability.

Relaxed kills run at --durability interval: acknowledged commands may be lost, but what is left of
a connection's commands is still a beginning of their sequence, and batches are whole.

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
WHOLES = 3  # Sets of keys that EXEC and scripts change together.
# A key of each type, in slots of their own: what counts one more, and how it is counted.
WHOLE_KEYS = [
    (lambda name, text: ["INCR", name], lambda name: ["GET", name]),
    (lambda name, text: ["RPUSH", name, text], lambda name: ["LLEN", name]),
    (lambda name, text: ["HSET", name, text, text], lambda name: ["HLEN", name]),
    (lambda name, text: ["SADD", name, text], lambda name: ["SCARD", name]),
    (lambda name, text: ["ZADD", name, 1, text], lambda name: ["ZCARD", name]),
    (lambda name, text: ["XADD", name, "*", "f", text], lambda name: ["XLEN", name]),
]
SCRIPT = """local n = 0
for i, key in ipairs(KEYS) do
    if i == 1 then n = redis.call('INCR', key)
    elseif i == 2 then redis.call('RPUSH', key, ARGV[1])
    elseif i == 3 then redis.call('HSET', key, ARGV[1], ARGV[1])
    elseif i == 4 then redis.call('SADD', key, ARGV[1])
    elseif i == 5 then redis.call('ZADD', key, 1, ARGV[1])
    else redis.call('XADD', key, '*', 'f', ARGV[1]) end
end
return n"""
PIPELINE_DEPTHS = [1, 1, 4, 16, 64]
PIPELINE_BYTES_MAX = 256 * 1024
LOAD_MS_MIN = 5
LOAD_MS_MAX = 1500  # Short loads are as frequent as long ones: drawn on a logarithmic scale.
RECOVERY_KILL_SHARE = 0.12  # Share of the kills that hit a server which is starting.
RECOVERY_KILL_MS_MAX = 60
CLEAN_STOP_SHARE = 0.08  # How often a round is preceded by one that ends with SIGTERM.
STOP_SECONDS_MAX = 5
RELAXED_DURABILITY = "interval:100"
CLOCK_SLACK_MS = 60  # The server reads its clock once a turn of its loop.
KILLS_A_WORLD_MAX = 25
RESHARD_SHARDS_MAX = 4  # In worlds of 0 shards.
WORLD_TIMEOUT_S = 600
PROBLEMS_SHOWN = 3
MEMORY_SMALL = "128M"  # Some worlds run with little memory, so that they flush and compact.


class Mismatch(Exception):
    """The server broke a promise; the message says which."""


def whole_names(whole):
    return ["whole:%d:%d" % (whole, i) for i in range(len(WHOLE_KEYS))]


class Whole:
    """One more in every key of a set, by EXEC or a script, with the answers to its commands."""

    def __init__(self, whole, text, is_script):
        self.whole = whole
        names = whole_names(whole)
        if is_script:
            self.commands = [["EVAL", SCRIPT, len(names)] + names + [text]]
        else:
            self.commands = [["MULTI"]] + [
                make(name, text) for name, (make, _) in zip(names, WHOLE_KEYS)] + [["EXEC"]]

    def is_answer(self, replies):
        return isinstance(replies[-1], int) or (
            isinstance(replies[-1], list) and len(replies[-1]) == len(WHOLE_KEYS)
            and not any(isinstance(part, Exception) for part in replies[-1]))


QUEUE, CONSUMERS = "queue", "g"  # A stream, and the group that all connections read it for.
QUEUE_LENGTH = 2000
PENDING_MAX = 1_000_000


class Take:
    """One entry more in the queue, and up to two for this connection."""

    def __init__(self, text, name):
        self.commands = [
            ["XADD", QUEUE, "MAXLEN", "~", QUEUE_LENGTH, "*", "f", text],
            ["XREADGROUP", "GROUP", CONSUMERS, name, "COUNT", 2, "STREAMS", QUEUE, ">"]]


class Finish:
    """What this connection was given is acknowledged."""

    def __init__(self, ids):
        self.ids = ids
        self.commands = [["XACK", QUEUE, CONSUMERS] + ids]


def now_ms():
    return int(time.time() * 1000)


class Client:
    """One connection's load: its writer, and the commands that have no answer yet."""

    def __init__(self, index, seed):
        self.writer = model.Writer("c%d" % index, GROUPS, random.Random(seed))
        self.rng = random.Random(seed + 1)
        self.acked = list(self.writer.states)  # State of each group as acknowledged.
        self.inflight = collections.deque()  # Op, or the index of a shared counter.
        self.base = self.acked  # State of each group when the round began.
        self.answered = []  # The acknowledged Ops of the round, in order.
        self.shared_sent = [0] * SHARED_COUNTERS
        self.shared_acked = [0] * SHARED_COUNTERS
        self.whole_sent = [0] * WHOLES
        self.whole_acked = [0] * WHOLES
        self.with_scripts = False  # Whether the server has them.
        self.taken = []  # Ids of the queue that it was given and has not sent XACK for,
        self.finished = set()  # and those whose XACK was answered in this round.
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
            draw = self.rng.random()
            if draw < 0.04:
                several = self._whole() if draw < 0.02 else self._queue()
                self.inflight.append(several)
                encoded = b"".join(server.encode(words) for words in several.commands)
            elif draw < 0.08:
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
            self._acknowledge(connection)

    def _whole(self):
        whole = self.rng.randrange(WHOLES)
        self.writer.sequence += 1
        self.whole_sent[whole] += 1
        text = "%s:%d" % (self.writer.prefix, self.writer.sequence)
        return Whole(whole, text, self.with_scripts and self.rng.random() < 0.5)

    def _queue(self):
        if len(self.taken) > 3 and self.rng.random() < 0.5:
            finish, self.taken = Finish(self.taken[1:]), self.taken[:1]
            return finish
        self.writer.sequence += 1
        return Take("%s:%d" % (self.writer.prefix, self.writer.sequence), self.writer.prefix)

    def _acknowledge_queue(self, sent, replies):
        for reply in replies:
            if isinstance(reply, Exception):
                raise Mismatch("%r was answered by %s" % (sent.commands, reply))
        if isinstance(sent, Take):
            self.taken += [entry[0] for _, entries in replies[1] or [] for entry in entries]
        else:
            if replies[0] != len(sent.ids):
                raise Mismatch("XACK of %d entries was answered by %r"
                               % (len(sent.ids), replies[0]))
            self.finished.update(sent.ids)

    def _acknowledge(self, connection):
        sent = self.inflight[0]
        if isinstance(sent, (Take, Finish)):
            self._acknowledge_queue(sent, [connection.read() for _ in sent.commands])
            self.inflight.popleft()
            return
        if isinstance(sent, Whole):
            replies = [connection.read() for _ in sent.commands]
            if not sent.is_answer(replies):
                raise Mismatch("%r was answered by %.300r" % (sent.commands[-1][:1], replies))
            self.whole_acked[sent.whole] += 1
            self.inflight.popleft()
            return
        reply = connection.read()
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
            self.answered.append(sent)
        self.inflight.popleft()
        self.replies += 1

    def settle(self, found):
        """The state found after recovery is where the next round begins."""
        self.writer.states = list(found)
        self.acked = list(found)
        self.base = list(found)
        self.answered = []
        self.inflight.clear()
        self.shared_sent = [0] * SHARED_COUNTERS
        self.shared_acked = [0] * SHARED_COUNTERS
        self.whole_sent = [0] * WHOLES
        self.whole_acked = [0] * WHOLES


class World:
    """One server through many kills."""

    def __init__(self, shards, seed, durability, is_relaxed):
        self.rng = random.Random(seed)
        self.shards = shards
        self.is_relaxed = is_relaxed
        memory = MEMORY_SMALL if self.rng.random() < 0.5 else None
        self.server = server.Server(shards=shards or RESHARD_SHARDS_MAX, durability=durability,
                                    memory=memory)
        self.clients = [Client(i, seed * 1000 + i * 2) for i in range(CONNECTIONS)]
        for client in self.clients:
            client.base = list(client.acked)
        self.shared = [0] * SHARED_COUNTERS
        self.wholes = [0] * WHOLES
        self.read_ms = (0, 0)

    def draw_shards(self):
        if self.shards == 0:
            self.server.shards = self.rng.randint(1, RESHARD_SHARDS_MAX)

    def load_and_end(self, end):
        """Load for a while, then end(), which ends the server while the load goes on."""
        go = threading.Event()
        for client in self.clients:
            client.start(self.server.port, go)
        go.set()
        load_ms = math.exp(self.rng.uniform(math.log(LOAD_MS_MIN), math.log(LOAD_MS_MAX)))
        time.sleep(load_ms / 1000)
        died = not self.server.alive()
        log = self.server.log_tail() if died else ""
        try:
            status = end() if not died else 0
        finally:
            self.server.kill()
            for client in self.clients:
                client.thread.join()
        if died:
            raise Mismatch("the server ended by itself under load\n" + log)
        if status:
            raise Mismatch("exit status %d after SIGTERM\n%s" % (status, self.server.log_tail()))
        for client in self.clients:
            if client.error is not None:
                raise Mismatch("under load: %s: %s"
                               % (type(client.error).__name__, client.error))

    def kill_while_starting(self):
        """Start, and kill before it can be expected to serve."""
        self.draw_shards()
        log = open(self.server.log_path, "ab")
        with log:
            process = subprocess.Popen(self.server.arguments(), stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, cwd=self.server.folder)
        time.sleep(self.rng.uniform(0, RECOVERY_KILL_MS_MAX) / 1000)
        process.kill()
        process.wait()

    def verify(self, is_relaxed=False):
        """Reads everything, settles the model on what is there, then raises the differences."""
        problems = []
        self.prepare()
        with self.server.connect() as connection:
            for client in self.clients:
                found = self._read_groups(connection, client)
                problems += self._compare(client, found, is_relaxed)
                client.settled = found
            problems += self._compare_shared(connection, is_relaxed)
            problems += self._compare_wholes(connection, is_relaxed)
            problems += self._compare_queue(connection, is_relaxed)
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
            commands.append(["MGET"] + keys)  # Of collections it answers that there is no string.
            commands += [read(keys[m]) for m, read in model.READS.items()]
            commands += [["PEXPIRETIME", name] for name in keys]
        before = now_ms()
        replies = connection.pipeline(commands)
        self.read_ms = (before, now_ms())
        for reply in replies:
            if isinstance(reply, server.ReplyError):
                raise Mismatch("reading after recovery: %s" % reply)
        reads = len(model.READS)
        step = 1 + reads + model.MEMBERS
        found = []
        for i in range(0, len(replies), step):
            values, expiries = replies[i], replies[i + 1 + reads : i + step]
            for member, reply in zip(model.READS, replies[i + 1 : i + 1 + reads]):
                values[member] = model.read_value(member, reply)
            # -2: it expired between the two reads.
            found.append(tuple(None if value is None or expiry == -2 else (value, max(expiry, 0))
                               for value, expiry in zip(values, expiries)))
        return found

    def _matches(self, expected, found):
        before, after = self.read_ms
        return model.state_matches(expected, found, before, after, CLOCK_SLACK_MS)

    def _compare(self, client, found, is_relaxed):
        problems = []
        base = client.base if is_relaxed else client.acked
        pending = list(client.answered) if is_relaxed else []
        pending += [op for op in client.inflight if isinstance(op, model.Op)]
        for group in range(GROUPS):
            states = [base[group]] + [op.state for op in pending if op.group == group]
            if not any(self._matches(state, found[group]) for state in states):
                problems.append(
                    "{%s:%d} is in no state that it may have (%d commands are uncertain)\n"
                    "  at least: %s\n  at most:  %s\n  found:    %s"
                    % (client.writer.prefix, group, len(states) - 1, model.describe(states[0]),
                       model.describe(states[-1]), model.describe(found[group])))
        if not problems and self.shards == 1 and not self._has_one_cut(base, pending, found):
            problems.append("%s: its groups do not agree on one point in the sequence of its %d "
                            "uncertain commands" % (client.writer.prefix, len(pending)))
        return problems

    def _has_one_cut(self, base, pending, found):
        """Is there a prefix of the pending commands after which all groups are as found?"""
        wrong = {g for g in range(GROUPS) if not self._matches(base[g], found[g])}
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

    def _compare_shared(self, connection, is_relaxed):
        problems = []
        values = connection.pipeline([["GET", "shared:%d" % i] for i in range(SHARED_COUNTERS)])
        for i, value in enumerate(values):
            number = int(value or 0)
            acked = sum(client.shared_acked[i] for client in self.clients)
            low = self.shared[i] + (0 if is_relaxed else acked)
            high = self.shared[i] + sum(client.shared_sent[i] for client in self.clients)
            if not low <= number <= high:
                problems.append("shared:%d is %d, not within %d acknowledged and %d sent"
                                % (i, number, low, high))
            self.shared[i] = number
        return problems

    def _compare_wholes(self, connection, is_relaxed):
        problems = []
        for i in range(WHOLES):
            counts = [int(reply or 0) for reply in connection.pipeline(
                [count(name) for name, (_, count) in zip(whole_names(i), WHOLE_KEYS)])]
            acked = sum(client.whole_acked[i] for client in self.clients)
            low = self.wholes[i] + (0 if is_relaxed else acked)
            high = self.wholes[i] + sum(client.whole_sent[i] for client in self.clients)
            if len(set(counts)) != 1:
                problems.append("whole:%d is seen in part: its keys count %r" % (i, counts))
            elif not low <= counts[0] <= high:
                problems.append("whole:%d counts %d, not within %d acknowledged and %d sent"
                                % (i, counts[0], low, high))
            self.wholes[i] = counts[0]
        return problems

    def prepare(self):
        """The queue's group, and whether there are scripts; after every start."""
        with self.server.connect() as connection:
            try:
                connection.call("XGROUP", "CREATE", QUEUE, CONSUMERS, "0", "MKSTREAM")
            except server.ReplyError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
            try:
                with_scripts = connection.call("EVAL", "return 1", "0") == 1
            except server.ReplyError:
                with_scripts = False
        for client in self.clients:
            client.with_scripts = with_scripts

    def _compare_queue(self, connection, is_relaxed):
        """What was given is pending for who was given it, until it was acknowledged."""
        entries = connection.call("XPENDING", QUEUE, CONSUMERS, "-", "+", PENDING_MAX)
        pending = {entry[0]: entry[1].decode() for entry in entries}
        problems = []
        for client in self.clients:
            name = client.writer.prefix
            for entry_id in client.taken:
                if not is_relaxed and pending.get(entry_id) != name:
                    problems.append("%s was given %s, which is pending for %s"
                                    % (name, entry_id.decode(), pending.get(entry_id)))
            for entry_id in client.finished:
                if not is_relaxed and entry_id in pending:
                    problems.append("%s is pending after its XACK" % entry_id.decode())
            client.taken = sorted((i for i, owner in pending.items() if owner == name),
                                  key=lambda i: [int(part) for part in i.split(b"-")])
            client.finished = set()
        return problems

    def _compare_scan(self, connection):
        expected = {b"shared:%d" % i for i in range(SHARED_COUNTERS) if self.shared[i] > 0}
        expected.add(QUEUE.encode())
        for i in range(WHOLES):
            expected |= {name.encode() for name in whole_names(i) if self.wholes[i] > 0}
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
    world.load_and_end(world.server.kill)
    while kills < kills_left and world.rng.random() < RECOVERY_KILL_SHARE:
        world.kill_while_starting()
        kills += 1
    world.draw_shards()
    world.server.start()
    world.verify(world.is_relaxed)
    return kills


def run_clean_stop(world):
    """One load that SIGTERM ends: everything acknowledged is there, at every durability."""
    begin = time.monotonic()
    world.load_and_end(world.server.stop)
    seconds = time.monotonic() - begin - LOAD_MS_MAX / 1000
    world.draw_shards()
    world.server.start()
    world.verify()
    if seconds > STOP_SECONDS_MAX:
        raise Mismatch("SIGTERM took more than %d s" % STOP_SECONDS_MAX)


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
    world = World(shards, seed, options.durability, options.relaxed)
    count = "%d shard%s" % (shards, "" if shards == 1 else "s") if shards else "changing shards"
    label = "%s, %s, seed %d" % (count, options.durability,
                                         seed)
    passed = failed = 0
    begin = time.monotonic()
    done = stops = 0
    try:
        world.server.start()
        world.prepare()
        while done < kills:
            is_stop = world.rng.random() < CLEAN_STOP_SHARE
            what = "stop %d" % (stops + 1) if is_stop else "kill %d" % (done + 1)
            made = 1
            try:
                if is_stop:
                    run_clean_stop(world)
                else:
                    made = run_round(world, kills - done)
                passed += made
                if options.verbose:
                    print("ok   %s: %s" % (label, what), flush=True)
            except Mismatch as error:
                failed += 1
                print("FAIL %s: %s\n     %s"
                      % (label, what, str(error).replace("\n", "\n     ")), flush=True)
                settle_after_failure(world)
            stops += is_stop
            done += 0 if is_stop else made
    except (server.ServerError, server.ConnectionLost) as error:
        failed += kills - done  # What cannot be run any more has failed, too.
        print("FAIL %s: %s" % (label, str(error).replace("\n", "\n     ")), flush=True)
    if failed and options.keep:
        keep_data(world, shards, seed)
    world.server.close()
    print("%s: %d kills, %d clean stops, %d commands answered, %.1f s"
          % (label, done, stops, sum(client.replies for client in world.clients),
             time.monotonic() - begin), flush=True)
    return passed, failed


def plan(kills, shard_counts, seed):
    """[(shards, seed, kills)]: the kills shared out evenly over worlds of a bounded length."""
    worlds = []
    for i, shards in enumerate(shard_counts):
        mine = kills // len(shard_counts) + (1 if i < kills % len(shard_counts) else 0)
        count = -(-mine // KILLS_A_WORLD_MAX)
        for j in range(count):
            share = mine // count + (1 if j < mine % count else 0)
            worlds.append((shards, seed + len(worlds), share))
    return worlds


class Runner:
    """Runs worlds as processes of their own, a few at a time: Python threads share one core."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.passed = 0
        self.failed = 0

    def run(self, worlds):
        """worlds: (shards, seed, kills, is_relaxed)"""
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

    def _one(self, shards, seed, kills, is_relaxed):
        command = [sys.executable, os.path.abspath(__file__), "--world", str(shards),
                   "--seed", str(seed), "--kills", str(kills),
                   "--durability", RELAXED_DURABILITY if is_relaxed else self.options.durability]
        command += ["--relaxed"] if is_relaxed else []
        again = " ".join(["tests/crash/crash.py"] + command[2:])
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
                print("     again: " + again, flush=True)


def server_canary():
    """A store that keeps nothing (redis-server without persistence) must be found out."""
    command = [sys.executable, os.path.abspath(__file__), "--world", "1", "--seed", "1",
               "--kills", "2", "--durability", "none"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                            env=dict(os.environ, ORBIT_PEER="redis"), timeout=WORLD_TIMEOUT_S)
    return result.returncode == 1 and b"is in no state that it may have" in result.stdout


def drawn_world(count):
    """A world that is never started, and its first client with count commands in flight."""
    world = World(1, 1, "sync", False)
    client = world.clients[0]
    for _ in range(count):
        client.inflight.append(client.writer.draw(now_ms()))
    world.read_ms = (now_ms(), now_ms())
    return world, client


def state_after(client, count):
    found = list(client.acked)
    for op in list(client.inflight)[:count]:
        found[op.group] = op.state
    return found


def is_noticed(change):
    """Apply the change to a state that is right; is the result told from what is right?"""
    world, client = drawn_world(400)
    try:
        found = state_after(client, 300)
        before = world._compare(client, found, False)
        change(client, found)
        return not before and bool(world._compare(client, found, False))
    finally:
        world.server.close()


def tear_batch(client, found):
    """The last MSET of which nothing was overwritten, seen in part."""
    ops = list(client.inflight)[:300]
    for i in reversed(range(len(ops))):
        if ops[i].args[0] == "MSET" and all(op.group != ops[i].group for op in ops[i + 1 :]):
            found[ops[i].group] = (None,) + found[ops[i].group][1:]
            return
    raise AssertionError("no batch was drawn")


def leave_gap(client, found):
    """A command is missing although a later one, on another group, is there."""
    ops = list(client.inflight)[:300]
    last = [op for op in ops if op.state != client.acked[op.group]][-2]
    found[last.group] = client.acked[last.group]


def invent_value(client, found):
    found[0] = ((b"never sent", 0),) + found[0][1:]


class Answers:
    """A connection to a server that gives these answers."""

    def __init__(self, answers):
        self.answers = answers

    def pipeline(self, commands):
        return self.answers[:len(commands)]

    def call(self, *words):
        return self.answers


def torn_whole_is_noticed():
    world, _ = drawn_world(1)
    try:
        world.shared = [0] * SHARED_COUNTERS
        world.clients[0].whole_sent = [9] * WHOLES
        fine = world._compare_wholes(Answers([b"3", 3, 3, 3, 3, 3]), False)
        world.wholes = [0] * WHOLES
        torn = world._compare_wholes(Answers([b"3", 3, 3, 3, 3, 2]), False)
        return not fine and any("in part" in problem for problem in torn)
    finally:
        world.server.close()


def lost_delivery_is_noticed():
    world, client = drawn_world(1)
    try:
        client.taken = [b"1-1"]
        fine = world._compare_queue(Answers([[b"1-1", client.writer.prefix.encode(), 0, 1]]), False)
        client.taken, client.finished = [b"1-1"], {b"2-2"}
        lost = world._compare_queue(Answers([[b"2-2", b"other", 0, 1]]), False)
        return not fine and len(lost) == 2
    finally:
        world.server.close()


def run_canaries():
    """Planted faults, each of which the comparison must notice; (passed, failed, skipped)."""
    cases = [
        ("a batch seen in part is noticed", lambda: is_noticed(tear_batch)),
        ("a gap in a connection's commands is noticed", lambda: is_noticed(leave_gap)),
        ("a value that was never sent is noticed", lambda: is_noticed(invent_value)),
        ("a transaction over several shards seen in part is noticed", torn_whole_is_noticed),
        ("an entry of a stream that is nobody's any more is noticed", lost_delivery_is_noticed),
    ]
    skipped = 0
    if shutil.which("redis-server") is None:
        print("skipped: canary: a forgetful server: redis-server is not installed")
        skipped = 1
    else:
        cases.append(("a server that forgets what it acknowledged is noticed", server_canary))
    passed = failed = 0
    for name, is_found in cases:
        found = is_found()
        print("%s canary: %s" % ("ok  " if found else "FAIL", name), flush=True)
        passed += found
        failed += not found
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser(description="SIGKILL under load, restart, verify.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--relaxed-kills", type=int, default=0, metavar="N",
                        help="kills at %s besides" % RELAXED_DURABILITY)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", default="1,2,4",
                        help="shard counts, separated by commas; 0: another one at each start")
    parser.add_argument("--durability", default="sync")
    parser.add_argument("--jobs", type=int, default=2, help="servers at a time")
    parser.add_argument("--world", type=int, metavar="SHARDS",
                        help="run one world, in this process")
    parser.add_argument("--relaxed", action="store_true",
                        help="with --world: acknowledged commands may be lost from the end")
    parser.add_argument("--canary", action="store_true",
                        help="also show that planted faults are noticed")
    parser.add_argument("--keep", action="store_true", help="keep the data folder of a failure")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    server.end_on_sigterm()

    if options.world is not None:
        passed, failed = run_world(options.world, options)
    else:
        shard_counts = [int(count) for count in options.shards.split(",")]
        print("crash: seed %d, %d kills and %d relaxed ones, shards %s"
              % (options.seed, options.kills, options.relaxed_kills, options.shards), flush=True)
        runner = Runner(options)
        strict = plan(options.kills, shard_counts, options.seed)
        relaxed = plan(options.relaxed_kills, shard_counts, options.seed + len(strict))
        runner.run([world + (False,) for world in strict] + [world + (True,) for world in relaxed])
        passed, failed = runner.passed, runner.failed
    skipped = 0
    if options.canary:
        more = run_canaries()
        passed, failed, skipped = passed + more[0], failed + more[1], more[2]
    tail = ", %d skipped" % skipped if skipped else ""
    print("%d passed, %d failed%s" % (passed, failed, tail))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
