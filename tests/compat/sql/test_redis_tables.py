"""The schema redis: keys of Redis as tables."""

from test_redis import error_of, expect, redis


def ask(cursor, text, *parameters):
    cursor.execute(text, parameters or None)
    return cursor.fetchall()


def begin(sql):
    connection = sql.connect()
    connection.autocommit = True
    return connection.cursor()


def keys_are_rows(sql):
    cursor = begin(sql)
    redis(sql, "set", "t:s", "v\u00e9", "pxat", "4102444800000")
    redis(sql, "hset", "t:h", "a", "1", "b", "2")
    redis(sql, "rpush", "t:l", "x", "y", "z")
    redis(sql, "sadd", "t:set", "m")
    redis(sql, "zadd", "t:z", "1.5", "one", "-inf", "two")
    redis(sql, "xadd", "t:x", "1-1", "f", "v", "g", "w")
    expect(ask(cursor, "SELECT key, type FROM redis.keys WHERE key LIKE 't:%' ORDER BY key"),
           [("t:h", "hash"), ("t:l", "list"), ("t:s", "string"), ("t:set", "set"),
            ("t:x", "stream"), ("t:z", "zset")])
    expect(ask(cursor, "SELECT value, expires_at::text FROM redis.strings WHERE key = 't:s'"),
           [("v\u00e9", "2100-01-01 00:00:00+00")])
    expect(ask(cursor, "SELECT field, value FROM redis.hashes WHERE key = 't:h' ORDER BY 1"),
           [("a", "1"), ("b", "2")])
    expect(ask(cursor, "SELECT value FROM redis.hashes WHERE key = %s AND field = %s", "t:h", "b"),
           [("2",)])
    expect(ask(cursor, "SELECT index, value FROM redis.lists WHERE key = 't:l'"),
           [(0, "x"), (1, "y"), (2, "z")])
    expect(ask(cursor, "SELECT value FROM redis.lists WHERE key = 't:l' AND index = -1"), [])
    expect(ask(cursor, "SELECT value FROM redis.lists WHERE key = 't:l' AND index = 1"), [("y",)])
    expect(ask(cursor, "SELECT * FROM redis.sets WHERE key LIKE 't:_et'"), [("t:set", "m")])
    expect(ask(cursor, "SELECT member, score FROM redis.zsets WHERE key = 't:z' ORDER BY score"),
           [("two", float("-inf")), ("one", 1.5)])
    expect(ask(cursor, "SELECT id, fields->>'g' FROM redis.streams WHERE key = 't:x'"),
           [("1-1", "w")])
    expect(ask(cursor, "SELECT * FROM redis.hashes WHERE key IN ('t:s', 't:none')"), [])
    expect(ask(cursor, "SELECT * FROM redis.hashes WHERE key = 't:s'"), [])


