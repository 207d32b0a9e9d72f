// rows.mjs - plays rows of the catalogue of SMTP servers' behaviour: each sends
// a mail to a scripted server and says which events must come, and what the
// server must have taken.
//
// row(number, what, server, events, more): number of the catalogue, what the
// server does, its script (scripted.mjs), and what must follow, in order:
//
//   D              email.sent, and the server took one copy
//   R 450 4.2.0    email.delivery_delayed with these codes ("R": without a
//                  reply; "R ?": any), the next attempt by the plan; "R 450
//                  >60s": not before 60 s, which then pass by the clock of
//                  Redis
//   U              the same, flagged: it may have been delivered
//   X 550 5.1.1    email.bounced that blames the address
//   F 554 5.7.1    email.bounced that does not
//   E              email.expired
//   S              email.suppressed: the address is on the list
//   ...            any number of the one before it
//   C              no event: upstream.alarm in the log, posthaste_upstream_up
//                  0, and the mail waits
//
// server: a script with any key of `OWN` gets a port and an upstream of its
// own, of which a service has 64 at most; any other is played twice on ports that all such rows share, one with
// PIPELINING and one without. A script that is a mere scene is for the first
// session (or transaction); an array of scenes for as many.
// more:
//   mail      fields of the mail
//   upstream  keys of its [[upstream]], or (certs) => keys
//   then      'good': the route has a second upstream that takes everything
//   mails     how many are sent, one after the other (1); first: what becomes
//             of all but the last one; between: (play) => is awaited
//   local     local part of the recipient; domain: what his domain ends in
//   copies    that the server takes (one for each D)
//   hole      true: the server is a port that swallows connects; 'closed': one
//             that refuses them
//   zone      what the name server says (names.mjs); isIpv6Hole: the port
//             swallows connects on ::1
//   rule      of the alarm, where it is not the row's number
//   check     (play) => asserts on play.server and play.events(id)
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { domainToASCII } from 'node:url';
import { describe, test } from 'node:test';
import { makeOddCerts } from '../../integration/harness/certs.mjs';
import { startReceiver } from '../../integration/harness/receiver.mjs';
import { startRedis } from '../../integration/harness/redis.mjs';
import { folder, freePort, until } from '../../integration/harness/scope.mjs';
import { startService } from '../../integration/harness/service.mjs';
import { startHole } from './hole.mjs';
import { startNames } from './names.mjs';
import { startScripted } from './scripted.mjs';

const OWN = ['offers', 'secure', 'tls', 'certificate', 'versions', 'users',
             'isDemanding', 'isOdd', 'isOwn', 'always', 'hidesPlus',
             'asksClient', 'tokens'];
const GOOD_OFFERS = ['PIPELINING', '8BITMIME', 'SIZE 50000000',
                     'ENHANCEDSTATUSCODES'];
const USER = 'joe';
const PASSWORD = 'correct-horse';
export const USERS = { [USER]: PASSWORD };
const PLAN_MS = 1000;
const JITTER = 0.2;
const PATIENCE_MS = 40_000;

const TYPES = { D: 'email.sent', R: 'email.delivery_delayed',
                U: 'email.delivery_delayed', X: 'email.bounced',
                F: 'email.bounced', E: 'email.expired',
                S: 'email.suppressed' };

const CODES = { D: 250 };
const AT_ONCE = 24;          // rows, so that no machine is too slow for all
const HEAVY_BYTES = 1 << 20; // such mails go one after the other

const rows = [];

export function row(number, what, script, events, more = {}) {
    const server = Array.isArray(script) ? { scenes: script } : script;
    const isOwn = more.hole || more.upstream || more.then || more.mails ||
                  more.zone || OWN.some((key) => key in server);
    const name = `r${number}-${rows.length}`;
    if (isOwn)
        rows.push({ number, what, name, server: scripted(server), isOwn,
                    events: parse(events), more });
    else
        for (const way of ['pipelined', 'stepwise'])
            rows.push({ number, what: `${what} (${way})`, way,
                        name: `${name}-${way[0]}`,
                        server: scripted(server), events: parse(events),
                        more });
}

