// world.mjs - what a plan plays with: a redis-server, the three roles, an
// upstream and a customer's endpoint with their ledgers, and the means to
// trouble them.
import { Chance } from '../../integration/harness/chance.mjs';
import { startMoody } from '../../integration/harness/moody.mjs';
import { startRedis } from '../../integration/harness/redis.mjs';
import { freePort, until } from '../../integration/harness/scope.mjs';
import { startService } from '../../integration/harness/service.mjs';
import { TERMINAL, openLedger } from './ledger.mjs';
import { watchMemory } from './memory.mjs';
import { meter } from './meter.mjs';
import { startProxy } from './proxy.mjs';

export const ROLES = ['api', 'worker', 'hooks'];
const CHILDREN = 2;

// An upstream that now and then takes its time to answer the dot: whatever
// dies, some sessions are in the one window where a mail may come twice.
const CALM = { dot: { slow: 20 } };

// This machine cannot do what the plan needs; says why.
export class CannotRun extends Error {}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// seed: of all chance. The others are what plans.mjs says of a world:
// appendfsync, lease, moods (percent of each), sinks (how many),
// sessions (to each), owners,
// partitions (how many; each new owner is at home in an empty one),
// isProxied: a proxy stands before Redis; redis: start one's own;
// roleEnv: makes the environment of each role; respond: of the customer's
// endpoint; stepTimeout: of each step of a transaction; idleMs: after which the
// upstream ends a session.
export async function startWorld({
    seed, appendfsync = 'always', lease = '3s', moods = CALM, sinks = 1,
    sessions = 16,
    owners = ['default', 'other'], partitions = 1, idleMs = 15_000,
    stepTimeout = '10s', isProxied = false, redis, redisTable, roleEnv,
    respond,
}) {
    const world = new World(new Chance(seed));
    world.redis = await (redis?.() ?? startRedis({ appendfsync }));
    if (isProxied)
        world.proxy = await startProxy(world.redis.port);
    for (let i = 0; i < sinks; i++) {
        const sink = await startMoody(new Chance(seed + 1 + i), `up${i}`);
        sink.moods = moods;
        sink.idleMs = idleMs;
        world.sinks.push(sink);
    }
    world.service = await startService({
        redis: through(world.redis, world.proxy), children: CHILDREN,
        roleEnv: await roleEnv?.(),
        upstreams: world.sinks.map((sink, i) => sink.upstream({
            max_sessions: sessions, priority: i, connect_timeout: stepTimeout,
            banner_timeout: stepTimeout, command_timeout: stepTimeout,
            data_timeout: stepTimeout, block_timeout: stepTimeout,
            dot_timeout: stepTimeout,
        })),
        routes: [{ name: 'all', upstreams: world.sinks.map((s) => s.name) }],
        config: {
            // A size: a plan that lowers maxmemory does not mean its history.
            redis: { url: world.proxy?.url ?? world.redis.url,
                     history_max: '64MiB', ...redisTable },
            api: { connections_per_ip: 8192 }, // one caller is all of them
            worker: { lease, retry: ['1s'], stop_timeout: '3s' },
            webhook: { allow_private: true, ports: [], timeout: '2s',
                       retry: ['0s', ...Array(60).fill('1s')] },
            log: { level: 'info', format: 'json' },
        },
    });
    for (let i = 1; i < partitions; i++)
        await world.service.posthaste(
            ['partition', 'add', '--config', world.service.config]);
    world.ledger = await openLedger({
        service: world.service, sinks: world.sinks, owners, partitions, respond,
    });
    world.memory = watchMemory(() => world.children());
    return world;
}

// The redis-server as the service sees it, behind the proxy.
function through(redis, proxy) {
    return proxy === undefined
        ? redis : Object.create(redis, { url: { value: proxy.url } });
}

class World {
    sinks = [];
    recoveries = []; // ms
    notes = {};      // figures of one plan only
    late = [];       // mails that are accepted when the trouble is over

    constructor(chance) {
        this.chance = chance;
    }

    // --- processes ---

