// meter.mjs - how long something took, without the time in which this process
// itself stood still: on a busy machine that would be measured, too.
const TICK_MS = 20;
const STALL_MS = 250; // shorter ones count as the time of what is measured
const KEPT = 1000; // stalls

const stalls = []; // { from, to }
let last = performance.now();

setInterval(() => {
    const now = performance.now();
    if (now - last > STALL_MS) {
        stalls.push({ from: last + TICK_MS, to: now });
        if (stalls.length > KEPT)
            stalls.shift();
    }
    last = now;
}, TICK_MS).unref();

// ms of that stretch of wall clock in which this process stood still.
export function standstill(from, to) {
    const begin = from - performance.timeOrigin;
    const end = to - performance.timeOrigin;
    return stalls.reduce((sum, stall) => sum + Math.max(0,
        Math.min(stall.to, end) - Math.max(stall.from, begin)), 0);
}

// Begins to measure; the result gives the ms since then.
export function meter() {
    const begin = performance.now();
    return () => {
        const now = performance.now();
        let stood = now - last > STALL_MS ? now - last - TICK_MS : 0;
        for (const { from, to } of stalls)
            stood += Math.max(0, Math.min(to, now) - Math.max(from, begin));
        return Math.round(now - begin - Math.min(stood, now - begin));
    };
}
