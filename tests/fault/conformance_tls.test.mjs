// The catalogue of SMTP servers' behaviour, rows 31 to 49: TLS and the login.
// Rows 40 and 41 are of direct MX, which Posthaste does not do. lib/rows.mjs
// says how a row reads, lib/scripted.mjs what a server can be told to do.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { USERS, play, row } from './lib/rows.mjs';

const BASE = ['PIPELINING', '8BITMIME', 'SIZE 50000000'];
const STARTTLS = { tls: 'starttls', offers: [...BASE, 'STARTTLS'],
                   isDemanding: true };
const IMPLICIT = { tls: 'implicit', offers: BASE, isDemanding: true };
const LOGIN = { ...IMPLICIT, offers: [...BASE, 'AUTH PLAIN LOGIN'],
                users: USERS };
const TLS_1_1 = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1',
                  ciphers: 'DEFAULT:@SECLEVEL=0' };
const TLS_1_2 = { maxVersion: 'TLSv1.2' };

const said = ({ server }, n = 0) => server.sessions[n].commands;
const delivery = (played) => played.events(played.ids[0]).at(-1).data.delivery;
const verbs = (played, n) => said(played, n).map((line) => line.split(' ')[0]);

// --- TLS ---

row(31, 'no STARTTLS, and TLS is a must', { ...STARTTLS, offers: BASE }, 'C');
row(32, 'STARTTLS 454', { ...STARTTLS, starttls: '454 4.7.0 not now' },
    'R 454 4.7.0, D');
row(32, 'STARTTLS 501', { ...STARTTLS, starttls: '501 5.5.4 no' },
    'R 501 5.5.4, D');
row(33, 'a drop behind the 220', { ...STARTTLS, handshake: 'close' }, 'R, D');
row(33, 'silence behind the 220', { ...STARTTLS, handshake: 'hang' }, 'R, D',
    { upstream: { connect_timeout: '500ms' } });
row(33, 'garbage behind the 220', {
    ...STARTTLS, handshake: ['wait 50', 'raw what is that?\r\n', 'hang'],
}, 'R, D', { rule: 33 });
row(34, 'clear text behind the 220', {
    ...STARTTLS, starttls: 'raw 220 go\r\n250-me\r\n250 AUTH PLAIN\r\n',
}, 'C, R, D');
row(35, 'AUTH is offered in the clear alone', {
    ...STARTTLS, offers: [...BASE, 'STARTTLS', 'AUTH PLAIN'], secure: ['SIZE'],
    users: USERS,
}, 'C', { rule: 44 });
row(35, 'behind TLS a new EHLO, whose offers hold', {
    ...STARTTLS, secure: ['SIZE'], mail: ['wait 50', 'ok'],
}, 'D', {
    check: (played) => assert.deepEqual(
        verbs(played).slice(0, 4), ['EHLO', 'STARTTLS', 'EHLO', 'MAIL']),
});
for (const [certificate, what] of [
    ['expired', 'expired'], ['early', 'not valid yet'],
    ['otherName', 'of another name'], ['selfSigned', 'self-signed'],
    ['otherCa', 'of an authority unknown'],
]) {
    row(36, `STARTTLS, a certificate ${what}`, { ...STARTTLS, certificate },
        'C', { check: ({ server }) => assert.equal(server.taken.length, 0) });
    row(36, `implicit TLS, a certificate ${what}`,
        { ...IMPLICIT, certificate }, 'C');
    row(36, `opportunistic, a certificate ${what}`, {
        ...STARTTLS, certificate,
    }, 'D', {
        upstream: { tls: 'opportunistic' },
        check: (played) => assert.match(
            delivery(played).tls,
            /^TLSv1\.3 \S+ unverified$/),
    });
}
const pin = ({ cert }) => new X509Certificate(cert).fingerprint256;
for (const tls of [STARTTLS, IMPLICIT]) {
    row(36, `${tls.tls}, a certificate that is pinned, and nothing else of it`,
        { ...tls, certificate: 'expired' }, 'D', {
            upstream: (certs) => ({
                tls_fingerprint: [pin(certs.good), pin(certs.expired)],
            }),
            check: (played) => assert.match(delivery(played).tls,
                                            /^TLSv1\.3 \S+$/),
        });
    row(36, `${tls.tls}, a good certificate that is not the pinned one`, tls,
        'C', {
            upstream: (certs) => ({
                tls_fingerprint: [pin(certs.selfSigned)],
            }),
            check: ({ server }) => assert.equal(server.taken.length, 0),
        });
    row(38, `${tls.tls}, with a certificate of our own`,
        { ...tls, asksClient: true }, 'D', {
            upstream: ({ app }) => ({ tls_cert_file: app.cert,
                                      tls_key_file: app.key }),
            check: ({ server }) => assert.equal(
                server.sessions[0].clientName, 'app'),
        });
}
row(32, 'opportunistic, STARTTLS 454: in the clear', {
    ...STARTTLS, isDemanding: false, starttls: '454 4.7.0 not now',
}, 'D', { upstream: { tls: 'opportunistic' } });
row(33, 'opportunistic, a drop behind the 220: not in the clear', {
    ...STARTTLS, handshake: 'close',
}, 'R, D', {
    upstream: { tls: 'opportunistic' },
    check: ({ server }) => assert.ok(server.taken[0].isSecure),
});
row(44, 'opportunistic, and no STARTTLS: no password in the clear', {
    ...LOGIN, tls: 'starttls', isDemanding: false,
}, 'C', { upstream: { tls: 'opportunistic' } });
row(37, 'STARTTLS with TLS 1.1 alone', { ...STARTTLS, versions: TLS_1_1 },
    'C');
