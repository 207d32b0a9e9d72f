// scripted.mjs - an SMTP server that does what its script says, keeps a ledger
// of what it took, and writes down whatever its client does against RFC 5321,
// 1870, 2920, 3030, 3207, 3461, 4954 and 6531.
//
// A script says what the server is, and what it does otherwise than a good one:
//
//   offers      lines of its EHLO, behind TLS too (less STARTTLS)
//   secure      those behind TLS, where they differ
//   tls         'implicit' or 'starttls'; certificate: of certs.mjs; versions:
//               options of a secure context
//   asksClient  the client needs a certificate of the same authority
//   isOdd       its good replies are no SMTP either
//   isDemanding nothing but EHLO, STARTTLS and QUIT may come in the clear
//   users       { name: password }: a login must come before any mail; the
//               first one may log in by SCRAM (sasl.mjs)
//   tokens      of OAuth that log in any of the users
//   hidesPlus   it could bind SCRAM to its channel, and does not say so
//   scenes      one for each session (or each transaction, see `senders`):
//               a map from step to acts; behind the last one it is good
//   always      a scene for all of them
//   senders     local part of MAIL FROM -> { scenes, always }: many scripts on
//               one port
//
// Steps, in the order of a session: connect banner ehlo helo starttls handshake
// auth answer mail rcpt data dot rset quit. "dot 3" is the third one in the
// session, "ehlo 2" the one behind TLS. BDAT has bdat, before the bytes, which
// nobody answers; chunk behind them; and dot behind those of the LAST one.
//
// Acts, one or a list:
//   ok          what a good server says there, behind the dot: and it is taken
//   250 text    this reply; lines are parted by LF, a 2xx to the dot takes it
//   take        the mail is taken without a word
//   raw text    these bytes as they stand
//   drip 20 text  the same, with CRLF, a byte every 20 ms
//   wait 300    so many milliseconds
//   close       ends the connection; cut: without the close of TLS; reset: RST
//   hang        says nothing any more; pause: reads nothing any more
import fs from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { atEnd } from '../../integration/harness/scope.mjs';
import { Judge } from './sasl.mjs';

const LINE_MAX = 512;       // of a command, RFC 5321 section 4.5.3.1.4
const AUTH_LINE_MAX = 12288; // RFC 4954 section 4
const TEXT_LINE_MAX = 1000; // RFC 5321 section 4.5.3.1.6
const MAY_BE_FOLLOWED = ['MAIL', 'RCPT', 'RSET']; // RFC 2920 section 3.1
const PATH = /^<(?:[^\s<>@]+@[^\s<>@]+)?>$/;

// RFC 7628, and Google's manual of XOAUTH2: the words of a login, what a
// refusal says, and what is answered to that.
const OAUTH = {
    OAUTHBEARER: {
        words: /^n,(?:a=(?<user>[^,=\x01]+))?,\x01host=(?<host>[^\x01]+)\x01port=(?<port>\d+)\x01auth=Bearer (?<token>[!-~]+)\x01\x01$/,
        error: { status: 'invalid_token', scope: 'mail' },
        ack: 'AQ==',
    },
    XOAUTH2: {
        words: /^user=(?<user>[^\x01]+)\x01auth=Bearer (?<token>[!-~]+)\x01\x01$/,
        error: { status: '401', schemes: 'bearer', scope: 'mail' },
        ack: '',
    },
};

const TRAILER = '.\r\n';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const decode = (text) => Buffer.from(text, 'base64').toString('latin1');
const utf8 = (text) => Buffer.from(text, 'latin1').toString();
// RFC 3461 section 4.
const unXtext = (text) => text.replace(/\+([0-9A-F]{2})/g, (_, hex) =>
    String.fromCharCode(parseInt(hex, 16)));

// certs: of makeCerts and makeOddCerts. port: 0, or one that is free.
export async function startScripted(script, { certs, port = 0,
                                              host = '127.0.0.1' } = {}) {
    const server = new Scripted(script, certs);
    await server.listen(port, host);
    atEnd(() => server.close());
    return server;
}

class Scripted {
    taken = [];      // { from, to, raw, told: a 2xx said so, secure, user }
    violations = []; // in words
    sessions = [];
    sockets = new Set();

    constructor(script, certs) {
        this.script = script;
        this.certs = certs;
        this.runs = new Map(); // a script -> scenes that were played
    }

