#!/usr/bin/python3
"""Build Orbit and run every check. tools/check.sh installs the packages and calls this.

A stage is an executable file tests/check.d/NN-name; tests/README.md has its contract. Stages
run in two lanes side by side, in the order of their names within a lane.
"""

import argparse
import glob
import os
import re
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "check")
# "[FAIL]" and "[----]" are Criterion's: the case, and the assertion before it.
FAILURE = re.compile(r"^ *(FAIL|not ok|\[FAIL\]|\[----\])|passed, [1-9]\d* failed|Error:")
FAILURE_LINES = 20
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
# "check TESTS=" makes the unit test programs and runs none.
BUILDS = [("release", ["release"]), ("asan", ["asan"]), ("asan-tests", ["asan", "check", "TESTS="])]
STAGE_SECONDS_MAX = 1200
LONG_FACTOR = 10
HEARTBEAT_SECONDS = 30
TAIL_LINES = 40


class Result:
    """What one stage contributes to the sum."""

    def __init__(self, passed, failed, skipped, reason=""):
        self.passed = passed
        self.failed = failed
        self.skipped = skipped
        self.reason = reason


class Stage:
    """One process with its log; the file's first lines may set lane, title and timeout."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)
        self.title = self.name
        self.lane = "A"
        self.seconds_max = STAGE_SECONDS_MAX
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file.readlines()[:10]:
                match = re.match(r"#\s*(lane|title|timeout):\s*(.+?)\s*$", line)
                if match is None:
                    continue
                if match.group(1) == "lane":
                    self.lane = match.group(2)
                elif match.group(1) == "title":
                    self.title = match.group(2)
                else:
                    self.seconds_max = int(match.group(2))


class Runner:
    """Starts processes in groups of their own, so that a stage that hangs ends as a whole."""

    def __init__(self, environment, is_long):
        self.environment = environment
        self.is_long = is_long
        self.print_lock = threading.Lock()
        self.running_lock = threading.Lock()
        self.running = {}
        self.is_stopping = False

    def say(self, text):
        with self.print_lock:
            print(text, flush=True)

    def run(self, name, command, seconds_max):
        """Run to the end; returns (exit status or None after a timeout, seconds, log path)."""
        log_path = os.path.join(LOGS, name + ".log")
        begin = time.monotonic()
        with open(log_path, "wb") as log:
            with self.running_lock:
                if self.is_stopping:
                    return None, 0.0, log_path
                process = subprocess.Popen(command, cwd=ROOT, env=self.environment,
                                           stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=subprocess.STDOUT, start_new_session=True)
                self.running[process.pid] = process
            status = self.wait(name, process, begin, seconds_max, log_path)
        with self.running_lock:
            del self.running[process.pid]
        return status, time.monotonic() - begin, log_path

    def wait(self, name, process, begin, seconds_max, log_path):
        while True:
            try:
                status = process.wait(HEARTBEAT_SECONDS)
                end_group(process.pid)  # A stage leaves nothing behind.
                return status
            except subprocess.TimeoutExpired:
                pass
            seconds = time.monotonic() - begin
            if seconds > seconds_max:
                end_group(process.pid)
                process.wait()
                return None
            last = read_lines(log_path)[-1:] or ["no output yet"]
            self.say(f"    {name}, {seconds:.0f} s: {last[0].strip()[:90]}")

    def stop(self):
        with self.running_lock:
            self.is_stopping = True
            for pid in self.running:
                end_group(pid)

    def stage(self, stage):
        seconds_max = stage.seconds_max * (LONG_FACTOR if self.is_long else 1)
        self.say(f"--> {stage.title}")
        status, seconds, log_path = self.run(stage.name, [stage.path], seconds_max)
        result = judge(status, read_lines(log_path), seconds_max)
        self.say(f"<-- {stage.title}: {counts(result)} in {seconds:.1f} s"
                 + (f" ({result.reason})" if result.reason else ""))
        if result.failed:
            self.show_tail(log_path)
        return result

    def show_tail(self, log_path):
        lines = read_lines(log_path)[-TAIL_LINES:]
        self.say("\n".join([f"    the end of {os.path.relpath(log_path, ROOT)}:"]
                           + ["    | " + line for line in lines]))


def end_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def read_lines(path):
    with open(path, "rb") as file:
        return file.read().decode("utf-8", errors="replace").splitlines()


def counts(result):
    text = f"{result.passed} passed, {result.failed} failed"
    return text + (f", {result.skipped} skipped" if result.skipped else "")


def judge(status, lines, seconds_max):
    """Turn an exit status and the last line into counts. What cannot be trusted is a failure."""
    match = SUMMARY.match(lines[-1]) if lines else None
    passed, failed, skipped = (int(n or 0) for n in match.groups()) if match else (0, 0, 0)
    if status is None:
        return Result(passed, failed + 1, skipped, f"ended after {seconds_max} s")
    if match is None:
        return Result(0, 1, 0, f"no summary line, exit status {status}")
    if status != 0 and failed == 0:
        return Result(passed, 1, skipped, f"exit status {status}")
    if passed + failed + skipped == 0:
        return Result(0, 1, 0, "no case was run")
    return Result(passed, failed, skipped)


def build_all(runner):
    """Make the builds that the stages use. Returns the result of the first that fails."""
    for name, arguments in BUILDS:
        runner.say(f"--> build {name}")
        command = [os.path.join(ROOT, "tools", "build.sh")] + arguments
        status, seconds, log_path = runner.run("build-" + name, command,
                                               STAGE_SECONDS_MAX)
        runner.say(f"<-- build {name}: {'done' if status == 0 else 'failed'} in {seconds:.1f} s")
        if status != 0:
            runner.show_tail(log_path)
            return Result(0, 1, 0, "build")
    return None


def run_lanes(runner, stages):
    results = {}

    def run_lane(lane):
        for stage in stages:
            if stage.lane == lane and not runner.is_stopping:
                results[stage.name] = runner.stage(stage)

    threads = [threading.Thread(target=run_lane, args=(lane,))
               for lane in sorted({stage.lane for stage in stages})]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def find_stages(only):
    stages = []
    for path in sorted(glob.glob(os.path.join(ROOT, "tests", "check.d", "[0-9]*"))):
        if os.access(path, os.X_OK) and os.path.isfile(path):
            stage = Stage(path)
            if not only or any(word in stage.name for word in only):
                stages.append(stage)
    return stages


def print_skips(stages):
    """The reasons: lines "skipped: CASE: REASON" of the logs."""
    for stage in stages:
        path = os.path.join(LOGS, stage.name + ".log")
        if os.path.exists(path):
            for line in read_lines(path):
                if line.startswith("skipped: "):
                    print(f"{stage.name}: {line}")


def print_failures(stages, results):
    """What failed, once more and last: people look there, and what was skipped is a long list."""
    for stage in stages:
        result = results[stage.name]
        if result.failed:
            reason = f" ({result.reason})" if result.reason else ""
            print(f"{stage.name}: {counts(result)}{reason}")
            lines = read_lines(os.path.join(LOGS, stage.name + ".log"))
            named = [line for line in lines[:-1] if FAILURE.search(line)]
            for line in (named or lines)[-FAILURE_LINES:]:
                print("    | " + line)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/check.sh", add_help=False)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("stages", nargs="*")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    stages = find_stages(arguments.stages)
    if arguments.list:
        for stage in stages:
            print(f"{stage.name}  lane {stage.lane}  {stage.title}")
        return 0
    os.makedirs(LOGS, exist_ok=True)
    environment = dict(os.environ, ORBIT_BUILD=os.path.join(ROOT, "build", "release"),
                       ORBIT_BUILD_ASAN=os.path.join(ROOT, "build", "asan"),
                       ORBIT_LONG="1" if arguments.long else "0", LC_ALL="C.UTF-8")
    runner = Runner(environment, arguments.long)

    def interrupt(_signal, _frame):
        runner.stop()

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    begin = time.monotonic()
    broken = build_all(runner)
    results = {"build": broken} if broken else run_lanes(runner, stages)
    total = Result(*(sum(getattr(result, field) for result in results.values())
                     for field in ("passed", "failed", "skipped")))
    if runner.is_stopping:
        total.failed += 1
        print("interrupted")
    if total.passed + total.failed == 0:
        total.failed = 1
        print("no case was run")
    print_skips([stage for stage in stages if stage.name in results])
    print_failures([stage for stage in stages if stage.name in results], results)
    print(f"all stages took {time.monotonic() - begin:.0f} s")
    print(counts(total))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
