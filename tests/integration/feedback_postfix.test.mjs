// Runs beside others.
// The whole loop with a real mail server: it takes a mail, finds no such user,
// and its own report comes back through its pipe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBouncer } from './harness/bouncer.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { startService } from './harness/service.mjs';

const DOMAIN = 'bounce.example.com';

test('taken, bounced, told, kept off', async () => {
    const bouncer = await startBouncer(DOMAIN);
    const service = await startService({
        redis: await startRedis(), upstreams: [bouncer.upstream()],
        config: { webhook: { allow_private: true, ports: [] },
                  sending: { bounce_domain: DOMAIN } },
    });
    await bouncer.use(service);
    const receiver = await startReceiver();
    await service.subscribe(receiver, ['email.*']);
    const to = 'no-such-user@inbox.test';
    const id = await service.send({ to });
    await receiver.event(id, 'email.sent', 20_000);
    await bouncer.piped('sent');
    const { payload } = await receiver.event(id, 'email.bounced', 20_000);
    assert.equal(payload.data.bounce.type, 'Permanent');
    assert.equal(payload.data.bounce.subType, 'NoEmail');
    assert.match(payload.data.bounce.message, /unknown user/);
    assert.equal((await service.email(id)).last_event, 'bounced');
    const next = await service.send({ to });
    await receiver.event(next, 'email.suppressed', 20_000);
});
