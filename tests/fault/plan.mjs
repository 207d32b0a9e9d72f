// plan.mjs NAME - one plan of plans.mjs with one seed; run.mjs starts it.
//
// Environment: FAULT_SEED, FAULT_MAILS, FAULT_RATE (mails a second),
// FAULT_BRIEF (take the brief form of a slow plan), FAULT_UNTIMED (times are
// told, not judged), FAULT_FIGURES (a file: the figures as JSON), FAULT_LOG (a
// file: what the service logged). Fails unless the account is clean.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import PLANS from './plans.mjs';
import { faultsOf } from './lib/ledger.mjs';
import { CannotRun, pause, startWorld } from './lib/world.mjs';

const NAME = process.argv[2];
const SEED = Number(process.env.FAULT_SEED ?? 1);
const RATE = Number(process.env.FAULT_RATE ?? 60);
const BRIEF = process.env.FAULT_BRIEF !== undefined;
const UNTIMED = process.env.FAULT_UNTIMED !== undefined;

const POST_MAX_MS = 1000;
const RECOVERY_MAX_MS = 2000;
const GROWTH_MAX_MIB = 16; // a child holds at most 1024 commands and claims
const SETTLE_MS = 120_000;
const EXIT_MS = 15_000;
const WARM_MAILS = 20;
const REST_MS = 600; // between two rounds of trouble, for those who wait

const plan = { ...PLANS[NAME], ...(BRIEF ? PLANS[NAME].brief : {}) };
const SECONDS = process.env.FAULT_SECONDS ?? plan.seconds;
const MAILS = plan.seconds ? SECONDS * RATE
                           : Number(process.env.FAULT_MAILS ?? 300);

const CLASSES = ['verification', 'reset', 'alert', 'transactional', 'bulk'];

// The n-th mail: classes, unknown outcomes, recipients, times and sizes of
// every kind. What it says beyond the ledger's usual body.
function kindOf(world, n) {
    const more = { class: CLASSES[n % CLASSES.length] };
    if (n % 10 === 3)
        more.on_unknown = 'fail';
    if (n % 10 === 7)
        more.on_unknown = 'hold';
    if (n % 8 === 5)
        more.to = ['a', 'b', 'c'].map((who) =>
            `${who}${n}-${world.ledger.name}@inbox.test`);
    if (n % 12 === 4)
        more.scheduled_at = new Date(
            Date.now() + world.chance.below(3000)).toISOString();
    if (n % 30 === 11)
        more.attachments = [{ filename: 'big.bin', content:
            Buffer.alloc(200_000, n).toString('base64') }];
    return { ...more, ...plan.mail?.(world, n) };
}

async function trouble(world, load) {
    let isOver = false;
    const over = load.finally(() => (isOver = true));
    over.catch(() => {}); // awaited by the caller
    do {
        await plan.trouble(world);
        await pause(plan.rest ?? REST_MS);
    } while (!plan.once && !isOver);
}

// Waits for the end of all; what is held goes on when asked to.
async function settle(world) {
    let isOver = false;
    const asking = (async () => {
        while (!isOver) {
            await world.retryHeld();
            await pause(100);
        }
    })();
    try {
        await world.ledger.settled(SETTLE_MS);
    } finally {
        isOver = true;
        await asking;
    }
}

// --- the account ---

function endFits(world, mail, { payload: { type, data } }) {
    switch (type) {
    case 'email.sent':
        return true;
    case 'email.bounced':
        return world.sinks.some(({ refusals }) => refusals.has(data.recipient));
    case 'email.failed':
        return mail.body.on_unknown === 'fail' &&
               data.failed.reason === 'unknown_outcome';
    case 'email.expired':
        return plan.expires === true &&
               (mail.body.expires_in !== undefined ||
                !['transactional', 'bulk'].includes(mail.body.class));
    default:
        return false;
    }
}

function wrongEnds(world) {
    return world.ledger.mails.flatMap((mail) => world.endsOf(mail)
        .filter((end) => !endFits(world, mail, end))
        .map(({ payload }) => `mail ${mail.n} ${mail.id} (${mail.body.class},` +
            ` ${mail.body.on_unknown ?? 'retry'}) ended as ${payload.type}: ` +
            JSON.stringify(payload.data)));
}

