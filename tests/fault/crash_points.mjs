// crash_points.mjs [--kills N] [--lanes N] [--journal] [POINT]... - dies at
// every step of a mail's life, again and again, and accounts for each mail.
//
//   POSTHASTE_BIN=build/debug/posthaste node tests/fault/crash_points.mjs
//
// The points are those that the binary has (posthaste version --fault-points;
// server/base/fault.h says how they work). For each of them its role is
// started with POSTHASTE_FAULT_POINT and dies there 2 x N times (3):
//
//   alone   N deaths with one mail in the system at a time. What comes twice
//           then has but one explanation: its process died between the final
//           dot and the record of its outcome (WINDOW). Every other mail is
//           canceled at the moment of the death. --journal: workers have a
//           worker.state_dir, and the window ends with its line (JOURNALED).
//   crowd   N deaths at 100 mails a second over sessions side by side: large
//           ones, deferred ones, canceled ones, several recipients,
//           on_unknown fail. Whoever dies takes others along that may be in
//           the window, so a duplicate must be announced, if a worker died,
//           and must not be, if another role did.
//
// A supervisor dies by a point of its own while it gives back what a dead
// child held: N deaths in the crowd.
//
// Real redis-server (appendfsync always), api, worker and hooks with two
// children each, an upstream that takes a mail as soon as it reads its dot, a
// receiver; lanes of them side by side. The account is that of
// lib/ledger.mjs. A point that fires less often than it was asked for fails:
// the step was not reached.
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { after, test } from 'node:test';
import { startMoody } from '../integration/harness/moody.mjs';
import { startRedis } from '../integration/harness/redis.mjs';
import { Final, folder, must, until } from '../integration/harness/scope.mjs';
import { BIN, startService } from '../integration/harness/service.mjs';
import { TERMINAL, faultsOf, openLedger } from './lib/ledger.mjs';

// Who passes a point, by the first word of its name.
const ROLES = {
    api: ['api', 'cancel', 'chunks', 'enqueue', 'http', 'reschedule'],
    worker: ['claim', 'heartbeat', 'mark', 'register', 'result', 'retry',
             'smtp', 'worker'],
    supervisor: ['supervisor'],
    hooks: ['ack', 'fanout', 'project', 'task_claim', 'task_heartbeat',
            'task_register', 'webhook'],
};

// After the final dot, before its outcome is known to be recorded. A
// heartbeat is no step of a mail: it comes when it comes, then as well.
const WINDOW = /^(smtp\.dot_.*|worker\.reported|heartbeat\..*)$/;

const JOURNALED = 'worker.reported';

// What a mail must be like for the point to be reached.
const SHAPES = {
    'cancel.': 'canceled',
    'chunks.': 'large',
    'reschedule.': 'rescheduled',
    'retry.': 'deferred',
    'smtp.body_half_sent': 'large',
};

// A child dies at every third passage, so that the mail that was hit gets
// through afterwards; where a child passes but once in its life, at each.
const EVERY = 3;
const EVERY_OF = {
    'register.': 1,
    'task_register.': 1,
    'smtp.body_sent': 2, // most marks are answered before the body is away
};

// Only a worker with a journal gets there.
const NEEDS_JOURNAL = /^supervisor\.replay/;

const CROWD = 20; // mails at a time
const LARGE = { attachments: [{
    filename: 'large.bin',
    content: Buffer.alloc(90_000, 'posthaste').toString('base64'),
}] };

const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: { kills: { type: 'string', default: '3' },
               lanes: { type: 'string', default: '2' },
               journal: { type: 'boolean', default: false } },
});
const KILLS = Number(options.kills);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const forPoint = (table, point) => Object.entries(table)
    .find(([start]) => point.startsWith(start))?.[1];

const mayDuplicate = (point) => WINDOW.test(point) &&
    !(options.journal && point === JOURNALED);

function roleOf(point) {
    const word = point.split('.')[0];
    const role = Object.keys(ROLES).find((name) => ROLES[name].includes(word));
    assert.ok(role, `${point}: ROLES does not say whose it is`);
    return role;
}

// One service that takes one point after the other.
class Lane {
    async start() {
        this.deferred = new Set();
        this.redis = await startRedis({ appendfsync: 'always' });
        this.sink = await startMoody(null);
        this.sink.moods = null;
        this.sink.onRcpt = (to) => this.deferOnce(to);
        this.service = await startService({
            redis: this.redis, children: 2,
            upstreams: [this.sink.upstream({
                max_sessions: 6, messages_per_session: 3,
                connect_timeout: '2s', banner_timeout: '2s',
                command_timeout: '2s', data_timeout: '2s',
                block_timeout: '2s', dot_timeout: '2s',
            })],
            config: {
                worker: { lease: '1s', retry: ['200ms'],
                          state_dir: options.journal ? folder('state') : '' },
                webhook: { allow_private: true, ports: [], timeout: '2s',
                           retry: ['0s', ...Array(20).fill('200ms')] },
                log: { level: 'info', format: 'json' },
            },
        });
        this.ledger = await openLedger({ service: this.service,
                                         sinks: [this.sink] });
    }

