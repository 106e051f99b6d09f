"""Streams, for differential.py."""

from diff_common import number, small, word

STREAMS = 6
NAMES = [b"s%d" % i for i in range(STREAMS)]
READS = {b"stream": [b"XRANGE", b"-", b"+"]}
GROUPS_OF = [b"g1", b"g2", b"g3"]
CONSUMERS = [b"alice", b"bob", b"eve"]


# How much a node takes: it decides what "~" removes. Both servers go by it.
NODES = [[b"stream-node-max-entries", b"3"], [b"stream-node-max-entries", b"7"],
         [b"stream-node-max-entries", b"100"], [b"stream-node-max-entries", b"0"],
         [b"stream-node-max-bytes", b"60"], [b"stream-node-max-bytes", b"200"],
         [b"stream-node-max-bytes", b"4096"]]


def stream(rng):
    return b"k1" if rng.randrange(40) == 0 else rng.choice(NAMES)


def group(rng):
    return rng.choice(GROUPS_OF + [b"none"]) if rng.randrange(12) == 0 else rng.choice(GROUPS_OF)


def consumer(rng):
    return rng.choice(CONSUMERS)


def entry_id(rng):
    """An id as commands read it; most are of entries that may be there."""
    kind = rng.randrange(20)
    if kind < 12:
        return b"%d-%d" % (rng.randrange(1, 60), rng.randrange(3))
    if kind < 15:
        return b"%d" % rng.randrange(60)
    return rng.choice([b"0", b"0-0", b"1-x", b"x", b"", b"-", b"+", b"$", b">", b"5-*", b"*",
                       b"18446744073709551615-18446744073709551615", b"18446744073709551616",
                       b"18446744073709551615", b"01-02", b"1-1-1"])


def end(rng):
    """An end of a range."""
    kind = rng.randrange(10)
    if kind < 4:
        return rng.choice([b"-", b"+"])
    return b"(" + entry_id(rng) if kind == 4 else entry_id(rng)


def fields(rng):
    names = rng.choice([[b"a"], [b"a", b"b"], [b"a", word(rng)]])
    return [part for name in names for part in (name, word(rng))]


def trim(rng):
    kind = rng.choice([b"MAXLEN", b"maxlen", b"MINID"])
    limit = b"%d" % rng.randrange(40) if kind != b"MINID" else entry_id(rng)
    how = rng.choice([[], [b"="], [b"~"], [b"~"]])
    if kind == b"MINID" and how == [b"~"]:
        # Between entries: to Redis the deleted ones at the end of a node count, to Orbit they do
        # not, so that it may remove a node more.
        limit = rng.choice([b"0", b"9000000", b"9000000-1", b"x"])
    words = [kind] + how + [limit]
    if rng.randrange(4) == 0:
        words += [b"LIMIT", b"%d" % rng.randrange(30) if rng.randrange(3) else number(rng)]
    return words


def add(rng):
    options = []
    if rng.randrange(6) == 0:
        options.append(b"NOMKSTREAM")
    if rng.randrange(5) == 0:
        options += trim(rng)
    return [b"XADD", stream(rng)] + options + [new_id(rng)] + fields(rng)


def new_id(rng):
    """The same on both servers: no clock. Streams are deleted now and then, so low ones fit."""
    kind = rng.randrange(12)
    time = rng.randrange(1, 60) * rng.choice([1, 1, 1, 70000])
    if kind < 7:
        return b"%d-*" % time
    if kind < 11:
        return b"%d-%d" % (time, rng.randrange(3) * rng.choice([1, 1, 5000]))
    drawn = entry_id(rng)
    # The largest ids would end a stream for good, and come before what trim() draws.
    return b"1-1" if drawn == b"*" or drawn.startswith(b"1844674407370955161") else drawn


def count(rng):
    return rng.choice([[], [], [b"COUNT", b"%d" % rng.randrange(1, 9)],
                       [b"COUNT", number(rng)]])


def read(rng):
    many = rng.choice([1, 1, 2, 3])
    return [b"XREAD"] + count(rng) + [b"STREAMS"] + [stream(rng) for _ in range(many)] + \
        [entry_id(rng) for _ in range(many)]


