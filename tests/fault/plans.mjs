// plans.mjs - the table of fault plans: one row is one kind of trouble.
//
//   what       in words, for the figures
//   world      how it differs from the usual one (lib/world.mjs)
//   trouble    one round of it, w being the world; it begins when mails flow
//   once       one round is enough; else there are rounds as long as mails are
//              sent. While a round goes on, mails are sent, in any case.
//   rest       ms between two rounds; usually enough for some mails to pass
//   duplicates may there be any? (flagged ones; others never are)
//   leaves     may a POST stay without any answer? (an api process dies)
//   expires    may mails with a deadline expire?
//   recoveryMaxMs  if not 2 s
//   stales     may webhooks be refused for the time of their signature?
//   slow       takes longer than a minute: not in the short form, which has
//              `brief` in its place
//   mail       more of the n-th mail: (w, n) => fields
//   after      what must be true besides, when all is settled
import { ROLES, pause } from './lib/world.mjs';
import { diskWorld, fillDisk } from './lib/disk.mjs';
import * as cluster from './lib/cluster.mjs';
import { HURDLES, inTime, shortLived } from './lib/deadlines.mjs';
import { failover, zombie as oldMaster } from './lib/failover.mjs';
import { fakedRoles, jump } from './lib/faketime.mjs';
import { EVERYTHING, anything, nothingLeft } from './lib/everything.mjs';
import { zombie } from './lib/zombie.mjs';

// A lease that a busy machine keeps is the rule; these plans outlast it.
const BRIEF_LEASE = { lease: '1s' };
const LEASE_MS = 1000;
const A_LITTLE_MS = 250;
const HOUR_MS = 3_600_000;
const CLOCK_ASKED_MS = 1200; // processes ask Redis for the time once a second

const aLittle = (w) => pause(w.chance.below(A_LITTLE_MS));

async function redisIsAway(w, ms) {
    await w.redis.stop();
    await pause(ms);
    await w.redis.start();
    await w.recovers();
}

// Redis is away for a while, and its clock says that it was longer.
async function redisWasAway(w, ms, saidMs) {
    const { port } = w.redis;
    await w.redis.stop();
    await pause(ms);
    w.redis.port = await w.freePort();
    await w.redis.start();
    await w.redis.cli('HSET', 'ph:meta', 'test_offset_ms', String(saidMs));
    await w.redis.stop();
    w.redis.port = port;
    await w.redis.start();
    await w.recovers();
}

