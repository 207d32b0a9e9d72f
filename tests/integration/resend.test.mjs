// Runs beside others.
// The official resend SDK, with its base URL changed and nothing else.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { npm } from './harness/npm.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { parse, startSink } from './harness/sink.mjs';

const { Resend } = npm('resend');
const UNKNOWN_ID = '01890000-0000-7000-8000-000000000000';

const MAIL = {
    from: 'Ada’s App <app@sender.test>',
    to: ['ada@inbox.test'],
    subject: 'Grüße, 世界',
    html: '<p>Your code is <b>481902</b>.</p>',
    text: 'Your code is 481902.',
};

let redis;
let sink;
let service;
let resend;

const client = (key = service.key) => new Resend(key,
                                                 { baseUrl: service.base });

before(async () => {
    redis = await startRedis();
    sink = await startSink();
    service = await startService({ redis, upstreams: [sink.upstream()] });
    resend = client();
});

// Demands an error of this name and status, in Resend's shape and ours.
async function refused(name, statusCode, call) {
    const { data, error } = await call();
    assert.equal(data, null);
    assert.equal(error.name, name, JSON.stringify(error));
    assert.equal(error.statusCode, statusCode);
    assert.equal(typeof error.message, 'string');
    assert.equal(typeof error.request_id, 'string');
    return error;
}

