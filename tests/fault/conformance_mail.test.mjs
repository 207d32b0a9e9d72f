// The catalogue of SMTP servers' behaviour, rows 50 to 88, and 25: a mail, and the
// sessions that carry many. Rows 56 and 57 are of several recipients in one
// transaction, which Posthaste does not have. lib/rows.mjs says how a row
// reads, lib/scripted.mjs what a server can be told to do.
import assert from 'node:assert/strict';
import { Chance } from '../integration/harness/chance.mjs';
import { until } from '../integration/harness/scope.mjs';
import { play, row } from './lib/rows.mjs';

const BASE = ['PIPELINING', '8BITMIME', 'SIZE 50000000'];
const LONG = 'And so on, to some seventy columns and then again.\n'
    .repeat(320_000); // 16 MB, more than two sockets take of it

const delivery = (played) => played.events(played.ids[0]).at(-1).data.delivery;
const response = (played) => delivery(played).response;
const sessions = ({ server }) => server.sessions.length;
const taken = (played) => played.taken()[0];

// --- MAIL ---

row(50, 'MAIL 450', { mail: '450 4.2.0 later' }, 'R 450 4.2.0, D');
row(50, 'MAIL 550', { mail: '550 5.7.1 not you' }, 'F 550 5.7.1');
row(50, 'MAIL 550 without more', { mail: '550 no' }, 'F 550');
row(50, 'MAIL 421', { mail: ['421 4.3.2 bye', 'close'] }, 'R 421 4.3.2, D');
row(50, 'a drop at MAIL', { mail: 'close' }, 'R, D');
row(27, 'no SMTPUTF8, and the address needs it', {}, 'F - 5.6.7',
    { local: 'grüße' });
row(27, 'SMTPUTF8 is offered', { offers: [...BASE, 'SMTPUTF8'] }, 'D',
    { local: 'grüße' });
row(27, 'a domain beyond ASCII goes as A-label', {}, 'D',
    { domain: 'bücher.test' });

// --- RCPT ---

for (const code of [250, 251, 252])
    row(51, `RCPT ${code}`, { rcpt: `${code} 2.1.5 ok` }, 'D');
row(52, 'RCPT 450, greylisting', { rcpt: '450 4.2.0 Greylisted, come back' },
    'R 450 4.2.0 >60s, D');
row(52, 'RCPT 451 4.7.1', { rcpt: '451 4.7.1 try again later' },
    'R 451 4.7.1 >60s, D');
row(52, 'RCPT 450, a busy mailbox', { rcpt: '450 4.2.1 busy' },
    'R 450 4.2.1, D');
row(53, 'RCPT 550 5.1.1', { rcpt: '550 5.1.1 no such user' }, 'X 550 5.1.1');
row(53, 'the next mail for him', { rcpt: '550 5.1.1 no such user' }, 'S',
    { mails: 2, first: 'X 550 5.1.1' });
row(54, 'the next mail for him', {
    isOwn: true, always: { rcpt: '550 5.7.1 not permitted' },
}, 'F 550 5.7.1', { mails: 2, first: 'F 550 5.7.1' });
row(54, 'RCPT 550 5.7.1', { rcpt: '550 5.7.1 not permitted' }, 'F 550 5.7.1');
row(54, 'RCPT 550 5.7.26', { rcpt: '550 5.7.26 unauthenticated' },
    'F 550 5.7.26');
row(55, 'RCPT 551', { rcpt: '551 5.1.6 try <x@other.test>' }, 'X 551 5.1.6');
row(55, 'RCPT 551 without more', { rcpt: '551 try <x@other.test>' }, 'X 551');
row(58, 'RCPT refused, DATA 354 all the same', {
    rcpt: '550 5.1.1 no', data: '354 go on',
}, 'X 550 5.1.1');
row(58, 'and a lone dot is taken', {
    rcpt: '450 4.2.1 busy', data: '354 go on', dot: '250 2.0.0 taken',
}, 'R 450 4.2.1, D');
row(59, 'RCPT 421', { rcpt: ['421 4.3.2 bye', 'close'] }, 'R 421 4.3.2, D');
row(59, 'a drop at RCPT', { rcpt: 'close' }, 'R, D');
row(59, 'a drop between RCPT and DATA', { rcpt: ['ok', 'close'] }, 'R, D');
row(60, '550 beside 4.1.1', { rcpt: '550 4.1.1 user unknown' },
    'X 550 4.1.1');
row(60, '450 beside 5.1.1', { rcpt: '450 5.1.1 user unknown' },
    'R 450 5.1.1, D');
row(61, '550 by its words: no such user', { rcpt: '550 No such user here' },
    'X 550');
