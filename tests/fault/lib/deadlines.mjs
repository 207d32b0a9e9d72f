// deadlines.mjs - the plan of mails with seconds to live: none is sent behind
// its deadline, and each that is not sent is told as expired.
import assert from 'node:assert/strict';
import { standstill } from './meter.mjs';

const LIFE_MAX_S = 8;
// A dot that left in time, and was read by a process with much to do.
const LATE_MAX_MS = 250;

export const HURDLES = {
    connect: { stall: 1 },
    mail: { soft: 2 },
    rcpt: { grey: 8, soft: 5, late: 10, stall: 1 },
    data: { soft: 2, late: 5, stall: 0.5 },
    dot: { soft: 3, slow: 10 },
};

export function shortLived(w) {
    return { scheduled_at: undefined,
             expires_in: 1 + w.chance.below(LIFE_MAX_S) };
}

// As its events say when it was accepted.
function deadlineOf({ body }, [{ payload }]) {
    return Date.parse(payload.data.created_at) + 1000 * body.expires_in;
}

const middle = (sorted) => Math.round(sorted[sorted.length >> 1] ?? 0);

// How late the last bytes of mails came, and how long behind its deadline an
// expired one was told of.
export function inTime(w) {
    const taken = w.ledger.taken();
    const late = [];
    const told = [];
    for (const mail of w.ledger.mails) {
        const ends = w.endsOf(mail);
        const deadline = deadlineOf(mail, ends);
        for (const { at } of mail.to.flatMap((to) => taken.get(to) ?? []))
            if (at > deadline)
                late.push({ n: mail.n, ms: at - deadline -
                                           standstill(deadline, at) });
        for (const { payload } of ends)
            if (payload.type === 'email.expired')
                told.push(Date.parse(payload.data.timestamp) - deadline);
    }
    told.sort((a, b) => a - b);
    Object.assign(w.notes, {
        expired: told.length, late: late.length,
        late_max_ms: Math.max(0, ...late.map(({ ms }) => ms)),
        expiry_p50_ms: middle(told), expiry_max_ms: told.at(-1) ?? 0,
    });
    assert.ok(told.length > 0, 'no mail expired');
    assert.deepEqual(late.filter(({ ms }) => ms > LATE_MAX_MS), []);
}
