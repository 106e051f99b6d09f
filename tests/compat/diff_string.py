"""Commands on strings, for differential.py."""

from diff_common import key, number, small, word

READS = {b"string": [b"GET"]}


def seconds(rng):
    """A time to live: long, or refused."""
    return rng.choice([b"1000000", b"5000000", b"0", b"-1", b"x", b"9223372036854775807"])


def lasting(rng):
    """An option with a time: in the far future (the same moment on both servers), or refused. What
    SET gives a moment of the past counts for DBSIZE until somebody finds it."""
    name = rng.choice([b"EX", b"px", b"EXAT", b"PXAT"])
    if name in (b"EX", b"px"):
        return [name, seconds(rng)]
    far = b"40000000000" if name == b"EXAT" else b"41000000000000"
    return [name, rng.choice([far, far, b"0", b"-5", b"y"])]


def set_options(rng):
    options = [[b"NX"], [b"xx"], [b"GET"], [b"KEEPTTL"], lasting(rng), lasting(rng), [b"PERSIST"]]
    return [word for option in rng.sample(options, rng.randint(1, 3)) for word in option]


def lcs_options(rng):
    options = [[b"LEN"], [b"idx"], [b"MINMATCHLEN", small(rng)], [b"WITHMATCHLEN"], [b"x"]]
    return [word for option in rng.sample(options, rng.randrange(4)) for word in option]


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
        lambda: [b"SET", key(rng), word(rng)] + set_options(rng),
        lambda: [b"GETEX", key(rng)] + rng.choice([[], [b"PERSIST"], lasting(rng), lasting(rng),
                                                   [b"PXAT", b"1"], [b"exat", b"2"]]),
        lambda: [b"GETSET", key(rng), word(rng)],
        lambda: [b"SETEX", key(rng), seconds(rng), word(rng)],
        lambda: [b"PSETEX", key(rng), seconds(rng), word(rng)],
        lambda: [b"SETNX", key(rng), word(rng)],
        lambda: [b"MSETNX"] + [part for _ in range(2) for part in (key(rng), word(rng))],
        lambda: [b"LCS", key(rng), key(rng)] + lcs_options(rng),
        lambda: [b"SUBSTR", key(rng), small(rng), small(rng)],
        lambda: [b"DECR", key(rng)],
        lambda: [b"DECRBY", key(rng), number(rng)],
        lambda: [b"MGET"] + [key(rng) for _ in range(3)],
    ])()


def is_excused(name, ours, theirs):
    """LEN of long strings: Orbit keeps two rows of the matrix, Redis all of it."""
    return name == "LCS" and "transient memory" in str(theirs) and isinstance(ours, int)


GROUPS = {"string": string_commands}
