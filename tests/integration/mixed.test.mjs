// Everything at once: mails of all classes and owners to an upstream and to
// receivers that fail by chance, while children, supervisors and redis-server
// are killed, frozen and reloaded. In the end every accepted delivery is
// accounted for (P1 to P6 of README.md).
//
// MIXED_SEED chooses another run, MIXED_MAILS and MIXED_RATE another size.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Chance } from './harness/chance.mjs';
import { startMoody } from './harness/moody.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';

const SEED = Number(process.env.MIXED_SEED ?? 1);
const MAILS = Number(process.env.MIXED_MAILS ?? 1200);
const RATE = Number(process.env.MIXED_RATE ?? 80);
const TROUBLE_EVERY_MS = 700;
const CHILDREN = 2;
const OWNERS = ['default', 'big', 'small'];
const ROLES = ['api', 'worker', 'hooks'];
const TOLD = ['email.sent', 'email.bounced', 'email.failed', 'email.expired',
              'email.canceled', 'email.delivery_delayed'];
const ENDS = TOLD.slice(0, 5);

const chance = new Chance(SEED);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let redis;
let sinks;
let service;
const receivers = {};
const keys = {};
const mails = []; // { n, owner, id, to, canceled }

function upstreams() {
    return sinks.map((sink, i) => sink.upstream({
        max_sessions: 8, priority: i, banner_timeout: '2s',
        command_timeout: '2s', data_timeout: '2s', block_timeout: '2s',
        dot_timeout: '2s', connect_timeout: '2s',
    }));
}

before(async () => {
    redis = await startRedis({ appendfsync: 'always' });
    sinks = [await startMoody(new Chance(SEED + 1), 'first'),
             await startMoody(new Chance(SEED + 2), 'second')];
    service = await startService({
        redis, children: CHILDREN, withKey: false, upstreams: upstreams(),
        routes: [
            { name: 'codes', class: 'verification',
              upstreams: ['second', 'first'] },
            { name: 'rest', upstreams: ['first', 'second'] },
        ],
        config: {
            worker: { lease: '1s', retry: ['1s'], stop_timeout: '3s' },
            webhook: { allow_private: true, ports: [], timeout: '2s',
                       retry: ['0s', ...Array(30).fill('1s')] },
            log: { level: 'info', format: 'json' },
        },
    });
    for (const owner of OWNERS) {
        keys[owner] = await service.createKey({ owner });
        const flaky = new Chance(SEED + 3);
        receivers[owner] = await startReceiver({
            respond: () => (flaky.next() < 0.3
                ? flaky.pick([500, 503, 429, 302, 404]) : 200),
        });
        service.key = keys[owner];
        await service.subscribe(receivers[owner], TOLD);
    }
});

function mailOf(n) {
    const to = Array.from({ length: 1 + chance.below(3) },
                          (_, i) => `n${n}-${i}@inbox.test`);
    const body = {
        from: 'App <app@sender.test>', to, subject: `Mail ${n}`,
        text: `Hello ${n}.\r\n.\r\n..dots\r\n${'x'.repeat(chance.below(3000))}`,
        class: chance.pick(['verification', 'reset', 'alert',
                            'transactional', 'bulk']),
    };
    if (chance.next() < 0.1)
        body.scheduled_at = new Date(Date.now() + chance.below(6000))
            .toISOString();
    if (chance.next() < 0.1)
        body.on_unknown = 'fail';
    if (chance.next() < 0.05)
        body.expires_in = 2;
    if (chance.next() < 0.03)
        body.attachments = [{ filename: 'big.bin', content:
            Buffer.alloc(200_000, n).toString('base64') }];
    return { n, owner: chance.pick(OWNERS), to, body,
             cancelAfter: chance.next() < 0.1 ? chance.below(400) : null };
}

// As a careful caller does: no answer or 503 means again.
async function surely(what) {
    const end = Date.now() + 60_000;
    for (;;) {
        let answer;
        try {
            answer = await what();
        } catch (error) {
            if (Date.now() > end)
                throw error;
        }
        if (answer && answer.status !== 503)
            return answer;
        assert.ok(Date.now() < end, `${answer?.status} ${answer?.text}`);
        await pause(50);
    }
}

