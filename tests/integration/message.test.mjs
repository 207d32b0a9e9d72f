// Runs beside others.
// What the composer writes, four independent readers find again.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { BIN } from './harness/service.mjs';
import { randomMail } from './message/mails.mjs';
import { body, boxes, byPython, compare, readBy, run,
         sha } from './message/readers.mjs';
import { walk } from './message/walker.mjs';

const MAILS = Number(process.env.MAILS ?? 1000); // 20,000 by hand
const AT_ONCE = 500;
const COMPOSE = path.join(path.dirname(BIN), 'tests/tool_compose');

// All mails in one go: Buffers, in order.
function compose(inputs) {
    const lines = inputs.map((input) => `${JSON.stringify(input)}\n`).join('');
    const out = run(COMPOSE, [], lines);
    const mails = [];
    for (let at = 0; at < out.length;) {
        const end = out.indexOf(10, at);
        const head = out.toString('latin1', at, end);
        assert.match(head, /^\d+$/, `mail ${mails.length}`);
        at = end + 1 + Number(head);
        mails.push(out.subarray(end + 1, at));
    }
    assert.equal(mails.length, inputs.length);
    return mails;
}

// What a reader has to find, from what was asked for.
function wanted(what) {
    return {
        from: boxes(what.from), to: boxes(what.to), cc: boxes(what.cc),
        replyTo: boxes(what.replyTo), subject: what.subject, note: what.note,
        messageId: what.messageId, date: what.date, text: body(what.text),
        html: body(what.html),
        files: what.files.map((file) => ({
            name: file.name, id: file.id, sha: sha(file.content),
            type: file.type.split(';')[0] ||
                  (file.name.endsWith('.png') ? 'image/png'
                                              : 'application/octet-stream'),
        })),
    };
}

// Number `from` and so many more.
async function checkBatch(from, count) {
    const drafts = Array.from({ length: count }, (_, i) =>
        randomMail(from + i));
    const mails = compose(drafts.map(({ input }) => input));
    const python = byPython(mails);
    for (const [i, { what }] of drafts.entries()) {
        const found = await readBy(mails[i], python[i]);
        for (const [reader, mail] of Object.entries(found))
            compare(reader, mail, wanted(what), `mail ${from + i}`);
    }
}

test(`${MAILS} random mails are read as they were meant`, async () => {
    for (let from = 1; from <= MAILS; from += AT_ONCE)
        await checkBatch(from, Math.min(AT_ONCE, MAILS - from + 1));
});

// --- the judge is judged --------------------------------------------------

const SOUND = [
    'From: "Doe, Jane" <j@sender.test>', 'To: ada@inbox.test',
    'Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?= to you',
    'Date: Sun, 29 Nov 2026 09:00:00 +0000', 'Message-ID: <1@sender.test>',
    'MIME-Version: 1.0', 'Content-Type: multipart/mixed; boundary="=_b"', '',
    '--=_b', 'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: quoted-printable', '', 'Voil=C3=A0.', '--=_b',
    'Content-Type: image/png; name="a.png"',
    "Content-Disposition: attachment; filename*=UTF-8''%C3%A9.png",
    'Content-Transfer-Encoding: base64', '',
    `${'A'.repeat(76)}`, 'AAA=', '--=_b--', '',
].join('\r\n').replace('name="a.png"', 'name="=?UTF-8?B?w6kucG5n?="');

// What is put in place of what, and what the walker says.
const SPOILT = [
    [/\r\nTo/, '\nTo', /bare CR or LF/],
    [/Voil/, 'Vo\u00eel', /not 7bit/],
    [/to you/, 'y'.repeat(1000), /a line of/],
    [/to you/, 'to you\r\nSubject: two', /2 fields subject/],
    [/to you/, 'to you\r\n  ', /a line of blanks/],
    [/To: /, 'To ', /no field/],
    [/Gr=C3=BC/, 'Gr=C3', /not valid/],
    [/=\?UTF-8\?Q\?Gr/, '=?utf-8?q?Gr', /no encoded word/],
    [/"Doe, Jane"/, 'Doe, Jane', /no address/],
    [/"Doe, Jane"/, 'J. Doe', /no atom/],
    [/"Doe, Jane"/, '"=?UTF-8?Q?x?="', /in quotes/],
    [/j@sender/, 'j@@sender', /no address/],
    [/charset=utf-8/, 'charset=latin1', /latin1/],
    [/=_b--/, '=_b', /no last boundary/],
    [/--=_b\r\n/, 'text\r\n--=_b\r\n', /before the first boundary/],
    [/Voil=C3=A0\./, 'Voil=C3=A0. ', /blank at the end/],
    [/Voil=C3=A0/, 'Voil=c3=a0', /no octet of QP/],
    [/A{76}/, 'A'.repeat(72), /a line of base64/],
    [/AAA=/, 'AAA', /no base64/],
    [/base64/, 'binary', /Content-Transfer-Encoding/],
    [/%C3%A9/, '%c3%a9', /%c3/],
    [/w6kucG5n/, 'eC5wbmc=', /x\.png/],
];

test('a mail with one fault is refused, and the fault named', () => {
    const octets = (mail) => Buffer.from(mail, 'latin1');
    assert.equal(walk(octets(SOUND)).mail.files[0].name, 'é.png');
    for (const [what, instead, said] of SPOILT) {
        const spoilt = SOUND.replace(what, instead);
        assert.notEqual(spoilt, SOUND);
        assert.throws(() => walk(octets(spoilt)), said, String(what));
    }
});
