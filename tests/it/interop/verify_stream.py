"""Verifies access tokens as a long-running Python service would: PyJWT's PyJWKClient with its
defaults, knowing only the issuer address.

verify_stream.py ISSUER AUDIENCE says "ready", then reads a token a line, and at the end of its
input prints what became of them as one line of JSON.
"""

import json
import platform
import sys
import urllib.request

import jwt


class CountingClient(jwt.PyJWKClient):
    """Counts what it fetches, and changes nothing."""

    fetches = 0

    def fetch_data(self):
        self.fetches += 1
        return super().fetch_data()


issuer, audience = sys.argv[1:]
with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=10) as answer:
    metadata = json.load(answer)
client = CountingClient(metadata["jwks_uri"])
print("ready", flush=True)

verified, failures, kids = 0, [], set()
for token in map(str.strip, sys.stdin):
    try:
        decoded = jwt.decode_complete(
            token,
            client.get_signing_key_from_jwt(token),
            algorithms=["RS256"],
            issuer=metadata["issuer"],
            audience=audience,
            options={"require": ["exp", "iat", "iss", "sub", "aud"]},
        )
        kids.add(decoded["header"]["kid"])
        verified += 1
    except jwt.PyJWTError as error:
        failures.append(f"{type(error).__name__}: {error}")
print(
    json.dumps(
        {
            "client": f"PyJWT {jwt.__version__} on Python {platform.python_version()}",
            "verified": verified,
            "failed": len(failures),
            "first_failures": failures[:5],
            "kids": sorted(kids),
            "jwks_fetches": client.fetches,
        }
    )
)
