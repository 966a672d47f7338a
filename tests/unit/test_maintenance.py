"""The daily round: what it makes of figures, what the scan finds, and the report."""

from __future__ import annotations

import json
import re
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cell_monitor_jobs import table
from cell_monitor_maintenance import (
    advisories,
    chart,
    cli,
    config,
    daily,
    delivery,
    figures,
    page,
    programs,
    samples,
    scan,
)
from cell_monitor_maintenance.config import Config, MaintenanceError
from cell_monitor_maintenance.findings import Check, UncheckedError, guarded
from loopback import Request, serve

TODAY = date(2026, 6, 30)


def sample(at: datetime, **changed: float) -> samples.Sample:
    """A sample of a class; `changed` are figures of JupyterLab or of the event server."""
    lab = {"answer_seconds": 0.1, "memory_bytes": 2e8, "error_ratio": 0.0, "active_users": 30.0, "help_total": 0.0}
    server = {"answers_total": 0.0, "answers_seconds_total": 0.0, "failed_total": 0.0, "events_total": 0.0}
    lab |= {"invalid_total": 0.0, "waiting": 0.0}
    server |= {"active_users": 30.0, "stuck": 0.0, "memory_bytes": 1e8, "database_bytes": 1e6}
    return {
        "at": at.timestamp(),
        "disks": {"/": {"total": 1e11, "used": changed.get("used", 1e10)}},
        "lab": lab | {name: value for name, value in changed.items() if name in lab},
        "server": server | {name: value for name, value in changed.items() if name in server},
    }


def lesson(day: date, *, answer: float = 0.1, helps: int = 10, used: float = 1e10) -> list[samples.Sample]:
    """Samples of an hour of class: 1200 events, each answered in so many seconds, and so many requests for help."""
    begin = datetime(day.year, day.month, day.day, 9)
    return [
        sample(
            begin + timedelta(minutes=5 * step),
            answer_seconds=answer,
            help_total=helps * step / 12,
            answers_total=100 * step,
            answers_seconds_total=100 * step * answer,
            events_total=100 * step,
            used=used,
        )
        for step in range(13)
    ]


class TestSamples:
    def test_the_text_of_prometheus_is_read(self) -> None:
        text = '# HELP a b\na{x="1",y="a \\"b\\", c"} 2\na{x="2"} 3e2\nb 4.5\n'
        series = samples.parse(text)
        assert series["a"] == [({"x": "1", "y": 'a \\"b\\", c'}, 2.0), ({"x": "2"}, 300.0)]
        assert samples.total(series, "a") == 302
        assert samples.total(series, "nothing") == 0

    def test_half_a_line_does_not_spoil_the_next(self, tmp_path: Path) -> None:
        now = datetime(2026, 6, 30, 9)
        samples.add(tmp_path, sample(now))
        path = tmp_path / "2026-06-30.jsonl"
        path.write_bytes(path.read_bytes() + b'{"at": 17')
        samples.add(tmp_path, sample(now + timedelta(minutes=5)))
        assert [one["at"] - now.timestamp() for one in samples.read(tmp_path, TODAY)] == [0, 300]

    def test_a_clock_that_was_set_back_leaves_them_in_order(self, tmp_path: Path) -> None:
        now = datetime(2026, 6, 30, 9)
        for minutes in (10, 0, 5):
            samples.add(tmp_path, sample(now + timedelta(minutes=minutes)))
        moments = [one["at"] for one in samples.read(tmp_path, TODAY)]
        assert moments == sorted(moments)

    def test_old_days_are_removed(self, tmp_path: Path) -> None:
        for day in (TODAY, TODAY - timedelta(days=400), TODAY - timedelta(days=401)):
            (tmp_path / f"{day}.jsonl").touch()
        (tmp_path / "other.jsonl").touch()
        assert samples.prune(tmp_path, 400, TODAY) == 1
        assert samples.days(tmp_path) == [TODAY - timedelta(days=400), TODAY]

    def test_services_that_do_not_answer_are_told(self, tmp_path: Path) -> None:
        silent = Config(
            "h", tmp_path, jupyterlab="http://127.0.0.1:9", event_server="http://127.0.0.1:9", disks=("/", "/.")
        )
        taken = samples.take(silent, 1e9)
        assert (taken["lab"], taken["server"]) == (None, None)
        assert list(taken["disks"]) == ["/"]
        assert figures.of_day([taken]) == {"unanswered_ratio": 1.0}


