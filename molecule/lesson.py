"""A class in progress while something is done to its host: students who post events, a notebook whose kernel counts."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import uuid
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from conftest import PROJECT, Server, eventually
from lab import create_notebook, launch, log_in, open_notebook, run_cell, trust_authority
from playwright.sync_api import Page, sync_playwright
from testinfra.host import Host

_STORED = """
import json, sqlite3
db = sqlite3.connect("file:/var/lib/event-server/events.sqlite3?mode=ro", uri=True)
like = "%@{run}.example.jp"
print(json.dumps([row[0] for row in db.execute("SELECT event_id FROM events WHERE email_address LIKE ?", [like])]))
"""


class Students:
    """Two hundred students who post events until the block ends; ``summary`` is there after it.

    The block's end fails where a request was not answered with 202, unless an outage is expected, or an acknowledged
    event is not stored, once and only once.
    """

    def __init__(self, server: Server, host: Host, folder: Path, *, outage: bool = False) -> None:
        self._server = server
        self._host = host
        self._outage = outage
        self._acknowledged = folder / "acknowledged"
        self.run = uuid.uuid4().hex[:8]
        self.summary: dict[str, Any] = {}

    def __enter__(self) -> Self:
        token = self._server.authority.parents[1] / "writers" / self._server.name
        options = {
            "--url": self._server.url,
            "--authority": self._server.authority,
            "--token-file": token,
            "--run": self.run,
            "--acknowledged": self._acknowledged,
        }
        command = [sys.executable, PROJECT / "benchmarks" / "students.py", *chain.from_iterable(options.items())]
        self._process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        eventually(lambda: self._acknowledged.exists() and self._acknowledged.stat().st_size, bool)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        output, _ = self._process.communicate(timeout=60)
        self.summary = json.loads(output)
        print(f"students: {output.strip()}")
        if error is None:
            stored = json.loads(self._host.check_output(f"python3 -c {shlex.quote(_STORED.format(run=self.run))}"))
            assert self._process.returncode == 0, "something that students sent was never acknowledged"
            assert len(stored) == len(set(stored)), "an event is stored twice"
            assert set(self._acknowledged.read_text().split()) <= set(stored), "an acknowledged event is lost"
            assert self._outage or self.summary["failed_requests"] == 0, self.summary["first_failures"]


class Notebook:
    """A browser with a notebook whose kernel counts; the block's end fails where it has not gone on counting."""

    def __init__(self, server: Server, home: Path) -> None:
        self._server = server
        self._home = home

    def __enter__(self) -> Self:
        trust_authority(self._home, self._server.authority)
        self._playwright = sync_playwright().start()
        self.browser = launch(self._playwright.chromium, self._home, base_url=self._server.url)
        self._page = self.browser.pages[0]
        log_in(self._page, self._server.password)
        self._page.wait_for_url("**/lab*")
        name = create_notebook(
            self._page,
            "import os, threading, time\ncount, begun, pid = 0, time.time(), os.getpid()\n"
            "def work():\n    global count\n    while True:\n        count += 1\n        time.sleep(0.1)\n"
            "threading.Thread(target=work, daemon=True).start()\nprint('counting')",
            # A kernel that was restarted, or stood still, says something else.
            "print('still counting' if os.getpid() == pid and count > 2 * (time.time() - begun) else 'not counting',"
            " count)",
        )
        self._panel = open_notebook(self._page, name)
        run_cell(self._panel, 0, "counting")
        return self

    def check(self) -> None:
        """Fail if the kernel is another one, or its variable has not gone on."""
        # JupyterLab says that the server was away, and that it could not save then.
        while self._page.locator(".jp-Dialog").count():
            self._page.keyboard.press("Escape")
            self._page.wait_for_timeout(100)
        shown = self._panel.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output")
        before = shown.inner_text() if shown.count() else ""
        self._panel.locator(".jp-CodeCell").nth(1).click()
        run_cell(self._panel, 1, "counting")
        now = eventually(
            lambda: shown.inner_text() if shown.count() else before, lambda text: text != before, seconds=60
        )
        assert now.startswith("still counting"), f"the kernel has not gone on: {now}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.check()
        finally:
            self.browser.close()
            self._playwright.stop()


class Lesson:
    """Both, and the kernels that there are; the block's end fails where the class would have noticed something."""

    def __init__(self, server: Server, host: Host, folder: Path, *, outage: bool = False) -> None:
        self._host = host
        self._students = Students(server, host, folder, outage=outage)
        self._notebook = Notebook(server, folder / "home")

    def __enter__(self) -> Self:
        self._notebook.__enter__()
        self._students.__enter__()
        self.kernels = self._running()
        assert self.kernels
        return self

    def check(self) -> None:
        """Fail where a kernel is another process, or the open notebook does not reach its own."""
        assert self.kernels.items() <= self._running().items()
        self._notebook.check()

    def new_page(self) -> Page:
        """Another page of the same browser."""
        return self._notebook.browser.new_page()

    def _running(self) -> dict[str, str]:
        shown = self._host.check_output("systemctl show --property=Id,MainPID 'jupyter-kernel@*'")
        blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n") if block]
        return {block["Id"]: block["MainPID"] for block in blocks}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._students.__exit__(kind, error, traceback)
        finally:
            self._notebook.__exit__(kind, error, traceback)
