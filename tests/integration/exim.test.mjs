// Runs beside others.
// The delivery engine against Exim.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startExim } from './harness/exim.mjs';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';

const MANY = 100;
const LARGE = `.\n..\n${'Of a large mail, a line.\n'.repeat(12_000)}.\n`;

describe('exim', { skip: process.getuid() !== 0 && 'needs root' }, () => {
    let redis;
    before(async () => (redis = await startRedis()));

    for (const [tls, more] of [
        ['starttls', {}],
        ['implicit', {}],
        ['starttls', { chunking: 'always' }],
        ['starttls', { chunking: 'never', pipeline_next: false }],
    ])
        test(`takes mails (${[tls, JSON.stringify(more)].join(' ')})`,
             async () => {
            const exim = await startExim();
            const service = await startService({
                redis, roles: ['api', 'worker'], children: 1,
                upstreams: [exim.upstream(tls, { max_sessions: 2, ...more })],
                config: { redis: { url: redis.url,
                                   prefix: `${exim.ports.smtp}:` } },
            });
            const refused = await service.send({ to: 'refused@inbox.test' });
            const ids = await Promise.all(Array.from(
                { length: MANY }, (_, i) => service.send({
                    to: `n${i}@inbox.test`,
                    text: i % 50 === 49 ? LARGE : `.\nThe ${i}th.\n.`,
                })));
            for (const id of ids)
                await service.emailWith(id, 'sent', 30_000);
            await service.emailWith(refused, 'bounced');
            await service.stop('worker');
            assertAll(exim.mails());
            await until('the sessions are over', () =>
                /closed by QUIT/.test(exim.log()));
            assert.doesNotMatch(exim.log(), /error|violation|rejected AUTH/);
        });
});

function assertAll(mails) {
    const taken = new Map(mails.map(({ to, text }) => [to.join(), text]));
    assert.equal(mails.length, MANY);
    for (let i = 0; i < MANY; i++) {
        const text = taken.get(`n${i}@inbox.test`);
        assert.ok(text.includes(i % 50 === 49 ? LARGE.trimEnd()
                                              : `.\nThe ${i}th.\n.`), text);
    }
}
