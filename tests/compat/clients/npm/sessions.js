// A web application whose sessions lie in the server: express, express-session, connect-redis over
// node-redis. Browsers are played by requests that keep their cookie.
'use strict';

const http = require('http');
const express = require('express');
const session = require('express-session');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');
const { assert, test, runAll, restartServer, eventually } = require('./harness');

const port = Number(process.argv[2]);
const SHORT_MS = 1500;
const VISITORS = 60;
const SILENCE_MS = 3000;

function storeOf(client, options) {
    return new RedisStore({ client, prefix: 'shop:', ...options });
}

// The routes a shop would have; the basket lies in the session.
function shop(store) {
    const app = express();
    app.use(express.json());
    app.use(session({
        store, secret: 'only in tests', resave: false, saveUninitialized: false,
        cookie: { maxAge: 3600 * 1000 },
    }));
    app.post('/login', (request, response) => {
        request.session.regenerate((error) => {
            if (error) {
                response.status(500).json({ error: error.message });
                return;
            }
            request.session.user = request.body.user;
            request.session.basket = [];
            response.json({ user: request.session.user });
        });
    });
    app.post('/basket', (request, response) => {
        if (!request.session.user) {
            response.status(401).json({ error: 'nobody is logged in' });
            return;
        }
        request.session.basket.push(request.body.item);
        response.json({ count: request.session.basket.length });
    });
    app.get('/basket', (request, response) => {
        response.json({ user: request.session.user || null, basket: request.session.basket || [] });
    });
    app.post('/short', (request, response) => {
        request.session.cookie.maxAge = SHORT_MS;
        request.session.user = 'in a hurry';
        response.json({});
    });
    app.post('/logout', (request, response) => {
        request.session.destroy((error) => response.status(error ? 500 : 200).json({}));
    });
    return app;
}

async function opened(app) {
    const server = http.createServer(app);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return server;
}

async function closed(server) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
}

class Browser {
    constructor(server) {
        this.base = `http://127.0.0.1:${server.address().port}`;
        this.cookie = null;
    }

    async send(method, path, body) {
        const headers = { 'content-type': 'application/json' };
        if (this.cookie) {
            headers.cookie = this.cookie;
        }
        const response = await fetch(this.base + path, {
            method, headers, body: body === undefined ? undefined : JSON.stringify(body),
        });
        const set = response.headers.getSetCookie();
        if (set.length > 0) {
            this.cookie = set[0].split(';')[0];
        }
        return { status: response.status, ...(await response.json()) };
    }
}

function call(store, method, ...args) {
    return new Promise((resolve, reject) => {
        store[method](...args, (error, value) => (error ? reject(error) : resolve(value)));
    });
}

let server;
const visitors = [];

test('a basket lives from one request to the next', async () => {
    const browser = new Browser(server);
    assert.strictEqual((await browser.send('POST', '/basket', { item: 'x' })).status, 401);
    assert.strictEqual((await browser.send('POST', '/login', { user: 'ann' })).user, 'ann');
    assert.strictEqual((await browser.send('POST', '/basket', { item: 'tea' })).count, 1);
    const second = await browser.send('POST', '/basket', { item: 'h\u00e9t\u00e9' });
    assert.strictEqual(second.count, 2);
    const { user, basket } = await browser.send('GET', '/basket');
    assert.deepStrictEqual({ user, basket }, { user: 'ann', basket: ['tea', 'h\u00e9t\u00e9'] });
    visitors.push({ browser, expected: basket });
});

test('visitors at the same time do not see each other', async () => {
    await Promise.all(Array.from({ length: VISITORS }, async (_, i) => {
        const browser = new Browser(server);
        await browser.send('POST', '/login', { user: `visitor${i}` });
        for (let k = 0; k <= i % 4; k++) {
            await browser.send('POST', '/basket', { item: `${i}.${k}` });
        }
        const expected = Array.from({ length: (i % 4) + 1 }, (__, k) => `${i}.${k}`);
        assert.deepStrictEqual((await browser.send('GET', '/basket')).basket, expected);
        visitors.push({ browser, expected });
    }));
});

