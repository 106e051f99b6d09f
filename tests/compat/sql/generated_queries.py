#!/usr/bin/python3
"""Asks Orbit and PostgreSQL the same generated queries over small tables with nulls and duplicates.

usage: generated_queries.py ORBIT_DSN POSTGRESQL_DSN [SEED [COUNT]]

Joins of all kinds, subqueries, groups, sets, windows and limits. Rows must be equal, in their order
where the query sorts by all of its columns. Each predicate is asked in three parts as well, and as
a value of the list (NoREC), which finds what both get wrong. Prints each difference, and exits with
1 when there is one.
"""

import decimal
import random
import sys

import psycopg2

TABLES = {
    "t1": ("a int", "b int", "c text", "d numeric"),
    "t2": ("a int", "b int", "c text", "d numeric"),
    "t3": ("a int primary key", "b int", "c text", "d numeric"),
    "t4": ("a int", "b int", "c text", "d numeric"),
    "t0": ("a int", "b int", "c text", "d numeric"),
}
ROWS = {"t1": 25, "t2": 18, "t3": 30, "t4": 7, "t0": 0}
KINDS = {"a": "int", "b": "int", "c": "text", "d": "numeric"}
TIMEOUT_MS = 20000


class Maker:
    """Makes queries; aliases are its own, so that no name is ambiguous."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.aliases = 0

    def alias(self):
        self.aliases += 1
        return "x%d" % self.aliases

    def chance(self, percent):
        return self.random.randrange(100) < percent

    def constant(self, kind):
        if self.chance(5):
            return "NULL::" + kind
        if kind == "int":
            return str(self.random.randrange(-1, 9))
        if kind == "text":
            return "'%s'" % self.random.choice(["", "a", "b", "ab", "c", "zz"])
        return self.random.choice(["0", "1.0", "1.00", "2.5", "3", "4.25"]) + "::numeric"

    def column(self, scope, kind):
        names = [name for name, column_kind in scope if column_kind == kind]
        return self.random.choice(names) if names else self.constant(kind)

    def value(self, scope, kind, depth):
        pick = self.random.randrange(12)
        if pick < 6 or depth <= 0:
            return self.column(scope, kind)
        if pick < 8:
            return self.constant(kind)
        if pick == 8:
            return "coalesce(%s, %s)" % (self.value(scope, kind, depth - 1), self.constant(kind))
        if pick == 9:
            return "CASE WHEN %s THEN %s ELSE %s END" % (
                self.condition(scope, depth - 1),
                self.value(scope, kind, depth - 1),
                self.value(scope, kind, depth - 1),
            )
        if pick == 10:
            return self.scalar(scope, kind, depth - 1)
        if kind == "text":
            return "(%s || %s)" % (self.column(scope, kind), self.constant(kind))
        return "(%s %s %s)" % (
            self.value(scope, kind, depth - 1),
            self.random.choice("+-*"),
            self.value(scope, kind, depth - 1),
        )

    def scalar(self, scope, kind, depth):
        inner, source = self.source(scope, depth)
        where = self.where(inner, scope, depth)
        value = self.value(inner, kind, 0)
        if kind == "int" and self.chance(40):
            return "(SELECT count(%s)::int FROM %s%s)" % (
                self.random.choice(["*", value]), source, where)
        if kind != "text" and self.chance(40):
            cast = "::" + kind
            return "(SELECT %s(%s)%s FROM %s%s)" % (
                self.random.choice(["sum", "max", "min"]), value, cast, source, where)
        return "(SELECT %s(%s) FROM %s%s)" % (
            self.random.choice(["max", "min"]), value, source, where)

    def where(self, inner, outer, depth):
        """WHERE of a subquery, which mostly compares with the query around it."""
        parts = []
        for _ in range(self.random.randrange(3)):
            kind = self.random.choice(["int", "int", "text", "numeric"])
            comparison = self.random.choice(["=", "=", "=", "<", "<>", ">="])
            parts.append("%s %s %s" % (
                self.column(inner, kind), comparison, self.column(outer, kind)))
        if self.chance(40):
            parts.append(self.condition(inner + (outer if self.chance(30) else []), depth - 1))
        self.random.shuffle(parts)
        return " WHERE " + " AND ".join(parts) if parts else ""

    def subquery_condition(self, scope, depth):
        inner, source = self.source(scope, depth)
        where = self.where(inner, scope, depth)
        kind = self.random.choice(["int", "int", "text", "numeric"])
        pick = self.random.randrange(5)
        if pick <= 1:
            negation = "NOT " if self.chance(50) else ""
            return "%sEXISTS (SELECT 1 FROM %s%s)" % (negation, source, where)
        column = self.value(inner, kind, 0)
        value = self.value(scope, kind, depth - 1)
        if pick == 2 and self.chance(30):
            return "(%s, %s) %s (SELECT %s, %s FROM %s%s)" % (
                value, self.column(scope, "int"), self.random.choice(["IN", "NOT IN"]), column,
                self.column(inner, "int"), source, where)
        if pick == 2 and self.chance(30):
            return "%s IN (SELECT %s FROM %s%s GROUP BY %s HAVING count(*) > 1)" % (
                value, column, source, where, column)
        if pick <= 3:
            return "%s %s (SELECT %s FROM %s%s)" % (
                value, self.random.choice(["IN", "NOT IN"]), column, source, where)
        return "%s %s %s (SELECT %s FROM %s%s)" % (
            value, self.random.choice(["=", "<", ">=", "<>"]), self.random.choice(["ANY", "ALL"]),
            column, source, where)

    def condition(self, scope, depth):
        kind = self.random.choice(["int", "int", "text", "numeric"])
        pick = self.random.randrange(12)
        if depth > 0 and pick < 2:
            return "(%s %s %s)" % (
                self.condition(scope, depth - 1), self.random.choice(["AND", "OR"]),
                self.condition(scope, depth - 1))
        if depth > 0 and pick == 2:
            return "NOT (%s)" % self.condition(scope, depth - 1)
        if depth > 0 and pick < 6:
            return self.subquery_condition(scope, depth - 1)
        if pick == 6:
            return "%s IS %sNULL" % (
                self.column(scope, kind), self.random.choice(["", "NOT "]))
        if pick == 7:
            return "%s IN (%s, %s)" % (
                self.column(scope, kind), self.constant(kind), self.constant(kind))
        if pick == 8:
            return "%s IS DISTINCT FROM %s" % (
                self.column(scope, kind), self.value(scope, kind, depth - 1))
        if pick == 9:
            return "%s BETWEEN %s AND %s" % (
                self.column(scope, kind), self.constant(kind), self.column(scope, kind))
        return "%s %s %s" % (
            self.column(scope, kind), self.random.choice(["=", "=", "<", "<=", ">", "<>"]),
            self.value(scope, kind, depth - 1))

    def leaf(self, outer, depth):
        """One item of FROM: its columns and its text."""
        alias = self.alias()
        scope = [("%s.%s" % (alias, name), kind) for name, kind in KINDS.items()]
        if depth <= 0 or self.chance(75):
            table = self.random.choice(["t1", "t2", "t3", "t4", "t1", "t2", "t3", "t0"])
            return scope, "%s AS %s" % (table, alias)
        inner, source = self.source(outer, depth - 1)
        columns = ", ".join(
            "%s AS %s" % (self.value(inner, kind, depth - 1), name) for name, kind in KINDS.items())
        where = " WHERE " + self.condition(inner, depth - 1) if self.chance(50) else ""
        pick = self.random.randrange(6)
        if pick == 0:
            text = "SELECT DISTINCT %s FROM %s%s" % (columns, source, where)
        elif pick == 1:
            group = self.column(inner, "int")
            text = ("SELECT %s AS a, count(*)::int AS b, max(%s) AS c, sum(%s)::numeric AS d"
                    " FROM %s%s GROUP BY %s") % (
                group, self.column(inner, "text"), self.column(inner, "numeric"), source, where,
                group)
        elif pick == 2:
            other, other_source = self.source([], 0)
            others = ", ".join(self.value(other, kind, 0) for kind in KINDS.values())
            text = "SELECT %s FROM %s%s %s SELECT %s FROM %s" % (
                columns, source, where,
                self.random.choice(["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL"]),
                others, other_source)
        elif pick == 3:
            text = "SELECT %s FROM %s%s ORDER BY 1, 2, 3, 4 LIMIT %d" % (
                columns, source, where, self.random.randrange(12))
        else:
            text = "SELECT %s FROM %s%s" % (columns, source, where)
        return scope, "(%s) AS %s" % (text, alias)

    def source(self, outer, depth):
        scope, text = self.leaf(outer, depth)
        for _ in range(self.random.choice([0, 0, 1, 1, 2]) if depth > 0 else 0):
            right, right_text = self.leaf(outer, depth - 1)
            pick = self.random.randrange(8)
            if pick == 0:
                text = "%s CROSS JOIN %s" % (text, right_text)
                scope = scope + right
                continue
            kind = self.random.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN"])
            column_kind = self.random.choice(["int", "int", "text", "numeric"])
            on = "%s = %s" % (self.column(scope, column_kind), self.column(right, column_kind))
            if pick == 1:
                kind = "FULL JOIN"
            elif pick < 5 and self.chance(50):
                on += " AND " + self.condition(scope + right, 0 if pick < 3 else depth - 1)
            text = "(%s %s %s ON %s)" % (text, kind, right_text, on)
            scope = scope + right
        return scope, text

    def query(self):
        depth = self.random.choice([1, 2, 2, 3])
        scope, source = self.source([], depth)
        condition = self.condition(scope, depth)
        where = " WHERE %s" % condition if self.chance(80) else ""
        all_kinds = list(KINDS.values())
        kinds = [self.random.choice(all_kinds) for _ in range(self.random.randrange(1, 4))]
        numbers = ", ".join(str(i + 1) for i in range(len(kinds) + 1))
        pick = self.random.randrange(10)
        if pick < 2:
            group = [self.column(scope, kind) for kind in kinds]
            sets = self.random.choice(["%s", "%s", "ROLLUP (%s)", "CUBE (%s)"])
            having = " HAVING count(*) > 1" if self.chance(30) else ""
            text = "SELECT %s, %s FROM %s%s GROUP BY %s%s" % (
                ", ".join(group),
                self.random.choice([
                    "count(*)",
                    "sum(%s)" % self.column(scope, "int"),
                    "count(DISTINCT %s)" % self.column(scope, "text"),
                    "min(%s)" % self.column(scope, "text"),
                    "sum(%s) FILTER (WHERE %s)" % (
                        self.column(scope, "numeric"), self.condition(scope, 0)),
                ]), source, where, sets % ", ".join(group), having)
        elif pick == 2:
            text = "SELECT %s, %s OVER (PARTITION BY %s ORDER BY %s) FROM %s%s" % (
                ", ".join(self.value(scope, kind, 1) for kind in kinds),
                self.random.choice(["rank()", "count(*)", "sum(%s)" % self.column(scope, "int")]),
                self.column(scope, "int"), self.column(scope, "text"), source, where)
        else:
            text = "SELECT %s%s, %s FROM %s%s" % (
                "DISTINCT " if pick == 3 else "",
                ", ".join(self.value(scope, kind, depth - 1) for kind in kinds),
                self.column(scope, "int"), source, where)
        # Sets whose groups are equal columns of a join sort in another order at the peer.
        is_sorted = self.chance(40) and "ROLLUP" not in text and "CUBE" not in text
        if is_sorted:
            text += " ORDER BY " + numbers
            if self.chance(50):
                text += " LIMIT %d OFFSET %d" % (
                    self.random.randrange(20), self.random.choice([0, 0, 3]))
        return text, is_sorted, (source, condition)


def fill(seed):
    """The same rows for both servers, as statements."""
    maker = random.Random(seed)
    statements = []
    for table, columns in TABLES.items():
        statements.append("DROP TABLE IF EXISTS %s" % table)
        statements.append("CREATE TABLE %s (%s)" % (table, ", ".join(columns)))
        for row in range(ROWS[table]):
            a = row if table == "t3" else maker.choice(["NULL", "1", "2", "3", "4", "7"])
            values = (
                a,
                maker.choice(["NULL", "0", "1", "2", "3", "5", "8"]),
                maker.choice(["NULL", "''", "'a'", "'b'", "'ab'", "'c'"]),
                maker.choice(["NULL", "0", "1.0", "1.00", "2.5", "3", "4.25"]),
            )
            statements.append("INSERT INTO %s VALUES (%s, %s, %s, %s)" % ((table,) + values))
    # Rows enough that looking some up costs less than reading all.
    for table in ("t3", "t2"):
        statements.append("CREATE INDEX %s_b ON %s (b)" % (table, table))
    statements.append("CREATE INDEX t1_ac ON t1 (a, c)")
    return statements


def plain(value):
    """As text; of equal numerics a query may show any, so that their scale does not count."""
    if isinstance(value, decimal.Decimal):
        value = value.normalize() + 0
    return None if value is None else str(value)


def ask(connection, text, is_sorted):
    """Rows as text, or the SQLSTATE of the error."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(text)
            rows = [tuple(plain(value) for value in row) for row in cursor.fetchall()]
        except psycopg2.Error as error:
            return "error %s" % error.pgcode
    return rows if is_sorted else sorted(rows, key=repr)


