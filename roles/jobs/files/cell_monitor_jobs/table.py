"""All jobs at a glance."""

import time
from pathlib import Path
from typing import Any

from cell_monitor_jobs import record, units

Row = dict[str, Any]
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def rows(folder: Path) -> list[Row]:
    """Returns, of each job that has a timer or has ever run: result, sentence, when it ran and when it runs next."""
    timers = units.next_runs()
    known = {path.stem for path in (folder / "jobs").glob("*.json")}
    known |= {name.removesuffix(".service").removeprefix(record.PREFIX) for name in timers}
    return [_row(folder, job, timers) for job in sorted(known)]


def _row(folder: Path, job: str, timers: dict[str, float]) -> Row:
    name = f"{record.PREFIX}{job}.service"
    run = record.last(folder, job)
    unit = units.show(name)
    # A full disk may have kept the record from being written; systemd knows all the same.
    lost = unit.result not in ("success", "") and unit.active == "failed" and run is not None and run.result == "ok"
    return {
        "job": job,
        "result": "failed" if lost else run.result if run else "never",
        "sentence": f"{unit.result}; see journalctl -u {name}" if lost else run.sentence if run else "",
        "running": unit.active == "activating",
        "last_run": run.ended if run else None,
        "last_success": run.last_success if run else None,
        "seconds": round(run.ended - run.started, 3) if run else None,
        "next_run": timers.get(name) or None,
    }


def text(rows: list[Row], now: float) -> str:
    """Returns a table for people."""
    lines = [f"{'job':<14}{'last run':<18}{'age':>8}  {'result':<11}{'next run':<18}what came of it"]
    for row in rows:
        result = "running" if row["running"] else row["result"]
        lines.append(
            f"{row['job']:<14}{_moment(row['last_run']):<18}{age(row['last_run'], now):>8}  {result:<11}"
            f"{_moment(row['next_run']):<18}{row['sentence']}".rstrip()
        )
    return "\n".join(lines)


def age(moment: float | None, now: float) -> str:
    """Returns how long ago something was, in one unit."""
    if moment is None:
        return "-"
    # The clock was set back: what is to come has not happened.
    if moment > now + 60:
        return "future"
    seconds = max(0.0, now - moment)
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), _UNITS[-1])
    return f"{seconds // size:.0f} {unit}"


def _moment(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "-"
