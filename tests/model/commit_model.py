#!/usr/bin/python3
"""The commit protocol and crashes: one record in the home shard's log.

Transactions T1 and (where asked for) T2 have their home at shard A and write on A and B; T1 may
have a read set at a shard C. A transaction D at home on B depends on T1. Every shard has a
memtable, a frozen one while it is flushed, and tables; the logs of A and B have a durable part.

A crash takes all shards. A kill leaves each log as it was appended; after a power cut each keeps
its durable part or any longer prefix. Recovery reads the logs and hands each write to its shard,
unless the note in that shard's last flush says that its tables have the log up to there.

Checked after each recovery:
  whole    a transaction is on all the shards it wrote to, or on none;
  told     what was acknowledged is there, what was refused is not;
  shown    what anybody was answered, of a transaction being there or not, stays true;
  order    D is there only if T1, which it has read, is there;
  hole     no tables are ahead of the log, where later records would be skipped.

usage: commit_model.py [VARIANT ...]"""

import sys
from collections import namedtuple

from explore import Broken, explore

# A name, what is expected to break (None: nothing), and what is different.
VARIANTS = [
    ("design", None, {"crashes": 2}),
    ("design, T1 has a read set elsewhere", None, {"crashes": 2, "reads": True}),
    ("design, D depends on T1", None, {"crashes": 2, "dependent": True}),
    ("design, D depends on T1, durability lowered", None,
     {"crashes": 2, "dependent": True, "low": True}),
    ("design, two transactions", None, {"txns": 2, "crashes": 1}),
    ("outcome before durable, seen by readers", "shown", {"outcome_early": True}),
    ("outcome before durable, seen by D", "order",
     {"dependent": True, "outcome_early": True, "quiet": True}),
    ("outcome before durable, seen by tables", "whole", {"outcome_early": True, "quiet": True}),
    ("record before all have validated", "told", {"reads": True, "same_round": True}),
    ("record in another log does not wait", "order", {"dependent": True, "record_early": True}),
    ("answer to a reader before durable", "shown", {"answer_early": True}),
    ("answer to the client before durable", "told", {"told_early": True}),
    ("tables before log", "whole", {"tables_early": True}),
    ("log released when the home has flushed", "whole", {"release_home": True}),
    ("log released while an outcome is under way", "whole", {"release_memory": True}),
    ("note taken at the end of a flush", "whole", {"txns": 2, "note_late": True}),
    ("outcomes overtake each other, the note has the last", "whole",
     {"txns": 2, "unordered": True}),
    ("recovery acts on what is not durable", "shown", {"crashes": 2, "no_recovery_sync": True}),
    ("recovery skips foreign logs", "whole", {"own_log_only": True}),
    ("recovery drops what only its own tables lack", "whole", {"home_position": True}),
]

# txns      of T1 and T2
# log_a     which transactions, in the order of their records; durable_a how many are durable
# log_b     whether D's record is there; durable_b whether it is durable
# released  how many records of A's log are gone
# shards    of A and B
# dep       what D is: None, or how far it is
# shown     transactions that somebody was told to be there, and to be not there
State = namedtuple("State", "txns log_a durable_a log_b durable_b released shards dep shown hidden"
                   " crashes life")
# validated  by C: None while open
# prepared   by B
# outcome    to B: 0 not sent, 1 under way, 2 applied
# told       the client's answer
Txn = namedtuple("Txn", "validated prepared outcome told")
# active, frozen  memtables; frozen is None when no flush is under way
# position        of A's log, up to which everything was applied here
# note            the position of the flush under way; flushed: of the last flush that ended
Shard = namedtuple("Shard", "active frozen tables position note flushed")

A, B = 0, 1
SHARD_NAMES = "AB"


def replaced(items, index, item):
    return items[:index] + (item,) + items[index + 1:]


def with_item(items, item):
    return items if item in items else tuple(sorted(items + (item,)))


def first_state(options):
    reads = options.get("reads", False)
    txn = Txn(validated=None if reads else True, prepared=False, outcome=0, told=None)
    shard = Shard(active=(), frozen=None, tables=(), position=0, note=0, flushed=0)
    return State(txns=(txn,) + (Txn(True, False, 0, None),) * (options.get("txns", 1) - 1),
                 log_a=(), durable_a=0, log_b=False, durable_b=False, released=0,
                 shards=(shard, shard), dep=None, shown=(), hidden=(),
                 crashes=options.get("crashes", 1), life=0)


def name(txn):
    return f"T{txn + 1}"


# ---- Committing. ----


