// Runs beside others.
// What upstreams did with a mail, as callers see it: a failover, a refusal for
// now, a success over TLS with a login.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { makeCerts } from './harness/certs.mjs';
import { startRedis } from './harness/redis.mjs';
import { folder, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';

const PASSWORD = 'correct-horse-battery';
const SECRETS = [PASSWORD, Buffer.from(PASSWORD).toString('base64'),
                 Buffer.from(`\0app\0${PASSWORD}`).toString('base64')];

test('a failover, a 4xx and a success, without the login', async () => {
    const redis = await startRedis();
    const certs = await makeCerts();
    let refusals = 1;
    const first = await startSink({
        onRcpt() { throw reply(421, '4.3.2 closing'); },
    });
    const second = await startSink({
        cert: fs.readFileSync(certs.cert), key: fs.readFileSync(certs.key),
        users: { app: PASSWORD },
        onMail() {
            if (refusals-- > 0)
                throw reply(451, '4.3.0 not now');
        },
    });
    const passwordFile = path.join(folder('secret'), 'password');
    fs.writeFileSync(passwordFile, `${PASSWORD}\n`);
    const service = await startService({
        redis,
        upstreams: [
            first.upstream({ name: 'first', priority: 1 }),
            second.upstream({ name: 'second', priority: 2, tls: 'starttls',
                auth: 'plain', username: 'app', password_file: passwordFile,
                host: 'localhost', tls_ca_file: certs.ca }),
        ],
        config: { worker: { retry: ['1s'] } },
    });
    const id = await service.send({ to: 'ada@inbox.test', text: 'Body.' });
    await service.emailWith(id, 'sent', 30_000);
    const attempts = await until('all attempts are told', async () => {
        const answer = await service.call('GET', `/v1/emails/${id}/attempts`);
        assert.equal(answer.status, 200, answer.text);
        return answer.json.data.at(-1)?.outcome === 'sent' && answer.json.data;
    });
    for (const secret of SECRETS)
        assert.ok(!JSON.stringify(attempts).includes(secret));
    const last = attempts.at(-1);
    assert.equal(last.upstream, 'second');
    assert.equal(last.transcript, null);
    assert.equal(last.tls.version, 'TLSv1.3');
    const refused = attempts.find(({ code }) => code === 451);
    assert.equal(refused.outcome, 'deferred');
    assert.match(refused.transcript, /C: AUTH PLAIN\n.*C: \*{6}\n/);
    assert.match(refused.transcript, /S: 451 4\.3\.0 not now/);
    assert.equal(typeof refused.phases.tls_ms, 'number');
    assert.ok(refused.tls.certificate_subject);
    const passed = attempts.find(({ upstream }) => upstream === 'first');
    assert.match(passed.transcript, /S: 421 4\.3\.2 closing/);
    assert.match(refused.transcript, /C: \[\d+ bytes\]\n/);
    assert.doesNotMatch(JSON.stringify(attempts), /Body\./);
});
