"""What the store must hold: groups of keys under one hash tag, and the commands on them.

A group is a handful of keys that share a tag, so they share a slot, a shard and a log. One
connection alone writes to a group, with pipelining, so the state of the group after each command
is known when the command is sent. After a crash the group must be in the state after the last
acknowledged command, or in the state after one of the later ones, in their order: that is what
"nothing acknowledged is lost" and "no batch is seen in part" come to.

A state is a tuple with one entry for each key: None, or (value, expiry in ms since 1970 or 0).
"""

import random

PLAIN = 5  # Keys 0..4: strings. Their expiry, if any, lies far ahead.
COUNTER = 5  # INCR only.
BRIEF = 6  # SET with an expiry shortly ahead, and DEL; nothing else depends on its being there.
MEMBERS = 7
EMPTY = (None,) * MEMBERS

FAR_MS = 10_000_000
BRIEF_MS_MAX = 400
VALUE_BYTES_MAX = 200_000  # Beyond 64 KiB a value takes another path to the disk.
APPEND_BELOW_BYTES = 2000
READ_BELOW_BYTES = 4096  # Larger values are not read under load: replies stay small.

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
        members = self.rng.sample(range(MEMBERS - 1), self.rng.randrange(1, 4))
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

    KINDS = [_set, _mset, _delete, _increment, _expire, _persist, _rename, _copy, _append, _get,
             _brief]
    WEIGHTS = [30, 12, 10, 12, 5, 3, 6, 4, 6, 10, 2]


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
            text = value[:40].split(b":")
            shown = b":".join(text[:2]).decode("latin1") if len(text) > 2 else value[:20].decode(
                "latin1")
            parts.append("%d=%s(%d bytes%s)" % (member, shown, len(value),
                                                ", expires %d" % expiry if expiry else ""))
    return " ".join(parts) or "empty"
