// Redis goes away and comes back.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { deafRedis, startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

let redis;
let sink;
let service;

before(async () => {
    redis = await startRedis();
    sink = await startSink();
    service = await startService({ redis, upstreams: [sink.upstream()],
                                   config: { api: { operator: 'default' } },
                                   withWorkerKey: true });
});

const post = (headers) => service.call('POST', '/v1/emails', {
    from: 'app@sender.test', to: 'ada@inbox.test', subject: 'Hello',
    text: 'Hello.',
}, { headers });

// One call of each endpoint: method, target, body.
function endpoints(id) {
    const hook = { endpoint: 'https://hooks.test/', events: ['email.sent'] };
    const mail = { from: 'app@sender.test', to: 'ada@inbox.test',
                   subject: 'Hello', text: 'Hello.' };
    const kept = { email: 'kept@inbox.test' };
    const emails = { emails: ['kept@inbox.test'] };
    const template = { name: 'One', html: 'Hello.' };
    return [
        ['POST', '/v1/emails', mail],
        ['POST', '/v1/emails', { from: mail.from, to: mail.to,
                                 template: { id: 'none' } }],
        ['GET', '/v1/emails'], ['GET', `/v1/emails/${id}`],
        ['GET', `/v1/emails/${id}/events`],
        ['GET', `/v1/emails/${id}/attempts`],
        ['PATCH', `/v1/emails/${id}`, { scheduled_at: 'in 2 hours' }],
        ['POST', `/v1/emails/${id}/cancel`], ['POST', `/v1/emails/${id}/retry`],
        ['GET', '/v1/events'], ['GET', '/v1/queue'],
        ['GET', '/v1/upstreams'], ['POST', '/v1/upstreams/sink/resume'],
        ['POST', '/v1/upstreams/sink/test'],
        ['GET', '/v1/webhooks'], ['POST', '/v1/webhooks', hook],
        ['GET', `/v1/webhooks/${id}`], ['PATCH', `/v1/webhooks/${id}`, hook],
        ['DELETE', `/v1/webhooks/${id}`],
        ['GET', '/v1/suppressions'], ['POST', '/v1/suppressions', kept],
        ['POST', '/v1/suppressions/batch/add', emails],
        ['POST', '/v1/suppressions/batch/remove', emails],
        ['GET', `/v1/suppressions/${id}`], ['DELETE', `/v1/suppressions/${id}`],
        ['GET', '/v1/templates'], ['POST', '/v1/templates', template],
        ['GET', `/v1/templates/${id}`],
        ['PATCH', `/v1/templates/${id}`, template],
        ['DELETE', `/v1/templates/${id}`],
        ['POST', `/v1/templates/${id}/publish`],
        ['POST', `/v1/templates/${id}/duplicate`],
        ['POST', `/v1/templates/${id}/preview`],
        ['GET', '/v1/domains'], ['POST', '/v1/domains', { name: 'one.test' }],
        ['GET', `/v1/domains/${id}`], ['PATCH', `/v1/domains/${id}`, {}],
        ['DELETE', `/v1/domains/${id}`],
        ['POST', `/v1/domains/${id}/verify`],
        ['POST', `/v1/domains/${id}/rotate`],
        ['GET', '/v1/api-keys'], ['POST', '/v1/api-keys', { name: 'more' }],
        ['PATCH', `/v1/api-keys/${id}`, { name: 'other' }],
        ['DELETE', `/v1/api-keys/${id}`],
    ];
}

async function refusedInTime() {
    const begin = Date.now();
    const answer = await post();
    assert.equal(answer.status, 503, answer.text);
    assert.ok(Date.now() - begin < 1000, `${Date.now() - begin} ms`);
    assert.match(answer.headers.get('retry-after'), /^\d+$/);
    assert.equal(answer.json.name, 'application_error');
}

