// zombie.mjs - a worker child is stopped while it holds mails; another takes
// them when the lease is over; the first one wakes, finds the upstream's
// replies in its sockets, and must not send.
import { until } from '../../integration/harness/scope.mjs';
import { signalTo } from './world.mjs';

const CHILDREN = 2; // of the worker, as world.mjs has them
const MAILS = 12; // of each round: more sessions than one child may have

// The upstream answers nothing at that step until the gate opens; what its
// sessions wait for then is what the stopped worker finds.
async function round(w, step) {
    const [sink] = w.sinks;
    for (const socket of sink.sockets)
        socket.destroy(); // so that all sessions are new
    sink.shutGate(step);
    const mails = await Promise.all(Array.from({ length: MAILS }, () =>
        w.ledger.sendOne({ class: 'alert' })));
    // An upstream whose sessions just broke gets one from each child at first.
    await until(`sessions wait at ${step}`,
                () => sink.waitingAtGate >= CHILDREN);
    const zombie = await w.child('worker');
    signalTo(zombie, 'SIGSTOP');
    sink.openGate();
    await until('others have done its work', () => mails.every((mail) =>
        w.endsOf(mail).length > 0), 20_000);
    signalTo(zombie, 'SIGCONT');
    await w.recovers();
    return mails;
}

export const zombie = {
    world: { lease: '1s', idleMs: 60_000, moods: null },

    // What was not marked was certainly not sent, so nothing is said of it;
    // what was marked may have been, and that is said. Neither comes twice.
    async trouble(w) {
        w.unmarked = await round(w, 'connect');
        await round(w, 'rcpt');
    },

    async after(w) {
        for (const mail of w.unmarked)
            for (const { payload } of w.endsOf(mail))
                if (payload.data.possible_duplicate)
                    throw new Error(`${mail.id} was not marked, but is said ` +
                                    'to be a possible duplicate');
    },
};
