#!/usr/bin/python3
"""orbit-bench: every workload on every engine that was built in gives all its figures under their
names; a wrong answer ends the run; what was filled can be used again."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(os.environ["ORBIT_BUILD"], "orbit-bench")
ENGINES = ["orbit", "orbit-async", "rocksdb", "rocksdb-tuned", "leveldb", "leveldb-tuned", "lmdb",
           "wiredtiger", "sqlite"]
NUMBERS = ["ops_per_s", "cpu_us_per_op", "p50_us", "p99_us", "p999_us", "p9999_us", "max_us",
           "write_amp", "read_amp", "disk_bytes", "peak_rss_bytes"]
FIRST = ["fillseq", "readrandom", "ingest", "readseq", "fillrandom"]
THEN = ["readrandom", "readmissing", "multireadrandom", "seekrandom", "readseq", "readseq-batch",
        "readwhilewriting", "overwrite", "ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e",
        "ycsb-f", "compact", "deleterandom", "fillsync"]
ABSENT = {"lmdb": ["compact"]}  # It has no such call.
ASYNC = ["fillrandom", "readrandom", "readmissing", "overwrite", "fillsync"]
KEYS = 2000
SECONDS_MAX = 120


def bench(*flags, folder):
    """Returns (exit status, output of both kinds)."""
    run = subprocess.run([BENCH, "--keys", str(KEYS), "--duration", "0.02", *flags], cwd=folder,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=SECONDS_MAX)
    return run.returncode, run.stdout.decode(errors="replace")


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def built(folder):
    """The engines of this build."""
    return [name for name in ENGINES
            if "no engine" not in bench("--engine", name, "--workload", "?", folder=folder)[1]]


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def wanted(engine):
    """The workloads that an engine can do, in the order of its lines."""
    if engine == "orbit-async":
        return ASYNC
    gaps = ABSENT.get(engine, []) + ([] if engine == "orbit" else ["readseq-batch"])
    return FIRST + [name for name in THEN if name not in gaps]


def line_check(line):
    for name in NUMBERS:
        expect(isinstance(line.get(name), (int, float)), "no number %s in %r" % (name, line))
        expect(line[name] >= 0, "%s is negative in %r" % (name, line))
    expect(line["ops_per_s"] > 0 and line["cpu_us_per_op"] > 0, "nothing was done: %r" % line)
    expect(line["p50_us"] <= line["p99_us"] <= line["p999_us"] <= line["p9999_us"]
           <= line["max_us"], "the quantiles are out of order: %r" % line)
    expect(line["disk_bytes"] > KEYS and line["peak_rss_bytes"] > 1 << 20, "too small: %r" % line)
    if line["workload"] in ("fillrandom", "fillseq", "overwrite"):
        expect(line["ops"] == KEYS, "a fill runs to --keys: %r" % line)
        expect(line["write_amp"] > 0.3, "nothing was written: %r" % line)


def every_workload_of_every_engine_gives_its_figures(folder):
    running = []
    for engine in built(folder):
        own = os.path.join(folder, engine)
        workloads = ASYNC + ["compact"] if engine == "orbit-async" else FIRST + THEN
        flags = ["--keys", str(KEYS), "--duration", "0.02", "--engine", engine, "--workload",
                 ",".join(workloads), "--json", own + ".json", "--dir", own]
        running.append((engine, own + ".json", subprocess.Popen(
            [BENCH, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)))
    try:
        for engine, path, process in running:
            expect(process.wait(SECONDS_MAX) == 0, "%s failed" % engine)
            lines = lines_of(path)
            found = [line["workload"] for line in lines]
            expect(found == wanted(engine), "%s did %s" % (engine, found))
            for line in lines:
                expect(line["engine"] == engine, "not of this engine: %r" % line)
                line_check(line)
    finally:
        for _, _, process in running:
            process.kill()
            process.wait()


def an_answer_that_is_wrong_ends_the_run(folder):
    status, output = bench("--engine", "orbit", "--workload", "fillseq", "--dir", "d",
                           folder=folder)
    expect(status == 0, output)
    path = os.path.join(folder, "d", "orbit.keyspace")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:  # Other keys than were written.
        file.write(text.replace("order 1", "order 0"))
    status, output = bench("--engine", "orbit", "--workload", "readrandom", "--dir", "d",
                           "--use-existing", folder=folder)
    expect(status == 1 and "a wrong answer for key" in output, output)


def a_filled_store_is_used_again(folder):
    bench("--engine", "orbit", "--workload", "fillrandom", "--dir", "d", folder=folder)
    flags = ("--engine", "orbit", "--dir", "d", "--use-existing", "--json", "j")
    status, output = bench(*flags, "--workload", "readrandom", folder=folder)
    expect(status == 0, output)
    expect(lines_of(os.path.join(folder, "j"))[0]["workload"] == "readrandom", output)
    status, output = bench(*flags, "--workload", "readrandom", "--value-bytes", "99",
                           folder=folder)
    expect(status == 1 and "2000 keys of 16 + 100 bytes" in output, output)
    status, output = bench(*flags, "--workload", "fillrandom", folder=folder)
    expect(status == 64, output)


def several_clients_do_the_work_of_one(folder):
    status, output = bench("--engine", "orbit", "--workload", "fillrandom,readrandom,ycsb-d",
                           "--threads", "3", "--json", "j", folder=folder)
    expect(status == 0, output)
    fill, read, _ = lines_of(os.path.join(folder, "j"))
    expect(fill["ops"] == KEYS and fill["threads"] == 3 and read["ops"] > 0, output)


def a_memory_limit_holds_or_is_said_not_to(folder):
    status, output = bench("--engine", "orbit", "--workload", "fillrandom", "--memory-limit",
                           "256", "--json", "j", folder=folder)
    expect(status == 0, output)
    limit = lines_of(os.path.join(folder, "j"))[0]["memory_limit_bytes"]
    expect(limit == 256 << 20 or ("WITHOUT the memory limit" in output and "NOT in force" in output
                                  and limit == 0), output)


def a_plot_is_drawn(folder):
    if shutil.which("gnuplot") is None:
        print("skipped: a_plot_is_drawn: gnuplot is not there")
        return False
    for name, magic in (("p.svg", b"<?xml"), ("p.png", b"\x89PNG")):
        status, output = bench("--engine", "orbit", "--workload", "fillrandom", "--plot", name,
                               folder=folder)
        expect(status == 0, output)
        with open(os.path.join(folder, name), "rb") as file:
            expect(file.read(len(magic)) == magic, "%s is not what its name says" % name)
    return True


def wrong_usage_has_status_64(folder):
    for flags in (["--engine", "nothing"], ["--workload", "nothing"], ["--keys", "0"],
                  ["--keys", "-1"], ["--duration", "x"], ["--threads"], ["--nonsense", "1"],
                  ["--use-existing"], ["--warm", "maybe"]):
        status, output = bench(*flags, folder=folder)
        expect(status == 64 and "orbit-bench:" in output, "%s: %d %s" % (flags, status, output))


CASES = [every_workload_of_every_engine_gives_its_figures, an_answer_that_is_wrong_ends_the_run,
         a_filled_store_is_used_again, several_clients_do_the_work_of_one,
         a_memory_limit_holds_or_is_said_not_to, a_plot_is_drawn, wrong_usage_has_status_64]


def main():
    passed, failed, skipped = 0, 0, 0
    for case in CASES:
        folder = tempfile.mkdtemp(prefix="orbit-bench-", dir=os.environ["ORBIT_BUILD"])
        try:
            if case(folder) is False:
                skipped += 1
                continue
            print("ok " + case.__name__, flush=True)
            passed += 1
        except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as problem:
            print("FAILED %s: %s" % (case.__name__, problem), flush=True)
            failed += 1
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