def commit_steps(options, state, i):
    txn = state.txns[i]
    is_logged = i in state.log_a

    def changed(**fields):
        return replaced(state.txns, i, txn._replace(**fields))

    if txn.validated is None:
        yield f"C validates {name(i)}", state._replace(txns=changed(validated=True))
        yield f"C refuses {name(i)}", state._replace(txns=changed(validated=False))
    if not txn.prepared:
        yield f"B prepares {name(i)}", state._replace(txns=changed(prepared=True))
    if txn.validated is False and txn.told is None:
        yield f"the client of {name(i)} is told 40001", state._replace(txns=changed(told="abort"))
    is_ready = txn.prepared and (txn.validated is True or "same_round" in options)
    if is_ready and not is_logged and txn.told != "abort":
        log_a = state.log_a + (i,)
        home = state.shards[A]
        home = home._replace(active=with_item(home.active, i), position=len(log_a))
        yield (f"A appends the record of {name(i)} and applies it",
               state._replace(log_a=log_a, shards=replaced(state.shards, A, home)))


def outcome_steps(options, state, i):
    txn = state.txns[i]
    if i not in state.log_a:
        return
    position = state.log_a.index(i) + 1
    is_durable = position <= state.durable_a

    def changed(**fields):
        return replaced(state.txns, i, txn._replace(**fields))

    is_decided = is_durable and txn.validated is True
    if txn.outcome == 0 and (is_decided or "outcome_early" in options):
        yield f"A sends the outcome of {name(i)} to B", state._replace(txns=changed(outcome=1))
    earlier = state.log_a[:position - 1]
    is_next = all(state.txns[t].outcome == 2 for t in earlier) or "unordered" in options
    if txn.outcome == 1 and is_next:
        other = state.shards[B]
        other = other._replace(active=with_item(other.active, i),
                               position=max(other.position, position))
        yield (f"B applies {name(i)}",
               state._replace(txns=changed(outcome=2), shards=replaced(state.shards, B, other)))
    if txn.told is None and (is_decided or "told_early" in options):
        yield f"the client of {name(i)} is told COMMIT", state._replace(txns=changed(told="commit"))
    elif txn.told is None and "low" in options:
        yield f"the client of {name(i)} is told early", state._replace(txns=changed(told="early"))
    if i in state.shown or "quiet" in options:
        return
    if is_durable or "answer_early" in options:
        yield (f"a reader on A is answered that {name(i)} is there",
               state._replace(shown=with_item(state.shown, i)))
    if txn.outcome == 2:
        yield (f"a reader on B is answered that {name(i)} is there",
               state._replace(shown=with_item(state.shown, i)))


def dependent_steps(options, state):
    """D reads T1, on A or on B, and its record is in the log of B."""
    if "dependent" not in options or state.life > 0:
        return
    is_there = 0 in state.log_a
    if state.dep is None and is_there:
        yield "D reads T1 on A", state._replace(dep="read on A")
    if state.dep is None and state.txns[0].outcome == 2:
        yield "D reads T1 on B", state._replace(dep="read on B")
    is_free = state.dep == "read on B" or 0 in state.log_a[:state.durable_a]
    is_free = is_free or "record_early" in options
    if state.dep is not None and not state.log_b and is_free:
        yield "B appends the record of D", state._replace(log_b=True)


# ---- Logs and tables. ----


def log_steps(state):
    if state.durable_a < len(state.log_a):
        yield "the log of A is durable", state._replace(durable_a=len(state.log_a))
    if state.log_b and not state.durable_b:
        yield "the log of B is durable", state._replace(durable_b=True)


def flush_steps(options, state, s):
    shard = state.shards[s]
    if shard.frozen is None and shard.active:
        frozen = shard._replace(active=(), frozen=shard.active, note=shard.position)
        yield (f"{SHARD_NAMES[s]} freezes its memtable",
               state._replace(shards=replaced(state.shards, s, frozen)))
    if shard.frozen is None:
        return
    if s == A and shard.note > state.durable_a and "tables_early" not in options:
        return
    note = shard.position if "note_late" in options else shard.note
    tables = tuple(sorted(set(shard.tables) | set(shard.frozen)))
    flushed = shard._replace(frozen=None, tables=tables, note=0, flushed=max(note, shard.flushed))
    yield (f"{SHARD_NAMES[s]} ends its flush",
           state._replace(shards=replaced(state.shards, s, flushed)))


