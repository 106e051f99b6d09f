"""Sets, for differential.py."""

from diff_common import key, small, word, words

UNORDERED = {"SMEMBERS", "SINTER", "SUNION", "SDIFF"}
PICKS = {"SRANDMEMBER"}
READS = {b"set": [b"SMEMBERS"]}


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


GROUPS = {"set": set_commands}
