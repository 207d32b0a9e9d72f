// Runs beside others.
// The peers that the other tests lean on, tried without Posthaste: when one
// of these fails, the machine is to blame.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Ledger, assertClean, faultsOf } from '../fault/lib/ledger.mjs';
import { PASSWORD, startMailHost } from './harness/mailhost.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { folder, must, run } from './harness/scope.mjs';
import { parse, reply, startSink } from './harness/sink.mjs';
import { npm } from './harness/npm.mjs';

const MAIL = 'From: <app@sender.test>\r\nTo: <ada@inbox.test>\r\n' +
             'Message-ID: <1@sender.test>\r\nSubject: Hello\r\n\r\n' +
             '.dotted\r\n';

function mailFile() {
    const file = path.join(folder('mail'), 'mail.eml');
    fs.writeFileSync(file, MAIL);
    return file;
}

const submit = (url, to, ...more) => run('curl', [
    '-sS', '--max-time', '10', '--mail-from', 'app@sender.test',
    '--mail-rcpt', to, '--upload-file', mailFile(), ...more, url,
]);

test('redis keeps what it was told over a kill', async () => {
    const redis = await startRedis({ appendfsync: 'always' });
    assert.equal(await redis.cli('SET', 'a', '1'), 'OK');
    await redis.kill();
    await redis.start();
    assert.equal(await redis.cli('GET', 'a'), '1');
});

test('the sink keeps each mail and refuses on demand', async () => {
    const sink = await startSink({
        onRcpt(address) {
            if (address.startsWith('refused@'))
                throw reply(550, '5.1.1 no such mailbox');
        },
    });
    const url = `smtp://127.0.0.1:${sink.port}`;
    assert.equal((await submit(url, 'ada@inbox.test')).code, 0);
    const mail = await sink.mailTo('ada@inbox.test');
    assert.equal(mail.messageId, '<1@sender.test>');
    assert.equal((await parse(mail)).text, '.dotted\n');
    const refused = await submit(url, 'refused@inbox.test');
    assert.match(refused.stderr, /550/);
    assert.equal(sink.mails.length, 1);
});

test('postfix takes mail over TLS only with a login; dovecot shows it',
     { skip: process.getuid() !== 0 && 'needs root' }, async () => {
    const host = await startMailHost();
    const tls = ['--ssl-reqd', '--cacert', host.certs.ca];
    const login = ['--user', `app@inbox.test:${PASSWORD}`];
    const starttls = `smtp://localhost:${host.ports.submission}`;
    const implicit = `smtps://localhost:${host.ports.smtps}`;

    const plain = await submit(starttls, 'ada@inbox.test');
    assert.notEqual(plain.code, 0);
    const wrong = await submit(starttls, 'ada@inbox.test', ...tls,
                               '--user', 'app@inbox.test:wrong');
    assert.equal(wrong.code, 67); // login denied
    for (const [n, url] of [starttls, implicit].entries()) {
        const sent = await submit(url, 'ada@inbox.test', ...tls, ...login);
        assert.equal(sent.code, 0, sent.stderr);
        const mail = await host.mail('ada@inbox.test', n + 1);
        assert.match(mail, /^Subject: Hello/m);
        assert.match(mail, /^\.dotted/m);
    }
    const refused = await submit(implicit, 'refused@inbox.test', ...tls,
                                 ...login);
    assert.match(refused.stderr, /550/);
});

test('the receiver takes what is signed right, and nothing else', async () => {
    const { Webhook } = npm('standardwebhooks');
    const receiver = await startReceiver();
    receiver.secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const body = JSON.stringify({ type: 'email.sent',
                                  data: { email_id: 'e' } });
    const at = new Date();
    const signature = new Webhook(receiver.secret).sign('evt_1', at, body);
    const headers = {};
    for (const name of ['webhook', 'svix']) {
        headers[`${name}-id`] = 'evt_1';
        headers[`${name}-timestamp`] = String(Math.floor(at / 1000));
        headers[`${name}-signature`] = signature;
    }
    const post = async (text) => (await fetch(receiver.url, {
        method: 'POST', headers, body: text,
    })).status;
    assert.equal(await post(body), 200);
    assert.equal(await post(`${body} `), 400);
    assert.equal(receiver.of('e', 'email.sent').length, 1);
    assert.equal(receiver.refused.length, 1);
});

// One mail's three books: copies, and ends as [webhook-id, type, more].
function books({ copies = [''], ends = [['w1', 'email.sent']], ...more }) {
    const ledger = new Ledger({}, [{ mails: copies.map((tail) => ({
        to: ['a@inbox.test'], messageId: '<1>', at: 1,
        raw: Buffer.from(`This is mail 0 of x.${tail}`) })) }]);
    ledger.name = 'x';
    ledger.receivers.default = { refused: [], events: ends.map(
        ([id, type, data], i) => ({ id, payload: { type, data: {
            email_id: 'e1', recipient: 'a@inbox.test', sequence: i + 1,
            ...data } } })) };
    ledger.mails.push({ n: 0, id: 'e1', to: ['a@inbox.test'],
                        messageId: '<1>', body: { text: '' }, ...more });
    return ledger.account();
}

test('the ledger finds what it is there to find', () => {
    const flag = { possible_duplicate: true };
    const kinds = (account) => faultsOf(account, { mayDuplicate: false })
        .map((fault) => /^1 (\w+):/.exec(fault)[1]);

    assertClean(books({}));
    assertClean(books({ ends: Array(2).fill(['w1', 'email.sent',
                                             { sequence: 1 }]) }));
    // Sent again by hand; the first end's webhook came late.
    assertClean(books({ retries: 1, ends: [
        ['w2', 'email.sent', { sequence: 2 }],
        ['w1', 'email.bounced', { sequence: 1 }]] }));
    for (const [found, given] of [
        [['lost'], { copies: [] }],
        [['lost', 'unended'], { copies: [], ends: [] }],
        [['unended'], { ends: [] }],
        [['unflagged', 'duplicates'], { copies: ['', ''] }],
        [['duplicates'], { copies: ['', ''],
                           ends: [['w1', 'email.sent', flag]] }],
        [['changed', 'duplicates'], { copies: ['', '!'],
                                      ends: [['w1', 'email.sent', flag]] }],
        [['changed'], { messageId: '<2>' }],
        [['unflagged'], { ends: [['w1', 'email.bounced']] }],
        [['doubled'], { ends: [['w1', 'email.sent'], ['w2', 'email.sent']] }],
        [['doubled'], { ends: [['w1', 'email.bounced'], ['w2', 'email.sent']] }],
        [['doubled'], { retries: 1, ends: [
            ['w1', 'email.sent'], ['w2', 'email.sent']] }],
        [['doubled'], { retries: 1, ends: [
            ['w1', 'email.bounced'], ['w2', 'email.failed', flag],
            ['w3', 'email.sent']] }],
        [['unflagged'], { retries: 1, ends: [
            ['w1', 'email.failed'], ['w2', 'email.bounced']] }],
        [['unflagged'], { canceledAt: 2, ends: [['w1', 'email.canceled']] }],
        [['resent'], { canceledAt: 0,
                       ends: [['w1', 'email.canceled', flag]] }],
        [['resent'], { canceledAt: 2 }],
        [['gaps'], { ends: [['w1', 'email.sent', { sequence: 2 }]] }],
        [['lost', 'unended', 'strangers'], {
            copies: [], ends: [['w1', 'email.sent', { email_id: 'e2' }]] }],
    ])
        assert.deepEqual(kinds(books(given)), found);
});
