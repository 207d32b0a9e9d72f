// names.mjs - a name server whose answers are a table.
//
// zone: name -> what it says to each question of it, the last answer for all
// that follow: { a: [...], aaaa: [...] } with addresses, 'NXDOMAIN',
// 'SERVFAIL' or 'silence'. A name that is not there is NXDOMAIN.
import dgram from 'node:dgram';
import { atEnd } from '../../integration/harness/scope.mjs';

const CODES = { NXDOMAIN: 3, SERVFAIL: 2 };
const TYPES = { 1: 'a', 28: 'aaaa' };

export async function startNames(zone) {
    const names = new Names(zone);
    await new Promise((resolve) =>
        names.socket.bind(0, '127.0.0.1', resolve));
    names.address = `127.0.0.1:${names.socket.address().port}`;
    atEnd(() => new Promise((resolve) => names.socket.close(resolve)));
    return names;
}

class Names {
    asked = {}; // name -> questions for its A record

    constructor(zone) {
        this.zone = zone;
        this.socket = dgram.createSocket('udp4');
        this.socket.on('message', (query, from) => {
            const answer = this.answer(query);
            if (answer)
                this.socket.send(answer, from.port, from.address);
        });
    }

    // The first question of a name decides what both of its types are told.
    says(name, type) {
        const said = [this.zone[name] ?? 'NXDOMAIN'].flat();
        const count = this.asked[name] ?? 0;
        if (type === 'a')
            this.asked[name] = count + 1;
        return said[Math.min(count, said.length - 1)];
    }

    answer(query) {
        const { name, end } = nameIn(query);
        const type = TYPES[query.readUInt16BE(end)];
        const says = this.says(name, type);
        if (says === 'silence')
            return null;
        const records = (says[type] ?? []).map((address) =>
            record(query.readUInt16BE(end), bytesOf(address)));
        const head = Buffer.alloc(12);
        query.copy(head, 0, 0, 2);
        head.writeUInt16BE(0x8180 | (CODES[says] ?? 0), 2);
        head.writeUInt16BE(1, 4);
        head.writeUInt16BE(records.length, 6);
        return Buffer.concat([head, query.subarray(12, end + 4), ...records]);
    }
}

function nameIn(query) {
    const labels = [];
    let at = 12;
    while (query[at] > 0) {
        labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
        at += query[at] + 1;
    }
    return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

// A pointer to the name of the question, class IN, for 0 s.
function record(type, bytes) {
    const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0,
                              bytes.length]);
    return Buffer.concat([head, bytes]);
}

// "::1" is the only address of IPv6 that a machine's loopback has.
function bytesOf(address) {
    return address === '::1'
        ? Buffer.from([...Array(15).fill(0), 1])
        : Buffer.from(address.split('.').map(Number));
}
