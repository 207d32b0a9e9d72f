// cluster.mjs - plans on a Redis Cluster of three masters with a replica each;
// owners live in partitions on all of them.
import { startCluster } from '../../integration/harness/cluster.mjs';
import { until } from '../../integration/harness/scope.mjs';
import { pause } from './world.mjs';

const OWNERS = ['default', 'one', 'two', 'three']; // at home in as many
const HALFWAY_MS = 60; // at most, with some keys here and some there
const ALONE_MS = 500; // the new master, before the old one is back

function onCluster(more) {
    return {
        redis: () => startCluster({ args: ['--appendfsync', 'always'] }),
        owners: OWNERS,
        partitions: OWNERS.length,
        ...more,
    };
}

// One of those that hold no slot of that key.
async function otherMaster(w, key) {
    const now = await w.redis.masterOf(key);
    return w.chance.pick((await w.redis.masters())
        .map(({ server }) => server).filter((server) => server !== now));
}

async function recoverAll(w, owners = OWNERS) {
    await Promise.all(owners.map((owner) =>
        w.recovers('verification', owner)));
}

// Slots that move side by side: two partitions at a time, and what is in none.
const MOVES = [
    ['ph:{0}:', 'ph:{3}:', 'ph:meta'],
    ['ph:{1}:', 'ph:{2}:', ...OWNERS.map((owner) => `ph:o:${owner}`)],
];

export const reshard = {
    world: onCluster({}),

    async trouble(w) {
        for (const keys of MOVES) {
            await Promise.all(keys.map(async (key) =>
                w.redis.move(key, await otherMaster(w, key),
                             () => pause(w.chance.below(HALFWAY_MS)))));
            await recoverAll(w);
        }
    },
};

export const failover = {
    world: onCluster({ redisTable: { wait_replicas: 1 } }),

    // Nothing is accepted where no replica is left, and all goes on elsewhere.
    async trouble(w) {
        const key = `ph:{${w.chance.below(OWNERS.length)}}:`;
        const victim = await w.redis.masterOf(key);
        const begin = Date.now();
        await victim.kill();
        const master = await until('its replica takes over', () =>
            w.redis.masterOf(key), 20_000);
        w.notes.failover_ms = Date.now() - begin;
        const elsewhere = [];
        for (const [i, owner] of OWNERS.entries())
            if (await w.redis.masterOf(`ph:{${i}}:`) !== master)
                elsewhere.push(owner);
        await recoverAll(w, elsewhere);
        await pause(ALONE_MS);
        await victim.start();
        await w.redis.isWhole();
        if (!(await victim.cli('ROLE')).startsWith('slave'))
            throw new Error('the old master is no replica');
        await recoverAll(w);
    },
};
