// Runs beside others.
// What spam filters think of the built-in templates: each of them, in each
// language, with and without all that can be set, signed, over a name server
// that has the keys, SPF and DMARC.
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, test } from 'node:test';
import { startNames } from './harness/names.mjs';
import { BIN } from './harness/service.mjs';
import { must } from './harness/scope.mjs';
import { spamassassin, startRspamd } from './harness/spam.mjs';

const TOOL = path.join(path.dirname(BIN), 'tests/tool_builtin');
const CLIENT = { from: 'b+3kq7x@bounce.example.com', to: 'ada@example.net',
                 ip: '52.10.20.30', host: 'mail.example.com' };

let mails;
let keys;

// As the receiving server hands it on.
const received = (mail) =>
    `Received: from ${CLIENT.host} (${CLIENT.host} [${CLIENT.ip}])\r\n` +
    '\tby mx.example.net (Postfix) with ESMTPS id 4D2F1\r\n' +
    `\tfor <${CLIENT.to}>; ${new Date().toUTCString().replace('GMT', '+0000')}` +
    `\r\n${mail}`;

const named = ({ alias, name, locale }) => `${alias} ${locale} ${name}`;

before(async () => {
    const lines = (await must(TOOL, [String(Math.floor(Date.now() / 1000))]))
        .trim().split('\n').map((line) => JSON.parse(line));
    [keys, ...mails] = lines;
    assert.equal(mails.length, 26);
});

test('each is less than 8 KiB, signatures and all, its html less than 6', () => {
    for (const mail of mails) {
        assert.ok(mail.mime.length < 8192, named(mail));
        assert.ok(Buffer.byteLength(mail.html) < 6144, named(mail));
    }
});

test('SpamAssassin gives none of them more than 0.1', async (t) => {
    const scores = await spamassassin(mails.map((mail) => received(mail.mime)));
    assert.equal(scores.length, mails.length);
    mails.forEach((mail, i) => {
        t.diagnostic(`${named(mail)}: ${scores[i].score} ${scores[i].tests}`);
        assert.ok(scores[i].score <= 0.1,
                  `${named(mail)}: ${JSON.stringify(scores[i])}`);
    });
});

test('rspamd gives none of them more than 0, and all pass', async (t) => {
    const zone = {
        'example.com': { TXT: ['v=spf1 ip4:52.10.20.30 -all'],
                         MX: ['mail.example.com'], A: ['52.10.20.30'] },
        'bounce.example.com': { TXT: ['v=spf1 ip4:52.10.20.30 -all'],
                                MX: ['mail.example.com'] },
        'mail.example.com': { A: ['52.10.20.30'] },
        '_dmarc.example.com': { TXT: ['v=DMARC1; p=reject'] },
        ...Object.fromEntries(Object.entries(keys).map(([selector, text]) =>
            [`${selector}._domainkey.example.com`, { TXT: [text] }])),
    };
    const judge = await startRspamd(await startNames(zone));
    for (const mail of mails) {
        const { score, action, symbols } = await judge(mail.mime, CLIENT);
        const cost = Object.entries(symbols).filter(([, one]) => one !== 0)
            .map(([name, one]) => `${name}=${one}`).join(' ');
        t.diagnostic(`${named(mail)}: ${score} ${cost}`);
        assert.equal(action, 'no action', named(mail));
        assert.ok(score <= 0, `${named(mail)}: ${score} ${cost}`);
        for (const wanted of ['R_DKIM_ALLOW', 'R_SPF_ALLOW',
                              'DMARC_POLICY_ALLOW'])
            assert.ok(wanted in symbols,
                      `${named(mail)}: ${Object.keys(symbols)}`);
    }
    // The scale works: the same with a broken signature and in capitals.
    const bad = await judge(mails[0].mime.replace('Subject: ', 'Subject: WIN '),
                            { ...CLIENT, ip: '198.51.100.1' });
    assert.ok(bad.score > 1, JSON.stringify(bad));
});
