#!/usr/bin/python3
"""SQL against the server, over the PostgreSQL protocol.

usage: run.py [golden|protocol|logic|TOPIC]...      (default: all)

golden    each TOPIC.sql through psql: the output must be TOPIC.out, which PostgreSQL 15 made
TOPIC     the golden file of that name alone
protocol  psycopg2 and hand-made messages: parameters, row limits, cancel, errors, restarts; and
          the cases of each test_TOPIC.py (CASES: functions of a running server)
test_TOPIC  the cases of that file alone
logic     SQLite's logic test files in $ORBIT_SUITES/sqllogictest, those that PostgreSQL runs too
"""

import glob
import importlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
sys.path.insert(0, HERE)
import logic  # noqa: E402  (the paths are set above)
import server  # noqa: E402

try:
    import psycopg2
    import psycopg2.extensions
except ImportError:
    psycopg2 = None

STATEMENT_TIMEOUT_S = 120
LOGIC_FILES_QUICK = 3  # Of those that are there; all of them with ORBIT_LONG.


def free_port():
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        return probe.getsockname()[1]


class Sql:
    """A server with the PostgreSQL protocol open."""

    def __init__(self, shards):
        self.port = free_port()
        self.server = server.Server(shards=shards, extra=["--dev-mode", "--postgres-port",
                                                          str(self.port)])

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *unused):
        self.server.close()

    def connect(self):
        return psycopg2.connect(host=server.HOST, port=self.port, user="orbit", dbname="orbit")


class Wire:
    """The protocol, message by message."""

    def __init__(self, port):
        self.socket = socket.create_connection((server.HOST, port), timeout=60)
        body = struct.pack(">I", 196608) + b"user\0orbit\0database\0orbit\0\0"
        self.socket.sendall(struct.pack(">I", len(body) + 4) + body)
        self.until(b"Z")

    def send(self, kind, body=b""):
        self.socket.sendall(kind + struct.pack(">I", len(body) + 4) + body)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError("the server closed the connection")
            data += part
        return data

    def message(self):
        kind = self.exactly(1)
        return kind, self.exactly(struct.unpack(">I", self.exactly(4))[0] - 4)

    def until(self, last):
        kinds = []
        while not kinds or kinds[-1][0] != last:
            kinds.append(self.message())
        return kinds

    def close(self):
        self.socket.close()


def expect(found, expected, what="result"):
    if found != expected:
        raise AssertionError(f"{what}: {found!r:.400} instead of {expected!r:.400}")


# ---- Cases: each is a function of a running server ----

def golden_output_is_that_of_postgresql(sql, topic):
    run = subprocess.run(
        ["psql", "-X", "-q", "-a", "-v", "VERBOSITY=default", "-h", server.HOST, "-p",
         str(sql.port), "-U", "orbit", "orbit", "-f", f"{topic}.sql"],
        cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=STATEMENT_TIMEOUT_S,
        check=False)
    with open(os.path.join(HERE, f"{topic}.out"), "rb") as expected:
        lines = expected.read().decode().splitlines()
    found = run.stdout.decode().splitlines()
    for number, (one, other) in enumerate(zip(found, lines)):
        if one != other:
            raise AssertionError(f"{topic}.out:{number + 1}: {one!r} instead of {other!r}")
    expect(len(found), len(lines), "lines")


