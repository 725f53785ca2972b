"""A bridge that runs, and a proxy before it that breaks connections."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from sandbar import Sandbox, get_sandbox
from sandbar._http import new_id

URL = os.environ["SANDBOX_URL"]
KEY = os.environ["SANDBOX_API_KEY"]


class Proxy:
    """Forwards TCP connections. `cut` breaks those that are open. The next ones get `answers`, if there are any; the
    answer to a request that `lose_next` accepts is lost."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.answers: list[bytes] = []
        self.requests: list[bytes] = []
        self.lose_next: Callable[[bytes], bool] | None = None
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        begun = client.recv(65536)
        self.requests.append(begun)
        if self.answers:
            client.sendall(self.answers.pop(0))
            client.close()
            return
        at = urlsplit(URL)
        server = socket.create_connection((at.hostname, at.port))
        self._open += [client, server]
        server.sendall(begun)
        if self.lose_next and self.lose_next(begun):
            # The bridge gets the request, and the client no answer.
            self.lose_next = None
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
            server.recv(1)
            self.cut()
            return
        threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
        self._pump(server, client)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if data.startswith((b"POST ", b"GET ", b"DELETE ", b"PUT ")):
                    self.requests.append(data)
                sink.sendall(data)
        except OSError:
            pass
        self._shut(source, sink)

    @staticmethod
    def _shut(*ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        ends, self._open = self._open, []
        self._shut(*ends)

    def close(self) -> None:
        self._listener.close()
        self.cut()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with get_sandbox(URL, KEY, new_id("python-")) as sandbox:
        yield sandbox
        sandbox.destroy()
