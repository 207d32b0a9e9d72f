// A recipient's domain that says "too many": fewer at a time, for it alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';

const AT_ONCE = 2;

// Takes two mails to busy.test at a time, and tells of more.
async function startBusySink() {
    const busy = { now: 0, most: 0, refused: 0, lets: null };
    const waiting = [];
    const sink = await startSink({
        onRcpt(address, session) {
            if (!address.endsWith('@busy.test'))
                return;
            if (busy.now >= AT_ONCE) {
                busy.refused++;
                throw reply(451, '4.7.28 too many messages to this domain');
            }
            session.isBusy = true;
            busy.most = Math.max(busy.most, ++busy.now);
        },
        async onMail(mail) {
            if (!mail.to[0].endsWith('@busy.test'))
                return;
            if (busy.holds)
                await new Promise((resolve) => waiting.push(resolve));
            busy.now--;
        },
    });
    busy.release = () => {
        busy.holds = false;
        waiting.splice(0).forEach((resolve) => resolve());
    };
    busy.holds = true;
    return { sink, busy };
}

test('a domain that is busy delays no other, and gets all its mail', async () => {
    const { sink, busy } = await startBusySink();
    const service = await startService({
        redis: await startRedis(),
        upstreams: [sink.upstream({ max_sessions: 16 })],
        config: { worker: { retry: ['1s'] } },
    });
    const ids = [];
    for (let i = 0; i < 40; i++)
        ids.push(await service.send({ to: `u${i}@busy.test` }));
    await until('it said so', () => busy.refused > 0);
    await until('the upstream is told of', async () => {
        const { json } = await service.call('GET', '/v1/upstreams');
        return json.data[0].slowed_domains === 1 &&
               json.data[0].state === 'up';
    });
    assert.match(await service.metrics('worker'),
                 /^posthaste_upstream_slowed_domains\{upstream="sink"\} 1$/m);
    assert.match(service.logs(),
                 /"event":"upstream.slowed".*"domain":"busy.test"/);
    // While its two are held: others go, at once.
    for (let i = 0; i < 20; i++)
        await service.emailWith(
            await service.send({ to: `o${i}@other.test` }), 'sent');
    const before = busy.refused;
    busy.release();
    for (const id of ids)
        await service.emailWith(id, 'sent', 60_000);
    assert.equal(sink.copies().size, 60);
    assert.equal(busy.most, AT_ONCE);
    // The slow climb meets the limit now and then; at full tilt it would be
    // refused some ten times each second.
    assert.ok(busy.refused - before < 40, `${busy.refused} refused`);
    await service.checkQueue();
});
