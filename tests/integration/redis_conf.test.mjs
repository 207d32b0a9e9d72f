// Runs beside others.
// deploy/redis/posthaste.conf is one that Posthaste is content with, with the
// ACL user in it.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT } from './harness/npm.mjs';
import { Program, folder } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

test('the shipped redis.conf: ready, and mail goes through', async () => {
    const dir = folder('redis');
    const socket = path.join(dir, 'redis.sock');
    const redis = new Program('redis-server', 'redis-server', [
        path.join(ROOT, 'deploy/redis/posthaste.conf'),
        '--dir', dir, '--unixsocket', socket,
        '--aclfile', path.join(ROOT, 'deploy/redis/users.acl'),
    ]);
    await redis.says(/accept connections at/);
    const sink = await startSink();
    const service = await startService({
        redis: { url: `unix:${socket}` },
        config: { redis: { url: `unix:${socket}`, username: 'posthaste' } },
        upstreams: [sink.upstream()],
    });
    const id = await service.send({});
    await service.emailWith(id, 'sent');
    assert.equal(sink.mails.length, 1);
    await service.call('POST', '/v1/webhooks', {
        endpoint: 'http://127.0.0.1:9/hook', events: ['email.sent'],
    });
    await service.posthaste(['queue', 'stats', '--config', service.config]);
});
