"""Connections that break."""

from __future__ import annotations

import threading

import httpx
import pytest
from conftest import KEY, URL, Proxy

import sandbar
from sandbar import Sandbox, get_sandbox

UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 50\r\nConnection: close\r\n\r\n"
    + b'{"error":"starting","code":"sandbox_unavailable"}'.ljust(50)
)


def test_a_stream_continues_behind_its_last_event(sandbox: Sandbox, proxy: Proxy) -> None:
    behind = get_sandbox(proxy.url, KEY, id=sandbox.sandbox_id())
    text = ""
    command = "echo ran >>count; for i in $(seq 40); do echo line $i; sleep 0.05; done"
    for number, event in enumerate(behind.exec_stream(command, cwd="/workspace")):
        text += event.text
        if number in (3, 10):
            proxy.cut()
    assert text == "".join(f"line {i}\n" for i in range(1, 41))
    assert sandbox.read_file("count").content == "ran\n"
    assert sum(b"last-event-id" in request.lower() for request in proxy.requests) >= 2


def test_a_command_whose_answer_is_lost_runs_once(sandbox: Sandbox, proxy: Proxy) -> None:
    behind = get_sandbox(proxy.url, KEY, id=sandbox.sandbox_id())
    proxy.lose_next = lambda request: b"/exec " in request
    result = behind.exec("echo ran >>count; sleep 1; echo done", cwd="/workspace")
    assert (result.stdout, sandbox.read_file("count").content) == ("done\n", "ran\n")


def test_only_503_with_retry_after_is_repeated(sandbox: Sandbox, proxy: Proxy) -> None:
    behind = get_sandbox(proxy.url, KEY, id=sandbox.sandbox_id())
    proxy.answers = [UNAVAILABLE]
    assert behind.exec("echo once").stdout == "once\n"
    assert proxy.answers == []
    before = len(proxy.requests)
    proxy.answers = [UNAVAILABLE.replace(b"Retry-After: 1\r\n", b"")]
    with pytest.raises(sandbar.SandboxUnavailableError):
        behind.write_file("a", "b")
    assert len(proxy.requests) == before + 1
    proxy.answers = [UNAVAILABLE.replace(b"503", b"502")]
    with pytest.raises(sandbar.SandboxUnavailableError):
        behind.write_file("a", "b")
    assert len(proxy.requests) == before + 2


def test_a_read_is_repeated_and_a_change_is_not(sandbox: Sandbox, proxy: Proxy) -> None:
    behind = get_sandbox(proxy.url, KEY, id=sandbox.sandbox_id())
    sandbox.write_file("a", "text")
    proxy.lose_next = lambda request: request.startswith(b"GET ")
    assert behind.read_file("a").content == "text"
    # On a new connection.
    behind = get_sandbox(proxy.url, KEY, id=sandbox.sandbox_id())
    proxy.lose_next = lambda request: request.startswith(b"POST ")
    with pytest.raises(sandbar.ConnectionLostError):
        behind.move_file("a", "b")


def test_a_process_starts_once_though_the_answer_is_lost(sandbox: Sandbox, proxy: Proxy) -> None:
    behind = get_sandbox(proxy.url, KEY, id=sandbox.sandbox_id())
    proxy.lose_next = lambda request: b"/process " in request
    process = behind.start_process("echo ran >>/workspace/count")
    assert sandbox.wait_for_exit(process.id) == 0
    assert sandbox.read_file("count").content == "ran\n"


def test_streams_that_are_left_give_their_connections_back(sandbox: Sandbox) -> None:
    with httpx.Client(limits=httpx.Limits(max_connections=2)) as client:
        other = get_sandbox(URL, KEY, id=sandbox.sandbox_id(), client=client)
        for _ in range(4):
            for event in other.exec_stream("echo a; sleep 600"):
                assert event.text == "a\n"
                break
        assert other.exec("echo b").stdout == "b\n"


def test_a_destroyed_sandbox_ends_the_wait(sandbox: Sandbox) -> None:
    sandbox.exec("true")
    failed: list[BaseException] = []
    other = get_sandbox(URL, KEY, id=sandbox.sandbox_id())
    stream = other.exec_stream("echo begun; sleep 600")
    assert next(stream).text == "begun\n"

    def wait() -> None:
        try:
            list(stream)
        except BaseException as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    sandbox.destroy()
    waiting.join(60)
    assert isinstance(failed[0], (sandbar.OperationInterruptedError, sandbar.ConnectionLostError)), failed
