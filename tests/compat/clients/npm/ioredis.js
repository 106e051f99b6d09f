// The npm client "ioredis" against a running server: node ioredis.js PORT
'use strict';

const Redis = require('ioredis');
const { assert, test, runAll, restartServer, eventually, allBytes } = require('./harness');

const port = Number(process.argv[2]);
const options = { host: '127.0.0.1', port, retryStrategy: () => 20, maxRetriesPerRequest: null };

test('set and get', async (client) => {
    assert.strictEqual(await client.set('greeting', 'grüß dich, 世界'), 'OK');
    assert.strictEqual(await client.get('greeting'), 'grüß dich, 世界');
    assert.strictEqual(await client.get('no such key'), null);
});

test('set with options', async (client) => {
    await client.del('opt');
    assert.strictEqual(await client.set('opt', '1', 'EX', 100, 'NX'), 'OK');
    assert.strictEqual(await client.set('opt', '2', 'NX'), null);
    assert.strictEqual(await client.set('opt', '3', 'XX', 'GET'), '1');
    assert.strictEqual(await client.ttl('opt'), -1);
    assert.strictEqual(await client.set('opt', '4', 'PX', 50000), 'OK');
    assert.strictEqual(await client.set('opt', '5', 'KEEPTTL'), 'OK');
    assert((await client.pttl('opt')) > 0);
});

test('a key expires', async (client) => {
    await client.set('brief', 'x');
    assert.strictEqual(await client.pexpire('brief', 40), 1);
    await eventually(async () => (await client.exists('brief')) === 0, 'the expiry');
    assert.strictEqual(await client.ttl('brief'), -2);
});

test('binary keys and values', async (client) => {
    const key = Buffer.from([0, 255, 13, 10, 36, 42]);
    const value = allBytes(100000);
    assert.strictEqual(await client.set(key, value), 'OK');
    assert((await client.getBuffer(key)).equals(value));
    assert.strictEqual(await client.strlen(key), value.length);
});

test('a value of 16 MiB', async (client) => {
    const value = allBytes(16 << 20);
    await client.set('large', value);
    assert((await client.getBuffer('large')).equals(value));
    assert.strictEqual((await client.getrangeBuffer('large', 1000, 1009)).length, 10);
    assert.strictEqual(await client.unlink('large'), 1);
});

test('a pipeline of a thousand commands', async (client) => {
    const pipeline = client.pipeline();
    for (let i = 0; i < 500; i++) {
        pipeline.set(`pipe:${i}`, i).get(`pipe:${i}`);
    }
    const results = await pipeline.exec();
    assert.strictEqual(results.length, 1000);
    results.forEach(([error, reply], i) => {
        assert.strictEqual(error, null);
        assert.strictEqual(reply, i % 2 === 0 ? 'OK' : String(i >> 1));
    });
});

test('an error within a pipeline stays where it belongs', async (client) => {
    const results = await client.pipeline().set('text', 'abc').incr('text').get('text').exec();
    assert.strictEqual(results[0][1], 'OK');
    assert.match(results[1][0].message, /^ERR value is not an integer/);
    assert.strictEqual(results[2][1], 'abc');
});

test('many commands at once on one connection', async (client) => {
    await client.del('counter');
    const replies = await Promise.all(Array.from({ length: 3000 }, () => client.incr('counter')));
    assert.deepStrictEqual(replies, Array.from({ length: 3000 }, (_, i) => i + 1));
});

test('automatic pipelining', async () => {
    const client = new Redis({ ...options, enableAutoPipelining: true });
    const numbers = Array.from({ length: 500 }, (_, i) => String(i));
    await Promise.all(numbers.map((i) => client.set(`{auto}${i}`, i)));
    const values = await Promise.all(numbers.map((i) => client.get(`{auto}${i}`)));
    assert.deepStrictEqual(values, numbers);
    client.disconnect();
});

test('mset and mget on one tag', async (client) => {
    assert.strictEqual(await client.mset({ '{m}a': '1', '{m}b': '2' }), 'OK');
    assert.deepStrictEqual(await client.mget('{m}a', '{m}missing', '{m}b'), ['1', null, '2']);
});

test('scanStream sees every key once the keyspace rests', async (client) => {
    const expected = new Set();
    const pipeline = client.pipeline();
    for (let i = 0; i < 2000; i++) {
        expected.add(`scan:${i}`);
        pipeline.set(`scan:${i}`, '');
    }
    await pipeline.exec();
    const seen = new Set();
    for await (const keys of client.scanStream({ match: 'scan:*', count: 100 })) {
        keys.forEach((key) => seen.add(key));
    }
    assert.deepStrictEqual(seen, expected);
});

test('databases are separate', async () => {
    const other = new Redis({ ...options, db: 5 });
    const first = new Redis(options);
    await first.set('where', 'zero');
    assert.strictEqual(await other.get('where'), null);
    await other.set('where', 'five');
    assert.strictEqual(await first.get('where'), 'zero');
    assert.strictEqual(await other.del('where'), 1);
    other.disconnect();
    first.disconnect();
});

test('dump and restore', async (client) => {
    await client.set('{d}source', 'cargo');
    const dump = await client.dumpBuffer('{d}source');
    assert.strictEqual(await client.restore('{d}target', 0, dump, 'REPLACE'), 'OK');
    assert.strictEqual(await client.get('{d}target'), 'cargo');
});

test('a connection has its name', async () => {
    const client = new Redis({ ...options, connectionName: 'compat' });
    assert.strictEqual(await client.client('GETNAME'), 'compat');
    assert.match(await client.client('LIST'), /name=compat /);
    client.disconnect();
});

test('info and commands that ioredis does not know', async (client) => {
    assert.match(await client.info('server'), /redis_version:7\./);
    assert.strictEqual(await client.call('ECHO', 'plain'), 'plain');
    assert.strictEqual(await client.call('OBJECT', 'ENCODING', 'nothing'), null);
    await assert.rejects(client.call('NO-SUCH'), /ERR unknown command/);
});

for (const how of ['TERM', 'KILL']) {
    test(`reconnects after SIG${how} of the server, and the data is there`, async (client) => {
        await client.set('durable', how);
        await client.set('durable:large', allBytes(300000));
        const ended = new Promise((resolve) => client.once('close', resolve));
        await restartServer(how);
        await ended;
        assert.strictEqual(await client.get('durable'), how);
        assert((await client.getBuffer('durable:large')).equals(allBytes(300000)));
    });
}

async function main() {
    const client = new Redis(options);
    client.on('error', () => {}); // Refused connections while the server restarts.
    const failed = await runAll(client);
    client.disconnect();
    process.exitCode = failed ? 1 : 0;
}

main();
