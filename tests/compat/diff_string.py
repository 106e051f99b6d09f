"""Commands on strings, for differential.py."""

from diff_common import key, number, small, word

READS = {b"string": [b"GET"]}


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


GROUPS = {"string": string_commands}
