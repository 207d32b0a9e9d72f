// Runs beside others.
// An address that a server knows to be bad gets no more mail, until it is
// taken off the list: by Resend's shapes, and by what the server saw.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';

let sink;
let service;
let receiver;
const seen = new Map(); // address -> how often a server was asked

before(async () => {
    const redis = await startRedis();
    sink = await startSink({
        onRcpt(address) {
            const nth = (seen.get(address) ?? 0) + 1;
            seen.set(address, nth);
            if (address.startsWith('gone') && nth === 1)
                throw reply(550, '5.1.1 no such user');
            if (address.startsWith('often'))
                throw reply(550, 'Mail rejected: frequency limited');
            if (address.startsWith('policy'))
                throw reply(550, '5.7.1 not permitted by policy');
            if (address.startsWith('flood'))
                throw reply(550, '5.1.1 no such user');
        },
    });
    service = await startService({
        redis, upstreams: [sink.upstream()],
        config: { webhook: { allow_private: true, ports: [] } },
    });
    receiver = await startReceiver();
    await service.subscribe(receiver, ['email.sent', 'email.bounced',
        'email.suppressed', 'email.delivery_delayed', 'suppression.*']);
});

async function ask(method, path, body) {
    const { status, json } = await service.call(method, path, body);
    return { status, answer: json };
}

// Of the list: all that was told of an address, and the account's log of it.
async function story(email, count) {
    const of = (events) =>
        events.filter(({ type, data }) =>
            type.startsWith('suppression.') && data.email === email);
    const told = () => of(receiver.events.map(({ id, payload }) =>
        ({ id, ...payload })));
    await until(`${count} events of ${email}`,
                () => told().length >= count, 20_000);
    const logged = [];
    for (let after = '', more = true; more;) {
        const { answer } = await ask('GET',
                                     `/v1/events?limit=100${after}`);
        logged.push(...of(answer.data));
        after = `&after=${answer.next}`;
        more = answer.has_more;
    }
    const byType = (a, b) => a.type.localeCompare(b.type);
    assert.deepEqual(told().sort(byType), [...logged].sort(byType));
    assert.equal(new Set(logged.map(({ id }) => id)).size, count);
    return logged;
}

test('bounced, suppressed, removed, sent', async () => {
    const to = 'gone@bad.test';
    const first = await service.send({ to });
    const { payload } = await receiver.event(first, 'email.bounced', 20_000);
    assert.equal(payload.data.bounce.type, 'Permanent');

    const { status, answer } = await ask('GET', `/v1/suppressions/${to}`);
    assert.equal(status, 200);
    assert.equal(answer.object, 'suppression');
    assert.equal(answer.email, to);
    assert.equal(answer.origin, 'bounce');
    assert.equal(answer.source_id, first);
    assert.equal(answer.reason, '550/5.1.1');
    assert.equal(Date.parse(answer.expires_at) - Date.parse(answer.created_at),
                 30 * 86_400_000);

    const second = await service.send({ to: 'GONE@Bad.test' });
    const told = await receiver.event(second, 'email.suppressed', 20_000);
    assert.deepEqual(told.payload.data.to, ['GONE@Bad.test']);
    assert.equal(told.payload.data.suppressed.reason, 'previous_bounce');
    assert.equal(told.payload.data.suppressed.type, 'OnAccountSuppressionList');
    assert.equal((await ask('GET', `/v1/emails/${second}`)).answer.last_event,
                 'suppressed');
    assert.equal(seen.get(to), 1);

    const removed = await ask('DELETE', `/v1/suppressions/${answer.id}`);
    assert.deepEqual(removed.answer,
                     { object: 'suppression', id: answer.id, deleted: true });
    assert.equal((await ask('GET', `/v1/suppressions/${to}`)).status, 404);
    const [added, gone, ...rest] = await story(to, 2);
    assert.deepEqual(rest, []);
    const { id, email, origin, source_id, created_at } = answer;
    const data = { id, email, origin, source_id, created_at };
    assert.equal(added.type, 'suppression.added');
    assert.deepEqual(added.data, { ...data, timestamp: created_at });
    assert.equal(gone.type, 'suppression.removed');
    assert.deepEqual(gone.data, { ...data, timestamp: gone.created_at });
    const third = await service.send({ to });
    await receiver.event(third, 'email.sent', 20_000);
    assert.equal(seen.get(to), 2);
});

test('of several recipients only that one is kept off', async () => {
    await ask('POST', '/v1/suppressions', { email: 'off@mixed.test' });
    const id = await service.send({ to: ['on@mixed.test', 'off@mixed.test'] });
    const off = await receiver.event(id, 'email.suppressed', 20_000);
    const on = await receiver.event(id, 'email.sent', 20_000);
    assert.deepEqual(off.payload.data.to, ['off@mixed.test']);
    assert.equal(off.payload.data.suppressed.reason, undefined);
    assert.deepEqual(on.payload.data.to, ['on@mixed.test']);
    assert.equal(seen.has('off@mixed.test'), false);
});

