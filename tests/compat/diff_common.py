"""What the groups of differential.py draw from: keys, values, numbers.

All that is drawn comes from the generator that is passed: a seed is a run.
"""


KEYS = 12  # Few, so that commands meet.


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
