// What both client tests share: cases, comparison, and a restart of the server by the parent.
//
// The parent (run.py) reads "ok   NAME", "FAIL NAME: WHY" and, as a request, "RESTART"; it answers
// a request with a line on stdin once the server is up again.
'use strict';

const assert = require('assert');
const readline = require('readline');

const CASE_TIMEOUT_MS = 60000;
const POLL_MS = 10;

const cases = [];
const waiting = [];
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
    const resolve = waiting.shift();
    if (resolve) {
        resolve(line);
    }
});

function test(name, run) {
    cases.push({ name, run });
}

// The parent stops the server cleanly ("TERM") or kills it ("KILL") and starts it again.
function restartServer(how) {
    process.stdout.write(`RESTART ${how}\n`);
    return new Promise((resolve) => waiting.push(resolve));
}

function sleep(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

// Polls until the condition holds.
async function eventually(condition, what) {
    const deadline = Date.now() + CASE_TIMEOUT_MS / 2;
    while (!(await condition())) {
        assert(Date.now() < deadline, `waited in vain: ${what}`);
        await sleep(POLL_MS);
    }
}

function withTimeout(promise) {
    let timer;
    const timeout = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error('no end in sight')), CASE_TIMEOUT_MS);
    });
    return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

async function runAll(client) {
    let failed = 0;
    for (const { name, run } of cases) {
        try {
            await withTimeout(run(client));
            console.log(`ok   ${name}`);
        } catch (error) {
            failed++;
            console.log(`FAIL ${name}: ${String(error && error.stack).replace(/\n/g, ' | ')}`);
        }
    }
    lines.close();
    return failed;
}

function allBytes(count) {
    const bytes = Buffer.alloc(count);
    for (let i = 0; i < count; i++) {
        bytes[i] = (i * 7 + (i >> 8)) & 255;
    }
    return bytes;
}

module.exports = { assert, test, runAll, restartServer, eventually, allBytes };
