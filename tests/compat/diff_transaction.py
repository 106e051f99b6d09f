"""MULTI, EXEC, DISCARD and WATCH around commands of all other groups, for differential.py.

What is watched is made first: to Orbit a key that was missing when it was watched and is missing at
EXEC has not changed.
"""

from diff_common import key, word
import diff_bits
import diff_generic
import diff_geo
import diff_hash
import diff_hyperloglog
import diff_list
import diff_script
import diff_set
import diff_sort
import diff_stream
import diff_string
import diff_zset

INSIDE = [function for module in (diff_bits, diff_geo, diff_hash, diff_hyperloglog, diff_list,
                                  diff_script, diff_set, diff_sort, diff_stream, diff_string,
                                  diff_zset, diff_generic)
          for function in module.GROUPS.values()]


def inside(rng):
    """Commands between MULTI and EXEC; few of them cannot be queued, which ends it all."""
    drawn = rng.choice(INSIDE)(rng)
    commands = drawn if isinstance(drawn[0], list) else [drawn]
    if rng.randrange(50) == 0 and commands[0][0] != b"COMMAND":
        commands = [[commands[0][0]]]
    if rng.randrange(100) == 0:
        commands = commands + [rng.choice([[b"MULTI"], [b"WATCH", key(rng)], [b"NONE"],
                                           [b"UNWATCH"], [b"PING"], [b"RESET", b"x"]])]
    return commands


def unwatched_growth(command):
    """BITFIELD OVERFLOW FAIL, of which every write fails, grows the string all the same. Redis does
    not tell those who watch it, so that EXEC runs; to Orbit the key has changed."""
    if command[0].upper() not in (b"BITFIELD", b"EVAL"):
        return command
    return [b"SAT" if part.upper() == b"FAIL" else part for part in command]


def transaction(rng):
    commands = []
    if rng.randrange(3) == 0:
        watched = [key(rng) for _ in range(rng.randint(1, 3))]
        commands += [[b"SETNX", name, word(rng)] for name in watched] + [[b"WATCH"] + watched]
        commands += map(unwatched_growth, inside(rng)) if rng.randrange(2) else []
        commands += [[b"UNWATCH"]] if rng.randrange(8) == 0 else []
        commands += map(unwatched_growth, inside(rng)) if rng.randrange(4) == 0 else []
    commands.append([b"MULTI"])
    for _ in range(rng.randrange(7)):
        commands += inside(rng)
    return commands + [rng.choice([[b"EXEC"]] * 7 + [[b"DISCARD"]])]


def stray(rng):
    return rng.choice([[b"EXEC"], [b"DISCARD"], [b"UNWATCH"], [b"WATCH"], [b"EXEC", b"x"]])


GROUPS = {"transaction": lambda rng: transaction(rng) if rng.randrange(9) else stray(rng)}
