// Runs beside others.
// What our parser accepts means what it means in TOML: random files are read
// by `config show` and by smol-toml, and every value is compared.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { npm } from './harness/npm.mjs';
import { folder, run } from './harness/scope.mjs';
import { BIN } from './harness/service.mjs';

const { parse } = npm('smol-toml');
const dir = folder('toml');
const env = Object.fromEntries(Object.entries(process.env).filter(
    ([name]) => !name.startsWith('POSTHASTE_')));

// A fixed sequence, so that a failure can be repeated (xorshift32).
let state = 0x9e3779b9;
function below(n) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
}
const pick = (list) => list[below(list.length)];
const times = (n, fn) => Array.from({ length: n }, fn);

// A string's source in one of its ways to be written; any text but controls.
const PIECES = ['a', 'Z', '0', ' ', '#', '=', '[', ']', '.', ',', '\'', '"',
                '\\', 'é', '漢', '😀', '-', '_', '/', '\u00a0', '\u2028'];

function text() {
    const value = times(below(12), () => pick(PIECES)).join('');
    if (!value.includes('\'') && below(3) === 0)
        return `'${value}'`;
    return '"' + [...value].map((c) => {
        if (c === '"' || c === '\\')
            return `\\${c}`;
        const code = c.codePointAt(0);
        if (below(6) !== 0)
            return c;
        return code > 0xffff
            ? `\\U${code.toString(16).padStart(8, '0')}`
            : `\\u${code.toString(16).padStart(4, '0')}`;
    }).join('') + '"';
}

const integer = () => pick(['1', '+7', '1_000', '512', '1_2_3', '999999']);
const duration = () => `"${1 + below(50)}${pick(['ms', 's', 'm', 'h', 'd'])
    .replace('d', 's')}"`;
const blanks = () => pick(['', ' ', '\t', '  ']);
const filler = () => pick(['', ' ', '\n', ' # x ] , "\n', '\r\n\t', '\n\n']);
const list = (item) => {
    const items = times(below(5), item);
    const comma = items.length > 0 && below(2) === 0 ? ',' : '';
    return '[' + filler() + items.join(filler() + ',' + filler()) + filler() +
           comma + filler() + ']';
};

const KEYS = {
    api: { connections_per_ip: integer },
    redis: { username: text, allow_volatile: () => pick(['true', 'false']) },
    secrets: { keyring_file: text },
    worker: { retry: () => list(duration) },
    webhook: { ports: () => list(() => String(1 + below(65535))) },
    limits: { rate: () => pick(['"5/s"', '\'7/m\'', '""']) },
};

function document() {
    const tables = Object.keys(KEYS).filter(() => below(3) > 0)
        .sort(() => below(3) - 1);
    const eol = pick(['\n', '\r\n']);
    return tables.map((table) => {
        const keys = Object.keys(KEYS[table]).filter(() => below(4) > 0);
        const lines = keys.map((key) =>
            blanks() + key + blanks() + '=' + blanks() + KEYS[table][key]() +
            blanks() + pick(['', '# comment "\'[', '#é']));
        return [pick(['', '# first']), `[${blanks()}${table}${blanks()}]`,
                ...lines, ''].join(eol);
    }).join(eol);
}

test('random files are read alike', async () => {
    for (let n = 0; n < 200; n++) {
        const source = document();
        const file = path.join(dir, 'random.toml');
        fs.writeFileSync(file, source);
        const { code, stdout, stderr } =
            await run(BIN, ['config', 'show', '--config', file], { env });
        assert.equal(code, 0, `${stderr}\n${source}`);
        const shown = Object.fromEntries(JSON.parse(stdout).tables.map(
            ({ table, keys }) => [table, keys]));
        for (const [table, keys] of Object.entries(parse(source)))
            for (const [key, value] of Object.entries(keys))
                assert.deepEqual(shown[table][key].value, value,
                                 `${table}.${key} of\n${source}`);
    }
});

// Damage at one place: what we still accept, smol-toml accepts, and alike.
test('damaged files are accepted only where TOML accepts them', async () => {
    let accepted = 0;
    for (let n = 0; n < 300; n++) {
        const bytes = [...document()];
        for (let k = 0; k <= below(2); k++)
            bytes.splice(below(bytes.length + 1), below(3),
                         ...times(below(2), () => pick(
                             ['"', '\'', '[', ']', '\n', '=', '\\', '#', 'x',
                              ',', '\r', '.', '{', '0', '\u0001'])));
        const source = bytes.join('');
        const file = path.join(dir, 'damaged.toml');
        fs.writeFileSync(file, source);
        const { code, stdout, stderr } =
            await run(BIN, ['config', 'show', '--config', file], { env });
        assert.ok(code === 0 || code === 6, stderr);
        if (code === 6) {
            assert.match(stderr, /damaged\.toml:\d+:\d+: /);
            continue;
        }
        accepted++;
        const shown = Object.fromEntries(JSON.parse(stdout).tables.map(
            ({ table, keys }) => [table, keys]));
        let theirs;
        assert.doesNotThrow(() => (theirs = parse(source)), source);
        for (const [table, keys] of Object.entries(theirs))
            for (const [key, value] of Object.entries(keys))
                assert.deepEqual(shown[table][key].value, value,
                                 `${table}.${key} of\n${source}`);
    }
    assert.ok(accepted > 20, `only ${accepted} of them were good`);
});