test('a scheduled mail is looked at again when it is due', async () => {
    const id = await service.send({ to: 'later@due.test',
        scheduled_at: new Date(Date.now() + 3000).toISOString() });
    await ask('POST', '/v1/suppressions', { email: 'later@due.test' });
    await receiver.event(id, 'email.suppressed', 20_000);
    assert.equal(seen.has('later@due.test'), false);
});

test('neither a policy nor a rate is the fault of an address', async () => {
    const policy = await service.send({ to: 'policy@ok.test' });
    const often = await service.send({ to: 'often@ok.test' });
    await receiver.event(policy, 'email.bounced', 20_000);
    await receiver.event(often, 'email.delivery_delayed', 20_000);
    for (const to of ['policy@ok.test', 'often@ok.test'])
        assert.equal((await ask('GET', `/v1/suppressions/${to}`)).status, 404);
});

test('a server that refuses everybody fills no list', async () => {
    for (let i = 0; i < 40; i++) {
        const id = await service.send({ to: `flood${i}@flood.test` });
        await receiver.event(id, 'email.bounced', 20_000);
    }
    const at = async (i) =>
        (await ask('GET', `/v1/suppressions/flood${i}@flood.test`)).status;
    assert.equal(await at(0), 200);
    assert.equal(await at(28), 200);
    assert.equal(await at(29), 404);
    assert.equal(await at(39), 404);
});

describe("Resend's shapes", () => {
    test('a batch, pages, an origin, ids', async () => {
        const emails = ['a', 'b', 'c'].map((box) => `${box}@batch.test`);
        const added = await ask('POST', '/v1/suppressions/batch/add',
                                { emails });
        assert.equal(added.status, 201);
        const ids = added.answer.data.map(({ object, id }) => {
            assert.equal(object, 'suppression');
            return id;
        });
        assert.equal(new Set(ids).size, 3);
        const again = await ask('POST', '/v1/suppressions',
                                { email: 'B@batch.test' });
        assert.deepEqual(again.answer, { object: 'suppression', id: ids[1] });

        const page = (query) =>
            ask('GET', `/v1/suppressions?origin=manual&${query}`);
        const first = (await page('limit=2')).answer;
        assert.equal(first.has_more, true);
        assert.deepEqual(first.data.map(({ email }) => email),
                         ['c@batch.test', 'b@batch.test']);
        assert.equal(first.data[0].source_id, null);
        const next = (await page(`limit=1&after=${ids[1]}`)).answer;
        assert.deepEqual(next.data.map(({ id }) => id), [ids[0]]);
        const shouted = await page(
            `limit=1&after=${ids[1].toUpperCase()}`);
        assert.deepEqual(shouted.answer.data, next.data);
        const back = (await page(`limit=1&before=${ids[0]}`)).answer;
        assert.deepEqual(back.data.map(({ id }) => id), [ids[1]]);
        assert.equal(back.has_more, true);
        const bounced = (await ask('GET',
            '/v1/suppressions?origin=bounce&limit=100')).answer.data;
        assert.ok(bounced.every(({ origin }) => origin === 'bounce'));

        const removed = await ask('POST', '/v1/suppressions/batch/remove',
                                  { emails: [emails[0], 'no@batch.test'] });
        assert.deepEqual(removed.answer.data,
            [{ object: 'suppression', id: ids[0], deleted: true }]);
        const rest = await ask('POST', '/v1/suppressions/batch/remove',
                               { ids: ids.slice(1) });
        assert.equal(rest.answer.data.length, 2);
        for (const [i, email] of emails.entries()) {
            const events = await story(email, 2);
            assert.deepEqual(events.map(({ type, data }) =>
                [type, data.id, data.origin, data.source_id]), [
                ['suppression.added', ids[i], 'manual', null],
                ['suppression.removed', ids[i], 'manual', null],
            ]);
        }
    });

    test('what is wrong is told', async () => {
        for (const [method, path, body, status] of [
            ['POST', '/v1/suppressions', { email: 'nobody' }, 422],
            ['POST', '/v1/suppressions/batch/add', { emails: [] }, 422],
            ['POST', '/v1/suppressions/batch/remove', {}, 422],
            ['GET', '/v1/suppressions?origin=x', undefined, 422],
            ['DELETE', '/v1/suppressions/no@one.test', undefined, 404],
        ])
            assert.equal((await ask(method, path, body)).status, status, path);
    });
});
