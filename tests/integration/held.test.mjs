// Runs beside others.
// A mail whose outcome nobody knows, by on_unknown: sent again, held for an
// operator, or failed (P3 and P4 of README.md); and the operator's verbs.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TERMINAL } from '../fault/lib/ledger.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { reply, startSink } from './harness/sink.mjs';

const TO = 'ada@inbox.test';

// The first mail is taken, and the session then ends as `how` says.
async function start(how, onRcpt) {
    let taken = 0;
    const sink = await startSink({
        onRcpt,
        onMail: (mail) => {
            if (++taken > 1)
                return undefined;
            sink.mails.push(mail);
            return how(sink, mail);
        },
    });
    const service = await startService({
        redis: await startRedis(),
        upstreams: [sink.upstream({ max_sessions: 2, dot_timeout: '1s' })],
        config: { worker: { lease: '1s', retry: ['1s'] },
                  log: { level: 'info', format: 'json' } },
    });
    return { sink, service };
}

const never = () => new Promise(() => {});
const hangUp = async (sink) => {
    for (const connection of sink.server.connections)
        connection._socket.destroy();
    return never();
};

const WAYS = {
    'the session is cut behind the dot': { how: hangUp, why: 'no_reply' },
    'the dot is never answered': { how: never, why: 'no_reply' },
    'the worker dies': { how: never, why: 'worker_lost', kill: true },
};

async function sendInto(way, on_unknown) {
    const { sink, service } = await start(way.how);
    const id = await service.send({ to: [TO], on_unknown });
    if (way.kill) {
        await until('the dot came', () => sink.mails.length === 1);
        process.kill(service.childrenOf('worker')[0], 'SIGKILL');
    }
    return { sink, service, id };
}

async function list(service, kind = 'held', ...more) {
    return JSON.parse(await service.posthaste(
        ['queue', kind, 'list', '--config', service.config, '--json',
         ...more]));
}

async function end(service, id) {
    const { json } = await service.call('GET', `/v1/emails/${id}/events`);
    return json.data.at(-1);
}

// The payloads of a mail's ends, once there are so many.
async function ends(receiver, id, count) {
    const all = () => receiver.of(id).map(({ payload }) => payload)
        .filter(({ type }) => TERMINAL.includes(type));
    await until(`${count} ends`, () => all().length === count, 20_000);
    return all();
}

for (const [name, way] of Object.entries(WAYS))
    describe(name, () => {
        test('retry: sent again, flagged, with the same bytes', async () => {
            const { sink, service, id } = await sendInto(way, 'retry');
            await service.emailWith(id, 'sent', 20_000);
            assert.equal(sink.mails.length, 2);
            assert.ok(sink.mails[0].raw.equals(sink.mails[1].raw));
            await until('its event says so', async () =>
                (await end(service, id)).data.possible_duplicate === true);
        });

        test('fail: failed, not sent again', async () => {
            const { sink, service, id } = await sendInto(way, 'fail');
            await service.emailWith(id, 'failed', 20_000);
            await until('its event says why', async () =>
                (await end(service, id)).type === 'email.failed');
            assert.equal(sink.mails.length, 1);
        });

        test('hold: listed, and sent again on demand', async () => {
            const { sink, service, id } = await sendInto(way, 'hold');
            await service.emailWith(id, 'held', 20_000);
            const { data, total } = await list(service);
            assert.equal(total, 1);
            assert.equal(data[0].id, `${id}:0`);
            assert.equal(data[0].why, way.why);
            assert.equal(data[0].owner, 'default');
            assert.equal(data[0].class, 'transactional');
            assert.ok(Date.parse(data[0].until) > Date.parse(data[0].since));
            if (way.why === 'no_reply') {
                assert.equal(data[0].upstream, 'sink');
                assert.notEqual(data[0].last_reply.text, '');
            }
            assert.equal(sink.mails.length, 1);
            const out = await service.posthaste(
                ['queue', 'held', 'requeue', id, '--config', service.config]);
            assert.deepEqual(JSON.parse(out), { requeued: 1 });
            await service.emailWith(id, 'sent');
            assert.equal(sink.mails.length, 2);
            assert.equal((await list(service)).total, 0);
        });
    });

