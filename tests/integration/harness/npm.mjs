// npm.mjs - the packages of tests/package.json, which tests/run.sh installs
// into the build folder, away from the sources.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

const folder = process.env.POSTHASTE_NPM ?? path.join(ROOT, 'build/npm');

export const npm = createRequire(path.join(folder, 'package.json'));
export const npmBin = (name) => path.join(folder, 'node_modules/.bin', name);
