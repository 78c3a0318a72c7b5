"""Verifies an access token as a Python service would: PyJWT, knowing only the issuer address.

verify.py ISSUER AUDIENCE TOKEN ALGORITHM prints the claims, or fails.
"""

import json
import sys
import urllib.request

import jwt

issuer, audience, token, algorithm = sys.argv[1:]
with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=10) as answer:
    metadata = json.load(answer)
key = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(token)
claims = jwt.decode(
    token,
    key,
    algorithms=[algorithm],
    issuer=metadata["issuer"],
    audience=audience,
    options={"require": ["exp", "iat", "iss", "sub", "aud"]},
)
print(json.dumps(claims))
