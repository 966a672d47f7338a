"""Watches the memory of the server while it takes a million events in batches of 100, as fast as it can."""

import argparse
import json
import re
import sys
from pathlib import Path

from ingest import BENCH, LOG, OURS, Server, fresh_folder

RESULTS = BENCH / "memory.json"
BATCH = 100
SECONDS = 2.0
# Caches fill first, and what the overview knows of each student's cells.
WARM_UP = 0.5
GROWTH_AIM = 0.05


def resident_mib(pid: int) -> float:
    """Returns the memory that a process has of its own and of files, in MiB."""
    found = re.search(r"(?m)^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise RuntimeError("the server has gone")
    return int(found[1]) / 1024


def watch(events: int) -> list[tuple[int, float]]:
    """Returns how much memory there was after how many events, telling of it."""
    seen = []
    with fresh_folder() as folder:
        server = Server(OURS, folder)
        try:
            taken = 0
            while taken < events:
                taken = server.load(BATCH, SECONDS)["next"]
                seen.append((taken, resident_mib(server.pid)))
                print(f"{taken:11,} events  {seen[-1][1]:7.1f} MiB", flush=True)
        finally:
            server.stop()
        server.check()
    return seen


def main() -> int:
    """Prints what it sees, writes it to build/bench/memory.json, and returns 1 if the memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    BENCH.mkdir(parents=True, exist_ok=True)
    LOG.write_text("")
    seen = watch(options.events)
    warm = [mib for taken, mib in seen if taken >= WARM_UP * options.events]
    growth = warm[-1] / warm[0] - 1
    RESULTS.write_text(json.dumps({"samples": seen, "growth": round(growth, 4)}, indent=2) + "\n")
    print(f"second half: {growth:+.1%}, at most {max(warm):.1f} MiB")
    return 0 if growth <= GROWTH_AIM else 1


if __name__ == "__main__":
    sys.exit(main())
