// moody.mjs - an upstream that fails in every way it can, by chance, and
// writes down what it took: its ledger is what an account is settled against.
//
// Written out, not a package, since those do not hang up on the dot.
import net from 'node:net';
import { atEnd } from './scope.mjs';

// In percent of each chance. A moodless sink takes everything.
export const MOODS = {
    connect: { refuse: 1, close: 1, stall: 0.5 },
    mail: { soft: 1 },
    rcpt: { soft: 4, hard: 3, close: 0.5 },
    data: { soft: 1, close: 0.5 },
    body: { close: 0.7 },
    dot: { soft: 3, hard: 2, close: 1.5, takeAndClose: 1.5, takeAndStall: 0.4,
           slow: 3 },
    after: { close: 2, limit: 1 },
};
const SLOW_MS = 200;
const LATE_MS = 4000; // at most

const SOFT = '451 4.3.0 come back\r\n';
const GREY = '450 4.2.0 Greylisted, come back\r\n';
const NO_MAIL = '503 5.5.1 no mail\r\n';
const HARD = '550 5.1.1 no such mailbox\r\n';

export async function startMoody(chance, name = 'moody') {
    const sink = new Moody(chance, name);
    await sink.listen(0);
    atEnd(() => sink.close());
    return sink;
}

class Moody {
    moods = MOODS;
    taken = []; // { to, raw, messageId, told: the 250 went out }
    refusals = new Map(); // address -> 5xx replies to it
    sockets = new Set();
    onRcpt = () => null; // (address): the mood of this RCPT, whatever chance
    idleMs = 2000; // then a session is dropped
    gate = null;   // { step, promise, open }
    waitingAtGate = 0;

    constructor(chance, name) {
        this.chance = chance;
        this.name = name;
    }

    listen(port) {
        this.server = net.createServer({ noDelay: true }, (socket) => {
            this.sockets.add(socket);
            socket.on('close', () => this.sockets.delete(socket));
            new Session(this, socket);
        });
        return new Promise((resolve) =>
            this.server.listen(port, '127.0.0.1', () => {
                this.port = this.server.address().port;
                resolve();
            }));
    }

    upstream(more = {}) {
        return { name: this.name, host: '127.0.0.1', port: this.port,
                 tls: 'off', auth: 'none', ...more };
    }

    mood(step) {
        const shares = this.moods?.[step];
        return shares ? this.chance.of(shares) : null;
    }

    // Sessions stand still at that step, connect or rcpt, until it opens.
    shutGate(step) {
        this.gate = { step };
        this.gate.promise = new Promise((open) => (this.gate.open = open));
        this.waitingAtGate = 0;
    }

    openGate() {
        this.gate.open();
        this.gate = null;
    }

    refused(address) {
        this.refusals.set(address, (this.refusals.get(address) ?? 0) + 1);
    }

    close() {
        for (const socket of this.sockets)
            socket.destroy();
        return new Promise((resolve) => this.server.close(resolve));
    }
}

class Session {
    waiting = ''; // latin1: the bytes as they are
    body = null;
    to = null; // of the transaction under way
    deaf = false;

    constructor(sink, socket) {
        this.sink = sink;
        this.socket = socket;
        socket.on('error', () => {});
        socket.setTimeout(sink.idleMs, () => socket.destroy());
        socket.on('data', (bytes) => {
            this.waiting += bytes.toString('latin1');
            this.read();
        });
        const mood = sink.mood('connect');
        if (mood === 'close')
            socket.destroy();
        else if (mood === 'refuse')
            socket.end('421 4.3.2 too busy\r\n');
        else if (mood === null)
            this.pastGate('connect', () => this.say('220 moody.test ESMTP\r\n'));
    }

    // then() now, or when the gate opens; deaf until then.
    pastGate(step, then) {
        const { gate } = this.sink;
        if (gate?.step !== step)
            return then();
        this.sink.waitingAtGate++;
        this.deaf = true;
        gate.promise.then(() => {
            this.deaf = false;
            then();
            this.read();
        });
        return undefined;
    }

    say(text) {
        this.socket.write(text);
    }

    read() {
        while (!this.deaf && !this.socket.destroyed) {
            if (this.body === null ? !this.readLine() : !this.readBody())
                return;
        }
    }

    readLine() {
        const end = this.waiting.indexOf('\r\n');
        if (end < 0)
            return false;
        const line = this.waiting.slice(0, end);
        this.waiting = this.waiting.slice(end + 2);
        this.obey(line);
        return true;
    }

