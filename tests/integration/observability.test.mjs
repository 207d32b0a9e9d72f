// Runs beside others.
// What operators see: health, metrics that Prometheus takes, logs that hold
// no secret.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { ROOT } from './harness/npm.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { must, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';

const READ_METRICS = path.join(import.meta.dirname, 'harness/read_metrics.py');

let service;
let receiver;
let bounced;

before(async () => {
    const redis = await startRedis();
    const sink = await startSink({
        onRcpt(address) {
            if (address.startsWith('refused@'))
                throw reply(550, '5.1.1 nobody wants a code like 481902');
        },
    });
    service = await startService({ redis, upstreams: [sink.upstream()],
                                   children: 2 });
    receiver = await startReceiver();
    await service.subscribe(receiver, ['email.sent', 'email.bounced']);
    const id = await service.send({ class: 'verification',
                                    to: 'secretive@inbox.test',
                                    subject: 'Your code is 481902',
                                    text: 'It is 481902, says the body.' });
    const other = await service.send({ to: 'refused@inbox.test',
                                       sensitive: true,
                                       subject: 'Your code is 481902' });
    await receiver.event(id, 'email.sent');
    bounced = await receiver.event(other, 'email.bounced');
    await service.call('GET', '/v1/emails/none');
    // Of these three are news; a complaint about what is kept off is none.
    await service.call('POST', '/v1/suppressions/batch/add', {
        emails: ['a@off.test', 'b@off.test'],
    });
    for (const email of ['a@off.test', 'c@off.test', 'c@off.test'])
        await service.call('POST', '/v1/suppressions',
                           { email, origin: 'complaint' });
});

// The samples as [name, labels, value], after checking each line.
function samples(text) {
    const types = new Map();
    const found = [];
    for (const line of text.trimEnd().split('\n')) {
        const meta = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
        if (meta) {
            if (meta[1] === 'TYPE') {
                assert.equal(types.has(meta[2]), false, `two ${meta[2]}`);
                assert.match(meta[3], /^(counter|gauge|histogram)$/);
                types.set(meta[2], meta[3]);
            }
            continue;
        }
        const sample =
            /^([a-z_]+)(?:\{(.*)\})? (-?[\d.]+(?:e[+-]\d+)?|\+Inf|NaN)$/
                .exec(line);
        assert.ok(sample, `not a sample: ${line}`);
        const [, name, labels = '', value] = sample;
        const family = name.replace(/_(bucket|sum|count)$/, '');
        const type = types.get(name) ?? types.get(family);
        assert.ok(type, `${name} has no TYPE`);
        assert.match(name, /^(posthaste|process)_/);
        if (type === 'counter')
            assert.match(name, /_total$/);
        assert.equal(labels.includes('@'), false, line);
        found.push([name, labels, Number(value)]);
    }
    return found;
}

const sum = (found, name, label = '') => found
    .filter(([other, labels]) => other === name && labels.includes(label))
    .reduce((total, [, , value]) => total + value, 0);

test('/livez and /readyz of each role', async () => {
    for (const role of ['api', 'worker', 'hooks'])
        for (const path of ['livez', 'readyz']) {
            const answer = await fetch(
                `http://${service.admin[role]}/${path}`);
            assert.equal(answer.status, 200, `${role} ${path}`);
            assert.match(answer.headers.get('content-type'),
                         /^application\/json/);
            await answer.json();
        }
});

test('what the admin listener refuses is told in JSON', async () => {
    const ask = async (method, path) => {
        const answer = await fetch(`http://${service.admin.api}${path}`,
                                   { method });
        return { status: answer.status, allow: answer.headers.get('allow'),
                 ...await answer.json() };
    };
    assert.deepEqual(await ask('GET', '/other'), {
        status: 404, allow: null, statusCode: 404, name: 'not_found',
        message: 'There is nothing at this path.',
    });
    assert.deepEqual(await ask('POST', '/livez'), {
        status: 405, allow: 'GET, HEAD', statusCode: 405,
        name: 'method_not_allowed',
        message: 'The path takes GET and HEAD only.',
    });
});

// With the library that Debian links to it, libmicrohttpd is a third of a
// supervisor.
test('only those who serve the API have libmicrohttpd', () => {
    const loaded = (pid) => /libmicrohttpd/.test(
        fs.readFileSync(`/proc/${pid}/maps`, 'latin1'));
    for (const role of ['api', 'worker', 'hooks']) {
        assert.equal(loaded(service.programs[role].pid), false, role);
        for (const pid of service.childrenOf(role))
            assert.equal(loaded(pid), role === 'api', `a child of ${role}`);
    }
});

test('/readyz tells of living workers and of upstreams', async () => {
    const ready = async (role) =>
        (await fetch(`http://${service.admin[role]}/readyz`)).json();
    for (const role of ['api', 'worker'])
        await until(`${role} has heard of both children`, async () =>
            (await ready(role)).workers === 2);
    const worker = await ready('worker');
    assert.deepEqual(worker.upstreams, [{ name: 'sink', up: true }]);
    assert.equal('upstreams' in await ready('api'), false);
});