// The parts of a scene alone are the first scene.
function scripted(server) {
    const own = {};
    const scene = {};
    for (const [key, value] of Object.entries(server))
        ([...OWN, 'scenes'].includes(key) ? own : scene)[key] = value;
    if (Object.keys(scene).length > 0)
        own.scenes = [scene];
    return own;
}

function parse(events) {
    const parsed = [];
    for (const text of events.split(', ')) {
        const [kind, ...rest] = text.split(' ');
        const wait = rest.find((word) => word.startsWith('>'));
        const [code, enhanced] = rest.filter((word) => word !== wait);
        if (kind === '...')
            parsed.at(-1).isRepeated = true;
        else
            parsed.push({ kind, code: Number(code) || undefined, enhanced,
                          isAny: code === '?',
                          waitMs: wait && Number(/\d+/.exec(wait)[0]) * 1000 });
    }
    return parsed;
}

// Declares one test for each row; all are played at once. ROWS in the
// environment, a pattern of numbers and words, leaves the others out.
export function play(title, { patience = PATIENCE_MS } = {}) {
    const wanted = new RegExp(process.env.ROWS ?? '');
    rows.splice(0, rows.length, ...rows.filter(({ number, what }) =>
        wanted.test(`${number}: ${what}`)));
    describe(title, () => {
        let stage;
        const staged = () => (stage ??= openStage(patience));
        for (const each of rows)
            test(`${each.number}: ${each.what}`, async () => {
                const { plays } = await staged();
                const played = plays.get(each);
                await played.done;
                assert.deepEqual(played.server?.violations ?? [], []);
            });
        test('no event too many, no copy too many, and C: the mail waits',
             async () => (await staged()).settle());
        test('no client broke the protocol', async () => {
            assert.deepEqual((await staged()).violations(), []);
        });
    });
}

async function openStage(patience) {
    const stage = new Stage(patience);
    await stage.open();
    return stage;
}

class Stage {
    plays = new Map();
    sleepers = []; // ms that each of them waits for
    offset = 0;    // of the clock of Redis, ms

    constructor(patience) {
        this.patience = patience;
    }

    async open() {
        this.certs = await makeOddCerts();
        this.password = path.join(folder('login'), 'password');
        fs.writeFileSync(this.password, `${PASSWORD}\n`, { mode: 0o600 });
        this.names = await startNames(Object.assign({},
            ...rows.map(({ more }) => more.zone ?? {})));
        const upstreams = await this.openServers();
        this.redis = await startRedis();
        this.service = await startService({
            redis: this.redis, upstreams,
            routes: rows.map((each) => ({
                name: each.name,
                to_domain: domainToASCII(this.plays.get(each).domain),
                upstreams: [this.plays.get(each).upstream,
                            ...(each.more.then ? ['good'] : [])],
            })),
            config: { worker: { lease: '5s', retry: [`${PLAN_MS}ms`] },
                      log: { level: 'info', format: 'json' } },
            roleEnv: { worker: {
                POSTHASTE_FAULT_NAME_SERVERS: this.names.address,
            } },
        });
        this.receiver = await startReceiver();
        await this.service.subscribe(this.receiver);
        const queues = { light: new Queue(AT_ONCE), heavy: new Queue(1) };
        for (const played of this.plays.values()) {
            played.done = queues[played.weight()].run(() => played.run())
                .finally(() => (played.isDone = true));
            played.done.catch(() => {}); // its test tells
        }
    }

    async openServers() {
        const ways = {};
        for (const [way, offers] of [['pipelined', GOOD_OFFERS],
                                     ['stepwise', []]])
            ways[way] = await startScripted({ offers, senders: new Map() });
        const good = await startScripted({ offers: GOOD_OFFERS });
        const upstreams = [
            ...Object.entries(ways).map(([name, { port }]) => upstream(
                name, port, { max_sessions: 32, messages_per_session: 1 })),
            upstream('good', good.port, { priority: 1, max_sessions: 32,
                                          pipeline_next: false }),
        ];
        this.good = good;
        for (const each of rows) {
            const played = each.isOwn ? await this.openOwn(each, upstreams)
                                      : this.share(each, ways[each.way]);
            this.plays.set(each, played);
        }
        return upstreams;
    }

