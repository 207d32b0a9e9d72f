// Runs beside others.
// Domains of owners, by the official resend SDK and over HTTP: whose a name is,
// what is published, which keys mail is accepted with, and where private
// halves are.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { before, test } from 'node:test';
import { npm } from './harness/npm.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const { Resend } = npm('resend');

let redis;
let sink;
let service;
let receiver;
let resend;

before(async () => {
    redis = await startRedis();
    sink = await startSink();
    service = await startService({
        redis, upstreams: [sink.upstream()], withWorkerKey: true,
        config: { sending: { spf_include: 'spf.relay.test',
                             bounce_mx: 'bounces.relay.test' } },
    });
    receiver = await startReceiver();
    await service.subscribe(receiver, ['domain.*']);
    resend = new Resend(service.key, { baseUrl: service.base });
});

async function good(answer) {
    const { data, error } = await answer;
    assert.equal(error, null, JSON.stringify(error));
    return data;
}

const dkim = (domain) =>
    domain.records.filter(({ record }) => record === 'DKIM');

// The keys that stand in TXT records are keys.
function check(record) {
    const [, kind, base64] = /^v=DKIM1; k=(rsa|ed25519); p=(\S+)$/
        .exec(record.value);
    const bytes = Buffer.from(base64, 'base64');
    if (kind === 'ed25519') {
        assert.equal(bytes.length, 32);
        return kind;
    }
    const key = crypto.createPublicKey({ key: bytes, format: 'der',
                                         type: 'spki' });
    assert.equal(key.asymmetricKeyDetails.modulusLength, 2048);
    return kind;
}

test('the SDK adds, shows, changes, verifies and removes one', async () => {
    const made = await good(resend.domains.create({ name: 'acme.test' }));
    assert.equal(made.name, 'acme.test');
    assert.equal(made.status, 'not_started');
    assert.deepEqual(made.capabilities,
                     { sending: 'enabled', receiving: 'disabled' });
    assert.deepEqual(dkim(made).map(check).sort(), ['ed25519', 'rsa']);
    for (const { value, value_split: split } of dkim(made)) {
        const parts = [...split.matchAll(/"([^"]*)"/g)].map((part) => part[1]);
        assert.equal(parts.join(''), value);
        assert.ok(parts.every((part) => part.length <= 255));
    }
    const mx = made.records.find(({ type }) => type === 'MX');
    assert.equal(mx.name, 'send');
    assert.equal(mx.value, 'bounces.relay.test');
    assert.equal(mx.priority, 10);
    assert.ok(made.records.some(({ value }) =>
        value.includes('include:spf.relay.test')));
    assert.ok(made.records.some(({ record }) => record === 'DMARC'));

    const shown = await good(resend.domains.get(made.id));
    assert.deepEqual(dkim(shown).map(({ value }) => value),
                     dkim(made).map(({ value }) => value));
    const listed = await good(resend.domains.list());
    assert.deepEqual(listed.data.map(({ id }) => id), [made.id]);
    assert.equal(listed.data[0].records, undefined);
    assert.equal((await good(resend.domains.update(
        { id: made.id, openTracking: false }))).id, made.id);
    const refused = await resend.domains.update(
        { id: made.id, openTracking: true });
    assert.equal(refused.error.statusCode, 422);
    assert.equal((await good(resend.domains.verify(made.id))).id, made.id);
    assert.notEqual((await good(resend.domains.get(made.id))).status,
                    'not_started');
    assert.deepEqual(await good(resend.domains.remove(made.id)),
                     { object: 'domain', id: made.id, deleted: true });
    assert.equal((await resend.domains.get(made.id)).error.name, 'not_found');
    const told = (type) => receiver.events.find(({ payload }) =>
        payload.type === type && payload.data.id === made.id);
    for (const type of ['domain.created', 'domain.updated', 'domain.deleted'])
        await until(type, () => told(type), 20_000);
    const { data } = told('domain.created').payload;
    assert.deepEqual(dkim(data), dkim(made));
});

test('a name has one owner until he gives it back', async () => {
    const other = await service.createKey({ owner: 'other' });
    const theirs = (method, path, body) =>
        service.call(method, path, body, { key: other });
    const ours = await service.call('POST', '/v1/domains',
                                    { name: 'one.test' });
    assert.equal(ours.status, 201);
    const second = await theirs('POST', '/v1/domains', { name: 'One.Test' });
    assert.equal(second.status, 409);
    assert.equal(second.json.code, 'domain_taken');
    assert.equal((await theirs('GET', '/v1/domains/one.test')).status, 404);
    assert.equal((await theirs('DELETE',
                               `/v1/domains/${ours.json.id}`)).status, 404);
    assert.equal((await service.call('DELETE', '/v1/domains/one.test')).status,
                 200);
    assert.equal((await theirs('POST', '/v1/domains',
                               { name: 'one.test' })).status, 201);
});

test('of many at once one gets the name', async () => {
    const keys = await Promise.all(['a', 'b', 'c', 'd'].map((name) =>
        service.createKey({ owner: `racer-${name}` })));
    const answers = await Promise.all(keys.map((key) =>
        service.call('POST', '/v1/domains', { name: 'race.test' }, { key })));
    assert.deepEqual(answers.map(({ status }) => status).sort(),
                     [201, 409, 409, 409]);
});

