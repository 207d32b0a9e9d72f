// What callers may throw at the API, group by group: never a 5xx, never a
// crash, and nothing malformed in a mail. Each row is one request; the mails
// that the sink has in the end are looked at together.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { exchange } from './harness/raw.mjs';
import { startRedis } from './harness/redis.mjs';
import { atEnd, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { parse, startSink } from './harness/sink.mjs';

const MAIL = { from: 'App <app@sender.test>', to: 'ada@inbox.test',
               subject: 'Hello', text: 'Hello.' };

let redis;
let sink;
let service;

before(async () => {
    redis = await startRedis();
    sink = await startSink();
    service = await startService({
        redis, upstreams: [sink.upstream()],
        config: { api: { header_timeout: '2s', body_timeout: '2s' } },
    });
    atEnd(checkMails); // before the service ends
});

const post = (mail) => service.call('POST', '/v1/emails',
                                    { ...MAIL, ...mail });
const postText = (text, options) => service.call('POST', '/v1/emails', text,
                                                 options);

// Every answer is JSON in our shape and does not echo secrets.
function isProblem(answer, statuses, what) {
    assert.ok([statuses].flat().includes(answer.status),
              `${what}: ${answer.status} ${answer.text?.slice(0, 500)}`);
    assert.match(answer.headers.get('content-type'), /^application\/json/,
                 what);
    assert.equal(answer.json.statusCode, answer.status, what);
    assert.equal(typeof answer.json.name, 'string', what);
    assert.equal(typeof answer.json.message, 'string', what);
    assert.equal(answer.text.includes(service.key), false, what);
}

const show = (value) => JSON.stringify(value).slice(0, 80);

// What the sink has when all that was accepted has been delivered.
async function allMails() {
    const id = await service.send({ to: 'last@inbox.test', class: 'bulk' });
    await service.emailWith(id, 'sent');
    return sink.mails;
}

async function checkMails() {
    for (const mail of await allMails()) {
        const head = mail.raw.toString('latin1').split('\r\n\r\n')[0];
        const names = head.split('\r\n').filter((line) => !/^[ \t]/.test(line));
        for (const line of names)
            assert.match(line, /^[A-Za-z][A-Za-z0-9-]*: /, line);
        const once = names.map((line) => line.split(':')[0].toLowerCase());
        for (const name of ['from', 'to', 'subject', 'date', 'message-id'])
            assert.equal(once.filter((other) => other === name).length, 1,
                         `${name} in ${head}`);
        assert.equal(/evil/i.test(names.map((line) =>
            line.split(':')[0]).join()), false, head);
        assert.equal(mail.to.some((to) => /evil/.test(to)), false);
        assert.equal(/[^\r]\n|\r[^\n]/.test(mail.raw.toString('latin1')),
                     false, 'a bare CR or LF');
        for (const line of mail.raw.toString('latin1').split('\r\n'))
            assert.ok(line.length <= 998, 'a long line');
    }
}

describe('header injection', () => {
    const BREAKS = ['\r\n', '\n', '\r', '\v', '\f', '\0', '\x1b', '\x7f'];
    const SEEN = ['\u0085', '\u2028', '\u2029']; // encoded, if at all
    const places = {
        subject: (bad) => ({ subject: `a${bad}Bcc: eve@evil.test` }),
        'name of from': (bad) => ({ from: `A${bad}b <app@sender.test>` }),
        from: (bad) => ({ from: `app@sender.test${bad}` }),
        to: (bad) => ({ to: `ada@inbox.test${bad}RCPT TO:<eve@evil.test> ` +
                             'NOTIFY=NEVER' }),
        'name of to': (bad) => ({ to: `A${bad}X: evil <ada@inbox.test>` }),
        cc: (bad) => ({ cc: [`ada@inbox.test${bad}`] }),
        bcc: (bad) => ({ bcc: [`ada@inbox.test${bad}`] }),
        reply_to: (bad) => ({ reply_to: `a@sender.test${bad}Evil: 1` }),
        'value of a header': (bad) => ({ headers: { 'X-A': `1${bad}Evil: 1` } }),
        'name of a header': (bad) => ({ headers: { [`X-A${bad}Evil`]: '1' } }),
        'name of an attachment': (bad) => ({
            attachments: [{ filename: `a${bad}.txt`, content: 'YQ==' }],
        }),
        'type of an attachment': (bad) => ({
            attachments: [{ filename: 'a.txt', content: 'YQ==',
                            content_type: `text/plain${bad}Evil: 1` }],
        }),
        'id of an attachment': (bad) => ({
            attachments: [{ filename: 'a.txt', content: 'YQ==',
                            content_id: `x${bad}Evil: 1` }],
        }),
        'a tag': (bad) => ({ tags: [{ name: 'a', value: `b${bad}c` }] }),
    };

    for (const [place, make] of Object.entries(places))
        test(`in ${place}`, async () => {
            for (const bad of BREAKS) // a NUL is no JSON that we read
                isProblem(await post(make(bad)), bad === '\0' ? 400 : 422,
                          `${place} with ${show(bad)}`);
            for (const bad of SEEN) {
                const answer = await post(make(bad));
                if (answer.status !== 200)
                    isProblem(answer, 422, `${place} with ${show(bad)}`);
            }
        });

    test('by a name that is ours, no name, or too many', async () => {
        for (const name of ['From', 'to', 'Cc', 'BCC', 'Subject', 'Date',
                            'Message-ID', 'Content-Type', 'MIME-Version',
                            'Content-Transfer-Encoding', 'DKIM-Signature',
                            'Received', 'Return-Path', '', 'a b', 'a:b',
                            'ä', 'x'.repeat(1000)])
            isProblem(await post({ headers: { [name]: 'x' } }), 422,
                      `header ${show(name)}`);
        const many = Object.fromEntries(Array.from(
            { length: 5000 }, (_, i) => [`X-${i}`, 'x']));
        isProblem(await post({ headers: many }), 422, '5,000 headers');
    });
});

describe('addresses', () => {
    const BAD = [
        '', ' ', 'a', '@', 'a@', '@b.test', 'a@@b.test', 'a@b@c.test',
        'a..b@c.test', '.a@c.test', 'a.@c.test', 'a@c..test', 'a@.test',
        'a@-c.test', '@x.test:a@c.test', '<a@c.test', 'a@c.test>',
        '<<a@c.test>>', 'a@c.test> ORCPT=rfc822;eve@evil.test',
        'a@c.test> SIZE=1', 'a b@c.test', 'a@c .test', 'a@c.test, b@c.test',
        'Friends: a@c.test, b@c.test;', '=?utf-8?q?a?=@', 'a@[127.0.0.1',
        'a\u200b@c.test\u200b', 'a\uff20c.test',
        `${'l'.repeat(65)}@c.test`, `a@${'l'.repeat(64)}.test`,
        `a@${'l.'.repeat(130)}test`, 'a@c.test\u202e', null, 7, true, {}, [[]],
    ];
    const ODD = [
        '"a@evil x"@inbox.test', 'a@d(x)evil.test', 'a(evil)@inbox.test',
        '=?utf-8?q?a?=@inbox.test', 'a@[127.0.0.1]', 'a@[IPv6:::1]',
        '\u202ea@inbox.test', 'a@in\u3002test', 'аda@inbox.test',
        'почта@inbox.test', 'a@bücher.test', 'a+tag@inbox.test',
        "o'hara@inbox.test", '!#$%&*/=?^_`{|}~-@inbox.test',
    ];

    for (const place of ['to', 'cc', 'bcc', 'reply_to', 'from'])
        test(`bad ones in ${place}`, async () => {
            for (const bad of BAD) {
                // Absent or empty lists are for the required test.
                if (place !== 'to' && place !== 'from' && bad === null)
                    continue;
                isProblem(await post({ [place]: place === 'from'
                                           ? bad : [bad] }), 422,
                          `${place} ${show(bad)}`);
            }
        });

    test('odd ones are refused, or reached exactly', async () => {
        for (const odd of ODD) {
            const answer = await post({ to: odd });
            if (answer.status !== 200) {
                isProblem(answer, 422, show(odd));
                continue;
            }
            const { recipients } = await service.email(answer.json.id);
            assert.equal(recipients.length, 1, show(odd));
        }
    });

    test('too many, before any work', async () => {
        for (const count of [51, 100_000]) {
            const to = Array.from({ length: count }, (_, i) =>
                `a${i}@inbox.test`);
            const begin = Date.now();
            isProblem(await post({ to }), 422, `${count} recipients`);
            assert.ok(Date.now() - begin < 2000);
        }
        isProblem(await post({ to: Array(20).fill('a@inbox.test'),
                               cc: Array(20).fill('b@inbox.test'),
                               bcc: Array(20).fill('c@inbox.test') }),
                  422, '60 in all');
    });
});

describe('JSON', () => {
    const text = JSON.stringify(MAIL);
    const deep = (n) => '['.repeat(n) + ']'.repeat(n);
    const SYNTAX = {
        empty: '', blank: '  ', cut: text.slice(0, -1), 'trailing text':
        `${text}x`, 'a second document': text + text, 'a NUL behind':
        `${text}\0`, 'a byte order mark': `\ufeff${text}`,
        'a single quote': "{'a':1}", 'a trailing comma': '{"a":1,}',
        'a comment': '/**/{}', NaN: '{"a":NaN}', infinity: '{"a":1e999}',
        'a NUL escape': '{"subject":"\\u0000"}',
        'a lone surrogate': '{"subject":"\\ud800"}',
        'doubled keys': '{"subject":"a","subject":"b"}',
        'doubled keys in disguise': '{"to":"a@b.test","t\\u006f":"c@d.test"}',
        'a raw newline': '{"subject":"\n"}', '50,000 deep': deep(50_000),
        '100,000 deep': deep(100_000), '5,000 digits':
        `{"a":${'9'.repeat(5000)}}`,
    };

    for (const [name, bad] of Object.entries(SYNTAX))
        test(name, async () => isProblem(await postText(bad), [400, 422],
                                         name));

    test('bytes that are no UTF-8', async () => {
        const around = (bytes) => Buffer.concat([
            Buffer.from('{"subject":"'), Buffer.from(bytes),
            Buffer.from('"}')]);
        for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80],
                             [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82]])
            isProblem(await postText(around(bytes)), 400, show(bytes));
        isProblem(await postText(Buffer.from(text, 'utf16le')), 400, 'UTF-16');
    });

    test('of a wrong type', async () => {
        for (const other of ['[]', 'null', '1', '"a"', 'true', '[{}]'])
            isProblem(await postText(other), [400, 422], other);
        for (const field of Object.keys({ ...MAIL, html: 1, cc: 1, tags: 1,
                                          headers: 1, attachments: 1,
                                          scheduled_at: 1, class: 1,
                                          metadata: 1, expires_in: 1,
                                          sensitive: 1, on_unknown: 1 }))
            for (const value of [7.5, [1], { a: [] }, [{ b: 1 }]])
                isProblem(await post({ [field]: value }), 422,
                          `${field} ${show(value)}`);
    });

    test('with unknown members, and a hint', async () => {
        const answer = await post({ subjekt: 'x', zzz: 1 });
        isProblem(answer, 422, 'unknown');
        assert.match(answer.text, /subject/);
        assert.deepEqual(answer.json.errors.map(({ pointer }) => pointer)
            .sort(), ['/subjekt', '/zzz']);
    });

    test('without what must be there', async () => {
        const answer = await service.call('POST', '/v1/emails', {});
        isProblem(answer, 422, 'nothing');
        assert.equal(answer.json.name, 'missing_required_field');
        assert.ok(answer.json.errors.length >= 3);
        isProblem(await post({ text: undefined }), 422, 'neither text nor html');
    });

    test('that is large', async () => {
        const keys = Object.fromEntries(Array.from(
            { length: 200_000 }, (_, i) => [`k${i}`, i]));
        isProblem(await post(keys), 422, '200,000 members');
        isProblem(await post({ subject: 'x'.repeat(100_000) }), 422,
                  'a subject of 100 kB');
        const long = await post({ text: 'x'.repeat(12 << 20) });
        assert.equal(long.status, 200, long.text);
    });
});

