// proxy.mjs - the way to a redis-server, and what may happen on it: cut, slow,
// half-open, an answer that ends in the middle.
//
// It runs in a process of its own, so that what the test does besides makes
// Redis no slower than the plan wants. (A thread was seen to spin for ever
// when it was to end.)
import { fork } from 'node:child_process';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { atEnd } from '../../integration/harness/scope.mjs';

const FILE = fileURLToPath(import.meta.url);

// Gives { url, truncates, set(what) }; set moves delayMs, vanishes (a list of
// directions), truncates, or cuts every connection.
export async function startProxy(port) {
    const child = fork(FILE, [port], { silent: true });
    const proxy = { truncates: false };
    proxy.set = (what) => {
        Object.assign(proxy, what);
        child.send(what);
    };
    atEnd(() => child.kill('SIGKILL'));
    proxy.url = await new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('exit', () => reject(new Error('the proxy has ended')));
        child.once('message', (listening) =>
            resolve(`redis://127.0.0.1:${listening}/0`));
    });
    child.on('message', () => (proxy.truncates = false));
    return proxy;
}

// Directions: 'requests' go to Redis, 'replies' come from it.
class Proxy {
    delayMs = 0;        // for each piece, in each direction
    vanishes = new Set(); // directions whose bytes vanish, on every connection
    truncates = false;  // the next reply
    links = new Set();

    constructor(port) {
        this.port = port;
        this.server = net.createServer({ noDelay: true }, (near) =>
            new Link(this, near));
    }

    // Bytes of those directions vanish, and nobody is told. Connections of
    // this time stay dead when it is over, as they do behind a router that
    // lost its state.
    vanish(directions) {
        this.vanishes = new Set(directions);
        for (const link of this.links)
            link.isLost = link.isLost || directions.length > 0;
    }

    set({ delayMs = this.delayMs, truncates = this.truncates, vanishes, cut }) {
        this.delayMs = delayMs;
        this.truncates = truncates;
        if (vanishes !== undefined)
            this.vanish(vanishes);
        if (cut) // by a reset that both sides see
            for (const link of this.links)
                link.end();
    }
}

class Link {
    isLost = false;
    isCut = false;
    waiting = { requests: [], replies: [] }; // pieces that are late

    constructor(proxy, near) {
        this.proxy = proxy;
        this.near = near;
        this.far = net.connect({ port: proxy.port, host: '127.0.0.1',
                                 noDelay: true });
        this.isLost = proxy.vanishes.size > 0;
        proxy.links.add(this);
        this.join('requests', near, this.far);
        this.join('replies', this.far, near);
    }

    join(direction, from, to) {
        from.on('error', () => this.end());
        from.on('close', () => this.end());
        from.on('data', (bytes) => this.take(direction, to, bytes));
    }

    take(direction, to, bytes) {
        const { proxy } = this;
        if (this.isCut ||
            (proxy.vanishes.size > 0 ? proxy.vanishes.has(direction)
                                     : this.isLost))
            return;
        if (proxy.truncates && direction === 'replies' && bytes.length > 1) {
            proxy.truncates = false;
            process.send('cut');
            this.isCut = true;
            to.write(bytes.subarray(0, bytes.length >> 1), () => this.end());
        } else {
            this.pass(direction, to, bytes);
        }
    }

    // In order, whatever becomes of the delay meanwhile.
    pass(direction, to, bytes) {
        const { delayMs } = this.proxy;
        const waiting = this.waiting[direction];
        if (delayMs === 0 && waiting.length === 0) {
            to.write(bytes);
            return;
        }
        waiting.push({ bytes, at: performance.now() + delayMs });
        if (waiting.length === 1)
            this.passLater(waiting, to);
    }

    passLater(waiting, to) {
        setTimeout(() => {
            const now = performance.now();
            while (waiting.length > 0 && waiting[0].at <= now && !to.destroyed)
                to.write(waiting.shift().bytes);
            if (waiting.length > 0 && !to.destroyed)
                this.passLater(waiting, to);
        }, Math.max(1, waiting[0].at - performance.now()));
    }

    end() {
        this.proxy.links.delete(this);
        for (const socket of [this.near, this.far])
            if (!socket.destroyed)
                socket.resetAndDestroy();
    }
}

if (process.argv[1] === FILE) {
    const proxy = new Proxy(Number(process.argv[2]));
    process.on('message', (what) => proxy.set(what));
    process.on('disconnect', () => process.exit());
    proxy.server.listen(0, '127.0.0.1', () =>
        process.send(proxy.server.address().port));
}
