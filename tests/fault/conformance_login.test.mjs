// The catalogue of SMTP servers' behaviour, rows 43 to 47 once more: OAuth
// tokens, by OAUTHBEARER and XOAUTH2, and SCRAM that is passed by. lib/rows.mjs
// says how a row reads.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { folder } from '../integration/harness/scope.mjs';
import { USERS, play, row } from './lib/rows.mjs';

const OLD = 'ya29.old-dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg';
const NEW = 'ya29.new-dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg';
const BASE = ['PIPELINING', '8BITMIME', 'SIZE 50000000'];
const both = { tls: 'implicit', offers: [...BASE, 'AUTH XOAUTH2 OAUTHBEARER'],
               isDemanding: true, users: USERS, tokens: [OLD] };
const google = { ...both, offers: [...BASE, 'AUTH LOGIN PLAIN XOAUTH2'] };

const password = { ...both, tokens: [] };

const said = ({ server }, n = 0) => server.sessions[n].commands;
const text = (token) => `${token}\n`;
const answer = (token, life = 3600) => JSON.stringify(
    { access_token: token, token_type: 'Bearer', expires_in: life });

// The upstream's keys; the file is kept for hand().
function file(name, content) {
    const at = path.join(folder('token'), name);
    if (content !== undefined)
        fs.writeFileSync(at, content, { mode: 0o600 });
    return at;
}
const files = new Map();
const byFile = (content, more) => () => {
    const token_file = file('token', content);
    return { password_file: '', token_file, messages_per_session: 1, ...more };
};
const byCommand = (content, more) => () => {
    const at = file('token', content);
    return { password_file: '', token_command: ['/bin/cat', at],
             messages_per_session: 1, ...more };
};

// Until now the file had another token, and the server took that.
function renew(key) {
    return ({ server }) => {
        server.script.tokens = [NEW];
        fs.writeFileSync(files.get(key), answer(NEW));
    };
}
const kept = (key, content) => () => {
    files.set(key, file('token', content));
    return { password_file: '', token_file: files.get(key),
             messages_per_session: 1 };
};

// Nobody but the server sees it.
function hides(played) {
    const logs = played.stage.service.logs();
    for (const token of [OLD, NEW])
        for (const form of [token, token.slice(0, 24),
                            Buffer.from(token).toString('base64')])
            assert.ok(!logs.includes(form), 'a token in the log');
}
// What PLAIN says of joe and his password.
const PLAIN = Buffer.from('\0joe\0correct-horse').toString('base64');
async function hidesPlain({ stage, upstream, ids }) {
    const attempts = await stage.service.call(
        'GET', `/v1/emails/${ids.at(-1)}/attempts`);
    assert.equal(attempts.status, 200);
    for (const seen of [stage.service.logs(), attempts.text])
        assert.ok(!seen.includes(PLAIN.slice(0, 16)), upstream);
}
const alarm = (played) => played.stage.alarms(played.upstream)[0].text;

for (const [how, upstream] of [
    ['a bare token of a file', byFile(text(OLD))],
    ['the JSON of a file', byFile(answer(OLD))],
    ['a bare token of a command', byCommand(text(OLD))],
    ['the JSON of a command', byCommand(answer(OLD))],
]) {
    row(43, `XOAUTH2 is better than PLAIN, by ${how}`, google, 'D', {
        upstream, check: (played) => {
            assert.match(said(played)[1], /^AUTH XOAUTH2 \S+$/);
            assert.equal(played.server.taken[0].user, 'joe');
            hides(played);
        },
    });
    row(43, `OAUTHBEARER is better than XOAUTH2, by ${how}`, both, 'D', {
        upstream, check: (played) => {
            assert.match(said(played)[1], /^AUTH OAUTHBEARER \S+$/);
            const { user, host, port } = played.server.sessions[0].credentials;
            assert.deepEqual([user, host, Number(port)],
                             ['joe', '127.0.0.1', played.server.port]);
            hides(played);
        },
    });
}
row(43, 'XOAUTH2 by its name', both, 'D', {
    upstream: byFile(text(OLD), { auth: 'xoauth2' }),
    check: (played) => assert.match(said(played)[1], /^AUTH XOAUTH2 \S+$/),
});
row(43, 'neither is offered: the password', {
    ...both, offers: [...BASE, 'AUTH PLAIN'],
}, 'D', {
    upstream: () => ({ token_file: file('token', text(OLD)) }),
    check: (played) => assert.match(said(played)[1], /^AUTH PLAIN \S+$/),
});

// --- long ones ---

const long = 'x'.repeat(7990);
row(43, 'a token that fits into no command', { ...google, tokens: [long] },
    'D', {
        upstream: byFile(text(long)),
        check: (played) => assert.deepEqual(
            said(played).slice(1, 3).map((line) => line.length > 10_000),
            [false, true]),
    });
row(43, 'a token that is longer than any server takes', google, 'C', {
    upstream: byFile(text('x'.repeat(8001))),
    check: (played) => {
        assert.ok(!said(played).some((line) => line.startsWith('AUTH')));
        assert.match(alarm(played), /8001 bytes, and 8000 are the most/);
    },
});

// --- refused ones ---