row(61, '550 by its words: blocked', { rcpt: '550 blocked using spamhaus' },
    'F 550');
row(29, 'RCPT 552 5.2.2, mailbox full', { rcpt: '552 5.2.2 over quota' },
    'R 552 5.2.2, D');

// --- DATA ---

row(62, 'DATA 250', { data: '250 2.0.0 ok' }, 'R, D');
row(63, 'DATA 421', { data: ['421 4.3.2 bye', 'close'] }, 'R 421 4.3.2, D');
row(63, 'DATA 451', { data: '451 4.3.0 later' }, 'R 451 4.3.0, D');
row(63, 'DATA 554', { data: '554 5.6.0 no' }, 'F 554 5.6.0');
row(63, 'a drop at DATA', { data: 'close' }, 'R, D');
row(63, 'silence at DATA', { isOwn: true, data: 'hang' }, 'R, D',
    { upstream: { data_timeout: '500ms' } });
row(29, 'DATA 552', { data: '552 5.3.4 too big' }, 'F 552 5.3.4');

// --- the message ---

for (const [number, what, acts, events] of [
    [64, 'a drop', ['close'], 'R, D'],
    [64, 'RST', ['reset'], 'R, D'],
    [65, '421', ['421 4.3.2 bye', 'close'], 'R 421 4.3.2, D'],
    [65, '552', ['552 5.3.4 too big', 'close'], 'F 552 5.3.4'],
])
    row(number, `${what} in mid-body`, {
        isOwn: true, data: ['pause', 'ok', ...acts],
    }, events, { mail: { text: LONG } });
row(66, 'reads no more', { isOwn: true, data: ['pause', 'ok', 'hang'] },
    'R, D', { mail: { text: LONG }, upstream: { block_timeout: '1s' } });
row(87, 'lines too long, dots, bare CR', {}, 'D', {
    mail: { text: `.\n..\n.x\n${'long '.repeat(500)}\na\rb\n.`,
            subject: 'x'.repeat(900) },
});

// --- BDAT ---

const CHUNKING = [...BASE, 'CHUNKING'];
const LARGE = 'Fifty bytes of a line, and so on, to a large one.\n'
    .repeat(2_000);
const always = { upstream: { chunking: 'always' } };
const sizes = ({ server }) => server.sessions.flatMap(({ commands }) =>
    commands.filter((text) => text.startsWith('BDAT')));

row(25, 'a large mail goes in a chunk, committed apart', { offers: CHUNKING },
    'D', { mail: { text: LARGE }, check: (played) => {
        assert.match(sizes(played).join(), /^BDAT 1\d{5},BDAT 0 LAST$/);
    } });
row(25, 'a small one by DATA', { offers: CHUNKING }, 'D',
    { check: (played) => assert.deepEqual(sizes(played), []) });
row(25, 'or at once, where it is wanted', { offers: CHUNKING }, 'D',
    { ...always, mails: 2, first: 'D', check: (played) => {
        assert.match(sizes(played).join(), /^BDAT \d+ LAST,BDAT \d+ LAST$/);
        assert.equal(sessions(played), 1);
    } });
row(25, 'without PIPELINING', { offers: ['CHUNKING'] }, 'D', always);
row(25, 'never', { offers: CHUNKING }, 'D', {
    mail: { text: LARGE }, upstream: { chunking: 'never' },
    check: (played) => assert.deepEqual(sizes(played), []),
});
row(25, 'dots that begin lines are not doubled', { offers: CHUNKING }, 'D',
    { ...always, mail: { text: '.\n..\n.x\n.' } });
for (const [code, events] of [['451 4.3.0 later', 'R 451 4.3.0, D'],
                              ['554 5.6.0 no', 'F 554 5.6.0']]) {
    row(25, `a chunk ${code}`, { offers: CHUNKING, 'chunk 1': code },
        events,
        { mail: { text: LARGE } });
    row(25, `LAST ${code}`, { offers: CHUNKING, 'dot 1': code }, events,
        { mail: { text: LARGE } });
    row(25, `all in one ${code}`, { offers: CHUNKING, 'dot 1': code }, events,
        always);
}
row(25, 'a chunk 552 before its end', {
    offers: CHUNKING, isOwn: true,
    bdat: ['552 5.3.4 too big', 'close'],
}, 'F 552 5.3.4', { mail: { text: LONG } });
row(25, 'a drop behind a chunk', { offers: CHUNKING, chunk: 'close' }, 'R, D',
    { mail: { text: LARGE } });
row(25, 'a drop behind LAST, not taken', { offers: CHUNKING, dot: 'close' },
    'U, D', { mail: { text: LARGE } });
