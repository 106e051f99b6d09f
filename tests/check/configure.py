#!/usr/bin/python3
"""What ./configure says when something is missing: all packages in one message with one command,
and the machine it does not build for by name."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PACKAGES = {"URING": "liburing-dev", "JEMALLOC": "libjemalloc-dev", "LZ4": "liblz4-dev",
            "XXHASH": "libxxhash-dev", "INIH": "libinih-dev", "SYSTEMD": "libsystemd-dev"}
PEERS = {"ROCKSDB": "librocksdb-dev", "LEVELDB": "libleveldb-dev", "LMDB": "liblmdb-dev",
         "WIREDTIGER": "libwiredtiger-dev", "SQLITE": "libsqlite3-dev"}
SECONDS_MAX = 120


def configure(*arguments):
    """Run configure in a folder of its own; returns (exit status, output)."""
    folder = tempfile.mkdtemp(prefix="orbit-configure-")
    try:
        run = subprocess.run([os.path.join(ROOT, "configure"), *arguments], cwd=folder,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=SECONDS_MAX)
        return run.returncode, run.stdout.decode(errors="replace")
    finally:
        shutil.rmtree(folder)


def command_in(output):
    """The packages of the one apt-get command in the output."""
    commands = re.findall(r"^\s*apt-get install (.*)$", output, re.M)
    return sorted(commands[0].split()) if len(commands) == 1 else None


def every_missing_package_is_named_in_one_command():
    status, output = configure(*(f"orbit_cv_have_{name}=no" for name in PACKAGES))
    return status != 0 and command_in(output) == sorted(PACKAGES.values())


def one_missing_package_is_named_alone():
    status, output = configure("orbit_cv_have_LZ4=no")
    return status != 0 and command_in(output) == ["liblz4-dev"]


def sanitizers_need_no_jemalloc():
    status, _ = configure("--enable-sanitize", "orbit_cv_have_JEMALLOC=no")
    return status == 0


def bpf_is_refused_with_its_packages():
    status, output = configure("--with-bpf", "orbit_cv_have_BPF=no", "ac_cv_path_BPFTOOL=")
    named = command_in(output)
    return status != 0 and named is not None and "libbpf-dev" in named


def another_machine_is_refused_by_name():
    status, output = configure("--host=other-linux-gnu", "CC=gcc", "CPPFLAGS=-U__x86_64__")
    return status != 0 and "Linux on x86-64 only" in output


def sanitizers_that_exclude_each_other_are_refused():
    status, output = configure("--enable-sanitize", "--enable-tsan")
    return status != 0 and "exclude each other" in output


def a_missing_test_framework_does_not_stop_the_build():
    status, output = configure("orbit_cv_have_CRITERION=no")
    return status == 0 and command_in(output) is None and "libcriterion-dev" in output


def missing_peers_of_the_benchmark_do_not_stop_the_build():
    status, output = configure(*(f"orbit_cv_have_{name}=no" for name in PEERS))
    return (status == 0 and command_in(output) is None
            and all(package in output for package in PEERS.values()))


CASES = [every_missing_package_is_named_in_one_command, one_missing_package_is_named_alone,
         sanitizers_need_no_jemalloc, bpf_is_refused_with_its_packages,
         another_machine_is_refused_by_name, sanitizers_that_exclude_each_other_are_refused,
         a_missing_test_framework_does_not_stop_the_build,
         missing_peers_of_the_benchmark_do_not_stop_the_build]


def main():
    failed = 0
    for case in CASES:
        is_good = case()
        print(("ok " if is_good else "FAILED ") + case.__name__, flush=True)
        failed += not is_good
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
