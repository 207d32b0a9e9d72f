// Runs beside others.
// What nobody must find in Redis, in its files, or in a log: sensitive mail,
// keys and webhook secrets (SECURITY.md).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { parse, reply, startSink } from './harness/sink.mjs';

const CODE = '482913';
const BODY = 'body-nobody-else-reads';
const FILE = 'file-nobody-else-reads';
const NAME = 'name-nobody-else-reads';
const ATTACHED = Buffer.from(FILE.repeat(60_000)); // three chunks

const tries = new Map();
const ENDS = ['email.sent', 'email.bounced'];

const base64 = (text) => [0, 1, 2].map((shift) =>
    Buffer.from('-'.repeat(shift) + text).toString('base64')
        .slice(shift ? 4 : 0, -4));

function filesIn(dir) {
    return fs.readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
        const name = path.join(dir, entry.name);
        return entry.isDirectory() ? filesIn(name) : [name];
    });
}

test('secrets stay secret', async () => {
    const redis = await startRedis({ appendfsync: 'always' });
    const sink = await startSink({
        onRcpt(address) {
            const nth = (tries.get(address) ?? 0) + 1;
            tries.set(address, nth);
            if (address.startsWith('busy') && nth === 1)
                throw reply(451, '4.3.0 come back');
            if (address.startsWith('refused'))
                throw reply(550, '5.1.1 no such mailbox');
        },
    });
    const service = await startService({
        redis, upstreams: [sink.upstream()],
        config: { worker: { retry: ['1s'] } }, // and log at debug
    });
    const receiver = await startReceiver();
    await service.subscribe(receiver, ['email.*']);

    const ids = [];
    const attached = [{ filename: `${NAME}.txt`,
                        content: ATTACHED.toString('base64') }];
    for (const attachments of [undefined, attached])
        for (const to of ['ada@inbox.test', 'busy@inbox.test',
                          `refused${ids.length}@inbox.test`])
            ids.push(await service.send({
                to, class: 'verification', attachments,
                subject: `Code ${CODE}`, text: `${CODE} ${BODY}`,
                html: `<b>${CODE}</b> ${BODY} ${'x'.repeat(100_000)}`,
                headers: { 'X-Code': CODE },
            }, { headers: { 'idempotency-key': `key-${BODY}-${ids.length}` } }));
    const waiting = await service.send({
        class: 'reset', subject: CODE, text: `${CODE} ${BODY}`,
        scheduled_at: new Date(Date.now() + 3600_000).toISOString(),
    });
    const plain = await service.send({ text: 'anybody-reads-this' });
    for (const id of [...ids, plain])
        await until(`the end of ${id}`, () => receiver.of(id).some(
            ({ payload }) => ENDS.includes(payload.type)), 20_000);

    const got = await Promise.all(sink.for('ada@inbox.test').map(parse));
    const whole = got.find(({ attachments }) => attachments.length > 0);
    assert.ok(whole.attachments[0].content.equals(ATTACHED));
    assert.match(whole.text, new RegExp(`${CODE} ${BODY}`));

    const places = new Map([['the log', service.logs()]]);
    for (const target of [...ids, waiting].flatMap((id) =>
        [`/v1/emails/${id}`, `/v1/emails/${id}/events`,
         `/v1/emails/${id}/attempts`]))
        places.set(target, (await service.call('GET', target)).text);
    places.set('events', receiver.events.map(({ body }) => body).join('\n'));
    await redis.cli('--rdb', path.join(redis.dir, 'dump.rdb'));
    for (const file of filesIn(redis.dir))
        places.set(file, fs.readFileSync(file, 'latin1'));
    const aof = [...places].filter(([, text]) =>
        text.includes('anybody-reads-this'));
    assert.ok(aof.length >= 1); // it is found where it is

    const secret = receiver.secret.replace('whsec_', '');
    for (const [place, text] of places)
        for (const needle of [
            CODE, BODY, FILE, NAME, ...base64(BODY), ...base64(FILE), secret,
            Buffer.from(secret, 'base64').toString('latin1'),
            service.key.slice(8), // the word before it is no secret
        ])
            assert.ok(!text.includes(needle), `${needle} in ${place}`);
});
