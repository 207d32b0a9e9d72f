// readers.mjs - four readers of mails, each of which finds the same: one of our
// own that forgives nothing, mailparser, postal-mime and Python's email.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import { domainToASCII, fileURLToPath } from 'node:url';
import { npm } from '../harness/npm.mjs';
import { walk } from './walker.mjs';

const READ = fileURLToPath(new URL('read.py', import.meta.url));
const { simpleParser } = npm('mailparser');
const libmime = npm('libmime');
const { default: PostalMime, decodeWords } = npm('postal-mime');

export const sha = (octets) =>
    crypto.createHash('sha256').update(octets).digest('hex');

// Line ends are the transport's; one that ends a body may be added.
export const body = (text) => text === null || text === undefined ? null
    : text.replace(/\r\n?/g, '\n').replace(/\n$/, '');

export function run(program, args, input) {
    const done = spawnSync(program, args, { input, maxBuffer: 1 << 30 });
    assert.equal(done.status, 0, String(done.stderr));
    return done.stdout;
}

// Some show domains as people write them, some as they were sent.
export const asSent = (address) => address.replace(/[^@]+$/, domainToASCII);
export const boxes = (list) => (list ?? [])
    .map(({ name, address }) => ({ name, address: asSent(address) }));

async function byMailparser(octets) {
    const mail = await simpleParser(octets, {
        skipHtmlToText: true, skipTextToHtml: true, skipTextLinks: true,
        skipImageLinks: true,
    });
    return {
        from: boxes(mail.from?.value), to: boxes(mail.to?.value),
        cc: boxes(mail.cc?.value), replyTo: boxes(mail.replyTo?.value),
        subject: mail.subject,
        note: libmime.decodeWords(mail.headers.get('x-note') ?? ''),
        messageId: mail.messageId,
        date: mail.date.toISOString(), text: body(mail.text),
        html: body(mail.html || null),
        files: mail.attachments.map((file) => ({
            name: file.filename, type: file.contentType, id: file.cid ?? '',
            sha: sha(file.content),
        })),
    };
}

async function byPostalMime(octets) {
    const mail = await PostalMime.parse(octets);
    return {
        from: boxes([mail.from]), to: boxes(mail.to), cc: boxes(mail.cc),
        replyTo: boxes(mail.replyTo), subject: mail.subject,
        note: decodeWords(mail.headers.find(({ key }) => key === 'x-note')
            ?.value ?? ''),
        messageId: mail.messageId, date: mail.date,
        text: body(mail.text), html: body(mail.html),
        files: mail.attachments.map((file) => ({
            name: file.filename, type: file.mimeType,
            id: (file.contentId ?? '').replace(/^<|>$/g, ''),
            sha: sha(Buffer.from(file.content)),
        })),
    };
}

export function byPython(mails) {
    const frames = mails.flatMap((mail) => [`${mail.length}\n`, mail]);
    const out = run('python3', [READ],
                    Buffer.concat(frames.map((frame) => Buffer.from(frame))));
    return out.toString().trimEnd().split('\n').map((line) => {
        const { defects, ...mail } = JSON.parse(line);
        assert.deepEqual(defects, []);
        return { ...mail, note: mail.note ?? '', text: body(mail.text),
                 html: body(mail.html),
                 date: new Date(mail.date * 1000).toISOString() };
    });
}

function byWalker(octets, options) {
    const { mail } = walk(octets, options);
    return { ...mail, from: boxes(mail.from), to: boxes(mail.to),
             cc: boxes(mail.cc), replyTo: boxes(mail.replyTo),
             text: body(mail.text), html: body(mail.html),
             files: mail.files.map(({ content, ...file }) =>
                 ({ ...file, sha: sha(content) })) };
}

// What each reader finds in a mail, by its name; Python, which takes its time
// to begin, has read all of them before. options: walk()'s.
export async function readBy(octets, python, options) {
    return { walker: byWalker(octets, options),
             mailparser: await byMailparser(octets),
             'postal-mime': await byPostalMime(octets), python };
}

const key = (file) => `${file.sha} ${file.id} ${file.type} ${file.name}`;
const byKey = (a, b) => key(a) < key(b) ? -1 : Number(key(a) > key(b));

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
    walker() {},
    // puts blanks between the encoded words of a display name, and makes one
    // of two that are there
    python(mail) {
        for (const box of [mail.from, mail.to, mail.cc, mail.replyTo].flat())
            box.name = box.name.replace(/\s+/g, '');
    },
};

// found and want are changed.
export function compare(reader, found, want, what) {
    for (const mail of [found, want]) {
        FAULTS.all(mail, want);
        FAULTS[reader](mail);
        mail.files.sort(byKey);
    }
    assert.deepEqual(found, want, `${what}, by ${reader}`);
}
