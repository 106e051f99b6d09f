"""What the store must hold: groups of keys under one hash tag, and the commands on them.

A group is a handful of keys that share a tag, so they share a slot, a shard and a log. One
connection alone writes to a group, with pipelining, so the state of the group after each command
is known when the command is sent. After a crash the group must be in the state after the last
acknowledged command, or in the state after one of the later ones, in their order: that is what
"nothing acknowledged is lost" and "no batch is seen in part" come to.

A state is a tuple with one entry for each key: None, or (value, expiry in ms since 1970 or 0). The
value of a collection is what READS brings back of it, in an order that does not depend on storage.
"""

import random

PLAIN = 5  # Keys 0..4: strings. Their expiry, if any, lies far ahead.
COUNTER = 5  # INCR only.
BRIEF = 6  # SET with an expiry shortly ahead, and DEL; nothing else depends on its being there.
HASH, LIST, SET, ZSET, STREAM = range(7, 12)  # One key of each type.
MEMBERS = 12
EMPTY = (None,) * MEMBERS

FAR_MS = 10_000_000
BRIEF_MS_MAX = 400
VALUE_BYTES_MAX = 200_000  # Beyond 64 KiB a value takes another path to the disk.
APPEND_BELOW_BYTES = 2000
READ_BELOW_BYTES = 4096  # Larger values are not read under load: replies stay small.

FIELDS = 12  # Of a hash, a set, a sorted set.
LIST_ITEMS_MAX = 30
STREAM_ENTRIES_MAX = 20
FIELD_NAMES = [b"f%02d" % i for i in range(FIELDS)]
LONG_BYTES = 300  # Some items are so long that a collection is no longer packed.

# The command that reads all of a member, as words around the key; the rest is MGET's.
READS = {
    HASH: lambda name: ["HMGET", name] + FIELD_NAMES,
    LIST: lambda name: ["LRANGE", name, 0, -1],
    SET: lambda name: ["SMISMEMBER", name] + FIELD_NAMES,
    ZSET: lambda name: ["ZRANGE", name, 0, -1, "WITHSCORES"],
    STREAM: lambda name: ["XRANGE", name, "-", "+"],
}


def read_value(member, reply):
    """What READS has brought, as the model holds it; None: there is no such key."""
    if member == SET:
        reply = [name if is_in else None for name, is_in in zip(FIELD_NAMES, reply)]
    if member == STREAM:
        reply = [(entry_id, tuple(fields)) for entry_id, fields in reply]
    return tuple(reply) if any(part is not None for part in reply) else None


_PADDING = random.Random(1).randbytes(VALUE_BYTES_MAX)


class Op:
    """One command: what is sent, what must come back, and the state of the group behind it.

    reply is compared for equality; ERROR stands for "ERR no such key"."""

    __slots__ = ("group", "args", "reply", "state")

    def __init__(self, group, args, reply, state):
        self.group = group
        self.args = args
        self.reply = reply
        self.state = state


ERROR = "ERR no such key"


def key(prefix, group, member):
    return "{%s:%d}%d" % (prefix, group, member)


def _with(state, member, entry):
    return state[:member] + (entry,) + state[member + 1 :]


