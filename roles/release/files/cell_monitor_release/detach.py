"""Runs a command where a lost connection to the controller does not reach it."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cell_monitor_release import systemd
from cell_monitor_release.model import Json

_RESULTS = Path("/run/cell-monitor-release")
# Longer than any deploy takes.
_SECONDS = 3600


def detached(arguments: Sequence[str]) -> tuple[int, Json]:
    """Runs this program as a unit of its own; returns its exit code and what it has to say.

    Args:
        arguments: of its command line.
    """
    _RESULTS.mkdir(mode=0o700, exist_ok=True)
    unit = f"cell-monitor-release-{os.getpid()}"
    result = _RESULTS / f"{unit}.json"
    program = [sys.executable, str(Path(sys.argv[0]).resolve()), "--result", str(result), *arguments]
    run = ["systemd-run", "--quiet", "--collect", "--wait", "--service-type=exec", f"--unit={unit}"]
    done = systemd.run([*run, "--", *program], seconds=_SECONDS)
    try:
        told: Json = json.loads(result.read_bytes())
    except (OSError, ValueError):
        reason = done.stderr.strip() or f"it ended with code {done.returncode}"
        return 1, {"failed": f"{reason}; see `journalctl --unit {unit}`."}
    result.unlink()
    return int(told.pop("code")), told
