// peer.mjs api|worker - what most would build: express takes a mail, BullMQ
// queues it, nodemailer sends it. The yardstick of accept and pipeline.
//
// Environment: REDIS_PORT, PORT (api), SINK_PORT (worker), PEER_NPM (where
// package.json of this folder is installed).
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.env.PEER_NPM, 'package.json'));
const { Queue, Worker } = require('bullmq');
const connection = { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) };

function api() {
    const express = require('express');
    const queue = new Queue('mail', { connection });
    const app = express();

    app.use(express.json());
    app.post('/emails', async (request, response) => {
        const job = await queue.add('mail', request.body, {
            attempts: 5,
            backoff: { type: 'exponential', delay: 1000 },
            removeOnComplete: true,
        });
        response.status(202).json({ id: job.id });
    });
    app.listen(Number(process.env.PORT), '127.0.0.1',
               () => console.log('ready'));
}

function worker() {
    const transport = require('nodemailer').createTransport({
        host: '127.0.0.1', port: Number(process.env.SINK_PORT),
        secure: false, ignoreTLS: true, pool: true,
        maxConnections: 50, maxMessages: Infinity,
    });
    new Worker('mail', (job) => transport.sendMail(job.data),
               { connection, concurrency: 50 });
    console.log('ready');
}

({ api, worker })[process.argv[2]]();
