// disk.mjs - a redis-server whose append-only file lies on a small disk of its
// own, a tmpfs, which can be filled. Mounting needs root.
import fs from 'node:fs';
import path from 'node:path';
import { startRedis } from '../../integration/harness/redis.mjs';
import { atEnd, folder, must } from '../../integration/harness/scope.mjs';
import { CannotRun } from './world.mjs';

const SIZE = '64m';
const PIECE = Buffer.alloc(64 << 10);

// The world's part of a plan.
export const diskWorld = (appendfsync) => ({
    async redis() {
        const dir = folder('disk');
        try {
            await must('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`,
                                 'posthaste-fault', dir]);
        } catch (error) {
            throw new CannotRun(`a small disk cannot be mounted (root is ` +
                                `needed): ${error.message.trim()}`);
        }
        atEnd(() => must('umount', [dir]));
        return startRedis({ appendfsync, dir });
    },
});

// Leaves no room on it. Gives what makes room again.
export function fillDisk({ redis }) {
    const name = path.join(redis.dir, 'filler');
    const file = fs.openSync(name, 'w');
    try {
        for (;;)
            fs.writeSync(file, PIECE);
    } catch (error) {
        if (error.code !== 'ENOSPC')
            throw error;
    } finally {
        fs.closeSync(file);
    }
    return () => fs.rmSync(name);
}