    children(roles = ROLES) {
        return roles.flatMap((role) => this.childrenOf(role)
            .map((pid) => ({ role, pid })));
    }

    childrenOf(role) {
        try {
            return this.service.childrenOf(role);
        } catch (error) {
            if (error.code === 'ENOENT')
                return []; // its supervisor is gone
            throw error;
        }
    }

    // One child of the role by chance, as soon as there is one.
    async child(role) {
        const pids = await until(`a child of ${role}`, () => {
            const all = this.childrenOf(role);
            return all.length > 0 && all;
        });
        return this.chance.pick(pids);
    }

    // A child gets a signal that ends it; resolves when another took its
    // place.
    async endChild(role, signal) {
        const pid = await this.child(role);
        signalTo(pid, signal);
        await this.isWhole(role, [pid]);
    }

    // The role has all its children, none of them one of these.
    isWhole(role, without = []) {
        return until(`${role} is whole`, () => {
            const now = this.childrenOf(role);
            return now.length === CHILDREN &&
                   !now.some((pid) => without.includes(pid));
        }, 20_000);
    }

    // The supervisor ends by a signal, and whoever started it starts it anew.
    async restart(role, signal) {
        this.service.programs[role].kill(signal);
        await this.service.programs[role].ended;
        await this.service.start(role);
    }

    // Every process of the service at once.
    async restartAll(signal) {
        const pids = ROLES.flatMap((role) =>
            [this.service.programs[role].pid, ...this.childrenOf(role)]);
        for (const pid of pids)
            signalTo(pid, signal);
        await Promise.all(ROLES.map((role) =>
            this.service.programs[role].ended));
        await Promise.all(ROLES.map((role) => this.service.start(role)));
    }

    async freeze(pid, ms) {
        signalTo(pid, 'SIGSTOP');
        await pause(ms);
        signalTo(pid, 'SIGCONT');
    }

    // --- what is looked at ---

    copiesOf(address) {
        return this.sinks.flatMap(({ taken }) =>
            taken.filter(({ to }) => to.includes(address)));
    }

    endsOf(mail) {
        const ends = new Map(this.ledger.receivers[mail.owner].of(mail.id)
            .filter(({ payload }) => TERMINAL.includes(payload.type))
            .map((event) => [event.id, event]));
        return [...ends.values()];
    }

    // INFO of Redis matches.
    redisSays(pattern) {
        return until(`redis says ${pattern}`, async () =>
            pattern.test(await this.redis.cli('INFO', 'persistence')));
    }

    // The last cut was made: a reply came, and ended in the middle.
    redisTalks() {
        return until('a reply is cut', () => !this.proxy.truncates);
    }

    // POSTs are answered 503.
    async refuses() {
        const before = this.ledger.answers[503] ?? 0;
        const mail = this.ledger.sendOne(); // accepted when all is well again
        mail.catch(() => {});
        this.late.push(mail);
        await until('a POST is refused', () =>
            (this.ledger.answers[503] ?? 0) > before);
    }

    freePort() {
        return freePort();
    }

    // How long until a new mail is taken and delivered, now that the trouble is
    // over.
    async recovers(kind = 'verification', owner = undefined) {
        const took = meter();
        const mail = await this.ledger.sendOne({ class: kind }, { owner });
        await until('a new mail is delivered', () =>
            this.copiesOf(mail.to[0]).length > 0, 20_000);
        this.recoveries.push(took());
    }

    // Mails whose unknown outcome is held go on when somebody asks for it.
    async retryHeld() {
        let listed = '';
        for (let i = 0; i < this.ledger.partitions; i++)
            listed += await this.redis.cli(
                '--raw', 'ZRANGE', `ph:{${i}}:held`, '0', '-1') + '\n';
        const held = listed.split('\n').filter(Boolean)
            .map((id) => id.split(':')[0]);
        for (const mail of this.ledger.mails.filter(({ id }) =>
            held.includes(id)))
            await this.ledger.retry(mail);
    }
}

export function signalTo(pid, signal) {
    try {
        process.kill(pid, signal);
    } catch (error) {
        if (error.code !== 'ESRCH')
            throw error;
    }
}
