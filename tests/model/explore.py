"""The explorer: breadth first over every state that a model can reach.

A model is a function successors(state) that yields (label, next state). States are values that
can be hashed. Where a rule is broken the model yields (label, Broken(text)) instead. The search
ends at the first broken rule, so the story that it gives is a shortest one."""

from collections import deque

STATES_MAX = 3_000_000


class Broken:
    """A rule does not hold; the text says which."""

    def __init__(self, text):
        self.text = text


class Result:
    """What a search found: the number of states, and the broken rule with the way to it."""

    def __init__(self, states, broken=None, story=()):
        self.states = states
        self.broken = broken
        self.story = list(story)


def story_of(parents, state, last):
    labels = [last]
    while parents[state] is not None:
        state, label = parents[state]
        labels.append(label)
    return reversed(labels)


def explore(first, successors):
    parents = {first: None}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        for label, following in successors(state):
            if isinstance(following, Broken):
                return Result(len(parents), following.text, story_of(parents, state, label))
            if following not in parents:
                parents[following] = (state, label)
                waiting.append(following)
        if len(parents) > STATES_MAX:
            raise RuntimeError(f"more than {STATES_MAX} states")
    return Result(len(parents))
