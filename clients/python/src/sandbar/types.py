"""What the methods return."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Record = Mapping[str, Any]


@dataclass(frozen=True)
class ExecResult:
    """How a command ended. Bytes that are not UTF-8 are U+FFFD in the texts. `duration` is in seconds."""

    success: bool
    exit_code: int
    stdout: str
    stderr: str
    command: str
    duration: float
    session_id: str | None = None


@dataclass(frozen=True)
class ExecutionError:
    """The exception that ended the code."""

    name: str
    message: str
    traceback: list[str]
    line_number: int | None = None


@dataclass(frozen=True)
class Result:
    """A displayed value in its forms, by short names (`text`, `html`, `png`, `chart`…) and by media type. Binary
    forms are base64."""

    data: Record

    def __getitem__(self, form: str) -> Any:
        return self.data[form]

    def formats(self) -> list[str]:
        """The media types that there are."""
        return [name for name in self.data if "/" in name]


@dataclass(frozen=True)
class OutputEvent:
    """An event of a command, a process or a run of code.

    `stdout` and `stderr` have `data` and `text`, `gap` stands for events that the log does not have any more,
    `result` and `error` are those of code, and `exit` is the last one, with `exit_code`.
    """

    type: Literal["stdout", "stderr", "gap", "result", "error", "exit"]
    data: bytes = b""
    text: str = ""
    exit_code: int | None = None
    timed_out: bool = False
    result: Result | None = None
    error: ExecutionError | None = None
    execution_count: int | None = None


@dataclass
class Execution:
    """A run of code. An exception of the code is `error`."""

    code: str
    success: bool = False
    stdout: str = ""
    stderr: str = ""
    results: list[Result] = field(default_factory=list)
    error: ExecutionError | None = None
    execution_count: int | None = None

    def add(self, event: OutputEvent) -> None:
        if event.type == "stdout":
            self.stdout += event.text
        elif event.type == "stderr":
            self.stderr += event.text
        elif event.result:
            self.results.append(event.result)
        elif event.error:
            self.error = event.error
        elif event.type == "exit":
            self.success, self.execution_count = event.exit_code == 0, event.execution_count


@dataclass(frozen=True)
class Process:
    """A process, as it was when this was made. Times are RFC 3339 in UTC."""

    id: str
    command: str
    status: Literal["running", "completed", "failed", "killed", "error"]
    started_at: str
    ended_at: str | None = None
    pid: int | None = None
    exit_code: int | None = None
    session_id: str | None = None

    @classmethod
    def from_record(cls, record: Record) -> Process:
        argv, end = record["argv"], record.get("exit") or {}
        is_line = len(argv) == 3 and argv[1] == "-c" and re.search(r"(^|/)(ba)?sh$", argv[0])
        code, state = end.get("exit_code"), record["state"]
        was_killed = end.get("signal") or end.get("timed_out")
        ended = "error" if code is None else "killed" if was_killed else "failed" if code else "completed"
        status: Any = "running" if state == "running" else ended
        times = record["startedAt"], record.get("endedAt")
        command = argv[2] if is_line else " ".join(argv)
        return cls(record["id"], command, status, *times, record.get("pid"), code, record.get("sessionId"))


@dataclass(frozen=True)
class ReadFileResult:
    """A file: its bytes, and `content`, which is text, or base64 (`encoding`) if the bytes are not UTF-8."""

    path: str
    data: bytes
    content: str
    encoding: Literal["utf-8", "base64"]

    @classmethod
    def from_bytes(cls, path: str, data: bytes) -> ReadFileResult:
        try:
            return cls(path, data, data.decode(), "utf-8")
        except UnicodeDecodeError:
            return cls(path, data, base64.b64encode(data).decode(), "base64")


@dataclass(frozen=True)
class FileInfo:
    """An entry of a directory. `mode` is like `0644`, `modified_at` RFC 3339 in UTC."""

    name: str
    absolute_path: str
    relative_path: str
    type: Literal["file", "directory", "symlink", "other"]
    size: int
    mode: str
    modified_at: str


@dataclass(frozen=True)
class WatchEvent:
    """A change: `watching` (the watch has begun), `created`, `modified`, `deleted`, `moved` (from `from_path`),
    `attributes`, or `overflow` (events are missing: look at the files)."""

    type: str
    path: str
    is_directory: bool
    from_path: str | None = None


@dataclass(frozen=True)
class GitCheckout:
    """A repository in the workspace."""

    repo_url: str
    commit: str
    target_dir: str
    branch: str | None = None


@dataclass(frozen=True)
class ExposedPort:
    """A port with an address for browsers."""

    port: int
    url: str
    name: str | None = None


@dataclass(frozen=True)
class CodeContext:
    """A kernel, which keeps the variables of its code. Times are RFC 3339 in UTC."""

    id: str
    language: str
    cwd: str
    created_at: str
    last_used: str


@dataclass(frozen=True)
class Backup:
    """A saved directory."""

    id: str
    dir: str