def read_group(rng):
    many = rng.choice([1, 1, 2])
    options = count(rng) + rng.choice([[], [], [b"NOACK"]])
    ids = [rng.choice([b">", b">", b"0", entry_id(rng)]) for _ in range(many)]
    return [b"XREADGROUP", b"GROUP", group(rng), consumer(rng)] + options + [b"STREAMS"] + \
        [stream(rng) for _ in range(many)] + ids


def claim(rng):
    options = []
    for option in rng.sample(range(6), rng.randrange(3)):
        options += [[b"FORCE"], [b"JUSTID"], [b"RETRYCOUNT", number(rng)],
                    [b"LASTID", entry_id(rng)], [b"IDLE", b"0"], [b"x"]][option]
    return [b"XCLAIM", stream(rng), group(rng), consumer(rng),
            rng.choice([b"0", b"0", b"100000000", b"x"])] + \
        [entry_id(rng) for _ in range(rng.randint(1, 4))] + options


def autoclaim(rng):
    return [b"XAUTOCLAIM", stream(rng), group(rng), consumer(rng),
            rng.choice([b"0", b"0", b"100000000", b"-1", b"x"]), end(rng)] + count(rng) + \
        rng.choice([[], [b"JUSTID"]])


def stream_commands(rng):
    return rng.choice([
        add, add, add, add, add, add, add,
        lambda rng: [b"XLEN", stream(rng)],
        lambda rng: [b"XRANGE", stream(rng), end(rng), end(rng)] + count(rng),
        lambda rng: [b"XREVRANGE", stream(rng), end(rng), end(rng)] + count(rng),
        lambda rng: [b"XDEL", stream(rng)] + [entry_id(rng) for _ in range(rng.randint(1, 4))],
        lambda rng: [b"XTRIM", stream(rng)] + trim(rng),
        read, read,
        lambda rng: [b"XSETID", stream(rng), entry_id(rng)] + rng.choice(
            [[], [], [b"ENTRIESADDED", small(rng)], [b"MAXDELETEDID", entry_id(rng)]]),
        lambda rng: [b"DEL", stream(rng)] if rng.randrange(6) == 0 else [b"TYPE", stream(rng)],
        lambda rng: [b"CONFIG", b"SET"] + rng.choice(NODES)
        if rng.randrange(3) == 0 else [b"XLEN", stream(rng)],
        lambda rng: [b"COPY", stream(rng), stream(rng), b"REPLACE"] if rng.randrange(4) == 0
        else [b"OBJECT", b"ENCODING", stream(rng)],
        lambda rng: [b"RENAME", stream(rng), stream(rng)] if rng.randrange(6) == 0
        else [b"EXISTS", stream(rng)],
    ])(rng)


def group_commands(rng):
    return rng.choice([
        add, add, add, read_group, read_group, read_group, read_group, claim, claim, autoclaim,
        lambda rng: [b"XGROUP", b"CREATE", stream(rng), group(rng),
                     rng.choice([b"0", b"$", entry_id(rng)])] +
        rng.choice([[], [b"MKSTREAM"], [b"ENTRIESREAD", small(rng)]]),
        lambda rng: [b"XGROUP", b"SETID", stream(rng), group(rng),
                     rng.choice([b"0", b"$", entry_id(rng)])] +
        rng.choice([[], [b"ENTRIESREAD", small(rng)]]),
        lambda rng: [b"XGROUP", b"DESTROY", stream(rng), group(rng)]
        if rng.randrange(6) == 0 else [b"XLEN", stream(rng)],
        lambda rng: [b"XGROUP", b"CREATECONSUMER", stream(rng), group(rng), consumer(rng)],
        lambda rng: [b"XGROUP", b"DELCONSUMER", stream(rng), group(rng), consumer(rng)]
        if rng.randrange(4) == 0 else [b"XLEN", stream(rng)],
        lambda rng: [b"XACK", stream(rng), group(rng)] +
        [entry_id(rng) for _ in range(rng.randint(1, 5))],
        lambda rng: [b"XPENDING", stream(rng), group(rng)],
        lambda rng: [b"XPENDING", stream(rng), group(rng)] +
        rng.choice([[], [], [b"IDLE", rng.choice([b"0", b"100000000", b"x"])]]) +
        [end(rng), end(rng), rng.choice([b"10", b"3", number(rng)])] +
        rng.choice([[], [consumer(rng)]]),
        lambda rng: [b"XINFO", b"STREAM", stream(rng)],
        lambda rng: [b"XINFO", b"STREAM", stream(rng), b"FULL"] + count(rng),
        lambda rng: [b"XINFO", b"GROUPS", stream(rng)],
        lambda rng: [b"XINFO", b"CONSUMERS", stream(rng), group(rng)],
        lambda rng: [b"XDEL", stream(rng)] + [entry_id(rng) for _ in range(rng.randint(1, 3))],
    ])(rng)


