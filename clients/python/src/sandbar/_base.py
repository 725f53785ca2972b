"""The requests that operations consist of, and the rules by which streams are resumed."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from ._http import LINGER, Http, Request, ServerEvent, new_id, segment
from .errors import SandboxError, make_error
from .types import ExecutionError, OutputEvent, Record, Result

Env = Mapping[str, str] | None
OnText = Callable[[str], Any] | None

COMMAND_PREFIX = "exec-"
"""The ids of commands, which `list_processes` leaves out, begin with this."""


def milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1000))


def given(body: Record) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def output_event(event: ServerEvent) -> OutputEvent:
    """An event of a command, a process or a run of code, as clients know it."""
    if event.event in ("stdout", "stderr"):
        data = base64.b64decode(event.data)
        # The bridge divides text between characters.
        return OutputEvent(event.event, data, data.decode(errors="replace"))  # type: ignore[arg-type]
    fields = event.json()
    if event.event == "result":
        return OutputEvent("result", result=Result(fields))
    if event.event == "exception":
        name, message, traceback, line = map(fields.get, ("name", "message", "traceback", "line"))
        return OutputEvent("error", error=ExecutionError(name, message, traceback, line))
    if event.event == "gap":
        return OutputEvent("gap")
    code, count = fields["exit_code"], fields.get("execution_count")
    return OutputEvent("exit", exit_code=code, timed_out="timed_out" in fields, execution_count=count)


class Base:
    """A sandbox, or a session in it. The id of a name is asked for once; this also gives the sandbox its settings."""

    def __init__(
        self, http: Http, named: Record, settings: Record, session: str | None, timeout: float | None = None
    ) -> None:
        self.http, self.named, self.settings, self.session, self.timeout = http, named, settings, session, timeout
        self.id: str | None = None if settings else named.get("id")

    async def sandbox_id(self) -> str:
        """The id of the sandbox, as in URLs."""
        if self.id is None:
            body = json.dumps({**self.named, **self.settings}).encode()
            self.id = str((await self.http.json(Request("POST", "/v1/sandbox", body=body)))["id"])
        return self.id

    async def _path(self, rest: str) -> str:
        return f"/v1/sandbox/{segment(await self.sandbox_id())}{rest}"

    async def _ask(self, method: str, rest: str, body: Any = None, query: Record = {}, **headers: str | None) -> Any:
        """The JSON of a request to a route of the sandbox."""
        data = json.dumps(given(body)).encode() if isinstance(body, dict) else body
        sent = {"accept": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.http.json(Request(method, await self._path(rest), query, sent, data))

    async def _pages(self, rest: str, name: str, query: Record = {}) -> list[Any]:
        items: list[Any] = []
        page: Any = {"cursor": None}
        while "cursor" in page:
            page = await self._ask("GET", rest, query={**query, "limit": 1000, "cursor": page["cursor"]})
            items += page[name]
        return items

    def _follow(self, rest: str, query: Record) -> AsyncGenerator[ServerEvent, None]:
        async def request_after(last_id: str | None) -> Request:
            headers = {"accept": "text/event-stream", "last-event-id": last_id}
            return Request("GET", await self._path(rest), query, headers)

        return self.http.follow(request_after)

    async def _resumable(self, rest: str, body: Record, session: str | None) -> AsyncGenerator[OutputEvent, None]:
        """The events of a request that begins a process under an id of its own, over as many connections as it
        takes. It is sent again only to a process that exists: nothing runs twice. Lost output is an error."""
        process = new_id(COMMAND_PREFIX)
        data = json.dumps({**given(body), "id": process, "linger_ms": LINGER * 1000}).encode()
        path, record = await self._path(rest), await self._path(f"/process/{process}")
        is_sent, has_ended = False, False

        async def request_after(last_id: str | None) -> Request:
            nonlocal is_sent
            if is_sent and last_id is None:
                await self._find_lost(record)
            is_sent = True
            headers = {"accept": "text/event-stream", "session-id": session, "last-event-id": last_id}
            return Request("POST", path, {}, headers, data)

        try:
            async with aclosing(self.http.follow(request_after)) as events:
                async for event in events:
                    if event.event == "gap":
                        raise make_error("output_lost", "output was dropped before it was read", None, event.json())
                    has_ended = event.event == "exit"
                    yield output_event(event)
        except SandboxError as error:
            # A request that the bridge has refused runs nothing.
            has_ended = has_ended or error.status is not None
            if error.code == "process_not_found":
                text = "the sandbox was replaced, and its processes are gone"
                raise make_error("operation_interrupted", text) from error
            raise
        finally:
            if is_sent and not has_ended:
                with suppress(SandboxError):
                    response = await self.http.transport.send(Request("DELETE", record, {"grace_ms": 0}))
                    await response.close()

    async def _find_lost(self, record: str) -> None:
        """Looks for a process when the answer to its start was lost, and the start maybe, too. Starts nothing."""
        for tries in range(4):
            try:
                await self.http.json(Request("GET", record))
                return
            except SandboxError as error:
                if error.code != "process_not_found":
                    raise
            await self.http.transport.sleep(0.25 * 2**tries)
        raise make_error("operation_interrupted", "the connection was lost before the command was seen to run")
