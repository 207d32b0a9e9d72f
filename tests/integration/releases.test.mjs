// Runs beside others.
// An update while mail flows: a release and the next one side by side on one
// Redis. The next release is this one that plays it (POSTHASTE_LEVEL of builds
// with fault points), since what a level changes is what both must agree on.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { assertClean, openLedger } from '../fault/lib/ledger.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const ROLES = ['api', 'worker', 'hooks'];
const RATE = 100;
const SOME = 100; // mails between two steps

let redis;
let sink;
let old;
let next;
let ledger;

const release = (level, more = {}) => startService({
    redis, upstreams: [sink.upstream()], env: { POSTHASTE_LEVEL: level },
    config: { webhook: { allow_private: true, ports: [] }, ...more },
    withKey: false,
});

before(async () => {
    redis = await startRedis();
    sink = await startSink();
    old = await release('1');
    old.key = await old.createKey();
    ledger = await openLedger({ service: old, sinks: [sink] });
});

const writeLevel = async () =>
    (await redis.cli('HGET', 'ph:meta', 'write_level')).trim();

const migrate = (service, ...args) =>
    service.run(['migrate', '--config', service.config, '--json', ...args]);

// Half of the mails to each of the two APIs.
async function sendToBoth() {
    for (const service of [old, next]) {
        ledger.service = service;
        await ledger.send(SOME, { rate: RATE });
    }
}

test('alone, there is nothing to migrate', async () => {
    await ledger.send(SOME, { rate: RATE });
    const { code, stdout } = await migrate(old, '--check');
    const said = JSON.parse(stdout);
    assert.equal(code, 0);
    assert.equal(said.due, false);
    assert.deepEqual(said.processes.map(({ role }) => role).sort(),
                     [...ROLES].sort());
});

test('the next release works beside it, and writes what both read',
     async () => {
    next = await release('2', {
        secrets: { keyring_file: old.tables.secrets.keyring_file },
    });
    next.key = old.key;
    await sendToBoth();
    assert.equal(await writeLevel(), '1');
});

test('no migration while one lives that could not read it', async () => {
    for (const args of [['--check'], []]) {
        const { code, stdout } = await migrate(next, ...args);
        assert.equal(code, 1);
        assert.equal(JSON.parse(stdout).due, true);
        assert.equal(JSON.parse(stdout).too_old, ROLES.length);
    }
    assert.equal(await writeLevel(), '1');
});

test('behind the last one it goes through, under load', async () => {
    ledger.service = next;
    for (const role of ROLES)
        assert.deepEqual(await old.stop(role), { code: 0, signal: null });
    const load = ledger.send(3 * SOME, { rate: RATE });
    assert.equal((await migrate(next, '--check')).code, 1);
    const { code, stdout } = await migrate(next);
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout).too_old, 0);
    assert.equal(await writeLevel(), '2');
    await load;
    assert.equal((await migrate(next, '--check')).code, 0);
});

test('an old one that comes back is not ready, and says why', async () => {
    const program = old.launch('worker');
    await program.says(/holds data of level 2.*reads 1 to 1/);
    assert.equal(await old.isReady('worker'), false);
    assert.deepEqual(await old.stop('worker'), { code: 0, signal: null });
    await until('the api has seen it', async () => {
        await ledger.send(1);
        const record = await redis.cli(
            '--raw', 'GET', `ph:{0}:c:${ledger.mails.at(-1).id}`);
        return record.startsWith('2 ');
    });
});

test('every mail came once, and was told of once', async () => {
    await ledger.settled();
    assertClean(ledger.account(), { mayDuplicate: false });
    assert.deepEqual(Object.keys(ledger.answers), ['200', 'slowest']);
});
