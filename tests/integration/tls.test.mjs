// Runs beside others.
// A provider as there are many: Postfix with TLS and a login, which delivers
// to Dovecot, where the mail is read by IMAP.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, test } from 'node:test';
import { makeCerts } from './harness/certs.mjs';
import { startMailHost } from './harness/mailhost.mjs';
import { npm } from './harness/npm.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const { simpleParser } = npm('mailparser');
const root = process.getuid() === 0;

describe('postfix and dovecot', { skip: !root && 'needs root' }, () => {
    let redis;
    let host;

    before(async () => {
        redis = await startRedis();
        host = await startMailHost();
    });

    for (const tls of ['starttls', 'implicit'])
        for (const auth of ['auto', 'plain', 'login', 'cram-md5', 'scram-sha-1',
                          'scram-sha-256'])
            test(`${tls} with ${auth}: read back by IMAP`, async () => {
                const to = `${tls}-${auth}@inbox.test`;
                const service = await startService({
                    redis, roles: ['api', 'worker'],
                    upstreams: [host.upstream(tls, { auth })],
                    config: { redis: { url: redis.url,
                                       prefix: `${tls}-${auth}:` } },
                });
                const id = await service.send({
                    to, subject: 'Grüße, 世界', text: '.\n..\nEnde\n',
                    html: '<p>Ende</p>',
                });
                await service.emailWith(id, 'sent');
                const raw = await host.mail(to);
                assert.match(raw, /using TLSv1\.3/);
                assert.match(raw, /with ESMTPSA id/);
                const mail = await simpleParser(raw);
                assert.equal(mail.subject, 'Grüße, 世界');
                assert.equal(mail.text, '.\n..\nEnde\n');
                assert.equal(mail.html.trim(), '<p>Ende</p>');
                await service.stop('worker');
                await service.stop('api');
            });

    test('hundreds of mails share few sessions, refusals are told',
         async () => {
        const service = await startService({
            redis, roles: ['api', 'worker'],
            upstreams: [host.upstream('starttls', { max_sessions: 3 })],
            config: { redis: { url: redis.url, prefix: 'many:' } },
        });
        const before = host.maillog().split('\n').filter((line) =>
            / connect from /.test(line)).length;
        const ids = await Promise.all(Array.from({ length: 200 }, (_, i) =>
            service.send({ to: `many${i}@inbox.test` })));
        const refused = await service.send({ to: 'refused@inbox.test' });
        for (const id of ids)
            await service.emailWith(id, 'sent', 30_000);
        const email = await service.emailWith(refused, 'bounced');
        assert.equal(email.recipients[0].code, 550);
        assert.equal(email.recipients[0].enhanced_code, '5.1.1');
        const sessions = host.maillog().split('\n').filter((line) =>
            / connect from /.test(line)).length - before;
        assert.ok(sessions <= 9, `${sessions} sessions`);
        await service.stop('worker');
    });

    test('a wrong password is no verdict on the mail', async () => {
        const upstream = host.upstream('implicit');
        fs.writeFileSync(upstream.password_file, 'wrong\n');
        const service = await startService({
            redis, roles: ['api', 'worker'], upstreams: [upstream],
            config: { redis: { url: redis.url, prefix: 'wrong:' } },
        });
        const id = await service.send({ to: 'patient@inbox.test' });
        await until('an alarm', () => /upstream\.alarm/.test(service.logs()));
        const email = await service.email(id);
        assert.notEqual(email.status, 'bounced');
        assert.notEqual(email.status, 'failed');
        assert.equal(service.logs().includes('wrong\\n'), false);
        await service.stop('worker');
    });
});

