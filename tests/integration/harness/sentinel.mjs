// sentinel.mjs - a master, its replicas, and three Sentinels that watch them.
import fs from 'node:fs';
import path from 'node:path';
import { startRedis } from './redis.mjs';
import { Program, folder, freePort, must, until } from './scope.mjs';

// Fails over within about two seconds. args: of each redis-server; password:
// of the Sentinels.
export async function startReplicated({ replicas = 1, args = [],
                                        password } = {}) {
    const master = await startRedis({ args });
    const servers = [master];
    for (let i = 0; i < replicas; i++)
        servers.push(await startRedis({
            args: [...args, '--replicaof', '127.0.0.1', String(master.port)],
        }));
    await until('the replicas are there', async () =>
        (await master.cli('INFO', 'replication'))
            .split('\n').filter((line) => /state=online/.test(line)).length
        === replicas);
    const sentinels = [];
    for (let i = 0; i < 3; i++)
        sentinels.push(await startSentinel(master.port, password));
    const replicated = new Replicated(servers, sentinels, password);
    await replicated.agreed(replicas);
    return replicated;
}

async function startSentinel(masterPort, password) {
    const secret = password === undefined ? []
        : [`requirepass ${password}`, `sentinel sentinel-pass ${password}`];
    const port = await freePort();
    const file = path.join(folder('sentinel'), 'sentinel.conf');
    fs.writeFileSync(file, [
        `port ${port}`, 'bind 127.0.0.1',
        `sentinel monitor mail 127.0.0.1 ${masterPort} 2`,
        'sentinel down-after-milliseconds mail 500',
        'sentinel failover-timeout mail 3000', ...secret, '',
    ].join('\n'));
    // The same program as redis-sentinel.
    const program = new Program('redis-sentinel', 'redis-server',
                                [file, '--sentinel']);
    await program.says(/\+monitor master mail/);
    return { port, program };
}

class Replicated {
    constructor(servers, sentinels, password) {
        this.password = password;
        this.username = servers[0].username;
        this.servers = servers;
        this.sentinels = sentinels;
        this.url = 'sentinel://' + sentinels.map(({ port }) =>
            `127.0.0.1:${port}`).join(',') + '/mail/0';
    }

    ask(sentinel, ...args) {
        const login = this.password === undefined ? []
            : ['-a', this.password, '--no-auth-warning'];
        return must('redis-cli', ['-p', String(sentinel.port), ...login,
                                  'SENTINEL', ...args]);
    }

    // Each Sentinel knows the others and all replicas, so that it may act.
    async agreed(replicas) {
        for (const sentinel of this.sentinels)
            await until('the Sentinels know each other', async () => {
                const text = await this.ask(sentinel, 'MASTER', 'mail');
                return /num-other-sentinels\n2\n/.test(text) &&
                       text.includes(`num-slaves\n${replicas}\n`);
            }, 20_000);
    }

    // The server that the Sentinels take for the master.
    async master() {
        const text = await this.ask(this.sentinels.at(-1),
                                    'GET-MASTER-ADDR-BY-NAME', 'mail');
        const port = Number(text.split('\n')[1]);
        return this.servers.find((server) => server.port === port);
    }

    // A dead master is back as a replica. The Sentinels would make it one, but
    // take ten seconds to.
    restartBehind(server, master) {
        server.args.push('--replicaof', '127.0.0.1', String(master.port));
        return server.start();
    }

    // Another one than the given is master, and takes writes.
    async failedOver(old, timeout = 20_000) {
        return until('a failover', async () => {
            const now = await this.master();
            return now !== old &&
                   (await now.cli('ROLE')).startsWith('master') && now;
        }, timeout);
    }
}
