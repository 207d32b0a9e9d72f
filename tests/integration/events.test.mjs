// Runs beside others.
// GET /v1/events: a reader that asks gets what the webhooks are told, each
// event once and in its order, or is told that it came too late.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const MAILS = Number(process.env.EVENTS_MAILS ?? 400);

let redis;
let service;

before(async () => {
    redis = await startRedis();
    const sink = await startSink({});
    service = await startService({ redis, upstreams: [sink.upstream()],
                                   children: 2 });
});

async function page({ after, limit, key } = {}) {
    const query = new URLSearchParams();
    if (after !== undefined)
        query.set('after', after);
    if (limit !== undefined)
        query.set('limit', limit);
    return service.call('GET', `/v1/events?${query}`, undefined,
                        key === undefined ? {} : { key });
}

async function pageOk(options) {
    const answer = await page(options);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
}

const owner = async (name) => service.createKey({ owner: name });

describe('pages', () => {
    test('an empty one has a cursor to go on from', async () => {
        const key = await owner('fresh');
        const empty = await pageOk({ key });
        assert.deepEqual(empty.data, []);
        assert.equal(empty.has_more, false);
        const id = await service.send({}, { key });
        const next = await pageOk({ key, after: empty.next, limit: 1 });
        assert.equal(next.data[0].type, 'email.queued');
        assert.equal(next.data[0].data.email_id, id);
        assert.match(next.data[0].id, /^msg_[0-9a-f]{32}$/);
    });

    test('of one event each, until there is no more', async () => {
        const key = await owner('pages');
        await service.send({}, { key });
        await until('it is sent', async () => {
            const all = await pageOk({ key });
            return all.data.length === 2;
        });
        const first = await pageOk({ key, limit: 1 });
        const second = await pageOk({ key, limit: 1, after: first.next });
        const third = await pageOk({ key, limit: 1, after: second.next });
        assert.deepEqual([first, second, third].map((one) => one.has_more),
                         [true, false, false]);
        assert.deepEqual([...first.data, ...second.data, ...third.data]
            .map(({ type, data }) => [type, data.sequence]),
                         [['email.queued', 1], ['email.sent', 2]]);
        assert.equal(third.next, second.next);
        assert.equal(second.data[0].data.delivery.code, 250);
    });
});

describe('a cursor', () => {
    for (const [what, after] of [['garbage', 'garbage'], ['nothing', ''],
                                 ['an id of Redis', '1-0']])
        test(`that is ${what} is refused`, async () => {
            const { status, json } = await page({ after });
            assert.equal(status, 422);
            assert.equal(json.name, 'invalid_parameter');
            assert.equal(json.errors[0].pointer, '/after');
            assert.equal(json.errors[0].code, 'invalid_cursor');
        });

    test('of another owner is refused', async () => {
        const { next } = await pageOk({ key: await owner('one') });
        const { status, json } = await page({ key: await owner('two'),
                                              after: next });
        assert.equal(status, 422);
        assert.equal(json.errors[0].pointer, '/after');
    });
});

// Each email's events by their sequence, in the order in which they came.
function stories(events) {
    const byEmail = new Map();
    for (const { data } of events) {
        const story = byEmail.get(data.email_id) ?? [];
        story.push(data.sequence);
        byEmail.set(data.email_id, story);
    }
    return byEmail;
}

async function flood(key) {
    const ids = [];
    const sender = async () => {
        while (ids.length < MAILS) {
            const at = ids.push(undefined) - 1;
            ids[at] = await service.send({}, { key });
        }
    };
    await Promise.all(Array.from({ length: 32 }, sender));
    return ids;
}

test(`a reader of ${MAILS} mails under way sees each event once, in order`,
     async () => {
    const key = await owner('busy');
    const seen = [];
    let ids;
    const sending = flood(key).then((all) => { ids = all; });
    let after;
    await until('all are read', async () => {
        const one = await pageOk({ key, after, limit: 100 });
        seen.push(...one.data);
        after = one.next;
        return ids !== undefined && seen.length >= 2 * MAILS;
    }, 120_000);
    await sending;
    assert.equal(new Set(seen.map(({ id }) => id)).size, seen.length);
    const told = stories(seen);
    assert.deepEqual([...told.keys()].sort(), [...ids].sort());
    for (const [id, story] of told)
        assert.deepEqual(story, [1, 2], id);
    assert.deepEqual((await pageOk({ key, after })).data, []);
});

// Last, since it moves Redis' clock.
test('one that is older than the stream is told the oldest there is',
     async () => {
    const key = await owner('late');
    const { next } = await pageOk({ key });
    const old = await service.send({}, { key });
    await until('it is sent', async () => (await service.call(
        'GET', `/v1/emails/${old}`, undefined, { key })).json.status === 'sent');
    await redis.cli('HSET', 'ph:meta', 'test_offset_ms',
                    String(31 * 86_400_000));
    const answer = await until('the events are swept', async () => {
        const late = await page({ key, after: next });
        assert.equal(late.status, 422);
        return late.json;
    }, 20_000);
    assert.equal(answer.errors[0].code, 'cursor_too_old');
    assert.equal(answer.errors[0].pointer, '/after');
    const [, oldest] = /after=(\S+?)\.?$/.exec(answer.detail);
    const id = await service.send({}, { key });
    const { data } = await pageOk({ key, after: oldest });
    assert.ok(data.some((event) => event.data.email_id === id));
    await until('all of the old mail is gone', async () => {
        const gone = [`/v1/emails/${old}`, `/v1/emails/${old}/events`].map(
            (place) => service.call('GET', place, undefined, { key }));
        return (await Promise.all(gone)).every(({ status }) => status === 404);
    });
});
