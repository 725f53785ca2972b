"""The transport: httpx, with `await` for an `AsyncClient` and without for a `Client`."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import httpx

from ._http import Request
from .errors import SandboxError, make_error

IDLE_TIMEOUT = 30
"""The bridge sends a byte every 5 s, so a body that is silent for this many seconds is dead."""

START_TIMEOUT = 150
"""For the head of a response, in seconds: before it, the bridge may start a sandbox, and restore its files."""

POOL_TIMEOUT = 300
"""For a free connection, in seconds."""

FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)

Client = httpx.Client | httpx.AsyncClient


async def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """The outcome of a call, which may have to be awaited. A function that blocks suspends nothing."""
    outcome = function(*arguments)
    return await outcome if inspect.isawaitable(outcome) else outcome


class Transport:
    """The connections to a bridge. Nothing that is printed of it has the key."""

    def __init__(self, url: str, key: str | None, client: Client) -> None:
        # httpx would quote it.
        if key and not all("!" <= c <= "~" for c in key):
            raise make_error("invalid_request", "the key has a wrong character")
        self.client, self._url, self._key = client, url.rstrip("/"), key
        self.is_async = isinstance(client, httpx.AsyncClient)

    async def send(self, request: Request) -> Response:
        """Sends a request once. Raises `ConnectionLostError`."""
        headers = {name: value for name, value in request.headers.items() if value}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        at = self._url + request.target()
        # A stream is resumed from a sandbox that runs.
        head = IDLE_TIMEOUT if request.headers.get("last-event-id") else START_TIMEOUT
        timeout = httpx.Timeout(IDLE_TIMEOUT, read=head, pool=POOL_TIMEOUT)
        try:
            sent = self.client.build_request(
                request.method, at, headers=headers, content=request.body, timeout=timeout
            )
            response = await _call(partial(self.client.send, stream=True), sent)
            # The connection reads this before it reads the body.
            sent.extensions["timeout"]["read"] = IDLE_TIMEOUT
            return Response(self, response)
        except FAILURES as error:
            raise self.lost(error) from None

    def lost(self, error: Exception) -> SandboxError:
        """The error of a request without a whole response."""
        text = str(error) or type(error).__name__
        text = text.replace(self._key, "…") if self._key else text
        # Nothing was sent.
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)):
            return make_error("unreachable", text)
        return make_error("connection_lost", f"the connection was lost: {text}")

    async def sleep(self, seconds: float) -> None:
        await _call(asyncio.sleep if self.is_async else time.sleep, seconds)

    async def notify(self, function: Callable[[Any], Any], value: Any) -> None:
        await _call(function, value)

    async def close(self) -> None:
        await _call(self.client.aclose if isinstance(self.client, httpx.AsyncClient) else self.client.close)


class Response:
    """A response whose body has not been read."""

    def __init__(self, transport: Transport, response: httpx.Response) -> None:
        self._transport, self._response = transport, response
        self._chunks: Any = response.aiter_bytes() if transport.is_async else response.iter_bytes()
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        """The whole body. Raises `ConnectionLostError`."""
        try:
            body: bytes = await _call(self._response.aread if self._transport.is_async else self._response.read)
            return body
        except FAILURES as error:
            raise self._transport.lost(error) from None
        finally:
            await self.close()

    async def chunk(self) -> bytes | None:
        """The next bytes of the body; `None` at its end, also when the connection breaks."""
        try:
            chunk: bytes | None = await _call(anext if self._transport.is_async else next, self._chunks, None)
            return chunk
        except FAILURES:
            return None

    async def close(self) -> None:
        await _call(self._response.aclose if self._transport.is_async else self._response.close)
