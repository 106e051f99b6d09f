"""Lists, for differential.py."""

from diff_common import key, number, small, word, words

READS = {b"list": [b"LRANGE", b"0", b"-1"]}


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


GROUPS = {"list": list_commands}