    share(each, server) {
        server.script.senders.set(each.name, each.server);
        return new Play(this, each, server, each.way);
    }

    async openOwn(each, upstreams) {
        const { more, server: script } = each;
        const { tls, users } = script;
        const port = await freePort();
        let server;
        if (more.hole === true)
            await startHole(port);
        else if (more.hole !== 'closed')
            server = await startScripted(
                { offers: GOOD_OFFERS, ...script },
                { certs: this.certs, port });
        if (more.isIpv6Hole)
            await startHole(port, '::1');
        upstreams.push(upstream(each.name, port, {
            ...(tls && { tls, tls_ca_file: this.certs.ca }),
            ...(users && { auth: 'auto', username: USER,
                           password_file: this.password }),
            ...(typeof more.upstream === 'function'
                ? more.upstream(this.certs) : more.upstream),
        }));
        return new Play(this, each, server, each.name);
    }

    // So much time goes by for Redis, once nobody is busy with anything else.
    async passes(ms) {
        this.sleepers.push(ms);
        this.morning ??= until('all others are done', () =>
            [...this.plays.values()].filter(({ isDone }) => !isDone).length ===
                this.sleepers.length, 3 * this.patience)
            .then(() => {
                this.offset += Math.max(...this.sleepers);
                this.sleepers = [];
                this.morning = null;
                return this.redis.cli('HSET', 'ph:meta', 'test_offset_ms',
                                      String(this.offset));
            });
        await this.morning;
    }

    alarms(name) {
        return this.service.logs().split('\n')
            .filter((line) => line.includes('"upstream.alarm"'))
            .map((line) => JSON.parse(line))
            .filter(({ upstream: of }) => of === name);
    }

    violations() {
        return [...this.plays.values(), { server: this.good }]
            .flatMap(({ server }) => server?.violations ?? []);
    }

    async settle() {
        await Promise.allSettled([...this.plays.values()]
            .map(({ done }) => done));
        const metrics = await this.service.metrics('worker');
        for (const played of this.plays.values())
            await played.settle(metrics);
    }
}

function upstream(name, port, more) {
    return { name, host: '127.0.0.1', port, tls: 'off', auth: 'none',
             max_sessions: 4, ...more };
}

// So many at a time, in order.
class Queue {
    waiting = [];

    constructor(room) {
        this.room = room;
    }

    async run(fn) {
        if (this.room === 0)
            await new Promise((resolve) => this.waiting.push(resolve));
        else
            this.room--;
        try {
            return await fn();
        } finally {
            const next = this.waiting.shift();
            if (next)
                next();
            else
                this.room++;
        }
    }
}

class Play {
    ids = [];
    seen = new Map(); // id -> events that were judged

    constructor(stage, each, server, upstreamName) {
        const { local = each.name } = each.more;
        Object.assign(this, { stage, row: each, server,
                              upstream: upstreamName });
        this.domain = `${each.name}.${each.more.domain ?? 'test'}`;
        this.to = `${local}@${this.domain}`;
        this.last = each.events;
        this.first = parse(each.more.first ?? 'D');
    }

    async run() {
        const { mails = 1, between, check } = this.row.more;
        for (let i = 1; i < mails; i++) {
            await this.follow(await this.send(), this.first);
            await between?.(this);
        }
        await this.follow(await this.send(), this.last);
        this.checkLedger();
        await check?.(this);
    }

    weight() {
        return this.row.more.mail?.text?.length > HEAVY_BYTES ? 'heavy'
                                                              : 'light';
    }

    async send() {
        const id = await this.stage.service.send({
            from: `App <${this.row.name}@sender.test>`, to: [this.to],
            ...this.row.more.mail,
        });
        this.ids.push(id);
        this.seen.set(id, 0);
        return id;
    }

    // The events of one mail, but for email.queued.
    events(id) {
        return this.stage.receiver.of(id)
            .map(({ payload }) => payload)
            .filter(({ type }) => type !== 'email.queued')
            .sort((a, b) => a.data.sequence - b.data.sequence);
    }

