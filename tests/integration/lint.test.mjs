// Runs beside others.
// posthaste lint FOLDER: templates in git, judged without a server, and in the
// words of the server's preview.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { startRedis } from './harness/redis.mjs';
import { folder, run } from './harness/scope.mjs';
import { BIN, startService } from './harness/service.mjs';
import { startSink } from './harness/sink.mjs';

let service;

before(async () => {
    const redis = await startRedis();
    const sink = await startSink();
    service = await startService({ redis, upstreams: [sink.upstream()] });
});

function write(dir, files) {
    for (const [name, text] of Object.entries(files)) {
        fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
        fs.writeFileSync(path.join(dir, name), text);
    }
}

const settings = (members = {}) => JSON.stringify({
    name: 'T', from: 'Shop <shop@sender.test>', variables: [], ...members });

async function lint(code, ...args) {
    const done = await run(BIN, ['lint', ...args]);
    assert.equal(done.code, code, done.stdout + done.stderr);
    return { findings: done.stdout ? JSON.parse(done.stdout).lint : null,
             stderr: done.stderr };
}

const GOOD = {
    'good/template.json': settings({ variables: [
        { key: 'name', type: 'string', example: 'Ada' }] }),
    'good/subject.txt': 'Hello {{name}}\n',
    'good/body.html': '{{<frame}}{{$words}}<p>Dear {{name}}</p>{{/words}}' +
        '{{/frame}}\n',
    'good/zh/subject.txt': '你好\n',
    'good/zh/body.txt': '{{name}}，你好\n',
    'frame/template.json': settings(),
    'frame/body.html': '<main>{{$words}}{{/words}}</main>\n',
};

const BAD = {
    'bad/template.json': settings({ reply_to: 'nobody', variables: [
        { key: 'name', type: 'text' }] }),
    'bad/body.html': '<p>x</p>\n',
    'links/template.json': settings({ variables: [
        { key: 'left', type: 'number' }] }),
    'links/subject.txt': 'Links\n',
    'links/body.html': '<p>Hello,\n{{nmae}}</p>\n',
    'links/de/body.html': '<p><a href="/x">Hallo</a> {{^dir}}{{lnk}}{{/dir}}' +
        '</p>\n',
    'tags/template.json': settings(),
    'tags/subject.txt': 'Tags\n',
    'tags/body.txt': 'Hello {{name\n',
    'tags/de/body.txt': 'Hallo\n{{/name}}\n',
};

test('nothing is said against good ones, and nothing of their parts', async () => {
    const dir = folder('lint');
    write(dir, { ...GOOD, 'README.md': 'Ours.\n', '.git/HEAD': 'x\n' });
    assert.deepEqual((await lint(0, dir)).findings, []);
    assert.deepEqual((await lint(0, `${dir}/`, 'good')).findings, []);
    const alone = (await lint(1, '--json', dir, 'frame')).findings;
    assert.deepEqual(alone.map(({ code }) => code), ['empty', 'subject_empty']);
});