    listen(port, host) {
        this.server = net.createServer({ noDelay: true }, (socket) => {
            this.sockets.add(socket);
            socket.on('close', () => this.sockets.delete(socket));
            this.sessions.push(new Session(this, socket));
        });
        return new Promise((resolve, reject) => {
            this.server.once('error', reject);
            this.server.listen(port, host, () => {
                this.port = this.server.address().port;
                resolve();
            });
        });
    }

    // The next scene of a script; {}: be good.
    scene(script) {
        const run = this.runs.get(script) ?? 0;
        this.runs.set(script, run + 1);
        return script.scenes?.[run] ?? script.always ?? {};
    }

    context() {
        const { certificate = 'good', versions } = this.script;
        return { ...this.certs[certificate], ...versions,
                 ...(this.script.asksClient &&
                     { ca: fs.readFileSync(this.certs.ca) }) };
    }

    for(address) {
        return this.taken.filter(({ to }) => to.includes(address));
    }

    close() {
        for (const socket of this.sockets)
            socket.destroy();
        return new Promise((resolve) => this.server.close(resolve));
    }
}

// Ends what a session does when its connection is of no more use.
class Gone extends Error {}

class Session {
    waiting = '';    // latin1: the bytes as they are
    punctual = 0;    // bytes of waiting that came when they were due
    isOwing = true;  // a reply, at first the banner
    isSecure = false;
    commands = [];   // lines that came, in order
    counts = {};     // step -> how often
    hello = null;    // offers of the last EHLO; []: HELO
    mail = null;     // the transaction under way
    message = null;  // the text that comes; its end is all that may come, or
                     // that of the session
    user = null;

    constructor(server, socket) {
        this.server = server;
        this.script = server.script;
        // The script makes something of it that is not SMTP.
        this.isOdd = this.script.isOdd ?? false;
        this.scene = server.scene(this.script);
        this.raw = socket;
        this.remoteAddress = socket.remoteAddress;
        this.use(socket);
        this.serve().catch((error) => {
            if (!(error instanceof Gone))
                this.blame(`the server failed: ${error.stack}`);
        });
    }

    blame(what) {
        const last = this.commands.at(-1) ?? 'nothing yet';
        this.server.violations.push(`${what} (behind ${last.slice(0, 80)})`);
    }

    // --- bytes ---

    use(socket) {
        this.socket = socket;
        socket.on('data', (bytes) => this.hear(bytes.toString('latin1')));
        socket.on('error', () => {});
        socket.on('close', () => this.leave());
    }

    // What comes while a reply is owed, or behind a whole line, is early.
    hear(text) {
        if (this.message !== null) {
            this.message.add(text);
        } else {
            const isDue = !this.isOwing && !this.waiting.includes('\n');
            this.waiting += text;
            if (isDue)
                this.punctual = this.waiting.indexOf('\n') + 1 ||
                                this.waiting.length;
        }
        this.wake?.();
    }

    leave() {
        const mayLeave = this.isOdd || this.hasQuit || this.message;
        if (!this.isGone && !mayLeave)
            this.blame('left without QUIT');
        this.isGone = true;
        this.wake?.();
    }

    // Waits until find, given what came, says how long the wanted part is.
    async until(find) {
        let length;
        while ((length = find(this.waiting)) === 0) {
            if (this.isGone)
                throw new Gone();
            await new Promise((resolve) => (this.wake = resolve));
        }
        return length;
    }

    cut(length) {
        const text = this.waiting.slice(0, length);
        this.waiting = this.waiting.slice(length);
        this.punctual = Math.max(0, this.punctual - length);
        return text;
    }

    say(text) {
        if (this.isGone)
            throw new Gone();
        this.socket.write(text, 'latin1');
    }

    flush() {
        return new Promise((resolve) => this.socket.write('', resolve));
    }

    // --- acts ---

    // The script's acts at that step, or the good reply. Gives the code of the
    // last reply, 0 when there was none.
    async perform(step, good) {
        const count = (this.counts[step] ?? 0) + 1;
        const scene = this.transaction ?? this.scene;
        const acts = scene[`${step} ${count}`] ?? scene[step] ?? 'ok';
        let code = 0;

        this.counts[step] = count;
        for (const act of [acts].flat())
            code = await this.act(act, good) ?? code;
        this.isOwing = false;
        return code;
    }