    async follow(id, wanted) {
        let before;
        for (const want of wanted) {
            if (want.kind === 'C')
                await this.alarmed();
            else
                await this.comes(id, want, before);
            before = want;
        }
    }

    // The next event that is not one more of those before.
    async next(id, before) {
        const isMore = ({ type }) =>
            before?.isRepeated && type === TYPES[before.kind];
        const { event, count } = await until(
            `the next event of ${this.row.name}`, () => {
                const events = this.events(id);
                let at = this.seen.get(id);
                while (at < events.length && isMore(events[at]))
                    at++;
                return at < events.length &&
                       { event: events[at], count: at + 1 };
            }, this.stage.patience);
        this.seen.set(id, count);
        return event;
    }

    async comes(id, want, before) {
        const { type, data } = await this.next(id, before);
        const { code, enhanced_code } = data.delivery ?? {};
        const isUnsure = want.kind === 'U' || before?.kind === 'U';
        assert.equal(type, TYPES[want.kind], JSON.stringify(data));
        if (want.kind !== 'E' && !want.isAny)
            assert.equal(code, want.code ?? CODES[want.kind],
                         JSON.stringify(data));
        if (want.enhanced !== undefined || want.code !== undefined)
            assert.equal(enhanced_code, want.enhanced, JSON.stringify(data));
        assert.equal(data.possible_duplicate === true, isUnsure);
        if (type === 'email.bounced')
            assert.equal(data.bounce.type === 'Permanent', want.kind === 'X',
                         JSON.stringify(data.bounce));
        if (type === 'email.delivery_delayed')
            await this.checkPlan(data, want);
    }

    // total_ms is of the moment when the plan was made, the event is later.
    async checkPlan({ email_id, next_attempt_at: next, delivery },
                    { waitMs }) {
        const queued = await this.stage.receiver.event(
            email_id, 'email.queued', this.stage.patience);
        const delay = Date.parse(next) - delivery.total_ms -
                      Date.parse(queued.payload.data.timestamp);
        const [low, high] = waitMs === undefined
            ? [PLAN_MS * (1 - JITTER), PLAN_MS * (1 + JITTER)]
            : [waitMs, waitMs * (1 + JITTER)];
        assert.ok(delay >= low && delay <= high,
                  `the next attempt in ${delay} ms`);
        if (waitMs !== undefined)
            await this.stage.passes(delay);
    }

    async alarmed() {
        const alarms = await until(`an alarm of ${this.upstream}`, () => {
            const all = this.stage.alarms(this.upstream);
            return all.length > 0 && all;
        }, this.stage.patience);
        assert.equal(alarms[0].rule, this.row.more.rule ?? this.row.number);
    }

    taken() {
        return [this.server, this.stage.good]
            .flatMap((server) => server?.for(
                `${this.to.split('@')[0]}@${domainToASCII(this.domain)}`) ??
                []);
    }

    checkLedger() {
        const isSent = (wanted) => wanted.some(({ kind }) => kind === 'D');
        const sent = (this.ids.length - 1) * isSent(this.first) +
                     isSent(this.last);
        const taken = this.taken();
        assert.equal(taken.length, this.row.more.copies ?? sent,
                     'copies in the ledger');
        assert.ok(new Set(taken.map(({ raw }) => raw)).size <=
                  this.ids.length, 'copies differ');
    }

    // Nothing more came; behind C, the upstream is down and the mail waits.
    async settle(metrics) {
        const end = this.last.at(-1);
        for (const id of this.ids)
            if (!end.isRepeated)
                assert.equal(this.events(id).length, this.seen.get(id),
                             `events of ${this.row.name}`);
        this.checkLedger();
        if (this.row.isOwn && ![...this.first, ...this.last]
            .some(({ kind }) => kind === 'C'))
            assert.deepEqual(this.stage.alarms(this.upstream), []);
        if (end.kind !== 'C')
            return;
        assert.equal((await this.stage.service.email(this.ids[0])).status,
                     'queued');
        assert.match(metrics, new RegExp('^posthaste_upstream_up' +
            `\\{upstream="${this.upstream}"\\} 0$`, 'm'));
    }
}
