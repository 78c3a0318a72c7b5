"""Verifies Signet's access tokens (RFC 9068) where they are received. Copy it, with revocations.py
beside it; `pip install "PyJWT[crypto]"`.

    tokens = AccessTokens("https://id.example.com", "https://orders.example.com")
    claims = tokens.check(request.headers.get("Authorization"))
    require_scope(claims, "orders:read")

What is not served raises Refused, which says how to answer.
"""

import json
import logging
import math
import threading
import time
import urllib.request
from http.client import HTTPException

import jwt

from revocations import Revocations

log = logging.getLogger(__name__)

# The issuer's keys.algorithm. Never taken from the token.
ALGORITHM = "RS256"
# Seconds that clocks may differ. Not more than 60: Signet forgets a revocation 60 seconds after the
# token has expired.
LEEWAY = 60
LONGEST_TOKEN = 16 * 1024
# Seconds for which keys are good: Signet's keys.jwks_max_age.
LIFETIME = 600
# Seconds between two fetches: whoever makes up kids is not to make this a nuisance to Signet.
BETWEEN_FETCHES = 30


class Refused(Exception):
    """Why a request is not served: the status, a sentence, the headers (RFC 6750 section 3)."""

    def __init__(self, status, detail, headers):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def challenge(*details):
    return {"WWW-Authenticate": ", ".join(['Bearer realm="orders"', *details])}


# Without credentials there is no error to speak of, so there is none in the challenge.
NO_TOKEN = (401, "a token is needed", challenge())
INVALID_TOKEN = (401, "the token is not valid", challenge('error="invalid_token"'))
# Nothing is wrong with the token: at a 401 the client would discard it.
UNAVAILABLE = (503, "tokens cannot be verified now", {"Retry-After": "1"})


class AccessTokens:
    """Knows the issuer's keys and what is revoked. Make one for the process, after any fork."""

    def __init__(self, issuer, audience, max_staleness=10.0):
        self._issuer, self._audience, self._max_staleness = issuer, audience, max_staleness
        uri = f"{issuer}/.well-known/oauth-authorization-server"
        with urllib.request.urlopen(uri, timeout=10) as answer:
            metadata = json.loads(answer.read(1024 * 1024))
        if metadata["issuer"] != issuer:
            raise ValueError(f"{uri} is about {metadata['issuer']}")
        self._jwks = jwt.PyJWKClient(metadata["jwks_uri"], timeout=5)
        self._keys, self._fetched_at, self._tried_at = {}, -math.inf, -math.inf
        self._fetching = threading.Lock()
        self._revocations = Revocations(issuer, metadata, self._claims, max_staleness)
        self._revocations.start()

    def check(self, authorization):
        """The claims of the token in an Authorization header."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(*NO_TOKEN)
        try:
            kid, claims = self._verify(
                token.strip(),
                "at+jwt",
                audience=self._audience,
                options={"require": ["iss", "aud", "exp", "iat", "sub", "jti", "client_id"]},
            )
        except jwt.PyJWKClientConnectionError:
            raise Refused(*UNAVAILABLE)
        except jwt.PyJWTError:
            raise Refused(*INVALID_TOKEN)
        if self._revocations.covers(claims, kid):
            raise Refused(*INVALID_TOKEN)
        if self._revocations.age() > self._max_staleness:
            raise Refused(*UNAVAILABLE)
        return claims

    def _verify(self, jws, typ, **rules):
        if typ == "at+jwt" and len(jws) > LONGEST_TOKEN:
            raise jwt.DecodeError("too long")
        header = jwt.get_unverified_header(jws)
        # Signet signs other things than access tokens, with the same keys.
        if header.get("typ") != typ or not header.get("kid"):
            raise jwt.InvalidTokenError("not what is expected here")
        key = self._key(header["kid"])
        rules.setdefault("issuer", self._issuer)
        claims = jwt.decode(jws, key, algorithms=[ALGORITHM], leeway=LEEWAY, **rules)
        return header["kid"], claims

    def _key(self, kid):
        # PyJWT's own get_signing_key lets all wait for one that fetches, and counts no fetch that fails.
        # Here one thread fetches, and seldom; the others go on with the keys that there are.
        age = time.monotonic() - self._fetched_at
        between = BETWEEN_FETCHES if age < LIFETIME else 1
        if (kid not in self._keys or age > LIFETIME / 2) and self._fetching.acquire(blocking=False):
            try:
                if time.monotonic() > self._tried_at + between:
                    self._fetch()
            except (jwt.PyJWTError, OSError, ValueError, HTTPException) as error:
                log.warning("no keys: %s", error)
            finally:
                self._fetching.release()
        key = self._keys.get(kid)
        # A fetch that failed or is under way could have brought it.
        unknown = key is None and self._tried_at > self._fetched_at
        if unknown or time.monotonic() > self._fetched_at + LIFETIME:
            raise jwt.PyJWKClientConnectionError("the keys cannot be had")
        if key is None:
            raise jwt.PyJWKClientError("an unknown key")
        return key

    def _fetch(self):
        self._tried_at = time.monotonic()
        keys = self._jwks.get_signing_keys(refresh=True)
        self._keys = {key.key_id: key for key in keys}
        self._fetched_at = time.monotonic()

    def _claims(self, jws, typ):
        """The claims of what is signed for the feed: it has an issuer and audience of its own. The
        previous version names the issuer, which is accepted until the next release."""
        feed = f"{self._issuer}/revocations"
        options = {"require": ["iss", "iat"], "verify_aud": False}
        claims = self._verify(jws, typ, issuer=[feed, self._issuer], options=options)[1]
        if claims["iss"] == feed and claims.get("aud") not in (feed, [feed]):
            raise jwt.InvalidAudienceError("not for followers of the feed")
        return claims


def require_scope(claims, word):
    if word not in claims.get("scope", "").split():
        details = 'error="insufficient_scope"', f'scope="{word}"'
        raise Refused(403, f"the token lacks the scope {word}", challenge(*details))


def require_role(claims, role):
    # No other token would help, so there is no challenge.
    if role not in claims.get("roles", []):
        raise Refused(403, f"only for the role {role}", {})
