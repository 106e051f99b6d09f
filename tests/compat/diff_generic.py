"""Commands on keys of any type, for differential.py."""

from diff_common import key

PICKS = {"RANDOMKEY"}
UNORDERED = {"KEYS"}
# (command, Orbit's reply, Redis's, why)
DIFFERENT = [
    ("OBJECT", b"embstr", b"raw", "strings have one form; the name goes by the bytes alone"),
    ("OBJECT", b"int", b"embstr", "the same"),
    ("OBJECT", b"int", b"raw", "the same"),
    ("OBJECT", b"listpack", b"quicklist", "Redis 7.2 has listpacks of lists, 7.0 has not"),
    ("OBJECT", b"listpack", b"hashtable", "Redis 7.2 has listpacks of sets, 7.0 has not"),
]


def generic_commands(rng):
    return rng.choice([
        lambda: [b"DEL", key(rng)],
        lambda: [b"DEL", key(rng), key(rng)],
        lambda: [b"EXISTS", key(rng), key(rng)],
        lambda: [b"TYPE", key(rng)],
        lambda: [b"RENAME", key(rng), key(rng)],
        lambda: [b"RENAMENX", key(rng), key(rng)],
        lambda: [b"COPY", key(rng), key(rng)],
        lambda: [b"COPY", key(rng), key(rng), b"REPLACE"],
        lambda: [b"PERSIST", key(rng)],
        lambda: [b"EXPIRE", key(rng), b"10000"],
        lambda: [b"OBJECT", b"ENCODING", key(rng)],
        lambda: [b"TOUCH", key(rng)],
        lambda: [b"DBSIZE"],
    ])()


GROUPS = {"generic": generic_commands}