row(37, 'implicit TLS 1.1 alone', { ...IMPLICIT, versions: TLS_1_1 }, 'C');
row(38, 'implicit TLS', IMPLICIT, 'D', {
    upstream: { host: 'localhost' },
    check: (played) => {
        assert.equal(played.server.sessions[0].serverName, 'localhost');
        assert.match(delivery(played).tls,
                     /^TLSv1\.3 \S+$/);
    },
});
row(39, 'TLS is cut in the middle of a reply to RCPT', {
    ...IMPLICIT, rcpt: ['raw 250-half\r\n', 'cut'],
}, 'R, D');
row(39, 'TLS is cut in the middle of the reply to the dot', {
    ...IMPLICIT, dot: ['take', 'raw 250-half\r\n', 'cut'],
}, 'U, D', { copies: 2 });

// --- login ---

row(42, 'AUTH behind TLS alone', {
    ...STARTTLS, secure: ['AUTH PLAIN'], users: USERS,
}, 'D');
row(43, 'AUTH LOGIN alone', {
    ...LOGIN, offers: ['AUTH LOGIN'],
}, 'D', { check: ({ server }) => assert.equal(server.taken[0].user, 'joe') });
row(43, 'PLAIN is better than LOGIN, in one step', {
    ...LOGIN, offers: ['AUTH LOGIN PLAIN'],
}, 'D', {
    check: (played) => assert.match(said(played)[1], /^AUTH PLAIN \S+$/),
});
for (const [mechanisms, best, versions] of [
    ['SCRAM-SHA-1', 'SCRAM-SHA-1'],
    ['SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 LOGIN PLAIN', 'SCRAM-SHA-256'],
    ['PLAIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1-PLUS'],
    ['SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS',
     'SCRAM-SHA-256-PLUS'],
    ['PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256-PLUS', TLS_1_2],
])
    row(43, `${best} of ${mechanisms}${versions ? ', by TLS 1.2' : ''}`, {
        ...LOGIN, offers: [`AUTH ${mechanisms}`], versions,
    }, 'D', {
        // The second session is resumed.
        mails: 2, upstream: { messages_per_session: 1 },
        check: (played) => {
            for (const n of [0, 1])
                assert.match(said(played, n)[1],
                             new RegExp(`^AUTH ${best} \\S+$`));
            assert.equal(played.server.taken[1].user, 'joe');
        },
    });
row(45, 'somebody between hides that SCRAM can be bound', {
    ...LOGIN, offers: ['AUTH SCRAM-SHA-256'], hidesPlus: true,
}, 'C');
row(47, 'SCRAM, by a server that does not know the password', {
    ...LOGIN, offers: ['AUTH SCRAM-SHA-256'],
    always: { 'answer 1': '334 dj1lSGg0ZUhoNGVIaDRlSGg0ZUhoNGVIaDRlSGg0ZUhoNGVIaDRlSGg0ZUhnPQ==' },
}, 'C', {
    check: (played) => assert.equal(said(played).length, 3),
});
row(47, 'SCRAM, and a 235 without any proof', {
    ...LOGIN, offers: ['AUTH SCRAM-SHA-256'], always: { auth: '235 2.7.0 hi' },
}, 'C', {
    check: (played) => assert.equal(said(played).length, 2),
});
row(44, 'no mechanism that is known', {
    ...LOGIN, offers: ['AUTH NTLM GSSAPI'],
}, 'C');
row(44, 'no AUTH', { ...LOGIN, offers: [] }, 'C');
row(45, 'AUTH 535', { ...LOGIN, always: { auth: '535 5.7.8 no' } }, 'C');
row(45, 'AUTH 535, and the next server', {
    ...LOGIN, always: { auth: '535 5.7.8 no' },
}, 'C, D', { then: 'good' });
row(46, 'AUTH 454', { ...LOGIN, auth: '454 4.7.0 not now' },
    'R 454 4.7.0, D');
row(46, 'AUTH 421', { ...LOGIN, auth: ['421 4.3.0 no', 'close'] },
    'R 421 4.3.0, D');
row(46, 'a drop at AUTH', { ...LOGIN, auth: 'close' }, 'R, D');
row(47, 'AUTH 334 with what is no base64', {
    ...LOGIN, offers: ['AUTH LOGIN'], always: { auth: '334 !?' },
}, 'C', {
    check: (played) => assert.equal(said(played)[2], '*'),
});
for (const code of ['432 4.7.12', '534 5.7.9', '538 5.7.11'])
    row(49, `AUTH ${code}`, { ...LOGIN, always: { auth: `${code} no` } }, 'C');
row(48, 'MAIL 530', { offers: BASE, always: { mail: '530 5.7.0 log in' } },
    'C');

play('rows 31 to 49');
