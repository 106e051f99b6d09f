"""Sorted sets, for differential.py.

Ranges of names mean something only where scores are equal, so they have keys of their own. No score
is out of the range of numbers: Redis would remember that error until a later SORT.
"""

from diff_common import key, number, small, word, words

NUMBERS = {"ZRANGE", "ZREVRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZSCORE", "ZMSCORE",
           "ZINCRBY", "ZADD", "ZPOPMIN", "ZPOPMAX", "ZMPOP", "ZUNION", "ZINTER", "ZDIFF", "ZSCAN",
           "ZRANK", "ZREVRANK", "BZPOPMIN", "BZPOPMAX", "BZMPOP"}
PICKS = {"ZRANDMEMBER"}
READS = {b"zset": [b"ZRANGE", b"0", b"-1", b"WITHSCORES"]}
LEX_KEYS = 3
NAMES = [b"l%d" % i for i in range(LEX_KEYS)]


def score(rng):
    if rng.randrange(8) == 0:
        return rng.choice([b"inf", b"-inf", b"+inf", b"nan", b"x", b"", b" 1", b"1e-7",
                           b"0x10", b"3.0e20", b"12345678901234567890", b"0.1", b"-0"])
    return rng.choice([b"%d" % rng.randrange(-9, 20),
                       b"%d.%d" % (rng.randrange(-9, 9), rng.randrange(100))])


def scored(rng, low, high):
    return [part for _ in range(rng.randint(low, high))
            for part in (b"%d" % rng.randrange(-9, 20), word(rng))]


def score_end(rng):
    return rng.choice([b"", b"("]) + score(rng)


def score_ends(rng):
    return [score_end(rng), score_end(rng)]


def lex_end(rng):
    return rng.choice([b"-", b"+", b"[" + word(rng), b"(" + word(rng), b"[f1", b"(f2", b"f", b""])


def lex_ends(rng):
    return [lex_end(rng), lex_end(rng)]


def lex_key(rng):
    return b"l%d" % rng.randrange(LEX_KEYS)


def scores_option(rng):
    return rng.choice([[], [b"WITHSCORES"]])


def limit_option(rng):
    return rng.choice([[], [b"LIMIT", small(rng), small(rng)]])


def reverse_option(rng):
    return rng.choice([[], [b"REV"]])


def adding_options(rng):
    options = rng.sample([b"NX", b"XX", b"GT", b"LT", b"CH"], rng.choice([1, 1, 2]))
    return options + rng.choice([[], [], [b"INCR"]])


def keys(rng, low, high):
    names = [key(rng) for _ in range(rng.randint(low, high))]
    return [b"%d" % len(names)] + names


def weights_option(rng):
    return rng.choice([[], [b"WEIGHTS"] + [score(rng) for _ in range(rng.randint(1, 3))],
                       [b"WEIGHTS", b"2", b"-1"]]) + \
        rng.choice([[], [b"AGGREGATE", rng.choice([b"SUM", b"min", b"MAX", b"x"])]])


def algebra_commands(rng):
    weighed = rng.choice([b"ZUNION", b"ZINTER"])
    return rng.choice([
        lambda: [weighed] + keys(rng, 1, 3) + weights_option(rng) + scores_option(rng),
        lambda: [weighed + b"STORE", key(rng)] + keys(rng, 1, 3) + weights_option(rng),
        lambda: [weighed + b"STORE", key(rng), b"2", key(rng), key(rng), b"WEIGHTS", score(rng),
                 score(rng), b"AGGREGATE", rng.choice([b"SUM", b"MIN", b"MAX"])],
        lambda: [b"ZDIFF"] + keys(rng, 1, 3) + scores_option(rng),
        lambda: [b"ZDIFFSTORE", key(rng)] + keys(rng, 1, 3),
        lambda: [b"ZINTERCARD"] + keys(rng, 1, 3) + rng.choice([[], [b"LIMIT", small(rng)]]),
        lambda: [rng.choice([b"ZUNION", b"ZDIFF", b"ZINTERCARD"]), number(rng), key(rng)],
    ])()


