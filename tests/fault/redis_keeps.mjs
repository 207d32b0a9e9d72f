// redis_keeps.mjs - what a killed redis-server still has of what it
// acknowledged, under each of its settings: the table of docs/durability.md.
//
//   node --test tests/fault/redis_keeps.mjs    (RUNS, default 3, of each)
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { startRedis } from '../integration/harness/redis.mjs';

const RUNS = Number(process.env.RUNS ?? 3);
const WRITES_MS = 1500;
const WINDOW = 64; // commands under way
const VALUE = 'x'.repeat(700);

const SETTINGS = [
    { name: 'appendonly no (snapshots only)', keeps: false,
      args: ['--appendonly', 'no', '--save', '3600 1'] },
    ...['no', 'everysec', 'always'].map((appendfsync) => ({
        name: `appendonly yes, appendfsync ${appendfsync}`, keeps: true,
        appendfsync, args: [],
    })),
];

// Appends to a list until the server is gone; how many were acknowledged.
function append(port) {
    return new Promise((resolve) => {
        const command = `*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$${VALUE.length}\r\n` +
                        `${VALUE}\r\n`;
        const socket = net.connect(port, '127.0.0.1');
        let acknowledged = 0;
        socket.on('connect', () => socket.write(command.repeat(WINDOW)));
        socket.on('data', (bytes) => {
            const lines = bytes.toString().split('\n').length - 1;
            acknowledged += lines;
            if (socket.writable)
                socket.write(command.repeat(lines));
        });
        socket.on('error', () => {});
        socket.on('close', () => resolve(acknowledged));
    });
}

async function killed({ appendfsync, args }) {
    const redis = await startRedis({ appendfsync, args });
    const writing = append(redis.port);
    await new Promise((resolve) => setTimeout(resolve, WRITES_MS));
    await redis.kill();
    const acknowledged = await writing;
    await redis.start();
    const kept = Number(await redis.cli('LLEN', 'l'));
    await redis.stop();
    return { acknowledged, lost: Math.max(0, acknowledged - kept) };
}

for (const setting of SETTINGS)
    test(setting.name, async (t) => {
        for (let run = 0; run < RUNS; run++) {
            const { acknowledged, lost } = await killed(setting);
            t.diagnostic(`kill -9: ${acknowledged} acknowledged, ` +
                         `${lost} lost`);
            if (setting.keeps)
                assert.equal(lost, 0);
        }
    });
