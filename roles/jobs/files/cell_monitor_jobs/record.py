"""What became of a run: remembered as JSON, for people and programs, and as metrics, for Prometheus."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from cell_monitor_host import files

from cell_monitor_jobs import units

FOLDER = Path("/var/lib/cell-monitor")
# A job ends with it where what it would have looked at cannot be reached: EX_TEMPFAIL of sysexits.h.
UNCHECKED = 75
PREFIX = "cell-monitor-"


@dataclass(frozen=True)
class Run:
    """The last run of a job.

    Attributes:
        job: its name, that of its unit without `cell-monitor-`.
        result: `ok`, `failed`, `overlap` where another run went on, or `unchecked` where it could not look at what it
            is for.
        sentence: what came of it.
        started: seconds since 1970.
        ended: seconds since 1970.
        last_success: when a run last ended with `ok`, seconds since 1970; None if never.
        details: figures of the job's own.
    """

    job: str
    result: str
    sentence: str
    started: float
    ended: float
    last_success: float | None
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Reads a run."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})


def last(folder: Path, job: str) -> Run | None:
    """Returns the last run of a job, None if it is not known."""
    data = files.read_json(folder / "jobs" / f"{job}.json")
    try:
        return Run.of(data) if data else None
    except TypeError:
        return None


def judge(environment: Mapping[str, str], unit: units.Unit) -> tuple[str, str]:
    """Returns result and sentence of a run, from what systemd tells an `ExecStopPost=`."""
    status = environment.get("EXIT_STATUS", "")
    if status == str(UNCHECKED):
        return "unchecked", unit.status or "it could not be checked"
    if environment.get("SERVICE_RESULT") == "success":
        return "ok", unit.status
    why = environment.get("SERVICE_RESULT", "unknown")
    ended = f"{why}, {environment.get('EXIT_CODE', 'not started')} {status}".rstrip()
    # What it said before it was killed is not why it ended.
    told = unit.status if why == "exit-code" and unit.status else ended
    return "failed", f"{told.rstrip('.')}; see journalctl -u {unit.name}"


def record(folder: Path, name: str, environment: Mapping[str, str]) -> Run:
    """Remembers the run of a unit that is ending.

    Args:
        folder: where jobs are remembered.
        name: the unit.
        environment: what systemd tells.
    """
    unit = units.show(name)
    job = name.removesuffix(".service").removeprefix(PREFIX)
    ended = round(time.time(), 3)
    started = round(ended - unit.seconds, 3)
    before = last(folder, job)
    # Whoever reads metrics and results passes through, whatever the umask of the job.
    for part in (folder, folder / "jobs", folder / "metrics"):
        if not part.exists():
            part.mkdir(parents=True)
            part.chmod(0o755)
    # A job may tell more of itself than its unit does, unless it was killed.
    if before is not None and started <= before.started <= ended:
        run = before
    else:
        result, sentence = judge(environment, unit)
        success = ended if result == "ok" else before.last_success if before else None
        run = Run(job, result, sentence, started, ended, success)
        files.write_json(folder / "jobs" / f"{job}.json", asdict(run), 0o644)
    files.write(folder / "metrics" / f"job-{job}.prom", metrics(run), 0o644)
    return run


def metrics(run: Run) -> str:
    """Returns a run in the text format of Prometheus."""
    return exposition(
        [
            ("cell_monitor_job_last_run_timestamp_seconds", "When the job ended last.", [run.ended]),
            (
                "cell_monitor_job_last_success_timestamp_seconds",
                "When it last did what it is for.",
                [run.last_success or 0],
            ),
            ("cell_monitor_job_last_duration_seconds", "How long the last run took.", [run.ended - run.started]),
            ("cell_monitor_job_failed", "Whether the last run failed.", [run.result == "failed"]),
            ("cell_monitor_job_unchecked", "Whether the last run could not look.", [run.result == "unchecked"]),
        ],
        name=run.job,
    )


def exposition(families: Iterable[tuple[str, str, Iterable[float]]], **labels: str) -> str:
    """Returns gauges in the text format of Prometheus: name, help and values of each."""
    shown = ",".join(f'{label}="{value}"' for label, value in labels.items())
    lines = []
    for name, help_, values in families:
        lines += [f"# HELP {name} {help_}", f"# TYPE {name} gauge"]
        lines += [f"{name}{{{shown}}} {float(value):.3f}" for value in values]
    return "\n".join(lines) + "\n"