function wrongAnswers({ answers, silences }) {
    const { careless, ...statuses } = answers;
    const allowed = ['200', '503',
                     ...(plan.leaves ? ['none', 'refused'] : [])];
    return [
        ...Object.keys(statuses).filter((status) =>
            status !== 'slowest' && !allowed.includes(status))
            .map((status) => `${statuses[status]} POSTs: ${status}`),
        ...[...new Set(silences)].slice(0, allowed.includes('none') ? 0 : 3),
        ...(careless ? [`${careless} answers 503 without Retry-After`] : []),
    ];
}

function slowness({ post_max_ms, recovery_ms }) {
    if (UNTIMED)
        return [];
    return [
        ...(post_max_ms > POST_MAX_MS ? [`a POST took ${post_max_ms} ms`] : []),
        ...(recovery_ms > (plan.recoveryMaxMs ?? RECOVERY_MAX_MS)
            ? [`recovery took ${recovery_ms} ms`] : []),
    ];
}

// Errors are logged only for what the plan did.
function wrongLines(world) {
    const made = /"event":"child\.died".*"signal":9\D/;
    return world.service.logs().split('\n').filter((line) =>
        !made.test(line) && (/"level":"(error|fatal)"/.test(line) ||
                             !/^(\{|$)/.test(line)));
}

// A webhook signed by a wrong clock is refused, and comes again.
function withoutStaleHooks(account) {
    const strangers = account.strangers.filter(({ why }) =>
        !(plan.stales && /^bad webhook: .*timestamp/i.test(why)));
    return Object.assign(Object.create(account), { strangers });
}

function faults(world, figures) {
    const some = (what, list) => (list.length === 0 ? []
        : [`${list.length} ${what}: ${list.slice(0, 3).join('\n')}`]);
    return [
        ...faultsOf(withoutStaleHooks(world.account),
                    { mayDuplicate: plan.duplicates === true }),
        ...some('wrong ends', wrongEnds(world)),
        ...wrongAnswers(world.ledger),
        ...some('unexpected lines in the log', wrongLines(world)),
        ...slowness(figures),
        ...(figures.growth_mib > GROWTH_MAX_MIB && !isSanitized(world)
            ? [`a child grew by ${figures.growth_mib} MiB`] : []),
    ];
}

// Freed memory stays with the sanitizer for a while.
function isSanitized(world) {
    const [{ pid }] = world.children();
    return /libasan/.test(fs.readFileSync(`/proc/${pid}/maps`, 'utf8'));
}

function figuresOf(world, begin) {
    const { account, ledger } = world;
    return {
        plan: NAME, seed: SEED, mails: account.mails,
        recipients: account.recipients, lost: account.lost.length,
        duplicates: account.duplicates.length,
        unflagged: account.unflagged.length,
        changed: account.changed.length, unended: account.unended.length,
        doubled: account.doubled.length,
        post_max_ms: ledger.answers.slowest,
        refused: ledger.answers[503] ?? 0,
        recovery_ms: Math.max(0, ...world.recoveries),
        recoveries: world.recoveries.length,
        growth_mib: Number(world.memory.growthMib().toFixed(1)),
        seconds: Math.round((Date.now() - begin) / 1000),
        ...world.notes,
    };
}

async function play(begin) {
    const world = await startWorld({ seed: SEED, ...plan.world });
    if (process.env.FAULT_LOG)
        process.on('exit', () =>
            fs.writeFileSync(process.env.FAULT_LOG, world.service.logs()));
    await world.ledger.send(WARM_MAILS, { rate: 200 });
    await settle(world);
    world.memory.mark();
    const load = world.ledger.send(MAILS, {
        rate: RATE, again: 'when told', patience: 300_000,
        more: (n) => kindOf(world, n),
    });
    await Promise.all([load, trouble(world, load)]);
    await Promise.all(world.late);
    await settle(world);
    await plan.after?.(world);
    world.account = world.ledger.account();
    const figures = figuresOf(world, begin);
    return { ...figures, faults: faults(world, figures) };
}

test(`${NAME}, seed ${SEED}`, async (t) => {
    let figures;
    try {
        figures = await play(Date.now());
    } catch (error) {
        // Callers who still ask would keep this process alive.
        setTimeout(() => process.exit(1), EXIT_MS).unref();
        if (!(error instanceof CannotRun))
            throw error;
        figures = { plan: NAME, seed: SEED, skipped: error.message };
        t.skip(error.message);
    }
    if (process.env.FAULT_FIGURES)
        fs.writeFileSync(process.env.FAULT_FIGURES, JSON.stringify(figures));
    t.diagnostic(JSON.stringify(figures));
    assert.deepEqual(figures.faults ?? [], []);
});
