// scope.mjs - what a test file starts, and that all of it ends with the file.
//
// Every process is the leader of a group of its own and is ended by its id;
// every folder is private and removed, unless KEEP is set in the environment.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';

const endings = [];
const groups = new Set();

// Endings run in reverse, each exactly once, when the test file ends.
export function atEnd(fn) {
    endings.push(fn);
}

after(async () => {
    const problems = [];
    while (endings.length > 0) {
        try {
            await endings.pop()();
        } catch (error) {
            problems.push(error);
        }
    }
    if (problems.length > 0)
        throw new AggregateError(problems, problems.map(String).join('\n'));
});

process.on('exit', () => {
    for (const pid of groups)
        killGroup(pid, 'SIGKILL');
});

// Who is asked to end takes what he started along.
for (const signal of ['SIGINT', 'SIGTERM'])
    process.once(signal, () => process.exit(1));

function killGroup(pid, signal) {
    try {
        process.kill(-pid, signal);
    } catch (error) {
        if (error.code !== 'ESRCH')
            throw error;
    }
}

// Where Redis keeps its files, if there is room: how busy this machine's disk
// is just now is no test's trouble.
const ROOM = 2 ** 30;
const SHARED = '/dev/shm';

function hasRoom(dir) {
    if (!fs.existsSync(dir))
        return false;
    const { bavail, bsize } = fs.statfsSync(dir);
    return bavail * bsize >= ROOM;
}

export const MEMORY = hasRoom(SHARED) ? SHARED : os.tmpdir();

// A private folder that the users of postfix and dovecot may walk through.
export function folder(name, where = os.tmpdir()) {
    const dir = fs.mkdtempSync(path.join(where, `posthaste-${name}-`));
    fs.chmodSync(dir, 0o711);
    if (!process.env.KEEP)
        atEnd(() => fs.rmSync(dir, { recursive: true, force: true }));
    return dir;
}

// Polls fn until it gives something true, and returns that; an exception
// counts as "not yet", unless it is Final. The error says what was waited for
// and what came last.
export class Final extends Error {}

export async function until(what, fn, timeout = 10_000) {
    const end = Date.now() + timeout;
    let last;
    for (;;) {
        try {
            const value = await fn();
            if (value)
                return value;
            last = value;
        } catch (error) {
            if (error instanceof Final)
                throw error;
            last = error;
        }
        if (Date.now() > end) {
            const seen = last instanceof Error ? last.message
                                               : JSON.stringify(last);
            throw new Error(`${what}: not within ${timeout} ms; last: ${seen}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

// A port nobody listens on, below the range that the kernel hands out for
// outgoing connections, so that none of those can take it meanwhile; nor does
// another test.
export async function freePort() {
    for (;;) {
        const port = 20_000 + Math.floor(Math.random() * 12_000);
        if (!await isOurs(port))
            continue;
        const free = await new Promise((resolve) => {
            const probe = net.createServer();
            probe.once('error', () => resolve(false));
            probe.listen(port, '127.0.0.1', () =>
                probe.close(() => resolve(true)));
        });
        if (free)
            return port;
    }
}

// A name in the abstract space of Unix sockets, which goes with this process.
function isOurs(port) {
    return new Promise((resolve) => {
        const claim = net.createServer().unref();
        claim.once('error', () => resolve(false));
        claim.listen(`\0posthaste-test-port-${port}`, () => resolve(true));
    });
}

// A running program. Its output is kept in `log`; `ended` resolves to
// { code, signal }.
export class Program {
    constructor(name, command, args, options = {}) {
        this.name = name;
        this.log = '';
        this.child = spawn(command, args, {
            stdio: ['ignore', 'pipe', 'pipe'],
            ...options,
            detached: true,
        });
        this.pid = this.child.pid;
        if (this.pid !== undefined)
            groups.add(this.pid);
        for (const stream of [this.child.stdout, this.child.stderr])
            stream?.on('data', (bytes) => {
                this.log += bytes;
            });
        this.ended = new Promise((resolve) => {
            this.child.on('error', (error) => {
                this.log += error;
                resolve({ code: null, signal: null });
            });
            this.child.on('close', (code, signal) => {
                this.exit = { code, signal };
                resolve(this.exit);
            });
        });
        atEnd(() => this.end());
    }

    get running() {
        return this.exit === undefined;
    }

    // One process of the group, by default the leader; the others notice.
    kill(signal, pid = this.pid) {
        process.kill(pid, signal);
    }

    // Asks, waits, and if that is not enough ends the whole group.
    async end(signal = 'SIGTERM', patience = 10_000) {
        if (this.running)
            killGroup(this.pid, signal);
        const timer = setTimeout(() => killGroup(this.pid, 'SIGKILL'),
                                 patience);
        const exit = await this.ended;
        clearTimeout(timer);
        killGroup(this.pid, 'SIGKILL');
        groups.delete(this.pid);
        return exit;
    }

    // Waits until the output matches.
    async says(pattern, timeout) {
        return until(`${this.name} says ${pattern}`, () => {
            const match = this.log.match(pattern);
            if (!match && !this.running)
                throw new Final(`${this.name} ended: ` +
                                this.log.slice(-2000));
            return match;
        }, timeout);
    }
}

// Runs a program to its end: { code, signal, stdout, stderr }.
export function run(command, args, options = {}) {
    const { input, ...rest } = options;
    return new Promise((resolve, reject) => {
        const child = spawn(command, args, {
            ...rest,
            stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
        });
        let stdout = '';
        let stderr = '';
        child.stdout.on('data', (bytes) => (stdout += bytes));
        child.stderr.on('data', (bytes) => (stderr += bytes));
        child.on('error', reject);
        child.on('close', (code, signal) =>
            resolve({ code, signal, stdout, stderr }));
        if (input !== undefined)
            child.stdin.end(input);
    });
}

// The same, and anything but exit 0 is an error. Gives what it printed.
export async function must(command, args, options) {
    const { code, signal, stdout, stderr } = await run(command, args, options);
    if (code !== 0)
        throw new Error(`${command} ${args.join(' ')}: exit ` +
                        `${code ?? signal}\n${stdout}${stderr}`);
    return stdout;
}
