// Runs beside others.
// Mails with attachments of 25 MB, which are composed beside the loop: small
// ones pass them, a worker that stops in their midst gives them back, and each
// arrives once, byte for byte.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { parse, startSink } from './harness/sink.mjs';

const BYTES = 25 * 1000 * 1000;
const content = crypto.randomBytes(BYTES);
const attachments = [{ filename: 'a.bin', content: content.toString('base64') }];

async function start() {
    const sink = await startSink();
    const service = await startService({
        redis: await startRedis(), roles: ['api'],
        upstreams: [sink.upstream({ max_sessions: 4 })],
    });
    return { sink, service };
}

async function assertIntact(mail) {
    const [file] = (await parse(mail)).attachments;
    assert.ok(content.equals(file.content));
}

test('to two people, with small mails beside', async () => {
    const { sink, service } = await start();
    const large = await service.send({
        to: ['ada@inbox.test', 'bob@inbox.test'], attachments });
    const small = [];
    for (let n = 0; n < 10; n++)
        small.push(await service.send({ to: [`n${n}@inbox.test`],
                                        class: 'verification' }));
    await service.start('worker');
    for (const id of [...small, large])
        await service.emailWith(id, 'sent', 60_000);
    for (const to of ['ada@inbox.test', 'bob@inbox.test']) {
        assert.equal(sink.for(to).length, 1);
        await assertIntact(sink.for(to)[0]);
    }
    // Claimed in the same turn, and none waited for the large one.
    assert.deepEqual(sink.mails.slice(0, 10).flatMap(({ to }) => to).sort(),
                     small.map((_, n) => `n${n}@inbox.test`));
});

test('a worker that stops has given them back', async () => {
    const { sink, service } = await start();
    const ids = [];
    for (let n = 0; n < 4; n++)
        ids.push(await service.send({ to: [`n${n}@inbox.test`], attachments }));
    await service.start('worker');
    await until('one is on its way', () => sink.connections > 0, 20_000);
    await service.stop('worker');
    await service.start('worker');
    for (const id of ids)
        await service.emailWith(id, 'sent', 60_000);
    assert.equal(sink.mails.length, ids.length);
    for (const mail of sink.mails)
        await assertIntact(mail);
});
