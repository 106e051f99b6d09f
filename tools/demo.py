#!/usr/bin/python3
"""The demo of Orbit's main job on real data: the package index of this Debian machine.

1. Load `apt-cache dumpavail`, one key a package (package:NAME; of several records with one name
   the last wins), through `redis-cli --pipe`.
2. Read every record back and compare it byte for byte.
3. Load all again under other keys (again:NAME), note each acknowledged write, and kill the server
   by SIGKILL in the middle.
4. Start it on the same folder and show that every acknowledged write is there, and that nothing
   is there which was not sent.

tools/quickstart.sh builds the server and calls this. Only the standard library is used.
"""

import argparse
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HOST = "127.0.0.1"
FIRST = b"package:"
SECOND = b"again:"
RUN_LINE = b"Demo-Run: "
BATCH = 256  # Commands which are sent at once.
WINDOW = 2 * BATCH  # Writes which may wait for their acknowledgement.
BURST = 16 * BATCH  # Writes which are sent right before the kill, so that it meets some in flight.
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10
REPLY_SECONDS_MAX = 60
PORT_TAKEN_STATUS = 69  # Of orbit-server.
NO_INDEX_STATUS = 77  # The exit status when there is no data, as test programs say "skipped".


class DemoError(Exception):
    """A step of the demo failed; the message is for the user."""


class NoPackageIndex(DemoError):
    """This machine has no package index and none can be fetched."""


class Interrupted(Exception):
    """SIGINT or SIGTERM arrived."""


def say(text):
    print(text, flush=True)


class Progress:
    """A count that is redrawn on a terminal, and printed at each quarter elsewhere."""

    def __init__(self, label, total):
        self.label = label
        self.total = max(total, 1)
        self.begin = time.monotonic()
        self.drawn = self.begin
        self.quarter = 0
        self.is_tty = sys.stdout.isatty()

    def show(self, count):
        now = time.monotonic()
        if self.is_tty:
            if now - self.drawn >= 0.1:
                self.drawn = now
                print(f"\r  {self.label}: {count:,} of {self.total:,} ", end="", flush=True)
        elif count * 4 // self.total > self.quarter and count < self.total:
            self.quarter = count * 4 // self.total
            say(f"  {self.label}: {count:,} of {self.total:,}")

    def done(self, count):
        seconds = max(time.monotonic() - self.begin, 1e-6)
        lead = "\r" if self.is_tty else ""
        say(f"{lead}  {self.label}: {count:,} in {seconds:.1f} s ({count / seconds:,.0f}/s)")


