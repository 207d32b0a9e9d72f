// receiver.mjs - a customer's endpoint that verifies what it is sent, by the
// two libraries that customers use.
import http from 'node:http';
import { npm } from './npm.mjs';
import { atEnd, until } from './scope.mjs';

const { Webhook: Standard } = npm('standardwebhooks');
const { Webhook: Svix } = npm('svix');

// respond(event) may give a status, { status, headers }, or a promise of one.
export async function startReceiver({ respond = () => 200 } = {}) {
    const receiver = new Receiver(respond);
    receiver.server = http.createServer((request, response) =>
        receiver.take(request, response));
    await new Promise((resolve) =>
        receiver.server.listen(0, '127.0.0.1', resolve));
    receiver.url =
        `http://127.0.0.1:${receiver.server.address().port}/hook`;
    atEnd(() => receiver.close());
    return receiver;
}

class Receiver {
    events = []; // verified ones, in order of arrival
    byEmail = new Map(); // of each email id
    refused = []; // with the reason
    secret = null; // whsec_…, set once the endpoint is created

    constructor(respond) {
        this.respond = respond;
    }

    async take(request, response) {
        const pieces = [];
        for await (const piece of request)
            pieces.push(piece);
        const body = Buffer.concat(pieces).toString();
        const { headers, method, url } = request;
        try {
            const payload = this.verify(body, headers);
            const event = { id: headers['webhook-id'], headers, method, url,
                            body, payload, at: Date.now() };
            this.keep(event);
            const answer = await this.respond(event);
            const { status, headers: more = {} } =
                typeof answer === 'number' ? { status: answer } : answer;
            response.writeHead(status, more).end();
        } catch (error) {
            this.refused.push({ error, body, headers });
            response.writeHead(400).end(error.message);
        }
    }

    // Both libraries, and both header triples, must agree.
    verify(body, headers) {
        const payload = new Standard(this.secret).verify(body, headers);
        new Svix(this.secret).verify(body, headers);
        new Svix(this.secret).verify(body, Object.fromEntries(
            ['id', 'timestamp', 'signature']
                .map((name) => [`svix-${name}`, headers[`svix-${name}`]])));
        return payload;
    }

    keep(event) {
        const { email_id } = event.payload.data;
        this.events.push(event);
        if (!this.byEmail.has(email_id))
            this.byEmail.set(email_id, []);
        this.byEmail.get(email_id).push(event);
    }

    of(emailId, type) {
        return (this.byEmail.get(emailId) ?? []).filter(({ payload }) =>
            type === undefined || payload.type === type);
    }

    async event(emailId, type, timeout) {
        await until(`${type} of ${emailId}`,
                    () => this.of(emailId, type).length > 0, timeout);
        return this.of(emailId, type)[0];
    }

    close() {
        this.server.closeAllConnections();
        return new Promise((resolve) => this.server.close(resolve));
    }
}
