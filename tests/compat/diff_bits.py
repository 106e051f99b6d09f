"""Commands on bits of strings, for differential.py."""

from diff_common import key, small, word

# Redis 7.0 looks at the key first, and at the other arguments only if it holds a string; 7.2 looks
# at the arguments first.
LATE_SYNTAX = {"BITCOUNT", "BITPOS"}


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


def is_excused(name, ours, theirs):
    return name in LATE_SYNTAX and isinstance(ours, Exception) and \
        (theirs in (0, -1) or str(theirs).startswith("WRONGTYPE"))


GROUPS = {"bits": bit_commands}
