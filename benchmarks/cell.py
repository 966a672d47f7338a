"""How long a cell takes to run in a browser with the extension, and without it on the same host in the same run.

The host is the one that `make up` made. The two ways take turns, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import json
import re
import statistics
import tempfile
from pathlib import Path

from lab import WITH, WITHOUT, configure, create_notebook, launch, log_in, open_notebook, run_all, trust_authority
from playwright.sync_api import BrowserType, Page, sync_playwright

PROJECT = Path(__file__).parents[1]
CREDENTIALS = PROJECT / "credentials" / "sandbox"
SSH_CONFIG = PROJECT / "build" / "sandbox" / "inventories" / "sandbox" / "hosts" / "class1.conf"
REPORT = PROJECT / "build" / "bench" / "cell.json"

CELLS = 50
WARM_UP = 3
ROUNDS = 40
WAYS = {"without": WITHOUT, "with": WITH}


def main() -> None:
    """Print and write the milliseconds a cell takes, and the ratio."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        pages = {way: page(playwright.chromium, Path(folder, way), change) for way, change in WAYS.items()}
        times: dict[str, list[float]] = {way: [] for way in pages}
        for turn in range(WARM_UP + ROUNDS):
            for way in sorted(pages, reverse=bool(turn % 2)):
                taken = run_all(pages[way]) / CELLS
                if turn >= WARM_UP:
                    times[way].append(taken)
        for opened in pages.values():
            opened.context.close()
    median = {way: round(statistics.median(taken), 2) for way, taken in times.items()}
    p95 = {way: round(statistics.quantiles(taken, n=20)[-1], 2) for way, taken in times.items()}
    ratio = round(statistics.median(a / b for a, b in zip(times["with"], times["without"], strict=True)), 3)
    result = {"cells": CELLS * ROUNDS, "median_ms": median, "p95_ms": p95, "ratio": ratio}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{'':10}{'median':>10}{'p95':>10}")
    for way in WAYS:
        print(f"{way:10}{median[way]:>7} ms{p95[way]:>7} ms")
    print(f"A cell takes {ratio} times as long with the extension.")


def page(chromium: BrowserType, home: Path, change: str) -> Page:
    """A notebook of small cells in a browser of its own."""
    trust_authority(home, CREDENTIALS / "tls" / "ca.crt")
    opened = launch(chromium, home, base_url=f"https://{address()}").pages[0]
    log_in(opened, (CREDENTIALS / "jupyterlab_password").read_text(encoding="utf-8").strip())
    opened.wait_for_url("**/lab*")
    name = create_notebook(opened, *(f"print({i})" for i in range(CELLS)))
    configure(opened, change)
    open_notebook(opened, name)
    return opened


def address() -> str:
    """Where the host is."""
    found = re.search(r"^ *HostName (\S+)$", SSH_CONFIG.read_text(encoding="utf-8"), re.MULTILINE | re.IGNORECASE)
    if found is None:
        raise SystemExit(f"{SSH_CONFIG} names no address; make the host with `make up`.")
    return found[1]


if __name__ == "__main__":
    main()
