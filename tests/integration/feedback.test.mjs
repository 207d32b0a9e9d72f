// Runs beside others.
// What comes back of a mail that was sent: posthaste feedback, as a mail
// server's pipe calls it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { ROOT } from './harness/npm.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';

const EX_TEMPFAIL = 75;
const CORPUS = path.join(ROOT, 'tests/fuzz/corpus/fuzz_feedback');

let redis;
let sink;
let service;
let receiver;
const paths = new Map(); // recipient -> return path, of whatever was tried

before(async () => {
    redis = await startRedis();
    sink = await startSink({
        onMail(mail) {
            for (const to of mail.to)
                paths.set(to, mail.from);
            if (mail.to.some((to) => to.startsWith('later')))
                throw reply(451, '4.3.0 not now');
        },
    });
    service = await startService({
        redis, upstreams: [sink.upstream()],
        config: { webhook: { allow_private: true, ports: [] },
                  sending: { bounce_domain: 'bounce.example.com' } },
    });
    receiver = await startReceiver();
    await service.subscribe(receiver, ['email.*', 'suppression.*']);
});

// A mail that was sent; gives its id.
async function sent(to) {
    const id = await service.send({ to });
    await receiver.event(id, 'email.sent', 20_000);
    return id;
}

const report = (name, address) =>
    fs.readFileSync(path.join(CORPUS, `${name}.eml`), 'latin1')
        .replaceAll('b+TOKEN@bounce.example.com', address);

// As a pipe does it: the message on standard input.
async function handIn(message, args = [], config = service.config) {
    const file = path.join(service.dir, 'message.eml');
    fs.writeFileSync(file, message, 'latin1');
    const { code, stdout, stderr } = await service.run(
        ['feedback', '--config', config, '--json', ...args, file]);
    return { code, stderr, answer: code === 0 ? JSON.parse(stdout) : null };
}

test('a late bounce is told, and its address is kept off', async () => {
    const to = 'ada@example.net';
    const id = await sent(to);
    const message = report('postfix', paths.get(to));
    const { code, answer } = await handIn(message);
    assert.equal(code, 0);
    assert.deepEqual(answer, { object: 'feedback', outcome: 'recorded',
        email_id: id, type: 'email.bounced', suppressed: true });
    const { payload } = await receiver.event(id, 'email.bounced', 20_000);
    assert.equal(payload.data.bounce.type, 'Permanent');
    assert.equal(payload.data.bounce.subType, 'NoEmail');
    assert.equal(payload.data.bounce.message,
        '550 5.1.1 <ada@example.net>: Recipient address rejected: ' +
        'User unknown');
    assert.deepEqual(payload.data.to, [to]);
    assert.equal(payload.data.delivery, undefined);

    const email = await service.email(id);
    assert.equal(email.last_event, 'bounced');
    assert.equal(email.recipients[0].status, 'bounced');
    const kept = (await service.call('GET', `/v1/suppressions/${to}`)).json;
    assert.equal(kept.origin, 'bounce');
    assert.equal(kept.source_id, id);
    assert.equal(kept.reason, '550/5.1.1');
    const next = await service.send({ to });
    await receiver.event(next, 'email.suppressed', 20_000);

    const again = await handIn(message);
    assert.equal(again.answer.outcome, 'repeated');
    const story = await service.call('GET', `/v1/emails/${id}/events`);
    assert.equal(story.json.data
        .filter(({ type }) => type === 'email.bounced').length, 1);
});

test('a complaint, and a confirmation before it', async () => {
    const to = 'bob@yahoo.example';
    const id = await sent(to);
    const first = await handIn(report('postfix_delivered', paths.get(to)));
    assert.equal(first.answer.type, 'email.delivered');
    assert.equal(first.answer.suppressed, false);
    await receiver.event(id, 'email.delivered', 20_000);
    assert.equal((await service.email(id)).last_event, 'delivered');

    const { answer } = await handIn(report('jmrp', paths.get(to)));
    assert.equal(answer.outcome, 'recorded');
    assert.equal(answer.suppressed, true);
    const { payload } = await receiver.event(id, 'email.complained', 20_000);
    assert.equal(payload.data.recipient, to);
    assert.equal((await service.email(id)).last_event, 'complained');
    const kept = (await service.call('GET', `/v1/suppressions/${to}`)).json;
    assert.equal(kept.origin, 'complaint');
    assert.equal(kept.email, to);
});