class TestFigures:
    def test_a_day(self) -> None:
        day = figures.of_day(lesson(TODAY, answer=0.25, helps=24))
        assert day["events"] == 1200
        assert day["help_requests"] == pytest.approx(24)
        assert day["server_answer_seconds"] == pytest.approx(0.25)
        assert day["lab_answer_seconds"] == pytest.approx(0.25)
        assert (day["active_users"], day["unanswered_ratio"]) == (30, 0)

    def test_a_counter_that_begins_anew(self) -> None:
        assert figures.increase([5, 8, 1, 4]) == 3 + 1 + 3
        assert figures.increase([5]) == 0

    def history(self, **today: Any) -> dict[date, figures.Day]:
        days = {
            TODAY - timedelta(days=ago): figures.of_day(lesson(TODAY - timedelta(days=ago))) for ago in range(1, 29)
        }
        return days | {TODAY: figures.of_day(lesson(TODAY, **today))}

    def test_a_day_like_the_others(self) -> None:
        assert figures.changes(self.history(), TODAY) == []

    def test_slower_answers_and_more_requests_for_help(self) -> None:
        changes = figures.changes(self.history(answer=0.5, helps=40), TODAY)
        assert {change.name for change in changes} == {"lab_answer_seconds", "server_answer_seconds", "help_requests"}
        assert all(change.factor and change.factor > 3 for change in changes)

    def test_what_nobody_would_notice_is_no_change(self) -> None:
        assert figures.changes(self.history(helps=14), TODAY) == []

    def test_what_grew_slowly_is_seen_by_the_longer_window(self) -> None:
        days = {TODAY - timedelta(days=ago): 0.1 if ago > 7 else 0.28 for ago in range(29)}
        history = {day: figures.of_day(lesson(day, answer=answer)) for day, answer in days.items()}
        assert {change.window for change in figures.changes(history, TODAY)} == {28}

    def test_holidays_do_not_count(self) -> None:
        history = self.history()
        quiet = {day: {"events": 0.0, "active_users": 0.0, "help_requests": 0.0} for day in history if day.day % 2}
        assert figures.changes(history | quiet, TODAY) == []

    def test_too_few_days_are_compared_with_nothing(self) -> None:
        history = self.history(answer=9)
        few = {day: history[day] for day in (TODAY, TODAY - timedelta(days=1), TODAY - timedelta(days=2))}
        assert figures.changes(few, TODAY) == []

    def test_days_until_a_disk_is_full(self) -> None:
        used = {TODAY - timedelta(days=ago): 9e10 - ago * 1e9 for ago in range(10)}
        assert figures.days_left(used, 1e11, TODAY) == pytest.approx(10)
        assert figures.days_left(dict.fromkeys(used, 9e10), 1e11, TODAY) is None
        assert figures.days_left({TODAY: 9e10}, 1e11, TODAY) is None


