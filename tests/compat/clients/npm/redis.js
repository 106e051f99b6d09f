// The npm client "redis" against a running server, with RESP2 and RESP3: node redis.js PORT
'use strict';

const { createClient, RESP_TYPES } = require('redis');
const { assert, test, runAll, restartServer, eventually, allBytes } = require('./harness');

const port = Number(process.argv[2]);
const clients = {};

function makeClient(RESP) {
    const client = createClient({
        RESP,
        socket: { host: '127.0.0.1', port, reconnectStrategy: () => 20 },
    });
    client.on('error', () => {}); // Refused connections while the server restarts.
    return client;
}

// Every case runs with both protocols.
function testBoth(name, run) {
    for (const RESP of [2, 3]) {
        test(`RESP${RESP}: ${name}`, () => run(clients[RESP], `r${RESP}:`));
    }
}

testBoth('set and get', async (client, p) => {
    assert.strictEqual(await client.set(`${p}greeting`, 'grüß dich, 世界'), 'OK');
    assert.strictEqual(await client.get(`${p}greeting`), 'grüß dich, 世界');
    assert.strictEqual(await client.get(`${p}missing`), null);
});

testBoth('set with options', async (client, p) => {
    assert.strictEqual(await client.set(`${p}opt`, '1', { EX: 100, NX: true }), 'OK');
    assert.strictEqual(await client.set(`${p}opt`, '2', { NX: true }), null);
    assert.strictEqual(await client.set(`${p}opt`, '3', { KEEPTTL: true, GET: true }), '1');
    assert((await client.ttl(`${p}opt`)) > 90);
    assert.strictEqual(await client.getEx(`${p}opt`, { type: 'PERSIST' }), '3');
    assert.strictEqual(await client.ttl(`${p}opt`), -1);
});

testBoth('a key expires', async (client, p) => {
    await client.set(`${p}brief`, 'x');
    assert(await client.pExpire(`${p}brief`, 40));
    await eventually(async () => (await client.exists(`${p}brief`)) === 0, 'the expiry');
});

testBoth('binary values', async (client, p) => {
    const value = allBytes(70000);
    await client.set(`${p}binary`, value);
    const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    assert((await buffers.get(`${p}binary`)).equals(value));
});

testBoth('a value of 16 MiB', async (client, p) => {
    const value = allBytes(16 << 20);
    await client.set(`${p}large`, value);
    const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    assert((await buffers.get(`${p}large`)).equals(value));
    assert.strictEqual(await client.unlink(`${p}large`), 1);
});

testBoth('commands of one turn go as one pipeline, in order', async (client, p) => {
    const replies = await Promise.all(
        Array.from({ length: 2000 }, () => client.incr(`${p}counter`)));
    assert.deepStrictEqual(replies, Array.from({ length: 2000 }, (_, i) => i + 1));
});

testBoth('an error rejects its own command only', async (client, p) => {
    const [set, incr, get] = await Promise.allSettled([
        client.set(`${p}text`, 'abc'), client.incr(`${p}text`), client.get(`${p}text`),
    ]);
    assert.strictEqual(set.value, 'OK');
    assert.match(incr.reason.message, /^ERR value is not an integer/);
    assert.strictEqual(get.value, 'abc');
});

testBoth('mSet and mGet on one tag', async (client, p) => {
    await client.mSet([[`{${p}}a`, '1'], [`{${p}}b`, '2']]);
    const values = await client.mGet([`{${p}}a`, `{${p}}none`, `{${p}}b`]);
    assert.deepStrictEqual(values, ['1', null, '2']);
});

testBoth('scanIterator sees every key', async (client, p) => {
    const expected = new Set();
    await Promise.all(Array.from({ length: 1500 }, (_, i) => {
        expected.add(`${p}scan:${i}`);
        return client.set(`${p}scan:${i}`, '');
    }));
    const seen = new Set();
    for await (const keys of client.scanIterator({ MATCH: `${p}scan:*`, COUNT: 100 })) {
        [].concat(keys).forEach((key) => seen.add(key));
    }
    assert.deepStrictEqual(seen, expected);
});

testBoth('incrByFloat, append and setRange', async (client, p) => {
    assert.strictEqual(Number(await client.incrByFloat(`${p}float`, 10.5)), 10.5);
    assert.strictEqual(await client.append(`${p}words`, 'hello'), 5);
    assert.strictEqual(await client.setRange(`${p}words`, 6, 'world'), 11);
    assert.strictEqual(await client.get(`${p}words`), 'hello\0world');
});

testBoth('configuration and info', async (client) => {
    assert.match((await client.configGet('maxmemory')).maxmemory, /^\d+$/);
    assert.match(await client.info('server'), /redis_version:7\./);
    assert(Array.isArray(await client.sendCommand(['COMMAND', 'INFO', 'get'])));
    assert.strictEqual(await client.sendCommand(['OBJECT', 'IDLETIME', 'nothing']), null);
});

testBoth('databases are separate', async (client, p) => {
    const other = client.duplicate({ database: 7 });
    other.on('error', () => {});
    await other.connect();
    await client.set(`${p}where`, 'zero');
    assert.strictEqual(await other.get(`${p}where`), null);
    other.destroy();
});

testBoth('reconnects after SIGKILL, and the data is there', async (client, p) => {
    await client.set(`${p}durable`, 'yes');
    const again = new Promise((resolve) => client.once('ready', resolve));
    await restartServer('KILL');
    await again;
    assert.strictEqual(await client.get(`${p}durable`), 'yes');
});

async function main() {
    for (const RESP of [2, 3]) {
        clients[RESP] = makeClient(RESP);
        await clients[RESP].connect();
    }
    const failed = await runAll();
    // The last restart broke both connections, and a client that is destroyed while it connects
    // again goes on doing so, which would keep this process alive.
    await Promise.all([clients[2].ping(), clients[3].ping()]);
    clients[2].destroy();
    clients[3].destroy();
    process.exitCode = failed ? 1 : 0;
}

main();
