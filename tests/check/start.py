#!/usr/bin/python3
"""orbit-server as its administrator meets it: each way in which a start can fail has its exit
status and a message that names the cause; flags, file, password, readiness and the stop work as
the manual says; orbitctl asks, stops and verifies; gdb lists the fibers."""

import ctypes
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.lib.server import Connection, ReplyError, Tally, free_port  # noqa: E402

BUILD = os.environ["ORBIT_BUILD"]
SERVER = os.path.join(BUILD, "orbit-server")
CTL = os.path.join(BUILD, "orbitctl")
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 5  # What the manual promises.
IO_URING_SETUP = 425
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


class NotAllowed(Exception):
    """The machine does not let the case look."""


class Case:
    """A folder and the processes started in it; all are gone afterwards."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="orbit-start-")
        self.folder = self.temporary.name
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.temporary.cleanup()

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def log(self):
        with open(os.path.join(self.folder, "log"), "rb") as file:
            return file.read().decode(errors="replace")

    def run(self, flags, **options):
        """The data folder is "data" and the port 0 unless the flags say otherwise."""
        flags = [str(flag) for flag in flags]
        for flag, value in (("--data-dir", "data"), ("--redis-port", "0"), ("--cpus", "none")):
            if flag not in flags:
                flags = [flag, value] + flags
        with open(os.path.join(self.folder, "log"), "wb") as log:
            process = subprocess.Popen([SERVER] + flags, cwd=self.folder, stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def refused(self, status, texts, flags, **options):
        """The start fails with the status, and one message names the cause."""
        process = self.run(flags, **options)
        found = process.wait(START_SECONDS_MAX)
        log = self.log()
        expect(found == status, f"exit status {found} instead of {status}: {log}")
        for text in texts:
            expect(re.search(text, log), f"the message does not match {text!r}: {log}")

    def up(self, flags=(), **options):
        process = self.run(list(flags), **options)
        begin = time.monotonic()
        while " ready: " not in self.log():
            expect(process.poll() is None, f"ended with {process.returncode}: {self.log()}")
            expect(time.monotonic() - begin < START_SECONDS_MAX, "not ready in time")
            time.sleep(0.02)  # The next look at its log.
        return process

    def stop(self, process, number=signal.SIGTERM):
        begin = time.monotonic()
        process.send_signal(number)
        status = process.wait(STOP_SECONDS_MAX + 30)
        seconds = time.monotonic() - begin
        expect(status == 0, f"exit status {status}: {self.log()}")
        expect(seconds < STOP_SECONDS_MAX, f"the stop took {seconds:.1f} s")


def ctl(arguments):
    run = subprocess.run([CTL] + [str(word) for word in arguments], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return run.returncode, run.stdout.decode(errors="replace")


# ---- A start that is refused ----


def a_wrong_flag_or_value_is_64():
    for flags, text in ((["--no-such-flag", "1"], "no-such-flag"), (["--shards", "0"], "shards"),
                        (["--memory", "1M"], "64 MiB"), (["--memory", "lots"], "memory"),
                        (["--durability", "maybe"], "sync, interval:MS or none"),
                        (["--bind", "localhost"], "numeric"), (["--redis-port", "70000"], "65535"),
                        (["--log-level", "loud"], "debug"), (["--cpus", "4-2"], "4-2"),
                        (["--shards"], "needs a value")):
        with Case() as case:
            case.refused(64, [text], flags)


def a_key_of_the_file_that_is_not_known_is_64_and_named_with_its_line():
    with Case() as case:
        path = case.write("orbit.conf", "# one\nshards = 2\nsharts = 2\n")
        case.refused(64, ["sharts", "line 3", "orbit.conf"], ["--config", path])
        path = case.write("orbit.conf", "[server]\nshards = 2\n")
        case.refused(64, ["section"], ["--config", path])


def another_number_of_shards_is_served():
    with Case() as case:
        for shards in ("2", "1", "3"):
            case.stop(case.up(["--shards", shards]))


def a_damaged_folder_is_65_and_the_file_is_named():
    with Case() as case:
        case.stop(case.up())
        path = os.path.join(case.folder, "data", "shard-0", "STORE")
        with open(path, "r+b") as file:
            byte = file.read(16)[15]
            file.seek(15)
            file.write(bytes([byte ^ 0x10]))
        case.refused(65, ["STORE"], [])


def a_file_that_cannot_be_read_is_66():
    with Case() as case:
        case.refused(66, ["none.conf"], ["--config", "none.conf"])
        case.refused(66, ["none.txt"], ["--password-file", "none.txt"])


def a_taken_port_or_a_foreign_address_is_69():
    with Case() as case, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        case.refused(69, [str(port), "use"], ["--redis-port", port])
        password = case.write("password", "secret\n")
        case.refused(69, ["192.0.2.1"], ["--bind", "192.0.2.1", "--redis-port", free_port(),
                                         "--password-file", password])


def forbid_io_uring():
    """In the child before exec: a seccomp filter that denies io_uring_setup with EPERM."""
    # Load the system call's number; is it io_uring_setup? then EPERM, else allow.
    program = [(0x20, 0, 0, 0), (0x15, 0, 1, IO_URING_SETUP), (0x06, 0, 0, 0x00050001),
               (0x06, 0, 0, 0x7fff0000)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) != 0):
        os._exit(99)


def a_kernel_that_refuses_io_uring_is_71_and_the_remedy_is_named():
    with Case() as case:
        case.refused(71, ["io_uring", "seccomp"], [], preexec_fn=forbid_io_uring)


def a_data_folder_that_cannot_be_made_is_73():
    with Case() as case:
        case.write("file", "no folder\n")
        case.refused(73, ["file"], ["--data-dir", "file"])
        case.refused(73, ["none"], ["--data-dir", "none/data"])


def a_folder_in_use_is_75():
    with Case() as case:
        case.up()
        case.refused(75, ["another"], [])


def a_bind_beyond_loopback_without_a_password_is_77():
    with Case() as case:
        case.refused(77, ["password"], ["--bind", "0.0.0.0", "--redis-port", free_port()])
        case.refused(77, ["dev-mode"], ["--bind", "0.0.0.0", "--dev-mode"])


# ---- A start that works ----


def flags_go_before_the_file():
    with Case() as case:
        wrong, right = free_port(), free_port()
        path = case.write("orbit.conf", f"redis-port = {wrong}\nshards = 2\n; a comment\n")
        case.up(["--config", path, "--redis-port", right])
        with Connection(right) as connection:
            expect(connection.call("PING") == b"PONG", "no PONG")
        expect("2 shard" in case.log(), "the file's number of shards was not taken")


def port_0_listens_nowhere_and_the_missing_folder_is_made():
    with Case() as case:
        process = case.up(["--redis-port", "0"])
        listing = subprocess.run(["ls", "-l", f"/proc/{process.pid}/fd"], check=True,
                                 stdout=subprocess.PIPE).stdout
        expect(b"socket:" not in listing, "a socket is open")
        expect(os.path.isdir(case.folder + "/data/shard-0"), "no data folder")


def the_password_is_asked_for():
    with Case() as case:
        port = free_port()
        password = case.write("password", "open sesame\nsecond line\n")
        case.up(["--redis-port", port, "--password-file", password])
        with Connection(port) as connection:
            try:
                connection.call("GET", "key")
                expect(False, "answered without a password")
            except ReplyError as error:
                expect(str(error).startswith("NOAUTH"), str(error))
            try:
                connection.call("AUTH", "open sesam")
                expect(False, "a wrong password was taken")
            except ReplyError as error:
                expect(str(error).startswith("WRONGPASS"), str(error))
            expect(connection.call("AUTH", "open sesame") == b"OK", "the password was refused")
        status, output = ctl(["--port", port, "ping"])
        expect(status == 1 and "NOAUTH" in output, f"orbitctl without: {status} {output}")
        status, output = ctl(["--port", port, "--password-file", password, "ping"])
        expect(status == 0 and output == "PONG\n", f"orbitctl with it: {status} {output}")


def systemd_is_told_of_readiness_and_of_the_stop():
    with Case() as case, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = os.path.join(case.folder, "notify")
        notify.bind(path)
        notify.settimeout(START_SECONDS_MAX)
        process = case.up(env=dict(os.environ, NOTIFY_SOCKET=path))
        expect(b"READY=1" in notify.recv(4096), "no READY=1")
        case.stop(process)
        expect(b"STOPPING=1" in notify.recv(4096), "no STOPPING=1")


# ---- The stop ----


def both_signals_stop_it_while_clients_are_connected():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Case() as case:
            port = free_port()
            process = case.up(["--redis-port", port])
            with Connection(port) as idle, Connection(port) as busy:
                idle.call("PING")
                busy.send_raw(b"SET key value\r\n" * 1000 + b"SET half")
                case.stop(process, number)


def what_was_acknowledged_before_a_stop_is_there_after_a_start():
    with Case() as case:
        port = free_port()
        flags = ["--redis-port", port, "--durability", "none"]
        process = case.up(flags)
        with Connection(port) as connection:
            for i in range(1000):
                connection.call("SET", f"key:{i}", f"value:{i}")
        case.stop(process)
        case.up(flags)
        with Connection(port) as connection:
            expect(connection.call("DBSIZE") == 1000, "keys are missing")
            expect(connection.call("GET", "key:999") == b"value:999", "a value is wrong")


def orbitctl_lists_transactions(port):
    with Connection(port) as connection:
        connection.call("ORBIT.BEGIN", "REPEATABLE", "READ")
        connection.call("SET", "key:1", "v" * 100)
        status, output = ctl(["--port", port, "txns", "--json"])
        lines = [json.loads(line) for line in output.splitlines()]
        expect(status == 0 and len(lines) == 1, f"txns: {status} {output}")
        expect(lines[0]["isolation"] == "repeatable read" and lines[0]["state"] == "idle"
               and lines[0]["holds_horizon"] == 1, f"txns: {output}")
        status, output = ctl(["--port", port, "txns"])
        expect(status == 0 and "repeatable read" in output and "*" in output, f"txns: {output}")
        connection.call("ORBIT.ROLLBACK")
    status, output = ctl(["--port", port, "txns", "--json"])
    expect(status == 0 and output == "", f"no txns: {status} {output}")
    expect(ctl(["txns", "now"])[0] == 64, "a wrong word behind txns has another status than 64")


def orbitctl_shows_shards(port):
    status, output = ctl(["--port", port, "shards", "--json"])
    rows = [json.loads(line) for line in output.splitlines()]
    expect(status == 0 and [row["shard"] for row in rows] == [0, 1], f"shards: {status} {output}")
    expect(sum(row["slots"] for row in rows) == 16384 and sum(row["keys"] for row in rows) == 1000
           and all(row["state"] == "serving" and row["slots"] == row["slots_wanted"]
                   for row in rows), f"shards: {output}")
    names = {"slots_left", "slots_moved", "keys_moved", "bytes_moved", "groups_moved", "retries",
             "blocked_by", "move_us", "hold_us_max", "last_retry"}
    expect(names <= set(rows[0]) and rows[0]["slots_left"] == 0, f"shards: {output}")
    status, output = ctl(["--port", port, "shards"])
    lines = output.splitlines()
    expect(status == 0 and len(lines) == 3 and lines[0].split()[:4] ==
           ["shard", "state", "slots", "share"] and lines[1].split()[1] == "serving",
           f"shards: {status} {output}")
    expect(ctl(["shards", "now"])[0] == 64, "a wrong word behind shards has no status 64")
    expect(ctl(["--port", free_port(), "shards"])[0] == 1, "shards when down: not status 1")


def orbitctl_names_who_holds_a_move_up():
    with Case() as case:
        port = free_port()
        process = case.up(["--redis-port", port, "--shards", "1"])
        with Connection(port) as connection:
            connection.pipeline([("SET", f"key:{i}", "v" * 100) for i in range(1000)])
        case.stop(process)
        process = case.up(["--redis-port", port, "--shards", "2"])
        with Connection(port) as connection:
            connection.call("ORBIT.BEGIN")
            held = connection.pipeline([("SET", f"key:{i}", "held") for i in range(1000)])
            is_late = any(reply != b"OK" for reply in held)  # It may be over before.
            status, output = ctl(["--port", port, "txns", "--json"])
            begin = time.monotonic()
            row = {"state": "moving", "blocked_by": 0, "slots_left": 1}
            while (not is_late and row["slots_left"] > 0 and row["blocked_by"] == 0 and
                   time.monotonic() - begin < 20):
                status, rows = ctl(["--port", port, "shards", "--json"])
                row = json.loads(rows.splitlines()[0])
                time.sleep(0.05)  # The mover waits 0.2 s for a lock.
            if row["blocked_by"] != 0:
                expect(row["blocked_by"] == json.loads(output.splitlines()[0])["id"],
                       f"{row} and {output}")
                status, text = ctl(["--port", port, "shards"])
                expect(status == 0 and "has locked" in text, f"shards: {text}")
            else:
                expect(is_late or row["slots_left"] == 0, f"nobody is named: {row}")
            connection.call("ORBIT.ROLLBACK")
            while row["slots_left"] > 0 and time.monotonic() - begin < 40:
                status, rows = ctl(["--port", port, "shards", "--json"])
                row = json.loads(rows.splitlines()[0])
                time.sleep(0.05)  # Until the slots have moved.
            expect(row["slots_left"] == 0 and connection.call("DBSIZE") == 1000, f"stuck: {row}")
        case.stop(process)


def orbitctl_asks_stops_and_verifies():
    with Case() as case:
        port = free_port()
        process = case.up(["--redis-port", port, "--shards", "2"])
        with Connection(port) as connection:
            connection.pipeline([("SET", f"key:{i}", "v" * 100) for i in range(1000)])
        status, output = ctl(["--port", port, "info", "server"])
        expect(status == 0 and "orbit_version:" in output, f"info: {status} {output}")
        orbitctl_lists_transactions(port)
        orbitctl_shows_shards(port)
        data = case.folder + "/data"
        status, output = ctl(["verify", data])
        expect(status == 2 and "stop it first" in output, f"verify while up: {status} {output}")
        status, output = ctl(["--port", port, "stop"])
        expect(status == 0, f"stop: {status} {output}")
        expect(process.wait(STOP_SECONDS_MAX) == 0, "the server's exit status")
        status, output = ctl(["--port", port, "ping"])
        expect(status == 1 and "no server" in output, f"ping when down: {status} {output}")
        status, output = ctl(["verify", data])
        expect(status == 0 and output.rstrip().endswith("sound"), f"verify: {status} {output}")
        records = sum(int(words) for words in re.findall(r"(\d+) log records", output))
        expect(records == 1000 and "shard 1:" in output, f"verify counts: {output}")
        with open(data + "/shard-0/STORE", "r+b") as file:
            file.seek(40)
            damaged = bytes([file.read(1)[0] ^ 1])
            file.seek(40)
            file.write(damaged)
        status, output = ctl(["verify", data])
        expect(status == 1 and "shard-0/STORE" in output, f"verify of damage: {status} {output}")
        expect(ctl(["fly"])[0] == 64, "an unknown command has another status than 64")


def gdb_lists_the_fibers_and_their_stacks():
    with Case() as case:
        process = case.up(["--shards", "2"])
        script = os.path.join(ROOT, "tools", "gdb", "orbit-fibers.py")
        run = subprocess.run(["gdb", "-q", "-batch", "-nx", "-p", str(process.pid), "-x", script,
                              "-ex", "orbit-fibers", "-ex", "orbit-fiber-stack all"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=120)
        output = run.stdout.decode(errors="replace")
        if "ptrace: Operation not permitted" in output:
            raise NotAllowed("gdb may not attach to a process here")
        listing, found, stacks = output.partition(" fibers\n")
        expect(found, f"no list: {output}")
        expect(listing.count("lsm flush") == 2, f"not one flush fiber a shard: {listing}")
        expect("shard 1" in listing, f"no second shard: {listing}")
        expect(stacks.count("flush_fiber") == 2, f"not the stacks of both: {stacks}")
        case.stop(process)


def main():
    tally = Tally()
    cases = [a_wrong_flag_or_value_is_64,
             a_key_of_the_file_that_is_not_known_is_64_and_named_with_its_line,
             another_number_of_shards_is_served, a_damaged_folder_is_65_and_the_file_is_named,
             a_file_that_cannot_be_read_is_66, a_taken_port_or_a_foreign_address_is_69,
             a_kernel_that_refuses_io_uring_is_71_and_the_remedy_is_named,
             a_data_folder_that_cannot_be_made_is_73, a_folder_in_use_is_75,
             a_bind_beyond_loopback_without_a_password_is_77, flags_go_before_the_file,
             port_0_listens_nowhere_and_the_missing_folder_is_made, the_password_is_asked_for,
             systemd_is_told_of_readiness_and_of_the_stop,
             both_signals_stop_it_while_clients_are_connected,
             what_was_acknowledged_before_a_stop_is_there_after_a_start,
             orbitctl_asks_stops_and_verifies, orbitctl_names_who_holds_a_move_up]
    for case in cases:
        tally.run(case.__name__, case)
    try:
        gdb_lists_the_fibers_and_their_stacks()
        tally.ok("gdb_lists_the_fibers_and_their_stacks")
    except NotAllowed as error:
        tally.skip("gdb_lists_the_fibers_and_their_stacks", error)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        tally.fail("gdb_lists_the_fibers_and_their_stacks", error)
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
