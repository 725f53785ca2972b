"""Code in contexts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from ._base import Base, Env, OnText, milliseconds
from ._http import segment
from .types import CodeContext, Execution, ExecutionError, OutputEvent, Record, Result


def _context(record: Record) -> CodeContext:
    return CodeContext(*(record[name] for name in ("id", "language", "cwd", "createdAt", "lastUsedAt")))


class Code(Base):
    """Code in contexts."""

    async def create_code_context(
        self, *, language: str = "python", cwd: str | None = None, env: Env = None
    ) -> CodeContext:
        """Creates a context, whose code shares its variables."""
        return _context(await self._ask("POST", "/context", {"language": language, "cwd": cwd, "env": env}))

    async def list_code_contexts(self) -> list[CodeContext]:
        """The contexts, the oldest first."""
        return [_context(record) for record in (await self._ask("GET", "/context"))["contexts"]]

    async def delete_code_context(self, context_id: str) -> None:
        """Ends the kernel of a context."""
        await self._ask("DELETE", f"/context/{segment(context_id)}")

    def run_code_stream(
        self, code: str, *, context: CodeContext | str | None = None, language: str | None = None,
        cwd: str | None = None, env: Env = None, timeout: float | None = None,
    ) -> AsyncGenerator[OutputEvent, None]:
        """Runs code: its events as they come. Closing the iterator interrupts the code. `timeout` is in seconds."""
        context_id = context.id if isinstance(context, CodeContext) else context
        where = {"context": context_id} if context_id else {"language": language}
        body = {"code": code, **where, "cwd": cwd, "env": env, "timeout_ms": milliseconds(timeout)}
        return self._resumable("/run-code", body, None)

    async def run_code(
        self, code: str, *, context: CodeContext | str | None = None, language: str | None = None,
        cwd: str | None = None, env: Env = None, timeout: float | None = None, on_stdout: OnText = None,
        on_stderr: OnText = None, on_result: Callable[[Result], Any] | None = None,
        on_error: Callable[[ExecutionError], Any] | None = None,
    ) -> Execution:
        """Runs code to its end. An exception of the code is `error` of the result."""
        run = Execution(code)

        calls: Any = {"stdout": on_stdout, "stderr": on_stderr, "result": on_result, "error": on_error}
        options: Any = {"context": context, "language": language, "cwd": cwd, "env": env, "timeout": timeout}
        async with aclosing(self.run_code_stream(code, **options)) as events:
            async for event in events:
                run.add(event)
                if calls.get(event.type):
                    value = event.result or event.error or event.text
                    await self.http.transport.notify(calls[event.type], value)
        return run