test('an equal POST makes nothing new', async () => {
    const again = () => service.call('POST', '/v1/domains',
        { name: 'twice.test' }, { headers: { 'idempotency-key': 'twice' } });
    const first = await again();
    const second = await again();
    assert.equal(first.status, 201);
    assert.deepEqual(second.json, first.json);
    assert.equal(second.headers.get('idempotent-replayed'), 'true');
});

test('a rotation publishes the next keys, and one at a time', async () => {
    const { json: made } = await service.call('POST', '/v1/domains',
                                              { name: 'turn.test' });
    const { status, json: turned } =
        await service.call('POST', '/v1/domains/turn.test/rotate');
    assert.equal(status, 200);
    assert.deepEqual(turned.keys.map(({ state }) => state),
                     ['signing', 'next']);
    assert.equal(dkim(turned).length, 4);
    assert.equal(new Set(dkim(turned).map(({ name }) => name)).size, 4);
    assert.deepEqual(dkim(turned).slice(0, 2).map(({ value }) => value),
                     dkim(made).map(({ value }) => value));
    assert.equal((await service.call('POST',
        '/v1/domains/turn.test/rotate')).status, 409);
});

test('an equal POST replaces compromised keys once', async () => {
    await service.call('POST', '/v1/domains', { name: 'known.test' });
    const again = () => service.call('POST', '/v1/domains/known.test/rotate',
        { compromised: true }, { headers: { 'idempotency-key': 'known' } });
    const first = await again();
    const second = await again();
    assert.equal(first.status, 200);
    assert.deepEqual(second.json, first.json);
    assert.equal(second.headers.get('idempotent-replayed'), 'true');
    const { json: { keys } } =
        await service.call('GET', '/v1/domains/known.test');
    assert.deepEqual(keys.map(({ state }) => state), ['signing', 'next']);
    assert.deepEqual(keys, first.json.keys);
});

test('of equal rotations at once each is told of the one', async () => {
    await service.call('POST', '/v1/domains', { name: 'equal.test' });
    const answers = await Promise.all(Array.from({ length: 3 }, () =>
        service.call('POST', '/v1/domains/equal.test/rotate', undefined,
                     { headers: { 'idempotency-key': 'equal' } })));
    for (const { status, text } of answers)
        assert.equal(status, 200, text);
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    assert.equal((await service.call('POST',
        '/v1/domains/equal.test/rotate')).status, 409);
});

test('mail is refused where From must be verified', async () => {
    const { config, tables } = service;
    tables.domains = { require_verified: true };
    service.write();
    await service.stop('api');
    await service.start('api');
    const answer = await service.call('POST', '/v1/emails', {
        from: 'app@turn.test', to: 'ada@inbox.test', subject: 'Hi',
        text: 'Hi.' });
    assert.equal(answer.status, 403);
    assert.equal(answer.json.name, 'validation_error');
    assert.match(answer.json.message, /^The turn\.test domain is not verified\./);
    tables.domains = { require_verified: false };
    service.write();
    assert.ok(fs.existsSync(config));
    await service.stop('api');
    await service.start('api');
    await service.send({ from: 'app@turn.test', to: 'ada@inbox.test' });
});

// All texts that Redis has, under whatever key.
const EVERYTHING = `
    local READ = { string = { 'GET' }, hash = { 'HGETALL' },
        set = { 'SMEMBERS' }, list = { 'LRANGE', 0, -1 },
        zset = { 'ZRANGE', 0, -1 }, stream = { 'XRANGE', '-', '+' } }
    local all = {}
    local function add(value)
        if type(value) == 'table' then
            for _, one in ipairs(value) do add(one) end
        else
            all[#all + 1] = tostring(value)
        end
    end
    for _, key in ipairs(redis.call('KEYS', '*')) do
        local how = READ[redis.call('TYPE', key).ok]
        add(key)
        add(redis.call(how[1], key, unpack(how, 2)))
    end
    return table.concat(all, ' ')`;

// How a text holds these bytes, behind shift others, in base64.
function sextets(bytes, shift) {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
        .toString('base64');
    return text.slice(Math.ceil(shift * 8 / 6),
                      Math.floor((shift + bytes.length) * 8 / 6));
}

// What stands in every private key of PKCS #8, and in no public one: version
// and head of the modulus (RFC 8017), algorithm and head of the seed (RFC 8410).
test('no private half is in Redis but sealed', async () => {
    const all = await redis.cli('EVAL', EVERYTHING, '0');
    assert.match(all, /dk:default/);
    for (const hex of ['0201000282010100', '06032b657004220420']) {
        const bytes = Buffer.from(hex, 'hex');
        assert.ok(!all.includes(hex));
        for (let shift = 0; shift < 3; shift++) {
            const text = sextets(bytes, shift);
            assert.ok(!all.includes(text), `${hex} as base64`);
            assert.ok(!all.includes(text.replaceAll('+', '-')
                .replaceAll('/', '_')), `${hex} as base64url`);
        }
        assert.ok(!Buffer.from(all, 'utf8').includes(bytes));
    }
    assert.ok(!all.includes('PRIVATE KEY'));
    // That it would be found: a key of ours, not sealed.
    const { privateKey } = crypto.generateKeyPairSync('rsa',
                                                      { modulusLength: 2048 });
    const der = privateKey.export({ format: 'der', type: 'pkcs8' })
        .toString('base64');
    assert.ok([0, 1, 2].some((shift) => der.includes(
        sextets(Buffer.from('0201000282010100', 'hex'), shift))));
});