row(25, 'all in one is taken, and a drop', {
    offers: CHUNKING, dot: ['take', 'close'],
}, 'U, D', { ...always, copies: 2 });
row(25, 'a drop at MAIL, all in one under way', {
    offers: CHUNKING, mail: ['wait 300', 'close'],
}, 'U, D', always);
row(25, 'RCPT refused, all in one under way', {
    offers: CHUNKING, mail: ['wait 300', 'ok'], rcpt: '550 5.1.1 no such user',
}, 'X 550 5.1.1', always);
row(25, 'two mails behind one another, the first refused', {
    offers: CHUNKING, 'dot 1': '554 5.7.1 spam',
}, 'D', { ...always, mails: 2, first: 'F 554 5.7.1',
          check: (played) => assert.equal(sessions(played), 1) });

// --- behind the dot ---

row(67, '250', { dot: '250 2.0.0 queued as 4WxYz1' }, 'D 250 2.0.0', {
    check: (played) => assert.match(response(played), /queued as 4WxYz1/),
});
row(68, 'a drop, not taken', { dot: 'close' }, 'U, D');
row(68, 'RST, not taken', { dot: 'reset' }, 'U, D');
row(69, 'taken, and a drop', { dot: ['take', 'close'] }, 'U, D',
    { copies: 2 });
row(69, 'taken, and RST', { dot: ['take', 'reset'] }, 'U, D', { copies: 2 });
row(70, 'taken, and silence', { isOwn: true, dot: ['take', 'hang'] }, 'U, D',
    { copies: 2, upstream: { dot_timeout: '1s' } });
row(71, 'an answer after a while', { dot: ['wait 1500', 'ok'] }, 'D');
row(72, 'a dot 421', { dot: ['421 4.3.2 bye', 'close'] }, 'R 421 4.3.2, D');
row(72, 'a dot 451', { dot: '451 4.3.0 later' }, 'R 451 4.3.0, D');
row(72, 'a dot 452', { dot: '452 4.3.1 no room' }, 'R 452 4.3.1, D');
row(73, 'a dot 550', { dot: '550 no' }, 'F 550');
row(73, 'a dot 550 5.1.1', { dot: '550 5.1.1 no such user' }, 'X 550 5.1.1');
row(73, 'a dot 552', { dot: '552 5.3.4 too big' }, 'F 552 5.3.4');
row(73, 'a dot 554', { dot: '554 5.7.1 spam' }, 'F 554 5.7.1');
row(74, 'a reply in two packets', {
    dot: ['raw 250-2.0.0 ta', 'wait 50', 'raw ken\r\n', 'wait 50',
          '250 2.0.0 and done'],
}, 'D 250 2.0.0');
row(74, 'a reply by bytes', { dot: 'drip 10 250 2.0.0 taken' },
    'D 250 2.0.0');
row(75, '250 without a text', { dot: '250' }, 'D');
row(75, '250 that ends in LF', { dot: ['take', 'raw 250 2.0.0 ok\n'] },
    'D 250 2.0.0');
row(76, 'ten KB of text', {
    dot: `554-5.6.0 ${'no '.repeat(160)}\n`.repeat(20) + '554 5.6.0 no',
}, 'F 554 5.6.0', {
    check: (played) => assert.ok(Buffer.byteLength(response(played)) <= 1024),
});
row(76, 'control and binary bytes, JSON and HTML', {
    dot: '554 5.6.0 \x1b[31m\x07\0\xff\xfe {"a":"b"} <b>"no"</b>',
}, 'F 554 5.6.0', {
    check: (played) => {
        assert.doesNotMatch(response(played), /[\0-\x1f\x7f]/);
        assert.match(response(played), /\{"a":"b"\} <b>"no"<\/b>/);
        assert.doesNotMatch(played.stage.service.logs(), /\x1b/);
    },
});
row(77, 'two replies to a dot', { isOwn: true, dot: ['ok', '250 again'] }, 'D',
    { mails: 2, first: 'D', check: (played) =>
        assert.equal(sessions(played), 2) });
row(77, 'two replies, the second one late', {
    isOwn: true, dot: ['ok', 'wait 100', '250 again'],
}, 'D', {
    mails: 2, first: 'D',
    between: ({ server }) => until('the session is left', () =>
        server.sessions[0].isGone),
});
row(77, 'two replies to MAIL, in one packet', {
    offers: [], mail: 'raw 250 2.1.0 ok\r\n250 again\r\n',
}, 'R, D');
row(78, '199', { dot: 'raw 199 what?\r\n' }, 'U, D');
row(78, '999', { dot: ['take', 'raw 999 what?\r\n'] }, 'U, D', { copies: 2 });
row(78, '250-, then 550', { dot: 'raw 250-one\r\n550 two\r\n' }, 'U, D');
row(78, '999 to RCPT', { rcpt: 'raw 999 what?\r\n' }, 'R, D');
row(78, '354 to the dot', { dot: '354 go on' }, 'U, D');

