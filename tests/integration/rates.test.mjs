// An upstream's rate, over two worker processes of two children each.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const PER_S = 100;

async function sendAll(service, count, mail = {}) {
    const ids = [];
    for (let i = 0; i < count; i += 50)
        ids.push(...await Promise.all(Array.from(
            { length: Math.min(50, count - i) },
            (_, k) => service.send({ to: `r${i + k}@inbox.test`, ...mail }))));
    return ids;
}

// Mails that were begun in each second of Redis' clock, which is ours. A
// transaction that begins at the end of a window is seen by the sink behind
// it, so windows are looked at together, and each with what may slip.
function perSecond(sink) {
    const counts = new Map();
    for (const at of sink.began) {
        const second = Math.floor(at / 1000);
        counts.set(second, (counts.get(second) ?? 0) + 1);
    }
    return counts;
}

async function startTimedSink() {
    const began = [];
    const sink = await startSink({ onRcpt: () => { began.push(Date.now()); } });
    sink.began = began;
    return sink;
}

test('a rate holds over all workers, and is used', async () => {
    const sink = await startTimedSink();
    const service = await startService({
        redis: await startRedis(), children: 2, roles: ['api'],
        upstreams: [sink.upstream({ rate: [`${PER_S}/s`], max_sessions: 16 })],
    });
    const mails = 7 * PER_S;
    const ids = await sendAll(service, mails);
    await Promise.all([service.start('worker'), service.secondWorker()]);
    await until('all are there', () => sink.mails.length === mails, 30_000);
    assert.equal(sink.began.length, mails); // none was begun in vain
    const counts = perSecond(sink);
    const whole = [...counts.keys()].sort().slice(1, -1);
    assert.ok(whole.length >= 4, `${[...counts.values()]}`);
    const inAll = whole.reduce((sum, at) => sum + counts.get(at), 0);
    const wanted = whole.length * PER_S;
    assert.ok(inAll <= wanted * 1.05 && inAll >= wanted * 0.95,
              `${inAll} of ${wanted}: ${[...counts.values()]}`);
    for (const id of ids.slice(-5))
        assert.equal((await service.emailWith(id, 'sent'))
            .recipients[0].attempts, 1);
    await service.checkQueue();
});

test('used up: the next upstream, and without one mail waits', async () => {
    const first = await startTimedSink();
    const second = await startTimedSink();
    const service = await startService({
        redis: await startRedis(), children: 2,
        upstreams: [first.upstream({ name: 'first', rate: ['50/d'] }),
                    second.upstream({ name: 'second', priority: 1,
                                      rate: ['100/h', '30/d'] })],
    });
    const ids = await sendAll(service, 100);
    // A fiftieth of each, one at least, is kept for codes.
    await until('both are used up', () =>
        first.mails.length === 49 && second.mails.length === 29);
    const code = await service.send({ class: 'verification',
                                      to: 'code@inbox.test' });
    await service.emailWith(code, 'sent');
    assert.equal(first.for('code@inbox.test').length, 1);
    const states = (await Promise.all(ids.map((id) => service.email(id))));
    const waiting = states.filter(({ status }) => status === 'queued');
    assert.equal(waiting.length, 22);
    for (const email of waiting)
        assert.equal(email.recipients[0].attempts, 0);
    const { json } = await service.call('GET', '/v1/upstreams');
    assert.deepEqual(json.data.map(({ rates }) => rates), [
        [{ limit: 50, window_s: 86400, used: 50 }],
        [{ limit: 100, window_s: 3600, used: 29 },
         { limit: 30, window_s: 86400, used: 29 }],
    ]);
    assert.match(await service.metrics('worker'),
                 /^posthaste_upstream_spilled_total\{upstream="first"\} \d/m);
    assert.match(service.logs(), /"event":"upstream.used_up"/);

    // The day is over: for the upstreams' windows, which have a key to that
    // end in builds with fault points.
    for (const name of ['first', 'second'])
        await service.redis.cli('HSET', `ph:u:{${name}}:`, 'test_offset_ms',
                                String(86400_000));
    await service.stop('worker');
    await service.start('worker');
    for (const id of ids)
        await service.emailWith(id, 'sent', 20_000);
    assert.equal(first.began.length + second.began.length, 101);
    await service.checkQueue();
});
