#!/usr/bin/python3
"""A server under test, and a small RESP client; standard library only.

Every test which needs a running server starts it here, so that flags, readiness, clean-up and the
stand-in are decided in one place. Environment:

  ORBIT_BUILD  folder that holds orbit-server (default: build/release of the repository)
  ORBIT_PEER   unset: orbit-server
               redis: Debian's redis-server with the nearest flags; a test which it fails is wrong
               redis-narrow: the same, limited by an ACL to the commands that Orbit serves

Servers listen on 127.0.0.1 only, with data in a temporary folder that goes when they are closed.
Processes are ended by their own pid, also when the test itself dies by an exception.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
HOST = "127.0.0.1"

START_TIMEOUT_S = 60  # Covers replay of a large log on a slow machine.
STOP_TIMEOUT_S = 20  # SIGTERM promises 5 s; a sanitizer build on a busy machine gets more.
REPLY_TIMEOUT_S = 60
PORT_TRIES_MAX = 10
PORT_PAUSE_S = 0.2
PORT_IS_TAKEN = ["ddress already in use", "is in use by another process"]

# What Orbit serves, for the stand-in ("redis-narrow"): everything else answers NOPERM.
NARROW_COMMANDS = """
    ping echo hello auth select quit reset client
    append decr decrby get getdel getex getrange getset incr incrby incrbyfloat lcs mget mset msetnx
    psetex set setex setnx setrange strlen substr
    copy del dump exists expire expireat expiretime keys move object persist pexpire pexpireat
    pexpiretime pttl randomkey rename renamenx restore scan touch ttl type unlink
    dbsize flushdb flushall swapdb
    info config command time memory slowlog latency wait shutdown function|flush debug
""".split()


class ServerError(Exception):
    """The server did not start, died, or did not stop; the message holds the end of its log."""


class ReplyError(Exception):
    """An error reply; str() is its text, which begins with the code (ERR, WRONGTYPE, ...)."""


class ConnectionLost(Exception):
    """The server closed the connection or the connection broke."""


def encode(args):
    """One command as a RESP array; arguments are bytes, str or int."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        if isinstance(arg, str):
            arg = arg.encode()
        elif isinstance(arg, int):
            arg = b"%d" % arg
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(parts)


class Connection:
    """A blocking RESP2/RESP3 connection. Replies become bytes, int, float, bool, None, list, dict
    (RESP3 maps) or a ReplyError *value*; call() raises it, pipeline() and read() return it."""

    def __init__(self, port, host=HOST, timeout_s=REPLY_TIMEOUT_S):
        try:
            self.sock = socket.create_connection((host, port), timeout=timeout_s)
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.start = 0  # Read position within buffer.

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    def send(self, *args):
        self.send_raw(encode(args))

    def call(self, *args):
        self.send(*args)
        reply = self.read()
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def pipeline(self, commands):
        self.send_raw(b"".join(encode(command) for command in commands))
        return [self.read() for _ in commands]

    def _fill(self):
        try:
            data = self.sock.recv(262144)
        except OSError as error:
            raise ConnectionLost(str(error) or type(error).__name__) from error
        if not data:
            raise ConnectionLost("closed by the server")
        if self.start > 65536:
            del self.buffer[: self.start]
            self.start = 0
        self.buffer += data

    def _line(self):
        searched = self.start
        while True:
            end = self.buffer.find(b"\r\n", searched)
            if end >= 0:
                line = bytes(self.buffer[self.start : end])
                self.start = end + 2
                return line
            before = self.start
            searched = max(self.start, len(self.buffer) - 1)
            self._fill()
            searched -= before - self.start

    def _exactly(self, count):
        while len(self.buffer) - self.start < count:
            self._fill()
        data = bytes(self.buffer[self.start : self.start + count])
        self.start += count
        return data

    def read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ReplyError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"(":  # The text a script called a big number goes out as it is: it may be none.
            digits = rest[1:] if rest[:1] == b"-" else rest
            return int(rest) if digits.isdigit() else rest
        if kind == b"$":
            count = int(rest)
            if count < 0:
                return None
            return self._exactly(count + 2)[:-2]
        if kind == b"*" or kind == b"~" or kind == b">":
            count = int(rest)
            return None if count < 0 else [self.read() for _ in range(count)]
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        if kind == b"=":
            return self._exactly(int(rest) + 2)[4:-2]
        if kind == b"!":
            return ReplyError(self._exactly(int(rest) + 2)[:-2].decode("utf-8", "replace"))
        if kind == b"%":
            pairs = [(self.read(), self.read()) for _ in range(int(rest))]
            return dict(pairs)
        raise ServerError("not a RESP reply: %r" % line[:80])


