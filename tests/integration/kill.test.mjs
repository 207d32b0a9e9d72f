// Whatever is killed, whenever: nothing accepted is lost, and a mail comes
// twice only where the session died between the final dot and its record, and
// then the event says so (P1 to P3 of README.md).
//
// Each test sends MAILS mails at RATE a second, each with an idempotency key
// and asked again until there is an answer, and kills in the middle.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const MAILS = Number(process.env.KILL_MAILS ?? 2000);
const RATE = 200;
const CHILDREN = 2;
const DOT_MS = 30;

async function start({ appendfsync = 'everysec' } = {}) {
    const redis = await startRedis({ appendfsync });
    // A server that takes its time to answer the final dot: whatever dies,
    // some sessions are in the one window where a mail may come twice.
    const sink = await startSink({
        onMail: () => new Promise((resolve) => setTimeout(resolve, DOT_MS)),
    });
    const service = await startService({
        redis, upstreams: [sink.upstream({ max_sessions: 16 })],
        children: CHILDREN,
        config: {
            worker: { lease: '1s', retry: ['1s'] },
            webhook: { allow_private: true, ports: [],
                       retry: ['0s', '1s'] },
            log: { level: 'info', format: 'json' },
        },
    });
    const receiver = await startReceiver();
    await service.subscribe(receiver, ['email.sent', 'email.bounced',
                                       'email.failed', 'email.expired']);
    return { redis, sink, service, receiver };
}

const address = (n) => `n${n}@inbox.test`;

// Sends one mail as a careful caller does: no answer or 503 means again.
async function sendSurely(service, n) {
    const end = Date.now() + 60_000;
    for (;;) {
        try {
            const answer = await service.call('POST', '/v1/emails', {
                from: 'app@sender.test', to: address(n), subject: `Mail ${n}`,
                text: 'Hello.',
            }, { headers: { 'idempotency-key': `mail-${n}` } });
            if (answer.status === 200)
                return answer.json.id;
            if (answer.status !== 503)
                throw Object.assign(
                    new Error(`mail ${n}: ${answer.status} ${answer.text}`),
                    { final: true });
        } catch (error) {
            if (error.final || Date.now() > end)
                throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

// MAILS mails at RATE, with trouble() in the middle. Gives the ids by number.
async function sendAll(service, trouble) {
    const sends = [];
    const begin = Date.now();
    let troubled;
    for (let n = 0; n < MAILS; n++) {
        const wait = begin + (n * 1000) / RATE - Date.now();
        if (wait > 0)
            await new Promise((resolve) => setTimeout(resolve, wait));
        sends.push(sendSurely(service, n));
        if (n === Math.floor(MAILS / 2))
            troubled = trouble();
    }
    const ids = await Promise.all(sends);
    await troubled;
    return ids;
}

// Every mail came, and what came twice was announced. Gives how many did.
async function settle({ service, sink, receiver }, ids) {
    await until('an end of each mail', () =>
        new Set(receiver.events.map(({ payload }) => payload.data.email_id))
            .size >= ids.length, 60_000);
    const times = new Map();
    for (const mail of sink.mails)
        for (const to of mail.to)
            times.set(to, [...(times.get(to) ?? []), mail]);
    let doubled = 0;
    for (const [n, id] of ids.entries()) {
        const mails = times.get(address(n)) ?? [];
        assert.ok(mails.length > 0, `mail ${n} is lost`);
        const ends = new Map(receiver.of(id).map((event) =>
            [event.id, event.payload]));
        assert.equal(ends.size, 1, `mail ${n} has ${ends.size} ends`);
        const [payload] = ends.values();
        assert.equal(payload.type, 'email.sent');
        if (mails.length === 1)
            continue;
        doubled++;
        assert.equal(payload.data.possible_duplicate, true,
                     `mail ${n} came ${mails.length} times, unsaid`);
        for (const mail of mails) {
            assert.equal(mail.messageId, mails[0].messageId);
            assert.ok(mail.raw.equals(mails[0].raw), `mail ${n} differs`);
        }
    }
    assert.equal(receiver.refused.length, 0);
    await service.checkQueue();
    return doubled;
}

describe('kill -9', () => {
    for (const role of ['worker', 'api', 'hooks'])
        test(`of a child of ${role}`, async (t) => {
            const all = await start();
            const { service } = all;
            const ids = await sendAll(service, () => {
                service.programs[role].kill('SIGKILL',
                                            service.childrenOf(role)[0]);
            });
            t.diagnostic(`${await settle(all, ids)} duplicates, announced`);
            await until('the child is replaced', () =>
                service.childrenOf(role).length === CHILDREN);
        });

    for (const role of ['worker', 'api', 'hooks'])
        test(`of the supervisor of ${role}`, async (t) => {
            const all = await start();
            const { service } = all;
            const ids = await sendAll(service, async () => {
                const children = service.childrenOf(role);
                service.programs[role].kill('SIGKILL');
                await service.programs[role].ended;
                await until('its children end', () => children.every((pid) => {
                    try {
                        process.kill(pid, 0);
                        return false;
                    } catch {
                        return true;
                    }
                }));
                await service.start(role);
            });
            t.diagnostic(`${await settle(all, ids)} duplicates, announced`);
        });

    for (const appendfsync of ['everysec', 'always'])
        test(`of redis-server, ${appendfsync}`, async (t) => {
            const all = await start({ appendfsync });
            const ids = await sendAll(all.service, async () => {
                await all.redis.kill();
                await all.redis.start();
            });
            t.diagnostic(`${await settle(all, ids)} duplicates, announced`);
        });
});

describe('SIGTERM', () => {
    test('of a child of worker: no duplicate', async () => {
        const all = await start();
        const { service } = all;
        const ids = await sendAll(service, () => {
            service.programs.worker.kill('SIGTERM',
                                         service.childrenOf('worker')[0]);
        });
        assert.equal(await settle(all, ids), 0);
    });

    test('of redis-server: no loss', async (t) => {
        const all = await start();
        const ids = await sendAll(all.service, async () => {
            await all.redis.stop();
            await all.redis.start();
        });
        t.diagnostic(`${await settle(all, ids)} duplicates, announced`);
    });
});
