// Runs beside others.
// A domain's keys through a whole rotation, with the DNS as it is: records are
// published as the API shows them, and mailauth asks the same name server for
// the keys of each mail. The clock of Redis only goes forward, so the tests
// are steps of one story.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';
import { startUnbound } from './harness/unbound.mjs';
import { signaturesBy } from './message/verifiers.mjs';

const MINUTE_MS = 60 * 1000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const NAME = 'turn.test';
// Are refused until they are taken.
const LATE = 'late@inbox.test';
const LATE_TOO = 'late-too@inbox.test';

let redis;
let names;
let sink;
let service;
let signatures;
let offset = 0;
let takesLate = false;
let latest = 0;

before(async () => {
    redis = await startRedis();
    names = await startUnbound([]);
    signatures = signaturesBy(names.address);
    sink = await startSink({ onRcpt(address) {
        if (address.startsWith('late') && !takesLate)
            throw reply(451, '4.3.0 not now');
    } });
    service = await startService({
        redis, upstreams: [sink.upstream()], withWorkerKey: true,
        config: { domains: { resolver: [names.address],
                             require_verified: true },
                  worker: { retry: ['1h'] } },
    });
});

async function ask(method, target, body, status = 200) {
    const answer = await service.call(method, target, body);
    assert.equal(answer.status, status, answer.text);
    return answer.json;
}

const shown = () => ask('GET', `/v1/domains/${NAME}`);
const states = ({ keys }) => keys.map(({ state }) => state);
const dkim = ({ records }) => records.filter(({ record }) => record === 'DKIM');
const rotate = (body, status) =>
    ask('POST', `/v1/domains/${NAME}/rotate`, body, status);
const publish = (records) => names.become(
    [...records.map(({ fqdn, value_split: value }) =>
        `${fqdn}. TXT ${value}`), 'turn MX 10 ns']);

async function checked() {
    const { last_checked_at: earlier } = await shown();
    await ask('POST', `/v1/domains/${NAME}/verify`);
    return until('it is checked', async () => {
        const now = await shown();
        return now.last_checked_at !== earlier && now;
    });
}

// Does each role know that it is that time? Each goes by what it last asked
// Redis for, and has no negative number for how long a mail waited.
const knows = {
    hooks: async (then) =>
        Date.parse((await checked()).last_checked_at) >= then,
    async api(then) {
        const { id } = await ask('POST', '/v1/api-keys', { name: 'now' }, 201);
        const { data } = await ask('GET', '/v1/api-keys');
        return Date.parse(data.find((key) => key.id === id).created_at) >= then;
    },
    async worker() {
        const id = await send({ to: `n${latest++}@inbox.test` });
        const { data } = await until('it was tried', async () => {
            const tried = await ask('GET', `/v1/emails/${id}/attempts`);
            return tried.data.length > 0 && tried;
        });
        return data[0].phases.queue_ms !== null;
    },
};

// The clock is that much later for all.
async function later(ms) {
    const then = Date.now() + offset + ms;
    offset += ms;
    await redis.cli('HSET', 'ph:meta', 'test_offset_ms', String(offset));
    for (const role of Object.keys(knows))
        await until(`${role} knows`, () => knows[role](then));
}

const send = (mail) => service.send({ from: `app@${NAME}`, ...mail });

// What mailauth says of a mail that is sent now.
async function sentNow() {
    const to = `n${latest++}@inbox.test`;
    await send({ to });
    return signatures((await sink.mailTo(to, 20_000)).raw);
}

const by = (generation, { keys }) =>
    keys.find((key) => key.generation === generation).selectors
        .map((selector, i) => ({ selector, result: 'pass',
                                 algorithm: ['rsa-sha256',
                                             'ed25519-sha256'][i] }));

test('the first generation signs', async () => {
    await ask('POST', '/v1/domains', { name: NAME }, 201);
    await publish((await shown()).records);
    const domain = await checked();
    assert.equal(domain.status, 'verified');
    assert.deepEqual(await sentNow(), by(1, domain));
});

test('mail is accepted that goes later', async () => {
    for (const [to, when] of [['hours@inbox.test', 'in 3 hours'],
                              ['days@inbox.test', 'in 5 days'],
                              ['weeks@inbox.test', 'in 10 days']])
        await send({ to, scheduled_at: when });
    const id = await send({ to: LATE });
    await until('it was tried', async () =>
        (await service.email(id)).recipients[0].attempts > 0);
});

test('new keys wait until they were seen', async () => {
    const turned = await rotate();
    assert.deepEqual(states(turned), ['signing', 'next']);
    const { keys } = await checked();
    assert.equal(keys[1].signs_at, null);
    assert.deepEqual(await sentNow(), by(1, turned));
});

test('two hours after that they sign', async () => {
    const { records } = await shown();
    await publish(records);
    assert.notEqual((await checked()).keys[1].signs_at, null);
    await publish(records.slice(0, 3)); // somebody was too tidy
    assert.equal((await checked()).keys[1].signs_at, null);
    await publish(records);
    const { keys, status, last_checked_at: at } = await checked();
    assert.equal(status, 'verified');
    assert.equal(Date.parse(keys[1].signs_at) - Date.parse(at), 2 * HOUR_MS);
    assert.equal(keys[0].retires_at, keys[1].signs_at);
    assert.deepEqual(await sentNow(), by(1, await shown()));

    takesLate = true;
    await later(2 * HOUR_MS);
    const domain = await shown();
    assert.deepEqual(states(domain), ['old', 'signing']);
    assert.equal(domain.status, 'verified');
    assert.deepEqual(await sentNow(), by(2, domain));
});

