#!/usr/bin/python3
"""SQL: Orbit and Debian's PostgreSQL 15 by turns, with one client: pgbench, and COPY by psql.

Each alternation runs every row on both servers, one after the other; a figure is the median of the
alternations, a ratio is Orbit to PostgreSQL within one alternation, its median with its range.
CPU a query is user plus system time of all processes and threads of the server. Both keep commits
durable (Orbit: sync; PostgreSQL: as it comes). --quick shows that it works.
"""

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "lib"))
import server  # noqa: E402  (the path is set above)

POSTGRES = "/usr/lib/postgresql/15/bin"
CLIENTS = (1, 8, 32)
TARGETS = {  # (row, clients) -> (throughput, CPU) at least, as ratios; None: not asked.
    ("select-only", 1): (1.0, 3.0), ("select-only", 8): (2.0, 3.0), ("select-only", 32): (2.5, 3.0),
    ("tpcb-like", 1): (1.2, None), ("tpcb-like", 8): (2.0, None), ("tpcb-like", 32): (2.0, None),
    ("copy in", 1): (1.5, None),
}
TICKS = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 60
RUN_TIMEOUT_S = 600


def ticks_of(pid, with_children):
    """Clock ticks of a process, and of its children that have ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return sum(int(fields[i]) for i in ((11, 12, 13, 14) if with_children else (11, 12)))


class Orbit:
    name = "orbit"

    def __init__(self, folder):
        self.port = server.free_port()
        self.instance = server.Server(shards=os.cpu_count() or 1, durability="sync", memory="2G",
                                      log_level="warning", parent=folder,
                                      extra=["--postgres-port", str(self.port)])

    def start(self):
        self.instance.start()
        self.user, self.database = "orbit", "orbit"

    def cpu_seconds(self):
        return ticks_of(self.instance.pid, False) / TICKS

    def stop(self):
        self.instance.close()


class Postgres:
    name = "postgresql"

    def __init__(self, folder):
        self.folder = tempfile.mkdtemp(prefix="postgres-", dir=folder)
        self.port = server.free_port()
        self.as_user = []
        if os.geteuid() == 0:  # initdb refuses root.
            os.chmod(folder, 0o755)
            shutil.chown(self.folder, "postgres")
            self.as_user = ["runuser", "-u", "postgres", "--"]
        self.user, self.database = "postgres", "postgres"

    def run(self, *words):
        subprocess.run([*self.as_user, *words], check=True, stdout=subprocess.DEVNULL,
                       timeout=START_TIMEOUT_S, cwd=self.folder)

    def start(self):
        data = os.path.join(self.folder, "data")
        self.run(f"{POSTGRES}/initdb", "-D", data, "-U", "postgres", "-A", "trust",
                 "--locale=C", "-E", "UTF8")
        self.run(f"{POSTGRES}/pg_ctl", "-D", data, "-w", "-l", f"{self.folder}/log", "-o",
                 f"-p {self.port} -c listen_addresses=127.0.0.1 -c shared_buffers=1GB "
                 f"-c unix_socket_directories={self.folder}", "start")
        with open(os.path.join(data, "postmaster.pid"), encoding="ascii") as file:
            self.pid = int(file.readline())

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        ticks = ticks_of(self.pid, True) + sum(ticks_of(child, True) for child in children)
        return ticks / TICKS

    def stop(self):
        self.run(f"{POSTGRES}/pg_ctl", "-D", f"{self.folder}/data", "-m", "fast", "stop")


def psql(peer, *words):
    subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", server.HOST, "-p",
                    str(peer.port), "-U", peer.user, peer.database, *words], check=True,
                   stdout=subprocess.DEVNULL, timeout=RUN_TIMEOUT_S)


def measure(peer, work):
    """(operations a second, CPU microseconds an operation); work gives how many there were."""
    cpu, began = peer.cpu_seconds(), time.monotonic()
    count = work()
    seconds = time.monotonic() - began
    return count / seconds, 1e6 * (peer.cpu_seconds() - cpu) / count


def pgbench(peer, script, clients, seconds):
    run = subprocess.run(
        ["pgbench", "-n", "-b", script, "-M", "prepared", "-c", str(clients), "-j",
         str(min(clients, 2)), "-T", str(seconds), "-h", server.HOST, "-p", str(peer.port), "-U",
         peer.user, peer.database],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=RUN_TIMEOUT_S, check=False)
    found = re.search(r"actually processed: (\d+)", run.stdout.decode())
    if run.returncode != 0 or found is None:
        sys.exit(f"pgbench on {peer.name} failed:\n{run.stdout.decode()}")
    return int(found.group(1))


def prepare(peer, options):
    subprocess.run(["pgbench", "-i", "-q", "-s", str(options.scale), "-h", server.HOST, "-p",
                    str(peer.port), "-U", peer.user, peer.database], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=RUN_TIMEOUT_S)
    psql(peer, "-c", "CREATE TABLE copied (id int PRIMARY KEY, n int, t text)")


def copy_in(peer, path, rows):
    psql(peer, "-c", "TRUNCATE copied", "-c", f"\\copy copied from '{path}'")
    return rows


def rows_of(options, path):
    rows = [(script, clients, lambda peer, script=script, clients=clients:
             pgbench(peer, script, clients, options.seconds))
            for script in ("select-only", "tpcb-like") for clients in CLIENTS]
    return rows + [("copy in", 1, lambda peer: copy_in(peer, path, options.rows))]


def show(rows, results):
    print(f"{'row':12} {'clients':>7} {'orbit/s':>10} {'pg/s':>10} {'x':>5} {'range':>12} "
          f"{'orbit us':>9} {'pg us':>7} {'CPU x':>6}  target")
    is_met = True
    for row, clients, _ in rows:
        ours, theirs = results["orbit", row, clients], results["postgresql", row, clients]
        rates = [a[0] / b[0] for a, b in zip(ours, theirs)]
        cpu = statistics.median(b[1] / a[1] for a, b in zip(ours, theirs))
        rate = statistics.median(rates)
        asked = TARGETS[row, clients]
        met = rate >= asked[0] and (asked[1] is None or cpu >= asked[1])
        is_met = is_met and met
        print(f"{row:12} {clients:7} {statistics.median(a[0] for a in ours):10.0f} "
              f"{statistics.median(b[0] for b in theirs):10.0f} {rate:5.2f} "
              f"{min(rates):5.2f}-{max(rates):<5.2f} {statistics.median(a[1] for a in ours):10.1f} "
              f"{statistics.median(b[1] for b in theirs):7.1f} {cpu:6.2f}  "
              f"{asked[0]}{'' if asked[1] is None else f', CPU {asked[1]}'} "
              f"{'met' if met else 'MISSED'}")
    return is_met


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each run of pgbench")
    parser.add_argument("--scale", type=int, default=10, help="of pgbench's tables")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of COPY")
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--dir", help="folder of the servers' data (the system's temporary one)")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.scale, options.rows, options.alternations = 1, 1, 20_000, 1
    options.seconds = max(1, int(options.seconds))
    folder = tempfile.mkdtemp(prefix="orbit-sql-", dir=options.dir)
    path = os.path.join(folder, "rows")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{i}\t{i * 7 % 1000}\trow {i}\n" for i in range(options.rows))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, Linux "
          f"{platform.release()}; pgbench -M prepared, scale {options.scale}, {options.seconds} s "
          f"a run, {options.alternations} alternations", flush=True)
    peers = [Orbit(folder), Postgres(folder)]
    rows = rows_of(options, path)
    results = {}
    started = []
    try:
        for peer in peers:
            peer.start()
            started.append(peer)
            prepare(peer, options)
        for turn in range(options.alternations):
            for row, clients, work in rows:
                for peer in peers:
                    figures = measure(peer, lambda work=work, peer=peer: work(peer))
                    results.setdefault((peer.name, row, clients), []).append(figures)
                    print(f"  {turn + 1}: {row}, {clients} clients, {peer.name}: "
                          f"{figures[0]:.0f}/s, {figures[1]:.1f} us", flush=True)
        is_met = show(rows, results)
    finally:
        for peer in started:
            peer.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
