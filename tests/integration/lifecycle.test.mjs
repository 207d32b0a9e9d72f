// Runs beside others.
// How a process comes to be, lives on with little, and ends.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, test } from 'node:test';
import { Program, freePort, until } from './harness/scope.mjs';
import { startRedis } from './harness/redis.mjs';
import { BIN, startService } from './harness/service.mjs';

const ROLES = ['api', 'worker', 'hooks'];
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
