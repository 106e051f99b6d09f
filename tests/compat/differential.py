#!/usr/bin/python3
"""The same random commands to redis-server and to Orbit: replies and final state must agree.

  differential.py [--seed N] [--commands N] [--groups string,hash,set] [--shards N] [--resp 2|3]

Commands, keys and values are drawn from one seed, with edge values, wrong types and wrong numbers
of arguments among them. A difference prints the command and both replies; the exit status is 1.

Each diff_TYPE.py beside this file brings groups of commands, and names what may differ:

  GROUPS     {name: function(rng) -> words of a command, or a list of commands for one connection}
  UNORDERED  commands whose replies have no order
  PAIRS      commands whose replies are names and values without an order
  PICKS      commands that pick at random: only how many came is compared
  SCANS      commands of which everything is asked at once: what came is compared without an order
  CLOCKS     commands that tell how long something is: numbers may differ by what a clock went on
  NUMBERS    commands whose replies hold floating point numbers, which 7.0 writes with 17 digits
  DIFFERENT  [(command, Orbit's reply, Redis's, why)]
  READS      {type: the command that reads all of a key, without the key}
  NAMES      more names whose contents are compared in the end, beside those of diff_common
  is_excused(name, ours, theirs)  whether this difference of a command is known and right
  exchange(rng, source, target, report)  after batches; a key goes from one server to the other
  meet(rng, orbit, redis, report)  after batches; what takes several connections to each server
"""

import argparse
import glob
import importlib
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)
import server  # noqa: E402  (the path is set above)
from diff_common import KEYS, key  # noqa: E402

BATCH = 50  # Commands in flight together.
DIFFERENCES_MAX = 10
CLOCK_MAX = 3000  # Milliseconds, or seconds: two servers answer a command at different times.

TYPES = [importlib.import_module(os.path.basename(path)[:-3])
         for path in sorted(glob.glob(os.path.join(HERE, "diff_*.py")))]


def gathered(attribute, empty):
    """What all the types name under this attribute."""
    for module in TYPES:
        part = getattr(module, attribute, None)
        if part is not None:
            empty.extend(part) if isinstance(empty, list) else empty.update(part)
    return empty


GROUPS = gathered("GROUPS", {})
UNORDERED, PAIRS, PICKS = (gathered(name, set()) for name in ("UNORDERED", "PAIRS", "PICKS"))
NUMBERS, SCANS, CLOCKS = (gathered(name, set()) for name in ("NUMBERS", "SCANS", "CLOCKS"))
DIFFERENT = gathered("DIFFERENT", [])
READS = gathered("READS", {})
NAMES = gathered("NAMES", [b"k%d" % i for i in range(KEYS)])


def draw(rng, groups):
    """Commands that belong together; most are one."""
    drawn = GROUPS[rng.choice(groups)](rng)
    if isinstance(drawn[0], list):
        return drawn
    if rng.randrange(60) == 0:  # A wrong number of arguments.
        drawn = drawn[:rng.randint(1, len(drawn))]
    # The whole list of commands, and pages of a size that is each server's own, tell nothing.
    is_page = drawn[0].upper().endswith(b"SCAN") and b"COUNT" not in drawn
    return draw(rng, groups) if drawn == [b"COMMAND"] or is_page else [drawn]


def is_same(name, ours, theirs):
    """Equal, or in NUMBERS: 7.0 writes 17 digits, 7.2 and Orbit the fewest that mean the same."""
    if ours == theirs or name not in NUMBERS | CLOCKS:
        return ours == theirs
    if name in CLOCKS:
        return type(ours) is type(theirs) is int and abs(ours - theirs) < CLOCK_MAX and \
            (ours < 0) == (theirs < 0)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and \
            all(is_same(name, own, other) for own, other in zip(ours, theirs))
    try:
        return isinstance(ours, bytes) and isinstance(theirs, bytes) and \
            float(ours) == float(theirs)
    except ValueError:
        return False


def canonical(command, reply):
    """What must be equal: without an order where there is none."""
    name = command[0].decode().upper()
    if isinstance(reply, Exception):
        return ("error", str(reply))
    if name in PICKS:
        return len(reply) if isinstance(reply, list) else reply is None
    if name in SCANS and isinstance(reply, list) and len(reply) == 2:
        step = 1 if name in ("SCAN", "SSCAN") else 2
        parts = [iter(reply[1])] * step
        return reply[0], sorted(zip(*parts))
    if name in UNORDERED and isinstance(reply, (list, set, frozenset)):
        return sorted(reply)
    if name in PAIRS:
        if isinstance(reply, dict):
            return sorted(reply.items())
        if isinstance(reply, list):
            return sorted(zip(reply[0::2], reply[1::2]))
    return reply


def is_excused(command, ours, theirs):
    name = command[0].decode().upper()
    return any(entry[:3] == (name, ours, theirs) for entry in DIFFERENT) or \
        any(module.is_excused(name, ours, theirs) for module in TYPES
            if hasattr(module, "is_excused"))


