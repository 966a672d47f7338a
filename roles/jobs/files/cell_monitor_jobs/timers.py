"""Timers, made from one file that says when which job runs."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cell_monitor_host import files

SCHEDULE = Path("/etc/cell-monitor-jobs.json")
UNITS = Path("/etc/systemd/system")
_HEAD = "# Written by cell-monitor-job from /etc/cell-monitor-jobs.json.\n"
TARGET = "cell-monitor-jobs.target"
QUIET = "cell-monitor-jobs.timer"


class ScheduleError(Exception):
    """A schedule that systemd does not understand; the text is one sentence."""


def wanted(schedule: Mapping[str, Any], units: Path) -> dict[str, str]:
    """Returns the units that there have to be, for the services that there are."""
    jobs = {name: job for name, job in schedule["jobs"].items() if (units / f"{name}.service").exists()}
    made = {f"{name}.timer": _timer(job) for name, job in jobs.items()}
    made[TARGET] = f"{_HEAD}[Unit]\nDescription=Jobs that make up for the runs that they have missed\n"
    made[QUIET] = (
        f"{_HEAD}[Unit]\nDescription=Making up for missed runs, some time after the start\n\n"
        f"[Timer]\nOnBootSec={schedule['quiet_after_start']}\nAccuracySec=1s\nUnit={TARGET}\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    return made


def _timer(job: Mapping[str, Any]) -> str:
    when = [job["when"]] if isinstance(job["when"], str) else job["when"]
    lines = [f"{_HEAD}[Unit]", f"Description={job['what']}", "", "[Timer]", *(f"OnCalendar={one}" for one in when)]
    lines += [f"RandomizedDelaySec={job['within']}", "AccuracySec=1s"]
    lines += ["Persistent=yes"] if job["catch_up"] else []
    lines += ["", "[Install]", f"WantedBy={TARGET if job['catch_up'] else 'timers.target'}", ""]
    return "\n".join(lines)


def apply(schedule: Mapping[str, Any], units: Path = UNITS) -> list[str]:
    """Makes the timers what the schedule says; returns the units that were changed.

    Raises:
        ScheduleError: nothing was changed.
    """
    _check(schedule)
    made = wanted(schedule, units)
    changed = [name for name, text in made.items() if not _is(units / name, text)]
    gone = [path.name for path in _ours(units) if path.name not in made]
    if gone:
        _systemctl("disable", "--now", *gone)
    for name in gone:
        (units / name).unlink()
    for name in changed:
        files.write(units / name, made[name], 0o644)
    if changed or gone:
        _systemctl("daemon-reload")
    timers = [name for name in made if name.endswith(".timer")]
    if disabled := [name for name in timers if _state("is-enabled", name) != "enabled"]:
        _systemctl("enable", *disabled)
    # The others are started by the target, when the host has been on for long enough.
    at_once = timers if _state("is-active", TARGET) == "active" else [n for n in timers if not _waits(made[n])]
    stopped = [name for name in at_once if name in changed or _state("is-active", name) != "active"]
    if stopped:
        _systemctl("restart", *stopped)
    return sorted({*changed, *gone, *disabled, *stopped})


def _check(schedule: Mapping[str, Any]) -> None:
    for name, job in schedule["jobs"].items():
        for when in [job["when"]] if isinstance(job["when"], str) else job["when"]:
            done = _run("systemd-analyze", "calendar", when)
            if done.returncode:
                raise ScheduleError(f"{name} is to run at {when!r}, which is no time as systemd.time(7) writes it.")


def _waits(timer: str) -> bool:
    return f"WantedBy={TARGET}" in timer


def _ours(units: Path) -> Iterator[Path]:
    return (path for path in units.glob("cell-monitor-*.timer") if path.read_text("utf-8").startswith(_HEAD))


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8") == text


def _state(verb: str, name: str) -> str:
    return _run("systemctl", verb, name).stdout.strip()


def _systemctl(*arguments: str) -> None:
    done = _run("systemctl", "--quiet", *arguments)
    if done.returncode:
        raise ScheduleError(f"systemctl {' '.join(arguments)} failed: {done.stderr.strip()}")


def _run(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)  # noqa: S603


def read(path: Path = SCHEDULE) -> dict[str, Any]:
    """Reads the schedule.

    Raises:
        ScheduleError: there is none.
    """
    schedule = files.read_json(path)
    if not isinstance(schedule, dict):
        raise ScheduleError(f"{path} is not there or no JSON; a deploy writes it.")
    return schedule
