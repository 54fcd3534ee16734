// An HMAC client in Node, written from docs/guide/hmac-specification.md alone.
// usage: node client.mjs METHOD URL [BODY]   (PAVISE_HMAC_ID, PAVISE_HMAC_SECRET, CA in the environment)
// Prints the status, and then the status of the same bytes sent again.
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';

const [method, address, body = ''] = process.argv.slice(2);
const { PAVISE_HMAC_ID: id, PAVISE_HMAC_SECRET: secret, CA: ca } = process.env;
const url = new URL(address);
// The request line is taken from the address as it was written: URL would normalise it.
const target = address.slice('https://'.length).replace(/^[^/?]*/, '').replace(/^(?!\/)/, '/');
const mark = target.indexOf('?');
const path = mark < 0 ? target : target.slice(0, mark);
const query = mark < 0 ? '' : target.slice(mark);

const headers = { 'content-digest': `sha-256=:${createHash('sha256').update(body).digest('base64')}:` };
const covered = [];
if (body) {
  headers['content-type'] = 'application/json';
  headers['content-length'] = Buffer.byteLength(body);
  covered.push('content-type');
}
const ts = String(Math.floor(Date.now() / 1000));
const nonce = randomBytes(16).toString('base64url');
const list = covered.join(';');
const lines = ['pavise-hmac-v1', id, 'hmac-sha256', ts, nonce, method, url.host.toLowerCase(), path, query, list,
  ...covered.map((name) => `${name}:${headers[name]}`), headers['content-digest']];
const signature = createHmac('sha256', secret).update(lines.map((line) => line + '\n').join('')).digest('base64');
headers.authorization = `HMAC id="${id}", alg="hmac-sha256", ts="${ts}", nonce="${nonce}", headers="${list}", signature="${signature}"`;

const send = () => new Promise((resolve, reject) => {
  const r = request({ host: url.hostname, port: url.port, method, path: target, headers: { host: url.host, ...headers }, ca: readFileSync(ca) }, (answer) => {
    answer.resume();
    answer.on('end', () => resolve(answer.statusCode));
  });
  r.on('error', reject);
  r.end(body);
});
console.log(await send());
console.log(await send());
