#!/usr/bin/python3
"""Isolation between two or three transactions over two shards, without crashes.

Keys x and z are at shard A, y is at B; z is not there at first. A transaction is a list of words:
rx reads a key, wx writes it, RA reads the range that is shard A. It reads at a snapshot, has a
part on each shard it touches, locks what it writes (unless it is auto), prepares, has its record,
and its outcome reaches the other shards one by one; docs/transactions.md has the rules. All
interleavings are explored, from shards whose clocks differ.

Whenever a transaction commits, the graph of dependencies among the committed ones is built: ww,
wr, rw, and "rt" from one that was answered to one that began later. A level excludes cycles:
  RC   of ww and wr                                               (G0, G1c)
  RR   of ww, wr, rt and at most one rw                           (and G-single, lost update)
  SER  any

usage: isolation_model.py [TITLE ...]"""

import itertools
import sys
from collections import namedtuple

from explore import Broken, explore

SHARD_OF = {"x": "A", "z": "A", "y": "B"}
RANGE = {"A": ("x", "z"), "B": ("y",)}
SHARDS = ("A", "B")

# How many rw edges a cycle may have that the level excludes.
EXCLUDED_RW = {"RC": 0, "RR": 1, "SER": 9, "AUTO": 9, "SER+AUTO": 9}
# Levels with read sets.
VALIDATED = ("SER", "AUTO")

NEW, ACTIVE, COMMITTING, RECORDED, DONE, ABORTED = range(6)

# clock   of each shard: the last timestamp given or served
# acked   the process's word: every commit so far is at or below it
State = namedtuple("State", "clock acked txns")
# reads     (key, writer's number or -1) in their order
# prepared  (shard, proposal) of parts that wait for the outcome
# locks     keys, in their order
# after     transactions that were answered before this one began
Txn = namedtuple("Txn", "phase pc snapshot reads prepared locks ts after")
NEW_TXN = Txn(NEW, 0, 0, (), (), (), 0, ())

# programs, homes  of each transaction
# level, excluded  what runs ("SER+AUTO": T1 is SER, the others are auto), and the level whose
#                  cycles are looked for
# lacking          a rule that is left out; None: none
Case = namedtuple("Case", "programs homes level excluded clocks lacking")


class World:
    """What is fixed in a search: programs, homes, level, and which rules are left out."""

    def __init__(self, case):
        self.programs = [program.split() for program in case.programs]
        self.homes = case.homes
        levels = case.level.split("+")
        self.levels = levels + levels[-1:] * (len(self.programs) - len(levels))
        self.excluded_rw = EXCLUDED_RW[case.excluded]
        self.has_real_time = case.excluded != "RC"
        self.lacking = case.lacking
        self.writes = [sorted({word[1] for word in program if word[0] == "w"})
                       for program in self.programs]

    def lacks(self, rule):
        return rule == self.lacking

    def writes_on(self, i, shard):
        return [key for key in self.writes[i] if SHARD_OF[key] == shard]


def index_of(shard):
    return SHARDS.index(shard)


def with_clock(clock, shard, ts):
    i = index_of(shard)
    return clock if clock[i] >= ts else clock[:i] + (ts,) + clock[i + 1:]


def with_txn(state, i, txn, **fields):
    return state._replace(txns=state.txns[:i] + (txn,) + state.txns[i + 1:], **fields)


def is_prepared_on(txn, shard):
    return any(part == shard for part, _ in txn.prepared)


def proposal_on(txn, shard):
    return next((proposal for part, proposal in txn.prepared if part == shard), None)


def is_visible(txn, shard):
    """Has the shard applied it?"""
    return txn.phase in (RECORDED, DONE) and not is_prepared_on(txn, shard)


def newest(world, state, key, snapshot):
    """The writer of the version that a read at the snapshot finds: (timestamp, number)."""
    found = [(txn.ts, i) for i, txn in enumerate(state.txns)
             if key in world.writes[i] and is_visible(txn, SHARD_OF[key]) and txn.ts <= snapshot]
    return max(found, default=(0, -1))


def others(state, i):
    return [(j, txn) for j, txn in enumerate(state.txns) if j != i]


# ---- Reading and writing. ----


def read_is_held_up(world, state, i, key, snapshot):
    """A prepared writer may commit at or below the snapshot."""
    shard = SHARD_OF[key]
    for j, other in others(state, i):
        proposal = proposal_on(other, shard)
        if proposal is not None and proposal <= snapshot and key in world.writes[j]:
            return not world.lacks("readers wait for prepared writes")
    return False


