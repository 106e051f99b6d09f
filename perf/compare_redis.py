#!/usr/bin/python3
"""Throughput and server CPU of SET and GET: Orbit, Redis, and a server that does nothing.

The servers take turns: each alternation starts every server once, afresh, and measures it with
redis-benchmark (50 clients, 100-byte values, a million keys). A figure is the median of the
alternations with its range. A ratio is Orbit to Redis within one alternation, so that a slow
minute of the machine hits both; its median and range are taken after that.

CPU a request is user plus system time of the server process over the run, all its threads.
"""

import argparse
import csv
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "lib"))
import server  # noqa: E402  (the path is set above)

CLIENTS = 50
VALUE_BYTES = 100
KEYS = 1_000_000
ALTERNATIONS = 5
SECONDS_A_RUN = 3.0
CALIBRATION_REQUESTS = 20_000
RUN_TIMEOUT_S = 300
MAX_REQUESTS = 20_000_000

# The servers: name -> (kind, durability, shards).
SERVERS = {
    "redis always": ("redis", "sync", 1),
    "redis none": ("redis", "none", 1),
    "orbit sync": ("orbit", "sync", 1),
    "orbit interval": ("orbit", "interval:1000", 1),
    "orbit sync, 2 shards": ("orbit", "sync", 2),
    "orbit interval, 2 shards": ("orbit", "interval:1000", 2),
    "nothing, synced": ("null", "sync", 1),
    "nothing": ("null", "none", 1),
}

# Groups of runs that are compared with each other. The runs of a group go in this order on every
# server of the group, so that GET finds what SET stored.
GROUPS = [
    {
        "title": "durable: appendfsync always and --durability sync",
        "servers": ["redis always", "orbit sync", "orbit sync, 2 shards", "nothing, synced"],
        "runs": [("SET", 16), ("SET", 1), ("GET", 1)],
    },
    {
        "title": "relaxed: no persistence and --durability interval:1000",
        "servers": ["redis none", "orbit interval", "orbit interval, 2 shards", "nothing"],
        "runs": [("SET", 16), ("GET", 16)],
    },
]

# What is asked: (run, numerator, denominator, figure, at least). 'cpu' compares CPU a request the
# other way round, so that more is better everywhere.
TARGETS = [
    (("SET", 1), "orbit sync", "redis always", "rate", 1.3),
    (("SET", 1), "orbit sync", "redis always", "cpu", 1.3),
    (("GET", 1), "orbit sync", "redis always", "rate", 0.85),
    (("SET", 16), "orbit sync", "redis always", "rate", 2.0),
    (("SET", 16), "orbit interval", "redis none", "rate", 1.0),
    (("GET", 16), "orbit interval", "redis none", "rate", 1.0),
    (("SET", 1), "orbit sync, 2 shards", "orbit sync", "rate", 0.9),
    (("GET", 1), "orbit sync, 2 shards", "orbit sync", "rate", 0.9),
    (("SET", 16), "orbit sync, 2 shards", "orbit sync", "rate", 0.9),
    (("SET", 16), "orbit interval, 2 shards", "orbit interval", "rate", 0.9),
    (("GET", 16), "orbit interval, 2 shards", "orbit interval", "rate", 0.9),
]


class NullServer:
    """perf/null-server.c with the same interface as server.Server, as far as it is used here."""

    def __init__(self, is_durable, parent):
        self.folder = tempfile.mkdtemp(prefix="orbit-null-", dir=parent)
        self.is_durable = is_durable
        self.process = None
        self.port = 0

    def __enter__(self):
        self.port = server.free_port()
        command = [null_server_program(), str(self.port)]
        if self.is_durable:
            command.append(os.path.join(self.folder, "log"))
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + server.START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                with server.Connection(self.port, timeout_s=5) as connection:
                    connection.call("PING")
                    return self
            except server.ConnectionLost:
                time.sleep(0.01)
        raise server.ServerError("null-server does not answer")

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self):
        return self.process.pid

    cpu_seconds = server.Server.cpu_seconds


def null_server_program():
    return os.path.join(server.build_folder(), "null-server")


def make(name, options):
    kind, durability, shards = SERVERS[name]
    if kind == "null":
        return NullServer(durability == "sync", options.dir)
    if kind == "orbit":
        kind = server.peer()  # The stand-in, when the script itself is being tried.
    return server.Server(kind=kind, durability=durability, shards=shards, log_level="warning",
                         cpus=options.cpus, parent=options.dir)


def benchmark(instance, command, pipeline, requests):
    """One run of redis-benchmark: {'rate', 'cpu', 'p50', 'p99'}; cpu in microseconds a request."""
    arguments = [
        "redis-benchmark", "-h", server.HOST, "-p", str(instance.port), "-c", str(CLIENTS),
        "-d", str(VALUE_BYTES), "-r", str(KEYS), "-n", str(requests), "-P", str(pipeline),
        "-t", command.lower(), "--csv",
    ]
    before = instance.cpu_seconds()
    output = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, check=True,
                            timeout=RUN_TIMEOUT_S).stdout.decode()
    cpu = instance.cpu_seconds() - before
    for row in csv.reader(io.StringIO(output)):
        if row and row[0] == command:
            return {"rate": float(row[1]), "cpu": cpu / requests * 1e6,
                    "p50": float(row[4]), "p99": float(row[6])}
    raise RuntimeError("redis-benchmark said: %s" % output)