def rows_are_written_as_keys(sql):
    cursor = begin(sql)
    cursor.execute("INSERT INTO redis.strings (key, value) VALUES ('w:s', 'one')")
    expect(error_of(cursor, "INSERT INTO redis.strings (key, value) VALUES ('w:s', 'two')"),
           ("23505", 'duplicate key value violates unique constraint "strings_pkey"'))
    cursor.execute("INSERT INTO redis.strings (key, value) VALUES ('w:s', 'two')"
                   " ON CONFLICT (key) DO UPDATE SET value = strings.value || excluded.value")
    expect(redis(sql, "get", "w:s"), ["onetwo"])
    cursor.execute("INSERT INTO redis.hashes VALUES ('w:h', 'a', '1'), ('w:h', 'b', '2')")
    expect(ask(cursor, "UPDATE redis.hashes SET value = (value::int + 10)::text"
                       " WHERE key = 'w:h' RETURNING field, value"), [("a", "11"), ("b", "12")])
    cursor.execute("DELETE FROM redis.hashes WHERE key = 'w:h' AND field = 'a'")
    expect(redis(sql, "hgetall", "w:h"), ["b", "12"])
    expect(ask(cursor, "INSERT INTO redis.lists (key, value) SELECT 'w:l', g::text"
                       " FROM generate_series(1, 5) g RETURNING index"),
           [(0,), (1,), (2,), (3,), (4,)])
    cursor.execute("DELETE FROM redis.lists WHERE key = 'w:l' AND value::int % 2 = 0")
    cursor.execute("UPDATE redis.lists SET value = 'last' WHERE key = 'w:l' AND index = 2")
    expect(redis(sql, "lrange", "w:l", "0", "-1"), ["1", "3", "last"])
    cursor.execute("INSERT INTO redis.sets VALUES ('w:set', 'm') ON CONFLICT DO NOTHING")
    cursor.execute("INSERT INTO redis.sets VALUES ('w:set', 'm') ON CONFLICT DO NOTHING")
    expect(redis(sql, "smembers", "w:set"), ["m"])
    cursor.execute("INSERT INTO redis.zsets VALUES ('w:z', 'm', 1)"
                   " ON CONFLICT (key, member) DO UPDATE SET score = excluded.score")
    cursor.execute("UPDATE redis.zsets SET score = score + 0.5 WHERE key = 'w:z'")
    expect(redis(sql, "zscore", "w:z", "m"), ["1.5"])
    identity = ask(cursor, "INSERT INTO redis.streams (key, fields)"
                           " VALUES ('w:x', '{\"f\": \"v\", \"n\": 7}') RETURNING id")[0][0]
    expect(redis(sql, "xrange", "w:x", "-", "+"), [identity, "f", "v", "n", "7"])
    cursor.execute("UPDATE redis.keys SET expires_at = '2100-01-01Z' WHERE key = 'w:s'")
    expect(redis(sql, "pexpiretime", "w:s"), ["4102444800000"])
    cursor.execute("UPDATE redis.strings SET expires_at = NULL WHERE key = 'w:s'")
    expect(redis(sql, "pexpiretime", "w:s"), ["-1"])
    cursor.execute("DELETE FROM redis.keys WHERE key LIKE 'w:%'")
    expect(cursor.rowcount, 6)
    expect(ask(cursor, "SELECT * FROM redis.keys WHERE key LIKE 'w:%'"), [])


