"""Who may read the pages: this machine alone, or whoever has the token. Every answer forbids external resources."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "augury_token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every answer."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host: the name localhost, or an address such as 127.0.0.2 or ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """Middleware that refuses requests without the token, or (without a token) for another host than this machine.

    The check of the host stops pages of other sites that have their name point to this machine (DNS rebinding). Requests that
    change something must come from the explorer's own pages.
    """

    app: ASGIApp
    token: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse(f"Refused: the request comes from another site ({origin}).", 403)
        if not self.token:
            if is_loopback(_name_in(host)):
                return None
            return PlainTextResponse(
                "Refused: the explorer answers on this machine alone. Open the address that augury explore printed.",
                403,
            )
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        for name, value in query:
            if name == "token" and hmac.compare_digest(value.encode(), self.token.encode()):
                rest = urlencode([pair for pair in query if pair[0] != "token"])
                answer = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
                answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
                return answer
        cookies = SimpleCookie(headers.get("cookie", ""))
        sent = cookies[COOKIE].value if COOKIE in cookies else ""
        if hmac.compare_digest(sent.encode(), self.token.encode()):
            return None
        return PlainTextResponse(
            "Refused: the token is missing or wrong. Open the address that augury explore printed, with ?token=… at its end.",
            401,
        )


def _name_in(host: str) -> str:
    """The name or address in a header `host`, without the port; "" where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # an IPv6 address that is not closed
        return ""
