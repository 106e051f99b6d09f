"""Commands about the connection and the server, as far as their replies do not tell which server
it is, for differential.py. What empties a server is rare, or empties a database of its own."""

from diff_common import key, number, small, word, words

UNORDERED = {"HELLO"}
PICKS = {"RANDOMKEY"}
CHANNELS = [b"c0", b"c1", b"c*", b""]
# How many words each takes is what is compared: always one too many.
LONE = b"""
    BGREWRITEAOF ROLE TIME LASTSAVE SAVE SYNC READWRITE READONLY ASKING MONITOR RANDOMKEY DBSIZE
    UNWATCH DISCARD MULTI
""".split()
# And always too few.
NEEDY = b"""
    AUTH REPLICAOF SLAVEOF MIGRATE SUBSCRIBE PSUBSCRIBE SSUBSCRIBE RESTORE-ASKING PUBLISH SPUBLISH
    SWAPDB SELECT MOVE COPY ACL CLIENT CONFIG CLUSTER FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB
    SCRIPT SLOWLOG XGROUP XINFO
""".split()


def subscriber(rng):
    """Nobody is left subscribed, since RESP2 lets a subscriber do little else."""
    one = rng.choice(CHANNELS)
    subscribe, unsubscribe = rng.choice([(b"SUBSCRIBE", b"UNSUBSCRIBE"),
                                         (b"PSUBSCRIBE", b"PUNSUBSCRIBE"),
                                         (b"SSUBSCRIBE", b"SUNSUBSCRIBE")])
    return [[subscribe, one], [rng.choice([b"GET", b"PING"])] +
            rng.choice([[], [word(rng)]]), [unsubscribe, one]]


def emptied(rng):
    """Database 9, and what it held."""
    how = rng.choice([[b"FLUSHDB"], [b"FLUSHDB", b"ASYNC"], [b"flushdb", b"sync"],
                      [b"FLUSHDB", b"x"], [b"FLUSHDB", b"SYNC", b"x"]])
    return [[b"SELECT", b"9"], [b"SET", key(rng), word(rng)], how, [b"DBSIZE"], [b"RANDOMKEY"],
            [b"SELECT", b"0"]]


def service_commands(rng):
    return rng.choice([
        lambda: [rng.choice(LONE)] + words(rng, 1, 1) * 3,
        lambda: [rng.choice(NEEDY)],
        lambda: emptied(rng),
        lambda: [rng.choice([b"FLUSHALL", b"flushdb"]), rng.choice([b"x", b"", b"ASYNC SYNC"])],
        lambda: [b"FLUSHALL", b"SYNC"] if rng.randrange(40) == 0 else [b"PING", word(rng)],
        lambda: [b"RANDOMKEY"],
        lambda: [b"RESTORE-ASKING", key(rng), number(rng), word(rng)],
        lambda: [b"HELLO", rng.choice([b"1", b"4", b"x", b"", number(rng) + b"9"])],
        lambda: [b"AUTH", b"nobody", word(rng)],
        lambda: [b"CLIENT", b"SETNAME", rng.choice([b"", b"a name", b"name", b"\x80"])],
        lambda: [b"CLIENT", b"GETNAME"],
        lambda: [b"CLIENT", rng.choice([b"REPLY", b"CACHING", b"TRACKING", b"KILL", b"PAUSE",
                                        b"NO-EVICT", b"UNBLOCK"]),
                 rng.choice([b"x", b"", b"-1"])],
        lambda: [b"CLIENT", b"TRACKINGINFO", word(rng)],
        lambda: [b"SCRIPT", b"FLUSH"] + rng.choice([[], [b"ASYNC"], [b"sync"], [b"x"],
                                                    [b"SYNC", b"x"]]),
        lambda: [b"SCRIPT", b"KILL"],
        lambda: [b"FUNCTION", b"KILL"],
        lambda: [b"FUNCTION", b"FLUSH"] + rng.choice([[], [b"ASYNC"], [b"sync"], [b"x"]]),
        lambda: [b"CONFIG", b"GET", b"no-such-parameter"],
        lambda: [b"CONFIG", b"SET", b"no-such-parameter", word(rng)],
        lambda: [b"CONFIG", b"RESETSTAT", word(rng)],
        lambda: [b"ACL", rng.choice([b"GETUSER", b"DELUSER"]), b"nobody"],
        lambda: [b"ACL", b"DRYRUN", rng.choice([b"nobody", b"default"]),
                 rng.choice([b"GET", b"SET", b"no-command"]), key(rng)],
        lambda: [b"ACL", b"LOG", rng.choice([b"x", b"RESET", b"-1"])],
        lambda: [b"ACL", b"GENPASS", rng.choice([b"0", b"-1", b"x", b"5000"])],
        lambda: [b"SLOWLOG", rng.choice([b"GET", b"LEN", b"RESET"]), b"x", b"y"],
        lambda: [b"LATENCY", rng.choice([b"HISTORY", b"RESET"]), b"no-such-event"],
        lambda: [b"COMMAND", b"INFO", b"no-command"],
        lambda: [b"COMMAND", b"GETKEYSANDFLAGS", b"SET", key(rng), word(rng)],
        lambda: [b"COMMAND", b"DOCS", b"no-command"],
        lambda: [b"COMMAND", b"LIST", b"FILTERBY", rng.choice([b"PATTERN", b"x"]), b"zadd*"],
        lambda: [b"PUBLISH", rng.choice(CHANNELS), word(rng)],
        lambda: [b"OBJECT", b"IDLETIME", b"none"],
        lambda: [b"DEBUG", b"x"],
        lambda: subscriber(rng),
        lambda: [rng.choice([b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"]), small(rng)],
    ])()


def whole(rng):
    """Never cut short: without their words many of them tell what only one server has."""
    drawn = service_commands(rng)
    return drawn if isinstance(drawn[0], list) else [drawn]


GROUPS = {"service": whole}