def rows_are_of_the_transaction(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    cursor.execute("INSERT INTO redis.hashes VALUES ('of:h', 'f', 'mine')")
    expect(ask(cursor, "SELECT value FROM redis.hashes WHERE key LIKE 'of:%'"), [("mine",)])
    expect(redis(sql, "exists", "of:h"), ["0"])
    connection.rollback()
    expect(redis(sql, "exists", "of:h"), ["0"])
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    expect(ask(cursor, "SELECT count(*) FROM redis.sets WHERE key = 'of:s'"), [(0,)])
    redis(sql, "sadd", "of:s", "later")
    expect(ask(cursor, "SELECT count(*) FROM redis.sets WHERE key = 'of:s'"), [(0,)])
    connection.rollback()
    expect(ask(cursor, "SELECT count(*) FROM redis.sets WHERE key = 'of:s'"), [(1,)])
    connection.close()


def rows_come_in_pages(sql):
    cursor = begin(sql)
    cursor.execute("INSERT INTO redis.strings SELECT 'page:' || g, g::text"
                   " FROM generate_series(1, 2500) g")
    for table in ("sets (key, member)", "lists (key, value)", "hashes (key, field, value)",
                  "zsets (key, member, score)"):
        more = {"hashes": ", 'v'", "zsets": ", g"}.get(table.split()[0], "")
        cursor.execute(f"INSERT INTO redis.{table} SELECT 'pages:{table[:4]}', 'e' || g{more}"
                       " FROM generate_series(1, 2500) g")
    cursor.execute("INSERT INTO redis.streams SELECT 'pages:x', g || '-0', '{\"a\": 1}'::jsonb"
                   " FROM generate_series(1, 2500) g")
    expect(ask(cursor, "SELECT count(*), sum(value::int) FROM redis.strings"
                       " WHERE key LIKE 'page:%'"), [(2500, 3126250)])
    for table, column in (("sets", "member"), ("lists", "value"), ("hashes", "field"),
                          ("zsets", "member"), ("streams", "id")):
        expect(ask(cursor, f"SELECT count(*), count(DISTINCT {column}) FROM redis.{table}"
                           " WHERE key LIKE 'pages:%'"), [(2500, 2500)])
    cursor.execute("DELETE FROM redis.keys WHERE key LIKE 'page%'")


def another_database_is_a_parameter(sql):
    cursor = begin(sql)
    redis(sql, "-n", "3", "set", "db:k", "three")
    expect(ask(cursor, "SELECT * FROM redis.keys WHERE key = 'db:k'"), [])
    cursor.execute("SET orbit.redis_db = 3")
    expect(ask(cursor, "SELECT value FROM redis.strings WHERE key = 'db:k'"), [("three",)])
    expect(ask(cursor, "SELECT redis.call('GET', 'db:k')"), [("three",)])
    cursor.execute("SET orbit.redis_db = 200")
    expect(error_of(cursor, "SELECT * FROM redis.keys"),
           ("22023", "there is no database 200 of Redis: it has 16"))


def what_has_no_meaning_is_refused(sql):
    cursor = begin(sql)
    redis(sql, "hset", "no:h", "f", "v")
    redis(sql, "set", "no:bytes", "\udcff")
    for text, state in (
            ("INSERT INTO redis.keys (key, type) VALUES ('no:k', 'string')", "0A000"),
            ("INSERT INTO redis.lists VALUES ('no:l', 3, 'v')", "0A000"),
            ("UPDATE redis.hashes SET key = 'no:other' WHERE key = 'no:h'", "0A000"),
            ("INSERT INTO redis.sets VALUES ('no:h', 'm')", "42809"),
            ("INSERT INTO redis.hashes VALUES ('no:h', 'f')", "23502"),
            ("INSERT INTO redis.streams VALUES ('no:x', '*', '[]')", "22023"),
            ("SELECT value FROM redis.strings WHERE key = 'no:bytes'", "22021"),
            ("TRUNCATE redis.strings", "42P01"),
            ("CREATE SCHEMA redis", "42P06")):
        expect((text, error_of(cursor, text)[0]), (text, state))
    expect(ask(cursor, "SELECT key FROM redis.strings WHERE key = 'no:bytes'"), [("no:bytes",)])


def the_catalog_shows_them(sql):
    cursor = begin(sql)
    expect(ask(cursor, "SELECT table_name FROM information_schema.tables"
                       " WHERE table_schema = 'redis' ORDER BY 1"),
           [("hashes",), ("keys",), ("lists",), ("sets",), ("streams",), ("strings",), ("zsets",)])
    expect(ask(cursor, "SELECT attname, atttypid::regtype::text FROM pg_attribute"
                       " WHERE attrelid = 'redis.zsets'::regclass AND attnum > 0 ORDER BY attnum"),
           [("key", "text"), ("member", "text"), ("score", "double precision")])


def elements_that_are_there_are_told(sql):
    cursor = begin(sql)
    cursor.execute("INSERT INTO redis.hashes VALUES ('d:h', 'f', '1')")
    cursor.execute("INSERT INTO redis.sets VALUES ('d:set', 'm')")
    cursor.execute("INSERT INTO redis.zsets VALUES ('d:z', 'm', 1)")
    for table, row in (("hashes", "('d:h', 'f', '2')"), ("sets", "('d:set', 'm')"),
                       ("zsets", "('d:z', 'm', 2)")):
        insert = f"INSERT INTO redis.{table} VALUES {row}"
        expect(error_of(cursor, insert),
               ("23505", f'duplicate key value violates unique constraint "{table}_pkey"'))
        cursor.execute(insert + " ON CONFLICT DO NOTHING")
        expect(cursor.rowcount, 0)
    expect(redis(sql, "hget", "d:h", "f"), ["1"])
    expect(redis(sql, "zscore", "d:z", "m"), ["1"])
    cursor.execute("INSERT INTO redis.hashes VALUES ('d:h', 'f', '2')"
                   " ON CONFLICT (key, field) DO UPDATE SET value = hashes.value || excluded.value")
    cursor.execute("INSERT INTO redis.zsets VALUES ('d:z', 'm', 2)"
                   " ON CONFLICT (key, member) DO UPDATE SET score = zsets.score + excluded.score"
                   " WHERE zsets.score < 2")
    expect(redis(sql, "hget", "d:h", "f"), ["12"])
    expect(redis(sql, "zscore", "d:z", "m"), ["3"])


CASES = [
    keys_are_rows,
    rows_are_written_as_keys,
    elements_that_are_there_are_told,
    rows_are_of_the_transaction,
    rows_come_in_pages,
    another_database_is_a_parameter,
    what_has_no_meaning_is_refused,
    the_catalog_shows_them,
]