def read(world, state, i, keys, snapshot, seen=None):
    """None while it waits. What is seen at a snapshot is what stands at `seen`, if given."""
    txn = state.txns[i]
    seen = snapshot if seen is None else seen
    if any(read_is_held_up(world, state, i, key, snapshot) for key in keys):
        return None
    own = {word[1] for word in world.programs[i][:txn.pc] if word[0] == "w"}
    reads = txn.reads + tuple((key, newest(world, state, key, seen)[1])
                              for key in keys if key not in own)
    clock = state.clock
    if not world.lacks("reads raise the clock"):
        clock = with_clock(clock, SHARD_OF[keys[0]], snapshot)
    return with_txn(state, i, txn._replace(pc=txn.pc + 1, reads=reads, snapshot=snapshot),
                    clock=clock)


def write(world, state, i, key, snapshot):
    txn = state.txns[i]
    is_auto = world.levels[i] == "AUTO"
    if not is_auto and any(key in other.locks for _, other in others(state, i)):
        return None
    is_checked = world.levels[i] in ("RR", "SER") and not world.lacks("first writer wins")
    if is_checked and newest(world, state, key, 10**9)[0] > snapshot:
        return with_txn(state, i, aborted(txn))
    locks = txn.locks if is_auto else tuple(sorted({*txn.locks, key}))
    clock = state.clock
    if not world.lacks("parts raise the clock"):
        clock = with_clock(clock, SHARD_OF[key], snapshot)
    return with_txn(state, i, txn._replace(pc=txn.pc + 1, locks=locks, snapshot=snapshot),
                    clock=clock)


def fresh_snapshot(world, state, i):
    own = state.clock[index_of(world.homes[i])]
    return own if world.lacks("snapshots are at or above acked") else max(own, state.acked)


def statement_steps(world, state, i):
    txn = state.txns[i]
    word = world.programs[i][txn.pc]
    snapshot = fresh_snapshot(world, state, i) if world.levels[i] == "RC" else txn.snapshot
    if word[0] == "w":
        following = write(world, state, i, word[1], snapshot)
    else:
        keys = (word[1],) if word[0] == "r" else RANGE[word[1]]
        following = read(world, state, i, keys, snapshot)
        clock = state.clock[index_of(SHARD_OF[keys[0]])]
        if world.lacks("snapshots elsewhere hold versions") and clock > snapshot and \
                SHARD_OF[keys[0]] != world.homes[i]:
            later = read(world, state, i, keys, snapshot, seen=clock)
            if later is not None:
                yield f"T{i + 1}: {word} at {snapshot}, but nothing below {clock} is kept", later
    if following is not None:
        yield f"T{i + 1}: {word} at {snapshot}", following


# ---- Committing. ----


def aborted(txn):
    return txn._replace(phase=ABORTED, prepared=(), locks=())


def validated_keys(world, txn, shard):
    """What of its read set on the shard is looked at; a range stands for keys that are not there,
    too."""
    keys = [key for key, writer in txn.reads if SHARD_OF[key] == shard
            and not (world.lacks("ranges are validated") and key == "z" and writer == -1)]
    return [] if world.lacks("reads are validated") else keys


def has_read_set(world, state, i, shard):
    reads = state.txns[i].reads
    return world.levels[i] in VALIDATED and any(SHARD_OF[key] == shard for key, _ in reads)


def is_refused(world, state, i, shard):
    """Validation at a prepare or a commit alone, and conflicts with others that are prepared."""
    txn = state.txns[i]
    if world.levels[i] not in VALIDATED:
        return False
    for key in validated_keys(world, txn, shard):
        if newest(world, state, key, 10**9)[0] > txn.snapshot:
            return True
        for j, other in others(state, i):
            if is_prepared_on(other, shard) and key in world.writes[j] and \
                    not world.lacks("reads meet prepared writes"):
                return True
    return any(key in other.locks for key in world.writes_on(i, shard)
               for _, other in others(state, i))


def meets_prepared_reads(world, state, i, shard):
    if world.lacks("writes meet prepared reads"):
        return False
    for _, other in others(state, i):
        if is_prepared_on(other, shard):
            if any(key in validated_keys(world, other, shard)
                   for key in world.writes_on(i, shard)):
                return True
    return False


