#!/usr/bin/python3
"""Orbit's store beside RocksDB, LevelDB, LMDB, WiredTiger and SQLite, on this machine, in one run.

orbit-bench does the measuring, step by step; in each step the engines follow each other on stores
of the same keys. What the device can do is measured in the same run with fio. Then each row of the
table holds Orbit's figure against its target, and the best peer's figure.

CPU us/op is the figure to trust on a machine that does other things too.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "lib"))
import server  # noqa: E402  (the path is set above)

KEYS = 10_000_000
QUICK_KEYS = 500_000
SLOW_KEYS = {"wiredtiger": 1_000_000, "sqlite": 500_000}  # Of 10 M: see perf/README.md.
CACHE_MIB, LIMIT_MIB, BIG_CACHE_MIB = 256, 600, 4096
KEY_BYTES, VALUE_BYTES, ROW_VALUE_BYTES = 16, 100, 44
FIO_SECONDS, FIO_BYTES = 5, 2 << 30
STEP_TIMEOUT_S = 3600

PEERS = ["rocksdb", "rocksdb-tuned", "leveldb", "lmdb", "wiredtiger", "sqlite"]
BULK = ["wiredtiger", "sqlite"]  # Their stores are loaded in order: random loads take too long.
YCSB = ["ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f"]


class Bench:
    """Calls orbit-bench and fio, and keeps what they say."""

    def __init__(self, options):
        self.options = options
        self.program = os.path.join(server.build_folder(), "orbit-bench")
        self.figures = {}  # (step, engine, workload) -> the line of JSON.
        self.limits = {}  # Of the device, by name.
        self.failures = []
        self.engines = [name for name in ["orbit"] + PEERS if self.has(name)]

    def has(self, engine):
        """Was the program built with it?"""
        run = subprocess.run([self.program, "--engine", engine, "--workload", "nothing"],
                             capture_output=True, text=True, timeout=60)
        return "no engine" not in run.stderr

    def step(self, name, engines, workloads, folder, **flags):
        """One run of orbit-bench; its lines are kept under the step's name."""
        options = self.options
        wanted = [engine for engine in engines
                  if engine.replace("orbit-async", "orbit") in self.engines]
        if not wanted:
            return
        given = {"keys": options.keys, "cache": options.cache, "duration": options.seconds,
                 "seed": options.seed, "key-bytes": KEY_BYTES, "value-bytes": VALUE_BYTES}
        given.update({key.replace("_", "-"): value for key, value in flags.items()})
        lines = os.path.join(options.dir, "lines.json")
        command = [self.program, "--engine", ",".join(wanted), "--workload", ",".join(workloads),
                   "--dir", os.path.join(options.dir, folder), "--json", lines]
        for key, value in given.items():
            command += ["--" + key] if value is True else ["--" + key, str(value)]
        print("\n## %s\n%s" % (name, " ".join(command)), flush=True)
        run = subprocess.run(command, timeout=STEP_TIMEOUT_S)
        if run.returncode != 0:
            self.failures.append(name)
        if os.path.exists(lines):
            with open(lines, encoding="utf-8") as file:
                for line in file:
                    figure = json.loads(line)
                    self.figures[name, figure["engine"], figure["workload"]] = figure
            os.unlink(lines)

    def drop(self, folder, engine=None):
        """Remove the data of a step, of one engine or of all."""
        path = os.path.join(self.options.dir, folder)
        shutil.rmtree(os.path.join(path, engine) if engine else path, ignore_errors=True)

    def fio(self, name, *flags):
        """Operations a second of a job; nothing when there is no fio."""
        if shutil.which("fio") is None:
            return
        path = os.path.join(self.options.dir, "fio.data")
        command = ["fio", "--name=limit", "--filename=" + path, "--direct=1", "--bs=4k",
                   "--ioengine=io_uring", "--size=%d" % FIO_BYTES, "--time_based",
                   "--runtime=%d" % FIO_SECONDS, "--output-format=json", *flags]
        run = subprocess.run(command, capture_output=True, text=True, timeout=600)
        try:
            job = json.loads(run.stdout[run.stdout.index("{"):])["jobs"][0]
        except (ValueError, KeyError, IndexError):
            self.failures.append("fio " + name)
            return
        self.limits[name] = max(job["read"]["iops"], job["write"]["iops"])
        print("fio %s: %.0f/s" % (name, self.limits[name]), flush=True)

    def device(self):
        """What the disk gives, on a file that is written in full first."""
        path = os.path.join(self.options.dir, "fio.data")
        if shutil.which("fio") is None:
            print("no fio here: the rows that depend on the device have no target")
            return
        with open(path, "wb") as file:
            for _ in range(FIO_BYTES >> 20):
                file.write(os.urandom(4096) * 256)
            os.fsync(file.fileno())
        self.fio("read 1", "--rw=randread", "--iodepth=1")
        self.fio("read 32", "--rw=randread", "--iodepth=32")
        self.fio("sync", "--rw=write", "--iodepth=1", "--sync=1")
        os.unlink(path)