async function send(mail) {
    const key = keys[mail.owner];
    const answer = await surely(() =>
        service.call('POST', '/v1/emails', mail.body, {
            key, headers: { 'idempotency-key': `mail-${mail.n}` },
        }));
    assert.equal(answer.status, 200, `${mail.n}: ${answer.text}`);
    mail.id = answer.json.id;
    mails.push(mail);
    if (mail.cancelAfter === null)
        return;
    await pause(mail.cancelAfter);
    const canceled = await surely(() =>
        service.call('POST', `/v1/emails/${mail.id}/cancel`, undefined,
                     { key }));
    assert.ok([200, 409].includes(canceled.status), canceled.text);
}

// Troubles -----------------------------------------------------------------

function child(role) {
    const pids = service.childrenOf(role);
    return pids.length > 0 ? chance.pick(pids) : null;
}

function signal(pid, name) {
    try {
        process.kill(pid, name);
    } catch (error) {
        assert.equal(error.code, 'ESRCH');
    }
}

async function freeze(pid, ms) {
    signal(pid, 'SIGSTOP');
    await pause(ms);
    signal(pid, 'SIGCONT');
}

const TROUBLES = {
    async killChild() {
        const pid = child(chance.pick(ROLES));
        if (pid)
            signal(pid, 'SIGKILL');
    },
    async killWorker() {
        const pid = child('worker');
        if (pid)
            signal(pid, 'SIGKILL');
    },
    async stopChild() {
        const pid = child(chance.pick(ROLES));
        if (pid)
            signal(pid, 'SIGTERM');
    },
    async freezeWorker() {
        const pid = child('worker');
        if (pid)
            await freeze(pid, 2500);
    },
    async freezeHooks() {
        const pid = child('hooks');
        if (pid)
            await freeze(pid, 2500);
    },
    async reload() {
        const role = chance.pick(ROLES);
        service.programs[role].kill('SIGHUP');
    },
    async killSupervisor() {
        const role = chance.pick(ROLES);
        service.programs[role].kill('SIGKILL');
        await service.programs[role].ended;
        await service.start(role);
    },
    async restartSupervisor() {
        const role = chance.pick(ROLES);
        await service.stop(role);
        await service.start(role);
    },
    async killRedis() {
        await redis.kill();
        await redis.start();
    },
    async freezeRedis() {
        await freeze(redis.program.pid, 1200);
    },
    async flushScripts() {
        await redis.cli('SCRIPT', 'FLUSH');
    },
    async hangUp() {
        for (const sink of sinks)
            for (const socket of sink.sockets)
                socket.destroy();
    },
    async closeSink() {
        const sink = chance.pick(sinks);
        const { port } = sink;
        await sink.close();
        await pause(500);
        await sink.listen(port);
    },
};

async function troubles(signalEnd) {
    const names = Object.keys(TROUBLES);
    const log = [];
    let order = [];
    while (!signalEnd.aborted) {
        await pause(TROUBLE_EVERY_MS);
        if (order.length === 0) // each in turn, in an order of chance
            order = names.map((name) => [chance.next(), name])
                .sort().map(([, name]) => name);
        const name = order.pop();
        log.push(name);
        await TROUBLES[name]();
    }
    return log;
}

// Accounts -----------------------------------------------------------------

async function eventsOf(owner) {
    const out = await redis.cli('--raw', 'XRANGE', `ph:{0}:ev:${owner}`,
                                '-', '+');
    return out.split('\n').filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line));
}
async function counters() {
    const list = (await redis.cli('--raw', 'HGETALL', 'ph:{0}:n')).split('\n');
    const map = {};
    for (let i = 0; i < list.length; i += 2)
        map[list[i]] = Number(list[i + 1]);
    return map;
}

const statusOf = { 'email.sent': 'sent', 'email.bounced': 'bounced',
                   'email.failed': 'failed', 'email.expired': 'expired',
                   'email.canceled': 'canceled' };

function collect() {
    const taken = new Map();
    for (const sink of sinks)
        for (const mail of sink.taken)
            for (const to of mail.to)
                taken.set(to, [...(taken.get(to) ?? []), mail]);
    return taken;
}