def contents(connection, name):
    kind = connection.call("TYPE", name)
    kind = kind if isinstance(kind, bytes) else kind.encode()
    if kind == b"none":
        return None
    read = READS[kind]
    command = [read[0], name] + read[1:]
    return kind, canonical(command, connection.call(*command))


def is_same_contents(ours, theirs):
    if ours is None or theirs is None:
        return ours is theirs
    return ours[0] == theirs[0] and \
        is_same(READS[ours[0]][0].decode(), ours[1], theirs[1])


class Run:
    def __init__(self, orbit, redis, options):
        self.orbit, self.redis = orbit, redis
        self.rng = random.Random(options.seed)
        self.groups = options.groups.split(",")
        self.differences = 0
        self.queued = None  # The commands since MULTI.

    def report(self, command, ours, theirs):
        self.differences += 1
        print("difference: %.300r\n  orbit: %.300r\n  redis: %.300r" % (command, ours, theirs))
        if isinstance(ours, list) and isinstance(theirs, list):
            parts = [(i, own, other) for i, (own, other) in enumerate(zip(ours, theirs))
                     if own != other]
            print("  of %d and %d parts: %.300r" % (len(ours), len(theirs), parts))

    def batch(self, count):
        commands = []
        while len(commands) < count:
            commands += draw(self.rng, self.groups)
        ours = self.orbit.pipeline(commands)
        theirs = self.redis.pipeline(commands)
        for command, own, other in zip(commands, ours, theirs):
            self.compare(command, own, other)
        return len(commands)

    def compare(self, command, own, other):
        name = command[0].decode().upper()
        queued = self.queued
        if queued is not None and own == other == b"QUEUED":
            queued.append(command)
            return
        if len(command) == 1 and (name in ("EXEC", "DISCARD") or
                                  name == "MULTI" and own == other == b"OK"):
            self.queued = [] if name == "MULTI" else None
        if name == "EXEC" and queued is not None and isinstance(own, list) and \
                isinstance(other, list) and len(own) == len(other) == len(queued):
            for inner, part, other_part in zip(queued, own, other):
                self.compare(inner, part, other_part)
            return
        if not is_same(name, canonical(command, own), canonical(command, other)) and \
                not is_excused(command, own, other):
            self.report(command, own, other)

    def compare_state(self):
        own, other = (sorted(server.call("KEYS", "*")) for server in (self.orbit, self.redis))
        if own != other:
            self.report([b"KEYS"], sorted(set(own) - set(other)), sorted(set(other) - set(own)))
        for name in NAMES:
            own, other = contents(self.orbit, name), contents(self.redis, name)
            if not is_same_contents(own, other):
                self.report([b"contents of", name], own, other)

    def exchange_dumps(self):
        """A key of each goes to the other by DUMP and RESTORE."""
        for source, target in ((self.orbit, self.redis), (self.redis, self.orbit)):
            name = key(self.rng)
            payload = source.call("DUMP", name)
            if payload is None:
                continue
            target.call("DEL", b"copy")
            target.call("RESTORE", b"copy", "0", payload)
            own, other = contents(source, name), contents(target, b"copy")
            if not is_same_contents(own, other):
                self.report([b"RESTORE of", name], own, other)
            target.call("DEL", b"copy")
            for module in TYPES:
                if hasattr(module, "exchange"):
                    module.exchange(self.rng, source, target, self.report)

    def all(self, count):
        """How many commands it took."""
        done = batches = 0
        while done < count and self.differences < DIFFERENCES_MAX:
            done += self.batch(min(BATCH, count - done))
            batches += 1
            if batches % 20 == 0:
                self.compare_state()
                self.exchange_dumps()
                done += self.meet()
        self.compare_state()
        return done

    def meet(self):
        """How many commands that took."""
        return sum(module.meet(self.rng, self.orbit, self.redis, self.report) for module in TYPES
                   if hasattr(module, "meet") and self.groups_of(module))

    def groups_of(self, module):
        return set(self.groups) & set(module.GROUPS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", type=int, default=20000)
    parser.add_argument("--groups", default=",".join(GROUPS), help="of " + ", ".join(GROUPS))
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--resp", type=int, default=2, choices=[2, 3])
    options = parser.parse_args()
    with server.Server(shards=options.shards, durability="none") as orbit_server, \
            server.Server(kind="redis", durability="none") as redis_server, \
            server.Connection(orbit_server.port) as orbit, \
            server.Connection(redis_server.port) as redis:
        if options.resp == 3:
            orbit.call("HELLO", "3")
            redis.call("HELLO", "3")
        run = Run(orbit, redis, options)
        try:
            done = run.all(options.commands)
        except server.ConnectionLost as lost:
            for one in (orbit_server, redis_server):
                print("%s (%s), its log ends with\n%s" % (one.kind, lost, one.log_tail(40)))
            return 1
    print("%d commands, seed %d, %s, RESP%d: %d differences" %
          (done, options.seed, options.groups, options.resp, run.differences))
    return 1 if run.differences > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
