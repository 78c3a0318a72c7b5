// Verifies Signet's access tokens (RFC 9068) where they are received. Copy it, with revocations.mjs
// beside it; `npm install jose`.
//
//   const tokens = await AccessTokens.of('https://id.example.com', 'https://orders.example.com')
//   const claims = await tokens.check(request.headers.authorization)
//   requireScope(claims, 'orders:read')
//
// What is not served throws Refused, which says how to answer.

import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { Revocations } from './revocations.mjs'

// The issuer's keys.algorithm. Never taken from the token.
const ALGORITHM = 'RS256'
// Seconds that clocks may differ. Not more than 60: Signet forgets a revocation 60 seconds after the
// token has expired.
const LEEWAY = 60
const LONGEST_TOKEN = 16 * 1024

// Why a request is not served: the status, a sentence, the headers (RFC 6750 section 3).
export class Refused extends Error {
  constructor(status, detail, headers) {
    super(detail)
    Object.assign(this, { status, headers })
  }
}

const challenge = (...details) => ({
  'WWW-Authenticate': ['Bearer realm="orders"', ...details].join(', '),
})
// Without credentials there is no error to speak of, so there is none in the challenge.
const noToken = () => new Refused(401, 'a token is needed', challenge())
const invalidToken = () =>
  new Refused(401, 'the token is not valid', challenge('error="invalid_token"'))
// Nothing is wrong with the token: at a 401 the client would discard it.
const unavailable = () =>
  new Refused(503, 'tokens cannot be verified now', { 'Retry-After': '1' })

// Knows the issuer's keys and what is revoked. Make one for the process.
export class AccessTokens {
  static async of(issuer, audience, maxStaleness = 10) {
    const uri = `${issuer}/.well-known/oauth-authorization-server`
    const answer = await fetch(uri, { signal: AbortSignal.timeout(10_000) })
    const metadata = await answer.json()
    if (metadata.issuer !== issuer) throw new Error(`${uri} is about ${metadata.issuer}`)
    const tokens = new AccessTokens(issuer, audience, maxStaleness, metadata)
    await tokens.revocations.start()
    return tokens
  }

  constructor(issuer, audience, maxStaleness, metadata) {
    Object.assign(this, { issuer, audience, maxStaleness })
    // Caches the keys, and asks for an unknown one at most twice a minute.
    const keys = createRemoteJWKSet(new URL(metadata.jwks_uri))
    this.keys = async (header, jws) => {
      // Without one, jose would look for a key that happens to be the only one.
      if (typeof header.kid !== 'string' || !header.kid) throw new errors.JWTInvalid('no kid')
      try {
        return await keys(header, jws)
      } catch (error) {
        if (error instanceof errors.JWKSNoMatchingKey) throw error
        // The keys could not be had.
        throw unavailable()
      }
    }
    // The feed has an issuer and audience of its own. The previous version names the issuer,
    // which is accepted until the next release.
    const feed = `${issuer}/revocations`
    const claims = async (jws, typ) => {
      const { payload } = await this.#verify(jws, typ, { issuer: [feed, issuer] })
      if (payload.iss === feed && ![payload.aud].flat().includes(feed)) {
        throw new errors.JWTClaimValidationFailed('not for followers of the feed', payload, 'aud')
      }
      return payload
    }
    this.revocations = new Revocations(issuer, metadata, claims, maxStaleness)
  }

  // The claims of the token in an Authorization header.
  async check(authorization) {
    const [, token] = /^bearer +(.*)$/i.exec(authorization ?? '') ?? []
    if (token === undefined) throw noToken()
    if (token.length > LONGEST_TOKEN) throw invalidToken()
    let verified
    try {
      verified = await this.#verify(token, 'at+jwt', {
        audience: this.audience,
        requiredClaims: ['exp', 'iat', 'sub', 'jti', 'client_id'],
      })
    } catch (error) {
      throw error instanceof Refused ? error : invalidToken()
    }
    const { payload, protectedHeader } = verified
    if (this.revocations.covers(payload, protectedHeader.kid)) throw invalidToken()
    if (!(this.revocations.age() <= this.maxStaleness)) throw unavailable()
    return payload
  }

  async #verify(jws, typ, rules) {
    // Signet signs other things than access tokens, with the same keys: `typ` differs.
    const pinned = { issuer: this.issuer, algorithms: [ALGORITHM], clockTolerance: LEEWAY, typ }
    return jwtVerify(jws, this.keys, { ...pinned, ...rules })
  }
}

export function requireScope(claims, word) {
  if ((claims.scope ?? '').split(' ').includes(word)) return
  const details = ['error="insufficient_scope"', `scope="${word}"`]
  throw new Refused(403, `the token lacks the scope ${word}`, challenge(...details))
}

export function requireRole(claims, role) {
  // No other token would help, so there is no challenge.
  if (!claims.roles?.includes(role)) throw new Refused(403, `only for the role ${role}`, {})
}
