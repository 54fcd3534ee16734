// A client of the authorization server that was written from openid-client's
// documentation alone. It prints a line for each thing that worked.
import * as client from 'openid-client'
import * as oauth from 'oauth4webapi'

const { ISSUER, MACHINE_SECRET, WEB_SECRET, ORDERS_SECRET, PASSWORD, API } = process.env
const ok = (what) => console.log(what)
const check = (is, what) => { if (!is) throw new Error(what) }
const discover = (id, auth, metadata) => client.discovery(new URL(ISSUER), id, metadata, auth)

// A browser that fills in forms.
class Browser {
  #cookies = new Map()
  async go(url, form) {
    for (let hops = 0; hops < 10; hops++) {
      const headers = { cookie: [...this.#cookies].map(([k, v]) => `${k}=${v}`).join('; ') }
      if (form) Object.assign(headers, { origin: ISSUER, 'sec-fetch-site': 'same-origin', 'content-type': 'application/x-www-form-urlencoded' })
      const response = await fetch(url, { redirect: 'manual', headers, method: form ? 'POST' : 'GET', body: form && new URLSearchParams(form).toString() })
      for (const cookie of response.headers.getSetCookie()) {
        const [pair] = cookie.split(';')
        const at = pair.indexOf('=')
        this.#cookies.set(pair.slice(0, at), pair.slice(at + 1))
      }
      if (response.status < 300 || response.status >= 400) return { url, status: response.status, page: await response.text() }
      url = new URL(response.headers.get('location'), url)
      form = undefined
      if (url.origin !== ISSUER) return { url }
    }
    throw new Error('too many redirects')
  }
  // submit fills in the form of a page.
  submit({ page, url }, values) {
    const action = /<form[^>]*action="([^"]*)"/.exec(page)[1].replaceAll('&amp;', '&')
    const form = {}
    for (const [input] of page.matchAll(/<input[^>]*>/g)) {
      const attribute = (name) => new RegExp(`\\b${name}="([^"]*)"`).exec(input)?.[1]
      if (attribute('name') && attribute('type') === 'hidden') form[attribute('name')] = attribute('value')
    }
    const scopes = [...page.matchAll(/name="scope" value="([^"]*)"/g)].map((m) => ['scope', m[1]])
    return this.go(new URL(action, url), [...Object.entries({ ...form, ...values }), ...scopes])
  }
  // decide signs in where that is asked for, and allows.
  async decide(start) {
    let at = await this.go(start)
    if (/name="password"/.test(at.page ?? '')) at = await this.submit(at, { username: 'ann', password: PASSWORD, do: 'sign-in' })
    if (/value="allow"/.test(at.page ?? '')) at = await this.submit(at, { do: 'allow' })
    return at
  }
}

const api = async (config, token, dpop) => (await client.fetchProtectedResource(config, token, new URL(API), 'GET', undefined, undefined, { DPoP: dpop })).status

// Client credentials, introspection, revocation.
const machine = await discover('machine', client.ClientSecretBasic(MACHINE_SECRET))
const orders = await discover('orders', client.ClientSecretPost(ORDERS_SECRET))
let tokens = await client.clientCredentialsGrant(machine, { scope: 'orders:read' })
check((await api(machine, tokens.access_token)) === 200, 'the API refuses a token')
ok('client credentials')
let info = await client.tokenIntrospection(orders, tokens.access_token)
check(info.active && info.client_id === 'machine', 'introspection: ' + JSON.stringify(info))
ok('introspection')
await client.tokenRevocation(machine, tokens.access_token)
check(!(await client.tokenIntrospection(orders, tokens.access_token)).active, 'a revoked token is active')
let refused = await api(machine, tokens.access_token).catch((e) => e.status)
check(refused === 401, `the API takes a revoked token: ${refused}`)
ok('revocation')

// Where a client that knows nothing but the API's address learns where to get a token.
const bare = await fetch(API)
const challenge = oauth.parseWwwAuthenticateChallenges?.(bare) ?? bare.headers.get('www-authenticate')
const resource = new URL(API).origin
check(JSON.stringify(challenge).includes(`${resource}/.well-known/oauth-protected-resource`), JSON.stringify(challenge))
const metadata = await oauth.processResourceDiscoveryResponse(new URL(resource), await oauth.resourceDiscoveryRequest(new URL(resource)))
check(metadata.authorization_servers[0] === ISSUER && metadata.scopes_supported.includes('orders:read'), JSON.stringify(metadata))
tokens = await client.clientCredentialsGrant(machine, { scope: 'orders:read', resource: metadata.resource })
check((await api(machine, tokens.access_token)) === 200, 'the API refuses a token for its resource')
ok('resource metadata')

// DPoP with server nonces, for a client and at the API.
const key = await client.randomDPoPKeyPair()
let dpop = client.getDPoPHandle(machine, key)
tokens = await client.clientCredentialsGrant(machine, { scope: 'orders:read' }, { DPoP: dpop })
check(tokens.token_type === 'dpop', tokens.token_type)
check((await api(machine, tokens.access_token, dpop)) === 200, 'the API refuses a bound token')
refused = await fetch(API, { headers: { authorization: 'Bearer ' + tokens.access_token } })
check(refused.status === 401, 'the API takes a bound token as Bearer')
ok('DPoP')

// Authorization code with PKCE, pushed, with OpenID Connect and refresh.
const web = await discover('web', client.ClientSecretBasic(WEB_SECRET))
const browser = new Browser()
const verifier = client.randomPKCECodeVerifier()
const nonce = client.randomNonce(), state = client.randomState()
const parameters = {
  redirect_uri: 'https://web.example/cb', scope: 'openid profile offline_access orders:read', state, nonce,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
}
let back = await browser.decide(await client.buildAuthorizationUrlWithPAR(web, parameters))
check(back.url.href.startsWith('https://web.example/cb?'), `sent to ${back.url} with ${back.status} ${back.page}`)
tokens = await client.authorizationCodeGrant(web, back.url, { pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state, idTokenExpected: true })
check(tokens.claims().name === 'Ann', JSON.stringify(tokens.claims()))
check((await api(web, tokens.access_token)) === 200, 'the API refuses a person\'s token')
ok('authorization code, PAR, PKCE, ID token')
const person = await client.fetchUserInfo(web, tokens.access_token, tokens.claims().sub)
check(person.name === 'Ann', JSON.stringify(person))
ok('userinfo')
const old = tokens.refresh_token
tokens = await client.refreshTokenGrant(web, old)
check((await api(web, tokens.access_token)) === 200, 'the API refuses a refreshed token')
ok('refresh')
const reused = await client.refreshTokenGrant(web, old).catch((e) => e.error)
check(reused === 'invalid_grant', `a refresh token was taken twice: ${reused}`)
refused = await api(web, tokens.access_token).catch((e) => e.status)
check(refused === 401, `the API takes a token of a revoked family: ${refused}`)
ok('reuse revokes')

// A device.
const tv = await discover('tv', client.None())
const device = await client.initiateDeviceAuthorization(tv, { scope: 'orders:read' })
let at = await browser.go(device.verification_uri)
at = await browser.submit(at, { user_code: device.user_code })
if (/name="password"/.test(at.page ?? '')) at = await browser.submit(at, { username: 'ann', password: PASSWORD, do: 'sign-in' })
at = await browser.submit(at, { do: 'allow' })
check(/Connected/.test(at.page), at.page)
tokens = await client.pollDeviceAuthorizationGrant(tv, device)
check((await api(tv, tokens.access_token)) === 200, 'the API refuses a device\'s token')
ok('device')
