"""A page that is open all day: thousands of executions leave nothing of ours behind in the browser."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

from conftest import Server
from lab import WITH, WITHOUT, configure, create_notebook, launch, log_in, open_notebook, run_all, trust_authority
from playwright.sync_api import BrowserType, Page, sync_playwright

# One host is enough: the browser is the same.
testinfra_hosts = ["ssh://debian12"]

CELLS = 100
STEP = 1_000
STEPS = 6
# What a day of 10,000 executions may leave.
MAX_GROWTH_BYTES = 5_000_000
# JupyterLab itself keeps some 700 bytes of each execution in the document: as much as the page grows without us.
BASELINE_STEPS = 3


def test_the_browsers_memory_stays_flat(server: Server, tmp_path: Path) -> None:
    with sync_playwright() as playwright:
        theirs = steps(playwright.chromium, server, tmp_path / "without", WITHOUT, BASELINE_STEPS)
        both = steps(playwright.chromium, server, tmp_path / "with", WITH, STEPS)
    print(f"bytes more after each {STEP} executions: without us {theirs}, with us {both}")
    # A leak is in every step; what JupyterLab or the browser loads in the midst of one is in that one alone.
    assert 10_000 / STEP * (statistics.median(both) - statistics.median(theirs)) < MAX_GROWTH_BYTES


def steps(chromium: BrowserType, server: Server, home: Path, change: str, count: int) -> list[int]:
    """Bytes that the page's heap grows by in each step, after the first executions, which leave caches behind."""
    trust_authority(home, server.authority)
    context = launch(chromium, home, "--enable-precise-memory-info", base_url=server.url)
    page = context.pages[0]
    log_in(page, server.password)
    page.wait_for_url("**/lab*")
    name = create_notebook(page, *(f"print({i})" for i in range(CELLS)))
    configure(page, change)
    open_notebook(page, name)
    heaps = []
    for _ in range(1 + count):
        for _ in range(STEP // CELLS):
            run_all(page)
        heaps.append(heap(page))
    context.close()
    return [after - before for before, after in itertools.pairwise(heaps)]


def heap(page: Page) -> int:
    """Bytes in use after a garbage collection."""
    session = page.context.new_cdp_session(page)
    for _ in range(4):
        session.send("HeapProfiler.collectGarbage")
        page.wait_for_timeout(400)
    session.detach()
    return int(page.evaluate("performance.memory.usedJSHeapSize"))