const PLANS = {
    'worker-kill9': {
        what: 'a worker child is killed, again and again; at times all of it',
        rest: 0,
        duplicates: true,
        async trouble(w) {
            await aLittle(w);
            if (w.chance.below(4) > 0)
                await w.endChild('worker', 'SIGKILL');
            else
                await w.restart('worker', 'SIGKILL');
            await w.recovers();
        },
    },
    'worker-term': {
        what: 'a worker child, or all of it, is asked to end',
        async trouble(w) {
            await aLittle(w);
            if (w.chance.below(2) > 0)
                await w.endChild('worker', 'SIGTERM');
            else
                await w.restart('worker', 'SIGTERM');
            await w.recovers();
        },
    },
    'worker-freeze': {
        what: 'a worker child stands still beyond its lease, then goes on',
        world: BRIEF_LEASE,
        duplicates: true,
        async trouble(w) {
            await aLittle(w);
            await w.freeze(await w.child('worker'), 2.5 * LEASE_MS);
            await w.recovers();
        },
    },
    'worker-zombie': {
        what: 'a stopped worker is woken when another has done its work',
        once: true,
        ...zombie,
    },
    'api-kill9': {
        what: 'an api child is killed, again and again; at times all of it',
        rest: 0,
        leaves: true,
        async trouble(w) {
            await aLittle(w);
            if (w.chance.below(4) > 0)
                await w.endChild('api', 'SIGKILL');
            else
                await w.restart('api', 'SIGKILL');
            await w.recovers();
        },
    },
    'api-term': {
        what: 'an api child, or all of it, is asked to end',
        leaves: true, // a refused connect, while none is there
        async trouble(w) {
            await aLittle(w);
            if (w.chance.below(2) > 0)
                await w.endChild('api', 'SIGTERM');
            else
                await w.restart('api', 'SIGTERM');
            await w.recovers();
        },
    },
    'hooks-kill9': {
        what: 'a hooks child is killed, again and again; at times all of it',
        rest: 0,
        async trouble(w) {
            await aLittle(w);
            if (w.chance.below(4) > 0)
                await w.endChild('hooks', 'SIGKILL');
            else
                await w.restart('hooks', 'SIGKILL');
            await w.recovers();
        },
    },
    'all-kill9': {
        what: 'every process of the service is killed at once',
        rest: 0,
        duplicates: true,
        leaves: true,
        async trouble(w) {
            await aLittle(w);
            await w.restartAll('SIGKILL');
            await w.recovers();
        },
    },
    'redis-kill9': {
        what: 'redis-server is killed and comes back, again and again',
        async trouble(w) {
            await aLittle(w);
            await w.redis.kill();
            await w.redis.start();
            await w.recovers();
        },
    },
    'redis-term': {
        what: 'redis-server is asked to end and comes back, again and again',
        async trouble(w) {
            await aLittle(w);
            await redisIsAway(w, 0);
        },
    },
    'redis-down-20s': {
        what: 'redis-server is away for 20 s, with a lease of 1 s',
        once: true,
        world: BRIEF_LEASE,
        trouble: (w) => redisIsAway(w, 20_000),
    },
    'redis-down-90s': {
        what: 'redis-server is away for 90 s, with a lease of 10 s',
        once: true,
        slow: true,
        world: { lease: '10s' },
        trouble: (w) => redisIsAway(w, 90_000),
        // Its clock tells of 90 s.
        brief: { trouble: (w) => redisWasAway(w, 3000, 90_000) },
    },
    'redis-clock-step': {
        what: 'the clock of Redis jumps by an hour, forth and back',
        once: true,
        expires: true,
        async trouble(w) {
            for (const ms of [HOUR_MS, 0, -HOUR_MS, 0]) {
                await w.redis.cli('HSET', 'ph:meta', 'test_offset_ms',
                                  String(ms));
                await w.recovers('transactional');
                await pause(CLOCK_ASKED_MS); // then a code has its time again
                await w.recovers('verification');
            }
        },
    },
    'redis-freeze': {
        what: 'redis-server stands still, within and beyond the lease',
        world: BRIEF_LEASE,
        async trouble(w) {
            await aLittle(w);
            await w.freeze(w.redis.program.pid,
                           w.chance.pick([500, 1500, 2500]));
            await w.recovers();
        },
    },
    'redis-cut': {
        what: 'every connection to Redis is cut, again and again',
        world: { isProxied: true },
        async trouble(w) {
            await aLittle(w);
            w.proxy.set({ cut: true });
            await w.recovers();
        },
    },
    'redis-slow': {
        what: 'Redis is 100 ms to 1 s away',
        world: { isProxied: true },
        async trouble(w) {
            w.proxy.set({ delayMs: w.chance.pick([50, 200, 350, 500]) });
            await pause(1500);
            w.proxy.set({ delayMs: 0 });
            await w.recovers();
        },
    },
    'redis-half': {
        what: 'bytes to Redis, or from it, vanish and nobody is told',
        world: { isProxied: true },
        async trouble(w) {
            await aLittle(w);
            w.proxy.set({ vanishes: w.chance.pick([
                ['requests'], ['replies'], ['requests', 'replies']]) });
            await pause(w.chance.pick([500, 1500]));
            w.proxy.set({ vanishes: [] });
            await w.recovers();
        },
    },
    'redis-truncate': {
        what: 'a reply of Redis ends in the middle, again and again',
        world: { isProxied: true },
        async trouble(w) {
            for (let i = 0; i < 5; i++) {
                await pause(50 + w.chance.below(100));
                w.proxy.set({ truncates: true });
            }
            await w.redisTalks();
            await w.recovers();
        },
    },
    'disk-full': {
        what: 'no room for the append-only file, appendfsync always',
        once: true,
        world: diskWorld('always'),
        async trouble(w) {
            const free = fillDisk(w);
            await w.redis.program.ended; // it will not lie about a write
            await pause(A_LITTLE_MS);
            free();
            await w.redis.start();
            await w.recovers();
        },
    },
    'disk-full-everysec': {
        what: 'no room for the append-only file, appendfsync everysec',
        once: true,
        world: diskWorld('everysec'),
        async trouble(w) {
            const free = fillDisk(w);
            await w.redisSays(/aof_last_write_status:err/);
            await pause(1000);
            free();
            await w.redisSays(/aof_last_write_status:ok/);
            await w.recovers();
        },
    },
    oom: {
        what: 'redis-server is at its maxmemory',
        async trouble(w) {
            await w.redis.cli('CONFIG', 'SET', 'maxmemory', '1mb');
            await w.refuses();
            await pause(A_LITTLE_MS);
            await w.redis.cli('CONFIG', 'SET', 'maxmemory', '512mb');
            await w.recovers();
        },
    },
    'upstream-cut': {
        what: 'the upstream breaks every connection off, or is away',
        rest: 0,
        duplicates: true,
        async trouble(w) {
            const [sink] = w.sinks;
            await aLittle(w);
            for (const socket of sink.sockets)
                socket.destroy();
            if (w.chance.below(4) === 0) {
                await sink.close();
                await pause(A_LITTLE_MS);
                await sink.listen(sink.port);
            }
        },
    },
    'upstream-drop-after-dot': {
        what: 'the upstream takes a third of the mails and hangs up',
        rest: 0,
        world: { moods: { dot: { takeAndClose: 33, slow: 10 } } },
        duplicates: true,
        trouble: aLittle,
    },
    'upstream-never-answers': {
        what: 'the upstream takes mails, or connections, and is silent',
        rest: 0,
        world: { stepTimeout: '2s',
                 moods: { connect: { stall: 5 }, dot: { takeAndStall: 5 } } },
        duplicates: true,
        trouble: aLittle,
    },
    'upstream-deadlines': {
        what: 'mails with seconds to live; the upstream greylists, is late, hangs',
        // Room for the events of 100,000: what is swept is not told any more.
        world: { stepTimeout: '6s', sessions: 200,
                 redisTable: { history_max: '1GiB' } },
        expires: true,
        rest: 0,
        mail: shortLived,
        async trouble(w) {
            w.sinks[0].moods = HURDLES; // those without a deadline are through
            await aLittle(w);
        },
        after: inTime,
    },
    failover: {
        what: 'the master of three Sentinels dies; wait_replicas = 1',
        once: true,
        duplicates: true,
        ...failover,
    },
    'failover-zombie': {
        what: 'a frozen master is replaced, wakes and still takes writes',
        once: true,
        duplicates: true,
        ...oldMaster,
    },
    'cluster-reshard': {
        what: 'slots of a Redis Cluster move to other masters, live',
        once: true,
        ...cluster.reshard,
    },
    'cluster-failover': {
        what: 'a master of a Redis Cluster dies, and is back as a replica',
        once: true,
        duplicates: true,
        ...cluster.failover,
    },
    'clock-jump': {
        what: 'the clock of one role jumps by an hour, forth and back',
        world: fakedRoles(ROLES),
        stales: true,
        async trouble(w) {
            const role = w.chance.pick(ROLES);
            for (const seconds of [3600, 0, -3600, 0]) {
                jump(role, seconds);
                await w.recovers();
            }
        },
    },
    everything: {
        what: 'all of it by chance, with a moody upstream and endpoint',
        slow: true,
        world: EVERYTHING,
        duplicates: true,
        leaves: true,
        seconds: 600,
        trouble: anything,
        after: nothingLeft,
        brief: { seconds: 20 },
    },
};

export default PLANS;
