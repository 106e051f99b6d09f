#!/usr/bin/python3
"""Clients against the server: redis-cli, redis-benchmark, hiredis; npm ioredis, redis, bullmq,
rate-limiter-flexible, connect-redis with express-session; Debian's python3-redis and python3-rq
(python_redis.py, python_rq.py); and what any client sees of several shards (sharding.py) and at
the limits (limits.py).

usage: run.py [cli|benchmark|hiredis|npm|python|shards|limits|cluster|exporter]...  (default: all)

Every case is counted. A client that cannot be had (not installed, npm's registry out of reach) is
reported as skipped with the reason. What is built or fetched lies in build/compat.
"""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
sys.path.insert(0, HERE)
import cluster  # noqa: E402  (the paths are set above)
import limits  # noqa: E402  (the paths are set above)
import python_redis  # noqa: E402
import python_rq  # noqa: E402
import server  # noqa: E402
import sharding  # noqa: E402

CACHE = os.path.join(server.ROOT, "build", "compat")
COMMAND_TIMEOUT_S = 120
NPM_TIMEOUT_S = 300
PIPE_COMMANDS = 20000
SCAN_KEYS = 1500
BENCHMARK_REQUESTS = 4800  # A multiple of each -c times -P: it rounds up otherwise.
BIG_BYTES = 20000
SHARD_COUNTS = [1, 2]  # The client programs keep commands on several keys to one hash tag.


def expect(found, expected, what="output"):
    if found != expected:
        raise AssertionError("%s: %.300r instead of %.300r" % (what, found, expected))


def expect_match(pattern, text, what="output"):
    match = re.search(pattern, text, re.S)
    if match is None:
        raise AssertionError("%s: %.500r does not match %r" % (what, text, pattern))
    return match


