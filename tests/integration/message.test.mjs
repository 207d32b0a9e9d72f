// What the composer writes, three independent readers find again: mailparser,
// postal-mime and Python's email package.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import path from 'node:path';
import { test } from 'node:test';
import { domainToASCII, fileURLToPath } from 'node:url';
import { npm } from './harness/npm.mjs';
import { BIN } from './harness/service.mjs';
import { randomMail } from './message/mails.mjs';

const MAILS = Number(process.env.MAILS ?? 1000);
const COMPOSE = path.join(path.dirname(BIN), 'tests/tool_compose');
const READ = fileURLToPath(new URL('message/read.py', import.meta.url));
const { simpleParser } = npm('mailparser');
const libmime = npm('libmime');
const { default: PostalMime, decodeWords } = npm('postal-mime');

const sha = (octets) =>
    crypto.createHash('sha256').update(octets).digest('hex');
// Line ends are the transport's; one that ends a body may be added.
const body = (text) => text === null || text === undefined ? null
    : text.replace(/\r\n?/g, '\n').replace(/\n$/, '');

function run(program, args, input) {
    const done = spawnSync(program, args, { input, maxBuffer: 1 << 30 });
    assert.equal(done.status, 0, String(done.stderr));
    return done.stdout;
}

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

// --- the readers, each in the same shape ---------------------------------

// Some show domains as people write them, some as they were sent.
const asSent = (address) => address.replace(/[^@]+$/, domainToASCII);
const boxes = (list) => (list ?? [])
    .map(({ name, address }) => ({ name, address: asSent(address) }));

async function readMailparser(octets) {
    const mail = await simpleParser(octets, {
        skipHtmlToText: true, skipTextToHtml: true, skipTextLinks: true,
        skipImageLinks: true,
    });
    return {
        from: boxes(mail.from?.value), to: boxes(mail.to?.value),
        cc: boxes(mail.cc?.value), replyTo: boxes(mail.replyTo?.value),
        subject: mail.subject,
        note: libmime.decodeWords(mail.headers.get('x-note')), messageId: mail.messageId,
        date: mail.date.toISOString(), text: body(mail.text),
        html: body(mail.html || null),
        files: mail.attachments.map((file) => ({
            name: file.filename, type: file.contentType, id: file.cid ?? '',
            sha: sha(file.content),
        })),
    };
}

async function readPostalMime(octets) {
    const mail = await PostalMime.parse(octets);
    return {
        from: boxes([mail.from]), to: boxes(mail.to), cc: boxes(mail.cc),
        replyTo: boxes(mail.replyTo), subject: mail.subject,
        note: decodeWords(mail.headers.find(({ key }) => key === 'x-note')
            .value),
        messageId: mail.messageId, date: mail.date,
        text: body(mail.text), html: body(mail.html),
        files: mail.attachments.map((file) => ({
            name: file.filename, type: file.mimeType,
            id: (file.contentId ?? '').replace(/^<|>$/g, ''),
            sha: sha(Buffer.from(file.content)),
        })),
    };
}

function readPython(mails) {
    const frames = mails.flatMap((mail) => [`${mail.length}\n`, mail]);
    const out = run('python3', [READ],
                    Buffer.concat(frames.map((frame) => Buffer.from(frame))));
    return out.toString().trimEnd().split('\n').map((line) => {
        const { defects, ...mail } = JSON.parse(line);
        assert.deepEqual(defects, []);
        return { ...mail, text: body(mail.text), html: body(mail.html),
                 date: new Date(mail.date * 1000).toISOString() };
    });
}

// --- the octets themselves ------------------------------------------------

function checkOctets(octets) {
    const mail = octets.toString('latin1');
    assert.match(mail, /^[\t\r\n\x20-\x7e]*\r\n$/);
    assert.doesNotMatch(mail, /\r(?!\n)|(?<!\r)\n/);
    const [header] = mail.split('\r\n\r\n', 1);
    for (const line of mail.split('\r\n'))
        assert.ok(line.length <= 998);
    for (const line of header.split('\r\n')) {
        assert.match(line, /\S/);
        if (line.includes('=?UTF-8?'))
            assert.ok(line.length <= 76, line);
        if (line.length > 78)
            assert.match(line.trim(), /^(\S+: )?\S+$|"/, line);
    }
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

// Known faults of the readers, which are taken out of what they found and of
// what they should have found.
const FAULTS = {
    // generated from the html when there was no text
    all(mail, want) {
        if (want.text === null)
            mail.text = null;
    },
    // drops U+FEFF at the start of a text or encoded word, adds line ends to
    // texts, and decodes what looks like an encoded word in a file name that
    // came by RFC 2231
    'postal-mime'(mail) {
        for (const name of ['subject', 'note'])
            mail[name] = mail[name].replaceAll('\ufeff', '');
        for (const box of [mail.from, mail.to, mail.cc, mail.replyTo].flat())
            box.name = box.name.replaceAll('\ufeff', '');
        for (const name of ['text', 'html'])
            mail[name] = mail[name]?.replace(/^\ufeff|\n+$/g, '') ?? null;
        for (const file of mail.files)
            file.name = decodeWords(file.name);
    },
    mailparser() {},
    // puts blanks between the encoded words of a display name, and makes one
    // of two that are there
    python(mail) {
        for (const box of [mail.from, mail.to, mail.cc, mail.replyTo].flat())
            box.name = box.name.replace(/\s+/g, '');
    },
};

function compare(reader, found, what, number) {
    const want = wanted(what);
    for (const mail of [found, want]) {
        FAULTS.all(mail, want);
        FAULTS[reader](mail);
        mail.files.sort(byKey);
    }
    assert.deepEqual(found, want, `mail ${number} by ${reader}`);
}

const key = (file) => `${file.sha} ${file.id} ${file.type} ${file.name}`;
const byKey = (a, b) => key(a) < key(b) ? -1 : Number(key(a) > key(b));

test(`${MAILS} random mails are read as they were meant`, async () => {
    const drafts = Array.from({ length: MAILS }, (_, i) => randomMail(i + 1));
    const mails = compose(drafts.map(({ input }) => input));
    const python = readPython(mails);
    for (const [i, { what }] of drafts.entries()) {
        checkOctets(mails[i]);
        compare('mailparser', await readMailparser(mails[i]), what, i + 1);
        compare('postal-mime', await readPostalMime(mails[i]), what, i + 1);
        compare('python', python[i], what, i + 1);
    }
});
