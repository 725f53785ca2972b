"""The operations of a sandbox: requests, and what becomes of their answers."""

from __future__ import annotations

import base64
import json
import posixpath
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import quote

from ._http import LINGER, Http, Request, ServerEvent, new_id, segment
from .errors import SandboxError, make_error
from .types import Backup, CodeContext, ExecResult, Execution, ExecutionError, ExposedPort, FileInfo, GitCheckout
from .types import OutputEvent, Process, ReadFileResult, Record, Result, WatchEvent

Command = str | Sequence[str]
Env = Mapping[str, str] | None
OnText = Callable[[str], Any] | None

COMMAND_PREFIX = "exec-"
"""The ids of commands, which `list_processes` leaves out, begin with this."""


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1000))


def _given(body: Record) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _command(command: Command, stdin: str | bytes | None, **body: Any) -> dict[str, Any]:
    what = {"command": command} if isinstance(command, str) else {"argv": list(command)}
    return {**what, "stdin": {"base64": base64.b64encode(stdin).decode()} if isinstance(stdin, bytes) else stdin, **body}


def _absolute(path: str) -> str:
    """A path without steps such as `..`, which URL parsers would take out of a route."""
    return "/" + posixpath.normpath(posixpath.join("/workspace", path)).lstrip("/")


def _route(kind: str, path: str) -> str:
    return f"/{kind}{quote(_absolute(path))}"


def _context(record: Record) -> CodeContext:
    return CodeContext(*(record[name] for name in ("id", "language", "cwd", "createdAt", "lastUsedAt")))


def _output(event: ServerEvent) -> OutputEvent:
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


