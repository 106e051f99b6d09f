"""Commands that wait, for differential.py: alone with a short timeout, inside of transactions, and
as clients that wait until another one writes what they wait for.
"""

import time

import server
from diff_common import key, number, small, word, words

PICKS = set()
WAITERS_MAX = 3
MEETINGS = 4  # After a share of batches.
WAIT_S = 10
UNSERVED_S = 0.006  # Neither server has an answer so long: nobody serves the client.
LATE_S = 2  # One has.
BRIEFLY = [b"0.001", b"0.01", b"-1", b"x", b"", b"0.002"]
NAMES = [b"b%d" % i for i in range(4)]
WAITING = ("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP")


def name_of(rng):
    return rng.choice(NAMES)


def names_of(rng):
    return [name_of(rng) for _ in range(rng.choice([1, 1, 2, 3]))]


def end(rng):
    return rng.choice([b"LEFT", b"right"])


def waiting(rng, names, timeout):
    """A command that waits for one of these keys."""
    return rng.choice([
        lambda: [rng.choice([b"BLPOP", b"BRPOP", b"BZPOPMIN", b"bzpopmax"])] + names + [timeout],
        lambda: [b"BLMOVE", names[0], rng.choice(NAMES), end(rng), end(rng), timeout],
        lambda: [b"BRPOPLPUSH", names[0], rng.choice(NAMES), timeout],
        lambda: [b"BLMPOP", timeout, b"%d" % len(names)] + names + [end(rng)] +
        rng.choice([[], [b"COUNT", b"%d" % rng.randrange(1, 4)]]),
        lambda: [b"BZMPOP", timeout, b"%d" % len(names)] + names + [rng.choice([b"MIN", b"max"])] +
        rng.choice([[], [b"COUNT", b"%d" % rng.randrange(1, 4)]]),
    ])()


def milliseconds(rng):
    return rng.choice([b"1", b"2", b"-1", b"x", b"1.5"])


def stream_waiting(rng, names, timeout):
    return rng.choice([
        lambda: [b"XREAD", b"BLOCK", timeout, b"STREAMS"] + names +
        [rng.choice([b"$", b"0", b"5"]) for _ in names],
        lambda: [b"XREADGROUP", b"GROUP", b"g", rng.choice([b"c1", b"c2"]), b"BLOCK", timeout,
                 b"STREAMS"] + names + [b">" for _ in names],
    ])()


def written(rng, ids):
    name = name_of(rng)
    return rng.choice([
        lambda: [rng.choice([b"RPUSH", b"LPUSH"]), name] + words(rng, 1, 3),
        lambda: [b"ZADD", name] + [part for _ in range(rng.randint(1, 3))
                                   for part in (small(rng), word(rng))],
        lambda: [b"XADD", name, b"%d-1" % next(ids), b"f", word(rng)],
        lambda: [b"SET", name, word(rng)],
        lambda: [b"DEL", name],
        lambda: [b"RENAME", name_of(rng), name],
        lambda: [b"COPY", name_of(rng), name, b"REPLACE"],
        lambda: [b"LMOVE", name_of(rng), name, end(rng), end(rng)],
        lambda: [b"ZUNIONSTORE", name, b"2", name_of(rng), name_of(rng)],
        lambda: [b"SORT", name_of(rng), b"ALPHA", b"STORE", name],
        lambda: [b"EVAL", b"return redis.call('RPUSH', KEYS[1], ARGV[1], ARGV[2])", b"1", name,
                 word(rng), word(rng)],
    ])()


def counter():
    value = int(time.time() * 1000)  # The names of entries only have to rise.
    while True:
        value += 1
        yield value


IDS = counter()


def blocking_commands(rng):
    return rng.choice([
        lambda: waiting(rng, names_of(rng), rng.choice(BRIEFLY)),
        lambda: waiting(rng, [key(rng)], rng.choice(BRIEFLY)),
        lambda: stream_waiting(rng, names_of(rng), milliseconds(rng)),
        lambda: [[b"MULTI"], waiting(rng, names_of(rng), b"0"), waiting(rng, names_of(rng), b"0"),
                 [b"EXEC"]],
        lambda: [b"BLMPOP", b"0.001", number(rng), key(rng), end(rng)],
        lambda: [b"XGROUP", b"CREATE", name_of(rng), b"g", b"$"],
        lambda: written(rng, IDS),
        lambda: written(rng, IDS),
        lambda: written(rng, IDS),
    ])()


# Clients that wait

class Waiter:
    """The same client of both servers."""

    def __init__(self, orbit, redis):
        self.pair = [server.Connection(connection.sock.getpeername()[1])
                     for connection in (orbit, redis)]
        self.ids = [connection.call("CLIENT", "ID") for connection in self.pair]

    def send(self, command):
        for connection in self.pair:
            connection.send(*command)

    def replies(self):
        return [connection.read() for connection in self.pair]

    def close(self):
        for connection in self.pair:
            connection.close()


