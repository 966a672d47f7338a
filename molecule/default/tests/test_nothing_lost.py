"""Each part is killed at random moments while a student works; what was seen to run is stored, once."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from conftest import Server, eventually
from lab import create_notebook, launch, log_in, open_notebook, trust_authority
from playwright.sync_api import BrowserContext, Error, Locator, Page, sync_playwright
from testinfra.host import Host

# One host is enough: what is tested here is the same on every Debian.
testinfra_hosts = ["ssh://debian13"]

PARTS = ["browser", "nginx", "jupyterlab", "event-server"]

# What has run says so itself: on the screen, and in a file that the kernel has put on the disk.
CELL = """\
import os, uuid
token = "ran-{run}-" + uuid.uuid4().hex
with open("{run}.ran", "a") as file:
    print(token, file=file, flush=True)
    os.fsync(file.fileno())
print(token)
"""
STORED = """
import json, sqlite3
db = sqlite3.connect("file:/var/lib/event-server/events.sqlite3?mode=ro", uri=True)
print(json.dumps([row[0] for row in db.execute("SELECT body FROM events WHERE body LIKE ?", ["%{run}%"])]))
"""


class Student:
    """Somebody who runs one cell again and again, in a browser that may be gone at any moment."""

    def __init__(self, server: Server, home: Path, run: str) -> None:
        self._server = server
        self._home = home
        self._run = run
        self._playwright = sync_playwright().start()
        self._browser: BrowserContext | None = None
        self._panel: Locator | None = None
        self._notebook = ""
        self._before: set[str] = set()
        # Seconds until a page that does not get on is given up.
        self.patience = 8
        self.seen: set[str] = set()
        trust_authority(home, server.authority)

    def work(self) -> bool:
        """Run the cell once and note what it shows; where that cannot be, return False and start over next time."""
        try:
            panel = self._panel or self._open()
            panel.locator(".jp-CodeCell").first.click(timeout=3000)
            panel.locator('[data-jp-item-name="run"]').click(timeout=3000)
            token = self._shown(panel)
            # A browser that is killed as it shows something has not written it down.
            panel.page.wait_for_timeout(300)
        except (Error, AssertionError):
            self._panel = None
            if not self._processes():
                self._browser = None
            return False
        self.seen.add(token)
        self._panel = panel
        return True

    def crash(self) -> None:
        """End the browser from another thread: every process of it at once."""
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _processes(self) -> list[int]:
        profile = str(self._home / "profile")
        found = subprocess.run(["pgrep", "--full", profile], check=False, capture_output=True, text=True).stdout
        return [int(pid) for pid in found.split()]

    def leave(self) -> None:
        """Close the browser."""
        if self._browser is not None:
            self._browser.close()
        self._playwright.stop()

    def _page(self) -> Page:
        if self._browser is None:
            # A killed browser leaves its lock behind.
            for lock in self._home.glob("profile/Singleton*"):
                lock.unlink()
            self._browser = launch(self._playwright.chromium, self._home, base_url=self._server.url)
        self._browser.set_default_timeout(1000 * self.patience)
        return self._browser.pages[0]

    def _open(self) -> Locator:
        page = self._page()
        page.goto("/lab")
        if "/login" in page.url:
            log_in(page, self._server.password)
            page.wait_for_url("**/lab*")
        self._notebook = self._notebook or create_notebook(page, CELL.format(run=self._run))
        return open_notebook(page, self._notebook, seconds=self.patience)

    def _shown(self, panel: Locator) -> str:
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            tokens = re.findall(rf"ran-{self._run}-[0-9a-f]{{32}}", panel.locator(".jp-OutputArea").first.inner_text())
            if tokens and tokens[0] not in self._before:
                self._before.add(tokens[0])
                return str(tokens[0])
            time.sleep(0.02)
        raise AssertionError("the cell has shown nothing")


def test_what_has_run_is_stored_once(server: Server, host: Host, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    run = f"{seed:08x}"
    student = Student(server, tmp_path, run)
    killed: list[str] = []

    def kill() -> None:
        turns = 3 * PARTS
        chance.shuffle(turns)
        for part in turns:
            # At times two of them at once, at times after some work.
            enough = len(student.seen) + chance.choice([0, 3, 5])
            end = time.monotonic() + 20
            while len(student.seen) < enough and time.monotonic() < end:
                time.sleep(0.1)
            time.sleep(chance.uniform(0, 0.5))
            if part == "browser":
                student.crash()
            else:
                host.run(f"systemctl reset-failed {part}; systemctl kill --signal=KILL {part}")
            killed.append(part)

    student.work()
    trouble = threading.Thread(target=kill)
    trouble.start()
    while trouble.is_alive():
        student.work()

    def stored() -> list[str]:
        rows = json.loads(host.check_output(f"python3 -c {shlex.quote(STORED.format(run=run))}"))
        return [json.loads(row).get("result", "") for row in rows if json.loads(row)["eventType"] == "cell_executed"]

    try:
        # The page that is open sends what an earlier one has left.
        student.patience = 30
        eventually(student.work, lambda worked: worked, seconds=60)
        eventually(lambda: student.seen - {r.strip() for r in stored()}, lambda missing: not missing, seconds=90)
    finally:
        student.leave()
    results = [result.strip() for result in stored() if result.strip()]
    ran = set(host.file(f"/var/lib/jupyterlab/notebooks/{run}.ran").content_string.split())
    print(f"{len(student.seen)} seen, {len(results)} stored, {len(ran)} ran; killed: {' '.join(killed)}")
    assert len(student.seen) >= len(killed)
    assert sorted(killed) == sorted(3 * PARTS)
    assert len(results) == len(set(results))
    assert student.seen <= set(results) <= ran
