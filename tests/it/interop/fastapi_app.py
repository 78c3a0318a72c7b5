"""A FastAPI service whose users log in at Signet: the tutorial's code, with Signet's addresses.

fastapi_app.py ISSUER PORT serves it on the loopback interface.
"""

import json
import sys
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


# Not async: PyJWKClient blocks while it fetches.
def current_user(token: Annotated[str, Depends(bearer)]) -> dict:
    try:
        key = keys.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, algorithms=["RS256"], issuer=issuer, audience=issuer)
    except jwt.PyJWTError:
        raise HTTPException(
            status_code=status.HTTP_401_UNAUTHORIZED,
            detail="Could not validate credentials",
            headers={"WWW-Authenticate": "Bearer"},
        )


@app.get("/whoami")
def whoami(user: Annotated[dict, Depends(current_user)]) -> dict:
    return {"sub": user["sub"], "scope": user["scope"]}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
