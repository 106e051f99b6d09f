"""Shards as cluster nodes (--cluster-ports): redis-cli -c, redis-benchmark --cluster and ioredis
Cluster; and Debian's prometheus-redis-exporter, which reads INFO and more."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import server  # noqa: E402  (the path is set above)

SHARDS = 2
TIMEOUT_S = 120
KEYS = 200
BENCHMARK_REQUESTS = 4800
EXPORTER_TRIES = 100
METRICS_MIN = 120
# Of redis-server's AOF file, which Orbit does not have.
AOF_METRICS = {"redis_aof_" + name for name in (
    "base_size_bytes", "buffer_length", "current_size_bytes", "delayed_fsync",
    "pending_bio_fsync", "pending_rewrite")}


def free_ports(count):
    """The first of so many free ports in a row."""
    for base in range(20000 + os.getpid() % 9000, 40000, count):
        sockets = []
        try:
            for port in range(base, base + count):
                sockets.append(socket.socket())
                sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sockets[-1].bind((server.HOST, port))
            return base
        except OSError:
            pass
        finally:
            for each in sockets:
                each.close()
    raise server.ServerError("no free ports")


def cluster():
    """A server and its first cluster port."""
    base = free_ports(SHARDS)
    return server.Server(shards=SHARDS, extra=["--cluster-ports", str(base)]), base


def cli(port, *args, stdin=b""):
    command = ["redis-cli", "-h", server.HOST, "-p", str(port)] + list(args)
    result = subprocess.run(command, input=stdin, capture_output=True, check=False,
                            timeout=TIMEOUT_S)
    return result.stdout.decode("utf-8", "replace")


def expect(is_true, what):
    if not is_true:
        raise AssertionError(what)


def cli_follows_redirections(instance, base):
    for i in range(20):
        expect(cli(base, "-c", "SET", "key:%d" % i, "value") == "OK\n", "SET key:%d" % i)
    moved = [cli(base, "GET", "key:%d" % i) for i in range(20)]
    expect(any(reply.startswith("MOVED ") for reply in moved), "nothing was MOVED")
    expect(any(reply == "value\n" for reply in moved), "nothing was here")
    with instance.connect() as connection:
        for i in range(20):
            expect(connection.call("GET", "key:%d" % i) == b"value", "the plain port, key:%d" % i)


def cli_checks_the_cluster(instance, base):
    output = cli(base, "--cluster", "check", "%s:%d" % (server.HOST, base))
    expect("[OK] All 16384 slots covered" in output, output)
    expect("[OK] All nodes agree about slots configuration" in output, output)
    del instance


def benchmark_uses_all_nodes(instance, base):
    command = ["redis-benchmark", "-h", server.HOST, "-p", str(base), "--cluster", "--csv", "-n",
               str(BENCHMARK_REQUESTS), "-c", "16", "-P", "4", "-r", "10000", "-t",
               "set,get,incr,lpush,sadd,hset"]
    with instance.connect() as connection:
        before = int(re.search(rb"messages_sent:(\d+)",
                               connection.call("INFO", "orbit")).group(1))
    result = subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_S,
                            stdin=subprocess.DEVNULL)
    output = result.stdout.decode()
    expect(result.returncode == 0 and "rror" not in output, output)
    for name in ("SET", "GET", "INCR", "LPUSH", "SADD", "HSET"):
        expect('"%s"' % name in output, "no line of %s: %s" % (name, output))
    with instance.connect() as connection:
        after = int(re.search(rb"messages_sent:(\d+)", connection.call("INFO", "orbit")).group(1))
    # Commands pass through no other shard: what is sent is housekeeping.
    expect(after - before < BENCHMARK_REQUESTS, "%d messages between shards" % (after - before))


def users_hold_on_every_node(instance, base):
    with instance.connect() as connection:
        connection.call("ACL", "SETUSER", "ann", "on", ">pw", "~key:*", "+get")
    login = ["--user", "ann", "--pass", "pw", "--no-auth-warning"]
    for shard in range(SHARDS):
        expect(cli(base + shard, *login, "SET", "key:1", "x").startswith("NOPERM"), "SET")
        expect(not cli(base + shard, *login, "GET", "key:1").startswith("NOPERM"), "GET")
    instance.kill()
    instance.start()
    expect(cli(base, *login, "SET", "key:1", "x").startswith("NOPERM"), "after a restart")
    with instance.connect() as connection:
        held = instance.connect()
        held.call("AUTH", "ann", "pw")
        connection.call("ACL", "DELUSER", "ann")
        try:
            held.call("GET", "key:1")
            raise AssertionError("the session of a removed user goes on")
        except server.ConnectionLost:
            pass


def run(tally, install_npm, run_script):
    """install_npm and run_script: those of run.py."""
    for program in ("redis-cli", "redis-benchmark"):
        if shutil.which(program) is None:
            tally.skip("cluster", "%s is not installed" % program)
            return
    cases = [cli_follows_redirections, cli_checks_the_cluster, benchmark_uses_all_nodes,
             users_hold_on_every_node]
    for case in cases:
        name = "cluster: " + case.__name__.replace("_", " ")
        instance, base = cluster()
        try:
            with instance:
                case(instance, base)
            tally.ok(name)
        except (AssertionError, OSError, server.ServerError, server.ConnectionLost) as error:
            tally.fail(name, error)
    folder = install_npm(tally) if shutil.which("node") and shutil.which("npm") else None
    if folder is None:
        tally.skip("ioredis Cluster", "node or npm is not there")
        return
    instance, base = cluster()
    run_script(tally, folder, "cluster", SHARDS, instance=instance, port=base)


# ---- The exporter ----


def exporter_program(cache):
    """Installed, or Debian's package unpacked into the cache; None: cannot be had."""
    program = shutil.which("prometheus-redis-exporter")
    folder = os.path.join(cache, "exporter")
    unpacked = os.path.join(folder, "usr", "bin", "prometheus-redis-exporter")
    if program is not None or os.path.exists(unpacked):
        return program or unpacked
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["apt-get", "download", "-q", "prometheus-redis-exporter"], cwd=folder,
                   stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=TIMEOUT_S)
    for name in os.listdir(folder):
        if name.endswith(".deb"):
            subprocess.run(["dpkg-deb", "-x", name, "."], cwd=folder, check=False)
    return unpacked if os.path.exists(unpacked) else None


