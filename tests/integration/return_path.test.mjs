// Runs beside others.
// A return path of its own for each delivery, and whose a bounce is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';

const DOMAIN = 'bounce.example.com';

test('each delivery has one, the same in each attempt', async () => {
    let refusals = 1;
    const from = [];
    const sink = await startSink({
        onMail(mail) {
            from.push(mail.from);
            if (refusals-- > 0)
                throw reply(451, '4.3.0 not now');
        },
    });
    const service = await startService({
        redis: await startRedis(), upstreams: [sink.upstream()],
        config: { worker: { retry: ['1s'] },
                  sending: { bounce_domain: DOMAIN } },
    });
    const to = ['ada@inbox.test', 'bob@inbox.test'];
    const id = await service.send({ to, bcc: 'eve@inbox.test', text: 'Hi.' });
    await service.emailWith(id, 'sent', 30_000);

    assert.equal(from.length, 4);
    assert.equal(new Set(from).size, 3);
    for (const [number, address] of [...to, 'eve@inbox.test'].entries()) {
        const [mail] = sink.for(address);
        assert.match(mail.from, /^b\+[0-9a-f]{52}@bounce\.example\.com$/);
        assert.ok(!mail.raw.includes(mail.from));
        const said = await service.posthaste(
            ['return-path', mail.from.toUpperCase(), '--json',
             '--config', service.config]);
        assert.deepEqual(JSON.parse(said), { object: 'return_path',
            email_id: id, recipient: number });
    }
    const forged = from[0].replace(/.@/, (end) => end[0] === '0' ? '1@' : '0@');
    const refused = await service.run(
        ['return-path', forged, '--config', service.config]);
    assert.equal(refused.code, 3);
    assert.match(refused.stderr, /not made by this service/);
});
