// unbound.mjs - a real name server on loopback, with one zone.
import fs from 'node:fs';
import path from 'node:path';
import { Program, folder, freePort } from './scope.mjs';

// lines: of a zone file below "test."; whole names end with a dot.
// silent.test is a zone that nobody answers for. pointers: "address name", of
// the zones of addresses.
export async function startUnbound(lines, { pointers = [] } = {}) {
    const server = new Unbound(folder('unbound'), await freePort(), pointers);
    await server.start(lines);
    return server;
}

class Unbound {
    constructor(dir, port, pointers) {
        this.dir = dir;
        this.address = `127.0.0.1:${port}`;
        fs.writeFileSync(path.join(dir, 'unbound.conf'), `
server:
  directory: "${dir}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  interface: 127.0.0.1@${port}
  do-ip6: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "iterator"
${pointers.map((line) => `  local-data-ptr: "${line}"`).join('\n')}
  num-threads: 1
  verbosity: 1
auth-zone:
  name: "test."
  zonefile: "test.zone"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
forward-zone:
  name: "silent.test."
  forward-addr: 127.0.0.1@1
remote-control:
  control-enable: no
`);
    }

    write(lines) {
        fs.writeFileSync(path.join(this.dir, 'test.zone'), [
            '$ORIGIN test.', '$TTL 60', '@ SOA ns me 1 3600 600 86400 5',
            '@ NS ns', 'ns A 127.0.0.1', ...lines, ''].join('\n'));
    }

    async start(lines) {
        this.write(lines);
        this.program = new Program('unbound', 'unbound',
            ['-d', '-c', path.join(this.dir, 'unbound.conf')],
            { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
        await this.program.says(/start of service/);
    }

    // From now on another zone; nothing is cached any more.
    async become(lines) {
        this.write(lines);
        this.program.log = '';
        this.program.kill('SIGHUP');
        await this.program.says(/start of service/);
    }
}