test('/metrics of each role, summed over its children', async () => {
    const of = {};
    for (const role of ['api', 'worker', 'hooks'])
        of[role] = samples(await service.metrics(role));
    const [, labels] = of.api.find(([name]) => name === 'posthaste_build_info');
    const { code, stdout } = await service.run(['version', '--json']);
    assert.equal(code, 0);
    const { version, commit } = JSON.parse(stdout);
    assert.equal(labels, `version="${version}",commit="${commit}"`);
    if (commit !== 'unknown')
        assert.equal(await must('git', ['cat-file', '-t', commit],
                                { cwd: ROOT }), 'commit\n');
    assert.ok(sum(of.api, 'posthaste_http_requests_total') >= 4);
    assert.equal(sum(of.api, 'posthaste_emails_accepted_total'), 2);
    assert.ok(sum(of.api, 'posthaste_http_request_duration_seconds_count')
              >= 4);
    assert.equal(sum(of.worker, 'posthaste_smtp_attempts_total',
                     'outcome="sent"'), 1);
    assert.equal(sum(of.worker, 'posthaste_smtp_attempts_total',
                     'outcome="bounced"'), 1);
    assert.equal(sum(of.worker, 'posthaste_upstream_up',
                     'upstream="sink"') >= 1, true);
    assert.equal(sum(of.worker, 'posthaste_time_to_delivery_seconds_count'),
                 1);
    assert.ok(sum(of.hooks, 'posthaste_webhook_attempts_total') >= 2);
    assert.ok(sum(of.api, 'process_open_fds') > 0);
    assert.ok(sum(of.api, 'process_max_fds') > sum(of.api, 'process_open_fds'));
    const listed = (role) => of[role]
        .filter(([name]) => name === 'posthaste_suppressions_total')
        .map(([, labels, value]) => [labels, value]).sort();
    assert.deepEqual(listed('worker'), [['reason="bounce"', 1]]);
    assert.deepEqual(listed('api'), [['reason="complaint"', 1],
                                     ['reason="manual"', 2]]);
});

// What Prometheus' own client makes of an answer, which must have that type.
async function parsed(role, accept, form, type) {
    const answer = await fetch(`http://${service.admin[role]}/metrics`,
                               { headers: { accept } });
    assert.equal(answer.headers.get('content-type'), type);
    const input = await answer.text();
    assert.equal(input.endsWith('\n# EOF\n'), form === 'openmetrics');
    return JSON.parse(await must('/usr/bin/python3', [READ_METRICS, form],
                                 { input }));
}

test('/metrics says the same in both forms, as Accept wants', async () => {
    const shape = (families) => families.map(([name, type, help, found]) =>
        [name, type, help, found.map(([sample, { le, ...labels }]) =>
            [sample, labels, le && Number(le.replace('+Inf', 'Infinity'))])]);
    const asText = async (role) => shape(await parsed(
        role, '*/*', 'prometheus',
        'text/plain; version=0.0.4; charset=utf-8'));
    const asOpen = async (role) => shape(await parsed(
        role, 'application/openmetrics-text;version=1.0.0,*/*;q=0.1',
        'openmetrics',
        'application/openmetrics-text; version=1.0.0; charset=utf-8'));
    for (const role of ['api', 'worker', 'hooks']) {
        // A sample comes when there is something to tell, which may be now.
        const [open, text] = await until('no sample came', async () => {
            const text = await asText(role);
            const open = await asOpen(role);
            return isDeepStrictEqual(await asText(role), text) && [open, text];
        });
        assert.ok(open.length > 5, role);
        assert.deepEqual(open, text, role);
    }
});

test('what documents say of metrics is what there is', () => {
    const source = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');
    const rows = [...source('server/base/metrics.def').matchAll(
        /^METRIC\(\w+, (\w+), "(\w+)", "([\w,]*)", "(.*)"\)$/gm)];
    const told = rows.map(([, kind, name, labels, help]) => {
        const list = labels.split(',').filter((label) => label !== '')
            .map((label) => `\`${label}\``).join(', ');
        const type = kind.split('_')[0].toLowerCase();
        return `| \`${name}\` | ${type} | ${list} | ${help} |`;
    });
    assert.ok(told.length > 30);
    assert.deepEqual(source('docs/metrics.md').split('\n')
        .filter((line) => /^\| `(posthaste|process)_/.test(line)), told);

    const names = new Set(rows.map(([, , name]) => name));
    for (const folder of ['docs', 'deploy'])
        for (const file of fs.readdirSync(path.join(ROOT, folder),
                                          { recursive: true })) {
            const place = path.join(folder, file);
            if (!fs.statSync(path.join(ROOT, place)).isFile())
                continue;
            for (const [name] of source(place).matchAll(
                /\b(?:posthaste|process)_[a-z_]+_[a-z]+\b/g))
                assert.ok(names.has(name) ||
                          names.has(name.replace(/_(bucket|sum|count)$/, '')),
                          `${place}: ${name}`);
        }
});

test('a code that the server quotes is told to nobody', () => {
    const text = JSON.stringify(bounced);
    assert.match(text, /nobody wants a code like ••••••/);
    assert.equal(text.includes('481902'), false);
});

test('logs are JSON lines without secrets', async () => {
    await until('a line about the mail', () =>
        /smtp/.test(service.programs.worker.log));
    for (const [role, { log }] of Object.entries(service.programs)) {
        const lines = log.trim().split('\n').map((line) => {
            const entry = JSON.parse(line);
            assert.match(entry.ts, /^\d{4}-\d\d-\d\dT/, `${role}: ${line}`);
            assert.equal(typeof entry.level, 'string');
            if (/not_ready/.test(entry.event)) // nothing is wrong at a start
                assert.equal(entry.level, 'info', line);
            return entry;
        });
        assert.ok(lines.length > 0, role);
        for (const secret of ['481902', 'says the body', 'secretive@',
                              service.key, receiver.secret])
            assert.equal(log.includes(secret), false,
                         `${role} logs ${secret.slice(0, 6)}…`);
    }
});