describe('attachments', () => {
    const attach = (attachment) => post({ attachments: [attachment] });
    test('bad ones', async () => {
        for (const attachment of [
            { filename: 'a', content: '*' }, { filename: 'a', content: 'YQ=' },
            { filename: 'a', content: 'Y' }, { filename: 'a', content: 7 },
            { content: 'YQ==' }, { filename: '', content: 'YQ==' },
            { filename: 'n'.repeat(5000), content: 'YQ==' },
            { filename: '../../etc/passwd', content: 'YQ==' },
            { filename: 'a/b', content: 'YQ==' },
            { filename: 'a\\b', content: 'YQ==' },
            { filename: 'a', path: 'file:///etc/passwd' },
            { filename: 'a', path: 'http://169.254.169.254/latest' },
            { filename: 'a', path: 'http://127.0.0.1/x' },
            { filename: 'a', path: 'gopher://127.0.0.1/x' },
            { filename: 'a', content: 'YQ==', content_type: 'nonsense' },
            { filename: 'a', content: 'YQ==', what: 1 }, 'a', null,
        ]) {
            const answer = await attach(attachment);
            if (answer.status === 200)
                assert.match(attachment.filename ?? '', /[/\\]|^$/,
                             show(attachment));
            else
                isProblem(answer, 422, show(attachment));
        }
        isProblem(await post({ attachments: Array(1000).fill(
            { filename: 'a', content: 'YQ==' }) }), 422, '1,000 attachments');
    });
});

