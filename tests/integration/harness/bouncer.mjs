// bouncer.mjs - Postfix that takes every mail and finds out later: what it
// cannot deliver comes back to its sender, through its pipe to posthaste.
// Needs root, no systemd.
import fs from 'node:fs';
import path from 'node:path';
import { atEnd, folder, freePort, must, until } from './scope.mjs';
import { BIN } from './service.mjs';

// pipe(8) runs nothing as root, so the configuration is for this user.
const USER = 'nobody';

export async function startBouncer(bounceDomain) {
    const bouncer = new Bouncer();
    bouncer.port = await freePort();
    await bouncer.start(bounceDomain);
    return bouncer;
}

class Bouncer {
    dir = folder('bouncer');

    upstream(more = {}) {
        return { name: 'bouncer', host: '127.0.0.1', port: this.port,
                 tls: 'off', ...more };
    }

    get config() {
        return path.join(this.dir, 'posthaste.toml');
    }

    // A copy of what the service has, which the pipe's user can read.
    async use(service) {
        const keyring = path.join(this.dir, 'keyring');
        fs.copyFileSync(service.tables.secrets.keyring_file, keyring);
        fs.writeFileSync(this.config,
            fs.readFileSync(service.config, 'utf8')
                .replaceAll(service.tables.secrets.keyring_file, keyring));
        await must('chown', [USER, keyring, this.config]);
    }

    async start(bounceDomain) {
        const { dir, port } = this;
        const etc = path.join(dir, 'etc');

        fs.chmodSync(dir, 0o755);
        for (const name of ['etc', 'queue', 'data'])
            fs.mkdirSync(path.join(dir, name), { mode: 0o755 });
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
mynetworks = 127.0.0.0/8
mydestination = inbox.test
alias_maps =
alias_database =
local_recipient_maps =
transport_maps = inline:{ { ${bounceDomain} = feedback: } }
smtpd_relay_restrictions = permit_mynetworks, reject
feedback_destination_recipient_limit = 1
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
`);
        const stock = fs.readFileSync('/usr/share/postfix/master.cf.dist',
                                      'utf8');
        const services = stock.split('\n')
            .filter((line) => /^[a-z]/.test(line) &&
                              !/^smtp\s+inet/.test(line))
            .map((line) => line.replace(
                /^(\S+\s+\S+\s+\S+\s+\S+\s+)y/, '$1n'));
        fs.writeFileSync(path.join(etc, 'master.cf'), [
            ...services,
            `127.0.0.1:${port} inet n - n - - smtpd`,
            'feedback unix - n n - 4 pipe',
            `  flags=DRq user=${USER} argv=${BIN} feedback ` +
                `--config ${this.config} --recipient \${recipient} -`,
        ].join('\n') + '\n');
        // Its processes make groups of their own; the master ends them all.
        atEnd(() => must('postfix', ['-c', etc, 'stop']));
        await must('postfix', ['-c', etc, 'start']);
    }

    maillog() {
        return fs.readFileSync(path.join(this.dir, 'maillog'), 'utf8');
    }

    // Once the pipe has ended so: "delivered", "deferred", "bounced".
    async piped(verdict) {
        return until(`the pipe says ${verdict}`, () => {
            const line = this.maillog().split('\n').find((one) =>
                one.includes('relay=feedback') &&
                one.includes(`status=${verdict}`));
            if (line === undefined)
                throw new Error(this.maillog().slice(-4000));
            return line;
        }, 20_000);
    }
}
