#!/usr/bin/python3
"""Run Redis's own Tcl suite (7.0.15) in external mode against the server, file by file.

usage: run.py [--file unit/NAME]... [--keep FOLDER]

Each file gets a fresh server, because an aborted file leaves CONFIG values behind. The cases in
skip.txt are left out, each with its reason. Passes are counted case by case; at least
PASSES_FLOOR of them must pass when all files run. --keep saves the output of each file.

The suite belongs to others, so it is fetched and not kept here (tests/compat/fetch-suites.sh);
where it cannot be fetched the run is reported as skipped.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import server  # noqa: E402  (the path is set above)

# The files that cover the commands which the server offers. The longest come first.
FILES = [
    "unit/type/zset",
    "unit/type/list",
    "unit/geo",
    "unit/sort",
    "unit/hyperloglog",
    "unit/pause",
    "unit/type/set",
    "unit/type/list-2",
    "unit/type/hash",
    "unit/type/list-3",
    "unit/bitops",
    "unit/bitfield",
    "unit/lazyfree",
    "unit/dump",
    "unit/type/stream",
    "unit/type/stream-cgroups",
    "unit/expire",
    "unit/introspection-2",
    "unit/type/string",
    "unit/latency-monitor",
    "unit/keyspace",
    "unit/introspection",
    "unit/protocol",
    "unit/slowlog",
    "unit/type/incr",
    "unit/scan",
    "unit/other",
    "unit/info-command",
    "unit/quit",
    "unit/replybufsize",
    "unit/multi",
    "unit/pubsub",
    "unit/scripting",
    "unit/functions",
    "unit/tracking",
]
PASSES_FLOOR = 1890
FILE_TIMEOUT_S = 400
FILES_AT_ONCE = 2
TRIES_MAX = 3  # The suite's own ports may be taken by somebody else.

# The suite looks for free ports upwards from these, one range for each worker.
PORT_BASE = 12000
PORTS_A_WORKER = 4000
PORTS_A_RUN = 40

COLOR = re.compile(r"\x1b\[[0-9;]*m")
EVENT = re.compile(r"^\[(ok|err|skip|ignore|exception|ready|testing|\d+/\d+ done)\]:? ?", re.M)


class FileResult:
    """What happened to the cases of one file."""

    def __init__(self):
        self.passed = []
        self.failed = []  # (case, why)
        self.skipped = []  # (case, why)


def read_skip_list():
    """{file: {case: reason}}"""
    skip = {}
    with open(os.path.join(HERE, "skip.txt"), encoding="utf-8") as file:
        for line in file:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            name, case, reason = (part.strip() for part in line.split(" | ", 2))
            skip.setdefault(name, {})[case] = reason
    return skip


def parse(output, skip):
    """Sorts the events that the suite prints; it repeats its failures at the end, after '***'."""
    result = FileResult()
    finished = False
    output = COLOR.sub("", output).split("\n*** [", 1)[0]
    marks = list(EVENT.finditer(output))
    for i, mark in enumerate(marks):
        end = marks[i + 1].start() if i + 1 < len(marks) else len(output)
        text = output[mark.end() : end].rstrip("\n")
        kind = mark.group(1)
        if kind == "ok":
            result.passed.append(re.sub(r" \(\d+ ms\)$", "", text))
        elif kind == "skip":
            result.skipped.append((text, skip.get(text, "not in skip.txt")))
        elif kind == "ignore":
            case, _, why = text.rpartition(": ")
            result.skipped.append((case or "a group of cases", "the suite says: " + (why or text)))
        elif kind == "err" or kind == "exception":
            case, _, why = text.partition("\n")
            result.failed.append((re.sub(r" in tests/unit/\S+$", "", case), why[:1500]))
        elif kind.endswith("done"):
            finished = True
    if not finished:
        result.failed.append(("the file runs to its end", output[-1500:]))
    return result


def run_suite(suite, name, port, base_port, skip_path):
    """One run of the suite's own runner; returns what it printed."""
    command = [
        "./runtest", "--host", server.HOST, "--port", str(port), "--durable",
        "--ignore-encoding", "--ignore-digest", "--skipfile", skip_path,
        "--baseport", str(base_port), "--portcount", str(PORTS_A_RUN), "--single", name,
    ]
    process = subprocess.Popen(
        command, cwd=suite, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=FILE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # Its own session: nothing else is in the group.
        output, _ = process.communicate()
        output += b"\nstopped after %d s\n" % FILE_TIMEOUT_S
    return output.decode("utf-8", "replace")


def run_file(suite, name, worker, skip, keep):
    base_port = PORT_BASE + worker * PORTS_A_WORKER + os.getpid() % 90 * PORTS_A_RUN
    with tempfile.NamedTemporaryFile("w", suffix=".skip", encoding="utf-8") as skip_file:
        skip_file.write("\n".join(skip) + "\n")
        skip_file.flush()
        for attempt in range(TRIES_MAX):
            with server.Server() as instance:
                output = run_suite(suite, name, instance.port, base_port, skip_file.name)
                alive = instance.alive()
                log = instance.log_tail()
            if "address already in use" not in output:
                break
            base_port += PORTS_A_RUN * (attempt + 1)
    if keep:
        with open(os.path.join(keep, name.replace("/", "-") + ".txt"), "w",
                  encoding="utf-8") as file:
            file.write(output)
    result = parse(output, skip)
    if not alive:
        result.failed.append(("the server survives the file", log))
    return result


def run_all(suite, names, keep):
    """{file: FileResult}; a few files at a time, each with its own server."""
    skip = read_skip_list()
    results = {}
    queue = list(names)
    lock = threading.Lock()

    def work(worker):
        while True:
            with lock:
                if not queue:
                    return
                name = queue.pop(0)
            try:
                result = run_file(suite, name, worker, skip.get(name, {}), keep)
            except server.ServerError as error:
                result = FileResult()
                result.failed.append(("the server starts", str(error)))
            with lock:
                results[name] = result
                print("%-24s %3d passed, %d failed, %d skipped"
                      % (name, len(result.passed), len(result.failed), len(result.skipped)),
                      flush=True)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(FILES_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


CANARY_OUTPUT = """\
[ready]: 7
Testing unit/x
[ok]: a case (1 ms)
[err]: a wrong answer in tests/unit/x.tcl
Expected 'a' to equal or match 'b'
[skip]: left out
[exception]: Executing test client: ERR unknown command.
    while executing
*** [err]: a wrong answer in tests/unit/x.tcl
"""


def canary():
    """A failed case, an exception and a file that breaks off must all be counted."""
    result = parse(CANARY_OUTPUT, {"left out": "a reason"})
    whole = parse("[ok]: a case (1 ms)\n[1/1 done]: unit/x (1 seconds)\n", {})
    return (result.passed == ["a case"] and result.skipped == [("left out", "a reason")]
            and len(result.failed) == 3 and whole.passed == ["a case"] and not whole.failed)


def report(results, names):
    """Prints skipped and failed cases; returns the totals."""
    passed = failed = skipped = 0
    print()
    for name in names:
        for case, why in results[name].skipped:
            print("skipped: %s: %s: %s" % (name, case, why))
    for name in names:
        for case, why in results[name].failed:
            print("\nFAIL %s: %s\n     %s" % (name, case, why.strip().replace("\n", "\n     ")))
        passed += len(results[name].passed)
        failed += len(results[name].failed)
        skipped += len(results[name].skipped)
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser(description="Redis's own Tcl suite in external mode.")
    parser.add_argument("--file", action="append", metavar="unit/NAME",
                        help="run this file only (may be repeated)")
    parser.add_argument("--keep", metavar="FOLDER", help="save the output of each file here")
    options = parser.parse_args()
    names = options.file or FILES
    server.end_on_sigterm()

    for program in ("tclsh", "redis-cli", "redis-benchmark"):
        if shutil.which(program) is None:
            print("skipped: the Tcl suite: %s is not installed" % program)
            print("0 passed, 0 failed, 1 skipped")
            return 0
    fetch = subprocess.run([os.path.join(HERE, "..", "fetch-suites.sh"), "redis"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if fetch.returncode != 0:
        print("skipped: the Tcl suite: its source could not be fetched (see above)")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    suite = fetch.stdout.decode().splitlines()[-1]
    for program in ("redis-cli", "redis-benchmark"):
        link = os.path.join(suite, "src", program)
        if not os.path.lexists(link):
            os.symlink(shutil.which(program), link)
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)

    passed, failed, skipped = report(run_all(suite, names, options.keep), names)
    if not canary():
        print("\nFAIL canary: failures in the output of the suite are not seen")
        failed += 1
    if not options.file and passed < PASSES_FLOOR:
        print("\nFAIL only %d cases passed; at least %d must" % (passed, PASSES_FLOOR))
        failed += 1
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