for (const [mechanism, status, ack, script] of [
    ['XOAUTH2', '401', '', google],
    ['OAUTHBEARER', 'invalid_token', 'AQ==', both],
]) {
    row(45, `${mechanism}, 334 and why, 535`, { ...script, tokens: [NEW] },
        'C', {
            upstream: byCommand(text(OLD)),
            check: (played) => {
                assert.equal(said(played)[2], ack);
                assert.equal(said(played).filter((line) =>
                    line.startsWith('AUTH')).length, 1);
                assert.equal(alarm(played),
                             `no such token (status ${status})`);
                hides(played);
            },
        });
    row(45, `${mechanism}, 535 for an old token, and a new one`, script, 'D', {
        mails: 2, upstream: kept(mechanism, text(OLD)),
        between: renew(mechanism),
        check: (played) => {
            const logins = said(played, 1).filter((line) =>
                line.startsWith('AUTH'));
            assert.equal(logins.length, 2);
            assert.equal(played.server.sessions.length, 2);
            hides(played);
        },
    });
}
// Whole, and cut off by the server.
for (const code of ['235 2.7.0', '535 5.7.8'])
    for (const quote of [PLAIN, PLAIN.slice(0, 16)])
        row(45, `AUTH ${code.slice(0, 3)} that quotes ${quote.length} letters`, {
            ...password, offers: ['AUTH PLAIN'], always: {
                auth: `${code} heard AUTH PLAIN ${quote}`, rcpt: '550 no',
            },
        }, code.startsWith('2') ? 'F 550' : 'C', { check: hidesPlain });
// Whoever is told of a mail that was refused sees nothing of the login.
for (const [step, code, fate] of [['mail', '550 5.7.1', 'F 550 5.7.1'],
                                  ['rcpt', '550 5.7.1', 'F 550 5.7.1'],
                                  ['dot', '250 2.0.0', 'D']])
    for (const quote of [PLAIN, PLAIN.slice(0, 16), 'correct-horse',
                         Buffer.from('correct-horse').toString('base64')])
        row(45, `a ${code} to ${step} that quotes ${quote.length} letters`, {
            ...password, offers: [...BASE, 'AUTH PLAIN'],
            [step]: `${code} you came as ${quote}, yes?`,
        }, fate, {
            check: async (played) => {
                await hidesPlain(played);
                const { stage, ids } = played;
                const { text } = await stage.service.call(
                    'GET', `/v1/emails/${ids.at(-1)}/events`);
                for (const seen of [stage.service.logs(), text])
                    assert.ok(!seen.includes(quote.slice(0, 13)), step);
                if (step !== 'dot')
                    assert.ok(text.includes('you came as ••••••, yes?'), text);
            },
        });
row(45, 'a 535 that quotes the token', {
    ...google, always: { auth: `535 5.7.8 ${OLD} is not known` },
}, 'C', { upstream: byFile(text(OLD)), check: hides });
row(43, 'it hangs up with the 535 for an old token', {
    ...google, scenes: [{}, { auth: ['535 5.7.8 too old', 'close'] }],
}, 'C, D', {
    mails: 2, upstream: kept('closes', text(OLD)), between: renew('closes'),
    check: (played) => assert.equal(alarm(played), 'too old'),
});
row(46, '454 to a token', { ...google, auth: '454 4.7.0 not now' },
    'R 454 4.7.0, D', { upstream: byFile(text(OLD)) });
row(47, 'a second challenge behind the refusal', {
    ...google, tokens: [], always: { 'answer 1': '334 e30=' },
}, 'C', {
    upstream: byFile(text(OLD)),
    check: (played) => assert.equal(said(played)[3], '*'),
});

// --- none to be had ---

row(43, 'the command fails, and the next server takes it', google, 'C, D', {
    upstream: () => ({ password_file: '', token_command: ['/bin/sh', '-c',
        `echo "no grant, ${OLD}" >&2; exit 7`] }), then: 'good',
    check: (played) => {
        assert.match(alarm(played), /^\/bin\/sh: exited with 7: no grant, /);
        hides(played);
    },
});
row(43, 'a file whose token has ended', google, 'C', {
    upstream: () => {
        const token_file = file('token', answer(OLD, 60));
        fs.utimesSync(token_file, new Date(), new Date(Date.now() - 120_000));
        return { password_file: '', token_file };
    },
    check: (played) => assert.match(alarm(played), /its token ended \d+ s ago/),
});

// --- in the clear ---

row(44, 'AUTH is offered in the clear alone', {
    ...google, tls: 'starttls',
    offers: [...BASE, 'STARTTLS', 'AUTH XOAUTH2 OAUTHBEARER'], secure: BASE,
}, 'C', { upstream: byFile(text(OLD)) });
row(44, 'opportunistic, and no STARTTLS: no token in the clear', {
    ...both, tls: 'starttls', isDemanding: false,
}, 'C', { upstream: byFile(text(OLD), { tls: 'opportunistic' }) });

// --- a mechanism that is offered, and cannot be done ---

row(45, 'SCRAM is offered and cannot be done: PLAIN, and only that any more', {
    ...password, offers: ['AUTH SCRAM-SHA-256 SCRAM-SHA-1 LOGIN PLAIN'],
    scenes: [{ 'auth 1': '535 5.7.8 no', 'auth 2': '535 5.7.8 no' }],
}, 'D', {
    mails: 2, upstream: { messages_per_session: 1 },
    check: (played) => {
        const mechanisms = (n) => said(played, n)
            .filter((line) => line.startsWith('AUTH'))
            .map((line) => line.split(' ')[1]);
        assert.deepEqual(mechanisms(0),
                         ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN']);
        assert.deepEqual(mechanisms(1), ['PLAIN']);
    },
});
row(45, 'SCRAM by its name is offered and cannot be done', {
    ...password, offers: ['AUTH SCRAM-SHA-256 PLAIN'],
    always: { auth: '535 5.7.8 no' },
}, 'C', {
    upstream: { auth: 'scram-sha-256' },
    check: (played) => assert.equal(
        said(played).filter((line) => line.startsWith('AUTH')).length, 1),
});

play('rows 43 to 47, with tokens, and by the next best');
