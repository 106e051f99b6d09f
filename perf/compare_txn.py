#!/usr/bin/python3
"""Orbit's transactions beside those of RocksDB (optimistic and pessimistic) and WiredTiger, on this
machine, in one run.

orbit-txn-bench does the measuring: one process for each engine and workload, in rounds, of which
the median counts. Each row of the table is a ratio with its target. The engine "nothing" does
nothing: what it reaches is the ceiling that the driver sets.

CPU us/transaction is the figure to trust on a machine that does other things too.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "lib"))
import server  # noqa: E402  (the path is set above)

KEYS = 100_000
QUICK_KEYS = 2_000
CLIENTS = 16
AWAKE_CLIENTS = 4  # Under way at a time: no shard sleeps.
IDLE_THINK_US = 5_000  # Long enough for both shards to sleep before each transaction.
STEP_SPARE_S = 300

ORBIT = ["orbit-inline", "orbit", "orbit-session"]
PEERS = ["rocksdb-optimistic", "rocksdb-pessimistic", "wiredtiger"]


class Bench:
    """Calls orbit-txn-bench and keeps what it says."""

    def __init__(self, options):
        self.options = options
        self.program = os.path.join(server.build_folder(), "orbit-txn-bench")
        self.figures = {}  # (step, engine) -> the figures of each round.
        self.failures = []
        self.engines = [name for name in ORBIT + PEERS + ["nothing"] if self.has(name)]

    def has(self, engine):
        """Was the program built with it?"""
        run = subprocess.run([self.program, "--engine", engine, "--workload", "?"],
                             capture_output=True, text=True, timeout=60)
        return "no engine" not in run.stderr

    def run(self, step, engine, workload, **flags):
        """One process; its line is kept under the step's name."""
        if engine not in self.engines:
            return
        folder = os.path.join(self.options.dir, "data")
        given = {"keys": self.options.keys, "duration": int(self.options.seconds * 1000),
                 "seed": self.options.seed, "dir": folder}
        given.update(flags)
        command = [self.program, "--engine", engine, "--workload", workload]
        for key, value in given.items():
            command += ["--" + key, str(value)]
        print("%s: %s" % (step, " ".join(command[1:])), flush=True)
        limit_s = STEP_SPARE_S + self.options.seconds + 2 * flags.get("hold", 0) / 1000
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit_s)
        shutil.rmtree(folder, ignore_errors=True)
        if run.returncode != 0:
            self.failures.append("%s, %s" % (step, engine))
            return
        figure = json.loads(run.stdout)
        self.figures.setdefault((step, engine), []).append(figure)
        print("    %.0f/s, %.2f CPU us, p50 %.1f us, p99 %.1f us, %d conflicts"
              % (figure["per_s"], figure["cpu_us"], figure["p50_us"], figure["p99_us"],
                 figure["conflicts"]), flush=True)

    def median(self, step, engine, field):
        """Of the rounds; None when it was not run."""
        found = [figure[field] for figure in self.figures.get((step, engine), [])]
        return statistics.median(found) if found else None

    def best(self, step, field, better, engines):
        """(figure, engine), or (None, None)."""
        found = [(self.median(step, engine, field), engine) for engine in engines]
        found = [pair for pair in found if pair[0] is not None]
        return better(found) if found else (None, None)


# ---- The steps. ----

def run_round(bench):
    everybody = ORBIT + PEERS + ["nothing"]
    for engine in everybody:
        bench.run("rmw, 1 client", engine, "rmw")
    for engine in everybody:
        bench.run("rmw, 16 clients", engine, "rmw", clients=CLIENTS)
    for engine in everybody:
        bench.run("rmw, 1 client, not synced", engine, "rmw", sync="no")
    for workload in ["pair", "pair-shards"]:
        bench.run(workload + ", awake", "orbit", workload, shards=2, clients=AWAKE_CLIENTS)
        bench.run(workload + ", idle", "orbit", workload, shards=2, think=IDLE_THINK_US)
    for engine in ["orbit", "orbit-session"] + PEERS + ["nothing"]:
        bench.run("TPC-B, 16 clients", engine, "tpcb", shards=2, clients=CLIENTS)
    for engine in everybody:
        bench.run("one hot key, 16 clients", engine, "hot", clients=CLIENTS)


def run_held(bench, options):
    bench.run("snapshot held", "orbit-inline", "held", sync="no",
              hold=int(options.hold * 1000))


# ---- The table. ----

def row(title, value, target, better, unit="x", note=""):
    met = None
    if value is not None and target is not None:
        met = value >= target if better is max else value <= target
    return {"row": title, "value": value, "target": target, "at_least": better is max,
            "met": met, "unit": unit, "note": note}


def ratio(above, below):
    return above / below if above is not None and below else None


def cpu_row(bench, step, peer, target):
    """How many times less CPU Orbit needs than a peer."""
    own, name = bench.best(step, "cpu_us", min, ["orbit-inline", "orbit"])
    other = bench.median(step, peer, "cpu_us")
    return row("%s: CPU against %s" % (step, peer), ratio(other, own), target, max,
               note=own and other and "%s %.2f us, %s %.2f us" % (name, own, peer, other))


