// Runs beside others.
// Upstreams as an operator steers them: paused, resumed, listed.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

let redis;
let first;
let second;
let service;

before(async () => {
    redis = await startRedis();
    first = await startSink();
    second = await startSink();
    service = await startService({
        redis, children: 2,
        upstreams: [first.upstream({ name: 'first' }),
                    second.upstream({ name: 'second', priority: 1 }),
                    first.upstream({ name: 'alone' })],
        routes: [{ name: 'alone', to_domain: 'alone.test',
                   upstreams: ['alone'] },
                 { name: 'all', upstreams: ['first', 'second'] }],
    });
});

async function upstreams() {
    const { status, json, text } = await service.call('GET', '/v1/upstreams');
    assert.equal(status, 200, text);
    return Object.fromEntries(json.data.map((one) => [one.name, one]));
}

// Lines of the log that say both, of all children that there were.
function told(event, name) {
    return service.logs().split('\n').filter((line) =>
        line.includes(`"event":"upstream.${event}"`) &&
        line.includes(`"upstream":"${name}"`)).length;
}

// By the call, and until both children of the worker know.
async function steer(name, verb,
                     by = () => service.call('POST',
                                             `/v1/upstreams/${name}/${verb}`)) {
    const event = `${verb}d`;
    const before = told(event, name);
    const answer = await by();
    await until(`both children know that ${name} is ${event}`,
                () => told(event, name) === before + 2);
    return answer;
}

function cli(...args) {
    return service.run(['upstreams', ...args, '--config', service.config]);
}

test('a list shows what workers see', async () => {
    const one = await until('both children have their sessions', async () => {
        const { first: seen } = await upstreams();
        return seen.workers === 2 && seen.sessions.limit === 8 && seen;
    });
    assert.equal(one.state, 'up');
    assert.equal(one.port, first.port);
    assert.equal(one.why, null);
    assert.equal(one.sessions.max, 8);
});

test('mail of a paused upstream goes to the next one', async () => {
    const { status, json } = await steer('first', 'pause');
    assert.equal(status, 200);
    assert.equal(json.name, 'first');
    assert.equal(json.state, 'paused');
    assert.ok(Math.abs(Date.parse(json.paused_at) - Date.now()) < 60_000);
    assert.match(await service.metrics('worker'),
                 /^posthaste_upstream_paused\{upstream="first"\} 1$/m);
    const ids = [];
    for (let i = 0; i < 20; i++)
        ids.push(await service.send({ to: `next${i}@inbox.test` }));
    for (const id of ids)
        await service.emailWith(id, 'sent');
    assert.equal(second.mails.length, 20);
    assert.equal(first.mails.length, 0);
    await steer('first', 'resume');
    await service.emailWith(await service.send({ to: 'back@inbox.test' }),
                            'sent');
    assert.equal(first.for('back@inbox.test').length, 1);
});

test('without another one it waits, over a restart of the worker', async () => {
    const { code, stdout } = await steer('alone', 'pause', () =>
        cli('pause', 'alone', '--json'));
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), { paused: 'alone' });
    const id = await service.send({ to: 'a@alone.test' });
    await service.stop('worker');
    await service.start('worker');
    // What another upstream took meanwhile would have passed it by.
    await service.emailWith(await service.send({ to: 'b@inbox.test' }), 'sent');
    const waiting = await service.email(id);
    assert.equal(waiting.status, 'queued');
    assert.equal(waiting.recipients[0].attempts, 0);
    assert.equal(first.for('a@alone.test').length, 0);
    assert.equal((await cli('resume', 'alone')).code, 0);
    const sent = await service.emailWith(id, 'sent');
    assert.equal(sent.recipients[0].attempts, 1);
    await service.checkQueue();
});

test('the command line lists them, too', async () => {
    const { code, stdout } = await cli('list', '--json');
    assert.equal(code, 0);
    const list = JSON.parse(stdout);
    const { json } = await service.call('GET', '/v1/upstreams');
    assert.deepEqual(Object.keys(list), Object.keys(json));
    assert.deepEqual(list.data.map(({ name }) => name),
                     ['first', 'second', 'alone']);
    assert.equal(list.data[0].host, '127.0.0.1');
    const missing = await cli('pause', 'nowhere');
    assert.equal(missing.code, 3);
    assert.match(missing.stderr, /no upstream is called "nowhere"/);
    assert.equal((await cli('resume')).code, 2);
});

test('every list of the command line has one shape', async () => {
    const { stdout } = await service.run(['--help']);
    const verbs = [...stdout.matchAll(/^ {2}([a-z ]*\blist)\b/gm)]
        .map(([, verb]) => verb);
    for (const verb of ['keys list', 'partition list', 'queue held list',
                        'upstreams list', 'webhooks list'])
        assert.ok(verbs.includes(verb), verb);
    const ways = [['--config', service.config], ['--url', service.base]];
    const env = { ...service.env, POSTHASTE_API_KEY: service.key };
    for (const verb of verbs.filter((name) => name !== 'inbox list')) {
        const answers = await Promise.all(ways.map((way) =>
            service.run([...verb.split(' '), ...way, '--json'], { env })));
        const good = answers.find(({ code }) => code === 0);
        assert.ok(good, `${verb}: ${answers.map((one) => one.stderr)}`);
        const list = JSON.parse(good.stdout);
        assert.equal(list.object, 'list', verb);
        assert.ok(Array.isArray(list.data), verb);
    }
});

test('a refused connection is told, and why', async () => {
    await second.close();
    await steer('first', 'pause');
    const id = await service.send({ to: 'nobody@inbox.test' });
    const { second: rests } = await until('it rests', async () => {
        const all = await upstreams();
        return all.second.why !== null && all;
    });
    assert.match(rests.state, /resting|probing/);
    assert.match(rests.why, /^connect: /);
    assert.match(await service.metrics('worker'),
                 /^posthaste_upstream_state\{upstream="second"\} [12]$/m);
    await steer('first', 'resume');
    await service.call('POST', `/v1/emails/${id}/retry`);
    await service.emailWith(id, 'sent', 20_000);
});

test('owners who are not the operator are not let in', async () => {
    const key = await service.createKey({ name: 'tenant', owner: 'tenant' });
    for (const [method, path] of [['GET', ''], ['POST', '/first/pause'],
                                  ['POST', '/first/resume']]) {
        const answer = await service.call(method, `/v1/upstreams${path}`,
                                          undefined, { key });
        assert.equal(answer.status, 401, answer.text);
        assert.equal(answer.json.name, 'restricted_api_key');
    }
    assert.equal((await upstreams()).first.paused_at, null);
});

test('a worker that has gone is not counted', async () => {
    await service.stop('worker');
    const { first: one } = await upstreams();
    assert.equal(one.workers, 0);
    assert.equal(one.state, 'unknown');
    await service.start('worker');
    await until('the new ones tell', async () =>
        (await upstreams()).first.workers === 2);
});
