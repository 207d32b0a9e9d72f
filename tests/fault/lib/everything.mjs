// everything.mjs - all troubles by chance, one after the other, while mails
// of all kinds go to upstreams and endpoints that fail by chance, too.
import { Chance } from '../../integration/harness/chance.mjs';
import { MOODS } from '../../integration/harness/moody.mjs';
import { until } from '../../integration/harness/scope.mjs';
import { ROLES, pause, signalTo } from './world.mjs';

const BETWEEN_MS = 500;

function flaky(chance) {
    return () => (chance.next() < 0.3
        ? chance.pick([500, 503, 429, 302, 404]) : 200);
}

export const EVERYTHING = {
    sinks: 2,
    stepTimeout: '2s',
    idleMs: 2000,
    moods: MOODS,
    isProxied: true,
    owners: ['default', 'big', 'small'],
    respond: flaky(new Chance(3)),
    redisTable: { history_max: '400MiB' }, // all are asked for in the end
};

const TROUBLES = {
    killChild: async (w) => signalTo(await w.child(w.chance.pick(ROLES)),
                                     'SIGKILL'),
    killWorker: async (w) => signalTo(await w.child('worker'), 'SIGKILL'),
    stopChild: async (w) => signalTo(await w.child(w.chance.pick(ROLES)),
                                     'SIGTERM'),
    freezeWorker: async (w) => w.freeze(await w.child('worker'), 2500),
    freezeHooks: async (w) => w.freeze(await w.child('hooks'), 2500),
    reload: (w) => w.service.programs[w.chance.pick(ROLES)].kill('SIGHUP'),
    killSupervisor: (w) => w.restart(w.chance.pick(ROLES), 'SIGKILL'),
    stopSupervisor: (w) => w.restart(w.chance.pick(ROLES), 'SIGTERM'),
    killAll: (w) => w.restartAll('SIGKILL'),
    async killRedis(w) {
        await w.redis.kill();
        await w.redis.start();
    },
    async stopRedis(w) {
        await w.redis.stop();
        await pause(w.chance.below(2000));
        await w.redis.start();
    },
    freezeRedis: (w) => w.freeze(w.redis.program.pid, 1200),
    flushScripts: (w) => w.redis.cli('SCRIPT', 'FLUSH'),
    fillRedis: async (w) => {
        await w.redis.cli('CONFIG', 'SET', 'maxmemory', '1mb');
        await pause(500);
        await w.redis.cli('CONFIG', 'SET', 'maxmemory', '512mb');
    },
    cut: (w) => w.proxy.set({ cut: true }),
    truncate: (w) => w.proxy.set({ truncates: true }),
    async slow(w) {
        w.proxy.set({ delayMs: w.chance.pick([50, 200, 350, 500]) });
        await pause(1000);
        w.proxy.set({ delayMs: 0 });
    },
    async half(w) {
        w.proxy.set({ vanishes: w.chance.pick([
            ['requests'], ['replies'], ['requests', 'replies']]) });
        await pause(w.chance.pick([500, 1500]));
        w.proxy.set({ vanishes: [] });
    },
    hangUp(w) {
        for (const sink of w.sinks)
            for (const socket of sink.sockets)
                socket.destroy();
    },
    async closeSink(w) {
        const sink = w.chance.pick(w.sinks);
        await sink.close();
        await pause(500);
        await sink.listen(sink.port);
    },
};

// Each in turn, in an order of chance.
export async function anything(w) {
    w.order ??= [];
    if (w.order.length === 0)
        w.order = Object.keys(TROUBLES).map((name) => [w.chance.next(), name])
            .sort().map(([, name]) => name);
    const name = w.order.pop();
    w.notes.troubles = (w.notes.troubles ?? 0) + 1;
    await TROUBLES[name](w);
    await pause(BETWEEN_MS);
}

// GET tells of each mail what its end told, and no work is left in Redis.
export async function nothingLeft(w) {
    await until('Redis holds no work', async () => {
        const names = (await w.redis.cli('--raw', 'KEYS', 'ph:{0}:*'))
            .split('\n').filter((name) =>
                /^ph:\{0\}:(own|wown|due|exp|held|dead|d|q|ring|w|wring|wdue)(:|$)/
                    .test(name));
        if (names.length > 0)
            throw new Error(names.slice(0, 5).join(' '));
        return true;
    });
    const ends = w.ledger.ends();
    for (const mail of w.ledger.mails)
        await sameIsSaid(w, mail, ends);
}

async function sameIsSaid(w, mail, ends) {
    const answer = await w.service.call(
        'GET', `/v1/emails/${mail.id}`, undefined,
        { key: w.ledger.keys[mail.owner] });
    if (answer.status !== 200)
        throw new Error(`GET mail ${mail.n}: ${answer.status} ${answer.text}`);
    for (const { address, status } of answer.json.recipients) {
        const types = w.ledger.endsOf(mail, address, ends)
            .map(({ type }) => type);
        if (types.at(-1) !== `email.${status}`)
            throw new Error(`mail ${mail.n} ${mail.id} ${address}: GET says ` +
                            `${status}, the events ${types.join(' ')}`);
    }
}
