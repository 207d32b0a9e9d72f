// mails.mjs - random mails, the same ones for the same seed.
//
// They are made of what has broken mail programs before: other scripts, joined
// emoji, marks, text that looks like an encoded word or a boundary, blanks in
// odd places, long words, bare line ends, dots and "From " at line starts.
import crypto from 'node:crypto';

// Mulberry32: small, and good enough to choose with.
function generator(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = state;
        t = Math.imul(t ^ (t >>> 15), t | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

const PLAIN = ['code', '483920', 'Your', 'login', 'is', 'a', 'the', 'ACME',
               '(beta)', '50%', 'e=mc2', 'what?', '_x_', 'C:', '#1', "it's",
               'x'.repeat(70), 'semi;colon', '[tag]', 'a/b', '$5', '~', '-'];
const QUOTED = ['"quoted"', 'back\\slash', 'comma,', 'dot.', '<angle>', 'a@b'];
const FOREIGN = ['Grüße', 'naïve', 'Ελλάδα', 'Привет', '验证码', '您好，世界',
                 'パスワード', '한국어', 'שלום', 'مرحبا', 'नमस्ते', 'e\u0301te\u0301',
                 '👍🏽', '👨‍👩‍👧‍👦', '🇩🇪🇫🇷', '❤️', '𝒳', 'ﬁ', '“so”', '…', '\u00a0', '\u2028',
                 '\ufeff', '验'.repeat(60), 'ü'.repeat(90)];
const TRICKY = ['=?utf-8?q?x?=', '=?UTF-8?B?eA==?=', '=?', '?=', '=20', '=_',
                '--', '.', '..', '.dot', 'From here', '>From', '&amp;', '%00',
                '--=_0', 'y'.repeat(300)];

export class Random {
    constructor(seed) {
        this.next = generator(seed);
    }

    below(n) {
        return Math.floor(this.next() * n);
    }

    chance(share) {
        return this.next() < share;
    }

    of(list) {
        return list[this.below(list.length)];
    }

    // Words of the given kinds, oddBlanks: also two blanks, or one at an end.
    words(most, kinds, oddBlanks = 0) {
        const count = 1 + this.below(most);
        let text = '';
        for (let i = 0; i < count; i++) {
            if (i > 0)
                text += this.chance(oddBlanks) ? '  ' : ' ';
            text += this.of(this.of(kinds));
        }
        if (this.chance(oddBlanks))
            text = ` ${text}`;
        if (this.chance(oddBlanks))
            text += ' ';
        return text;
    }

    kinds() {
        return this.of([[PLAIN], [PLAIN, FOREIGN], [PLAIN, QUOTED, TRICKY],
                        [FOREIGN], [PLAIN, QUOTED, FOREIGN, TRICKY]]);
    }

    lines(most) {
        let text = '';
        for (let i = this.below(most + 1); i >= 0; i--) {
            text += this.words(12, this.kinds(), 0.1);
            text += this.of(['\n', '\r\n', '\n\n', '\r', '\n.\n', '\t\n']);
        }
        if (this.chance(0.05))
            text += 'z'.repeat(2000);
        return text;
    }
}

const bytes = (text) => Buffer.byteLength(text);

// Cuts at a code point.
function cut(text, most) {
    const points = [...text];
    while (bytes(points.join('')) > most)
        points.pop();
    return points.join('');
}

function quote(name) {
    return `"${name.replace(/[\\"]/g, '\\$&')}"`;
}

function mailbox(random) {
    const local = random.of(['jane', 'jane.doe', 'o\'neil+tag', 'x', '_-',
                             'l'.repeat(64), 'no-reply']);
    const domain = random.of([
        ['example.com', 'example.com'],
        ['bücher.example', 'xn--bcher-kva.example'],
        ['例子.中国', 'xn--fsqu00a.xn--fiqs8s'],
        [`${'d'.repeat(60)}.example`, `${'d'.repeat(60)}.example`],
    ]);
    const name = random.chance(0.3) ? ''
        : cut(random.words(5, random.kinds(), 0.05), 320).trim();
    const text = name === '' ? `${local}@${domain[0]}`
        : `${quote(name)} <${local}@${domain[0]}>`;
    return { text, name, address: `${local}@${domain[1]}` };
}

function mailboxes(random, most) {
    return Array.from({ length: random.below(most + 1) },
                      () => mailbox(random));
}

const TYPES = ['', 'application/pdf', 'image/png', 'text/plain',
               'text/plain; charset=iso-8859-1', 'application/x-thing; a="b c"'];

function attachment(random, number) {
    const stem = cut(random.words(4, random.kinds()), 240)
        .replace(/[/\\\u2028\u00a0\ufeff]/g, '').trim();
    const content = crypto.createHash('shake256',
        { outputLength: random.of([0, 1, 2, 3, 56, 57, 58, 1000, 5000]) })
        .update(String(random.next())).digest();
    return { content, name: `${stem || 'x'}.${random.of(['bin', 'png'])}`,
             type: random.of(TYPES),
             id: random.chance(0.4) ? `part${number}@x.example` : '' };
}

// input: a line for tool_compose. what: what a reader has to find.
export function randomMail(seed) {
    const random = new Random(seed);
    const from = mailbox(random);
    const to = [mailbox(random), ...mailboxes(random, 3)];
    const cc = mailboxes(random, 2);
    const replyTo = mailboxes(random, 2);
    const subject = cut(random.words(20, random.kinds(), 0.05), 998);
    const note = cut(random.words(30, random.kinds(), 0.05), 2048);
    const files = Array.from({ length: random.of([0, 0, 0, 1, 2, 5]) },
                             (_, i) => attachment(random, i));
    const hasHtml = random.chance(0.6);
    const hasText = !hasHtml || random.chance(0.7);
    const text = hasText ? random.lines(15) : null;
    const html = !hasHtml ? null : `<p>${random.lines(15)}</p>` +
        files.map((file) => file.id === '' || random.chance(0.5) ? ''
                      : `<img src="cid:${file.id}">`).join('');
    const messageId = `<${seed}.a@example.com>`;
    return {
        input: {
            from: from.text, to: to.map((box) => box.text),
            cc: cc.map((box) => box.text),
            reply_to: replyTo.map((box) => box.text), subject,
            ...(text === null ? {} : { text }),
            ...(html === null ? {} : { html }),
            headers: { 'X-Note': note },
            attachments: files.map((file) => ({
                content: file.content.toString('base64'), filename: file.name,
                content_type: file.type, content_id: file.id,
            })),
            message_id: messageId, date_ms: 1795530247000 + seed * 1000,
            seed: String(seed),
        },
        what: { from: [from], to, cc, replyTo, subject, note, text, html,
                files, messageId,
                date: new Date(1795530247000 + seed * 1000).toISOString() },
    };
}
