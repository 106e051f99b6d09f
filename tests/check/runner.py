#!/usr/bin/python3
"""Checks of the runner itself: a stage that lies, hangs, dies or runs nothing is a failure, and
what a stage leaves running is ended with it."""

import contextlib
import importlib.util
import io
import os
import sys
import tempfile
import time
import types

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = importlib.util.spec_from_file_location(
    "check", os.path.join(HERE, "..", "..", "tools", "check.py"))
check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check)

CASES = []


def case(function):
    CASES.append(function)
    return function


def run_script(text, seconds_max=20):
    """Run a stage made of a shell script; returns (result, seconds)."""
    with tempfile.TemporaryDirectory(prefix="orbit-check-") as folder:
        check.LOGS = folder
        check.HEARTBEAT_SECONDS = 0.2
        path = os.path.join(folder, "10-stage")
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(path, 0o755)
        stage = check.Stage(path)
        stage.seconds_max = seconds_max
        runner = check.Runner(dict(os.environ), False)
        runner.say = lambda text: None
        begin = time.monotonic()
        return runner.stage(stage), time.monotonic() - begin


def is_result(result, passed, failed, skipped):
    return (result.passed, result.failed, result.skipped) == (passed, failed, skipped)


@case
def a_good_stage_contributes_its_counts():
    return is_result(run_script("echo '3 passed, 0 failed, 2 skipped'\n")[0], 3, 0, 2)


@case
def a_stage_without_a_summary_fails():
    return is_result(run_script("echo hello\n")[0], 0, 1, 0)


@case
def a_stage_that_ran_no_case_fails():
    return is_result(run_script("echo '0 passed, 0 failed'\n")[0], 0, 1, 0)


@case
def a_stage_that_reports_success_but_exits_with_an_error_fails():
    return is_result(run_script("echo '3 passed, 0 failed'\nexit 4\n")[0], 3, 1, 0)


@case
def a_stage_that_is_killed_fails():
    return is_result(run_script("kill -9 $$\n")[0], 0, 1, 0)


@case
def a_stage_that_hangs_is_ended_and_fails():
    result, seconds = run_script("echo '1 passed, 0 failed'\nsleep 60\n", 0.5)
    return is_result(result, 1, 1, 0) and seconds < 20


@case
def what_a_stage_leaves_running_is_ended():
    with tempfile.NamedTemporaryFile(prefix="orbit-check-") as file:
        run_script(f"sleep 60 & echo $! >{file.name}\necho '1 passed, 0 failed'\n")
        pid = int(file.read())
    for _ in range(200):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@case
def what_failed_is_said_again_behind_what_was_skipped():
    with tempfile.TemporaryDirectory() as folder:
        logs, check.LOGS = check.LOGS, folder
        try:
            with open(os.path.join(folder, "10-a.log"), "w", encoding="utf-8") as log:
                log.write("ok one\nFAILED two: it broke\nok three\n2 passed, 1 failed\n")
            text = io.StringIO()
            with contextlib.redirect_stdout(text):
                check.print_failures([types.SimpleNamespace(name="10-a")],
                                     {"10-a": check.Result(2, 1, 0)})
        finally:
            check.LOGS = logs
    return text.getvalue() == "10-a: 2 passed, 1 failed\n    | FAILED two: it broke\n"


def main():
    failed = 0
    for function in CASES:
        is_good = function()
        print(("ok " if is_good else "FAILED ") + function.__name__)
        failed += not is_good
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