def release_steps(options, state):
    home, other = state.shards
    if "release_home" in options:
        position = home.flushed
    elif "release_memory" in options:
        in_memory = set(other.active) | set(other.frozen or ())
        oldest = [p for p, t in enumerate(state.log_a) if t in in_memory]
        position = min([home.flushed] + oldest)
    else:
        position = min(home.flushed, other.flushed)
    if position > state.released:
        yield (f"A releases {position} of its log's records", state._replace(released=position))


# ---- Crash and recovery. ----


def recovered_shard(options, state, s, log_a):
    shard = state.shards[s]
    flushed = state.shards[A].flushed if "home_position" in options else shard.flushed
    start = max(flushed, state.released)
    found = set(log_a[start:])
    if s == B and "own_log_only" in options:
        found = set()
    active = tuple(sorted(found - set(shard.tables)))
    return Shard(active=active, frozen=None, tables=shard.tables, position=len(log_a), note=0,
                 flushed=shard.flushed)


def broken_rule(options, state, i, is_on_a, is_on_b):
    txn = state.txns[i]
    if is_on_a != is_on_b:
        return f"whole: {name(i)} on A: {is_on_a}, on B: {is_on_b}"
    if txn.told == "commit" and not is_on_a:
        return f"told: {name(i)} was acknowledged and is gone"
    if txn.told == "abort" and is_on_a:
        return f"told: {name(i)} was refused and is there"
    if i in state.shown and not is_on_a:
        return f"shown: somebody was answered that {name(i)} is there, and it is gone"
    if i in state.hidden and is_on_a:
        return f"shown: somebody was answered that {name(i)} is not there, and it is"
    return None


def recover(options, state, log_a, log_b):
    shards = tuple(recovered_shard(options, state, s, log_a) for s in (A, B))
    there = [set(shard.active) | set(shard.tables) for shard in shards]
    for i in range(len(state.txns)):
        text = broken_rule(options, state, i, i in there[A], i in there[B])
        if text is not None:
            return Broken(text)
    if max(shard.flushed for shard in shards) > len(log_a):
        return Broken("hole: tables hold records that the log has lost")
    if log_b and 0 not in there[A]:
        return Broken("order: D is there, T1, which it has read, is not")
    is_synced = "no_recovery_sync" not in options
    txns = tuple(txn._replace(outcome=2 if i in there[B] else 0, prepared=True, validated=True)
                 for i, txn in enumerate(state.txns))
    return state._replace(txns=txns, log_a=log_a, log_b=log_b, shards=shards,
                          durable_a=len(log_a) if is_synced else min(state.durable_a, len(log_a)),
                          durable_b=log_b if is_synced else state.durable_b and log_b,
                          crashes=state.crashes - 1, life=state.life + 1)


def crash_steps(options, state):
    if state.crashes == 0:
        return
    yield "a kill, recovery", recover(options, state, state.log_a, state.log_b)
    for keep_a in range(state.durable_a, len(state.log_a) + 1):
        for keep_b in {state.durable_b, state.log_b}:
            label = f"a power cut that leaves {keep_a} records of A's log"
            if state.log_b:
                label += " and D's" if keep_b else " and not D's"
            yield label + ", recovery", recover(options, state, state.log_a[:keep_a], keep_b)


def after_steps(state):
    """After a recovery: anybody is answered what is there now, and that must stay."""
    there = set(state.shards[A].active) | set(state.shards[A].tables)
    there |= set(state.shards[A].frozen or ())
    shown, hidden = state.shown, state.hidden
    for i in range(len(state.txns)):
        if i in there:
            shown = with_item(shown, i)
        else:
            hidden = with_item(hidden, i)
    if (shown, hidden) != (state.shown, state.hidden):
        yield "readers are answered what is there", state._replace(shown=shown, hidden=hidden)


def successors_with(options):
    def successors(state):
        if state.life == 0:
            for i in range(len(state.txns)):
                yield from commit_steps(options, state, i)
                yield from outcome_steps(options, state, i)
            yield from dependent_steps(options, state)
        else:
            yield from after_steps(state)
        yield from log_steps(state)
        for s in (A, B):
            yield from flush_steps(options, state, s)
        yield from release_steps(options, state)
        yield from crash_steps(options, state)
    return successors


def search_of(options):
    return first_state(options), successors_with(options)


def main():
    for title, expected, options in VARIANTS:
        if len(sys.argv) > 1 and title not in sys.argv[1:]:
            continue
        result = explore(*search_of(options))
        print(f"{title}: {result.states} states, {result.broken or 'nothing is broken'}"
              f" (expected: {expected or 'nothing'})")
        for number, label in enumerate(result.story, 1):
            print(f"    {number}. {label}")


if __name__ == "__main__":
    main()
