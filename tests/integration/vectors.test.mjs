// Runs beside others.
// Traps that mail programs have fallen into, as data: each line of
// tests/unit/smtp/vectors/*.jsonl is a request and what has to come of it,
// which is a refusal that names its field, or a mail. Those are caught at a
// sink, behind the wire, and four readers find what was asked for.
//
// A line: trap, source (an RFC's section, or who fell), asks (members of
// POST /v1/emails, over MAIL; null takes one away), and either
//   refused  ["/to/0 address_two_at", ...], all of them, or
//   wants    from, to, cc, replyTo: [[name, address], ...]; text; files:
//            [[name, type, content id], ...]; rcpt; header: { name: value },
//            null for none; shape, plain, html: of the parts and their
//            encodings; raw, never: patterns of lines; utf8: SMTPUTF8 is
//            needed; not: { reader: why }
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';
import { asSent, body, boxes, byPython, compare, readBy,
         sha } from './message/readers.mjs';
import { walk } from './message/walker.mjs';

const VECTORS = fileURLToPath(new URL('../unit/smtp/vectors', import.meta.url));
const MAIL = { from: 'App <app@sender.test>', to: ['ada@inbox.test'],
               subject: 'Hello', text: 'Hello.' };

const rooms = fs.readdirSync(VECTORS).filter((name) => name.endsWith('.jsonl'))
    .map((name) => ({
        room: path.basename(name, '.jsonl'),
        vectors: fs.readFileSync(path.join(VECTORS, name), 'utf8').trimEnd()
            .split('\n').map((line) => JSON.parse(line)),
    }));

let service;
let sink;

// What came of each is kept with it, and judged in its test.
before(async () => {
    sink = await startSink();
    service = await startService({ redis: await startRedis(),
                                   upstreams: [sink.upstream()] });
    const accepted = rooms.flatMap(({ vectors }) => vectors)
        .filter(({ wants }) => wants);
    for (const vector of accepted)
        vector.sent = await sent(vector).catch((error) => ({ error }));
    const mails = accepted.map(({ sent: { raw } }) => raw).filter(Boolean);
    const python = byPython(mails);
    for (const { sent: its } of accepted)
        its.python = python[mails.indexOf(its.raw)];
});

const post = (asks) => service.call('POST', '/v1/emails', Object.fromEntries(
    Object.entries({ ...MAIL, ...asks }).filter(([, value]) =>
        value !== null)));

async function checkRefusal({ asks, refused }) {
    const answer = await post(asks);
    assert.ok([400, 422].includes(answer.status), answer.text);
    assert.deepEqual(answer.json.errors.map(({ pointer, code }) =>
        `${pointer} ${code}`), refused);
}

const boxesOf = (list) =>
    boxes(list.map(([name, address]) => ({ name, address })));

function wanted({ asks, wants }, walked) {
    const { from = [['App', 'app@sender.test']], to = [['', 'ada@inbox.test']],
            cc = [], replyTo = [], files = [] } = wants;
    return {
        from: boxesOf(from), to: boxesOf(to), cc: boxesOf(cc),
        replyTo: boxesOf(replyTo), subject: asks.subject ?? MAIL.subject,
        note: asks.headers?.['X-Note'] ?? '',
        messageId: walked.mail.messageId, date: walked.mail.date,
        text: body('text' in wants ? wants.text
                                   : { ...MAIL, ...asks }.text || null),
        html: body(asks.html),
        files: files.map(([name, type, id = ''], i) => ({ name, type, id,
            sha: sha(Buffer.from(asks.attachments[i].content, 'base64')) })),
    };
}

function checkOctets({ wants }, walked, raw) {
    const { header = {}, shape, plain, html } = wants;
    const lines = raw.toString('latin1');
    for (const [name, value] of Object.entries(header))
        assert.equal(walked.fields.find(({ key }) =>
            key === name.toLowerCase())?.value ?? null, value, name);
    if (shape !== undefined)
        assert.equal(walked.shape, shape);
    for (const [which, encoding] of Object.entries({ plain, html }))
        if (encoding !== undefined)
            assert.equal(walked.encodings[which], encoding, which);
    for (const pattern of wants.raw ?? [])
        assert.match(lines, new RegExp(pattern, 'm'));
    for (const pattern of wants.never ?? [])
        assert.doesNotMatch(lines, new RegExp(pattern, 'm'));
}

// The same octets for each recipient, and nobody else.
async function sent({ asks, wants }) {
    const from = sink.mails.length;
    const answer = await post(asks);
    assert.equal(answer.status, 200, answer.text);
    const email = await service.emailWith(answer.json.id, 'sent');
    await until('all copies', () =>
        sink.mails.length - from >= email.recipients.length);
    const mails = sink.mails.slice(from);
    if (wants.rcpt)
        assert.deepEqual(mails.flatMap(({ to }) => to.map(asSent)).sort(),
                         [...wants.rcpt].sort());
    for (const { raw } of mails)
        assert.ok(raw.equals(mails[0].raw), 'another mail for another');
    return { raw: mails[0].raw };
}

async function checkMail(vector) {
    const { error, raw, python } = vector.sent;
    if (error)
        throw error;
    const { utf8, not = {} } = vector.wants;
    const walked = walk(raw, { utf8 });
    checkOctets(vector, walked, raw);
    const found = await readBy(raw, python, { utf8 });
    for (const [reader, mail] of Object.entries(found))
        if (!(reader in not))
            compare(reader, mail, wanted(vector, walked), vector.trap);
}

for (const { room, vectors } of rooms)
    describe(room, () => {
        for (const vector of vectors)
            test(vector.trap, () => ('refused' in vector
                ? checkRefusal(vector) : checkMail(vector)));
    });
