"""Redis in transactions of SQL: one commit over rows and keys."""

import subprocess

import psycopg2
import server


def redis(sql, *words):
    """What redis-cli prints, line by line."""
    run = subprocess.run(["redis-cli", "-h", server.HOST, "-p", str(sql.server.port), *words],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    return run.stdout.decode().splitlines()


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r:.400} instead of {expected!r:.400}")


def ask(cursor, text, *parameters):
    cursor.execute(text, parameters)
    return cursor.fetchall()


def error_of(cursor, text):
    try:
        cursor.execute(text)
    except psycopg2.Error as error:
        return error.pgcode, str(error).splitlines()[0]
    raise AssertionError(f"no error: {text}")


def rows_and_keys_are_committed_together(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE redis_rows (id int PRIMARY KEY, v text)")
    connection.commit()
    cursor.execute("INSERT INTO redis_rows VALUES (1, 'one')")
    expect(ask(cursor, "SELECT redis.call('HSET', 'together:h', 'a', '1', 'b', '2')"), [("2",)])
    expect(ask(cursor, "SELECT redis.call('ZADD', 'together:z', '1.5', 'm')"), [("1",)])
    ask(cursor, "SELECT redis.call('XADD', 'together:s', '1-1', 'f', %s)", "v\u00e9")
    expect(ask(cursor, "SELECT redis.call('HGETALL', 'together:h')"), [('["a", "1", "b", "2"]',)])
    expect(redis(sql, "exists", "together:h", "together:z", "together:s"), ["0"])
    connection.commit()
    expect(redis(sql, "exists", "together:h", "together:z", "together:s"), ["3"])
    expect(ask(cursor, "SELECT redis.call('XRANGE', 'together:s', '-', '+')"),
           [('[["1-1", ["f", "v\u00e9"]]]',)])
    connection.close()


def a_rollback_takes_keys_back(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    ask(cursor, "SELECT redis.call('SET', 'back:k', 'yes')")
    cursor.execute("SAVEPOINT a")
    ask(cursor, "SELECT redis.call('SET', 'back:k', 'no')")
    cursor.execute("ROLLBACK TO a")
    expect(ask(cursor, "SELECT redis.call('GET', 'back:k')"), [("yes",)])
    connection.rollback()
    expect(redis(sql, "exists", "back:k"), ["0"])
    expect(ask(cursor, "SELECT redis.call('GET', 'back:k')"), [(None,)])
    connection.close()


def commands_of_one_statement_see_each_other(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    expect(ask(cursor, "SELECT redis.call('INCR', 'seen:n') FROM generate_series(1, 4)"),
           [("1",), ("2",), ("3",), ("4",)])
    cursor.execute("CREATE TABLE seen (n int)")
    cursor.execute("INSERT INTO seen VALUES (1)")
    # Rows that the statement writes are not seen by it, whatever is called in between.
    cursor.execute("INSERT INTO seen SELECT redis.call('INCR', 'seen:n')::int FROM seen")
    expect(ask(cursor, "SELECT n FROM seen ORDER BY n"), [(1,), (5,)])
    connection.commit()
    expect(redis(sql, "get", "seen:n"), ["5"])
    connection.close()


def errors_of_redis_are_errors_of_the_statement(sql):
    connection = sql.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    redis(sql, "set", "errors:k", "text")
    expect(error_of(cursor, "SELECT redis.call('LPUSH', 'errors:k', 'x')"),
           ("42809", "WRONGTYPE Operation against a key holding the wrong kind of value"))
    expect(error_of(cursor, "SELECT redis.call('INCR', 'errors:k')"),
           ("22023", "ERR value is not an integer or out of range"))
    expect(error_of(cursor, "SELECT redis.call('GET', NULL)")[0], "22004")
    for text in ("'NOPE'", "'GET'", "'EVAL', 'return 1', '0'", "'FLUSHALL'", "'SUBSCRIBE', 'x'"):
        expect(error_of(cursor, f"SELECT redis.call({text})")[0], "22023")
    redis(sql, "set", "errors:bytes", "\udcff")
    expect(error_of(cursor, "SELECT redis.call('GET', 'errors:bytes')")[0], "22021")
    cursor.execute("BEGIN READ ONLY")
    expect(error_of(cursor, "SELECT redis.call('SET', 'errors:k', 'x')")[0], "25006")
    connection.close()


def events_are_published_with_the_commit(sql):
    redis(sql, "config", "set", "notify-keyspace-events", "EA")
    connection = sql.connect()
    cursor = connection.cursor()
    with subprocess.Popen(["redis-cli", "-h", server.HOST, "-p", str(sql.server.port), "psubscribe",
                           "__keyevent@0__:*"], stdout=subprocess.PIPE) as listener:
        lines = iter(listener.stdout.readline, b"")
        expect([next(lines).decode().strip() for _ in range(3)][0], "psubscribe")
        ask(cursor, "SELECT redis.call('SET', 'events:gone', '1')")
        connection.rollback()
        ask(cursor, "SELECT redis.call('SET', 'events:k', '1')")
        cursor.execute("SAVEPOINT a")
        ask(cursor, "SELECT redis.call('DEL', 'events:k')")
        cursor.execute("ROLLBACK TO a")
        ask(cursor, "SELECT redis.call('EXPIRE', 'events:k', '100')")
        connection.commit()
        found = [next(lines).decode().strip() for _ in range(8)]
        expect([found[2], found[3], found[6], found[7]],
               ["__keyevent@0__:set", "events:k", "__keyevent@0__:expire", "events:k"])
        listener.kill()
    connection.close()


class RedisCli:
    """A session of redis-cli that stays open."""

    def __init__(self, sql):
        self.process = subprocess.Popen(
            ["redis-cli", "-h", server.HOST, "-p", str(sql.server.port)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def say(self, line):
        """The first line of the answer."""
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def a_token_joins_psql_and_redis_cli_in_one_commit(sql):
    for who_commits in ("sql", "redis"):
        connection = sql.connect()
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE IF NOT EXISTS joined (who text)")
        connection.commit()
        cursor.execute("INSERT INTO joined VALUES (%s)", (who_commits,))
        token = ask(cursor, "SELECT orbit.txn_token()")[0][0]
        cli = RedisCli(sql)
        expect(cli.say(f"ORBIT.TXN JOIN {token}"), "OK")
        expect(cli.say(f"HSET joined:{who_commits} f v"), "1")
        expect(ask(cursor, f"SELECT redis.call('HGET', 'joined:{who_commits}', 'f')"), [("v",)])
        expect(redis(sql, "exists", f"joined:{who_commits}"), ["0"])
        if who_commits == "sql":
            connection.commit()
            expect(cli.say("GET x").split()[0], "TXNABORTED")
        else:
            expect(cli.say("ORBIT.COMMIT"), "OK")
            expect(error_of(cursor, "SELECT 1")[0], "25000")
            connection.rollback()
        expect(redis(sql, "hget", f"joined:{who_commits}", "f"), ["v"])
        expect(ask(cursor, "SELECT count(*) FROM joined WHERE who = %s", who_commits), [(1,)])
        connection.commit()
        cli.close()
        connection.close()


def a_session_that_leaves_does_not_end_a_shared_transaction(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    token = ask(cursor, "SELECT orbit.txn_token()")[0][0]
    cli = RedisCli(sql)
    expect(cli.say(f"ORBIT.TXN JOIN {token}"), "OK")
    expect(cli.say("SET left:k v"), "OK")
    cli.close()
    expect(ask(cursor, "SELECT redis.call('GET', 'left:k')"), [("v",)])
    connection.commit()
    expect(redis(sql, "get", "left:k"), ["v"])
    connection.close()


def what_cannot_be_shared_is_refused(sql):
    connection = sql.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    expect(error_of(cursor, "SELECT orbit.txn_token()")[0], "25P01")
    expect(error_of(cursor, "SELECT orbit.txn_join('00000000000000000000000000000000')")[0],
           "22023")
    cursor.execute("BEGIN")
    token = ask(cursor, "SELECT orbit.txn_token()")[0][0]
    expect(error_of(cursor, "CREATE TABLE refused (a int)")[0], "0A000")
    cursor.execute("ROLLBACK")
    expect(error_of(cursor, f"SELECT orbit.txn_join('{token}')")[0], "22023")
    connection.close()


def sessions_of_sql_join_each_other(sql):
    first = sql.connect()
    cursor = first.cursor()
    cursor.execute("CREATE TABLE IF NOT EXISTS both_write (n int)")
    first.commit()
    cursor.execute("INSERT INTO both_write VALUES (1)")
    token = ask(cursor, "SELECT orbit.txn_token()")[0][0]
    for _ in range(64):  # A connection is of the shard that the kernel chooses.
        second = sql.connect()
        second.autocommit = True
        other = second.cursor()
        try:
            other.execute("SELECT orbit.txn_join(%s)", (token,))
            break
        except psycopg2.Error as error:
            expect(error.pgcode, "0A000")
            second.close()
    other.execute("INSERT INTO both_write SELECT n + 1 FROM both_write")
    expect(ask(cursor, "SELECT n FROM both_write ORDER BY n"), [(1,), (2,)])
    other.execute("COMMIT")
    expect(ask(other, "SELECT orbit.commit_timestamp() > 1600000000000000"), [(True,)])
    expect(ask(other, "SELECT count(*) FROM both_write"), [(2,)])
    first.rollback()
    first.close()
    second.close()


def redis_sessions_run_sql(sql):
    redis(sql, "orbit.sql", "create table if not exists told (id int primary key, v text)")
    expect(redis(sql, "orbit.sql", "insert into told values ($1, $2)", "1", "one"), ["INSERT 0 1"])
    expect(redis(sql, "orbit.sql", "select id, v, null from told where id = $1", "1"),
           ["1", "one", ""])
    expect(redis(sql, "orbit.sql", "insert into told values (1, 'x')")[0].split()[:2],
           ["SQL", "23505"])
    expect(redis(sql, "orbit.sql", "select $1::int", "x")[0].split()[:2], ["SQL", "22P02"])
    expect(redis(sql, "orbit.sql", "select 1", "2")[0].split()[:2], ["SQL", "08P01"])
    expect(redis(sql, "orbit.sql", "")[0].split()[0], "ERR")


def sql_of_redis_is_in_its_transaction(sql):
    redis(sql, "orbit.sql", "create table if not exists mixed (id int primary key, v text)")
    for end, rows in (("ORBIT.ROLLBACK", "0"), ("ORBIT.COMMIT", "1")):
        cli = RedisCli(sql)
        expect(cli.say("ORBIT.BEGIN"), "OK")
        expect(cli.say("SET mixed:k v"), "OK")
        expect(cli.say("ORBIT.SQL \"insert into mixed values (1, redis.call('GET', 'mixed:k'))\""),
               "INSERT 0 1")
        expect(cli.say("ORBIT.SQL \"select v from mixed\""), "v")
        expect(cli.say("ORBIT.SQL \"insert into mixed values (1, 'x')\"").split()[1], "23505")
        cli.process.stdout.readline()
        expect(cli.say("ORBIT.SQL \"commit\"").split()[1], "0A000")
        cli.process.stdout.readline()
        expect(redis(sql, "orbit.sql", "select count(*) from mixed"), ["0"])
        expect(cli.say(end), "OK")
        expect(redis(sql, "orbit.sql", "select count(*) from mixed"), [rows])
        expect(redis(sql, "exists", "mixed:k"), [rows])
        cli.close()


def a_failed_statement_is_not_committed_by_another_session(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE IF NOT EXISTS failing (n int PRIMARY KEY)")
    connection.commit()
    cursor.execute("INSERT INTO failing VALUES (1)")
    token = ask(cursor, "SELECT orbit.txn_token()")[0][0]
    cli = RedisCli(sql)
    expect(cli.say(f"ORBIT.TXN JOIN {token}"), "OK")
    expect(error_of(cursor, "INSERT INTO failing SELECT 4 - g FROM generate_series(1, 3) g")[0],
           "23505")
    expect(error_of(cursor, "SELECT 1")[0], "25P02")
    expect(cli.say("SET failing:k v"), "OK")
    expect(cli.say("ORBIT.COMMIT"), "OK")
    connection.rollback()
    expect(ask(cursor, "SELECT n FROM failing ORDER BY n"), [(1,)])
    expect(redis(sql, "get", "failing:k"), ["v"])
    cli.close()
    connection.close()


def a_join_that_fails_joins_nothing(sql):
    first = sql.connect()
    cursor = first.cursor()
    token = ask(cursor, "SELECT orbit.txn_token()")[0][0]
    second = sql.connect()
    second.autocommit = True
    other = second.cursor()
    error_of(other, f"SELECT orbit.txn_join('{token}'), 1 / (random() * 0)::int")
    expect(ask(other, "SELECT 2"), [(2,)])
    ask(other, "SELECT redis.call('SET', 'joins:k', 'alone')")
    first.rollback()
    expect(redis(sql, "get", "joins:k"), ["alone"])
    first.close()
    second.close()


CASES = [
    a_failed_statement_is_not_committed_by_another_session,
    a_join_that_fails_joins_nothing,
    redis_sessions_run_sql,
    sql_of_redis_is_in_its_transaction,
    a_token_joins_psql_and_redis_cli_in_one_commit,
    a_session_that_leaves_does_not_end_a_shared_transaction,
    what_cannot_be_shared_is_refused,
    sessions_of_sql_join_each_other,
    rows_and_keys_are_committed_together,
    a_rollback_takes_keys_back,
    commands_of_one_statement_see_each_other,
    errors_of_redis_are_errors_of_the_statement,
    events_are_published_with_the_commit,
]
