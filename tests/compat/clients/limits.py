"""Clients that are slow, many, idle, large or wrong: what the server does at each limit."""

import os
import resource
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import server  # noqa: E402  (the path is set above)

MIB = 1 << 20
MEMORY = "128M"
RSS_ALLOWED_BYTES = int(128 * MIB * 1.10) + 24 * MIB  # The budget + 10 %, and the program itself.
LARGE_MIB = 512 if os.environ.get("ORBIT_LONG") == "1" else 64
SLOW_REPLIES = 300
HALF_SENT = 150
MANY_CONNECTIONS = 800
BLOCKED = 2000
BLOCKED_FEW = 100
BLOCKED_ROUNDS = 1000
BLOCKED_BYTES_MAX = 16384
BLOCKED_ON_ONE_KEY = 10000
BLOCKED_ON_ONE_KEY_SANITIZED = 1000
WAIT_S_MAX = 20


def is_sanitized(instance):
    with open("/proc/%d/maps" % instance.pid, encoding="ascii", errors="replace") as file:
        return "libasan" in file.read()


def expect(found, expected, what):
    if found != expected:
        raise AssertionError("%s: %.200r instead of %.200r" % (what, found, expected))


def expect_error(connection, pattern, *args):
    connection.send(*args)
    reply = connection.read()
    expect(isinstance(reply, server.ReplyError) and pattern in str(reply), True,
           "error for %r: %r" % (args[:2], reply))


def expect_closed(connection, last_words):
    """The server says so, and hangs up."""
    reply = connection.read()
    expect(isinstance(reply, server.ReplyError) and last_words in str(reply), True,
           "last reply %r" % reply)
    expect(is_closed(connection), True, "closed")


def is_closed(connection):
    try:
        connection.read()
    except server.ConnectionLost as error:
        return "timed out" not in str(error)
    return False


