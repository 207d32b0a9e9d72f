// The catalogue of SMTP servers' behaviour, rows 1 to 30: from the name of the
// server to what it offers. Rows 7 and 8 are of direct MX, which Posthaste does
// not do. lib/rows.mjs says how a row reads, lib/scripted.mjs what a server can
// be told to do.
import assert from 'node:assert/strict';
import { until } from '../integration/harness/scope.mjs';
import { USERS, play, row } from './lib/rows.mjs';

const BASE = ['PIPELINING', '8BITMIME', 'SIZE 50000000'];

const delivery = (played) => played.events(played.ids[0]).at(-1).data.delivery;
const said = ({ server }, n = 0) => server.sessions[n].commands;
const verbs = (played, n) => said(played, n).map((line) => line.split(' ')[0]);

// --- the way to the server ---

row(1, 'refuses TCP', {}, 'R, ...', { hole: 'closed' });
row(1, 'refuses TCP, the next server does not', {}, 'D',
    { hole: 'closed', then: 'good' });
row(2, 'swallows the SYN', {}, 'R, ...',
    { hole: true, upstream: { connect_timeout: '500ms' } });
row(2, 'swallows the SYN, the next server does not', {}, 'D',
    { hole: true, upstream: { connect_timeout: '500ms' }, then: 'good' });
row(3, 'closes at accept', { isOwn: true, connect: 'close' }, 'R, D');
row(3, 'RST at accept', { isOwn: true, connect: 'reset' }, 'R, D');
row(4, 'IPv6 is a hole, IPv4 is good', { isOwn: true }, 'D', {
    upstream: { host: 'both.test', connect_timeout: '5s' },
    zone: { 'both.test': { aaaa: ['::1'], a: ['127.0.0.1'] } },
    isIpv6Hole: true,
    check: (played) => {
        const { total_ms } = delivery(played);
        assert.ok(total_ms < 1500, `${total_ms} ms`);
    },
});
row(4, 'a source address', { isOwn: true }, 'D', {
    upstream: { source_address: '127.0.0.9' },
    check: ({ server }) => assert.equal(server.sessions[0].remoteAddress,
                                        '127.0.0.9'),
});
row(4, 'a source address of the other family', { isOwn: true }, 'C', {
    upstream: { source_address: '::1' }, rule: 5,
});
row(4, 'a source address that is not here', { isOwn: true }, 'R, ...', {
    upstream: { source_address: '192.0.2.1' },
});
row(5, 'its name does not exist', { isOwn: true }, 'C',
    { upstream: { host: 'none.test' } });
row(6, 'SERVFAIL for its name, then an answer', { isOwn: true }, 'R, D', {
    upstream: { host: 'lame.test' },
    zone: { 'lame.test': ['SERVFAIL', 'SERVFAIL', 'SERVFAIL', 'SERVFAIL',
                          'SERVFAIL', 'SERVFAIL', { a: ['127.0.0.1'] }] },
});

// --- banner ---

row(9, 'banner 421', { isOwn: true, banner: ['421 4.3.2 busy', 'close'] },
    'R 421 4.3.2, D');
row(9, 'banner 450', { isOwn: true, banner: '450 later' }, 'R 450, D');
row(9, 'banner 421, and the next server', {
    isOwn: true, always: { banner: '421 busy' },
}, 'D', { then: 'good' });
row(10, 'banner 554', { isOwn: true, always: { banner: '554 5.7.1 no' } }, 'C',
    { check: (played) => until('QUIT', () => verbs(played)[0] === 'QUIT') });
row(10, 'banner 554, and the next server', {
    isOwn: true, always: { banner: '554 no' },
}, 'C, D', { then: 'good' });
row(11, 'a banner of three lines in pieces', {
    isOwn: true, banner: ['raw 220-sc', 'wait 30', 'raw ripted\r', 'wait 30',
                          'raw \n220-and\r\n220', 'wait 30', 'raw  more\r\n'],
}, 'D');
row(12, 'the banner comes late', { isOwn: true, banner: ['wait 800', 'ok'] },
    'D');
row(13, 'no banner', { isOwn: true, banner: 'hang' }, 'R, D',
    { upstream: { banner_timeout: '500ms' } });
row(14, 'a banner by bytes', { isOwn: true, banner: 'drip 10 220 scripted' },
    'D');
