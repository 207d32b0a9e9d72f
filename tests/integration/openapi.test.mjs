// Runs beside others.
// openapi.yaml is what a strict reader of OpenAPI 3.1 accepts without a word.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT, npmBin } from './harness/npm.mjs';
import { run } from './harness/scope.mjs';

test('redocly finds no error and no warning in openapi.yaml', async () => {
    const { code, stdout, stderr } = await run(process.execPath, [
        npmBin('redocly'), 'lint', '--format=json',
        path.join(ROOT, 'openapi.yaml'),
    ], { env: { ...process.env, REDOCLY_TELEMETRY: 'off',
                REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } });
    const json = stdout.slice(stdout.indexOf('{'));
    assert.equal(code, 0, stdout + stderr);
    assert.deepEqual(JSON.parse(json).problems, []);
});