def speed_row(bench, step, peer, target, engines):
    own, name = bench.best(step, "per_s", max, engines)
    other = bench.median(step, peer, "per_s")
    return row("%s: throughput against %s" % (step, peer), ratio(own, other), target, max,
               note=own and other and "%s %.0f/s, %s %.0f/s" % (name, own, peer, other))


def latency_row(bench, how, target):
    two = bench.median("pair-shards, " + how, "orbit", "p50_us")
    one = bench.median("pair, " + how, "orbit", "p50_us")
    return row("two shards against one, %s" % how, ratio(two, one), target, min,
               note=one and two and "median %.1f us and %.1f us" % (two, one))


def held_row(bench):
    held = bench.median("snapshot held", "orbit-inline", "read_us_held")
    free = bench.median("snapshot held", "orbit-inline", "read_us_free")
    return row("CPU of a read beside a held snapshot", ratio(held, free), 1.2, min,
               note=held and free and "%.2f us, %.2f us without" % (held, free))


def rows(bench):
    table = []
    for step in ["rmw, 1 client", "rmw, 16 clients", "rmw, 1 client, not synced"]:
        target = None if "not synced" in step else 2.0
        table += [cpu_row(bench, step, peer, target) for peer in PEERS]
        table += [speed_row(bench, step, peer, None, ["orbit-inline", "orbit"]) for peer in PEERS]
    table += [latency_row(bench, "awake", 1.3), latency_row(bench, "idle", 1.8)]
    for peer in PEERS:
        table.append(speed_row(bench, "TPC-B, 16 clients", peer, None, ["orbit"]))
        table.append(cpu_row(bench, "TPC-B, 16 clients", peer, None))
    table += [speed_row(bench, "one hot key, 16 clients", "rocksdb-pessimistic", 1.0, ORBIT),
              held_row(bench)]
    return [line for line in table if line["value"] is not None]


def print_figures(bench):
    print("\n%-28s %-20s %12s %10s %10s %10s %10s" % ("", "", "/s", "CPU us", "p50 us", "p99 us",
                                                     "conflicts"))
    for step, engine in bench.figures:
        print("%-28s %-20s %12.0f %10.2f %10.1f %10.1f %10.0f"
              % ((step, engine) + tuple(bench.median(step, engine, field) for field in
                                        ["per_s", "cpu_us", "p50_us", "p99_us", "conflicts"])))


def print_table(table):
    print("\n%-62s %9s %9s %4s  %s" % ("", "ratio", "target", "", ""))
    for line in table:
        target = ("" if line["target"] is None
                  else (">= %.2f" if line["at_least"] else "<= %.2f") % line["target"])
        met = {True: "ok", False: "MISS", None: ""}[line["met"]]
        print("%-62s %9.2f %9s %4s  %s" % (line["row"], line["value"], target, met,
                                           line["note"] or ""))


def parse():
    parser = argparse.ArgumentParser(
        description="Transactions beside those of RocksDB and WiredTiger, as a table of ratios.")
    parser.add_argument("--quick", action="store_true",
                        help="a few keys, fractions of a second: shows that it works")
    parser.add_argument("--keys", type=int, help="default %d" % KEYS)
    parser.add_argument("--seconds", type=float, help="of each measurement (default 3)")
    parser.add_argument("--rounds", type=int, help="default 3; the median counts")
    parser.add_argument("--hold", type=float,
                        help="seconds for which the snapshot is held (default 60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", help="where the data go (default: the build folder)")
    parser.add_argument("--json", help="a file for all figures")
    options = parser.parse_args()
    options.keys = options.keys or (QUICK_KEYS if options.quick else KEYS)
    options.seconds = options.seconds or (0.1 if options.quick else 3)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.hold = options.hold or (0.5 if options.quick else 60)
    return options


def main():
    options = parse()
    server.end_on_sigterm()
    subprocess.run(["make", "-s", "-C", server.build_folder(), "orbit-txn-bench"], check=True,
                   timeout=1800)
    base = options.dir or server.build_folder()
    os.makedirs(base, exist_ok=True)
    options.dir = tempfile.mkdtemp(prefix="txn-", dir=base)
    bench = Bench(options)
    try:
        print("machine: %d CPUs, Linux %s; load %.2f before the start; %d keys"
              % (os.cpu_count(), platform.release(), os.getloadavg()[0], options.keys))
        for _ in range(options.rounds):
            run_round(bench)
        run_held(bench, options)
    finally:
        shutil.rmtree(options.dir, ignore_errors=True)
    table = rows(bench)
    print_figures(bench)
    print_table(table)
    for name in bench.failures:
        print("FAILED: " + name)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rows": table,
                       "figures": [dict(figure, step=step)
                                   for (step, _), figures in bench.figures.items()
                                   for figure in figures]}, file, indent=1)
    if options.quick:
        return 1 if bench.failures else 0
    return 1 if bench.failures or any(line["met"] is False for line in table) else 0


if __name__ == "__main__":
    sys.exit(main())