def change_commands(rng):
    return rng.choice([
        lambda: [b"ZADD", key(rng), score(rng), word(rng)],
        lambda: [b"ZADD", key(rng)] + scored(rng, 1, 6),
        lambda: [b"ZADD", key(rng)] + scored(rng, 20, 150),
        lambda: [b"ZADD", key(rng)] + adding_options(rng) + scored(rng, 1, 9),
        lambda: [b"ZADD", key(rng)] + adding_options(rng) + [score(rng), word(rng)],
        lambda: [b"ZADD", key(rng)] + words(rng, 1, 5),
        lambda: [b"ZADD", lex_key(rng)] +
                [part for name in words(rng, 1, 40) for part in (b"0", name)],
        lambda: [b"ZREM", key(rng)] + words(rng, 1, 6),
        lambda: [b"ZINCRBY", key(rng), score(rng), word(rng)],
        lambda: [rng.choice([b"ZPOPMIN", b"ZPOPMAX"]), key(rng)] + rng.choice([[], [small(rng)]]),
        lambda: [b"ZMPOP", b"2", key(rng), key(rng), rng.choice([b"MIN", b"MAX", b"X"])] +
                rng.choice([[], [b"COUNT", small(rng)]]),
        lambda: [b"ZREMRANGEBYRANK", key(rng), small(rng), small(rng)],
        lambda: [b"ZREMRANGEBYSCORE", key(rng)] + score_ends(rng),
        lambda: [b"ZREMRANGEBYLEX", lex_key(rng)] + lex_ends(rng),
        lambda: [b"ZRANGESTORE", key(rng), key(rng)] + score_ends(rng) + [b"BYSCORE"] +
                reverse_option(rng) + limit_option(rng),
        lambda: [b"ZRANGESTORE", lex_key(rng), lex_key(rng)] + lex_ends(rng) + [b"BYLEX"] +
                reverse_option(rng) + limit_option(rng),
        lambda: [b"ZRANGESTORE", key(rng), key(rng), small(rng), small(rng)] + reverse_option(rng),
    ])()


def read_commands(rng):
    return rng.choice([
        lambda: [b"ZCARD", key(rng)],
        lambda: [b"ZSCORE", key(rng), word(rng)],
        lambda: [b"ZMSCORE", key(rng)] + words(rng, 1, 5),
        lambda: [b"ZCOUNT", key(rng)] + score_ends(rng),
        lambda: [b"ZLEXCOUNT", lex_key(rng)] + lex_ends(rng),
        lambda: [rng.choice([b"ZRANK", b"ZREVRANK"]), key(rng), word(rng)],
        lambda: [b"ZRANDMEMBER", key(rng)],
        lambda: [b"ZRANDMEMBER", key(rng), small(rng)] + scores_option(rng),
    ])()


def range_commands(rng):
    return rng.choice([
        lambda: [rng.choice([b"ZRANGE", b"ZREVRANGE"]), key(rng), small(rng), small(rng)] +
                scores_option(rng),
        lambda: [rng.choice([b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE"]), key(rng)] +
                score_ends(rng) + scores_option(rng) + limit_option(rng),
        lambda: [rng.choice([b"ZRANGEBYLEX", b"ZREVRANGEBYLEX"]), lex_key(rng)] + lex_ends(rng) +
                limit_option(rng),
        lambda: [b"ZRANGE", key(rng)] + score_ends(rng) + [b"BYSCORE"] + reverse_option(rng) +
                limit_option(rng) + scores_option(rng),
        lambda: [b"ZRANGE", lex_key(rng)] + lex_ends(rng) + [b"BYLEX"] + reverse_option(rng) +
                limit_option(rng) + scores_option(rng),
        lambda: [b"ZRANGE", key(rng), small(rng), number(rng)] + reverse_option(rng) +
                limit_option(rng) + scores_option(rng),
        lambda: [b"ZRANGE", key(rng), b"%d" % rng.randrange(300), b"%d" % rng.randrange(300)] +
                reverse_option(rng),
    ])()


def zset_commands(rng):
    kind = rng.choice([change_commands, change_commands, read_commands, range_commands])
    return kind(rng)


GROUPS = {"zset": zset_commands, "zalgebra": algebra_commands}
