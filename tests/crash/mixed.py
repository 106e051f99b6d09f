#!/usr/bin/python3
"""Transactions over SQL and Redis data while the server is killed.

usage: mixed.py [--kills N] [--seed N] [--canary] [--shards N,...]

Each writer numbers its transactions, one after the other, and each of them changes rows, a hash, a
sorted set and a stream: it adds its number in all four and removes an old one. Some writers are
sessions of SQL that call Redis, some are sessions of Redis that run SQL, some are one of each,
joined by a token, of which either commits. Two more writers make and drop tables: whole tables in
one transaction, and one table in steps that are transactions each.

The server is killed at a random instant and started again, now and then killed once more while it
recovers. Then the four places of every writer must hold exactly the numbers up to one transaction,
the last that was acknowledged or the one behind it; tables are whole or absent, indexes agree with
their rows, and the catalog holds nothing else. --canary takes something away from what was read, in
each place, and each loss must be noticed.
"""

import argparse
import copy
import os
import random
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import server  # noqa: E402  (the path is set above)

try:
    import psycopg2
except ImportError:
    psycopg2 = None

LOAD_S_MAX = 0.6
RECOVERY_KILL_S_MAX = 0.1
JOIN_S = 30
LISTEN_S_MAX = 5
KEPT = 20  # Numbers of a writer that stay in each place.
TRIES_MAX = 50  # Of one transaction, against conflicts.
TABLE_ROWS = 20
TABLES_KEPT = 2
ROLLED_BACK = 1_000_000  # What is added to the number of a transaction that is taken back.
RETRIED_STATES = ("40001", "40P01")
RETRIED_CODES = ("TXNABORTED", "TXNCONFLICT", "CONFLICT", "DEADLOCK")

SETUP = (
    "CREATE TABLE mixed (writer int, n int, note text, PRIMARY KEY (writer, n))",
    "CREATE INDEX mixed_n ON mixed (n)",
    "CREATE TABLE latest (writer int PRIMARY KEY, n int NOT NULL)",
)
FIXED_RELATIONS = {"mixed", "mixed_pkey", "mixed_n", "latest", "latest_pkey"}
STEPS = (  # Of the table `steps`; the number of a step counts on, round after round.
    "DROP TABLE steps",
    "CREATE TABLE steps (id int PRIMARY KEY, a int)",
    "INSERT INTO steps SELECT g, g %% 7 FROM generate_series(1, %d) g" % TABLE_ROWS,
    "CREATE INDEX steps_a ON steps (a)",
    "ALTER TABLE steps ADD COLUMN b int DEFAULT 7",
    "DROP INDEX steps_a",
)


class Retry(Exception):
    """The transaction met another one and was rolled back; it may be done again."""


def sql_statements(writer, n):
    return [
        ("INSERT INTO mixed VALUES (%d, %d, 'note %d')" % (writer, n, n)),
        ("UPDATE latest SET n = %d WHERE writer = %d" % (n, writer)),
        ("DELETE FROM mixed WHERE writer = %d AND n = %d" % (writer, n - KEPT)),
    ]


def redis_commands(writer, n):
    hash_key, zset_key, stream_key = ("%s%d" % (name, writer) for name in ("h", "z", "s"))
    commands = [("HSET", hash_key, str(n), "v%d" % n), ("ZADD", zset_key, str(n), "m%d" % n),
                ("XADD", stream_key, "%d-1" % n, "n", str(n))]
    if n > KEPT:
        old = n - KEPT
        commands += [("HDEL", hash_key, str(old)), ("ZREM", zset_key, "m%d" % old),
                     ("XDEL", stream_key, "%d-1" % old)]
    return commands


