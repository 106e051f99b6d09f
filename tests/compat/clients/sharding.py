"""What clients see of a server with several shards: one keyspace, replies in order, and commands
that take effect as a whole wherever their keys lie. All of it holds for Redis, too."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import server  # noqa: E402  (the path is set above)

KEYS = 3000
CONNECTIONS = 8  # Enough that the kernel spreads them over the shards.
RANDOM_DRAWS = 300
PIPELINE = 4000
SCAN_TURNS_MAX = 10000
CROSS_TRIES = 64
LONG_BYTES = 10000  # Half of a string; LCS looks at so many squared times four.
LONG_WRITES = 400
EXEC_WRITES, EXEC_TURNS = 50, 8


def expect(found, expected, what):
    if found != expected:
        raise AssertionError("%s: %.300r instead of %.300r" % (what, found, expected))


def fill(connection, prefix=b"key:", count=KEYS):
    names = {prefix + b"%d" % i for i in range(count)}
    replies = connection.pipeline([["SET", name, name[::-1]] for name in names])
    expect(set(replies), {b"OK"}, "SET")
    return names


def scan(connection, *options):
    seen, cursor = set(), b"0"
    for _ in range(SCAN_TURNS_MAX):
        cursor, names = connection.call("SCAN", cursor, *options)
        seen.update(names)
        if cursor == b"0":
            return seen
    raise AssertionError("SCAN does not come to an end")


class Cases:
    """The cases share one server; each begins with an empty store."""

    def __init__(self, instance):
        self.instance = instance
        self.connection = instance.connect()
        self.others = [instance.connect() for _ in range(CONNECTIONS)]

    def dbsize_scan_and_keys_cover_all_shards(self):
        names = fill(self.connection)
        for connection in self.others:
            expect(connection.call("DBSIZE"), KEYS, "DBSIZE")
        expect(scan(self.connection, "COUNT", 100), names, "SCAN")
        expect(scan(self.connection, "MATCH", "key:1*"),
               {name for name in names if name.startswith(b"key:1")}, "SCAN MATCH")
        expect(scan(self.connection, "TYPE", "string", "COUNT", 1000), names, "SCAN TYPE string")
        expect(scan(self.connection, "TYPE", "list", "COUNT", 1000), set(), "SCAN TYPE list")
        expect(set(self.connection.call("KEYS", "key:29?9")),
               {b"key:29%d9" % i for i in range(10)}, "KEYS")

    def a_scan_may_move_between_connections(self):
        names = fill(self.connection)
        seen, cursor = set(), b"0"
        for i in range(SCAN_TURNS_MAX):
            cursor, found = self.others[i % CONNECTIONS].call("SCAN", cursor, "COUNT", 50)
            seen.update(found)
            if cursor == b"0":
                break
        expect(seen, names, "SCAN")

    def randomkey_finds_many_keys(self):
        names = fill(self.connection)
        drawn = set(self.connection.pipeline([["RANDOMKEY"]] * RANDOM_DRAWS))
        expect(drawn - names, set(), "keys that are not there")
        expect(len(drawn) > RANDOM_DRAWS // 2, True, "only %d different keys" % len(drawn))

    def a_pipeline_over_all_shards_answers_in_order(self):
        commands, expected = [], []
        for i in range(PIPELINE):
            name = "key:%d" % (i * 7919 % 997)
            commands += [["SET", name, i], ["GET", name], ["ECHO", i], ["STRLEN", name]]
            expected += [b"OK", b"%d" % i, b"%d" % i, len("%d" % i)]
        expect(self.connection.pipeline(commands) == expected, True, "replies in order")

    def an_acknowledged_write_is_seen_by_every_connection(self):
        for i in range(200):
            self.others[i % CONNECTIONS].call("SET", "key:%d" % (i % 10), i)
            reader = self.others[(i * 3 + 1) % CONNECTIONS]
            expect(reader.call("GET", "key:%d" % (i % 10)), b"%d" % i, "GET")

    def counters_add_up_over_connections(self):
        for connection in self.others:
            connection.send_raw(b"".join(server.encode(["INCR", "sum:%d" % (i % 5)])
                                         for i in range(500)))
        for connection in self.others:
            for _ in range(500):
                connection.read()
        total = sum(int(self.connection.call("GET", "sum:%d" % i)) for i in range(5))
        expect(total, 500 * CONNECTIONS, "sum")

    def flushdb_empties_one_database_on_all_shards(self):
        fill(self.connection)
        self.others[0].call("SELECT", 1)
        fill(self.others[0], b"other:", 100)
        self.connection.call("FLUSHDB")
        expect(self.connection.call("DBSIZE"), 0, "DBSIZE of database 0")
        expect(scan(self.connection), set(), "SCAN of database 0")
        expect(self.others[0].call("DBSIZE"), 100, "DBSIZE of database 1")
        self.connection.call("FLUSHALL")
        expect(self.others[0].call("DBSIZE"), 0, "DBSIZE of database 1")

    def swapdb_swaps_on_all_shards(self):
        names = fill(self.connection)
        expect(self.connection.call("SWAPDB", 0, 1), b"OK", "SWAPDB")
        expect(self.connection.call("DBSIZE"), 0, "DBSIZE of database 0")
        self.others[0].call("SELECT", 1)
        expect(scan(self.others[0], "COUNT", 500), names, "SCAN of database 1")
        expect(self.connection.call("SWAPDB", 0, 1), b"OK", "SWAPDB back")
        expect(self.connection.call("DBSIZE"), KEYS, "DBSIZE of database 0")

    def info_counts_the_keys_of_all_shards(self):
        fill(self.connection)
        info = self.others[1].call("INFO", "keyspace").decode()
        expect("db0:keys=%d," % KEYS in info, True, "INFO keyspace %r" % info)

    def config_set_holds_on_all_shards(self):
        before = self.connection.call("CONFIG", "GET", "slowlog-max-len")
        self.connection.call("CONFIG", "SET", "slowlog-max-len", "77")
        for connection in self.others:
            expect(connection.call("CONFIG", "GET", "slowlog-max-len"),
                   [b"slowlog-max-len", b"77"], "CONFIG GET")
        self.connection.call("CONFIG", "SET", *before)

    def client_list_shows_the_connections_of_all_shards(self):
        lines = self.connection.call("CLIENT", "LIST").decode().splitlines()
        expect(len(lines), CONNECTIONS + 1, "clients")
        identities = {line.split()[0] for line in lines}
        expect(len(identities), CONNECTIONS + 1, "different ids")

    def all_keys_outlive_a_restart(self):
        names = fill(self.connection)
        self.close()
        self.instance.restart()
        self.connection = self.instance.connect()
        self.others = [self.instance.connect() for _ in range(CONNECTIONS)]
        expect(scan(self.connection, "COUNT", 500), names, "SCAN")
        replies = self.connection.pipeline([["GET", name] for name in names])
        expect(replies, [name[::-1] for name in names], "GET")

    def a_command_takes_effect_as_a_whole_on_all_shards(self):
        for i in range(CROSS_TRIES):
            names = ["%d:%d" % (i, k) for k in range(4)]
            words = [word for name in names for word in (name, str(i))]
            expect(self.connection.call("MSET", *words), b"OK", "MSET")
            expect(self.others[i % len(self.others)].call("MGET", *names),
                   [str(i).encode()] * 4, "MGET")
            expect(self.connection.call("MSETNX", "new%d" % i, "1", names[0], "2"), 0, "MSETNX")
            expect(self.connection.call("RENAME", names[0], "moved%d" % i), b"OK", "RENAME")
            expect(self.connection.call("DEL", "moved%d" % i, *names), 4, "DEL")
        expect(self.connection.call("DBSIZE"), 0, "DBSIZE")

    def keys_of_one_tag_may_be_renamed(self):
        for i in range(CROSS_TRIES):
            name = "{tag%d}" % i
            expect(self.connection.call("MSET", name + "a", "1", name + "b", "2"), b"OK", "MSET")
            expect(self.connection.call("RENAME", name + "a", name + "c"), b"OK", "RENAME")
            expect(self.connection.call("MGET", name + "a", name + "b", name + "c"),
                   [None, b"2", b"1"], "MGET")

    def a_wait_that_ends_while_its_command_runs_answers_once(self):
        """The deadline comes between two looks at a key of another shard."""
        for i in range(CROSS_TRIES):
            replies = self.connection.pipeline(
                [["BLPOP", "nothing%d" % i, "0.0001"], ["XREAD", "BLOCK", "1", "STREAMS",
                                                        "nothing%d" % i, "0"], ["ECHO", i]])
            expect(replies, [None, None, b"%d" % i], "replies")

    def long_work_in_exec_keeps_what_later_commands_read(self):
        """Other clients write meanwhile, so that old versions may go."""
        self.connection.call("SET", "long", b"ab" * LONG_BYTES)
        names = fill(self.connection, b"kept:", 20)
        self.connection.pipeline([["MULTI"], ["LCS", "long", "long", "LEN"]] +
                                 [["GET", name] for name in names])
        self.connection.send("EXEC")
        for i in range(LONG_WRITES):
            self.others[i % len(self.others)].call("SET", "other%d" % i, i)
        expect(self.connection.read(), [2 * LONG_BYTES] + [name[::-1] for name in names], "EXEC")

    def commands_that_ask_all_shards_in_exec_keep_its_snapshot(self):
        """Other clients write meanwhile, so that old versions may go."""
        writes = [["SET", "other%d" % i, i] for i in range(EXEC_WRITES)]
        for asking in (["SLOWLOG", "GET"], ["SLOWLOG", "RESET"], ["CLIENT", "KILL", "ID", "0"],
                       ["SCRIPT", "EXISTS", "f" * 40], ["SCRIPT", "FLUSH"]):
            for _ in range(EXEC_TURNS):
                for connection in self.others:
                    connection.send_raw(b"".join(server.encode(write) for write in writes))
                for _ in range(EXEC_WRITES):
                    self.connection.pipeline([["MULTI"], asking, ["GET", "kept"],
                                              ["HGET", "h", "f"], ["EXEC"]])
                for connection in self.others:
                    expect({connection.read() for _ in writes}, {b"OK"}, "SET")

    def dbsize_in_exec_counts_what_came_before_it(self):
        commands = []
        for i in range(PIPELINE // 8):
            words = [word for k in range(4) for word in ("count%d:%d" % (i, k), "x")]
            commands += [["MSET"] + words, ["MULTI"], ["DBSIZE"], ["EXEC"]]
        counts = self.connection.pipeline(commands)[3::4]
        expect(counts, [[4 * (i + 1)] for i in range(len(counts))], "DBSIZE")

    def close(self):
        for connection in [self.connection] + self.others:
            connection.close()

    ALL = [commands_that_ask_all_shards_in_exec_keep_its_snapshot,
           dbsize_scan_and_keys_cover_all_shards, a_scan_may_move_between_connections,
           randomkey_finds_many_keys, a_pipeline_over_all_shards_answers_in_order,
           an_acknowledged_write_is_seen_by_every_connection, counters_add_up_over_connections,
           flushdb_empties_one_database_on_all_shards, swapdb_swaps_on_all_shards,
           info_counts_the_keys_of_all_shards, config_set_holds_on_all_shards,
           client_list_shows_the_connections_of_all_shards, all_keys_outlive_a_restart,
           a_command_takes_effect_as_a_whole_on_all_shards,
           a_wait_that_ends_while_its_command_runs_answers_once,
           dbsize_in_exec_counts_what_came_before_it,
           long_work_in_exec_keeps_what_later_commands_read, keys_of_one_tag_may_be_renamed]


def one_case(cases, case):
    for connection in [cases.connection] + cases.others:
        connection.call("SELECT", 0)
    cases.connection.call("FLUSHALL")
    case(cases)


def run(tally):
    for shards in (2, 4):
        with server.Server(shards=shards) as instance:
            cases = Cases(instance)
            for case in Cases.ALL:
                name = "%d shards: %s" % (shards, case.__name__.replace("_", " "))
                tally.run(name, one_case, cases, case)
            cases.close()
