// Runs beside others.
// Logins by OAuth tokens, as providers take them: XOAUTH2 by smtp-server, both
// mechanisms by Postfix with Dovecot.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { makeCerts } from './harness/certs.mjs';
import { startMailHost } from './harness/mailhost.mjs';
import { startRedis } from './harness/redis.mjs';
import { folder, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const USER = 'app@inbox.test';
const root = process.getuid() === 0;

// Issues a token that is good for so many seconds, and no longer.
const ISSUER = `#!/bin/sh -eu
test ! -e "$1/closed" || { echo "invalid_grant $(cat "$1/closed")" >&2; exit 1; }
n=$(ls "$1/issued" | wc -l)
token=ya29.$n-vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg
touch "$1/issued/$token"
echo '{"access_token":"'$token'","token_type":"Bearer","expires_in":'$2'}'
`;

class Issuer {
    dir = folder('issuer');

    constructor(life) {
        this.program = path.join(this.dir, 'token');
        this.life = life;
        fs.mkdirSync(path.join(this.dir, 'issued'));
        fs.writeFileSync(this.program, ISSUER, { mode: 0o755 });
    }

    upstream(more) {
        return { username: USER, auth: 'auto', messages_per_session: 1,
                 token_command: [this.program, this.dir, String(this.life)],
                 ...more };
    }

    issued() {
        return fs.readdirSync(path.join(this.dir, 'issued'));
    }

    takes(token) {
        const at = path.join(this.dir, 'issued', token);
        return fs.existsSync(at) &&
               Date.now() - fs.statSync(at).mtimeMs < this.life * 1000;
    }

    revoke() {
        for (const token of this.issued())
            fs.utimesSync(path.join(this.dir, 'issued', token), 1, 1);
    }

    // text: what the endpoint says; undefined: it is open again.
    close(text) {
        const at = path.join(this.dir, 'closed');
        if (text === undefined)
            fs.rmSync(at);
        else
            fs.writeFileSync(at, text);
    }
}

// Neither the log nor what callers see of the attempts has a token.
async function hides(service, ids, tokens) {
    let seen = service.logs();
    for (const id of ids)
        seen += (await service.call('GET', `/v1/emails/${id}/attempts`)).text +
                (await service.call('GET', `/v1/emails/${id}`)).text;
    for (const token of tokens) {
        assert.ok(!seen.includes(token.slice(0, 24)));
        assert.ok(!seen.includes(
            Buffer.from(token).toString('base64').slice(4, 24)));
    }
}

describe('XOAUTH2 by smtp-server', () => {
    let certs;
    let redis;

    before(async () => {
        certs = await makeCerts();
        redis = await startRedis();
    });

    async function open(prefix, onToken, upstream) {
        const logins = [];
        const sink = await startSink({
            cert: fs.readFileSync(certs.cert), key: fs.readFileSync(certs.key),
            onToken(auth) {
                const isGood = auth.username === USER &&
                               onToken(auth.accessToken);
                logins.push({ token: auth.accessToken, isGood });
                return isGood;
            },
        });
        const service = await startService({
            redis, upstreams: [sink.upstream({
                host: 'localhost', tls: 'starttls', tls_ca_file: certs.ca,
                ...upstream,
            })],
            config: { redis: { url: redis.url, prefix: `${prefix}:` } },
        });
        return { sink, service, logins };
    }

    async function sent(service, to) {
        const id = await service.send({ to });
        await service.emailWith(id, 'sent', 30_000);
        return id;
    }

    test('a command is run again before its token ends', async () => {
        const issuer = new Issuer(2);
        const { sink, service, logins } = await open(
            'life', (token) => issuer.takes(token), issuer.upstream());
        await sent(service, 'first@inbox.test');
        const used = issuer.issued().length;
        await until('three more tokens, with nothing to send',
                    () => issuer.issued().length >= used + 3);
        await sent(service, 'last@inbox.test');
        assert.deepEqual(logins.map(({ isGood }) => isGood), [true, true]);
        assert.notEqual(logins[0].token, logins[1].token);
        assert.equal(sink.mails[1].user, USER);
        assert.doesNotMatch(service.logs(), /upstream\.alarm/);
        await service.stop('worker');
    });

    test('a token that was revoked costs one more login, and no alarm',
         async () => {
        const issuer = new Issuer(3600);
        const { service, logins } = await open(
            'revoked', (token) => issuer.takes(token), issuer.upstream());
        const ids = [await sent(service, 'first@inbox.test')];
        issuer.revoke();
        ids.push(await sent(service, 'second@inbox.test'));
        assert.deepEqual(logins.map(({ isGood }) => isGood),
                         [true, false, true]);
        assert.equal(issuer.issued().length, 2);
        assert.doesNotMatch(service.logs(), /upstream\.alarm/);
        await hides(service, ids, issuer.issued());
        await service.stop('worker');
    });

    test('a file that is renewed', async () => {
        const at = path.join(folder('token'), 'token');
        const token = (n) => `EwBAA8l6BAAU${n}9chh8cJscQLmU+LSWpbnr0vmwwAAQ==`;
        let now = 1;
        const { service, logins } = await open(
            'file', (shown) => shown === token(now),
            { username: USER, auth: 'xoauth2', messages_per_session: 1,
              token_file: (fs.writeFileSync(at, `${token(1)}\n`), at) });
        const ids = [await sent(service, 'first@inbox.test')];
        now = 2;
        fs.writeFileSync(`${at}.new`, JSON.stringify(
            { access_token: token(2), expires_in: 3600 }));
        fs.renameSync(`${at}.new`, at);
        ids.push(await sent(service, 'second@inbox.test'));
        assert.deepEqual(logins.map(({ isGood }) => isGood),
                         [true, false, true]);
        assert.doesNotMatch(service.logs(), /upstream\.alarm/);
        await hides(service, ids, [token(1), token(2)]);
        await service.stop('worker');
    });

    test('without a token mail waits, and goes when there is one',
         async () => {
        const issuer = new Issuer(3600);
        issuer.close('ya29.secret-vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29t');
        const { service, logins } = await open(
            'closed', (token) => issuer.takes(token), issuer.upstream());
        const id = await service.send({ to: 'patient@inbox.test' });
        await until('an alarm', () => /upstream\.alarm/.test(service.logs()));
        assert.match(service.logs(), /upstream\.token_failed/);
        assert.match(service.logs(), /exited with 1: invalid_grant /);
        await until('an operator sees why', async () => /exited with 1/.test(
            (await service.call('GET', '/v1/upstreams')).text));
        await service.emailWith(id, 'queued');
        assert.equal(logins.length, 0);
        issuer.close();
        await service.emailWith(id, 'sent', 90_000);
        await hides(service, [id], [
            'ya29.secret-vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29t',
            ...issuer.issued(),
        ]);
        await service.stop('worker');
    });
});

describe('postfix and dovecot', { skip: !root && 'needs root' }, () => {
    const tokens = new Map([
        ['ya29.short-vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg', USER],
        [`eyJ0${'yJhbGciOiJ1'.repeat(700)}`, USER],
    ]);
    const [short, long] = tokens.keys();
    let host;
    let redis;

    before(async () => {
        redis = await startRedis();
        host = await startMailHost({
            mechanisms: 'plain scram-sha-256 xoauth2 oauthbearer', tokens });
    });

    async function open(prefix, token, more) {
        const at = path.join(folder('token'), 'token');
        fs.writeFileSync(at, token);
        return startService({
            redis, roles: ['api', 'worker'],
            upstreams: [host.upstream('starttls', { token_file: at, ...more })],
            config: { redis: { url: redis.url, prefix: `${prefix}:` } },
        });
    }

    for (const [auth, best] of [['auto', 'OAUTHBEARER'],
                                ['oauthbearer', 'OAUTHBEARER'],
                                ['xoauth2', 'XOAUTH2']])
        for (const token of [short, long])
            test(`${auth} with a token of ${token.length} bytes`, async () => {
                const service = await open(`${auth}-${token.length}`, token,
                                           { auth });
                const from = host.maillog().length;
                const id = await service.send({ to: 'oauth@inbox.test' });
                await service.emailWith(id, 'sent');
                const used = host.maillog().slice(from)
                    .match(/sasl_method=[\w-]+, sasl_username=\S+/g);
                assert.deepEqual(used, [
                    `sasl_method=${best}, sasl_username=${USER}`]);
                await service.stop('worker');
                await service.stop('api');
            });

    for (const auth of ['oauthbearer', 'xoauth2'])
        test(`${auth}, refused`, async () => {
            const token = 'ya29.other-vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg';
            const service = await open(`no-${auth}`, token, { auth });
            const id = await service.send({ to: 'patient@inbox.test' });
            await until('an alarm',
                        () => /upstream\.alarm/.test(service.logs()));
            assert.match(service.logs(), /535.*status \w+/);
            await service.emailWith(id, 'queued');
            await hides(service, [id], [token]);
            await service.stop('worker');
            await service.stop('api');
        });
});
