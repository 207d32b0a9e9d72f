// Runs beside others.
// GET /v1/emails: every mail once, the newest first, whatever happens to the
// hooks that make the index; and what the filters pick.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { npm } from './harness/npm.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';

const { Resend } = npm('resend');
const MAILS = Number(process.env.LIST_MAILS ?? 300);

let service;

before(async () => {
    const redis = await startRedis();
    const sink = await startSink({
        onRcpt(address) {
            if (address.startsWith('refused'))
                throw reply(550, '5.1.1 no such mailbox');
        },
    });
    service = await startService({ redis, upstreams: [sink.upstream()],
                                   children: 2 });
});

async function list(query = {}, options = {}) {
    const answer = await service.call(
        'GET', `/v1/emails?${new URLSearchParams(query)}`, undefined, options);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
}

// The ids of all pages.
async function all(query, options) {
    const ids = [];
    let page = { has_more: true };
    while (page.has_more) {
        page = await list(page.next ? { ...query, after: page.next } : query,
                          options);
        ids.push(...page.data.map(({ id }) => id));
    }
    return ids;
}

test(`${MAILS} mails while hooks are killed and start again`, async () => {
    const key = await service.createKey({ owner: 'many' });
    const ids = [];
    const sender = async () => {
        while (ids.length < MAILS) {
            const at = ids.push('') - 1;
            ids[at] = await service.send({}, { key });
        }
    };
    const senders = Promise.all(Array.from({ length: 8 }, sender));
    for (let i = 0; i < 3; i++) {
        const [pid] = service.childrenOf('hooks');
        process.kill(pid, 'SIGKILL');
        await until('hooks are two again', () =>
            service.childrenOf('hooks').length === 2 &&
            !service.childrenOf('hooks').includes(pid));
    }
    await senders;
    const newestFirst = [...ids].sort().reverse();
    await until('the index has all', async () =>
        (await all({ limit: 100 }, { key })).length === MAILS, 20_000);
    assert.deepEqual(await all({ limit: 37 }, { key }), newestFirst);
});

describe('filters', () => {
    let refused;
    let sent;

    before(async () => {
        refused = await service.send({
            to: ['refused@inbox.test'], class: 'bulk',
            tags: [{ name: 'kind', value: 'news' }],
        });
        sent = await service.send({
            to: ['ada@inbox.test'], cc: 'Bob <Bob@Inbox.test>',
            tags: [{ name: 'kind', value: 'order' }],
        });
        await service.emailWith(refused, 'bounced');
        await service.emailWith(sent, 'sent');
        await until('the index has both', async () =>
            (await list()).data.length === 2);
    });

    const picks = async (query, ...want) =>
        assert.deepEqual((await list(query)).data.map(({ id }) => id), want);

    test('by status', async () => {
        await picks({ status: 'bounced' }, refused);
        await picks({ status: 'sent' }, sent);
        await picks({ status: 'queued' });
    });
    test('by recipient, also in cc, whatever its case', async () => {
        await picks({ to: 'bob@inbox.test' }, sent);
        await picks({ to: 'refused@inbox.test' }, refused);
        await picks({ to: 'nobody@inbox.test' });
    });
    test('by tag', async () => {
        await picks({ tag: 'kind' }, sent, refused);
        await picks({ tag: 'kind:news' }, refused);
        await picks({ tag: 'kind:other' });
    });
    test('by class and time, and with each other', async () => {
        const { created_at: at } = await service.email(sent);
        await picks({ class: 'bulk' }, refused);
        await picks({ since: at }, sent);
        await picks({ until: at, class: 'transactional', status: 'sent',
                      tag: 'kind:order', to: 'ada@inbox.test' }, sent);
    });
    test("is what Resend's SDK expects", async () => {
        const { data, error } = await new Resend(
            service.key, { baseUrl: service.base }).emails.list({ limit: 1 });
        assert.equal(error, null);
        assert.equal(data.object, 'list');
        assert.equal(data.has_more, true);
        assert.equal(data.data[0].id, sent);
        assert.equal(data.data[0].last_event, 'sent');
    });
});

// A name of 4 KiB is quotation marks for the most part, which JSON escapes.
test('the longest mail there can be is listed', async () => {
    const key = await service.createKey({ owner: 'long' });
    const names = Array.from({ length: 50 }, (_, n) =>
        `${'""'.repeat(2000)}A <a${n}@inbox.test>`);
    const id = await service.send({ to: names, reply_to: names }, { key });
    await until('it is listed', async () => {
        const [mail] = (await list({}, { key })).data;
        assert.equal(mail?.id, id);
        assert.deepEqual(mail.to, names);
        return true;
    });
});

test('many events of long mails, though requests are to be short', async () => {
    const sink = await startSink();
    const small = await startService({
        redis: await startRedis(), upstreams: [sink.upstream()],
        config: { api: { max_body: '32KiB' } },
    });
    const tags = Array.from({ length: 50 }, (_, n) =>
        ({ name: `${n}-`.padEnd(256, 'n'), value: 'v'.repeat(256) }));
    const to = Array.from({ length: 50 }, (_, n) => `a${n}@inbox.test`);
    const id = await small.send({ to, tags });
    await small.emailWith(id, 'sent');
    const answer = await small.call('GET', `/v1/emails/${id}/events`);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.data.length, 51);
});
