// walker.mjs - a reader that forgives nothing: it walks the octets of a mail
// and throws at the first that is not as the RFCs have it. What other readers
// repair in silence fails here.
//
// RFC 5322 (lines, fields, addresses), RFC 2045 and 2046 (parts, encodings),
// RFC 2047 (encoded words), RFC 2231 (parameters), RFC 2183 (disposition).
import assert from 'node:assert/strict';

const LINE_MAX = 998;
const ENCODED_LINE_MAX = 76;
const FOLDED_LINE_MAX = 78; // unless it is one word
const WORD_MAX = 75;
const ONCE = ['from', 'sender', 'reply-to', 'to', 'cc', 'subject', 'date',
              'message-id', 'in-reply-to', 'references', 'mime-version',
              'content-type', 'content-transfer-encoding'];
const ATOM = "[\\w!#$%&'*+/=?^`{|}~\\u0080-\\uffff-]+";
const ONE_ATOM = new RegExp(`^${ATOM}$`, 'u');
const ADDRESS = new RegExp(`^${ATOM}(\\.${ATOM})*@[\\w\\u0080-\\uffff-]+` +
                           '(\\.[\\w\\u0080-\\uffff-]+)*$', 'u');
const WORD = /^=\?UTF-8\?([QB])\?([!->@-~]*)\?=$/;
const Q_IN_PHRASE = /^([A-Za-z0-9!*+/_-]|=[0-9A-F]{2})*$/;
const Q_IN_TEXT = /^([!-<>@-~]|=[0-9A-F]{2})*$/;
const BASE64 =
    /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// What octets mean, of which each is a character here.
const utf8 = (latin1) => strict.decode(Buffer.from(latin1, 'latin1'));

// --- lines and fields -------------------------------------------------------

function checkLines(mail, { utf8: mayBeUtf8 = false }) {
    assert.doesNotMatch(mail, /\r(?!\n)|(?<!\r)\n/, 'a bare CR or LF');
    assert.match(mail, /\r\n$/, 'no line end at the end');
    assert.match(mail, mayBeUtf8 ? /^[^\0]*$/ : /^[\t\r\n -~]*$/,
                 'an octet that is not 7bit');
    for (const line of mail.split('\r\n'))
        assert.ok(line.length <= LINE_MAX, `a line of ${line.length} octets`);
}

// The header and what is behind its empty line; fields in order, unfolded.
function split(mail) {
    const end = mail.startsWith('\r\n') ? 0 : mail.indexOf('\r\n\r\n') + 2;
    assert.ok(end !== 1, 'no empty line behind the header');
    const fields = [];
    for (const line of mail.slice(0, end).split('\r\n').slice(0, -1)) {
        if (/^[ \t]/.test(line)) {
            assert.ok(fields.length > 0, 'the header begins with a blank');
            assert.match(line, /\S/, 'a line of blanks in the header');
            fields.at(-1).value += line;
        } else {
            const [, name, value] = /^([!-9;-~]+):(.*)$/.exec(line) ?? [];
            assert.ok(name, `no field: ${line}`);
            fields.push({ name, value, key: name.toLowerCase() });
        }
        if (/\s=\?UTF-8\?/.test(line))
            assert.ok(line.length <= ENCODED_LINE_MAX, `too wide: ${line}`);
        if (line.length > FOLDED_LINE_MAX)
            assert.match(line.trim(), /^(\S+: )?\S+$|"/, 'could be folded');
    }
    for (const field of fields)
        field.value = field.value.replace(/^ /, '');
    return { fields, body: mail.slice(end + 2) };
}

function fieldOf(fields, key) {
    const found = fields.filter((field) => field.key === key);
    assert.ok(found.length <= 1, `${found.length} fields ${key}`);
    return found[0]?.value;
}

// --- encoded words ----------------------------------------------------------

function decodeWord(word, allowed) {
    const [, kind, inner] = WORD.exec(word) ?? [];
    assert.ok(kind && word.length <= WORD_MAX, `no encoded word: ${word}`);
    if (kind === 'B')
        return decodeBase64(inner);
    assert.match(inner, allowed, word);
    return inner.replaceAll('_', ' ').replace(/=(..)/g, (_, hex) =>
        String.fromCharCode(parseInt(hex, 16)));
}

// Blanks between two encoded words are not there; each holds whole characters.
function decodeText(value, allowed = Q_IN_TEXT) {
    let out = '';
    let blanks = '';
    let wasEncoded = false;
    for (const piece of value.split(/([ \t]+)/)) {
        const isEncoded = /^=\?.*\?=$/.test(piece);
        if (/^[ \t]*$/.test(piece)) {
            blanks += piece;
            continue;
        }
        out += (isEncoded && wasEncoded ? '' : blanks) +
               utf8(isEncoded ? decodeWord(piece, allowed) : piece);
        blanks = '';
        wasEncoded = isEncoded;
    }
    return out + blanks;
}

// --- addresses --------------------------------------------------------------

// Cuts at commas outside quotation marks.
function elements(value) {
    const list = value.match(/("(\\.|[^"\\])*"|[^",])+/g) ?? [];
    assert.equal(list.join(','), value, `no address list: ${value}`);
    return list.map((one) => one.trim());
}

