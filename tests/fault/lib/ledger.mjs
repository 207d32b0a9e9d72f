// ledger.mjs - sends mails, writes down all that becomes of each, and settles
// the account: what tests/fault means by "0 lost".
//
//   const ledger = await openLedger({ service, sinks: [sink] });
//   const load = ledger.send(300, { rate: 200 });   // trouble meanwhile
//   await load;
//   await ledger.settled();
//   const account = ledger.account();
//   assertClean(account);                           // or faultsOf(account)
//
// Three books are compared, mail by mail:
//   ledger.mails      what was answered 2xx (the caller's book)
//   sinks             what upstreams took: those of harness/sink.mjs (mails)
//                     and of harness/moody.mjs (taken)
//   ledger.receivers  what the customer's endpoint was told
//
// The caller is a careful one: no answer, or 503, means that he asks again
// with the same Idempotency-Key, until there is a 2xx. What he saw on the way
// stands in ledger.answers.
//
// account() gives lists of { n, id, to, why }; each should be empty but
// duplicates, which P3 allows where an outcome was unknown:
//   lost        not taken, and no end told, or an end that claims it was sent
//   duplicates  taken more than once
//   unflagged   taken more than once, or taken and ended as not sent, and its
//               end does not say possible_duplicate
//   changed     copies differ in Message-ID or bytes, or are not the mail that
//               was answered
//   unended     no terminal event came
//   doubled     terminal events with more webhook-ids than there may be
//               generations: one, and one for each ledger.retry of a recipient
//               that was not sent
//   resent      a canceled one that was taken later, or ended otherwise
//   gaps        an event is missing between the first and the last sequence
//   strangers   mails or events of no mail that was answered
// and { mails, recipients, taken, told, ends: { 'email.sent': 10, … } }. The
// end of a recipient is that of its last generation.
import { startReceiver } from '../../integration/harness/receiver.mjs';
import { until } from '../../integration/harness/scope.mjs';
import { meter } from './meter.mjs';

export const TERMINAL = ['sent', 'bounced', 'failed', 'expired', 'suppressed',
                         'canceled', 'superseded'].map((end) => `email.${end}`);

// No retry sends these again.
const SETTLED = ['email.sent', 'email.superseded'];

const PATIENCE_MS = 60_000; // for a 2xx
const ANSWER_MS = 10_000;   // after that a request has no answer
const AGAIN_MS = 20;
const ASKED_AT_ONCE = 400;
const LOOK_EVERY_MS = 200;
const UNTOLD_MS = 300;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// service: as harness/service.mjs starts it. sinks: all its upstreams.
// owners: each gets an API key, an endpoint and a share of the mails; the
// default owner has service.key. partitions: how many there are. respond: as
// startReceiver's.
export async function openLedger({ service, sinks, owners = ['default'],
                                   partitions = 1, respond }) {
    const ledger = new Ledger(service, sinks, partitions);
    for (const owner of owners)
        await ledger.addOwner(owner, respond);
    return ledger;
}

let ledgers = 0;

export class Ledger {
    mails = []; // { n, owner, id, to: [], messageId, body, canceledAt }
    receivers = {}; // by owner
    // How many answers of each status there were ('none': no answer; 'refused':
    // nobody listened), and how many ms the slowest took.
    answers = { slowest: 0 };
    silences = []; // why there was no answer
    refused = 0;   // that wait to ask again
    sent = 0;

    constructor(service, sinks, partitions) {
        this.service = service;
        this.sinks = sinks;
        this.partitions = partitions;
        this.keys = {};
        this.name = `${process.pid}-${++ledgers}`;
    }

    async addOwner(owner, respond) {
        const { service } = this;
        const receiver = await startReceiver({ respond });
        const key = owner === 'default' && service.key
            ? service.key : await service.createKey({ owner });
        const answer = await service.call(
            'POST', '/v1/webhooks', { endpoint: receiver.url, events: ['*'] },
            { key });
        if (answer.status >= 300)
            throw new Error(`POST /v1/webhooks: ${answer.text}`);
        receiver.secret = answer.json.signing_secret;
        this.keys[owner] = key;
        this.receivers[owner] = receiver;
    }

