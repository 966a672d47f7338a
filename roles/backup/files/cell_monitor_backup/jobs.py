"""What is known of each job's last run: as JSON for status and reports, as metrics for Prometheus's textfile collector.

``/var/lib/cell-monitor/jobs/<job>.json`` has ``job``, ``result`` (ok, failed or overlap), ``sentence``, ``started``,
``ended`` and ``last_success`` (seconds since 1970, null for never), and ``details``.
``/var/lib/cell-monitor/metrics/<job>.prom`` has what of it is a number.
"""

import os
import syslog
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cell_monitor_host.files import read_json, write, write_json

from cell_monitor_backup import files
from cell_monitor_backup.errors import BackupError, OverlapError

Json = dict[str, Any]


def run(state: Path, job: str, work: Callable[[], Json]) -> Json:
    """Does a job and notes how that ended.

    Args:
        state: /var/lib/cell-monitor.
        job: such as backup.
        work: does it; returns ``sentence``, which says what was done, and details. What is in its ``metrics`` is told
            as well, as gauges with the values in seconds, bytes or numbers that their names say.

    Raises:
        BackupError: what the work has raised.
    """
    started = time.time()
    try:
        done = work()
    except OverlapError as error:
        _note(state, job, started, "overlap", str(error), {})
        raise
    except BackupError as error:
        _note(state, job, started, "failed", str(error), {})
        raise
    except OSError as error:
        sentence = f"the disk is full: {error}" if files.is_full(error) else str(error)
        _note(state, job, started, "failed", sentence, {})
        raise BackupError(sentence) from error
    except BaseException as error:
        _note(state, job, started, "failed", f"it broke off: {type(error).__name__} {error}", {})
        raise
    _note(state, job, started, "ok", done["sentence"], done)
    return done


def _note(state: Path, job: str, started: float, result: str, sentence: str, details: Json) -> None:
    before = last(state, job) or {}
    ended = time.time()
    record = {
        "job": job,
        "result": result,
        "sentence": sentence,
        "started": round(started, 3),
        "ended": round(ended, 3),
        "last_success": round(ended, 3) if result == "ok" else before.get("last_success"),
        # What the last run knew that had something to tell.
        "details": {k: v for k, v in details.items() if k != "sentence"} or before.get("details", {}),
    }
    _log(job, result, sentence)
    try:
        write_json(state / "jobs" / f"{job}.json", record, 0o644)
        write(state / "metrics" / f"{job}.prom", exposition(record), 0o644)
    except OSError as error:
        _log(job, "failed", f"{state} does not take what is to be remembered of this run: {error}")


def last(state: Path, job: str) -> Json | None:
    """Returns what is known of a job's last run."""
    record: Json | None = read_json(state / "jobs" / f"{job}.json")
    return record


def exposition(record: Json) -> str:
    """Returns a record as Prometheus reads it."""
    values = dict(record["details"].get("metrics", {}))
    if record["last_success"] is not None:
        values[f"{record['job'].replace('-', '_')}_last_success_timestamp_seconds"] = record["last_success"]
    return "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items())


def _log(job: str, result: str, sentence: str) -> None:
    """Tells the journal, whoever runs this; a unit's output gets there anyway."""
    if "JOURNAL_STREAM" not in os.environ:
        syslog.openlog(f"cell-monitor-{job}")
        syslog.syslog(syslog.LOG_INFO if result == "ok" else syslog.LOG_ERR, sentence)
