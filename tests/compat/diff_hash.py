"""Hashes, for differential.py."""

from diff_common import key, number, pairs, small, word, words

UNORDERED = {"HKEYS", "HVALS"}
PAIRS = {"HGETALL"}
PICKS = {"HRANDFIELD"}
READS = {b"hash": [b"HGETALL"]}


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


GROUPS = {"hash": hash_commands}
