"""Plans that prepared statements keep: good for as long as what they were made by holds."""

import psycopg2


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r:.400} instead of {expected!r:.400}")


def fails(cursor, statement, sqlstate, message):
    try:
        cursor.execute(statement)
    except psycopg2.Error as error:
        expect((error.pgcode, error.diag.message_primary), (sqlstate, message))
        return
    raise AssertionError(f"{statement} did not fail")


def rows_of(cursor, statement):
    cursor.execute(statement)
    return cursor.fetchall()


def session(sql):
    connection = sql.connect()
    connection.autocommit = True
    return connection, connection.cursor()


def a_plan_ends_with_a_definition_of_another_session(sql):
    first, one = session(sql)
    second, two = session(sql)
    one.execute("CREATE TABLE plan_a (k int PRIMARY KEY, v int DEFAULT 1)")
    one.execute("PREPARE put AS INSERT INTO plan_a (k) VALUES ($1)")
    one.execute("PREPARE got AS SELECT v FROM plan_a WHERE k = $1")
    one.execute("EXECUTE put(1)")
    expect(rows_of(one, "EXECUTE got(1)"), [(1,)])
    two.execute("ALTER TABLE plan_a ALTER COLUMN v SET DEFAULT 7")
    two.execute("CREATE UNIQUE INDEX plan_a_v ON plan_a (v)")
    one.execute("EXECUTE put(2)")
    expect(rows_of(one, "EXECUTE got(2)"), [(7,)])
    fails(one, "EXECUTE put(3)", "23505",
          'duplicate key value violates unique constraint "plan_a_v"')
    two.execute("ALTER TABLE plan_a ADD CONSTRAINT small CHECK (k < 10)")
    two.execute("DROP INDEX plan_a_v")
    one.execute("EXECUTE put(3)")
    fails(one, "EXECUTE put(10)", "23514",
          'new row for relation "plan_a" violates check constraint "small"')
    two.execute("DROP TABLE plan_a")
    fails(one, "EXECUTE got(1)", "42P01", 'relation "plan_a" does not exist')
    two.execute("CREATE TABLE plan_a (k int PRIMARY KEY, v int DEFAULT 1)")
    expect(rows_of(one, "EXECUTE got(1)"), [])
    one.execute("DROP TABLE plan_a")
    first.close()
    second.close()


def a_plan_whose_columns_would_change_is_refused(sql):
    first, one = session(sql)
    second, two = session(sql)
    message = "cached plan must not change result type"
    one.execute("CREATE TABLE plan_b (k int PRIMARY KEY, v int)")
    one.execute("INSERT INTO plan_b VALUES (1, 2)")
    one.execute("PREPARE whole AS SELECT * FROM plan_b")
    one.execute("PREPARE changed AS UPDATE plan_b SET v = 3 RETURNING v")
    expect(rows_of(one, "EXECUTE whole"), [(1, 2)])
    two.execute("ALTER TABLE plan_b ADD COLUMN w int DEFAULT 3")
    fails(one, "EXECUTE whole", "0A000", message)
    expect(rows_of(one, "EXECUTE changed"), [(3,)])
    two.execute("ALTER TABLE plan_b DROP COLUMN w")
    expect(rows_of(one, "EXECUTE whole"), [(1, 3)])
    two.execute("ALTER TABLE plan_b RENAME COLUMN v TO u")
    fails(one, "EXECUTE whole", "0A000", message)
    fails(one, "EXECUTE changed", "42703", 'column "v" of relation "plan_b" does not exist')
    one.execute("DROP TABLE plan_b")
    first.close()
    second.close()


def a_plan_follows_the_search_path(sql):
    connection, cursor = session(sql)
    for schema, value in (("plan_one", 1), ("plan_two", 2)):
        cursor.execute(f"CREATE SCHEMA {schema}")
        cursor.execute(f"CREATE TABLE {schema}.place AS SELECT {value} AS v")
    cursor.execute("SET search_path = plan_one")
    cursor.execute("PREPARE got AS SELECT v FROM place")
    expect(rows_of(cursor, "EXECUTE got"), [(1,)])
    cursor.execute("SET search_path = plan_two")
    expect(rows_of(cursor, "EXECUTE got"), [(2,)])
    cursor.execute("BEGIN")
    cursor.execute("SET LOCAL search_path = plan_one")
    expect(rows_of(cursor, "EXECUTE got"), [(1,)])
    cursor.execute("ROLLBACK")
    expect(rows_of(cursor, "EXECUTE got"), [(2,)])
    cursor.execute("CREATE TEMPORARY TABLE place AS SELECT 3 AS v")
    expect(rows_of(cursor, "EXECUTE got"), [(3,)])
    connection.close()
    connection, cursor = session(sql)
    cursor.execute("DROP TABLE plan_one.place, plan_two.place")
    cursor.execute("DROP SCHEMA plan_one")
    cursor.execute("DROP SCHEMA plan_two")
    connection.close()


