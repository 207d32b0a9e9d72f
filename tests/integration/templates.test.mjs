// Runs beside others.
// Templates by Resend's SDK and by our additions, and the mails that are made
// from them, caught at a sink.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { npm } from './harness/npm.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { folder, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { parse, startSink } from './harness/sink.mjs';

const { Resend } = npm('resend');

let redis;
let sink;
let service;
let receiver;
let resend;

before(async () => {
    redis = await startRedis();
    sink = await startSink();
    service = await startService({ redis, upstreams: [sink.upstream()],
                                   children: 2,
                                   config: { sending: {
                                       product_name: 'Our Shop' } } });
    receiver = await startReceiver();
    await service.subscribe(receiver, ['email.sent']);
    resend = new Resend(service.key, { baseUrl: service.base });
});

const good = ({ data, error }) => {
    assert.equal(error, null, JSON.stringify(error));
    return data;
};

async function ask(status, method, target, body, options) {
    const answer = await service.call(method, target, body, options);
    assert.equal(answer.status, status, answer.text);
    return answer.json;
}

async function make(members) {
    const { id } = await ask(201, 'POST', '/v1/templates', {
        name: 'T', from: 'Shop <shop@sender.test>', ...members });
    await ask(200, 'POST', `/v1/templates/${id}/publish`);
    return id;
}

let count = 0;

async function mailOf(template, more = {}) {
    const to = `t${++count}@inbox.test`;
    const { id } = await ask(200, 'POST', '/v1/emails',
                             { to, template, ...more });
    const mail = await parse(await sink.mailTo(to, 20_000));
    return { id, mail };
}

test('Resend\'s SDK makes, changes, copies and removes', async () => {
    const { id } = good(await resend.templates.create({
        name: 'Order', alias: 'order', from: 'Shop <shop@sender.test>',
        subject: 'Order {{{NUMBER}}}',
        html: '<p>{{{NUMBER}}}: {{{ITEM}}}</p>',
        variables: [{ key: 'NUMBER', type: 'number' },
                    { key: 'ITEM', type: 'string', fallbackValue: 'a book' }],
    }).publish());
    const shown = good(await resend.templates.get('order'));
    assert.equal(shown.id, id);
    assert.equal(shown.object, 'template');
    assert.equal(shown.status, 'published');
    assert.equal(shown.has_unpublished_versions, false);
    assert.deepEqual(shown.variables, [
        { key: 'NUMBER', type: 'number' },
        { key: 'ITEM', type: 'string', fallback_value: 'a book' }]);

    good(await resend.emails.send({
        to: 'sdk@inbox.test',
        template: { id: 'order', variables: { NUMBER: 7 } },
    }));
    const mail = await parse(await sink.mailTo('sdk@inbox.test', 20_000));
    assert.equal(mail.subject, 'Order 7');
    assert.equal(mail.from.text, '"Shop" <shop@sender.test>');
    assert.match(mail.html, /<p>7: a book<\/p>/);
    assert.equal(mail.text.trim(), '7: a book');

    good(await resend.templates.update(id, { subject: 'Changed' }));
    const changed = good(await resend.templates.get(id));
    assert.equal(changed.status, 'published');
    assert.equal(changed.has_unpublished_versions, true);
    assert.equal(changed.subject, 'Changed');
    assert.equal(changed.html, shown.html);
    const copy = good(await resend.templates.duplicate(id));
    assert.equal(good(await resend.templates.get(copy.id)).status, 'draft');
    const list = good(await resend.templates.list());
    assert.deepEqual(list.data.map((one) => one.id), [copy.id, id]);
    assert.deepEqual(good(await resend.templates.remove(copy.id)),
                     { object: 'template', id: copy.id, deleted: true });
    good(await resend.templates.remove('order'));
    assert.equal((await resend.templates.get(id)).error.statusCode, 404);
});

