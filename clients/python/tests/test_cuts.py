"""Commands, logs, files and code over connections that break all the time: no output is lost, and nothing runs twice.

`CUT_SECONDS` is how long.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from conftest import KEY, URL, Proxy

from sandbar import Sandbox, SandboxError, get_sandbox

T = TypeVar("T")

SECONDS = float(os.environ.get("CUT_SECONDS", "6"))

LOST = ("connection_lost", "operation_interrupted", "unreachable")
"""The codes that say that the outcome is not known, or that nothing arrived."""

LINES = "".join(f"line {number} of the output\n" for number in range(200))
PRINT = 'for i in $(seq 0 199); do echo "line $i of the output"; [ $((i % 40)) = 0 ] && sleep 0.05; done'


class Job:
    """Work through the proxy, by a client of its own."""

    def __init__(self, id: str, url: str, name: str, end: float) -> None:
        self.direct = get_sandbox(URL, KEY, id=id, default_session=False)
        self.behind = get_sandbox(url, KEY, id=id, default_session=False)
        self.name, self.end, self.count = name, end, 0

    def is_over(self) -> bool:
        """Whether the time is over. A slow machine gets more for its first success."""
        return time.monotonic() > self.end + (0 if self.count else 10)

    def attempts(self, attempt: Callable[[str], None]) -> None:
        """Makes attempts, with a mark for each, up to the end. Each that succeeds has written its mark once."""
        marks = []
        number = 0
        while not self.is_over():
            mark, number = f"/workspace/runs/{self.name}-{number}", number + 1
            try:
                attempt(mark)
                marks.append(mark)
                self.count += 1
            except SandboxError as error:
                if error.code not in LOST:
                    raise
        # Their content is checked at the end.
        written = self.direct.exec("find /workspace/runs -type f").stdout.split()
        assert set(marks) <= set(written)

    def commands(self) -> None:
        def attempt(mark: str) -> None:
            result = self.behind.exec(f"echo ran >>{mark}; cat; {PRINT}; exit 7", stdin=LINES)
            assert (result.exit_code, result.stdout) == (7, LINES + LINES)

        self.attempts(attempt)

    def code(self) -> None:
        context = self.direct.create_code_context()

        def attempt(mark: str) -> None:
            code = f"print('ran', file=open({mark!r}, 'a'))\nfor i in range(200): print(f'line {{i}} of the output')\n6 * 7"
            run = self.behind.run_code(code, context=context)
            assert (run.success, run.stdout, run.results[0]["text"]) == (True, LINES, "42")

        self.attempts(attempt)

    def files(self) -> None:
        path, content = "/workspace/file", ""
        self.direct.write_file(path, content)
        while not self.is_over():
            new = random.randbytes(20_000).hex()
            try:
                self.behind.write_file(path, new)
                assert self.again(lambda: self.behind.read_file(path)).content == new
                content, self.count = new, self.count + 1
            except SandboxError as error:
                assert error.code in LOST, error
                # It was written, or it was not.
                assert self.direct.read_file(path).content in (content, new)
                content = self.direct.read_file(path).content

    def log(self) -> None:
        script = 'i=0; while [ ! -e stop ]; do i=$((i + 1)); echo "entry $i"; [ $((i % 20)) = 0 ] && sleep 0.05; done; exit 9'
        writer = self.direct.start_process(script, cwd="/workspace")
        text, is_stopped = "", False
        for event in self.again(lambda: self.behind.stream_process_logs(writer.id)):
            assert event.type != "gap"
            text += event.text
            if not is_stopped and time.monotonic() > self.end:
                is_stopped = True
                self.direct.write_file("/workspace/stop", "")
        assert event.exit_code == 9
        self.count = text.count("\n")
        assert text == "".join(f"entry {number}\n" for number in range(1, self.count + 1))

    def again(self, ask: Callable[[], T]) -> T:
        """What changes nothing can be asked for again."""
        while True:
            try:
                return ask()
            except SandboxError as error:
                if error.code not in LOST:
                    raise


def test_nothing_is_lost_and_nothing_runs_twice_while_connections_break(sandbox: Sandbox, proxy: Proxy) -> None:
    id = sandbox.sandbox_id()
    sandbox.exec("mkdir /workspace/runs")
    end = time.monotonic() + SECONDS
    jobs = [Job(id, proxy.url, name, end) for name in ("first", "second", "code", "files", "log")]
    cuts = 0
    is_over = threading.Event()

    def cut() -> None:
        nonlocal cuts
        while not is_over.wait(random.uniform(0.05, 0.6 if time.monotonic() < end else 2)):
            proxy.cut()
            cuts += 1

    with ThreadPoolExecutor(len(jobs) + 1) as threads:
        cutting = threads.submit(cut)
        runs = [job.commands for job in jobs[:2]] + [jobs[2].code, jobs[3].files, jobs[4].log]
        working = [threads.submit(run) for run in runs]
        try:
            for work in working:
                work.result(SECONDS + 60)
        finally:
            is_over.set()
    cutting.result()
    # Also what was lost ran once at most.
    assert sandbox.exec("find /workspace/runs -type f ! -size 4c").stdout == ""
    assert cuts > SECONDS and all(job.count > 0 for job in jobs), (cuts, [job.count for job in jobs])
