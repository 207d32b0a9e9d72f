// names.mjs - a name server that knows a few names, for programs that ask for
// TXT, A and MX. What it does not know does not exist.
import dgram from 'node:dgram';
import { atEnd, freePort } from './scope.mjs';

const TYPES = { 1: 'A', 15: 'MX', 16: 'TXT' };

function nameAt(message, at) {
    const labels = [];
    while (message[at] !== 0) {
        labels.push(message.toString('latin1', at + 1, at + 1 + message[at]));
        at += 1 + message[at];
    }
    return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

const wireName = (name) => Buffer.concat([
    ...name.split('.').map((label) =>
        Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0])]);

// A text longer than 255 bytes is several strings.
const wire = {
    A: (value) => Buffer.from(value.split('.').map(Number)),
    MX: (value) => Buffer.concat([Buffer.from([0, 10]), wireName(value)]),
    TXT: (value) => Buffer.concat(value.match(/.{1,255}/gs).map((piece) =>
        Buffer.concat([Buffer.from([piece.length]), Buffer.from(piece)]))),
};

function answer(question, zone) {
    const { name, end } = nameAt(question, 12);
    const type = question.readUInt16BE(end);
    const values = zone[name]?.[TYPES[type]] ?? [];
    const head = Buffer.from(question.subarray(0, 12));
    head.writeUInt16BE(0x8580 | (name in zone ? 0 : 3), 2); // NXDOMAIN
    head.writeUInt16BE(values.length, 6);
    head.writeUInt32BE(0, 8);
    return Buffer.concat([
        head, question.subarray(12, end + 4),
        ...values.flatMap((value) => {
            const data = wire[TYPES[type]](value);
            const fixed = Buffer.alloc(12);
            fixed.writeUInt16BE(0xc00c, 0);
            fixed.writeUInt16BE(type, 2);
            fixed.writeUInt16BE(1, 4);
            fixed.writeUInt32BE(60, 6);
            fixed.writeUInt16BE(data.length, 10);
            return [fixed, data];
        })]);
}

// zone: { 'example.com': { TXT: ['v=spf1 ...'] } }, lower case. Gives the port
// on 127.0.0.1; over UDP alone, so answers have to be short.
export async function startNames(zone) {
    const port = await freePort();
    const socket = dgram.createSocket('udp4');
    socket.on('message', (question, from) =>
        socket.send(answer(question, zone), from.port, from.address));
    await new Promise((resolve) => socket.bind(port, '127.0.0.1', resolve));
    atEnd(() => new Promise((resolve) => socket.close(resolve)));
    return port;
}
