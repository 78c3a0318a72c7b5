"""Orders, a FastAPI service beside Signet.

    ISSUER=https://id.example.com AUDIENCE=https://orders.example.com uvicorn orders:app
"""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer

from access_tokens import AccessTokens, Refused, require_role, require_scope

tokens = AccessTokens(
    os.environ["ISSUER"],
    os.environ["AUDIENCE"],
    float(os.environ.get("MAX_STALENESS", "10")),
)
app = FastAPI(title="Orders")
ORDERS = {1: "two otters", 2: "a tractor"}


@app.exception_handler(Refused)
async def refused(_: Request, refusal: Refused) -> JSONResponse:
    return JSONResponse({"detail": refusal.detail}, refusal.status, refusal.headers)


# HTTPBearer is for the documentation page's Authorize button. Neither dependency is async: fetching
# keys blocks, and FastAPI runs such functions on threads.
def caller(request: Request, _=Depends(HTTPBearer(auto_error=False))) -> dict:
    return tokens.check(request.headers.get("Authorization"))


def reader(claims: Annotated[dict, Depends(caller)]) -> dict:
    require_scope(claims, "orders:read")
    return claims


def manager(claims: Annotated[dict, Depends(caller)]) -> dict:
    require_role(claims, "manager")
    return claims


@app.get("/orders")
def orders(claims: Annotated[dict, Depends(reader)]) -> dict:
    return {"for": claims["sub"], "orders": list(ORDERS.values())}


@app.delete("/orders/{number}", status_code=204, dependencies=[Depends(manager)])
def remove(number: int) -> None:
    ORDERS.pop(number, None)
