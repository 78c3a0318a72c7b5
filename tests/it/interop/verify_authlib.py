"""Verifies an access token as a Python service would with Authlib's validator for RFC 9068.

verify_authlib.py ISSUER AUDIENCE TOKEN SCOPE prints the claims, or fails.
"""

import json
import sys
import urllib.request

from authlib.oauth2.rfc9068 import JWTBearerTokenValidator

issuer, audience, token, scope = sys.argv[1:]


def load(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):
        return load(load(f"{issuer}/.well-known/oauth-authorization-server")["jwks_uri"])


validator = Validator(issuer, audience)
claims = validator.authenticate_token(token)
validator.validate_token(claims, [scope], None)
print(json.dumps(claims))
