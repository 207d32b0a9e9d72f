// Runs beside others.
// What servers offer beyond RFC 5321, against servers that do.
import assert from 'node:assert/strict';
import net from 'node:net';
import { before, describe, test } from 'node:test';
import { startMailHost } from './harness/mailhost.mjs';
import { startRedis } from './harness/redis.mjs';
import { atEnd, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const root = process.getuid() === 0;
const BEHIND_DOT = /\r\n\.\r\nMAIL FROM:/;

let redis;
before(async () => (redis = await startRedis()));

// api and one worker child, with its own keys in Redis.
const start = (prefix, upstream, more = {}) => startService({
    redis, roles: ['api', 'worker'], children: 1, upstreams: [upstream],
    config: { redis: { url: redis.url, prefix: `${prefix}:` }, ...more },
});

async function pairsOf(service) {
    const metrics = await service.metrics('worker');
    return Number(/^posthaste_smtp_pairs_total\{[^}]*\} (\d+)/m
        .exec(metrics)?.[1] ?? 0);
}

async function sendMany(service, name, count) {
    const ids = await Promise.all(Array.from({ length: count }, (_, i) =>
        service.send({ to: `${name}${i}@inbox.test` })));
    for (const id of ids)
        await service.emailWith(id, 'sent', 30_000);
}

function assertEachOnce(recipients, name, count) {
    assert.deepEqual(recipients.sort(), Array.from({ length: count }, (_, i) =>
        `${name}${i}@inbox.test`).sort());
}

