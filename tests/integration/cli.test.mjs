// Runs beside others.
// The verbs, from outside: what they print, what they ask, how they end.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { ROOT } from './harness/npm.mjs';
import { Program, atEnd, folder, freePort, must, run } from './harness/scope.mjs';
import { BIN } from './harness/service.mjs';

const ID = '019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11';
const dir = folder('cli');

// Without what the tester's own shell may have set.
const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) =>
        !name.startsWith('POSTHASTE_')));

const posthaste = (args, { env = {}, ...options } = {}) =>
    run(BIN, args, { cwd: dir, env: { ...clean, ...env }, ...options });

describe('every verb', () => {
    let verbs;

    before(async () => {
        const { code, stdout } = await posthaste(['--help']);
        assert.equal(code, 0);
        verbs = [...stdout.matchAll(/^ {2}([a-z-]+(?: [a-z-]+){0,2}) {2,}/gm)]
            .map((match) => match[1]);
    });

    test('of this issue is there', () => {
        for (const verb of ['config check', 'config show', 'keyring create',
                            'keyring create-worker', 'keyring show-worker',
                            'init', 'send', 'emails show', 'emails events',
                            'emails cancel', 'emails retry', 'emails list',
                            'events', 'webhooks create',
                            'webhooks list', 'webhooks delete',
                            'suppressions list', 'suppressions add',
                            'suppressions remove', 'templates list',
                            'templates show', 'templates render',
                            'templates publish', 'templates import',
                            'templates export', 'domains add',
                            'domains list', 'domains show', 'domains check',
                            'domains records', 'domains rotate',
                            'domains remove', 'inbox list',
                            'inbox show', 'inbox wait', 'inbox clear', 'live',
                            'ready', 'version'])
            assert.ok(verbs.includes(verb), verb);
    });

    test('has a help of at most 40 lines, with two examples', async () => {
        for (const verb of verbs) {
            const { code, stdout } =
                await posthaste([...verb.split(' '), '--help']);
            assert.equal(code, 0, verb);
            assert.ok(stdout.split('\n').length <= 41, verb);
            assert.match(stdout, new RegExp(`^usage: posthaste ${verb}`, 'm'));
            const examples = stdout.match(/^ {2}posthaste /gm) ?? [];
            assert.equal(examples.length, 2, verb);
        }
    });

    test('refuses an option that it does not have', async () => {
        for (const verb of verbs) {
            const { code, stderr } =
                await posthaste([...verb.split(' '), '--jsno']);
            assert.equal(code, 2, verb);
            assert.match(stderr, /unknown option --jsno/);
        }
        const { stderr } = await posthaste(['domains', 'add', '-a.example']);
        assert.match(stderr, /unknown option -a\n/);
    });

    test('are listed by their first word', async () => {
        const firsts = new Set(verbs.filter((verb) => verb.includes(' '))
            .map((verb) => verb.split(' ')[0]));
        for (const first of firsts) {
            const lines = verbs.filter((verb) => verb.startsWith(`${first} `))
                .map((verb) => `  posthaste ${verb}\n`).join('');
            for (const more of [[], ['--help']]) {
                const { code, stderr } = await posthaste([first, ...more]);
                assert.equal(code, 2, first);
                assert.equal(stderr,
                             `posthaste: unknown verb ${first}\n${lines}`);
            }
        }
    });
});

test('an unknown verb is told its nearest', async () => {
    const { code, stderr } = await posthaste(['confg', 'check']);
    assert.equal(code, 2);
    assert.match(stderr, /did you mean config check\?/);
});

