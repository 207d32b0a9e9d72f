// Runs beside others.
// What customers are told: each type of event in its shape, signed so that
// both libraries verify it, and told again until the endpoint has taken it.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';

const ALL = ['email.queued', 'email.scheduled', 'email.sent',
             'email.delivered', 'email.delivery_delayed', 'email.bounced',
             'email.failed', 'email.expired', 'email.canceled'];

let redis;
let sink;
let service;
let receiver;
const tries = new Map();

before(async () => {
    redis = await startRedis();
    sink = await startSink({
        onRcpt(address) {
            const [box] = address.split('@');
            const nth = (tries.get(address) ?? 0) + 1;
            tries.set(address, nth);
            if (box === 'new' && nth === 1)
                throw reply(550, '5.1.1 no such mailbox yet');
            if (box === 'refused')
                throw reply(550, '5.1.1 no such mailbox');
            if (box === 'busy' && nth === 1)
                throw reply(451, '4.3.0 come back');
            if (box === 'never')
                throw reply(451, '4.3.0 come back');
        },
    });
    service = await startService({
        redis,
        upstreams: [sink.upstream()],
        routes: [
            { name: 'theirs', to_domain: 'final.test', upstreams: ['sink'],
              final: true },
            { name: 'relay', upstreams: ['sink'] },
        ],
        config: {
            worker: { retry: ['1s'] },
            webhook: { allow_private: true, ports: [],
                       retry: ['0s', '1s', '1s', '1s'] },
        },
    });
    receiver = await startReceiver();
    await service.subscribe(receiver, ALL);
});

// The events of a mail, once `last` is among them, as types in order.
async function story(id, last) {
    await receiver.event(id, last, 20_000);
    return receiver.of(id)
        .sort((a, b) => a.payload.data.sequence - b.payload.data.sequence)
        .map(({ payload }) => payload.type);
}

