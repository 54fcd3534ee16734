// The npm package ws as a WebSocket server and as a client.
// usage: node ws.mjs server                prints "ready PORT"; echoes, and closes when it is told "close CODE"
//        node ws.mjs client URL CA [KEY]   sends each line of stdin; prints "open", what it gets, and "closed CODE" or "refused STATUS"
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { WebSocket, WebSocketServer } from 'ws';

const [role, url, ca, key] = process.argv.slice(2);
if (role === 'server') {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 }, () => console.log(`ready ${server.address().port}`));
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, binary) => {
      const [word, code] = String(data).split(' ');
      if (word === 'close') socket.close(Number(code), 'as told');
      else socket.send(data, { binary });
    });
    socket.on('close', (code) => console.log(`server closed ${code}`));
  });
} else {
  const socket = new WebSocket(url, { ca: readFileSync(ca), headers: key ? { 'X-API-Key': key } : {} });
  const end = (text) => { console.log(text); process.exit(); };
  socket.on('open', () => {
    console.log('open');
    createInterface({ input: process.stdin }).on('line', (line) => {
      if (line.startsWith('leave ')) socket.close(Number(line.slice(6)));
      else socket.send(line);
    });
  });
  socket.on('message', (data) => console.log(String(data)));
  socket.on('unexpected-response', (_, answer) => end(`refused ${answer.statusCode}`));
  socket.on('error', (fault) => console.error(fault.message));
  socket.on('close', (code, reason) => end(`closed ${code} ${reason}`));
}