    // Sends count mails, rate of them a second, and waits until each has its
    // 2xx. more(n) gives members that go over the usual body of the n-th.
    // again: 'at once', or 'when told' by Retry-After. Gives those mails.
    async send(count, { rate = 200, more = () => ({}), again = 'at once',
                        patience = PATIENCE_MS } = {}) {
        const begin = Date.now();
        const sends = [];
        for (let i = 0; i < count; i++) {
            const wait = begin + (i * 1000) / rate - Date.now();
            if (wait > 0)
                await pause(wait);
            sends.push(this.sendOne(more(this.sent), { again, patience }));
        }
        return Promise.all(sends);
    }

    // owner: the next one in turn, unless it is said.
    async sendOne(more = {}, { again, owner, patience = PATIENCE_MS } = {}) {
        const n = this.sent++;
        const owners = Object.keys(this.keys);
        const mail = { n, owner: owner ?? owners[n % owners.length] };
        mail.body = {
            from: 'App <app@sender.test>',
            to: [`n${n}-${this.name}@inbox.test`],
            subject: `Mail ${n}`,
            text: `${this.markOf(n)}\n.\n..dots\n${'x'.repeat(60)}\n`.repeat(
                1 + n % 3),
            ...more,
        };
        mail.to = [mail.body.to, mail.body.cc ?? [], mail.body.bcc ?? []]
            .flat();
        const answer = await this.post('/v1/emails', mail, patience, again);
        if (answer.status !== 200)
            throw new Error(`mail ${n}: ${answer.status} ${answer.text}`);
        mail.id = answer.json.id;
        mail.messageId = answer.json.message_id;
        this.mails.push(mail);
        return mail;
    }

    markOf(n) {
        return `This is mail ${n} of ${this.name}.`;
    }

    // Gives a scheduled mail another time. 409: too late for that, or an
    // unheard request has done it before.
    async reschedule(mail, time, { patience = PATIENCE_MS } = {}) {
        const answer = await this.post(
            `/v1/emails/${mail.id}`,
            { n: mail.n, owner: mail.owner, keyless: true, method: 'PATCH',
              body: { scheduled_at: time.toISOString() } }, patience);
        if (answer.status !== 200 && answer.status !== 409)
            throw new Error(`PATCH ${mail.n}: ${answer.status} ` +
                            answer.text);
    }

    // Asks until there is an answer other than 503. When hundreds have to ask
    // again they do it in turns, since 2,000 a second are more than node can
    // ask.
    async post(target, mail, patience, again) {
        const end = Date.now() + patience;
        for (;;) {
            const answer = await this.ask(target, mail);
            if (!['none', 'refused', 503].includes(answer.status))
                return answer;
            if (Date.now() > end)
                throw new Error(`mail ${mail.n}: ${target}: ` +
                                `${answer.status} ${answer.text}`);
            this.refused++;
            await pause(again === 'when told'
                ? toldMs(answer) * Math.ceil(this.refused / ASKED_AT_ONCE)
                : AGAIN_MS);
            this.refused--;
        }
    }

    async ask(target, mail) {
        const took = meter();
        let answer;
        try {
            const { method = 'POST' } = mail;
            answer = await this.service.call(method, target, mail.body, {
                key: this.keys[mail.owner],
                headers: mail.keyless
                    ? {} : { 'idempotency-key':
                             `${this.name}-${mail.n}${mail.what ?? ''}` },
                signal: AbortSignal.timeout(ANSWER_MS),
            });
        } catch (error) {
            answer = {
                status: error.cause?.code === 'ECONNREFUSED' ? 'refused'
                                                             : 'none',
                text: String(error.cause ?? error),
            };
            this.silences.push(answer.text);
        }
        if (answer.status === 503 && !(answer.headers.get('retry-after') > 0))
            this.answers.careless = (this.answers.careless ?? 0) + 1;
        this.answers[answer.status] = (this.answers[answer.status] ?? 0) + 1;
        this.answers.slowest = Math.max(this.answers.slowest, took());
        return answer;
    }

    // Cancels a mail that was answered; true if that was granted: from then
    // on (mail.canceledAt) it must not be sent.
    async cancel(mail, { patience = PATIENCE_MS } = {}) {
        const answer = await this.post(`/v1/emails/${mail.id}/cancel`,
                                       { n: mail.n, owner: mail.owner,
                                         what: ' cancel' }, patience);
        if (answer.status !== 200 && answer.status !== 409)
            throw new Error(`cancel ${mail.n}: ${answer.status} ` +
                            answer.text);
        if (answer.status === 200)
            mail.canceledAt = Date.now();
        return mail.canceledAt !== undefined;
    }

