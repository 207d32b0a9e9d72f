// mailhost.mjs - a provider: Postfix with STARTTLS, implicit TLS and SASL,
// delivering by LMTP to Dovecot, read back by IMAP. Needs root, no systemd.
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { makeCerts } from './certs.mjs';
import { maillogOf, startPostfix } from './postfix.mjs';
import { Program, atEnd, folder, freePort, must, until } from './scope.mjs';

export const PASSWORD = 'correct-horse';

// Every address at inbox.test has a mailbox, and any name with PASSWORD may
// log in. mechanisms: what SASL offers; sasl: Postfix asks 'dovecot', or has
// 'cyrus' inside, where app@inbox.test alone may log in. tokens: a map from
// OAuth tokens to addresses, as it is when Dovecot asks. isHashed: it has the password as a hash, of which no
// SCRAM can be made.
export async function startMailHost({
    mechanisms = 'plain login cram-md5 scram-sha-1 scram-sha-256',
    sasl = 'dovecot', tokens, isHashed,
} = {}) {
    const host = new MailHost(await makeCerts());
    host.isHashed = isHashed;
    host.sasl = sasl === 'cyrus' ? await host.useCyrus(mechanisms)
                                 : `smtpd_sasl_type = dovecot
smtpd_sasl_path = ${host.dovecot}/auth`;
    for (const name of ['imap', 'lmtp', 'submission', 'smtps'])
        host.ports[name] = await freePort();
    await host.startDovecot(mechanisms,
                            tokens && await host.introspect(tokens));
    await host.startPostfix();
    return host;
}

const hashed = (password) => '{PLAIN-MD5}' +
    crypto.createHash('md5').update(password).digest('hex');

class MailHost {
    ports = {};

    constructor(certs) {
        this.certs = certs;
        this.dovecot = folder('dovecot');
        this.postfix = folder('postfix');
    }

    // An [[upstream]] of posthaste.toml; tls: 'starttls' or 'implicit'.
    upstream(tls, more = {}) {
        const password_file = path.join(this.certs.dir, 'password');
        fs.writeFileSync(password_file, `${PASSWORD}\n`, { mode: 0o600 });
        return {
            name: tls, host: '127.0.0.1', tls,
            port: tls === 'implicit' ? this.ports.smtps
                                     : this.ports.submission,
            tls_ca_file: this.certs.ca, username: 'app@inbox.test',
            password_file, ...more,
        };
    }

    // Lines of dovecot.conf. The authority that issued the tokens says whose
    // they are (RFC 7662).
    async introspect(tokens) {
        const config = path.join(this.dovecot, 'oauth2.conf');
        const server = http.createServer(({ url }, answer) => {
            const token = new URL(url, 'http://x').searchParams.get('token');
            answer.setHeader('content-type', 'application/json');
            answer.end(JSON.stringify(tokens.has(token)
                ? { active: true, email: tokens.get(token) }
                : { active: false }));
        });
        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
        atEnd(() => server.close());
        fs.writeFileSync(config, `
introspection_mode = get
introspection_url = http://127.0.0.1:${server.address().port}/?token=
username_attribute = email
active_attribute = active
active_value = true
`);
        return `
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = ${config}
}`;
    }

    async startDovecot(mechanisms, oauth = '') {
        const dir = this.dovecot;
        const config = path.join(dir, 'dovecot.conf');
        const mail = path.join(dir, 'mail');

        fs.mkdirSync(mail);
        await must('chown', ['nobody:nogroup', mail]);
        fs.writeFileSync(config, `
base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = /dev/stderr
listen = 127.0.0.1
protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
auth_mechanisms = ${mechanisms}
auth_failure_delay = 0 secs
mail_location = maildir:${mail}/%u
${oauth}
passdb {
  driver = static
  args = password=${this.isHashed ? hashed(PASSWORD) : PASSWORD}
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=${mail}/%u
}
service imap-login {
  inet_listener imap {
    port = ${this.ports.imap}
  }
  inet_listener imaps {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = ${this.ports.lmtp}
  }
}
service auth {
  unix_listener ${dir}/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`);
        this.dovecotProgram = new Program('dovecot', 'dovecot',
                                          ['-F', '-c', config]);
        await until('dovecot listens', () => fs.existsSync(`${dir}/auth`));
    }

    // Lines of main.cf. Debian's Postfix looks beside that, whatever
    // cyrus_sasl_config_path says.
    async useCyrus(mechanisms) {
        const dir = path.join(this.postfix, 'etc', 'sasl');
        const db = path.join(dir, 'sasldb2');

        fs.mkdirSync(dir, { recursive: true, mode: 0o755 });
        fs.writeFileSync(path.join(dir, 'smtpd.conf'), `
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: ${db}
mech_list: ${mechanisms}
`);
        await must('sh', ['-c', 'printf %s "$1" | saslpasswd2 -p -c -f "$2" ' +
                          '-u inbox.test app', 'sh', PASSWORD, db]);
        await must('chown', ['postfix', db]);
        return `smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd`;
    }

    async startPostfix() {
        const { certs, ports } = this;

        await startPostfix(this.postfix, `
mynetworks =
mydestination =
virtual_mailbox_domains = static:all
virtual_transport = lmtp:inet:127.0.0.1:${ports.lmtp}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_restriction_classes = refused_late
refused_late = sleep 1, check_recipient_access inline:{
    { late@inbox.test = 550 5.1.1 no such mailbox here } }
smtpd_recipient_restrictions = check_recipient_access inline:{
    { refused@inbox.test = 550 5.1.1 no such mailbox here }
    { late@inbox.test = refused_late }
    { later@inbox.test = 451 4.3.0 try again later } }
smtpd_sasl_auth_enable = yes
${this.sasl}
smtpd_tls_auth_only = yes
smtpd_tls_security_level = may
smtpd_tls_cert_file = ${certs.cert}
smtpd_tls_key_file = ${certs.key}
smtpd_tls_received_header = yes
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
`, [
            `127.0.0.1:${ports.submission} inet n - n - - smtpd`,
            `127.0.0.1:${ports.smtps} inet n - n - - smtpd ` +
                '-o smtpd_tls_wrappermode=yes',
        ]);
    }

    maillog() {
        return maillogOf(this.postfix);
    }

    // The n-th mail (from 1) of a mailbox by IMAP, once it is there.
    async mail(address, n = 1, timeout = 20_000) {
        return until(`mail ${n} of ${address}`, () => must('curl', [
            '-sS', '--max-time', '10', '--user', `${address}:${PASSWORD}`,
            `imap://127.0.0.1:${this.ports.imap}/INBOX;MAILINDEX=${n}`,
        ]), timeout);
    }
}