# ---- The steps. ----

def run_steps(bench, options):
    loaded = [engine for engine in ["orbit"] + PEERS if engine not in BULK]
    bench.device()
    bench.step("load", loaded, ["fillrandom"], "store")
    for engine in BULK:
        bench.step("load in order", [engine], ["ingest"], "store")
        bench.step("load", [engine], ["fillrandom"], "slow",
                   keys=max(1000, SLOW_KEYS[engine] * options.keys // KEYS))
        bench.drop("slow")
    reads = ["readrandom", "readmissing", "multireadrandom", "seekrandom", "readseq"]
    bench.step("in cache", ["orbit"] + PEERS, reads + ["readseq-batch"], "store",
               cache=options.big_cache, use_existing=True)
    bench.step("limited", ["orbit"] + PEERS, ["readrandom"], "store",
               memory_limit=options.limit, use_existing=True)
    bench.step("limited, 32", ["orbit-async"] + PEERS, ["readrandom"], "store", threads=32,
               memory_limit=options.limit, use_existing=True)
    bench.step("ycsb", ["orbit", "rocksdb-tuned", "lmdb", "wiredtiger"], YCSB, "store",
               memory_limit=options.limit, use_existing=True)
    bench.step("overwrite", ["orbit"] + PEERS,
               ["overwrite"], "store", ops=max(1000, options.keys // 5), use_existing=True)
    bench.step("others", ["orbit"] + PEERS, ["readwhilewriting", "deleterandom", "compact"],
               "store", ops=max(1000, options.keys // 10), use_existing=True)
    bench.drop("store")
    bench.step("sync", ["orbit"] + PEERS, ["fillsync"], "sync", keys=100_000)
    bench.step("sync, 16", ["orbit-async"] + PEERS, ["fillsync"], "sync16", keys=100_000,
               threads=16)
    bench.drop("sync")
    bench.drop("sync16")
    for engine in [engine for engine in loaded if engine != "rocksdb-tuned"]:
        bench.step("load in order", [engine], ["ingest"], "ordered")
        bench.drop("ordered")
    bench.step("rows of 60 bytes", ["orbit"], ["ingest", "readseq", "readseq-batch"], "rows",
               value_bytes=ROW_VALUE_BYTES, cache=options.big_cache)
    bench.drop("rows")


# ---- The table. ----

class Row:
    """A figure with its target. `better` is min or max; the target may be a function of the bench,
    and None when there is none."""

    def __init__(self, title, step, workload, field, better, target, scale=1.0, unit="",
                 engine="orbit", against=None):
        self.title, self.step, self.workload, self.field = title, step, workload, field
        self.better, self.target, self.scale, self.unit = better, target, scale, unit
        self.engine = engine
        self.against = against or workload  # What the peers do meanwhile.

    def value(self, bench, engine, field=None):
        figure = bench.figures.get((self.step, engine, self.workload))
        return None if figure is None else figure[field or self.field] * self.scale

    def best(self, bench, field, better):
        """(name, figure) of the best peer with as many keys."""
        peers = [(name, bench.figures.get((self.step, name, self.against))) for name in PEERS]
        own = bench.figures.get((self.step, self.engine, self.workload))
        found = [(figure[field], name) for name, figure in peers
                 if figure is not None and (own is None or figure["keys"] == own["keys"])]
        return better(found)[::-1] if found else (None, None)

    def judge(self, bench):
        orbit = self.value(bench, self.engine)
        name, peer = self.best(bench, self.field, self.better)
        cpu_name, cpu = self.best(bench, "cpu_us_per_op", min)
        ops_name, ops = self.best(bench, "ops_per_s", max)
        own = bench.figures.get((self.step, self.engine, self.workload))
        target = self.target(bench, self) if callable(self.target) else self.target
        met = None
        if target is not None:
            met = orbit is not None and (orbit <= target if self.better is min
                                         else orbit >= target)
        return {"row": self.title, "orbit": orbit, "target": target, "unit": self.unit,
                "met": met, "peer": name, "peer_figure": peer and peer * self.scale,
                "cpu_ratio": own and cpu and cpu / max(own["cpu_us_per_op"], 1e-9),
                "cpu_peer": cpu_name, "ops_ratio": own and ops and own["ops_per_s"] / ops,
                "ops_peer": ops_name}


def as_good_as(better, *names):
    """A target: the best of these peers in the same row."""
    def target(bench, row):
        found = [row.value(bench, name) for name in names]
        found = [value for value in found if value is not None]
        return better(found) if found else None
    return target


def of_device(name, fraction):
    """A target: a fraction of what fio reached."""
    def target(bench, _row):
        return bench.limits[name] * fraction if name in bench.limits else None
    return target


def rows():
    cpu = "cpu_us_per_op"
    table = []
    for title, step, workload in [("load", "load", "fillrandom"),
                                  ("overwrite", "overwrite", "overwrite")]:
        table += [
            Row(title + ", CPU", step, workload, cpu, min, 5, 1, "us"),
            Row(title + ", p99.99", step, workload, "p9999_us", min, 10, 1e-3, "ms"),
            Row(title + ", longest", step, workload, "max_us", min, 50, 1e-3, "ms"),
            Row(title + ", written / put", step, workload, "write_amp", min,
                as_good_as(min, "rocksdb", "rocksdb-tuned"), 1, "x"),
            Row(title + ", disk", step, workload, "disk_bytes", min,
                as_good_as(min, "rocksdb", "rocksdb-tuned"), 1e-6, "MB"),
        ]
    table += [
        Row("readrandom in cache, CPU", "in cache", "readrandom", cpu, min, 3, 1, "us"),
        Row("readmissing in cache, CPU", "in cache", "readmissing", cpu, min, 1, 1, "us"),
        Row("multireadrandom in cache, CPU", "in cache", "multireadrandom", cpu, min, None, 1,
            "us"),
        Row("seek + 100 next in cache, CPU", "in cache", "seekrandom", cpu, min, 10, 1, "us"),
        Row("readseq by cursor", "in cache", "readseq", "ops_per_s", max, 10, 1e-6, "M/s"),
        Row("readseq by batch, CPU", "in cache", "readseq-batch", cpu, min, None, 1e3, "ns",
            against="readseq"),
        Row("rows of 60 bytes by cursor", "rows of 60 bytes", "readseq", "ops_per_s", max, 10,
            1e-6, "M/s"),
        Row("rows of 60 bytes by batch, CPU", "rows of 60 bytes", "readseq-batch", cpu, min, 15,
            1e3, "ns"),
        Row("one read in flight, limited", "limited", "readrandom", "ops_per_s", max,
            as_good_as(max, "lmdb"), 1, "/s"),
        Row("32 reads in flight, limited", "limited, 32", "readrandom", "ops_per_s", max,
            of_device("read 32", 0.9), 1, "/s", "orbit-async"),
        Row("fillsync, 1 writer", "sync", "fillsync", "ops_per_s", max, of_device("sync", 0.9), 1,
            "/s"),
        Row("fillsync, 16 writers", "sync, 16", "fillsync", "ops_per_s", max, 100000, 1, "/s",
            "orbit-async"),
        Row("sorted ingest, CPU", "load in order", "ingest", cpu, min, 1, 1, "us"),
    ]
    for name in YCSB:
        ahead = ["rocksdb-tuned", "wiredtiger"] + (["lmdb"] if name[-1] in "adef" else [])
        table += [
            Row(name, "ycsb", name, "ops_per_s", max, as_good_as(max, *ahead), 1, "/s"),
            Row(name + ", p99.9", "ycsb", name, "p999_us", min,
                as_good_as(min, "rocksdb-tuned", "wiredtiger"), 1, "us"),
        ]
    table += [
        Row("readwhilewriting, CPU", "others", "readwhilewriting", cpu, min, None, 1, "us"),
        Row("deleterandom, CPU", "others", "deleterandom", cpu, min, None, 1, "us"),
        Row("compact, CPU a key", "others", "compact", cpu, min, None, 1, "us"),
    ]
    return table


def number(value):
    if value is None:
        return "-"
    return "%.0f" % value if abs(value) >= 1000 else "%.3g" % value


def ratio(value, name):
    return "-" if value is None else "%.2f %s" % (value, name)


def print_table(judged):
    columns = ["row", "Orbit", "target", "", "best peer", "CPU x", "throughput x"]
    lines = [columns, ["---"] * len(columns)]
    for row in judged:
        verdict = {True: "met", False: "MISSED", None: ""}[row["met"]]
        unit = " " + row["unit"] if row["unit"] else ""
        peer = "-" if row["peer"] is None else "%s %s" % (number(row["peer_figure"]), row["peer"])
        lines.append([row["row"], number(row["orbit"]) + unit, number(row["target"]), verdict,
                      peer, ratio(row["cpu_ratio"], row["cpu_peer"]),
                      ratio(row["ops_ratio"], row["ops_peer"])])
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    print()
    for line in lines:
        print("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |")
    print("\nCPU x, throughput x: how many times Orbit is better than the best peer in that, whose "
          "name follows.\nDebian's RocksDB is built with assertions on and computes checksums in "
          "software: ratios of CPU time\nagainst it flatter. LevelDB, LMDB and WiredTiger are "
          "fair.")


# ---- Options. ----

def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, help="default 10,000,000")
    parser.add_argument("--quick", action="store_true",
                        help="500,000 keys and a second a workload: does it work? Figures of it "
                             "are not worth quoting")
    parser.add_argument("--seconds", type=int, help="of each read workload (default 3)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", help="a folder on the disk to measure, with 3 KB free a key")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    options.keys = options.keys or (QUICK_KEYS if options.quick else KEYS)
    options.seconds = options.seconds or (1 if options.quick else 3)
    # With fewer keys the memory shrinks alike, so that the same part of them has room in it.
    options.cache = max(16, CACHE_MIB * options.keys // KEYS)
    options.limit = options.cache + (LIMIT_MIB - CACHE_MIB) * max(options.keys, KEYS // 4) // KEYS
    options.big_cache = max(64, BIG_CACHE_MIB * options.keys // KEYS)
    return options


def room(options):
    free = shutil.disk_usage(options.dir).free
    if free < options.keys * 2000 + FIO_BYTES:
        sys.exit("engine.sh: %s has %.1f GB free; %d keys for all engines need %.1f GB"
                 % (options.dir, free / 1e9, options.keys,
                    (options.keys * 2000 + FIO_BYTES) / 1e9))


def main():
    options = arguments()
    server.end_on_sigterm()
    base = options.dir or server.build_folder()
    os.makedirs(base, exist_ok=True)
    options.dir = tempfile.mkdtemp(prefix="engine-", dir=base)
    try:
        room(options)
        bench = Bench(options)
        print("machine: %d CPUs, Linux %s; load %.2f before the start; %d keys of %d + %d bytes, "
              "cache %d MiB (%d in cache), limit %d MiB"
              % (os.cpu_count(), platform.release(), os.getloadavg()[0], options.keys, KEY_BYTES,
                 VALUE_BYTES, options.cache, options.big_cache, options.limit))
        print("engines: " + ", ".join(bench.engines))
        run_steps(bench, options)
    finally:
        shutil.rmtree(options.dir, ignore_errors=True)
    judged = [row.judge(bench) for row in rows()]
    print_table(judged)
    for name in SLOW_KEYS:
        if ("load", name, "fillrandom") in bench.figures:
            print("%s loaded %d keys in random order, and all in order for the other rows."
                  % (name, bench.figures["load", name, "fillrandom"]["keys"]))
    for name in bench.failures:
        print("FAILED: " + name)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rows": judged, "limits": bench.limits,
                       "figures": [dict(figure, step=step)
                                   for (step, _, _), figure in bench.figures.items()]},
                      file, indent=1)
    return 1 if bench.failures or any(row["met"] is False for row in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
