// Verifies an access token as a Node service would: jose, knowing only the issuer address.
//
// verify.mjs ISSUER AUDIENCE TOKEN ALGORITHM prints the claims, or fails.
import { createRemoteJWKSet, jwtVerify } from 'jose'

const [issuer, audience, token, algorithm] = process.argv.slice(2)
const answer = await fetch(`${issuer}/.well-known/oauth-authorization-server`)
const metadata = await answer.json()
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri))
const { payload } = await jwtVerify(token, keys, {
  issuer: metadata.issuer,
  audience,
  algorithms: [algorithm],
  typ: 'at+jwt',
})
console.log(JSON.stringify(payload))