def scrape(program, port):
    """The metrics by name, of the server at that port."""
    listen = free_ports(1)
    child = subprocess.Popen([program, "-redis.addr", "redis://%s:%d" % (server.HOST, port),
                              "-web.listen-address", "%s:%d" % (server.HOST, listen)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    try:
        for _ in range(EXPORTER_TRIES):
            try:
                url = "http://%s:%d/metrics" % (server.HOST, listen)
                with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
                    text = response.read().decode()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise AssertionError("the exporter does not answer")
    finally:
        child.terminate()
        child.wait()
    metrics = {}
    for line in text.splitlines():
        match = re.match(r"([a-z_0-9]+)(?:\{.*\})? (\S+)$", line)
        if match:
            metrics[match.group(1)] = match.group(2)
    return metrics


def run_exporter(tally, cache):
    program = exporter_program(cache)
    if program is None:
        tally.skip("exporter", "prometheus-redis-exporter cannot be had")
        return
    found = []
    for kind in ("orbit", "redis"):
        if kind == "redis" and shutil.which("redis-server") is None:
            tally.skip("exporter: all metrics of redis-server", "it is not installed")
            break
        with server.Server(kind=kind) as instance:
            with instance.connect() as connection:
                connection.call("SET", "key", "value")
                try:
                    connection.call("INCR", "key")  # An error, which is a metric too.
                except server.ReplyError:
                    pass
            found.append(scrape(program, instance.port))
    metrics = {name for name in found[0] if name.startswith("redis_")}
    if found[0].get("redis_up") == "1" and len(metrics) >= METRICS_MIN:
        tally.ok("exporter: %d metrics" % len(metrics))
    else:
        tally.fail("exporter", "up %s, %d metrics" % (found[0].get("redis_up"), len(metrics)))
    if len(found) == 2:
        missing = sorted(name for name in found[1]
                         if name.startswith("redis_") and name not in metrics | AOF_METRICS)
        if missing:
            tally.fail("exporter: all metrics of redis-server", " ".join(missing))
        else:
            tally.ok("exporter: all metrics of redis-server")
