// Verifies access tokens as a long-running Node service would: jose's createRemoteJWKSet with its
// defaults, knowing only the issuer address.
//
// verify_stream.mjs ISSUER AUDIENCE says "ready", then reads a token a line, and at the end of its
// input prints what became of them as one line of JSON.
import diagnostics from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const [issuer, audience] = process.argv.slice(2)
const answer = await fetch(`${issuer}/.well-known/oauth-authorization-server`)
const metadata = await answer.json()
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri))
const expected = { issuer: metadata.issuer, audience, algorithms: ['RS256'], typ: 'at+jwt' }

// Nothing else here uses Node's own HTTP client.
let fetches = 0
diagnostics.subscribe('http.client.request.start', () => { fetches += 1 })
console.log('ready')

let verified = 0
const failures = []
const kids = new Set()
for await (const token of createInterface({ input: process.stdin })) {
  try {
    const { protectedHeader } = await jwtVerify(token, keys, expected)
    kids.add(protectedHeader.kid)
    verified += 1
  } catch (error) {
    failures.push(`${error.code}: ${error.message}`)
  }
}
const jose = JSON.parse(readFileSync(new URL('node_modules/jose/package.json', import.meta.url)))
console.log(JSON.stringify({
  client: `jose ${jose.version} on Node ${process.versions.node}`,
  verified,
  failed: failures.length,
  first_failures: failures.slice(0, 5),
  kids: [...kids].sort(),
  jwks_fetches: fetches,
}))
