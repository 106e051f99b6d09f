#!/usr/bin/python3
"""The same random commands to redis-server and to Orbit: replies and final state must agree.

  differential.py [--seed N] [--commands N] [--groups string,hash,set] [--shards N] [--resp 2|3]

Commands, keys and values are drawn from one seed, with edge values, wrong types and wrong numbers
of arguments among them. What may differ is named in this file: the order of unordered replies,
random picks (their number is compared), and what stands in DIFFERENT. A difference prints the
command and both replies, and the exit status is 1.
"""

import argparse
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import server  # noqa: E402  (the path is set above)

BATCH = 50  # Commands in flight together.
KEYS = 12  # Few, so that commands meet.
DIFFERENCES_MAX = 10

UNORDERED = {"SMEMBERS", "SINTER", "SUNION", "SDIFF", "HKEYS", "HVALS", "KEYS"}
PAIRS = {"HGETALL"}
PICKS = {"SRANDMEMBER", "HRANDFIELD", "RANDOMKEY"}  # Only how many came is compared.

# What Orbit answers otherwise: (command, Orbit's reply, Redis's, why).
DIFFERENT = [
    ("OBJECT", b"embstr", b"raw", "strings have one form; the name goes by the bytes alone"),
    ("OBJECT", b"int", b"embstr", "the same"),
    ("OBJECT", b"int", b"raw", "the same"),
    ("OBJECT", b"listpack", b"quicklist", "Redis 7.2 has listpacks of lists, 7.0 has not"),
    ("OBJECT", b"listpack", b"hashtable", "Redis 7.2 has listpacks of sets, 7.0 has not"),
]

# Redis 7.0 looks at the key first, and at the other arguments only if it holds a string; 7.2 looks
# at the arguments first.
LATE_SYNTAX = {"BITCOUNT", "BITPOS"}


def key(rng):
    return b"k%d" % rng.randrange(KEYS)


def word(rng):
    """A value: small numbers, texts, bytes, empty, long."""
    kind = rng.randrange(12)
    if kind < 4:
        return b"%d" % rng.randrange(-5, 30)
    if kind < 8:
        return b"f%d" % rng.randrange(40)
    if kind == 8:
        return rng.choice([b"", b"\x00\xff\r\n", b"9223372036854775807",
                           b"-9223372036854775808", b"3.5", b"1e300", b"nan", b"inf", b" 1",
                           b"0x10", b"+1", b"007"])
    if kind == 9:
        return b"v" * rng.choice([63, 64, 65, 100, 2000])
    return b"%d.%d" % (rng.randrange(-9, 9), rng.randrange(100))