class SqlSession:
    """A session of SQL; its errors are Retry, ConnectionLost or AssertionError."""

    def __init__(self, port):
        try:
            self.connection = psycopg2.connect(host=server.HOST, port=port, user="orbit",
                                               dbname="orbit", connect_timeout=20)
        except psycopg2.OperationalError as error:
            raise server.ConnectionLost(str(error)) from error
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()

    def ask(self, text, parameters=None):
        """The rows of a statement."""
        try:
            self.cursor.execute(text, parameters)
            return self.cursor.fetchall() if self.cursor.description else []
        except psycopg2.InterfaceError as error:
            raise server.ConnectionLost(str(error)) from error
        except psycopg2.Error as error:
            if error.pgcode is None or error.pgcode.startswith("57P"):
                raise server.ConnectionLost(str(error)) from error
            if error.pgcode in RETRIED_STATES:
                raise Retry(str(error)) from error
            raise AssertionError("%s: %s: %s" % (text, error.pgcode, error)) from error

    def column(self, text, parameters=None):
        return [row[0] for row in self.ask(text, parameters)]

    def close(self):
        try:
            self.connection.close()
        except psycopg2.Error:
            pass  # It went with the server.


class RedisSession:
    def __init__(self, port):
        self.connection = server.Connection(port)

    def ask(self, *words):
        try:
            return self.connection.call(*words)
        except server.ReplyError as error:
            text = str(error)
            if (text.split()[0] in RETRIED_CODES or
                    any(state in text.split()[:2] for state in RETRIED_STATES)):
                raise Retry(text) from error
            raise AssertionError("%s: %s" % (words, text)) from error

    def close(self):
        self.connection.close()


class SqlWriter:
    """All through one session of SQL."""

    def __init__(self, instance, writer):
        self.writer = writer
        self.sql = SqlSession(instance.sql_port)

    def write(self, n, rng):
        self.sql.ask("BEGIN")
        work = [(text, None) for text in sql_statements(self.writer, n)]
        work += [("SELECT redis.call(%s)" % ", ".join(["%s"] * len(words)), words)
                 for words in redis_commands(self.writer, n)]
        rng.shuffle(work)
        for text, parameters in work:
            self.sql.ask(text, parameters)

    def end(self, word, _rng):
        self.sql.ask(word)

    def undo(self):
        self.sql.ask("ROLLBACK")

    def close(self):
        self.sql.close()


class RedisWriter:
    """All through one session of Redis."""

    def __init__(self, instance, writer):
        self.writer = writer
        self.redis = RedisSession(instance.port)

    def write(self, n, rng):
        self.redis.ask("ORBIT.BEGIN")
        work = [("ORBIT.SQL", text) for text in sql_statements(self.writer, n)]
        work += redis_commands(self.writer, n)
        rng.shuffle(work)
        for words in work:
            self.redis.ask(*words)

    def end(self, word, _rng):
        self.redis.ask("ORBIT." + word)

    def undo(self):
        try:
            self.redis.ask("ORBIT.ROLLBACK")
        except (Retry, AssertionError):
            pass  # The conflict has ended it.

    def close(self):
        self.redis.close()


class JoinedWriter:
    """Rows through SQL and keys through Redis, in one transaction that either of them ends."""

    def __init__(self, instance, writer):
        self.writer = writer
        self.sql = SqlSession(instance.sql_port)
        self.redis = RedisSession(instance.port)

    def write(self, n, rng):
        self.sql.ask("BEGIN")
        self.redis.ask("ORBIT.TXN", "JOIN", self.sql.column("SELECT orbit.txn_token()")[0])
        work = [(self.sql.ask, (text,)) for text in sql_statements(self.writer, n)]
        work += [(self.redis.ask, words) for words in redis_commands(self.writer, n)]
        rng.shuffle(work)
        for ask, words in work:
            ask(*words)

    def end(self, word, rng):
        """The session that did not end it is told so by its next statement, and then is free."""
        if rng.random() < 0.5:
            self.sql.ask(word)
            self.leave_redis()
        else:
            self.redis.ask("ORBIT." + word)
            self.sql.ask("ROLLBACK")

    def leave_redis(self):
        try:
            self.redis.ask("ORBIT.ROLLBACK")
        except (Retry, AssertionError):
            pass

    def undo(self):
        self.leave_redis()
        self.sql.ask("ROLLBACK")

    def close(self):
        self.sql.close()
        self.redis.close()