describe('init', () => {
    const place = path.join(dir, 'init');
    const config = path.join(place, 'posthaste.toml');

    test('writes what config check finds good', async () => {
        const { code, stdout } = await posthaste(
            ['init', '--dir', place, '--host', 'smtp.example.com']);
        assert.equal(code, 0);
        assert.equal(JSON.parse(stdout).made, 4);
        assert.equal(
            fs.statSync(path.join(place, 'keyring')).mode & 0o777, 0o600);
        const check = await posthaste(['config', 'check', '--config', config]);
        assert.equal(check.code, 0, check.stderr);
        assert.deepEqual(JSON.parse(check.stdout), {
            object: 'config_check', file: config, valid: true, problems: '',
            upstreams: 1, routes: 1,
        });
    });

    test('overwrites nothing', async () => {
        const before = fs.readFileSync(path.join(place, 'keyring'));
        const { code, stdout } = await posthaste(['init', '--dir', place]);
        assert.equal(code, 0);
        assert.equal(JSON.parse(stdout).made, 0);
        assert.deepEqual(fs.readFileSync(path.join(place, 'keyring')), before);
    });

    test('writes a redis.conf that keeps what it is given', async () => {
        const redis = new Program('redis-server', 'redis-server',
                                  [path.join(place, 'redis.conf')]);
        await redis.says(/eady to accept connections/);
        const shown = await must('redis-cli', [
            '-s', path.join(place, 'redis.sock'), 'config', 'get', 'append*',
            'maxmemory-policy']);
        await redis.end('SIGTERM');
        assert.match(shown, /appendfsync\nalways\n/);
        assert.match(shown, /appendonly\nyes\n/);
        assert.match(shown, /maxmemory-policy\nnoeviction\n/);
    });

    test('makes nothing of what would be no configuration', async () => {
        const bad = path.join(dir, 'bad-init');
        for (const [args, problem] of [
            [['--host', 'smtp.example.com', '--tls', 'nonsense'],
             /tls: must be one of/],
            [['--host', 'smtp example.com'], /host: must be a host name/],
        ]) {
            const { code, stderr } = await posthaste(
                ['init', '--dir', bad, ...args]);
            assert.equal(code, 2);
            assert.match(stderr, problem);
            assert.deepEqual(fs.readdirSync(bad), []);
        }
    });

    test('wants username and password file together', async () => {
        const { code, stderr } = await posthaste(
            ['init', '--host', 'h', '--username', 'u']);
        assert.equal(code, 2);
        assert.match(stderr, /go together/);
    });
});