def parts_of(world, state, i):
    return [shard for shard in SHARDS
            if world.writes_on(i, shard) or has_read_set(world, state, i, shard)]


def commit_alone(world, state, i, shard):
    txn = state.txns[i]
    if is_refused(world, state, i, shard) or meets_prepared_reads(world, state, i, shard):
        return f"T{i + 1} is refused", with_txn(state, i, aborted(txn))
    ts = state.clock[index_of(shard)] + 1
    txn = txn._replace(phase=RECORDED, ts=ts, locks=())
    return (f"T{i + 1} commits alone on {shard} at {ts}",
            with_txn(state, i, txn, clock=with_clock(state.clock, shard, ts),
                     acked=raised_acked(world, state, ts)))


def raised_acked(world, state, ts):
    return state.acked if world.lacks("records raise acked") else max(state.acked, ts)


def prepare(world, state, i, shard):
    txn = state.txns[i]
    if is_refused(world, state, i, shard) or meets_prepared_reads(world, state, i, shard):
        return f"{shard} refuses T{i + 1}", with_txn(state, i, aborted(txn))
    proposal, clock, keys = 0, state.clock, world.writes_on(i, shard)
    if keys:
        proposal = clock[index_of(shard)] + 1
        clock = with_clock(clock, shard, proposal)
    txn = txn._replace(phase=COMMITTING, prepared=tuple(sorted(txn.prepared +
                                                               ((shard, proposal),))),
                       locks=tuple(sorted({*txn.locks, *keys})))
    return f"{shard} prepares T{i + 1}, proposes {proposal}", with_txn(state, i, txn, clock=clock)


def record(world, state, i):
    txn = state.txns[i]
    home = world.homes[i]
    ts = max([proposal for _, proposal in txn.prepared] + [state.clock[index_of(home)] + 1])
    if world.lacks("the largest proposal"):
        ts = max(proposal_on(txn, home) or 0, state.clock[index_of(home)] + 1)
    rest = tuple(part for part in txn.prepared if part[0] != home)
    locks = tuple(key for key in txn.locks if SHARD_OF[key] != home)
    return (f"T{i + 1} has its record on {home} at {ts}",
            with_txn(state, i, txn._replace(phase=RECORDED, ts=ts, prepared=rest, locks=locks),
                     clock=with_clock(state.clock, home, ts),
                     acked=raised_acked(world, state, ts)))


def commit_steps(world, state, i):
    txn = state.txns[i]
    if not world.writes[i]:
        yield f"T{i + 1} ends", with_txn(state, i, txn._replace(phase=DONE))
        return
    parts = parts_of(world, state, i)
    if len(parts) == 1:
        yield commit_alone(world, state, i, parts[0])
        return
    missing = [shard for shard in parts if not is_prepared_on(txn, shard)]
    for shard in missing:
        yield prepare(world, state, i, shard)
    is_early = world.lacks("the record waits for all") and world.homes[i] not in missing
    if not missing or is_early:
        yield record(world, state, i)


def outcome_steps(world, state, i):
    txn = state.txns[i]
    for shard, _ in txn.prepared:
        rest = tuple(part for part in txn.prepared if part[0] != shard)
        locks = tuple(key for key in txn.locks if SHARD_OF[key] != shard)
        clock = state.clock
        wrote = bool(world.writes_on(i, shard))
        if not world.lacks("outcomes raise the clock") and \
                (wrote or not world.lacks("outcomes raise the clock of readers")):
            clock = with_clock(clock, shard, txn.ts)
        yield (f"{shard} hears of the outcome of T{i + 1}",
               with_txn(state, i, txn._replace(prepared=rest, locks=locks), clock=clock))
    if txn.phase == RECORDED:
        acked = max(state.acked, txn.ts) if world.lacks("records raise acked") else state.acked
        yield f"T{i + 1} is answered", with_txn(state, i, txn._replace(phase=DONE), acked=acked)


def begin(world, state, i):
    snapshot = fresh_snapshot(world, state, i)
    answered = tuple(j for j, other in enumerate(state.txns) if other.phase == DONE)
    txn = NEW_TXN._replace(phase=ACTIVE, snapshot=snapshot, after=answered)
    return (f"T{i + 1} begins at {snapshot} on {world.homes[i]}",
            with_txn(state, i, txn, clock=with_clock(state.clock, world.homes[i], snapshot)))


# ---- What a level excludes. ----


