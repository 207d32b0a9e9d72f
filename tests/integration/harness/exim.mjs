// exim.mjs - a provider: Exim with STARTTLS, implicit TLS, AUTH and CHUNKING.
// It queues what it takes, and is read back from there. Needs root, and
// build/exim (tests/tools/exim.sh).
import fs from 'node:fs';
import path from 'node:path';
import { makeCerts } from './certs.mjs';
import { Program, folder, freePort, until } from './scope.mjs';

const ROOT = path.join(import.meta.dirname, '../../..');
const BIN = path.join(ROOT, 'build/exim/usr/sbin/exim4');
const USER = 'Debian-exim'; // compiled in, and made by its package
const ID = 64_999;
export const PASSWORD = 'correct-horse';

export async function startExim() {
    const exim = new Exim(await makeCerts());
    exim.ports = { smtp: await freePort(), smtps: await freePort() };
    await exim.start();
    return exim;
}

class Exim {
    constructor(certs) {
        this.certs = certs;
        this.dir = folder('exim');
    }

    // An [[upstream]] of posthaste.toml; tls: 'starttls' or 'implicit'.
    upstream(tls, more = {}) {
        const password_file = path.join(this.certs.dir, 'password');
        fs.writeFileSync(password_file, `${PASSWORD}\n`, { mode: 0o600 });
        return {
            name: 'exim', host: '127.0.0.1', tls, username: 'app',
            port: tls === 'implicit' ? this.ports.smtps : this.ports.smtp,
            tls_ca_file: this.certs.ca, password_file, ...more,
        };
    }

    async start() {
        const { certs, dir, ports } = this;
        const config = path.join(dir, 'exim.conf');
        for (const name of ['spool', 'log']) {
            fs.mkdirSync(path.join(dir, name));
            fs.chownSync(path.join(dir, name), ID, ID);
        }
        fs.copyFileSync(certs.key, path.join(dir, 'key.pem'));
        fs.chownSync(path.join(dir, 'key.pem'), ID, ID);
        fs.writeFileSync(config, `
spool_directory = ${dir}/spool
log_file_path = ${dir}/log/%slog
pid_file_path = ${dir}/exim.pid
log_selector = +smtp_connection +smtp_no_mail
primary_hostname = exim.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${ports.smtp} : ${ports.smtps}
tls_on_connect_ports = ${ports.smtps}
tls_advertise_hosts = *
tls_certificate = ${certs.cert}
tls_privatekey = ${dir}/key.pem
smtp_accept_max_per_connection = 0
queue_only = true
keep_environment =
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  deny message = 5.1.1 no such mailbox here
       local_parts = refused
  accept authenticated = *
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_set_id = $auth2
  server_condition = \${if eq{$auth3}{${PASSWORD}}}
  server_advertise_condition = \${if def:tls_in_cipher}
`);
        new Program('exim', BIN, ['-C', config, '-bdf'], {
            env: this.asItsUser(),
        });
        await until('exim listens', () =>
            /daemon started/.test(this.log()));
    }

    // Its user needs no account here.
    asItsUser() {
        const env = { ...process.env, LD_PRELOAD: 'libnss_wrapper.so' };
        const home = `${this.dir}/spool:/usr/sbin/nologin`;
        for (const [name, line] of [
            ['passwd', `${USER}:x:${ID}:${ID}::${home}`],
            ['group', `${USER}:x:${ID}:`],
        ]) {
            const file = path.join(this.dir, name);
            fs.writeFileSync(
                file, `${fs.readFileSync(`/etc/${name}`)}${line}\n`);
            env[`NSS_WRAPPER_${name.toUpperCase()}`] = file;
        }
        return env;
    }

    log() {
        return fs.readFileSync(path.join(this.dir, 'log/mainlog'), 'utf8');
    }

    // Envelope recipients and text of each mail that it took.
    mails() {
        const input = path.join(this.dir, 'spool/input');
        return fs.readdirSync(input).filter((name) => name.endsWith('-H'))
            .map((name) => {
                const head = fs.readFileSync(path.join(input, name), 'utf8');
                const body = fs.readFileSync(
                    path.join(input, name.replace(/H$/, 'D')), 'utf8');
                return {
                    to: head.match(/^\S+@inbox\.test$/gm),
                    text: body.slice(body.indexOf('\n') + 1),
                };
            });
    }
}