describe('config', () => {
    const file = path.join(dir, 'config.toml');

    test('check tells place, nearest name and line, and ends with 6',
         async () => {
             fs.writeFileSync(file, '[api]\nmax_bdoy = "1MiB"\n');
             const { code, stdout, stderr } =
                 await posthaste(['config', 'check', '--config', file]);
             assert.equal(code, 6);
             assert.equal(stderr, `${file}:2:1: unknown key "max_bdoy" in ` +
                 '[api]; did you mean "max_body"?\nmax_bdoy = "1MiB"\n^\n');
             assert.equal(JSON.parse(stdout).valid, false);
         });

    test('check reads what the file names', async () => {
        fs.writeFileSync(file, '[secrets]\nkeyring_file = "/nonexistent"\n');
        const { code, stderr } =
            await posthaste(['config', 'check', '--config', file]);
        assert.equal(code, 6);
        assert.equal(stderr, `${file}:2:1: /nonexistent: No such file or ` +
            'directory\nkeyring_file = "/nonexistent"\n^\n');
    });

    test('check and worker say which upstream has no authorities', async () => {
        const ca = path.join(dir, 'no-ca.pem');
        fs.writeFileSync(ca, 'no certificate\n');
        fs.writeFileSync(file, '[[upstream]]\nname = "main"\n' +
            `host = "smtp.test"\ntls_ca_file = "${ca}"\n`);
        for (const verb of [['config', 'check'], ['worker']]) {
            const { code, stderr } =
                await posthaste([...verb, '--config', file]);
            assert.equal(code, 6, stderr);
            assert.match(stderr, /upstream main: .*no-ca\.pem: no authorities/);
            assert.ok(stderr.includes(`${file}:4:1: upstream main: ${ca}`));
        }
    });

    test('check and worker say where a file was named that will not do',
         async () => {
             const pem = path.join(dir, 'half.pem');
             await must('openssl', ['req', '-x509', '-newkey', 'ed25519',
                                    '-nodes', '-subj', '/CN=client',
                                    '-keyout', `${pem}.key`, '-out', pem]);
             const upstream = (name, ...lines) => ['[[upstream]]',
                 `name = "${name}"`, 'host = "smtp.test"', ...lines].join('\n');
             const cases = [
                 [[upstream('a'), upstream('b', 'tls_cert_file = "/none"')],
                  ':7:1: upstream b: /none: no certificate'],
                 [[upstream('a', `tls_cert_file = "${pem}"`)],
                  `:4:1: upstream a: ${pem}: no private key for`],
                 [[upstream('a', `tls_cert_file = "${pem}"`,
                            `tls_key_file = "${file}"`)],
                  `:5:1: upstream a: ${file}: no private key for`],
                 [['[secrets]\nworker_key_file = "/none"'],
                  ':2:1: /none: No such file or directory'],
             ];
             for (const [tables, told] of cases)
                 for (const verb of [['config', 'check'], ['worker']]) {
                     fs.writeFileSync(file, tables.join('\n'));
                     const { code, stderr } =
                         await posthaste([...verb, '--config', file]);
                     assert.equal(code, 6, stderr);
                     assert.ok(stderr.includes(`${file}${told}`), stderr);
                 }
             const { stderr } = await posthaste(
                 ['config', 'check', '--config', file],
                 { env: { POSTHASTE_SECRETS__WORKER_KEY_FILE: '/nil' } });
             assert.equal(stderr, 'POSTHASTE_SECRETS__WORKER_KEY_FILE: /nil: ' +
                 'No such file or directory\n');
         });

    test('check finds a public half that no worker could open', async () => {
        const keys = ['a', 'b'].map((name) => path.join(dir, `check-${name}`));
        const halves = await Promise.all(keys.map(async (key) =>
            (await posthaste(['keyring', 'create-worker', key])).stdout.trim()));
        const check = async (half) => {
            fs.writeFileSync(file, `[secrets]\nworker_key_file = "${keys[0]}"` +
                `\nworker_public_key = "${half}"\n`);
            return posthaste(['config', 'check', '--config', file]);
        };
        assert.equal((await check(halves[0])).code, 0);
        const { code, stderr } = await check(halves[1]);
        assert.equal(code, 6);
        assert.match(stderr, /check-a: holds no private half of /);
    });

    test('show says who set what, and no secret', async () => {
        fs.writeFileSync(file, '[limits]\nrate = "5/s"\n');
        const { code, stdout } = await posthaste(
            ['config', 'show', '--config', file],
            { env: { POSTHASTE_REDIS__PASSWORD: 'hunter2',
                     POSTHASTE_API__MAX_BODY: '1MiB' } });
        assert.equal(code, 0);
        assert.doesNotMatch(stdout, /hunter2/);
        const tables = Object.fromEntries(
            JSON.parse(stdout).tables.map(({ table, keys }) => [table, keys]));
        assert.deepEqual(tables.limits.rate,
                         { value: '5/s', source: `${file}:2` });
        assert.deepEqual(tables.api.max_body,
                         { value: '1MiB', source: 'POSTHASTE_API__MAX_BODY' });
        assert.deepEqual(tables.log.level, { value: 'info', source: 'default' });
    });
});

test('dev says that its folder is none', async () => {
    const file = path.join(dir, 'no-folder');
    fs.writeFileSync(file, '');
    const { code, stderr } = await posthaste(['dev', '--dir', file]);
    assert.equal(code, 1);
    assert.match(stderr, /no-folder\/lock: Not a directory/);
});

test('deploy/posthaste.toml explains every key of this build', async () => {
    const { code, stdout } = await posthaste(['config', 'docs']);
    assert.equal(code, 0);
    assert.equal(stdout, fs.readFileSync(
        path.join(ROOT, 'deploy/posthaste.toml'), 'utf8'),
        'write it anew: posthaste config docs > deploy/posthaste.toml');
});

test('keyring create makes a private file, once', async () => {
    const file = path.join(dir, 'a-keyring');
    assert.equal((await posthaste(['keyring', 'create', file])).code, 0);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    assert.match(fs.readFileSync(file, 'utf8'),
                 /^k[0-9a-f]{8} [A-Za-z0-9+/]{43}=$/m);
    const again = await posthaste(['keyring', 'create', file]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /File exists/);
});

