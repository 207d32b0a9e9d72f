// Runs beside others.
// DKIM from the key to the sink: domains are made over HTTP, mails of them are
// caught behind the wire, and three verifiers by other people say what they
// think of each signature. The mails are the traps of vectors.test.mjs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startRedis } from './harness/redis.mjs';
import { folder, must, until } from './harness/scope.mjs';
import { BIN, startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';
import { byDkimpy, byMailauth, byOpendkim } from './message/verifiers.mjs';

const VECTORS = fileURLToPath(new URL('../unit/smtp/vectors', import.meta.url));
const MAIL = { from: 'App <app@sender.test>', to: ['ada@inbox.test'],
               subject: 'Hello', text: 'Hello.' };

const traps = fs.readdirSync(VECTORS).filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => fs.readFileSync(path.join(VECTORS, name), 'utf8')
        .trimEnd().split('\n').map((line) => JSON.parse(line)))
    .filter(({ wants }) => wants);
const domainOf = ({ wants }) =>
    (wants.from?.[0][1] ?? 'app@sender.test').split('@').pop();

const dir = folder('dkim');
const keyFile = path.join(dir, 'worker.key');
const zone = {};
let redis;
let sink;
let service;
let verifiers;

async function createDomain(name) {
    const { status, json, text } =
        await service.call('POST', '/v1/domains', { name });
    assert.ok([200, 201].includes(status), text);
    const records = json.records.filter(({ record }) => record === 'DKIM');
    assert.equal(records.length, 2, text);
    for (const { name: label, value } of records)
        zone[label.endsWith(json.name) ? label : `${label}.${json.name}`] =
            value;
}

before(async () => {
    redis = await startRedis();
    sink = await startSink();
    const half = await must(BIN, ['keyring', 'create-worker', keyFile]);
    service = await startService({
        redis, upstreams: [sink.upstream()],
        config: { secrets: { worker_key_file: keyFile,
                             worker_public_key: half.trim() } },
    });
    for (const name of new Set(traps.map(domainOf)))
        await createDomain(name);
    verifiers = { mailauth: byMailauth(zone), dkimpy: byDkimpy(zone),
                  opendkim: byOpendkim(zone) };
});

async function send(asks) {
    const answer = await service.call('POST', '/v1/emails', Object.fromEntries(
        Object.entries({ ...MAIL, ...asks }).filter(([, value]) =>
            value !== null)));
    assert.equal(answer.status, 200, answer.text);
    await service.emailWith(answer.json.id, 'sent', 30_000);
}

// The mail as the sink got it.
async function caught(asks) {
    const from = sink.mails.length;
    await send(asks);
    return sink.mails[from].raw;
}

async function judge(mails, names, check) {
    for (const [verifier, verify] of Object.entries(verifiers)) {
        const said = await verify(mails);
        assert.equal(said.length, mails.length, verifier);
        said.forEach((passes, i) =>
            check(passes, `${verifier}: ${names[i]}: ${passes}`));
    }
}

const allPass = (passes, what) => assert.deepEqual(passes, [true, true], what);
// Some leave a field that is not one out; none lets it pass.
const nonePasses = (passes, what) => assert.ok(!passes.includes(true), what);

test('every trap is signed twice, and verifies everywhere', async () => {
    const from = sink.mails.length;
    for (let at = 0; at < traps.length; at += 16)
        await Promise.all(traps.slice(at, at + 16)
            .map(({ asks }) => send(asks)));
    const mails = sink.mails.slice(from).map(({ raw }) => raw);
    assert.ok(mails.length >= traps.length);
    for (const mail of mails) {
        const [rsa, ed25519] = mail.toString('latin1').split(/\r\n(?![ \t])/);
        assert.match(rsa, /^DKIM-Signature: v=1; a=rsa-sha256;/);
        assert.match(ed25519, /^DKIM-Signature: v=1; a=ed25519-sha256;/);
        for (const line of `${rsa}\r\n${ed25519}`.split('\r\n'))
            assert.ok(line.length <= 78, line);
        assert.doesNotMatch(`${rsa} ${ed25519}`, /[\s;][lqizx]=/);
    }
    await judge(mails, mails.map((mail) => mail.toString()), allPass);
});