class TableWriter:
    """Transaction n makes the table made_n and drops an older one."""

    def __init__(self, instance, _writer):
        self.sql = SqlSession(instance.sql_port)

    def write(self, n, _rng):
        for text in (
                "BEGIN",
                "CREATE TABLE made_%d (id int PRIMARY KEY, v text)" % n,
                "INSERT INTO made_%d SELECT g, 'v' || g FROM generate_series(1, %d) g"
                % (n, TABLE_ROWS),
                "ALTER TABLE made_%d ADD COLUMN w int DEFAULT %d" % (n, n),
                "CREATE INDEX made_%d_w ON made_%d (w)" % (n, n),
                "DROP TABLE IF EXISTS made_%d" % max(0, n - TABLES_KEPT),
                "SELECT redis.call('SET', 'made', '%d')" % n):
            self.sql.ask(text)

    def end(self, word, _rng):
        self.sql.ask(word)

    def undo(self):
        self.sql.ask("ROLLBACK")

    def close(self):
        self.sql.close()


class StepWriter:
    """Step n of the table `steps`, a transaction of its own."""

    def __init__(self, instance, _writer):
        self.sql = SqlSession(instance.sql_port)
        self.text = None

    def write(self, n, _rng):
        self.text = STEPS[n % len(STEPS)]

    def end(self, word, _rng):
        if word == "COMMIT":
            self.sql.ask(self.text)

    def undo(self):
        pass

    def close(self):
        self.sql.close()


WRITERS = (SqlWriter, RedisWriter, JoinedWriter, SqlWriter, RedisWriter, JoinedWriter)
TABLES = len(WRITERS)  # The numbers of the two writers of definitions.
STEPPED = len(WRITERS) + 1
KINDS = WRITERS + (TableWriter, StepWriter)


def work(instance, number, done, errors, seed):
    """Transactions until the server dies; done[number] is the last one acknowledged."""
    rng = random.Random(seed)
    writer = None
    try:
        writer = KINDS[number](instance, number)
        tries = 0
        while tries < TRIES_MAX:
            tries += 1
            try:
                if rng.random() < 0.1:
                    writer.write(done[number] + ROLLED_BACK, rng)
                    writer.end("ROLLBACK", rng)
                writer.write(done[number] + 1, rng)
                writer.end("COMMIT", rng)
            except Retry:
                writer.undo()
                continue
            done[number] += 1
            tries = 0
        errors.append("writer %d: %d conflicts in a row" % (number, tries))
    except server.ConnectionLost:
        pass
    except AssertionError as error:
        errors.append("writer %d: %s" % (number, error))
    finally:
        if writer is not None:
            writer.close()