describe('the story of a mail', () => {
    test('sent', async () => {
        const id = await service.send({
            class: 'verification', metadata: { order: '42' },
            tags: [{ name: 'kind', value: 'login' }],
        });
        assert.deepEqual(await story(id, 'email.sent'),
                         ['email.queued', 'email.sent']);
        const [{ payload, id: eventId, headers }] =
            receiver.of(id, 'email.sent');
        const { created_at: at, data } = payload;

        assert.deepEqual(Object.keys(payload).sort(),
                         ['created_at', 'data', 'type']);
        assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
        assert.equal(eventId.includes('.'), false);
        assert.equal(headers['content-type'], 'application/json');
        assert.equal(data.email_id, id);
        assert.equal(data.from, 'App <app@sender.test>');
        assert.deepEqual(data.to, ['ada@inbox.test']);
        assert.equal(data.recipient, 'ada@inbox.test');
        assert.equal(data.subject, 'Hello');
        assert.match(data.message_id, /^<.+@.+>$/);
        assert.deepEqual(data.tags, { kind: 'login' });
        assert.deepEqual(data.metadata, { order: '42' });
        assert.equal(data.class, 'verification');
        assert.equal(data.delivery.upstream, 'sink');
        assert.equal(data.delivery.code, 250);
        assert.equal(data.delivery.attempt, 1);
        assert.ok(data.delivery.total_ms >= 0);
        assert.equal('possible_duplicate' in data &&
                     data.possible_duplicate, false);
    });

    test('delivered, on a final route', async () => {
        const id = await service.send({ to: 'ada@final.test' });
        assert.deepEqual(await story(id, 'email.delivered'), [
            'email.queued', 'email.sent', 'email.delivered',
        ]);
    });

    test('bounced', async () => {
        const id = await service.send({ to: 'refused@inbox.test' });
        assert.deepEqual(await story(id, 'email.bounced'),
                         ['email.queued', 'email.bounced']);
        const [{ payload }] = receiver.of(id, 'email.bounced');
        const { bounce } = payload.data;
        assert.equal(bounce.type, 'Permanent');
        assert.equal(bounce.subType, 'NoEmail');
        assert.match(bounce.diagnosticCode[0], /^smtp; 550 5\.1\.1/);
        assert.equal(payload.data.delivery.enhanced_code, '5.1.1');
    });

    test('bounced, then sent by a retry', async () => {
        const id = await service.send({ to: 'new@inbox.test' });
        await story(id, 'email.bounced');
        const before = await service.email(id);
        const retry = () => service.call(
            'POST', `/v1/emails/${id}/retry`, undefined,
            { headers: { 'idempotency-key': 'again' } });
        const { status, json } = await retry();
        assert.equal(status, 200);
        assert.equal(json.recipients.length, 1);
        assert.deepEqual(await story(id, 'email.sent'), [
            'email.queued', 'email.bounced', 'email.sent',
        ]);
        const ids = receiver.of(id).map((event) => event.id);
        assert.equal(new Set(ids).size, 3);
        const [mail, ...more] = sink.for('new@inbox.test');
        assert.equal(more.length, 0);
        assert.equal(mail.messageId, before.message_id);
        assert.equal((await service.email(id)).message_id, before.message_id);
        // The key has its answer; what was sent is not sent again.
        assert.deepEqual((await retry()).json, json);
        const { status: refused } =
            await service.call('POST', `/v1/emails/${id}/retry`);
        assert.equal(refused, 409);
    });

    test('delayed, then sent', async () => {
        const id = await service.send({ to: 'busy@inbox.test' });
        assert.deepEqual(await story(id, 'email.sent'), [
            'email.queued', 'email.delivery_delayed', 'email.sent',
        ]);
    });

    test('expired, never handed over late', async () => {
        const id = await service.send({ to: 'never@inbox.test',
                                        expires_in: 3 });
        const types = await story(id, 'email.expired');
        assert.equal(types.at(-1), 'email.expired');
        assert.ok(types.includes('email.delivery_delayed'));
        assert.equal(sink.for('never@inbox.test').length, 0);
    });

    test('scheduled, then canceled', async () => {
        const id = await service.send({
            scheduled_at: new Date(Date.now() + 3600_000).toISOString(),
        });
        await service.call('POST', `/v1/emails/${id}/cancel`);
        assert.deepEqual(await story(id, 'email.canceled'),
                         ['email.scheduled', 'email.canceled']);
    });

    test('each recipient ends once', async () => {
        const to = ['one@inbox.test', 'refused@else.test', 'two@inbox.test'];
        const id = await service.send({ to });
        await until('three ends', () => receiver.of(id).length === 4);
        const ends = receiver.of(id).filter(({ payload }) =>
            payload.type !== 'email.queued');
        assert.deepEqual(
            ends.map(({ payload }) => [payload.data.recipient, payload.type])
                .sort(), [
                ['one@inbox.test', 'email.sent'],
                ['refused@else.test', 'email.bounced'],
                ['two@inbox.test', 'email.sent'],
            ]);
        const sequences = receiver.of(id).map(({ payload }) =>
            payload.data.sequence);
        assert.equal(new Set(sequences).size, 4);
    });

    test('scheduled, with as much as a mail may say of itself', async () => {
        const name = '\\"'.repeat(320);
        const to = Array.from({ length: 50 }, (_, i) =>
            `"${name}"`.padEnd(4075) + `<w${i}@inbox.test>`);
        const tags = Array.from({ length: 50 }, (_, i) =>
            ({ name: `${i}`.padEnd(256, 'n'), value: 'v'.repeat(256) }));
        const id = await service.send({ to, tags, subject: '"'.repeat(998),
                                        scheduled_at: 'in 1 hour' });
        const { payload } = await receiver.event(id, 'email.scheduled', 20_000);
        assert.deepEqual(payload.data.to, to);
        assert.equal(Object.keys(payload.data.tags).length, 50);
    });

    test('by GET, as by webhook', async () => {
        const id = await service.send({});
        const types = await story(id, 'email.sent');
        const told = await until('the timeline', async () => {
            const { json } = await service.call('GET',
                                                `/v1/emails/${id}/events`);
            return json.data.length >= types.length && json;
        });
        assert.deepEqual(told.data.map(({ type }) => type).sort(),
                         types.slice().sort());
    });
});

