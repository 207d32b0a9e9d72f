// Runs beside others.
// A dry run against the mail that goes: the same bytes, but for what each mail
// has of its own. And posthaste lint, which needs no server.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { run } from './harness/scope.mjs';
import { BIN, startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

let sink;
let service;

before(async () => {
    const redis = await startRedis();
    sink = await startSink();
    service = await startService({ redis, upstreams: [sink.upstream()] });
});

// Without the ids, the time and the boundaries, which are made of them.
const common = (mime) => mime
    .replace(/=_[0-9a-f]{32}/g, '=_B')
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g,
             'ID')
    .replace(/^Date: .*$/m, 'Date: D');

const MAILS = [
    { from: 'App <app@sender.test>', to: ['Ada <a@inbox.test>'],
      cc: ['b@inbox.test'], reply_to: 'help@sender.test', subject: '你好',
      html: '<p>Grüße, <a href="https://x.io/">hier</a></p>',
      headers: { 'X-Case': '1' },
      attachments: [{ filename: 'a.bin', content: 'AAEC' }] },
    { from: 'app@sender.test', to: 'c@inbox.test', class: 'verification',
      template: { id: 'verification-code', locale: 'zh-CN',
                  variables: { code: '483920', expires_in: 10 } } },
];

test('what it shows is what is sent', async () => {
    for (const mail of MAILS) {
        const dry = await service.call('POST', '/v1/emails?dry_run=true', mail);
        assert.equal(dry.status, 200, dry.text);
        assert.equal(dry.json.size, Buffer.byteLength(dry.json.mime));
        const sent = await service.call('POST', '/v1/emails', mail);
        assert.equal(sent.status, 200, sent.text);
        const to = [mail.to].flat()[0].match(/[a-c]@inbox\.test/)[0];
        const caught = await sink.mailTo(to, 20_000);
        assert.equal(common(dry.json.mime), common(caught.raw.toString()));
    }
});

test('posthaste lint tells, and ends with 1 for an error', async () => {
    const lint = (mail, ...args) => run(BIN, ['lint', '--json', ...args, '-'],
                                        { input: JSON.stringify(mail) });
    const good = await lint(MAILS[0]);
    assert.equal(good.code, 0, good.stderr);
    assert.deepEqual(JSON.parse(good.stdout).lint, []);
    const bad = await lint({ ...MAILS[0], html: '<a href="/x">Hello</a>' });
    assert.equal(bad.code, 1);
    assert.equal(JSON.parse(bad.stdout).lint[0].code, 'link_relative');
    const broken = await lint({ from: 'x' });
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /Missing `to` field/);
    const torn = await run(BIN, ['lint', '-'], { input: '{"from": "x' });
    assert.equal(torn.code, 2);
    assert.match(torn.stderr, /not valid JSON: line 1/);
});
