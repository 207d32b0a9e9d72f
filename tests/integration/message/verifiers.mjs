// Three verifiers of DKIM, each by other people: mailauth, dkimpy, opendkim.
// Names are looked up in a zone that the test holds: { name: TXT }.
import dns from 'node:dns/promises';
import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { npm } from '../harness/npm.mjs';
import { folder } from '../harness/scope.mjs';

const { dkimVerify } = npm('mailauth/lib/dkim/verify');
const PYTHON = fileURLToPath(new URL('verify_dkim.py', import.meta.url));

// TXT as it comes over the wire: strings of at most 255 octets.
const strings = (text) => text.match(/.{1,255}/g);

export function byMailauth(zone) {
    const resolver = async (name) => {
        if (zone[name] === undefined)
            throw Object.assign(new Error(name), { code: 'ENOTFOUND' });
        return [strings(zone[name])];
    };
    return async (mails) => Promise.all(mails.map(async (mail) => {
        const { results } = await dkimVerify(mail, { resolver });
        return results.map(({ status }) => status.result === 'pass');
    }));
}

// What mailauth says of each signature of a mail, by keys that it asks a name
// server for.
export function signaturesBy(address) {
    const server = new dns.Resolver();
    server.setServers([address]);
    const resolver = (name, type) => server.resolve(name, type);
    return async (mail) => (await dkimVerify(mail, { resolver })).results.map(
        ({ selector, algo, status }) =>
            ({ selector, result: status.result, algorithm: algo }));
}

const run = (command, args, input) => {
    const { status, stdout, stderr } =
        spawnSync(command, args, { input, maxBuffer: 1 << 28 });
    if (status !== 0)
        throw new Error(`${command}: ${status} ${stderr}`);
    return stdout.toString();
};

export function byDkimpy(zone) {
    return async (mails) => run('/usr/bin/python3', [PYTHON], Buffer.concat([
        Buffer.from(`${JSON.stringify(zone)}\n`),
        ...mails.flatMap((mail) => [Buffer.from(`${mail.length}\n`), mail]),
    ])).trimEnd().split('\n').map((line) => JSON.parse(line));
}

// Its own words for each signature stand in the field that it would add.
export function byOpendkim(zone) {
    const dir = folder('opendkim');
    fs.writeFileSync(path.join(dir, 'keys'), Object.entries(zone)
        .map(([name, text]) => `${name} ${text}\n`).join(''));
    fs.writeFileSync(path.join(dir, 'conf'),
                     `Mode v\nTestPublicKeys ${dir}/keys\n`);
    return async (mails) => {
        const files = mails.map((mail, i) => {
            const file = path.join(dir, `${i}`);
            fs.writeFileSync(file, mail);
            return file;
        });
        const said = run('/usr/sbin/opendkim', [
            '-x', path.join(dir, 'conf'), '-vvv', '-t', files.join(',')]);
        return said.split('### INSHEADER').slice(1).map((words) =>
            [...words.matchAll(/dkim=(\w+)[^;]* header\.a=/g)]
                .map(([, word]) => word === 'pass'));
    };
}