    async act(act, good) {
        const [, verb, rest] = /^(\w+) ?([^]*)$/.exec(act);
        if (verb === 'ok')
            return good && this.reply(good);
        if (verb === 'wait')
            return void await pause(Number(rest));
        this.isOdd = true;
        if (/^\d{3}$/.test(verb))
            return this.reply(act);
        return ACTS[verb](this, rest);
    }

    reply(text) {
        const code = Number(/(?:^|\n)(\d{3})[^\n]*$/.exec(text)?.[1] ?? 0);
        if (code >= 200 && code < 300)
            this.keep(true);
        this.say(text.replaceAll('\n', '\r\n') + '\r\n');
        this.isOwing = false;
        this.isEnding ||= code === 421;
        return code;
    }

    // --- the session ---

    async serve() {
        await this.perform('connect');
        if (this.script.tls === 'implicit')
            await this.secure();
        else if (this.waiting !== '')
            this.blame('talked before the banner');
        this.isOwing = true;
        await this.perform('banner', '220 scripted.test ESMTP');
        for (;;)
            await this.obey(await this.line());
    }

    async line() {
        const length = await this.until((text) => text.indexOf('\n') + 1);
        const isEarly = length > this.punctual;
        const text = this.cut(length);
        this.isOwing = true;
        if (!text.endsWith('\r\n') || /[\r\0]/.test(text.slice(0, -2)))
            this.blame(`a line that is none: ${JSON.stringify(text)}`);
        return { text: text.replace(/\r?\n$/, ''), isEarly };
    }

    async obey({ text, isEarly }) {
        const verb = text.split(' ')[0].toUpperCase();
        this.judgeLine(text, verb, isEarly);
        this.commands.push(text);
        this.last = verb;
        if (VERBS[verb] === undefined) {
            this.blame(`an unknown command: ${text}`);
            this.reply('500 5.5.1 what?');
        } else {
            await VERBS[verb](this, text.slice(verb.length + 1), isEarly);
        }
    }

    judgeLine(text, verb, isEarly) {
        const max = verb === 'AUTH' ? AUTH_LINE_MAX : LINE_MAX;
        if (text.length + 2 > max)
            this.blame(`a command of ${text.length + 2} bytes`);
        if (/[^\x20-\x7e]/.test(text) && !/ SMTPUTF8\b/.test(text) &&
            !this.mail?.isUtf8)
            this.blame(`a command beyond ASCII: ${text}`);
        if (isEarly && !(this.offers('PIPELINING') &&
                         MAY_BE_FOLLOWED.includes(this.last)))
            this.blame(`${verb} did not wait for the reply`);
        if (this.hasQuit)
            this.blame(`${verb} behind QUIT`);
        if (this.isEnding && !isEarly && verb !== 'QUIT')
            this.blame(`${verb} behind 421`);
        if (this.script.isDemanding && !this.isSecure &&
            !['EHLO', 'HELO', 'STARTTLS', 'QUIT'].includes(verb))
            this.blame(`${verb} in the clear`);
        if (this.mustHello && !['EHLO', 'QUIT'].includes(verb))
            this.blame(`${verb} before the EHLO behind TLS`);
    }

    offers(keyword) {
        return this.hello?.find((line) =>
            line.split(/[ =]/)[0].toUpperCase() === keyword);
    }

    ownOffers() {
        const { offers = [], secure } = this.script;
        return this.isSecure
            ? secure ?? offers.filter((line) => line !== 'STARTTLS') : offers;
    }

    async greet(verb, name) {
        const offers = verb === 'EHLO' ? this.ownOffers() : [];
        const lines = ['scripted.test', ...offers];
        if (!/^(\[[^\s[\]]+\]|[\w.-]+)$/.test(name))
            this.blame(`${verb} ${name}`);
        this.mustHello = false;
        this.mail = null;
        const code = await this.perform(verb.toLowerCase(),
            lines.map((line, i) =>
                `250${i + 1 < lines.length ? '-' : ' '}${line}`).join('\n'));
        this.hello = code === 250 ? offers : null;
    }

    async startTls(rest) {
        if (rest !== '' || !this.offers('STARTTLS') || this.isSecure)
            this.blame('STARTTLS where it is not offered');
        if (await this.perform('starttls', '220 2.0.0 go') !== 220)
            return;
        await this.secure();
        this.mustHello = true;
        this.hello = null;
        this.isOwing = false;
    }

