// From a clone to a delivered verification mail, and `posthaste dev` as a
// developer uses it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { ROOT } from './harness/npm.mjs';
import { Program, folder, freePort, must, run, until }
    from './harness/scope.mjs';
import { BIN } from './harness/service.mjs';

describe('deploy/demo.sh --once', () => {
    for (const nth of ['first', 'second'])
        test(`the ${nth} time`, async () => {
            const begin = Date.now();
            const { code, stdout, stderr } = await run('bash', [
                path.join(ROOT, 'deploy/demo.sh'), '--once', '--dir',
                folder('demo'),
            ]);
            const shown = stdout + stderr;
            assert.equal(code, 0, shown);
            assert.match(shown, /Subject: .*\b\d{6}\b/);
            assert.match(shown, /email\.(sent|delivered)/);
            assert.match(shown, /verified/);
            if (nth === 'second')
                assert.ok(Date.now() - begin < 5000,
                          `${Date.now() - begin} ms`);
        });
});