describe('times', () => {
    test('that are none, or too far', async () => {
        for (const at of ['', 'junk', 'tomorrow at 9am', '99999-01-01T00:00:00Z',
                          '2099-01-01T00:00:00Z', '2027-02-30T00:00:00Z',
                          '2027-13-01T00:00:00Z', '2027-01-01', 0, 1e12])
            isProblem(await post({ scheduled_at: at }), 422, show(at));
        for (const value of [0, -1, 1.5, 1e12, '60', '9'.repeat(400)])
            isProblem(await post({ expires_in: value }), 422, show(value));
        for (const value of ['junk', '2020-01-01T00:00:00Z', 7])
            isProblem(await post({ expires_at: value }), 422, show(value));
        isProblem(await post({ expires_in: 60, expires_at:
            new Date(Date.now() + 60_000).toISOString() }), 422, 'both');
    });

    test('in the past are now', async () => {
        const answer = await post({ scheduled_at: '2020-01-01T00:00:00Z' });
        assert.equal(answer.status, 200, answer.text);
        await service.emailWith(answer.json.id, 'sent');
    });
});

describe('authentication', () => {
    const get = (headers) => service.call('GET', '/v1/webhooks', undefined,
                                          { key: null, headers });
    const raw = (lines) => exchange(service.port, [
        `GET /v1/webhooks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n`,
        ...lines.map((line) => `${line}\r\n`), '\r\n',
    ]);

    test('that does not fit', async () => {
        const { key } = service;
        isProblem(await get({}), 401, 'none');
        for (const value of [
            'Bearer', `bearer-${key}`, 'Basic YTpi', key, 'Bearer *',
            `Bearer ${key.slice(0, -1)}`, `Bearer ${key}x`,
            `Bearer ${key.toUpperCase()}`, `Bearer ${key} ${key}`,
            `Bearer ph_live_${'a'.repeat(8000)}`, 'Bearer ph_live_$1*\\r\\n',
        ])
            isProblem(await get({ authorization: value }), [401, 403, 431],
                      show(value).replace(key, 'KEY'));
        isProblem(await service.call('GET', `/v1/webhooks?key=${key}`,
                                     undefined, { key: null }), 401, 'query');
        assert.equal(service.logs().includes(key), false);
    });

    test('in bytes that a library would not send', async () => {
        const { key } = service;
        const good = `Authorization: Bearer ${key}`;
        assert.equal((await raw([good])).status, 200);
        for (const lines of [
            [good, 'Authorization: Bearer x'], ['Authorization: Bearer x', good],
            [good, good], [`${good}\0junk`], [`${good}\x01`],
        ]) {
            const answer = await raw(lines);
            assert.ok([400, 401, 403].includes(answer.status),
                      `${show(lines).replaceAll(key, 'KEY')}: ${answer.text}`);
        }
    });
});