describe('a mail', () => {
    test('is sent, delivered and told of', async () => {
        const { data, error } = await resend.emails.send({
            ...MAIL,
            cc: 'bob@inbox.test',
            bcc: ['eve@inbox.test'],
            replyTo: 'help@sender.test',
            headers: { 'X-Order': '42' },
            tags: [{ name: 'kind', value: 'login' }],
            attachments: [
                { filename: 'naïve.txt', content: Buffer.from('hello') },
                { filename: 'dot.png', content: 'iVBORw0KGgo=',
                  contentType: 'image/png', contentId: 'dot' },
            ],
        });
        assert.equal(error, null, JSON.stringify(error));
        assert.match(data.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);

        const mails = [];
        for (const to of ['ada', 'bob', 'eve'])
            mails.push(await sink.mailTo(`${to}@inbox.test`));
        const mail = await parse(mails[0]);
        assert.equal(mail.subject, MAIL.subject);
        assert.equal(mail.from.value[0].name, 'Ada’s App');
        assert.equal(mail.to.text, 'ada@inbox.test');
        assert.equal(mail.cc.text, 'bob@inbox.test');
        assert.equal(mail.bcc, undefined);
        assert.equal(mail.replyTo.text, 'help@sender.test');
        assert.equal(mail.headers.get('x-order'), '42');
        assert.equal(mail.text.trim(), MAIL.text);
        assert.equal(mail.html.trim(), MAIL.html);
        const [text, image] = ['naïve.txt', 'dot.png'].map((name) =>
            mail.attachments.find(({ filename }) => filename === name));
        assert.equal(text.content.toString(), 'hello');
        assert.equal(image.contentType, 'image/png');
        assert.equal(image.cid, 'dot');
        for (const other of mails)
            assert.equal(other.messageId, mails[0].messageId);

        const got = await until('last_event is sent', async () => {
            const answer = await resend.emails.get(data.id);
            assert.equal(answer.error, null);
            assert.equal(answer.data.last_event, 'sent');
            return answer.data;
        });
        assert.equal(got.object, 'email');
        assert.equal(got.id, data.id);
        assert.equal(got.message_id, mails[0].messageId);
        assert.deepEqual(got.to, ['ada@inbox.test']);
        assert.deepEqual(got.cc, ['bob@inbox.test']);
        assert.deepEqual(got.bcc, ['eve@inbox.test']);
        assert.equal(got.subject, MAIL.subject);
        assert.deepEqual(got.tags, [{ name: 'kind', value: 'login' }]);
        assert.deepEqual(got.recipients.map(({ address, kind, status, code }) =>
            [address, kind, status, code]), [
            ['ada@inbox.test', 'to', 'sent', 250],
            ['bob@inbox.test', 'cc', 'sent', 250],
            ['eve@inbox.test', 'bcc', 'sent', 250],
        ]);
    });

    test('is sent once for one idempotency key', async () => {
        const to = 'once@inbox.test';
        const key = { idempotencyKey: 'order-1/confirm' };
        const first = await resend.emails.send({ ...MAIL, to }, key);
        const again = await resend.emails.send({ ...MAIL, to }, key);
        assert.equal(again.data.id, first.data.id);
        assert.equal(again.headers['idempotent-replayed'], 'true');
        const racing = await Promise.all(Array.from({ length: 20 }, () =>
            resend.emails.send({ ...MAIL, to },
                               { idempotencyKey: 'order-2' })));
        assert.deepEqual(racing.map(({ error }) => error),
                         racing.map(() => null));
        assert.equal(new Set(racing.map(({ data }) => data.id)).size, 1);
        await until('both mails', () => sink.for(to).length >= 2);
        const last = await resend.emails.send({ ...MAIL, to: 'x@inbox.test' });
        await sink.mailTo('x@inbox.test');
        assert.equal(last.error, null);
        assert.equal(sink.for(to).length, 2);
    });

    test('is cancelled while it is scheduled, and only once', async () => {
        const scheduledAt = new Date(Date.now() + 3600_000).toISOString();
        const sent = await resend.emails.send(
            { ...MAIL, to: 'never@inbox.test', scheduledAt });
        assert.equal(sent.error, null, JSON.stringify(sent.error));
        const before = await resend.emails.get(sent.data.id);
        assert.equal(before.data.last_event, 'scheduled');
        assert.equal(Date.parse(before.data.scheduled_at),
                     Date.parse(scheduledAt));
        const canceled = await resend.emails.cancel(sent.data.id);
        assert.equal(canceled.error, null, JSON.stringify(canceled.error));
        assert.equal(canceled.data.object, 'email');
        assert.equal(canceled.data.id, sent.data.id);
        const after = await resend.emails.get(sent.data.id);
        assert.equal(after.data.last_event, 'canceled');
        const again = await resend.emails.cancel(sent.data.id);
        assert.equal(again.error.statusCode, 409);
        assert.equal(sink.for('never@inbox.test').length, 0);
    });

    test('is given another time', async () => {
        const soon = Date.now() + 3600_000;
        const sent = await resend.emails.send(
            { ...MAIL, to: 'moved@inbox.test',
              scheduledAt: new Date(soon).toISOString() });
        const later = new Date(soon + 3600_000).toISOString();
        const moved = await resend.emails.update({ id: sent.data.id,
                                                   scheduledAt: later });
        assert.equal(moved.error, null, JSON.stringify(moved.error));
        assert.deepEqual(moved.data, { object: 'email', id: sent.data.id });
        const got = await resend.emails.get(sent.data.id);
        assert.equal(got.data.last_event, 'scheduled');
        assert.equal(got.data.scheduled_at, later);
        const [event] = await until('the event is listed', async () => {
            const { json } = await service.call(
                'GET', `/v1/emails/${sent.data.id}/events`);
            return json.data.length > 0 && json.data;
        });
        assert.equal(event.type, 'email.scheduled');
        assert.equal(Date.parse(event.data.scheduled_at), soon);
        const now = new Date(Date.now() + 200).toISOString();
        await resend.emails.update({ id: sent.data.id, scheduledAt: now });
        const mail = await sink.mailTo('moved@inbox.test');
        assert.ok(mail.at >= Date.parse(now) - 5);
        assert.equal((await parse(mail)).date.getTime(),
                     Math.floor(Date.parse(now) / 1000) * 1000);
        await service.emailWith(sent.data.id, 'sent');
        const last = await resend.emails.update({ id: sent.data.id,
                                                  scheduledAt: later });
        assert.equal(last.error.statusCode, 409);
        assert.match(last.error.message, /it is sent/);
    });

    test('is scheduled and then sent', async () => {
        const scheduledAt = new Date(Date.now() + 1500).toISOString();
        const { data, error } = await resend.emails.send(
            { ...MAIL, to: 'later@inbox.test', scheduledAt });
        assert.equal(error, null, JSON.stringify(error));
        const mail = await sink.mailTo('later@inbox.test');
        assert.ok(mail.at >= Date.parse(scheduledAt) - 5);
        assert.ok(mail.at < Date.parse(scheduledAt) + 3000);
        await service.emailWith(data.id, 'sent');
    });
});