test('dovecot offers SCRAM, and has no secret for it',
     { skip: !root && 'needs root' }, async () => {
    const redis = await startRedis();
    const host = await startMailHost({ isHashed: true });
    const service = await startService({
        redis, roles: ['api', 'worker'],
        upstreams: [host.upstream('starttls', { messages_per_session: 1 })],
    });
    for (const to of ['first@inbox.test', 'second@inbox.test'])
        await service.emailWith(await service.send({ to }), 'sent');
    const log = host.maillog();
    assert.deepEqual(log.match(/sasl_method=[\w-]+/g),
                     ['sasl_method=PLAIN', 'sasl_method=PLAIN']);
    assert.equal(log.match(/SASL SCRAM-SHA-\d+ authentication failed/g).length,
                 2);
    assert.match(service.logs(), /upstream\.passed_by/);
    assert.doesNotMatch(service.logs(), /upstream\.alarm/);
    await service.stop('worker');
});

// Each smtpd of it salts the password in its own way.
describe('postfix with Cyrus SASL', { skip: !root && 'needs root' }, () => {
    for (const mechanisms of ['SCRAM-SHA-1 SCRAM-SHA-256 PLAIN',
                              'SCRAM-SHA-1 CRAM-MD5', 'CRAM-MD5', 'LOGIN'])
        test(`of ${mechanisms} the best is taken`, async () => {
            const redis = await startRedis();
            const host = await startMailHost({ mechanisms, sasl: 'cyrus' });
            const service = await startService({
                redis, roles: ['api', 'worker'],
                upstreams: [host.upstream('starttls', { max_sessions: 3 })],
            });
            const ids = await Promise.all(Array.from({ length: 20 }, () =>
                service.send({ to: 'cyrus@inbox.test' })));
            for (const id of ids)
                await service.emailWith(id, 'sent');
            const best = mechanisms.includes('256') ? 'SCRAM-SHA-256'
                                                    : mechanisms.split(' ')[0];
            const used = new Set(host.maillog().match(/sasl_method=[\w-]+/g));
            assert.deepEqual([...used], [`sasl_method=${best}`]);
            await service.stop('worker');
        });
});

describe('a certificate that does not fit', () => {
    test('gets no mail: unknown authority, or another name', async () => {
        const redis = await startRedis();
        const certs = await makeCerts();
        const key = fs.readFileSync(certs.key);
        for (const [name, certFile, ca] of [
            ['authority', certs.cert, undefined],
            ['name', certs.otherCert, certs.ca],
        ]) {
            const sink = await startSink({ key,
                                           cert: fs.readFileSync(certFile) });
            const service = await startService({
                redis, roles: ['api', 'worker'],
                upstreams: [sink.upstream({
                    tls: 'starttls', ...(ca && { tls_ca_file: ca }),
                })],
                config: { redis: { url: redis.url, prefix: `${name}:` } },
            });
            const id = await service.send({});
            await until('an attempt', () => sink.connections > 0);
            await until('an alarm',
                        () => /upstream\.alarm/.test(service.logs()));
            assert.equal(sink.mails.length, 0);
            assert.notEqual((await service.email(id)).status, 'bounced');
            await service.stop('worker');
        }
    });

    test('the days of its certificate run down between sessions', async () => {
        const redis = await startRedis();
        const certs = await makeCerts();
        const sink = await startSink({ key: fs.readFileSync(certs.key),
                                       cert: fs.readFileSync(certs.cert) });
        const service = await startService({
            redis, roles: ['api', 'worker'],
            upstreams: [sink.upstream({ tls: 'starttls',
                                        tls_ca_file: certs.ca })],
        });
        const left = async () => Number(
            /^posthaste_upstream_tls_expiry_seconds\{.*\} (\d+)$/m
                .exec(await service.metrics('worker'))?.[1]);
        const id = await service.send({});
        await service.emailWith(id, 'sent');
        const first = await until('it is told', left);
        assert.ok(first <= 2 * 24 * 3600);
        await until('it is less', async () => await left() < first);
        assert.equal(sink.connections, 1);
    });

    test('STARTTLS that is not offered gets no mail in the clear',
         async () => {
        const redis = await startRedis();
        const sink = await startSink();
        const service = await startService({
            redis, roles: ['api', 'worker'],
            upstreams: [sink.upstream({ tls: 'starttls' })],
        });
        await service.send({});
        await until('an attempt', () => sink.connections > 0);
        await until('an alarm', () => /upstream\.alarm/.test(service.logs()));
        assert.equal(sink.mails.length, 0);
    });
});