    // Nothing that came in the clear is left behind it.
    async secure() {
        await this.perform('handshake');
        await this.until((text) => text.length);
        if (!this.waiting.startsWith('\x16'))
            this.blame('clear text where TLS was due');
        this.raw.removeAllListeners('data');
        this.raw.pause();
        this.raw.unshift(Buffer.from(this.waiting, 'latin1'));
        this.waiting = '';
        const socket = new tls.TLSSocket(this.raw, {
            isServer: true,
            secureContext: tls.createSecureContext(this.server.context()),
            requestCert: this.script.asksClient ?? false,
            rejectUnauthorized: this.script.asksClient ?? false,
            SNICallback: (name, done) => {
                this.serverName = name;
                done(null);
            },
        });
        await new Promise((resolve, reject) => {
            const fail = () => {
                this.isOdd = true; // the client has its reasons
                reject(new Gone());
            };
            socket.once('error', fail);
            socket.once('close', fail);
            socket.once('secure', resolve);
        });
        this.isSecure = true;
        this.clientName = socket.getPeerCertificate().subject?.CN;
        this.use(socket);
    }

    // --- login ---

    async login(rest) {
        const [mechanism, initial] = rest.split(' ');
        const offered = this.offers('AUTH')?.split(/[ =]/).slice(1) ?? [];
        if (!offered.includes(mechanism))
            this.blame(`AUTH ${mechanism} is not offered`);
        if (this.user !== null)
            this.blame('AUTH a second time');
        if (!this.isSecure)
            this.blame('a password in the clear');
        this.answers = initial === undefined ? [] : [initial];
        this.oauth = OAUTH[mechanism];
        this.isRefused = false;
        this.judge = mechanism.startsWith('SCRAM-') && new Judge(
            mechanism, Object.entries(this.script.users)[0],
            (this.script.hidesPlus ||
             offered.some((name) => name.endsWith('-PLUS'))) &&
                this.isSecure && this.socket);
        await this.judgeLogin('auth', mechanism);
    }

    async judgeLogin(step, mechanism) {
        const code = await this.perform(step,
                                        await this.challenge(mechanism));
        if (code === 235)
            this.user = this.name;
        if (code !== 334)
            return;
        const { text } = await this.line();
        this.commands.push(text);
        this.answers.push(text);
        if (text === '*')
            await this.perform('answer', '501 5.7.0 given up');
        else
            await this.judgeLogin('answer', mechanism);
    }

    // What a good server says to the answers so far.
    async challenge(mechanism) {
        if (this.judge) {
            this.name = Object.keys(this.script.users)[0];
            return this.judge.reply(this.answers.at(-1));
        }
        if (this.oauth)
            return this.token();
        const texts = this.answers.map(decode);
        const wanted = mechanism === 'PLAIN' ? 1 : 2;
        if (texts.length < wanted)
            return `334 ${mechanism === 'PLAIN' ? ''
                : texts.length === 0 ? 'VXNlcm5hbWU6' : 'UGFzc3dvcmQ6'}`;
        const [name, password] = mechanism === 'PLAIN'
            ? texts[0].split('\0').slice(1) : texts;
        this.name = name;
        return this.script.users?.[name] === password
            ? '235 2.7.0 welcome' : '535 5.7.8 no such user or password';
    }

    // A token that is not taken is told why before the 535.
    token() {
        const { words, error, ack } = this.oauth;
        const answer = this.answers.at(-1);
        if (answer === undefined)
            return '334 ';
        if (this.isRefused) {
            if (answer !== ack)
                this.blame(`"${answer}" to a token's refusal`);
            return '535 5.7.8 no such token';
        }
        const found = words.exec(decode(answer));
        if (!found)
            this.blame(`no OAuth login: ${decode(answer)}`);
        this.name = found?.groups.user;
        this.credentials = found?.groups;
        if (this.name in this.script.users &&
            this.script.tokens.includes(found?.groups.token))
            return '235 2.7.0 welcome';
        this.isRefused = true;
        return `334 ${Buffer.from(JSON.stringify(error)).toString('base64')}`;
    }

    // --- a mail ---

