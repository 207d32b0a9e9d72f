// Runs beside others.
// posthaste partition move: an owner goes from partition to partition while
// he sends, reads and is told of his mails, on one Redis and on a cluster; and
// it is killed wherever it can be. Nothing is lost, nothing comes twice.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startCluster } from './harness/cluster.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { must, until } from './harness/scope.mjs';
import { BIN, startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const OWNER = 'default';
const PARTITIONS = 3;
const MOVES = Number(process.env.MOVES ?? 6);
const EACH_MS = 10; // between two mails

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function start(redis) {
    const sink = await startSink({});
    const service = await startService({
        redis, upstreams: [sink.upstream({ max_sessions: 20 })], children: 2,
        config: { log: { level: 'warn', format: 'json' } },
    });
    for (let n = 1; n < PARTITIONS; n++)
        await service.posthaste(['partition', 'add', '--config',
                                 service.config]);
    const receiver = await startReceiver();
    await service.subscribe(receiver);
    return { redis, sink, service, receiver };
}

const move = (service, args, options) => service.run(
    ['partition', 'move', OWNER, '--config', service.config, ...args], options);

async function moveTo(service, to) {
    const { code, stdout, stderr } =
        await move(service, ['--to', String(to), '--json']);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
}

// A caller as he should be: asks again with his key until he has an answer.
async function post(service, n, more = {}) {
    for (;;) {
        const answer = await service.call('POST', '/v1/emails', {
            from: 'app@sender.test', to: `n${n}@inbox.test`,
            subject: `Mail ${n}`, text: 'Hello.', ...more,
        }, { headers: { 'idempotency-key': `mail-${n}` } });
        if (answer.status === 200)
            return answer.json.id;
        assert.equal(answer.status, 503, answer.text);
        assert.ok(answer.headers.get('retry-after'), answer.text);
        await pause(50);
    }
}

class Sender {
    ids = [];
    under_way = [];
    isOver = false;

    constructor(service) {
        this.service = service;
        this.done = this.run();
    }

    async run() {
        for (let n = 0; !this.isOver; n++) {
            this.under_way.push(post(this.service, n)
                .then((id) => { this.ids[n] = id; }));
            await pause(EACH_MS);
        }
        await Promise.all(this.under_way);
    }

    async end() {
        this.isOver = true;
        await this.done;
        return this.ids;
    }
}

// Reads on and on; each answer is whole, whatever happens to the owner.
class Reader {
    events = [];
    isOver = false;

    constructor(service) {
        this.service = service;
        this.done = this.run();
    }

    async step() {
        const query = this.after === undefined ? '' : `&after=${this.after}`;
        const answer = await this.service.call('GET',
                                               `/v1/events?limit=100${query}`);
        if (answer.status === 503)
            return true;
        assert.equal(answer.status, 200, answer.text);
        this.events.push(...answer.json.data);
        this.after = answer.json.next;
        return answer.json.has_more;
    }

    async run() {
        while (!this.isOver)
            await this.step() || await pause(20);
        while (await this.step());
    }

    async end() {
        this.isOver = true;
        await this.done;
        return this.events;
    }
}

async function listAll(service) {
    const ids = [];
    let query = 'limit=100';
    for (;;) {
        const { status, json, text } =
            await service.call('GET', `/v1/emails?${query}`);
        assert.equal(status, 200, text);
        ids.push(...json.data.map(({ id }) => id));
        if (!json.has_more)
            return ids;
        query = `limit=100&after=${ids.at(-1)}`;
    }
}

// Right behind a move: everything that was made before it is at hand.
async function assertAtHand(service, sender, scheduled) {
    const known = sender.ids.filter(Boolean);
    const id = known[Math.floor(known.length / 2)];
    assert.equal((await service.email(id)).id, id);
    const { status, json } = await service.call('GET',
                                                `/v1/emails/${id}/events`);
    assert.equal(status, 200);
    assert.ok(Array.isArray(json.data));
    assert.equal(await post(service, sender.ids.indexOf(id)), id);
    const canceled = await service.call('POST',
                                        `/v1/emails/${scheduled}/cancel`);
    assert.equal(canceled.status, 200, canceled.text);
    assert.equal((await service.email(scheduled)).status, 'canceled');
}

async function assertAllOnce({ sink, service, receiver }, ids, events) {
    assert.equal(new Set(ids).size, ids.length);
    for (const id of ids)
        await service.emailWith(id, 'sent', 20_000);
    for (let n = 0; n < ids.length; n++)
        assert.equal(sink.for(`n${n}@inbox.test`).length, 1, `mail ${n}`);
    const listed = await listAll(service);
    assert.equal(new Set(listed).size, listed.length);
    for (const id of ids)
        assert.ok(listed.includes(id), id);
    assert.equal(new Set(events.map(({ id }) => id)).size, events.length);
    for (const id of ids) {
        const types = events.filter(({ data }) => data.email_id === id)
            .map(({ type }) => type);
        assert.deepEqual(types, ['email.queued', 'email.sent'], id);
    }
    await until('the webhooks were told of all', () =>
        new Set(receiver.events.map(({ id }) => id)).size === events.length,
                20_000);
    assert.equal(receiver.refused.length, 0);
    await service.checkQueue();
}

async function goRound(place) {
    const { service } = place;
    const sender = new Sender(service);
    const reader = new Reader(service);
    for (let round = 1; round <= MOVES; round++) {
        const later = new Date(Date.now() + 3600_000).toISOString();
        const scheduled = await post(service, `later-${round}`,
                                     { scheduled_at: later });
        await pause(200);
        const answer = await moveTo(service, round % PARTITIONS);
        assert.equal(answer.moved, true);
        await assertAtHand(service, sender, scheduled);
    }
    const ids = await sender.end();
    for (const id of ids)
        await service.emailWith(id, 'sent', 20_000);
    await assertAllOnce(place, ids, await reader.end());
}

describe('an owner who sends a hundred a second', () => {
    test(`moves ${MOVES} times on one Redis`, async () => {
        await goRound(await start(await startRedis()));
    });

    test(`moves ${MOVES} times in a cluster of three masters`, async () => {
        await goRound(await start(await startCluster()));
    });
});

const points = (await must(BIN, ['version', '--fault-points']))
    .split('\n').filter((point) => point.startsWith('move.'));

test('killed at each point, it goes on when it is run again', async (t) => {
    if (points.length === 0) {
        t.skip('no fault points in this build');
        return;
    }
    const place = await start(await startRedis());
    const { redis, service } = place;
    const reader = new Reader(service);
    const ids = [];
    let to = 0;
    for (const point of points)
        for (const passage of [1, 2]) {
            ids.push(await post(service, ids.length));
            to = (to + 1) % PARTITIONS;
            const first = await move(service, ['--to', String(to)], {
                env: { ...service.env,
                       POSTHASTE_FAULT_POINT: `${point}:${passage}` },
            });
            assert.ok(passage > 1 || first.code === 137,
                      `${point}: ${first.code} ${first.stderr}`);
            await redis.cli('DEL', `ph:move:${OWNER}`); // or 10 s later
            await moveTo(service, to);
            assert.equal((await service.email(ids.at(-1))).id, ids.at(-1));
            await service.checkQueue();
        }
    for (const id of ids)
        await service.emailWith(id, 'sent', 20_000);
    await assertAllOnce(place, ids, await reader.end());
});

describe('what it says', () => {
    test('of nobody, of no such partition, of where he is', async () => {
        const { service } = await start(await startRedis());
        for (const [verb, ...more] of [['move'], ['freeze'], ['thaw'],
                                       ['limit', '5']]) {
            const nobody = await service.run(
                ['partition', verb, 'nobody', ...more, '--config',
                 service.config]);
            assert.equal(nobody.code, 3, verb);
            assert.match(nobody.stderr, /there is no owner 'nobody'/);
        }
        const nowhere = await move(service, ['--to', '9']);
        assert.equal(nowhere.code, 1);
        assert.match(nowhere.stderr, /there is no partition 9, but 0 to 2/);
        assert.deepEqual(await moveTo(service, 0), {
            owner: OWNER, from: 0, to: 0, moved: false, keys: 0 });
        const look = await move(service, ['--check', '--json']);
        assert.deepEqual(JSON.parse(look.stdout), {
            owner: OWNER, from: 0, to: 1, moved: false, keys: 0 });
    });
});
