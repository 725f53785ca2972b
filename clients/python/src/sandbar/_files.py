"""Files and directories."""

from __future__ import annotations

import posixpath
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from urllib.parse import quote

from ._base import Base
from .errors import SandboxError, make_error
from .types import FileInfo, ReadFileResult, WatchEvent


def _absolute(path: str) -> str:
    """A path without steps such as `..`, which URL parsers would take out of a route."""
    return "/" + posixpath.normpath(posixpath.join("/workspace", path)).lstrip("/")


def _route(kind: str, path: str) -> str:
    return f"/{kind}{quote(_absolute(path))}"


class Files(Base):
    """Files and directories."""

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
