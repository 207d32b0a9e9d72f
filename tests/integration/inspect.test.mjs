// Runs beside others.
// What an operator sees of an upstream: a test by a worker, a live trace.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { freePort, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

let redis;
let service;

before(async () => {
    redis = await startRedis();
    const sink = await startSink();
    service = await startService({
        redis, children: 2,
        upstreams: [sink.upstream({ name: 'good' }),
                    sink.upstream({ name: 'dead', port: await freePort() })],
        routes: [{ name: 'all', upstreams: ['good'] }],
    });
});

function run(...args) {
    return service.run([...args, '--config', service.config]);
}

test('a worker tests an upstream', async () => {
    const { status, json, text } = await service.call(
        'POST', '/v1/upstreams/good/test');
    assert.equal(status, 200, text);
    assert.equal(json.object, 'upstream_test');
    assert.equal(json.passed, true);
    assert.equal(json.failed_at, null);
    assert.equal(json.address, '127.0.0.1');
    assert.match(json.transcript, /S: 220 .*C: EHLO .*S: 250 /s);
    const good = await run('upstreams', 'test', 'good', '--json');
    assert.equal(good.code, 0, good.stderr);
    assert.equal(JSON.parse(good.stdout).upstream, 'good');
    const bad = await run('upstreams', 'test', 'dead');
    assert.equal(bad.code, 1);
    assert.equal(JSON.parse(bad.stdout).failed_at, 'connect');
    assert.equal((await run('upstreams', 'test', 'nobody')).code, 3);
});

test('a trace shows attempts as they end', async () => {
    const traced = run('trace', 'smtp', '--upstream', 'good', '--count', '1');
    await until('the workers know that somebody watches', async () => {
        await service.send({ to: 'seen@inbox.test', text: 'Not to be seen.' });
        return await redis.cli('EXISTS', 'ph:u:{good}:trail') === '1';
    });
    const { code, stdout } = await traced;
    assert.equal(code, 0);
    const attempt = JSON.parse(stdout);
    assert.equal(attempt.outcome, 'sent');
    assert.match(attempt.delivery, /^[0-9a-f-]{36}:0$/);
    assert.match(attempt.transcript, /C: RCPT TO:<seen@inbox.test>/);
    assert.doesNotMatch(attempt.transcript, /Not to be/);
});

test('without a worker a test says so', async () => {
    await service.stop('worker');
    const { status, json } = await service.call(
        'POST', '/v1/upstreams/good/test');
    assert.equal(status, 503);
    assert.match(json.message, /is one running\?/);
    assert.equal((await run('upstreams', 'test', 'good')).code, 5);
});
