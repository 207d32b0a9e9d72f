// SIGHUP and SIGTERM of each role while RATE mails a second come in: no request
// fails, no mail comes twice or is lost, and the old processes are gone within
// 10 s, since the upstream answers every dot.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { assertClean, openLedger } from '../fault/lib/ledger.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const RATE = Number(process.env.GRACEFUL_RATE ?? 500);
const CHILDREN = 2;
const DOT_MS = 30; // so that some sessions are behind the dot, whenever it is
const STOP_MS = 10_000;
const OPEN_MAX = 256; // requests: a slow machine gets fewer mails, not a queue

let service;
let ledger;

before(async () => {
    const sink = await startSink({
        onMail: () => new Promise((resolve) => setTimeout(resolve, DOT_MS)),
    });
    service = await startService({
        redis: await startRedis(), children: CHILDREN,
        upstreams: [sink.upstream({ max_sessions: 32 })],
        config: { webhook: { allow_private: true, ports: [],
                             retry: ['0s', '1s'] },
                  log: { level: 'info', format: 'json' } },
    });
    ledger = await openLedger({ service, sinks: [sink] });
});

// Sends for a second before change(), while it takes, and for a second behind
// it, and then settles the account of all.
async function underLoad(change) {
    const sends = [];
    const begin = Date.now();
    let open = 0;
    const more = () => {
        const count = sends.length + RATE;
        return until('a second passes', () => sends.length >= count, 60_000);
    };
    ledger.answers = { slowest: 0 };
    const tick = setInterval(() => {
        const due = (Date.now() - begin) * RATE / 1000;
        for (; sends.length < due && open < OPEN_MAX; open++)
            sends.push(ledger.sendOne().finally(() => open--));
    }, 5);
    try {
        await more();
        await change();
        await more();
    } finally {
        clearInterval(tick);
    }
    await Promise.all(sends);
    await ledger.settled();
    assertClean(ledger.account(), { mayDuplicate: false });
}

// Each answer so far was a 200, but for what other() is given.
function assertAnswered(...other) {
    for (const kind of Object.keys(ledger.answers))
        assert.ok(['200', 'slowest', ...other].includes(kind),
                  `${ledger.answers[kind]} times ${kind}: ` +
                  [...new Set(ledger.silences)].join(', '));
}

const isAlive = (pid) => {
    try {
        process.kill(pid, 0);
        return true;
    } catch {
        return false;
    }
};

describe('SIGHUP', () => {
    for (const role of ['worker', 'api', 'hooks'])
        test(`of ${role}: the old children are gone in time`, () =>
            underLoad(async () => {
                const old = service.childrenOf(role);
                service.programs[role].kill('SIGHUP');
                await until('only new children', () => !old.some(isAlive) &&
                    service.childrenOf(role).length === CHILDREN, STOP_MS);
                assertAnswered();
            }));
});

describe('SIGTERM', () => {
    for (const role of ['worker', 'api', 'hooks'])
        test(`of ${role}, and a new one`, () =>
            underLoad(async () => {
                const begin = Date.now();
                assert.deepEqual(await service.stop(role),
                                 { code: 0, signal: null });
                assert.ok(Date.now() - begin < STOP_MS);
                await service.start(role);
                // A refused connect is no failure: nobody listened.
                assertAnswered(...(role === 'api' ? ['refused'] : []));
            }));
});
