"""What every timer starts does its work, and with each fault says so and leaves what was good."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import eventually
from testinfra.host import Host

STATE = "/var/lib/cell-monitor"
NOTEBOOKS = "/var/lib/jupyterlab/notebooks"
TIMERS = {"backup", "backup-check", "backup-drill", "maintenance", "rotation", "sample"}


def start(host: Host, job: str) -> dict[str, Any]:
    """Run a job as its timer does; returns what is remembered of it, and whether its unit succeeded."""
    began = time.time() - 1
    code = host.run(f"systemctl start cell-monitor-{job}.service").rc
    run: dict[str, Any] = json.loads(host.file(f"{STATE}/jobs/{job}.json").content_string)
    assert run["ended"] >= began, f"the run of {job} is not remembered"
    return run | {"code": code}


def metric(host: Host, job: str, name: str) -> float:
    """A metric of a job, as Prometheus reads it."""
    for line in host.file(f"{STATE}/metrics/job-{job}.prom").content_string.splitlines():
        if line.startswith(f'cell_monitor_job_{name}{{name="{job}"}}'):
            return float(line.split()[-1])
    raise AssertionError(f"{job} has no {name}")


def rows(host: Host) -> dict[str, Any]:
    """What the status table has."""
    return {row["job"]: row for row in json.loads(host.check_output("cell-monitor-job status --json"))}


def report(host: Host) -> dict[str, Any]:
    """The latest report."""
    name = host.check_output(f"ls {STATE}/reports/*.json | tail -n 1")
    told: dict[str, Any] = json.loads(host.file(name).content_string)
    return told | {"results": {step["name"]: step["result"] for step in told["steps"]}}


def snapshots(host: Host) -> str:
    """The backups that there are, as restic lists them."""
    command = (
        "RESTIC_PASSWORD_FILE=/etc/cell-monitor-backup/password restic --repo /opt/backup --no-lock snapshots --json"
    )
    listed: str = host.check_output(command)
    return listed


@contextmanager
def full_disk(host: Host) -> Iterator[None]:
    """Leaves no room, for root either."""
    host.check_output("fallocate --length $(($(df --block-size=1M --output=avail /var | tail -n 1) - 50))M /var/filler")
    # The rest, and what is reserved for root.
    host.run("cat /dev/zero >> /var/filler; sync")
    try:
        yield
    finally:
        host.check_output("rm --force /var/filler")


# Of a fault, what causes and what mends it.
BROKEN = {
    "repository corrupted": (
        "f=$(find /opt/backup/data -type f | head -n 1); echo $f > /root/name; mv $f /root/pack; echo damaged > $f",
        "mv /root/pack $(cat /root/name)",
    ),
    "password wrong": (
        "cp --archive /etc/cell-monitor-backup/password /root/; echo wrong > /etc/cell-monitor-backup/password",
        "mv /root/password /etc/cell-monitor-backup/",
    ),
}


@contextmanager
def broken(host: Host, fault: str) -> Iterator[None]:
    """A repository that cannot be read."""
    cause, mend = BROKEN[fault]
    host.check_output(cause)
    try:
        yield
    finally:
        host.check_output(mend)


@contextmanager
def clock_two_hours_ahead(host: Host, job: str) -> Iterator[None]:
    """Has a job see another time; the host's own clock is this machine's."""
    folder = f"/run/systemd/system/cell-monitor-{job}.service.d"
    host.check_output("apt-get --quiet --quiet install --yes --no-install-recommends libfaketime")
    library = host.check_output("ls /usr/lib/*/faketime/libfaketime.so.1")
    host.check_output(
        f"mkdir --parents {folder} && printf '[Service]\\nEnvironment=LD_PRELOAD={library} FAKETIME=+2h\\n'"
        f" > {folder}/clock.conf && systemctl daemon-reload"
    )
    try:
        yield
    finally:
        host.check_output(f"rm -r {folder} && systemctl daemon-reload")


def test_timers_are_as_the_schedule_says_and_wait_after_a_start(host: Host) -> None:
    made_up_for = {"backup", "backup-check", "backup-drill", "maintenance"}
    assert set(rows(host)) >= TIMERS
    enabled = host.check_output("systemctl list-unit-files 'cell-monitor-*.timer' --state=enabled --no-legend")
    assert {line.split(".")[0].removeprefix("cell-monitor-") for line in enabled.splitlines()} >= TIMERS
    # The host has just started: a class may have begun.
    for job in made_up_for:
        assert host.run(f"systemctl is-active cell-monitor-{job}.timer").rc != 0, job
    host.check_output("systemctl start cell-monitor-jobs.target")
    for job in TIMERS:
        assert host.check_output(f"systemctl is-active cell-monitor-{job}.timer") == "active"
    assert host.check_output("cell-monitor-job apply") == ""
    # From here on, nothing but the checks starts these.
    timers = " ".join(f"cell-monitor-{job}.timer" for job in made_up_for)
    host.check_output(f"systemctl stop cell-monitor-jobs.target {timers}")


def test_a_run_that_was_missed_is_made_up_for(host: Host) -> None:
    host.check_output("systemctl stop cell-monitor-sample.timer")
    host.check_output("mkdir --parents /run/systemd/system/cell-monitor-sample.timer.d")
    drop_in = "[Timer]\\nOnCalendar=\\nOnCalendar=daily\\nPersistent=yes\\nRandomizedDelaySec=0"
    host.check_output(f"printf '{drop_in}' > /run/systemd/system/cell-monitor-sample.timer.d/missed.conf")
    host.check_output("touch --date='3 days ago' /var/lib/systemd/timers/stamp-cell-monitor-sample.timer")
    before = rows(host)["sample"]["last_run"] or 0
    host.check_output("systemctl daemon-reload && systemctl start cell-monitor-sample.timer")
    try:
        end = time.monotonic() + 20
        while (rows(host)["sample"]["last_run"] or 0) <= before:
            assert time.monotonic() < end, "it was not made up for"
            time.sleep(0.5)
    finally:
        host.check_output("rm -r /run/systemd/system/cell-monitor-sample.timer.d && systemctl daemon-reload")
        host.check_output("systemctl restart cell-monitor-sample.timer")


def test_each_job_does_its_work(host: Host) -> None:
    for job in ("backup", "backup-drill", "backup-check", "rotation", "sample", "prune"):
        run = start(host, job)
        assert (run["code"], run["result"]) == (0, "ok"), run
        assert metric(host, job, "failed") == 0
        assert metric(host, job, "last_success_timestamp_seconds") == pytest.approx(run["ended"], abs=0.01)


def test_a_round_and_its_report(host: Host) -> None:
    run = start(host, "maintenance")
    assert (run["code"], run["result"]) == (0, "ok"), run
    told = report(host)
    # Whether others can be asked for advisories is up to the network.
    assert told["results"].pop("scan") in ("ok", "unchecked")
    assert set(told["results"].values()) == {"ok"}, told["steps"]
    page = host.file(f"{STATE}/reports/index.html")
    assert (page.mode, page.user) == (0o640, "root")
    assert "日次点検" in page.content_string
    checks = {check["name"]: check for check in told["scan"]["checks"]}
    assert checks["changed_files"]["result"] == "ok", checks["changed_files"]
    assert checks["ports"]["result"] == "ok", checks["ports"]
    assert checks["certificates"]["result"] == "ok"


def test_a_round_that_is_killed_half_way_is_told(host: Host) -> None:
    good = metric(host, "maintenance", "last_success_timestamp_seconds")
    host.check_output("systemctl start --no-block cell-monitor-maintenance.service")
    eventually(lambda: host.run("systemctl is-active cell-monitor-scan.service").stdout.strip(), "activating".__eq__)
    host.check_output("systemctl kill --signal=KILL cell-monitor-maintenance.service cell-monitor-scan.service")
    killed = eventually(
        lambda: [rows(host)[job] for job in ("maintenance", "scan")], lambda rows: not any(r["running"] for r in rows)
    )
    for job, row in zip(("maintenance", "scan"), killed, strict=True):
        assert row["result"] == "failed", row
        assert "killed" in row["sentence"]
        assert metric(host, job, "failed") == 1
    assert metric(host, "maintenance", "last_success_timestamp_seconds") == good
    # What it had come to by then can be read.
    assert report(host)["results"]["backup"] == "ok"


def test_a_backup_that_is_killed_half_way_leaves_those_that_there_are(host: Host) -> None:
    before, good = snapshots(host), metric(host, "backup", "last_success_timestamp_seconds")
    host.check_output(f"head --bytes=200M /dev/urandom > {NOTEBOOKS}/large && chown jupyter: {NOTEBOOKS}/large")
    host.check_output(
        "touch /root/mark && systemctl start --no-block cell-monitor-backup.service &&"
        " timeout 60 sh -c 'until find /opt/backup/data -type f -newer /root/mark | grep -q .; do sleep 0.05; done' &&"
        " systemctl kill --signal=KILL cell-monitor-backup.service"
    )
    row = eventually(lambda: rows(host)["backup"], lambda row: not row["running"])
    host.check_output(f"rm {NOTEBOOKS}/large")
    assert row["result"] == "failed", row
    assert metric(host, "backup", "last_success_timestamp_seconds") == good
    assert snapshots(host) == before
    assert start(host, "backup")["result"] == "ok"


def test_a_full_disk_is_told_and_leaves_what_was_good(host: Host) -> None:
    before, page = snapshots(host), host.file(f"{STATE}/reports/index.html").content_string
    with full_disk(host):
        assert start_with_full_disk(host, "backup")["result"] == "failed"
        assert snapshots(host) == before
        if start_with_full_disk(host, "maintenance")["result"] == "failed":
            assert host.file(f"{STATE}/reports/index.html").content_string == page
        else:
            # What it has removed from the journal was room enough.
            assert [disk["tight"] for disk in report(host)["disks"]] == [True]
    assert start(host, "backup")["result"] == "ok"


def start_with_full_disk(host: Host, job: str) -> dict[str, Any]:
    """Run a job; returns its row of the status table, which knows what there was no room to remember."""
    host.run(f"systemctl start cell-monitor-{job}.service")
    row: dict[str, Any] = rows(host)[job]
    return row


@pytest.mark.parametrize("fault", BROKEN)
def test_backups_that_would_not_come_back_are_told(host: Host, fault: str) -> None:
    before = {job: metric(host, job, "last_success_timestamp_seconds") for job in ("backup-drill", "backup-check")}
    with broken(host, fault):
        failed = [job for job in before if start(host, job)["result"] == "failed"]
        for job in failed:
            assert metric(host, job, "failed") == 1
            assert metric(host, job, "last_success_timestamp_seconds") == before[job]
    # Of a damaged repository, one of them may read what is whole.
    assert failed
    for job in failed:
        assert start(host, job)["result"] == "ok"


def test_the_scan_finds_what_is_wrong_and_calls_nothing_good_news_without_a_network(host: Host) -> None:
    host.check_output("systemd-run --unit=stranger python3 -m http.server --bind 0.0.0.0 9999")
    host.check_output("touch /etc/everyone && chmod 666 /etc/everyone")
    host.check_output(
        "cp --archive /etc/event-server/config.toml /root/ && echo '# by hand' >> /etc/event-server/config.toml"
    )
    route = host.check_output("ip route show default")
    host.check_output(
        "ip route del default; find /var/lib/apt/lists -name '*Release' -exec touch --date='9 days ago' {} +"
    )
    try:
        run = start(host, "scan")
    finally:
        host.check_output(f"ip route add {route}")
        host.check_output("systemctl stop stranger; rm /etc/everyone; mv /root/config.toml /etc/event-server/")
    assert (run["code"], run["result"]) == (0, "unchecked")
    assert (metric(host, "scan", "unchecked"), metric(host, "scan", "failed")) == (1, 0)
    assert rows(host)["scan"]["result"] == "unchecked"
    checks = json.loads(host.file(f"{STATE}/scan.json").content_string)["checks"]
    found = {check["name"]: check["found"] for check in checks}
    assert "tcp port 9999 of python3" in found["ports"]
    assert "/etc/everyone can be changed by every user." in found["writable_files"]
    assert any("config.toml was changed" in line for line in found["changed_files"]), found["changed_files"]
    shown = host.file(f"{STATE}/metrics/scan.prom").content_string
    assert 'cell_monitor_scan_findings{check="ports"} 1' in shown
    for name in ("python", "npm", "debian"):
        assert f'cell_monitor_scan_unchecked{{check="{name}"}} 1' in shown
        assert name in run["sentence"]


def test_a_round_of_a_bad_day_names_what_is_wrong_and_does_the_rest(host: Host) -> None:
    """A drill that failed, and a backup from before the clock was set back: it is no backup of today."""
    with clock_two_hours_ahead(host, "backup"):
        assert start(host, "backup")["result"] == "ok"
    with broken(host, "password wrong"):
        assert start(host, "backup-drill")["result"] == "failed"
        start(host, "maintenance")
    told = report(host)
    assert {row["job"]: row["result"] for row in told["jobs"]}["backup-drill"] == "failed"
    assert told["results"].pop("backup") == "failed"
    assert told["results"].pop("scan") in ("ok", "unchecked")
    assert set(told["results"].values()) == {"ok"}, told["steps"]
    assert "future" in host.check_output("cell-monitor-job status")
    for job in ("backup", "backup-drill"):
        assert start(host, job)["result"] == "ok"
    assert "future" not in host.check_output("cell-monitor-job status")
