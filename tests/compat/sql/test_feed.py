"""The change feed lists rows of tables: ORBIT.FEED beside SQL."""

import struct

from test_redis import expect

LARGE_ROWS = 30000  # More than goes into one log record: their transaction comes in tables.
BLOCK_MS = 20000


def int_key(number):
    """The value of an int column as the last one in a key: docs/format/relational.md."""
    return b"\x01" + struct.pack(">Q", (number + 2**63) % 2**64)


def row_of(number, text):
    """A row of (int, text)."""
    data = text.encode()
    return b"\x02\x00" + struct.pack("<i", number) + bytes([len(data)]) + data


class Feed:
    """Follows the feed from now on."""

    def __init__(self, sql):
        self.redis = sql.server.connect()
        seconds, micros = self.redis.call("TIME")
        self.place = b"%d" % (int(seconds) * 1000000 + int(micros))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.redis.close()

    def next(self, prefix):
        """Writes with the prefix of the next transaction that has some."""
        reply = self.redis.call("ORBIT.FEED", self.place, "COUNT", "1", "BLOCK", str(BLOCK_MS),
                                "PREFIX", prefix)
        expect(len(reply), 1)
        self.place, _user, protocol, _tag, writes = reply[0]
        expect(protocol, b"postgres")
        return [tuple(write) for write in writes]

    def is_at_end(self, prefix):
        return self.redis.call("ORBIT.FEED", self.place, "PREFIX", prefix) == []


def begin(sql, table):
    """An empty table, a feed that is behind its creation, and the prefix of its rows' keys."""
    connection = sql.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)")
    feed = Feed(sql)
    cursor.execute(f"INSERT INTO {table} VALUES (7, 'x')")
    for _ in range(10):
        for write in feed.next(b"\x03"):
            if write[0] == b"put" and write[1].endswith(int_key(7)):
                expect(write[2], row_of(7, "x"))
                return connection, cursor, feed, write[1][:5]
    raise AssertionError("the row is not in the feed")


def statements_are_whole_transactions(sql):
    connection, cursor, feed, prefix = begin(sql, "feed_rows")
    with feed:
        cursor.execute("INSERT INTO feed_rows SELECT g, 'r' || g FROM generate_series(1, 3) g")
        expect(sorted(write[:3] for write in feed.next(prefix)),
               [(b"put", prefix + int_key(n), row_of(n, "r%d" % n)) for n in (1, 2, 3)])
        cursor.execute("UPDATE feed_rows SET v = 'new' WHERE id = 2")
        expect([write[:3] for write in feed.next(prefix)],
               [(b"put", prefix + int_key(2), row_of(2, "new"))])
        cursor.execute("DELETE FROM feed_rows WHERE id IN (1, 7)")
        expect(sorted(feed.next(prefix)),
               [(b"delete", prefix + int_key(1)), (b"delete", prefix + int_key(7))])
        expect(feed.is_at_end(prefix), True)
    connection.close()


def what_was_rolled_back_is_not_listed(sql):
    connection, cursor, feed, prefix = begin(sql, "feed_back")
    with feed:
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO feed_back VALUES (1, 'no')")
        cursor.execute("ROLLBACK")
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO feed_back VALUES (2, 'yes')")
        cursor.execute("SAVEPOINT s")
        cursor.execute("INSERT INTO feed_back VALUES (3, 'no')")
        cursor.execute("ROLLBACK TO s")
        cursor.execute("UPDATE feed_back SET v = 'too' WHERE id = 7")
        cursor.execute("COMMIT")
        expect(sorted(write[:3] for write in feed.next(prefix)),
               [(b"put", prefix + int_key(2), row_of(2, "yes")),
                (b"put", prefix + int_key(7), row_of(7, "too"))])
        expect(feed.is_at_end(prefix), True)
    connection.close()


def rows_that_came_in_tables_are_listed(sql):
    connection, cursor, feed, prefix = begin(sql, "feed_large")
    with feed:
        cursor.execute(f"INSERT INTO feed_large SELECT g, repeat('x', 400)"
                       f" FROM generate_series(1000, {999 + LARGE_ROWS}) g")
        keys = [write[1] for write in feed.next(prefix) if write[0] == b"put"]
        expect(len(keys), LARGE_ROWS)
        expect(set(keys), {prefix + int_key(n) for n in range(1000, 1000 + LARGE_ROWS)})
        cursor.execute("INSERT INTO feed_large VALUES (1, 'after')")
        expect([write[:3] for write in feed.next(prefix)],
               [(b"put", prefix + int_key(1), row_of(1, "after"))])
    connection.close()


CASES = [
    statements_are_whole_transactions,
    what_was_rolled_back_is_not_listed,
    rows_that_came_in_tables_are_listed,
]