def free_port():
    """A port that was free a moment ago; whoever uses it must cope with losing the race."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def build_folder():
    return os.environ.get("ORBIT_BUILD") or os.path.join(ROOT, "build", "release")


def peer():
    """'orbit', 'redis' or 'redis-narrow'."""
    name = os.environ.get("ORBIT_PEER") or "orbit"
    if name not in ("orbit", "redis", "redis-narrow"):
        raise ServerError("ORBIT_PEER=%s is not known" % name)
    return name


_open_servers = set()


@atexit.register
def _close_all():
    for server in list(_open_servers):
        server.close()


def end_on_sigterm():
    """Makes SIGTERM an ordinary exit, so that the servers are closed on the way out."""
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(128 + signal.SIGTERM))


class Server:
    """One server with its data folder. start() and restart() return when it answers PING.

    durability  sync, interval:MS or none
    memory      as --memory takes it, or None for the default
    extra       further flags, given to orbit-server only
    kind        'orbit', 'redis' or 'redis-narrow'; by default what ORBIT_PEER says
    parent      the folder in which the temporary folder is made, or None for the system's
    """

    def __init__(self, shards=1, durability="sync", memory=None, extra=(), data_dir=None,
                 log_level="info", port=0, kind=None, cpus="none", parent=None):
        self.kind = kind or peer()
        self.shards = shards
        self.durability = durability
        self.memory = memory
        self.extra = list(extra)
        self.log_level = log_level
        self.fixed_port = port
        self.cpus = cpus
        self.port = 0
        self.process = None
        self.folder = tempfile.mkdtemp(prefix="orbit-test-", dir=parent)
        self.data_dir = data_dir or os.path.join(self.folder, "data")
        self.log_path = os.path.join(self.folder, "server.log")
        _open_servers.add(self)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.close()

    @property
    def pid(self):
        return self.process.pid

    def arguments(self):
        if self.kind == "orbit":
            return self._orbit_arguments()
        return self._redis_arguments()

    def _orbit_arguments(self):
        arguments = [
            os.path.join(build_folder(), "orbit-server"),
            "--data-dir", self.data_dir,
            "--redis-port", str(self.port),
            "--shards", str(self.shards),
            "--durability", self.durability,
            "--cpus", self.cpus,
            "--dev-mode",
            "--log-level", self.log_level,
        ]
        if self.memory is not None:
            arguments += ["--memory", self.memory]
        return arguments + self.extra

    def _redis_arguments(self):
        os.makedirs(self.data_dir, exist_ok=True)
        arguments = [
            "redis-server", "--bind", HOST, "--port", str(self.port), "--dir", self.data_dir,
            "--save", "", "--enable-debug-command", "yes", "--enable-protected-configs", "yes",
        ]
        if self.durability == "none":
            arguments += ["--appendonly", "no"]
        else:
            fsync = "always" if self.durability == "sync" else "everysec"
            arguments += ["--appendonly", "yes", "--appendfsync", fsync]
        if self.kind == "redis-narrow":
            acl_path = os.path.join(self.folder, "users.acl")
            with open(acl_path, "w", encoding="ascii") as file:
                rules = " ".join("+" + command for command in NARROW_COMMANDS)
                file.write("user default on nopass ~* &* -@all %s\n" % rules)
            arguments += ["--aclfile", acl_path]
        return arguments

    def start(self):
        """A first start takes another port when it loses the race for one. A later start keeps its
        port: after SIGKILL the kernel takes apart the ring of a process, and with it the listening
        socket, only after the process is gone, so the port may stay taken for a moment."""
        is_first = self.port == 0
        last = None
        for _ in range(PORT_TRIES_MAX):
            self.port = self.fixed_port or self.port or free_port()
            try:
                self._start_once()
                return self
            except ServerError as error:
                last = error
                if not any(text in str(error) for text in PORT_IS_TAKEN):
                    raise
                print("note: port %d is taken, once more" % self.port, flush=True)
                if is_first:
                    self.port = 0
                else:
                    time.sleep(PORT_PAUSE_S)
        raise last

    def _start_once(self):
        with open(self.log_path, "ab") as log:
            try:
                self.process = subprocess.Popen(
                    self.arguments(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    cwd=self.folder)
            except OSError as error:
                raise ServerError("cannot run %s: %s" % (self.arguments()[0], error)) from error
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                status = self.process.returncode
                self.process = None
                raise ServerError("the server ended at start with status %d\n%s"
                                  % (status, self.log_tail()))
            try:
                with Connection(self.port, timeout_s=5) as connection:
                    if connection.call("PING") == b"PONG":
                        return
            except ReplyError as error:
                if str(error).startswith("NOAUTH"):
                    return  # It wants a password.
            except ConnectionLost:
                pass  # Not listening yet.
            time.sleep(0.005)
        self.kill()
        raise ServerError("no answer to PING within %d s\n%s" % (START_TIMEOUT_S, self.log_tail()))

    def connect(self, timeout_s=REPLY_TIMEOUT_S):
        return Connection(self.port, timeout_s=timeout_s)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL, and wait until the process is gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError("still running %d s after SIGTERM\n%s"
                              % (STOP_TIMEOUT_S, self.log_tail())) from None
        self.process = None
        return status

    def restart(self):
        """A clean stop and a start on the same port and data."""
        status = self.stop()
        if status != 0:
            raise ServerError("exit status %d after SIGTERM\n%s" % (status, self.log_tail()))
        return self.start()

    def close(self):
        """Kill what still runs and remove the temporary folder; may be called twice."""
        self.kill()
        _open_servers.discard(self)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self, lines=15):
        try:
            with open(self.log_path, "rb") as file:
                text = file.read()[-65536:].decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def cpu_seconds(self):
        """User and system time of the process so far, all threads."""
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        with open("/proc/%d/statm" % self.pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Tally:
    """Counts cases and prints them, in the form that tools/check.py reads: reasons of skipped cases
    as "skipped: CASE: REASON", and the sums in the last line."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = 0

    def ok(self, name):
        self.passed += 1
        print("ok   %s" % name, flush=True)

    def fail(self, name, why):
        self.failed += 1
        print("FAIL %s\n     %s" % (name, str(why).replace("\n", "\n     ")), flush=True)

    def skip(self, name, why, count=1):
        self.skipped += count
        print("skipped: %s: %s" % (name, why), flush=True)

    def run(self, name, function, *args):
        """One case: passes unless the function raises."""
        try:
            function(*args)
        except Exception as error:  # A case may fail in any way; all are reported.
            self.fail(name, "%s: %s" % (type(error).__name__, error))
            return False
        self.ok(name)
        return True

    def finish(self):
        """Prints the summary; returns the exit status."""
        tail = ", %d skipped" % self.skipped if self.skipped else ""
        print("%d passed, %d failed%s" % (self.passed, self.failed, tail), flush=True)
        return 1 if self.failed else 0