def is_waiting(connection, client):
    """Whether the client waits: 'b' among its flags."""
    fields = connection.call("CLIENT", "LIST", "ID", client).decode()
    return "flags=b" in fields or " cmd=client" not in fields and "b" in \
        fields.split(" flags=")[1].split(" ")[0]


def settle(waiter, servers, report, command):
    """Until the client waits at both servers, or has its answer at both."""
    deadline = time.monotonic() + WAIT_S
    for connection, own, client in zip(servers, waiter.pair, waiter.ids):
        while not is_waiting(connection, client) and not has_answer(own):
            if time.monotonic() > deadline:
                report([b"does not wait"] + command, client, None)
                return


def has_answer(connection):
    connection.sock.setblocking(False)
    try:
        return bool(connection.sock.recv(1, server.socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.sock.setblocking(True)


def meeting(rng, servers, report):
    """Clients begin to wait one after the other, one command comes, and all answers are compared.
    CLIENT UNBLOCK ends those that wait on."""
    waiters, commands = [], []
    for _ in range(rng.randint(1, WAITERS_MAX)):
        waiter = Waiter(*servers)
        command = waiting(rng, names_of(rng), b"0") if rng.randrange(3) else \
            stream_waiting(rng, names_of(rng), b"0")
        waiter.send(command)
        settle(waiter, servers, report, command)
        waiters.append(waiter)
        commands.append(command)
        answer_all(waiters, servers)
    push = written(rng, IDS)
    pushed = [connection.pipeline([push])[0] for connection in servers]
    if not is_equal(*pushed):
        report(push, *pushed)
    for waiter, command in zip(waiters, commands):
        how = rng.choice([b"TIMEOUT", b"ERROR"])
        finish(waiter, servers, how)
        replies = waiter.replies()
        if not is_equal(*replies) and not is_unblocked(*replies) and \
                not is_named_twice(command, *replies):
            report([b"waiting"] + command + [b"and"] + push, *replies)
        waiter.close()
    return 2 * len(waiters) + 1


def answer_all(waiters, servers):
    """A command that finds what it asks for may give to those who wait already (BLMOVE). Redis
    serves them before it answers, Orbit at once after it: whoever writes the key right behind may
    come before them. So nobody writes until both servers have served the same clients."""
    for waiter in waiters[:-1]:
        if any(map(has_answer, waiter.pair)):
            answers_of(waiter, servers)


def finish(waiter, servers, how):
    """Whoever was not served is told to wait no longer."""
    for is_answered, connection, client in zip(answers_of(waiter, servers), servers, waiter.ids):
        if not is_answered:
            connection.call("CLIENT", "UNBLOCK", client, how)


def answers_of(waiter, servers):
    """Whether each server has served it. When one has, the other gets time to: on a busy machine a
    wake may take long."""
    begin = time.monotonic()
    while True:
        for connection in servers:
            connection.call("PING")
        answers = [has_answer(own) for own in waiter.pair]
        waited = time.monotonic() - begin
        if all(answers) or waited > (LATE_S if any(answers) else UNSERVED_S):
            return answers
        time.sleep(0.002)


def is_unblocked(ours, theirs):
    """When a stream is gone Redis 7.2 runs XREADGROUP once more, 7.0 ends it."""
    return isinstance(ours, Exception) and str(theirs).startswith("UNBLOCKED the stream key")


def is_named_twice(command, ours, theirs):
    """XREAD that waits and names a stream twice: 7.0 serves the key that woke it, by its first
    place; 7.2 and Orbit run the command again, which answers for each place."""
    if command[0] not in (b"XREAD", b"XREADGROUP"):
        return False
    names = command[command.index(b"STREAMS") + 1:]
    names = names[:len(names) // 2]
    return isinstance(ours, list) and isinstance(theirs, list) and len(theirs) == 1 and \
        names.count(theirs[0][0]) > 1 and is_equal(ours[0], theirs[0]) and \
        all(part[0] == theirs[0][0] for part in ours)


def is_equal(ours, theirs):
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(is_equal, ours, theirs))
    if isinstance(ours, Exception) or isinstance(theirs, Exception):
        return str(ours) == str(theirs)
    return ours == theirs


def meet(rng, orbit, redis, report):
    return sum(meeting(rng, (orbit, redis), report) for _ in range(MEETINGS))


def is_excused(name, ours, theirs):
    """A timeout of so many seconds that their milliseconds do not fit in 63 bits: 7.0 lets the
    product overflow, and calls it negative; 7.2 and Orbit say what it is."""
    return name in WAITING and str(ours) == "ERR timeout is out of range" and \
        str(theirs) == "ERR timeout is negative"


GROUPS = {"blocking": blocking_commands}