test('a dry run says who signs, as the mail has it then', async () => {
    const dry = await service.call('POST', '/v1/emails?dry_run=true', MAIL);
    assert.equal(dry.status, 200, dry.text);
    const { domain, signatures, verified, reason } = dry.json.signing;
    assert.equal(domain, dry.json.signing_domain);
    assert.equal(verified, false);
    assert.equal(reason, undefined);
    const fields = (await caught({})).toString('latin1')
        .split(/\r\n(?![ \t])/).slice(0, 2)
        .map((field) => field.replace(/\r\n[ \t]+/g, ' '));
    assert.deepEqual(signatures, fields.map((field) => ({
        algorithm: field.match(/; ?a=([^;]+);/)[1],
        selector: field.match(/; ?s=([^;]+);/)[1],
    })));
    for (const field of fields)
        assert.equal(field.match(/; ?d=([^;]+);/)[1], domain);
    const elsewhere = await service.call('POST', '/v1/emails?dry_run=true',
        { ...MAIL, from: 'app@unknown.test' });
    assert.equal(elsewhere.json.signing.domain, null);
    assert.match(elsewhere.json.signing.reason,
                 /no domain of this account is unknown\.test or above it/);
});

const BODY = 'One line.\nAnother line.  With  blanks.\n';
const GUARDED = ['From: eve@evil.test', 'To: eve@evil.test',
                 'Cc: eve@evil.test', 'Reply-To: eve@evil.test',
                 'Subject: You won', 'Date: Mon, 1 Jan 2024 00:00:00 +0000',
                 'Message-ID: <evil@evil.test>', 'MIME-Version: 1.0',
                 'Content-Type: text/html',
                 'Content-Transfer-Encoding: base64'];

// What somebody may do to a mail on its way.
const TAMPERED = {
    'a letter of the body': (mail) => mail.replace('One line', 'one line'),
    'a line more': (mail) => `${mail}Buy now.\r\n`,
    'lines in another order': (mail) => mail.replace(
        /(One line\.\r\n)(Another[^\r]*\r\n)/, '$2$1'),
    'no body': (mail) => mail.slice(0, mail.indexOf('\r\n\r\n') + 4),
    'another subject': (mail) => mail.replace('Subject: Hello', 'Subject: Hallo'),
    'another sender': (mail) => mail.replace('app@sender', 'eve@sender'),
    'another date': (mail) => mail.replace(/^(Date: .*:\d)\d/m,
                                           (_, head) => `${head}x`),
    'no subject': (mail) => mail.replace('Subject: Hello\r\n', ''),
    'a reply address less': (mail) => mail.replace(/^Reply-To: .*\r\n/m, ''),
    'another b=': (mail) => mail.replace(/( b=.{4})(.)/g, (_, head, c) =>
        head + (c === 'A' ? 'B' : 'A')),
    'another bh=': (mail) => mail.replace(/( bh=.{4})(.)/g, (_, head, c) =>
        head + (c === 'A' ? 'B' : 'A')),
    'another t=': (mail) => mail.replace(/ t=(\d+);/g, (_, t) => ` t=${t - 1};`),
    'another d=': (mail) => mail.replaceAll(' d=sender.test;',
                                            ' d=other.sender.test;'),
    'fewer names': (mail) => mail.replaceAll(/:subject:/g, ':'),
    'signatures exchanged': (mail) => {
        const [one, two] = [...mail.matchAll(/ b=[^:]*?==?\r\n/g)]
            .map(([text]) => text);
        return mail.replace(one, '@').replace(two, one).replace('@', two);
    },
    ...Object.fromEntries(GUARDED.flatMap((field) => [
        [`${field} on top`, (mail) => `${field}\r\n${mail}`],
        [`${field} below`, (mail) =>
            mail.replace('\r\n\r\n', `\r\n${field}\r\n\r\n`)],
    ])),
};

test('what was changed on the way verifies nowhere', async () => {
    const mail = (await caught({ text: BODY, reply_to: 'help@sender.test' }))
        .toString('latin1');
    await judge([Buffer.from(mail, 'latin1')], ['untouched'], allPass);
    const copies = Object.entries(TAMPERED).map(([name, tamper]) => {
        const copy = tamper(mail);
        assert.notEqual(copy, mail, name);
        return Buffer.from(copy, 'latin1');
    });
    await judge(copies, Object.keys(TAMPERED), nonePasses);
});

