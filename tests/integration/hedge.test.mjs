// A verification whose relay is slow is offered to the next one, too.
import assert from 'node:assert/strict';
import { setTimeout as after } from 'node:timers/promises';
import { test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

const SLOW = 'slow@inbox.test';

test('the faster one takes it, and the attempt tells of both', async () => {
    let answered;
    const slowReply = new Promise((resolve) => { answered = resolve; });
    const first = await startSink({
        onRcpt: (address) => address === SLOW
            ? after(8_000).then(answered) : undefined,
    });
    const second = await startSink();
    const service = await startService({
        redis: await startRedis(),
        upstreams: [first.upstream({ name: 'first' }),
                    second.upstream({ name: 'second', priority: 1 })],
    });
    const code = (to) => service.send({ class: 'verification', to,
                                        text: '483921' });

    // Of a hundred, five may be offered twice.
    for (let i = 0; i < 25; i++)
        await service.emailWith(await code(`n${i}@inbox.test`), 'sent');
    assert.equal(first.mails.length, 25);
    const id = await code(SLOW);
    await service.emailWith(id, 'sent', 7_000);
    assert.equal(second.for(SLOW).length, 1);
    const { data: [attempt] } = await until('the attempt is told', async () => {
        const { json } = await service.call('GET', `/v1/emails/${id}/attempts`);
        return json.data.length === 1 && json;
    });
    assert.equal(attempt.outcome, 'sent');
    assert.equal(attempt.upstream, 'second');
    assert.equal(attempt.hedged_with, 'second');
    assert.match(await service.metrics('worker'),
                 /^posthaste_smtp_hedges_total\{.*outcome="second"\} 1$/m);
    await slowReply;
    await service.emailWith(await code('next@inbox.test'), 'sent');
    assert.equal(first.for(SLOW).length, 0);
});
