// postfix.mjs - one Postfix in a folder of its own. Needs root, no systemd.
import fs from 'node:fs';
import path from 'node:path';
import { atEnd, must } from './scope.mjs';

// config: lines of main.cf besides those that keep it in dir and to itself;
// services: lines of master.cf besides the stock ones, among which no port is.
export async function startPostfix(dir, config, services) {
    const etc = path.join(dir, 'etc');

    fs.chmodSync(dir, 0o755);
    for (const name of ['etc', 'queue', 'data'])
        fs.mkdirSync(path.join(dir, name), { recursive: true, mode: 0o755 });
    await must('chown', ['postfix', path.join(dir, 'data')]);
    fs.writeFileSync(path.join(etc, 'main.cf'), `
compatibility_level = 3.6
queue_directory = ${dir}/queue
data_directory = ${dir}/data
maillog_file_prefixes = ${dir}, /dev/stdout
maillog_file = ${dir}/maillog
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.inbox.test
alias_maps =
alias_database =
local_recipient_maps =
${config}`);
    const stock = fs.readFileSync('/usr/share/postfix/master.cf.dist', 'utf8')
        .split('\n')
        .filter((line) => /^[a-z]/.test(line) && !/^smtp\s+inet/.test(line))
        .map((line) => line.replace(/^(\S+\s+\S+\s+\S+\s+\S+\s+)y/, '$1n'));
    fs.writeFileSync(path.join(etc, 'master.cf'),
                     [...stock, ...services].join('\n') + '\n');
    // Its processes make groups of their own; the master ends them all.
    atEnd(() => must('postfix', ['-c', etc, 'stop']));
    await must('postfix', ['-c', etc, 'start']);
}

export function maillogOf(dir) {
    return fs.readFileSync(path.join(dir, 'maillog'), 'utf8');
}
