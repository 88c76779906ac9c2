"""Keeps other web pages out: a site that a person visits must not reach what listens on this machine's loopback."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

NAMES = ("127.0.0.1", "localhost")


def policy(hosts: tuple[str, ...]) -> str:
    """Returns a Content-Security-Policy by which a browser asks nothing but these hosts for anything."""
    sockets = " ".join(f"ws://{host}" for host in hosts)
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' {sockets}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    )


class Guard:
    """Answers requests that name this server and come from its own page, and no others.

    A foreign name in ``Host`` is a rebound DNS name; a foreign ``Origin`` another site's script.

    Args:
        inner: What is guarded.
        port: Where it listens.
    """

    def __init__(self, inner: Application, port: int) -> None:
        self.app = inner
        self._hosts = tuple(f"{name}:{port}" for name in NAMES)
        self._policy = policy(self._hosts).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif self._is_own(scope):
            await self.app(scope, receive, self._with_policy(send))
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"this page answers its own machine only\n"})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _is_own(self, scope: Scope) -> bool:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin")
        own = tuple(f"http://{host}" for host in self._hosts)
        return headers.get(b"host") in self._hosts and (origin is None or origin in own)

    def _with_policy(self, send: Send) -> Send:
        async def send_on(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                more = [(b"content-security-policy", self._policy), (b"x-content-type-options", b"nosniff")]
                more += [(b"cross-origin-resource-policy", b"same-origin")]
                message = {**message, "headers": [*message["headers"], *more, (b"referrer-policy", b"no-referrer")]}
            await send(message)

        return send_on
