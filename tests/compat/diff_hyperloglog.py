"""HyperLogLogs, for differential.py."""

from diff_common import key, words


def hyperloglog_key(rng):
    """Not among the keys that are read at the end: Redis may order equal runs otherwise. Nor among
    those that APPEND and SETBIT write: to Orbit what they damage is no HyperLogLog, and Redis looks
    at the damaged place only when it comes there."""
    return b"h%d" % rng.randrange(6)


def read_key(rng):
    return hyperloglog_key(rng) if rng.randrange(10) else key(rng)


def hyperloglog_commands(rng):
    return rng.choice([
        lambda: [b"PFADD", hyperloglog_key(rng)] + words(rng, 0, 5),
        lambda: [b"PFADD", hyperloglog_key(rng)] + [b"%d" % rng.randrange(100000)
                                                    for _ in range(rng.choice([1, 50, 500]))],
        lambda: [b"PFCOUNT"] + [read_key(rng) for _ in range(rng.randint(1, 3))],
        lambda: [b"PFMERGE"] + [hyperloglog_key(rng) for _ in range(rng.randint(1, 4))],
        lambda: [b"DEL", b"h%d" % rng.randrange(6)],
        lambda: [b"PFMERGE", hyperloglog_key(rng), read_key(rng)],
        lambda: [b"EXISTS", hyperloglog_key(rng)],
    ])()


def exchange(rng, source, target, report):
    """The bytes may differ; what they count may not."""
    name = b"h%d" % rng.randrange(6)
    payload = source.call("DUMP", name)
    if payload is not None:
        target.call("RESTORE", b"copy", "0", payload)
        own, other = source.call("PFCOUNT", name), target.call("PFCOUNT", b"copy")
        if own != other or target.call("PFADD", b"copy", b"one more") not in (0, 1):
            report([b"RESTORE of", name], own, other)
        target.call("DEL", b"copy")


GROUPS = {"hyperloglog": hyperloglog_commands}