test('keyring create-worker prints the public half alone, once', async () => {
    const file = path.join(dir, 'a-worker-key');
    const made = await posthaste(['keyring', 'create-worker', file]);
    assert.equal(made.code, 0);
    assert.match(made.stdout, /^w[0-9a-f]{8}\.[A-Za-z0-9_-]{43}\n$/);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    assert.match(fs.readFileSync(file, 'utf8'),
                 /^w[0-9a-f]{8} [A-Za-z0-9+/]{43}=$/m);
    const again = await posthaste(['keyring', 'create-worker', file]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /File exists/);
    const shown = await posthaste(['keyring', 'show-worker', file]);
    assert.equal(shown.stdout, made.stdout);
});

// A server that answers what the test says and keeps what it was asked.
async function startServer() {
    const server = { asked: [], status: 200, answer: {} };
    const node = http.createServer(async (request, response) => {
        const chunks = [];
        for await (const chunk of request)
            chunks.push(chunk);
        const body = Buffer.concat(chunks).toString();
        server.asked.push({ method: request.method, url: request.url,
                            headers: request.headers,
                            body: body === '' ? undefined : JSON.parse(body) });
        response.writeHead(server.status,
                           { 'content-type': 'application/json' });
        // In two pieces and without a length: a chunked answer.
        const text = JSON.stringify(server.answer);
        response.write(text.slice(0, 1));
        response.end(text.slice(1));
    });
    await new Promise((resolve) => node.listen(0, '127.0.0.1', resolve));
    atEnd(() => new Promise((resolve) => node.close(resolve)));
    server.url = `http://127.0.0.1:${node.address().port}`;
    server.next = (answer, status = 200) => {
        server.asked.length = 0;
        Object.assign(server, { answer, status });
    };
    return server;
}