describe('an endpoint', () => {
    test('is told again, with the same id, until it takes it', async () => {
        let refusals = 2;
        const moody = await startReceiver({
            respond: () => (refusals-- > 0 ? 500 : 200),
        });
        const endpoint = await service.subscribe(moody, ['email.sent']);
        const id = await service.send({});
        await until('three tries', () => moody.of(id).length === 3, 15_000);
        assert.equal(new Set(moody.of(id).map((event) => event.id)).size, 1);
        assert.equal(new Set(moody.of(id).map(({ body }) => body)).size, 1);
        const times = moody.of(id).map(({ headers }) =>
            Number(headers['webhook-timestamp']));
        assert.ok(times[2] > times[0]); // of the attempt, not of the event
        await service.call('DELETE', `/v1/webhooks/${endpoint}`);
    });

    test('that hangs delays no other', async () => {
        let open;
        const gate = new Promise((resolve) => (open = resolve));
        const slow = await startReceiver({ respond: () => gate });
        const endpoint = await service.subscribe(slow, ['email.sent']);
        const ids = [];
        for (let i = 0; i < 30; i++)
            ids.push(await service.send({}));
        for (const id of ids)
            await receiver.event(id, 'email.sent', 5_000);
        assert.ok(slow.events.length <= 8); // its share, no more
        open(200);
        for (const id of ids)
            await slow.event(id, 'email.sent');
        await service.call('DELETE', `/v1/webhooks/${endpoint}`);
    });

    test('is not delayed by many that hang at once', async () => {
        let open;
        const gate = new Promise((resolve) => (open = resolve));
        const slow = [];
        const endpoints = [];
        for (let i = 0; i < 30; i++) {
            slow.push(await startReceiver({ respond: () => gate }));
            endpoints.push(await service.subscribe(slow[i], ['email.sent']));
        }
        const ids = [];
        for (let i = 0; i < 12; i++)
            ids.push(await service.send({}));
        for (const id of ids)
            await receiver.event(id, 'email.sent', 5_000);
        await until('their shares hang', () =>
            slow.every(({ events }) => events.length === 8), 5_000);
        const id = await service.send({});
        await receiver.event(id, 'email.sent', 5_000);
        open(200);
        for (const one of slow)
            await one.event(id, 'email.sent');
        for (const endpoint of endpoints)
            await service.call('DELETE', `/v1/webhooks/${endpoint}`);
    });

    test('that is gone is disabled', async () => {
        const gone = await startReceiver({ respond: () => 410 });
        const endpoint = await service.subscribe(gone, ['email.sent']);
        await service.send({});
        await until('disabled', async () => {
            const { json } = await service.call('GET',
                                                `/v1/webhooks/${endpoint}`);
            return json.status === 'disabled';
        });
    });

    test('cannot redirect', async () => {
        const moved = await startReceiver({
            respond: () => ({ status: 307,
                              headers: { location: receiver.url } }),
        });
        const endpoint = await service.subscribe(moved, ['email.sent']);
        const id = await service.send({});
        await moved.event(id, 'email.sent');
        await receiver.event(id, 'email.sent');
        await service.call('DELETE', `/v1/webhooks/${endpoint}`);
        assert.equal(receiver.refused.length, 0);
        assert.equal(receiver.of(id, 'email.sent').length, 1);
    });
});

test('a private address is refused when an endpoint is made', async () => {
    const guarded = await startService({
        redis, upstreams: [sink.upstream()], roles: ['api'],
        config: { webhook: { allow_private: false, ports: [443, 80] } },
    });
    const hosts = [
        '127.0.0.1', '127.1', '2130706433', '0x7f000001', '0177.0.0.1',
        '[::1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[64:ff9b::7f00:1]',
        '[2002:7f00:1::]', '0.0.0.0', '10.1.2.3', '172.16.0.1', '192.168.1.1',
        '100.64.0.1', '169.254.169.254', '[fe80::1]', '[fd00::1]', '224.0.0.1',
        'localhost', 'user@10.0.0.1',
    ];
    for (const host of hosts) {
        const answer = await guarded.call('POST', '/v1/webhooks', {
            endpoint: `https://${host}/hook`, events: ['email.sent'],
        });
        assert.equal(answer.status, 422, `${host}: ${answer.text}`);
    }
    for (const endpoint of [
        'ftp://hooks.example.com/', 'file:///etc/passwd', 'hooks.example.com',
        'https://hooks.example.com:25/', 'https://hooks.example.com:0/',
        'https://hooks.example.com:99999/', 'https://hooks.example.com/\r\nX: y',
        `https://hooks.example.com/${
            'a'.repeat(5000)}`,
    ]) {
        const answer = await guarded.call('POST', '/v1/webhooks',
                                          { endpoint, events: ['email.sent'] });
        assert.equal(answer.status, 422, `${endpoint}: ${answer.text}`);
    }
});
