// The npm package oidc-provider as an issuer of access tokens, over TLS.
// usage: node issuer.mjs CERT KEY   prints "ready PORT"; then each line of stdin is answered by one line:
//   rotate    a new key of each kind signs; the old ones stay in the set
//   withdraw  only the newest keys stay in the set
//   fetches   how often the key set was asked for
// The resource that a client asks for names the algorithm: urn:orders:RS256, urn:orders:ES256,
// urn:orders:id for a token that is marked like an ID token, and urn:orders:opaque for one that
// is no JWT. The client gateway may ask about tokens, and any client may take back its own.
import { randomUUID, webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const [cert, key] = process.argv.slice(2).map((name) => readFileSync(name));

// generateKeyPairSync and export as a JWK now and then hang in Node 20; WebCrypto does not.
const newKey = async (alg, kind) => {
  const { privateKey } = await webcrypto.subtle.generateKey(kind, true, ['sign', 'verify']);
  const { key_ops: _, ext: __, ...jwk } = await webcrypto.subtle.exportKey('jwk', privateKey);
  return { ...jwk, kid: randomUUID(), alg, use: 'sig' };
};
const newKeys = async () => [
  await newKey('RS256', { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' }),
  await newKey('ES256', { name: 'ECDSA', namedCurve: 'P-256' }),
];

const provide = (issuer, keys) => new Provider(issuer, {
  jwks: { keys },
  clients: [{
    client_id: 'web', client_secret: process.env.CLIENT_SECRET, grant_types: ['client_credentials'],
    redirect_uris: [], response_types: [],
  }, {
    client_id: 'gateway', client_secret: process.env.GATEWAY_SECRET, grant_types: [], redirect_uris: [], response_types: [],
  }],
  scopes: ['orders:read', 'orders:write'],
  ttl: { ClientCredentials: 12 * 60 * 60 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'orders:read orders:write', audience: 'orders', accessTokenFormat: resource.endsWith('opaque') ? 'opaque' : 'jwt', accessTokenTTL: 12 * 60 * 60,
        jwt: { sign: { alg: resource.endsWith('ES256') ? 'ES256' : 'RS256' } },
      }),
    },
  },
  formats: {
    customizers: {
      jwt(_, token, parts) {
        if (token.resourceServer?.identifier() === 'urn:orders:id') {
          parts.header = { ...parts.header, typ: 'JWT' };
          parts.payload.nonce = 'n';
        }
      },
    },
  },
});

let keys = await newKeys();
let fetches = 0;
let handler;
const server = createServer({ cert, key }, (request, answer) => {
  if (request.url === '/jwks') fetches++;
  handler(request, answer);
});
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://127.0.0.1:${server.address().port}`;
  const use = (next) => {
    keys = next;
    handler = provide(issuer, keys).callback();
  };
  use(keys);
  console.log(`ready ${server.address().port}`);
  createInterface({ input: process.stdin }).on('line', async (line) => {
    if (line === 'rotate') use([...await newKeys(), ...keys]);
    if (line === 'withdraw') use(keys.slice(0, 2));
    console.log(line === 'fetches' ? `fetches ${fetches}` : `done ${keys.length}`);
  }).on('close', () => process.exit());
});
