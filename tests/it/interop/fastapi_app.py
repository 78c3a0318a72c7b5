"""A FastAPI service whose users log in at Signet: the tutorials' code, with Signet's addresses.

fastapi_app.py ISSUER PORT serves it on the loopback interface.
"""

import json
import sys
import urllib.error
import urllib.request
from typing import Annotated

import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.security import OAuth2PasswordBearer

issuer, port = sys.argv[1], int(sys.argv[2])
with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=10) as answer:
    metadata = json.load(answer)
keys = jwt.PyJWKClient(metadata["jwks_uri"])

app = FastAPI()
bearer = OAuth2PasswordBearer(tokenUrl=f"{issuer}/login")


unauthorized = HTTPException(
    status_code=status.HTTP_401_UNAUTHORIZED,
    detail="Could not validate credentials",
    headers={"WWW-Authenticate": "Bearer"},
)


# Not async, all of them: PyJWKClient and urllib block while they fetch.
def current_user(token: Annotated[str, Depends(bearer)]) -> dict:
    """The claims of a token that is good by itself."""
    try:
        key = keys.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, algorithms=["RS256"], issuer=issuer, audience=issuer)
    except jwt.PyJWTError:
        raise unauthorized


def active_user(token: Annotated[str, Depends(bearer)]) -> dict:
    """The user as Signet knows them now, where the tutorials look into their own table."""
    request = urllib.request.Request(
        metadata["issuer"] + "/users/me", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise unauthorized
        raise


class RoleChecker:
    """Lets in who has one of these roles."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = set(allowed)

    def __call__(self, user: Annotated[dict, Depends(current_user)]) -> dict:
        if not self.allowed & set(user.get("roles", [])):
            raise HTTPException(
                status_code=status.HTTP_403_FORBIDDEN, detail="Operation not permitted"
            )
        return user


@app.get("/whoami")
def whoami(user: Annotated[dict, Depends(current_user)]) -> dict:
    return {"sub": user["sub"], "scope": user["scope"]}


@app.get("/account")
def account(user: Annotated[dict, Depends(active_user)]) -> dict:
    return {"email": user["email"]}


@app.get("/articles")
def articles(user: Annotated[dict, Depends(RoleChecker("editor", "admin"))]) -> dict:
    return {"for": user["roles"]}


@app.get("/settings")
def settings(user: Annotated[dict, Depends(RoleChecker("admin"))]) -> dict:
    return {"for": user["roles"]}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
