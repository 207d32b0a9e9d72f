// Whatever is killed, whenever: nothing accepted is lost, and a mail comes
// twice only where the session died between the final dot and its record, and
// then the event says so (P1 to P3 of README.md).
//
// Each test sends MAILS mails at RATE a second, each with an idempotency key
// and asked again until there is an answer, and kills in the middle.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertClean, openLedger } from '../fault/lib/ledger.mjs';
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
    const ledger = await openLedger({ service, sinks: [sink] });
    return { redis, service, ledger };
}

// MAILS mails at RATE, with trouble() in the middle. Gives how many came twice.
async function sendAll({ service, ledger }, trouble,
                       { mayDuplicate = true } = {}) {
    await Promise.all([
        ledger.send(MAILS, { rate: RATE }),
        until('half of them', () => ledger.sent > MAILS / 2, 60_000)
            .then(trouble),
    ]);
    await ledger.settled();
    const account = ledger.account();
    assertClean(account, { mayDuplicate });
    assert.deepEqual(account.ends, { 'email.sent': MAILS });
    await service.checkQueue();
    return account.duplicates.length;
}

describe('kill -9', () => {
    for (const role of ['worker', 'api', 'hooks'])
        test(`of a child of ${role}`, async (t) => {
            const all = await start();
            const { service } = all;
            const doubled = await sendAll(all, () => {
                service.programs[role].kill('SIGKILL',
                                            service.childrenOf(role)[0]);
            });
            t.diagnostic(`${doubled} duplicates, announced`);
            await until('the child is replaced', () =>
                service.childrenOf(role).length === CHILDREN);
        });

    for (const role of ['worker', 'api', 'hooks'])
        test(`of the supervisor of ${role}`, async (t) => {
            const all = await start();
            const { service } = all;
            const doubled = await sendAll(all, async () => {
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
            t.diagnostic(`${doubled} duplicates, announced`);
        });

    for (const appendfsync of ['everysec', 'always'])
        test(`of redis-server, ${appendfsync}`, async (t) => {
            const all = await start({ appendfsync });
            const doubled = await sendAll(all, async () => {
                await all.redis.kill();
                await all.redis.start();
            });
            t.diagnostic(`${doubled} duplicates, announced`);
        });
});

describe('SIGTERM', () => {
    test('of a child of worker: no duplicate', async () => {
        const all = await start();
        const { service } = all;
        await sendAll(all, () => {
            service.programs.worker.kill('SIGTERM',
                                         service.childrenOf('worker')[0]);
        }, { mayDuplicate: false });
    });

    test('of redis-server: no loss', async (t) => {
        const all = await start();
        const doubled = await sendAll(all, async () => {
            await all.redis.stop();
            await all.redis.start();
        });
        t.diagnostic(`${doubled} duplicates, announced`);
    });
});