class TestScan:
    def test_only_security_updates_count(self) -> None:
        text = (
            "Inst libssl3 [3.0.11-1] (3.0.15-1~deb12u1 Debian-Security:12/stable-security [amd64])\n"
            "Inst nano [7.2-1] (7.2-2 Debian:12.8/stable [amd64])\n"
            "Inst linux-image (6.1.119-1 Debian-Security:12/stable-security [amd64])\nConf libssl3 (x)\n"
        )
        assert scan.security_updates(text) == [
            "libssl3 3.0.11-1, fixed in 3.0.15-1~deb12u1",
            "linux-image -, fixed in 6.1.119-1",
        ]

    def test_changed_files_of_packages(self) -> None:
        text = "??5?????? c /etc/nginx/nginx.conf\n??5??????   /usr/sbin/nginx\nmissing     /usr/share/doc/x\n"
        assert scan.changed_by_package(text) == ["/usr/sbin/nginx is not as its package brought it."]

    def test_ports(self) -> None:
        text = (
            'tcp LISTEN 0 511 0.0.0.0:443 0.0.0.0:* users:(("nginx",pid=1,fd=5))\n'
            'tcp LISTEN 0 128 127.0.0.1:8888 0.0.0.0:* users:(("jupyter-lab",pid=2,fd=7))\n'
            'tcp LISTEN 0 5 *:9999 *:* users:(("python3",pid=3,fd=3))\n'
            "udp UNCONN 0 0 [::]:5353 [::]:*\n"
            "udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*\n"
        )
        assert scan.undeclared(text, (22, 443)) == ["tcp port 9999 of python3", "udp port 5353 of an unknown program"]

    def test_certificates(self, tmp_path: Path) -> None:
        path = tmp_path / "site.pem"
        for days, found in ((10, 1), (90, 0)):
            command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=x", "-days", str(days)]
            subprocess.run([*command, "-keyout", "/dev/null", "-out", path], check=True, capture_output=True)
            check = scan.certificates(Config("h", certificates=(path,)))
            assert (check.result, check.count) == ("found" if found else "ok", found)

    def test_a_certificate_that_cannot_be_read_is_not_checked(self, tmp_path: Path) -> None:
        path = tmp_path / "site.pem"
        path.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
        check = guarded("certificates", lambda: scan.certificates(Config("h", certificates=(path,))))
        assert check.result == "unchecked"

    def test_files_that_all_may_change(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scan, "_SEARCHED", (str(tmp_path),))
        (tmp_path / "tmp").mkdir()
        (tmp_path / "tmp").chmod(0o1777)
        (tmp_path / "good").touch(0o644)
        assert scan.writable_files().result == "ok"
        (tmp_path / "bad name").touch()
        (tmp_path / "bad name").chmod(0o666)
        assert scan.writable_files().found == [f"{tmp_path}/bad name can be changed by every user."]

    def test_old_lists_that_cannot_be_fetched_are_no_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        failed: subprocess.CompletedProcess[str] = subprocess.CompletedProcess([], 100, "", "E: no network\n")
        monkeypatch.setattr(programs, "run", lambda *_, **__: failed)
        monkeypatch.setattr(scan, "_lists_age", lambda: 8 * 86400)
        with pytest.raises(UncheckedError, match="no network"):
            scan.debian()

    def test_one_that_breaks_off_leaves_the_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def breaks() -> Check:
            raise RuntimeError("boom")

        for name in ("debian", "changed_files", "writable_files"):
            monkeypatch.setattr(scan, name, breaks)
        settings = Config("h", tmp_path)
        checks = scan.scan(settings)
        assert [check.name for check in checks if check.result == "ok"] == ["ports", "certificates"] or len(checks) == 7
        scan.remember(settings, checks)
        shown = (tmp_path / "metrics" / "scan.prom").read_text()
        assert 'cell_monitor_scan_unchecked{check="debian"} 1\n' in shown
        assert scan.outcome(checks)[0] == 75


@contextmanager
def server(answer: bytes, status: int = 200) -> Iterator[tuple[str, list[bytes]]]:
    """An HTTP server on loopback that always answers the same; what it was sent is in the list."""
    got: list[bytes] = []

    def take(request: Request) -> tuple[int, bytes]:
        got.append(request.body)
        return status, answer

    with serve(take) as address:
        yield address, got


