// hole.mjs - a port that swallows connects, as one behind a firewall does: its
// listener never accepts, and its queue is full.
import net from 'node:net';
import { Worker } from 'node:worker_threads';
import { atEnd } from '../../integration/harness/scope.mjs';

const LISTENER = `
const net = require('node:net');
const { parentPort, workerData } = require('node:worker_threads');
const server = net.createServer();
server.listen({ ...workerData, backlog: 1 }, () => {
    parentPort.postMessage('listening');
    setImmediate(() => Atomics.wait(
        new Int32Array(new SharedArrayBuffer(4)), 0, 0)); // never accepts
});`;
const FULL = 4; // connects, which is more than the queue takes

export async function startHole(port, host = '127.0.0.1') {
    const worker = new Worker(LISTENER, { eval: true,
                                          workerData: { port, host } });
    await new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
    });
    const sockets = Array.from({ length: FULL }, () =>
        net.connect(port, host).on('error', () => {}));
    atEnd(async () => {
        for (const socket of sockets)
            socket.destroy();
        await worker.terminate();
    });
    await new Promise((resolve) => sockets[0].once('connect', resolve));
}