// A server that goes away in the midst of this client's handshake leaves it (node-redis 5.9) without
// a connection and without another try. Who does not hear from it connects it again.
async function isConnected(client) {
    const silence = new Promise((resolve) => setTimeout(resolve, SILENCE_MS, 'silence'));
    const answer = await Promise.race([client.ping().catch(() => 'error'), silence]);
    if (answer === 'silence') {
        console.log('note: the client had stopped trying');
        client.destroy();
        await client.connect();
    }
    return answer === 'PONG';
}

for (const how of ['TERM', 'KILL']) {
    test(`all baskets are there after a restart by ${how}`, async (client) => {
        await restartServer(how);
        await eventually(() => isConnected(client), 'the client is connected again');
        for (const { browser, expected } of visitors) {
            assert.deepStrictEqual((await browser.send('GET', '/basket')).basket, expected);
        }
        const { browser, expected } = visitors[0];
        assert.strictEqual((await browser.send('POST', '/basket', { item: how })).count,
            expected.length + 1);
        expected.push(how);
    });
}

test('the store counts, lists and reads all sessions', async (client) => {
    const store = storeOf(client);
    assert.strictEqual(await call(store, 'length'), visitors.length);
    const ids = await call(store, 'ids');
    assert.strictEqual(new Set(ids).size, visitors.length);
    const all = await call(store, 'all');
    assert.deepStrictEqual(all.map((one) => one.id).sort(), ids.sort());
    assert(all.every((one) => one.user && Array.isArray(one.basket)));
});

test('a session ends with its cookie', async (client) => {
    const ttl = await client.ttl(await firstKey(client));
    assert(ttl > 3500 && ttl <= 3600, `ttl ${ttl}`);
    const browser = new Browser(server);
    await browser.send('POST', '/short');
    assert.strictEqual((await browser.send('GET', '/basket')).user, 'in a hurry');
    await eventually(async () => (await call(storeOf(client), 'length')) === visitors.length,
        'the short session ends');
    assert.strictEqual((await browser.send('GET', '/basket')).user, null);
});

test('a logout removes the session alone', async (client) => {
    const { browser } = visitors.pop();
    const old = browser.cookie;
    assert.strictEqual((await browser.send('POST', '/logout')).status, 200);
    browser.cookie = old;
    assert.strictEqual((await browser.send('GET', '/basket')).user, null);
    assert.strictEqual(await call(storeOf(client), 'length'), visitors.length);
});

test('a store with a time to live of its own, and one without', async (client) => {
    const cookie = { originalMaxAge: null };
    const timed = storeOf(client, { prefix: 'timed:', ttl: 100 });
    await call(timed, 'set', 'a', { cookie, n: 1 });
    assert((await client.ttl('timed:a')) > 90);
    await client.expire('timed:a', 5);
    await call(timed, 'touch', 'a', { cookie });
    assert((await client.ttl('timed:a')) > 90);
    const endless = storeOf(client, { prefix: 'endless:', disableTTL: true });
    await call(endless, 'set', 'a', { cookie, n: 2 });
    assert.strictEqual(await client.ttl('endless:a'), -1);
    assert.strictEqual((await call(endless, 'get', 'a')).n, 2);
    await call(endless, 'destroy', 'a');
    assert.strictEqual(await call(endless, 'get', 'a'), null);
});

test('clear removes the sessions of this store only', async (client) => {
    await call(storeOf(client), 'clear');
    assert.strictEqual(await call(storeOf(client), 'length'), 0);
    assert.strictEqual(await client.exists('timed:a'), 1);
    assert.strictEqual((await visitors[0].browser.send('GET', '/basket')).user, null);
});

async function firstKey(client) {
    for await (const keys of client.scanIterator({ MATCH: 'shop:*', COUNT: 10 })) {
        if (keys.length > 0) {
            return keys[0];
        }
    }
    throw new Error('no session');
}

(async () => {
    const client = createClient({ url: `redis://127.0.0.1:${port}` });
    client.on('error', () => {}); // While the server is down; it connects again.
    await client.connect();
    server = await opened(shop(storeOf(client)));
    const failed = await runAll(client);
    await closed(server);
    client.destroy();
    process.exit(failed > 0 ? 1 : 0);
})();
