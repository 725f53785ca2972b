"""Requests, and streams of events that outlive their connections.

Everything here and in `_operations` is written with `await` and does no I/O of its own: the transport does. That of a
`Sandbox` blocks and never suspends, so its coroutines run to their end in one step.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from .errors import ConnectionLostError, SandboxError, error_in, make_error

if TYPE_CHECKING:
    from ._transport import Response, Transport

T = TypeVar("T")

MAX_REPEATS = 6
"""How often a 503 with `Retry-After` is repeated, and what changes nothing when its connection breaks."""

LINGER = 60
"""How long a command continues without its client when the connection breaks, in seconds."""


class Request(NamedTuple):
    method: str
    path: str
    query: Mapping[str, Any] = {}
    headers: Mapping[str, str | None] = {}
    body: bytes | None = None

    def target(self) -> str:
        """Path and query. Absent and false parameters are left out."""
        given = {name: value for name, value in self.query.items() if value is not None and value is not False}
        texts = {name: "true" if value is True else str(value) for name, value in given.items()}
        return self.path + "?" * bool(texts) + "&".join(f"{name}={quote(text, safe='')}" for name, text in texts.items())


def new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


def segment(value: str) -> str:
    """One segment of a path."""
    if value in ("", ".", ".."):
        raise make_error("invalid_request", f"not an id: {value!r}")
    return quote(value, safe="")


class Http:
    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def open(self, request: Request) -> Response:
        """A response below 400, whose body has not been read. Repeats the request after 503 with `Retry-After`
        alone, which says that nothing was started."""
        for repeats in range(MAX_REPEATS + 1):
            response = await self.transport.send(request)
            if response.status < 400:
                return response
            body = await response.read()
            retry_after = response.headers.get("retry-after", "")
            if response.status != 503 or not retry_after.isdigit() or repeats == MAX_REPEATS:
                break
            await self.transport.sleep(min(int(retry_after), 10))
        text = f"{request.method} was answered with {response.status}"
        raise error_in(_parsed(body), response.status) or make_error("unknown", text, response.status)

    async def retry_if_lost(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeats what changes nothing, or is idempotent, while its connection breaks."""
        lost: SandboxError | None = None
        failures = 0
        while True:
            try:
                return await attempt()
            except ConnectionLostError as error:
                # One of the attempts may have been carried out.
                lost = error if lost is None or lost.code == "unreachable" else lost
                if failures == MAX_REPEATS:
                    raise lost from None
            await self.transport.sleep(0.05 * 2**failures)
            failures += 1

    async def get(self, path: str) -> bytes:
        async def attempt() -> bytes:
            return await (await self.open(Request("GET", path))).read()

        return await self.retry_if_lost(attempt)

    async def json(self, request: Request) -> Any:
        """The JSON of an answer; `None` for an empty one. A GET, which changes nothing, is sent again when its
        connection breaks."""

        async def attempt() -> Any:
            response = await self.open(request)
            body = await response.read()
            answer = _parsed(body) if body else {}
            # A long wait begins with status 200 before its outcome is known.
            error = error_in(answer, response.status)
            if error or answer is None:
                raise error or make_error("connection_lost", "the answer broke off")
            return answer

        return await (self.retry_if_lost(attempt) if request.method == "GET" else attempt())

    async def follow(self, request_after: Callable[[str | None], Awaitable[Request]]) -> AsyncGenerator[ServerEvent, None]:
        """The events of a stream, each once, over as many connections as it takes, up to `exit`. `request_after`
        makes the request that opens the stream behind an event. After `LINGER` seconds without a connection it gives
        up. An event `error` is raised."""
        last_id: str | None = None
        # Why the last request broke that may have been carried out.
        lost: SandboxError | None = None
        failures, last_progress = 0, time.monotonic()
        while True:
            try:
                response = await self.open(await request_after(last_id))
                parser, last_progress = EventParser(), time.monotonic()
                try:
                    while (data := await response.chunk()) is not None:
                        for event in parser.feed(data):
                            if event.event == "error":
                                raise error_in(event.json()) or make_error("unknown", event.data)
                            if event.id:
                                last_id = event.id
                            yield event
                            if event.event == "exit":
                                return
                        failures, last_progress = 0, time.monotonic()
                finally:
                    await response.close()
                lost = make_error("connection_lost", "the stream broke off")
            except ConnectionLostError as error:
                # The sandbox and its log may be there, though they cannot be reached now.
                if error.code != "unreachable":
                    lost = error
                elif lost is None:
                    raise
            if time.monotonic() - last_progress > LINGER:
                raise lost
            await self.transport.sleep(min(0.05 * 2**failures, 2.0))
            failures += 1


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


class ServerEvent(NamedTuple):
    """An event of a stream. `id` is empty if it has none."""

    id: str = ""
    event: str = "message"
    data: str = ""

    def json(self) -> Any:
        return json.loads(self.data)


class EventParser:
    """Server-sent events, from bytes in any pieces. An event is whole, or not there."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """The events that these bytes complete."""
        *blocks, self._begun = (self._begun + data).split(b"\n\n")
        for block in blocks:
            pairs = (line.partition(": ") for line in block.decode().split("\n"))
            event = ServerEvent(**{name: value for name, _, value in pairs if name in ServerEvent._fields})
            # The bridge ends so an event that broke off.
            if event.data and event.event != "incomplete":
                yield event