def edges_of(world, state):
    """{(from, to): "rw" or another}: rw only where nothing stronger joins the two."""
    committed = [i for i, txn in enumerate(state.txns) if txn.phase in (RECORDED, DONE)]
    edges = {}

    def add(a, b, kind):
        if a != b and a in committed and b in committed and edges.get((a, b)) in (None, "rw"):
            edges[a, b] = kind

    for key in SHARD_OF:
        writers = sorted((state.txns[i].ts, i) for i in committed if key in world.writes[i])
        order = [-1] + [i for _, i in writers]
        for a, b in zip(order[1:], order[2:]):
            add(a, b, "ww")
        for i in committed:
            for writer in [writer for read_key, writer in state.txns[i].reads if read_key == key]:
                add(writer, i, "wr")
                after = order.index(writer) + 1 if writer in order else 0
                for following in order[after:after + 1]:
                    add(i, following, "rw")
    for i in committed:
        for j in state.txns[i].after:
            add(j, i, "rt")
    return edges


def cycle_of(world, state):
    """A cycle that the level excludes, as text; None when there is none."""
    edges = edges_of(world, state)
    if not world.has_real_time:
        edges = {pair: kind for pair, kind in edges.items() if kind != "rt"}
    for length in range(2, len(state.txns) + 1):
        for nodes in itertools.permutations(range(len(state.txns)), length):
            pairs = list(zip(nodes, nodes[1:] + nodes[:1]))
            if nodes[0] == min(nodes) and all(pair in edges for pair in pairs):
                kinds = [edges[pair] for pair in pairs]
                if kinds.count("rw") <= world.excluded_rw:
                    return " ".join(f"T{a + 1} -{kind}-> T{b + 1}"
                                    for (a, b), kind in zip(pairs, kinds))
    return None


def is_deadlock(state):
    return sum(txn.phase == ACTIVE for txn in state.txns) > 1


def successors_with(world):
    def steps(state):
        for i, txn in enumerate(state.txns):
            if txn.phase == NEW:
                yield begin(world, state, i)
            elif txn.phase == ACTIVE and txn.pc < len(world.programs[i]):
                yield from statement_steps(world, state, i)
            elif txn.phase in (ACTIVE, COMMITTING):
                yield from commit_steps(world, state, i)
            else:
                yield from outcome_steps(world, state, i)

    def successors(state):
        is_stuck = True
        committed = [txn.phase in (RECORDED, DONE) for txn in state.txns]
        for label, following in steps(state):
            is_stuck = False
            if [txn.phase in (RECORDED, DONE) for txn in following.txns] != committed:
                cycle = cycle_of(world, following)
                if cycle is not None:
                    yield label, Broken(cycle)
            yield label, following
        if is_stuck and any(txn.phase not in (DONE, ABORTED) for txn in state.txns):
            if not is_deadlock(state):
                yield "nothing can happen", Broken("stuck")
    return successors


def search_of(case):
    world = World(case)
    first = State(clock=case.clocks, acked=0, txns=(NEW_TXN,) * len(world.programs))
    return first, successors_with(world)


# ---- Cases. ----

WORDS = ("rx", "ry", "wx", "wy")
CLOCKS = ((0, 0), (0, 4), (4, 0))

# A rule that is left out, what is then found, and with which programs, homes, level and clocks.
RULES = [
    ("readers wait for prepared writes", ("rx ry", "wx wy"), "AA", "RR", (0, 0)),
    ("reads raise the clock", ("wx", "rx wx"), "AB", "RR", (0, 4)),
    ("parts raise the clock", ("wx", "wy", "rx ry"), "BAB", "RR", (0, 4)),
    ("first writer wins", ("wx", "rx wx"), "AA", "RR", (0, 0)),
    ("snapshots are at or above acked", ("rx", "wx"), "BA", "RR", (0, 0)),
    ("records raise acked", ("wx", "rx", "rx"), "AAB", "RR", (0, 0)),
    ("the largest proposal", ("rx ry", "wx wy"), "BB", "RR", (4, 0)),
    ("the record waits for all", ("rx ry", "wx wy"), "AB", "RR", (4, 0)),
    ("snapshots elsewhere hold versions", ("rx ry", "wx wy"), "AA", "RR", (0, 0)),
    ("reads are validated", ("rx wy", "ry wx"), "AA", "SER", (0, 0)),
    ("reads are validated", ("wx", "rx wx"), "AA", "AUTO", (0, 0)),
    ("ranges are validated", ("RA wy", "ry wz"), "AA", "SER", (0, 0)),
    ("ranges are validated", ("RA wy", "ry wz"), "AB", "AUTO", (0, 0)),
    ("reads meet prepared writes", ("rx wy", "ry wx"), "AA", "SER", (0, 0)),
    ("writes meet prepared reads", ("rx wy", "ry wx"), "AA", "SER", (0, 0)),
    ("outcomes raise the clock", ("ry wx", "wy", "rx ry"), "AAA", "SER", (0, 0)),
    ("outcomes raise the clock of readers", ("ry wx", "wy", "rx ry"), "AAA", "SER", (0, 0)),
]

