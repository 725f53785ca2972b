"""Commands and processes."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from ._base import COMMAND_PREFIX, Base, Env, OnText, milliseconds, output_event
from ._http import new_id, segment
from .errors import SandboxError, make_error
from .types import ExecResult, OutputEvent, Process, Record

Command = str | Sequence[str]


def _command(command: Command, stdin: str | bytes | None, **body: Any) -> dict[str, Any]:
    what = {"command": command} if isinstance(command, str) else {"argv": list(command)}
    return {**what, "stdin": {"base64": base64.b64encode(stdin).decode()} if isinstance(stdin, bytes) else stdin, **body}


class Commands(Base):
    """Commands and processes."""

    def exec_stream(
        self, command: Command, *, cwd: str | None = None, env: Env = None, timeout: float | None = None,
        stdin: str | bytes | None = None, session_id: str | None = None,
    ) -> AsyncGenerator[OutputEvent, None]:
        """Runs a command: its events as they come. Closing the iterator ends the command."""
        body = _command(command, stdin, cwd=cwd, env=env, timeout_ms=milliseconds(timeout or self.timeout))
        return self._resumable("/exec", body, session_id or self.session)

    async def exec(
        self, command: Command, *, cwd: str | None = None, env: Env = None, timeout: float | None = None,
        stdin: str | bytes | None = None, session_id: str | None = None, on_stdout: OnText = None,
        on_stderr: OnText = None,
    ) -> ExecResult:
        """Runs a command to its end: a line for a shell, or a program with its arguments. `timeout` is in seconds;
        a command that it ends raises `CommandError`, with the output until then in `details`."""
        begin, output, last = time.monotonic(), {"stdout": "", "stderr": ""}, OutputEvent("gap")

        options: Any = {"cwd": cwd, "env": env, "timeout": timeout, "stdin": stdin, "session_id": session_id}
        try:
            async with aclosing(self.exec_stream(command, **options)) as events:
                async for last in events:
                    if last.type == "stdout" or last.type == "stderr":
                        output[last.type] += last.text
                        on_output = on_stdout if last.type == "stdout" else on_stderr
                        if on_output:
                            await self.http.transport.notify(on_output, last.text)
        except SandboxError as error:
            error.details.update(output)
            raise
        code = -1 if last.exit_code is None else last.exit_code
        if last.timed_out:
            raise make_error("command_timeout", "command timeout: it was ended", None, {"exit_code": code, **output})
        line = command if isinstance(command, str) else " ".join(command)
        seconds, session = time.monotonic() - begin, session_id or self.session
        return ExecResult(code == 0, code, output["stdout"], output["stderr"], line, seconds, session)

    async def start_process(
        self, command: Command, *, process_id: str | None = None, cwd: str | None = None, env: Env = None,
        timeout: float | None = None, stdin: str | bytes | None = None, keep_awake: bool = True,
    ) -> Process:
        """Starts a process, which does not depend on its client. The same start with the same id starts it once."""
        body = _command(command, stdin, cwd=cwd, env=env, timeout_ms=milliseconds(timeout), keep_awake=keep_awake)
        body["id"] = process_id or new_id("process-")
        # By its id, nothing runs twice.
        start = self.http.retry_if_lost(lambda: self._ask("POST", "/process", body, session_id=self.session))
        return Process.from_record(await start)

    async def list_processes(self) -> list[Process]:
        """The processes, the newest first, also those that have ended. Commands of `exec` are not among them."""
        records = await self._pages("/process", "processes")
        return [Process.from_record(record) for record in records if not record["id"].startswith(COMMAND_PREFIX)]

    async def get_process(self, process_id: str) -> Process | None:
        """A process; `None` if there is none of this id."""
        try:
            return Process.from_record(await self._ask("GET", f"/process/{segment(process_id)}"))
        except SandboxError as error:
            if error.code != "process_not_found":
                raise
            return None

    async def kill_process(self, process_id: str, signal: str | int = "SIGTERM") -> None:
        """Sends a signal to a process and its children. One that has ended gets none."""
        try:
            await self._ask("POST", f"/process/{segment(process_id)}/signal", {"signal": signal})
        except SandboxError as error:
            if error.code != "process_ended":
                raise

    async def stream_process_logs(self, process_id: str) -> AsyncGenerator[OutputEvent, None]:
        """The output of a process from its beginning, as it comes, up to its end."""
        async with aclosing(self._follow(f"/process/{segment(process_id)}/log", {"follow": True})) as events:
            async for event in events:
                yield output_event(event)

    async def _wait(self, process_id: str, body: Record, timeout: float | None, condition: str) -> Any:
        path = f"/process/{segment(process_id)}/wait"
        begin = time.monotonic()

        async def ask() -> Any:
            left = None if timeout is None else max(0.0, timeout - (time.monotonic() - begin))
            return await self._ask("POST", path, {**body, "timeout_ms": milliseconds(left)})

        # It changes nothing.
        waited = await self.http.retry_if_lost(ask)
        code = (waited.get("exit") or {}).get("exit_code")
        details = {"process_id": process_id, "exit_code": code}
        if waited["state"] == "timed_out":
            text = f"process {process_id} was waited for longer than {timeout} s: for {condition}"
            raise make_error("process_ready_timeout", text, None, details)
        if waited["state"] == "exited" and body["for"] != "exit":
            text = f"process {process_id} ended with exit code {code} before {condition}"
            raise make_error("process_exited_before_ready", text, None, details)
        return waited

    async def wait_for_port(
        self, process_id: str, port: int, *, mode: str = "http", path: str = "/", status: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Waits until a process or one of its children listens, and with the mode `http` until `GET` of the path
        is answered: with `status`, or with any from 200 to 399. `timeout` is in seconds."""
        http = {"path": path, "status": status} if mode == "http" else {}
        await self._wait(process_id, {"for": "port", "port": port, **http}, timeout, f"port {port}")

    async def wait_for_log(self, process_id: str, pattern: str, *, timeout: float | None = None) -> str:
        """Waits for output that matches a regular expression (of Rust's `regex`: no look-around). Output from
        before counts. Returns the text that matched."""
        body = {"for": "log", "pattern": pattern}
        return str((await self._wait(process_id, body, timeout, f"the output {pattern}"))["match"])

    async def wait_for_exit(self, process_id: str, *, timeout: float | None = None) -> int:
        """Waits for the end of a process. Returns its exit code."""
        waited = await self._wait(process_id, {"for": "exit"}, timeout, "its end")
        error = waited.get("error") or {"error": "its end is not known", "code": "exec_error"}
        if not waited.get("exit"):
            raise make_error(error["code"], error["error"])
        return int(waited["exit"]["exit_code"])