describe('webhook endpoints and keys', () => {
    test('are created, shown, changed and removed', async () => {
        const receiver = await startReceiver();
        const made = await resend.webhooks.create(
            { endpoint: receiver.url, events: ['email.sent'] });
        assert.equal(made.error, null, JSON.stringify(made.error));
        assert.match(made.data.signing_secret, /^whsec_/);
        receiver.secret = made.data.signing_secret;
        const shown = await resend.webhooks.get(made.data.id);
        assert.equal(shown.data.endpoint, receiver.url);
        assert.equal(shown.data.status, 'enabled');
        assert.deepEqual(shown.data.events, ['email.sent']);

        const { data } = await resend.emails.send(MAIL);
        const event = await receiver.event(data.id, 'email.sent');
        const verified = resend.webhooks.verify({
            payload: event.body,
            headers: { id: event.headers['webhook-id'],
                       timestamp: event.headers['webhook-timestamp'],
                       signature: event.headers['webhook-signature'] },
            webhookSecret: receiver.secret,
        });
        assert.equal(verified.type, 'email.sent');

        const changed = await resend.webhooks.update(made.data.id,
                                                     { status: 'disabled' });
        assert.equal(changed.error, null);
        const list = await resend.webhooks.list();
        const listed = list.data.data.find(({ id }) => id === made.data.id);
        assert.equal(listed.status, 'disabled');
        const gone = await resend.webhooks.remove(made.data.id);
        assert.equal(gone.data.deleted, true);
        await refused('not_found', 404,
                      () => resend.webhooks.get(made.data.id));
    });

    test('keys work from the answer on, and end when removed', async () => {
        const made = await resend.apiKeys.create({ name: 'web' });
        assert.equal(made.error, null, JSON.stringify(made.error));
        const other = client(made.data.token);
        const sent = await other.emails.send({ ...MAIL, to: 'k@inbox.test' });
        assert.equal(sent.error, null);
        const list = await resend.apiKeys.list();
        const listed = list.data.data.find(({ id }) => id === made.data.id);
        assert.equal(listed.name, 'web');
        assert.equal(JSON.stringify(list).includes(made.data.token), false);
        const gone = await resend.apiKeys.remove(made.data.id);
        assert.equal(gone.error, null, JSON.stringify(gone.error));
        await refused('invalid_api_key', 403, () => other.emails.send(MAIL));
    });
});

test('suppressions are added, listed, found and removed', async () => {
    const { suppressions } = resend;
    const good = async (answer) => {
        const { data, error } = await answer;
        assert.equal(error, null, JSON.stringify(error));
        return data;
    };
    const { id } = await good(suppressions.add({ email: 'one@off.test' }));
    const batch = await good(suppressions.batch.add({
        emails: ['two@off.test', 'three@off.test'] }));
    assert.equal(batch.data.length, 2);

    const entry = await good(suppressions.get('one@off.test'));
    assert.deepEqual(entry, await good(suppressions.get(id)));
    assert.equal(entry.object, 'suppression');
    assert.equal(entry.email, 'one@off.test');
    assert.equal(entry.origin, 'manual');
    assert.equal(entry.source_id, null);

    const emails = async (options) =>
        (await good(suppressions.list(options))).data.map(({ email }) => email);
    assert.deepEqual(await emails({ origin: 'manual', limit: 2 }),
                     ['three@off.test', 'two@off.test']);
    assert.deepEqual(await emails({ after: batch.data[0].id }),
                     ['one@off.test']);
    assert.deepEqual(await emails({ origin: 'bounce' }), []);

    assert.equal((await good(suppressions.remove('one@off.test'))).deleted,
                 true);
    await good(suppressions.batch.remove({
        ids: batch.data.map((one) => one.id) }));
    assert.deepEqual(await emails(), []);
    await refused('not_found', 404, () => suppressions.get(id));
});

