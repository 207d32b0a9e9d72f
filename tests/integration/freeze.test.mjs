// A worker that is silent for longer than its lease loses what it holds, and
// when it wakes it sends none of it: the fence of the mark (docs/queue.md).
// Real processes, frozen by SIGSTOP; and an upstream that is slow is no freeze.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const LEASE_MS = 1000;
const MAILS = 20;
const address = (n) => `n${n}@inbox.test`;

// Two workers with a child each. The first session that brings a recipient is
// held at its reply to RCPT, until `gate` opens; others pass.
async function start({ hide = [], onMail } = {}) {
    const gate = {};
    gate.opened = new Promise((resolve) => { gate.open = resolve; });
    const first = new Map();
    const sink = await startSink({
        ...Object.fromEntries(hide.map((name) => [`hide${name}`, true])),
        onRcpt: onMail === undefined ? async (to, session) => {
            if (!first.has(to))
                first.set(to, session.id);
            if (first.get(to) === session.id)
                await gate.opened;
        } : undefined,
        onMail,
    });
    const redis = await startRedis();
    const service = await startService({
        redis, upstreams: [sink.upstream({ max_sessions: 2 * MAILS })],
        config: {
            worker: { lease: `${LEASE_MS}ms`, retry: ['1s'] },
            log: { level: 'info', format: 'json' },
        },
    });
    return { gate, first, sink, service };
}

async function sendAll(service, more = {}) {
    const ids = [];
    for (let n = 0; n < MAILS; n++)
        ids.push(await service.send({ to: [address(n)], ...more }));
    return ids;
}

function assertOnce(sink) {
    for (let n = 0; n < MAILS; n++)
        assert.equal(sink.for(address(n)).length, 1, address(n));
}

describe('SIGSTOP of a worker for longer than its lease', () => {
    // With PIPELINING the mark goes out with the commands, so what it holds is
    // marked: unknown to those who take it over. Without, it is only claimed.
    for (const hide of [[], ['PIPELINING']])
        test(`what it holds is sent by another, once; hidden: [${hide}]`,
             async () => {
            const { gate, first, sink, service } = await start({ hide });
            const ids = await sendAll(service);
            await until('all recipients wait for their reply',
                        () => first.size === MAILS);
            const [frozen] = service.childrenOf('worker');
            const holder = service.programs.worker;
            process.kill(frozen, 'SIGSTOP');
            await service.secondWorker();
            await until('another worker delivers them',
                        () => sink.mails.length === MAILS, 20_000);
            gate.open();
            process.kill(frozen, 'SIGCONT');
            await until('the frozen one lets go of all', async () => {
                const stats = JSON.parse((await service.posthaste(
                    ['queue', 'stats', '--config', service.config, '--json'])));
                return stats.owned === 0 && stats.final === MAILS;
            }, 20_000);
            for (const id of ids)
                await service.emailWith(id, 'sent');
            holder.kill('SIGTERM');
            assert.deepEqual(await holder.ended, { code: 0, signal: null });
            assertOnce(sink);
        });
});

describe('a slow upstream', () => {
    test('answers the dot after five leases: sent once, unflagged',
         async () => {
        const { sink, service } = await start({
            onMail: () => new Promise((resolve) =>
                setTimeout(resolve, 5 * LEASE_MS)),
        });
        const ids = await sendAll(service);
        for (const id of ids) {
            await service.emailWith(id, 'sent', 20_000);
            const { json } = await service.call('GET',
                                                `/v1/emails/${id}/events`);
            assert.deepEqual(
                json.data.map(({ type }) => type),
                ['email.queued', 'email.sent']);
        }
        assertOnce(sink);
    });
});
