"""A page that is open all day: 10,000 executions leave nothing of ours behind in the browser."""

from __future__ import annotations

from pathlib import Path

from conftest import Server
from lab import WITH, WITHOUT, configure, create_notebook, launch, log_in, open_notebook, run_all, trust_authority
from playwright.sync_api import BrowserType, Page, sync_playwright

# One host is enough: the browser is the same.
testinfra_hosts = ["ssh://debian12"]

CELLS = 100
EXECUTIONS = 10_000
MAX_GROWTH_BYTES = 5_000_000
# JupyterLab itself keeps some 760 bytes of each execution in the document: as much as the page grows without us.
BASELINE_EXECUTIONS = 2_500


def test_the_browsers_memory_stays_flat(server: Server, tmp_path: Path) -> None:
    with sync_playwright() as playwright:
        theirs = growth(playwright.chromium, server, tmp_path / "without", WITHOUT, BASELINE_EXECUTIONS)
        both = growth(playwright.chromium, server, tmp_path / "with", WITH, EXECUTIONS)
    ours = both - theirs * EXECUTIONS / BASELINE_EXECUTIONS
    print(f"{EXECUTIONS} executions: {both / 1e6:.2f} MB more, {ours / 1e6:.2f} MB of it ours")
    assert ours < MAX_GROWTH_BYTES


def growth(chromium: BrowserType, server: Server, home: Path, change: str, executions: int) -> int:
    """Bytes that the page's heap grows by, after what stays of the first executions: caches and compiled code."""
    trust_authority(home, server.authority)
    context = launch(chromium, home, "--enable-precise-memory-info", base_url=server.url)
    page = context.pages[0]
    log_in(page, server.password)
    page.wait_for_url("**/lab*")
    name = create_notebook(page, *(f"print({i})" for i in range(CELLS)))
    configure(page, change)
    open_notebook(page, name)
    for _ in range(10):
        run_all(page)
    before = heap(page)
    for _ in range(executions // CELLS):
        run_all(page)
    grown = heap(page) - before
    context.close()
    return grown


def heap(page: Page) -> int:
    """Bytes in use after a garbage collection."""
    session = page.context.new_cdp_session(page)
    for _ in range(4):
        session.send("HeapProfiler.collectGarbage")
        page.wait_for_timeout(400)
    session.detach()
    return int(page.evaluate("performance.memory.usedJSHeapSize"))