describe('HTTP framing', () => {
    const to = 'framed@inbox.test'; // mails of other tests may still come in
    const body = JSON.stringify({ ...MAIL, to });
    const head = (...lines) => [
        'POST /v1/emails HTTP/1.1\r\nHost: a\r\n' +
        `Authorization: Bearer ${service.key}\r\n` +
        'Content-Type: application/json\r\n' +
        lines.map((line) => `${line}\r\n`).join('') + '\r\n',
    ].join('');
    const length = `Content-Length: ${body.length}`;
    const chunked = (text) => `${text.length.toString(16)}\r\n${text}\r\n`;

    // Refused, or the connection ends or waits; never 2xx, never 5xx but 501
    // and 505.
    async function refused(what, pieces, options) {
        const before = sink.for(to).length;
        const answer = await exchange(service.port, pieces, options);
        assert.ok(answer.status === 0 ||
                  (answer.status >= 400 && answer.status < 500) ||
                  answer.status === 501 || answer.status === 505,
                  `${what}: ${answer.text.slice(0, 300)}`);
        assert.equal(before, sink.for(to).length, what);
        return answer;
    }

    test('that is right', async () => {
        const whole = await exchange(service.port, [head(length), body]);
        assert.equal(whole.status, 200, whole.text);
        const parts = await exchange(service.port, [
            head('Transfer-Encoding: chunked'), chunked(body.slice(0, 9)),
            chunked(body.slice(9)), '0\r\n\r\n',
        ]);
        assert.equal(parts.status, 200, parts.text);
        const asked = await exchange(service.port, [
            head(length, 'Expect: 100-continue'), body,
        ]);
        assert.equal(asked.status, 200, asked.text);
        await until('three mails', () => sink.for(to).length === 3);
    });

    test('lengths', async () => {
        await refused('twice', [head(length, length), body]);
        await refused('two', [head(length, 'Content-Length: 1'), body]);
        for (const value of ['1, 1', '-1', '+5', '0x10', '1e3', '', 'a',
                             '99999999999999999999999'])
            await refused(`Content-Length: ${value}`,
                          [head(`Content-Length: ${value}`), body]);
        for (const value of ['4294967298', '41943041'])
            assert.equal((await refused(
                `Content-Length: ${value}`,
                head(`Content-Length: ${value}`))).status, 413);
        assert.equal((await refused('too long, and asks first', head(
            'Content-Length: 99999999', 'Expect: 100-continue'))).status, 413);
        await refused('none', head());
    });

    test('transfer encodings', async () => {
        const chunk = 'Transfer-Encoding: chunked';
        for (const lines of [
            [length, chunk], [chunk, length], [chunk, chunk],
            ['Transfer-Encoding: gzip'], ['Transfer-Encoding: xchunked'],
            ['Transfer-Encoding : chunked'], ['Transfer-Encoding: chunked, gzip'],
            ['Transfer-Encoding: identity'], ['Transfer-Encoding:\vchunked'],
        ])
            await refused(show(lines), [head(...lines), chunked(body),
                                        '0\r\n\r\n']);
        for (const bad of ['zz\r\nabc\r\n', '-1\r\n', 'ffffffffffffffffff\r\n',
                           '5\r\nabcdefgh\r\n', '0x5\r\nabcde\r\n'])
            await refused(show(bad), [head(chunk), bad, '0\r\n\r\n']);
    });

    test('content types and encodings', async () => {
        for (const type of ['text/plain', 'application/xml', '', 'a/b/c',
                            'application/x-www-form-urlencoded',
                            'multipart/form-data; boundary=a'])
            isProblem(await postText(body, {
                headers: { 'content-type': type } }), 415, type);
        const zipped = await postText(gzipSync(body), {
            headers: { 'content-encoding': 'gzip' } });
        isProblem(zipped, 415, 'gzip');
    });

    test('methods and paths', async () => {
        for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS'])
            isProblem(await service.call(method, '/v1/emails'),
                      [404, 405], method);
        for (const method of ['BREW', 'get', 'CONNECT', 'TRACE'])
            await refused(method, `${method} /v1/emails HTTP/1.1\r\n` +
                                  'Host: a\r\n\r\n');
        for (const path of ['/../etc/passwd', '/v1/%2e%2e/admin', '/v1//..',
                            '/v1/emails/%00', '/v1/emails/*', '/v1/emails/%',
                            '/v1/emails/%0d%0aX: y', '/%ff', '/v1/emails/..',
                            `/${'a'.repeat(8000)}`])
            await refused(path, `GET ${path} HTTP/1.1\r\nHost: a\r\n` +
                `Authorization: Bearer ${service.key}\r\n\r\n`);
        await refused('1 MB of path', `GET /${'a'.repeat(1 << 20)} HTTP/1.1\r\n` +
                                      'Host: a\r\n\r\n');
    });

    test('heads', async () => {
        const key = `Authorization: Bearer ${service.key}\r\n`;
        const get = 'GET /v1/webhooks HTTP/1.1\r\n';
        await refused('no host', `${get}${key}\r\n`);
        await refused('two hosts', `${get}Host: a\r\nHost: b\r\n${key}\r\n`);
        await refused('HTTP/2.0', `GET / HTTP/2.0\r\nHost: a\r\n\r\n`);
        await refused('HTTP/0.9', 'GET /v1/webhooks\r\n\r\n');
        await refused('no colon', `${get}Host: a\r\nnonsense\r\n\r\n`);
        await refused('a folded key', `${get}Host: a\r\nAuthorization: ` +
                      `Bearer\r\n ${service.key}x\r\n\r\n`);
        await refused('64 KiB', `${get}Host: a\r\nX: ${'x'.repeat(65536)}` +
                                '\r\n\r\n');
        await refused('10,000 lines', `${get}Host: a\r\n` +
                      'X: 1\r\n'.repeat(10_000) + '\r\n');
        await refused('a TLS hello', '\x16\x03\x01\x02\x00\x01\x00');
        await refused('junk', '\x00\x01\x02\x03\r\n\r\n');
        await refused('an upgrade', `${get}Host: a\r\nUpgrade: h2c\r\n` +
                      'Connection: Upgrade\r\n\r\n');
    });

    test('a second request in the body is not run', async () => {
        const smuggled = head(length) + body;
        const before = sink.for(to).length;
        const answer = await exchange(service.port, [
            head(`Content-Length: ${body.length}`,
                 'Transfer-Encoding: chunked'), '0\r\n\r\n', smuggled,
        ]);
        assert.equal(answer.text.match(/HTTP\/1\.1 2/g), null, answer.text);
        await allMails();
        assert.equal(sink.for(to).length, before);
    });

    test('requests one behind the other are answered in order', async () => {
        const one = (n) => {
            const text = JSON.stringify({ ...MAIL, to: `pipe${n}@inbox.test` });
            return head(`Content-Length: ${text.length}`) + text;
        };
        const answer = await exchange(service.port,
                                      [one(1) + one(2) + one(3)]);
        assert.equal(answer.status, 200);
        for (const n of [1, 2, 3])
            await sink.mailTo(`pipe${n}@inbox.test`);
    });
});