    async begin(rest) {
        const [path, ...parameters] = rest.replace(/^FROM:/, '').split(' ');
        const mail = { from: path.slice(1, -1), to: [] };
        if (this.hello === null)
            this.blame('MAIL before EHLO');
        if (this.mail !== null)
            this.blame('MAIL inside of a transaction');
        if (this.script.users && this.user === null)
            this.blame('MAIL without a login');
        if (!rest.startsWith('FROM:') || !PATH.test(path))
            this.blame(`MAIL ${rest}`);
        for (const parameter of parameters)
            this.parameter(mail, parameter, FROM_PARAMETERS);
        const script = this.script.senders?.get(mail.from.split('@')[0]);
        this.transaction = script && this.server.scene(script);
        if (await this.perform('mail', '250 2.1.0 ok') === 250)
            this.mail = mail;
    }

    // Only what was offered.
    parameter(mail, text, known) {
        const [name, value] = text.split('=');
        const { needs, read } = known[name] ?? {};
        if (needs === undefined || !this.offers(needs))
            this.blame(`the parameter ${text} is not offered`);
        else if (mail !== null)
            read(mail, value);
    }

    async recipient(rest, isEarly) {
        const [path, ...parameters] = rest.replace(/^TO:/, '').split(' ');
        if (!rest.startsWith('TO:') || !PATH.test(path) || path === '<>')
            this.blame(`RCPT ${rest}`);
        if (this.mail === null && !isEarly)
            this.blame('RCPT without MAIL');
        for (const parameter of parameters)
            this.parameter(this.mail, parameter, TO_PARAMETERS);
        const code = await this.perform('rcpt', this.mail === null
            ? '503 5.5.1 no sender' : '250 2.1.5 ok');
        if (code >= 250 && code <= 252)
            this.mail?.to.push(utf8(path.slice(1, -1)));
    }

    async data(isEarly) {
        const isReady = this.mail !== null && this.mail.to.length > 0;
        if (!isReady && !isEarly)
            this.blame('DATA without a recipient');
        const code = await this.perform('data', isReady
            ? '354 go on' : '554 5.5.1 no valid recipient');
        if (code === 354)
            await this.take(isReady);
    }

    // A refused one leaves a transaction that RSET alone ends.
    async chunk(rest, isEarly) {
        const [, size, last] = /^(\d+)( LAST)?$/.exec(rest) ?? [];
        const isReady = this.mail !== null && this.mail.to.length > 0;
        if (size === undefined || !this.offers('CHUNKING'))
            this.blame(`BDAT ${rest}`);
        if (!isReady && !isEarly || this.mail?.isRefused)
            this.blame('BDAT that cannot be taken');
        await this.perform('bdat');
        this.isOwing = true;
        await this.until((text) => text.length >= Number(size) ? 1 : 0);
        const bytes = this.cut(Number(size));
        const text = (this.mail?.text ?? '') + bytes;
        if (isReady)
            this.mail.text = text;
        const code = last ? await this.commit(isReady, text)
            : await this.perform('chunk', isReady ? '250 2.0.0 more'
                                                  : '503 5.5.1 no');
        if (this.mail !== null && code >= 400)
            this.mail.isRefused = true;
    }

    async commit(isReady, text) {
        this.text = isReady ? stuffed(text) : null;
        if (isReady)
            this.judgeText(this.text);
        const code = await this.perform('dot', isReady ? '250 2.0.0 taken'
            : '503 5.5.1 no valid recipient');
        this.text = null;
        if (code >= 200 && code < 300)
            this.mail = null;
        return code;
    }

    async take(isReady) {
        if (this.waiting !== '' && this.punctual === 0)
            this.blame('a message before the 354');
        this.message = new Message();
        this.hear(this.cut(this.waiting.length));
        await this.until(() => this.message.isWhole ? 1 : 0);
        const { text, rest } = this.message;
        this.message = null;
        this.isOwing = true;
        if (rest !== '')
            this.blame('something behind the final dot');
        this.hear(rest);
        if (isReady)
            this.judgeText(text);
        else if (text !== '')
            this.blame('a message for nobody');
        this.text = isReady ? text : null;
        await this.perform('dot', isReady ? '250 2.0.0 taken'
                                          : '554 5.5.1 no valid recipient');
        this.text = null;
        this.mail = null;
    }