describe('verbs that ask a server', () => {
    let server;
    let env;

    before(async () => {
        server = await startServer();
        env = { POSTHASTE_URL: server.url, POSTHASTE_API_KEY: 'ph_live_x',
                POSTHASTE_INBOX_URL: server.url };
    });

    test('send asks as the API wants to be asked', async () => {
        server.next({ id: ID, status: 'queued' });
        const { code, stdout } = await posthaste([
            'send', '--from', 'App <app@example.com>', '--to',
            'ada@example.net, bob@example.net', '--bcc', 'c@example.net',
            '--subject', 'Hällo', '--text-file', '-', '--html', '<p>"x"',
            '--class', 'verification', '--expires-in', '60'],
            { env, input: 'line 1\nline 2\n' });
        assert.equal(code, 0);
        assert.deepEqual(JSON.parse(stdout), { id: ID, status: 'queued' });
        const [asked] = server.asked;
        assert.equal(asked.method, 'POST');
        assert.equal(asked.url, '/v1/emails');
        assert.equal(asked.headers.authorization, 'Bearer ph_live_x');
        assert.match(asked.headers['idempotency-key'], /^[0-9a-f-]{36}$/);
        assert.deepEqual(asked.body, {
            from: 'App <app@example.com>',
            to: ['ada@example.net', 'bob@example.net'],
            bcc: ['c@example.net'], subject: 'Hällo', class: 'verification',
            expires_in: 60, text: 'line 1\nline 2\n', html: '<p>"x"',
        });
    });

    test('send - passes a whole request on', async () => {
        server.next({ id: ID, status: 'queued' });
        const { code } = await posthaste(['send', '-'],
                                         { env, input: '{"to":"x"}' });
        assert.equal(code, 0);
        assert.deepEqual(server.asked[0].body, { to: 'x' });
    });

    test('the key may stand in a file', async () => {
        const file = path.join(dir, 'key');
        fs.writeFileSync(file, 'ph_live_file\n');
        server.next({ object: 'list', data: [] });
        const { code } = await posthaste(
            ['webhooks', 'list', '--key-file', file], { env });
        assert.equal(code, 0);
        assert.equal(server.asked[0].headers.authorization,
                     'Bearer ph_live_file');
    });

    test('emails show, events, cancel and retry', async () => {
        server.next({ object: 'email', id: ID });
        for (const [verb, method, url] of [
                 ['show', 'GET', `/v1/emails/${ID}`],
                 ['events', 'GET', `/v1/emails/${ID}/events`],
                 ['cancel', 'POST', `/v1/emails/${ID}/cancel`],
                 ['retry', 'POST', `/v1/emails/${ID}/retry`]]) {
            server.asked.length = 0;
            const { code, stdout } =
                await posthaste(['emails', verb, ID], { env });
            assert.equal(code, 0);
            assert.equal(JSON.parse(stdout).id, ID);
            assert.equal(server.asked[0].method, method);
            assert.equal(server.asked[0].url, url);
        }
    });

    test('emails reschedule', async () => {
        server.next({ object: 'email', id: ID });
        const { code } = await posthaste(
            ['emails', 'reschedule', ID, 'in 10 minutes'], { env });
        assert.equal(code, 0);
        assert.equal(server.asked[0].method, 'PATCH');
        assert.equal(server.asked[0].url, `/v1/emails/${ID}`);
        assert.deepEqual(server.asked[0].body,
                         { scheduled_at: 'in 10 minutes' });
        const none = await posthaste(['emails', 'reschedule', ID], { env });
        assert.equal(none.code, 2);
    });

    test('emails list passes its filters on', async () => {
        const page = { object: 'list', has_more: false, data: [] };
        server.next(page);
        const { code, stdout } = await posthaste(
            ['emails', 'list', '--status', 'sent', '--to', 'a+b@example.net',
             '--tag', 'kind:order', '--since', '2026-11-24T12:00:00Z',
             '--limit', '5'], { env });
        assert.equal(code, 0);
        assert.deepEqual(JSON.parse(stdout), page);
        assert.equal(server.asked[0].method, 'GET');
        const { pathname, searchParams } =
            new URL(server.asked[0].url, 'http://x');
        assert.equal(pathname, '/v1/emails');
        assert.deepEqual(Object.fromEntries(searchParams), {
            limit: '5', status: 'sent', to: 'a+b@example.net',
            tag: 'kind:order', since: '2026-11-24T12:00:00Z',
        });
        const bad = await posthaste(['emails', 'list', 'x'], { env });
        assert.equal(bad.code, 2);
    });

    test('events shows one page', async () => {
        const page = { object: 'list', has_more: true, data: [{ id: 'msg_1' }],
                       next: 'behind' };
        server.next(page);
        const { code, stdout } = await posthaste(
            ['events', '--after', 'here', '--limit', '1'], { env });
        assert.equal(code, 0);
        assert.deepEqual(JSON.parse(stdout), page);
        assert.equal(server.asked[0].url, '/v1/events?limit=1&after=here');
    });

    test('events --follow goes on, an event a line, and says where it ended',
         async () => {
        const pages = [
            { has_more: true, data: [{ id: 'msg_1' }, { id: 'msg_2' }],
              next: 'two' },
            { has_more: false, data: [{ id: 'msg_3' }], next: 'three' },
        ];
        const asked = [];
        const stub = http.createServer((request, response) => {
            asked.push(request.url);
            const page = pages.shift();
            response.writeHead(page ? 200 : 503,
                               { 'content-type': 'application/json' });
            response.end(JSON.stringify(page ?? { message: 'away' }));
        });
        await new Promise((done) => stub.listen(0, '127.0.0.1', done));
        const { code, stdout, stderr } = await posthaste(
            ['events', '--follow', '--url',
             `http://127.0.0.1:${stub.address().port}`],
            { env: { POSTHASTE_API_KEY: 'ph_live_x' } });
        stub.close();
        assert.equal(code, 1);
        assert.deepEqual(stdout.trim().split('\n').map((line) =>
            JSON.parse(line).id), ['msg_1', 'msg_2', 'msg_3']);
        assert.deepEqual(asked, ['/v1/events',
                                 '/v1/events?limit=100&after=two',
                                 '/v1/events?limit=100&after=three']);
        assert.match(stderr, /go on with --after three/);
    });

    test('webhooks create and delete', async () => {
        server.next({ object: 'webhook', id: ID, signing_secret: 'whsec_x' });
        const made = await posthaste(
            ['webhooks', 'create', 'https://example.com/hook', '--events',
             'email.sent, email.bounced'], { env });
        assert.equal(made.code, 0);
        assert.equal(JSON.parse(made.stdout).signing_secret, 'whsec_x');
        assert.deepEqual(server.asked[0].body, {
            endpoint: 'https://example.com/hook',
            events: ['email.sent', 'email.bounced'],
        });
        const gone = await posthaste(['webhooks', 'delete', ID, '--yes'],
                                     { env });
        assert.equal(gone.code, 0);
        assert.equal(server.asked[1].method, 'DELETE');
        assert.equal(server.asked[1].url, `/v1/webhooks/${ID}`);
    });

    test('inbox wait --code prints the code and nothing else', async () => {
        server.next({ id: 1, code: '481902', link: '' });
        const { code, stdout } = await posthaste(
            ['inbox', 'wait', '--to', 'a+b@example.net', '--code',
             '--timeout', '3'], { env });
        assert.equal(code, 0);
        assert.equal(stdout, '481902\n');
        assert.equal(server.asked[0].url,
                     '/inbox/wait?timeout=3&to=a%2Bb%40example.net&code=1');
        assert.equal(server.asked[0].headers.authorization, undefined);
    });

    test('inbox show --raw prints the mail byte by byte', async () => {
        const raw = 'Subject: x\r\n\r\n\u001b[31m\r\n';
        server.next({ id: 3, raw });
        const { code, stdout } =
            await posthaste(['inbox', 'show', '3', '--raw'], { env });
        assert.equal(code, 0);
        assert.equal(stdout, raw);
        assert.equal(server.asked[0].url, '/inbox/3');
    });

    test('inbox list and clear', async () => {
        server.next({ object: 'list', data: [] });
        await posthaste(['inbox', 'list', '--to', 'a@b'], { env });
        assert.equal(server.asked[0].url, '/inbox?to=a%40b');
        server.next({ object: 'inbox', deleted: 2 });
        const { code } = await posthaste(['inbox', 'clear'], { env });
        assert.equal(code, 0);
        assert.equal(server.asked[0].method, 'DELETE');
    });

    // As on a terminal: `script` (bsdutils) lends one.
    const onTerminal = (args, input) => run(
        'script', ['-qec', [BIN, ...args].join(' '), '/dev/null'],
        { cwd: dir, env: { ...clean, ...env }, input });
    const shown = async (args) => {
        const { code, stdout } = await onTerminal(args);
        assert.equal(code, 0, stdout);
        return stdout.replaceAll('\r\n', '\n');
    };

    test('what cannot be undone is asked for, or wants --yes', async () => {
        server.next({ object: 'webhook', id: ID, deleted: true });
        const refused = await posthaste(['webhooks', 'delete', ID], { env });
        assert.equal(refused.code, 2);
        assert.equal(refused.stderr,
                     'posthaste webhooks delete: an endpoint, and what waits ' +
                     'for it, is gone for good; say --yes\n');
        const no = await onTerminal(['webhooks', 'delete', ID], 'n\n');
        assert.equal(no.code, 1);
        assert.match(no.stdout, /gone for good\. Go on\? \[y\/N\]/);
        assert.match(no.stdout, /nothing was done/);
        assert.equal(server.asked.length, 0);
        const yes = await onTerminal(['webhooks', 'delete', ID], 'y\n');
        assert.equal(yes.code, 0, yes.stdout);
        assert.equal(server.asked[0].method, 'DELETE');
        const { stdout } = await posthaste(['webhooks', 'delete', '--help']);
        assert.match(stdout, /--yes +without asking/);
    });

    test('events shows what each is of', async () => {
        const at = '2026-11-24T12:00:00.000Z';
        server.next({ object: 'list', has_more: false, next: '', data: [
            { type: 'email.sent', created_at: at, data: {
                email_id: 'mail-1', recipient: 'ada@a.test', sequence: 2,
                id: 'never' } },
            { type: 'suppression.added', created_at: at, data: {
                id: 'entry-1', email: 'bob@b.test' } },
            { type: 'domain.created', created_at: at, data: {
                id: 'domain-1', name: 'c.test' } }] });
        const lines = (await shown(['events'])).trim().split('\n').map((line) =>
            line.trim().split(/ {2,}/));
        assert.deepEqual(lines.map((line) => line.slice(1)), [
            ['event', 'id', 'sequence', 'of'],
            ['email.sent', 'mail-1', '2', 'ada@a.test'],
            ['suppression.added', 'entry-1', 'bob@b.test'],
            ['domain.created', 'domain-1', 'c.test']]);
    });

    test('on a terminal text is shown, and no mail steers it', async () => {
        server.next({ id: ID, subject: 'a\u001b[2Jb\u009bc', cc: [],
                      html: null, text: 'one\n\n\u001b[31mtwo\n',
                      recipients: [{ address: 'ada@example.net', code: 250 },
                                   { address: 'bob@example.net' }] });
        assert.equal(await shown(['emails', 'show', ID]),
                     `id: ${ID}\nsubject: a?[2Jb?c\ntext:\n  one\n  \n` +
                     '  ?[31mtwo\nrecipients:\n  address: ada@example.net\n' +
                     '  code: 250\n\n  address: bob@example.net\n');
        server.next({ id: 1, from: 'App <app@example.com>',
                      to: ['ada@example.net'], subject: '\u001b]0;x\u0007',
                      text: 'line\r\n\u001b[31m\n', code: '481902' });
        assert.equal(await shown(['inbox', 'show', 'latest']),
                     'From:    App <app@example.com>\n' +
                     'To:      ada@example.net\nSubject: ?]0;x?\n' +
                     'Code:    481902\n\nline\n?[31m\n');
    });

    test('lists are tables on a terminal', async () => {
        server.next({ data: [
            { id: ID, status: 'enabled', endpoint: 'https://a.test/é',
              events: ['email.sent', 'email.bounced'] },
            { id: ID, status: 'disabled', endpoint: 'https://b.test/',
              events: ['*'] }] });
        assert.equal(await shown(['webhooks', 'list']),
                     `id${' '.repeat(36)}status    endpoint          events\n` +
                     `${ID}  enabled   https://a.test/é  ` +
                     'email.sent, email.bounced\n' +
                     `${ID}  disabled  https://b.test/   *\n`);
        server.next({ data: [] });
        assert.equal(await shown(['webhooks', 'list']), 'none\n');
    });

    test('suppressions are listed, added and removed', async () => {
        server.next({ data: [
            { id: ID, email: 'ada@a.test', origin: 'bounce',
              expires_at: 'then', reason: '550/5.1.1' }] });
        assert.equal(await shown(['suppressions', 'list', '--origin', 'bounce']),
                     `id${' '.repeat(36)}email       origin  until  reason\n` +
                     `${ID}  ada@a.test  bounce  then   550/5.1.1\n`);
        assert.equal(server.asked.at(-1).url,
                     '/v1/suppressions?limit=20&origin=bounce');
        server.next({ data: [{ id: ID }] });
        assert.equal(await shown(['suppressions', 'add', 'a@a.test',
                                  'b@a.test']), `id\n${ID}\n`);
        assert.deepEqual(server.asked.at(-1).body,
                         { emails: ['a@a.test', 'b@a.test'],
                           origin: 'manual' });
        server.next({ data: [] });
        assert.equal(await shown(['suppressions', 'remove', 'a@a.test']),
                     'none\n');
    });

    test('a refusal names every fault; the exit code fits', async () => {
        for (const [status, exit] of [[401, 4], [403, 4], [404, 3], [408, 7],
                                      [409, 1], [422, 1], [429, 1], [503, 1]]) {
            server.next({ statusCode: status, name: 'x', message: 'No.\u001b',
                          errors: [{ pointer: '/to/0', message: 'is bad' }] },
                        status);
            const { code, stdout, stderr } =
                await posthaste(['emails', 'show', ID], { env });
            assert.equal(code, exit, String(status));
            assert.equal(stdout, '');
            assert.equal(stderr, 'posthaste emails show: the server answered ' +
                                 `${status}: No.?\n  /to/0 is bad\n`);
        }
    });

    test('without a key nothing is asked', async () => {
        server.next({});
        const { code, stderr } = await posthaste(
            ['emails', 'show', ID], { env: { POSTHASTE_URL: server.url } });
        assert.equal(code, 4);
        assert.match(stderr, /POSTHASTE_API_KEY/);
        assert.equal(server.asked.length, 0);
    });

    test('what is no id is not asked for', async () => {
        server.next({});
        for (const args of [['emails', 'show', '../keys'], ['emails', 'show'],
                            ['webhooks', 'delete', '--yes', 'x'],
                            ['inbox', 'show', 'x/y'], ['send', 'x']])
            assert.equal((await posthaste(args, { env })).code, 2);
        assert.equal(server.asked.length, 0);
    });
});