describe('idempotency keys', () => {
    test('that are none', async () => {
        for (const value of ['', 'k'.repeat(300)])
            isProblem(await postText(JSON.stringify(MAIL), {
                headers: { 'idempotency-key': value } }), 400, show(value));
        const twice = await exchange(service.port, [
            'POST /v1/emails HTTP/1.1\r\nHost: a\r\nConnection: close\r\n' +
            `Authorization: Bearer ${service.key}\r\n` +
            'Content-Type: application/json\r\nContent-Length: 2\r\n' +
            'Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n{}',
        ]);
        assert.equal(twice.status, 400, twice.text);
    });
});

describe('legal but odd', () => {
    const TEXTS = {
        'an emoji subject': { subject: '🎉👩‍👩‍👧 ok' },
        '200 characters of Chinese': { subject: '验证码'.repeat(66) },
        'text like an encoded word': { subject: '=?utf-8?q?hello?=' },
        'lines of dots': { text: '.\n..\n.\n...\n' },
        'an end of mail, LF': { text: 'a\n.\nMAIL FROM:<eve@evil.test>\n' },
        'an end of mail, CRLF': { text: 'a\r\n.\r\nMAIL FROM:<eve@evil.test>' },
        'an end of mail, CR': { text: 'a\r.\rMAIL FROM:<eve@evil.test>' },
        'a line of 5,000': { text: `${'x'.repeat(5000)}\nend` },
        'From at line start': { text: 'From here\nFrom there\n' },
        'a name with a comma': { from: '"Ada, Countess" <app@sender.test>' },
        'a name in Chinese': { to: '张三 <ada@inbox.test>' },
        'script and template': { html: '<script>x</script>{{7*7}}' },
        'a boundary': { text: '--=_\n--\n------=_Part\n', html: '<p>--=_</p>' },
        'only blanks': { text: ' \n\t\n  ' },
    };

    for (const [name, mail] of Object.entries(TEXTS))
        test(name, async () => {
            const to = `odd${Object.keys(TEXTS).indexOf(name)}@inbox.test`;
            const wanted = { ...MAIL, to, ...mail };
            if (mail.to)
                wanted.to = mail.to.replace('ada@inbox.test', to);
            const answer = await post(wanted);
            assert.equal(answer.status, 200, answer.text);
            const received = await parse(await sink.mailTo(to));
            assert.equal(received.subject, wanted.subject);
            const lines = (text) => text.replace(/\r\n?/g, '\n').trimEnd();
            assert.equal(lines(received.text), lines(wanted.text));
            if (wanted.html)
                assert.equal(lines(received.html), lines(wanted.html));
            assert.equal(sink.for(to).length, 1);
            assert.equal(sink.mails.some((other) =>
                /evil/.test(other.from)), false);
        });
});