class Writer:
    """Draws commands for the groups of one connection and tracks the state after each."""

    def __init__(self, prefix, groups, rng):
        self.prefix = prefix
        self.rng = rng
        self.states = [EMPTY] * groups
        self.sequence = 0

    def value(self):
        """A value never sent before; most are short, some long, a few very long."""
        self.sequence += 1
        draw = self.rng.random()
        if draw < 0.01:
            size = self.rng.randrange(60_000, VALUE_BYTES_MAX)
        elif draw < 0.10:
            size = self.rng.randrange(1000, 9000)
        else:
            size = self.rng.randrange(0, 300)
        return b"%s:%d:" % (self.prefix.encode(), self.sequence) + _PADDING[:size]

    def draw(self, now_ms):
        """The next command."""
        group = self.rng.randrange(len(self.states))
        make = self.rng.choices(self.KINDS, self.WEIGHTS)[0]
        op = make(self, group, self.states[group], now_ms)
        self.states[group] = op.state
        return op

    def _key(self, group, member):
        return key(self.prefix, group, member)

    def _set(self, group, state, now_ms):
        member = self.rng.randrange(PLAIN)
        value = self.value()
        args = ["SET", self._key(group, member), value]
        expiry = 0
        draw = self.rng.random()
        if draw < 0.1:
            expiry = now_ms + FAR_MS + self.rng.randrange(FAR_MS)
            args += ["PXAT", expiry]
        elif draw < 0.2:
            expiry = state[member][1] if state[member] else 0
            args += ["KEEPTTL"]
        return Op(group, args, b"OK", _with(state, member, (value, expiry)))

    def _mset(self, group, state, now_ms):
        args = ["MSET"]
        for member in range(PLAIN):
            value = self.value()
            args += [self._key(group, member), value]
            state = _with(state, member, (value, 0))
        return Op(group, args, b"OK", state)

    def _delete(self, group, state, now_ms):
        members = self.rng.sample(range(BRIEF), self.rng.randrange(1, 4))
        args = [self.rng.choice(["DEL", "UNLINK"])] + [self._key(group, m) for m in members]
        count = sum(state[m] is not None for m in members)
        for member in members:
            state = _with(state, member, None)
        return Op(group, args, count, state)

    def _increment(self, group, state, now_ms):
        number = int(state[COUNTER][0]) + 1 if state[COUNTER] else 1
        args = ["INCR", self._key(group, COUNTER)]
        return Op(group, args, number, _with(state, COUNTER, (b"%d" % number, 0)))

    def _expire(self, group, state, now_ms):
        member = self.rng.randrange(PLAIN)
        expiry = now_ms + FAR_MS + self.rng.randrange(FAR_MS)
        args = ["PEXPIREAT", self._key(group, member), expiry]
        if state[member] is None:
            return Op(group, args, 0, state)
        return Op(group, args, 1, _with(state, member, (state[member][0], expiry)))

    def _persist(self, group, state, now_ms):
        member = self.rng.randrange(PLAIN)
        args = ["PERSIST", self._key(group, member)]
        if state[member] is None or state[member][1] == 0:
            return Op(group, args, 0, state)
        return Op(group, args, 1, _with(state, member, (state[member][0], 0)))

    def _rename(self, group, state, now_ms):
        source, target = self.rng.sample(range(PLAIN), 2)
        args = ["RENAME", self._key(group, source), self._key(group, target)]
        if state[source] is None:
            return Op(group, args, ERROR, state)
        moved = _with(_with(state, target, state[source]), source, None)
        return Op(group, args, b"OK", moved)

    def _copy(self, group, state, now_ms):
        source, target = self.rng.sample(range(PLAIN), 2)
        args = ["COPY", self._key(group, source), self._key(group, target), "REPLACE"]
        if state[source] is None:
            return Op(group, args, 0, state)
        return Op(group, args, 1, _with(state, target, state[source]))

    def _append(self, group, state, now_ms):
        member = self.rng.randrange(PLAIN)
        value, expiry = state[member] or (b"", 0)
        if len(value) > APPEND_BELOW_BYTES:
            return self._set(group, state, now_ms)
        self.sequence += 1
        tail = b"+%d" % self.sequence
        args = ["APPEND", self._key(group, member), tail]
        longer = value + tail
        return Op(group, args, len(longer), _with(state, member, (longer, expiry)))

    def _get(self, group, state, now_ms):
        member = self.rng.randrange(PLAIN + 1)
        value = state[member][0] if state[member] else None
        if value is not None and len(value) > READ_BELOW_BYTES:
            return Op(group, ["STRLEN", self._key(group, member)], len(value), state)
        return Op(group, ["GET", self._key(group, member)], value, state)

    def _brief(self, group, state, now_ms):
        args = ["SET", self._key(group, BRIEF)]
        value = self.value()
        expiry = now_ms + self.rng.randrange(1, BRIEF_MS_MAX)
        args += [value, "PXAT", expiry]
        return Op(group, args, b"OK", _with(state, BRIEF, (value, expiry)))

    # ---- Collections ----

    def _item(self):
        """A text that was never sent before."""
        self.sequence += 1
        long = self.rng.random() < 0.1
        return b"%s:%d:" % (self.prefix.encode(), self.sequence) + \
            _PADDING[:LONG_BYTES if long else 0]

    def _collection(self, group, state, member, words, reply, value):
        """value: what the collection holds now; it goes when that is nothing."""
        expiry = state[member][1] if state[member] else 0
        entry = (value, expiry) if any(part is not None for part in value) else None
        args = words[:1] + [self._key(group, member)] + words[1:]
        return Op(group, args, reply, _with(state, member, entry))

    def _hash(self, group, state, now_ms):
        fields = list(state[HASH][0]) if state[HASH] else [None] * FIELDS
        chosen = self.rng.sample(range(FIELDS), self.rng.randrange(1, 6))
        before = sum(fields[i] is not None for i in chosen)
        if self.rng.random() < 0.3:
            for i in chosen:
                fields[i] = None
            words = ["HDEL"] + [FIELD_NAMES[i] for i in chosen]
            return self._collection(group, state, HASH, words, before, tuple(fields))
        words = ["HSET"]
        for i in chosen:
            fields[i] = self._item()
            words += [FIELD_NAMES[i], fields[i]]
        return self._collection(group, state, HASH, words, len(chosen) - before, tuple(fields))

    def _set_type(self, group, state, now_ms):
        members = list(state[SET][0]) if state[SET] else [None] * FIELDS
        chosen = self.rng.sample(range(FIELDS), self.rng.randrange(1, 6))
        before = sum(members[i] is not None for i in chosen)
        is_removal = self.rng.random() < 0.4
        for i in chosen:
            members[i] = None if is_removal else FIELD_NAMES[i]
        words = ["SREM" if is_removal else "SADD"] + [FIELD_NAMES[i] for i in chosen]
        count = before if is_removal else len(chosen) - before
        return self._collection(group, state, SET, words, count, tuple(members))

    def _list(self, group, state, now_ms):
        items = list(state[LIST][0]) if state[LIST] else []
        if items and (len(items) > LIST_ITEMS_MAX or self.rng.random() < 0.4):
            is_left = self.rng.random() < 0.5
            item = items.pop(0 if is_left else -1)
            return self._collection(group, state, LIST, ["LPOP" if is_left else "RPOP"], item,
                                    tuple(items))
        more = [self._item() for _ in range(self.rng.randrange(1, 5))]
        if self.rng.random() < 0.5:
            items = more[::-1] + items
            words = ["LPUSH"] + more
        else:
            items += more
            words = ["RPUSH"] + more
        return self._collection(group, state, LIST, words, len(items), tuple(items))

    def _zset(self, group, state, now_ms):
        flat = state[ZSET][0] if state[ZSET] else ()
        scores = {name: int(score) for name, score in zip(flat[0::2], flat[1::2])}
        chosen = [FIELD_NAMES[i]
                  for i in self.rng.sample(range(FIELDS), self.rng.randrange(1, 6))]
        before = sum(name in scores for name in chosen)
        if self.rng.random() < 0.3:
            for name in chosen:
                scores.pop(name, None)
            words, count = ["ZREM"] + chosen, before
        else:
            words, count = ["ZADD"], len(chosen) - before
            for name in chosen:
                scores[name] = self.rng.randrange(100)
                words += [scores[name], name]
        order = sorted(scores, key=lambda name: (scores[name], name))
        flat = tuple(part for name in order for part in (name, b"%d" % scores[name]))
        return self._collection(group, state, ZSET, words, count, flat)

    def _stream(self, group, state, now_ms):
        entries = state[STREAM][0] if state[STREAM] else ()
        draw = self.rng.random()
        if entries and draw < 0.15:
            gone = self.rng.choice(entries)
            left = tuple(entry for entry in entries if entry != gone)
            if left:  # The model has no place for an empty stream.
                return self._collection(group, state, STREAM, ["XDEL", gone[0]], 1, left)
        if len(entries) > STREAM_ENTRIES_MAX or (len(entries) > 1 and draw < 0.25):
            kept = entries[len(entries) // 2:]
            return self._collection(group, state, STREAM, ["XTRIM", "MAXLEN", len(kept)],
                                    len(entries) - len(kept), kept)
        self.sequence += 1
        entry = (b"%d-1" % self.sequence, (b"f", self._item()))
        words = ["XADD", entry[0]] + list(entry[1])
        return self._collection(group, state, STREAM, words, entry[0], entries + (entry,))

    def _collection_whole(self, group, state, now_ms):
        """The key as a whole: it goes, or gets an expiry."""
        member = self.rng.choice([HASH, LIST, SET, ZSET, STREAM])
        name = self._key(group, member)
        found = state[member]
        if self.rng.random() < 0.5:
            return Op(group, ["DEL", name], int(found is not None), _with(state, member, None))
        expiry = now_ms + FAR_MS + self.rng.randrange(FAR_MS)
        after = _with(state, member, (found[0], expiry)) if found else state
        return Op(group, ["PEXPIREAT", name, expiry], int(found is not None), after)

    KINDS = [_set, _mset, _delete, _increment, _expire, _persist, _rename, _copy, _append, _get,
             _brief, _hash, _set_type, _list, _zset, _stream, _collection_whole]
    WEIGHTS = [30, 12, 10, 12, 5, 3, 6, 4, 6, 10, 2, 10, 6, 10, 8, 10, 3]


def entry_matches(expected, found, before_ms, after_ms, slack_ms):
    """found was read between before_ms and after_ms. An expiry that lies in between, or within
    slack_ms of it, leaves both answers open."""
    if expected is not None and expected[1] != 0:
        if expected[1] < before_ms - slack_ms:
            return found is None
        if expected[1] <= after_ms + slack_ms and found is None:
            return True
    return expected == found


def state_matches(expected, found, before_ms, after_ms, slack_ms):
    return all(entry_matches(expected[m], found[m], before_ms, after_ms, slack_ms)
               for m in range(MEMBERS))


def describe(state):
    """A state in one short line, for messages."""
    parts = []
    for member, entry in enumerate(state):
        if entry is not None:
            value, expiry = entry
            if isinstance(value, tuple):
                parts.append("%d=%.60r" % (member, value))
                continue
            text = value[:40].split(b":")
            shown = b":".join(text[:2]).decode("latin1") if len(text) > 2 else value[:20].decode(
                "latin1")
            parts.append("%d=%s(%d bytes%s)" % (member, shown, len(value),
                                                ", expires %d" % expiry if expiry else ""))
    return " ".join(parts) or "empty"