test('values are escaped in html, and only there', async () => {
    const id = await make({ subject: '{{n}}', html: '<p>{{n}}</p>',
                            text: '{{n}}' });
    const n = '<b>&"\'';
    const { mail } = await mailOf({ id, variables: { n } });
    assert.equal(mail.subject, n);
    assert.match(mail.html, /<p>&lt;b&gt;&amp;&quot;&#39;<\/p>/);
    assert.equal(mail.text.trim(), n);
});

test('what is null is the template\'s', async () => {
    const id = await make({ subject: 'Hi', html: '<p>h</p>', text: 't',
                            reply_to: 'desk@sender.test' });
    const nothing = { from: null, reply_to: null, subject: null, html: null,
                      text: null, scheduled_at: null };
    const { id: email, mail } = await mailOf({ id }, nothing);
    assert.equal(mail.subject, 'Hi');
    assert.equal(mail.from.text, '"Shop" <shop@sender.test>');
    assert.equal(mail.replyTo.text, 'desk@sender.test');
    assert.match(mail.html, /<p>h<\/p>/);
    assert.equal((await service.emailWith(email, 'sent')).text, 't');
});

test('the nearest language is told of', async () => {
    const id = await make({
        subject: 'Hi', html: '<p dir="{{dir}}" lang="{{locale}}">en</p>',
        locales: { zh: { subject: '你好', html: '<p>中文</p>' },
                   ar: { html: '<p dir="{{dir}}">ar</p>' } },
    });
    const chinese = await mailOf({ id, locale: 'zh_Hant-TW' });
    assert.equal(chinese.mail.subject, '你好');
    assert.match(chinese.mail.html, /中文/);
    const arabic = await mailOf({ id, locale: 'AR-eg' });
    assert.equal(arabic.mail.subject, 'Hi');
    assert.match(arabic.mail.html, /<p dir="rtl">ar/);
    const other = await mailOf({ id, locale: 'fr' });
    assert.match(other.mail.html, /<p dir="ltr" lang="en">en/);

    const { payload } = await receiver.event(chinese.id, 'email.sent', 20_000);
    assert.equal(payload.data.template_id, id);
    assert.equal(payload.data.locale, 'zh');
    const email = await service.email(chinese.id);
    assert.equal(email.template_id, id);
    assert.equal(email.locale, 'zh');
    assert.equal(email.html, '<p>中文</p>');
});

test('a mail that lacks something is not kept', async () => {
    const id = await make({ subject: '{{a}}', html: '{{b}} {{user.name}}',
                            variables: [{ key: 'c', type: 'number' }] });
    const before = await ask(200, 'GET', '/v1/emails?limit=1');
    const { errors } = await ask(422, 'POST', '/v1/emails', {
        to: 'x@inbox.test', template: { id, variables: { c: 'one' } } });
    assert.deepEqual(errors.map(({ pointer, code }) => `${pointer} ${code}`), [
        '/template/variables/c bad_variable',
        '/template/variables/a missing_variable',
        '/template/variables/b missing_variable',
        '/template/variables/user.name missing_variable']);
    assert.deepEqual(await ask(200, 'GET', '/v1/emails?limit=1'), before);
    await ask(422, 'POST', '/v1/emails', {
        to: 'x@inbox.test', text: 'x', template: { id } });
    await ask(422, 'POST', '/v1/emails', {
        to: 'x@inbox.test', template: { id: 'nobody' } });
});

test('a draft changes nothing; within 5 s all children send what is published',
     async () => {
    const id = await make({ alias: 'news', subject: 'one', html: 'h' });
    const subjects = async () => {
        const rounds = Array.from({ length: 12 }, () =>
            mailOf({ id: 'news' }));
        return new Set((await Promise.all(rounds)).map(({ mail }) =>
            mail.subject));
    };
    await ask(200, 'PATCH', '/v1/templates/news', { subject: 'two' });
    assert.deepEqual([...await subjects()], ['one']);
    await ask(200, 'POST', `/v1/templates/${id}/publish`);
    const published = Date.now();
    await until('all send the new one', async () => {
        const seen = await subjects();
        return seen.size === 1 && seen.has('two');
    }, 20_000);
    const late = await subjects();
    assert.deepEqual([...late], ['two']);
    assert.ok(Date.now() - published < 15_000);
});

test('two changes at once are both kept', async () => {
    const id = await make({ subject: 's', html: 'h' });
    const { current_version_id } = await ask(200, 'GET', `/v1/templates/${id}`);
    await Promise.all(Array.from({ length: 4 }, (_, i) =>
        ask(200, 'PATCH', `/v1/templates/${id}`, [
            { subject: 'new' }, { html: 'new' }, { text: 'new' },
            { reply_to: 'new@sender.test' }][i])));
    const shown = await ask(200, 'GET', `/v1/templates/${id}`);
    assert.deepEqual([shown.subject, shown.html, shown.text, shown.reply_to],
                     ['new', 'new', 'new', ['new@sender.test']]);
    const { code } = await ask(409, 'PATCH', `/v1/templates/${id}`,
                               { subject: 'mine', current_version_id });
    assert.equal(code, 'template_changed');
});

test('layouts and partials are other templates', async () => {
    await make({ alias: 'frame',
                 html: '<main>{{$body}}{{/body}}</main>{{>foot}}' });
    await make({ alias: 'foot', html: '<i>{{shop}}</i>' });
    const id = await make({
        subject: 's',
        html: '{{<frame}}{{$body}}Hello {{>*which}}{{/body}}{{/frame}}' });
    await make({ alias: 'part-a', html: 'A' });
    const variables = { shop: 'Shop', which: 'part-a' };
    const { mail } = await mailOf({ id, variables });
    assert.match(mail.html, /<main>Hello A<\/main><i>Shop<\/i>/);
    for (const which of ['nothing', 'nothing'.repeat(500)]) {
        const { errors } = await ask(422, 'POST', '/v1/emails', {
            to: 'x@inbox.test',
            template: { id, variables: { ...variables, which } } });
        assert.equal(errors[0].code, 'no_partial');
    }
    await make({ alias: 'loop', subject: 's', html: '{{>loop}}' });
    await ask(422, 'POST', '/v1/emails', { to: 'x@inbox.test',
                                           template: { id: 'loop' } });
});

test('a code is not shown', async () => {
    const id = await make({
        subject: '{{code}} is for {{order}}', html: '{{code}}',
        variables: [{ key: 'code', type: 'string', sensitive: true }] });
    const { id: email, mail } = await mailOf(
        { id, variables: { code: 'alpha', order: 'A12345' } });
    assert.equal(mail.subject, 'alpha is for A12345');
    const shown = await service.email(email);
    assert.equal(shown.subject, '•••••• is for A12345');
    assert.equal(shown.sensitive, true);
    assert.equal(shown.html, null);
});

test('a large one is stored, shown and sent', async () => {
    const filler = '<!-- é -->\n'.repeat(20_000);
    const id = await make({ subject: 'big', html: `${filler}<p>{{n}}</p>` });
    const shown = await ask(200, 'GET', `/v1/templates/${id}`);
    assert.equal(shown.html.length, filler.length + 12);
    const { mail } = await mailOf({ id, variables: { n: 5 } });
    assert.match(mail.html, /<p>5<\/p>/);
    const preview = await ask(200, 'POST', `/v1/templates/${id}/preview`,
                              { variables: { n: 'x' }, version: 'published' });
    assert.equal(preview.text, 'x');
    assert.ok(Array.isArray(preview.lint));
});

test('many values, and a large body, leave the loop free', async () => {
    const id = await make({ subject: 'list',
                            html: '{{#rows}}<p>{{n}} {{text}}</p>{{/rows}}' });
    const rows = Array.from({ length: 3000 }, (_, n) =>
        ({ n, text: 'x'.repeat(40) }));
    const { mail } = await mailOf({ id, variables: { rows } });
    assert.equal(mail.html.match(/<p>/g).length, 3000);
    const few = rows.slice(0, 1000).map(({ n }) => ({ n, text: '' }));
    const second = await mailOf({ id, variables: { rows: few } });
    assert.equal(second.mail.html.match(/<p>/g).length, 1000);
});

test('a built-in template stands in for a name that is free', async () => {
    const variables = { code: '483920', expires_in: 10 };
    const { id, mail } = await mailOf(
        { id: 'verification-code', variables, locale: 'zh-TW' },
        { from: 'App <app@sender.test>', class: 'verification' });
    assert.match(mail.subject, /^483920 /);
    assert.match(mail.html, /lang="zh/);
    assert.match(mail.text, /Our Shop/);
    const email = await service.email(id);
    assert.equal(email.template_id, 'verification-code');
    assert.equal(email.locale, 'zh');
    assert.doesNotMatch(email.subject, /483920/);
    const preview = await ask(200, 'POST', '/v1/templates/alert/preview', {});
    assert.equal(preview.version_id, 'builtin:alert');
    const shown = await ask(200, 'GET', '/v1/templates/verification-code');
    assert.equal(shown.built_in, true);
    assert.match(shown.locales.zh.subject, /^\{\{code \| filled\}\}/);
    const list = await ask(200, 'GET', '/v1/templates');
    assert.deepEqual(list.built_in.map(({ alias }) => alias),
                     ['verification-code', 'verification-link',
                      'password-reset', 'alert']);
    assert.ok(!list.data.some(({ alias }) => alias === 'alert'));
    const copy = await ask(201, 'POST',
                           '/v1/templates/verification-code/duplicate');
    await ask(200, 'PATCH', `/v1/templates/${copy.id}`,
              { alias: 'verification-code', subject: 'Ours: {{code}}' });
    await ask(200, 'POST', `/v1/templates/${copy.id}/publish`);
    await until('ours is sent', async () =>
        (await mailOf({ id: 'verification-code', variables },
                      { from: 'App <app@sender.test>' }))
            .mail.subject === 'Ours: 483920', 20_000);
});

test('a copy that was made is told of again, though its original is gone',
     async () => {
    const id = await make({ subject: 'Hi', html: 'h' });
    const copy = (status, key) => ask(
        status, 'POST', `/v1/templates/${id}/duplicate`, undefined,
        { headers: { 'idempotency-key': key } });
    const made = await copy(201, 'copy');
    await ask(200, 'DELETE', `/v1/templates/${id}`);
    assert.deepEqual(await copy(201, 'copy'), made);
    await copy(404, 'another copy');
});

test('a key that belongs to another request makes no template', async () => {
    const create = (status, name) => ask(
        status, 'POST', '/v1/templates', { name, html: 'h' },
        { headers: { 'idempotency-key': 'create' } });
    const made = await create(201, 'One');
    assert.deepEqual(await create(201, 'One'), made);
    assert.equal((await create(409, 'Another')).name,
                 'invalid_idempotent_request');
});

test('a name that no template can have is none\'s', async () => {
    await make({ subject: 'Hi', html: 'h' });
    for (const name of ['%23bytes', '-', '%20', 'a'.repeat(300),
                        'a'.repeat(2000)]) {
        for (const [method, rest, body] of [
            ['GET', ''], ['DELETE', ''], ['PATCH', '', { name: 'N' }],
            ['POST', '/publish'], ['POST', '/duplicate'],
            ['POST', '/preview', {}]])
            await ask(404, method, `/v1/templates/${name}${rest}`, body);
    }
    await ask(422, 'POST', '/v1/emails',
              { to: 'x@inbox.test', template: { id: '#bytes' } });
});

test('another owner has templates of his own', async () => {
    await make({ alias: 'mine', subject: 's', html: 'h' });
    const key = await service.createKey({ owner: 'other' });
    await ask(404, 'GET', '/v1/templates/mine', undefined, { key });
    await ask(422, 'POST', '/v1/emails', {
        from: 'a@sender.test', to: 'x@inbox.test', template: { id: 'mine' } },
              { key });
    await ask(201, 'POST', '/v1/templates',
              { name: 'N', alias: 'mine', html: 'h' }, { key });
});

// --- the command line --------------------------------------------------------

function tree(dir, base = dir) {
    return Object.fromEntries(fs.readdirSync(dir, { withFileTypes: true })
        .sort((a, b) => a.name.localeCompare(b.name))
        .flatMap((entry) => {
            const place = path.join(dir, entry.name);
            return entry.isDirectory()
                ? Object.entries(tree(place, base))
                : [[path.relative(base, place),
                    fs.readFileSync(place, 'utf8')]];
        }));
}

function write(dir, files) {
    for (const [name, text] of Object.entries(files)) {
        fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
        fs.writeFileSync(path.join(dir, name), text);
    }
}

test('a folder is imported, rendered and exported', async () => {
    const key = await service.createKey({ owner: 'folder' });
    const env = { ...service.env, POSTHASTE_URL: service.base,
                  POSTHASTE_API_KEY: key };
    const cli = async (args, code = 0) => {
        const done = await service.run(['templates', ...args], { env });
        assert.equal(done.code, code, done.stderr);
        return done;
    };
    const files = {
        'login/body.html': '<p>Your code: {{code}}</p>\n',
        'login/subject.txt': '{{code}} is your code\n',
        'login/template.json': '{\n  "name": "Log in",\n' +
            '  "from": "App <app@sender.test>",\n  "strict": true,\n' +
            '  "variables": [\n    {"key":"code","type":"string",' +
            '"sensitive":true,"example":"483920"}\n  ]\n}\n',
        'login/zh/body.html': '<p>验证码：{{code}}</p>\n',
        'login/zh/body.txt': '',
        'login/zh/subject.txt': '{{code}}\n',
        'news.1/body.txt': 'News',
        'news.1/template.json': '{\n  "name": "News",\n  "strict": false,\n' +
            '  "variables": []\n}\n',
    };
    const dir = folder('import');
    write(dir, { ...files, 'README.md': 'Ours.' });
    const first = await cli(['import', dir, '--publish']);
    assert.match(first.stderr, /login: created\nnews\.1: created\n$/);
    const again = await cli(['import', dir, '--publish']);
    assert.match(again.stderr, /login: as it was\nnews\.1: as it was\n$/);

    const out = folder('export');
    write(out, { 'login/fr/body.html': 'gone' });
    await cli(['export', out]);
    assert.deepEqual(tree(out), files);
    await cli(['import', out]);
    await cli(['export', out, 'login']);
    assert.deepEqual(tree(out), files);

    await cli(['export', out, 'nobodys'], 3);
    await cli(['export', out, 'alert']);
    const alert = Object.keys(tree(path.join(out, 'alert')));
    assert.ok(alert.includes('zh/body.html'), alert);
    const ours = path.join(out, 'alert', 'zh', 'subject.txt');
    fs.writeFileSync(ours, 'ours\n');
    assert.match((await cli(['import', out, 'alert'])).stderr, /alert: created/);
    await cli(['export', out, 'alert']);
    assert.equal(fs.readFileSync(ours, 'utf8'), 'ours\n');

    const list = JSON.parse((await cli(['list', '--json'])).stdout);
    assert.deepEqual(list.data.map(({ alias, status }) => `${alias} ${status}`),
                     ['alert draft', 'news.1 published', 'login published']);
    write(dir, { 'vars.json': '{"code":"1"}',
                 'login/subject.txt': 'new {{code}}\n' });
    fs.renameSync(path.join(dir, 'vars.json'), path.join(out, '.vars'));
    const changed = await cli(['import', dir, 'login']);
    assert.match(changed.stderr, /^login: changed\n$/);
    const draft = JSON.parse((await cli(['render', 'login', '--json',
        '--variables', path.join(out, '.vars')])).stdout);
    assert.equal(draft.subject, 'new 1');
    assert.equal(draft.html, '<p>Your code: 1</p>\n');
    assert.equal(draft.from, 'App <app@sender.test>');
    assert.deepEqual(draft.lint, []);
    const judged = JSON.parse((await cli(['render', 'login', '--class',
        'verification', '--from', 'noreply@sender.test'])).stdout);
    assert.deepEqual(judged.lint.map(({ code }) => code), ['no_reply']);
    const published = JSON.parse((await cli(['render', 'login', '--version',
        'published', '--locale', 'zh-CN'])).stdout);
    assert.equal(published.subject, '483920');
    assert.equal(published.locale, 'zh');
    await cli(['publish', 'login']);
    assert.equal(JSON.parse((await cli(['show', 'login'])).stdout)
        .has_unpublished_versions, false);
    await cli(['show', 'nobody'], 3);
    write(dir, { 'bad/template.json': '{' });
    await cli(['import', dir, 'bad'], 2);
    write(dir, { 'two words/template.json': '{"name": "T"}' });
    assert.match((await cli(['import', dir, 'two words'], 2)).stderr,
                 /two words: is no alias: want at most 64 letters, digits/);
});

test('a folder is imported at the pace that the key may have', async () => {
    const slow = await startService({
        redis, upstreams: [sink.upstream()], roles: ['api'],
        config: { limits: { rate: '5/s' } } });
    const key = await slow.createKey({ owner: 'paced' });
    const dir = folder('paced');
    const names = Array.from({ length: 8 }, (_, i) => `t${i}`);
    write(dir, Object.fromEntries(names.flatMap((name) => [
        [`${name}/template.json`, '{"name": "T"}'],
        [`${name}/body.txt`, 'Hi']])));
    const { code, stderr } = await slow.run(['templates', 'import', dir], {
        env: { ...slow.env, POSTHASTE_URL: slow.base,
               POSTHASTE_API_KEY: key } });
    assert.equal(code, 0, stderr);
    assert.equal(stderr, names.map((name) => `${name}: created\n`).join(''));
});