class TestAdvisories:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Config:
        """A host with two packages in an environment, and nobody to ask."""
        for name in ("Some_Package-1.0", "other-2.1", "cell_monitor-1.2.0"):
            (tmp_path / "venv/lib/python3.11/site-packages" / f"{name}.dist-info").mkdir(parents=True)
        return Config("h", tmp_path, environments=(("event-server", tmp_path / "venv"),))

    def test_what_is_installed(self, settings: Config) -> None:
        assert advisories.python_packages(settings) >= {("PyPI", "some-package", "1.0"), ("PyPI", "other", "2.1")}

    def test_a_server_is_asked(self, settings: Config) -> None:
        answer = {"results": [{}, {"vulns": [{"id": "GHSA-1"}]}]}
        with server(json.dumps(answer).encode()) as (url, got):
            check = advisories.python(replace(settings, advisories_url=url))
        assert (check.result, check.found) == ("found", ["some-package 1.0: GHSA-1"])
        assert [query["version"] for query in json.loads(got[0])["queries"]] == ["2.1", "1.0"]

    @pytest.mark.parametrize(
        ("answer", "status"),
        [(b'{"results": [{}]}', 200), (b"{}", 200), (b"<html>", 200), (b"[1, 2]", 200), (b"", 405)],
    )
    def test_an_answer_that_is_none_is_no_good_news(self, settings: Config, answer: bytes, status: int) -> None:
        with server(answer, status) as (url, _), pytest.raises(UncheckedError):
            advisories.python(replace(settings, advisories_url=url))

    def carry(self, settings: Config, known: dict[str, list[str]], ago: int = 0) -> None:
        asked_on = date.today() - timedelta(days=ago)
        (settings.state / "advisories.json").write_text(
            json.dumps({"asked_on": str(asked_on), "python": {"known": known}, "npm": {"unchecked": "405"}})
        )

    def test_a_copy_counts_where_nobody_answers(self, settings: Config) -> None:
        self.carry(settings, {"some-package==1.0": [], "other==2.1": []})
        assert advisories.python(settings).result == "ok"
        self.carry(settings, {"some-package==1.0": ["GHSA-1"]})
        assert advisories.python(settings).found == ["some-package 1.0: GHSA-1"]

    def test_a_copy_that_is_old_or_knows_another_release_does_not(self, settings: Config) -> None:
        self.carry(settings, {"some-package==1.0": [], "other==2.1": []}, ago=36)
        with pytest.raises(UncheckedError, match="are of"):
            advisories.python(settings)
        self.carry(settings, {"some-package==1.0": []})
        with pytest.raises(UncheckedError, match="1 packages, such as other"):
            advisories.python(settings)
        with pytest.raises(UncheckedError, match=r"405|not known"):
            advisories.npm(settings)

    def test_tools_of_the_build_are_told_and_do_not_count(self, settings: Config) -> None:
        npm = {"packages": {"a": ["1.0"]}, "tools": {"b": ["2.0"]}, "known": {"a==1.0": [], "b==2.0": ["GHSA-2"]}}
        (settings.state / "advisories.json").write_text(json.dumps({"asked_on": str(date.today()), "npm": npm}))
        check = advisories.npm(settings)
        assert check.result == "ok"
        assert "1 advisories on 1 tools" in check.sentence


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A host whose jobs succeed; `systemctl` and the like are not asked."""
    monkeypatch.setattr(daily, "_service", lambda _: "done")
    monkeypatch.setattr(daily, "vacuum", lambda _: "10 MB")
    monkeypatch.setattr(daily, "backup", lambda *_: "backup 5 min ago")
    monkeypatch.setattr(table, "rows", lambda _: [])
    for ago in range(29):
        for one in lesson(date.today() - timedelta(days=ago), helps=40 if not ago else 10):
            samples.add(tmp_path / "samples", one)
    # Whatever the hour is, the round is about today.
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / f"{date.today() - timedelta(days=1)}.json").write_text("{}")
    return Config("class1", tmp_path)


class TestRound:
    def test_a_report_and_a_page(self, settings: Config) -> None:
        report = daily.round_(settings)
        assert [step["result"] for step in report["steps"]] == ["ok"] * 7
        assert [change["name"] for change in report["changes"]] == ["help_requests"]
        assert json.loads(daily.path(settings, report["date"]).read_text())["ended"]
        shown = (settings.state / "reports" / "index.html").read_text()
        assert "ヘルプ要求: 40" in shown
        assert "Requests for help: 40" in shown

    def test_a_step_that_fails_does_not_stop_the_others(
        self, settings: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def service(unit: str) -> str:
            if "scan" in unit:
                raise UncheckedError("no network")
            if "prune" in unit:
                raise daily.StepError("the disk is full")
            if "rotation" in unit:
                raise RuntimeError("boom")
            return ""

        monkeypatch.setattr(daily, "_service", service)
        results = {step["name"]: step["result"] for step in daily.round_(settings)["steps"]}
        assert results == {
            "rotation": "failed", "journal": "ok", "backup": "ok", "figures": "ok",
            "scan": "unchecked", "pruning": "failed", "analysis": "ok",
        }  # fmt: skip

    def test_a_round_that_is_cut_off_leaves_what_it_has_done(
        self, settings: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(_: str) -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr(daily, "_service", lambda unit: killed(unit) if "scan" in unit else "")
        with pytest.raises(KeyboardInterrupt):
            daily.round_(settings)
        report = json.loads(daily.path(settings, date.today()).read_text())
        assert (report["ended"], len(report["steps"])) == (None, 4)
        assert "was cut off" in (settings.state / "reports" / "index.html").read_text()

    def test_a_full_disk_leaves_the_last_report(self, settings: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        daily.round_(settings)
        before = {path: path.read_bytes() for path in (settings.state / "reports").iterdir()}

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            daily.round_(settings)
        assert {path: path.read_bytes() for path in (settings.state / "reports").iterdir()} == before

    def test_a_round_that_makes_up_for_one_is_about_that_day(self, tmp_path: Path) -> None:
        settings = Config("h", tmp_path)
        for day in (26, 29):
            samples.add(tmp_path / "samples", sample(datetime(2026, 6, day, 9)))
        assert daily.subject(settings, datetime(2026, 6, 29, 9, 30)) == date(2026, 6, 26)
        assert daily.subject(settings, datetime(2026, 6, 29, 18, 30)) == date(2026, 6, 29)
        (tmp_path / "reports").mkdir()
        daily.path(settings, "2026-06-26").write_text("{}")
        assert daily.subject(settings, datetime(2026, 6, 29, 9, 30)) == date(2026, 6, 29)

    @pytest.mark.parametrize(
        ("backup", "drill", "error"),
        [
            (3600, 86400, None),
            (3600, None, None),
            (30 * 3600, 86400, "backup last succeeded 30 h ago"),
            (3600, 9 * 86400, "backup-drill last succeeded 9 d ago"),
            (-7200, 86400, "backup last succeeded future ago"),
        ],
    )
    def test_backups(self, tmp_path: Path, backup: float, drill: float | None, error: str | None) -> None:
        now = time.time()
        (tmp_path / "jobs").mkdir()
        for job, ago in (("backup", backup), ("backup-drill", drill)):
            if ago is not None:
                told = {"job": job, "result": "ok", "sentence": "", "started": now - ago, "ended": now - ago}
                (tmp_path / "jobs" / f"{job}.json").write_text(json.dumps(told | {"last_success": now - ago}))
        settings = Config("h", tmp_path)
        if error:
            with pytest.raises(daily.StepError, match=error):
                daily.backup(settings, now)
        else:
            assert "backup 60 min ago" in daily.backup(settings, now)

    def test_no_backup_is_no_good_news(self, tmp_path: Path) -> None:
        with pytest.raises(UncheckedError):
            daily.backup(Config("h", tmp_path), time.time())

    def test_a_failed_round_says_so_to_systemd(
        self, settings: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fails(*_: object) -> str:
            raise daily.StepError("backup never succeeded")

        monkeypatch.setattr(daily, "backup", fails)
        monkeypatch.setattr(cli, "load", lambda _: settings)
        assert cli.main(["round"]) == 1
        assert "failed: backup; 2 to look at" in capsys.readouterr().out.splitlines()[-1]

    def test_no_configuration_is_one_sentence(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["--config", str(tmp_path / "none.json"), "scan"]) == 1
        assert "a deploy writes it" in capsys.readouterr().out


class TestPage:
    def test_it_is_one_file_without_scripts_and_what_others_wrote_is_text(self, settings: Config) -> None:
        report = daily.round_(settings)
        report["host"] = "<script>alert(1)</script>"
        report["steps"][0]["sentence"] = "<img src=x>"
        shown = page.page(report, ["2026-06-29"])
        assert "<script" not in shown
        assert "<img" not in shown
        assert not re.search(r"""(src|href)=["']?(https?:)?//|url\(""", shown)
        assert 'href="2026-06-29.html"' in shown
        assert shown.count("<svg") == 4
        assert shown.count('<span lang="ja">') == shown.count('<span lang="en">')

    @pytest.mark.parametrize(
        "points", [[], [(9.0, 0.0)], [(0.0, 5.0), (23.9, 7.0)], [(8.0, 1e9), (8.1, 2e9), (12.0, 3.0)]]
    )
    def test_charts_stay_within_their_frame(self, points: list[tuple[float, float]]) -> None:
        shown = chart.chart(points, "count", "x")
        places = [float(part) for found in re.findall(r'points="([^"]+)"', shown) for part in re.split("[ ,]", found)]
        assert all(0 <= place <= 360 for place in places)
        # A gap of hours is no line.
        assert shown.count("<polyline") == {0: 0, 1: 1, 2: 2, 3: 2}[len(points)]


