"""Every method on a real bridge."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import KEY, URL

import sandbar
from sandbar import AsyncSandbox, OutputEvent, Sandbox, SandboxError, get_async_sandbox, get_sandbox
from sandbar._http import EventParser, new_id


def test_commands(sandbox: Sandbox) -> None:
    seen: list[tuple[str, str]] = []
    result = sandbox.exec(
        "echo $A; cat; echo err >&2; pwd; exit 3", cwd="/workspace", env={"A": "ü"}, stdin=b"in\n",
        on_stdout=lambda text: seen.append(("out", text)), on_stderr=lambda text: seen.append(("err", text)),
    )
    assert (result.exit_code, result.success, result.stdout, result.stderr) == (3, False, "ü\nin\n/workspace\n", "err\n")
    assert "".join(text for kind, text in seen if kind == "out") == result.stdout
    assert ("err", "err\n") in seen
    assert sandbox.exec(["printf", "%s", "a b", "$HOME"]).stdout == "a b$HOME"
    sandbox.exec("cd /tmp; export LATER=1")
    assert sandbox.exec("pwd; echo $LATER").stdout == "/tmp\n1\n"
    events = list(sandbox.exec_stream("printf 'a\\377'"))
    assert [event.type for event in events] == ["stdout", "exit"]
    assert (events[0].data, events[0].text, events[1].exit_code) == (b"a\xff", "a�", 0)
    with pytest.raises(sandbar.CommandError) as late:
        sandbox.exec("echo before; sleep 60", timeout=0.5)
    assert (late.value.code, late.value.details["stdout"]) == ("command_timeout", "before\n")
    with pytest.raises(sandbar.InvalidRequestError):
        sandbox.exec("true", cwd="/etc")


def test_a_closed_stream_ends_its_command(sandbox: Sandbox) -> None:
    stream = sandbox.exec_stream("echo $$; sleep 600")
    pid = next(stream).text.strip()
    assert sandbox.exec(["test", "-d", f"/proc/{pid}"], session_id="other").success
    stream.close()
    assert sandbox.exec(f"for i in $(seq 100); do [ -d /proc/{pid} ] || exit 0; sleep 0.1; done; exit 1").success


def test_processes(sandbox: Sandbox) -> None:
    server = sandbox.start_process("echo ready; exec python3 -m http.server 18251", process_id="web")
    assert (server.id, server.status, server.command[:10]) == ("web", "running", "echo ready")
    again = sandbox.start_process("echo ready; exec python3 -m http.server 18251", process_id="web")
    assert again.pid == server.pid
    assert sandbox.wait_for_log("web", "rea.y", timeout=30) == "ready"
    sandbox.wait_for_port("web", 18251, timeout=30)
    sandbox.wait_for_port("web", 18251, mode="tcp", timeout=30)
    with pytest.raises(sandbar.ProcessReadyTimeoutError):
        sandbox.wait_for_log("web", "never", timeout=0.2)
    sandbox.exec("true")
    assert [process.id for process in sandbox.list_processes()] == ["web"]
    sandbox.kill_process("web", "SIGINT")
    sandbox.wait_for_exit("web", timeout=30)
    sandbox.kill_process("web")
    with pytest.raises(sandbar.ProcessExitedBeforeReadyError):
        sandbox.wait_for_port("web", 18252)
    ended = sandbox.get_process("web")
    assert ended and ended.ended_at and ended.status in ("killed", "completed", "failed")
    assert sandbox.get_process("none") is None
    logs = list(sandbox.stream_process_logs("web"))
    assert logs[0].text == "ready\n" and logs[-1].type == "exit"


def test_files(sandbox: Sandbox) -> None:
    sandbox.write_file("a b/ü?#%.txt", "text ü")
    assert sandbox.read_file("/workspace/a b/../a b/ü?#%.txt").content == "text ü"
    sandbox.write_file("bytes", b"\xff\0")
    read = sandbox.read_file("bytes")
    assert (read.data, read.encoding, read.content) == (b"\xff\0", "base64", "/wA=")
    sandbox.mkdir("made")
    with pytest.raises(sandbar.FileExistsError):
        sandbox.mkdir("made")
    with pytest.raises(sandbar.FileNotFoundError):
        sandbox.mkdir("x/y")
    sandbox.mkdir("x/y", recursive=True)
    sandbox.write_file(".hidden", "")
    found = {file.relative_path: file.type for file in sandbox.list_files(".", recursive=True)}
    assert found == {"a b": "directory", "a b/ü?#%.txt": "file", "bytes": "file", "made": "directory", "x": "directory", "x/y": "directory"}
    assert ".hidden" in [file.name for file in sandbox.list_files(".", include_hidden=True)]
    sandbox.rename_file("bytes", "renamed")
    sandbox.move_file("renamed", "made/moved")
    assert sandbox.exists("made/moved") and not sandbox.exists("bytes")
    sandbox.delete_file("made/moved")
    with pytest.raises(sandbar.FileNotFoundError) as missing:
        sandbox.read_file("made/moved")
    assert missing.value.status == 404
    with pytest.raises(sandbar.InvalidRequestError):
        sandbox.read_file("../etc/passwd")


def test_watches(sandbox: Sandbox) -> None:
    sandbox.exec("true")
    watch = sandbox.watch("/workspace", include=["*.txt"])
    assert next(watch).type == "watching"
    sandbox.write_file("no.md", "")
    sandbox.write_file("a.txt", "")
    created = next(watch)
    assert (created.type, created.path, created.is_directory) == ("created", "/workspace/a.txt", False)
    watch.close()


def test_code(sandbox: Sandbox) -> None:
    results: list[Any] = []
    run = sandbox.run_code("x = 1\nprint('out')\nx + 1", on_result=results.append)
    assert (run.success, run.stdout, run.results[0]["text"], len(results)) == (True, "out\n", "2", 1)
    assert run.results[0].formats() == ["text/plain"]
    failed = sandbox.run_code("1 / 0")
    assert not failed.success and failed.error and failed.error.name == "ZeroDivisionError"
    context = sandbox.create_code_context(env={"A": "b"})
    assert context.id in [each.id for each in sandbox.list_code_contexts()]
    shown = sandbox.run_code("import os; print(os.environ['A'])", context=context)
    assert shown.stdout == "b\n"
    types = [event.type for event in sandbox.run_code_stream("print(1)\n2", context=context)]
    assert types == ["stdout", "result", "exit"]
    sandbox.delete_code_context(context.id)
    with pytest.raises(sandbar.ContextNotFoundError):
        sandbox.run_code("1", context=context.id)


def test_sessions_variables_and_settings(sandbox: Sandbox) -> None:
    sandbox.set_env_vars({"A": "1", "B": "2"})
    assert sandbox.exec("echo $A$B").stdout == "12\n"
    sandbox.set_env_vars({"B": None})
    assert sandbox.exec("echo $A$B").stdout == "1\n"
    sandbox.mkdir("/workspace/here")
    session = sandbox.create_session("s", cwd="/workspace/here", env={"C": "3"}, timeout=0.5)
    assert session.exec("pwd; echo $A$C").stdout == "/workspace/here\n13\n"
    with pytest.raises(sandbar.CommandError):
        session.exec("sleep 60")
    session.set_env_vars({"D": "4"})
    assert sandbox.get_session("s").exec("echo $D").stdout == "4\n"
    assert sandbox.exec("echo $D").stdout == "\n"
    sandbox.set_keep_alive(True)
    sandbox.set_keep_alive(False)


def test_git(sandbox: Sandbox) -> None:
    sandbox.exec(
        "git init -q -b main /tmp/r && cd /tmp/r && git config user.name a && git config user.email a@b.c && echo hi >f &&"
        " git add f && git commit -q -m one && git update-server-info && cd /workspace"
    )
    server = sandbox.start_process(["python3", "-m", "http.server", "18253"], cwd="/workspace")
    sandbox.wait_for_port(server.id, 18253, timeout=30)
    sandbox.exec("cp -r /tmp/r/.git /workspace/r.git && git -C /workspace/r.git update-server-info")
    checkout = sandbox.git_checkout("http://127.0.0.1:18253/r.git", target_dir="out", timeout=60)
    assert (checkout.branch, checkout.target_dir, len(checkout.commit)) == ("main", "/workspace/out", 40)
    with pytest.raises(sandbar.GitBranchNotFoundError):
        sandbox.git_checkout("http://127.0.0.1:18253/r.git", ref="none", target_dir="other")


def test_ports_and_mounts(sandbox: Sandbox) -> None:
    sandbox.exec("true")
    try:
        exposed = sandbox.expose_port(18254, name="app")
    except sandbar.NotSupportedError as error:
        assert "PREVIEW_HOST" in error.message
    else:
        assert exposed in sandbox.get_exposed_ports()
        sandbox.unexpose_port(18254)
    assert sandbox.get_exposed_ports() == []
    with pytest.raises(SandboxError):
        sandbox.mount_bucket("NO_SUCH_BINDING", "/mnt/data")


def test_names_and_ids() -> None:
    name = new_id("python-")
    with get_sandbox(URL, KEY, name) as one, get_sandbox(URL, KEY, name, env={"A": "set"}) as same:
        assert one.sandbox_id() == same.sandbox_id()
        assert one.exec("echo $A").stdout == "set\n"
        with get_sandbox(URL, KEY, id=one.sandbox_id(), default_session=False) as by_id:
            by_id.exec("cd /tmp")
            assert by_id.exec("pwd").stdout == "/workspace\n"
            by_id.destroy()
    with pytest.raises(sandbar.InvalidRequestError):
        get_sandbox(URL, KEY)


def test_with_await() -> None:
    async def main() -> None:
        seen: list[str] = []

        async def show(text: str) -> None:
            seen.append(text)

        async with get_async_sandbox(URL, KEY, new_id("python-")) as sandbox:
            assert isinstance(sandbox, AsyncSandbox)
            result = await sandbox.exec("echo hi; exit 2", on_stdout=show)
            assert (result.exit_code, seen) == (2, ["hi\n"])
            both = await asyncio.gather(sandbox.exec(["echo", "1"]), sandbox.exec(["echo", "2"]))
            assert [each.stdout for each in both] == ["1\n", "2\n"]
            events = [event async for event in sandbox.exec_stream("echo a")]
            assert [type(event) for event in events] == [OutputEvent, OutputEvent]
            session = await sandbox.create_session(cwd="/tmp")
            assert (await session.exec("pwd")).stdout == "/tmp\n"
            await sandbox.write_file("a", "text")
            assert (await sandbox.read_file("a")).content == "text"
            with pytest.raises(sandbar.FileNotFoundError):
                await sandbox.read_file("none")
            task = asyncio.create_task(sandbox.exec("sleep 600", session_id="long"))
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await sandbox.destroy()

    asyncio.run(main())


def test_the_key_is_in_no_error() -> None:
    key = "secret-key-of-this-test"
    sandboxes = [get_sandbox(URL, key, "x"), get_sandbox("http://127.0.0.1:1", key, "x")]
    for sandbox, kind in zip(sandboxes, [sandbar.UnauthorizedError, sandbar.ConnectionLostError], strict=True):
        with pytest.raises(kind) as failed:
            sandbox.exec("true")
        error = failed.value
        shown = [str(error), repr(error), repr(error.details), repr(sandbox), repr(vars(sandbox)), repr(error.__context__)]
        assert not any(key in text for text in shown), shown
    with pytest.raises(sandbar.InvalidRequestError) as wrong:
        get_sandbox(URL, f"{key}\n", "x")
    assert key not in str(wrong.value)


def test_events_are_whole_in_whatever_pieces_they_come() -> None:
    wire = b"id: 1\nevent: stdout\ndata: YQ==\n\n:\nid: 2\nevent: exit\ndata: {\"exit_code\":0}\n\nid: 3\nevent: st"
    for size in (1, 7, len(wire)):
        parser = EventParser()
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        events = [event for piece in pieces for event in parser.feed(piece)]
        assert [(event.id, event.event) for event in events] == [("1", "stdout"), ("2", "exit")]


def test_an_event_that_broke_off_counts_for_nothing() -> None:
    wire = b"id: 1\nevent: stdout\ndata: YQ==\n\nid: 2\nevent: stdout\ndata: YmN\nevent: incomplete\n\n"
    assert [event.id for event in EventParser().feed(wire)] == ["1"]


def test_the_examples_of_the_readme() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(examples) > 4
    exec(compile("\n".join(examples), "README.md", "exec"), {"__name__": "readme"})


def test_a_client_of_ones_own() -> None:
    asked: list[str] = []
    client = httpx.Client(event_hooks={"request": [lambda request: asked.append(request.url.path)]})
    with get_sandbox(URL, KEY, id="abcd", client=client) as sandbox:
        sandbox.get_exposed_ports()
    assert asked == ["/v1/sandbox/abcd/port"]