def calibrate(group, options):
    """How many requests take about the wanted time on Redis; all servers get the same number."""
    counts = {}
    with make(group["servers"][0], options) as instance:
        for command, pipeline in group["runs"]:
            requests = CALIBRATION_REQUESTS * (4 if pipeline > 1 else 1)
            rate = benchmark(instance, command, pipeline, requests)["rate"]
            step = CLIENTS * pipeline
            count = min(int(rate * options.seconds), MAX_REQUESTS)
            counts[(command, pipeline)] = max(count // step, 1) * step
    return counts


def measure(group, options):
    """{(run, server): [figures of each alternation]}"""
    results = {}
    counts = calibrate(group, options)
    for turn in range(options.alternations):
        for name in group["servers"]:
            with make(name, options) as instance:
                for run in group["runs"]:
                    figures = benchmark(instance, run[0], run[1], counts[run])
                    figures["requests"] = counts[run]
                    results.setdefault((run, name), []).append(figures)
                    print("  %d/%d %-26s %s P=%-3d %9.0f/s %7.2f us CPU"
                          % (turn + 1, options.alternations, name, run[0], run[1],
                             figures["rate"], figures["cpu"]), file=sys.stderr, flush=True)
    return results


def spread(values, form):
    """'median (low-high)'"""
    return (form + " (" + form + "-" + form + ")") % (
        statistics.median(values), min(values), max(values))


def print_table(group, results):
    print("\n%s" % group["title"])
    print("  %-9s %-25s %-28s %-24s %8s %8s" % ("", "server", "requests/s", "server CPU us",
                                                "p50 ms", "p99 ms"))
    for run in group["runs"]:
        for name in group["servers"]:
            figures = results[(run, name)]
            print("  %s P=%-4d %-25s %-28s %-24s %8.2f %8.2f"
                  % (run[0], run[1], name, spread([f["rate"] for f in figures], "%.0f"),
                     spread([f["cpu"] for f in figures], "%.2f"),
                     statistics.median(f["p50"] for f in figures),
                     statistics.median(f["p99"] for f in figures)))


def ratios(results, run, name, base, figure):
    pairs = zip(results[(run, name)], results[(run, base)])
    if figure == "cpu":
        return [b["cpu"] / max(a["cpu"], 1e-9) for a, b in pairs]
    return [a["rate"] / b["rate"] for a, b in pairs]


def judge(results):
    """The ratios that are asked for; returns them as a list of dictionaries."""
    rows = []
    print("\nratios (median and range of the alternations; more is better)")
    for run, name, base, figure, target in TARGETS:
        values = ratios(results, run, name, base, figure)
        median = statistics.median(values)
        verdict = "met" if median >= target else "MISSED"
        what = "throughput" if figure == "rate" else "CPU a request"
        print("  %s P=%-3d %-26s / %-15s %-14s %-20s target %.2f  %s"
              % (run[0], run[1], name, base, what, spread(values, "%.2f"), target, verdict))
        rows.append({"run": "%s P=%d" % run, "server": name, "base": base, "figure": figure,
                     "median": median, "low": min(values), "high": max(values),
                     "target": target, "met": median >= target})
    return rows


def file_system(path):
    output = subprocess.run(["stat", "-f", "-c", "%T", path], stdout=subprocess.PIPE, check=True)
    return output.stdout.decode().strip()


def build_null_server():
    subprocess.run(["make", "-s", "-C", server.build_folder(), "null-server"], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def arguments():
    parser = argparse.ArgumentParser(
        prog="perf/redis.sh", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="two alternations of half a second: shows that it works, no more")
    parser.add_argument("--alternations", type=int, default=ALTERNATIONS)
    parser.add_argument("--seconds", type=float, default=SECONDS_A_RUN,
                        help="length of a run on Redis (default %(default)s)")
    parser.add_argument("--cpus", default="none", help="--cpus of orbit-server (default none)")
    parser.add_argument("--dir", help="folder for the data, on the disk that is to be measured "
                        "(default: perf in the build folder)")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    options = parser.parse_args()
    if options.quick:
        options.alternations, options.seconds = 2, 0.5
    if options.dir is None:
        options.dir = os.path.join(server.build_folder(), "perf")
    os.makedirs(options.dir, exist_ok=True)
    return options


def main():
    options = arguments()
    server.end_on_sigterm()
    build_null_server()
    disk = file_system(options.dir)
    print("machine: %d CPUs, Linux %s, data on %s; load %.2f before the start"
          % (os.cpu_count(), platform.release(), disk, os.getloadavg()[0]))
    print("client: redis-benchmark -c %d -d %d -r %d, about %.1f s a run, %d alternations"
          % (CLIENTS, VALUE_BYTES, KEYS, options.seconds, options.alternations))
    if server.peer() != "orbit":
        print("WARNING: %s stands in for Orbit (ORBIT_PEER): its figures bear Orbit's name"
              % server.peer())
    if disk == "tmpfs":
        print("WARNING: a tmpfs has no durable writes: the durable figures mean nothing")
    results = {}
    for group in GROUPS:
        results_of_group = measure(group, options)
        results.update({(run, name): figures
                        for (run, name), figures in results_of_group.items()})
        print_table(group, results_of_group)
    rows = judge(results)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({
                "figures": [{"run": "%s P=%d" % run, "server": name, "alternations": figures}
                            for (run, name), figures in results.items()],
                "ratios": rows, "disk": disk, "cpus": os.cpu_count(),
                "kernel": platform.release(), "seconds": options.seconds,
            }, file, indent=1)
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
