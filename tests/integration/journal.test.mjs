// Runs beside others.
// A worker that is killed between the 250 and the record of it: with the
// journal of 250s no mail comes twice, without it those that do say so.
//
// KILLS=100 is the long form.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { run, until } from './harness/scope.mjs';
import { BIN, startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const KILLS = Number(process.env.KILLS ?? 8);
const address = (n) => `n${n}@inbox.test`;

// One session and one mail at a time on it, so that nothing else is in the
// window when the worker dies.
async function start(worker = {}) {
    const sink = await startSink();
    const redis = await startRedis();
    const service = await startService({
        redis, upstreams: [sink.upstream({ max_sessions: 1,
                                           pipeline_next: false })],
        roles: ['api', 'hooks'],
        config: { worker: { lease: '1s', retry: ['1s'], ...worker },
                  log: { level: 'info', format: 'json' } },
    });
    return { sink, redis, service };
}

// Sends KILLS mails to a worker that dies behind each second 250.
async function sendToDying(service) {
    service.env.POSTHASTE_FAULT_POINT = `worker.reported:2:${KILLS}`;
    const ids = [];
    for (let n = 0; n < 2 * KILLS; n++)
        ids.push(await service.send({ to: [address(n)] }));
    await service.start('worker');
    for (const id of ids)
        await service.emailWith(id, 'sent', 60_000);
    assert.equal(deaths(service), KILLS);
    return ids;
}

const deaths = (service) =>
    service.programs.worker.log.split('"child.died"').length - 1;

const journals = (dir) =>
    fs.readdirSync(dir).filter((name) => name.endsWith('.journal'));

async function flagged(service, id) {
    const { json } = await service.call('GET', `/v1/emails/${id}/events`);
    const sent = json.data.filter(({ type }) => type === 'email.sent');
    assert.equal(sent.length, 1);
    return sent[0].data.possible_duplicate === true;
}

describe(`${KILLS} times kill -9 between the 250 and its record`, () => {
    test('with a journal: no duplicate', async () => {
        const { sink, service } = await start();
        const dir = path.join(service.dir, 'state');
        service.tables.worker.state_dir = dir;
        service.write();
        const ids = await sendToDying(service);
        assert.equal(sink.mails.length, ids.length);
        for (const [n] of ids.entries())
            assert.equal(sink.for(address(n)).length, 1, address(n));
        await until('the last one is told', async () =>
            !await flagged(service, ids.at(-1)));
        for (const id of ids)
            assert.equal(await flagged(service, id), false, id);
        await service.stop('worker');
        assert.deepEqual(journals(dir), []);
    });

    test('without: duplicates, and each says so', async () => {
        const { sink, service } = await start();
        const ids = await sendToDying(service);
        let doubled = 0;
        for (const [n, id] of ids.entries()) {
            const times = sink.for(address(n)).length;
            assert.ok(times >= 1, `mail ${n} is lost`);
            doubled += times - 1;
            if (times > 1)
                assert.equal(await flagged(service, id), true, id);
        }
        assert.ok(doubled > 0);
    });
});

describe('the journal', () => {
    test('of a whole worker that is dead is replayed at the next start',
         async () => {
        const { sink, service } = await start();
        const dir = path.join(service.dir, 'state');
        service.tables.worker.state_dir = dir;
        service.write();
        service.env.POSTHASTE_FAULT_POINT = 'worker.reported:1:1';
        const id = await service.send({ to: [address(0)] });
        const program = service.launch('worker');
        // The supervisor stops when its child does: it replays nothing.
        await program.says(/child\.started/);
        process.kill(program.pid, 'SIGSTOP');
        await until('the mail came and its worker is dead', () =>
            sink.mails.length === 1 && zombies(program.pid) === 1);
        program.kill('SIGKILL');
        await program.ended;
        assert.ok(journals(dir).length > 0);
        service.env.POSTHASTE_FAULT_POINT = '';
        await service.start('worker');
        await service.emailWith(id, 'sent');
        assert.equal(sink.mails.length, 1);
        await until('it is told', async () => !await flagged(service, id));
    });

    test('of a mail whose owner has moved since it was accepted', async () => {
        const { sink, service } = await start();
        service.tables.worker.state_dir = path.join(service.dir, 'state');
        service.write();
        const id = await service.send({ to: [address(0)],
                                        scheduled_at: 'in 1 hour' });
        await service.posthaste(['partition', 'add', '--config',
                                 service.config]);
        await service.posthaste(['partition', 'move', 'default', '--to', '1',
                                 '--config', service.config]);
        service.env.POSTHASTE_FAULT_POINT = 'worker.reported:1:1';
        await service.start('worker');
        const { status, text } = await service.call(
            'PATCH', `/v1/emails/${id}`,
            { scheduled_at: '2026-01-01T00:00:00Z' });
        assert.equal(status, 200, text);
        await service.emailWith(id, 'sent');
        await until('its death is told', () => deaths(service) === 1);
        assert.equal(sink.mails.length, 1);
        await until('it is told', async () => !await flagged(service, id));
    });

    test('in a folder that is not fit: said at the start', async () => {
        const { service } = await start();
        const dir = path.join(service.dir, 'shared');
        fs.mkdirSync(dir);
        fs.chmodSync(dir, 0o777);
        service.tables.worker.state_dir = dir;
        service.write();
        const { code, stderr } = await run(
            BIN, ['worker', '--config', service.config], { env: service.env });
        assert.equal(code, 6);
        assert.match(stderr, /worker\.state_dir: .*shared: others may write/);
    });
});

function zombies(parent) {
    return fs.readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8')
        .trim().split(' ').filter(Boolean).filter((pid) =>
            /^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`,
                                                'utf8'))).length;
}