    // Sends again what is held of a mail, and with it whoever it has bounced
    // from: retry.lua begins the next generation of those.
    async retry(mail, { patience = PATIENCE_MS } = {}) {
        mail.retries = (mail.retries ?? 0) + 1;
        const answer = await this.post(
            `/v1/emails/${mail.id}/retry`,
            { n: mail.n, owner: mail.owner,
              what: ` retry ${mail.retries}` }, patience);
        if (answer.status !== 200 && answer.status !== 409)
            throw new Error(`retry ${mail.n}: ${answer.status} ` +
                            answer.text);
    }

    // All mails are final, and all that is to be told was told: nothing more
    // will come, neither copies nor events.
    async settled(patience = PATIENCE_MS) {
        const expected = this.mails.reduce((sum, { to }) => sum + to.length, 0);
        await until(`an end of ${expected} mails`, async () => {
            await pause(LOOK_EVERY_MS);
            const ends = this.ends();
            if (ends.size < expected)
                throw new Error(`${ends.size} have one, not ` +
                                this.endless(ends).slice(0, 3).join(', '));
            return true;
        }, patience);
        await until('nothing is left to do', async () => {
            const left = await this.left();
            if (Object.values(left).some((count) => count !== 0))
                throw new Error(JSON.stringify(left));
            return true;
        }, patience);
    }

    endless(ends) {
        return this.mails.flatMap(({ id, to }) => to
            .map((address) => `${id} ${address}`)
            .filter((key) => !ends.has(key)));
    }

    // What Redis still has to do. Each question starts two programs.
    async left() {
        await pause(LOOK_EVERY_MS);
        const { redis, tables } = this.service;
        const left = { open: 0, webhooks: 0, events: 0 };
        const look = async (_, i) => {
            const prefix = `${tables.redis.prefix ?? 'ph:'}{${i}}:`;
            const counters = (await redis.cli(
                '--raw', 'HMGET', `${prefix}n`, 'accepted', 'final', 'backlog'))
                .split('\n').map(Number);
            const events = Number(await redis.cli('LLEN', `${prefix}evring`));
            left.open += counters[0] - counters[1];
            left.webhooks += counters[2];
            left.events += events;
        };
        await Promise.all(Array.from({ length: this.partitions }, look));
        return left;
    }

    // The payloads of a recipient's ends, each webhook-id once, the last
    // generation's last.
    endsOf(mail, to, ends = this.ends()) {
        return [...(ends.get(`${mail.id} ${to}`)?.values() ?? [])]
            .sort((a, b) => a.data.sequence - b.data.sequence);
    }

    // "<email id> <address>" -> Map of webhook-id -> payload.
    ends() {
        const ends = new Map();
        for (const receiver of Object.values(this.receivers))
            for (const { id, payload } of receiver.events)
                if (TERMINAL.includes(payload.type)) {
                    const { email_id, recipient } = payload.data;
                    put(ends, `${email_id} ${recipient}`, new Map())
                        .set(id, payload);
                }
        return ends;
    }

    // address -> copies, as { messageId, raw, at }.
    taken() {
        const taken = new Map();
        for (const sink of this.sinks)
            for (const { to, messageId, raw, at } of sink.taken ?? sink.mails)
                for (const address of to)
                    put(taken, address, []).push({ messageId, raw, at });
        return taken;
    }

    // email id -> the sequences that its events had.
    sequences() {
        const sequences = new Map();
        for (const receiver of Object.values(this.receivers))
            for (const { payload: { data } } of receiver.events)
                if (data.email_id !== undefined)
                    put(sequences, data.email_id, new Set())
                        .add(data.sequence);
        return sequences;
    }

    // Of all mails, or of some of them.
    account(mails = this.mails) {
        const account = new Account();
        const taken = this.taken();
        const ends = this.ends();
        const sequences = this.sequences();
        for (const mail of mails) {
            account.mails++;
            for (const to of mail.to)
                account.settle(
                    mail, to, taken.get(to) ?? [],
                    this.endsOf(mail, to, ends), this.markOf(mail.n));
            account.findGaps(mail, sequences.get(mail.id) ?? new Set());
        }
        this.findStrangers(account, taken, ends);
        return account;
    }

    findStrangers(account, taken, ends) {
        for (const mail of this.mails)
            for (const to of mail.to) {
                taken.delete(to);
                ends.delete(`${mail.id} ${to}`);
            }
        for (const to of taken.keys())
            account.strangers.push({ to, why: 'was taken' });
        for (const where of ends.keys())
            account.strangers.push({ to: where, why: 'was told of' });
        for (const { refused } of Object.values(this.receivers))
            for (const { error } of refused)
                account.strangers.push({ why: `bad webhook: ${error}` });
    }
}

