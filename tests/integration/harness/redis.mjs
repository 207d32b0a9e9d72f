// redis.mjs - a private redis-server, as durable as Posthaste demands. The
// service logs in as the user of deploy/redis/users.acl, so that every test
// shows that it needs no other command; the tests are the default user.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { ROOT } from './npm.mjs';
import { MEMORY, Program, folder, freePort, must } from './scope.mjs';

const USERS = fs
    .readFileSync(path.join(ROOT, 'deploy/redis/users.acl'), 'utf8')
    .replace('user default off', 'user default on nopass ~* &* +@all');

export async function startRedis({ appendfsync = 'everysec', args = [],
                                   dir = folder('redis', MEMORY) } = {}) {
    const redis = new Redis(dir, await freePort(),
                            [`--appendfsync`, appendfsync, ...args]);
    await redis.start();
    return redis;
}

// Its AOF may hold a gigabyte by then: it is rewritten at two.
const LOADED_MAX_MS = 60_000;

class Redis {
    constructor(dir, port, args) {
        this.dir = dir;
        this.port = port;
        this.args = args;
        this.url = `redis://127.0.0.1:${port}/0`;
        this.username = 'posthaste';
    }

    async start() {
        fs.writeFileSync(path.join(this.dir, 'users.acl'), USERS);
        this.program = new Program('redis-server', 'redis-server', [
            '--port', String(this.port), '--bind', '127.0.0.1',
            '--dir', this.dir, '--aclfile', path.join(this.dir, 'users.acl'),
            '--appendonly', 'yes', '--save', '',
            '--maxmemory', '512mb', '--maxmemory-policy', 'noeviction',
            '--auto-aof-rewrite-min-size', '2gb', '--daemonize', 'no',
            ...this.args,
        ]);
        await this.program.says(/Ready to accept connections/, LOADED_MAX_MS);
    }

    // One command by redis-cli; gives what it prints.
    async cli(...args) {
        return (await must('redis-cli', ['-p', String(this.port), ...args]))
            .trimEnd();
    }

    async stop() {
        await this.program.end('SIGTERM');
    }

    async kill() {
        this.program.kill('SIGKILL');
        await this.program.ended;
    }
}

// Listens where a stopped redis-server was and never answers: a server that
// hangs instead of refusing.
export function deafRedis(port) {
    return new Promise((resolve, reject) => {
        const sockets = new Set();
        const server = net.createServer((socket) => {
            sockets.add(socket);
            socket.on('error', () => {});
            socket.on('close', () => sockets.delete(socket));
        });
        server.once('error', reject);
        server.listen(port, '127.0.0.1', () => resolve({
            close: () => new Promise((done) => {
                for (const socket of sockets)
                    socket.destroy();
                server.close(done);
            }),
        }));
    });
}
