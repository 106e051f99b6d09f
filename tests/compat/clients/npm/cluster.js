// The npm client "ioredis" as a cluster client: node cluster.js PORT (the first cluster port)
'use strict';

const Redis = require('ioredis');
const { assert, test, runAll, restartServer } = require('./harness');

const port = Number(process.argv[2]);
const KEYS = 300;
const options = { clusterRetryStrategy: () => 50, redisOptions: { maxRetriesPerRequest: null } };

test('every shard is a node', async (client) => {
    await client.set('wake', '1');
    const sizes = await Promise.all(client.nodes('master').map((node) => node.dbsize()));
    assert(client.nodes('master').length > 1);
    assert.strictEqual(sizes.reduce((sum, size) => sum + size, 0), 1);
});

test('keys go to their nodes', async (client) => {
    for (let i = 0; i < KEYS; i++) {
        assert.strictEqual(await client.set(`key:${i}`, `value ${i}`), 'OK');
    }
    for (const node of client.nodes('master')) {
        assert((await node.dbsize()) > KEYS / 10);
    }
});

test('transactions and pipelines of one slot', async (client) => {
    const results = await client.multi().set('{t}a', '1').incr('{t}a').get('{t}a').exec();
    assert.deepStrictEqual(results.map(([, reply]) => reply), ['OK', 2, '2']);
    await client.mset('{t}b', '1', '{t}c', '2');
    assert.deepStrictEqual(await client.mget('{t}b', '{t}c'), ['1', '2']);
});

test('keys of several slots are refused', async (client) => {
    await assert.rejects(client.mget('key:1', 'key:2'), /CROSSSLOT|same slot|same node/);
});

test('a scan of every node finds each key once', async (client) => {
    const found = [];
    for (const node of client.nodes('master')) {
        let cursor = '0';
        do {
            const [next, names] = await node.scan(cursor, 'MATCH', 'key:*', 'COUNT', 50);
            found.push(...names);
            cursor = next;
        } while (cursor !== '0');
    }
    assert.strictEqual(found.length, KEYS);
    assert.strictEqual(new Set(found).size, KEYS);
});

test('all is there after the server was killed', async (client) => {
    await restartServer('KILL');
    for (let i = 0; i < KEYS; i++) {
        assert.strictEqual(await client.get(`key:${i}`), `value ${i}`);
    }
});

async function main() {
    const client = new Redis.Cluster([{ host: '127.0.0.1', port }], options);
    client.on('error', () => {}); // Refused connections while the server restarts.
    const failed = await runAll(client);
    client.disconnect();
    process.exitCode = failed ? 1 : 0;
}

main();