async function resumes() {
    await redis.start();
    const begin = Date.now();
    const answer = await until('a mail is taken', async () => {
        const got = await post();
        return got.status === 200 && got;
    });
    await service.emailWith(answer.json.id, 'sent');
    assert.ok(Date.now() - begin < 2000, `${Date.now() - begin} ms`);
}

describe('redis', () => {
    test('stopped: 503 within a second; started: mail within two',
         async () => {
        await redis.stop();
        await refusedInTime();
        await until('not ready', async () => !await service.isReady('api'));
        for (const role of ['api', 'worker', 'hooks'])
            assert.equal((await fetch(`http://${service.admin[role]}/livez`))
                .status, 200);
        await resumes();
    });

    test('hanging: 503 within a second, then mail again', async () => {
        await redis.stop();
        const deaf = await deafRedis(redis.port);
        await refusedInTime();
        await refusedInTime();
        await deaf.close();
        await resumes();
    });

    // The first one that waits for too long has the link made anew, so all of
    // them ask at once.
    test('standing still: every endpoint answers within a second', async () => {
        const id = await service.send({ scheduled_at: 'in 1 hour' });
        const calls = endpoints(id);
        process.kill(redis.program.pid, 'SIGSTOP');
        const answers = await Promise.all(calls.map(async (call) => {
            const begin = Date.now();
            const answer = await service.call(...call);
            return { call, answer, ms: Date.now() - begin };
        }));
        process.kill(redis.program.pid, 'SIGCONT');
        for (const { call: [method, target], answer, ms } of answers) {
            assert.equal(answer.status, 503, `${method} ${target}`);
            assert.match(answer.headers.get('retry-after'), /^\d+$/);
            assert.ok(ms < 1000, `${method} ${target}: ${ms} ms`);
        }
        await until('all answer again', async () => (await Promise.all(
            calls.map((call) => service.call(...call))))
            .every(({ status }) => status !== 503));
    });

    test('what was queued when it stopped is delivered after', async () => {
        const scheduled = new Date(Date.now() + 1500).toISOString();
        const id = await service.send({ to: 'queued@inbox.test',
                                        scheduled_at: scheduled });
        await redis.stop();
        await redis.start();
        await service.emailWith(id, 'sent');
        assert.equal(sink.for('queued@inbox.test').length, 1);
    });
});

describe('redis that would lose mail', () => {
    for (const [key, value] of [
        ['appendonly', 'no'], ['maxmemory-policy', 'allkeys-lru'],
        ['maxmemory', '0'],
    ])
        test(`${key} ${value}: not ready, and it says why`, async () => {
            const wrong = await startRedis({ args: [`--${key}`, value] });
            const lonely = await startService({
                redis: wrong, roles: [], upstreams: [sink.upstream()],
                withKey: false,
            });
            lonely.launch('api');
            await until('not ready', async () => {
                const answer = await fetch(`http://${lonely.admin.api}/readyz`);
                const text = await answer.text();
                return answer.status === 503 && text.includes(key);
            });
            assert.match(lonely.logs(), /queue\.not_ready/);
            await wrong.cli('CONFIG', 'SET', key,
                            key === 'appendonly' ? 'yes'
                            : key === 'maxmemory' ? '512mb' : 'noeviction');
            await until('ready', () => lonely.isReady('api'));
        });

    test('full: sends answer 503, what is queued is delivered', async () => {
        const id = await service.send({
            to: 'full@inbox.test',
            scheduled_at: new Date(Date.now() + 2000).toISOString(),
        });
        await redis.cli('CONFIG', 'SET', 'maxmemory', '1mb');
        await until('503', async () => {
            const answer = await post();
            return answer.status === 503 &&
                   /^\d+$/.test(answer.headers.get('retry-after'));
        });
        await sink.mailTo('full@inbox.test');
        await redis.cli('CONFIG', 'SET', 'maxmemory', '512mb');
        await service.emailWith(id, 'sent');
        await until('200', async () => (await post()).status === 200);
    });
});
