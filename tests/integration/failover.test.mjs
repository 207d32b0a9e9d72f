// Redis' master dies; Sentinels make a replica the master.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startReplicated } from './harness/sentinel.mjs';
import { folder, until } from './harness/scope.mjs';
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

describe('redis.url = sentinel://', () => {
    let busy;
    let small;

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

    test('a master that dies before it has told its replicas', async () => {
        const { service, sink } = await startOn(small);
        const [old, replica] = small.servers;
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
    });
});