    // Mail to later… is deferred once.
    deferOnce(to) {
        if (!to.startsWith('later') || this.deferred.has(to))
            return null;
        this.deferred.add(to);
        return 'soft';
    }

    // Starts the point's role anew, armed.
    async arm(point, every) {
        const { service } = this;
        const role = roleOf(point);

        await service.stop(role);
        service.env.POSTHASTE_FAULT_POINT = `${point}:${every}:${2 * KILLS}`;
        this.deaths = undefined;
        this.program = service.launch(role);
        delete service.env.POSTHASTE_FAULT_POINT;
        this.role = role;
        for (const stream of [this.program.child.stdout,
                              this.program.child.stderr])
            stream.on('data', (bytes) => {
                if (bytes.includes('"child.died"'))
                    this.atDeath();
            });
    }

    atDeath = () => {};

    // How often the armed point fired. No child may end otherwise.
    fired() {
        const deaths = this.program.log.match(/.*"child\.died".*/g) ?? [];
        for (const line of deaths)
            if (!/"exit":137\b/.test(line))
                throw new Final(`another death: ${line}\n` +
                                this.program.log.slice(-3000));
        if (!this.program.running)
            throw new Final(`it ended: ${this.program.log.slice(-3000)}`);
        return deaths.length;
    }

    mailTo(kind, rest) {
        const { ledger } = this;
        return { to: [`${kind}${ledger.sent}-${ledger.name}@inbox.test`],
                 ...rest };
    }

    shaped(shape) {
        if (shape === 'large')
            return LARGE;
        if (shape === 'rescheduled')
            return { scheduled_at: 'in 1 hour' };
        return shape === 'deferred' ? this.mailTo('later') : {};
    }

    // What such a mail needs once it was accepted.
    async attend(mail, shape) {
        if (shape === 'canceled')
            await this.ledger.cancel(mail);
        else if (shape === 'rescheduled')
            await this.ledger.reschedule(mail, new Date(Date.now() + 100));
    }

    crowded(n) {
        const { ledger } = this;
        const more = n % 8 === 3 ? { on_unknown: 'fail' } : {};
        if (n % 10 === 1)
            return { ...LARGE, ...more };
        if (n % 7 === 2)
            return this.mailTo('later', more);
        if (n % 6 === 4)
            return { to: ['a', 'b'].map((who) =>
                `${who}${ledger.sent}-${ledger.name}@inbox.test`), ...more };
        return more;
    }

    hasEnded({ id, owner }) {
        return this.ledger.receivers[owner].events.some(({ payload }) =>
            payload.data.email_id === id && TERMINAL.includes(payload.type));
    }

    // One mail after the other until the point fired `kills` times.
    async sendAlone(kills, shape) {
        const mails = [];
        const end = Date.now() + 20_000 + 4000 * kills;
        while (this.fired() < kills && Date.now() < end) {
            let mail;
            let canceled;
            const before = this.fired();
            const cancelDead = () => {
                if (mail && this.fired() > before && this.fired() % 2 === 0)
                    canceled ??= this.ledger.cancel(mail);
            };
            this.atDeath = cancelDead;
            mail = await this.ledger.sendOne(this.shaped(shape));
            mails.push(mail);
            cancelDead(); // it may have come before the answer
            await this.attend(mail, shape);
            await until(`an end of mail ${mail.n}`, () => this.hasEnded(mail),
                        30_000);
            this.atDeath = () => {};
            await canceled;
        }
        return mails;
    }

    // Crowds, each when the one before is almost through, until it fired often
    // enough. Who dies at every third report needs his time for them.
    async sendCrowds(kills, shape) {
        const mails = [];
        const end = Date.now() + 20_000 + 2000 * kills;
        do {
            const sends = await this.ledger.send(CROWD, {
                rate: 100,
                more: (n) => (shape && n % 2 ? this.shaped(shape)
                                             : this.crowded(n)),
            });
            mails.push(...sends);
            await Promise.all(sends.map(async (mail) => {
                if (mail.n % 5 === 0)
                    await this.ledger.cancel(mail);
                if (mail.n % 2)
                    await this.attend(mail, shape);
            }));
            await until('the crowd thins out', async () => {
                const { open, webhooks } = await this.ledger.left();
                return open + webhooks < CROWD || this.fired() >= kills;
            }, 60_000);
        } while (this.fired() < kills && Date.now() < end);
        return mails;
    }