// No crowd asks again all at once.
function toldMs({ headers }) {
    const told = headers ? 1000 * Number(headers.get('retry-after'))
                         : UNTOLD_MS;
    return told * (0.8 + 0.4 * Math.random());
}

function put(map, key, fresh) {
    if (!map.has(key))
        map.set(key, fresh);
    return map.get(key);
}

class Account {
    mails = 0;
    recipients = 0;
    taken = 0; // copies
    told = 0;  // terminal events, each webhook-id once
    ends = {}; // by type
    lost = [];
    duplicates = [];
    unflagged = [];
    changed = [];
    unended = [];
    doubled = [];
    resent = [];
    gaps = [];
    strangers = [];

    // One recipient: its copies, its terminal events.
    settle(mail, to, copies, ends, mark) {
        const { n, id } = mail;
        const note = (list, why) => list.push({ n, id, to, why });
        const end = ends.at(-1);
        const types = ends.map(({ type }) => type).join(' ');
        const flagged = ends.some(({ data }) =>
            data.possible_duplicate === true);
        // on_unknown: 'fail' says that it may have been delivered, once.
        const unknown = end?.data.failed?.reason === 'unknown_outcome';

        this.recipients++;
        this.taken += copies.length;
        this.told += ends.length;
        if (end)
            this.ends[end.type] = (this.ends[end.type] ?? 0) + 1;
        if (copies.length === 0 && (!end || end.type === 'email.sent'))
            note(this.lost, end ? 'told as sent' : 'no end');
        if (copies.length > 1)
            note(this.duplicates, `${copies.length} copies`);
        if (!end)
            note(this.unended, `${copies.length} copies`);
        if (ends.length > 1 + (mail.retries ?? 0) ||
            ends.slice(0, -1).some(({ type }) => SETTLED.includes(type)))
            note(this.doubled, types);
        if (!flagged && copies.length > 1)
            note(this.unflagged, `${copies.length} copies, ${types}`);
        if (!flagged && !unknown && copies.length > 0 && end &&
            end.type !== 'email.sent')
            note(this.unflagged, `taken, but ${types}`);
        this.compare(note, mail, copies, mark);
        this.holdCancel(note, mail, copies, end);
    }

    // Copies are the same bytes, and those of the mail that was answered.
    compare(note, mail, copies, mark) {
        const text = (copy) => copy.raw.toString('latin1');
        for (const copy of copies)
            if (text(copy) !== text(copies[0]))
                note(this.changed, 'other bytes');
            else if (copy.messageId !== mail.messageId)
                note(this.changed, `Message-ID ${copy.messageId}`);
            else if (!text(copy).includes(mark) &&
                     mail.body.text?.includes(mark))
                note(this.changed, 'not the text of this mail');
    }

    // A cancel that was granted stops what was not marked; of several
    // recipients that may be some.
    holdCancel(note, mail, copies, end) {
        if (mail.canceledAt === undefined || mail.to.length > 1)
            return;
        if (copies.some(({ at }) => at > mail.canceledAt))
            note(this.resent, 'taken after its cancel');
        else if (end && end.type !== 'email.canceled')
            note(this.resent, `canceled, but ${end.type}`);
    }

    findGaps({ n, id }, sequences) {
        const last = Math.max(0, ...sequences);
        for (let sequence = 1; sequence <= last; sequence++)
            if (!sequences.has(sequence))
                this.gaps.push({ n, id, why: `${sequence} of ${last}` });
    }
}

const FAULTS = ['lost', 'unflagged', 'changed', 'unended', 'doubled', 'resent',
                'gaps', 'strangers'];

// What is wrong with an account, in words; [] if nothing is. Without
// mayDuplicate a flagged duplicate is wrong, too.
export function faultsOf(account, { mayDuplicate = true } = {}) {
    return [...FAULTS, ...(mayDuplicate ? [] : ['duplicates'])]
        .filter((kind) => account[kind].length > 0)
        .map((kind) => `${account[kind].length} ${kind}: ` +
            account[kind].slice(0, 3).map(({ n, id, to, why }) =>
                `mail ${n} ${id} ${to ?? ''} (${why})`).join('; '));
}

export function assertClean(account, options) {
    const faults = faultsOf(account, options);
    if (faults.length > 0)
        throw new Error(faults.join('\n'));
}
