"""Debian's python3-rq: queues, workers, failed and scheduled jobs, over restarts of the server.

Workers run in processes of their own (`python_rq.py work PORT QUEUE...`), as people run them; the
jobs are the functions below. A worker lives over a restart: it connects again by itself.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
sys.path.insert(0, HERE)
import server  # noqa: E402  (the paths are set above)

PYTHON = "/usr/bin/python3"  # Debian's modules are its.
JOBS = 40
WAIT_S = 60


def expect(found, expected, what="reply"):
    if found != expected:
        raise AssertionError("%s: %.300r instead of %.300r" % (what, found, expected))


def eventually(condition, what):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain: %s" % what)
        time.sleep(0.05)


# The jobs

def multiply(a, b):
    return a * b


def fail(text):
    raise ValueError(text)


def total():
    """The sum of what the jobs that this one depends on gave."""
    import rq

    job = rq.get_current_job()
    return sum(dependency.result for dependency in job.fetch_dependencies())


def count_up(name):
    import rq

    rq.get_current_job().connection.incr(name)


def try_until(name, attempts):
    """Fails until it was tried that often."""
    import rq

    if rq.get_current_job().connection.incr(name) < attempts:
        raise RuntimeError("not yet")
    return "at last"


def sleep_for(seconds):
    time.sleep(seconds)


class Queues:
    def __init__(self, instance):
        import redis
        import rq

        self.rq = rq
        self.instance = instance
        self.connection = redis.Redis(host=server.HOST, port=instance.port)
        self.queue = rq.Queue("work", connection=self.connection)
        self.workers = []

    def close(self):
        for child in self.workers:
            child.kill()
            child.wait()
        self.connection.close()

    def work(self, *options):
        """A worker in a process of its own; ends by itself with the option burst."""
        command = [PYTHON, os.path.abspath(__file__), "work", str(self.instance.port)]
        child = subprocess.Popen(command + list(options), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=HERE)
        self.workers.append(child)
        return child

    def burst(self):
        child = self.work("burst")
        expect(child.wait(WAIT_S), 0, "exit status of the worker")
        self.workers.remove(child)

    def put(self, function, *args, **options):
        return self.queue.enqueue("python_rq." + function.__name__, args=args, **options)

    # The cases

    def jobs_give_their_results(self):
        jobs = [self.put(multiply, i, 3) for i in range(10)]
        expect(len(self.queue), 10)
        expect(self.queue.job_ids, [job.id for job in jobs])
        self.burst()
        expect([job.result for job in jobs], [3 * i for i in range(10)])
        expect(jobs[0].get_status(refresh=True), "finished")
        expect(self.queue.finished_job_registry.count, 10)

    def failed_jobs_are_kept_and_run_again(self):
        job = self.put(fail, "no luck")
        self.burst()
        expect(job.get_status(refresh=True), "failed")
        expect("no luck" in (job.exc_info or ""), True, "the trace of the failure")
        registry = self.queue.failed_job_registry
        expect(registry.get_job_ids(), [job.id])
        registry.requeue(job.id)
        expect((registry.count, len(self.queue)), (0, 1))
        self.queue.empty()
        expect(len(self.queue), 0)

    def a_job_is_tried_again(self):
        job = self.put(try_until, "tries", 3, retry=self.rq.Retry(max=5))
        self.burst()
        expect((job.get_status(refresh=True), job.result), ("finished", "at last"))
        expect(self.connection.get("tries"), b"3")

    def a_job_waits_for_others(self):
        parts = [self.put(multiply, i, i) for i in range(5)]
        last = self.put(total, depends_on=parts)
        expect(last.get_status(), "deferred")
        self.burst()
        expect(last.result, 30)

    def a_scheduled_job_comes_when_it_is_due(self):
        job = self.queue.enqueue_in(timedelta(seconds=1), "python_rq.count_up", "scheduled")
        late = self.queue.enqueue_in(timedelta(hours=1), "python_rq.count_up", "scheduled")
        expect(sorted(self.queue.scheduled_job_registry.get_job_ids()), sorted([job.id, late.id]))
        child = self.work("scheduler")
        eventually(lambda: self.connection.get("scheduled") == b"1", "the scheduled job")
        expect(late.get_status(), "scheduled")
        self.end(child)
        self.queue.scheduled_job_registry.remove(late)

    def a_job_that_takes_too_long_fails(self):
        job = self.put(sleep_for, 30, job_timeout=1)
        self.burst()
        expect(job.get_status(refresh=True), "failed")
        expect("JobTimeoutException" in job.exc_info, True, "the reason")

    def end(self, child):
        child.send_signal(signal.SIGTERM)
        child.wait(WAIT_S)
        self.workers.remove(child)

    def no_job_is_lost_over_restarts(self):
        """A worker waits while the server is stopped and killed, and does what comes after."""
        child = self.work("wait")
        eventually(lambda: self.rq.Worker.count(connection=self.connection) == 1, "the worker")
        early = [self.put(multiply, i, 2) for i in range(JOBS)]
        eventually(lambda: early[3].get_status() == "finished", "some of the jobs")
        self.instance.kill()
        self.instance.start()
        more = [self.put(multiply, i, 5) for i in range(5)]
        self.instance.restart()

        def finished():
            nonlocal child
            if child.poll() is not None:  # A worker whose job was cut may end, at once or later;
                self.workers.remove(child)  # people start it again.
                child = self.work("wait")
            return [job for job in early + more if job.get_status(refresh=True) == "finished"]

        # A job is popped before it is begun: with each end of the server the one whose pop was not
        # heard of, or which ran, may be left as it was. All others are done.
        eventually(lambda: len(finished()) >= JOBS + 5 - 2, "all jobs but two")
        eventually(lambda: len(self.queue) == 0, "an empty queue")
        done = finished()
        expect(all(job.result is not None for job in done), True, "results")
        self.end(child)

    CASES = [jobs_give_their_results, failed_jobs_are_kept_and_run_again, a_job_is_tried_again,
             a_job_waits_for_others, a_scheduled_job_comes_when_it_is_due,
             a_job_that_takes_too_long_fails, no_job_is_lost_over_restarts]


def run(tally):
    for module, package in (("redis", "python3-redis"), ("rq", "python3-rq")):
        if importlib.util.find_spec(module) is None:
            tally.skip("python3-rq", "%s is not installed" % package)
            return
    for shards in (1, 2):
        with server.Server(shards=shards) as instance:
            queues = Queues(instance)
            try:
                for case in Queues.CASES:
                    tally.run("python3-rq, shards %d: %s"
                              % (shards, case.__name__.replace("_", " ")), case, queues)
            finally:
                queues.close()


def work(port, options):
    import redis
    import rq

    connection = redis.Redis(host=server.HOST, port=port)
    queue = rq.Queue("work", connection=connection)
    worker = rq.Worker([queue], connection=connection)
    worker.work(burst="burst" in options, with_scheduler="scheduler" in options)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] != "work":
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    work(int(sys.argv[2]), sys.argv[3:])
