"""What is remembered of jobs, and the timers that start them."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cell_monitor_jobs import record, table, timers, units

JOB: dict[str, Any] = {"what": "Backup", "when": "08:00", "within": "5min", "catch_up": True}


def unit(**values: Any) -> units.Unit:
    fields: dict[str, Any] = {
        "name": "cell-monitor-backup.service",
        "description": "",
        "active": "deactivating",
        "status": "",
    }
    return units.Unit(**fields | {"result": "success", "seconds": 1.5} | values)


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What systemd says: the unit, and when timers elapse next."""
    said: dict[str, Any] = {"unit": unit(), "next": {}}
    monkeypatch.setattr(units, "show", lambda _: said["unit"])
    monkeypatch.setattr(units, "next_runs", lambda: said["next"])
    return said


class TestRecord:
    @pytest.mark.parametrize(
        ("environment", "status", "expected"),
        [
            ({"SERVICE_RESULT": "success", "EXIT_STATUS": "0"}, "3 files", ("ok", "3 files")),
            ({"SERVICE_RESULT": "success", "EXIT_STATUS": "75"}, "no network", ("unchecked", "no network")),
            (
                {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "1"},
                "the password is wrong.",
                ("failed", "the password is wrong; see journalctl -u cell-monitor-backup.service"),
            ),
            (
                {"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"},
                "half of it is done",
                ("failed", "signal, killed KILL; see journalctl -u cell-monitor-backup.service"),
            ),
        ],
    )
    def test_how_a_run_ended(self, environment: dict[str, str], status: str, expected: tuple[str, str]) -> None:
        assert record.judge(environment, unit(status=status)) == expected

    def test_a_failure_leaves_the_last_success(self, tmp_path: Path, systemd: dict[str, Any]) -> None:
        good = record.record(tmp_path, "cell-monitor-backup.service", {"SERVICE_RESULT": "success"})
        systemd["unit"] = unit(status="the disk is full")
        bad = record.record(tmp_path, "cell-monitor-backup.service", {"SERVICE_RESULT": "exit-code"})
        assert bad.last_success == good.ended
        assert record.last(tmp_path, "backup") == bad
        shown = (tmp_path / "metrics" / "job-backup.prom").read_text()
        assert f'cell_monitor_job_last_success_timestamp_seconds{{name="backup"}} {good.ended:.3f}\n' in shown
        assert 'cell_monitor_job_failed{name="backup"} 1.000\n' in shown

    def test_what_a_job_tells_of_itself_stays_unless_it_was_killed(
        self, tmp_path: Path, systemd: dict[str, Any]
    ) -> None:
        (tmp_path / "jobs").mkdir()
        now = time.time()
        told = {
            "job": "backup",
            "result": "overlap",
            "sentence": "Another one runs.",
            "started": now - 0.5,
            "ended": now,
        }
        (tmp_path / "jobs" / "backup.json").write_text(
            json.dumps(told | {"last_success": 1.0, "details": {"files": 3}})
        )
        # As slow as the machine may be, what it has told is of this run.
        systemd["unit"] = unit(seconds=600)
        run = record.record(tmp_path, "cell-monitor-backup.service", {"SERVICE_RESULT": "exit-code"})
        assert (run.result, run.details) == ("overlap", {"files": 3})
        systemd["unit"] = unit(seconds=0)
        time.sleep(0.01)
        run = record.record(tmp_path, "cell-monitor-backup.service", {"SERVICE_RESULT": "signal"})
        assert (run.result, run.last_success) == ("failed", 1.0)

    def test_a_full_disk_leaves_what_was_there(
        self, tmp_path: Path, systemd: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert systemd
        record.record(tmp_path, "cell-monitor-backup.service", {"SERVICE_RESULT": "success"})
        before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            record.record(tmp_path, "cell-monitor-backup.service", {"SERVICE_RESULT": "exit-code"})
        assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before

    def test_what_is_damaged_is_not_known(self, tmp_path: Path) -> None:
        (tmp_path / "jobs").mkdir()
        (tmp_path / "jobs" / "backup.json").write_text('{"job": "ba')
        assert record.last(tmp_path, "backup") is None


class TestTable:
    def test_jobs_that_have_run_and_that_will(self, tmp_path: Path, systemd: dict[str, Any]) -> None:
        record.record(tmp_path, "cell-monitor-backup.service", {"SERVICE_RESULT": "success"})
        systemd["next"] = {"cell-monitor-drill.service": time.time() + 60}
        backup, drill = table.rows(tmp_path)
        assert (backup["job"], backup["result"], backup["next_run"]) == ("backup", "ok", None)
        assert (drill["job"], drill["result"], drill["last_run"]) == ("drill", "never", None)
        head, *lines = table.text([backup, drill], time.time()).splitlines()
        assert head.split() == ["job", "last", "run", "age", "result", "next", "run", "what", "came", "of", "it"]
        assert "ok" in lines[0]
        assert "never" in lines[1]

    def test_a_failure_that_could_not_be_remembered_is_told(self, tmp_path: Path, systemd: dict[str, Any]) -> None:
        record.record(tmp_path, "cell-monitor-backup.service", {"SERVICE_RESULT": "success"})
        systemd["unit"] = unit(active="failed", result="exit-code")
        assert table.rows(tmp_path)[0]["result"] == "failed"

    @pytest.mark.parametrize(
        ("ago", "expected"),
        [
            (None, "-"),
            (1, "1 s"),
            (119, "119 s"),
            (120, "2 min"),
            (86400, "24 h"),
            (2 * 86400, "2 d"),
            (-3600, "future"),
        ],
    )
    def test_age(self, ago: float | None, expected: str) -> None:
        assert table.age(None if ago is None else 1e9 - ago, 1e9) == expected


class TestTimers:
    def test_only_services_that_are_there_have_one(self, tmp_path: Path) -> None:
        (tmp_path / "cell-monitor-backup.service").touch()
        jobs = {"cell-monitor-backup": JOB, "cell-monitor-drill": JOB}
        made = timers.wanted({"quiet_after_start": "45min", "jobs": jobs}, tmp_path)
        assert set(made) == {"cell-monitor-backup.timer", "cell-monitor-jobs.target", "cell-monitor-jobs.timer"}
        assert "OnBootSec=45min\n" in made["cell-monitor-jobs.timer"]

    def test_missed_runs_wait_for_the_target(self, tmp_path: Path) -> None:
        for name in "ab":
            (tmp_path / f"{name}.service").touch()
        jobs = {"a": JOB, "b": JOB | {"catch_up": False, "when": ["08:00", "09:00"]}}
        made = timers.wanted({"quiet_after_start": "0", "jobs": jobs}, tmp_path)
        assert "Persistent=yes\n\n[Install]\nWantedBy=cell-monitor-jobs.target\n" in made["a.timer"]
        assert "OnCalendar=08:00\nOnCalendar=09:00\n" in made["b.timer"]
        assert "Persistent" not in made["b.timer"]

    def test_systemd_understands_what_is_written(self, tmp_path: Path) -> None:
        (tmp_path / "cell-monitor-backup.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
        made = timers.wanted({"quiet_after_start": "45min", "jobs": {"cell-monitor-backup": JOB}}, tmp_path)
        for name, text in made.items():
            (tmp_path / name).write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], check=False, capture_output=True, text=True
        )
        assert str(tmp_path) not in done.stderr

    def test_a_time_that_is_none_changes_nothing(self, tmp_path: Path) -> None:
        schedule = {"quiet_after_start": "0", "jobs": {"cell-monitor-backup": JOB | {"when": "25:00"}}}
        with pytest.raises(timers.ScheduleError, match="cell-monitor-backup is to run at '25:00'"):
            timers.apply(schedule, tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_schedule_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(timers.ScheduleError, match="a deploy writes it"):
            timers.read(tmp_path / "none.json")
        (tmp_path / "some.json").write_text(json.dumps([]))
        with pytest.raises(timers.ScheduleError):
            timers.read(tmp_path / "some.json")