def number(rng):
    return rng.choice([b"0", b"1", b"-1", b"2", b"3", b"5", b"10", b"100", b"-100", b"x", b"",
                       b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808"])


def small(rng):
    return b"%d" % rng.randrange(-6, 12)


def words(rng, low, high):
    return [word(rng) for _ in range(rng.randint(low, high))]


def pairs(rng, low, high):
    return [part for _ in range(rng.randint(low, high)) for part in (word(rng), word(rng))]


def string_commands(rng):
    return rng.choice([
        lambda: [b"SET", key(rng), word(rng)],
        lambda: [b"SET", key(rng), word(rng), rng.choice([b"NX", b"XX", b"GET", b"KEEPTTL"])],
        lambda: [b"GET", key(rng)],
        lambda: [b"GETDEL", key(rng)],
        lambda: [b"APPEND", key(rng), word(rng)],
        lambda: [b"INCR", key(rng)],
        lambda: [b"INCRBY", key(rng), number(rng)],
        lambda: [b"INCRBYFLOAT", key(rng), word(rng)],
        lambda: [b"GETRANGE", key(rng), small(rng), small(rng)],
        lambda: [b"SETRANGE", key(rng), b"%d" % rng.randrange(20), word(rng)],
        lambda: [b"STRLEN", key(rng)],
        lambda: [b"MSET"] + [part for _ in range(3) for part in (key(rng), word(rng))],
        lambda: [b"MGET"] + [key(rng) for _ in range(3)],
    ])()


def bit_offset(rng):
    return rng.choice([b"%d" % rng.randrange(100), b"%d" % rng.randrange(20000), b"0", b"7",
                       b"8", b"-1", b"x",
                       b"4294967296", b"9223372036854775807"])


def bit_range(rng):
    """For a command with a start, an end and a unit."""
    low, high = rng.choice([(-12, 20), (-200, 300)])
    part = [b"%d" % rng.randrange(low, high) for _ in range(2)]
    return part + rng.choice([[], [b"BYTE"], [b"bit"], [b"BIT"]])


def bitfield_operation(rng, writes=True):
    field = [rng.choice([b"u1", b"i1", b"u2", b"i5", b"u8", b"i8", b"u13", b"i16", b"u32",
                         b"i63", b"u63", b"i64",
                         b"u64", b"i0", b"x8", b"u"]) if rng.randrange(4) == 0 else
             b"%c%d" % (rng.choice(b"iu"), rng.randrange(1, 64)),
             rng.choice([b"%d" % rng.randrange(300), b"#%d" % rng.randrange(8), b"-1", b"#x"])
             if rng.randrange(10) == 0 else b"%d" % rng.randrange(200)]
    by = b"%d" % rng.choice([rng.randrange(-300, 300), rng.randrange(-2**63, 2**63), 2**63 - 1,
                             -2**63, -1])
    # With OVERFLOW SAT Redis takes numbers below these for too large; Orbit stores the smallest.
    value = b"%d" % rng.choice([rng.randrange(-300, 300), rng.randrange(-2**62, 2**63),
                                2**63 - 1, -2**62, -1])
    if not writes:
        return [b"GET"] + field
    return rng.choice([[b"GET"] + field, [b"SET"] + field + [value], [b"INCRBY"] + field + [by],
                       [b"OVERFLOW", rng.choice([b"WRAP", b"SAT", b"FAIL", b"sat"])]])


def bit_commands(rng):
    return rng.choice([
        lambda: [b"SET", key(rng), rng.randbytes(rng.randrange(80))],
        lambda: [b"SET", key(rng), b"\xff" * rng.randrange(40)],
        lambda: [b"SETRANGE", key(rng), b"%d" % rng.choice([5, 40, 5000, 70000]), word(rng)],
        lambda: [b"SETBIT", key(rng), bit_offset(rng), rng.choice([b"0", b"1", b"1", b"2", b"x"])],
        lambda: [b"GETBIT", key(rng), bit_offset(rng)],
        lambda: [b"BITCOUNT", key(rng)],
        lambda: [b"BITCOUNT", key(rng)] + bit_range(rng),
        lambda: [b"BITPOS", key(rng), rng.choice([b"0", b"1", b"0", b"1", b"2", b"x"])],
        lambda: [b"BITPOS", key(rng), rng.choice([b"0", b"1"]), small(rng)],
        lambda: [b"BITPOS", key(rng), rng.choice([b"0", b"1"])] + bit_range(rng),
        lambda: [b"BITOP", rng.choice([b"AND", b"OR", b"XOR", b"NOT", b"and", b"NAND"])] +
                [key(rng) for _ in range(rng.randint(2, 5))],
        lambda: [b"BITFIELD", key(rng)] +
                [part for _ in range(rng.randint(0, 5)) for part in bitfield_operation(rng)],
        lambda: [b"BITFIELD_RO", key(rng)] +
                [part for _ in range(rng.randint(0, 3)) for part in bitfield_operation(rng, False)],
        lambda: [b"BITFIELD_RO", key(rng)] + bitfield_operation(rng),
        lambda: [b"GET", key(rng)],
    ])()


def hyperloglog_key(rng):
    """Not among the keys that are read at the end: Redis may order equal runs otherwise."""
    return b"h%d" % rng.randrange(6) if rng.randrange(20) else key(rng)


def hyperloglog_commands(rng):
    return rng.choice([
        lambda: [b"PFADD", hyperloglog_key(rng)] + words(rng, 0, 5),
        lambda: [b"PFADD", hyperloglog_key(rng)] + [b"%d" % rng.randrange(100000)
                                                    for _ in range(rng.choice([1, 50, 500]))],
        lambda: [b"PFCOUNT"] + [hyperloglog_key(rng) for _ in range(rng.randint(1, 3))],
        lambda: [b"PFMERGE"] + [hyperloglog_key(rng) for _ in range(rng.randint(1, 4))],
        lambda: [b"DEL", b"h%d" % rng.randrange(6)],
        lambda: [b"EXISTS", hyperloglog_key(rng)],
    ])()


def generic_commands(rng):
    return rng.choice([
        lambda: [b"DEL", key(rng)],
        lambda: [b"DEL", key(rng), key(rng)],
        lambda: [b"EXISTS", key(rng), key(rng)],
        lambda: [b"TYPE", key(rng)],
        lambda: [b"RENAME", key(rng), key(rng)],
        lambda: [b"RENAMENX", key(rng), key(rng)],
        lambda: [b"COPY", key(rng), key(rng)],
        lambda: [b"COPY", key(rng), key(rng), b"REPLACE"],
        lambda: [b"PERSIST", key(rng)],
        lambda: [b"EXPIRE", key(rng), b"10000"],
        lambda: [b"OBJECT", b"ENCODING", key(rng)],
        lambda: [b"TOUCH", key(rng)],
        lambda: [b"DBSIZE"],
    ])()


def hash_commands(rng):
    return rng.choice([
        lambda: [b"HSET", key(rng)] + pairs(rng, 1, 4),
        lambda: [b"HSET", key(rng)] + pairs(rng, 20, 150),
        lambda: [b"HSET", key(rng)] + words(rng, 1, 3),
        lambda: [b"HMSET", key(rng)] + pairs(rng, 1, 3),
        lambda: [b"HSETNX", key(rng), word(rng), word(rng)],
        lambda: [b"HGET", key(rng), word(rng)],
        lambda: [b"HMGET", key(rng)] + words(rng, 1, 5),
        lambda: [b"HGETALL", key(rng)],
        lambda: [b"HKEYS", key(rng)],
        lambda: [b"HVALS", key(rng)],
        lambda: [b"HLEN", key(rng)],
        lambda: [b"HSTRLEN", key(rng), word(rng)],
        lambda: [b"HEXISTS", key(rng), word(rng)],
        lambda: [b"HDEL", key(rng)] + words(rng, 1, 6),
        lambda: [b"HINCRBY", key(rng), word(rng), number(rng)],
        lambda: [b"HINCRBYFLOAT", key(rng), word(rng), word(rng)],
        lambda: [b"HRANDFIELD", key(rng)],
        lambda: [b"HRANDFIELD", key(rng), small(rng)],
        lambda: [b"HRANDFIELD", key(rng), small(rng), b"WITHVALUES"],
    ])()


def set_commands(rng):
    return rng.choice([
        lambda: [b"SADD", key(rng)] + words(rng, 1, 5),
        lambda: [b"SADD", key(rng)] + words(rng, 20, 200),
        lambda: [b"SREM", key(rng)] + words(rng, 1, 6),
        lambda: [b"SISMEMBER", key(rng), word(rng)],
        lambda: [b"SMISMEMBER", key(rng)] + words(rng, 1, 5),
        lambda: [b"SCARD", key(rng)],
        lambda: [b"SMEMBERS", key(rng)],
        lambda: [b"SMOVE", key(rng), key(rng), word(rng)],
        lambda: [b"SRANDMEMBER", key(rng)],
        lambda: [b"SRANDMEMBER", key(rng), small(rng)],
        lambda: [rng.choice([b"SINTER", b"SUNION", b"SDIFF"])] +
                [key(rng) for _ in range(rng.randint(1, 3))],
        lambda: [rng.choice([b"SINTERSTORE", b"SUNIONSTORE", b"SDIFFSTORE"])] +
                [key(rng) for _ in range(rng.randint(2, 4))],
        lambda: [b"SINTERCARD", b"2", key(rng), key(rng)],
    ])()


def list_commands(rng):
    end = rng.choice([b"LEFT", b"right"])
    other_end = rng.choice([b"left", b"RIGHT"])
    return rng.choice([
        lambda: [rng.choice([b"LPUSH", b"RPUSH"]), key(rng)] + words(rng, 1, 5),
        lambda: [rng.choice([b"LPUSH", b"RPUSH"]), key(rng)] + words(rng, 20, 200),
        lambda: [rng.choice([b"LPUSHX", b"RPUSHX"]), key(rng)] + words(rng, 1, 3),
        lambda: [rng.choice([b"LPOP", b"RPOP"]), key(rng)],
        lambda: [rng.choice([b"LPOP", b"RPOP"]), key(rng), rng.choice([small(rng), number(rng)])],
        lambda: [b"LLEN", key(rng)],
        lambda: [b"LINDEX", key(rng), rng.choice([small(rng), number(rng)])],
        lambda: [b"LSET", key(rng), rng.choice([small(rng), number(rng)]), word(rng)],
        lambda: [b"LRANGE", key(rng), number(rng), number(rng)],
        lambda: [b"LRANGE", key(rng), small(rng), b"%d" % rng.randrange(-20, 300)],
        lambda: [b"LTRIM", key(rng), number(rng), number(rng)],
        lambda: [b"LTRIM", key(rng), b"%d" % rng.randrange(4), b"%d" % -rng.randrange(1, 4)],
        lambda: [b"LREM", key(rng), rng.choice([small(rng), number(rng)]), word(rng)],
        lambda: [b"LREM", key(rng), small(rng), word(rng)],
        lambda: [b"LINSERT", key(rng), rng.choice([b"BEFORE", b"after", b"x"]), word(rng),
                 word(rng)],
        lambda: [b"LPOS", key(rng), word(rng)] + lpos_options(rng),
        lambda: [b"LMOVE", key(rng), key(rng), end, other_end],
        lambda: [b"LMOVE", key(rng), key(rng), end, rng.choice([other_end, word(rng)])],
        lambda: [b"RPOPLPUSH", key(rng), key(rng)],
        lambda: [b"LMPOP", b"2", key(rng), key(rng), end, b"COUNT", b"%d" % rng.randrange(1, 9)],
        lambda: [b"LMPOP", number(rng), key(rng), end],
        lambda: [b"LMPOP", b"1", key(rng), end, b"COUNT", number(rng)],
        lambda: [b"DEL", key(rng)],
    ])()


def lpos_options(rng):
    options = []
    for name in rng.sample([b"RANK", b"count", b"MAXLEN"], rng.randrange(4)):
        value = rng.choice([small(rng), small(rng), number(rng)])
        if value == b"-9223372036854775808":  # Redis 7.2 refuses it as a RANK, 7.0 does not.
            value = b"-9223372036854775807"
        options += [name, value]
    return options


GROUPS = {"string": string_commands, "bits": bit_commands, "generic": generic_commands,
          "hyperloglog": hyperloglog_commands, "hash": hash_commands,
          "list": list_commands, "set": set_commands}


def draw(rng, groups):
    command = GROUPS[rng.choice(groups)](rng)
    if rng.randrange(60) == 0:  # A wrong number of arguments.
        command = command[:rng.randint(1, len(command))]
    return command


def canonical(command, reply):
    """What must be equal: without an order where there is none."""
    name = command[0].decode().upper()
    if isinstance(reply, Exception):
        return ("error", str(reply))
    if name in PICKS:
        return len(reply) if isinstance(reply, list) else reply is None
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
    if name in LATE_SYNTAX and isinstance(ours, Exception):
        return theirs in (0, -1) or str(theirs).startswith("WRONGTYPE")
    return any(entry[:3] == (name, ours, theirs) for entry in DIFFERENT)


READS = {b"string": [b"GET"], b"hash": [b"HGETALL"], b"set": [b"SMEMBERS"],
         b"list": [b"LRANGE", b"0", b"-1"], b"zset": [b"ZRANGE", b"0", b"-1", b"WITHSCORES"],
         b"stream": [b"XRANGE", b"-", b"+"]}


def contents(connection, name):
    kind = connection.call("TYPE", name)
    kind = kind if isinstance(kind, bytes) else kind.encode()
    if kind == b"none":
        return None
    read = READS[kind]
    command = [read[0], name] + read[1:]
    return kind, canonical(command, connection.call(*command))


class Run:
    def __init__(self, orbit, redis, options):
        self.orbit, self.redis = orbit, redis
        self.rng = random.Random(options.seed)
        self.groups = options.groups.split(",")
        self.differences = 0

    def report(self, command, ours, theirs):
        self.differences += 1
        print("difference: %.300r\n  orbit: %.300r\n  redis: %.300r" % (command, ours, theirs))

    def batch(self, count):
        commands = [draw(self.rng, self.groups) for _ in range(count)]
        ours = self.orbit.pipeline(commands)
        theirs = self.redis.pipeline(commands)
        for command, own, other in zip(commands, ours, theirs):
            if canonical(command, own) != canonical(command, other) and \
                    not is_excused(command, own, other):
                self.report(command, own, other)

    def compare_state(self):
        for i in range(KEYS):
            name = b"k%d" % i
            own, other = contents(self.orbit, name), contents(self.redis, name)
            if own != other:
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
            if own != other:
                self.report([b"RESTORE of", name], own, other)
            target.call("DEL", b"copy")
            self.exchange_hyperloglog(source, target)

    def exchange_hyperloglog(self, source, target):
        name = b"h%d" % self.rng.randrange(6)
        payload = source.call("DUMP", name)
        if payload is not None:
            target.call("RESTORE", b"copy", "0", payload)
            own, other = source.call("PFCOUNT", name), target.call("PFCOUNT", b"copy")
            if own != other or target.call("PFADD", b"copy", b"one more") not in (0, 1):
                self.report([b"RESTORE of", name], own, other)
            target.call("DEL", b"copy")


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
        done = 0
        while done < options.commands and run.differences < DIFFERENCES_MAX:
            run.batch(min(BATCH, options.commands - done))
            done += BATCH
            if done % (BATCH * 20) == 0:
                run.compare_state()
                run.exchange_dumps()
        run.compare_state()
    print("%d commands, seed %d, %s, RESP%d: %d differences" %
          (done, options.seed, options.groups, options.resp, run.differences))
    return 1 if run.differences > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
