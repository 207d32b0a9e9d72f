// bouncer.mjs - Postfix that takes every mail and finds out later: what it
// cannot deliver comes back to its sender, through its pipe to posthaste.
// Needs root, no systemd.
import fs from 'node:fs';
import path from 'node:path';
import { maillogOf, startPostfix } from './postfix.mjs';
import { folder, freePort, must, until } from './scope.mjs';
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
        await startPostfix(this.dir, `
mynetworks = 127.0.0.0/8
mydestination = inbox.test
transport_maps = inline:{ { ${bounceDomain} = feedback: } }
smtpd_relay_restrictions = permit_mynetworks, reject
feedback_destination_recipient_limit = 1
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
`, [
            `127.0.0.1:${this.port} inet n - n - - smtpd`,
            'feedback unix - n n - 4 pipe',
            `  flags=DRq user=${USER} argv=${BIN} feedback ` +
                `--config ${this.config} --recipient \${recipient} -`,
        ]);
    }

    maillog() {
        return maillogOf(this.dir);
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
