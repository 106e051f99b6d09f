"""Places in sorted sets, for differential.py.

Places are drawn from few points, so that searches find some; distances of two members to a point
are seldom equal, and where they are, only the order may differ.
"""

from diff_common import key, number, small, word

NAMES = [b"g0", b"g1", b"g2", b"g3", b"gd"]


def coordinate(rng, limit):
    if rng.randrange(40) == 0:
        return rng.choice([b"x", b"", b"180", b"-180", b"181", b"85.05112878", b"-85.05112878",
                           b"86", b"nan", b"inf", b"0"])
    if rng.randrange(2) == 0:
        return b"%.6f" % rng.uniform(-limit, limit)
    return b"%.5f" % (13.361389 + rng.uniform(-3, 3) if limit > 90 else
                      38.115556 + rng.uniform(-3, 3))


def point(rng):
    return [coordinate(rng, 180), coordinate(rng, 85)]


def place(rng):
    return b"p%d" % rng.randrange(60)


def geo_key(rng):
    """Not among those of other sorted sets, whose scores are often of one place."""
    return b"g%d" % rng.randrange(4)


def any_key(rng):
    return geo_key(rng) if rng.randrange(12) else key(rng)


def unit(rng):
    return rng.choice([b"m", b"km", b"KM", b"ft", b"mi", b"km", b"m", b"km", b"x"])


def length(rng):
    return rng.choice([b"%d" % rng.randrange(20), b"%d" % rng.randrange(1000),
                       b"%d" % rng.randrange(1000), b"%d" % rng.randrange(20000000), b"0",
                       b"-1", b"x", b"100.5"])


def order(rng):
    return rng.choice([[b"ASC"], [b"desc"], [b"ASC"], [b"DESC"], []])


def details(rng):
    return rng.sample([b"WITHDIST", b"WITHCOORD", b"withhash"], rng.choice([0, 0, 1, 2, 3]))


def count(rng):
    return rng.choice([[], [], [b"COUNT", b"%d" % rng.randrange(1, 9)], [b"COUNT", number(rng)],
                       [b"COUNT", small(rng), b"ANY"]])


def circle(rng):
    return [length(rng), unit(rng)]


def shape(rng):
    return rng.choice([[b"FROMMEMBER", place(rng)], [b"FROMLONLAT"] + point(rng)]) + \
        rng.choice([[b"BYRADIUS"] + circle(rng), [b"BYBOX", length(rng)] + circle(rng), []])


def search_commands(rng):
    """Stored distances are places side by side, of which COUNT may take any: a key of their own."""
    store = rng.choice([[b"STORE", geo_key(rng)], [b"STOREDIST", b"gd"]])
    return rng.choice([
        lambda: [b"GEOSEARCH", geo_key(rng)] + shape(rng) + order(rng) + count(rng) + details(rng),
        lambda: [b"GEOSEARCHSTORE", geo_key(rng), geo_key(rng)] + shape(rng) + order(rng) +
                count(rng),
        lambda: [b"GEOSEARCHSTORE", b"gd", geo_key(rng)] + shape(rng) + order(rng) + count(rng) +
                [b"STOREDIST"],
        lambda: [rng.choice([b"GEORADIUS", b"GEORADIUS_RO"]), geo_key(rng)] + point(rng) +
                circle(rng) + order(rng) + count(rng) + details(rng),
        lambda: [rng.choice([b"GEORADIUSBYMEMBER", b"GEORADIUSBYMEMBER_RO"]), geo_key(rng),
                 place(rng)] + circle(rng) + order(rng) + count(rng) + details(rng),
        lambda: [b"GEORADIUS", geo_key(rng)] + point(rng) + circle(rng) + store + order(rng),
        lambda: [b"GEORADIUSBYMEMBER", geo_key(rng), place(rng)] + circle(rng) + count(rng) +
                store,
    ])()


def geo_commands(rng):
    return rng.choice([
        lambda: [b"GEOADD", any_key(rng)] +
                rng.choice([[], [], [b"NX"], [b"XX"], [b"CH"], [b"NX", b"XX"]]) +
                [part for _ in range(rng.randint(1, 6)) for part in point(rng) + [place(rng)]],
        lambda: [b"GEOADD", any_key(rng)] +
                [part for _ in range(40) for part in point(rng) + [place(rng)]],
        lambda: [b"GEOPOS", any_key(rng)] + [place(rng) for _ in range(rng.randrange(4))],
        lambda: [b"GEOHASH", any_key(rng)] + [place(rng) for _ in range(rng.randrange(4))],
        lambda: [b"GEODIST", any_key(rng), place(rng), place(rng)] +
                rng.choice([[], [unit(rng)], [unit(rng), word(rng)]]),
        lambda: search_commands(rng), lambda: search_commands(rng), lambda: search_commands(rng),
        lambda: search_commands(rng),
        lambda: [b"DEL", any_key(rng)],
    ])()


GROUPS = {"geo": geo_commands}
