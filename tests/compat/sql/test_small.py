"""What clients are told of parameters that change, and small refusals."""

import psycopg2


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r:.400} instead of {expected!r:.400}")


def clients_are_told_of_parameters_that_change(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    told = connection.get_parameter_status
    expect(told("in_hot_standby"), "off")
    cursor.execute("SET TimeZone = 'Europe/Berlin'")
    expect(told("TimeZone"), "Europe/Berlin")
    cursor.execute("SELECT set_config('DateStyle', 'German', false)")
    expect(told("DateStyle"), "German, DMY")
    connection.rollback()
    cursor.execute("SELECT 1")
    expect((told("TimeZone"), told("DateStyle")), ("UTC", "ISO, MDY"))
    cursor.execute("SET LOCAL IntervalStyle = 'iso_8601'")
    expect(told("IntervalStyle"), "iso_8601")
    connection.commit()
    expect(told("IntervalStyle"), "postgres")
    cursor.execute("SET application_name = 'this'")
    expect(told("application_name"), "this")
    cursor.execute("RESET ALL")
    expect(told("application_name"), "")
    connection.close()


def an_aggregate_of_outer_columns_alone_is_refused(sql):
    """It belongs to the outer query: the first answers 6 in PostgreSQL, not 1, 2 and 3."""
    connection = sql.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    rows = "(VALUES (1), (2), (3))"
    for query in [
        f"SELECT (SELECT sum(a.x)) FROM {rows} a (x)",
        f"SELECT max((SELECT sum(a.x) FROM {rows} b (y) LIMIT 1)) FROM {rows} a (x)",
        f"SELECT (SELECT sum(a.x + (SELECT 1)) FROM {rows} b (y)) FROM {rows} a (x)",
        f"SELECT (SELECT count(a) FROM {rows} b (y)) FROM {rows} a (x)",
        f"SELECT 1 FROM {rows} a (x) HAVING 6 = (SELECT sum(a.x) FROM {rows} b (y))",
    ]:
        try:
            cursor.execute(query)
            raise AssertionError(f"{query} gave {cursor.fetchall()}")
        except psycopg2.errors.FeatureNotSupported:
            pass
    for query, expected in [
        (f"SELECT (SELECT sum(a.x + b.y) FROM {rows} b (y)) FROM {rows} a (x)",
         [(9,), (12,), (15,)]),
        (f"SELECT (SELECT count(*) FROM {rows} b (y) WHERE b.y < a.x) FROM {rows} a (x)",
         [(0,), (1,), (2,)]),
        (f"SELECT (SELECT sum(a.x) FILTER (WHERE b.y > 1) FROM {rows} b (y)) FROM {rows} a (x)",
         [(2,), (4,), (6,)]),
        (f"SELECT (SELECT sum((SELECT b.y + a.x)) FROM {rows} b (y)) FROM {rows} a (x)",
         [(9,), (12,), (15,)]),
        (f"SELECT (SELECT count(b) FROM {rows} b (y) WHERE a.x > 1) FROM {rows} a (x)",
         [(0,), (3,), (3,)]),
        (f"SELECT (SELECT sum(1) FROM {rows} b (y)) FROM {rows} a (x)", [(3,), (3,), (3,)]),
    ]:
        cursor.execute(query)
        expect(cursor.fetchall(), expected)
    connection.close()


CASES = [
    clients_are_told_of_parameters_that_change,
    an_aggregate_of_outer_columns_alone_is_refused,
]
