"""COPY, cursors, portals, timeouts and EXPLAIN as drivers use them."""

import io
import json
import socket
import struct
import time

import psycopg2
import server


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r:.400} instead of {expected!r:.400}")


def ask(cursor, text, *parameters):
    cursor.execute(text, parameters)
    return cursor.fetchall()


def error_of(run):
    try:
        run()
    except psycopg2.Error as error:
        return error
    raise AssertionError("no error")


class Wire:
    """The protocol, message by message."""

    def __init__(self, sql):
        self.socket = socket.create_connection((server.HOST, sql.port), timeout=60)
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

    def until(self, wanted):
        """Kinds of the messages up to that one."""
        kinds = b""
        while not kinds.endswith(wanted):
            kind, self.body = self.message()
            kinds += kind
        return kinds

    def query(self, text):
        self.send(b"Q", text.encode() + b"\0")
        return self.until(b"Z")


def large_copies_come_back_as_they_went(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE large (a int PRIMARY KEY, b text, c numeric)")
    rows = "".join(f"{i}\ttext {i}\t{i}.5\n" for i in range(30000))
    cursor.copy_expert("COPY large FROM STDIN", io.StringIO(rows))
    expect(cursor.rowcount, 30000)
    for form in ("text", "csv", "binary"):
        copied = io.BytesIO()
        cursor.copy_expert(f"COPY (SELECT * FROM large ORDER BY a) TO STDOUT (FORMAT {form})",
                           copied)
        cursor.execute("TRUNCATE large")
        copied.seek(0)
        cursor.copy_expert(f"COPY large FROM STDIN (FORMAT {form})", copied)
        expect(ask(cursor, "SELECT count(*), sum(a), max(b), sum(c) FROM large")[0][:2],
               (30000, 449985000))
    connection.rollback()
    connection.close()


def a_row_that_fails_leaves_nothing_and_the_connection_goes_on(sql):
    connection = sql.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE failing (a int PRIMARY KEY)")
    rows = "".join(f"{i}\n" for i in range(5000)) + "x\n" + "".join(
        f"{i}\n" for i in range(6000, 9000))
    error = error_of(lambda: cursor.copy_expert("COPY failing FROM STDIN", io.StringIO(rows)))
    expect(error.pgcode, "22P02")
    expect(error.diag.context, 'COPY failing, line 5001, column a: "x"')
    expect(ask(cursor, "SELECT count(*) FROM failing"), [(0,)])
    cursor.execute("DROP TABLE failing")
    connection.close()


def a_client_may_end_its_copy(sql):
    wire = Wire(sql)
    expect(wire.query("CREATE TABLE ended (a int)"), b"CZ")
    wire.send(b"Q", b"COPY ended FROM STDIN\0")
    expect(wire.until(b"G"), b"G")
    wire.send(b"d", b"1\n2\n")
    wire.send(b"f", b"no more\0")
    expect(wire.until(b"Z"), b"EZ")
    wire.send(b"Q", b"COPY ended FROM STDIN\0")
    wire.until(b"G")
    wire.send(b"d", b"1\n2")
    wire.send(b"H")
    wire.send(b"d", b"2\n")
    wire.send(b"c")
    expect(wire.until(b"Z"), b"CZ")
    wire.send(b"Q", b"COPY ended FROM STDIN\0")
    wire.until(b"G")
    wire.send(b"Q", b"SELECT 1\0")  # Not while rows are read.
    expect(wire.until(b"Z"), b"EZ")
    expect(wire.query("SELECT count(*), sum(a) FROM ended"), b"TDCZ")
    wire.query("DROP TABLE ended")
    wire.socket.close()


def a_copy_whose_client_goes_away_leaves_nothing(sql):
    wire = Wire(sql)
    wire.query("CREATE TABLE away (a int)")
    wire.send(b"Q", b"COPY away FROM STDIN\0")
    wire.until(b"G")
    wire.send(b"d", b"1\n" * 1000)
    wire.socket.close()
    connection = sql.connect()
    expect(ask(connection.cursor(), "SELECT count(*) FROM away"), [(0,)])
    connection.close()


def a_cancel_ends_a_copy_that_waits_for_rows(sql):
    connection = sql.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE waits (a int)")

    class Rows:
        """Cancels when the server has been given some."""
        reads = 0

        def read(self, size):
            self.reads += 1
            if self.reads == 2:
                connection.cancel()
                time.sleep(0.2)
            return "1\n" if self.reads < 4 else ""

    expect(error_of(lambda: cursor.copy_expert("COPY waits FROM STDIN", Rows())).pgcode, "57014")
    expect(ask(cursor, "SELECT count(*) FROM waits"), [(0,)])
    connection.close()


def files_of_the_server_are_refused_without_a_folder(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE files (a int)")
    error = error_of(lambda: cursor.execute("COPY files FROM '/etc/passwd'"))
    expect(error.pgcode, "42501")
    connection.rollback()
    connection.close()


def named_cursors_give_rows_in_parts(sql):
    connection = sql.connect()
    cursor = connection.cursor("parts")
    cursor.itersize = 100
    cursor.execute("SELECT i FROM generate_series(1, 1000) i")
    expect(sum(row[0] for row in cursor), 500500)
    cursor.close()
    scrolled = connection.cursor("scrolled", scrollable=True)
    scrolled.execute("SELECT i FROM generate_series(1, 10) i")
    scrolled.scroll(5)
    expect(scrolled.fetchone(), (6,))
    scrolled.scroll(-3)
    expect(scrolled.fetchone(), (4,))
    connection.close()


def portals_stop_where_the_client_says(sql):
    wire = Wire(sql)

    def parse(text):
        wire.send(b"P", b"\0" + text + b"\0" + struct.pack(">h", 0))
        wire.send(b"B", b"\0\0" + struct.pack(">hhh", 0, 0, 0))

    parse(b"SELECT generate_series(1, 5)")
    for _ in range(3):
        wire.send(b"E", b"\0" + struct.pack(">i", 2))
    wire.send(b"S")
    expect(wire.until(b"Z"), b"12DDsDDsDCZ")
    parse(b"SELECT generate_series(1, 4)")
    for _ in range(3):
        wire.send(b"E", b"\0" + struct.pack(">i", 2))
    wire.send(b"S")
    expect(wire.until(b"Z"), b"12DDsDDsCZ")
    wire.send(b"E", b"\0" + struct.pack(">i", 0))  # It has ended with its transaction.
    wire.send(b"S")
    expect(wire.until(b"Z"), b"EZ")
    wire.socket.close()


def statements_of_both_kinds_share_their_names(sql):
    wire = Wire(sql)
    wire.send(b"P", b"shared\0SELECT $1::int + 1\0" + struct.pack(">h", 0))
    wire.send(b"S")
    expect(wire.until(b"Z"), b"1Z")
    expect(wire.query("EXECUTE shared(41)"), b"TDCZ")
    expect(wire.query("PREPARE shared AS SELECT 1"), b"EZ")
    expect(wire.query("DEALLOCATE shared"), b"CZ")
    wire.send(b"B", b"\0shared\0" + struct.pack(">hhh", 0, 0, 0))
    wire.send(b"S")
    expect(wire.until(b"Z"), b"EZ")
    wire.socket.close()


def malformed_messages_end_in_errors(sql):
    bodies = [(b"B", b"\0"), (b"B", b"\0\0" + struct.pack(">h", 7)), (b"D", b"X\0"), (b"C", b"X\0"),
              (b"E", b"\0"), (b"P", b"no end"), (b"D", b""), (b"Q", b"no end")]
    wire = Wire(sql)
    for kind, body in bodies:
        wire.send(kind, body)
        if kind != b"Q":
            wire.send(b"S")
        kinds = wire.until(b"Z")
        if b"E" not in kinds:
            raise AssertionError(f"{kind!r} {body!r}: {kinds!r}")
    expect(wire.query("SELECT 1"), b"TDCZ")
    wire.send(b"\x07", b"nonsense")
    expect(wire.until(b"E"), b"E")
    wire.socket.close()


def many_parameters_are_taken(sql):
    count = 65535
    wire = Wire(sql)
    text = "SELECT " + " + ".join(f"length(${i + 1}::text)" for i in range(3)) + f" + ${count}::int"
    wire.send(b"P", b"\0" + text.encode() + b"\0" + struct.pack(">h", 0))
    wire.send(b"S")
    kinds = wire.until(b"Z")  # Types of those between are not known.
    expect(kinds, b"EZ")
    wire.send(b"P", b"\0SELECT $65536\0" + struct.pack(">h", 0))
    wire.send(b"S")
    expect(wire.until(b"Z"), b"EZ")
    wire.socket.close()


def idle_sessions_end_when_they_are_told_to(sql):
    for setting, begins, code in (("idle_session_timeout", False, "57P05"),
                                  ("idle_in_transaction_session_timeout", True, "25P03")):
        wire = Wire(sql)
        wire.query(f"SET {setting} = 100")
        if begins:
            wire.query("BEGIN")
        expect(wire.until(b"E"), b"E")
        if code.encode() not in wire.body:
            raise AssertionError(f"{setting}: {wire.body!r}")
        wire.socket.close()


def a_statement_ends_at_its_timeout(sql):
    connection = sql.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET statement_timeout = 100")
    begun = time.monotonic()
    error = error_of(lambda: cursor.execute("SELECT count(*) FROM generate_series(1, 1000000000)"))
    expect((error.pgcode, str(error).strip()),
           ("57014", "canceling statement due to statement timeout"))
    if time.monotonic() - begun > 5:
        raise AssertionError("it came late")
    expect(ask(cursor, "SELECT 1"), [(1,)])
    connection.close()


def explain_tells_the_plan_and_what_it_did(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE explained (a int PRIMARY KEY, b text)")
    cursor.execute("INSERT INTO explained SELECT i, 'x' FROM generate_series(1, 50) i")
    expect([row[0] for row in ask(cursor, "EXPLAIN SELECT * FROM explained WHERE a = 7")],
           ["Index Scan using explained_pkey on explained", "  Index Cond: (a = 7)",
            "  Filter: (a = 7)"])
    lines = [row[0] for row in ask(
        cursor, "EXPLAIN (ANALYZE, SUMMARY off) SELECT count(*) FROM explained WHERE b = 'x'")]
    expect(lines, ["Aggregate (actual rows=1 loops=1)",
                   "  ->  Seq Scan on explained (actual rows=50 loops=1)",
                   "        Filter: (b = 'x'::text)"])
    plan = ask(cursor, "EXPLAIN (ANALYZE, FORMAT json) DELETE FROM explained WHERE a > 45")[0][0]
    plan = json.loads(plan) if isinstance(plan, str) else plan
    expect(plan[0]["Plan"]["Plans"][0]["Actual Rows"], 5)
    expect(ask(cursor, "SELECT count(*) FROM explained"), [(45,)])
    connection.rollback()
    connection.close()


CASES = [
    large_copies_come_back_as_they_went,
    a_row_that_fails_leaves_nothing_and_the_connection_goes_on,
    a_client_may_end_its_copy,
    a_copy_whose_client_goes_away_leaves_nothing,
    a_cancel_ends_a_copy_that_waits_for_rows,
    files_of_the_server_are_refused_without_a_folder,
    named_cursors_give_rows_in_parts,
    portals_stop_where_the_client_says,
    statements_of_both_kinds_share_their_names,
    malformed_messages_end_in_errors,
    many_parameters_are_taken,
    idle_sessions_end_when_they_are_told_to,
    a_statement_ends_at_its_timeout,
    explain_tells_the_plan_and_what_it_did,
]
