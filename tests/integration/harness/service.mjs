// service.mjs - Posthaste itself: its roles with a config of their own.
import fs from 'node:fs';
import path from 'node:path';
import { ROOT } from './npm.mjs';
import { Final, Program, atEnd, folder, freePort, must, run, until }
    from './scope.mjs';

export const BIN = process.env.POSTHASTE_BIN ??
                   path.join(ROOT, 'build/debug/posthaste');

// Starts the service over a redis-server, and waits until it is ready.
// config: tables of posthaste.toml that go over the defaults below; upstreams
// and routes: the arrays of tables. roles: which to start. withKey: make one
// full-access key, which a redis-server that will not do would refuse. env:
// more of the environment; roleEnv: more of that of a role's processes.
// withWorkerKey: the workers have a key, and so domains may have theirs.
export async function startService({ redis, config = {}, upstreams, routes = [],
                                     roles = ['api', 'worker', 'hooks'],
                                     children = 1, withKey = true,
                                     withWorkerKey = false, env = {},
                                     roleEnv = {} }) {
    const service = new Service(folder('service'), redis, children, env);
    service.roleEnv = roleEnv;
    if (withWorkerKey)
        config = { ...config, secrets: { ...await service.workerKey(),
                                         ...config.secrets } };
    await service.configure(config, upstreams, routes);
    await Promise.all(roles.map((role) => service.start(role)));
    atEnd(() => service.end());
    if (withKey)
        service.key = await service.createKey();
    return service;
}

class Service {
    programs = {};

    constructor(dir, redis, children, env) {
        this.dir = dir;
        this.redis = redis;
        this.children = children;
        this.config = path.join(dir, 'posthaste.toml');
        this.env = {
            ...process.env,
            ...env,
            ASAN_OPTIONS: `log_path=${dir}/sanitizer:exitcode=99`,
            UBSAN_OPTIONS:
                `log_path=${dir}/sanitizer:print_stacktrace=1:exitcode=99`,
        };
        atEnd(() => this.checkSanitizers());
    }

    async configure(config, upstreams, routes) {
        const keyring = path.join(this.dir, 'keyring');
        const port = await freePort();
        this.admin = {};
        for (const role of ['api', 'worker', 'hooks'])
            this.admin[role] = `127.0.0.1:${await freePort()}`;
        this.base = `http://127.0.0.1:${port}`;
        this.port = port;
        // The user of users.acl has the keys under ph: alone.
        const username = config.redis?.prefix === undefined
            ? this.redis.username ?? '' : '';
        this.tables = {
            api: { listen: [`127.0.0.1:${port}`],
                   admin_listen: this.admin.api },
            redis: { url: this.redis.url, username },
            secrets: { keyring_file: keyring },
            worker: { admin_listen: this.admin.worker, lease: '1s' },
            hooks: { admin_listen: this.admin.hooks },
            webhook: { allow_private: true, ports: [] },
            limits: { rate: '' },
            log: { level: 'debug', format: 'json' },
        };
        for (const [table, keys] of Object.entries(config))
            this.tables[table] = { ...this.tables[table], ...keys };
        this.upstreams = upstreams;
        this.routes = routes;
        this.write();
        await this.posthaste(['keyring', 'create', keyring]);
    }

    // Makes one; gives what [secrets] says of it.
    async workerKey() {
        const file = path.join(this.dir, 'worker.key');
        const text = await this.posthaste(['keyring', 'create-worker', file]);
        return { worker_key_file: file, worker_public_key: text.trim() };
    }

    // Writes posthaste.toml from tables, upstreams and routes.
    write() {
        fs.writeFileSync(this.config, toml(this.tables, {
            upstream: this.upstreams, route: this.routes,
        }));
    }

    launch(role) {
        this.programs[role] = new Program(`posthaste ${role}`, BIN,
            [role, '--config', this.config,
             '--children', String(this.children)],
            { env: { ...this.env, ...this.roleEnv[role] }, cwd: this.dir });
        return this.programs[role];
    }

    async start(role) {
        const program = this.launch(role);
        await until(`${role} is ready`, async () => {
            if (!program.running)
                throw new Final(`${role} ended: ${program.log.slice(-4000)}`);
            return this.isReady(role);
        }, 20_000);
        return program;
    }

    // One more worker beside the first, with a place of its own for its admin
    // listener; ready when this returns.
    async secondWorker() {
        const admin = `127.0.0.1:${await freePort()}`;
        const program = new Program('posthaste worker 2', BIN,
            ['worker', '--config', this.config, '--children', '1'],
            { env: { ...this.env, POSTHASTE_WORKER__ADMIN_LISTEN: admin },
              cwd: this.dir });
        this.programs.worker2 = program;
        this.admin.worker2 = admin;
        await until('the second worker is ready', () => this.isReady('worker2'),
                    20_000);
        return program;
    }

    async isReady(role) {
        const answer = await fetch(`http://${this.admin[role]}/readyz`);
        await answer.arrayBuffer();
        return answer.status === 200;
    }

    async stop(role, signal = 'SIGTERM') {
        const program = this.programs[role];
        program.kill(signal);
        return program.ended;
    }

