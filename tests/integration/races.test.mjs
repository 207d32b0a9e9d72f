// Runs beside others.
// A mail is taken back, or given another time, while a worker claims it: the
// caller is told yes and it does not go, or no and it goes, once. There is no
// third outcome. RACES is how many (10,000 by hand).
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const RACES = Number(process.env.RACES ?? 500);
const AT_ONCE = 8;


const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let service;
let sink;

before(async () => {
    const redis = await startRedis();
    sink = await startSink();
    service = await startService({
        redis, upstreams: [sink.upstream({ max_sessions: 32 })],
        roles: ['api', 'worker'], children: 2,
        config: { log: { level: 'warn', format: 'json' } },
    });
});

// Runs RACES times race(n), some at once; it gives { id, status } of what the
// caller was answered.
async function raceAll(race) {
    const answers = [];
    let next = 0;
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        while (next < RACES) {
            const n = next++;
            answers[n] = await race(n);
        }
    }));
    const won = answers.filter(({ status }) => status === 200).length;
    assert.ok(won >= RACES / 50 && won <= RACES - RACES / 50,
              `${won} of ${RACES}: that is no race`);
    return answers;
}

async function ask(...call) {
    const { status, text } = await service.call(...call);
    assert.ok(status === 200 || status === 409, `${status} ${text}`);
    return status;
}

// Each mail that was not stopped came once, and no other came at all.
async function settle(name, answers, stopped) {
    for (const { id, status } of answers)
        await service.emailWith(id, status === 200 ? stopped : 'sent', 60_000);
    await until('the worker has nothing in hand', async () => {
        const stats = JSON.parse(await service.posthaste(
            ['queue', 'stats', '--json', '--config', service.config]));
        assert.equal(stats.owned, 0);
        return stats.lanes.every(({ queued }) => queued === 0);
    }, 60_000);
    const copies = sink.copies();
    for (const [n, { id, status }] of answers.entries())
        assert.equal(copies.get(`${name}${n}@inbox.test`) ?? 0,
                     status === 200 ? 0 : 1, `${name} ${n}, ${id}: ${status}`);
}

// Where either side wins depends on the machine, and is learnt on the way:
// how many ms behind its POST a mail is due, or, below 0, how many ms the
// caller waits when it is due at once. A random time around that.
class Start {
    even = 20;
    races = 0;

    time() {
        return this.even + (Math.abs(this.even) + 4) * (Math.random() - 0.5);
    }

    learn(status) {
        const step = Math.max(0.5, 40 / Math.sqrt(++this.races));
        this.even += status === 200 ? -step : step;
    }
}

// A mail that is due at about the time when ask(id) comes.
async function raceDue(name, start, n, call) {
    const time = start.time();
    const due = Date.now() + Math.max(0, time);
    const id = await service.send({
        to: [`${name}${n}@inbox.test`],
        scheduled_at: new Date(due).toISOString(),
    });
    if (time < 0)
        await rest(-time);
    const status = await call(id);
    start.learn(status);
    return { id, status };
}

describe('while it is claimed', () => {
    test(`${RACES} mails are canceled, or sent`, async () => {
        const start = new Start();
        const answers = await raceAll((n) => raceDue('cancel', start, n, (id) =>
            ask('POST', `/v1/emails/${id}/cancel`)));
        await settle('cancel', answers, 'canceled');
    });

    test(`${RACES} mails are given another time, or sent`, async () => {
        const start = new Start();
        const later = new Date(Date.now() + 3600_000).toISOString();
        const answers = await raceAll((n) => raceDue('move', start, n, (id) =>
            ask('PATCH', `/v1/emails/${id}`, { scheduled_at: later })));
        await settle('move', answers, 'scheduled');
        for (const { id, status } of answers)
            if (status === 200)
                assert.equal((await service.email(id)).scheduled_at, later);
    });
});
