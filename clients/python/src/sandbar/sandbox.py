"""`Sandbox` and `AsyncSandbox`: the operations, each as a method of both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import httpx

from ._base import Env
from ._http import Http
from ._operations import Operations
from ._transport import Client, Transport
from .errors import make_error

P = ParamSpec("P")
T = TypeVar("T")


class Method(Generic[P, T]):
    """An operation with a result."""

    def __init__(self, op: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]]) -> None:
        self._op, self.__doc__ = op, op.__doc__

    @overload
    def __get__(self, owner: Sandbox, kind: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, owner: AsyncSandbox, kind: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return _bind(self._op, owner, _finish)


class Stream(Generic[P, T]):
    """An operation with items."""

    def __init__(self, op: Callable[Concatenate[Operations, P], AsyncGenerator[T, None]]) -> None:
        self._op, self.__doc__ = op, op.__doc__

    @overload
    def __get__(self, owner: Sandbox, kind: Any = None) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(self, owner: AsyncSandbox, kind: Any = None) -> Callable[P, AsyncGenerator[T, None]]: ...
    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return _bind(self._op, owner, _iterate)


def _bind(op: Callable[..., Any], owner: Any, run: Callable[[Any], Any]) -> Any:
    def method(*args: Any, **kwargs: Any) -> Any:
        carried_out = op(owner._operations, *args, **kwargs)
        return run(carried_out) if isinstance(owner, Sandbox) else carried_out

    method.__doc__ = op.__doc__
    return method if owner else op


def _finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a coroutine of Sandbox was suspended")


def _iterate(items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    try:
        while True:
            try:
                yield _finish(items.__anext__())
            except StopAsyncIteration:
                return
    finally:
        _finish(items.aclose())


class Methods:
    sandbox_id = Method(Operations.sandbox_id)
    exec = Method(Operations.exec)
    exec_stream = Stream(Operations.exec_stream)
    start_process = Method(Operations.start_process)
    list_processes = Method(Operations.list_processes)
    get_process = Method(Operations.get_process)
    kill_process = Method(Operations.kill_process)
    stream_process_logs = Stream(Operations.stream_process_logs)
    wait_for_port = Method(Operations.wait_for_port)
    wait_for_log = Method(Operations.wait_for_log)
    wait_for_exit = Method(Operations.wait_for_exit)
    write_file = Method(Operations.write_file)
    read_file = Method(Operations.read_file)
    list_files = Method(Operations.list_files)
    mkdir = Method(Operations.mkdir)
    delete_file = Method(Operations.delete_file)
    rename_file = Method(Operations.rename_file)
    move_file = Method(Operations.move_file)
    exists = Method(Operations.exists)
    watch = Stream(Operations.watch)
    git_checkout = Method(Operations.git_checkout)
    expose_port = Method(Operations.expose_port)
    unexpose_port = Method(Operations.unexpose_port)
    get_exposed_ports = Method(Operations.get_exposed_ports)
    create_code_context = Method(Operations.create_code_context)
    list_code_contexts = Method(Operations.list_code_contexts)
    delete_code_context = Method(Operations.delete_code_context)
    run_code = Method(Operations.run_code)
    run_code_stream = Stream(Operations.run_code_stream)
    set_env_vars = Method(Operations.set_env_vars)
    set_keep_alive = Method(Operations.set_keep_alive)
    mount_bucket = Method(Operations.mount_bucket)
    create_backup = Method(Operations.create_backup)
    restore_backup = Method(Operations.restore_backup)
    destroy = Method(Operations.destroy)


class Sandbox(Methods):
    """A sandbox, or a session in it: `get_sandbox` makes it."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def create_session(
        self, id: str | None = None, *, cwd: str | None = None, env: Env = None, timeout: float | None = None
    ) -> Sandbox:
        """Creates a session: commands that share a directory and variables. `timeout`, in seconds, is that of its
        commands that have none of their own."""
        return Sandbox(_finish(self._operations.create_session(id, cwd, env, timeout)))

    def get_session(self, id: str) -> Sandbox:
        """A session by its id. Its first command creates it if it is not there."""
        return Sandbox(_finish(self._operations.get_session(id)))

    def close(self) -> None:
        """Closes the connections. The sandbox stays."""
        _finish(self._operations.http.transport.close())

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncSandbox(Methods):
    """The same with `await`: `get_async_sandbox` makes it."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def create_session(
        self, id: str | None = None, *, cwd: str | None = None, env: Env = None, timeout: float | None = None
    ) -> AsyncSandbox:
        """Creates a session, see `Sandbox.create_session`."""
        return AsyncSandbox(await self._operations.create_session(id, cwd, env, timeout))

    async def get_session(self, id: str) -> AsyncSandbox:
        """A session by its id. Its first command creates it if it is not there."""
        return AsyncSandbox(await self._operations.get_session(id))

    async def close(self) -> None:
        """Closes the connections. The sandbox stays."""
        await self._operations.http.transport.close()

    async def __aenter__(self) -> AsyncSandbox:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _operations(
    url: str, key: str | None, client: Client, name: str | None, id: str | None, settings: Any, shares_session: bool
) -> Operations:
    if (name is None) == (id is None):
        raise make_error("invalid_request", "either name or id must be given")
    named = {"name": name} if id is None else {"id": id}
    return Operations(Http(Transport(url, key, client)), named, settings, "default" if shares_session else None)


def get_sandbox(
    url: str, key: str | None = None, name: str | None = None, *, id: str | None = None,
    default_session: bool = True, client: httpx.Client | None = None, **settings: Any,
) -> Sandbox:
    """The sandbox of a name, or of an id of `POST /v1/sandbox`. Sends nothing: the first method creates a sandbox of
    this name, unless there is one. `settings` are those of `POST /v1/sandbox`, such as `sleepAfter="1h"`. Commands
    without a session of their own share the session `default`, unless `default_session` is false."""
    return Sandbox(_operations(url, key, client or httpx.Client(), name, id, settings, default_session))


def get_async_sandbox(
    url: str, key: str | None = None, name: str | None = None, *, id: str | None = None,
    default_session: bool = True, client: httpx.AsyncClient | None = None, **settings: Any,
) -> AsyncSandbox:
    """The same as `get_sandbox`, with `await`."""
    return AsyncSandbox(_operations(url, key, client or httpx.AsyncClient(), name, id, settings, default_session))