    // All of it at once.
    end() {
        return Promise.all(Object.values(this.programs).map((program) =>
            program.end()));
    }

    // The processes below a role's supervisor.
    childrenOf(role) {
        const { pid } = this.programs[role];
        return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
            .trim().split(' ').filter(Boolean).map(Number);
    }

    // A verb to its end, as { code, stdout, stderr }.
    run(args, options = {}) {
        return run(BIN, args, { env: this.env, cwd: this.dir, ...options });
    }

    posthaste(args, options = {}) {
        return must(BIN, args, { env: this.env, cwd: this.dir, ...options });
    }

    async createKey({ name = 'test', permission = 'full_access', owner }
                    = {}) {
        const more = owner === undefined ? [] : ['--owner', owner];
        const out = await this.posthaste(
            ['keys', 'create', '--config', this.config, '--name', name,
             '--permission', permission, ...more]);
        return /ph_[a-z]+_[^"\s]+/.exec(out)[0];
    }

    // One API call. body: an object (sent as JSON), a string or bytes as they
    // are, or nothing. Gives { status, headers, json }.
    async call(method, target, body,
               { key = this.key, headers = {}, signal } = {}) {
        const given = body !== undefined && typeof body !== 'string' &&
                      !(body instanceof Uint8Array);
        const response = await fetchOrSay(this.base + target, {
            method,
            headers: {
                ...(key === null ? {} : { authorization: `Bearer ${key}` }),
                ...(body === undefined
                    ? {} : { 'content-type': 'application/json' }),
                ...headers,
            },
            body: given ? JSON.stringify(body) : body,
            signal,
        });
        const text = await response.text();
        return { status: response.status, headers: response.headers,
                 text, json: text === '' ? undefined : JSON.parse(text) };
    }

    // Sends one mail and demands that it is accepted; gives its id.
    async send(mail, options) {
        const answer = await this.call('POST', '/v1/emails', {
            from: 'App <app@sender.test>',
            to: ['ada@inbox.test'],
            subject: 'Hello',
            text: 'Hello, Ada.',
            ...mail,
        }, options);
        if (answer.status !== 200)
            throw new Error(`POST /v1/emails: ${answer.status} ${answer.text}`);
        return answer.json.id;
    }

    async email(id) {
        const answer = await this.call('GET', `/v1/emails/${id}`);
        if (answer.status !== 200)
            throw new Error(`GET ${id}: ${answer.status} ${answer.text}`);
        return answer.json;
    }

    async emailWith(id, status, timeout) {
        return until(`${id} is ${status}`, async () => {
            const email = await this.email(id);
            if (email.status !== status)
                throw new Error(`it is ${email.status}`);
            return email;
        }, timeout);
    }

    // Creates an endpoint for the receiver and gives it the secret.
    async subscribe(receiver, events = ['*']) {
        const answer = await this.call('POST', '/v1/webhooks',
                                       { endpoint: receiver.url, events });
        if (answer.status !== 201 && answer.status !== 200)
            throw new Error(`POST /v1/webhooks: ${answer.text}`);
        receiver.secret = answer.json.signing_secret;
        return answer.json.id;
    }

    async metrics(role) {
        const answer = await fetch(`http://${this.admin[role]}/metrics`);
        return answer.text();
    }

    // Every open delivery is in a place, and no count ever said otherwise.
    async checkQueue() {
        const { code, stdout, stderr } = await this.run(
            ['queue', 'check', '--config', this.config, '--json']);
        if (code !== 0 || JSON.parse(stdout).odd_count !== 0)
            throw new Error(`queue check: ${stdout}${stderr}`);
    }

    logs() {
        return Object.values(this.programs).map(({ log }) => log).join('');
    }

    checkSanitizers() {
        const reports = fs.readdirSync(this.dir)
            .filter((name) => name.startsWith('sanitizer'));
        if (reports.length > 0)
            throw new Error(reports.map((name) => fs.readFileSync(
                path.join(this.dir, name), 'utf8')).join('\n'));
    }
}

// fetch alone says "fetch failed"; why, and on which socket, is in its cause.
async function fetchOrSay(url, options) {
    try {
        return await fetch(url, options);
    } catch (error) {
        const { code, message, socket } = error.cause ?? {};
        if (code === undefined)
            throw error;
        throw new Error(`${options.method} ${url}: ${code} ${message} ` +
                        JSON.stringify(socket ?? {}),
                        { cause: error.cause });
    }
}

// Tables and arrays of tables as TOML.
export function toml(tables, arrays) {
    const value = (given) => Array.isArray(given)
        ? `[${given.map(value).join(', ')}]` : JSON.stringify(given);
    const lines = (keys) => Object.entries(keys)
        .map(([key, given]) => `${key} = ${value(given)}\n`).join('');
    let text = '';
    for (const [name, keys] of Object.entries(tables))
        text += `[${name}]\n${lines(keys)}\n`;
    for (const [name, items] of Object.entries(arrays))
        for (const keys of items)
            text += `[[${name}]]\n${lines(keys)}\n`;
    return text;
}