test('mail of before has the keys of before, which are in DNS still',
     async () => {
    await later(HOUR_MS);
    const domain = await shown();
    for (const to of [LATE, 'hours@inbox.test'])
        assert.deepEqual(await signatures((await sink.mailTo(to, 20_000)).raw),
                         by(1, domain), to);
    await later(5 * DAY_MS);
    assert.deepEqual(
        await signatures((await sink.mailTo('days@inbox.test', 20_000)).raw),
        by(1, domain));
    const refused = await rotate(undefined, 409);
    assert.match(refused.message, /must stay in DNS for 7 days/);
});

test('seven days behind, the old records are to be emptied', async () => {
    await later(2 * DAY_MS);
    const domain = await shown();
    assert.deepEqual(states(domain), ['revoked', 'signing']);
    assert.deepEqual(dkim(domain).slice(0, 2).map(({ value }) => value),
                     ['v=DKIM1; k=rsa; p=', 'v=DKIM1; k=ed25519; p=']);
    for (const { reason } of dkim(domain).slice(0, 2))
        assert.match(reason, /has had its time, but its record is there still/);
    await publish(domain.records);
    const emptied = await checked();
    assert.equal(emptied.status, 'verified');
    assert.deepEqual(dkim(emptied).map(({ status }) => status),
                     ['verified', 'verified', 'verified', 'verified']);
    assert.deepEqual(await sentNow(), by(2, emptied));
});

test('then the next rotation is accepted', async () => {
    const turned = await rotate();
    assert.deepEqual(states(turned), ['revoked', 'signing', 'next']);
    await publish(turned.records);
    assert.notEqual((await checked()).keys[2].signs_at, null);
    await later(2 * HOUR_MS);
    assert.deepEqual(await sentNow(), by(3, await shown()));
});

test('mail that went to sleep before has keys that are in DNS', async () => {
    await later(3 * DAY_MS);
    assert.deepEqual(
        await signatures((await sink.mailTo('weeks@inbox.test', 20_000)).raw),
        by(3, await shown()));
});

// --- keys that others may have ---

const privateHalves = async () => (await redis.cli(
    'HKEYS', 'ph:{0}:dk:default')).trim().split('\n').sort();
const idsOf = ({ keys }, ...generations) => keys
    .filter(({ generation }) => generations.includes(generation))
    .map(({ id }) => id).sort();

test('compromised keys sign until others were seen', async () => {
    takesLate = false;
    await send({ to: 'soon@inbox.test', scheduled_at: 'in 3 hours' });
    const id = await send({ to: LATE_TOO });
    await until('it was tried', async () =>
        (await service.email(id)).recipients[0].attempts > 0);

    await rotate(undefined, 409); // three days behind the last one
    const turned = await rotate({ compromised: true });
    assert.deepEqual(states(turned),
                     ['revoked', 'revoked', 'signing', 'next']);
    assert.deepEqual(turned.keys.map(({ compromised_at: at }) => at !== null),
                     [true, true, true, false]);
    assert.equal((await checked()).keys[3].signs_at, null);
    assert.deepEqual(await sentNow(), by(3, turned));
    await until('halves that sign nothing are gone', async () =>
        String(await privateHalves()) === String(idsOf(turned, 3, 4)));
});

test('what was to replace them may be replaced', async () => {
    const turned = await rotate({ compromised: true });
    assert.deepEqual(turned.keys.map(({ generation }) => generation),
                     [2, 3, 4, 5]);
    assert.deepEqual(states(turned),
                     ['revoked', 'signing', 'revoked', 'next']);
    await until('its halves are gone', async () =>
        String(await privateHalves()) === String(idsOf(turned, 3, 5)));
});

test('one check has them replaced', async () => {
    await publish((await shown()).records);
    const domain = await checked();
    assert.deepEqual(states(domain),
                     ['revoked', 'revoked', 'revoked', 'signing']);
    // Or a check before that one, which came by itself.
    assert.notEqual(domain.keys[3].signs_at, null);
    assert.ok(domain.keys[3].signs_at <= domain.last_checked_at);
    await until('the old halves are gone', async () =>
        String(await privateHalves()) === String(idsOf(domain, 5)));
    await later(MINUTE_MS); // so old may be what a worker knows
    await until('it has asked', async () =>
        (await sentNow())[0].selector === by(5, domain)[0].selector);
    assert.deepEqual(await sentNow(), by(5, domain));
});

test('the old records are to be emptied at once', async () => {
    const domain = await shown();
    for (const { value, weight, reason } of dkim(domain).slice(2, 4)) {
        assert.match(value, /p=$/);
        assert.equal(weight, 'recommended');
        assert.match(reason, /is compromised, but its record is there still/);
    }
    await publish(domain.records);
    const emptied = await checked();
    assert.equal(emptied.status, 'verified');
    assert.deepEqual(dkim(emptied).map(({ status }) => status),
                     Array(8).fill('verified'));
});

test('mail that was accepted before goes with the new keys', async () => {
    takesLate = true;
    await later(3 * HOUR_MS);
    const domain = await shown();
    for (const to of [LATE_TOO, 'soon@inbox.test'])
        assert.deepEqual(await signatures((await sink.mailTo(to, 20_000)).raw),
                         by(5, domain), to);
});