// A server in a few lines: answer(line, isBehindDot) gives the reply to a
// command, or null to close.
async function startPlain(answer) {
    const taken = [];
    const lines = [];
    let sessions = 0;
    const server = net.createServer({ noDelay: true }, (socket) => {
        sessions++;
        let text = '';
        let to;
        let inData = false;
        const take = (line, behindDot) => {
            if (inData) {
                if (line !== '.')
                    return true;
                inData = false;
                taken.push(to);
                socket.write('250 2.0.0 taken\r\n');
                return true;
            }
            lines.push(line);
            to = /^RCPT TO:<(.*?)>/.exec(line)?.[1] ?? to;
            const reply = answer(line, behindDot);
            if (reply === null) {
                socket.destroy();
                return false;
            }
            inData = reply.startsWith('354');
            socket.write(`${reply}\r\n`);
            return !reply.startsWith('421');
        };
        socket.setEncoding('latin1');
        socket.on('error', () => {});
        socket.on('data', (bytes) => {
            text += bytes;
            let behindDot = false;
            let end;
            while ((end = text.indexOf('\r\n')) >= 0) {
                const line = text.slice(0, end);
                text = text.slice(end + 2);
                if (!take(line, behindDot))
                    return;
                behindDot ||= line === '.';
            }
        });
        socket.write('220 plain\r\n');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    atEnd(() => server.close());
    return {
        taken, lines,
        get sessions() { return sessions; },
        upstream: { name: 'plain', host: '127.0.0.1', tls: 'off', auth: 'none',
                    port: server.address().port, max_sessions: 1 },
    };
}

const plainly = (line, offers = []) => ({
    EHLO: ['250-plain', ...offers.map((offer) => `250-${offer}`),
           '250 PIPELINING'].join('\r\n'),
    DATA: '354 go',
})[line.slice(0, 4)] ?? '250 ok';

describe('commands behind the dot', () => {
    test('postfix takes them', { skip: !root && 'needs root' }, async () => {
        const host = await startMailHost();
        const service = await start('postfix',
            host.upstream('starttls', { max_sessions: 2 }));
        await sendMany(service, 'warm', 3);
        await sendMany(service, 'pair', 150);
        const refused = await service.send({ to: 'refused@inbox.test' });
        await service.emailWith(refused, 'bounced');
        assert.ok(await pairsOf(service) > 0);
        assert.doesNotMatch(service.logs(), /upstream\.apart/);
        await service.stop('worker');
    });

    test('smtp-server takes them, in one piece with the dot', async () => {
        const sink = await startSink();
        const pieces = [];
        sink.server.server.on('connection', (socket) =>
            socket.on('data', (piece) => pieces.push(piece.toString('latin1'))));
        const service = await start('sink', sink.upstream({ max_sessions: 2 }));
        await sendMany(service, 'warm', 3);
        await sendMany(service, 'pair', 150);
        assert.ok(pieces.some((piece) => BEHIND_DOT.test(piece)));
        assertEachOnce(sink.mails.flatMap((mail) => mail.to)
            .filter((to) => to.startsWith('pair')), 'pair', 150);
        await service.stop('worker');
    });

    test('pipeline_next = false', async () => {
        const sink = await startSink();
        const service = await start('off',
            sink.upstream({ max_sessions: 1, pipeline_next: false }));
        await sendMany(service, 'warm', 3);
        await sendMany(service, 'alone', 30);
        assert.equal(await pairsOf(service), 0);
        await service.stop('worker');
    });

    for (const [name, answer] of Object.entries({
        'refuses them': (line, behindDot) =>
            (behindDot ? '503 5.5.0 improper pipelining' : plainly(line)),
        'breaks off': (line, behindDot) => (behindDot ? null : plainly(line)),
    }))
        test(`a server that ${name} is asked once`, async () => {
            const server = await startPlain(answer);
            const service = await start(name.replace(' ', '-'),
                                        server.upstream);
            await sendMany(service, 'warm', 3);
            await sendMany(service, 'apart', 40);
            assertEachOnce(server.taken.filter((to) => to.startsWith('apart')),
                           'apart', 40);
            assert.equal(service.logs().match(/upstream\.apart/g)?.length, 1);
            assert.equal(await pairsOf(service), 1);
            await service.stop('worker');
        });
});

test('LIMITS: no more mails in a session than the server takes', async () => {
    const server = await startPlain((line) =>
        plainly(line, ['LIMITS MAILMAX=3 RCPTMAX=1']));
    const service = await start('limits', server.upstream);
    await sendMany(service, 'mail', 12);
    assert.equal(server.sessions, 4);
    await service.stop('worker');
});

test('DELIVERBY: the server knows the deadline', async () => {
    const server = await startPlain((line) => plainly(line, ['DELIVERBY 60']));
    const service = await start('deliverby', server.upstream);
    for (const [expires_in, pattern] of [
        [3600, / BY=3(599|600);R$/], [30, /<[^ ]*>$/],
    ]) {
        const id = await service.send({ to: `in${expires_in}@inbox.test`,
                                        expires_in });
        await service.emailWith(id, 'sent');
        assert.match(server.lines.filter((line) => /^MAIL/.test(line)).at(-1),
                     pattern);
    }
    await service.stop('worker');
});

test('DSN: postfix is told whom to tell', { skip: !root && 'needs root' },
     async () => {
    const host = await startMailHost();
    const service = await start('dsn', host.upstream('starttls', {
        dsn_notify: ['success', 'failure'],
    }));
    const id = await service.send({ from: 'App <told@inbox.test>',
                                    to: 'dsn@inbox.test' });
    await service.emailWith(id, 'sent');
    const report = await host.mail('told@inbox.test');
    assert.match(report, new RegExp(`^Original-Envelope-Id: ${id}:0\\r?$`, 'm'));
    assert.match(report, /^Original-Recipient: rfc822;dsn@inbox\.test\r?$/m);
    assert.match(report, /^Action: (relayed|delivered)/m);
    await service.stop('worker');
});

test('CHUNKING: postfix takes chunks, and refuses for nobody',
     { skip: !root && 'needs root' }, async () => {
    const host = await startMailHost();
    const service = await start('chunks', host.upstream('starttls', {
        max_sessions: 1, chunking: 'always',
    }));
    const large = `.\n..\n${'Of a large mail, a line.\n'.repeat(12_000)}.\n`;
    const ids = [];
    for (const [to, text] of [['small', '.\nsmall\n.'], ['large', large]]) {
        ids.push(await service.send({ to: `${to}@inbox.test`, text }));
        await service.emailWith(ids.at(-1), 'sent', 30_000);
        const mail = await host.mail(`${to}@inbox.test`);
        assert.ok(mail.replaceAll('\r\n', '\n').includes(text.trimEnd()), to);
    }
    // So late that the message is behind the recipient's address by then.
    const refused = await service.send({ to: 'late@inbox.test' });
    await service.emailWith(refused, 'bounced');
    await service.stop('worker');
    // BDAT n LAST; BDAT n, BDAT 0 LAST; BDAT n LAST for nobody.
    await until('the session is over', () =>
        /disconnect from .* rcpt=2\/3 bdat=3\/4 rset=1 quit=1/
            .test(host.maillog()));
    assert.doesNotMatch(host.maillog(), / data=/);
});
