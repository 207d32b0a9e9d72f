// Runs beside others.
// API keys by the official resend SDK and from the shell: names, last use, and
// keys that may send from one domain only, over two API children.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { npm } from './harness/npm.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const { Resend } = npm('resend');
const UNKNOWN_ID = '01890000-0000-7000-8000-000000000000';

let sink;
let service;
let resend;

before(async () => {
    sink = await startSink();
    service = await startService({
        redis: await startRedis(), upstreams: [sink.upstream()],
        withWorkerKey: true, children: 2,
    });
    resend = client(service.key);
});

const client = (key) => new Resend(key, { baseUrl: service.base });
const mail = (from, more = {}) => ({
    from, to: 'ada@inbox.test', subject: 'Hello', text: 'Hello.', ...more });

async function good(answer) {
    const { data, error } = await answer;
    assert.equal(error, null, JSON.stringify(error));
    return data;
}

// A domain and an SDK with a key for it alone.
async function pinned(name) {
    const domain = await good(resend.domains.create({ name }));
    const key = await good(resend.apiKeys.create({
        name, permission: 'sending_access', domain_id: domain.id }));
    return { domain, key, sender: client(key.token) };
}

async function refused(answer, reason) {
    const { data, error } = await answer;
    assert.equal(data, null);
    assert.equal(error.statusCode, 403, JSON.stringify(error));
    assert.equal(error.name, 'validation_error');
    assert.equal(error.code, 'domain_not_allowed');
    assert.match(error.message,
                 /^This API key is not authorized to send emails from \S+: /);
    assert.match(error.message, reason);
}

const ONLY = (name) => new RegExp(`may send from addresses of ${name} only`);

async function listed(id) {
    const { data } = await good(resend.apiKeys.list());
    return data.find((key) => key.id === id);
}

test('a key gets another name, and tells of its last use', async () => {
    const made = await good(resend.apiKeys.create({ name: 'web' }));
    assert.equal((await listed(made.id)).last_used_at, null);
    assert.deepEqual(await good(resend.apiKeys.update(made.id,
                                                      { name: 'web app' })),
                     { object: 'api_key', id: made.id });
    await good(client(made.token).emails.send(mail('a@any.test')));
    const key = await until('its use is told', async () => {
        const one = await listed(made.id);
        return one.last_used_at !== null && one;
    });
    assert.ok(Math.abs(Date.parse(key.last_used_at) - Date.now()) < 60_000);
    assert.equal(key.name, 'web app');
    assert.equal(key.domain_id, null);
    assert.equal(key.domain, null);
    for (const id of [UNKNOWN_ID, (await service.call('GET', '/api-keys', undefined,
        { key: await service.createKey({ owner: 'other' }) }))
        .json.data[0].id]) {
        const answer = await resend.apiKeys.update(id, { name: 'mine' });
        assert.equal(answer.error.name, 'not_found');
    }
});

