// What a reload must not cost: an answer, a mail.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { before, describe, test } from 'node:test';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { atEnd, freePort, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const CHILDREN = 2;
const SLOW_MS = 200;      // before redis-server is reached
const VERY_SLOW_MS = 600; // longer than a child lets anybody wait

let sinks;
let service;
let receiver;
const slow = { ms: SLOW_MS };

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The way to a redis-server that takes its time with each new connection.
async function slowly(redis) {
    const server = net.createServer((near) => {
        near.on('error', () => {});
        setTimeout(() => {
            const far = net.connect(redis.port, '127.0.0.1');
            far.on('error', () => near.destroy());
            far.on('close', () => near.destroy());
            near.on('close', () => far.destroy());
            near.pipe(far).pipe(near);
        }, slow.ms);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    atEnd(() => server.close());
    return { url: `redis://127.0.0.1:${server.address().port}/0` };
}

before(async () => {
    sinks = [await startSink(), await startSink()];
    service = await startService({
        redis: await slowly(await startRedis()), children: CHILDREN,
        upstreams: sinks.map((sink, i) => sink.upstream({ name: `up${i}` })),
        routes: [{ name: 'codes', class: 'verification', upstreams: ['up0'] },
                 { name: 'rest', upstreams: ['up0'] }],
        config: { webhook: { allow_private: true, ports: [],
                             retry: ['0s', '1s'] } },
    });
    receiver = await startReceiver();
    await service.subscribe(receiver, ['email.sent', 'email.failed',
                                       'email.expired', 'email.bounced']);
});

async function reload(role) {
    const old = service.childrenOf(role);
    service.write();
    service.programs[role].kill('SIGHUP');
    await until(`new children of ${role}`, () => {
        const now = service.childrenOf(role);
        return now.length === CHILDREN &&
               !now.some((pid) => old.includes(pid));
    }, 20_000);
}

// Sends as long as change() takes, which may tell the ids of mails of its own;
// every request must have been answered well at its first try, and every mail
// be sent once.
async function underLoad(change) {
    const ids = [];
    let over = false;
    const load = async () => {
        for (let n = 0; !over; n++) {
            ids.push(await service.send({
                class: n % 2 ? 'verification' : 'bulk',
            }));
            await pause(10);
        }
    };
    const before = sinks.reduce((sum, { mails }) => sum + mails.length, 0);
    const loads = [load(), load(), load()];
    try {
        ids.push(...(await change() ?? []));
    } finally {
        over = true;
        await Promise.all(loads);
    }
    for (const id of ids)
        await receiver.event(id, 'email.sent', 20_000);
    const after = sinks.reduce((sum, { mails }) => sum + mails.length, 0);
    assert.equal(after - before, ids.length);
}

// A request whose head has been taken, and whose body is still to come.
async function openRequest() {
    const body = JSON.stringify({ from: 'app@sender.test',
                                  to: 'ada@inbox.test', subject: 'x',
                                  text: 'y' });
    const client = net.connect(new URL(service.base).port, '127.0.0.1');
    let answer = '';
    client.on('data', (bytes) => (answer += bytes));
    client.write('POST /v1/emails HTTP/1.1\r\nHost: localhost\r\n' +
                 `Authorization: Bearer ${service.key}\r\n` +
                 'Content-Type: application/json\r\n' +
                 'Expect: 100-continue\r\n' +
                 `Content-Length: ${body.length}\r\n\r\n`);
    await until('the request is under way',
                () => /^HTTP\/1.1 100/.test(answer));
    return {
        async finish() {
            client.write(body);
            return until('the answer', () =>
                /HTTP\/1.1 200[^]*"id":"([^"]*)"/.exec(answer)?.[1]);
        },
    };
}

describe('a reload', () => {
    test('of api: new children answer when they can', () =>
        underLoad(async () => {
            for (let i = 0; i < 3; i++)
                await reload('api');
        }));

    test('of api: the old children answer until they can', async (t) => {
        slow.ms = VERY_SLOW_MS;
        t.after(() => { slow.ms = SLOW_MS; });
        await underLoad(() => reload('api'));
    });

    test('a killed child of api: the next one answers when it can', () =>
        underLoad(async () => {
            await pause(100);
            const [pid] = service.childrenOf('api');
            service.programs.api.kill('SIGTERM', pid);
            await until('the child is replaced', () => {
                const now = service.childrenOf('api');
                return now.length === CHILDREN && !now.includes(pid);
            });
            await pause(2 * SLOW_MS);
        }));

    test('a child of api that somebody asks to end: the next one is there ' +
         'before it is done', () => underLoad(async () => {
        const client = await openRequest();
        const old = service.childrenOf('api');
        for (const pid of old)
            service.programs.api.kill('SIGTERM', pid);
        await until('all are replaced', () => {
            const now = service.childrenOf('api');
            return now.length === CHILDREN + 1 &&
                   now.filter((pid) => old.includes(pid)).length === 1;
        });
        const id = await client.finish();
        await until('the last one is gone',
                    () => service.childrenOf('api').length === CHILDREN);
        return [id];
    }));

    test('with a route renamed, one left out, an upstream left out', () =>
        underLoad(async () => {
            service.routes = [
                { name: 'fast', class: 'verification', upstreams: ['up1'] },
                { name: 'rest', upstreams: ['up0'] },
            ];
            await reload('worker');
            await reload('api');
            service.upstreams = service.upstreams.slice(1);
            service.routes = [{ name: 'only', upstreams: ['up1'] }];
            await reload('api');
            await reload('worker');
        }));

    test('with another address: new ones serve, old ones are closed',
         async () => {
        const old = service.base;
        const port = await freePort();
        service.tables.api.listen.push(`127.0.0.1:${port}`);
        await underLoad(() => reload('api'));
        service.base = `http://127.0.0.1:${port}`;
        service.tables.api.listen.shift();
        await underLoad(() => reload('api'));
        await assert.rejects(fetch(old));
    });

    test('with errors: refused, and all goes on', () =>
        underLoad(async () => {
            const good = fs.readFileSync(service.config, 'utf8');
            for (const [role, program] of Object.entries(service.programs)) {
                const children = service.childrenOf(role);
                fs.writeFileSync(service.config, `${good}\n[nonsense]\n`);
                program.kill('SIGHUP');
                await program.says(
                    /config\.refused",.*unknown table \[nonsense\]/);
                assert.deepEqual(service.childrenOf(role), children);
            }
            service.write();
        }));

    test('with a file that is gone: refused, and all goes on', () =>
        underLoad(async () => {
            const good = fs.readFileSync(service.config, 'utf8');
            const gone = service.tables.secrets.keyring_file;
            for (const [role, program] of Object.entries(service.programs)) {
                const children = service.childrenOf(role);
                fs.writeFileSync(service.config,
                                 good.replace(gone, `${gone}.gone`));
                program.kill('SIGHUP');
                await program.says(/config\.refused",.*\.gone: No such file/);
                assert.deepEqual(service.childrenOf(role), children);
            }
            service.write();
        }));

    test('of all, again and again', () =>
        underLoad(async () => {
            for (let i = 0; i < 10; i++) {
                for (const program of Object.values(service.programs))
                    program.kill('SIGHUP');
                await pause(50);
            }
        }));
});

test('a stop: who comes too late is refused, who came is answered',
     async () => {
    const port = new URL(service.base).port;
    const program = service.programs.api;
    const client = await openRequest();
    program.kill('SIGTERM');
    await until('new ones are refused', () => new Promise((resolve) => {
        const late = net.connect(port, '127.0.0.1', () => {
            late.destroy();
            resolve(false);
        });
        late.on('error', ({ code }) => resolve(code === 'ECONNREFUSED'));
    }));
    assert.ok(program.running);
    await client.finish();
    assert.deepEqual(await program.ended, { code: 0, signal: null });
});
