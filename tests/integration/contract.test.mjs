// Runs beside others.
// openapi.yaml against the code: the sources name the same endpoints, problems
// and events (a unit test of api/ looks after the fields), and every answer of
// the running service is one that it describes.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { ROOT, npm, npmBin } from './harness/npm.mjs';
import { startReceiver } from './harness/receiver.mjs';
import { startRedis } from './harness/redis.mjs';
import { folder, must, until } from './harness/scope.mjs';
import { startService } from './harness/service.mjs';
import { reply, startSink } from './harness/sink.mjs';

const Ajv = npm('ajv/dist/2020').default;
const UNKNOWN_ID = '01890000-0000-7000-8000-000000000000';
const METHODS = ['get', 'post', 'patch', 'put', 'delete'];

let contract;
let ajv;

before(async () => {
    const file = path.join(folder('contract'), 'openapi.json');
    await must(process.execPath, [npmBin('redocly'), 'bundle', '--ext', 'json',
                                  '--output', file,
                                  path.join(ROOT, 'openapi.yaml')],
               { env: { ...process.env, REDOCLY_TELEMETRY: 'off',
                        REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } });
    contract = JSON.parse(fs.readFileSync(file, 'utf8'));
    ajv = new Ajv({ strict: false, allErrors: true });
    ajv.addFormat('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    ajv.addFormat('uri', /^https?:\/\//);
    ajv.addSchema(contract, 'contract');
});

// --- the document -----------------------------------------------------------

const at = (pointer) => pointer.slice(2).split('/').reduce(
    (node, name) => node[name.replaceAll('~1', '/').replaceAll('~0', '~')],
    contract);
const resolved = (node) => '$ref' in node ? at(node.$ref) : node;

function operations() {
    return Object.entries(contract.paths).flatMap(([place, item]) =>
        METHODS.filter((method) => method in item).map((method) =>
            ({ place, method, ...item[method] })));
}

// Demands that value is what the schema at the pointer (or it refers to) says.
function fits(pointer, value, what) {
    const validate = ajv.getSchema(`contract${pointer}`);
    const told = () => `${what}: ${JSON.stringify(value)}\n` +
        ajv.errorsText(validate.errors, { separator: '\n' });
    assert.ok(validate, pointer);
    assert.ok(validate(value), validate.errors && told());
}

const escaped = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');

function answerSchema(operation, status) {
    const place = `#/paths/${escaped(operation.place)}/${operation.method}` +
        `/responses/${status}`;
    const found = operation.responses[status];
    assert.ok(found, `${operation.operationId} does not answer ${status}`);
    return `${found.$ref ?? place}/content/application~1json/schema`;
}

// --- the sources ------------------------------------------------------------

const source = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

describe('the document', () => {
    test('knows the endpoints of the code, and no others', () => {
        const rows = source('api/api.c')
            .matchAll(/\{"([A-Z]+)", "(\/[^"]*)", NEED_/g);
        const known = [...rows].map(([, method, place]) =>
            `${method} /v1${place}`).sort();
        assert.ok(known.length > 0);
        assert.deepEqual(operations().map(({ method, place }) =>
            `${method.toUpperCase()} ${place}`).sort(), known);
    });

    test('knows the members of each query, and no others', () => {
        const code = source('api/api.c');
        const tables = Object.fromEntries([...code.matchAll(
            /^static const char \*const (\w+)\[\] = \{([^}]*),\s+NULL\};/gm)].map(
            ([, name, members]) => [name, JSON.parse(`[${members}]`).sort()]));
        const rows = code.matchAll(
            /\{"([A-Z]+)", "(\/[^"]*)", NEED_[^}]*,\s+(\w+)\}/g);
        const known = Object.fromEntries([...rows].map(
            ([, method, place, table]) =>
                [`${method} /v1${place}`,
                 table === 'NULL' ? [] : tables[table]]));
        const said = operations().map(({ method, place, parameters = [] }) =>
            [`${method.toUpperCase()} ${place}`,
             [...parameters, ...contract.paths[place].parameters ?? []]
                 .map(resolved).filter((one) => one.in === 'query')
                 .map(({ name }) => name).sort()]);
        assert.ok(Object.values(known).flat().length > 20);
        assert.deepEqual(Object.fromEntries(said), known);
    });

    test('knows the names of problems', () => {
        const names = source('api/problem.def')
            .matchAll(/^PROBLEM\(\w+, \d+,\s+"(\w+)"/gm);
        assert.deepEqual(
            [...contract.components.schemas.Problem.properties.name.enum]
                .sort(),
            [...new Set([...names].map(([, name]) => name))].sort());
    });

    test('knows the events', () => {
        const rows = source('queue/events.c')
            .matchAll(/\[EVENT_\w+\] = \{"([\w.]+)"/g);
        const known = [...rows].map(([, name]) => name).sort();
        assert.ok(known.length > 0);
        assert.deepEqual(Object.keys(contract.webhooks).sort(), known);
        assert.deepEqual(
            [...contract.components.schemas.EmailEventType.enum].sort(),
            known.filter((name) => name.startsWith('email.')));
    });

    test('has examples that fit its schemas', () => {
        let count = 0;
        const check = (pointer, media) => {
            for (const [name, { value }] of Object.entries(media.examples)) {
                fits(`${pointer}/schema`, value, `${pointer} ${name}`);
                count++;
            }
        };
        const json = 'content/application~1json';
        for (const [place, item] of [...Object.entries(contract.paths),
                                     ...Object.entries(contract.webhooks)])
            for (const method of METHODS.filter((name) => name in item)) {
                const root = place in contract.paths ? 'paths' : 'webhooks';
                const top = `#/${root}/${escaped(place)}/${method}`;
                const { requestBody, responses } = item[method];
                if (requestBody)
                    check(`${top}/requestBody/${json}`,
                          requestBody.content['application/json']);
                for (const [status, answer] of Object.entries(responses))
                    if (answer.content)
                        check(`${top}/responses/${status}/${json}`,
                              answer.content['application/json']);
            }
        for (const [name, answer] of
             Object.entries(contract.components.responses))
            check(`#/components/responses/${name}/${json}`,
                  answer.content['application/json']);
        assert.ok(count > 40);
    });
});

// --- the running service ------------------------------------------------------

describe('the service', () => {
    let sink;
    let service;
    let receiver;
    const answered = new Set();

    before(async () => {
        const redis = await startRedis();
        sink = await startSink({
            onRcpt(address) {
                if (address.startsWith('gone@'))
                    throw reply(550, '5.1.1 no such mailbox');
                if (address.startsWith('later@'))
                    throw reply(451, '4.7.1 greylisted');
            },
        });
        service = await startService({ redis, upstreams: [sink.upstream()],
                                       withWorkerKey: true });
        receiver = await startReceiver();
        await service.subscribe(receiver);
    });

    // Calls an operation and demands the status and an answer in its shape.
    // status undefined: any that is described.
    async function call(operationId, status, { id, body, query = '', key,
                                               headers } = {}) {
        const operation = operations().find((one) =>
            one.operationId === operationId);
        const target = operation.place.replace(/\{\w+\}/, id ?? '') + query;
        const answer = await service.call(operation.method.toUpperCase(),
                                          target, body, { key, headers });
        assert.equal(answer.status, status ?? answer.status, answer.text);
        fits(answerSchema(operation, answer.status), answer.json,
             `${operationId} ${answer.status}`);
        assert.match(answer.headers.get('content-type'), /^application\/json/);
        assert.ok(answer.headers.get('x-request-id'));
        answered.add(`${operationId} ${status}`);
        return answer.json;
    }

    const MAIL = { from: 'App <app@sender.test>', to: 'ada@inbox.test',
                   subject: 'Hello', text: 'Hello, Ada.' };

    test('answers every operation as described', async () => {
        const full = { ...contract.paths['/v1/emails'].post.requestBody
            .content['application/json'].examples.invoice.value };
        const sent = await call('sendEmail', 200, { body: full });
        const dry = await call('sendEmail', 200, {
            query: '?dry_run=true', body: MAIL });
        assert.equal(dry.object, 'dry_run');
        const scheduled = await call('sendEmail', 200, {
            body: { ...MAIL, scheduled_at: 'in 1 hour', class: 'alert',
                    expires_in: 60, on_unknown: 'hold', sensitive: true },
        });
        assert.equal(scheduled.status, 'scheduled');
        await service.emailWith(sent.id, 'sent');
        await call('getEmail', 200, { id: sent.id });
        await call('getEmail', 200, { id: scheduled.id });
        await call('listEmailEvents', 200, { id: sent.id });
        await call('listEmailAttempts', 200, { id: sent.id });
        await call('listEvents', 200, { query: '?limit=5' });
        await call('listEmails', 200, { query: '?limit=1' });
        await call('getQueue', 200);
        await call('updateEmail', 200, { id: scheduled.id,
                                         body: { scheduled_at: 'in 2 hours' } });
        await call('updateEmail', 409, { id: sent.id,
                                         body: { scheduled_at: 'in 1 hour' } });
        await call('cancelEmail', 200, { id: scheduled.id });
        await call('cancelEmail', 409, { id: sent.id });
        const early = await call('sendEmail', 200, {
            body: { ...MAIL, scheduled_at: 'in 1 hour' },
        });
        await call('retryEmail', 200, { id: early.id });
        await call('retryEmail', 409, { id: scheduled.id }); // wiped
        await call('retryEmail', 409, { id: sent.id });
        await call('getEmail', 200, { id: scheduled.id });

        const hook = await call('createWebhook', 201, {
            body: { endpoint: receiver.url, events: 'email.sent' },
        });
        await call('listWebhooks', 200, { query: '?limit=1' });
        await call('updateWebhook', 200, { id: hook.id,
                                           body: { status: 'disabled' } });
        await call('getWebhook', 200, { id: hook.id });
        await call('deleteWebhook', 200, { id: hook.id });

        const made = await call('createApiKey', 201, {
            body: { name: 'web app', permission: 'sending_access' },
            headers: { 'idempotency-key': 'once' },
        });
        const again = await call('createApiKey', 201, {
            body: { name: 'web app', permission: 'sending_access' },
            headers: { 'idempotency-key': 'once' },
        });
        assert.deepEqual(again, { id: made.id });
        await call('listApiKeys', 200);
        await call('updateApiKey', 200, { id: made.id,
                                          body: { name: 'web' } });
        await call('listWebhooks', 401, { key: made.token });
        await call('deleteApiKey', 200, { id: made.id });

        await call('takeFeedback', 200, {
            body: { message: 'Subject: I am away\r\n\r\nUntil Monday.\r\n' },
        });
        const off = await call('addSuppression', 201, {
            body: { email: 'off@inbox.test' },
        });
        await call('addSuppressions', 201, {
            body: { emails: ['gone@inbox.test'], origin: 'bounce' },
        });
        await call('listSuppressions', 200, { query: '?origin=bounce' });
        await call('getSuppression', 200, { id: 'off@inbox.test' });
        const kept = await call('sendEmail', 200, {
            body: { ...MAIL, to: 'off@inbox.test' },
        });
        const { payload } = await receiver.event(kept.id, 'email.suppressed');
        fits('#/webhooks/email.suppressed/post/requestBody/content' +
             '/application~1json/schema', payload, 'email.suppressed');
        await call('removeSuppression', 200, { id: off.id });
        await call('removeSuppressions', 200, {
            body: { emails: ['gone@inbox.test'] },
        });
        for (const type of ['suppression.added', 'suppression.removed']) {
            const of = () => receiver.events.find((event) =>
                event.payload.type === type &&
                event.payload.data.id === off.id);
            await until(type, of, 20_000);
            fits(`#/webhooks/${type}/post/requestBody/content` +
                 '/application~1json/schema', of().payload, type);
        }

        const template = await call('createTemplate', 201, {
            body: { name: 'Hello', alias: 'hello', subject: 'Hi {{name}}',
                    html: '<p>{{name}}</p>',
                    locales: { zh: { html: '<p>{{name}}</p>' } },
                    variables: [{ key: 'name', type: 'string' }] },
        });
        await call('listTemplates', 200, { query: '?limit=1' });
        await call('getTemplate', 200, { id: 'alert' });
        await call('getTemplate', 200, { id: 'hello' });
        await call('updateTemplate', 200, { id: template.id,
                                            body: { subject: 'Hello' } });
        await call('previewTemplate', 200, { id: 'hello', body: {} });
        await call('previewTemplate', 200, {
            id: 'hello', body: { from: 'App <app@sender.test>',
                                 reply_to: 'ada@inbox.test', class: 'reset' },
        });
        await call('publishTemplate', 200, { id: 'hello' });
        await call('getTemplate', 200, { id: template.id });
        const made_of = await call('sendEmail', 200, {
            body: { from: 'App <app@sender.test>', to: 'ada@inbox.test',
                    template: { id: 'hello', variables: { name: 'Ada' },
                                locale: 'zh-TW' } },
        });
        await call('getEmail', 200, { id: made_of.id });
        const copy = await call('duplicateTemplate', 201, { id: 'hello' });
        await call('deleteTemplate', 200, { id: copy.id });
        const domain = await call('createDomain', 201, {
            body: { name: 'sender.test' },
        });
        await call('createDomain', 409, { body: { name: 'sender.test' } });
        await call('listDomains', 200, { query: '?limit=1' });
        await call('getDomain', 200, { id: domain.id });
        await call('updateDomain', 200, {
            id: domain.id, body: { custom_return_path: 'bounces' },
        });
        await call('verifyDomain', 200, { id: domain.id });
        await call('rotateDomain', 200, { id: 'sender.test' });
        await call('rotateDomain', 409, { id: domain.id });
        await call('rotateDomain', 200, { id: domain.id,
                                          body: { compromised: true } });
        const pinned = await call('createApiKey', 201, {
            body: { name: 'one', permission: 'sending_access',
                    domain_id: domain.id },
        });
        await call('listApiKeys', 200);
        await call('sendEmail', 200, { body: MAIL, key: pinned.token });
        await call('sendEmail', 403, {
            body: { ...MAIL, from: 'a@other.test' }, key: pinned.token });
        await call('deleteDomain', 200, { id: domain.id });
        for (const type of ['domain.created', 'domain.updated',
                            'domain.deleted']) {
            const of = () => receiver.events.find((event) =>
                event.payload.type === type &&
                event.payload.data.id === domain.id);
            await until(type, of, 20_000);
            fits(`#/webhooks/${type}/post/requestBody/content` +
                 '/application~1json/schema', of().payload, type);
        }

        await call('listUpstreams', 200);
        const paused = await call('pauseUpstream', 200, { id: 'sink' });
        assert.equal(paused.state, 'paused');
        await call('resumeUpstream', 200, { id: 'sink' });
        await call('testUpstream', 200, { id: 'sink' });
    });

    test('says of each operation how it may be refused', async () => {
        const asked = [{ query: '?a=%00' }];
        const sent = [{ body: ' '.repeat(70_000) },
                      { body: 'x', headers: { 'content-type': 'text/plain' } }];
        for (const { operationId, method } of operations()) {
            const takes = ['post', 'patch'].includes(method);
            for (const one of takes ? [...asked, ...sent] : asked)
                await call(operationId, undefined,
                           { ...one, id: UNKNOWN_ID });
        }
    });

    test('refuses in the one shape', async () => {
        await call('sendEmail', 400, { body: '{' });
        await call('sendEmail', 401, { body: MAIL, key: null });
        await call('sendEmail', 403, { body: MAIL, key: 'ph_live_x' });
        await call('sendEmail', 415, {
            body: 'from=x', headers: { 'content-type': 'text/plain' },
        });
        await call('sendEmail', 422, {
            body: { ...MAIL, to: ['a@b@c.test'], sujbect: 'x', text: 7,
                    headers: { Date: 'now' }, attachments: [{}] },
        });
        await call('sendEmail', 200, { body: MAIL,
                                       headers: { 'idempotency-key': 'k' } });
        await call('sendEmail', 409, { body: { ...MAIL, subject: 'Other' },
                                       headers: { 'idempotency-key': 'k' } });
        await call('getEmail', 404, { id: UNKNOWN_ID });
        await call('getEmail', 422, { id: '17' });
        await call('listEmailEvents', 404, { id: UNKNOWN_ID });
        await call('listEmailAttempts', 404, { id: UNKNOWN_ID });
        await call('cancelEmail', 404, { id: UNKNOWN_ID });
        await call('retryEmail', 404, { id: UNKNOWN_ID });
        await call('updateEmail', 404, { id: UNKNOWN_ID,
                                         body: { scheduled_at: 'in 1 hour' } });
        await call('updateEmail', 422, { id: UNKNOWN_ID,
                                         body: { scheduled_at: 'later' } });
        await call('createWebhook', 413, {
            body: { endpoint: receiver.url, events: 'x'.repeat(70_000) },
        });
        await call('createWebhook', 422, { body: { events: [] } });
        await call('listWebhooks', 422, { query: '?limit=0' });
        await call('listEvents', 422, { query: '?after=17' });
        await call('listEmails', 422, { query: '?status=lost' });
        await call('updateWebhook', 404, { id: UNKNOWN_ID, body: {} });
        await call('deleteWebhook', 404, { id: UNKNOWN_ID });
        await call('createApiKey', 422, { body: { name: '' } });
        await call('updateApiKey', 422, { id: UNKNOWN_ID, body: {} });
        await call('updateApiKey', 404, { id: UNKNOWN_ID,
                                          body: { name: 'a' } });
        await call('deleteApiKey', 404, { id: UNKNOWN_ID });
        await call('addSuppression', 422, { body: { email: 'nobody' } });
        await call('addSuppressions', 422, { body: { emails: ['a@b.test', 1] } });
        await call('listSuppressions', 422, { query: '?origin=spite' });
        await call('getSuppression', 404, { id: UNKNOWN_ID });
        await call('removeSuppression', 404, { id: 'no@inbox.test' });
        await call('removeSuppressions', 422, { body: { ids: ['17'] } });
        await call('createTemplate', 422, { body: { html: '{{' } });
        await call('getTemplate', 404, { id: 'none' });
        await call('updateTemplate', 404, { id: 'none', body: {} });
        await call('updateTemplate', 409, {
            id: 'hello', body: { current_version_id: UNKNOWN_ID },
        });
        await call('deleteTemplate', 404, { id: 'none' });
        await call('publishTemplate', 404, { id: 'none' });
        await call('duplicateTemplate', 404, { id: 'none' });
        await call('previewTemplate', 404, { id: 'none', body: {} });
        await call('listTemplates', 422, { query: '?after=17' });
        await call('createDomain', 422, { body: { name: 'localhost' } });
        await call('getDomain', 404, { id: 'no.test' });
        await call('updateDomain', 422, { id: UNKNOWN_ID,
                                          body: { open_tracking: true } });
        await call('deleteDomain', 404, { id: UNKNOWN_ID });
        await call('verifyDomain', 404, { id: UNKNOWN_ID });
        await call('rotateDomain', 404, { id: UNKNOWN_ID });
        await call('rotateDomain', 422, { id: UNKNOWN_ID,
                                          body: { compromised: 'yes' } });
        await call('pauseUpstream', 404, { id: 'none' });
        await call('resumeUpstream', 404, { id: 'none' });
        await call('testUpstream', 404, { id: 'none' });
    });

    test('refuses members of a query that it does not describe', async () => {
        for (const { operationId } of operations()) {
            const { errors } = await call(operationId, 422, {
                id: UNKNOWN_ID, query: '?utm_source=a&pretty',
            });
            assert.deepEqual(errors.map(({ pointer, code }) =>
                [pointer, code]), [['/utm_source', 'unknown_field'],
                                   ['/pretty', 'unknown_field']]);
        }
    });

    test('tells of events as described', async () => {
        const { id: refused } = await call('sendEmail', 200, {
            body: { ...MAIL, to: ['ada@inbox.test', 'gone@inbox.test'],
                    tags: [{ name: 'kind', value: 'test' }],
                    metadata: { a: 'b' } },
        });
        const { id: late } = await call('sendEmail', 200, {
            body: { ...MAIL, to: 'later@inbox.test' },
        });
        const { id: expired } = await call('sendEmail', 200, {
            body: { ...MAIL, to: 'later@inbox.test', expires_in: 1,
                    class: 'verification' },
        });
        const { id: canceled } = await call('sendEmail', 200, {
            body: { ...MAIL, scheduled_at: 'in 1 hour' },
        });
        await call('cancelEmail', 200, { id: canceled });
        for (const [id, type] of [
            [refused, 'email.queued'], [refused, 'email.sent'],
            [refused, 'email.bounced'], [late, 'email.delivery_delayed'],
            [expired, 'email.expired'], [canceled, 'email.scheduled'],
            [canceled, 'email.canceled'],
        ]) {
            const event = await receiver.event(id, type, 20_000);
            fits(`#/webhooks/${type}/post/requestBody/content` +
                 '/application~1json/schema', event.payload, type);
        }
        for (const id of [refused, late, expired, canceled])
            await call('listEmailEvents', 200, { id });
        await call('listEmailAttempts', 200, { id: refused });
        await call('getEmail', 200, { id: refused });
    });

    test('was asked for every operation', () => {
        for (const { operationId } of operations())
            assert.ok([...answered].some((one) =>
                one.startsWith(`${operationId} 2`)), operationId);
    });
});