describe('slow and cut', () => {
    test('200 drippers hold nobody up and are closed in time', async () => {
        const begin = Date.now();
        const drips = Array.from({ length: 200 }, (_, i) => exchange(
            service.port, [i % 2 === 0
                ? 'POST /v1/emails HTTP/1.1\r\nHost: a\r\nX-'
                : 'POST /v1/emails HTTP/1.1\r\nHost: a\r\n' +
                  `Authorization: Bearer ${service.key}\r\n` +
                  'Content-Type: application/json\r\n' +
                  'Content-Length: 500\r\n\r\n{"from":'],
            { patience: 15_000 }));
        const asked = Date.now();
        const answer = await post({});
        assert.equal(answer.status, 200);
        assert.ok(Date.now() - asked < 1000);
        for (const drip of await Promise.all(drips))
            assert.ok(drip.closed || drip.status === 408, drip.text);
        assert.ok(Date.now() - begin < 10_000);
    });

    test('a body cut in the middle is no mail', async () => {
        const to = 'cut@inbox.test';
        await exchange(service.port, [
            'POST /v1/emails HTTP/1.1\r\nHost: a\r\n' +
            `Authorization: Bearer ${service.key}\r\n` +
            'Content-Type: application/json\r\nContent-Length: 500\r\n\r\n' +
            JSON.stringify({ ...MAIL, to }),
        ], { patience: 100 });
        await allMails();
        assert.equal(sink.for(to).length, 0);
    });
});