    judgeText(text) {
        const lines = text.split('\r\n');
        const { size, is8bit, isUtf8 } = this.mail;
        if (lines.pop() !== '' || lines.length === 0)
            this.blame('a message that is empty, or does not end in CRLF');
        if (lines.some((line) => line.length + 2 > TEXT_LINE_MAX))
            this.blame('a line longer than 998 bytes');
        if (lines.some((line) => /[\r\n\0]/.test(line)))
            this.blame('a bare CR, LF or NUL');
        if (lines.some((line) => line.startsWith('.') &&
                                 !line.startsWith('..')))
            this.blame('a dot that was not doubled');
        if (!is8bit && !isUtf8 && /[^\0-\x7f]/.test(text))
            this.blame('8-bit text that nobody offered to take');
        if (size !== undefined && size !== unstuffed(text).length)
            this.blame(`SIZE=${size}, and it was ${unstuffed(text).length}`);
    }

    // Into the ledger, where a mail was handed over. told: by a 2xx.
    keep(told) {
        if (this.text == null)
            return;
        this.server.taken.push({
            ...this.mail, raw: unstuffed(this.text), told, user: this.user,
            isSecure: this.isSecure, session: this,
        });
        this.text = null;
    }

    async reset() {
        if (await this.perform('rset', '250 2.0.0 ok') === 250)
            this.mail = null;
    }

    async quit() {
        this.hasQuit = true;
        await this.perform('quit', '221 2.0.0 bye');
        this.socket.end();
        await this.until(() => 0);
    }
}

// A message as it comes, in any pieces. text: up to its final dot; rest: what
// came behind.
class Message {
    pieces = ['\r\n']; // so that a lone dot is an end, too
    tail = '\r\n';
    rest = '';

    add(piece) {
        const window = this.tail + piece;
        const end = window.indexOf(`\r\n${TRAILER}`);
        this.pieces.push(piece);
        this.tail = window.slice(-TRAILER.length - 1);
        if (end < 0 || this.isWhole)
            return;
        this.isWhole = true;
        const text = this.pieces.join('');
        const at = text.indexOf(`\r\n${TRAILER}`,
                                text.length - window.length) + 2;
        this.text = text.slice(2, at);
        this.rest = text.slice(at + TRAILER.length);
    }
}

const stuffed = (text) => text.replace(/^\./gm, '..');
const unstuffed = (text) => text.replace(/^\./gm, '');

const FROM_PARAMETERS = {
    SIZE: { needs: 'SIZE', read: (mail, value) => (mail.size = +value) },
    BODY: { needs: '8BITMIME',
            read: (mail, value) => (mail.is8bit = value === '8BITMIME') },
    SMTPUTF8: { needs: 'SMTPUTF8', read: (mail) => (mail.isUtf8 = true) },
    RET: { needs: 'DSN', read: (mail, value) => (mail.ret = value) },
    ENVID: { needs: 'DSN',
             read: (mail, value) => (mail.envid = unXtext(value)) },
};
const TO_PARAMETERS = {
    ORCPT: { needs: 'DSN',
             read: (mail, value) => (mail.orcpt = unXtext(value)) },
};

const VERBS = {
    EHLO: (session, rest) => session.greet('EHLO', rest),
    HELO: (session, rest) => session.greet('HELO', rest),
    STARTTLS: (session, rest) => session.startTls(rest),
    AUTH: (session, rest) => session.login(rest),
    MAIL: (session, rest) => session.begin(rest),
    RCPT: (session, rest, isEarly) => session.recipient(rest, isEarly),
    DATA: (session, rest, isEarly) => session.data(isEarly),
    BDAT: (session, rest, isEarly) => session.chunk(rest, isEarly),
    RSET: (session) => session.reset(),
    QUIT: (session) => session.quit(),
};

const ACTS = {
    take: (session) => session.keep(false),
    raw: (session, text) => session.say(text),
    async drip(session, rest) {
        const [, ms, text] = /^(\d+) ([^]*)$/.exec(rest);
        if (/^2/.test(text))
            session.keep(true);
        for (const byte of `${text}\r`) {
            session.say(byte);
            await pause(Number(ms));
        }
        session.say('\n');
        session.isOwing = false;
        return Number(text.slice(0, 3));
    },
    async close(session) {
        session.socket.end();
        await session.until(() => 0);
    },
    async cut(session) {
        await session.flush();
        session.raw.destroy();
        await session.until(() => 0);
    },
    async reset(session) {
        await session.flush();
        session.raw.resetAndDestroy();
        await session.until(() => 0);
    },
    hang: (session) => session.until(() => 0),
    pause(session) {
        session.raw.pause();
        session.socket.pause();
    },
};
