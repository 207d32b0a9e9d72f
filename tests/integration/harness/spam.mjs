// spam.mjs - SpamAssassin and rspamd with the rules of Debian, without a
// network: what they think of mails.
import fs from 'node:fs';
import path from 'node:path';
import { Program, folder, freePort, must, until } from './scope.mjs';

// Scores of mails, in their order: { score, tests }. One process for all, which
// takes them as it likes: X-Case says which is which.
export async function spamassassin(mails) {
    const dir = folder('spamassassin');
    const mbox = mails.map((mail, i) =>
        `From sender@example.com Thu Jan  1 00:00:00 2026\nX-Case: ${i}\n` +
        mail.replace(/\r\n/g, '\n').replace(/^From /gm, '>From ') + '\n');
    const out = await must('spamassassin', [
        '--local', '--mbox', '--siteconfigpath', '/etc/spamassassin',
        '--prefspath', path.join(dir, 'prefs')],
                           { input: mbox.join(''),
                             env: { ...process.env, HOME: dir } });
    const scores = [];
    for (const mail of out.split(/^From sender@/m).slice(1)) {
        const [, i] = mail.match(/^X-Case: (\d+)$/m);
        const [, score, tests] = mail.match(
            /^X-Spam-Status: \w+, score=(\S+) required=\S+\s+tests=((?:.|\n\t)*?)\s*autolearn=/m);
        scores[Number(i)] = { score: Number(score),
                              tests: tests.replace(/\s/g, '') };
    }
    return scores;
}

// What asks the network, needs Redis or learns is off.
const config = (dir, port, names) => `
.include "/etc/rspamd/common.conf"
options {
    pidfile = "${dir}/pid";
    filters = "chartable,dkim,regexp";
    tempdir = "${dir}";
    dns { nameserver = "127.0.0.1:${names}"; timeout = 1s; sockets = 4;
          retransmits = 2; }
    local_addrs = [];
    url_tld = "/usr/share/rspamd/effective_tld_names.dat";
    disable_hyperscan = true;
    map_watch_interval = 1h;
    one_shot = false;
    dynamic_conf = "${dir}/dynamic";
}
logging { type = "console"; level = "warning"; }
worker "normal" { bind_socket = "127.0.0.1:${port}"; count = 1; }
${['fuzzy_check', 'rbl', 'neural', 'bayes', 'history_redis', 'asn', 'mid',
   'surbl', 'ratelimit', 'greylist', 'replies', 'url_redirector',
   'dmarc_reporting', 'reputation', 'known_senders']
    .map((name) => `${name} { enabled = false; }`).join('\n')}
phishing { openphish_enabled = false; phishtank_enabled = false; }
classifier "bayes" { enabled = false; }
`;

// names: the port of a name server. The result judges one mail at a time:
// { score, action, symbols: { NAME: score } }.
export async function startRspamd(names) {
    const dir = folder('rspamd');
    const port = await freePort();
    const file = path.join(dir, 'rspamd.conf');
    fs.writeFileSync(file, config(dir, port, names));
    const program = new Program('rspamd', 'rspamd', [
        '-f', '-c', file, '-u', 'root', '-g', 'root', '--insecure',
        '--var=CONFDIR=/etc/rspamd', `--var=LOCAL_CONFDIR=${dir}`,
        ...['DBDIR', 'RUNDIR', 'LOGDIR'].map((name) => `--var=${name}=${dir}`)]);
    const base = `http://127.0.0.1:${port}`;
    await until('rspamd answers', async () => {
        if (!program.running)
            throw new Error(program.log.slice(-2000));
        return (await fetch(`${base}/ping`)).ok;
    }, 60_000);
    return async (mail, { from, to, ip, host }) => {
        const answer = await fetch(`${base}/checkv2`, {
            method: 'POST',
            body: mail,
            headers: { From: from, Rcpt: to, IP: ip, Helo: host,
                       Hostname: host },
        });
        const { score, action, symbols } = await answer.json();
        return { score, action,
                 symbols: Object.fromEntries(Object.values(symbols).map(
                     (one) => [one.name, one.score])) };
    };
}