test('an owner who moves takes his domains and keys along', async () => {
    await service.posthaste(['partition', 'add', '--config', service.config]);
    const first = await service.call('GET', '/v1/domains/turn.test');
    const keys = (partition) =>
        redis.cli('HGETALL', `ph:{${partition}}:dk:default`);
    const kept = (await keys(0)).split('\n').sort();
    const { code, stderr } = await service.run(
        ['partition', 'move', 'default', '--config', service.config,
         '--to', '1']);
    assert.equal(code, 0, stderr);
    const after = await service.call('GET', '/v1/domains/turn.test');
    assert.deepEqual(after.json.keys, first.json.keys);
    assert.deepEqual((await keys(1)).split('\n').sort(), kept);
    assert.equal(await keys(0), '');
    assert.equal((await service.call('POST', '/v1/domains/turn.test/verify'))
        .status, 200);
});

// Between claim and domain, or domain and claim: whoever dies there leaves a
// name that its owner still has the use of, and can give away.
test('an api child dies at each step of a name', async (t) => {
    const points = (await service.posthaste(['version', '--fault-points']))
        .trim().split('\n').filter((point) => point.startsWith('domain.'));
    if (points.length === 0)
        return t.diagnostic('this build has no fault points');
    const other = await service.createKey({ owner: 'heir' });
    const ask = async (method, path, body, key) => {
        let status;
        await until(`${method} ${path} is answered`, async () => {
            ({ status } = await service.call(method, path, body, { key })
                .catch(() => ({ status: 503 }))); // its child died
            return status !== 503;
        }, 20_000);
        return status;
    };
    for (const point of points) {
        const name = `${point.replace(/[._]/g, '-')}.test`;
        const one = `/v1/domains/${name}`;
        await service.stop('api');
        service.env.POSTHASTE_FAULT_POINT = `${point}:1:1`;
        await service.start('api');
        delete service.env.POSTHASTE_FAULT_POINT;
        const { pid } = service.programs.api;
        const [child] = service.childrenOf('api');
        assert.ok([201, 409].includes(
            await ask('POST', '/v1/domains', { name }, service.key)), point);
        assert.ok([200, 404].includes(
            await ask('DELETE', one, undefined, service.key)), point);
        assert.ok(!service.childrenOf('api').includes(child), point);
        assert.equal(service.programs.api.pid, pid);
        assert.equal(await ask('POST', '/v1/domains', { name }, service.key),
                     201, point);
        assert.equal(await ask('DELETE', one, undefined, service.key), 200);
        assert.equal(await ask('POST', '/v1/domains', { name }, other), 201,
                     point);
    }
    await service.stop('api');
    await service.start('api');
    return undefined;
});

test('the verbs print a zone', async () => {
    const env = { ...service.env, POSTHASTE_URL: service.base,
                  POSTHASTE_API_KEY: service.key };
    const verb = async (...args) => {
        const { code, stdout, stderr } =
            await service.run(['domains', ...args], { env });
        assert.equal(code, 0, stderr);
        return stdout;
    };
    assert.equal(JSON.parse(await verb('add', 'verb.test')).name, 'verb.test');
    const zone = await verb('records', 'verb.test');
    assert.match(zone, /^ph\w{4}r1\._domainkey\.verb\.test\. IN TXT "v=DKIM1; k=rsa; p=\S+" "\S+"$/m);
    assert.match(zone, /^send\.verb\.test\. IN MX 10 bounces\.relay\.test\.$/m);
    assert.match(zone, /^; in one line: v=DKIM1; k=rsa; p=\S+$/m);
    assert.equal(JSON.parse(await verb('records', 'verb.test', '--json'))
        .name, 'verb.test');
    assert.match(await verb('list'), /verb\.test/);
    assert.match(await verb('show', 'verb.test'), /"status":"not_started"/);
    assert.match(await verb('check', 'verb.test'), /"object":"domain"/);
    assert.match(await verb('rotate', 'verb.test'), /r2\._domainkey/);
    const turned = await service.run(
        ['domains', 'rotate', 'verb.test', '--compromised'], { env });
    assert.equal(turned.code, 0, turned.stderr);
    assert.deepEqual(JSON.parse(turned.stdout).keys.map(({ state }) => state),
                     ['signing', 'revoked', 'next']);
    assert.match(turned.stderr, /publish the records of the next keys now/);
    await verb('remove', '--yes', 'verb.test');
    const { code } = await service.run(['domains', 'show', 'verb.test'],
                                       { env });
    assert.notEqual(code, 0);
});