test('each finding has alias, language, file and place', async () => {
    const dir = folder('lint');
    write(dir, { ...GOOD, ...BAD });
    const { findings } = await lint(1, dir);
    assert.deepEqual(
        findings.map((one) => [one.alias, one.locale,
                               path.relative(dir, one.file), one.line,
                               one.column, one.level, one.code, one.where,
                               one.example]), [
            ['bad', null, 'bad/template.json', null, null, 'error',
             'address_no_at', '/reply_to', null],
            ['links', 'en', 'links/body.html', 2, 3, 'error',
             'missing_variable', '/variables/nmae', null],
            ['links', 'de', 'links/de/body.html', null, null, 'error',
             'link_relative', '/html', '/x'],
            ['links', 'de', 'links/de/body.html', 1, 37, 'warning',
             'undeclared', '', 'lnk'],
            ['links', null, 'links/template.json', null, null, 'advice',
             'unused', '/variables/0', 'left'],
            ['tags', 'en', 'tags/body.txt', 1, 7, 'error', 'bad_template',
             '/text', null],
            ['tags', 'de', 'tags/de/body.txt', 2, 1, 'error', 'bad_template',
             '/text', null],
        ]);
    assert.match(findings[5].text, /found \{\{name.*, which is never closed/);
    assert.equal((await lint(1, dir, 'tags')).findings.length, 2);
});

test('what cannot be read is said, and the rest is judged', async () => {
    const dir = folder('lint');
    write(dir, { ...GOOD, 'broken/template.json': '{', 'odd/body.txt': 'x' });
    const { findings, stderr } = await lint(2, dir);
    assert.deepEqual(findings, []);
    assert.match(stderr, /broken\/template\.json: .*line 1/);
    assert.match(stderr, /odd\/template\.json: No such file/);
    await lint(6, dir, 'odd');
    await lint(0, dir, 'good');
    assert.match((await lint(3, dir, 'nobody')).stderr,
                 /has no template nobody/);
    await lint(3, folder('lint'));
    assert.match((await lint(2, '--class', 'spam', dir)).stderr, /--class/);
    await lint(2, path.join(dir, 'odd/body.txt'), 'good');
    await lint(2, '--class', 'bulk', path.join(dir, 'odd/body.txt'));
    await lint(2);
});

async function ask(status, method, target, body, key) {
    const answer = await service.call(method, target, body, { key });
    assert.equal(answer.status, status, answer.text);
    return answer.json;
}

// Of one template, in one language.
const ofPreview = ({ code, level, where, text, example }) =>
    ({ code, level, where, text, example });

test('it finds what the server\'s previews find', async () => {
    const key = await service.createKey({ owner: 'lint' });
    const make = (members) => ask(201, 'POST', '/v1/templates', {
        name: 'T', from: 'no-reply@sender.test', ...members }, key);
    await make({ alias: 'frame', html: '<main>{{$x}}{{/x}}{{shop}}</main>' });
    await make({ alias: 'mail', subject: 'RE: WELCOME TO OUR SHOP',
                 html: '{{<frame}}{{$x}}<a href="http://1.2.3.4/{{n}}">x</a>' +
                     '<img src="https://x.io/a.png">{{/x}}{{/frame}}',
                 locales: { de: { text: 'Kauf {{=<% %>=}}{{ n }}' },
                            zh: { subject: '', html: '<form>{{n}}</form>' } },
                 variables: [{ key: 'n', type: 'number' },
                             { key: 'shop', type: 'string', example: 'Shop' }] });
    await make({ alias: 'bare', from: null, text: '{{a}}' });
    const dir = folder('lint');
    const exported = await service.run(
        ['templates', 'export', dir],
        { env: { ...service.env, POSTHASTE_URL: service.base,
                 POSTHASTE_API_KEY: key } });
    assert.equal(exported.code, 0, exported.stderr);

    for (const mail_class of ['transactional', 'verification', 'bulk']) {
        const { findings } = await lint(1, '--class', mail_class, dir);
        let said = 0;
        for (const locale of ['en', 'de', 'zh']) {
            const preview = await ask(200, 'POST', '/v1/templates/mail/preview',
                                      { locale, class: mail_class }, key);
            assert.equal(preview.locale, locale);
            assert.deepEqual(
                findings.filter((one) => one.alias === 'mail' &&
                                one.locale === locale).map(ofPreview),
                preview.lint);
            said += preview.lint.length;
        }
        assert.ok(said > 10, `${said} findings`);
        const { errors } = await ask(422, 'POST', '/v1/templates/bare/preview',
                                     {}, key);
        assert.deepEqual(
            findings.filter(({ alias }) => alias === 'bare')
                .map(({ where, code, text }) => [where, code, text]),
            errors.map(({ pointer, code, message }) =>
                [pointer, code, message]));
    }
});

test('the built-in templates are clean, in each language', async () => {
    const env = { ...service.env, POSTHASTE_URL: service.base,
                  POSTHASTE_API_KEY: service.key };
    const list = await ask(200, 'GET', '/v1/templates');
    const dir = folder('lint');
    const aliases = list.built_in.map(({ alias }) => alias);
    assert.equal(aliases.length, 4);
    const exported = await service.run(['templates', 'export', dir, ...aliases],
                                       { env });
    assert.equal(exported.code, 0, exported.stderr);
    for (const [alias, mail_class] of [['verification-code', 'verification'],
                                       ['verification-link', 'verification'],
                                       ['password-reset', 'reset'],
                                       ['alert', 'alert']]) {
        const { findings } = await lint(0, '--class', mail_class, dir, alias);
        assert.deepEqual(findings, []);
    }
});