class Cli:
    """redis-cli against one server."""

    def __init__(self, instance):
        self.instance = instance

    def run(self, *args, stdin=b""):
        """(exit status, stdout, stderr)"""
        command = ["redis-cli", "-h", server.HOST, "-p", str(self.instance.port)] + list(args)
        result = subprocess.run(command, input=stdin, capture_output=True, check=False,
                                timeout=COMMAND_TIMEOUT_S)
        return result.returncode, result.stdout, result.stderr.decode("utf-8", "replace")

    def text(self, *args, stdin=b""):
        return self.run(*args, stdin=stdin)[1].decode("utf-8", "replace")

    def one_command(self):
        expect(self.text("SET", "word", "hello"), "OK\n")
        expect(self.text("GET", "word"), "hello\n")
        expect(self.text("GET", "nothing"), "\n")
        expect(self.text("STRLEN", "word"), "5\n")

    def formatted_output(self):
        expect(self.text("--no-raw", "STRLEN", "word"), "(integer) 5\n")
        expect(self.text("--no-raw", "GET", "nothing"), "(nil)\n")
        expect(self.text("--csv", "MGET", "word", "nothing"), '"hello",NULL\n')
        expect(self.text("--no-raw", "SET", "bytes", "a\nb"), "OK\n")
        expect(self.text("--no-raw", "GET", "bytes"), '"a\\nb"\n')

    def json_output_over_resp3(self):
        expect(json.loads(self.text("--json", "MGET", "word", "nothing")), ["hello", None])
        hello = json.loads(self.text("--json", "HELLO", "3"))
        expect(hello["proto"], 3, "proto")

    def resp3(self):
        expect_match(r"proto\D*3", self.text("-3", "HELLO"), "HELLO")
        expect(self.text("-3", "--no-raw", "GET", "nothing"), "(nil)\n")

    def errors_and_exit_status(self):
        status, output, _ = self.run("INCR", "word")
        expect_match("^ERR value is not an integer", output.decode())
        status, _, errors = self.run("-e", "INCR", "word")
        expect(status != 0, True, "exit status with -e")
        expect_match("ERR value is not an integer", errors)
        expect_match("^ERR unknown command", self.text("NO-SUCH-COMMAND"))
        expect_match("^ERR wrong number of arguments", self.text("GET"))

    def value_from_stdin(self):
        value = bytes(range(256)) * 50
        expect(self.text("-x", "SET", "raw", stdin=value), "OK\n")
        expect(self.run("--raw", "GET", "raw")[1], value + b"\n")

    def commands_from_stdin(self):
        lines = (b"SET lines 1\nINCR lines\n\nGET lines\n"
                 b"SET \"two words\" 'x y'\nGET \"two words\"\n")
        expect(self.text(stdin=lines).replace("\n\n", "\n"), "OK\n2\n2\nOK\nx y\n")

    def repetition_and_database(self):
        expect(self.text("-r", "5", "-i", "0.001", "INCR", "again"), "1\n2\n3\n4\n5\n")
        expect(self.text("-n", "3", "GET", "again"), "\n")
        expect(self.text("-n", "3", "SET", "again", "there"), "OK\n")
        expect(self.text("GET", "again"), "5\n")

    def dump_and_restore(self):
        dump = self.run("--raw", "DUMP", "word")[1][:-1]
        expect(self.text("-x", "RESTORE", "word:copy", "0", stdin=dump), "OK\n")
        expect(self.text("GET", "word:copy"), "hello\n")

    def pipe(self):
        data = b"".join(server.encode(["SET", "pipe:%d" % i, b"%d" % (i * i)])
                        for i in range(PIPE_COMMANDS))
        output = self.text("--pipe", stdin=data)
        expect_match("errors: 0, replies: %d" % PIPE_COMMANDS, output)
        with self.instance.connect() as connection:
            for i in range(0, PIPE_COMMANDS, 97):
                expect(connection.call("GET", "pipe:%d" % i), b"%d" % (i * i), "pipe:%d" % i)

    def pipe_counts_errors(self):
        data = b"".join(server.encode(["INCR", "word"]) for _ in range(7))
        data += server.encode(["SET", "pipe:last", "x"])
        expect_match("errors: 7, replies: 8", self.text("--pipe", stdin=data))

    def pipe_takes_inline_commands(self):
        data = b"".join(b"SET inline:%d %d\r\n" % (i, i) for i in range(1000))
        expect_match("errors: 0, replies: 1000", self.text("--pipe", stdin=data))
        expect(self.text("GET", "inline:999"), "999\n")

    def scan(self):
        with self.instance.connect() as connection:
            connection.pipeline([["SET", "scan:%d" % i, "x"] for i in range(SCAN_KEYS)])
        keys = self.text("--scan", "--pattern", "scan:*").split()
        expect(sorted(keys), sorted("scan:%d" % i for i in range(SCAN_KEYS)), "keys")

    def bigkeys(self):
        self.text("SET", "biggest", "x" * BIG_BYTES)
        output = self.text("--bigkeys")
        expect_match(r'Biggest string found \W*biggest\W* has %d bytes' % BIG_BYTES, output)
        keys = int(self.text("DBSIZE"))
        expect_match(r"Sampled %d keys in the keyspace" % keys, output)

    def memkeys(self):
        expect_match(r"Biggest string found \W*biggest\W* has \d+ bytes", self.text("--memkeys"))

    def latency(self):
        output = self.text("--latency", "--raw", "-i", "0.2")
        low, high, mean, count = (float(word) for word in output.split())
        expect(low <= mean <= high and count > 1, True, "latencies %r" % output)

    def stat(self):
        command = ["redis-cli", "-h", server.HOST, "-p", str(self.instance.port), "--stat",
                   "-i", "0.05"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
            lines = [child.stdout.readline().decode() for _ in range(5)]
            child.terminate()
        expect_match(r"^\d+ +\d", lines[3].strip(), "the fourth line")

    def command_docs(self):
        docs = json.loads(self.text("--json", "COMMAND", "DOCS", "set"))
        expect(docs["set"]["group"], "string", "group")
        expect(docs["set"]["since"], "1.0.0", "since")

    def info(self):
        expect_match(r"redis_version:7\.", self.text("INFO", "server"))
        expect_match(r"db0:keys=\d+,expires=\d+", self.text("INFO", "keyspace"))

    CASES = [one_command, formatted_output, json_output_over_resp3, resp3, errors_and_exit_status,
             value_from_stdin, commands_from_stdin, repetition_and_database, dump_and_restore, pipe,
             pipe_counts_errors, pipe_takes_inline_commands, scan, bigkeys, memkeys, latency, stat,
             command_docs, info]


def run_cli(tally):
    if shutil.which("redis-cli") is None:
        tally.skip("redis-cli", "not installed")
        return
    with server.Server() as instance:
        cli = Cli(instance)
        for case in Cli.CASES:
            tally.run("redis-cli: " + case.__name__.replace("_", " "), case, cli)


BENCHMARKS = [
    # (title, tests that must appear, options)
    ("unpipelined", ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR"],
     ["-t", "ping_inline,ping_mbulk,set,get,incr", "-c", "50"]),
    ("pipelined by 16", ["SET", "GET", "INCR"], ["-t", "set,get,incr", "-c", "50", "-P", "16"]),
    ("mset", ["MSET (10 keys)"], ["-t", "mset", "-c", "20", "-P", "4"]),
    ("random keys", ["SET", "GET"], ["-t", "set,get", "-r", "100000", "-P", "8"]),
    ("values of 10,000 bytes", ["SET", "GET"], ["-t", "set,get", "-d", "10000", "-c", "10"]),
    ("two client threads", ["SET", "GET"], ["-t", "set,get", "--threads", "2", "-P", "4"]),
    ("RESP3", ["SET", "GET"], ["-t", "set,get", "-3"]),
    ("without keep-alive", ["PING_MBULK"], ["-t", "ping_mbulk", "-k", "0", "-n", "1000"]),
]


def benchmark(instance, tests, options):
    command = ["redis-benchmark", "-h", server.HOST, "-p", str(instance.port), "--csv", "-e",
               "-n", str(BENCHMARK_REQUESTS)] + options
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                            timeout=COMMAND_TIMEOUT_S)
    output = result.stdout.decode()
    expect(result.returncode, 0, "exit status (%s)" % result.stderr.decode()[-300:])
    rates = {}
    for row in csv.reader(io.StringIO(output)):
        if len(row) > 1 and row[0] != "test":
            rates[row[0]] = float(row[1])
    for test in tests:
        expect(test in rates and rates[test] > 0, True, "rate of %s in %r" % (test, output))