def parameters_and_types_go_both_ways(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("create table types (i int, b bigint, f float8, n numeric, t text, y bytea)")
    row = (7, 2 ** 62, 0.1, "12.50", "h\u00e4'\\", b"\0\x01\xff")
    cursor.execute("insert into types values (%s, %s, %s, %s::numeric, %s, %s)", row)
    cursor.execute("select i, b, f, n, t, y from types where i = %s", (7,))
    found = cursor.fetchone()
    expect(tuple(found[:5]), row[:5])
    expect(bytes(found[5]), row[5])
    connection.commit()
    cursor.execute("drop table types")
    connection.commit()
    connection.close()


def a_portal_hands_out_its_rows_in_pieces(sql):
    wire = Wire(sql.port)
    wire.send(b"P", b"\0select g from generate_series(1, $1) g\0" + struct.pack(">HI", 1, 23))
    wire.send(b"B", b"\0\0" + struct.pack(">HHHI", 1, 1, 1, 4) + struct.pack(">I", 5) +
              struct.pack(">HH", 1, 1))
    for _ in range(3):
        wire.send(b"E", b"\0" + struct.pack(">I", 2))
    wire.send(b"S")
    kinds = wire.until(b"Z")
    expect(b"".join(kind for kind, _ in kinds), b"12DDsDDsDCZ", "messages")
    values = [struct.unpack(">HIi", body)[2] for kind, body in kinds if kind == b"D"]
    expect(values, [1, 2, 3, 4, 5])
    wire.close()


def an_error_skips_to_sync(sql):
    wire = Wire(sql.port)
    wire.send(b"P", b"\0select 1/0\0\0\0")
    wire.send(b"B", b"\0\0\0\0\0\0\0\0")
    wire.send(b"E", b"\0\0\0\0\0")
    wire.send(b"E", b"\0\0\0\0\0")
    wire.send(b"S")
    kinds = wire.until(b"Z")
    expect(b"".join(kind for kind, _ in kinds), b"12EZ", "messages")
    assert b"C22012\0" in kinds[2][1], kinds[2]
    wire.close()


def malformed_messages_get_an_error(sql):
    for kind, body in ((b"P", b"no end"), (b"B", b"\0\0\0\x05"), (b"D", b"S"), (b"E", b""),
                       (b"C", b"P"), (b"Q", b"no end"), (b"B", b"\0missing\0\0\0\0\0\0\0")):
        wire = Wire(sql.port)
        wire.send(kind, body)
        wire.send(b"S")
        kinds = wire.until(b"Z")
        expect(kinds[0][0], b"E", f"after {kind!r} {body!r}")
        wire.close()
    for data in (b"\0\0\0\1", b"\x7f\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"):
        raw = socket.create_connection((server.HOST, sql.port), timeout=60)
        raw.sendall(data)
        while raw.recv(1000):
            pass
        raw.close()


def a_running_query_is_cancelled(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cancelled = threading.Timer(0.3, connection.cancel)
    started = time.monotonic()
    cancelled.start()
    try:
        cursor.execute("select count(*) from generate_series(1, 100000) a, "
                       "generate_series(1, 100000) b where a = b + 1 or a < 0")
        raise AssertionError("the query was not cancelled")
    except psycopg2.extensions.QueryCanceledError:
        pass
    if time.monotonic() - started > 20:
        raise AssertionError("the cancel took too long")
    connection.rollback()
    cursor.execute("select 1")
    expect(cursor.fetchone()[0], 1)
    connection.close()


def a_wait_for_a_lock_is_cancelled(sql):
    holder, waiter = sql.connect(), sql.connect()
    first, second = holder.cursor(), waiter.cursor()
    first.execute("create table held (id int primary key, n int)")
    first.execute("insert into held values (1, 1)")
    holder.commit()
    first.execute("update held set n = 2")
    threading.Timer(0.5, waiter.cancel).start()
    started = time.monotonic()
    try:
        second.execute("update held set n = 3")
        raise AssertionError("the wait was not cancelled")
    except psycopg2.extensions.QueryCanceledError:
        waiter.rollback()
    if time.monotonic() - started > 5:
        raise AssertionError("the cancel took too long")
    leaver = Wire(sql.port)
    leaver.send(b"Q", b"update held set n = 4\0")
    time.sleep(0.3)
    leaver.close()
    holder.commit()
    second.execute("select n from held")
    expect(second.fetchone()[0], 2, "the client that went away")
    second.execute("drop table held")
    waiter.commit()
    holder.close()
    waiter.close()


def text_that_is_not_utf8_is_refused(sql):
    wire = Wire(sql.port)
    wire.send(b"Q", b"select '\xff'\0")
    kinds = wire.until(b"Z")
    assert b"C22021\0" in kinds[0][1], kinds
    wire.send(b"Q", b" -- nothing \0")
    expect(wire.until(b"Z")[0][0], b"I", "an empty query")
    wire.close()


def a_query_that_needs_too_much_memory_fails_alone(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    try:
        # The distinct values of one group do not go to temporary files.
        cursor.execute("select count(distinct repeat('x', 2000) || g) from "
                       "generate_series(1, 10000000) g")
        raise AssertionError("it found the memory")
    except psycopg2.errors.OutOfMemory:
        connection.rollback()
    cursor.execute("select 1")
    expect(cursor.fetchone()[0], 1)
    connection.close()


def deep_and_long_statements_end_in_an_error_or_a_result(sql):
    connection = sql.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    deep = ["select " + "(" * 5000 + "1" + ")" * 5000, "select " + "1+" * 20000 + "1",
            "select " + "- " * 5000 + "1", "select 1" + " union all select 1" * 3000,
            "select " + "case when true then " * 3000 + "1" + " end" * 3000,
            "select * from " + "(select * from " * 1000 + "(select 1) a" + ") a" * 1000,
            "select 1 where " + "not " * 5000 + "true"]
    for text in deep:
        try:
            cursor.execute(text)
        except psycopg2.Error as error:
            if error.pgcode not in ("54001", "54000", "53200", "42601"):
                raise
    cursor.execute("select 1 in (" + ",".join(str(i) for i in range(20000)) + ")")
    expect(cursor.fetchone()[0], True)
    cursor.execute("select 2")
    expect(cursor.fetchone()[0], 2)
    connection.close()


def two_sessions_see_what_was_committed(sql):
    one, other = sql.connect(), sql.connect()
    first, second = one.cursor(), other.cursor()
    first.execute("create table shared (id int primary key, n int)")
    one.commit()
    first.execute("insert into shared values (1, 0)")
    second.execute("select count(*) from shared")
    expect(second.fetchone()[0], 0, "before the commit")
    one.commit()
    second.execute("select count(*) from shared")
    expect(second.fetchone()[0], 1, "after the commit")
    other.commit()
    first.execute("drop table shared")
    one.commit()
    try:
        second.execute("select * from shared")
        raise AssertionError("the table is still there")
    except psycopg2.errors.UndefinedTable:
        other.rollback()
    one.close()
    other.close()


def counters_add_up_over_sessions(sql):
    def count():
        connection = sql.connect()
        connection.autocommit = True
        cursor = connection.cursor()
        for _ in range(30):
            cursor.execute("update counter set n = n + 1 where id = 1")
        connection.close()

    connection = sql.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("create table counter (id int primary key, n int)")
    cursor.execute("insert into counter values (1, 0)")
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cursor.execute("select n from counter")
    expect(cursor.fetchone()[0], 120)
    cursor.execute("drop table counter")
    connection.close()


def tables_survive_sigkill(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("create table kept (id int primary key, t text)")
    cursor.execute("create index kept_t on kept (t)")
    for i in range(200):
        cursor.execute("insert into kept values (%s, %s)", (i, f"row {i}"))
    connection.commit()
    cursor.execute("delete from kept")  # Not committed.
    sql.server.kill()
    sql.server.start()
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("select count(*), min(t), max(id) from kept")
    expect(cursor.fetchone(), (200, "row 0", 199))
    cursor.execute("select id from kept where t = 'row 77'")
    expect(cursor.fetchone()[0], 77)
    cursor.execute("drop table kept")
    connection.commit()
    connection.close()


def tables_follow_another_number_of_shards(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("create table moved (id int primary key, t text unique)")
    cursor.execute("insert into moved select g, 'row ' || g from generate_series(1, 3000) g")
    connection.commit()
    connection.close()
    for shards in (3, 1, sql.server.shards):
        sql.server.stop()
        sql.server.shards = shards
        sql.server.start()
        for _ in range(3):
            connection = sql.connect()
            cursor = connection.cursor()
            cursor.execute("select count(*), sum(id), count(distinct t) from moved")
            expect(tuple(str(value) for value in cursor.fetchone()), ("3000", "4501500", "3000"))
            cursor.execute("select id from moved where t = 'row 1234'")
            expect(cursor.fetchone()[0], 1234)
            connection.close()
            time.sleep(0.2)
    connection = sql.connect()
    connection.cursor().execute("drop table moved")
    connection.commit()
    connection.close()


PROTOCOL = [
    parameters_and_types_go_both_ways,
    a_portal_hands_out_its_rows_in_pieces,
    an_error_skips_to_sync,
    malformed_messages_get_an_error,
    a_running_query_is_cancelled,
    a_wait_for_a_lock_is_cancelled,
    text_that_is_not_utf8_is_refused,
    a_query_that_needs_too_much_memory_fails_alone,
    deep_and_long_statements_end_in_an_error_or_a_result,
    two_sessions_see_what_was_committed,
    counters_add_up_over_sessions,
    tables_survive_sigkill,
    tables_follow_another_number_of_shards,
]


# ---- Running ----

class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def case(self, name, function, *arguments):
        try:
            function(*arguments)
            self.passed += 1
            print(f"ok   {name}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            self.failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)

    def skip(self, what, reason):
        self.skipped += 1
        print(f"skipped: {what}: {reason}", flush=True)


def run_logic(count):
    folder = os.path.join(os.environ.get("ORBIT_SUITES", ""), "sqllogictest")
    files = sorted(glob.glob(os.path.join(folder, "*.test")))
    if not files:
        count.skip("logic tests", "no *.test in $ORBIT_SUITES/sqllogictest")
        return
    if os.environ.get("ORBIT_LONG", "0") != "1":
        files = sorted(files, key=os.path.getsize)[:LOGIC_FILES_QUICK]
    with Sql(shards=2) as sql:
        for path in files:
            passed, failed, other = logic.run_file(sql.connect(), path)
            print(f"{os.path.basename(path)}: {passed} passed, {failed} failed, "
                  f"{other} for other systems", flush=True)
            count.passed += passed
            count.failed += failed


def names(pattern):
    return sorted(os.path.splitext(os.path.basename(path))[0]
                  for path in glob.glob(os.path.join(HERE, pattern)))


def run_golden(count, topics):
    for topic in topics:
        with Sql(shards=2) as sql:
            count.case(f"{topic}.sql gives what PostgreSQL gives",
                       lambda sql, topic=topic: golden_output_is_that_of_postgresql(sql, topic),
                       sql)


def run_protocol(count):
    for shards in (1, 2):
        with Sql(shards) as sql:
            for case in PROTOCOL:
                count.case(f"{shards} shards: {case.__name__}", case, sql)


def run_topics(count, topics):
    for name in topics:
        with Sql(shards=2) as sql:
            for case in importlib.import_module(name).CASES:
                count.case(f"{name}: {case.__name__}", case, sql)


def main():
    topics = names("*.sql")
    chosen = sys.argv[1:] or ["golden", "protocol", "logic"]
    unknown = set(chosen) - {"golden", "protocol", "logic", *topics, *names("test_*.py")}
    if unknown:
        sys.exit("there is no " + ", ".join(sorted(unknown)) + "; see the head of this file")
    count = Count()
    run_golden(count, [topic for topic in topics if topic in chosen or "golden" in chosen])
    if psycopg2 is None:
        count.skip("protocol and logic", "python3-psycopg2 is not installed")
    else:
        if "protocol" in chosen:
            run_protocol(count)
        run_topics(count, [name for name in names("test_*.py")
                           if name in chosen or "protocol" in chosen])
        if "logic" in chosen:
            run_logic(count)
    print(f"{count.passed} passed, {count.failed} failed, {count.skipped} skipped")
    sys.exit(1 if count.failed or count.passed == 0 else 0)


if __name__ == "__main__":
    main()