    obey(line) {
        const verb = line.slice(0, 4).toUpperCase();
        if (verb === 'EHLO')
            this.say('250-moody.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n' +
                     '250 SIZE 50000000\r\n');
        else if (verb === 'MAIL')
            this.mail();
        else if (verb === 'RCPT')
            this.rcpt(/<(.*?)>/.exec(line)[1]);
        else if (verb === 'DATA')
            this.data();
        else if (verb === 'RSET')
            this.rset();
        else if (verb === 'QUIT')
            this.socket.end('221 2.0.0 bye\r\n');
        else
            this.say('500 5.5.1 what?\r\n');
    }

    mail() {
        this.to = null;
        if (this.sink.mood('mail') === 'soft')
            return this.say(SOFT);
        this.to = [];
        return this.say('250 2.1.0 ok\r\n');
    }

    rset() {
        this.to = null;
        this.say('250 2.0.0 ok\r\n');
    }

    rcpt(address) {
        if (this.to === null)
            return this.say(NO_MAIL);
        const mood = this.sink.onRcpt(address) ?? this.sink.mood('rcpt');
        if (mood === 'close')
            return this.socket.destroy();
        if (mood === 'soft' || mood === 'grey')
            return this.say(mood === 'soft' ? SOFT : GREY);
        if (mood === 'hard') {
            this.sink.refused(address);
            return this.say(HARD);
        }
        this.to.push(address);
        return this.inTime(mood, () =>
            this.pastGate('rcpt', () => this.say('250 2.1.5 ok\r\n')));
    }

    // then() now; or late; or never.
    inTime(mood, then) {
        if (mood !== 'late' && mood !== 'stall')
            return then();
        this.deaf = true;
        if (mood === 'late')
            setTimeout(() => {
                this.deaf = false;
                then();
                this.read();
            }, this.sink.chance.below(LATE_MS));
        return undefined;
    }

    data() {
        if (!this.to?.length)
            return this.say(NO_MAIL);
        const mood = this.sink.mood('data');
        if (mood === 'close')
            return this.socket.destroy();
        if (mood === 'soft')
            return this.say(SOFT);
        this.body = this.to;
        this.to = null;
        this.willClose = this.sink.mood('body') === 'close';
        return this.inTime(mood, () => this.say('354 go on\r\n'));
    }

    readBody() {
        if (this.willClose && this.waiting.length > 0) {
            this.socket.destroy();
            return false;
        }
        const end = this.waiting.startsWith('.\r\n')
            ? 0 : this.waiting.indexOf('\r\n.\r\n') + 2;
        if (end === 1)
            return false;
        const raw = this.waiting.slice(0, end);
        const to = this.body;
        this.waiting = this.waiting.slice(end + 3);
        this.body = null;
        this.dot(raw, to);
        return true;
    }

    take(raw, to, told) {
        const mail = { to, raw, told, at: Date.now(), sink: this.sink.name,
                       messageId: /^message-id:\s*(\S+)/im.exec(raw)?.[1] };
        this.sink.taken.push(mail);
        return mail;
    }

    dot(raw, to) {
        const mood = this.sink.mood('dot');
        if (mood === 'soft')
            return this.say(SOFT);
        if (mood === 'hard') {
            for (const address of to)
                this.sink.refused(address);
            return this.say(HARD);
        }
        if (mood === 'close')
            return this.socket.destroy();
        const mail = this.take(raw, to, mood === null || mood === 'slow');
        if (mood === 'takeAndClose')
            return this.socket.destroy();
        if (mood === 'takeAndStall') {
            this.deaf = true;
            return undefined;
        }
        if (mood === 'slow')
            return this.later(mail);
        return this.accepted();
    }

    later(mail) {
        this.deaf = true;
        setTimeout(() => {
            if (this.socket.destroyed) {
                mail.told = false;
                return;
            }
            this.deaf = false;
            this.accepted();
            this.read();
        }, SLOW_MS);
    }

    accepted() {
        const mood = this.sink.mood('after');
        if (mood === 'close')
            this.socket.end('250 2.0.0 taken\r\n');
        else if (mood === 'limit')
            this.socket.end('250 2.0.0 taken\r\n421 4.7.0 enough\r\n');
        else
            this.say('250 2.0.0 taken\r\n');
    }
}
