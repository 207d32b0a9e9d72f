// receiver.mjs - takes webhooks on PORT: 200 to whatever comes.
import http from 'node:http';

http.createServer((request, response) => {
    request.resume().on('end', () => response.end());
}).listen(Number(process.env.PORT), '127.0.0.1', () => console.log('ready'));
