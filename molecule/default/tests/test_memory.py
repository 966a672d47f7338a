"""A page that is open all day: 10,000 executions leave nothing behind in the browser."""

from __future__ import annotations

from pathlib import Path

from conftest import Server
from lab import configure, create_notebook, launch, log_in, open_notebook, run_all, trust_authority
from playwright.sync_api import Page, sync_playwright

# One host is enough: the browser is the same.
testinfra_hosts = ["ssh://debian12"]

CELLS = 100
EXECUTIONS = 10_000
MAX_GROWTH_BYTES = 5_000_000


def test_the_browsers_memory_stays_flat(server: Server, tmp_path: Path) -> None:
    trust_authority(tmp_path, server.authority)
    with sync_playwright() as playwright:
        context = launch(
            playwright.chromium,
            tmp_path,
            "--enable-precise-memory-info",
            base_url=server.url,
        )
        page = context.pages[0]
        log_in(page, server.password)
        page.wait_for_url("**/lab*")
        name = create_notebook(page, *(f"print({i})" for i in range(CELLS)))
        configure(page, "config => config")
        open_notebook(page, name)
        # Caches and compiled code are there by now.
        for _ in range(10):
            run_all(page)
        before = heap(page)
        for _ in range(EXECUTIONS // CELLS):
            run_all(page)
        growth = heap(page) - before
        context.close()
    print(f"{growth / 1e6:.2f} MB more after {EXECUTIONS} executions, {before / 1e6:.1f} MB before")
    assert growth < MAX_GROWTH_BYTES


def heap(page: Page) -> int:
    """Bytes in use after a garbage collection."""
    session = page.context.new_cdp_session(page)
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
        page.wait_for_timeout(500)
    session.detach()
    return int(page.evaluate("performance.memory.usedJSHeapSize"))