    // The worker's supervisor dies while it gives back what a dead child held.
    async runSupervisor(point) {
        const { service } = this;
        const mails = [];
        this.role = 'worker';
        await service.stop('worker');
        for (this.deaths = 0; this.deaths < KILLS; this.deaths++) {
            service.env.POSTHASTE_FAULT_POINT = `${point}:1`;
            this.program = service.launch('worker');
            delete service.env.POSTHASTE_FAULT_POINT;
            const sends = this.ledger.send(CROWD, {
                rate: 100, more: (n) => this.crowded(n) });
            await this.killChildren();
            mails.push(...await sends);
        }
        this.program = await service.start('worker');
        await this.ledger.settled();
        service.checkSanitizers();
        return this.judge(point, this.ledger.account([]),
                          this.ledger.account(mails), KILLS);
    }

    // One every 300 ms, until their supervisor is dead. A journal that it finds
    // when it starts may be enough.
    async killChildren() {
        const { service, program } = this;
        await until('its supervisor dies', async () => {
            await Promise.race([program.ended, pause(300)]);
            if (!program.running)
                return true;
            const [child] = service.childrenOf('worker');
            if (child)
                program.kill('SIGKILL', child);
            return false;
        }, 30_000);
        assert.equal((await program.ended).code, 137);
    }

    async run(point) {
        if (roleOf(point) === 'supervisor')
            return this.runSupervisor(point);
        const shape = forPoint(SHAPES, point);
        await this.arm(point, forPoint(EVERY_OF, point) ?? EVERY);
        const alone = await this.sendAlone(KILLS, shape);
        await this.ledger.settled();
        const crowd = await this.sendCrowds(2 * KILLS, shape);
        await this.ledger.settled();
        this.service.checkSanitizers();
        return this.judge(point, this.ledger.account(alone),
                          this.ledger.account(crowd));
    }

    judge(point, alone, crowd, wanted = 2 * KILLS) {
        const fired = this.deaths ?? this.fired();
        const faults = [
            ...faultsOf(alone, { mayDuplicate: mayDuplicate(point) })
                .map((fault) => `alone: ${fault}`),
            ...faultsOf(crowd, { mayDuplicate: this.role === 'worker' })
                .map((fault) => `crowd: ${fault}`),
        ];
        if (fired !== wanted)
            faults.push(`it fired ${fired} times of ${wanted}`);
        return { point, fired, alone, crowd, faults };
    }
}

const rows = [];

function printTable() {
    const width = Math.max(...rows.map(({ point }) => point.length));
    const line = (name, ...cells) => console.log(
        name.padEnd(width) + cells.map((cell) =>
            String(cell).padStart(11)).join(''));
    const cells = ({ fired, alone, crowd }) => [fired,
        ...[alone, crowd].flatMap(({ mails, duplicates, ends }) => [
            mails, ends['email.canceled'] ?? 0, duplicates.length]),
        alone.lost.length + crowd.lost.length];
    line('', '', 'alone', '', '', 'crowd', '', '', '');
    line('point', 'kills', 'mails', 'canceled', 'duplicates',
         'mails', 'canceled', 'duplicates', 'lost');
    for (const row of rows)
        line(row.point, ...cells(row));
    line('all', ...rows.map(cells).reduce((sums, row) =>
        sums.map((sum, i) => sum + row[i])));
}

// Everything that was started ends with us (scope.mjs).
for (const signal of ['SIGINT', 'SIGTERM'])
    process.on(signal, () => process.exit(1));

// Those of no mail are tests/integration/{move,domains}.test.mjs's.
const points = (await must(BIN, ['version', '--fault-points']))
    .trim().split('\n').filter((point) => !/^(move|domain)\./.test(point));
for (const name of positionals)
    assert.ok(points.includes(name), `${name}: no such point`);

// Lanes take the points from one list; each test waits for its own.
const chosen = points.filter((point) => (positionals.length > 0
    ? positionals.includes(point)
    : options.journal || !NEEDS_JOURNAL.test(point)));
const queue = chosen.map((point) => {
    const job = { point };
    job.done = new Promise((resolve, reject) =>
        Object.assign(job, { resolve, reject }));
    job.done.catch(() => {}); // its test tells
    return job;
});

async function drive(jobs) {
    const lane = new Lane();
    await lane.start();
    for (let job; (job = jobs.shift()) !== undefined;)
        try {
            job.resolve(await lane.run(job.point));
        } catch (error) {
            job.reject(error);
            return drive(jobs); // what it left behind is not for the next
        }
    return lane;
}

const jobs = [...queue];
const lanes = Array.from({ length: Number(options.lanes) }, () => drive(jobs));

for (const { point, done } of queue)
    test(point, async () => {
        const row = await done;
        rows.push(row);
        assert.deepEqual(row.faults, []);
    });

// A mail of one point that came twice under another.
test('nothing came late', async () => {
    for (const lane of await Promise.all(lanes))
        assert.deepEqual(faultsOf(lane.ledger.account()), []);
});

after(printTable);