test('the envelope alone says whose it is', async () => {
    const to = 'eve@example.net';
    const id = await sent(to);
    const message = report('not_ours', '');
    assert.equal((await handIn(message)).answer.reason, 'not_signed');
    const given = paths.get(to).toUpperCase();
    const { answer } = await handIn(message, ['--recipient', given]);
    assert.equal(answer.email_id, id);
    assert.equal(answer.outcome, 'recorded');
});

test('forged, or no report: nothing follows', async () => {
    const to = 'zoe@example.net';
    const id = await sent(to);
    const forged = paths.get(to)
        .replace(/.@/, (end) => end[0] === '0' ? '1@' : '0@');
    for (const [name, address, reason] of [
        ['postfix', forged, 'not_signed'],
        ['autoreply', paths.get(to), 'not_a_report'],
        ['postfix_delayed', paths.get(to), 'no_outcome'],
        ['not_spam', paths.get(to), 'no_outcome'],
    ]) {
        const { code, answer } = await handIn(report(name, address));
        assert.equal(code, 0, name);
        assert.equal(answer.outcome, 'ignored', name);
        assert.equal(answer.reason, reason, name);
    }
    assert.equal((await service.email(id)).last_event, 'sent');
});

test('what cannot be taken now is kept by the mail server', async () => {
    const to = 'later@example.net';
    const id = await service.send({ to });
    await receiver.event(id, 'email.delivery_delayed', 20_000);
    const message = report('postfix', paths.get(to));
    const { code, stderr } = await handIn(message);
    assert.equal(code, EX_TEMPFAIL);
    assert.match(stderr, /has not ended yet/);

    const missing = path.join(service.dir, 'missing.toml');
    assert.equal((await handIn(message, [], missing)).code, EX_TEMPFAIL);
    const away = path.join(service.dir, 'away.toml');
    fs.writeFileSync(away, fs.readFileSync(service.config, 'utf8')
        .replace(/^url = .*$/m, 'url = "redis://127.0.0.1:1"'));
    assert.equal((await handIn(message, [], away)).code, EX_TEMPFAIL);
    const idle = report('autoreply', paths.get(to));
    assert.equal((await handIn(idle, [], away)).code, 0);
});

test('by the API: a complaint in base64, once, of the own mail', async () => {
    const to = 'kim@yahoo.example';
    const id = await sent(to);
    const message = Buffer.from(report('yahoo', paths.get(to)))
        .toString('base64');
    const post = (body, options) =>
        service.call('POST', '/v1/feedback', body, options);
    const other = await service.createKey({ owner: 'other' });
    const foreign = await post({ message }, { key: other });
    assert.equal(foreign.json.reason, 'not_known');
    assert.equal(foreign.json.suppressed, false);
    const first = await post({ message });
    assert.equal(first.status, 200, first.text);
    assert.deepEqual(first.json, { object: 'feedback', outcome: 'recorded',
        email_id: id, type: 'email.complained', suppressed: true });
    await receiver.event(id, 'email.complained', 20_000);
    assert.equal((await post({ message })).json.outcome, 'repeated');
    const forged = report('yahoo', paths.get(to).replace(/.@/,
        (end) => end[0] === '0' ? '1@' : '0@'));
    assert.equal((await post({ message: forged })).json.reason, 'not_signed');
    const padded = report('yahoo', paths.get(to)) + 'x'.repeat(200_000);
    assert.equal((await post({ message: padded })).json.outcome, 'repeated');
    const away = await post({ message: 'no colon, no base64' });
    assert.equal(away.status, 422);
});

test('who has moved is found, with all that came back', async () => {
    const to = 'moved@example.net';
    const id = await sent(to);
    const delivered = report('postfix_delivered', paths.get(to));
    assert.equal((await handIn(delivered)).answer.outcome, 'recorded');
    await service.posthaste(['partition', 'add', '--config', service.config]);
    await service.posthaste(['partition', 'move', 'default', '--to', '1',
                             '--config', service.config]);
    assert.equal((await handIn(delivered)).answer.outcome, 'repeated');
    const { answer } = await handIn(report('postfix', paths.get(to)));
    assert.equal(answer.outcome, 'recorded');
    assert.equal(answer.suppressed, true);
    await receiver.event(id, 'email.bounced', 20_000);
    assert.equal((await service.email(id)).last_event, 'bounced');
});