test('what relays may do leaves it whole', async () => {
    const mail = (await caught({ text: BODY })).toString('latin1');
    const relayed = [
        `Received: from a by b\r\nX-Spam: no\r\n${mail}`,
        `${mail}\r\n \r\n`,
        mail.replace('Subject: Hello', 'SUBJECT:   Hello  '),
        mail.replace('With  blanks', 'With \t blanks'),
    ].map((copy) => Buffer.from(copy, 'latin1'));
    await judge(relayed, ['Received', 'a tail', 'case and blanks', 'blanks'],
                allPass);
});

test('bodies of nothing and of white space verify', async () => {
    const mails = [await caught({ text: ' ', html: null }),
                   await caught({ text: '\n\n \n', html: null }),
                   await caught({ text: 'x\n \n\t\n\n', html: null })];
    await judge(mails, ['a blank', 'empty lines', 'a tail'], allPass);
});

test('a large mail is signed likewise', async () => {
    const content = Buffer.alloc(2 << 20, 'attachment ').toString('base64');
    const mail = await caught({ attachments: [{ filename: 'a.bin', content }] });
    await judge([mail], ['2 MiB'], allPass);
});

test('a retry has the same octets, and so has each recipient', async () => {
    const got = [];
    const moody = await startSink({ onMail: ({ raw }) => {
        got.push(raw);
        if (got.length === 1)
            throw reply(451, '4.3.0 later');
    } });
    const other = await startService({
        redis: await startRedis(), upstreams: [moody.upstream()],
        config: { secrets: service.tables.secrets, worker: { retry: ['1s'] } },
    });
    const made = await other.call('POST', '/v1/domains', { name: 'again.test' });
    assert.ok([200, 201].includes(made.status), made.text);
    const id = await other.send({ from: 'a@again.test',
                                  to: ['ada@inbox.test', 'bob@inbox.test'] });
    await other.emailWith(id, 'sent', 20_000);
    assert.equal(got.length, 3);
    assert.match(got[0].toString(), /^DKIM-Signature: .*rsa-sha256/);
    for (const raw of got)
        assert.ok(raw.equals(got[0]));
});

test('a mail of no domain of ours is not signed', async () => {
    const mail = await caught({ from: 'a@elsewhere.test' });
    assert.doesNotMatch(mail.toString(), /^DKIM-Signature/m);
});

describe('a worker', () => {
    const restart = async () => {
        await service.stop('worker');
        service.write();
        await service.start('worker');
    };
    const redisCli = (...args) => execFileSync('redis-cli', [
        '-u', redis.url.replace(/^redis:\/\//, 'redis://'), ...args],
        { encoding: 'utf8' }).trim();

    test('without the workers\' key gives back, is not ready, and says why',
         async () => {
             const other = path.join(dir, 'other.key');
             await must(BIN, ['keyring', 'create-worker', other]);
             service.tables.secrets.worker_key_file = other;
             await restart();
             const before = sink.mails.length;
             const id = await service.send({});
             await until('not ready', async () =>
                 !await service.isReady('worker'));
             const why = await fetch(`http://${service.admin.worker}/readyz`);
             assert.match(await why.text(), /sealed to the workers' key w/);
             assert.match(await service.metrics('worker'),
                          /^posthaste_dkim_keys_locked 1$/m);
             assert.match(service.programs.worker.log, /dkim\.key_locked/);
             assert.equal((await service.email(id)).status, 'scheduled');
             service.tables.secrets.worker_key_file = keyFile;
             await restart();
             const email = await service.emailWith(id, 'sent', 20_000);
             assert.equal(email.recipients[0].attempt ?? 1, 1);
             assert.equal(sink.mails.length, before + 1);
             await judge([sink.mails.at(-1).raw], ['later'], allPass);
         });

    test('fails a mail whose keys are broken, or gone', async () => {
        const [key] = redisCli('--scan', '--pattern', '*dk:default').split('\n');
        const fields = redisCli('hkeys', key).split('\n');
        for (const field of fields) {
            const value = redisCli('hget', key, field);
            redisCli('hset', key, field,
                     value.replace(/\.[A-Za-z0-9_-]{8}/g, '.AAAAAAAA'));
        }
        await restart(); // its cache knows the whole ones
        const broken = await service.emailWith(await service.send({}), 'failed');
        redisCli('del', key);
        await restart();
        const gone = await service.emailWith(await service.send({}), 'failed');
        for (const { id } of [broken, gone]) {
            const { json } =
                await service.call('GET', `/v1/emails/${id}/events`);
            assert.match(JSON.stringify(json), /content_lost/);
        }
    });
});