describe('an error has its name', () => {
    test('missing_api_key', async () => {
        const answer = await service.call('POST', '/emails', MAIL,
                                          { key: null });
        assert.equal(answer.status, 401);
        assert.equal(answer.json.name, 'missing_api_key');
        assert.match(answer.headers.get('www-authenticate'), /^Bearer/);
    });

    test('restricted_api_key', async () => {
        const key = await service.createKey({ permission: 'sending_access' });
        const sending = client(key);
        const sent = await sending.emails.send({ ...MAIL,
                                                 to: 's@inbox.test' });
        assert.equal(sent.error, null);
        await refused('restricted_api_key', 401,
                      () => sending.webhooks.list());
    });

    test('invalid_api_key', () => refused('invalid_api_key', 403, () =>
        client('ph_live_0123456789').emails.send(MAIL)));

    test('invalid_idempotency_key', () => refused(
        'invalid_idempotency_key', 400, () => resend.emails.send(MAIL, {
            idempotencyKey: 'k'.repeat(257),
        })));

    test('invalid_idempotent_request', async () => {
        const key = { idempotencyKey: 'order-3' };
        const first = await resend.emails.send(MAIL, key);
        assert.equal(first.error, null);
        await refused('invalid_idempotent_request', 409, () =>
            resend.emails.send({ ...MAIL, subject: 'Other' }, key));
    });

    test('validation_error, with all problems at once', async () => {
        const error = await refused('validation_error', 422, () =>
            resend.emails.send({ ...MAIL, to: ['a@b@c', 'ada@inbox.test'],
                                 subject: 'a\r\nBcc: eve@evil.test' }));
        assert.deepEqual(error.errors.map(({ pointer }) => pointer).sort(),
                         ['/subject', '/to/0']);
    });

    test('missing_required_field', async () => {
        const { subject, ...rest } = MAIL;
        assert.ok(subject);
        const error = await refused('missing_required_field', 422,
                                    () => resend.emails.send(rest));
        assert.match(error.message, /`subject`/);
    });

    test('invalid_parameter', () => refused('invalid_parameter', 422, () =>
        resend.emails.get('not-an-id')));

    test('invalid_attachment', () => refused('invalid_attachment', 422, () =>
        resend.emails.send({ ...MAIL,
                             attachments: [{ filename: 'a.txt' }] })));

    test('invalid_from_address', () => refused('invalid_from_address', 422,
        () => resend.emails.send({ ...MAIL, from: 'nobody' })));

    test('not_found', async () => {
        await refused('not_found', 404, () => resend.emails.get(UNKNOWN_ID));
        await refused('not_found', 404, () => resend.get('/nowhere'));
    });

    test('not_found for what another owner has', async () => {
        const { data } = await resend.emails.send(MAIL);
        const other = client(await service.createKey({ owner: 'other' }));
        const theirs = await refused('not_found', 404,
                                     () => other.emails.get(data.id));
        const nobodys = await refused('not_found', 404,
                                      () => other.emails.get(UNKNOWN_ID));
        assert.equal(theirs.message, nobodys.message);
        await refused('not_found', 404, () => other.emails.cancel(data.id));
    });

    test('method_not_allowed', async () => {
        await refused('method_not_allowed', 405,
                      () => resend.delete('/emails'));
        const answer = await service.call('DELETE', '/v1/emails');
        assert.match(answer.headers.get('allow'), /POST/);
    });

    test('rate_limit_exceeded', async () => {
        const limited = await startService({
            redis, upstreams: [sink.upstream()], roles: ['api'],
            config: { limits: { rate: '5/s' } },
        });
        const many = await Promise.all(Array.from({ length: 30 }, () =>
            limited.call('GET', `/v1/emails/${UNKNOWN_ID}`)));
        const over = many.filter(({ status }) => status === 429);
        assert.ok(over.length >= 15, `${over.length} of 30`);
        assert.ok(over.length <= 25, `${over.length} of 30`);
        for (const { json, headers } of over) {
            assert.equal(json.name, 'rate_limit_exceeded');
            assert.match(headers.get('retry-after'), /^\d+$/);
        }
        for (const { headers } of many) {
            assert.equal(headers.get('ratelimit-limit'), '5');
            assert.match(headers.get('ratelimit-remaining'), /^\d+$/);
            assert.match(headers.get('ratelimit-reset'), /^\d+$/);
            assert.equal(headers.get('ratelimit-policy'), '5;w=1');
        }
    });

    test('rate_limit_exceeded, when too much of the owner waits', async () => {
        const full = await startService({
            redis: await startRedis(), upstreams: [sink.upstream()],
            roles: ['api'], config: { limits: { rate: '', owner_queue: 2,
                                                queue: 3 } },
        });
        const theirs = new Resend(full.key, { baseUrl: full.base });
        const key = { idempotencyKey: 'first' };
        const mail = { ...MAIL, to: ['a@inbox.test', 'b@inbox.test'] };
        const first = await theirs.emails.send(mail, key);
        assert.equal(first.error, null);
        const error = await refused('rate_limit_exceeded', 429,
                                    () => theirs.emails.send(MAIL));
        assert.equal(error.code, 'quota_exceeded');
        assert.match(error.message, /2 recipients wait/);
        await full.posthaste(['partition', 'limit', 'default', '1',
                              '--config', full.config]);
        const own = await refused('rate_limit_exceeded', 429,
            () => theirs.emails.send(MAIL));
        assert.match(own.message, /2 recipients wait, of at most 1/);
        await full.posthaste(['partition', 'limit', 'default', 'default',
                              '--config', full.config]);
        const again = await theirs.emails.send(mail, key);
        assert.equal(again.data.id, first.data.id);
        const other = new Resend(await full.createKey({ owner: 'other' }),
                                 { baseUrl: full.base });
        const third = await other.emails.send(MAIL);
        assert.equal(third.error, null);
        const late = await other.emails.send(MAIL);
        assert.equal(late.error.statusCode, 503);
        assert.equal(late.error.name, 'application_error');
        assert.match(late.headers['retry-after'], /^\d+$/);
        const canceled = await theirs.emails.cancel(first.data.id);
        assert.equal(canceled.error, null);
        assert.equal((await theirs.emails.send(MAIL)).error, null);
    });

    test('application_error, when redis is away', async () => {
        const lonely = await startRedis();
        const other = await startService({ redis: lonely, roles: ['api'],
                                           upstreams: [sink.upstream()] });
        await lonely.stop();
        const { error, headers } = await new Resend(
            other.key, { baseUrl: other.base }).emails.send(MAIL);
        assert.equal(error.name, 'application_error');
        assert.equal(error.statusCode, 503);
        assert.match(headers['retry-after'], /^\d+$/);
    });
});

test('both /emails and /v1/emails, and doubled slashes, are one', async () => {
    for (const path of ['/emails', '/v1/emails', '//emails']) {
        const answer = await service.call('POST', path, MAIL);
        assert.equal(answer.status, 200, path);
        assert.equal(answer.json.status, 'queued');
    }
});