// --- sessions ---

row(79, '250 and a close', { isOwn: true, always: { dot: ['ok', 'close'] } },
    'D', { mails: 3, first: 'D' });
row(80, '421 behind each mail', {
    isOwn: true, always: { dot: ['ok', '421 4.3.2 enough', 'close'] },
}, 'D', { mails: 3, first: 'D', check: fresh });
row(80, '421 behind three mails', {
    isOwn: true, always: { 'dot 3': ['ok', '421 4.3.2 enough', 'close'] },
}, 'D', { mails: 7, first: 'D', check: fresh });
row(80, '421 when idle', {
    isOwn: true, always: { dot: ['ok', 'wait 50', '421 4.3.2 idle', 'close'] },
}, 'D', { mails: 4, first: 'D', check: fresh });
row(80, '421 to the next MAIL', {
    isOwn: true, always: { 'mail 2': ['421 4.3.2 enough', 'close'] },
}, 'D', { mails: 3, first: 'D', check: fresh });
row(81, 'a close when idle', {
    isOwn: true, always: { dot: ['ok', 'wait 50', 'close'] },
}, 'D', { mails: 4, first: 'D', check: fresh });
row(81, 'a close at the next MAIL', {
    isOwn: true, always: { 'mail 2': 'close' },
}, 'D', { mails: 3, first: 'D', check: fresh });
row(81, 'RST at the next RCPT', {
    isOwn: true, always: { 'rcpt 2': 'reset' },
}, 'D', { mails: 3, first: 'D', check: fresh });
row(82, 'RSET refused', {
    isOwn: true, always: { rcpt: '550 5.7.1 no', rset: '500 what?' },
}, 'F 550 5.7.1', { mails: 2, first: 'F 550 5.7.1', check: (played) =>
    assert.equal(sessions(played), 2) });
row(83, 'QUIT unanswered', { isOwn: true, always: { quit: 'hang' } }, 'D',
    { mails: 3, first: 'D', upstream: { messages_per_session: 1 } });
row(83, 'a close at QUIT', { isOwn: true, always: { quit: 'close' } }, 'D',
    { mails: 3, first: 'D', upstream: { messages_per_session: 1 } });
row(84, 'a second for each reply', {
    offers: BASE, always: Object.fromEntries(
        ['banner', 'ehlo', 'mail', 'rcpt', 'data', 'dot']
            .map((step) => [step, ['wait 1000', 'ok']])),
}, 'D');
row(85, 'by chance 4xx and drops', moods(10), 'R ?, ..., D');
row(86, '421 4.7.28', { isOwn: true, rcpt: ['421 4.7.28 rate', 'close'] },
    'R 421 4.7.28, D');
row(86, '450 too many', {
    isOwn: true, 'rcpt 1': '450 4.7.0 too many messages',
},
    'R 450 4.7.0, D');
row(86, '550 frequency limited', { rcpt: '550 Domain frequency limited' },
    'R 550 >600s, D');
const SPENT = '550 5.4.5 Daily user sending limit exceeded';
row(86, 'the account at a relay is used up, and the next server', {
    isOwn: true, always: { mail: SPENT },
}, 'C, D', { then: 'good' });
row(86, 'the same behind the dot', {
    isOwn: true, always: { dot: SPENT },
}, 'C, D', { then: 'good' });
row(86, '550 of a mailbox that gets too much', {
    rcpt: '550 5.2.1 The user you are trying to contact is receiving mail ' +
          'at a rate that prevents additional messages from being delivered',
}, 'R 550 5.2.1, D');
row(88, 'lifetime over', { always: { rcpt: '451 4.3.0 later' } },
    'R 451 4.3.0, ..., E', { mail: { expires_in: 2 } });
row(88, 'a code is not delivered behind its time', {
    always: { rcpt: ['wait 1500', 'ok'] }, offers: BASE,
}, 'E', { mail: { class: 'verification', expires_in: 1 } });

// Scenes that fail, each in one way.
function moods(count) {
    const chance = new Chance(85);
    return Array.from({ length: count }, () => ({
        [chance.pick(['mail', 'rcpt', 'data'])]:
            chance.pick(['450 4.3.0 later', 'close', 'reset']),
    }));
}

// No attempt was counted, no time lost: each mail was the first one.
function fresh(played) {
    for (const id of played.ids)
        assert.equal(played.events(id)[0].data.delivery.attempt, 1);
}

play('rows 50 to 88, and 25');