describe('a key for one domain', () => {
    test('sends from its addresses, and from no others', async () => {
        const { domain, key, sender } = await pinned('one.test');
        await good(resend.domains.create({ name: 'two.test' }));
        for (const from of ['a@one.test', 'App <b@ONE.test>'])
            await good(sender.emails.send(mail(from)));
        for (const from of ['a@two.test', 'a@news.one.test', 'a@test',
                            'one.test <a@free.test>'])
            await refused(sender.emails.send(mail(from)), ONLY('one\\.test'));
        await refused(sender.post('/emails?dry_run=true', mail('a@two.test')),
                      ONLY('one\\.test'));
        const shown = await listed(key.id);
        assert.equal(shown.domain_id, domain.id);
        assert.equal(shown.domain, 'one.test');
        const other = await sender.domains.list();
        assert.equal(other.error.name, 'restricted_api_key');
    });

    test('is judged by the From of a template, too', async () => {
        const { sender } = await pinned('from.test');
        for (const name of ['from', 'free'])
            await service.call('POST', '/v1/templates', {
                name, alias: name, from: `App <app@${name}.test>`,
                subject: 'Hi', text: 'Hi.' });
        for (const name of ['from', 'free'])
            assert.equal((await service.call(
                'POST', `/v1/templates/${name}/publish`)).status, 200);
        const send = (id, more = {}) => sender.emails.send({
            to: 'ada@inbox.test', template: { id }, ...more });
        await good(send('from'));
        await good(send('free', { from: 'a@from.test' }));
        await refused(send('free'), ONLY('from\\.test'));
        await refused(send('from', { from: 'a@free.test' }),
                      ONLY('from\\.test'));
    });

    test('is made for a domain of the account, to send only', async () => {
        const { domain } = await pinned('ours.test');
        const other = await service.createKey({ owner: 'other' });
        const make = (body, key) => service.call(
            'POST', '/v1/api-keys', { name: 'x', ...body }, { key });
        const permission = 'sending_access';
        for (const [code, body, key] of [
            ['needs_sending_access', { domain_id: domain.id }],
            ['needs_sending_access',
             { domain_id: domain.id, permission: 'full_access' }],
            ['no_domain', { domain_id: UNKNOWN_ID, permission }],
            ['no_domain', { domain_id: domain.id, permission }, other],
            ['bad_id', { domain_id: 'ours.test', permission }],
        ]) {
            const { status, json } = await make(body, key);
            assert.equal(status, 422, code);
            assert.deepEqual(json.errors.map((one) => [one.pointer, one.code]),
                             [['/domain_id', code]]);
        }
    });

    test('sends nothing once that is removed', async () => {
        const { domain, sender } = await pinned('gone.test');
        const once = { idempotencyKey: 'gone-1' };
        const { id } = await good(sender.emails.send(mail('a@gone.test'),
                                                     once));
        await good(resend.domains.remove(domain.id));
        await until('both children know', async () => {
            const answers = await Promise.all(Array.from({ length: 20 }, () =>
                sender.emails.send(mail('a@gone.test'))));
            return answers.every(({ error }) => error !== null);
        }, 10_000);
        const removed = /: the domain that it was made for was removed\./;
        await refused(sender.emails.send(mail('a@gone.test')), removed);
        assert.equal((await good(sender.emails.send(mail('a@gone.test'),
                                                    once))).id, id);
        await good(resend.domains.create({ name: 'gone.test' }));
        await refused(sender.emails.send(mail('a@gone.test')), removed);
    });

    test('sends at once, whatever was looked up before', async () => {
        for (let i = 0; i < 20; i++)
            await good(resend.emails.send(mail('a@new.test')));
        const { sender } = await pinned('new.test');
        await Promise.all(Array.from({ length: 20 }, () =>
            good(sender.emails.send(mail('a@new.test')))));
    });
});

describe('posthaste keys', () => {
    const keys = (args) => service.run(
        ['keys', ...args, '--config', service.config]);
    const create = (...args) => keys(['create', '--name', 'shell', ...args]);
    const SENDING = ['--permission', 'sending_access'];

    test('makes and lists keys for one domain', async () => {
        const { json: domain } = await service.call('POST', '/v1/domains',
                                                    { name: 'shell.test' });
        for (const given of ['Shell.Test', domain.id]) {
            const { code, stdout, stderr } = await create(
                ...SENDING, '--domain', given, '--json');
            assert.equal(code, 0, stderr);
            const made = JSON.parse(stdout);
            assert.equal(made.domain_id, domain.id);
            assert.equal(made.domain, 'shell.test');
            const sender = client(made.token);
            await good(sender.emails.send(mail('a@shell.test')));
            await refused(sender.emails.send(mail('a@any.test')),
                          ONLY('shell\\.test'));
        }
        const { data: list } = JSON.parse((await keys(['list'])).stdout);
        assert.equal(list[0].domain_id, domain.id);
        assert.equal(list[0].domain, 'shell.test');
        assert.equal(list.at(-1).domain_id, null);
    });

    test('says what is wrong with a domain', async () => {
        for (const [code, reason, args] of [
            [2, /--permission sending_access/, ['--domain', 'shell.test']],
            [2, /the name of a domain/, [...SENDING, '--domain', 'a b']],
            [3, /no such domain/, [...SENDING, '--domain', 'nobody.test']],
            [3, /no such domain/, [...SENDING, '--domain', UNKNOWN_ID]],
            [3, /no such domain/, [...SENDING, '--domain', 'shell.test',
                                   '--owner', 'other']],
        ]) {
            const answer = await create(...args);
            assert.equal(answer.code, code, answer.stderr);
            assert.equal(answer.stdout, '');
            assert.match(answer.stderr, reason);
        }
    });

    test('renames one', async () => {
        const made = JSON.parse((await create('--json')).stdout);
        const done = await keys(['rename', made.id, '--name', 'till']);
        assert.equal(done.code, 0, done.stderr);
        assert.equal((await listed(made.id)).name, 'till');
        assert.equal((await keys(['rename', UNKNOWN_ID, '--name', 'x'])).code,
                     3);
        assert.equal((await keys(['rename', made.id])).code, 2);
    });
});
