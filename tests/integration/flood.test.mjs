// Runs beside others.
// More finished mail than Redis has room for: redis.history_max holds, the
// oldest goes first, and no POST is refused for its sake.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

// Bodies alone are more than all of maxmemory.
const MAILS = Number(process.env.FLOOD_MAILS ?? 1000);
const TEXT = 'x'.repeat(24 * 1024);
const MAXMEMORY_MIB = 24;
const LIMIT = MAXMEMORY_MIB * 1048576 / 4;

test(`${MAILS} mails into ${MAXMEMORY_MIB} MiB`, async () => {
    const redis = await startRedis({
        args: ['--maxmemory', `${MAXMEMORY_MIB}mb`],
    });
    const sink = await startSink({});
    const service = await startService({
        redis, upstreams: [sink.upstream()], children: 2,
        config: { redis: { url: redis.url, history_max: '25%' } },
    });
    const ids = [];
    let most = 0;
    const sender = async () => {
        while (ids.length < MAILS) {
            const at = ids.push('') - 1;
            ids[at] = await service.send({ text: TEXT }); // throws unless 200
            await service.emailWith(ids[at], 'sent'); // what waits is small
            if (at % 50 === 0)
                most = Math.max(most, Number(await redis.cli(
                    'HGET', 'ph:{0}:n', 'history_bytes')));
        }
    };
    await Promise.all(Array.from({ length: 16 }, sender));
    await until('the limit holds', async () => Number(await redis.cli(
        'HGET', 'ph:{0}:n', 'history_bytes')) <= LIMIT);
    assert.ok(most < 2 * LIMIT, `${most} bytes at most`);
    assert.equal((await service.email(ids[0])).text, null);
    assert.equal((await service.email(ids.at(-1))).text, TEXT);
    const { status, json } = await service.call(
        'GET', `/v1/emails/${ids[0]}/events`);
    assert.equal(status, 200);
    assert.deepEqual(json.data.map(({ type }) => type),
                     ['email.queued', 'email.sent']);
});