def a_large_value_is_stored_and_read_in_parts(instance):
    size = LARGE_MIB * MIB
    block = bytes(range(256)) * (MIB // 256)
    with instance.connect(timeout_s=300) as connection:
        connection.send_raw(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n" % size)
        for _ in range(LARGE_MIB):
            connection.send_raw(block)
        connection.send_raw(b"\r\n")
        expect(connection.read(), b"OK", "SET")
        expect(connection.call("STRLEN", "large"), size, "STRLEN")
        for at in (0, 1, size // 2 - 7, size - 5):
            part = connection.call("GETRANGE", "large", at, at + 9)
            expect(part, (block * 2)[at % MIB :][: min(10, size - at)], "GETRANGE at %d" % at)
        whole = connection.call("GET", "large")
        expect(len(whole), size, "GET")
        expect(all(whole[at : at + MIB] == block for at in range(0, size, MIB)), True, "the bytes")
        del whole
        expect(connection.call("DEL", "large"), 1, "DEL")


def a_longer_value_is_refused(instance):
    with instance.connect() as connection:
        connection.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n" % (512 * MIB + 1))
        expect_closed(connection, "invalid bulk length")


def a_client_that_does_not_read_delays_nobody(instance):
    value = os.urandom(MIB)
    with instance.connect() as slow, instance.connect() as other:
        other.call("SET", "block", value)
        slow.send_raw(server.encode(["GET", "block"]) * SLOW_REPLIES)
        peak = 0
        for _ in range(200):
            begin = time.monotonic()
            expect(other.call("PING"), b"PONG", "PING")
            expect(time.monotonic() - begin < 2, True, "an answer within 2 s")
            peak = max(peak, instance.rss_bytes())
            time.sleep(0.005)  # Spreads the samples over a second; nothing waits for it.
        if instance.kind == "orbit":
            expect(peak <= RSS_ALLOWED_BYTES, True, "%d MiB resident" % (peak // MIB))
        for _ in range(SLOW_REPLIES):
            expect(slow.read() == value, True, "a late reply")


def half_sent_commands_block_nobody(instance):
    half = b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$%d\r\n" % MIB + b"x" * (MIB // 2)
    connections = [instance.connect() for _ in range(HALF_SENT)]
    try:
        for connection in connections:
            connection.sock.setblocking(False)
            try:
                connection.sock.send(half)
            except BlockingIOError:
                pass  # The server does not take more of it: its right.
        with instance.connect() as other:
            expect(other.call("SET", "whole", "y"), b"OK", "SET")
            expect(other.call("GET", "half"), None, "GET of the unfinished")
    finally:
        for connection in connections:
            connection.close()


def many_connections_at_once(instance):
    connections = [instance.connect() for _ in range(MANY_CONNECTIONS)]
    try:
        for connection in connections:
            connection.send("INCR", "many")
        replies = {connection.read() for connection in connections}
        expect(replies, set(range(1, MANY_CONNECTIONS + 1)), "replies")
    finally:
        for connection in connections:
            connection.close()


def clients_settle(connection):
    """Waits until the connections of earlier cases are gone."""
    deadline = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < deadline:
        if len(connection.call("CLIENT", "LIST").splitlines()) == 1:
            return
        time.sleep(0.01)
    raise AssertionError("connections that were closed are still listed")


def more_than_maxclients_are_refused(instance):
    with instance.connect() as connection:
        clients_settle(connection)
        before = connection.call("CONFIG", "GET", "maxclients")[1]
        connection.call("CONFIG", "SET", "maxclients", "3")
        with instance.connect() as second, instance.connect() as third:
            expect(second.call("PING"), b"PONG", "the second")
            expect(third.call("PING"), b"PONG", "the third")
            with instance.connect() as fourth:
                expect_closed(fourth, "max number of clients reached")
        connection.call("CONFIG", "SET", "maxclients", before)
        with instance.connect() as second:
            expect(second.call("PING"), b"PONG", "a client below the limit")


def idle_clients_are_closed_after_timeout(instance):
    with instance.connect() as idle, instance.connect(WAIT_S_MAX) as busy:
        expect(idle.call("PING"), b"PONG", "PING")
        busy.call("CONFIG", "SET", "timeout", "1")
        idle.sock.settimeout(0.05)
        deadline = time.monotonic() + WAIT_S_MAX
        while time.monotonic() < deadline and not is_closed(idle):
            expect(busy.call("PING"), b"PONG", "PING of the busy one")
        expect(time.monotonic() < deadline, True, "closed in time")
        busy.call("CONFIG", "SET", "timeout", "0")


def inline_commands(instance):
    with instance.connect() as connection:
        connection.send_raw(b"SET inline \"a b\\x41\\n\"\r\nGET inline\n"
                            b"STRLEN   inline  \r\n\r\nPING\r\n")
        expect([connection.read() for _ in range(4)], [b"OK", b"a bA\n", 5, b"PONG"], "replies")
        connection.send_raw(b"SET inline 'it''s'\r\n")
        expect_closed(connection, "unbalanced quotes")


def an_endless_inline_command_is_refused(instance):
    with instance.connect() as connection:
        try:
            connection.send_raw(b"x" * (70 * 1024))
        except server.ConnectionLost:
            return  # Closed while it was still being sent.
        expect_closed(connection, "too big inline request")


def errors_of_the_protocol_close_the_connection(instance):
    for data, words in [
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*3000000000\r\n", "invalid multibulk length"),
        (b"*2\r\n$3\r\nGET\r\n$-1\r\n", "invalid bulk length"),
        (b"*2\r\n$3\r\nGET\r\n$x\r\n", "invalid bulk length"),
    ]:
        with instance.connect() as connection:
            connection.send_raw(b"PING\r\n" + data)
            expect(connection.read(), b"PONG", "what came before the error")
            expect_closed(connection, words)


def commands_may_arrive_byte_by_byte(instance):
    with instance.connect() as connection:
        for byte in server.encode(["SET", "slowly", "v"]) + server.encode(["GET", "slowly"]):
            connection.send_raw(bytes([byte]))
        expect([connection.read(), connection.read()], [b"OK", b"v"], "replies")


def a_client_may_close_its_sending_side(instance):
    with instance.connect() as connection:
        connection.send_raw(server.encode(["SET", "last", "words"]) * 100)
        connection.sock.shutdown(socket.SHUT_WR)
        try:
            for _ in range(100):
                expect(connection.read(), b"OK", "reply")
        except server.ConnectionLost:
            pass  # Closing at once is allowed; the commands sent before count.
    with instance.connect() as connection:
        deadline = time.monotonic() + WAIT_S_MAX
        while time.monotonic() < deadline and connection.call("GET", "last") != b"words":
            time.sleep(0.01)
        expect(connection.call("GET", "last"), b"words", "GET")


def nothing_after_quit_is_executed(instance):
    with instance.connect() as connection:
        connection.send_raw(server.encode(["QUIT"]) + server.encode(["SET", "after", "quit"]))
        expect(connection.read(), b"OK", "QUIT")
        expect(is_closed(connection), True, "closed")
    with instance.connect() as connection:
        expect(connection.call("EXISTS", "after"), 0, "EXISTS")


def unknown_and_incomplete_commands_are_errors(instance):
    with instance.connect() as connection:
        expect_error(connection, "ERR unknown command 'NOSUCH'", "NOSUCH", "a", "b")
        expect_error(connection, "wrong number of arguments for 'get' command", "GET")
        expect_error(connection, "unknown subcommand", "CLIENT", "NOSUCH")
        expect_error(connection, "syntax error", "SET", "a", "b", "NX", "XX")
        expect(connection.call("PING"), b"PONG", "PING")


def woken(waiters, instance, rounds):
    """Server's CPU seconds of so many turns: one client is served, and waits again."""
    with instance.connect() as pushing:
        before = instance.cpu_seconds()
        for turn in range(rounds):
            at = turn * 7919 % len(waiters)
            expect(pushing.call("RPUSH", "wait:%d" % at, turn), 1, "RPUSH")
            expect(waiters[at].read(), [b"wait:%d" % at, b"%d" % turn], "who waited")
            waiters[at].send("BLPOP", "wait:%d" % at, "common", "0")
        return instance.cpu_seconds() - before


def blocked_clients_cost_little_and_are_not_walked(instance):
    """A client that waits takes BLOCKED_BYTES_MAX at most, and waking one of many costs what waking
    one of few does; whoever came first is served first where all wait for one key."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(BLOCKED, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    waiters = []
    try:
        with instance.connect() as connection:
            connection.call("CONFIG", "SET", "maxclients", str(BLOCKED + 200))
            rss = 0
            for at in range(count):
                if at == BLOCKED_FEW:
                    few_s = woken(waiters, instance, BLOCKED_ROUNDS)
                    rss = instance.rss_bytes()
                waiters.append(instance.connect())
                waiters[-1].send("BLPOP", "wait:%d" % at, "common", "0")
            settle_blocked(connection, count)
            each = (instance.rss_bytes() - rss) // (count - BLOCKED_FEW)
            many_s = woken(waiters, instance, BLOCKED_ROUNDS)
            print("note: %d clients wait in %d bytes each; a turn takes %.0f us of CPU among %d, "
                  "%.0f among all" % (count, each, few_s / BLOCKED_ROUNDS * 1e6, BLOCKED_FEW,
                                      many_s / BLOCKED_ROUNDS * 1e6))
            if not is_sanitized(instance):  # Its memory is not that of the server.
                expect(each <= BLOCKED_BYTES_MAX, True, "%d bytes each" % each)
            expect(many_s < 2 * few_s + 0.1, True, "seconds %.2f, %.2f" % (few_s, many_s))
            settle_blocked(connection, count)
            connection.call("RPUSH", "common", *range(count))
            served = [waiter.read() for waiter in waiters]
            errors = {str(reply) for reply in served if isinstance(reply, Exception)}
            expect(errors, set(), "refused")
            served = sorted(int(reply[1]) for reply in served)
            expect(served, list(range(count)), "elements, each to one client")
            settle_blocked(connection, 0)
    finally:
        for waiter in waiters:
            waiter.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def all_wait(instance, connection, waiters, count):
    """So many clients that wait for one key. A shard has read what one sent when it answers the
    next one, so that their order is known; between several shards it is not."""
    for _ in range(count):
        waiters.append(instance.connect())
        expect(waiters[-1].call("PING"), b"PONG", "PING")
        waiters[-1].send("BLPOP", "queue", "0")
    settle_blocked(connection, count)


def served(instance, waiters, connection, commands):
    """What is pushed goes to each once, and first to who waited first."""
    for reply in connection.pipeline(commands):
        expect(isinstance(reply, int), True, "RPUSH: %r" % reply)
    replies = [waiter.read() for waiter in waiters]
    errors = {str(reply) for reply in replies if isinstance(reply, Exception)}
    expect(errors, set(), "refused")
    got = [int(reply[1]) for reply in replies]
    expect(got if instance.shards == 1 else sorted(got), list(range(len(waiters))), "who got what")
    expect(connection.call("LLEN", "queue"), 0, "LLEN")
    settle_blocked(connection, 0)


def ten_thousand_clients_wait_for_one_key(instance):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = BLOCKED_ON_ONE_KEY_SANITIZED if is_sanitized(instance) else BLOCKED_ON_ONE_KEY
    count = min(most, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    waiters = []
    try:
        with instance.connect() as connection:
            # Twice as many: each shard has its share, and the kernel does not spread evenly.
            connection.call("CONFIG", "SET", "maxclients", str(2 * count + 200))
            all_wait(instance, connection, waiters, count)
            single = [["RPUSH", "queue", at] for at in range(count)]
            served(instance, waiters, connection, single)
            while waiters:
                waiters.pop().close()
            all_wait(instance, connection, waiters, count)
            served(instance, waiters, connection, [["RPUSH", "queue", *range(count)]])
    finally:
        for waiter in waiters:
            waiter.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def settle_blocked(connection, count):
    deadline = time.monotonic() + WAIT_S_MAX
    while b"blocked_clients:%d\r" % count not in connection.call("INFO", "clients"):
        expect(time.monotonic() < deadline, True, "%d wait" % count)
        time.sleep(0.01)


CASES = [
    a_longer_value_is_refused,
    a_client_that_does_not_read_delays_nobody,
    half_sent_commands_block_nobody,
    many_connections_at_once,
    more_than_maxclients_are_refused,
    idle_clients_are_closed_after_timeout,
    inline_commands,
    an_endless_inline_command_is_refused,
    errors_of_the_protocol_close_the_connection,
    commands_may_arrive_byte_by_byte,
    a_client_may_close_its_sending_side,
    nothing_after_quit_is_executed,
    unknown_and_incomplete_commands_are_errors,
]


def name(case):
    return "limits: " + case.__name__.replace("_", " ")


def run(tally):
    # A large value passes through memory as a whole, so it gets a server with the default budget
    # (ORBIT_LONG: a larger one); all else is to work with little.
    large = a_large_value_is_stored_and_read_in_parts
    with server.Server(memory="4G" if LARGE_MIB > 64 else None) as instance:
        tally.run(name(large), large, instance)
    blocked = blocked_clients_cost_little_and_are_not_walked
    for shards in (1, 2):
        with server.Server(shards=shards, memory=MEMORY) as instance:
            tally.run("%s, shards %d" % (name(blocked), shards), blocked, instance)
    queue = ten_thousand_clients_wait_for_one_key
    for shards, memory in ((1, MEMORY), (2, MEMORY), (1, None)):
        with server.Server(shards=shards, memory=memory) as instance:
            tally.run("%s, shards %d, memory %s" % (name(queue), shards, memory or "as usual"),
                      queue, instance)
    with server.Server(memory=MEMORY) as instance:
        for case in CASES:
            tally.run(name(case), case, instance)