function phrase(name) {
    if (!name.startsWith('"')) {
        for (const word of name.split(/\s+/))
            assert.match(word, ONE_ATOM, `no atom: ${word}`);
        return decodeText(name, Q_IN_PHRASE);
    }
    const [, inner] = /^"((?:\\.|[^"\\])*)"$/.exec(name) ?? [];
    assert.notEqual(inner, undefined, `no quoted string: ${name}`);
    assert.doesNotMatch(inner, /=\?.*\?=/, 'an encoded word in quotes');
    return utf8(inner.replace(/\\(.)/g, '$1'));
}

function readAddresses(value) {
    if (value === undefined || value === 'undisclosed-recipients:;')
        return [];
    return elements(value).map((element) => {
        const [, name = '', address = element] =
            /^(?:(.*\S)\s+)?<([^<>]*)>$/.exec(element) ?? [];
        assert.match(utf8(address), ADDRESS, `no address: ${address}`);
        return { name: name && phrase(name), address: utf8(address) };
    });
}

// --- parameters -------------------------------------------------------------

// RFC 2231: name*0*=, name*1*=, ... are one value; each piece is encoded.
function joinPieces(parameters) {
    const values = {};
    for (const { name, value } of parameters) {
        const [, base, number, star] =
            /^([^*]+)(?:\*(\d+))?(\*)?$/.exec(name) ?? [];
        assert.ok(base, `no parameter: ${name}`);
        const known = values[base] ??= { encoded: '', next: 0 };
        if (star === undefined) {
            assert.equal(number, undefined, `half encoded: ${name}`);
            assert.equal(known.plain, undefined, `twice: ${name}`);
            known.plain = value;
        } else {
            assert.equal(Number(number ?? 0), known.next++, name);
            assert.match(value, /^([\w.!#$&+^`{|}~'-]|%[0-9A-F]{2})*$/, value);
            known.encoded += value;
        }
    }
    return Object.fromEntries(Object.entries(values)
        .map(([name, { encoded, plain }]) => [name, {
            plain,
            value: encoded === '' ? plain : decodeURIComponent(
                encoded.replace(/^UTF-8''/, '')),
        }]));
}

// "text/plain; charset=utf-8": what it is, and its parameters.
function readParameters(value) {
    const [, what, rest] =
        /^([\w.+/-]+)((?:;\s+[\w*-]+=(?:"(?:\\.|[^"\\])*"|[^\s;"]+))*)$/
            .exec(value) ?? [];
    assert.ok(what, `no value with parameters: ${value}`);
    const pattern = /;\s+([\w*-]+)=(?:"((?:\\.|[^"\\])*)"|([^\s;"]+))/g;
    return { what: what.toLowerCase(), parameters: joinPieces(
        [...rest.matchAll(pattern)].map(([, name, quoted, token]) => ({
            name: name.toLowerCase(),
            value: quoted?.replace(/\\(.)/g, '$1') ?? token,
        }))) };
}

// --- bodies -----------------------------------------------------------------

function decodeBase64(coded) {
    assert.match(coded, BASE64, 'no base64');
    return Buffer.from(coded, 'base64').toString('latin1');
}

function decodeBase64Lines(body) {
    const lines = body.replace(/\r\n$/, '').split('\r\n');
    for (const line of lines.slice(0, -1))
        assert.equal(line.length, 76, 'a line of base64');
    assert.ok(lines.at(-1).length <= 76, 'the last line of base64');
    return decodeBase64(lines.join(''));
}

function decodeQuotedPrintable(body) {
    for (const line of body.split('\r\n')) {
        assert.match(line, /^([\t !-<>-~]|=[0-9A-F]{2})*=?$/, 'no octet of QP');
        assert.doesNotMatch(line, /[ \t]$/, 'a blank at the end of a QP line');
        assert.ok(line.length <= 76, 'a QP line');
    }
    return body.replaceAll('=\r\n', '').replace(/=(..)/g, (_, hex) =>
        String.fromCharCode(parseInt(hex, 16)));
}

