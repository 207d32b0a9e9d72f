// Redis' master dies; Sentinels make a replica the master.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startReplicated } from './harness/sentinel.mjs';
import { folder, must, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const MAILS = 200;
const AT_ONCE = 8;

const mailOf = (name) => ({
    from: 'app@sender.test', to: `${name}@inbox.test`, subject: 'Hello',
    text: `Hello ${name}.`,
});

// Asks until it is accepted, with one key, as callers shall.
async function sendUntilAccepted(service, name, answers = []) {
    return until(`${name} is accepted`, async () => {
        const begin = Date.now();
        const answer = await service.call('POST', '/v1/emails', mailOf(name),
            { headers: { 'idempotency-key': name } });
        answers.push({ status: answer.status, ms: Date.now() - begin });
        assert.ok([200, 503].includes(answer.status), answer.text);
        return answer.status === 200 && answer.json.id;
    }, 30_000);
}

async function startOn(redis, { password } = {}) {
    const sink = await startSink();
    const secret = path.join(folder('secret'), 'sentinels');
    fs.writeFileSync(secret, password ?? '');
    const service = await startService({
        redis, upstreams: [sink.upstream()],
        config: { redis: {
            url: redis.url, wait_replicas: 1,
            ...password === undefined ? {}
                : { sentinel_password_file: secret },
        } },
    });
    return { service, sink };
}

async function load(service, prefix, onMail) {
    const ids = new Map();
    const answers = [];
    let next = 0;
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        while (next < MAILS) {
            const name = `${prefix}${next++}`;
            ids.set(name, await sendUntilAccepted(service, name, answers));
            onMail(ids.size);
        }
    }));
    return { ids, answers };
}

// A revocation that was acknowledged: no failover brings the key back.
async function revokedForGood(service, master, next, { id, token }) {
    const answer = await service.call('DELETE', `/v1/api-keys/${id}`);
    assert.equal(answer.status, 200, answer.text);
    await master.kill();
    await small.failedOver(master);
    await small.restartBehind(master, next);
    await until('the key is refused', async () => {
        const { status } = await service.call('GET', '/v1/emails', undefined,
                                              { key: token });
        assert.ok([401, 403, 503].includes(status), `${status}`);
        return status !== 503;
    }, 30_000);
}

async function allSent(service, sink, ids) {
    for (const [name, id] of ids) {
        const email = await service.emailWith(id, 'sent', 30_000);
        const copies = sink.for(`${name}@inbox.test`).length;
        const events = (await service.call('GET', `/v1/emails/${id}/events`))
            .text;
        const unsure = /possible_duplicate":\s*true/.test(events);
        assert.ok(copies === 1 || (copies > 1 && unsure),
                  `${name}: ${copies} copies, ${email.status}`);
    }
}

// Clients of the service that a server has.
async function clientsOf(server) {
    return (await server.cli('CLIENT', 'LIST')).split('\n').filter((line) =>
        line.includes('user=posthaste'));
}

let small;

describe('redis.url = sentinel://', () => {
    let busy;

    before(async () => {
        [busy, small] = await Promise.all([
            startReplicated({ replicas: 2, password: 'hush' }),
            startReplicated({ replicas: 1 }),
        ]);
    });

    test('a master that dies under load: nothing acknowledged is lost',
         async () => {
        const { service, sink } = await startOn(busy, { password: 'hush' });
        const old = await busy.master();
        let killed;
        const { ids, answers } = await load(service, 'kill', (count) => {
            if (count === MAILS / 2)
                killed = old.kill();
        });
        await killed;
        assert.notEqual(await busy.failedOver(old), old);
        assert.equal(ids.size, MAILS);
        await allSent(service, sink, ids);
        assert.deepEqual(answers.filter(({ ms }) => ms > 1000), [],
                         'answers within a second');
        assert.match(service.logs(), /redis\.master/);
    });

    test('a master that lives on is left when a Sentinel says so', async () => {
        const calm = await startReplicated({ replicas: 1 });
        const { service, sink } = await startOn(calm);
        const [old, replica] = calm.servers;
        for (const sentinel of calm.sentinels)
            await until('each Sentinel is listened to', async () =>
                / sub=1 /.test(await must('redis-cli', [
                    '-p', String(sentinel.port), 'CLIENT', 'LIST'])));
        assert.notDeepEqual(await clientsOf(old), []);
        await calm.ask(calm.sentinels[0], 'FAILOVER', 'mail');
        assert.equal(await calm.failedOver(old), replica);
        await until('nobody stays with the old one', async () =>
            (await clientsOf(old)).length === 0);
        assert.match(service.logs(), /another server is the master now/);
        const id = await sendUntilAccepted(service, 'after');
        await allSent(service, sink, new Map([['after', id]]));
    });

    test('a master that dies before it has told its replicas', async () => {
        const { service, sink } = await startOn(small);
        const [old, replica] = small.servers;
        const doomed = await service.call('POST', '/v1/api-keys',
                                          { name: 'doomed' });
        assert.equal(doomed.status, 201, doomed.text);
        await small.sentinels[0].program.end(); // the next one is asked
        await replica.cli('REPLICAOF', '127.0.0.1', '1'); // nobody is there
        for (const name of ['alone', 'alone', 'late']) {
            const begin = Date.now();
            const answer = await service.call('POST', '/v1/emails',
                mailOf(name), { headers: { 'idempotency-key': name } });
            assert.equal(answer.status, 503, answer.text);
            assert.match(answer.headers.get('retry-after'), /^\d+$/);
            assert.ok(Date.now() - begin < 1000, `${Date.now() - begin} ms`);
        }
        for (const [method, target, body] of [
            ['POST', '/v1/api-keys', { name: 'lost' }],
            ['POST', '/v1/webhooks', { endpoint: 'http://127.0.0.1:9/',
                                       events: ['email.sent'] }],
            ['DELETE', `/v1/api-keys/${doomed.json.id}`],
        ]) {
            const answer = await service.call(method, target, body);
            assert.equal(answer.status, 503, `${method} ${target}`);
        }
        await until('readiness says it', async () => {
            const answer = await fetch(`http://${service.admin.api}/readyz`);
            return answer.status === 503 &&
                   (await answer.text()).includes('wait_replicas');
        });
        assert.deepEqual(sink.mails, [], 'no dot without a replica');
        await old.kill();
        await small.failedOver(old);
        assert.equal(await replica.cli('KEYS', 'ph:*:c:*'), '',
                     'the promoted replica has no mail');
        await small.restartBehind(old, replica);
        const id = await sendUntilAccepted(service, 'alone');
        await allSent(service, sink, new Map([['alone', id]]));
        const { json: keys } = await service.call('GET', '/v1/api-keys');
        assert.ok(keys.data.some((key) => key.id === doomed.json.id));
        assert.ok(!keys.data.some(({ name }) => name === 'lost'));
        await revokedForGood(service, replica, old, doomed.json);
    });
});
