// Runs beside others.
// A mail that crashes its worker: it alone is suspect, it is tried alone, and
// after five crashes it waits for an operator; all others flow. One that was
// only in bad company, or had bad luck, is delivered.
//
// POISON_MAILS=1000 is the long form.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const MAILS = Number(process.env.POISON_MAILS ?? 200);
const POISON = 'x-this-mail-is-poison';
const address = (n) => `n${n}@inbox.test`;

async function start(env) {
    const sink = await startSink();
    const redis = await startRedis();
    const service = await startService({
        redis, upstreams: [sink.upstream({ max_sessions: 8 })],
        roles: ['api', 'hooks'], children: 2,
        config: { worker: { lease: '1s', retry: ['1s'] },
                  log: { level: 'info', format: 'json' } },
    });
    Object.assign(service.env, env);
    return { sink, redis, service };
}

const told = (service, event) => service.programs.worker.log.split('\n')
    .filter((line) => line.includes(`"event":"${event}"`))
    .map((line) => JSON.parse(line));

async function dead(service) {
    return JSON.parse(await service.posthaste(
        ['queue', 'dead', 'list', '--config', service.config, '--json']));
}

test(`one poisoned mail among ${MAILS}`, async () => {
    const { sink, redis, service } =
        await start({ POSTHASTE_FAULT_POISON: POISON });
    const ids = [];
    let poisoned;
    for (let n = 0; n < MAILS; n += 50)
        ids.push(...await Promise.all(Array.from(
            { length: Math.min(50, MAILS - n) },
            (_, i) => service.send({ to: [address(n + i)] }))));
    await service.start('worker');
    poisoned = await service.send({ to: ['bad@inbox.test'],
                                    headers: { 'X-Poison': POISON } });
    await until('it is dead', async () =>
        (await dead(service)).total === 1, 60_000);
    const [entry] = (await dead(service)).data;
    assert.equal(entry.id, `${poisoned}:0`);
    assert.equal(entry.crashes, 5);
    assert.equal(entry.why, 'poison');
    await until('all others came', () => {
        const to = new Set(sink.mails.flatMap((mail) => mail.to));
        return to.size === MAILS;
    }, 60_000);
    assert.equal(sink.for('bad@inbox.test').length, 0);
    for (const id of ids)
        await service.emailWith(id, 'sent');
    // Nobody else was under suspicion, and only lone crashes counted.
    for (const { job } of told(service, 'queue.suspect'))
        assert.equal(job, `${poisoned}:0`);
    assert.equal(told(service, 'child.died').length, 6);
    assert.deepEqual(told(service, 'queue.poison').map(({ job }) => job),
                     [`${poisoned}:0`]);
    // It ends in a terminal event, when its time is over.
    await redis.cli('HSET', 'ph:meta', 'test_offset_ms',
                    String(80 * 3600 * 1000));
    await service.emailWith(poisoned, 'failed', 20_000);
});

test('a poisoned mail that is composed beside the loop', async () => {
    const { sink, redis, service } =
        await start({ POSTHASTE_FAULT_POISON: POISON });
    const large = { filename: 'a.bin',
                    content: Buffer.alloc(1 << 20).toString('base64') };
    const poisoned = await service.send({ to: ['bad@inbox.test'],
                                          attachments: [large],
                                          headers: { 'X-Poison': POISON } });
    const good = await service.send({ to: ['ada@inbox.test'],
                                      attachments: [large] });
    await service.start('worker');
    await until('it is dead', async () =>
        (await dead(service)).total === 1, 60_000);
    const [entry] = (await dead(service)).data;
    assert.equal(entry.id, `${poisoned}:0`);
    assert.equal(entry.why, 'poison');
    await service.emailWith(good, 'sent', 20_000);
    assert.equal(sink.for('ada@inbox.test').length, 1);
    assert.equal(sink.for('bad@inbox.test').length, 0);
    await redis.cli('HSET', 'ph:meta', 'test_offset_ms',
                    String(80 * 3600 * 1000));
    await service.emailWith(poisoned, 'failed', 20_000);
});

test('a crash by bad luck: delivered, once, unflagged', async () => {
    const { sink, service } =
        await start({ POSTHASTE_FAULT_POINT: 'worker.claimed:1' });
    const id = await service.send({ to: ['ada@inbox.test'] });
    await service.start('worker');
    await service.emailWith(id, 'sent', 20_000);
    assert.equal(sink.mails.length, 1);
    assert.deepEqual(told(service, 'queue.suspect').map(({ job }) => job),
                     [`${id}:0`]);
    assert.equal((await dead(service)).total, 0);
});