row(14, 'a banner by bytes, without end', {
    isOwn: true, banner: `drip 30 220 ${'x'.repeat(1000)}`,
}, 'R, D', { upstream: { banner_timeout: '500ms' } });
row(15, 'two banners in one packet', {
    isOwn: true, banner: 'raw 220 one\r\n220 two\r\n',
}, 'R, D');
row(15, 'speaks HTTP', {
    isOwn: true, banner: 'raw HTTP/1.1 400 Bad Request\r\n\r\n',
}, 'R, D');
row(16, 'a line of 2 MB', {
    isOwn: true, banner: `raw 220 ${'x'.repeat(2_000_000)}`,
}, 'R, D');
row(16, 'lines without end', {
    isOwn: true, banner: `raw ${'220-more\r\n'.repeat(100_000)}`,
}, 'R, D');

// --- EHLO ---

row(17, 'EHLO 500', { isOwn: true, ehlo: '500 what?' }, 'D',
    { check: (played) =>
        assert.deepEqual(verbs(played).slice(0, 3),
                         ['EHLO', 'HELO', 'MAIL']) });
row(17, 'EHLO 502, and TLS is a must', {
    tls: 'starttls', isDemanding: true, always: { ehlo: '502 5.5.1 what?' },
}, 'C', { rule: 31 });
row(18, 'EHLO 421', { isOwn: true, ehlo: ['421 4.3.2 no', 'close'] },
    'R 421 4.3.2, D');
row(18, 'a drop at EHLO', { isOwn: true, ehlo: 'close' }, 'R, D');
row(18, 'silence at EHLO', { isOwn: true, ehlo: 'hang' }, 'R, D',
    { upstream: { command_timeout: '500ms' } });
row(19, 'EHLO 550', { isOwn: true, always: { ehlo: '550 5.7.1 no' } }, 'C');
row(19, 'EHLO 550, and the next server', {
    isOwn: true, always: { ehlo: '550 no' },
}, 'C, D', { then: 'good' });
row(20, 'no extensions', { offers: [] }, 'D', {
    mail: { subject: 'Grüße', text: 'Grüße, 世界\n' },
    check: (played) => {
        assert.match(said(played)[1], /^MAIL FROM:<\S+>$/);
        assert.match(said(played)[2], /^RCPT TO:<\S+>$/);
    },
});
row(21, 'keywords in lower case, AUTH=LOGIN, a blank one', {
    tls: 'implicit', users: USERS,
    offers: ['pipelining', '', 'AUTH=LOGIN', 'size'],
}, 'D');
row(22, 'capabilities of 500 lines', {
    isOdd: true, offers: Array.from({ length: 500 }, (_, i) => `X-${i}`),
}, 'R, ...');
row(22, 'a capability of 10 KB', {
    isOdd: true, offers: [`X-${'x'.repeat(10_240)}`],
}, 'R, ...');

// --- what is offered ---

row(23, 'PIPELINING: one flight, each reply to its command', {
    offers: BASE, rcpt: ['wait 50', 'ok'], data: ['wait 50', 'ok'],
}, 'D');
row(24, 'no PIPELINING: one at a time', {
    offers: ['SIZE'], mail: ['wait 50', 'ok'], rcpt: ['wait 50', 'ok'],
}, 'D');
row(26, 'no 8BITMIME: seven bits', { offers: ['PIPELINING'] }, 'D', {
    mail: { text: 'Grüße, 世界\n', html: '<p>Grüße, 世界</p>' },
    check: ({ server }) =>
        assert.doesNotMatch(server.taken[0].raw, /[^\0-\x7f]/),
});
row(28, 'SIZE is smaller than the message', { offers: ['SIZE 500'] },
    'F - 5.3.4', {
        mail: { text: 'x'.repeat(600) },
        check: (played) => assert.ok(!verbs(played).includes('MAIL')),
    });
row(28, 'SIZE 0 is no limit', { offers: ['SIZE 0'] }, 'D',
    { mail: { text: 'x'.repeat(5000) } });
row(29, 'no SIZE, 552 at MAIL', { offers: [], mail: '552 5.3.4 too big' },
    'F 552 5.3.4');
row(30, 'DSN', { offers: [...BASE, 'DSN'] }, 'D', {
    local: 'ada+x=y',
    check: ({ server, ids: [id] }) => {
        const { envid, ret, orcpt, to } = server.taken[0];
        assert.equal(envid, `${id}:0`);
        assert.equal(ret, 'HDRS');
        assert.equal(orcpt, `rfc822;${to[0]}`);
    },
});
row(30, 'no DSN', { offers: BASE }, 'D', {
    check: (played) =>
        assert.doesNotMatch(said(played).join(), /RET=|ENVID=|ORCPT=/),
});

play('rows 1 to 30');
