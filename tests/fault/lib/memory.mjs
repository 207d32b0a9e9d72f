// memory.mjs - how large the children of a service become.
import fs from 'node:fs';

const EVERY_MS = 100;
const PAGE_KIB = 4;

// children(): [{ role, pid }], asked again and again. Gives the watch:
// mark() begins, growthMib() is how much the largest child of any role has
// grown beyond the largest of that role at the mark.
export function watchMemory(children) {
    const watch = new Watch(children);
    watch.timer = setInterval(() => watch.look(), EVERY_MS);
    watch.timer.unref();
    return watch;
}

class Watch {
    peak = {};
    base = {};

    constructor(children) {
        this.children = children;
    }

    look() {
        for (const { role, pid } of this.children())
            this.peak[role] = Math.max(this.peak[role] ?? 0, residentKib(pid));
    }

    mark() {
        this.look();
        this.base = { ...this.peak };
    }

    growthMib() {
        this.look();
        const grown = Object.keys(this.base).map((role) =>
            this.peak[role] - this.base[role]);
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
