// Runs beside others.
// How a process comes to be, lives on with little, and ends.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Program, folder, freePort, must, until } from './harness/scope.mjs';
import { startRedis } from './harness/redis.mjs';
import { BIN, startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const ROLES = ['api', 'worker', 'hooks'];
// 330 KiB/s.
const SLOW_PIECE = 64 << 10;
const SLOW_PIECE_MS = 190;
const UPSTREAM = { name: 'nobody', host: '127.0.0.1', port: 9, tls: 'off' };

let redis;

before(async () => {
    redis = await startRedis();
});

// Without any role started.
const newService = () => startService({
    redis, upstreams: [UPSTREAM], roles: [], withKey: false,
});

const isLive = async (service, role) =>
    (await fetch(`http://${service.admin[role]}/livez`)).ok;

const descriptor = (pid, fd) => fs.readlinkSync(`/proc/${pid}/fd/${fd}`);

describe('a role that is started', () => {
    // What it opened first would take their places, and log lines would go to
    // a peer.
    test('with its standard descriptors closed fills their places',
         async () => {
        const service = await newService();
        for (const role of ROLES) {
            const program = new Program(`closed ${role}`, 'sh',
                ['-c', 'exec "$0" "$@" <&- >&- 2>&-', BIN, role,
                 '--config', service.config, '--children', '1'],
                { env: service.env, cwd: service.dir });
            service.programs[role] = program;
            await until(`${role} is live`, () => isLive(service, role));
            for (const pid of [program.pid, ...service.childrenOf(role)])
                for (const fd of [0, 1, 2])
                    assert.equal(descriptor(pid, fd), '/dev/null',
                                 `${role} ${pid} ${fd}`);
            assert.deepEqual(await program.end(), { code: 0, signal: null });
        }
    });
});

// The descriptors that a process may have; those it has stay.
const limitDescriptors = (pid, soft) =>
    must('prlimit', [`--pid=${pid}`, `--nofile=${soft}:`]);

describe('a lack of descriptors', () => {
    test('in a worker is no attempt at a mail', async () => {
        const sink = await startSink();
        const service = await startService({
            redis, upstreams: [sink.upstream({ name: 'up' })],
            config: { redis: { prefix: 'lack:' } },
            roles: ['api', 'worker'],
        });
        const [worker] = service.childrenOf('worker');
        await limitDescriptors(worker, 3);
        const id = await service.send();
        await service.programs.worker.says(
            /upstream\.alarm".*Too many open files/);
        await limitDescriptors(worker, 1024);
        await service.emailWith(id, 'sent', 20_000);
        const { recipients } = await service.email(id);
        assert.equal(recipients[0].attempts, 1);
        assert.equal(sink.mails.length, 1);
    });
});

describe('a reload', () => {
    // Work that a dead child left is given back by then or never.
    test('waits for a Redis that is gone no longer than a lease', async () => {
        const service = await newService();
        const { url } = service.tables.redis;
        service.tables.redis.url = `redis://127.0.0.1:${await freePort()}/0`;
        service.tables.worker.state_dir = `${service.dir}/state`;
        service.write();
        const program = service.launch('worker');
        await until('worker is live', () => isLive(service, 'worker'));
        const [child] = service.childrenOf('worker');
        program.kill('SIGKILL', child);
        await program.says(/child\.died/);
        service.tables.redis.url = url;
        service.write();
        program.kill('SIGHUP');
        await program.says(/config\.waits/);
        await program.says(/config\.reloaded/);
        await until('worker is ready', () => service.isReady('worker'));
    });
});

describe('a role that is told to stop', () => {
    // A body has api.body_timeout, and a second for each 256 KiB of it.
    test('waits for a body that comes as fast as it must', async () => {
        const service = await startService({
            redis, upstreams: [UPSTREAM], roles: ['api'],
            config: { api: { header_timeout: '500ms', body_timeout: '1s' } },
        });
        const body = JSON.stringify({ from: 'app@sender.test',
                                      to: 'ada@inbox.test', subject: 'x',
                                      text: 'y'.repeat(6 << 20) });
        const client = net.connect(service.port, '127.0.0.1');
        let answer = '';
        client.on('data', (bytes) => (answer += bytes));
        client.write('POST /v1/emails HTTP/1.1\r\nHost: localhost\r\n' +
                     `Authorization: Bearer ${service.key}\r\n` +
                     'Content-Type: application/json\r\n' +
                     'Expect: 100-continue\r\n' +
                     `Content-Length: ${body.length}\r\n\r\n`);
        await until('the request is under way',
                    () => answer.startsWith('HTTP/1.1 100'));
        service.programs.api.kill('SIGTERM');
        for (let at = 0; at < body.length; at += SLOW_PIECE) {
            client.write(body.slice(at, at + SLOW_PIECE));
            await delay(SLOW_PIECE_MS);
        }
        await until('the answer', () => /HTTP\/1.1 200/.test(answer));
        assert.deepEqual(await service.programs.api.ended,
                         { code: 0, signal: null });
        assert.doesNotMatch(service.programs.api.log, /child\.killed/);
    });
});

describe('dev', () => {
    const startDev = async (dir) => new Program('posthaste dev', BIN,
        ['dev', '--dir', dir, '--send-demo', '--port', String(await freePort()),
         '--smtp-port', String(await freePort())]);

    test('ends at once when it is told to while it begins', async () => {
        for (const signal of ['SIGINT', 'SIGTERM']) {
            const dir = folder('dev');
            const program = await startDev(dir);
            await until('a role begins',
                        () => fs.existsSync(path.join(dir, 'api.log')));
            program.kill(signal);
            await until('dev ends', () => !program.running);
            assert.deepEqual(program.exit, { code: 0, signal: null },
                             program.log);
        }
    });

    // The path of a socket has 107 bytes at most.
    test('leaves nothing of a folder that is too deep for a socket',
         async () => {
        const dir = path.join(folder('dev'), 'd'.repeat(100));
        const program = await startDev(dir);
        await program.says(/verified/, 20_000);
        const config = fs.readFileSync(path.join(dir, 'posthaste.toml'), 'utf8');
        const [, other] = /"unix:(.*)\/redis\.sock"/.exec(config);
        assert.notEqual(other, dir);
        assert.deepEqual(await program.end(), { code: 0, signal: null });
        assert.ok(!fs.existsSync(other), other);
    });

    test('works in a folder with an odd name', async () => {
        const dir = path.join(folder('dev'), 'it\'s "my" $HOME');
        const program = await startDev(dir);
        const [, line] = await program.says(/^try: (.*)$/m, 20_000);
        const url = await must('sh', ['-ec', `${line}; echo $POSTHASTE_URL`]);
        assert.match(url, /^http:/);
        assert.deepEqual(await program.end(), { code: 0, signal: null });
    });
});
