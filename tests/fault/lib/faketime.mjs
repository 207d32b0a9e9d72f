// faketime.mjs - roles whose wall clock can be moved, by libfaketime. Their
// monotonic clock stays true, as it does when a machine's time is set.
import fs from 'node:fs';
import path from 'node:path';
import { folder } from '../../integration/harness/scope.mjs';
import { CannotRun } from './world.mjs';

const PLACES = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((machine) =>
    `/usr/lib/${machine}/faketime/libfaketime.so.1`);

let dir;

export const fakedRoles = (roles) => ({
    async roleEnv() {
        const library = PLACES.find((place) => fs.existsSync(place));
        if (library === undefined)
            throw new CannotRun('libfaketime is missing: apt-get install ' +
                                'faketime');
        dir = folder('faketime');
        for (const role of roles)
            jump(role, 0);
        return Object.fromEntries(roles.map((role) => [role, {
            LD_PRELOAD: library,
            FAKETIME_TIMESTAMP_FILE: path.join(dir, role),
            FAKETIME_NO_CACHE: '1',
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
            DONT_FAKE_MONOTONIC: '1',
        }]));
    },
});

// From now on the role's wall clock is off by so many seconds.
export function jump(role, seconds) {
    const name = path.join(dir, role);
    fs.writeFileSync(`${name}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
    fs.renameSync(`${name}.new`, name);
}