// One delivery: its one end, and what the upstreams' ledgers say of it.
function account(mail, address, taken, told) {
    const ends = new Map();
    for (const event of told)
        if (event.payload.data.recipient === address &&
            ENDS.includes(event.payload.type))
            ends.set(event.id, event.payload);
    const where = `${mail.id} ${address}`;
    assert.equal(ends.size, 1, `${where}: ${ends.size} ends`);
    const [end] = ends.values();
    const flagged = end.data.possible_duplicate === true;
    const kind = statusOf[end.type];
    if (taken.length > 1)
        assert.ok(flagged, `${where}: taken ${taken.length} times, unsaid`);
    for (const one of taken) {
        assert.equal(one.messageId, taken[0].messageId, where);
        assert.equal(one.raw, taken[0].raw, `${where}: other bytes`);
    }
    if (kind === 'sent')
        assert.ok(taken.some(({ told: was }) => was),
                  `${where}: sent, but nobody took it`);
    else if (kind !== 'failed' && !flagged)
        assert.equal(taken.length, 0, `${where}: ${kind}, but it was taken`);
    if (kind === 'bounced')
        assert.ok(sinks.some((sink) => sink.refusals.has(address)),
                  `${where}: bounced, but nobody refused it`);
    if (kind === 'failed')
        assert.equal(end.data.failed.reason, 'unknown_outcome', where);
    return { kind, times: taken.length };
}

describe(`everything mixed, seed ${SEED}`, () => {
    test('every delivery ends once, in accounts that agree', async (t) => {
        const over = new AbortController();
        const trouble = troubles(over.signal);
        const begin = Date.now();
        const sends = [];
        for (let n = 0; n < MAILS; n++) {
            const wait = begin + (n * 1000) / RATE - Date.now();
            if (wait > 0)
                await pause(wait);
            sends.push(send(mailOf(n)));
        }
        await Promise.all(sends);
        over.abort();
        t.diagnostic((await trouble).join(' '));

        const expected = mails.reduce((sum, { to }) => sum + to.length, 0);
        await until('all are final', async () => {
            const { accepted, final } = await counters();
            assert.equal(final, expected,
                         `accepted ${accepted} final ${final}`);
            return true;
        }, 60_000);
        await until('the receivers have all', async () => {
            const { backlog = 0 } = await counters();
            assert.equal(backlog, 0);
            assert.equal(await redis.cli('LLEN', 'ph:{0}:evring'), '0');
            return true;
        }, 60_000);
        assert.equal((await counters()).accepted, expected);

        const taken = collect();
        const sum = {};
        let doubled = 0;
        for (const mail of mails) {
            const told = receivers[mail.owner].of(mail.id);
            const email = (await service.call(
                'GET', `/v1/emails/${mail.id}`, undefined,
                { key: keys[mail.owner] })).json;
            for (const [i, address] of mail.to.entries()) {
                const { kind, times } = account(mail, address,
                                                taken.get(address) ?? [],
                                                told);
                sum[kind] = (sum[kind] ?? 0) + 1;
                doubled += times > 1 ? 1 : 0;
                assert.equal(email.recipients[i].status, kind,
                             `${mail.id} ${address}`);
            }
        }
        t.diagnostic(`${JSON.stringify(sum)}, ${doubled} duplicates, all said`);
    });

    test('no event is missing at a receiver', async () => {
        for (const owner of OWNERS) {
            assert.equal(receivers[owner].refused.length, 0);
            const records = (await eventsOf(owner))
                .filter(({ t }) => t.startsWith('email.'));
            const got = new Set(receivers[owner].events.map(({ payload }) =>
                `${payload.data.email_id} ${payload.data.sequence}`));
            const sequences = new Map();
            for (const record of records) {
                const list = sequences.get(record.e) ?? [];
                sequences.set(record.e, [...list, record.s]);
                if (TOLD.includes(record.t))
                    assert.ok(got.has(`${record.e} ${record.s}`),
                              JSON.stringify(record));
            }
            for (const [id, list] of sequences)
                assert.deepEqual(list.sort((a, b) => a - b),
                                 list.map((_, i) => i + 1), id);
        }
    });

    test('each delivery was in a place at each count', async () => {
        await service.checkQueue();
    });

    test('nothing is left behind in Redis', async () => {
        const names = (await redis.cli('--raw', 'KEYS', 'ph:{0}:*'))
            .split('\n');
        const work = names.filter((name) =>
            /^ph:\{0\}:(own|wown|due|exp|held|dead|suspect|walk|d|q|ring|w|wring|wdue)(:|$)/
                .test(name));
        assert.deepEqual(work, []);
    });

    test('nothing went wrong that was not made to', () => {
        const made = /"event":"child\.died".*"signal":9\D/;
        const lines = service.logs().split('\n').filter((line) =>
            !made.test(line) &&
            (/"level":"(error|fatal)"/.test(line) || !/^(\{|$)/.test(line)));
        assert.deepEqual(lines, []);
    });
});
