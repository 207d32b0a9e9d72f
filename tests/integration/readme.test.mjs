// Runs beside others.
// What README.md says, pasted: its curl and its SDK example against
// `posthaste dev`.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { ROOT } from './harness/npm.mjs';
import { Program, folder, freePort, must, until } from './harness/scope.mjs';
import { BIN } from './harness/service.mjs';

const README = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');

// The fenced block of that language that holds the text.
function block(language, text) {
    const blocks = [...README.matchAll(/^```(\w+)\n([^]*?)^```$/gm)];
    const found = blocks.find(([, name, body]) =>
        name === language && body.includes(text));
    assert.ok(found, `a ${language} block with ${text}`);
    return found[2];
}

let dir;

before(async () => {
    dir = folder('readme');
    const bin = path.join(dir, 'build/release');
    fs.mkdirSync(bin, { recursive: true });
    fs.symlinkSync(BIN, path.join(bin, 'posthaste'));
    const port = await freePort();
    const dev = new Program('posthaste dev', BIN, [
        'dev', '--port', String(port), '--smtp-port',
        String(await freePort()),
    ], { cwd: dir });
    await until('dev is ready', () => {
        if (!dev.running)
            throw new Error(dev.log);
        return fs.existsSync(path.join(dir, '.posthaste-dev/env'));
    }, 20_000);
});

test('the curl example, and the code in the inbox', async () => {
    const out = await must('bash', ['-euc', block('sh', 'curl')],
                           { cwd: dir });
    assert.match(out, /"id": ?"[0-9a-f-]{36}"/);
    assert.match(out, /481902/);
});

test('the SDK example', async () => {
    const env = { ...process.env };
    const lines = fs.readFileSync(path.join(dir, '.posthaste-dev/env'), 'utf8');
    for (const line of lines.trim().split('\n')) {
        const [name, ...value] = line.split('=');
        env[name] = value.join('=');
    }
    const script = path.join(dir, 'send.mjs');
    fs.symlinkSync(process.env.POSTHASTE_NPM
                       ? path.join(process.env.POSTHASTE_NPM, 'node_modules')
                       : path.join(ROOT, 'build/npm/node_modules'),
                   path.join(dir, 'node_modules'));
    fs.writeFileSync(script, block('js', 'resend'));
    const out = await must(process.execPath, [script], { cwd: dir, env });
    assert.match(out, /^[0-9a-f-]{36}\n$/);
    const code = await must(BIN, ['inbox', 'wait', '--to', 'grace@example.net',
                                  '--code'], { cwd: dir, env });
    assert.match(code, /204117/);
});