def definitions_read(sql):
    relations = set(sql.column(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"))
    made = {}
    for name in relations:
        if name.startswith("made_") and name.count("_") == 1:
            n = int(name[len("made_"):])
            made[n] = (sql.column("SELECT v || ':' || w FROM %s ORDER BY id" % name),
                       sql.column("SELECT count(*) FROM %s WHERE w = %d" % (name, n))[0])
    steps = None
    if "steps" in relations:
        columns = sql.column("SELECT attname FROM pg_attribute WHERE attrelid = 'steps'::regclass "
                             "AND attnum > 0 AND NOT attisdropped ORDER BY attnum")
        steps = (sql.column("SELECT a FROM steps ORDER BY id"),
                 sum(sql.column("SELECT count(*) FROM steps WHERE a = %d" % a)[0]
                     for a in range(7)),
                 columns, "steps_a" in relations,
                 sql.column("SELECT DISTINCT b FROM steps") if "b" in columns else None)
    return relations, made, steps


def world_read(instance):
    """All that is there: {writer: {place: numbers}}, and what the definitions left."""
    sql = SqlSession(instance.sql_port)
    redis = RedisSession(instance.port)
    by_index = {}
    for n in sql.column("SELECT DISTINCT n FROM mixed"):
        for writer in sql.column("SELECT writer FROM mixed WHERE n = %d" % n):
            by_index.setdefault(writer, set()).add(n)
    places = {}
    for writer in range(len(WRITERS)):
        places[writer] = {
            "latest": set(sql.column("SELECT n FROM latest WHERE writer = %d" % writer)),
            "rows": {n for n, note in sql.ask("SELECT n, note FROM mixed WHERE writer = %d"
                                              % writer) if note == "note %d" % n},
            "index": by_index.get(writer, set()),
            "hash": set(map(int, redis.ask("HKEYS", "h%d" % writer))),
            "sorted set": {int(word[1:]) for word in redis.ask("ZRANGE", "z%d" % writer, 0, -1)},
            "stream": {int(fields[1]) for _, fields in redis.ask("XRANGE", "s%d" % writer, "-",
                                                                 "+")},
        }
    relations, made, steps = definitions_read(sql)
    world = {"places": places, "relations": relations, "made": made, "steps": steps,
             "made key": int(redis.ask("GET", "made") or 0)}
    sql.close()
    redis.close()
    return world


def writer_faults(writer, places, acknowledged):
    """(faults, the transaction up to which all is there)"""
    if len(places["latest"]) != 1:
        return ["writer %d: its row in latest is %s" % (writer, places["latest"])], 0
    n = min(places["latest"])
    faults = []
    if not acknowledged <= n <= acknowledged + 1:
        faults.append("writer %d: %d was acknowledged, and the rows are at %d"
                      % (writer, acknowledged, n))
    expected = set(range(max(1, n - KEPT + 1), n + 1))
    faults += ["writer %d at %d: in its %s %s miss and %s are too many"
               % (writer, n, place, sorted(expected - found), sorted(found - expected))
               for place, found in places.items() if place != "latest" and found != expected]
    return faults, n


def table_faults(world, acknowledged):
    n = world["made key"]
    faults = []
    if not acknowledged <= n <= acknowledged + 1:
        faults.append("tables: %d was acknowledged, and the key is at %d" % (acknowledged, n))
    expected = set(range(max(1, n - TABLES_KEPT + 1), n + 1))
    if set(world["made"]) != expected:
        faults.append("tables at %d: there are %s" % (n, sorted(world["made"])))
    for number, (rows, count_by_index) in world["made"].items():
        if (rows != ["v%d:%d" % (g, number) for g in range(1, TABLE_ROWS + 1)]
                or count_by_index != TABLE_ROWS):
            faults.append("table made_%d: %s, by its index %d rows"
                          % (number, rows, count_by_index))
    return faults, n


def steps_expected(n):
    """What definitions_read tells of the table `steps` behind step n."""
    at = n % len(STEPS)
    if at == 0:
        return None
    rows = [g % 7 for g in range(1, TABLE_ROWS + 1)] if at >= 2 else []
    return (rows, len(rows), ["id", "a"] + (["b"] if at >= 4 else []), at in (3, 4),
            [7] if at >= 4 else None)


def step_faults(world, acknowledged):
    for n in (acknowledged, acknowledged + 1):
        if world["steps"] == steps_expected(n):
            return [], n
    return ["the table steps behind step %d: %s" % (acknowledged, world["steps"])], 0


def relation_faults(world):
    expected = set(FIXED_RELATIONS)
    for n in world["made"]:
        expected |= {"made_%d" % n, "made_%d_pkey" % n, "made_%d_w" % n}
    if world["steps"] is not None:
        expected |= {"steps", "steps_pkey"} | ({"steps_a"} if world["steps"][3] else set())
    if world["relations"] == expected:
        return []
    return ["relations: %s differ" % sorted(world["relations"] ^ expected)]


def check(world, done):
    """(faults, the last transaction of each writer that is there)"""
    faults = relation_faults(world)
    found = []
    for writer in range(len(WRITERS)):
        more, n = writer_faults(writer, world["places"][writer], done[writer])
        faults += more
        found.append(n)
    for function, number in ((table_faults, TABLES), (step_faults, STEPPED)):
        more, n = function(world, done[number])
        faults += more
        found.append(n)
    return faults, found


def wait_for_sql(instance):
    """The server listens for Redis first, so that PING may be answered a moment before SQL is."""
    deadline = time.monotonic() + LISTEN_S_MAX
    while True:
        try:
            SqlSession(instance.sql_port).close()
            return
        except server.ConnectionLost:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def start_again(instance, rng):
    if rng.random() < 0.25:  # Once more while it recovers.
        with open(instance.log_path, "ab") as log, subprocess.Popen(
                instance.arguments(), stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            time.sleep(rng.uniform(0, RECOVERY_KILL_S_MAX))
            process.kill()
    instance.start()


def kill_once(instance, rng, done):
    """done becomes what is there; returns faults and the world."""
    errors = []
    threads = [threading.Thread(target=work, args=(instance, i, done, errors, rng.random()),
                                daemon=True) for i in range(len(KINDS))]
    for thread in threads:
        thread.start()
    time.sleep(rng.uniform(0.1, LOAD_S_MAX))
    instance.kill()
    for thread in threads:
        thread.join(JOIN_S)
        if thread.is_alive():
            errors.append("a writer waits although the server is dead")
    start_again(instance, rng)
    try:
        wait_for_sql(instance)
        world = world_read(instance)
    except (server.ConnectionLost, Retry) as error:
        return errors + ["reading: %s\n%s" % (error, instance.log_tail())], None
    faults, done[:] = check(world, done)
    return errors + faults, world


def set_up(instance):
    wait_for_sql(instance)
    sql = SqlSession(instance.sql_port)
    for text in SETUP:
        sql.ask(text)
    for writer in range(len(WRITERS)):
        sql.ask("INSERT INTO latest VALUES (%d, 0)" % writer)
    sql.close()


def canary(world, done):
    """The number of losses that went unnoticed, of what was read at the end of a good run."""
    bad = []
    for place in ("rows", "index", "hash", "sorted set", "stream"):
        bad.append(copy.deepcopy(world))
        bad[-1]["places"][1][place].discard(done[1])
    bad.append(copy.deepcopy(world))
    for found in bad[-1]["places"][2].values():
        found.discard(done[2])
    bad.append(copy.deepcopy(world))
    bad[-1]["places"][0]["stream"].add(done[0] + ROLLED_BACK)
    for name in ("made_%d" % done[TABLES], "mixed_n"):
        bad.append(copy.deepcopy(world))
        bad[-1]["relations"].discard(name)
    bad.append(copy.deepcopy(world))
    bad[-1]["made"][done[TABLES]][0].pop()
    late = list(done)
    late[STEPPED] += 2
    unnoticed = sum(not check(one, done)[0] for one in bad)
    return unnoticed + (not check(world, late)[0])


def run(shards, kills, seed, has_canary):
    """(faults, what each writer committed)"""
    rng = random.Random(seed)
    done = [0] * len(KINDS)
    sql_port = server.free_port()
    with server.Server(shards=shards, extra=["--postgres-port", str(sql_port)]) as instance:
        instance.sql_port = sql_port
        set_up(instance)
        for kill in range(kills):
            faults, world = kill_once(instance, rng, done)
            if faults:
                return ["kill %d: %s" % (kill, fault) for fault in faults], done
    faults = ["writer %d committed nothing" % i for i, n in enumerate(done) if n == 0]
    if not faults and has_canary and canary(world, done) != 0:
        faults = ["%d canaries went unnoticed" % canary(world, done)]
    return faults, done


def main():
    parser = argparse.ArgumentParser(description="Transactions over SQL and Redis under SIGKILL.")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", default="1,2")
    parser.add_argument("--canary", action="store_true")
    options = parser.parse_args()
    server.end_on_sigterm()
    if psycopg2 is None:
        print("skipped: mixed: psycopg2 is missing\n0 passed, 0 failed, 1 skipped")
        return 0
    all_shards = [int(word) for word in options.shards.split(",")]
    passed = failed = 0
    for number, shards in enumerate(all_shards):
        kills = max(1, options.kills // len(all_shards))
        faults, done = run(shards, kills, options.seed * 1000 + number, options.canary)
        print("%d shards, %d kills: %d transactions, %d of tables, %d steps of a table; %s"
              % (shards, kills, sum(done[:TABLES]), done[TABLES], done[STEPPED],
                 "\n".join(faults[:8]) or "each whole, none lost"), flush=True)
        passed, failed = (passed, failed + 1) if faults else (passed + 1, failed)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