class Server:
    """One orbit-server process on a data folder and a port."""

    def __init__(self, program, data_dir, port, log_path):
        self.program = program
        self.data_dir = data_dir
        self.port = port
        self.log_path = log_path
        self.process = None
        self.was_killed = False

    def start(self):
        command = [self.program, "--data-dir", self.data_dir, "--redis-port", str(self.port)]
        begin = time.monotonic()
        self.launch(command)
        while time.monotonic() - begin < START_SECONDS_MAX:
            # After SIGKILL the kernel closes the sockets a moment after the process has gone.
            if self.was_killed and self.process.poll() == PORT_TAKEN_STATUS:
                time.sleep(0.1)
                self.launch(command)
            elif self.process.poll() is not None:
                raise DemoError(f"orbit-server exited with status {self.process.returncode}; "
                                f"the end of {self.log_path}:\n{self.log_tail()}")
            if self.answers():
                return time.monotonic() - begin
            time.sleep(0.02)
        raise DemoError(f"orbit-server did not answer within {START_SECONDS_MAX} s")

    def launch(self, command):
        with open(self.log_path, "ab") as log:
            # A session of its own: Ctrl-C is for the demo, which then stops the server in order.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)

    def answers(self):
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as sock:
                sock.sendall(b"*1\r\n$4\r\nPING\r\n")
                return sock.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def log_tail(self):
        with open(self.log_path, "rb") as log:
            return b"".join(log.readlines()[-10:]).decode(errors="replace")

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.was_killed = True

    def stop(self):
        """SIGTERM, and SIGKILL when the server does not follow. Returns the exit status."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DemoError(f"orbit-server did not stop within {STOP_SECONDS_MAX} s of SIGTERM")


class Client:
    """As much of a Redis client as the demo needs: pipelined commands and their replies."""

    def __init__(self, port):
        self.sock = socket.create_connection((HOST, port), timeout=REPLY_SECONDS_MAX)
        self.replies = self.sock.makefile("rb", 1 << 20)

    def send(self, commands):
        self.sock.sendall(b"".join(encode(command) for command in commands))

    def reply(self):
        """One reply: bytes, int, None for a null. A cut stream raises EOFError."""
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self.bulk(int(rest))
        if kind == b"-":
            raise DemoError("the server answered: " + rest.decode(errors="replace"))
        raise DemoError(f"the server sent a reply that is not understood: {line[:60]!r}")

    def bulk(self, size):
        if size < 0:
            return None
        body = self.replies.read(size + 2)
        if len(body) < size + 2:
            raise EOFError
        return body[:-2]

    def close(self):
        self.replies.close()
        self.sock.close()


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def batches(items):
    for begin in range(0, len(items), BATCH):
        yield items[begin:begin + BATCH]


def dump_available():
    return subprocess.run(["apt-cache", "dumpavail"], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE).stdout


def read_package_index():
    """All records of the index as {name: record}."""
    if shutil.which("apt-cache") is None:
        raise NoPackageIndex("apt-cache is missing: the demo needs a Debian machine")
    text = dump_available()
    if not text.strip():
        command = ["apt-get", "update", "-q"]
        if os.geteuid() != 0:
            if shutil.which("sudo") is None:
                raise NoPackageIndex("the package index is empty; run as root: apt-get update")
            command.insert(0, "sudo")
        say("  the package index is empty; running apt-get update")
        if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
            raise NoPackageIndex("apt-get update failed, so there is no package index to load")
        text = dump_available()
    records = {}
    for record in text.split(b"\n\n"):
        record = record.strip(b"\n")
        if record.startswith(b"Package: "):
            name = record.split(b"\n", 1)[0][len(b"Package: "):].strip()
            records[name] = record
    if not records:
        raise NoPackageIndex("apt-cache dumpavail gave no record, even after apt-get update")
    return records


def load_by_redis_cli(port, records):
    """Feed SET commands to redis-cli --pipe, which counts replies and errors itself."""
    pipe = subprocess.Popen(["redis-cli", "-h", HOST, "-p", str(port), "--pipe"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
    output = []
    reader = threading.Thread(target=lambda: output.append(pipe.stdout.read()), daemon=True)
    reader.start()
    progress = Progress("written", len(records))
    count = 0
    try:
        for batch in batches(list(records.items())):
            pipe.stdin.write(b"".join(encode((b"SET", FIRST + name, record))
                                      for name, record in batch))
            count += len(batch)
            progress.show(count)
        pipe.stdin.close()
    except BrokenPipeError:
        pass
    status = pipe.wait()
    reader.join()
    text = output[0].decode(errors="replace").strip()
    last = text.splitlines()[-1] if text else ""
    if status != 0 or last != f"errors: 0, replies: {len(records)}":
        raise DemoError(f"redis-cli --pipe failed (status {status}):\n{text[-500:]}")
    progress.done(count)
    say(f"  redis-cli says: {last}")


def read_back(port, records):
    """Compare every record of the first load byte for byte."""
    client = Client(port)
    progress = Progress("read back and compared", len(records))
    count = 0
    for batch in batches(list(records.items())):
        client.send([(b"GET", FIRST + name) for name, _ in batch])
        for name, record in batch:
            found = client.reply()
            if found != record:
                what = "is missing" if found is None else "differs from what was written"
                raise DemoError(f"{(FIRST + name).decode(errors='replace')} {what}")
            count += 1
        progress.show(count)
    client.close()
    progress.done(count)


def second_value(record, run):
    return record + b"\n" + RUN_LINE + run


def load_and_kill(server, records, run, rng):
    """Write the records again and kill the server at about half. Returns (sent, acknowledged)
    as lists of names in the order of sending; the second is a prefix of the first."""
    names = list(records)
    kill_at = rng.randrange(len(names) * 4 // 10, len(names) * 6 // 10 + 1)
    client = Client(server.port)
    progress = Progress("acknowledged", len(names))
    sent = 0
    acknowledged = 0

    def send(count):
        batch = names[sent:sent + count]
        client.send([(b"SET", SECOND + name, second_value(records[name], run)) for name in batch])
        return len(batch)

    try:
        while acknowledged < kill_at:
            sent += send(BATCH)
            while acknowledged < kill_at and sent - acknowledged > WINDOW - BATCH:
                client.reply()
                acknowledged += 1
            progress.show(acknowledged)
        sent += send(BURST)
        server.kill()
        while acknowledged < sent:  # What left the server before it died was acknowledged too.
            client.reply()
            acknowledged += 1
    except (EOFError, ConnectionError):
        pass
    client.close()
    progress.done(acknowledged)
    say(f"  killed process {server.process.pid} with {sent - acknowledged:,} writes in flight")
    return names[:sent], names[:acknowledged]


def is_second_value(found, record, run):
    """Is this the record as this run (or with run None: any run) wrote it?"""
    body, _, last = found.rpartition(b"\n")
    if body != record or not last.startswith(RUN_LINE):
        return False
    return run is None or last == RUN_LINE + run


def check_second_load(port, records, sent, acknowledged_count, run):
    """Every acknowledged write is there; one in flight is there as a whole or not at all."""
    client = Client(port)
    progress = Progress("acknowledged writes checked", acknowledged_count)
    lost = []
    arrived = 0
    position = 0
    for batch in batches(sent):
        client.send([(b"GET", SECOND + name) for name in batch])
        for name in batch:
            found = client.reply()
            key = (SECOND + name).decode(errors="replace")
            is_new = found is not None and is_second_value(found, records[name], run)
            if position < acknowledged_count:
                if not is_new:
                    lost.append(key)
            elif is_new:
                arrived += 1
            elif found is not None and not is_second_value(found, records[name], None):
                raise DemoError(f"{key} holds something that was never written")
            position += 1
        progress.show(min(position, acknowledged_count))
    client.close()
    if lost:
        raise DemoError(f"{len(lost):,} acknowledged writes are lost, the first: {lost[0]}")
    progress.done(acknowledged_count)
    say(f"  of {acknowledged_count:,} acknowledged writes 0 are lost; of the "
        f"{len(sent) - acknowledged_count:,} in flight {arrived:,} had arrived")


def run_demo(server, seed):
    rng = random.Random(seed)
    say("[1/5] Debian's package index of this machine")
    records = read_package_index()
    size = sum(len(record) for record in records.values())
    say(f"  {len(records):,} packages, {size / 1e6:.1f} MB")
    say("[2/5] loading it through redis-cli --pipe, one key a package")
    load_by_redis_cli(server.port, records)
    say("[3/5] reading every record back")
    read_back(server.port, records)
    say("[4/5] loading it again under other keys, and SIGKILL in the middle")
    run = secrets.token_hex(8).encode()
    sent, acknowledged = load_and_kill(server, records, run, rng)
    say("[5/5] starting the server again on the same folder")
    seconds = server.start()
    say(f"  it answers after {seconds:.2f} s")
    check_second_load(server.port, records, sent, len(acknowledged), run)
    read_back(server.port, records)
    say("demo: passed")


def port_is_free(port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_port(wanted):
    if port_is_free(wanted):
        return wanted
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port = sock.getsockname()[1]
    say(f"port {wanted} is taken; using {port}")
    return port


def interrupt(_signal, _frame):
    raise Interrupted


def stay_up(server):
    say(f"\norbit-server is up on {HOST}:{server.port}, its data in {server.data_dir}. Try:")
    say(f"    redis-cli -p {server.port} get package:bash")
    say("Ctrl-C stops it.")
    status = server.process.wait()
    raise DemoError(f"orbit-server exited with status {status}:\n{server.log_tail()}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, help="the orbit-server program")
    parser.add_argument("--data-dir", default="./orbit-data", help="default: %(default)s")
    parser.add_argument("--redis-port", type=int, default=6379,
                        help="default %(default)s; another free one is taken when it is in use")
    parser.add_argument("--log", default="orbit-server.log", help="the server's log file")
    parser.add_argument("--seed", type=int, default=None, help="draws the moment of the kill")
    parser.add_argument("--demo-only", action="store_true",
                        help="stop the server after the demo and exit")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    server = Server(arguments.server, arguments.data_dir, choose_port(arguments.redis_port),
                    arguments.log)
    status = 0
    try:
        say(f"starting {server.program} on {server.data_dir}, log in {server.log_path}")
        say(f"  it answers on {HOST}:{server.port} after {server.start():.2f} s")
        run_demo(server, arguments.seed)
        if not arguments.demo_only:
            stay_up(server)
    except Interrupted:
        status = 0 if not arguments.demo_only else 130
    except NoPackageIndex as error:
        say(f"demo: there is nothing to load: {error}")
        status = NO_INDEX_STATUS
    except (DemoError, OSError, EOFError, subprocess.CalledProcessError) as error:
        say(f"demo: failed: {error or type(error).__name__}")
        status = 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stopped = server.stop()
    except DemoError as error:
        say(f"demo: failed: {error}")
        return 1
    if stopped is not None:
        say(f"\nstopped orbit-server; exit status {stopped}")
        status = status or (1 if stopped != 0 else 0)
    return status


if __name__ == "__main__":
    sys.exit(main())
