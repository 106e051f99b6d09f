// Clients whose work is done by Lua: bullmq's queues, rate-limiter-flexible, ioredis' own commands.
'use strict';

const Redis = require('ioredis');
const { Queue, QueueEvents, Worker } = require('bullmq');
const { RateLimiterRedis } = require('rate-limiter-flexible');
const { assert, test, runAll, restartServer, eventually } = require('./harness');

const port = Number(process.argv[2]);
const JOBS = 200;

function connect() {
    const client = new Redis({ host: '127.0.0.1', port, maxRetriesPerRequest: null });
    client.on('error', () => {}); // While the server is down; it connects again.
    return client;
}

test('ioredis: a command of its own runs on every key', async (client) => {
    client.defineCommand('moveUp', {
        numberOfKeys: 1,
        lua: `local n = redis.call('INCRBY', KEYS[1], ARGV[1])
              redis.call('RPUSH', KEYS[1] .. ':log', n)
              return {n, redis.call('LLEN', KEYS[1] .. ':log')}`,
    });
    for (let i = 0; i < 40; i++) {
        assert.deepStrictEqual(await client.moveUp(`mover${i}`, 5), [5, 1]);
        assert.deepStrictEqual(await client.moveUp(`mover${i}`, 2), [7, 2]);
    }
    await assert.rejects(client.moveUp('mover1', 'x'), /not an integer/);
    assert.strictEqual(await client.get('mover1'), '7');
});

test('ioredis: a pipeline of scripts loses no update', async (client) => {
    const pipeline = client.pipeline();
    for (let i = 0; i < 500; i++) {
        pipeline.moveUp('hot', 1);
    }
    await pipeline.exec();
    assert.strictEqual(await client.get('hot'), '500');
});

test('functions survive a kill of the server', async (client) => {
    await client.function('LOAD', 'REPLACE', `#!lua name=books
        redis.register_function('book', function(keys, args)
            redis.call('DECRBY', keys[1], args[1])
            return redis.call('INCRBY', keys[2], args[1])
        end)`);
    await client.mset('from', 100, 'to', 0);
    assert.strictEqual(await client.fcall('book', 2, 'from', 'to', 30), 30);
    await restartServer('KILL');
    assert.strictEqual(await client.fcall('book', 2, 'from', 'to', 30), 60);
    assert.deepStrictEqual(await client.mget('from', 'to'), ['40', '60']);
});

test('rate-limiter-flexible: as many points as allowed, and no more', async (client) => {
    const limiter = new RateLimiterRedis({ storeClient: client, points: 5, duration: 60 });
    const results = await Promise.allSettled(
        Array.from({ length: 12 }, () => limiter.consume('somebody')));
    assert.strictEqual(results.filter((result) => result.status === 'fulfilled').length, 5);
    const state = await limiter.get('somebody');
    assert.strictEqual(state.consumedPoints, 12);
    await restartServer('KILL');
    await assert.rejects(limiter.consume('somebody'), (state2) => state2.consumedPoints === 13);
    await limiter.delete('somebody');
    assert.strictEqual((await limiter.consume('somebody')).consumedPoints, 1);
});

test('bullmq: jobs of every kind are done once, over a kill of the server', async () => {
    const connections = [connect(), connect(), connect()];
    const queue = new Queue('work', { connection: connections[0] });
    const done = new Map();
    const worker = new Worker('work', async (job) => {
        if (job.name === 'fails' && job.attemptsMade < 1) {
            throw new Error('not yet');
        }
        done.set(job.data.number, (done.get(job.data.number) || 0) + 1);
        return job.data.number * 2;
    }, { connection: connections[1], concurrency: 10, lockDuration: 2000, stalledInterval: 1000 });
    const events = new QueueEvents('work', { connection: connections[2] });
    let completed = 0;
    worker.on('error', () => {});
    queue.on('error', () => {});
    events.on('error', () => {});
    events.on('completed', () => { completed++; });
    await events.waitUntilReady();

    await queue.addBulk(Array.from({ length: JOBS }, (_, number) => ({
        name: number % 10 === 0 ? 'fails' : 'works',
        data: { number },
        opts: {
            attempts: 3,
            priority: number % 7 === 0 ? 2 : undefined,
            delay: number % 5 === 0 ? 50 : undefined,
        },
    })));
    await eventually(() => done.size >= JOBS / 2, 'half of the jobs');
    await restartServer('KILL');
    await eventually(async () => {
        const counts = await queue.getJobCounts('completed', 'active', 'failed');
        return counts.completed === JOBS && counts.active === 0 && counts.failed === 0;
    }, 'all jobs');
    assert.strictEqual(done.size, JOBS);
    assert(completed > 0);
    const job = (await queue.getCompleted(0, 0))[0];
    assert.strictEqual(job.returnvalue, job.data.number * 2);
    await queue.obliterate({ force: true });
    assert.deepStrictEqual(await queue.getJobCounts('completed'), { completed: 0 });
    await worker.close();
    await events.close();
    await queue.close();
    connections.forEach((connection) => connection.disconnect());
});

(async () => {
    const client = connect();
    const failed = await runAll(client);
    client.disconnect();
    process.exit(failed > 0 ? 1 : 0);
})();
