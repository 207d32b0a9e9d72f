// certs.mjs - an authority of our own and a server certificate by it, for
// 127.0.0.1, localhost and whatever names are asked for, one for another name,
// and all that are not to be trusted.
import fs from 'node:fs';
import path from 'node:path';
import { folder, must } from './scope.mjs';

export async function makeCerts(names = []) {
    const dir = folder('certs');
    const at = (name) => path.join(dir, name);
    const openssl = (...args) => must('openssl', args);

    await openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt',
                  'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
                  '-subj', '/CN=Test CA', '-keyout', at('ca.key'),
                  '-out', at('ca.pem'));
    await openssl('req', '-newkey', 'ec', '-pkeyopt',
                  'ec_paramgen_curve:prime256v1', '-nodes',
                  '-subj', '/CN=localhost', '-keyout', at('key.pem'),
                  '-out', at('csr.pem'));
    fs.writeFileSync(at('san.cnf'),
                     ['subjectAltName=DNS:localhost', 'IP:127.0.0.1',
                      ...names.map((name) => `DNS:${name}`)].join(',') + '\n');
    fs.writeFileSync(at('other.cnf'), 'subjectAltName=DNS:other.test\n');
    const sign = (days, extensions, out) => openssl(
        'x509', '-req', '-in', at('csr.pem'), '-CA', at('ca.pem'), '-CAkey',
        at('ca.key'), '-CAcreateserial', '-days', days, '-extfile',
        at(extensions), '-out', at(out));
    await sign('2', 'san.cnf', 'cert.pem');
    await sign('2', 'other.cnf', 'other.pem'); // right CA, wrong name
    return { dir, ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem'),
             otherCert: at('other.pem') };
}

// Certificates by what is wrong with them: good, expired, early, otherName,
// selfSigned, otherCa; app is a client's. Each as { cert, key } of PEM bytes; ca: the file of the
// authority to trust.
export async function makeOddCerts() {
    const [mine, other] = [await makeCerts(), await makeCerts()];
    const at = (name) => path.join(mine.dir, name);
    const key = fs.readFileSync(mine.key);
    const pair = (file) => ({ cert: fs.readFileSync(file), key });

    await must('openssl', [
        'req', '-x509', '-key', mine.key, '-days', '2', '-subj',
        '/CN=localhost', '-addext',
        'subjectAltName=DNS:localhost,IP:127.0.0.1', '-out', at('self.pem')]);
    await signFor(mine, '20200101000000Z', '20200201000000Z', 'expired.pem');
    await signFor(mine, '20980101000000Z', '20990101000000Z', 'early.pem');
    await must('openssl', [
        'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
        '-nodes', '-subj', '/CN=app', '-keyout', at('app.key'),
        '-out', at('app.csr')]);
    await must('openssl', [
        'x509', '-req', '-in', at('app.csr'), '-CA', mine.ca, '-CAkey',
        at('ca.key'), '-CAcreateserial', '-days', '2', '-out', at('app.pem')]);
    return {
        ca: mine.ca,
        app: { cert: at('app.pem'), key: at('app.key') }, // files
        good: pair(mine.cert),
        otherName: pair(mine.otherCert),
        selfSigned: pair(at('self.pem')),
        expired: pair(at('expired.pem')),
        early: pair(at('early.pem')),
        otherCa: { cert: fs.readFileSync(other.cert),
                   key: fs.readFileSync(other.key) },
    };
}

// `openssl x509` cannot choose the first day.
async function signFor({ dir }, from, to, out) {
    const at = (name) => path.join(dir, name);
    fs.writeFileSync(at('index.txt'), '');
    fs.writeFileSync(at('ca.cnf'), `
[ca]
default_ca = own
[own]
database = ${at('index.txt')}
new_certs_dir = ${dir}
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
`);
    await must('openssl', [
        'ca', '-batch', '-notext', '-config', at('ca.cnf'), '-cert',
        at('ca.pem'), '-keyfile', at('ca.key'), '-in', at('csr.pem'),
        '-startdate', from, '-enddate', to, '-extfile', at('san.cnf'),
        '-out', at(out)]);
}
