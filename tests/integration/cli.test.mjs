// The verbs of the command line: their help, their exit codes, and what they
// do to a running service.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { npm } from './harness/npm.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { folder, freePort, run } from './harness/scope.mjs';
import { BIN, startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const TOML = npm('smol-toml');

const VERBS = [
    'api', 'worker', 'hooks', 'dev', 'config check', 'config show',
    'keys create', 'keys list', 'keys revoke', 'keyring create', 'init',
    'send', 'emails show', 'emails events', 'emails cancel',
    'webhooks create', 'webhooks list', 'webhooks delete', 'inbox list',
    'inbox show', 'inbox wait', 'inbox clear', 'queue stats', 'live', 'ready',
    'version',
];

const OK = 0;
const USAGE = 2;
const NOT_FOUND = 3;
const AUTH = 4;
const UNREACHABLE = 5;
const CONFIG = 6;

async function exits(code, args, options) {
    const got = await run(BIN, args, options);
    assert.equal(got.code, code,
                 `${args.join(' ')}: ${got.stdout}${got.stderr}`);
    return got;
}

describe('help', () => {
    test('lists every verb', async () => {
        const { stdout } = await exits(OK, ['--help']);
        for (const verb of VERBS)
            assert.ok(stdout.split('\n').some((line) =>
                line.startsWith(`  ${verb} `)), verb);
    });

    for (const verb of VERBS)
        test(`of ${verb}`, async () => {
            const { stdout } = await exits(OK, [...verb.split(' '), '--help']);
            const lines = stdout.trimEnd().split('\n');
            assert.ok(lines.length <= 40, `${lines.length} lines`);
            assert.match(lines[0], /^[A-Z].*\.$/);
            assert.match(stdout, new RegExp(`^usage: posthaste ${verb}`, 'm'));
            assert.match(stdout, /^examples:\n  posthaste /m);
        });

    test('is near when a word is wrong', async () => {
        const verb = await exits(USAGE, ['kyes', 'create']);
        assert.match(verb.stderr, /did you mean keys/);
        const option = await exits(USAGE, ['version', '--jsn']);
        assert.match(option.stderr, /did you mean --json/);
    });
});

describe('configuration', () => {
    const file = (text) => {
        const name = path.join(folder('config'), 'posthaste.toml');
        fs.writeFileSync(name, text);
        return name;
    };

    test('a wrong one is told with line, column and the nearest key',
         async () => {
        const name = file('[api]\nlisten = ["127.0.0.1:8080"]\n\n' +
                          '[[upstream]]\nname = "main"\n' +
                          'host = "smtp.example.com"\nmax_session = 8\n' +
                          '[worker]\nlease = "soon"\n');
        const { stderr, stdout } = await exits(
            CONFIG, ['config', 'check', '--config', name]);
        const said = stderr + stdout;
        assert.match(said, /posthaste\.toml:7:1: .*max_session/);
        assert.match(said, /did you mean "max_sessions"/);
        assert.match(said, /posthaste\.toml:9:9: .*lease/);
        for (const role of ['api', 'worker', 'hooks'])
            await exits(CONFIG, [role, '--config', name]);
    });

    test('init writes one that is right, and TOML to others too', async () => {
        const dir = folder('init');
        await exits(OK, ['init', '--dir', dir]);
        const name = path.join(dir, 'posthaste.toml');
        const text = fs.readFileSync(name, 'utf8');
        TOML.parse(text);
        TOML.parse(text.replace(/^# ?(?=[a-z_]+ = |\[)/gm, ''));
        await exits(OK, ['config', 'check', '--config', name]);
        assert.equal(fs.statSync(path.join(dir, 'keyring')).mode & 0o077, 0);
        await exits(OK, ['init', '--dir', dir]); // never over what is there
        assert.equal(fs.readFileSync(name, 'utf8'), text);
    });

    test('the environment goes over the file, and show says so', async () => {
        const name = file('[api]\nlisten = ["127.0.0.1:8080"]\n');
        const { stdout } = await exits(
            OK, ['config', 'show', '--json', '--config', name],
            { env: { ...process.env, POSTHASTE_REDIS__PREFIX: 'env:' } });
        JSON.parse(stdout);
        assert.match(stdout, /"env:"/);
    });
});

describe('against a service', () => {
    let service;
    let sink;
    let env;

    before(async () => {
        const redis = await startRedis();
        sink = await startSink();
        service = await startService({ redis, upstreams: [sink.upstream()] });
        env = { ...service.env, POSTHASTE_URL: service.base,
                POSTHASTE_API_KEY: service.key };
    });

    const verb = async (...args) => JSON.parse((await exits(
        OK, [...args, '--json'], { env, cwd: service.dir })).stdout);
    const config = () => ['--config', service.config];

    test('send, emails show and events', async () => {
        const sent = await verb('send', '--from', 'app@sender.test', '--to',
                                'cli@inbox.test', '--subject', 'Hello',
                                '--text', 'Hello.');
        await sink.mailTo('cli@inbox.test');
        await service.emailWith(sent.id, 'sent');
        const shown = await verb('emails', 'show', sent.id);
        assert.equal(shown.status, 'sent');
        const events = await verb('emails', 'events', sent.id);
        assert.match(JSON.stringify(events), /email\.sent/);
        const late = await exits(1, ['emails', 'cancel', sent.id], { env });
        assert.match(late.stderr + late.stdout, /sent/);
    });

    test('webhooks create, list, delete', async () => {
        const receiver = await startReceiver();
        const made = await verb('webhooks', 'create', receiver.url);
        receiver.secret = made.signing_secret;
        const id = await service.send({});
        await receiver.event(id, 'email.sent');
        const list = await verb('webhooks', 'list');
        assert.ok(list.data.some((endpoint) => endpoint.id === made.id));
        await verb('webhooks', 'delete', made.id);
        const { data } = await verb('webhooks', 'list');
        assert.equal(data.some((endpoint) => endpoint.id === made.id), false);
    });

    test('keys create, list, revoke', async () => {
        const made = await verb('keys', 'create', ...config(), '--name', 'ci');
        const answer = await service.call('GET', '/v1/webhooks', undefined,
                                          { key: made.token });
        assert.equal(answer.status, 200);
        const list = JSON.stringify(await verb('keys', 'list', ...config()));
        assert.ok(list.includes(made.id));
        assert.equal(list.includes(made.token), false);
        await exits(OK, ['keys', 'revoke', made.id, ...config()], { env });
        await exits(NOT_FOUND, ['keys', 'revoke',
                                '01890000-0000-7000-8000-000000000000',
                                ...config()], { env });
    });

    test('queue stats, live and ready', async () => {
        await verb('queue', 'stats', ...config());
        for (const role of ['api', 'worker', 'hooks'])
            for (const name of ['live', 'ready'])
                await exits(OK, [name, '--role', role, ...config()], { env });
    });

    test('exit codes tell what went wrong', async () => {
        const id = '01890000-0000-7000-8000-000000000000';
        await exits(NOT_FOUND, ['emails', 'show', id], { env });
        await exits(AUTH, ['emails', 'show', id], {
            env: { ...env, POSTHASTE_API_KEY: 'ph_live_wrong' } });
        await exits(UNREACHABLE, ['emails', 'show', id], {
            env: { ...env,
                   POSTHASTE_URL: `http://127.0.0.1:${await freePort()}` } });
        await exits(USAGE, ['emails', 'show'], { env });
    });
});
