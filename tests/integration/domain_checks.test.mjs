// Runs beside others.
// A sender's domain, from its creation to the day its records break: what the
// API shows is published in a real DNS as it is, and the status follows it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { before, test } from 'node:test';
import { makeCerts } from './harness/certs.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { atEnd, folder, must, until } from './harness/scope.mjs';
import { BIN, startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';
import { startUnbound } from './harness/unbound.mjs';

const OURS = ['bounce.relay A 192.0.2.7', 'mx.relay A 192.0.2.8',
              'spf.relay TXT "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"',
              'out.relay A 192.0.2.1', 'out.relay AAAA 2001:db8::1'];

const POLICY = (mode, mx) => ['version: STSv1', `mode: ${mode}`,
                             `mx: ${mx}`, 'max_age: 86400', ''].join('\r\n');
const PLAIN = { 'content-type': 'text/plain' };
// What web servers of domains answer with, and what is said of it.
const POLICIES = {
    enforced: { page: [200, PLAIN, POLICY('enforce', '*.relay.test')],
                status: 'verified', reason: null },
    tested: { page: [200, PLAIN, POLICY('testing', 'mx.relay.test')],
              status: 'verified', warning: true, reason: /mode is testing/ },
    uncovered: { page: [200, PLAIN, POLICY('enforce', 'mx.other.test')],
                 status: 'failed',
                 reason: /^mx\.relay\.test takes mail for the domain \(MX\), but/ },
    html: { page: [200, { 'content-type': 'text/html' },
                   POLICY('enforce', 'mx.relay.test')],
            status: 'verified', warning: true, reason: /as "text\/html"/ },
    moved: { page: [301, { location: 'https://mta-sts.enforced.test/' +
                           '.well-known/mta-sts.txt' }, ''],
             status: 'failed', reason: /HTTP 301 .* follow no redirect/ },
    missing: { page: [404, PLAIN, 'no'], status: 'failed',
               reason: /HTTP 404 where 200 is wanted/ },
    long: { page: [200, PLAIN, `${POLICY('none', 'a.test')}${
        'x: y\r\n'.repeat(16_384)}`],
            status: 'failed', reason: /longer than 64 KiB/ },
    mistrusted: { page: [200, PLAIN, POLICY('enforce', 'mx.relay.test')],
                  status: 'failed', reason: /could not be had .*certificate/i },
    nowhere: { status: 'failed', reason: /could not be had .*resolving/ },
};
const policyHost = (name) => `mta-sts.${name}.test`;

let policies; // a web server for all of them
let redis;
let names;
let service;
let receiver;
let sink;

before(async () => {
    redis = await startRedis();
    names = await startUnbound(OURS, { pointers: [
        '192.0.2.1 out.relay.test', '2001:db8::1 out.relay.test'] });
    sink = await startSink();
    await startPolicies();
    const worker_key_file = path.join(folder('keys'), 'worker.key');
    const half = await must(BIN, ['keyring', 'create-worker',
                                  worker_key_file]);
    service = await startService({
        redis, upstreams: [sink.upstream()],
        config: {
            secrets: { worker_public_key: half.trim(), worker_key_file },
            sending: { spf_include: 'spf.relay.test',
                       bounce_mx: 'bounce.relay.test',
                       addresses: ['192.0.2.1', '2001:db8::1'],
                       dnsbl: ['bl.test', 'closed.test'] },
            domains: { resolver: [names.address] },
        },
        roleEnv: { hooks: {
            SSL_CERT_FILE: policies.ca,
            POSTHASTE_FAULT_POLICY_PORT: String(policies.server.address().port),
        } },
    });
    receiver = await startReceiver();
    await service.subscribe(receiver, ['domain.*']);
});

async function startPolicies() {
    const { ca, cert, key } = await makeCerts(Object.keys(POLICIES)
        .filter((name) => name !== 'mistrusted').map(policyHost));
    const server = https.createServer(
        { cert: fs.readFileSync(cert), key: fs.readFileSync(key) },
        (request, response) => {
            const [host] = request.headers.host.split(':');
            const name = /^mta-sts\.(\w+)\.test$/.exec(host)[1];
            policies.asked.push(`${request.method} ${name} ${request.url}`);
            const [status, head, body] = POLICIES[name].page;
            response.writeHead(status, head).end(body);
        });
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    atEnd(() => server.close());
    policies = { ca, server, asked: [] };
}

async function ask(method, target, body, status = 200) {
    const answer = await service.call(method, target, body);
    assert.equal(answer.status, status, answer.text);
    return answer.json;
}

// The records of a domain as lines of a zone file.
const lines = (domain) => domain.records.map((record) =>
    `${record.fqdn}. ${record.type} ${record.value_split}`);

// Checked once more; gives the domain then.
async function verified(domain) {
    const earlier = await ask('GET', `/v1/domains/${domain.id}`);
    assert.deepEqual(await ask('POST', `/v1/domains/${domain.id}/verify`),
                     { object: 'domain', id: domain.id });
    return until(`${domain.name} is checked`, async () => {
        const now = await ask('GET', `/v1/domains/${domain.id}`);
        return now.last_checked_at !== null &&
               now.last_checked_at !== earlier.last_checked_at && now;
    });
}

const statuses = (domain) => domain.records.map(({ record, status }) =>
    `${record} ${status}`);

const told = (id, type) => receiver.events
    .map(({ payload }) => payload)
    .filter((payload) => payload.type === type && payload.data.id === id)
    .map(({ data }) => data.status);

test('published as shown, verified, broken, mended', async () => {
    const domain = await ask('POST', '/v1/domains', { name: 'good.test' }, 201);
    assert.equal(domain.status, 'not_started');
    const missing = await verified(domain);
    assert.equal(missing.status, 'pending');
    assert.deepEqual(statuses(missing),
                     ['DKIM pending', 'DKIM pending', 'SPF pending',
                      'SPF pending', 'DMARC pending']);
    assert.match(missing.records[0].reason, /^There is no TXT record at /);

    const zone = [...OURS, ...lines(domain), 'good MX 10 mx.relay'];
    await names.become(zone);
    const good = await verified(domain);
    assert.equal(good.status, 'verified');
    assert.deepEqual(statuses(good),
                     ['DKIM verified', 'DKIM verified', 'SPF verified',
                      'SPF verified', 'DMARC verified']);
    for (const { reason } of good.records)
        assert.equal(reason, undefined);
    await until('it is told', () => told(domain.id, 'domain.verified').length);
    assert.deepEqual(told(domain.id, 'domain.verified'), ['verified']);
    assert.equal(told(domain.id, 'domain.updated').at(-1), 'verified');
    // Its bounces go to its own host from now on.
    await service.send({ from: 'app@good.test', to: 'ada@inbox.test' });
    const mail = await sink.mailTo('ada@inbox.test', 20_000);
    assert.match(mail.from, /^b\+[0-9a-f]{52}@send\.good\.test$/);
    assert.match(mail.raw.toString('latin1'), /^DKIM-Signature: /);

    // A day from now, since all is settled.
    const day = Date.parse(good.next_check_at) - Date.parse(good.last_checked_at);
    assert.equal(day, 24 * 3600 * 1000);

    // One answer may come of a name server that is being changed.
    await names.become(zone.filter((line) =>
        !line.startsWith(domain.records[0].fqdn)));
    const once = await verified(domain);
    assert.equal(once.status, 'verified');
    assert.equal(once.records[0].status, 'temporary_failure');
    const soon = Date.parse(once.next_check_at) - Date.parse(once.last_checked_at);
    assert.equal(soon, 60 * 1000);
    const broken = await verified(domain);
    assert.equal(broken.status, 'failed');
    assert.equal(broken.records[0].status, 'failed');
    assert.match(broken.records[0].reason, /^There is no TXT record at /);
    await until('it is told', () => told(domain.id, 'domain.failed').length);

    await names.become(zone);
    assert.equal((await verified(domain)).status, 'verified');
});

const mtaSts = ({ report }) =>
    report.checks.find(({ check }) => check === 'mta_sts');
const policyLines = (name) => [
    `${name} MX 10 mx.relay`, `_mta-sts.${name} TXT "v=STSv1; id=1"`,
    ...(name === 'nowhere' ? [] : [`mta-sts.${name} A 127.0.0.1`])];

test('a policy for mail to a domain is fetched and read', async () => {
    await names.become([...OURS, ...Object.keys(POLICIES).flatMap(policyLines)]);
    await Promise.all(Object.entries(POLICIES).map(async ([name, wanted]) => {
        const made = await ask('POST', '/v1/domains', { name: `${name}.test` },
                               201);
        const { status, warning, reason, found } =
            mtaSts(await verified(made));
        assert.equal(status, wanted.status, `${name}: ${reason}`);
        assert.equal(warning, wanted.warning ?? false, name);
        if (wanted.reason === null)
            assert.equal(reason, null, name);
        else
            assert.match(reason, wanted.reason, name);
        if (status === 'verified')
            assert.match(found, /^v=STSv1; id=1 \| version: STSv1; mode: /);
    }));
    const asked = Object.keys(POLICIES)
        .filter((name) => !['mistrusted', 'nowhere'].includes(name))
        .map((name) => `GET ${name} /.well-known/mta-sts.txt`);
    assert.deepEqual(policies.asked.sort(), asked.sort());
});

test('it is not fetched from inside our network', async () => {
    service.tables.webhook.allow_private = false;
    service.write();
    await service.stop('hooks');
    await service.start('hooks');
    const { json: domain } = await service.call('GET',
                                                '/v1/domains/enforced.test');
    const before = policies.asked.length;
    const { status, reason } = mtaSts(await verified(domain));
    assert.equal(status, 'temporary_failure'); // it was there once
    assert.match(reason, /could not be had .*the host has a loopback address/);
    assert.equal(policies.asked.length, before);
    service.tables.webhook.allow_private = true;
    service.write();
    await service.stop('hooks');
    await service.start('hooks');
});

test('the hosts that mail is sent from are looked at', async () => {
    const look = async (name, lines) => {
        await names.become([...OURS, ...lines]);
        const made = await ask('POST', '/v1/domains', { name }, 201);
        const { report } = await verified(made);
        return ['sending_hosts', 'dnsbl'].map((check) =>
            report.checks.find((finding) => finding.check === check));
    };
    const [hosts, lists] = await look('clean.test',
                                      ['*.closed A 127.255.255.254']);
    assert.equal(hosts.status, 'verified', hosts.reason);
    assert.equal(hosts.reason, null);
    assert.equal(hosts.found,
                 '192.0.2.1 out.relay.test | 2001:db8::1 out.relay.test');
    assert.equal(lists.status, 'verified');
    assert.equal(lists.warning, true);
    assert.match(lists.reason, /^closed\.test cannot be asked about 192\.0\.2\.1/);

    OURS.pop(); // the name does not lead back to the IPv6 address any more
    const [lost, listed] = await look('listed.test', [
        '1.2.0.192.bl A 127.0.0.4', '1.2.0.192.bl TXT "see bl.test/192.0.2.1"',
    ]);
    assert.equal(lost.status, 'failed');
    assert.match(lost.reason,
                 /^The name of 2001:db8::1, out\.relay\.test, does not lead/);
    assert.equal(listed.status, 'failed');
    assert.match(listed.reason,
        /^192\.0\.2\.1 is listed by bl\.test \(127\.0\.0\.4\): see bl\.test/);
});

test('it is looked at again by itself', async () => {
    const domain = await ask('POST', '/v1/domains', { name: 'later.test' }, 201);
    assert.equal((await verified(domain)).status, 'pending');
    await names.become([...OURS, ...lines(domain)]);
    await dueNow();
    await until('it is verified', async () =>
        (await ask('GET', `/v1/domains/${domain.id}`)).status === 'verified');
});

// The clock of the list of checks is moved: all are due, and leases over.
async function dueNow() {
    const keys = await redis.cli('KEYS', 'ph:*dd:default');
    for (const member of (await redis.cli('ZRANGE', keys, '0', '-1'))
        .split('\n').filter(Boolean))
        await redis.cli('ZADD', keys, 'XX', '1', member);
    const ranks = await redis.cli('KEYS', 'ph:*ddue');
    await redis.cli('ZADD', ranks, '1', 'default');
}

test('a check that died with its process is made again', async () => {
    const domain = await ask('POST', '/v1/domains', { name: 'stopped.test' },
                             201);
    names.program.kill('SIGSTOP');
    await ask('POST', `/v1/domains/${domain.id}/verify`);
    const key = await redis.cli('KEYS', 'ph:*dd:default');
    await until('a process has it', async () =>
        Number(await redis.cli('ZSCORE', key, domain.id)) > Date.now() + 5000);
    const [pid] = service.childrenOf('hooks');
    process.kill(pid, 'SIGKILL');
    await until('another process lives', () =>
        service.childrenOf('hooks').some((other) => other !== pid));
    names.program.kill('SIGCONT');
    const { last_checked_at: never } =
        await ask('GET', `/v1/domains/${domain.id}`);
    assert.equal(never, null);
    await dueNow();
    await until('it is checked', async () =>
        (await ask('GET', `/v1/domains/${domain.id}`)).last_checked_at !== null);
});