def benchmark_counts(instance):
    """What it claims to have done must be in the store."""
    with instance.connect() as connection:
        connection.call("FLUSHALL")
        benchmark(instance, ["INCR"], ["-t", "incr", "-P", "16"])
        expect(connection.call("GET", "counter:__rand_int__"), b"%d" % BENCHMARK_REQUESTS, "sum")


def run_benchmark(tally):
    if shutil.which("redis-benchmark") is None:
        tally.skip("redis-benchmark", "not installed")
        return
    with server.Server() as instance:
        for title, tests, options in BENCHMARKS:
            tally.run("redis-benchmark: " + title, benchmark, instance, tests, options)
        tally.run("redis-benchmark: every increment arrives", benchmark_counts, instance)


def count_lines(tally, prefix, lines):
    """Takes over the "ok   NAME" and "FAIL NAME: WHY" lines of a client program."""
    count = 0
    for line in lines:
        if line.startswith("ok   "):
            tally.ok(prefix + line[5:])
        elif line.startswith("FAIL "):
            tally.fail(prefix + line[5:], "")
        else:
            continue
        count += 1
    return count


def build_hiredis():
    os.makedirs(CACHE, exist_ok=True)
    program = os.path.join(CACHE, "hiredis")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "hiredis"], capture_output=True,
                           check=True).stdout.decode().split()
    subprocess.run(["gcc", "-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-o", program,
                    os.path.join(HERE, "hiredis.c")] + flags, check=True)
    return program


def run_hiredis(tally):
    if subprocess.run(["pkg-config", "--exists", "hiredis"], check=False).returncode != 0:
        tally.skip("hiredis", "libhiredis-dev is not installed")
        return
    program = build_hiredis()
    for shards in SHARD_COUNTS:
        run_hiredis_over(tally, program, shards)


