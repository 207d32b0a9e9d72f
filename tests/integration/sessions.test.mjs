// Runs beside others.
// max_sessions holds over workers of several hosts, and is used, whoever comes
// and goes.
import assert from 'node:assert/strict';
import { setTimeout as after } from 'node:timers/promises';
import { test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const MAX = 8;

// An upstream that counts its connections, and takes 20 ms for a mail.
async function startCountingSink() {
    let closed = 0;
    const sink = await startSink({
        onClose: () => { closed++; },
        onRcpt() {
            sink.most = Math.max(sink.most, sink.connections - closed);
        },
        onMail: () => after(20),
    });
    sink.most = 0;
    sink.open = () => sink.connections - closed;
    return sink;
}

test('two workers share the sessions of an upstream', async () => {
    const redis = await startRedis();
    const sink = await startCountingSink();
    const service = await startService({
        redis, children: 2,
        upstreams: [sink.upstream({ max_sessions: MAX })],
    });
    const shares = async () =>
        (await redis.cli('HVALS', 'ph:u:{sink}:shares')).split('\n')
            .map(Number).sort().join();
    const ids = [];
    let sending = true;
    const sender = (async () => {
        while (sending)
            ids.push(...await Promise.all(Array.from({ length: 20 }, () =>
                service.send({ class: 'alert',
                               to: `n${ids.length}@inbox.test` }))));
    })();

    await until('the first worker has them all', () => sink.open() === MAX);
    await service.secondWorker();
    await until('each child has its part', async () =>
        await shares() === '2,3,3', 20_000);
    assert.ok(sink.most <= MAX, `${sink.most} at a time`);
    sink.most = 0;
    await until('all are open', () => sink.open() === MAX);
    await service.stop('worker2');
    await until('the others have its part', async () =>
        await shares() === '4,4', 20_000);
    await until('all are open again', () => sink.open() === MAX);
    sending = false;
    await sender;
    for (const id of ids.slice(-20))
        await service.emailWith(id, 'sent', 30_000);
    assert.ok(sink.most <= MAX, `${sink.most} at a time`);
});

// Whatever killed it: out of memory, or an operator in a hurry.
test('workers that are killed find their sessions again', async () => {
    const redis = await startRedis();
    const sink = await startCountingSink();
    const service = await startService({
        redis, children: 2,
        upstreams: [sink.upstream({ max_sessions: MAX })],
    });
    const seats = async () =>
        (await redis.cli('HKEYS', 'ph:u:{sink}:shares')).split('\n').sort();
    const send = async (to) =>
        service.emailWith(await service.send({ class: 'alert', to }), 'sent');
    await send('before@inbox.test');
    const before = await seats();
    assert.equal(before.length, 2);

    await service.stop('worker', 'SIGKILL');
    await service.start('worker');
    await send('after@inbox.test');
    assert.deepEqual(await seats(), before);
});