test('nobody there: 5, and what to do', async () => {
    const port = await freePort();
    const { code, stderr } = await posthaste(
        ['emails', 'show', ID],
        { env: { POSTHASTE_URL: `http://127.0.0.1:${port}`,
                 POSTHASTE_API_KEY: 'k' } });
    assert.equal(code, 5);
    assert.match(stderr, /cannot connect: Connection refused; is the server/);
});

// What a proxy or a dying server may leave of an answer.
test('an answer that was cut is no answer: 5', async () => {
    const CUT = {
        'content-length': 'Content-Length: 20\r\n\r\n{"ok":',
        'a missing last chunk': 'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n',
        'a chunk too short': 'Transfer-Encoding: chunked\r\n\r\n20\r\n{}\r\n0\r\n\r\n',
        'a size that wraps': 'Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n0\r\n\r\n',
        'a size that is none': 'Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n',
    };
    for (const [name, rest] of Object.entries(CUT)) {
        const server = net.createServer((socket) => {
            socket.on('error', () => {});
            socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\n${rest}`));
        });
        await new Promise((done) => server.listen(0, '127.0.0.1', done));
        const { code, stdout, stderr } = await posthaste(
            ['emails', 'show', ID, '--url',
             `http://127.0.0.1:${server.address().port}`],
            { env: { POSTHASTE_API_KEY: 'ph_live_x' } });
        server.close();
        assert.equal(code, 5, `${name}: ${stdout}${stderr}`);
        assert.equal(stdout, '', name);
        assert.match(stderr, /cut short/, name);
    }
});

test('a server may listen on a Unix socket', async () => {
    const socket = path.join(dir, 'api.sock');
    const node = http.createServer((request, response) =>
        response.end(`{"id":"${ID}"}`));
    await new Promise((resolve) => node.listen(socket, resolve));
    atEnd(() => new Promise((resolve) => node.close(resolve)));
    const { code, stdout } = await posthaste(
        ['emails', 'show', ID, '--url', `unix:${socket}`],
        { env: { POSTHASTE_API_KEY: 'k' } });
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout).id, ID);
});

test('live and ready ask the admin listener of the role', async () => {
    const server = await startServer();
    const port = new URL(server.url).port;
    const env = { POSTHASTE_WORKER__ADMIN_LISTEN: `*:${port}` };
    server.next({ status: 'ok', role: 'worker' });
    const live = await posthaste(['live', '--role', 'worker'], { env });
    assert.equal(live.code, 0, live.stderr);
    assert.equal(server.asked[0].url, '/livez');
    server.next({ status: 'not_ready',
                  children: [{ ready: false, reason: 'redis: gone' },
                             { ready: false, reason: 'redis: gone' }] }, 503);
    const ready = await posthaste(['ready', '--role', 'worker'], { env });
    assert.equal(ready.code, 1);
    assert.equal(server.asked[0].url, '/readyz');
    assert.equal(ready.stderr,
                 'posthaste ready: answered 503\n  redis: gone\n');
    assert.equal((await posthaste(['live', '--role', 'x'])).code, 2);
});
