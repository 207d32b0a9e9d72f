// sasl.mjs - the server's side of SCRAM, by GNU SASL's command: a judge that
// shares no line with what it judges.
import { spawn } from 'node:child_process';
import { atEnd } from '../../integration/harness/scope.mjs';

const LABEL = 'EXPORTER-Channel-Binding'; // RFC 9266
const ASKS = /Enter base64 (?:authentication data[^:]*:\n|encoded (\S+) channel binding: )/;

export class Judge {
    heard = '';
    isOver = false;

    // socket: of TLS, if the server is to have a channel binding.
    constructor(mechanism, [name, password], socket) {
        this.binding = socket && bindingOf(socket);
        // Its questions go to stderr.
        this.child = spawn('sh', ['-c', 'exec gsasl "$@" 2>&1', 'sh',
            '--server', '-m', mechanism, '-a', name, '-p', password,
            '--service', 'smtp',
        ], { stdio: ['pipe', 'pipe', 'inherit'],
             env: { PATH: process.env.PATH, LC_ALL: 'C' } });
        atEnd(() => this.child.kill());
        this.child.stdout.on('data', (text) => this.hear(text));
        this.child.stdin.on('error', () => {}); // it has ended
        this.child.on('close', () => this.hear('', true));
    }

    hear(text, isOver = this.isOver) {
        this.heard += text;
        this.isOver = isOver;
        this.wake?.();
    }

    // What it prints before it asks for anything, or ends.
    async part() {
        for (;;) {
            const asked = ASKS.exec(this.heard);
            const isProved = this.heard.includes('client trusted');
            if (asked || isProved || this.isOver) {
                const said = /Output from server:\n(.*)\n/.exec(this.heard);
                this.heard = asked
                    ? this.heard.slice(asked.index + asked[0].length) : '';
                return { said: said?.[1], binding: asked?.[1], isProved,
                         isOver: this.isOver };
            }
            await new Promise((resolve) => (this.wake = resolve));
        }
    }

    tell(line) {
        this.child.stdin.write(`${line}\n`);
    }

    // The reply to an answer of the client's.
    async reply(answer) {
        if (!this.hasBegun)
            await this.part();
        this.hasBegun = true;
        this.tell(answer);
        for (;;) {
            const part = await this.part();
            if (part.binding)
                this.tell(part.binding === this.binding?.name
                    ? this.binding.bytes.toString('base64') : '');
            else if (part.isProved)
                return this.end('235 2.7.0 welcome');
            else if (part.isOver)
                return this.end('535 5.7.8 no such user or password');
            else
                return `334 ${part.said ?? ''}`;
        }
    }

    end(reply) {
        this.child.kill();
        return reply;
    }
}

function bindingOf(socket) {
    if (socket.getProtocol() === 'TLSv1.3')
        return { name: 'tls-exporter',
                 bytes: socket.exportKeyingMaterial(32, LABEL,
                                                    Buffer.alloc(0)) };
    return { name: 'tls-unique',
             bytes: socket.isSessionReused() ? socket.getFinished()
                                             : socket.getPeerFinished() };
}