def run_hiredis_over(tally, program, shards):
    with server.Server(shards=shards) as instance:
        result = subprocess.run([program, server.HOST, str(instance.port)], capture_output=True,
                                stdin=subprocess.DEVNULL, check=False, timeout=COMMAND_TIMEOUT_S)
    lines = result.stdout.decode().splitlines()
    prefix = "hiredis, shards %d: " % shards
    if count_lines(tally, prefix, lines) == 0 or result.returncode not in (0, 1):
        tally.fail(prefix + "runs to its end", "status %d %s" % (result.returncode, result.stderr))


def install_npm(tally):
    """The folder with the packages, or None. Installed once for each package-lock.json."""
    source = os.path.join(HERE, "npm")
    with open(os.path.join(source, "package-lock.json"), "rb") as file:
        stamp = hashlib.sha256(file.read()).hexdigest()[:16]
    folder = os.path.join(CACHE, "npm-" + stamp)
    done = os.path.join(folder, "installed")
    if not os.path.exists(done):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(source, name), folder)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
        try:
            result = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                                    timeout=NPM_TIMEOUT_S)
            why = result.stdout.decode("utf-8", "replace").strip().splitlines()
            status = result.returncode
        except subprocess.TimeoutExpired:
            status, why = 1, ["no end after %d s" % NPM_TIMEOUT_S]
        if status != 0:
            shown = [line for line in why if "error" in line.lower()] or why or ["no message"]
            tally.skip("npm ioredis and redis", "npm ci failed: " + shown[0])
            return None
        with open(done, "w", encoding="ascii"):
            pass
    for name in ("harness.js", "ioredis.js", "redis.js", "scripts.js", "sessions.js", "cluster.js"):
        shutil.copy(os.path.join(source, name), folder)
    return folder


def run_script(tally, folder, name, shards, instance=None, port=0):
    """One npm client; it asks for restarts of the server on its standard output."""
    prefix = "npm %s, shards %d: " % (name, shards)
    with instance or server.Server(shards=shards) as instance:
        child = subprocess.Popen(["node", name + ".js", str(port or instance.port)], cwd=folder,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        guard = threading.Timer(NPM_TIMEOUT_S, child.kill)
        guard.start()
        count = 0
        try:
            for line in child.stdout:
                if line.startswith("RESTART"):
                    if line.split()[1] == "TERM":
                        instance.restart()
                    else:
                        instance.kill()
                        instance.start()
                    child.stdin.write("again\n")
                    child.stdin.flush()
                else:
                    count += count_lines(tally, prefix, [line.rstrip("\n")])
            status = child.wait()
        finally:
            guard.cancel()
            child.kill()
            child.wait()
    if count == 0 or status not in (0, 1):
        tally.fail(prefix + "runs to its end", "status %d" % status)


def run_npm(tally):
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            tally.skip("npm ioredis and redis", "%s is not installed" % program)
            return
    folder = install_npm(tally)
    if folder is not None:
        for shards in SHARD_COUNTS:
            for name in ("ioredis", "redis", "scripts", "sessions"):
                run_script(tally, folder, name, shards)


def run_python(tally):
    python_redis.run(tally)
    python_rq.run(tally)


GROUPS = {"cli": run_cli, "benchmark": run_benchmark, "hiredis": run_hiredis, "npm": run_npm,
          "python": run_python, "shards": sharding.run, "limits": limits.run,
          "cluster": lambda tally: cluster.run(tally, install_npm, run_script),
          "exporter": lambda tally: cluster.run_exporter(tally, CACHE)}


def main():
    server.end_on_sigterm()
    names = sys.argv[1:] or list(GROUPS)
    if any(name not in GROUPS for name in names):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    tally = server.Tally()
    for name in names:
        try:
            GROUPS[name](tally)
        except (server.ServerError, OSError, subprocess.SubprocessError) as error:
            tally.fail(name, error)
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
