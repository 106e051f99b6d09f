#!/usr/bin/python3
"""perf/txn.sh --quick: every engine that was built in does every workload, no increment is lost,
and the table has its rows."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ["ORBIT_BUILD"]
BENCH = os.path.join(BUILD, "orbit-txn-bench")
SECONDS_MAX = 240
OWN = ["orbit", "orbit-inline", "orbit-session", "nothing"]
ROWS = ["two shards against one, awake", "two shards against one, idle",
        "CPU of a read beside a held snapshot"]


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def the_table_is_made(folder):
    lines = os.path.join(folder, "lines.json")
    run = subprocess.run([os.path.join(ROOT, "perf", "txn.sh"), "--quick", "--dir", folder,
                          "--json", lines], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=SECONDS_MAX)
    output = run.stdout.decode(errors="replace")
    expect(run.returncode == 0, output)
    with open(lines, encoding="utf-8") as file:
        found = json.load(file)
    titles = [line["row"] for line in found["rows"]]
    for title in ROWS:
        expect(title in titles, "no row %r in %s" % (title, titles))
    engines = {figure["engine"] for figure in found["figures"]}
    expect(engines.issuperset(OWN), "only %s" % engines)
    for figure in found["figures"]:
        expect(figure["transactions"] > 0 and figure["cpu_us"] > 0, "nothing was done: %r" % figure)
        expect(figure["p50_us"] <= figure["p99_us"] <= figure["max_us"],
               "out of order: %r" % figure)
    expect(os.listdir(folder) == ["lines.json"], "left behind: %s" % os.listdir(folder))


def wrong_usage_has_status_64(folder):
    for flags in ([], ["--engine", "none", "--workload", "rmw"], ["--engine", "nothing"],
                  ["--engine", "nothing", "--workload", "none"],
                  ["--engine", "nothing", "--workload", "rmw", "--clients", "0"],
                  ["--engine", "nothing", "--workload", "rmw", "--sync", "perhaps"],
                  ["--engine", "nothing", "--workload"], ["--nonsense", "1"]):
        run = subprocess.run([BENCH, *flags], cwd=folder, capture_output=True, timeout=60)
        expect(run.returncode == 64 and b"orbit-txn-bench:" in run.stderr,
               "%s: %d %r" % (flags, run.returncode, run.stderr))


CASES = [the_table_is_made, wrong_usage_has_status_64]


def main():
    passed, failed = 0, 0
    for case in CASES:
        folder = tempfile.mkdtemp(prefix="orbit-txn-", dir=BUILD)
        try:
            case(folder)
            print("ok " + case.__name__, flush=True)
            passed += 1
        except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as problem:
            print("FAILED %s: %s" % (case.__name__, problem), flush=True)
            failed += 1
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
