// memory.mjs - how large the children of a service become.
import fs from 'node:fs';

const EVERY_MS = 100;
const PAGE_KIB = 4;
const CONNECTION_KIB = 20; // at most (docs/performance.md)

// children(): [{ role, pid }], asked again and again. Gives the watch:
// mark() begins, growthMib() is how much the largest child of any role has
// grown beyond the largest of that role at the mark, without what the
// connections cost that were opened since: how many come is the clients'
// doing (api.connections_per_ip).
export function watchMemory(children) {
    const watch = new Watch(children);
    watch.timer = setInterval(() => watch.look(), EVERY_MS);
    watch.timer.unref();
    return watch;
}

class Watch {
    peak = {}; // { kib, files } of each role
    base = {};

    constructor(children) {
        this.children = children;
    }

    look() {
        for (const { role, pid } of this.children()) {
            const { kib, files } = this.peak[role] ?? { kib: 0, files: 0 };
            this.peak[role] = { kib: Math.max(kib, residentKib(pid)),
                                files: Math.max(files, openFiles(pid)) };
        }
    }

    mark() {
        this.look();
        this.base = { ...this.peak };
    }

    growthMib() {
        this.look();
        const grown = Object.keys(this.base).map((role) =>
            this.peak[role].kib - this.base[role].kib -
            (this.peak[role].files - this.base[role].files) * CONNECTION_KIB);
        return Math.max(0, ...grown) / 1024;
    }
}

function residentKib(pid) {
    try {
        const [, resident] = fs.readFileSync(`/proc/${pid}/statm`, 'utf8')
            .split(' ');
        return Number(resident) * PAGE_KIB;
    } catch {
        return 0; // it ended
    }
}

function openFiles(pid) {
    try {
        return fs.readdirSync(`/proc/${pid}/fd`).length;
    } catch {
        return 0;
    }
}