class Operations:
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
        data = json.dumps(_given(body)).encode() if isinstance(body, dict) else body
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
        data = json.dumps({**_given(body), "id": process, "linger_ms": LINGER * 1000}).encode()
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
                    yield _output(event)
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
                    await self.http.transport.send(Request("DELETE", record, {"grace_ms": 0}))

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

    def exec_stream(
        self, command: Command, *, cwd: str | None = None, env: Env = None, timeout: float | None = None,
        stdin: str | bytes | None = None, session_id: str | None = None,
    ) -> AsyncGenerator[OutputEvent, None]:
        """Runs a command: its events as they come. Closing the iterator ends the command."""
        body = _command(command, stdin, cwd=cwd, env=env, timeout_ms=_ms(timeout or self.timeout))
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
        body = _command(command, stdin, cwd=cwd, env=env, timeout_ms=_ms(timeout), keep_awake=keep_awake)
        body["id"] = process_id or new_id("process-")
        # By its id, nothing runs twice.
        start = self.http.insist(lambda: self._ask("POST", "/process", body, session_id=self.session))
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
                yield _output(event)

    async def _wait(self, process_id: str, body: Record, timeout: float | None, condition: str) -> Any:
        path = f"/process/{segment(process_id)}/wait"
        # It changes nothing.
        waited = await self.http.insist(lambda: self._ask("POST", path, {**body, "timeout_ms": _ms(timeout)}))
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

    async def write_file(self, path: str, content: str | bytes) -> None:
        """Writes a file, and creates the directories above it. Paths are absolute, or relative to /workspace."""
        data = content.encode() if isinstance(content, str) else content
        await self._ask("PUT", _route("file", path), data, content_type="application/octet-stream")

    async def read_file(self, path: str) -> ReadFileResult:
        """Reads a file."""
        data = await self.http.get(await self._path(_route("file", path)))
        return ReadFileResult.from_bytes(_absolute(path), data)

    async def list_files(self, path: str, *, recursive: bool = False, include_hidden: bool = False) -> list[FileInfo]:
        """The entries of a directory, by their paths."""
        query = {"depth": 4096 if recursive else 1, "hidden": include_hidden}
        entries = await self._pages(_route("directory", path), "entries", query)
        relative = [posixpath.relpath(entry["path"], _absolute(path)) for entry in entries]
        names = ("type", "size", "mode", "modifiedAt")
        rows = zip(entries, relative, strict=True)
        return [FileInfo(e["name"], e["path"], below, *(e[name] for name in names)) for e, below in rows]

    async def mkdir(self, path: str, *, recursive: bool = False) -> None:
        """Creates a directory. Without `recursive`, its parent must exist, and it must not."""
        if not recursive:
            await self._ask("GET", _route("stat", f"{path}/.."), query={"follow": True})
        created = (await self._ask("PUT", _route("directory", path)))["created"]
        if not created and not recursive:
            raise make_error("file_exists", f"{_absolute(path)} exists")

    async def delete_file(self, path: str) -> None:
        """Deletes a file."""
        await self._ask("DELETE", _route("file", path))

    async def move_file(self, source: str, destination: str) -> None:
        """Moves a file or a directory. What is at the destination is replaced."""
        await self._ask("POST", "/move", {"from": _absolute(source), "to": _absolute(destination)})

    async def rename_file(self, old_path: str, new_path: str) -> None:
        """The same as `move_file`."""
        await self.move_file(old_path, new_path)

    async def exists(self, path: str) -> bool:
        """Whether a path leads to something."""
        try:
            await self._ask("GET", _route("stat", path), query={"follow": True})
        except SandboxError as error:
            if error.code != "file_not_found":
                raise
            return False
        return True

    async def watch(
        self, path: str, *, recursive: bool = True, include: Sequence[str] = (),
        exclude: Sequence[str] = (".git", "node_modules", ".DS_Store"),
    ) -> AsyncGenerator[WatchEvent, None]:
        """The changes below a path, as they come; `include` and `exclude` are globs. Closing the iterator ends it."""
        query = {"recursive": recursive, "include": ",".join(include) or None, "exclude": ",".join(exclude) or None}
        async with aclosing(self._follow(_route("watch", path), query)) as events:
            async for event in events:
                data = event.json()
                fields = data.get("path", ""), data.get("isDirectory", False), data.get("from")
                yield WatchEvent(event.event, *fields)

    async def git_checkout(
        self, repo_url: str, *, ref: str | None = None, branch: str | None = None, target_dir: str | None = None,
        depth: int | None = None, token: str | None = None, timeout: float | None = None,
    ) -> GitCheckout:
        """Checks out a repository. `ref` is a branch, a tag or a commit; `token` is for this checkout alone."""
        body = {"repoUrl": repo_url, "ref": ref, "branch": branch, "targetDir": target_dir, "depth": depth}
        auth = None if token is None else {"token": token}
        answer = await self._ask("POST", "/git/checkout", {**body, "auth": auth, "timeout_ms": _ms(timeout)})
        return GitCheckout(answer["repoUrl"], answer["commit"], answer["targetDir"], answer.get("branch"))

    async def expose_port(self, port: int, *, name: str | None = None, token: str | None = None) -> ExposedPort:
        """Gives a port an address for browsers."""
        answer = await self._ask("PUT", f"/port/{port}", {"name": name, "token": token})
        return ExposedPort(port, answer["url"], answer.get("name"))

    async def unexpose_port(self, port: int) -> None:
        """Ends the address of a port."""
        await self._ask("DELETE", f"/port/{port}")

    async def get_exposed_ports(self) -> list[ExposedPort]:
        """The ports that have an address."""
        ports = (await self._ask("GET", "/port"))["ports"]
        return [ExposedPort(port["port"], port["url"], port.get("name")) for port in ports if port.get("url")]

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
        body = {"code": code, **where, "cwd": cwd, "env": env, "timeout_ms": _ms(timeout)}
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

    async def set_env_vars(self, variables: Mapping[str, str | None]) -> None:
        """Sets variables of later commands; `None` removes one. Of a session: of its commands alone."""
        if self.session in (None, "default"):
            await self._ask("PATCH", "", json.dumps({"env": dict(variables)}).encode())
        if self.session:
            given = [f"{name}={value}" for name, value in variables.items() if value is not None]
            removed = [name for name, value in variables.items() if value is None]
            for builtin, words in (("export", given), ("unset", removed)):
                if words:
                    await self.exec([builtin, *words])

    async def set_keep_alive(self, keep_alive: bool) -> None:
        """Whether the sandbox stays awake though it is idle."""
        await self._ask("PATCH", "", {"keepAlive": keep_alive})

    async def create_session(self, id: str | None, cwd: str | None, env: Env, timeout: float | None) -> Operations:
        id = id or new_id("session-")
        await self._ask("POST", "/session", {"id": id, "cwd": cwd, "env": env})
        return await self.get_session(id, timeout)

    async def get_session(self, id: str, timeout: float | None = None) -> Operations:
        named = {"id": await self.sandbox_id()}
        return Operations(self.http, named, {}, id, timeout)

    async def mount_bucket(self, bucket: str, mount_path: str, options: Record | None = None) -> None:
        """Mounts a bucket. Without `endpoint` and `credentials` in `options`, `bucket` is the name of a binding."""
        is_remote = bool(options and (options.get("endpoint") or options.get("credentials")))
        named = {"bucket" if is_remote else "binding": bucket}
        await self._ask("POST", "/mount", {**named, "mountPath": mount_path, "options": options})

    async def create_backup(
        self, dir: str = "/workspace", *, name: str | None = None, ttl: int | None = None, excludes: Sequence[str] = ()
    ) -> Backup:
        """Saves a directory. `ttl` is in seconds."""
        body = {"dir": dir, "name": name, "ttl": None if ttl is None else f"{ttl}s", "excludes": list(excludes)}
        answer = await self._ask("POST", "/snapshot", body)
        return Backup(answer["id"], answer["dir"])

    async def restore_backup(self, backup: Backup) -> None:
        """Restores a saved directory: the whole of it, or nothing."""
        await self._ask("POST", "/restore", {"snapshot": backup.id})

    async def destroy(self) -> None:
        """Ends the sandbox and deletes its files. Another use of this object begins with a new, empty one."""
        await self._ask("DELETE", "")
        self.id = None if "name" in self.named or self.settings else self.id
