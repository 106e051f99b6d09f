"""Debian's python3-redis: a small application over all types, over restarts of the server.

Each case works on keys of its own and leaves behind what `after the restart` looks at again: the
server is stopped once by SIGTERM and once by SIGKILL, and the same client objects go on.
"""

import importlib.util
import threading
import time

import server

MESSAGES = 200
WORKERS = 4
JOBS = 120
WAIT_S = 30
LOCK_S = 5


def expect(found, expected, what="reply"):
    if found != expected:
        raise AssertionError("%s: %.300r instead of %.300r" % (what, found, expected))


def eventually(condition, what):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain: %s" % what)
        time.sleep(0.01)


class Application:
    """A shop: goods (hashes), stock (strings), baskets (lists), tags (sets), sales (sorted sets),
    orders (streams), visitors (HyperLogLog, bits), branches (geo)."""

    def __init__(self, instance):
        import redis
        from redis.backoff import ConstantBackoff
        from redis.retry import Retry

        self.redis = redis
        self.instance = instance
        self.client = redis.Redis(
            host=server.HOST, port=instance.port, decode_responses=True,
            retry=Retry(ConstantBackoff(0.05), 100), socket_timeout=WAIT_S,
            retry_on_error=[redis.exceptions.ConnectionError])

    def close(self):
        self.client.close()
        self.client.connection_pool.disconnect()

    # What is built

    def goods_are_hashes_with_counters(self):
        r = self.client
        for i in range(50):
            r.hset("good:%d" % i, mapping={"name": "good %d" % i, "price": i * 1.5, "sold": 0})
            r.set("stock:%d" % i, 10)
        expect(r.hincrby("good:7", "sold", 3), 3)
        expect(r.hincrbyfloat("good:7", "price", 0.25), 10.75)
        expect(r.hmget("good:7", "name", "sold", "none"), ["good 7", "3", None])
        expect(len(r.hgetall("good:9")), 3)
        expect(dict(r.hscan_iter("good:8", match="p*")), {"price": "12.0"})

    def a_sale_is_a_transaction_that_watches(self):
        """WATCH, MULTI, EXEC from many threads: the stock never falls below zero."""
        sold = []

        def sell():
            for _ in range(10):
                def step(pipe):
                    left = int(pipe.get("stock:1"))
                    pipe.multi()
                    if left > 0:
                        pipe.decr("stock:1")
                        pipe.rpush("receipts", left)
                        pipe.hincrby("good:1", "sold", 1)
                results = self.client.transaction(step, "stock:1")
                sold.append(len(results) == 3)

        threads = [threading.Thread(target=sell) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        expect(sum(sold), 10, "sold")
        expect(self.client.get("stock:1"), "0")
        expect(sorted(map(int, self.client.lrange("receipts", 0, -1))), list(range(1, 11)))

    def a_lost_race_is_told(self):
        with self.client.pipeline() as pipe:
            pipe.watch("stock:2")
            self.client.incr("stock:2")
            pipe.multi()
            pipe.set("stock:2", 0)
            try:
                pipe.execute()
            except self.redis.WatchError:
                expect(self.client.get("stock:2"), "11")
                return
        raise AssertionError("EXEC did not see the change")

    def pipelines_answer_in_order(self):
        pipe = self.client.pipeline(transaction=False)
        for i in range(2000):
            pipe.set("line:%d" % i, i).get("line:%d" % i)
        pipe.lpush("line:0", "x")
        replies = pipe.execute(raise_on_error=False)
        expect(replies[1:-1:2], [str(i) for i in range(2000)])
        expect(isinstance(replies[-1], self.redis.ResponseError), True, "the last one's error")
        expect(len(list(self.client.scan_iter("line:*", count=300))), 2000)
        expect(self.client.delete(*("line:%d" % i for i in range(2000))), 2000)

    def baskets_tags_and_sales(self):
        r = self.client
        expect(r.rpush("basket:ann", "tea", "milk", "tea"), 3)
        expect(r.lrem("basket:ann", 1, "tea"), 1)
        expect(r.lmove("basket:ann", "basket:bob", "RIGHT", "LEFT"), "tea")
        r.sadd("tag:hot", 1, 2, 3)
        r.sadd("tag:new", 2, 3, 4)
        expect(r.sinter("tag:hot", "tag:new"), {"2", "3"})
        expect(r.sinterstore("tag:both", "tag:hot", "tag:new"), 2)
        r.zadd("sales", {"tea": 10, "milk": 30, "salt": 20})
        r.zincrby("sales", 25, "tea")
        expect(r.zrange("sales", 0, 1, desc=True, withscores=True), [("tea", 35.0), ("milk", 30.0)])
        expect(r.zrangebyscore("sales", "(20", "+inf"), ["milk", "tea"])
        expect(r.zpopmin("sales"), [("salt", 20.0)])

    def visitors_and_branches(self):
        r = self.client
        for i in range(300):
            r.setbit("day", i * 7, 1)
        expect(r.bitcount("day"), 300)
        levels = r.bitfield("levels").set("u8", "#3", 200).incrby("u8", "#3", 100, "SAT")
        expect(levels.execute(), [0, 255])
        r.pfadd("visitors", *range(1000))
        expect(abs(r.pfcount("visitors") - 1000) < 30, True, "about 1,000")
        r.geoadd("branches", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"))
        expect(abs(r.geodist("branches", "Palermo", "Catania", "km") - 166.2742) < 0.001, True)
        expect(r.geosearch("branches", longitude=15, latitude=37, radius=100, unit="km"),
               ["Catania"])

    def values_of_any_bytes(self):
        raw = self.redis.Redis(host=server.HOST, port=self.instance.port)
        value = bytes(range(256)) * 400
        raw.set(b"raw\x00\xff", value)
        expect(raw.get(b"raw\x00\xff") == value, True, "the bytes")
        payload = raw.dump(b"raw\x00\xff")
        raw.restore("copy", 0, payload)
        expect(raw.get("copy") == value, True, "the restored bytes")
        raw.close()

    def keys_expire(self):
        r = self.client
        r.set("soon", 1, px=60)
        r.set("late", 1, ex=1000)
        expect(0 < r.ttl("late") <= 1000, True, "ttl")
        eventually(lambda: r.get("soon") is None, "the key expires")
        expect(r.persist("late"), True)
        expect(r.ttl("late"), -1)

    def messages_reach_subscribers(self):
        got = []
        pubsub = self.client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(**{"news": lambda m: got.append(m["data"])})
        pubsub.psubscribe(**{"n*s": lambda m: got.append(m["data"])})
        eventually(lambda: self.client.pubsub_numpat() == 1, "subscribed")
        thread = pubsub.run_in_thread(sleep_time=0.01)
        for i in range(MESSAGES):
            expect(self.client.publish("news", i), 2, "receivers")
        eventually(lambda: len(got) == 2 * MESSAGES, "all messages")
        thread.stop()
        thread.join(WAIT_S)
        expect(got[0::2], [str(i) for i in range(MESSAGES)], "in order")

    def locks_exclude_each_other(self):
        inside, most, entered = [0], [0], [0]

        def enter():
            for _ in range(8):
                with self.client.lock("the lock", timeout=LOCK_S, sleep=0.002):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0.001)
                    entered[0] += 1
                    inside[0] -= 1

        threads = [threading.Thread(target=enter) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        expect((most[0], entered[0]), (1, 8 * WORKERS))
        lock = self.client.lock("the lock", timeout=LOCK_S)
        expect(lock.acquire(), True)
        expect(self.client.lock("the lock").acquire(blocking=False), False)
        expect(lock.extend(LOCK_S), True)
        lock.release()
        try:
            lock.release()
        except self.redis.exceptions.LockError:
            return
        raise AssertionError("a lock was released twice")

    def scripts_are_atomic(self):
        take = self.client.register_script("""
            local left = tonumber(redis.call('GET', KEYS[1]) or '0')
            if left < tonumber(ARGV[1]) then return redis.error_reply('SOLDOUT only ' .. left) end
            redis.call('DECRBY', KEYS[1], ARGV[1])
            redis.call('HINCRBY', KEYS[2], 'sold', ARGV[1])
            return left - ARGV[1]""")
        expect(take(keys=["stock:5", "good:5"], args=[4]), 6)
        self.client.script_flush()
        expect(take(keys=["stock:5", "good:5"], args=[4]), 2, "after SCRIPT FLUSH")
        try:
            take(keys=["stock:5", "good:5"], args=[4])
        except self.redis.ResponseError as error:
            expect(str(error), "SOLDOUT only 2")
        expect(self.client.hget("good:5", "sold"), "8")

    def workers_share_a_stream(self):
        """Each order is handled by one worker; one dies with orders, and another claims them."""
        r = self.client
        r.xgroup_create("orders", "packers", id="0", mkstream=True)
        for i in range(JOBS):
            r.xadd("orders", {"number": i})
        lost = r.xreadgroup("packers", "dead", {"orders": ">"}, count=5)[0][1]
        handled, guard = [], threading.Lock()

        def work(name):
            while True:
                batch = r.xreadgroup("packers", name, {"orders": ">"}, count=3, block=50)
                if not batch:
                    return
                for entry, fields in batch[0][1]:
                    with guard:
                        handled.append(int(fields["number"]))
                    r.xack("orders", "packers", entry)

        threads = [threading.Thread(target=work, args=("w%d" % i,)) for i in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        expect(r.xpending("orders", "packers")["pending"], len(lost))
        claimed = r.xautoclaim("orders", "packers", "heir", min_idle_time=0)[1]
        expect(claimed, lost)
        handled.extend(int(fields["number"]) for _, fields in claimed[:-1])
        r.xack("orders", "packers", *(entry for entry, _ in claimed[:-1]))
        expect(sorted(handled), sorted(set(range(JOBS)) - {int(lost[-1][1]["number"])}))

    def waiting_for_a_list(self):
        got = []
        thread = threading.Thread(target=lambda: got.append(
            self.client.blpop(["first", "second"], timeout=WAIT_S)))
        thread.start()
        other = self.client
        eventually(lambda: other.info("clients")["blocked_clients"] == 1, "somebody waits")
        other.rpush("second", "x")
        thread.join(WAIT_S)
        expect(got, [("second", "x")])
        expect(other.blpop("first", timeout=0.01), None)

    # What is left

    def all_is_there_after_the_restart(self):
        r = self.client
        expect(r.hget("good:1", "sold"), "10")
        expect(r.hget("good:7", "price"), "10.75")
        expect(r.get("stock:1"), "0")
        expect(r.llen("receipts"), 10)
        expect(r.lrange("basket:bob", 0, -1), ["tea"])
        expect(r.smembers("tag:both"), {"2", "3"})
        expect(r.zrange("sales", 0, -1, withscores=True), [("milk", 30.0), ("tea", 35.0)])
        expect(r.bitcount("day"), 300)
        expect(abs(r.pfcount("visitors") - 1000) < 30, True, "about 1,000")
        expect(r.geopos("branches", "Catania", "none")[1], None)
        expect(r.get("soon"), None)
        expect(r.xlen("orders"), JOBS)
        expect(r.xpending("orders", "packers")["pending"], 1)
        expect(r.xinfo_groups("orders")[0]["consumers"] >= 2, True, "consumers")

    def the_pending_order_is_claimed_at_last(self):
        r = self.client
        first = r.xpending_range("orders", "packers", "-", "+", 10)[0]
        expect((first["consumer"], first["times_delivered"]), ("heir", 2))
        expect(r.xack("orders", "packers", first["message_id"]), 1)
        expect(r.xpending("orders", "packers")["pending"], 0)

    CASES = [goods_are_hashes_with_counters, a_sale_is_a_transaction_that_watches,
             a_lost_race_is_told, pipelines_answer_in_order, baskets_tags_and_sales,
             visitors_and_branches, values_of_any_bytes, keys_expire, messages_reach_subscribers,
             locks_exclude_each_other, scripts_are_atomic, workers_share_a_stream,
             waiting_for_a_list]


def restarts(tally, prefix, application):
    instance = application.instance
    instance.restart()
    tally.run(prefix + "all is there after SIGTERM", application.all_is_there_after_the_restart)
    instance.kill()
    instance.start()
    tally.run(prefix + "all is there after SIGKILL", application.all_is_there_after_the_restart)
    tally.run(prefix + "the last order is claimed",
              application.the_pending_order_is_claimed_at_last)


def run(tally):
    if importlib.util.find_spec("redis") is None:
        tally.skip("python3-redis", "not installed")
        return
    for shards in (1, 2):
        prefix = "python3-redis, shards %d: " % shards
        with server.Server(shards=shards) as instance:
            application = Application(instance)
            for case in Application.CASES:
                tally.run(prefix + case.__name__.replace("_", " "), case, application)
            restarts(tally, prefix, application)
            application.close()
