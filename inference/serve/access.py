"""Who may connect: the token, the name of this host, the page that asks."""

from __future__ import annotations

import hmac
import os
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from inference.serve.faults import Fault
from inference.serve.recipe import ServeRecipe
from soundflow.errors import UserError

TOKEN_VARIABLE = "SOUNDFLOW_TOKEN"
TOKEN_CHARACTERS = 16  # at least
# How a browser, which cannot set headers on a WebSocket, presents the token (as OpenAI's does).
TOKEN_SUBPROTOCOL = "openai-insecure-api-key."
_LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))


def read_token(recipe: ServeRecipe) -> str | None:
    """The token of clients, from the file or the environment, never from the command line.

    Raises:
        UserError: if it is short or cannot be read, or missing where other machines can connect.
    """
    if recipe.token_file is not None:
        where = str(recipe.token_file)
        try:
            token = recipe.token_file.read_text().strip()
        except (OSError, UnicodeError) as error:
            raise UserError(f"{where}: cannot be read ({error})", "check token_file") from error
    else:
        where, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token and recipe.is_local:
            return None
        if not token:
            raise UserError(
                f"host {recipe.host}: other machines could connect without a token",
                f"set {TOKEN_VARIABLE} or token_file, or listen on 127.0.0.1",
            )
    if len(token) < TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{where}: a token has at least {TOKEN_CHARACTERS} printable ASCII characters",
            "make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return token


class Gate:
    """Checks every request; `Fault` is what a refused one is told."""

    def __init__(self, recipe: ServeRecipe, token: str | None) -> None:
        self._token = token
        self._origins = frozenset(origin.rstrip("/") for origin in recipe.origins)
        self._hosts = _LOOPBACK_NAMES | {recipe.host} if recipe.is_local else None

    def check_host(self, request: HTTPConnection) -> None:
        """On loopback, refuses names that only a rebound DNS entry brings here."""
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname
        if self._hosts is not None and host not in self._hosts:
            raise Fault("host_not_allowed", "this name is not served here")

    def check_origin(self, request: HTTPConnection) -> None:
        """A web page may connect from this server, or from an origin of the recipe."""
        origin = request.headers.get("origin")
        if origin is None or origin.rstrip("/") in self._origins:
            return
        if urlsplit(origin).netloc != request.headers.get("host"):
            raise Fault("origin_not_allowed", "pages of this origin may not connect")

    def check_token(self, request: HTTPConnection) -> None:
        if self._token is None:
            return
        presented = _presented(request)
        if presented is None:
            raise Fault("missing_token", "a token is needed", kind="authentication_error")
        if not hmac.compare_digest(presented.encode(), self._token.encode()):
            raise Fault("invalid_token", "the token is wrong", kind="authentication_error")


def _presented(request: HTTPConnection) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    for name in request.scope.get("subprotocols", ()):
        if name.startswith(TOKEN_SUBPROTOCOL):
            return str(name.removeprefix(TOKEN_SUBPROTOCOL))
    return None
