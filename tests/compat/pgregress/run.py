#!/usr/bin/python3
"""PostgreSQL's own regression suite, scored statement by statement.

usage: pg_regress.sh [--long] [--keep FOLDER] [--floor PERCENT] [FILE...]

Without files: those of the core (CORE below). --long: all files of the suite, in its order. Each
run begins with a new server and test_setup, which makes the tables that most files read. A file
that takes longer than its time is ended and counts with what it printed; when the server ends, that
is reported, counts as a failure, and the next file begins with a new server.

Prints a line a file and at last `statements N/M, files N/M` (files: wholly equal). Statements that
print nothing in both outputs do not count. --keep leaves the outputs and what differs (NAME.diff).
--floor is the share of statements that must be right; with it the last line counts cases for the
check. The suite is PostgreSQL 15's, fetched by fetch-suites.sh.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
sys.path.insert(0, HERE)
import score  # noqa: E402  (the paths are set above)
import server  # noqa: E402

FETCH = os.path.join(HERE, "..", "fetch-suites.sh")
NOT_THERE = 75  # Exit status of fetch-suites.sh when the suite cannot be fetched.
FILE_TIMEOUT_S = 60
MEMORY = "1G"

# What the suite's own driver sets for its sessions.
SETTINGS = {
    "PGTZ": "America/Los_Angeles",
    "PGDATESTYLE": "Postgres, MDY",
    "PGOPTIONS": "-c intervalstyle=postgres_verbose",
}

CORE = """
boolean char varchar text int2 int4 int8 float4 float8 numeric uuid date time timestamp timestamptz
interval enum json jsonb arrays select select_distinct select_distinct_on select_implicit
select_having subselect join union case aggregates groupingsets window with limit insert
insert_conflict update delete returning create_table create_index constraints foreign_key identity
generated sequence create_view transactions portals prepare copy copy2 truncate namespace privileges
""".split()


def find_suite():
    found = subprocess.run([FETCH, "postgresql-15"], stdout=subprocess.PIPE, check=False)
    if found.returncode == NOT_THERE:
        return None
    if found.returncode != 0:
        sys.exit("pg_regress: fetch-suites.sh failed")
    folder = found.stdout.decode().splitlines()[-1]
    return os.path.join(folder, "src", "test", "regress")


def schedule(suite):
    """All files in the order of the suite's own schedule."""
    names = []
    for line in score.read_lines(os.path.join(suite, "parallel_schedule")):
        match = re.match(r"test:\s*(.*)", line)
        if match:
            names += match.group(1).split()
    return [name for name in names if name != "test_setup"]


class Target:
    """A server that is asked, and asked again after it was lost."""

    def __init__(self, suite, results):
        self.suite = suite
        self.results = results
        self.server = None
        self.lost = 0

    def start(self):
        with socket.socket() as probe:
            probe.bind((server.HOST, 0))
            self.port = probe.getsockname()[1]
        self.server = server.Server(shards=2, memory=MEMORY, durability="interval:100", extra=[
            "--postgres-port", str(self.port), "--copy-dir", self.suite])
        self.server.start()
        self.settings = SETTINGS if self.takes_settings() else {}
        self.run("test_setup")

    def takes_settings(self):
        probe = subprocess.run(
            ["psql", "-X", "-h", server.HOST, "-p", str(self.port), "-U", "orbit", "-d", "orbit",
             "-c", "select 1"], env=dict(os.environ, **SETTINGS), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False)
        if probe.returncode != 0:
            print(f"the suite's settings are refused: {probe.stdout.decode().strip()}", flush=True)
        return probe.returncode == 0

    def close(self):
        if self.server is not None:
            self.server.close()
            self.server = None

    def run(self, name):
        """Writes results/NAME.out; False: the server is gone."""
        environment = dict(
            os.environ, **self.settings, LC_MESSAGES="C", PG_ABS_SRCDIR=self.suite,
            PG_ABS_BUILDDIR=self.results, PG_LIBDIR=self.results, PG_DLSUFFIX=".so",
            PGAPPNAME=f"pg_regress/{name}", PGCONNECT_TIMEOUT="10")
        command = ["psql", "-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v",
                   "HIDE_TOAST_COMPRESSION=on", "-h", server.HOST, "-p", str(self.port),
                   "-U", "orbit", "-d", "orbit"]
        with open(os.path.join(self.suite, "sql", name + ".sql"), "rb") as script, \
                open(os.path.join(self.results, name + ".out"), "wb") as output:
            psql = subprocess.Popen(command, stdin=script, stdout=output, stderr=subprocess.STDOUT,
                                    env=environment, cwd=self.results)
            try:
                psql.wait(FILE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                print(f"{name}: ended after {FILE_TIMEOUT_S} s", flush=True)
                psql.kill()
                psql.wait()
        if self.server.process.poll() is None:
            return True
        print(f"{name}: the server ended\n{self.server.log_tail()}", flush=True)
        self.lost += 1
        self.close()
        return False


def write_differences(path, differences):
    with open(path, "w", encoding="utf8") as file:
        for line, wanted, given in differences:
            file.write(f"=== {line}\n")
            file.writelines(f"-{text}\n" for text in wanted)
            file.writelines(f"+{text}\n" for text in given)


def run_files(target, names):
    right = counted = whole = files = 0
    for name in names:
        began = time.monotonic()
        if target.server is None:
            target.start()
        target.run(name)
        result = score.score_file(target.suite, name, os.path.join(target.results, name + ".out"))
        if result is None:
            continue
        file_right, file_counted, differences = result
        write_differences(os.path.join(target.results, name + ".diff"), differences)
        right, counted, files = right + file_right, counted + file_counted, files + 1
        whole += file_right == file_counted
        print(f"{name:28} {file_right:5}/{file_counted:<5} "
              f"{100 * file_right / max(1, file_counted):5.1f} % {time.monotonic() - began:6.1f} s",
              flush=True)
    return right, counted, whole, files


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--keep")
    parser.add_argument("--floor", type=float)
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    suite = find_suite()
    if suite is None:
        print("skipped: PostgreSQL's regression suite: its source could not be fetched")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    everything = schedule(suite)
    names = arguments.files or (everything if arguments.long
                                else [name for name in everything if name in CORE])
    unknown = [name for name in names if name not in everything]
    if unknown:
        sys.exit(f"pg_regress: no such file in the suite: {' '.join(unknown)}")
    results = tempfile.mkdtemp(prefix="orbit-regress-")
    target = Target(suite, results)
    try:
        target.start()
        right, counted, whole, files = run_files(target, names)
    finally:
        target.close()
        if arguments.keep:
            shutil.copytree(results, arguments.keep, dirs_exist_ok=True)
        shutil.rmtree(results)
    share = 100 * right / max(1, counted)
    print(f"{share:.1f} %, server lost {target.lost} times")
    print(f"statements {right}/{counted}, files {whole}/{files}")
    is_good = target.lost == 0 and share >= (arguments.floor or 0)
    if arguments.floor is not None:
        print("%d passed, %d failed" % (right if is_good else 0, 0 if is_good else 1))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
