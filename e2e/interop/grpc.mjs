// The npm package @grpc/grpc-js as a server and as a client. Messages are plain text.
// usage: node grpc.mjs server                        prints "ready PORT"
//        node grpc.mjs client ADDRESS CA METHOD [KEY]   prints each message, then "trailer VALUE" and "status CODE"
// Get echoes, with a trailer; List sends three messages; Fail has the status NOT_FOUND.
import { readFileSync } from 'node:fs';
import grpc from '@grpc/grpc-js';

const text = { to: (value) => Buffer.from(value), from: (bytes) => String(bytes) };
const method = (name, responseStream) => ({
  path: `/orders.Orders/${name}`, requestStream: false, responseStream,
  requestSerialize: text.to, requestDeserialize: text.from, responseSerialize: text.to, responseDeserialize: text.from,
});
const service = { Get: method('Get', false), List: method('List', true), Fail: method('Fail', false) };

const [role, address, ca, name, key] = process.argv.slice(2);
if (role === 'server') {
  const trailers = () => {
    const metadata = new grpc.Metadata();
    metadata.set('orders-seen', '3');
    return metadata;
  };
  const server = new grpc.Server();
  server.addService(service, {
    Get: (call, done) => done(null, `got ${call.request}`, trailers()),
    List: (call) => {
      for (const n of [1, 2, 3]) call.write(`order ${n}`);
      call.end(trailers());
    },
    Fail: (_, done) => done({ code: grpc.status.NOT_FOUND, details: 'no such order' }),
  });
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (fault, port) => {
    if (fault) throw fault;
    console.log(`ready ${port}`);
  });
} else {
  const Client = grpc.makeGenericClientConstructor(service, 'Orders');
  const client = new Client(address, grpc.credentials.createSsl(readFileSync(ca)));
  const metadata = new grpc.Metadata();
  if (key) metadata.set('x-api-key', key);
  const ended = (status) => {
    for (const value of status.metadata.get('orders-seen')) console.log(`trailer ${value}`);
    console.log(`status ${status.code} ${status.details}`);
    client.close();
  };
  const call = client[name]('seven', metadata, { deadline: Date.now() + 20000 }, ...(name === 'List' ? [] : [(_, value) => { if (value) console.log(value); }]));
  if (name === 'List') call.on('data', (value) => console.log(value)).on('error', () => {});
  call.on('status', ended);
}