REPORT = {"host": "class1", "date": "2026-06-30", "steps": [{"name": "scan", "result": "ok", "sentence": ""}]}


class TestDelivery:
    def test_good_days_are_not_told_unless_asked_for(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        with server(b"ok") as (url, got):
            (tmp_path / "webhook-url").write_text(f"{url}\n")
            quiet = Config("class1", webhook=True)
            assert delivery.deliver(quiet, REPORT, []) == []
            assert delivery.deliver(quiet, REPORT, ["backup: it failed"]) == ["webhook"]
            assert delivery.deliver(replace(quiet, tell="always"), REPORT, []) == ["webhook"]
        assert "要確認 1 件" in json.loads(got[0])["text"]
        assert "異常なし" in json.loads(got[1])["text"]

    def test_mail(self) -> None:
        received: list[str] = []

        class Smtp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 x\r\n")
                while line := self.rfile.readline().decode():
                    verb = line[:4].upper().strip()
                    if verb == "DATA":
                        self.wfile.write(b"354 go\r\n")
                        while (text := self.rfile.readline().decode()) != ".\r\n":
                            received.append(text)
                    self.wfile.write(b"221 x\r\n" if verb == "QUIT" else b"250 x\r\n")

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp) as smtp:
            threading.Thread(target=smtp.serve_forever, daemon=True).start()
            mail = {"to": ["a@example.jp"], "sender": "b@example.jp", "host": "127.0.0.1", "security": "none"}
            settings = Config("class1", mail=tuple((mail | {"port": smtp.server_address[1]}).items()))
            assert delivery.deliver(settings, REPORT, ["x"]) == ["mail"]
            smtp.shutdown()
        assert "To: a@example.jp\r\n" in received

    def test_a_way_that_is_closed_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        (tmp_path / "webhook-url").write_text("http://127.0.0.1:9/secret")
        with pytest.raises(MaintenanceError, match="could not be sent by webhook") as failed:
            delivery.deliver(Config("class1", webhook=True), REPORT, ["x"])
        assert "secret" not in str(failed.value)


class TestUnits:
    FILES = Path(__file__).parents[2] / "roles" / "maintenance" / "files"

    @pytest.mark.parametrize("name", sorted(path.name for path in FILES.glob("*.service")))
    def test_systemd_understands_it(self, name: str, tmp_path: Path) -> None:
        text = (self.FILES / name).read_text()
        assert "ExecStopPost=+/usr/local/sbin/cell-monitor-job record %n\n" in text
        (tmp_path / name).write_text(re.sub("/usr/local/sbin/[a-z-]+", "/bin/true", text))
        done = subprocess.run(
            ["systemd-analyze", "verify", tmp_path / name], check=False, capture_output=True, text=True
        )
        assert name not in done.stderr

    def test_the_configuration_of_the_role_is_read(self) -> None:
        told = {"host": "a", "environments": {"x": "/opt/x/current"}, "mail": {"to": ["a"]}, "ports": [22], "later": 1}
        read = config.Config.of(told)
        assert (read.environments, read.ports, dict(read.mail)) == (
            (("x", Path("/opt/x/current")),),
            (22,),
            {"to": ["a"]},
        )
