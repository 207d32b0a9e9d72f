// sink.mjs - an upstream that takes mail and remembers each one.
//
// The npm package smtp-server, not ours: what it accepts is what another
// program understood. Bodies are kept raw; parse() decodes one.
import { npm } from './npm.mjs';
import { atEnd, until } from './scope.mjs';

const { SMTPServer } = npm('smtp-server');
const { simpleParser } = npm('mailparser');

// options: those of smtp-server (key, cert, secure, authOptional, hide…),
// and the hooks onRcpt(address, session) and onMail(mail), which may throw an
// error with responseCode to refuse. onMail may also return a promise. onToken
// ({ username, accessToken }) says whether XOAUTH2, then the one way in, lets
// that pass.
export async function startSink(options = {}) {
    const { onRcpt, onMail, onToken, port = 0, users, ...rest } = options;
    const isOpen = users === undefined && onToken === undefined;
    const sink = new Sink();
    const server = new SMTPServer({
        authOptional: isOpen,
        disabledCommands: [
            ...(isOpen ? ['AUTH'] : []),
            ...(rest.cert === undefined ? ['STARTTLS'] : []),
        ],
        ...(onToken && { authMethods: ['XOAUTH2'] }),
        disableReverseLookup: true,
        closeTimeout: 500,
        ...rest,
        onAuth(auth, session, done) {
            if (auth.method === 'XOAUTH2')
                done(null, onToken(auth) ? { user: auth.username }
                                         : { data: REFUSAL });
            else if (users?.[auth.username] === auth.password)
                done(null, { user: auth.username });
            else
                done(reply(535, '5.7.8 no such user or password'));
        },
        onConnect(session, done) {
            sink.connections++;
            done();
        },
        onRcptTo(address, session, done) {
            settle(() => onRcpt?.(address.address, session), done);
        },
        onData(stream, session, done) {
            const pieces = [];
            stream.on('data', (piece) => pieces.push(piece));
            stream.on('end', () => {
                const mail = received(Buffer.concat(pieces), session);
                settle(async () => {
                    await onMail?.(mail);
                    sink.mails.push(mail);
                }, done);
            });
        },
    });
    server.on('error', () => {}); // a client that left; the test sees why
    await new Promise((resolve, reject) => {
        server.server.once('error', reject);
        server.listen(port, '127.0.0.1', resolve);
    });
    sink.server = server;
    sink.port = server.server.address().port;
    atEnd(() => sink.close());
    return sink;
}

const REFUSAL = { status: '401', schemes: 'bearer mac', scope: 'mail' };

export function reply(responseCode, text) {
    return Object.assign(new Error(text), { responseCode });
}

function settle(fn, done) {
    Promise.resolve().then(fn).then(() => done(), done);
}

function received(raw, session) {
    const text = raw.toString('latin1');
    return {
        raw,
        from: session.envelope.mailFrom && session.envelope.mailFrom.address,
        to: session.envelope.rcptTo.map((rcpt) => rcpt.address),
        messageId: /^message-id:\s*(\S+)/im.exec(text)?.[1],
        secure: session.secure,
        user: session.user,
        session: session.id,
        at: Date.now(),
    };
}

export const parse = (mail) => simpleParser(mail.raw, {
    keepCidLinks: true,
});

class Sink {
    mails = [];
    connections = 0;

    // The upstream's table for posthaste.toml.
    upstream(more = {}) {
        return { name: 'sink', host: '127.0.0.1', port: this.port,
                 tls: 'off', auth: 'none', ...more };
    }

    for(address) {
        return this.mails.filter((mail) => mail.to.includes(address));
    }

    // How many came for each address, by one walk: thousands of for() block
    // node's loop for a minute, and meanwhile the server closes idle
    // connections that fetch then takes for live ones.
    copies() {
        const copies = new Map();
        for (const { to } of this.mails)
            for (const address of to)
                copies.set(address, (copies.get(address) ?? 0) + 1);
        return copies;
    }

    // The first mail to address, as soon as there is one.
    async mailTo(address, timeout) {
        await until(`a mail to ${address}`,
                    () => this.for(address).length > 0, timeout);
        return this.for(address)[0];
    }

    close() {
        return new Promise((resolve) => this.server.close(resolve));
    }
}
