// An upstream of Node's http module that says in X-Saw what it got.
import { createServer } from 'node:http'
import { createHash } from 'node:crypto'

let seen = 0
const encode = (text) => Buffer.from(text, 'latin1').toString('base64')
const pairs = (raw) => {
  const out = []
  for (let i = 0; i < raw.length; i += 2) out.push([raw[i], encode(raw[i + 1])])
  return out
}

const server = createServer({ maxHeaderSize: 1 << 17, requestTimeout: 0, keepAliveTimeout: 3600e3 }, (request, response) => {
  if (request.url === '/seen' && !request.headers['pavise-identity']) {
    response.end(String(seen))
    return
  }
  const sum = createHash('sha256')
  request.on('error', () => {}) // half a request is none
  request.on('data', (chunk) => sum.update(chunk))
  request.on('end', () => {
    seen++
    const saw = { m: request.method, t: encode(request.url), f: pairs(request.rawHeaders), b: sum.digest('hex'), x: pairs(request.rawTrailers) }
    response.setHeader('X-Saw', encode(JSON.stringify(saw)))
    response.end()
  })
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