# What a level allows, found when it is held against a stricter one.
ALLOWED = [
    ("lost update at READ COMMITTED", ("rx wx", "rx wx"), "RC", "RR"),
    ("read skew at READ COMMITTED", ("rx ry", "wx wy"), "RC", "RR"),
    ("fuzzy read at READ COMMITTED", ("rx rx", "wx"), "RC", "RR"),
    ("write skew at REPEATABLE READ", ("rx wy", "ry wx"), "RR", "SER"),
    ("write skew by a phantom at REPEATABLE READ", ("RA wy", "ry wz"), "RR", "SER"),
    ("the read-only anomaly at REPEATABLE READ", ("rx ry wx", "ry wy", "rx ry"), "RR", "SER"),
]

# The whole protocol, beside all pairs of programs of at most two of WORDS.
MORE = [
    ("RA wy", "ry wz"), ("RA wx", "RA wz"), ("RA ry", "wz wy"), ("rx ry wx", "rx ry wy"),
    ("rx wx", "ry wy", "rx ry"), ("wx", "wy", "rx ry"), ("ry wx", "wy", "rx ry"),
    ("ry wx", "rx wy", "rx ry"), ("wx", "rx", "rx"),
]
MORE_HOMES = ("AAA", "ABB")


def programs_of(words):
    return [" ".join(program) for length in (1, 2)
            for program in itertools.permutations(words, length)]


def pairs_of(words):
    """Of programs, without those that only read or that are the same with x and y exchanged."""
    swap = str.maketrans("xy", "yx")
    seen = set()
    for pair in itertools.combinations_with_replacement(programs_of(words), 2):
        mirrored = tuple(sorted(program.translate(swap) for program in pair))
        if mirrored not in seen and any("w" in program for program in pair):
            seen.add(tuple(sorted(pair)))
            yield pair


def whole_cases(level):
    """The protocol as it is: nothing may be found."""
    for pair in pairs_of(WORDS):
        for homes, clocks in itertools.product(("AA", "AB"), CLOCKS):
            yield Case(pair, homes, level, level, clocks, None)
    for programs in MORE:
        for homes, clocks in itertools.product(MORE_HOMES, CLOCKS[:2]):
            yield Case(programs, homes, level, level, clocks, None)


def groups():
    """(title, whether a cycle is expected, cases)"""
    for level in ("AUTO", "SER+AUTO", "SER", "RR", "RC"):
        yield f"design, {level}", False, list(whole_cases(level))
    for rule, programs, homes, level, clocks in RULES:
        yield (f"without: {rule}, {level}", True,
               [Case(programs, homes, level, level, clocks, rule)])
    for title, programs, level, stricter in ALLOWED:
        yield (f"allowed: {title}", True,
               [Case(programs, "AAA", level, stricter, (0, 0), None)])
        yield (f"excluded above: {title}", False,
               [Case(programs, "AAA", stricter, stricter, (0, 0), None)])


def run_group(cases):
    """(states, the first case that is broken, its result)"""
    states = 0
    for case in cases:
        result = explore(*search_of(case))
        states += result.states
        if result.broken is not None:
            return states, case, result
    return states, None, None


def main():
    for title, expected, cases in groups():
        if len(sys.argv) > 1 and title not in sys.argv[1:]:
            continue
        states, case, result = run_group(cases)
        print(f"{title}: {states} states in {len(cases)} searches,",
              result.broken if case else "nothing", "found",
              f"(expected: {'a cycle' if expected else 'nothing'})")
        if case is not None:
            print(f"    programs {case.programs}, homes {case.homes}, clocks {case.clocks}")
            for number, label in enumerate(result.story, 1):
                print(f"    {number}. {label}")


if __name__ == "__main__":
    main()
