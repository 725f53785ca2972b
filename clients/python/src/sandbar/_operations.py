"""All operations of a sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ._base import Env, milliseconds
from ._code import Code
from ._commands import Commands
from ._files import Files
from ._http import new_id
from .errors import make_error
from .types import Backup, ExposedPort, GitCheckout, Record


class Operations(Commands, Files, Code):
    """All operations of a sandbox."""

    async def git_checkout(
        self, repo_url: str, *, ref: str | None = None, branch: str | None = None, target_dir: str | None = None,
        depth: int | None = None, token: str | None = None, timeout: float | None = None,
    ) -> GitCheckout:
        """Checks out a repository. `ref` is a branch, a tag or a commit; `token` is for this checkout alone."""
        body = {"repoUrl": repo_url, "ref": ref, "branch": branch, "targetDir": target_dir, "depth": depth}
        auth = None if token is None else {"token": token}
        answer = await self._ask("POST", "/git/checkout", {**body, "auth": auth, "timeout_ms": milliseconds(timeout)})
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

    async def set_env_vars(self, variables: Mapping[str, str | None]) -> None:
        """Sets variables of later commands; `None` removes one. Of a session: of its commands alone."""
        if self.session in (None, "default"):
            await self._ask("PATCH", "", json.dumps({"env": dict(variables)}).encode())
        if self.session:
            given = [f"{name}={value}" for name, value in variables.items() if value is not None]
            removed = [name for name, value in variables.items() if value is None]
            for builtin, arguments in (("export", given), ("unset", removed)):
                if arguments:
                    done = await self.exec([builtin, *arguments])
                    if not done.success:
                        raise make_error("session_error", done.stderr)

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