def a_transaction_plans_by_its_own_definitions(sql):
    connection, cursor = session(sql)
    cursor.execute("CREATE TABLE plan_c (k int PRIMARY KEY)")
    cursor.execute("INSERT INTO plan_c VALUES (1), (2)")
    cursor.execute("PREPARE counted AS SELECT count(*) FROM plan_c")
    expect(rows_of(cursor, "EXECUTE counted"), [(2,)])
    cursor.execute("BEGIN")
    cursor.execute("DROP TABLE plan_c")
    cursor.execute("CREATE TABLE plan_c (k int PRIMARY KEY)")
    expect(rows_of(cursor, "EXECUTE counted"), [(0,)])
    cursor.execute("ROLLBACK")
    expect(rows_of(cursor, "EXECUTE counted"), [(2,)])
    cursor.execute("DROP TABLE plan_c")
    connection.close()


def nothing_that_changes_is_kept_in_a_plan(sql):
    connection, cursor = session(sql)
    cursor.execute("PREPARE moment AS SELECT now(), current_setting('application_name')")
    cursor.execute("SET application_name = 'a'")
    first = rows_of(cursor, "EXECUTE moment")[0]
    cursor.execute("SET application_name = 'b'")
    second = rows_of(cursor, "EXECUTE moment")[0]
    expect((first[0] < second[0], first[1], second[1]), (True, "a", "b"))
    cursor.execute("PREPARE shown AS SELECT '2020-06-01 12:00+00'::timestamptz::text")
    expect(rows_of(cursor, "EXECUTE shown"), [("2020-06-01 12:00:00+00",)])
    cursor.execute("SET TimeZone = 'Europe/Berlin'")
    expect(rows_of(cursor, "EXECUTE shown"), [("2020-06-01 14:00:00+02",)])
    cursor.execute("PREPARE part(int) AS SELECT array_agg(n) FROM "
                   "(SELECT n FROM generate_series(1, 9) AS n LIMIT $1) AS s")
    expect(rows_of(cursor, "EXECUTE part(2)"), [([1, 2],)])
    expect(rows_of(cursor, "EXECUTE part(3)"), [([1, 2, 3],)])
    connection.close()


def subqueries_and_changes_run_again_by_one_plan(sql):
    connection, cursor = session(sql)
    cursor.execute("CREATE TABLE plan_d (k int PRIMARY KEY, v int)")
    cursor.execute("INSERT INTO plan_d VALUES (1, 10)")
    cursor.execute("PREPARE set(int, int) AS INSERT INTO plan_d VALUES ($1, $2) ON CONFLICT (k) "
                   "DO UPDATE SET v = excluded.v + (SELECT count(*) FROM plan_d) "
                   "WHERE plan_d.v <> (SELECT min(v) FROM plan_d WHERE k = $1) + 99 "
                   "RETURNING v, (SELECT max(k) FROM plan_d)")
    for expected in (21, 21, 21):
        expect(rows_of(cursor, "EXECUTE set(1, 20)"), [(expected, 1)])
    expect(rows_of(cursor, "EXECUTE set(2, 5)"), [(5, 1)])
    expect(rows_of(cursor, "EXECUTE set(1, 20)"), [(22, 2)])
    cursor.execute("PREPARE moved AS WITH gone AS (DELETE FROM plan_d WHERE k > 1 "
                   "RETURNING k, (SELECT count(*) FROM plan_d) AS n) SELECT * FROM gone")
    expect(rows_of(cursor, "EXECUTE moved"), [(2, 2)])
    expect(rows_of(cursor, "EXECUTE moved"), [])
    cursor.execute("EXECUTE set(3, 5)")
    expect(rows_of(cursor, "EXECUTE moved"), [(3, 2)])
    cursor.execute("DROP TABLE plan_d")
    connection.close()


CASES = [
    a_plan_ends_with_a_definition_of_another_session,
    a_plan_whose_columns_would_change_is_refused,
    a_plan_follows_the_search_path,
    a_transaction_plans_by_its_own_definitions,
    nothing_that_changes_is_kept_in_a_plan,
    subqueries_and_changes_run_again_by_one_plan,
]
