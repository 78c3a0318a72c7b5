"""Django REST framework's side of Signet: who calls, and what they may. Copy it, with
access_tokens.py and revocations.py beside it.

Needs ISSUER, AUDIENCE and MAX_STALENESS in the settings.
"""

from functools import cache
from threading import Lock

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import IsAuthenticated

from access_tokens import NO_TOKEN, UNAVAILABLE, AccessTokens, Refused, require_role, require_scope

making = Lock()


@cache
def make_tokens():
    return AccessTokens(settings.ISSUER, settings.AUDIENCE, settings.MAX_STALENESS)


def tokens():
    # At the first request and not at the import: a server that forks would leave the thread that
    # listens for revocations behind.
    with making:
        try:
            return make_tokens()
        except OSError:
            raise Refused(*UNAVAILABLE)


class Refusal(APIException):
    """The answer of Refused, as an exception of REST framework."""

    def __init__(self, refused):
        super().__init__(refused.detail)
        self.status_code = refused.status
        self.auth_header = refused.headers.get("WWW-Authenticate")
        self.wait = refused.headers.get("Retry-After") and int(refused.headers["Retry-After"])


class Caller:
    """Whom the token speaks for: a user, or a client of its own. No row of a table is needed."""

    is_authenticated = True

    def __init__(self, claims):
        self.pk = claims["sub"]
        self.claims = claims


class SignetAuthentication(BaseAuthentication):
    def authenticate(self, request):
        authorization = request.headers.get("Authorization", "")
        if not authorization.lower().startswith("bearer "):
            return None
        try:
            claims = tokens().check(authorization)
        except Refused as refused:
            raise Refusal(refused)
        return Caller(claims), claims

    def authenticate_header(self, request):
        return NO_TOKEN[2]["WWW-Authenticate"]


def permission(require, word):
    class Permission(IsAuthenticated):
        def has_permission(self, request, view):
            if not super().has_permission(request, view):
                return False
            try:
                require(request.auth, word)
            except Refused as refused:
                raise Refusal(refused)
            return True

    return Permission


def has_scope(word):
    return permission(require_scope, word)


def has_role(role):
    return permission(require_role, role)
