"""SQLite's logic tests (sqllogictest): records of a statement or a query with its result.

A file names systems that a record is not for (skipif, onlyif); those of PostgreSQL are run. Results
are compared as the format says: sorted or not, by value or by a hash of all."""

import hashlib
from decimal import Decimal, InvalidOperation

import psycopg2
import psycopg2.extensions

SYSTEM = "postgresql"
NUMERIC_OID = 1700
SHOWN_MAX = 5

# As text, so that digits are compared and not what Python makes of them.
psycopg2.extensions.register_type(
    psycopg2.extensions.new_type((NUMERIC_OID,), "NUMERIC_TEXT", lambda value, cursor: value))


def records(path):
    """Yields (line, is_for_us, header words, SQL, expected lines)."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    at = 0
    while at < len(lines):
        if not lines[at].strip() or lines[at].startswith("#"):
            at += 1
            continue
        is_ours = True
        while lines[at].startswith(("skipif", "onlyif")):
            word, system = lines[at].split()[:2]
            is_ours = is_ours and (word == "onlyif") == (system == SYSTEM)
            at += 1
        start, words = at, lines[at].split()
        at += 1
        sql, expected = [], []
        if words[0] in ("statement", "query"):
            while at < len(lines) and lines[at].strip() and lines[at] != "----":
                sql.append(lines[at])
                at += 1
            if at < len(lines) and lines[at] == "----":
                at += 1
                while at < len(lines) and lines[at]:
                    expected.append(lines[at])
                    at += 1
        yield start + 1, is_ours, words, "\n".join(sql), expected


def shown(value, kind):
    if value is None:
        return "NULL"
    if kind == "I":
        try:
            return str(int(Decimal(str(int(value) if isinstance(value, bool) else value))))
        except InvalidOperation:
            return "0"
    if kind == "R":
        try:
            return f"{float(value):.3f}"
        except ValueError:
            return "0.000"
    text = "".join(c if " " <= c <= "~" else "@" for c in str(value))
    return text or "(empty)"


def is_right(words, rows, expected):
    kinds = words[1]
    order = words[2] if len(words) > 2 else "nosort"
    table = [[shown(value, kinds[i] if i < len(kinds) else "T") for i, value in enumerate(row)]
             for row in rows]
    if order == "rowsort":
        table.sort()
    values = [value for row in table for value in row]
    if order == "valuesort":
        values.sort()
    if len(expected) == 1 and " values hashing to " in expected[0]:
        digest = hashlib.md5("".join(value + "\n" for value in values).encode()).hexdigest()
        return expected[0] == f"{len(values)} values hashing to {digest}"
    return values == expected


def run_record(cursor, words, sql, expected):
    try:
        cursor.execute(sql)
    except psycopg2.Error as error:
        return words[:2] == ["statement", "error"], str(error).split("\n", 1)[0]
    if words[0] == "statement":
        return words[1] == "ok", "no error came"
    return is_right(words, cursor.fetchall(), expected), "another result"


def run_file(connection, path):
    """(passed, failed, for other systems)"""
    passed = failed = other = 0
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("drop schema if exists logic cascade")
    cursor.execute("create schema logic")
    cursor.execute("set search_path = logic")
    for line, is_ours, words, sql, expected in records(path):
        if words[0] == "halt" and is_ours:
            break
        if words[0] not in ("statement", "query"):
            continue
        if not is_ours:
            other += 1
            continue
        is_good, why = run_record(cursor, words, sql, expected)
        passed += is_good
        failed += not is_good
        if not is_good and failed <= SHOWN_MAX:
            print(f"{path}:{line}: {why}: {sql:.200}", flush=True)
    connection.close()
    return passed, failed, other
