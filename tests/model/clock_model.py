#!/usr/bin/python3
"""The clocks of two shards over crashes: no commit may come at or below a snapshot that was served.

A shard's clock ticks up to the ceiling that is durable in its own log, and is raised by what comes
from the other shard (snapshots, outcomes). After a crash every clock begins at the largest ceiling
of all logs. A log keeps what is durable, or what was appended beside it.

usage: clock_model.py [VARIANT ...]"""

import sys
from collections import namedtuple

from explore import Broken, explore

CLOCK_MAX = 5
AHEAD = 2  # A ceiling is so far ahead of the clock that asks for it.

# A name, whether a broken rule is expected, and what is different.
VARIANTS = [
    ("design", False, ""),
    ("the clock passes a ceiling that is not durable", True, "early"),
    ("a start begins at the newest commit", True, "commits"),
    ("a start begins at the ceiling of its own log", True, "own"),
]

# clocks, ceilings (appended), durable: of both shards
# served   the largest snapshot that was answered; commit: of the newest commit, which is durable
State = namedtuple("State", "clocks ceilings durable served commit crashes")


def replaced(items, index, item):
    return items[:index] + (item,) + items[index + 1:]


def shard_steps(variant, state, s):
    clock = state.clocks[s]
    ceiling = state.ceilings[s] if variant == "early" else state.durable[s]
    if clock < min(ceiling, CLOCK_MAX):
        ticked = state._replace(clocks=replaced(state.clocks, s, clock + 1))
        yield f"the clock of {s} ticks to {clock + 1}", ticked
        text = f"{s} commits at {clock + 1}"
        if clock + 1 <= state.served:
            yield text, Broken(f"a commit at {clock + 1}, a snapshot at {state.served} was served")
        yield text, ticked._replace(commit=max(state.commit, clock + 1))
    if state.ceilings[s] < clock + AHEAD:
        yield (f"{s} appends the ceiling {clock + AHEAD}",
               state._replace(ceilings=replaced(state.ceilings, s, clock + AHEAD)))
    if state.durable[s] < state.ceilings[s]:
        yield (f"the log of {s} is durable",
               state._replace(durable=replaced(state.durable, s, state.ceilings[s])))
    raised = tuple(max(clock, other) for other in state.clocks)
    yield (f"a snapshot of {s} at {clock} is served by both",
           state._replace(clocks=raised, served=max(state.served, clock)))


def crash_steps(variant, state):
    for a in {state.durable[0], state.ceilings[0]}:
        for b in {state.durable[1], state.ceilings[1]}:
            found = (a, b)
            if variant == "commits":
                clocks = (state.commit,) * 2
            elif variant == "own":
                clocks = found
            else:
                clocks = (max(found),) * 2
            yield (f"a crash leaves the ceilings {a} and {b}",
                   state._replace(clocks=clocks, ceilings=found, durable=found,
                                  crashes=state.crashes - 1))


def search_of(variant):
    def successors(state):
        for s in (0, 1):
            yield from shard_steps(variant, state, s)
        if state.crashes > 0:
            yield from crash_steps(variant, state)
    return State((0, 0), (0, 0), (0, 0), 0, 0, 2), successors


def main():
    for title, expected, variant in VARIANTS:
        if len(sys.argv) > 1 and title not in sys.argv[1:]:
            continue
        result = explore(*search_of(variant))
        print(f"{title}: {result.states} states, {result.broken or 'nothing is broken'}"
              f" (expected: {'a broken rule' if expected else 'nothing'})")
        for number, label in enumerate(result.story, 1):
            print(f"    {number}. {label}")


if __name__ == "__main__":
    main()
