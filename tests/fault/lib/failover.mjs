// failover.mjs - a master with two replicas under three Sentinels; the master
// dies, or is frozen and comes back as if nothing had been, and nothing that
// was acknowledged may be lost with it.
import { until } from '../../integration/harness/scope.mjs';
import { startReplicated } from '../../integration/harness/sentinel.mjs';
import { signalTo } from './world.mjs';

const LARGE = { attachments: [{
    filename: 'large.bin', content: Buffer.alloc(200_000, 1).toString('base64'),
}] };
const LARGE_MAILS = 8; // over all processes

// The master of the moment, as the rest of a plan knows a redis-server.
class Following {
    constructor(replicated) {
        this.replicated = replicated;
        this.url = replicated.url;
        this.username = replicated.username;
    }

    async cli(...args) {
        return (await this.replicated.master()).cli(...args);
    }
}

const WORLD = {
    async redis() {
        return new Following(await startReplicated({
            replicas: 2, args: ['--appendfsync', 'always'] }));
    },
    redisTable: { wait_replicas: 1 },
};

// Another one than old is master, and has a replica; since `begin`.
async function failedOver(w, old, begin) {
    const master = await w.redis.replicated.failedOver(old);
    await until('the other replica follows', async () =>
        /state=online/.test(await master.cli('INFO', 'replication')), 20_000);
    w.notes.failover_ms = Date.now() - begin;
}

export const failover = {
    world: WORLD,

    async trouble(w) {
        const { replicated } = w.redis;
        const old = await replicated.master();
        const begin = Date.now();
        await old.kill();
        await failedOver(w, old, begin);
        await w.recovers();
    },
};

export const zombie = {
    world: WORLD,

    // It takes the Sentinels some ten seconds to tell the old one.
    async trouble(w) {
        const old = await w.redis.replicated.master();
        const begin = Date.now();
        signalTo(old.program.pid, 'SIGSTOP');
        await failedOver(w, old, begin);
        signalTo(old.program.pid, 'SIGCONT');
        const woke = await old.cli('ROLE');
        if (!woke.startsWith('master'))
            throw new Error(`it is no master when it wakes: ${woke}`);
        await Promise.all(Array.from({ length: LARGE_MAILS }, () =>
            w.ledger.sendOne(LARGE)));
        await w.recovers();
        await until('the old one follows', async () =>
            (await old.cli('ROLE')).startsWith('slave'), 30_000);
        await w.recovers();
    },
};
