"""Commands on keys of any type, for differential.py."""

from diff_common import key, number, small, word

PICKS = {"MEMORY"}
SCANS = {"SCAN", "HSCAN", "SSCAN", "ZSCAN"}
CLOCKS = {"TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"}
UNORDERED = {"KEYS"}
# (command, Orbit's reply, Redis's, why)
DIFFERENT = [
    ("OBJECT", b"embstr", b"raw", "strings have one form; the name goes by the bytes alone"),
    ("OBJECT", b"int", b"embstr", "the same"),
    ("OBJECT", b"int", b"raw", "the same"),
    ("OBJECT", b"listpack", b"quicklist", "Redis 7.2 has listpacks of lists, 7.0 has not"),
    ("OBJECT", b"listpack", b"hashtable", "Redis 7.2 has listpacks of sets, 7.0 has not"),
]


def moment(rng):
    """Of EXPIREAT: long ago, or in the far future."""
    return rng.choice([b"1", b"-1", b"0", b"40000000000", b"40000000007", b"x",
                       b"9223372036854775807"])


def expiry(rng):
    name = rng.choice([b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"])
    when = moment(rng) if name.endswith(b"AT") else \
        rng.choice([b"1000000", b"70000000", b"0", b"-1", b"x", b"9223372036854775807"])
    if name == b"PEXPIREAT" and len(when) == 11:
        when += b"000"
    return [name, key(rng), when] + \
        [rng.choice([b"NX", b"xx", b"GT", b"LT", b"y"]) for _ in range(rng.choice([0, 0, 1, 2]))]


def pattern(rng):
    return rng.choice([b"*", b"k*", b"k[0-4]", b"k?", b"k1*", b"[^k]*", b"f*", b"*[", b"f\\1*", b"",
                       b"*1", b"-*", word(rng)])


def scan(rng):
    """Everything at once: cursors are each server's own. (-1 is a large one to Redis.)"""
    name = rng.choice([b"SCAN", b"HSCAN", b"sscan", b"ZSCAN"])
    options = rng.sample([[b"MATCH", pattern(rng)], [b"count", b"x"], [b"y"],
                          [b"TYPE", rng.choice([b"string", b"ZSET", b"x", b"list"])]],
                         rng.choice([0, 0, 0, 1, 2]))
    cursor = rng.choice([b"0"] * 9 + [b"x"])
    return [name] + ([] if name == b"SCAN" else [key(rng)]) + [cursor, b"COUNT", b"100000"] + \
        [part for option in options for part in option]


def other_database(rng):
    return rng.choice([b"9", b"9", b"0", b"1", b"16", b"-1", b"x"])


def in_other_database(rng):
    """A look there, and what comes back from there."""
    return [[b"SELECT", b"9"], [b"DBSIZE"], [b"TYPE", key(rng)], [b"MOVE", key(rng), b"0"],
            [b"SELECT", rng.choice([b"99", b"x"])], [b"SELECT", b"0"]]


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
        lambda: [b"UNLINK", key(rng), key(rng)],
        lambda: expiry(rng),
        lambda: expiry(rng),
        lambda: [rng.choice([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"]), key(rng)],
        lambda: [b"KEYS", pattern(rng)],
        lambda: scan(rng),
        lambda: scan(rng),
        lambda: [b"MOVE", key(rng), other_database(rng)],
        lambda: [b"COPY", key(rng), key(rng), b"DB", other_database(rng)] +
        rng.choice([[], [b"REPLACE"]]),
        lambda: in_other_database(rng),
        lambda: [b"SWAPDB", rng.choice([b"7", b"8"]), rng.choice([b"8", b"99", b"x"])],
        lambda: [b"OBJECT", rng.choice([b"REFCOUNT", b"FREQ", b"x"]), b"none"],
        lambda: [b"RESTORE", key(rng), number(rng), word(rng)] +
        rng.choice([[], [b"REPLACE"], [b"IDLETIME", small(rng)], [b"FREQ", number(rng)]]),
        lambda: [b"MEMORY", b"USAGE", b"none"],
        lambda: [b"COMMAND", b"GETKEYS"] + scan(rng),
        lambda: [b"EXPIRE", key(rng), b"1000000"],
    ])()


GROUPS = {"generic": generic_commands}
