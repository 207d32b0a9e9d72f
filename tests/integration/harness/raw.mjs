// raw.mjs - bytes to a port, and what comes back: for requests that no HTTP
// library would send.
import net from 'node:net';

// Sends the pieces one after the other and reads until the server closes, or
// the answer is whole, or patience ends. Gives { status, head, body, text,
// closed }; status 0 when nothing came.
export function exchange(port, pieces, { patience = 3000 } = {}) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        let text = '';
        let timer;
        const end = (closed) => {
            clearTimeout(timer);
            socket.destroy();
            resolve({ ...parse(text), closed });
        };
        timer = setTimeout(() => end(false), patience);
        socket.setEncoding('latin1');
        socket.on('connect', () => {
            for (const piece of [pieces].flat())
                socket.write(piece, 'latin1');
        });
        socket.on('data', (bytes) => {
            text += bytes;
            const { status, missing } = parse(text);
            if (status >= 200 && missing === 0)
                setTimeout(() => end(false), 50); // a second answer would show
        });
        socket.on('error', () => {});
        socket.on('close', () => end(true));
    });
}

function parse(text) {
    // Skips 100 Continue.
    const final = text.replace(/^HTTP\/1\.1 100[^]*?\r\n\r\n/, '');
    const split = final.indexOf('\r\n\r\n');
    const head = split < 0 ? final : final.slice(0, split);
    const body = split < 0 ? '' : final.slice(split + 4);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    return { status, head, body, text,
             missing: split < 0 ? 1 : Math.max(0, length - body.length) };
}
