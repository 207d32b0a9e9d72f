// render.mjs TEMPLATE DATA ROUNDS - the same mail rendered by npm mustache,
// parsed once. Its modules are in the folder PEER_NPM.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.PEER_NPM}/package.json`);
const mustache = require('mustache');
const [template, data, rounds] = process.argv.slice(2);
const source = readFileSync(template, 'utf8');
const view = JSON.parse(readFileSync(data, 'utf8'));
let bytes = 0;

mustache.parse(source);
for (let i = 0; i < 2000; i++) // until it is compiled
    mustache.render(source, view);
const start = process.hrtime.bigint();
for (let i = 0; i < rounds; i++)
    bytes = mustache.render(source, view).length;
const us = Number(process.hrtime.bigint() - start) / rounds / 1000;
console.log(`template_peer_render ${us.toFixed(3)} us`);
console.log(`template_peer_bytes ${bytes.toFixed(3)} bytes`);