GROUPS = {"stream": stream_commands, "streamgroup": group_commands}


# ---- What may differ ----

# Times, and how many nodes Redis's tree has. 7.2 makes a consumer also when it is given nothing,
# 7.0 does not: those who have nothing pending are not compared.
SKIPPED = {b"idle", b"inactive", b"seen-time", b"active-time", b"radix-tree-keys",
           b"radix-tree-nodes"}


def pairs_of(reply):
    if isinstance(reply, dict):
        return list(reply.items())
    return list(zip(reply[0::2], reply[1::2]))


def without_times(name, reply):
    """A value of XINFO's reply, under this name, without what differs from run to run."""
    if name == b"pending" and isinstance(reply, list):
        return [entry[:-2] + entry[-1:] for entry in reply]
    if name == b"consumers":
        if not isinstance(reply, list):
            return None
        reply = [consumer for consumer in reply if dict(pairs_of(consumer)).get(b"pel-count") != 0]
    if name in (b"groups", b"consumers") and isinstance(reply, list):
        return [fields_of(part) for part in reply]
    return reply


def fields_of(reply):
    return {name: without_times(name, value) for name, value in pairs_of(reply)
            if name not in SKIPPED}


def same_info(ours, theirs):
    if not isinstance(ours, (list, dict)) or not isinstance(theirs, (list, dict)):
        return False
    if isinstance(ours, dict) or (ours and isinstance(ours[0], bytes)):
        return fields_of(ours) == fields_of(theirs)
    parts = [[fields_of(part) for part in side] for side in (ours, theirs)]
    if parts[0] and parts[0][0].get(b"consumers", 0) == 0 or \
            parts[1] and b"last-delivered-id" not in parts[1][0]:
        parts = [[part for part in side if part.get(b"pending") != 0] for side in parts]
    return parts[0] == parts[1]


def is_excused(name, ours, theirs):
    if name == "XINFO":
        return same_info(ours, theirs)
    if name == "XGROUP":
        return {ours, theirs} == {0, 1} if isinstance(ours, int) else False
    if name == "XPENDING" and isinstance(ours, list) and isinstance(theirs, list) and \
            all(isinstance(part, list) for part in ours + theirs):
        return [part[:2] + part[3:] for part in ours] == [part[:2] + part[3:] for part in theirs]
    if name in ("XREAD", "XREADGROUP") and "Unbalanced" in str(ours):
        return "Unbalanced" in str(theirs)
    return False


# ---- DUMP and RESTORE ----

def exchange(rng, source, target, report):
    """A stream with its groups goes to the other server, and is the same there. (A name may hold
    another type, which RENAME and COPY from k1 bring: differential.py exchanges those.)"""
    name = rng.choice(NAMES)
    if source.call("TYPE", name) != b"stream":
        return
    payload = source.call("DUMP", name)
    target.call("DEL", b"copied")
    try:
        target.call("RESTORE", b"copied", "0", payload)
        for words in ([b"STREAM"], [b"GROUPS"]):
            full = [b"FULL", b"COUNT", b"0"] if words == [b"STREAM"] else []
            ours = source.call(b"XINFO", *words, name, *full)
            theirs = target.call(b"XINFO", *words, b"copied", *full)
            if not same_info(ours, theirs):
                report([b"RESTORE of", name] + words, ours, theirs)
    except Exception as error:  # The reply of a server: it is what is compared.
        report([b"RESTORE of", name], payload, error)
    target.call("DEL", b"copied")