def metamorphic(connection, source, condition):
    """A predicate and its two complements part the rows; as a value it counts the same."""
    def count(where):
        return ask(connection, "SELECT count(*) FROM %s WHERE %s" % (source, where), True)

    whole = ask(connection, "SELECT count(*) FROM %s" % source, True)
    parts = [count(condition), count("NOT (%s)" % condition), count("(%s) IS NULL" % condition)]
    counted = ask(connection, "SELECT coalesce(sum(CASE WHEN %s THEN 1 ELSE 0 END), 0) FROM %s" % (
        condition, source), True)
    if any(isinstance(answer, str) for answer in parts + [whole, counted]):
        return None
    if sum(int(part[0][0]) for part in parts) != int(whole[0][0]):
        return "parts %r of %r" % (parts, whole)
    if counted != parts[0]:
        return "counted %r, found %r" % (counted, parts[0])
    return None


def connect(dsn):
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = %d" % TIMEOUT_MS)
    return connection


def main():
    orbit, peer = connect(sys.argv[1]), connect(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 5000
    for statement in fill(seed):
        for connection in (orbit, peer):
            with connection.cursor() as cursor:
                cursor.execute(statement)
    differences = 0
    for number in range(count):
        maker = Maker("%d/%d" % (seed, number))
        text, is_sorted, (source, condition) = maker.query()
        ours, theirs = ask(orbit, text, is_sorted), ask(peer, text, is_sorted)
        if ours != theirs:
            differences += 1
            print("-- %d/%d\n%s;\n  orbit:      %.500r\n  postgresql: %.500r" % (
                seed, number, text, ours, theirs), flush=True)
        elif number % 4 == 0:
            broken = metamorphic(orbit, source, condition)
            if broken is not None:
                differences += 1
                print("-- %d/%d\nFROM %s WHERE %s\n  %s" % (
                    seed, number, source, condition, broken), flush=True)
    print("queries %d, differences %d" % (count, differences))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
