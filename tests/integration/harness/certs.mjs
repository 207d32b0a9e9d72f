// certs.mjs - an authority of our own and a server certificate by it, for
// 127.0.0.1 and localhost, and one for another name.
import fs from 'node:fs';
import path from 'node:path';
import { folder, must } from './scope.mjs';

export async function makeCerts() {
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
                     'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
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