test('a list goes on where it ended, over partitions', async () => {
    const redis = await startRedis();
    const sink = await startSink({ onMail: never });
    const service = await startService({
        redis, upstreams: [sink.upstream({ max_sessions: 16,
                                           dot_timeout: '1s' })],
        config: { worker: { lease: '1s' } },
    });
    await service.posthaste(['partition', 'add', '--config', service.config]);
    const keys = [service.key, await service.createKey({ owner: 'acme' })];
    await until('the new one is served', async () =>
        (await service.call('GET', '/v1/queue', undefined, { key: keys[1] }))
            .status === 200);
    const ids = new Set();
    for (let i = 0; i < 8; i++)
        ids.add(await service.send({ on_unknown: 'hold' },
                                   { key: keys[i % 2] }));
    await until('all are held', async () =>
        (await list(service)).total === ids.size, 20_000);
    const seen = [];
    let page = { next: '' };
    do {
        page = await list(service, 'held', '--limit', '3', '--after',
                          page.next);
        assert.equal(page.total, ids.size);
        seen.push(...page.data);
    } while (page.has_more);
    assert.equal(page.next, null);
    assert.deepEqual(new Set(seen.map(({ email_id }) => email_id)), ids);
    assert.equal(seen.length, ids.size);
    const ends = seen.map(({ until: end }) => Date.parse(end));
    assert.deepEqual(ends, ends.toSorted((a, b) => a - b));
    const his = await list(service, 'held', '--owner', 'acme', '--limit', '1');
    assert.equal(his.total, 4);
    assert.equal(his.data.length, 1);
    const bad = await service.run(['queue', 'held', 'list', '--after', 'x',
                                   '--config', service.config]);
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /--after: "x" is no place in a list/);
});

// A retry is of the whole mail: who had bounced has two ends then, and GET
// tells the later one.
test('hold: who bounced beside it is sent to again, too', async () => {
    let isKnown = false;
    const { service } = await start(hangUp, (to) => {
        if (to === 'bob@inbox.test' && !isKnown)
            throw reply(550, '5.1.1 no such mailbox');
    });
    const receiver = await startReceiver();
    await service.subscribe(receiver);
    const id = await service.send({ to: [TO, 'bob@inbox.test'],
                                    on_unknown: 'hold' });
    const [ended] = await ends(receiver, id, 1);
    assert.equal(ended.type, 'email.bounced');
    await service.emailWith(id, 'held', 20_000);
    isKnown = true;
    const answer = await service.call('POST', `/v1/emails/${id}/retry`);
    assert.equal(answer.status, 200);
    const all = await ends(receiver, id, 3);
    assert.deepEqual(all.map(({ type, data }) => [type, data.recipient])
        .sort(), [['email.bounced', 'bob@inbox.test'],
                  ['email.sent', TO], ['email.sent', 'bob@inbox.test']]);
    const sent = all.find(({ type, data }) =>
        type === 'email.sent' && data.recipient === 'bob@inbox.test');
    assert.ok(sent.data.sequence > ended.data.sequence);
    const { recipients } = await service.emailWith(id, 'sent');
    assert.deepEqual(recipients.map(({ status }) => status), ['sent', 'sent']);
});

test('the verbs say what is wrong', async () => {
    const { service } = await start(never);
    const held = (...args) => service.run(
        ['queue', 'held', ...args, '--config', service.config]);
    const bad = await held('requeue', 'x');
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /"x" is no id: EMAIL:NUMBER/);
    assert.equal((await held('drop', '--yes')).code, 2);
    assert.equal((await held('drop', '--yes', '--all', 'x')).code, 2);
    const unsure = await held('drop', '--all');
    assert.equal(unsure.code, 2);
    assert.match(unsure.stderr, /canceled for good; say --yes/);
    const gone = await held('drop', '--yes',
                            '0189c000-0000-7000-8000-000000000001:0');
    assert.equal(gone.code, 3);
    assert.match(gone.stderr, /none of these is held/);
    const all = await held('drop', '--yes', '--all', '--json');
    assert.deepEqual(JSON.parse(all.stdout), { dropped: 0 });
});

test('what is dropped ends as canceled', async () => {
    const { service, id } =
        await sendInto(WAYS['the session is cut behind the dot'], 'hold');
    await service.emailWith(id, 'held', 20_000);
    assert.equal((await list(service, 'held', '--owner', 'other')).data.length,
                 0);
    await service.posthaste(['queue', 'held', 'drop', '--yes', '--all', '--config',
                             service.config]);
    await service.emailWith(id, 'canceled');
});
