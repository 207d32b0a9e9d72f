// failover.mjs - a master with two replicas under three Sentinels; the master
// dies, and nothing that was acknowledged may be lost with it.
import { until } from '../../integration/harness/scope.mjs';
import { startReplicated } from '../../integration/harness/sentinel.mjs';

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

export const failover = {
    world: {
        async redis() {
            return new Following(await startReplicated({
                replicas: 2, args: ['--appendfsync', 'always'] }));
        },
        redisTable: { wait_replicas: 1 },
    },

    async trouble(w) {
        const { replicated } = w.redis;
        const old = await replicated.master();
        const begin = Date.now();
        await old.kill();
        const master = await replicated.failedOver(old);
        await until('the other replica follows', async () =>
            /state=online/.test(await master.cli('INFO', 'replication')),
            20_000);
        w.notes.failover_ms = Date.now() - begin;
        await w.recovers();
    },
};
