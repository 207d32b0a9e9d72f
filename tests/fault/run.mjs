// run.mjs - runs fault plans side by side, each in a process of its own, and
// prints their figures; see run.sh.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import PLANS from './plans.mjs';

const PLAN = fileURLToPath(new URL('plan.mjs', import.meta.url));

const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        long: { type: 'boolean', default: false },
        seeds: { type: 'string' },
        mails: { type: 'string' },
        seconds: { type: 'string' },
        jobs: { type: 'string' },
        untimed: { type: 'boolean', default: false },
    },
});
const seeds = (options.seeds ?? (options.long ? '1,2,3' : '1')).split(',');
const mails = options.mails ?? (options.long ? '2000' : '300');
const jobs = Number(options.jobs ?? 2);
const names = positionals.length > 0 ? positionals : Object.keys(PLANS);

for (const name of names)
    if (!(name in PLANS)) {
        console.error(`run.sh: no plan '${name}'; there are: ` +
                      Object.keys(PLANS).join(' '));
        process.exit(2);
    }

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'posthaste-fault-'));
process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));

// One plan with one seed, to its end: its figures.
function run(name, seed) {
    const file = path.join(dir, `${name}-${seed}.json`);
    const env = { ...process.env, FAULT_SEED: seed, FAULT_MAILS: mails,
                  FAULT_FIGURES: file };
    delete env.NODE_TEST_CONTEXT;
    if (!options.long)
        env.FAULT_BRIEF = '1';
    if (options.untimed)
        env.FAULT_UNTIMED = '1';
    if (options.seconds)
        env.FAULT_SECONDS = options.seconds;
    const child = spawn(process.execPath, [PLAN, name],
                        { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    for (const stream of [child.stdout, child.stderr])
        stream.on('data', (bytes) => (log += bytes));
    return new Promise((resolve) => child.on('close', (code) => {
        const figures = fs.existsSync(file)
            ? JSON.parse(fs.readFileSync(file))
            : { plan: name, seed, faults: ['no account was settled'] };
        if (code !== 0 && !figures.faults?.length)
            figures.faults = [`exit code ${code}`];
        resolve({ ...figures, log });
    }));
}

const COLUMNS = {
    plan: ['plan', 24], seed: ['seed', 4], mails: ['mails', 6],
    lost: ['lost', 5], duplicates: ['flagged', 8],
    unflagged: ['unflagged', 10], post_max_ms: ['POST ms', 8],
    recovery_ms: ['back ms', 8], growth_mib: ['MiB', 5], seconds: ['s', 4],
};

function line(cell) {
    return Object.entries(COLUMNS).map(([key, [title, width]]) =>
        (key === 'plan' ? String(cell(key, title)).padEnd(width)
                        : String(cell(key, title)).padStart(width))).join('');
}

function verdict({ faults, skipped }) {
    if (skipped)
        return `  skipped: ${skipped}`;
    return faults.length === 0 ? '  ok'
        : `  FAILED: ${faults[0].split('\n')[0].slice(0, 300)}`;
}

// The long ones first, so that the others fit around them.
const weight = (name) => (PLANS[name].slow ? 2 : 0) +
                         (PLANS[name].once ? 1 : 0);
const waiting = seeds.flatMap((seed) => names.map((name) => ({ name, seed })))
    .sort((a, b) => weight(b.name) - weight(a.name));
const done = [];

async function work() {
    while (waiting.length > 0) {
        const { name, seed } = waiting.shift();
        const figures = await run(name, seed);
        done.push(figures);
        console.log(`${figures.faults?.length ? 'not ok' : 'ok'} ` +
                    line((key) => figures[key] ?? '-'));
        for (const fault of figures.faults ?? [])
            console.log(`    ${fault}`);
        if (figures.faults?.length)
            console.log(figures.log.replace(/^/gm, '      ').slice(-4000));
    }
}

await Promise.all(Array.from({ length: jobs }, work));

const order = Object.keys(PLANS);
done.sort((a, b) => order.indexOf(a.plan) - order.indexOf(b.plan) ||
                    Number(a.seed) - Number(b.seed));
const bad = done.filter(({ faults }) => faults?.length > 0).length;
const sum = (key) => done.reduce((total, figures) =>
    total + (figures[key] ?? 0), 0);
console.log(`# pass ${done.length - bad}\n# fail ${bad}\n`);
console.log(line((key, title) => title));
for (const figures of done)
    console.log(line((key) => figures[key] ?? '-') + verdict(figures));
console.log(`${sum('mails')} mails, ${sum('recipients')} recipients: ` +
            `${sum('lost')} lost, ${sum('duplicates')} duplicates flagged, ` +
            `${sum('unflagged')} unflagged, ${bad} plans failed`);
process.exit(bad > 0 ? 1 : 0);
