// Runs beside others.
// One Idempotency-Key, one mail: however many ask at once, of whichever child,
// an hour before the key's day is over, and beyond a restart of Redis. ROUNDS
// is how often (1,000 by hand).
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 20);
const AT_ONCE = 200;
const HOUR_MS = 3600_000;

let redis;
let service;
let sink;

before(async () => {
    redis = await startRedis();
    sink = await startSink();
    service = await startService({
        redis, upstreams: [sink.upstream()], roles: ['api', 'worker'],
        children: 2, config: { log: { level: 'warn', format: 'json' } },
        roleEnv: { api: { POSTHASTE_FAULT_POINT: 'cancel.done:1' } },
    });
});

// The first cancel of all: its process dies when it is done.
test('a cancel without an answer is done, and answered when asked again',
     async () => {
    const id = await service.send({ scheduled_at: 'in 1 hour' });
    const cancel = () => service.call(
        'POST', `/v1/emails/${id}/cancel`, undefined,
        { headers: { 'idempotency-key': 'cancel' } });
    await assert.rejects(cancel());
    // The client may hold a second connection to the child that died.
    const again = await until('an answer', cancel);
    assert.equal(again.status, 200, again.text);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    assert.equal(again.json.recipients[0].status, 'canceled');
    const third = await cancel();
    assert.equal(third.status, 200);
    assert.equal(third.text, again.text);
    const other = await service.call(
        'POST', `/v1/emails/${id}/retry`, undefined,
        { headers: { 'idempotency-key': 'cancel' } });
    assert.equal(other.status, 409);
    assert.equal(other.json.name, 'invalid_idempotent_request');
});

test('of equal cancels at once each is told that it was stopped', async () => {
    const id = await service.send({ scheduled_at: 'in 1 hour' });
    const answers = await Promise.all(Array.from({ length: 20 }, () =>
        service.call('POST', `/v1/emails/${id}/cancel`, undefined,
                     { headers: { 'idempotency-key': 'cancels' } })));
    for (const { status, text } of answers)
        assert.equal(status, 200, text);
});

const post = (key, to, subject = 'Hello') => service.call(
    'POST', '/v1/emails',
    { from: 'app@sender.test', to, subject, text: 'Hello.' },
    { headers: { 'idempotency-key': key } });

test(`${AT_ONCE} equal requests at once are one mail, ${ROUNDS} times`,
     async () => {
    for (let round = 0; round < ROUNDS; round++) {
        const to = `round${round}@inbox.test`;
        const answers = await Promise.all(Array.from({ length: AT_ONCE }, () =>
            post(`round-${round}`, to)));
        for (const { status, text } of answers)
            assert.equal(status, 200, text);
        assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
        assert.equal(answers.filter(({ headers }) =>
            headers.get('idempotent-replayed') === null).length, 1);
        const other = await post(`round-${round}`, to, 'Another');
        assert.equal(other.status, 409);
        assert.equal(other.json.name, 'invalid_idempotent_request');
    }
    await until('a mail for each round', () =>
        sink.copies().size >= ROUNDS, 60_000);
    const last = await post('last', 'last@inbox.test');
    await service.emailWith(last.json.id, 'sent');
    const copies = sink.copies();
    for (let round = 0; round < ROUNDS; round++)
        assert.equal(copies.get(`round${round}@inbox.test`), 1);
});

async function keyOf(key) {
    const keys = (await redis.cli('--raw', 'KEYS', 'ph:*:i:default:*'))
        .split('\n');
    const before = new Set(keys);
    await post(key, 'day@inbox.test');
    const after = (await redis.cli('--raw', 'KEYS', 'ph:*:i:default:*'))
        .split('\n').filter((one) => !before.has(one));
    assert.equal(after.length, 1);
    return after[0];
}

test('the first answer is given again, though it would be refused by now',
     async () => {
    const at = Date.now() + 1500;
    const mail = { from: 'app@sender.test', to: 'late@inbox.test',
                   subject: 'Hello', text: 'Hello.',
                   expires_at: new Date(at).toISOString() };
    const ask = (key, body = mail) => service.call(
        'POST', '/v1/emails', body, { headers: { 'idempotency-key': key } });
    const first = await ask('late');
    assert.equal(first.status, 200, first.text);
    await until('the deadline is over', () => Date.now() > at + 10);
    for (let i = 0; i < 4; i++) { // of either child
        const again = await ask('late');
        assert.equal(again.status, 200, again.text);
        assert.equal(again.text, first.text);
        assert.equal(again.headers.get('idempotent-replayed'), 'true');
    }
    assert.equal((await ask('later')).status, 422);
    assert.equal((await ask('late', { ...mail, text: 'Bye.' })).status, 422);
});

test('the first answer is kept for a day, and not longer', async () => {
    const key = await keyOf('day');
    const first = await post('day', 'day@inbox.test');
    const left = Number(await redis.cli('PTTL', key));
    assert.ok(left > 24 * HOUR_MS - 60_000 && left <= 24 * HOUR_MS);
    // 23 hours later.
    await redis.cli('PEXPIRE', key, String(left - 23 * HOUR_MS));
    await redis.cli('HSET', 'ph:meta', 'test_offset_ms', String(23 * HOUR_MS));
    const again = await post('day', 'day@inbox.test');
    assert.equal(again.text, first.text);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    assert.ok(Number(await redis.cli('PTTL', key)) < HOUR_MS + 1000);
    await redis.cli('HDEL', 'ph:meta', 'test_offset_ms');
    await redis.cli('PEXPIRE', key, '1');
    await until('it is gone', async () =>
        await redis.cli('EXISTS', key) === '0');
    const fresh = await post('day', 'day@inbox.test');
    assert.notEqual(fresh.json.id, first.json.id);
});

test('a restart of Redis does not forget it', async () => {
    const first = await post('restart', 'restart@inbox.test');
    await redis.stop();
    await redis.start();
    const again = await until('it answers again', async () => {
        const answer = await post('restart', 'restart@inbox.test');
        assert.equal(answer.status, 200, answer.text);
        return answer;
    });
    assert.equal(again.text, first.text);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    const other = await post('restart', 'restart@inbox.test', 'Another');
    assert.equal(other.status, 409);
});