const DECODERS = {
    '7bit': (body) => body,
    '8bit': (body) => body,
    base64: decodeBase64Lines,
    'quoted-printable': decodeQuotedPrintable,
};

// --- parts ------------------------------------------------------------------

// What stands between the boundaries, and nothing before, between or behind.
function children(body, boundary) {
    assert.match(boundary, /^[\w'()+,./:=? -]{1,70}(?<! )$/, boundary);
    const pieces = `\r\n${body}`.split(`\r\n--${boundary}`);
    assert.equal(pieces.shift(), '', 'text before the first boundary');
    assert.match(pieces.pop() ?? '', /^--(\r\n)*$/, 'no last boundary');
    return pieces.map((piece) => {
        assert.ok(piece.startsWith('\r\n'), 'a boundary with something behind');
        return piece.slice(2);
    });
}

function readPart({ fields, body }) {
    const type =
        readParameters(fieldOf(fields, 'content-type') ?? 'text/plain');
    const disposition =
        readParameters(fieldOf(fields, 'content-disposition') ?? 'none');
    const encoding = fieldOf(fields, 'content-transfer-encoding') ?? '7bit';
    const part = { type, disposition, encoding, id:
        (fieldOf(fields, 'content-id') ?? '').replace(/^<(.*)>$/, '$1') };

    if (type.what.startsWith('multipart/')) {
        assert.equal(encoding, '7bit', 'a multipart is not encoded');
        part.parts = children(body, type.parameters.boundary.value)
            .map((octets) => readPart(split(octets)));
        assert.ok(part.parts.length > 1, `${type.what} of one part`);
        return part;
    }
    assert.ok(encoding in DECODERS, `Content-Transfer-Encoding: ${encoding}`);
    part.octets = DECODERS[encoding](body);
    return part;
}

const shortName = (part) =>
    part.type.what.replace(/^(multipart|text)\//, '');

// "mixed(alternative(plain,html),image/png)"
function shapeOf(part) {
    return part.parts === undefined ? shortName(part)
        : `${shortName(part)}(${part.parts.map(shapeOf).join(',')})`;
}

function leaves(part) {
    return part.parts?.flatMap(leaves) ?? [part];
}

function bodyOf(parts, type) {
    const found = parts.filter(({ disposition, type: { what } }) =>
        disposition.what === 'none' && what === type);
    assert.ok(found.length <= 1, `${found.length} bodies ${type}`);
    if (found.length === 0)
        return { body: null };
    assert.equal(found[0].type.parameters.charset?.value, 'utf-8');
    return { body: utf8(found[0].octets), encoding: found[0].encoding };
}

function fileOf(part) {
    const { filename } = part.disposition.parameters;
    const { name } = part.type.parameters;
    if (name !== undefined && filename !== undefined)
        assert.equal(decodeText(name.value), filename.value);
    return { name: filename?.value, type: part.type.what, id: part.id,
             content: Buffer.from(part.octets, 'latin1') };
}

// The fields as they stand, unfolded; the shape of the parts; how the bodies
// are encoded; and what the mail says. options.utf8: it goes by SMTPUTF8.
export function walk(octets, options = {}) {
    const mail = octets.toString('latin1');
    checkLines(mail, options);
    const { fields, body } = split(mail);
    for (const key of ONCE)
        fieldOf(fields, key);
    const root = readPart({ fields, body });
    const parts = leaves(root);
    const plain = bodyOf(parts, 'text/plain');
    const html = bodyOf(parts, 'text/html');
    return {
        fields, shape: shapeOf(root),
        encodings: { plain: plain.encoding, html: html.encoding },
        mail: {
            from: readAddresses(fieldOf(fields, 'from')),
            to: readAddresses(fieldOf(fields, 'to')),
            cc: readAddresses(fieldOf(fields, 'cc')),
            replyTo: readAddresses(fieldOf(fields, 'reply-to')),
            subject: decodeText(fieldOf(fields, 'subject') ?? ''),
            note: decodeText(fieldOf(fields, 'x-note') ?? ''),
            messageId: fieldOf(fields, 'message-id'),
            date: new Date(fieldOf(fields, 'date')).toISOString(),
            text: plain.body, html: html.body,
            files: parts.filter(({ disposition }) =>
                disposition.what !== 'none').map(fileOf),
        },
    };
}
