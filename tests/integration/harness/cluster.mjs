// cluster.mjs - a Redis Cluster on loopback: three masters, a replica each,
// set like that of tests/unit/queue/cluster_fixture.h.
import { startRedis } from './redis.mjs';
import { freePort, must, until } from './scope.mjs';

const MASTERS = 3;
const SLOTS = 16384;
const MOVE_KEYS = 60; // on their way at a time
const MOVE_MS = 2000; // for those

// A slot that nobody holds stops no other one; a master is given up after
// 1.5 s. args: of each redis-server.
export async function startCluster({ args = [] } = {}) {
    const servers = await Promise.all(Array.from(
        { length: 2 * MASTERS }, () => startServer(args)));
    const cluster = new Cluster(servers);
    await cluster.form();
    return cluster;
}

async function startServer(args) {
    const busPort = await freePort();
    const server = await startRedis({ args: [
        '--cluster-enabled', 'yes', '--cluster-port', String(busPort),
        '--cluster-node-timeout', '1500',
        '--cluster-require-full-coverage', 'no',
        '--repl-ping-replica-period', '1', '--repl-diskless-sync', 'yes',
        '--repl-diskless-sync-delay', '0', ...args,
    ] });
    return Object.assign(server, { busPort });
}

class Cluster {
    slots = {}; // of keys
    handedOver = Promise.resolve(); // the slot before

    constructor(servers) {
        this.servers = servers;
        this.username = servers[0].username;
        this.url = 'cluster://' + servers.slice(0, 2).map(({ port }) =>
            `127.0.0.1:${port}`).join(',') + '/';
    }

    async form() {
        const [first] = this.servers;
        const masters = this.servers.slice(0, MASTERS);
        await Promise.all(this.servers.map(async (server, i) => {
            server.id = await server.cli('CLUSTER', 'MYID');
            await server.cli('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1));
            await first.cli('CLUSTER', 'MEET', '127.0.0.1',
                            String(server.port), String(server.busPort));
        }));
        await Promise.all(masters.map((master, i) => master.cli(
            'CLUSTER', 'ADDSLOTSRANGE', String(Math.ceil(i * SLOTS / MASTERS)),
            String(Math.ceil((i + 1) * SLOTS / MASTERS) - 1))));
        await this.all('know each other', ['CLUSTER', 'INFO'],
                       new RegExp(`cluster_known_nodes:${2 * MASTERS}\\b`));
        await Promise.all(masters.map((master, i) =>
            this.servers[MASTERS + i].cli('CLUSTER', 'REPLICATE', master.id)));
        await this.isWhole();
    }

    // Each server's answer matches.
    async all(what, command, pattern) {
        await Promise.all(this.servers.map((server) =>
            until(`${server.port}: the servers ${what}`, async () => {
                const text = await server.cli(...command);
                if (!pattern.test(text))
                    throw new Error(text);
                return true;
            }, 20_000)));
    }

    // All slots are held, each master has its replica.
    async isWhole() {
        await this.all('hold all slots', ['CLUSTER', 'INFO'],
                       /cluster_state:ok[^]*cluster_slots_ok:16384\b/);
        await this.all('follow or are followed', ['INFO', 'replication'],
                       /state=online|master_link_status:up/);
    }

    get running() {
        return this.servers.filter(({ program }) => program.running);
    }

    // One command, to whoever holds its key.
    async cli(...args) {
        const [{ port }] = this.running;
        return (await must('redis-cli', ['-c', '-p', String(port), ...args]))
            .trimEnd();
    }

    async slotOf(key) {
        this.slots[key] ??= Number(await this.running[0].cli(
            'CLUSTER', 'KEYSLOT', key));
        return this.slots[key];
    }

    // The running masters as one of the servers knows them, with the ranges of
    // slots that they hold.
    async masters() {
        const [asked] = this.running;
        const lines = (await asked.cli('CLUSTER', 'NODES')).split('\n')
            .map((line) => line.trim().split(' '))
            .filter(([, , flags]) => /\bmaster\b/.test(flags));
        return lines.flatMap(([id, , , , , , , , ...ranges]) =>
            this.running.filter((server) => server.id === id)
                .map((server) => ({ server, ranges: ranges.map((range) =>
                    range.split('-').map(Number)) })));
    }

    // The one that holds the key's slot; undefined: there is none.
    async masterOf(key) {
        const slot = await this.slotOf(key);
        return (await this.masters()).find(({ ranges }) =>
            ranges.some(([first, last = first]) =>
                first <= slot && slot <= last))?.server;
    }

    // The slot of that key goes to another master, as the specification has
    // it: its keys some at a time, `between` behind each of those.
    async move(key, to, between = () => {}) {
        const slot = String(await this.slotOf(key));
        const from = await this.masterOf(key);
        await to.cli('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
        await from.cli('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
        for (;;) {
            const keys = (await from.cli('--raw', 'CLUSTER', 'GETKEYSINSLOT',
                                         slot, String(MOVE_KEYS)))
                .split('\n').filter(Boolean);
            if (keys.length === 0)
                break;
            await from.cli('MIGRATE', '127.0.0.1', String(to.port), '', '0',
                           String(MOVE_MS), 'KEYS', ...keys);
            await between();
        }
        this.handedOver = this.handedOver.then(() =>
            this.handOver(slot, from, to));
        await this.handedOver;
    }

    // One slot at a time: each takes a new epoch without asking anybody. Of two
    // that took the same, one takes another, and with it claims once more what
    // it has just given away: then nobody holds that slot.
    async handOver(slot, from, to) {
        for (const server of [to, from])
            await server.cli('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
    }
}
